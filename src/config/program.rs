//! From a program's section to the settings of each of its copies.
//!
//! A program is built once for each group it is in, because `%(group_name)s` and the names of its processes differ. What
//! cannot differ between copies is read once; the rest is read for each copy, until one of them is at fault.

use super::context::{Context, Variables};
use super::daemon::check_parent;
use super::diagnostic::Diagnostic;
use super::direct;
use super::fcgi;
use super::lint;
use super::lint_output;
use super::listener;
use super::model::{
    Autorestart, DaemonSettings, EnvLayers, Environment, KeyOrigin, Launch, LogSettings, LogTarget,
    Policy, ProcessSettings, ShownOn,
};
use super::readers::{boolean, env_files, environment, mode, number, size, user};
use super::schema::Dialect;
use super::sections::Named;
use super::value::{self, ChildLog};
use super::value_type::ValueFault;
use crate::types::{GroupName, ProcessKey, ProcessName, ProgramName, Signal};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What a program is built for.
#[derive(Debug, Clone, Copy)]
pub struct Place<'p> {
    /// Its group.
    pub group: &'p GroupName,
    /// Whether the group has a section of its own.
    pub explicit: bool,
    /// Whether the program is in another group before this one, so that its AUTO logs need the group's name too.
    pub shared: bool,
}

/// The two output streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// The keys of this stream: log, size, backups.
    pub fn keys(self) -> [&'static str; 3] {
        match self {
            Self::Stdout => [
                "stdout_logfile",
                "stdout_logfile_maxbytes",
                "stdout_logfile_backups",
            ],
            Self::Stderr => [
                "stderr_logfile",
                "stderr_logfile_maxbytes",
                "stderr_logfile_backups",
            ],
        }
    }

    /// The keys that say what is done with this stream besides its log: capturing, events, the system log.
    pub fn taps(self) -> [&'static str; 3] {
        match self {
            Self::Stdout => [
                "stdout_capture_maxbytes",
                "stdout_events_enabled",
                "stdout_syslog",
            ],
            Self::Stderr => [
                "stderr_capture_maxbytes",
                "stderr_events_enabled",
                "stderr_syslog",
            ],
        }
    }

    /// The key that puts times before the lines of this stream's log.
    pub fn timestamps_key(self) -> &'static str {
        match self {
            Self::Stdout => "stdout_timestamps",
            Self::Stderr => "stderr_timestamps",
        }
    }

    fn suffix(self) -> &'static str {
        match self {
            Self::Stdout => "out",
            Self::Stderr => "err",
        }
    }
}

/// Builds every copy of a program for one group.
pub fn build(
    context: &mut Context<'_>,
    daemon: &DaemonSettings,
    program: &Named<'_>,
    name: &ProgramName,
    place: Place<'_>,
) -> Vec<Arc<ProcessSettings>> {
    let table = &program.table;
    let group = place.group.as_str();
    let once = Variables {
        program: Some((name.as_str(), group)),
        ..Variables::default()
    };
    let numprocs: u32 = number::<u32>(context, table, "numprocs", &once).max(1);
    let start: u32 = number(context, table, "numprocs_start", &once);
    let once = Variables {
        numprocs: Some(numprocs),
        ..once
    };
    let told_apart = check_copies(context, program, numprocs);
    let user = user(context, table, &once);
    let builder = Builder {
        daemon,
        program,
        name,
        place,
        numprocs,
        origin: origin(context, program).into(),
        origins: table.origins(&context.sources),
        policy: policy(context, program, &once),
        umask: mode(context, table, "umask").unwrap_or(daemon.umask),
        listen: fcgi::Common::read(context, daemon, table, &once, user.as_ref()),
        user: user.map(Arc::new),
        redirect_stderr: boolean(context, table, "redirect_stderr", &once).unwrap_or_default(),
        server_url: context
            .value(table, "serverurl", &once, |text, _| value::url(text))
            .flatten(),
    };
    let first = Variables {
        process_num: Some(start),
        ..once
    };
    lint::program(
        context,
        program,
        &builder.policy,
        builder.redirect_stderr,
        &first,
    );
    let mut copies = Vec::new();
    for index in 0..if told_apart { numprocs } else { 1 } {
        let errors = context.diagnostics.len();
        let variables = Variables {
            process_num: Some(start + index),
            ..once
        };
        copies.extend(builder.copy(context, index, start + index, &variables));
        // What is wrong with one copy is wrong with all.
        let found = context.diagnostics.get(errors..).unwrap_or_default();
        if found.iter().any(Diagnostic::is_error) {
            break;
        }
    }
    if let Some(first) = copies.first() {
        lint::command(context, program, &first.launch);
    }
    copies
}

fn origin(context: &Context<'_>, program: &Named<'_>) -> String {
    let header = program.table.header;
    header
        .and_then(|span| context.sources.location(span))
        .map(|place| format!("{}:{}", place.path.display(), place.line))
        .unwrap_or_default()
}

/// Several copies need names of their own: reports when they would not have them, and returns whether they do.
fn check_copies(context: &mut Context<'_>, program: &Named<'_>, numprocs: u32) -> bool {
    if numprocs < 2 {
        return true;
    }
    let table = &program.table;
    let name = program.name;
    match table.field("process_name") {
        Some(field) if !field.value.text.contains("%(process_num)") => {
            let span = field.value.span();
            let mut fault = Diagnostic::error(
                "same-names",
                format!("the {numprocs} copies of program `{name}` would have the same name"),
            )
            .at(span, "`%(process_num)` is missing")
            .suggest(span, format!("{}_%(process_num)02d", field.value.text));
            if let Some(numprocs) = table.field("numprocs") {
                fault = fault.also(numprocs.value.span(), "several copies are asked for");
            }
            context.report(fault);
            false
        }
        None if table.dialect == Dialect::Supervisor => {
            let span = table.span("numprocs");
            let mut fault = Diagnostic::error(
                "same-names",
                format!("the {numprocs} copies of program `{name}` would have the same name"),
            )
            .help("add `process_name=%(program_name)s_%(process_num)02d`")
            .help(format!("or name the section [program.{name}], whose copies are called {name}:0, {name}:1 and so on"));
            if let Some(span) = span {
                fault = fault.at(
                    span,
                    "several copies, and no `process_name` with `%(process_num)`",
                );
            }
            context.report(fault);
            false
        }
        Some(_) | None => true,
    }
}

fn policy(context: &mut Context<'_>, program: &Named<'_>, variables: &Variables<'_>) -> Policy {
    let table = &program.table;
    let seconds = |number: u32| Duration::from_secs(u64::from(number));
    let stopasgroup = boolean(context, table, "stopasgroup", variables).unwrap_or_default();
    let killasgroup = boolean(context, table, "killasgroup", variables);
    if let (true, Some(false)) = (stopasgroup, killasgroup) {
        let message = format!(
            "program `{}` would signal its group to stop and kill only one process",
            program.name
        );
        let mut fault = Diagnostic::error("contradiction", message)
            .help("with `stopasgroup=true`, leave `killasgroup` out or set it to true");
        if let (Some(kill), Some(stop)) = (table.span("killasgroup"), table.field("stopasgroup")) {
            fault = fault
                .at(kill, "contradicts `stopasgroup`")
                .also(stop.value.span(), "the whole group is stopped");
        }
        context.report(fault);
    }
    Policy {
        autostart: boolean(context, table, "autostart", variables).unwrap_or_default(),
        autorestart: context
            .value(table, "autorestart", variables, |text, _| {
                value::autorestart(text)
            })
            .unwrap_or(Autorestart::Unexpected),
        startsecs: seconds(number(context, table, "startsecs", variables)),
        startretries: number(context, table, "startretries", variables),
        exitcodes: context
            .value(table, "exitcodes", variables, |text, _| {
                value::exit_codes(text)
            })
            .unwrap_or_default(),
        stopsignal: context
            .value(table, "stopsignal", variables, |text, _| {
                value::signal(text)
            })
            .unwrap_or(Signal::TERM),
        stopwaitsecs: seconds(number(context, table, "stopwaitsecs", variables)),
        priority: listener::rank(context, table, variables),
        stopasgroup,
        killasgroup: killasgroup.unwrap_or(stopasgroup),
        essential: boolean(context, table, "essential", variables).unwrap_or_default(),
    }
}

/// What all copies of a program have in common.
struct Builder<'b> {
    daemon: &'b DaemonSettings,
    program: &'b Named<'b>,
    name: &'b ProgramName,
    place: Place<'b>,
    numprocs: u32,
    origin: Arc<str>,
    origins: Arc<[KeyOrigin]>,
    policy: Policy,
    umask: u32,
    user: Option<Arc<super::model::User>>,
    redirect_stderr: bool,
    server_url: Option<String>,
    listen: Option<fcgi::Common>,
}

impl Builder<'_> {
    /// One copy; `None` when it has no name or no command, which is reported.
    fn copy(
        &self,
        context: &mut Context<'_>,
        index: u32,
        process_num: u32,
        variables: &Variables<'_>,
    ) -> Option<Arc<ProcessSettings>> {
        let table = &self.program.table;
        let own = environment(context, table, variables);
        let variables = Variables {
            environment: Some(&own.0),
            ..*variables
        };
        let process = self.process_name(context, process_num, &variables);
        let (command, argv) = self.command(context, &variables)?;
        let directory = context.value_with(table, "directory", &variables, |context, text, _| {
            context.path(&value::filled(text)?)
        });
        let listen = self
            .listen
            .as_ref()
            .and_then(|common| common.of_copy(context, table, &variables, index == 0));
        let stdout = self.log(context, Stream::Stdout, index, &variables);
        let stderr = self.log(context, Stream::Stderr, index, &variables);
        let common = self.daemon.environment.0.iter();
        let common = common
            .filter(|(name, _)| !own.0.contains_key(*name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let env_layers = EnvLayers {
            common_files: self.daemon.env_files.clone(),
            common: Environment(common),
            files: env_files(context, table, &variables),
        };
        Some(Arc::new(ProcessSettings {
            key: ProcessKey {
                group: self.place.group.clone(),
                process: process?,
            },
            program: self.name.clone(),
            process_num,
            origin: Arc::clone(&self.origin),
            origins: Arc::clone(&self.origins),
            launch: Launch {
                argv,
                command,
                directory,
                umask: self.umask,
                user: self.user.clone(),
                environment: own,
                env_layers,
                redirect_stderr: self.redirect_stderr,
                strip_ansi: self.daemon.strip_ansi,
                server_url: self.server_url.clone(),
                listener: listener::is_listener(table),
                listen,
            },
            policy: self.policy.clone(),
            stdout,
            stderr,
        }))
    }

    fn command(
        &self,
        context: &mut Context<'_>,
        variables: &Variables<'_>,
    ) -> Option<(String, Vec<String>)> {
        let table = &self.program.table;
        if table.field("command").is_none() {
            let message = format!("program `{}` has no command", self.program.name);
            let mut fault = Diagnostic::error("missing-command", message)
                .help("add a line such as `command=/usr/bin/env`");
            if let Some(header) = table.header {
                fault = fault.at(header, "`command` is missing");
            }
            context.report(fault);
            return None;
        }
        context.value(table, "command", variables, |text, _| {
            let words = value::command(text)?;
            // It is kept for as long as the daemon runs, so without room to grow.
            let words = words.into_iter().map(|word| word.text);
            let mut argv: Vec<String> = words.collect();
            argv.iter_mut().for_each(String::shrink_to_fit);
            argv.shrink_to_fit();
            Ok((text.to_owned(), argv))
        })
    }

    /// The name of one copy. A native program without `process_name` is called like its program, its copies by number.
    fn process_name(
        &self,
        context: &mut Context<'_>,
        process_num: u32,
        variables: &Variables<'_>,
    ) -> Option<ProcessName> {
        let table = &self.program.table;
        if table.dialect == Dialect::Native && table.field("process_name").is_none() {
            let name = match (self.numprocs > 1, self.place.explicit) {
                (false, _) => self.name.to_string(),
                (true, false) => process_num.to_string(),
                (true, true) => format!("{}:{process_num}", self.name),
            };
            return ProcessName::new(&name).ok();
        }
        context.value(table, "process_name", variables, |text, _| {
            value::process_name(text)
        })
    }

    fn log(
        &self,
        context: &mut Context<'_>,
        stream: Stream,
        index: u32,
        variables: &Variables<'_>,
    ) -> LogSettings {
        let table = &self.program.table;
        let [log, maxbytes, backups] = stream.keys();
        let [capture, events, syslog] = stream.taps();
        let target = context.value_with(table, log, variables, |context, text, _| {
            let (file, shown) = value::log_targets(text)?;
            let (path, auto) = match file {
                ChildLog::Auto if self.daemon.auto_logs => (self.auto(stream, index), true),
                ChildLog::Auto | ChildLog::None => return Ok((LogTarget::Discard, shown, false)),
                ChildLog::Syslog => return Ok((LogTarget::Discard, shown, true)),
                ChildLog::Path(path) => (self.numbered(context, &path, log, index)?.into(), false),
            };
            Ok((LogTarget::File { path, auto }, shown, false))
        });
        let (target, mut shown, old_syslog) = target
            .map_or((None, ShownOn::default(), false), |(target, shown, old)| {
                (Some(target), shown, old)
            });
        // What goes to a standard stream already is not shown twice.
        if self.daemon.nodaemon && self.daemon.stdout.shows_children() && !shown.is_anywhere() {
            shown.stdout = true;
        }
        if let Some(LogTarget::File { path, auto: false }) = &target {
            check_parent(context, table, log, path, &self.daemon.childlogdir);
        }
        let settings = LogSettings {
            target: target.unwrap_or(LogTarget::Discard),
            maxbytes: size(context, table, maxbytes, variables),
            backups: number(context, table, backups, variables),
            timestamps: context
                .value(table, stream.timestamps_key(), variables, |text, _| {
                    value::timestamps(text)
                })
                .unwrap_or_default(),
            shown,
            direct: false,
            capture_maxbytes: size(context, table, capture, variables),
            events_enabled: boolean(context, table, events, variables).unwrap_or_default(),
            syslog: boolean(context, table, syslog, variables).unwrap_or_default() || old_syslog,
        };
        let mut settings = if stream == Stream::Stdout && listener::is_listener(table) {
            listener::protocol(settings)
        } else {
            settings
        };
        if stream == Stream::Stdout || !self.redirect_stderr {
            let first = index == 0;
            direct::apply(
                context,
                self.program,
                self.daemon,
                stream,
                &mut settings,
                (variables, first),
            );
        }
        if index == 0 {
            lint_output::log(
                context,
                self.program,
                stream,
                &settings,
                self.redirect_stderr,
            );
        }
        settings
    }

    fn auto(&self, stream: Stream, index: u32) -> Arc<Path> {
        let group = if self.place.shared {
            format!("{}_", self.place.group)
        } else {
            String::new()
        };
        let suffix = stream.suffix();
        let file = format!("{group}{}_{index}_{suffix}.log", self.name);
        self.daemon.childlogdir.join(file).into()
    }

    /// An explicit path: copies of a native program get their number at its end, unless the path tells them apart itself.
    fn numbered(
        &self,
        context: &mut Context<'_>,
        path: &str,
        key: &str,
        index: u32,
    ) -> Result<PathBuf, ValueFault> {
        let table = &self.program.table;
        let raw = table.field(key).map_or("", |field| &field.value.text);
        let alone = table.dialect == Dialect::Supervisor
            || self.numprocs < 2
            || raw.contains("%(")
            || Path::new(path).starts_with("/dev");
        let path = if alone {
            path.to_owned()
        } else {
            format!("{path}{index}")
        };
        context.path(&path)
    }
}
