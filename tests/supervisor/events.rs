//! Events: the same listener, of Supervisor's own library, on the same file under both, and what it was told.
//!
//! Headers are compared to the letter with what they must be. Payloads are compared with those of the real one, by process:
//! how those of several processes mix is a matter of time. Pids are masked. What comes after the beginning of the shutdown is
//! left out: how much of it a listener of the real one hears before it is stopped is chance.

use super::install;
use super::rig::Rig;
use crate::harness::wait;
use std::collections::BTreeMap;
use std::path::Path;
use taskmaster::wire::{Request, Response};

const CONFIG: &str = include_str!("events.ini");
const STOPPED_IN_BACKOFF: &str = "processname:patient groupname:patient from_state:BACKOFF pid:0";
const STOPPING: &str = "SUPERVISOR_STATE_CHANGE_STOPPING";

/// One event as the listener noted it.
struct Told {
    header: String,
    name: String,
    payload: String,
}

fn told(rig: &Rig) -> Vec<Told> {
    rig.sandbox()
        .read("out/ears")
        .lines()
        .filter_map(|line| serde_json::from_str::<(String, String)>(line).ok())
        .map(|(header, payload)| {
            let name = field(&header, "eventname").to_owned();
            Told {
                header,
                name,
                payload,
            }
        })
        .collect()
}

/// The value of `KEY:VALUE` in a text; empty without one.
fn field<'t>(text: &'t str, key: &str) -> &'t str {
    text.split([' ', '\n'])
        .find_map(|word| word.strip_prefix(key)?.strip_prefix(':'))
        .unwrap_or_default()
}

/// What each process, and everything else, was told of.
fn stories(told: &[Told]) -> BTreeMap<String, Vec<String>> {
    let mut stories: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for Told { name, payload, .. } in told {
        if name.starts_with("TICK_") {
            continue;
        }
        let who = field(payload, "processname");
        let mut text = payload.clone();
        let pid = field(payload, "pid");
        if !pid.is_empty() && pid != "0" {
            text = text.replace(&format!("pid:{pid}"), "pid:PID");
        }
        stories
            .entry(who.to_owned())
            .or_default()
            .push(format!("{name} {text}"));
        if name == STOPPING {
            break;
        }
    }
    // The two outputs of a process are read one after the other, in either order.
    if let Some(signaller) = stories.get_mut("signaller") {
        signaller.sort();
    }
    // How often an endless one fails before somebody stops it is a matter of time.
    if let Some(patient) = stories.get_mut("patient") {
        let stopped = patient
            .iter()
            .find(|line| line.contains(STOPPED_IN_BACKOFF))
            .cloned();
        patient.truncate(2);
        patient.extend(stopped);
    }
    stories
}

/// Waits until the listener was told of this.
fn wait_told(rig: &Rig, name: &str, part: &str) {
    wait::for_condition(format!("{name} with {part:?}"), || {
        told(rig)
            .iter()
            .any(|told| told.name == name && told.payload.contains(part))
    });
}

fn observe(rig: &mut Rig, bin: &Path) -> Vec<Told> {
    wait_told(rig, "PROCESS_STATE_RUNNING", "processname:ears ");
    // What comes together is told together, so each waits for the one before.
    for (name, part, next) in [
        ("PROCESS_LOG_STDOUT", "out\n", "out/go-err"),
        ("PROCESS_LOG_STDERR", "err\n", "out/go-abc"),
    ] {
        wait_told(rig, name, part);
        rig.sandbox().write(next, "");
    }
    for (name, part) in [
        ("PROCESS_STATE_EXITED", "processname:ends0 "),
        ("PROCESS_STATE_EXITED", "processname:ends3 "),
        ("PROCESS_STATE_EXITED", "processname:killed "),
        ("PROCESS_STATE_EXITED", "processname:again "),
        ("PROCESS_STATE_FATAL", "processname:hopeless "),
        ("PROCESS_STATE_FATAL", "processname:absent "),
        ("PROCESS_STATE_RUNNING", "processname:slow "),
        ("PROCESS_LOG_STDOUT", "Undecodable"),
        ("PROCESS_COMMUNICATION_STDOUT", "one"),
        ("PROCESS_COMMUNICATION_STDERR", "two"),
        ("TICK_5", "when:"),
    ] {
        wait_told(rig, name, part);
    }
    rig.settle("again", "RUNNING");
    rig.settle("both:pair_01", "RUNNING");
    rig.ask("start off").is(0, "off: started\n");
    rig.ask("stop off").is(0, "off: stopped\n");
    // It is to be stopped while it waits for its next try, which is over soon: perhaps it takes several attempts.
    wait::for_condition("a stop in BACKOFF", || {
        rig.ask("start patient");
        rig.settle("patient", "BACKOFF");
        rig.ask("stop patient");
        rig.settle("patient", "STOPPED");
        let stopped = |told: &Told| told.payload.contains(STOPPED_IN_BACKOFF);
        told(rig).iter().any(stopped)
    });
    send_remote(rig, bin, "deploy", "version 2\nünïcode ✓\n");
    wait_told(rig, "REMOTE_COMMUNICATION", "deploy");
    // One group goes, then one comes.
    let without = CONFIG.replace(
        "[program:stays]\ncommand=/bin/sleep 1000\nstartsecs=0\n",
        "",
    );
    assert_ne!(without, CONFIG);
    rig.edit(&placed(&without, bin));
    rig.ask("update");
    wait_told(rig, "PROCESS_GROUP_REMOVED", "groupname:stays");
    let with = format!("{without}[program:late]\ncommand=/bin/sleep 1000\nstartsecs=0\n");
    rig.edit(&placed(&with, bin));
    rig.ask("update");
    wait_told(rig, "PROCESS_STATE_RUNNING", "processname:late ");
    rig.ask("shutdown").is(0, "Shut down\n");
    assert_eq!(rig.wait_exit(), Some(0));
    let told = told(rig);
    assert!(
        told.iter().any(|told| told.name == STOPPING),
        "the shutdown was not told"
    );
    told
}

fn send_remote(rig: &Rig, bin: &Path, subject: &str, data: &str) {
    let (subject, data) = (subject.to_owned(), data.to_owned());
    match rig {
        Rig::Ours(daemon) => {
            let answer = daemon.client().ask(Request::Remote { subject, data });
            assert_eq!(answer.unwrap(), Response::Accepted);
        }
        Rig::Real { sandbox, .. } => {
            let mut command = sandbox.command(bin.join("python"));
            command
                .args(["-c", include_str!("remote.py")])
                .arg(sandbox.socket_path())
                .args([subject, data])
                .env("PYTHONUTF8", "1");
            sandbox.finish(command, "").code(0);
        }
    }
}

/// The file with the places of this machine.
pub fn placed(config: &str, bin: &Path) -> String {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/supervisor");
    config
        .replace("$BIN", &bin.display().to_string())
        .replace("$HERE", &here.display().to_string())
}

/// The header that an event must have, told as the `index`-th.
fn header(index: usize, told: &Told) -> String {
    format!(
        "ver:3.0 server:supervisor serial:{index} pool:ears poolserial:{index} eventname:{} len:{}\n",
        told.name,
        told.payload.chars().count()
    )
}

#[test]
fn a_listener_is_told_the_same_by_both() {
    let Some(bin) = install::supervisor() else {
        return;
    };
    let config = placed(CONFIG, bin);
    let (ours, real) = std::thread::scope(|scope| {
        let real = scope.spawn(|| observe(&mut Rig::real(bin, &config), bin));
        let ours = observe(&mut Rig::ours(&config), bin);
        (ours, real.join().unwrap())
    });
    for (whose, told) in [("ours", &ours), ("real", &real)] {
        for (index, told) in told.iter().enumerate() {
            assert_eq!(told.header, header(index, told), "{whose}");
            if told.name.starts_with("TICK_") {
                let period: u64 = told.name[5..].parse().unwrap();
                let when: u64 = told.payload.strip_prefix("when:").unwrap().parse().unwrap();
                assert_eq!(when % period, 0, "{whose}");
            }
        }
    }
    let (ours, real) = (stories(&ours), stories(&real));
    let mut faults = Vec::new();
    for who in ours.keys().chain(real.keys()) {
        let (ours, real) = (ours.get(who), real.get(who));
        if ours != real {
            faults.push(format!("{who:?}\n  real {real:#?}\n  ours {ours:#?}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    // Everything that could be provoked was.
    let kinds: Vec<&str> = ours
        .values()
        .flatten()
        .filter_map(|line| line.split(' ').next())
        .collect();
    for kind in [
        "PROCESS_STATE_STARTING",
        "PROCESS_STATE_RUNNING",
        "PROCESS_STATE_BACKOFF",
        "PROCESS_STATE_STOPPING",
        "PROCESS_STATE_EXITED",
        "PROCESS_STATE_STOPPED",
        "PROCESS_STATE_FATAL",
        "PROCESS_LOG_STDOUT",
        "PROCESS_LOG_STDERR",
        "PROCESS_COMMUNICATION_STDOUT",
        "PROCESS_COMMUNICATION_STDERR",
        "REMOTE_COMMUNICATION",
        "SUPERVISOR_STATE_CHANGE_RUNNING",
        STOPPING,
        "PROCESS_GROUP_ADDED",
        "PROCESS_GROUP_REMOVED",
    ] {
        assert!(kinds.contains(&kind), "{kind} was not told");
    }
}
