//! `why`: what led to the state of a process.

use super::{Invocation, logs};
use crate::ctl::session::{Failure, Session};
use crate::ctl::story::{self, LastWords};
use crate::ctl::{escape, json};
use crate::wire::{Channel, ProcessState, Refusal, Request, Response, Story};
use chrono::Local;
use serde_json::{Value, json};

/// Bytes that are looked through for the last lines.
const WORDS_BYTES: u64 = 4096;
/// Lines that are shown.
const WORDS_LINES: usize = 5;

pub(super) fn why(session: &mut Session<'_>, call: &Invocation<'_>) -> Result<u8, Failure> {
    if call.arguments.is_empty() {
        let text = "Error: why requires a process name";
        return Err(session.misused(call.action, text, 2));
    }
    let names = logs::processes(session, call, call.arguments)?;
    let mut documents: Vec<Value> = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let request = Request::Why {
            target: name.clone(),
        };
        let story = match session.ask(call.action, request) {
            Ok(Response::Story(story)) => story,
            Ok(_) => return Err(Failure::Unexpected),
            Err(Failure::Refused(Refusal::NotUnderstood(_))) => {
                let text = "Error: the daemon is older than this console and cannot answer why";
                return Err(session.fail(call.action, "not_understood", text, 1));
            }
            Err(failure) => return Err(failure),
        };
        let words = last_words(session, call, &story)?;
        if session.json {
            documents.push(json::story(&story, words.as_ref()));
            continue;
        }
        if index > 0 {
            session.output.text("\n");
        }
        let lines = story::tell(&story, words.as_ref(), session.output.colour, &Local);
        session.output.text(&(lines.join("\n") + "\n"));
    }
    if session.json {
        session.print_json(&json!({ "action": "why", "processes": documents }));
    }
    Ok(0)
}

/// What it said last, where it is in trouble: on the standard error, or where that goes.
fn last_words(
    session: &mut Session<'_>,
    call: &Invocation<'_>,
    story: &Story,
) -> Result<Option<LastWords>, Failure> {
    let row = &story.row;
    let well = matches!(
        row.state,
        ProcessState::Running | ProcessState::Starting | ProcessState::Stopping
    );
    if row.trouble.is_none() && (well || row.last_exit.is_none()) {
        return Ok(None);
    }
    for (channel, shown, log) in [
        (Channel::Stderr, "stderr", &row.stderr_log),
        (Channel::Stdout, "stdout", &row.stdout_log),
    ] {
        if log.path.is_none() {
            continue;
        }
        let request = Request::Tail {
            target: row.name.clone(),
            channel,
            bytes: WORDS_BYTES,
        };
        match session.ask(call.action, request) {
            Ok(Response::Log(chunk)) => {
                let lines = last_lines(&chunk.data, chunk.size > chunk.data.len() as u64);
                if !lines.is_empty() {
                    return Ok(Some(LastWords {
                        channel: shown,
                        lines,
                    }));
                }
            }
            Ok(_) => return Err(Failure::Unexpected),
            // A log that cannot be read does not end the story.
            Err(Failure::Refused(_)) => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(None)
}

/// The last lines, escaped. The first of a cut text is not whole.
fn last_lines(data: &[u8], cut: bool) -> Vec<String> {
    let text = String::from_utf8_lossy(data);
    let mut lines: Vec<&str> = text.lines().collect();
    if cut && lines.len() > 1 {
        lines.remove(0);
    }
    let first = lines.len().saturating_sub(WORDS_LINES);
    lines
        .get(first..)
        .unwrap_or_default()
        .iter()
        .map(|line| escape::line(line))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_whole_and_harmless() {
        for (data, cut, expected) in [
            (&b""[..], false, &[][..]),
            (b"a\nb\n", false, &["a", "b"]),
            (b"a\nb\n", true, &["b"]),
            (b"\x1b[2J", true, &["\\x1b[2J"]),
            (b"1\n2\n3\n4\n5\n6\n", false, &["2", "3", "4", "5", "6"]),
        ] {
            assert_eq!(last_lines(data, cut), expected, "{data:?}");
        }
    }
}
