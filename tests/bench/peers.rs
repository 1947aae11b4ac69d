//! Other supervisors, measured where they are installed. None is required.
//!
//! Each keeps the same programs, `sleep 1000`, restarts them without a pause and, where it can, keeps their output in
//! one file a program.

mod dinit;
mod s6;
mod supervisor;

use crate::harness::{Sandbox, wait};
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Between two questions whether all programs run, each of which takes some milliseconds.
const PAUSE: Duration = Duration::from_millis(2);

/// A supervisor.
pub trait Peer {
    /// Its column in the table.
    fn name(&self) -> &'static str;
    /// Writes down what it needs to keep `count` copies of a program, which is to be called by these words.
    fn prepare(&self, sandbox: &Sandbox, count: usize, program: &str);
    /// What starts it in the foreground.
    fn start(&self, sandbox: &Sandbox) -> Command;
    /// Whether all of so many programs run. To look for them in `/proc` would keep the supervisor from starting them.
    fn is_up(&self, sandbox: &Sandbox, count: usize) -> bool;
    /// What shows all programs.
    fn status(&self, sandbox: &Sandbox) -> Command;
    /// What shows the first one.
    fn status_of_one(&self, sandbox: &Sandbox) -> Command;
    /// What stops all programs and returns when they are.
    fn stop_all(&self, sandbox: &Sandbox) -> Command;
    /// What ends it together with all programs.
    fn shut_down(&self, sandbox: &Sandbox) -> Command;
}

/// Those that are here.
pub fn installed() -> Vec<Box<dyn Peer>> {
    let mut found: Vec<Box<dyn Peer>> = Vec::new();
    if on_path("dinit") && on_path("dinitctl") {
        found.push(Box::new(dinit::Dinit));
    }
    if [
        "s6-svscan",
        "s6-supervise",
        "s6-svc",
        "s6-svstat",
        "s6-svwait",
        "s6-log",
    ]
    .iter()
    .all(|name| on_path(name))
    {
        found.push(Box::new(s6::S6));
    }
    if on_path("supervisord") && on_path("supervisorctl") {
        found.push(Box::new(supervisor::Supervisor));
    }
    found
}

/// Where a program is; its bare name when it is nowhere.
fn find(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|file| file.is_file())
        .unwrap_or_else(|| name.into())
}

fn on_path(name: &str) -> bool {
    find(name).is_absolute()
}

/// A supervisor that runs.
pub struct Running<'p> {
    /// Which.
    pub peer: &'p dyn Peer,
    /// Where.
    pub sandbox: Sandbox,
    /// Its process.
    pub process: Child,
}

impl<'p> Running<'p> {
    /// Prepares it; it does not run yet.
    pub fn prepare(peer: &'p dyn Peer, count: usize, program: &str) -> Sandbox {
        let sandbox = Sandbox::new();
        peer.prepare(&sandbox, count, program);
        sandbox
    }

    /// Starts it in a sandbox that was prepared for it.
    pub fn start(peer: &'p dyn Peer, sandbox: Sandbox) -> Self {
        let process = quiet(peer.start(&sandbox)).spawn().unwrap();
        Self {
            peer,
            sandbox,
            process,
        }
    }

    /// Waits until so many programs run.
    pub fn wait_up(&self, count: usize) {
        wait::every(PAUSE, format!("{count} programs"), || {
            self.peer.is_up(&self.sandbox, count).then_some(())
        });
    }

    /// Ends it.
    pub fn end(mut self) {
        quiet(self.peer.shut_down(&self.sandbox)).status().unwrap();
        self.process.wait().unwrap();
    }
}

/// A command whose output nobody wants.
pub fn quiet(mut command: Command) -> Command {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// Every process below another.
pub fn descendants(root: u32) -> Vec<u32> {
    let mut all = Vec::new();
    let mut unseen = vec![root];
    while let Some(pid) = unseen.pop() {
        let children = children(pid);
        unseen.extend(&children);
        all.extend(children);
    }
    all
}

/// The children of a process.
fn children(pid: u32) -> Vec<u32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    tasks
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok())
        .flat_map(|list| {
            let pids = list.split_whitespace().map(str::parse);
            pids.filter_map(Result::ok).collect::<Vec<u32>>()
        })
        .collect()
}
