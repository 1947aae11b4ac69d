//! `reread`, `update`, `add`, `remove` and `reload`: a new file, and only what changed is touched.

use crate::harness::{Daemon, proc, wait};
use nix::sys::signal::Signal;

pub const BASE: &str = "[program.keep]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n\
                    [program.middle]\ncommand=sleep 1001\nautostart=true\nstartsecs=0\n\
                    [program.zeta]\ncommand=sleep 1002\nautostart=true\nstartsecs=0\n";

/// `zeta` is gone, `middle` changed, `alpha` new.
pub const EDITED: &str = "[program.keep]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n\
                      [program.middle]\ncommand=sleep 2001\nautostart=true\nstartsecs=0\n\
                      [program.alpha]\ncommand=sleep 2000\nautostart=true\nstartsecs=0\n";

pub const BROKEN: &str = "[program.keep]\ncommand=sleep 1000\nautostart=perhaps\n";

/// A daemon with these programs up.
pub fn running(config: &str, names: &[&str]) -> Daemon {
    let daemon = Daemon::with(config);
    for name in names {
        daemon.wait_state(name, "RUNNING");
    }
    daemon
}

/// Their pids.
pub fn pids(daemon: &Daemon, names: &[&str]) -> Vec<i32> {
    names.iter().map(|name| daemon.pid(name)).collect()
}

/// Names of all processes.
pub fn names(daemon: &Daemon) -> Vec<String> {
    daemon.rows().into_iter().map(|row| row.name).collect()
}

#[test]
fn reread_tells_what_differs_and_changes_nothing() {
    let daemon = running(BASE, &["keep", "middle", "zeta"]);
    let before = pids(&daemon, &["keep", "middle", "zeta"]);
    daemon
        .ctl("reread")
        .is(0, "No config updates to processes\n");
    daemon.edit_config(EDITED);
    daemon
        .ctl("reread")
        .is(0, "alpha: available\nmiddle: changed\nzeta: disappeared\n");
    assert_eq!(names(&daemon), ["keep", "middle", "zeta"]);
    assert_eq!(pids(&daemon, &["keep", "middle", "zeta"]), before);
    daemon
        .ctl("reread x")
        .begins(1, "Error: reread accepts no arguments\n");
    daemon.close();
}

#[test]
fn update_touches_only_what_changed() {
    let daemon = running(BASE, &["keep", "middle", "zeta"]);
    let [keep, middle, zeta] = ["keep", "middle", "zeta"].map(|name| daemon.pid(name));
    daemon.ctl("update").is(0, "");
    daemon.edit_config(EDITED);
    daemon.ctl("update").is(
        0,
        "zeta: stopped\nzeta: removed process group\n\
         middle: stopped\nmiddle: updated process group\n\
         alpha: added process group\n",
    );
    assert_eq!(names(&daemon), ["alpha", "keep", "middle"]);
    daemon.wait_state("alpha", "RUNNING");
    daemon.wait_state("middle", "RUNNING");
    assert_eq!(daemon.pid("keep"), keep);
    assert_ne!(daemon.pid("middle"), middle);
    for old in [middle, zeta] {
        assert!(!proc::is_alive(old));
    }
    // A program counts as executed a moment before `/proc` shows its words.
    wait::for_condition("the new command", || {
        proc::command_line(daemon.pid("middle")) == "sleep 2001"
    });
    daemon.ctl("update").is(0, "");
    daemon.close();
}

#[test]
fn update_of_some_groups_leaves_the_others() {
    let daemon = running(BASE, &["keep", "middle", "zeta"]);
    daemon.edit_config(EDITED);
    daemon
        .ctl("update alpha")
        .is(0, "alpha: added process group\n");
    assert_eq!(names(&daemon), ["alpha", "keep", "middle", "zeta"]);
    wait::for_condition("the old command", || {
        proc::command_line(daemon.pid("middle")) == "sleep 1001"
    });
    daemon
        .ctl("update nosuch")
        .is(1, "ERROR: no such group: nosuch\n");
    daemon
        .ctl("update zeta")
        .is(0, "zeta: stopped\nzeta: removed process group\n");
    daemon
        .ctl("update all")
        .is(0, "middle: stopped\nmiddle: updated process group\n");
    daemon.close();
}

#[test]
fn add_and_remove() {
    let daemon = running(BASE, &["keep", "middle", "zeta"]);
    daemon.edit_config(EDITED);
    daemon
        .ctl("add alpha")
        .is(1, "ERROR: no such process/group: alpha\n");
    daemon.ctl("reread").code(0);
    daemon
        .ctl("add alpha")
        .is(0, "alpha: added process group\n");
    daemon.wait_state("alpha", "RUNNING");
    daemon
        .ctl("add alpha")
        .is(0, "ERROR: process group already active\n");
    daemon
        .ctl("add nosuch")
        .is(1, "ERROR: no such process/group: nosuch\n");
    daemon.ctl("add").is(0, "");

    let pid = daemon.pid("zeta");
    daemon
        .ctl("remove zeta")
        .is(1, "ERROR: process/group still running: zeta\n");
    assert_eq!(daemon.pid("zeta"), pid);
    daemon.ctl("stop zeta").code(0);
    daemon
        .ctl("remove zeta")
        .is(0, "zeta: removed process group\n");
    daemon
        .ctl("remove zeta")
        .is(1, "ERROR: no such process/group: zeta\n");
    daemon
        .ctl("status zeta")
        .is(4, "zeta: ERROR (no such process)\n");
    // What was removed and is still in the file can be added again.
    daemon.ctl("stop alpha").code(0);
    daemon
        .ctl("remove alpha")
        .is(0, "alpha: removed process group\n");
    daemon
        .ctl("avail")
        .code(0)
        .mentions("alpha                            avail     auto      999:999\n");
    daemon
        .ctl("add alpha")
        .is(0, "alpha: added process group\n");
    daemon.close();
}

#[test]
fn a_broken_file_keeps_everything_and_is_explained() {
    let daemon = running(BASE, &["keep", "middle", "zeta"]);
    let before = pids(&daemon, &["keep", "middle", "zeta"]);
    daemon.edit_config(BROKEN);
    let place = format!("{}:", daemon.sandbox.config_path().display());
    let said = daemon.ctl("reread");
    said.code(1).mentions("autostart").mentions(&place);
    assert!(said.stdout.starts_with("ERROR: CANT_REREAD: "), "{said:?}");
    daemon
        .ctl("update")
        .code(1)
        .mentions("autostart")
        .mentions(&place);
    daemon.signal(Signal::SIGHUP);
    daemon.wait_log("tm.ini:10:11");
    assert_eq!(pids(&daemon, &["keep", "middle", "zeta"]), before);
    assert_eq!(names(&daemon), ["keep", "middle", "zeta"]);
    // A missing file is no better.
    std::fs::remove_file(daemon.sandbox.config_path()).unwrap();
    daemon.ctl("reread").code(1);
    daemon.signal(Signal::SIGHUP);
    assert_eq!(pids(&daemon, &["keep", "middle", "zeta"]), before);
    // Mended, it counts again.
    daemon.edit_config(EDITED);
    daemon.ctl("update").code(0);
    daemon.wait_state("alpha", "RUNNING");
    daemon.close();
}

#[test]
fn a_broken_file_forgets_no_earlier_reread() {
    let daemon = running(BASE, &["keep", "middle", "zeta"]);
    daemon.edit_config(EDITED);
    daemon.ctl("reread").code(0);
    daemon.edit_config(BROKEN);
    daemon.ctl("reread").code(1);
    daemon
        .ctl("add alpha")
        .is(0, "alpha: added process group\n");
    daemon.close();
}

#[test]
fn copies_grow_and_shrink_without_touching_the_others() {
    let config = |copies: u32| {
        format!(
            "[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\nnumprocs={copies}\n"
        )
    };
    let daemon = running(&config(3), &["web:0", "web:1", "web:2"]);
    let before = pids(&daemon, &["web:0", "web:1", "web:2"]);
    daemon.edit_config(&config(5));
    daemon.ctl("reread").is(0, "web: changed\n");
    daemon
        .ctl("update")
        .code(0)
        .mentions("web: updated process group");
    daemon.wait_state("web:3", "RUNNING");
    daemon.wait_state("web:4", "RUNNING");
    assert_eq!(pids(&daemon, &["web:0", "web:1", "web:2"]), before);
    let surplus = pids(&daemon, &["web:2", "web:3", "web:4"]);
    daemon.edit_config(&config(2));
    daemon
        .ctl("update")
        .is(0, "web: stopped\nweb: updated process group\n");
    assert_eq!(names(&daemon), ["web:0", "web:1"]);
    assert_eq!(pids(&daemon, &["web:0", "web:1"]), before[..2]);
    for pid in surplus {
        assert!(!proc::is_alive(pid));
    }
    // To and fro in one go.
    for copies in [4, 1, 3, 2] {
        daemon.edit_config(&config(copies));
        daemon.ctl("update").code(0);
    }
    // From one copy the name is shown without its number, so look at the pids alone.
    assert_eq!(names(&daemon), ["web:0", "web:1"]);
    daemon.close();
}

#[test]
fn keys_that_apply_live_restart_nothing() {
    let program = |keys: &str| format!("[program.web]\ncommand=$ZOO ignore web TERM\n{keys}\n");
    let before = "autostart=true\nstartsecs=0\nstopwaitsecs=600\nautorestart=true";
    let daemon = Daemon::with(&program(before));
    daemon.sandbox.wait_mark("web", "ready");
    let pid = daemon.pid("web");
    for line in [
        "autostart=false",
        "autorestart=false",
        "startsecs=1",
        "startretries=7",
        "exitcodes=0,9",
        "stopsignal=INT",
        "stopwaitsecs=601",
        "priority=5",
        "stopasgroup=true",
        "killasgroup=true",
        "stdout_logfile_maxbytes=1MB",
        "stdout_logfile_backups=3",
        "stderr_logfile_maxbytes=1MB",
        "stderr_logfile_backups=3",
    ] {
        // A later key of the same name wins, with a warning.
        let key = line.split('=').next().unwrap();
        let others: Vec<_> = before
            .lines()
            .filter(|other| !other.starts_with(&format!("{key}=")))
            .collect();
        daemon.edit_config(&program(&format!("{}\n{line}", others.join("\n"))));
        daemon.ctl("reread").is(0, "web: changed\n");
        daemon.ctl("update").is(0, "web: updated process group\n");
        assert_eq!(daemon.pid("web"), pid, "{line}");
        assert_eq!(daemon.state("web"), "RUNNING", "{line}");
    }
    // And they do apply: the stop that follows uses the new signal, to which the program listens.
    daemon.edit_config(&program("startsecs=0\nstopsignal=KILL"));
    daemon.ctl("update").is(0, "web: updated process group\n");
    daemon.ctl("stop web").is(0, "web: stopped\n");
    daemon.wait_log("stopped: web (terminated by SIGKILL)");
    assert_eq!(daemon.sandbox.count_marks("web", "start"), 1);
    daemon.close();
}

#[test]
fn keys_of_the_launch_restart() {
    let program = |keys: &str| {
        format!("[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n{keys}\n")
    };
    let daemon = running(&program(""), &["web"]);
    let mut pid = daemon.pid("web");
    for line in [
        "umask=077",
        "directory=/usr",
        "environment=A=\"1\"",
        "environment=A=\"2\"",
        "redirect_stderr=true",
        "stdout_logfile=$DIR/log/other.log",
        "stdout_logfile=NONE",
    ] {
        daemon.edit_config(&program(line));
        daemon
            .ctl("update")
            .is(0, "web: stopped\nweb: updated process group\n");
        daemon.wait_state("web", "RUNNING");
        let new = daemon.pid("web");
        assert_ne!(new, pid, "{line}");
        assert!(!proc::is_alive(pid), "{line}");
        pid = new;
    }
    daemon.close();
}

#[test]
fn a_change_of_comments_is_no_change() {
    let daemon = running(BASE, &["keep", "middle", "zeta"]);
    let shuffled: String = BASE
        .lines()
        .map(|line| format!("{line} ; comment\n# another\n\n"))
        .collect();
    daemon.edit_config(&shuffled);
    daemon
        .ctl("reread")
        .is(0, "No config updates to processes\n");
    daemon.ctl("update").is(0, "");
    daemon.close();
}

#[test]
fn reload_begins_anew_in_the_same_process() {
    let daemon = running(BASE, &["keep", "middle", "zeta"]);
    let before = pids(&daemon, &["keep", "middle", "zeta"]);
    daemon.edit_config(EDITED);
    daemon.ctl("reload").is(0, "Restarted taskmasterd\n");
    wait::for_condition("the new set", || {
        daemon
            .try_names()
            .is_some_and(|names| names == ["alpha", "keep", "middle"])
    });
    for name in ["alpha", "keep", "middle"] {
        daemon.wait_state(name, "RUNNING");
    }
    for pid in before {
        assert!(!proc::is_alive(pid), "reload restarts everything");
    }
    daemon.ctl("pid").is(0, &format!("{}\n", daemon.process()));
    daemon
        .ctl("reload x")
        .begins(1, "Error: reload accepts no arguments\n");
    daemon.close();
}

#[test]
fn reload_rereads_the_daemons_own_section() {
    let daemon = Daemon::builder().bare().config(
        "[taskmasterctl]\nserverurl=$DIR/run/tm.sock\n[taskmasterd]\nlogfile=$DIR/log/taskmaster.log\nchildlogdir=$DIR/log/child\n\
         [program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n",
    ).start();
    daemon.wait_state("web", "RUNNING");
    daemon.edit_config(
        "[taskmasterctl]\nserverurl=$DIR/run/tm.sock\n[taskmasterd]\nlogfile=$DIR/log/second.log\nchildlogdir=$DIR/log/child\numask=077\n\
         [program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n",
    );
    daemon.ctl("reload").code(0);
    wait::for_condition("the second log", || {
        daemon
            .sandbox
            .read("log/second.log")
            .contains("spawned: 'web'")
    });
    daemon.wait_state("web", "RUNNING");
    assert_eq!(
        proc::status_field(daemon.pid("web"), "Umask").as_deref(),
        Some("0077")
    );
    daemon.close();
}

#[test]
fn reload_with_a_broken_file_keeps_everything() {
    let daemon = running(BASE, &["keep", "middle", "zeta"]);
    let before = pids(&daemon, &["keep", "middle", "zeta"]);
    daemon.edit_config(BROKEN);
    daemon.ctl("reload").code(1).mentions("autostart");
    assert_eq!(pids(&daemon, &["keep", "middle", "zeta"]), before);
    daemon.edit_config(BASE);
    daemon.close();
}

#[test]
fn supervisors_names_say_supervisord() {
    let daemon = Daemon::builder()
        .supervisor()
        .config("[program:web]\ncommand=sleep 1000\nstartsecs=0\n")
        .start();
    daemon.wait_state("web", "RUNNING");
    let mut command = daemon
        .sandbox
        .command(daemon.sandbox.called_as("supervisorctl"));
    command
        .arg("-c")
        .arg(daemon.sandbox.config_path())
        .arg("reload");
    daemon
        .sandbox
        .finish(command, "")
        .is(0, "Restarted supervisord\n");
    // The old life may still answer for a moment.
    wait::for_condition("a second start", || daemon.count_log("spawned: 'web'") == 2);
    daemon.wait_state("web", "RUNNING");
    daemon.close();
}

#[test]
fn a_program_that_moves_into_a_group_is_started_once() {
    let daemon = running(BASE, &["keep", "middle", "zeta"]);
    daemon.edit_config(&format!("{BASE}[group.site]\nprograms=keep,middle\n"));
    daemon.ctl("update").code(0);
    wait::for_condition("the new names", || {
        names(&daemon) == ["site:keep", "site:middle", "zeta"]
    });
    daemon.wait_state("site:keep", "RUNNING");
    daemon.wait_state("site:middle", "RUNNING");
    wait::for_condition("three programs", || {
        proc::tagged(&daemon.sandbox.tag())
            .into_iter()
            .filter(|process| process.name == "sleep")
            .count()
            == 3
    });
    daemon.close();
}

#[test]
fn autostart_that_is_turned_on_starts_what_was_never_started() {
    let text = |autostart: bool| {
        format!(
            "[program.fresh]\ncommand=sleep 1000\nstartsecs=0\nautostart={autostart}\n\
             [program.stopped]\ncommand=sleep 1000\nstartsecs=0\nautostart={autostart}\n"
        )
    };
    let daemon = Daemon::with(&text(false));
    daemon
        .ctl("stop stopped")
        .is(0, "stopped: ERROR (not running)\n");
    daemon.edit_config(&text(true));
    daemon.ctl("update").is(
        0,
        "fresh: updated process group\nstopped: updated process group\n",
    );
    let pid = daemon.wait_state("fresh", "RUNNING").pid;
    daemon.edit_config(&text(false));
    daemon.ctl("update").code(0);
    assert_eq!(
        daemon.row("fresh").pid,
        pid,
        "turned off, it does not stop anything"
    );
    assert_eq!(daemon.state("stopped"), "STOPPED");
    daemon.close();
}

#[test]
fn an_update_makes_a_new_childlogdir() {
    let program =
        "[program.web]\ncommand=sh -c 'echo hello; exec sleep 1000'\nautostart=true\nstartsecs=0\n";
    let daemon = running(program, &["web"]);
    daemon.edit_config(&format!(
        "{program}[taskmasterd]\nchildlogdir=$DIR/log/other\n"
    ));
    daemon
        .ctl("update")
        .is(0, "web: stopped\nweb: updated process group\n");
    daemon.wait_content("log/other/web_0_out.log", "hello\n");
    daemon.close();
}

#[test]
fn an_update_says_that_the_daemons_own_settings_wait_for_a_reload() {
    const NOTICE: &str = "the daemon's own settings have changed";
    let daemon = running(BASE, &["keep", "middle", "zeta"]);
    let before = pids(&daemon, &["keep", "middle", "zeta"]);
    daemon.ctl("update").is(0, "");
    assert_eq!(daemon.count_log(NOTICE), 0);
    daemon.edit_config(&format!("{BASE}[taskmasterd]\nloglevel=debug\n"));
    daemon.ctl("update").is(0, "");
    daemon.wait_log(NOTICE);
    daemon.signal(Signal::SIGHUP);
    wait::for_condition("the notice again", || daemon.count_log(NOTICE) == 2);
    assert_eq!(pids(&daemon, &["keep", "middle", "zeta"]), before);
    // It concerns no program, so none is stopped for it.
    daemon.ctl("reload").is(0, "Restarted taskmasterd\n");
    assert_eq!(daemon.count_log("started with pid"), 1);
    assert_eq!(pids(&daemon, &["keep", "middle", "zeta"]), before);
    daemon.ctl("update").is(0, "");
    assert_eq!(daemon.count_log(NOTICE), 2);
    daemon.close();
}
