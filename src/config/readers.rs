//! Reading single keys of the common types, for the daemon's section and the programs' alike.

use super::context::{Context, Variables};
use super::model::{EnvFile, Environment, User};
use super::table::Table;
use super::value;
use super::value_type::ValueType;
use crate::types::ByteSize;
use std::path::PathBuf;
use std::time::Duration;

/// A key that is true or false.
pub fn boolean(
    context: &mut Context<'_>,
    table: &Table<'_>,
    name: &str,
    variables: &Variables<'_>,
) -> Option<bool> {
    context.value(table, name, variables, |text, _| value::boolean(text))
}

/// A key that is a number; the schema says in which range.
pub fn number<T: TryFrom<i64> + Default>(
    context: &mut Context<'_>,
    table: &Table<'_>,
    name: &str,
    variables: &Variables<'_>,
) -> T {
    let read = context.value(table, name, variables, |text, key| {
        let ValueType::Integer { min, max } = key.value else {
            debug_assert!(false, "{name} is no number");
            return Ok(0);
        };
        value::integer(text, min, max)
    });
    read.and_then(|number| T::try_from(number).ok())
        .unwrap_or_default()
}

/// A key that is a number of seconds and may be left out.
pub fn seconds(
    context: &mut Context<'_>,
    table: &Table<'_>,
    name: &str,
    variables: &Variables<'_>,
) -> Option<Duration> {
    let given = table.field(name).is_some();
    given.then(|| Duration::from_secs(u64::from(number::<u32>(context, table, name, variables))))
}

/// A key that is a count of bytes.
pub fn size(
    context: &mut Context<'_>,
    table: &Table<'_>,
    name: &str,
    variables: &Variables<'_>,
) -> ByteSize {
    context
        .value(table, name, variables, |text, _| value::size(text))
        .unwrap_or_default()
}

/// A key that is a mode or a mask.
pub fn mode(context: &mut Context<'_>, table: &Table<'_>, name: &str) -> Option<u32> {
    context.value(table, name, &Variables::default(), |text, _| {
        value::mode(text)
    })
}

/// The key `user`.
pub fn user(
    context: &mut Context<'_>,
    table: &Table<'_>,
    variables: &Variables<'_>,
) -> Option<User> {
    context.value_with(table, "user", variables, |context, text, _| {
        context.account(text)
    })
}

/// The key `environment`, with the doubts about it reported.
pub fn environment(
    context: &mut Context<'_>,
    table: &Table<'_>,
    variables: &Variables<'_>,
) -> Environment {
    let list = context.value(table, "environment", variables, |text, _| {
        value::variables(text)
    });
    let list = list.unwrap_or_default();
    if let Some(field) = table.field("environment") {
        super::lint::environment(context, table, field, &list.doubts);
    }
    Environment(list.variables)
}

/// The key `env_file`, with what is wrong with the files reported.
pub fn env_files(
    context: &mut Context<'_>,
    table: &Table<'_>,
    variables: &Variables<'_>,
) -> Vec<EnvFile> {
    let files = context.value_with(table, "env_file", variables, |context, text, _| {
        let mut files = Vec::new();
        for (piece, optional) in value::env_files(text)? {
            let path = context.path(piece.text)?;
            files.push((EnvFile { path, optional }, piece.range));
        }
        Ok(files)
    });
    let files = files.unwrap_or_default();
    if let Some(field) = table.field("env_file") {
        super::lint_env::env_files(context, table, field, &files);
    }
    files.into_iter().map(|(file, _)| file).collect()
}

/// A key that is any text.
pub fn text(context: &mut Context<'_>, table: &Table<'_>, name: &str) -> Option<String> {
    context.value(table, name, &Variables::default(), |text, _| {
        Ok(text.to_owned())
    })
}

/// A key that is a path.
pub fn path(context: &mut Context<'_>, table: &Table<'_>, name: &str) -> Option<PathBuf> {
    context.value_with(table, name, &Variables::default(), |context, text, _| {
        context.path(&value::filled(text)?)
    })
}
