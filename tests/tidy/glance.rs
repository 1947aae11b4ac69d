//! The table of keys in the manual says what the schema says, row for row, and knows every key that Supervisor has.

use super::{read, report};
use std::collections::{BTreeMap, BTreeSet};
use taskmaster::config::ValueType;
use taskmaster::config::schema::{DEFAULT_DIRECTORY, Effect, KEYS, Key, Kind};

/// Titles of the tables, and the sections of a file that they are about.
const TABLES: &[(&str, Kind)] = &[
    ("The daemon: [taskmasterd], [supervisord]", Kind::Daemon),
    (
        "The console: [taskmasterctl], [supervisorctl]",
        Kind::Console,
    ),
    ("Programs: [program.NAME], [program:NAME]", Kind::Program),
    ("Groups: [group.NAME], [group:NAME]", Kind::Group),
    ("Roles: [role.NAME]", Kind::Role),
    ("[include]", Kind::Include),
    ("[unix_http_server]", Kind::UnixServer),
    ("[inet_http_server]", Kind::InetServer),
    ("[fcgi-program:NAME]", Kind::FcgiProgram),
    ("[eventlistener:NAME]", Kind::EventListener),
];

/// Every key of Supervisor 4.3, from its reference.
const SUPERVISOR: &[(Kind, &str)] = &[
    (
        Kind::Daemon,
        "logfile logfile_maxbytes logfile_backups loglevel pidfile umask nodaemon silent minfds minprocs nocleanup \
         childlogdir user directory strip_ansi environment identifier",
    ),
    (
        Kind::Console,
        "serverurl username password prompt history_file",
    ),
    (
        Kind::Program,
        "command process_name numprocs numprocs_start priority autostart startsecs startretries autorestart exitcodes \
         stopsignal stopwaitsecs stopasgroup killasgroup user redirect_stderr stdout_logfile stdout_logfile_maxbytes \
         stdout_logfile_backups stdout_capture_maxbytes stdout_events_enabled stdout_syslog stderr_logfile \
         stderr_logfile_maxbytes stderr_logfile_backups stderr_capture_maxbytes stderr_events_enabled stderr_syslog \
         environment directory umask serverurl",
    ),
    (Kind::Group, "programs priority"),
    (Kind::Include, "files"),
    (Kind::UnixServer, "file chmod chown username password"),
    (Kind::InetServer, "port username password"),
    (
        Kind::FcgiProgram,
        "socket socket_backlog socket_owner socket_mode",
    ),
    (
        Kind::EventListener,
        "events buffer_size result_handler priority redirect_stderr stdout_capture_maxbytes stdout_events_enabled \
         stdout_syslog",
    ),
];

/// A row of a table: defaults, unit and status.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    native: String,
    supervisor: String,
    unit: String,
    status: String,
}

/// The text of one section of the page.
fn section(title: &str) -> String {
    let page = read("man/taskmaster.ini.5");
    let (_, rest) = page.split_once(&format!("\n.Sh {title}\n")).unwrap();
    rest.split("\n.Sh ").next().unwrap().to_owned()
}

fn rows() -> BTreeMap<(Kind, String), Row> {
    let mut rows = BTreeMap::new();
    for table in section("KEYS AT A GLANCE").split(".Ss ").skip(1) {
        let (title, body) = table.split_once('\n').unwrap();
        let known = TABLES.iter().find(|(known, _)| *known == title);
        let (_, kind) = known.unwrap_or_else(|| panic!("an unknown table: {title}"));
        for line in body.lines().filter_map(|line| line.strip_prefix(".It Ic ")) {
            let cells: Vec<&str> = line.split(" Ta ").collect();
            let [key, native, supervisor, unit, status] = cells.as_slice() else {
                panic!("not a row of five: {line}");
            };
            let row = Row {
                native: (*native).to_owned(),
                supervisor: (*supervisor).to_owned(),
                unit: (*unit).to_owned(),
                status: (*status).to_owned(),
            };
            let before = rows.insert((*kind, (*key).to_owned()), row);
            assert_eq!(before, None, "{title}: {key} twice");
        }
    }
    rows
}

/// How the table writes a default.
fn written(default: Option<&str>) -> String {
    match default {
        None | Some("") => "\\-".to_owned(),
        Some(text) => text.replace(DEFAULT_DIRECTORY, "D"),
    }
}

/// What the value counts, or is.
fn unit(key: &Key) -> &'static str {
    match key.value {
        ValueType::Integer { .. }
            if key.name.ends_with("secs") || key.name.ends_with("_timeout") =>
        {
            "seconds"
        }
        ValueType::Integer { .. } => "number",
        ValueType::Size => "bytes",
        ValueType::Mode => "octal",
        ValueType::Boolean => "boolean",
        ValueType::Signal => "signal",
        ValueType::Command => "command",
        ValueType::Url | ValueType::Listen => "URL",
        ValueType::InetAddress => "port",
        ValueType::Account | ValueType::Owner => "user",
        ValueType::Text | ValueType::Name => "text",
        ValueType::Autorestart
        | ValueType::PayloadLength
        | ValueType::LogLevel
        | ValueType::EditMode
        | ValueType::ExitWhen
        | ValueType::StandardOutput
        | ValueType::LineFormat
        | ValueType::OnOrphans
        | ValueType::Timestamps => "word",
        ValueType::Path | ValueType::MainLog | ValueType::ChildLog | ValueType::Socket => "path",
        ValueType::Environment
        | ValueType::Events
        | ValueType::EnvFiles
        | ValueType::ExitCodes
        | ValueType::Names
        | ValueType::Patterns => "list",
    }
}

fn is_supervisors(kind: Kind, name: &str) -> bool {
    SUPERVISOR
        .iter()
        .any(|(of, names)| *of == kind && names.split_whitespace().any(|known| known == name))
}

#[test]
fn the_table_of_keys_says_what_the_schema_says() {
    let rows = rows();
    let mut faults = Vec::new();
    for key in KEYS {
        let name = key.name;
        let Some(row) = rows.get(&(key.section, name.to_owned())) else {
            faults.push(format!("{name}: not in the table"));
            continue;
        };
        let statuses: &[&str] = match (key.effect, is_supervisors(key.section, name)) {
            (Effect::None(_), _) => &["none"],
            (Effect::Effective, true) => &["works", "differs"],
            (Effect::Effective, false) => &["own"],
        };
        let expected = Row {
            native: written(key.native),
            supervisor: written(key.supervisor),
            unit: unit(key).to_owned(),
            status: if statuses.contains(&row.status.as_str()) {
                row.status.clone()
            } else {
                statuses.join(" or ")
            },
        };
        if *row != expected {
            faults.push(format!("{name}: {row:?}\n  the schema says {expected:?}"));
        }
    }
    for (kind, name) in rows.keys() {
        if !KEYS
            .iter()
            .any(|key| key.section == *kind && key.name == name)
        {
            faults.push(format!(
                "{name} of {kind}: in the table and not in the schema"
            ));
        }
    }
    report(&faults);
}

#[test]
fn every_key_of_supervisors_is_known() {
    let mut faults = Vec::new();
    for (kind, names) in SUPERVISOR {
        for name in names.split_whitespace() {
            if !KEYS
                .iter()
                .any(|key| key.section == *kind && key.name == name)
            {
                faults.push(format!("{name} of {kind}"));
            }
        }
    }
    report(&faults);
}

#[test]
fn every_difference_of_a_key_is_told_and_no_other() {
    let told: BTreeSet<String> = section("DIFFERENCES FROM SUPERVISOR")
        .lines()
        .filter_map(|line| line.strip_prefix(".It Ic "))
        .flat_map(|line| line.split(" , ").map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let marked: BTreeSet<String> = rows()
        .into_iter()
        .filter(|(_, row)| row.status == "differs")
        .map(|((_, name), _)| name)
        .collect();
    assert_eq!(told, marked);
}
