//! One conversation with a daemon over its socket.
//!
//! The console trusts a server as little as the daemon trusts a client: whoever listens has to be root or the caller,
//! as the kernel tells, before anything is sent. Everything that is waited for has a limit of [`PATIENCE`], except the
//! answer to a request that waits by its nature. Notices that arrive in front of an answer are kept for [`Connection::wait`].
//! An interrupted request leaves an answer on its way, so the connection has to be dropped afterwards.

use super::connect::{self, ConnectError, Server};
use crate::wire::{
    self, DecodeError, FrameBuffer, FrameError, HELLO_BYTES_MAX, Hello, PROTOCOL_VERSION,
    REPLY_BYTES_MAX, REQUEST_BYTES_MAX, Refusal, Request, RequestFrame, Response, ServerFrame,
    Topic,
};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};
use thiserror::Error;

/// How long a daemon may take to accept, to greet, and to answer what needs no waiting.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How long the last words of a daemon that has closed the connection are looked for.
const FAREWELL: Duration = Duration::from_secs(1);

/// Oldest version of the protocol that is still spoken here.
const PROTOCOL_OLDEST: u32 = 1;

/// The id of answers that belong to the connection rather than to a request.
const CONNECTION_ID: u64 = 0;

/// Why a conversation could not go on. The connection is of no use afterwards.
#[derive(Debug, Error)]
pub enum TalkError {
    /// The daemon closed it.
    #[error("the daemon closed the connection")]
    Lost,
    /// The daemon did not answer.
    #[error("the daemon did not answer within {} seconds", PATIENCE.as_secs())]
    TimedOut,
    /// The user wants no answer any more.
    #[error("interrupted")]
    Interrupted,
    /// The request does not fit into a frame. Nothing was sent.
    #[error("the request is too long: {length} bytes where {REQUEST_BYTES_MAX} are allowed")]
    TooLong {
        /// Its length.
        length: usize,
    },
    /// The request cannot be written.
    #[error(transparent)]
    Encode(#[from] wire::EncodeError),
    /// The daemon's bytes are no frames.
    #[error("the daemon's answer cannot be read: {0}")]
    Frame(#[from] FrameError),
    /// The daemon's frame is no message.
    #[error("the daemon's answer cannot be read: {0}")]
    Decode(#[from] DecodeError),
    /// The daemon answered something that was not asked.
    #[error("the daemon's answer does not belong to the question")]
    Unasked,
    /// Something else went wrong.
    #[error("the connection failed: {0}")]
    System(#[from] io::Error),
}

/// What [`Connection::wait`] waited for.
#[derive(Debug)]
pub enum Wake {
    /// The daemon said something.
    Frame(ServerFrame),
    /// The user pressed Ctrl-C.
    Interrupted,
    /// The other descriptor can be read.
    Other,
    /// The time is over.
    Late,
}

/// What [`Connection::call_reading`] brought.
#[derive(Debug)]
pub enum Answer<T> {
    /// What was made of the answer.
    Read(T),
    /// The answer itself.
    Response(Response),
}

/// A daemon that has greeted.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    frames: FrameBuffer,
    /// Frames that came in front of an answer.
    early: VecDeque<ServerFrame>,
    last_id: u64,
    daemon: Hello,
}

impl Connection {
    /// Connects, checks who serves, and greets.
    pub fn open(server: &Server, patience: Duration) -> Result<Self, ConnectError> {
        let stream = connect::connect(server, patience)?;
        Self::greet(stream, patience)
    }

    fn greet(stream: UnixStream, patience: Duration) -> Result<Self, ConnectError> {
        let hello = Hello {
            protocol: PROTOCOL_VERSION,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            identifier: None,
        };
        let mut connection = Self {
            stream,
            frames: FrameBuffer::new(HELLO_BYTES_MAX),
            early: VecDeque::new(),
            last_id: CONNECTION_ID,
            daemon: hello.clone(),
        };
        // A daemon that has no room says so and closes without reading; its words matter more than the failed write.
        let sent = connection.send_frame(&hello);
        let frame = match connection.next_frame(Some(Instant::now() + patience), None, None) {
            Ok(Some(frame)) => frame,
            Ok(None) => return Err(TalkError::Unasked.into()),
            Err(TalkError::Frame(error)) => {
                return Err(ConnectError::NoGreeting(error.to_string()));
            }
            Err(error) => return Err(sent.err().unwrap_or(error).into()),
        };
        let daemon = match wire::decode::<Hello>(&frame) {
            Ok(daemon) => daemon,
            Err(error) => match wire::decode::<ServerFrame>(&frame) {
                Ok(ServerFrame::Reply {
                    response: Response::Refused(refusal),
                    ..
                }) => return Err(ConnectError::Declined(refusal)),
                Ok(_) | Err(_) => return Err(ConnectError::NoGreeting(error.to_string())),
            },
        };
        if !(PROTOCOL_OLDEST..=PROTOCOL_VERSION).contains(&daemon.protocol) {
            return Err(ConnectError::Protocol {
                theirs: daemon.protocol,
                version: daemon.version,
            });
        }
        if let Err(error) = sent {
            return Err(connection
                .farewell()
                .map_or_else(|| error.into(), ConnectError::Declined));
        }
        connection.daemon = daemon;
        connection.frames.set_limit(REPLY_BYTES_MAX);
        Ok(connection)
    }

    /// Why the daemon closed the connection, if it said so before. What it sent is there to be read after the end, too.
    fn farewell(&mut self) -> Option<Refusal> {
        let soon = Instant::now() + FAREWELL;
        while let Ok(Some(content)) = self.next_frame(Some(soon), None, None) {
            if let Ok(ServerFrame::Reply {
                id: CONNECTION_ID,
                response: Response::Refused(refusal),
            }) = wire::decode(&content)
            {
                return Some(refusal);
            }
        }
        None
    }

    /// The daemon's greeting.
    pub fn daemon(&self) -> &Hello {
        &self.daemon
    }

    /// Whether the daemon is still there, as far as can be told without asking.
    pub fn is_alive(&mut self) -> bool {
        loop {
            match ready(&[self.stream.as_fd()], Some(Duration::ZERO)) {
                Ok(Some(_)) if self.receive().is_ok() => {}
                Ok(None) => return true,
                Ok(Some(_)) | Err(_) => return false,
            }
        }
    }

    /// Asks, and waits for the answer.
    pub fn call(
        &mut self,
        request: Request,
        interrupts: Option<BorrowedFd<'_>>,
    ) -> Result<Response, TalkError> {
        self.call_until(request, interrupts, None)
    }

    /// Asks, and waits for the answer until `limit`, if there is one.
    pub fn call_until(
        &mut self,
        request: Request,
        interrupts: Option<BorrowedFd<'_>>,
        limit: Option<Instant>,
    ) -> Result<Response, TalkError> {
        let nothing = |_: &[u8], _| None::<Infallible>;
        match self.call_reading(request, interrupts, limit, nothing)? {
            Answer::Response(response) => Ok(response),
            Answer::Read(never) => match never {},
        }
    }

    /// As [`Self::call_until`]; but what `read` makes of a frame, given the number of the request, is the answer.
    pub fn call_reading<T>(
        &mut self,
        request: Request,
        interrupts: Option<BorrowedFd<'_>>,
        limit: Option<Instant>,
        mut read: impl FnMut(&[u8], u64) -> Option<T>,
    ) -> Result<Answer<T>, TalkError> {
        let patience = (!waits(&request)).then_some(PATIENCE);
        let id = match self.send(request) {
            Ok(id) => id,
            Err(error) => {
                let refusal = self.farewell().ok_or(error)?;
                return Ok(Answer::Response(Response::Refused(refusal)));
            }
        };
        loop {
            let patience = patience.map(|patience| Instant::now() + patience);
            let deadline = limit.into_iter().chain(patience).min();
            let content = self
                .next_frame(deadline, interrupts, None)?
                .ok_or(TalkError::Unasked)?;
            if let Some(answer) = read(&content, id) {
                return Ok(Answer::Read(answer));
            }
            match wire::decode_reply(&content)? {
                ServerFrame::Reply {
                    id: of, response, ..
                } if of == id => return Ok(Answer::Response(response)),
                ServerFrame::Reply {
                    id: CONNECTION_ID,
                    response: response @ Response::Refused(_),
                } => return Ok(Answer::Response(response)),
                ServerFrame::Reply { .. } => return Err(TalkError::Unasked),
                frame @ (ServerFrame::Notice { .. } | ServerFrame::End { .. }) => {
                    self.early.push_back(frame);
                }
            }
        }
    }

    /// Asks to hear of something. The number is the one its notices carry; a refusal is the daemon's.
    pub fn subscribe(
        &mut self,
        topic: Topic,
        interrupts: Option<BorrowedFd<'_>>,
    ) -> Result<Result<u64, Refusal>, TalkError> {
        let response = self.call(Request::Subscribe { topic }, interrupts)?;
        if let Response::Refused(refusal) = response {
            return Ok(Err(refusal));
        }
        let Response::Subscribed = response else {
            return Err(TalkError::Unasked);
        };
        Ok(Ok(self.last_id))
    }

    /// Asks, without waiting for the answer.
    pub fn send(&mut self, request: Request) -> Result<u64, TalkError> {
        self.last_id += 1;
        let id = self.last_id;
        self.send_frame(&RequestFrame { id, request })?;
        Ok(id)
    }

    /// Waits, without limit, for the daemon, an interrupt, or the other descriptor.
    pub fn wait(
        &mut self,
        interrupts: Option<BorrowedFd<'_>>,
        other: Option<BorrowedFd<'_>>,
    ) -> Result<Wake, TalkError> {
        self.wait_until(interrupts, other, None)
    }

    /// As [`Self::wait`], until `limit`, if there is one.
    pub fn wait_until(
        &mut self,
        interrupts: Option<BorrowedFd<'_>>,
        other: Option<BorrowedFd<'_>>,
        limit: Option<Instant>,
    ) -> Result<Wake, TalkError> {
        if let Some(frame) = self.early.pop_front() {
            return Ok(Wake::Frame(frame));
        }
        match self.next_frame(limit, interrupts, other) {
            Ok(Some(content)) => Ok(Wake::Frame(wire::decode(&content)?)),
            Ok(None) => Ok(Wake::Other),
            Err(TalkError::TimedOut) if limit.is_some() => Ok(Wake::Late),
            Err(TalkError::Interrupted) => Ok(Wake::Interrupted),
            Err(error) => Err(error),
        }
    }

    /// What has arrived already; `None` when there is nothing, or nothing that can be read.
    pub fn arrived(&mut self) -> Option<ServerFrame> {
        if let Some(frame) = self.early.pop_front() {
            return Some(frame);
        }
        let content = self.next_frame(Some(Instant::now()), None, None).ok()??;
        wire::decode(&content).ok()
    }

    fn send_frame<T: serde::Serialize>(&mut self, message: &T) -> Result<(), TalkError> {
        let frame = wire::encode(message)?;
        if frame.len() > REQUEST_BYTES_MAX {
            return Err(TalkError::TooLong {
                length: frame.len(),
            });
        }
        self.stream.write_all(&frame).map_err(|error| {
            let kind = error.kind();
            if matches!(kind, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) {
                TalkError::Lost
            } else if kind == ErrorKind::WouldBlock {
                TalkError::TimedOut
            } else {
                error.into()
            }
        })
    }

    /// The next frame; `None` when `other` can be read instead.
    fn next_frame(
        &mut self,
        deadline: Option<Instant>,
        interrupts: Option<BorrowedFd<'_>>,
        other: Option<BorrowedFd<'_>>,
    ) -> Result<Option<Vec<u8>>, TalkError> {
        loop {
            if let Some(frame) = self.frames.next_frame()? {
                return Ok(Some(frame));
            }
            let stream = self.stream.as_fd();
            // The first that is ready wins, so the interrupt comes first: a flood of output must not drown it.
            let watched: Vec<BorrowedFd<'_>> = interrupts
                .into_iter()
                .chain([stream])
                .chain(other)
                .collect();
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let first = ready(&watched, left)?.ok_or(TalkError::TimedOut)?;
            match (interrupts.is_some(), first) {
                (true, 0) => return Err(TalkError::Interrupted),
                (true, 1) | (false, 0) => self.receive()?,
                _ => return Ok(None),
            }
        }
    }

    fn receive(&mut self) -> Result<(), TalkError> {
        let mut bytes = [0; 16 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(0) => Err(TalkError::Lost),
            Ok(count) => {
                self.frames.push(bytes.get(..count).unwrap_or_default());
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Err(TalkError::Lost),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether the answer may take as long as a program takes to start or stop.
fn waits(request: &Request) -> bool {
    match request {
        Request::Start { .. }
        | Request::Stop { .. }
        | Request::Restart { .. }
        | Request::Update { .. }
        | Request::Upgrade
        | Request::Remove { .. } => true,
        Request::Status { .. }
        | Request::Signal { .. }
        | Request::Pid { .. }
        | Request::Clear { .. }
        | Request::Tail { .. }
        | Request::MainTail { .. }
        | Request::Why { .. }
        | Request::Environment { .. }
        | Request::Avail
        | Request::Reread
        | Request::Add { .. }
        | Request::Reload
        | Request::Shutdown
        | Request::Version
        | Request::Input { .. }
        | Request::Remote { .. }
        | Request::Subscribe { .. }
        | Request::Unsubscribe { .. }
        | Request::Plan { .. } => false,
    }
}

/// Index of the first descriptor that can be read or is at its end; `None` when the time is over.
fn ready(
    descriptors: &[BorrowedFd<'_>],
    limit: Option<Duration>,
) -> Result<Option<usize>, io::Error> {
    let deadline = limit.map(|limit| Instant::now() + limit);
    let mut polled: Vec<PollFd<'_>> = descriptors
        .iter()
        .map(|&descriptor| PollFd::new(descriptor, PollFlags::POLLIN))
        .collect();
    loop {
        let timeout = match deadline {
            None => PollTimeout::NONE,
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                // Rounded up, lest the last fraction of a millisecond be spent spinning.
                PollTimeout::try_from(left.as_nanos().div_ceil(1_000_000))
                    .unwrap_or(PollTimeout::MAX)
            }
        };
        match poll(&mut polled, timeout) {
            Ok(0) if deadline.is_some_and(|deadline| Instant::now() >= deadline) => {
                return Ok(None);
            }
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(polled.iter().position(|fd| fd.any().unwrap_or(true))),
            Err(error) => return Err(error.into()),
        }
    }
}

/// The socket as messages show it.
pub fn url(path: &Path) -> String {
    format!("unix://{}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_that_never_greets_is_given_up() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sock");
        let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let error = Connection::open(&Server::at(path), Duration::from_millis(20)).unwrap_err();
        assert!(
            matches!(error, ConnectError::Talk(TalkError::TimedOut)),
            "{error}"
        );
    }

    #[test]
    fn what_is_no_socket_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name| directory.path().join(name);
        let open = |name| {
            Connection::open(&Server::at(path(name)), PATIENCE)
                .unwrap_err()
                .to_string()
        };
        assert_eq!(open("nothing"), "no such file");
        assert_eq!(open("no/directory"), "no such file");
        std::fs::write(path("file"), "").unwrap();
        assert_eq!(open("file"), "refused connection");
        drop(std::os::unix::net::UnixListener::bind(path("stale")).unwrap());
        assert_eq!(open("stale"), "refused connection");
        std::os::unix::fs::symlink(path("stale"), path("link")).unwrap();
        assert!(open("link").contains("symbolic link"));
        let long = "x".repeat(200);
        assert!(
            Connection::open(&Server::at(path(&long)), PATIENCE)
                .unwrap_err()
                .to_string()
                .contains("too long")
        );
    }
}
