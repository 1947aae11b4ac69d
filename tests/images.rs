//! Three containers after the pattern of public images, with the files below `tests/images`, in Supervisor's dialect. The
//! programs are stand-ins that say when they begin and end.
//!
//! Each is process 1 of namespaces of its own: as root with a file system that can be written, or as a user without an
//! account and without capabilities, where nothing can.

use crate::harness::{Sandbox, proc, wait};
use crate::init::{Container, can_contain};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A server that ends when it is asked to.
const SERVER: &str =
    "trap 'echo down; exit 0' TERM QUIT\necho up\nwhile :; do sleep 1000 & wait $!; done\n";
/// One that hears that it is to end, and does not.
const BUSY: &str = "trap 'echo busy' TERM\necho up\nwhile :; do sleep 0.05; done\n";

/// Who runs the container, and on what.
#[derive(Clone, Copy, PartialEq)]
enum As {
    Root,
    /// A number that is nobody's account, on a file system that is read-only.
    Nobody,
}

/// A container that runs, and the files there were before.
struct Image {
    container: Container,
    files: BTreeSet<PathBuf>,
}

/// Every file of the sandbox but the container's output.
fn files(directory: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        }
        if !path.ends_with("stdout") && !path.ends_with("stderr") {
            found.insert(path);
        }
    }
    found
}

impl Image {
    /// `edit` changes the file, `programs` are the stand-ins by name; `None` where namespaces cannot be made.
    fn start(
        name: &str,
        edit: impl Fn(&str) -> String,
        programs: &[(&str, &str)],
        user: As,
    ) -> Option<Self> {
        if !can_contain() {
            return None;
        }
        let sandbox = Sandbox::new();
        sandbox.set_mode("", 0o755);
        for (program, text) in programs {
            sandbox.write_program(&format!("bin/{program}"), &format!("#!/bin/sh\n{text}"));
        }
        let text = fs::read_to_string(format!(
            "{}/tests/images/{name}.conf",
            env!("CARGO_MANIFEST_DIR")
        ))
        .unwrap();
        sandbox.write("supervisord.conf", &edit(&text));
        let copy = sandbox.copied_as("taskmaster").display().to_string();
        let before = files(sandbox.dir());
        let mut prepare = format!(
            "export PATH=$DIR/bin:$PATH PORT=8080\nmount --make-rprivate /\n{}",
            Self::own_tmp(sandbox.dir())
        );
        let mut words =
            format!("{copy} daemon -c $DIR/supervisord.conf --container --loglevel info");
        match user {
            As::Root => prepare.push_str("mount --bind $DIR/run /run\n"),
            As::Nobody => {
                prepare.push_str(
                    "mkdir -p /dev/shm\nmount -t tmpfs -o mode=1777 tmpfs /dev/shm\n\
                     mount -t tmpfs -o ro tmpfs /run\n\
                     mount -o remount,ro /tmp\nmount -o remount,bind,ro $DIR\n",
                );
                words = format!(
                    "setpriv --reuid 54321 --regid 54321 --clear-groups --bounding-set -all {words}"
                );
            }
        }
        Some(Self {
            container: Container::start(sandbox, &prepare, &words),
            files: before,
        })
    }

    /// A `/tmp` with nothing in it but the sandbox, if that is there: daemons without a socket of their own meet there.
    fn own_tmp(sandbox: &Path) -> String {
        let place = sandbox
            .strip_prefix("/tmp")
            .unwrap_or(Path::new("elsewhere"));
        format!(
            "mount -t tmpfs -o mode=1777 tmpfs /mnt\nmkdir -p /mnt/{place}\nmount --bind $DIR /mnt/{place}\n\
             mount --move /mnt /tmp\nmount --bind $DIR $DIR\n",
            place = place.display()
        )
    }

    fn stdout(&self) -> String {
        self.container.sandbox.read("stdout")
    }

    fn log(&self) -> String {
        self.container.sandbox.read("stderr")
    }

    /// Waits until these programs, and nobody else, have said that they are up.
    #[track_caller]
    fn wait_up(&self, names: &[&str]) {
        wait::for_condition(format!("{names:?} to be up"), || {
            names.iter().all(|name| self.says(name, "up"))
        });
        assert_eq!(self.stdout().matches("| up\n").count(), names.len());
    }

    /// Whether a line of a program's output is this text, after the column of its name.
    fn says(&self, name: &str, text: &str) -> bool {
        self.stdout().lines().any(|line| {
            let line = line
                .split_once('|')
                .map(|(name, text)| (name.trim(), text.trim()));
            line.is_some_and(|(who, what)| who.rsplit(':').next() == Some(name) && what == text)
        })
    }

    /// The pid of a program, as it is seen from outside.
    fn pid(&self, command: &str) -> i32 {
        wait::until(format!("a process of {command}"), || {
            let init = self.container.init;
            let mut children = proc::all().into_iter().filter(|it| it.parent == init);
            let found =
                children.find(|it| proc::command_line(it.pid).contains(&format!("bin/{command}")));
            found.map(|it| it.pid)
        })
    }

    fn signal(&self, signal: Signal) {
        self.container.signal(signal);
    }

    /// Waits for the end, with this exit status, and demands that no process and no file is left.
    #[track_caller]
    fn ends(&mut self, status: i32) {
        assert_eq!(self.container.wait_exit(), Some(status), "{}", self.log());
        let sandbox = &self.container.sandbox;
        wait::for_condition("all processes to be gone", || {
            proc::tagged(&sandbox.tag()).is_empty()
        });
        assert_eq!(files(sandbox.dir()), self.files, "files are left, or gone");
        let log = self.log();
        assert!(!log.contains("bug:") && !log.contains("panicked"), "{log}");
    }

    /// Demands that the log tells of these things in this order.
    #[track_caller]
    fn in_order(&self, texts: &[String]) {
        let mut from = 0;
        for text in texts {
            // A program may be up before the line about it is written.
            let what = format!("{text:?} where it should be:\n{}", self.log());
            from = wait::until(what, || {
                let log = self.log();
                log[from..]
                    .find(text.as_str())
                    .map(|at| from + at + text.len())
            });
        }
    }

    /// When the log told something, in milliseconds of its day.
    #[track_caller]
    fn when(&self, text: &str) -> u64 {
        let log = self.log();
        let line = log.lines().find(|line| line.contains(text));
        let line = line.unwrap_or_else(|| panic!("no {text:?}:\n{log}"));
        let numbers = line.split(' ').find(|word| word.contains(',')).unwrap();
        let numbers: Vec<u64> = numbers
            .split([':', ','])
            .map(|number| number.parse().unwrap())
            .collect();
        ((numbers[0] * 60 + numbers[1]) * 60 + numbers[2]) * 1000 + numbers[3]
    }

    /// Demands that one thing came so many milliseconds after the other, or later.
    #[track_caller]
    fn not_before(&self, milliseconds: u64, first: &str, then: &str) {
        const DAY: u64 = 24 * 60 * 60 * 1000;
        let passed = (self.when(then) + DAY - self.when(first)) % DAY;
        // The log rounds down, each time for itself.
        assert!(passed + 1 >= milliseconds, "{passed} ms:\n{}", self.log());
    }
}

fn as_it_is(text: &str) -> String {
    text.to_owned()
}

/// No end has a time that matters.
fn patient(text: &str) -> String {
    text.replace("shutdown_timeout=2", "shutdown_timeout=3600")
}

fn spawned(name: &str) -> String {
    format!("spawned: '{name}'")
}

fn stopped(name: &str) -> String {
    format!("stopped: {name} (")
}

/// A list of what becomes of programs, in order.
fn each(names: &[&str], word: fn(&str) -> String) -> Vec<String> {
    names.iter().map(|name| word(name)).collect()
}

const PAIR: &[(&str, &str)] = &[("nginx", SERVER), ("php-fpm", SERVER)];
const TRIO: &[(&str, &str)] = &[("app", SERVER), ("worker", BUSY), ("cron", SERVER)];
const DESKTOP: &[(&str, &str)] = &[
    ("Xvfb", SERVER),
    ("fluxbox", SERVER),
    ("x11vnc", BUSY),
    ("websockify", SERVER),
];
const TRIO_UP: &[&str] = &["app", "worker_00", "worker_01", "worker_02", "cron"];
const CHAIN: [&str; 4] = ["xvfb", "fluxbox", "x11vnc", "websockify"];

#[test]
fn the_files_are_clean_where_their_programs_are() {
    let sandbox = Sandbox::new();
    for (program, text) in [PAIR, TRIO, DESKTOP].concat() {
        sandbox.write_program(&format!("bin/{program}"), &format!("#!/bin/sh\n{text}"));
    }
    for (name, code, told) in [
        // What only this daemon has nothing for.
        ("pair", 1, "[rpcinterface:supervisor] is not supported"),
        ("trio", 0, "OK"),
        ("desktop", 0, "OK"),
    ] {
        let mut command = sandbox.command(Sandbox::executable());
        let path = format!("{}:/usr/bin:/bin", sandbox.path("bin").display());
        command
            .args(["check-config", "--strict"])
            .arg(format!(
                "{}/tests/images/{name}.conf",
                env!("CARGO_MANIFEST_DIR")
            ))
            .env("PATH", path)
            .env("PORT", "8080");
        let said = sandbox.finish(command, "");
        said.code(code).mentions(told);
        assert_eq!(
            said.stderr.matches("warning[").count(),
            usize::from(code != 0),
            "{said:?}"
        );
    }
}

#[test]
fn a_pair_starts_and_stops_by_priority_and_a_server_that_dies_comes_back() {
    let Some(mut image) = Image::start("pair", as_it_is, PAIR, As::Root) else {
        return;
    };
    image.wait_up(&["php-fpm", "nginx"]);
    image.in_order(&each(&["php-fpm", "nginx"], spawned));
    kill(Pid::from_raw(image.pid("nginx")), Signal::SIGKILL).unwrap();
    wait::for_condition("a second life", || {
        image.stdout().matches("| up\n").count() == 3
    });
    assert_eq!(proc::zombies_of(image.container.init), []);
    // The socket that the file names is there, and the file's pid as well.
    let run = image.container.sandbox.path("run");
    assert!(run.join("supervisor.sock").exists());
    assert_eq!(
        fs::read_to_string(run.join("supervisord.pid")).unwrap(),
        "1\n"
    );
    image.signal(Signal::SIGTERM);
    image.ends(0);
    image.in_order(&each(&["nginx", "php-fpm"], stopped));
    assert!(image.says("nginx", "down") && image.says("php-fpm", "down"));
}

#[test]
fn a_server_that_cannot_come_up_is_the_end_of_the_pair() {
    let programs = [
        ("nginx", "echo 'bind() to 0.0.0.0:80 failed' >&2\nexit 7\n"),
        PAIR[1],
    ];
    // However late the machine lets it fail.
    let early = |text: &str| text.replace("startretries=1", "startretries=1\nstartsecs=600");
    let Some(mut image) = Image::start("pair", early, &programs, As::Root) else {
        return;
    };
    image.ends(7);
    image.in_order(&[
        spawned("php-fpm"),
        "gave up: nginx entered FATAL state".to_owned(),
        "nginx is FATAL (exit status 7): shutting down with status 7, as exit_when=essential-failed asks"
            .to_owned(),
        stopped("php-fpm"),
    ]);
    // It was tried again once, a second later, and what it said is told with its name.
    let log = image.log();
    assert_eq!(
        log.matches("bind() to 0.0.0.0:80 failed").count(),
        2,
        "{log}"
    );
    assert!(
        log.contains("nginx   ! bind()") || log.contains("nginx ! bind()"),
        "{log}"
    );
    image.not_before(1000, "exited: nginx", "gave up: nginx");
}

#[test]
fn a_job_under_way_is_killed_when_the_time_of_the_container_is_up() {
    // Long enough for the jobs to hear of it on any machine.
    let longer = |text: &str| text.replace("shutdown_timeout=2", "shutdown_timeout=4");
    for user in [As::Root, As::Nobody] {
        let Some(mut image) = Image::start("trio", longer, TRIO, user) else {
            return;
        };
        image.wait_up(TRIO_UP);
        image.in_order(&each(&["cron", "app"], spawned));
        image.signal(Signal::SIGTERM);
        image.ends(0);
        // Not killed at once, and not after its hour.
        let over = "the shutdown has reached shutdown_timeout";
        image.not_before(3000, "received SIGTERM", over);
        image.in_order(&[over.to_owned(), "stopped: worker:worker_0".to_owned()]);
        assert!(image.says("worker_00", "busy"), "{}", image.stdout());
        // The one with the lowest priority came first, and goes last.
        image.in_order(&[stopped("app"), stopped("cron")]);
    }
}

#[test]
fn a_second_request_to_end_waits_for_no_job() {
    let Some(mut image) = Image::start("trio", patient, TRIO, As::Nobody) else {
        return;
    };
    image.wait_up(TRIO_UP);
    image.signal(Signal::SIGTERM);
    wait::for_condition("the jobs to be asked", || image.says("worker_02", "busy"));
    image.signal(Signal::SIGTERM);
    image.ends(0);
    assert!(!image.log().contains("has reached shutdown_timeout"));
    image.in_order(&["killing 'worker:worker_0".to_owned(), stopped("cron")]);
}

#[test]
fn the_end_of_the_application_is_that_of_the_trio() {
    let app = "echo up\nuntil [ -e ${0%/*}/../out/go ]; do sleep 0.05; done\necho 'no database' >&2\nexit 3\n";
    let programs = [("app", app), ("worker", SERVER), ("cron", SERVER)];
    for user in [As::Root, As::Nobody] {
        let Some(mut image) = Image::start("trio", patient, &programs, user) else {
            return;
        };
        image.wait_up(TRIO_UP);
        image.container.sandbox.write("out/go", "");
        image.files.insert(image.container.sandbox.path("out/go"));
        image.ends(3);
        image.in_order(&[
            "app has ended (exit status 3): shutting down with status 3, as exit_when=essential-failed asks"
                .to_owned(),
            stopped("worker:worker_00"),
            stopped("cron"),
        ]);
        assert!(image.says("app", "no database"), "{}", image.stdout());
        assert!(image.says("worker_01", "down"), "{}", image.stdout());
    }
}

#[test]
fn a_chain_ends_in_the_order_in_which_it_was_made_turned_round() {
    // Long enough for the third to hear of it on any machine.
    let longer = |text: &str| text.replace("stopwaitsecs=1\n", "stopwaitsecs=4\n");
    for user in [As::Root, As::Nobody] {
        let Some(mut image) = Image::start("desktop", longer, DESKTOP, user) else {
            return;
        };
        image.wait_up(&CHAIN);
        image.in_order(&each(&CHAIN, spawned));
        image.signal(Signal::SIGTERM);
        image.ends(0);
        // The third hears nothing, so it is killed when its time is up, and not before.
        image.not_before(4000, "stopped: websockify", "killing 'x11vnc'");
        let mut back = CHAIN;
        back.reverse();
        image.in_order(&each(&back, stopped));
        assert!(image.says("x11vnc", "busy"), "{}", image.stdout());
    }
}

#[test]
fn what_the_file_wants_written_where_nothing_can_be_is_told_and_done_without() {
    let wants = |text: &str| {
        text.replace(
            "logfile=/dev/null",
            "logfile=/run/supervisord.log\npidfile=/run/supervisord.pid",
        ) + "[unix_http_server]\nfile=/run/supervisor.sock\n"
    };
    let programs = [("app", SERVER), ("worker", SERVER), ("cron", SERVER)];
    let Some(mut image) = Image::start("trio", wants, &programs, As::Nobody) else {
        return;
    };
    image.wait_up(TRIO_UP);
    wait::for_condition("the trouble to be told", || {
        let log = image.log();
        [
            "cannot open /run/supervisor.sock.lock: Read-only file system",
            "cannot write pid file /run/supervisord.pid: Read-only file system",
            "can't write /run/supervisord.log: Read-only file system",
        ]
        .iter()
        .all(|told| log.contains(told))
    });
    image.signal(Signal::SIGTERM);
    image.ends(0);
}

#[test]
fn without_its_display_the_chain_is_over() {
    // Which many files have, and which must not become a file.
    let device = |text: &str| text.replace("[supervisord]", "[supervisord]\npidfile=/dev/null");
    let Some(mut image) = Image::start("desktop", device, DESKTOP, As::Nobody) else {
        return;
    };
    image.wait_up(&CHAIN);
    assert!(!image.log().contains("pid file"), "{}", image.log());
    kill(Pid::from_raw(image.pid("Xvfb")), Signal::SIGKILL).unwrap();
    image.ends(128 + 9);
    image.in_order(&[
        "xvfb has ended (terminated by SIGKILL): shutting down with status 137".to_owned(),
        stopped("websockify"),
        stopped("x11vnc"),
        stopped("fluxbox"),
    ]);
}
