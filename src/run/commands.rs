//! Commands from the words of a command line, and names for them.

use super::{Program, RunError};
use crate::types::ProgramName;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;

/// What begins the next command.
const SEPARATOR: &str = ":::";

/// The commands that stand behind `--`, with the names given for them.
pub(super) fn programs(words: &[OsString], names: &[String]) -> Result<Vec<Program>, RunError> {
    if words.is_empty() {
        return Err(RunError::Nothing);
    }
    let commands: Vec<&[OsString]> = words.split(|word| word == SEPARATOR).collect();
    if names.len() > commands.len() {
        return Err(RunError::TooManyNames {
            names: names.len(),
            commands: commands.len(),
        });
    }
    let mut taken: BTreeSet<String> = BTreeSet::new();
    for name in names {
        check(name)?;
        if !taken.insert(name.clone()) {
            return Err(RunError::SameName(name.clone()));
        }
    }
    let mut programs = Vec::new();
    for (index, command) in commands.into_iter().enumerate() {
        let words = command
            .iter()
            .map(|word| {
                let text = word.to_str().map(str::to_owned);
                text.ok_or_else(|| RunError::NotUtf8(word.clone()))
            })
            .collect::<Result<Vec<String>, _>>()?;
        let first = words.first().ok_or(RunError::EmptyCommand(index + 1))?;
        let name = match names.get(index) {
            Some(name) => name.clone(),
            None => unique(&basename(first), &mut taken),
        };
        programs.push(Program {
            name,
            words,
            port: None,
        });
    }
    Ok(programs)
}

/// Refuses a name that a program cannot have, or that a section's header cannot hold.
pub(super) fn check(name: &str) -> Result<(), RunError> {
    let bad = |reason: String| RunError::BadName {
        name: name.to_owned(),
        reason,
    };
    if let Err(error) = ProgramName::new(name) {
        return Err(bad(error.to_string()));
    }
    if name == "all" {
        return Err(bad("it stands for all of them".to_owned()));
    }
    match name.chars().find(|&character| !is_plain(character)) {
        Some(character) => Err(bad(format!("{character:?} is not allowed"))),
        None => Ok(()),
    }
}

fn is_plain(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '-' | '.' | '+' | '@')
}

/// A name made of a program's path.
fn basename(program: &str) -> String {
    let name = Path::new(program)
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let name: String = name
        .chars()
        .map(|character| if is_plain(character) { character } else { '-' })
        .take(40)
        .collect();
    if check(&name).is_ok() {
        name
    } else {
        "program".to_owned()
    }
}

/// The name, or the first of `NAME-2`, `NAME-3` … that is not taken yet.
fn unique(name: &str, taken: &mut BTreeSet<String>) -> String {
    let mut free = name.to_owned();
    let mut number = 1_u32;
    while taken.contains(&free) {
        number += 1;
        free = format!("{name}-{number}");
    }
    taken.insert(free.clone());
    free
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str, names: &[&str]) -> Result<Vec<(String, String)>, String> {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        programs(&words, &names)
            .map(|found| {
                let pair = |program: Program| (program.name, program.words.join(" "));
                found.into_iter().map(pair).collect()
            })
            .map_err(|error| error.to_string())
    }

    fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> Vec<(String, String)> {
        pairs
            .map(|(name, words)| (name.to_owned(), words.to_owned()))
            .into()
    }

    #[test]
    fn commands_are_split_and_named() {
        assert_eq!(
            read("/bin/sleep 1 ::: sleep 2 ::: ./a,b ::: sleep", &[]).unwrap(),
            pairs([
                ("sleep", "/bin/sleep 1"),
                ("sleep-2", "sleep 2"),
                ("a-b", "./a,b"),
                ("sleep-3", "sleep")
            ])
        );
        assert_eq!(
            read("sleep 1 ::: sleep 2 ::: web", &["web"]).unwrap(),
            pairs([("web", "sleep 1"), ("sleep", "sleep 2"), ("web-2", "web")])
        );
        // It stands alone or not at all.
        assert_eq!(
            read("echo a:::b", &[]).unwrap(),
            pairs([("echo", "echo a:::b")])
        );
        assert_eq!(read("/ ::: all", &[]).unwrap()[0].0, "program");
    }

    #[test]
    fn what_cannot_be_run_is_told() {
        for (line, names, told) in [
            ("a ::: ::: b", &[][..], "command 2 is empty"),
            (":::", &[], "command 1 is empty"),
            ("a", &["x", "y"], "2 names for 1 commands"),
            ("a ::: b", &["x", "x"], "two commands are called \"x\""),
            (
                "a",
                &["x]y"],
                "\"x]y\" cannot be a name: ']' is not allowed",
            ),
            (
                "a",
                &["all"],
                "\"all\" cannot be a name: it stands for all of them",
            ),
        ] {
            assert_eq!(read(line, names), Err(told.to_owned()), "{line}");
        }
        assert!(matches!(programs(&[], &[]), Err(RunError::Nothing)));
    }
}
