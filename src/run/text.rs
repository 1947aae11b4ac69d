//! The configuration text of a run.
//!
//! A value that the file's format cannot hold as it is (a line feed, or what would begin a comment) goes into a variable
//! that exists for the loader alone, and the text names that.

use super::{Plan, Program, RunError};
use crate::cli::RunOptions;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// What the names of the loader's variables begin with.
const VARIABLE: &str = "TASKMASTER_RUN_VALUE_";

/// Values that stand in variables.
#[derive(Debug, Default)]
pub(super) struct Texts(Vec<String>);

impl Texts {
    /// The value as the text writes it.
    fn value(&mut self, value: &str) -> String {
        let odd = value.trim() != value
            || value.contains(char::is_control)
            || value.starts_with([';', '#'])
            || value.contains(" ;")
            || value.contains(" #");
        if odd {
            self.0.push(value.to_owned());
            format!("%(ENV_{VARIABLE}{})s", self.0.len())
        } else {
            value.replace('%', "%%")
        }
    }

    /// The variables for the loader.
    pub(super) fn into_variables(self) -> BTreeMap<String, String> {
        let numbered = self.0.into_iter().zip(1_usize..);
        numbered
            .map(|(value, number)| (format!("{VARIABLE}{number}"), value))
            .collect()
    }
}

/// The whole text.
pub(super) fn configuration(
    options: &RunOptions,
    plan: &Plan,
    texts: &mut Texts,
) -> Result<String, RunError> {
    let mut text = String::from("[taskmasterd]\n");
    let mut set = |key: &str, value: &str| {
        // Writing to a string cannot fail.
        writeln!(text, "{key}={value}").unwrap_or_default();
    };
    for (key, value) in [
        ("nodaemon", "true"),
        ("logfile", "NONE"),
        ("log_to_stderr", "true"),
        ("auto_logs", "false"),
        ("stdout", "none"),
        ("stdout_format", options.format.word()),
        ("exit_when", options.exit_when.word()),
        ("minfds", "0"),
        ("minprocs", "0"),
    ] {
        set(key, value);
    }
    set("loglevel", &texts.value(&options.loglevel));
    set("umask", &format!("{:03o}", umask()));
    if let Some(stamp) = options.timestamps {
        set("stdout_timestamps", stamp.word());
    }
    if !plan.env_files.is_empty() {
        let mut files = Vec::new();
        for file in &plan.env_files {
            let mark = if file.optional { "-" } else { "" };
            let path = utf8(&file.path)?;
            if path.contains(',') {
                return Err(RunError::OddPath(file.path.clone()));
            }
            files.push(format!("{mark}{path}"));
        }
        set("env_file", &texts.value(&files.join(", ")));
    }
    match &options.socket {
        None => set("control_socket", "false"),
        Some(socket) => {
            let path = std::path::absolute(socket)?;
            let url = texts.value(&format!("unix://{}", utf8(&path)?));
            writeln!(text, "[taskmasterctl]\nserverurl={url}").unwrap_or_default();
        }
    }
    for program in &plan.programs {
        section(&mut text, options, plan, program, texts)?;
    }
    Ok(text)
}

fn section(
    text: &mut String,
    options: &RunOptions,
    plan: &Plan,
    program: &Program,
    texts: &mut Texts,
) -> Result<(), RunError> {
    let Program { name, words, port } = program;
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    let command = texts.value(&words.join(" "));
    let stopwaitsecs = options.timeout;
    writeln!(
        text,
        "[program.{name}]\ncommand={command}\nautostart=true\nautorestart=false\nstartsecs=0\nstartretries=0\n\
         stopwaitsecs={stopwaitsecs}\nstopasgroup=true\nstdout_logfile=stdout\nstderr_logfile=stderr"
    )
    .unwrap_or_default();
    if let Some(directory) = &plan.directory {
        let directory = texts.value(utf8(directory)?);
        writeln!(text, "directory={directory}").unwrap_or_default();
    }
    if let Some(port) = port {
        writeln!(text, "environment=PORT=\"{port}\"").unwrap_or_default();
    }
    Ok(())
}

/// The word as the loader splits it off again.
fn quoted(word: &str) -> String {
    let is_plain = |character: char| {
        character.is_ascii_alphanumeric()
            || matches!(
                character,
                '_' | '@' | '%' | '+' | '=' | ':' | ',' | '.' | '/' | '-'
            )
    };
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn utf8(path: &Path) -> Result<&str, RunError> {
    path.to_str()
        .ok_or_else(|| RunError::NotUtf8(path.as_os_str().to_owned()))
}

/// The mask of whoever calls, which its commands keep.
fn umask() -> u32 {
    // It can only be read by setting it, and no other thread runs yet.
    let mask = nix::sys::stat::umask(nix::sys::stat::Mode::empty());
    nix::sys::stat::umask(mask);
    mask.bits()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{LoadRequest, MemoryHost, load};
    use clap::{Args, Command, FromArgMatches};

    fn options(line: &[&str]) -> RunOptions {
        let command = RunOptions::augment_args(Command::new("run"));
        let words = std::iter::once("run").chain(line.iter().copied());
        let found = command.try_get_matches_from(words).unwrap();
        RunOptions::from_arg_matches(&found).unwrap()
    }

    #[test]
    fn every_word_comes_out_of_the_loader_as_it_went_in() {
        let odd = [
            "/bin/echo",
            "",
            " ",
            "a b",
            "it's",
            "\"q\"",
            "a ; b",
            "a # b",
            ";",
            "#",
            "100%",
            "%(here)s",
            "$HOME",
            "back\\slash",
            "two\nlines",
            "tab\there",
            "cr\rhere",
            "é",
            "[section]",
            "key=value",
            "a: b",
        ];
        // Alone, in one command, and in one that does not need a variable.
        let simple: Vec<&str> = odd
            .iter()
            .copied()
            .filter(|word| !word.contains([';', '#', '\n', '\t', '\r']))
            .collect();
        for words in [odd.to_vec(), simple.clone(), vec!["/bin/echo", "a\nb"]] {
            let options = options(&["--", "x"]);
            let plan = Plan {
                programs: vec![Program {
                    name: "echo".to_owned(),
                    words: words.iter().map(|&word| word.to_owned()).collect(),
                    port: None,
                }],
                directory: None,
                env_files: Vec::new(),
            };
            let mut texts = Texts::default();
            let text = configuration(&options, &plan, &mut texts).unwrap();
            assert_eq!(texts.0.is_empty(), words == simple, "{text}");
            let host = MemoryHost::new(Path::new("<run>"), text.clone(), texts.into_variables());
            let loaded = load(&LoadRequest {
                path: Path::new("<run>"),
                overrides: &[],
                host: &host,
            });
            assert_eq!(loaded.diagnostics, [], "{text}");
            let config = loaded.config.unwrap();
            let process = config
                .groups
                .values()
                .flat_map(|group| group.processes.values())
                .next()
                .unwrap();
            assert_eq!(process.launch.argv, words);
        }
    }
}
