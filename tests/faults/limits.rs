//! B.2: the machine has no more of something: descriptors, processes, memory.

use super::closing::Scene;
use super::tools::{self, ControlGroup, Injection};
use crate::harness::{Client, Daemon, Sandbox, proc, wait};
use std::time::Duration;
use taskmaster::wire::{Request, Trouble};

fn in_state(scene: &Scene, state: &str) -> usize {
    let rows = scene.rows();
    rows.iter().filter(|row| row.state.name() == state).count()
}

/// Error numbers of the starts that failed.
fn errnos(scene: &Scene) -> Vec<i32> {
    let rows = scene.rows();
    let failure = |trouble: Option<Trouble>| match trouble {
        Some(Trouble::Spawn(failure)) => Some(failure.errno),
        _ => None,
    };
    rows.into_iter()
        .filter_map(|row| failure(row.trouble))
        .collect()
}

#[test]
fn programs_that_find_no_descriptors_wait_and_the_operator_is_served() {
    // As many different remainders of the limit as a program takes descriptors.
    for limit in 60..66 {
        let scene = Scene::of(
            Daemon::builder()
                .via(&["prlimit", &format!("--nofile={limit}:{limit}")])
                .arg("-a")
                .arg("32")
                .config(
                    "[program.web]\ncommand=/bin/sh -c 'echo out; echo err >&2; exec sleep 1000'\nautostart=true\n\
                     startsecs=0\nstartretries=0\nnumprocs=20\n",
                )
                .start(),
        );
        wait::for_condition("every program to have been tried", || {
            in_state(&scene, "RUNNING") + in_state(&scene, "BACKOFF") == 20
        });
        assert!(in_state(&scene, "RUNNING") >= 2, "{:?}", scene.rows());
        assert!(errnos(&scene).iter().all(|&errno| errno == libc::EMFILE));
        // Nobody is given up, for it is not the programs' fault; and several operators can look at the same time.
        let clients: Vec<Client> = (0..3).map(|_| scene.client()).collect();
        // The daemon may not have seen yet that those who looked before are gone.
        for words in ["status web:0", "tail web:0"] {
            wait::for_condition("another to be served", || scene.ctl(words).code == 0);
        }
        drop(clients);
        // Those who wait start as soon as there is room, as many as it is enough for.
        let in_state = |state: &str| -> Vec<String> {
            let rows = scene.rows().into_iter();
            rows.filter(|row| row.state.name() == state)
                .map(|row| row.name)
                .collect()
        };
        let waiting = in_state("BACKOFF");
        let mut words = vec!["stop".to_owned()];
        words.extend(in_state("RUNNING"));
        scene.ctl(&words).code(0);
        wait::for_condition("somebody who waited to run", || {
            in_state("RUNNING")
                .iter()
                .any(|name| waiting.contains(name))
        });
        scene.close();
    }
}

#[test]
fn a_crowd_of_clients_leaves_descriptors_to_programs() {
    let scene = Scene::of(
        Daemon::builder()
            .via(&["prlimit", "--nofile=128:128"])
            .arg("-a")
            .arg("64")
            .config("[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n")
            .start(),
    );
    scene.wait_state("web", "RUNNING");
    let mut kept = Vec::new();
    let mut refused = 0;
    for _ in 0..200 {
        // Who is not let in may find the connection closed before it has said a word.
        let answer = Client::connect(&scene.sandbox.socket_path()).and_then(|mut client| {
            let answer = client.ask(Request::Version)?;
            Ok((client, answer))
        });
        match answer {
            Ok((client, taskmaster::wire::Response::Version(_))) => kept.push(client),
            Ok(_) | Err(_) => refused += 1,
        }
    }
    scene.ctl("version").mentions("too many clients");
    assert!(
        kept.len() >= 20 && refused >= 50,
        "{} {refused}",
        kept.len()
    );
    // With all of them there, a program is started and its output kept.
    let answer = kept[0].ask(Request::Restart {
        targets: vec!["web".to_owned()],
        wait: true,
    });
    assert!(answer.is_ok());
    let row = kept[1].ask(Request::Status { targets: vec![] }).unwrap();
    assert!(format!("{row:?}").contains("Running"), "{row:?}");
    drop(kept);
    wait::for_condition("service for others", || scene.try_names().is_some());
    scene.close();
}

#[test]
fn a_limit_on_processes_makes_programs_wait() {
    if !tools::root() {
        return;
    }
    let Some(group) = ControlGroup::new("pids") else {
        return;
    };
    let scene =
        Scene::with("[program.web]\ncommand=sleep 1000\nstartsecs=0\nstartretries=0\nnumprocs=6\n");
    // The daemon itself, which has threads, and two more.
    group.set("cgroup.procs", scene.process());
    let own = std::fs::read_dir(format!("/proc/{}/task", scene.process())).unwrap();
    group.set("pids.max", own.count() + 2);
    let mut client = scene.client();
    client
        .ask(Request::Start {
            targets: vec!["web".to_owned()],
            wait: false,
        })
        .unwrap();
    wait::for_condition("two to run and four to wait", || {
        in_state(&scene, "RUNNING") == 2 && in_state(&scene, "BACKOFF") == 4
    });
    assert_eq!(errnos(&scene), [libc::EAGAIN; 4]);
    group.set("pids.max", "max");
    wait::for_condition("all to run", || in_state(&scene, "RUNNING") == 6);
    drop(client);
    scene.close();
    drop(group);
}

#[test]
fn a_users_limit_on_processes_is_no_failure_of_the_program() {
    if !tools::root() {
        return;
    }
    // The limit shows when the program is executed, not when the process is made.
    let scene = Scene::of(
        Daemon::builder()
            .via(&["prlimit", "--nproc=1:5000"])
            .config(
                "[program.web]\ncommand=sleep 1000\nuser=nobody\ndirectory=/\nautostart=true\nstartsecs=0\nstartretries=0\nnumprocs=4\n",
            )
            .start(),
    );
    wait::for_condition("somebody to wait", || in_state(&scene, "BACKOFF") >= 1);
    wait::holds("nobody is given up", Duration::from_millis(500), || {
        in_state(&scene, "FATAL") == 0
    });
    assert!(errnos(&scene).iter().all(|&errno| errno == libc::EAGAIN));
    scene.close();
}

#[test]
fn what_the_whole_machine_lacks_is_waited_for() {
    // Each at its own step, and healed while the programs wait.
    for (fault, errno) in [
        ("pipe2:error=ENFILE", libc::ENFILE),
        ("?fork,?vfork,clone,clone3:error=ENOMEM", libc::ENOMEM),
        ("?fork,?vfork,clone,clone3:error=EAGAIN", libc::EAGAIN),
    ] {
        let scene = Scene::with(
            "[program.web]\ncommand=sleep 1000\nstartsecs=0\nstartretries=0\nnumprocs=2\n",
        );
        let Some(injection) = Injection::on(&scene, &[fault]) else {
            return;
        };
        let mut client = scene.client();
        client
            .ask(Request::Start {
                targets: vec!["web".to_owned()],
                wait: false,
            })
            .unwrap();
        // The second attempt has failed, too.
        wait::for_condition("both to wait", || {
            in_state(&scene, "BACKOFF") == 2 && scene.count_log("spawnerr") >= 4
        });
        assert_eq!(errnos(&scene), [errno; 2], "{fault}");
        drop(injection);
        wait::for_condition("both to run", || in_state(&scene, "RUNNING") == 2);
        drop(client);
        scene.close();
    }
}

#[test]
fn little_room_for_stack_and_memory_is_enough_or_told() {
    let sandbox = Sandbox::new();
    let builder = Daemon::builder()
        .config("[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n");
    // A stack of a quarter of a megabyte and room for a hundred are plenty.
    let scene = Scene::of(
        builder
            .clone()
            .via(&["prlimit", "--stack=262144:262144", "--as=100000000"])
            .start_in(sandbox),
    );
    scene.wait_state("web", "RUNNING");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", scene.pid("web"))).unwrap();
    assert!(limits.contains("262144"), "{limits}");
    scene.close();
}

#[test]
fn pipes_that_are_small_because_there_are_many_lose_nothing() {
    if !tools::root() || !tools::have("perl") {
        return;
    }
    let sandbox = Sandbox::new();
    for name in ["run", "log"] {
        std::os::unix::fs::chown(sandbox.path(name), Some(54773), Some(54773)).unwrap();
    }
    sandbox.copied_as("taskmasterd");
    // One program holds so many pipes that the kernel gives its user only small ones.
    let scene = Scene::of(
        Daemon::builder()
            .via(&["setpriv", "--reuid", "54773", "--regid", "54773", "--clear-groups", "--bounding-set", "-all"])
            .called_as("taskmasterd")
            .config(
                "[program.hog]\ncommand=perl -e 'for (1..1100) { pipe(my $r, my $w) or last; push @kept, $r, $w } \
                 $| = 1; print \"kept \", scalar @kept, \"\\n\"; sleep 1000'\nautostart=true\nstartsecs=0\n\
                 [program.web]\ncommand=/bin/sh -c 'head -c 500000 /dev/zero; exec sleep 1000'\nstartsecs=0\n",
            )
            .start_in(sandbox),
    );
    let hogged = wait::until("the pipes to be held", || {
        let text = std::fs::read_to_string(scene.child_log("hog_0_out.log")).ok()?;
        text.trim().strip_prefix("kept ")?.parse::<usize>().ok()
    });
    if hogged < 2200 {
        eprintln!("passed over: only {hogged} ends of pipes are allowed here");
        return;
    }
    scene.ctl("start web").code(0);
    let log = scene.child_log("web_0_out.log");
    wait::for_condition("all bytes", || {
        std::fs::metadata(&log).is_ok_and(|file| file.len() == 500_000)
    });
    assert!(proc::is_alive(scene.pid("web")));
    scene.close();
}
