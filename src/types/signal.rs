//! Signals by name and number, with every spelling that files and consoles use.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A signal that exists on Linux: 1 to 31 or a real-time one, 34 to 64 (32 and 33 belong to the C library), or
/// [`Signal::NULL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i32", into = "i32")]
pub struct Signal(i32);

/// Why a text is not a signal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignalError {
    /// No signal has this name.
    #[error("value {0:?} is not a valid signal name")]
    Name(String),
    /// No signal has this number.
    #[error("value {0:?} is not a valid signal number")]
    Number(String),
}

const RT_MIN: i32 = 34;
const RT_MAX: i32 = 64;

/// Number and name; the first name of a number is the one that is printed, later ones are aliases.
const NAMES: &[(i32, &str)] = &[
    (1, "HUP"),
    (2, "INT"),
    (3, "QUIT"),
    (4, "ILL"),
    (5, "TRAP"),
    (6, "ABRT"),
    (6, "IOT"),
    (7, "BUS"),
    (8, "FPE"),
    (9, "KILL"),
    (10, "USR1"),
    (11, "SEGV"),
    (12, "USR2"),
    (13, "PIPE"),
    (14, "ALRM"),
    (15, "TERM"),
    (16, "STKFLT"),
    (17, "CHLD"),
    (17, "CLD"),
    (18, "CONT"),
    (19, "STOP"),
    (20, "TSTP"),
    (21, "TTIN"),
    (22, "TTOU"),
    (23, "URG"),
    (24, "XCPU"),
    (25, "XFSZ"),
    (26, "VTALRM"),
    (27, "PROF"),
    (28, "WINCH"),
    (29, "POLL"),
    (29, "IO"),
    (30, "PWR"),
    (31, "SYS"),
    (34, "RTMIN"),
    (64, "RTMAX"),
];

impl Signal {
    /// The null signal: sends nothing, and tells whether there is somebody who could be sent something. No text parses
    /// as it, because nothing can be stopped with it.
    pub const NULL: Self = Self(0);
    /// Asks a program to end.
    pub const TERM: Self = Self(15);
    /// Ends a process without asking.
    pub const KILL: Self = Self(9);
    /// Continues a stopped process.
    pub const CONT: Self = Self(18);
    /// A child has ended.
    pub const CHLD: Self = Self(17);
    /// Interrupt from the terminal.
    pub const INT: Self = Self(2);
    /// Quit from the terminal.
    pub const QUIT: Self = Self(3);
    /// The terminal hung up; for the daemon: read the file again.
    pub const HUP: Self = Self(1);
    /// For the daemon: reopen the log files.
    pub const USR2: Self = Self(12);

    /// The signal of this number, if Linux has it.
    pub fn from_number(number: i32) -> Option<Self> {
        ((1..=31).contains(&number) || (RT_MIN..=RT_MAX).contains(&number)).then_some(Self(number))
    }

    /// The number the kernel knows.
    pub fn number(self) -> i32 {
        self.0
    }

    /// Every name (without `SIG`) that [`Signal::from_str`] accepts as such, aliases included; for completion and suggestions.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|&(_, name)| name)
    }
}

impl TryFrom<i32> for Signal {
    type Error = SignalError;

    fn try_from(number: i32) -> Result<Self, SignalError> {
        if number == 0 {
            return Ok(Self::NULL);
        }
        Self::from_number(number).ok_or_else(|| SignalError::Number(number.to_string()))
    }
}

impl From<Signal> for i32 {
    fn from(signal: Signal) -> Self {
        signal.0
    }
}

/// Accepts `TERM`, `SIGTERM`, `term`, `15`, `RTMIN+3`, `SIGRTMAX-1`, and the aliases `CLD`, `IOT`, `IO`, `POLL`.
impl FromStr for Signal {
    type Err = SignalError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let trimmed = text.trim();
        let unknown_name = || SignalError::Name(text.to_owned());
        let unknown_number = || SignalError::Number(text.to_owned());
        if trimmed.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+') {
            let number = trimmed.parse().map_err(|_| unknown_number())?;
            return Self::from_number(number).ok_or_else(unknown_number);
        }
        let upper = trimmed.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        if let Some(&(number, _)) = NAMES.iter().find(|&&(_, known)| known == name) {
            return Ok(Self(number));
        }
        let offset = |digits: &str| {
            digits
                .parse::<u8>()
                .map(i32::from)
                .map_err(|_| unknown_name())
        };
        let number = if let Some(digits) = name.strip_prefix("RTMIN+") {
            RT_MIN + offset(digits)?
        } else if let Some(digits) = name.strip_prefix("RTMAX-") {
            RT_MAX - offset(digits)?
        } else {
            return Err(unknown_name());
        };
        Some(number)
            .filter(|number| (RT_MIN..=RT_MAX).contains(number))
            .map(Self)
            .ok_or_else(unknown_name)
    }
}

/// `SIGTERM`; `signal 35` for the real-time signals without a name of their own, as Supervisor prints them.
impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|&&(number, _)| number == self.0) {
            Some(&(_, name)) => write!(f, "SIG{name}"),
            None => write!(f, "signal {}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_reads() {
        for (text, number) in [
            ("TERM", 15),
            ("SIGTERM", 15),
            ("sigterm", 15),
            (" term ", 15),
            ("15", 15),
            ("CLD", 17),
            ("SIGIOT", 6),
            ("IO", 29),
            ("RTMIN", 34),
            ("SIGRTMIN+3", 37),
            ("RTMAX-1", 63),
            ("64", 64),
        ] {
            assert_eq!(
                text.parse::<Signal>().map(Signal::number),
                Ok(number),
                "{text:?}"
            );
        }
        for text in [
            "",
            "0",
            "-1",
            "32",
            "33",
            "65",
            "TERMINATE",
            "SIG",
            "RTMIN+31",
            "RTMAX-31",
            "99999999999",
        ] {
            assert!(text.parse::<Signal>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn every_name_and_number_of_linux_reads_and_prints() {
        for number in (1..=31).chain(34..=64) {
            let signal = Signal::from_number(number).unwrap();
            let printed = signal.to_string();
            if let Some(name) = printed.strip_prefix("SIG") {
                assert_eq!(name.parse(), Ok(signal));
            } else {
                assert_eq!(printed, format!("signal {number}"));
            }
        }
        assert_eq!(Signal::names().count(), NAMES.len());
    }
}
