//! Times and other figures of several rounds.

use std::time::Duration;

/// The figures of all rounds, in order.
#[derive(Debug, Clone, Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// One figure alone.
    pub fn one(figure: f64) -> Self {
        Self(vec![figure])
    }

    /// Durations, in milliseconds.
    pub fn milliseconds(times: impl IntoIterator<Item = Duration>) -> Self {
        times
            .into_iter()
            .map(|time| time.as_secs_f64() * 1e3)
            .collect()
    }

    /// The figure below which this share of all lies.
    pub fn quantile(&self, share: f64) -> f64 {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index into a list that fits into memory, by a share between 0 and 1"
        )]
        let index = ((self.0.len().saturating_sub(1)) as f64 * share).round() as usize;
        self.0.get(index).copied().unwrap_or(f64::NAN)
    }

    /// The middle one.
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The smallest and the largest.
    pub fn spread(&self) -> (f64, f64) {
        (self.quantile(0.0), self.quantile(1.0))
    }

    /// The 99th of a hundred, as figures of their own.
    pub fn p99(&self) -> Self {
        Self::one(self.quantile(0.99))
    }
}

impl FromIterator<f64> for Samples {
    fn from_iter<T: IntoIterator<Item = f64>>(figures: T) -> Self {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        Self(figures)
    }
}
