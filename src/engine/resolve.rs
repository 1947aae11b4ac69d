//! What a user means by a name.
//!
//! `all` is everything. `NAME` is the process called so whose group is called so too, else every copy of the program
//! NAME, wherever it lives. `GROUP:PROCESS` is that process, else `NAME:N` is copy number N of the program NAME. `GROUP:*`
//! and `GROUP:` are every process of the group, else `NAME:*` and `NAME:` are every copy of the program. Names are
//! matched with case.

use super::event::Outcome;
use super::table::Table;
use crate::types::{GroupName, ProcessKey, ProcessName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What a target means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// These processes, by group and name; never none, except for `all` and for a group that is empty.
    Processes(Vec<ProcessKey>),
    /// No process is called that.
    NoSuchProcess,
    /// No group is called that.
    NoSuchGroup,
}

/// Whether a target stands for whatever there is (`all`, `GROUP:*`), so that members it does not apply to are no error.
fn is_collective(target: &str) -> bool {
    target == "all" || target.ends_with(":*") || target.ends_with(':')
}

/// Finds out what a target means.
pub(super) fn resolve(table: &Table, target: &str) -> Resolution {
    if target == "all" {
        return Resolution::Processes(
            table
                .processes()
                .map(|process| process.key().clone())
                .collect(),
        );
    }
    match target.split_once(':') {
        Some((group, "" | "*")) => whole_group(table, group),
        Some((group, process)) => member(table, group, process),
        None => bare(table, target),
    }
}

fn copies(table: &Table, program: &str) -> Option<Vec<ProcessKey>> {
    Some(table.copies(program)?.iter().cloned().collect())
}

fn existing(table: &Table, group: &str, process: &str) -> Option<ProcessKey> {
    let key = ProcessKey {
        group: GroupName::new(group).ok()?,
        process: ProcessName::new(process).ok()?,
    };
    table.get(&key).is_some().then_some(key)
}

fn bare(table: &Table, name: &str) -> Resolution {
    existing(table, name, name)
        .map(|key| vec![key])
        .or_else(|| copies(table, name))
        .map_or(Resolution::NoSuchProcess, Resolution::Processes)
}

fn member(table: &Table, group: &str, process: &str) -> Resolution {
    existing(table, group, process)
        .map(|key| vec![key])
        .or_else(|| copy_number(table, group, process))
        .map_or(Resolution::NoSuchProcess, Resolution::Processes)
}

fn copy_number(table: &Table, program: &str, number: &str) -> Option<Vec<ProcessKey>> {
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u32 = number.parse().ok()?;
    let found: Vec<_> = copies(table, program)?
        .into_iter()
        .filter(|key| {
            table
                .get(key)
                .is_some_and(|process| process.settings().process_num == number)
        })
        .collect();
    (!found.is_empty()).then_some(found)
}

fn whole_group(table: &Table, name: &str) -> Resolution {
    GroupName::new(name)
        .ok()
        .and_then(|group| table.groups().get(&group))
        .map(|members| {
            members
                .processes
                .values()
                .map(|process| process.key().clone())
                .collect()
        })
        .or_else(|| copies(table, name))
        .map_or(Resolution::NoSuchGroup, Resolution::Processes)
}

/// One line of the answer to a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Row {
    /// What became of a process.
    Process {
        /// Which.
        key: ProcessKey,
        /// It was meant as one of many: if there was nothing to do, the line is left out.
        collective: bool,
    },
    /// The target means nothing.
    Unknown {
        /// As given.
        name: String,
        /// In which way.
        outcome: Outcome,
    },
}

/// What a list of targets means.
#[derive(Debug, Default)]
pub(super) struct Selection {
    /// The lines of the answer, in the order asked for.
    pub rows: Vec<Row>,
    /// Every process once, in the order in which they are to be started.
    pub keys: Vec<ProcessKey>,
}

impl Selection {
    /// Processes that were asked for by themselves, not only along with others.
    pub fn named(&self) -> BTreeSet<ProcessKey> {
        self.rows
            .iter()
            .filter_map(|row| match row {
                Row::Process {
                    key,
                    collective: false,
                } => Some(key.clone()),
                Row::Process { .. } | Row::Unknown { .. } => None,
            })
            .collect()
    }
}

/// Finds out what a list of targets means. `all` anywhere in it means everything and nothing else.
pub(super) fn select(table: &Table, targets: &[String]) -> Selection {
    let mut selection = Selection::default();
    let everything = ["all".to_owned()];
    let all = targets.iter().any(|target| target == "all");
    let mut seen = BTreeSet::new();
    for target in if all { &everything } else { targets } {
        let collective = is_collective(target);
        let unknown = |outcome| Row::Unknown {
            name: target.clone(),
            outcome,
        };
        match resolve(table, target) {
            Resolution::NoSuchProcess => selection.rows.push(unknown(Outcome::NoSuchProcess)),
            Resolution::NoSuchGroup => selection.rows.push(unknown(Outcome::NoSuchGroup)),
            Resolution::Processes(keys) => {
                let mut ranked: Vec<_> = keys
                    .iter()
                    .filter(|key| seen.insert((*key).clone()))
                    .cloned()
                    .collect();
                if all {
                    ranked = table.in_order_of_rank();
                } else {
                    ranked.sort_by_cached_key(|key| table.rank(key));
                }
                selection.keys.extend(ranked);
                selection
                    .rows
                    .extend(keys.into_iter().map(|key| Row::Process { key, collective }));
            }
        }
    }
    selection
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Engine;
    use crate::engine::testing::{config, settings};
    use crate::types::ProgramName;
    use std::sync::Arc;

    /// One program of its own, one with copies, and a group with a program of one copy and one of two.
    fn engine() -> Engine {
        let member = |name: &str, program: &str, number| {
            let mut process = settings(name);
            process.program = ProgramName::new(program).unwrap();
            process.process_num = number;
            process
        };
        Engine::new(Arc::new(config([
            settings("web"),
            settings("worker:0"),
            settings("worker:1"),
            settings("worker:2"),
            member("site:cache", "cache", 0),
            member("site:job:3", "job", 3),
            member("site:job:4", "job", 4),
            member("all-in", "all-in", 0),
        ])))
    }

    #[test]
    fn every_way_to_name_a_process() {
        let everything = "all-in site:cache site:job:3 site:job:4 web worker:0 worker:1 worker:2";
        for (target, expected) in [
            ("web", "web"),
            ("web:web", "web"),
            ("web:*", "web"),
            ("web:", "web"),
            ("web:0", "web"),
            ("web:1", "no such process"),
            ("worker", "worker:0 worker:1 worker:2"),
            ("worker:1", "worker:1"),
            ("worker:01", "worker:1"),
            ("worker:3", "no such process"),
            ("worker:+1", "no such process"),
            ("worker:", "worker:0 worker:1 worker:2"),
            ("worker:*", "worker:0 worker:1 worker:2"),
            ("cache", "site:cache"),
            ("site:cache", "site:cache"),
            ("cache:*", "site:cache"),
            ("job", "site:job:3 site:job:4"),
            ("job:4", "site:job:4"),
            ("job:0", "no such process"),
            ("site:job:3", "site:job:3"),
            ("site:job", "no such process"),
            ("site", "no such process"),
            ("site:", "site:cache site:job:3 site:job:4"),
            ("site:*", "site:cache site:job:3 site:job:4"),
            ("all", everything),
            ("all:*", "no such group"),
            ("Web", "no such process"),
            ("nosuch", "no such process"),
            ("nosuch:0", "no such process"),
            ("nosuch:*", "no such group"),
            ("nosuch:", "no such group"),
            ("", "no such process"),
            (":", "no such group"),
            (":*", "no such group"),
            ("*", "no such process"),
            ("a b", "no such process"),
        ] {
            let actual = match engine().resolve(target) {
                Resolution::Processes(keys) => {
                    let names: Vec<_> = keys.iter().map(ToString::to_string).collect();
                    names.join(" ")
                }
                Resolution::NoSuchProcess => "no such process".to_owned(),
                Resolution::NoSuchGroup => "no such group".to_owned(),
            };
            assert_eq!(actual, expected, "{target:?}");
        }
    }

    #[test]
    fn all_drops_the_rest_of_the_list_and_a_name_twice_is_one_process() {
        let engine = engine();
        let select = |targets: &[&str]| {
            let targets: Vec<_> = targets.iter().map(|&target| target.to_owned()).collect();
            let selection = select(&engine.table, &targets);
            (selection.rows.len(), selection.keys.len())
        };
        assert_eq!(select(&["nosuch", "all", "web"]), (8, 8));
        assert_eq!(select(&["web", "web", "worker", "worker:1"]), (6, 4));
        assert_eq!(select(&["nosuch", "web"]), (2, 1));
        assert_eq!(select(&[]), (0, 0));
    }
}
