//! Answers from one snapshot of the engine: status, pids, what is configured, and what a target names.

use super::capture::Healths;
use super::clients::ClientId;
use super::event_loop::Daemon;
use super::status::{self, Moment};
use super::story;
use crate::engine::Resolution;
use crate::engine::event::Unrunnable;
use crate::engine::view::ProcessView;
use crate::types::{Monotonic, ProcessKey};
use crate::wire::{
    AvailRow, BorrowedRow, EncodeError, NamedResult, Outcome, PidRow, Refusal, Response,
    StatusFrame, StatusReply,
};

impl Daemon {
    /// The states of the processes that targets name; of all where there is none.
    pub(super) fn status(&self, targets: &[String], now: Monotonic) -> StatusReply {
        let (views, unknown) = self.views(targets);
        let moment = Moment::new(now);
        let mut healths = self.capture.healths();
        let row = |process| self.status_row(process, moment, &mut healths).into_owned();
        StatusReply {
            rows: views.iter().map(row).collect(),
            unknown,
        }
    }

    /// The frame that says the same in answer to a request.
    pub(super) fn status_frame(
        &self,
        id: u64,
        targets: &[String],
        now: Monotonic,
    ) -> Result<Vec<u8>, EncodeError> {
        let moment = Moment::new(now);
        let mut healths = self.capture.healths();
        if wants_all(targets) {
            // One at a time: the views of thousands of processes would drive everything else out of the caches.
            let mut frame = StatusFrame::new(id, self.engine.count());
            for process in self.engine.processes() {
                frame.push(&self.status_row(&process, moment, &mut healths));
            }
            return frame.finish(&[]);
        }
        let (views, unknown) = self.views(targets);
        let mut frame = StatusFrame::new(id, views.len());
        for process in &views {
            frame.push(&self.status_row(process, moment, &mut healths));
        }
        frame.finish(&unknown)
    }

    fn views(&self, targets: &[String]) -> (Vec<ProcessView>, Vec<NamedResult>) {
        if wants_all(targets) {
            return (self.engine.processes().collect(), Vec::new());
        }
        let (keys, unknown) = self.resolve_all(targets);
        let views = keys.iter().filter_map(|key| self.engine.process(key));
        (views.collect(), unknown)
    }

    fn status_row<'a>(
        &self,
        process: &'a ProcessView,
        moment: Moment,
        healths: &mut Healths<'_>,
    ) -> BorrowedRow<'a> {
        let [stdout, stderr] = healths.of(&process.key);
        let listener = self.listeners.view(&process.key);
        status::row(process, moment, stdout, stderr, listener)
    }

    /// What led to the state of one process.
    pub(super) fn why(&self, target: &str, now: Monotonic) -> Response {
        let found = self.resolve_one(target).and_then(|process| {
            self.engine
                .story(&process.key)
                .ok_or_else(|| Refusal::NoSuchProcess(target.to_owned()))
        });
        match found {
            Ok(view) => {
                let moment = Moment::new(now);
                let row = self.status_row(&view.process, moment, &mut self.capture.healths());
                Response::Story(Box::new(story::of(&view, row.into_owned(), now)))
            }
            Err(refusal) => Response::Refused(refusal),
        }
    }

    /// The processes that targets name, and a result for each target that names nothing.
    fn resolve_all(&self, targets: &[String]) -> (Vec<ProcessKey>, Vec<NamedResult>) {
        let mut keys = Vec::new();
        let mut unknown = Vec::new();
        for target in targets {
            let outcome = match self.engine.resolve(target) {
                Resolution::Processes(found) => {
                    keys.extend(found);
                    continue;
                }
                Resolution::NoSuchProcess => Outcome::NoSuchProcess,
                Resolution::NoSuchGroup => Outcome::NoSuchGroup,
            };
            unknown.push(NamedResult {
                name: target.clone(),
                outcome,
            });
        }
        (keys, unknown)
    }

    pub(super) fn pids(&self, targets: &[String]) -> Vec<PidRow> {
        let pid = |process: &ProcessView| process.pid.map_or(0, |pid| pid.as_raw().unsigned_abs());
        let row = |process: ProcessView| PidRow {
            name: process.key.to_string(),
            pid: Some(pid(&process)),
        };
        if targets.iter().any(|target| target == "all") {
            return self.engine.processes().map(row).collect();
        }
        targets
            .iter()
            .flat_map(|target| match self.engine.resolve(target) {
                Resolution::Processes(keys) => keys
                    .iter()
                    .filter_map(|key| self.engine.process(key))
                    .map(row)
                    .collect(),
                Resolution::NoSuchProcess | Resolution::NoSuchGroup => {
                    vec![PidRow {
                        name: target.clone(),
                        pid: None,
                    }]
                }
            })
            .collect()
    }

    pub(super) fn avail(&self, client: ClientId) -> Vec<AvailRow> {
        self.engine
            .avail()
            .into_iter()
            .filter(|process| self.may_see(client, Some((&process.key, &process.program))))
            .map(|process| AvailRow {
                name: process.key.to_string(),
                group: process.key.group.to_string(),
                in_use: process.in_use,
                autostart: process.autostart,
                group_priority: process.group_priority,
                process_priority: process.process_priority,
            })
            .collect()
    }

    /// Called as Supervisor's daemon: which of these processes are not to be tried, because their program cannot be
    /// executed. Under its own name the daemon tries, and the process tells why it failed.
    pub(super) fn unrunnable(&self, targets: &[String]) -> Unrunnable {
        let (keys, _unknown) = self.resolve_all(targets);
        keys.into_iter()
            .filter_map(|key| {
                let process = self.engine.process(&key)?;
                let failure = self.children.refusal(&process.settings)?;
                Some((key, failure))
            })
            .collect()
    }

    /// The one process that a target names.
    pub(super) fn resolve_one(&self, target: &str) -> Result<ProcessView, Refusal> {
        let unknown = || Refusal::NoSuchProcess(target.to_owned());
        match self.engine.resolve(target) {
            Resolution::Processes(keys) => match keys.as_slice() {
                [key] => self.engine.process(key).ok_or_else(unknown),
                [] => Err(unknown()),
                several => Err(Refusal::Ambiguous(
                    several.iter().map(ToString::to_string).collect(),
                )),
            },
            Resolution::NoSuchProcess | Resolution::NoSuchGroup => Err(unknown()),
        }
    }
}

/// Whether a status is that of every process.
fn wants_all(targets: &[String]) -> bool {
    targets.is_empty() || targets.iter().any(|target| target == "all")
}
