//! S10 to S14, S27, D11 to D13, X16 to X18: files and directories that are not what they were, or never were.

use super::closing::{self, Scene};
use super::tools;
use crate::harness::{Builder, Daemon, Sandbox, proc, wait};
use nix::sys::stat::Mode;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A program that writes a line of 100 bytes every few milliseconds, 1000 bytes to a file.
const WRITER: &str = "[program.web]\ncommand=$ZOO lines web 100000 100\nautostart=true\nstartsecs=0\n\
                      stdout_logfile=$DIR/log/web.log\nstdout_logfile_maxbytes=1000\nstdout_logfile_backups=2\n";

fn writer() -> Builder {
    Daemon::builder().config(WRITER)
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |file| file.len())
}

#[test]
fn what_is_no_file_is_no_log_and_blocks_nobody() {
    let sandbox = Sandbox::new();
    nix::unistd::mkfifo(&sandbox.path("log/fifo"), Mode::S_IRWXU).unwrap();
    let _socket = UnixListener::bind(sandbox.path("log/socket")).unwrap();
    let program = |name: &str| {
        format!(
            "[program.{name}]\ncommand=$ZOO lines {name} 100000 100\nautostart=true\nstartsecs=0\nstdout_logfile=$DIR/log/{name}\n"
        )
    };
    let scene = Scene::of(
        Daemon::builder()
            .config(&format!("{}{}{WRITER}", program("fifo"), program("socket")))
            .start_in(sandbox),
    );
    for name in ["fifo", "socket"] {
        wait::for_condition("its bytes to be counted as lost", || {
            scene.row(name).stdout_log.lost > 500
        });
        assert_eq!(scene.state(name), "RUNNING");
        assert!(scene.row(name).stdout_log.errno.is_some());
        scene.wait_log(&format!("{name}: can't write"));
        scene.ctl(&["tail", name]);
        scene.ctl(&["restart", name]).code(0);
    }
    // A reader that comes later gets what is written from then on.
    let reader = fs::File::options()
        .read(true)
        .write(true)
        .open(scene.sandbox.path("log/fifo"))
        .unwrap();
    wait::for_condition("writing to begin", || {
        scene.row("fifo").stdout_log.errno.is_none()
    });
    drop(reader);
    scene.close();
}

#[test]
fn what_lies_in_the_way_of_a_rotation_is_neither_followed_nor_removed() {
    // A directory, a link to somebody's file, a link to nothing, in the place of the first backup.
    let plant = |what: &str, sandbox: &Sandbox| {
        let place = sandbox.path("log/web.log.1");
        match what {
            "directory" => fs::create_dir(place).unwrap(),
            "link" => symlink(sandbox.write("out/victim", "precious\n"), place).unwrap(),
            _ => symlink(sandbox.path("out/made"), place).unwrap(),
        }
    };
    for what in ["directory", "link", "link to nothing"] {
        let sandbox = Sandbox::new();
        plant(what, &sandbox);
        let scene = Scene::of(writer().start_in(sandbox));
        let log = scene.sandbox.path("log/web.log");
        // Rotated past it, or written on beyond the limit: nothing is lost.
        wait::for_condition(format!("three thousand bytes past a {what}"), || {
            scene.sandbox.count_marks("web", "start") == 1
                && size(&log) + size(&scene.sandbox.path("log/web.log.1")) > 0
                && (size(&log) > 3000 || scene.sandbox.path("log/web.log.2").exists())
        });
        assert_eq!(scene.row("web").stdout_log.lost, 0, "{what}");
        assert!(["precious\n", ""].contains(&scene.sandbox.read("out/victim").as_str()));
        assert!(!scene.sandbox.path("out/made").exists());
        scene.close();
    }
}

#[test]
fn links_that_come_and_go_while_logs_rotate_are_never_followed() {
    let scene = Scene::of(writer().start());
    let victim = scene.sandbox.write("out/victim", "precious\n");
    fs::set_permissions(&victim, fs::Permissions::from_mode(0o666)).unwrap();
    let log = scene.sandbox.path("log");
    let over = AtomicBool::new(false);
    let swaps = AtomicU32::new(0);
    std::thread::scope(|scope| {
        let attacker = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                for name in ["web.log", "web.log.1", "web.log.2"] {
                    let place = log.join(name);
                    let link = log.join("link");
                    if symlink(&victim, &link).is_ok() && fs::rename(&link, &place).is_ok() {
                        swaps.fetch_add(1, Ordering::Relaxed);
                    }
                    std::thread::sleep(Duration::from_micros(300));
                    fs::remove_file(&place).ok();
                    if fs::hard_link(&victim, &place).is_ok() {
                        std::thread::sleep(Duration::from_micros(300));
                        fs::remove_file(&place).ok();
                    }
                }
            }
        });
        let begin = Instant::now();
        let often = || swaps.load(Ordering::Relaxed) > 100 || begin.elapsed() > wait::patience();
        while begin.elapsed() < Duration::from_secs(2) || !often() {
            assert_eq!(fs::read_to_string(&victim).unwrap(), "precious\n");
            std::thread::sleep(Duration::from_millis(2));
        }
        over.store(true, Ordering::Relaxed);
        attacker.join().unwrap();
    });
    let swaps = swaps.into_inner();
    assert!(swaps > 100, "{swaps}");
    let seen = fs::metadata(&victim).unwrap();
    assert_eq!(
        (seen.len(), seen.mode() & 0o777, seen.uid()),
        (9, 0o666, nix::unistd::getuid().as_raw())
    );
    scene.close();
}

#[test]
fn a_log_that_is_another_name_of_somebodys_file_is_refused() {
    let sandbox = Sandbox::new();
    let victim = sandbox.write("out/victim", "precious\n");
    fs::hard_link(&victim, sandbox.path("log/web.log")).unwrap();
    let scene = Scene::of(writer().start_in(sandbox));
    wait::for_condition("its bytes to be counted as lost", || {
        scene.row("web").stdout_log.lost > 500
    });
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious\n");
    // When the name is gone, a file of its own takes its place.
    fs::remove_file(scene.sandbox.path("log/web.log")).unwrap();
    wait::for_condition("a file of its own", || {
        size(&scene.sandbox.path("log/web.log")) > 0
    });
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious\n");
    scene.close();
}

#[test]
fn a_directory_of_logs_that_was_moved_and_replaced_by_a_link_keeps_its_logs() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("logs")).unwrap();
    fs::create_dir(sandbox.path("victim")).unwrap();
    let scene = Scene::of(
        Daemon::builder()
            .config(&WRITER.replace("$DIR/log/", "$DIR/logs/"))
            .start_in(sandbox),
    );
    let path = |name: &str| scene.sandbox.path(name);
    wait::for_condition("a rotation", || path("logs/web.log.1").exists());
    fs::rename(path("logs"), path("moved")).unwrap();
    symlink(path("victim"), path("logs")).unwrap();
    let inode = |name: &str| fs::metadata(path(name)).map_or(0, |file| file.ino());
    let before = inode("moved/web.log.1");
    wait::for_condition("a rotation in the place that it was moved to", || {
        inode("moved/web.log.1") != before
    });
    assert_eq!(fs::read_dir(path("victim")).unwrap().count(), 0);
    scene.close();
}

#[test]
fn a_log_that_others_empty_goes_on_at_its_beginning() {
    let scene = Scene::with(&WRITER.replace("maxbytes=1000", "maxbytes=0"));
    let log = scene.sandbox.path("log/web.log");
    for _ in 0..3 {
        wait::for_condition("some lines", || size(&log) > 500);
        fs::File::options()
            .write(true)
            .open(&log)
            .unwrap()
            .set_len(0)
            .unwrap();
        wait::for_condition("a line after that", || size(&log) > 0);
        // No hole where the old lines were.
        assert_ne!(fs::read(&log).unwrap().first(), Some(&0));
    }
    scene.ctl("stop web").code(0);
    assert_eq!(scene.row("web").stdout_log.lost, 0);
    scene.close();
}

#[test]
fn a_working_directory_that_is_removed_is_missed_by_nobody() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("gone")).unwrap();
    let script = sandbox.expand("cd $DIR/gone && exec \"$@\"");
    let scene = Scene::of(
        Daemon::builder()
            .via(&["/bin/sh", "-c", &script, "sh"])
            .config("[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n")
            .start_in(sandbox),
    );
    scene.wait_state("web", "RUNNING");
    fs::remove_dir(scene.sandbox.path("gone")).unwrap();
    scene.ctl("restart web").code(0);
    scene
        .ctl("reread")
        .is(0, "No config updates to processes\n");
    scene.edit_config("[program.web]\ncommand=sleep 1001\nautostart=true\nstartsecs=0\n");
    scene.ctl("update").code(0);
    scene.wait_state("web", "RUNNING");
    scene.knowing(&["$DIR/gone (deleted)"]).close();
}

#[test]
fn a_daemon_with_other_settings_and_the_same_socket_is_refused() {
    let scene = Scene::with("[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n");
    scene.wait_state("web", "RUNNING");
    let pid = scene.pid("web");
    let sandbox = &scene.sandbox;
    sandbox.write(
        "other.ini",
        "[taskmasterctl]\nserverurl=$DIR/run/tm.sock\n[taskmasterd]\nlogfile=$DIR/out/other.log\n\
         childlogdir=$DIR/out\npidfile=$DIR/out/other.pid\n[program.thief]\ncommand=sleep 1000\nautostart=true\n",
    );
    let file = sandbox.path("other.ini").display().to_string();
    let said = sandbox.taskmaster(&["daemon", "-n", "-c", &file]);
    said.code(3).mentions(&scene.process().to_string());
    for name in ["out/other.log", "out/other.pid"] {
        assert!(!sandbox.path(name).exists(), "{name}");
    }
    assert_eq!(scene.pid("web"), pid);
    scene.close();
}

#[test]
fn a_file_on_a_disk_that_forbids_execution_is_no_program() {
    if !tools::root() || !tools::can_mount() {
        return;
    }
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("data")).unwrap();
    let builder = Daemon::builder()
        .config("[program.web]\ncommand=$DIR/data/tool\nstartretries=0\n[program.other]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n");
    let lines = "mount -t tmpfs -o noexec none $DIR/data\nprintf '#!/bin/sh\\nexec sleep 1000\\n' >$DIR/data/tool\nchmod 755 $DIR/data/tool";
    let scene = Scene::of(tools::in_mounts(builder, &sandbox, lines).start_in(sandbox));
    scene
        .ctl("start web")
        .code(1)
        .mentions("file is not executable");
    scene.wait_state("web", "FATAL");
    let told = scene.ctl("status web");
    told.mentions("no permission to run command");
    assert_eq!(scene.state("other"), "RUNNING");
    scene.close();
}

#[test]
fn a_pid_file_that_cannot_be_one_keeps_the_daemon_from_starting() {
    for plant in ["directory", "fifo"] {
        let sandbox = Sandbox::new();
        let place = sandbox.path("out/tm.pid");
        match plant {
            "directory" => fs::create_dir(&place).unwrap(),
            _ => nix::unistd::mkfifo(&place, Mode::S_IRWXU).unwrap(),
        }
        let kind = fs::symlink_metadata(&place).unwrap().file_type();
        let builder = Daemon::builder()
            .arg("-j")
            .arg("$OUT/tm.pid")
            .config("[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n");
        builder.write_config(&sandbox);
        let mut child = builder
            .command(&sandbox)
            .stdout(fs::File::create(sandbox.path("stdout")).unwrap())
            .stderr(fs::File::create(sandbox.path("stderr")).unwrap())
            .spawn()
            .unwrap();
        // It says no, or puts a file in the place of what is no file; it does not wait for a reader.
        let verdict = wait::until("a verdict", || {
            if let Some(status) = child.try_wait().unwrap() {
                return Some(status.code());
            }
            let text = fs::symlink_metadata(&place).is_ok_and(|meta| meta.is_file());
            text.then_some(None)
        });
        if verdict.is_none() {
            nix::sys::signal::kill(
                nix::unistd::Pid::from_raw(child.id().cast_signed()),
                nix::sys::signal::Signal::SIGTERM,
            )
            .unwrap();
            child.wait().unwrap();
        } else {
            assert!(
                [Some(2), Some(4), Some(6)].contains(&verdict),
                "{plant}: {verdict:?}"
            );
            assert_eq!(fs::symlink_metadata(&place).unwrap().file_type(), kind);
        }
        closing::nothing_of(&sandbox);
        assert!(!proc::is_alive(child.id().cast_signed()));
    }
}
