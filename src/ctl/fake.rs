//! For tests: a daemon in a thread, that answers as it is told.

use crate::wire::{
    self, FrameBuffer, Hello, LogState, PROTOCOL_VERSION, ProcessState, REQUEST_BYTES_MAX, Request,
    RequestFrame, Response, ServerFrame, StatusRow,
};
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use tempfile::TempDir;

/// What the daemon does when asked.
pub enum Reaction {
    /// Says these, in order.
    Say(Vec<ServerFrame>),
    /// Sends these bytes and closes the connection.
    Bytes(Vec<u8>),
    /// Closes the connection.
    Close,
}

/// A single reply.
pub fn reply(id: u64, response: Response) -> Reaction {
    Reaction::Say(vec![ServerFrame::Reply { id, response }])
}

/// A daemon. It stops when dropped.
pub struct Daemon {
    directory: TempDir,
    socket: PathBuf,
    requests: Arc<Mutex<Vec<Request>>>,
    closed: Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

impl Daemon {
    /// Answers each request with what `react` says.
    pub fn new(react: impl FnMut(u64, &Request) -> Reaction + Send + 'static) -> Self {
        Self::greeting(
            &Hello {
                protocol: PROTOCOL_VERSION,
                version: "9.8.7".to_owned(),
                pid: 4700,
                identifier: Some("fake".to_owned()),
            },
            react,
        )
    }

    /// Greets like this.
    pub fn greeting(
        hello: &Hello,
        react: impl FnMut(u64, &Request) -> Reaction + Send + 'static,
    ) -> Self {
        Self::greeting_with(wire::encode(hello).unwrap(), react)
    }

    /// Greets with these bytes.
    pub fn greeting_with(
        hello: Vec<u8>,
        mut react: impl FnMut(u64, &Request) -> Reaction + Send + 'static,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let (closing, closed) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                // A connection without a greeting is the test's way to end this.
                if serve(&mut stream, &hello, &seen, &mut react).is_none() {
                    break;
                }
                drop(stream);
                // Nobody may want to know.
                closing.send(()).unwrap_or_default();
            }
        });
        Self {
            directory,
            socket,
            requests,
            closed,
            thread: Some(thread),
        }
    }

    /// Waits until a connection has been closed.
    pub fn wait_closed(&self) {
        self.closed.recv().unwrap();
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.socket.clone()
    }

    /// Goes on at another path.
    pub fn move_to(&mut self, path: &Path) {
        std::fs::rename(&self.socket, path).unwrap();
        path.clone_into(&mut self.socket);
    }

    /// The directory of its socket.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// What it was asked.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(UnixStream::connect(self.socket()));
        if let Some(thread) = self.thread.take() {
            let answer = thread.join();
            if !std::thread::panicking() {
                answer.unwrap();
            }
        }
    }
}

/// Serves one connection. `None` when it did not even greet.
fn serve(
    stream: &mut UnixStream,
    hello: &[u8],
    seen: &Mutex<Vec<Request>>,
    react: &mut impl FnMut(u64, &Request) -> Reaction,
) -> Option<()> {
    // The peer may be gone already, which the reading tells.
    drop(stream.write_all(hello));
    let mut frames = FrameBuffer::new(REQUEST_BYTES_MAX);
    let greeting = read_frame(stream, &mut frames)?;
    wire::decode::<Hello>(&greeting).unwrap();
    while let Some(content) = read_frame(stream, &mut frames) {
        let RequestFrame { id, request } = wire::decode(&content).unwrap();
        let reaction = react(id, &request);
        seen.lock().unwrap().push(request);
        let bytes: Vec<u8> = match reaction {
            Reaction::Say(answers) => answers
                .iter()
                .flat_map(|answer| wire::encode(answer).unwrap())
                .collect(),
            Reaction::Bytes(bytes) => {
                drop(stream.write_all(&bytes));
                return Some(());
            }
            Reaction::Close => return Some(()),
        };
        drop(stream.write_all(&bytes));
    }
    Some(())
}

fn read_frame(stream: &mut UnixStream, frames: &mut FrameBuffer) -> Option<Vec<u8>> {
    loop {
        if let Some(frame) = frames.next_frame().unwrap() {
            return Some(frame);
        }
        let mut bytes = [0; 4096];
        let count = stream.read(&mut bytes).unwrap_or(0);
        if count == 0 {
            return None;
        }
        frames.push(&bytes[..count]);
    }
}

/// A row of `status`.
pub fn row(name: &str, state: ProcessState) -> StatusRow {
    let (group, process) = name.split_once(':').unwrap_or((name, name));
    StatusRow {
        name: name.to_owned(),
        group: group.to_owned(),
        process: process.to_owned(),
        program: group.to_owned(),
        state,
        pid: None,
        uptime_ms: None,
        started_at: None,
        stopped_at: None,
        trouble: None,
        last_exit: None,
        failures: 0,
        next_attempt_ms: None,
        restarts: 0,
        adopted: false,
        stdout_log: LogState::default(),
        stderr_log: LogState::default(),
        listener: None,
    }
}
