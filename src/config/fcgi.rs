//! The socket of a `FastCGI` program.

use super::context::{Context, Variables};
use super::diagnostic::Diagnostic;
use super::model::{DaemonSettings, ListenAddress, ListenSettings, Owner, User};
use super::readers::mode;
use super::schema::Kind;
use super::table::Table;
use super::value::{self, SOCKET_PATH_BYTES_MAX};
use super::value_type::ValueFault;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Keys that only a Unix socket has.
const UNIX_KEYS: [&str; 2] = ["socket_owner", "socket_mode"];

/// An address as written: its host and port, or its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// `tcp://HOST:PORT`; an empty host is every address of the machine.
    Tcp(String, u16),
    /// `unix:///PATH`.
    Unix(String),
}

/// Reads `tcp://HOST:PORT` or `unix:///PATH`.
pub fn address(text: &str) -> Result<Address, ValueFault> {
    if let Some(path) = text.strip_prefix("unix://") {
        let range = "unix://".len()..text.len();
        if !path.starts_with('/') {
            let fault = ValueFault::new(format!("`{path}` is not an absolute path")).at(range);
            return Err(fault.help("write unix:///PATH, with three slashes"));
        }
        if path.len() > SOCKET_PATH_BYTES_MAX {
            let fault = ValueFault::new(format!("the path has {} bytes", path.len())).at(range);
            return Err(fault.help(format!(
                "the system allows {SOCKET_PATH_BYTES_MAX} bytes for the path of a socket; choose a shorter one"
            )));
        }
        if path.ends_with('/') {
            return Err(ValueFault::new("names a directory").at(range));
        }
        return Ok(Address::Unix(path.to_owned()));
    }
    let Some(rest) = text.strip_prefix("tcp://") else {
        return Err(ValueFault::new("neither of the two")
            .help("write unix:///PATH or tcp://HOST:PORT, such as tcp://127.0.0.1:9000"));
    };
    let start = "tcp://".len();
    let Some((host, port)) = rest.rsplit_once(':') else {
        return Err(ValueFault::new("the port is missing")
            .at(start..text.len())
            .help("write tcp://HOST:PORT, such as tcp://127.0.0.1:9000"));
    };
    let place = text.len() - port.len();
    let number = value::integer(port, 1, 65_535)
        .map_err(|fault| ValueFault::new(fault.label).at(place..text.len()))?;
    let bracketed = host
        .strip_prefix('[')
        .and_then(|inner| inner.strip_suffix(']'));
    let bad = |character: char| character.is_whitespace() || matches!(character, ':' | '/');
    let host = match bracketed {
        Some(inner) if inner.parse::<std::net::Ipv6Addr>().is_ok() => inner,
        None if !host.contains(bad) => host,
        Some(_) | None => {
            return Err(ValueFault::new(format!("`{host}` is not a host"))
                .at(start..place.saturating_sub(1))
                .help("a host is a name or an IPv4 address; an IPv6 address stands in brackets"));
        }
    };
    let host = if host == "*" { "" } else { host };
    let port = u16::try_from(number).unwrap_or_default();
    Ok(Address::Tcp(host.to_lowercase(), port))
}

/// What all copies of a `FastCGI` program have in common about their socket; `None` for any other program.
#[derive(Debug)]
pub struct Common {
    backlog: Option<u32>,
    mode: u32,
    owner: Option<Owner>,
}

impl Common {
    /// Reads it, and reports what only a Unix socket can have where the socket is none.
    pub fn read(
        context: &mut Context<'_>,
        daemon: &DaemonSettings,
        table: &Table<'_>,
        variables: &Variables<'_>,
        user: Option<&User>,
    ) -> Option<Self> {
        if table.kind != Kind::FcgiProgram {
            return None;
        }
        let own = context.host.effective_uid();
        let runs_as = daemon.user.as_ref().map_or(own, |user| user.uid);
        let given = context.value_with(table, "socket_owner", variables, |context, text, _| {
            owner(context, text)
        });
        let of_user = user.filter(|user| user.uid != runs_as).map(|user| Owner {
            uid: user.uid,
            gid: Some(user.gid),
        });
        if table.field("socket").is_none() {
            let name = table.name.unwrap_or_default();
            let message = format!("FastCGI program `{name}` has no socket");
            let mut fault = Diagnostic::error("missing-key", message).help(
                "add a line such as `socket=unix:///run/app.sock` or `socket=tcp://127.0.0.1:9000`",
            );
            if let Some(header) = table.header {
                fault = fault.at(header, "`socket` is missing");
            }
            context.report(fault);
        }
        Some(Self {
            backlog: context.value(table, "socket_backlog", variables, |text, _| {
                let backlog = value::integer(text, 1, 65_535)?;
                Ok(u32::try_from(backlog).unwrap_or_default())
            }),
            mode: mode(context, table, "socket_mode").unwrap_or(0o700),
            owner: given.or(of_user),
        })
    }

    /// The socket of one copy; copies of one address share one.
    pub fn of_copy(
        &self,
        context: &mut Context<'_>,
        table: &Table<'_>,
        variables: &Variables<'_>,
        is_first: bool,
    ) -> Option<Arc<ListenSettings>> {
        let address = context.value(table, "socket", variables, |text, _| address(text))?;
        let address = match address {
            Address::Tcp(host, port) => {
                refuse_unix_keys(context, table);
                ListenAddress::Tcp { host, port }
            }
            Address::Unix(path) => {
                let path = PathBuf::from(path);
                if is_first {
                    warn_about_parent(context, table, &path);
                }
                ListenAddress::Unix {
                    path,
                    mode: self.mode,
                    owner: self.owner,
                }
            }
        };
        let backlog = self.backlog;
        Some(Arc::new(ListenSettings { address, backlog }))
    }
}

fn refuse_unix_keys(context: &mut Context<'_>, table: &Table<'_>) {
    for key in UNIX_KEYS {
        if let Some(field) = table.field(key) {
            let subject = table.subject(key);
            context.report(
                Diagnostic::error(
                    "not-a-unix-socket",
                    format!("{subject} should only be used with a Unix domain socket"),
                )
                .at(field.key_span, "the socket is a TCP address")
                .help("leave it out, or listen on a path: unix:///PATH"),
            );
        }
    }
}

fn warn_about_parent(context: &mut Context<'_>, table: &Table<'_>, path: &Path) {
    let parent = path.parent().unwrap_or(Path::new("/"));
    if context.is_dir(parent) {
        return;
    }
    if let Some(span) = table.span("socket") {
        let subject = table.subject("socket");
        let message = format!("the directory for {subject} does not exist");
        context.report(
            Diagnostic::warning("missing-directory", message)
                .at(span, format!("there is no {}", parent.display()))
                .help("the program does not start before there is one"),
        );
    }
}

/// `USER` or `USER:GROUP`, names or numbers.
fn owner(context: &mut Context<'_>, text: &str) -> Result<Owner, ValueFault> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some((user.len() + 1, group))),
        None => (text, None),
    };
    let account = context
        .account(user)
        .map_err(|fault| fault.at(0..user.len()))?;
    let gid = match group {
        None => None,
        Some((at, group)) => {
            let found = context.group(group);
            Some(found.map_err(|fault| fault.at(at..text.len()))?)
        }
    };
    Ok(Owner {
        uid: account.uid,
        gid,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let tcp = |host: &str, port| Ok(Address::Tcp(host.to_owned(), port));
        for (text, expected) in [
            ("tcp://127.0.0.1:9000", tcp("127.0.0.1", 9000)),
            ("tcp://LocalHost:1", tcp("localhost", 1)),
            ("tcp://*:9000", tcp("", 9000)),
            ("tcp://:9000", tcp("", 9000)),
            ("tcp://[::1]:9000", tcp("::1", 9000)),
            (
                "unix:///run/a.sock",
                Ok(Address::Unix("/run/a.sock".into())),
            ),
        ] {
            assert_eq!(address(text), expected, "{text}");
        }
        let long = format!("unix:///{}", "x".repeat(107));
        for text in [
            "",
            "foo",
            "/run/a.sock",
            "unix://run/a.sock",
            "unix://",
            "unix:///",
            &long,
            "tcp://127.0.0.1",
            "tcp://127.0.0.1:",
            "tcp://127.0.0.1:0",
            "tcp://127.0.0.1:65536",
            "tcp://127.0.0.1:http",
            "tcp://::1:9000",
            "tcp://[::1:9000",
            "tcp://[x]:9000",
            "tcp://a b:9000",
            "http://localhost:9000",
        ] {
            assert!(address(text).is_err(), "{text}");
        }
    }
}
