//! `--json`: one document for every action that reads.

use crate::harness::{Daemon, Said};
use serde_json::Value;

fn document(said: &Said) -> Value {
    assert!(said.stderr.is_empty(), "{said:?}");
    serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error}\n{said:?}"))
}

/// The first object within that has this text under this key.
fn object_with<'a>(
    value: &'a Value,
    key: &str,
    text: &str,
) -> Option<&'a serde_json::Map<String, Value>> {
    match value {
        Value::Object(map) => {
            if map.get(key).and_then(Value::as_str) == Some(text) {
                return Some(map);
            }
            map.values().find_map(|inner| object_with(inner, key, text))
        }
        Value::Array(items) => items.iter().find_map(|inner| object_with(inner, key, text)),
        _ => None,
    }
}

fn json(daemon: &Daemon, words: &str) -> Said {
    let mut command = daemon
        .sandbox
        .command(crate::harness::Sandbox::executable());
    command
        .args(["ctl", "--json", "-s"])
        .arg(format!("unix://{}", daemon.sandbox.socket_path().display()))
        .args(words.split_whitespace());
    daemon.sandbox.finish(command, "")
}

#[test]
fn status() {
    let daemon = Daemon::with(
        "[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\nnumprocs=2\n[program.off]\ncommand=/nonexistent/x\nautostart=true\nstartretries=0\n",
    );
    daemon.wait_state("web:1", "RUNNING");
    daemon.wait_state("off", "FATAL");
    let said = json(&daemon, "status");
    said.code(3);
    let whole = document(&said);
    let web = object_with(&whole, "name", "web:1").unwrap_or_else(|| panic!("{said:?}"));
    assert_eq!(web["state"], "RUNNING");
    assert_eq!(web["pid"].as_i64(), Some(i64::from(daemon.pid("web:1"))));
    assert_eq!(web["group"], "web");
    let off = object_with(&whole, "name", "off").unwrap();
    assert_eq!(off["state"], "FATAL");
    let said = json(&daemon, "status web:0 nosuch");
    said.code(4);
    let whole = document(&said);
    assert!(object_with(&whole, "name", "web:0").is_some(), "{said:?}");
    assert!(object_with(&whole, "name", "web:1").is_none(), "{said:?}");
    assert!(object_with(&whole, "name", "nosuch").is_some(), "{said:?}");
    daemon.close();
}

#[test]
fn the_other_readers() {
    let daemon = Daemon::with(
        "[program.web]\ncommand=$ZOO say web hello\nautostart=true\nstartsecs=0\npriority=7\n",
    );
    daemon.wait_content(daemon.child_log("web_0_out.log"), "hello\n");
    let said = json(&daemon, "avail");
    said.code(0);
    assert!(
        object_with(&document(&said), "name", "web").is_some(),
        "{said:?}"
    );
    let said = json(&daemon, "pid");
    said.code(0);
    document(&said);
    assert!(
        said.stdout.contains(&daemon.process().to_string()),
        "{said:?}"
    );
    let said = json(&daemon, "pid web");
    said.code(0);
    document(&said);
    assert!(
        said.stdout.contains(&daemon.pid("web").to_string()),
        "{said:?}"
    );
    let said = json(&daemon, "version");
    said.code(0);
    document(&said);
    assert!(said.stdout.contains(env!("CARGO_PKG_VERSION")), "{said:?}");
    for words in ["tail web", "maintail"] {
        let said = json(&daemon, words);
        said.code(0);
        document(&said);
    }
    daemon.edit_config("[program.new]\ncommand=sleep 1000\n");
    let said = json(&daemon, "reread");
    said.code(0);
    document(&said);
    assert!(
        said.stdout.contains("new") && said.stdout.contains("web"),
        "{said:?}"
    );
    daemon.close();
}

#[test]
fn bytes_that_are_no_text_still_make_a_document() {
    let daemon = Daemon::with(
        "[program.web]\ncommand=/bin/sh -c 'printf \"a\\\\377\\\\000\\\\033[1mb\\\\n\"; exec sleep 1000'\nautostart=true\nstartsecs=0\n",
    );
    let log = daemon.child_log("web_0_out.log");
    crate::harness::wait::for_condition("output", || {
        std::fs::read(&log).is_ok_and(|bytes| bytes == b"a\xff\0\x1b[1mb\n")
    });
    document(&json(&daemon, "tail web"));
    daemon.ctl("tail web").code(0);
    daemon.close();
}

#[test]
fn actions_keep_their_exit_codes() {
    let daemon = Daemon::with("[program.web]\ncommand=sleep 1000\nstartsecs=0\n");
    for (words, code) in [
        ("start web", 0),
        ("start web", 0),
        ("start nosuch", 1),
        ("stop web", 0),
        ("signal HUP web", 7),
        ("status web", 3),
    ] {
        let said = json(&daemon, words);
        said.code(code);
        document(&said);
    }
    daemon.close();
}
