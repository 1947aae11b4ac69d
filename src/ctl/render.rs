//! Answers in Supervisor's words, with its exit codes.
//!
//! Everything here is a function of the answer and what was asked. Of several failures the last decides the code.

use crate::wire::{
    AvailRow, Change, ChangeKind, Diagnostic, ExitStatus, Failure, GroupAnswer, GroupResult,
    NamedResult, Outcome, PidRow, Refusal, Step,
};
use nix::errno::Errno;

/// An answer in words.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rendered {
    /// Lines of the standard output.
    pub lines: Vec<String>,
    /// What a person may want to know beyond Supervisor's words.
    pub details: Vec<String>,
    /// Exit status.
    pub code: u8,
}

impl Rendered {
    /// A single line.
    pub fn line(text: impl Into<String>, code: u8) -> Self {
        Self {
            lines: vec![text.into()],
            details: vec![],
            code,
        }
    }

    /// The lines as one text.
    pub fn text(&self) -> String {
        self.lines.iter().flat_map(|line| [line, "\n"]).collect()
    }

    fn push(&mut self, text: String, code: u8) {
        self.lines.push(text);
        self.fail(code);
    }

    fn fail(&mut self, code: u8) {
        if code != 0 {
            self.code = code;
        }
    }

    /// Appends another answer.
    pub fn append(&mut self, other: Self) {
        self.lines.extend(other.lines);
        self.details.extend(other.details);
        self.fail(other.code);
    }
}

/// What was asked for, as far as words and codes depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// `status`.
    Status,
    /// `start`, and the second half of `restart`.
    Start,
    /// `stop`, and the first half of `restart`.
    Stop,
    /// `signal`.
    Signal,
    /// `clear`.
    Clear,
    /// Input of `fg`.
    Input,
}

/// The words of an outcome: whether it is an error, the words themselves, and the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Words {
    /// Whether they stand in `ERROR (…)`.
    pub error: bool,
    /// As Supervisor has them.
    pub text: &'static str,
    /// Exit status.
    pub code: u8,
}

/// Supervisor's words for an outcome.
pub fn words(verb: Verb, outcome: &Outcome) -> Words {
    let done = |text| Words {
        error: false,
        text,
        code: 0,
    };
    let error = |text, code| Words {
        error: true,
        text,
        code,
    };
    match outcome {
        Outcome::Started => done("started"),
        Outcome::Stopped => done("stopped"),
        Outcome::Signalled => done("signalled"),
        Outcome::Cleared => done("cleared"),
        Outcome::InputSent => done("input sent"),
        Outcome::AlreadyStarted => error("already started", 0),
        Outcome::NotRunning => error(
            "not running",
            match verb {
                Verb::Signal | Verb::Input => 7,
                Verb::Status | Verb::Start | Verb::Stop | Verb::Clear => 0,
            },
        ),
        Outcome::NoSuchProcess => error(
            "no such process",
            match verb {
                Verb::Status => 4,
                Verb::Start | Verb::Stop | Verb::Signal | Verb::Clear | Verb::Input => 1,
            },
        ),
        Outcome::NoSuchGroup => error(
            "no such group",
            match verb {
                Verb::Status => 4,
                Verb::Start => 2,
                Verb::Stop | Verb::Signal | Verb::Clear | Verb::Input => 1,
            },
        ),
        Outcome::SpawnFailed(failure) => match (failure.step, Errno::from_raw(failure.errno)) {
            (Step::Lookup, Errno::ENOENT) => error("no such file", 1),
            (Step::Lookup, Errno::EACCES | Errno::EISDIR)
            | (Step::Exec, Errno::EACCES | Errno::ENOEXEC) => error("file is not executable", 1),
            _ => error("spawn error", 7),
        },
        Outcome::ExitedTooQuickly(_) => error("spawn error", 7),
        Outcome::AbnormalTermination | Outcome::NotKilled => error("abnormal termination", 7),
        Outcome::Failed { .. } => error("failed", 1),
    }
}

/// What lies behind the words, where they hide something.
pub fn detail(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::SpawnFailed(failure) => Some(failure_text(failure)),
        Outcome::ExitedTooQuickly(status) => {
            Some(format!("exited too quickly: {}", exit_text(status)))
        }
        Outcome::NotKilled => Some("processes of it survived even KILL".to_owned()),
        Outcome::Failed { errno } => Some(errno_text(*errno)),
        Outcome::Started
        | Outcome::Stopped
        | Outcome::Signalled
        | Outcome::Cleared
        | Outcome::InputSent
        | Outcome::AlreadyStarted
        | Outcome::NotRunning
        | Outcome::NoSuchProcess
        | Outcome::NoSuchGroup
        | Outcome::AbnormalTermination => None,
    }
}

fn failure_text(failure: &Failure) -> String {
    failure.to_string()
}

fn exit_text(status: &ExitStatus) -> String {
    status.to_string()
}

/// The kernel's sentence for an error number.
pub fn errno_text(errno: i32) -> String {
    Errno::from_raw(errno).desc().to_lowercase()
}

/// The name in front of a result. A group that does not exist is named without its `:*`.
fn shown_name(result: &NamedResult) -> &str {
    if matches!(result.outcome, Outcome::NoSuchGroup) {
        group_of(&result.name).unwrap_or(&result.name)
    } else {
        &result.name
    }
}

/// The group in `GROUP:*` and `GROUP:`.
fn group_of(target: &str) -> Option<&str> {
    target
        .strip_suffix(":*")
        .or_else(|| target.strip_suffix(':'))
}

/// Whether `name` was asked for only along with others, by `all` or `GROUP:*`. What had nothing to be done is then
/// passed over in silence, as Supervisor does.
pub fn only_among_others(name: &str, targets: &[String]) -> bool {
    if targets.iter().any(|target| target == "all") {
        return true;
    }
    let within = |group: &str| {
        name.strip_prefix(group)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
    };
    let (wide, narrow): (Vec<&str>, Vec<&str>) = targets
        .iter()
        .map(String::as_str)
        .partition(|target| group_of(target).is_some());
    wide.into_iter().filter_map(group_of).any(within) && !narrow.into_iter().any(within)
}

/// One result as a line.
pub fn result_line(verb: Verb, result: &NamedResult) -> (String, u8) {
    let words = words(verb, &result.outcome);
    let name = shown_name(result);
    let line = if words.error {
        format!("{name}: ERROR ({})", words.text)
    } else {
        format!("{name}: {}", words.text)
    };
    (line, words.code)
}

/// Results of an action on processes.
pub fn results(verb: Verb, targets: &[String], results: &[NamedResult]) -> Rendered {
    let mut rendered = Rendered::default();
    for result in results {
        let idle = matches!(
            result.outcome,
            Outcome::AlreadyStarted | Outcome::NotRunning
        );
        if idle && only_among_others(&result.name, targets) {
            continue;
        }
        let (line, code) = result_line(verb, result);
        rendered.push(line, code);
        if let Some(detail) = detail(&result.outcome) {
            rendered.details.push(format!("{}: {detail}", result.name));
        }
    }
    rendered
}

/// Process ids.
pub fn pids(targets: &[String], rows: &[PidRow]) -> Rendered {
    let mut rendered = Rendered::default();
    for row in rows {
        match row.pid {
            None => rendered.push(format!("No such process {}", row.name), 1),
            Some(0) if !only_among_others(&row.name, targets) => rendered.push("0".to_owned(), 7),
            Some(pid) => rendered.push(pid.to_string(), 0),
        }
    }
    rendered
}

/// Configured processes.
pub fn avail(rows: &[AvailRow]) -> Rendered {
    // By the name of the process, whatever its group, as Supervisor has it.
    let mut rows: Vec<&AvailRow> = rows.iter().collect();
    rows.sort_by_key(|row| row.name.rsplit(':').next().unwrap_or_default());
    let mut rendered = Rendered::default();
    for row in rows {
        let line = format!(
            "{:<32} {:<9} {:<9} {}:{}",
            row.name,
            if row.in_use { "in use" } else { "avail" },
            if row.autostart { "auto" } else { "manual" },
            row.group_priority,
            row.process_priority
        );
        rendered.push(line, 0);
    }
    rendered
}

/// What reading the file again found.
pub fn reread(changes: &[Change]) -> Rendered {
    if changes.is_empty() {
        return Rendered::line("No config updates to processes", 0);
    }
    let mut changes: Vec<&Change> = changes.iter().collect();
    changes.sort_by(|a, b| a.group.cmp(&b.group));
    let mut rendered = Rendered::default();
    for Change { group, kind, .. } in changes {
        let word = match kind {
            ChangeKind::Added => "available",
            ChangeKind::Changed => "changed",
            ChangeKind::Removed => "disappeared",
        };
        rendered.push(format!("{group}: {word}"), 0);
    }
    rendered
}

/// What making the file so did.
pub fn update(changes: &[Change]) -> Rendered {
    let mut rendered = Rendered::default();
    for Change {
        group,
        kind,
        stopped,
    } in changes
    {
        // A changed group is stopped only where the change needs it; Supervisor says it of every removed one.
        if *stopped || *kind == ChangeKind::Removed {
            rendered.push(format!("{group}: stopped"), 0);
        }
        let word = match kind {
            ChangeKind::Added => "added",
            ChangeKind::Changed => "updated",
            ChangeKind::Removed => "removed",
        };
        rendered.push(format!("{group}: {word} process group"), 0);
    }
    rendered
}

/// Results of `add` and `remove`.
pub fn groups(results: &[GroupResult]) -> Rendered {
    let mut rendered = Rendered::default();
    for GroupResult { group, answer } in results {
        match answer {
            GroupAnswer::Added => rendered.push(format!("{group}: added process group"), 0),
            GroupAnswer::Removed => rendered.push(format!("{group}: removed process group"), 0),
            GroupAnswer::AlreadyAdded => {
                rendered.push("ERROR: process group already active".to_owned(), 0);
            }
            GroupAnswer::StillRunning => {
                rendered.push(format!("ERROR: process/group still running: {group}"), 1);
            }
            GroupAnswer::NoSuchGroup => {
                rendered.push(format!("ERROR: no such process/group: {group}"), 1);
            }
        }
    }
    rendered
}

/// A refusal, in the words that the action has for it.
pub fn refusal(action: &str, refusal: &Refusal) -> Rendered {
    match refusal {
        Refusal::ShuttingDown => match action {
            "avail" | "reread" => Rendered::line("ERROR: supervisor shutting down", 1),
            "update" | "reload" | "upgrade" => Rendered::line("ERROR: already shutting down", 1),
            "shutdown" => Rendered::line("ERROR: already shutting down", 0),
            "add" => Rendered::line("ERROR: shutting down", 1),
            _ => Rendered::line("error: the daemon is shutting down", 1),
        },
        Refusal::NotUpgraded(reason) => Rendered::line(
            format!(
                "ERROR: not upgraded, and nothing changed: {}",
                super::escape::line(reason)
            ),
            1,
        ),
        Refusal::BadConfig(diagnostics) => bad_config(diagnostics),
        Refusal::NoSuchGroup(group) => Rendered::line(format!("ERROR: no such group: {group}"), 1),
        Refusal::BadSignal(signal) => {
            Rendered::line(format!("{signal}: ERROR (bad signal name)"), 1)
        }
        Refusal::NoSuchProcess(name) => match action {
            "tail" => Rendered::line(format!("{name}: ERROR (no such process name)"), 1),
            "fg" => Rendered::line("ERROR: bad process name supplied", 1),
            _ => Rendered::line(format!("{name}: ERROR (no such process)"), 1),
        },
        Refusal::Ambiguous(names) => Rendered::line(
            format!(
                "ERROR: several processes are meant, name one of {}",
                names.join(", ")
            ),
            1,
        ),
        Refusal::NoLog(name) => Rendered::line(format!("{name}: ERROR (no log file)"), 1),
        Refusal::LogUnreadable { name, errno } => Rendered {
            lines: vec![format!("{name}: ERROR (unknown error reading log)")],
            details: vec![format!("{name}: {}", errno_text(*errno))],
            code: 1,
        },
        Refusal::TooLarge => {
            Rendered::line("error: the request is beyond a limit of the daemon", 1)
        }
        Refusal::Busy => {
            Rendered::line("error: the daemon has too many clients; try again later", 1)
        }
        Refusal::Forbidden => {
            Rendered::line("error: the daemon does not allow this user to do that", 4)
        }
        Refusal::NotUnderstood(reason) => Rendered::line(
            format!(
                "error: the daemon, of another version, did not understand the request: {reason}"
            ),
            1,
        ),
        Refusal::Protocol { supported } => Rendered::line(
            format!("error: the daemon speaks only protocol {supported}"),
            1,
        ),
    }
}

/// Faults of the file: the first error in Supervisor's place, the others beneath it.
fn bad_config(diagnostics: &[Diagnostic]) -> Rendered {
    let mut sorted: Vec<&Diagnostic> = diagnostics.iter().collect();
    sorted.sort_by_key(|diagnostic| !diagnostic.error);
    let mut rendered = Rendered::default();
    for (index, diagnostic) in sorted.into_iter().enumerate() {
        let line = if index == 0 {
            format!("ERROR: CANT_REREAD: {}", diagnostic_text(diagnostic))
        } else if diagnostic.error {
            diagnostic_text(diagnostic)
        } else {
            format!("warning: {}", diagnostic_text(diagnostic))
        };
        rendered.push(line, 1);
    }
    if rendered.lines.is_empty() {
        rendered.push(
            "ERROR: CANT_REREAD: the configuration file has errors".to_owned(),
            1,
        );
    }
    rendered
}

/// A fault on one line: `FILE:LINE:COLUMN: MESSAGE (HELP)`.
fn diagnostic_text(diagnostic: &Diagnostic) -> String {
    let Diagnostic {
        file,
        line,
        column,
        message,
        help,
        ..
    } = diagnostic;
    let place = match (file.as_str(), line, column) {
        ("", ..) => String::new(),
        (file, 0, _) => format!("{file}: "),
        (file, line, 0) => format!("{file}:{line}: "),
        (file, line, column) => format!("{file}:{line}:{column}: "),
    };
    match help {
        Some(help) => format!("{place}{message} ({help})"),
        None => format!("{place}{message}"),
    }
}

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;
