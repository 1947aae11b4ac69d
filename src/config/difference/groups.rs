//! What differs between groups: who belongs to them, and the keys of their own sections.

use super::{Compared, KeyDifference, header, place_in};
use crate::config::model::{Config, Group, GroupKind, KeyOrigin, PoolSettings, ProcessSettings};
use crate::types::{EventType, ProcessKey, ProgramName};
use std::collections::BTreeSet;

impl Compared<'_> {
    /// Why a process is in one configuration only: the key that made it come or go, if it is not its whole section.
    pub fn membership(&self, key: &ProcessKey, settings: &ProcessSettings) -> Vec<KeyDifference> {
        let program = &settings.program;
        let before = copies(self.old, key, program);
        let after = copies(self.new, key, program);
        if let (false, Some(first)) = (before.is_empty(), after.first()) {
            let place = |name| place_in(&first.origins, name).or_else(|| header(first));
            let difference = |name, old: String, new: String| KeyDifference {
                key: name,
                old: Some(old),
                new: Some(new),
                place: place(name),
                live: false,
            };
            let number = |copies: &[&ProcessSettings]| {
                copies
                    .iter()
                    .map(|copy| copy.process_num)
                    .min()
                    .unwrap_or(0)
            };
            return vec![if before.len() != after.len() {
                let count = |copies: &[&ProcessSettings]| copies.len().to_string();
                difference("numprocs", count(&before), count(&after))
            } else if number(&before) != number(&after) {
                let start = |copies| number(copies).to_string();
                difference("numprocs_start", start(&before), start(&after))
            } else {
                let name = |copies: &[&ProcessSettings]| {
                    copies
                        .iter()
                        .find(|copy| copy.process_num == settings.process_num)
                        .map(|copy| copy.key.process.to_string())
                        .unwrap_or_default()
                };
                difference("process_name", name(&before), name(&after))
            }];
        }
        // The program moved from one group to another: the lists of programs tell.
        self.new
            .groups
            .keys()
            .chain(self.old.groups.keys())
            .filter(|name| {
                let has = |config: &Config| {
                    config.groups.get(*name).is_some_and(|group| {
                        group
                            .processes
                            .values()
                            .any(|copy| copy.program == *program)
                    })
                };
                has(self.old) != has(self.new)
            })
            .find_map(|name| programs(self.old.groups.get(name), self.new.groups.get(name)))
            .into_iter()
            .collect()
    }

    /// The keys of a group's own section that differ.
    pub fn group(&self, old: &Group, new: &Group) -> Vec<KeyDifference> {
        let Group {
            priority,
            explicit: _,
            kind,
            origins: _,
            processes: _,
        } = new;
        let ranked = old.priority != *priority && new.explicit;
        let rank = ranked.then(|| KeyDifference {
            key: "priority",
            old: Some(old.priority.to_string()),
            new: Some(priority.to_string()),
            place: place_in(&new.origins, "priority")
                .or_else(|| place_in(&new.origins, "programs")),
            live: true,
        });
        rank.into_iter()
            .chain(programs(Some(old), Some(new)))
            .chain(pool(&old.kind, kind, &new.origins))
            .collect()
    }
}

/// How two pools of event listeners differ. That one became the other's kind shows in each of its processes.
fn pool(old: &GroupKind, new: &GroupKind, origins: &[KeyOrigin]) -> Vec<KeyDifference> {
    let (GroupKind::Listeners(old), GroupKind::Listeners(new)) = (old, new) else {
        return Vec::new();
    };
    let PoolSettings {
        events,
        buffer_size,
        length,
    } = new;
    let names = |events: &[EventType]| {
        let names: Vec<String> = events.iter().map(ToString::to_string).collect();
        names.join(",")
    };
    [
        ("events", names(&old.events), names(events)),
        (
            "buffer_size",
            old.buffer_size.to_string(),
            buffer_size.to_string(),
        ),
        ("payload_length", old.length.to_string(), length.to_string()),
    ]
    .into_iter()
    .filter(|(_, old, new)| old != new)
    .map(|(key, old, new)| KeyDifference {
        key,
        old: Some(old),
        new: Some(new),
        place: place_in(origins, key),
        live: true,
    })
    .collect()
}

/// The copies of a program in one group.
fn copies<'c>(
    config: &'c Config,
    key: &ProcessKey,
    program: &ProgramName,
) -> Vec<&'c ProcessSettings> {
    config
        .groups
        .get(&key.group)
        .into_iter()
        .flat_map(|group| group.processes.values())
        .filter(|copy| copy.program == *program)
        .map(AsRef::as_ref)
        .collect()
}

/// How the list of a group's programs differs.
fn programs(old: Option<&Group>, new: Option<&Group>) -> Option<KeyDifference> {
    let list = |group: Option<&Group>| {
        let group = group.filter(|group| group.explicit)?;
        let names: BTreeSet<&str> = group
            .processes
            .values()
            .map(|copy| copy.program.as_str())
            .collect();
        Some(names.into_iter().collect::<Vec<_>>().join(","))
    };
    let (before, after) = (list(old), list(new));
    (before != after).then(|| KeyDifference {
        key: "programs",
        place: new.and_then(|group| place_in(&group.origins, "programs")),
        old: before,
        new: after,
        live: true,
    })
}
