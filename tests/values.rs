//! Every wrong value of every key: refused with its place, by the checker and by the daemon, and nothing is begun.

use crate::harness::{Daemon, Sandbox};

/// Keys of a program and values that are errors. An empty string is an empty value.
const PROGRAM: &[(&str, &[&str])] = &[
    ("command", &["", "''", "sh -c 'unclosed", "\"unclosed"]),
    ("autostart", &["", "perhaps", "2", "-1", "truee", "yes no"]),
    ("autorestart", &["", "perhaps", "2", "expected"]),
    (
        "startsecs",
        &[
            "",
            "-1",
            "1.5",
            "abc",
            "1s",
            "99999999999999999999",
            "0x10",
            "1 2",
        ],
    ),
    ("startsec", &["-1", "abc"]),
    (
        "startretries",
        &["", "-1", "1.5", "abc", "99999999999999999999"],
    ),
    (
        "stopwaitsecs",
        &["", "-1", "1.5", "abc", "99999999999999999999"],
    ),
    ("stopwaitsec", &["-1", "abc"]),
    (
        "numprocs",
        &["", "0", "-1", "65536", "1.5", "abc", "99999999999999999999"],
    ),
    ("numprocs_start", &["", "-1", "abc"]),
    (
        "priority",
        &["", "abc", "1e3", "1.5", "99999999999999999999"],
    ),
    ("exitcodes", &["256", "-1", "abc", "0,,1", "0;1", "1.5"]),
    (
        "stopsignal",
        &["", "NOSUCH", "SIG", "99", "-1", "TERM INT", "1.5"],
    ),
    ("umask", &["", "9", "rw", "-1", "01000000", "0x1f"]),
    ("user", &["", "no-such-user-at-all", "-1", "1.5"]),
    ("userid", &["no-such-user-at-all", "-1"]),
    ("redirect_stderr", &["", "perhaps", "2"]),
    ("stopasgroup", &["", "perhaps"]),
    ("killasgroup", &["", "perhaps"]),
    (
        "stdout_logfile_maxbytes",
        &[
            "",
            "-1",
            "abc",
            "1.5MB",
            "10TB",
            "KB",
            "99999999999999999999GB",
        ],
    ),
    ("stderr_logfile_maxbytes", &["", "-1", "abc"]),
    ("stdout_logfile_backups", &["", "-1", "abc", "1.5"]),
    ("stderr_logfile_backups", &["", "-1", "abc"]),
    ("stdout_logfile", &["/nonexistent/directory/x.log"]),
    ("stderr_logfile", &["/nonexistent/directory/x.log"]),
    (
        "environment",
        &["A", "=1", "A=\"unclosed", "A=1,B", "1A B=2", "A='x"],
    ),
    (
        "command",
        &[
            "sleep %(nosuch)s",
            "sleep %s",
            "sleep %",
            "sleep %(process_num",
            "sleep %(ENV_NO_SUCH_VARIABLE)s",
        ],
    ),
    ("directory", &["%(nosuch)s"]),
    ("stdout_logfile", &["%(nosuch)s", "%(program_name)d"]),
    ("environment", &["A=%(nosuch)s"]),
];

/// Keys of the daemon's own section.
const DAEMON: &[(&str, &[&str])] = &[
    ("umask", &["", "9", "rw", "-1"]),
    ("silent", &["", "perhaps"]),
    ("nocleanup", &["", "perhaps"]),
    ("strip_ansi", &["", "perhaps"]),
    ("loglevel", &["", "verbose", "7"]),
    ("logfile_maxbytes", &["", "-1", "abc", "1.5MB"]),
    ("logfile_backups", &["", "-1", "abc"]),
    ("minfds", &["", "-1", "abc"]),
    ("minprocs", &["", "-1", "abc"]),
    ("user", &["", "no-such-user-at-all"]),
    ("userid", &["no-such-user-at-all"]),
    ("directory", &["/nonexistent/directory", "/etc/passwd"]),
    ("environment", &["A", "=1", "A=\"unclosed"]),
    ("pidfile", &["/nonexistent/directory/x.pid"]),
    ("logfile", &["/nonexistent/directory/x.log"]),
    ("childlogdir", &["/nonexistent/directory/sub"]),
];

/// Demands that checker and daemon refuse the text after the header, and that both name the place.
#[track_caller]
fn refused(sandbox: &Sandbox, config: &str, line: usize) {
    let builder = Daemon::builder().config(config);
    builder.write_config(sandbox);
    let file = sandbox.config_path().display().to_string();
    let place = format!("{file}:{}:", builder.first_line() - 1 + line);
    let check = sandbox.taskmaster(&["check-config", &file]);
    let start = builder.fails_in(sandbox);
    for said in [check, start] {
        assert_eq!(said.code, 2, "for {config:?}\n{said:?}");
        let text = said.all();
        let column = text
            .split_once(&place)
            .unwrap_or_else(|| panic!("no {place} for {config:?}\n{said:?}"))
            .1;
        assert!(
            column.starts_with(|c: char| c.is_ascii_digit()),
            "no column for {config:?}\n{said:?}"
        );
    }
    for path in ["run/tm.sock", "log/taskmaster.log", "log/child"] {
        assert!(
            !sandbox.path(path).exists(),
            "{path} was made for {config:?}"
        );
    }
    assert_eq!(
        sandbox.read("out/started"),
        "",
        "a program was started for {config:?}"
    );
}

fn refuse_program_values(rows: &[(&str, &[&str])]) {
    let sandbox = Sandbox::new();
    for (key, values) in rows {
        for value in *values {
            // The good program before it must not be started.
            let command = if *key == "command" {
                ""
            } else {
                "command=sleep 1000\n"
            };
            let config = format!(
                "[program.fine]\ncommand=/bin/sh -c 'echo x >>$OUT/started'\nautostart=true\n\
                 [program.web]\n{command}{key}={value}\n"
            );
            let line = if *key == "command" { 5 } else { 6 };
            refused(&sandbox, &config, line);
        }
    }
}

#[test]
fn wrong_values_of_program_keys() {
    refuse_program_values(&PROGRAM[..PROGRAM.len() / 2]);
}

#[test]
fn more_wrong_values_of_program_keys() {
    refuse_program_values(&PROGRAM[PROGRAM.len() / 2..]);
}

#[test]
fn wrong_values_of_daemon_keys() {
    let sandbox = Sandbox::new();
    for (key, values) in DAEMON {
        for value in *values {
            // Later keys of a section count, so that the header's own are replaced.
            refused(&sandbox, &format!("[taskmasterd]\n{key}={value}\n"), 2);
        }
    }
}

#[test]
fn wrong_values_on_the_command_line() {
    let sandbox = Sandbox::new();
    for (flag, value) in [
        ("-m", "9"),
        ("-m", ""),
        ("-e", "verbose"),
        ("-y", "abc"),
        ("-z", "abc"),
        ("-z", "-1"),
        ("-a", "abc"),
        ("--minprocs", "abc"),
        ("-u", "no-such-user-at-all"),
        ("-d", "/nonexistent/directory"),
        ("-l", "/nonexistent/directory/x.log"),
        ("-j", "/nonexistent/directory/x.pid"),
    ] {
        let said = Daemon::builder().arg(flag).arg(value).fails_in(&sandbox);
        said.code(2).mentions(flag);
        assert!(!sandbox.socket_path().exists(), "{said:?}");
    }
}

#[test]
fn a_flag_beats_the_file() {
    let daemon = Daemon::builder()
        .daemon_keys("loglevel=critical\numask=000\n")
        .arg("-e")
        .arg("debug")
        .arg("-l")
        .arg("$DIR/log/flag.log")
        .config("[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n")
        .start();
    daemon.wait_state("web", "RUNNING");
    crate::harness::wait::for_condition("the log of the flag", || {
        daemon
            .sandbox
            .read("log/flag.log")
            .contains("spawned: 'web'")
    });
    assert!(!daemon.sandbox.log_path().exists());
    daemon.close();
}

#[test]
fn faults_of_structure() {
    let sandbox = Sandbox::new();
    for (config, line) in [
        ("[program.web]\nautostart=true\n", 1),
        ("[program.]\ncommand=sleep 1\n", 1),
        ("[program:]\ncommand=sleep 1\n", 1),
        ("[program.a b]\ncommand=sleep 1\n", 1),
        ("[program.a/b]\ncommand=sleep 1\n", 1),
        ("[program.a:b]\ncommand=sleep 1\n", 1),
        (
            "[program.web]\ncommand=sleep 1\n[program.web]\ncommand=sleep 2\n",
            3,
        ),
        (
            "[program.web]\ncommand=sleep 1\n[program:web]\ncommand=sleep 2\n",
            3,
        ),
        ("[program.web]\ncommand=sleep 1\ngarbage\n", 3),
        ("[program.web\ncommand=sleep 1\n", 1),
        ("[group.site]\nprograms=nosuch\n", 2),
        ("[program:web]\ncommand=sleep 1\nnumprocs=2\n", 3),
        (
            "[program.web]\ncommand=sleep 1\nstopasgroup=true\nkillasgroup=false\n",
            4,
        ),
        ("[include]\n", 1),
    ] {
        refused(&sandbox, config, line);
    }
    // A key before any section.
    let builder = Daemon::builder()
        .bare()
        .config("key=value\n[taskmasterd]\n");
    builder.fails_in(&sandbox).code(2).mentions("tm.ini:1:");
}

#[test]
fn all_faults_are_told_at_once() {
    let sandbox = Sandbox::new();
    let builder = Daemon::builder().config(
        "[program.web]\ncommand=sleep 1\nstartsecs=abc\numask=9\n[program.db]\nautostart=perhaps\ncommand=x\n",
    );
    builder.write_config(&sandbox);
    let file = sandbox.config_path().display().to_string();
    let first = builder.first_line();
    for said in [
        sandbox.taskmaster(&["check-config", &file]),
        builder.fails_in(&sandbox),
    ] {
        said.code(2);
        for line in [2, 3, 5] {
            said.mentions(&format!("{file}:{}:", first + line));
        }
        // The line itself and a caret beneath it.
        said.mentions("startsecs=abc")
            .mentions("^")
            .mentions("autostart=perhaps");
    }
}

#[test]
fn a_socket_path_that_is_too_long() {
    let sandbox = Sandbox::new();
    let long = "x".repeat(100);
    let builder = Daemon::builder().bare().config(&format!(
        "[taskmasterctl]\nserverurl=$DIR/run/{long}.sock\n[taskmasterd]\nlogfile=$DIR/log/taskmaster.log\n"
    ));
    builder
        .fails_in(&sandbox)
        .code(2)
        .mentions("tm.ini:2:")
        .mentions("107");
    assert!(!sandbox.log_path().exists());
}

#[test]
fn values_that_are_fine() {
    let sandbox = Sandbox::new();
    let mut config = String::new();
    for (number, line) in [
        "autostart=YES",
        "autostart=off",
        "autostart=1",
        "autorestart=UNEXPECTED",
        "autorestart=True",
        "startsecs=0",
        "startsec=3",
        "stopwaitsec=3",
        "startretries=0",
        "numprocs=100",
        "priority=-5",
        "exitcodes=0,1,255",
        "exitcodes=0, 2",
        "exitcodes=",
        "stopsignal=SIGHUP",
        "stopsignal=hup",
        "stopsignal=1",
        "stopsignal=RTMIN",
        "umask=0o22",
        "umask=022",
        "umask=2",
        "user=0",
        "user=root",
        "userid=0",
        "stdout_logfile=NONE",
        "stdout_logfile=auto",
        "stdout_logfile=/dev/null",
        "stdout_logfile_maxbytes=0",
        "stdout_logfile_maxbytes=1kb",
        "stdout_logfile_maxbytes=1 GB",
        "stdout_logfile_backups=0",
        "environment=",
        "environment=A=\"1\",B='2',C=3,",
        "environment=A=x@y:z/w?v",
        "directory=/nonexistent/until/start",
        "command = sleep 2 ; a comment",
        "COMMAND: sleep 3",
    ]
    .iter()
    .enumerate()
    {
        let command = if line.to_lowercase().starts_with("command") {
            ""
        } else {
            "command=sleep 1\n"
        };
        config += &format!("[program.p{number}]\n{command}{line}\n");
    }
    Daemon::builder().config(&config).write_config(&sandbox);
    let said = sandbox.taskmaster(&["check-config", &sandbox.config_path().display().to_string()]);
    said.code(0);
    assert!(!said.all().contains("error"), "{said:?}");
}

#[test]
fn a_wrong_value_that_a_flag_replaces_is_still_told_by_the_checker() {
    let sandbox = Sandbox::new();
    for value in ["", "perhaps", "2"] {
        let builder = Daemon::builder().daemon_keys(&format!("nodaemon={value}\n"));
        builder.write_config(&sandbox);
        sandbox
            .taskmaster(&["check-config", &sandbox.config_path().display().to_string()])
            .code(2)
            .mentions("nodaemon");
    }
}
