//! Values about what is shown and what is read besides: targets of logs, standard streams, files of variables.

use super::{ChildLog, Piece, child_log, pieces, unknown_word, word};
use crate::config::model::{LineFormat, ShownOn, StandardOutput, Timestamps};
use crate::config::value_type::ValueFault;

/// What a log is written to: at most one file, and standard streams of the daemon. A text is a list only if one of its
/// members names a standard stream, since the path of a file may hold commas.
pub fn log_targets(text: &str) -> Result<(ChildLog, ShownOn), ValueFault> {
    let mut shown = ShownOn::default();
    let members = pieces(text);
    if !members.iter().any(|member| stream(member.text).is_some()) {
        return Ok((child_log(text), shown));
    }
    let mut log = ChildLog::None;
    for member in members {
        match (stream(member.text), child_log(member.text)) {
            (Some(Standard::Output), _) => shown.stdout = true,
            (Some(Standard::Error), _) => shown.stderr = true,
            (None, ChildLog::None) if member.text.is_empty() => {
                return Err(ValueFault::new("a target is missing here").at(member.range));
            }
            (None, ChildLog::None) => {}
            (None, file) if log == ChildLog::None => log = file,
            (None, _) => {
                return Err(ValueFault::new("a second file")
                    .at(member.range)
                    .help("one file, `stdout` and `stderr` can be written at once"));
            }
        }
    }
    Ok((log, shown))
}

enum Standard {
    Output,
    Error,
}

/// The standard stream that a name means.
fn stream(text: &str) -> Option<Standard> {
    match text {
        "/dev/stdout" | "/dev/fd/1" | "/proc/self/fd/1" => Some(Standard::Output),
        "/dev/stderr" | "/dev/fd/2" | "/proc/self/fd/2" => Some(Standard::Error),
        word if word.eq_ignore_ascii_case("stdout") => Some(Standard::Output),
        word if word.eq_ignore_ascii_case("stderr") => Some(Standard::Error),
        _ => None,
    }
}

/// Whose lines the standard output shows.
pub fn standard_output(text: &str) -> Result<StandardOutput, ValueFault> {
    let words = &StandardOutput::WORDS;
    word(text, words)
        .ok_or_else(|| unknown_word(text, "none of the four", words.map(|(name, _)| name)))
}

/// How lines look there.
pub fn line_format(text: &str) -> Result<LineFormat, ValueFault> {
    let words = &LineFormat::WORDS;
    word(text, words)
        .ok_or_else(|| unknown_word(text, "no such format", words.map(|(name, _)| name)))
}

/// The time before them.
pub fn timestamps(text: &str) -> Result<Timestamps, ValueFault> {
    let words = &Timestamps::WORDS;
    word(text, words).ok_or_else(|| unknown_word(text, "no such form", words.map(|(name, _)| name)))
}

/// Files of variables, separated by commas: where each path stands, and whether it may be missing.
pub fn env_files(text: &str) -> Result<Vec<(Piece<'_>, bool)>, ValueFault> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let mut found = pieces(text);
    if found.last().is_some_and(|last| last.text.is_empty()) {
        found.pop();
    }
    found
        .into_iter()
        .map(|piece| {
            let path = piece.text.strip_prefix('-').unwrap_or(piece.text);
            let optional = path.len() < piece.text.len();
            let bare = path.trim_start();
            let start = piece.range.end - bare.len();
            if bare.is_empty() {
                return Err(ValueFault::new("a path is missing here").at(piece.range));
            }
            let range = start..piece.range.end;
            Ok((Piece { text: bare, range }, optional))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_one_file_and_standard_streams() {
        let path = |text: &str| ChildLog::Path(text.to_owned());
        for (text, log, stdout, stderr) in [
            ("AUTO", ChildLog::Auto, false, false),
            ("", ChildLog::None, false, false),
            ("/var/log/a, b.log", path("/var/log/a, b.log"), false, false),
            ("stdout", ChildLog::None, true, false),
            ("/dev/stdout", ChildLog::None, true, false),
            ("/dev/fd/1", ChildLog::None, true, false),
            ("/dev/stderr", ChildLog::None, false, true),
            ("STDERR", ChildLog::None, false, true),
            ("/a.log, stdout", path("/a.log"), true, false),
            ("stdout,AUTO , stderr", ChildLog::Auto, true, true),
            ("stdout, NONE", ChildLog::None, true, false),
            ("/dev/stdout2", path("/dev/stdout2"), false, false),
        ] {
            let expected = (log, ShownOn { stdout, stderr });
            assert_eq!(log_targets(text), Ok(expected), "{text:?}");
        }
        for (text, range) in [("/a, stdout, /b", 12..14), ("stdout,", 7..7)] {
            assert_eq!(
                log_targets(text).unwrap_err().range,
                Some(range),
                "{text:?}"
            );
        }
    }

    #[test]
    fn files_of_variables_may_be_optional() {
        let read = |text: &str| {
            env_files(text).map(|files| {
                let file = |(piece, optional): (Piece<'_>, bool)| {
                    (piece.text.to_owned(), piece.range, optional)
                };
                files.into_iter().map(file).collect::<Vec<_>>()
            })
        };
        assert_eq!(read(""), Ok(vec![]));
        assert_eq!(
            read("/a, - b,-c,"),
            Ok(vec![
                ("/a".to_owned(), 0..2, false),
                ("b".to_owned(), 6..7, true),
                ("c".to_owned(), 9..10, true)
            ])
        );
        for (text, range) in [("/a,,/b", 3..3), ("-", 0..1), ("/a, -", 4..5)] {
            assert_eq!(read(text).unwrap_err().range, Some(range), "{text:?}");
        }
    }
}
