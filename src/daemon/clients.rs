//! Connections: buffers, limits, and who may speak.
//!
//! Every peer is judged by the credentials of its socket before one byte of it is read. Nothing a client does can grow
//! the daemon's memory past the limits below, or make the loop wait: reading stops while answers pile up, a peer that
//! neither reads nor finishes what it began is cut off, and notices it is too slow for are counted and left out.
//! What requests *mean* is not decided here.

mod handover;

pub use handover::ClientState;

use crate::sys::peer::Peer;
use crate::sys::poller::Interest;
use crate::types::{Monotonic, Ticket};
use crate::wire::{
    self, EncodeError, FrameBuffer, Hello, Notice, RequestFrame, Response, ServerFrame,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Connections at one time. More are told that the daemon is busy.
pub const CLIENTS_MAX: usize = 1024;
/// Queued bytes above which a client's requests are left unread and its notices dropped.
pub const QUEUE_BYTES_SOFT: usize = 1 << 20;
/// Requests that one client may have waiting for an outcome.
const WAITING_MAX: usize = 256;
/// Requests handled for one client before the others get their turn.
pub const REQUESTS_PER_TURN: usize = 32;
/// Time for the greeting, and for a frame once begun.
const FRAME_DEADLINE: Duration = Duration::from_secs(10);
/// Time in which a peer must take at least some of the bytes queued for it.
const DRAIN_DEADLINE: Duration = Duration::from_secs(10);

/// Identifies a connection for the daemon's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ClientId(pub u64);

/// One connection.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    /// Who connected.
    pub peer: Peer,
    /// Supplementary groups of who connected.
    pub groups: Vec<u32>,
    /// Requests that its roles did not allow.
    pub denials: u32,
    input: FrameBuffer,
    output: Vec<u8>,
    /// Bytes of `output` that the peer has taken.
    written: usize,
    greeted: bool,
    /// No more requests are read; the connection ends when `output` is empty.
    closing: bool,
    frame_since: Option<Monotonic>,
    stalled_since: Option<Monotonic>,
    /// What the loop watches the socket for.
    watched: Interest,
    /// Requests whose outcome is not known yet, by the engine's ticket.
    pub waiting: BTreeSet<Ticket>,
    /// Reads and clears of logs that are under way. The next request is read when they are done: an answer may be large.
    pub log_jobs: usize,
    /// Subscriptions, by the id of their request, with the notices lost since the last one that was queued.
    pub subscriptions: BTreeMap<u64, u64>,
}

/// What reading brought.
#[derive(Debug, PartialEq)]
pub enum Incoming {
    /// A request; there may be more where it came from.
    Request(RequestFrame),
    /// A frame that is no request, and is answered already.
    Answered,
    /// Nothing more for now.
    Nothing,
    /// The peer is gone or was cut off, for this reason.
    Gone(Option<String>),
}

impl Client {
    /// Takes over a connection. `now` starts the time for the greeting.
    pub fn new(stream: UnixStream, peer: Peer, hello: &Hello, now: Monotonic) -> Self {
        let mut client = Self {
            stream,
            peer,
            groups: Vec::new(),
            denials: 0,
            input: FrameBuffer::new(wire::HELLO_BYTES_MAX),
            output: Vec::new(),
            written: 0,
            greeted: false,
            closing: false,
            frame_since: Some(now),
            stalled_since: None,
            watched: Interest::READABLE,
            waiting: BTreeSet::new(),
            log_jobs: 0,
            subscriptions: BTreeMap::new(),
        };
        client.queue(hello, now);
        client
    }

    /// The next request, as far as it has arrived.
    ///
    /// One at a time, so that the caller can stop between two when the answers pile up.
    pub fn receive(&mut self, now: Monotonic) -> Incoming {
        let mut chunk = [0; 16 * 1024];
        loop {
            match self.next_request() {
                Ok(Some(request)) => {
                    self.frame_ended(now);
                    return Incoming::Request(request);
                }
                Ok(None) if self.input.buffered() > 0 => drop(self.frame_since.get_or_insert(now)),
                Ok(None) => {}
                Err(Refused::Answer(id, refusal)) => {
                    self.frame_ended(now);
                    self.reply(id, Response::Refused(refusal), now);
                    return Incoming::Answered;
                }
                Err(Refused::Close(refusal)) => {
                    self.reply(0, Response::Refused(refusal), now);
                    self.closing = true;
                    return Incoming::Nothing;
                }
            }
            match self.stream.read(&mut chunk) {
                Ok(0) if self.owes_nothing() => return Incoming::Gone(None),
                Ok(0) => {
                    // The peer has said all it wants to say, and may still wait for answers.
                    self.closing = true;
                    return Incoming::Nothing;
                }
                Ok(count) => self.input.push(chunk.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Incoming::Nothing,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // The peer closed without reading all of its answers, as it may.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                    return Incoming::Gone(None);
                }
                Err(error) => return Incoming::Gone(Some(error.to_string())),
            }
        }
    }

    /// A whole frame was handed out: the time for the next one begins when it does.
    fn frame_ended(&mut self, now: Monotonic) {
        self.frame_since = (self.input.buffered() > 0).then_some(now);
    }

    fn owes_nothing(&self) -> bool {
        self.waiting.is_empty() && self.log_jobs == 0 && self.queued() == 0
    }

    fn next_request(&mut self) -> Result<Option<RequestFrame>, Refused> {
        let Some(body) = self
            .input
            .next_frame()
            .map_err(|_| Refused::Close(wire::Refusal::TooLarge))?
        else {
            return Ok(None);
        };
        if !self.greeted {
            let hello: Hello = wire::decode(&body)
                .map_err(|error| Refused::Close(wire::Refusal::NotUnderstood(error.to_string())))?;
            if hello.protocol != wire::PROTOCOL_VERSION {
                let supported = wire::PROTOCOL_VERSION;
                return Err(Refused::Close(wire::Refusal::Protocol { supported }));
            }
            self.greeted = true;
            self.frame_since = None;
            self.input.set_limit(wire::REQUEST_BYTES_MAX);
            return self.next_request();
        }
        match wire::decode::<RequestFrame>(&body) {
            Ok(request) => Ok(Some(request)),
            // The frame was whole, so the connection is still in step: say what is wrong and go on.
            Err(error) => Err(Refused::Answer(
                wire::request_id(&body).unwrap_or(0),
                wire::Refusal::NotUnderstood(error.to_string()),
            )),
        }
    }

    /// Queues the answer to a request.
    pub fn reply(&mut self, id: u64, response: Response, now: Monotonic) {
        self.queue(&ServerFrame::Reply { id, response }, now);
    }

    /// Queues a notice, or counts it as lost while the peer is too slow.
    pub fn notify(&mut self, subscription: u64, notice: Notice, now: Monotonic) {
        let queued = self.queued();
        let Some(lost) = self.subscriptions.get_mut(&subscription) else {
            return;
        };
        let weight = match &notice {
            Notice::Output { data } => data.len() as u64,
            Notice::Gap { lost } => *lost,
            Notice::State { .. } | Notice::GroupAdded { .. } | Notice::GroupRemoved { .. } => 1,
        };
        if queued > QUEUE_BYTES_SOFT {
            *lost += weight;
            return;
        }
        let missed = std::mem::take(lost);
        if missed > 0 {
            self.queue(
                &ServerFrame::Notice {
                    id: subscription,
                    notice: Notice::Gap { lost: missed },
                },
                now,
            );
        }
        self.queue(
            &ServerFrame::Notice {
                id: subscription,
                notice,
            },
            now,
        );
    }

    /// Ends a subscription. Returns whether there was one.
    pub fn end_subscription(
        &mut self,
        id: u64,
        reason: wire::SubscriptionEnd,
        now: Monotonic,
    ) -> bool {
        let known = self.subscriptions.remove(&id).is_some();
        if known {
            self.queue(&ServerFrame::End { id, reason }, now);
        }
        known
    }

    /// Queues a refusal and ends the connection once it is delivered.
    pub fn refuse(&mut self, refusal: wire::Refusal, now: Monotonic) {
        self.reply(0, Response::Refused(refusal), now);
        self.closing = true;
    }

    fn queue<T: Serialize>(&mut self, message: &T, now: Monotonic) {
        self.queue_frame(wire::encode(message), now);
    }

    /// Queues a frame that is written already.
    pub fn queue_frame(&mut self, frame: Result<Vec<u8>, EncodeError>, now: Monotonic) {
        match frame {
            Ok(frame) => {
                if self.output.is_empty() {
                    self.stalled_since = Some(now);
                }
                if self.output.is_empty() {
                    // An answer may be large; it is not copied once more.
                    self.output = frame;
                } else {
                    self.output.extend_from_slice(&frame);
                }
            }
            Err(error) => {
                log::error!("bug: a message could not be encoded: {error}");
                self.closing = true;
            }
        }
    }

    /// Sends what the peer takes now. An error means that it is gone.
    pub fn flush(&mut self, now: Monotonic) -> std::io::Result<()> {
        while let Some(rest) = self
            .output
            .get(self.written..)
            .filter(|rest| !rest.is_empty())
        {
            match self.stream.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => {
                    self.written += count;
                    self.stalled_since = Some(now);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    // Taken bytes are dropped once they are the larger part, so that moving the rest stays cheap.
                    if self.written > self.output.len() / 2 {
                        self.output.drain(..self.written);
                        self.written = 0;
                    }
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.output = Vec::new();
        self.written = 0;
        self.stalled_since = None;
        Ok(())
    }

    /// Bytes that wait for the peer.
    pub fn queued(&self) -> usize {
        self.output.len() - self.written
    }

    /// Whether requests are read at the moment.
    pub fn wants_to_read(&self) -> bool {
        !self.closing
            && self.queued() <= QUEUE_BYTES_SOFT
            && self.waiting.len() < WAITING_MAX
            && self.log_jobs == 0
    }

    /// What the socket is to be watched for, when that has changed since the last call.
    pub fn changed_interest(&mut self, now: Monotonic) -> Option<Interest> {
        let wanted = match (self.wants_to_read(), self.queued() > 0) {
            (true, false) => Interest::READABLE,
            (true, true) => Interest::BOTH,
            (false, true) => Interest::WRITABLE,
            (false, false) => Interest::NONE,
        };
        let paused = [Interest::WRITABLE, Interest::NONE].contains(&self.watched);
        if paused && self.wants_to_read() {
            // The peer could not go on with its frame while nothing was read.
            self.frame_since = self.frame_since.map(|_| now);
        }
        (std::mem::replace(&mut self.watched, wanted) != wanted).then_some(wanted)
    }

    /// Whether a whole frame may lie in the buffer that the last turn had no time for.
    pub fn has_buffered_input(&self) -> bool {
        self.wants_to_read() && self.input.has_frame()
    }

    /// Whether there is nothing more to do for this connection.
    pub fn is_finished(&self) -> bool {
        self.closing && self.owes_nothing()
    }

    /// When the connection is to be cut off unless it moves.
    pub fn deadline(&self) -> Option<Monotonic> {
        let frame = self
            .frame_since
            .filter(|_| self.wants_to_read())
            .map(|since| since.after(FRAME_DEADLINE));
        let drain = self.stalled_since.map(|since| since.after(DRAIN_DEADLINE));
        [frame, drain].into_iter().flatten().min()
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

enum Refused {
    /// The stream is still in step.
    Answer(u64, wire::Refusal),
    /// Nothing that follows can be trusted.
    Close(wire::Refusal),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Request;

    const NOW: Monotonic = Monotonic::from_nanos(1_000_000_000);

    fn hello(protocol: u32) -> Hello {
        Hello {
            protocol,
            version: "test".to_owned(),
            pid: 1,
            identifier: None,
        }
    }

    fn pair() -> (Client, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.set_nonblocking(true).unwrap();
        let peer = crate::sys::peer::credentials(&ours).unwrap();
        (
            Client::new(ours, peer, &hello(wire::PROTOCOL_VERSION), NOW),
            theirs,
        )
    }

    fn frames(stream: &mut UnixStream, greeting: bool) -> Vec<ServerFrame> {
        let mut bytes = Vec::new();
        // It ends where the socket has no more for now.
        let _more = stream.read_to_end(&mut bytes);
        let mut buffer = FrameBuffer::new(wire::REPLY_BYTES_MAX);
        buffer.push(&bytes);
        if greeting {
            let body = buffer.next_frame().unwrap().unwrap();
            wire::decode::<Hello>(&body).unwrap();
        }
        std::iter::from_fn(|| buffer.next_frame().unwrap())
            .map(|body| wire::decode(&body).unwrap())
            .collect()
    }

    #[test]
    fn requests_are_read_after_a_greeting_even_when_they_arrive_in_pieces() {
        let (mut client, mut peer) = pair();
        let mut bytes = wire::encode(&hello(wire::PROTOCOL_VERSION)).unwrap();
        let request = RequestFrame {
            id: 7,
            request: Request::Version,
        };
        bytes.extend(wire::encode(&request).unwrap());
        for byte in &bytes[..bytes.len() - 1] {
            peer.write_all(&[*byte]).unwrap();
            assert_eq!(client.receive(NOW), Incoming::Nothing);
        }
        assert!(
            client.deadline().is_some(),
            "a frame once begun has a deadline"
        );
        peer.write_all(&bytes[bytes.len() - 1..]).unwrap();
        assert_eq!(client.receive(NOW), Incoming::Request(request));
        assert!(client.deadline().is_none_or(|at| at > NOW));
    }

    #[test]
    fn a_frame_has_its_own_time_however_many_came_before_it() {
        let (mut client, mut peer) = pair();
        peer.write_all(&wire::encode(&hello(wire::PROTOCOL_VERSION)).unwrap())
            .unwrap();
        client.flush(NOW).unwrap();
        let request = wire::encode(&RequestFrame {
            id: 7,
            request: Request::Version,
        })
        .unwrap();
        let (begin, rest) = request.split_at(5);
        peer.write_all(begin).unwrap();
        let mut now = NOW;
        assert_eq!(client.receive(now), Incoming::Nothing);
        // Each turn ends one frame and begins the next one, so that the buffer is never empty.
        for _ in 0..5 {
            now = now.after(Duration::from_secs(6));
            assert!(client.deadline().is_some_and(|deadline| deadline > now));
            peer.write_all(rest).unwrap();
            peer.write_all(begin).unwrap();
            assert!(matches!(client.receive(now), Incoming::Request(_)));
            assert_eq!(client.receive(now), Incoming::Nothing);
        }
        // A frame is not late because it was not read.
        client.log_jobs = 1;
        client.changed_interest(now);
        now = now.after(Duration::from_mins(1));
        client.log_jobs = 0;
        client.changed_interest(now);
        assert!(client.deadline().is_some_and(|deadline| deadline > now));
    }

    #[test]
    fn frames_that_are_no_requests_are_answered_one_by_one() {
        let (mut client, mut peer) = pair();
        peer.write_all(&wire::encode(&hello(wire::PROTOCOL_VERSION)).unwrap())
            .unwrap();
        peer.write_all(&[0, 0, 0, 1, 0xff].repeat(100)).unwrap();
        let before = client.queued();
        assert_eq!(client.receive(NOW), Incoming::Answered);
        let one = client.queued() - before;
        assert_eq!(client.receive(NOW), Incoming::Answered);
        assert_eq!(client.queued() - before, 2 * one);
    }

    #[test]
    fn half_a_connection_stays_until_the_log_is_read() {
        let (mut client, peer) = pair();
        client.flush(NOW).unwrap();
        client.log_jobs = 1;
        peer.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(client.receive(NOW), Incoming::Nothing);
        assert!(!client.is_finished());
        client.log_jobs = 0;
        assert!(client.is_finished());
    }

    #[test]
    fn another_protocol_version_is_refused_by_name() {
        let (mut client, mut peer) = pair();
        peer.write_all(&wire::encode(&hello(99)).unwrap()).unwrap();
        client.receive(NOW);
        client.flush(NOW).unwrap();
        assert!(client.is_finished());
        assert_eq!(
            frames(&mut peer, true),
            [ServerFrame::Reply {
                id: 0,
                response: Response::Refused(wire::Refusal::Protocol {
                    supported: wire::PROTOCOL_VERSION
                })
            }]
        );
    }

    #[test]
    fn an_unknown_request_is_refused_and_the_connection_goes_on() {
        let (mut client, mut peer) = pair();
        peer.write_all(&wire::encode(&hello(wire::PROTOCOL_VERSION)).unwrap())
            .unwrap();
        let unknown = BTreeMap::from([("id", 5)]);
        peer.write_all(&wire::encode(&unknown).unwrap()).unwrap();
        let request = RequestFrame {
            id: 6,
            request: Request::Version,
        };
        peer.write_all(&wire::encode(&request).unwrap()).unwrap();
        assert_eq!(client.receive(NOW), Incoming::Answered);
        assert_eq!(client.receive(NOW), Incoming::Request(request));
        client.flush(NOW).unwrap();
        assert!(matches!(
            frames(&mut peer, true).as_slice(),
            [ServerFrame::Reply {
                id: 5,
                response: Response::Refused(wire::Refusal::NotUnderstood(_))
            }]
        ));
    }

    #[test]
    fn an_oversized_frame_ends_the_connection() {
        let (mut client, mut peer) = pair();
        peer.write_all(&[0xff; 8]).unwrap();
        client.receive(NOW);
        client.flush(NOW).unwrap();
        assert!(client.is_finished());
        assert!(matches!(
            frames(&mut peer, true).as_slice(),
            [ServerFrame::Reply {
                id: 0,
                response: Response::Refused(wire::Refusal::TooLarge)
            }]
        ));
    }

    #[test]
    fn a_peer_that_does_not_read_loses_notices_and_is_told_how_many() {
        let (mut client, mut peer) = pair();
        client.subscriptions.insert(3, 0);
        let chunk = || Notice::Output {
            data: vec![b'x'; 64 * 1024],
        };
        for _ in 0..40 {
            client.notify(3, chunk(), NOW);
            client.flush(NOW).unwrap();
        }
        assert!(client.queued() <= QUEUE_BYTES_SOFT + 65 * 1024);
        assert!(!client.wants_to_read());
        assert!(
            client.deadline().is_some(),
            "a peer that takes nothing has a deadline"
        );
        let mut taken = Vec::new();
        let mut drain = |client: &mut Client| {
            let mut piece = vec![0; 1 << 16];
            loop {
                client.flush(NOW).unwrap();
                match peer.read(&mut piece) {
                    Ok(count) => taken.extend_from_slice(&piece[..count]),
                    Err(_) if client.queued() == 0 => break,
                    Err(_) => {}
                }
            }
        };
        drain(&mut client);
        client.notify(3, chunk(), NOW);
        drain(&mut client);
        let mut buffer = FrameBuffer::new(wire::REPLY_BYTES_MAX);
        buffer.push(&taken);
        buffer.next_frame().unwrap().unwrap();
        let mut received = 0;
        let mut lost = 0;
        while let Some(body) = buffer.next_frame().unwrap() {
            let ServerFrame::Notice { id: 3, notice } = wire::decode(&body).unwrap() else {
                panic!("something else came");
            };
            if let Notice::Gap { lost: count } = notice {
                lost += count;
            } else if let Notice::Output { data } = notice {
                received += data.len() as u64;
            }
        }
        assert!(lost > 0);
        assert_eq!(received + lost, 41 * 64 * 1024);
    }

    #[test]
    fn a_hang_up_is_noticed() {
        let (mut client, peer) = pair();
        client.flush(NOW).unwrap();
        drop(peer);
        assert_eq!(client.receive(NOW), Incoming::Gone(None));
    }
}
