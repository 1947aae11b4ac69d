//! Actions on the configuration: reread, update, add, remove.

use super::Invocation;
use crate::ctl::session::{Failure, Session};
use crate::ctl::{json, plan, render};
use crate::wire::{GroupResult, Refusal, Request, Response};

pub(super) fn reread(session: &mut Session<'_>, call: &Invocation<'_>) -> Result<u8, Failure> {
    let asked = call.arguments.iter().any(|word| word == "--diff");
    let groups = if asked {
        Some(call.flags(session)?.rest)
    } else {
        call.takes_nothing(session)?;
        None
    };
    let Response::Changes(changes) = session.ask(call.action, Request::Reread)? else {
        return Err(Failure::Unexpected);
    };
    if let Some(groups) = groups {
        return plan(session, call, groups);
    }
    let document = json::changes("reread", &changes);
    Ok(session.finish(&render::reread(&changes), &document))
}

pub(super) fn update(session: &mut Session<'_>, call: &Invocation<'_>) -> Result<u8, Failure> {
    let flags = call.flags(session)?;
    if flags.has("--dry-run") {
        return plan(session, call, flags.rest);
    }
    let groups = all_or_some(flags.rest);
    let Response::Changes(changes) = session.ask(call.action, Request::Update { groups })? else {
        return Err(Failure::Unexpected);
    };
    let document = json::changes("update", &changes);
    Ok(session.finish(&render::update(&changes), &document))
}

/// Tells what an update would do.
fn plan(
    session: &mut Session<'_>,
    call: &Invocation<'_>,
    groups: Vec<String>,
) -> Result<u8, Failure> {
    let groups = all_or_some(groups);
    let plan = match session.ask(call.action, Request::Plan { groups }) {
        Ok(Response::Plan(plan)) => plan,
        Ok(_) => return Err(Failure::Unexpected),
        Err(Failure::Refused(Refusal::NotUnderstood(_))) => {
            let text = "Error: the daemon is older than this console and cannot tell its plan";
            return Err(session.fail(call.action, "not_understood", text, 1));
        }
        Err(failure) => return Err(failure),
    };
    let document = json::plan(call.action.name, &plan);
    Ok(session.finish(&plan::tell(&plan), &document))
}

/// Groups as the daemon is asked for them: none means all.
fn all_or_some(groups: Vec<String>) -> Vec<String> {
    if groups.iter().any(|group| group == "all") {
        return vec![];
    }
    groups
}

pub(super) fn add(session: &mut Session<'_>, call: &Invocation<'_>) -> Result<u8, Failure> {
    of_groups(session, call, |groups| Request::Add { groups })
}

pub(super) fn remove(session: &mut Session<'_>, call: &Invocation<'_>) -> Result<u8, Failure> {
    of_groups(session, call, |groups| Request::Remove { groups })
}

fn of_groups(
    session: &mut Session<'_>,
    call: &Invocation<'_>,
    request: fn(Vec<String>) -> Request,
) -> Result<u8, Failure> {
    let results: Vec<GroupResult> = if call.arguments.is_empty() {
        vec![]
    } else {
        let Response::Groups(results) =
            session.ask(call.action, request(call.arguments.to_vec()))?
        else {
            return Err(Failure::Unexpected);
        };
        results
    };
    let document = json::groups(call.action.name, &results);
    Ok(session.finish(&render::groups(&results), &document))
}
