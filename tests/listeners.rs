//! Event listeners: what they are told, and that none of their faults costs anybody else anything.
//!
//! The listeners are shell scripts. How those of Supervisor's own library do is compared in `supervisor`.

use crate::harness::{Daemon, Sandbox, proc, wait};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use taskmaster::wire::{ListenerState, ListenerStatus, Request, Response};

/// A listener: `listen.sh MODE FILE` notes each event in the file as `PID HEADER|PAYLOAD|` and answers by its mode. Every
/// command in it is a builtin or reads no more than it is told, so that nothing of the next event is lost.
pub const SCRIPT: &str = r#"
mode=$1
file=$2
say() { printf "$1"; }
if [ "$mode" = garbage ]; then say 'hello there\n'; exec sleep 1000; fi
if [ "$mode" = late ]; then say 'READY\n'; until [ -e "$file.go" ]; do sleep 0.01; done; fi
if [ "$mode" = deaf ]; then exec <&-; say 'READY\n'; exec sleep 1000; fi
[ "$mode" = late ] || say 'READY\n'
while IFS= read -r header; do
    payload=$(head -c "${header##*len:}"; echo x)
    printf '%s %s|%s|\n' "$$" "$header" "${payload%x}" >>"$file"
    case $mode in
    ok | late) say 'RESULT 2\nOKREADY\n' ;;
    slow) sleep 0.05; say 'RESULT 2\nOKREADY\n' ;;
    half) say 'RESULT 2'; until [ -e "$file.go" ]; do sleep 0.01; done; say '\nOKREADY\n' ;;
    pieces) for p in R ESU 'LT 2' '\n' O K READ 'Y\n'; do say "$p"; sleep 0.01; done ;;
    fail) say 'RESULT 4\nFAILREADY\n' ;;
    die) if [ -e "$file.died" ]; then say 'RESULT 2\nOKREADY\n'; else : >"$file.died"; exit 3; fi ;;
    babble) if [ -e "$file.said" ]; then say 'RESULT 2\nOKREADY\n'; else : >"$file.said"; say 'what?\n'; fi ;;
    last) say 'RESULT 2\nOK'; exit 0 ;;
    stall) exec sleep 1000 ;;
    stubborn) trap '' TERM; exec sleep 1000 ;;
    env) env >"$file.env"; say 'RESULT 2\nOKREADY\n' ;;
    esac
done
"#;

/// An event as a listener noted it.
#[derive(Debug, Clone, PartialEq)]
pub struct Noted {
    /// Its pid.
    pub listener: i32,
    /// The fields of the header.
    pub header: BTreeMap<String, String>,
    /// The text.
    pub payload: String,
}

impl Noted {
    /// The kind of event.
    pub fn name(&self) -> &str {
        &self.header["eventname"]
    }

    /// Its number in the pool.
    pub fn serial(&self) -> u64 {
        self.header["poolserial"].parse().unwrap()
    }
}

/// What the listeners that write to this file noted.
pub fn noted(daemon: &Daemon, file: &str) -> Vec<Noted> {
    let text = daemon.sandbox.read(format!("out/{file}"));
    // What stands behind the last end is still being written.
    let (whole, _) = text.rsplit_once("|\n").unwrap_or_default();
    whole
        .split("|\n")
        .filter_map(|entry| {
            let (head, payload) = entry.split_once('|')?;
            let (listener, header) = head.trim_start().split_once(' ')?;
            Some(Noted {
                listener: listener.parse().ok()?,
                header: header
                    .split(' ')
                    .filter_map(|field| field.split_once(':'))
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .collect(),
                payload: payload.to_owned(),
            })
        })
        .collect()
}

/// Waits until so many events are noted.
#[track_caller]
pub fn wait_noted(daemon: &Daemon, file: &str, count: usize) -> Vec<Noted> {
    wait::for_count(format!("events in {file}"), count, || {
        noted(daemon, file).len()
    });
    noted(daemon, file)
}

/// A daemon with these sections and the script.
#[track_caller]
pub fn daemon(config: &str) -> Daemon {
    let sandbox = Sandbox::new();
    sandbox.write("listen.sh", SCRIPT);
    Daemon::builder().config(config).start_in(sandbox)
}

/// A section of a listener in this mode, which counts as started at once and notes in a file of its own name.
pub fn section(name: &str, mode: &str, keys: &str) -> String {
    format!(
        "[eventlistener.{name}]\ncommand=/bin/sh $DIR/listen.sh {mode} $OUT/{name}\nautostart=true\nstartsecs=0\n{keys}\n"
    )
}

/// Tells listeners something.
#[track_caller]
pub fn remote(daemon: &Daemon, subject: &str, data: &str) {
    let (subject, data) = (subject.to_owned(), data.to_owned());
    let answer = daemon.client().ask(Request::Remote { subject, data });
    assert_eq!(answer.unwrap(), Response::Accepted);
}

/// How a listener is doing.
#[track_caller]
pub fn listener(daemon: &Daemon, name: &str) -> ListenerStatus {
    daemon.row(name).listener.expect("a listener")
}

/// Waits until a listener is in a state.
#[track_caller]
pub fn wait_listener(daemon: &Daemon, name: &str, state: Option<ListenerState>) {
    wait::for_condition(format!("{name} to be {state:?}"), || {
        listener(daemon, name).state == state
    });
}

/// What makes a pool hear what [`remote`] tells.
pub const REMOTE: &str = "events=REMOTE_COMMUNICATION\n";
/// Of a listener that takes the next event.
pub const READY: Option<ListenerState> = Some(ListenerState::Ready);

#[test]
fn a_listener_is_told_to_the_letter_and_its_words_are_logged() {
    let daemon = daemon(&format!(
        "{}[program.web]\ncommand=sleep 1000\nstartsecs=0\n",
        section(
            "ears",
            "ok",
            "events=process_state_running,PROCESS_STATE_STOPPED,REMOTE_COMMUNICATION"
        )
    ));
    wait_listener(&daemon, "ears", READY);
    let own = wait_noted(&daemon, "ears", 1);
    assert_eq!(
        own[0].payload,
        format!(
            "processname:ears groupname:ears from_state:STARTING pid:{}",
            own[0].listener
        )
    );
    daemon.ctl("start web").is(0, "web: started\n");
    let pid = daemon.pid("web");
    daemon.ctl("stop web").is(0, "web: stopped\n");
    remote(&daemon, "deploy", "line\nline\n");
    wait_noted(&daemon, "ears", 4);
    let expected = [
        (
            "PROCESS_STATE_RUNNING",
            format!("processname:web groupname:web from_state:STARTING pid:{pid}"),
        ),
        (
            "PROCESS_STATE_STOPPED",
            format!("processname:web groupname:web from_state:STOPPING pid:{pid}"),
        ),
        (
            "REMOTE_COMMUNICATION",
            "type:deploy\nline\nline\n".to_owned(),
        ),
    ];
    let mut text = String::new();
    for (index, (name, payload)) in expected.iter().enumerate() {
        let serial = index + 1;
        text += &format!(
            "{} ver:3.0 server:taskmaster serial:{serial} pool:ears poolserial:{serial} eventname:{name} len:{}|{payload}|\n",
            own[0].listener,
            payload.len()
        );
    }
    let file = daemon.sandbox.read("out/ears");
    let rest = file.split_once('\n').unwrap().1;
    assert_eq!(rest, text);
    let words = format!("READY\n{}", "RESULT 2\nOKREADY\n".repeat(4));
    daemon.wait_content(daemon.child_log("ears_0_out.log"), &words);
    assert_eq!(
        listener(&daemon, "ears"),
        ListenerStatus {
            state: READY,
            waiting: 0,
            buffer_size: 10,
            discarded: 0,
            rejected: 0,
        }
    );
    daemon.close();
}

#[test]
fn a_listener_without_a_log_and_with_words_in_pieces_works_as_well() {
    let daemon = daemon(&section(
        "ears",
        "pieces",
        &format!("{REMOTE}stdout_logfile=NONE"),
    ));
    for word in ["one", "two", "three"] {
        remote(&daemon, word, "");
    }
    let noted = wait_noted(&daemon, "ears", 3);
    let told: Vec<&str> = noted.iter().map(|noted| noted.payload.as_str()).collect();
    assert_eq!(told, ["type:one\n", "type:two\n", "type:three\n"]);
    wait_listener(&daemon, "ears", READY);
    assert_eq!(daemon.row("ears").stdout_log.path, None);
    daemon.close();
}

#[test]
fn a_stalled_listener_holds_up_nobody_and_what_it_costs_is_shown() {
    let daemon = daemon(&format!(
        "{}{}[program.web]\ncommand=sleep 1000\nstartsecs=0\n",
        section(
            "slow",
            "stall",
            "events=PROCESS_STATE_RUNNING,REMOTE_COMMUNICATION\nbuffer_size=2"
        ),
        section("ears", "ok", "events=REMOTE_COMMUNICATION\nbuffer_size=2")
    ));
    // It hears of itself first, and never answers.
    wait_listener(&daemon, "slow", Some(ListenerState::Busy));
    wait_listener(&daemon, "ears", READY);
    for number in 0..20 {
        remote(&daemon, "n", &number.to_string());
        wait_noted(&daemon, "ears", number + 1);
    }
    // Programs start and stop as ever.
    daemon.ctl("start web").is(0, "web: started\n");
    daemon.ctl("stop web").is(0, "web: stopped\n");
    let status = listener(&daemon, "slow");
    assert_eq!((status.waiting, status.buffer_size), (2, 2));
    // All but the one that it has and the two that wait.
    assert!(status.discarded >= 20, "{status:?}");
    assert_eq!(
        daemon.count_log("pool slow event buffer overflowed, discarding event "),
        usize::try_from(status.discarded).unwrap()
    );
    let long = daemon.ctl("status --long slow").stdout;
    assert!(
        long.contains(&format!(
            "    events  BUSY, 2 of 2 waiting, {} discarded\n",
            status.discarded
        )),
        "{long}"
    );
    let why = daemon.ctl("why slow").stdout;
    assert!(why.contains("Its pool discarded "), "{why}");
    let json = daemon.ctl("status --json slow").stdout;
    assert!(
        json.contains(&format!("\"discarded\":{}", status.discarded))
            && json.contains("\"state\":\"BUSY\""),
        "{json}"
    );
    assert_eq!(listener(&daemon, "ears").discarded, 0);
    daemon.close();
}

#[test]
fn a_listener_that_dies_with_an_event_gets_it_again() {
    let daemon = daemon(&section(
        "ears",
        "die",
        &format!("{REMOTE}autorestart=true"),
    ));
    for word in ["one", "two"] {
        remote(&daemon, word, "");
    }
    let noted = wait_noted(&daemon, "ears", 3);
    let told: Vec<(&str, u64)> = noted
        .iter()
        .map(|noted| (noted.payload.as_str(), noted.serial()))
        .collect();
    assert_eq!(
        told,
        [("type:one\n", 0), ("type:one\n", 0), ("type:two\n", 1)]
    );
    assert_ne!(noted[0].listener, noted[1].listener);
    wait_listener(&daemon, "ears", READY);
    assert_eq!(listener(&daemon, "ears").discarded, 0);
    daemon.close();
}

#[test]
fn a_result_given_with_the_last_breath_counts() {
    let daemon = daemon(&section(
        "ears",
        "last",
        &format!("{REMOTE}autorestart=true\nbuffer_size=50"),
    ));
    for number in 0..20 {
        remote(&daemon, "n", &number.to_string());
    }
    let noted = wait_noted(&daemon, "ears", 20);
    let serials: Vec<u64> = noted.iter().map(Noted::serial).collect();
    assert_eq!(serials, (0..20).collect::<Vec<_>>());
    daemon.close();
}

#[test]
fn a_listener_that_talks_nonsense_gets_nothing_until_it_is_restarted() {
    let daemon = daemon(&format!(
        "{}{}",
        section("babbler", "babble", REMOTE),
        section("junk", "garbage", REMOTE)
    ));
    let lost = "has entered the UNKNOWN state and will no longer receive events, this usually indicates the process violated the eventlistener protocol";
    wait_listener(&daemon, "junk", Some(ListenerState::Unknown));
    daemon.wait_log(&format!("WARN junk: {lost}"));
    remote(&daemon, "one", "");
    wait_listener(&daemon, "babbler", Some(ListenerState::Unknown));
    daemon.wait_log("WARN babbler: bad result line: 'what?'");
    daemon.wait_log(&format!("WARN babbler: {lost}"));
    remote(&daemon, "two", "");
    let status = listener(&daemon, "babbler");
    assert_eq!((status.waiting, status.rejected), (2, 1));
    // It is not killed for it.
    assert_eq!(daemon.state("babbler"), "RUNNING");
    daemon.ctl("restart babbler").code(0);
    let noted = wait_noted(&daemon, "babbler", 3);
    let serials: Vec<u64> = noted.iter().map(Noted::serial).collect();
    assert_eq!(serials, [0, 0, 1]);
    daemon.close();
}

#[test]
fn a_listener_that_rejects_everything_is_asked_less_and_less() {
    let daemon = daemon(&format!(
        "{}{}",
        section("picky", "fail", REMOTE),
        section("ears", "ok", REMOTE)
    ));
    wait_listener(&daemon, "picky", READY);
    let begin = Instant::now();
    remote(&daemon, "one", "");
    remote(&daemon, "two", "");
    // 0, 0.1, 0.2 and 0.4 s lie between the first five.
    let picky = wait_noted(&daemon, "picky", 5);
    assert!(begin.elapsed() >= Duration::from_millis(700));
    // In order: what is behind it waits.
    assert!(
        picky.iter().all(|noted| noted.payload == "type:one\n"),
        "{picky:?}"
    );
    wait::for_condition("rejections to be counted", || {
        listener(&daemon, "picky").rejected >= 5
    });
    assert!(daemon.count_log("WARN picky: event was rejected") >= 5);
    // A rejection in one pool is none of another's business.
    assert_eq!(wait_noted(&daemon, "ears", 2).len(), 2);
    assert_eq!(listener(&daemon, "ears").rejected, 0);
    daemon.close();
}

#[test]
fn each_event_goes_to_one_of_a_pool() {
    let daemon = daemon(&section(
        "team",
        "ok",
        &format!("{REMOTE}numprocs=3\nbuffer_size=100"),
    ));
    for copy in ["team:0", "team:1", "team:2"] {
        wait_listener(&daemon, copy, READY);
    }
    for number in 0..60 {
        remote(&daemon, "n", &number.to_string());
    }
    let noted = wait_noted(&daemon, "team", 60);
    let serials: BTreeSet<u64> = noted.iter().map(Noted::serial).collect();
    assert_eq!(serials, (0..60).collect());
    assert_eq!(noted.len(), 60);
    let listeners: BTreeSet<i32> = noted.iter().map(|noted| noted.listener).collect();
    assert!(listeners.contains(&daemon.pid("team:0")), "{listeners:?}");
    // While the first one has to deal with much, the others get something to do.
    remote(&daemon, "much", &"x".repeat(500_000));
    wait_noted(&daemon, "team", 61);
    daemon.close();
}

#[test]
fn one_that_closed_its_input_is_given_nothing() {
    let daemon = daemon(&format!(
        "{}{}",
        section("team", "deaf", REMOTE),
        section("ears", "ok", REMOTE)
    ));
    wait_listener(&daemon, "ears", READY);
    wait_listener(&daemon, "team", READY);
    remote(&daemon, "one", "");
    wait_noted(&daemon, "ears", 1);
    // It stays READY, and the event waits.
    wait::for_condition("the event to wait", || {
        let status = listener(&daemon, "team");
        (status.waiting, status.state) == (1, READY)
    });
    daemon.close();
}

#[test]
fn an_event_larger_than_any_pipe_arrives_whole() {
    let daemon = daemon(&section("ears", "ok", REMOTE));
    let data: String = (0..60_000).map(|number| format!("{number:06} ")).collect();
    remote(&daemon, "much", &data);
    remote(&daemon, "little", "");
    let noted = wait_noted(&daemon, "ears", 2);
    assert_eq!(noted[0].payload, format!("type:much\n{data}"));
    assert_eq!(noted[1].payload, "type:little\n");
    daemon.close();
}

#[test]
fn the_length_counts_bytes_or_characters_as_the_file_says() {
    for (section_name, key, expected) in [
        ("eventlistener.ears", "", "8"),
        ("eventlistener:ears", "", "7"),
        ("eventlistener:ears", "payload_length=bytes", "8"),
        ("eventlistener.ears", "payload_length=Characters", "7"),
    ] {
        let text = section("ears", "ok", &format!("{REMOTE}{key}"));
        let daemon = daemon(&text.replace("eventlistener.ears", section_name));
        remote(&daemon, "ü", "");
        let header = wait::until("a header", || {
            let text = daemon.sandbox.read("out/ears");
            text.split_once('|').map(|(header, _)| header.to_owned())
        });
        assert!(
            header.ends_with(&format!(" len:{expected}")),
            "{section_name} {key}: {header}"
        );
        daemon.close();
    }
}

#[test]
fn listeners_start_first_and_stop_last() {
    let expected = [
        "PROCESS_GROUP_ADDED groupname:ears",
        "PROCESS_GROUP_ADDED groupname:web",
        "SUPERVISOR_STATE_CHANGE_RUNNING",
        "PROCESS_STATE_STARTING processname:ears",
        "PROCESS_STATE_STARTING processname:web",
        "SUPERVISOR_STATE_CHANGE_STOPPING",
        "PROCESS_STATE_STOPPING processname:web",
        "PROCESS_STATE_STOPPED processname:web",
    ];
    // A listener has a second to hear of what was stopped before it. One that the machine holds up so long misses the end.
    for attempt in 1.. {
        let told = told_until_the_end();
        if told == expected {
            break;
        }
        assert!(
            expected.iter().zip(&told).all(|(it, told)| it == told),
            "{told:?}"
        );
        assert!(attempt < 5, "{told:?}");
    }
}

/// What a listener was told of in the life of a daemon with one program.
fn told_until_the_end() -> Vec<String> {
    let mut daemon = daemon(&format!(
        "{}[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\npriority=1\n",
        section("ears", "ok", "events=EVENT\nbuffer_size=100")
    ));
    wait_listener(&daemon, "ears", READY);
    daemon.wait_state("web", "RUNNING");
    let avail = daemon.ctl("avail").stdout;
    assert!(
        avail
            .lines()
            .any(|line| line.starts_with("ears ") && line.ends_with("-1:999")),
        "{avail}"
    );
    daemon.ctl("shutdown").code(0);
    assert_eq!(daemon.wait_exit(), 0);
    let told: Vec<String> = noted(&daemon, "ears")
        .iter()
        // Which of the two runs first is chance.
        .filter(|noted| {
            !noted.name().starts_with("TICK") && noted.name() != "PROCESS_STATE_RUNNING"
        })
        .map(|noted| {
            let who = noted.payload.split([' ', '\n']).next().unwrap_or_default();
            format!("{} {}", noted.name(), who).trim_end().to_owned()
        })
        .collect();
    let log = daemon.sandbox.read("log/taskmaster.log");
    let place = |text: &str| log.find(text).unwrap_or_else(|| panic!("{text}: {log}"));
    assert!(place("spawned: 'ears'") < place("spawned: 'web'"));
    assert!(place("stopped: web") < place("stopped: ears"));
    daemon.nothing_left();
    told
}

#[test]
fn the_daemon_ends_also_with_a_listener_that_is_busy() {
    let mut daemon = daemon(&section(
        "slow",
        "stubborn",
        &format!("{REMOTE}stopwaitsecs=1"),
    ));
    remote(&daemon, "one", "");
    wait_listener(&daemon, "slow", Some(ListenerState::Busy));
    wait_noted(&daemon, "slow", 1);
    daemon.ctl("shutdown").code(0);
    assert_eq!(daemon.wait_exit(), 0);
    daemon.nothing_left();
}

#[test]
fn time_is_told_to_those_who_listen_and_wakes_nobody_else() {
    let quiet = daemon(&section("ears", "ok", REMOTE));
    wait_listener(&quiet, "ears", READY);
    let before = quiet.rest();
    let process = quiet.process();
    let told = daemon(&section("clock", "ok", "events=TICK_5"));
    let first = wait_noted(&told, "clock", 1);
    let when: u64 = first[0]
        .payload
        .strip_prefix("when:")
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!((first[0].name(), when % 5), ("TICK_5", 0));
    // The other one slept through all of it.
    assert_eq!(proc::wakeups(process), before);
    told.close();
    quiet.close();
}

#[test]
fn an_update_changes_what_a_running_listener_hears() {
    let other = section("other", "ok", REMOTE);
    let daemon = daemon(&section(
        "ears",
        "ok",
        "events=PROCESS_GROUP\nbuffer_size=20",
    ));
    wait_listener(&daemon, "ears", READY);
    let pid = daemon.pid("ears");
    let own = wait_noted(&daemon, "ears", 1);
    assert_eq!(own[0].payload, "groupname:ears\n");
    daemon.edit_config(&format!(
        "{other}{}",
        section(
            "ears",
            "ok",
            "events=PROCESS_GROUP,REMOTE_COMMUNICATION\nbuffer_size=30"
        )
    ));
    let plan = daemon.ctl("update --dry-run").stdout;
    assert!(
        plan.contains("events") && plan.contains("buffer_size"),
        "{plan}"
    );
    daemon.ctl("update").is(
        0,
        "ears: updated process group\nother: added process group\n",
    );
    wait_listener(&daemon, "other", READY);
    remote(&daemon, "one", "");
    let noted = wait_noted(&daemon, "ears", 3);
    let told: Vec<&str> = noted.iter().map(|noted| noted.payload.as_str()).collect();
    assert_eq!(
        told,
        ["groupname:ears\n", "groupname:other\n", "type:one\n"]
    );
    assert_eq!(
        (daemon.pid("ears"), listener(&daemon, "ears").buffer_size),
        (pid, 30)
    );
    wait_noted(&daemon, "other", 1);
    // One that is taken out hears no more; the other hears of that.
    daemon.edit_config(&section(
        "ears",
        "ok",
        "events=PROCESS_GROUP\nbuffer_size=30",
    ));
    daemon.ctl("update").code(0);
    let noted = wait_noted(&daemon, "ears", 4);
    assert_eq!(
        (noted[3].name(), noted[3].payload.as_str()),
        ("PROCESS_GROUP_REMOVED", "groupname:other\n")
    );
    // A listener that becomes a program is another process, and speaks to nobody.
    daemon.edit_config("[program.ears]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n");
    daemon
        .ctl("update")
        .is(0, "ears: stopped\nears: updated process group\n");
    daemon.wait_state("ears", "RUNNING");
    assert_eq!(daemon.row("ears").listener, None);
    daemon.close();
}

#[test]
fn a_listener_knows_whose_it_is() {
    let daemon = daemon(&section("ears", "env", REMOTE));
    remote(&daemon, "one", "");
    let file = "out/ears.env";
    wait::for_condition("the environment", || {
        daemon.sandbox.read(file).contains("SUPERVISOR_")
    });
    wait_listener(&daemon, "ears", READY);
    let text = daemon.sandbox.read(file);
    let url = format!(
        "SUPERVISOR_SERVER_URL=unix://{}",
        daemon.sandbox.socket_path().display()
    );
    for expected in [
        "SUPERVISOR_ENABLED=1",
        "SUPERVISOR_PROCESS_NAME=ears",
        "SUPERVISOR_GROUP_NAME=ears",
        url.as_str(),
    ] {
        assert!(
            text.lines().any(|line| line == expected),
            "{expected}: {text}"
        );
    }
    daemon.close();
}

#[test]
fn a_listener_that_floods_its_output_starves_nobody() {
    let daemon = daemon(
        "[eventlistener.flood]\ncommand=sh -c \"exec tr '\\\\0' x </dev/zero\"\nautostart=true\nstartsecs=0\nevents=TICK_3600\n\
         stdout_logfile_maxbytes=1MB\nstdout_logfile_backups=0\n\
         [program.web]\ncommand=sleep 1000\nstartsecs=0\n",
    );
    wait_listener(&daemon, "flood", Some(ListenerState::Unknown));
    daemon.ctl("start web").is(0, "web: started\n");
    daemon.ctl("stop web").is(0, "web: stopped\n");
    daemon.ctl("stop flood").is(0, "flood: stopped\n");
    daemon.close();
}
