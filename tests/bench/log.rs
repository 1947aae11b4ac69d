//! What programs write, through the daemon, into logs that rotate at 64 MiB: one that writes pieces of 64 KiB, one that
//! writes lines of 100 bytes, each by itself, and 100 at once.
//!
//! Bare loop: the same program's pipe, copied to a file in pieces of 64 KiB; of 100, by one loop on `poll`.

use crate::Run;
use crate::harness::{Daemon, Sandbox, wait};
use crate::stats::Samples;
use crate::table::{Aim, Row};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::{ChildStdout, Stdio};
use std::time::{Duration, Instant};
use taskmaster::wire::Request;

const LIMIT: u64 = 64 << 20;

/// A kind of output.
struct Flood {
    what: &'static str,
    /// Words of the command; `BYTES` stands for how many it is to write.
    words: &'static [&'static str],
    /// MiB that each writes.
    mebibytes: u64,
    writers: usize,
}

const FLOODS: [Flood; 3] = [
    Flood {
        what: "log, pieces of 64 KiB",
        words: &[
            "/bin/dd",
            "if=/dev/zero",
            "bs=65536",
            "count=BYTES",
            "iflag=count_bytes",
        ],
        mebibytes: 256,
        writers: 1,
    },
    Flood {
        what: "log, lines of 100 bytes",
        words: &[
            "/bin/dd",
            "if=/dev/zero",
            "bs=100",
            "count=BYTES",
            "iflag=count_bytes",
        ],
        mebibytes: 32,
        writers: 1,
    },
    Flood {
        what: "log, 100 writers",
        words: &[
            "/bin/dd",
            "if=/dev/zero",
            "bs=4096",
            "count=BYTES",
            "iflag=count_bytes",
        ],
        mebibytes: 2,
        writers: 100,
    },
];

impl Flood {
    fn bytes(&self) -> u64 {
        self.mebibytes << 20
    }

    fn words(&self) -> Vec<String> {
        let bytes = self.bytes().to_string();
        self.words
            .iter()
            .map(|word| word.replace("BYTES", &bytes))
            .collect()
    }

    /// MiB a second of all together.
    fn rate(&self, time: Duration) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "a count of MiB")]
        let all = (self.mebibytes * self.writers as u64) as f64;
        all / time.as_secs_f64()
    }
}

/// Measures it.
pub fn run(run: &mut Run) {
    for flood in &FLOODS {
        let rounds = run.rounds(5);
        let (ours, bare): (Vec<_>, Vec<_>) = (0..rounds)
            .map(|_| (flood.rate(ours(flood)), flood.rate(bare(flood))))
            .unzip();
        run.table.add(
            Row::new(flood.what, "MiB/s", Aim::AtLeastTimes(0.95, "bare"))
                .with("taskmaster", ours.into_iter().collect())
                .with("bare", bare.into_iter().collect()),
        );
    }
}

fn ours(flood: &Flood) -> Duration {
    let daemon = Daemon::with(&format!(
        "[program.flood]\ncommand={}\nstartsecs=0\nautorestart=false\nnumprocs={}\n\
         stdout_logfile=$DIR/log/flood.log\nstdout_logfile_maxbytes={LIMIT}\nstdout_logfile_backups=10\n\
         stderr_logfile=NONE\n",
        flood.words().join(" "),
        flood.writers
    ));
    let mut client = daemon.client();
    let begin = Instant::now();
    client
        .ask(Request::Start {
            targets: vec!["flood".to_owned()],
            wait: false,
        })
        .unwrap();
    let all = flood.bytes() * flood.writers as u64;
    wait::for_condition("all bytes", || written(&daemon.sandbox) == all);
    begin.elapsed()
}

fn written(sandbox: &Sandbox) -> u64 {
    fs::read_dir(sandbox.path("log"))
        .unwrap()
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("flood.log"))
        .filter_map(|entry| entry.metadata().ok())
        .map(|meta| meta.len())
        .sum()
}

fn bare(flood: &Flood) -> Duration {
    let sandbox = Sandbox::new();
    let words = flood.words();
    let begin = Instant::now();
    let mut children = Vec::new();
    let mut open: Vec<(ChildStdout, File)> = Vec::new();
    for number in 0..flood.writers {
        let mut child = sandbox
            .command(&words[0])
            .args(&words[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let file = File::create(sandbox.path(format!("log/{number}"))).unwrap();
        open.push((child.stdout.take().unwrap(), file));
        children.push(child);
    }
    let mut buffer = vec![0; 64 << 10];
    while !open.is_empty() {
        let mut watched: Vec<PollFd> = open
            .iter()
            .map(|(pipe, _)| PollFd::new(pipe.as_fd(), PollFlags::POLLIN))
            .collect();
        poll(&mut watched, PollTimeout::NONE).unwrap();
        let ready: Vec<bool> = watched.iter().map(|fd| fd.any() == Some(true)).collect();
        let mut ready = ready.into_iter();
        open.retain_mut(|(pipe, file)| {
            if ready.next() != Some(true) {
                return true;
            }
            let length = pipe.read(&mut buffer).unwrap();
            file.write_all(&buffer[..length]).unwrap();
            length > 0
        });
    }
    for mut child in children {
        child.wait().unwrap();
    }
    begin.elapsed()
}
