//! Roles: what another user may ask for, seen from that user's console.

use crate::harness::{Daemon, Said, Sandbox, is_root};
use nix::sys::signal::Signal;

const PROGRAMS: &str = "[program.web]\ncommand=/bin/sh -c 'echo secret; exec sleep 1000'\n\
                        autostart=true\nstartsecs=0\n\
                        [program.worker]\ncommand=sleep 1000\nnumprocs=2\nautostart=true\nstartsecs=0\n\
                        [program.hidden]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n";

/// A user of the operators, one who may only look, and one without a role.
const OPERATOR: &str = "54321";
const VISITOR: &str = "54322";
const STRANGER: &str = "54323";

const ROLES: &str = "[role.ops]\nusers=54321\nprograms=web,worker:1\nallow=read,logs,operate\n\
                     [role.look]\ngroups=2\nprograms=worker\n";

fn daemon(roles: &str) -> Option<Daemon> {
    if !is_root() {
        eprintln!("passed over: only root can become other users");
        return None;
    }
    let sandbox = Sandbox::new();
    sandbox.set_mode("", 0o711);
    sandbox.set_mode("run", 0o711);
    let daemon = Daemon::builder()
        .config(&format!("{PROGRAMS}{roles}"))
        .start_in(sandbox);
    for name in ["web", "worker:0", "worker:1", "hidden"] {
        daemon.wait_state(name, "RUNNING");
    }
    daemon.sandbox.copied_as("taskmaster");
    Some(daemon)
}

/// What the console says to a user; the visitor is in group 2.
fn asks(daemon: &Daemon, user: &str, words: &str) -> Said {
    let groups: &[&str] = if user == VISITOR {
        &["--groups", "2"]
    } else {
        &["--clear-groups"]
    };
    let mut command = daemon.sandbox.command("setpriv");
    command
        .args(["--reuid", user, "--regid", user])
        .args(groups)
        .arg(daemon.sandbox.path("bin/taskmaster"))
        .args(["ctl", "-s"])
        .arg(format!("unix://{}", daemon.sandbox.socket_path().display()))
        .args(words.split(' '));
    daemon.sandbox.finish(command, "")
}

fn names(said: &Said) -> Vec<&str> {
    said.stdout
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect()
}

#[test]
fn a_role_shows_its_processes_and_hides_the_others() {
    let Some(daemon) = daemon(ROLES) else { return };
    let status = asks(&daemon, OPERATOR, "status");
    assert_eq!(names(&status), ["web", "worker:1"], "{status:?}");
    let status = asks(&daemon, VISITOR, "status all");
    assert_eq!(names(&status), ["worker:0", "worker:1"], "{status:?}");
    let avail = asks(&daemon, OPERATOR, "avail");
    assert_eq!(names(&avail), ["worker:1", "web"], "{avail:?}");
    // What is hidden is answered as what does not exist.
    for action in [
        "status",
        "pid",
        "start",
        "stop",
        "restart",
        "signal HUP",
        "tail",
        "why",
    ] {
        let hidden = asks(&daemon, OPERATOR, &format!("{action} hidden"));
        let absent = asks(&daemon, OPERATOR, &format!("{action} nosuch"));
        assert_eq!(
            (hidden.code, hidden.all()),
            (absent.code, absent.all().replace("nosuch", "hidden")),
            "{action}"
        );
    }
    assert_eq!(daemon.state("hidden"), "RUNNING");
    daemon.wait_log("denied uid 54321");
    daemon.close();
}

#[test]
fn an_operator_operates_what_is_its_own() {
    let Some(daemon) = daemon(ROLES) else { return };
    asks(&daemon, OPERATOR, "stop web").is(0, "web: stopped\n");
    asks(&daemon, OPERATOR, "start web").is(0, "web: started\n");
    asks(&daemon, OPERATOR, "tail web").begins(0, "secret\n");
    asks(&daemon, OPERATOR, "signal HUP hidden").mentions("no such process");
    let (other, hidden) = (daemon.pid("worker:0"), daemon.pid("hidden"));
    asks(&daemon, OPERATOR, "restart worker").is(0, "worker:1: stopped\nworker:1: started\n");
    asks(&daemon, OPERATOR, "stop all").code(0);
    assert_eq!(daemon.state("web"), "STOPPED");
    assert_eq!(daemon.state("worker:1"), "STOPPED");
    assert_eq!(daemon.pid("worker:0"), other);
    assert_eq!(daemon.pid("hidden"), hidden);
    daemon.close();
}

#[test]
fn what_no_role_allows_is_forbidden() {
    let Some(daemon) = daemon(ROLES) else { return };
    for words in [
        "shutdown",
        "reload",
        "update",
        "reread",
        "remove web",
        "clear web",
        "maintail",
    ] {
        asks(&daemon, OPERATOR, words)
            .code(4)
            .mentions("does not allow this user");
    }
    for words in [
        "stop worker:0",
        "tail worker:0",
        "why worker:1",
        "signal KILL worker",
    ] {
        asks(&daemon, VISITOR, words)
            .code(4)
            .mentions("does not allow this user");
    }
    let stranger = asks(&daemon, STRANGER, "status");
    assert_ne!(stranger.code, 0);
    assert!(!stranger.all().contains("worker"), "{stranger:?}");
    assert_eq!(daemon.state("worker:0"), "RUNNING");
    daemon.close();
}

#[test]
fn what_an_update_takes_away_is_gone_at_once() {
    let Some(daemon) = daemon(ROLES) else { return };
    asks(&daemon, OPERATOR, "status web").code(0);
    daemon.edit_config(&format!(
        "{PROGRAMS}[role.ops]\nusers=54321\nprograms=worker\nallow=read\n"
    ));
    daemon.signal(Signal::SIGHUP);
    daemon.wait_log("update: no changes to processes");
    asks(&daemon, OPERATOR, "status web").mentions("no such process");
    let status = asks(&daemon, OPERATOR, "status");
    assert_eq!(names(&status), ["worker:0", "worker:1"], "{status:?}");
    let visitor = asks(&daemon, VISITOR, "status");
    assert_ne!(visitor.code, 0, "{visitor:?}");
    daemon.close();
}

#[test]
fn without_a_role_nobody_else_can_connect() {
    let Some(daemon) = daemon("") else { return };
    let said = asks(&daemon, OPERATOR, "status");
    assert_ne!(said.code, 0);
    assert!(!said.all().contains("RUNNING"), "{said:?}");
    daemon.close();
}
