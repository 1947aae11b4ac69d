//! The figures, as a table for people and as JSON for scripts.

use crate::stats::Samples;
use serde_json::{Map, Value, json};

/// Who was measured, in the order of the columns.
pub const SYSTEMS: [&str; 5] = ["taskmaster", "bare", "dinit", "s6", "supervisor"];

/// What is wanted of taskmaster's median.
#[derive(Debug, Clone, Copy)]
pub enum Aim {
    /// Nothing.
    None,
    /// At most so many times that of another system.
    AtMostTimes(f64, &'static str),
    /// At least so many times that of another system.
    AtLeastTimes(f64, &'static str),
    /// At most this.
    AtMost(f64),
    /// At least this.
    AtLeast(f64),
}

/// One thing that was measured.
#[derive(Debug)]
pub struct Row {
    what: String,
    unit: &'static str,
    aim: Aim,
    figures: Vec<(&'static str, Samples)>,
}

impl Row {
    /// Nothing is measured yet.
    pub fn new(what: impl Into<String>, unit: &'static str, aim: Aim) -> Self {
        Self {
            what: what.into(),
            unit,
            aim,
            figures: Vec::new(),
        }
    }

    /// What one system took.
    pub fn with(mut self, system: &'static str, samples: Samples) -> Self {
        self.figures.push((system, samples));
        self
    }

    fn median(&self, system: &str) -> Option<f64> {
        self.figures
            .iter()
            .find(|(name, _)| *name == system)
            .map(|(_, samples)| samples.median())
    }

    fn ratio(&self, system: &str) -> Option<f64> {
        Some(self.median("taskmaster")? / self.median(system)?)
    }

    /// The wording of the aim, and whether it was met; `None` when whom it is about was not measured.
    fn verdict(&self) -> (String, Option<bool>) {
        let ours = self.median("taskmaster");
        match self.aim {
            Aim::None => (String::new(), None),
            Aim::AtMostTimes(limit, whom) => (
                format!("<= {limit} x {whom}"),
                self.ratio(whom).map(|ratio| ratio <= limit),
            ),
            Aim::AtLeastTimes(limit, whom) => (
                format!(">= {limit} x {whom}"),
                self.ratio(whom).map(|ratio| ratio >= limit),
            ),
            Aim::AtMost(limit) => (
                format!("<= {} {}", short(limit), self.unit),
                ours.map(|ours| ours <= limit),
            ),
            Aim::AtLeast(limit) => (
                format!(">= {} {}", short(limit), self.unit),
                ours.map(|ours| ours >= limit),
            ),
        }
    }

    fn json(&self) -> Value {
        let systems: Map<String, Value> = self
            .figures
            .iter()
            .map(|(name, samples)| {
                let (low, high) = samples.spread();
                let figures = json!({"median": samples.median(), "low": low, "high": high});
                ((*name).to_owned(), figures)
            })
            .collect();
        let (aim, met) = self.verdict();
        json!({
            "what": self.what,
            "unit": self.unit,
            "systems": systems,
            "ratio_to_bare": self.ratio("bare"),
            "aim": aim,
            "met": met,
        })
    }
}

/// All figures of a run.
#[derive(Debug, Default)]
pub struct Table(Vec<Row>);

impl Table {
    /// Takes a row in.
    pub fn add(&mut self, row: Row) {
        eprintln!("  {}", show(&row));
        self.0.push(row);
    }

    /// For people.
    pub fn print(&self) {
        print!("{:<44} {:<7}", "median (lowest-highest)", "unit");
        for system in SYSTEMS {
            print!(" {system:>22}");
        }
        println!(" {:>6}  {:<20} met", "/bare", "aim");
        for row in &self.0 {
            print!("{:<44} {:<7}", row.what, row.unit);
            for system in SYSTEMS {
                let figure = row
                    .figures
                    .iter()
                    .find(|(name, _)| *name == system)
                    .map(|(_, samples)| figure(samples))
                    .unwrap_or_default();
                print!(" {figure:>22}");
            }
            let ratio = row.ratio("bare").map(|ratio| format!("{ratio:.2}"));
            let (aim, met) = row.verdict();
            println!(
                " {:>6}  {aim:<20} {}",
                ratio.unwrap_or_default(),
                met.map_or("", |met| if met { "yes" } else { "NO" })
            );
        }
    }

    /// For scripts.
    pub fn json(&self) -> Value {
        json!({ "bench": self.0.iter().map(Row::json).collect::<Vec<_>>() })
    }
}

fn figure(samples: &Samples) -> String {
    let (low, high) = samples.spread();
    if low < high {
        format!(
            "{} ({}-{})",
            short(samples.median()),
            short(low),
            short(high)
        )
    } else {
        short(samples.median())
    }
}

/// Three digits are as many as are worth anything.
fn short(figure: f64) -> String {
    let digits = match figure.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    format!("{figure:.digits$}")
}

fn show(row: &Row) -> String {
    let figures: Vec<String> = row
        .figures
        .iter()
        .map(|(name, samples)| format!("{name} {}", figure(samples)))
        .collect();
    format!("{}: {} {}", row.what, figures.join(", "), row.unit)
}
