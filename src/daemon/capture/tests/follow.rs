//! Followers: no gap and no repetition, except where a gap is told.

use super::*;

#[test]
fn a_follower_misses_and_repeats_nothing_across_rotations() {
    let mut rig = Rig::new();
    let settings = rig.settings("log", 3000, 2);
    let mut pipe = rig.attach_to(stdout("web"), &settings);
    let text = numbered_lines("a", 2000);
    let (before, after) = text.split_at(text.len() / 2);
    let (early, late) = before.split_at(before.len() - 500);
    for part in [early, late] {
        pipe.write_all(part.as_bytes()).unwrap();
        rig.settle();
    }
    let target = FollowTarget::Stream(stdout("web"), Some(rig.path("log")));
    rig.capture.follow(7, target, 100);
    rig.settle();
    // What is there to begin with is what the live file has.
    let backlog = rig.read("log").len().min(100);
    let expected = &text[before.len() - backlog..];
    let writer = std::thread::spawn({
        let after = after.to_owned();
        move || pipe.write_all(after.as_bytes()).unwrap()
    });
    assert_eq!(rig.followed(7, expected.len()), expected);
    writer.join().unwrap();
    assert!(rig.path("log.2").exists());
}

#[test]
fn a_follower_that_comes_while_the_program_writes_gets_every_byte_once() {
    let mut rig = Rig::new();
    let mut pipe = rig.attach(stdout("web"), "log");
    let text = numbered_lines("a", 10_000);
    assert!(text.len() < queue::FOLLOWER_QUEUE_BYTES);
    let writer = std::thread::spawn({
        let text = text.clone();
        move || {
            for line in text.split_inclusive('\n') {
                pipe.write_all(line.as_bytes()).unwrap();
            }
        }
    });
    for subscription in 0..8 {
        let target = FollowTarget::Stream(stdout("web"), Some(rig.path("log")));
        rig.capture.follow(subscription, target, u64::MAX);
        rig.settle();
    }
    for subscription in 0..8 {
        assert!(rig.followed(subscription, text.len()) == text);
    }
    writer.join().unwrap();
}

#[test]
fn a_follower_stays_when_the_program_is_started_again_or_not_yet() {
    let mut rig = Rig::new();
    let target = FollowTarget::Stream(stdout("web"), Some(rig.path("log")));
    rig.capture.follow(1, target, 1000);
    for text in ["first\n", "second\n"] {
        rig.attach(stdout("web"), "log")
            .write_all(text.as_bytes())
            .unwrap();
        rig.settle();
    }
    assert_eq!(rig.followed(1, 13), "first\nsecond\n");
    rig.capture.unfollow(1);
    rig.attach(stdout("web"), "log")
        .write_all(b"third\n")
        .unwrap();
    rig.settle();
    assert!(rig.events.is_empty(), "{:?}", rig.events);
}

#[test]
fn a_follower_of_a_file_sees_all_that_is_written_to_it_and_of_a_stream_only_that() {
    let mut rig = Rig::new();
    let follow = |name: &str, path| FollowTarget::Stream(stdout(name), path);
    let mut one = rig.attach(stdout("one"), "log");
    let mut two = rig.attach(stdout("two"), "log");
    let target = follow("one", Some(rig.path("log")));
    rig.capture.follow(1, target, 0);
    let discard = LogSettings {
        target: LogTarget::Discard,
        maxbytes: ByteSize(0),
        backups: 0,
        timestamps: crate::config::model::Timestamps::None,
        shown: crate::config::model::ShownOn::default(),
        direct: false,
        capture_maxbytes: ByteSize(0),
        events_enabled: false,
        syslog: false,
    };
    let mut three = rig.attach_to(stdout("three"), &discard);
    rig.capture.follow(2, follow("three", None), 0);
    for (pipe, text) in [(&mut one, "1\n"), (&mut two, "2\n"), (&mut three, "3\n")] {
        rig.settle();
        pipe.write_all(text.as_bytes()).unwrap();
    }
    rig.settle();
    assert_eq!(rig.followed(1, 4), "1\n2\n");
    assert_eq!(rig.followed(2, 2), "3\n");
    assert!(rig.events.is_empty(), "{:?}", rig.events);
}

#[test]
fn a_follower_that_is_not_served_gets_a_gap_in_its_place() {
    let mut rig = Rig::new();
    let mut pipe = rig.attach(stdout("web"), "log");
    rig.capture
        .follow(1, FollowTarget::Stream(stdout("web"), None), 0);
    rig.capture.tail(99, LogRef::Main, 1, 1);
    rig.wait(|event| matches!(event, CaptureEvent::Tailed { .. }).then_some(()));
    let flood = numbered_lines("a", 60_000);
    assert!(flood.len() > 3 << 20);
    pipe.write_all(flood.as_bytes()).unwrap();
    // Not fetching events, wait for the file alone.
    let deadline = Instant::now() + PATIENCE;
    while rig.read("log").len() < flood.len() {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    // The thread delivers after it has written: ask it something so that it is through.
    rig.settle();
    let (mut got, mut gaps) = (Vec::new(), Vec::new());
    for event in rig.events.drain(..) {
        match event {
            CaptureEvent::Output { data, .. } => {
                assert!(gaps.is_empty(), "output after the gap that it precedes");
                got.extend(data);
            }
            CaptureEvent::Gap {
                subscription: 1,
                lost,
            } => gaps.push(lost),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(gaps.len(), 1);
    assert!(got.len() <= queue::FOLLOWER_QUEUE_BYTES);
    assert!(flood.as_bytes().starts_with(&got));
    assert_eq!(got.len() as u64 + gaps[0], flood.len() as u64);
    pipe.write_all(b"on\n").unwrap();
    assert_eq!(rig.followed(1, 3), "on\n");
}
