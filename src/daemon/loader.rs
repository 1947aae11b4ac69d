//! Reading the configuration: at start and again whenever a signal or a client asks.
//!
//! It is always the same road that `check-config` takes, with the flags of the command line laid over the file.

use crate::check_config::render;
use crate::cli::DaemonOptions;
use crate::config::model::Config;
use crate::config::{self, Diagnostic, LoadRequest, Loaded, Override, RealHost, Severity, Sources};
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
    host: RealHost,
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
            host: RealHost::new(),
        }
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
            host: &self.host,
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
