//! `why`: the story of a process, with the lines of the file that decided.

use crate::harness::Daemon;

/// Where a text of the configuration stands, as `FILE:LINE`.
fn place(daemon: &Daemon, text: &str) -> String {
    let path = daemon.sandbox.config_path();
    let config = std::fs::read_to_string(&path).unwrap();
    let line = config.lines().position(|line| line == text).unwrap() + 1;
    format!("{}:{line}", path.display())
}

#[test]
fn a_program_that_gave_up_is_explained() {
    let daemon = Daemon::with(
        "[program.web]\ncommand=sh -c 'echo \"port 80 is taken\" >&2; exit 3'\nautostart=true\nstartsecs=600\nstartretries=0\n",
    );
    daemon.wait_state("web", "FATAL");
    let said = daemon.ctl("why web");
    said.code(0)
        .mentions("web FATAL for 0:00:")
        .mentions("1 attempt has failed in a row, of 1 allowed: startretries=0")
        .mentions(&place(&daemon, "startretries=0"))
        .mentions("The last attempt failed: exit status 3 before it had been up for 600 seconds: startsecs=600 (")
        .mentions("It is wanted up: autostart=true")
        .mentions("It has ended once:")
        .mentions("    | port 80 is taken\n")
        .mentions("help: ");
    assert!(!said.stdout.contains('\u{1b}'), "{said:?}");
    daemon.close();
}

#[test]
fn a_step_that_failed_comes_with_advice() {
    let daemon = Daemon::with(
        "[program.ghost]\ncommand=/nonexistent/program\nautostart=true\nstartretries=0\n\
         [program.lost]\ncommand=sleep 1000\ndirectory=/nonexistent\nautostart=true\nstartretries=0\n",
    );
    daemon.wait_state("ghost", "FATAL");
    daemon.wait_state("lost", "FATAL");
    daemon
        .ctl("why ghost")
        .code(0)
        .mentions("can't find command '/nonexistent/program'")
        .mentions("help: correct command=/nonexistent/program (")
        .mentions(&place(&daemon, "command=/nonexistent/program"));
    daemon
        .ctl("why lost")
        .code(0)
        .mentions("chdir to /nonexistent: no such directory")
        .mentions("help: make the directory /nonexistent, or correct directory=/nonexistent (")
        .mentions(&place(&daemon, "directory=/nonexistent"));
    daemon.close();
}

#[test]
fn it_tells_who_wants_what_and_how_lives_ended() {
    let daemon = Daemon::with("[program.web]\ncommand=sleep 1000\nstartsecs=0\n");
    let said = daemon.ctl("why web");
    said.code(0)
        .mentions("web STOPPED\n")
        .mentions("Nothing has started it: autostart=false (default).");
    daemon.ctl("start web").code(0);
    let pid = daemon.pid("web");
    daemon
        .ctl("why web")
        .code(0)
        .mentions(&format!("It runs as pid {pid}."))
        .mentions("It is wanted up: an operator started it.");
    daemon.ctl("restart web").code(0);
    daemon.ctl("stop web").code(0);
    daemon
        .ctl("why web")
        .code(0)
        .mentions("It is wanted down: an operator stopped it.")
        .mentions("It has ended twice:")
        .mentions("terminated by SIGTERM")
        .mentions("as told");
    daemon.close();
}

#[test]
fn json_has_the_documented_keys() {
    let daemon = Daemon::with(
        "[program.web]\ncommand=$ZOO exit web 3\nautostart=true\nstartsecs=600\nstartretries=0\nnumprocs=2\n",
    );
    daemon.wait_state("web:0", "FATAL");
    daemon.wait_state("web:1", "FATAL");
    let said = daemon.ctl("why web --json");
    said.code(0);
    let document: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(document["action"], "why");
    let stories = document["processes"].as_array().unwrap();
    assert_eq!(stories.len(), 2);
    let story = &stories[0];
    assert_eq!(story["process"]["name"], "web:0");
    assert_eq!(story["process"]["state"], "FATAL");
    assert_eq!(story["wanted"]["up"], true);
    assert_eq!(story["wanted"]["by_operator"], false);
    assert_eq!(story["ended"], 1);
    assert_eq!(story["lives"][0]["exit"]["code"], 3);
    assert_eq!(story["lives"][0]["asked"], false);
    assert_eq!(story["lives"][0]["expected"], false);
    assert_eq!(story["startretries"], 0);
    assert!(story["failed_step"].is_null());
    assert!(story["advice"].is_string());
    let key = |name: &str| {
        let keys = story["keys"].as_array().unwrap();
        keys.iter().find(|key| key["key"] == name).unwrap().clone()
    };
    assert_eq!(key("startretries")["value"], "0");
    let line = place(&daemon, "startretries=0");
    assert_eq!(
        format!(
            "{}:{}",
            key("startretries")["file"].as_str().unwrap(),
            key("startretries")["line"]
        ),
        line
    );
    assert!(key("stopwaitsecs")["file"].is_null());
    daemon.close();
}

#[test]
fn what_it_cannot_tell_it_refuses() {
    let daemon = Daemon::with("");
    daemon
        .ctl("why")
        .begins(2, "Error: why requires a process name\n");
    let said = daemon.ctl("why nosuch");
    said.code(1);
    assert!(said.stdout.starts_with("nosuch: ERROR ("), "{said:?}");
    daemon.close();
}
