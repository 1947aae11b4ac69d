//! Layers, sizes, and words that must not stay in the code.

use super::{read, report, root, rust_files};

/// Who may name whom: the arrows of the design. A room that is not listed here does not exist yet.
///
/// `main`, `lib` and `dispatch` may name everything. A trailing path narrows an arrow: the daemon shows the faults of its
/// file as the checker does.
#[rustfmt::skip]
const ARROWS: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("wire", &[]),
    ("cli", &[]),
    ("sys", &["types"]),
    ("config", &["types"]),
    ("engine", &["config::model", "types"]),
    ("events", &["config::model", "engine::action", "engine::view", "types"]),
    ("ctl", &["cli", "config", "types", "wire"]),
    ("check_config", &["cli", "config", "types"]),
    ("run", &["cli", "config", "daemon", "types"]),
    ("daemon", &["check_config::render", "cli", "config", "engine", "events", "sys", "types", "wire"]),
];

/// Files that stand above all rooms.
const ROOF: &[&str] = &["main.rs", "lib.rs", "dispatch.rs"];

/// Most lines of a file of the program, not counting its tests.
const LINES_MAX: usize = 500;

/// Most lines of a file of tests: tables are long.
const TEST_LINES_MAX: usize = 1200;

/// Files that may be longer, and why.
const LONG_FILES: &[(&str, &str)] = &[];

/// Widest line. Text in quotes may be longer, because breaking it would hide it from a search, and so may rows of tables
/// in comments.
const COLUMNS_MAX: usize = 128;

#[test]
fn rooms_name_only_the_rooms_beneath_them() {
    let mut faults = Vec::new();
    for file in rust_files("src") {
        let inside = file.trim_start_matches("src/");
        if ROOF.contains(&inside) {
            continue;
        }
        let room = inside.split('/').next().unwrap_or_default();
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == room) else {
            faults.push(format!(
                "{file}: the room `{room}` is not in the table of arrows"
            ));
            continue;
        };
        for (number, path) in crate_paths(&read(&file)) {
            let own = begins_with(&path, room);
            if !own && !allowed.iter().any(|arrow| begins_with(&path, arrow)) {
                faults.push(format!(
                    "{file}:{number}: {room} may not name crate::{path}"
                ));
            }
        }
    }
    report(&faults);
}

fn begins_with(path: &str, arrow: &str) -> bool {
    path.strip_prefix(arrow)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Every path after `crate::` outside of comments, with its line; those in braces one by one.
fn crate_paths(source: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let code: Vec<&str> = source
        .lines()
        .map(|line| {
            if line.trim_start().starts_with("//") {
                ""
            } else {
                line
            }
        })
        .collect();
    let text = code.join("\n");
    for (at, _) in text.match_indices("crate::") {
        let before = text[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let number = text[..at].matches('\n').count() + 1;
        let rest = &text[at + "crate::".len()..];
        expand(rest, "", &mut |path| found.push((number, path)));
    }
    found
}

/// Reads a path at the beginning of `text`; returns how much of it was read.
fn expand(text: &str, prefix: &str, found: &mut impl FnMut(String)) -> usize {
    let name_end = |c: char| !(c.is_alphanumeric() || c == '_' || c == ':');
    let end = text.find(name_end).unwrap_or(text.len());
    let path = format!("{prefix}{}", &text[..end]);
    if !text[end..].starts_with('{') {
        found(path.trim_end_matches(':').to_owned());
        return end;
    }
    let mut at = end + 1;
    loop {
        at += text[at..].len() - text[at..].trim_start_matches([',', ' ', '\n']).len();
        match text[at..].chars().next() {
            Some('}') => return at + 1,
            Some('*') => at += 1,
            Some(_) => {
                let read = expand(&text[at..], &path, found);
                assert!(read > 0, "cannot read `{path}{{{}`", &text[at..]);
                at += read;
                // `as NAME` says nothing about who is named.
                let next = text[at..].find([',', '}']).unwrap_or(0);
                at += next;
            }
            None => panic!("`{path}{{` is not closed"),
        }
    }
}

#[test]
fn paths_are_found_however_they_are_written() {
    let source = "use crate::types::{Pid, Signal as S};\n// crate::no\nuse crate::{\n    config::{self, model::Config},\n    sys,\n};\n\
                  fn f() { crate::wire::encode(); $crate::x!(); my_crate::y(); }\n";
    let found: Vec<String> = crate_paths(source)
        .into_iter()
        .map(|(number, path)| format!("{number} {path}"))
        .collect();
    assert_eq!(
        found,
        [
            "1 types::Pid",
            "1 types::Signal",
            "3 config::self",
            "3 config::model::Config",
            "3 sys",
            "7 wire::encode",
            "7 x",
        ]
    );
    assert!(begins_with("config::model::Config", "config::model"));
    assert!(!begins_with("config::modelling", "config::model"));
}

#[test]
fn unsafe_code_is_in_sys_alone() {
    let mut faults = Vec::new();
    for file in rust_files("src") {
        if file.starts_with("src/sys/") || file == "src/sys.rs" {
            continue;
        }
        for (number, line) in read(&file).lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            // Every second piece stands between quotes.
            let code: String = code.split('"').step_by(2).collect();
            let words = code.split(|c: char| !(c.is_alphanumeric() || c == '_'));
            if words.into_iter().any(|word| word == "unsafe") {
                faults.push(format!(
                    "{file}:{}: unsafe code outside of src/sys",
                    number + 1
                ));
            }
        }
    }
    report(&faults);
}

#[test]
fn nothing_unfinished_stays_in_the_code() {
    // Put together here, so that this file does not find itself.
    let words = [
        ["TO", "DO"],
        ["FIX", "ME"],
        ["X", "XX"],
        ["to", "do!"],
        ["db", "g!("],
        ["unimple", "mented!"],
    ]
    .map(|parts| parts.concat());
    let mut faults = Vec::new();
    for file in rust_files("src").into_iter().chain(rust_files("tests")) {
        for (number, line) in read(&file).lines().enumerate() {
            if let Some(word) = words.iter().find(|word| line.contains(word.as_str())) {
                faults.push(format!("{file}:{}: `{word}`", number + 1));
            }
        }
    }
    report(&faults);
}

#[test]
fn files_are_one_idea_long() {
    let mut faults = Vec::new();
    for file in rust_files("src").into_iter().chain(rust_files("tests")) {
        let text = read(&file);
        let lines = text
            .lines()
            .take_while(|line| *line != "#[cfg(test)]")
            .count();
        let most = if is_test(&file) {
            TEST_LINES_MAX
        } else {
            LINES_MAX
        };
        let excepted = LONG_FILES.iter().any(|(path, _)| *path == file);
        if lines > most && !excepted {
            faults.push(format!(
                "{file}: {lines} lines without tests, at most {most}"
            ));
        }
        if lines <= most && excepted {
            faults.push(format!("{file}: needs no exception any more"));
        }
        for (number, line) in text.lines().enumerate() {
            let columns = line.chars().count();
            let table = line.trim_start_matches(['/', '!', ' ']).starts_with('|');
            if columns > COLUMNS_MAX && !is_test(&file) && !line.contains('"') && !table {
                faults.push(format!(
                    "{file}:{}: {columns} columns, at most {COLUMNS_MAX}",
                    number + 1
                ));
            }
        }
    }
    for (path, reason) in LONG_FILES {
        if !root(path).is_file() || reason.is_empty() {
            faults.push(format!(
                "{path}: an exception for no file, or without a reason"
            ));
        }
    }
    report(&faults);
}

/// Whether a file holds nothing but tests and what they need.
fn is_test(file: &str) -> bool {
    let name = file.rsplit('/').next().unwrap_or_default();
    file.starts_with("tests/")
        || ["/tests/", "/simulation/"]
            .iter()
            .any(|room| file.contains(room))
        || ["tests.rs", "testing.rs", "samples.rs", "fake.rs"].contains(&name)
        || name.ends_with("_tests.rs")
}

#[test]
fn every_file_says_what_it_is_for() {
    let faults: Vec<String> = rust_files("src")
        .into_iter()
        .chain(rust_files("tests"))
        .filter(|file| !file.starts_with("src/") || !is_test(file))
        .filter(|file| !read(file).trim_start().starts_with("//!"))
        .map(|file| format!("{file}: does not begin with `//!`"))
        .collect();
    report(&faults);
}
