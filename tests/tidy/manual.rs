//! The manual names everything there is: options, actions, keys, messages, states, exit codes, signals.
//!
//! Pages are compared with the definitions that the program itself uses, item by item (`.It` lines of mdoc), so that a
//! word in passing does not count as documentation.

use super::keys::configuration_keys;
use super::{names, read, report};
use taskmaster::types::Signal;
use taskmaster::wire::{Hello, RequestFrame, ServerFrame};

/// Every page.
const PAGES: &[&str] = &[
    "taskmaster-protocol.7",
    "taskmaster.1",
    "taskmaster.ini.5",
    "taskmasterctl.1",
    "taskmasterd.8",
];

/// The actions of the console: the 22 of the contract, and those that came later.
const ACTIONS: &[&str] = &[
    "add", "avail", "clear", "env", "exit", "fg", "help", "maintail", "open", "pid", "quit",
    "reload", "remove", "reread", "restart", "shutdown", "signal", "start", "status", "stop",
    "tail", "update", "upgrade", "version", "wait", "why",
];

fn page(name: &str) -> String {
    read(&format!("man/{name}"))
}

/// Lines of a page that open an item of a list, in one section or in all.
fn items(page: &str, section: Option<&str>) -> Vec<String> {
    let mut inside = section.is_none();
    let mut items = Vec::new();
    for line in page.lines() {
        if let Some(title) = line.strip_prefix(".Sh ") {
            inside = section.is_none_or(|section| section == title);
        } else if let Some(item) = line.strip_prefix(".It ").filter(|_| inside) {
            items.push(item.to_owned());
        }
    }
    items
}

/// Words of an item, without macros and punctuation.
fn words(item: &str) -> Vec<&str> {
    item.split([' ', ',', '|'])
        .filter(|word| !word.is_empty())
        .collect()
}

#[test]
fn there_is_a_test_for_every_page() {
    assert_eq!(names("man"), PAGES);
}

#[test]
fn pages_refer_to_each_other_and_to_nothing_missing() {
    let mut faults = Vec::new();
    for name in PAGES {
        let text = page(name);
        for line in text.lines().filter_map(|line| line.strip_prefix(".Xr ")) {
            let mut parts = line.split(' ');
            let (title, section) = (
                parts.next().unwrap_or_default(),
                parts.next().unwrap_or_default(),
            );
            let file = format!("{title}.{section}");
            if title.starts_with("taskmaster") && !PAGES.contains(&file.as_str()) {
                faults.push(format!("man/{name}: there is no {title}({section})"));
            }
        }
        for other in PAGES.iter().filter(|other| *other != name) {
            let (title, section) = other.rsplit_once('.').unwrap_or_default();
            if !text.contains(&format!(".Xr {title} {section}")) {
                faults.push(format!("man/{name}: does not refer to {title}({section})"));
            }
        }
    }
    report(&faults);
}

#[test]
fn every_option_has_its_item() {
    let mut faults = Vec::new();
    for (name, command) in [
        (
            "taskmaster.1",
            taskmaster::cli::check_config("check-config"),
        ),
        ("taskmaster.1", taskmaster::cli::run("run")),
        ("taskmasterd.8", taskmaster::cli::daemon("taskmasterd")),
        ("taskmasterctl.1", taskmaster::cli::ctl("taskmasterctl")),
    ] {
        let mut command = command;
        command.build();
        let items = items(&page(name), None);
        for option in command
            .get_arguments()
            .filter(|argument| !argument.is_positional() && !argument.is_hide_set())
        {
            let short = option.get_short().map(|letter| format!("Fl {letter}"));
            let long = option.get_long().map(|word| format!("-{word}"));
            let expected = match (&short, &long) {
                (Some(short), Some(long)) => format!("{short} , {long}"),
                (Some(short), None) => short.clone(),
                (None, Some(long)) => format!("Fl {long}"),
                (None, None) => continue,
            };
            let documented = items.iter().any(|item| {
                item.strip_prefix(&expected)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
            });
            if !documented {
                faults.push(format!("man/{name}: no item `.It {expected}`"));
            }
        }
    }
    report(&faults);
}

#[test]
fn every_mode_has_its_item() {
    let items = items(&page("taskmaster.1"), None);
    for mode in taskmaster::cli::taskmaster().get_subcommands() {
        let expected = format!("Cm {}", mode.get_name());
        let documented = items.contains(&expected);
        assert_ne!(
            documented,
            mode.is_hide_set(),
            "man/taskmaster.1: `.It {expected}`"
        );
    }
}

#[test]
fn every_option_that_is_a_key_says_so() {
    let options = page("taskmasterd.8");
    let keys = page("taskmaster.ini.5");
    let mut faults = Vec::new();
    let some = || Some("x".to_owned());
    let everything = taskmaster::cli::DaemonOptions {
        nodaemon: true,
        silent: true,
        nocleanup: true,
        strip_ansi: true,
        user: some(),
        umask: some(),
        directory: some(),
        logfile: some(),
        logfile_maxbytes: some(),
        logfile_backups: some(),
        loglevel: some(),
        pidfile: some(),
        identifier: some(),
        childlogdir: some(),
        minfds: some(),
        minprocs: some(),
        no_socket: true,
        container: true,
        handoff_check: false,
        configuration: None,
    };
    for (key, flag, _) in everything.overrides() {
        if !options.contains(&format!("Key\n.Ic {key} .")) {
            faults.push(format!(
                "man/taskmasterd.8: {flag} does not name its key {key}"
            ));
        }
        let flag = flag.trim_start_matches('-');
        let mention = [
            format!("option Fl {flag}\n"),
            format!("option Fl {flag} "),
            format!("option Fl -{flag} "),
        ];
        if !mention.iter().any(|mention| keys.contains(mention)) {
            faults.push(format!(
                "man/taskmaster.ini.5: {key} does not name its option {flag}"
            ));
        }
    }
    report(&faults);
}

#[test]
fn every_action_has_its_item() {
    let items = items(&page("taskmasterctl.1"), Some("ACTIONS"));
    let documented: Vec<&str> = items
        .iter()
        .filter(|item| item.starts_with("Ic "))
        .flat_map(|item| {
            let (name, rest) = item[3..].split_once(' ').unwrap_or((&item[3..], ""));
            // `.It Ic exit , quit` are two.
            let second = rest.strip_prefix(", ").unwrap_or_default();
            [name, second]
        })
        .filter(|name| !name.is_empty())
        .collect();
    let mut sorted = documented.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, ACTIONS, "man/taskmasterctl.1");
}

#[test]
fn every_key_has_its_item() {
    let text = page("taskmaster.ini.5");
    let items = items(&text, None);
    let mut faults = Vec::new();
    for key in configuration_keys() {
        let documented = items
            .iter()
            .any(|item| item.starts_with("Ic ") && words(item).contains(&key.name.as_str()));
        let mentioned =
            text.contains(&format!("{} ,", key.name)) || text.contains(&format!("{} .", key.name));
        if !(documented || key.idle && mentioned) {
            faults.push(format!(
                "man/taskmaster.ini.5: the key {} has no item",
                key.name
            ));
        }
        for alias in &key.aliases {
            if !text.contains(&format!("Also written\n.Ic {alias} .")) {
                faults.push(format!(
                    "man/taskmaster.ini.5: {} does not name {alias}",
                    key.name
                ));
            }
        }
    }
    report(&faults);
}

#[test]
fn every_signal_has_its_place() {
    let items = items(&page("taskmasterd.8"), Some("SIGNALS")).join(" ");
    for signal in ["TERM", "INT", "QUIT", "HUP", "USR2", "CHLD"] {
        assert!(
            words(&items).contains(&signal),
            "man/taskmasterd.8: SIGNALS lacks {signal}"
        );
    }
    let keys = page("taskmaster.ini.5");
    for signal in Signal::names() {
        let named = keys
            .lines()
            .any(|line| line.starts_with(".Li HUP INT ") && words(line).contains(&signal));
        assert!(
            named,
            "man/taskmaster.ini.5: the list of signals lacks {signal}"
        );
    }
}

#[test]
fn every_exit_status_has_its_item() {
    for (name, statuses) in [
        ("taskmaster.1", &["0", "1", "2"][..]),
        (
            "taskmasterctl.1",
            &["0", "1", "2", "3", "4", "7", "124", "130"],
        ),
        ("taskmasterd.8", &["0", "1", "2", "3", "4", "5", "6", "7"]),
    ] {
        assert_eq!(
            items(&page(name), Some("EXIT STATUS")),
            statuses,
            "man/{name}"
        );
    }
}

#[test]
fn every_state_is_in_both_pages() {
    use taskmaster::wire::ProcessState::{
        Backoff, Exited, Fatal, Running, Starting, Stopped, Stopping, Unknown,
    };
    let items = items(&page("taskmasterd.8"), Some("STATES OF A PROCESS"));
    let states = [
        Stopped, Starting, Running, Backoff, Stopping, Exited, Fatal, Unknown,
    ];
    let expected = states.map(|state| format!("{} ({})", state.name(), state.code()));
    assert_eq!(items, expected);
    let protocol = page("taskmaster-protocol.7");
    for state in states {
        assert!(
            protocol.contains(state.name()),
            "man/taskmaster-protocol.7: {state}"
        );
    }
}

#[test]
fn every_message_field_and_variant_is_in_the_protocol_page() {
    let protocol = page("taskmaster-protocol.7");
    let known: Vec<&str> = protocol
        .split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .collect();
    let mut faults = Vec::new();
    let mut count = 0;
    for file in ["environment", "message", "plan", "request", "response"] {
        let path = format!("src/wire/{file}.rs");
        for name in declared_names(&read(&path)) {
            count += 1;
            if !known.contains(&name.as_str()) && !known.contains(&name.to_uppercase().as_str()) {
                faults.push(format!(
                    "man/taskmaster-protocol.7: lacks `{name}` of {path}"
                ));
            }
        }
    }
    assert!(
        count > 150,
        "only {count} names found: has the layout of src/wire changed?"
    );
    report(&faults);
}

/// Names of the fields and variants that a source file of the protocol declares.
fn declared_names(source: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut inside = false;
    for line in source.lines() {
        if line.starts_with("pub enum ") || line.starts_with("pub struct ") {
            inside = line.ends_with('{');
        } else if line == "}" {
            inside = false;
        } else if inside {
            let declaration = line.trim_start().trim_start_matches("pub ");
            let end = declaration.find(|c: char| !(c.is_alphanumeric() || c == '_'));
            let (name, rest) = declaration.split_at(end.unwrap_or(declaration.len()));
            if !name.is_empty() && rest.starts_with([':', ',', '(', ' ']) {
                names.push(name.to_owned());
            }
        }
    }
    names
}

#[test]
fn the_bytes_of_the_protocol_page_decode() {
    let protocol = page("taskmaster-protocol.7");
    let frames: Vec<Vec<u8>> = protocol
        .split("\n.Bd ")
        .filter(|block| block.contains(" length: "))
        .map(|block| {
            block
                .lines()
                .filter_map(|line| line.split("  ").next())
                .take_while(|hex| *hex != ".Ed")
                .flat_map(|hex| {
                    hex.split(' ')
                        .filter_map(|byte| u8::from_str_radix(byte, 16).ok())
                })
                .collect()
        })
        .collect();
    assert_eq!(frames.len(), 4);
    let content = |frame: usize| {
        let (length, content) = frames[frame].split_first_chunk().unwrap();
        assert_eq!(
            u32::from_be_bytes(*length) as usize,
            content.len(),
            "frame {frame}"
        );
        content
    };
    let hello: Hello = ciborium::from_reader(content(0)).unwrap();
    assert_eq!(hello.pid, 200);
    let request: RequestFrame = ciborium::from_reader(content(1)).unwrap();
    assert_eq!(request.id, 1);
    let hello: Hello = ciborium::from_reader(content(2)).unwrap();
    assert_eq!(hello.identifier.as_deref(), Some("taskmaster"));
    let reply: ServerFrame = ciborium::from_reader(content(3)).unwrap();
    assert!(
        matches!(reply, ServerFrame::Reply { id: 1, .. }),
        "{reply:?}"
    );
}
