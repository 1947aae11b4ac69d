//! dinit: one service a program, with a log file each, written by the program itself.

use super::{Peer, find, quiet};
use crate::harness::Sandbox;
use std::fmt::Write as _;
use std::fs;
use std::process::Command;

pub struct Dinit;

fn control(sandbox: &Sandbox, words: &[&str]) -> Command {
    let mut command = sandbox.command(find("dinitctl"));
    command
        .arg("-p")
        .arg(sandbox.path("run/dinit.sock"))
        .args(words);
    command
}

impl Peer for Dinit {
    fn name(&self) -> &'static str {
        "dinit"
    }

    fn prepare(&self, sandbox: &Sandbox, count: usize, program: &str) {
        fs::create_dir(sandbox.path("services")).unwrap();
        let mut boot = String::from("type = internal\n");
        for number in 0..count {
            writeln!(boot, "waits-for = p{number}").unwrap();
            sandbox.write(
                &format!("services/p{number}"),
                &format!(
                    "type = process\ncommand = {program}\nrestart = true\nrestart-delay = 0\n\
                     restart-limit-count = 0\nlogfile = $DIR/log/p{number}\n"
                ),
            );
        }
        sandbox.write("services/boot", &boot);
    }

    fn start(&self, sandbox: &Sandbox) -> Command {
        let mut command = sandbox.command(find("dinit"));
        command
            .arg("--user")
            .arg("--quiet")
            .arg("-d")
            .arg(sandbox.path("services"))
            .arg("-p")
            .arg(sandbox.path("run/dinit.sock"));
        command
    }

    fn is_up(&self, sandbox: &Sandbox, _count: usize) -> bool {
        quiet(control(sandbox, &["is-started", "boot"]))
            .status()
            .unwrap()
            .success()
    }

    fn status(&self, sandbox: &Sandbox) -> Command {
        control(sandbox, &["list"])
    }

    fn status_of_one(&self, sandbox: &Sandbox) -> Command {
        control(sandbox, &["status", "p0"])
    }

    fn stop_all(&self, sandbox: &Sandbox) -> Command {
        control(sandbox, &["stop", "boot"])
    }

    fn shut_down(&self, sandbox: &Sandbox) -> Command {
        control(sandbox, &["shutdown"])
    }
}
