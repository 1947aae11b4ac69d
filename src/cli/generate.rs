//! Writes the shell completions that are kept in `completions/`, for `taskmaster generate completions SHELL COMMAND`.
//!
//! Options come from the definitions in this directory by way of `clap_complete`. Actions and the names of processes are
//! not in the scripts: those ask the console (`__complete`, see [`super::complete`]), so that they follow the running
//! daemon; only where the console offers nothing do the options apply. A test holds the files against this module;
//! `UPDATE_EXPECT=1 cargo test` rewrites them.

use super::complete::VERB;
use clap::{Arg, Command, ValueEnum, ValueHint};
use clap_complete::{Shell as Generator, generate};

/// Shells that there are scripts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// Bash 4.2 or later, with or without the bash-completion package
    Bash,
    /// Z shell
    Zsh,
    /// Fish
    Fish,
}

/// Commands that there are scripts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Target {
    /// The executable under its own name
    Taskmaster,
    /// The daemon
    Taskmasterd,
    /// The console
    Taskmasterctl,
}

impl Target {
    /// The command's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Taskmaster => "taskmaster",
            Self::Taskmasterd => "taskmasterd",
            Self::Taskmasterctl => "taskmasterctl",
        }
    }

    fn definition(self) -> Command {
        match self {
            Self::Taskmaster => super::visible(),
            Self::Taskmasterd => super::daemon(self.name()),
            Self::Taskmasterctl => super::ctl(self.name()),
        }
    }

    /// Words before the console's own arguments; `None` for the daemon, which has no actions.
    fn console(self) -> Option<&'static str> {
        match self {
            Self::Taskmaster => Some("taskmaster ctl"),
            Self::Taskmasterd => None,
            Self::Taskmasterctl => Some("taskmasterctl"),
        }
    }
}

/// What the hidden subcommand was called with.
#[derive(Debug, Clone, clap::Args)]
pub struct GenerateOptions {
    /// What to write to the standard output
    #[command(subcommand)]
    pub what: Generated,
}

impl GenerateOptions {
    /// What the command line asks for.
    pub fn text(&self) -> String {
        match self.what {
            Generated::Completions { shell, command } => completions(shell, command),
        }
    }
}

/// What can be generated.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Generated {
    /// The completion script of a command for a shell
    Completions {
        /// For which shell
        #[arg(value_enum)]
        shell: Shell,
        /// For which command
        #[arg(value_enum)]
        command: Target,
    },
}

/// Name of the file in `completions/`, by each shell's own convention.
pub fn file_name(shell: Shell, target: Target) -> String {
    let name = target.name();
    match shell {
        Shell::Bash => format!("{name}.bash"),
        Shell::Zsh => format!("_{name}"),
        Shell::Fish => format!("{name}.fish"),
    }
}

/// The completion script of `target` for `shell`.
pub fn completions(shell: Shell, target: Target) -> String {
    let generator = match shell {
        Shell::Bash => Generator::Bash,
        Shell::Zsh => Generator::Zsh,
        Shell::Fish => Generator::Fish,
    };
    let mut buffer = Vec::new();
    let mut definition = target.definition();
    definition.set_bin_name(target.name());
    // The options of each mode are there only from now on.
    definition.build();
    let mut definition = with_hints(definition);
    generate(generator, &mut definition, target.name(), &mut buffer);
    let script = String::from_utf8_lossy(&buffer);
    let script: String = script
        .lines()
        .flat_map(|line| [line.trim_end(), "\n"])
        .collect();
    let Some(console) = target.console() else {
        return script;
    };
    match shell {
        Shell::Bash => bash(&script, target.name(), console),
        Shell::Zsh => zsh(&script, target.name(), console),
        Shell::Fish => fish(&script, target.name(), console),
    }
}

/// Says of each value that is called `FILE`, `DIR` or `USER` what it is.
fn with_hints(command: Command) -> Command {
    let hinted = |arg: Arg| {
        let name = arg
            .get_value_names()
            .and_then(|names| names.first())
            .map(ToString::to_string);
        match name.as_deref() {
            Some("FILE") => arg.value_hint(ValueHint::FilePath),
            Some("DIR") => arg.value_hint(ValueHint::DirPath),
            Some("USER|UID") => arg.value_hint(ValueHint::Username),
            _ => arg,
        }
    };
    command.mut_args(hinted).mut_subcommands(with_hints)
}

/// A word of the command line is what stands between blanks: Bash itself would cut `GROUP:PROCESS` at the colon.
fn bash(script: &str, name: &str, console: &str) -> String {
    let skipped = console.split(' ').count();
    let guard = match console.split_once(' ') {
        Some((_, mode)) => {
            format!(
                "    if [[ ${{words[1]-}} != {mode} ]] || ((cword < 2)); then\n        _{name} \"$@\"\n        return\n    fi\n"
            )
        }
        None => String::new(),
    };
    format!(
        r#"{script}
# Actions, and the names of processes as the running daemon knows them.
_{name}_live() {{
    local cur prev words cword
    if declare -F _init_completion > /dev/null; then
        _init_completion -n := || return 0
    else
        read -r -a words <<< "${{COMP_LINE:0:COMP_POINT}}"
        [[ ${{COMP_LINE:0:COMP_POINT}} == *[[:blank:]] ]] && words+=("")
        cword=$((${{#words[@]}} - 1))
        cur=${{words[cword]}}
    fi
{guard}    local -a before=("${{words[@]:{skipped}:cword-{skipped}}}")
    local candidate description
    COMPREPLY=()
    while IFS=$'\t' read -r candidate description; do
        COMPREPLY+=("$candidate")
    done < <({console} {VERB} -- "${{before[@]}}" "$cur" 2> /dev/null)
    if ((${{#COMPREPLY[@]}} == 0)); then
        _{name} "$@"
        return
    fi
    # What stands before a colon is on the line already, and Readline does not count it to the word.
    if [[ $cur == *:* && $COMP_WORDBREAKS == *:* ]]; then
        COMPREPLY=("${{COMPREPLY[@]#"${{cur%:*}}:"}}")
    fi
}}

complete -F _{name}_live -o bashdefault -o default {name}
"#
    )
}

/// The function that `clap_complete` writes becomes `_NAME_options`; `_NAME` asks the console first.
fn zsh(script: &str, name: &str, console: &str) -> String {
    let own = format!("_{name}() {{");
    let tail = format!("if [ \"$funcstack[1]\" = \"_{name}\" ]; then");
    let body = script.split(&tail).next().unwrap_or(script);
    let body = body.replacen(&own, &format!("_{name}_options() {{"), 1);
    let skipped = console.split(' ').count();
    let first = skipped + 1;
    let guard = match console.split_once(' ') {
        Some((_, mode)) => format!("[[ $words[2] == {mode} ]] && ((CURRENT > 2))"),
        None => "((CURRENT > 1))".to_owned(),
    };
    format!(
        r#"{body}# Actions, and the names of processes as the running daemon knows them.
_{name}() {{
    local -a lines
    if {guard}; then
        lines=("${{(@f)$(_call_program live {console} {VERB} -- "${{(@q)words[{first},CURRENT-1]}}" "${{(q)PREFIX}}")}}")
    fi
    if [[ -z $lines[1] ]]; then
        _{name}_options "$@"
        return
    fi
    local line
    local -a candidates
    for line in $lines; do
        # A colon would end the candidate.
        if [[ $line == *$'\t'* ]]; then
            candidates+=("${{${{line%%$'\t'*}}//:/\\:}}:${{line#*$'\t'}}")
        else
            candidates+=("${{line//:/\\:}}")
        fi
    done
    _describe -t live argument candidates
}}

if [ "$funcstack[1]" = "_{name}" ]; then
    _{name} "$@"
else
    compdef _{name} {name}
fi
"#
    )
}

fn fish(script: &str, name: &str, console: &str) -> String {
    let first = console.split(' ').count() + 1;
    let condition = match console.split_once(' ') {
        Some((_, mode)) => format!(" -n \"__fish_{name}_using_subcommand {mode}\""),
        None => String::new(),
    };
    format!(
        r#"{script}
# Actions, and the names of processes as the running daemon knows them.
function __fish_{name}_live
    set -l words (commandline --tokens-expanded --cut-at-cursor --current-process 2> /dev/null)
    or set words (commandline --tokenize --cut-at-cursor --current-process)
    {console} {VERB} -- $words[{first}..] (commandline --current-token --cut-at-cursor) 2> /dev/null
end
complete -c {name}{condition} -f -a "(__fish_{name}_live)"
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_files_in_completions_are_what_this_module_writes() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("completions");
        let mut names = Vec::new();
        for &shell in Shell::value_variants() {
            for &target in Target::value_variants() {
                let name = file_name(shell, target);
                let path = directory.join(&name);
                let script = completions(shell, target);
                if std::env::var_os("UPDATE_EXPECT").is_some() {
                    std::fs::write(&path, &script).unwrap();
                }
                let kept = std::fs::read_to_string(&path).unwrap_or_default();
                assert!(
                    kept == script,
                    "completions/{name} is out of step: run UPDATE_EXPECT=1 cargo test"
                );
                names.push(name);
            }
        }
        names.sort();
        let mut found: Vec<String> = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        found.sort();
        assert_eq!(found, names);
    }

    #[test]
    fn hidden_commands_are_not_offered() {
        for &shell in Shell::value_variants() {
            let script = completions(shell, Target::Taskmaster);
            assert!(!script.contains("generate"), "{shell:?}");
            assert!(script.contains("check-config"), "{shell:?}");
        }
    }
}
