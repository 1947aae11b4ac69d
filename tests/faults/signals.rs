//! B.2, B.3 and B.5: signals to the daemon, at odd times and in masses, and signals that it is asked to send.

use super::closing::{self, Scene};
use crate::harness::{Daemon, Sandbox, proc, wait};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const ONE: &str = "[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n";

#[test]
fn an_end_at_any_moment_of_the_start_leaves_nothing() {
    let sandbox = Sandbox::new();
    let builder = Daemon::builder().pidfile().config(ONE);
    builder.write_config(&sandbox);
    let start = || {
        let stream = |name: &str| {
            File::options()
                .create(true)
                .append(true)
                .open(sandbox.path(name))
                .unwrap()
        };
        let mut command = builder.command(&sandbox);
        command
            .stdin(Stdio::null())
            .stdout(stream("stdout"))
            .stderr(stream("stderr"));
        command.spawn().unwrap()
    };
    let mut orderly = 0;
    let begin = Instant::now();
    for round in 0_u64.. {
        // On a slow machine it takes longer until the daemon knows the signals.
        if round >= 30 && (orderly > 0 || begin.elapsed() > wait::patience()) {
            break;
        }
        let mut child = start();
        let pid = Pid::from_raw(child.id().cast_signed());
        // The moment is what this is about.
        std::thread::sleep(Duration::from_micros(700 * round));
        let signal = [Signal::SIGTERM, Signal::SIGINT][usize::from(round % 2 == 0)];
        kill(pid, signal).unwrap();
        let status = wait::until("the end", || child.try_wait().unwrap());
        // Before the first line of ours the signal acts as it does on everybody.
        let killed = status.signal() == Some(signal as i32);
        assert!(status.code() == Some(0) || killed, "{status}");
        orderly += usize::from(!killed);
        closing::nothing_of(&sandbox);
    }
    assert!(orderly > 0, "every one came too early");
}

#[test]
fn an_end_is_not_held_up_by_a_storm_of_other_signals() {
    let mut daemon = Daemon::with(ONE);
    daemon.wait_state("web", "RUNNING");
    let target = Pid::from_raw(daemon.process());
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let over = Arc::new(AtomicBool::new(false));
    let calm = Arc::clone(&over);
    let storm = std::thread::spawn(move || {
        let kinds = [
            Signal::SIGHUP,
            Signal::SIGUSR1,
            Signal::SIGUSR2,
            Signal::SIGCHLD,
        ];
        // Until it is gone, or has been a zombie for a while.
        let deadline = Instant::now() + 2 * wait::patience();
        for kind in kinds.into_iter().cycle() {
            if kill(target, kind).is_err() {
                break;
            }
            if Instant::now() > deadline {
                calm.store(true, Ordering::Relaxed);
                break;
            }
            count.fetch_add(1, Ordering::Relaxed);
            std::thread::yield_now();
        }
    });
    wait::for_condition("the storm to be felt", || {
        sent.load(Ordering::Relaxed) > 1000 && daemon.count_log("SIGHUP") >= 3
    });
    // The operator is served in it, and nothing that did not change is touched.
    let row = wait::quickly("a status", Duration::from_secs(2), 3, || daemon.row("web"));
    assert_eq!(row.state.name(), "RUNNING");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(), 0);
    assert!(!over.load(Ordering::Relaxed), "it ended after the storm");
    storm.join().unwrap();
    // However many came: each file read is one word in the log, and the program was started once.
    let log = daemon.sandbox.read("log/taskmaster.log");
    assert_eq!(log.matches("spawned: 'web'").count(), 1);
    closing::nothing_of(&daemon.sandbox);
}

#[test]
fn ten_thousand_signals_that_mean_nothing_cost_nothing() {
    let scene = Scene::with(ONE);
    scene.wait_state("web", "RUNNING");
    let before = scene.rest();
    for _ in 0..10_000 {
        scene.signal(Signal::SIGUSR1);
    }
    let wakeups = proc::wakeups(scene.process()) - before;
    assert!(wakeups < 50, "{wakeups} wake-ups");
    scene.close();
}

#[test]
fn who_ends_the_daemon_is_told() {
    let mut daemon = Daemon::with(
        "[program.web]\ncommand=/bin/sh -c 'kill -TERM $PPID; exec sleep 1000'\nstartsecs=0\n",
    );
    let mut starting = daemon
        .console("start web")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    assert_eq!(daemon.wait_exit(), 0);
    starting.wait().unwrap();
    let log = daemon.sandbox.read("log/taskmaster.log");
    let pid = log
        .split_once("spawned: 'web' with pid ")
        .and_then(|(_, rest)| rest.lines().next())
        .unwrap();
    let uid = nix::unistd::getuid();
    assert!(
        log.contains(&format!("SIGTERM was sent by pid {pid} of uid {uid}")),
        "{log}"
    );
    closing::nothing_of(&daemon.sandbox);
}

#[test]
fn signals_of_every_kind_to_a_program_change_no_state() {
    let scene = Scene::with(
        "[program.web]\ncommand=$ZOO note web USR1 TERM\nautostart=true\nstartsecs=0\nstopsignal=KILL\n\
         [program.slow]\ncommand=$ZOO hold-term slow\nautostart=true\nstartsecs=0\nstopwaitsecs=600\n",
    );
    scene.sandbox.wait_mark("web", "ready");
    scene.sandbox.wait_mark("slow", "ready");
    let pid = scene.pid("web");
    for bad in ["-1", "65", "RTMAX+1", "SIGSIG", "\u{1b}[2J", "KILL;ls"] {
        let said = scene.ctl(&["signal", bad, "web"]);
        assert_eq!(said.code, 1, "{said:?}");
        assert!(!said.stdout.contains('\u{1b}'), "{said:?}");
    }
    // No signal at all asks only whether it is there, as with Supervisor.
    scene.ctl("signal 0 web").is(0, "web: signalled\n");
    // Stopped by a signal it is still running, and goes on by another.
    scene.ctl("signal STOP web").is(0, "web: signalled\n");
    wait::for_condition("it to stop", || {
        proc::read(pid).is_some_and(|process| process.state == 'T')
    });
    assert_eq!(scene.state("web"), "RUNNING");
    scene.ctl("signal CONT web").is(0, "web: signalled\n");
    scene.ctl("signal USR1 web").is(0, "web: signalled\n");
    scene.sandbox.wait_mark("web", "got-USR1");
    assert_eq!(scene.pid("web"), pid);
    // During a stop it is one signal more and not the end of the stop.
    let mut stopping = scene
        .console("stop slow")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    scene.wait_state("slow", "STOPPING");
    scene.ctl("signal WINCH slow").is(0, "slow: signalled\n");
    assert_eq!(scene.state("slow"), "STOPPING");
    scene.sandbox.write("out/slow.go", "");
    assert_eq!(stopping.wait().unwrap().code(), Some(0));
    assert_eq!(scene.state("slow"), "STOPPED");
    // A real-time signal ends it, as it does by default.
    scene.ctl("signal RTMIN+3 web").is(0, "web: signalled\n");
    scene.wait_log("exited: web (terminated by signal 37; not expected)");
    scene.close();
}

#[test]
fn a_daemon_that_was_held_for_a_while_catches_up_and_kills_nobody_early() {
    let scene = Scene::with(
        "[program.deaf]\ncommand=$ZOO ignore deaf TERM\nautostart=true\nstartsecs=0\nstopwaitsecs=4\n\
         [program.fine]\ncommand=$ZOO slow-term fine 0.3\nautostart=true\nstartsecs=0\nstopwaitsecs=60\n\
         [program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\nautorestart=false\n\
         [program.late]\ncommand=sleep 1000\nstartsecs=1\n",
    );
    for name in ["deaf", "fine"] {
        scene.sandbox.wait_mark(name, "ready");
    }
    let (deaf, web) = (scene.pid("deaf"), scene.pid("web"));
    let mut client = scene.client();
    let targets = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    let stop = taskmaster::wire::Request::Stop {
        targets: targets(&["deaf", "fine"]),
        wait: false,
    };
    client.ask(stop).unwrap();
    let start = taskmaster::wire::Request::Start {
        targets: targets(&["late"]),
        wait: false,
    };
    client.ask(start).unwrap();
    scene.signal(Signal::SIGSTOP);
    kill(Pid::from_raw(web), Signal::SIGKILL).unwrap();
    // Longer than the deaf one has, and all its programs go on meanwhile.
    wait::holds("the daemon to be held", Duration::from_millis(4200), || {
        proc::is_alive(deaf)
    });
    scene.sandbox.wait_mark("fine", "term");
    scene.signal(Signal::SIGCONT);
    for (name, state) in [
        ("deaf", "STOPPED"),
        ("fine", "STOPPED"),
        ("web", "EXITED"),
        ("late", "RUNNING"),
    ] {
        scene.wait_state(name, state);
    }
    assert_eq!(scene.count_log("with SIGKILL"), 1);
    assert_eq!(
        scene.count_log(&format!("killing 'deaf' ({deaf}) with SIGKILL")),
        1
    );
    scene.wait_log("stopped: fine (exit status 0)");
    drop(client);
    scene.close();
}
