//! Shutdown and reload.

use super::{Shell, autostarted, ranked, row};
use crate::config::model::{Autorestart, Config, GroupKind, PayloadLength, PoolSettings};
use crate::engine::Engine;
use crate::engine::action::{Action, Note};
use crate::engine::event::{Command, Event, Outcome, Reply};
use crate::engine::shutdown;
use crate::engine::testing::{key, settings};
use crate::engine::view::State;
use crate::types::{EventType, Signal};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

#[test]
fn a_shutdown_takes_one_group_after_another_from_the_highest_rank_down() {
    let mut processes = vec![
        ranked("site:1", 1),
        ranked("site:2", 2),
        ranked("app", 1),
        settings("off"),
    ];
    let mut flapping = autostarted("flap");
    flapping.policy.autorestart = Autorestart::Always;
    processes.push(flapping);
    let mut shell = Shell::new(processes);
    shell.feed(Event::Boot);
    shell.exit("flap", 1);
    shell.second();
    shell.exit("flap", 1);
    shell.taken();
    let start = shell.start(&["off"]);
    shell.log.clear();
    let shutdown = shell.ask(Command::Shutdown);
    assert_eq!(shell.reply(shutdown), Some(&Reply::Accepted));
    assert_eq!(shell.state("flap"), State::Stopped, "no retry is left");
    let waiting = shell.log.iter().find_map(|action| {
        if let Action::Log(Note::WaitingToDie { keys }) = action {
            Some(keys.len())
        } else {
            None
        }
    });
    assert_eq!(waiting, Some(4));
    assert_eq!(shell.taken().1, ["site:2", "site:1"]);
    for command in [
        Command::Reload,
        Command::Shutdown,
        Command::Start {
            targets: vec!["all".to_owned()],
            wait: true,
            unrunnable: BTreeMap::new(),
        },
        Command::Add { groups: vec![] },
    ] {
        let refused = shell.ask(command);
        assert_eq!(shell.reply(refused), Some(&Reply::ShuttingDown));
    }
    shell.exit("site:1", 0);
    assert!(shell.taken().1.is_empty());
    shell.exit("site:2", 0);
    assert_eq!(shell.taken().1, ["off"]);
    let expected = Reply::Results(vec![row("off", Outcome::AbnormalTermination)]);
    assert_eq!(shell.reply(start), Some(&expected));
    // A program of a later group that ends by itself stays down.
    shell.exit("app", 1);
    assert_eq!(shell.taken().0, [""; 0]);
    shell.exit("off", 0);
    let exit = Action::Exit {
        left: vec![],
        reload: false,
    };
    assert_eq!(shell.log.last(), Some(&exit));
    assert_eq!(shell.engine.next_deadline(), None);
}

#[test]
fn a_turn_that_lasts_too_long_ends_and_nobody_is_left_waiting() {
    let mut shell = Shell::new([ranked("a", 1), ranked("b", 1)]);
    shell.feed(Event::Boot);
    shell.second();
    let stop = shell.stop(&["b"]);
    shell.ask(Command::Reload);
    let began = shell.now;
    let turn = Duration::from_secs(3) + shutdown::TURN_GRACE;
    while shell.state("a") == State::Running {
        let next = shell.engine.next_deadline().unwrap();
        shell.pass(next.since(shell.now));
    }
    assert_eq!(shell.now, began.after(turn));
    let expected = Reply::Results(vec![row("b", Outcome::NotKilled)]);
    assert_eq!(shell.reply(stop), Some(&expected));
    shell.exit("a", 0);
    let exit = Action::Exit {
        left: vec![key("b")],
        reload: true,
    };
    assert_eq!(shell.log.last(), Some(&exit));
}

#[test]
fn a_second_signal_hurries_and_the_first_turns_a_reload_into_an_end() {
    let kills = |shell: &mut Shell| {
        let log = std::mem::take(&mut shell.log);
        log.iter()
            .filter(
                |action| matches!(action, Action::Kill { signal, .. } if *signal == Signal::KILL),
            )
            .count()
    };
    let mut shell = Shell::new([ranked("a", 1), ranked("b", 1)]);
    shell.feed(Event::Boot);
    shell.second();
    shell.ask(Command::Reload);
    shell.feed(Event::Terminate);
    assert_eq!(kills(&mut shell), 0);
    shell.feed(Event::Terminate);
    assert_eq!(kills(&mut shell), 1, "b is killed at once");
    shell.feed(Event::Terminate);
    assert_eq!(kills(&mut shell), 0, "a third changes nothing");
    shell.exit("b", 0);
    assert_eq!(kills(&mut shell), 2, "the rest of b's group, and a at once");
    shell.exit("a", 0);
    let exit = Action::Exit {
        left: vec![],
        reload: false,
    };
    assert_eq!(shell.log.last(), Some(&exit));
}

/// A shell whose process `ears` is an event listener of the lowest rank, with everything up.
fn with_listener() -> Shell {
    let mut ears = ranked("ears", 1);
    ears.policy.autostart = true;
    let mut shell = Shell::new(vec![ears, autostarted("web")]);
    let mut config = Config::clone(shell.engine.config());
    for (name, group) in &mut config.groups {
        if name.as_str() == "ears" {
            group.priority = -1;
            group.kind = GroupKind::Listeners(PoolSettings {
                events: vec![EventType::Event],
                buffer_size: 10,
                length: PayloadLength::Bytes,
            });
        }
    }
    shell.engine = Engine::new(Arc::new(config));
    shell.feed(Event::Boot);
    shell.taken();
    shell
}

#[test]
fn listeners_hear_of_everything_before_their_turn() {
    let mut shell = with_listener();
    shell.ask(Command::Shutdown);
    assert_eq!(shell.taken().1, ["web"]);
    // Too early: what they are to hear of is still to happen.
    assert!(!shell.engine.waits_for_listeners());
    shell.feed(Event::ListenersHeard);
    shell.exit("web", 0);
    assert!(shell.engine.waits_for_listeners());
    assert!(shell.taken().1.is_empty());
    shell.feed(Event::ListenersHeard);
    assert_eq!(shell.taken().1, ["ears"]);
    assert!(!shell.engine.waits_for_listeners());
    shell.exit("ears", 0);
    assert!(shell.log.contains(&Action::Exit {
        left: vec![],
        reload: false
    }));
}

#[test]
fn listeners_have_no_more_than_their_grace() {
    for hurry in [false, true] {
        let mut shell = with_listener();
        shell.ask(Command::Shutdown);
        shell.exit("web", 0);
        shell.taken();
        assert_eq!(
            shell.engine.next_deadline(),
            Some(shell.now.after(shutdown::HEARING_GRACE))
        );
        if hurry {
            shell.feed(Event::Terminate);
        } else {
            shell.pass(shutdown::HEARING_GRACE / 2);
            assert!(shell.taken().1.is_empty());
            shell.pass(shutdown::HEARING_GRACE / 2);
        }
        assert_eq!(shell.taken().1, ["ears"]);
    }
}

#[test]
fn listeners_that_are_down_are_not_waited_for() {
    let mut shell = with_listener();
    shell.stop(&["ears"]);
    shell.exit("ears", 0);
    shell.taken();
    shell.ask(Command::Shutdown);
    shell.exit("web", 0);
    assert!(shell.log.contains(&Action::Exit {
        left: vec![],
        reload: false
    }));
}
