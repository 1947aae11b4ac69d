//! Reads a half-typed console command line, for `taskmasterctl __complete -- WORD...`.
//!
//! The shell scripts in `completions/` hand over every word after the command's name, the last of which is the one under
//! the cursor (empty when nothing of it is typed yet). This module finds where the options end and the action begins,
//! by the console's own definitions. It knows no action and no process: the candidates come from the console.

use super::ctl::CtlOptions;
use clap::{Arg, Args, Command};
use std::path::PathBuf;

/// The hidden verb that the scripts call.
pub const VERB: &str = "__complete";

/// What stands on a half-typed command line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Line {
    /// Value of `-c`, if one is there.
    pub configuration: Option<PathBuf>,
    /// Value of `-s`, if one is there.
    pub serverurl: Option<String>,
    /// The action and its arguments; the last word is the one being typed. `None` while the cursor stands among the
    /// options, which the scripts complete by themselves.
    pub action: Option<Vec<String>>,
}

/// Reads the words after `__complete`. A leading `--` is not a part of them.
pub fn read(words: &[String]) -> Line {
    let words = match words.split_first() {
        Some((first, rest)) if first == "--" => rest,
        _ => words,
    };
    let options = CtlOptions::augment_args(Command::new("taskmasterctl"));
    let mut line = Line::default();
    let mut at = 0;
    while let Some(word) = words.get(at) {
        let last = at + 1 == words.len();
        at += 1;
        if !word.starts_with('-') {
            line.action = Some(words.get(at - 1..).unwrap_or_default().to_vec());
            break;
        }
        if last {
            break;
        }
        if word == "--" {
            line.action = Some(words.get(at..).unwrap_or_default().to_vec());
            break;
        }
        let (option, attached) = option_of(word, &options);
        let Some(option) = option.filter(|option| option.get_action().takes_values()) else {
            continue;
        };
        let value = attached.or_else(|| {
            at += 1;
            words.get(at - 1).cloned()
        });
        match option.get_id().as_str() {
            "configuration" => line.configuration = value.map(PathBuf::from),
            "serverurl" => line.serverurl = value,
            _ => {}
        }
    }
    line
}

/// The option that `word` ends with (`-jc` is `-j` and `-c`), and a value that is part of the word itself.
fn option_of<'a>(word: &str, options: &'a Command) -> (Option<&'a Arg>, Option<String>) {
    if let Some(long) = word.strip_prefix("--") {
        let (name, value) = match long.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (long, None),
        };
        let known = options
            .get_arguments()
            .find(|option| option.get_long() == Some(name));
        return (known, value);
    }
    let mut letters = word.trim_start_matches('-').chars();
    let mut known = None;
    while let Some(letter) = letters.next() {
        known = options
            .get_arguments()
            .find(|option| option.get_short() == Some(letter));
        if known.is_some_and(|option| option.get_action().takes_values()) {
            let value = letters.as_str();
            let value = value.strip_prefix('=').unwrap_or(value);
            return (known, (!value.is_empty()).then(|| value.to_owned()));
        }
    }
    (known, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn the_action_begins_where_the_options_end() {
        for (typed, action) in [
            ("", Some("")),
            ("-- st", Some("st")),
            ("start we", Some("start we")),
            ("start ", Some("start ")),
            ("-j status ", Some("status ")),
            ("-c f start w", Some("start w")),
            ("-cf start w", Some("start w")),
            ("-jc f start w", Some("start w")),
            ("--configuration f start w", Some("start w")),
            ("--configuration=f start w", Some("start w")),
            ("-i -- start w", Some("start w")),
            ("tail -f we", Some("tail -f we")),
            ("tail -", Some("tail -")),
            ("-", None),
            ("--ser", None),
            ("-c ", None),
            ("-c f", None),
            ("-s unix:///x -c f", None),
        ] {
            assert_eq!(read(&words(typed)).action, action.map(words), "{typed:?}");
        }
        assert_eq!(read(&[]), Line::default());
    }

    #[test]
    fn the_daemon_asked_is_the_one_on_the_line() {
        for typed in [
            "-c f -s unix:///x stop ",
            "-cf -sunix:///x stop ",
            "-jc f --serverurl=unix:///x stop ",
        ] {
            let line = read(&words(typed));
            assert_eq!(line.configuration, Some(PathBuf::from("f")), "{typed:?}");
            assert_eq!(line.serverurl.as_deref(), Some("unix:///x"), "{typed:?}");
        }
    }
}
