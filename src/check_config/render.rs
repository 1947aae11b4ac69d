//! Painting diagnostics: with the line at fault and a caret, as one line each, and as JSON.

use crate::config::{Diagnostic, Severity, Sources, Span};
use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Patch, Renderer, Snippet};
use serde::Serialize;
use std::io::IsTerminal;
use std::path::Path;

/// Every diagnostic with the line at fault, a caret beneath it, and advice; a blank line after each.
pub fn text(diagnostics: &[Diagnostic], sources: &Sources, color: bool) -> String {
    let renderer = if color {
        Renderer::styled()
    } else {
        Renderer::plain()
    }
    .decor_style(DecorStyle::Ascii);
    let mut out = String::new();
    for diagnostic in diagnostics {
        out.push_str(&renderer.render(&groups(diagnostic, sources)));
        out.push_str("\n\n");
    }
    out
}

fn groups<'a>(diagnostic: &'a Diagnostic, sources: &'a Sources) -> Vec<Group<'a>> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level
        .primary_title(shown(&diagnostic.message))
        .id(diagnostic.code);
    let mut group = Group::with_title(title);
    for snippet in snippets(diagnostic, sources) {
        group = group.element(snippet);
    }
    for help in &diagnostic.help {
        group = group.element(Level::HELP.message(shown(help)));
    }
    let mut groups = vec![group];
    if let Some(suggestion) = &diagnostic.suggestion
        && let span = suggestion.span
        && let Some((line, from, text)) = sources.window(span.file, span.start, span.end)
    {
        let title = if span.start == span.end {
            format!("add `{}`", shown(&suggestion.replacement))
        } else {
            format!("did you mean `{}`?", shown(&suggestion.replacement))
        };
        let place = span.start - from..span.end - from;
        let patch = Patch::new(place, suggestion.replacement.as_str());
        let snippet = Snippet::source(text).line_start(line).patch(patch);
        groups.push(Level::HELP.secondary_title(title).element(snippet));
    }
    groups
}

/// One snippet per file that is pointed into, the primary one first.
fn snippets<'a>(
    diagnostic: &'a Diagnostic,
    sources: &'a Sources,
) -> Vec<Snippet<'a, Annotation<'a>>> {
    let primary = diagnostic
        .primary
        .map(|span| (AnnotationKind::Primary, span, diagnostic.label.as_str()));
    let others = diagnostic
        .labels
        .iter()
        .map(|label| (AnnotationKind::Context, label.span, label.text.as_str()));
    let marks: Vec<_> = primary.into_iter().chain(others).collect();
    let mut files: Vec<usize> = Vec::new();
    for (_, span, _) in &marks {
        if !files.contains(&span.file) {
            files.push(span.file);
        }
    }
    files
        .into_iter()
        .filter_map(|file| {
            let here = || marks.iter().filter(|(_, span, _)| span.file == file);
            let start = here().map(|(_, span, _)| span.start).min()?;
            let end = here().map(|(_, span, _)| span.end).max()?;
            let (line, from, text) = sources.window(file, start, end)?;
            let annotations = here().map(|(kind, span, label)| {
                kind.span(span.start - from..span.end - from)
                    .label(shown(label))
            });
            Some(
                Snippet::source(text)
                    .line_start(line)
                    .path(sources.file(file)?.path.to_string_lossy())
                    .annotations(annotations),
            )
        })
        .collect()
}

/// Every diagnostic as one line: `FILE:LINE:COLUMN: SEVERITY: MESSAGE: LABEL`, with what was meant at its end.
pub fn short(diagnostics: &[Diagnostic], sources: &Sources) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics {
        out.push_str(&line(diagnostic, sources));
        out.push('\n');
    }
    out
}

/// One diagnostic as one line without a line end, for a log.
pub fn line(diagnostic: &Diagnostic, sources: &Sources) -> String {
    let place = diagnostic
        .primary
        .and_then(|span| sources.location(span))
        .map(|place| format!("{}:{}:{}: ", place.path.display(), place.line, place.column));
    let label = match diagnostic.label.as_str() {
        "" => String::new(),
        label => format!(": {}", shown(label)),
    };
    let meant = diagnostic.suggestion.as_ref().map(|suggestion| {
        let replacement = shown(&suggestion.replacement);
        format!(" (did you mean `{replacement}`?)")
    });
    format!(
        "{}{}: {}{label}{}",
        place.unwrap_or_default(),
        diagnostic.severity.as_str(),
        shown(&diagnostic.message),
        meant.unwrap_or_default()
    )
}

/// `2 errors, 1 warning`; nothing when there is neither.
pub fn summary(diagnostics: &[Diagnostic]) -> String {
    let errors = diagnostics.iter().filter(|found| found.is_error()).count();
    let warnings = diagnostics.len() - errors;
    [
        (errors, "error", "errors"),
        (warnings, "warning", "warnings"),
    ]
    .into_iter()
    .filter(|&(count, ..)| count > 0)
    .map(|(count, one, many)| counted(count, one, many))
    .collect::<Vec<_>>()
    .join(", ")
}

/// A number with its noun.
pub fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Text of the file as part of a message: control characters would move the cursor or colour the terminal.
fn shown(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            '\t' | '\n' => ' ',
            other if other.is_control() => char::REPLACEMENT_CHARACTER,
            other => other,
        })
        .collect()
}

/// The JSON document that the module of the checker describes.
pub fn json(
    file: &Path,
    diagnostics: &[Diagnostic],
    sources: &Sources,
    counts: Option<(usize, usize)>,
) -> String {
    let errors = diagnostics.iter().filter(|found| found.is_error()).count();
    let place = |span: Span| place(span, sources);
    let document = Document {
        version: 1,
        file: file.to_string_lossy().into_owned(),
        ok: errors == 0,
        errors,
        warnings: diagnostics.len() - errors,
        programs: counts.map(|(programs, _)| programs),
        processes: counts.map(|(_, processes)| processes),
        diagnostics: diagnostics
            .iter()
            .map(|found| Finding {
                severity: found.severity.as_str(),
                code: found.code,
                message: &found.message,
                label: &found.label,
                location: found.primary.and_then(place),
                related: found
                    .labels
                    .iter()
                    .map(|label| Related {
                        label: &label.text,
                        location: place(label.span),
                    })
                    .collect(),
                help: &found.help,
                suggestion: found.suggestion.as_ref().map(|suggestion| Replacement {
                    replacement: &suggestion.replacement,
                    location: place(suggestion.span),
                }),
            })
            .collect(),
    };
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text
}

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    file: String,
    ok: bool,
    errors: usize,
    warnings: usize,
    programs: Option<usize>,
    processes: Option<usize>,
    diagnostics: Vec<Finding<'a>>,
}

#[derive(Serialize)]
struct Finding<'a> {
    severity: &'static str,
    code: &'static str,
    message: &'a str,
    label: &'a str,
    location: Option<Place>,
    related: Vec<Related<'a>>,
    help: &'a [String],
    suggestion: Option<Replacement<'a>>,
}

#[derive(Serialize)]
struct Related<'a> {
    label: &'a str,
    location: Option<Place>,
}

#[derive(Serialize)]
struct Replacement<'a> {
    replacement: &'a str,
    location: Option<Place>,
}

#[derive(Serialize)]
struct Place {
    file: String,
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
}

fn place(span: Span, sources: &Sources) -> Option<Place> {
    let start = sources.location(span)?;
    let end = sources.end_location(span)?;
    Some(Place {
        file: start.path.to_string_lossy().into_owned(),
        line: start.line,
        column: start.column,
        end_line: end.line,
        end_column: end.column,
    })
}

/// Whether findings are painted on a stream: only on a terminal, and not where `NO_COLOR` holds anything.
pub fn is_painted(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
