//! Answers as JSON, for `--json`.
//!
//! One action prints one document on one line; the exit status is that of the words. Every document is an object with
//! `action` and one of:
//!
//! | Key | Of | Content |
//! | --- | --- | --- |
//! | `processes`, `unknown` | `status` | rows as below; names that name nothing, as results |
//! | `processes` | `why` | stories as below |
//! | `processes` | `env` | environments as below |
//! | `processes`, `reached`, `timed_out` | `wait` | `name`, `state`, `reached` of each; whether all have; whether time ran out |
//! | `processes` | `pid NAME` | `name`, `pid`: 0 when it has no process, null when the name names nothing |
//! | `pid` | `pid` | the daemon's own |
//! | `processes` | `avail` | `name`, `group`, `in_use`, `autostart`, `group_priority`, `process_priority` |
//! | `results` | `start`, `stop`, `signal`, `clear` | results as below |
//! | `stops`, `starts` | `restart` | results |
//! | `changes` | `reread`, `update` | `group`, `change` (`added`, `changed`, `removed`), `stopped` |
//! | `groups` | `add`, `remove` | `group`, `answer` (`added`, `removed`, `already_added`, `still_running`, `no_such_group`), `ok` |
//! | `logs` | `tail`, `maintail` | `name`, `size` of the file, and `text`, or `base64` where the bytes are not UTF-8 |
//! | `version`, `console`, `protocol` | `version` | versions of both sides and of what they speak |
//! | `accepted` | `reload`, `shutdown` | true |
//! | `from`, `to` | `upgrade` | versions of the daemon before and after |
//! | `actions` | `help` | `name`, `usage`, `summary`, `example` |
//! | `groups`, `processes` | `update --dry-run`, `reread --diff` | `group`, `change`, `stopped`, `keys`; `name`, `group`, `process`, `program`, `state`, `step`, `section`, `keys` of `key`, `old`, `new`, `file`, `line`, `live` |
//! | `error` | any | `kind`, `message`; `diagnostics` for a file with errors |
//!
//! A result has `name`, `outcome` (`started`, `stopped`, `signalled`, `cleared`, `input_sent`, `already_started`,
//! `not_running`, `no_such_process`, `no_such_group`, `spawn_failed`, `exited_too_quickly`, `abnormal_termination`,
//! `not_killed`, `failed`), `ok` (its share of the exit status is 0) and, where there is more to know, `detail`.
//!
//! A row of `status` has `name`, `group`, `process`, `program`, `state`, `code` (Supervisor's number), `description`
//! (as in the table, in local time), `pid`, `uptime_ms`, `started_at` and `stopped_at` (seconds since 1970), `trouble`,
//! `last_exit` (`code` or `signal`, `name`, `core_dumped`; `text`), `failures`, `next_attempt_ms`, `restarts`,
//! `adopted` (taken over from a daemon that was killed), `stdout_log` and `stderr_log` (`path`, `lost`, `errno`),
//! `listener` of an event listener (`state`, `waiting`, `buffer_size`, `discarded`, `rejected`). What does not apply
//! is null. Keys may be added.
//! With `--long` it has `resources` of its tree of processes: `processes`, `cpu_ms`, `cpu_percent`, `memory` (bytes).
//!
//! A story has `process` (a row as above), `since_ms` (in its state), `wanted` (`up`, `by_operator`), `failed_step`
//! (`step`, `subject`, `errno`), `advice`, `startretries`, `ended` (how many lives), `lives` (the last of them, the oldest
//! first: `ended_at`, `ran_ms`, `exit`, `asked`, `expected`), `last_words` (`channel`, `lines`), `section` (`FILE:LINE`) and
//! `keys` (`key`, `value`, `file`, `line`; the last two null for a default).
//!
//! An environment has `name`, `variables` (sorted: `name`, `value`, `masked` (something in the value is replaced by `****`),
//! `origin` (`inherited`, `daemon`, `account`, `env_file`, `key`), `file`, `line`; the last two null where no file gives it),
//! `failure` (why a start would fail for a file of variables: `step`, `subject`, `errno`; else null) and `ignored` (what is
//! wrong with optional files).

use super::plan;
use super::procfs::Usage;
use super::render::{self, Rendered, Verb};
use super::story::LastWords;
use super::{advice, table};
use crate::wire::{
    AvailRow, Change, ChangeKind, Diagnostic, EnvironmentReply, ExitStatus, Failure, GroupAnswer,
    GroupResult, ListenerState, ListenerStatus, LogChunk, LogState, NamedResult, Outcome, PidRow,
    Plan, PlannedKey, ProcessState, Refusal, StatusReply, StatusRow, Story, Trouble,
    VariableOrigin,
};
use chrono::{Local, TimeZone};
use serde_json::{Value, json};
use std::fmt::{Display, Write};

/// A document as it is printed: on one line, with everything escaped that could act on a terminal.
pub fn document(value: &Value) -> String {
    let mut text = String::new();
    // Outside of strings JSON is ASCII, and within them an escape means the same as the character.
    for c in value.to_string().chars() {
        if c == '\x7f'
            || (!c.is_ascii() && super::escape::line(c.encode_utf8(&mut [0; 4])).starts_with('\\'))
        {
            // Such characters are all of the basic plane; writing to a string cannot fail.
            write!(text, "\\u{:04x}", u32::from(c)).unwrap_or_default();
        } else {
            text.push(c);
        }
    }
    text.push('\n');
    text
}

/// Of `status`.
pub fn status<Zone>(reply: &StatusReply, usage: Option<&[Option<Usage>]>, zone: &Zone) -> Value
where
    Zone: TimeZone,
    Zone::Offset: Display,
{
    let mut rows: Vec<Value> = reply.rows.iter().map(|row| status_row(row, zone)).collect();
    for (row, usage) in rows.iter_mut().zip(usage.unwrap_or_default()) {
        if let Some(row) = row.as_object_mut() {
            let resources = usage.as_ref().map_or(Value::Null, resources);
            row.insert("resources".to_owned(), resources);
        }
    }
    json!({ "action": "status", "processes": rows, "unknown": results_list(Verb::Status, &reply.unknown) })
}

fn resources(usage: &Usage) -> Value {
    json!({
        "processes": usage.processes,
        "cpu_ms": usage.cpu_ms,
        "cpu_percent": usage.cpu_percent,
        "memory": usage.memory,
    })
}

/// One process of `why`.
pub fn story(story: &Story, words: Option<&LastWords>) -> Value {
    let lives: Vec<Value> = story
        .lives
        .iter()
        .map(|life| {
            json!({
                "ended_at": life.ended_at,
                "ran_ms": life.ran_ms,
                "exit": exit_status(&life.status),
                "asked": life.asked,
                "expected": life.expected,
            })
        })
        .collect();
    let keys: Vec<Value> = story
        .keys
        .iter()
        .map(|key| {
            let line = key.file.as_ref().map(|_| key.line);
            json!({ "key": key.key, "value": key.value, "file": key.file, "line": line })
        })
        .collect();
    json!({
        "process": status_row(&story.row, &Local),
        "since_ms": story.since_ms,
        "wanted": { "up": story.wanted.up, "by_operator": story.wanted.by_operator },
        "failed_step": failed_step(story),
        "advice": advice::of(story),
        "startretries": story.startretries,
        "ended": story.ended,
        "lives": lives,
        "last_words": words.map(|words| json!({ "channel": words.channel, "lines": words.lines })),
        "section": story.section,
        "keys": keys,
    })
}

/// One process of `env`.
pub fn environment(reply: &EnvironmentReply) -> Value {
    let variables: Vec<Value> = reply
        .variables
        .iter()
        .map(|variable| {
            let origin = match variable.origin {
                VariableOrigin::Inherited => "inherited",
                VariableOrigin::Daemon => "daemon",
                VariableOrigin::Account => "account",
                VariableOrigin::EnvFile => "env_file",
                VariableOrigin::Key => "key",
            };
            let line = variable.file.as_ref().map(|_| variable.line);
            json!({
                "name": variable.name,
                "value": variable.value,
                "masked": variable.masked,
                "origin": origin,
                "file": variable.file,
                "line": line,
            })
        })
        .collect();
    json!({
        "name": reply.name,
        "variables": variables,
        "failure": reply.failure.as_ref().map(failure),
        "ignored": reply.ignored,
    })
}

fn failure(failure: &Failure) -> Value {
    json!({
        "step": format!("{:?}", failure.step).to_lowercase(),
        "subject": failure.subject,
        "errno": failure.errno,
    })
}

/// Which step of the start failed, as the protocol names it.
fn failed_step(story: &Story) -> Value {
    match &story.row.trouble {
        Some(Trouble::Spawn(cause)) => failure(cause),
        Some(Trouble::ExitedTooQuickly(_) | Trouble::UnexpectedExit(_)) | None => Value::Null,
    }
}

fn status_row<Zone>(row: &StatusRow, zone: &Zone) -> Value
where
    Zone: TimeZone,
    Zone::Offset: Display,
{
    json!({
        "name": row.name,
        "group": row.group,
        "process": row.process,
        "program": row.program,
        "state": row.state.name(),
        "code": row.state.code(),
        "description": table::describe(row, zone),
        "pid": row.pid,
        "uptime_ms": row.uptime_ms,
        "started_at": row.started_at,
        "stopped_at": row.stopped_at,
        "trouble": row.trouble.as_ref().map(ToString::to_string),
        "last_exit": row.last_exit.as_ref().map(exit_status),
        "failures": row.failures,
        "next_attempt_ms": row.next_attempt_ms,
        "restarts": row.restarts,
        "adopted": row.adopted,
        "stdout_log": log_state(&row.stdout_log),
        "stderr_log": log_state(&row.stderr_log),
        "listener": row.listener.as_ref().map(listener),
    })
}

fn exit_status(status: &ExitStatus) -> Value {
    match status {
        ExitStatus::Code(code) => json!({ "code": code, "text": status.to_string() }),
        ExitStatus::Signal {
            number,
            name,
            core_dumped,
        } => {
            json!({ "signal": number, "name": name, "core_dumped": core_dumped, "text": status.to_string() })
        }
        ExitStatus::Unknown => json!({ "unknown": true, "text": status.to_string() }),
    }
}

fn listener(listener: &ListenerStatus) -> Value {
    json!({
        "state": listener.state.map(ListenerState::name),
        "waiting": listener.waiting,
        "buffer_size": listener.buffer_size,
        "discarded": listener.discarded,
        "rejected": listener.rejected,
    })
}

fn log_state(log: &LogState) -> Value {
    json!({ "path": log.path, "lost": log.lost, "errno": log.errno })
}

fn results_list(verb: Verb, results: &[NamedResult]) -> Vec<Value> {
    results
        .iter()
        .map(|result| {
            let mut entry = json!({
                "name": result.name,
                "outcome": outcome_name(&result.outcome),
                "ok": render::words(verb, &result.outcome).code == 0,
            });
            if let (Some(detail), Some(entry)) =
                (render::detail(&result.outcome), entry.as_object_mut())
            {
                entry.insert("detail".to_owned(), Value::String(detail));
            }
            entry
        })
        .collect()
}

/// Of actions on processes.
pub fn results(action: &str, verb: Verb, results: &[NamedResult]) -> Value {
    json!({ "action": action, "results": results_list(verb, results) })
}

/// Of `restart`.
pub fn restarted(stops: &[NamedResult], starts: &[NamedResult]) -> Value {
    json!({
        "action": "restart",
        "stops": results_list(Verb::Stop, stops),
        "starts": results_list(Verb::Start, starts),
    })
}

fn outcome_name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Started => "started",
        Outcome::Stopped => "stopped",
        Outcome::Signalled => "signalled",
        Outcome::Cleared => "cleared",
        Outcome::InputSent => "input_sent",
        Outcome::AlreadyStarted => "already_started",
        Outcome::NotRunning => "not_running",
        Outcome::NoSuchProcess => "no_such_process",
        Outcome::NoSuchGroup => "no_such_group",
        Outcome::SpawnFailed(_) => "spawn_failed",
        Outcome::ExitedTooQuickly(_) => "exited_too_quickly",
        Outcome::AbnormalTermination => "abnormal_termination",
        Outcome::NotKilled => "not_killed",
        Outcome::Failed { .. } => "failed",
    }
}

/// Of `pid NAME`.
pub fn pids(rows: &[PidRow]) -> Value {
    let rows: Vec<Value> = rows
        .iter()
        .map(|row| json!({ "name": row.name, "pid": row.pid }))
        .collect();
    json!({ "action": "pid", "processes": rows })
}

/// Of `avail`.
pub fn avail(rows: &[AvailRow]) -> Value {
    let rows: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!({
                "name": row.name,
                "group": row.group,
                "in_use": row.in_use,
                "autostart": row.autostart,
                "group_priority": row.group_priority,
                "process_priority": row.process_priority,
            })
        })
        .collect();
    json!({ "action": "avail", "processes": rows })
}

/// Of `reread` and `update`.
pub fn changes(action: &str, changes: &[Change]) -> Value {
    let changes: Vec<Value> = changes.iter().map(change).collect();
    json!({ "action": action, "changes": changes })
}

fn change(change: &Change) -> Value {
    let kind = match change.kind {
        ChangeKind::Added => "added",
        ChangeKind::Changed => "changed",
        ChangeKind::Removed => "removed",
    };
    json!({ "group": change.group, "change": kind, "stopped": change.stopped })
}

/// Of `update --dry-run` and `reread --diff`.
pub fn plan(action: &str, plan: &Plan) -> Value {
    let keys = |keys: &[PlannedKey]| -> Vec<Value> {
        let key = |key: &PlannedKey| {
            json!({
                "key": key.key,
                "old": key.old,
                "new": key.new,
                "file": key.file,
                "line": key.file.as_ref().map(|_| key.line),
                "live": key.live,
            })
        };
        keys.iter().map(key).collect()
    };
    let processes: Vec<Value> = plan
        .processes
        .iter()
        .map(|process| {
            json!({
                "name": process.name,
                "group": process.group,
                "process": process.process,
                "program": process.program,
                "state": process.state.map(ProcessState::name),
                "step": plan::word(process.step),
                "section": process.section,
                "keys": keys(&process.keys),
            })
        })
        .collect();
    let groups: Vec<Value> = plan
        .groups
        .iter()
        .map(|group| {
            let mut row = change(&group.change);
            row["keys"] = Value::Array(keys(&group.keys));
            row
        })
        .collect();
    json!({ "action": action, "groups": groups, "processes": processes })
}

/// Of `add` and `remove`.
pub fn groups(action: &str, results: &[GroupResult]) -> Value {
    let results: Vec<Value> = results
        .iter()
        .map(|result| {
            let (answer, ok) = match result.answer {
                GroupAnswer::Added => ("added", true),
                GroupAnswer::Removed => ("removed", true),
                GroupAnswer::AlreadyAdded => ("already_added", true),
                GroupAnswer::StillRunning => ("still_running", false),
                GroupAnswer::NoSuchGroup => ("no_such_group", false),
            };
            json!({ "group": result.group, "answer": answer, "ok": ok })
        })
        .collect();
    json!({ "action": action, "groups": results })
}

/// One log of `tail` and `maintail`.
pub fn log(name: &str, chunk: &LogChunk) -> Value {
    match std::str::from_utf8(&chunk.data) {
        Ok(text) => json!({ "name": name, "size": chunk.size, "text": text }),
        Err(_) => json!({ "name": name, "size": chunk.size, "base64": base64(&chunk.data) }),
    }
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = (0..3).fold(0_usize, |bits, index| {
            bits << 8 | usize::from(group.get(index).copied().unwrap_or(0))
        });
        for index in 0..4 {
            let sextet = bits >> (18 - 6 * index) & 0x3f;
            text.push(match ALPHABET.get(sextet) {
                Some(&letter) if index <= group.len() => char::from(letter),
                _ => '=',
            });
        }
    }
    text
}

/// Of any action that the daemon refused.
pub fn refusal(action: &str, refusal: &Refusal, rendered: &Rendered) -> Value {
    let kind = match refusal {
        Refusal::ShuttingDown => "shutting_down",
        Refusal::BadConfig(_) => "bad_config",
        Refusal::NoSuchGroup(_) => "no_such_group",
        Refusal::BadSignal(_) => "bad_signal",
        Refusal::NoSuchProcess(_) => "no_such_process",
        Refusal::Ambiguous(_) => "ambiguous",
        Refusal::NoLog(_) => "no_log",
        Refusal::LogUnreadable { .. } => "log_unreadable",
        Refusal::TooLarge => "too_large",
        Refusal::Busy => "busy",
        Refusal::Forbidden => "forbidden",
        Refusal::NotUpgraded(_) => "not_upgraded",
        Refusal::NotUnderstood(_) => "not_understood",
        Refusal::Protocol { .. } => "protocol",
    };
    let mut error = json!({ "kind": kind, "message": rendered.lines.first() });
    if let (Refusal::BadConfig(diagnostics), Some(error)) = (refusal, error.as_object_mut()) {
        let list = diagnostics.iter().map(diagnostic).collect();
        error.insert("diagnostics".to_owned(), Value::Array(list));
    }
    json!({ "action": action, "error": error })
}

fn diagnostic(diagnostic: &Diagnostic) -> Value {
    json!({
        "severity": if diagnostic.error { "error" } else { "warning" },
        "file": diagnostic.file,
        "line": diagnostic.line,
        "column": diagnostic.column,
        "message": diagnostic.message,
        "help": diagnostic.help,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_standard() {
        for (bytes, text) in [
            (&b""[..], ""),
            (b"f", "Zg=="),
            (b"fo", "Zm8="),
            (b"foo", "Zm9v"),
            (b"foob", "Zm9vYg=="),
            (b"fooba", "Zm9vYmE="),
            (b"foobar", "Zm9vYmFy"),
            (&[0xff, 0xfe, 0xfb], "//77"),
        ] {
            assert_eq!(base64(bytes), text);
        }
    }

    #[test]
    fn logs_lose_nothing() {
        let chunk = |data: &[u8]| LogChunk {
            data: data.to_vec(),
            size: 9,
        };
        assert_eq!(
            log("web", &chunk("wéb\n".as_bytes())),
            json!({ "name": "web", "size": 9, "text": "wéb\n" })
        );
        assert_eq!(
            log("web", &chunk(b"\xff")),
            json!({ "name": "web", "size": 9, "base64": "/w==" })
        );
    }

    #[test]
    fn a_document_is_one_harmless_line() {
        let value = json!({ "name": "a\x1b\x7f\u{9b}\u{202e}é\n" });
        let text = document(&value);
        assert_eq!(text, "{\"name\":\"a\\u001b\\u007f\\u009b\\u202eé\\n\"}\n");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }

    #[test]
    fn a_result_carries_its_detail() {
        let list = [
            NamedResult {
                name: "a".to_owned(),
                outcome: Outcome::Started,
            },
            NamedResult {
                name: "b".to_owned(),
                outcome: Outcome::ExitedTooQuickly(ExitStatus::Code(3)),
            },
        ];
        assert_eq!(
            results("start", Verb::Start, &list),
            json!({ "action": "start", "results": [
                { "name": "a", "outcome": "started", "ok": true },
                { "name": "b", "outcome": "exited_too_quickly", "ok": false,
                  "detail": "exited too quickly: exit status 3" },
            ]})
        );
    }
}
