//! s6: one service directory a program, each with a logger of its own.

use super::{Peer, find, quiet};
use crate::harness::Sandbox;
use std::fs;
use std::process::Command;

pub struct S6;

/// A shell that runs `script` among the service directories.
fn script(sandbox: &Sandbox, script: &str) -> Command {
    let mut command = sandbox.command("/bin/sh");
    command
        .arg("-c")
        .arg(script)
        .current_dir(sandbox.path("scan"));
    command
}

impl Peer for S6 {
    fn name(&self) -> &'static str {
        "s6"
    }

    fn prepare(&self, sandbox: &Sandbox, count: usize, program: &str) {
        let logger = find("s6-log");
        for number in 0..count {
            fs::create_dir_all(sandbox.path(format!("scan/p{number}/log"))).unwrap();
            sandbox.write_program(
                &format!("scan/p{number}/run"),
                &format!("#!/bin/sh\nexec {program}\n"),
            );
            sandbox.write_program(
                &format!("scan/p{number}/log/run"),
                &format!(
                    "#!/bin/sh\nexec {} n10 s1000000 $DIR/log/p{number}\n",
                    logger.display()
                ),
            );
        }
    }

    fn start(&self, sandbox: &Sandbox) -> Command {
        let mut command = sandbox.command(find("s6-svscan"));
        command.arg("-c").arg("20000").arg(sandbox.path("scan"));
        command
    }

    fn is_up(&self, sandbox: &Sandbox, _count: usize) -> bool {
        let wait = find("s6-svwait");
        let wait = wait.display();
        quiet(script(sandbox, &format!("exec {wait} -t 60000 -u *")))
            .status()
            .unwrap()
            .success()
    }

    fn status(&self, sandbox: &Sandbox) -> Command {
        let program = find("s6-svstat");
        let program = program.display();
        script(
            sandbox,
            &format!("for service in *; do {program} $service; done"),
        )
    }

    fn status_of_one(&self, sandbox: &Sandbox) -> Command {
        let mut command = sandbox.command(find("s6-svstat"));
        command.arg(sandbox.path("scan/p0"));
        command
    }

    fn stop_all(&self, sandbox: &Sandbox) -> Command {
        let control = find("s6-svc");
        let control = control.display();
        script(
            sandbox,
            &format!(
                "for service in *; do {control} -d $service; done; \
                 for service in *; do {control} -wd -d $service; done"
            ),
        )
    }

    fn shut_down(&self, sandbox: &Sandbox) -> Command {
        let mut command = sandbox.command(find("s6-svscanctl"));
        command.arg("-t").arg(sandbox.path("scan"));
        command
    }
}
