//! Pids and process groups of strangers and of our own, and many processes at once.

use super::{Shell, autostarted};
use crate::engine::action::{Action, Note};
use crate::engine::event::{Command, Event, Reply};
use crate::engine::testing::{key, ms, pid, settings};
use crate::engine::view::State;
use crate::types::{ExitStatus, Generation, ProcessKey};
use std::collections::BTreeSet;

#[test]
fn a_stranger_is_reaped_and_changes_nothing() {
    let mut shell = Shell::new([settings("web")]);
    let status = ExitStatus::Code(0);
    let actions = shell.engine.step(
        ms(1),
        Event::Exited {
            pid: pid(4711),
            status,
            failure: None,
        },
    );
    let pid = pid(4711);
    assert_eq!(
        actions,
        [
            Action::Reap { pid },
            Action::Log(Note::UnknownReaped { pid, status })
        ]
    );
    assert_eq!(shell.taken(), (vec![], vec![]));
}

#[test]
fn a_group_number_that_a_process_of_ours_has_now_is_a_group_that_is_gone() {
    let mut shell = Shell::new(["a", "b"].map(settings));
    shell.start(&["a"]);
    shell.second();
    shell.stop(&["a"]);
    let old = shell.view("a");
    let step = |shell: &mut Shell, event| shell.engine.step(shell.now, event);
    drop(step(
        &mut shell,
        Event::Exited {
            pid: old.pid.unwrap(),
            status: ExitStatus::Code(0),
            failure: None,
        },
    ));
    shell.next_pid = old.pid.unwrap().as_raw();
    shell.start(&["b"]);
    assert_eq!(shell.view("b").pid, old.pid);
    drop(step(
        &mut shell,
        Event::GroupProbed {
            key: key("a"),
            generation: old.generation,
            alive: true,
        },
    ));
    assert_eq!(shell.state("a"), State::Stopped);
}

/// Ten thousand processes and a hundred thousand events: with one walk over all processes for each event this would be a
/// thousand million steps and not end in this lifetime of a test.
#[test]
fn many_processes_cost_each_event_little() {
    let count = 10_000;
    let name = |number: i32| format!("g{}:p{number}", number % 100);
    let mut shell = Shell::new((0..count).map(|number| autostarted(&name(number))));
    shell.feed(Event::Boot);
    shell.second();
    let pids: BTreeSet<_> = shell
        .engine
        .processes()
        .filter_map(|view| view.pid)
        .collect();
    assert_eq!(pids.len(), usize::try_from(count).unwrap());
    for _ in 0..3 {
        for number in 0..count {
            shell.exit(&name(number), 1);
        }
        shell.second();
    }
    assert!(shell.engine.processes().all(|view| view.restarts == 3));
    let ticket = shell.restart(&["all"]);
    let keys: Vec<ProcessKey> = shell.engine.processes().map(|view| view.key).collect();
    for key in &keys {
        shell.exit(&key.to_string(), 0);
    }
    shell.second();
    let Some(Reply::Restarted { stops, starts }) = shell.reply(ticket) else {
        panic!("{:?}", shell.reply(ticket));
    };
    assert_eq!((stops.len(), starts.len()), (keys.len(), keys.len()));
    shell.log.clear();
    shell.ask(Command::Shutdown);
    while !shell
        .log
        .iter()
        .any(|action| matches!(action, Action::Exit { .. }))
    {
        let stopping: Vec<_> = shell
            .engine
            .processes()
            .filter(|view| view.state == State::Stopping)
            .map(|view| view.key.to_string())
            .collect();
        shell.log.clear();
        for name in stopping {
            shell.exit(&name, 0);
        }
    }
    let first = shell.engine.processes().next().unwrap();
    assert_eq!(first.generation, Generation(5));
}
