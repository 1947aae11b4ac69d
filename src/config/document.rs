//! From files to sections: reading, scanning, and what rust-ini makes of it.
//!
//! Values are rust-ini's, places are the scanner's; both count the same sections and keys in the same order. No section or
//! key is known by name here.

use super::context::Context;
use super::diagnostic::Diagnostic;
use super::host::FileContent;
use super::scan::{self, ScanFault, ScanFaultKind, Segment, Wanted};
use super::source::Span;
use ini::{Ini, ParseOption};
use std::ops::Range;
use std::path::Path;

/// A section as it stands in a file.
#[derive(Debug)]
pub struct Section {
    /// What stands between the brackets.
    pub name: String,
    /// The header with its brackets.
    pub header: Span,
    /// Its keys, repeated ones repeated.
    pub entries: Vec<Entry>,
}

impl Section {
    /// The place of a part of the name.
    pub fn name_span(&self, start: usize, len: usize) -> Span {
        let start = self.header.start + 1 + start;
        Span::new(self.header.file, start..start + len)
    }
}

/// A key and its value as they stand in a file.
#[derive(Debug)]
pub struct Entry {
    /// The key in lower case.
    pub key: String,
    /// Where it stands.
    pub key_span: Span,
    /// The value.
    pub value: SourceText,
}

/// A value with the place of each of its lines.
#[derive(Debug, Clone)]
pub struct SourceText {
    /// The value.
    pub text: String,
    /// The file it stands in.
    pub file: usize,
    /// Where each line of it came from.
    pub segments: Vec<Segment>,
    /// Comments that cut a line of it short.
    pub cuts: Vec<Range<usize>>,
}

impl SourceText {
    /// A value of one line that stands at `span`.
    pub fn line(text: &str, span: Span) -> Self {
        Self {
            text: text.to_owned(),
            file: span.file,
            segments: vec![Segment {
                in_value: 0,
                in_source: span.start,
                len: text.len(),
            }],
            cuts: Vec::new(),
        }
    }

    /// The place of the whole value.
    pub fn span(&self) -> Span {
        let start = self.segments.first().map_or(0, |first| first.in_source);
        let end = self
            .segments
            .last()
            .map_or(start, |last| last.in_source + last.len);
        Span::new(self.file, start..end)
    }

    /// The place of a part of the value.
    pub fn part(&self, range: &Range<usize>) -> Span {
        let start = self.locate(range.start);
        let end = self.locate(range.end).max(start);
        Span::new(self.file, start..end)
    }

    fn locate(&self, offset: usize) -> usize {
        let after = self
            .segments
            .partition_point(|segment| segment.in_value <= offset);
        let segment = after
            .checked_sub(1)
            .and_then(|index| self.segments.get(index));
        segment.map_or(0, |segment| {
            segment.in_source + (offset - segment.in_value).min(segment.len)
        })
    }
}

/// Takes apart what was read from `path`, which messages call `shown`. Faults are reported; what can be read of the
/// wanted sections is returned.
pub fn parse_file(
    context: &mut Context<'_>,
    raw: &FileContent,
    path: &Path,
    shown: &Path,
    wanted: Wanted,
) -> Vec<Section> {
    let bytes = raw
        .bytes
        .strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(&raw.bytes);
    let here = path.parent().unwrap_or(Path::new("/"));
    match std::str::from_utf8(bytes) {
        Ok(text) => {
            let file = context.add_source(shown, here, text.to_owned());
            parse(context, file, text, wanted)
        }
        Err(error) => {
            let at = error.valid_up_to();
            let text = String::from_utf8_lossy(bytes).into_owned();
            let file = context.add_source(shown, here, text);
            let span = Span::new(file, at..at + char::REPLACEMENT_CHARACTER.len_utf8());
            let byte = bytes.get(at).copied().unwrap_or_default();
            context.report(
                Diagnostic::error(
                    "not-utf-8",
                    format!("{} is not UTF-8 text", shown.display()),
                )
                .at(span, format!("the byte 0x{byte:02x} does not belong here"))
                .help("a file in Latin-1 is converted with `iconv -f latin1 -t utf-8`"),
            );
            Vec::new()
        }
    }
}

/// Takes a text apart.
fn parse(context: &mut Context<'_>, file: usize, text: &str, wanted: Wanted) -> Vec<Section> {
    let scan = scan::scan(text, wanted);
    for fault in &scan.faults {
        context.report(syntax_error(fault, file, text));
    }
    let options = ParseOption {
        enabled_quote: false,
        enabled_escape: true,
        enabled_indented_mutiline_value: false,
        ..ParseOption::default()
    };
    let values = match Ini::load_from_str_opt(&scan.canonical, options) {
        Ok(values) => values,
        Err(error) => {
            context.report(Diagnostic::error(
                "syntax",
                format!("the file cannot be taken apart: {error}"),
            ));
            return Vec::new();
        }
    };
    let mut read = values.iter().filter(|(name, _)| name.is_some());
    let sections = scan.sections.into_iter().map(|section| {
        let mut values = read
            .next()
            .into_iter()
            .flat_map(|(_, properties)| properties.iter());
        Section {
            header: Span::new(file, section.header),
            name: section.name,
            entries: section
                .entries
                .into_iter()
                .map(|entry| Entry {
                    key_span: Span::new(file, entry.key_range),
                    value: SourceText {
                        text: values
                            .next()
                            .map_or(entry.value, |(_, value)| value.to_owned()),
                        file,
                        segments: entry.segments,
                        cuts: entry.cuts,
                    },
                    key: entry.key,
                })
                .collect(),
        }
    });
    sections.collect()
}

fn syntax_error(fault: &ScanFault, file: usize, text: &str) -> Diagnostic {
    let span = Span::new(file, fault.range.clone());
    let found = text.get(fault.range.clone()).unwrap_or_default();
    match fault.kind {
        ScanFaultKind::NoSection => {
            Diagnostic::error("no-section", "something stands before the first section")
                .at(span, "belongs to no section")
                .help("begin with a section header, such as [taskmasterd] or [program.NAME]")
        }
        ScanFaultKind::NotAnEntry => {
            let fault =
                Diagnostic::error("syntax", "this line is neither a section nor `key=value`")
                    .at(span, "expected `=` or `:` after a key");
            fault.help("a comment begins with `#` or `;`; a value goes on in lines that are indented deeper than its key")
        }
        ScanFaultKind::HeaderNotClosed => {
            let end = Span::new(file, fault.range.end..fault.range.end);
            Diagnostic::error("syntax", "the section header is not closed")
                .at(span, "`]` is missing")
                .suggest(end, "]")
        }
        ScanFaultKind::HeaderEmpty => Diagnostic::error("syntax", "the section has no name")
            .at(span, "nothing between the brackets"),
        ScanFaultKind::KeyMissing => Diagnostic::error(
            "syntax",
            format!("a key is missing before `{}`", found.trim_end()),
        )
        .at(span, "no key"),
        ScanFaultKind::Nul => Diagnostic::error("syntax", "the file holds a NUL byte")
            .at(span, "NUL byte")
            .help("is this a text file?"),
        ScanFaultKind::LoneCarriageReturn => {
            Diagnostic::error("syntax", "a carriage return stands within a line")
                .at(span, "carriage return without a line feed")
                .help("lines end with a line feed, or with both")
        }
    }
}
