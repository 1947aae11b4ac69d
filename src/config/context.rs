//! What every step of a load shares: the machine, the texts, the findings, and how one value is read.
//!
//! Reading a value is always the same: take it from the section or from the schema's default, expand its variables, hand
//! it to the reader of its type, and turn a refusal into a diagnostic with a caret under the part that is wrong. A value
//! that is wrong is replaced by the default, so that the steps behind find the other faults; an error was reported, so
//! the result is never used.

mod accounts;

use super::Loaded;
use super::diagnostic::Diagnostic;
use super::document::SourceText;
use super::env_file::{self, EnvFileError};
use super::expand::{self, ExpandErrorKind, Scope, Variable};
use super::host::{FileFacts, FileKind, Host};
use super::model::{Config, User};
use super::schema::{self, Key};
use super::source::{Sources, Span};
use super::table::{Field, Table};
use super::value_type::{ValueFault, ValueType};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What is known in a value besides `here`, `host_node_name` and the daemon's environment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Variables<'v> {
    /// Program and group.
    pub program: Option<(&'v str, &'v str)>,
    /// How many copies there are.
    pub numprocs: Option<u32>,
    /// Number of the copy.
    pub process_num: Option<u32>,
    /// The program's own environment.
    pub environment: Option<&'v BTreeMap<String, String>>,
}

/// What the steps of a load share.
pub struct Context<'a> {
    /// The machine.
    pub host: &'a dyn Host,
    /// The texts.
    pub sources: Sources,
    /// The findings.
    pub diagnostics: Vec<Diagnostic>,
    /// Where relative paths start.
    pub base: PathBuf,
    /// The process's environment, then also the daemon section's.
    pub environment: BTreeMap<String, String>,
    /// The directory of each file, by index.
    here: Vec<String>,
    node_name: String,
    facts: BTreeMap<PathBuf, Option<FileFacts>>,
    executable: BTreeMap<PathBuf, bool>,
    accounts: BTreeMap<String, Result<User, ValueFault>>,
    env_files: BTreeMap<PathBuf, EnvFileFacts>,
}

/// What is known about a file of variables.
#[derive(Debug, Clone, Default)]
pub struct EnvFileFacts {
    /// Why it cannot be used, and whether that is because there is none.
    pub problem: Option<(String, bool)>,
    /// The search path that it sets.
    pub search_path: Option<String>,
}

impl<'a> Context<'a> {
    pub fn new(host: &'a dyn Host) -> Self {
        Self {
            host,
            sources: Sources::default(),
            diagnostics: Vec::new(),
            base: host.current_dir(),
            environment: host.environment(),
            here: Vec::new(),
            node_name: host.node_name(),
            facts: BTreeMap::new(),
            executable: BTreeMap::new(),
            accounts: BTreeMap::new(),
            env_files: BTreeMap::new(),
        }
    }

    pub fn add_source(&mut self, shown: &Path, here: &Path, text: String) -> usize {
        self.here.push(here.to_string_lossy().into_owned());
        self.sources.add(shown.to_owned(), text)
    }

    pub fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// Puts the findings in the order of the files and drops repetitions: a program in two groups is built twice.
    pub fn finish(self, config: Option<Config>) -> Loaded {
        let mut diagnostics: Vec<Diagnostic> = Vec::with_capacity(self.diagnostics.len());
        let mut by_place = self.diagnostics;
        by_place.sort_by_key(|diagnostic| diagnostic.primary);
        for diagnostic in by_place {
            let same = |other: &&Diagnostic| other.primary == diagnostic.primary;
            if !diagnostics
                .iter()
                .rev()
                .take_while(same)
                .any(|other| *other == diagnostic)
            {
                diagnostics.push(diagnostic);
            }
        }
        let failed = diagnostics.iter().any(Diagnostic::is_error);
        Loaded {
            config: config.filter(|_| !failed),
            diagnostics,
            sources: self.sources,
        }
    }

    /// `path`, from the root.
    pub fn absolute(&self, path: &Path) -> PathBuf {
        self.base.join(path).components().collect()
    }

    /// A path as written in the file: `~` stands for a home directory, a relative one starts at the daemon's directory.
    pub fn path(&mut self, text: &str) -> Result<PathBuf, ValueFault> {
        let Some(rest) = text.strip_prefix('~') else {
            return Ok(self.absolute(Path::new(text)));
        };
        let (user, inner) = rest.split_once('/').unwrap_or((rest, ""));
        let home = if user.is_empty() {
            let uid = self.host.effective_uid();
            let account = || self.host.account_by_uid(uid).ok().flatten();
            let variable = self.environment.get("HOME").map(PathBuf::from);
            variable.or_else(|| account().and_then(|account| account.home))
        } else {
            self.account(user)?.home
        };
        match home {
            Some(home) => Ok(self.absolute(&home.join(inner))),
            None => Err(ValueFault::new("nobody's home directory is known for this `~`").at(0..1)),
        }
    }

    /// Facts about a path; asked once per load.
    pub fn facts(&mut self, path: &Path) -> Option<FileFacts> {
        if let Some(known) = self.facts.get(path) {
            return *known;
        }
        let facts = self.host.facts(path);
        self.facts.insert(path.to_owned(), facts);
        facts
    }

    /// Whether the file may be executed; asked once per load and path.
    pub fn is_executable(&mut self, path: &Path) -> bool {
        if let Some(known) = self.executable.get(path) {
            return *known;
        }
        let executable = self.host.is_executable(path);
        self.executable.insert(path.to_owned(), executable);
        executable
    }

    /// Whether the path leads to a directory.
    pub fn is_dir(&mut self, path: &Path) -> bool {
        self.facts(path)
            .is_some_and(|facts| facts.kind == FileKind::Directory)
    }

    /// What a file of variables says; read once per load.
    pub fn env_file(&mut self, path: &Path) -> EnvFileFacts {
        if let Some(known) = self.env_files.get(path) {
            return known.clone();
        }
        let read = self
            .host
            .read(path)
            .map_err(EnvFileError::from)
            .and_then(|content| Ok(env_file::parse(&content.bytes)?));
        let facts = match read {
            Ok(found) => EnvFileFacts {
                problem: None,
                search_path: found
                    .into_iter()
                    .rfind(|variable| variable.name == "PATH")
                    .map(|variable| variable.value),
            },
            Err(error) => EnvFileFacts {
                problem: Some((env_file::describe(path, &error), error.is_missing())),
                search_path: None,
            },
        };
        self.env_files.insert(path.to_owned(), facts.clone());
        facts
    }

    /// Expands the variables of a value; `None` when that failed, which is reported as a fault of `subject`.
    pub fn expanded(
        &mut self,
        text: &SourceText,
        subject: &str,
        variables: &Variables<'_>,
    ) -> Option<String> {
        if !expand::is_template(&text.text) {
            return Some(text.text.clone());
        }
        let here = self.here.get(text.file).map_or("", String::as_str);
        let scope = self.scope(here, variables);
        match expand::expand(&text.text, &scope) {
            Ok(expanded) => Some(expanded.into_owned()),
            Err(errors) => {
                for error in errors {
                    let diagnostic = expand_diagnostic(&error.kind, text, &error.range, subject);
                    self.report(diagnostic);
                }
                None
            }
        }
    }

    fn scope<'s>(&'s self, here: &'s str, variables: &Variables<'s>) -> Scope<'s> {
        let mut known = vec![
            ("here", Variable::Text(here)),
            ("host_node_name", Variable::Text(&self.node_name)),
        ];
        if let Some((program, group)) = variables.program {
            known.push(("program_name", Variable::Text(program)));
            known.push(("group_name", Variable::Text(group)));
        }
        if let Some(numprocs) = variables.numprocs {
            known.push(("numprocs", Variable::Number(numprocs)));
        }
        if let Some(process_num) = variables.process_num {
            known.push(("process_num", Variable::Number(process_num)));
        }
        let mut environment = vec![&self.environment];
        environment.extend(variables.environment);
        Scope {
            variables: known,
            environment,
        }
    }

    /// Reads the value of a key, or its default; `None` when it has neither, or the value is wrong and there is no default.
    pub fn value<T>(
        &mut self,
        table: &Table<'_>,
        name: &str,
        variables: &Variables<'_>,
        read: impl Fn(&str, &Key) -> Result<T, ValueFault>,
    ) -> Option<T> {
        self.value_with(table, name, variables, |_, text, key| read(text, key))
    }

    /// As [`Context::value`], for types whose reader asks the machine.
    pub fn value_with<T>(
        &mut self,
        table: &Table<'_>,
        name: &str,
        variables: &Variables<'_>,
        read: impl Fn(&mut Self, &str, &Key) -> Result<T, ValueFault>,
    ) -> Option<T> {
        let Some(key) = schema::find(table.kind, name) else {
            debug_assert!(false, "the schema has no row for {name}");
            return None;
        };
        if let Some(field) = table.field(name) {
            let text = &field.value.text;
            let expanded = if field.literal || !expand::is_template(text) {
                Some(Cow::Borrowed(text.as_str()))
            } else {
                let subject = table.subject(&field.shown);
                self.expanded(&field.value, &subject, variables)
                    .map(Cow::Owned)
            };
            if let Some(expanded) = expanded {
                match read(self, &expanded, key) {
                    Ok(value) => return Some(value),
                    Err(fault) => {
                        let subject = table.subject(&field.shown);
                        self.report(value_diagnostic(
                            fault, field, &expanded, &subject, key.value,
                        ));
                    }
                }
            }
        }
        let default = key.default_for(table.dialect)?;
        if !expand::is_template(default) {
            return read(self, default, key).ok();
        }
        let expanded = {
            let scope = self.scope("", variables);
            expand::expand(default, &scope).ok()?.into_owned()
        };
        read(self, &expanded, key).ok()
    }
}

fn expand_diagnostic(
    kind: &ExpandErrorKind,
    text: &SourceText,
    range: &std::ops::Range<usize>,
    subject: &str,
) -> Diagnostic {
    let span = text.part(range);
    let message = match kind {
        ExpandErrorKind::Unknown { name, .. } => format!("unknown variable `{name}` in {subject}"),
        ExpandErrorKind::TooLong => format!("{subject} is too long"),
        ExpandErrorKind::Bare
        | ExpandErrorKind::NotClosed
        | ExpandErrorKind::ConversionMissing { .. }
        | ExpandErrorKind::Conversion { .. }
        | ExpandErrorKind::NotANumber { .. } => format!("malformed `%` in {subject}"),
    };
    let diagnostic = Diagnostic::error("expansion", message).at(span, kind.to_string());
    match kind {
        ExpandErrorKind::Unknown {
            name,
            nearest,
            available,
        } => {
            let list = available
                .iter()
                .map(|name| format!("%({name})s"))
                .collect::<Vec<_>>()
                .join(", ");
            let diagnostic = diagnostic.help(format!(
                "known here: {list}, and %(ENV_X)s for each environment variable X"
            ));
            let diagnostic = if matches!(name.as_str(), "process_num" | "numprocs") {
                diagnostic.help(format!("`{name}` is known only where copies of a program can differ: command, process_name, directory, environment and the logs"))
            } else {
                diagnostic
            };
            match nearest {
                Some(nearest) => diagnostic.suggest(span, nearest),
                None => diagnostic,
            }
        }
        ExpandErrorKind::Bare => {
            diagnostic.help("write `%%` for a per cent sign, or `%(NAME)s` for a variable")
        }
        ExpandErrorKind::NotClosed => diagnostic.help("a variable is written %(NAME)s"),
        ExpandErrorKind::ConversionMissing { name } => diagnostic.help(format!(
            "write `%({name})s`, with an `s` behind the parenthesis"
        )),
        ExpandErrorKind::Conversion { .. } => {
            diagnostic.help("use `s` for texts and `d` for numbers; others are i, u, o, x, X and c")
        }
        ExpandErrorKind::NotANumber { .. } => diagnostic.suggest(span, "s"),
        ExpandErrorKind::TooLong => diagnostic,
    }
}

fn value_diagnostic(
    fault: ValueFault,
    field: &Field<'_>,
    expanded: &str,
    subject: &str,
    expected: ValueType,
) -> Diagnostic {
    let literal = expanded == field.value.text;
    let whole = field.value.span();
    let span = match &fault.range {
        Some(range) if literal => field.value.part(range),
        _ => whole,
    };
    let mut diagnostic =
        Diagnostic::error("bad-value", expected.complaint(subject)).at(span, fault.label);
    // What comes out of the environment may be a secret; a single short word of the wrong type is not.
    let secret = matches!(expected, ValueType::Environment | ValueType::Text)
        || (expected == ValueType::Command && field.value.text.contains("%(ENV_"));
    if !literal && !secret {
        diagnostic = diagnostic.help(format!("after expansion the value is `{expanded}`"));
    }
    if let Some(bare) = unquoted(expanded).filter(|bare| expected.check(bare).is_ok())
        && literal
        && !matches!(expected, ValueType::Command | ValueType::Environment)
    {
        return diagnostic
            .help("quotes are part of the value here")
            .suggest(whole, bare);
    }
    if let Some(cut) = quoted_comment(field, expanded) {
        diagnostic = diagnostic.also(cut, "the rest of the line is a comment").help(
            "`;` and `#` after a blank begin a comment, even within quotes: write them without a blank before them",
        );
    } else if let Some(help) = fault.help {
        diagnostic = diagnostic.help(help);
    }
    match fault.replacement {
        Some(replacement) if literal => diagnostic.suggest(span, replacement),
        Some(_) | None => diagnostic,
    }
}

/// What stands between the quotes, when a value stands in quotes as a whole.
pub fn unquoted(text: &str) -> Option<&str> {
    let between = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
    between('"')
        .or_else(|| between('\''))
        .filter(|bare| !bare.is_empty())
}

/// The comment that cut a value within quotes, if one did.
pub fn quoted_comment(field: &Field<'_>, text: &str) -> Option<Span> {
    let cut = field.value.cuts.first()?;
    super::words::split(text)
        .is_err()
        .then(|| Span::new(field.value.file, cut.clone()))
}
