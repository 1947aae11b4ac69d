//! A daemon that is killed, and the next one, which takes over what it finds.

use crate::harness::{Daemon, Sandbox, proc, wait};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use taskmaster::wire::{ExitStatus, Request, Response, StatusRow};

/// A program that writes numbered lines without an end, some at once and then a pause.
pub const NUMBERS: &str = "command=sh -c \"n=0; while :; do for i in 1 2 3 4 5 6 7 8; do n=$((n+1)); echo line-$n-end; done; sleep 0.01; done\"\n\
                           autostart=true\nstartsecs=0\nstdout_logfile_maxbytes=0\n";

/// The same for many at once, where Perl is at hand: it starts no process for each pause, of which hundreds of programs
/// would make more than the machine can bear.
pub fn many_numbers() -> String {
    let mut perl = std::process::Command::new("perl");
    if !perl.arg("-e").arg("").status().is_ok_and(|it| it.success()) {
        return NUMBERS.to_owned();
    }
    let loops = "$|=1; while (1) { print \"line-\".++$n.\"-end\\n\" for 1..8; select(undef, undef, undef, 0.1) }";
    format!("command=perl -e '{loops}'\nautostart=true\nstartsecs=0\nstdout_logfile_maxbytes=0\n")
}

/// Demands that a log holds the lines 1, 2, 3 … without a gap, and says how many.
#[track_caller]
pub fn count_lines(path: &Path) -> u64 {
    // The first line makes the file.
    let text = String::from_utf8(fs::read(path).unwrap_or_default()).unwrap();
    let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
    let mut count = 0;
    for line in whole.lines() {
        count += 1;
        let context = || {
            let lines: Vec<&str> = text.lines().collect();
            let at = usize::try_from(count).unwrap();
            lines[at.saturating_sub(4)..lines.len().min(at + 3)].join("\n")
        };
        assert_eq!(
            line,
            format!("line-{count}-end"),
            "{}:\n{}",
            path.display(),
            context()
        );
    }
    count
}

fn forever(extra: &str) -> String {
    format!("[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n{extra}")
}

/// Kills the daemon and starts the next one.
fn crash(daemon: &mut Daemon) {
    daemon.murder();
    daemon.launch();
}

fn exit_of(row: &StatusRow) -> String {
    row.last_exit
        .as_ref()
        .map_or_else(String::new, ToString::to_string)
}

fn send(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).unwrap();
}

#[test]
fn a_program_goes_on_as_if_nothing_had_happened() {
    let mut daemon = Daemon::with(&format!("[program.count]\n{NUMBERS}"));
    daemon.wait_state("count", "RUNNING");
    let before = daemon.row("count");
    let log = daemon.child_log("count_0_out.log");
    wait::for_condition("lines", || count_lines(&log) > 50);
    daemon.murder();
    let left = count_lines(&log);
    daemon.launch();
    let after = daemon.row("count");
    assert_eq!(after.pid, before.pid);
    assert_eq!(after.state.name(), "RUNNING");
    assert!(after.adopted && !before.adopted);
    assert!(after.uptime_ms.unwrap() > before.uptime_ms.unwrap());
    assert!(
        after
            .started_at
            .unwrap()
            .abs_diff(before.started_at.unwrap())
            <= 1
    );
    daemon.ctl("status").code(0).mentions(", adopted\n");
    daemon.ctl("status --long").code(0).mentions("(adopted)");
    daemon
        .ctl("why count")
        .code(0)
        .mentions("adopted from a daemon that was killed");
    daemon
        .ctl("--json status")
        .code(0)
        .mentions("\"adopted\":true");
    wait::for_condition("more lines", || count_lines(&log) > left + 50);
    daemon.ctl("tail count").code(0).mentions("-end");
    daemon.ctl("signal CONT count").is(0, "count: signalled\n");
    // Its own children are called so, too, before they become what they execute; a second copy would stay.
    wait::for_condition("one copy", || {
        let all = proc::tagged(&daemon.sandbox.tag());
        all.iter().filter(|it| it.name == "sh").count() == 1
    });
    daemon.ctl("restart count").code(0);
    assert!(!daemon.row("count").adopted);
    wait::for_condition("a new process", || daemon.row("count").pid != before.pid);
    assert!(!proc::is_alive(i32::try_from(before.pid.unwrap()).unwrap()));
    daemon.close();
}

#[test]
fn the_end_of_an_adopted_program_is_noticed_and_its_code_known_or_honestly_not() {
    let mut daemon = Daemon::with(
        "[program.web]\ncommand=$ZOO read web\nautostart=true\nstartsecs=0\nautorestart=false\n\
         [program.again]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\nautorestart=unexpected\n\
         [program.code]\ncommand=sh -c \"read line; exit 7\"\nautostart=true\nstartsecs=0\nautorestart=false\n",
    );
    for name in ["web", "again", "code"] {
        daemon.wait_state(name, "RUNNING");
    }
    daemon.sandbox.wait_mark("web", "ready");
    crash(&mut daemon);
    let (web, again) = (daemon.pid("web"), daemon.pid("again"));
    // What is said to it arrives, and it has not seen an end of file.
    let mut client = daemon.client();
    for target in ["web", "code"] {
        let data = b"hello\n".to_vec();
        let target = target.to_owned();
        let said = client.ask(Request::Input { target, data }).unwrap();
        assert!(matches!(said, Response::Results(_)), "{said:?}");
    }
    daemon.sandbox.wait_mark("web", "read-hello");
    assert_eq!(daemon.sandbox.count_marks("web", "eof"), 0);
    let code = daemon.wait_state("code", "EXITED");
    assert!(
        matches!(
            code.last_exit,
            Some(ExitStatus::Code(7) | ExitStatus::Unknown)
        ),
        "{code:?}"
    );
    send(web, Signal::SIGKILL);
    let row = daemon.wait_state("web", "EXITED");
    let how = exit_of(&row);
    assert!(
        ["terminated by SIGKILL", "exit status unknown"].contains(&how.as_str()),
        "{how}"
    );
    assert!(row.trouble.is_some(), "it counts as unexpected: {row:?}");
    send(again, Signal::SIGTERM);
    wait::for_condition("a new process", || {
        let row = daemon.row("again");
        row.state.name() == "RUNNING" && !row.adopted
    });
    assert_ne!(daemon.pid("again"), again);
    daemon.close();
}

#[test]
fn what_ended_while_there_was_no_daemon_counts_as_unexpected() {
    let mut daemon = Daemon::with(
        "[program.once]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\nautorestart=false\n\
         [program.again]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n",
    );
    for name in ["once", "again"] {
        daemon.wait_state(name, "RUNNING");
    }
    let pids = ["once", "again"].map(|name| daemon.pid(name));
    daemon.murder();
    for pid in pids {
        send(pid, Signal::SIGKILL);
        wait::for_condition("its end", || !proc::is_alive(pid));
    }
    daemon.launch();
    let once = daemon.wait_state("once", "EXITED");
    assert_eq!(exit_of(&once), "exit status unknown");
    daemon.wait_state("again", "RUNNING");
    assert_ne!(daemon.pid("again"), pids[1]);
    daemon.close();
}

#[test]
fn what_was_known_of_programs_that_do_not_run_is_known_again() {
    let mut daemon = Daemon::with(
        "[program.stopped]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n\
         [program.done]\ncommand=$ZOO exit done 0\nautostart=true\nstartsecs=0\n\
         [program.fatal]\ncommand=$ZOO exit fatal 3\nautostart=true\nstartsecs=600\nstartretries=0\n\
         [program.idle]\ncommand=sleep 1000\n",
    );
    daemon.wait_state("stopped", "RUNNING");
    daemon.ctl("stop stopped").code(0);
    daemon.wait_state("done", "EXITED");
    let fatal = daemon.wait_state("fatal", "FATAL");
    crash(&mut daemon);
    for (name, state) in [
        ("stopped", "STOPPED"),
        ("done", "EXITED"),
        ("fatal", "FATAL"),
        ("idle", "STOPPED"),
    ] {
        assert_eq!(daemon.state(name), state, "{name}");
    }
    assert_eq!(daemon.row("fatal").trouble, fatal.trouble);
    assert_eq!(daemon.sandbox.count_marks("done", "start"), 1);
    daemon.ctl("start stopped").code(0);
    // An orderly end forgets all of it.
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(), 0);
    daemon.launch();
    daemon.wait_state("stopped", "RUNNING");
    daemon.sandbox.wait_mark("done", "start");
    daemon.close();
}

#[test]
fn a_stop_that_was_under_way_is_carried_through() {
    let mut daemon = Daemon::with(
        "[program.slow]\ncommand=$ZOO hold-term slow\nautostart=true\nstartsecs=0\nstopwaitsecs=600\n",
    );
    daemon.wait_state("slow", "RUNNING");
    daemon.sandbox.wait_mark("slow", "ready");
    let pid = daemon.pid("slow");
    let mut client = daemon.client();
    client
        .ask(Request::Stop {
            targets: vec!["slow".to_owned()],
            wait: false,
        })
        .unwrap();
    daemon.wait_state("slow", "STOPPING");
    crash(&mut daemon);
    daemon.wait_state("slow", "STOPPING");
    assert_eq!(daemon.pid("slow"), pid);
    daemon.sandbox.write("out/slow.go", "");
    daemon.wait_state("slow", "STOPPED");
    assert!(!proc::is_alive(pid));
    daemon.close();
}

#[test]
fn a_shutdown_that_was_under_way_is_finished_by_the_next_daemon() {
    let config = |patience: u32| {
        format!(
            "[program.slow]\ncommand=$ZOO ignore slow TERM\nautostart=true\nstartsecs=0\nstopwaitsecs={patience}\n"
        )
    };
    let mut daemon = Daemon::with(&config(600));
    daemon.wait_state("slow", "RUNNING");
    daemon.sandbox.wait_mark("slow", "ready");
    let pid = daemon.pid("slow");
    daemon.signal(Signal::SIGTERM);
    daemon.wait_state("slow", "STOPPING");
    daemon.murder();
    assert!(proc::is_alive(pid));
    daemon.edit_config(&config(1));
    daemon.launch();
    assert!(!proc::is_alive(pid));
    let row = daemon.wait_state("slow", "RUNNING");
    assert!(!row.adopted);
    daemon.close();
}

#[test]
fn settings_that_changed_meanwhile_lead_to_a_restart_that_names_the_key() {
    let mut daemon = Daemon::with(
        "[program.keep]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n\
         [program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n\
         [program.gone]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n",
    );
    for name in ["keep", "web", "gone"] {
        daemon.wait_state(name, "RUNNING");
    }
    let [keep, web, gone] = ["keep", "web", "gone"].map(|name| daemon.pid(name));
    daemon.murder();
    daemon.edit_config(
        "[program.keep]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\nstopwaitsecs=7\n\
         [program.web]\ncommand=sleep 1001\nautostart=true\nstartsecs=0\nenvironment=A=b\n\
         [program.new]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n",
    );
    daemon.launch();
    wait::for_condition("the restart", || {
        let row = daemon.row("web");
        row.state.name() == "RUNNING" && !row.adopted
    });
    daemon.wait_state("new", "RUNNING");
    assert_eq!(daemon.pid("keep"), keep);
    for old in [web, gone] {
        assert!(!proc::is_alive(old));
    }
    daemon.wait_log("web: command, environment changed while there was no daemon");
    daemon.wait_log("its program is no longer configured");
    daemon.close();
}

#[test]
fn the_policy_may_be_to_stop() {
    let mut daemon = Daemon::builder()
        .daemon_keys("on_orphans=stop")
        .config(&forever(""))
        .start();
    daemon.wait_state("web", "RUNNING");
    let pid = daemon.pid("web");
    crash(&mut daemon);
    let row = daemon.wait_state("web", "RUNNING");
    assert!(!row.adopted && row.pid != u32::try_from(pid).ok());
    assert!(!proc::is_alive(pid));
    daemon.wait_log("left by a daemon that was killed: on_orphans=stop");
    daemon.close();
}

#[test]
fn the_policy_may_be_to_leave_alone_and_then_nothing_is_started_beside() {
    let mut daemon = Daemon::builder()
        .daemon_keys("on_orphans=leave")
        .config(&forever(""))
        .start();
    daemon.wait_state("web", "RUNNING");
    let pid = daemon.pid("web");
    crash(&mut daemon);
    daemon.wait_state("web", "BACKOFF");
    // It is tried again and again, and between two attempts the reason is told.
    let reason = format!("pid {pid}, left by a daemon that was killed, still runs");
    wait::for_condition(&reason, || {
        let said = daemon.ctl("status");
        said.code(0).stdout.contains(&reason)
    });
    assert!(proc::is_alive(pid));
    // It stays on record for the one after that.
    crash(&mut daemon);
    daemon.wait_state("web", "BACKOFF");
    send(pid, Signal::SIGKILL);
    daemon.wait_state("web", "RUNNING");
    assert_ne!(daemon.pid("web"), pid);
    daemon.close();
}

#[test]
fn a_number_that_was_given_to_somebody_else_is_never_signalled() {
    let mut daemon = Daemon::with(&forever(""));
    daemon.wait_state("web", "RUNNING");
    let pid = daemon.pid("web");
    daemon.murder();
    let mut stranger = daemon.sandbox.stranger_younger_than(pid);
    send(pid, Signal::SIGKILL);
    wait::for_condition("its end", || !proc::is_alive(pid));
    // The record now says that the number of this process was the program's.
    let record = daemon.sandbox.read("run/tm.sock.children");
    let lines: Vec<String> = record
        .lines()
        .map(|line| {
            line.replace(
                &format!("+ web web {pid} "),
                &format!("+ web web {} ", stranger.id()),
            )
        })
        .collect();
    assert_ne!(record, lines.join("\n") + "\n");
    daemon
        .sandbox
        .write("run/tm.sock.children", &(lines.join("\n") + "\n"));
    for policy in ["adopt", "stop"] {
        daemon.launch();
        let row = daemon.wait_state("web", "RUNNING");
        assert_ne!(row.pid, Some(stranger.id()), "{policy}");
        assert_eq!(stranger.try_wait().unwrap(), None);
        daemon.ctl("stop web").code(0);
        assert_eq!(stranger.try_wait().unwrap(), None);
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.wait_exit(), 0);
        daemon
            .sandbox
            .write("run/tm.sock.children", &(lines.join("\n") + "\n"));
    }
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[test]
fn the_record_holds_no_secret_and_nobody_else_may_read_it() {
    let daemon = Daemon::with(&forever("environment=PASSWORD=\"hunter2\"\n"));
    daemon.wait_state("web", "RUNNING");
    let record = daemon.sandbox.read("run/tm.sock.children");
    assert!(record.contains("environment="), "{record}");
    assert!(!record.contains("hunter2") && !record.contains("PASSWORD"));
    let metadata = fs::metadata(daemon.sandbox.path("run/tm.sock.children")).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    daemon.close();
}

#[test]
fn a_record_of_an_earlier_version_is_understood() {
    let mut daemon = Daemon::with(&forever(""));
    daemon.wait_state("web", "RUNNING");
    let pid = daemon.pid("web");
    daemon.murder();
    let record = daemon.sandbox.read("run/tm.sock.children");
    let old: Vec<&str> = record
        .lines()
        .filter(|line| line.starts_with("boot ") || line.starts_with("+ "))
        .collect();
    daemon
        .sandbox
        .write("run/tm.sock.children", &(old.join("\n") + "\n"));
    daemon.launch();
    let row = daemon.wait_state("web", "RUNNING");
    assert!(!row.adopted);
    assert!(!proc::is_alive(pid));
    daemon.wait_log("its daemon was of a version that did not write down its pipes");
    daemon.close();
}

#[test]
fn a_whole_group_is_stopped_through_its_leader() {
    let mut daemon = Daemon::with(
        "[program.pair]\ncommand=sh -c \"(trap '' TERM; sleep 1000)& exec sleep 1000\"\nautostart=true\nstartsecs=0\n",
    );
    daemon.wait_state("pair", "RUNNING");
    let leader = daemon.pid("pair");
    wait::for_condition("the whole group to run", || {
        proc::group_members(leader).len() >= 2
    });
    crash(&mut daemon);
    assert_eq!(daemon.pid("pair"), leader);
    daemon.ctl("stop pair").is(0, "pair: stopped\n");
    assert!(proc::group_members(leader).is_empty());
    daemon.close();
}

#[test]
fn programs_of_another_user_are_adopted_by_root() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: only root has programs of other users");
        return;
    }
    let mut daemon = Daemon::with(&format!("[program.count]\nuser=nobody\n{NUMBERS}"));
    daemon.wait_state("count", "RUNNING");
    let pid = daemon.pid("count");
    let log = daemon.child_log("count_0_out.log");
    wait::for_condition("lines", || count_lines(&log) > 20);
    daemon.murder();
    let left = count_lines(&log);
    daemon.launch();
    assert_eq!(daemon.pid("count"), pid);
    wait::for_condition("more lines", || count_lines(&log) > left + 20);
    daemon.ctl("stop count").is(0, "count: stopped\n");
    daemon.close();
}

#[test]
fn a_daemon_killed_at_any_moment_of_a_start_leads_to_no_second_copy() {
    const COPIES: usize = 12;
    let sandbox = Sandbox::new();
    let mut daemon = Daemon::builder()
        .config(&format!(
            "[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\nnumprocs={COPIES}\n"
        ))
        .start_in(sandbox);
    for round in 0..12_u64 {
        // Killed while it stops and starts them, later in each round.
        let targets = vec!["web".to_owned()];
        let asked = Request::Restart {
            targets,
            wait: false,
        };
        daemon.client().send(asked).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(round));
        crash(&mut daemon);
        for number in 0..COPIES {
            daemon.wait_state(&format!("web:{number}"), "RUNNING");
        }
        // One that is stopped on the way may still be seen; a second copy would stay.
        wait::for_condition(format!("one copy of each in round {round}"), || {
            let all = proc::tagged(&daemon.sandbox.tag());
            all.iter().filter(|it| it.name == "sleep").count() == COPIES
        });
    }
    daemon.close();
}

/// Rounds and programs of the long tests: few, unless `TASKMASTER_TEST_FULL` is set.
pub fn size(usual: usize, full: usize) -> usize {
    if std::env::var_os("TASKMASTER_TEST_FULL").is_some() {
        full
    } else {
        usual
    }
}

#[test]
fn killed_again_and_again_under_load_no_line_is_lost_or_doubled() {
    const KILLS: u64 = 20;
    let programs = size(8, 100);
    // One that never pauses, one that writes both streams, and many.
    let flood = NUMBERS.replace("; sleep 0.01", "; sleep 0.0005");
    let mut daemon = Daemon::with(&format!(
        "[program.flood]\n{flood}[program.count]\nnumprocs={programs}\n{}\n\
         [program.rotated]\n{}stdout_logfile_maxbytes=2000\nstdout_logfile_backups=9999\n",
        many_numbers(),
        NUMBERS.replace("stdout_logfile_maxbytes=0\n", "")
    ));
    let names: Vec<String> = ["flood".to_owned(), "rotated".to_owned()]
        .into_iter()
        .chain((0..programs).map(|number| format!("count:{number}")))
        .collect();
    for name in &names {
        daemon.wait_state(name, "RUNNING");
    }
    let pids: Vec<i32> = names.iter().map(|name| daemon.pid(name)).collect();
    let log = daemon.child_log("flood_0_out.log");
    for kill in 0..KILLS {
        let size = fs::metadata(&log).unwrap().len();
        wait::for_condition("more output", || {
            fs::metadata(&log).unwrap().len() > size + 1000
        });
        std::thread::sleep(std::time::Duration::from_micros(kill * 371 % 5000));
        crash(&mut daemon);
        let now: Vec<i32> = names.iter().map(|name| daemon.pid(name)).collect();
        assert_eq!(now, pids, "after {kill} kills");
    }
    let counted = |number| count_lines(&daemon.child_log(&format!("count_{number}_out.log")));
    wait::for_condition("enough lines of each", || {
        (0..programs).all(|number| counted(number) > 100)
    });
    daemon.ctl("stop all").code(0);
    assert!(count_lines(&log) > 1000);
    assert!((0..programs).all(|number| counted(number) > 100));
    let mut whole = Vec::new();
    let rotated = daemon.child_log("rotated_0_out.log");
    let part = |number| daemon.child_log(&format!("rotated_0_out.log.{number}"));
    let backups = (1..10_000)
        .take_while(|&number| part(number).exists())
        .count();
    for number in (1..=backups).rev() {
        whole.extend(fs::read(part(number)).unwrap());
    }
    whole.extend(fs::read(&rotated).unwrap());
    let joined = daemon.sandbox.path("joined");
    fs::write(&joined, whole).unwrap();
    assert!(backups > 0 && count_lines(&joined) > 100);
    daemon.close();
}
