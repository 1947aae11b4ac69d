//! The life of the thread: how it ends, that it sleeps, and how fast it is.

use super::*;
use crate::daemon::capture::thread::BUFFER_BYTES;

#[test]
fn finishing_writes_what_is_in_the_pipes_but_waits_for_nobody() {
    let mut rig = Rig::new();
    let mut pipes: Vec<File> = (0..40)
        .map(|number| rig.attach(stdout(&format!("p{number}")), &format!("log{number}")))
        .collect();
    rig.capture.open_main(rig.path("main"), ByteSize(0), 0);
    for pipe in &mut pipes {
        pipe.write_all(&[b'x'; 4000]).unwrap();
    }
    rig.capture.write_main(b"the end\n".to_vec());
    // The pipes stay open.
    let (whole, directory) = rig.finish();
    assert!(whole);
    for number in 0..40 {
        let log = fs::metadata(directory.path().join(format!("log{number}"))).unwrap();
        assert_eq!(log.len(), 4000);
    }
    let main = fs::read_to_string(directory.path().join("main")).unwrap();
    assert_eq!(main, "the end\n");
    assert!(pipes[0].write_all(b"x").is_err(), "nobody reads any more");
}

#[test]
fn finishing_does_not_wait_for_a_program_that_never_stops_writing() {
    let mut rig = Rig::new();
    let settings = rig.settings("log", 1 << 20, 0);
    let mut pipe = rig.attach_to(stdout("web"), &settings);
    let flood = vec![b'x'; 65_536];
    let writer = std::thread::spawn(move || while pipe.write_all(&flood).is_ok() {});
    rig.settle();
    let begin = Instant::now();
    rig.capture.finish(Duration::from_millis(50));
    assert!(begin.elapsed() < PATIENCE);
    writer.join().unwrap();
}

#[test]
fn a_dropped_handle_ends_the_thread() {
    let mut rig = Rig::new();
    let mut pipe = rig.attach(stdout("web"), "log");
    rig.settle();
    drop(rig);
    let deadline = Instant::now() + PATIENCE;
    while pipe.write_all(b"x").is_ok() {
        assert!(Instant::now() < deadline);
    }
}

#[test]
fn with_nothing_to_do_the_thread_sleeps() {
    let directory = tempfile::tempdir().unwrap();
    let shared = Arc::new(Shared::new().unwrap());
    let theirs = Arc::clone(&shared);
    let (tell, told) = std::sync::mpsc::channel();
    // Not through `Capture`, to learn which thread it is among those of the other tests.
    let thread = std::thread::spawn(move || {
        tell.send(fs::read_link("/proc/thread-self").unwrap())
            .unwrap();
        Worker::new(
            theirs,
            Poller::new().unwrap(),
            Arc::default(),
            nowhere(),
            Inflight::new(None, BUFFER_BYTES).unwrap(),
        )
        .unwrap()
        .run()
    });
    let status = Path::new("/proc").join(told.recv().unwrap()).join("status");
    let mut pipes = Vec::new();
    for number in 0..100 {
        let (pipe, write) = pipe::output().unwrap();
        shared.ask(Command::Attach(Box::new(Attach {
            stream: stdout(&format!("p{number}")),
            pid: pid(),
            pipe,
            health: Arc::default(),
            // One in two has a log in trouble, which is no reason to wake up either.
            path: Some(Arc::from(match number % 2 {
                0 => directory.path().join("log"),
                _ => directory.path().join("nowhere/log"),
            })),
            limits: Limits {
                maxbytes: 10,
                backups: 1,
            },
            options: AttachOptions::default(),
            timestamps: crate::config::model::Timestamps::None,
            feed: None,
            wishes: Wishes::default(),
            restored: None,
        })));
        let mut write = File::from(write);
        write.write_all(b"hello\n").unwrap();
        pipes.push(write);
    }
    let switches = || {
        let text = fs::read_to_string(&status).unwrap();
        let lines = text.lines().filter(|line| line.contains("ctxt_switches"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let asleep = || {
        let text = fs::read_to_string(&status).unwrap();
        text.lines().any(|line| line.starts_with("State:\tS"))
    };
    let answered = |job| {
        shared.ask(Command::Tail {
            job,
            log: LogRef::Main,
            bytes: 1,
        });
        let deadline = Instant::now() + PATIENCE;
        while !shared
            .take_events()
            .iter()
            .any(|event| matches!(event, CaptureEvent::Tailed { job: of, .. } if *of == job))
        {
            assert!(Instant::now() < deadline);
            std::thread::yield_now();
        }
        // It may sleep for a moment on the way, too: until a lock is free, or a disk has answered.
        let (mut seen, mut looks) = (switches(), 0);
        while looks < 50 {
            assert!(Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(1));
            let now = switches();
            looks = if asleep() && now == seen {
                looks + 1
            } else {
                0
            };
            seen = now;
        }
    };
    answered(1);
    let before = switches();
    assert_eq!(before.len(), 2);
    // This is the time that is measured, not one that is waited for.
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(switches(), before);
    answered(2);
    assert_ne!(switches(), before, "the counters count");
    shared.ask(Command::Finish {
        deadline: Instant::now(),
    });
    thread.join().unwrap();
}

/// Prints how fast a flood is written by three loops in the same run: the barest possible, which blocks in `read`; the
/// same with a wait for the pipe before each read, as whoever has more than one pipe must do; and the capture thread.
/// Waiting has a price that is the kernel's: a pipe that is polled wakes its poller at every single write.
///
/// `cargo test --release --lib throughput -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn throughput() {
    const TOTAL: u32 = 1 << 28;
    const ROUNDS: usize = 7;
    fn flood(pipe: OwnedFd, chunk: u32) -> JoinHandle<()> {
        let line = vec![b'x'; usize::try_from(chunk).unwrap()];
        let mut pipe = File::from(pipe);
        std::thread::spawn(move || {
            for _ in 0..TOTAL / chunk {
                pipe.write_all(&line).unwrap();
            }
        })
    }
    fn speed(begin: Instant) -> f64 {
        f64::from(TOTAL) / begin.elapsed().as_secs_f64() / 1e6
    }
    fn bare(path: &Path, chunk: u32, poller: Option<&Poller>) -> f64 {
        let (read, write) = nix::unistd::pipe().unwrap();
        if let Some(poller) = poller {
            poller.add(&read, 0, Interest::READABLE).unwrap();
        }
        let begin = Instant::now();
        let writer = flood(write, chunk);
        let mut options = fs::OpenOptions::new();
        let mut file = options.append(true).create(true).open(path).unwrap();
        let (mut buffer, mut length, mut ready) = (vec![0; 65_536], 0, Vec::new());
        loop {
            if let Some(poller) = poller {
                poller.wait(&mut ready, None).unwrap();
            }
            match nix::unistd::read(&read, &mut buffer).unwrap() {
                0 => break,
                count => {
                    file.write_all(&buffer[..count]).unwrap();
                    length += count;
                }
            }
            if length > 50 << 20 {
                file.set_len(0).unwrap();
                length = 0;
            }
        }
        writer.join().unwrap();
        speed(begin)
    }
    fn captured(path: &Path, chunk: u32) -> f64 {
        let mut rig = Rig::new();
        let pipe = rig.attach_to(stdout("web"), &log(path, 50 << 20, 1));
        rig.settle();
        let begin = Instant::now();
        flood(pipe.into(), chunk).join().unwrap();
        rig.finish();
        speed(begin)
    }
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = |name| directory.path().join(name);
    let poller = Poller::new().unwrap();
    for chunk in [100, 4096, 65_536] {
        let mut rounds: Vec<[f64; 3]> = (0..ROUNDS)
            .map(|_| {
                [
                    bare(&path("bare"), chunk, None),
                    bare(&path("waiting"), chunk, Some(&poller)),
                    captured(&path("log"), chunk),
                ]
            })
            .collect();
        let [bare, waiting, ours] = [0, 1, 2].map(|column| {
            rounds.sort_by(|a, b| a[column].total_cmp(&b[column]));
            rounds[ROUNDS / 2][column]
        });
        eprintln!(
            "writes of {chunk:5} bytes, medians in MB/s: bare {bare:5.0}, waiting {waiting:5.0}, capture {ours:5.0}"
        );
    }
}

/// What the thread and its handle keep for one stream, besides the path and the names, is bounded.
#[test]
fn a_stream_costs_a_few_hundred_bytes() {
    let sizes = [
        size_of::<stream::Source>(),
        size_of::<file::LogFile>(),
        size_of::<Health>(),
        // The handle and the thread each find a stream by its name.
        2 * size_of::<StreamId>(),
    ];
    let total: usize = sizes.iter().sum();
    assert!(total <= 400, "{sizes:?}");
}
