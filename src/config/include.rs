//! Following `[include]`: patterns in the order they are written, the matches of each sorted, and the includes of each
//! file right after it.
//!
//! Patterns are relative to the main file's directory. A file is read once: one that includes itself by its name,
//! directly or through others, is an error, as is one that cannot be read; a pattern may match what is read already. A
//! pattern without a match is only a warning, so that an empty `conf.d` is fine. Depth and number of files are bounded.

use super::context::{Context, Variables};
use super::diagnostic::Diagnostic;
use super::document::{self, Section, SourceText};
use super::host::FileContent;
use super::schema::{self, Kind, SectionName};
use super::source::Span;
use super::value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Deepest nesting of includes.
pub const DEPTH_MAX: usize = 8;
/// Most files of one configuration.
pub const FILES_MAX: usize = 1_000;
/// Index of the main file, which is read first.
const MAIN_FILE: usize = 0;

/// Everything that was read.
#[derive(Debug, Default)]
pub struct Document {
    /// The sections of all files in the order they count: later ones override.
    pub sections: Vec<Section>,
    /// Absolute paths of the files, the main one first.
    pub files: Vec<PathBuf>,
}

/// Reads the main file and all that it includes. `None` when the main file cannot be read, which is reported.
pub fn read_all(context: &mut Context<'_>, main: &Path) -> Option<Document> {
    let absolute = context.absolute(main);
    let raw = match context.host.read(&absolute) {
        Ok(raw) => raw,
        Err(error) => {
            let shown = main.display();
            let fault = Diagnostic::error("unreadable", format!("cannot read {shown}: {error}"));
            context.report(fault);
            return None;
        }
    };
    let base = absolute.parent().unwrap_or(Path::new("/")).to_owned();
    let shown_base = main.parent().unwrap_or(Path::new("")).to_owned();
    let mut reader = Reader {
        base,
        shown_base,
        chain: Vec::new(),
        seen: BTreeSet::new(),
        document: Document::default(),
        full: false,
    };
    reader.take(context, &raw, absolute, main);
    Some(reader.document)
}

/// Sections for the console in included files: it reads the main file alone, so daemon and console would not meet.
pub fn warn_about_console(context: &mut Context<'_>, sections: &[Section]) {
    for section in sections {
        let kind = schema::section_name(&section.name);
        let console = matches!(
            kind,
            SectionName::Fixed(Kind::Console | Kind::UnixServer, _)
        );
        if console && section.header.file != MAIN_FILE {
            context.report(
                Diagnostic::warning(
                    "included-console",
                    format!("the console does not see this [{}]", section.name),
                )
                .at(section.header, "stands in an included file")
                .help("the console reads the main file alone: move the section there"),
            );
        }
    }
}

struct Reader {
    base: PathBuf,
    shown_base: PathBuf,
    /// The files that led to the one at hand, from the main file on: identity and path.
    chain: Vec<((u64, u64), PathBuf)>,
    seen: BTreeSet<(u64, u64)>,
    document: Document,
    full: bool,
}

impl Reader {
    /// Adds a file's sections, then the files it includes.
    fn take(&mut self, context: &mut Context<'_>, raw: &FileContent, path: PathBuf, shown: &Path) {
        let sections = document::parse_file(context, raw, &path, shown, |_| true);
        self.seen.insert(raw.identity);
        self.chain.push((raw.identity, path.clone()));
        self.document.files.push(path);
        let mut includes = Vec::new();
        for section in &sections {
            if schema::section_name(&section.name)
                != SectionName::Fixed(Kind::Include, schema::Dialect::Native)
            {
                continue;
            }
            match section.entries.iter().rfind(|entry| entry.key == "files") {
                Some(entry) => includes.push(entry.value.clone()),
                None => context.report(
                    Diagnostic::error("missing-key", "[include] names no files")
                        .at(section.header, "`files` is missing")
                        .help("name them: `files = conf.d/*.ini`"),
                ),
            }
        }
        self.document.sections.extend(sections);
        for files in includes {
            self.follow(context, &files);
        }
        self.chain.pop();
    }

    fn follow(&mut self, context: &mut Context<'_>, files: &SourceText) {
        let patterns = match value::patterns(&files.text) {
            Ok(patterns) => patterns,
            Err(fault) => {
                context.report(
                    Diagnostic::error("bad-value", "[include] names no files")
                        .at(files.span(), fault.label),
                );
                return;
            }
        };
        for pattern in patterns {
            // Each is expanded by itself, so that a blank in a variable does not make two patterns of one.
            let part = SourceText::line(pattern.text, files.part(&pattern.range));
            if let Some(expanded) = context.expanded(&part, "`files`", &Variables::default()) {
                self.pattern(context, &expanded, part.span());
            }
        }
    }

    fn pattern(&mut self, context: &mut Context<'_>, pattern: &str, span: Span) {
        let full = if Path::new(pattern).is_absolute() {
            pattern.to_owned()
        } else {
            let base = glob::Pattern::escape(&self.base.to_string_lossy());
            format!("{}/{pattern}", base.trim_end_matches('/'))
        };
        let found = match context.host.glob(&full) {
            Ok(found) => found,
            Err(error) => {
                context.report(
                    Diagnostic::error("bad-pattern", format!("`{pattern}` cannot be looked up"))
                        .at(span, error),
                );
                return;
            }
        };
        if found.is_empty() {
            context.report(
                Diagnostic::warning("no-match", format!("no file matches `{pattern}`"))
                    .at(span, "nothing is included")
                    .help("patterns are relative to the directory of the main file"),
            );
        }
        let wide = pattern.contains(['*', '?', '[']);
        for path in found {
            self.file(context, &path, span, wide);
        }
    }

    /// Reads a file that the place at `span` names, `wide` among others: such a one may well be read already.
    fn file(&mut self, context: &mut Context<'_>, path: &Path, span: Span, wide: bool) {
        let shown = path
            .strip_prefix(&self.base)
            .map_or_else(|_| path.to_owned(), |inner| self.shown_base.join(inner));
        let name = shown.display();
        if self.chain.len() > DEPTH_MAX {
            context.report(
                Diagnostic::error(
                    "include-depth",
                    format!("{name} is included more than {DEPTH_MAX} levels deep"),
                )
                .at(span, "too deep"),
            );
            return;
        }
        if self.document.files.len() >= FILES_MAX {
            if !self.full {
                self.full = true;
                context.report(
                    Diagnostic::error(
                        "include-count",
                        format!("more than {FILES_MAX} files are included"),
                    )
                    .at(span, format!("{name} is one too many")),
                );
            }
            return;
        }
        let raw = match context.host.read(path) {
            Ok(raw) => raw,
            Err(error) => {
                context.report(
                    Diagnostic::error("unreadable", format!("cannot read {name}: {error}"))
                        .at(span, "included here"),
                );
                return;
            }
        };
        if wide && self.seen.contains(&raw.identity) {
            context.report(
                Diagnostic::warning("include-twice", format!("{name} is read already"))
                    .at(span, "matches it, too; it is not read again"),
            );
            return;
        }
        if let Some(at) = self
            .chain
            .iter()
            .position(|(identity, _)| *identity == raw.identity)
        {
            let loops = self.chain.iter().skip(at).map(|(_, path)| {
                let inner = path.strip_prefix(&self.base).unwrap_or(path);
                inner.display().to_string()
            });
            let mut loops: Vec<_> = loops.collect();
            loops.extend(loops.first().cloned());
            context.report(
                Diagnostic::error("include-cycle", format!("{name} includes itself"))
                    .at(span, "leads back to a file that is being read")
                    .help(format!("the circle is {}", loops.join(" -> "))),
            );
            return;
        }
        if self.seen.contains(&raw.identity) {
            context.report(
                Diagnostic::warning(
                    "include-twice",
                    format!("{name} is included more than once"),
                )
                .at(span, "read before; the repetition is skipped"),
            );
            return;
        }
        self.take(context, &raw, path.to_owned(), &shown);
    }
}
