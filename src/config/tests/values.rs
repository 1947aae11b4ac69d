//! Every key of the schema with every kind of wrong value: each has a verdict, written down here by type.

use super::{FakeHost, messages};
use crate::config::schema::{Dialect, KEYS, Key, Kind};
use crate::config::value_type::ValueType;

/// Values that are tried on every key.
fn tried(key: &Key) -> Vec<String> {
    let mut values: Vec<String> = [
        "",
        "-1",
        "0",
        "1",
        "+1",
        "1_0",
        "1e3",
        "1.5",
        "0x10",
        "010",
        "abc",
        "\u{663}",
        "true",
        "TRUE",
        "maybe",
        "AUTO",
        "NONE",
        "TERM",
        "sigterm",
        "SIGNOPE",
        "50MB",
        "50M",
        "9 KB",
        "0,2",
        "0,256",
        "0,",
        "\"open",
        "A=1",
        "A=",
        "debug",
        "/tmp/x",
        "/no/dir/x",
        "unix:///tmp/x",
        "www",
        "33",
        "4242",
        "777",
        "1000",
        "0o17",
        "089",
        "unexpected",
        "emacs",
        "VI",
        "100000000000000000000000000000",
        "www:www-group",
        "33:34",
        "www:nobody-at-all",
        "www:",
        "localhost:9001",
        ":9001",
        "localhost:",
        "localhost:70000",
    ]
    .map(str::to_owned)
    .into();
    if let ValueType::Integer { min, max } = key.value {
        values.extend([min, max, min - 1, max + 1].map(|number| number.to_string()));
    }
    values
}

/// Whether a value of this type is right, said independently of the code that reads it.
fn is_right(key: &Key, value: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = value
        .strip_prefix(['+', '-'])
        .unwrap_or(value)
        .replace('_', "");
    match key.value {
        ValueType::Text | ValueType::MainLog | ValueType::ChildLog | ValueType::Names => true,
        ValueType::Path | ValueType::Patterns | ValueType::Socket => !value.is_empty(),
        ValueType::Owner => ["www", "33", "1000", "www:www-group", "33:34"].contains(&value),
        ValueType::InetAddress => {
            unsigned
                .parse()
                .is_ok_and(|port| (1..=65_535).contains(&port))
                && !value.starts_with('-')
                || ["localhost:9001", ":9001", "33:34"].contains(&value)
        }
        ValueType::Name => !value.is_empty() && !value.contains([' ', ':', '/']),
        ValueType::Boolean => ["0", "1", "true", "TRUE"].contains(&value),
        ValueType::Integer { min, max } => {
            let sign = if value.starts_with('-') { "-" } else { "" };
            digits(&unsigned)
                && format!("{sign}{unsigned}")
                    .parse::<i128>()
                    .is_ok_and(|number| (i128::from(min)..=i128::from(max)).contains(&number))
        }
        ValueType::Size => ["50MB", "9 KB"].contains(&value) || (digits(value) && value.len() < 19),
        ValueType::Mode => ["0", "1", "010", "33", "777", "0o17"].contains(&value),
        ValueType::Signal => ["1", "+1", "010", "TERM", "sigterm"].contains(&value),
        ValueType::ExitCodes => {
            ["", "0", "1", "+1", "1_0", "010", "33", "0,2", "089"].contains(&value)
        }
        ValueType::Autorestart => ["0", "1", "true", "TRUE", "unexpected"].contains(&value),
        ValueType::LogLevel => value == "debug",
        ValueType::EditMode => ["emacs", "VI"].contains(&value),
        ValueType::OnOrphans => ["adopt", "STOP", "leave"].contains(&value),
        ValueType::ExitWhen => ["never", "all-exited"].contains(&value),
        // The last is the number of the user who loads.
        ValueType::Account => ["www", "33", "1000"].contains(&value),
        ValueType::Command => !["", "\"open"].contains(&value),
        ValueType::Environment => ["", "A=1"].contains(&value),
        ValueType::StandardOutput | ValueType::Timestamps => value.eq_ignore_ascii_case("none"),
        ValueType::Events | ValueType::PayloadLength | ValueType::LineFormat => false,
        ValueType::EnvFiles => value != "-",
        ValueType::Listen => value == "unix:///tmp/x",
        ValueType::Url => ["AUTO", "unix:///tmp/x"].contains(&value),
    }
}

/// Faults that are not of the value's type: what it names does not exist or does not fit the rest.
const OTHER_CODES: [&str; 5] = [
    "missing-directory",
    "same-names",
    "contradiction",
    "same-file",
    "missing-key",
];

fn file(key: &Key, dialect: Dialect, value: &str) -> Option<String> {
    let listener = if key.name == "events" {
        "command=/bin/cat\n"
    } else {
        "command=/bin/cat\nevents=TICK\n"
    };
    let (section, rest) = match (key.section, dialect) {
        (Kind::Daemon, Dialect::Native) => ("taskmasterd", ""),
        (Kind::Daemon, Dialect::Supervisor) => ("supervisord", ""),
        (Kind::Console, Dialect::Native) => ("taskmasterctl", ""),
        (Kind::Program, Dialect::Native) => ("program.a", "command=/bin/cat\n"),
        (Kind::Program, Dialect::Supervisor) => ("program:a", "command=/bin/cat\n"),
        (Kind::Group, Dialect::Native) => ("group.g", ""),
        (Kind::UnixServer, Dialect::Supervisor) if key.name != "file" => {
            ("unix_http_server", "file=/tmp/x\n")
        }
        (Kind::UnixServer, Dialect::Supervisor) => ("unix_http_server", ""),
        (Kind::InetServer, Dialect::Supervisor) if key.name != "port" => {
            ("inet_http_server", "port=9001\n")
        }
        (Kind::InetServer, Dialect::Supervisor) => ("inet_http_server", ""),
        (Kind::FcgiProgram, dialect) => {
            let section = match dialect {
                Dialect::Native => "fcgi-program.a",
                Dialect::Supervisor => "fcgi-program:a",
            };
            let socket = "command=/bin/cat\nsocket=unix:///tmp/s\n";
            let without = "command=/bin/cat\n";
            (
                section,
                if key.name == "socket" {
                    without
                } else {
                    socket
                },
            )
        }
        (Kind::EventListener, Dialect::Native) => ("eventlistener.a", listener),
        (Kind::EventListener, Dialect::Supervisor) => ("eventlistener:a", listener),
        _ => return None,
    };
    let rest = if key.name == "command" { "" } else { rest };
    Some(format!("[{section}]\n{rest}{}={value}\n", key.name))
}

#[test]
fn every_wrong_value_of_every_key_is_refused_at_its_place() {
    let mut cases = 0;
    for key in KEYS {
        for value in tried(key) {
            for dialect in [Dialect::Native, Dialect::Supervisor] {
                let Some(text) = file(key, dialect, &value) else {
                    continue;
                };
                cases += 1;
                let loaded = FakeHost::with(&text).load();
                let errors = loaded.diagnostics.iter().filter(|found| found.is_error());
                let errors: Vec<_> = errors
                    .filter(|found| !OTHER_CODES.contains(&found.code))
                    .collect();
                // The names of programs in a group are looked up, which is tested with the groups.
                let unchecked = key.section == Kind::Group && key.name == "programs";
                if unchecked {
                    continue;
                }
                assert_eq!(
                    errors.is_empty(),
                    is_right(key, &value),
                    "{text}{:#?}",
                    messages(&loaded)
                );
                for error in errors {
                    let place = loaded.sources.location(error.primary.unwrap()).unwrap();
                    let line = text.lines().count();
                    let column = key.name.len() + 2;
                    assert_eq!(place.line, line, "{text}");
                    assert!(place.column >= column, "{text}");
                    assert!(error.message.contains(key.name), "{}", error.message);
                }
            }
        }
    }
    assert!(cases > 3_000, "{cases}");
}

#[test]
fn the_limits_are_those_of_the_contract() {
    let numprocs = KEYS.iter().find(|key| key.name == "numprocs").unwrap();
    assert_eq!(
        numprocs.value,
        ValueType::Integer {
            min: 1,
            max: 65_535
        }
    );
    let codes = |text: &str| crate::config::value::exit_codes(text);
    assert_eq!(codes("255"), Ok(vec![255]));
    assert_eq!(codes("256").unwrap_err().label, "more than 255");
    assert_eq!(codes("0,x,2").unwrap_err().range, Some(2..3));
    assert_eq!(
        codes("0, ,2").unwrap_err().label,
        "an exit code is missing here"
    );
}
