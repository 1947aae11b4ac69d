//! Actions that only look: status, pid, avail, version.

use super::Invocation;
use crate::ctl::render::{self, Rendered};
use crate::ctl::session::{Failure, Session};
use crate::ctl::{json, table};
use crate::wire::{PROTOCOL_VERSION, Request, Response};
use chrono::Local;
use serde_json::json;

pub(super) fn status(session: &mut Session<'_>, call: &Invocation<'_>) -> Result<u8, Failure> {
    let request = Request::Status {
        targets: call.arguments.to_vec(),
    };
    let Response::Status(reply) = session.ask(call.action, request)? else {
        return Err(Failure::Unexpected);
    };
    let rendered = table::status(&reply, session.output.colour, &Local);
    if session.json {
        return Ok(session.finish(&rendered, &json::status(&reply, &Local)));
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
