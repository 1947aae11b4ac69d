//! What the capture thread tells the loop, and the daemon's words for it.

use super::capture::{CaptureEvent, StreamId, Wanted};
use super::event_loop::Daemon;
use crate::types::Monotonic;
use crate::wire::Channel;
use nix::errno::Errno;

impl Daemon {
    /// Says which events of the programs' output are of use to anybody.
    pub(super) fn want_events(&self) {
        let wanted = self.listeners.wanted();
        self.capture.want(Wanted {
            // The log has a line for each as well.
            communicated: wanted.communicated || log::log_enabled!(log::Level::Debug),
            ..wanted
        });
    }

    /// Takes in everything that the thread has told.
    pub(super) fn on_capture(&mut self, now: Monotonic) {
        for event in self.capture.events() {
            match event {
                CaptureEvent::Output { subscription, data } => {
                    self.on_output(subscription, data, now);
                }
                CaptureEvent::Gap { subscription, lost } => {
                    self.on_output_gap(subscription, lost, now);
                }
                CaptureEvent::Tailed { job, result } => self.on_tailed(job, result, now),
                CaptureEvent::Cleared { job, result } => self.on_cleared(job, result, now),
                CaptureEvent::LogTrouble {
                    stream,
                    path,
                    errno,
                } => log::error!(
                    "{}: can't write {}: {}; what it writes is lost until that is mended",
                    owner(stream.as_ref()),
                    path.display(),
                    Errno::from_raw(errno).desc()
                ),
                CaptureEvent::LogRecovered { stream, path, lost } => log::warn!(
                    "{}: {} is written again; {lost} bytes were lost",
                    owner(stream.as_ref()),
                    path.display()
                ),
                CaptureEvent::Communicated { stream, pid, data } => {
                    log::debug!(
                        "'{}' {} emitted a comm event",
                        stream.key,
                        channel_word(stream.channel)
                    );
                    self.publish_communication(&stream, pid, &data);
                }
                CaptureEvent::Logged { stream, pid, data } => {
                    self.publish_log(&stream, pid, &data);
                }
                CaptureEvent::EventsLost { stream, events } => log::warn!(
                    "{}: {events} events of its {} were lost, because they came too fast; its log is whole",
                    stream.key,
                    channel_word(stream.channel)
                ),
                CaptureEvent::SyslogTrouble { errno } => log::error!(
                    "can't write to the system log: {}; what is meant for it is lost until that is mended",
                    Errno::from_raw(errno).desc()
                ),
                CaptureEvent::SyslogRecovered { lost } => {
                    log::warn!("the system log is written again; {lost} lines were lost");
                }
            }
        }
    }
}

/// Whose log it is, for messages.
fn owner(stream: Option<&StreamId>) -> String {
    stream.map_or_else(
        || "the daemon's log".to_owned(),
        |stream| stream.key.to_string(),
    )
}

fn channel_word(channel: Channel) -> &'static str {
    match channel {
        Channel::Stdout => "stdout",
        Channel::Stderr => "stderr",
    }
}
