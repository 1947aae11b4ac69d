//! What the loader makes of valid files.

use super::{FakeHost, config, messages};
use crate::config::model::{
    Autorestart, Config, ListenAddress, ListenSettings, LogLevel, LogTarget, Owner, ProcessSettings,
};
use crate::config::{Override, load_console};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

fn processes(config: &Config) -> Vec<Arc<ProcessSettings>> {
    let groups = config.groups.values();
    groups
        .flat_map(|group| group.processes.values().cloned())
        .collect()
}

fn names(config: &Config) -> Vec<String> {
    processes(config)
        .iter()
        .map(|process| process.key.to_string())
        .collect()
}

fn only(text: &str) -> Arc<ProcessSettings> {
    let all = processes(&config(text));
    assert_eq!(all.len(), 1, "{text}");
    Arc::clone(&all[0])
}

fn file(target: &LogTarget) -> String {
    match target {
        LogTarget::File { path, .. } => path.display().to_string(),
        LogTarget::Discard => "none".into(),
    }
}

#[test]
fn an_empty_file_has_the_native_defaults() {
    let config = config("");
    let daemon = &config.daemon;
    assert_eq!(
        daemon.socket,
        Path::new("/tmp/taskmaster.d/taskmasterd.sock")
    );
    assert_eq!(
        daemon.logfile.as_deref(),
        Some(Path::new("/tmp/taskmaster.d/taskmaster.log"))
    );
    assert_eq!(daemon.childlogdir, Path::new("/tmp/taskmaster.d/childlog"));
    assert_eq!((daemon.umask, daemon.socket_mode), (0o022, 0o600));
    assert_eq!((daemon.loglevel, daemon.nodaemon), (LogLevel::Info, false));
    assert_eq!(
        (daemon.logfile_maxbytes.0, daemon.logfile_backups),
        (50 << 20, 10)
    );
    assert_eq!(
        (&daemon.user, &daemon.directory, &daemon.pidfile),
        (&None, &None, &None)
    );
    assert_eq!(daemon.identifier, "taskmaster");
    assert_eq!(config.console.socket, daemon.socket);
    assert_eq!(config.console.prompt, "taskmasterd>");
    assert_eq!(config.files, [PathBuf::from("/base/main.ini")]);
    assert!(config.groups.is_empty());
}

#[test]
fn the_separator_decides_the_defaults_of_a_program() {
    let native = only("[program.a]\ncommand=/bin/cat\n");
    assert!(!native.policy.autostart);
    assert_eq!(native.policy.stopwaitsecs, Duration::from_secs(3));
    let supervisor = only("[program:a]\ncommand=/bin/cat\n");
    assert!(supervisor.policy.autostart);
    assert_eq!(supervisor.policy.stopwaitsecs, Duration::from_secs(10));
    for program in [native, supervisor] {
        assert_eq!(program.policy.autorestart, Autorestart::Unexpected);
        assert_eq!(program.policy.startsecs, Duration::from_secs(1));
        assert_eq!(program.policy.startretries, 3);
        assert_eq!(program.policy.exitcodes, [0]);
        assert_eq!(program.policy.stopsignal.number(), 15);
        assert_eq!(program.policy.priority, 999);
        assert_eq!(program.stdout.maxbytes.0, 50 << 20);
        assert_eq!(program.stdout.backups, 10);
        assert_eq!(
            file(&program.stdout.target),
            "/tmp/taskmaster.d/childlog/a_0_out.log"
        );
        assert_eq!(
            file(&program.stderr.target),
            "/tmp/taskmaster.d/childlog/a_0_err.log"
        );
        assert_eq!(program.launch.umask, 0o022);
        assert_eq!(&*program.origin, "main.ini:1");
    }
}

#[test]
fn every_key_of_a_program_reaches_the_model() {
    let program = only(
        "[taskmasterd]\nenvironment=A=1,B=2\nstrip_ansi=yes\nchildlogdir=/var/log\n\
         [program.a]\ncommand=/bin/cat -n 'x y'\ndirectory=sub\numask=077\nuserid=www\nautostart=on\n\
         autorestart=TRUE\nstartsec=7\nstartretries=0\nexitcodes=2, 3\nstopsignal=SIGusr1\nstopwaitsec=9\n\
         priority=-5\nstopasgroup=true\nredirect_stderr=true\nstdout_logfile=~www/a.log\n\
         stdout_logfile_maxbytes=1KB\nstdout_logfile_backups=2\nenvironment=B=3,C=%(ENV_A)s\n\
         serverurl=unix:///x\n",
    );
    let launch = &program.launch;
    assert_eq!(launch.argv, ["/bin/cat", "-n", "x y"]);
    assert_eq!(launch.command, "/bin/cat -n 'x y'");
    assert_eq!(launch.directory.as_deref(), Some(Path::new("/base/sub")));
    assert_eq!(launch.umask, 0o077);
    let user = launch.user.as_ref().unwrap();
    assert_eq!(
        (user.uid, user.gid, user.groups.as_slice()),
        (33, 34, &[34, 35][..])
    );
    let variables: Vec<_> = launch.environment.0.iter().collect();
    // The section's own; what the daemon's section adds lies beneath.
    let common: Vec<_> = launch.env_layers.common.0.iter().collect();
    assert_eq!(common, [(&"A".to_owned(), &"1".to_owned())]);
    let expected =
        [("B", "3"), ("C", "1")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(
        variables,
        expected
            .iter()
            .map(|(name, value)| (name, value))
            .collect::<Vec<_>>()
    );
    assert!(launch.redirect_stderr && launch.strip_ansi);
    assert_eq!(launch.server_url.as_deref(), Some("unix:///x"));
    let policy = &program.policy;
    assert!(policy.autostart && policy.stopasgroup && policy.killasgroup);
    assert_eq!(policy.autorestart, Autorestart::Always);
    assert_eq!(
        (policy.startsecs.as_secs(), policy.stopwaitsecs.as_secs()),
        (7, 9)
    );
    assert_eq!((policy.startretries, policy.priority), (0, -5));
    assert_eq!(policy.exitcodes, [2, 3]);
    assert_eq!(policy.stopsignal.number(), 10);
    assert_eq!(
        (program.stdout.maxbytes.0, program.stdout.backups),
        (1024, 2)
    );
}

#[test]
fn the_log_of_a_home_directory_must_have_its_directory() {
    let host = FakeHost::with("[program.a]\ncommand=/bin/cat\nstdout_logfile=~/a.log\n");
    assert_eq!(
        messages(&host.load()),
        [
            "3:16: error[missing-directory]: the directory for `stdout_logfile` of program `a` does not exist: there is no /home/me"
        ]
    );
}

#[test]
fn copies_are_named_by_dialect_and_group() {
    for (text, expected) in [
        ("[program.a]\ncommand=/bin/cat\n", vec!["a"]),
        (
            "[program.a]\ncommand=/bin/cat\nnumprocs=2\n",
            vec!["a:0", "a:1"],
        ),
        (
            "[program.a]\ncommand=/bin/cat\nnumprocs=2\nnumprocs_start=5\n",
            vec!["a:5", "a:6"],
        ),
        (
            "[program.a]\ncommand=/bin/cat\n[group.g]\nprograms=a\n",
            vec!["g:a"],
        ),
        (
            "[program.a]\ncommand=/bin/cat\nnumprocs=2\n[group.g]\nprograms=a\n",
            vec!["g:a:0", "g:a:1"],
        ),
        (
            "[program.a]\ncommand=/bin/cat\nprocess_name=x%(process_num)02d\nnumprocs=2\n",
            vec!["a:x00", "a:x01"],
        ),
        ("[program:a]\ncommand=/bin/cat\n", vec!["a"]),
        (
            "[program:a]\ncommand=/bin/cat\nprocess_name=b\n",
            vec!["a:b"],
        ),
        (
            "[program:a]\ncommand=/bin/cat\nprocess_name=%(program_name)s_%(process_num)d\nnumprocs=2\n",
            vec!["a:a_0", "a:a_1"],
        ),
        (
            "[program:a]\ncommand=/bin/cat\n[group:g]\nprograms=a\n[group:h]\nprograms=a,\n",
            vec!["g:a", "h:a"],
        ),
        (
            "[program:a]\ncommand=/bin/cat\n[group:a]\nprograms=a\n",
            vec!["a"],
        ),
    ] {
        assert_eq!(names(&config(text)), expected, "{text}");
    }
}

#[test]
fn log_files_of_copies_and_of_shared_programs_differ() {
    let logs = |text: &str| {
        let all = processes(&config(text));
        all.iter()
            .map(|process| file(&process.stdout.target))
            .collect::<Vec<_>>()
    };
    let native = "[taskmasterd]\nchildlogdir=/var/log\n[program.a]\ncommand=/bin/cat\nnumprocs=2\nnumprocs_start=4\n";
    assert_eq!(
        logs(native),
        ["/var/log/a_0_out.log", "/var/log/a_1_out.log"]
    );
    assert_eq!(
        logs(&format!("{native}stdout_logfile=/tmp/a.log\n")),
        ["/tmp/a.log0", "/tmp/a.log1"]
    );
    assert_eq!(
        logs(&format!(
            "{native}stdout_logfile=/tmp/a%(process_num)d.log\n"
        )),
        ["/tmp/a4.log", "/tmp/a5.log"]
    );
    assert_eq!(
        logs(&format!("{native}stdout_logfile=NONE\n")),
        ["none", "none"]
    );
    assert_eq!(
        logs("[program.a]\ncommand=/bin/cat\n[group.g]\nprograms=a\n[group.h]\nprograms=a\n"),
        [
            "/tmp/taskmaster.d/childlog/a_0_out.log",
            "/tmp/taskmaster.d/childlog/h_a_0_out.log"
        ]
    );
    let supervisor = "[supervisord]\n[program:a]\ncommand=/bin/cat\n";
    assert_eq!(logs(supervisor), ["/tmp/a_0_out.log"]);
}

#[test]
fn variables_are_those_of_their_place() {
    let host = FakeHost::with("[include]\nfiles=sub/*.ini\n[program.a]\ncommand=/bin/cat %(here)s\n").and(
        "/base/sub/b.ini",
        "[program.b]\ncommand=/bin/cat %(here)s %(program_name)s %(group_name)s %(numprocs)d %(process_num)d %(host_node_name)s %(ENV_HOME)s %(ENV_OWN)s\n\
         environment=OWN=\"own%(process_num)d\"\n[group.g]\nprograms=b\npriority=3\n",
    );
    let loaded = host.load();
    assert_eq!(messages(&loaded), [""; 0]);
    let config = loaded.config.unwrap();
    let commands: Vec<_> = processes(&config)
        .iter()
        .map(|process| process.launch.command.clone())
        .collect();
    assert_eq!(
        commands,
        [
            "/bin/cat /base",
            "/bin/cat /base/sub b g 1 0 alpha /home/me own0"
        ]
    );
    let priorities: Vec<_> = config
        .groups
        .values()
        .map(|group| (group.priority, group.explicit))
        .collect();
    assert_eq!(priorities, [(999, false), (3, true)]);
    assert_eq!(
        config.files,
        ["/base/main.ini", "/base/sub/b.ini"].map(PathBuf::from)
    );
}

#[test]
fn a_later_file_overrides_the_daemon_section() {
    let host =
        FakeHost::with("[include]\nfiles=over.ini\n[taskmasterd]\nloglevel=debug\numask=027\n")
            .and("/base/over.ini", "[taskmasterd]\nloglevel=error\n");
    let loaded = host.load();
    assert_eq!(messages(&loaded), [""; 0]);
    let daemon = loaded.config.unwrap().daemon;
    assert_eq!((daemon.loglevel, daemon.umask), (LogLevel::Error, 0o027));
}

#[test]
fn default_section_is_a_fallback_for_every_other() {
    let program = only(
        "[DEFAULT]\nstartsecs=5\nautostart=true\n[program.a]\ncommand=/bin/cat\nautostart=false\n",
    );
    assert_eq!(program.policy.startsecs, Duration::from_secs(5));
    assert!(!program.policy.autostart);
}

#[test]
fn a_flag_beats_the_file_and_is_checked_like_it() {
    let host = FakeHost::with("[taskmasterd]\nloglevel=debug\n");
    let flag = |key, flag, value: &str| Override {
        weak: false,
        key,
        flag,
        value: value.to_owned(),
    };
    let loaded = host.load_with(&[
        flag("loglevel", "-e", "error"),
        flag("user", "-u", "www"),
        flag("logfile", "-l", "100%.log"),
        flag("minprocs", "--minprocs", "7"),
    ]);
    let daemon = loaded.config.unwrap().daemon;
    assert_eq!(daemon.loglevel, LogLevel::Error);
    assert_eq!(daemon.user.unwrap().uid, 33);
    assert_eq!(daemon.logfile.as_deref(), Some(Path::new("/base/100%.log")));
    assert_eq!(daemon.minprocs, 7);
    let loaded = host.load_with(&[
        flag("loglevel", "-e", "loud"),
        flag("minprocs", "--minprocs", "-1"),
    ]);
    assert_eq!(
        messages(&loaded),
        [
            "1:4: error[bad-value]: `-e/--loglevel` must be a log level: not a log level",
            "1:12: error[bad-value]: `--minprocs` must be a whole number from 0 to 2147483647: less than 0",
        ]
    );
    let place = loaded
        .sources
        .location(loaded.diagnostics[0].primary.unwrap())
        .unwrap();
    assert_eq!(place.path, Path::new("command line"));
}

#[test]
fn sockets_are_found_in_both_dialects() {
    for (text, daemon, console) in [
        (
            "[taskmasterctl]\nserverurl=/tmp/a.sock\n",
            "/tmp/a.sock",
            "/tmp/a.sock",
        ),
        (
            "[taskmasterctl]\nserverurl=unix:///tmp/a.sock\n",
            "/tmp/a.sock",
            "/tmp/a.sock",
        ),
        (
            "[taskmasterctl]\nserverurl=a.sock\n",
            "/base/a.sock",
            "/base/a.sock",
        ),
        (
            "[supervisord]\n[unix_http_server]\nfile=/tmp/b.sock\n",
            "/tmp/b.sock",
            "/tmp/b.sock",
        ),
        (
            "[supervisorctl]\nserverurl=http://localhost:9001\n[unix_http_server]\nfile=/tmp/b.sock\n",
            "/tmp/b.sock",
            "/tmp/b.sock",
        ),
        (
            "[supervisorctl]\nserverurl=unix:///tmp/c.sock\n[unix_http_server]\nfile=/tmp/b.sock\n",
            "/tmp/b.sock",
            "/tmp/c.sock",
        ),
    ] {
        let host = FakeHost::with(text);
        let config = host.load().config.unwrap();
        assert_eq!(config.daemon.socket, Path::new(daemon), "{text}");
        assert_eq!(config.console.socket, Path::new(console), "{text}");
        let alone = load_console(Path::new("main.ini"), &host);
        assert_eq!(alone.settings.as_ref(), Some(&config.console), "{text}");
    }
}

#[test]
fn the_console_does_not_mind_faults_elsewhere() {
    let host = FakeHost::with(
        "junk\n[program.a]\nautostart=x\n[taskmasterctl]\nprompt=me\n[taskmasterd]\numask=9\n",
    );
    assert!(host.load().config.is_none());
    let console = load_console(Path::new("main.ini"), &host);
    assert_eq!(console.settings.unwrap().prompt, "me");
    let host = FakeHost::with("[taskmasterctl]\nserverurl=ftp://x\n");
    let console = load_console(Path::new("main.ini"), &host);
    assert_eq!((console.settings, console.diagnostics.len()), (None, 1));
    let console = load_console(Path::new("nothing.ini"), &host);
    assert_eq!(
        console.diagnostics[0].message,
        "cannot read nothing.ini: entity not found"
    );
}

#[test]
fn a_thousand_programs_load_quickly_and_all() {
    use nix::time::{ClockId, clock_gettime};
    use std::fmt::Write;
    // Of this thread alone, so that a busy machine does not count.
    let load = |programs: u32| {
        let mut text = String::from("[taskmasterd]\nchildlogdir=/var/log\n");
        for index in 0..programs {
            write!(
                text,
                "[program.p{index}]\ncommand=/bin/cat %(program_name)s\nnumprocs=2\nenvironment=A=\"1\",B=2\nuser=www\nautostart=true\n"
            )
            .unwrap();
        }
        let host = FakeHost::with(&text);
        let now = || Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap());
        let begin = now();
        let loaded = host.load();
        let took = now().saturating_sub(begin);
        assert_eq!(
            processes(&loaded.config.unwrap()).len(),
            2 * programs as usize
        );
        took
    };
    let few = load(100);
    let many = load(1_000);
    // Work that grows with the square would take a hundred times as long.
    assert!(many < 40 * few, "{few:?} {many:?}");
}

#[test]
fn fastcgi_programs_have_a_socket_for_all_copies() {
    let listens = |text: &str| -> Vec<(String, ListenSettings)> {
        let config = config(text);
        let groups = config.groups.into_values();
        groups
            .flat_map(|group| group.processes.into_values())
            .map(|process| {
                let listen = process.launch.listen.as_deref().unwrap();
                (process.key.to_string(), listen.clone())
            })
            .collect()
    };
    let unix = |path: &str, mode, owner| ListenAddress::Unix {
        path: path.into(),
        mode,
        owner,
    };
    let of_www = Owner {
        uid: 33,
        gid: Some(34),
    };
    let plain = "command=/bin/cat\nsocket=unix:///tmp/%(program_name)s.sock\n";
    for (text, address, backlog) in [
        (
            format!("[fcgi-program:a]\n{plain}"),
            unix("/tmp/a.sock", 0o700, None),
            None,
        ),
        (
            format!("[fcgi-program.a]\n{plain}user=www\nsocket_backlog=5\n"),
            unix("/tmp/a.sock", 0o700, Some(of_www)),
            Some(5),
        ),
        (
            format!("[fcgi-program:a]\n{plain}user=www\nsocket_owner=1000\nsocket_mode=0666\n"),
            unix(
                "/tmp/a.sock",
                0o666,
                Some(Owner {
                    uid: 1000,
                    gid: None,
                }),
            ),
            None,
        ),
        (
            format!("[fcgi-program:a]\n{plain}socket_owner=www:www-group\n"),
            unix("/tmp/a.sock", 0o700, Some(of_www)),
            None,
        ),
        (
            "[fcgi-program:a]\ncommand=/bin/cat\nsocket=tcp://:9000\n".to_owned(),
            ListenAddress::Tcp {
                host: String::new(),
                port: 9000,
            },
            None,
        ),
    ] {
        let expected = ListenSettings { address, backlog };
        assert_eq!(listens(&text), [("a".to_owned(), expected)], "{text}");
    }
    // In a group too, where Supervisor forgets it; and each copy may have its own.
    let text = "[group:g]\nprograms=a\n[fcgi-program:a]\ncommand=/bin/cat\nnumprocs=2\n\
                process_name=%(process_num)d\nsocket=unix:///tmp/%(process_num)d.sock\n";
    let paths: Vec<String> = listens(text)
        .into_iter()
        .map(|(name, listen)| format!("{name} {}", listen.address))
        .collect();
    assert_eq!(paths, ["g:0 unix:///tmp/0.sock", "g:1 unix:///tmp/1.sock"]);
    // The settings of a plain program have none.
    let plain = config("[program:a]\ncommand=/bin/cat\n");
    let group = plain.groups.into_values().next().unwrap();
    let process = group.processes.into_values().next().unwrap();
    assert_eq!(process.launch.listen, None);
}

#[test]
fn what_is_done_with_output_besides_its_log() {
    let text = "[program:a]\ncommand=/bin/cat\nstdout_capture_maxbytes=1KB\nstderr_events_enabled=on\n\
                stdout_syslog=true\nstderr_logfile=syslog\n[supervisord]\nlogfile=syslog\n";
    let loaded = FakeHost::with(text).load();
    assert_eq!(messages(&loaded).len(), 1, "{:#?}", messages(&loaded));
    assert!(messages(&loaded)[0].contains("deprecated"));
    let config = loaded.config.unwrap();
    assert!(config.daemon.syslog);
    assert_eq!(config.daemon.logfile, None);
    let group = config.groups.into_values().next().unwrap();
    let process = group.processes.into_values().next().unwrap();
    let (out, err) = (&process.stdout, &process.stderr);
    assert_eq!((out.capture_maxbytes.0, err.capture_maxbytes.0), (1024, 0));
    assert_eq!((out.events_enabled, err.events_enabled), (false, true));
    assert_eq!((out.syslog, err.syslog), (true, true));
    assert!(out.target.path().is_some());
    assert_eq!(err.target, LogTarget::Discard);
    assert!(err.is_read());
}
