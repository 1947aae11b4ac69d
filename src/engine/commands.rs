//! What operators ask for: each command recorded as intent first, then carried out, then answered.

use super::Engine;
use super::action::{Action, Note};
use super::event::{Command, GroupChange, GroupOutcome, Outcome, Reply, SpawnFailure, Unrunnable};
use super::outbox::Outbox;
use super::plan::{Plan, plan};
use super::process::{Answer, End, Input, Process, Then, Verdict, Wanted};
use super::requests::{Form, Half};
use super::resolve::select;
use crate::config::model::{Config, ProcessSettings};
use crate::engine::mutants::mutant;
use crate::types::{GroupName, Monotonic, ProcessKey, Signal, Ticket};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The intent of an operator.
fn told(up: bool) -> Wanted {
    Wanted {
        up,
        by_operator: true,
    }
}

/// The intent of `autostart`.
fn by_itself(settings: &ProcessSettings) -> Wanted {
    Wanted {
        up: settings.policy.autostart,
        by_operator: false,
    }
}

fn end(then: Then, settings: Option<Arc<ProcessSettings>>) -> Input {
    Input::End(End {
        then,
        hurry: false,
        settings,
    })
}

/// Tells the log that a request waits for a process to stop.
fn note_wait(key: &ProcessKey, answer: &Answer, wait: bool, out: &mut Outbox) {
    if wait && matches!(answer.stop, Some(Verdict::Later | Verdict::Signalled)) {
        out.log(Note::WaitingToStop { key: key.clone() });
    }
}

impl Engine {
    /// Carries out a command.
    pub(super) fn command(
        &mut self,
        now: Monotonic,
        ticket: Ticket,
        command: Command,
        out: &mut Outbox,
    ) {
        if self.requests.is_open(ticket) {
            return out.bug(format!("ticket {} was handed out twice", ticket.0));
        }
        if self.closing.is_some() {
            let reply = match command {
                Command::Shutdown if self.end_for_good(now) => Reply::Accepted,
                Command::Shutdown
                | Command::Start { .. }
                | Command::Stop { .. }
                | Command::Restart { .. }
                | Command::Signal { .. }
                | Command::Reread { .. }
                | Command::Update { .. }
                | Command::Add { .. }
                | Command::Remove { .. }
                | Command::Reload => Reply::ShuttingDown,
            };
            return out.act(Action::Reply { ticket, reply });
        }
        match command {
            Command::Start {
                targets,
                wait,
                unrunnable,
            } => self.start(now, ticket, &targets, wait, &unrunnable, out),
            Command::Stop { targets, wait } => self.stop(now, ticket, &targets, wait, out),
            Command::Restart {
                targets,
                wait,
                unrunnable,
            } => self.restart(now, ticket, &targets, wait, &unrunnable, out),
            Command::Signal { targets, signal } => self.signal(ticket, &targets, signal, out),
            Command::Reread { config } => {
                let changes = plan(&self.config.groups, &config.groups, None).changes;
                mutant!(RereadApplies, self.config = Arc::clone(&config));
                self.last_read = config;
                let reply = Reply::Changes(changes);
                out.act(Action::Reply { ticket, reply });
            }
            Command::Update { config, groups } => self.update(now, ticket, config, &groups, out),
            Command::Add { groups } => {
                let answers = groups
                    .into_iter()
                    .map(|group| {
                        let outcome = self.add_group(now, &group, out);
                        (group, outcome)
                    })
                    .collect();
                let reply = Reply::Groups(answers);
                out.act(Action::Reply { ticket, reply });
            }
            Command::Remove { groups } => {
                let answers = groups
                    .into_iter()
                    .map(|group| {
                        let outcome = self.remove_group(now, &group, out);
                        (group, outcome)
                    })
                    .collect();
                let reply = Reply::Groups(answers);
                out.act(Action::Reply { ticket, reply });
            }
            Command::Shutdown | Command::Reload => {
                let reload = command == Command::Reload;
                let reply = Reply::Accepted;
                out.act(Action::Reply { ticket, reply });
                self.shut_down(now, reload, out);
            }
        }
    }

    fn start(
        &mut self,
        now: Monotonic,
        ticket: Ticket,
        targets: &[String],
        wait: bool,
        unrunnable: &Unrunnable,
        out: &mut Outbox,
    ) {
        let selection = select(&self.table, targets);
        let named = selection.named();
        self.requests
            .open(ticket, Form::Results(Half::Start, selection.rows), wait);
        for key in selection.keys {
            // What is up and was only meant along with others is none of the failures.
            let passed_over =
                !named.contains(&key) && self.table.get(&key).is_some_and(Process::is_up);
            let failure = unrunnable.get(&key).filter(|_| !passed_over);
            if let Some(failure) = mutant!(UnrunnableIsStarted, failure, None) {
                self.refuse_start(ticket, &key, failure);
                continue;
            }
            self.want(&key, told(true));
            let answer = self.apply(now, &key, Input::Start, out);
            self.record(ticket, &key, answer);
        }
        self.requests.close(ticket, out);
    }

    /// Answers for a process that is not tried, and leaves it as it is.
    fn refuse_start(&mut self, ticket: Ticket, key: &ProcessKey, failure: &SpawnFailure) {
        let verdict = Verdict::Now(Outcome::SpawnFailed(failure.clone()));
        self.requests.record(ticket, key, Half::Start, verdict);
    }

    fn stop(
        &mut self,
        now: Monotonic,
        ticket: Ticket,
        targets: &[String],
        wait: bool,
        out: &mut Outbox,
    ) {
        let selection = select(&self.table, targets);
        self.requests
            .open(ticket, Form::Results(Half::Stop, selection.rows), wait);
        for key in selection.keys.into_iter().rev() {
            mutant!(StopIsNotRecorded, self.want(&key, told(false)), ());
            let answer = self.apply(now, &key, end(Then::Rest, None), out);
            note_wait(&key, &answer, wait, out);
            self.record(ticket, &key, answer);
        }
        self.requests.close(ticket, out);
    }

    fn restart(
        &mut self,
        now: Monotonic,
        ticket: Ticket,
        targets: &[String],
        wait: bool,
        unrunnable: &Unrunnable,
        out: &mut Outbox,
    ) {
        let selection = select(&self.table, targets);
        self.requests
            .open(ticket, Form::Restarted(selection.rows), wait);
        for key in self.live_backwards_then_rest(selection.keys) {
            let failure = unrunnable.get(&key);
            let then = if failure.is_some() {
                Then::Rest
            } else {
                Then::Start
            };
            self.want(&key, told(failure.is_none()));
            let answer = self.apply(now, &key, end(then, None), out);
            note_wait(&key, &answer, wait, out);
            self.record(ticket, &key, answer);
            if let Some(failure) = failure {
                self.refuse_start(ticket, &key, failure);
            }
        }
        self.requests.close(ticket, out);
    }

    fn signal(&mut self, ticket: Ticket, targets: &[String], signal: Signal, out: &mut Outbox) {
        let selection = select(&self.table, targets);
        self.requests
            .open(ticket, Form::Results(Half::Stop, selection.rows), true);
        for key in selection.keys {
            if let Some(process) = self.table.get(&key) {
                let outcome = process.signal(signal, out);
                self.requests
                    .record(ticket, &key, Half::Stop, Verdict::Now(outcome));
            }
        }
        self.requests.close(ticket, out);
    }

    fn record(&mut self, ticket: Ticket, key: &ProcessKey, answer: Answer) {
        if let Some(verdict) = answer.stop {
            self.requests.record(ticket, key, Half::Stop, verdict);
        }
        if let Some(verdict) = answer.start {
            self.requests.record(ticket, key, Half::Start, verdict);
        }
    }

    /// The order for stopping some and starting others: first those that live, last rank first; then the rest.
    fn live_backwards_then_rest(&self, keys: Vec<ProcessKey>) -> Vec<ProcessKey> {
        let (live, rest): (Vec<_>, Vec<_>) = keys
            .into_iter()
            .partition(|key| self.table.get(key).is_some_and(Process::is_live));
        live.into_iter().rev().chain(rest).collect()
    }

    fn update(
        &mut self,
        now: Monotonic,
        ticket: Ticket,
        config: Arc<Config>,
        groups: &[String],
        out: &mut Outbox,
    ) {
        let only = match named_groups(groups, &self.config, &config) {
            Ok(only) => only,
            Err(unknown) => {
                let reply = Reply::UnknownGroup(unknown);
                return out.act(Action::Reply { ticket, reply });
            }
        };
        let (changes, stops) = self.adopt(now, config, only, out);
        self.requests.open(ticket, Form::Changes(changes), true);
        for (key, verdict) in stops {
            self.requests.record(ticket, &key, Half::Stop, verdict);
        }
        self.requests.close(ticket, out);
    }

    /// Makes a configuration the active one, or some groups of it. Returns what to tell the user, and the stops that are
    /// under way.
    pub(super) fn adopt(
        &mut self,
        now: Monotonic,
        config: Arc<Config>,
        only: Option<BTreeSet<GroupName>>,
        out: &mut Outbox,
    ) -> (Vec<GroupChange>, Vec<(ProcessKey, Verdict)>) {
        let meant = mutant!(UpdateIgnoresItsGroups, only.as_ref(), None);
        let plan = plan(&self.config.groups, &config.groups, meant);
        match only {
            None => self.config = Arc::clone(&config),
            Some(names) => {
                let active = Arc::make_mut(&mut self.config);
                for name in names {
                    match config.groups.get(&name) {
                        Some(group) => active.groups.insert(name, group.clone()),
                        None => active.groups.remove(&name),
                    };
                }
            }
        }
        self.last_read = config;
        self.carry_out(now, plan, out)
    }

    /// Makes a plan come true whose configuration is already the active one. Returns what to tell the user, and the stops
    /// that are under way.
    fn carry_out(
        &mut self,
        now: Monotonic,
        mut plan: Plan,
        out: &mut Outbox,
    ) -> (Vec<GroupChange>, Vec<(ProcessKey, Verdict)>) {
        let mut stops = Vec::new();
        let mut woken = Vec::new();
        for settings in plan.adjusted {
            let key = settings.key.clone();
            if self.adjust(settings, out) {
                woken.push(key);
            }
        }
        plan.removed.sort_by_cached_key(|key| self.table.rank(key));
        for key in plan.removed.into_iter().rev() {
            self.want(
                &key,
                Wanted {
                    up: false,
                    by_operator: false,
                },
            );
            let then = mutant!(RemovedStays, Then::Forget, Then::Rest);
            let answer = self.apply(now, &key, end(then, None), out);
            stops.extend(answer.stop.map(|verdict| (key, verdict)));
        }
        for change in &plan.changes {
            self.drop_group(&change.group, out);
        }
        let mut changed: BTreeMap<_, _> = plan
            .changed
            .into_iter()
            .map(|settings| (settings.key.clone(), settings))
            .collect();
        let mut keys: Vec<_> = changed.keys().cloned().collect();
        keys.sort_by_cached_key(|key| self.table.rank(key));
        for key in self.live_backwards_then_rest(keys) {
            if let Some(settings) = changed.remove(&key) {
                let answer = self.replace(now, settings, out);
                stops.extend(answer.stop.map(|verdict| (key, verdict)));
            }
        }
        self.rank_groups(out);
        self.add_all(now, plan.added, out);
        woken.sort_by_cached_key(|key| self.table.rank(key));
        for key in woken {
            self.start_by_itself(now, &key, out);
        }
        stops.retain(|(_, verdict)| *verdict != Verdict::Now(Outcome::NotRunning));
        let stopped: BTreeSet<_> = stops.iter().map(|(key, _)| &key.group).collect();
        for change in &mut plan.changes {
            change.stopped = stopped.contains(&change.group);
        }
        (plan.changes, stops)
    }

    /// Gives a process settings that need no restart. Says whether they turn `autostart` on.
    fn adjust(&mut self, settings: Arc<ProcessSettings>, out: &mut Outbox) -> bool {
        let key = settings.key.clone();
        let differences = self.table.with(&key, |process| {
            let old = process.settings();
            let limits = old.stdout != settings.stdout || old.stderr != settings.stderr;
            let woken = !old.policy.autostart && settings.policy.autostart;
            mutant!(LiveChangeIsLost, process.adjust(Arc::clone(&settings)), ());
            (limits, woken)
        });
        let (limits, woken) = differences.unwrap_or_default();
        if limits {
            out.act(Action::Relimit { settings });
        }
        woken
    }

    /// Gives a process settings that need it to be started anew. What an operator said about it stands; where nobody
    /// said anything, `autostart` decides.
    pub(super) fn replace(
        &mut self,
        now: Monotonic,
        settings: Arc<ProcessSettings>,
        out: &mut Outbox,
    ) -> Answer {
        let key = settings.key.clone();
        let Some(process) = self.table.get(&key) else {
            return Answer::default();
        };
        let wanted = if mutant!(
            ChangeForgetsTheOperator,
            process.wanted().by_operator,
            false
        ) {
            process.wanted()
        } else {
            by_itself(&settings)
        };
        self.want(&key, wanted);
        let then = if wanted.up { Then::Start } else { Then::Rest };
        self.apply(now, &key, end(then, Some(settings)), out)
    }

    /// Makes the groups of the active configuration known, with their ranks.
    fn rank_groups(&mut self, out: &mut Outbox) {
        let config = Arc::clone(&self.config);
        for (name, group) in &config.groups {
            if !self.table.groups().contains_key(name) {
                out.log(Note::GroupAdded {
                    group: name.clone(),
                });
                out.act(Action::PublishGroup {
                    group: name.clone(),
                    added: true,
                });
            }
            self.table.rank_group(name, group.priority);
        }
    }

    /// Adds processes. One that is still on its way out from an earlier removal comes back when its stop is over.
    fn add_all(&mut self, now: Monotonic, added: Vec<Arc<ProcessSettings>>, out: &mut Outbox) {
        let mut fresh = Vec::new();
        for settings in added {
            let key = settings.key.clone();
            let wanted = by_itself(&settings);
            if self.table.get(&key).is_some() {
                self.want(&key, wanted);
                let then = if wanted.up { Then::Start } else { Then::Rest };
                self.apply(now, &key, end(then, Some(settings)), out);
            } else {
                self.table.add(now, settings);
                self.want(&key, wanted);
                if mutant!(AddedStartsInAnyCase, wanted.up, true) {
                    fresh.push(key);
                }
            }
        }
        fresh.sort_by_cached_key(|key| self.table.rank(key));
        for key in fresh {
            self.apply(now, &key, Input::Start, out);
        }
    }

    fn add_group(&mut self, now: Monotonic, name: &str, out: &mut Outbox) -> GroupOutcome {
        let Ok(name) = GroupName::new(name) else {
            return GroupOutcome::NoSuchGroup;
        };
        if self.config.groups.contains_key(&name) {
            return GroupOutcome::AlreadyAdded;
        }
        let Some(group) = self.last_read.groups.get(&name).cloned() else {
            return GroupOutcome::NoSuchGroup;
        };
        let added = group.processes.values().cloned().collect();
        Arc::make_mut(&mut self.config).groups.insert(name, group);
        self.rank_groups(out);
        self.add_all(now, added, out);
        GroupOutcome::Added
    }

    fn remove_group(&mut self, now: Monotonic, name: &str, out: &mut Outbox) -> GroupOutcome {
        let Ok(name) = GroupName::new(name) else {
            return GroupOutcome::NoSuchGroup;
        };
        let Some(members) = self.table.groups().get(&name) else {
            return GroupOutcome::NoSuchGroup;
        };
        let busy = members.processes.values().any(|process| process.is_up());
        if mutant!(RemovesWhatRuns, busy, false) {
            return GroupOutcome::StillRunning;
        }
        let keys = members.in_order_of_rank();
        Arc::make_mut(&mut self.config).groups.remove(&name);
        for key in keys {
            self.apply(now, &key, end(Then::Forget, None), out);
        }
        self.drop_group(&name, out);
        GroupOutcome::Removed
    }
}

/// Which groups an update is about; `None` for all of them, an error for a name that is in neither configuration.
pub(super) fn named_groups(
    names: &[String],
    old: &Config,
    new: &Config,
) -> Result<Option<BTreeSet<GroupName>>, String> {
    if names.is_empty() || names.iter().any(|name| name == "all") {
        return Ok(None);
    }
    names
        .iter()
        .map(|name| {
            GroupName::new(name)
                .ok()
                .filter(|name| old.groups.contains_key(name) || new.groups.contains_key(name))
                .ok_or_else(|| name.clone())
        })
        .collect::<Result<_, _>>()
        .map(Some)
}
