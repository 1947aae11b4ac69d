//! Cuts a byte stream into frames: a 32-bit big-endian length, then that many bytes.
//!
//! A length is judged before anything is kept for it, and the buffer grows only with bytes that have arrived, so a
//! peer can never make this side hold more than it has sent. A wrong length leaves the stream without a place to go on
//! from: the same error is given for ever and the connection has to be closed. What a frame holds is `codec`'s matter.

use thiserror::Error;

/// Limit of the first frame of each side.
pub const HELLO_BYTES_MAX: usize = 4 * 1024;
/// Limit of a frame from a client.
pub const REQUEST_BYTES_MAX: usize = 1024 * 1024;
/// Limit of a frame from the daemon.
pub const REPLY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes of the length that opens a frame.
pub(super) const HEADER_BYTES: usize = 4;

/// Capacity that an emptied buffer may keep.
const KEPT_CAPACITY: usize = 64 * 1024;

/// Why a stream cannot be cut any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FrameError {
    /// A frame of no bytes holds no message.
    #[error("a frame without content")]
    Empty,
    /// The announced length is beyond the limit. Bytes that are no frame at all look like this, too.
    #[error("a frame of {length} bytes where at most {limit} are allowed")]
    TooLong {
        /// What the frame announces.
        length: usize,
        /// What is allowed.
        limit: usize,
    },
}

/// Collects the bytes of a stream and hands out whole frames.
#[derive(Debug)]
pub struct FrameBuffer {
    limit: usize,
    bytes: Vec<u8>,
    /// Bytes at the front that have been handed out.
    taken: usize,
}

impl FrameBuffer {
    /// An empty buffer that refuses frames longer than `limit`.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            bytes: Vec::new(),
            taken: 0,
        }
    }

    /// Changes the limit for the frames that follow, as after a greeting.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Adds bytes that have arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.taken > 0 {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The content of the next frame, without its length; `None` until all of it has arrived.
    pub fn next_frame(&mut self) -> Result<Option<Vec<u8>>, FrameError> {
        let rest = self.bytes.get(self.taken..).unwrap_or_default();
        let Some((header, rest)) = rest.split_first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_be_bytes(*header)).unwrap_or(usize::MAX);
        if length == 0 {
            return Err(FrameError::Empty);
        }
        if length > self.limit {
            return Err(FrameError::TooLong {
                length,
                limit: self.limit,
            });
        }
        if rest.len() < length {
            return Ok(None);
        }
        if length > KEPT_CAPACITY && rest.len() == length {
            // All there is, and large: it is handed out rather than copied.
            let mut frame = std::mem::take(&mut self.bytes);
            frame.drain(..self.taken + HEADER_BYTES);
            self.taken = 0;
            return Ok(Some(frame));
        }
        let frame = rest.get(..length).unwrap_or_default().to_vec();
        self.taken += HEADER_BYTES + length;
        if self.taken == self.bytes.len() {
            self.bytes.clear();
            self.bytes.shrink_to(KEPT_CAPACITY);
            self.taken = 0;
        }
        Ok(Some(frame))
    }

    /// Whether [`FrameBuffer::next_frame`] would give a frame, or an error, without more bytes.
    pub fn has_frame(&self) -> bool {
        let rest = self.bytes.get(self.taken..).unwrap_or_default();
        rest.split_first_chunk::<HEADER_BYTES>()
            .is_some_and(|(header, rest)| {
                let length = usize::try_from(u32::from_be_bytes(*header)).unwrap_or(usize::MAX);
                length == 0 || length > self.limit || rest.len() >= length
            })
    }

    /// The bytes that have arrived and were not handed out.
    pub fn rest(&self) -> &[u8] {
        self.bytes.get(self.taken..).unwrap_or_default()
    }

    /// Bytes that have arrived and were not handed out: after the end of a stream, those of a frame cut short.
    pub fn buffered(&self) -> usize {
        self.bytes.len() - self.taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(content: &[u8]) -> Vec<u8> {
        let mut frame = u32::try_from(content.len()).unwrap().to_be_bytes().to_vec();
        frame.extend_from_slice(content);
        frame
    }

    #[test]
    fn frames_come_out_whole_however_the_bytes_arrive() {
        let stream = [frame(b"one"), frame(b"two"), frame(&[7; 300])].concat();
        for step in [1, 2, 3, 5, 7, stream.len()] {
            let mut buffer = FrameBuffer::new(300);
            let mut frames = Vec::new();
            for chunk in stream.chunks(step) {
                buffer.push(chunk);
                loop {
                    let expected = buffer.has_frame();
                    let frame = buffer.next_frame().unwrap();
                    assert_eq!(frame.is_some(), expected);
                    match frame {
                        Some(frame) => frames.push(frame),
                        None => break,
                    }
                }
            }
            assert_eq!(frames, [b"one".to_vec(), b"two".to_vec(), vec![7; 300]]);
            assert_eq!(buffer.buffered(), 0);
        }
    }

    #[test]
    fn every_prefix_of_a_frame_gives_nothing() {
        let whole = frame(b"content");
        for end in 0..whole.len() {
            let mut buffer = FrameBuffer::new(100);
            buffer.push(&whole[..end]);
            assert_eq!(buffer.next_frame(), Ok(None));
            assert_eq!(buffer.buffered(), end);
        }
    }

    #[test]
    fn a_wrong_length_is_refused_from_the_header_alone_and_for_ever() {
        for (header, error) in [
            ([0, 0, 0, 0], FrameError::Empty),
            (
                [0, 0, 0, 11],
                FrameError::TooLong {
                    length: 11,
                    limit: 10,
                },
            ),
            (
                [0xff; 4],
                FrameError::TooLong {
                    length: 0xffff_ffff,
                    limit: 10,
                },
            ),
        ] {
            let mut buffer = FrameBuffer::new(10);
            buffer.push(&header);
            assert_eq!(buffer.next_frame(), Err(error));
            assert!(buffer.bytes.capacity() < 100, "nothing is allocated for it");
            buffer.push(&frame(b"x"));
            assert_eq!(buffer.next_frame(), Err(error));
        }
    }

    #[test]
    fn the_limit_can_change_between_frames() {
        let mut buffer = FrameBuffer::new(4);
        buffer.push(&frame(b"1234"));
        buffer.push(&frame(b"12345"));
        assert_eq!(buffer.next_frame(), Ok(Some(b"1234".to_vec())));
        assert!(buffer.next_frame().is_err());
        buffer.set_limit(5);
        assert_eq!(buffer.next_frame(), Ok(Some(b"12345".to_vec())));
    }

    #[test]
    fn a_large_frame_leaves_no_large_buffer_behind() {
        let mut buffer = FrameBuffer::new(REPLY_BYTES_MAX);
        buffer.push(&frame(&vec![1; 1 << 20]));
        assert!(buffer.next_frame().unwrap().is_some());
        assert!(buffer.bytes.capacity() <= KEPT_CAPACITY);
    }
}
