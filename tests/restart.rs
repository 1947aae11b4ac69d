//! `restart`.

use crate::harness::{Daemon, proc, wait};

#[test]
fn a_restart_is_a_stop_and_a_start() {
    let daemon = Daemon::with("[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n");
    daemon.wait_state("web", "RUNNING");
    let old = daemon.pid("web");
    daemon
        .ctl("restart web")
        .is(0, "web: stopped\nweb: started\n");
    assert!(!proc::is_alive(old));
    let new = daemon.pid("web");
    assert_ne!(new, old);
    assert_eq!(daemon.state("web"), "RUNNING");
    daemon.wait_log(&format!("spawned: 'web' with pid {new}"));
    daemon.close();
}

#[test]
fn what_is_down_is_started() {
    let daemon = Daemon::with(
        "[program.down]\ncommand=sleep 1000\nstartsecs=0\n\
         [program.ended]\ncommand=$ZOO exit-after ended 1000 0\nautostart=true\nstartsecs=0\n",
    );
    daemon
        .ctl("restart down")
        .is(0, "down: ERROR (not running)\ndown: started\n");
    daemon.ctl("stop all").code(0);
    // All stops come before all starts, each in the order asked for.
    daemon.ctl("start down").code(0);
    daemon.ctl("restart ended down").is(
        0,
        "ended: ERROR (not running)\ndown: stopped\nended: started\ndown: started\n",
    );
    daemon.close();
}

#[test]
fn a_restart_that_fails_says_so() {
    let daemon = Daemon::with("[program.web]\ncommand=$DIR/tool\nstartsecs=0\nstartretries=0\n");
    let sandbox = &daemon.sandbox;
    sandbox.write_program("tool", "#!/bin/sh\nexec sleep 1000\n");
    daemon.ctl("start web").is(0, "web: started\n");
    std::fs::remove_file(sandbox.path("tool")).unwrap();
    daemon
        .ctl("restart web")
        .is(1, "web: stopped\nweb: ERROR (no such file)\n");
    daemon.wait_state("web", "FATAL");
    daemon.close();
}

#[test]
fn restart_all_starts_what_was_stopped_as_well() {
    let daemon = Daemon::with(
        "[program.a]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n\
         [program.b]\ncommand=sleep 1000\nstartsecs=0\n",
    );
    daemon.wait_state("a", "RUNNING");
    daemon
        .ctl("restart all")
        .is(0, "a: stopped\na: started\nb: started\n");
    daemon.ctl("restart all").code(0);
    assert_eq!(daemon.state("b"), "RUNNING");
    daemon.close();
}

#[test]
fn the_group_is_gone_before_the_new_start() {
    let daemon =
        Daemon::with("[program.web]\ncommand=$ZOO parent web\nautostart=true\nstartsecs=0\n");
    wait::for_condition("the child", || daemon.sandbox.marks("web").len() == 2);
    let old = daemon.pid("web");
    daemon
        .ctl("restart web")
        .is(0, "web: stopped\nweb: started\n");
    assert_eq!(proc::group_members(old), Vec::<i32>::new());
    daemon.close();
}

#[test]
fn restarts_of_several_clients_end_in_one_process() {
    let daemon =
        Daemon::with("[program.web]\ncommand=$ZOO mark web\nautostart=true\nstartsecs=0\n");
    daemon.wait_state("web", "RUNNING");
    let clients: Vec<_> = (0..6)
        .map(|_| daemon.console("restart web").spawn().unwrap())
        .collect();
    for mut client in clients {
        client.wait().unwrap();
    }
    daemon.wait_state("web", "RUNNING");
    wait::for_condition("one process", || {
        proc::tagged(&daemon.sandbox.tag())
            .into_iter()
            .filter(|process| process.name == "sleep")
            .count()
            == 1
    });
    assert_eq!(proc::group_members(daemon.pid("web")).len(), 1);
    daemon.close();
}

#[test]
fn texts_and_codes_of_restart() {
    let daemon = Daemon::with("[program.web]\ncommand=sleep 1000\nstartsecs=0\n");
    let twice = "nosuch: ERROR (no such process)\n".repeat(2);
    daemon.ctl("restart nosuch").is(1, &twice);
    let twice = "nosuch: ERROR (no such group)\n".repeat(2);
    daemon.ctl("restart nosuch:*").is(2, &twice);
    daemon
        .ctl("restart")
        .begins(1, "Error: restart requires a process name\n");
    daemon.close();
}
