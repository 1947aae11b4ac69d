//! A kernel small enough to be mean: pids from 2 to 40, given out again the moment they are free, process groups whose
//! members outlive their leader, children that ignore signals, stop themselves, hang, or do not die of KILL at once.
//!
//! It keeps its own books of who belongs to whom. The checks believe these, never the engine.

use super::fate::{Fate, Swarm};
use super::rng::Rng;
use crate::config::model::ProcessSettings;
use crate::engine::action::Scope;
use crate::engine::event::{SpawnFailure, SpawnStep};
use crate::types::{ExitStatus, Generation, Monotonic, Pid, ProcessKey, Signal};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A process in the books.
#[derive(Debug, Clone)]
pub struct Task {
    /// Never used twice, unlike the pid.
    pub uid: u64,
    /// Its pid.
    pub pid: Pid,
    /// Its process group.
    pub group: Option<Pid>,
    /// The process of ours that it belongs to; `None` for a stranger.
    pub owner: Option<(ProcessKey, Generation)>,
    /// What it was spawned with.
    pub settings: Option<Arc<ProcessSettings>>,
    /// Whether it is what was spawned, rather than a descendant.
    pub leader: bool,
    /// Whether its program runs.
    pub executed: bool,
    /// How it ended; it is a zombie then.
    pub ended: Option<ExitStatus>,
    /// Why it never ran its program.
    pub failure: Option<SpawnFailure>,
    fate: Fate,
    stopped: bool,
    pending: Option<Signal>,
    dying: bool,
}

impl Task {
    /// Whether it has ended or cannot but end.
    pub fn is_doomed(&self) -> bool {
        self.ended.is_some() || self.dying
    }

    /// Whether it sleeps until CONT.
    pub fn is_stopped(&self) -> bool {
        self.stopped && !self.is_doomed()
    }
}

/// Something that will happen to a process.
#[derive(Debug, Clone)]
enum Doom {
    Exec,
    End(ExitStatus),
}

/// What the kernel tells the daemon.
#[derive(Debug, Clone)]
pub enum Notice {
    /// A child runs its program.
    Executed(Task),
    /// A child of the daemon has ended.
    Exited(Task),
}

/// The kernel.
#[derive(Debug)]
pub struct Kernel {
    tasks: BTreeMap<Pid, Task>,
    agenda: BTreeMap<(Monotonic, u64), (u64, Doom)>,
    /// When the last process of each spawn left the books.
    left_at: BTreeMap<(ProcessKey, Generation), Monotonic>,
    now: Monotonic,
    counter: u64,
    init: bool,
}

const FIRST_PID: i32 = 2;
const LAST_PID: i32 = 40;

impl Kernel {
    /// No processes. `init` says whether orphans become the daemon's children.
    pub fn new(init: bool) -> Self {
        Self {
            tasks: BTreeMap::new(),
            agenda: BTreeMap::new(),
            left_at: BTreeMap::new(),
            now: Monotonic::default(),
            counter: 0,
            init,
        }
    }

    /// All processes, zombies included.
    pub fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.tasks.values()
    }

    /// One process.
    pub fn task(&self, pid: Pid) -> Option<&Task> {
        self.tasks.get(&pid)
    }

    /// The process that was spawned for `key` and is not reaped.
    pub fn leader(&self, key: &ProcessKey) -> Option<&Task> {
        self.tasks()
            .find(|task| task.leader && task.owner.as_ref().is_some_and(|(owner, _)| owner == key))
    }

    /// Whether a process group has a member.
    pub fn group_exists(&self, group: Pid) -> bool {
        self.tasks().any(|task| task.group == Some(group))
    }

    /// When something will happen.
    pub fn next(&self) -> Option<Monotonic> {
        self.agenda.keys().next().map(|(at, _)| *at)
    }

    fn plan(&mut self, at: Monotonic, uid: u64, doom: Doom) {
        self.counter += 1;
        self.agenda.insert((at, self.counter), (uid, doom));
    }

    fn free_pid(&self) -> Option<Pid> {
        (FIRST_PID..=LAST_PID)
            .filter_map(Pid::new)
            .find(|pid| !self.tasks.contains_key(pid) && !self.group_exists(*pid))
    }

    fn enlist(
        &mut self,
        owner: Option<(ProcessKey, Generation)>,
        group: Option<Pid>,
        fate: Fate,
    ) -> Option<Task> {
        let pid = self.free_pid()?;
        self.counter += 1;
        let task = Task {
            uid: self.counter,
            pid,
            group,
            owner,
            settings: None,
            leader: false,
            executed: true,
            ended: None,
            failure: None,
            fate,
            stopped: false,
            pending: None,
            dying: false,
        };
        self.tasks.insert(pid, task.clone());
        Some(task)
    }

    /// Makes a process for the daemon.
    pub fn spawn(
        &mut self,
        now: Monotonic,
        settings: &Arc<ProcessSettings>,
        generation: Generation,
        fate: Fate,
    ) -> Result<Task, SpawnFailure> {
        if let Some(failure) = fate.no_process {
            return Err(failure);
        }
        let (exec_after, early) = (fate.exec_after, fate.group_early);
        let full = SpawnFailure {
            step: SpawnStep::Fork,
            subject: String::new(),
            errno: 11,
        };
        let task = self
            .enlist(Some((settings.key.clone(), generation)), None, fate)
            .ok_or(full)?;
        let entry = self.tasks.get_mut(&task.pid).unwrap();
        entry.leader = true;
        entry.settings = Some(Arc::clone(settings));
        entry.executed = false;
        entry.group = early.then_some(task.pid);
        let task = entry.clone();
        self.plan(now.after(exec_after), task.uid, Doom::Exec);
        Ok(task)
    }

    /// A stranger ends and is handed to the daemon.
    pub fn orphan(&mut self, rng: &mut Rng) -> Option<Task> {
        let healthy = Swarm::draw(rng).healthy();
        let fate = Fate::draw(rng, healthy, Duration::ZERO, Duration::ZERO);
        let pid = self.enlist(None, None, fate)?.pid;
        let task = self.tasks.get_mut(&pid)?;
        task.ended = Some(ExitStatus::Code(0));
        Some(task.clone())
    }

    /// Lets everything happen that is to happen by `now`.
    pub fn run(&mut self, now: Monotonic) -> Vec<Notice> {
        let mut notices = Vec::new();
        self.now = now;
        while let Some((&(at, seq), _)) = self.agenda.first_key_value()
            && at <= now
        {
            if let Some((uid, doom)) = self.agenda.remove(&(at, seq))
                && let Some(pid) = self.pid_of(uid)
            {
                match doom {
                    Doom::Exec => self.exec(at, pid, &mut notices),
                    Doom::End(status) => self.end(pid, status, &mut notices),
                }
            }
        }
        notices
    }

    fn pid_of(&self, uid: u64) -> Option<Pid> {
        self.tasks()
            .find(|task| task.uid == uid && task.ended.is_none())
            .map(|task| task.pid)
    }

    fn exec(&mut self, now: Monotonic, pid: Pid, notices: &mut Vec<Notice>) {
        let task = self.tasks.get_mut(&pid).unwrap();
        // Signals were blocked until now.
        if let Some(signal) = task.pending.take() {
            return self.end(pid, killed_by(signal), notices);
        }
        if let Some(failure) = task.fate.no_program.clone() {
            task.failure = Some(failure);
            return self.end(pid, ExitStatus::Code(127), notices);
        }
        task.executed = true;
        task.group = Some(pid);
        task.stopped = task.fate.sleepy;
        let task = task.clone();
        notices.push(Notice::Executed(task.clone()));
        if let Some((after, status)) = task.fate.ends
            && !task.stopped
        {
            self.plan(now.after(after), task.uid, Doom::End(status));
        }
        for (in_group, dying) in task.fate.family.clone() {
            let fate = Fate {
                dying,
                family: Vec::new(),
                obeys: None,
                ..task.fate.clone()
            };
            if let Some(child) = self.enlist(task.owner.clone(), None, fate)
                && let Some(entry) = self.tasks.get_mut(&child.pid)
            {
                entry.group = Some(if in_group { pid } else { child.pid });
                // Nobody lives for ever, or the pids would run out.
                let life = now.after(Duration::from_secs(3 + child.uid % 17));
                self.plan(life, child.uid, Doom::End(ExitStatus::Code(0)));
            }
        }
    }

    fn end(&mut self, pid: Pid, status: ExitStatus, notices: &mut Vec<Notice>) {
        let task = self.tasks.get_mut(&pid).unwrap();
        task.ended = Some(status);
        let task = task.clone();
        // A descendant's parent reaps it, or process 1 of the machine; only if that is the daemon does it hear of it.
        let parent_lives = task.owner.as_ref().is_some_and(|(key, generation)| {
            self.tasks().any(|other| {
                other.leader
                    && other.ended.is_none()
                    && other.owner.as_ref() == Some(&(key.clone(), *generation))
            })
        });
        if task.leader || (self.init && !parent_lives) {
            notices.push(Notice::Exited(task));
        } else {
            self.remove(pid);
        }
    }

    /// Somebody else reaps everything that has ended.
    pub fn collect_all(&mut self, now: Monotonic) {
        self.now = now;
        let ended: Vec<Pid> = self
            .tasks()
            .filter(|task| task.ended.is_some())
            .map(|task| task.pid)
            .collect();
        for pid in ended {
            self.remove(pid);
        }
    }

    fn remove(&mut self, pid: Pid) {
        if let Some(task) = self.tasks.remove(&pid)
            && let Some(owner) = task.owner
        {
            self.left_at.insert(owner, self.now);
        }
    }

    /// When the last member of a spawn's process group left the books, if all have.
    pub fn all_left_at(&self, owner: &(ProcessKey, Generation)) -> Option<Monotonic> {
        let any = self
            .tasks()
            .filter(|task| task.owner.as_ref() == Some(owner))
            .any(|task| task.leader || task.group != Some(task.pid));
        self.left_at.get(owner).copied().filter(|_| !any)
    }

    /// Delivers a signal, and lets happen what it causes at once.
    pub fn kill(&mut self, now: Monotonic, pid: Pid, scope: Scope, signal: Signal) -> Vec<Notice> {
        let targets: Vec<_> = self
            .tasks()
            .filter(|task| match scope {
                Scope::Leader => task.pid == pid,
                Scope::Group => task.group == Some(pid),
            })
            .map(|task| task.pid)
            .collect();
        for target in targets {
            self.deliver(now, target, signal);
        }
        self.run(now)
    }

    fn deliver(&mut self, now: Monotonic, pid: Pid, signal: Signal) {
        let task = self.tasks.get_mut(&pid).unwrap();
        if task.ended.is_some() || task.dying {
            return;
        }
        let uid = task.uid;
        if signal == Signal::KILL {
            task.dying = true;
            let at = now.after(task.fate.dying);
            self.plan(at, uid, Doom::End(killed_by(signal)));
        } else if signal == Signal::CONT {
            let awake = std::mem::take(&mut task.stopped);
            if awake {
                if let Some(pending) = task.pending.take() {
                    return self.deliver(now, pid, pending);
                }
                if let Some((after, status)) = task.fate.ends {
                    self.plan(now.after(after), uid, Doom::End(status));
                }
            }
        } else if task.stopped || !task.executed {
            task.pending = Some(signal);
        } else if signal == Signal::HUP {
            if task.fate.fears_hangup {
                self.plan(now, uid, Doom::End(killed_by(signal)));
            }
        } else if let Some(after) = task.fate.obeys {
            self.plan(now.after(after), uid, Doom::End(ExitStatus::Code(0)));
        }
    }

    /// The daemon takes the status of a zombie. Says why that is wrong, if it is.
    pub fn reap(&mut self, now: Monotonic, pid: Pid) -> Result<(), String> {
        self.now = now;
        match self.tasks.get(&pid) {
            Some(task) if task.ended.is_some() => {
                self.remove(pid);
                Ok(())
            }
            Some(task) => Err(format!("{pid} is reaped and still lives: {task:?}")),
            None => Err(format!("{pid} is reaped and does not exist")),
        }
    }
}

fn killed_by(signal: Signal) -> ExitStatus {
    ExitStatus::Signaled {
        signal,
        core_dumped: false,
    }
}
