//! S17 to S20: the wall clock goes back, forward and far away; the machine has been up for years. Nothing depends on it.

use super::closing::Scene;
use super::tools;
use crate::harness::{Daemon, Sandbox, wait};
use std::process::Command;
use std::time::{Duration, Instant};
use taskmaster::wire::Request;

/// An hour.
const HOUR: i64 = 3600;

/// A daemon whose wall clock the test sets. `None` where that cannot be done.
fn with_clock(config: &str) -> Option<Scene> {
    let sandbox = Sandbox::new();
    let library = tools::settable_clock(&sandbox)?;
    let scene = Scene::of(
        Daemon::builder()
            .config(config)
            .env("LD_PRELOAD", &library.display().to_string())
            .start_in(sandbox),
    );
    // Whether it has any effect: an executable without a dynamic linker heeds no library.
    tools::set_clock(&scene.sandbox, 400 * 24 * HOUR);
    scene.ctl("stop stamp").code(0);
    let year = |text: &str| text.get(..4).and_then(|year| year.parse::<i32>().ok());
    let log = scene.log();
    let first = year(&log);
    let last = log.lines().last().and_then(year);
    if first == last {
        eprintln!("passed over: the executable heeds no library");
        return None;
    }
    tools::set_clock(&scene.sandbox, 0);
    Some(scene)
}

/// A program whose stop leaves a line in the log.
const STAMP: &str = "[program.stamp]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n";

fn ask(scene: &Scene, request: Request) {
    scene.client().ask(request).unwrap();
}

fn only(name: &str) -> Vec<String> {
    vec![name.to_owned()]
}

#[test]
fn a_clock_that_is_set_changes_no_wait() {
    for step in [HOUR, -HOUR] {
        let Some(scene) = with_clock(&format!(
            "{STAMP}[program.deaf]\ncommand=$ZOO ignore deaf TERM\nautostart=true\nstartsecs=0\nstopwaitsecs=2\n\
             [program.slow]\ncommand=sleep 1000\nstartsecs=2\n\
             [program.bad]\ncommand=$ZOO exit bad 1\nstartsecs=600\nstartretries=1\n"
        )) else {
            return;
        };
        scene.sandbox.wait_mark("deaf", "ready");
        let begin = Instant::now();
        ask(
            &scene,
            Request::Stop {
                targets: only("deaf"),
                wait: false,
            },
        );
        ask(
            &scene,
            Request::Start {
                targets: only("slow"),
                wait: false,
            },
        );
        ask(
            &scene,
            Request::Start {
                targets: only("bad"),
                wait: false,
            },
        );
        scene.wait_log("exited: bad");
        tools::set_clock(&scene.sandbox, step);
        for (name, state) in [("deaf", "STOPPED"), ("slow", "RUNNING")] {
            scene.wait_state(name, state);
            let took = begin.elapsed();
            assert!(took >= Duration::from_secs(2), "{name} {step}: {took:?}");
        }
        // The second attempt came after its second, and not an hour later.
        scene.wait_state("bad", "FATAL");
        let starts: Vec<f64> = scene
            .sandbox
            .marks("bad")
            .iter()
            .map(|mark| mark.at)
            .collect();
        assert!(
            starts.len() == 2 && starts[1] - starts[0] >= 0.98,
            "{starts:?}"
        );
        // What is told of times is sane: nobody has been up since before the boot, nor for less than no time.
        let up = scene.row("slow").uptime_ms.unwrap();
        assert!(up < 60_000, "{up}");
        scene.ctl("status slow").mentions("uptime 0:00:");
        tools::set_clock(&scene.sandbox, 0);
        scene.close();
    }
}

#[test]
fn a_clock_that_is_far_away_spoils_no_answer() {
    let Some(scene) = with_clock(&format!(
        "{STAMP}[program.web]\ncommand=sleep 1000\nstartsecs=0\n"
    )) else {
        return;
    };
    let now = || {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        i64::try_from(since.unwrap().as_secs()).unwrap()
    };
    // The first second (the kernel lets nobody go back further), after 2038, after 2106, the year 9999 and later.
    for moment in [0, 1 << 31, 1 << 32, 253_402_300_799, 300_000_000_000] {
        tools::set_clock(&scene.sandbox, moment - now());
        for words in [
            "restart web",
            "status",
            "status -l",
            "-j status",
            "why web",
            "stop web",
            "maintail -200",
        ] {
            let said = scene.ctl(words);
            assert!([0, 3].contains(&said.code), "{moment}: {said:?}");
        }
        let row = scene.row("web");
        assert_eq!(row.state.name(), "STOPPED", "{moment}");
        let told = row.stopped_at.unwrap();
        assert!((told - moment).abs() < 120, "{moment}: {told}");
    }
    tools::set_clock(&scene.sandbox, 0);
    scene.close();
}

#[test]
fn a_machine_that_has_been_up_for_years_is_no_trouble() {
    let words = [
        "unshare",
        "-T",
        "--monotonic",
        "3153600000",
        "--boottime",
        "3153600000",
    ];
    let answer = Command::new(words[0])
        .args(&words[1..])
        .args([
            "grep",
            "-q",
            "monotonic *3153600000",
            "/proc/self/timens_offsets",
        ])
        .stderr(std::process::Stdio::null())
        .status();
    if !answer.is_ok_and(|status| status.success()) {
        eprintln!("passed over: no clock of its own can be given to a process here");
        return;
    }
    let mut scene = Scene::of(
        Daemon::builder()
            .via(&words)
            .config(
                "[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=1\n\
                 [program.deaf]\ncommand=$ZOO ignore deaf TERM\nautostart=true\nstartsecs=0\nstopwaitsecs=1\n",
            )
            .start(),
    );
    scene.sandbox.wait_mark("deaf", "ready");
    scene.wait_state("web", "RUNNING");
    scene.ctl("status web").mentions("uptime 0:00:0");
    let (said, took) = wait::timed(|| scene.ctl("stop deaf"));
    said.is(0, "deaf: stopped\n");
    assert!(took >= Duration::from_secs(1), "{took:?}");
    // Start times of processes count from the boot that the daemon sees: what it left is recognised by the next one, and
    // so is what an operator had stopped.
    let before = scene.row("web").pid;
    scene.murder();
    scene.launch();
    scene.wait_state("web", "RUNNING");
    let after = scene.row("web");
    assert!(after.adopted && after.pid == before, "{after:?}");
    assert_eq!(scene.state("deaf"), "STOPPED");
    let copies = crate::harness::proc::tagged(&scene.sandbox.tag());
    let copies = copies.iter().filter(|process| process.name == "sleep");
    assert_eq!(copies.count(), 1);
    scene.close();
}
