//! What depends on the time: every deadline to the nanosecond, and sequences of attempts, KILLs and looks.

use super::super::{End, Input, KILL_AGAIN, KILL_PATIENCE, Process, Then, Wanted};
use super::{AGAIN, NOENT, answer_words, end, exited, failure, fixture, led, words};
use crate::config::model::Autorestart;
use crate::engine::action::Action;
use crate::engine::outbox::Outbox;
use crate::engine::testing::{ms, pid, settings};
use crate::engine::view::{State, Trouble};
use crate::types::{ExitStatus, Generation, Monotonic, Signal};
use std::sync::Arc;
use std::time::Duration;

const NANO: Duration = Duration::from_nanos(1);

/// Does something and says in words what came of it.
fn does(process: &mut Process, now: Monotonic, input: Input) -> String {
    let mut out = Outbox::default();
    let answer = process.step(now, input, &mut out);
    format!("{}{}", words(&out), answer_words(&answer))
        .trim()
        .to_owned()
}

/// Just before `at` nothing comes of it, and at that moment this does.
#[track_caller]
fn at_its_border(state: &str, input: &Input, at: Monotonic, before: &str, then: &str) {
    let (mut process, _) = fixture(state);
    let early = Monotonic::from_nanos(at.as_nanos() - 1);
    assert_eq!(
        does(&mut process.clone(), early, input.clone()),
        before,
        "{state} early"
    );
    assert_eq!(
        does(&mut process, at, input.clone()),
        then,
        "{state} in time"
    );
}

#[test]
fn each_deadline_holds_to_the_nanosecond() {
    for (state, then) in [
        ("STARTING executed", "->RUNNING running"),
        ("BACKOFF", "->STARTING spawn"),
        ("STOPPING asked", "KILL*"),
        ("STOPPING killed", "KILL*"),
        ("STOPPING remains", "->STOPPED notkilled"),
        ("STOPPING pausing", "look"),
        ("EXITED pending", "->STARTING spawn"),
    ] {
        let (process, _) = fixture(state);
        at_its_border(state, &Input::Due, process.deadline().unwrap(), "", then);
    }
    for state in [
        "STOPPED",
        "STARTING asked",
        "STARTING forked",
        "RUNNING",
        "STOPPING unborn",
        "EXITED",
        "FATAL",
    ] {
        assert_eq!(fixture(state).0.deadline(), None, "{state}");
    }
}

#[test]
fn startsecs_counts_from_the_program_and_every_event_is_judged_by_its_own_time() {
    // Executed at 1002 ms, startsecs is 1 s.
    let at = ms(2002);
    let state = "STARTING executed";
    at_its_border(
        state,
        &exited(ExitStatus::Code(0)),
        at,
        "reap ->BACKOFF exitedtooquickly",
        "->RUNNING reap ->EXITED running",
    );
    at_its_border(
        state,
        &end(Then::Rest),
        at,
        "->STOPPING TERM CONT cancelled signalled stop:signalled",
        "->RUNNING ->STOPPING TERM CONT running cancelled signalled stop:signalled",
    );
    at_its_border(
        state,
        &Input::Start,
        at,
        "start:AlreadyStarted",
        "->RUNNING running start:AlreadyStarted",
    );
}

#[test]
fn startsecs_of_zero_is_running_in_the_step_that_says_executed() {
    let mut settings = settings("web");
    settings.policy.startsecs = Duration::ZERO;
    let (mut process, now) = led(settings, vec![Input::Start, Input::Spawned(pid(7))]);
    assert_eq!(process.state(), State::Starting);
    assert_eq!(
        does(&mut process, now, Input::Executed),
        "->RUNNING running"
    );
}

#[test]
fn a_changed_startsecs_applies_to_the_start_under_way() {
    let (mut process, now) = fixture("STARTING executed");
    let mut shorter = settings("web");
    shorter.policy.startsecs = Duration::from_millis(1);
    process.adjust(Arc::new(shorter));
    assert_eq!(process.deadline(), Some(ms(1003)));
    assert_eq!(does(&mut process, now, Input::Due), "->RUNNING running");
}

#[test]
fn a_failing_program_is_spawned_startretries_and_once_more() {
    let (mut process, mut now) = led(settings("web"), vec![Input::Start]);
    for attempt in 1u32..=4 {
        assert_eq!(process.generation(), Generation(u64::from(attempt)));
        process.step(now, Input::Spawned(pid(7)), &mut Outbox::default());
        process.step(now, Input::Executed, &mut Outbox::default());
        let told = does(&mut process, now, exited(ExitStatus::Code(0)));
        let status = ExitStatus::Code(0);
        assert_eq!(
            process.view().trouble,
            Some(Trouble::ExitedTooQuickly(status))
        );
        assert_eq!(process.view().failures, attempt);
        if attempt < 4 {
            assert_eq!(told, "reap ->BACKOFF exitedtooquickly");
            let until = now.after(Duration::from_secs(u64::from(attempt)));
            assert_eq!(process.view().next_attempt, Some(until));
            now = until;
            assert_eq!(does(&mut process, now, Input::Due), "->STARTING spawn");
        } else {
            assert_eq!(told, "reap ->BACKOFF ->FATAL exitedtooquickly");
        }
    }
    // A start forgives everything.
    assert_eq!(
        does(&mut process, now, Input::Start),
        "->STARTING spawn start:later"
    );
    assert_eq!(process.view().failures, 0);
    assert_eq!(process.view().trouble, None);
}

#[test]
fn a_shortage_costs_no_retry_and_is_forgotten_once_it_runs() {
    let mut settings = settings("web");
    settings.policy.startretries = 0;
    let (mut process, mut now) = led(settings, vec![Input::Start]);
    for millis in [
        100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 51_200, 60_000, 60_000,
    ] {
        assert_eq!(
            does(&mut process, now, Input::SpawnFailed(failure(AGAIN))),
            "->BACKOFF spawnfailed"
        );
        let until = now.after(Duration::from_millis(millis));
        assert_eq!(process.deadline(), Some(until), "{millis}");
        assert_eq!(process.view().failures, 0);
        now = until;
        process.step(now, Input::Due, &mut Outbox::default());
    }
    process.step(now, Input::Spawned(pid(7)), &mut Outbox::default());
    process.step(now, Input::Executed, &mut Outbox::default());
    now = now.after(Duration::from_secs(1));
    assert_eq!(does(&mut process, now, Input::Due), "->RUNNING running");
    assert_eq!(
        does(&mut process, now, exited(ExitStatus::Code(1))),
        "reap ->EXITED ->STARTING spawn"
    );
    process.step(
        now,
        Input::SpawnFailed(failure(AGAIN)),
        &mut Outbox::default(),
    );
    assert_eq!(
        process.deadline(),
        Some(now.after(Duration::from_millis(100)))
    );
}

#[test]
fn what_ran_is_started_again_at_once_but_not_within_80_milliseconds() {
    let mut settings = settings("web");
    settings.policy.autorestart = Autorestart::Always;
    settings.policy.startsecs = Duration::ZERO;
    // Spawned at 1000 ms.
    let up = vec![Input::Start, Input::Spawned(pid(7)), Input::Executed];
    let (process, _) = led(settings, up);
    let end = || exited(ExitStatus::Code(0));
    let early = Monotonic::from_nanos(ms(1080).as_nanos() - 1);
    let mut soon = process.clone();
    assert_eq!(does(&mut soon, early, end()), "reap ->EXITED");
    assert_eq!(soon.view().next_attempt, Some(ms(1080)));
    assert_eq!(soon.view().restarts, 0);
    let mut late = process;
    assert_eq!(
        does(&mut late, ms(1080), end()),
        "reap ->EXITED ->STARTING spawn"
    );
    assert_eq!(late.view().restarts, 1);
}

#[test]
fn whoever_survives_kill_is_killed_again_and_no_longer_waited_for() {
    let (mut process, _) = fixture("STOPPING asked");
    let first = process.deadline().unwrap();
    assert_eq!(does(&mut process, first, Input::Due), "KILL*");
    for round in 1u32..=11 {
        let again = first.after(KILL_AGAIN * round);
        assert_eq!(process.deadline(), Some(again));
        assert_eq!(does(&mut process, again, Input::Due), "KILL*");
    }
    let in_vain = first.after(KILL_PATIENCE);
    assert_eq!(does(&mut process, in_vain, Input::Due), "KILL* notkilled");
    assert_eq!(process.state(), State::Stopping);
    // It is told once, and KILL goes on.
    let again = in_vain.after(KILL_AGAIN);
    assert_eq!(does(&mut process, again, Input::Due), "KILL*");
    // Who asks now waits as long as the first.
    let later = again.after(NANO);
    assert_eq!(
        does(&mut process, later, end(Then::Rest)),
        "cancelled stop:signalled"
    );
    let mut told = Vec::new();
    while process.deadline().unwrap() <= later.after(KILL_PATIENCE) {
        let at = process.deadline().unwrap();
        told.push(does(&mut process, at, Input::Due));
    }
    assert_eq!(
        told.iter()
            .filter(|words| words.contains("notkilled"))
            .count(),
        1
    );
    assert_eq!(told.last().unwrap(), "notkilled");
}

#[test]
fn what_is_left_of_a_group_is_looked_at_less_and_less_often_and_then_left_alone() {
    let (mut process, mut now) = fixture("STOPPING remains");
    let until = process.deadline().unwrap();
    let mut pauses = Vec::new();
    loop {
        assert_eq!(does(&mut process, now, Input::Probed { alive: true }), "");
        let at = process.deadline().unwrap();
        if at == until {
            break;
        }
        pauses.push(at.since(now).as_millis());
        assert_eq!(does(&mut process, at, Input::Due), "look");
        now = at;
    }
    assert_eq!(pauses[..8], [2, 4, 8, 16, 32, 64, 100, 100]);
    assert_eq!(does(&mut process, until, Input::Due), "->STOPPED notkilled");
    // A late answer says nothing.
    assert_eq!(
        does(&mut process, until, Input::Probed { alive: false }),
        ""
    );
    assert_eq!(process.state(), State::Stopped);
}

#[test]
fn survivors_keep_a_restart_from_happening() {
    let (mut process, now) = fixture("STOPPING to start");
    process.step(now, exited(ExitStatus::Code(0)), &mut Outbox::default());
    let until = process.deadline().unwrap();
    assert_eq!(does(&mut process, until, Input::Due), "->STOPPED notkilled");
}

#[test]
fn a_stop_that_has_no_time_kills_at_once() {
    let mut settings = settings("web");
    settings.policy.stopwaitsecs = Duration::ZERO;
    let forked = vec![Input::Start, Input::Spawned(pid(7))];
    let (mut process, now) = led(settings.clone(), forked.clone());
    // Before its program runs its process group may not exist, so KILL goes to the leader as well.
    assert_eq!(
        does(&mut process, now, end(Then::Rest)),
        "->STOPPING TERM CONT KILL* KILL cancelled signalled stop:signalled"
    );
    let hurry = Input::End(End {
        then: Then::Rest,
        hurry: true,
        settings: None,
    });
    let (mut process, now) = fixture("RUNNING");
    assert_eq!(
        does(&mut process, now, hurry.clone()),
        "->STOPPING TERM CONT KILL* cancelled signalled stop:signalled"
    );
    let (mut process, now) = fixture("STARTING asked");
    assert_eq!(
        does(&mut process, now, hurry.clone()),
        "->STOPPING cancelled stop:later"
    );
    assert_eq!(
        does(&mut process, now, Input::Spawned(pid(7))),
        "TERM CONT KILL* KILL spawned signalled"
    );
    let (mut process, now) = fixture("STOPPING asked");
    assert_eq!(
        does(&mut process, now, hurry),
        "KILL* cancelled stop:signalled"
    );
    let (mut process, now) = fixture("STOPPING unborn");
    assert_eq!(does(&mut process, now, Input::Hurry), "");
    assert_eq!(
        does(&mut process, now, Input::Spawned(pid(7))),
        "TERM CONT KILL* KILL spawned signalled"
    );
}

#[test]
fn the_group_is_signalled_where_the_settings_say_so() {
    let mut settings = settings("web");
    settings.policy.stopasgroup = true;
    settings.policy.killasgroup = true;
    let forked = vec![Input::Start, Input::Spawned(pid(7))];
    let (process, now) = led(settings, forked);
    assert_eq!(
        does(&mut process.clone(), now, end(Then::Rest)),
        "->STOPPING TERM CONT cancelled signalled stop:signalled",
        "nobody else can be in the group yet"
    );
    let mut process = process;
    process.step(now, Input::Executed, &mut Outbox::default());
    assert_eq!(
        does(&mut process.clone(), now, end(Then::Rest)),
        "->STOPPING TERM* CONT* cancelled signalled stop:signalled"
    );
    assert_eq!(
        does(&mut process, now, exited(ExitStatus::Code(0))),
        "KILL* reap ->BACKOFF exitedtooquickly"
    );
}

#[test]
fn what_is_stopped_to_start_again_uses_the_old_settings_to_stop_and_the_new_to_start() {
    let (mut process, now) = fixture("RUNNING");
    let mut new = settings("web");
    new.policy.stopsignal = Signal::INT;
    new.launch.command = "/bin/other".to_owned();
    let replace = Input::End(End {
        then: Then::Start,
        hurry: false,
        settings: Some(Arc::new(new)),
    });
    assert_eq!(
        does(&mut process, now, replace),
        "->STOPPING TERM CONT cancelled signalled stop:signalled start:later"
    );
    process.step(now, exited(ExitStatus::Code(0)), &mut Outbox::default());
    let mut out = Outbox::default();
    process.step(now, Input::Probed { alive: false }, &mut out);
    assert_eq!(words(&out), "->STOPPED ->STARTING spawn gone");
    assert!(out.actions.iter().any(|action| matches!(
        action,
        Action::Spawn { settings, .. } if settings.launch.command == "/bin/other"
    )));
}

#[test]
fn a_process_that_is_wanted_down_is_not_tried_again() {
    for (state, input) in [
        ("STARTING asked", Input::SpawnFailed(failure(NOENT))),
        ("STARTING executed", exited(ExitStatus::Code(1))),
        ("RUNNING", exited(ExitStatus::Code(1))),
    ] {
        let (mut process, now) = fixture(state);
        process.want(Wanted {
            up: false,
            by_operator: false,
        });
        process.step(now, input, &mut Outbox::default());
        assert_eq!(process.deadline(), None, "{state}");
        assert!(!process.is_live(), "{state}");
    }
}

#[test]
fn a_signal_reaches_the_leader_and_changes_nothing() {
    for (state, sent) in [
        ("STOPPED", false),
        ("STARTING asked", false),
        ("STARTING forked", true),
        ("STARTING executed", true),
        ("RUNNING", true),
        ("BACKOFF", false),
        ("STOPPING unborn", false),
        ("STOPPING asked", true),
        ("STOPPING killed", true),
        ("STOPPING remains", false),
        ("EXITED", false),
        ("FATAL", false),
    ] {
        let (process, _) = fixture(state);
        let mut out = Outbox::default();
        let outcome = process.signal(Signal::HUP, &mut out);
        assert_eq!(words(&out), if sent { "HUP" } else { "" }, "{state}");
        assert_eq!(
            outcome == crate::engine::event::Outcome::Signalled,
            sent,
            "{state}"
        );
    }
}

/// In a release a broken invariant costs one line in the log and that one process.
#[cfg(not(debug_assertions))]
#[test]
fn a_bug_is_contained_to_one_process() {
    let (mut process, now) = fixture("STOPPED");
    assert_eq!(
        does(&mut process, now, Input::Spawned(pid(8))),
        "KILL bug ->FATAL"
    );
    let (mut process, now) = fixture("RUNNING");
    assert_eq!(does(&mut process, now, Input::Spawned(pid(8))), "KILL bug");
    assert_eq!(process.state(), State::Running);
}
