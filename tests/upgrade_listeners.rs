//! Event listeners through an `upgrade`, which they do not notice, and through the death of the daemon, which ends them.

use crate::harness::{Daemon, wait};
use crate::listeners::{
    Noted, READY, REMOTE, daemon, listener, noted, remote, section, wait_listener, wait_noted,
};
use crate::upgrade::upgrade;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use taskmaster::wire::{ListenerState, Request, Response};

/// Upgrades in a row.
const UPGRADES: usize = 10;
/// Room for every event of a test.
const ROOM: &str = "buffer_size=100000\n";

/// Tells listeners `n1`, `n2` … over one connection until it is told to stop, while `work` is done. Returns how many.
fn while_events_come(daemon: &Daemon, work: impl FnOnce()) -> usize {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let mut client = daemon.client();
        let stop = &done;
        let teller = scope.spawn(move || {
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) {
                number += 1;
                let request = Request::Remote {
                    subject: "count".to_owned(),
                    data: format!("n{number}"),
                };
                assert_eq!(client.ask(request).unwrap(), Response::Accepted);
                // Some at once and then a pause, so that a listener is found ready as well as busy.
                if number % 4 == 0 {
                    std::thread::sleep(std::time::Duration::from_millis(20));
                }
            }
            number
        });
        work();
        done.store(true, Ordering::Relaxed);
        teller.join().unwrap()
    })
}

/// Demands that one process has heard of the events 1 to `count`, each once and in this order.
#[track_caller]
fn each_once_in_order(heard: &[Noted], count: usize) {
    let payloads: Vec<&str> = heard.iter().map(|event| event.payload.as_str()).collect();
    let expected: Vec<String> = (1..=count)
        .map(|number| format!("type:count\nn{number}"))
        .collect();
    assert_eq!(payloads, expected);
    let serials: Vec<u64> = heard.iter().map(Noted::serial).collect();
    assert_eq!(serials, (0..count as u64).collect::<Vec<_>>());
    let processes: BTreeSet<i32> = heard.iter().map(|event| event.listener).collect();
    assert_eq!(processes.len(), 1, "{processes:?}");
}

#[test]
fn every_event_is_heard_once_and_in_order_through_many_upgrades() {
    let names = ["ready", "slow", "pieces"];
    let sections: String = [("ready", "ok"), ("slow", "slow"), ("pieces", "pieces")]
        .iter()
        .map(|(name, mode)| section(name, mode, &format!("{REMOTE}{ROOM}")))
        .collect();
    let daemon = daemon(&sections);
    for name in names {
        wait_listener(&daemon, name, READY);
    }
    let pids = names.map(|name| daemon.pid(name));
    daemon.note_descriptors();
    let count = while_events_come(&daemon, || {
        for _ in 0..UPGRADES {
            upgrade(&daemon);
        }
    });
    assert!(count > UPGRADES, "{count}");
    for name in names {
        let heard = wait_noted(&daemon, name, count);
        each_once_in_order(&heard, count);
        wait_listener(&daemon, name, READY);
    }
    assert_eq!(names.map(|name| daemon.pid(name)), pids);
    for name in names {
        let row = daemon.row(name);
        assert!(row.restarts == 0 && !row.adopted, "{row:?}");
        // What it said is in its log, each byte once.
        let log = daemon.child_log(&format!("{name}_0_out.log"));
        let said = format!("READY\n{}", "RESULT 2\nOKREADY\n".repeat(count));
        daemon.wait_content(&log, &said);
        assert_eq!(std::fs::read_to_string(&log).unwrap(), said);
    }
    daemon.close();
}

#[test]
fn what_was_half_said_and_half_written_is_finished_after_an_upgrade() {
    let daemon = daemon(&format!(
        "{}{}",
        section("half", "half", REMOTE),
        section("late", "late", REMOTE)
    ));
    for name in ["half", "late"] {
        wait_listener(&daemon, name, READY);
    }
    // More than a pipe holds, so that a part of it stays with the daemon.
    let large = "x".repeat(300_000);
    remote(&daemon, "large", &large);
    remote(&daemon, "small", "y");
    wait_noted(&daemon, "half", 1);
    daemon.wait_content(daemon.child_log("half_0_out.log"), "READY\nRESULT 2");
    for _ in 0..3 {
        upgrade(&daemon);
        for name in ["half", "late"] {
            let listener = listener(&daemon, name);
            assert_eq!(listener.state, Some(ListenerState::Busy), "{name}");
            assert_eq!(listener.waiting, 1, "{name}");
        }
    }
    let pids = ["half", "late"].map(|name| daemon.pid(name));
    for name in ["half", "late"] {
        daemon.sandbox.write(&format!("out/{name}.go"), "");
        let heard = wait_noted(&daemon, name, 2);
        assert_eq!(heard.len(), 2);
        assert!(heard[0].payload == format!("type:large\n{large}"), "{name}");
        assert_eq!(heard[1].payload, "type:small\ny", "{name}");
        wait_listener(&daemon, name, READY);
    }
    assert_eq!(["half", "late"].map(|name| daemon.pid(name)), pids);
    daemon.close();
}

#[test]
fn listeners_hear_nothing_of_an_upgrade_and_all_of_what_programs_write() {
    let daemon = daemon(&format!(
        "{}{}\
         [program.lines]\ncommand=sh -c \"n=0; while read go; do for i in 1 2 3 4 5 6 7 8 9; do n=$((n+1)); echo line-$n-end; sleep 0.01; done; done\"\n\
         autostart=true\nstartsecs=0\nstdout_events_enabled=true\n",
        section("all", "ok", &format!("events=EVENT\n{ROOM}")),
        section("output", "ok", &format!("events=PROCESS_LOG\n{ROOM}"))
    ));
    daemon.wait_state("lines", "RUNNING");
    for name in ["all", "output"] {
        wait_listener(&daemon, name, READY);
    }
    for _ in 0..UPGRADES {
        let input = Request::Input {
            target: "lines".to_owned(),
            data: b"go\n".to_vec(),
        };
        daemon.client().ask(input).unwrap();
        upgrade(&daemon);
    }
    let expected: String = (1..=9 * UPGRADES)
        .map(|number| format!("line-{number}-end\n"))
        .collect();
    let written = || -> String {
        let texts = noted(&daemon, "output").into_iter();
        texts
            .map(|event| event.payload.split_once('\n').unwrap().1.to_owned())
            .collect()
    };
    wait::for_condition("all lines to be heard", || {
        written().len() >= expected.len()
    });
    assert_eq!(written(), expected);
    remote(&daemon, "test", "last");
    let is_last = |event: &Noted| event.payload == "type:test\nlast";
    let heard = wait::until("the last event", || {
        let heard = noted(&daemon, "all");
        heard.iter().any(is_last).then_some(heard)
    });
    for (kind, times) in [
        ("SUPERVISOR_STATE_CHANGE_RUNNING", 1),
        ("PROCESS_GROUP_ADDED", 3),
        ("PROCESS_STATE_STOPPING", 0),
    ] {
        let told = heard.iter().filter(|event| event.name() == kind).count();
        assert_eq!(told, times, "{kind}");
    }
    // Every event is for this pool, so that both numbers count the same.
    for (number, event) in heard.iter().enumerate() {
        assert_eq!(event.serial(), number as u64);
        assert_eq!(event.header["serial"], event.header["poolserial"]);
    }
    daemon.close();
}

#[test]
fn a_listener_that_answers_or_ends_after_an_upgrade_is_dealt_with_as_ever() {
    let daemon = daemon(&format!(
        "{}{}{}",
        section("last", "last", REMOTE),
        section("die", "die", REMOTE),
        section("babble", "babble", REMOTE)
    ));
    for name in ["last", "die", "babble"] {
        wait_listener(&daemon, name, READY);
    }
    upgrade(&daemon);
    remote(&daemon, "test", "one");
    // The first ends with its answer, the second before it, the third says something else.
    daemon.wait_state("last", "EXITED");
    let heard = wait_noted(&daemon, "die", 2);
    assert_eq!(heard[0].serial(), heard[1].serial());
    assert_ne!(heard[0].listener, heard[1].listener);
    wait_listener(&daemon, "babble", Some(ListenerState::Unknown));
    upgrade(&daemon);
    assert_eq!(
        listener(&daemon, "babble").state,
        Some(ListenerState::Unknown)
    );
    daemon.ctl("restart babble").code(0);
    let heard = wait_noted(&daemon, "babble", 2);
    assert_eq!(heard[0].serial(), heard[1].serial());
    daemon.ctl("stop all").code(0);
    daemon.close();
}

#[test]
fn a_reload_that_concerns_the_daemon_alone_keeps_listeners() {
    let mut builder = Daemon::builder().config(&section("ears", "ok", REMOTE));
    let sandbox = crate::harness::Sandbox::new();
    sandbox.write("listen.sh", crate::listeners::SCRIPT);
    builder = builder.daemon_keys("identifier=first");
    let daemon = builder.clone().start_in(sandbox);
    wait_listener(&daemon, "ears", READY);
    let pid = daemon.pid("ears");
    remote(&daemon, "test", "one");
    wait_noted(&daemon, "ears", 1);
    builder
        .daemon_keys("identifier=second")
        .write_config(&daemon.sandbox);
    daemon.ctl("reload").is(0, "Restarted taskmasterd\n");
    remote(&daemon, "test", "two");
    let heard = wait_noted(&daemon, "ears", 2);
    let servers = heard.iter().map(|event| event.header["server"].as_str());
    assert_eq!(servers.collect::<Vec<_>>(), ["first", "second"]);
    assert_eq!(daemon.pid("ears"), pid);
    daemon.close();
}

#[test]
fn after_the_death_of_the_daemon_a_listener_is_stopped_and_started_anew() {
    let mut daemon = daemon(&format!(
        "{}[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n",
        section("ears", "ok", &format!("{REMOTE}{ROOM}"))
    ));
    daemon.wait_state("web", "RUNNING");
    wait_listener(&daemon, "ears", READY);
    let (web, before) = (daemon.pid("web"), daemon.pid("ears"));
    remote(&daemon, "test", "one");
    wait_noted(&daemon, "ears", 1);
    daemon.murder();
    daemon.launch();
    wait_listener(&daemon, "ears", READY);
    let row = daemon.row("ears");
    assert!(!row.adopted, "what it was told of ended with its daemon");
    assert!(!crate::harness::proc::is_alive(before));
    daemon.wait_log("what it was told of events ended with its daemon");
    // The others are taken over as ever.
    assert!(daemon.row("web").adopted && daemon.pid("web") == web);
    // It is told of what happens now, under numbers that begin anew.
    remote(&daemon, "test", "two");
    let heard = wait_noted(&daemon, "ears", 2);
    assert_eq!(heard[1].payload, "type:test\ntwo");
    assert_eq!(heard[1].serial(), 0);
    assert_ne!(heard[1].listener, before);
    daemon.close();
}
