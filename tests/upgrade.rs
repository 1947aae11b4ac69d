//! `upgrade`: another image of the daemon goes on, and no program notices.

use crate::adoption::{NUMBERS, count_lines, many_numbers, size};
use crate::harness::{Client, Daemon, Sandbox, body, framed, proc, wait};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io::Write as _;
use std::time::{Duration, Instant};
use taskmaster::wire::{
    Channel, Notice, Outcome, Request, RequestFrame, Response, ServerFrame, Topic,
};

const SLEEPER: &str = "[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n";

/// Upgrades to the same executable.
#[track_caller]
pub fn upgrade(daemon: &Daemon) {
    let version = env!("CARGO_PKG_VERSION");
    daemon.ctl("upgrade").is(
        0,
        &format!("Upgraded taskmasterd from {version} to {version}\n"),
    );
}

/// A daemon whose executable is a copy of its own, and where that lies.
fn with_own_executable(config: &str) -> (Daemon, std::path::PathBuf) {
    let sandbox = Sandbox::new();
    let copy = sandbox.copied_as("taskmasterd-of-its-own");
    let script = format!("shift; exec {} \"$@\"", copy.display());
    let daemon = Daemon::builder()
        .via(&["sh", "-c", &script, "sh"])
        .config(config)
        .start_in(sandbox);
    (daemon, copy)
}

/// Where in an executable file of 64 bits its first instruction lies.
fn entry_of(elf: &[u8]) -> usize {
    let number = |at: usize, bytes: usize| {
        let mut value = [0; 8];
        value[..bytes].copy_from_slice(&elf[at..at + bytes]);
        usize::try_from(u64::from_le_bytes(value)).unwrap()
    };
    let entry = number(24, 8);
    let (table, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    let segments = (0..count).map(|index| table + index * size);
    let found = segments.filter(|&at| number(at, 4) == 1).find_map(|at| {
        let (offset, address, length) = (number(at + 8, 8), number(at + 16, 8), number(at + 32, 8));
        (address..address + length)
            .contains(&entry)
            .then(|| entry - address + offset)
    });
    found.unwrap()
}

/// The instruction that jumps to itself, where it is known.
fn jump_to_itself() -> Option<&'static [u8]> {
    match std::env::consts::ARCH {
        "x86_64" => Some(&[0xeb, 0xfe]),
        "aarch64" => Some(&[0x00, 0x00, 0x00, 0x14]),
        _ => None,
    }
}

#[test]
fn lines_on_the_standard_output_stay_whole() {
    // The end of a line comes long after its beginning, so that upgrades are in between.
    let slow = "command=sh -c \"n=0; while :; do n=$((n+1)); printf line-$n-; sleep 0.02; echo end; done\"\n";
    let daemon = Daemon::with(&format!(
        "[program.slow]\n{slow}autostart=true\nstartsecs=0\nstdout_logfile=/dev/stdout\n"
    ));
    let shown = daemon.sandbox.path("shown");
    let lines = || {
        let text = daemon.sandbox.read("stdout");
        let lines = text
            .split_inclusive('\n')
            .filter(|line| line.starts_with("line-"));
        fs::write(&shown, lines.collect::<String>()).unwrap();
        count_lines(&shown)
    };
    for _ in 0..10 {
        let before = lines();
        upgrade(&daemon);
        wait::for_condition("a line", || lines() > before);
    }
    daemon.close();
}

#[test]
fn everything_goes_on_in_the_same_process() {
    let mut daemon = Daemon::builder()
        .pidfile()
        .config(&format!(
            "{SLEEPER}[program.code]\ncommand=sh -c \"read line; exit 7\"\nautostart=true\nstartsecs=0\nautorestart=false\n\
             [program.stopped]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n\
             [program.fails]\ncommand=$ZOO exit fails 3\nautostart=true\nstartsecs=600\nstartretries=0\n"
        ))
        .start();
    for name in ["web", "code", "stopped"] {
        daemon.wait_state(name, "RUNNING");
    }
    daemon.wait_state("fails", "FATAL");
    daemon.ctl("stop stopped").code(0);
    daemon.note_descriptors();
    let before = daemon.rows();
    let story = daemon.ctl("--json why fails").stdout;
    for _ in 0..3 {
        upgrade(&daemon);
    }
    daemon.bell();
    let after = daemon.rows();
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(
            (&before.name, before.state, before.pid, before.restarts),
            (&after.name, after.state, after.pid, after.restarts)
        );
        assert!(!after.adopted && after.uptime_ms >= before.uptime_ms);
        assert_eq!(before.trouble, after.trouble);
    }
    let wanted = |text: &str| {
        let document: serde_json::Value = serde_json::from_str(text).unwrap();
        (
            document["lives"].clone(),
            document["wanted"].clone(),
            document["ended"].clone(),
        )
    };
    assert_eq!(
        wanted(&daemon.ctl("--json why fails").stdout),
        wanted(&story)
    );
    // The exit code of a child is as exact as ever.
    let target = "code".to_owned();
    let data = b"x\n".to_vec();
    daemon
        .client()
        .ask(Request::Input { target, data })
        .unwrap();
    let row = daemon.wait_state("code", "EXITED");
    assert_eq!(row.last_exit.unwrap().to_string(), "exit status 7");
    assert_eq!(daemon.count_log("upgraded from"), 3);
    assert!(daemon.sandbox.path("run/tm.pid").exists());
    daemon.ctl("start stopped").code(0);
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(), 0);
    daemon.nothing_left();
}

#[test]
fn lines_arrive_once_and_in_order_through_many_upgrades() {
    let (programs, upgrades) = (size(12, 200), size(10, 50));
    let daemon = Daemon::with(&format!(
        "[program.count]\nnumprocs={programs}\n{}\
         [program.rotated]\n{}stdout_logfile_maxbytes=20000\nstdout_logfile_backups=9999\n\
         [program.slow]\ncommand=$ZOO ignore slow TERM\nautostart=true\nstartsecs=0\nstopwaitsecs=2\n",
        many_numbers(),
        NUMBERS.replace("stdout_logfile_maxbytes=0\n", "")
    ));
    let names: Vec<String> = (0..programs)
        .map(|number| format!("count:{number}"))
        .collect();
    for name in names.iter().chain([&"slow".to_owned()]) {
        daemon.wait_state(name, "RUNNING");
    }
    daemon.sandbox.wait_mark("slow", "ready");
    let pids = || -> Vec<Option<u32>> {
        let rows = daemon.rows();
        names
            .iter()
            .map(|name| rows.iter().find(|row| row.name == *name).unwrap().pid)
            .collect()
    };
    let before = pids();
    // A stop that is under way ends at its time, and whoever waits for it is told.
    let mut client = daemon.client();
    let begin = Instant::now();
    let asked = client
        .send(Request::Stop {
            targets: vec!["slow".to_owned()],
            wait: true,
        })
        .unwrap();
    let mut answers = Vec::new();
    for _ in 0..upgrades {
        upgrade(&daemon);
        let now = Instant::now();
        daemon.rows();
        answers.push(now.elapsed());
        assert_eq!(pids(), before);
    }
    let stopped = loop {
        if let ServerFrame::Reply { id, response } = client.receive().unwrap()
            && id == asked
        {
            break response;
        }
    };
    assert!(
        matches!(&stopped, Response::Results(results) if results[0].outcome == Outcome::Stopped),
        "{stopped:?}"
    );
    assert!(
        begin.elapsed() >= Duration::from_secs(2),
        "killed too early"
    );
    let counted = |number| count_lines(&daemon.child_log(&format!("count_{number}_out.log")));
    wait::for_condition("enough lines of each", || {
        (0..programs).all(|number| counted(number) > 50)
    });
    daemon.ctl("stop all").code(0);
    assert!((0..programs).all(|number| counted(number) > 50));
    let part = |number| daemon.child_log(&format!("rotated_0_out.log.{number}"));
    let backups = (1..10_000)
        .take_while(|&number| part(number).exists())
        .count();
    let mut whole: Vec<u8> = (1..=backups)
        .rev()
        .flat_map(|number| fs::read(part(number)).unwrap())
        .collect();
    whole.extend(fs::read(daemon.child_log("rotated_0_out.log")).unwrap());
    let joined = daemon.sandbox.path("joined");
    fs::write(&joined, whole).unwrap();
    count_lines(&joined);
    answers.sort();
    eprintln!("status after an upgrade: at most {:?}", answers.last());
    daemon.close();
}

#[test]
fn clients_stay_connected_and_get_what_they_are_owed() {
    let daemon = Daemon::with(&format!("[program.count]\n{NUMBERS}{SLEEPER}"));
    daemon.wait_state("count", "RUNNING");
    let mut follower = daemon.client();
    follower
        .send(Request::Subscribe {
            topic: Topic::Output {
                target: "count".to_owned(),
                channel: Channel::Stdout,
                backlog: 0,
            },
        })
        .unwrap();
    let mut states = daemon.client();
    states
        .send(Request::Subscribe {
            topic: Topic::States,
        })
        .unwrap();
    let mut idle = daemon.client();
    let mut half = daemon.client();
    // Half a request before, the other half after.
    let frame = RequestFrame {
        id: 77,
        request: Request::Version,
    };
    let bytes = framed(&body(&frame));
    half.stream.write_all(&bytes[..5]).unwrap();
    for _ in 0..3 {
        upgrade(&daemon);
    }
    half.stream.write_all(&bytes[5..]).unwrap();
    assert!(matches!(
        half.receive().unwrap(),
        ServerFrame::Reply {
            id: 77,
            response: Response::Version(_)
        }
    ));
    assert!(matches!(
        idle.ask(Request::Version).unwrap(),
        Response::Version(_)
    ));
    daemon.ctl("stop web").code(0);
    let told = |client: &mut Client| loop {
        if let ServerFrame::Notice {
            notice: Notice::State { name, .. },
            ..
        } = client.receive().unwrap()
        {
            break name;
        }
    };
    assert_eq!(told(&mut states), "web");
    // What is followed has no gap and nothing twice, through all of it and for a while after.
    let last = count_lines(&daemon.child_log("count_0_out.log")) + 200;
    let last = format!("line-{last}-end\n");
    let mut text = String::new();
    wait::for_condition("lines", || {
        match follower.receive().unwrap() {
            ServerFrame::Notice {
                notice: Notice::Output { data },
                ..
            } => {
                text.push_str(&String::from_utf8(data).unwrap());
            }
            ServerFrame::Reply { .. } => {}
            other => panic!("{other:?}"),
        }
        text.ends_with('\n') && text.contains(&last)
    });
    let numbers: Vec<u64> = text
        .lines()
        .filter_map(|line| {
            line.strip_prefix("line-")?
                .strip_suffix("-end")?
                .parse()
                .ok()
        })
        .collect();
    assert!(numbers.len() > 100);
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1));
    daemon.close();
}

#[test]
fn an_executable_that_cannot_go_on_leaves_the_old_one_running_and_says_why() {
    let (daemon, copy) = with_own_executable(SLEEPER);
    daemon.wait_state("web", "RUNNING");
    let pid = daemon.pid("web");
    daemon.note_descriptors();
    let sandbox = &daemon.sandbox;
    // What is there on every machine, and two of our own: the first instruction of one is none, that of the other is a
    // jump to itself, so that it never says anything.
    let bytes = fs::read(&copy).unwrap();
    let entry = entry_of(&bytes);
    let patched = |name: &str, code: &[u8]| {
        let mut bytes = bytes.clone();
        bytes[entry..entry + code.len()].copy_from_slice(code);
        let path = sandbox.path(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let mut cases = vec![
        (
            sandbox.write_program("garbage", "this is no program"),
            "not a program",
        ),
        ("/bin/echo".into(), "says: daemon --handoff-check"),
        ("/bin/true".into(), "cannot go on: exit status 0"),
        (patched("broken", &[0; 64]), "terminated by SIG"),
    ];
    if let Some(jump) = jump_to_itself() {
        cases.push((patched("hanging", jump), "did not say in time"));
    }
    for (program, reason) in &cases {
        let name = program.display();
        // By a process of its own: see `copied_as`.
        let fresh = sandbox.path("fresh");
        let words = vec![program.display().to_string(), fresh.display().to_string()];
        sandbox.run("cp", &words).code(0);
        sandbox.set_mode("fresh", 0o755);
        fs::rename(&fresh, &copy).unwrap();
        let said = daemon.ctl("upgrade");
        said.code(1)
            .mentions("not upgraded, and nothing changed")
            .mentions(reason);
        assert_eq!(daemon.pid("web"), pid, "{name}");
        assert_eq!(daemon.state("web"), "RUNNING");
        daemon.wait_log(reason);
    }
    fs::remove_file(&copy).unwrap();
    daemon
        .ctl("upgrade")
        .code(1)
        .mentions("No such file or directory");
    // Put back, it is executed.
    sandbox.copied_as("taskmasterd-of-its-own");
    daemon.ctl("upgrade").code(0);
    assert_eq!(daemon.pid("web"), pid);
    daemon.ctl("--json upgrade").code(0).mentions("\"from\":");
    daemon.ctl("upgrade x").code(1);
    daemon.close();
}

#[test]
fn what_was_adopted_stays_adopted_and_its_end_is_noticed() {
    let mut daemon = Daemon::with(&format!(
        "[program.count]\n{NUMBERS}{SLEEPER}autorestart=false\n"
    ));
    daemon.wait_state("web", "RUNNING");
    daemon.wait_state("count", "RUNNING");
    let web = daemon.pid("web");
    let log = daemon.child_log("count_0_out.log");
    daemon.murder();
    daemon.launch();
    upgrade(&daemon);
    daemon.murder();
    daemon.launch();
    upgrade(&daemon);
    assert!(daemon.row("web").adopted && daemon.pid("web") == web);
    kill(Pid::from_raw(web), Signal::SIGKILL).unwrap();
    daemon.wait_state("web", "EXITED");
    daemon.ctl("stop count").code(0);
    count_lines(&log);
    daemon.close();
}

#[test]
fn a_reload_that_concerns_the_daemon_alone_stops_nothing() {
    let mut builder = Daemon::builder()
        .config(SLEEPER)
        .daemon_keys("loglevel=info");
    let sandbox = Sandbox::new();
    let daemon = builder.clone().start_in(sandbox);
    daemon.wait_state("web", "RUNNING");
    let pid = daemon.pid("web");
    builder = builder
        .daemon_keys("loglevel=debug\nidentifier=other\npidfile=$DIR/run/new.pid\non_orphans=stop");
    builder.write_config(&daemon.sandbox);
    daemon.ctl("reload").is(0, "Restarted taskmasterd\n");
    assert_eq!(daemon.pid("web"), pid);
    assert_eq!(daemon.client().hello.identifier.as_deref(), Some("other"));
    let text = daemon.sandbox.read("run/new.pid");
    assert_eq!(text.trim(), daemon.process().to_string());
    daemon.ctl("signal CONT web").code(0);
    daemon.wait_log("DEBG sending web");
    // With a program that changed too, everything is stopped.
    builder
        .config("[program.web]\ncommand=sleep 1001\nautostart=true\nstartsecs=0\n")
        .daemon_keys("loglevel=info")
        .write_config(&daemon.sandbox);
    daemon.ctl("reload").is(0, "Restarted taskmasterd\n");
    wait::for_condition("the program to be started anew", || {
        daemon.try_names().is_some() && !proc::is_alive(pid)
    });
    daemon.wait_state("web", "RUNNING");
    assert_ne!(daemon.pid("web"), pid);
    daemon.close();
}

#[test]
fn a_file_that_was_edited_is_not_applied_by_an_upgrade() {
    let daemon = Daemon::with(SLEEPER);
    daemon.wait_state("web", "RUNNING");
    let pid = daemon.pid("web");
    daemon.edit_config("[program.web]\ncommand=sleep 1001\nautostart=true\nstartsecs=0\n[program.new]\ncommand=sleep 1000\n");
    upgrade(&daemon);
    assert_eq!(daemon.pid("web"), pid);
    daemon.ctl("reread").is(0, "new: available\nweb: changed\n");
    daemon.edit_config("[program.web]\ncommand=sleep 1001\nautostart=perhaps\n");
    upgrade(&daemon);
    assert_eq!(daemon.pid("web"), pid);
    daemon.close();
}

#[test]
fn a_variable_that_a_stranger_set_is_not_taken_for_a_state() {
    let daemon = Daemon::builder()
        .env("TASKMASTER_HANDOVER", "0")
        .config(SLEEPER)
        .start();
    daemon.wait_state("web", "RUNNING");
    let environment = fs::read(format!("/proc/{}/environ", daemon.pid("web"))).unwrap();
    assert!(!String::from_utf8_lossy(&environment).contains("TASKMASTER_HANDOVER"));
    upgrade(&daemon);
    daemon.close();
}

#[test]
fn who_follows_a_log_that_its_program_writes_misses_and_repeats_nothing() {
    let lines = "n=0; while :; do n=$((n+1)); echo line-$n-end; sleep 0.002; done";
    let daemon = Daemon::with(&format!(
        "[program.own]\ncommand=sh -c \"{lines}\"\nautostart=true\nstartsecs=0\n\
         stdout_logfile_maxbytes=0\nstdout_direct=true\n"
    ));
    daemon.wait_state("own", "RUNNING");
    let mut client = daemon.client();
    let topic = Topic::Output {
        target: "own".to_owned(),
        channel: Channel::Stdout,
        backlog: 1 << 20,
    };
    client.send(Request::Subscribe { topic }).unwrap();
    let shown = daemon.sandbox.path("shown");
    let mut text = Vec::new();
    let mut follow = |lines: u64| {
        while {
            fs::write(&shown, &text).unwrap();
            count_lines(&shown) < lines
        } {
            if let ServerFrame::Notice {
                notice: Notice::Output { data },
                ..
            } = client.receive().unwrap()
            {
                text.extend_from_slice(&data);
            }
        }
        count_lines(&shown)
    };
    let mut lines = follow(10);
    for _ in 0..5 {
        upgrade(&daemon);
        lines = follow(lines + 10);
    }
    daemon.close();
}

#[test]
fn the_process_keeps_its_name() {
    let name = |daemon: &Daemon| proc::read(daemon.process()).unwrap().name;
    for words in ["upgrade", "reload"] {
        let daemon = Daemon::builder()
            .called_as("taskmasterd")
            .config(SLEEPER)
            .start();
        assert_eq!(name(&daemon), "taskmasterd");
        daemon.ctl(words).code(0);
        wait::for_condition("the next image", || {
            daemon.count_log("started with pid") + daemon.count_log("upgraded from") == 2
        });
        assert_eq!(name(&daemon), "taskmasterd", "{words}");
        daemon.close();
    }
}

#[test]
fn a_record_that_cannot_be_written_anew_ends_no_daemon() {
    let daemon = Daemon::with(SLEEPER);
    let before = daemon.wait_state("web", "RUNNING");
    // As on a full disk, nothing can be made of this name.
    let mut in_the_way = daemon.sandbox.socket_path().into_os_string();
    in_the_way.push(".children.new");
    fs::create_dir(&in_the_way).unwrap();
    upgrade(&daemon);
    daemon.wait_log("can't rewrite the record of processes");
    assert_eq!(daemon.row("web").pid, before.pid);
    assert!(!daemon.row("web").adopted);
    fs::remove_dir(&in_the_way).unwrap();
    upgrade(&daemon);
    daemon.close();
}

#[test]
fn a_directory_that_is_gone_ends_no_daemon() {
    let sandbox = Sandbox::new();
    let directory = sandbox.path("home");
    fs::create_dir(&directory).unwrap();
    let daemon = Daemon::builder()
        .daemon_keys(&format!("directory={}\n", directory.display()))
        .config(SLEEPER)
        .start_in(sandbox);
    let before = daemon.wait_state("web", "RUNNING");
    fs::rename(&directory, daemon.sandbox.path("elsewhere")).unwrap();
    upgrade(&daemon);
    daemon.wait_log("can't change to directory");
    assert_eq!(daemon.row("web").pid, before.pid);
    fs::rename(daemon.sandbox.path("elsewhere"), &directory).unwrap();
    upgrade(&daemon);
    daemon.close();
}

#[test]
fn a_daemon_that_may_not_be_where_it_was_started_is_upgraded_and_reloaded() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: only root becomes somebody else");
        return;
    }
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    for background in [false, true] {
        let sandbox = Sandbox::new();
        let private = sandbox.path("private");
        fs::create_dir(&private).unwrap();
        sandbox.set_mode("private", 0o700);
        for name in ["run", "log"] {
            nix::unistd::chown(&sandbox.path(name), Some(nobody.uid), Some(nobody.gid)).unwrap();
        }
        let script = format!("cd {} && exec \"$@\"", private.display());
        let mut builder = Daemon::builder()
            .daemon_keys("user=nobody\n")
            .via(&["sh", "-c", &script, "sh"])
            .config(SLEEPER);
        if background {
            builder = builder.background();
        }
        let daemon = builder.start_in(sandbox);
        let before = daemon.wait_state("web", "RUNNING");
        for _ in 0..2 {
            upgrade(&daemon);
            assert_eq!(daemon.row("web").pid, before.pid);
        }
        daemon.ctl("reload").code(0);
        wait::for_condition("the next image", || {
            daemon.count_log("started with pid") == 2 && daemon.try_names().is_some()
        });
        assert!(proc::is_alive(daemon.process()));
        assert_ne!(daemon.wait_state("web", "RUNNING").pid, before.pid);
        daemon.close();
    }
}
