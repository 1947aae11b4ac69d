//! Changes of the configuration.

use super::{Shell, autostarted, row};
use crate::config::model::Config;
use crate::engine::action::Action;
use crate::engine::event::{Command, Event, GroupChange, GroupOutcome, Outcome, Reply};
use crate::engine::testing::{config, key, settings};
use crate::engine::view::State;
use std::sync::Arc;
use std::time::Duration;

fn changes(reply: Option<&Reply>) -> Vec<String> {
    let Some(Reply::Changes(changes)) = reply else {
        panic!("not changes: {reply:?}");
    };
    let word = |change: &GroupChange| {
        let stopped = if change.stopped { " stopped" } else { "" };
        format!("{:?} {}{stopped}", change.kind, change.group)
    };
    changes.iter().map(word).collect()
}

#[test]
fn an_update_touches_what_it_concerns_and_nothing_else() {
    let mut shell = Shell::new(["gone", "new-command", "same", "w:0", "w:1"].map(autostarted));
    shell.feed(Event::Boot);
    shell.second();
    let before: Vec<_> = ["same", "w:0"].map(|name| shell.view(name).pid).into();
    shell.taken();

    let mut changed = autostarted("new-command");
    changed.launch.umask = 0o77;
    let mut live = autostarted("same");
    live.policy.stopwaitsecs = Duration::from_secs(30);
    live.stdout.backups = 3;
    let file = [
        changed,
        live,
        autostarted("w:0"),
        autostarted("added"),
        settings("asleep"),
    ];
    let reread = shell.ask(Command::Reread {
        config: Arc::new(config(file.clone())),
    });
    let told = [
        "Removed gone",
        "Changed new-command",
        "Changed same",
        "Changed w",
        "Added added",
        "Added asleep",
    ];
    assert_eq!(changes(shell.reply(reread)), told);
    assert_eq!(shell.taken(), (vec![], vec![]), "reading is not doing");
    assert_eq!(
        shell.engine.avail().iter().filter(|row| row.in_use).count(),
        3
    );

    let update = shell.update(file);
    assert_eq!(shell.reply(update), None, "the stops are not over");
    let relimited = |action: &&Action| matches!(action, Action::Relimit { .. });
    assert_eq!(shell.log.iter().filter(relimited).count(), 1);
    let (spawned, stopped) = shell.taken();
    assert_eq!(spawned, ["added"]);
    assert_eq!(stopped, ["w:1", "gone", "new-command"]);
    for name in ["gone", "w:1", "new-command"] {
        shell.exit(name, 0);
    }
    let told = [
        "Removed gone stopped",
        "Changed new-command stopped",
        "Changed same",
        "Changed w stopped",
        "Added added",
        "Added asleep",
    ];
    assert_eq!(changes(shell.reply(update)), told);
    assert_eq!(shell.taken().0, ["new-command"]);
    let after: Vec<_> = ["same", "w:0"].map(|name| shell.view(name).pid).into();
    assert_eq!(before, after);
    assert_eq!(
        shell.view("same").settings.policy.stopwaitsecs,
        Duration::from_secs(30)
    );
    let names: Vec<_> = shell
        .engine
        .processes()
        .map(|view| view.key.to_string())
        .collect();
    assert_eq!(names, ["added", "asleep", "new-command", "same", "w:0"]);
}

#[test]
fn what_an_operator_said_outlives_a_change() {
    let names = ["stopped", "started", "auto", "manual"];
    let mut shell = Shell::new(names.map(|name| match name {
        "stopped" | "auto" => autostarted(name),
        _ => settings(name),
    }));
    shell.feed(Event::Boot);
    shell.second();
    shell.stop(&["stopped"]);
    shell.exit("stopped", 0);
    shell.start(&["started"]);
    shell.second();
    shell.exit("started", 0);
    assert_eq!(shell.state("started"), State::Exited);
    shell.taken();
    let update = shell.update(names.map(|name| {
        let mut settings = if name == "manual" || name == "stopped" {
            autostarted(name)
        } else {
            settings(name)
        };
        settings.launch.umask = 0o77;
        settings
    }));
    shell.exit("auto", 0);
    // What was started by hand is started again, what was stopped by hand is not, and else `autostart` decides.
    assert_eq!(shell.taken().0, ["manual", "started"]);
    assert_eq!(
        changes(shell.reply(update)),
        [
            "Changed auto stopped",
            "Changed manual",
            "Changed started",
            "Changed stopped"
        ]
    );
}

#[test]
fn autostart_that_is_turned_on_starts_what_was_never_started() {
    let names = ["fresh", "ended", "stopped"];
    let mut shell = Shell::new(names.map(settings));
    shell.feed(Event::Boot);
    shell.start(&["ended"]);
    shell.second();
    shell.exit("ended", 0);
    shell.stop(&["stopped"]);
    shell.taken();
    let update = shell.update(names.map(autostarted));
    assert_eq!(shell.taken().0, ["fresh"]);
    assert_eq!(
        changes(shell.reply(update)),
        ["Changed ended", "Changed fresh", "Changed stopped"]
    );
    assert_eq!(shell.state("fresh"), State::Starting);
    // Turned off, it stays up.
    shell.second();
    shell.update(names.map(settings));
    assert_eq!(shell.taken().0, Vec::<String>::new());
    assert_eq!(shell.state("fresh"), State::Running);
}

#[test]
fn a_retry_that_is_pending_gives_way_to_a_change() {
    let mut shell = Shell::new([autostarted("web")]);
    shell.feed(Event::Boot);
    shell.exit("web", 1);
    assert_eq!(
        (shell.state("web"), shell.view("web").failures),
        (State::Backoff, 1)
    );
    let mut changed = autostarted("web");
    changed.launch.umask = 0o77;
    let update = shell.update([changed]);
    assert_eq!(changes(shell.reply(update)), ["Changed web stopped"]);
    assert_eq!(
        (shell.state("web"), shell.view("web").failures),
        (State::Starting, 0)
    );
}

#[test]
fn what_comes_back_while_it_is_still_leaving_starts_when_it_is_gone() {
    let mut shell = Shell::new([autostarted("web")]);
    shell.feed(Event::Boot);
    shell.second();
    let removed = shell.update([]);
    assert_eq!(shell.state("web"), State::Stopping);
    let start = shell.start(&["web"]);
    let expected = Reply::Results(vec![row("web", Outcome::NoSuchProcess)]);
    assert_eq!(shell.reply(start), Some(&expected));
    let mut changed = autostarted("web");
    changed.launch.umask = 0o77;
    let added = shell.update([changed]);
    assert_eq!(changes(shell.reply(added)), ["Added web"]);
    shell.exit("web", 0);
    assert_eq!(changes(shell.reply(removed)), ["Removed web stopped"]);
    shell.second();
    assert_eq!(shell.state("web"), State::Running);
    assert_eq!(shell.view("web").settings.launch.umask, 0o77);
    assert!(
        !shell
            .log
            .iter()
            .any(|action| matches!(action, Action::Forget { .. }))
    );
}

#[test]
fn an_update_of_some_groups_leaves_the_others_and_an_unknown_one_changes_nothing() {
    let mut shell = Shell::new(["a", "b"].map(autostarted));
    shell.feed(Event::Boot);
    shell.second();
    let file: Arc<Config> = Arc::new(config(["b", "c", "d"].map(autostarted)));
    let ask = |shell: &mut Shell, groups: &[&str]| {
        shell.ask(Command::Update {
            config: Arc::clone(&file),
            groups: groups.iter().map(|&name| name.to_owned()).collect(),
        })
    };
    let unknown = ask(&mut shell, &["c", "x", "y"]);
    let expected = Reply::UnknownGroup("x".to_owned());
    assert_eq!(shell.reply(unknown), Some(&expected));
    assert!(shell.engine.process(&key("c")).is_none());
    let some = ask(&mut shell, &["c"]);
    assert_eq!(changes(shell.reply(some)), ["Added c"]);
    assert_eq!(shell.state("a"), State::Running);
    assert!(shell.engine.process(&key("d")).is_none());
    let groups: Vec<_> = shell
        .engine
        .config()
        .groups
        .keys()
        .map(ToString::to_string)
        .collect();
    assert_eq!(groups, ["a", "b", "c"]);
    let all = ask(&mut shell, &["all", "x"]);
    shell.exit("a", 0);
    assert_eq!(changes(shell.reply(all)), ["Removed a stopped", "Added d"]);
    assert!(Arc::ptr_eq(shell.engine.config(), &file));
}

#[test]
fn groups_are_added_from_the_last_file_and_removed_when_nothing_runs() {
    let mut shell = Shell::new([autostarted("a")]);
    shell.feed(Event::Boot);
    shell.ask(Command::Reread {
        config: Arc::new(config(["a", "b"].map(autostarted))),
    });
    let add = |names: &[&str]| Command::Add {
        groups: names.iter().map(|&name| name.to_owned()).collect(),
    };
    let remove = |names: &[&str]| Command::Remove {
        groups: names.iter().map(|&name| name.to_owned()).collect(),
    };
    let groups = |list: &[(&str, GroupOutcome)]| {
        Reply::Groups(
            list.iter()
                .map(|(name, outcome)| ((*name).to_owned(), *outcome))
                .collect(),
        )
    };
    let ticket = shell.ask(add(&["b", "a", "x", "b", ""]));
    let expected = groups(&[
        ("b", GroupOutcome::Added),
        ("a", GroupOutcome::AlreadyAdded),
        ("x", GroupOutcome::NoSuchGroup),
        ("b", GroupOutcome::AlreadyAdded),
        ("", GroupOutcome::NoSuchGroup),
    ]);
    assert_eq!(shell.reply(ticket), Some(&expected));
    assert_eq!(shell.state("b"), State::Starting);
    shell.second();
    shell.stop(&["b"]);
    shell.exit("b", 0);
    let ticket = shell.ask(remove(&["a", "b", "b"]));
    let expected = groups(&[
        ("a", GroupOutcome::StillRunning),
        ("b", GroupOutcome::Removed),
        ("b", GroupOutcome::NoSuchGroup),
    ]);
    assert_eq!(shell.reply(ticket), Some(&expected));
    assert!(shell.engine.process(&key("b")).is_none());
    let free: Vec<_> = shell
        .engine
        .avail()
        .into_iter()
        .filter(|row| !row.in_use)
        .collect();
    assert_eq!(free.len(), 1, "a removed group can be added again");
}

#[test]
fn an_event_of_an_earlier_life_under_the_same_name_is_stale() {
    let mut shell = Shell::new([autostarted("web")]);
    shell.feed(Event::Boot);
    let old = shell.view("web").generation;
    shell.update([]);
    shell.exit("web", 0);
    shell.update([autostarted("web")]);
    let new = shell.view("web");
    assert!(new.generation > old);
    for event in [
        Event::Executed {
            key: key("web"),
            generation: old,
        },
        Event::GroupProbed {
            key: key("web"),
            generation: old,
            alive: false,
        },
    ] {
        assert_eq!(shell.engine.step(shell.now, event), []);
    }
    assert_eq!(shell.view("web"), new);
}
