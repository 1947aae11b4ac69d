//! Options of the checker.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// What the checker was started with.
#[derive(Debug, Clone, Args)]
pub struct CheckOptions {
    /// File to check
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Exit with 1 when there are warnings
    #[arg(long)]
    pub strict: bool,
    /// How to print what was found
    #[arg(long, value_enum, default_value_t = Format::Text, value_name = "FORMAT")]
    pub format: Format,
}

/// How findings are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// With the line at fault and a caret beneath it
    Text,
    /// One line each: `FILE:LINE:COLUMN: SEVERITY: MESSAGE`
    Short,
    /// As one JSON document
    Json,
}
