//! The state machine: the same small programs under both, and what the logs say of each.
//!
//! The real one looks about once a second, so that only the order of the sentences about one program is compared, not
//! their times, nor how those about several programs mix. Whoever restarts for ever is compared as far as both came.

use super::install;
use super::rig::Rig;
use crate::harness::wait;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const CONFIG: &str = include_str!("states.ini");

/// Programs that restart for ever, and how many sentences of them are compared.
const ENDLESS: &[(&str, usize)] = &[
    ("unexpected-1", 5),
    ("unexpected-1-of-0-2", 5),
    ("unexpected-0-of-1", 5),
    ("unexpected-killed", 5),
    ("unexpected-termed", 5),
    ("always-0", 5),
    ("always-1", 5),
];

/// Programs that end before the real one looks for the first time: whether it says `success:` of them is chance.
const INSTANT: &[&str] = &["instant0", "instant3"];

/// Whether a sentence is said of a program at the same point of each life.
fn is_compared(sentence: &str) -> bool {
    // Said by both while a stop takes its time, as often as they look.
    let waits = sentence.contains(" waiting for ");
    let chance = sentence.contains(" success: ")
        && about(sentence).is_some_and(|name| INSTANT.contains(&name.as_str()));
    !waits && !chance
}

/// What the log says of each program, in order.
type Lives = BTreeMap<String, Vec<String>>;

/// The program that a sentence is about, and the sentence.
fn about(sentence: &str) -> Option<String> {
    let words: Vec<&str> = sentence.split_whitespace().collect();
    let ([
        _,
        "spawned:" | "killing" | "success:" | "exited:" | "stopped:",
        name,
        ..,
    ]
    | [_, "gave", "up:", name, ..]) = words.as_slice()
    else {
        return None;
    };
    Some(name.trim_matches('\'').to_owned())
}

/// The real one does not say of which program it could not run the command. Ours does, in brackets behind the sentence,
/// on purpose. The commands differ, so that the sentences tell the programs apart.
fn failure(sentence: &str) -> Option<String> {
    let text = sentence.strip_prefix("INFO spawnerr: ")?;
    let known = ["absent", "folder", "text", "halt-waiting"];
    let end = known
        .iter()
        .find_map(|name| text.strip_suffix(&format!(" ({name})")));
    Some(end.unwrap_or(text).to_owned())
}

fn lives(rig: &Rig) -> Lives {
    let mut lives = Lives::new();
    for sentence in rig.sentences() {
        if !is_compared(&sentence) {
            continue;
        }
        if let Some(name) = about(&sentence) {
            let sentence = unnumbered(&sentence);
            let life = lives.entry(name).or_default();
            // The real one may kill again before it sees that the first time was enough.
            if !(sentence.contains(" killing ") && life.last() == Some(&sentence)) {
                life.push(sentence);
            }
        } else if let Some(failure) = failure(&sentence) {
            lives.entry(failure.clone()).or_default().push(failure);
        }
    }
    lives
}

/// `killing 'x' (4711) with SIGKILL` without the number.
fn unnumbered(sentence: &str) -> String {
    let words = sentence.split(' ').map(|word| {
        let inner = word
            .strip_prefix('(')
            .and_then(|word| word.strip_suffix(')'));
        match inner {
            Some(number) if number.parse::<u32>().is_ok() => "(PID)",
            _ => word,
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// The states of the programs.
type States = BTreeMap<String, String>;

/// Runs everything and returns what was said of each program, and the states at the end.
fn observe(rig: &mut Rig) -> (Lives, States) {
    for (name, sentences) in ENDLESS {
        wait::for_condition(format!("{name} to restart"), || {
            lives(rig).get(*name).map_or(0, Vec::len) >= *sentences
        });
    }
    for name in [
        "gone0",
        "gone1",
        "giveup",
        "signalled",
        "absent",
        "folder",
        "text",
    ] {
        rig.settle(name, "FATAL");
    }
    rig.settle("failing-later", "FATAL");
    rig.settle("halt-waiting", "BACKOFF");
    let halting: Vec<&str> = CONFIG
        .lines()
        .filter_map(|line| line.strip_prefix("[program:")?.strip_suffix(']'))
        .filter(|name| name.starts_with("halt-"))
        .collect();
    for name in &halting {
        let said = rig.ask(&format!("stop {name}"));
        said.is(0, &format!("{name}: stopped\n"));
    }
    let states = rig
        .ask("status")
        .stdout
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (name, state) = (words.next()?, words.next()?);
            let endless = ENDLESS.iter().any(|(endless, _)| *endless == name);
            (!endless).then(|| (name.to_owned(), state.to_owned()))
        })
        .collect();
    let mut seen = lives(rig);
    for (name, sentences) in ENDLESS {
        if let Some(life) = seen.get_mut(*name) {
            life.truncate(*sentences);
        }
    }
    // It goes on trying while the others are stopped, so that how often it did is a matter of time.
    seen.retain(|name, _| !name.contains("/nonexistent/waiting"));
    rig.ask("shutdown").is(0, "Shut down\n");
    assert_eq!(rig.wait_exit(), Some(0));
    (seen, states)
}

#[test]
fn programs_live_the_same_lives() {
    let Some(bin) = install::supervisor() else {
        return;
    };
    let ((ours, our_states), (real, real_states)) = both(bin);
    let mut faults = Vec::new();
    let names: BTreeSet<&String> = ours.keys().chain(real.keys()).collect();
    for name in names {
        let (ours, real) = (ours.get(name), real.get(name));
        if ours != real {
            faults.push(format!("{name}\n  real {real:#?}\n  ours {ours:#?}"));
        }
    }
    if our_states != real_states {
        faults.push(format!(
            "states\n  real {real_states:?}\n  ours {our_states:?}"
        ));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn both(bin: &Path) -> ((Lives, States), (Lives, States)) {
    std::thread::scope(|scope| {
        let real = scope.spawn(|| observe(&mut Rig::real(bin, CONFIG)));
        let ours = observe(&mut Rig::ours(CONFIG));
        (ours, real.join().unwrap())
    })
}
