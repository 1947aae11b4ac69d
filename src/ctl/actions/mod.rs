//! The actions: their names, their help, and the way from typed words to one of them.
//!
//! [`ACTIONS`] is the only list of them. Help, completion, the manual's test and the shell all read it; an action is
//! added by a row there and a function in one of the files beside this one.

mod control;
mod env;
pub mod flags;
mod foreground;
mod groups;
mod inspect;
mod list;
mod local;
mod logs;
mod options;
mod server;
mod waiting;
mod why;

pub use list::ACTIONS;

use super::session::{Failure, Session};
use flags::{Flag, Flags};

/// Asks for JSON, anywhere among an action's words.
pub const JSON_FLAG: &str = "--json";

/// One action.
#[derive(Debug)]
pub struct Action {
    /// The word that names it.
    pub name: &'static str,
    /// Its forms, each with what it does.
    pub usage: &'static [(&'static str, &'static str)],
    /// What it does, in a few words.
    pub summary: &'static str,
    /// A line that shows it in use, without the console's name.
    pub example: &'static str,
    /// Under which heading `help` shows it.
    pub chapter: Chapter,
    /// Its options.
    pub flags: &'static [Flag],
    /// What its arguments are, for completion.
    pub arguments: Arguments,
    /// What a missing daemon means for it.
    pub check: Check,
    /// Whether the shell asks before it, and what for: `shut the remote … process down`.
    pub confirmation: Option<fn(daemon: &str) -> String>,
    run: fn(&mut Session<'_>, &Invocation<'_>) -> Result<u8, Failure>,
}

/// Headings of `help`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Chapter {
    /// What programs do.
    Processes,
    /// What they say.
    Output,
    /// What the file says.
    Configuration,
    /// The daemon itself.
    Daemon,
    /// The shell.
    Shell,
}

impl Chapter {
    /// All of them, in their order.
    pub const ALL: [Self; 5] = [
        Self::Processes,
        Self::Output,
        Self::Configuration,
        Self::Daemon,
        Self::Shell,
    ];

    /// The heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Processes => "Processes",
            Self::Output => "Output",
            Self::Configuration => "Configuration",
            Self::Daemon => "Daemon",
            Self::Shell => "Shell",
        }
    }
}

/// What a word in the place of an argument can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arguments {
    /// There are none.
    None,
    /// Any number of processes.
    Processes,
    /// A signal, then processes.
    SignalAndProcesses,
    /// One process.
    Process,
    /// `-f` or a number, one process, one of its streams.
    Log,
    /// `-f` or a number.
    DaemonLog,
    /// Groups that are configured, but not active.
    InactiveGroups,
    /// Active groups.
    ActiveGroups,
    /// All groups.
    Groups,
    /// A URL.
    Url,
    /// The name of an action.
    Action,
}

/// How an action says that there is no daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// As `status` does.
    Status,
    /// As most do.
    Checked,
    /// Supervisor's client crashes here; this one prints a line with the same exit status.
    Unchecked,
    /// As `shutdown` does: perhaps its work is done already.
    Shutdown,
}

/// An action with its arguments.
#[derive(Debug)]
pub struct Invocation<'a> {
    /// Which.
    pub action: &'static Action,
    /// The words after its name.
    pub arguments: &'a [String],
}

impl Invocation<'_> {
    /// The options and the other words.
    fn flags(&self, session: &mut Session<'_>) -> Result<Flags, Failure> {
        Flags::read(self.action.flags, self.arguments)
            .map_err(|fault| self.misused(session, &fault))
    }

    /// Reports options that are wrong.
    fn misused(&self, session: &mut Session<'_>, fault: &str) -> Failure {
        let text = format!("Error: {} {fault}", self.action.name);
        session.misused(self.action, &text, 2)
    }

    /// Refuses arguments for an action that takes none.
    fn takes_nothing(&self, session: &mut Session<'_>) -> Result<(), Failure> {
        if self.arguments.is_empty() {
            return Ok(());
        }
        let name = self.action.name;
        Err(session.misused(
            self.action,
            &format!("Error: {name} accepts no arguments"),
            1,
        ))
    }
}

impl Action {
    /// What `help` prints about it.
    pub fn help(&self) -> Vec<String> {
        let mut lines: Vec<String> = self
            .usage
            .iter()
            .map(|(form, explanation)| format!("{form}\t{explanation}"))
            .collect();
        lines.push(format!("Example: {}", self.example));
        lines
    }
}

/// The action of this name.
pub fn find(name: &str) -> Option<&'static Action> {
    ACTIONS.iter().find(|action| action.name == name)
}

/// The name that was probably meant.
pub fn suggest(name: &str) -> Option<&'static str> {
    let limit = if name.chars().count() <= 3 { 1 } else { 2 };
    ACTIONS
        .iter()
        .map(|action| {
            (
                strsim::osa_distance(&name.to_lowercase(), action.name),
                action.name,
            )
        })
        .filter(|&(distance, _)| distance <= limit)
        .min()
        .map(|(_, name)| name)
}

/// The words of a line. Quotes mean nothing; a word on the command line may hold several, as Ansible sends them.
pub fn words<'a>(texts: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    texts
        .into_iter()
        .flat_map(str::split_whitespace)
        .map(str::to_owned)
        .collect()
}

/// The action that the words name, for those who want to know before it is run.
pub fn of_words(words: &[String]) -> Option<&'static Action> {
    words.first().and_then(|name| find(name))
}

/// Runs what the words say, and is its exit status. No words: nothing.
pub fn run(session: &mut Session<'_>, words: &[String]) -> u8 {
    // Wherever it stands: `status --json` is what one types.
    let asked_for_json = words.iter().any(|word| word == JSON_FLAG);
    let mut words: Vec<String> = words
        .iter()
        .filter(|&word| word != JSON_FLAG)
        .cloned()
        .collect();
    let json_before = session.json;
    session.json |= asked_for_json;
    if let Some(topic) = words.first().and_then(|word| word.strip_prefix('?')) {
        let topic = topic.to_owned();
        words.splice(..1, ["help".to_owned(), topic]);
        words.retain(|word| !word.is_empty());
    }
    if let [word] = words.as_slice()
        && word == "EOF"
    {
        words = vec!["exit".to_owned()];
    }
    let code = match words.split_first() {
        None => 0,
        Some((name, arguments)) => match find(name) {
            Some(action) => {
                let result = (action.run)(session, &Invocation { action, arguments });
                session.conclude(action, result)
            }
            None => local::unknown(session, &words),
        },
    };
    session.json = json_before;
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_complete() {
        let names: Vec<&str> = ACTIONS.iter().map(|action| action.name).collect();
        assert_eq!(
            names.join(" "),
            "add avail clear env exit fg help maintail open pid quit reload remove reread restart shutdown signal start \
             status stop tail update upgrade version wait why"
        );
        for action in ACTIONS {
            assert!(action.example.starts_with(action.name));
            for (form, explanation) in action.usage {
                assert!(form.starts_with(action.name) && !explanation.is_empty());
            }
        }
    }

    #[test]
    fn near_words_are_suggested_and_far_ones_are_not() {
        for (word, suggestion) in [
            ("statsu", Some("status")),
            ("STATUS", Some("status")),
            ("strat", Some("start")),
            ("restrat", Some("restart")),
            ("ad", Some("add")),
            ("frobnicate", None),
            ("xyz", None),
        ] {
            assert_eq!(suggest(word), suggestion, "{word}");
        }
    }

    #[test]
    fn words_are_split_again() {
        assert_eq!(words(["signal HUP", "x"]), ["signal", "HUP", "x"]);
        assert_eq!(words(["  start\tweb:0  "]), ["start", "web:0"]);
        assert_eq!(words([""]), Vec::<String>::new());
    }
}
