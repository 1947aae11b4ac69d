//! What the servers of Supervisor's dialect have besides their socket: credentials, and ports of the network.
//!
//! Nobody is asked for a password here and nothing listens on the network, but a fault that Supervisor would refuse is
//! one here too.

use super::context::{Context, Variables};
use super::diagnostic::Diagnostic;
use super::schema::{self, Kind};
use super::table::{Field, Table};
use super::value;

/// `username` and `password`, which the socket makes needless: one warning for both. One without the other is refused,
/// as Supervisor does: somebody meant to have a lock and forgot the key.
pub fn credentials(context: &mut Context<'_>, table: &Table<'_>) {
    let given: Vec<&Field<'_>> = ["username", "password"]
        .into_iter()
        .filter_map(|name| table.field(name))
        .collect();
    for field in &given {
        // Reports what cannot be expanded; the value itself has no use.
        let subject = table.subject(&field.shown);
        let _unused = context.expanded(&field.value, &subject, &Variables::default());
    }
    match given.as_slice() {
        [] => {}
        [one] if table.kind != Kind::Console => {
            let section = table.kind;
            let missing = if one.shown == "username" {
                "password"
            } else {
                "username"
            };
            context.report(
                Diagnostic::error(
                    "missing-key",
                    format!("{section} has `{}` and no `{missing}`", one.shown),
                )
                .at(one.key_span, format!("`{missing}` is missing"))
                .help("give both, or neither"),
            );
        }
        _ if table.kind == Kind::InetServer => {}
        [first, rest @ ..] => {
            let names: Vec<String> = given
                .iter()
                .map(|field| format!("`{}`", field.shown))
                .collect();
            let verb = if rest.is_empty() { "has" } else { "have" };
            context.report(
                Diagnostic::warning(
                    "no-effect",
                    format!("{} {verb} no effect", names.join(" and ")),
                )
                .at(first.key_span, schema::PEER),
            );
        }
    }
}

/// Checks the sections of servers that do not exist here, as Supervisor's loader would: port and credentials.
pub fn network(context: &mut Context<'_>, sections: &[Table<'_>]) {
    for table in sections {
        if let (None, Some(header)) = (table.field("port"), table.header) {
            context.report(
                Diagnostic::error("missing-key", "[inet_http_server] names no port")
                    .at(header, "`port` is missing"),
            );
        }
        let _checked = context.value(table, "port", &Variables::default(), |text, _| {
            value::inet_address(text)
        });
        credentials(context, table);
    }
}
