//! Values as a file would write them.

use crate::config::model::{Autorestart, EnvFile, Environment, Launch, LogSettings, LogTarget};
use crate::types::Signal;

pub(super) fn rule(rule: Autorestart) -> &'static str {
    match rule {
        Autorestart::Never => "false",
        Autorestart::Unexpected => "unexpected",
        Autorestart::Always => "true",
    }
}

pub(super) fn codes(codes: &[u8]) -> String {
    let codes: Vec<String> = codes.iter().map(ToString::to_string).collect();
    codes.join(",")
}

pub(super) fn signal(signal: Signal) -> String {
    signal.to_string().trim_start_matches("SIG").to_owned()
}

/// Where a log goes, as a file would write it.
pub(super) fn target_word(log: &LogSettings) -> String {
    let file = match &log.target {
        LogTarget::Discard => None,
        LogTarget::File { auto: true, .. } => Some("AUTO".to_owned()),
        LogTarget::File { path, auto: false } => Some(path.display().to_string()),
    };
    let streams = [(log.shown.stdout, "stdout"), (log.shown.stderr, "stderr")];
    let streams = streams.into_iter().filter(|(is_shown, _)| *is_shown);
    let words: Vec<String> = file
        .into_iter()
        .chain(streams.map(|(_, name)| name.to_owned()))
        .collect();
    if words.is_empty() {
        return "NONE".to_owned();
    }
    words.join(", ")
}

/// What the sections of daemon and program give together.
pub(super) fn variables(launch: &Launch) -> Environment {
    let mut all = launch.env_layers.common.0.clone();
    all.extend(launch.environment.0.clone());
    Environment(all)
}

/// Files of variables, as a file would name them.
pub(super) fn files(files: &[EnvFile]) -> Option<String> {
    let names: Vec<String> = files.iter().map(ToString::to_string).collect();
    (!names.is_empty()).then(|| names.join(", "))
}
