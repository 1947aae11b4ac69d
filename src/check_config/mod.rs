//! The checker: reads a file by the daemon's own loader and explains what is wrong with it.
//!
//! Exit status: 0 when the file is clean or has only warnings, 1 when it has warnings and `--strict` was given, 2 when it
//! has errors or cannot be read. Findings and the verdict go to the standard error as text; a clean file's verdict and the
//! JSON document go to the standard output. Nothing is ever changed, and no daemon is needed.
//!
//! # The JSON document
//!
//! One object, whose members are added to but never renamed or removed:
//!
//! ```json
//! {
//!   "version": 1,
//!   "file": "web.ini",
//!   "ok": false,
//!   "errors": 1,
//!   "warnings": 0,
//!   "programs": null,
//!   "processes": null,
//!   "diagnostics": [
//!     {
//!       "severity": "error",
//!       "code": "bad-value",
//!       "message": "`startsecs` of program `web` must be a whole number from 0 to 2147483647",
//!       "label": "`abc` is not a whole number",
//!       "location": {"file": "web.ini", "line": 3, "column": 11, "end_line": 3, "end_column": 14},
//!       "related": [],
//!       "help": [],
//!       "suggestion": null
//!     }
//!   ]
//! }
//! ```
//!
//! `severity` is `error` or `warning`; `code` is a stable word; lines and columns count from 1, columns in characters, and
//! the end is the column after the last character. `location` is null when the fault is not in a text. Members of
//! `related` have `label` and `location`; a `suggestion` has `replacement` and the `location` it replaces. `programs` and
//! `processes` count what the file configures, and are null when it has errors.

pub mod render;

use crate::cli::{CheckOptions, Format};
use crate::config::model::Config;
use crate::config::{self, Host, LoadRequest, Loaded, RealHost};
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;

/// Checks the file that `options` name, prints what was found, and returns the exit status.
pub fn run(options: &CheckOptions) -> u8 {
    let color = render::is_painted(&io::stderr());
    let report = check(options, &RealHost::new(), color);
    // A reader that went away wants no more output; the exit status still tells it the verdict.
    let written = write(&mut io::stdout(), &report.stdout)
        .and_then(|()| write(&mut io::stderr(), &report.stderr));
    match written {
        Ok(()) => report.status,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => report.status,
        Err(_) => report.status.max(1),
    }
}

fn write(stream: &mut impl Write, text: &str) -> io::Result<()> {
    stream.write_all(text.as_bytes())?;
    stream.flush()
}

/// What the checker prints and returns.
#[derive(Debug, PartialEq, Eq)]
struct Report {
    stdout: String,
    stderr: String,
    status: u8,
}

fn check(options: &CheckOptions, host: &dyn Host, color: bool) -> Report {
    let path = options.file.as_path();
    let loaded = config::load(&LoadRequest {
        path,
        overrides: &[],
        host,
    });
    let status = status(&loaded, options.strict);
    let found = &loaded.diagnostics;
    let verdict = verdict(path, &loaded, status);
    let mut report = Report {
        stdout: String::new(),
        stderr: String::new(),
        status,
    };
    match options.format {
        Format::Json => {
            report.stdout =
                render::json(path, found, &loaded.sources, counts(loaded.config.as_ref()));
        }
        Format::Text => report.stderr = render::text(found, &loaded.sources, color),
        Format::Short => report.stderr = render::short(found, &loaded.sources),
    }
    if options.format != Format::Json {
        if found.is_empty() {
            report.stdout = verdict;
        } else {
            report.stderr.push_str(&verdict);
        }
    }
    report
}

fn status(loaded: &Loaded, strict: bool) -> u8 {
    if loaded.config.is_none() {
        2
    } else {
        u8::from(strict && !loaded.diagnostics.is_empty())
    }
}

/// The last line: what the file amounts to.
fn verdict(path: &Path, loaded: &Loaded, status: u8) -> String {
    let shown = path.display();
    let summary = render::summary(&loaded.diagnostics);
    if status == 1 {
        return format!("{shown}: {summary}, and --strict allows none\n");
    }
    match (counts(loaded.config.as_ref()), summary.is_empty()) {
        (Some((programs, processes)), clean) => {
            let programs = render::counted(programs, "program", "programs");
            let processes = render::counted(processes, "process", "processes");
            let doubts = if clean {
                String::new()
            } else {
                format!(", {summary}")
            };
            format!("{shown}: OK ({programs}, {processes}{doubts})\n")
        }
        (None, _) => format!("{shown}: {summary}\n"),
    }
}

/// How many programs and processes a configuration has.
fn counts(config: Option<&Config>) -> Option<(usize, usize)> {
    let groups = &config?.groups;
    let processes = || groups.values().flat_map(|group| group.processes.values());
    let programs: BTreeSet<_> = processes().map(|process| &process.program).collect();
    Some((programs.len(), processes().count()))
}

#[cfg(test)]
mod tests;
