//! Logs that are pipes, and readers of them that are slow or dead.

use super::*;

/// A FIFO with a reader that has not read yet.
fn fifo(rig: &Rig) -> File {
    let path = rig.path("fifo");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    let mut options = fs::OpenOptions::new();
    // With a writer of its own, so that opening does not wait and reading does.
    options.read(true).write(true).open(path).unwrap()
}

#[test]
fn a_slow_reader_holds_back_those_who_write_to_it_and_nobody_else() {
    let mut rig = Rig::new();
    let mut reader = fifo(&rig);
    let text = numbered_lines("a", 20_000);
    let mut slow = rig.attach(stdout("slow"), "fifo");
    let writer = std::thread::spawn({
        let text = text.clone();
        move || slow.write_all(text.as_bytes()).unwrap()
    });
    // All the while, another stream flows.
    let mut other = rig.attach(stdout("other"), "log");
    let (mut got, mut buffer) = (Vec::<u8>::new(), vec![0; 40_000]);
    while got.len() < text.len() {
        let length = rig.read("log").len();
        other.write_all(b"line\n").unwrap();
        rig.settle();
        assert_eq!(rig.read("log").len(), length + 5);
        let count = io::Read::read(&mut reader, &mut buffer).unwrap();
        got.extend(&buffer[..count]);
    }
    writer.join().unwrap();
    assert!(got == text.as_bytes());
    assert_eq!(rig.health(&stdout("slow")), LogHealth::default());
    assert!(rig.events.is_empty(), "{:?}", rig.events);
}

#[test]
fn a_reader_that_never_reads_is_given_up_and_the_program_goes_on() {
    let mut rig = Rig::new();
    let mut reader = fifo(&rig);
    let mut pipe = rig.attach(stdout("web"), "fifo");
    let total = 1 << 20;
    let writer = std::thread::spawn(move || {
        pipe.write_all(&vec![b'x'; total]).unwrap();
        pipe
    });
    let errno = rig.wait(|event| match event {
        CaptureEvent::LogTrouble { errno, .. } => Some(*errno),
        _ => None,
    });
    assert_eq!(errno, libc::EAGAIN);
    let mut pipe = writer.join().unwrap();
    rig.settle();
    let lost = usize::try_from(rig.health(&stdout("web")).lost).unwrap();
    let mut got = vec![0; total - lost];
    io::Read::read_exact(&mut reader, &mut got).unwrap();
    // Now that there is room, what comes next says what is missing.
    let deadline = Instant::now() + PATIENCE;
    while rig.health(&stdout("web")).errno.is_some() {
        assert!(Instant::now() < deadline);
        let pause = Duration::from_millis(20);
        rig.poller.wait(&mut Vec::new(), Some(pause)).unwrap();
        pipe.write_all(b"y").unwrap();
        rig.settle();
    }
    let lost = rig.health(&stdout("web")).lost;
    let expected = format!("\n[taskmaster: {lost} bytes lost]\ny");
    let mut got = vec![0; expected.len()];
    io::Read::read_exact(&mut reader, &mut got).unwrap();
    assert_eq!(String::from_utf8(got).unwrap(), expected);
}

#[test]
fn finishing_waits_for_a_slow_reader_but_not_for_one_that_never_reads() {
    for reads in [true, false] {
        let mut rig = Rig::new();
        let mut reader = fifo(&rig);
        let settings = rig.settings("fifo", 0, 0);
        let mut pipe = rig.attach_to(stdout("web"), &settings);
        // As much as FIFO, thread and pipe hold together is more than the FIFO alone.
        for _ in 0..2 {
            pipe.write_all(&vec![b'x'; 50_000]).unwrap();
            rig.settle();
        }
        let (begin, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let reads = told.recv().unwrap_or(false);
            if reads {
                io::Read::read_exact(&mut reader, &mut vec![0; 100_000]).unwrap();
            }
            // Being there is all that this reader does.
            told.recv().unwrap_err();
        });
        begin.send(reads).unwrap();
        let deadline = Duration::from_millis(if reads { 60_000 } else { 50 });
        assert_eq!(rig.capture.finish(deadline), reads);
        drop(begin);
        thread.join().unwrap();
    }
}
