//! The configuration file as the simulated operator edits it.

use super::rng::Rng;
use crate::config::model::{Autorestart, Config, ExitWhen, Policy};
use crate::engine::testing::{config, settings};
use crate::types::{GroupName, ProgramName, Signal};
use std::fmt;
use std::time::Duration;

/// A program's section.
#[derive(Debug, Clone)]
struct Program {
    name: &'static str,
    /// Copies; 0 when the section is not there.
    copies: u32,
    /// Whether it belongs to the group `site`.
    in_site: bool,
    policy: Policy,
    /// Changes with everything that needs a restart.
    version: u32,
}

/// The file.
#[derive(Debug, Clone)]
pub struct Draft {
    programs: Vec<Program>,
    site_priority: i32,
    /// When the daemon ends by itself.
    exit_when: ExitWhen,
    /// How long its end may take.
    shutdown_timeout: Option<Duration>,
    /// Changes the line numbers of all sections and nothing else.
    shift: u32,
}

/// One change of the file.
#[derive(Debug, Clone, Copy)]
pub enum Edit {
    /// Another number of copies; 0 removes the section.
    Copies(usize, u32),
    /// Another command.
    Version(usize),
    /// Another policy, drawn from this seed.
    Policy(usize, u64),
    /// Into the group or out of it.
    Move(usize),
    /// Another rank of the group.
    SitePriority(i32),
    /// A comment at the top of the file.
    Shift,
}

const NAMES: [&str; 3] = ["a", "b", "c"];

fn policy(rng: &mut Rng) -> Policy {
    let secs = |rng: &mut Rng, choices: &[u64]| Duration::from_secs(rng.one_of(choices));
    Policy {
        autostart: rng.chance(60),
        autorestart: rng.one_of(&[
            Autorestart::Never,
            Autorestart::Unexpected,
            Autorestart::Always,
            Autorestart::Always,
        ]),
        startsecs: secs(rng, &[0, 1, 1, 3]),
        startretries: rng.one_of(&[0, 1, 3]),
        exitcodes: rng.one_of(&[vec![0], vec![0, 2], vec![]]),
        stopsignal: rng.one_of(&[Signal::TERM, Signal::TERM, Signal::INT, Signal::KILL]),
        stopwaitsecs: secs(rng, &[0, 1, 3, 3]),
        priority: rng.one_of(&[1, 5, 999]),
        stopasgroup: rng.chance(30),
        killasgroup: rng.chance(30),
        essential: rng.chance(30),
    }
}

impl Draft {
    /// A file.
    pub fn draw(rng: &mut Rng) -> Self {
        Self {
            programs: NAMES
                .iter()
                .map(|name| Program {
                    name,
                    copies: u32::try_from(rng.below(4)).unwrap(),
                    in_site: rng.chance(30),
                    policy: policy(rng),
                    version: 0,
                })
                .collect(),
            site_priority: rng.one_of(&[1, 999]),
            exit_when: if rng.chance(12) {
                rng.one_of(&[
                    ExitWhen::EssentialFailed,
                    ExitWhen::EssentialExited,
                    ExitWhen::AllExited,
                ])
            } else {
                ExitWhen::Never
            },
            shutdown_timeout: rng
                .one_of(&[None, None, Some(0), Some(2), Some(20)])
                .map(Duration::from_secs),
            shift: 0,
        }
    }

    /// Changes the file.
    pub fn edit(&mut self, edit: Edit) {
        match edit {
            Edit::Copies(index, copies) => self.programs[index].copies = copies,
            Edit::Version(index) => self.programs[index].version += 1,
            Edit::Policy(index, seed) => {
                self.programs[index].policy = policy(&mut Rng::new(seed, "policy"));
            }
            Edit::Move(index) => {
                let program = &mut self.programs[index];
                program.in_site = !program.in_site;
            }
            Edit::SitePriority(priority) => self.site_priority = priority,
            Edit::Shift => self.shift += 1,
        }
    }

    /// A file that is a little simpler in one respect, for each respect in which it can be.
    pub fn simpler(&self) -> Vec<Self> {
        let mut all = Vec::new();
        let mut add = |change: &dyn Fn(&mut Self)| {
            let mut draft = self.clone();
            change(&mut draft);
            all.push(draft);
        };
        for (index, program) in self.programs.iter().enumerate() {
            for copies in 0..program.copies {
                add(&|draft| draft.programs[index].copies = copies);
            }
            if program.in_site {
                add(&|draft| draft.programs[index].in_site = false);
            }
        }
        if self.exit_when != ExitWhen::Never {
            add(&|draft| draft.exit_when = ExitWhen::Never);
        }
        if self.shutdown_timeout.is_some() {
            add(&|draft| draft.shutdown_timeout = None);
        }
        all
    }

    /// What the loader makes of the file.
    pub fn load(&self) -> Config {
        let mut processes = Vec::new();
        for program in &self.programs {
            for number in 0..program.copies {
                let name = match (program.in_site, program.copies) {
                    (true, 1) => format!("site:{}", program.name),
                    (true, _) => format!("site:{}:{number}", program.name),
                    (false, 1) => program.name.to_owned(),
                    (false, _) => format!("{}:{number}", program.name),
                };
                let mut process = settings(&name);
                process.program = ProgramName::new(program.name).unwrap();
                process.process_num = number;
                process.policy = program.policy.clone();
                process.launch.command = format!("/bin/{} {}", program.name, program.version);
                process.origin = format!("test.ini:{}", self.shift).into();
                processes.push(process);
            }
        }
        let mut loaded = config(processes);
        loaded.daemon.exit_when = self.exit_when;
        loaded.daemon.shutdown_timeout = self.shutdown_timeout;
        let site = GroupName::new("site").unwrap();
        for (name, group) in &mut loaded.groups {
            if *name == site {
                group.explicit = true;
                group.priority = self.site_priority;
            } else if let Some(process) = group.processes.values().next() {
                group.priority = process.policy.priority;
            }
        }
        loaded
    }
}

impl fmt::Display for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "file: exit_when={:?} shutdown_timeout={:?} priority of site={}",
            self.exit_when, self.shutdown_timeout, self.site_priority
        )?;
        for program in self.programs.iter().filter(|program| program.copies > 0) {
            writeln!(
                f,
                "  {}{} numprocs={} {:?}",
                if program.in_site { "site:" } else { "" },
                program.name,
                program.copies,
                program.policy
            )?;
        }
        Ok(())
    }
}

/// Draws a change of the file.
pub fn draw_edit(rng: &mut Rng) -> Edit {
    let index = usize::try_from(rng.below(NAMES.len() as u64)).unwrap();
    match rng.below(10) {
        0..=2 => Edit::Copies(index, u32::try_from(rng.below(4)).unwrap()),
        3..=4 => Edit::Version(index),
        5..=6 => Edit::Policy(index, rng.next()),
        7 => Edit::Move(index),
        8 => Edit::SitePriority(rng.one_of(&[1, 5, 999])),
        _ => Edit::Shift,
    }
}
