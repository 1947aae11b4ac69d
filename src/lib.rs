//! taskmaster: a job control daemon and its console in one executable.
//!
//! # The map
//!
//! [`run`](fn@run) picks one of four modes ([`dispatch`]) whose command lines are described in [`cli`]:
//!
//! - [`daemon`] starts, watches, restarts, stops and logs programs. It is a thin shell around [`engine`], which takes
//!   every decision and does nothing else: no clock, no system call, no failure.
//!   [`events`] is as pure: it decides what event listeners are told, and understands what they say.
//! - [`ctl`] is the console: it asks the daemon over a Unix socket in the protocol of [`wire`] and words the answers.
//! - [`mod@run`] makes a configuration of commands or of a Procfile, in memory, and runs the daemon on it.
//! - [`check_config`] explains what is wrong with a configuration file, by the loader that the daemon uses ([`config`]).
//!
//! [`sys`] speaks to the kernel and is the only room with unsafe code. [`types`] holds the words that all rooms share.
//!
//! # What holds everywhere
//!
//! - The arrows point one way: run → daemon, config; daemon → engine, events, config, wire, sys; ctl → wire, config;
//!   `check_config` → config; engine → `config::model`, types; events → the engine's words, `config::model`, types;
//!   sys → types; wire → nothing of ours. A test enforces them.
//! - The engine does no I/O and so cannot fail. Only a child that is not reaped yet is ever signalled, so a number
//!   that the kernel has given to somebody else cannot be hit.
//! - Every request gets exactly one answer. The loop wakes up only for a descriptor or a deadline.
//! - A configuration reaches the engine only when it is wholly valid: a bad file changes nothing.
//! - Once the daemon serves, no error ends it: each belongs to one program or one client.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "a test fails by panicking"
    )
)]

pub mod check_config;
pub mod cli;
pub mod config;
pub mod ctl;
pub mod daemon;
pub mod dispatch;
pub mod engine;
pub mod events;
pub mod run;
#[allow(
    unsafe_code,
    reason = "the one room that speaks to the kernel without a net"
)]
pub mod sys;
pub mod types;
pub mod wire;

use clap::error::ErrorKind;
use clap::{ArgMatches, Command, FromArgMatches};
use cli::{CheckOptions, CtlOptions, DaemonOptions, GenerateOptions, RunOptions};
use dispatch::CalledAs;
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

/// Exit status for a command line that is not understood, in every mode.
const USAGE: u8 = 2;

/// Runs the mode that `args` ask for and returns the exit status of the process.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let status = match dispatch::called_as(args.first().map(OsString::as_os_str)) {
        CalledAs::Daemon(name) => {
            match parse(cli::daemon(name), args).and_then(|found| daemon_mode(&found, name)) {
                // Supervisor's daemon prints the number alone, and scripts compare it.
                Err(error)
                    if name == "supervisord" && error.kind() == ErrorKind::DisplayVersion =>
                {
                    let _written = writeln!(std::io::stdout(), "{}", env!("CARGO_PKG_VERSION"));
                    Ok(0)
                }
                other => other,
            }
        }
        CalledAs::Console(name) => {
            parse(cli::ctl(name), args).and_then(|found| console_mode(&found, name))
        }
        CalledAs::Multicall => {
            parse(cli::taskmaster(), args).and_then(|found| match found.subcommand() {
                Some(("daemon", found)) => daemon_mode(found, "taskmasterd"),
                Some(("ctl", found)) => console_mode(found, "taskmasterctl"),
                Some(("run", found)) => run_mode(found),
                Some(("check-config", found)) => check_mode(found),
                Some(("generate", found)) => generate_mode(found),
                Some(_) | None => {
                    Err(cli::taskmaster().error(ErrorKind::MissingSubcommand, "a mode is missing"))
                }
            })
        }
    };
    status.unwrap_or_else(|error| report(&error)).into()
}

fn parse(command: Command, args: Vec<OsString>) -> Result<ArgMatches, clap::Error> {
    command.try_get_matches_from(args)
}

fn daemon_mode(found: &ArgMatches, name: &str) -> Result<u8, clap::Error> {
    DaemonOptions::from_arg_matches(found).map(|options| daemon::run(&options, name))
}

fn console_mode(found: &ArgMatches, name: &str) -> Result<u8, clap::Error> {
    CtlOptions::from_arg_matches(found).map(|options| ctl::run(options, name))
}

fn run_mode(found: &ArgMatches) -> Result<u8, clap::Error> {
    RunOptions::from_arg_matches(found).map(|options| run::run(&options))
}

fn check_mode(found: &ArgMatches) -> Result<u8, clap::Error> {
    CheckOptions::from_arg_matches(found).map(|options| check_config::run(&options))
}

fn generate_mode(found: &ArgMatches) -> Result<u8, clap::Error> {
    let options = GenerateOptions::from_arg_matches(found)?;
    // The reader decides how much of it is wanted.
    let _written = std::io::stdout().write_all(options.text().as_bytes());
    Ok(0)
}

/// Shows a help text or a usage error and returns the exit status for it.
fn report(error: &clap::Error) -> u8 {
    // A reader that has gone away needs no help text.
    let _shown = error.print();
    if error.use_stderr() { USAGE } else { 0 }
}
