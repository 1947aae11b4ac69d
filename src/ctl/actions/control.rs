//! Actions on processes: start, stop, restart, signal, clear.

use super::Invocation;
use crate::ctl::json;
use crate::ctl::render::{self, Rendered, Verb};
use crate::ctl::session::{Failure, Session};
use crate::wire::{NamedResult, Refusal, Request, Response};
use std::time::Duration;

pub(super) fn start(session: &mut Session<'_>, call: &Invocation<'_>) -> Result<u8, Failure> {
    let orders = Orders::read(session, call, 2)?;
    let request = Request::Start {
        targets: orders.targets.clone(),
        wait: orders.wait,
    };
    let response = session.ask_within(call.action, request, orders.limit)?;
    let Response::Results(results) = response else {
        return Err(Failure::Unexpected);
    };
    Ok(orders.finish(session, call, Verb::Start, &results))
}

pub(super) fn stop(session: &mut Session<'_>, call: &Invocation<'_>) -> Result<u8, Failure> {
    let orders = Orders::read(session, call, 1)?;
    let request = Request::Stop {
        targets: orders.targets.clone(),
        wait: orders.wait,
    };
    let response = session.ask_within(call.action, request, orders.limit)?;
    let Response::Results(results) = response else {
        return Err(Failure::Unexpected);
    };
    Ok(orders.finish(session, call, Verb::Stop, &results))
}

pub(super) fn restart(session: &mut Session<'_>, call: &Invocation<'_>) -> Result<u8, Failure> {
    let orders = Orders::read(session, call, 1)?;
    let request = Request::Restart {
        targets: orders.targets.clone(),
        wait: orders.wait,
    };
    let response = session.ask_within(call.action, request, orders.limit)?;
    let Response::Restarted { stops, starts } = response else {
        return Err(Failure::Unexpected);
    };
    let mut rendered = orders.render(Verb::Stop, &stops);
    rendered.append(orders.render(Verb::Start, &starts));
    Ok(session.finish(&rendered, &json::restarted(&stops, &starts)))
}

/// What is to be done, and how long it is waited for.
struct Orders {
    targets: Vec<String>,
    wait: bool,
    limit: Option<Duration>,
}

impl Orders {
    /// Reads the words; `code` is the exit status when no process is named.
    fn read(session: &mut Session<'_>, call: &Invocation<'_>, code: u8) -> Result<Self, Failure> {
        let flags = call.flags(session)?;
        let limit = flags
            .duration("--timeout")
            .map_err(|fault| call.misused(session, &fault))?;
        let wait = !flags.has("--no-wait");
        if flags.rest.is_empty() {
            return Err(no_process(session, call, code));
        }
        Ok(Self {
            targets: flags.rest,
            wait,
            limit,
        })
    }

    fn render(&self, verb: Verb, results: &[NamedResult]) -> Rendered {
        let mut rendered = render::results(verb, &self.targets, results);
        if !self.wait {
            // It has only been asked for.
            for line in &mut rendered.lines {
                for (done, under_way) in [(": started", ": starting"), (": stopped", ": stopping")]
                {
                    if let Some(name) = line.strip_suffix(done) {
                        *line = format!("{name}{under_way}");
                    }
                }
            }
        }
        rendered
    }

    fn finish(
        &self,
        session: &mut Session<'_>,
        call: &Invocation<'_>,
        verb: Verb,
        results: &[NamedResult],
    ) -> u8 {
        let rendered = self.render(verb, results);
        session.finish(&rendered, &json::results(call.action.name, verb, results))
    }
}

pub(super) fn signal(session: &mut Session<'_>, call: &Invocation<'_>) -> Result<u8, Failure> {
    let Some((signal, targets)) = call
        .arguments
        .split_first()
        .filter(|(_, targets)| !targets.is_empty())
    else {
        let text = "Error: signal requires a signal name and a process name";
        return Err(session.misused(call.action, text, 1));
    };
    let request = Request::Signal {
        targets: targets.to_vec(),
        signal: signal.clone(),
    };
    match ask_results(session, call, request) {
        Ok(results) => Ok(finish(session, call, Verb::Signal, targets, &results)),
        Err(Failure::Refused(refusal @ Refusal::BadSignal(_))) => {
            let rendered = bad_signal(session, call, targets)?;
            let document = json::refusal(call.action.name, &refusal, &rendered);
            Ok(session.finish(&rendered, &document))
        }
        Err(failure) => Err(failure),
    }
}

/// Says of each target that the signal is none, or that there is no such target: Supervisor's daemon looks for the
/// target first, and answers each by itself.
fn bad_signal(
    session: &mut Session<'_>,
    call: &Invocation<'_>,
    targets: &[String],
) -> Result<Rendered, Failure> {
    let request = Request::Status {
        targets: targets.to_vec(),
    };
    let unknown = match session.ask(call.action, request) {
        Ok(Response::Status(reply)) => reply.unknown,
        // What is known to be wrong is the signal.
        Ok(_) | Err(Failure::Refused(_)) => Vec::new(),
        Err(failure) => return Err(failure),
    };
    let mut rendered = Rendered::default();
    for target in targets {
        let unknown = unknown.iter().find(|unknown| unknown.name == *target);
        rendered.append(if let Some(unknown) = unknown {
            render::results(Verb::Signal, targets, std::slice::from_ref(unknown))
        } else {
            let name = target.trim_end_matches(":*").trim_end_matches(':');
            let refused = Refusal::BadSignal(name.to_owned());
            render::refusal(call.action.name, &refused)
        });
    }
    Ok(rendered)
}

pub(super) fn clear(session: &mut Session<'_>, call: &Invocation<'_>) -> Result<u8, Failure> {
    if call.arguments.is_empty() {
        return Err(no_process(session, call, 1));
    }
    let targets = call.arguments.to_vec();
    let request = Request::Clear {
        targets: targets.clone(),
    };
    let results = ask_results(session, call, request)?;
    Ok(finish(session, call, Verb::Clear, &targets, &results))
}

fn no_process(session: &mut Session<'_>, call: &Invocation<'_>, code: u8) -> Failure {
    let text = format!("Error: {} requires a process name", call.action.name);
    session.misused(call.action, &text, code)
}

fn ask_results(
    session: &mut Session<'_>,
    call: &Invocation<'_>,
    request: Request,
) -> Result<Vec<NamedResult>, Failure> {
    let Response::Results(results) = session.ask(call.action, request)? else {
        return Err(Failure::Unexpected);
    };
    Ok(results)
}

fn finish(
    session: &mut Session<'_>,
    call: &Invocation<'_>,
    verb: Verb,
    targets: &[String],
    results: &[NamedResult],
) -> u8 {
    let rendered = render::results(verb, targets, results);
    session.finish(&rendered, &json::results(call.action.name, verb, results))
}
