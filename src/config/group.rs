//! Groups: those with a section of their own, and one for each program that is in none.

use super::context::{Context, Variables};
use super::diagnostic::Diagnostic;
use super::listener;
use super::model::{DaemonSettings, Group, GroupKind, ProcessSettings};
use super::program::{self, Place};
use super::readers::number;
use super::sections::{Named, Sorted};
use super::source::Span;
use super::suggest;
use super::value;
use crate::types::{GroupName, ProcessName, ProgramName};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Builds every group with its processes.
pub fn build(
    context: &mut Context<'_>,
    daemon: &DaemonSettings,
    sorted: &Sorted<'_>,
) -> BTreeMap<GroupName, Group> {
    let programs: BTreeMap<&str, &Named<'_>> = sorted
        .programs
        .iter()
        .map(|program| (program.name, program))
        .collect();
    let members: Vec<Vec<&Named<'_>>> = sorted
        .groups
        .iter()
        .map(|group| members(context, sorted, group, &programs))
        .collect();
    // Programs in the groups so far: the first group that has a program gives its logs no other name than it has alone,
    // so that a second group does not rename them.
    let mut members_so_far: BTreeSet<&str> = BTreeSet::new();
    let mut groups = BTreeMap::new();
    let mut sections: BTreeMap<&str, Span> = BTreeMap::new();
    for (section, members) in sorted.groups.iter().zip(&members) {
        sections.insert(section.name, section.name_span);
        let priority = number(context, &section.table, "priority", &Variables::default());
        let Ok(name) = GroupName::new(section.name) else {
            continue;
        };
        let mut group = Group {
            priority,
            explicit: true,
            origins: section.table.origins(&context.sources),
            kind: GroupKind::Programs,
            processes: BTreeMap::new(),
        };
        for program in members {
            let place = Place {
                group: &name,
                explicit: true,
                shared: !members_so_far.insert(program.name),
            };
            add(context, daemon, program, place, &mut group);
        }
        groups.insert(name, group);
    }
    for program in &sorted.programs {
        if members_so_far.contains(program.name) {
            continue;
        }
        let Ok(name) = GroupName::new(program.name) else {
            // Its name is at fault, which was reported; its keys may be as well.
            check_nameless(context, daemon, program);
            continue;
        };
        if let Some(&section) = sections.get(program.name) {
            context.report(name_taken(program, section));
        }
        let place = Place {
            group: &name,
            explicit: false,
            shared: false,
        };
        let mut group = Group {
            priority: 0,
            explicit: false,
            origins: Arc::from([]),
            kind: GroupKind::Programs,
            processes: BTreeMap::new(),
        };
        add(context, daemon, program, place, &mut group);
        // A program alone ranks its group as well.
        let first = group.processes.values().next();
        group.priority = first.map_or(0, |process| process.policy.priority);
        groups.insert(name, group);
    }
    listener::add(context, daemon, &sorted.listeners, &mut groups);
    groups
}

fn name_taken(program: &Named<'_>, section: Span) -> Diagnostic {
    let name = program.name;
    Diagnostic::error(
        "same-names",
        format!("a group and a program that is not in it are both called `{name}`"),
    )
    .at(
        program.name_span,
        "a program alone is a group of its own name",
    )
    .also(section, "the group")
    .help(format!(
        "rename one of them, or add `{name}` to the group's `programs`"
    ))
}

/// Reads a program whose name is refused, only to report its other faults.
fn check_nameless(context: &mut Context<'_>, daemon: &DaemonSettings, program: &Named<'_>) {
    if let (Ok(group), Ok(name)) = (GroupName::new("unnamed"), ProgramName::new("unnamed")) {
        let place = Place {
            group: &group,
            explicit: false,
            shared: false,
        };
        program::build(context, daemon, program, &name, place);
    }
}

fn add(
    context: &mut Context<'_>,
    daemon: &DaemonSettings,
    program: &Named<'_>,
    place: Place<'_>,
    group: &mut Group,
) {
    let Ok(name) = ProgramName::new(program.name) else {
        return check_nameless(context, daemon, program);
    };
    for copy in program::build(context, daemon, program, &name, place) {
        let process = copy.key.process.clone();
        if let Some(other) = group.processes.insert(process.clone(), copy) {
            context.report(same_process(program, &process, &other));
            return;
        }
    }
}

fn same_process(
    program: &Named<'_>,
    process: &ProcessName,
    other: &Arc<ProcessSettings>,
) -> Diagnostic {
    let message = format!(
        "two processes of group `{}` are called `{process}`",
        other.key.group
    );
    let fault =
        Diagnostic::error("same-names", message).help(if other.program.as_str() == program.name {
            "`%(process_num)d` in `process_name` tells copies apart".to_owned()
        } else {
            format!(
                "the other is a process of program `{}` ({})",
                other.program, other.origin
            )
        });
    match program.table.span("process_name") {
        Some(span) => fault.at(span, format!("gives `{process}` again")),
        None => fault,
    }
}

/// The programs that a group names.
fn members<'s>(
    context: &mut Context<'_>,
    sorted: &Sorted<'_>,
    group: &Named<'_>,
    programs: &BTreeMap<&str, &'s Named<'s>>,
) -> Vec<&'s Named<'s>> {
    let table = &group.table;
    let name = group.name;
    let Some(field) = table.field("programs") else {
        let mut warning =
            Diagnostic::warning("empty-group", format!("group `{name}` has no programs"));
        if let Some(header) = table.header {
            warning = warning.at(header, "`programs` is missing");
        }
        context.report(warning);
        return Vec::new();
    };
    let listed = context.value(table, "programs", &Variables::default(), |text, _| {
        let pieces = value::names(text)?;
        let owned = pieces.into_iter();
        Ok((
            owned
                .map(|piece| (piece.text.to_owned(), piece.range))
                .collect::<Vec<_>>(),
            text == field.value.text,
        ))
    });
    let Some((listed, literal)) = listed else {
        return Vec::new();
    };
    if listed.is_empty() {
        context.report(
            Diagnostic::warning("empty-group", format!("group `{name}` has no programs"))
                .at(field.value.span(), "nothing stands here"),
        );
    }
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for (member, range) in listed {
        let span = if literal {
            field.value.part(&range)
        } else {
            field.value.span()
        };
        if !seen.insert(member.clone()) {
            context.report(
                Diagnostic::warning(
                    "duplicate-member",
                    format!("group `{name}` names `{member}` twice"),
                )
                .at(span, "the repetition has no effect"),
            );
            continue;
        }
        if let Some(program) = programs.get(member.as_str()) {
            found.push(*program);
            continue;
        }
        let fault = Diagnostic::error(
            "unknown-program",
            format!("group `{name}` names an unknown program `{member}`"),
        )
        .at(span, "no such program");
        let mut listeners = sorted.listeners.iter();
        if listeners.any(|listener| listener.name == member) {
            context.report(fault.help("an event listener is a group of its own"));
            continue;
        }
        context.report(match suggest::nearest(&member, programs.keys().copied()) {
            Some(meant) => fault.suggest(span, meant),
            None => fault.help(format!("define it in a section [program.{member}]")),
        });
    }
    found
}
