//! Actions that only look: status, pid, avail, version.

use super::Invocation;
use crate::ctl::connection::Answer;
use crate::ctl::procfs::Sampler;
use crate::ctl::render::{self, Rendered};
use crate::ctl::session::{Failure, Session};
use crate::ctl::table::Table;
use crate::ctl::watch::{self, View};
use crate::ctl::{json, long, table};
use crate::wire::{self, NamedResult, PROTOCOL_VERSION, ProcessState, Request, Response};
use chrono::Local;
use serde_json::json;

pub(super) fn status(session: &mut Session<'_>, call: &Invocation<'_>) -> Result<u8, Failure> {
    let flags = call.flags(session)?;
    let fail_if = flags
        .states("--fail-if")
        .map_err(|fault| call.misused(session, &fault))?;
    let long = flags.has("--long");
    let targets = flags.rest.clone();
    if flags.has("--watch") {
        if session.json || fail_if.is_some() {
            return Err(call.misused(session, "cannot watch with --json or --fail-if"));
        }
        return watch::watch(session, call.action, &View { targets, long });
    }
    let fail_if = fail_if.as_deref();
    let (text, code) = if long || session.json {
        let Response::Status(reply) = session.ask(call.action, Request::Status { targets })? else {
            return Err(Failure::Unexpected);
        };
        let usage = long.then(|| watch::usage(&reply, &mut Sampler::default()));
        let mut rendered = match &usage {
            Some(usage) => long::status(&reply, usage, session.output.colour),
            None => table::status(&reply, table::Look::default(), &Local),
        };
        let states = reply.rows.iter().map(|row| row.state);
        overrule(&mut rendered.code, fail_if, states, &reply.unknown);
        if session.json {
            let document = json::status(&reply, usage.as_deref(), &Local);
            return Ok(session.finish(&rendered, &document));
        }
        (rendered.text(), rendered.code)
    } else {
        let (table, unknown) = ask_for_table(session, call, targets)?;
        let look = table::Look {
            colour: session.output.colour,
            width: session.output.width(),
        };
        let (text, mut code) = table.render(&unknown, look);
        overrule(&mut code, fail_if, table.states(), &unknown);
        (text, code)
    };
    session.output.text(&text);
    Ok(code)
}

/// Lets `--fail-if` decide the exit status, if it was given.
fn overrule(
    code: &mut u8,
    fail_if: Option<&[ProcessState]>,
    mut states: impl Iterator<Item = ProcessState>,
    unknown: &[NamedResult],
) {
    let Some(fatal) = fail_if else {
        return;
    };
    // A name that names nothing is a fault of the probe itself.
    *code = match (states.any(|state| fatal.contains(&state)), unknown) {
        (true, _) => 1,
        (false, []) => 0,
        (false, _) => 4,
    };
}

/// Asks for the states of processes, keeping no more of each than a table shows.
fn ask_for_table(
    session: &mut Session<'_>,
    call: &Invocation<'_>,
    targets: Vec<String>,
) -> Result<(Table, Vec<NamedResult>), Failure> {
    let read = |content: &[u8], request| {
        let mut table = Table::default();
        let (of, unknown) = wire::read_rows(content, |row| table.push(&row, &Local))?;
        (of == request).then_some((table, unknown))
    };
    match session.ask_reading(call.action, Request::Status { targets }, None, read)? {
        Answer::Read(answer) => Ok(answer),
        Answer::Response(Response::Status(reply)) => Ok((Table::of(&reply, &Local), reply.unknown)),
        Answer::Response(_) => Err(Failure::Unexpected),
    }
}

pub(super) fn pid(session: &mut Session<'_>, call: &Invocation<'_>) -> Result<u8, Failure> {
    let targets = call.arguments.to_vec();
    let request = Request::Pid {
        targets: targets.clone(),
    };
    let response = session.ask(call.action, request)?;
    if let Response::DaemonPid(pid) = response {
        let document = json!({ "action": "pid", "pid": pid });
        return Ok(session.finish(&Rendered::line(pid.to_string(), 0), &document));
    }
    let Response::Pids(rows) = response else {
        return Err(Failure::Unexpected);
    };
    Ok(session.finish(&render::pids(&targets, &rows), &json::pids(&rows)))
}

pub(super) fn avail(session: &mut Session<'_>, call: &Invocation<'_>) -> Result<u8, Failure> {
    call.takes_nothing(session)?;
    let Response::Avail(rows) = session.ask(call.action, Request::Avail)? else {
        return Err(Failure::Unexpected);
    };
    Ok(session.finish(&render::avail(&rows), &json::avail(&rows)))
}

pub(super) fn version(session: &mut Session<'_>, call: &Invocation<'_>) -> Result<u8, Failure> {
    call.takes_nothing(session)?;
    let Response::Version(version) = session.ask(call.action, Request::Version)? else {
        return Err(Failure::Unexpected);
    };
    let document = json!({
        "action": "version",
        "version": version,
        "console": env!("CARGO_PKG_VERSION"),
        "protocol": PROTOCOL_VERSION,
    });
    Ok(session.finish(&Rendered::line(version, 0), &document))
}
