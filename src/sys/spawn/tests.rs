mod failures;
mod roads;

use super::child::{mark_one_by_one, push_number};
use super::*;
use crate::sys::testing::{alone, await_end, fork_child, in_fork, is_root, until};
use crate::sys::{kill, proc, reap};
use crate::types::{ExitStatus, Signal};
use nix::fcntl::FdFlag;
use nix::sys::resource::getrlimit;
use nix::sys::signal::{SigSet, Signal as StandardSignal};
use nix::unistd::{getegid, geteuid, getgroups, write};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsFd, IntoRawFd};
use std::path::Path;
use std::process::Command;

/// A specification that owns its parts. Standard input is `/dev/null`.
struct Start {
    argv: Vec<CString>,
    envp: Vec<CString>,
    directory: Option<CString>,
    umask: u32,
    identity: Option<Identity>,
    limits: Vec<(Resource, u64, u64)>,
    journal: Option<(File, Vec<u8>)>,
    may_hang: bool,
}

fn text(text: impl Into<Vec<u8>>) -> CString {
    CString::new(text).unwrap()
}

impl Start {
    fn new(argv: &[&str]) -> Self {
        Self {
            argv: argv.iter().map(|&word| text(word)).collect(),
            envp: vec![text("PATH=/usr/bin:/bin"), text("LC_ALL=C")],
            directory: None,
            umask: 0o022,
            identity: None,
            limits: Vec::new(),
            journal: None,
            may_hang: false,
        }
    }

    fn spawn(&self, stdout: BorrowedFd<'_>) -> Spawned {
        let null = File::open("/dev/null").unwrap();
        let mut maker = Spawner::new().unwrap();
        let made = maker.spawn(&SpawnSpec {
            program: &self.argv[0],
            argv: &self.argv,
            envp: &self.envp,
            directory: self.directory.as_deref(),
            umask: self.umask,
            identity: self.identity.as_ref(),
            limits: &self.limits,
            stdin: null.as_fd(),
            stdout,
            stderr: stdout,
            journal: self.journal.as_ref().map(|(file, prefix)| Journal {
                file: file.as_fd(),
                prefix,
            }),
            may_hang: self.may_hang,
        });
        made.unwrap()
    }

    /// The same on each of the two roads.
    fn on_both_roads(&self) -> [Self; 2] {
        [false, true].map(|may_hang| Self {
            argv: self.argv.clone(),
            envp: self.envp.clone(),
            directory: self.directory.clone(),
            identity: self.identity.clone(),
            limits: self.limits.clone(),
            journal: self
                .journal
                .as_ref()
                .map(|(file, prefix)| (file.try_clone().unwrap(), prefix.clone())),
            may_hang,
            ..*self
        })
    }

    /// What it writes to either output until its end, on both roads.
    fn output(&self) -> String {
        let [(_, quick), (_, forked)] = self.on_both_roads().map(|start| start.run());
        assert_eq!(quick, forked);
        quick
    }

    /// Runs it to its end; its pid, and what it wrote to either output.
    fn run(&self) -> (Pid, String) {
        let (read, stdout) = pipe2(OFlag::O_CLOEXEC).unwrap();
        let spawned = self.spawn(stdout.as_fd());
        drop(stdout);
        let mut output = String::new();
        File::from(read).read_to_string(&mut output).unwrap();
        assert_eq!(settled(&spawned), ExecStatus::Executed);
        assert_eq!(end_of(&spawned), ExitStatus::Code(0), "{output}");
        (spawned.pid, output)
    }

    /// The step at which it fails on both roads, and why.
    fn failure(&self) -> (Step, Errno) {
        let [quick, forked] = self.on_both_roads().map(|start| start.fail());
        assert_eq!(quick, forked);
        quick
    }

    fn fail(&self) -> (Step, Errno) {
        let null = File::options().write(true).open("/dev/null").unwrap();
        let spawned = self.spawn(null.as_fd());
        let status = settled(&spawned);
        assert_eq!(end_of(&spawned), ExitStatus::Code(127));
        match status {
            ExecStatus::Failed { step, errno } => (step, errno),
            ExecStatus::Pending | ExecStatus::Executed => panic!("{status:?}"),
        }
    }
}

/// Starts a program with one descriptor for all three, and nothing else.
fn minimal(
    maker: &mut Spawner,
    program: &CStr,
    standard: BorrowedFd<'_>,
    may_hang: bool,
) -> Result<Spawned, SpawnError> {
    maker.spawn(&SpawnSpec {
        program,
        argv: &[program.to_owned()],
        envp: &[],
        directory: None,
        umask: 0o022,
        identity: None,
        limits: &[],
        stdin: standard,
        stdout: standard,
        stderr: standard,
        journal: None,
        may_hang,
    })
}

fn settled(spawned: &Spawned) -> ExecStatus {
    let pipe = match &spawned.status {
        Status::Settled(told) => return *told,
        Status::Awaited(pipe) => pipe,
    };
    let mut status = ExecStatus::Pending;
    until("the execution is over", || {
        status = exec_status(pipe.as_fd());
        status != ExecStatus::Pending
    });
    status
}

fn end_of(spawned: &Spawned) -> ExitStatus {
    let status = await_end(spawned.pid);
    assert_eq!(reap::collect(spawned.pid), Some(status));
    status
}

/// The lines of `/proc/PID/status` by their names.
fn fields(status: &str) -> BTreeMap<&str, &str> {
    status
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name, value.trim()))
        .collect()
}

fn temporary() -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().canonicalize().unwrap();
    let path = path.to_str().unwrap().to_owned();
    (directory, path)
}

#[test]
fn the_program_starts_with_a_clean_slate() {
    // A parent that blocks and ignores all it can.
    in_fork(|| {
        for number in 1..=64 {
            // SAFETY: no handler of ours runs.
            unsafe { libc::signal(number, libc::SIG_IGN) };
        }
        // The child signal stays, or the end could not be awaited.
        // SAFETY: no handler of ours runs.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
        SigSet::all().thread_set_mask().map_err(|e| e.to_string())?;
        let mut start = Start::new(&["/bin/cat", "/proc/self/status"]);
        start.umask = 0o137;
        for (pid, output) in start.on_both_roads().map(|start| start.run()) {
            let fields = fields(&output);
            let zero = "0000000000000000";
            let pid_text = pid.to_string();
            for (name, expected) in [
                ("SigBlk", zero),
                ("SigIgn", zero),
                ("SigCgt", zero),
                ("Umask", "0137"),
                ("Threads", "1"),
                ("NSsid", &pid_text),
                ("NSpgid", &pid_text),
            ] {
                if fields.get(name) != Some(&expected) {
                    return Err(format!("{name} is not {expected}: {output}"));
                }
            }
        }
        // And the parent has its mask back.
        let mask = SigSet::thread_get_mask().map_err(|e| e.to_string())?;
        if mask.contains(StandardSignal::SIGTERM) {
            Ok(())
        } else {
            Err("the parent's mask was lost".into())
        }
    });
}

#[test]
fn no_descriptor_but_the_standard_ones_is_passed_on() {
    let open = File::open("/dev/zero").unwrap();
    // SAFETY: duplicates a number; the copies are closed with the test process.
    let stray = unsafe { libc::fcntl(open.as_raw_fd(), libc::F_DUPFD, 100) };
    assert!(stray >= 100);
    let (read, stdout) = pipe2(OFlag::empty()).unwrap();
    let mut start = Start::new(&["/bin/ls", "/proc/self/fd"]);
    let (guard, path) = temporary();
    // The journal's descriptor is of the inheritable kind too.
    let journal = File::create(Path::new(&path).join("journal")).unwrap();
    fcntl(&journal, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
    start.journal = Some((journal, b"x".to_vec()));
    let output = start.output();
    // The fourth is the directory that `ls` reads.
    assert_eq!(output, "0\n1\n2\n3\n");
    let listed: Vec<String> = fs::read_dir("/proc/self/fd")
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(
        listed.contains(&stray.to_string()),
        "the stray one is really there"
    );
    drop((read, stdout, guard));
}

#[test]
fn descriptors_can_be_marked_without_the_kernels_help() {
    let file = File::open("/dev/zero").unwrap();
    let pid = fork_child(|| {
        // SAFETY: duplicates a number.
        let stray = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_DUPFD, 40) };
        // SAFETY: duplicates a number.
        let beyond = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_DUPFD, stray + 1) };
        mark_one_by_one(stray + 1);
        // SAFETY: asks for flags.
        let flags = |number| unsafe { libc::fcntl(number, libc::F_GETFD) };
        i32::from((flags(stray), flags(beyond)) != (libc::FD_CLOEXEC, 0))
    });
    let status = await_end(pid);
    assert_eq!(reap::collect(pid), Some(status));
    assert_eq!(status, ExitStatus::Code(0));
}

#[test]
fn standard_descriptors_may_be_given_in_any_order_and_from_below_three() {
    for may_hang in [false, true] {
        in_fork(|| descriptors_in_any_order(may_hang));
    }
}

fn descriptors_in_any_order(may_hang: bool) -> Result<(), String> {
    let failed = |errno: Errno| errno.to_string();
    let (read_end, out) = pipe2(OFlag::O_CLOEXEC).map_err(failed)?;
    let (input, feed) = pipe2(OFlag::O_CLOEXEC).map_err(failed)?;
    write(&feed, b"in").map_err(failed)?;
    drop(feed);
    // Output becomes this process's 0, input its 1; its 2 is closed, so that the report pipe is given that number.
    let out = out.into_raw_fd();
    let input = input.into_raw_fd();
    for (from, to) in [(out, 0), (input, 1)] {
        // SAFETY: nothing in this fork uses 0 and 1.
        Errno::result(unsafe { libc::dup2(from, to) }).map_err(failed)?;
        // SAFETY: its owner gave it up above.
        Errno::result(unsafe { libc::close(from) }).map_err(failed)?;
    }
    // SAFETY: nothing in this fork uses 2.
    unsafe { libc::close(2) };
    // SAFETY: 0 was opened above.
    let zero = unsafe { BorrowedFd::borrow_raw(0) };
    // SAFETY: 1 was opened above.
    let one = unsafe { BorrowedFd::borrow_raw(1) };
    let argv = ["sh", "-c", "cat; echo err >&2; ls /proc/self/fd"].map(text);
    let mut maker = Spawner::new().map_err(|error| error.to_string())?;
    let spec = SpawnSpec {
        program: c"/bin/sh",
        argv: &argv,
        envp: &[],
        directory: None,
        umask: 0o022,
        identity: None,
        limits: &[],
        stdin: one,
        stdout: zero,
        stderr: zero,
        journal: None,
        may_hang,
    };
    let spawned = maker.spawn(&spec).map_err(|error| error.to_string())?;
    // SAFETY: nothing in this fork uses it any more.
    unsafe { libc::close(0) };
    let mut output = String::new();
    File::from(read_end)
        .read_to_string(&mut output)
        .map_err(|error| error.to_string())?;
    let status = end_of(&spawned);
    if output == "inerr\n0\n1\n2\n3\n" && status == ExitStatus::Code(0) {
        Ok(())
    } else {
        Err(format!("{output:?} {status}"))
    }
}

#[test]
fn the_report_is_read_even_where_its_pipe_is_a_standard_descriptor() {
    alone(|| {
        let mut maker = Spawner::new().unwrap();
        for number in [1, 2] {
            // SAFETY: nothing in this fork uses it any more.
            unsafe { libc::close(number) };
        }
        // SAFETY: 0 is open in every test process.
        let zero = unsafe { BorrowedFd::borrow_raw(0) };
        let spawned = minimal(&mut maker, c"/nonexistent", zero, true).unwrap();
        // The pipe's ends are 1 and 2 now, where the child's outputs belong.
        let Status::Awaited(pipe) = &spawned.status else {
            panic!("{spawned:?}");
        };
        assert_eq!(pipe.as_raw_fd(), 1);
        let expected = ExecStatus::Failed {
            step: Step::Exec,
            errno: Errno::ENOENT,
        };
        assert_eq!(settled(&spawned), expected);
        end_of(&spawned);
    });
}

#[test]
fn environment_arguments_and_directory_are_those_given() {
    let (_guard, path) = temporary();
    let mut start = Start::new(&[
        "/bin/sh",
        "-c",
        "pwd -P; echo \"$0|$1\"; env | sort",
        "a b",
        "",
    ]);
    start.envp = vec![text("A=1"), text("B=x y")];
    start.directory = Some(text(path.as_str()));
    let output = start.output();
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines[..2], [path.as_str(), "a b|"]);
    assert!(
        lines.contains(&"A=1") && lines.contains(&"B=x y"),
        "{output}"
    );
    assert!(
        !output.contains("CARGO"),
        "the parent's environment shows: {output}"
    );
}

#[test]
fn limits_are_set() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let mut start = Start::new(&["/bin/sh", "-c", "ulimit -Sn; ulimit -Hn; ulimit -c"]);
    start.limits = vec![
        (Resource::RLIMIT_NOFILE, 123, 456.min(hard)),
        (Resource::RLIMIT_CORE, 0, 0),
    ];
    let output = start.output();
    assert_eq!(output, format!("123\n{}\n0\n", 456.min(hard)));
    // Soft above hard.
    start.limits = vec![(Resource::RLIMIT_NOFILE, 10, 5)];
    assert_eq!(start.failure(), (Step::Limits, Errno::EINVAL));
}

#[test]
fn the_user_and_all_groups_are_those_given() {
    if !is_root("the_user_and_all_groups_are_those_given") {
        return;
    }
    let mut start = Start::new(&["/bin/cat", "/proc/self/status"]);
    start.identity = Some(Identity {
        uid: 65_534,
        gid: 65_533,
        groups: vec![27, 4, 65_533],
    });
    // Another user is never lent our memory.
    assert!(matches!(
        start.spawn(File::open("/dev/null").unwrap().as_fd()).status,
        Status::Awaited(_)
    ));
    let (_, output) = start.run();
    let fields = fields(&output);
    for (name, expected) in [
        ("Uid", "65534\t65534\t65534\t65534"),
        ("Gid", "65533\t65533\t65533\t65533"),
        ("Groups", "4 27 65533"),
        ("CapEff", "0000000000000000"),
        ("CapPrm", "0000000000000000"),
        ("CapAmb", "0000000000000000"),
    ] {
        assert_eq!(fields.get(name), Some(&expected), "{name}: {output}");
    }
    start.identity = Some(Identity {
        uid: 0,
        gid: 0,
        groups: Vec::new(),
    });
    for (_, output) in start.on_both_roads().map(|start| start.run()) {
        assert!(output.contains("\nGroups:\t \n"), "{output}");
    }
}

#[test]
fn every_child_records_its_birth() {
    let (_guard, path) = temporary();
    let path = Path::new(&path).join("journal");
    let open = || {
        File::options()
            .append(true)
            .create(true)
            .open(&path)
            .unwrap()
    };
    let mut start = Start::new(&["/bin/sleep", "1000"]);
    start.journal = Some((open(), b"web:0 7".to_vec()));
    let null = File::options().write(true).open("/dev/null").unwrap();
    let first = start.spawn(null.as_fd());
    assert_eq!(settled(&first), ExecStatus::Executed);
    let ticks = proc::start_ticks(first.pid).unwrap();
    assert!(proc::survives(first.pid, ticks));
    assert_eq!(proc::session_of(first.pid), Some(first.pid));
    assert_eq!(proc::group_of(first.pid), Some(first.pid));
    // One that fails to execute is recorded as well: until then it was a process.
    let mut second = Start::new(&["/nonexistent"]);
    second.journal = Some((open(), Vec::new()));
    let failed = second.spawn(null.as_fd());
    end_of(&failed);
    let content = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = content.split_terminator('\n').collect();
    assert_eq!(lines[0], format!("web:0 7 {} {ticks}", first.pid));
    let rest = lines[1].strip_prefix(&format!(" {} ", failed.pid)).unwrap();
    assert!(rest.parse::<u64>().unwrap() >= ticks, "{content}");
    assert_eq!(lines.len(), 2);
    kill::group(first.pid, Signal::KILL).unwrap();
    end_of(&first);
}

#[test]
fn the_status_pipe_speaks_of_all_three_outcomes() {
    let make = || {
        let (read, write) = pipe2(OFlag::O_CLOEXEC).unwrap();
        fcntl(&read, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
        (read, write)
    };
    for step in Step::ALL {
        let (status, report) = make();
        assert_eq!(exec_status(status.as_fd()), ExecStatus::Pending);
        write(&report, &encode_report(step, Errno::EACCES).to_ne_bytes()).unwrap();
        let expected = ExecStatus::Failed {
            step,
            errno: Errno::EACCES,
        };
        assert_eq!(exec_status(status.as_fd()), expected);
    }
    let (status, report) = make();
    drop(report);
    // Forks of parallel tests may hold the other end for a moment.
    until("end of file", || {
        exec_status(status.as_fd()) == ExecStatus::Executed
    });
    let (status, report) = make();
    write(&report, b"short").unwrap();
    assert!(matches!(
        exec_status(status.as_fd()),
        ExecStatus::Failed {
            errno: Errno::EPROTO,
            ..
        }
    ));
}

#[test]
fn numbers_and_start_times_are_read_and_written_without_the_library() {
    for number in [0, 7, 10, 99, 100, u64::from(u32::MAX), u64::MAX] {
        let mut buffer = [0; 24];
        let length = push_number(&mut buffer, 0, number);
        assert_eq!(
            std::str::from_utf8(&buffer[..length]),
            Ok(number.to_string().as_str())
        );
    }
    // Too small a buffer loses digits, never memory.
    assert_eq!(push_number(&mut [0; 2], 0, 12_345), 2);
    let own = fs::read("/proc/self/stat").unwrap();
    let pid = Pid::new(nix::unistd::getpid().as_raw()).unwrap();
    assert_eq!(start_ticks_in(&own), proc::start_ticks(pid));
}

#[test]
fn an_own_identity_as_it_is_needs_no_privileges() {
    let mut start = Start::new(&["/usr/bin/id", "-u"]);
    start.identity = Some(Identity {
        uid: geteuid().as_raw(),
        gid: getegid().as_raw(),
        groups: getgroups()
            .unwrap()
            .iter()
            .map(|group| group.as_raw())
            .collect(),
    });
    assert_eq!(start.output(), format!("{}\n", geteuid()));
}
