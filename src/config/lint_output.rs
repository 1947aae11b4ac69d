//! Warnings about where a program's output goes. As in [`super::lint`], none changes what is loaded.

use super::context::Context;
use super::diagnostic::Diagnostic;
use super::lint::is_stream;
use super::model::{LogSettings, LogTarget, Timestamps};
use super::program::Stream;
use super::sections::Named;
use super::source::Span;
use super::value::{self, ChildLog};
use std::fmt::Display;
use std::path::Path;

/// Log settings of one stream.
pub fn log(
    context: &mut Context<'_>,
    program: &Named<'_>,
    stream: Stream,
    settings: &LogSettings,
    redirect_stderr: bool,
) {
    let table = &program.table;
    if stream == Stream::Stderr && redirect_stderr {
        redirected(context, program, stream, settings);
        return;
    }
    let [log, maxbytes, backups] = stream.keys();
    let [_, _, syslog] = stream.taps();
    let given = |key: &str| table.field(key).map(|field| field.value.span());
    let endless = settings.maxbytes.0 == 0;
    let text = table.field(log).map_or("", |field| &field.value.text);
    let streams = value::log_targets(text).is_ok_and(|(_, shown)| shown.is_anywhere());
    times(context, program, stream, settings);
    match &settings.target {
        LogTarget::Discard if streams => {
            if let (Some(span), true) = (given(log), is_stream(Path::new(text)) && !endless) {
                context.report(not_rotated(text, span, maxbytes));
            }
        }
        LogTarget::Discard => {
            for key in [maxbytes, backups] {
                if let Some(field) = table.field(key) {
                    let idle = Diagnostic::warning(
                        "no-effect",
                        format!("{} has no effect", table.subject(key)),
                    );
                    let reason = format!("there is no log: see `{log}`");
                    context.report(idle.at(field.key_span, reason));
                }
            }
            if let Some(field) = table.field(log)
                && matches!(value::child_log(&field.value.text), ChildLog::Syslog)
            {
                context.report(
                    Diagnostic::warning("deprecated", format!("`{log}=syslog` is deprecated"))
                        .at(
                            field.value.span(),
                            "sent to the system log, and kept in no file",
                        )
                        .help(format!(
                            "write `{syslog}=true`, and `{log}=NONE` if there is to be no file"
                        )),
                );
            }
        }
        LogTarget::File { auto: true, .. } if endless => {
            if let Some(span) = given(maxbytes) {
                context.report(
                    Diagnostic::warning(
                        "endless-log",
                        format!(
                            "the AUTO log of program `{}` grows without bound",
                            program.name
                        ),
                    )
                    .at(span, "never rotated")
                    .help(format!(
                        "give it a size, or name a file with `{log}` that something else rotates"
                    )),
                );
            }
        }
        LogTarget::File { path, .. } if is_stream(path) && !endless => {
            if let Some(span) = given(log) {
                context.report(not_rotated(path.display(), span, maxbytes));
            }
        }
        LogTarget::File { .. } => {}
    }
    if let (true, true, Some(field)) = (endless, settings.backups > 0, table.field(backups))
        && settings.target != LogTarget::Discard
    {
        context.report(
            Diagnostic::warning(
                "no-effect",
                format!("{} has no effect", table.subject(backups)),
            )
            .at(
                field.key_span,
                format!("a log with `{maxbytes}=0` is never rotated"),
            ),
        );
    }
}

/// What is asked of a standard error that goes elsewhere.
fn redirected(
    context: &mut Context<'_>,
    program: &Named<'_>,
    stream: Stream,
    settings: &LogSettings,
) {
    let table = &program.table;
    let [capture, events, syslog] = stream.taps();
    for (key, is_on) in [
        (capture, settings.capture_maxbytes.0 > 0),
        (events, settings.events_enabled),
        (syslog, settings.syslog),
        (
            stream.timestamps_key(),
            settings.timestamps != Timestamps::None,
        ),
    ] {
        if let Some(field) = table.field(key).filter(|_| is_on) {
            context.report(
                Diagnostic::warning("no-effect", format!("{} has no effect", table.subject(key)))
                    .at(
                        field.value.span(),
                        "standard error goes where standard output goes",
                    )
                    .help("leave it out, or remove `redirect_stderr`"),
            );
        }
    }
}

/// Times before the lines of a log file that there is not.
fn times(context: &mut Context<'_>, program: &Named<'_>, stream: Stream, settings: &LogSettings) {
    let key = stream.timestamps_key();
    let [log, ..] = stream.keys();
    let is_idle = settings.target == LogTarget::Discard && settings.timestamps != Timestamps::None;
    if let Some(field) = program.table.field(key).filter(|_| is_idle) {
        let message = format!("{} has no effect", program.table.subject(key));
        let reason = format!("there is no log file: see `{log}`");
        let idle = Diagnostic::warning("no-effect", message).at(field.key_span, reason);
        context.report(if settings.shown.is_anywhere() {
            idle.help("for lines on a standard stream, `stdout_timestamps` of the daemon's section decides")
        } else {
            idle
        });
    }
}

fn not_rotated(shown: impl Display, span: Span, maxbytes: &str) -> Diagnostic {
    Diagnostic::warning("not-rotated", format!("{shown} cannot be rotated"))
        .at(span, "a stream, not a file")
        .help(format!("add `{maxbytes}=0` to say that it never is"))
}
