//! `env`: the environment that a process would get at its next start.

use super::{Invocation, logs};
use crate::ctl::session::{Failure, Session};
use crate::ctl::{escape, json};
use crate::wire::{EnvironmentReply, Refusal, Request, Response, Variable, VariableOrigin};
use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr;

/// Widest variable that origins are aligned to.
const COLUMN_MAX: usize = 60;

pub(super) fn env(session: &mut Session<'_>, call: &Invocation<'_>) -> Result<u8, Failure> {
    if call.arguments.is_empty() {
        let text = "Error: env requires a process name";
        return Err(session.misused(call.action, text, 2));
    }
    let names = logs::processes(session, call, call.arguments)?;
    let several = names.len() > 1;
    let mut documents: Vec<Value> = Vec::new();
    let mut code = 0;
    for (index, name) in names.iter().enumerate() {
        let request = Request::Environment {
            target: name.clone(),
        };
        let reply = match session.ask(call.action, request) {
            Ok(Response::Environment(reply)) => reply,
            Ok(_) => return Err(Failure::Unexpected),
            Err(Failure::Refused(Refusal::NotUnderstood(_))) => {
                let text = "Error: the daemon is older than this console and cannot answer env";
                return Err(session.fail(call.action, "not_understood", text, 1));
            }
            Err(failure) => return Err(failure),
        };
        if reply.failure.is_some() {
            code = 1;
        }
        if session.json {
            documents.push(json::environment(&reply));
            continue;
        }
        if several {
            let gap = if index > 0 { "\n" } else { "" };
            let title = format!("{gap}{}:\n", escape::line(&reply.name));
            session.output.text(&title);
        }
        for line in lines(&reply.variables, session.output.colour) {
            session.output.line(&line);
        }
        for problem in problems(&reply) {
            session.output.error_line(&problem);
        }
    }
    if session.json {
        session.print_json(&json!({ "action": "env", "processes": documents }));
    }
    Ok(code)
}

/// What keeps files from being used, one line each.
fn problems(reply: &EnvironmentReply) -> Vec<String> {
    let name = &reply.name;
    let failure = reply
        .failure
        .iter()
        .map(|failure| format!("{name}: a start would fail: {failure}"));
    let ignored = reply
        .ignored
        .iter()
        .map(|problem| format!("{name}: optional env_file left out: {problem}"));
    failure
        .chain(ignored)
        .map(|problem| escape::line(&problem))
        .collect()
}

/// `NAME=VALUE` and its origin, one line each.
fn lines(variables: &[Variable], colour: bool) -> Vec<String> {
    let texts: Vec<String> = variables
        .iter()
        .map(|variable| escape::line(&format!("{}={}", variable.name, variable.value)))
        .collect();
    let width = texts
        .iter()
        .map(|text| text.width())
        .filter(|&width| width <= COLUMN_MAX)
        .max()
        .unwrap_or(0);
    variables
        .iter()
        .zip(texts)
        .map(|(variable, text)| {
            let gap = " ".repeat(width.saturating_sub(text.width()) + 2);
            let origin = escape::line(&origin(variable));
            if colour {
                format!("{text}{gap}\x1b[2m{origin}\x1b[0m")
            } else {
                format!("{text}{gap}{origin}")
            }
        })
        .collect()
}

/// Where a variable comes from, in words.
fn origin(variable: &Variable) -> String {
    let place = match &variable.file {
        Some(file) => format!("{file}:{}", variable.line),
        None => "the command line".to_owned(),
    };
    match variable.origin {
        VariableOrigin::Inherited => "inherited".to_owned(),
        VariableOrigin::Daemon => "set by the daemon".to_owned(),
        VariableOrigin::Account => "of the account".to_owned(),
        VariableOrigin::EnvFile => format!("env file {place}"),
        VariableOrigin::Key => format!("{place} environment"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variable(name: &str, value: &str, origin: VariableOrigin, line: u32) -> Variable {
        Variable {
            name: name.to_owned(),
            value: value.to_owned(),
            masked: false,
            origin,
            file: (line > 0).then(|| "/etc/x".to_owned()),
            line,
        }
    }

    #[test]
    fn origins_stand_in_a_column_and_values_are_harmless() {
        let long = "x".repeat(COLUMN_MAX);
        let variables = [
            variable("A", "1", VariableOrigin::Inherited, 0),
            variable("LONGER", "\x1b[2J\n", VariableOrigin::EnvFile, 3),
            variable("B", &long, VariableOrigin::Key, 7),
            variable("C", "", VariableOrigin::Daemon, 0),
            variable("D", "é", VariableOrigin::Account, 0),
        ];
        assert_eq!(
            lines(&variables, false),
            [
                "A=1                 inherited".to_owned(),
                "LONGER=\\x1b[2J\\x0a  env file /etc/x:3".to_owned(),
                format!("B={long}  /etc/x:7 environment"),
                "C=                  set by the daemon".to_owned(),
                "D=é                 of the account".to_owned(),
            ]
        );
        assert_eq!(
            lines(&variables[..1], true),
            ["A=1  \x1b[2minherited\x1b[0m"]
        );
    }
}
