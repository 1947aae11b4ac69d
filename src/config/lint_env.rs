//! Warnings about files of variables, and what these files mean for the look-up of a program.

use super::context::Context;
use super::diagnostic::Diagnostic;
use super::env_file::{self, EnvFileError};
use super::model::{EnvFile, Launch};
use super::table::{Field, Table};
use std::ops::Range;
use std::path::Path;

/// What is known about a file of variables.
#[derive(Debug, Clone, Default)]
pub struct EnvFileFacts {
    /// Why it cannot be used, and whether that is because there is none.
    pub problem: Option<(String, bool)>,
    /// The search path that it sets.
    pub search_path: Option<String>,
}

/// What a file of variables says; read once per load.
fn facts(context: &mut Context<'_>, path: &Path) -> EnvFileFacts {
    if let Some(known) = context.env_files.get(path) {
        return known.clone();
    }
    let read = context
        .host
        .read(path)
        .map_err(EnvFileError::from)
        .and_then(|content| Ok(env_file::parse(&content.bytes)?));
    let facts = match read {
        Ok(found) => EnvFileFacts {
            problem: None,
            search_path: found
                .into_iter()
                .rfind(|variable| variable.name == "PATH")
                .map(|variable| variable.value),
        },
        Err(error) => EnvFileFacts {
            problem: Some((env_file::describe(path, &error), error.is_missing())),
            search_path: None,
        },
    };
    context.env_files.insert(path.to_owned(), facts.clone());
    facts
}

/// Files of variables that cannot be used now: they are read at each start, so that may change.
pub fn env_files(
    context: &mut Context<'_>,
    table: &Table<'_>,
    field: &Field<'_>,
    files: &[(EnvFile, Range<usize>)],
) {
    let subject = table.subject(&field.shown);
    let templated = super::expand::is_template(&field.value.text);
    for (file, range) in files {
        let Some((problem, missing)) = facts(context, &file.path).problem else {
            continue;
        };
        if missing && file.optional {
            continue;
        }
        let span = if templated {
            field.value.span()
        } else {
            field.value.part(range)
        };
        let message = format!("{subject} names a file that cannot be used now");
        let warning = Diagnostic::warning("env-file", message).at(span, problem);
        context.report(if file.optional {
            warning.help("a start goes on without it")
        } else if missing {
            warning.help("a start fails without it; write `-` before a path that may be missing")
        } else {
            warning.help("a start fails until it is mended")
        });
    }
}

/// The search path that a program would have, as far as files and environment say now.
pub fn search_path(context: &mut Context<'_>, launch: &Launch) -> Option<String> {
    let layers = &launch.env_layers;
    let of_files = |context: &mut Context<'_>, files: &[EnvFile]| {
        let mut known = files.iter().rev().map(|file| facts(context, &file.path));
        known.find_map(|facts| facts.search_path)
    };
    if let Some(own) = launch.environment.0.get("PATH") {
        return Some(own.clone());
    }
    of_files(context, &layers.files)
        .or_else(|| layers.common.0.get("PATH").cloned())
        .or_else(|| of_files(context, &layers.common_files))
        .or_else(|| context.environment.get("PATH").cloned())
}
