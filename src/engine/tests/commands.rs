//! Commands: what they do, and what they are told.

use super::{Shell, autostarted, ranked, row};
use crate::engine::event::{Command, Event, Outcome, Reply, SpawnFailure, SpawnStep, Unrunnable};
use crate::engine::testing::{key, settings};
use crate::engine::view::State;
use crate::types::{ExitStatus, Signal};
use std::collections::BTreeMap;

#[test]
fn boot_starts_by_rank_what_starts_by_itself() {
    let mut shell = Shell::new([
        ranked("site:z", 1),
        ranked("site:a", 2),
        ranked("site:b", 2),
        settings("web"),
        autostarted("app"),
    ]);
    shell.feed(Event::Boot);
    assert_eq!(shell.taken().0, ["app", "site:z", "site:a", "site:b"]);
    assert_eq!(shell.state("web"), State::Stopped);
    shell.feed(Event::Boot);
    assert!(shell.taken().0.is_empty(), "a second boot starts nothing");
}

#[test]
fn a_start_is_answered_when_it_runs_and_a_stop_when_all_is_gone() {
    let mut shell = Shell::new([settings("web")]);
    let start = shell.start(&["web"]);
    assert_eq!(shell.reply(start), None);
    shell.second();
    let started = Reply::Results(vec![row("web", Outcome::Started)]);
    assert_eq!(shell.reply(start), Some(&started));
    let stop = shell.stop(&["web"]);
    assert_eq!(shell.reply(stop), None);
    assert_eq!(shell.state("web"), State::Stopping);
    shell.exit("web", 0);
    let stopped = Reply::Results(vec![row("web", Outcome::Stopped)]);
    assert_eq!(shell.reply(stop), Some(&stopped));
    assert_eq!(
        shell.engine.next_deadline(),
        None,
        "an idle engine waits for nothing"
    );
}

#[test]
fn results_come_in_the_order_asked_for_and_twice_if_asked_twice() {
    let mut shell = Shell::new(["a", "b", "c:0", "c:1"].map(settings));
    let ticket = shell.start(&["b", "nosuch", "c", "a", "b", "no:*"]);
    shell.second();
    let expected = Reply::Results(vec![
        row("b", Outcome::Started),
        row("nosuch", Outcome::NoSuchProcess),
        row("c:0", Outcome::Started),
        row("c:1", Outcome::Started),
        row("a", Outcome::Started),
        row("b", Outcome::Started),
        row("no:*", Outcome::NoSuchGroup),
    ]);
    assert_eq!(shell.reply(ticket), Some(&expected));
}

#[test]
fn collective_targets_leave_out_whoever_needs_nothing() {
    let mut shell = Shell::new(["a", "b"].map(settings));
    shell.start(&["a"]);
    shell.second();
    let all = shell.start(&["all"]);
    shell.second();
    let expected = Reply::Results(vec![row("b", Outcome::Started)]);
    assert_eq!(shell.reply(all), Some(&expected));
    let again = shell.start(&["all"]);
    assert_eq!(shell.reply(again), Some(&Reply::Results(vec![])));
    let one = shell.start(&["a"]);
    let expected = Reply::Results(vec![row("a", Outcome::AlreadyStarted)]);
    assert_eq!(shell.reply(one), Some(&expected));
    shell.stop(&["a"]);
    shell.exit("a", 0);
    let restart = shell.restart(&["all"]);
    shell.exit("b", 0);
    shell.second();
    let expected = Reply::Restarted {
        stops: vec![row("b", Outcome::Stopped)],
        starts: vec![row("a", Outcome::Started), row("b", Outcome::Started)],
    };
    assert_eq!(shell.reply(restart), Some(&expected));
    let signal = shell.ask(Command::Signal {
        targets: vec!["a:*".to_owned(), "b".to_owned()],
        signal: Signal::HUP,
    });
    let expected = Reply::Results(vec![
        row("a", Outcome::Signalled),
        row("b", Outcome::Signalled),
    ]);
    assert_eq!(shell.reply(signal), Some(&expected));
}

#[test]
fn a_start_that_fails_or_is_overruled_says_so() {
    let mut shell = Shell::new([settings("web")]);
    let start = shell.start(&["web"]);
    shell.exit("web", 3);
    let status = ExitStatus::Code(3);
    let expected = Reply::Results(vec![row("web", Outcome::ExitedTooQuickly(status))]);
    assert_eq!(shell.reply(start), Some(&expected));
    assert_eq!(shell.state("web"), State::Backoff, "it goes on trying");
    let again = shell.start(&["web"]);
    let expected = Reply::Results(vec![row("web", Outcome::AlreadyStarted)]);
    assert_eq!(shell.reply(again), Some(&expected));
    let stop = shell.stop(&["web"]);
    let expected = Reply::Results(vec![row("web", Outcome::Stopped)]);
    assert_eq!(shell.reply(stop), Some(&expected));
    let start = shell.start(&["web"]);
    shell.stop(&["web"]);
    let expected = Reply::Results(vec![row("web", Outcome::AbnormalTermination)]);
    assert_eq!(shell.reply(start), Some(&expected));
}

#[test]
fn a_start_during_a_stop_waits_for_its_end_and_a_later_stop_takes_it_back() {
    let mut shell = Shell::new([settings("web")]);
    shell.start(&["web"]);
    shell.second();
    shell.stop(&["web"]);
    let start = shell.start(&["web"]);
    shell.taken();
    shell.exit("web", 0);
    assert_eq!(shell.taken().0, ["web"]);
    shell.second();
    let expected = Reply::Results(vec![row("web", Outcome::Started)]);
    assert_eq!(shell.reply(start), Some(&expected));

    shell.stop(&["web"]);
    let start = shell.start(&["web"]);
    let stop = shell.stop(&["web"]);
    let expected = Reply::Results(vec![row("web", Outcome::AbnormalTermination)]);
    assert_eq!(shell.reply(start), Some(&expected));
    shell.taken();
    shell.exit("web", 0);
    assert!(shell.taken().0.is_empty());
    let expected = Reply::Results(vec![row("web", Outcome::Stopped)]);
    assert_eq!(shell.reply(stop), Some(&expected));
}

#[test]
fn without_waiting_the_answer_comes_as_soon_as_it_is_under_way() {
    let mut shell = Shell::new([settings("web")]);
    let targets = vec!["web".to_owned()];
    let start = shell.ask(Command::Start {
        targets: targets.clone(),
        wait: false,
        unrunnable: BTreeMap::new(),
    });
    let expected = Reply::Results(vec![row("web", Outcome::Started)]);
    assert_eq!(shell.reply(start), Some(&expected));
    let stop = shell.ask(Command::Stop {
        targets,
        wait: false,
    });
    assert_eq!(shell.state("web"), State::Stopping);
    let expected = Reply::Results(vec![row("web", Outcome::Stopped)]);
    assert_eq!(shell.reply(stop), Some(&expected));
}

#[test]
fn a_client_that_vanishes_changes_nothing_and_hears_nothing() {
    let mut shell = Shell::new([settings("web")]);
    shell.start(&["web"]);
    shell.second();
    let ticket = shell.restart(&["web"]);
    shell.feed(Event::Abandoned { ticket });
    shell.exit("web", 0);
    shell.second();
    assert_eq!(shell.state("web"), State::Running);
    assert_eq!(shell.reply(ticket), None);
}

#[test]
fn what_cannot_run_is_left_as_it_is_where_the_shell_says_so() {
    let failure = SpawnFailure {
        step: SpawnStep::Lookup,
        subject: "/nonexistent".to_owned(),
        errno: 2,
    };
    let unrunnable: Unrunnable = ["lost", "up"]
        .map(|name| (key(name), failure.clone()))
        .into_iter()
        .collect();
    let failed = |name: &str| row(name, Outcome::SpawnFailed(failure.clone()));
    let mut shell = Shell::new(["lost", "up", "web"].map(settings));
    shell.start(&["up"]);
    shell.second();
    let start = |shell: &mut Shell, targets: &[&str]| {
        let targets = targets.iter().map(|&name| name.to_owned()).collect();
        shell.ask(Command::Start {
            targets,
            wait: true,
            unrunnable: unrunnable.clone(),
        })
    };
    // By its name even what is up is looked at first; along with others it is passed over.
    let named = start(&mut shell, &["up", "lost"]);
    let expected = Reply::Results(vec![failed("up"), failed("lost")]);
    assert_eq!(shell.reply(named), Some(&expected));
    assert_eq!(shell.state("lost"), State::Stopped);
    assert_eq!(shell.view("lost").trouble, None);
    let all = start(&mut shell, &["all"]);
    shell.second();
    let expected = Reply::Results(vec![failed("lost"), row("web", Outcome::Started)]);
    assert_eq!(shell.reply(all), Some(&expected));
    // A restart stops it and stops there.
    let restart = shell.ask(Command::Restart {
        targets: vec!["up".to_owned()],
        wait: true,
        unrunnable: unrunnable.clone(),
    });
    shell.exit("up", 0);
    let expected = Reply::Restarted {
        stops: vec![row("up", Outcome::Stopped)],
        starts: vec![failed("up")],
    };
    assert_eq!(shell.reply(restart), Some(&expected));
    shell.second();
    assert_eq!(shell.state("up"), State::Stopped);
}
