//! Options of the console.

use clap::Args;
use std::path::PathBuf;

/// What the console was started with.
#[derive(Debug, Clone, Default, Args)]
pub struct CtlOptions {
    /// Configuration file that names the socket; without it the usual places are searched
    #[arg(short, long, value_name = "FILE")]
    pub configuration: Option<PathBuf>,
    /// Socket of the daemon: a path, or `unix://PATH`
    #[arg(short, long, value_name = "URL")]
    pub serverurl: Option<String>,
    /// Open the shell after the action
    #[arg(short, long)]
    pub interactive: bool,
    /// Accepted for compatibility; the daemon knows its peer by the socket
    #[arg(short, long, value_name = "NAME")]
    pub username: Option<String>,
    /// Accepted for compatibility; the daemon knows its peer by the socket
    #[arg(short, long, value_name = "TEXT")]
    pub password: Option<String>,
    /// File that keeps the shell's history
    #[arg(short = 'r', long = "history-file", value_name = "FILE")]
    pub history_file: Option<PathBuf>,
    /// Print replies as JSON
    #[arg(short, long)]
    pub json: bool,
    /// Action and its arguments; `help` lists the actions
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ACTION"
    )]
    pub action: Vec<String>,
}
