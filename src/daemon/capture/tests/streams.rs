//! Order, completeness and the account of lost bytes.

use super::*;

#[test]
fn bytes_arrive_unchanged_and_the_end_of_the_stream_closes_the_file() {
    let mut rig = Rig::new();
    let mut pipe = rig.attach(stdout("web"), "log");
    let bytes: Vec<u8> = (0..300_000u32)
        .map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()[1])
        .collect();
    rig.settle();
    assert!(
        is_open(&rig.path("log")),
        "the file exists before the first byte"
    );
    pipe.write_all(&bytes).unwrap();
    pipe.write_all(b"last words").unwrap();
    drop(pipe);
    let deadline = Instant::now() + PATIENCE;
    while is_open(&rig.path("log")) {
        assert!(Instant::now() < deadline, "the file is still open");
        rig.settle();
    }
    let mut expected = bytes;
    expected.extend(b"last words");
    assert!(fs::read(rig.path("log")).unwrap() == expected);
    assert_eq!(rig.health(&stdout("web")), LogHealth::default());
}

#[test]
fn lines_are_complete_and_in_order_through_many_rotations() {
    let mut rig = Rig::new();
    let settings = rig.settings("log", 4096, 10_000);
    let mut pipe = rig.attach_to(stdout("web"), &settings);
    let text = numbered_lines("a", 20_000);
    // Whole lines, each write far smaller than a read, so that every cut is the file's own.
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let end = rest
            .get(..1000)
            .map_or(rest.len(), |part| part.rfind('\n').unwrap() + 1);
        pipe.write_all(&rest.as_bytes()[..end]).unwrap();
        rest = &rest[end..];
    }
    drop(pipe);
    let (whole, directory) = rig.finish();
    assert!(whole);
    let files = fs::read_dir(directory.path()).unwrap().count();
    assert!(files > 200, "{files} files");
    let mut all = String::new();
    for number in (0..files).rev() {
        let name = if number == 0 {
            "log".into()
        } else {
            format!("log.{number}")
        };
        let part = fs::read_to_string(directory.path().join(name)).unwrap();
        assert!(part.len() <= 4096 && !part.is_empty());
        all.push_str(&part);
    }
    assert_eq!(numbers(&all, "a"), (0..20_000).collect::<Vec<_>>());
}

#[test]
fn streams_that_share_a_file_rotate_it_together() {
    let mut rig = Rig::new();
    let settings = rig.settings("log", 2000, 10_000);
    let writers: Vec<_> = [Channel::Stdout, Channel::Stderr]
        .into_iter()
        .zip(["out", "err"])
        .map(|(channel, tag)| {
            let mut pipe = rig.attach_to(stream("web", channel), &settings);
            std::thread::spawn(move || {
                for line in numbered_lines(tag, 3000).split_inclusive('\n') {
                    pipe.write_all(line.as_bytes()).unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.join().unwrap();
    }
    let (whole, directory) = rig.finish();
    assert!(whole);
    let files = fs::read_dir(directory.path()).unwrap().count();
    let mut all = String::new();
    for number in (1..files).rev() {
        let part = fs::read_to_string(directory.path().join(format!("log.{number}"))).unwrap();
        assert!(part.len() <= 2000);
        all.push_str(&part);
    }
    all.push_str(&fs::read_to_string(directory.path().join("log")).unwrap());
    for tag in ["out", "err"] {
        assert_eq!(numbers(&all, tag), (0..3000).collect::<Vec<_>>(), "{tag}");
    }
}

#[test]
fn a_grandchild_that_keeps_the_pipe_delays_nothing_and_loses_nothing() {
    let mut rig = Rig::new();
    let mut grandchild = rig.attach(stdout("web"), "log");
    let mut program = rig.attach(stdout("web"), "log");
    program.write_all(b"new\n").unwrap();
    rig.settle();
    assert_eq!(rig.read("log"), "new\n");
    grandchild.write_all(b"old\n").unwrap();
    rig.settle();
    drop(grandchild);
    program.write_all(b"newer\n").unwrap();
    rig.settle();
    assert_eq!(rig.read("log"), "new\nold\nnewer\n");
    rig.capture.forget(&stdout("web").key);
    program.write_all(b"forgotten\n").unwrap();
    drop(program);
    let (whole, directory) = rig.finish();
    assert!(whole);
    let text = fs::read_to_string(directory.path().join("log")).unwrap();
    assert!(text.ends_with("newer\nforgotten\n"));
}

#[test]
fn the_last_words_of_a_process_come_before_the_first_of_the_next() {
    let mut rig = Rig::new();
    let settings = rig.settings("log", 0, 0);
    let (old, mut old_end) = pipe::output()
        .map(|(read, write)| (read, File::from(write)))
        .unwrap();
    let (new, mut new_end) = pipe::output()
        .map(|(read, write)| (read, File::from(write)))
        .unwrap();
    // More than one read takes, where the kernel allows it.
    let larger = nix::fcntl::fcntl(&old, nix::fcntl::FcntlArg::F_SETPIPE_SZ(512 << 10));
    let length = if larger.is_ok() { 400_000 } else { 4_000 };
    old_end.write_all(&vec![b'a'; length]).unwrap();
    new_end.write_all(b"b").unwrap();
    for pipe in [old, new] {
        rig.capture.attach(
            stdout("web"),
            pid(),
            pipe,
            &settings,
            AttachOptions::default(),
        );
    }
    let (whole, directory) = rig.finish();
    assert!(whole);
    let text = fs::read(directory.path().join("log")).unwrap();
    assert_eq!(text.len(), length + 1);
    assert_eq!(text.last(), Some(&b'b'));
}

#[test]
fn a_full_disk_costs_bytes_that_are_counted_and_never_blocks_the_program() {
    let mut rig = Rig::new();
    let stream = stdout("web");
    let mut pipe = rig.attach_to(stream.clone(), &log(Path::new("/dev/full"), 0, 0));
    pipe.write_all(&vec![b'x'; 1 << 20]).unwrap();
    drop(pipe);
    let told = rig.wait(|event| match event {
        CaptureEvent::LogTrouble {
            stream,
            path,
            errno,
        } => Some((stream.clone(), path.clone(), *errno)),
        _ => None,
    });
    let errno = libc::ENOSPC;
    assert_eq!(told, (Some(stream.clone()), "/dev/full".into(), errno));
    rig.settle();
    let health = LogHealth {
        lost: 1 << 20,
        errno: Some(errno),
    };
    assert_eq!(rig.health(&stream), health);
    // It is told once, even to a process that is started again and again.
    for _ in 0..3 {
        rig.attach_to(stream.clone(), &log(Path::new("/dev/full"), 0, 0))
            .write_all(b"x")
            .unwrap();
    }
    rig.settle();
    assert!(rig.events.is_empty(), "{:?}", rig.events);
    assert_eq!(rig.health(&stream).lost, (1 << 20) + 3);
}

#[test]
fn what_was_lost_leaves_a_line_and_recovery_is_told() {
    let mut rig = Rig::new();
    let stream = stdout("web");
    let mut pipe = rig.attach(stream.clone(), "later/log");
    rig.wait(|event| matches!(event, CaptureEvent::LogTrouble { .. }).then_some(()));
    pipe.write_all(b"lost\n").unwrap();
    rig.settle();
    assert_eq!(rig.health(&stream).lost, 5);
    fs::create_dir(rig.path("later")).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let mut written = 5;
    // It is tried again when data comes, at most every second.
    let told = loop {
        assert!(Instant::now() < deadline);
        pipe.write_all(b"data\n").unwrap();
        written += 5;
        rig.settle();
        let recovered = rig.events.iter().find_map(|event| match event {
            CaptureEvent::LogRecovered { lost, .. } => Some(*lost),
            _ => None,
        });
        if let Some(lost) = recovered {
            break lost;
        }
        let mut ready = Vec::new();
        let pause = Duration::from_millis(20);
        rig.poller.wait(&mut ready, Some(pause)).unwrap();
    };
    let lost = rig.health(&stream).lost;
    assert_eq!((told, rig.health(&stream).errno), (lost, None));
    let text = rig.read("later/log");
    let marker = format!("[taskmaster: {lost} bytes lost]\n");
    let rest = text.strip_prefix(&marker).unwrap();
    assert_eq!(rest.len() as u64 + lost, written);
    rig.settle();
    assert_eq!(rig.health(&stream).lost, lost);
}

#[test]
fn escape_sequences_go_where_that_is_wanted() {
    let mut rig = Rig::new();
    let settings = rig.settings("log", 0, 0);
    let (read, write) = pipe::output().unwrap();
    let options = AttachOptions {
        strip_ansi: true,
        adopted: false,
    };
    rig.capture
        .attach(stdout("web"), pid(), read, &settings, options);
    rig.capture
        .follow(1, FollowTarget::Stream(stdout("web"), None), 0);
    let mut pipe = File::from(write);
    for piece in ["\x1b[3", "1mred\x1b", "[0m\n"] {
        pipe.write_all(piece.as_bytes()).unwrap();
        rig.settle();
    }
    assert_eq!(rig.read("log"), "red\n");
    assert_eq!(rig.followed(1, 4), "red\n");
    let mut plain = rig.attach(stdout("plain"), "plain");
    plain.write_all(b"\x1b[31mred\n").unwrap();
    rig.settle();
    assert_eq!(rig.read("plain"), "\x1b[31mred\n");
}

#[test]
fn new_limits_hold_at_once() {
    let mut rig = Rig::new();
    let mut pipe = rig.attach(stdout("web"), "log");
    pipe.write_all(b"0123456789\n").unwrap();
    rig.settle();
    let settings = rig.settings("log", 4, 1);
    rig.capture.relimit(stdout("web"), &settings);
    rig.settle();
    pipe.write_all(b"abc\n").unwrap();
    rig.settle();
    assert_eq!(
        (rig.read("log"), rig.read("log.1")),
        ("abc\n".into(), "0123456789\n".into())
    );
}
