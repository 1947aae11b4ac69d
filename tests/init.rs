//! The daemon as process 1, and `--container`: in namespaces of its own, as a container runtime would start it.

use crate::harness::{Sandbox, is_root, proc, wait};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::File;
use std::process::{Child, Command, Stdio};

/// A daemon that is process 1 of a pid namespace. Its output lands in `stdout` and `stderr`.
pub struct Container {
    /// Where it lives.
    pub sandbox: Sandbox,
    child: Child,
    /// Process 1, as it is seen from outside; 0 if it had ended before it was seen.
    pub init: i32,
}

/// Whether namespaces can be made here; says why not.
pub fn can_contain() -> bool {
    let works = is_root()
        && Command::new("unshare")
            .args(["--mount", "--pid", "--fork", "--mount-proc", "true"])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
    if !works {
        eprintln!("passed over: no namespaces can be made here");
    }
    works
}

impl Container {
    /// `prepare` is shell code that runs in the namespaces first; then the executable with `words`.
    pub fn start(sandbox: Sandbox, prepare: &str, words: &str) -> Self {
        let script = sandbox.expand(&format!("{prepare}\nexec {words}"));
        let mut command = sandbox.command("unshare");
        command
            .args(["--mount", "--pid", "--fork", "--mount-proc", "--kill-child"])
            .args(["sh", "-ec", &script])
            .stdin(Stdio::null())
            .stdout(File::create(sandbox.path("stdout")).unwrap())
            .stderr(File::create(sandbox.path("stderr")).unwrap());
        sandbox.note(&command);
        let mut child = command.spawn().unwrap();
        let outer = i32::try_from(child.id()).unwrap();
        let init = wait::until("the daemon to be process 1", || {
            if child.try_wait().unwrap().is_some() {
                return Some(0);
            }
            proc::all()
                .into_iter()
                .find(|process| {
                    process.parent == outer
                        && proc::command_line(process.pid).contains("taskmaster daemon")
                        && !proc::command_line(process.pid).starts_with("sh")
                })
                .map(|process| process.pid)
        });
        Self {
            sandbox,
            child,
            init,
        }
    }

    /// A daemon with this file, started with these words beside it; `None` where namespaces cannot be made.
    pub fn with(file: &str, words: &str) -> Option<Self> {
        if !can_contain() {
            return None;
        }
        let sandbox = Sandbox::new();
        sandbox.write("c.ini", file);
        Some(Self::start(sandbox, "", &daemon(words)))
    }

    /// Sends process 1 a signal.
    pub fn signal(&self, signal: Signal) {
        assert!(self.init > 0, "it has ended");
        kill(Pid::from_raw(self.init), signal).unwrap();
    }

    /// Waits until the container has ended and returns its exit code.
    pub fn wait_exit(&mut self) -> Option<i32> {
        wait::until("the container to end", || self.child.try_wait().unwrap()).code()
    }

    /// Runs a console action to its end, from outside.
    pub fn ctl(&self, words: &str) -> crate::harness::Said {
        let mut command = self.sandbox.command(Sandbox::executable());
        command
            .args(["ctl", "-s"])
            .arg(self.sandbox.socket_path())
            .args(words.split(' '));
        self.sandbox.finish(command, "")
    }

    fn wait_shown(&self, stream: &str, text: &str) {
        wait::for_condition(format!("{text:?} on {stream}"), || {
            self.sandbox.read(stream).contains(text)
        });
    }
}

/// The words that start a daemon with `$DIR/c.ini`.
fn daemon(extra: &str) -> String {
    let executable = Sandbox::executable();
    format!("{} daemon -c $DIR/c.ini {extra}", executable.display())
}

/// The console's section of a file.
pub const SOCKET: &str = "[taskmasterctl]\nserverurl=$DIR/run/tm.sock\n";

#[test]
fn orphans_are_collected_and_the_last_ones_asked_to_end() {
    // Orphans have a moment to end. One that the machine holds up in it is killed, which proves nothing.
    for attempt in 1.. {
        let Some(noted) = orphans_are_asked() else {
            return;
        };
        if noted {
            return;
        }
        assert!(attempt < 5, "none was asked to end");
    }
}

/// Whether an orphan noted that it was asked to end, if there are containers.
fn orphans_are_asked() -> Option<bool> {
    let mut container = Container::with(
        &format!(
            "{SOCKET}[program.strays]\ncommand=$ZOO strays strays 300\nautostart=true\nstartsecs=0\n\
             [program.nest]\ncommand=/bin/sh -c 'setsid $ZOO catch egg TERM & exec sleep 1000'\n\
             autostart=true\nstartsecs=0\n"
        ),
        "--container",
    )?;
    container.sandbox.wait_mark("strays", "said");
    container.sandbox.wait_mark("egg", "ready");
    wait::for_condition("all strays to be collected", || {
        let zombies = proc::zombies_of(container.init);
        zombies.is_empty() && container.sandbox.count_marks("strays", "said") == 1
    });
    container.signal(Signal::SIGTERM);
    assert_eq!(container.wait_exit(), Some(0));
    let killed = "killing orphans that did not end";
    let noted = container.sandbox.count_marks("egg", "got-TERM") == 1;
    assert!(noted || container.sandbox.read("stderr").contains(killed));
    Some(noted)
}

#[test]
fn a_container_is_over_in_time_though_a_program_is_deaf() {
    let Some(mut container) = Container::with(
        &format!(
            "[taskmasterd]\nshutdown_timeout=1\n{SOCKET}[program.deaf]\n\
             command=$ZOO ignore deaf TERM\nautostart=true\nstartsecs=0\nstopwaitsecs=3600\n"
        ),
        "--container",
    ) else {
        return;
    };
    container.sandbox.wait_mark("deaf", "ready");
    container.signal(Signal::SIGTERM);
    assert_eq!(container.wait_exit(), Some(0));
    container.wait_shown("stderr", "the shutdown has reached shutdown_timeout");
}

#[test]
fn a_vital_program_that_fails_is_the_containers_end() {
    let Some(mut container) = Container::with(
        &format!(
            "{SOCKET}[program.web]\ncommand=$ZOO exit-after web 0.1 3\nautorestart=false\n\
             startsecs=0\nautostart=true\nessential=true\n\
             [program.side]\ncommand=$ZOO catch side TERM\nautostart=true\nstartsecs=0\n"
        ),
        "--container",
    ) else {
        return;
    };
    assert_eq!(container.wait_exit(), Some(3));
    let stderr = container.sandbox.read("stderr");
    assert!(stderr.contains("web has ended (exit status 3)"), "{stderr}");
    // At warn, on the standard error, and nowhere else.
    assert!(!stderr.contains("INFO"), "{stderr}");
    assert_eq!(container.sandbox.read("stdout"), "");
}

#[test]
fn a_log_that_is_a_standard_stream_is_told_once() {
    let Some(mut container) = Container::with(
        &format!(
            "[taskmasterd]\nlogfile=/dev/stdout\nlogfile_maxbytes=0\n{SOCKET}\
             [program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n"
        ),
        "--container --loglevel info",
    ) else {
        return;
    };
    container.wait_shown("stdout", "spawned: 'web'");
    container.signal(Signal::SIGTERM);
    assert_eq!(container.wait_exit(), Some(0));
    container.wait_shown("stdout", "stopped: web");
    assert_eq!(container.sandbox.read("stderr"), "");
}

#[test]
fn an_ordinary_user_on_a_read_only_tree_needs_nothing() {
    if !can_contain() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.set_mode("", 0o755);
    sandbox.write(
        "c.ini",
        "[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n",
    );
    let copy = sandbox.copied_as("taskmaster");
    // Everything is read-only but /dev/shm, as in a container that was started so.
    let read_only = "mount --make-rprivate /\nmount -o bind,ro $DIR $DIR\n\
                     mkdir -p /dev/shm\nmount -t tmpfs -o mode=1777 tmpfs /dev/shm\n\
                     mount -t tmpfs -o ro tmpfs /run\nmount --bind $DIR $DIR\nmount -o remount,bind,ro $DIR\n\
                     mount --bind /tmp /tmp\nmount -o remount,bind,ro /tmp\n";
    let words = format!(
        "setpriv --reuid 54321 --regid 54321 --clear-groups --bounding-set -all \
         {} daemon -c $DIR/c.ini --container --loglevel info",
        copy.display()
    );
    let mut container = Container::start(sandbox, read_only, &words);
    container.wait_shown("stderr", "spawned: 'web'");
    // The console comes to the same socket, in memory.
    let mut command = container.sandbox.command("nsenter");
    command
        .args(["--mount", "--pid", "--target", &container.init.to_string()])
        .args([
            "setpriv",
            "--reuid",
            "54321",
            "--regid",
            "54321",
            "--clear-groups",
        ])
        .arg(&copy)
        .args(["ctl", "-c"])
        .arg(container.sandbox.path("c.ini"))
        .args(["status", "web"]);
    container.sandbox.finish(command, "").begins(0, "web ");
    container.signal(Signal::SIGTERM);
    assert_eq!(container.wait_exit(), Some(0));
}

#[test]
fn without_a_socket_nothing_is_written() {
    let Some(mut container) = Container::with(
        &format!("{SOCKET}[program.web]\ncommand=$ZOO mark web\nautostart=true\nstartsecs=0\n"),
        "--container --no-socket --loglevel info",
    ) else {
        return;
    };
    container.sandbox.wait_mark("web", "start");
    container.wait_shown("stderr", "entered RUNNING");
    let run = std::fs::read_dir(container.sandbox.path("run")).unwrap();
    assert_eq!(run.count(), 0, "files by which it would be found");
    container.ctl("status").mentions("no such file");
    container.signal(Signal::SIGHUP);
    container.wait_shown("stderr", "received SIGHUP");
    container.signal(Signal::SIGUSR2);
    container.wait_shown("stderr", "received SIGUSR2");
    container.signal(Signal::SIGTERM);
    assert_eq!(container.wait_exit(), Some(0));
}
