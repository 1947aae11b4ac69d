//! S22, S31 and X28: system calls that fail as they do on other machines, and what a child calls before its program.

use super::closing::Scene;
use super::tools::{Injection, can_trace};
use crate::harness::{Daemon, Sandbox, wait};
use std::collections::BTreeSet;
use std::fs;

const WEB: &str = "[program.web]\ncommand=/bin/sh -c 'echo hello; exec sleep 1000'\nautostart=true\nstartsecs=0\n";

/// A daemon that is started under a tracer which lets calls fail from the first one on.
fn started_with(fault: &str) -> Option<Scene> {
    if !can_trace() {
        return None;
    }
    let calls = fault.split(':').next().unwrap();
    let builder = Daemon::builder()
        // Detached, the tracer is no parent, and the daemon keeps the number that its starter knows.
        .via(&[
            "strace",
            "-D",
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            &format!("trace={calls}"),
            "-e",
            &format!("inject={fault}"),
        ])
        .config(WEB);
    Some(Scene::of(builder.start()))
}

#[test]
fn an_old_or_closed_kernel_costs_comfort_and_no_function() {
    for fault in [
        "close_range:error=ENOSYS",
        "openat2:error=ENOSYS",
        "inotify_init1:error=EMFILE",
        "inotify_init1,inotify_add_watch:error=ENOSYS",
        "prlimit64:error=EPERM:when=2000+",
        "?pidfd_open,?pidfd_send_signal:error=ENOSYS",
        "?memfd_create:error=ENOSYS",
        "?renameat2:error=ENOSYS",
    ] {
        let Some(scene) = started_with(fault) else {
            return;
        };
        let log = scene.child_log("web_0_out.log");
        scene.wait_content(&log, "hello\n");
        scene
            .ctl("restart web")
            .is(0, "web: stopped\nweb: started\n");
        scene.wait_content(&log, "hello\nhello\n");
        // No descriptor of the daemon's came along.
        let pid = scene.pid("web");
        wait::for_condition("the program's own descriptors", || {
            fs::read_dir(format!("/proc/{pid}/fd")).is_ok_and(|entries| entries.count() == 3)
        });
        scene.edit_config(&WEB.replace("hello", "goodbye"));
        scene.signal(nix::sys::signal::Signal::SIGHUP);
        scene.wait_content(&log, "hello\nhello\ngoodbye\n");
        scene.close();
    }
}

#[test]
fn interrupted_calls_are_made_again() {
    let scene = Scene::with(&format!(
        "{WEB}[program.lines]\ncommand=$ZOO lines lines 60 100\nstartsecs=0\n"
    ));
    // Every third call of each kind, in every thread.
    let calls = "epoll_wait,read,write,accept4,openat,waitid,recvfrom,sendto";
    let Some(injection) = Injection::on(&scene, &[&format!("{calls}:error=EINTR:when=3+3")]) else {
        return;
    };
    let mut client = scene.client();
    client
        .ask(taskmaster::wire::Request::Start {
            targets: vec!["lines".to_owned()],
            wait: false,
        })
        .unwrap();
    for _ in 0..3 {
        client
            .ask(taskmaster::wire::Request::Restart {
                targets: vec!["web".to_owned()],
                wait: true,
            })
            .unwrap();
    }
    wait::for_condition("every line", || {
        fs::read(scene.child_log("lines_0_out.log")).is_ok_and(|bytes| bytes.len() == 6000)
    });
    drop(injection);
    assert_eq!(scene.row("lines").stdout_log.lost, 0);
    assert_eq!(scene.state("web"), "RUNNING");
    drop(client);
    scene.close();
}

#[test]
fn a_child_calls_nothing_before_its_program_that_could_wait_for_a_lock() {
    if !can_trace() {
        return;
    }
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("traces")).unwrap();
    let output = sandbox.path("traces/t").display().to_string();
    let scene = Scene::of(
        Daemon::builder()
            .via(&["strace", "-D", "-ff", "-qq", "-o", &output])
            .config(
                "[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\nnumprocs=3\n\
                 [program.none]\ncommand=/etc/passwd\nstartretries=0\nautostart=true\n",
            )
            .start_in(sandbox),
    );
    for number in 0..3 {
        scene.wait_state(&format!("web:{number}"), "RUNNING");
    }
    scene.wait_state("none", "FATAL");
    let pids: Vec<i32> = (0..3)
        .map(|number| scene.pid(&format!("web:{number}")))
        .collect();
    let allowed: BTreeSet<&str> = [
        "rt_sigaction",
        "rt_sigprocmask",
        "setsid",
        "fcntl",
        "dup2",
        "dup3",
        "close_range",
        "close",
        "getpid",
        "openat",
        "open",
        "read",
        "write",
        "writev",
        "prlimit64",
        "setrlimit",
        "umask",
        "setgroups",
        "setresgid",
        "setresuid",
        "getgroups",
        "getresgid",
        "getresuid",
        "chdir",
        "execve",
        "gettid",
        "prctl",
        "set_robust_list",
        "rseq",
        "sched_setscheduler",
        "sched_setaffinity",
        "setpriority",
        "ioprio_set",
    ]
    .into();
    for pid in pids {
        // The process of a child begins its own file of calls at its first one.
        let text = fs::read_to_string(scene.sandbox.path(format!("traces/t.{pid}"))).unwrap();
        let before: Vec<&str> = text
            .lines()
            .take_while(|line| !line.starts_with("execve(") || !line.contains("= 0"))
            .filter_map(|line| line.split('(').next())
            .filter(|call| {
                call.bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
            })
            .collect();
        assert!(before.contains(&"setsid"), "{text}");
        let other: Vec<&&str> = before
            .iter()
            .filter(|call| !allowed.contains(**call))
            .collect();
        assert_eq!(other, Vec::<&&str>::new(), "{text}");
    }
    scene.close();
}
