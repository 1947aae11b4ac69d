//! The line scanner: Supervisor's lexical rules, with the place of everything.
//!
//! Supervisor reads its files with Python's `RawConfigParser`; this scanner decides the same for every line: comments
//! (`;` or `#` at the start of a line, or after white space anywhere, quotes notwithstanding), continuation lines
//! (deeper than the key's own line), section headers (from `[` to the last `]`), keys in any case with `=` or `:`.
//! Unlike `RawConfigParser` it reports every malformed line, not the first, and refuses NUL and lone carriage returns.
//!
//! It also writes the *canonical text*: one `key=value` a line with escapes, which rust-ini reads without any of its own
//! ideas about comments, quotes and continuation. Values and sections are then rust-ini's, places are the scanner's.
//!
//! The scanner knows no key and no section by name.

use std::ops::Range;

/// Everything found in one text.
#[derive(Debug, Default)]
pub struct Scan {
    /// The sections in order, repeated ones repeated.
    pub sections: Vec<ScannedSection>,
    /// Malformed lines.
    pub faults: Vec<ScanFault>,
    /// The same content for rust-ini.
    pub canonical: String,
}

/// One section header and the keys beneath it.
#[derive(Debug, PartialEq, Eq)]
pub struct ScannedSection {
    /// What stands between the brackets, untrimmed.
    pub name: String,
    /// The header with its brackets.
    pub header: Range<usize>,
    /// Its keys in order, repeated ones repeated.
    pub entries: Vec<ScannedEntry>,
}

/// One key and its value.
#[derive(Debug, PartialEq, Eq)]
pub struct ScannedEntry {
    /// The key in lower case.
    pub key: String,
    /// Where the key stands.
    pub key_range: Range<usize>,
    /// The value, trimmed, its lines joined with a line feed.
    pub value: String,
    /// Where each line of the value came from.
    pub segments: Vec<Segment>,
    /// Comments that cut a line of this value short.
    pub cuts: Vec<Range<usize>>,
}

/// One line of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Offset of the line in the value.
    pub in_value: usize,
    /// Offset of the line in the source.
    pub in_source: usize,
    /// Its length.
    pub len: usize,
}

/// A line that is not INI.
#[derive(Debug, PartialEq, Eq)]
pub struct ScanFault {
    /// What is wrong.
    pub kind: ScanFaultKind,
    /// Where.
    pub range: Range<usize>,
}

/// What can be wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanFaultKind {
    /// Something stands before the first section header.
    NoSection,
    /// Neither a header, nor `key=value`, nor a comment, nor a continuation.
    NotAnEntry,
    /// `[` without `]`.
    HeaderNotClosed,
    /// `[]`.
    HeaderEmpty,
    /// A value without a key before the `=`.
    KeyMissing,
    /// A NUL byte.
    Nul,
    /// A carriage return that does not end a line.
    LoneCarriageReturn,
}

/// Which sections are wanted, by what stands between their brackets.
pub type Wanted = fn(&str) -> bool;

/// Scans the wanted sections of `text`; keys of others are passed over. Never fails; what is wrong is in
/// [`Scan::faults`].
pub fn scan(text: &str, wanted: Wanted) -> Scan {
    let mut scanner = Scanner {
        scan: Scan::default(),
        wanted,
        skips: false,
        lines: Vec::new(),
        continues: Continues::default(),
        indent: 0,
        headless_reported: false,
    };
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        let content = line.strip_suffix('\n').unwrap_or(line);
        let content = content.strip_suffix('\r').unwrap_or(content);
        scanner.line(content, offset);
        offset += line.len();
    }
    scanner.finish()
}

/// What a deeper line would continue.
#[derive(Debug, Default, PartialEq, Eq)]
enum Continues {
    /// Nothing: a header came last, or nothing yet.
    #[default]
    Nothing,
    /// The last entry.
    Entry,
    /// A malformed line, whose fault was reported: its continuation is skipped.
    Fault,
}

#[derive(Debug)]
struct Scanner {
    scan: Scan,
    wanted: Wanted,
    /// Whether the section at hand is not wanted.
    skips: bool,
    /// Lines of the entry being read: offset in the source and text. Blank lines inside a value are kept as empty ones.
    lines: Vec<(usize, String)>,
    continues: Continues,
    indent: usize,
    headless_reported: bool,
}

impl Scanner {
    fn line(&mut self, line: &str, offset: usize) {
        if let Some((kind, at)) = forbidden_character(line) {
            // Read on as if it were an ordinary character, so that no other fault follows from this one.
            self.fault(kind, offset + at..offset + at + 1);
        }
        let comment = comment_start(line);
        let content = line.get(..comment.unwrap_or(line.len())).unwrap_or(line);
        let value = content.trim();
        if value.is_empty() {
            if comment.is_none() && self.continues == Continues::Entry {
                self.lines.push((offset, String::new()));
            }
            return;
        }
        let indent = line.len() - line.trim_start().len();
        let range = offset + indent..offset + indent + value.len();
        let cut = comment.map(|at| offset + at..offset + line.trim_end().len());
        if self.continues != Continues::Nothing && indent > self.indent {
            if self.continues == Continues::Entry {
                self.lines.push((range.start, value.to_owned()));
                self.cut(cut);
            }
            return;
        }
        self.flush();
        self.indent = indent;
        if value.starts_with('[') {
            self.header(value, range);
        } else if self.skips {
            // A deeper line would continue this one, even if it looks like a header.
            self.continues = Continues::Fault;
        } else if self.scan.sections.is_empty() {
            if !self.headless_reported {
                self.fault(ScanFaultKind::NoSection, range);
                self.headless_reported = true;
            }
            self.continues = Continues::Fault;
        } else {
            self.entry(value, range);
            self.cut(cut);
        }
    }

    fn header(&mut self, value: &str, range: Range<usize>) {
        let (name, header) = match value.rfind(']') {
            Some(1) => {
                self.fault(ScanFaultKind::HeaderEmpty, range.start..range.start + 2);
                ("", range.start..range.start + 2)
            }
            Some(close) => (
                value.get(1..close).unwrap_or_default(),
                range.start..range.start + close + 1,
            ),
            // Read on as if it were closed, so that the keys beneath are checked too.
            None => {
                self.fault(ScanFaultKind::HeaderNotClosed, range.clone());
                (value.get(1..).unwrap_or_default(), range)
            }
        };
        self.continues = Continues::Nothing;
        self.skips = !(self.wanted)(name);
        if self.skips {
            return;
        }
        self.scan.canonical.push('[');
        escape(name, &mut self.scan.canonical);
        self.scan.canonical.push_str("]\n");
        self.scan.sections.push(ScannedSection {
            name: name.to_owned(),
            header,
            entries: Vec::new(),
        });
    }

    fn entry(&mut self, text: &str, range: Range<usize>) {
        let Some(delimiter) = text.bytes().position(|byte| matches!(byte, b'=' | b':')) else {
            self.fault(ScanFaultKind::NotAnEntry, range);
            self.continues = Continues::Fault;
            return;
        };
        let key = text.get(..delimiter).unwrap_or_default().trim_end();
        if key.is_empty() {
            self.fault(
                ScanFaultKind::KeyMissing,
                range.start..range.start + delimiter + 1,
            );
            self.continues = Continues::Fault;
            return;
        }
        let rest = text.get(delimiter + 1..).unwrap_or_default();
        let value = rest.trim_start();
        let value_start = if value.is_empty() {
            range.start + delimiter + 1
        } else {
            range.end - value.len()
        };
        if let Some(section) = self.scan.sections.last_mut() {
            section.entries.push(ScannedEntry {
                key: key.to_lowercase(),
                key_range: range.start..range.start + key.len(),
                value: String::new(),
                segments: Vec::new(),
                cuts: Vec::new(),
            });
        }
        self.lines.push((value_start, value.to_owned()));
        self.continues = Continues::Entry;
    }

    fn cut(&mut self, cut: Option<Range<usize>>) {
        if self.continues != Continues::Entry {
            return;
        }
        let entry = self
            .scan
            .sections
            .last_mut()
            .and_then(|section| section.entries.last_mut());
        if let (Some(cut), Some(entry)) = (cut, entry) {
            entry.cuts.push(cut);
        }
    }

    /// Completes the entry whose lines were gathered.
    fn flush(&mut self) {
        let mut lines = std::mem::take(&mut self.lines);
        let used = |(_, line): &(usize, String)| !line.is_empty();
        let end = lines.iter().rposition(used).map_or(1, |last| last + 1);
        lines.truncate(end);
        // An empty first line says only that the value begins on the next one.
        let start = lines.iter().position(used).unwrap_or(0);
        lines.drain(..start);
        let entry = self
            .scan
            .sections
            .last_mut()
            .and_then(|section| section.entries.last_mut());
        let Some(entry) = entry.filter(|_| !lines.is_empty()) else {
            return;
        };
        for (index, (in_source, line)) in lines.into_iter().enumerate() {
            if index > 0 {
                entry.value.push('\n');
            }
            entry.segments.push(Segment {
                in_value: entry.value.len(),
                in_source,
                len: line.len(),
            });
            entry.value.push_str(&line);
        }
        escape(&entry.key, &mut self.scan.canonical);
        self.scan.canonical.push('=');
        escape(&entry.value, &mut self.scan.canonical);
        self.scan.canonical.push('\n');
    }

    fn fault(&mut self, kind: ScanFaultKind, range: Range<usize>) {
        self.scan.faults.push(ScanFault { kind, range });
    }

    fn finish(mut self) -> Scan {
        self.flush();
        self.scan
    }
}

fn forbidden_character(line: &str) -> Option<(ScanFaultKind, usize)> {
    let at = line.bytes().position(|byte| matches!(byte, 0 | b'\r'))?;
    let kind = if line.as_bytes().get(at) == Some(&0) {
        ScanFaultKind::Nul
    } else {
        ScanFaultKind::LoneCarriageReturn
    };
    Some((kind, at))
}

/// Where the comment of `line` begins: at its first character that is not blank, or at a `;` or `#` after white space.
fn comment_start(line: &str) -> Option<usize> {
    if line.trim_start().starts_with([';', '#']) {
        return Some(0);
    }
    if !line.bytes().any(|byte| matches!(byte, b';' | b'#')) {
        return None;
    }
    let mut after_blank = true;
    for (at, character) in line.char_indices() {
        if after_blank && matches!(character, ';' | '#') {
            return Some(at);
        }
        after_blank = character.is_whitespace();
    }
    None
}

/// Appends `text` so that rust-ini with `enabled_escape` reads it back unchanged.
fn escape(text: &str, into: &mut String) {
    for character in text.chars() {
        match character {
            '\\' => into.push_str("\\\\"),
            '\n' => into.push_str("\\n"),
            '\t' => into.push_str("\\t"),
            '\r' => into.push_str("\\r"),
            other => into.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ini::{Ini, ParseOption};
    use proptest::prelude::*;

    type Expected = &'static [(&'static str, &'static [(&'static str, &'static str)])];

    /// Texts and what Python's `RawConfigParser`, set up as Supervisor does, makes of them.
    #[rustfmt::skip]
    const CONFIG_PARSER: &[(&str, Expected)] = &[
        ("[a]\nk=v\n", &[("a", &[("k", "v")])]),
        ("[a]\nk : v\n", &[("a", &[("k", "v")])]),
        ("[a]\ncommand: /bin/a=b\n", &[("a", &[("command", "/bin/a=b")])]),
        ("[a]\ncommand:foo=bar\n", &[("a", &[("command", "foo=bar")])]),
        ("[a]\nK = V\n", &[("a", &[("k", "V")])]),
        ("[a]\nk=\n", &[("a", &[("k", "")])]),
        ("[a]\nk= ; c\n", &[("a", &[("k", "")])]),
        ("[a]\nk=v ; c\n", &[("a", &[("k", "v")])]),
        ("[a]\nk=v # c\n", &[("a", &[("k", "v")])]),
        ("[a]\nk=v;c\n", &[("a", &[("k", "v;c")])]),
        ("[a]\nk=v#c\n", &[("a", &[("k", "v#c")])]),
        ("[a]\nk=v\t;c\n", &[("a", &[("k", "v")])]),
        ("[a]\nk=;c\n", &[("a", &[("k", ";c")])]),
        ("[a]\nk=#c\n", &[("a", &[("k", "#c")])]),
        ("[a]\nk=sh -c \"x ; y\"\n", &[("a", &[("k", "sh -c \"x")])]),
        ("[a]\n; c\n  ; c\n# c\nk=v\n", &[("a", &[("k", "v")])]),
        ("[a]\nk=v\n  w\n", &[("a", &[("k", "v\nw")])]),
        ("[a]\nk=v\n\tw\n", &[("a", &[("k", "v\nw")])]),
        ("[a]\nk=v\n  w ; c\n  x\n", &[("a", &[("k", "v\nw\nx")])]),
        ("[a]\nk=v\n  ; c\n  x\n", &[("a", &[("k", "v\nx")])]),
        ("[a]\nk=v\n\n  x\n", &[("a", &[("k", "v\n\nx")])]),
        ("[a]\nk=v\n\n\nl=w\n", &[("a", &[("k", "v"), ("l", "w")])]),
        ("[a]\nk=v\n  [b]\n", &[("a", &[("k", "v\n[b]")])]),
        ("[a]\nk=v\n  l=w\n", &[("a", &[("k", "v\nl=w")])]),
        ("[a]\n  k=v\n  l=w\n", &[("a", &[("k", "v"), ("l", "w")])]),
        ("[a]\n  k=v\n l=w\n", &[("a", &[("k", "v"), ("l", "w")])]),
        ("  [a]\nk=v\n", &[("a", &[("k", "v")])]),
        ("[a]\n  k=v\n", &[("a", &[("k", "v")])]),
        ("[a]b]\nk=v\n", &[("a]b", &[("k", "v")])]),
        ("[a] tail\nk=v\n", &[("a", &[("k", "v")])]),
        ("[a]\nk=v\n[a]\nl=w\n", &[("a", &[("k", "v"), ("l", "w")])]),
        ("[a]\nk=1\nk=2\n", &[("a", &[("k", "2")])]),
        ("[ a ]\nk=v\n", &[(" a ", &[("k", "v")])]),
        ("[a]\nk=\"v\"\n", &[("a", &[("k", "\"v\"")])]),
        ("[a]\nk=a\\nb\\\n", &[("a", &[("k", "a\\nb\\")])]),
        ("[a]\nk=C:\\new\\x41\n", &[("a", &[("k", "C:\\new\\x41")])]),
        ("[a]\nk=x\\\nl=y\n", &[("a", &[("k", "x\\"), ("l", "y")])]),
        ("[a]\nk\tx = v\n", &[("a", &[("k\tx", "v")])]),
        ("[a]\nk = v  \n", &[("a", &[("k", "v")])]),
        ("[a]\r\nk=v\r\n  w\r\n", &[("a", &[("k", "v\nw")])]),
        ("[a;b]\nk=v\n", &[("a;b", &[("k", "v")])]),
        ("[a]\nk=é ; ü\n", &[("a", &[("k", "é")])]),
        ("[a]\n;k=v\nk;l=v\n", &[("a", &[("k;l", "v")])]),
        ("[a]\nk=v\n  w\n\n  # c\n\n  x\n", &[("a", &[("k", "v\nw\n\n\nx")])]),
        ("[a]\nk v = w : x\n", &[("a", &[("k v", "w : x")])]),
        ("[a]\nk=a ;b #c\n", &[("a", &[("k", "a")])]),
        ("[a]\nk=a;b #c\n", &[("a", &[("k", "a;b")])]),
        ("[a]\nk = %(here)s %% %s\n", &[("a", &[("k", "%(here)s %% %s")])]),
        ("[a]\n[b]\n[c]\nk=v\n", &[("a", &[]), ("b", &[]), ("c", &[("k", "v")])]),
        // Python keeps the line feed before a value that begins on the next line.
        ("[a]\nk=\n  a\n  b\n", &[("a", &[("k", "a\nb")])]),
    ];

    /// Sections merged and keys overridden as `ConfigParser` does, in order of first appearance.
    fn merged(scan: &Scan) -> Vec<(String, Vec<(String, String)>)> {
        let mut sections: Vec<(String, Vec<(String, String)>)> = Vec::new();
        for section in &scan.sections {
            let known = sections.iter().position(|(name, _)| *name == section.name);
            let at = known.unwrap_or_else(|| {
                sections.push((section.name.clone(), Vec::new()));
                sections.len() - 1
            });
            for entry in &section.entries {
                let keys = &mut sections[at].1;
                match keys.iter_mut().find(|(key, _)| *key == entry.key) {
                    Some((_, value)) => value.clone_from(&entry.value),
                    None => keys.push((entry.key.clone(), entry.value.clone())),
                }
            }
        }
        sections
    }

    #[test]
    fn lines_are_read_as_config_parser_reads_them() {
        for (text, expected) in CONFIG_PARSER {
            let scan = scan(text, |_| true);
            assert_eq!(scan.faults, [], "{text:?}");
            let expected: Vec<_> = expected
                .iter()
                .map(|(name, keys)| {
                    let keys = keys
                        .iter()
                        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
                    ((*name).to_owned(), keys.collect::<Vec<_>>())
                })
                .collect();
            assert_eq!(merged(&scan), expected, "{text:?}");
        }
    }

    #[test]
    fn malformed_lines_are_all_found() {
        use ScanFaultKind::{
            HeaderEmpty, HeaderNotClosed, KeyMissing, LoneCarriageReturn, NoSection, NotAnEntry,
            Nul,
        };
        for (text, expected) in [
            ("k=v\nl=w\n[a]\n", vec![(NoSection, 0..3)]),
            ("[a]\njunk\n", vec![(NotAnEntry, 4..8)]),
            ("[a]\njunk\n  more\nk=v\n", vec![(NotAnEntry, 4..8)]),
            (
                "[a]\n  junk\nk\n",
                vec![(NotAnEntry, 6..10), (NotAnEntry, 11..12)],
            ),
            ("[a\nk=v\n", vec![(HeaderNotClosed, 0..2)]),
            ("[a=b\n", vec![(HeaderNotClosed, 0..4)]),
            ("[a ;]\n", vec![(HeaderNotClosed, 0..2)]),
            ("[]\nk=v\n", vec![(HeaderEmpty, 0..2)]),
            ("[a]\n= v\n", vec![(KeyMissing, 4..5)]),
            ("[a]\nk=\0v\n", vec![(Nul, 6..7)]),
            ("[a]\nk=v\rw\n", vec![(LoneCarriageReturn, 7..8)]),
            ("[a]\nk=v\r\n", vec![]),
            ("", vec![]),
        ] {
            let expected: Vec<_> = expected
                .into_iter()
                .map(|(kind, range)| ScanFault { kind, range })
                .collect();
            assert_eq!(scan(text, |_| true).faults, expected, "{text:?}");
        }
    }

    #[test]
    fn comments_that_cut_a_value_are_remembered() {
        let text = "[a]\nk=v ; c\n  w #d  \nl=x\n";
        let scan = scan(text, |_| true);
        let entries = &scan.sections[0].entries;
        let cuts: Vec<_> = entries[0]
            .cuts
            .iter()
            .map(|cut| &text[cut.clone()])
            .collect();
        assert_eq!(cuts, ["; c", "#d"]);
        assert!(entries[1].cuts.is_empty());
    }

    /// Lines of the kinds that matter, and noise.
    fn line() -> impl Strategy<Value = String> {
        prop_oneof![
            "[ \t]{0,3}[a-c]{1,2}[ \t]?[=:][ \t]?[ -~é\\\\;#\"']{0,12}",
            "[ \t]{0,2}\\[[ -~é\\\\]{0,6}\\]?[ -~]{0,3}",
            "[ \t]{0,4}[;#]?[ -~\\\\é\u{a0}\u{2028}]{0,10}",
            "\\PC{0,8}",
            Just(String::new()),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn rust_ini_reads_in_the_canonical_text_what_the_scanner_saw(
            lines in proptest::collection::vec(line(), 0..14),
            end in prop_oneof![Just("\n"), Just("\r\n")],
        ) {
            let text = lines.join(end);
            let scan = scan(&text, |_| true);
            let options = ParseOption {
                enabled_quote: false,
                enabled_escape: true,
                enabled_indented_mutiline_value: false,
                ..ParseOption::default()
            };
            let read = Ini::load_from_str_opt(&scan.canonical, options);
            let read = read.map_err(|error| TestCaseError::fail(format!("{error}: {:?}", scan.canonical)))?;
            let read: Vec<_> = read
                .iter()
                .filter(|(name, _)| name.is_some())
                .map(|(name, keys)| {
                    let keys = keys.iter().map(|(key, value)| (key.to_owned(), value.to_owned()));
                    (name.unwrap_or_default().to_owned(), keys.collect::<Vec<_>>())
                })
                .collect();
            let seen: Vec<_> = scan
                .sections
                .iter()
                .map(|section| {
                    let keys = section.entries.iter();
                    let keys = keys.map(|entry| (entry.key.clone(), entry.value.clone()));
                    (section.name.trim().to_owned(), keys.collect::<Vec<_>>())
                })
                .collect();
            prop_assert_eq!(read, seen);
        }

        #[test]
        fn places_point_at_what_was_read(lines in proptest::collection::vec(line(), 0..14)) {
            let text = lines.join("\n");
            let scan = scan(&text, |_| true);
            for fault in &scan.faults {
                prop_assert!(text.get(fault.range.clone()).is_some());
            }
            for section in &scan.sections {
                prop_assert!(text[section.header.clone()].starts_with('['));
                for entry in &section.entries {
                    prop_assert_eq!(text[entry.key_range.clone()].to_lowercase(), entry.key.as_str());
                    let lines: Vec<_> = entry
                        .segments
                        .iter()
                        .map(|segment| &text[segment.in_source..segment.in_source + segment.len])
                        .collect();
                    prop_assert_eq!(lines.join("\n"), entry.value.as_str());
                }
            }
        }

        #[test]
        fn a_section_is_read_alike_without_the_others(lines in proptest::collection::vec(line(), 0..14)) {
            let text = lines.join("\n");
            let wanted = |name: &str| name.contains('a');
            let all = scan(&text, |_| true).sections.into_iter();
            let expected: Vec<_> = all.filter(|section| wanted(&section.name)).collect();
            prop_assert_eq!(scan(&text, wanted).sections, expected);
        }

        #[test]
        fn any_text_is_scanned(text in any::<String>()) {
            scan(&text, |_| true);
        }
    }
}
