//! What the loop asks about files, and the daemon's own log.

use super::*;
use crate::daemon::capture::thread::BUFFER_BYTES;

#[test]
fn clearing_works_for_the_living_the_dead_and_the_absent() {
    let mut rig = Rig::new();
    let mut pipe = rig.attach(stdout("web"), "live");
    pipe.write_all(b"live\n").unwrap();
    fs::write(rig.path("dead"), "dead\n").unwrap();
    fs::write(rig.path("dead.1"), "backup\n").unwrap();
    rig.settle();
    rig.clear(&["live", "dead", "absent", "nowhere/absent"])
        .unwrap();
    assert_eq!(
        (rig.read("live"), rig.read("dead")),
        (String::new(), String::new())
    );
    assert_eq!(rig.read("dead.1"), "backup\n");
    assert!(!rig.path("absent").exists());
    pipe.write_all(b"more\n").unwrap();
    rig.settle();
    assert_eq!(rig.read("live"), "more\n");
    std::os::unix::fs::symlink(rig.path("live"), rig.path("link")).unwrap();
    let error = rig.clear(&["link", "live"]).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ELOOP));
    assert_eq!(rig.read("live"), "", "the others are cleared all the same");
}

#[test]
fn the_end_of_a_file_is_as_long_as_asked_and_allowed() {
    let mut rig = Rig::new();
    fs::write(rig.path("log"), "0123456789").unwrap();
    let file = || LogRef::File(rig.path("log"));
    let (log, missing) = (file(), LogRef::File(rig.path("missing")));
    for (bytes, max, expected) in [
        (3, 100, "789"),
        (0, 100, "0123456789"),
        (0, 4, "6789"),
        (100, 100, "0123456789"),
        (5, 2, "89"),
    ] {
        let (data, size) = rig.tail(log.clone(), bytes, max).unwrap();
        assert_eq!(
            (String::from_utf8(data).unwrap().as_str(), size),
            (expected, 10)
        );
    }
    let errno = |result: io::Result<_>| result.unwrap_err().raw_os_error();
    assert_eq!(errno(rig.tail(missing, 1, 1)), Some(libc::ENOENT));
    let directory = LogRef::File(rig.path(""));
    assert!(rig.tail(directory, 1, 1).is_err());
}

#[test]
fn the_daemons_own_log_rotates_reopens_and_can_be_followed() {
    let mut rig = Rig::new();
    rig.capture.write_main(b"before it is open\n".to_vec());
    rig.capture.open_main(rig.path("main.log"), ByteSize(9), 2);
    let writer = rig.capture.main_log();
    for text in ["one 1\n", "two 2\n", "three 3\n", "four 4\n"] {
        writer.write(text.into());
    }
    let (tail, size) = rig.tail(LogRef::Main, 0, 100).unwrap();
    assert_eq!((tail.as_slice(), size), (b"four 4\n".as_slice(), 7));
    assert_eq!(rig.read("main.log.1"), "three 3\n");
    assert_eq!(rig.read("main.log.2"), "two 2\n");
    assert!(!rig.path("main.log.3").exists());
    rig.capture.follow(1, FollowTarget::Main, 2);
    rig.settle();
    fs::rename(rig.path("main.log"), rig.path("moved")).unwrap();
    writer.write(b"x\n".to_vec());
    rig.capture.reopen_all();
    writer.write(b"after\n".to_vec());
    assert_eq!(rig.followed(1, 10), "4\nx\nafter\n");
    let (tail, _) = rig.tail(LogRef::Main, 0, 100).unwrap();
    assert_eq!(tail, b"after\n");
    assert_eq!(rig.capture.main_health(), LogHealth::default());
}

#[test]
fn reopening_moves_every_stream_to_its_path() {
    let mut rig = Rig::new();
    let mut pipes = Vec::new();
    for name in ["a", "b"] {
        pipes.push((name, rig.attach(stdout(name), name)));
    }
    rig.settle();
    for (name, pipe) in &mut pipes {
        pipe.write_all(b"old\n").unwrap();
        rig.settle();
        fs::rename(rig.path(name), rig.path(&format!("{name}.moved"))).unwrap();
    }
    rig.capture.reopen_all();
    rig.settle();
    for (name, pipe) in &mut pipes {
        pipe.write_all(b"new\n").unwrap();
        rig.settle();
        assert_eq!(rig.read(name), "new\n");
        assert_eq!(rig.read(&format!("{name}.moved")), "old\n");
    }
}

#[test]
fn the_daemons_own_log_is_bounded_while_it_waits_and_says_what_is_missing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let shared = Arc::new(Shared::new().unwrap());
    let limits = Limits {
        maxbytes: 0,
        backups: 0,
    };
    let open = path.clone();
    shared.ask(Command::OpenMain {
        path: open,
        limits,
        restored: None,
    });
    // The thread does not run yet, so everything waits.
    let mut line = vec![b'x'; 1023];
    line.push(b'\n');
    for _ in 0..1034 {
        shared.write_main(line.clone());
    }
    let deadline = Instant::now();
    shared.ask(Command::Finish { deadline });
    let health = Arc::new(Health::default());
    let worker = Worker::new(
        shared,
        Poller::new().unwrap(),
        Arc::clone(&health),
        nowhere(),
        Inflight::new(None, BUFFER_BYTES).unwrap(),
    )
    .unwrap();
    assert!(matches!(worker.run(), Ended::Finished(true)));
    let mut expected = line.repeat(1024);
    expected.extend(b"[taskmaster: 10240 bytes lost]\n");
    assert!(fs::read(path).unwrap() == expected);
    assert_eq!(health.read().lost, 10_240);
}
