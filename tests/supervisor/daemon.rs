//! The daemon called as Supervisor's: its command line, and the way from the one to the other.

use super::install;
use crate::harness::{Sandbox, is_root, proc, wait};
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

/// Command lines that end by themselves. `BAD` is a file with a fault, `GOOD` one without.
const LINES: &[&str] = &[
    "-v",
    "--version",
    "-h",
    "--help",
    "-?",
    "--bogus",
    "-x",
    "extra",
    "-c BAD extra",
    "-c",
    "-c /nonexistent",
    "-c BAD",
    "-cBAD",
    "-nc BAD",
    "--configuration BAD",
    "--configuration=BAD",
    "--conf BAD",
    "--conf=BAD",
    "--nodae --conf=BAD",
    "--log x -c GOOD",
    "-n -n -c GOOD",
    "-e foo -c GOOD",
    "--loglevel=foo -c GOOD",
    "-m 9 -c GOOD",
    "-u no-such-user-at-all -c GOOD",
    "-l /nonexistent/x -c GOOD",
    "-j /nonexistent/x -c GOOD",
    "-d /nonexistent -c GOOD",
    "-q /nonexistent/x -c GOOD",
    "-y 5XB -c GOOD",
    "-z x -c GOOD",
    "-a x -c GOOD",
    "-a 2147483647 -c GOOD",
    "--minprocs=x -c GOOD",
    "-k -t -s -n -c BAD",
];

const GOOD: &str = "[supervisord]\nlogfile=$DIR/log/x.log\npidfile=$DIR/run/x.pid\n\
                    [program:a]\ncommand=/bin/sleep 1000\n";

/// Ours, under the name of Supervisor's daemon or console.
fn ours(sandbox: &Sandbox, name: &str) -> PathBuf {
    sandbox.called_as(name)
}

#[test]
fn command_lines_end_as_supervisors() {
    let Some(bin) = install::supervisor() else {
        return;
    };
    let sandbox = Sandbox::new();
    let good = sandbox.write("good.conf", GOOD);
    let bad = sandbox.write("bad.conf", &format!("{GOOD}autorestart=maybe\n"));
    let mut faults = Vec::new();
    for line in LINES {
        let line = line
            .replace("GOOD", &good.display().to_string())
            .replace("BAD", &bad.display().to_string());
        let [real, ours] = [bin.join("supervisord"), ours(&sandbox, "supervisord")]
            .map(|program| sandbox.run(program, line.as_str()));
        let same = real.code == ours.code
            && real.stdout.is_empty() == ours.stdout.is_empty()
            && real.stderr.is_empty() == ours.stderr.is_empty();
        if !same {
            faults.push(format!("{line}\n  real {real:?}\n  ours {ours:?}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_readme_leads_from_supervisor_to_here() {
    let Some(bin) = install::supervisor() else {
        return;
    };
    let readme = include_str!("../../README.md");
    for step in [
        "`taskmaster check-config /etc/supervisor/supervisord.conf`",
        "`supervisorctl shutdown`",
        "`ln -sf taskmaster /usr/bin/supervisord`",
        "`ln -sf taskmaster /usr/bin/supervisorctl`",
        "`supervisord -c /etc/supervisor/supervisord.conf`",
        "`supervisorctl status`",
        "`supervisorctl update --dry-run`",
        "`supervisorctl why NAME`",
    ] {
        assert!(readme.contains(step), "README.md: {step}");
    }
    let sandbox = Sandbox::new();
    // The same places, below a directory of the test's own: `D/bin` with `D/etc/supervisord.conf`, which both find.
    fs::create_dir(sandbox.path("etc")).unwrap();
    let file = sandbox.write(
        "etc/supervisord.conf",
        "[unix_http_server]\nfile=$DIR/run/supervisor.sock\nchmod=0700\n\
         [supervisord]\nlogfile=$DIR/log/supervisord.log\npidfile=$DIR/run/supervisord.pid\nchildlogdir=$DIR/log\n\
         [rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n\
         [supervisorctl]\nserverurl=unix://$DIR/run/supervisor.sock\n\
         [program:web]\ncommand=/bin/sleep 1000\nstartsecs=0\n",
    );
    let config = format!("-c {}", file.display());
    let run = |program: &Path, words: &str| sandbox.run(program, words);
    let status = "web                              RUNNING   pid ";

    // Before.
    run(&bin.join("supervisord"), &config).code(0);
    wait::for_condition("the real one to serve", || {
        let said = run(&bin.join("supervisorctl"), &format!("{config} status"));
        said.stdout.starts_with(status)
    });

    // 1 to 4.
    let taskmaster = sandbox.path("bin/taskmaster");
    symlink(Sandbox::executable(), &taskmaster).unwrap();
    run(&taskmaster, &format!("check-config {}", file.display())).code(0);
    run(&bin.join("supervisorctl"), &format!("{config} shutdown")).is(0, "Shut down\n");
    wait::for_condition("the real one to end", || {
        !sandbox.path("run/supervisor.sock").exists() && proc::tagged(&sandbox.tag()).is_empty()
    });
    for name in ["supervisord", "supervisorctl"] {
        symlink("taskmaster", sandbox.path("bin").join(name)).unwrap();
    }

    // 5 to 8.
    let [daemon, console] =
        ["supervisord", "supervisorctl"].map(|name| sandbox.path("bin").join(name));
    run(&daemon, &config).code(0);
    wait::for_condition("ours to run the program", || {
        run(&console, "status").stdout.starts_with(status)
    });
    let edited = fs::read_to_string(&file).unwrap().replace("1000", "2000");
    fs::write(&file, edited).unwrap();
    run(&console, "update --dry-run").begins(
        0,
        "web: restart\n    command: /bin/sleep 1000 -> /bin/sleep 2000 (",
    );
    run(&console, "update").is(0, "web: stopped\nweb: updated process group\n");
    run(&console, "why web").begins(0, "web RUNNING");
    run(&console, "shutdown").is(0, "Shut down\n");
    wait::for_condition("ours to end", || proc::tagged(&sandbox.tag()).is_empty());
}

#[test]
fn the_socket_is_given_to_whom_the_file_says() {
    if !is_root() {
        return;
    }
    let real = install::supervisor().map(|bin| bin.join("supervisord"));
    for program in real.into_iter().map(Some).chain([None]) {
        let sandbox = Sandbox::new();
        sandbox.set_mode("run", 0o755);
        let program = program.unwrap_or_else(|| ours(&sandbox, "supervisord"));
        let file = sandbox.write(
            "tm.ini",
            "[unix_http_server]\nfile=$DIR/run/tm.sock\nchmod=0700\nchown=nobody\n\
             [supervisord]\nlogfile=$DIR/log/x.log\npidfile=$DIR/run/x.pid\nchildlogdir=$DIR/log\n\
             [rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n\
             [supervisorctl]\nserverurl=unix://$DIR/run/tm.sock\n",
        );
        sandbox
            .run(&program, &format!("-c {}", file.display()))
            .code(0);
        let socket = sandbox.socket_path();
        let seen = wait::until("the socket", || {
            let metadata = fs::symlink_metadata(&socket).ok()?;
            (metadata.uid() != 0).then(|| (metadata.uid(), metadata.gid(), metadata.mode() & 0o777))
        });
        assert_eq!(seen, (65534, 0, 0o700), "{}", program.display());
    }
}

#[test]
fn the_owner_of_the_socket_may_use_the_daemon_and_nobody_else() {
    if !is_root() {
        return;
    }
    let mut daemon = crate::harness::Daemon::builder()
        .supervisor()
        .config("[unix_http_server]\nchown=nobody\n[program:web]\ncommand=/bin/sleep 1000\nstartsecs=0\n")
        .start();
    daemon.sandbox.set_mode("run", 0o755);
    let copy = daemon.sandbox.copied_as("taskmaster");
    let ask = |uid: &str| {
        let mut command = daemon.sandbox.command("setpriv");
        command
            .args(["--reuid", uid, "--regid", "4321", "--clear-groups"])
            .arg(&copy)
            .args(["ctl", "-s"])
            .arg(format!("unix://{}", daemon.sandbox.socket_path().display()))
            .args(["pid", "web"]);
        daemon.sandbox.finish(command, "")
    };
    let expected = format!("{}\n", daemon.pid("web"));
    ask("65534").is(0, &expected);
    let other = ask("4321");
    assert!(
        other.code != 0 && !other.stdout.contains(expected.trim()),
        "{other:?}"
    );
    // A daemon that was killed leaves a socket that is not root's; the next one replaces it.
    daemon.murder();
    daemon.launch();
    daemon.wait_state("web", "RUNNING");
    daemon.close();
}
