//! Holds `README.md` to the catalogue and to the tests: no entry is missing, and every test that is named exists.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Entries of the catalogue: the letter of a family and how many it has.
const FAMILIES: [(char, usize); 6] = [
    ('C', 34),
    ('S', 31),
    ('P', 35),
    ('G', 28),
    ('D', 24),
    ('X', 28),
];
/// The mistakes that everybody makes first; none of them is excused from a test of its own.
const MISTAKES: usize = 25;
/// How an entry begins that has no test.
const EXCUSE: &str = "no test: ";

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn readme() -> String {
    fs::read_to_string(root("tests/faults/README.md")).unwrap()
}

/// The rows of all tables: first and last cell, by the first word of the first one.
fn rows(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut rows: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in text.lines() {
        let Some(cells) = line
            .strip_prefix("| ")
            .and_then(|line| line.strip_suffix(" |"))
        else {
            continue;
        };
        let cells: Vec<&str> = cells.split(" | ").collect();
        assert_eq!(cells.len(), 3, "three cells: {line}");
        let id = cells[0].split(' ').next().unwrap().to_owned();
        rows.entry(id).or_default().push(cells[2].to_owned());
    }
    rows
}

/// The tests that a cell names.
fn tests_in(cell: &str) -> Vec<&str> {
    cell.split('`')
        .skip(1)
        .step_by(2)
        .filter(|name| name.contains("::"))
        .collect()
}

/// The files in which a module may be written: of the tests, or of the executable's own.
fn files_of(module: &str) -> Vec<String> {
    let path = module.replace("::", "/");
    let inline = path.strip_suffix("/tests").unwrap_or(&path);
    ["tests", "src"]
        .iter()
        .flat_map(|top| {
            [
                format!("{top}/{path}.rs"),
                format!("{top}/{path}/mod.rs"),
                format!("{top}/{inline}.rs"),
                format!("{top}/{inline}/mod.rs"),
            ]
        })
        .filter(|file| root(file).is_file())
        .collect()
}

/// Whether a file holds this test.
fn holds(file: &str, name: &str) -> bool {
    let text = fs::read_to_string(root(file)).unwrap();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let head = format!("fn {name}(");
    lines.iter().enumerate().any(|(number, line)| {
        line.starts_with(&head) && lines[number.saturating_sub(3)..number].contains(&"#[test]")
    })
}

/// The file that holds a test, named with its module.
fn file_of(test: &str) -> Option<String> {
    let (module, name) = test.rsplit_once("::")?;
    files_of(module).into_iter().find(|file| holds(file, name))
}

#[test]
fn every_entry_has_its_tests_or_the_reason_why_not() {
    let text = readme();
    let rows = rows(&text);
    let mut faults = Vec::new();
    let mut excused = 0;
    for (letter, count) in FAMILIES {
        for number in 1..=count {
            let id = format!("{letter}{number:02}");
            let Some([cell]) = rows.get(&id).map(Vec::as_slice) else {
                faults.push(format!("{id}: not there, or twice"));
                continue;
            };
            let tests = tests_in(cell);
            for test in &tests {
                if file_of(test).is_none() {
                    faults.push(format!("{id}: there is no test `{test}`"));
                }
            }
            let reason = cell.strip_prefix(EXCUSE).unwrap_or_default();
            if tests.is_empty() && reason.len() < 20 {
                faults.push(format!("{id}: neither a test nor a reason"));
            }
            excused += usize::from(tests.is_empty());
        }
    }
    let known: BTreeSet<String> = FAMILIES
        .iter()
        .flat_map(|(letter, count)| (1..=*count).map(move |number| format!("{letter}{number:02}")))
        .chain((1..=MISTAKES).map(|number| number.to_string()))
        .collect();
    for id in rows.keys() {
        if !known.contains(id) && !["entry", "mistake", "---"].contains(&id.as_str()) {
            faults.push(format!("{id}: not in the catalogue"));
        }
    }
    let entries: usize = FAMILIES.iter().map(|(_, count)| count).sum();
    let sum = format!(
        "Of its {entries} entries {} have tests; {excused} have none",
        entries - excused
    );
    if !text.contains(&sum) {
        faults.push(format!("it does not say: {sum}"));
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn every_common_mistake_has_a_test_on_the_real_executable() {
    let rows = rows(&readme());
    let mut faults = Vec::new();
    for number in 1..=MISTAKES {
        let Some([cell]) = rows.get(&number.to_string()).map(Vec::as_slice) else {
            faults.push(format!("{number}: not there, or twice"));
            continue;
        };
        let real = |test: &&str| file_of(test).is_some_and(|file| file.starts_with("tests/"));
        let tests = tests_in(cell);
        if !tests.iter().any(real) {
            faults.push(format!("{number}: no test on the executable"));
        }
        for test in tests {
            if file_of(test).is_none() {
                faults.push(format!("{number}: there is no test `{test}`"));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}
