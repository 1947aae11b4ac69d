//! The difference between two configurations, as what is to be done about each process.
//!
//! A process that only its settings' line number tells apart is the same; so is every neighbour of one that changed. When
//! `numprocs` grows or shrinks, only the new or the surplus numbers appear here.

use super::event::{GroupChange, GroupChangeKind};
use crate::config::model::{Group, ProcessSettings};
use crate::engine::mutants::mutant;
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
        mutant!(
            ChangedCommandIsAppliedLive,
            Difference::Restart,
            Difference::Live
        )
    } else if old.differs_from(new) {
        mutant!(LiveKeyRestarts, Difference::Live, Difference::Restart)
    } else {
        mutant!(MovedSectionRestarts, Difference::Place, Difference::Restart)
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
        let mut differs =
            old.priority != new.priority || old.explicit != new.explicit || old.kind != new.kind;
        for (name, settings) in &old.processes {
            let Some(new_settings) = new.processes.get(name) else {
                mutant!(
                    SurplusCopyStays,
                    self.removed.push(settings.key.clone()),
                    ()
                );
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::{Autorestart, KeyOrigin, ListenAddress, ListenSettings, LogTarget};
    use crate::engine::testing::{config, settings};
    use crate::types::Signal;
    use std::path::Path;
    use std::time::Duration;

    /// Which processes are removed, changed, adjusted and added, and which groups the user is told of.
    fn words(plan: &Plan) -> String {
        let keys = |list: &[Arc<ProcessSettings>]| {
            list.iter()
                .map(|settings| settings.key.to_string())
                .collect::<Vec<_>>()
                .join(" ")
        };
        let removed: Vec<_> = plan.removed.iter().map(ToString::to_string).collect();
        let told: Vec<_> = plan
            .changes
            .iter()
            .map(|change| format!("{:?} {}", change.kind, change.group))
            .collect();
        format!(
            "-[{}] ~[{}] .[{}] +[{}] {}",
            removed.join(" "),
            keys(&plan.changed),
            keys(&plan.adjusted),
            keys(&plan.added),
            told.join(", ")
        )
    }

    fn compare(old: &[ProcessSettings], new: &[ProcessSettings]) -> String {
        let groups = |list: &[ProcessSettings]| config(list.to_vec()).groups;
        words(&plan(&groups(old), &groups(new), None))
    }

    #[test]
    fn groups_and_processes_come_go_and_stay() {
        let list = |names: &[&str]| names.iter().map(|name| settings(name)).collect::<Vec<_>>();
        for (old, new, expected) in [
            (&["a", "b"][..], &["a", "b"][..], "-[] ~[] .[] +[] "),
            (&["a"], &["a", "b"], "-[] ~[] .[] +[b] Added b"),
            (&["a", "b"], &["b"], "-[a] ~[] .[] +[] Removed a"),
            (
                &["b", "c"],
                &["a", "b", "d"],
                "-[c] ~[] .[] +[a d] Removed c, Added a, Added d",
            ),
            (
                &["w:0", "w:1"],
                &["w:0", "w:1", "w:2", "w:3"],
                "-[] ~[] .[] +[w:2 w:3] Changed w",
            ),
            (
                &["w:0", "w:1", "w:2"],
                &["w:0"],
                "-[w:1 w:2] ~[] .[] +[] Changed w",
            ),
            (&["a"], &["s:a"], "-[a] ~[] .[] +[s:a] Removed a, Added s"),
            (&[], &[], "-[] ~[] .[] +[] "),
        ] {
            assert_eq!(compare(&list(old), &list(new)), expected, "{old:?} {new:?}");
        }
    }

    #[test]
    fn each_kind_of_setting_changes_a_process_in_its_way() {
        type Change = fn(&mut ProcessSettings);
        let nothing = "-[] ~[] .[] +[] ";
        let quietly = "-[] ~[] .[a] +[] ";
        let live = "-[] ~[] .[a] +[] Changed a";
        let restart = "-[] ~[a] .[] +[] Changed a";
        let cases: [(&str, Change, &str); 25] = [
            ("nothing", |_| (), nothing),
            ("origin", |s| s.origin = "other.ini:9".into(), quietly),
            (
                "origins",
                |s| {
                    s.origins = Arc::from([KeyOrigin {
                        key: "command",
                        file: Arc::from(Path::new("test.ini")),
                        line: 2,
                    }]);
                },
                quietly,
            ),
            ("autostart", |s| s.policy.autostart ^= true, live),
            (
                "autorestart",
                |s| s.policy.autorestart = Autorestart::Always,
                live,
            ),
            ("startsecs", |s| s.policy.startsecs = Duration::ZERO, live),
            ("startretries", |s| s.policy.startretries = 9, live),
            ("exitcodes", |s| s.policy.exitcodes = vec![7], live),
            ("stopsignal", |s| s.policy.stopsignal = Signal::INT, live),
            (
                "stopwaitsecs",
                |s| s.policy.stopwaitsecs = Duration::ZERO,
                live,
            ),
            ("priority", |s| s.policy.priority = 1, live),
            ("stopasgroup", |s| s.policy.stopasgroup = true, live),
            ("killasgroup", |s| s.policy.killasgroup = true, live),
            ("stdout maxbytes", |s| s.stdout.maxbytes.0 = 1, live),
            ("stderr backups", |s| s.stderr.backups = 1, live),
            (
                "stdout target",
                |s| {
                    s.stdout.target = LogTarget::File {
                        path: Path::new("/tmp/x").into(),
                        auto: false,
                    };
                },
                restart,
            ),
            (
                "stderr target",
                |s| {
                    s.stderr.target = LogTarget::File {
                        path: Path::new("/tmp/x").into(),
                        auto: false,
                    };
                },
                restart,
            ),
            ("argv", |s| s.launch.argv.push("-v".to_owned()), restart),
            ("command", |s| s.launch.command.push_str(" -v"), restart),
            (
                "directory",
                |s| s.launch.directory = Some("/".into()),
                restart,
            ),
            ("umask", |s| s.launch.umask = 0o77, restart),
            (
                "environment",
                |s| {
                    s.launch
                        .environment
                        .0
                        .insert("A".to_owned(), "b".to_owned());
                },
                restart,
            ),
            (
                "redirect_stderr",
                |s| s.launch.redirect_stderr = true,
                restart,
            ),
            ("strip_ansi", |s| s.launch.strip_ansi = true, restart),
            (
                "both",
                |s| {
                    s.policy.priority = 1;
                    s.launch.umask = 0;
                },
                restart,
            ),
        ];
        for (what, change, expected) in cases {
            let mut new = settings("a");
            change(&mut new);
            let neighbour = settings("b");
            let old = [settings("a"), neighbour.clone()];
            assert_eq!(compare(&old, &[new, neighbour]), expected, "{what}");
        }
    }

    #[test]
    fn what_is_done_with_output_and_a_socket_need_a_new_start() {
        type Change = fn(&mut ProcessSettings);
        let listen = |port, backlog| {
            let host = String::new();
            let address = ListenAddress::Tcp { host, port };
            Some(Arc::new(ListenSettings { address, backlog }))
        };
        let mut old = settings("a");
        old.launch.listen = listen(9000, None);
        let mut changed: Vec<(&str, ProcessSettings)> = Vec::new();
        let cases: [(&str, Change); 3] = [
            ("capture", |s| s.stdout.capture_maxbytes.0 = 1),
            ("events", |s| s.stderr.events_enabled = true),
            ("syslog", |s| s.stdout.syslog = true),
        ];
        for (what, change) in cases {
            let mut new = old.clone();
            change(&mut new);
            changed.push((what, new));
        }
        for (what, socket) in [
            ("socket", listen(9001, None)),
            ("backlog", listen(9000, Some(7))),
            ("none", None),
        ] {
            let mut new = old.clone();
            new.launch.listen = socket;
            changed.push((what, new));
        }
        for (what, new) in changed {
            let expected = "-[] ~[a] .[] +[] Changed a";
            assert_eq!(compare(&[old.clone()], &[new]), expected, "{what}");
        }
    }

    #[test]
    fn one_changed_copy_leaves_its_siblings_alone() {
        let old: Vec<_> = ["w:0", "w:1", "w:2"].map(settings).into();
        let mut new = old.clone();
        new[1].launch.umask = 0;
        assert_eq!(compare(&old, &new), "-[] ~[w:1] .[] +[] Changed w");
    }

    #[test]
    fn a_group_changes_with_its_rank_and_nothing_else_does() {
        let old = config([settings("a"), settings("b")]).groups;
        let mut new = old.clone();
        for (name, group) in &mut new {
            if name.as_str() == "a" {
                group.priority = 1;
            }
        }
        assert_eq!(words(&plan(&old, &new, None)), "-[] ~[] .[] +[] Changed a");
    }

    #[test]
    fn a_plan_for_some_groups_is_about_no_others() {
        let old = config(["a", "b", "c"].map(settings)).groups;
        let new = config(["b", "d", "e"].map(settings)).groups;
        let only = |names: &[&str]| {
            let names = names.iter().map(|name| GroupName::new(name).unwrap());
            words(&plan(&old, &new, Some(&names.collect())))
        };
        assert_eq!(only(&["a"]), "-[a] ~[] .[] +[] Removed a");
        assert_eq!(only(&["b"]), "-[] ~[] .[] +[] ");
        assert_eq!(only(&["c", "d"]), "-[c] ~[] .[] +[d] Removed c, Added d");
    }
}
