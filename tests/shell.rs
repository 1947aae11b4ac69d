//! The console as a shell: on a terminal, and fed by a pipe.

use crate::harness::{Daemon, wait};
use nix::sys::wait::WaitStatus;
use rexpect::session::{Options, PtySession, spawn_with_options};

const ONE: &str = "[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n";

/// The shell on a terminal, before its first prompt.
fn shell(daemon: &Daemon) -> PtySession {
    let mut command = daemon.console("");
    command.env("TERM", "xterm").env("NO_COLOR", "1");
    daemon.sandbox.note(&command);
    let timeout = u64::try_from(wait::patience().as_millis()).unwrap();
    let options = Options::new()
        .timeout_ms(Some(timeout))
        .strip_ansi_escape_codes(true);
    spawn_with_options(command, options).unwrap()
}

/// Waits for the prompt and returns what came before it.
#[track_caller]
fn prompt(session: &mut PtySession) -> String {
    session.exp_string("taskmasterd> ").unwrap()
}

#[track_caller]
fn ended(session: &mut PtySession, code: i32) {
    session.exp_eof().unwrap();
    match session.process().wait().unwrap() {
        WaitStatus::Exited(_, status) => assert_eq!(status, code),
        other => panic!("{other:?}"),
    }
}

#[test]
fn it_begins_with_status_and_a_prompt() {
    let daemon = Daemon::with(ONE);
    daemon.wait_state("web", "RUNNING");
    let mut session = shell(&daemon);
    let first = prompt(&mut session);
    assert!(
        first.contains(&format!(
            "web                              RUNNING   pid {}, uptime 0:",
            daemon.pid("web")
        )),
        "{first:?}"
    );
    session.send_line("version").unwrap();
    session.exp_string(env!("CARGO_PKG_VERSION")).unwrap();
    prompt(&mut session);
    session.send_line("stop web").unwrap();
    session.exp_string("web: stopped").unwrap();
    prompt(&mut session);
    assert_eq!(daemon.state("web"), "STOPPED");
    session.send_line("exit").unwrap();
    ended(&mut session, 0);
    daemon.close();
}

#[test]
fn what_it_does_not_know_it_says() {
    let daemon = Daemon::with(ONE);
    let mut session = shell(&daemon);
    prompt(&mut session);
    session.send_line("dance web").unwrap();
    session.exp_string("*** Unknown syntax: dance web").unwrap();
    prompt(&mut session);
    session.send_line("help dance").unwrap();
    session.exp_string("*** No help on dance").unwrap();
    prompt(&mut session);
    // An empty line does nothing.
    session.send_line("").unwrap();
    prompt(&mut session);
    session.send_line("help").unwrap();
    session
        .exp_string("default commands (type help <topic>):")
        .unwrap();
    prompt(&mut session);
    session.send_line("?").unwrap();
    session
        .exp_string("default commands (type help <topic>):")
        .unwrap();
    prompt(&mut session);
    session.send_line("help start").unwrap();
    session.exp_string("Start ").unwrap();
    prompt(&mut session);
    session.send_line("quit").unwrap();
    session.exp_eof().unwrap();
    daemon.close();
}

#[test]
fn control_c_drops_the_line_and_control_d_leaves() {
    let daemon = Daemon::with(ONE);
    daemon.wait_state("web", "RUNNING");
    let mut session = shell(&daemon);
    prompt(&mut session);
    session.send("stop web").unwrap();
    session.flush().unwrap();
    session.exp_string("stop web").unwrap();
    session.send_control('c').unwrap();
    prompt(&mut session);
    assert_eq!(daemon.state("web"), "RUNNING");
    session.send_line("pid").unwrap();
    session.exp_string(&daemon.process().to_string()).unwrap();
    prompt(&mut session);
    session.send_control('d').unwrap();
    ended(&mut session, 0);
    daemon.close();
}

#[test]
fn control_c_ends_a_wait_and_not_the_shell() {
    let daemon = Daemon::with(
        "[program.web]\ncommand=sleep 1000\nstartsecs=600\n[program.say]\ncommand=$ZOO say say hello\nautostart=true\nstartsecs=0\n",
    );
    daemon.wait_content(daemon.child_log("say_0_out.log"), "hello\n");
    let mut session = shell(&daemon);
    prompt(&mut session);
    session.send_line("start web").unwrap();
    daemon.wait_state("web", "STARTING");
    session.send_control('c').unwrap();
    prompt(&mut session);
    session.send_line("tail -f say").unwrap();
    session.exp_string("==> Press Ctrl-C to exit <==").unwrap();
    session.exp_string("hello").unwrap();
    session.send_control('c').unwrap();
    prompt(&mut session);
    // What was asked for goes on.
    assert_eq!(daemon.state("web"), "STARTING");
    session.send_control('d').unwrap();
    session.exp_eof().unwrap();
    daemon.close();
}

#[test]
fn tab_completes_actions_and_names() {
    let daemon = Daemon::with("[program.unique-name]\ncommand=sleep 1000\nstartsecs=0\n");
    let mut session = shell(&daemon);
    prompt(&mut session);
    session.send("ver\t").unwrap();
    session.flush().unwrap();
    session.exp_string("version").unwrap();
    session.send_line("").unwrap();
    session.exp_string(env!("CARGO_PKG_VERSION")).unwrap();
    prompt(&mut session);
    session.send("start uni\t").unwrap();
    session.flush().unwrap();
    session.exp_string("unique-name").unwrap();
    session.send_line("").unwrap();
    session.exp_string("unique-name: started").unwrap();
    prompt(&mut session);
    assert_eq!(daemon.state("unique-name"), "RUNNING");
    session.send_control('d').unwrap();
    session.exp_eof().unwrap();
    daemon.close();
}

#[test]
fn shutdown_and_reload_ask_first() {
    let mut daemon = Daemon::with(ONE);
    daemon.wait_state("web", "RUNNING");
    let mut session = shell(&daemon);
    prompt(&mut session);
    session.send_line("reload").unwrap();
    session.exp_string("y/N? ").unwrap();
    session.send_line("n").unwrap();
    prompt(&mut session);
    session.send_line("shutdown").unwrap();
    session.exp_string("y/N? ").unwrap();
    session.send_line("").unwrap();
    prompt(&mut session);
    assert_eq!(daemon.state("web"), "RUNNING");
    session.send_line("shutdown").unwrap();
    session.exp_string("y/N? ").unwrap();
    session.send_line("yes").unwrap();
    session.exp_string("Shut down").unwrap();
    prompt(&mut session);
    assert_eq!(daemon.wait_exit(), 0);
    session.send_control('d').unwrap();
    session.exp_eof().unwrap();
    daemon.nothing_left();
}

#[test]
fn the_prompt_is_the_files() {
    let daemon = Daemon::builder()
        .console_keys("prompt=fleet")
        .config(ONE)
        .start();
    let mut command = daemon
        .sandbox
        .command(crate::harness::Sandbox::executable());
    command
        .args(["ctl", "-c"])
        .arg(daemon.sandbox.config_path())
        .env("TERM", "xterm");
    let timeout = u64::try_from(wait::patience().as_millis()).unwrap();
    let options = Options::new()
        .timeout_ms(Some(timeout))
        .strip_ansi_escape_codes(true);
    let mut session = spawn_with_options(command, options).unwrap();
    session.exp_string("fleet> ").unwrap();
    session.send_control('d').unwrap();
    session.exp_eof().unwrap();
    daemon.close();
}

#[test]
fn without_a_daemon_the_shell_opens_all_the_same() {
    let mut daemon = Daemon::with("");
    daemon.signal(nix::sys::signal::Signal::SIGTERM);
    daemon.wait_exit();
    let mut session = shell(&daemon);
    session.exp_string(" no such file").unwrap();
    prompt(&mut session);
    session.send_line("pid").unwrap();
    session.exp_string(" no such file").unwrap();
    prompt(&mut session);
    session.send_control('d').unwrap();
    session.exp_eof().unwrap();
}

#[test]
fn a_script_on_standard_input_is_carried_out() {
    let daemon = Daemon::with("[program.web]\ncommand=sleep 1000\nstartsecs=0\n");
    let run = |input: &str| daemon.sandbox.finish(daemon.console(""), input);
    let said = run("start web\nversion\nstop web\n");
    said.code(0)
        .mentions("web: started\n")
        .mentions(&format!("{}\n", env!("CARGO_PKG_VERSION")))
        .mentions("web: stopped\n");
    assert!(!said.stdout.contains('\u{1b}'), "{said:?}");
    // What comes after `exit` is not read.
    let said = run("exit\nstart web\n");
    assert!(!said.stdout.contains("web: started"), "{said:?}");
    assert_eq!(daemon.state("web"), "STOPPED");
    daemon.close();
}

#[test]
fn a_failure_in_a_script_is_not_hidden_by_what_follows() {
    let daemon = Daemon::with("[program.web]\ncommand=sleep 1000\nstartsecs=0\n");
    let run = |input: &str| daemon.sandbox.finish(daemon.console(""), input);
    run("start nosuch\nversion\n").code(1);
    run("pid web\nstart web\n").code(7);
    // The last one that failed decides.
    run("pid nosuch\nstatus nosuch\nversion\n").code(4);
    run("dance\nversion\n").code(1);
    daemon.close();
}

#[test]
fn with_i_the_shell_follows_the_action() {
    let daemon = Daemon::with("[program.web]\ncommand=sleep 1000\nstartsecs=0\n");
    let mut command = daemon
        .sandbox
        .command(crate::harness::Sandbox::executable());
    command
        .args(["ctl", "-i", "-s"])
        .arg(format!("unix://{}", daemon.sandbox.socket_path().display()))
        .args(["start", "web"]);
    let said = daemon.sandbox.finish(command, "stop web\n");
    said.code(0)
        .mentions("web: started\n")
        .mentions("web: stopped\n");
    daemon.close();
}
