//! Actions that only look: status, pid, avail, version.

use super::Invocation;
use crate::ctl::procfs::Sampler;
use crate::ctl::render::{self, Rendered};
use crate::ctl::session::{Failure, Session};
use crate::ctl::watch::{self, View};
use crate::ctl::{json, long, table};
use crate::wire::{PROTOCOL_VERSION, Request, Response};
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
    let Response::Status(reply) = session.ask(call.action, Request::Status { targets })? else {
        return Err(Failure::Unexpected);
    };
    let usage = long.then(|| watch::usage(&reply, &mut Sampler::default()));
    let mut rendered = if let Some(usage) = &usage {
        long::status(&reply, usage, session.output.colour)
    } else {
        let look = table::Look {
            colour: session.output.colour,
            width: session.output.width(),
        };
        table::status(&reply, look, &Local)
    };
    if let Some(states) = fail_if {
        let failed = reply.rows.iter().any(|row| states.contains(&row.state));
        // A name that names nothing is a fault of the probe itself.
        rendered.code = match (failed, reply.unknown.is_empty()) {
            (true, _) => 1,
            (false, true) => 0,
            (false, false) => 4,
        };
    }
    if session.json {
        let document = json::status(&reply, usage.as_deref(), &Local);
        return Ok(session.finish(&rendered, &document));
    }
    let mut text = rendered.lines.join("\n");
    if !text.is_empty() {
        text.push('\n');
    }
    session.output.text(&text);
    Ok(rendered.code)
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
