//! The table of transitions: every state with every input. The borders of time stand beside.

mod borders;

use super::{Answer, End, Input, Process, Then, Verdict, Wanted};
use crate::config::model::{Autorestart, ProcessSettings};
use crate::engine::action::{Action, Note, Scope};
use crate::engine::event::{SpawnFailure, SpawnStep};
use crate::engine::outbox::Outbox;
use crate::engine::testing::{ms, pid, settings};
use crate::types::{ExitStatus, Generation, Monotonic, Signal};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

const NOENT: i32 = 2;
const AGAIN: i32 = 11;

fn failure(errno: i32) -> SpawnFailure {
    SpawnFailure {
        step: SpawnStep::Exec,
        subject: "/bin/program".to_owned(),
        errno,
    }
}

fn end(then: Then) -> Input {
    Input::End(End {
        then,
        hurry: false,
        settings: None,
    })
}

fn exited(status: ExitStatus) -> Input {
    Input::Exited {
        status,
        failure: None,
    }
}

/// A process with these settings that is wanted up, led through these inputs, each a millisecond after the last.
fn led(settings: ProcessSettings, inputs: Vec<Input>) -> (Process, Monotonic) {
    let mut process = Process::new(ms(0), Arc::new(settings), Generation(0));
    process.want(Wanted {
        up: true,
        by_operator: false,
    });
    let mut now = 1000;
    for input in inputs {
        // When something is due, whatever it waits for has come.
        let at = match process.deadline() {
            Some(at) if matches!(input, Input::Due) => at,
            Some(_) | None => ms(now),
        };
        now = at.as_nanos() / 1_000_000 + 1;
        process.step(at, input, &mut Outbox::default());
    }
    (process, ms(now))
}

const FIXTURES: [&str; 16] = [
    "STOPPED",
    "STARTING asked",
    "STARTING forked",
    "STARTING executed",
    "RUNNING",
    "BACKOFF",
    "STOPPING unborn",
    "STOPPING asked",
    "STOPPING killed",
    "STOPPING remains",
    "STOPPING pausing",
    "STOPPING to start",
    "STOPPING to forget",
    "EXITED",
    "EXITED pending",
    "FATAL",
];

fn fixture(name: &str) -> (Process, Monotonic) {
    let to_run = || {
        vec![
            Input::Start,
            Input::Spawned(pid(7)),
            Input::Executed,
            Input::Due,
        ]
    };
    let then = |mut inputs: Vec<Input>, more: Vec<Input>| {
        inputs.extend(more);
        inputs
    };
    let stopped = exited(ExitStatus::Code(0));
    let mut settings = settings("web");
    let inputs = match name {
        "STOPPED" => vec![],
        "STARTING asked" => vec![Input::Start],
        "STARTING forked" => vec![Input::Start, Input::Spawned(pid(7))],
        "STARTING executed" => vec![Input::Start, Input::Spawned(pid(7)), Input::Executed],
        "RUNNING" => to_run(),
        "BACKOFF" => vec![Input::Start, Input::SpawnFailed(failure(NOENT))],
        "STOPPING unborn" => vec![Input::Start, end(Then::Rest)],
        "STOPPING asked" => then(to_run(), vec![end(Then::Rest)]),
        "STOPPING killed" => then(to_run(), vec![end(Then::Rest), Input::Due]),
        "STOPPING remains" => then(to_run(), vec![end(Then::Rest), stopped]),
        "STOPPING pausing" => then(
            to_run(),
            vec![end(Then::Rest), stopped, Input::Probed { alive: true }],
        ),
        "STOPPING to start" => then(to_run(), vec![end(Then::Start)]),
        "STOPPING to forget" => then(to_run(), vec![end(Then::Forget)]),
        "EXITED" => then(to_run(), vec![stopped]),
        "EXITED pending" => {
            settings.policy.autorestart = Autorestart::Always;
            settings.policy.startsecs = Duration::ZERO;
            vec![
                Input::Start,
                Input::Spawned(pid(7)),
                Input::Executed,
                stopped,
            ]
        }
        "FATAL" => {
            settings.policy.startretries = 0;
            vec![Input::Start, Input::SpawnFailed(failure(NOENT))]
        }
        other => panic!("no fixture is called {other}"),
    };
    led(settings, inputs)
}

fn inputs() -> Vec<(&'static str, Input)> {
    let with_settings = |then| {
        let mut changed = settings("web");
        changed.launch.command = "/bin/other".to_owned();
        Input::End(End {
            then,
            hurry: false,
            settings: Some(Arc::new(changed)),
        })
    };
    vec![
        ("start", Input::Start),
        ("stop", end(Then::Rest)),
        ("restart", end(Then::Start)),
        ("forget", end(Then::Forget)),
        ("replace", with_settings(Then::Start)),
        ("replace, down", with_settings(Then::Rest)),
        ("withdraw", Input::Withdraw),
        ("hurry", Input::Hurry),
        ("spawned", Input::Spawned(pid(8))),
        ("executed", Input::Executed),
        ("failed", Input::SpawnFailed(failure(NOENT))),
        ("shortage", Input::SpawnFailed(failure(AGAIN))),
        ("exit 0", exited(ExitStatus::Code(0))),
        ("exit 1", exited(ExitStatus::Code(1))),
        (
            "exit at exec",
            Input::Exited {
                status: ExitStatus::Code(127),
                failure: Some(failure(NOENT)),
            },
        ),
        (
            "exit, shortage",
            Input::Exited {
                status: ExitStatus::Code(127),
                failure: Some(failure(AGAIN)),
            },
        ),
        ("alive", Input::Probed { alive: true }),
        ("gone", Input::Probed { alive: false }),
        ("due", Input::Due),
    ]
}

fn signal_name(signal: Signal) -> String {
    signal.to_string().replace("SIG", "")
}

/// The actions and happenings in few words. Lines of the log are left out, except for a bug.
fn words(out: &Outbox) -> String {
    let mut words: Vec<String> = out
        .actions
        .iter()
        .filter_map(|action| match action {
            Action::Spawn { .. } => Some("spawn".to_owned()),
            Action::Kill { scope, signal, .. } => Some(match scope {
                Scope::Leader => signal_name(*signal),
                Scope::Group => format!("{}*", signal_name(*signal)),
            }),
            Action::Reap { .. } => Some("reap".to_owned()),
            Action::ProbeGroup { .. } => Some("look".to_owned()),
            Action::Publish(change) => Some(format!("->{:?}", change.to).to_uppercase()),
            Action::Log(Note::Bug { .. }) => Some("bug".to_owned()),
            Action::Log(_) => None,
            Action::Reply { .. }
            | Action::Relimit { .. }
            | Action::Forget { .. }
            | Action::PublishGroup { .. }
            | Action::Exit { .. } => panic!("a process does not do this: {action:?}"),
        })
        .collect();
    words.extend(
        out.happenings
            .iter()
            .map(|(_, happening)| format!("{happening:?}"))
            .map(|text| text.split('(').next().unwrap_or_default().to_lowercase()),
    );
    words.join(" ")
}

fn answer_words(answer: &Answer) -> String {
    let word = |what, verdict: &Option<Verdict>| match verdict {
        None => String::new(),
        Some(Verdict::Now(outcome)) => format!(" {what}:{outcome:?}"),
        Some(Verdict::Later) => format!(" {what}:later"),
        Some(Verdict::Signalled) => format!(" {what}:signalled"),
    };
    word("stop", &answer.stop) + &word("start", &answer.start)
}

/// One cell: what a process in a state does with an input.
fn cell(state: &str, input: Input) -> String {
    let (mut process, now) = fixture(state);
    let result = catch_unwind(AssertUnwindSafe(|| {
        let mut out = Outbox::default();
        let answer = process.step(now, input, &mut out);
        let bug = out
            .actions
            .iter()
            .any(|action| matches!(action, Action::Log(Note::Bug { .. })));
        if bug {
            return "bug".to_owned();
        }
        let words = words(&out);
        format!("{words}{}", answer_words(&answer))
    }));
    result.map_or_else(|_| "bug".to_owned(), |text| text.trim().to_owned())
}

fn table() -> String {
    let mut text = String::new();
    for state in FIXTURES {
        text += state;
        text += "\n";
        for (name, input) in inputs() {
            let line = format!("    {name:<14} {}", cell(state, input));
            text += line.trim_end();
            text += "\n";
        }
    }
    text
}

/// `->STATE` is a published change, `*` means the whole process group, small words are what the rest of the engine is
/// told. An empty cell changes nothing. `bug` marks what a shell that keeps its promises never says.
const TABLE: &str = include_str!("transitions.txt");

#[test]
fn every_state_answers_every_input_as_the_table_says() {
    let actual = table();
    for (actual, expected) in actual.lines().zip(TABLE.lines()) {
        assert_eq!(actual, expected, "the whole table is now:\n{}", table());
    }
    assert_eq!(actual.lines().count(), TABLE.lines().count());
}
