//! Datagrams to the service manager that started this process, by the protocol of `sd_notify(3)`.
//!
//! The manager names a datagram socket in the environment: a path, or a name without a file, which begins with `@`. What
//! the lines of a message mean is the caller's business.

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, sendto, setsockopt, socket,
    sockopt::SendTimeout,
};
use nix::sys::time::{TimeVal, TimeValLike};
use std::ffi::OsStr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

/// Variable that names the socket.
pub const VARIABLE: &str = "NOTIFY_SOCKET";

/// How long a message may wait for room in the manager's queue. A manager that hangs must not hang whom it manages.
const PATIENCE_MILLIS: i64 = 500;

/// Where a service manager listens.
#[derive(Debug)]
pub struct NotifySocket {
    socket: OwnedFd,
    address: UnixAddr,
}

impl NotifySocket {
    /// Prepares to send to the socket of this name. Whether anybody listens is not known before the first message.
    ///
    /// # Errors
    /// `EAFNOSUPPORT` for a name that is neither an absolute path nor begins with `@`, `ENAMETOOLONG` for one that does
    /// not fit into an address.
    pub fn open(name: &OsStr) -> Result<Self, Errno> {
        let address = match name.as_bytes() {
            path @ [b'/', _, ..] => UnixAddr::new(path)?,
            [b'@', name @ ..] if !name.is_empty() => UnixAddr::new_abstract(name)?,
            _ => return Err(Errno::EAFNOSUPPORT),
        };
        let socket = socket(
            AddressFamily::Unix,
            SockType::Datagram,
            SockFlag::SOCK_CLOEXEC,
            None,
        )?;
        setsockopt(
            &socket,
            SendTimeout,
            &TimeVal::milliseconds(PATIENCE_MILLIS),
        )?;
        Ok(Self { socket, address })
    }

    /// Sends one message: lines of the form `NAME=VALUE`.
    pub fn send(&self, message: &str) -> Result<(), Errno> {
        sendto(
            self.socket.as_raw_fd(),
            message.as_bytes(),
            &self.address,
            MsgFlags::MSG_NOSIGNAL,
        )
        .map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    use std::time::{Duration, Instant};

    fn received(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 64];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }

    #[test]
    fn paths_and_abstract_names_are_reached() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let socket = NotifySocket::open(path.as_os_str()).unwrap();
        socket.send("READY=1").unwrap();
        assert_eq!(received(&manager), "READY=1");

        let name = format!("taskmaster-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        let socket = NotifySocket::open(OsStr::new(&format!("@{name}"))).unwrap();
        socket.send("STOPPING=1\nSTATUS=x").unwrap();
        assert_eq!(received(&manager), "STOPPING=1\nSTATUS=x");
    }

    #[test]
    fn other_names_are_refused() {
        for name in ["", "/", "@", "notify", "vsock:2:1234"] {
            let refused = NotifySocket::open(OsStr::new(name)).map(|_| ());
            assert_eq!(refused, Err(Errno::EAFNOSUPPORT), "{name}");
        }
        let long = format!("/{}", "x".repeat(200));
        let refused = NotifySocket::open(OsStr::new(&long)).map(|_| ());
        assert_eq!(refused, Err(Errno::ENAMETOOLONG));
    }

    #[test]
    fn a_manager_that_is_gone_or_hangs_is_an_error_and_no_obstacle() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let socket = NotifySocket::open(path.as_os_str()).unwrap();
        assert_eq!(socket.send("READY=1"), Err(Errno::ENOENT));

        let _silent = UnixDatagram::bind(&path).unwrap();
        let begin = Instant::now();
        // One that is held up by the machine while it waits tells nothing.
        let told = |errno: &Errno| *errno != Errno::EINTR;
        let full = (0..100_000).find_map(|_| socket.send("READY=1").err().filter(told));
        assert_eq!(full, Some(Errno::EAGAIN));
        assert!(begin.elapsed() >= Duration::from_millis(400));
    }
}
