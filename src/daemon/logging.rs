//! The daemon's own log: `YYYY-MM-DD HH:MM:SS,mmm LEVL text`, through the `log` facade and `flexi_logger`.
//!
//! Lines go to the capture thread, which owns the file and rotates it, so that a slow disk never stalls the loop; in
//! the foreground they are shown on the standard output or error as well, among those of programs ([`super::lines`]). The
//! characters of other people (names, paths) are escaped, so that a line stays a line.

use crate::config::model::LogLevel;
use crate::daemon::capture::MainLog;
use crate::daemon::lines::{Lines, Standard};
use crate::sys::clock;
use chrono::{DateTime, Local};
use flexi_logger::writers::LogWriter;
use flexi_logger::{DeferredNow, ErrorChannel, LogSpecification, Logger, LoggerHandle};
use log::{Level, LevelFilter, Record};
use std::borrow::Cow;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where lines are shown besides the log.
#[derive(Debug, Clone, Copy)]
pub struct Echo {
    /// On the standard output.
    pub stdout: bool,
    /// On the standard error.
    pub stderr: bool,
}

/// Starts logging. The handle keeps it alive.
pub fn start(
    level: LogLevel,
    log: MainLog,
    echo: Echo,
    lines: Lines,
) -> Result<LoggerHandle, flexi_logger::FlexiLoggerError> {
    Logger::with(LogSpecification::builder().default(filter(level)).build())
        .log_to_writer(Box::new(Destination {
            log,
            echo,
            lines,
            second: Mutex::default(),
        }))
        .error_channel(ErrorChannel::DevNull)
        .panic_if_error_channel_is_broken(false)
        .start()
}

/// Severity from which `log` passes on. Supervisor's `critical` has no twin there: our errors are that rare.
pub fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Blather | LogLevel::Trace => LevelFilter::Trace,
        LogLevel::Debug => LevelFilter::Debug,
        LogLevel::Info => LevelFilter::Info,
        LogLevel::Warn => LevelFilter::Warn,
        LogLevel::Error | LogLevel::Critical => LevelFilter::Error,
    }
}

struct Destination {
    log: MainLog,
    echo: Echo,
    lines: Lines,
    second: Mutex<Second>,
}

impl LogWriter for Destination {
    fn write(&self, _: &mut DeferredNow, record: &Record) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(128);
        {
            let mut second = self.second.lock().unwrap_or_else(PoisonError::into_inner);
            second.write(&mut bytes, clock::wall())?;
        }
        rest_of_line(&mut bytes, record)?;
        if self.echo.stdout {
            self.lines.say(Standard::Output, &bytes);
        }
        if self.echo.stderr {
            self.lines.say(Standard::Error, &bytes);
        }
        self.log.write(bytes);
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

fn rest_of_line(out: &mut Vec<u8>, record: &Record) -> io::Result<()> {
    let level = match record.level() {
        Level::Error => "ERRO",
        Level::Warn => "WARN",
        Level::Info => "INFO",
        Level::Debug => "DEBG",
        Level::Trace => "TRAC",
    };
    let text = record.args().to_string();
    writeln!(out, " {level} {}", escape_controls(&text))
}

/// The second of the last line, and how it is written: what the time zone makes of it need not be asked for each line.
#[derive(Debug, Default)]
struct Second {
    /// Since 1970.
    number: u64,
    text: String,
}

impl Second {
    /// Writes a time down, which is mostly one of this second. One before 1970 is written as the beginning of that year.
    fn write(&mut self, out: &mut Vec<u8>, now: SystemTime) -> io::Result<()> {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        if self.text.is_empty() || self.number != since.as_secs() {
            self.number = since.as_secs();
            let begin = UNIX_EPOCH + Duration::from_secs(self.number);
            let local = DateTime::<Local>::from(begin);
            self.text = local.format("%Y-%m-%d %H:%M:%S").to_string();
        }
        write!(out, "{},{:03}", self.text, since.subsec_millis())
    }
}

/// Replaces characters that could end the line or steer a terminal by their escapes.
pub fn escape_controls(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return text.into();
    }
    let escaped = text
        .chars()
        .fold(String::with_capacity(text.len()), |mut out, character| {
            if character.is_control() {
                out.extend(character.escape_default());
            } else {
                out.push(character);
            }
            out
        });
    escaped.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_a_line() {
        assert_eq!(escape_controls("a\nb\u{1b}[31m é"), "a\\nb\\u{1b}[31m é");
    }

    #[test]
    fn the_format_is_supervisors() {
        let second = UNIX_EPOCH + Duration::from_secs(1_763_974_141);
        let local = DateTime::<Local>::from(second).format("%Y-%m-%d %H:%M:%S");
        let mut out = Vec::new();
        let mut last = Second::default();
        for millis in [7, 999, 1000, 0] {
            last.write(&mut out, second + Duration::from_millis(millis))
                .unwrap();
            out.push(b'\n');
        }
        let record = Record::builder()
            .level(Level::Warn)
            .args(format_args!("hello"))
            .build();
        rest_of_line(&mut out, &record).unwrap();
        let next = DateTime::<Local>::from(second + Duration::from_secs(1));
        let next = next.format("%Y-%m-%d %H:%M:%S");
        assert_eq!(
            String::from_utf8(out).unwrap(),
            format!("{local},007\n{local},999\n{next},000\n{local},000\n WARN hello\n")
        );
    }

    #[test]
    fn a_time_before_1970_is_written_as_its_beginning() {
        let mut out = Vec::new();
        let before = UNIX_EPOCH - Duration::from_millis(1500);
        Second::default().write(&mut out, before).unwrap();
        let begin = DateTime::<Local>::from(UNIX_EPOCH).format("%Y-%m-%d %H:%M:%S");
        assert_eq!(String::from_utf8(out).unwrap(), format!("{begin},000"));
    }
}
