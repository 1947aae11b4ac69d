use super::*;
use crate::sys::testing::{alone, in_fork, is_root};
use nix::sys::stat::umask;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixStream;

fn place() -> (tempfile::TempDir, PathBuf) {
    let base = tempfile::tempdir().unwrap();
    let socket = base.path().join("control.sock");
    (base, socket)
}

/// These permission bits, for our own user.
fn rights(mode: u32) -> Rights {
    Rights { mode, owner: None }
}

fn lock_path(socket: &Path) -> PathBuf {
    PathBuf::from(format!("{}.lock", socket.display()))
}

#[test]
fn the_mode_is_exact_whatever_the_umask() {
    let (_guard, socket) = place();
    for mask in [0, 0o022, 0o077, 0o777] {
        for mode in [0o600, 0o660, 0o700, 0o777] {
            in_fork(|| {
                let mut lock = Lock::acquire(&socket).map_err(|error| error.to_string())?;
                umask(Mode::from_bits_truncate(mask));
                let listener = lock
                    .bind(rights(mode), 5)
                    .map_err(|error| error.to_string())?;
                let seen = fs::symlink_metadata(&socket).map_err(|error| error.to_string())?;
                drop(listener);
                if seen.mode() & 0o7777 == mode {
                    Ok(())
                } else {
                    Err(format!("{mask:o}: {:o} for {mode:o}", seen.mode()))
                }
            });
        }
    }
}

#[test]
fn the_file_never_appears_wider_than_asked_for() {
    let (_guard, socket) = place();
    alone(|| {
        umask(Mode::empty());
        // Before anything could narrow it.
        drop(bound(&socket, Mode::S_IRUSR | Mode::S_IWUSR).unwrap());
        let mode = fs::symlink_metadata(&socket).unwrap().mode() & 0o7777;
        assert_eq!(mode, 0o600, "{mode:o}");
    });
}

#[test]
fn only_one_holds_the_lock_and_is_named_to_others() {
    alone(|| {
        let (_guard, socket) = place();
        let lock = Lock::acquire(&socket).unwrap();
        assert!(lock.is_intact());
        let mode = fs::metadata(lock_path(&socket)).unwrap().mode() & 0o7777;
        assert_eq!(mode & 0o077, 0, "{mode:o}");
        let refused = Lock::acquire(&socket).unwrap_err();
        let pid = Pid::new(nix::unistd::getpid().as_raw());
        let expected = LockError::Held {
            path: lock_path(&socket),
            pid,
        };
        assert_eq!(refused, expected);
        let text = refused.to_string();
        assert!(
            text.starts_with(&format!("already running as PID {}", pid.unwrap())),
            "{text}"
        );

        // The holder's word may be missing; the lock counts all the same.
        fs::write(lock_path(&socket), "").unwrap();
        assert!(matches!(
            Lock::acquire(&socket),
            Err(LockError::Held { pid: None, .. })
        ));

        // A lock file that was replaced no longer guards anything, and its holder can tell.
        fs::remove_file(lock_path(&socket)).unwrap();
        assert!(!lock.is_intact());
        let second = Lock::acquire(&socket).unwrap();
        assert!(second.is_intact());
        lock.remove().unwrap();
        assert!(second.is_intact(), "the file of the new holder stays");
        second.remove().unwrap();
        assert!(!lock_path(&socket).exists());
    });
}

#[test]
fn range_locks_exclude_as_well() {
    alone(|| {
        let (_guard, path) = place();
        let one = File::create(&path).unwrap();
        let other = File::options().write(true).open(&path).unwrap();
        assert_eq!(try_range_lock(&one), Ok(true));
        assert_eq!(try_range_lock(&other), Ok(false));
        drop(one);
        assert_eq!(try_range_lock(&other), Ok(true));
    });
}

#[test]
fn a_socket_that_was_left_behind_is_replaced() {
    alone(|| {
        let (_guard, socket) = place();
        let mut lock = Lock::acquire(&socket).unwrap();
        drop(lock.bind(rights(0o600), 5).unwrap());
        assert_eq!(
            UnixStream::connect(&socket).unwrap_err().kind(),
            ErrorKind::ConnectionRefused
        );
        drop(lock);
        let mut lock = Lock::acquire(&socket).unwrap();
        let listener = lock.bind(rights(0o600), 5).unwrap();
        assert_eq!(
            listener.accept().unwrap_err().kind(),
            ErrorKind::WouldBlock,
            "non-blocking"
        );
        let client = UnixStream::connect(&socket).unwrap();
        listener.accept().unwrap();
        drop(client);
        lock.remove().unwrap();
        assert!(!socket.exists() && !lock_path(&socket).exists());
    });
}

#[test]
fn what_is_no_socket_of_ours_is_neither_followed_nor_removed() {
    let (guard, socket) = place();
    let victim = guard.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    let mut lock = Lock::acquire(&socket).unwrap();
    symlink(&victim, &socket).unwrap();
    assert!(matches!(
        lock.bind(rights(0o600), 5),
        Err(LockError::Unsafe {
            kind: "symbolic link",
            ..
        })
    ));
    fs::remove_file(&socket).unwrap();
    fs::write(&socket, "a file").unwrap();
    let refused = lock.bind(rights(0o600), 5).unwrap_err();
    assert!(
        refused.to_string().contains("it is a regular file of user"),
        "{refused}"
    );
    drop(lock);
    fs::remove_file(lock_path(&socket)).unwrap();

    symlink(&victim, lock_path(&socket)).unwrap();
    assert!(matches!(
        Lock::acquire(&socket),
        Err(LockError::Unsafe {
            kind: "symbolic link",
            ..
        })
    ));
    fs::remove_file(lock_path(&socket)).unwrap();
    fs::hard_link(&victim, lock_path(&socket)).unwrap();
    assert!(matches!(
        Lock::acquire(&socket),
        Err(LockError::Unsafe {
            kind: "regular file",
            ..
        })
    ));
    fs::remove_file(lock_path(&socket)).unwrap();
    fs::create_dir(lock_path(&socket)).unwrap();
    assert!(matches!(
        Lock::acquire(&socket),
        Err(LockError::Unsafe {
            kind: "directory",
            ..
        })
    ));
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
}

#[test]
fn files_of_others_are_refused() {
    if !is_root("files_of_others_are_refused") {
        return;
    }
    let (_guard, socket) = place();
    fs::write(lock_path(&socket), "1\n").unwrap();
    fs::set_permissions(lock_path(&socket), fs::Permissions::from_mode(0o666)).unwrap();
    chown(lock_path(&socket), Some(65_534), None).unwrap();
    let expected = LockError::Unsafe {
        path: lock_path(&socket),
        kind: "regular file",
        owner: 65_534,
        mode: 0o666,
    };
    assert_eq!(Lock::acquire(&socket).unwrap_err(), expected);
    fs::remove_file(lock_path(&socket)).unwrap();
    let mut lock = Lock::acquire(&socket).unwrap();
    drop(UnixListener::bind(&socket).unwrap());
    chown(&socket, Some(65_534), None).unwrap();
    assert!(matches!(
        lock.bind(rights(0o600), 5),
        Err(LockError::Unsafe {
            kind: "socket",
            owner: 65_534,
            ..
        })
    ));
    lock.remove().unwrap();
    assert!(socket.exists(), "the stranger's socket stays");
}

#[test]
fn a_path_is_at_most_107_bytes_long() {
    alone(|| {
        let (guard, _) = place();
        let base = guard.path().as_os_str().len() + 1;
        let fits = guard.path().join("x".repeat(SOCKET_PATH_MAX - base));
        let mut lock = Lock::acquire(&fits).unwrap();
        drop(lock.bind(rights(0o600), 5).unwrap());
        UnixStream::connect(&fits).unwrap_err();
        let long = guard.path().join("x".repeat(SOCKET_PATH_MAX - base + 1));
        let refused = Lock::acquire(&long).unwrap_err();
        assert_eq!(refused, LockError::TooLong { path: long });
        assert!(refused.to_string().contains("has 108 bytes"), "{refused}");
    });
}

#[test]
fn a_socket_is_given_to_its_owner_and_is_ours_all_the_same() {
    if !is_root("a_socket_is_given_to_its_owner_and_is_ours_all_the_same") {
        return;
    }
    alone(|| {
        let (_guard, socket) = place();
        let given = Rights {
            mode: 0o700,
            owner: Some((1234, Some(2345))),
        };
        let seen = || {
            let metadata = fs::symlink_metadata(&socket).unwrap();
            (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777)
        };
        let mut lock = Lock::acquire(&socket).unwrap();
        drop(lock.bind(given, 5).unwrap());
        assert_eq!(seen(), (1234, 2345, 0o700));
        // What an earlier daemon left is replaced, and the group stays our own where none is named.
        let alone = Rights {
            owner: Some((1234, None)),
            ..given
        };
        let own = fs::metadata(socket.parent().unwrap()).unwrap().gid();
        drop(lock.bind(alone, 5).unwrap());
        assert_eq!(seen(), (1234, own, 0o700));
        // What belongs to somebody else is not.
        let refused = lock.bind(rights(0o700), 5).unwrap_err();
        assert!(matches!(refused, LockError::Unsafe { owner: 1234, .. }));
        drop(lock.bind(alone, 5).unwrap());
        lock.remove().unwrap();
        assert!(!socket.exists());
    });
}
