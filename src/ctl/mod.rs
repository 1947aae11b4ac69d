//! The console: one action, or a shell of them, against a daemon's socket.
//!
//! `settings` finds the socket, `connect` and `connection` speak over it, `actions` holds what can be asked,
//! `render`, `table` and `json` put answers into words, and `follow` shows what has no end. `shell`, `editor` and
//! `complete` are the place to work in. Words and exit codes are Supervisor's; they are decided in `render` and
//! `session` and nowhere else.
//!
//! Nothing here changes anything by itself or remembers anything between two actions, but for the shell's history.
//! Everything is written through [`output::Output`], which tests replace. There is one thread, but for the shell's
//! [`announcer`].

pub mod actions;
mod advice;
mod announcer;
pub mod complete;
mod connect;
mod connection;
mod editor;
mod escape;
#[cfg(test)]
mod fake;
mod follow;
mod interrupt;
mod json;
mod long;
mod output;
mod plan;
mod procfs;
mod render;
mod session;
pub mod settings;
mod shell;
mod story;
mod table;
#[cfg(test)]
mod tests;
mod watch;

use crate::cli::{self, CtlOptions};
use crate::config::model::ConsoleSettings;
use editor::{Manner, Person};
use output::Output;
use session::Session;
use settings::Settings;
use shell::Script;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::path::PathBuf;

/// Exit status for options that cannot be used.
const USAGE: u8 = 2;

/// Runs the console and returns the exit status of the process.
pub fn run(options: CtlOptions, called_as: &str) -> u8 {
    let mut out = io::stdout();
    let mut err = io::stderr();
    let mut output = Output::of_process(&mut out, &mut err);
    let words = actions::words(options.action.iter().map(String::as_str));
    if let Some(word) = words.first().filter(|word| word.starts_with('-')) {
        output.error_line(&format!(
            "error: unexpected argument '{word}': the first word after the options is the action (see --help)"
        ));
        return USAGE;
    }
    if words
        .first()
        .is_some_and(|word| word == cli::complete::VERB)
    {
        offer(&options, called_as, &mut output);
        return 0;
    }
    let (json, interactive) = (options.json, options.interactive);
    let Settings { server, console } = match settings::resolve(options, called_as) {
        Ok(settings) => settings,
        Err(error) => {
            output.error_line(&format!("error: {error}"));
            return USAGE;
        }
    };
    let stdin = io::stdin();
    let person = stdin.is_terminal();
    let mut session = Session::new(output, server);
    session.json = json;
    session.supervisor = called_as == "supervisorctl";
    let mut code = 0;
    let one_shot = !words.is_empty();
    if one_shot {
        session.input = Some(stdin.as_fd());
        code = actions::run(&mut session, &words);
    }
    if !one_shot || (interactive && !session.leaving) {
        // A script's lines are not for a program in the foreground.
        session.input = person.then(|| stdin.as_fd());
        code = if person {
            talk(&mut session, &console, code)
        } else {
            shell::run(&mut session, &mut Script::new(stdin.lock()), code)
        };
    }
    if session.output.report_failure() && code == 0 {
        code = 1;
    }
    code
}

/// What could stand at the end of a half-typed command line, one candidate a line with its meaning behind a tab. A
/// command line that cannot be helped gets none.
fn offer(options: &CtlOptions, called_as: &str, output: &mut Output<'_>) {
    let typed = options.action.get(1..).unwrap_or_default();
    let read = cli::complete::read(typed);
    let Some(words) = read.action else { return };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let options = CtlOptions {
        configuration: read.configuration,
        serverurl: read.serverurl,
        ..CtlOptions::default()
    };
    let names = match settings::resolve(options, called_as) {
        Ok(settings) if complete::needs_names(&words) => {
            complete::LiveNames::fetch(&settings.server)
        }
        Ok(_) | Err(_) => complete::LiveNames::default(),
    };
    for candidate in complete::complete(&words, &names) {
        let word = escape::line(&candidate.word);
        output.text(&format!("{word}\t{}\n", candidate.about));
    }
}

/// The shell for a person at a terminal.
fn talk(session: &mut Session<'_>, settings: &ConsoleSettings, before: u8) -> u8 {
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    let history = settings
        .history_file
        .clone()
        .or_else(|| editor::default_history(variable("XDG_STATE_HOME"), variable("HOME")));
    let mode = std::env::var(settings::EDIT_MODE_VARIABLE).ok();
    let (edit_mode, complaint) = settings::edit_mode(settings, mode.as_deref());
    if let Some(complaint) = complaint {
        session.output.error_line(&complaint);
    }
    let manner = Manner {
        prompt: settings::shown_prompt(&settings.prompt),
        history,
        edit_mode,
        announce: settings.announce,
        colour: session.output.colour,
    };
    match Person::new(manner) {
        Ok((mut person, complaint)) => {
            if let Some(complaint) = complaint {
                session.output.error_line(&complaint);
            }
            shell::run(session, &mut person, before)
        }
        Err(error) => {
            session
                .output
                .error_line(&format!("error: cannot use the terminal: {error}"));
            1
        }
    }
}
