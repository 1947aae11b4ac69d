//! `taskmaster run`: commands, or the lines of a Procfile, without a configuration file.
//!
//! From what is asked for a configuration text is made ([`text`]), which exists in memory alone, and the daemon runs in
//! the foreground on it: the same loader, the same engine, the same messages. What this mode adds is where the text comes
//! from: the words of the command line ([`commands`]) or a Procfile ([`procfile`]).

mod commands;
mod procfile;
mod text;

use crate::cli::RunOptions;
use crate::config::env_file::{self, EnvFileError};
use crate::config::model::EnvFile;
use crate::config::{MemoryHost, ReadError};
use crate::daemon;
use procfile::ProcfileError;
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use text::Texts;

/// What messages call this mode.
const NAME: &str = "taskmaster run";
/// What messages call the text that is made here.
const GENERATED: &str = "<run>";
/// Exit status for what cannot be run as asked.
const USAGE: u8 = 2;
/// `PORT` of the first line of a Procfile, unless something says otherwise.
const FIRST_PORT: u16 = 5000;
/// From the `PORT` of one line to that of the next.
const PORT_STEP: u16 = 100;

/// Why nothing is run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Neither commands nor a Procfile.
    #[error(
        "nothing to run is named\nhelp: taskmaster run -- COMMAND [ARGUMENT...] [::: COMMAND ...], or taskmaster run -f Procfile"
    )]
    Nothing,
    /// Nothing between two `:::`.
    #[error("command {0} is empty")]
    EmptyCommand(usize),
    /// A text that a configuration cannot hold.
    #[error("{0:?} is not UTF-8")]
    NotUtf8(OsString),
    /// A name that a program cannot have.
    #[error("{name:?} cannot be a name: {reason}")]
    BadName {
        /// The name.
        name: String,
        /// Why not.
        reason: String,
    },
    /// A name given twice.
    #[error("two commands are called {0:?}")]
    SameName(String),
    /// More names than commands.
    #[error("{names} names for {commands} commands")]
    TooManyNames {
        /// How many names.
        names: usize,
        /// How many commands.
        commands: usize,
    },
    /// The Procfile cannot be used.
    #[error(transparent)]
    Procfile(#[from] ProcfileError),
    /// A file of variables cannot be used.
    #[error("{0}")]
    EnvFile(String),
    /// A path that a list of paths cannot hold.
    #[error("{} has a comma in its path, or begins with a blank", .0.display())]
    OddPath(PathBuf),
    /// The surroundings cannot be read.
    #[error("{0}")]
    Surroundings(#[from] std::io::Error),
}

/// One program of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Program {
    name: String,
    /// Program and arguments.
    words: Vec<String>,
    /// `PORT`, for a line of a Procfile.
    port: Option<u16>,
}

/// What is to be run.
#[derive(Debug)]
struct Plan {
    programs: Vec<Program>,
    /// Where programs are started; `None` for where we are.
    directory: Option<PathBuf>,
    env_files: Vec<EnvFile>,
}

/// Runs what is asked for to its end and returns the exit status of the process.
pub fn run(options: &RunOptions) -> u8 {
    match prepare(options) {
        Ok(host) => daemon::run_in_memory(host, NAME),
        Err(error) => {
            // Nothing can be done about a standard error that does not take it.
            let _told = writeln!(std::io::stderr(), "{NAME}: {error}");
            USAGE
        }
    }
}

fn prepare(options: &RunOptions) -> Result<MemoryHost, RunError> {
    let plan = match &options.procfile {
        Some(path) => of_procfile(options, path)?,
        None => Plan {
            programs: commands::programs(&options.command, &options.name)?,
            directory: None,
            env_files: env_files(&options.env)?,
        },
    };
    let mut texts = Texts::default();
    let text = text::configuration(options, &plan, &mut texts)?;
    Ok(MemoryHost::new(
        Path::new(GENERATED),
        text,
        texts.into_variables(),
    ))
}

/// Files of variables that must be there.
fn env_files(paths: &[PathBuf]) -> Result<Vec<EnvFile>, RunError> {
    paths
        .iter()
        .map(|path| {
            let path = std::path::absolute(path)?;
            Ok(EnvFile {
                path,
                optional: false,
            })
        })
        .collect()
}

fn of_procfile(options: &RunOptions, path: &Path) -> Result<Plan, RunError> {
    let path = std::path::absolute(path)?;
    let directory = path.parent().unwrap_or(Path::new("/")).to_owned();
    let lines = procfile::read(&path, &options.lines)?;
    let files = if options.env.is_empty() {
        vec![EnvFile {
            path: directory.join(".env"),
            optional: true,
        }]
    } else {
        env_files(&options.env)?
    };
    let mut port = match options.port {
        Some(port) => port,
        None => first_port(&files)?,
    };
    let mut programs = Vec::new();
    for line in lines {
        let words = ["/bin/sh".to_owned(), "-c".to_owned(), line.script()];
        programs.push(Program {
            name: line.name,
            words: words.into(),
            port: Some(port),
        });
        port = port.saturating_add(PORT_STEP);
    }
    Ok(Plan {
        programs,
        directory: Some(directory),
        env_files: files,
    })
}

/// `PORT` of the files, else of our own environment. What is wrong with a file is told before anything is started.
fn first_port(files: &[EnvFile]) -> Result<u16, RunError> {
    let mut found = std::env::var("PORT").ok();
    for file in files {
        match env_file::read(file) {
            Ok(variables) => {
                let port = variables
                    .into_iter()
                    .rfind(|variable| variable.name == "PORT");
                found = port.map(|variable| variable.value).or(found);
            }
            Err(EnvFileError::Unreadable(ReadError::Io(error)))
                if file.optional && error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(RunError::EnvFile(env_file::describe(&file.path, &error)));
            }
        }
    }
    Ok(found
        .and_then(|port| port.trim().parse().ok())
        .unwrap_or(FIRST_PORT))
}
