//! The line editor of the shell: history, completion, hints, and room for announcements above the line.
//!
//! The history is kept in a file that only its owner can read; a file that cannot be used costs the history, not the
//! shell. Names are asked for when Tab is pressed, over a connection of their own.

use super::actions;
use super::announcer::{Announcer, Attention};
use super::complete::{self, LiveNames};
use super::connect::Server;
use super::shell::{Line, Lines, is_yes};
use crate::config::model::EditMode;
use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::{Hinter, HistoryHinter};
use rustyline::history::DefaultHistory;
use rustyline::validate::Validator;
use rustyline::{CompletionType, Config, Context, Editor, Helper};
use std::borrow::Cow;
use std::fmt;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

const HISTORY_LINES: usize = 1000;

/// A person at a terminal.
pub struct Person {
    editor: Editor<Assistant, DefaultHistory>,
    prompt: String,
    history: Option<PathBuf>,
    /// Whether changes are to be announced.
    announce: bool,
    announcer: Option<Announcer>,
    attention: Attention,
    /// Whether an action has been run since the last prompt.
    acted: bool,
}

impl fmt::Debug for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Person")
            .field("prompt", &self.prompt)
            .field("history", &self.history)
            .field("announce", &self.announce)
            .finish_non_exhaustive()
    }
}

/// How the shell is to be.
#[derive(Debug, Clone)]
pub struct Manner {
    /// As shown.
    pub prompt: String,
    /// Where the history is kept.
    pub history: Option<PathBuf>,
    /// Keys of the line editor.
    pub edit_mode: EditMode,
    /// Whether changes are announced.
    pub announce: bool,
    /// Whether words may be coloured.
    pub colour: bool,
}

impl Person {
    /// Prepares the terminal. The second value is what there is to complain about the history.
    pub fn new(manner: Manner) -> io::Result<(Self, Option<String>)> {
        let Manner {
            prompt,
            history,
            edit_mode,
            announce,
            colour,
        } = manner;
        let config = Config::builder()
            .max_history_size(HISTORY_LINES)
            .map_err(into_io)?
            .history_ignore_dups(true)
            .map_err(into_io)?
            .history_ignore_space(true)
            .completion_type(CompletionType::List)
            .edit_mode(match edit_mode {
                EditMode::Emacs => rustyline::EditMode::Emacs,
                EditMode::Vi => rustyline::EditMode::Vi,
            })
            .build();
        let mut editor = Editor::with_config(config).map_err(into_io)?;
        editor.set_helper(Some(Assistant {
            server: Server::default(),
            hinter: HistoryHinter::new(),
            colour,
        }));
        let complaint = history.as_ref().and_then(|path| {
            open_history(&mut editor, path)
                .err()
                .map(|error| format!("warning: no history from {}: {error}", path.display()))
        });
        let history = history.filter(|_| complaint.is_none());
        Ok((
            Self {
                editor,
                prompt,
                history,
                announce,
                announcer: None,
                attention: Attention::default(),
                acted: false,
            },
            complaint,
        ))
    }

    fn remember(&mut self, line: &str) {
        if line.trim().is_empty() {
            return;
        }
        // A full disk costs the line's place in the history, which is not worth a word at each prompt.
        let added = self.editor.add_history_entry(line).unwrap_or(false);
        if added && let Some(path) = &self.history {
            drop(self.editor.append_history(path));
        }
    }
}

impl Lines for Person {
    fn next(&mut self) -> io::Result<Line> {
        self.attention.open(self.acted);
        let line = self.editor.readline(&self.prompt);
        self.attention.close();
        self.acted = matches!(&line, Ok(line) if !line.trim().is_empty());
        match line {
            Ok(line) => {
                self.remember(&line);
                Ok(Line::Text(line))
            }
            Err(ReadlineError::Interrupted) => Ok(Line::Abandoned),
            Err(ReadlineError::Eof) => Ok(Line::End),
            Err(error) => Err(into_io(error)),
        }
    }

    fn confirm(&mut self, question: &str) -> bool {
        self.editor
            .readline(question)
            .is_ok_and(|answer| is_yes(&answer))
    }

    fn is_person(&self) -> bool {
        true
    }

    fn use_server(&mut self, server: &Server) {
        let colour = match self.editor.helper_mut() {
            Some(assistant) if assistant.server != *server => {
                server.clone_into(&mut assistant.server);
                assistant.colour
            }
            Some(_) | None => return,
        };
        self.announcer = None;
        if self.announce
            // A terminal that cannot move its cursor has no room above the prompt.
            && let Ok(printer) = self.editor.create_external_printer()
        {
            let attention = self.attention.clone();
            // Without announcements the shell is still whole.
            self.announcer = Announcer::start(server.clone(), attention, printer, colour).ok();
        }
    }
}

fn into_io(error: ReadlineError) -> io::Error {
    match error {
        ReadlineError::Io(error) => error,
        error @ (ReadlineError::Eof
        | ReadlineError::Interrupted
        | ReadlineError::Errno(_)
        | ReadlineError::Signal(_)
        | _) => io::Error::other(error),
    }
}

/// Loads the history, and makes the directory it will be kept in.
fn open_history(
    editor: &mut Editor<Assistant, DefaultHistory>,
    path: &Path,
) -> Result<(), io::Error> {
    if let Some(directory) = path
        .parent()
        .filter(|directory| !directory.as_os_str().is_empty())
    {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
    }
    match editor.load_history(path).map_err(into_io) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Where the history is kept when nothing says otherwise.
pub fn default_history(state_home: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    // A relative path is to be ignored, as the base directory specification has it.
    state_home
        .filter(|path| path.is_absolute())
        .or_else(|| {
            home.filter(|path| path.is_absolute())
                .map(|home| home.join(".local/state"))
        })
        .map(|directory| directory.join("taskmaster/history"))
}

/// Completes and hints.
struct Assistant {
    server: Server,
    hinter: HistoryHinter,
    colour: bool,
}

impl fmt::Debug for Assistant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assistant")
            .field("server", &self.server)
            .field("colour", &self.colour)
            .finish_non_exhaustive()
    }
}

impl Helper for Assistant {}

impl Validator for Assistant {}

impl Hinter for Assistant {
    type Hint = String;

    fn hint(&self, line: &str, position: usize, context: &Context<'_>) -> Option<String> {
        // Without a colour of its own a hint would look like what was typed.
        if line.is_empty() || !self.colour {
            return None;
        }
        self.hinter
            .hint(line, position, context)
            .or_else(|| usage_hint(line, position))
    }
}

/// What may follow an action that has been typed with a blank behind it: the arguments of its first form.
fn usage_hint(line: &str, position: usize) -> Option<String> {
    let name = line.strip_suffix(' ').filter(|_| position == line.len())?;
    let (form, _) = actions::find(name)?.usage.first()?;
    form.strip_prefix(line).map(str::to_owned)
}

impl Highlighter for Assistant {
    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        Cow::Owned(format!("\x1b[90m{hint}\x1b[0m"))
    }
}

impl Completer for Assistant {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let typed = line.get(..position).unwrap_or(line);
        let start = typed.rfind(char::is_whitespace).map_or(0, |blank| {
            blank
                + typed
                    .get(blank..)
                    .and_then(|rest| rest.chars().next())
                    .map_or(0, char::len_utf8)
        });
        let mut words: Vec<&str> = typed
            .get(..start)
            .unwrap_or("")
            .split_whitespace()
            .collect();
        words.push(typed.get(start..).unwrap_or(""));
        let names = if complete::needs_names(&words) {
            LiveNames::fetch(&self.server)
        } else {
            LiveNames::default()
        };
        let pairs = complete::complete(&words, &names)
            .into_iter()
            .map(|candidate| Pair {
                display: super::escape::line(&candidate.word),
                // A URL goes on where its scheme ends.
                replacement: if candidate.word.ends_with("://") {
                    candidate.word
                } else {
                    format!("{} ", candidate.word)
                },
            })
            .collect();
        Ok((start, pairs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_history_is_kept_in_the_state_directory() {
        let path = |text: &str| Some(PathBuf::from(text));
        for (state, home, expected) in [
            (path("/s"), path("/h"), path("/s/taskmaster/history")),
            (
                path("s"),
                path("/h"),
                path("/h/.local/state/taskmaster/history"),
            ),
            (None, path("/h"), path("/h/.local/state/taskmaster/history")),
            (None, path("h"), None),
            (None, None, None),
        ] {
            assert_eq!(default_history(state, home), expected);
        }
    }

    #[test]
    fn an_action_hints_at_its_arguments() {
        for (line, hint) in [
            ("tail ", Some("NAME... [stdout|stderr]")),
            ("start ", Some("NAME...")),
            ("start", None),
            ("start w", None),
            ("version ", None),
            ("dance ", None),
        ] {
            assert_eq!(usage_hint(line, line.len()).as_deref(), hint, "{line}");
        }
        assert_eq!(usage_hint("tail ", 0), None);
    }

    #[test]
    fn tab_replaces_the_word_under_the_cursor() {
        let assistant = Assistant {
            server: Server::at(PathBuf::from("/nonexistent")),
            hinter: HistoryHinter::new(),
            colour: false,
        };
        let history = DefaultHistory::new();
        let context = Context::new(&history);
        let (start, pairs) = assistant.complete("help  sig", 9, &context).unwrap();
        assert_eq!(start, 6);
        assert_eq!(pairs.len(), 1);
        assert_eq!(pairs[0].replacement, "signal ");
        let (_, pairs) = assistant.complete("open u", 6, &context).unwrap();
        assert_eq!(pairs[0].replacement, "unix://");
        let (start, pairs) = assistant.complete("ver", 3, &context).unwrap();
        assert_eq!((start, pairs[0].replacement.as_str()), (0, "version "));
    }
}
