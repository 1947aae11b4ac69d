//! Every outcome, for every action, against the reference's words and codes.

#![allow(clippy::too_many_lines, reason = "tables are long")]

use super::*;

fn named(name: &str, outcome: Outcome) -> NamedResult {
    NamedResult {
        name: name.to_owned(),
        outcome,
    }
}

fn failed(step: Step, errno: Errno) -> Outcome {
    Outcome::SpawnFailed(Failure {
        step,
        subject: "/bin/x".to_owned(),
        errno: errno as i32,
    })
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

#[test]
fn every_outcome_has_supervisors_words_and_code() {
    use Verb::{Clear, Input, Signal, Start, Status, Stop};
    for (verb, outcome, line, code) in [
        (Start, Outcome::Started, "x: started", 0),
        (
            Start,
            Outcome::AlreadyStarted,
            "x: ERROR (already started)",
            0,
        ),
        (
            Start,
            Outcome::NoSuchProcess,
            "x: ERROR (no such process)",
            1,
        ),
        (Start, Outcome::NoSuchGroup, "x: ERROR (no such group)", 2),
        (
            Start,
            failed(Step::Lookup, Errno::ENOENT),
            "x: ERROR (no such file)",
            1,
        ),
        (
            Start,
            failed(Step::Lookup, Errno::EACCES),
            "x: ERROR (file is not executable)",
            1,
        ),
        (
            Start,
            failed(Step::Lookup, Errno::EISDIR),
            "x: ERROR (file is not executable)",
            1,
        ),
        (
            Start,
            failed(Step::Exec, Errno::EACCES),
            "x: ERROR (file is not executable)",
            1,
        ),
        (
            Start,
            failed(Step::Exec, Errno::ENOEXEC),
            "x: ERROR (file is not executable)",
            1,
        ),
        (
            Start,
            failed(Step::Exec, Errno::ENOENT),
            "x: ERROR (spawn error)",
            7,
        ),
        (
            Start,
            failed(Step::Directory, Errno::ENOENT),
            "x: ERROR (spawn error)",
            7,
        ),
        (
            Start,
            failed(Step::Fork, Errno::EAGAIN),
            "x: ERROR (spawn error)",
            7,
        ),
        (
            Start,
            Outcome::ExitedTooQuickly(ExitStatus::Code(1)),
            "x: ERROR (spawn error)",
            7,
        ),
        (
            Start,
            Outcome::AbnormalTermination,
            "x: ERROR (abnormal termination)",
            7,
        ),
        (Stop, Outcome::Stopped, "x: stopped", 0),
        (Stop, Outcome::NotRunning, "x: ERROR (not running)", 0),
        (
            Stop,
            Outcome::NoSuchProcess,
            "x: ERROR (no such process)",
            1,
        ),
        (Stop, Outcome::NoSuchGroup, "x: ERROR (no such group)", 1),
        (
            Stop,
            Outcome::NotKilled,
            "x: ERROR (abnormal termination)",
            7,
        ),
        (Signal, Outcome::Signalled, "x: signalled", 0),
        (Signal, Outcome::NotRunning, "x: ERROR (not running)", 7),
        (
            Signal,
            Outcome::NoSuchProcess,
            "x: ERROR (no such process)",
            1,
        ),
        (Signal, Outcome::NoSuchGroup, "x: ERROR (no such group)", 1),
        (Signal, Outcome::Failed { errno: 1 }, "x: ERROR (failed)", 1),
        (Clear, Outcome::Cleared, "x: cleared", 0),
        (
            Clear,
            Outcome::NoSuchProcess,
            "x: ERROR (no such process)",
            1,
        ),
        (Clear, Outcome::NoSuchGroup, "x: ERROR (no such group)", 1),
        (Clear, Outcome::Failed { errno: 13 }, "x: ERROR (failed)", 1),
        (
            Status,
            Outcome::NoSuchProcess,
            "x: ERROR (no such process)",
            4,
        ),
        (Status, Outcome::NoSuchGroup, "x: ERROR (no such group)", 4),
        (Input, Outcome::InputSent, "x: input sent", 0),
        (Input, Outcome::NotRunning, "x: ERROR (not running)", 7),
    ] {
        let result = named("x", outcome);
        assert_eq!(
            result_line(verb, &result),
            (line.to_owned(), code),
            "{verb:?} {result:?}"
        );
    }
}

#[test]
fn an_unknown_group_loses_its_star() {
    for target in ["nosuch:*", "nosuch:", "nosuch"] {
        let result = named(target, Outcome::NoSuchGroup);
        assert_eq!(
            result_line(Verb::Stop, &result).0,
            "nosuch: ERROR (no such group)"
        );
    }
}

#[test]
fn what_needed_nothing_is_told_only_to_who_asked_for_it() {
    for (targets, name, silent) in [
        (&["all"][..], "web:0", true),
        (&["all", "web:0"], "web:0", true),
        (&["web:*"], "web:0", true),
        (&["web:"], "web:0", true),
        (&["web:*"], "web", true),
        (&["web:*"], "website:0", false),
        (&["web:*", "web:0"], "web:0", false),
        (&["web"], "web:0", false),
        (&["web", "db:*"], "web:0", false),
        (&["web:0"], "web:0", false),
    ] {
        assert_eq!(
            only_among_others(name, &strings(targets)),
            silent,
            "{targets:?} {name}"
        );
    }
    let all = strings(&["all"]);
    let idle = [
        named("a", Outcome::AlreadyStarted),
        named("b", Outcome::Started),
    ];
    assert_eq!(results(Verb::Start, &all, &idle).lines, ["b: started"]);
    let idle = [named("a", Outcome::NotRunning)];
    assert_eq!(results(Verb::Signal, &all, &idle), Rendered::default());
    assert_eq!(results(Verb::Signal, &strings(&["a"]), &idle).code, 7);
}

#[test]
fn the_last_failure_decides_the_code_and_success_hides_none() {
    let mixed = [
        named("a", failed(Step::Fork, Errno::EAGAIN)),
        named("b", Outcome::NoSuchProcess),
        named("c", Outcome::Started),
        named("d", Outcome::AlreadyStarted),
    ];
    let rendered = results(Verb::Start, &strings(&["a", "b", "c", "d"]), &mixed);
    assert_eq!(rendered.code, 1);
    assert_eq!(rendered.lines.len(), 4);
    assert_eq!(
        rendered.details,
        ["a: Too many processes in process table to spawn '/bin/x'"]
    );
}

#[test]
fn details_say_what_the_words_hide() {
    for (outcome, text) in [
        (
            failed(Step::Directory, Errno::ENOENT),
            Some("chdir to /bin/x: no such directory"),
        ),
        (
            Outcome::ExitedTooQuickly(ExitStatus::Code(3)),
            Some("exited too quickly: exit status 3"),
        ),
        (Outcome::Failed { errno: 13 }, Some("permission denied")),
        (
            Outcome::NotKilled,
            Some("processes of it survived even KILL"),
        ),
        (Outcome::Started, None),
    ] {
        assert_eq!(detail(&outcome).as_deref(), text);
    }
}

#[test]
fn pids_are_numbers_and_dead_ones_count_only_when_named() {
    let row = |name: &str, pid| PidRow {
        name: name.to_owned(),
        pid,
    };
    let rows = [row("a", Some(12)), row("b", Some(0)), row("c", Some(13))];
    let rendered = pids(&strings(&["all"]), &rows);
    assert_eq!(
        (rendered.lines, rendered.code),
        (strings(&["12", "0", "13"]), 0)
    );
    let rendered = pids(&strings(&["a", "b", "c"]), &rows);
    assert_eq!(
        (rendered.lines, rendered.code),
        (strings(&["12", "0", "13"]), 7)
    );
    let rendered = pids(&strings(&["x"]), &[row("x", None)]);
    assert_eq!(
        (rendered.lines, rendered.code),
        (strings(&["No such process x"]), 1)
    );
}

#[test]
fn avail_has_its_four_columns() {
    let row = AvailRow {
        name: "web:0".to_owned(),
        group: "web".to_owned(),
        in_use: true,
        autostart: false,
        group_priority: 999,
        process_priority: 5,
    };
    assert_eq!(
        avail(&[row]).lines,
        ["web:0                            in use    manual    999:5"]
    );
}

fn change(group: &str, kind: ChangeKind, stopped: bool) -> Change {
    Change {
        group: group.to_owned(),
        kind,
        stopped,
    }
}

#[test]
fn reread_sorts_by_name_and_says_when_there_is_nothing() {
    let changes = [
        change("z", ChangeKind::Removed, false),
        change("m", ChangeKind::Changed, false),
        change("a", ChangeKind::Added, false),
    ];
    assert_eq!(
        reread(&changes).lines,
        ["a: available", "m: changed", "z: disappeared"]
    );
    assert_eq!(reread(&[]).lines, ["No config updates to processes"]);
}

#[test]
fn update_tells_the_phases_and_nothing_when_nothing_changed() {
    let changes = [
        change("old", ChangeKind::Removed, true),
        change("idle", ChangeKind::Removed, false),
        change("web", ChangeKind::Changed, true),
        change("live", ChangeKind::Changed, false),
        change("new", ChangeKind::Added, false),
    ];
    assert_eq!(
        update(&changes).lines,
        [
            "old: stopped",
            "old: removed process group",
            "idle: stopped",
            "idle: removed process group",
            "web: stopped",
            "web: updated process group",
            "live: updated process group",
            "new: added process group",
        ]
    );
    assert_eq!(update(&[]), Rendered::default());
}

#[test]
fn groups_are_added_and_removed_in_supervisors_words() {
    for (answer, line, code) in [
        (GroupAnswer::Added, "g: added process group", 0),
        (GroupAnswer::Removed, "g: removed process group", 0),
        (
            GroupAnswer::AlreadyAdded,
            "ERROR: process group already active",
            0,
        ),
        (
            GroupAnswer::StillRunning,
            "ERROR: process/group still running: g",
            1,
        ),
        (
            GroupAnswer::NoSuchGroup,
            "ERROR: no such process/group: g",
            1,
        ),
    ] {
        let rendered = groups(&[GroupResult {
            group: "g".to_owned(),
            answer,
        }]);
        assert_eq!(rendered, Rendered::line(line, code));
    }
}

#[test]
fn refusals_are_worded_by_the_action() {
    let down = Refusal::ShuttingDown;
    let name = || "x".to_owned();
    for (action, refused, line, code) in [
        ("avail", down.clone(), "ERROR: supervisor shutting down", 1),
        ("reread", down.clone(), "ERROR: supervisor shutting down", 1),
        ("update", down.clone(), "ERROR: already shutting down", 1),
        ("reload", down.clone(), "ERROR: already shutting down", 1),
        ("shutdown", down.clone(), "ERROR: already shutting down", 0),
        ("add", down.clone(), "ERROR: shutting down", 1),
        ("start", down, "error: the daemon is shutting down", 1),
        (
            "update",
            Refusal::NoSuchGroup(name()),
            "ERROR: no such group: x",
            1,
        ),
        (
            "tail",
            Refusal::NoSuchProcess(name()),
            "x: ERROR (no such process name)",
            1,
        ),
        (
            "fg",
            Refusal::NoSuchProcess(name()),
            "ERROR: bad process name supplied",
            1,
        ),
        ("tail", Refusal::NoLog(name()), "x: ERROR (no log file)", 1),
        (
            "tail",
            Refusal::LogUnreadable {
                name: name(),
                errno: 13,
            },
            "x: ERROR (unknown error reading log)",
            1,
        ),
        (
            "status",
            Refusal::Forbidden,
            "error: the daemon does not allow this user to do that",
            4,
        ),
    ] {
        let rendered = refusal(action, &refused);
        assert_eq!(
            (rendered.lines, rendered.code),
            (vec![line.to_owned()], code),
            "{action}"
        );
    }
}

#[test]
fn faults_of_the_file_are_told_with_their_place_errors_first() {
    let diagnostic = |error, line, column, message: &str, help: Option<&str>| Diagnostic {
        error,
        file: "/etc/t.ini".to_owned(),
        line,
        column,
        message: message.to_owned(),
        help: help.map(str::to_owned),
    };
    let rendered = refusal(
        "reread",
        &Refusal::BadConfig(vec![
            diagnostic(
                false,
                2,
                1,
                "unknown key 'autostrt'",
                Some("did you mean 'autostart'?"),
            ),
            diagnostic(true, 4, 11, "not a number: 'x'", None),
            diagnostic(true, 0, 0, "no program", None),
        ]),
    );
    assert_eq!(
        rendered.lines,
        [
            "ERROR: CANT_REREAD: /etc/t.ini:4:11: not a number: 'x'",
            "/etc/t.ini: no program",
            "warning: /etc/t.ini:2:1: unknown key 'autostrt' (did you mean 'autostart'?)",
        ]
    );
    assert_eq!(rendered.code, 1);
}
