//! The logs: tail, maintail.

use super::Invocation;
use crate::ctl::escape;
use crate::ctl::follow::{self, Stream};
use crate::ctl::json;
use crate::ctl::session::{Failure, Session};
use crate::wire::{Channel, LogChunk, Refusal, Request, Response, Topic};
use serde_json::{Value, json};

/// Bytes shown when no number is given.
const DEFAULT_BYTES: u64 = 1600;

/// How much is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Amount {
    /// So many bytes of the end; 0 for all.
    Bytes(u64),
    /// The end, and everything from now on.
    Follow,
}

/// Reads `-f`, `-N`.
fn amount(word: &str) -> Option<Amount> {
    match word.strip_prefix('-')? {
        "f" => Some(Amount::Follow),
        number => number.parse().ok().map(Amount::Bytes),
    }
}

/// The arguments of `tail`.
#[derive(Debug, PartialEq, Eq)]
struct TailArguments {
    amount: Amount,
    target: String,
    channel: Channel,
}

/// Why they are wrong: the text, and whether the help follows it.
type Misuse = (String, bool);

fn tail_arguments(words: &[String]) -> Result<TailArguments, Misuse> {
    let with_help = |text: &str| (text.to_owned(), true);
    if words.is_empty() {
        return Err(with_help("Error: too few arguments"));
    }
    if words.len() > 3 {
        return Err(with_help("Error: too many arguments"));
    }
    let (modifier, words) = match words.split_first() {
        Some((first, rest)) if first.starts_with('-') => (Some(first), rest),
        _ => (None, words),
    };
    let (target, channel) = match words {
        [] => return Err(("Error: tail requires process name".to_owned(), false)),
        [target] => (target, Channel::Stdout),
        // Of three words without a modifier Supervisor takes the last for the channel.
        [target, channel] | [target, _, channel] => (target, channel_of(channel)?),
        _ => return Err(with_help("Error: too many arguments")),
    };
    Ok(TailArguments {
        amount: amount_of(modifier)?,
        target: target.clone(),
        channel,
    })
}

fn amount_of(modifier: Option<&String>) -> Result<Amount, Misuse> {
    modifier.map_or(Ok(Amount::Bytes(DEFAULT_BYTES)), |word| {
        amount(word).ok_or_else(|| (format!("Error: bad argument {word}"), false))
    })
}

fn channel_of(word: &str) -> Result<Channel, Misuse> {
    let word = word.to_lowercase();
    match word.as_str() {
        "stdout" => Ok(Channel::Stdout),
        "stderr" => Ok(Channel::Stderr),
        _ => Err((format!("Error: bad channel '{word}'"), false)),
    }
}

fn misused(session: &mut Session<'_>, call: &Invocation<'_>, (text, help): Misuse) -> Failure {
    if help {
        session.misused(call.action, &text, 1)
    } else {
        session.fail(call.action, "usage", &text, 1)
    }
}

pub(super) fn tail(session: &mut Session<'_>, call: &Invocation<'_>) -> Result<u8, Failure> {
    let TailArguments {
        amount,
        target,
        channel,
    } = tail_arguments(call.arguments).map_err(|misuse| misused(session, call, misuse))?;
    let names = processes(session, call, &target)?;
    match amount {
        Amount::Follow => {
            let streams = names
                .into_iter()
                .map(|name| Stream {
                    topic: Topic::Output {
                        target: name.clone(),
                        channel,
                        backlog: follow::BACKLOG,
                    },
                    name,
                })
                .collect();
            follow_text(session, call, streams)
        }
        Amount::Bytes(bytes) => {
            let mut chunks = Vec::new();
            for name in names {
                let request = Request::Tail {
                    target: name.clone(),
                    channel,
                    bytes,
                };
                let Response::Log(chunk) = session.ask(call.action, request)? else {
                    return Err(Failure::Unexpected);
                };
                chunks.push((name, chunk));
            }
            Ok(print(session, call, &chunks))
        }
    }
}

/// The processes that a target means, by their full names.
fn processes(
    session: &mut Session<'_>,
    call: &Invocation<'_>,
    target: &str,
) -> Result<Vec<String>, Failure> {
    let request = Request::Status {
        targets: vec![target.to_owned()],
    };
    let Response::Status(reply) = session.ask(call.action, request)? else {
        return Err(Failure::Unexpected);
    };
    if reply.rows.is_empty() {
        let name = reply
            .unknown
            .first()
            .map_or(target, |unknown| unknown.name.as_str());
        return Err(Failure::Refused(Refusal::NoSuchProcess(name.to_owned())));
    }
    Ok(reply.rows.into_iter().map(|row| row.name).collect())
}

pub(super) fn maintail(session: &mut Session<'_>, call: &Invocation<'_>) -> Result<u8, Failure> {
    let amount = match call.arguments {
        [] => Ok(Amount::Bytes(DEFAULT_BYTES)),
        [word] => amount_of(Some(word)),
        _ => Err(("Error: too many arguments".to_owned(), true)),
    };
    let amount = amount.map_err(|misuse| misused(session, call, misuse))?;
    let name = session.daemon_name().to_owned();
    let answer = match amount {
        Amount::Follow => {
            let topic = Topic::DaemonLog {
                backlog: follow::BACKLOG,
            };
            let stream = Stream {
                topic,
                name: name.clone(),
            };
            follow_text(session, call, vec![stream])
        }
        Amount::Bytes(bytes) => match session.ask(call.action, Request::MainTail { bytes }) {
            Ok(Response::Log(chunk)) => Ok(print(session, call, &[(name.clone(), chunk)])),
            Ok(_) => Err(Failure::Unexpected),
            Err(failure) => Err(failure),
        },
    };
    // The daemon names itself by its identifier; the words are Supervisor's only with the program's name.
    answer.map_err(|failure| match failure {
        Failure::Refused(Refusal::NoLog(_)) => Failure::Refused(Refusal::NoLog(name)),
        Failure::Refused(Refusal::LogUnreadable { errno, .. }) => {
            Failure::Refused(Refusal::LogUnreadable { name, errno })
        }
        Failure::Reported(_) | Failure::Refused(_) | Failure::Unexpected => failure,
    })
}

fn follow_text(
    session: &mut Session<'_>,
    call: &Invocation<'_>,
    streams: Vec<Stream>,
) -> Result<u8, Failure> {
    if session.json {
        let text = "Error: --json gives one document and cannot follow a log";
        return Err(session.fail(call.action, "usage", text, 2));
    }
    follow::follow(session, call.action, streams)
}

/// The bytes and one line feed, as Supervisor prints them; with a heading where there are several logs.
fn print(session: &mut Session<'_>, call: &Invocation<'_>, chunks: &[(String, LogChunk)]) -> u8 {
    if session.json {
        let logs: Vec<Value> = chunks
            .iter()
            .map(|(name, chunk)| json::log(name, chunk))
            .collect();
        session.print_json(&json!({ "action": call.action.name, "logs": logs }));
        return 0;
    }
    for (name, chunk) in chunks {
        if chunks.len() > 1 {
            session.output.line(&follow::heading(name));
        }
        if session.output.terminal {
            let mut stream = escape::Stream::default();
            let text = stream.push(&chunk.data) + &stream.finish();
            session.output.text(&text);
        } else {
            session.output.bytes(&chunk.data);
        }
        session.output.text("\n");
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read_as_supervisor_reads_them() {
        let read = |line: &str| tail_arguments(&super::super::words([line]));
        let ok = |amount, channel| {
            Ok(TailArguments {
                amount,
                target: "x".to_owned(),
                channel,
            })
        };
        let wrong = |text: &str, help| Err((text.to_owned(), help));
        for (line, expected) in [
            ("x", ok(Amount::Bytes(1600), Channel::Stdout)),
            ("x stderr", ok(Amount::Bytes(1600), Channel::Stderr)),
            ("x STDERR", ok(Amount::Bytes(1600), Channel::Stderr)),
            ("-100 x", ok(Amount::Bytes(100), Channel::Stdout)),
            ("-0 x", ok(Amount::Bytes(0), Channel::Stdout)),
            ("-f x stderr", ok(Amount::Follow, Channel::Stderr)),
            ("", wrong("Error: too few arguments", true)),
            ("-f x stdout y", wrong("Error: too many arguments", true)),
            ("x y stderr", ok(Amount::Bytes(1600), Channel::Stderr)),
            ("x stderr y", wrong("Error: bad channel 'y'", false)),
            ("-f", wrong("Error: tail requires process name", false)),
            ("-abc x", wrong("Error: bad argument -abc", false)),
            ("--5 x", wrong("Error: bad argument --5", false)),
            ("x foo", wrong("Error: bad channel 'foo'", false)),
        ] {
            assert_eq!(read(line), expected, "{line}");
        }
    }
}
