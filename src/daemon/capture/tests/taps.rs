//! Captured sections, events and the system log, through the real thread.

use super::*;
use std::os::unix::net::UnixDatagram;

const BEGIN: &str = "<!--XSUPERVISOR:BEGIN-->";
const END: &str = "<!--XSUPERVISOR:END-->";

const ALL: Wanted = Wanted {
    communicated: true,
    logged: true,
};

/// Settings of a stream that goes to file `name` and asks for more.
fn tapped(rig: &Rig, name: &str, capture: u64, events: bool) -> LogSettings {
    LogSettings {
        capture_maxbytes: ByteSize(capture),
        events_enabled: events,
        ..rig.settings(name, 0, 0)
    }
}

impl Rig {
    /// Waits until the log is `expected`: the end of a pipe may be seen a turn after its last bytes.
    fn await_log(&mut self, name: &str, expected: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.read(name) != expected {
            assert!(Instant::now() < deadline, "{:?}", self.read(name));
            self.settle();
        }
    }

    /// What was posted by now: sections and logged chunks in their order, and how many events were lost.
    fn posted(&mut self) -> (Vec<(&'static str, String)>, u64) {
        self.settle();
        let mut posted = Vec::new();
        let mut lost = 0;
        for event in self.events.drain(..) {
            let (kind, data) = match event {
                CaptureEvent::Communicated {
                    stream,
                    pid: of,
                    data,
                } => {
                    assert_eq!((stream, of), (stdout("web"), pid()));
                    ("section", data)
                }
                CaptureEvent::Logged {
                    stream,
                    pid: of,
                    data,
                } => {
                    assert_eq!((stream, of), (stdout("web"), pid()));
                    ("logged", data)
                }
                CaptureEvent::EventsLost { stream, events } => {
                    assert_eq!(stream, stdout("web"));
                    lost += events;
                    continue;
                }
                other => panic!("{other:?}"),
            };
            posted.push((kind, String::from_utf8(data).unwrap()));
        }
        (posted, lost)
    }
}

fn pairs(list: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    list.iter()
        .map(|&(kind, text)| (kind, text.to_owned()))
        .collect()
}

#[test]
fn sections_leave_the_log_and_are_posted_with_the_output_around_them() {
    let mut rig = Rig::new();
    rig.capture.want(ALL);
    let settings = tapped(&rig, "log", 1000, true);
    let mut pipe = rig.attach_to(stdout("web"), &settings);
    writeln!(pipe, "before{BEGIN}inside{END}after").unwrap();
    let (posted, _) = rig.posted();
    assert_eq!(
        posted,
        pairs(&[
            ("logged", "before"),
            ("logged", "inside"),
            ("section", "inside"),
            ("logged", "after\n"),
        ])
    );
    assert_eq!(rig.read("log"), "beforeafter\n");
    // Tokens that come in pieces.
    for piece in [
        "<!--XSUPER",
        "VISOR:BEGIN-->two<!--XSUPERVISOR",
        ":END-->",
        "<",
        "\n",
    ] {
        pipe.write_all(piece.as_bytes()).unwrap();
        rig.settle();
    }
    let (posted, lost) = rig.posted();
    assert_eq!(
        posted,
        pairs(&[("logged", "two"), ("section", "two"), ("logged", "<\n")])
    );
    assert_eq!(lost, 0);
    assert_eq!(rig.read("log"), "beforeafter\n<\n");
}

#[test]
fn times_are_for_the_log_alone() {
    let mut rig = Rig::new();
    rig.capture.want(ALL);
    let settings = LogSettings {
        timestamps: crate::config::model::Timestamps::Unix,
        ..tapped(&rig, "log", 1000, true)
    };
    let mut pipe = rig.attach_to(stdout("web"), &settings);
    writeln!(pipe, "one{BEGIN}inside{END}\ntwo").unwrap();
    let (posted, _) = rig.posted();
    assert_eq!(
        posted,
        pairs(&[
            ("logged", "one"),
            ("logged", "inside"),
            ("section", "inside"),
            ("logged", "\ntwo\n"),
        ])
    );
    let log = rig.read("log");
    let own: Vec<_> = log
        .lines()
        .map(|line| line.split_once(' ').unwrap().1)
        .collect();
    assert_eq!(own, ["one", "two"], "{log}");
}

#[test]
fn what_nobody_wants_is_not_posted_and_what_is_captured_is_not_logged() {
    let mut rig = Rig::new();
    let settings = tapped(&rig, "log", 1000, true);
    let mut pipe = rig.attach_to(stdout("web"), &settings);
    write!(pipe, "a{BEGIN}x{END}b").unwrap();
    assert_eq!(rig.posted(), (vec![], 0));
    assert_eq!(rig.read("log"), "ab");
    rig.capture.want(Wanted {
        communicated: true,
        logged: false,
    });
    write!(pipe, "c{BEGIN}y{END}d").unwrap();
    assert_eq!(rig.posted(), (pairs(&[("section", "y")]), 0));
    assert_eq!(rig.read("log"), "abcd");
    // Without a limit for captured bytes the tokens are text like any other.
    let mut plain = rig.attach(stdout("plain"), "plain");
    write!(plain, "{BEGIN}z{END}").unwrap();
    assert_eq!(rig.posted(), (vec![], 0));
    assert_eq!(rig.read("plain"), format!("{BEGIN}z{END}"));
}

#[test]
fn output_is_posted_without_a_log_too() {
    let mut rig = Rig::new();
    rig.capture.want(ALL);
    let settings = LogSettings {
        target: LogTarget::Discard,
        ..tapped(&rig, "unused", 0, true)
    };
    let mut pipe = rig.attach_to(stdout("web"), &settings);
    pipe.write_all(b"hello\n").unwrap();
    assert_eq!(rig.posted(), (pairs(&[("logged", "hello\n")]), 0));
}

#[test]
fn the_end_of_the_stream_gives_back_what_was_withheld() {
    let mut rig = Rig::new();
    rig.capture.want(ALL);
    let settings = tapped(&rig, "log", 4, false);
    let mut pipe = rig.attach_to(stdout("web"), &settings);
    write!(pipe, "short<!--XSUPERVISOR").unwrap();
    rig.settle();
    assert_eq!(rig.read("log"), "short");
    drop(pipe);
    rig.await_log("log", "short<!--XSUPERVISOR");
    let mut pipe = rig.attach_to(stdout("web"), &settings);
    write!(pipe, "\n{BEGIN}0123456789").unwrap();
    drop(pipe);
    let expected = format!("short<!--XSUPERVISOR\n[taskmaster: 6 bytes lost]\n{BEGIN}6789");
    rig.await_log("log", &expected);
    assert_eq!(rig.health(&stdout("web")).lost, 6);
    assert_eq!(
        rig.posted(),
        (vec![], 0),
        "an unclosed section is no message"
    );
    // The end of the daemon is the end of every stream.
    let mut pipe = rig.attach_to(stdout("web"), &settings);
    write!(pipe, "\n<!--XS").unwrap();
    let (whole, directory) = rig.finish();
    assert!(whole);
    let text = fs::read_to_string(directory.path().join("log")).unwrap();
    assert!(text.ends_with("6789\n<!--XS"), "{text}");
}

#[test]
fn a_flood_of_events_is_bounded_and_counted_and_costs_no_byte_of_the_log() {
    let mut rig = Rig::new();
    rig.capture.want(ALL);
    let settings = tapped(&rig, "log", 1000, true);
    let mut pipe = rig.attach_to(stdout("web"), &settings);
    let line = format!("{}\n", "x".repeat(999));
    let lines = 8000;
    for _ in 0..lines {
        pipe.write_all(line.as_bytes()).unwrap();
    }
    drop(pipe);
    // The loop looks at nothing until the thread has read everything.
    let deadline = Instant::now() + PATIENCE;
    let size = || fs::metadata(rig.path("log")).map_or(0, |metadata| metadata.len());
    while size() < lines * 1000 {
        assert!(Instant::now() < deadline, "{} bytes", size());
        std::thread::yield_now();
    }
    let (posted, lost) = rig.posted();
    let kept: usize = posted.iter().map(|(_, text)| text.len()).sum();
    assert!(kept <= queue::POSTED_BYTES, "{kept} bytes waited");
    assert!(kept > queue::POSTED_BYTES / 2, "{kept} bytes waited");
    assert!(lost > 0);
    assert_eq!(rig.health(&stdout("web")), LogHealth::default());
    // A section that is larger than the queue passes all the same.
    let settings = tapped(&rig, "big", 100 << 20, false);
    let mut pipe = rig.attach_to(stdout("web"), &settings);
    let text = "y".repeat(2 * queue::POSTED_BYTES);
    write!(pipe, "{BEGIN}{text}{END}").unwrap();
    drop(pipe);
    let (posted, _) = rig.posted();
    assert_eq!(posted.len(), 1);
    assert_eq!(posted[0].1.len(), text.len());
}

#[test]
fn lines_go_to_the_system_log_whole_with_the_name_of_the_process() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("syslog");
    let receiver = UnixDatagram::bind(&socket).unwrap();
    receiver.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut rig = Rig::with(socket);
    let settings = LogSettings {
        syslog: true,
        ..tapped(&rig, "log", 100, false)
    };
    let mut pipe = rig.attach_to(stdout("web"), &settings);
    let receive = || {
        let mut buffer = vec![0; 16 << 10];
        let length = receiver.recv(&mut buffer).unwrap();
        let text = String::from_utf8(buffer[..length].to_vec()).unwrap();
        assert!(text.starts_with("<14>"), "{text}");
        text.split_once(" taskmasterd: ").unwrap().1.to_owned()
    };
    for piece in [
        "one\ntw",
        "o\n",
        "three<!--XSUPERVISOR:BEGIN-->x<!--XSUPERVISOR:END-->\n",
        "last",
    ] {
        pipe.write_all(piece.as_bytes()).unwrap();
        rig.settle();
    }
    drop(pipe);
    for expected in ["web one", "web two", "web three", "web last"] {
        assert_eq!(receive(), expected);
    }
    rig.settle();
    assert_eq!(rig.read("log"), "one\ntwo\nthree\nlast");
    rig.capture.send_main_to_syslog();
    rig.capture
        .write_main(b"2026-01-01 00:00:00,000 INFO hello\n".to_vec());
    assert_eq!(receive(), "2026-01-01 00:00:00,000 INFO hello");
    // More than the kernel keeps for a reader that is slow: all of it comes in the end.
    let settings = LogSettings {
        target: LogTarget::Discard,
        ..settings
    };
    let mut pipe = rig.attach_to(stdout("web"), &settings);
    let count = 2000;
    for number in 0..count {
        writeln!(pipe, "number {number}").unwrap();
    }
    drop(pipe);
    rig.settle();
    for number in 0..count {
        assert_eq!(receive(), format!("web number {number}"));
    }
    assert!(rig.capture.events().is_empty(), "no trouble");
}
