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
    for word in ["help", "?"] {
        session.send_line(word).unwrap();
        // For a person, under headings and with what each does.
        for text in ["Processes", "restart   stop and start processes", "Shell"] {
            session.exp_string(text).unwrap();
        }
        prompt(&mut session);
    }
    session.send_line("statsu").unwrap();
    session.exp_string("did you mean 'status'?").unwrap();
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

/// A shell that may colour, with one more variable of the environment.
fn shell_with(daemon: &Daemon, name: &str, value: &str, raw: bool) -> PtySession {
    let mut command = daemon.console("");
    // Without colours there are no hints, and a line is drawn only once.
    command
        .env("TERM", "xterm")
        .env("NO_COLOR", "1")
        .env(name, value);
    daemon.sandbox.note(&command);
    let timeout = u64::try_from(wait::patience().as_millis()).unwrap();
    let options = Options::new()
        .timeout_ms(Some(timeout))
        .strip_ansi_escape_codes(!raw);
    spawn_with_options(command, options).unwrap()
}

#[test]
fn control_r_searches_the_history_and_the_history_outlives_the_shell() {
    let daemon = Daemon::with("[program.web]\ncommand=sleep 1000\nstartsecs=0\n");
    let state = daemon.sandbox.path("state").display().to_string();
    let mut session = shell_with(&daemon, "XDG_STATE_HOME", &state, false);
    prompt(&mut session);
    for line in ["start web", "version"] {
        session.send_line(line).unwrap();
        prompt(&mut session);
    }
    session.send_line("exit").unwrap();
    ended(&mut session, 0);
    daemon.ctl("stop web").code(0);
    let mut session = shell_with(&daemon, "XDG_STATE_HOME", &state, false);
    prompt(&mut session);
    session.send_control('r').unwrap();
    session.exp_string("(reverse-i-search)").unwrap();
    session.send("sta").unwrap();
    session.flush().unwrap();
    session.exp_string("start web").unwrap();
    session.send_line("").unwrap();
    session.exp_string("web: started").unwrap();
    prompt(&mut session);
    session.send_control('d').unwrap();
    ended(&mut session, 0);
    daemon.close();
}

#[test]
fn vi_keys_are_the_files_choice_or_the_persons() {
    let daemon = Daemon::builder()
        .console_keys("edit_mode=emacs")
        .config("[program.web]\ncommand=sleep 1000\nstartsecs=0\n")
        .start();
    let mut session = shell_with(&daemon, "TASKMASTERCTL_EDIT_MODE", "vi", false);
    prompt(&mut session);
    // Back to the command mode, to the beginning of the line, and one letter away.
    session.send("xversion").unwrap();
    session.flush().unwrap();
    session.exp_string("xversion").unwrap();
    session.send("\u{1b}").unwrap();
    session.flush().unwrap();
    session.send("0x").unwrap();
    session.send_line("").unwrap();
    session.exp_string(env!("CARGO_PKG_VERSION")).unwrap();
    prompt(&mut session);
    session.send_control('d').unwrap();
    session.exp_eof().unwrap();
    let mut session = shell_with(&daemon, "TASKMASTERCTL_EDIT_MODE", "ed", false);
    session
        .exp_string("TASKMASTERCTL_EDIT_MODE must be emacs or vi, not 'ed'")
        .unwrap();
    prompt(&mut session);
    session.send_control('d').unwrap();
    session.exp_eof().unwrap();
    daemon.close();
}

#[test]
fn hints_are_grey_and_never_sent() {
    let daemon = Daemon::with(ONE);
    daemon.wait_state("web", "RUNNING");
    let mut session = shell_with(&daemon, "NO_COLOR", "", true);
    session.exp_string("taskmasterd> ").unwrap();
    session.send("stop ").unwrap();
    session.flush().unwrap();
    session.exp_string("\u{1b}[90mNAME...").unwrap();
    session.send_line("").unwrap();
    session
        .exp_string("Error: stop requires a process name")
        .unwrap();
    session.exp_string("taskmasterd> ").unwrap();
    assert_eq!(daemon.state("web"), "RUNNING");
    session.send_control('d').unwrap();
    session.exp_eof().unwrap();
    daemon.close();
}

#[test]
fn a_change_is_told_above_the_line_that_is_being_typed() {
    let daemon = Daemon::with(ONE);
    daemon.wait_state("web", "RUNNING");
    let mut command = daemon.console("");
    command.env("TERM", "xterm").env("NO_COLOR", "1");
    daemon.sandbox.note(&command);
    let options = Options::new()
        .timeout_ms(Some(300))
        .strip_ansi_escape_codes(true);
    let mut session = spawn_with_options(command, options).unwrap();
    let see = |session: &mut PtySession, text: &str| {
        wait::for_condition(text, || session.exp_string(text).is_ok());
    };
    see(&mut session, "taskmasterd> ");
    session.send("pid we").unwrap();
    session.flush().unwrap();
    see(&mut session, "pid we");
    // The shell may take its time to subscribe.
    wait::for_condition("the announcement", || {
        daemon.ctl("restart web").code(0);
        session.exp_string("* web: running").is_ok()
    });
    // The line is whole, and goes on.
    see(&mut session, "pid we");
    session.send_line("b").unwrap();
    let pid = daemon.pid("web").to_string();
    see(&mut session, &pid);
    // Between two lines the terminal is an ordinary one, where this key means something else.
    see(&mut session, "taskmasterd> ");
    session.send_control('d').unwrap();
    wait::for_condition("the end", || session.exp_eof().is_ok());
    daemon.close();
}

#[test]
fn lines_that_are_pasted_at_once_are_all_carried_out() {
    let daemon = Daemon::with(ONE);
    daemon.wait_state("web", "RUNNING");
    let mut session = shell(&daemon);
    prompt(&mut session);
    session.send("stop web\nversion\nexit\n").unwrap();
    session.flush().unwrap();
    session.exp_string("web: stopped").unwrap();
    session.exp_string(env!("CARGO_PKG_VERSION")).unwrap();
    ended(&mut session, 0);
    daemon.close();
}

#[test]
fn announcements_can_be_switched_off() {
    let daemon = Daemon::builder()
        .console_keys("announce=false")
        .config(ONE)
        .start();
    daemon.wait_state("web", "RUNNING");
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
    prompt(&mut session);
    daemon.ctl("restart web").code(0);
    session.send_line("version").unwrap();
    // With colours the prompt is drawn anew for what is typed, so that the answer is waited for first.
    let mut between = session.exp_string(env!("CARGO_PKG_VERSION")).unwrap();
    between += &prompt(&mut session);
    assert!(!between.contains("* web"), "{between:?}");
    session.send_control('d').unwrap();
    session.exp_eof().unwrap();
    daemon.close();
}

#[test]
fn a_lost_daemon_is_noticed_and_its_return_too() {
    let mut daemon = Daemon::with(ONE);
    daemon.wait_state("web", "RUNNING");
    let mut session = shell(&daemon);
    prompt(&mut session);
    session.send("ver").unwrap();
    session.flush().unwrap();
    session.exp_string("ver").unwrap();
    daemon.murder();
    session.exp_string(" is gone").unwrap();
    daemon.launch();
    session.exp_string("the daemon is back (pid ").unwrap();
    session.send_line("sion").unwrap();
    session.exp_string(env!("CARGO_PKG_VERSION")).unwrap();
    prompt(&mut session);
    session.send_control('d').unwrap();
    session.exp_eof().unwrap();
    daemon.close();
}

#[test]
fn a_dumb_terminal_is_enough() {
    let daemon = Daemon::with(ONE);
    daemon.wait_state("web", "RUNNING");
    let mut command = daemon.console("");
    command.env("TERM", "dumb");
    let timeout = u64::try_from(wait::patience().as_millis()).unwrap();
    let mut session =
        spawn_with_options(command, Options::new().timeout_ms(Some(timeout))).unwrap();
    let first = session.exp_string("taskmasterd> ").unwrap();
    assert!(!first.contains('\u{1b}'), "{first:?}");
    session.send_line("stop web").unwrap();
    let said = session.exp_string("web: stopped").unwrap();
    assert!(!said.contains('\u{1b}'), "{said:?}");
    session.exp_string("taskmasterd> ").unwrap();
    session.send_line("exit").unwrap();
    session.exp_eof().unwrap();
    daemon.close();
}

#[test]
fn a_watch_ends_with_control_c_and_the_shell_goes_on() {
    let daemon = Daemon::with(ONE);
    daemon.wait_state("web", "RUNNING");
    let mut session = shell(&daemon);
    prompt(&mut session);
    session.send_line("status -w").unwrap();
    session.exp_string("Ctrl-C leaves").unwrap();
    daemon.ctl("stop web").code(0);
    session.exp_string("STOPPED").unwrap();
    session.exp_string("Ctrl-C leaves").unwrap();
    session.send_control('c').unwrap();
    prompt(&mut session);
    session.send_line("version").unwrap();
    session.exp_string(env!("CARGO_PKG_VERSION")).unwrap();
    prompt(&mut session);
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

#[test]
fn several_logs_are_followed_with_their_names_across_a_rotation() {
    let daemon = Daemon::with(
        "[program.a]\ncommand=$ZOO echo-on a one two\nautostart=true\nstartsecs=0\nstdout_logfile_maxbytes=4\n\
         [program.bee]\ncommand=$ZOO say bee \u{1b}[2J\nautostart=true\nstartsecs=0\n",
    );
    daemon.wait_state("a", "RUNNING");
    daemon.sandbox.wait_mark("bee", "said");
    let mut session = shell(&daemon);
    prompt(&mut session);
    session.send_line("tail -f a bee").unwrap();
    // A control character is shown, not sent.
    session.exp_string("bee | \\x1b[2J").unwrap();
    daemon.sandbox.write("out/one.go", "");
    session.exp_string("a   | one").unwrap();
    daemon.sandbox.write("out/two.go", "");
    session.exp_string("a   | two").unwrap();
    session.send_control('c').unwrap();
    prompt(&mut session);
    session.send_control('d').unwrap();
    session.exp_eof().unwrap();
    daemon.close();
}

#[test]
fn the_foreground_is_left_with_control_c_and_the_program_goes_on() {
    let daemon = Daemon::with("[program.cat]\ncommand=cat\nautostart=true\nstartsecs=0\n");
    daemon.wait_state("cat", "RUNNING");
    let pid = daemon.pid("cat");
    let mut session = shell(&daemon);
    prompt(&mut session);
    session.send_line("fg cat").unwrap();
    session.exp_string("==> Press Ctrl-C to exit <==").unwrap();
    session.send_line("hello").unwrap();
    // This terminal does not echo: the program says it.
    session.exp_string("hello").unwrap();
    session.send_control('c').unwrap();
    session.exp_string("Exiting foreground").unwrap();
    prompt(&mut session);
    assert_eq!(daemon.pid("cat"), pid);
    session.send_line("fg cat").unwrap();
    session.exp_string("==> Press Ctrl-C to exit <==").unwrap();
    daemon.ctl("stop cat").code(0);
    session.exp_string("Process got killed").unwrap();
    prompt(&mut session);
    session.send_control('d').unwrap();
    session.exp_eof().unwrap();
    daemon.close();
}
