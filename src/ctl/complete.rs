//! What could be typed next.
//!
//! [`complete`] is a function of the words and of the names that exist; [`LiveNames::fetch`] asks a daemon for those.
//! The shell's Tab key and the shells' completion scripts use the same two.

use super::actions::flags::STATES;
use super::actions::{ACTIONS, Action, Arguments, find};
use super::connect::Server;
use super::connection::Connection;
use crate::types::Signal;
use crate::wire::{Request, Response};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long somebody who pressed Tab is kept waiting for a daemon.
const PATIENCE: Duration = Duration::from_secs(2);

/// A word that fits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate {
    /// The whole word.
    pub word: String,
    /// What it is, in a few words; may be empty.
    pub about: String,
}

/// The names a daemon knows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LiveNames {
    /// Processes as shown, by their group, with their state; of active groups.
    pub groups: BTreeMap<String, Vec<(String, String)>>,
    /// Groups of the last file read that are not active.
    pub inactive: BTreeSet<String>,
}

impl LiveNames {
    /// Asks the daemon. Without one there are no names: completion has nobody to complain to.
    pub fn fetch(server: &Server) -> Self {
        let mut names = Self::default();
        let Ok(mut connection) = Connection::open(server, PATIENCE) else {
            return names;
        };
        if let Ok(Response::Status(reply)) =
            connection.call(Request::Status { targets: vec![] }, None)
        {
            for row in reply.rows {
                let processes = names.groups.entry(row.group).or_default();
                processes.push((row.name, row.state.name().to_lowercase()));
            }
        }
        if let Ok(Response::Avail(rows)) = connection.call(Request::Avail, None) {
            names.inactive = rows
                .into_iter()
                .filter(|row| !row.in_use)
                .map(|row| row.group)
                .collect();
        }
        names
    }
}

/// Whether completing these words needs the names of a daemon.
pub fn needs_names(words: &[&str]) -> bool {
    words.len() > 1
        && words
            .first()
            .and_then(|name| find(name))
            .is_some_and(|action| match action.arguments {
                Arguments::Processes
                | Arguments::SignalAndProcesses
                | Arguments::Process
                | Arguments::Log
                | Arguments::InactiveGroups
                | Arguments::ActiveGroups
                | Arguments::Groups => true,
                Arguments::None | Arguments::DaemonLog | Arguments::Url | Arguments::Action => {
                    false
                }
            })
}

/// Words that begin with the last of `words`, which may be empty, in the place where it stands.
pub fn complete(words: &[&str], live: &LiveNames) -> Vec<Candidate> {
    let Some((&typed, before)) = words.split_last() else {
        return vec![];
    };
    let candidates = match before.split_first() {
        None => actions(),
        Some((name, arguments)) => match find(name) {
            Some(action) => options_of(action, arguments, typed)
                .unwrap_or_else(|| arguments_of(action.arguments, arguments, typed, live)),
            None => vec![],
        },
    };
    candidates
        .into_iter()
        .filter(|candidate| {
            candidate.word.starts_with(typed)
                && !before.iter().skip(1).any(|word| *word == candidate.word)
        })
        .collect()
}

/// What fits an action's options, where an option or its value is being typed.
fn options_of(action: &Action, before: &[&str], typed: &str) -> Option<Vec<Candidate>> {
    let named = |word: &&str| {
        action
            .flags
            .iter()
            .find(|flag| flag.long == *word || flag.short == Some(*word))
    };
    if let Some(value) = before.last().and_then(named).and_then(|flag| flag.value) {
        return Some(if value.starts_with("STATE") {
            states(typed)
        } else {
            vec![]
        });
    }
    (typed.starts_with('-') && !action.flags.is_empty()).then(|| {
        let flags = action.flags.iter();
        flags.map(|flag| candidate(flag.long, flag.about)).collect()
    })
}

/// States, behind those of a list that have been typed.
fn states(typed: &str) -> Vec<Candidate> {
    let before = typed.rfind(',').map_or("", |comma| &typed[..=comma]);
    STATES
        .into_iter()
        .map(|state| candidate(&format!("{before}{}", state.name().to_lowercase()), "state"))
        .collect()
}

fn arguments_of(kind: Arguments, before: &[&str], typed: &str, live: &LiveNames) -> Vec<Candidate> {
    let flags = || {
        vec![
            candidate("-f", "follow until Ctrl-C"),
            candidate("-n", "so many lines"),
        ]
    };
    match kind {
        Arguments::SignalAndProcesses if before.is_empty() => signals(typed),
        Arguments::Processes | Arguments::SignalAndProcesses => processes(live, typed, true),
        Arguments::Process if before.is_empty() => processes(live, typed, false),
        Arguments::DaemonLog if behind_modifiers(before).is_some_and(<[_]>::is_empty) => flags(),
        Arguments::None | Arguments::Process | Arguments::DaemonLog => vec![],
        Arguments::Log => match behind_modifiers(before) {
            // A number is being typed.
            None => vec![],
            Some([]) if typed.starts_with('-') => flags(),
            Some([]) => processes(live, typed, true),
            Some([.., last]) if *last == "stdout" || *last == "stderr" => vec![],
            Some(_) => processes(live, typed, true)
                .into_iter()
                .chain(channels())
                .collect(),
        },
        Arguments::InactiveGroups => live
            .inactive
            .iter()
            .map(|group| candidate(group, "not active"))
            .collect(),
        Arguments::ActiveGroups => live
            .groups
            .keys()
            .map(|group| candidate(group, "group"))
            .collect(),
        Arguments::Groups => live
            .groups
            .keys()
            .chain(&live.inactive)
            .map(|group| candidate(group, "group"))
            .chain([candidate("all", "everything")])
            .collect(),
        Arguments::Url => vec![candidate("unix://", "path of a socket")],
        Arguments::Action => actions(),
    }
}

/// The words behind `-f`, `-N` and `-n LINES`; `None` where the number of `-n` is missing.
fn behind_modifiers<'w, 's>(words: &'w [&'s str]) -> Option<&'w [&'s str]> {
    match words {
        ["-n"] => None,
        ["-n", _, rest @ ..] => behind_modifiers(rest),
        [first, rest @ ..] if first.starts_with('-') => behind_modifiers(rest),
        rest => Some(rest),
    }
}

fn candidate(word: &str, about: &str) -> Candidate {
    Candidate {
        word: word.to_owned(),
        about: about.to_owned(),
    }
}

fn actions() -> Vec<Candidate> {
    ACTIONS
        .iter()
        .map(|action| candidate(action.name, action.summary))
        .collect()
}

fn channels() -> Vec<Candidate> {
    vec![
        candidate("stderr", "standard error"),
        candidate("stdout", "standard output"),
    ]
}

/// Names without `SIG`, unless that is what is being typed.
fn signals(typed: &str) -> Vec<Candidate> {
    let prefix = if typed.starts_with("SIG") { "SIG" } else { "" };
    Signal::names()
        .map(|name| candidate(&format!("{prefix}{name}"), "signal"))
        .collect()
}

/// Processes; `GROUP:*` where a group's processes have names of their own or a colon is being typed; `all`.
fn processes(live: &LiveNames, typed: &str, several: bool) -> Vec<Candidate> {
    let mut candidates = Vec::new();
    for (group, processes) in &live.groups {
        let own_names = processes.iter().any(|(name, _)| name != group);
        if several && (own_names || typed.contains(':')) {
            candidates.push(candidate(&format!("{group}:*"), "whole group"));
        }
        for (name, state) in processes {
            candidates.push(candidate(name, state));
        }
    }
    if several && !live.groups.is_empty() {
        candidates.push(candidate("all", "everything"));
    }
    candidates
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live() -> LiveNames {
        let process = |name: &str| (name.to_owned(), "running".to_owned());
        LiveNames {
            groups: BTreeMap::from([
                ("cat".to_owned(), vec![process("cat")]),
                ("web".to_owned(), vec![process("web:0"), process("web:1")]),
            ]),
            inactive: BTreeSet::from(["new".to_owned()]),
        }
    }

    fn completed(line: &str) -> String {
        let words: Vec<&str> = line.split(' ').collect();
        let words: Vec<String> = complete(&words, &live())
            .into_iter()
            .map(|candidate| candidate.word)
            .collect();
        words.join(" ")
    }

    #[test]
    fn each_place_has_its_words() {
        for (line, expected) in [
            ("st", "start status stop"),
            ("re", "reload remove reread restart"),
            ("xyz", ""),
            ("start ", "cat web:* web:0 web:1 all"),
            ("start w", "web:* web:0 web:1"),
            ("start web:0 ", "cat web:* web:1 all"),
            ("start cat:", "cat:*"),
            ("stop a", "all"),
            ("signal HU", "HUP"),
            ("signal SIGHU", "SIGHUP"),
            ("signal HUP c", "cat"),
            ("start --n", "--no-wait"),
            ("start --timeout ", ""),
            ("start cat --timeout 5 w", "web:* web:0 web:1"),
            ("status --", "--long --watch --fail-if"),
            ("status --fail-if f", "fatal"),
            ("wait cat --for stopped,f", "stopped,fatal"),
            ("why c", "cat"),
            ("tail ", "cat web:* web:0 web:1 all"),
            ("tail -", "-f -n"),
            ("tail -n ", ""),
            ("tail -n 5 -f c", "cat"),
            ("tail -f w", "web:* web:0 web:1"),
            ("tail web:0 ", "cat web:* web:1 all stderr stdout"),
            ("tail -f web:0 stde", "stderr"),
            ("tail -f web:0 stderr ", ""),
            ("maintail ", "-f -n"),
            ("fg ", "cat web:0 web:1"),
            ("fg cat ", ""),
            ("add ", "new"),
            ("remove ", "cat web"),
            ("update ", "cat web new all"),
            ("help sh", "shutdown"),
            ("open ", "unix://"),
            ("version ", ""),
            ("nosuch ", ""),
        ] {
            assert_eq!(completed(line), expected, "{line:?}");
        }
        assert_eq!(completed("").split(' ').count(), ACTIONS.len());
        assert_eq!(complete(&[], &live()), []);
    }

    #[test]
    fn a_daemon_is_asked_only_for_names() {
        for (words, needed) in [
            (&["st"][..], false),
            (&["start", ""], true),
            (&["help", ""], false),
            (&["nosuch", ""], false),
        ] {
            assert_eq!(needs_names(words), needed, "{words:?}");
        }
    }
}
