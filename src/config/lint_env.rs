//! Warnings about files of variables, and what these files mean for the look-up of a program.

use super::context::Context;
use super::diagnostic::Diagnostic;
use super::model::{EnvFile, Launch};
use super::table::{Field, Table};
use std::ops::Range;

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
        let Some((problem, missing)) = context.env_file(&file.path).problem else {
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
        let mut facts = files.iter().rev().map(|file| context.env_file(&file.path));
        facts.find_map(|facts| facts.search_path)
    };
    if let Some(own) = launch.environment.0.get("PATH") {
        return Some(own.clone());
    }
    of_files(context, &layers.files)
        .or_else(|| layers.common.0.get("PATH").cloned())
        .or_else(|| of_files(context, &layers.common_files))
        .or_else(|| context.environment.get("PATH").cloned())
}
