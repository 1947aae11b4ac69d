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

    fn group_exists(&self, name: &str) -> io::Result<bool> {
        Ok(name == "www")
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
