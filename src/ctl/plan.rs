//! The plan of an update, told to a person: each process with what would happen to it, and beneath it the keys that are
//! the reason.

use super::render::Rendered;
use crate::wire::{ChangeKind, Plan, PlannedGroup, PlannedKey, PlannedProcess, PlannedStep};

/// The word for a step.
pub fn word(step: PlannedStep) -> &'static str {
    match step {
        PlannedStep::Unchanged => "unchanged",
        PlannedStep::Apply => "apply",
        PlannedStep::Restart => "restart",
        PlannedStep::Start => "start",
        PlannedStep::Stop => "stop",
        PlannedStep::Add => "add",
        PlannedStep::Remove => "remove",
    }
}

/// The whole plan. What is unchanged stands on one line at the end.
pub fn tell(plan: &Plan) -> Rendered {
    let mut rendered = Rendered::default();
    for PlannedGroup { change, keys } in &plan.groups {
        if change.kind == ChangeKind::Changed && !keys.is_empty() {
            rendered
                .lines
                .push(format!("group {}: apply", change.group));
            rendered
                .lines
                .extend(keys.iter().map(|key| reason(key, false)));
        }
    }
    let (unchanged, others): (Vec<&PlannedProcess>, Vec<&PlannedProcess>) = plan
        .processes
        .iter()
        .partition(|process| process.step == PlannedStep::Unchanged);
    for process in others {
        rendered
            .lines
            .push(format!("{}: {}", process.name, word(process.step)));
        if process.keys.is_empty() {
            rendered.lines.extend(section(process));
        }
        let restarts = process.step == PlannedStep::Restart;
        let reasons = process.keys.iter().map(|key| reason(key, restarts));
        rendered.lines.extend(reasons);
    }
    if rendered.lines.is_empty() {
        rendered
            .lines
            .push("No config updates to processes".to_owned());
    } else if !unchanged.is_empty() {
        let names: Vec<&str> = unchanged
            .into_iter()
            .map(|process| process.name.as_str())
            .collect();
        rendered
            .lines
            .push(format!("unchanged: {}", names.join(" ")));
    }
    rendered
}

/// What is to be said of a process whose whole section came or went.
fn section(process: &PlannedProcess) -> Option<String> {
    let place = &process.section;
    match process.step {
        PlannedStep::Start | PlannedStep::Add => Some(format!("    its section is new ({place})")),
        PlannedStep::Stop | PlannedStep::Remove => {
            Some(format!("    its section is gone (it was {place})"))
        }
        PlannedStep::Unchanged | PlannedStep::Apply | PlannedStep::Restart => None,
    }
}

/// `KEY: OLD -> NEW (FILE:LINE)`. Among the reasons of a restart, those that would not need one say so.
fn reason(key: &PlannedKey, among_restarts: bool) -> String {
    let value = |value: &Option<String>| match value.as_deref() {
        None => "unset".to_owned(),
        Some("") => "empty".to_owned(),
        Some(text) => text.to_owned(),
    };
    let place = key
        .file
        .as_ref()
        .map_or_else(String::new, |file| format!(" ({file}:{})", key.line));
    let note = if among_restarts && key.live {
        ", needs no restart"
    } else {
        ""
    };
    format!(
        "    {}: {} -> {}{place}{note}",
        key.key,
        value(&key.old),
        value(&key.new)
    )
}
