//! taskmaster-protocol(7) from the wrong side: bytes that no honest client sends.

use crate::harness::{Client, Daemon, body, framed, proc, read_frame};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use taskmaster::wire::{
    Hello, PROTOCOL_VERSION, Refusal, Request, RequestFrame, Response, ServerFrame,
};

/// One program that runs.
pub const ONE: &str = "[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n";

fn raw(daemon: &Daemon) -> UnixStream {
    Client::open(&daemon.sandbox.socket_path()).unwrap()
}

/// Reads until the daemon closes the connection. It must, within the patience of a read.
#[track_caller]
fn closed(mut stream: UnixStream) {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => {}
        Err(error) => assert_eq!(
            error.kind(),
            std::io::ErrorKind::ConnectionReset,
            "not closed"
        ),
    }
}

/// A daemon that must be as it was after the test.
pub fn steady() -> Daemon {
    let daemon = Daemon::with(ONE);
    daemon.wait_state("web", "RUNNING");
    daemon.rows();
    daemon.note_descriptors();
    daemon
}

#[test]
fn the_daemon_greets() {
    let daemon = steady();
    let client = daemon.client();
    assert_eq!(client.hello.protocol, PROTOCOL_VERSION);
    assert_eq!(client.hello.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(i32::try_from(client.hello.pid), Ok(daemon.process()));
    assert!(client.hello.identifier.is_some());
    drop(client);
    daemon.close();
}

#[test]
fn garbage_ends_the_connection_and_nothing_else() {
    let daemon = steady();
    let noise: Vec<u8> = (0..100_000_u32)
        .map(|number| number.wrapping_mul(2_654_435_761).to_be_bytes()[1])
        .collect();
    for bytes in [
        &noise[..],
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        &[0xff; 64],
        &[0, 0, 0, 0, 0, 0, 0, 0],
        &framed(&[0xff]),
        &framed(b""),
    ] {
        let mut stream = raw(&daemon);
        // The daemon may close before all is sent.
        stream.write_all(bytes).ok();
        stream.shutdown(std::net::Shutdown::Write).ok();
        closed(stream);
    }
    daemon.close();
}

#[test]
fn lengths_beyond_the_limit_are_refused_from_the_header() {
    let daemon = steady();
    for length in [u32::MAX, 0x7fff_ffff, 64 << 20, (1 << 20) + 1] {
        let mut stream = raw(&daemon);
        stream.write_all(&length.to_be_bytes()).unwrap();
        closed(stream);
        // After the greeting as well.
        let mut client = daemon.client();
        client.stream.write_all(&length.to_be_bytes()).unwrap();
        closed(client.stream);
    }
    assert!(proc::resident_kib(daemon.process()) < 200 * 1024);
    daemon.close();
}

#[test]
fn every_prefix_of_a_request_executes_nothing() {
    let daemon = steady();
    let pid = daemon.pid("web");
    let message = framed(&body(&RequestFrame {
        id: 1,
        request: Request::Stop {
            targets: vec!["web".to_owned()],
            wait: false,
        },
    }));
    for cut in 0..message.len() {
        let mut client = daemon.client();
        client.stream.write_all(&message[..cut]).unwrap();
    }
    assert_eq!(daemon.pid("web"), pid);
    assert_eq!(daemon.state("web"), "RUNNING");
    daemon.close();
}

#[test]
fn a_request_in_pieces_is_understood() {
    let daemon = steady();
    let mut client = daemon.client();
    let message = framed(&body(&RequestFrame {
        id: 9,
        request: Request::Version,
    }));
    for byte in message {
        client.stream.write_all(&[byte]).unwrap();
    }
    let answer = client.receive().unwrap();
    let expected = ServerFrame::Reply {
        id: 9,
        response: Response::Version(env!("CARGO_PKG_VERSION").to_owned()),
    };
    assert_eq!(answer, expected);
    drop(client);
    daemon.close();
}

#[test]
fn another_version_of_the_protocol_is_told_ours() {
    let daemon = steady();
    for protocol in [0, PROTOCOL_VERSION + 1, u32::MAX] {
        let mut stream = raw(&daemon);
        let hello = Hello {
            protocol,
            ..Client::greeting()
        };
        stream.write_all(&framed(&body(&hello))).unwrap();
        let greeting: Hello =
            ciborium::from_reader(&read_frame(&mut stream).unwrap().unwrap()[..]).unwrap();
        assert_eq!(greeting.protocol, PROTOCOL_VERSION);
        let refusal: ServerFrame =
            ciborium::from_reader(&read_frame(&mut stream).unwrap().unwrap()[..]).unwrap();
        let ServerFrame::Reply { response, .. } = &refusal else {
            panic!("{refusal:?}");
        };
        assert_eq!(
            *response,
            Response::Refused(Refusal::Protocol {
                supported: PROTOCOL_VERSION
            })
        );
        closed(stream);
    }
    daemon.close();
}

#[test]
fn bytes_after_the_item_are_refused() {
    let daemon = steady();
    let pid = daemon.pid("web");
    let mut bytes = body(&RequestFrame {
        id: 1,
        request: Request::Stop {
            targets: vec!["web".to_owned()],
            wait: true,
        },
    });
    bytes.extend([0xff, 0xff]);
    let mut client = daemon.client();
    client.stream.write_all(&framed(&bytes)).unwrap();
    // An answer is fine, if it is a refusal.
    if let Ok(ServerFrame::Reply { response, .. }) = client.receive() {
        assert!(
            matches!(response, Response::Refused(Refusal::NotUnderstood(_))),
            "{response:?}"
        );
    }
    drop(client);
    assert_eq!(daemon.pid("web"), pid);
    daemon.close();
}

#[test]
fn an_unknown_request_is_answered_and_the_connection_goes_on() {
    #[derive(serde::Serialize)]
    enum Strange {
        Dance { targets: Vec<String> },
    }
    #[derive(serde::Serialize)]
    struct StrangeFrame {
        id: u64,
        request: Strange,
    }
    let daemon = steady();
    let mut client = daemon.client();
    let strange = StrangeFrame {
        id: 77,
        request: Strange::Dance {
            targets: vec!["web".to_owned()],
        },
    };
    client.stream.write_all(&framed(&body(&strange))).unwrap();
    match client.receive().unwrap() {
        ServerFrame::Reply {
            id: 77,
            response: Response::Refused(Refusal::NotUnderstood(_)),
        } => {}
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        client.ask(Request::Version).unwrap(),
        Response::Version(_)
    ));
    drop(client);
    daemon.close();
}

#[test]
fn unknown_fields_are_ignored() {
    #[derive(serde::Serialize)]
    struct Newer {
        targets: Vec<String>,
        colour: &'static str,
    }
    #[derive(serde::Serialize)]
    enum NewerRequest {
        Status(Newer),
    }
    #[derive(serde::Serialize)]
    struct NewerFrame {
        id: u64,
        request: NewerRequest,
        deadline_ms: u64,
    }
    let daemon = steady();
    let mut client = daemon.client();
    let newer = NewerFrame {
        id: 5,
        request: NewerRequest::Status(Newer {
            targets: vec![],
            colour: "red",
        }),
        deadline_ms: 3,
    };
    client.stream.write_all(&framed(&body(&newer))).unwrap();
    match client.receive().unwrap() {
        ServerFrame::Reply {
            id: 5,
            response: Response::Status(reply),
        } => assert_eq!(reply.rows.len(), 1),
        other => panic!("{other:?}"),
    }
    drop(client);
    daemon.close();
}

#[test]
fn nesting_and_huge_declared_sizes_do_no_harm() {
    let daemon = steady();
    let before = proc::resident_kib(daemon.process());
    for bytes in [
        vec![0x81; 1 << 19],
        vec![0xc1; 1 << 19],
        vec![0x9f; 1 << 19],
        vec![0x9b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        vec![0x5b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        vec![0xbb, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    ] {
        let mut client = daemon.client();
        client.stream.write_all(&framed(&bytes)).ok();
        client.stream.shutdown(std::net::Shutdown::Write).ok();
        closed(client.stream);
    }
    let grown = proc::resident_kib(daemon.process()).saturating_sub(before);
    assert!(grown < 32 * 1024, "{grown} KiB more");
    daemon.close();
}

#[test]
fn odd_targets_name_nothing() {
    let daemon = steady();
    let mut client = daemon.client();
    for target in [
        "",
        "..",
        "../x",
        "a/b",
        "*",
        ":",
        ":*",
        "web\n",
        "web\0",
        "\u{1b}[2J",
        "ALL",
        "web:*:*",
    ] {
        let answer = client
            .ask(Request::Stop {
                targets: vec![target.to_owned()],
                wait: true,
            })
            .unwrap();
        assert!(
            matches!(answer, Response::Results(_)),
            "{target:?}: {answer:?}"
        );
        assert_eq!(daemon.state("web"), "RUNNING", "{target:?}");
    }
    let answer = client
        .ask(Request::Status {
            targets: vec!["x".repeat(100_000)],
        })
        .unwrap();
    assert!(
        matches!(
            answer,
            Response::Status(_) | Response::Refused(Refusal::TooLarge)
        ),
        "{answer:?}"
    );
    drop(client);
    daemon.close();
}

/// Most memory that the daemon has ever had, in MiB.
fn peak_memory(daemon: &Daemon) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.process())).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    line.split_whitespace()
        .next()
        .unwrap()
        .parse::<u64>()
        .unwrap()
        / 1024
}

#[test]
fn large_logs_asked_for_all_at_once_do_not_pile_up() {
    let daemon = Daemon::with(
        "[program.web]\ncommand=sleep 1000\nautostart=true\nstdout_logfile=$DIR/big\nstdout_logfile_maxbytes=0\n",
    );
    daemon.wait_state("web", "RUNNING");
    let big = std::fs::File::options()
        .create(true)
        .append(true)
        .open(daemon.sandbox.path("big"))
        .unwrap();
    big.set_len(20 << 20).unwrap();
    let mut client = daemon.client();
    let asked: Vec<u64> = (0..30)
        .map(|_| {
            client
                .send(Request::Tail {
                    target: "web".to_owned(),
                    channel: taskmaster::wire::Channel::Stdout,
                    bytes: 0,
                })
                .unwrap()
        })
        .collect();
    // A client that has said everything still gets its answers, in order.
    client.stream.shutdown(std::net::Shutdown::Write).unwrap();
    for expected in asked {
        match client.receive().unwrap() {
            ServerFrame::Reply {
                id,
                response: Response::Log(chunk),
            } => {
                assert_eq!(id, expected);
                assert_eq!((chunk.data.len(), chunk.size), (16 << 20, 20 << 20));
            }
            other => panic!("{other:?}"),
        }
    }
    let peak = peak_memory(&daemon);
    assert!(peak < 200, "{peak} MiB");
    daemon.close();
}

#[test]
fn names_that_multiply_are_refused() {
    let daemon = Daemon::with("[program.web]\ncommand=sleep 1000\nnumprocs=300\n");
    let mut client = daemon.client();
    let many = || vec!["web".to_owned(); 4000];
    for request in [
        Request::Status { targets: many() },
        Request::Pid { targets: many() },
        Request::Clear { targets: many() },
        Request::Stop {
            targets: many(),
            wait: true,
        },
    ] {
        let answer = client.ask(request).unwrap();
        assert_eq!(answer, Response::Refused(Refusal::TooLarge));
    }
    // As many as there are, or as many names as are allowed, are fine.
    for (target, count) in [("web:0", 4096), ("web", 13)] {
        match client
            .ask(Request::Pid {
                targets: vec![target.to_owned(); count],
            })
            .unwrap()
        {
            Response::Pids(rows) => assert!(rows.len() >= 3900, "{}", rows.len()),
            other => panic!("{other:?}"),
        }
    }
    let peak = peak_memory(&daemon);
    assert!(peak < 100, "{peak} MiB");
    daemon.close();
}

#[test]
fn a_flood_of_frames_that_are_no_requests_holds_nobody_up() {
    let daemon = steady();
    let mut client = daemon.client();
    client.stream.set_nonblocking(true).unwrap();
    let flood = framed(&[0xff]).repeat(20_000);
    let mut sent = 0;
    // Until the daemon stops reading, because its answers are not read.
    crate::harness::wait::until("the daemon to stop reading", || {
        match client.stream.write(&flood) {
            Ok(count) => {
                sent += count;
                None
            }
            Err(_) => Some(()),
        }
    });
    assert_eq!(daemon.state("web"), "RUNNING");
    assert!(sent > 0);
    let peak = peak_memory(&daemon);
    assert!(peak < 60, "{peak} MiB");
    drop(client);
    daemon.close();
}
