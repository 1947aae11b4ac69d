//! S26, S28 and S29: a machine on which things are missing that are always there.

use super::closing::{self, Scene};
use super::tools;
use crate::harness::{Client, Daemon, Sandbox, proc, wait};
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::process::Stdio;

const WEB: &str = "[program.web]\ncommand=/bin/sh -c 'echo hello; exec sleep 1000'\nautostart=true\nstartsecs=0\n";

#[test]
fn without_proc_programs_run_are_watched_and_stopped() {
    if !tools::root() || !tools::can_mount() {
        return;
    }
    let sandbox = Sandbox::new();
    let builder = Daemon::builder().config(WEB);
    let scene = Scene::of(
        tools::in_mounts(builder, &sandbox, "mount -t tmpfs none /proc").start_in(sandbox),
    );
    let log = scene.child_log("web_0_out.log");
    scene.wait_content(&log, "hello\n");
    let old = scene.pid("web");
    scene
        .ctl("restart web")
        .is(0, "web: stopped\nweb: started\n");
    assert!(!proc::is_alive(old));
    scene.wait_content(&log, "hello\nhello\n");
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(scene.pid("web")),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
    scene.wait_content(&log, "hello\nhello\nhello\n");
    scene.edit_config(&WEB.replace("hello", "goodbye"));
    scene.ctl("update").code(0);
    scene.wait_content(&log, "hello\nhello\nhello\ngoodbye\n");
    scene.ctl("status -l").code(0);
    scene.close();
}

#[test]
fn without_dev_null_the_start_is_refused_by_name() {
    if !tools::root() || !tools::can_mount() {
        return;
    }
    let sandbox = Sandbox::new();
    let builder = Daemon::builder().config(WEB);
    let said = tools::in_mounts(builder, &sandbox, "mount -t tmpfs none /dev").fails_in(&sandbox);
    said.code(6).mentions("/dev/null");
    closing::nothing_of(&sandbox);
}

#[test]
fn without_accounts_numbers_of_users_are_still_numbers() {
    if !tools::root() || !tools::can_mount() {
        return;
    }
    let sandbox = Sandbox::new();
    let lines = "mkdir $DIR/etc\nmount --bind $DIR/etc /etc";
    let builder = Daemon::builder().config(
        "[program.web]\ncommand=/bin/sh -c 'echo hello; exec sleep 1000'\nuser=0\nautostart=true\nstartsecs=0\n",
    );
    let scene = Scene::of(tools::in_mounts(builder, &sandbox, lines).start_in(sandbox));
    scene.wait_content(scene.child_log("web_0_out.log"), "hello\n");
    // Anybody else cannot be looked up, which is said before anything is changed.
    scene.edit_config("[program.web]\ncommand=sleep 1000\nuser=1000\n");
    scene
        .ctl("update")
        .code(1)
        .mentions("must name an existing user");
    assert_eq!(scene.state("web"), "RUNNING");
    scene.close();
}

#[test]
fn an_output_that_nobody_reads_holds_up_nobody() {
    let sandbox = Sandbox::new();
    let builder = Daemon::builder().config("[program.web]\ncommand=sleep 1000\nstartsecs=0\n");
    builder.write_config(&sandbox);
    let (reader, writer) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    let file = File::from(writer);
    // Full from the beginning.
    fill(&file);
    let writer: OwnedFd = file.into();
    let mut child = builder
        .command(&sandbox)
        .stdin(Stdio::null())
        .stdout(Stdio::from(writer.try_clone().unwrap()))
        .stderr(Stdio::from(writer))
        .spawn()
        .unwrap();
    wait::for_condition("service", || {
        Client::connect(&sandbox.socket_path()).is_ok()
    });
    let ctl = |words: &str| {
        let socket = sandbox.socket_path();
        sandbox.taskmaster(&format!("ctl -s unix://{} {words}", socket.display()))
    };
    for _ in 0..50 {
        ctl("restart web").code(0);
    }
    ctl("status web").code(0);
    ctl("shutdown").is(0, "Shut down\n");
    let status = wait::until("the end", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
    drop(reader);
    // Its file has all of it.
    let log = sandbox.read("log/taskmaster.log");
    assert_eq!(log.matches("spawned: 'web'").count(), 50);
    closing::nothing_of(&sandbox);
}

/// Fills a pipe to the last byte.
fn fill(pipe: &File) {
    let flags = nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK);
    nix::fcntl::fcntl(pipe, flags).unwrap();
    let mut pipe = pipe;
    for block in [&[b'x'; 4096][..], &[b'x'; 1]] {
        while pipe.write(block).is_ok() {}
    }
    let flags = nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::empty());
    nix::fcntl::fcntl(pipe, flags).unwrap();
}
