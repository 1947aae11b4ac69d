//! `status`: texts, widths, order and exit codes.

use crate::harness::{Daemon, wait};
use std::time::Instant;

#[test]
fn a_running_program_shows_pid_and_uptime() {
    let daemon = Daemon::with("[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n");
    daemon.wait_state("web", "RUNNING");
    let pid = daemon.pid("web");
    let said = daemon.ctl("status");
    said.code(0);
    let begin = format!("web                              RUNNING   pid {pid}, uptime 0:00:");
    let seconds = said
        .stdout
        .strip_prefix(&begin)
        .and_then(|rest| rest.strip_suffix('\n'))
        .unwrap_or_else(|| panic!("{said:?}"));
    assert!(
        seconds.len() == 2 && seconds.parse::<u32>().is_ok(),
        "{said:?}"
    );
    daemon.ctl("status web").code(0);
    daemon.close();
}

#[test]
fn what_has_ended_shows_when() {
    let daemon = Daemon::with(
        "[program.gone]\ncommand=$ZOO exit gone 0\nautostart=true\nstartsecs=0\nautorestart=false\n\
         [program.halt]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n",
    );
    daemon.wait_state("gone", "EXITED");
    daemon.ctl("stop halt").code(0);
    // The minute may pass between the end and our look at the clock.
    let stamp = |back: i64| {
        let now = chrono::Utc::now() - chrono::TimeDelta::seconds(back);
        now.format("%b %d %I:%M %p").to_string()
    };
    for (name, state) in [("gone", "EXITED"), ("halt", "STOPPED")] {
        let said = daemon.ctl(&["status", name]);
        said.code(3);
        let fits = [0, 20, 40].map(|back| format!("{name:<33}{state:<10}{}\n", stamp(back)));
        assert!(fits.contains(&said.stdout), "{said:?} is none of {fits:?}");
    }
    daemon.close();
}

#[test]
fn the_name_column_grows_with_the_longest_name_shown() {
    let long = "a-program-with-a-name-of-forty-characters";
    let daemon = Daemon::with(&format!(
        "[program.{long}]\ncommand=sleep 1000\n[program.web]\ncommand=sleep 1000\n"
    ));
    let width = long.len() + 3;
    daemon.ctl("status").is(
        3,
        &format!(
            "{long:<width$}STOPPED   Not started\n{:<width$}STOPPED   Not started\n",
            "web"
        ),
    );
    // The width is that of the lines printed.
    daemon.ctl("status web").is(
        3,
        "web                              STOPPED   Not started\n",
    );
    daemon.close();
}

#[test]
fn copies_and_groups_are_named_and_sorted() {
    let daemon = Daemon::with(
        "[program.web]\ncommand=sleep 1000\nnumprocs=11\n\
         [program.a]\ncommand=sleep 1000\n\
         [program.db]\ncommand=sleep 1000\n\
         [program.many]\ncommand=sleep 1000\nnumprocs=2\n\
         [group.site]\nprograms=db,many\n",
    );
    let names = |text: &str| -> Vec<String> {
        text.lines()
            .filter_map(|line| line.split_whitespace().next())
            .map(str::to_owned)
            .collect()
    };
    let mut copies: Vec<_> = (0..11).map(|number| format!("web:{number}")).collect();
    copies.sort();
    let site = ["site:db", "site:many:0", "site:many:1"].map(str::to_owned);
    let everything = [&["a".to_owned()][..], &site, &copies].concat();
    for (words, expected) in [
        ("status", &everything[..]),
        ("status all", &everything),
        ("status web", &copies),
        ("status web:*", &copies),
        ("status web:", &copies),
        ("status site:*", &site),
        ("status web:10 a", &["web:10".to_owned(), "a".to_owned()]),
        ("status a a", &["a".to_owned(), "a".to_owned()]),
        ("status site:db", &["site:db".to_owned()]),
    ] {
        let said = daemon.ctl(words);
        said.code(3);
        assert_eq!(names(&said.stdout), expected, "{words}");
    }
    daemon.close();
}

#[test]
fn unknown_names_come_first_and_give_code_4() {
    let daemon = Daemon::with(
        "[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n[program.off]\ncommand=sleep 1000\n",
    );
    daemon.wait_state("web", "RUNNING");
    daemon
        .ctl("status nosuch")
        .is(4, "nosuch: ERROR (no such process)\n");
    daemon
        .ctl("status nosuch:*")
        .is(4, "nosuch: ERROR (no such group)\n");
    daemon
        .ctl("status web:7")
        .is(4, "web:7: ERROR (no such process)\n");
    daemon.ctl("status web nosuch").begins(
        4,
        "nosuch: ERROR (no such process)\nweb                              RUNNING   pid ",
    );
    // What is down prevails.
    daemon.ctl("status nosuch off").is(
        3,
        "nosuch: ERROR (no such process)\noff                              STOPPED   Not started\n",
    );
    daemon.close();
}

#[test]
fn names_are_case_sensitive() {
    let daemon = Daemon::with(
        "[program.Web]\ncommand=sleep 1000\n[program.web]\ncommand=sleep 1000\n[program.WEB]\ncommand=sleep 1000\n",
    );
    for name in ["Web", "web", "WEB"] {
        daemon
            .ctl(&["status", name])
            .is(3, &format!("{name:<33}STOPPED   Not started\n"));
    }
    daemon.ctl("status wEb").code(4);
    daemon.close();
}

#[test]
fn nothing_configured_prints_nothing() {
    let daemon = Daemon::with("");
    daemon.ctl("status").is(0, "");
    daemon.ctl("status all").is(0, "");
    daemon.close();
}

#[test]
fn the_exit_code_tells_whether_all_is_well() {
    let daemon = Daemon::with(
        "[program.running]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n\
         [program.starting]\ncommand=sleep 1000\nautostart=true\nstartsecs=600\n\
         [program.backoff]\ncommand=/nonexistent/x\nautostart=true\nstartretries=1000\n\
         [program.stopping]\ncommand=$ZOO ignore stopping TERM\nautostart=true\nstartsecs=0\nstopwaitsecs=600\n\
         [program.stopped]\ncommand=sleep 1000\n\
         [program.exited]\ncommand=$ZOO exit exited 0\nautostart=true\nstartsecs=0\n\
         [program.fatal]\ncommand=/nonexistent/x\nautostart=true\nstartretries=0\n",
    );
    daemon.sandbox.wait_mark("stopping", "ready");
    let mut stop = daemon.console("stop stopping").spawn().unwrap();
    for (name, code) in [
        ("running", 0),
        ("starting", 0),
        ("backoff", 0),
        ("stopping", 0),
        ("stopped", 3),
        ("exited", 3),
        ("fatal", 3),
    ] {
        let state = name.to_uppercase();
        daemon.wait_state(name, &state);
        let said = daemon.ctl(&["status", name]);
        said.begins(code, &format!("{name:<33}{state:<10}"));
    }
    daemon
        .ctl("status running starting backoff stopping")
        .code(0);
    daemon.ctl("status").code(3);
    daemon.ctl("signal KILL stopping").code(0);
    stop.wait().unwrap();
    daemon.close();
}

#[test]
fn uptime_begins_anew_with_each_start() {
    let daemon = Daemon::with("[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n");
    wait::for_condition("an uptime of more than a second", || {
        daemon.row("web").uptime_ms.is_some_and(|up| up >= 1100)
    });
    let begin = Instant::now();
    daemon.ctl("restart web").code(0);
    let up = daemon.row("web").uptime_ms.unwrap();
    let passed = begin.elapsed();
    assert!(
        u128::from(up) <= passed.as_millis(),
        "{up} ms after {passed:?}"
    );
    daemon.close();
}

#[test]
fn output_in_a_pipe_holds_no_colour() {
    let daemon = Daemon::with(
        "[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n[program.bad]\ncommand=/nonexistent/x\nautostart=true\nstartretries=0\n",
    );
    daemon.wait_state("bad", "FATAL");
    let mut command = daemon.console("status");
    command.env("TERM", "xterm-256color");
    let said = daemon.sandbox.finish(command, "");
    assert!(!said.stdout.contains('\u{1b}'), "{said:?}");
    daemon.close();
}
