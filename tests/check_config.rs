//! `check-config`: verdicts, exit codes and formats.

use crate::harness::{Said, Sandbox};
use serde_json::Value;

const CLEAN: &str =
    "[taskmasterd]\nlogfile=$DIR/log/t.log\n[program.web]\ncommand=/bin/sleep 1000\n";
const WARNED: &str = "[program.web]\ncommand=/bin/sleep 1000\nautostrat=true\n";
const FAULTY: &str = "[program.web]\ncommand=/bin/sleep 1000\nautostart=perhaps\n";

fn check(sandbox: &Sandbox, config: &str, words: &[&str]) -> Said {
    let path = sandbox.write("check.ini", config).display().to_string();
    let mut all = vec!["check-config".to_owned()];
    all.extend(words.iter().map(|&word| word.to_owned()));
    all.push(path);
    sandbox.taskmaster(&all)
}

/// Every object within.
fn objects(value: &Value) -> Vec<&serde_json::Map<String, Value>> {
    match value {
        Value::Object(map) => std::iter::once(map)
            .chain(map.values().flat_map(objects))
            .collect(),
        Value::Array(items) => items.iter().flat_map(objects).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn the_exit_code_is_the_verdict() {
    let sandbox = Sandbox::new();
    for (config, relaxed, strict) in [(CLEAN, 0, 0), (WARNED, 0, 1), (FAULTY, 2, 2), ("", 0, 0)] {
        for format in ["text", "short", "json"] {
            check(&sandbox, config, &["--format", format]).code(relaxed);
            check(&sandbox, config, &["--strict", "--format", format]).code(strict);
        }
        check(&sandbox, config, &[]).code(relaxed);
        check(&sandbox, config, &["--strict"]).code(strict);
    }
}

#[test]
fn a_clean_file_has_no_findings() {
    let sandbox = Sandbox::new();
    let said = check(&sandbox, CLEAN, &["--format", "short"]);
    assert!(!said.all().contains("warning"), "{said:?}");
    assert!(!said.all().contains("error"), "{said:?}");
}

#[test]
fn a_misspelt_key_is_a_warning_with_a_suggestion() {
    let sandbox = Sandbox::new();
    let said = check(&sandbox, WARNED, &[]);
    said.code(0)
        .mentions("warning")
        .mentions("check.ini:3:1")
        .mentions("autostrat=true")
        .mentions("^")
        .mentions("autostart");
    let said = check(
        &sandbox,
        "[progam.web]\ncommand=/bin/sleep 1\n",
        &["--strict"],
    );
    said.code(1)
        .mentions("check.ini:1:")
        .mentions("program.web");
}

#[test]
fn what_warns() {
    let sandbox = Sandbox::new();
    for (config, line) in [
        ("[program.web]\ncommand=/bin/sleep 1\nnosuchkey=1\n", 3),
        ("[nosuchsection]\nx=1\n", 1),
        (
            "[program.web]\ncommand=/bin/sleep 1\nstartsecs=1\nstartsecs=2\n",
            4,
        ),
        ("[program.web]\ncommand=/nonexistent/tool\n", 2),
        ("[taskmasterctl]\nprompt='a ; b'\n", 2),
        (
            "[program.web]\ncommand=/bin/sleep 1\nredirect_stderr=true\nstderr_logfile=$DIR/log/x\n",
            4,
        ),
        ("[include]\nfiles=$DIR/nothing/*.ini\n", 2),
    ] {
        let said = check(&sandbox, config, &["--strict", "--format", "short"]);
        said.code(1)
            .mentions(&format!("check.ini:{line}:"))
            .mentions("warning");
    }
}

#[test]
fn short_findings_take_a_line_each() {
    let sandbox = Sandbox::new();
    let path = sandbox.path("check.ini").display().to_string();
    let said = check(
        &sandbox,
        "[program.web]\ncommand=/bin/sleep 1000\nautostart=perhaps\nnosuchkey=1\n",
        &["--format", "short"],
    );
    said.code(2);
    let text = said.all();
    let line = |number: u32| {
        text.lines()
            .find(|line| line.starts_with(&format!("{path}:{number}:")))
            .unwrap_or_else(|| panic!("{said:?}"))
    };
    assert!(line(3).contains(": error: "), "{said:?}");
    assert!(line(4).contains(": warning: "), "{said:?}");
}

#[test]
fn json_is_one_document_with_places() {
    let sandbox = Sandbox::new();
    let said = check(
        &sandbox,
        "[program.web]\ncommand=/bin/sleep 1000\nautostart=perhaps\nnosuchkey=1\n",
        &["--format", "json"],
    );
    said.code(2);
    let document: Value =
        serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error}\n{said:?}"));
    for line in [3, 4] {
        let finding = objects(&document)
            .into_iter()
            .find(|map| map.get("line").and_then(Value::as_u64) == Some(line))
            .unwrap_or_else(|| panic!("no finding in line {line}\n{said:?}"));
        assert!(
            finding
                .get("column")
                .and_then(Value::as_u64)
                .is_some_and(|column| column > 0)
        );
    }
    for severity in ["error", "warning"] {
        assert!(
            objects(&document)
                .iter()
                .any(|map| map.get("severity").and_then(Value::as_str) == Some(severity)),
            "{said:?}"
        );
    }
    let clean = check(&sandbox, CLEAN, &["--format", "json"]);
    serde_json::from_str::<Value>(&clean.stdout)
        .unwrap_or_else(|error| panic!("{error}\n{clean:?}"));
}

#[test]
fn it_changes_nothing() {
    let sandbox = Sandbox::new();
    check(
        &sandbox,
        "[taskmasterctl]\nserverurl=$DIR/run/tm.sock\n[taskmasterd]\nlogfile=$DIR/log/t.log\nchildlogdir=$DIR/log/child\n\
         [program.web]\ncommand=/bin/sleep 1\nautostart=true\n",
        &[],
    )
    .code(0);
    for path in ["log/t.log", "log/child", "run/tm.sock", "run/tm.sock.lock"] {
        assert!(!sandbox.path(path).exists(), "{path}");
    }
}

#[test]
fn faults_in_included_files_name_those_files() {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.path("conf.d")).unwrap();
    sandbox.write("conf.d/one.ini", "[program.one]\ncommand=/bin/sleep 1\n");
    sandbox.write(
        "conf.d/two.ini",
        "[program.two]\ncommand=/bin/sleep 1\numask=9\n",
    );
    let config = "[include]\nfiles=conf.d/*.ini\n[program.web]\ncommand=/bin/sleep 1\n";
    check(&sandbox, config, &[])
        .code(2)
        .mentions("conf.d/two.ini:3:");
    sandbox.write("conf.d/two.ini", "[program.two]\ncommand=/bin/sleep 1\n");
    check(&sandbox, config, &["--strict"]).code(0);
    // Two programs of one name, in two files.
    sandbox.write("conf.d/two.ini", "[program.web]\ncommand=/bin/sleep 1\n");
    check(&sandbox, config, &[]).code(2).mentions("web");
    // A file that includes the one that includes it.
    sandbox.write("conf.d/two.ini", "[include]\nfiles=$DIR/check.ini\n");
    check(&sandbox, config, &[])
        .code(2)
        .mentions("conf.d/two.ini");
}

#[test]
fn odd_files_are_read_or_refused() {
    let sandbox = Sandbox::new();
    let here = |name: &str| sandbox.path(name).display().to_string();
    let write = |name: &str, bytes: &[u8]| std::fs::write(sandbox.path(name), bytes).unwrap();
    write(
        "bom.ini",
        b"\xef\xbb\xbf[program.web]\r\ncommand=/bin/sleep 1\r\n",
    );
    sandbox
        .taskmaster(&["check-config", "--strict", &here("bom.ini")])
        .code(0);
    write(
        "latin.ini",
        b"[program.web]\ncommand=/bin/sleep 1\nenvironment=A=\"\xe9\"\n",
    );
    sandbox
        .taskmaster(&["check-config", &here("latin.ini")])
        .code(2)
        .mentions("latin.ini");
    write("nul.ini", b"[program.web]\ncommand=/bin/sleep\0 1\n");
    sandbox
        .taskmaster(&["check-config", &here("nul.ini")])
        .code(2)
        .mentions("nul.ini:2:");
    for path in [sandbox.tag(), "/dev/zero".to_owned(), here("missing.ini")] {
        sandbox
            .taskmaster(&["check-config", &path])
            .code(2)
            .mentions(&path);
    }
    // A pipe without a writer must not hang anybody.
    nix::unistd::mkfifo(
        &sandbox.path("fifo.ini"),
        nix::sys::stat::Mode::from_bits_truncate(0o600),
    )
    .unwrap();
    sandbox
        .taskmaster(&["check-config", &here("fifo.ini")])
        .code(2)
        .mentions("fifo.ini");
}

#[test]
fn supervisors_files_are_understood() {
    let sandbox = Sandbox::new();
    let said = check(
        &sandbox,
        "[unix_http_server]\nfile=$DIR/run/supervisor.sock\n\
         [supervisord]\nlogfile=$DIR/log/supervisord.log\nlogfile_maxbytes=50MB\nlogfile_backups=10\nloglevel=info\n\
         pidfile=$DIR/run/supervisord.pid\nnodaemon=false\nsilent=false\nminfds=1024\nminprocs=200\n\
         [rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n\
         [supervisorctl]\nserverurl=unix://$DIR/run/supervisor.sock\n\
         [program:cat]\ncommand=/bin/cat              ; the program\nprocess_name=%(program_name)s ; name\nnumprocs=1\n\
         directory=/tmp\numask=022\npriority=999\nautostart=true\nstartsecs=1\nstartretries=3\nautorestart=unexpected\n\
         exitcodes=0\nstopsignal=QUIT\nstopwaitsecs=10\nstopasgroup=false\nkillasgroup=false\nredirect_stderr=true\n\
         stdout_logfile=$DIR/log/cat.log\nstdout_logfile_maxbytes=1MB\nstdout_logfile_backups=10\n\
         stdout_capture_maxbytes=1MB\nstdout_events_enabled=false\nenvironment=A=\"1\",B=\"2\"\nserverurl=AUTO\n",
        &[],
    );
    said.code(0);
    assert!(!said.all().contains("error"), "{said:?}");
}
