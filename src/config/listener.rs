//! Event listeners: each section is a pool, a group of its own whose processes are the copies of one program.
//!
//! A listener has every key of a program, but its standard output is the protocol: nothing else may go there.

use super::context::{Context, Variables};
use super::diagnostic::Diagnostic;
use super::difference::{KeyDifference, place_in};
use super::model::{
    DaemonSettings, Group, GroupKind, KeyOrigin, LogSettings, PayloadLength, PoolSettings,
};
use super::program::{self, Place};
use super::readers::{boolean, number};
use super::schema::{self, Kind};
use super::sections::Named;
use super::suggest;
use super::table::Table;
use super::value::{Piece, empty, pieces, unknown_word, word};
use super::value_type::ValueFault;
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
            payload_length(text)
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
        origins: table.origins(&context.sources),
        kind: GroupKind::Listeners(PoolSettings {
            events,
            buffer_size: usize::try_from(buffer_size).unwrap_or(usize::MAX).max(1),
            length,
        }),
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
        kinds(text)
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

/// How the settings of a pool of event listeners differ.
pub fn differences(old: &GroupKind, new: &GroupKind, origins: &[KeyOrigin]) -> Vec<KeyDifference> {
    let values = |kind: &GroupKind| {
        let GroupKind::Listeners(PoolSettings {
            events,
            buffer_size,
            length,
        }) = kind
        else {
            return [None, None, None];
        };
        let events: Vec<&str> = events.iter().map(|kind| kind.name()).collect();
        let length = match length {
            PayloadLength::Bytes => "bytes",
            PayloadLength::Characters => "characters",
        };
        [events.join(","), buffer_size.to_string(), length.to_owned()].map(Some)
    };
    let keys = ["events", "buffer_size", "payload_length"];
    let both = values(old).into_iter().zip(values(new));
    keys.into_iter()
        .zip(both)
        .filter(|(_, (old, new))| old != new)
        .map(|(key, (old, new))| KeyDifference {
            key,
            old,
            new,
            // A pool always names its events.
            place: place_in(origins, key).or_else(|| place_in(origins, "events")),
            live: true,
        })
        .collect()
}

/// What the length of an event counts.
pub fn payload_length(text: &str) -> Result<PayloadLength, ValueFault> {
    const WORDS: [(&str, PayloadLength); 2] = [
        ("bytes", PayloadLength::Bytes),
        ("characters", PayloadLength::Characters),
    ];
    word(text, &WORDS)
        .ok_or_else(|| unknown_word(text, "neither of the two", WORDS.map(|(name, _)| name)))
}

/// A comma list of kinds of events, in any case.
pub fn kinds(text: &str) -> Result<Vec<EventType>, ValueFault> {
    if text.is_empty() {
        return Err(empty());
    }
    let known = |piece: Piece<'_>| {
        EventType::named(piece.text).ok_or_else(|| {
            if piece.text.is_empty() {
                return ValueFault::new("a kind of event is missing here").at(piece.range);
            }
            let names = EventType::all().map(EventType::name);
            let meant = suggest::nearest(piece.text, names);
            let fault = ValueFault::new("there is no such kind of event").at(piece.range);
            let families = "PROCESS_STATE, PROCESS_LOG, PROCESS_COMMUNICATION, PROCESS_GROUP, REMOTE_COMMUNICATION, \
                            SUPERVISOR_STATE_CHANGE and TICK";
            match meant {
                Some(_) => fault.meant(meant),
                None => fault.help(format!("kinds of events are EVENT, {families}, and the members of these")),
            }
        })
    };
    pieces(text).into_iter().map(known).collect()
}
