//! Procfiles: lines of `NAME: COMMAND`, each run by a shell.

use super::commands;
use crate::config::read_regular;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Why a Procfile cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProcfileError {
    /// It cannot be read.
    #[error("cannot read {}: {reason}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A line is wrong.
    #[error("{}:{line}: {reason}", path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// It has no lines to run.
    #[error("{} names nothing to run", .0.display())]
    Empty(PathBuf),
    /// A line that was asked for is not there.
    #[error("{} has no line {name:?}\nhelp: it has {known}", path.display())]
    NoSuchLine {
        /// Which file.
        path: PathBuf,
        /// Which line.
        name: String,
        /// Those there are.
        known: String,
    },
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) name: String,
    command: String,
}

/// Shell words that begin a simple command but name no program that could take the shell's place.
const NOT_PROGRAMS: [&str; 36] = [
    ".", ":", "alias", "bg", "break", "case", "cd", "command", "continue", "do", "done", "eval",
    "exec", "exit", "export", "fg", "for", "function", "if", "jobs", "let", "local", "read",
    "readonly", "return", "select", "set", "shift", "source", "time", "times", "trap", "ulimit",
    "umask", "until", "while",
];

impl Line {
    /// What the shell is given. Where it is sure that the line is one program with its arguments, the program takes the
    /// shell's place, so that signals reach it and its pid is the one that is shown.
    pub(super) fn script(&self) -> String {
        if is_one_program(&self.command) {
            format!("exec {}", self.command)
        } else {
            self.command.clone()
        }
    }
}

fn is_one_program(command: &str) -> bool {
    let operators = |character: char| {
        matches!(
            character,
            ';' | '&' | '|' | '<' | '>' | '(' | ')' | '`' | '{' | '}' | '\n' | '!'
        )
    };
    let word = command.split_whitespace().next().unwrap_or_default();
    let is_plain = |character: char| {
        character.is_ascii_alphanumeric() || matches!(character, '_' | '-' | '.' | '/' | '+')
    };
    // Braces belong to a variable as often as to a group, and redirections do no harm.
    let harmless = command.replace("${", "").replace('}', "");
    !harmless.contains(operators) && word.chars().all(is_plain) && !NOT_PROGRAMS.contains(&word)
}

/// Reads the lines of a Procfile: those named, or all.
pub(super) fn read(path: &Path, wanted: &[String]) -> Result<Vec<Line>, ProcfileError> {
    let unreadable = |reason: String| ProcfileError::Unreadable {
        path: path.to_owned(),
        reason,
    };
    let content = read_regular(path).map_err(|error| unreadable(error.to_string()))?;
    let text = String::from_utf8(content.bytes).map_err(|_| unreadable("not UTF-8".to_owned()))?;
    let lines = parse(&text).map_err(|(line, reason)| ProcfileError::Line {
        path: path.to_owned(),
        line,
        reason,
    })?;
    if lines.is_empty() {
        return Err(ProcfileError::Empty(path.to_owned()));
    }
    let names: Vec<&str> = lines.iter().map(|line| line.name.as_str()).collect();
    if let Some(name) = wanted.iter().find(|name| !names.contains(&name.as_str())) {
        return Err(ProcfileError::NoSuchLine {
            path: path.to_owned(),
            name: name.clone(),
            known: names.join(", "),
        });
    }
    Ok(lines
        .into_iter()
        .filter(|line| wanted.is_empty() || wanted.contains(&line.name))
        .collect())
}

/// The lines of a text, or which one is wrong and how.
fn parse(text: &str) -> Result<Vec<Line>, (usize, String)> {
    let mut lines = Vec::new();
    let mut names = BTreeSet::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let fault = |reason: String| (index + 1, reason);
        let Some((name, command)) = line.split_once(':') else {
            return Err(fault("expected NAME: COMMAND".to_owned()));
        };
        let (name, command) = (name.trim_end(), command.trim());
        commands::check(name).map_err(|error| fault(error.to_string()))?;
        if command.is_empty() {
            return Err(fault(format!("{name} has no command")));
        }
        if command.contains('\0') {
            return Err(fault("a NUL byte".to_owned()));
        }
        if !names.insert(name) {
            return Err(fault(format!("{name} was there before")));
        }
        lines.push(Line {
            name: name.to_owned(),
            command: command.to_owned(),
        });
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let text =
            "# head\n\nweb: bundle exec puma -p $PORT\r\nworker_1:  a; b \n  x-y : z:w # c\n";
        let lines: Vec<(String, String)> = parse(text)
            .unwrap()
            .into_iter()
            .map(|line| (line.name, line.command))
            .collect();
        let expected = [
            ("web", "bundle exec puma -p $PORT"),
            ("worker_1", "a; b"),
            ("x-y", "z:w # c"),
        ];
        assert_eq!(
            lines,
            expected.map(|(name, command)| (name.to_owned(), command.to_owned()))
        );
        for (text, line, reason) in [
            ("web", 1, "expected NAME: COMMAND"),
            ("\nweb:", 2, "web has no command"),
            ("a: b\na: c", 2, "a was there before"),
            (": b", 1, "\"\" cannot be a name: the name is empty"),
            (
                "a b: c",
                1,
                "\"a b\" cannot be a name: invalid name \"a b\" because of character ' '",
            ),
        ] {
            assert_eq!(parse(text), Err((line, reason.to_owned())), "{text:?}");
        }
    }

    #[test]
    fn only_a_single_program_takes_the_shells_place() {
        for command in [
            "puma -p $PORT",
            "./bin/web --name 'a b' \"$X\"",
            "python3 -m http.server ${PORT}",
            "node_modules/.bin/x",
        ] {
            assert!(is_one_program(command), "{command}");
        }
        for command in [
            "a; b",
            "a && b",
            "a | b",
            "a > log",
            "a 'b;c'",
            "FOO=1 a",
            "$CMD a",
            "cd x",
            "exec a",
            "if true",
            "(a)",
            "{ a }",
            "! a",
            "echo `a`",
            "echo $(a)",
        ] {
            assert!(!is_one_program(command), "{command}");
        }
    }
}
