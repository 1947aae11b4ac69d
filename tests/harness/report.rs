//! What a failed test prints: everything that could explain it.

use super::{Sandbox, proc};
use std::fmt::Write;
use std::fs;
use std::path::Path;

const TAIL_BYTES: usize = 6000;

/// The whole story of a sandbox.
pub fn report(sandbox: &Sandbox) -> String {
    let mut text = format!("\n===== sandbox {} =====\n", sandbox.dir().display());
    for command in sandbox.history() {
        writeln!(text, "$ {command}").unwrap();
    }
    file(&mut text, "configuration", &sandbox.config_path());
    for stream in ["stdout", "stderr"] {
        file(
            &mut text,
            &format!("daemon {stream}"),
            &sandbox.path(stream),
        );
    }
    file(&mut text, "daemon log", &sandbox.log_path());
    for directory in ["log", "log/child", "out"] {
        let Ok(entries) = fs::read_dir(sandbox.path(directory)) else {
            continue;
        };
        let mut paths: Vec<_> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect();
        paths.sort();
        for path in paths {
            if path.is_file() && path != sandbox.log_path() {
                file(&mut text, "file", &path);
            }
        }
    }
    writeln!(text, "----- processes -----").unwrap();
    for process in proc::tagged(&sandbox.tag()) {
        writeln!(
            text,
            "{} parent {} group {} session {} {} {}",
            process.pid,
            process.parent,
            process.group,
            process.session,
            process.state,
            proc::command_line(process.pid)
        )
        .unwrap();
    }
    text.push_str("===== end =====\n");
    text
}

fn file(text: &mut String, title: &str, path: &Path) {
    let Ok(bytes) = fs::read(path) else {
        return;
    };
    let shown = &bytes[bytes.len().saturating_sub(TAIL_BYTES)..];
    writeln!(
        text,
        "----- {title} {} ({} bytes) -----",
        path.display(),
        bytes.len()
    )
    .unwrap();
    writeln!(text, "{}", String::from_utf8_lossy(shown).trim_end()).unwrap();
}
