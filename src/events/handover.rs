//! All pools as data, so that another image of the daemon goes on with them.
//!
//! What is imported behaves as what was exported: each event that waits or that a listener has is there with its numbers,
//! its rejections and its rest, each listener is in the middle of the very word that it was in, and the numbers go on. Who
//! is a listener's process, and what of an event is not written to it yet, is the business of whoever holds the pipes.
//!
//! An event that several pools wait for is written once for each, so that the memory which is bounded for each pool stays
//! so. A version that adds a field gives it a default, as for the engine's snapshot.

use super::Events;
use super::envelope::Serial;
use super::pool::Pool;
use crate::types::GroupName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// See the module's documentation. Its fields are the pools' business.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Snapshot {
    serial: Serial,
    pools: BTreeMap<GroupName, Pool>,
}

impl Events {
    /// Everything about the pools. The daemon's identifier is its own business.
    pub fn export(&self) -> Snapshot {
        let Self {
            server: _,
            serial,
            pools,
        } = self;
        Snapshot {
            serial: *serial,
            pools: pools.clone(),
        }
    }

    /// Pools that go on from this, in a daemon of this identifier.
    pub fn import(server: String, snapshot: Snapshot) -> Self {
        let Snapshot { serial, pools } = snapshot;
        Self {
            server,
            serial,
            pools,
        }
    }
}
