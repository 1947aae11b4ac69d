//! taskmaster(1): which mode a call opens, and what every mode's command line understands.

use crate::harness::Sandbox;

const VERSION: &str = env!("CARGO_PKG_VERSION");

#[test]
fn the_name_picks_the_mode() {
    let sandbox = Sandbox::new();
    for (name, about) in [
        ("taskmasterd", "--childlogdir"),
        ("supervisord", "--childlogdir"),
        ("taskmasterctl", "--history-file"),
        ("supervisorctl", "--history-file"),
    ] {
        let said = sandbox.run(sandbox.called_as(name), "--help");
        said.code(0);
        assert!(said.stdout.contains(about), "{said:?}");
        assert!(said.stderr.is_empty(), "{said:?}");
    }
}

#[test]
fn under_any_other_name_the_first_word_picks_the_mode() {
    let sandbox = Sandbox::new();
    for name in [
        "taskmaster",
        "foo",
        "taskmasterd2",
        "Taskmasterd",
        "xtaskmasterctl",
    ] {
        let program = sandbox.called_as(name);
        for (word, about) in [
            ("daemon", "--childlogdir"),
            ("ctl", "--history-file"),
            ("check-config", "--strict"),
        ] {
            let said = sandbox.run(&program, &[word, "-h"]);
            said.code(0);
            assert!(said.stdout.contains(about), "{said:?}");
        }
    }
}

#[test]
fn a_name_fixes_the_mode_and_its_first_word_is_an_argument() {
    let sandbox = Sandbox::new();
    // `ctl` is no action; were it the mode, the help would be printed.
    let said = sandbox.run(sandbox.called_as("taskmasterctl"), "ctl -h");
    assert_ne!(said.code, 0, "{said:?}");
    let said = sandbox.run(sandbox.called_as("taskmasterd"), "daemon -h");
    assert!(
        said.code == 2 || said.stdout.contains("--childlogdir"),
        "{said:?}"
    );
    sandbox
        .run(sandbox.called_as("taskmasterd"), "daemon")
        .code(2);
}

#[test]
fn versions_go_to_standard_output() {
    let sandbox = Sandbox::new();
    for (name, words) in [
        ("taskmasterd", "-v"),
        ("taskmasterd", "--version"),
        ("taskmasterctl", "-v"),
        ("taskmasterctl", "--version"),
        ("taskmaster", "daemon -v"),
        ("taskmaster", "ctl --version"),
        ("taskmaster", "check-config --version"),
        ("taskmaster", "--version"),
    ] {
        let said = sandbox.run(sandbox.called_as(name), words);
        said.code(0);
        assert_eq!(
            said.stdout.split_whitespace().last(),
            Some(VERSION),
            "{said:?}"
        );
        assert!(said.stderr.is_empty(), "{said:?}");
    }
    // Supervisor prints the number alone.
    sandbox
        .run(sandbox.called_as("supervisord"), "-v")
        .is(0, &format!("{VERSION}\n"));
}

#[test]
fn usage_errors_exit_with_2_and_say_so_on_standard_error() {
    let sandbox = Sandbox::new();
    for (name, words) in [
        ("taskmaster", ""),
        ("taskmaster", "nosuch"),
        ("taskmaster", "--nosuch"),
        ("taskmaster", "daemon --nosuch"),
        ("taskmaster", "daemon extra"),
        ("taskmaster", "daemon -c"),
        ("taskmaster", "ctl --nosuch"),
        ("taskmaster", "ctl -s"),
        ("taskmaster", "check-config"),
        ("taskmaster", "check-config --format nosuch x.ini"),
        ("taskmaster", "check-config a.ini b.ini"),
        ("taskmasterd", "--nosuch"),
        ("taskmasterd", "extra"),
        ("taskmasterctl", "--nosuch"),
        ("supervisord", "--nosuch"),
        ("supervisorctl", "--nosuch"),
    ] {
        let said = sandbox.run(sandbox.called_as(name), words);
        said.code(2);
        assert!(said.stdout.is_empty(), "{said:?}");
        assert!(!said.stderr.is_empty(), "{said:?}");
    }
}

#[test]
fn the_daemons_help_names_every_option() {
    let sandbox = Sandbox::new();
    let help = sandbox.taskmaster("daemon --help").stdout;
    for option in [
        "-c, --configuration",
        "-n, --nodaemon",
        "-h, --help",
        "-v, --version",
        "-u, --user",
        "-m, --umask",
        "-d, --directory",
        "-l, --logfile",
        "-e, --loglevel",
        "-q, --childlogdir",
        "-j, --pidfile",
        "-i, --identifier",
        "-y, --logfile_maxbytes",
        "-z, --logfile_backups",
        "-t, --strip_ansi",
        "-k, --nocleanup",
        "-s, --silent",
        "-a, --minfds",
        "--minprocs",
    ] {
        assert!(help.contains(option), "{option} is missing in:\n{help}");
    }
}

#[test]
fn the_consoles_help_names_every_option() {
    let sandbox = Sandbox::new();
    let help = sandbox.taskmaster("ctl --help").stdout;
    for option in [
        "-c, --configuration",
        "-s, --serverurl",
        "-i, --interactive",
        "-h, --help",
        "-v, --version",
        "-u, --username",
        "-p, --password",
        "-r, --history-file",
        "-j, --json",
    ] {
        assert!(help.contains(option), "{option} is missing in:\n{help}");
    }
}

#[test]
fn the_file_is_searched_for_in_the_working_directory_first() {
    let sandbox = Sandbox::new();
    let command = |words: &[&str]| {
        let mut command = sandbox.command(Sandbox::executable());
        command.args(words);
        command
    };
    sandbox.write(
        "taskmaster.ini",
        "[taskmasterctl]\nserverurl=$DIR/run/one.sock\n",
    );
    let socket = format!("{}/run/one.sock", sandbox.tag());
    let said = sandbox.finish(command(&["ctl", "pid"]), "");
    said.code(7).mentions(&socket);
    // `taskmasterd.conf` comes second.
    sandbox.write(
        "taskmasterd.conf",
        "[taskmasterctl]\nserverurl=$DIR/run/two.sock\n",
    );
    sandbox
        .finish(command(&["ctl", "pid"]), "")
        .code(7)
        .mentions(&socket);
    std::fs::remove_file(sandbox.path("taskmaster.ini")).unwrap();
    sandbox
        .finish(command(&["ctl", "pid"]), "")
        .code(7)
        .mentions(&format!("{}/run/two.sock", sandbox.tag()));
}

#[test]
fn a_file_found_by_search_that_others_may_write_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "taskmaster.ini",
        "[taskmasterctl]\nserverurl=$DIR/run/tm.sock\n[taskmasterd]\nlogfile=$DIR/log/x.log\n",
    );
    sandbox.set_mode("taskmaster.ini", 0o666);
    let said = sandbox.taskmaster("daemon -n");
    said.code(4).mentions("taskmaster.ini").mentions("writ");
    assert!(!sandbox.path("log/x.log").exists());
    assert!(!sandbox.socket_path().exists());
}

#[test]
fn a_file_that_is_missing_is_an_error_that_names_it() {
    let sandbox = Sandbox::new();
    let missing = sandbox.path("nosuch.ini").display().to_string();
    sandbox
        .taskmaster(&["daemon", "-n", "-c", &missing])
        .code(2)
        .mentions(&missing);
    sandbox
        .taskmaster(&["check-config", &missing])
        .code(2)
        .mentions(&missing);
}
