//! When the daemon ends by itself, and how long an end may take.

use super::{Shell, autostarted, ranked};
use crate::config::model::{Autorestart, Config, ExitWhen, ProcessSettings};
use crate::engine::action::{Action, Note};
use crate::engine::event::{Command, Event, SpawnFailure, SpawnStep};
use crate::engine::testing::{config, key};
use crate::engine::{Engine, view::State};
use crate::types::{ExitStatus, Signal};
use nix::errno::Errno;
use std::sync::Arc;
use std::time::Duration;

fn shell_with(configuration: Config) -> Shell {
    let mut shell = Shell::new([]);
    shell.engine = Engine::new(Arc::new(configuration));
    shell.feed(Event::Boot);
    shell.second();
    shell
}

fn shell(rule: ExitWhen, processes: impl IntoIterator<Item = ProcessSettings>) -> Shell {
    let mut configuration = config(processes);
    configuration.daemon.exit_when = rule;
    shell_with(configuration)
}

fn once(name: &str) -> ProcessSettings {
    let mut settings = autostarted(name);
    settings.policy.autorestart = Autorestart::Never;
    settings
}

fn essential(name: &str) -> ProcessSettings {
    let mut settings = once(name);
    settings.policy.essential = true;
    settings
}

/// The name and the status of the program for which the daemon ends.
fn verdict(shell: &Shell) -> Option<(String, u8)> {
    let verdict = shell.engine.verdict()?;
    assert!(shell.engine.is_shutting_down());
    Some((verdict.key.to_string(), verdict.status))
}

#[test]
fn without_a_rule_nothing_ends_the_daemon() {
    let mut shell = shell(ExitWhen::Never, [essential("web")]);
    shell.exit("web", 1);
    assert_eq!(verdict(&shell), None);
    assert!(!shell.engine.is_shutting_down());
}

#[test]
fn an_essential_program_that_failed_ends_all_with_its_status() {
    let rule = ExitWhen::EssentialFailed;
    let mut shell = shell(rule, [essential("web"), once("job"), once("log")]);
    shell.exit("job", 9);
    assert_eq!(verdict(&shell), None, "it is not essential");
    shell.exit("web", 3);
    assert_eq!(verdict(&shell), Some(("web".to_owned(), 3)));
    assert_eq!(shell.state("log"), State::Stopping);
    shell.exit("log", 0);
    let exit = Action::Exit {
        left: vec![],
        reload: false,
    };
    assert_eq!(shell.log.last(), Some(&exit));
    assert!(
        shell
            .log
            .iter()
            .any(|action| matches!(action, Action::Log(Note::EndsByRule { .. })))
    );
}

#[test]
fn an_expected_end_is_no_failure_and_a_restart_is_no_end() {
    let mut kept = essential("kept");
    kept.policy.autorestart = Autorestart::Unexpected;
    let mut shell = shell(ExitWhen::EssentialFailed, [essential("web"), kept]);
    shell.exit("web", 0);
    shell.exit("kept", 5);
    assert_eq!(verdict(&shell), None);
}

#[test]
fn where_none_is_marked_all_are_essential() {
    let mut shell = shell(ExitWhen::EssentialFailed, [once("a"), once("b")]);
    shell.exit("b", 4);
    assert_eq!(verdict(&shell), Some(("b".to_owned(), 4)));
}

#[test]
fn a_death_by_signal_is_told_as_shells_do() {
    let mut shell = shell(ExitWhen::EssentialFailed, [once("a")]);
    let pid = shell.view("a").pid.unwrap();
    shell.feed(Event::Exited {
        pid,
        status: ExitStatus::Signaled {
            signal: Signal::from_number(11).unwrap(),
            core_dumped: false,
        },
        failure: None,
    });
    assert_eq!(verdict(&shell), Some(("a".to_owned(), 139)));
}

#[test]
fn a_failure_is_never_told_as_success() {
    let mut picky = once("picky");
    picky.policy.exitcodes = vec![2];
    let mut wanting = shell(ExitWhen::EssentialFailed, [picky]);
    wanting.exit("picky", 0);
    assert_eq!(verdict(&wanting), Some(("picky".to_owned(), 1)));

    let mut hasty = autostarted("hasty");
    hasty.policy.startretries = 0;
    hasty.policy.startsecs = Duration::from_secs(5);
    let mut gives_up = shell(ExitWhen::EssentialFailed, [hasty]);
    gives_up.exit("hasty", 0);
    assert_eq!(gives_up.state("hasty"), State::Fatal);
    assert_eq!(verdict(&gives_up), Some(("hasty".to_owned(), 1)));
}

#[test]
fn a_program_that_cannot_be_executed_is_told_as_shells_do() {
    for (step, errno, expected) in [
        (SpawnStep::Lookup, Errno::ENOENT, 127),
        (SpawnStep::Exec, Errno::ENOENT, 127),
        (SpawnStep::Exec, Errno::EACCES, 126),
        (SpawnStep::Directory, Errno::ENOENT, 1),
    ] {
        let mut absent = once("absent");
        absent.policy.startretries = 0;
        let mut configuration = config([absent]);
        configuration.daemon.exit_when = ExitWhen::EssentialExited;
        let mut engine = Engine::new(Arc::new(configuration));
        let now = crate::engine::testing::ms(1);
        let asked = engine.step(now, Event::Boot);
        let generation = asked
            .iter()
            .find_map(|action| {
                if let Action::Spawn { generation, .. } = action {
                    Some(*generation)
                } else {
                    None
                }
            })
            .unwrap();
        let _actions = engine.step(
            now,
            Event::SpawnFailed {
                key: key("absent"),
                generation,
                failure: SpawnFailure {
                    step,
                    subject: "absent".to_owned(),
                    errno: errno as i32,
                },
            },
        );
        let status = engine.verdict().map(|verdict| verdict.status);
        assert_eq!(status, Some(expected), "{step:?} {errno}");
    }
}

#[test]
fn an_essential_program_that_ended_well_ends_all_by_the_second_rule() {
    let mut shell = shell(
        ExitWhen::EssentialExited,
        [essential("job"), once("sidecar")],
    );
    shell.exit("sidecar", 1);
    assert_eq!(verdict(&shell), None);
    shell.exit("job", 0);
    assert_eq!(verdict(&shell), Some(("job".to_owned(), 0)));
}

#[test]
fn when_all_have_ended_the_first_failure_speaks_for_them() {
    let processes = || [once("a"), once("b"), once("c")];
    let mut fine = shell(ExitWhen::AllExited, processes());
    for name in ["b", "a"] {
        fine.exit(name, 0);
        assert_eq!(verdict(&fine), None);
    }
    fine.exit("c", 0);
    assert_eq!(verdict(&fine), Some(("c".to_owned(), 0)));

    let mut failed = shell(ExitWhen::AllExited, processes());
    failed.exit("b", 7);
    failed.exit("a", 0);
    failed.exit("c", 0);
    assert_eq!(verdict(&failed), Some(("b".to_owned(), 7)));
}

#[test]
fn what_an_operator_stopped_has_not_ended() {
    let mut shell = shell(ExitWhen::AllExited, [once("a"), once("b")]);
    shell.stop(&["a"]);
    shell.exit("a", 0);
    shell.stop(&["b"]);
    shell.exit("b", 0);
    assert_eq!(verdict(&shell), None);
    shell.start(&["b"]);
    shell.second();
    shell.exit("b", 0);
    assert_eq!(verdict(&shell), Some(("b".to_owned(), 0)));
}

#[test]
fn a_shutdown_that_was_asked_for_has_no_verdict() {
    let mut shell = shell(ExitWhen::EssentialExited, [once("a"), once("b")]);
    shell.ask(Command::Shutdown);
    shell.exit("b", 1);
    shell.exit("a", 1);
    assert_eq!(verdict(&shell), None);
    assert!(matches!(shell.log.last(), Some(Action::Exit { .. })));
}

#[test]
fn a_shutdown_ends_in_its_time_and_in_order() {
    let mut slow = ranked("slow", 2);
    slow.policy.stopwaitsecs = Duration::from_mins(5);
    let mut configuration = config([slow, ranked("after", 1)]);
    configuration.daemon.shutdown_timeout = Some(Duration::from_secs(9));
    let mut shell = shell_with(configuration);
    let killed = |shell: &mut Shell| -> Vec<String> {
        std::mem::take(&mut shell.log)
            .iter()
            .filter_map(|action| {
                if let Action::Kill { key, signal, .. } = action {
                    (*signal == Signal::KILL).then(|| key.to_string())
                } else {
                    None
                }
            })
            .collect()
    };
    shell.feed(Event::Terminate);
    let began = shell.now;
    while killed(&mut shell).is_empty() {
        let next = shell.engine.next_deadline().unwrap();
        shell.pass(next.since(shell.now));
    }
    let took = shell.now.since(began);
    assert!(took < Duration::from_secs(9), "{took:?}");
    assert!(took >= Duration::from_secs(8), "{took:?}");
    shell.exit("slow", 0);
    assert!(killed(&mut shell).contains(&"after".to_owned()));
    shell.exit("after", 0);
    assert!(matches!(shell.log.last(), Some(Action::Exit { .. })));
}

#[test]
fn a_reload_has_no_time_limit_until_it_becomes_an_end() {
    for by_signal in [true, false] {
        let mut slow = ranked("slow", 1);
        slow.policy.stopwaitsecs = Duration::from_mins(5);
        let mut configuration = config([slow]);
        configuration.daemon.shutdown_timeout = Some(Duration::from_secs(2));
        let mut shell = shell_with(configuration);
        shell.ask(Command::Reload);
        shell.pass(Duration::from_mins(1));
        let out_of_time = |shell: &Shell| {
            shell
                .log
                .iter()
                .any(|action| matches!(action, Action::Log(Note::OutOfTime)))
        };
        assert!(!out_of_time(&shell));
        if by_signal {
            shell.feed(Event::Terminate);
        } else {
            shell.ask(Command::Shutdown);
        }
        shell.pass(Duration::from_secs(2));
        assert!(out_of_time(&shell), "by signal: {by_signal}");
    }
}
