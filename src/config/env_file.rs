//! The files of variables that `env_file` names: what they may hold, and where they are wrong.
//!
//! A file is UTF-8 text of at most 1 MiB. Each line is blank, a comment (`#` after nothing but blanks), or
//! `NAME=VALUE`, perhaps after the word `export`. Nothing is expanded and no shell runs: `$` stands for itself.
//!
//! - A name consists of letters, digits, `_`, `.` and `-` and does not begin with a digit. Blanks around `=` are skipped.
//! - A value without quotes reaches to the end of its line, less the blanks there. A `#` after a blank begins a comment.
//!   Quotes and backslashes within it stand for themselves.
//! - `'…'` is literal and may go on over lines.
//! - `"…"` may go on over lines, too. In it `\n`, `\r` and `\t` stand for the control characters, `\\`, `\"`, `\$` and
//!   `` \` `` for the second character, and a backslash at the end of a line joins it with the next one; any other
//!   backslash stands for itself.
//! - Behind a closing quote nothing may stand but blanks and a comment.
//! - Lines end in a line feed, or in a carriage return and a line feed. The last assignment of a name counts.
//!
//! Values are secrets: nothing in here shows one, and a fault tells only where it is and what was expected.

use super::host::{ReadError, read_regular};
use super::model::EnvFile;
use std::fmt;
use std::io;
use std::path::Path;

/// A variable of a file.
#[derive(Clone, PartialEq, Eq)]
pub struct Assignment {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// The line it begins in, from 1.
    pub line: u32,
}

impl fmt::Debug for Assignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} of line {}>", self.name, self.line)
    }
}

/// Where a file is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: {kind}")]
pub struct Fault {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// What is wrong there.
    pub kind: FaultKind,
}

/// What is wrong with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FaultKind {
    /// A byte that is no part of UTF-8 text.
    #[error("this is not UTF-8 text")]
    NotUtf8,
    /// A NUL, which no variable can hold.
    #[error("a NUL byte stands here")]
    Nul,
    /// Something else stands where a name should.
    #[error("expected the name of a variable")]
    NameExpected,
    /// A character that a name cannot hold.
    #[error("a name cannot hold {0:?}")]
    NameCharacter(char),
    /// A name without `=`.
    #[error("expected `=` after the name")]
    EqualsExpected,
    /// A quote that is never closed.
    #[error("this {0} is never closed")]
    Unclosed(char),
    /// Text behind a closing quote.
    #[error("only a comment may follow the closing quote")]
    AfterQuote,
}

/// Why the variables of a file cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum EnvFileError {
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(#[from] ReadError),
    /// It is malformed.
    #[error(transparent)]
    Malformed(#[from] Fault),
}

impl EnvFileError {
    /// Whether there is no such file, which an optional one may well be.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Unreadable(ReadError::Io(error))
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory))
    }
}

/// The fault of a file in one line: `cannot read PATH: REASON`, or `PATH:LINE:COLUMN: FAULT`.
pub fn describe(path: &Path, error: &EnvFileError) -> String {
    let shown = path.display();
    match error {
        EnvFileError::Unreadable(error) => format!("cannot read {shown}: {error}"),
        EnvFileError::Malformed(fault) => format!("{shown}:{fault}"),
    }
}

/// Reads a file as it is now. Never blocks on what is not a regular file.
pub fn read(file: &EnvFile) -> Result<Vec<Assignment>, EnvFileError> {
    let content = read_regular(&file.path)?;
    Ok(parse(&content.bytes)?)
}

/// Takes the content of a file apart.
pub fn parse(bytes: &[u8]) -> Result<Vec<Assignment>, Fault> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let valid = String::from_utf8_lossy(valid);
            return Err(fault(&valid, valid.len(), FaultKind::NotUtf8));
        }
    };
    if let Some(at) = text.find('\0') {
        return Err(fault(text, at, FaultKind::Nul));
    }
    let mut reader = Reader { text, at: 0 };
    let mut found = Vec::new();
    while reader.at < text.len() {
        if let Some(assignment) = reader.line()? {
            found.push(assignment);
        }
    }
    Ok(found)
}

/// The fault at an offset, counted as people do.
fn fault(text: &str, at: usize, kind: FaultKind) -> Fault {
    let before = text.get(..at).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Fault {
        line: line_of(text, at),
        column: count(before.get(start..).unwrap_or_default().chars().count()).saturating_add(1),
        kind,
    }
}

fn line_of(text: &str, at: usize) -> u32 {
    let before = text.as_bytes().get(..at).unwrap_or_default();
    let lines = before.split(|byte| *byte == b'\n').count();
    u32::try_from(lines).unwrap_or(u32::MAX)
}

fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t')
}

fn is_name_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '.' | '-')
}

/// Walks over the text; `at` is always the border of a character.
struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn skip_while(&mut self, skip: impl Fn(char) -> bool) {
        let rest = self.rest();
        let length = rest
            .find(|character| !skip(character))
            .unwrap_or(rest.len());
        self.at += length;
    }

    fn fault(&self, at: usize, kind: FaultKind) -> Fault {
        fault(self.text, at, kind)
    }

    /// What is left of the line, without its end.
    fn rest_of_line(&self) -> &str {
        let rest = self.rest();
        let line = rest.split('\n').next().unwrap_or_default();
        line.strip_suffix('\r').unwrap_or(line)
    }

    fn skip_line(&mut self) {
        let rest = self.rest();
        self.at += rest.find('\n').map_or(rest.len(), |newline| newline + 1);
    }

    /// One line, or several when its value goes on; `None` when it assigns nothing.
    fn line(&mut self) -> Result<Option<Assignment>, Fault> {
        self.skip_while(is_blank);
        let line = self.rest_of_line();
        if line.is_empty() || line.starts_with('#') {
            self.skip_line();
            return Ok(None);
        }
        if let Some(rest) = line.strip_prefix("export")
            && rest.starts_with(is_blank)
            && !rest.trim_start_matches(is_blank).starts_with('=')
        {
            self.at += "export".len();
            self.skip_while(is_blank);
        }
        let number = line_of(self.text, self.at);
        let name = self.name()?;
        let value = self.value()?;
        self.skip_line();
        Ok(Some(Assignment {
            name,
            value,
            line: number,
        }))
    }

    /// A name and the `=` behind it.
    fn name(&mut self) -> Result<String, Fault> {
        let start = self.at;
        self.skip_while(is_name_character);
        let name = self.text.get(start..self.at).unwrap_or_default().to_owned();
        if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) {
            return Err(self.fault(start, FaultKind::NameExpected));
        }
        let end = self.at;
        self.skip_while(is_blank);
        match self.peek() {
            Some('=') => {
                self.at += 1;
                self.skip_while(is_blank);
                Ok(name)
            }
            Some(character) if self.at == end && !matches!(character, '\n' | '\r' | '#') => {
                Err(self.fault(end, FaultKind::NameCharacter(character)))
            }
            Some(_) | None => Err(self.fault(end, FaultKind::EqualsExpected)),
        }
    }

    fn value(&mut self) -> Result<String, Fault> {
        match self.peek() {
            Some(quote @ ('\'' | '"')) => {
                let value = self.quoted(quote)?;
                let behind = self.rest_of_line();
                let bare = behind.trim_start_matches(is_blank);
                if bare.is_empty() || (bare.starts_with('#') && bare.len() < behind.len()) {
                    Ok(value)
                } else {
                    let at = self.at + behind.len() - bare.len();
                    Err(self.fault(at, FaultKind::AfterQuote))
                }
            }
            Some(_) | None => Ok(unquoted(self.rest_of_line()).to_owned()),
        }
    }

    /// A quoted value, from its opening quote to behind the closing one.
    fn quoted(&mut self, quote: char) -> Result<String, Fault> {
        let unclosed = self.fault(self.at, FaultKind::Unclosed(quote));
        let mut value = String::new();
        let mut characters = self.rest().char_indices().skip(1).peekable();
        let mut end = None;
        while let Some((at, character)) = characters.next() {
            let next = characters.peek().map(|(_, next)| *next);
            match (character, next) {
                (closing, _) if closing == quote => {
                    end = Some(at + 1);
                    break;
                }
                // Half of the end of a line.
                ('\r', Some('\n')) => {}
                ('\\', Some(escaped)) if quote == '"' => match escape(escaped) {
                    Escape::Character(meant) => {
                        value.push(meant);
                        characters.next();
                    }
                    Escape::Joins => {
                        while let Some((_, '\r')) = characters.peek() {
                            characters.next();
                        }
                        characters.next_if(|(_, next)| *next == '\n');
                    }
                    Escape::None => value.push('\\'),
                },
                (character, _) => value.push(character),
            }
        }
        match end {
            Some(length) => {
                self.at += length;
                Ok(value)
            }
            None => Err(unclosed),
        }
    }
}

/// What a backslash within double quotes makes of the next character.
enum Escape {
    /// Both stand for this one.
    Character(char),
    /// Both stand for nothing: the lines are joined.
    Joins,
    /// The backslash stands for itself.
    None,
}

fn escape(next: char) -> Escape {
    match next {
        'n' => Escape::Character('\n'),
        'r' => Escape::Character('\r'),
        't' => Escape::Character('\t'),
        '\\' | '"' | '$' | '`' => Escape::Character(next),
        '\n' | '\r' => Escape::Joins,
        _ => Escape::None,
    }
}

/// A value without quotes: what stands before the comment, without the blanks at its end.
fn unquoted(line: &str) -> &str {
    let comment = line
        .char_indices()
        .zip(std::iter::once(' ').chain(line.chars()))
        .find(|&((_, character), before)| character == '#' && is_blank(before))
        .map_or(line.len(), |((at, _), _)| at);
    line.get(..comment)
        .unwrap_or(line)
        .trim_end_matches(is_blank)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        parse(text.as_bytes())
            .unwrap_or_else(|fault| panic!("{text:?}: {fault}"))
            .into_iter()
            .map(|found| (found.name, found.value))
            .collect()
    }

    #[test]
    fn values_are_read_as_the_manual_says() {
        for (text, value) in [
            ("A=1", "1"),
            ("A=", ""),
            ("A=\n", ""),
            ("A=1\r\n", "1"),
            ("\u{feff}A=1", "1"),
            ("  A = 1 \t", "1"),
            ("export A=1", "1"),
            ("export\t A=1", "1"),
            ("A=two words", "two words"),
            ("A=1 # one", "1"),
            ("A=1\t#one", "1"),
            ("A=#all", ""),
            ("A=x#y", "x#y"),
            ("A=http://h/#frag", "http://h/#frag"),
            ("A=$HOME/${X}", "$HOME/${X}"),
            ("A=C:\\dir\\new", "C:\\dir\\new"),
            ("A=-Dx=\"a b\"", "-Dx=\"a b\""),
            ("A=it's", "it's"),
            ("A=é", "é"),
            ("A='$x \\n \"#'", "$x \\n \"#"),
            ("A='two\nlines'", "two\nlines"),
            ("A='two\r\nlines'\r\n", "two\nlines"),
            ("A=\"a b\" # comment", "a b"),
            ("A=\"\"", ""),
            ("A=\"\\\"\\\\\\$\\`\\n\\r\\t\"", "\"\\$`\n\r\t"),
            ("A=\"\\d \\' $x\"", "\\d \\' $x"),
            ("A=\"one \\\ntwo\"", "one two"),
            ("A=\"one \\\r\ntwo\"", "one two"),
            ("A=\"it's # here\"", "it's # here"),
            ("A=\"two\nlines\"", "two\nlines"),
        ] {
            assert_eq!(
                pairs(text),
                [("A".to_owned(), value.to_owned())],
                "{text:?}"
            );
        }
    }

    #[test]
    fn lines_that_assign_nothing_are_skipped_and_places_are_kept() {
        let text = "# head\n\n   \t\n \t# more\r\nA=1\nexport=2\nB='x\ny'\nA.b-c=3\n";
        let found = parse(text.as_bytes()).unwrap();
        let places: Vec<(&str, u32)> = found
            .iter()
            .map(|found| (found.name.as_str(), found.line))
            .collect();
        assert_eq!(places, [("A", 5), ("export", 6), ("B", 7), ("A.b-c", 9)]);
        assert!(parse(b"").unwrap().is_empty());
        assert!(parse(b"\r\n\r\n").unwrap().is_empty());
    }

    #[test]
    fn a_fault_is_told_with_its_place_and_without_a_value() {
        for (text, told) in [
            (&b"A"[..], "1:2: expected `=` after the name"),
            (b"A=1\nB", "2:2: expected `=` after the name"),
            (b"A B=1", "1:2: expected `=` after the name"),
            (b"export A\n", "1:9: expected `=` after the name"),
            (b"export\n", "1:7: expected `=` after the name"),
            (b"=1", "1:1: expected the name of a variable"),
            (b"  1A=1", "1:3: expected the name of a variable"),
            (b"; x", "1:1: expected the name of a variable"),
            (b"A$=1", "1:2: a name cannot hold '$'"),
            (b"\xc3\xa9=1", "1:1: expected the name of a variable"),
            (b"A=1\n B=\"x\ny\n", "2:4: this \" is never closed"),
            (b"A='x\"", "1:3: this ' is never closed"),
            (b"A=\"x\\\"", "1:3: this \" is never closed"),
            (
                b"A=\"\xc3\xa9\"y",
                "1:6: only a comment may follow the closing quote",
            ),
            (
                b"A='x' y",
                "1:7: only a comment may follow the closing quote",
            ),
            (
                b"A='x'#y",
                "1:6: only a comment may follow the closing quote",
            ),
            (b"A=1\nB=\xc3\xa9\xff", "2:4: this is not UTF-8 text"),
            (b"A=1\nB=x\0y", "2:4: a NUL byte stands here"),
        ] {
            let fault = parse(text).unwrap_err();
            let shown = String::from_utf8_lossy(text);
            assert_eq!(fault.to_string(), told, "{shown:?}");
        }
    }

    #[test]
    fn a_value_is_never_shown() {
        let found = parse(b"KEY=hunter2").unwrap();
        assert_eq!(format!("{found:?}"), "[<KEY of line 1>]");
    }
}
