//! What was found, whether it is as it should be, as a table for people and as JSON for scripts.

use crate::harness::proc::{self, Process};
use crate::load::Amounts;
use crate::machine;
use crate::stats::Samples;
use serde_json::{Value, json};
use std::fmt;
use std::time::Duration;

/// How much memory may be more at the end of the line than at its beginning.
const MEMORY_KIB: f64 = 512.0;
/// The warm-up is one part of so many.
const WARM_UP: usize = 5;

/// What the daemon takes up at rest.
#[derive(Debug, Clone, Copy)]
pub struct Note {
    /// After how many operations.
    pub operations: u64,
    /// Resident set, in KiB.
    pub resident: f64,
    /// Proportional set, in KiB.
    pub proportional: f64,
    /// Open descriptors.
    pub descriptors: f64,
}

impl Note {
    /// What this process takes up now.
    #[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    pub fn of(process: i32, operations: u64) -> Self {
        Self {
            operations,
            resident: proc::resident_kib(process) as f64,
            proportional: machine::proportional_kib(process.unsigned_abs()),
            descriptors: proc::descriptors(process) as f64,
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} operations, {} KiB resident, {} KiB proportional, {} descriptors",
            self.operations, self.resident, self.proportional, self.descriptors
        )
    }
}

/// The line of least squares through some figures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slope {
    /// By how much it rises in 1000 operations.
    pub per_thousand: f64,
    /// By how much it rises in all.
    pub rise: f64,
}

impl Slope {
    /// Through points (operations, figure), in the order of operations.
    pub fn through(points: &[(f64, f64)]) -> Self {
        let (Some((first, _)), Some((last, _))) = (points.first(), points.last()) else {
            return Self {
                per_thousand: 0.0,
                rise: 0.0,
            };
        };
        #[allow(clippy::cast_precision_loss, reason = "a count of rounds")]
        let count = points.len() as f64;
        let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / count;
        let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / count;
        let products: f64 = points
            .iter()
            .map(|(x, y)| (x - mean_x) * (y - mean_y))
            .sum();
        let squares: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
        let slope = if squares > 0.0 {
            products / squares
        } else {
            0.0
        };
        Self {
            per_thousand: slope * 1000.0,
            rise: slope * (last - first),
        }
    }
}

/// Everything that was found.
#[derive(Debug, Default)]
pub struct Findings {
    /// At rest after each round.
    pub notes: Vec<Note>,
    /// What was done.
    pub done: Amounts,
    /// How long it took.
    pub seconds: f64,
    /// How long each status took.
    pub status: Vec<Duration>,
    /// Stops that ended in a KILL, and how long those took whose KILL came late.
    pub stops: u64,
    /// See there.
    pub late_kills: Vec<Duration>,
    /// The most zombies that were there at rest.
    pub zombies: usize,
    /// Processes that were there after the daemon's end.
    pub left: Vec<Process>,
    /// Lines of the log that say "bug:".
    pub bugs: Vec<String>,
    /// Lines that went through the daemon and are not in their log.
    pub lost: u64,
    /// The daemon's exit status.
    pub exit: i32,
}

impl Findings {
    fn after_warm_up(&self) -> &[Note] {
        &self.notes[self.notes.len() / WARM_UP..]
    }

    fn slope(&self, figure: impl Fn(&Note) -> f64) -> Slope {
        #[allow(clippy::cast_precision_loss, reason = "a count far below 2^52")]
        let points: Vec<(f64, f64)> = self
            .after_warm_up()
            .iter()
            .map(|note| (note.operations as f64, figure(note)))
            .collect();
        Slope::through(&points)
    }

    fn slopes(&self) -> [(&'static str, Slope, f64, &'static str); 3] {
        [
            ("resident", self.slope(|it| it.resident), MEMORY_KIB, "KiB"),
            (
                "proportional",
                self.slope(|it| it.proportional),
                MEMORY_KIB,
                "KiB",
            ),
            ("descriptors", self.slope(|it| it.descriptors), 0.5, ""),
        ]
    }

    /// Descriptors that are open at the end and were not after the warm-up.
    fn leaked(&self) -> f64 {
        let notes = self.after_warm_up();
        match (notes.first(), notes.last()) {
            (Some(first), Some(last)) => last.descriptors - first.descriptors,
            _ => 0.0,
        }
    }

    /// What is not as it should be, in words.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for (what, slope, limit, unit) in self.slopes() {
            if slope.rise > limit {
                faults.push(format!(
                    "{what}: rises by {:.1} {unit}, and {limit} would be flat",
                    slope.rise
                ));
            }
        }
        if self.leaked() > 0.0 {
            faults.push(format!("{} descriptors were not closed", self.leaked()));
        }
        if self.zombies > 0 {
            faults.push(format!("{} zombies at rest", self.zombies));
        }
        if !self.left.is_empty() {
            faults.push(format!("processes are left: {:?}", self.left));
        }
        if self.lost > 0 {
            faults.push(format!("{} lines are not in their log", self.lost));
        }
        if self.exit != 0 {
            faults.push(format!("the daemon ended with {}", self.exit));
        }
        faults.extend(self.bugs.iter().map(|line| format!("the log says: {line}")));
        faults
    }

    fn latency(&self) -> Samples {
        Samples::milliseconds(self.status.iter().copied())
    }

    /// For people.
    pub fn print(&self) {
        let Amounts {
            restarts,
            sessions,
            rereads,
            rotations,
        } = self.done;
        println!(
            "{restarts} restarts, {sessions} sessions, {rereads} rereads, {rotations} rotations in {:.0} s",
            self.seconds
        );
        for (what, slope, limit, unit) in self.slopes() {
            println!(
                "{what:<14}{:+9.3} {unit} per 1000 operations, {:+.1} {unit} in all (at most {limit})",
                slope.per_thousand, slope.rise
            );
        }
        if let (Some(first), Some(last)) = (self.after_warm_up().first(), self.notes.last()) {
            println!("after warm-up {first}\nat the end    {last}");
        }
        let latency = self.latency();
        println!(
            "status        median {:.2} ms, 99 % {:.2} ms, worst {:.2} ms of {}",
            latency.median(),
            latency.quantile(0.99),
            latency.spread().1,
            self.status.len()
        );
        println!(
            "late kills    {} of {} {:?}",
            self.late_kills.len(),
            self.stops,
            self.late_kills
        );
        println!(
            "left behind   {} zombies, {} processes, {} lines that say bug",
            self.zombies,
            self.left.len(),
            self.bugs.len()
        );
        for fault in self.faults() {
            println!("FAULT: {fault}");
        }
    }

    /// For scripts.
    pub fn json(&self) -> Value {
        let latency = self.latency();
        let slopes: serde_json::Map<String, Value> = self
            .slopes()
            .into_iter()
            .map(|(what, slope, limit, unit)| {
                let value = json!({
                    "per_thousand": slope.per_thousand,
                    "rise": slope.rise,
                    "limit": limit,
                    "unit": unit,
                });
                (what.to_owned(), value)
            })
            .collect();
        let notes = self.notes.iter().map(|note| {
            json!({
                "operations": note.operations,
                "resident_kib": note.resident,
                "proportional_kib": note.proportional,
                "descriptors": note.descriptors,
            })
        });
        json!({ "soak": {
            "restarts": self.done.restarts,
            "sessions": self.done.sessions,
            "rereads": self.done.rereads,
            "rotations": self.done.rotations,
            "seconds": self.seconds,
            "slopes": slopes,
            "descriptors_leaked": self.leaked(),
            "status_ms": {
                "median": latency.median(),
                "p99": latency.quantile(0.99),
                "worst": latency.spread().1,
                "count": self.status.len(),
            },
            "stops": self.stops,
            "late_kills_ms": self.late_kills.iter().map(|it| it.as_secs_f64() * 1e3).collect::<Vec<_>>(),
            "zombies": self.zombies,
            "processes_left": self.left.len(),
            "lines_lost": self.lost,
            "bugs": self.bugs,
            "exit": self.exit,
            "notes": notes.collect::<Vec<_>>(),
            "faults": self.faults(),
        }})
    }
}
