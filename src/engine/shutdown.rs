//! The end of everything, in order.
//!
//! Once begun, a shutdown is never left, and nothing is spawned any more. Groups take their turns strictly one after
//! another, from the highest rank down. In its turn every process of a group is told to end at once, in reverse order of
//! rank; the next group's turn comes when none of them lives, or when the turn has lasted too long: the longest
//! `stopwaitsecs` among them and [`TURN_GRACE`]. After the last turn the daemon ends, and says who is left.
//!
//! Event listeners have the lowest rank unless the file says otherwise. Before the first of their turns they are given the
//! time to hear of all that was stopped before them: until the shell says that they have, but no longer than
//! [`HEARING_GRACE`].
//!
//! An end (not a reload) may be given a time for the whole, `shutdown_timeout`. Shortly before it is over everything is
//! killed, still in order, so that the daemon has ended by then: whoever waits for it would kill it, and it could not
//! tell its status.

use super::Engine;
use super::action::{Action, Note};
use super::outbox::{Happening, Outbox};
use super::process::{End, Input, Then, Wanted};
use crate::config::model::GroupKind;
use crate::engine::mutants::mutant;
use crate::types::{GroupName, Monotonic, ProcessKey};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;

/// How much longer than `stopwaitsecs` a turn may last.
pub(super) const TURN_GRACE: Duration = Duration::from_secs(10);
/// How long event listeners may take to hear of everything before their turn.
pub(super) const HEARING_GRACE: Duration = Duration::from_secs(1);
/// Most of `shutdown_timeout` that is kept for killing and for writing the last lines.
const RESERVE_MAX: Duration = Duration::from_secs(1);
/// Time between two lines in the log that say who is waited for.
pub(super) const REPORT_INTERVAL: Duration = Duration::from_secs(3);

/// A shutdown that is under way.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Closing {
    /// The daemon starts anew afterwards.
    reload: bool,
    /// No patience is left.
    hurry: bool,
    /// Groups whose turn is still to come, the next one last.
    to_come: Vec<GroupName>,
    /// Processes of the group whose turn it is that are still live.
    waiting: BTreeSet<ProcessKey>,
    /// When the turn ends in any case.
    turn_ends: Monotonic,
    /// When to say again who is waited for.
    report_at: Monotonic,
    /// When the patience for the whole ends.
    hurry_at: Option<Monotonic>,
    /// Processes that nobody waits for any longer.
    left: BTreeSet<ProcessKey>,
    /// Whether event listeners have heard of everything.
    hearing: Hearing,
    /// The daemon was told to end.
    over: bool,
}

/// Whether event listeners have heard of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Hearing {
    /// Their turn has not come.
    NotYet,
    /// Their turn is next; they have time until then.
    Until(Monotonic),
    /// They have, or had time enough.
    Over,
}

impl Closing {
    /// When the shutdown wants to be stepped without any other cause.
    pub fn deadline(&self) -> Option<Monotonic> {
        let step = self.turn_ends.min(self.report_at);
        (!self.over).then(|| self.hurry_at.map_or(step, |at| at.min(step)))
    }

    /// Whether the daemon starts anew afterwards.
    pub fn reloads(&self) -> bool {
        self.reload
    }

    /// The daemon is to end, not to start anew. Says whether that is news.
    fn end_for_good(&mut self) -> bool {
        let reloads = self.reload;
        self.reload = mutant!(ReloadStaysAReload, false, reloads);
        reloads
    }

    /// Whether the next turn waits for event listeners.
    pub fn waits_for_listeners(&self) -> bool {
        matches!(self.hearing, Hearing::Until(_))
    }

    /// Event listeners have heard of everything.
    pub fn listeners_heard(&mut self) {
        if self.waits_for_listeners() {
            self.hearing = Hearing::Over;
        }
    }

    /// Takes note of what happened to a process.
    pub fn happened(&mut self, key: &ProcessKey, happening: &Happening) {
        match happening {
            Happening::Gone => {
                self.waiting.remove(key);
                self.left.remove(key);
            }
            Happening::NotKilled => {
                self.waiting.remove(key);
                self.left.insert(key.clone());
            }
            Happening::Spawned
            | Happening::Running
            | Happening::SpawnFailed(_)
            | Happening::ExitedTooQuickly(_)
            | Happening::Cancelled
            | Happening::Signalled
            | Happening::Forgotten => {}
        }
    }
}

impl Engine {
    /// Begins the shutdown. Nothing that is pending happens any more; what is up waits for its group's turn.
    pub(super) fn shut_down(&mut self, now: Monotonic, reload: bool, out: &mut Outbox) {
        let keys = self.table.in_order_of_rank();
        let mut ranked: Vec<_> = self
            .table
            .groups()
            .iter()
            .map(|(name, members)| (members.priority, name.clone()))
            .collect();
        ranked.sort();
        mutant!(LowestRankStopsFirst, ranked.reverse());
        self.closing = Some(Closing {
            reload,
            hurry: false,
            to_come: ranked.into_iter().map(|(_, name)| name).collect(),
            waiting: BTreeSet::new(),
            turn_ends: now,
            report_at: now,
            hurry_at: None,
            left: BTreeSet::new(),
            hearing: Hearing::NotYet,
            over: false,
        });
        if !reload {
            self.limit_shutdown(now);
        }
        for key in keys {
            self.want(
                &key,
                Wanted {
                    up: false,
                    by_operator: false,
                },
            );
            self.apply(now, &key, Input::Withdraw, out);
        }
        self.take_turns(now, out);
        self.report_waiting(now, out);
    }

    /// A shutdown that is under way is to be an end, not a reload: from now on it has the time that an end has. Says whether
    /// that is news.
    pub(super) fn end_for_good(&mut self, now: Monotonic) -> bool {
        let news = self.closing.as_mut().is_some_and(Closing::end_for_good);
        if news {
            self.limit_shutdown(now);
        }
        news
    }

    /// The daemon is to end in time, if a time is given.
    fn limit_shutdown(&mut self, now: Monotonic) {
        let given = self.config.daemon.shutdown_timeout;
        let timeout = mutant!(ShutdownTimeoutIsIgnored, given, None);
        if let (Some(closing), Some(timeout)) = (&mut self.closing, timeout)
            && !timeout.is_zero()
        {
            let reserve = (timeout / 10).min(RESERVE_MAX);
            closing.hurry_at = Some(now.after(timeout.saturating_sub(reserve)));
        }
    }

    /// No patience is left: whatever is being stopped is killed now, in this turn and in all to come.
    pub(super) fn hurry(&mut self, now: Monotonic, out: &mut Outbox) {
        if let Some(closing) = &mut self.closing {
            closing.hurry = true;
            closing.hurry_at = None;
            closing.turn_ends = closing.turn_ends.min(now.after(TURN_GRACE));
        }
        for key in self.table.in_order_of_rank().into_iter().rev() {
            self.apply(now, &key, Input::Hurry, out);
        }
    }

    /// Works off what is due for the shutdown itself, and goes on to the next turn when it is time.
    pub(super) fn go_on_closing(&mut self, now: Monotonic, out: &mut Outbox) {
        let Some(closing) = &mut self.closing else {
            return;
        };
        if closing.over {
            return;
        }
        if closing.hurry_at.is_some_and(|at| now >= at) {
            out.log(Note::OutOfTime);
            self.hurry(now, out);
        }
        let Some(closing) = &mut self.closing else {
            return;
        };
        if now >= closing.turn_ends {
            let given_up = std::mem::take(&mut closing.waiting);
            closing.left.extend(given_up.iter().cloned());
            for key in given_up {
                out.log(Note::NotKilled { key: key.clone() });
                self.requests.happened(&key, &Happening::NotKilled, out);
            }
        }
        self.take_turns(now, out);
        self.report_waiting(now, out);
    }

    fn take_turns(&mut self, now: Monotonic, out: &mut Outbox) {
        while let Some(closing) = &mut self.closing
            && mutant!(AllGroupsStopAtOnce, closing.waiting.is_empty(), true)
            && !closing.over
        {
            if self.listeners_are_hearing(now) {
                return;
            }
            let Some(closing) = &mut self.closing else {
                return;
            };
            match closing.to_come.pop() {
                Some(group) => self.take_turn(now, &group, out),
                None => self.end_daemon(out),
            }
        }
    }

    /// Whether the next turn is that of event listeners who live and may still have something to hear.
    fn listeners_are_hearing(&mut self, now: Monotonic) -> bool {
        let Some(closing) = &mut self.closing else {
            return false;
        };
        let listeners = |group: &GroupName| {
            let kind = self.config.groups.get(group).map(|group| &group.kind);
            let members = self.table.groups().get(group);
            matches!(kind, Some(GroupKind::Listeners(_)))
                && members.is_some_and(|members| {
                    members.processes.values().any(|process| process.is_live())
                })
        };
        if closing.hurry || !closing.to_come.last().is_some_and(listeners) {
            return false;
        }
        if closing.hearing == Hearing::NotYet {
            let until = now.after(HEARING_GRACE);
            closing.hearing = Hearing::Until(until);
            closing.turn_ends = until;
        }
        match closing.hearing {
            Hearing::Until(until) if now < until => true,
            Hearing::NotYet | Hearing::Until(_) | Hearing::Over => {
                closing.hearing = Hearing::Over;
                false
            }
        }
    }

    fn take_turn(&mut self, now: Monotonic, group: &GroupName, out: &mut Outbox) {
        let hurry = self.closing.as_ref().is_some_and(|closing| closing.hurry);
        let members = self
            .table
            .groups()
            .get(group)
            .map(super::table::Members::in_order_of_rank)
            .unwrap_or_default();
        let mut patience = Duration::ZERO;
        for key in members.into_iter().rev() {
            if let Some(process) = self.table.get(&key).filter(|process| process.is_live()) {
                patience = patience.max(process.settings().policy.stopwaitsecs);
                let end = End {
                    then: Then::Rest,
                    hurry,
                    settings: None,
                };
                // Before it is told, because its end may already be noticed while it is.
                if let Some(closing) = &mut self.closing {
                    closing.waiting.insert(key.clone());
                }
                self.apply(now, &key, Input::End(end), out);
            }
        }
        if let Some(closing) = &mut self.closing {
            let patience = if hurry { Duration::ZERO } else { patience };
            closing.turn_ends = now.after(patience).after(TURN_GRACE);
        }
    }

    fn report_waiting(&mut self, now: Monotonic, out: &mut Outbox) {
        let Some(closing) = &mut self.closing else {
            return;
        };
        if closing.over || now < closing.report_at {
            return;
        }
        closing.report_at = now.after(REPORT_INTERVAL);
        let keys = self
            .table
            .processes()
            .filter(|process| process.is_live())
            .map(|process| process.key().clone())
            .collect();
        out.log(Note::WaitingToDie { keys });
    }

    fn end_daemon(&mut self, out: &mut Outbox) {
        self.requests.finish(out);
        if let Some(closing) = &mut self.closing {
            closing.over = true;
            mutant!(SurvivorsAreHidden, closing.left.clear());
            out.act(Action::Exit {
                left: closing.left.iter().cloned().collect(),
                reload: closing.reload,
            });
        }
    }
}
