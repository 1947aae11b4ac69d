//! Runs the checker over `tests/check/*.ini` and compares what it prints with the `.stderr` beside each file.
//!
//! `UPDATE_EXPECT=1 cargo test --lib check_config` writes the expectations anew; read the difference before committing it.

use super::{Report, check};
use crate::cli::{CheckOptions, Format};
use crate::config::{FileContent, FileFacts, Host, ReadError, RealHost, model::User};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// The machine of the fixtures: files are real, users, environment and permissions are not, so that the expectations
/// hold everywhere.
#[derive(Debug)]
struct FixtureHost {
    real: RealHost,
    directory: PathBuf,
}

impl FixtureHost {
    fn new() -> Self {
        Self {
            real: RealHost::new(),
            directory: Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/check"),
        }
    }
}

impl Host for FixtureHost {
    fn read(&self, path: &Path) -> Result<FileContent, ReadError> {
        self.real.read(path)
    }

    fn facts(&self, path: &Path) -> Option<FileFacts> {
        self.real.facts(path).map(|facts| FileFacts {
            uid: 0,
            mode: 0o644,
            ..facts
        })
    }

    fn is_executable(&self, path: &Path) -> bool {
        self.real.is_executable(path)
    }

    fn is_writable(&self, path: &Path) -> bool {
        self.real.is_writable(path)
    }

    fn glob(&self, pattern: &str) -> Result<Vec<PathBuf>, String> {
        self.real.glob(pattern)
    }

    fn account_by_name(&self, name: &str) -> io::Result<Option<User>> {
        Ok(matches!(name, "www" | "root").then(|| User {
            name: name.to_owned(),
            uid: 33,
            gid: 33,
            groups: vec![33],
            home: Some(PathBuf::from("/srv")),
            shell: None,
        }))
    }

    fn account_by_uid(&self, uid: u32) -> io::Result<Option<User>> {
        if uid == 33 {
            self.account_by_name("www")
        } else {
            Ok(None)
        }
    }

    fn group_by_name(&self, name: &str) -> io::Result<Option<u32>> {
        Ok((name == "www").then_some(33))
    }

    fn has_gid(&self, gid: u32) -> io::Result<bool> {
        Ok(gid == 33)
    }

    fn environment(&self) -> BTreeMap<String, String> {
        [("HOME", "/srv"), ("LANG", "C"), ("PATH", "/usr/bin:/bin")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    fn node_name(&self) -> String {
        "alpha".into()
    }

    fn effective_uid(&self) -> u32 {
        1000
    }

    fn current_dir(&self) -> PathBuf {
        self.directory.clone()
    }

    fn temp_dir(&self) -> PathBuf {
        PathBuf::from("/tmp")
    }
}

fn run(file: &str, format: Format, strict: bool) -> Report {
    let options = CheckOptions {
        file: PathBuf::from(file),
        strict,
        format,
    };
    check(&options, &FixtureHost::new(), false)
}

#[test]
fn fixtures_are_explained_as_expected() {
    let host = FixtureHost::new();
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let mut files: Vec<PathBuf> = std::fs::read_dir(&host.directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "ini"))
        .collect();
    files.sort();
    assert!(
        files.len() >= 25,
        "only {} fixtures were found",
        files.len()
    );
    let mut differing = Vec::new();
    for path in files {
        let name = path.file_name().unwrap().to_str().unwrap();
        let report = run(name, Format::Text, false);
        let root = host.directory.to_str().unwrap();
        let printed = format!("{}{}", report.stderr, report.stdout).replace(root, "$DIR");
        let printed = format!("{printed}exit status {}\n", report.status);
        let expectation = path.with_extension("stderr");
        let expected = std::fs::read_to_string(&expectation).unwrap_or_default();
        if printed == expected {
            continue;
        }
        if update {
            std::fs::write(&expectation, &printed).unwrap();
        } else {
            differing.push(format!("{name} printed:\n{printed}\nexpected:\n{expected}"));
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

#[test]
fn the_exit_status_says_clean_doubtful_or_wrong() {
    for (file, strict, status) in [
        ("valid_native.ini", false, 0),
        ("valid_native.ini", true, 0),
        ("unknown_keys.ini", false, 0),
        ("unknown_keys.ini", true, 1),
        ("ten_faults.ini", false, 2),
        ("ten_faults.ini", true, 2),
        ("no-such-file.ini", false, 2),
        ("empty", false, 2),
    ] {
        for format in [Format::Text, Format::Short, Format::Json] {
            let report = run(file, format, strict);
            assert_eq!(report.status, status, "{file} {format:?}");
        }
    }
}

#[test]
fn the_verdict_says_when_strictness_decided() {
    let report = run("two_sockets.ini", Format::Short, true);
    let last = report.stderr.lines().last();
    assert_eq!(
        last,
        Some("two_sockets.ini: 1 warning, and --strict allows none")
    );
}

#[test]
fn a_clean_file_is_one_line_on_the_standard_output() {
    for format in [Format::Text, Format::Short] {
        let report = run("valid_native.ini", format, false);
        assert_eq!(
            report.stdout,
            "valid_native.ini: OK (2 programs, 4 processes)\n"
        );
        assert_eq!(report.stderr, "");
    }
}

#[test]
fn an_unreadable_file_is_explained_without_a_place() {
    let report = run("no-such-file.ini", Format::Text, false);
    assert_eq!(
        report.stderr,
        "error[unreadable]: cannot read no-such-file.ini: no such file or directory\n\nno-such-file.ini: 1 error\n"
    );
    let report = run("empty", Format::Short, false);
    assert_eq!(
        report.stderr,
        "error: cannot read empty: not a regular file\nempty: 1 error\n"
    );
}

#[test]
fn the_short_form_is_one_line_each() {
    let report = run("unknown_keys.ini", Format::Short, false);
    assert_eq!(
        report.stderr,
        "unknown_keys.ini:2:1: warning: unknown key `autostart` in the daemon section: this line has no effect\n\
         unknown_keys.ini:3:1: warning: unknown key `log_level` in the daemon section: this line has no effect \
         (did you mean `loglevel`?)\n\
         unknown_keys.ini:7:1: warning: unknown key `autorestrt` in program `a`: this line has no effect \
         (did you mean `autorestart`?)\n\
         unknown_keys.ini:8:1: warning: unknown key `bogus` in program `a`: this line has no effect\n\
         unknown_keys.ini:9:1: warning: unknown key `loglevel` in program `a`: this line has no effect\n\
         unknown_keys.ini: OK (1 program, 1 process, 5 warnings)\n"
    );
}

#[test]
fn the_json_document_keeps_its_shape() {
    let report = run("duplicates.ini", Format::Json, false);
    assert_eq!(report.stderr, "");
    let document: serde_json::Value = serde_json::from_str(&report.stdout).unwrap();
    let members: Vec<_> = document.as_object().unwrap().keys().cloned().collect();
    let mut expected = [
        "version",
        "file",
        "ok",
        "errors",
        "warnings",
        "programs",
        "processes",
        "diagnostics",
    ];
    expected.sort_unstable();
    assert_eq!(members, expected);
    assert_eq!(document["ok"], false);
    assert_eq!(
        (document["errors"].as_u64(), document["warnings"].as_u64()),
        (Some(1), Some(3))
    );
    assert_eq!(
        document["diagnostics"][3],
        serde_json::json!({
            "severity": "error",
            "code": "duplicate-section",
            "message": "the program `web` is defined twice",
            "label": "again here",
            "location": {"file": "duplicates.ini", "line": 12, "column": 1, "end_line": 12, "end_column": 14},
            "related": [{
                "label": "first here",
                "location": {"file": "duplicates.ini", "line": 6, "column": 1, "end_line": 6, "end_column": 14},
            }],
            "help": ["rename one of them, or remove it"],
            "suggestion": null,
        })
    );
    let clean: serde_json::Value =
        serde_json::from_str(&run("valid_native.ini", Format::Json, false).stdout).unwrap();
    assert_eq!(
        clean,
        serde_json::json!({
            "version": 1, "file": "valid_native.ini", "ok": true, "errors": 0, "warnings": 0,
            "programs": 2, "processes": 4, "diagnostics": [],
        })
    );
    let meant: serde_json::Value =
        serde_json::from_str(&run("unknown_keys.ini", Format::Json, false).stdout).unwrap();
    assert_eq!(
        meant["diagnostics"][1]["suggestion"],
        serde_json::json!({
            "replacement": "loglevel",
            "location": {"file": "unknown_keys.ini", "line": 3, "column": 1, "end_line": 3, "end_column": 10},
        })
    );
    let nowhere: serde_json::Value =
        serde_json::from_str(&run("no-such-file.ini", Format::Json, false).stdout).unwrap();
    assert_eq!(
        nowhere["diagnostics"][0]["location"],
        serde_json::Value::Null
    );
    assert_eq!(nowhere["programs"], serde_json::Value::Null);
}

#[test]
fn colour_is_used_only_when_asked_for() {
    let options = CheckOptions {
        file: PathBuf::from("ten_faults.ini"),
        strict: false,
        format: Format::Text,
    };
    let host = FixtureHost::new();
    assert!(check(&options, &host, true).stderr.contains("\u{1b}["));
    assert!(!check(&options, &host, false).stderr.contains('\u{1b}'));
}

#[test]
fn a_file_cannot_send_control_characters_to_the_terminal() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("evil.ini");
    std::fs::write(
        &file,
        "[taskmasterd]\nloglevel=\u{1b}]0;title\u{7}\n\u{1b}[2Jkey=1\n",
    )
    .unwrap();
    for format in [Format::Text, Format::Short, Format::Json] {
        let options = CheckOptions {
            file: file.clone(),
            strict: false,
            format,
        };
        let report = check(&options, &FixtureHost::new(), false);
        assert_eq!(report.status, 2);
        let printed = report.stderr + &report.stdout;
        assert!(
            !printed.contains(['\u{1b}', '\u{7}']),
            "{format:?}: {printed:?}"
        );
    }
}
