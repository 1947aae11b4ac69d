//! Tests of the loader as a whole, on a machine that is made up.

mod difference;
mod files;
mod host;
mod listeners;
mod model;
mod values;

pub use host::FakeHost;

use super::Loaded;
use super::model::Config;

/// The configuration of a file that must be free of errors.
fn config(text: &str) -> Config {
    let loaded = FakeHost::with(text).load();
    let found = messages(&loaded);
    loaded
        .config
        .unwrap_or_else(|| panic!("{text}\n{found:#?}"))
}

/// The diagnostics as `LINE:COLUMN: SEVERITY[CODE]: MESSAGE: LABEL`.
fn messages(loaded: &Loaded) -> Vec<String> {
    let line = |diagnostic: &super::Diagnostic| {
        let place = diagnostic
            .primary
            .and_then(|span| loaded.sources.location(span));
        let place = place.map_or(String::new(), |place| {
            format!("{}:{}: ", place.line, place.column)
        });
        let (severity, code) = (diagnostic.severity.as_str(), diagnostic.code);
        format!(
            "{place}{severity}[{code}]: {}: {}",
            diagnostic.message, diagnostic.label
        )
    };
    loaded.diagnostics.iter().map(line).collect()
}
