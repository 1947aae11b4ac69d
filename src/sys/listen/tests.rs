//! Real sockets in a directory of the test.

use super::*;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};

const PRIVATE: Access = Access {
    mode: 0o700,
    owner: (None, None),
};

fn mode_of(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

/// Somebody who inherited the socket answers one connection.
fn answer(listening: &Listening) {
    let copy = listening.as_fd().try_clone_to_owned().unwrap();
    let (mut stream, _) = UnixListener::from(copy).accept().unwrap();
    stream.write_all(b"hello").unwrap();
}

#[test]
fn a_unix_socket_has_exactly_its_mode_and_loses_its_name_in_the_end() {
    let directory = tempfile::tempdir().unwrap();
    for mode in [0o700, 0o666, 0o777, 0o600] {
        let path = directory.path().join("sock");
        let access = Access { mode, ..PRIVATE };
        let listening = Listening::unix(&path, access, Some(5)).unwrap();
        assert_eq!(mode_of(&path), mode);
        let mut client = UnixStream::connect(&path).unwrap();
        answer(&listening);
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
        let names = fs::read_dir(directory.path()).unwrap().count();
        assert_eq!(names, 1, "no other name is left");
        drop(listening);
        assert!(!path.exists());
    }
}

#[test]
fn a_socket_that_nobody_serves_is_replaced_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sock");
    let open = || Listening::unix(&path, PRIVATE, None).map(drop);
    // Left by somebody who was killed.
    drop(UnixListener::bind(&path).unwrap());
    assert_eq!(open(), Ok(()));
    let served = UnixListener::bind(&path).unwrap();
    assert_eq!(open(), Err(Errno::EADDRINUSE));
    drop(served);
    fs::remove_file(&path).unwrap();
    let datagrams = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    assert_eq!(open(), Err(Errno::EADDRINUSE));
    drop(datagrams);
    fs::remove_file(&path).unwrap();
    fs::write(&path, "precious").unwrap();
    assert_eq!(open(), Err(Errno::ENOTSOCK));
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    fs::remove_file(&path).unwrap();
    // Neither a link to a socket nor one to nothing is followed.
    let target = directory.path().join("target");
    symlink(&target, &path).unwrap();
    assert_eq!(open(), Err(Errno::ENOTSOCK));
    drop(UnixListener::bind(&target).unwrap());
    assert_eq!(open(), Err(Errno::ENOTSOCK));
    assert!(target.exists());
    let nowhere = directory.path().join("nowhere/sock");
    assert_eq!(
        Listening::unix(&nowhere, PRIVATE, None).map(drop),
        Err(Errno::ENOENT)
    );
    let names = fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(names, 2, "a failure leaves nothing behind");
}

#[test]
fn a_name_that_is_somebody_elses_by_now_stays() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sock");
    let listening = Listening::unix(&path, PRIVATE, None).unwrap();
    fs::remove_file(&path).unwrap();
    let other = UnixListener::bind(&path).unwrap();
    drop(listening);
    assert!(path.exists());
    drop(other);
}

#[test]
fn mode_and_backlog_change_without_losing_who_waits() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sock");
    let listening = Listening::unix(&path, PRIVATE, Some(1)).unwrap();
    let mut client = UnixStream::connect(&path).unwrap();
    let access = Access {
        mode: 0o660,
        ..PRIVATE
    };
    listening.adjust(access, Some(100)).unwrap();
    assert_eq!(mode_of(&path), 0o660);
    // More than fitted before.
    let more: Vec<UnixStream> = (0..20)
        .map(|_| UnixStream::connect(&path).unwrap())
        .collect();
    answer(&listening);
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello");
    drop(more);
}

#[test]
fn root_gives_the_socket_away_before_anybody_sees_it() {
    if !geteuid().is_root() {
        use std::io::Write as _;
        let text = b"skipped: only root can give a file away\n";
        std::io::stderr().write_all(text).unwrap();
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sock");
    let access = Access {
        mode: 0o750,
        owner: (Some(12_345), Some(54_321)),
    };
    let listening = Listening::unix(&path, access, None).unwrap();
    let stat = fs::symlink_metadata(&path).unwrap();
    assert_eq!((stat.uid(), stat.gid()), (12_345, 54_321));
    assert_eq!(stat.mode() & 0o7777, 0o750);
    let back = Access {
        mode: 0o700,
        owner: (Some(0), None),
    };
    listening.adjust(back, None).unwrap();
    let stat = fs::symlink_metadata(&path).unwrap();
    assert_eq!((stat.uid(), stat.gid()), (0, 54_321));
    assert_eq!(stat.mode() & 0o7777, 0o700);
}

#[test]
fn tcp_is_shared_and_an_address_in_use_is_refused() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    assert_eq!(
        Listening::tcp(address, None).map(drop),
        Err(Errno::EADDRINUSE)
    );
    drop(free);
    let listening = Listening::tcp(address, Some(3)).unwrap();
    let mut client = TcpStream::connect(address).unwrap();
    let copy = listening.as_fd().try_clone_to_owned().unwrap();
    let (mut stream, _) = TcpListener::from(copy).accept().unwrap();
    stream.write_all(b"hello").unwrap();
    drop(stream);
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello");
    drop(listening);
    // Again at once, although connections have just been closed.
    Listening::tcp(address, None).unwrap();
}
