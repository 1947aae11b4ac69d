//! Logs that programs write themselves: `stdout_direct`, `stderr_direct`.
//!
//! The key is a permission, not a command: whatever needs to see the bytes on their way (rotation, the removal of escape
//! sequences) goes before it, and is told as the reason why the key has no effect. A size that nobody gave is no such
//! need.

use super::context::{Context, Variables};
use super::diagnostic::Diagnostic;
use super::listener::is_listener;
use super::model::{DaemonSettings, LogSettings, LogTarget, Timestamps};
use super::program::Stream;
use super::readers::boolean;
use super::sections::Named;
use crate::types::ByteSize;

impl Stream {
    /// The key that lets the program write this stream's log itself.
    pub fn direct_key(self) -> &'static str {
        match self {
            Self::Stdout => "stdout_direct",
            Self::Stderr => "stderr_direct",
        }
    }
}

/// Lets the program write its log itself, where it may and nothing else needs what it writes. The reason against it is
/// told once, for the first copy.
pub fn apply(
    context: &mut Context<'_>,
    program: &Named<'_>,
    daemon: &DaemonSettings,
    stream: Stream,
    settings: &mut LogSettings,
    (variables, is_first): (&Variables<'_>, bool),
) {
    let table = &program.table;
    let key = stream.direct_key();
    if !boolean(context, table, key, variables).unwrap_or_default() {
        return;
    }
    let [log, maxbytes, _] = stream.keys();
    let reason = if settings.target == LogTarget::Discard {
        Some(format!("there is no log: see `{log}`"))
    } else if stream == Stream::Stdout && is_listener(table) {
        Some("the daemon reads what an event listener says".to_owned())
    } else if daemon.strip_ansi {
        Some("`strip_ansi` has to remove escape sequences on the way".to_owned())
    } else if settings.timestamps != Timestamps::None {
        let times = stream.timestamps_key();
        Some(format!("`{times}` has to put times before its lines"))
    } else if settings.shown.is_anywhere() {
        Some("its lines are shown on the daemon's standard streams".to_owned())
    } else if settings.capture_maxbytes.0 > 0 || settings.events_enabled || settings.syslog {
        Some("its bytes are captured, posted as events or sent to the system log".to_owned())
    } else if settings.maxbytes.0 > 0 && table.field(maxbytes).is_some() {
        Some(format!("`{maxbytes}` asks for rotation"))
    } else {
        None
    };
    let Some(reason) = reason else {
        settings.direct = true;
        settings.maxbytes = ByteSize(0);
        let is_auto = matches!(settings.target, LogTarget::File { auto: true, .. });
        if let (true, true, None, Some(field)) =
            (is_first, is_auto, table.field(maxbytes), table.field(key))
        {
            context.report(
                Diagnostic::warning(
                    "endless-log",
                    format!(
                        "the AUTO log of program `{}` grows without bound",
                        program.name
                    ),
                )
                .at(field.value.span(), "never rotated")
                .help(format!(
                    "name a file with `{log}` that something else rotates"
                )),
            );
        }
        return;
    };
    if let (true, Some(field)) = (is_first, table.field(key)) {
        context.report(
            Diagnostic::warning("no-effect", format!("{} has no effect", table.subject(key)))
                .at(field.key_span, reason),
        );
    }
}
