//! D05 to D07 and G28: the daemon is killed, at any of its steps. No program runs twice afterwards, and none dies of it.

use super::closing::Scene;
use super::tools::can_trace;
use crate::harness::{Client, Daemon, Sandbox, proc, wait};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::File;
use std::process::{Command, Stdio};

const TWO: &str = "[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n\
                   [program.db]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n";

fn sleepers(sandbox: &Sandbox) -> Vec<i32> {
    proc::tagged(&sandbox.tag())
        .into_iter()
        .filter(|process| process.name == "sleep")
        .map(|process| process.pid)
        .collect()
}

#[test]
fn the_daemons_death_kills_no_program() {
    let mut scene = Scene::with(TWO);
    scene.wait_state("web", "RUNNING");
    scene.wait_state("db", "RUNNING");
    let before = sleepers(&scene.sandbox);
    assert_eq!(before.len(), 2);
    scene.murder();
    wait::holds(
        "both to live",
        std::time::Duration::from_millis(300),
        || before.iter().all(|&pid| proc::is_alive(pid)),
    );
    scene.launch();
    scene.wait_state("web", "RUNNING");
    scene.wait_state("db", "RUNNING");
    wait::for_condition("two of them", || sleepers(&scene.sandbox).len() == 2);
    scene.close();
}

/// Kills a daemon at the `nth` of these calls of its main thread, or when it serves and has not come so far. Says which.
fn kill_at(sandbox: &Sandbox, start: &Command, call: &str, nth: u32) -> bool {
    let mut command = sandbox.command("strace");
    command
        .args(["-qq", "-o", "/dev/null", "-e", &format!("trace={call}")])
        .args(["-e", &format!("inject={call}:signal=KILL:when={nth}")])
        .arg(start.get_program())
        .args(start.get_args())
        .stdin(Stdio::null())
        .stdout(File::create(sandbox.path("stdout")).unwrap())
        .stderr(File::create(sandbox.path("stderr")).unwrap());
    let mut tracer = command.spawn().unwrap();
    let parent = tracer.id().cast_signed();
    let daemon = || {
        proc::all()
            .into_iter()
            .find(|process| process.parent == parent && process.state != 'Z')
            .map(|process| process.pid)
    };
    let mut served = false;
    wait::for_condition("the end of the daemon", || {
        if tracer.try_wait().unwrap().is_some() {
            return true;
        }
        // It serves and its programs run: there it is killed from outside.
        if !served
            && sleepers(sandbox).len() >= 2
            && Client::connect(&sandbox.socket_path()).is_ok()
        {
            served = true;
            if let Some(pid) = daemon() {
                kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
            }
        }
        false
    });
    !served
}

fn killed_at_each(calls: &[(&str, &[u32])]) {
    if !can_trace() {
        return;
    }
    let sandbox = Sandbox::new();
    let builder = Daemon::builder().pidfile().config(TWO);
    builder.write_config(&sandbox);
    let start = builder.command(&sandbox);
    let mut on_the_way = 0;
    for (call, numbers) in calls {
        for &nth in *numbers {
            // Killed twice in a row, so that what the first one left is met half done as well.
            on_the_way += u32::from(kill_at(&sandbox, &start, call, nth));
            on_the_way += u32::from(kill_at(&sandbox, &start, call, nth + 1));
            let copies = sleepers(&sandbox);
            assert!(copies.len() <= 2, "{call} {nth}: {copies:?}");
        }
    }
    assert!(on_the_way > 3, "only {on_the_way} were killed on the way");
    let scene = Scene::of(builder.start_in(sandbox));
    scene.wait_state("web", "RUNNING");
    scene.wait_state("db", "RUNNING");
    wait::for_condition("two of them", || sleepers(&scene.sandbox).len() == 2);
    scene.close();
}

#[test]
fn a_daemon_that_is_killed_at_any_step_of_its_files_leaves_no_second_copy() {
    killed_at_each(&[
        ("bind", &[1]),
        ("listen", &[1]),
        ("/rename.*", &[1]),
        ("/unlink.*", &[1]),
        ("write", &[1, 3, 5]),
        ("/fsync|fdatasync", &[1]),
    ]);
}

#[test]
fn a_daemon_that_is_killed_at_any_step_of_its_starts_leaves_no_second_copy() {
    killed_at_each(&[
        ("/v?fork|clone3?", &[2, 3]),
        ("pipe2", &[2, 4, 6]),
        ("epoll_ctl", &[4, 6, 8]),
        ("waitid", &[1]),
        ("epoll_wait", &[2, 4]),
    ]);
}
