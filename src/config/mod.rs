//! Reading and checking configuration files.
//!
//! [`load`] is the one road: the daemon takes it at start and at every reload, the checker takes it to explain. It reads
//! the file and what it includes (`include`, `document`, `scan`), sorts the sections (`sections`, `table`) by the schema
//! (`schema`), reads each value (`readers`, `context`, `expand`, `value`, `environment`, `words`) and builds the model
//! (`daemon`, `program`, `group`, `listener`), and at last looks for what is allowed and probably not meant (`lint`). All
//! findings are [`Diagnostic`]s with places; a configuration comes out only when none is an error.
//!
//! Invariants: loading changes nothing on the machine, asks it only through [`Host`], keeps no state between two calls,
//! and reports every fault of a file in one go. Nothing here prints.

mod context;
mod daemon;
mod diagnostic;
pub mod difference;
mod direct;
mod document;
pub mod env_file;
mod environment;
mod expand;
mod fcgi;
mod find;
pub mod fingerprint;
mod group;
mod host;
mod include;
mod lint;
mod lint_env;
mod lint_output;
mod listen;
mod listener;
pub mod model;
mod program;
mod readers;
mod role;
pub mod scan;
pub mod schema;
mod sections;
mod servers;
mod source;
mod suggest;
mod table;
mod value;
mod value_type;
mod words;

pub use diagnostic::{Diagnostic, Label, Severity, Suggestion};
pub use find::{Distrust, FindError, Role, find};
pub use host::{
    FILE_BYTES_MAX, FileContent, FileFacts, FileKind, Host, MemoryHost, ReadError, RealHost,
    read_regular,
};
pub use source::{Location, SourceFile, Sources, Span};
pub use suggest::nearest;
pub use value_type::ValueType;

use context::Context;
use model::{Config, ConsoleSettings};
use std::path::Path;

/// A flag of the command line that stands for a key of the daemon's section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// The key.
    pub key: &'static str,
    /// The flag, as `-e` or `--minprocs`.
    pub flag: &'static str,
    /// The value.
    pub value: String,
    /// It only replaces the default: the file beats it.
    pub weak: bool,
}

/// What to load.
#[derive(Debug)]
pub struct LoadRequest<'a> {
    /// The main file, as the user names it.
    pub path: &'a Path,
    /// Flags that beat the file.
    pub overrides: &'a [Override],
    /// The machine.
    pub host: &'a dyn Host,
}

/// What came of it.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration; `None` when there is an error.
    pub config: Option<Config>,
    /// Errors and warnings in the order of the files.
    pub diagnostics: Vec<Diagnostic>,
    /// The texts that the diagnostics point into.
    pub sources: Sources,
}

/// What came of loading the console's settings alone.
#[derive(Debug)]
pub struct LoadedConsole {
    /// The settings; `None` when one of them is wrong or the file cannot be read.
    pub settings: Option<ConsoleSettings>,
    /// What is wrong with the console's own sections.
    pub diagnostics: Vec<Diagnostic>,
    /// The texts that the diagnostics point into.
    pub sources: Sources,
}

/// Reads a configuration with everything it includes, and checks all of it.
pub fn load(request: &LoadRequest<'_>) -> Loaded {
    let mut context = Context::new(request.host);
    let config = include::read_all(&mut context, request.path)
        .map(|document| build(&mut context, &document, request.overrides));
    context.finish(config)
}

fn build(
    context: &mut Context<'_>,
    document: &include::Document,
    overrides: &[Override],
) -> Config {
    find::warn_about_access(context, &document.files);
    include::warn_about_console(context, &document.sections);
    let mut sorted = sections::sort(context, &document.sections);
    daemon::overrule(context, &mut sorted.daemon, overrides);
    let sockets = daemon::sockets(context, &sorted);
    servers::network(context, &sorted.inet_servers);
    let daemon = daemon::daemon(context, &sorted.daemon, &sockets);
    let console = daemon::console(
        context,
        &sorted.console,
        sockets.console,
        daemon.user.as_ref(),
    );
    for table in [&sorted.daemon, &sorted.console] {
        lint::quotes(context, table);
    }
    let groups = group::build(context, &daemon, &sorted);
    let config = Config {
        daemon,
        console,
        groups,
        files: document.files.clone(),
        origins: sorted.daemon.origins(&context.sources),
        roles: role::build(context, &sorted),
    };
    role::check_way(context, &config, &sorted);
    lint::shared_files(context, &config, &sorted);
    config
}

/// Reads what the console needs: its own section, and the section that names Supervisor's socket. Includes are not
/// followed, and faults elsewhere in the file do not matter.
pub fn load_console(path: &Path, host: &dyn Host) -> LoadedConsole {
    let mut context = Context::new(host);
    let absolute = context.absolute(path);
    let settings = match host.read(&absolute) {
        Ok(raw) => {
            let mine =
                document::parse_file(&mut context, &raw, &absolute, path, is_for_the_console);
            let sorted = sections::sort(&mut context, &mine);
            let server =
                readers::user(&mut context, &sorted.daemon, &context::Variables::default());
            context.diagnostics.clear();
            let sockets = daemon::sockets(&mut context, &sorted);
            Some(daemon::console(
                &mut context,
                &sorted.console,
                sockets.console,
                server.as_ref(),
            ))
        }
        Err(error) => {
            let message = format!("cannot read {}: {error}", path.display());
            context.report(Diagnostic::error("unreadable", message));
            None
        }
    };
    let failed = context.diagnostics.iter().any(Diagnostic::is_error);
    LoadedConsole {
        settings: settings.filter(|_| !failed),
        diagnostics: context.diagnostics,
        sources: context.sources,
    }
}

/// Whether the console reads a section of this name.
fn is_for_the_console(name: &str) -> bool {
    let mine = [
        schema::Kind::Console,
        schema::Kind::UnixServer,
        schema::Kind::Daemon,
        schema::Kind::Default,
    ];
    matches!(schema::section_name(name), schema::SectionName::Fixed(kind, _) if mine.contains(&kind))
}

#[cfg(test)]
mod tests;
