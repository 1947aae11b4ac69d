//! The daemon's own log: `YYYY-MM-DD HH:MM:SS,mmm LEVL text`, through the `log` facade and `flexi_logger`.
//!
//! Lines go to the capture thread, which owns the file and rotates it, so that a slow disk never stalls the loop; in
//! the foreground they are shown on the standard output or error as well, among those of programs ([`super::lines`]). The
//! characters of other people (names, paths) are escaped, so that a line stays a line.

use crate::config::model::LogLevel;
use crate::daemon::capture::MainLog;
use crate::daemon::lines::{Lines, Standard};
use flexi_logger::writers::LogWriter;
use flexi_logger::{DeferredNow, ErrorChannel, LogSpecification, Logger, LoggerHandle};
use log::{Level, LevelFilter, Record};
use std::io::{self, Write};

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
        .log_to_writer(Box::new(Destination { log, echo, lines }))
        .format(line)
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
}

impl LogWriter for Destination {
    fn write(&self, now: &mut DeferredNow, record: &Record) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(128);
        line(&mut bytes, now, record)?;
        bytes.push(b'\n');
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

fn line(out: &mut dyn Write, now: &mut DeferredNow, record: &Record) -> io::Result<()> {
    let level = match record.level() {
        Level::Error => "ERRO",
        Level::Warn => "WARN",
        Level::Info => "INFO",
        Level::Debug => "DEBG",
        Level::Trace => "TRAC",
    };
    let text = escape_controls(&record.args().to_string());
    write!(
        out,
        "{} {level} {text}",
        now.format("%Y-%m-%d %H:%M:%S,%3f")
    )
}

/// Replaces characters that could end the line or steer a terminal by their escapes.
pub fn escape_controls(text: &str) -> String {
    text.chars()
        .fold(String::with_capacity(text.len()), |mut out, character| {
            if character.is_control() {
                out.extend(character.escape_default());
            } else {
                out.push(character);
            }
            out
        })
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
        let mut out = Vec::new();
        let record = Record::builder()
            .level(Level::Warn)
            .args(format_args!("hello"))
            .build();
        line(&mut out, &mut DeferredNow::new(), &record).unwrap();
        let text = String::from_utf8(out).unwrap();
        let (stamp, rest) = text.split_at(23);
        assert_eq!(rest, " WARN hello");
        let shape: String = stamp
            .chars()
            .map(|c| if c.is_ascii_digit() { '9' } else { c })
            .collect();
        assert_eq!(shape, "9999-99-99 99:99:99,999");
    }
}
