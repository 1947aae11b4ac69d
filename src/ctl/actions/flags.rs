//! Options of actions: `--no-wait`, `--timeout 5s`. They may stand anywhere among an action's words, before `--`.

use crate::wire::ProcessState;
use std::collections::BTreeMap;
use std::time::Duration;

/// One option of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flag {
    /// Its name, with its dashes.
    pub long: &'static str,
    /// A short spelling, with its dash.
    pub short: Option<&'static str>,
    /// What its value is called, if it takes one.
    pub value: Option<&'static str>,
    /// What it does, in a few words.
    pub about: &'static str,
}

/// Words of an action, sorted out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Flags {
    given: BTreeMap<&'static str, String>,
    /// What is no option.
    pub rest: Vec<String>,
}

impl Flags {
    /// Sorts `words` by what `known` allows. The error is a sentence without a name of the action.
    pub fn read(known: &[Flag], words: &[String]) -> Result<Self, String> {
        let mut flags = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if word == "--" {
                flags.rest.extend(words.by_ref().cloned());
            } else if !word.starts_with('-') || word == "-" {
                flags.rest.push(word.clone());
            } else {
                let (name, attached) = match word.split_once('=') {
                    Some((name, value)) => (name, Some(value.to_owned())),
                    None => (word.as_str(), None),
                };
                let flag = known
                    .iter()
                    .find(|flag| flag.long == name || flag.short == Some(name))
                    .ok_or_else(|| format!("has no option {name}"))?;
                let value = match (flag.value, attached) {
                    (None, None) => String::new(),
                    (None, Some(_)) => return Err(format!("takes no value for {name}")),
                    (Some(_), Some(value)) => value,
                    (Some(value), None) => words
                        .next()
                        .cloned()
                        .ok_or_else(|| format!("needs a {value} after {name}"))?,
                };
                flags.given.insert(flag.long, value);
            }
        }
        Ok(flags)
    }

    /// Whether an option was given.
    pub fn has(&self, long: &str) -> bool {
        self.given.contains_key(long)
    }

    /// The value of an option.
    pub fn value(&self, long: &str) -> Option<&str> {
        self.given.get(long).map(String::as_str)
    }

    /// A value that is a span of time.
    pub fn duration(&self, long: &str) -> Result<Option<Duration>, String> {
        self.value(long)
            .map(|text| {
                duration(text).ok_or_else(|| {
                    format!("cannot read '{text}' after {long}: give seconds, or a number with ms, s, m or h")
                })
            })
            .transpose()
    }

    /// A value that is a list of states.
    pub fn states(&self, long: &str) -> Result<Option<Vec<ProcessState>>, String> {
        let Some(text) = self.value(long) else {
            return Ok(None);
        };
        text.split(',')
            .map(|word| {
                state(word.trim()).ok_or_else(|| {
                    format!("knows no state '{word}': give stopped, starting, running, backoff, stopping, exited, fatal or unknown")
                })
            })
            .collect::<Result<Vec<_>, _>>()
            .map(Some)
    }
}

/// `5`, `5s`, `250ms`, `1.5m`, `2h`.
fn duration(text: &str) -> Option<Duration> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    let factor = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    let number: f64 = number.parse().ok()?;
    Duration::try_from_secs_f64(number * factor).ok()
}

/// Every state, as options name them.
pub const STATES: [ProcessState; 8] = [
    ProcessState::Stopped,
    ProcessState::Starting,
    ProcessState::Running,
    ProcessState::Backoff,
    ProcessState::Stopping,
    ProcessState::Exited,
    ProcessState::Fatal,
    ProcessState::Unknown,
];

fn state(word: &str) -> Option<ProcessState> {
    STATES
        .into_iter()
        .find(|state| state.name().eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[Flag] = &[
        Flag {
            long: "--no-wait",
            short: None,
            value: None,
            about: "",
        },
        Flag {
            long: "--timeout",
            short: Some("-t"),
            value: Some("TIME"),
            about: "",
        },
    ];

    fn read(line: &str) -> Result<String, String> {
        let words = super::super::words([line]);
        Flags::read(KNOWN, &words).map(|flags| format!("{:?} {:?}", flags.given, flags.rest))
    }

    #[test]
    fn options_stand_anywhere() {
        let timed = |rest: &str| Ok(format!("{{\"--timeout\": \"5\"}} {rest}"));
        for (line, expected) in [
            ("a b", Ok("{} [\"a\", \"b\"]".to_owned())),
            ("a --timeout 5 b", timed("[\"a\", \"b\"]")),
            ("--timeout=5 a", timed("[\"a\"]")),
            ("a -t 5", timed("[\"a\"]")),
            (
                "--no-wait -- --timeout -",
                Ok("{\"--no-wait\": \"\"} [\"--timeout\", \"-\"]".to_owned()),
            ),
            (
                "a --timeout",
                Err("needs a TIME after --timeout".to_owned()),
            ),
            (
                "--no-wait=x",
                Err("takes no value for --no-wait".to_owned()),
            ),
            ("a --dance", Err("has no option --dance".to_owned())),
        ] {
            assert_eq!(read(line), expected, "{line}");
        }
    }

    #[test]
    fn spans_of_time_have_units() {
        for (text, millis) in [
            ("5", Some(5000)),
            ("5s", Some(5000)),
            ("250ms", Some(250)),
            ("1.5m", Some(90_000)),
            ("2h", Some(7_200_000)),
            ("0", Some(0)),
            ("", None),
            ("s", None),
            ("5d", None),
            ("-5", None),
            ("1.2.3", None),
        ] {
            assert_eq!(duration(text), millis.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn states_are_named_in_any_case() {
        for state_of in STATES {
            assert_eq!(state(&state_of.name().to_lowercase()), Some(state_of));
        }
        assert_eq!(state("asleep"), None);
    }
}
