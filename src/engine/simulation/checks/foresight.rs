//! I20: what an update does to each process is what it was foretold to do.

use super::Checks;
use crate::engine::Engine;
use crate::engine::action::{Action, StateChange};
use crate::engine::event::{Command, Event, Reply};
use crate::engine::forecast::{Fate, Foreseen};
use crate::engine::view::State;
use crate::types::ProcessKey;

impl Checks {
    /// Asks what an update would do, just before it is told to do it.
    pub(super) fn foresee(&mut self, engine: &Engine, event: &Event) {
        self.foreseen = if let Event::Command {
            command: Command::Update { config, groups },
            ..
        } = event
            && self.nothing_due
            && !engine.is_shutting_down()
        {
            Some(engine.forecast(self.now, config, groups))
        } else {
            None
        };
    }

    /// Holds the actions of the update against the answer.
    pub(super) fn came_true(&mut self, actions: &[Action]) -> Result<(), String> {
        let Some(foreseen) = self.foreseen.take() else {
            return Ok(());
        };
        let reply = actions.iter().find_map(|action| {
            if let Action::Reply { reply, .. } = action {
                Some(reply)
            } else {
                None
            }
        });
        let forecast = match (foreseen, reply) {
            (Err(unknown), Some(Reply::UnknownGroup(told))) if unknown == *told => return Ok(()),
            (Err(unknown), _) => {
                return Err(format!("I20: {unknown} is unknown, and told is {reply:?}"));
            }
            (Ok(forecast), Some(Reply::Changes(told))) if forecast.groups != *told => {
                return Err(format!("I20: {told:?} instead of {:?}", forecast.groups));
            }
            (Ok(forecast), _) => forecast,
        };
        for foreseen in &forecast.processes {
            if !self.is_true(foreseen, actions) {
                return Err(format!("I20: {foreseen:?} does not come true: {actions:?}"));
            }
        }
        Ok(())
    }

    fn is_true(&self, foreseen: &Foreseen, actions: &[Action]) -> bool {
        let key: &ProcessKey = &foreseen.key;
        let spawned = actions
            .iter()
            .any(|action| matches!(action, Action::Spawn { key: other, .. } if other == key));
        let went = |test: &dyn Fn(&StateChange) -> bool| {
            actions.iter().any(
                |action| matches!(action, Action::Publish(change) if change.key == *key && test(change)),
            )
        };
        let told_to_end = went(&|change| change.to == State::Stopping);
        let gave_way = went(&|change| (change.from, change.to) == (State::Backoff, State::Stopped));
        let ends = told_to_end || gave_way;
        let was_ending = self
            .before
            .get(key)
            .is_some_and(|view| view.state == State::Stopping);
        let up = self.intents.of(key).up;
        match foreseen.fate {
            Fate::Unchanged | Fate::Apply | Fate::Remove => !spawned && !ends,
            Fate::Restart => ends && up,
            Fate::Stop => (ends || was_ending) && !spawned && !up,
            Fate::Start => !ends && (spawned || was_ending && up),
            Fate::Add => !spawned,
        }
    }
}
