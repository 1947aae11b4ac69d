//! B.4: files that change, vanish or lie while they are in use.

use super::closing::{self, Scene};
use super::tools;
use crate::harness::{Daemon, Sandbox, proc, wait};
use nix::sys::signal::Signal;
use std::fs;
use std::time::Duration;

const WEB: &str = "[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n";

#[test]
fn a_file_that_its_own_daemon_may_no_longer_read_changes_nothing() {
    if !tools::root() {
        return;
    }
    let sandbox = Sandbox::new();
    for name in ["run", "log"] {
        std::os::unix::fs::chown(sandbox.path(name), Some(65534), Some(65534)).unwrap();
    }
    let scene = Scene::of(
        Daemon::builder()
            .daemon_keys("user=nobody")
            .config(WEB)
            .start_in(sandbox),
    );
    scene.wait_state("web", "RUNNING");
    let pid = scene.pid("web");
    scene.edit_config(&WEB.replace("1000", "1001"));
    scene.sandbox.set_mode("tm.ini", 0o600);
    for words in ["reread", "update", "reload"] {
        scene.ctl(words).code(1).mentions("permission denied");
    }
    scene.signal(Signal::SIGHUP);
    scene.wait_log("nothing is changed");
    assert_eq!(scene.pid("web"), pid);
    // Readable again, it counts again.
    scene.sandbox.set_mode("tm.ini", 0o644);
    scene.ctl("update").code(0);
    scene.wait_state("web", "RUNNING");
    assert_ne!(scene.pid("web"), pid);
    scene.close();
}

#[test]
fn what_stands_in_the_files_place_is_refused_at_once() {
    let scene = Scene::with(WEB);
    scene.wait_state("web", "RUNNING");
    let pid = scene.pid("web");
    let file = scene.sandbox.config_path();
    let aside = scene.sandbox.path("aside");
    fs::rename(&file, &aside).unwrap();
    let plants: [&dyn Fn(); 5] = [
        &|| nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).unwrap(),
        &|| fs::create_dir(&file).unwrap(),
        &|| std::os::unix::fs::symlink("/dev/zero", &file).unwrap(),
        &|| std::os::unix::fs::symlink(&file, &file).unwrap(),
        &|| {
            let large = fs::File::create(&file).unwrap();
            large.set_len(1 << 40).unwrap();
        },
    ];
    for plant in plants {
        plant();
        let said = wait::quickly("a refusal", Duration::from_secs(3), 2, || {
            scene.ctl("reread")
        });
        said.code(1).mentions("CANT_REREAD");
        scene.signal(Signal::SIGHUP);
        assert_eq!(scene.pid("web"), pid);
        let removed = fs::remove_file(&file).or_else(|_| fs::remove_dir(&file));
        removed.unwrap();
    }
    fs::rename(&aside, &file).unwrap();
    scene
        .ctl("reread")
        .is(0, "No config updates to processes\n");
    scene.close();
}

#[test]
fn copies_that_come_and_go_quickly_are_never_there_twice() {
    let copies = |count: usize| {
        format!(
            "[program.web]\ncommand=$ZOO slow-term web-%(process_num)d 0.2\nautostart=true\nstartsecs=0\n\
             numprocs={count}\nstopwaitsecs=60\nstdout_logfile=NONE\nstderr_logfile=NONE\n"
        )
    };
    let scene = Scene::with(&copies(8));
    scene.wait_state("web:7", "RUNNING");
    let kept: Vec<i32> = (0..3)
        .map(|number| scene.pid(&format!("web:{number}")))
        .collect();
    for number in 0..8 {
        scene.sandbox.wait_mark(&format!("web-{number}"), "ready");
    }
    // Faster than they end.
    for count in [3, 8, 3, 8, 3, 8] {
        scene.edit_config(&copies(count));
        scene.signal(Signal::SIGHUP);
        wait::for_condition("the file to be read", || scene.rows().len() == count);
    }
    for number in 0..8 {
        scene.wait_state(&format!("web:{number}"), "RUNNING");
    }
    for (number, pid) in kept.iter().enumerate() {
        assert_eq!(scene.pid(&format!("web:{number}")), *pid);
    }
    for number in 3..8 {
        // Each began after the one before it had ended.
        let marks = scene.sandbox.marks(&format!("web-{number}"));
        let mut alive = None;
        for mark in marks {
            match mark.word.as_str() {
                "start" => assert_eq!(alive.replace(mark.pid), None, "{number}"),
                "term" => assert_eq!(alive.take(), Some(mark.pid), "{number}"),
                _ => {}
            }
        }
    }
    scene.close();
}

#[test]
fn a_thousand_copies_are_read_without_holding_anybody_up() {
    let scene = Scene::with(WEB);
    scene.edit_config(&format!(
        "{WEB}[program.many]\ncommand=sleep 1000\nnumprocs=2000\n"
    ));
    let mut updating = scene
        .console("update")
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut answers = Vec::new();
    while updating.try_wait().unwrap().is_none() {
        answers.push(wait::timed(|| scene.rows()).1);
    }
    let limit = wait::scaled(Duration::from_secs(2));
    let slow = answers.iter().filter(|took| **took >= limit).count();
    // The machine may hold up one or another.
    assert!(slow <= 2 + answers.len() / 10, "{answers:?}");
    assert_eq!(scene.rows().len(), 2001);
    scene.edit_config(WEB);
    scene.ctl("update").code(0);
    assert_eq!(scene.rows().len(), 1);
    scene.close();
}

#[test]
fn a_program_that_is_gone_from_the_file_when_the_next_daemon_starts_is_stopped() {
    let mut scene = Scene::with(&format!(
        "{WEB}[program.gone]\ncommand=sleep 1002\nautostart=true\nstartsecs=0\n"
    ));
    scene.wait_state("gone", "RUNNING");
    let gone = scene.pid("gone");
    scene.murder();
    assert!(proc::is_alive(gone));
    scene.edit_config(WEB);
    scene.launch();
    wait::for_condition("what is not configured to be stopped", || {
        !proc::is_alive(gone)
    });
    scene.wait_state("web", "RUNNING");
    scene.close();
}

#[test]
fn a_record_that_names_a_strangers_number_harms_no_stranger() {
    let mut daemon = Daemon::builder().config(WEB).start();
    daemon.wait_state("web", "RUNNING");
    let own = daemon.pid("web");
    let mut stranger = daemon.sandbox.stranger_younger_than(own);
    let pid = stranger.id().cast_signed();
    daemon.murder();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(own), Signal::SIGKILL).unwrap();
    // The number of the program belongs to somebody else by now, which only the start time tells.
    let record = daemon.sandbox.path("run/tm.sock.children");
    let text = fs::read_to_string(&record).unwrap();
    let forged = text.replace(&format!(" {own} "), &format!(" {pid} "));
    assert_ne!(forged, text);
    fs::write(&record, forged).unwrap();
    daemon.launch();
    daemon.wait_state("web", "RUNNING");
    assert!(proc::is_alive(pid), "a stranger was killed");
    daemon.ctl("stop all").code(0);
    assert!(proc::is_alive(pid), "a stranger was killed");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    Scene::of(daemon).close();
}

#[test]
fn a_file_with_endless_includes_is_refused_with_the_circle() {
    let sandbox = Sandbox::new();
    sandbox.write("a.conf", "[include]\nfiles=$DIR/b.conf\n");
    sandbox.write("b.conf", "[include]\nfiles=$DIR/a.conf\n");
    let said = Daemon::builder()
        .config("[include]\nfiles=$DIR/a.conf\n[program.web]\ncommand=sleep 1000\nautostart=true\n")
        .fails_in(&sandbox);
    said.code(2).mentions("a.conf");
    closing::nothing_of(&sandbox);
}
