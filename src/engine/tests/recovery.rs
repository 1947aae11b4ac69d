//! A daemon that takes over from one that was killed.

use super::{Shell, autostarted};
use crate::engine::action::Action;
use crate::engine::event::{Event, Found};
use crate::engine::testing::key;
use crate::engine::view::State;
use crate::types::Generation;

/// What the next daemon tells of the process `web`, whose daemon was killed and which ended before that one began.
fn told_of_unseen_end(shell: &mut Shell, born: bool) -> Vec<(State, State)> {
    let memos = shell.engine.take_memos();
    let (_, memo) = memos.into_iter().find(|(it, _)| *it == key("web")).unwrap();
    let found = Found {
        key: key("web"),
        memo,
        born: born.then(|| Generation::default().next()),
        survivor: None,
        outdated: false,
    };
    let mut next = Shell::new([autostarted("web")]);
    next.feed(Event::Recover { found: vec![found] });
    next.log
        .iter()
        .filter_map(|action| {
            if let Action::Publish(change) = action {
                Some((change.from, change.to))
            } else {
                None
            }
        })
        .collect()
}

#[test]
fn an_end_that_nobody_saw_is_told_as_a_step_from_what_was_told_last() {
    let mut shell = Shell::new([autostarted("web")]);
    shell.feed(Event::Boot);
    assert_eq!(shell.state("web"), State::Starting);
    let told = told_of_unseen_end(&mut shell, true);
    assert_eq!(told.first(), Some(&(State::Starting, State::Backoff)));
    shell.second();
    assert_eq!(shell.state("web"), State::Running);
    let told = told_of_unseen_end(&mut shell, true);
    assert_eq!(told.first(), Some(&(State::Running, State::Exited)));
    shell.stop(&["web"]);
    assert_eq!(shell.state("web"), State::Stopping);
    let told = told_of_unseen_end(&mut shell, true);
    assert_eq!(told, [(State::Stopping, State::Stopped)]);
}
