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
/// Bytes that are read first when lines are wanted.
const LINES_BYTES: u64 = 16 << 10;
/// Most bytes of a log that a daemon sends at once.
const LINES_BYTES_MAX: u64 = 16 << 20;

/// How much of the end is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Amount {
    /// So many bytes; 0 for all.
    Bytes(u64),
    /// So many lines.
    Lines(u64),
}

/// What of a log is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Want {
    /// How much of the end, where that is said.
    amount: Option<Amount>,
    /// Everything from now on, too.
    follow: bool,
}

/// Reads `-f`, `-N`, `-n LINES` at the front of the words; returns the others.
fn want(words: &[String]) -> Result<(Want, &[String]), Misuse> {
    let mut want = Want::default();
    let mut words = words;
    while let Some((first, rest)) = words.split_first() {
        let Some(modifier) = first.strip_prefix('-') else {
            break;
        };
        words = rest;
        if modifier != "f" && want.amount.is_some() {
            return Err(("Error: too many arguments".to_owned(), true));
        }
        let bad = || (format!("Error: bad argument {first}"), false);
        match modifier {
            "f" => want.follow = true,
            "n" => {
                let (lines, rest) = words
                    .split_first()
                    .ok_or_else(|| ("Error: -n requires a number of lines".to_owned(), false))?;
                let number = lines
                    .parse()
                    .map_err(|_| (format!("Error: bad argument -n {lines}"), false))?;
                want.amount = Some(Amount::Lines(number));
                words = rest;
            }
            number => want.amount = Some(Amount::Bytes(number.parse().map_err(|_| bad())?)),
        }
    }
    Ok((want, words))
}

/// The arguments of `tail`.
#[derive(Debug, PartialEq, Eq)]
struct TailArguments {
    want: Want,
    targets: Vec<String>,
    channel: Channel,
}

/// Why they are wrong: the text, and whether the help follows it.
type Misuse = (String, bool);

fn tail_arguments(words: &[String]) -> Result<TailArguments, Misuse> {
    let with_help = |text: &str| (text.to_owned(), true);
    if words.is_empty() {
        return Err(with_help("Error: too few arguments"));
    }
    let (want, words) = want(words)?;
    let (targets, channel) = match words.split_last() {
        None => return Err(("Error: tail requires process name".to_owned(), false)),
        Some((last, names)) if !names.is_empty() => match channel_of(last) {
            Ok(channel) => (names, channel),
            Err(_) => (words, Channel::Stdout),
        },
        Some(_) => (words, Channel::Stdout),
    };
    // A stream in the middle is one word too many behind it.
    if targets.iter().skip(1).any(|word| channel_of(word).is_ok()) {
        return Err(with_help("Error: too many arguments"));
    }
    Ok(TailArguments {
        want,
        targets: targets.to_vec(),
        channel,
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
    let arguments = tail_arguments(call.arguments).map_err(|misuse| misused(session, call, misuse));
    let TailArguments {
        want,
        targets,
        channel,
    } = arguments?;
    let names = match processes(session, call, &targets) {
        // The second of two words that names no process was meant to be a stream.
        Err(Failure::Refused(Refusal::NoSuchProcess(name)))
            if targets.len() == 2 && targets.get(1) == Some(&name) =>
        {
            let text = format!("Error: bad channel '{}'", name.to_lowercase());
            return Err(session.fail(call.action, "usage", &text, 1));
        }
        names => names?,
    };
    let read = |name: &str, bytes| Request::Tail {
        target: name.to_owned(),
        channel,
        bytes,
    };
    if !want.follow {
        let mut chunks = Vec::new();
        for name in names {
            let chunk = end_of(session, call, want, &|bytes| read(&name, bytes))?;
            chunks.push((name, chunk));
        }
        return Ok(print(session, call, &chunks));
    }
    let mut streams = Vec::new();
    for name in names {
        let backlog = backlog(session, call, want, &|bytes| read(&name, bytes))?;
        let topic = Topic::Output {
            target: name.clone(),
            channel,
            backlog,
        };
        streams.push(Stream { topic, name });
    }
    follow_text(session, call, streams)
}

/// The processes that targets mean, by their full names. A target that means none is refused.
pub(super) fn processes(
    session: &mut Session<'_>,
    call: &Invocation<'_>,
    targets: &[String],
) -> Result<Vec<String>, Failure> {
    let request = Request::Status {
        targets: targets.to_vec(),
    };
    let Response::Status(reply) = session.ask(call.action, request)? else {
        return Err(Failure::Unexpected);
    };
    if let Some(unknown) = reply.unknown.into_iter().next() {
        return Err(Failure::Refused(Refusal::NoSuchProcess(unknown.name)));
    }
    if let (true, Some(target)) = (reply.rows.is_empty(), targets.first()) {
        return Err(Failure::Refused(Refusal::NoSuchProcess(target.clone())));
    }
    let mut names: Vec<String> = Vec::new();
    for row in reply.rows {
        if !names.contains(&row.name) {
            names.push(row.name);
        }
    }
    Ok(names)
}

/// The end of one log.
fn end_of(
    session: &mut Session<'_>,
    call: &Invocation<'_>,
    want: Want,
    read: &dyn Fn(u64) -> Request,
) -> Result<LogChunk, Failure> {
    match want.amount.unwrap_or(Amount::Bytes(DEFAULT_BYTES)) {
        Amount::Bytes(bytes) => chunk(session, call, read(bytes)),
        Amount::Lines(lines) => {
            let mut bytes = LINES_BYTES;
            loop {
                let mut chunk = chunk(session, call, read(bytes))?;
                let start = start_of_lines(&chunk.data, lines);
                let whole = chunk.data.len() as u64 >= chunk.size.min(LINES_BYTES_MAX);
                if start.is_some() || whole {
                    chunk.data.drain(..start.unwrap_or(0));
                    return Ok(chunk);
                }
                bytes = bytes.saturating_mul(8).min(LINES_BYTES_MAX);
            }
        }
    }
}

fn chunk(
    session: &mut Session<'_>,
    call: &Invocation<'_>,
    request: Request,
) -> Result<LogChunk, Failure> {
    let Response::Log(chunk) = session.ask(call.action, request)? else {
        return Err(Failure::Unexpected);
    };
    Ok(chunk)
}

/// Where the last `count` lines begin, if so many begin in these bytes. What is behind the last line feed is a line.
fn start_of_lines(data: &[u8], count: u64) -> Option<usize> {
    let whole = data.strip_suffix(b"\n").unwrap_or(data);
    if count == 0 {
        return Some(data.len());
    }
    let skipped = usize::try_from(count - 1).ok()?;
    whole
        .iter()
        .enumerate()
        .rev()
        .filter(|&(_, &byte)| byte == b'\n')
        .nth(skipped)
        .map(|(at, _)| at + 1)
}

/// How many bytes come before what is new.
fn backlog(
    session: &mut Session<'_>,
    call: &Invocation<'_>,
    want: Want,
    read: &dyn Fn(u64) -> Request,
) -> Result<u64, Failure> {
    match want.amount {
        None => Ok(follow::BACKLOG),
        Some(Amount::Bytes(bytes)) => Ok(if bytes == 0 { LINES_BYTES_MAX } else { bytes }),
        Some(Amount::Lines(_)) => match end_of(session, call, want, read) {
            Ok(chunk) => Ok(chunk.data.len() as u64),
            // Nothing is there yet, and something may come.
            Err(Failure::Refused(Refusal::NoLog(_))) => Ok(0),
            Err(failure) => Err(failure),
        },
    }
}

pub(super) fn maintail(session: &mut Session<'_>, call: &Invocation<'_>) -> Result<u8, Failure> {
    let arguments = want(call.arguments).and_then(|(want, rest)| match rest {
        [] => Ok(want),
        [word] if call.arguments.len() == 1 => Err((format!("Error: bad argument {word}"), false)),
        _ => Err(("Error: too many arguments".to_owned(), true)),
    });
    let want = arguments.map_err(|misuse| misused(session, call, misuse))?;
    let name = session.daemon_name().to_owned();
    let answer = main_log(session, call, want, &name);
    // The daemon names itself by its identifier; the words are Supervisor's only with the program's name.
    answer.map_err(|failure| match failure {
        Failure::Refused(Refusal::NoLog(_)) => Failure::Refused(Refusal::NoLog(name)),
        Failure::Refused(Refusal::LogUnreadable { errno, .. }) => {
            Failure::Refused(Refusal::LogUnreadable { name, errno })
        }
        Failure::Reported(_) | Failure::Refused(_) | Failure::Unexpected => failure,
    })
}

fn main_log(
    session: &mut Session<'_>,
    call: &Invocation<'_>,
    want: Want,
    name: &str,
) -> Result<u8, Failure> {
    let read = |bytes| Request::MainTail { bytes };
    if !want.follow {
        let chunk = end_of(session, call, want, &read)?;
        return Ok(print(session, call, &[(name.to_owned(), chunk)]));
    }
    let backlog = backlog(session, call, want, &read)?;
    let stream = Stream {
        topic: Topic::DaemonLog { backlog },
        name: name.to_owned(),
    };
    follow_text(session, call, vec![stream])
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
        let several = |names: &[&str], amount, follow, channel| {
            Ok(TailArguments {
                want: Want { amount, follow },
                targets: names.iter().map(|&name| name.to_owned()).collect(),
                channel,
            })
        };
        let ok = |amount, follow, channel| several(&["x"], amount, follow, channel);
        let bytes = |number| Some(Amount::Bytes(number));
        let lines = |number| Some(Amount::Lines(number));
        let wrong = |text: &str, help| Err((text.to_owned(), help));
        for (line, expected) in [
            ("x", ok(None, false, Channel::Stdout)),
            ("x stderr", ok(None, false, Channel::Stderr)),
            ("x STDERR", ok(None, false, Channel::Stderr)),
            ("-100 x", ok(bytes(100), false, Channel::Stdout)),
            ("-0 x", ok(bytes(0), false, Channel::Stdout)),
            ("-n 7 x", ok(lines(7), false, Channel::Stdout)),
            ("-f x stderr", ok(None, true, Channel::Stderr)),
            ("-f -n 7 x", ok(lines(7), true, Channel::Stdout)),
            ("-100 -f x", ok(bytes(100), true, Channel::Stdout)),
            ("x y", several(&["x", "y"], None, false, Channel::Stdout)),
            (
                "x y stderr",
                several(&["x", "y"], None, false, Channel::Stderr),
            ),
            // The only word is a name.
            ("stdout", several(&["stdout"], None, false, Channel::Stdout)),
            ("", wrong("Error: too few arguments", true)),
            ("-f x stdout y", wrong("Error: too many arguments", true)),
            ("-f", wrong("Error: tail requires process name", false)),
            ("-n", wrong("Error: -n requires a number of lines", false)),
            ("-n x", wrong("Error: bad argument -n x", false)),
            ("-abc x", wrong("Error: bad argument -abc", false)),
            ("--5 x", wrong("Error: bad argument --5", false)),
        ] {
            assert_eq!(read(line), expected, "{line}");
        }
    }

    #[test]
    fn the_last_lines_are_found_from_behind() {
        for (data, count, expected) in [
            (&b"a\nb\nc\n"[..], 1, Some(4)),
            (b"a\nb\nc\n", 2, Some(2)),
            (b"a\nb\nc\n", 3, None),
            (b"a\nb\nc", 1, Some(4)),
            (b"a\nb\n\n", 1, Some(4)),
            (b"a\n", 0, Some(2)),
            (b"", 1, None),
        ] {
            assert_eq!(start_of_lines(data, count), expected, "{data:?} {count}");
        }
    }
}
