//! The figures, as a table for people and as JSON for scripts.

use serde_json::json;
use std::time::Duration;

/// One figure.
struct Row {
    what: String,
    unit: &'static str,
    ours: f64,
    bare: Option<f64>,
    aim: String,
    met: bool,
}

/// All figures of a run.
#[derive(Default)]
pub struct Table(Vec<Row>);

impl Table {
    /// A time beside that of a bare loop, and how many times as long it may take, if that is anybody's aim.
    pub fn ratio(&mut self, what: &str, ours: Duration, bare: Duration, limit: Option<f64>) {
        let (ours, bare) = (ours.as_secs_f64() * 1e3, bare.as_secs_f64() * 1e3);
        self.0.push(Row {
            what: what.to_owned(),
            unit: "ms",
            ours,
            bare: Some(bare),
            aim: limit
                .map(|limit| format!("<= {limit} x"))
                .unwrap_or_default(),
            met: limit.is_none_or(|limit| ours <= limit * bare),
        });
    }

    /// A figure with a limit of its own.
    pub fn figure(&mut self, what: &str, unit: &'static str, ours: f64, limit: f64) {
        self.0.push(Row {
            what: what.to_owned(),
            unit,
            ours,
            bare: None,
            aim: format!("<= {limit} {unit}"),
            met: ours <= limit,
        });
    }

    /// Prints it.
    pub fn print(&self) {
        println!(
            "{:<38} {:>12} {:>12} {:>8}  {:<12} met",
            "what", "taskmaster", "bare", "ratio", "aim"
        );
        for row in &self.0 {
            let show = |value: f64| format!("{value:.2} {}", row.unit);
            println!(
                "{:<38} {:>12} {:>12} {:>8}  {:<12} {}",
                row.what,
                show(row.ours),
                row.bare.map(show).unwrap_or_default(),
                row.bare
                    .map(|bare| format!("{:.2}", row.ours / bare))
                    .unwrap_or_default(),
                row.aim,
                if row.met { "yes" } else { "NO" }
            );
        }
        let rows: Vec<_> = self
            .0
            .iter()
            .map(|row| {
                json!({
                    "what": row.what,
                    "unit": row.unit,
                    "taskmaster": row.ours,
                    "bare": row.bare,
                    "ratio": row.bare.map(|bare| row.ours / bare),
                    "aim": row.aim,
                    "met": row.met,
                })
            })
            .collect();
        println!("{}", json!({ "bench": rows }));
    }
}

/// The middle one of some times.
pub fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
