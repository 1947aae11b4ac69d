//! How a process's last lives ended: a short memory, for whoever asks why it is as it is.
//!
//! Nothing is decided by it.

use crate::engine::view::LifeView;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Lives that are remembered.
const REMEMBERED: usize = 8;

/// The last few, and how many there were.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Lives {
    last: VecDeque<LifeView>,
    count: u64,
}

impl Lives {
    /// One has ended.
    pub fn end(&mut self, life: LifeView) {
        if self.last.len() == REMEMBERED {
            self.last.pop_front();
        }
        self.last.push_back(life);
        self.count = self.count.saturating_add(1);
    }

    /// The last few, the oldest first.
    pub fn last(&self) -> Vec<LifeView> {
        self.last.iter().copied().collect()
    }

    /// How many have ended.
    pub fn count(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{ExitStatus, Monotonic};

    #[test]
    fn the_oldest_are_forgotten_and_still_counted() {
        let mut lives = Lives::default();
        for second in 0..10_u8 {
            let at = Monotonic::from_nanos(u64::from(second) * 1_000_000_000);
            lives.end(LifeView {
                started_at: at,
                ended_at: at,
                status: ExitStatus::Code(second),
                asked: false,
                expected: false,
            });
        }
        assert_eq!(lives.count(), 10);
        let codes: Vec<ExitStatus> = lives.last().iter().map(|life| life.status).collect();
        assert_eq!(codes, (2..10).map(ExitStatus::Code).collect::<Vec<_>>());
    }
}
