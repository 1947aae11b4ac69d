//! What the processes of this machine use, from /proc: the console runs where the daemon runs.
//!
//! A program's share is that of its whole tree: its descendants, and whoever is left in its session after a parent
//! died. Memory is resident memory; pages that several processes share count for each of them.

use nix::unistd::{SysconfVar, sysconf};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

/// What a tree of processes uses.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Usage {
    /// Processes in the tree.
    pub processes: u64,
    /// Processor time in milliseconds, of ended and awaited children as well.
    pub cpu_ms: u64,
    /// Share of one processor: since the last look where there was one, else since the program was started.
    pub cpu_percent: f64,
    /// Resident memory in bytes.
    pub memory: u64,
}

/// One process of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    parent: u32,
    session: u32,
    ticks: u64,
    pages: u64,
}

/// One look at all processes.
#[derive(Debug, Default)]
pub struct Processes {
    entries: BTreeMap<u32, Entry>,
    children: BTreeMap<u32, Vec<u32>>,
}

impl Processes {
    /// Looks at all processes. Those that end meanwhile are passed over.
    pub fn look() -> Self {
        Self::look_in(Path::new("/proc"))
    }

    fn look_in(root: &Path) -> Self {
        let mut processes = Self::default();
        let Ok(directory) = std::fs::read_dir(root) else {
            return processes;
        };
        for entry in directory.flatten() {
            let name = entry.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let Ok(stat) = std::fs::read(entry.path().join("stat")) else {
                continue;
            };
            if let Some(entry) = parse(&String::from_utf8_lossy(&stat)) {
                processes
                    .children
                    .entry(entry.parent)
                    .or_default()
                    .push(pid);
                processes.entries.insert(pid, entry);
            }
        }
        processes
    }

    /// The tree of a program: its process, its descendants, and the rest of its session.
    fn tree(&self, root: u32) -> BTreeSet<u32> {
        let mut tree = BTreeSet::new();
        let mut open: Vec<u32> = self
            .entries
            .iter()
            .filter(|(pid, entry)| **pid == root || entry.session == root)
            .map(|(pid, _)| *pid)
            .collect();
        while let Some(pid) = open.pop() {
            if tree.insert(pid) {
                open.extend(self.children.get(&pid).into_iter().flatten());
            }
        }
        tree
    }
}

/// Looks again and again, so that shares are those of now.
#[derive(Debug, Default)]
pub struct Sampler {
    /// Processor time by root, and when it was read.
    before: BTreeMap<u32, (u64, Instant)>,
}

impl Sampler {
    /// What the tree of `root` uses, given how long its program has been up.
    pub fn usage(&mut self, processes: &Processes, root: u32, up_ms: u64) -> Option<Usage> {
        processes.entries.get(&root)?;
        let tree = processes.tree(root);
        let (mut ticks, mut pages) = (0, 0);
        for entry in tree.iter().filter_map(|pid| processes.entries.get(pid)) {
            ticks += entry.ticks;
            pages += entry.pages;
        }
        let now = Instant::now();
        let cpu_ms = ticks * 1000 / number(SysconfVar::CLK_TCK, 100);
        let (spent, span_ms) = match self.before.insert(root, (cpu_ms, now)) {
            Some((before, at)) => (
                cpu_ms.saturating_sub(before),
                u64::try_from(now.duration_since(at).as_millis()).unwrap_or(u64::MAX),
            ),
            None => (cpu_ms, up_ms),
        };
        Some(Usage {
            processes: tree.len() as u64,
            cpu_ms,
            cpu_percent: percent(spent, span_ms),
            memory: pages * number(SysconfVar::PAGE_SIZE, 4096),
        })
    }
}

/// In tenths, as it is shown.
fn percent(spent: u64, span: u64) -> f64 {
    let tenths = spent.saturating_mul(1000) / span.max(1);
    f64::from(u32::try_from(tenths).unwrap_or(u32::MAX)) / 10.0
}

fn number(variable: SysconfVar, usual: u64) -> u64 {
    sysconf(variable)
        .ok()
        .flatten()
        .and_then(|number| u64::try_from(number).ok())
        .unwrap_or(usual)
}

/// Reads a line of /proc/PID/stat. The name in parentheses may hold anything.
fn parse(stat: &str) -> Option<Entry> {
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    // proc_pid_stat(5) counts from 1; the state, the third, is the first here.
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    Some(Entry {
        parent: u32::try_from(field(4)?).ok()?,
        session: u32::try_from(field(6)?).ok()?,
        ticks: field(14)? + field(15)? + field(16)? + field(17)?,
        pages: field(24)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(pid: u32, parent: u32, session: u32, user: u64, pages: u64) -> String {
        format!(
            "{pid} (a) b) S {parent} {session} {session} 0 -1 4194560 1 2 3 4 {user} 20 3 4 20 0 1 0 99 1000 {pages} \
             18446744073709551615 1 2"
        )
    }

    fn machine(lines: &[(u32, u32, u32, u64, u64)]) -> Processes {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("sys")).unwrap();
        for &(pid, parent, session, user, pages) in lines {
            let directory = root.path().join(pid.to_string());
            std::fs::create_dir(&directory).unwrap();
            std::fs::write(
                directory.join("stat"),
                line(pid, parent, session, user, pages),
            )
            .unwrap();
        }
        Processes::look_in(root.path())
    }

    #[test]
    fn a_name_may_hold_parentheses() {
        assert_eq!(
            parse(&line(7, 3, 5, 100, 12)),
            Some(Entry {
                parent: 3,
                session: 5,
                ticks: 127,
                pages: 12
            })
        );
        assert_eq!(parse("7 (a"), None);
        assert_eq!(parse("7 (a) S 1"), None);
    }

    #[test]
    fn a_tree_is_descendants_and_the_rest_of_the_session() {
        let processes = machine(&[
            (1, 0, 1, 0, 9),
            (10, 1, 10, 0, 9),
            // A child of it, in a session of its own, with a child.
            (11, 10, 11, 0, 9),
            (12, 11, 11, 0, 9),
            // Its parent died.
            (13, 1, 10, 0, 9),
            (20, 1, 20, 0, 9),
        ]);
        assert_eq!(processes.tree(10), BTreeSet::from([10, 11, 12, 13]));
        assert_eq!(processes.tree(20), BTreeSet::from([20]));
    }

    #[test]
    fn the_share_is_that_since_the_last_look() {
        let mut sampler = Sampler::default();
        let tick = 1000 / number(SysconfVar::CLK_TCK, 100);
        let first = machine(&[(10, 1, 10, 73, 3)]);
        let usage = sampler.usage(&first, 10, 100 * tick * 2).unwrap();
        assert_eq!(usage.processes, 1);
        assert_eq!(usage.cpu_ms, 100 * tick);
        assert!((usage.cpu_percent - 50.0).abs() < 0.01, "{usage:?}");
        assert_eq!(usage.memory, 3 * number(SysconfVar::PAGE_SIZE, 4096));
        // Nothing was used since.
        let usage = sampler.usage(&first, 10, 100 * tick * 2).unwrap();
        assert!(usage.cpu_percent.abs() < 0.01, "{usage:?}");
        assert_eq!(sampler.usage(&first, 99, 1), None);
    }
}
