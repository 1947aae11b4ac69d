//! The checks with which every test of the catalogue ends: the harness's bell, and that nothing has grown or is left.

use crate::harness::{Daemon, Sandbox, proc, wait};
use crate::init::Container;
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::fs;
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::sync::OnceLock;
use std::time::Instant;

/// What memory may have grown by. Code that runs for the first time touches pages that were not there before.
const GROWTH_KIB: u64 = 16 * 1024;

/// A daemon that a fault is about to meet.
pub struct Scene {
    daemon: Daemon,
    resident_kib: u64,
    known: &'static [&'static str],
}

impl Scene {
    /// Starts a daemon with this configuration.
    #[track_caller]
    pub fn with(config: &str) -> Self {
        Self::of(Daemon::with(config))
    }

    /// Takes over a daemon that has just been started.
    #[track_caller]
    pub fn of(daemon: Daemon) -> Self {
        daemon.rows();
        let resident_kib = proc::resident_kib(daemon.process());
        Self {
            daemon,
            resident_kib,
            known: &[],
        }
    }

    /// What the daemon has open by right in this scene, each once, where `$DIR` is the sandbox.
    pub fn knowing(mut self, known: &'static [&'static str]) -> Self {
        self.known = known;
        self
    }

    /// The closing checks. Stops every program and then the daemon.
    #[track_caller]
    pub fn close(self) {
        let Self {
            mut daemon,
            resident_kib,
            known,
        } = self;
        daemon.ctl("stop all").code(0);
        daemon.bell();
        no_extra_descriptors(daemon.process(), &daemon.sandbox, known);
        let grown = proc::resident_kib(daemon.process()).saturating_sub(resident_kib);
        assert!(grown < GROWTH_KIB, "{grown} KiB more than at the beginning");
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.wait_exit(), 0, "exit code of the daemon");
        daemon.nothing_left();
        nothing_temporary(&daemon.sandbox);
        let log = daemon.sandbox.read("log/taskmaster.log");
        assert!(!log.contains("bug:"), "a defect was told at the end");
    }
}

impl Deref for Scene {
    type Target = Daemon;

    fn deref(&self) -> &Daemon {
        &self.daemon
    }
}

impl DerefMut for Scene {
    fn deref_mut(&mut self) -> &mut Daemon {
        &mut self.daemon
    }
}

/// The closing checks of a daemon that is process 1 of a namespace. Its log is on its standard error.
#[track_caller]
pub fn of_container(mut container: Container) {
    container.ctl("stop all").code(0);
    wait::for_condition("no zombies", || proc::zombies_of(container.init).is_empty());
    no_extra_descriptors(container.init, &container.sandbox, &[]);
    container.signal(Signal::SIGTERM);
    assert_eq!(container.wait_exit(), Some(0));
    nothing_of(&container.sandbox);
}

/// The closing checks where the daemon refused to start, or has ended otherwise.
#[track_caller]
pub fn nothing_of(sandbox: &Sandbox) {
    wait::for_condition("all processes to be gone", || {
        proc::tagged(&sandbox.tag()).is_empty()
    });
    nothing_temporary(sandbox);
    for name in ["stdout", "stderr", "log/taskmaster.log"] {
        let text = sandbox.read(name);
        assert!(
            !text.contains("bug:") && !text.contains("panicked"),
            "{text}"
        );
    }
}

/// Demands that the runtime directory is empty and that no file anywhere was meant to be there for a moment only.
#[track_caller]
fn nothing_temporary(sandbox: &Sandbox) {
    fn walk(directory: &Path, found: &mut Vec<String>) {
        let Ok(entries) = fs::read_dir(directory) else {
            return;
        };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let passing = [".new", ".tmp", "~", ".swp"];
            if name.starts_with('.') || passing.iter().any(|end| name.ends_with(end)) {
                found.push(entry.path().display().to_string());
            }
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                walk(&entry.path(), found);
            }
        }
    }
    let mut found = Vec::new();
    walk(sandbox.dir(), &mut found);
    for entry in fs::read_dir(sandbox.path("run")).into_iter().flatten() {
        found.push(entry.unwrap().path().display().to_string());
    }
    assert_eq!(found, Vec::<String>::new(), "left behind");
}

/// Demands that a daemon whose programs are all stopped has no descriptor of a kind that a fresh one does not have.
#[track_caller]
fn no_extra_descriptors(process: i32, sandbox: &Sandbox, known: &[&str]) {
    let deadline = Instant::now() + wait::patience();
    loop {
        let extra: Vec<String> = kinds(process, &sandbox.tag())
            .into_iter()
            .filter(|(kind, count)| {
                let by_right = usize::from(known.contains(&kind.as_str()));
                *count > fresh().get(kind).copied().unwrap_or(0) + by_right
            })
            .map(|(kind, count)| format!("{count} x {kind}"))
            .collect();
        if extra.is_empty() {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "descriptors that a fresh daemon does not have: {extra:?}"
        );
        std::thread::yield_now();
    }
}

/// The descriptors above 2 of a daemon whose only program has run and was stopped.
fn fresh() -> &'static BTreeMap<String, usize> {
    static FRESH: OnceLock<BTreeMap<String, usize>> = OnceLock::new();
    FRESH.get_or_init(|| {
        let daemon =
            Daemon::with("[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n");
        daemon.wait_state("web", "RUNNING");
        daemon.ctl("stop web").code(0);
        daemon.rest();
        let kinds = kinds(daemon.process(), &daemon.sandbox.tag());
        daemon.close();
        kinds
    })
}

/// What the descriptors above 2 lead to, and how many lead there. Numbers of pipes and sockets are left out.
fn kinds(process: i32, tag: &str) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    let entries = fs::read_dir(format!("/proc/{process}/fd")).unwrap();
    for entry in entries.flatten() {
        let number: i32 = entry.file_name().to_string_lossy().parse().unwrap();
        let Ok(target) = fs::read_link(entry.path()) else {
            continue;
        };
        if number > 2 {
            let target = target
                .to_string_lossy()
                .replace(tag, "$DIR")
                .replace(&format!("/proc/{process}/"), "/proc/self/")
                .replace("/proc/1/", "/proc/self/");
            let kind = target.split(":[").next().unwrap_or_default().to_owned();
            *kinds.entry(kind).or_insert(0) += 1;
        }
    }
    kinds
}
