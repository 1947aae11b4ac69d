//! A client of the wire protocol with framing of its own.

use super::wait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use taskmaster::wire::{Hello, PROTOCOL_VERSION, Request, RequestFrame, Response, ServerFrame};

/// One connection, past the greeting.
pub struct Client {
    /// The socket.
    pub stream: UnixStream,
    /// What the daemon said of itself.
    pub hello: Hello,
    next_id: u64,
}

impl Client {
    /// Connects and exchanges greetings.
    pub fn connect(path: &Path) -> io::Result<Self> {
        let mut stream = Self::open(path)?;
        stream.write_all(&framed(&body(&Self::greeting())))?;
        let frame = read_frame(&mut stream)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(Self {
            stream,
            hello: decode(&frame)?,
            next_id: 1,
        })
    }

    /// Connects and says nothing.
    pub fn open(path: &Path) -> io::Result<UnixStream> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(wait::patience()))?;
        stream.set_write_timeout(Some(wait::patience()))?;
        Ok(stream)
    }

    /// The greeting of a client.
    pub fn greeting() -> Hello {
        Hello {
            protocol: PROTOCOL_VERSION,
            version: "test".to_owned(),
            pid: std::process::id(),
            identifier: None,
        }
    }

    /// Sends a request and returns its id.
    pub fn send(&mut self, request: Request) -> io::Result<u64> {
        let id = self.next_id;
        self.next_id += 1;
        self.stream
            .write_all(&framed(&body(&RequestFrame { id, request })))?;
        Ok(id)
    }

    /// Receives the next message.
    pub fn receive(&mut self) -> io::Result<ServerFrame> {
        let frame = read_frame(&mut self.stream)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        decode(&frame)
    }

    /// Sends a request and waits for its reply.
    pub fn ask(&mut self, request: Request) -> io::Result<Response> {
        let asked = self.send(request)?;
        loop {
            if let ServerFrame::Reply { id, response } = self.receive()?
                && id == asked
            {
                return Ok(response);
            }
        }
    }
}

/// The encoding of a message, without its length.
pub fn body(message: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(message, &mut bytes).unwrap();
    bytes
}

/// A body with its length in front.
pub fn framed(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap();
    [&length.to_be_bytes()[..], body].concat()
}

/// Reads one frame's body; `None` when the daemon has closed the connection.
pub fn read_frame(stream: &mut UnixStream) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match stream.read_exact(&mut length) {
        Ok(()) => {}
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    }
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut frame)?;
    Ok(Some(frame))
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    ciborium::from_reader(bytes).map_err(io::Error::other)
}
