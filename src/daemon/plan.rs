//! What an update would do, told to a client: the engine's forecast, with the keys that are the reasons.

use super::convert;
use super::event_loop::Daemon;
use crate::config::difference::{Compared, KeyDifference};
use crate::config::model::Config;
use crate::engine::event::GroupChange;
use crate::engine::forecast::{Fate, Forecast, Foreseen};
use crate::types::Monotonic;
use crate::wire::{Plan, PlannedGroup, PlannedKey, PlannedProcess, PlannedStep, Refusal, Response};

impl Daemon {
    /// Reads the file and tells what an update of these groups would do. Changes nothing.
    pub(super) fn plan(&mut self, groups: &[String], now: Monotonic) -> Response {
        let config = match self.read_file() {
            Ok(config) => config,
            Err(faults) => return Response::Refused(Refusal::BadConfig(faults)),
        };
        match self.engine.forecast(now, &config, groups) {
            Ok(forecast) => Response::Plan(told(&forecast, self.engine.config(), &config)),
            Err(unknown) => Response::Refused(Refusal::NoSuchGroup(unknown)),
        }
    }
}

fn told(forecast: &Forecast, old: &Config, new: &Config) -> Plan {
    let compared = Compared { old, new };
    Plan {
        groups: forecast
            .groups
            .iter()
            .map(|change| group(change, &compared))
            .collect(),
        processes: forecast
            .processes
            .iter()
            .map(|foreseen| process(foreseen, &compared))
            .collect(),
    }
}

fn group(change: &GroupChange, compared: &Compared<'_>) -> PlannedGroup {
    let both = (
        compared.old.groups.get(&change.group),
        compared.new.groups.get(&change.group),
    );
    let differences = match both {
        (Some(old), Some(new)) => compared.group(old, new),
        (Some(_) | None, _) => Vec::new(),
    };
    PlannedGroup {
        change: convert::change(change),
        keys: differences.into_iter().map(key).collect(),
    }
}

fn process(foreseen: &Foreseen, compared: &Compared<'_>) -> PlannedProcess {
    let differences = match (&foreseen.old, &foreseen.new) {
        (Some(old), Some(new)) => compared.settings(old, new),
        (Some(settings), None) | (None, Some(settings)) => {
            compared.membership(&foreseen.key, settings)
        }
        (None, None) => Vec::new(),
    };
    let settings = foreseen.new.as_ref().or(foreseen.old.as_ref());
    PlannedProcess {
        name: foreseen.key.to_string(),
        group: foreseen.key.group.to_string(),
        process: foreseen.key.process.to_string(),
        program: settings.map_or_else(String::new, |settings| settings.program.to_string()),
        state: foreseen.state.map(convert::state),
        step: match foreseen.fate {
            Fate::Unchanged => PlannedStep::Unchanged,
            Fate::Apply => PlannedStep::Apply,
            Fate::Restart => PlannedStep::Restart,
            Fate::Start => PlannedStep::Start,
            Fate::Stop => PlannedStep::Stop,
            Fate::Add => PlannedStep::Add,
            Fate::Remove => PlannedStep::Remove,
        },
        section: settings.map_or_else(String::new, |settings| settings.origin.to_string()),
        keys: differences.into_iter().map(key).collect(),
    }
}

fn key(difference: KeyDifference) -> PlannedKey {
    let KeyDifference {
        key,
        old,
        new,
        place,
        live,
    } = difference;
    let (file, line) = place.map_or((None, 0), |(file, line)| (Some(file), line));
    PlannedKey {
        key: key.to_owned(),
        old,
        new,
        file,
        line,
        live,
    }
}
