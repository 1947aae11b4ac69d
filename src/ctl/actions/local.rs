//! Actions that need no daemon: help, exit, quit; and what is no action.

use super::{ACTIONS, Chapter, Invocation, find, suggest};
use crate::ctl::render::Rendered;
use crate::ctl::session::{Failure, Session};
use serde_json::{Value, json};

const HELP_HEADER: &str = "default commands (type help <topic>):";
const HELP_COLUMNS: usize = 7;

#[allow(clippy::unnecessary_wraps, reason = "all actions have this type")]
pub(super) fn leave(session: &mut Session<'_>, _call: &Invocation<'_>) -> Result<u8, Failure> {
    // Supervisor overlooks arguments here, too.
    session.leaving = true;
    if !session.json {
        session.output.text("\n");
    }
    Ok(0)
}

#[allow(clippy::unnecessary_wraps, reason = "all actions have this type")]
pub(super) fn help(session: &mut Session<'_>, call: &Invocation<'_>) -> Result<u8, Failure> {
    if call.arguments.is_empty() {
        let document = json!({
            "action": "help",
            "actions": ACTIONS.iter().map(described).collect::<Vec<_>>(),
        });
        // Scripts compare Supervisor's table; a person is told what the words mean.
        let lines = if session.output.terminal {
            chapters(session.output.colour)
        } else {
            overview()
        };
        return Ok(print(session, lines, &document));
    }
    // All words together are the topic, as in Supervisor.
    let topic = call.arguments.join(" ");
    if let Some(action) = find(&topic) {
        let document = json!({ "action": "help", "actions": [described(action)] });
        return Ok(print(session, action.help(), &document));
    }
    let mut rendered = Rendered::line(format!("*** No help on {topic}"), 0);
    rendered.details.extend(suggestion(&topic));
    let document = json!({ "action": "help", "actions": [] });
    Ok(session.finish(&rendered, &document))
}

/// Prints lines whose tabs are ours.
fn print(session: &mut Session<'_>, lines: Vec<String>, document: &Value) -> u8 {
    if session.json {
        session.print_json(document);
    } else {
        for line in lines {
            match line
                .strip_suffix('\t')
                .or_else(|| line.contains('\t').then_some(&line))
            {
                Some(line) => session.output.text(&format!("{line}\n")),
                None => session.output.line(&line),
            }
        }
    }
    0
}

fn described(action: &super::Action) -> Value {
    json!({
        "name": action.name,
        "usage": action.usage.iter().map(|(form, _)| form).collect::<Vec<_>>(),
        "summary": action.summary,
        "example": action.example,
    })
}

/// The actions under their headings, each with what it does. Tabs keep the lines from being escaped.
fn chapters(colour: bool) -> Vec<String> {
    let width = ACTIONS.iter().map(|action| action.name.len()).max();
    let width = width.unwrap_or(0) + 2;
    let bold = |text: &str| {
        if colour {
            format!("\x1b[1m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    };
    let mut lines = Vec::new();
    for chapter in Chapter::ALL {
        lines.push(format!("{}\t", bold(chapter.title())));
        for action in ACTIONS.iter().filter(|action| action.chapter == chapter) {
            let gap = " ".repeat(width.saturating_sub(action.name.len()));
            lines.push(format!("  {}{gap}{}", action.name, action.summary));
        }
    }
    lines.push(String::new());
    lines.push(
        "help ACTION shows its forms and an example; Tab completes, Ctrl-R searches.".to_owned(),
    );
    lines
}

/// The table of actions, sorted down its columns; `help` itself is left out, as in Supervisor's.
fn overview() -> Vec<String> {
    let names: Vec<&str> = ACTIONS
        .iter()
        .map(|action| action.name)
        .filter(|&name| name != "help")
        .collect();
    let height = names.len().div_ceil(HELP_COLUMNS).max(1);
    let columns: Vec<&[&str]> = names.chunks(height).collect();
    let mut lines = vec![
        String::new(),
        HELP_HEADER.to_owned(),
        "=".repeat(HELP_HEADER.len()),
    ];
    for row in 0..height {
        let cells: Vec<String> = columns
            .iter()
            .filter_map(|column| {
                let width = column.iter().map(|name| name.len()).max().unwrap_or(0);
                column.get(row).map(|name| format!("{name:<width$}"))
            })
            .collect();
        lines.push(cells.join("  "));
    }
    lines.push(String::new());
    lines
}

/// Answers a line that begins with no action.
pub(super) fn unknown(session: &mut Session<'_>, words: &[String]) -> u8 {
    let line = words.join(" ");
    let mut rendered = Rendered::line(format!("*** Unknown syntax: {line}"), 1);
    let near = words.first().and_then(|word| suggest(word));
    rendered
        .details
        .extend(words.first().and_then(|word| suggestion(word)));
    let document = json!({
        "action": Value::Null,
        "error": { "kind": "unknown_action", "message": rendered.lines.first(), "suggestion": near },
    });
    session.finish(&rendered, &document)
}

fn suggestion(word: &str) -> Option<String> {
    suggest(word).map(|near| format!("did you mean '{near}'?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_overview_is_supervisors() {
        assert_eq!(
            overview(),
            [
                "",
                "default commands (type help <topic>):",
                "=====================================",
                "add    exit      pid     reread    start   update   why",
                "avail  fg        quit    restart   status  upgrade",
                "clear  maintail  reload  shutdown  stop    version",
                "env    open      remove  signal    tail    wait   ",
                "",
            ]
        );
    }
}
