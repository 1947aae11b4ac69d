//! `start`, and how a start succeeds or fails.

use crate::harness::{Daemon, wait};
use std::time::Duration;

#[test]
fn autostart_decides_what_runs_at_first() {
    let daemon = Daemon::with(
        "[program.off]\ncommand=sleep 1000\n\
         [program.on]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n\
         [program:colon]\ncommand=sleep 1000\nstartsecs=0\n\
         [program:colonoff]\ncommand=sleep 1000\nautostart=false\n",
    );
    daemon.wait_state("on", "RUNNING");
    daemon.wait_state("colon", "RUNNING");
    daemon.ctl("status off colonoff").is(
        3,
        "off                              STOPPED   Not started\n\
         colonoff                         STOPPED   Not started\n",
    );
    assert_eq!(daemon.count_log("spawned: "), 2);
    daemon.close();
}

#[test]
fn start_answers_when_the_program_has_been_up_for_startsecs() {
    let daemon = Daemon::with("[program.web]\ncommand=sleep 1000\nstartsecs=1\n");
    let (said, took) = wait::timed(|| daemon.ctl("start web"));
    said.is(0, "web: started\n");
    assert!(took >= Duration::from_secs(1), "answered after {took:?}");
    assert_eq!(daemon.state("web"), "RUNNING");
    let pid = daemon.pid("web");
    let log = daemon.log();
    assert!(
        log.contains(&format!("spawned: 'web' with pid {pid}")),
        "{log}"
    );
    assert!(
        log.contains(
            "success: web entered RUNNING state, process has stayed up for > than 1 seconds (startsecs)"
        ),
        "{log}"
    );
    daemon.close();
}

#[test]
fn a_program_is_starting_until_startsecs_have_passed() {
    let daemon = Daemon::with("[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=600\n");
    let row = daemon.wait_state("web", "STARTING");
    assert!(row.pid.is_some());
    wait::holds("STARTING", Duration::from_millis(300), || {
        daemon.state("web") == "STARTING"
    });
    daemon
        .ctl("status web")
        .is(0, "web                              STARTING  \n");
    daemon.close();
}

#[test]
fn startsecs_zero_counts_as_started_at_once() {
    let daemon = Daemon::with(
        "[program.stays]\ncommand=sleep 1000\nstartsecs=0\n\
         [program.goes]\ncommand=$ZOO exit goes 0\nstartsecs=0\n",
    );
    daemon.ctl("start stays").is(0, "stays: started\n");
    assert_eq!(daemon.state("stays"), "RUNNING");
    daemon.ctl("start goes").code(0);
    daemon.wait_state("goes", "EXITED");
    daemon.wait_log("exited: goes (exit status 0; expected)");
    assert_eq!(daemon.sandbox.count_marks("goes", "start"), 1);
    daemon.close();
}

#[test]
fn startsecs_is_the_border_between_backoff_and_exited() {
    let daemon = Daemon::with(
        "[program.early]\ncommand=$ZOO exit-on-go early 0\nstartsecs=600\nstartretries=0\n\
         [program.late]\ncommand=$ZOO exit-on-go late 0\nstartsecs=1\nstartretries=0\n",
    );
    let mut early = daemon.console("start early").spawn().unwrap();
    daemon.ctl("start late").is(0, "late: started\n");
    for name in ["early", "late"] {
        daemon.sandbox.write(&format!("out/{name}.go"), "");
    }
    assert_eq!(early.wait().unwrap().code(), Some(7));
    daemon.wait_state("early", "FATAL");
    daemon.wait_state("late", "EXITED");
    let log = daemon.log();
    // Too early an end is never expected, whatever the code; and it never counted as started.
    assert!(
        log.contains("exited: early (exit status 0; not expected)"),
        "{log}"
    );
    assert!(!log.contains("success: early"), "{log}");
    assert!(log.contains("success: late entered RUNNING"), "{log}");
    assert!(
        log.contains("exited: late (exit status 0; expected)"),
        "{log}"
    );
    daemon.close();
}

#[test]
fn failures_are_retried_with_growing_pauses_then_given_up() {
    let daemon = Daemon::with(
        "[program.bad]\ncommand=$ZOO exit bad 3\nstartsecs=600\nstartretries=2\nautostart=true\n\
         [program.once]\ncommand=$ZOO exit once 3\nstartsecs=600\nstartretries=0\nautostart=true\n\
         [program.again]\ncommand=$ZOO exit again 3\nstartsecs=600\nstartretries=1000\nautostart=true\n",
    );
    daemon.wait_state("once", "FATAL");
    daemon
        .ctl("status once")
        .is(3, "once                             FATAL     Exited too quickly (process log may have details)\n");
    // Between the attempts the program is in BACKOFF, which counts as fine, and tells why.
    let told = "again                            BACKOFF   Exited too quickly (process log may have details)\n";
    wait::for_condition("a look between two attempts", || {
        let said = daemon.ctl("status again");
        said.code(0).stdout == told
    });
    daemon
        .ctl("start again")
        .is(0, "again: ERROR (already started)\n");
    daemon.ctl("stop again").is(0, "again: stopped\n");
    daemon.wait_state("bad", "FATAL");
    daemon.wait_log("gave up: bad entered FATAL state, too many start retries too quickly");
    let starts: Vec<_> = daemon
        .sandbox
        .marks("bad")
        .into_iter()
        .map(|mark| mark.at)
        .collect();
    assert_eq!(starts.len(), 3, "startretries and one");
    // The clock of the marks counts hundredths.
    for (pause, least) in starts
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .zip([1.0, 2.0])
    {
        assert!(pause >= least - 0.02, "pauses: {starts:?}");
        assert!(
            pause < least + wait::patience().as_secs_f64(),
            "pauses: {starts:?}"
        );
    }
    assert_eq!(daemon.sandbox.count_marks("once", "start"), 1);
    assert_eq!(
        daemon.count_log("exited: bad (exit status 3; not expected)"),
        3
    );
    daemon.close();
}

#[test]
fn a_start_by_hand_begins_to_count_anew() {
    let daemon =
        Daemon::with("[program.bad]\ncommand=$ZOO exit bad 3\nstartsecs=600\nstartretries=1\n");
    daemon.ctl("start bad").is(7, "bad: ERROR (spawn error)\n");
    daemon.wait_state("bad", "FATAL");
    assert_eq!(daemon.sandbox.count_marks("bad", "start"), 2);
    daemon.ctl("start bad").is(7, "bad: ERROR (spawn error)\n");
    wait::for_condition("two more attempts", || {
        daemon.sandbox.count_marks("bad", "start") == 4
    });
    daemon.wait_state("bad", "FATAL");
    // The same after a stop in BACKOFF, which is over soon: perhaps it takes several attempts.
    wait::for_condition("a stop between two attempts", || {
        daemon.ctl("start bad").code(7);
        let said = daemon.ctl("stop bad");
        said.code(0).stdout == "bad: stopped\n"
    });
    let before = daemon.sandbox.count_marks("bad", "start");
    daemon.ctl("start bad").code(7);
    daemon.wait_state("bad", "FATAL");
    assert_eq!(daemon.sandbox.count_marks("bad", "start"), before + 2);
    daemon.close();
}

#[test]
fn autorestart_and_exitcodes_decide_about_a_second_life() {
    let how = [
        ("zero", "exit", "0"),
        ("three", "exit", "3"),
        ("segv", "die", "SEGV"),
        ("term", "die", "TERM"),
    ];
    let mut config = String::new();
    let mut expected = Vec::new();
    for (rule, restart) in [
        ("never", "false"),
        ("odd", "unexpected"),
        ("always", "true"),
    ] {
        for (codes, list) in [("c0", "0"), ("c3", "3"), ("c03", "0,3")] {
            for (way, animal, argument) in how {
                let name = format!("{rule}-{codes}-{way}");
                config += &format!(
                    "[program.{name}]\ncommand=$ZOO {animal} {name} {argument}\nstartsecs=0\nautostart=true\n\
                     autorestart={restart}\nexitcodes={list}\nstderr_logfile=NONE\nstdout_logfile=NONE\n"
                );
                // A death by signal is never expected.
                let fine = animal == "exit" && list.split(',').any(|code| code == argument);
                let again = match rule {
                    "never" => false,
                    "odd" => !fine,
                    _ => true,
                };
                expected.push((name, again, fine));
            }
        }
    }
    let daemon = Daemon::with(&config);
    for (name, again, _) in &expected {
        if *again {
            wait::for_condition(format!("a second start of {name}"), || {
                daemon.sandbox.count_marks(name, "start") >= 2
            });
        } else {
            daemon.wait_state(name, "EXITED");
        }
    }
    for (name, again, fine) in &expected {
        let log = daemon.log();
        let verdict = if *fine {
            "; expected)"
        } else {
            "; not expected)"
        };
        let line = log
            .lines()
            .find(|line| line.contains(&format!("exited: {name} (")))
            .unwrap_or_else(|| panic!("no end of {name} in the log"));
        assert!(line.ends_with(verdict), "{line}");
        if !again {
            assert_eq!(daemon.sandbox.count_marks(name, "start"), 1, "{name}");
            assert_eq!(daemon.state(name), "EXITED", "{name}");
        }
    }
    daemon.wait_log("exited: never-c0-segv (terminated by SIGSEGV");
    daemon.close();
}

#[test]
fn a_program_that_ends_at_once_and_for_ever_does_not_spin() {
    let daemon = Daemon::with(
        "[program.flash]\ncommand=$ZOO exit flash 0\nstartsecs=0\nautostart=true\nautorestart=true\n",
    );
    let starts = || daemon.sandbox.count_marks("flash", "start");
    wait::for_count("starts", 15, starts);
    daemon.ctl("stop flash").code(0);
    // Less than a tenth of a second lies between two of them. However late one was, the next came no earlier for that.
    let marks = daemon.sandbox.marks("flash");
    for pair in marks.windows(15) {
        let took = pair[14].at - pair[0].at;
        assert!(took >= 0.9, "fifteen starts in {took} seconds: {marks:?}");
    }
    daemon.close();
}

#[test]
fn a_program_that_cannot_be_executed_says_why() {
    let daemon = Daemon::with(
        "[program.missing]\ncommand=/nonexistent/prog\nstartretries=0\n\
         [program.unfound]\ncommand=no-such-command-anywhere\nstartretries=0\n\
         [program.plain]\ncommand=$DIR/plain\nstartretries=0\n\
         [program.folder]\ncommand=/etc\nstartretries=0\n\
         [program.garbage]\ncommand=$DIR/garbage\nstartretries=0\n\
         [program.bareword]\ncommand=$DIR/bareword\nstartretries=0\n\
         [program.interp]\ncommand=$DIR/interp\nstartretries=0\n\
         [program.nodir]\ncommand=sleep 1000\ndirectory=/nonexistent/dir\nstartretries=0\n\
         [program.filedir]\ncommand=sleep 1000\ndirectory=$DIR/plain\nstartretries=0\n",
    );
    let sandbox = &daemon.sandbox;
    sandbox.write("plain", "#!/bin/sh\n");
    let bytes = sandbox.path("bytes");
    std::fs::write(&bytes, [0_u8, 1, 2, 255, 254, 0, 7]).unwrap();
    sandbox.copy_executable(&bytes, "garbage");
    sandbox.write_program("bareword", "touch $OUT/was-run-by-a-shell\n");
    sandbox.write_program("interp", "#!/nonexistent/interpreter\n");
    let here = sandbox.tag();
    let not_a_program = "not a program (a script begins with a line such as #!/bin/sh)";
    for (name, answer, code, text) in [
        (
            "missing",
            "no such file",
            1,
            "can't find command '/nonexistent/prog'".to_owned(),
        ),
        (
            "unfound",
            "no such file",
            1,
            "can't find command 'no-such-command-anywhere'".to_owned(),
        ),
        (
            "plain",
            "file is not executable",
            1,
            format!("command at '{here}/plain' is not executable"),
        ),
        (
            "folder",
            "file is not executable",
            1,
            "command at '/etc' is a directory".to_owned(),
        ),
        (
            "garbage",
            "file is not executable",
            1,
            format!("can't execute '{here}/garbage': {not_a_program}"),
        ),
        (
            "bareword",
            "file is not executable",
            1,
            format!("can't execute '{here}/bareword': {not_a_program}"),
        ),
        (
            "interp",
            "spawn error",
            7,
            format!(
                "can't execute '{here}/interp': the interpreter or loader it names does not exist"
            ),
        ),
        (
            "nodir",
            "spawn error",
            7,
            "chdir to /nonexistent/dir: no such directory".to_owned(),
        ),
        (
            "filedir",
            "spawn error",
            7,
            format!("chdir to {here}/plain: not a directory"),
        ),
    ] {
        daemon
            .ctl(&["start", name])
            .is(code, &format!("{name}: ERROR ({answer})\n"));
        daemon.wait_state(name, "FATAL");
        daemon
            .ctl(&["status", name])
            .is(3, &format!("{name:<33}FATAL     {text}\n"));
        daemon.wait_log(&format!("spawnerr: {text}"));
    }
    assert!(!sandbox.path("out/was-run-by-a-shell").exists());
    daemon.close();
}

#[test]
fn a_missing_program_is_tried_again_and_found_when_it_appears() {
    let daemon = Daemon::with(
        "[program.soon]\ncommand=$DIR/soon\nautostart=true\nstartsecs=0\nstartretries=20\n",
    );
    daemon.wait_state("soon", "BACKOFF");
    daemon
        .sandbox
        .write_program("soon", "#!/bin/sh\nexec sleep 1000\n");
    daemon.wait_state("soon", "RUNNING");
    daemon.close();
}

#[test]
fn the_programs_own_path_is_searched() {
    let daemon = Daemon::with(
        "[program.web]\ncommand=private-tool\nenvironment=PATH=\"$DIR/tools:/bin:/usr/bin\"\nstartsecs=0\n",
    );
    std::fs::create_dir(daemon.sandbox.path("tools")).unwrap();
    daemon
        .sandbox
        .write_program("tools/private-tool", "#!/bin/sh\nexec sleep 1000\n");
    daemon.ctl("start web").is(0, "web: started\n");
    daemon.close();
}

#[test]
fn the_command_is_split_like_a_shell_would_and_no_shell_runs() {
    let daemon = Daemon::with(
        "[program.web]\ncommand=$ZOO say web 'one two' \"three \\\"x\\\"\" four\\ five '$HOME' * '' end\nstartsecs=0\n",
    );
    daemon.ctl("start web").code(0);
    daemon.wait_content(
        daemon.child_log("web_0_out.log"),
        "one two\nthree \"x\"\nfour five\n$HOME\n*\n\nend\n",
    );
    daemon.close();
}

#[test]
fn texts_and_codes_of_start() {
    let daemon = Daemon::with(
        "[program.web]\ncommand=sleep 1000\nstartsecs=0\n\
         [program.pair]\ncommand=sleep 1000\nstartsecs=0\nnumprocs=2\n",
    );
    daemon.ctl("start web").is(0, "web: started\n");
    daemon
        .ctl("start web")
        .is(0, "web: ERROR (already started)\n");
    daemon
        .ctl("start nosuch")
        .is(1, "nosuch: ERROR (no such process)\n");
    daemon
        .ctl("start nosuch:*")
        .is(2, "nosuch: ERROR (no such group)\n");
    daemon
        .ctl("start web:9")
        .is(1, "web:9: ERROR (no such process)\n");
    daemon
        .ctl("start")
        .begins(2, "Error: start requires a process name\n");
    // A bare name means all copies.
    daemon
        .ctl("start pair")
        .is(0, "pair:0: started\npair:1: started\n");
    daemon.ctl("start all").is(0, "");
    daemon.ctl("start pair:*").is(0, "");
    daemon.ctl("stop pair:1").is(0, "pair:1: stopped\n");
    daemon.ctl("start all").is(0, "pair:1: started\n");
    daemon.close();
}

#[test]
fn two_clients_that_start_one_program_start_it_once() {
    let daemon = Daemon::with("[program.web]\ncommand=$ZOO mark web\nstartsecs=1\n");
    let children: Vec<_> = (0..4)
        .map(|_| daemon.console("start web").spawn().unwrap())
        .collect();
    for mut child in children {
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
    daemon.sandbox.wait_mark("web", "start");
    assert_eq!(daemon.count_log("spawned: 'web'"), 1);
    daemon.close();
}

#[test]
fn a_client_that_is_killed_while_it_waits_changes_nothing() {
    let daemon = Daemon::with("[program.web]\ncommand=sleep 1000\nstartsecs=1\n");
    // It may have got its answer before it is killed; then it was too late.
    wait::for_condition("a client to be killed while it waits", || {
        daemon.ctl("stop web").code(0);
        let spawned = daemon.count_log("spawned: 'web'");
        let mut child = daemon.console("start web").spawn().unwrap();
        wait::for_condition("the start", || daemon.count_log("spawned: 'web'") > spawned);
        child.kill().unwrap();
        child.wait().unwrap().code().is_none()
    });
    let pid = daemon.pid("web");
    daemon.wait_state("web", "RUNNING");
    assert_eq!(daemon.pid("web"), pid);
    daemon.close();
}
