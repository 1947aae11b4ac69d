//! Actions on the daemon: reload, upgrade, shutdown, open.

use super::{Action, Arguments, Chapter, Check, Invocation, find};
use crate::ctl::escape;
use crate::ctl::render::Rendered;
use crate::ctl::session::{Failure, Session};
use crate::ctl::settings;
use crate::wire::{Request, Response};
use serde_json::json;

pub(super) fn reload(session: &mut Session<'_>, call: &Invocation<'_>) -> Result<u8, Failure> {
    let text = format!("Restarted {}", session.daemon_name());
    accepted(session, call, Request::Reload, text)
}

/// In the list of actions.
pub(super) const UPGRADE: Action = Action {
    name: "upgrade",
    usage: &[(
        "upgrade",
        "Replace the running daemon by what its executable is now; no program notices, and one that cannot go on is refused",
    )],
    summary: "replace the daemon under its programs",
    example: "upgrade",
    chapter: Chapter::Daemon,
    flags: &[],
    arguments: Arguments::None,
    check: Check::Unchecked,
    confirmation: None,
    run: upgrade,
};

fn upgrade(session: &mut Session<'_>, call: &Invocation<'_>) -> Result<u8, Failure> {
    call.takes_nothing(session)?;
    let Response::Upgraded { from, to } = session.ask(call.action, Request::Upgrade)? else {
        return Err(Failure::Unexpected);
    };
    let text = format!(
        "Upgraded {} from {} to {}",
        session.daemon_name(),
        escape::line(&from),
        escape::line(&to)
    );
    let document = json!({ "action": call.action.name, "from": from, "to": to });
    Ok(session.finish(&Rendered::line(text, 0), &document))
}

pub(super) fn shutdown(session: &mut Session<'_>, call: &Invocation<'_>) -> Result<u8, Failure> {
    accepted(session, call, Request::Shutdown, "Shut down".to_owned())
}

fn accepted(
    session: &mut Session<'_>,
    call: &Invocation<'_>,
    request: Request,
    text: String,
) -> Result<u8, Failure> {
    call.takes_nothing(session)?;
    let Response::Accepted = session.ask(call.action, request)? else {
        return Err(Failure::Unexpected);
    };
    let document = json!({ "action": call.action.name, "accepted": true });
    Ok(session.finish(&Rendered::line(text, 0), &document))
}

/// Whatever `status` finds there, the other daemon is the one to talk to: the exit status is 0, as Supervisor's.
pub(super) fn open(session: &mut Session<'_>, call: &Invocation<'_>) -> Result<u8, Failure> {
    let url = match call.arguments {
        [url] if url.starts_with("unix://") || url.starts_with("http://") => url,
        _ => {
            let text = "ERROR: url must be http:// or unix://";
            return Err(session.fail(call.action, "usage", text, 1));
        }
    };
    match settings::socket_of_url(url) {
        Ok(socket) => session.set_socket(socket),
        Err(error) => {
            return Err(session.fail(call.action, "usage", &format!("ERROR: {error}"), 1));
        }
    }
    if let Some(status) = find("status") {
        let call = Invocation {
            action: status,
            arguments: &[],
        };
        let result = super::inspect::status(session, &call);
        session.conclude(status, result);
    }
    Ok(0)
}
