//! The keys of one section, matched with the schema: what is known, what is not, what was given twice.

use super::context::{Context, Variables};
use super::diagnostic::Diagnostic;
use super::document::{Entry, Section, SourceText};
use super::model::KeyOrigin;
use super::schema::{self, Dialect, Effect, Kind};
use super::source::{Sources, Span};
use super::suggest;
use super::value;
use super::value_type::ValueType;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// A key with its value.
#[derive(Debug)]
pub struct Field<'d> {
    /// The key as messages name it: as it is spelled, or the flag that stands for it.
    pub shown: String,
    /// Where the key stands.
    pub key_span: Span,
    /// The value.
    pub value: Cow<'d, SourceText>,
    /// Whether variables are left alone (the value of a flag).
    pub literal: bool,
}

/// The known keys of one section, or of several that count as one.
#[derive(Debug)]
pub struct Table<'d> {
    /// The kind of section.
    pub kind: Kind,
    /// Whose defaults it has.
    pub dialect: Dialect,
    /// Its own name, for sections that have one.
    pub name: Option<&'d str>,
    /// Where it begins; `None` when no file has it.
    pub header: Option<Span>,
    fields: BTreeMap<&'static str, Field<'d>>,
}

impl<'d> Table<'d> {
    /// A table without keys: everything has its default.
    pub fn empty(kind: Kind, dialect: Dialect, name: Option<&'d str>) -> Self {
        Self {
            kind,
            dialect,
            name,
            header: None,
            fields: BTreeMap::new(),
        }
    }

    /// Adds the keys of a section; later ones override.
    pub fn extend(&mut self, context: &mut Context<'_>, section: &'d Section) {
        self.header.get_or_insert(section.header);
        let mut seen: BTreeMap<&'static str, &'d Entry> = BTreeMap::new();
        for entry in &section.entries {
            let Some(key) = schema::find(self.kind, &entry.key) else {
                self.unknown(context, entry);
                continue;
            };
            if let Some(first) = seen.insert(key.name, entry) {
                context.report(repeated(&entry.key, entry, first));
            }
            self.fields.insert(key.name, Field::of(entry));
        }
    }

    /// Adds keys of `[DEFAULT]` that the section itself lacks.
    pub fn fall_back(&mut self, section: &'d Section) {
        for entry in section.entries.iter().rev() {
            if let Some(key) = schema::find(self.kind, &entry.key) {
                self.fields
                    .entry(key.name)
                    .or_insert_with(|| Field::of(entry));
            }
        }
    }

    /// Puts the value of a flag in place of the file's.
    pub fn overrule(&mut self, name: &'static str, field: Field<'d>) {
        self.fields.insert(name, field);
    }

    /// The field of a key, if it was given.
    pub fn field(&self, name: &str) -> Option<&Field<'d>> {
        self.fields.get(name)
    }

    /// Every key that was given.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, &Field<'d>)> {
        self.fields.iter().map(|(name, field)| (*name, field))
    }

    /// Where each key that was given stands, sorted by key. A flag of the command line stands in no file.
    pub fn origins(&self, sources: &Sources) -> Arc<[KeyOrigin]> {
        let mut files: BTreeMap<&Path, Arc<Path>> = BTreeMap::new();
        self.fields()
            .filter(|(_, field)| !field.literal)
            .filter_map(|(key, field)| {
                let place = sources.location(field.key_span)?;
                let file = files
                    .entry(place.path)
                    .or_insert_with(|| Arc::from(place.path));
                Some(KeyOrigin {
                    key,
                    file: Arc::clone(file),
                    line: u32::try_from(place.line).unwrap_or(u32::MAX),
                })
            })
            .collect()
    }

    /// Where the value of a key stands; the section's header when it was not given.
    pub fn span(&self, name: &str) -> Option<Span> {
        self.field(name)
            .map(|field| field.value.span())
            .or(self.header)
    }

    /// What messages call a key of this section.
    pub fn subject(&self, key: &str) -> String {
        match self.name {
            Some(name) => format!("`{key}` of {} `{name}`", self.kind),
            None => format!("`{key}`"),
        }
    }

    fn unknown(&self, context: &mut Context<'_>, entry: &Entry) {
        if matches!(
            self.kind,
            Kind::RpcInterface | Kind::CtlPlugin | Kind::Default
        ) {
            return;
        }
        let key = &entry.key;
        let message = match self.name {
            Some(name) => format!("unknown key `{key}` in {} `{name}`", self.kind),
            None => format!("unknown key `{key}` in the {}", self.kind),
        };
        let message = message.replace("in the [", "in [");
        let diagnostic = Diagnostic::warning("unknown-key", message)
            .at(entry.key_span, "this line has no effect");
        let spellings = schema::keys_of(self.kind).flat_map(schema::Key::spellings);
        let diagnostic = match suggest::nearest(key, spellings) {
            Some(meant) => diagnostic.suggest(entry.key_span, meant),
            None => match schema::KEYS.iter().find(|other| other.name == key) {
                Some(other) => diagnostic.help(match other.section {
                    Kind::Daemon => format!("`{key}` belongs in [taskmasterd]"),
                    Kind::Console => format!("`{key}` belongs in [taskmasterctl]"),
                    Kind::Program => format!("`{key}` belongs in a [program.NAME]"),
                    Kind::Group => format!("`{key}` belongs in a [group.NAME]"),
                    Kind::FcgiProgram => format!("`{key}` belongs in an [fcgi-program.NAME]"),
                    Kind::EventListener => format!("`{key}` belongs in an [eventlistener.NAME]"),
                    Kind::Role => format!("`{key}` belongs in a [role.NAME]"),
                    Kind::Include
                    | Kind::UnixServer
                    | Kind::InetServer
                    | Kind::RpcInterface
                    | Kind::CtlPlugin
                    | Kind::Default => format!("`{key}` belongs in {}", other.section),
                }),
                None => diagnostic,
            },
        };
        context.report(diagnostic);
    }

    /// Checks the values of keys that do nothing, and warns about those that differ from their default.
    pub fn report_idle(&self, context: &mut Context<'_>, variables: &Variables<'_>) {
        for (name, field) in self.fields() {
            let Some(key) = schema::find(self.kind, name) else {
                continue;
            };
            let Effect::None(why) = key.effect else {
                continue;
            };
            let read =
                |text: &str, key: &schema::Key| key.value.check(text).map(|()| text.to_owned());
            let errors = context.diagnostics.len();
            let given = context
                .value(self, name, variables, read)
                .unwrap_or_default();
            if context.diagnostics.len() > errors {
                continue;
            }
            let usual = key.default_for(self.dialect);
            let neutral = if key.value == ValueType::Boolean {
                value::boolean(&given) == Ok(false)
            } else {
                usual.is_some_and(|usual| usual.eq_ignore_ascii_case(&given))
            };
            if !neutral {
                let message = format!("{} has no effect", self.subject(&field.shown));
                context.report(Diagnostic::warning("no-effect", message).at(field.key_span, why));
            }
        }
    }
}

impl<'d> Field<'d> {
    fn of(entry: &'d Entry) -> Self {
        Self {
            shown: entry.key.clone(),
            key_span: entry.key_span,
            value: Cow::Borrowed(&entry.value),
            literal: false,
        }
    }
}

fn repeated(key: &str, entry: &Entry, first: &Entry) -> Diagnostic {
    let message = if entry.key == first.key {
        format!("`{key}` is given twice in one section")
    } else {
        format!(
            "`{key}` is the same key as `{}`, which was given before",
            first.key
        )
    };
    Diagnostic::warning("duplicate-key", message)
        .at(entry.key_span, "this one counts")
        .also(first.key_span, "this one is ignored")
}
