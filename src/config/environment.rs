//! The grammar of `environment=`: `NAME=value,NAME="value",…`.
//!
//! A value without quotes reaches to the next comma; quoted parts follow the POSIX rules of [`super::words`], and adjacent
//! parts join. Supervisor's reader cut many unquoted values short in silence (`A=$HOME` gave `$`); those are
//! read whole here, and reported as [`Doubt`]s, because a file that was written for Supervisor changes its meaning.

use super::words::{Cursor, WordsError};
use std::collections::BTreeMap;
use std::ops::Range;

/// The variables of one list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct List {
    /// The variables; the last of a name counts.
    pub variables: BTreeMap<String, String>,
    /// What is accepted, but may not mean what the writer thought.
    pub doubts: Vec<Doubt>,
}

/// A place that is accepted with a doubt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// The place.
    pub range: Range<usize>,
    /// The doubt.
    pub kind: DoubtKind,
}

/// What may not mean what the writer thought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DoubtKind {
    /// Supervisor would have read only this much of an unquoted value.
    Truncated {
        /// What Supervisor would have read.
        kept: String,
    },
    /// The name was given before.
    Repeated {
        /// The name.
        name: String,
        /// Where it was given first.
        first: Range<usize>,
    },
    /// A separator that is not a comma.
    Separator,
}

/// Why a list is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// A quote or a backslash is unfinished.
    #[error(transparent)]
    Quoting(#[from] WordsError),
    /// Something else stands where a name should.
    #[error("expected the name of a variable")]
    NameExpected {
        /// Where.
        range: Range<usize>,
    },
    /// A character that a name cannot hold.
    #[error("a name cannot hold {character:?}")]
    NameCharacter {
        /// The character.
        character: char,
        /// Where.
        range: Range<usize>,
    },
    /// A name without `=`.
    #[error("expected `=` and a value after {name}")]
    EqualsExpected {
        /// The name.
        name: String,
        /// Where.
        range: Range<usize>,
    },
    /// `NAME=` and nothing behind it.
    #[error("{name} has no value")]
    ValueMissing {
        /// The name.
        name: String,
        /// Where.
        range: Range<usize>,
    },
    /// Two variables without a comma between them, or text behind a quoted value.
    #[error("expected a comma here")]
    CommaExpected {
        /// Where.
        range: Range<usize>,
    },
}

impl ListError {
    /// Where the fault is.
    pub fn range(&self) -> Range<usize> {
        match self {
            Self::Quoting(error) => error.at()..error.at() + 1,
            Self::NameExpected { range }
            | Self::NameCharacter { range, .. }
            | Self::EqualsExpected { range, .. }
            | Self::ValueMissing { range, .. }
            | Self::CommaExpected { range } => range.clone(),
        }
    }
}

/// Reads a list.
pub fn parse(text: &str) -> Result<List, ListError> {
    let mut list = List::default();
    let mut places: BTreeMap<String, Range<usize>> = BTreeMap::new();
    let mut cursor = Cursor::new(text, 0);
    loop {
        cursor.skip_while(char::is_whitespace);
        if cursor.peek().is_none() {
            return Ok(list);
        }
        let (name, range) = name(text, &mut cursor)?;
        let value = value(text, &mut cursor, &name, &range, &mut list.doubts)?;
        if let Some(first) = places.insert(name.clone(), range.clone()) {
            list.doubts.push(Doubt {
                range,
                kind: DoubtKind::Repeated {
                    name: name.clone(),
                    first,
                },
            });
        }
        list.variables.insert(name, value);
    }
}

fn is_name_character(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '.' | '-' | '/' | '+' | '(' | ')')
}

fn name(text: &str, cursor: &mut Cursor<'_>) -> Result<(String, Range<usize>), ListError> {
    let start = cursor.offset();
    cursor.skip_while(is_name_character);
    let end = cursor.offset();
    let name = text.get(start..end).unwrap_or_default().to_owned();
    cursor.skip_while(char::is_whitespace);
    let at = cursor.offset();
    match cursor.peek() {
        Some('=' | ',') if name.is_empty() => Err(ListError::NameExpected { range: at..at + 1 }),
        Some('=') => {
            cursor.next();
            Ok((name, start..end))
        }
        None | Some(',') => Err(ListError::EqualsExpected {
            name,
            range: start..end,
        }),
        Some(character) if at == end => Err(ListError::NameCharacter {
            character,
            range: at..at + character.len_utf8(),
        }),
        Some(_) => Err(ListError::EqualsExpected {
            name,
            range: start..end,
        }),
    }
}

fn value(
    text: &str,
    cursor: &mut Cursor<'_>,
    name: &str,
    name_range: &Range<usize>,
    doubts: &mut Vec<Doubt>,
) -> Result<String, ListError> {
    cursor.skip_while(|character| character.is_whitespace() && character != '\n');
    let start = cursor.offset();
    let quoted = matches!(cursor.peek(), Some('"' | '\''));
    let mut value = String::new();
    while let Some(character) = cursor.peek() {
        if character == ',' || character == '\n' || (quoted && is_separator(character)) {
            break;
        }
        cursor.piece(&mut value)?;
    }
    let end = cursor.offset();
    let raw = text.get(start..end).unwrap_or_default();
    if raw.trim().is_empty() {
        return Err(ListError::ValueMissing {
            name: name.to_owned(),
            range: name_range.start..end.max(name_range.end),
        });
    }
    if !quoted {
        value.truncate(value.trim_end().len());
        check_unquoted(raw.trim_end(), start, doubts)?;
    }
    separator(text, cursor, doubts)?;
    Ok(value)
}

fn is_separator(character: char) -> bool {
    character.is_whitespace() || character == ';'
}

/// Consumes what stands between two variables.
fn separator(
    text: &str,
    cursor: &mut Cursor<'_>,
    doubts: &mut Vec<Doubt>,
) -> Result<(), ListError> {
    let mut lines = 0;
    let end = cursor.offset();
    cursor.skip_while(|character| {
        lines += usize::from(character == '\n');
        character.is_whitespace()
    });
    let at = cursor.offset();
    match cursor.peek() {
        None => Ok(()),
        Some(',') => {
            cursor.next();
            Ok(())
        }
        Some(';') => {
            cursor.next();
            doubts.push(Doubt {
                range: at..at + 1,
                kind: DoubtKind::Separator,
            });
            Ok(())
        }
        Some(_) if lines > 0 => {
            let before = text.get(..end).unwrap_or_default();
            let last = before.chars().next_back().map_or(0, char::len_utf8);
            Err(ListError::CommaExpected {
                range: end - last..end,
            })
        }
        Some(character) => Err(ListError::CommaExpected {
            range: at..at + character.len_utf8(),
        }),
    }
}

/// An unquoted value: two variables with the comma forgotten are an error, what Supervisor cut short is a doubt.
fn check_unquoted(raw: &str, start: usize, doubts: &mut Vec<Doubt>) -> Result<(), ListError> {
    if let Some(at) = forgotten_comma(raw) {
        return Err(ListError::CommaExpected {
            range: start + at..start + at + 1,
        });
    }
    let kept: &str = match raw.find(|character: char| !is_word_character(character)) {
        // The reader took a character that is in no word as a word of its own.
        Some(0) => raw
            .chars()
            .next()
            .map_or("", |first| raw.get(..first.len_utf8()).unwrap_or_default()),
        Some(at) => raw.get(..at).unwrap_or_default(),
        None => raw,
    };
    if kept.len() < raw.len() && !raw.contains(['"', '\'', '\\']) {
        doubts.push(Doubt {
            range: start..start + raw.len(),
            kind: DoubtKind::Truncated {
                kept: kept.to_owned(),
            },
        });
    }
    Ok(())
}

/// Characters of a word for Supervisor's reader.
fn is_word_character(character: char) -> bool {
    is_name_character(character) || character == ':'
}

/// Where white space is followed by `NAME=`.
fn forgotten_comma(raw: &str) -> Option<usize> {
    let mut start = 0;
    while let Some(blank) = raw
        .get(start..)?
        .find(|character: char| character.is_whitespace())
    {
        let at = start + blank;
        let rest = raw.get(at..)?.trim_start();
        let name = rest.find(|character: char| !is_name_character(character));
        if let Some(end) = name
            && end > 0
            && rest.get(end..)?.starts_with('=')
        {
            return Some(at);
        }
        start = raw.len() - rest.len();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(String, String)>, ListError> {
        parse(text).map(|list| list.variables.into_iter().collect())
    }

    #[test]
    fn lists_that_supervisor_reads_are_read_alike() {
        for (text, expected) in [
            ("", vec![]),
            (r#"A="1",B='2'"#, vec![("A", "1"), ("B", "2")]),
            ("A=1,B=2", vec![("A", "1"), ("B", "2")]),
            ("A=1,\nB=2", vec![("A", "1"), ("B", "2")]),
            ("A=1,B=2,", vec![("A", "1"), ("B", "2")]),
            (r#"A="a,b c;d%""#, vec![("A", "a,b c;d%")]),
            (r#"A="""#, vec![("A", "")]),
            ("A=1 , B = 2", vec![("A", "1"), ("B", "2")]),
            (r#"A="it's""#, vec![("A", "it's")]),
            (r#"A="say \"hi\"""#, vec![("A", r#"say "hi""#)]),
            (r"A=back\slash", vec![("A", "backslash")]),
            ("A='it''s'", vec![("A", "its")]),
            (r#"A="x"y"#, vec![("A", "xy")]),
            ("A=/usr/bin:/bin", vec![("A", "/usr/bin:/bin")]),
            ("A=1,A=2", vec![("A", "2")]),
            ("A=\"two\nlines\"", vec![("A", "two\nlines")]),
            (r#"A="1";B="2""#, vec![("A", "1"), ("B", "2")]),
        ] {
            let expected: Vec<_> = expected
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect();
            assert_eq!(read(text), Ok(expected), "{text:?}");
        }
    }

    #[test]
    fn what_supervisor_cut_short_is_read_whole_with_a_doubt() {
        for (text, value, kept) in [
            ("A=a b", "a b", "a"),
            ("A=x#y", "x#y", "x"),
            ("A=$HOME", "$HOME", "$"),
            ("A=~/x", "~/x", "~"),
            ("A=http://h:1/p?q=1", "http://h:1/p?q=1", "http://h:1/p"),
            ("A=x@y", "x@y", "x"),
        ] {
            let list = parse(text).unwrap();
            assert_eq!(list.variables["A"], value, "{text:?}");
            assert_eq!(
                list.doubts,
                [Doubt {
                    range: 2..text.len(),
                    kind: DoubtKind::Truncated { kept: kept.into() }
                }],
                "{text:?}"
            );
        }
        assert_eq!(
            parse("A=1,A=2").unwrap().doubts[0].kind,
            DoubtKind::Repeated {
                name: "A".into(),
                first: 0..1
            }
        );
        assert_eq!(
            parse("A='1';B=2").unwrap().doubts[0],
            Doubt {
                range: 5..6,
                kind: DoubtKind::Separator
            }
        );
    }

    #[test]
    fn everything_else_is_refused_at_its_place() {
        for (text, range, message) in [
            ("A", 0..1, "expected `=` and a value after A"),
            ("A=", 0..2, "A has no value"),
            ("A=,B=2", 0..2, "A has no value"),
            ("=1", 0..1, "expected the name of a variable"),
            ("A=1,,B=2", 4..5, "expected the name of a variable"),
            (",", 0..1, "expected the name of a variable"),
            ("A=1 B=2", 3..4, "expected a comma here"),
            (r#"A="1" B="2""#, 6..7, "expected a comma here"),
            ("A=1\nB=2", 2..3, "expected a comma here"),
            ("A=\"unclosed", 2..3, "this \" is never closed"),
            ("A=b\\", 3..4, "nothing follows this backslash"),
            ("A B=1", 0..1, "expected `=` and a value after A"),
            ("A$=1", 1..2, "a name cannot hold '$'"),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.range(), range, "{text:?}");
            assert_eq!(error.to_string(), message, "{text:?}");
        }
    }
}
