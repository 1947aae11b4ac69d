//! The command lines of the four modes, as clap definitions without behaviour.
//!
//! Help texts, shell completions and the test that compares the manual with the options all read these definitions.

mod check;
pub mod complete;
mod ctl;
mod daemon;
pub mod generate;
mod run;

pub use check::{CheckOptions, Format};
pub use ctl::CtlOptions;
pub use daemon::DaemonOptions;
pub use generate::GenerateOptions;
pub use run::RunOptions;

use clap::{Args, Command};

/// The full command: `taskmaster daemon`, `taskmaster ctl`, `taskmaster run`, `taskmaster check-config`, and the hidden
/// `taskmaster generate` that writes the files in `completions/`.
pub fn taskmaster() -> Command {
    let generate = Command::new("generate")
        .about("Writes the completion scripts of this repository")
        .subcommand_required(true)
        .hide(true)
        .defer(described::<GenerateOptions>);
    visible().subcommand(generate)
}

/// The full command without what is hidden from users.
fn visible() -> Command {
    Command::new("taskmaster")
        .about("Runs, watches and controls programs")
        .version(env!("CARGO_PKG_VERSION"))
        .disable_version_flag(true)
        .arg(version())
        .disable_help_subcommand(true)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(daemon("daemon").display_name("taskmasterd"))
        .subcommand(ctl("ctl").display_name("taskmasterctl"))
        .subcommand(run("run").display_name("taskmaster run"))
        .subcommand(check_config("check-config").display_name("taskmaster check-config"))
}

/// The daemon's command line, under the name it is called by.
pub fn daemon(name: &'static str) -> Command {
    mode::<DaemonOptions>(
        name,
        "Starts, watches, restarts, stops and logs the programs of a configuration file",
    )
    .after_help("The manual is taskmasterd(8); the file's keys are described in taskmaster.ini(5).")
}

/// The console's command line, under the name it is called by.
pub fn ctl(name: &'static str) -> Command {
    mode::<CtlOptions>(
        name,
        "Controls a running daemon: one action, or an interactive shell without one",
    )
    .after_help("`help` as the action lists all actions. The manual is taskmasterctl(1).")
}

/// The command line of `run`, under the name it is called by.
pub fn run(name: &'static str) -> Command {
    mode::<RunOptions>(
        name,
        "Runs commands, or the lines of a Procfile, without a configuration file",
    )
    .override_usage(
        "taskmaster run [OPTIONS] -- COMMAND [ARGUMENT...] [::: COMMAND [ARGUMENT...]]...\n       \
         taskmaster run [OPTIONS] -f FILE [LINE...]",
    )
    .after_help(
        "Exit status: that of the command which decided, 128 and the number of the signal that ended it, else 0.",
    )
}

/// The checker's command line, under the name it is called by.
pub fn check_config(name: &'static str) -> Command {
    mode::<CheckOptions>(
        name,
        "Checks a configuration file and explains its mistakes; changes nothing",
    )
    .after_help("Exit status: 0 clean or warnings only, 1 warnings with --strict, 2 errors.")
}

fn mode<Options: Args>(name: &'static str, about: &'static str) -> Command {
    Command::new(name)
        // Supervisor's command lines may abbreviate long options.
        .infer_long_args(name.starts_with("supervisor"))
        .about(about)
        .version(env!("CARGO_PKG_VERSION"))
        .disable_version_flag(true)
        .disable_help_flag(true)
        .defer(with_options::<Options>)
}

/// The options of a mode, which are put together for the mode that runs alone.
fn with_options<Options: Args>(command: Command) -> Command {
    described::<Options>(command).arg(version()).arg(help())
}

fn described<Options: Args>(command: Command) -> Command {
    // The derived definition puts the comment on the type in its place.
    let about = command.get_about().cloned().unwrap_or_default();
    Options::augment_args(command).about(about)
}

/// `-?` is Supervisor's other name for `-h`.
fn help() -> clap::Arg {
    clap::Arg::new("help")
        .short('h')
        .short_alias('?')
        .long("help")
        .help("Print help")
        .action(clap::ArgAction::Help)
}

/// `-v` is the version here, as in the programs this one replaces; clap's own flag would be `-V`.
fn version() -> clap::Arg {
    clap::Arg::new("version")
        .short('v')
        .long("version")
        .help("Print the version and exit")
        .action(clap::ArgAction::Version)
}

#[cfg(test)]
mod tests {
    #[test]
    fn definitions_are_consistent() {
        super::taskmaster().debug_assert();
        super::daemon("taskmasterd").debug_assert();
        super::ctl("taskmasterctl").debug_assert();
    }
}
