//! Roles: what users other than root and the daemon's own may ask of the daemon.
//!
//! Not here: who a client is and what a request needs, which the daemon knows.

use super::context::{Context, Variables};
use super::diagnostic::Diagnostic;
use super::model::{Class, Config, Role, Scope};
use super::sections::{Named, Sorted};
use super::suggest;
use super::table::{Field, Table};
use super::value;
use super::value_type::ValueFault;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

/// The user that the kernel and network file systems name when they mean nobody in particular.
const OVERFLOW_UID: u32 = 65_534;
/// A directory that others may pass through.
const OTHERS_EXECUTE: u32 = 0o001;

/// Reads every role.
pub fn build(context: &mut Context<'_>, sorted: &Sorted<'_>) -> Vec<Role> {
    sorted
        .roles
        .iter()
        .map(|section| role(context, section))
        .collect()
}

/// Warns where nobody could use the roles, because the way to the socket is closed to them.
pub fn check_way(context: &mut Context<'_>, config: &Config, sorted: &Sorted<'_>) {
    let (Some(section), true) = (sorted.roles.first(), config.daemon.control_socket) else {
        return;
    };
    let directory = config.daemon.socket.parent().unwrap_or(Path::new("/"));
    let closed = context
        .facts(directory)
        .filter(|facts| facts.mode & OTHERS_EXECUTE == 0);
    if let Some(facts) = closed {
        let message = format!(
            "users of roles may not be able to reach the socket: {} has mode {:04o}",
            directory.display(),
            facts.mode & 0o7777
        );
        context.report(
            Diagnostic::warning("unreachable", message)
                .at(section.name_span, "of this role, for one")
                .help("put the socket into a directory that they may pass through (mode 0711 or 0755)"),
        );
    }
}

fn role(context: &mut Context<'_>, section: &Named<'_>) -> Role {
    let table = &section.table;
    let users = list(context, table, "users", |context, text| {
        let uid = match number(text) {
            Some(uid) => uid,
            None => context.account(text)?.uid,
        };
        if uid == OVERFLOW_UID {
            return Err(ValueFault::new("this user stands for nobody in particular")
                .help("name an account of its own"));
        }
        Ok(uid)
    });
    let groups = list(context, table, "groups", |context, text| {
        let name = text.strip_prefix('@').unwrap_or(text);
        number(name).map_or_else(|| context.group(name), Ok)
    });
    let programs = list(context, table, "programs", |_, text| scope(text));
    let allow = list(context, table, "allow", |_, text| class(text));
    if allow.contains(&Class::Config)
        && let Some(field) = table.field("allow")
    {
        context.report(
            Diagnostic::warning(
                "powerful-role",
                format!("role `{}` may make the daemon run anything", section.name),
            )
            .at(
                field.value.span(),
                "`config` is as much as being the daemon's user",
            ),
        );
    }
    if table.field("users").is_none() && table.field("groups").is_none() {
        let mut fault =
            Diagnostic::warning("empty-role", format!("role `{}` is nobody's", section.name))
                .help("say whose it is with `users` or `groups`");
        if let Some(header) = table.header {
            fault = fault.at(header, "neither `users` nor `groups`");
        }
        context.report(fault);
    }
    Role {
        name: section.name.to_owned(),
        users: users.into_iter().collect(),
        groups: groups.into_iter().collect(),
        programs: programs.into_iter().collect(),
        allow: allow.into_iter().collect(),
    }
}

/// Reads a list member by member, so that each fault is shown where it stands.
fn list<T>(
    context: &mut Context<'_>,
    table: &Table<'_>,
    name: &str,
    read: impl Fn(&mut Context<'_>, &str) -> Result<T, ValueFault>,
) -> Vec<T> {
    let members = context.value(table, name, &Variables::default(), |text, _| {
        let pieces = value::names(text)?;
        Ok(pieces
            .into_iter()
            .map(|piece| (piece.text.to_owned(), piece.range))
            .collect::<Vec<_>>())
    });
    let mut found = Vec::new();
    for (member, range) in members.unwrap_or_default() {
        match read(context, &member) {
            Ok(value) => found.push(value),
            Err(fault) => report(context, table, name, &member, &range, fault),
        }
    }
    found
}

fn report(
    context: &mut Context<'_>,
    table: &Table<'_>,
    name: &str,
    member: &str,
    range: &Range<usize>,
    fault: ValueFault,
) {
    let message = format!("{} cannot name `{member}`", table.subject(name));
    let mut diagnostic = Diagnostic::error("bad-value", message);
    if let Some(span) = table.field(name).map(|field| place(field, member, range)) {
        diagnostic = diagnostic.at(span, fault.label);
        if let Some(meant) = fault.replacement {
            diagnostic = diagnostic.suggest(span, meant);
        }
    }
    if let Some(help) = fault.help {
        diagnostic = diagnostic.help(help);
    }
    context.report(diagnostic);
}

/// Where a member stands; the whole value, where variables were replaced before it.
fn place(field: &Field<'_>, member: &str, range: &Range<usize>) -> super::source::Span {
    if field.value.text.get(range.clone()) == Some(member) {
        field.value.part(range)
    } else {
        field.value.span()
    }
}

/// A number needs no account: in a container there may be none.
fn number(text: &str) -> Option<u32> {
    text.parse().ok()
}

fn scope(text: &str) -> Result<Scope, ValueFault> {
    let fault = || {
        ValueFault::new("no way to name processes")
            .help("write NAME, GROUP:*, GROUP:PROCESS or all")
    };
    match text.split_once(':') {
        _ if text == "all" || text == "*" => Ok(Scope::All),
        None => Ok(Scope::Program(text.to_owned())),
        Some(("", _)) => Err(fault()),
        Some((group, "" | "*")) => Ok(Scope::Group(group.to_owned())),
        Some((_, process)) if process.contains(':') => Err(fault()),
        Some((group, process)) => Ok(Scope::Process(group.to_owned(), process.to_owned())),
    }
}

fn class(text: &str) -> Result<Class, ValueFault> {
    let known = Class::WORDS.iter().find(|(word, _)| *word == text);
    known.map(|&(_, class)| class).ok_or_else(|| {
        let words: BTreeSet<&str> = Class::WORDS.iter().map(|(word, _)| *word).collect();
        ValueFault::new("no such class of actions")
            .help("classes are read, logs, operate, config and daemon")
            .meant(suggest::nearest(text, words))
    })
}
