//! Reading the configuration: at start and again whenever a signal or a client asks.
//!
//! It is always the same road that `check-config` takes, with the flags of the command line laid over the file.

use super::startup::Failure;
use crate::check_config::render;
use crate::cli::DaemonOptions;
use crate::config::model::Config;
use crate::config::{
    self, Diagnostic, Host, LoadRequest, Loaded, MemoryHost, Override, RealHost, Role, Severity,
    Sources,
};
use crate::sys::identity;
use crate::wire;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long the shutdown of a daemon that is process 1 may take, unless the file says so: less than the ten seconds
/// after which a container is usually killed.
const INIT_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(9);

/// Where the configuration comes from.
#[derive(Debug)]
pub struct Loader {
    path: PathBuf,
    overrides: Vec<Override>,
    /// Remembers the directory and the environment of the start, by which paths and variables are read for ever.
    host: Box<dyn Host>,
    in_memory: bool,
}

impl Loader {
    /// `path` must be absolute: the daemon may change its directory before it reads the file again.
    pub fn new(path: PathBuf, options: &DaemonOptions) -> Self {
        let overrides = options
            .overrides()
            .into_iter()
            .map(|preset| (preset, false))
            .chain(options.presets().into_iter().map(|preset| (preset, true)))
            .map(|((key, flag, value), weak)| Override {
                key,
                flag,
                value: value.to_owned(),
                weak,
            })
            .collect();
        Self {
            path,
            overrides,
            host: Box::new(RealHost::new()),
            in_memory: false,
        }
    }

    /// Reads a text in memory.
    pub fn in_memory(host: MemoryHost) -> Self {
        Self {
            path: host.path().to_owned(),
            overrides: Vec::new(),
            host: Box::new(host),
            in_memory: true,
        }
    }

    /// Whether there is no file that could be read again.
    pub fn is_in_memory(&self) -> bool {
        self.in_memory
    }

    /// The main file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads and checks everything; nothing is changed by it.
    pub fn load(&self) -> Loaded {
        let mut loaded = config::load(&LoadRequest {
            path: &self.path,
            overrides: &self.overrides,
            host: &*self.host,
        });
        if let Some(config) = &mut loaded.config
            && identity::is_init()
        {
            let timeout = &mut config.daemon.shutdown_timeout;
            timeout.get_or_insert(INIT_SHUTDOWN_TIMEOUT);
        }
        loaded
    }

    /// For a running daemon: what is found goes into its log, and back to whoever asked.
    pub fn load_and_log(&self) -> Result<Arc<Config>, Vec<wire::Diagnostic>> {
        let Loaded {
            config,
            diagnostics,
            sources,
        } = self.load();
        for diagnostic in &diagnostics {
            let level = match diagnostic.severity {
                Severity::Error => log::Level::Error,
                Severity::Warning => log::Level::Warn,
            };
            log::log!(
                level,
                "{}",
                render::short(std::slice::from_ref(diagnostic), &sources).trim_end()
            );
        }
        config.map(Arc::new).ok_or_else(|| {
            diagnostics
                .iter()
                .map(|diagnostic| to_wire(diagnostic, &sources))
                .collect()
        })
    }
}

/// Where the configuration comes from.
#[derive(Debug)]
pub enum Source<'o> {
    /// A file, and flags that beat it.
    Options(&'o DaemonOptions),
    /// A text in memory.
    Memory(MemoryHost),
}

/// The loader for a file: the one that is named, or the one that is found.
pub fn find(options: &DaemonOptions, called_as: &str) -> Result<Loader, Failure> {
    let executable = std::env::args_os()
        .next()
        .map(PathBuf::from)
        .unwrap_or_default();
    let role = if called_as == "supervisord" {
        Role::Supervisor {
            executable: &executable,
        }
    } else {
        Role::Taskmaster
    };
    let path = match &options.configuration {
        Some(path) => path.clone(),
        None => config::find(role, &RealHost::new())?,
    };
    let path = std::path::absolute(path).map_err(Failure::surroundings)?;
    Ok(Loader::new(path, options))
}

fn to_wire(diagnostic: &Diagnostic, sources: &Sources) -> wire::Diagnostic {
    let location = diagnostic.primary.and_then(|span| sources.location(span));
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    wire::Diagnostic {
        error: diagnostic.severity == Severity::Error,
        file: location
            .map(|place| place.path.display().to_string())
            .unwrap_or_default(),
        line: location.map_or(0, |place| number(place.line)),
        column: location.map_or(0, |place| number(place.column)),
        message: diagnostic.message.clone(),
        help: (!diagnostic.help.is_empty()).then(|| diagnostic.help.join("\n")),
    }
}
