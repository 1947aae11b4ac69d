//! The real Supervisor, from the package index, in a virtual environment of its own.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The release that is compared with, and listeners for it.
const RELEASES: [&str; 2] = ["supervisor==4.3.0", "superlance==2.0.0"];

/// Set to make a missing Supervisor a failure, where a machine is known to reach the package index.
const REQUIRED: &str = "TASKMASTER_TEST_SUPERVISOR";

/// The directory with `supervisord` and `supervisorctl`; `None`, and a word on standard error, where there is none.
pub fn supervisor() -> Option<&'static Path> {
    static BIN: OnceLock<Option<PathBuf>> = OnceLock::new();
    BIN.get_or_init(|| match install() {
        Ok(bin) => Some(bin),
        Err(reason) => {
            assert!(std::env::var_os(REQUIRED).is_none(), "{reason}");
            // Past the test runner, which swallows what a passing test prints.
            let text = format!("skipped: no comparison with Supervisor, because {reason}\n");
            std::io::stderr().write_all(text.as_bytes()).unwrap();
            None
        }
    })
    .as_deref()
}

fn install() -> Result<PathBuf, String> {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(root).map_err(|error| error.to_string())?;
    let home = root.join("supervisor");
    let bin = home.join("bin");
    // Two runs of the tests may want it at the same time.
    let lock = File::create(root.join("supervisor.lock")).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;
    let done = home.join("complete");
    if fs::read_to_string(&done).is_ok_and(|releases| releases == RELEASES.concat()) {
        return Ok(bin);
    }
    run(Command::new("python3")
        .args(["-m", "venv", "--clear"])
        .arg(&home))?;
    run(Command::new(bin.join("python"))
        .args([
            "-m",
            "pip",
            "--disable-pip-version-check",
            "--retries",
            "1",
            "--timeout",
            "15",
            "install",
            "--quiet",
        ])
        .args(RELEASES))?;
    run(Command::new(bin.join("supervisord")).arg("--version"))?;
    fs::write(&done, RELEASES.concat()).map_err(|error| error.to_string())?;
    Ok(bin)
}

fn run(command: &mut Command) -> Result<(), String> {
    let line = format!("{command:?}");
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned()
                + &String::from_utf8_lossy(&output.stdout);
            let last = said.trim().lines().last().unwrap_or_default().to_owned();
            Err(format!("{line} failed: {last}"))
        }
        Err(error) => Err(format!("{line}: {error}")),
    }
}
