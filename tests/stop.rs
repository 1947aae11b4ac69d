//! `stop`: signals, patience, and that nothing is left.

use crate::harness::{Daemon, proc, wait};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::time::Duration;
use taskmaster::wire::Request;

#[test]
fn every_stop_signal_arrives() {
    let signals = [
        "TERM", "HUP", "INT", "QUIT", "USR1", "USR2", "ALRM", "WINCH",
    ];
    let mut config = String::new();
    for (index, name) in signals.iter().enumerate() {
        // Written in each of the ways that are understood.
        let spelt = match index % 3 {
            0 => (*name).to_owned(),
            1 => format!("SIG{name}"),
            _ => name.to_lowercase(),
        };
        config += &format!(
            "[program.{name}]\ncommand=$ZOO catch {name} {}\nautostart=true\nstartsecs=0\nstopsignal={spelt}\nstopwaitsecs=20\n",
            signals.join(" ")
        );
    }
    config += "[program.number]\ncommand=$ZOO catch number USR1 USR2\nautostart=true\nstartsecs=0\nstopsignal=12\nstopwaitsecs=20\n";
    config += "[program.kill]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\nstopsignal=KILL\nstopwaitsecs=20\n";
    config += "[program.rt]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\nstopsignal=RTMIN\nstopwaitsecs=20\n";
    let daemon = Daemon::with(&config);
    for name in signals.iter().chain(&["number"]) {
        daemon.sandbox.wait_mark(name, "ready");
    }
    daemon.wait_state("kill", "RUNNING");
    daemon.wait_state("rt", "RUNNING");
    daemon.ctl("stop all").code(0);
    for name in signals {
        let words: Vec<_> = daemon
            .sandbox
            .marks(name)
            .into_iter()
            .map(|mark| mark.word)
            .collect();
        assert_eq!(words, ["start", "ready", &format!("got-{name}")]);
        assert!(
            daemon
                .log()
                .contains(&format!("stopped: {name} (exit status 0)"))
        );
    }
    assert_eq!(daemon.sandbox.count_marks("number", "got-USR2"), 1);
    assert!(
        daemon
            .log()
            .contains("stopped: kill (terminated by SIGKILL)")
    );
    assert!(
        daemon
            .log()
            .contains("stopped: rt (terminated by SIGRTMIN)")
    );
    assert!(
        !daemon.log().contains("with SIGKILL"),
        "nobody had to be killed"
    );
    daemon.close();
}

#[test]
fn who_does_not_obey_is_killed_when_stopwaitsecs_are_over_and_not_earlier() {
    let daemon = Daemon::with(
        "[program.deaf]\ncommand=$ZOO ignore deaf TERM\nautostart=true\nstartsecs=0\nstopwaitsecs=1\n",
    );
    let mut lives = 0;
    let pid = wait::quickly("a kill", Duration::from_secs(6), 1, || {
        daemon.ctl("start deaf").code(0);
        lives += 1;
        wait::for_condition("it to be deaf", || {
            daemon.sandbox.count_marks("deaf", "ready") == lives
        });
        let pid = daemon.pid("deaf");
        let (said, took) = wait::timed(|| daemon.ctl("stop deaf"));
        said.is(0, "deaf: stopped\n");
        assert!(took >= Duration::from_secs(1), "killed after {took:?}");
        pid
    });
    let log = daemon.log();
    assert!(
        log.contains(&format!("killing 'deaf' ({pid}) with SIGKILL")),
        "{log}"
    );
    assert!(
        log.contains("stopped: deaf (terminated by SIGKILL)"),
        "{log}"
    );
    assert!(!proc::is_alive(pid));
    assert_eq!(daemon.state("deaf"), "STOPPED");
    daemon.close();
}

#[test]
fn who_obeys_slowly_is_left_alone() {
    let daemon = Daemon::with(
        "[program.slow]\ncommand=$ZOO hold-term slow\nautostart=true\nstartsecs=0\nstopwaitsecs=30\n\
         [program.other]\ncommand=sleep 1000\nstartsecs=0\n",
    );
    daemon.sandbox.wait_mark("slow", "ready");
    let mut stopping = daemon.console("stop slow").spawn().unwrap();
    daemon.wait_state("slow", "STOPPING");
    daemon
        .ctl("status slow")
        .is(0, "slow                             STOPPING  \n");
    // The others are served meanwhile.
    daemon.ctl("start other").is(0, "other: started\n");
    daemon.sandbox.write("out/slow.go", "");
    assert_eq!(stopping.wait().unwrap().code(), Some(0));
    assert_eq!(daemon.sandbox.count_marks("slow", "term"), 1);
    daemon.wait_log("stopped: slow (exit status 0)");
    assert!(!daemon.log().contains("SIGKILL"));
    daemon.close();
}

#[test]
fn no_member_of_the_group_survives_a_stop() {
    let daemon = Daemon::with(
        "[program.parent]\ncommand=$ZOO parent parent\nautostart=true\nstartsecs=0\n\
         [program.stubborn]\ncommand=$ZOO stubborn-child stubborn\nautostart=true\nstartsecs=0\n",
    );
    daemon.sandbox.wait_mark("stubborn", "ready");
    wait::for_condition("the child", || daemon.sandbox.marks("parent").len() == 2);
    for name in ["parent", "stubborn"] {
        let pid = daemon.pid(name);
        wait::for_condition("two members", || proc::group_members(pid).len() >= 2);
        daemon
            .ctl(&["stop", name])
            .is(0, &format!("{name}: stopped\n"));
        assert_eq!(proc::group_members(pid), Vec::<i32>::new(), "{name}");
    }
    daemon.close();
}

#[test]
fn stopasgroup_lets_the_group_know() {
    let daemon = Daemon::with(
        "[program.both]\ncommand=$ZOO family both told\nautostart=true\nstartsecs=0\nstopasgroup=true\nstopwaitsecs=20\n\
         [program.one]\ncommand=$ZOO family one alone\nautostart=true\nstartsecs=0\nstopwaitsecs=20\n",
    );
    for name in ["both", "one"] {
        daemon.sandbox.wait_mark(name, "ready");
        daemon.sandbox.wait_mark(name, "child-ready");
        let pid = daemon.pid(name);
        daemon
            .ctl(&["stop", name])
            .is(0, &format!("{name}: stopped\n"));
        assert_eq!(proc::group_members(pid), Vec::<i32>::new());
    }
    assert_eq!(daemon.sandbox.count_marks("both", "child-term"), 1);
    assert_eq!(daemon.sandbox.count_marks("one", "child-term"), 0);
    daemon.close();
}

#[test]
fn a_program_that_ends_by_itself_takes_nobody_along_unless_killasgroup() {
    let daemon = Daemon::with(
        "[program.keep]\ncommand=$ZOO leave-child keep\nautostart=true\nstartsecs=0\nautorestart=false\n\
         [program.sweep]\ncommand=$ZOO leave-child sweep\nautostart=true\nstartsecs=0\nautorestart=false\nkillasgroup=true\n",
    );
    let child = |name: &str| -> i32 {
        wait::until("the child", || {
            let marks = daemon.sandbox.marks(name);
            let word = marks
                .iter()
                .find_map(|mark| mark.word.strip_prefix("child-"))?;
            word.parse().ok()
        })
    };
    let (kept, swept) = (child("keep"), child("sweep"));
    daemon.wait_state("keep", "EXITED");
    daemon.wait_state("sweep", "EXITED");
    wait::for_condition("the swept child to be gone", || !proc::is_alive(swept));
    assert!(proc::is_alive(kept));
    kill(Pid::from_raw(kept), Signal::SIGKILL).unwrap();
    daemon.close();
}

#[test]
fn a_stop_in_each_state() {
    let daemon = Daemon::with(
        "[program.stopped]\ncommand=sleep 1000\n\
         [program.starting]\ncommand=sleep 1000\nautostart=true\nstartsecs=600\n\
         [program.running]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\nautorestart=true\n\
         [program.backoff]\ncommand=$ZOO exit backoff 1\nautostart=true\nstartsecs=600\nstartretries=1000\n\
         [program.exited]\ncommand=$ZOO exit exited 0\nautostart=true\nstartsecs=0\n\
         [program.fatal]\ncommand=$ZOO exit fatal 1\nautostart=true\nstartsecs=600\nstartretries=0\n",
    );
    for (name, state, answer, after) in [
        ("stopped", "STOPPED", "ERROR (not running)", "STOPPED"),
        ("exited", "EXITED", "ERROR (not running)", "EXITED"),
        ("fatal", "FATAL", "ERROR (not running)", "FATAL"),
        ("starting", "STARTING", "stopped", "STOPPED"),
        ("running", "RUNNING", "stopped", "STOPPED"),
    ] {
        daemon.wait_state(name, state);
        daemon
            .ctl(&["stop", name])
            .is(0, &format!("{name}: {answer}\n"));
        assert_eq!(daemon.state(name), after);
    }
    // BACKOFF and STARTING alternate here: the stop holds whichever it meets.
    daemon.wait_state("backoff", "BACKOFF");
    daemon.ctl("stop backoff").is(0, "backoff: stopped\n");
    let starts = daemon.sandbox.count_marks("backoff", "start");
    let running = daemon.sandbox.count_marks("running", "start");
    wait::holds(
        "what is stopped stays stopped",
        Duration::from_millis(1300),
        || daemon.state("backoff") == "STOPPED" && daemon.state("running") == "STOPPED",
    );
    assert_eq!(daemon.sandbox.count_marks("backoff", "start"), starts);
    assert_eq!(daemon.sandbox.count_marks("running", "start"), running);
    daemon.close();
}

#[test]
fn a_second_stop_joins_the_first() {
    let daemon = Daemon::with(
        "[program.slow]\ncommand=$ZOO hold-term slow\nautostart=true\nstartsecs=0\nstopwaitsecs=30\n",
    );
    daemon.sandbox.wait_mark("slow", "ready");
    let mut first = daemon.console("stop slow").spawn().unwrap();
    daemon.wait_state("slow", "STOPPING");
    let mut second = daemon.client();
    let targets = vec!["slow".to_owned()];
    second
        .send(Request::Stop {
            targets,
            wait: true,
        })
        .unwrap();
    // Both wait: what is answered after the second request was heard after it.
    daemon.rows();
    assert_eq!(daemon.state("slow"), "STOPPING");
    daemon.sandbox.write("out/slow.go", "");
    let answer = format!("{:?}", second.receive().unwrap());
    assert!(answer.contains("Stopped"), "{answer}");
    assert_eq!(daemon.state("slow"), "STOPPED");
    assert_eq!(first.wait().unwrap().code(), Some(0));
    assert_eq!(daemon.sandbox.count_marks("slow", "term"), 1);
    daemon.close();
}

#[test]
fn a_start_during_a_stop_never_makes_two() {
    let daemon = Daemon::with(
        "[program.slow]\ncommand=$ZOO hold-term slow\nautostart=true\nstartsecs=0\nstopwaitsecs=30\n",
    );
    daemon.sandbox.wait_mark("slow", "ready");
    let old = daemon.pid("slow");
    let mut stopping = daemon.console("stop slow").spawn().unwrap();
    daemon.wait_state("slow", "STOPPING");
    let mut starting = daemon.client();
    let targets = vec!["slow".to_owned()];
    starting
        .send(Request::Start {
            targets,
            wait: true,
        })
        .unwrap();
    // What is asked on another connection is answered after it.
    daemon.rows();
    daemon.sandbox.write("out/slow.go", "");
    stopping.wait().unwrap();
    starting.receive().unwrap();
    let spawned = daemon.count_log("spawned: 'slow'");
    assert!((1..=2).contains(&spawned), "{spawned} spawns");
    assert!(!proc::is_alive(old));
    if spawned == 2 {
        // The new one began after the old one had ended.
        let began = wait::until("the new one to begin", || {
            let marks = daemon.sandbox.marks("slow");
            let starts = marks.iter().filter(|mark| mark.word == "start");
            starts.map(|mark| mark.at).nth(1)
        });
        let marks = daemon.sandbox.marks("slow");
        let ended = marks.iter().find(|mark| mark.word == "term").unwrap().at;
        assert!(began >= ended);
        daemon.ctl("stop slow").code(0);
    }
    daemon.close();
}

#[test]
fn a_program_that_was_stopped_by_sigstop_can_be_stopped() {
    let daemon = Daemon::with(
        "[program.frozen]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\nstopwaitsecs=600\n\
         [program.froze]\ncommand=$ZOO stop-self froze\nautostart=true\nstartsecs=0\nstopwaitsecs=600\n",
    );
    daemon.wait_state("frozen", "RUNNING");
    let pid = daemon.pid("frozen");
    kill(Pid::from_raw(pid), Signal::SIGSTOP).unwrap();
    daemon.sandbox.wait_mark("froze", "ready");
    let own = daemon.pid("froze");
    for process in [pid, own] {
        wait::for_condition("a stopped process", || {
            proc::read(process).is_some_and(|process| process.state == 'T')
        });
    }
    // To be stopped is not to have ended.
    assert_eq!(daemon.state("frozen"), "RUNNING");
    assert_eq!(daemon.state("froze"), "RUNNING");
    daemon
        .ctl("stop frozen froze")
        .is(0, "frozen: stopped\nfroze: stopped\n");
    assert!(
        daemon
            .log()
            .contains("stopped: frozen (terminated by SIGTERM)")
    );
    daemon.close();
}

#[test]
fn a_child_that_ended_on_its_own_is_not_mistaken_for_another() {
    let daemon = Daemon::with(
        "[program.brief]\ncommand=$ZOO exit brief 0\nstartsecs=0\nautorestart=false\n",
    );
    // The end races with the stop; whoever wins, both answers are true.
    for _ in 0..15 {
        daemon.ctl("start brief").code(0);
        let said = daemon.ctl("stop brief");
        assert!(
            ["brief: stopped\n", "brief: ERROR (not running)\n"].contains(&said.stdout.as_str())
                && said.code == 0,
            "{said:?}"
        );
        let state = daemon.state("brief");
        assert!(["STOPPED", "EXITED"].contains(&state), "{state}");
    }
    assert_eq!(daemon.count_log("spawned: 'brief'"), 15);
    daemon.close();
}

#[test]
fn texts_and_codes_of_stop() {
    let daemon = Daemon::with(
        "[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n\
         [program.pair]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\nnumprocs=2\n",
    );
    daemon.wait_state("web", "RUNNING");
    daemon.ctl("stop web").is(0, "web: stopped\n");
    daemon.ctl("stop web").is(0, "web: ERROR (not running)\n");
    daemon
        .ctl("stop nosuch")
        .is(1, "nosuch: ERROR (no such process)\n");
    daemon
        .ctl("stop nosuch:*")
        .is(1, "nosuch: ERROR (no such group)\n");
    daemon
        .ctl("stop")
        .begins(1, "Error: stop requires a process name\n");
    daemon
        .ctl("stop pair")
        .is(0, "pair:0: stopped\npair:1: stopped\n");
    daemon.ctl("stop all").is(0, "");
    daemon.ctl("stop pair:*").is(0, "");
    daemon
        .ctl("status web")
        .code(3)
        .begins(3, "web                              STOPPED   ");
    daemon.close();
}
