//! The daemon's log, read as it grows: how many programs were spawned, and whether it knows of a bug.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// Lines about bugs that are kept.
const BUGS_MAX: usize = 10;

/// See the module's documentation.
pub struct Log {
    reader: BufReader<File>,
    /// The beginning of a line that is not whole yet.
    line: Vec<u8>,
    /// Spawns of programs that end at once.
    pub spawned: u64,
    /// Lines that say "bug:".
    pub bugs: Vec<String>,
}

impl Log {
    /// From its beginning. It must not be rotated.
    pub fn open(path: &Path) -> Self {
        Self {
            reader: BufReader::new(File::open(path).unwrap()),
            line: Vec::new(),
            spawned: 0,
            bugs: Vec::new(),
        }
    }

    /// Reads what has come.
    pub fn read_on(&mut self) {
        while self.reader.read_until(b'\n', &mut self.line).unwrap() > 0 {
            if !self.line.ends_with(b"\n") {
                return;
            }
            let line = String::from_utf8_lossy(&self.line);
            if line.contains("spawned: 'quick:") {
                self.spawned += 1;
            }
            if line.contains("bug:") && self.bugs.len() < BUGS_MAX {
                self.bugs.push(line.trim_end().to_owned());
            }
            self.line.clear();
        }
    }
}
