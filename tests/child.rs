//! What a program finds when it begins, seen from inside.

use crate::harness::{Daemon, is_root, proc, wait};
use std::collections::BTreeMap;
use std::fs;

/// Runs one program to its end and returns what it printed.
fn inside(command: &str, keys: &str) -> String {
    let daemon = Daemon::with(&program(command, keys));
    output(&daemon)
}

fn program(command: &str, keys: &str) -> String {
    format!(
        "[program.probe]\ncommand={command}\nautostart=true\nstartsecs=0\nautorestart=false\nredirect_stderr=true\n{keys}\n"
    )
}

fn output(daemon: &Daemon) -> String {
    daemon.wait_state("probe", "EXITED");
    let log = daemon.child_log("probe_0_out.log");
    // The end of a program and the end of its output are noticed apart.
    wait::until("output", || {
        fs::read_to_string(&log)
            .ok()
            .filter(|text| text.ends_with('\n'))
    })
}

fn variables(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[test]
fn umask() {
    for (daemon_keys, keys, expected) in [
        ("", "", "0022"),
        ("umask=077", "", "0077"),
        ("umask=077", "umask=002", "0002"),
        ("", "umask=0o27", "0027"),
    ] {
        let daemon = Daemon::builder()
            .daemon_keys(daemon_keys)
            .via(&["/bin/sh", "-c", "umask 0111; exec \"$@\"", "sh"])
            .config(&program("/bin/cat /proc/self/status", keys))
            .start();
        let status = output(&daemon);
        assert_eq!(
            proc::field_of(&status, "Umask").as_deref(),
            Some(expected),
            "{daemon_keys} {keys}"
        );
        daemon.close();
    }
    let daemon = Daemon::builder()
        .arg("-m")
        .arg("027")
        .config(&program("/bin/cat /proc/self/status", ""))
        .start();
    assert_eq!(
        proc::field_of(&output(&daemon), "Umask").as_deref(),
        Some("0027")
    );
}

#[test]
fn directory() {
    assert_eq!(
        inside("/bin/readlink /proc/self/cwd", "directory=/usr"),
        "/usr\n"
    );
    let daemon = Daemon::with(&program("/bin/readlink /proc/self/cwd", ""));
    assert_eq!(output(&daemon), format!("{}\n", daemon.sandbox.tag()));
    let daemon = Daemon::builder()
        .daemon_keys("directory=$OUT")
        .config(&program("/bin/readlink /proc/self/cwd", ""))
        .start();
    assert_eq!(output(&daemon), format!("{}/out\n", daemon.sandbox.tag()));
    let daemon = Daemon::builder()
        .daemon_keys("directory=$OUT")
        .arg("-d")
        .arg("/usr")
        .config(&program("/bin/readlink /proc/self/cwd", ""))
        .start();
    assert_eq!(output(&daemon), "/usr\n");
}

#[test]
fn environment() {
    let daemon = Daemon::builder()
        .daemon_keys("environment=GLOBAL=\"g\",BOTH=\"daemon\"")
        .env("INHERITED", "from the daemon")
        .config(&program(
            "/usr/bin/env",
            "environment=OWN=\"a,b c\",BOTH='program',NUM=\"%(process_num)d\",SEEN=\"%(ENV_INHERITED)s\",PLAIN=x-1",
        ))
        .start();
    let found = variables(&output(&daemon));
    for (name, value) in [
        ("GLOBAL", "g"),
        ("OWN", "a,b c"),
        ("BOTH", "program"),
        ("NUM", "0"),
        ("SEEN", "from the daemon"),
        ("PLAIN", "x-1"),
        ("INHERITED", "from the daemon"),
        ("SUPERVISOR_ENABLED", "1"),
        ("SUPERVISOR_PROCESS_NAME", "probe"),
        ("SUPERVISOR_GROUP_NAME", "probe"),
        ("PATH", "/usr/local/bin:/usr/bin:/bin"),
    ] {
        assert_eq!(found.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert_eq!(
        found.get("SUPERVISOR_SERVER_URL"),
        Some(&format!(
            "unix://{}",
            daemon.sandbox.socket_path().display()
        ))
    );
    // Nothing that is the daemon's own business.
    for name in ["NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID"] {
        assert_eq!(found.get(name), None);
    }
    daemon.close();
}

#[test]
fn names_of_copies_in_a_group() {
    let daemon = Daemon::with(
        "[program.probe]\ncommand=/bin/sh -c 'echo $SUPERVISOR_GROUP_NAME $SUPERVISOR_PROCESS_NAME; exec sleep 1000'\n\
         numprocs=2\nautostart=true\nstartsecs=0\n[group.site]\nprograms=probe\n",
    );
    daemon.wait_content(daemon.child_log("probe_0_out.log"), "site probe:0\n");
    daemon.wait_content(daemon.child_log("probe_1_out.log"), "site probe:1\n");
    daemon.close();
}

#[test]
fn notification_sockets_stay_with_the_daemon() {
    let daemon = Daemon::builder()
        .env("NOTIFY_SOCKET", "$DIR/nowhere")
        .env("LISTEN_FDS", "1")
        .env("LISTEN_PID", "1")
        .config(&program("/usr/bin/env", ""))
        .start();
    let found = variables(&output(&daemon));
    for name in ["NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID"] {
        assert_eq!(found.get(name), None, "{name}");
    }
}

#[test]
fn user_and_all_groups() {
    if !is_root() {
        return;
    }
    // The daemon's own supplementary groups must not be passed on.
    let daemon = Daemon::builder()
        .via(&["setpriv", "--groups", "4,27"])
        .config(&program(
            "/bin/cat /proc/self/status",
            "user=nobody\ndirectory=/",
        ))
        .start();
    let status = output(&daemon);
    let field = |name| proc::field_of(&status, name).unwrap();
    assert_eq!(
        field("Uid").split_whitespace().collect::<Vec<_>>(),
        ["65534"; 4]
    );
    assert_eq!(
        field("Gid").split_whitespace().collect::<Vec<_>>(),
        ["65534"; 4]
    );
    assert_eq!(field("Groups"), "65534");
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(u64::from_str_radix(&field(set), 16), Ok(0), "{set}");
    }
    daemon.close();

    let daemon = Daemon::with(&program("/usr/bin/env", "user=65534\ndirectory=/"));
    let found = variables(&output(&daemon));
    for (name, value) in [
        ("HOME", "/nonexistent"),
        ("USER", "nobody"),
        ("LOGNAME", "nobody"),
    ] {
        assert_eq!(found.get(name).map(String::as_str), Some(value), "{name}");
    }
    daemon.close();
}

#[test]
fn the_directory_is_entered_as_the_user() {
    if !is_root() {
        return;
    }
    let daemon = Daemon::with(
        "[program.probe]\ncommand=sleep 1000\nuser=nobody\ndirectory=$DIR/run\nstartretries=0\n\
         [program.exec]\ncommand=$DIR/run/tool\nuser=nobody\ndirectory=/\nstartretries=0\n",
    );
    daemon
        .sandbox
        .write_program("run/tool", "#!/bin/sh\nexec sleep 1000\n");
    let run = daemon.sandbox.path("run").display().to_string();
    daemon
        .ctl("start probe")
        .is(7, "probe: ERROR (spawn error)\n");
    daemon.wait_state("probe", "FATAL");
    daemon.ctl("status probe").is(
        3,
        &format!(
            "{:<33}FATAL     chdir to {run}: permission denied\n",
            "probe"
        ),
    );
    daemon
        .ctl("start exec")
        .is(1, "exec: ERROR (file is not executable)\n");
    daemon.wait_state("exec", "FATAL");
    daemon.ctl("status exec").is(
        3,
        &format!(
            "{:<33}FATAL     no permission to run command '{run}/tool'\n",
            "exec"
        ),
    );
    daemon.close();
}

#[test]
fn no_signal_is_blocked_or_ignored() {
    for prefix in [
        "exec \"$@\"",
        "trap '' HUP INT TERM QUIT USR1 USR2 PIPE TSTP CHLD ALRM; exec \"$@\"",
    ] {
        let daemon = Daemon::builder()
            .via(&["/bin/sh", "-c", prefix, "sh"])
            .config(&program("/bin/cat /proc/self/status", ""))
            .start();
        let status = output(&daemon);
        for set in ["SigBlk", "SigIgn", "SigCgt", "SigPnd"] {
            let value = proc::field_of(&status, set).unwrap();
            assert_eq!(
                u64::from_str_radix(&value, 16),
                Ok(0),
                "{set} after {prefix}"
            );
        }
        // And the daemon itself obeys.
        daemon.close();
    }
}

#[test]
fn only_three_descriptors_are_open() {
    // Descriptors that the daemon was started with are not passed on either.
    let daemon = Daemon::builder()
        .via(&["/bin/bash", "-c", "exec 7</etc/passwd 251</etc/passwd; exec \"$@\"", "sh"])
        .config(
            "[program.probe]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n\
             [program.other]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\nstdout_logfile=NONE\nstderr_logfile=NONE\n",
        )
        .start();
    for name in ["probe", "other"] {
        daemon.wait_state(name, "RUNNING");
        let pid = daemon.pid(name);
        wait::for_condition("the program to be executed", || {
            proc::read(pid).is_some_and(|process| process.name == "sleep")
        });
        // It opens its libraries and closes them again.
        wait::for_condition("the program to have 0, 1 and 2 open and no more", || {
            let mut open: Vec<i32> = fs::read_dir(format!("/proc/{pid}/fd"))
                .unwrap()
                .map(|entry| {
                    entry
                        .unwrap()
                        .file_name()
                        .to_str()
                        .unwrap()
                        .parse()
                        .unwrap()
                })
                .collect();
            open.sort_unstable();
            open == [0, 1, 2]
        });
        for number in [1, 2] {
            // A program's output must block when the pipe is full.
            let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).unwrap();
            let flags = proc::field_of(&info, "flags").unwrap();
            let flags = i32::from_str_radix(&flags, 8).unwrap();
            assert_eq!(flags & libc::O_NONBLOCK, 0, "{name} {number}");
        }
    }
    daemon.close();
}

#[test]
fn a_session_and_group_of_its_own_without_a_terminal() {
    let daemon = Daemon::with(
        "[program.probe]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\nnumprocs=2\n",
    );
    for name in ["probe:0", "probe:1"] {
        daemon.wait_state(name, "RUNNING");
        let pid = daemon.pid(name);
        let process = proc::read(pid).unwrap();
        assert_eq!(process.parent, daemon.process());
        assert_eq!((process.group, process.session, process.tty), (pid, pid, 0));
    }
    daemon.close();
}

#[test]
fn limits_are_those_the_daemon_was_started_with() {
    let daemon = Daemon::builder()
        .via(&[
            "prlimit",
            "--nofile=300:2000",
            "--nproc=4000:5000",
            "--core=0:0",
        ])
        .arg("--minfds")
        .arg("1500")
        .config(&program("/bin/cat /proc/self/limits", ""))
        .start();
    let limits = output(&daemon);
    let line = |text: &str, name: &str| -> Vec<String> {
        text.lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap()
            .split_whitespace()
            .take(2)
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(line(&limits, "Max open files"), ["300", "2000"]);
    assert_eq!(line(&limits, "Max processes"), ["4000", "5000"]);
    // The daemon raised its own.
    let own = fs::read_to_string(format!("/proc/{}/limits", daemon.process())).unwrap();
    let raised: u32 = line(&own, "Max open files")[0].parse().unwrap();
    assert!(raised >= 1500, "{raised}");
    daemon.close();
}

#[test]
fn argv_is_the_command_as_written() {
    let daemon = Daemon::with("[program.probe]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n");
    daemon.wait_state("probe", "RUNNING");
    let pid = daemon.pid("probe");
    wait::for_condition("its command line", || {
        proc::command_line(pid) == "sleep 1000"
    });
    daemon.close();
}

#[test]
fn what_a_program_does_to_its_group_does_not_reach_the_daemon() {
    let daemon = Daemon::with(
        "[program.probe]\ncommand=/bin/sh -c 'kill -KILL 0'\nautostart=true\nstartsecs=0\nautorestart=false\n\
         [program.other]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n",
    );
    daemon.wait_state("probe", "EXITED");
    daemon.wait_log("exited: probe (terminated by SIGKILL; not expected)");
    assert_eq!(daemon.state("other"), "RUNNING");
    daemon.close();
}
