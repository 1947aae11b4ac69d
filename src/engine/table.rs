//! Every process in its group, and the indices that make each look-up and each deadline cheap.
//!
//! A process changes only through [`Table::step`] and [`Table::with`], which keep the indices true: pid to process,
//! program to processes, and the deadlines in order. So an event costs a logarithm of the number of processes, and the
//! next deadline is known without looking at any of them.

use super::outbox::Outbox;
use super::process::{Answer, Input, Process};
use crate::config::model::ProcessSettings;
use crate::engine::mutants::mutant;
use crate::types::{Generation, GroupName, Monotonic, Pid, ProcessKey, ProcessName, ProgramName};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A group that is active, or that is not and still has a process on its way out.
#[derive(Debug, Clone)]
pub(super) struct Members {
    /// Rank among groups.
    pub priority: i32,
    /// Its processes. Each is by itself, since the nodes of a map that grows in order are half empty.
    pub processes: BTreeMap<ProcessName, Box<Process>>,
}

/// All processes.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    groups: BTreeMap<GroupName, Members>,
    by_pid: BTreeMap<Pid, ProcessKey>,
    by_program: BTreeMap<ProgramName, BTreeSet<ProcessKey>>,
    deadlines: BTreeSet<(Monotonic, ProcessKey)>,
    /// The highest generation of all processes that were removed. One that comes back under an old name counts on from
    /// here, so that a late event of its predecessor does not pass for its own.
    generation: Generation,
    /// Processes that something has happened to since somebody asked last.
    touched: BTreeSet<ProcessKey>,
}

/// What the indices hold about a process.
struct Indexed {
    pid: Option<Pid>,
    program: ProgramName,
    deadline: Option<Monotonic>,
}

impl Indexed {
    fn of(process: &Process) -> Self {
        Self {
            pid: process.pid(),
            program: process.settings().program.clone(),
            deadline: process.deadline(),
        }
    }
}

impl Table {
    /// Every group, in the order of names.
    pub fn groups(&self) -> &BTreeMap<GroupName, Members> {
        &self.groups
    }

    /// Makes a group known, or changes its rank.
    pub fn rank_group(&mut self, group: &GroupName, priority: i32) {
        self.groups
            .entry(group.clone())
            .and_modify(|members| {
                members.priority = mutant!(ChangeOfRankIsLost, priority, members.priority);
            })
            .or_insert_with(|| Members {
                priority,
                processes: BTreeMap::new(),
            });
    }

    /// Forgets a group if it has no processes.
    pub fn drop_empty_group(&mut self, group: &GroupName) -> bool {
        let empty = self
            .groups
            .get(group)
            .is_some_and(|members| members.processes.is_empty());
        if empty {
            self.groups.remove(group);
        }
        empty
    }

    /// Every process, by group and name.
    pub fn processes(&self) -> impl Iterator<Item = &Process> {
        self.groups
            .values()
            .flat_map(|members| members.processes.values().map(AsRef::as_ref))
    }

    /// How many processes there are.
    pub fn count(&self) -> usize {
        let members = self.groups.values();
        members.map(|members| members.processes.len()).sum()
    }

    /// One process.
    pub fn get(&self, key: &ProcessKey) -> Option<&Process> {
        let members = self.groups.get(&key.group)?;
        members.processes.get(&key.process).map(AsRef::as_ref)
    }

    /// All groups with their processes, and the highest generation of all that were removed.
    pub fn export(&self) -> (Vec<(GroupName, i32, Vec<Process>)>, Generation) {
        let groups = self.groups.iter().map(|(name, members)| {
            let processes = members.processes.values().map(AsRef::as_ref);
            (name.clone(), members.priority, processes.cloned().collect())
        });
        (groups.collect(), self.generation)
    }

    /// A table with these, and the indices that belong to them.
    pub fn import(groups: Vec<(GroupName, i32, Vec<Process>)>, generation: Generation) -> Self {
        let mut table = Self {
            generation,
            ..Self::default()
        };
        for (group, priority, processes) in groups {
            table.rank_group(&group, priority);
            for process in processes {
                let key = process.key().clone();
                table.index(&key, &process);
                if let Some(members) = table.groups.get_mut(&group) {
                    members.processes.insert(key.process, Box::new(process));
                }
            }
        }
        table
    }

    fn index(&mut self, key: &ProcessKey, process: &Process) {
        let Indexed {
            pid,
            program,
            deadline,
        } = Indexed::of(process);
        if let Some(pid) = pid {
            self.by_pid.insert(pid, key.clone());
        }
        if let Some(at) = deadline {
            self.deadlines.insert((at, key.clone()));
        }
        self.by_program
            .entry(program)
            .or_default()
            .insert(key.clone());
    }

    /// Processes that something has happened to, or that were removed, since the last call.
    pub fn take_touched(&mut self) -> BTreeSet<ProcessKey> {
        std::mem::take(&mut self.touched)
    }

    /// The process that a pid belongs to.
    pub fn find_pid(&self, pid: Pid) -> Option<&ProcessKey> {
        self.by_pid.get(&pid)
    }

    /// All copies of a program, by group and name.
    pub fn copies(&self, program: &str) -> Option<&BTreeSet<ProcessKey>> {
        self.by_program.get(&ProgramName::new(program).ok()?)
    }

    /// Names of processes that are due at `now`, the longest due first.
    pub fn due(&self, now: Monotonic) -> Vec<ProcessKey> {
        self.deadlines
            .iter()
            .take_while(|(at, _)| *at <= now)
            .map(|(_, key)| key.clone())
            .collect()
    }

    /// The next moment at which a process is due.
    pub fn next_deadline(&self) -> Option<Monotonic> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Adds a process that was never started, to a group that is known.
    pub fn add(&mut self, now: Monotonic, settings: Arc<ProcessSettings>) {
        let key = settings.key.clone();
        let program = settings.program.clone();
        if let Some(members) = self.groups.get_mut(&key.group) {
            members.processes.insert(
                key.process.clone(),
                Box::new(Process::new(now, settings, self.generation)),
            );
            self.by_program.entry(program).or_default().insert(key);
        }
    }

    /// Takes a process away for good.
    pub fn remove(&mut self, key: &ProcessKey) -> Option<Process> {
        let process = self
            .groups
            .get_mut(&key.group)?
            .processes
            .remove(&key.process)?;
        self.unindex(key, &Indexed::of(&process));
        let highest = self.generation.max(process.generation());
        self.generation = mutant!(RemovedGenerationIsForgotten, highest, self.generation);
        self.touched.insert(key.clone());
        Some(*process)
    }

    /// Lets something happen to a process; `None` if there is none of this name.
    pub fn step(
        &mut self,
        now: Monotonic,
        key: &ProcessKey,
        input: Input,
        out: &mut Outbox,
    ) -> Option<Answer> {
        self.with(key, |process| process.step(now, input, out))
    }

    /// Changes a process and keeps the indices true.
    pub fn with<T>(
        &mut self,
        key: &ProcessKey,
        change: impl FnOnce(&mut Process) -> T,
    ) -> Option<T> {
        let process = self
            .groups
            .get_mut(&key.group)?
            .processes
            .get_mut(&key.process)?;
        let before = Indexed::of(process);
        let result = change(process);
        let after = Indexed::of(process);
        self.reindex(key, &before, after);
        if !self.touched.contains(key) {
            self.touched.insert(key.clone());
        }
        Some(result)
    }

    fn reindex(&mut self, key: &ProcessKey, before: &Indexed, after: Indexed) {
        if before.deadline != after.deadline {
            if let Some(at) = mutant!(OldDeadlineStays, before.deadline, None) {
                self.deadlines.remove(&(at, key.clone()));
            }
            if let Some(at) = after.deadline {
                self.deadlines.insert((at, key.clone()));
            }
        }
        if before.pid != after.pid {
            mutant!(ReapedPidIsStillFound, self.unindex_pid(key, before.pid), ());
            if let Some(pid) = after.pid {
                self.by_pid.insert(pid, key.clone());
            }
        }
        if before.program != after.program {
            self.unindex_program(key, &before.program);
            self.by_program
                .entry(after.program)
                .or_default()
                .insert(key.clone());
        }
    }

    fn unindex(&mut self, key: &ProcessKey, indexed: &Indexed) {
        if let Some(at) = indexed.deadline {
            self.deadlines.remove(&(at, key.clone()));
        }
        self.unindex_pid(key, indexed.pid);
        self.unindex_program(key, &indexed.program);
    }

    fn unindex_pid(&mut self, key: &ProcessKey, pid: Option<Pid>) {
        if let Some(pid) = pid
            && self.by_pid.get(&pid) == Some(key)
        {
            self.by_pid.remove(&pid);
        }
    }

    fn unindex_program(&mut self, key: &ProcessKey, program: &ProgramName) {
        if let Some(copies) = self.by_program.get_mut(program) {
            copies.remove(key);
            if copies.is_empty() {
                self.by_program.remove(program);
            }
        }
    }

    /// Where a process stands in the order of rank.
    pub fn rank(&self, key: &ProcessKey) -> (i32, GroupName, i32, ProcessName) {
        let group = self.groups.get(&key.group);
        let process = group.and_then(|members| members.processes.get(&key.process));
        (
            group.map_or(0, |members| members.priority),
            key.group.clone(),
            process.map_or(0, |process| process.settings().policy.priority),
            key.process.clone(),
        )
    }

    /// Names of all processes in the order in which they start: by rank and name of the group, then of the process.
    pub fn in_order_of_rank(&self) -> Vec<ProcessKey> {
        let mut groups: Vec<_> = self.groups.iter().collect();
        groups.sort_by_key(|(name, members)| (members.priority, *name));
        groups
            .into_iter()
            .flat_map(|(_, members)| members.in_order_of_rank())
            .collect()
    }
}

#[cfg(test)]
impl Table {
    /// How many entries the indices have: pids, deadlines, copies of programs.
    pub fn sizes(&self) -> [usize; 3] {
        let copies = self.by_program.values().map(BTreeSet::len).sum();
        [self.by_pid.len(), self.deadlines.len(), copies]
    }
}

impl Members {
    /// Names of its processes in the order in which they start.
    pub fn in_order_of_rank(&self) -> Vec<ProcessKey> {
        let mut processes: Vec<_> = self.processes.values().collect();
        // The map is in the order of names, and the sort is stable.
        processes.sort_by_key(|process| process.settings().policy.priority);
        processes
            .into_iter()
            .map(|process| process.key().clone())
            .collect()
    }
}
