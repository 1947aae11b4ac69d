//! A real daemon in a sandbox.

use super::client::Client;
use super::console::{Said, Words};
use super::{Sandbox, proc, wait};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::cell::Cell;
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use taskmaster::wire::{Request, Response, StatusRow};

/// How long a daemon that does nothing is watched before it counts as being at rest: longer than it waits itself until it
/// lets go of what it needed.
const REST: Duration = Duration::from_millis(300);

/// What to start and how.
#[derive(Clone)]
pub struct Builder {
    config: String,
    daemon_keys: String,
    console_keys: String,
    header: Header,
    called_as: Option<&'static str>,
    args: Vec<String>,
    env: Vec<(String, String)>,
    via: Vec<String>,
    foreground: bool,
    pidfile: bool,
}

#[derive(Clone, Copy)]
enum Header {
    Native,
    Supervisor,
    None,
}

impl Builder {
    /// Text of the configuration, after the header that keeps everything inside the sandbox.
    pub fn config(mut self, text: &str) -> Self {
        text.clone_into(&mut self.config);
        self
    }

    /// Lines for the daemon's own section.
    pub fn daemon_keys(mut self, lines: &str) -> Self {
        lines.clone_into(&mut self.daemon_keys);
        self
    }

    /// Lines for the console's section.
    pub fn console_keys(mut self, lines: &str) -> Self {
        lines.clone_into(&mut self.console_keys);
        self
    }

    /// The header is that of a file of Supervisor's, and so is the name the executable is called by.
    pub fn supervisor(mut self) -> Self {
        self.header = Header::Supervisor;
        self.called_as("supervisord")
    }

    /// No header.
    pub fn bare(mut self) -> Self {
        self.header = Header::None;
        self
    }

    /// Calls the executable by this name instead of `taskmaster daemon`.
    pub fn called_as(mut self, name: &'static str) -> Self {
        self.called_as = Some(name);
        self
    }

    /// One more word on the daemon's command line.
    pub fn arg(mut self, word: &str) -> Self {
        self.args.push(word.to_owned());
        self
    }

    /// A variable of the daemon's environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A command that executes the daemon's, which follows its words.
    pub fn via(mut self, words: &[&str]) -> Self {
        self.via = words.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Lets the daemon go to the background. Its pid file is `run/tm.pid`.
    pub fn background(mut self) -> Self {
        self.foreground = false;
        self.pidfile()
    }

    /// Asks for a pid file, `run/tm.pid`.
    pub fn pidfile(mut self) -> Self {
        self.pidfile = true;
        self
    }

    /// Starts it in a new sandbox and waits until it serves.
    #[track_caller]
    pub fn start(self) -> Daemon {
        self.start_in(Sandbox::new())
    }

    /// Starts it in this sandbox and waits until it serves.
    #[track_caller]
    pub fn start_in(self, sandbox: Sandbox) -> Daemon {
        self.write_config(&sandbox);
        let mut daemon = Daemon {
            sandbox,
            builder: self,
            child: None,
            process: 0,
            baseline: Cell::new(None),
        };
        daemon.launch();
        daemon
    }

    /// Starts it in this sandbox, in the expectation that it ends by itself, and returns what it said.
    #[track_caller]
    pub fn fails_in(&self, sandbox: &Sandbox) -> Said {
        self.write_config(sandbox);
        sandbox.finish(self.command(sandbox), "")
    }

    /// Writes the configuration.
    pub fn write_config(&self, sandbox: &Sandbox) {
        sandbox.write("tm.ini", &self.text(&self.config));
    }

    fn text(&self, config: &str) -> String {
        let (keys, console) = (&self.daemon_keys, &self.console_keys);
        let header = match self.header {
            Header::Native => format!(
                "[taskmasterctl]\nserverurl=$DIR/run/tm.sock\n{console}\n\
                 [taskmasterd]\nlogfile=$DIR/log/taskmaster.log\nchildlogdir=$DIR/log/child\n{keys}\n"
            ),
            Header::Supervisor => format!(
                "[unix_http_server]\nfile=$DIR/run/tm.sock\n\
                 [supervisorctl]\nserverurl=unix://$DIR/run/tm.sock\n{console}\n\
                 [supervisord]\nlogfile=$DIR/log/taskmaster.log\nchildlogdir=$DIR/log/child\n\
                 pidfile=$DIR/run/supervisord.pid\n{keys}\n"
            ),
            Header::None => String::new(),
        };
        format!("{header}{config}")
    }

    /// The first line of the test's own text in the configuration file, counted from 1.
    pub fn first_line(&self) -> usize {
        self.text("").lines().count() + 1
    }

    /// The command that starts the daemon.
    pub fn command(&self, sandbox: &Sandbox) -> Command {
        let mut words = self.via.clone();
        if let Some(name) = self.called_as {
            words.push(sandbox.called_as(name).display().to_string());
        } else {
            words.push(Sandbox::executable().display().to_string());
            words.push("daemon".to_owned());
        }
        if self.foreground {
            words.push("-n".to_owned());
        }
        words.push("-c".to_owned());
        words.push(sandbox.config_path().display().to_string());
        if self.pidfile {
            words.push("-j".to_owned());
            words.push(sandbox.path("run/tm.pid").display().to_string());
        }
        words.extend(self.args.iter().map(|word| sandbox.expand(word)));
        let mut command = sandbox.command(&words[0]);
        command.args(&words[1..]);
        for (name, value) in &self.env {
            command.env(name, sandbox.expand(value));
        }
        command
    }
}

/// A running daemon. Dropping it kills it and all it started.
pub struct Daemon {
    /// Where it lives.
    pub sandbox: Sandbox,
    builder: Builder,
    child: Option<Child>,
    process: i32,
    baseline: Cell<Option<usize>>,
}

impl Daemon {
    /// Describes one: native dialect, in the foreground.
    pub fn builder() -> Builder {
        Builder {
            config: String::new(),
            daemon_keys: String::new(),
            console_keys: String::new(),
            header: Header::Native,
            called_as: None,
            args: Vec::new(),
            env: Vec::new(),
            via: Vec::new(),
            foreground: true,
            pidfile: false,
        }
    }

    /// Starts one with this configuration.
    #[track_caller]
    pub fn with(config: &str) -> Self {
        Self::builder().config(config).start()
    }

    /// Starts the daemon (again) and waits until it serves.
    #[track_caller]
    pub fn launch(&mut self) {
        let mut command = self.builder.command(&self.sandbox);
        let line = self.sandbox.note(&command);
        if !self.builder.foreground {
            let said = self.sandbox.finish(command, "");
            said.is(0, "");
            // The launching command returns only when the daemon serves: no waiting here.
            let client = Client::connect(&self.sandbox.socket_path())
                .unwrap_or_else(|error| panic!("background daemon does not serve: {error}"));
            self.process = i32::try_from(client.hello.pid).unwrap();
            return;
        }
        let stream = |name| {
            File::options()
                .create(true)
                .append(true)
                .open(self.sandbox.path(name))
        };
        command
            .stdin(Stdio::null())
            .stdout(stream("stdout").unwrap())
            .stderr(stream("stderr").unwrap());
        let mut child = command.spawn().unwrap();
        self.process = i32::try_from(child.id()).unwrap();
        let path = self.sandbox.socket_path();
        let pid = child.id();
        let served = wait::closely(format!("service of: {line}"), || {
            if let Some(status) = child.try_wait().unwrap() {
                return Some(Err(status));
            }
            // A socket left by a killed daemon refuses; one of a daemon that is not ours tells another pid.
            let client = Client::connect(&path).ok()?;
            (client.hello.pid == pid).then_some(Ok(()))
        });
        if let Err(status) = served {
            panic!(
                "the daemon ended with {status}: {line}\n{}",
                self.sandbox.read("stderr")
            );
        }
        self.child = Some(child);
    }

    /// Process id of the daemon itself.
    pub fn process(&self) -> i32 {
        self.process
    }

    /// A new connection.
    #[track_caller]
    pub fn client(&self) -> Client {
        Client::connect(&self.sandbox.socket_path()).unwrap()
    }

    /// Runs a console action to its end.
    #[track_caller]
    pub fn ctl(&self, words: impl Words) -> Said {
        let command = self.console(words);
        self.sandbox.finish(command, "")
    }

    /// A console command for this daemon, not yet started.
    pub fn console(&self, words: impl Words) -> Command {
        let mut command = self.sandbox.command(Sandbox::executable());
        command
            .arg("ctl")
            .arg("-s")
            .arg(format!("unix://{}", self.sandbox.socket_path().display()))
            .args(words.words());
        command
    }

    /// States of all processes.
    #[track_caller]
    pub fn rows(&self) -> Vec<StatusRow> {
        self.try_rows()
            .unwrap_or_else(|error| panic!("no answer to a request for status: {error}"))
    }

    fn try_rows(&self) -> std::io::Result<Vec<StatusRow>> {
        let mut client = Client::connect(&self.sandbox.socket_path())?;
        match client.ask(Request::Status { targets: vec![] })? {
            Response::Status(reply) => Ok(reply.rows),
            other => Err(std::io::Error::other(format!("{other:?}"))),
        }
    }

    /// Names of all processes; `None` while the daemon does not answer, as during a reload.
    pub fn try_names(&self) -> Option<Vec<String>> {
        let rows = self.try_rows().ok()?;
        Some(rows.into_iter().map(|row| row.name).collect())
    }

    /// State of one process, which must exist.
    #[track_caller]
    pub fn row(&self, name: &str) -> StatusRow {
        self.rows()
            .into_iter()
            .find(|row| row.name == name)
            .unwrap_or_else(|| panic!("there is no process {name}"))
    }

    /// Name of the state of one process.
    #[track_caller]
    pub fn state(&self, name: &str) -> &'static str {
        self.row(name).state.name()
    }

    /// Pid of one process, which must have one.
    #[track_caller]
    pub fn pid(&self, name: &str) -> i32 {
        let row = self.row(name);
        let pid = row.pid.unwrap_or_else(|| panic!("no pid: {row:?}"));
        i32::try_from(pid).unwrap()
    }

    /// Waits until a process is in this state.
    #[track_caller]
    pub fn wait_state(&self, name: &str, state: &str) -> StatusRow {
        wait::until(format!("{name} to be {state}"), || {
            let row = self.row(name);
            (row.state.name() == state).then_some(row)
        })
    }

    /// Waits until the daemon's log holds this text.
    #[track_caller]
    pub fn wait_log(&self, text: &str) {
        wait::for_condition(format!("log line {text:?}"), || self.log().contains(text));
    }

    /// The daemon's log, with all that was written up to now.
    pub fn log(&self) -> String {
        // Lines go through a queue; a reading request goes through the same one, behind them.
        if let Ok(mut client) = Client::connect(&self.sandbox.socket_path()) {
            client.ask(Request::MainTail { bytes: 1 }).ok();
        }
        self.sandbox.read("log/taskmaster.log")
    }

    /// How often the log holds this text.
    pub fn count_log(&self, text: &str) -> usize {
        self.log().matches(text).count()
    }

    /// Path of a program's own AUTO log.
    pub fn child_log(&self, name: &str) -> PathBuf {
        self.sandbox.path("log/child").join(name)
    }

    /// Waits until a file holds exactly this text.
    #[track_caller]
    pub fn wait_content(&self, path: impl Into<PathBuf>, text: &str) {
        let path = self.sandbox.path(path.into());
        wait::for_condition(format!("{} to hold {text:?}", path.display()), || {
            fs::read(&path).is_ok_and(|bytes| bytes == text.as_bytes())
        });
    }

    /// Replaces the configuration, header kept.
    pub fn edit_config(&self, text: &str) {
        self.sandbox.write("tm.ini", &self.builder.text(text));
    }

    /// Sends the daemon a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.process), signal).unwrap();
    }

    /// Waits until the daemon has ended and returns its exit code, 128 and the number for a death by signal.
    #[track_caller]
    pub fn wait_exit(&mut self) -> i32 {
        let Some(mut child) = self.child.take() else {
            let process = self.process;
            wait::for_condition("the daemon to end", || !proc::is_alive(process));
            return 0;
        };
        let status = wait::until("the daemon to end", || child.try_wait().unwrap());
        status
            .code()
            .or_else(|| status.signal().map(|signal| 128 + signal))
            .unwrap()
    }

    /// Kills the daemon with KILL; its programs go on.
    #[track_caller]
    pub fn murder(&mut self) {
        self.signal(Signal::SIGKILL);
        assert_eq!(
            self.wait_exit(),
            if self.builder.foreground { 128 + 9 } else { 0 }
        );
    }

    /// Waits until the daemon has had nothing to do for a while, and returns its count of wake-ups.
    #[track_caller]
    pub fn rest(&self) -> u64 {
        let look = || (proc::wakeups(self.process), proc::descriptors(self.process));
        let mut seen = (look(), Instant::now());
        wait::until("the daemon to come to rest", || {
            let now = look();
            if now != seen.0 || !proc::is_asleep(self.process) {
                seen = (now, Instant::now());
            }
            (seen.1.elapsed() > REST).then_some(now.0)
        })
    }

    /// Remembers how many descriptors the daemon has open at rest; the closing bell compares.
    #[track_caller]
    pub fn note_descriptors(&self) {
        self.rest();
        self.baseline.set(Some(proc::descriptors(self.process)));
    }

    /// The closing bell: the daemon answers, has no zombies, leaks no descriptors and knows of no bug; then it shuts
    /// down with exit code 0 and nothing is left: no process, no socket, no pid file.
    #[track_caller]
    pub fn close(mut self) {
        self.bell();
        self.signal(Signal::SIGTERM);
        assert_eq!(self.wait_exit(), 0, "exit code of the daemon");
        self.nothing_left();
    }

    /// The first half of [`Daemon::close`].
    #[track_caller]
    pub fn bell(&self) {
        self.rows();
        wait::for_condition("no zombies", || proc::zombies_of(self.process).is_empty());
        if let Some(baseline) = self.baseline.get() {
            wait::for_condition(format!("descriptors to be {baseline} again"), || {
                proc::descriptors(self.process) == baseline
            });
        }
        let log = self.log();
        let bug = log.lines().find(|line| line.contains("bug:"));
        assert_eq!(bug, None, "the daemon reports a defect of its own");
        assert!(
            !self.sandbox.read("stderr").contains("panicked"),
            "the daemon panicked"
        );
    }

    /// Demands that nothing of an ended daemon is left.
    #[track_caller]
    pub fn nothing_left(&self) {
        // What was killed last may take the kernel a moment.
        wait::for_condition("all processes to be gone", || {
            proc::tagged(&self.sandbox.tag()).is_empty()
        });
        for name in ["run/tm.sock", "run/tm.pid", "run/supervisord.pid"] {
            let path = self.sandbox.path(name);
            assert!(
                fs::symlink_metadata(&path).is_err(),
                "{} is left behind",
                path.display()
            );
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The sandbox prints its report while the processes are still there to be seen, then kills them.
            return;
        }
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}
