//! The protocol under attack: frames that were damaged at random, by many clients, for as long as asked for.
//!
//! `TASKMASTER_TEST_ATTACK_SECONDS` says how long (5 by default; a minute in the gate) and `TASKMASTER_TEST_SEED` repeats
//! a run. Whatever arrives, the daemon goes on serving honest clients, keeps its programs, holds no descriptor and no
//! memory for those that are gone, and finds no bug in itself.

use crate::harness::{Client, Daemon, body, framed, proc};
use std::fs;
use std::io::{Read, Write};
use std::time::{Duration, Instant};
use taskmaster::wire::{Request, RequestFrame, Response, decode};

/// What a damaged frame must not turn into, for then it were an order.
fn is_order(content: &[u8]) -> bool {
    decode::<RequestFrame>(content).is_ok_and(|frame| {
        !matches!(
            frame.request,
            Request::Status { .. }
                | Request::Pid { .. }
                | Request::Avail
                | Request::Version
                | Request::Why { .. }
                | Request::Tail { .. }
                | Request::MainTail { .. }
                | Request::Subscribe { .. }
                | Request::Unsubscribe { .. }
        )
    })
}

/// Whether the daemon would find an order among the frames that these bytes make.
fn holds_order(mut bytes: &[u8]) -> bool {
    while let Some((length, rest)) = bytes.split_at_checked(4) {
        let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]);
        let Some((content, rest)) = rest.split_at_checked(length as usize) else {
            return false;
        };
        if is_order(content) {
            return true;
        }
        bytes = rest;
    }
    false
}

/// Every kept frame of the protocol, the daemon's own too.
fn corpus() -> Vec<Vec<u8>> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/wire/v1");
    let mut frames: Vec<Vec<u8>> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| fs::read(entry.unwrap().path()).unwrap())
        .collect();
    frames.sort();
    frames
}

/// Numbers that look random and come again for the same seed (`SplitMix64`).
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn byte(&mut self) -> u8 {
        self.next().to_be_bytes()[0]
    }
}

struct Attacker {
    rng: Rng,
    corpus: Vec<Vec<u8>>,
}

impl Attacker {
    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.rng.next() % limit.max(1) as u64).unwrap()
    }

    fn frame(&mut self) -> Vec<u8> {
        let index = self.below(self.corpus.len());
        self.corpus[index].clone()
    }

    /// A frame that was damaged in one to four ways.
    fn damaged(&mut self) -> Vec<u8> {
        let mut content = self.frame();
        for _ in 0..=self.below(4) {
            let at = self.below(content.len());
            match self.below(8) {
                0 if !content.is_empty() => content[at] ^= 1 << self.below(8),
                1 if !content.is_empty() => content[at] = self.rng.byte(),
                2 => content.truncate(at),
                3 => content.insert(at, self.rng.byte()),
                4 => {
                    let other = self.frame();
                    let from = self.below(other.len());
                    content.truncate(at);
                    content.extend_from_slice(&other[from..]);
                }
                // Lengths and kinds that promise more than there is.
                5 => {
                    let head = [0x9b, 0xbb, 0x5b, 0x7b, 0xdb, 0x9f, 0xbf, 0x5f][self.below(8)];
                    let mut promise = vec![head];
                    promise.extend(self.rng.next().to_be_bytes());
                    content.splice(at..at, promise);
                }
                6 => {
                    let nest = vec![0x81; self.below(2000)];
                    content.splice(at..at, nest);
                }
                _ => {
                    let part = content[at..].to_vec();
                    content.extend(part);
                }
            }
        }
        content
    }

    /// What goes over the wire for it: now and then the length lies as well.
    fn sent(&mut self) -> Vec<u8> {
        let mut bytes = framed(&self.damaged());
        match self.below(12) {
            0 => bytes[..4].copy_from_slice(&self.rng.next().to_be_bytes()[..4]),
            1 => bytes.truncate(self.below(bytes.len())),
            2 => bytes[3] = bytes[3].wrapping_add(1),
            _ => {}
        }
        bytes
    }

    /// Everything that one connection sends after its greeting. It is judged as a whole, because a length that lies makes
    /// other frames of the same bytes.
    fn conversation(&mut self) -> Vec<Vec<u8>> {
        loop {
            let frames: Vec<Vec<u8>> = (0..=self.below(16)).map(|_| self.sent()).collect();
            if !holds_order(&frames.concat()) {
                return frames;
            }
        }
    }

    /// One connection: perhaps a greeting, some frames, perhaps a look at the answers, and gone.
    fn connect(&mut self, daemon: &Daemon) {
        let Ok(mut stream) = Client::open(&daemon.sandbox.socket_path()) else {
            return;
        };
        stream
            .set_write_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        stream
            .set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        if self.below(8) > 0 {
            let _sent = stream.write_all(&framed(&body(&Client::greeting())));
        }
        for bytes in self.conversation() {
            let pieces = 1 + self.below(3);
            for piece in bytes.chunks(bytes.len().div_ceil(pieces).max(1)) {
                // The daemon may have cut the connection already.
                if stream.write_all(piece).is_err() {
                    return;
                }
            }
        }
        if self.below(4) == 0 {
            let mut answer = [0; 4096];
            let _read = stream.read(&mut answer);
        }
    }
}

fn seconds() -> u64 {
    let given = std::env::var("TASKMASTER_TEST_ATTACK_SECONDS").ok();
    given.map_or(5, |text| text.parse().unwrap())
}

fn seed() -> u64 {
    let given = std::env::var("TASKMASTER_TEST_SEED").ok();
    given.map_or_else(
        || {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            now.map_or(0, |now| u64::from(now.subsec_nanos()) << 32 | now.as_secs())
        },
        |text| text.parse().unwrap(),
    )
}

#[test]
fn damaged_frames_harm_nobody_but_their_sender() {
    let daemon = Daemon::with(
        "[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n\
         [program.chatter]\ncommand=/bin/sh -c 'while :; do echo line; sleep 0.05; done'\n\
         startsecs=0\n",
    );
    daemon.wait_state("web", "RUNNING");
    daemon.note_descriptors();
    daemon.ctl("start chatter").code(0);
    let pids = [daemon.pid("web"), daemon.pid("chatter")];
    let seed = seed();
    eprintln!("TASKMASTER_TEST_SEED={seed}");
    let mut attacker = Attacker {
        rng: Rng(seed),
        corpus: corpus(),
    };
    let mut honest = daemon.client();
    let begin = Instant::now();
    let mut settled = None;
    let mut connections = 0_u64;
    while begin.elapsed() < Duration::from_secs(seconds()) {
        for _ in 0..50 {
            attacker.connect(&daemon);
            connections += 1;
        }
        let answer = honest.ask(Request::Status { targets: vec![] }).unwrap();
        let Response::Status(status) = answer else {
            panic!("seed {seed}: {answer:?}");
        };
        assert_eq!(status.rows.len(), 2, "seed {seed}");
        settled.get_or_insert_with(|| proc::anonymous_kib(daemon.process()));
    }
    drop(honest);
    assert_eq!(
        [daemon.pid("web"), daemon.pid("chatter")],
        pids,
        "seed {seed}"
    );
    let (settled, now) = (settled.unwrap(), proc::anonymous_kib(daemon.process()));
    assert!(
        now < settled + 4096,
        "seed {seed}: {settled} KiB after 50 connections, {now} KiB after {connections}"
    );
    assert_eq!(daemon.count_log("bug:"), 0, "seed {seed}");
    // It never comes to rest while a program writes.
    daemon.ctl("stop chatter").is(0, "chatter: stopped\n");
    daemon.close();
}

#[test]
fn a_thousand_clients_at_once_are_all_answered() {
    const CLIENTS: u64 = 1000;
    let (soft, hard) =
        nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap();
    if hard < 2 * CLIENTS + 100 {
        eprintln!("passed over: only {hard} descriptors are allowed here");
        return;
    }
    // This process holds the other ends. Other tests of it have no use for a lower limit.
    nix::sys::resource::setrlimit(
        nix::sys::resource::Resource::RLIMIT_NOFILE,
        soft.max(2 * CLIENTS + 100).min(hard),
        hard,
    )
    .unwrap();
    let daemon = Daemon::builder()
        .daemon_keys("minfds=1200\n")
        .config("[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n")
        .start();
    daemon.wait_state("web", "RUNNING");
    daemon.note_descriptors();
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| daemon.client()).collect();
    for client in &mut clients {
        client.send(Request::Status { targets: vec![] }).unwrap();
    }
    for client in &mut clients {
        let frame = client.receive().unwrap();
        assert!(format!("{frame:?}").contains("web"), "{frame:?}");
    }
    drop(clients);
    daemon.close();
}
