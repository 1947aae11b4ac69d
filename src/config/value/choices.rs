//! Values that are one of a few words.

use super::{boolean, empty, unknown_word, word};
use crate::config::model::{Autorestart, EditMode, ExitWhen, LogLevel, OnOrphans, PayloadLength};
use crate::config::value_type::ValueFault;

/// `emacs` or `vi`.
pub fn edit_mode(text: &str) -> Result<EditMode, ValueFault> {
    match text.to_ascii_lowercase().as_str() {
        "" => Err(empty()),
        "emacs" => Ok(EditMode::Emacs),
        "vi" => Ok(EditMode::Vi),
        _ => Err(unknown_word(text, "neither of the two", ["emacs", "vi"])),
    }
}

/// What the length of an event counts.
pub fn payload_length(text: &str) -> Result<PayloadLength, ValueFault> {
    const WORDS: [(&str, PayloadLength); 2] = [
        ("bytes", PayloadLength::Bytes),
        ("characters", PayloadLength::Characters),
    ];
    word(text, &WORDS)
        .ok_or_else(|| unknown_word(text, "neither of the two", WORDS.map(|(name, _)| name)))
}

/// `adopt`, `stop` or `leave`.
pub fn on_orphans(text: &str) -> Result<OnOrphans, ValueFault> {
    match text.to_ascii_lowercase().as_str() {
        "" => Err(empty()),
        "adopt" => Ok(OnOrphans::Adopt),
        "stop" => Ok(OnOrphans::Stop),
        "leave" => Ok(OnOrphans::Leave),
        _ => Err(unknown_word(
            text,
            "none of the three",
            ["adopt", "stop", "leave"],
        )),
    }
}

/// When the daemon ends by itself.
pub fn exit_when(text: &str) -> Result<ExitWhen, ValueFault> {
    word(text, &ExitWhen::WORDS)
        .ok_or_else(|| unknown_word(text, "no such rule", ExitWhen::WORDS.map(|(name, _)| name)))
}

/// A log level in Supervisor's words.
pub fn log_level(text: &str) -> Result<LogLevel, ValueFault> {
    const WORDS: [(&str, LogLevel); 8] = [
        ("critical", LogLevel::Critical),
        ("error", LogLevel::Error),
        ("warn", LogLevel::Warn),
        ("warning", LogLevel::Warn),
        ("info", LogLevel::Info),
        ("debug", LogLevel::Debug),
        ("trace", LogLevel::Trace),
        ("blather", LogLevel::Blather),
    ];
    word(text, &WORDS).ok_or_else(|| {
        unknown_word(text, "not a log level", WORDS.map(|(name, _)| name))
            .help("levels are critical, error, warn, info, debug, trace and blather")
    })
}

/// A boolean word or `unexpected`.
pub fn autorestart(text: &str) -> Result<Autorestart, ValueFault> {
    if text.eq_ignore_ascii_case("unexpected") {
        return Ok(Autorestart::Unexpected);
    }
    match boolean(text) {
        Ok(true) => Ok(Autorestart::Always),
        Ok(false) => Ok(Autorestart::Never),
        Err(_) if text.is_empty() => Err(empty()),
        Err(_) => Err(unknown_word(
            text,
            "none of the three",
            ["unexpected", "true", "false", "yes", "no", "on", "off"],
        )
        .help("to start again after a failure only, use `unexpected`")),
    }
}
