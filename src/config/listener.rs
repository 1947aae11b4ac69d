//! Event listeners: each section is a pool, a group of its own whose processes are the copies of one program.
//!
//! A listener has every key of a program, but its standard output is the protocol: nothing else may go there.

use super::context::{Context, Variables};
use super::diagnostic::Diagnostic;
use super::model::{DaemonSettings, Group, GroupKind, LogSettings, PayloadLength, PoolSettings};
use super::program::{self, Place};
use super::readers::{boolean, number};
use super::schema::{self, Kind};
use super::sections::Named;
use super::table::Table;
use super::value;
use crate::types::{ByteSize, EventType, GroupName, ProgramName};
use std::collections::BTreeMap;

/// Adds every listener to the groups. Where one has the name of a group that is there already, the group of the lower
/// rank is kept, as in Supervisor.
pub fn add(
    context: &mut Context<'_>,
    daemon: &DaemonSettings,
    listeners: &[Named<'_>],
    groups: &mut BTreeMap<GroupName, Group>,
) {
    for listener in listeners {
        let Some((name, group)) = build(context, daemon, listener) else {
            continue;
        };
        if let Some(other) = groups.get(&name) {
            let kept = group.priority < other.priority;
            context.report(name_taken(listener, other, kept));
            if !kept {
                continue;
            }
        }
        groups.insert(name, group);
    }
}

/// Whether a section is that of a listener.
pub fn is_listener(table: &Table<'_>) -> bool {
    table.kind == Kind::EventListener
}

/// The rank of a listener within its pool. Without a key it is that of any program, while the pool's is lower: alone among
/// all keys this one has two defaults.
pub fn rank(context: &mut Context<'_>, table: &Table<'_>, variables: &Variables<'_>) -> i32 {
    let given = number(context, table, "priority", variables);
    let usual = schema::find(Kind::Program, "priority")
        .filter(|_| is_listener(table) && table.field("priority").is_none())
        .and_then(|key| key.default_for(table.dialect)?.parse().ok());
    usual.unwrap_or(given)
}

/// Settings of the standard output of a listener, which is logged and nothing else.
pub fn protocol(settings: LogSettings) -> LogSettings {
    LogSettings {
        capture_maxbytes: ByteSize::default(),
        events_enabled: false,
        syslog: false,
        ..settings
    }
}

fn build(
    context: &mut Context<'_>,
    daemon: &DaemonSettings,
    listener: &Named<'_>,
) -> Option<(GroupName, Group)> {
    let table = &listener.table;
    let events = events(context, listener);
    let variables = Variables::default();
    let buffer_size: u32 = number(context, table, "buffer_size", &variables);
    let length = context
        .value(table, "payload_length", &variables, |text, _| {
            value::payload_length(text)
        })
        .unwrap_or(PayloadLength::Bytes);
    if boolean(context, table, "redirect_stderr", &variables) == Some(true)
        && let Some(span) = table.span("redirect_stderr")
    {
        let message = format!(
            "event listener `{}` would mix standard error into the protocol",
            listener.name
        );
        context.report(
            Diagnostic::error("contradiction", message)
                .at(span, "its standard output may hold nothing else")
                .help("leave `redirect_stderr` out"),
        );
    }
    // A name that is refused was reported; the keys may be at fault as well.
    let name = GroupName::new(listener.name).ok();
    let group = name.clone().or_else(|| GroupName::new("unnamed").ok())?;
    let program = ProgramName::new(group.as_str()).ok()?;
    let place = Place {
        group: &group,
        explicit: false,
        shared: false,
    };
    let mut processes = BTreeMap::new();
    for copy in program::build(context, daemon, listener, &program, place) {
        processes.insert(copy.key.process.clone(), copy);
    }
    let group = Group {
        priority: number(context, table, "priority", &variables),
        explicit: false,
        kind: GroupKind::Listeners(PoolSettings {
            events,
            buffer_size: usize::try_from(buffer_size).unwrap_or(usize::MAX).max(1),
            length,
        }),
        origins: table.origins(&context.sources),
        processes,
    };
    Some((name?, group))
}

/// What it listens to, sorted, none twice.
fn events(context: &mut Context<'_>, listener: &Named<'_>) -> Vec<EventType> {
    let table = &listener.table;
    let Some(field) = table.field("events") else {
        let message = format!("event listener `{}` listens to nothing", listener.name);
        let mut fault = Diagnostic::error("missing-events", message)
            .help("add a line such as `events=PROCESS_STATE_FATAL`");
        if let Some(header) = table.header {
            fault = fault.at(header, "`events` is missing");
        }
        context.report(fault);
        return Vec::new();
    };
    let span = field.value.span();
    let read = context.value(table, "events", &Variables::default(), |text, _| {
        value::events(text)
    });
    let mut events = read.unwrap_or_default();
    events.sort_unstable();
    events.dedup();
    let covers = |family: &EventType, kind: &EventType| family != kind && family.covers(*kind);
    for kind in &events {
        if let Some(family) = events.iter().find(|family| covers(family, kind)) {
            let message = format!(
                "event listener `{}` is told of each {kind} more than once",
                listener.name
            );
            context.report(
                Diagnostic::warning("told-twice", message)
                    .at(span, format!("{family} contains {kind}"))
                    .help(format!("leave {kind} out")),
            );
            break;
        }
    }
    events
}

fn name_taken(listener: &Named<'_>, other: &Group, kept: bool) -> Diagnostic {
    let name = listener.name;
    let what = if other.explicit { "group" } else { "program" };
    let lost = if kept { what } else { "event listener" };
    let mut warning = Diagnostic::warning(
        "same-names",
        format!("an event listener and a {what} are both called `{name}`"),
    )
    .at(
        listener.name_span,
        format!("the {lost} is left out, because the other has the lower priority"),
    )
    .help("rename one of them");
    if let Some(process) = other.processes.values().next() {
        warning = warning.help(format!("the {what} stands in {}", process.origin));
    }
    warning
}
