//! What the daemon costs beside a bare loop that does the least that could do the work, measured in the same run.
//!
//! Prints a table and, as its last line, the same figures as JSON. `cargo bench` runs everything; words behind `--`
//! choose: `cargo bench -- boot status`.
//!
//! A ratio is the daemon's time by that of the bare loop, so that figures of different machines can be compared; the
//! bare loops are described where they stand.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench fails by panicking and prints its findings"
)]
#![allow(
    dead_code,
    unused_imports,
    clippy::needless_pass_by_value,
    clippy::wildcard_enum_match_arm,
    reason = "the harness is that of the tests, which use more of it"
)]

#[path = "../harness/mod.rs"]
mod harness;

mod boot;
mod idle;
mod log;
mod restart;
mod status;
mod table;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use table::Table;

/// Measures something and adds it to the table.
type Bench = fn(&mut Table);

fn main() {
    // The bare loops hold two pipes for each of their programs.
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();

    // Cargo passes `--bench`.
    let chosen: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    let mut table = Table::default();
    let benches: [(&str, Bench); 5] = [
        ("boot", boot::run),
        ("restart", restart::run),
        ("status", status::run),
        ("log", log::run),
        ("idle", idle::run),
    ];
    for (name, run) in benches {
        if chosen.is_empty() || chosen.iter().any(|word| word == name) {
            eprintln!("{name} …");
            run(&mut table);
        }
    }
    table.print();
}
