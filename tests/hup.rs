//! HUP: the file is applied, whatever the programs are doing.

use crate::harness::{Daemon, proc, wait};
use crate::reload::{BASE, EDITED, names, pids, running};
use nix::sys::signal::Signal;
use std::time::Duration;

#[test]
fn hup_applies_the_file() {
    let daemon = running(BASE, &["keep", "middle", "zeta"]);
    let [keep, middle, zeta] = ["keep", "middle", "zeta"].map(|name| daemon.pid(name));
    daemon.edit_config(EDITED);
    daemon.signal(Signal::SIGHUP);
    wait::for_condition("the new set", || {
        names(&daemon) == ["alpha", "keep", "middle"]
    });
    daemon.wait_state("alpha", "RUNNING");
    wait::for_condition("a new middle", || {
        daemon
            .row("middle")
            .pid
            .is_some_and(|pid| i32::try_from(pid) != Ok(middle))
    });
    assert_eq!(daemon.pid("keep"), keep);
    assert!(!proc::is_alive(zeta));
    daemon.close();
}

#[test]
fn fifty_hups_in_a_burst() {
    let daemon = running(BASE, &["keep", "middle", "zeta"]);
    daemon.rows();
    daemon.note_descriptors();
    let before = pids(&daemon, &["keep", "middle", "zeta"]);
    for _ in 0..50 {
        daemon.signal(Signal::SIGHUP);
    }
    daemon
        .ctl("reread")
        .is(0, "No config updates to processes\n");
    assert_eq!(pids(&daemon, &["keep", "middle", "zeta"]), before);
    // With changes in between: the last file wins, whatever was read on the way.
    for round in 0..50 {
        daemon.edit_config(if round % 2 == 0 { EDITED } else { BASE });
        daemon.signal(Signal::SIGHUP);
    }
    daemon.signal(Signal::SIGHUP);
    wait::for_condition("the last file's set", || {
        names(&daemon) == ["keep", "middle", "zeta"]
    });
    for name in ["keep", "middle", "zeta"] {
        daemon.wait_state(name, "RUNNING");
    }
    wait::for_condition("the last file's command", || {
        daemon
            .row("middle")
            .pid
            .is_some_and(|pid| proc::command_line(i32::try_from(pid).unwrap()) == "sleep 1001")
    });
    assert_eq!(daemon.pid("keep"), before[0]);
    wait::for_condition("three programs", || {
        proc::tagged(&daemon.sandbox.tag())
            .into_iter()
            .filter(|process| process.name == "sleep")
            .count()
            == 3
    });
    daemon.close();
}

/// One program for each state.
fn zoo_of_states(extra: &str) -> String {
    [
        ("starting", "sleep 1000", "autostart=true\nstartsecs=600"),
        ("running", "sleep 1000", "autostart=true\nstartsecs=0"),
        (
            "backoff",
            "/nonexistent/x",
            "autostart=true\nstartretries=1000",
        ),
        (
            "stopping",
            "$ZOO hold-term stopping",
            "autostart=true\nstartsecs=0\nstopwaitsecs=600",
        ),
        ("stopped", "sleep 1000", ""),
        (
            "exited",
            "$ZOO exit exited 0",
            "autostart=true\nstartsecs=0",
        ),
        ("fatal", "/nonexistent/x", "autostart=true\nstartretries=0"),
    ]
    .iter()
    .map(|(name, command, keys)| format!("[program.{name}]\ncommand={command}\n{keys}\n{extra}\n"))
    .collect()
}

/// The one that is told to stop does so when [`let_stop`] says so.
fn in_all_states() -> (Daemon, std::process::Child) {
    let daemon = Daemon::with(&zoo_of_states(""));
    daemon.sandbox.wait_mark("stopping", "ready");
    let stop = daemon.console("stop stopping").spawn().unwrap();
    for name in [
        "starting", "running", "backoff", "stopping", "stopped", "exited", "fatal",
    ] {
        daemon.wait_state(name, &name.to_uppercase());
    }
    (daemon, stop)
}

fn let_stop(daemon: &Daemon) {
    daemon.sandbox.write("out/stopping.go", "");
}

#[test]
fn hup_without_changes_in_each_state() {
    let (daemon, mut stop) = in_all_states();
    let kept = pids(&daemon, &["starting", "running"]);
    daemon.signal(Signal::SIGHUP);
    daemon
        .ctl("reread")
        .is(0, "No config updates to processes\n");
    assert_eq!(pids(&daemon, &["starting", "running"]), kept);
    for name in [
        "starting", "running", "stopping", "stopped", "exited", "fatal",
    ] {
        assert_eq!(daemon.state(name), name.to_uppercase());
    }
    let_stop(&daemon);
    assert_eq!(stop.wait().unwrap().code(), Some(0));
    assert_eq!(daemon.state("stopping"), "STOPPED");
    daemon.close();
}

#[test]
fn hup_with_changes_in_each_state() {
    let (daemon, mut stop) = in_all_states();
    let [starting, exited] = ["starting", "running"].map(|name| daemon.pid(name));
    daemon.edit_config(&zoo_of_states("environment=CHANGED=\"1\""));
    daemon.signal(Signal::SIGHUP);
    for (name, old) in [("starting", starting), ("running", exited)] {
        wait::for_condition(format!("a new {name}"), || {
            daemon
                .row(name)
                .pid
                .is_some_and(|pid| i32::try_from(pid) != Ok(old))
        });
        assert!(!proc::is_alive(old));
    }
    let_stop(&daemon);
    stop.wait().unwrap();
    wait::for_condition("no program of the old file", || {
        proc::tagged(&daemon.sandbox.tag())
            .into_iter()
            .filter(|process| process.name == "sleep" && process.pid != daemon.process())
            .all(|process| {
                std::fs::read(format!("/proc/{}/environ", process.pid))
                    .is_ok_and(|text| String::from_utf8_lossy(&text).contains("CHANGED=1"))
            })
    });
    daemon
        .ctl("reread")
        .is(0, "No config updates to processes\n");
    daemon.close();
}

#[test]
fn removal_in_each_state() {
    let (daemon, mut stop) = in_all_states();
    daemon.edit_config("");
    let_stop(&daemon);
    let said = daemon.ctl("update");
    said.code(0);
    for name in [
        "starting", "running", "backoff", "stopping", "stopped", "exited", "fatal",
    ] {
        assert!(
            said.stdout
                .contains(&format!("{name}: removed process group\n")),
            "{said:?}"
        );
    }
    assert_eq!(names(&daemon), Vec::<String>::new());
    stop.wait().unwrap();
    let left: Vec<_> = proc::tagged(&daemon.sandbox.tag())
        .into_iter()
        .filter(|process| process.pid != daemon.process())
        .collect();
    assert_eq!(left, []);
    daemon.close();
}

#[test]
fn what_was_stopped_by_hand_stays_stopped() {
    let daemon = running(BASE, &["keep", "middle", "zeta"]);
    daemon.ctl("stop keep").code(0);
    daemon.signal(Signal::SIGHUP);
    daemon.edit_config(EDITED);
    daemon.ctl("update").code(0);
    wait::holds("STOPPED", Duration::from_millis(300), || {
        daemon.state("keep") == "STOPPED"
    });
    daemon.close();
}
