//! `FastCGI` programs under both: who has which socket, and what becomes of it.

use super::install::supervisor;
use super::rig::Rig;
use crate::harness::{proc, wait};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;

/// Pids of the processes of a program, as the console tells them.
fn pids(rig: &Rig) -> Vec<i32> {
    let said = rig.ask("status");
    let pid = |line: &str| {
        let mut words = line.split_whitespace();
        words.find(|&word| word == "pid")?;
        words.next()?.trim_end_matches(',').parse().ok()
    };
    said.stdout.lines().filter_map(pid).collect()
}

#[test]
fn copies_have_one_listening_socket_and_the_same_words_are_logged() {
    let Some(bin) = supervisor() else { return };
    let config = "[fcgi-program:web]\ncommand=sleep 1000\nsocket=unix://$DIR/run/web.sock\n\
                  socket_mode=0760\nnumprocs=2\nprocess_name=%(program_name)s-%(process_num)d\nstartsecs=0\n";
    for mut rig in [Rig::real(bin, config), Rig::ours(config)] {
        for name in ["web:web-0", "web:web-1"] {
            rig.settle(name, "RUNNING");
        }
        let path = rig.sandbox().path("run/web.sock");
        let stdin = |pid: i32| fs::read_link(format!("/proc/{pid}/fd/0")).unwrap();
        let pids = pids(&rig);
        assert_eq!(pids.len(), 2);
        assert_eq!(stdin(pids[0]), stdin(pids[1]));
        assert!(stdin(pids[0]).display().to_string().starts_with("socket:"));
        assert_eq!(fs::symlink_metadata(&path).unwrap().mode() & 0o7777, 0o760);
        UnixStream::connect(&path).unwrap();
        rig.ask("stop web:*");
        for name in ["web:web-0", "web:web-1"] {
            rig.settle(name, "STOPPED");
        }
        wait::for_condition("nobody to listen", || UnixStream::connect(&path).is_err());
        wait::for_condition("the end of both", || {
            !pids.iter().any(|&pid| proc::is_alive(pid))
        });
        let url = format!("unix://{}", path.display());
        // The log is written by a thread of its own.
        for word in ["Creating", "Closing"] {
            wait::for_condition(word, || {
                let log = rig.sandbox().read("log/taskmaster.log");
                log.contains(&format!("INFO {word} socket {url}"))
            });
        }
        rig.ask("start web:*");
        for name in ["web:web-0", "web:web-1"] {
            rig.settle(name, "RUNNING");
        }
        UnixStream::connect(&path).unwrap();
        rig.ask("shutdown");
        assert_eq!(rig.wait_exit(), Some(0));
    }
}

#[test]
fn a_port_that_is_taken_keeps_the_program_down_and_the_daemon_up() {
    let Some(bin) = supervisor() else { return };
    // The real one refuses to start at all where the socket cannot be made at its start, so it is taken later.
    let port = {
        let probe = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        probe.local_addr().unwrap().port()
    };
    let config = format!(
        "[fcgi-program:web]\ncommand=sleep 1000\nsocket=tcp://127.0.0.1:{port}\nstartretries=0\nautostart=false\n"
    );
    for rig in [Rig::real(bin, &config), Rig::ours(&config)] {
        assert_eq!(
            rig.ask("status web").stdout.split_whitespace().nth(1),
            Some("STOPPED")
        );
        let taken = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
        let said = rig.ask("start web");
        assert_ne!(said.stdout, "web: started\n", "{said:?}");
        assert_eq!(rig.ask("pid").code, 0, "the daemon serves");
        drop(taken);
        rig.ask("shutdown");
    }
}
