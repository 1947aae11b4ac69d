//! What happens around the daemon: its files are taken away, it is killed, its executable is gone.

use crate::harness::{Daemon, Sandbox, proc, wait};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use std::fs;
use std::os::unix::fs::symlink;

/// Two programs that run.
const TWO: &str = "[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n\
                   [program.db]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n";

fn running(daemon: &Daemon) -> usize {
    proc::tagged(&daemon.sandbox.tag())
        .iter()
        .filter(|process| process.name == "sleep")
        .count()
}

/// A program counts as executed a moment before `/proc` shows its name and words.
fn wait_running(daemon: &Daemon, count: usize) {
    wait::for_condition(format!("{count} programs"), || running(daemon) == count);
}

#[test]
fn files_that_a_cleaner_takes_away_are_made_again() {
    let daemon = Daemon::with(TWO);
    daemon.wait_state("db", "RUNNING");
    daemon.note_descriptors();
    let names = ["run/tm.sock", "run/tm.sock.lock", "run/tm.sock.children"];
    for name in names {
        fs::remove_file(daemon.sandbox.path(name)).unwrap();
        wait::for_condition(format!("{name} to be there again"), || {
            daemon.sandbox.path(name).exists()
        });
        daemon.wait_state("web", "RUNNING");
    }
    // All of it at once, in the way that a cleaner does it.
    wait::for_condition("the directory to be removed", || {
        fs::remove_dir_all(daemon.sandbox.path("run")).is_ok()
    });
    wait::for_condition("all files to be there again", || {
        names.iter().all(|name| daemon.sandbox.path(name).exists())
    });
    daemon.ctl("status web").code(0);
    Daemon::builder()
        .config(TWO)
        .fails_in(&daemon.sandbox)
        .code(3);
    wait_running(&daemon, 2);
    daemon.close();
}

#[test]
fn what_somebody_puts_in_place_of_the_socket_is_left_alone() {
    let daemon = Daemon::with(TWO);
    daemon.wait_state("db", "RUNNING");
    let socket = daemon.sandbox.socket_path();
    let other = daemon.sandbox.write("other", "precious");
    fs::rename(&other, &socket).unwrap();
    let told = || {
        daemon
            .sandbox
            .read("log/taskmaster.log")
            .matches("was removed and can't be made again")
            .count()
    };
    wait::for_condition("the daemon to tell", || told() == 1);
    daemon.signal(Signal::SIGUSR2);
    wait::for_condition("the daemon to try again", || told() == 2);
    assert_eq!(fs::read_to_string(&socket).unwrap(), "precious");
    fs::remove_file(&socket).unwrap();
    wait::for_condition("the socket to be there again", || {
        daemon.try_names().is_some()
    });
    daemon.close();
}

#[test]
fn a_killed_daemon_whose_record_was_removed_leaves_no_second_copy() {
    let mut daemon = Daemon::with(TWO);
    daemon.wait_state("db", "RUNNING");
    let record = daemon.sandbox.path("run/tm.sock.children");
    fs::remove_file(&record).unwrap();
    wait::for_condition("the record to be there again", || record.exists());
    daemon.wait_state("web", "RUNNING");
    daemon.murder();
    daemon.launch();
    daemon.wait_state("web", "RUNNING");
    daemon.wait_state("db", "RUNNING");
    wait_running(&daemon, 2);
    daemon.close();
}

#[test]
fn what_a_killed_daemon_left_is_stopped_with_its_whole_group() {
    let mut daemon = Daemon::with(
        "[program.pair]\ncommand=sh -c \"(trap '' TERM; sleep 1000)& exec sleep 1000\"\nautostart=true\nstartsecs=0\n",
    );
    daemon.wait_state("pair", "RUNNING");
    let leader = daemon.pid("pair");
    wait::for_condition("the whole group to run", || {
        proc::group_members(leader).len() >= 2 && running(&daemon) >= 2
    });
    daemon.murder();
    daemon.edit_config("");
    daemon.launch();
    wait::for_condition("the group to be gone", || {
        proc::group_members(leader).is_empty()
    });
    daemon.close();
}

#[test]
fn a_reload_that_cannot_succeed_is_refused() {
    let sandbox = Sandbox::new();
    let copy = sandbox.copied_as("taskmasterd-of-its-own");
    let script = format!("shift; exec {} \"$@\"", copy.display());
    let daemon = Daemon::builder()
        .via(&["sh", "-c", &script, "sh"])
        .config(TWO)
        .start_in(sandbox);
    daemon.wait_state("db", "RUNNING");
    let pid = daemon.pid("db");
    let aside = daemon.sandbox.path("aside");
    fs::rename(&copy, &aside).unwrap();
    let said = daemon.ctl("reload");
    assert_ne!(said.code, 0, "{said:?}");
    said.mentions("can't start anew");
    assert_eq!(daemon.pid("db"), pid, "nothing was stopped");
    // Replaced by another file, as an upgrade does, it is what is executed.
    // By a process of its own: a file that this one has open for writing cannot be executed.
    let mut copying = daemon.sandbox.command("cp");
    copying.arg(&aside).arg(&copy);
    daemon.sandbox.finish(copying, "").code(0);
    daemon.ctl("reload").code(0);
    wait::for_condition("the daemon to serve again", || {
        let log = daemon.sandbox.read("log/taskmaster.log");
        log.matches("started with pid").count() == 2 && daemon.try_names().is_some()
    });
    daemon.wait_state("db", "RUNNING");
    daemon.close();
}

#[test]
fn a_start_that_fails_late_leaves_nothing() {
    let sandbox = Sandbox::new();
    // Nobody can make a file there, which shows only when it is tried.
    let builder = Daemon::builder().config(TWO).arg("-j").arg("/proc/tm.pid");
    builder.fails_in(&sandbox).code(6);
    assert_eq!(fs::read_dir(sandbox.path("run")).unwrap().count(), 0);
    assert_eq!(proc::tagged(&sandbox.tag()), []);
}

#[test]
fn a_record_that_cannot_be_ours_is_refused() {
    let sandbox = Sandbox::new();
    let record = sandbox.path("run/tm.sock.children");
    let victim = sandbox.write("victim", "precious");
    let builder = Daemon::builder().config(TWO);
    let plants: [&dyn Fn(); 3] = [
        &|| symlink(&victim, &record).unwrap(),
        &|| fs::hard_link(&victim, &record).unwrap(),
        &|| nix::unistd::mkfifo(&record, Mode::S_IRWXU).unwrap(),
    ];
    for plant in plants {
        plant();
        builder.fails_in(&sandbox).code(4);
        fs::remove_file(&record).unwrap();
        assert_eq!(fs::read_dir(sandbox.path("run")).unwrap().count(), 0);
    }
    assert_eq!(sandbox.read("victim"), "precious");
    // What lies where the new record is prepared is put away, not followed.
    symlink(&victim, sandbox.path("run/tm.sock.children.new")).unwrap();
    let daemon = builder.start_in(sandbox);
    assert_eq!(daemon.sandbox.read("victim"), "precious");
    daemon.close();
}

#[test]
fn a_log_that_somebody_put_into_a_directory_for_all_is_not_used() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: only root can make files of others");
        return;
    }
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("shared")).unwrap();
    sandbox.set_mode("shared", 0o1777);
    let planted = sandbox.write("shared/web.log", "");
    std::os::unix::fs::chown(&planted, Some(65_534), None).unwrap();
    let daemon = Daemon::builder()
        .config("[program.web]\ncommand=sh -c \"echo secret; exec sleep 1000\"\nautostart=true\nstdout_logfile=$DIR/shared/web.log\n")
        .start_in(sandbox);
    daemon.wait_state("web", "RUNNING");
    daemon.wait_log("can't write");
    assert_eq!(fs::read_to_string(&planted).unwrap(), "");
    daemon.close();
}

#[test]
fn what_the_daemon_gives_up_stays_on_record() {
    const FREEZER: &str = "/sys/fs/cgroup/freezer";
    let group = std::path::Path::new(FREEZER).join(format!("taskmaster-{}", std::process::id()));
    if !std::path::Path::new(FREEZER).join("cgroup.procs").exists()
        || fs::create_dir(&group).is_err()
    {
        eprintln!("skipped: there is no freezer in which a process outlives SIGKILL");
        return;
    }
    let freeze = |state: &str| fs::write(group.join("freezer.state"), state).unwrap();
    let mut daemon = Daemon::with(
        "[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\nstopwaitsecs=0\n",
    );
    daemon.wait_state("web", "RUNNING");
    let pid = daemon.pid("web");
    fs::write(group.join("cgroup.procs"), pid.to_string()).unwrap();
    freeze("FROZEN");
    daemon.signal(Signal::SIGTERM);
    let code = daemon.wait_exit();
    let record = daemon.sandbox.read("run/tm.sock.children");
    freeze("THAWED");
    assert_eq!(code, 7);
    assert!(record.contains(&format!("+ web web {pid} ")), "{record}");
    wait::for_condition("the process to be gone", || !proc::is_alive(pid));
    wait::for_condition("the freezer to be empty", || fs::remove_dir(&group).is_ok());
    daemon.launch();
    daemon.wait_state("web", "RUNNING");
    wait_running(&daemon, 1);
    daemon.close();
}
