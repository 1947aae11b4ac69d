//! What clients asked, what they may be told, and whether they were.
//!
//! - **I14** Every request gets exactly one reply, unless its client is gone. "Stopped" implies a moment between request and
//!   reply at which nothing of the process lived; "started" implies one at which it was RUNNING (or, without waiting, at
//!   which its process existed). Every other outcome has its reason likewise.
//! - **I15** Nothing is said to a client that is gone.
//! - **I33** An answer has exactly one line for each process that was meant, in the order asked for; members of a group
//!   that were meant collectively and needed nothing have none.

use super::checks::{Checks, Moments};
use crate::engine::event::{Command, Outcome, Reply, TargetResult, Unrunnable};
use crate::engine::view::State;
use crate::engine::{Engine, Resolution};
use crate::types::{ProcessKey, Ticket};
use std::collections::{BTreeMap, BTreeSet};

/// A line that is expected.
#[derive(Debug)]
struct Line {
    name: String,
    collective: bool,
    /// The process, its state, and how often things had happened to it, when it was asked for.
    process: Option<(ProcessKey, State, Moments)>,
    has_pid: bool,
}

#[derive(Debug)]
struct Asked {
    lines: Vec<Line>,
    wait: bool,
    signal: bool,
    /// These could not be run.
    unrunnable: Unrunnable,
    /// What may be answered during a shutdown.
    refusal: Option<Reply>,
}

/// All requests of a history.
#[derive(Debug, Default)]
pub struct Tickets {
    waiting: BTreeMap<Ticket, Asked>,
    gone: BTreeSet<Ticket>,
    /// The end that is under way is to be followed by a new beginning.
    reloading: bool,
}

impl Tickets {
    /// A signal told the daemon to end.
    pub fn terminated(&mut self) {
        self.reloading = false;
    }

    /// A client asks for something.
    pub fn asked(&mut self, ticket: Ticket, command: &Command, engine: &Engine, checks: &Checks) {
        let (targets, wait) = match command {
            Command::Start { targets, wait, .. }
            | Command::Stop { targets, wait }
            | Command::Restart { targets, wait, .. } => (targets.as_slice(), *wait),
            Command::Signal { targets, .. } => (targets.as_slice(), true),
            Command::Reread { .. }
            | Command::Update { .. }
            | Command::Add { .. }
            | Command::Remove { .. }
            | Command::Shutdown
            | Command::Reload => (&[][..], true),
        };
        let closing = engine.is_shutting_down();
        let turns_reload_into_end =
            matches!(command, Command::Shutdown) && std::mem::take(&mut self.reloading);
        if matches!(command, Command::Reload) && !closing {
            self.reloading = true;
        }
        self.waiting.insert(
            ticket,
            Asked {
                lines: expected_lines(targets, engine, checks),
                wait,
                signal: matches!(command, Command::Signal { .. }),
                unrunnable: if let Command::Start { unrunnable, .. }
                | Command::Restart { unrunnable, .. } = command
                {
                    unrunnable.clone()
                } else {
                    Unrunnable::new()
                },
                refusal: closing.then_some(if turns_reload_into_end {
                    Reply::Accepted
                } else {
                    Reply::ShuttingDown
                }),
            },
        );
    }

    /// One of those that wait, or one of the others if none does.
    pub fn one_that_waits(&self, pick: u64) -> Option<Ticket> {
        let count = u64::try_from(self.waiting.len()).ok().filter(|n| *n > 0)?;
        let index = usize::try_from(pick % count).ok()?;
        self.waiting.keys().nth(index).copied()
    }

    /// A client has gone.
    pub fn abandoned(&mut self, ticket: Ticket) {
        self.waiting.remove(&ticket);
        self.gone.insert(ticket);
    }

    /// A client is told something.
    pub fn answered(
        &mut self,
        ticket: Ticket,
        reply: &Reply,
        checks: &Checks,
    ) -> Result<(), String> {
        if self.gone.contains(&ticket) {
            return Err(format!("I15: {ticket:?} is gone and is told {reply:?}"));
        }
        let Some(asked) = self.waiting.remove(&ticket) else {
            return Err(format!("I14: {ticket:?} is answered twice: {reply:?}"));
        };
        if let Some(refusal) = &asked.refusal {
            return if reply == refusal {
                Ok(())
            } else {
                Err(format!(
                    "I18: {ticket:?} is told {reply:?} during a shutdown"
                ))
            };
        }
        let rows = match reply {
            Reply::Results(rows) => vec![rows],
            Reply::Restarted { stops, starts } => vec![stops, starts],
            Reply::ShuttingDown => {
                return Err(format!("I14: {ticket:?} is refused without a reason"));
            }
            Reply::Changes(_) | Reply::UnknownGroup(_) | Reply::Groups(_) | Reply::Accepted => {
                return Ok(());
            }
        };
        for rows in rows {
            asked
                .compare(rows, checks)
                .map_err(|why| format!("{why}; {ticket:?} is told {reply:?}"))?;
        }
        Ok(())
    }

    /// How many wait.
    pub fn count(&self) -> usize {
        self.waiting.len()
    }

    /// Nobody waits any longer.
    pub fn are_all_answered(&self) -> Result<(), String> {
        if self.waiting.is_empty() {
            Ok(())
        } else {
            Err(format!("I14: never answered: {:?}", self.waiting))
        }
    }
}

fn expected_lines(targets: &[String], engine: &Engine, checks: &Checks) -> Vec<Line> {
    let everything = ["all".to_owned()];
    let targets = if targets.iter().any(|target| target == "all") {
        &everything[..]
    } else {
        targets
    };
    let mut lines = Vec::new();
    for target in targets {
        match engine.resolve(target) {
            Resolution::Processes(keys) => {
                let collective = target == "all" || target.ends_with('*') || target.ends_with(':');
                lines.extend(keys.into_iter().filter_map(|key| {
                    let view = engine.process(&key)?;
                    Some(Line {
                        name: key.to_string(),
                        collective,
                        process: Some((key.clone(), view.state, checks.moments(&key))),
                        has_pid: view.pid.is_some(),
                    })
                }));
            }
            Resolution::NoSuchProcess | Resolution::NoSuchGroup => lines.push(Line {
                name: target.clone(),
                collective: false,
                process: None,
                has_pid: false,
            }),
        }
    }
    lines
}

impl Asked {
    /// Holds the lines of an answer against those expected.
    fn compare(&self, rows: &[TargetResult], checks: &Checks) -> Result<(), String> {
        let mut rows = rows.iter().peekable();
        for line in &self.lines {
            let is_this = |row: &&TargetResult| {
                let idle = matches!(row.outcome, Outcome::AlreadyStarted | Outcome::NotRunning);
                row.name == line.name && !(line.collective && idle)
            };
            match rows.next_if(is_this) {
                Some(row) => self.judge(line, &row.outcome, checks)?,
                None if line.collective => {}
                None => return Err(format!("I33: there is no line for {}", line.name)),
            }
        }
        match rows.next() {
            None => Ok(()),
            Some(row) => Err(format!("I33: there is a line too many: {row:?}")),
        }
    }

    fn judge(&self, line: &Line, outcome: &Outcome, checks: &Checks) -> Result<(), String> {
        let Some((key, state, then)) = &line.process else {
            return if matches!(outcome, Outcome::NoSuchProcess | Outcome::NoSuchGroup) {
                Ok(())
            } else {
                Err(format!("I14: {} is nothing, and {outcome:?}", line.name))
            };
        };
        let now = checks.moments(key);
        let since = |count: fn(&Moments) -> u64| count(&now) > count(then);
        let up = matches!(state, State::Starting | State::Running | State::Backoff);
        let could_stop = up || matches!(state, State::Stopping | State::Exited);
        let truth = match outcome {
            Outcome::Started if self.wait => since(|moments| moments.running),
            Outcome::Started => since(|moments| moments.born),
            Outcome::Stopped if self.wait => {
                could_stop && (since(|moments| moments.empty) || !checks.is_live(key))
            }
            Outcome::Stopped => {
                could_stop
                    && (*state == State::Stopping
                        || since(|moments| moments.signalled)
                        || since(|moments| moments.empty))
            }
            Outcome::Signalled => {
                matches!(state, State::Starting | State::Running | State::Stopping)
            }
            Outcome::AlreadyStarted => up,
            Outcome::NotRunning if self.signal => !line.has_pid,
            Outcome::NotRunning => !up && *state != State::Stopping,
            Outcome::NoSuchProcess => *state == State::Stopping,
            Outcome::SpawnFailed(failure) if self.unrunnable.get(key) == Some(failure) => true,
            Outcome::SpawnFailed(_) | Outcome::ExitedTooQuickly(_) => {
                since(|moments| moments.failed)
            }
            Outcome::AbnormalTermination => {
                since(|moments| moments.told_to_end)
                    || since(|moments| moments.not_killed)
                    || checks.is_closing()
            }
            Outcome::NotKilled => since(|moments| moments.not_killed) || checks.is_closing(),
            Outcome::NoSuchGroup | Outcome::SignalFailed => false,
        };
        if truth {
            Ok(())
        } else {
            Err(format!(
                "I14: {key} was {state:?} with {then:?}, now it is {now:?}, and {outcome:?} is not true"
            ))
        }
    }
}
