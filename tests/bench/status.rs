//! The state of 1000 processes, asked for over a connection that is open.
//!
//! Bare loop: a thread that answers a byte with as many bytes as the daemon's reply has.

use crate::boot;
use crate::harness::{Client, Daemon, body, framed, read_frame};
use crate::table::{Table, median};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};
use taskmaster::wire::{Request, RequestFrame};

const COUNT: usize = 1000;
const ROUNDS: usize = 50;

/// Measures it.
pub fn run(table: &mut Table) {
    let daemon = Daemon::builder()
        .arg("--minfds")
        .arg("8192")
        .config(&boot::config(COUNT))
        .start();
    daemon.wait_state(&format!("web:{}", COUNT - 1), "RUNNING");
    let mut client = daemon.client();
    let mut size = 0;
    let ours = median((0..ROUNDS).map(|_| ask(&mut client, &mut size)).collect());
    let bare = bare(size);
    table.ratio("status of 1000 (bare: same bytes)", ours, bare, None);
    table.figure("status of 1000", "ms", ours.as_secs_f64() * 1e3, 10.0);
}

/// Without the decoding, which is the client's affair.
fn ask(client: &mut Client, size: &mut usize) -> Duration {
    let request = framed(&body(&RequestFrame {
        id: 1,
        request: Request::Status { targets: vec![] },
    }));
    let begin = Instant::now();
    client.stream.write_all(&request).unwrap();
    *size = read_frame(&mut client.stream).unwrap().unwrap().len();
    begin.elapsed()
}

fn bare(size: usize) -> Duration {
    let (mut near, mut far) = UnixStream::pair().unwrap();
    let server = std::thread::spawn(move || {
        let reply = framed(&vec![0; size]);
        let mut byte = [0];
        while far.read_exact(&mut byte).is_ok() {
            far.write_all(&reply).unwrap();
        }
    });
    let times = (0..ROUNDS)
        .map(|_| {
            let begin = Instant::now();
            near.write_all(&[0]).unwrap();
            read_frame(&mut near).unwrap().unwrap();
            begin.elapsed()
        })
        .collect();
    drop(near);
    server.join().unwrap();
    median(times)
}
