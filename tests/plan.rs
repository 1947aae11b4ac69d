//! `update --dry-run` and `reread --diff`: what they tell is what `update` then does.

use crate::harness::{Daemon, wait};
use serde_json::Value;
use taskmaster::wire::{
    Change, Plan, PlannedGroup, PlannedKey, PlannedStep, Request, Response, StatusRow,
};

const PROGRAMS: &str = "\
[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\nnumprocs=2\n\
[program.db]\ncommand=sleep 1001\nautostart=true\nstartsecs=0\n\
[program.cache]\ncommand=sleep 1002\nautostart=true\nstartsecs=0\n\
[program.job]\ncommand=sleep 1003\nstartsecs=0\n\
[group.site]\nprograms=web,db\n";

/// A daemon with the programs above; all but `job` run.
fn daemon() -> Daemon {
    let daemon = Daemon::with(PROGRAMS);
    for name in ["site:web:0", "site:web:1", "site:db", "cache"] {
        daemon.wait_state(name, "RUNNING");
    }
    daemon
}

fn ask(daemon: &Daemon, groups: &[&str]) -> Plan {
    let groups = groups.iter().map(|&name| name.to_owned()).collect();
    match daemon.client().ask(Request::Plan { groups }).unwrap() {
        Response::Plan(plan) => plan,
        other => panic!("{other:?}"),
    }
}

fn row(daemon: &Daemon, name: &str) -> Option<StatusRow> {
    daemon.rows().into_iter().find(|row| row.name == name)
}

/// `NAME: STEP KEY...`, but for what is unchanged.
fn steps(plan: &Plan) -> Vec<String> {
    plan.processes
        .iter()
        .filter(|process| process.step != PlannedStep::Unchanged)
        .map(|process| {
            let keys: Vec<&str> = process.keys.iter().map(|key| key.key.as_str()).collect();
            format!("{}: {:?} {}", process.name, process.step, keys.join(" "))
                .trim_end()
                .to_owned()
        })
        .collect()
}

/// Asks for the plan, makes the update, and holds what happened to each process against what was told.
#[track_caller]
fn told_and_done(daemon: &Daemon, groups: &[&str]) -> Plan {
    wait::for_condition("every process to be at rest", || {
        let between = ["STARTING", "STOPPING", "BACKOFF"];
        !daemon
            .rows()
            .iter()
            .any(|row| between.contains(&row.state.name()))
    });
    let before = daemon.rows();
    let plan = ask(daemon, groups);
    assert_eq!(ask(daemon, groups), plan, "asking changes nothing");
    let pids = |rows: Vec<StatusRow>| -> Vec<_> {
        rows.into_iter().map(|row| (row.name, row.pid)).collect()
    };
    assert_eq!(pids(daemon.rows()), pids(before.clone()));
    let groups = groups.iter().map(|&name| name.to_owned()).collect();
    let done = match daemon.client().ask(Request::Update { groups }).unwrap() {
        Response::Changes(changes) => changes,
        other => panic!("{other:?}"),
    };
    let told: Vec<Change> = plan
        .groups
        .iter()
        .map(|PlannedGroup { change, .. }| change.clone())
        .collect();
    assert_eq!(told, done);
    for planned in &plan.processes {
        let name = &planned.name;
        let old = before.iter().find(|row| row.name == *name);
        let pid = old.and_then(|row| row.pid);
        let what = format!("{name} to be as planned: {planned:?}");
        wait::for_condition(&what, || {
            let new = row(daemon, name);
            let now = new.as_ref().and_then(|row| row.pid);
            match planned.step {
                PlannedStep::Unchanged | PlannedStep::Apply => new.is_some() && now == pid,
                PlannedStep::Restart => pid.is_some() && now.is_some() && now != pid,
                PlannedStep::Start => pid.is_none() && now.is_some(),
                PlannedStep::Stop => pid.is_some() && now.is_none(),
                PlannedStep::Add => old.is_none() && new.is_some() && now.is_none(),
                PlannedStep::Remove => old.is_some() && pid.is_none() && new.is_none(),
            }
        });
    }
    // What has no part in the plan has no part in the update.
    for old in &before {
        if !plan
            .processes
            .iter()
            .any(|process| process.name == old.name)
        {
            assert_eq!(row(daemon, &old.name).map(|row| row.pid), Some(old.pid));
        }
    }
    plan
}

#[test]
fn only_what_changed_is_touched_in_a_group_of_mixed_programs() {
    let daemon = daemon();
    for (edit, with, expected) in [
        // Another command of one program: its copies, and nobody else.
        (
            "sleep 1000",
            "sleep 2000",
            &["site:web:0: Restart command", "site:web:1: Restart command"][..],
        ),
        ("sleep 1001", "sleep 2001", &["site:db: Restart command"]),
        // Copies come and go.
        (
            "numprocs=2",
            "numprocs=4",
            &["site:web:2: Start numprocs", "site:web:3: Start numprocs"],
        ),
        (
            "numprocs=4",
            "numprocs=1\npriority=5",
            &[
                "site:web: Start numprocs",
                "site:web:0: Stop numprocs",
                "site:web:1: Stop numprocs",
                "site:web:2: Stop numprocs",
                "site:web:3: Stop numprocs",
            ],
        ),
        // Ranks and rules apply live.
        (
            "priority=5",
            "priority=6\nstopwaitsecs=9",
            &["site:web: Apply priority stopwaitsecs"],
        ),
        // A lower rank of the group concerns no process at all.
        ("programs=web,db", "programs=web,db\npriority=3", &[]),
        // A line above moves all the others and changes nothing.
        ("[program.web]", "; a comment\n[program.web]", &[]),
        // Another program joins the group and brings nobody down.
        (
            "programs=web,db",
            "programs=web,db,cache",
            &["cache: Stop programs", "site:cache: Start programs"],
        ),
        // One leaves.
        (
            "programs=web,db,cache",
            "programs=cache,db",
            &["site:web: Stop programs", "web: Start programs"],
        ),
        // `autostart` starts what was never started.
        (
            "sleep 1003",
            "sleep 1003\nautostart=true",
            &["job: Start autostart"],
        ),
        (
            "sleep 1003\nautostart=true",
            "sleep 1003\nautostart=false",
            &["job: Apply autostart"],
        ),
    ] {
        let text = daemon.sandbox.read("tm.ini");
        assert!(text.contains(edit), "{edit}");
        let (_, programs) =
            text.split_at(text.find("\n[program.").or(text.find("\n; a")).unwrap() + 1);
        daemon.edit_config(&programs.replacen(edit, with, 1));
        let plan = told_and_done(&daemon, &[]);
        assert_eq!(steps(&plan), expected, "{edit} -> {with}");
        let again = ask(&daemon, &[]);
        assert_eq!((steps(&again), again.groups.len()), (vec![], 0), "{edit}");
    }
    daemon.close();
}

#[test]
fn what_an_operator_said_is_part_of_the_plan() {
    let daemon = daemon();
    daemon.ctl("stop site:db").code(0);
    daemon.ctl("start job").code(0);
    daemon.edit_config(&PROGRAMS.replace("sleep 100", "sleep 300"));
    let plan = told_and_done(&daemon, &[]);
    assert_eq!(
        steps(&plan),
        [
            "cache: Restart command",
            "job: Restart command",
            "site:db: Apply command",
            "site:web:0: Restart command",
            "site:web:1: Restart command",
        ]
    );
    daemon.close();
}

#[test]
fn whole_sections_and_some_groups() {
    let daemon = daemon();
    let file = "[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\nnumprocs=2\n\
                [program.cache]\ncommand=sleep 2007\nautostart=true\nstartsecs=0\n\
                [program.fresh]\ncommand=sleep 2008\nautostart=true\nstartsecs=0\n\
                [program.later]\ncommand=sleep 2009\n\
                [group.site]\nprograms=web\n";
    daemon.edit_config(file);
    let line = u32::try_from(
        daemon
            .sandbox
            .read("tm.ini")
            .lines()
            .position(|line| line == "[program.fresh]")
            .unwrap(),
    )
    .unwrap()
        + 1;
    let plan = told_and_done(&daemon, &["fresh", "job"]);
    assert_eq!(steps(&plan), ["fresh: Start", "job: Remove"]);
    let path = daemon.sandbox.config_path();
    assert_eq!(
        plan.processes[0].section,
        format!("{}:{line}", path.display())
    );
    let refused = daemon.client().ask(Request::Plan {
        groups: vec!["x".to_owned()],
    });
    assert!(
        format!("{refused:?}").contains("NoSuchGroup"),
        "{refused:?}"
    );
    let plan = told_and_done(&daemon, &[]);
    assert_eq!(
        steps(&plan),
        [
            "cache: Restart command",
            "later: Add",
            "site:db: Stop programs"
        ]
    );
    daemon.close();
}

#[test]
fn keys_of_the_daemons_section_are_found_where_they_stand() {
    let daemon = daemon();
    let text = daemon.sandbox.read("tm.ini");
    let whole = text.replacen(
        "[taskmasterd]\n",
        "[taskmasterd]\numask=027\nenvironment=SECRET=\"hunter2\"\n",
        1,
    );
    let line = |key: &str| {
        u32::try_from(
            whole
                .lines()
                .position(|line| line.starts_with(key))
                .unwrap(),
        )
        .unwrap()
            + 1
    };
    daemon.sandbox.write("tm.ini", &whole);
    let plan = told_and_done(&daemon, &["cache"]);
    let path = daemon.sandbox.config_path().display().to_string();
    let key = |name: &str, old: Option<&str>, new: &str, at: &str| PlannedKey {
        key: name.to_owned(),
        old: old.map(str::to_owned),
        new: Some(new.to_owned()),
        file: Some(path.clone()),
        line: line(at),
        live: false,
    };
    assert_eq!(
        plan.processes[0].keys,
        [
            key("umask", Some("022"), "027", "umask"),
            key("environment", None, "SECRET=***", "environment"),
        ]
    );
    let said = daemon.ctl("update --dry-run");
    said.code(0);
    assert!(!said.stdout.contains("hunter2"), "{said:?}");
    daemon.close();
}

#[test]
fn the_console_tells_the_plan_in_text_and_json() {
    let daemon = daemon();
    let path = daemon.sandbox.config_path().display().to_string();
    daemon
        .ctl("update --dry-run")
        .is(0, "No config updates to processes\n");
    daemon.edit_config(
        &PROGRAMS
            .replace("command=sleep 1000", "command=sleep 2005\npriority=1")
            .replace("[program.job]\ncommand=sleep 1003\nstartsecs=0\n", ""),
    );
    let text = daemon.sandbox.read("tm.ini");
    let at = |wanted: &str| text.lines().position(|line| line == wanted).unwrap() + 1;
    let (command, priority) = (at("command=sleep 2005"), at("priority=1"));
    let said = daemon.ctl("update --dry-run");
    said.code(0);
    let reasons = format!(
        "    command: sleep 1000 -> sleep 2005 ({path}:{command})\n    \
         priority: 999 -> 1 ({path}:{priority}), needs no restart\n"
    );
    assert!(
        said.stdout
            .starts_with("job: remove\n    its section is gone (it was "),
        "{said:?}"
    );
    let rest = format!(
        "site:web:0: restart\n{reasons}site:web:1: restart\n{reasons}unchanged: cache site:db\n"
    );
    assert!(said.stdout.ends_with(&rest), "{said:?}");
    daemon.ctl("reread --diff").is(0, &said.stdout);
    daemon
        .ctl("reread --diff cache")
        .is(0, "No config updates to processes\n");
    daemon.ctl("update --dry-run site").is(
        0,
        &format!(
            "{}unchanged: site:db\n",
            &rest[..rest.find("unchanged").unwrap()]
        ),
    );
    daemon
        .ctl("update --dry-run nosuch")
        .is(1, "ERROR: no such group: nosuch\n");
    daemon
        .ctl("update --dryrun all")
        .begins(2, "Error: update has no option --dryrun\n");
    let said = daemon.ctl("update --dry-run site --json");
    let document: Value = serde_json::from_str(&said.code(0).stdout).unwrap();
    assert_eq!(document["groups"][0]["group"], "site");
    assert_eq!(document["groups"][0]["change"], "changed");
    let web = &document["processes"][1];
    assert_eq!(web["name"], "site:web:0");
    assert_eq!(web["step"], "restart");
    assert_eq!(web["keys"][0]["key"], "command");
    assert_eq!(web["keys"][0]["old"], "sleep 1000");
    assert_eq!(web["keys"][0]["file"], path);
    assert_eq!(web["keys"][0]["line"], command);
    assert_eq!(web["keys"][1]["live"], true);
    // Nothing was done.
    assert!(daemon.rows().iter().any(|row| row.name == "job"));
    daemon.edit_config("[program.web]\ncommand=\n");
    daemon
        .ctl("update --dry-run")
        .begins(1, "ERROR: CANT_REREAD: ");
    daemon.close();
}
