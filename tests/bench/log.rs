//! 256 MiB through a program's standard output into its rotated log.
//!
//! Bare loop: the same program's pipe, copied to a file in pieces of 64 KiB.

use crate::harness::{Daemon, Sandbox, wait};
use crate::table::{Table, median};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

const BYTES: u64 = 256 << 20;
const LIMIT: u64 = 64 << 20;
const ROUNDS: usize = 3;

/// Measures it.
pub fn run(table: &mut Table) {
    let (ours, bare) = (0..ROUNDS).map(|_| (ours(), bare())).unzip();
    let (ours, bare) = (median(ours), median(bare));
    table.ratio("256 MiB of log", ours, bare, Some(1.5));
    let mib = |time: Duration| 256.0 / time.as_secs_f64();
    eprintln!("log: {:.0} MiB/s, bare {:.0} MiB/s", mib(ours), mib(bare));
}

fn ours() -> Duration {
    let daemon = Daemon::with(&format!(
        "[program.flood]\ncommand=/usr/bin/head -c {BYTES} /dev/zero\nstartsecs=0\nautorestart=false\n\
         stdout_logfile=$DIR/log/flood.log\nstdout_logfile_maxbytes={LIMIT}\nstdout_logfile_backups=10\n"
    ));
    let mut client = daemon.client();
    let begin = Instant::now();
    client
        .ask(taskmaster::wire::Request::Start {
            targets: vec!["flood".to_owned()],
            wait: false,
        })
        .unwrap();
    wait::for_condition("all bytes", || written(&daemon.sandbox) == BYTES);
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

fn bare() -> Duration {
    let sandbox = Sandbox::new();
    let begin = Instant::now();
    let mut child = sandbox
        .command("/usr/bin/head")
        .args(["-c", &BYTES.to_string(), "/dev/zero"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdout.take().unwrap();
    let mut file = File::create(sandbox.path("copy")).unwrap();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let length = pipe.read(&mut buffer).unwrap();
        if length == 0 {
            break;
        }
        file.write_all(&buffer[..length]).unwrap();
    }
    child.wait().unwrap();
    begin.elapsed()
}
