//! B.1: what children do, and what may go wrong between them and us.

use super::closing::{self, Scene};
use super::tools::{self, ControlGroup};
use crate::harness::{Daemon, Sandbox, proc, wait};
use crate::init::{Container, SOCKET};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::time::Duration;
use taskmaster::wire::{ExitStatus, Request, Response, Trouble};

fn send(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).unwrap();
}

#[test]
fn every_exit_code_and_every_signal_is_told_as_it_was() {
    let scene = Scene::with(
        "[program.code]\ncommand=/bin/sh -c 'exit %(process_num)d'\nnumprocs=256\nautostart=true\nstartsecs=0\n\
         autorestart=false\nexitcodes=0,7\nstdout_logfile=NONE\nstderr_logfile=NONE\n\
         [program.signal]\ncommand=/bin/sh -c 'kill -%(process_num)d $$; exec sleep 1000'\nnumprocs=65\n\
         autostart=true\nstartsecs=0\nautorestart=false\nstdout_logfile=NONE\nstderr_logfile=NONE\n",
    );
    // The first asks nothing; the others are ignored by default, or stop the process.
    let harmless = [0, 17, 18, 19, 20, 21, 22, 23, 28];
    let number_of = |name: &str| name.rsplit(':').next().unwrap().parse::<i32>().unwrap();
    let rows = wait::until("all of them to have ended", || {
        let rows = scene.rows();
        let ended = |program, number| program == "code" || !harmless.contains(&number);
        rows.iter()
            .all(|row| {
                row.state.name() == "EXITED" || !ended(row.program.as_str(), number_of(&row.name))
            })
            .then_some(rows)
    });
    assert_eq!(rows.len(), 256 + 65);
    for row in rows {
        let number = number_of(&row.name);
        if row.program == "code" {
            let code = u8::try_from(number).unwrap();
            assert_eq!(row.last_exit, Some(ExitStatus::Code(code)), "{row:?}");
            let fine = [0, 7].contains(&code);
            assert_eq!(row.trouble.is_none(), fine, "{row:?}");
        } else if harmless.contains(&number) {
            assert_eq!(row.last_exit, None, "{row:?}");
        } else {
            match row.last_exit {
                Some(ExitStatus::Signal { number: told, .. }) => assert_eq!(told, number),
                // Numbers that the C library keeps to itself have no name; never are they success.
                Some(ExitStatus::Code(code)) if [32, 33].contains(&number) => {
                    assert_eq!(i32::from(code), 128 + number);
                }
                other => panic!("{number}: {other:?}"),
            }
            assert!(matches!(row.trouble, Some(Trouble::UnexpectedExit(_))));
        }
    }
    scene.close();
}

#[test]
fn a_core_is_told_and_lies_where_the_program_lives() {
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
    let limit = ["prlimit", "--core=1000000000"];
    let may = std::process::Command::new(limit[0])
        .args([limit[1], "true"])
        .stderr(std::process::Stdio::null())
        .status();
    if pattern.trim() != "core" || !may.is_ok_and(|status| status.success()) {
        eprintln!("passed over: programs leave no core in their directory here");
        return;
    }
    let scene = Scene::of(
        Daemon::builder()
            .via(&limit)
            .config(
                "[program.web]\ncommand=$ZOO die web SEGV\ndirectory=$OUT\nautostart=true\nstartsecs=0\nautorestart=false\n",
            )
            .start(),
    );
    scene.wait_state("web", "EXITED");
    scene.wait_log("exited: web (terminated by SIGSEGV (core dumped); not expected)");
    let cores = |directory: &str| {
        fs::read_dir(scene.sandbox.path(directory))
            .unwrap()
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("core"))
            .count()
    };
    assert_eq!((cores("out"), cores("run"), cores("")), (1, 0, 0));
    scene.close();
}

#[test]
fn stops_that_race_with_ends_find_the_truth_each_time() {
    let scene = Scene::with(
        "[program.brief]\ncommand=/bin/sh -c 'exit 3'\nstartsecs=0\nautorestart=false\nstdout_logfile=NONE\nstderr_logfile=NONE\n",
    );
    let mut client = scene.client();
    let targets = || vec!["brief".to_owned()];
    for round in 0..150_u64 {
        let started = client.ask(Request::Start {
            targets: targets(),
            wait: true,
        });
        assert!(matches!(started, Ok(Response::Results(_))), "{started:?}");
        // From at once to after its end.
        std::thread::sleep(Duration::from_micros(round * 20));
        let stopped = client.ask(Request::Stop {
            targets: targets(),
            wait: true,
        });
        assert!(matches!(stopped, Ok(Response::Results(_))), "{stopped:?}");
        let row = scene.row("brief");
        assert!(["STOPPED", "EXITED"].contains(&row.state.name()), "{row:?}");
        assert_eq!(row.pid, None);
    }
    assert_eq!(scene.count_log("spawned: 'brief'"), 150);
    drop(client);
    scene.close();
}

#[test]
fn who_leaves_the_session_is_no_longer_ours_and_hinders_nobody() {
    let scene = Scene::with(
        "[program.double]\ncommand=/bin/sh -c 'setsid sleep 1000 & echo $!; exit 0'\nautostart=true\nstartsecs=0\nautorestart=false\n\
         [program.nest]\ncommand=/bin/sh -c 'setsid sleep 1000 & echo $!; exec sleep 1000'\nautostart=true\nstartsecs=0\nkillasgroup=true\n",
    );
    let stray = |name: &str| {
        wait::until("the stray's number", || {
            let text = fs::read_to_string(scene.child_log(&format!("{name}_0_out.log"))).ok()?;
            let pid = text.trim().parse().ok()?;
            proc::read(pid).filter(|process| process.session == pid)?;
            Some(pid)
        })
    };
    let strays: Vec<i32> = vec![stray("double"), stray("nest")];
    // The end of the one that was started is the program's end, and a stop waits for nobody else.
    scene.wait_state("double", "EXITED");
    scene.ctl("stop nest").is(0, "nest: stopped\n");
    for pid in strays {
        assert!(proc::is_alive(pid));
        send(pid, Signal::SIGKILL);
    }
    scene.close();
}

#[test]
fn a_fork_bomb_is_stopped_with_all_its_pieces() {
    if !tools::root() || !tools::have("perl") {
        return;
    }
    // A user of its own, so that the limit counts nobody else's processes.
    let scene = Scene::with(
        "[program.bomb]\ncommand=setpriv --reuid 54771 --clear-groups prlimit --nproc=60:60 \
         perl -e 'while (1) { fork; select undef, undef, undef, 0.02 }'\nautostart=true\nstartsecs=0\nstopwaitsecs=1\n\
         [program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n",
    );
    let leader = scene.pid("bomb");
    let pieces = || proc::group_members(leader).len();
    wait::for_condition("the bomb to go off", || pieces() > 50);
    wait::quickly("a status", Duration::from_secs(2), 3, || scene.rows());
    scene.ctl("stop bomb").is(0, "bomb: stopped\n");
    assert_eq!(pieces(), 0);
    assert_eq!(scene.state("web"), "RUNNING");
    scene.close();
}

#[test]
fn the_zombie_of_a_program_is_the_programs_business() {
    let scene = Scene::with(
        "[program.web]\ncommand=/bin/sh -c '(exit 5) & exec sleep 1000'\nautostart=true\nstartsecs=0\n",
    );
    scene.wait_state("web", "RUNNING");
    let pid = scene.pid("web");
    wait::for_condition("its zombie", || proc::zombies_of(pid).len() == 1);
    let zombie = proc::zombies_of(pid)[0].pid;
    assert_eq!(scene.count_log("exited"), 0);
    assert_eq!(proc::zombies_of(scene.process()), []);
    // With its parent gone it is process 1's, whose business it is to collect it.
    scene.ctl("stop web").is(0, "web: stopped\n");
    wait::for_condition("the zombie to have no parent left", || {
        proc::read(zombie).is_none_or(|process| process.parent != pid)
    });
    scene.close();
}

#[test]
fn four_hundred_that_die_together_are_all_told_at_once() {
    let scene = Scene::with(
        "[program.web]\ncommand=sleep 1000\nnumprocs=400\nstartsecs=0\nautorestart=false\n\
         stdout_logfile=NONE\nstderr_logfile=NONE\n",
    );
    let count = |state: &str| {
        let rows = scene.rows();
        rows.iter().filter(|row| row.state.name() == state).count()
    };
    // Once is enough; the machine may have held it up the first time.
    let limit = wait::scaled(Duration::from_secs(4));
    let took: Vec<Duration> = (0..3)
        .map(|_| {
            scene.ctl("start web").code(0);
            wait::for_condition("all to run", || count("RUNNING") == 400);
            for row in scene.rows() {
                send(row.pid.unwrap().cast_signed(), Signal::SIGKILL);
            }
            let ((), took) = wait::timed(|| {
                wait::for_condition("all to be told", || count("EXITED") == 400);
                assert_eq!(proc::zombies_of(scene.process()), []);
            });
            took
        })
        .take_while(|took| *took >= limit)
        .collect();
    assert!(took.len() < 3, "{took:?}");
    scene.close();
}

#[test]
fn a_child_that_stops_and_goes_on_all_the_time_wakes_nobody() {
    let scene = Scene::with("[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n");
    scene.wait_state("web", "RUNNING");
    let pid = scene.pid("web");
    let before = scene.rest();
    let state = || proc::read(pid).map(|process| process.state);
    for _ in 0..200 {
        send(pid, Signal::SIGSTOP);
        wait::for_condition("it to stop", || state() == Some('T'));
        send(pid, Signal::SIGCONT);
        wait::for_condition("it to go on", || state() != Some('T'));
    }
    let wakeups = proc::wakeups(scene.process()) - before;
    assert!(wakeups < 20, "{wakeups} wake-ups");
    assert_eq!(scene.pid("web"), pid);
    scene.close();
}

#[test]
fn a_file_that_is_being_written_is_tried_again_and_costs_no_retry() {
    let sandbox = Sandbox::new();
    let tool = sandbox.path("bin/tool");
    let mut copy = sandbox.command("cp");
    copy.arg("/bin/sleep").arg(&tool);
    sandbox.finish(copy, "").code(0);
    let scene = Scene::of(
        Daemon::builder()
            .config("[program.web]\ncommand=$DIR/bin/tool 1000\nstartsecs=0\nstartretries=0\n")
            .start_in(sandbox),
    );
    let writer = fs::File::options().append(true).open(&tool).unwrap();
    let mut client = scene.client();
    client
        .ask(Request::Start {
            targets: vec!["web".to_owned()],
            wait: false,
        })
        .unwrap();
    let row = scene.wait_state("web", "BACKOFF");
    assert!(
        matches!(&row.trouble, Some(Trouble::Spawn(failure)) if failure.errno == libc::ETXTBSY),
        "{row:?}"
    );
    assert_eq!(row.failures, 0);
    drop(writer);
    scene.wait_state("web", "RUNNING");
    // What runs is not touched by a new file under its name, and a restart takes that one.
    let old = scene.pid("web");
    let mut copy = scene.sandbox.command("cp");
    copy.arg("/bin/sleep").arg(scene.sandbox.path("bin/fresh"));
    scene.sandbox.finish(copy, "").code(0);
    fs::rename(scene.sandbox.path("bin/fresh"), &tool).unwrap();
    assert_eq!(scene.pid("web"), old);
    scene.ctl("restart web").code(0);
    let image = fs::read_link(format!("/proc/{}/exe", scene.pid("web"))).unwrap();
    assert_eq!(image, tool);
    drop(client);
    scene.close();
}

#[test]
fn an_end_for_want_of_memory_is_an_end_by_kill() {
    if !tools::root() {
        return;
    }
    let Some(group) = ControlGroup::new("memory") else {
        return;
    };
    group.set("memory.limit_in_bytes", 16 << 20);
    let scene = Scene::with(&format!(
        "[program.web]\ncommand=/bin/sh -c 'echo $$ >{} && exec tail /dev/zero'\nautostart=true\nstartsecs=0\nautorestart=false\n\
         [program.other]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n",
        group.file("cgroup.procs").display()
    ));
    scene.wait_state("web", "EXITED");
    scene.wait_log("exited: web (terminated by SIGKILL; not expected)");
    assert_eq!(scene.state("other"), "RUNNING");
    scene.close();
    drop(group);
}

#[test]
fn a_program_that_became_somebody_else_is_told_truthfully() {
    if !tools::root() {
        return;
    }
    let sandbox = Sandbox::new();
    for name in ["run", "log"] {
        std::os::unix::fs::chown(sandbox.path(name), Some(54772), Some(54772)).unwrap();
    }
    sandbox.copied_as("taskmasterd");
    let mut copy = sandbox.command("cp");
    copy.arg("/usr/bin/setpriv").arg(sandbox.path("bin/become"));
    sandbox.finish(copy, "").code(0);
    sandbox.set_mode("bin/become", 0o4755);
    let daemon = Daemon::builder()
        .via(&["setpriv", "--reuid", "54772", "--regid", "54772", "--clear-groups"])
        .called_as("taskmasterd")
        .config("[program.web]\ncommand=$DIR/bin/become --reuid 0 sleep 1000\nautostart=true\nstartsecs=0\nstopwaitsecs=1\n")
        .start_in(sandbox);
    let scene = Scene::of(daemon);
    let pid = scene.pid("web");
    let as_root = || {
        let changed = proc::status_field(pid, "Uid").is_some_and(|uid| uid.starts_with("0\t0"));
        changed && proc::read(pid).is_some_and(|process| process.name == "sleep")
    };
    let nosuid = wait::until("it to become root, or not to", || {
        let ended = scene.row("web").state.name() != "RUNNING";
        (as_root() || ended).then(|| !as_root())
    });
    if nosuid {
        eprintln!("passed over: files that change the user have no effect here");
        return;
    }
    let mut client = scene.client();
    client
        .ask(Request::Stop {
            targets: vec!["web".to_owned()],
            wait: false,
        })
        .unwrap();
    scene.wait_log(&format!("can't send SIGTERM to pid {pid}"));
    scene.wait_log(&format!("can't send SIGKILL to pid {pid}"));
    // It cannot be stopped, and nothing else is pretended.
    assert_eq!(scene.state("web"), "STOPPING");
    assert_eq!(scene.pid("web"), pid);
    assert!(proc::is_alive(pid));
    send(pid, Signal::SIGKILL);
    scene.wait_state("web", "STOPPED");
    drop(client);
    scene.close();
}

#[test]
fn a_number_that_was_given_to_somebody_else_is_not_signalled() {
    let Some(container) = Container::with(
        &format!(
            "{SOCKET}[program.brief]\ncommand=/bin/sh -c 'exit 0'\nautostart=true\nstartsecs=0\nautorestart=false\n\
             stopasgroup=true\nkillasgroup=true\nstdout_logfile=NONE\nstderr_logfile=NONE\n"
        ),
        "--container --loglevel info",
    ) else {
        return;
    };
    let number = wait::until("the number of the program", || {
        let text = container.sandbox.read("stderr");
        let (_, rest) = text.split_once("spawned: 'brief' with pid ")?;
        text.contains("exited: brief").then_some(())?;
        rest.split_whitespace().next()?.parse::<i32>().ok()
    });
    // A stranger gets the number that the program had, and leads a session and a group of this number, too.
    let script = format!(
        "echo {} >/proc/sys/kernel/ns_last_pid && {{ setsid sleep 1001 >/dev/null 2>&1 & }}; sleep 0.2; echo $!",
        number - 1
    );
    let mut enter = container.sandbox.command("nsenter");
    enter
        .args(["--pid", "--mount", "--target", &container.init.to_string()])
        .args(["sh", "-c", &script]);
    let said = container.sandbox.finish(enter, "");
    if said.stdout.trim() != number.to_string() {
        eprintln!("passed over: numbers of processes cannot be chosen here: {said:?}");
        return;
    }
    let stranger = wait::until("the stranger", || {
        proc::tagged(&container.sandbox.tag())
            .into_iter()
            .find(|process| proc::command_line(process.pid) == "sleep 1001")
    });
    for words in ["stop brief", "signal KILL brief", "stop all"] {
        container.ctl(words);
    }
    container.ctl("start brief").code(0);
    container.ctl("restart brief").code(0);
    container.ctl("stop brief");
    assert!(proc::is_alive(stranger.pid), "a stranger was signalled");
    send(stranger.pid, Signal::SIGKILL);
    closing::of_container(container);
}
