//! The texts that were read, and places in them.
//!
//! A [`Span`] is two numbers and a file's index: cheap to copy and meaningless without its [`Sources`]. Line and column
//! are computed only when a message is painted.

use std::ops::Range;
use std::path::{Path, PathBuf};

/// A stretch of bytes in one of the files of a [`Sources`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// Index of the file.
    pub file: usize,
    /// First byte.
    pub start: usize,
    /// Byte after the last one; equal to `start` for a place between two characters.
    pub end: usize,
}

impl Span {
    /// The stretch `range` of the file with index `file`.
    pub fn new(file: usize, range: Range<usize>) -> Self {
        Self {
            file,
            start: range.start,
            end: range.end,
        }
    }
}

/// One text that was read.
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// The path as the user would write it; `command line` for the values of flags.
    pub path: PathBuf,
    /// The text, without a byte order mark.
    pub text: String,
    line_starts: Vec<usize>,
}

/// Every text that was read for one configuration, the main file first.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    files: Vec<SourceFile>,
}

/// A place as people count: lines and columns from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location<'a> {
    /// The file.
    pub path: &'a Path,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl Sources {
    /// Adds a text and returns its index.
    pub fn add(&mut self, path: PathBuf, text: String) -> usize {
        let line_starts = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        self.files.push(SourceFile {
            path,
            text,
            line_starts,
        });
        self.files.len() - 1
    }

    /// The file with this index.
    pub fn file(&self, index: usize) -> Option<&SourceFile> {
        self.files.get(index)
    }

    /// Every file, in the order they were read.
    pub fn files(&self) -> impl Iterator<Item = &SourceFile> {
        self.files.iter()
    }

    /// Where `span` begins.
    pub fn location(&self, span: Span) -> Option<Location<'_>> {
        self.place(span.file, span.start)
    }

    /// Where `span` ends: the column after its last character.
    pub fn end_location(&self, span: Span) -> Option<Location<'_>> {
        self.place(span.file, span.end)
    }

    /// The line in which `span` begins, without its line end.
    pub fn line_text(&self, span: Span) -> Option<&str> {
        let file = self.file(span.file)?;
        let start = *file.line_starts.get(file.line_index(span.start))?;
        file.text.get(start..)?.lines().next().or(Some(""))
    }

    /// The whole lines of one file that hold the bytes from `start` to `end`: the number of the first, where it begins in
    /// the file, and the text. A painter that sees only these lines is quick however long the file is.
    pub fn window(&self, file: usize, start: usize, end: usize) -> Option<(usize, usize, &str)> {
        let file = self.file(file)?;
        let first = file.line_index(start);
        let from = *file.line_starts.get(first)?;
        let next = file.line_starts.get(file.line_index(end) + 1);
        let to = next.copied().unwrap_or(file.text.len());
        Some((first + 1, from, file.text.get(from..to)?))
    }

    fn place(&self, file: usize, offset: usize) -> Option<Location<'_>> {
        let file = self.file(file)?;
        let offset = offset.min(file.text.len());
        let index = file.line_index(offset);
        let start = *file.line_starts.get(index)?;
        let column = file.text.get(start..offset)?.chars().count() + 1;
        Some(Location {
            path: &file.path,
            line: index + 1,
            column,
        })
    }
}

impl SourceFile {
    fn line_index(&self, offset: usize) -> usize {
        self.line_starts
            .partition_point(|&start| start <= offset)
            .saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_characters_from_one() {
        let mut sources = Sources::default();
        let file = sources.add(PathBuf::from("a.ini"), "[é]\nkey=wért\n".into());
        for (range, line, column, text) in [
            (0..1, 1, 1, "[é]"),
            (3..4, 1, 3, "[é]"),
            (5..8, 2, 1, "key=wért"),
            (12..13, 2, 7, "key=wért"),
            (15..15, 3, 1, ""),
            (99..99, 3, 1, ""),
        ] {
            let span = Span::new(file, range.clone());
            let place = sources.location(span).unwrap();
            assert_eq!((place.line, place.column), (line, column), "{range:?}");
            assert_eq!(sources.line_text(span), Some(text), "{range:?}");
        }
        assert!(sources.location(Span::new(7, 0..1)).is_none());
        assert_eq!(sources.window(file, 6, 9), Some((2, 5, "key=wért\n")));
        assert_eq!(sources.window(file, 1, 6), Some((1, 0, "[é]\nkey=wért\n")));
        assert_eq!(sources.window(file, 15, 15), Some((3, 15, "")));
    }
}
