//! The daemon's own log: `YYYY-MM-DD HH:MM:SS,mmm LEVL text`, through the `log` facade and `flexi_logger`.
//!
//! Lines go to the capture thread, which owns the file and rotates it, so that a slow disk never stalls the loop; in
//! the foreground they are shown on the standard output or error as well, unless a reader there would make the loop
//! wait: then they are dropped there, and only there. The characters of other people (names, paths) are escaped, so that a line
//! stays a line.

use crate::config::model::LogLevel;
use crate::daemon::capture::MainLog;
use flexi_logger::writers::LogWriter;
use flexi_logger::{DeferredNow, ErrorChannel, LogSpecification, Logger, LoggerHandle};
use log::{Level, LevelFilter, Record};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{self, Write};
use std::os::fd::AsFd;

/// Largest piece written to the standard output at once: what a pipe that is ready takes without blocking.
const ATOMIC_PIECE: usize = 4096;

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
) -> Result<LoggerHandle, flexi_logger::FlexiLoggerError> {
    Logger::with(LogSpecification::builder().default(filter(level)).build())
        .log_to_writer(Box::new(Destination { log, echo }))
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
}

impl LogWriter for Destination {
    fn write(&self, now: &mut DeferredNow, record: &Record) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(128);
        line(&mut bytes, now, record)?;
        bytes.push(b'\n');
        if self.echo.stdout {
            show(&io::stdout(), &bytes);
        }
        if self.echo.stderr {
            show(&io::stderr(), &bytes);
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

fn show(stream: &impl AsFd, bytes: &[u8]) {
    for piece in bytes.chunks(ATOMIC_PIECE) {
        let mut ready = [PollFd::new(stream.as_fd(), PollFlags::POLLOUT)];
        let writable = matches!(poll(&mut ready, PollTimeout::ZERO), Ok(1))
            && ready.iter().any(|fd| {
                fd.revents()
                    .is_some_and(|events| events == PollFlags::POLLOUT)
            });
        // A reader that is gone or slow costs the copy, never the daemon.
        if !writable || nix::unistd::write(stream, piece).is_err() {
            return;
        }
    }
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
