//! Orders that reach the daemon as signals: end, apply the file, open the logs anew; and the word that children ended.
//!
//! Whoever may send them is settled by the kernel. Who did is told, for a daemon that ends although nobody says to have
//! ended it.

use super::event_loop::Daemon;
use crate::engine::Event;
use crate::sys::signals::{Arrived, Sender};
use crate::types::Signal;

impl Daemon {
    /// Does what the signals say that have arrived.
    pub(super) fn on_signals(&mut self) {
        for Arrived { signal, sender } in self.signals.read() {
            if signal == Signal::CHLD {
                self.on_child_ends();
            } else if signal == Signal::HUP && !self.loader.is_in_memory() {
                log::warn!("received SIGHUP indicating update request");
                self.tend_runtime_files();
                self.update_by_signal();
            } else if signal == Signal::USR2 {
                log::info!("received SIGUSR2 indicating log reopen request");
                self.capture.reopen_all();
                self.tell_direct_logs();
                self.tend_runtime_files();
            } else if [Signal::TERM, Signal::INT, Signal::QUIT, Signal::HUP].contains(&signal) {
                log::warn!("received {signal} indicating exit request");
                if let Some(Sender { pid, uid }) = sender {
                    log::info!("{signal} was sent by pid {pid} of uid {uid}");
                }
                self.feed(Event::Terminate);
            }
        }
    }
}
