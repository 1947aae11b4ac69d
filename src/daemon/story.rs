//! Why a process is as it is: its past, and the settings that decided, each with its place in the file.
//!
//! Values are written as a file would write them. The environment is left out: it may hold secrets.

use super::convert;
use super::status::{log_path, millis, wall_seconds};
use crate::config::model::{Autorestart, EnvFile, ProcessSettings};
use crate::engine::view::{LifeView, StoryView};
use crate::types::Monotonic;
use crate::wire::{Channel, Key, Life, StatusRow, Story, Wanted};

/// The story of one process at the moment `now`.
pub fn of(view: &StoryView, row: StatusRow, now: Monotonic) -> Story {
    let settings = &view.process.settings;
    Story {
        row,
        since_ms: (view.process.since != Monotonic::default())
            .then(|| millis(now.since(view.process.since))),
        wanted: Wanted {
            up: view.wanted_up,
            by_operator: view.by_operator,
        },
        lives: view.lives.iter().map(|life| life_of(life, now)).collect(),
        ended: view.ended,
        startretries: settings.policy.startretries,
        section: settings.origin.to_string(),
        keys: keys(settings),
    }
}

fn life_of(life: &LifeView, now: Monotonic) -> Life {
    Life {
        ended_at: wall_seconds(now.since(life.ended_at)),
        ran_ms: millis(life.ended_at.since(life.started_at)),
        status: convert::exit_status(life.status),
        asked: life.asked,
        expected: life.expected,
    }
}

/// What decides about a process, in the order in which one would ask.
fn keys(settings: &ProcessSettings) -> Vec<Key> {
    let (launch, policy) = (&settings.launch, &settings.policy);
    let codes: Vec<String> = policy.exitcodes.iter().map(ToString::to_string).collect();
    let always = [
        ("command", launch.command.clone()),
        ("autostart", policy.autostart.to_string()),
        (
            "autorestart",
            match policy.autorestart {
                Autorestart::Never => "false",
                Autorestart::Unexpected => "unexpected",
                Autorestart::Always => "true",
            }
            .to_owned(),
        ),
        ("exitcodes", codes.join(",")),
        ("startsecs", policy.startsecs.as_secs().to_string()),
        ("startretries", policy.startretries.to_string()),
        (
            "stopsignal",
            policy
                .stopsignal
                .to_string()
                .trim_start_matches("SIG")
                .to_owned(),
        ),
        ("stopwaitsecs", policy.stopwaitsecs.as_secs().to_string()),
    ];
    let directory = launch.directory.as_ref();
    let sometimes = [
        (
            "directory",
            directory.map(|path| path.display().to_string()),
        ),
        ("env_file", env_files(&launch.env_layers.files)),
        ("user", launch.user.as_ref().map(|user| user.name.clone())),
        ("stdout_logfile", log(settings, Channel::Stdout)),
        ("stderr_logfile", log(settings, Channel::Stderr)),
        (
            "redirect_stderr",
            launch.redirect_stderr.then(|| "true".to_owned()),
        ),
    ];
    always
        .into_iter()
        .map(|(key, value)| (key, Some(value)))
        .chain(sometimes)
        .filter_map(|(key, value)| Some(with_origin(settings, key, value?)))
        .collect()
}

/// The files of variables, as a file would name them.
fn env_files(files: &[EnvFile]) -> Option<String> {
    let names: Vec<String> = files.iter().map(ToString::to_string).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

/// Where a stream goes, as a file would name it.
fn log(settings: &ProcessSettings, channel: Channel) -> Option<String> {
    let path = log_path(settings, channel).map(|path| path.display().to_string());
    let shown = match channel {
        Channel::Stdout => settings.stdout.shown,
        Channel::Stderr if settings.launch.redirect_stderr => return None,
        Channel::Stderr => settings.stderr.shown,
    };
    let streams = [(shown.stdout, "stdout"), (shown.stderr, "stderr")];
    let streams = streams.into_iter().filter(|(is_shown, _)| *is_shown);
    let names: Vec<String> = path
        .into_iter()
        .chain(streams.map(|(_, name)| name.to_owned()))
        .collect();
    (!names.is_empty()).then(|| names.join(", "))
}

fn with_origin(settings: &ProcessSettings, key: &'static str, value: String) -> Key {
    let origin = settings.origins.iter().find(|origin| origin.key == key);
    Key {
        key: key.to_owned(),
        value,
        file: origin.map(|origin| origin.file.display().to_string()),
        line: origin.map_or(0, |origin| origin.line),
    }
}
