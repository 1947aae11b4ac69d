//! `wait`: until processes are in a state, or cannot get there any more.
//!
//! The subscription comes first and the look second, so that no change in between is missed. Nothing is asked again
//! while nothing changes.

use super::{Invocation, find};
use crate::ctl::connection::Wake;
use crate::ctl::follow;
use crate::ctl::render::Rendered;
use crate::ctl::session::{Failure, Session, TIMED_OUT};
use crate::wire::{
    Notice, ProcessState, Request, Response, ServerFrame, StatusReply, StatusRow, Topic,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// All are where they should be.
    Reached,
    /// One of them cannot get there by itself any more.
    Hopeless,
    /// The time is over.
    Late,
    /// Ctrl-C.
    Interrupted,
}

/// What is waited for, and what is known of it.
struct Vigil {
    targets: Vec<String>,
    goal: Vec<ProcessState>,
    deadline: Option<Instant>,
    states: BTreeMap<String, ProcessState>,
    /// Those that will not move by themselves.
    settled: Vec<String>,
}

pub(super) fn wait(session: &mut Session<'_>, call: &Invocation<'_>) -> Result<u8, Failure> {
    let mut vigil = vigil(session, call)?;
    let caught = follow::catch_interrupts(session);
    let result = keep(session, call, &mut vigil);
    // Notices to come would be taken for answers to the next action.
    session.hang_up();
    if caught {
        session.interrupts = None;
    }
    result.map(|ending| tell(session, &vigil, ending))
}

fn vigil(session: &mut Session<'_>, call: &Invocation<'_>) -> Result<Vigil, Failure> {
    let flags = call.flags(session)?;
    let read = flags
        .states("--for")
        .and_then(|goal| Ok((goal, flags.duration("--timeout")?)));
    let (goal, limit): (_, Option<Duration>) = match read {
        Ok(read) => read,
        Err(fault) => return Err(call.misused(session, &fault)),
    };
    let mut targets = flags.rest.clone();
    if flags.has("--all") {
        targets = vec!["all".to_owned()];
    }
    if targets.is_empty() {
        let text = "Error: wait requires a process name, or --all";
        return Err(session.misused(call.action, text, 2));
    }
    Ok(Vigil {
        targets,
        goal: goal.unwrap_or_else(|| vec![ProcessState::Running]),
        deadline: limit.map(|limit| Instant::now() + limit),
        states: BTreeMap::new(),
        settled: vec![],
    })
}

fn keep(
    session: &mut Session<'_>,
    call: &Invocation<'_>,
    vigil: &mut Vigil,
) -> Result<Ending, Failure> {
    let id = session.subscribe(call.action, Topic::States)?;
    let reply = look(session, call, vigil)?;
    if !reply.unknown.is_empty() {
        return Err(unknown(session, call, &reply));
    }
    loop {
        if let Some(ending) = vigil.ending() {
            return Ok(ending);
        }
        let Some((connection, interrupts, _)) = session.listen() else {
            return Err(Failure::Unexpected);
        };
        let wake = connection
            .wait_until(interrupts, None, vigil.deadline)
            .map_err(|error| session.lost(call.action, &error))?;
        match wake {
            Wake::Frame(ServerFrame::Notice { id: of, notice }) if of == id => {
                if vigil.hear(&notice) && vigil.ending() != Some(Ending::Reached) {
                    look(session, call, vigil)?;
                }
            }
            Wake::Frame(ServerFrame::End { .. }) => {
                let text = format!("{}: the daemon shuts down", call.action.name);
                return Err(session.fail(call.action, "shutting_down", &text, 1));
            }
            Wake::Frame(_) | Wake::Other => {}
            Wake::Late => return Ok(Ending::Late),
            Wake::Interrupted => return Ok(Ending::Interrupted),
        }
    }
}

/// Asks how things stand. A process that is no longer configured counts as settled.
fn look(
    session: &mut Session<'_>,
    call: &Invocation<'_>,
    vigil: &mut Vigil,
) -> Result<StatusReply, Failure> {
    let request = Request::Status {
        targets: vigil.targets.clone(),
    };
    let Response::Status(reply) = session.ask(call.action, request)? else {
        return Err(Failure::Unexpected);
    };
    vigil.settled = reply
        .rows
        .iter()
        .filter(|row| is_settled(row))
        .map(|row| row.name.clone())
        .collect();
    let gone = vigil.states.keys().filter(|name| {
        !reply
            .rows
            .iter()
            .any(|row| row.name.as_str() == name.as_str())
    });
    vigil.settled.extend(gone.cloned().collect::<Vec<_>>());
    for row in &reply.rows {
        vigil.states.insert(row.name.clone(), row.state);
    }
    Ok(reply)
}

/// Whether nothing but an operator moves it.
fn is_settled(row: &StatusRow) -> bool {
    match row.state {
        ProcessState::Fatal => true,
        ProcessState::Exited => row.next_attempt_ms.is_none(),
        // Somebody stopped it, or nobody has started it yet: whoever waits for it expects a start.
        ProcessState::Stopped
        | ProcessState::Starting
        | ProcessState::Running
        | ProcessState::Backoff
        | ProcessState::Stopping
        | ProcessState::Unknown => false,
    }
}

fn unknown(session: &mut Session<'_>, call: &Invocation<'_>, reply: &StatusReply) -> Failure {
    let lines: Vec<String> = reply
        .unknown
        .iter()
        .map(|result| {
            let (line, _) =
                crate::ctl::render::result_line(crate::ctl::render::Verb::Status, result);
            line
        })
        .collect();
    if session.json {
        return session.fail(call.action, "no_such_process", &lines.join("; "), 1);
    }
    for line in &lines {
        session.output.line(line);
    }
    Failure::Reported(1)
}

impl Vigil {
    /// Takes a notice in. True when it needs a closer look.
    fn hear(&mut self, notice: &Notice) -> bool {
        match notice {
            Notice::State { name, to, .. } => match self.states.get_mut(name) {
                Some(state) => {
                    *state = *to;
                    matches!(to, ProcessState::Exited | ProcessState::Fatal)
                }
                None => false,
            },
            Notice::Gap { .. } | Notice::GroupRemoved { .. } => true,
            Notice::GroupAdded { .. } | Notice::Output { .. } => false,
        }
    }

    fn ending(&self) -> Option<Ending> {
        let missing = || {
            self.states
                .iter()
                .filter(|(_, state)| !self.goal.contains(state))
        };
        if missing().next().is_none() {
            return Some(Ending::Reached);
        }
        missing()
            .any(|(name, _)| self.settled.contains(name))
            .then_some(Ending::Hopeless)
    }
}

/// One line for each process, and the exit status.
fn tell(session: &mut Session<'_>, vigil: &Vigil, ending: Ending) -> u8 {
    let code = match ending {
        Ending::Reached => 0,
        Ending::Hopeless => 1,
        Ending::Late => TIMED_OUT,
        Ending::Interrupted => {
            session.output.text("\n");
            130
        }
    };
    let mut rendered = Rendered {
        code,
        ..Rendered::default()
    };
    let mut processes: Vec<Value> = Vec::new();
    for (name, state) in &vigil.states {
        let reached = vigil.goal.contains(state);
        let word = state.name().to_lowercase();
        rendered.lines.push(match (reached, ending) {
            (true, _) => format!("{name}: {word}"),
            (false, Ending::Hopeless) if vigil.settled.contains(name) => {
                rendered.details.push(format!("see why: why {name}"));
                format!("{name}: ERROR ({word})")
            }
            (false, Ending::Late) => format!("{name}: ERROR (timed out, {word})"),
            (false, _) => format!("{name}: ERROR (still {word})"),
        });
        processes.push(json!({ "name": name, "state": state.name(), "reached": reached }));
    }
    let action = find("wait").map_or("wait", |action| action.name);
    let document = json!({
        "action": action,
        "processes": processes,
        "reached": ending == Ending::Reached,
        "timed_out": ending == Ending::Late,
    });
    session.finish(&rendered, &document)
}
