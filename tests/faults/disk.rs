//! S06 to S09 and S16: the disk is full, has no more files, may not be written, or files may not grow.

use super::closing::{self, Scene};
use super::tools;
use crate::harness::{Daemon, Sandbox, wait};
use std::fs;
use taskmaster::wire::LogState;

/// A daemon with a small disk of its own at `$DIR/small`.
fn with_disk(options: &str, prepare: &str, builder: crate::harness::Builder) -> Option<Scene> {
    if !tools::root() || !tools::can_mount() {
        return None;
    }
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("small")).unwrap();
    let lines = format!("mount -t tmpfs -o {options},mode=700 none $DIR/small\n{prepare}");
    let builder = tools::in_mounts(builder, &sandbox, &lines);
    Some(Scene::of(builder.start_in(sandbox)))
}

/// A file on the small disk.
fn on_disk(scene: &Scene, name: &str) -> std::path::PathBuf {
    tools::seen_by(scene.process(), scene.sandbox.path("small").join(name))
}

fn log_state(scene: &Scene) -> LogState {
    scene.row("web").stdout_log
}

#[test]
fn a_full_disk_stops_nobody_is_told_once_and_is_written_again_when_there_is_room() {
    let Some(scene) = with_disk(
        // There is room for a few lines, and for all that could be written during the test when the filler is gone.
        "size=8m",
        "head -c 8364032 /dev/zero >$DIR/small/filler",
        Daemon::builder().config(
            "[program.web]\ncommand=$ZOO lines web 100000 1000\nautostart=true\nstartsecs=0\n\
             stdout_logfile=$DIR/small/web.log\nstdout_logfile_maxbytes=0\n\
             [program.other]\ncommand=$ZOO say other hello\nstartsecs=0\n",
        ),
    ) else {
        return;
    };
    wait::for_condition("bytes to be lost", || log_state(&scene).lost > 5_000);
    assert_eq!(log_state(&scene).errno, Some(libc::ENOSPC));
    scene.ctl("start other").code(0);
    scene.wait_content(scene.child_log("other_0_out.log"), "hello\n");
    assert_eq!(scene.count_log("can't write"), 1);
    fs::remove_file(on_disk(&scene, "filler")).unwrap();
    wait::for_condition("writing to go on", || log_state(&scene).errno.is_none());
    scene.wait_log("is written again");
    scene.ctl("stop web").code(0);
    // Every line is whole, and what is missing is said where it is missing.
    let text = fs::read_to_string(on_disk(&scene, "web.log")).unwrap();
    let told: u64 = text
        .lines()
        .filter_map(|line| {
            line.strip_prefix("[taskmaster: ")?
                .strip_suffix(" bytes lost]")
        })
        .map(|count| count.parse::<u64>().unwrap())
        .sum();
    assert_eq!(told, log_state(&scene).lost, "{}", text.len());
    scene.close();
}

#[test]
fn a_disk_without_room_for_another_file_keeps_the_old_one_in_use() {
    // The directory, the log, and one more that is taken.
    let Some(scene) = with_disk(
        "size=1m,nr_inodes=3",
        ": >$DIR/small/filler",
        Daemon::builder().config(
            "[program.web]\ncommand=$ZOO lines web 100000 100\nautostart=true\nstartsecs=0\n\
             stdout_logfile=$DIR/small/web.log\nstdout_logfile_maxbytes=1000\nstdout_logfile_backups=5\n",
        ),
    ) else {
        return;
    };
    let size = |name: &str| fs::metadata(on_disk(&scene, name)).map_or(0, |file| file.len());
    wait::for_condition("the log to grow beyond its limit", || {
        size("web.log") > 3000
    });
    // Nothing is lost by that.
    assert_eq!(log_state(&scene).lost, 0);
    fs::remove_file(on_disk(&scene, "filler")).unwrap();
    // There is room for one more file, so that the next rotation fails again and may move that one up first.
    let backups = ["web.log.2", "web.log.1"];
    wait::for_condition("a rotation", || backups.iter().any(|name| size(name) > 0));
    scene.ctl("stop web").code(0);
    let numbers: Vec<u64> = backups
        .iter()
        .chain(&["web.log"])
        .flat_map(|name| {
            let text = fs::read_to_string(on_disk(&scene, name)).unwrap_or_default();
            text.lines()
                .map(|line| line.parse().unwrap())
                .collect::<Vec<_>>()
        })
        .collect();
    let expected: Vec<u64> = (1..).take(numbers.len()).collect();
    assert_eq!(numbers, expected);
    assert!(numbers.len() > 30, "{numbers:?}");
    scene.close();
}

#[test]
fn the_daemons_own_log_on_a_full_disk_costs_lines_and_nothing_else() {
    let Some(scene) = with_disk(
        "size=16k",
        "head -c 10000 /dev/zero >$DIR/small/filler",
        Daemon::builder()
            .arg("-l")
            .arg("$DIR/small/own.log")
            .config("[program.web]\ncommand=sleep 1000\nstartsecs=0\n"),
    ) else {
        return;
    };
    let own = || fs::read_to_string(on_disk(&scene, "own.log")).unwrap_or_default();
    // More than the disk takes, on standard output all the same.
    wait::for_condition("the disk to be full", || {
        scene.ctl("restart web").code(0);
        scene.sandbox.read("stdout").len() > own().len() + 2000
    });
    let before = own().len();
    scene.ctl("restart web").code(0);
    assert_eq!(own().len(), before);
    fs::remove_file(on_disk(&scene, "filler")).unwrap();
    wait::for_condition("the log to be written again", || {
        scene.ctl("restart web").code(0);
        own().contains("is written again")
    });
    scene.knowing(&["$DIR/small", "$DIR/small/own.log"]).close();
}

#[test]
fn a_disk_that_may_not_be_written_at_all_is_told_and_survived() {
    let Some(scene) = with_disk(
        "size=64k",
        "mkdir $DIR/small/logs\nmount -o remount,ro $DIR/small",
        Daemon::builder().config(
            "[program.web]\ncommand=$ZOO lines web 100000 100\nautostart=true\nstartsecs=0\n\
             stdout_logfile=$DIR/small/logs/web.log\n",
        ),
    ) else {
        return;
    };
    wait::for_condition("bytes to be lost", || log_state(&scene).lost > 500);
    assert_eq!(log_state(&scene).errno, Some(libc::EROFS));
    let mut remount = scene.sandbox.command("nsenter");
    remount
        .args(["--mount", "--target", &scene.process().to_string()])
        .args(["mount", "-o", "remount,rw"])
        .arg(scene.sandbox.path("small"));
    scene.sandbox.finish(remount, "").code(0);
    wait::for_condition("writing to begin", || {
        fs::metadata(on_disk(&scene, "logs/web.log")).is_ok_and(|file| file.len() > 500)
    });
    assert_eq!(log_state(&scene).errno, None);
    scene.close();
}

#[test]
fn files_that_may_not_grow_are_an_error_of_the_log_and_a_signal_to_the_program() {
    let scene = Scene::of(
        Daemon::builder()
            .via(&["prlimit", "--fsize=8192:8192"])
            .config(
                "[program.web]\ncommand=/bin/sh -c 'head -c 20000 /dev/zero; exec sleep 1000'\nautostart=true\nstartsecs=0\n\
                 [program.own]\ncommand=/bin/sh -c 'exec head -c 20000 /dev/zero >$OUT/own'\nautostart=true\nstartsecs=0\nautorestart=false\n",
            )
            .start(),
    );
    wait::for_condition("bytes to be lost", || {
        log_state(&scene).lost == 20_000 - 8192
    });
    assert_eq!(log_state(&scene).errno, Some(libc::EFBIG));
    // What the daemon ignores for itself acts on its programs as it does by default.
    scene.wait_log("exited: own (terminated by SIGXFSZ");
    assert_eq!(scene.state("web"), "RUNNING");
    scene.close();
}

#[test]
fn a_start_on_a_full_or_read_only_disk_is_refused_with_the_reason() {
    if !tools::root() || !tools::can_mount() {
        return;
    }
    for (lines, reason) in [
        (
            "mount -t tmpfs -o size=4k,nr_inodes=1,mode=700 none $DIR/run",
            "No space left on device",
        ),
        (
            "mount -t tmpfs -o ro,mode=700 none $DIR/run",
            "Read-only file system",
        ),
    ] {
        let sandbox = Sandbox::new();
        let builder = Daemon::builder()
            .config("[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n");
        let said = tools::in_mounts(builder, &sandbox, lines).fails_in(&sandbox);
        assert!([4, 6].contains(&said.code), "{said:?}");
        assert!(
            said.all().to_lowercase().contains(&reason.to_lowercase()),
            "{said:?}"
        );
        closing::nothing_of(&sandbox);
    }
}
