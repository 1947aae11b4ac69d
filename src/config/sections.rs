//! Sorting sections by kind: which ones there are, which may exist once, which are unknown.

use super::context::Context;
use super::diagnostic::Diagnostic;
use super::document::Section;
use super::schema::{self, Dialect, Kind, SectionName};
use super::source::Span;
use super::suggest;
use super::table::Table;
use crate::types::{NameError, ProgramName};
use std::collections::BTreeMap;

/// The sections of a configuration, each with its keys.
#[derive(Debug)]
pub struct Sorted<'d> {
    /// The daemon's section, whether the file has one or not.
    pub daemon: Table<'d>,
    /// The console's section.
    pub console: Table<'d>,
    /// The section that names Supervisor's socket, if there is one.
    pub unix_server: Option<Table<'d>>,
    /// The sections of servers on the network, which are checked and not served.
    pub inet_servers: Vec<Table<'d>>,
    /// The programs in the order of the file, those with a socket among them.
    pub programs: Vec<Named<'d>>,
    /// The groups in the order of the file.
    pub groups: Vec<Named<'d>>,
    /// The event listeners in the order of the file.
    pub listeners: Vec<Named<'d>>,
    /// The roles in the order of the file.
    pub roles: Vec<Named<'d>>,
}

/// A section with a name of its own.
#[derive(Debug)]
pub struct Named<'d> {
    /// Its name.
    pub name: &'d str,
    /// Where the name stands.
    pub name_span: Span,
    /// Its keys.
    pub table: Table<'d>,
}

/// Sorts `sections` and reports what is wrong with their names and keys.
pub fn sort<'d>(context: &mut Context<'_>, sections: &'d [Section]) -> Sorted<'d> {
    let defaults: Vec<&Section> = sections
        .iter()
        .filter(|section| section.name == "DEFAULT")
        .collect();
    let mut sorter = Sorter {
        sorted: Sorted {
            daemon: single(sections, Kind::Daemon),
            console: single(sections, Kind::Console),
            unix_server: None,
            inet_servers: Vec::new(),
            programs: Vec::new(),
            groups: Vec::new(),
            listeners: Vec::new(),
            roles: Vec::new(),
        },
        once: BTreeMap::new(),
        named: BTreeMap::new(),
    };
    for section in sections {
        sorter.section(context, section);
    }
    let mut result = sorter.sorted;
    for default in defaults.into_iter().rev() {
        result.daemon.fall_back(default);
        result.console.fall_back(default);
        let named = result.programs.iter_mut().chain(&mut result.groups);
        let named = named.chain(&mut result.listeners);
        let tables = named.map(|named| &mut named.table);
        for table in tables
            .chain(&mut result.unix_server)
            .chain(&mut result.inet_servers)
        {
            table.fall_back(default);
        }
        unknown_defaults(context, default);
    }
    result
}

/// An empty table for a section that exists once; native unless the file has only Supervisor's.
fn single<'d>(sections: &[Section], kind: Kind) -> Table<'d> {
    let has = |dialect| {
        sections
            .iter()
            .any(|section| schema::section_name(&section.name) == SectionName::Fixed(kind, dialect))
    };
    // A file for Supervisor need not have a section for the console: its kind decides then.
    let supervisor =
        has(Dialect::Supervisor) || (kind == Kind::Console && has_daemon_of_supervisor(sections));
    let dialect = if supervisor && !has(Dialect::Native) {
        Dialect::Supervisor
    } else {
        Dialect::Native
    };
    Table::empty(kind, dialect, None)
}

fn has_daemon_of_supervisor(sections: &[Section]) -> bool {
    let has = |name: &str| sections.iter().any(|section| section.name == name);
    has("supervisord") && !has("taskmasterd")
}

fn unknown_defaults(context: &mut Context<'_>, section: &Section) {
    for entry in &section.entries {
        let known = schema::KEYS
            .iter()
            .any(|key| key.spellings().any(|name| name == entry.key));
        if !known {
            let message = format!("no section has a key `{}`", entry.key);
            context.report(
                Diagnostic::warning("unknown-key", message)
                    .at(entry.key_span, "this line has no effect"),
            );
        }
    }
}

struct Sorter<'d> {
    sorted: Sorted<'d>,
    /// Sections that exist once: where each was seen, by kind and file.
    once: BTreeMap<(Kind, usize), &'d Section>,
    /// Sections with names: where each was seen first.
    named: BTreeMap<(Kind, &'d str), &'d Section>,
}

impl<'d> Sorter<'d> {
    fn section(&mut self, context: &mut Context<'_>, section: &'d Section) {
        match schema::section_name(&section.name) {
            SectionName::Fixed(kind, dialect) => self.fixed(context, section, kind, dialect),
            SectionName::Named(kind, dialect, name, at) => {
                self.with_name(context, section, kind, dialect, name, at);
            }
            SectionName::NameMissing(kind) => {
                let word = section.name.trim_end_matches([':', '.', ' ']);
                context.report(
                    Diagnostic::error("missing-name", format!("this {kind} has no name"))
                        .at(section.header, "a name is missing")
                        .help(format!(
                            "write [{word}.NAME], or [{word}:NAME] for Supervisor's defaults"
                        )),
                );
            }
            // An unnamed header was reported as a syntax error.
            SectionName::Unknown if section.name.is_empty() => {}
            SectionName::Unknown => context.report(unknown_section(section)),
        }
    }

    fn fixed(
        &mut self,
        context: &mut Context<'_>,
        section: &'d Section,
        kind: Kind,
        dialect: Dialect,
    ) {
        // Another file may override a section; twice in one file is more likely a mistake.
        let before = self.once.insert((kind, section.header.file), section);
        // Each server of the network is one of its own.
        let one = |first: &&Section| {
            kind != Kind::Default && (kind != Kind::InetServer || first.name == section.name)
        };
        if let Some(first) = before.filter(one) {
            let message = if first.name == section.name {
                format!("the section [{}] stands twice in one file", section.name)
            } else {
                format!("[{}] and [{}] are one section", first.name, section.name)
            };
            context.report(
                Diagnostic::warning("duplicate-section", message)
                    .at(
                        section.header,
                        "the keys are merged; what stands here counts",
                    )
                    .also(first.header, "first here"),
            );
        }
        match kind {
            Kind::Daemon => self.sorted.daemon.extend(context, section),
            Kind::Console => self.sorted.console.extend(context, section),
            Kind::UnixServer => {
                let table = Table::empty(kind, dialect, None);
                let server = self.sorted.unix_server.get_or_insert(table);
                server.extend(context, section);
            }
            Kind::Include => Table::empty(kind, dialect, None).extend(context, section),
            Kind::InetServer => {
                let mut table = Table::empty(kind, dialect, None);
                table.extend(context, section);
                self.sorted.inet_servers.push(table);
                context.report(unsupported(section, "nothing listens on the network"));
            }
            Kind::Default
            | Kind::Program
            | Kind::Group
            | Kind::Role
            | Kind::FcgiProgram
            | Kind::EventListener
            | Kind::RpcInterface
            | Kind::CtlPlugin => {}
        }
    }

    fn with_name(
        &mut self,
        context: &mut Context<'_>,
        section: &'d Section,
        kind: Kind,
        dialect: Dialect,
        name: &'d str,
        at: usize,
    ) {
        let name_span = section.name_span(at, name.len());
        match kind {
            Kind::RpcInterface | Kind::CtlPlugin => {
                let why = if kind == Kind::RpcInterface {
                    "there is no XML-RPC; the console speaks a protocol of its own"
                } else {
                    "a plug-in is code for Python"
                };
                context.report(unsupported(section, why));
                return;
            }
            Kind::Program
            | Kind::FcgiProgram
            | Kind::Group
            | Kind::EventListener
            | Kind::Role
            | Kind::Daemon
            | Kind::Console
            | Kind::Include
            | Kind::UnixServer
            | Kind::InetServer
            | Kind::Default => {}
        }
        if let Err(error) = ProgramName::new(name) {
            context.report(illegal_name(kind, name, &error, section, at));
        }
        if name == "all" {
            context.report(
                Diagnostic::warning(
                    "all-name",
                    format!("the {kind} `all` cannot be addressed by its name"),
                )
                .at(name_span, "means every process in the console")
                .help("choose another name"),
            );
        }
        // A program with a socket is a program: it is addressed, and put into groups, by its name alone.
        let space = if kind == Kind::FcgiProgram {
            Kind::Program
        } else {
            kind
        };
        if let Some(first) = self.named.insert((space, name), section) {
            let message = format!("the {kind} `{name}` is defined twice");
            context.report(
                Diagnostic::error("duplicate-section", message)
                    .at(section.header, "again here")
                    .also(first.header, "first here")
                    .help("rename one of them, or remove it"),
            );
        }
        let mut table = Table::empty(kind, dialect, Some(name));
        table.extend(context, section);
        let named = |table| Named {
            name,
            name_span,
            table,
        };
        match kind {
            Kind::Program | Kind::FcgiProgram => self.sorted.programs.push(named(table)),
            Kind::Group => self.sorted.groups.push(named(table)),
            Kind::EventListener => self.sorted.listeners.push(named(table)),
            Kind::Role => self.sorted.roles.push(named(table)),
            Kind::RpcInterface
            | Kind::CtlPlugin
            | Kind::Daemon
            | Kind::Console
            | Kind::Include
            | Kind::UnixServer
            | Kind::InetServer
            | Kind::Default => {}
        }
    }
}

fn unsupported(section: &Section, consequence: &str) -> Diagnostic {
    let message = format!("[{}] is not supported by this version", section.name);
    Diagnostic::warning("not-supported", message).at(section.header, consequence)
}

fn illegal_name(
    kind: Kind,
    name: &str,
    error: &NameError,
    section: &Section,
    at: usize,
) -> Diagnostic {
    let message = format!("`{name}` cannot be the name of a {kind}");
    let fault = Diagnostic::error("bad-name", message);
    match error {
        NameError::Character { character, .. } => {
            let offset = name.find(*character).unwrap_or_default();
            let span = section.name_span(at + offset, character.len_utf8());
            fault
                .at(span, format!("the character {character:?} is not allowed"))
                .help("a name holds no blanks, no `:`, no `/` and no control characters")
        }
        NameError::Empty | NameError::TooLong => {
            fault.at(section.name_span(at, name.len()), error.to_string())
        }
    }
}

fn unknown_section(section: &Section) -> Diagnostic {
    let name = &section.name;
    let span = section.name_span(0, name.len());
    let fault = Diagnostic::warning("unknown-section", format!("unknown section [{name}]"))
        .at(span, "the whole section has no effect");
    let trimmed = name.trim();
    if trimmed != name && schema::section_name(trimmed) != SectionName::Unknown {
        return fault.suggest(span, trimmed);
    }
    let end = trimmed.find(['.', ':']).unwrap_or(trimmed.len());
    let (word, rest) = trimmed.split_at(end);
    match suggest::nearest(word, schema::section_words()) {
        Some(meant) if meant != word => fault.suggest(span, format!("{meant}{rest}")),
        Some(_) | None => fault
            .help("sections are [taskmasterd], [taskmasterctl], [include], [program.NAME] and [group.NAME]"),
    }
}
