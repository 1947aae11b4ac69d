//! The shell: one action a line, from a person or from a script.
//!
//! A person gets a prompt, the status at the start, a question before what cannot be undone, and Ctrl-C that ends the
//! action instead of the shell. A script, which is any input that is no terminal, gets none of these: nothing but the
//! actions' own output, `#` comments allowed. Either way the exit status is that of the last action that failed, so
//! that no success hides a failure.

use super::actions;
use super::connect::Server;
use super::interrupt::Interrupts;
use super::session::Session;
use std::io::{self, BufRead};

/// What was typed.
#[derive(Debug)]
pub enum Line {
    /// A line, without its end.
    Text(String),
    /// Ctrl-C.
    Abandoned,
    /// Ctrl-D, or the end of the script.
    End,
}

/// Where lines come from.
pub trait Lines {
    /// The next line.
    fn next(&mut self) -> io::Result<Line>;

    /// Asks a person; a script has decided already.
    fn confirm(&mut self, question: &str) -> bool;

    /// Whether a person types them.
    fn is_person(&self) -> bool;

    /// The daemon whose names are to be completed.
    fn use_server(&mut self, server: &Server);
}

/// Lines of a script.
#[derive(Debug)]
pub struct Script<Reader> {
    reader: Reader,
}

impl<Reader: BufRead> Script<Reader> {
    /// Reads these.
    pub fn new(reader: Reader) -> Self {
        Self { reader }
    }
}

impl<Reader: BufRead> Lines for Script<Reader> {
    fn next(&mut self) -> io::Result<Line> {
        let mut bytes = Vec::new();
        if self.reader.read_until(b'\n', &mut bytes)? == 0 {
            return Ok(Line::End);
        }
        // What is not UTF-8 names nothing, and is answered as such.
        Ok(Line::Text(String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn confirm(&mut self, _: &str) -> bool {
        true
    }

    fn is_person(&self) -> bool {
        false
    }

    fn use_server(&mut self, _: &Server) {}
}

/// Runs until the lines end or one says so. `before` is the exit status so far.
pub fn run(session: &mut Session<'_>, lines: &mut dyn Lines, before: u8) -> u8 {
    let mut status = before;
    if lines.is_person() {
        // How things stand is no failure of anything that was asked.
        run_line(session, lines, "status");
    }
    while !session.leaving && !session.output.has_failed() {
        lines.use_server(session.server());
        match lines.next() {
            Ok(Line::Text(line)) => {
                let code = run_line(session, lines, &line);
                if code != 0 {
                    status = code;
                }
            }
            Ok(Line::Abandoned) => {}
            Ok(Line::End) => {
                if lines.is_person() {
                    session.output.text("\n");
                }
                break;
            }
            Err(error) => {
                session
                    .output
                    .error_line(&format!("error: cannot read the next line: {error}"));
                return 1;
            }
        }
    }
    status
}

fn run_line(session: &mut Session<'_>, lines: &mut dyn Lines, line: &str) -> u8 {
    let line = line.trim();
    if line.starts_with('#') {
        return 0;
    }
    let words = actions::words([line]);
    if let Some(action) = actions::of_words(&words)
        && let Some(question) = action.confirmation
        && words.iter().skip(1).all(|word| word == actions::JSON_FLAG)
        && !lines.confirm(&question(session.daemon_name()))
    {
        return 0;
    }
    if lines.is_person() {
        match Interrupts::listen() {
            Ok(interrupts) => session.interrupts = Some(interrupts),
            Err(error) => session
                .output
                .error_line(&format!("warning: Ctrl-C will end the shell: {error}")),
        }
    }
    let code = actions::run(session, &words);
    session.interrupts = None;
    code
}

/// Whether an answer means yes.
pub fn is_yes(answer: &str) -> bool {
    answer.trim_start().starts_with(['y', 'Y'])
}
