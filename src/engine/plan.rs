//! The difference between two configurations, as what is to be done about each process.
//!
//! A process that only its settings' line number tells apart is the same; so is every neighbour of one that changed. When
//! `numprocs` grows or shrinks, only the new or the surplus numbers appear here.

use super::event::{GroupChange, GroupChangeKind};
use crate::config::model::{Group, ProcessSettings};
use crate::types::{GroupName, ProcessKey};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What is to be done to go from one configuration to another.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Plan {
    /// Groups that differ, as the user is told: removed, changed, added, each by name.
    pub changes: Vec<GroupChange>,
    /// Processes that are in the old one only.
    pub removed: Vec<ProcessKey>,
    /// Processes that must be started anew.
    pub changed: Vec<Arc<ProcessSettings>>,
    /// Processes whose settings apply while they run, or differ only in where they stand in the file.
    pub adjusted: Vec<Arc<ProcessSettings>>,
    /// Processes that are in the new one only.
    pub added: Vec<Arc<ProcessSettings>>,
}

/// How two settings of one process differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Difference {
    /// Not at all.
    None,
    /// Not for the user: the section moved in its file.
    Place,
    /// In what applies at once.
    Live,
    /// In what a process is started with.
    Restart,
}

fn difference(old: &Arc<ProcessSettings>, new: &Arc<ProcessSettings>) -> Difference {
    if Arc::ptr_eq(old, new) || old == new {
        Difference::None
    } else if old.needs_restart(new) {
        Difference::Restart
    } else {
        let mut moved = ProcessSettings::clone(old);
        moved.origin.clone_from(&new.origin);
        if moved == **new {
            Difference::Place
        } else {
            Difference::Live
        }
    }
}

/// Compares two sets of groups, all of them or only those in `only`.
pub(super) fn plan(
    old: &BTreeMap<GroupName, Group>,
    new: &BTreeMap<GroupName, Group>,
    only: Option<&BTreeSet<GroupName>>,
) -> Plan {
    let wanted = |name: &GroupName| only.is_none_or(|names| names.contains(name));
    let mut plan = Plan::default();
    let mut changed = Vec::new();
    let mut added = Vec::new();
    for (name, group) in old.iter().filter(|(name, _)| wanted(name)) {
        if let Some(new_group) = new.get(name) {
            if plan.compare(group, new_group) {
                changed.push(change(name, GroupChangeKind::Changed));
            }
        } else {
            let keys = group.processes.values();
            plan.removed
                .extend(keys.map(|settings| settings.key.clone()));
            plan.changes.push(change(name, GroupChangeKind::Removed));
        }
    }
    for (name, group) in new.iter().filter(|(name, _)| wanted(name)) {
        if !old.contains_key(name) {
            plan.added.extend(group.processes.values().cloned());
            added.push(change(name, GroupChangeKind::Added));
        }
    }
    plan.changes.append(&mut changed);
    plan.changes.append(&mut added);
    plan
}

fn change(group: &GroupName, kind: GroupChangeKind) -> GroupChange {
    GroupChange {
        group: group.clone(),
        kind,
        stopped: false,
    }
}

impl Plan {
    /// Adds what differs between two versions of a group; says whether anything does that the user cares for.
    fn compare(&mut self, old: &Group, new: &Group) -> bool {
        let mut differs = old.priority != new.priority || old.explicit != new.explicit;
        for (name, settings) in &old.processes {
            let Some(new_settings) = new.processes.get(name) else {
                self.removed.push(settings.key.clone());
                differs = true;
                continue;
            };
            match difference(settings, new_settings) {
                Difference::None => {}
                Difference::Place => self.adjusted.push(Arc::clone(new_settings)),
                Difference::Live => {
                    self.adjusted.push(Arc::clone(new_settings));
                    differs = true;
                }
                Difference::Restart => {
                    self.changed.push(Arc::clone(new_settings));
                    differs = true;
                }
            }
        }
        for (name, settings) in &new.processes {
            if !old.processes.contains_key(name) {
                self.added.push(Arc::clone(settings));
                differs = true;
            }
        }
        differs
    }
}
