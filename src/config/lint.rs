//! Warnings: what is allowed and probably not meant.
//!
//! A lint never changes what is loaded. Each says what will happen and how to say what was meant.

use super::context::{Context, Variables, quoted_comment, unquoted};
use super::diagnostic::Diagnostic;
use super::environment::{Doubt, DoubtKind};
use super::host::FileKind;
use super::lint_env;
use super::model::{Autorestart, Config, Launch, LogTarget, Policy};
use super::program::Stream;
use super::schema;
use super::sections::{Named, Sorted};
use super::source::Span;
use super::table::{Field, Table};
use super::value::{self, ChildLog};
use super::value_type::ValueType;
use crate::types::ProcessKey;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Where commands are looked for when no `PATH` is known.
const DEFAULT_PATH: &str = "/bin:/usr/bin:/usr/local/bin";

/// Doubts about a list of variables.
pub fn environment(
    context: &mut Context<'_>,
    table: &Table<'_>,
    field: &Field<'_>,
    doubts: &[Doubt],
) {
    let subject = table.subject(&field.shown);
    // Places are known only where nothing was expanded; a place past the end would be shown at the end.
    let templated = super::expand::is_template(&field.value.text);
    for doubt in doubts {
        let span = if templated {
            field.value.span()
        } else {
            field.value.part(&doubt.range)
        };
        let warning = match &doubt.kind {
            DoubtKind::Truncated { kept } => Diagnostic::warning(
                "unquoted-value",
                format!("{subject} holds a value that needs quotes"),
            )
            .at(span, "taken as it stands, to the next comma")
            .help(format!(
                "Supervisor reads only `{kept}`; quotes make both read all of it"
            ))
            .help("no shell runs: `$` and `~` stand for themselves"),
            DoubtKind::Repeated { name, first } => {
                let warning = Diagnostic::warning(
                    "duplicate-variable",
                    format!("{subject} sets {name} twice"),
                )
                .at(span, "this one counts");
                if templated {
                    warning
                } else {
                    warning.also(field.value.part(first), "this one is ignored")
                }
            }
            DoubtKind::Separator => Diagnostic::warning(
                "separator",
                format!("{subject} separates variables with `;`"),
            )
            .at(span, "read as a comma")
            .suggest(span, ","),
        };
        context.report(warning);
    }
}

/// Quotes that do not quote: they are part of the value, and a comment cuts a value even within them. In `command` and
/// `environment` quotes do quote, and one that a comment leaves open makes the value unreadable, which is an error.
pub fn quotes(context: &mut Context<'_>, table: &Table<'_>) {
    for (name, field) in table.fields() {
        let Some(key) = schema::find(table.kind, name) else {
            continue;
        };
        if matches!(key.value, ValueType::Command | ValueType::Environment) {
            continue;
        }
        if let Some(cut) = quoted_comment(field, &field.value.text) {
            context.report(
                Diagnostic::warning(
                    "cut-value",
                    format!("a comment cuts {} short within quotes", table.subject(&field.shown)),
                )
                .at(cut, "a comment, although it stands within quotes")
                .also(field.value.span(), "the value ends here")
                .help("`;` and `#` after a blank begin a comment: write them without a blank before them"),
            );
        } else if let Some(bare) = unquoted(&field.value.text)
            && key.value.takes_any_text()
        {
            context.report(
                Diagnostic::warning(
                    "quoted-value",
                    format!("the quotes are part of {}", table.subject(&field.shown)),
                )
                .at(field.value.span(), "taken as it stands, with the quotes")
                .suggest(field.value.span(), bare),
            );
        }
    }
}

/// Settings of a program that contradict or weaken each other.
pub fn program(
    context: &mut Context<'_>,
    program: &Named<'_>,
    policy: &Policy,
    redirect_stderr: bool,
    variables: &Variables<'_>,
) {
    let table = &program.table;
    table.report_idle(context, variables);
    quotes(context, table);
    let name = program.name;
    let warn =
        |context: &mut Context<'_>, key: &str, code, message: String, label: &str, help: &str| {
            if let Some(field) = table.field(key) {
                context.report(
                    Diagnostic::warning(code, message)
                        .at(field.value.span(), label)
                        .help(help),
                );
            }
        };
    if policy.startsecs.is_zero() && policy.autorestart == Autorestart::Always {
        warn(
            context,
            "startsecs",
            "restart-loop",
            format!("program `{name}` may be restarted in a tight loop"),
            "counts as started at once",
            "with `autorestart=true` a program that ends at once is started again without a delay; give `startsecs` at least 1",
        );
    }
    if policy.stopwaitsecs.is_zero() {
        warn(
            context,
            "stopwaitsecs",
            "no-grace",
            format!("program `{name}` is killed as soon as it is asked to stop"),
            "no time to react to the stop signal",
            "give it at least 1 second, or say `stopsignal=KILL` if that is meant",
        );
    }
    let harmless = [
        "CHLD", "CONT", "URG", "WINCH", "STOP", "TSTP", "TTIN", "TTOU",
    ];
    let signal = policy.stopsignal.to_string();
    if signal
        .strip_prefix("SIG")
        .is_some_and(|word| harmless.contains(&word))
    {
        warn(
            context,
            "stopsignal",
            "odd-signal",
            format!("{signal} does not end a program by itself"),
            "the program will be killed after `stopwaitsecs`",
            "usual stop signals are TERM, INT, QUIT and HUP",
        );
    }
    if redirect_stderr {
        for key in Stream::Stderr
            .keys()
            .into_iter()
            .chain([Stream::Stderr.direct_key()])
        {
            let given = table.field(key).is_some_and(|field| {
                !matches!(
                    value::child_log(&field.value.text),
                    ChildLog::Auto | ChildLog::None
                )
            });
            if given {
                warn(
                    context,
                    key,
                    "no-effect",
                    format!("{} has no effect", table.subject(key)),
                    "standard error goes to the log of standard output",
                    "leave it out, or remove `redirect_stderr`",
                );
            }
        }
    }
}

/// A device or a descriptor: written like a file, but without a size.
pub fn is_stream(path: &Path) -> bool {
    // The path has been put in order, and comparing bytes is much quicker than comparing components.
    let bytes = path.as_os_str().as_encoded_bytes();
    bytes.starts_with(b"/dev/") || bytes.starts_with(b"/proc/")
}

/// A program that is not there (yet), and words that only a shell understands.
pub fn command(context: &mut Context<'_>, program: &Named<'_>, launch: &Launch) {
    let table = &program.table;
    let Some(field) = table.field("command") else {
        return;
    };
    let shell_words = ["&", "&&", "|", "||", ">", ">>", "<", "2>&1"];
    if let Some(word) = launch
        .argv
        .iter()
        .skip(1)
        .find(|word| shell_words.contains(&word.as_str()))
    {
        let at = field.value.text.find(&format!(" {word}")).map(|at| at + 1);
        let span = at.map_or_else(
            || field.value.span(),
            |at| field.value.part(&(at..at + word.len())),
        );
        context.report(
            Diagnostic::warning(
                "shell-word",
                format!(
                    "the command of program `{}` is not run by a shell",
                    program.name
                ),
            )
            .at(
                span,
                format!("`{word}` is passed to the program as an argument"),
            )
            .help("to have a shell, write `command=sh -c '…'`"),
        );
    }
    let Some(word) = launch.argv.first() else {
        return;
    };
    if let Some(problem) = executable_problem(context, word, launch) {
        let literal = field.value.text.starts_with(word.as_str());
        let span = if literal {
            field.value.part(&(0..word.len()))
        } else {
            field.value.span()
        };
        let message = format!(
            "the command of program `{}` cannot be run now",
            program.name
        );
        context.report(Diagnostic::warning("no-binary", message).at(span, problem));
    }
}

fn executable_problem(context: &mut Context<'_>, word: &str, launch: &Launch) -> Option<String> {
    if word.contains('/') {
        // A relative program is run from the program's own directory.
        let start = launch
            .directory
            .clone()
            .unwrap_or_else(|| context.base.clone());
        let path: PathBuf = start.join(word);
        return match context.facts(&path).map(|facts| facts.kind) {
            None => Some(format!("there is no {}", path.display())),
            Some(FileKind::Directory) => Some(format!("{} is a directory", path.display())),
            Some(_) if !context.is_executable(&path) => {
                Some(format!("{} is not executable", path.display()))
            }
            Some(_) => None,
        };
    }
    let path = lint_env::search_path(context, launch).unwrap_or_else(|| DEFAULT_PATH.to_owned());
    let found = path.split(':').filter(|dir| !dir.is_empty()).any(|dir| {
        let candidate = Path::new(dir).join(word);
        context.facts(&candidate).is_some()
    });
    (!found).then(|| format!("there is no `{word}` in PATH"))
}

/// What can be seen only when everything is built: files that two things write to.
pub fn shared_files(context: &mut Context<'_>, config: &Config, sorted: &Sorted<'_>) {
    let named = sorted.listeners.iter().chain(&sorted.programs);
    let programs: BTreeMap<&str, &Named<'_>> =
        named.map(|program| (program.name, program)).collect();
    let own = own_files(config);
    let mut writers: BTreeMap<&OsStr, (&ProcessKey, Option<Span>, Stream)> = BTreeMap::new();
    let mut reported: Vec<(Option<Span>, Option<Span>)> = Vec::new();
    for process in config
        .groups
        .values()
        .flat_map(|group| group.processes.values())
    {
        let Some(program) = programs.get(process.program.as_str()) else {
            continue;
        };
        for (stream, settings) in [
            (Stream::Stdout, &process.stdout),
            (Stream::Stderr, &process.stderr),
        ] {
            let LogTarget::File { path, .. } = &settings.target else {
                continue;
            };
            let unused = stream == Stream::Stderr && process.launch.redirect_stderr;
            if unused || is_stream(path) {
                continue;
            }
            let span = program.table.span(stream.keys()[0]);
            if let Some(what) = own.get(path.as_os_str()) {
                let message = format!("the log of `{}` would go into {what}", process.key);
                // Real files send programs into the daemon's log, and both append; the other files would be lost.
                let both = config.daemon.logfile.as_deref() == Some(path);
                let kind = [Diagnostic::error, Diagnostic::warning][usize::from(both)];
                let mut fault = kind("same-file", message).help("choose another file");
                if let Some(span) = span {
                    fault = fault.at(span, format!("this is {what}"));
                }
                context.report(fault);
            }
            let Some(&(other, other_span, other_stream)) = writers.get(path.as_os_str()) else {
                writers.insert(path.as_os_str(), (&process.key, span, stream));
                continue;
            };
            if reported.contains(&(span, other_span)) {
                continue;
            }
            reported.push((span, other_span));
            context.report(same_log(
                path,
                &process.key,
                span,
                other,
                other_span,
                stream != other_stream,
            ));
        }
    }
}

fn same_log(
    path: &Path,
    key: &ProcessKey,
    span: Option<Span>,
    other: &ProcessKey,
    other_span: Option<Span>,
    other_stream: bool,
) -> Diagnostic {
    let shown = path.display();
    let (message, help) = if key == other {
        (
            format!("both outputs of `{key}` go to {shown}"),
            "each would rotate the file under the other; use `redirect_stderr=true` instead",
        )
    } else {
        (
            format!("`{other}` and `{key}` log to the same file {shown}"),
            "each would rotate the file under the other; give each its own, for example with %(program_name)s or %(process_num)d in the path",
        )
    };
    let mut warning = Diagnostic::warning("same-file", message).help(help);
    if let Some(span) = span {
        warning = warning.at(span, "the same file");
    }
    match other_span {
        Some(first) if other_span != span || other_stream => warning.also(first, "first here"),
        Some(_) | None => warning,
    }
}

/// The files of the daemon itself, and what each is.
fn own_files(config: &Config) -> BTreeMap<&OsStr, &'static str> {
    let daemon = &config.daemon;
    let read = config
        .files
        .iter()
        .map(|file| (file, "a configuration file"));
    let pidfile = daemon
        .pidfile
        .iter()
        .map(|file| (file, "the daemon's pid file"));
    let logfile = daemon
        .logfile
        .iter()
        .map(|file| (file, "the daemon's own log"));
    read.chain(pidfile)
        .chain([(&daemon.socket, "the control socket")])
        .chain(logfile)
        .map(|(file, what)| (file.as_os_str(), what))
        .collect()
}
