//! Actions on the configuration: reread, update, add, remove.

use super::Invocation;
use crate::ctl::session::{Failure, Session};
use crate::ctl::{json, render};
use crate::wire::{GroupResult, Request, Response};

pub(super) fn reread(session: &mut Session<'_>, call: &Invocation<'_>) -> Result<u8, Failure> {
    call.takes_nothing(session)?;
    let Response::Changes(changes) = session.ask(call.action, Request::Reread)? else {
        return Err(Failure::Unexpected);
    };
    let document = json::changes("reread", &changes);
    Ok(session.finish(&render::reread(&changes), &document))
}

pub(super) fn update(session: &mut Session<'_>, call: &Invocation<'_>) -> Result<u8, Failure> {
    let all = call.arguments.iter().any(|group| group == "all");
    let groups = if all { vec![] } else { call.arguments.to_vec() };
    let Response::Changes(changes) = session.ask(call.action, Request::Update { groups })? else {
        return Err(Failure::Unexpected);
    };
    let document = json::changes("update", &changes);
    Ok(session.finish(&render::update(&changes), &document))
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
