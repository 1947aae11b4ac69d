//! The harness itself, against small stand-ins for the executable.

use crate::harness::{Said, Sandbox, proc, wait};
use std::process::{Command, Stdio};
use std::time::Duration;

#[test]
fn a_sandbox_kills_what_carries_its_tag() {
    let sandbox = Sandbox::new();
    let mut child = sandbox
        .command("/bin/sh")
        .args(["-c", "setsid sleep 1000 & exec sleep 1001"])
        .spawn()
        .unwrap();
    let tag = sandbox.tag();
    wait::for_condition("both processes", || {
        proc::tagged(&tag)
            .iter()
            .filter(|process| process.name == "sleep")
            .count()
            == 2
    });
    drop(sandbox);
    child.wait().unwrap();
    wait::for_condition("nothing", || proc::tagged(&tag).is_empty());
}

#[test]
fn a_command_has_a_known_environment_and_its_words() {
    let sandbox = Sandbox::new();
    let said = sandbox.run("/usr/bin/env", "-u PATH");
    said.code(0);
    let mut names: Vec<_> = said
        .stdout
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name)
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["HOME", "TASKMASTER_TEST", "TZ"]);
}

#[test]
fn a_command_tells_code_output_and_death_by_signal() {
    let sandbox = Sandbox::new();
    let shell = |script: &str| sandbox.run("/bin/sh", &["-c", script]);
    shell("echo out; exit 3").is(3, "out\n");
    shell("kill -TERM $$").code(128 + 15);
    let said = shell("echo err >&2");
    assert_eq!((said.stdout.as_str(), said.stderr.as_str()), ("", "err\n"));
    assert!(std::panic::catch_unwind(|| Said::clone(&said).code(1).code).is_err());
    assert!(std::panic::catch_unwind(|| Said::clone(&said).is(0, "").code).is_err());
}

#[test]
fn marks_tell_time_pid_and_word() {
    let sandbox = Sandbox::new();
    let mut child = sandbox
        .command("/bin/sh")
        .arg(sandbox.path("zoo.sh"))
        .args(["catch", "web", "TERM"])
        .spawn()
        .unwrap();
    let pid = i32::try_from(child.id()).unwrap();
    let ready = sandbox.wait_mark("web", "ready");
    assert_eq!(ready.pid, pid);
    assert!(ready.at > 0.0);
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(pid),
        nix::sys::signal::Signal::SIGTERM,
    )
    .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(sandbox.wait_mark("web", "got-TERM").pid, pid);
    assert_eq!(sandbox.count_marks("web", "start"), 1);
}

#[test]
fn waiting_returns_the_answer_and_watching_notices_a_change() {
    let mut count = 0;
    assert_eq!(
        wait::until("three", || {
            count += 1;
            (count == 3).then_some(count)
        }),
        3
    );
    let mut left = 2;
    let watched = std::panic::catch_unwind(move || {
        wait::holds("some are left", Duration::from_secs(5), move || {
            left -= 1;
            left > 0
        });
    });
    assert!(watched.is_err());
}

#[test]
fn the_process_table_is_read_rightly() {
    let own = proc::read(i32::try_from(std::process::id()).unwrap()).unwrap();
    assert_eq!(own.parent, nix::unistd::getppid().as_raw());
    assert_eq!(own.session, nix::unistd::getsid(None).unwrap().as_raw());
    let odd = proc::parse("7 (a) b (c)) S 1 2 3 4 5").unwrap();
    assert_eq!((odd.pid, odd.name.as_str()), (7, "a) b (c)"));
    assert_eq!((odd.parent, odd.group, odd.session, odd.tty), (1, 2, 3, 4));
    // A zombie is neither alive nor a member of its group.
    let mut child = Command::new("true").stdin(Stdio::null()).spawn().unwrap();
    let pid = i32::try_from(child.id()).unwrap();
    wait::for_condition("a zombie", || {
        proc::zombies_of(own.pid)
            .iter()
            .any(|process| process.pid == pid)
    });
    assert!(!proc::is_alive(pid));
    child.wait().unwrap();
}
