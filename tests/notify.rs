//! What a service manager hears from the daemon, over a socket of the kind that systemd names in `NOTIFY_SOCKET`.

use crate::harness::{Daemon, Sandbox, proc, wait};
use crate::life::ONE;
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// A program that takes its time to stop: until [`let_stop`].
const SLOW: &str = "[program.web]\ncommand=$ZOO hold-term web\nautostart=true\nstopwaitsecs=600\n";

fn let_stop(daemon: &Daemon) {
    daemon.sandbox.write("out/web.go", "");
}

/// The manager's end.
struct Manager(UnixDatagram);

impl Manager {
    fn at_path(sandbox: &Sandbox) -> Self {
        Self(UnixDatagram::bind(sandbox.path("run/notify")).unwrap())
    }

    /// The next message, as its variables.
    #[track_caller]
    fn hears(&self) -> BTreeMap<String, String> {
        self.0.set_read_timeout(Some(wait::patience())).unwrap();
        let mut bytes = [0; 4096];
        let length = wait::uninterrupted(|| self.0.recv(&mut bytes)).expect("no message came");
        let text = String::from_utf8(bytes[..length].to_vec()).unwrap();
        text.lines()
            .map(|line| line.split_once('=').expect(line))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    /// Demands that the next message has this variable, set to 1, and a status that holds these words.
    #[track_caller]
    fn expects(&self, variable: &str, words: &str) -> BTreeMap<String, String> {
        let message = self.hears();
        let phases = ["READY", "RELOADING", "STOPPING"];
        for phase in phases {
            let expected = (phase == variable).then_some("1");
            let found = message.get(phase).map(String::as_str);
            assert_eq!(found, expected, "{phase} in {message:?}");
        }
        assert!(message["STATUS"].contains(words), "{words}: {message:?}");
        message
    }

    #[track_caller]
    fn expects_silence(&self) {
        self.0.set_nonblocking(true).unwrap();
        let mut bytes = [0; 4096];
        let heard = self.0.recv(&mut bytes);
        assert!(
            heard.is_err(),
            "{:?}",
            String::from_utf8_lossy(&bytes[..heard.unwrap_or(0)])
        );
        self.0.set_nonblocking(false).unwrap();
    }
}

fn microseconds() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).unwrap();
    u64::try_from(now.tv_sec() * 1_000_000 + now.tv_nsec() / 1000).unwrap()
}

#[test]
fn a_life_in_the_foreground_is_told_from_ready_to_stopping() {
    let sandbox = Sandbox::new();
    let manager = Manager::at_path(&sandbox);
    let mut daemon = Daemon::builder()
        .env("NOTIFY_SOCKET", "$DIR/run/notify")
        .config(ONE)
        .start_in(sandbox);
    let ready = manager.expects("READY", "serving 1 process on ");
    assert!(ready["STATUS"].ends_with("/run/tm.sock"), "{ready:?}");
    assert_eq!(ready.get("MAINPID"), None, "{ready:?}");

    // An update by signal: begun, with the time at which it began, and done, with the new count.
    daemon.edit_config(&format!("{ONE}[program.api]\ncommand=sleep 1000\n"));
    let before = microseconds();
    daemon.signal(Signal::SIGHUP);
    let begun = manager.expects("RELOADING", "tm.ini");
    let told: u64 = begun["MONOTONIC_USEC"].parse().unwrap();
    assert!(before <= told && told <= microseconds(), "{begun:?}");
    manager.expects("READY", "serving 2 processes on ");
    assert_eq!(daemon.rows().len(), 2);

    // One that is refused leaves the daemon ready, and says why.
    daemon.edit_config("[program.web]\numask=9\n");
    daemon.signal(Signal::SIGHUP);
    manager.expects("RELOADING", "tm.ini");
    manager.expects("READY", "serving 2 processes on ");
    daemon.wait_state("web", "RUNNING");

    manager.expects_silence();
    daemon.signal(Signal::SIGTERM);
    manager.expects("STOPPING", "stopping");
    assert_eq!(daemon.wait_exit(), 0);
    daemon.nothing_left();
    manager.expects_silence();
}

#[test]
fn an_update_that_stops_something_is_done_when_that_has_stopped() {
    let sandbox = Sandbox::new();
    let manager = Manager::at_path(&sandbox);
    let daemon = Daemon::builder()
        .env("NOTIFY_SOCKET", "$DIR/run/notify")
        .config(SLOW)
        .start_in(sandbox);
    manager.expects("READY", "serving 1 process on ");
    daemon.sandbox.wait_mark("web", "ready");
    let web = daemon.pid("web");
    daemon.edit_config("");
    daemon.signal(Signal::SIGHUP);
    manager.expects("RELOADING", "tm.ini");
    // It is answered behind whatever the daemon had to do before.
    daemon.wait_state("web", "STOPPING");
    manager.expects_silence();
    let_stop(&daemon);
    manager.expects("READY", "serving 0 processes on ");
    assert!(!proc::is_alive(web));
    daemon.close();
}

#[test]
fn in_the_background_the_manager_learns_the_pid_before_the_launching_command_ends() {
    let sandbox = Sandbox::new();
    let manager = Manager::at_path(&sandbox);
    let mut daemon = Daemon::builder()
        .background()
        .env("NOTIFY_SOCKET", "$DIR/run/notify")
        .config(ONE)
        .start_in(sandbox);
    // The launching command has ended by now, so the message is there.
    manager.0.set_nonblocking(true).unwrap();
    let ready = manager.expects("READY", "serving 1 process on ");
    assert_eq!(ready["MAINPID"], daemon.process().to_string());
    manager.0.set_nonblocking(false).unwrap();
    daemon.ctl("shutdown").code(0);
    manager.expects("STOPPING", "stopping");
    daemon.wait_exit();
    daemon.nothing_left();
}

#[test]
fn a_reload_is_told_as_one_by_both_images() {
    for background in [false, true] {
        let sandbox = Sandbox::new();
        let manager = Manager::at_path(&sandbox);
        let mut builder = Daemon::builder()
            .env("NOTIFY_SOCKET", "$DIR/run/notify")
            .config(ONE);
        if background {
            builder = builder.background();
        }
        let mut daemon = builder.start_in(sandbox);
        manager.expects("READY", "serving 1 process on ");
        daemon.ctl("reload").code(0);
        let begun = manager.expects("RELOADING", "start anew");
        assert!(begun.contains_key("MONOTONIC_USEC"), "{begun:?}");
        let ready = manager.expects("READY", "serving 1 process on ");
        let pid = daemon.process().to_string();
        let told = ready.get("MAINPID");
        assert_eq!(told, background.then_some(&pid), "{ready:?}");
        daemon.signal(Signal::SIGTERM);
        manager.expects("STOPPING", "stopping");
        assert_eq!(daemon.wait_exit(), 0);
        daemon.nothing_left();
    }
}

#[test]
fn a_reload_that_becomes_an_end_is_told_as_an_end() {
    let sandbox = Sandbox::new();
    let manager = Manager::at_path(&sandbox);
    let mut daemon = Daemon::builder()
        .env("NOTIFY_SOCKET", "$DIR/run/notify")
        .config(SLOW)
        .start_in(sandbox);
    manager.expects("READY", "serving");
    daemon.sandbox.wait_mark("web", "ready");
    let mut client = daemon.client();
    client.ask(taskmaster::wire::Request::Reload).unwrap();
    manager.expects("RELOADING", "start anew");
    daemon.signal(Signal::SIGTERM);
    manager.expects("STOPPING", "to end");
    let_stop(&daemon);
    assert_eq!(daemon.wait_exit(), 0);
    manager.expects_silence();
}

#[test]
fn an_abstract_socket_is_told_too() {
    let sandbox = Sandbox::new();
    let name = sandbox.tag();
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let manager = Manager(UnixDatagram::bind_addr(&address).unwrap());
    let daemon = Daemon::builder()
        .env("NOTIFY_SOCKET", "@$DIR")
        .config(ONE)
        .start_in(sandbox);
    manager.expects("READY", "serving 1 process on ");
    daemon.close();
    manager.expects("STOPPING", "stopping");
}

#[test]
fn a_manager_that_cannot_be_reached_is_logged_and_no_obstacle() {
    for (name, words) in [
        ("$DIR/run/nobody", "can't tell the service manager: "),
        ("nonsense", "NOTIFY_SOCKET=nonsense cannot be used"),
    ] {
        let daemon = Daemon::builder()
            .env("NOTIFY_SOCKET", name)
            .config(ONE)
            .start();
        daemon.wait_log(words);
        daemon.close();
    }
}

#[test]
fn a_start_that_fails_is_never_told_as_ready() {
    let sandbox = Sandbox::new();
    let manager = Manager::at_path(&sandbox);
    let builder = Daemon::builder()
        .env("NOTIFY_SOCKET", "$DIR/run/notify")
        .config("[program.web]\numask=9\n");
    builder.fails_in(&sandbox).code(2);
    builder.clone().background().fails_in(&sandbox).code(2);
    manager.expects_silence();
}
