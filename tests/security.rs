//! Who may connect, and where the daemon refuses to live.

use crate::harness::{Client, Daemon, Sandbox, is_root, wait};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
use std::path::Path;

#[test]
fn another_user_is_refused_even_when_the_socket_is_open() {
    if !is_root() {
        return;
    }
    let daemon = Daemon::with("[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n");
    daemon.wait_state("web", "RUNNING");
    let pid = daemon.pid("web");
    daemon.sandbox.set_mode("run", 0o755);
    daemon.sandbox.set_mode("run/tm.sock", 0o666);
    let copy = daemon.sandbox.copied_as("taskmaster");
    for words in ["status", "stop web", "shutdown"] {
        let mut command = daemon.sandbox.command("setpriv");
        command
            .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
            .arg(&copy)
            .args(["ctl", "-s"])
            .arg(format!("unix://{}", daemon.sandbox.socket_path().display()))
            .args(words.split(' '));
        let said = daemon.sandbox.finish(command, "");
        assert_ne!(said.code, 0, "{said:?}");
        assert!(!said.all().contains("RUNNING"), "{said:?}");
    }
    assert_eq!(daemon.pid("web"), pid);
    assert_eq!(daemon.state("web"), "RUNNING");
    daemon.wait_log("65534");
    daemon.close();
}

#[test]
fn a_directory_that_others_could_change_is_refused() {
    let open = Sandbox::new();
    open.set_mode("run", 0o777);
    let mut cases = vec![open];
    if is_root() {
        let foreign = Sandbox::new();
        chown(foreign.path("run"), Some(65534), Some(65534)).unwrap();
        cases.push(foreign);

        let link = Sandbox::new();
        fs::create_dir(link.path("elsewhere")).unwrap();
        fs::remove_dir(link.path("run")).unwrap();
        symlink(link.path("elsewhere"), link.path("run")).unwrap();
        lchown(link.path("run"), Some(65534), Some(65534)).unwrap();
        cases.push(link);
    }
    for sandbox in cases {
        let said = Daemon::builder()
            .config("[program.web]\ncommand=/bin/sh -c 'echo x >$OUT/started'\nautostart=true\n")
            .fails_in(&sandbox);
        said.code(4)
            .mentions(&sandbox.path("run").display().to_string());
        assert!(
            fs::symlink_metadata(sandbox.socket_path()).is_err(),
            "{said:?}"
        );
        assert_eq!(sandbox.read("out/started"), "");
    }
}

/// A daemon without any file of ours for its own places, in a `/tmp` of its own that `prepare` has filled.
///
/// What it finds and makes there is seen below `/proc/PID/root`.
fn with_default_places(sandbox: &Sandbox, prepare: &str) -> std::process::Child {
    sandbox.write(
        "tm.ini",
        "[program.web]\ncommand=/bin/sleep 1000\nautostart=true\nstartsecs=0\n",
    );
    let script = format!(
        "mount -t tmpfs -o mode=1777 none /tmp && mkdir -m 711 $1 && mount -c --bind . $1 && {prepare} && shift && exec \"$@\""
    );
    let mut command = sandbox.command("unshare");
    command
        .args(["-m", "/bin/sh", "-c", &script, "sh"])
        .arg(sandbox.dir())
        // A copy within, for the original may lie below the /tmp that is replaced.
        .arg(sandbox.copied_as("taskmaster"))
        .args(["daemon", "-n", "-c"])
        .arg(sandbox.config_path());
    let stream = |name: &str| fs::File::create(sandbox.path(name)).unwrap();
    command
        .stdin(std::process::Stdio::null())
        .stdout(stream("stdout"))
        .stderr(stream("stderr"));
    sandbox.note(&command);
    command.spawn().unwrap()
}

#[test]
fn the_default_directory_is_private() {
    if !is_root() {
        return;
    }
    for (prepare, notice) in [("umask 0", false), ("mkdir -m 755 /tmp/taskmaster.d", true)] {
        let sandbox = Sandbox::new();
        let mut child = with_default_places(&sandbox, prepare);
        let place = format!("/proc/{}/root/tmp/taskmaster.d", child.id());
        let socket = Path::new(&place).join("taskmasterd.sock");
        wait::for_condition("service", || {
            assert_eq!(
                child.try_wait().unwrap(),
                None,
                "{}",
                sandbox.read("stderr")
            );
            Client::connect(&socket).is_ok()
        });
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(Path::new(&place)), 0o700);
        assert_eq!(mode(&socket) & 0o077, 0);
        wait::for_condition("the default log", || {
            fs::read_to_string(format!("{place}/taskmaster.log"))
                .is_ok_and(|text| text.contains("spawned: 'web'"))
        });
        wait::for_condition("the default directory of logs", || {
            Path::new(&format!("{place}/childlog/web_0_out.log")).exists()
        });
        let said = format!("{}{}", sandbox.read("stdout"), sandbox.read("stderr"));
        let told = said
            .lines()
            .any(|line| line.contains("/tmp/taskmaster.d") && line.contains("0700"));
        assert_eq!(told, notice, "{said}");
        kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
        let status = wait::until("the end", || child.try_wait().unwrap());
        assert_eq!(status.code(), Some(0));
    }
}

#[test]
fn a_default_directory_that_is_a_link_or_anothers_is_refused() {
    if !is_root() {
        return;
    }
    for prepare in [
        "mkdir -m 700 /tmp/elsewhere && ln -s elsewhere /tmp/taskmaster.d",
        "ln -s /nonexistent /tmp/taskmaster.d",
        "mkdir -m 700 /tmp/taskmaster.d && chown 65534 /tmp/taskmaster.d",
        "mkdir -m 777 /tmp/taskmaster.d && chown 65534 /tmp/taskmaster.d",
        "touch /tmp/taskmaster.d",
    ] {
        let sandbox = Sandbox::new();
        let mut child = with_default_places(&sandbox, prepare);
        let status = wait::until("a refusal", || child.try_wait().unwrap());
        let said = sandbox.read("stderr");
        assert_eq!(status.code(), Some(4), "{prepare}\n{said}");
        assert!(said.contains("/tmp/taskmaster.d"), "{said}");
        assert!(!sandbox.read("stdout").contains("spawned"), "{prepare}");
    }
}

#[test]
fn logs_are_not_written_through_links() {
    let sandbox = Sandbox::new();
    let victim = sandbox.write("out/victim", "precious\n");
    symlink(&victim, sandbox.path("log/web.log")).unwrap();
    let daemon = Daemon::builder()
        .config("[program.web]\ncommand=$ZOO lines web 3 100\nautostart=true\nstartsecs=0\nstdout_logfile=$DIR/log/web.log\n")
        .start_in(sandbox);
    daemon.wait_log("web.log");
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious\n");
    daemon.close();
}

#[test]
fn the_pid_file_is_not_written_through_a_link() {
    let sandbox = Sandbox::new();
    let victim = sandbox.write("out/victim", "precious\n");
    symlink(&victim, sandbox.path("run/tm.pid")).unwrap();
    let command = Daemon::builder().pidfile();
    command.write_config(&sandbox);
    let mut child = command
        .command(&sandbox)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    // It may refuse to start or replace the link; it may not follow it.
    wait::for_condition("a verdict", || {
        child.try_wait().unwrap().is_some() || Client::connect(&sandbox.socket_path()).is_ok()
    });
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious\n");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_program_cannot_forge_lines_of_the_daemons_log() {
    let daemon = Daemon::builder()
        .daemon_keys("loglevel=debug")
        .config(
            "[program.web]\ncommand=$DIR/no-such-tool\\nforged\nstartretries=0\n\
             [program.say]\ncommand=/bin/sh -c 'printf \"\\\\n2026-01-01 00:00:00,000 INFO stopped: forged\\\\n\"; exec sleep 1000'\nautostart=true\nstartsecs=0\n",
        )
        .start();
    daemon.wait_state("say", "RUNNING");
    wait::for_condition("output", || {
        fs::read_to_string(daemon.child_log("say_0_out.log"))
            .is_ok_and(|text| text.contains("forged"))
    });
    daemon.ctl("start web").code(1);
    for line in daemon.log().lines() {
        assert!(!line.starts_with("2026-01-01"), "{line}");
    }
    daemon.close();
}

#[test]
fn secrets_of_the_environment_stay_secret() {
    let daemon = Daemon::builder()
        .daemon_keys("loglevel=blather\nenvironment=GLOBAL_SECRET=\"hunter2\"")
        .config("[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\nenvironment=DB_PASSWORD=\"hunter2\"\n")
        .start();
    daemon.wait_state("web", "RUNNING");
    for words in ["status", "avail", "maintail -0", "-j status", "-j avail"] {
        let said = daemon.ctl(words);
        assert!(!said.all().contains("hunter2"), "{said:?}");
    }
    daemon.edit_config("[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\nenvironment=DB_PASSWORD=\"hunter22\"\n");
    assert!(!daemon.ctl("update").all().contains("hunter2"));
    assert!(!daemon.log().contains("hunter2"));
    for directory in ["run", "log"] {
        for entry in fs::read_dir(daemon.sandbox.path(directory)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
                assert!(!text.contains("hunter2"), "{}", path.display());
            }
        }
    }
    daemon.close();
}
