//! taskmaster-protocol(7): many clients, slow clients, and those that want to hear of things as they happen.

use crate::harness::{Client, Daemon, body, framed, proc, wait};
use crate::protocol::{ONE, steady};
use std::io::Write;
use std::os::unix::net::UnixStream;
use taskmaster::wire::{
    Channel, Notice, ProcessState, Request, RequestFrame, Response, ServerFrame, SubscriptionEnd,
    Topic,
};

#[test]
fn requests_may_be_sent_ahead() {
    let daemon = steady();
    let mut client = daemon.client();
    let mut bytes = Vec::new();
    for id in 100..300 {
        bytes.extend(framed(&body(&RequestFrame {
            id,
            request: Request::Status { targets: vec![] },
        })));
    }
    client.stream.write_all(&bytes).unwrap();
    let mut ids = Vec::new();
    while ids.len() < 200 {
        match client.receive().unwrap() {
            ServerFrame::Reply {
                id,
                response: Response::Status(reply),
            } => {
                assert_eq!(reply.rows.len(), 1);
                ids.push(id);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(ids, (100..300).collect::<Vec<_>>());
    drop(client);
    daemon.close();
}

#[test]
fn a_client_that_never_reads_costs_only_itself() {
    let daemon = steady();
    let before = proc::resident_kib(daemon.process());
    let client = daemon.client();
    let message = framed(&body(&RequestFrame {
        id: 1,
        request: Request::MainTail { bytes: 0 },
    }));
    let mut stream = client.stream;
    stream.set_nonblocking(true).unwrap();
    // Until the daemon takes no more, or has thrown the client out.
    for _ in 0..20_000 {
        match stream.write(&message) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
            Err(_) => break,
        }
    }
    let second = std::time::Duration::from_secs(1);
    wait::quickly("a status", second, 5, || daemon.rows());
    let grown = proc::resident_kib(daemon.process()).saturating_sub(before);
    assert!(grown < 96 * 1024, "{grown} KiB more");
    drop(stream);
    daemon.close();
}

#[test]
fn a_follower_that_never_reads_gets_a_gap_and_stalls_nobody() {
    let daemon = Daemon::with(
        "[program.flood]\ncommand=$ZOO flood flood\nautostart=true\nstartsecs=0\n\
         stdout_logfile=$DIR/log/flood.log\nstdout_logfile_maxbytes=1MB\nstdout_logfile_backups=1\n",
    );
    daemon.sandbox.wait_mark("flood", "ready");
    let mut client = daemon.client();
    client
        .send(Request::Subscribe {
            topic: Topic::Output {
                target: "flood".to_owned(),
                channel: Channel::Stdout,
                backlog: 0,
            },
        })
        .unwrap();
    // The program goes on although nobody reads here.
    let rotated = || {
        std::fs::metadata(daemon.sandbox.path("log/flood.log.1"))
            .and_then(|file| file.modified())
            .ok()
    };
    for _ in 0..3 {
        let seen = rotated();
        wait::for_condition("one more rotation", || rotated() != seen);
        daemon.rows();
    }
    assert!(proc::resident_kib(daemon.process()) < 128 * 1024);
    // What is read afterwards is either a gap or the end of the connection.
    let gap = loop {
        match client.receive() {
            Ok(ServerFrame::Notice {
                notice: Notice::Gap { lost },
                ..
            }) => break lost > 0,
            Ok(_) => {}
            Err(_) => break true,
        }
    };
    assert!(gap);
    drop(client);
    daemon.ctl("stop flood").code(0);
    daemon.close();
}

#[test]
fn three_hundred_clients_at_once() {
    let daemon = steady();
    let mut clients: Vec<_> = (0..300)
        .map(|_| Client::connect(&daemon.sandbox.socket_path()))
        .collect();
    let mut served = 0;
    for client in clients.iter_mut().flatten() {
        if matches!(client.ask(Request::Version), Ok(Response::Version(_))) {
            served += 1;
        }
    }
    assert!(served >= 64, "{served} were served");
    drop(clients);
    wait::for_condition("service", || daemon.try_names().is_some());
    daemon.close();
}

#[test]
fn more_clients_than_descriptors() {
    let daemon = Daemon::builder()
        .via(&["prlimit", "--nofile=100:100"])
        .arg("-a")
        .arg("64")
        .config(ONE)
        .start();
    daemon.wait_state("web", "RUNNING");
    let streams: Vec<_> = (0..150)
        .filter_map(|_| UnixStream::connect(daemon.sandbox.socket_path()).ok())
        .collect();
    let ticks = || -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", daemon.process())).unwrap();
        let fields: Vec<_> = text
            .rsplit_once(')')
            .unwrap()
            .1
            .split_whitespace()
            .collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let before = ticks();
    wait::holds(
        "the daemon lives",
        std::time::Duration::from_secs(1),
        || proc::is_alive(daemon.process()),
    );
    // A hundredth of a second each: a loop over accept would use a hundred of them.
    let used = ticks() - before;
    assert!(used < 50, "{used} ticks in a second");
    drop(streams);
    wait::for_condition("service", || daemon.try_names().is_some());
    daemon.ctl("restart web").code(0);
    daemon.close();
}

#[test]
fn state_changes_are_published() {
    let daemon = Daemon::with("[program.web]\ncommand=sleep 1000\nstartsecs=0\n");
    let mut client = daemon.client();
    let id = client
        .send(Request::Subscribe {
            topic: Topic::States,
        })
        .unwrap();
    let answer = client.receive().unwrap();
    assert!(
        matches!(answer, ServerFrame::Reply { id: of, response: Response::Subscribed } if of == id),
        "{answer:?}"
    );
    daemon.ctl("start web").code(0);
    daemon.ctl("stop web").code(0);
    let mut path = Vec::new();
    while path.last() != Some(&(ProcessState::Stopping, ProcessState::Stopped)) {
        match client.receive().unwrap() {
            ServerFrame::Notice {
                id: of,
                notice: Notice::State { name, from, to, .. },
            } => {
                assert_eq!((of, name.as_str()), (id, "web"));
                path.push((from, to));
            }
            other => panic!("{other:?}"),
        }
    }
    let expected = [
        (ProcessState::Stopped, ProcessState::Starting),
        (ProcessState::Starting, ProcessState::Running),
        (ProcessState::Running, ProcessState::Stopping),
        (ProcessState::Stopping, ProcessState::Stopped),
    ];
    assert_eq!(path, expected);
    // Groups come and go.
    daemon.edit_config("[program.new]\ncommand=sleep 1000\n");
    daemon.ctl("update").code(0);
    let mut groups = Vec::new();
    while groups.len() < 2 {
        if let ServerFrame::Notice { notice, .. } = client.receive().unwrap() {
            groups.push(notice);
        }
    }
    assert!(
        groups.contains(&Notice::GroupRemoved {
            group: "web".to_owned()
        }),
        "{groups:?}"
    );
    assert!(
        groups.contains(&Notice::GroupAdded {
            group: "new".to_owned()
        }),
        "{groups:?}"
    );
    // And the subscription ends when asked to.
    client
        .send(Request::Unsubscribe { subscription: id })
        .unwrap();
    wait::until("the end of the subscription", || {
        match client.receive().unwrap() {
            ServerFrame::End { id: of, reason } => {
                assert_eq!((of, reason), (id, SubscriptionEnd::Unsubscribed));
                Some(())
            }
            _ => None,
        }
    });
    drop(client);
    daemon.close();
}
