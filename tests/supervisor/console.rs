//! The console: one script of commands, played through both.

use super::install;
use super::rig::Rig;
use crate::harness::Said;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

/// Commands, one a line, perhaps after the mark of a deliberate difference. `> ` begins an instruction of the test's own: `> wait NAME STATE`, `> config FILE`,
/// `> gone`.
const SCRIPT: &str = include_str!("script.txt");

/// The configurations that the script names.
const CONFIGS: &[(&str, &str)] = &[
    ("first", include_str!("first.ini")),
    ("second", include_str!("second.ini")),
    ("broken", include_str!("broken.ini")),
];

/// Fewest commands of the script.
const COMMANDS_MIN: usize = 80;

/// How much of a different answer is still the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Alike {
    /// The first line, and the exit code.
    FirstLine,
    /// The lines in any order, and the exit code.
    AnyOrder,
    /// The exit code.
    Code,
    /// Nothing.
    Nothing,
}

/// The differences on purpose. A line of the script that begins with `~MARK ` has that one; the manual of the console
/// lists the same ones under these titles, each with its reason.
const DELIBERATE: &[(&str, &str, Alike)] = &[
    // A name means all processes that bear it, and every action takes `GROUP:*`.
    ("names", "Names", Alike::Nothing),
    // Results come in the order asked for, with `all` by name; Supervisor's come as they are ready.
    ("order", "Order", Alike::AnyOrder),
    // The help is worded anew, and a usage error has it beneath its line.
    ("usage", "Help", Alike::FirstLine),
    ("help", "Help", Alike::Code),
    // What is wrong with a file is told with line and column, and nobody sees an exception of Python's.
    ("errors", "Errors", Alike::Code),
    // `tail` takes several names and a number of lines.
    ("more", "Names", Alike::Nothing),
];

struct Step {
    command: &'static str,
    deliberate: Option<&'static (&'static str, &'static str, Alike)>,
    said: Said,
}

fn config(name: &str) -> &'static str {
    CONFIGS
        .iter()
        .find(|(known, _)| *known == name)
        .unwrap_or_else(|| panic!("no configuration {name}"))
        .1
}

fn lines() -> impl Iterator<Item = &'static str> {
    SCRIPT
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn play(mut rig: Rig) -> Vec<Step> {
    let mut steps = Vec::new();
    for line in lines() {
        let Some(instruction) = line.strip_prefix("> ") else {
            let (mark, command) = line
                .strip_prefix('~')
                .and_then(|line| line.split_once(' '))
                .map_or((None, line), |(mark, command)| (Some(mark), command));
            let deliberate = mark.map(|mark| {
                DELIBERATE
                    .iter()
                    .find(|(known, ..)| *known == mark)
                    .unwrap_or_else(|| panic!("no such difference: {line}"))
            });
            steps.push(Step {
                command,
                deliberate,
                said: rig.play(command),
            });
            continue;
        };
        match instruction.split(' ').collect::<Vec<_>>().as_slice() {
            ["wait", name, state] => rig.settle(name, state),
            ["config", name] => rig.edit(config(name)),
            ["gone"] => assert_eq!(rig.wait_exit(), Some(0)),
            _ => panic!("not an instruction: {line}"),
        }
    }
    steps
}

fn same(ours: &Said, real: &Said, alike: Option<Alike>) -> bool {
    let code = ours.code == real.code;
    let sorted = |said: &Said| {
        said.stdout
            .lines()
            .map(str::to_owned)
            .collect::<BTreeSet<_>>()
    };
    match alike {
        None => code && ours.stdout == real.stdout,
        Some(Alike::FirstLine) => code && ours.stdout.lines().next() == real.stdout.lines().next(),
        Some(Alike::AnyOrder) => code && sorted(ours) == sorted(real),
        Some(Alike::Code) => code,
        Some(Alike::Nothing) => true,
    }
}

#[test]
fn the_console_answers_as_supervisors() {
    let Some(bin) = install::supervisor() else {
        return;
    };
    let (ours, real) = both(bin);
    let mut faults = String::new();
    for (ours, real) in ours.iter().zip(&real) {
        let alike = ours.deliberate.map(|&(.., alike)| alike);
        let exactly = same(&ours.said, &real.said, None);
        if !same(&ours.said, &real.said, alike) {
            writeln!(
                faults,
                "{}\n  real {} {:?}\n  ours {} {:?}",
                ours.command, real.said.code, real.said.stdout, ours.said.code, ours.said.stdout
            )
            .unwrap();
        } else if exactly && let Some((mark, _, alike)) = ours.deliberate
            // The order may happen to be the same.
            && *alike != Alike::AnyOrder
        {
            writeln!(faults, "{}: no difference: {mark}", ours.command).unwrap();
        }
    }
    assert!(faults.is_empty(), "{faults}");
}

fn both(bin: &Path) -> (Vec<Step>, Vec<Step>) {
    std::thread::scope(|scope| {
        let real = scope.spawn(|| play(Rig::real(bin, config("first"))));
        let ours = play(Rig::ours(config("first")));
        (ours, real.join().unwrap())
    })
}

#[test]
fn the_script_is_long_enough_and_the_manual_lists_what_it_excuses() {
    let commands = lines().filter(|line| !line.starts_with("> ")).count();
    assert!(commands >= COMMANDS_MIN, "{commands}");
    let manual = include_str!("../../man/taskmasterctl.1");
    let (_, listed) = manual
        .split_once(".Sh DIFFERENCES FROM SUPERVISOR")
        .unwrap();
    let (listed, _) = listed.split_once("\n.Sh ").unwrap();
    for (mark, title, _) in DELIBERATE {
        assert!(listed.contains(&format!("\n.It Sy {title}\n")), "{title}");
        let line = format!("~{mark} ");
        assert!(lines().any(|found| found.starts_with(&line)), "{mark}");
    }
}
