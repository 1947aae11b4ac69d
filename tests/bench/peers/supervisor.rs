//! Supervisor: one program section with as many copies, captured and rotated as it does by itself.

use super::{Peer, find};
use crate::harness::Sandbox;
use std::process::Command;

pub struct Supervisor;

fn control(sandbox: &Sandbox, words: &[&str]) -> Command {
    let mut command = sandbox.command(find("supervisorctl"));
    command
        .arg("-c")
        .arg(sandbox.path("supervisord.conf"))
        .args(words);
    command
}

impl Peer for Supervisor {
    fn name(&self) -> &'static str {
        "supervisor"
    }

    fn prepare(&self, sandbox: &Sandbox, count: usize, program: &str) {
        sandbox.write(
            "supervisord.conf",
            &format!(
                "[unix_http_server]\nfile=$DIR/run/supervisor.sock\n\
                 [supervisorctl]\nserverurl=unix://$DIR/run/supervisor.sock\n\
                 [rpcinterface:supervisor]\n\
                 supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n\
                 [supervisord]\nlogfile=$DIR/log/supervisord.log\npidfile=$DIR/run/supervisord.pid\n\
                 childlogdir=$DIR/log\nminfds=8192\n\
                 [program:p]\ncommand={program}\nnumprocs={count}\nprocess_name=%(process_num)d\n\
                 startsecs=0\nautorestart=true\n"
            ),
        );
    }

    fn start(&self, sandbox: &Sandbox) -> Command {
        let mut command = sandbox.command(find("supervisord"));
        command
            .arg("-n")
            .arg("-c")
            .arg(sandbox.path("supervisord.conf"));
        command
    }

    fn is_up(&self, sandbox: &Sandbox, count: usize) -> bool {
        let log = sandbox.read("log/supervisord.log");
        log.matches("entered RUNNING state").count() >= count
    }

    fn status(&self, sandbox: &Sandbox) -> Command {
        control(sandbox, &["status"])
    }

    fn status_of_one(&self, sandbox: &Sandbox) -> Command {
        control(sandbox, &["status", "p:0"])
    }

    fn stop_all(&self, sandbox: &Sandbox) -> Command {
        control(sandbox, &["stop", "all"])
    }

    fn shut_down(&self, sandbox: &Sandbox) -> Command {
        control(sandbox, &["shutdown"])
    }
}
