//! Where the console writes.
//!
//! The first failure is kept and everything after it is dropped, so that an action is carried out and its exit status
//! known even when nobody reads its text any more (`taskmasterctl status | head -1`).

use super::escape;
use std::fmt;
use std::io::{self, ErrorKind, IsTerminal, Write};

/// Standard output and standard error, with what is known about them.
pub struct Output<'a> {
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    /// Whether a person reads the standard output.
    pub terminal: bool,
    /// Whether a person reads the standard error.
    pub error_terminal: bool,
    /// Whether words may be coloured.
    pub colour: bool,
    /// Whether the terminal can move its cursor.
    pub can_draw: bool,
    failure: Option<io::Error>,
}

impl fmt::Debug for Output<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output")
            .field("terminal", &self.terminal)
            .field("colour", &self.colour)
            .field("failure", &self.failure)
            .finish_non_exhaustive()
    }
}

impl<'a> Output<'a> {
    /// Writes to these; nobody is taken to be watching.
    pub fn new(out: &'a mut dyn Write, err: &'a mut dyn Write) -> Self {
        Self {
            out,
            err,
            terminal: false,
            error_terminal: false,
            colour: false,
            can_draw: false,
            failure: None,
        }
    }

    /// Writes to the streams of the process.
    pub fn of_process(out: &'a mut io::Stdout, err: &'a mut io::Stderr) -> Self {
        let terminal = out.is_terminal();
        let error_terminal = err.is_terminal();
        // An empty NO_COLOR counts as unset, as the convention has it.
        let colourless = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|kind| kind == "dumb");
        Self {
            terminal,
            error_terminal,
            colour: terminal && !colourless && !dumb,
            can_draw: terminal && !dumb,
            ..Self::new(out, err)
        }
    }

    /// Columns of the terminal, where there is one.
    pub fn width(&self) -> Option<usize> {
        self.size().map(|(width, _)| width)
    }

    /// Columns and rows of the terminal, where there is one that tells.
    pub fn size(&self) -> Option<(usize, usize)> {
        if !self.terminal {
            return None;
        }
        terminal_size::terminal_size()
            .map(|(width, height)| (usize::from(width.0), usize::from(height.0)))
            .filter(|&(width, height)| width > 0 && height > 0)
    }

    /// Writes a line. Control characters in it are shown, not sent.
    pub fn line(&mut self, text: &str) {
        let mut text = escape::line(text);
        text.push('\n');
        self.bytes(text.as_bytes());
    }

    /// Writes text as it is: the caller has escaped what needs it.
    pub fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// Writes bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) {
        if self.failure.is_none()
            && let Err(error) = self.out.write_all(bytes).and_then(|()| self.out.flush())
        {
            self.failure = Some(error);
        }
    }

    /// Writes a line to the standard error. Nothing can be said about a failure to do so.
    pub fn error_line(&mut self, text: &str) {
        let mut text = escape::line(text);
        text.push('\n');
        drop(self.err.write_all(text.as_bytes()));
    }

    /// Whether nothing that is written arrives any more.
    pub fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    /// Reports a failure, unless it only means that the reader has seen enough. True when there was one to report.
    pub fn report_failure(&mut self) -> bool {
        match self.failure.take() {
            Some(error) if error.kind() != ErrorKind::BrokenPipe => {
                self.error_line(&format!("error: cannot write the output: {error}"));
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Failing(ErrorKind, usize);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            self.1 += 1;
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_left_is_no_failure_and_is_not_written_to_again() {
        let mut pipe = Failing(ErrorKind::BrokenPipe, 0);
        let mut err = Vec::new();
        let mut output = Output::new(&mut pipe, &mut err);
        output.line("one");
        output.line("two");
        assert!(output.has_failed());
        assert!(!output.report_failure());
        assert_eq!(pipe.1, 1);
        assert_eq!(err, b"");
    }

    #[test]
    fn a_full_disk_is_reported() {
        let mut disk = Failing(ErrorKind::StorageFull, 0);
        let mut err = Vec::new();
        let mut output = Output::new(&mut disk, &mut err);
        output.line("one");
        assert!(output.report_failure());
        assert!(
            String::from_utf8(err)
                .unwrap()
                .starts_with("error: cannot write the output: ")
        );
    }
}
