//! How a value of each type is read.
//!
//! Each refusal says what is wrong at which place of the value, so that the caller can put a caret under it. Nothing here
//! asks the machine: whether an account or a directory exists is the loader's question.

mod choices;
mod lists;

pub use choices::{autorestart, edit_mode, exit_when, log_level, on_orphans, payload_length};
pub use lists::{env_files, line_format, log_targets, standard_output, timestamps};

use super::environment::{self, ListError};
use super::suggest;
use super::value_type::ValueFault;
use super::words::{self, Word, WordsError};
use crate::types::{
    ByteSize, ByteSizeError, EventType, NameError, ProcessName, ProgramName, Signal,
};
use std::borrow::Cow;
use std::ops::Range;

/// Largest size: what a file offset can hold.
pub const SIZE_MAX: u64 = i64::MAX as u64;
/// Largest permission bits.
pub const MODE_MAX: u32 = 0o777;
/// Longest path of a socket, in bytes: the kernel's `sun_path` without its NUL.
pub const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Any text but the empty one.
pub fn filled(text: &str) -> Result<String, ValueFault> {
    if text.is_empty() {
        return Err(empty());
    }
    Ok(text.to_owned())
}

/// The name of a process, by the rules of a program's name: a `:` that came out of a variable would be read as a group's.
pub fn process_name(text: &str) -> Result<ProcessName, ValueFault> {
    let checked = ProgramName::new(text).and_then(|name| ProcessName::new(name.as_str()));
    checked.map_err(|error| match error {
        NameError::Empty => empty(),
        NameError::TooLong => ValueFault::new(error.to_string()),
        NameError::Character { character, .. } => {
            let at = text.find(character).unwrap_or_default();
            ValueFault::new(format!("the character {character:?} is not allowed"))
                .at(at..at + character.len_utf8())
        }
    })
}

/// `true/yes/on/1`, `false/no/off/0`, in any case.
pub fn boolean(text: &str) -> Result<bool, ValueFault> {
    const WORDS: [(&str, bool); 8] = [
        ("true", true),
        ("false", false),
        ("yes", true),
        ("no", false),
        ("on", true),
        ("off", false),
        ("1", true),
        ("0", false),
    ];
    word(text, &WORDS)
        .ok_or_else(|| unknown_word(text, "neither true nor false", WORDS.map(|(name, _)| name)))
}

/// A whole number within bounds.
pub fn integer(text: &str, min: i64, max: i64) -> Result<i64, ValueFault> {
    if text.is_empty() {
        return Err(empty());
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let malformed = digits
        .split('_')
        .any(|group| group.is_empty() || !group.bytes().all(|byte| byte.is_ascii_digit()));
    if malformed {
        return Err(ValueFault::new(format!(
            "`{}` is not a whole number",
            shown(text)
        )));
    }
    let plain = if digits.contains('_') {
        Cow::Owned(text.replace('_', ""))
    } else {
        Cow::Borrowed(text)
    };
    match plain.parse::<i64>() {
        Ok(number) if number < min => Err(ValueFault::new(format!("less than {min}"))),
        Ok(number) if number <= max => Ok(number),
        Err(_) if text.starts_with('-') => Err(ValueFault::new(format!("less than {min}"))),
        Ok(_) | Err(_) => Err(ValueFault::new(format!("more than {max}"))),
    }
}

/// A count of bytes.
pub fn size(text: &str) -> Result<ByteSize, ValueFault> {
    if text.is_empty() {
        return Err(empty());
    }
    let too_large = || ValueFault::new("larger than any file can be");
    match text.parse::<ByteSize>() {
        Ok(size) if size.0 <= SIZE_MAX => Ok(size),
        Ok(_) | Err(ByteSizeError::TooLarge) => Err(too_large()),
        Err(ByteSizeError::Format) => {
            let fault = ValueFault::new(format!("`{}` is not a size", shown(text)));
            let upper = text.to_ascii_uppercase();
            let unit = upper.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
            Err(match unit {
                "K" | "M" | "G" if upper.len() > 1 => {
                    let meant = format!("{upper}B");
                    fault
                        .help("the units are KB, MB and GB")
                        .meant(Some(&meant))
                }
                _ if text.starts_with('-') => fault.help("a size cannot be negative"),
                _ if text.contains('.') => {
                    fault.help("fractions are not allowed; use the next smaller unit")
                }
                _ => fault.help("the units are KB, MB and GB; without one, bytes are counted"),
            })
        }
    }
}

/// Octal permission bits: `022`, `22`, `0o22`.
pub fn mode(text: &str) -> Result<u32, ValueFault> {
    if text.is_empty() {
        return Err(empty());
    }
    let digits = text
        .strip_prefix("0o")
        .or_else(|| text.strip_prefix("0O"))
        .unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ValueFault::new(format!(
            "`{}` is not an octal number",
            shown(text)
        )));
    }
    if let Some(at) = digits.find(['8', '9']) {
        let at = at + text.len() - digits.len();
        return Err(ValueFault::new("not an octal digit").at(at..at + 1));
    }
    match u32::from_str_radix(digits, 8) {
        Ok(mode) if mode <= MODE_MAX => Ok(mode),
        Ok(_) | Err(_) => Err(ValueFault::new(format!("more than {MODE_MAX:o}"))),
    }
}

/// A signal by name, with or without `SIG`, or by number.
pub fn signal(text: &str) -> Result<Signal, ValueFault> {
    if text.is_empty() {
        return Err(empty());
    }
    text.parse().map_err(|_| {
        let numeric = text.trim_start_matches(['-', '+']);
        if !numeric.is_empty() && numeric.bytes().all(|byte| byte.is_ascii_digit()) {
            return ValueFault::new(format!("no signal has the number {}", shown(text)))
                .help("signals are numbered 1 to 31 and 34 to 64");
        }
        let upper = text.to_ascii_uppercase();
        let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
        ValueFault::new(format!("no signal is called `{}`", shown(text)))
            .help("usual ones are TERM, HUP, INT, QUIT, KILL, USR1 and USR2; `kill -l` lists all")
            .meant(suggest::nearest(bare, Signal::names()))
    })
}

/// A comma list of exit codes; an empty one means that no code is expected.
pub fn exit_codes(text: &str) -> Result<Vec<u8>, ValueFault> {
    let mut codes = Vec::new();
    if text.is_empty() {
        return Ok(codes);
    }
    for piece in pieces(text) {
        let code = integer(piece.text, 0, 255).map_err(|fault| {
            let label = if piece.text.is_empty() {
                "an exit code is missing here".into()
            } else {
                fault.label
            };
            ValueFault::new(label).at(piece.range.clone())
        })?;
        let code = u8::try_from(code).unwrap_or(u8::MAX);
        if !codes.contains(&code) {
            codes.push(code);
        }
    }
    Ok(codes)
}

/// A comma list of kinds of events, in any case.
pub fn events(text: &str) -> Result<Vec<EventType>, ValueFault> {
    if text.is_empty() {
        return Err(empty());
    }
    let known = |piece: Piece<'_>| {
        EventType::named(piece.text).ok_or_else(|| {
            if piece.text.is_empty() {
                return ValueFault::new("a kind of event is missing here").at(piece.range);
            }
            let names = EventType::all().map(EventType::name);
            let meant = suggest::nearest(piece.text, names);
            let fault = ValueFault::new("there is no such kind of event").at(piece.range);
            let families = "PROCESS_STATE, PROCESS_LOG, PROCESS_COMMUNICATION, PROCESS_GROUP, REMOTE_COMMUNICATION, \
                            SUPERVISOR_STATE_CHANGE and TICK";
            match meant {
                Some(_) => fault.meant(meant),
                None => fault.help(format!("kinds of events are EVENT, {families}, and the members of these")),
            }
        })
    };
    pieces(text).into_iter().map(known).collect()
}

/// The daemon's own log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MainLog {
    /// No file.
    None,
    /// The system log.
    Syslog,
    /// A file, as written.
    Path(String),
}

/// `NONE`, nothing, `syslog` or a path.
pub fn main_log(text: &str) -> MainLog {
    match text.to_ascii_lowercase().as_str() {
        "" | "none" | "off" => MainLog::None,
        "syslog" => MainLog::Syslog,
        _ => MainLog::Path(text.to_owned()),
    }
}

/// Where an output stream goes, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChildLog {
    /// A file named by rule.
    Auto,
    /// Discarded.
    None,
    /// The system log, and no file.
    Syslog,
    /// A file, as written.
    Path(String),
}

/// `AUTO`, `NONE`/`OFF`/nothing, `syslog` or a path.
pub fn child_log(text: &str) -> ChildLog {
    match text.to_ascii_lowercase().as_str() {
        "auto" => ChildLog::Auto,
        "" | "none" | "off" => ChildLog::None,
        "syslog" => ChildLog::Syslog,
        _ => ChildLog::Path(text.to_owned()),
    }
}

/// A command line, split into words.
pub fn command(text: &str) -> Result<Vec<Word>, ValueFault> {
    let words = words::split(text).map_err(|error| quoting(&error, text))?;
    match words.first() {
        None => Err(ValueFault::new("no program is named")
            .help("write the program and its arguments, such as `command=/usr/bin/env`")),
        Some(first) if first.text.is_empty() => {
            Err(ValueFault::new("the name of the program is empty").at(first.range.clone()))
        }
        Some(_) => Ok(words),
    }
}

/// A list of variables.
pub fn variables(text: &str) -> Result<environment::List, ValueFault> {
    environment::parse(text).map_err(|error| {
        let fault = if let ListError::Quoting(error) = &error {
            quoting(error, text)
        } else {
            ValueFault::new(error.to_string())
        };
        let fault = fault.at(error.range());
        match error {
            ListError::ValueMissing { name, .. } => {
                fault.help(format!("for an empty value, write {name}=\"\""))
            }
            ListError::CommaExpected { .. } => fault.help(
                "variables are separated by commas; a value with blanks or commas needs quotes",
            ),
            ListError::Quoting(_)
            | ListError::NameExpected { .. }
            | ListError::NameCharacter { .. }
            | ListError::EqualsExpected { .. } => fault,
        }
    })
}

/// The path of a Unix socket, with or without `unix://`.
pub fn socket(text: &str) -> Result<String, ValueFault> {
    let path = text.strip_prefix("unix://").unwrap_or(text);
    if path.is_empty() {
        return Err(empty());
    }
    if let Some(scheme) = text.find("://").filter(|_| path == text) {
        let scheme = text.get(..scheme).unwrap_or_default();
        let fault = ValueFault::new(format!("`{scheme}` is not supported")).at(0..scheme.len());
        return Err(if scheme.starts_with("http") {
            fault.help("the console reaches the daemon through a Unix socket: unix:///PATH")
        } else {
            fault.meant(Some("unix"))
        });
    }
    Ok(path.to_owned())
}

/// `AUTO` (no URL of its own) or a URL.
pub fn url(text: &str) -> Result<Option<String>, ValueFault> {
    if text.eq_ignore_ascii_case("auto") {
        return Ok(None);
    }
    if text.is_empty() {
        return Err(empty());
    }
    match text.split_once("://") {
        Some(("unix" | "http" | "https", rest)) if !rest.is_empty() => Ok(Some(text.to_owned())),
        Some(_) | None => Err(ValueFault::new(format!("`{}` is not a URL", shown(text)))
            .help("write unix:///PATH, http://HOST:PORT or AUTO")),
    }
}

/// `PORT`, `:PORT`, `*:PORT` or `HOST:PORT`.
pub fn inet_address(text: &str) -> Result<(), ValueFault> {
    if text.is_empty() {
        return Err(empty());
    }
    let at = text.rfind(':').map_or(0, |colon| colon + 1);
    let port = text.get(at..).unwrap_or_default();
    if port.is_empty() {
        return Err(ValueFault::new("the port is missing").help("write HOST:PORT, or a port alone"));
    }
    integer(port, 1, 65_535)
        .map(drop)
        .map_err(|fault| fault.at(at..text.len()))
}

/// One member of a comma list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece<'t> {
    /// Its text, trimmed.
    pub text: &'t str,
    /// Where it stands.
    pub range: Range<usize>,
}

/// A comma list of names. A comma at the end is allowed.
pub fn names(text: &str) -> Result<Vec<Piece<'_>>, ValueFault> {
    let mut found = pieces(text);
    if found.last().is_some_and(|last| last.text.is_empty()) {
        found.pop();
    }
    match found.iter().find(|piece| piece.text.is_empty()) {
        Some(gap) => Err(ValueFault::new("a name is missing here").at(gap.range.clone())),
        None => Ok(found),
    }
}

/// File patterns separated by white space.
pub fn patterns(text: &str) -> Result<Vec<Piece<'_>>, ValueFault> {
    let mut found = Vec::new();
    let mut at = 0;
    for word in text.split(char::is_whitespace) {
        if !word.is_empty() {
            found.push(Piece {
                text: word,
                range: at..at + word.len(),
            });
        }
        // Every blank is one character, of one or more bytes.
        let blank = text
            .get(at + word.len()..)
            .and_then(|rest| rest.chars().next());
        at += word.len() + blank.map_or(0, char::len_utf8);
    }
    if found.is_empty() {
        return Err(empty());
    }
    Ok(found)
}

fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut at = 0;
    text.split(',')
        .map(|raw| {
            let start = at + raw.len() - raw.trim_start().len();
            at += raw.len() + 1;
            let text = raw.trim();
            Piece {
                text,
                range: start..start + text.len(),
            }
        })
        .collect()
}

fn quoting(error: &WordsError, text: &str) -> ValueFault {
    let next = text.get(error.at()..).and_then(|rest| rest.chars().next());
    let width = next.map_or(1, char::len_utf8);
    let fault = ValueFault::new(error.to_string()).at(error.at()..error.at() + width);
    match error {
        WordsError::Unclosed { quote: '\'', .. } => {
            fault.help("close it, or write \\' for an apostrophe that is meant as such")
        }
        WordsError::Unclosed { .. } => {
            fault.help("close it, or write \\\" for a quotation mark that is meant as such")
        }
        WordsError::Dangling { .. } => {
            fault.help("write \\\\ for a backslash that is meant as such")
        }
    }
}

fn word<T: Copy>(text: &str, words: &[(&str, T)]) -> Option<T> {
    words
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(text))
        .map(|&(_, value)| value)
}

fn unknown_word<const N: usize>(text: &str, label: &str, words: [&str; N]) -> ValueFault {
    if text.is_empty() {
        return empty();
    }
    ValueFault::new(label).meant(suggest::nearest(text, words))
}

fn empty() -> ValueFault {
    ValueFault::new("nothing stands here")
}

/// A value as part of a message: not longer than a line of it.
fn shown(text: &str) -> String {
    const LONGEST: usize = 40;
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() > LONGEST || line.len() < text.len() {
        let start: String = line.chars().take(LONGEST).collect();
        format!("{start}…")
    } else {
        line.to_owned()
    }
}
