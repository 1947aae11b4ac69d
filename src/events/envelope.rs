//! What is written to a listener: one line about the event, and the event's text.

use super::event::Event;
use crate::config::model::PayloadLength;
use crate::types::GroupName;
use serde::{Deserialize, Serialize};

/// What a header says besides the event itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header<'h> {
    /// The daemon's identifier.
    pub server: &'h str,
    /// The event's number among all.
    pub serial: u64,
    /// The pool.
    pub pool: &'h GroupName,
    /// The event's number in the pool.
    pub pool_serial: u64,
    /// What `len` counts.
    pub length: PayloadLength,
}

impl Header<'_> {
    /// Header and text, as they are written.
    pub fn seal(self, event: &Event) -> Vec<u8> {
        let payload = &event.payload;
        let length = match self.length {
            PayloadLength::Bytes => payload.len(),
            PayloadLength::Characters => payload.chars().count(),
        };
        let Self {
            server,
            serial,
            pool,
            pool_serial,
            ..
        } = self;
        format!(
            "ver:3.0 server:{server} serial:{serial} pool:{pool} poolserial:{pool_serial} eventname:{} len:{length}\n{payload}",
            event.kind
        )
        .into_bytes()
    }
}

/// Numbers events from 0; after the largest that Supervisor knows it begins anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Serial(u64);

impl Serial {
    const LARGEST: u64 = i64::MAX as u64;

    /// The next number.
    pub fn next(&mut self) -> u64 {
        let number = self.0;
        self.0 = if number >= Self::LARGEST {
            0
        } else {
            number + 1
        };
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_supervisors_and_counts_as_it_is_told() {
        let pool = GroupName::new("mail").unwrap();
        let event = Event::remote("t", "ü");
        for (length, count) in [(PayloadLength::Bytes, 9), (PayloadLength::Characters, 8)] {
            let header = Header {
                server: "supervisor",
                serial: 12,
                pool: &pool,
                pool_serial: 3,
                length,
            };
            let expected = format!(
                "ver:3.0 server:supervisor serial:12 pool:mail poolserial:3 eventname:REMOTE_COMMUNICATION len:{count}\ntype:t\nü"
            );
            assert_eq!(header.seal(&event), expected.into_bytes());
        }
    }

    #[test]
    fn numbers_begin_anew_after_the_largest() {
        let mut serial = Serial::default();
        assert_eq!((serial.next(), serial.next()), (0, 1));
        let mut serial = Serial(Serial::LARGEST);
        assert_eq!(serial.next(), Serial::LARGEST);
        assert_eq!((serial.next(), serial.next()), (0, 1));
    }
}
