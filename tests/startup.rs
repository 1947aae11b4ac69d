//! How the daemon begins: in the foreground and in the background, beside others and after a violent end.

use crate::harness::{Client, Daemon, Sandbox, is_root, proc, wait};
use crate::life::ONE;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, chown};
use std::process::Stdio;

#[test]
fn in_the_foreground_the_log_goes_to_standard_output_too() {
    let daemon = Daemon::with(ONE);
    daemon.wait_log("spawned: 'web'");
    wait::for_condition("the same line on standard output", || {
        daemon.sandbox.read("stdout").contains("spawned: 'web'")
    });
    daemon.close();

    let daemon = Daemon::builder().arg("-s").config(ONE).start();
    daemon.wait_log("spawned: 'web'");
    daemon.wait_state("web", "RUNNING");
    assert_eq!(daemon.sandbox.read("stdout"), "");
    daemon.close();
}

#[test]
fn in_the_background_the_launching_command_returns_when_the_daemon_serves() {
    // `launch` connects right after the launching command has returned, without waiting.
    for _ in 0..3 {
        let daemon = Daemon::builder().background().config(ONE).start();
        let pid = daemon.process();
        assert_eq!(daemon.sandbox.read("run/tm.pid"), format!("{pid}\n"));
        let process = proc::read(pid).unwrap();
        assert_eq!(process.tty, 0);
        assert_ne!(
            process.session,
            proc::read(std::process::id().cast_signed())
                .unwrap()
                .session
        );
        for number in 0..3 {
            let target = fs::read_link(format!("/proc/{pid}/fd/{number}")).unwrap();
            assert_eq!(target.to_str(), Some("/dev/null"), "descriptor {number}");
        }
        daemon.wait_state("web", "RUNNING");
        daemon.close();
    }
}

#[test]
fn in_the_background_a_failure_reaches_the_launching_command() {
    let sandbox = Sandbox::new();
    let said = Daemon::builder()
        .background()
        .config("[program.web]\ncommand=sleep 1\numask=9\n")
        .fails_in(&sandbox);
    said.code(2).mentions("tm.ini:");
    let said = Daemon::builder()
        .background()
        .bare()
        .config("[taskmasterctl]\nserverurl=$DIR/nowhere/at/all/tm.sock\n[taskmasterd]\nlogfile=$DIR/log/taskmaster.log\nchildlogdir=$DIR/log/child\n")
        .fails_in(&sandbox);
    assert_ne!(said.code, 0, "{said:?}");
    assert!(said.stderr.contains("nowhere"), "{said:?}");
    assert_eq!(proc::tagged(&sandbox.tag()), []);
}

#[test]
fn a_relative_file_is_found_again_after_a_change_of_directory() {
    let sandbox = Sandbox::new();
    Daemon::builder()
        .daemon_keys("directory=/usr\n")
        .config(ONE)
        .write_config(&sandbox);
    let mut command = sandbox.command(Sandbox::executable());
    command.args(["daemon", "-c", "tm.ini", "-j", "run/tm.pid"]);
    sandbox.finish(command, "").is(0, "");
    let mut client = Client::connect(&sandbox.socket_path()).unwrap();
    let pid = client.hello.pid.cast_signed();
    assert_eq!(sandbox.read("run/tm.pid"), format!("{pid}\n"));
    assert_eq!(
        fs::read_link(format!("/proc/{pid}/cwd")).unwrap().to_str(),
        Some("/usr")
    );
    let answer = client.ask(taskmaster::wire::Request::Reread).unwrap();
    assert_eq!(answer, taskmaster::wire::Response::Changes(vec![]));
    kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
    wait::for_condition("the end", || !proc::is_alive(pid));
    assert!(!sandbox.path("run/tm.pid").exists());
}

#[test]
fn a_second_daemon_is_refused_and_disturbs_nothing() {
    let daemon = Daemon::builder().pidfile().config(ONE).start();
    daemon.wait_state("web", "RUNNING");
    let log = daemon.log();
    let written = daemon.sandbox.read("run/tm.pid");
    let foreground = Daemon::builder().pidfile().config(ONE);
    for second in [foreground.clone().background(), foreground] {
        let said = second.fails_in(&daemon.sandbox);
        said.code(3).mentions(&daemon.process().to_string());
    }
    assert_eq!(daemon.log(), log);
    assert_eq!(daemon.sandbox.read("run/tm.pid"), written);
    assert_eq!(daemon.count_log("spawned: 'web'"), 1);
    daemon.ctl("pid").is(0, &format!("{}\n", daemon.process()));
    daemon.close();
}

#[test]
fn the_socket_is_private_whatever_the_umask() {
    for (daemon_keys, mask) in [("", "000"), ("umask=000", "000"), ("", "077")] {
        let sandbox = Sandbox::new();
        let path = sandbox.socket_path();
        // Watch the directory while the daemon starts: the socket must never be seen wider than it is meant to be.
        let sight = path.clone();
        let (done, halted) = std::sync::mpsc::channel::<()>();
        let watcher = std::thread::spawn(move || {
            let mut seen = std::collections::BTreeSet::new();
            loop {
                let last = halted.try_recv().is_ok();
                if let Ok(meta) = fs::symlink_metadata(&sight) {
                    seen.insert(meta.permissions().mode() & 0o777);
                }
                if last {
                    break;
                }
            }
            seen
        });
        let daemon = Daemon::builder()
            .daemon_keys(daemon_keys)
            .via(&["/bin/sh", "-c", &format!("umask {mask}; exec \"$@\""), "sh"])
            .start_in(sandbox);
        assert!(fs::symlink_metadata(&path).unwrap().file_type().is_socket());
        done.send(()).unwrap();
        let seen = watcher.join().unwrap();
        assert!(!seen.is_empty());
        for mode in seen {
            assert_eq!(mode & 0o077, 0, "{mode:o}");
        }
        daemon.close();
    }
}

#[test]
fn a_stale_socket_is_replaced_and_other_files_are_not() {
    let sandbox = Sandbox::new();
    drop(std::os::unix::net::UnixListener::bind(sandbox.socket_path()).unwrap());
    let daemon = Daemon::builder().start_in(sandbox);
    daemon.close();

    let sandbox = Sandbox::new();
    fs::write(sandbox.socket_path(), "precious").unwrap();
    let said = Daemon::builder().fails_in(&sandbox);
    assert!([2, 4].contains(&said.code), "{said:?}");
    assert_eq!(sandbox.read("run/tm.sock"), "precious");
}

#[test]
fn stale_pid_files_are_replaced_and_foreign_ones_kept() {
    for stale in ["", "garbage\n", "1\n", "999999999\n"] {
        let sandbox = Sandbox::new();
        sandbox.write("run/tm.pid", stale);
        let daemon = Daemon::builder().pidfile().start_in(sandbox);
        assert_eq!(
            daemon.sandbox.read("run/tm.pid"),
            format!("{}\n", daemon.process())
        );
        daemon.close();
    }
    // One that tells of somebody else by now is none of ours any more.
    let mut daemon = Daemon::builder().pidfile().start();
    daemon.sandbox.write("run/tm.pid", "1\n");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(), 0);
    assert_eq!(daemon.sandbox.read("run/tm.pid"), "1\n");
    fs::remove_file(daemon.sandbox.path("run/tm.pid")).unwrap();
    daemon.nothing_left();
}

#[test]
fn missing_directories() {
    // The directory of AUTO logs is made, its parent is not.
    let sandbox = Sandbox::new();
    let said = Daemon::builder()
        .daemon_keys("childlogdir=$DIR/no/such/child\n")
        .config(ONE)
        .fails_in(&sandbox);
    said.code(2).mentions("no/such");
    assert!(!sandbox.path("no").exists());
    assert!(!sandbox.log_path().exists());
}

#[test]
fn closed_standard_descriptors_are_no_trouble() {
    let daemon = Daemon::builder()
        .via(&["/bin/sh", "-c", "exec \"$@\" 0<&- 1>&- 2>&-", "sh"])
        .config("[program.web]\ncommand=$ZOO both web\nautostart=true\nstartsecs=0\n")
        .start();
    daemon.wait_content(daemon.child_log("web_0_out.log"), "out1\nout2\n");
    daemon.wait_content(daemon.child_log("web_0_err.log"), "err1\nerr2\n");
    // Nothing of the daemon's own may have ended up as descriptor 0, 1 or 2.
    for number in 0..3 {
        let target = fs::read_link(format!("/proc/{}/fd/{number}", daemon.process())).unwrap();
        assert_eq!(target.to_str(), Some("/dev/null"), "descriptor {number}");
    }
    assert!(!daemon.log().is_empty());
    daemon.close();
}

#[test]
fn a_reader_of_standard_output_that_went_away_is_no_trouble() {
    let sandbox = Sandbox::new();
    Daemon::builder().config(ONE).write_config(&sandbox);
    let mut command = sandbox.command(Sandbox::executable());
    command
        .args(["daemon", "-n", "-c"])
        .arg(sandbox.config_path());
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    drop(child.stderr.take());
    let client = wait::until("service", || Client::connect(&sandbox.socket_path()).ok());
    assert_eq!(client.hello.pid, child.id());
    let ctl = |words: &str| {
        sandbox.taskmaster(&format!(
            "ctl -s unix://{} {words}",
            sandbox.socket_path().display()
        ))
    };
    ctl("restart web").is(0, "web: stopped\nweb: started\n");
    ctl("shutdown").is(0, "Shut down\n");
    let status = wait::until("the end", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_limit_that_cannot_be_raised_is_told() {
    let sandbox = Sandbox::new();
    let said = Daemon::builder()
        .via(&["prlimit", "--nofile=64:64"])
        .arg("-a")
        .arg("1000")
        .fails_in(&sandbox);
    said.code(6).mentions("minfds");
}

#[test]
fn a_socket_of_supervisors_dialect_has_its_mode() {
    for (line, expected) in [("", 0o700), ("chmod=0770", 0o770), ("chmod=0600", 0o600)] {
        let daemon = Daemon::builder()
            .supervisor()
            .config(&format!("[unix_http_server]\n{line}\n"))
            .start();
        let mode = fs::metadata(daemon.sandbox.socket_path())
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o7777, expected, "{line}: {mode:o}");
        daemon.close();
    }
}

#[test]
fn called_as_supervisord_it_exits_as_supervisord() {
    let daemon = Daemon::builder().supervisor().start();
    let said = Daemon::builder().supervisor().fails_in(&daemon.sandbox);
    said.code(2);
    daemon.close();
}

#[test]
fn the_daemon_becomes_its_user() {
    if !is_root() {
        return;
    }
    for (keys, flag) in [
        ("user=nobody", None),
        ("userid=65534", None),
        ("", Some("nobody")),
    ] {
        let sandbox = Sandbox::new();
        for name in ["run", "log"] {
            chown(sandbox.path(name), Some(65534), Some(65534)).unwrap();
        }
        let mut builder = Daemon::builder().daemon_keys(keys).config(ONE);
        if let Some(user) = flag {
            builder = builder.arg("-u").arg(user);
        }
        let daemon = builder.start_in(sandbox);
        daemon.wait_state("web", "RUNNING");
        for pid in [daemon.process(), daemon.pid("web")] {
            let field = |name| proc::status_field(pid, name).unwrap();
            assert_eq!(
                field("Uid").split_whitespace().collect::<Vec<_>>(),
                ["65534"; 4]
            );
            assert_eq!(
                field("Gid").split_whitespace().collect::<Vec<_>>(),
                ["65534"; 4]
            );
            assert_eq!(field("Groups"), "65534");
        }
        if flag.is_none() {
            // The console trusts the user whom the file names.
            let file = daemon.sandbox.config_path().display().to_string();
            daemon
                .sandbox
                .taskmaster(&["ctl", "-c", &file, "restart", "web"])
                .is(0, "web: stopped\nweb: started\n");
        }
        daemon.close();
    }
}

#[test]
fn who_is_not_root_can_become_nobody_else() {
    if !is_root() {
        return;
    }
    let sandbox = Sandbox::new();
    for name in ["run", "log"] {
        chown(sandbox.path(name), Some(65534), Some(65534)).unwrap();
    }
    let nobody = [
        "setpriv",
        "--reuid",
        "65534",
        "--regid",
        "65534",
        "--clear-groups",
    ];
    sandbox.copied_as("taskmasterd");
    let said = Daemon::builder()
        .via(&nobody)
        .called_as("taskmasterd")
        .arg("-u")
        .arg("daemon")
        .fails_in(&sandbox);
    said.code(5).mentions("daemon");
    // As itself it runs, and its own number is no change of identity.
    let daemon = Daemon::builder()
        .via(&nobody)
        .called_as("taskmasterd")
        .config("[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\nuser=65534\n")
        .start_in(sandbox);
    daemon.wait_state("web", "RUNNING");
    daemon.close();
}
