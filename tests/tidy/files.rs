//! What is kept in two places: the tree and its map, commands and the gate that runs them, files and the package.

use super::{names, read, report, root, rust_files};
use std::path::Path;
use std::process::Command;

/// The top level of the repository, as the design has it.
const TOP: &[&str] = &[
    ".ci",
    ".gitignore",
    "Cargo.lock",
    "Cargo.toml",
    "README.md",
    "completions",
    "man",
    "packaging",
    "src",
    "tests",
];

/// What a working copy may have besides.
const NOT_OURS: &[&str] = &[".git", "target"];

fn taskmaster() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_taskmaster"));
    command.env("NO_COLOR", "1");
    command
}

#[test]
fn the_top_level_holds_what_it_should() {
    let found: Vec<String> = names(".")
        .into_iter()
        .filter(|name| !NOT_OURS.contains(&name.as_str()))
        .collect();
    assert_eq!(found, TOP);
}

#[test]
fn the_readme_names_the_main_commands_and_the_gate_runs_them() {
    let readme = read("README.md");
    let commands: Vec<&str> = readme
        .lines()
        .filter_map(|line| line.strip_prefix("    cargo "))
        .collect();
    assert_eq!(
        commands.get(..4),
        Some(
            &[
                "run --release -- daemon -n -c packaging/taskmaster.sample.ini",
                "run --release -- ctl -c packaging/taskmaster.sample.ini status",
                "run --release -- check-config packaging/taskmaster.sample.ini",
                "test",
            ][..]
        )
    );
    let gate = read(".ci/run");
    for words in [" daemon ", " ctl ", "test", "soak"] {
        let call = format!("$(readme_command \"{words}\")");
        assert!(gate.contains(&call), ".ci/run lacks {call}");
    }
}

#[test]
fn the_readme_maps_every_room() {
    let readme = read("README.md");
    let mut faults = Vec::new();
    for name in names("src") {
        let shown = if root(&format!("src/{name}")).is_dir() {
            format!("`src/{name}/`")
        } else {
            format!("`src/{name}`")
        };
        if !readme.contains(&shown) {
            faults.push(format!("README.md: the code map lacks {shown}"));
        }
    }
    report(&faults);
}

#[test]
fn paths_that_the_readme_names_exist() {
    let readme = read("README.md");
    let mut faults = Vec::new();
    for quoted in readme.split('`').skip(1).step_by(2) {
        let path = quoted.trim_end_matches('/');
        let ours = [
            "src/",
            "tests/",
            "man/",
            "completions/",
            "packaging/",
            ".ci/",
        ];
        if ours.iter().any(|top| quoted.starts_with(top)) && !root(path).exists() {
            faults.push(format!("README.md: there is no {quoted}"));
        }
    }
    report(&faults);
}

/// What the checker says about a file: exit status and all it printed.
fn check(arguments: &[&str], file: &Path) -> (Option<i32>, String) {
    let output = taskmaster()
        .arg("check-config")
        .args(arguments)
        .arg(file)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

#[test]
fn the_sample_is_clean() {
    let sample = root("packaging/taskmaster.sample.ini");
    let (status, text) = check(&["--strict"], &sample);
    assert_eq!(status, Some(0), "{text}");
    // The same file with its commands taken away is not: the checker has looked.
    let broken = read("packaging/taskmaster.sample.ini").replace("\ncommand=", "\n;command=");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("broken.ini");
    std::fs::write(&path, broken).unwrap();
    let (status, text) = check(&[], &path);
    assert_eq!(status, Some(2), "{text}");
}

#[test]
fn the_template_of_the_package_is_clean_with_and_without_its_semicolons() {
    let template = read("packaging/example.ini");
    let used: Vec<&str> = template
        .lines()
        .filter(|line| !line.starts_with("; "))
        .map(|line| line.trim_start_matches(';'))
        // Neither the account nor the directory is everywhere.
        .filter(|line| !line.starts_with("user=") && !line.starts_with("directory="))
        .collect();
    assert!(used.len() > 4, "{used:?}");
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("kept.ini", template.clone()),
        ("used.ini", used.join("\n")),
    ] {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        let (status, text) = check(&[], &path);
        assert_eq!(status, Some(0), "{name}: {text}");
    }
}

#[test]
fn completions_are_what_the_executable_generates() {
    for (shell, name) in [("bash", "{}.bash"), ("zsh", "_{}"), ("fish", "{}.fish")] {
        for command in ["taskmaster", "taskmasterd", "taskmasterctl"] {
            let output = taskmaster()
                .args(["generate", "completions", shell, command])
                .output()
                .unwrap();
            let path = format!("completions/{}", name.replace("{}", command));
            assert!(
                output.status.success() && output.stdout == read(&path).as_bytes(),
                "{path} is out of step: run UPDATE_EXPECT=1 cargo test --lib completions"
            );
        }
    }
}

#[test]
fn the_package_holds_pages_completions_and_configuration() {
    let manifest = read("Cargo.toml");
    let mut faults = Vec::new();
    let mut wanted = vec![
        "packaging/taskmaster.ini".to_owned(),
        "packaging/example.ini".to_owned(),
        "packaging/taskmaster.tmpfiles".to_owned(),
        "packaging/taskmaster.sample.ini".to_owned(),
        "packaging/debian/copyright".to_owned(),
        "packaging/bin/taskmasterd".to_owned(),
        "packaging/bin/taskmasterctl".to_owned(),
    ];
    for directory in ["man", "completions"] {
        wanted.extend(
            names(directory)
                .iter()
                .map(|name| format!("{directory}/{name}")),
        );
    }
    for path in wanted {
        if !manifest.contains(&format!("[\"{path}\", \"")) {
            faults.push(format!(
                "Cargo.toml: {path} is not among the package's assets"
            ));
        }
    }
    report(&faults);
    for switch in ["restart-after-upgrade = false", "stop-on-upgrade = false"] {
        assert!(
            manifest.contains(switch),
            "an upgrade must not stop programs: {switch}"
        );
    }
}

#[test]
fn the_changelog_begins_with_this_version() {
    let changelog = read("packaging/debian/changelog");
    let expected = format!("taskmaster ({}-", env!("CARGO_PKG_VERSION"));
    assert!(
        changelog.starts_with(&expected),
        "packaging/debian/changelog: expected {expected}"
    );
}

#[test]
fn every_test_file_is_a_module_of_the_one_test_binary() {
    let mut faults = Vec::new();
    for file in rust_files("tests") {
        let inside = file.trim_start_matches("tests/");
        if inside == "tests.rs" || inside.starts_with("bench/") {
            continue;
        }
        let (parent, module) = match inside.rsplit_once('/') {
            Some((directory, "mod.rs")) => match directory.rsplit_once('/') {
                Some((above, own)) => (above.to_owned(), own.to_owned()),
                None => (String::new(), directory.to_owned()),
            },
            Some((directory, name)) => (directory.to_owned(), name.to_owned()),
            None => (String::new(), inside.to_owned()),
        };
        let parent = match parent.as_str() {
            "" => "tests/tests.rs".to_owned(),
            directory if root(&format!("tests/{directory}/mod.rs")).is_file() => {
                format!("tests/{directory}/mod.rs")
            }
            directory => format!("tests/{directory}.rs"),
        };
        let declaration = format!("mod {};", module.trim_end_matches(".rs"));
        if !read(&parent).contains(&declaration) {
            faults.push(format!(
                "{file}: never runs, {parent} lacks `{declaration}`"
            ));
        }
    }
    report(&faults);
}
