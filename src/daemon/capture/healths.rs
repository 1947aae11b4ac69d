//! How the logs of many processes are doing, for an answer that tells it of one after the other.

use super::LogHealth;
use super::by_stream::Walk;
use super::stream::Health;
use crate::types::ProcessKey;
use std::sync::Arc;

/// What is known of all streams. Quickest for whoever asks in the order of the keys.
#[derive(Debug)]
pub struct Healths<'a>(pub(super) Walk<'a, Arc<Health>>);

impl Healths<'_> {
    /// How those of a process's standard output and error are doing; all is well with what was never attached.
    pub fn of(&mut self, key: &ProcessKey) -> [LogHealth; 2] {
        self.0
            .of(key)
            .map(|health| health.map_or_else(LogHealth::default, |health| health.read()))
    }
}
