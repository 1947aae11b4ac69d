//! B.3: many clients, slow ones, odd ones, and several that want different things at the same time.

use super::closing::Scene;
use super::tools;
use crate::harness::{Client, Daemon, Sandbox, body, framed, proc, wait};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{IoSlice, Read, Write};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};
use taskmaster::wire::{Refusal, Request, RequestFrame, Response};

/// One program that runs.
const ONE: &str = "[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n";

fn running() -> Scene {
    let scene = Scene::with(ONE);
    scene.wait_state("web", "RUNNING");
    scene
}

#[test]
fn a_thousand_clients_are_served_and_the_next_are_told_that_it_is_busy() {
    let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    if soft < 4000 {
        eprintln!("passed over: the tests may open only {soft} files");
        return;
    }
    let scene = running();
    let mut clients = Vec::new();
    let mut busy = 0;
    for _ in 0..1100 {
        // Who is not let in may find the connection closed before it has said a word.
        let answer = Client::connect(&scene.sandbox.socket_path()).and_then(|mut client| {
            let answer = client.ask(Request::Version)?;
            Ok((client, answer))
        });
        match answer {
            Ok((client, Response::Version(_))) => clients.push(client),
            Ok((_, Response::Refused(Refusal::Busy))) | Err(_) => busy += 1,
            Ok((_, other)) => panic!("{other:?}"),
        }
    }
    assert_eq!((clients.len(), busy), (1024, 76));
    scene.ctl("version").mentions("too many clients");
    // All of them at once, and one after the other has its answer soon.
    let mut slow = Vec::new();
    for client in &mut clients {
        client.send(Request::Status { targets: vec![] }).unwrap();
    }
    for client in &mut clients {
        let (answer, took) = wait::timed(|| client.ask(Request::Status { targets: vec![] }));
        assert!(matches!(answer, Ok(Response::Status(_))));
        if took >= wait::scaled(Duration::from_secs(2)) {
            slow.push(took);
        }
    }
    // The machine may hold up a few, whoever they are.
    assert!(slow.len() <= clients.len() / 100, "{slow:?}");
    drop(clients);
    wait::for_condition("service for others", || scene.try_names().is_some());
    scene.close();
}

#[test]
fn who_never_finishes_a_frame_holds_up_nobody_and_is_cut_off() {
    let scene = running();
    let path = scene.sandbox.socket_path();
    // Before the greeting and after it.
    let mut streams: Vec<_> = (0..100).map(|_| Client::open(&path).unwrap()).collect();
    streams.extend((0..99).map(|_| scene.client().stream));
    let begin = Instant::now();
    streams.push(scene.client().stream);
    for stream in &mut streams {
        stream.write_all(&[0, 0, 1]).unwrap();
    }
    wait::quickly("a status", Duration::from_secs(1), 20, || scene.rows());
    for mut stream in streams {
        let mut rest = Vec::new();
        // It ends, which it does within the patience of a read.
        if let Err(error) = stream.read_to_end(&mut rest) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        }
    }
    assert!(
        begin.elapsed() > Duration::from_secs(9),
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(scene.count_log("neither reads nor finishes"), 200);
    scene.close();
}

#[test]
fn descriptors_that_a_client_sends_along_are_not_taken() {
    let scene = running();
    let null = File::open("/dev/null").unwrap();
    let many = vec![null.as_raw_fd(); 253];
    for _ in 0..20 {
        let mut client = scene.client();
        let message = framed(&body(&RequestFrame {
            id: 1,
            request: Request::Version,
        }));
        sendmsg::<()>(
            client.stream.as_raw_fd(),
            &[IoSlice::new(&message)],
            &[ControlMessage::ScmRights(&many)],
            MsgFlags::empty(),
            None,
        )
        .unwrap();
        client.receive().unwrap();
        let open = proc::descriptors(scene.process());
        assert!(open < 100, "{open} descriptors");
    }
    scene.close();
}

#[test]
fn a_hundred_thousand_tiny_frames_hold_nobody_up() {
    let scene = running();
    for frame in [framed(&[0xf6]), framed(b"")] {
        let mut client = scene.client();
        let flood = frame.repeat(100_000);
        let sender = {
            let mut stream = client.stream.try_clone().unwrap();
            // It fails when the daemon cuts the connection off, which it may.
            std::thread::spawn(move || stream.write_all(&flood).is_ok())
        };
        wait::quickly("a status", Duration::from_secs(1), 10, || scene.rows());
        let mut answers = [0; 16384];
        while let Ok(count) = client.stream.read(&mut answers) {
            if count == 0 {
                break;
            }
            if sender.is_finished() {
                client
                    .stream
                    .set_read_timeout(Some(Duration::from_millis(200)))
                    .unwrap();
            }
        }
        drop(client);
        sender.join().unwrap();
    }
    assert_eq!(scene.state("web"), "RUNNING");
    scene.close();
}

#[test]
fn input_for_a_program_that_never_reads_is_refused_in_the_end_and_blocks_nobody() {
    let scene = running();
    let mut client = scene.client();
    let refused = wait::until("a refusal", || {
        let answer = client
            .ask(Request::Input {
                target: "web".to_owned(),
                data: vec![b'x'; 60_000],
            })
            .unwrap();
        let text = format!("{answer:?}");
        (!text.contains("InputSent")).then_some(text)
    });
    assert!(refused.contains("Failed"), "{refused}");
    assert_eq!(scene.state("web"), "RUNNING");
    scene.ctl("restart web").code(0);
    drop(client);
    scene.close();
}

#[test]
fn an_impostors_socket_is_not_spoken_to() {
    if !tools::root() {
        return;
    }
    let sandbox = Sandbox::new();
    for name in ["run", "log"] {
        std::os::unix::fs::chown(sandbox.path(name), Some(65534), Some(65534)).unwrap();
    }
    sandbox.copied_as("taskmasterd");
    let scene = Scene::of(
        Daemon::builder()
            .via(&[
                "setpriv",
                "--reuid",
                "65534",
                "--regid",
                "65534",
                "--clear-groups",
            ])
            .called_as("taskmasterd")
            .config("[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n")
            .start_in(sandbox),
    );
    scene.wait_state("web", "RUNNING");
    // Root's console, whose own file names a socket that somebody else serves.
    let elsewhere = Sandbox::new();
    let socket = scene.sandbox.socket_path();
    let file = elsewhere.write(
        "own.ini",
        &format!("[taskmasterctl]\nserverurl={}\n", socket.display()),
    );
    let said = elsewhere.taskmaster(&["ctl", "-c", &file.display().to_string(), "stop", "web"]);
    assert_ne!(said.code, 0, "{said:?}");
    said.mentions("not trusted");
    assert_eq!(scene.state("web"), "RUNNING");
    // Who names the socket itself has decided.
    scene.close();
}

/// Numbers without a pattern, the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

fn several(copies: usize) -> String {
    format!(
        "[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\nnumprocs={copies}\nstopwaitsecs=1\n\
         [program.db]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\nstartretries=3\n\
         [program.flash]\ncommand=/bin/sh -c 'exit 1'\nautostart=true\nstartsecs=1\nstartretries=2\n"
    )
}

/// Names of processes with the pids of those who carry them.
fn carriers(tag: &str) -> BTreeMap<String, Vec<i32>> {
    let mut names: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for process in proc::tagged(tag) {
        let Ok(environment) = fs::read(format!("/proc/{}/environ", process.pid)) else {
            continue;
        };
        let name = String::from_utf8_lossy(&environment)
            .split('\0')
            .find_map(|word| {
                word.strip_prefix("TASKMASTER_PROCESS_NAME=")
                    .map(str::to_owned)
            });
        if let Some(name) = name {
            names.entry(name).or_default().push(process.pid);
        }
    }
    names
}

/// Asks for eighty things at random.
fn want_odd_things(mut client: Client, seed: u64) {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
    for _ in 0..80 {
        let names = ["web", "web:0", "db", "flash", "web:9", "all"];
        let target = names[usize::try_from(dice.roll(6)).unwrap()].to_owned();
        let groups = vec![target.split(':').next().unwrap().to_owned()];
        let targets = vec![target];
        let wait = dice.roll(3) > 0;
        let request = match dice.roll(9) {
            0 => Request::Start { targets, wait },
            1 => Request::Stop { targets, wait },
            2 => Request::Restart { targets, wait },
            3 => Request::Update { groups: vec![] },
            4 => Request::Reread,
            5 => Request::Remove { groups },
            6 => Request::Add { groups },
            7 => Request::Signal {
                targets,
                signal: "KILL".to_owned(),
            },
            _ => Request::Status { targets: vec![] },
        };
        // Whatever it is: an answer, and in time.
        client.ask(request).unwrap();
    }
}

#[test]
fn clients_that_want_different_things_get_their_answers_and_never_two_copies() {
    let scene = Scene::with(&several(3));
    let clients: Vec<_> = (1..=4)
        .map(|seed| {
            let client = scene.client();
            std::thread::spawn(move || want_odd_things(client, seed))
        })
        .collect();
    let mut twice = Vec::new();
    let mut copies = 3;
    while !clients.iter().all(std::thread::JoinHandle::is_finished) {
        // The file changes under their hands.
        copies = 13 - copies;
        scene.edit_config(&several(copies));
        for _ in 0..5 {
            for (name, pids) in carriers(&scene.sandbox.tag()) {
                // One may have ended while the others were looked at.
                if pids.iter().filter(|&&pid| proc::is_alive(pid)).count() > 1 {
                    twice.push((name, pids));
                }
            }
            std::thread::sleep(Duration::from_millis(4));
        }
    }
    for client in clients {
        client.join().unwrap();
    }
    assert_eq!(twice, []);
    // Whatever happened before: the file decides again.
    scene.edit_config(&several(3));
    scene.ctl("update").code(0);
    scene.ctl("start web db");
    wait::for_condition("three and one", || {
        let carriers = carriers(&scene.sandbox.tag());
        carriers.len() == 4 && carriers.values().all(|pids| pids.len() == 1)
    });
    scene.close();
}

#[test]
fn two_updates_at_once_end_in_what_the_file_says() {
    let scene = Scene::with(&several(2));
    for round in 0..6 {
        scene.edit_config(&several(if round % 2 == 0 { 5 } else { 2 }));
        let updates: Vec<_> = (0..2)
            .map(|_| {
                let mut client = scene.client();
                std::thread::spawn(move || client.ask(Request::Update { groups: vec![] }).unwrap())
            })
            .collect();
        for update in updates {
            let answer = update.join().unwrap();
            assert!(matches!(answer, Response::Changes(_)), "{answer:?}");
        }
        let expected = if round % 2 == 0 { 7 } else { 4 };
        assert_eq!(scene.rows().len(), expected);
    }
    scene
        .ctl("reread")
        .is(0, "No config updates to processes\n");
    scene.close();
}
