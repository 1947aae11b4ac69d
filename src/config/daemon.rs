//! The daemon's and the console's settings, and the socket on which they meet.

use super::Override;
use super::context::{Context, Variables};
use super::diagnostic::Diagnostic;
use super::document::SourceText;
use super::host::FileKind;
use super::model::{ConsoleSettings, DaemonSettings, Owner, User};
use super::readers::{
    boolean, env_files, environment, mode, number, path, seconds, size, text, user,
};
use super::schema::{self, DEFAULT_DIRECTORY, DEFAULT_DIRECTORY_IN_MEMORY, Dialect, Kind};
use super::sections::Sorted;
use super::servers::credentials;
use super::source::Span;
use super::table::{Field, Table};
use super::value::{self, MainLog, SOCKET_PATH_BYTES_MAX};
use super::value_type::ValueFault;
use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// Puts the flags of the command line in place of the file's values. Each flag becomes a line of a text of its own, so
/// that a fault in it is shown like one in a file.
pub fn overrule(context: &mut Context<'_>, table: &mut Table<'_>, overrides: &[Override]) {
    for flag in overrides {
        let Some(key) = schema::find(Kind::Daemon, flag.key) else {
            debug_assert!(false, "the schema has no row for {}", flag.key);
            continue;
        };
        if flag.weak && table.field(key.name).is_some() {
            continue;
        }
        let line = format!("{} {}", flag.flag, flag.value);
        let start = flag.flag.len() + 1;
        let file = context.add_source(Path::new("command line"), Path::new("/"), line);
        let shown = if flag.weak {
            format!("{} ({})", flag.flag, flag.key)
        } else if flag.flag.starts_with("--") {
            flag.flag.to_owned()
        } else {
            format!("{}/--{}", flag.flag, flag.key)
        };
        let value = SourceText::line(
            &flag.value,
            Span::new(file, start..start + flag.value.len()),
        );
        let field = Field {
            shown,
            key_span: Span::new(file, 0..flag.flag.len()),
            value: Cow::Owned(value),
            literal: true,
        };
        table.overrule(key.name, field);
    }
}

/// Reads the daemon's section. The variables of its `environment` are known to everything that is read later.
pub fn daemon(context: &mut Context<'_>, table: &Table<'_>, sockets: &Sockets) -> DaemonSettings {
    let environment = environment(context, table, &Variables::default());
    context.environment.extend(environment.0.clone());
    let directory = path(context, table, "directory");
    if let Some(directory) = &directory
        && !context.is_dir(directory)
    {
        let message = format!("{} does not name a directory", subject(table, "directory"));
        missing(context, table, "directory", message, directory);
    }
    let childlogdir = childlogdir(context, table);
    let (logfile, syslog) = logfile(context, table, &childlogdir);
    let pidfile = path(context, table, "pidfile");
    if let Some(pidfile) = &pidfile {
        check_parent(context, table, "pidfile", pidfile, &childlogdir);
    }
    table.report_idle(context, &Variables::default());
    DaemonSettings {
        socket: sockets.daemon.clone(),
        socket_mode: sockets.mode,
        socket_owner: sockets.owner,
        logfile,
        syslog,
        logfile_maxbytes: size(context, table, "logfile_maxbytes", &Variables::default()),
        logfile_backups: number(context, table, "logfile_backups", &Variables::default()),
        loglevel: context
            .value(table, "loglevel", &Variables::default(), |text, _| {
                value::log_level(text)
            })
            .unwrap_or(super::model::LogLevel::Info),
        pidfile,
        umask: mode(context, table, "umask").unwrap_or(0o022),
        nodaemon: boolean(context, table, "nodaemon", &Variables::default()).unwrap_or_default(),
        silent: boolean(context, table, "silent", &Variables::default()).unwrap_or_default(),
        minfds: u64::from(number::<u32>(
            context,
            table,
            "minfds",
            &Variables::default(),
        )),
        minprocs: u64::from(number::<u32>(
            context,
            table,
            "minprocs",
            &Variables::default(),
        )),
        nocleanup: boolean(context, table, "nocleanup", &Variables::default()).unwrap_or_default(),
        childlogdir,
        user: user(context, table, &Variables::default()),
        directory,
        strip_ansi: boolean(context, table, "strip_ansi", &Variables::default())
            .unwrap_or_default(),
        identifier: text(context, table, "identifier").unwrap_or_default(),
        environment,
        on_orphans: context
            .value(table, "on_orphans", &Variables::default(), |text, _| {
                value::on_orphans(text)
            })
            .unwrap_or_default(),
        env_files: env_files(context, table, &Variables::default()),
        stdout: context
            .value(table, "stdout", &Variables::default(), |text, _| {
                value::standard_output(text)
            })
            .unwrap_or_default(),
        stdout_format: context
            .value(table, "stdout_format", &Variables::default(), |text, _| {
                value::line_format(text)
            })
            .unwrap_or_default(),
        stdout_timestamps: context.value(
            table,
            "stdout_timestamps",
            &Variables::default(),
            |text, _| value::timestamps(text),
        ),
        exit_when: context
            .value(table, "exit_when", &Variables::default(), |text, _| {
                value::exit_when(text)
            })
            .unwrap_or_default(),
        control_socket: boolean(context, table, "control_socket", &Variables::default())
            .unwrap_or(true),
        auto_logs: boolean(context, table, "auto_logs", &Variables::default()).unwrap_or(true),
        log_to_stderr: boolean(context, table, "log_to_stderr", &Variables::default())
            .unwrap_or_default(),
        shutdown_timeout: seconds(context, table, "shutdown_timeout", &Variables::default()),
    }
}

fn childlogdir(context: &mut Context<'_>, table: &Table<'_>) -> PathBuf {
    let Some(given) = path(context, table, "childlogdir") else {
        return match table.dialect {
            Dialect::Native => Path::new(DEFAULT_DIRECTORY).join("childlog"),
            Dialect::Supervisor => context.host.temp_dir(),
        };
    };
    if table.field("childlogdir").is_none() {
        return given;
    }
    let parent = given.parent().unwrap_or(Path::new("/")).to_owned();
    let facts = context.facts(&given);
    if facts.is_none() && !is_made_by_us(&parent) && !context.is_dir(&parent) {
        let message = format!("{} cannot be created", subject(table, "childlogdir"));
        missing(context, table, "childlogdir", message, &parent);
    } else if facts.is_some_and(|facts| facts.kind != FileKind::Directory) {
        let message = format!(
            "{} does not name a directory",
            subject(table, "childlogdir")
        );
        missing(context, table, "childlogdir", message, &given);
    }
    given
}

/// The file of the daemon's own log, and whether it goes to the system log.
fn logfile(
    context: &mut Context<'_>,
    table: &Table<'_>,
    childlogdir: &Path,
) -> (Option<PathBuf>, bool) {
    let log = context.value(table, "logfile", &Variables::default(), |text, _| {
        Ok(value::main_log(text))
    });
    match log {
        None | Some(MainLog::None) => (None, false),
        Some(MainLog::Syslog) => (None, true),
        Some(MainLog::Path(text)) => {
            let path = expand_home(context, table, "logfile", &text);
            if let Some(path) = &path {
                check_parent(context, table, "logfile", path, childlogdir);
            }
            (path, false)
        }
    }
}

/// Where the daemon listens and where the console connects.
#[derive(Debug)]
pub struct Sockets {
    /// Where the daemon listens.
    pub daemon: PathBuf,
    /// Its mode.
    pub mode: u32,
    /// Whom it is given to.
    pub owner: Option<Owner>,
    /// Where the console connects.
    pub console: PathBuf,
}

/// Finds the sockets: the daemon's is named by Supervisor's section for it, else by the console's, else by the default.
pub fn sockets(context: &mut Context<'_>, sorted: &Sorted<'_>) -> Sockets {
    let console = console_socket(context, &sorted.console);
    let Some(server) = &sorted.unix_server else {
        let socket = console.unwrap_or_else(|| default_socket(context));
        return Sockets {
            daemon: socket.clone(),
            mode: 0o600,
            owner: None,
            console: socket,
        };
    };
    credentials(context, server);
    let mode = mode(context, server, "chmod").unwrap_or(0o700);
    let owner = context.value_with(
        server,
        "chown",
        &Variables::default(),
        |context, text, _| context.owner(text),
    );
    let listening = socket_path(context, server, "file");
    let default = default_socket(context);
    if server.field("file").is_none()
        && let Some(header) = server.header
    {
        context.report(
            Diagnostic::error("missing-key", "[unix_http_server] names no socket")
                .at(header, "`file` is missing")
                .help("name it: `file = /run/taskmaster.sock`"),
        );
    }
    if let (Some(listening), Some(console)) = (&listening, &console)
        && listening != console
        && let Some(field) = sorted.console.field("serverurl")
    {
        let mut warning = Diagnostic::warning(
            "two-sockets",
            "the console would not find the daemon: their sockets differ",
        )
        .at(field.value.span(), "the console connects to this one");
        if let Some(field) = server.field("file") {
            warning = warning.also(field.value.span(), "the daemon listens on this one");
        }
        context.report(warning);
    }
    let daemon = listening.unwrap_or(default);
    Sockets {
        console: console.unwrap_or_else(|| daemon.clone()),
        daemon,
        mode,
        owner,
    }
}

/// In memory, where the usual directory cannot be made: a container whose file system is read-only has that much.
/// Daemon and console come to the same answer, since both ask the machine and not their privileges.
fn default_socket(context: &Context<'_>) -> PathBuf {
    let usual = Path::new(DEFAULT_DIRECTORY);
    let in_memory = Path::new(DEFAULT_DIRECTORY_IN_MEMORY);
    let is_writable = |path: &Path| context.host.is_writable(path);
    let usable = |path: &Path| is_writable(path) || path.parent().is_some_and(is_writable);
    let directory = if usable(in_memory) && !usable(usual) && context.host.facts(usual).is_none() {
        in_memory
    } else {
        usual
    };
    directory.join("taskmasterd.sock")
}

/// The socket that the console's section names, if it names one.
fn console_socket(context: &mut Context<'_>, table: &Table<'_>) -> Option<PathBuf> {
    if let Some(field) = table.field("serverurl") {
        let text = field.value.text.clone();
        // Every file for Supervisor may have this, and its daemon did not depend on it: no reason to refuse the file.
        let network = text.starts_with("http://") || text.eq_ignore_ascii_case("auto");
        if network && table.dialect == Dialect::Supervisor {
            context.report(
                Diagnostic::warning(
                    "not-supported",
                    format!("`serverurl={text}` is not supported by this version"),
                )
                .at(field.value.span(), "the console uses the Unix socket"),
            );
            return None;
        }
    }
    table
        .field("serverurl")
        .and_then(|_| socket_path(context, table, "serverurl"))
}

fn socket_path(context: &mut Context<'_>, table: &Table<'_>, name: &str) -> Option<PathBuf> {
    let field = table.field(name)?;
    context.value_with(table, name, &Variables::default(), |context, text, _| {
        let text = value::socket(text)?;
        if !text.starts_with(['/', '~']) {
            let message = format!("{} is a relative path", table.subject(name));
            context.report(
                Diagnostic::warning("relative-socket", message)
                    .at(field.value.span(), "starts at the directory that each is called from")
                    .help(format!("daemon and console would meet only there: write an absolute path, or %(here)s/{text} for the directory of this file")),
            );
        }
        let path = context.path(&text)?;
        let length = path.as_os_str().len();
        if length > SOCKET_PATH_BYTES_MAX {
            return Err(ValueFault::new(format!("the path has {length} bytes"))
                .help(format!("the system allows {SOCKET_PATH_BYTES_MAX} bytes for the path of a socket; choose a shorter one")));
        }
        match context.facts(&path) {
            Some(facts) if facts.kind != FileKind::Socket => Err(ValueFault::new(format!(
                "{} exists and is not a socket",
                path.display()
            ))),
            Some(_) | None => Ok(path),
        }
    })
}

/// Reads the console's section.
pub fn console(
    context: &mut Context<'_>,
    table: &Table<'_>,
    socket: PathBuf,
    server: Option<&User>,
) -> ConsoleSettings {
    credentials(context, table);
    ConsoleSettings {
        socket,
        server_uid: server.map(|user| user.uid),
        prompt: text(context, table, "prompt").unwrap_or_default(),
        history_file: path(context, table, "history_file"),
        edit_mode: context
            .value(table, "edit_mode", &Variables::default(), |text, _| {
                value::edit_mode(text)
            })
            .unwrap_or_default(),
        announce: boolean(context, table, "announce", &Variables::default()).unwrap_or(true),
        username: text(context, table, "username"),
        password: text(context, table, "password"),
    }
}

/// Whether a directory is made by the daemon itself when it starts.
pub fn is_made_by_us(directory: &Path) -> bool {
    [DEFAULT_DIRECTORY, DEFAULT_DIRECTORY_IN_MEMORY].contains(&directory.to_str().unwrap_or(""))
}

/// Reports a path whose directory does not exist.
pub fn check_parent(
    context: &mut Context<'_>,
    table: &Table<'_>,
    name: &str,
    path: &Path,
    childlogdir: &Path,
) {
    let Some(field) = table.field(name) else {
        return;
    };
    let subject = table.subject(&field.shown);
    if context.is_dir(path) {
        let message = format!("{subject} names a directory");
        return missing_label(context, table, name, message, "a file is expected");
    }
    let parent = path.parent().unwrap_or(Path::new("/"));
    if parent == childlogdir || is_made_by_us(parent) || context.is_dir(parent) {
        return;
    }
    let message = format!("the directory for {subject} does not exist");
    missing(context, table, name, message, parent);
}

/// What messages call a key: the flag, where one stands for it.
fn subject(table: &Table<'_>, name: &str) -> String {
    table.subject(table.field(name).map_or(name, |field| &field.shown))
}

fn missing(
    context: &mut Context<'_>,
    table: &Table<'_>,
    name: &str,
    message: String,
    directory: &Path,
) {
    let shown = directory.display();
    let label = match context.facts(directory) {
        None => format!("there is no {shown}"),
        Some(_) => format!("{shown} is not a directory"),
    };
    missing_label(context, table, name, message, &label);
    if context.facts(directory).is_none()
        && let Some(last) = context.diagnostics.last_mut()
    {
        last.help.push(format!("create it: mkdir -p {shown}"));
    }
}

fn missing_label(
    context: &mut Context<'_>,
    table: &Table<'_>,
    name: &str,
    message: String,
    label: &str,
) {
    let mut fault = Diagnostic::error("missing-directory", message);
    if let Some(span) = table.span(name) {
        fault = fault.at(span, label);
    }
    context.report(fault);
}

/// Makes a path of a value that was read before, with the fault at the same place.
fn expand_home(
    context: &mut Context<'_>,
    table: &Table<'_>,
    name: &str,
    text: &str,
) -> Option<PathBuf> {
    match context.path(text) {
        Ok(path) => Some(path),
        Err(fault) => {
            let mut diagnostic = Diagnostic::error(
                "bad-value",
                format!("{} is not a path", table.subject(name)),
            );
            if let Some(span) = table.span(name) {
                diagnostic = diagnostic.at(span, fault.label);
            }
            context.report(diagnostic);
            None
        }
    }
}
