//! What the daemon costs beside a bare loop that does the least that could do the work, and beside other supervisors
//! where they are installed, measured by turns in the same run.
//!
//!     cargo bench --bench bench -- [SCENARIO...] [--quick] [--json] [--list]
//!
//! Figures are medians, with the lowest and the highest. What counts is their ratio: it can be compared with that of
//! another machine. `--quick` takes fewer rounds and leaves out 10,000 programs. `--json` prints JSON and no table.

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

mod bare;
mod boot;
mod console;
mod idle;
mod log;
mod machine;
mod memory;
mod ours;
mod peers;
mod reload;
mod restart;
mod stats;
mod status;
mod stop;
mod storm;
mod table;
mod trips;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use peers::Peer;
use table::Table;

/// What every scenario needs to know.
struct Run {
    /// Takes the figures.
    pub table: Table,
    /// Fewer rounds.
    pub quick: bool,
    /// Other supervisors.
    pub peers: Vec<Box<dyn Peer>>,
    /// How many descriptors a process may have here.
    pub descriptors: u64,
}

impl Run {
    /// How often something is to be measured that would be measured so often in a whole run.
    pub fn rounds(&self, whole: usize) -> usize {
        if self.quick {
            whole.div_ceil(5).max(3)
        } else {
            whole
        }
    }

    /// The most programs that are measured: 10,000, or as many as there are descriptors for, one for each.
    pub fn most_programs(&self) -> usize {
        let room = self.descriptors.saturating_sub(DESCRIPTORS_KEPT);
        usize::try_from(room).map_or(MOST_PROGRAMS, |room| room.min(MOST_PROGRAMS))
    }
}

const MOST_PROGRAMS: usize = 10_000;
/// Descriptors for everything but programs.
const DESCRIPTORS_KEPT: u64 = 500;

/// Measures something and adds it to the table.
type Scenario = fn(&mut Run);

const SCENARIOS: [(&str, Scenario); 11] = [
    ("boot", boot::run),
    ("restart", restart::run),
    ("trips", trips::run),
    ("storm", storm::run),
    ("status", status::run),
    ("stop", stop::run),
    ("memory", memory::run),
    ("log", log::run),
    ("reload", reload::run),
    ("console", console::run),
    ("idle", idle::run),
];

fn main() {
    machine::move_into_memory();
    // The bare loops hold two pipes for each of their programs.
    let (_, descriptors) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, descriptors, descriptors).unwrap();

    let (flags, chosen): (Vec<String>, Vec<String>) = std::env::args()
        .skip(1)
        .partition(|word| word.starts_with('-'));
    let has = |name: &str| flags.iter().any(|flag| flag == name);
    if has("--list") {
        for (name, _) in SCENARIOS {
            println!("{name}");
        }
        return;
    }
    if let Some(unknown) = chosen
        .iter()
        .find(|word| SCENARIOS.iter().all(|(name, _)| name != word))
    {
        panic!("there is no scenario {unknown}; see --list");
    }
    let mut run = Run {
        table: Table::default(),
        quick: has("--quick"),
        peers: peers::installed(),
        descriptors,
    };
    for (name, scenario) in SCENARIOS {
        if chosen.is_empty() || chosen.iter().any(|word| word == name) {
            eprintln!("{name}");
            scenario(&mut run);
        }
    }
    if has("--json") {
        println!("{}", run.table.json());
    } else {
        run.table.print();
    }
}
