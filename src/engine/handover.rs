//! The whole engine as data, so that another image of the daemon goes on with it.
//!
//! What is imported behaves as what was exported: every deadline is a moment of the same clock, every ticket, intent and
//! count is there. What can be derived (the indices) is derived anew. The simulation passes engines through this at
//! random and holds every step against that of the original.
//!
//! A version that adds a field gives it a default, so that it reads what earlier ones wrote; the fixtures in
//! `tests/handover` see to that.

use super::Engine;
use super::exit_policy::Verdict;
use super::process::Process;
use super::requests::Requests;
use super::shutdown::Closing;
use super::table::Table;
use crate::config::model::{Config, DaemonSettings};
use crate::engine::mutants::mutant;
use crate::types::{Generation, GroupName};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// See the module's documentation. Its fields are the engine's business.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Snapshot {
    config: Arc<Config>,
    last_read: Arc<Config>,
    groups: Vec<(GroupName, i32, Vec<Process>)>,
    generation: Generation,
    requests: Requests,
    closing: Option<Closing>,
    verdict: Option<Verdict>,
}

impl Snapshot {
    /// Puts other settings of the daemon's own in place.
    pub fn set_daemon(&mut self, settings: &DaemonSettings) {
        for config in [&mut self.config, &mut self.last_read] {
            Arc::make_mut(config).daemon.clone_from(settings);
        }
    }
}

impl Engine {
    /// Everything it knows.
    pub fn export(&self) -> Snapshot {
        let Self {
            config,
            last_read,
            table,
            requests,
            closing,
            verdict,
        } = self;
        let (groups, generation) = table.export();
        Snapshot {
            config: Arc::clone(config),
            last_read: Arc::clone(last_read),
            groups,
            generation,
            requests: requests.clone(),
            closing: closing.clone(),
            verdict: verdict.clone(),
        }
    }

    /// An engine that knows this.
    pub fn import(snapshot: Snapshot) -> Self {
        let Snapshot {
            config,
            last_read,
            groups,
            generation,
            requests: open,
            closing: shutdown,
            verdict,
        } = snapshot;
        Self {
            config,
            last_read,
            table: Table::import(groups, generation),
            requests: mutant!(UpgradeForgetsRequests, open, Requests::default()),
            closing: mutant!(UpgradeForgetsTheShutdown, shutdown, None),
            verdict,
        }
    }
}
