//! One of the two: a supervisor with its console in a sandbox of its own.

use super::mask;
use crate::harness::{Daemon, Said, Sandbox, wait};
use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

/// What both files begin with.
const HEADER: &str = "\
[unix_http_server]
file=$DIR/run/tm.sock
[supervisorctl]
serverurl=unix://$DIR/run/tm.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[supervisord]
logfile=$DIR/log/taskmaster.log
childlogdir=$DIR/log/child
pidfile=$DIR/run/supervisord.pid
loglevel=info
";

/// A supervisor at work.
pub enum Rig {
    /// Ours, called by Supervisor's names.
    Ours(Daemon),
    /// The real one.
    Real {
        /// Where it lives.
        sandbox: Sandbox,
        /// Its console.
        console: RefCell<Player>,
        /// Its daemon.
        child: Child,
    },
}

/// The text of a configuration file.
fn text(config: &str) -> String {
    format!("{HEADER}{config}")
}

impl Rig {
    /// Starts ours.
    pub fn ours(config: &str) -> Self {
        let sandbox = Sandbox::new();
        fs::create_dir(sandbox.path("log/child")).unwrap();
        let builder = Daemon::builder().bare().called_as("supervisord");
        Self::Ours(builder.config(&text(config)).start_in(sandbox))
    }

    /// Starts the real one.
    pub fn real(bin: &Path, config: &str) -> Self {
        let sandbox = Sandbox::new();
        fs::create_dir(sandbox.path("log/child")).unwrap();
        sandbox.write("tm.ini", &text(config));
        let mut command = sandbox.command(bin.join("supervisord"));
        command
            .arg("-n")
            .arg("-c")
            .arg(sandbox.config_path())
            .stdin(Stdio::null())
            .stdout(File::create(sandbox.path("stdout")).unwrap())
            .stderr(File::create(sandbox.path("stderr")).unwrap());
        let child = command.spawn().unwrap();
        let rig = Self::Real {
            console: RefCell::new(Player::start(&sandbox, bin)),
            sandbox,
            child,
        };
        wait::for_condition("the real Supervisor to serve", || rig.ask("pid").code == 0);
        rig
    }

    /// Where it lives.
    pub fn sandbox(&self) -> &Sandbox {
        match self {
            Self::Ours(daemon) => &daemon.sandbox,
            Self::Real { sandbox, .. } => sandbox,
        }
    }

    /// Runs a console command.
    pub fn ask(&self, words: &str) -> Said {
        let sandbox = self.sandbox();
        let words = sandbox.expand(words);
        let words = format!("-c {} {words}", sandbox.config_path().display());
        match self {
            Self::Ours(_) => sandbox.run(sandbox.called_as("supervisorctl"), &words),
            Self::Real { console, .. } => console.borrow_mut().run(&words),
        }
    }

    /// Runs a console command and masks what it said on its standard output.
    pub fn play(&self, words: &str) -> Said {
        let mut said = self.ask(words);
        said.stdout = mask::mask(&said.stdout, &self.sandbox().tag());
        said
    }

    /// Replaces the configuration.
    pub fn edit(&self, config: &str) {
        self.sandbox().write("tm.ini", &text(config));
    }

    /// Waits until a process is in a state.
    pub fn settle(&self, name: &str, state: &str) {
        wait::for_condition(format!("{name} to be {state}"), || {
            let said = self.ask(&format!("status {name}"));
            said.stdout.split_whitespace().nth(1) == Some(state)
        });
    }

    /// The sentences of the daemon's log: level and text, without the time, masked.
    pub fn sentences(&self) -> Vec<String> {
        self.sandbox()
            .read("log/taskmaster.log")
            .lines()
            .filter_map(|line| line.splitn(3, ' ').nth(2))
            .map(|line| mask::mask(line, &self.sandbox().tag()))
            .collect()
    }

    /// Waits until it has ended, as it was told to, and returns its exit code.
    pub fn wait_exit(&mut self) -> Option<i32> {
        match self {
            Self::Ours(daemon) => Some(daemon.wait_exit()),
            Self::Real { child, .. } => {
                let status = wait::until("the real one to end", || child.try_wait().unwrap());
                status.code()
            }
        }
    }
}

/// The real console, command after command in one process.
pub struct Player {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Player {
    fn start(sandbox: &Sandbox, bin: &Path) -> Self {
        let mut command = sandbox.command(bin.join("python"));
        let mut child = command
            .args(["-c", include_str!("console.py")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            input: child.stdin.take().unwrap(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    fn run(&mut self, words: &str) -> Said {
        writeln!(self.input, "{words}").unwrap();
        let mut head = String::new();
        self.output.read_line(&mut head).unwrap();
        let (code, length) = head.trim().split_once(' ').unwrap();
        let mut stdout = vec![0; length.parse().unwrap()];
        self.output.read_exact(&mut stdout).unwrap();
        Said {
            command: format!("supervisorctl {words}"),
            code: code.parse().unwrap(),
            stdout: String::from_utf8(stdout).unwrap(),
            stderr: String::new(),
        }
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
