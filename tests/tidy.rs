//! The rules of the house: what a reviewer would otherwise have to look for in every change.
//!
//! `source` holds the code to its layers and sizes, `manual` holds the pages to options, actions, keys, messages, exit
//! codes and signals, `files` holds everything that is kept in two places in step, and `shells` tries the completion
//! scripts in their shells, and `glance` the manual's table of keys to the schema. Nothing else here tests behaviour.

mod files;
mod glance;
mod keys;
mod manual;
mod shells;
mod source;

use std::fs;
use std::path::{Path, PathBuf};

/// A path of the repository.
fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A file of the repository.
fn read(path: &str) -> String {
    fs::read_to_string(root(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Names in a directory of the repository, sorted.
fn names(path: &str) -> Vec<String> {
    let entries = fs::read_dir(root(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Rust files below a directory of the repository, as paths from its top, sorted.
fn rust_files(directory: &str) -> Vec<String> {
    let mut found = Vec::new();
    for name in names(directory) {
        let path = format!("{directory}/{name}");
        if root(&path).is_dir() {
            found.extend(rust_files(&path));
        } else if Path::new(&name)
            .extension()
            .is_some_and(|extension| extension == "rs")
        {
            found.push(path);
        }
    }
    found
}

/// Fails with every line at once.
fn report(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}
