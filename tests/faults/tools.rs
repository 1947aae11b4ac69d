//! What faults are made with: private mounts, control groups, system calls that fail, a clock that can be set.

use crate::harness::{Builder, Daemon, Sandbox, is_root, proc, wait};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Whether a tool is there; says so when it is not.
pub fn have(tool: &str) -> bool {
    let found = Command::new(tool)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !found {
        eprintln!("passed over: there is no {tool}");
    }
    found
}

/// Whether this is root; says so when it is not.
pub fn root() -> bool {
    if !is_root() {
        eprintln!("passed over: only root can provoke this");
    }
    is_root()
}

/// Whether mounts of one's own can be made; says so when not.
pub fn can_mount() -> bool {
    let works = Command::new("unshare")
        .args(["-m", "mount", "-t", "tmpfs", "none", "/mnt"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !works {
        eprintln!("passed over: no private mounts can be made here");
    }
    works
}

/// Lets a daemon start in mounts of its own, after these lines of shell. What it finds there is seen below
/// `/proc/PID/root`.
pub fn in_mounts(builder: Builder, sandbox: &Sandbox, lines: &str) -> Builder {
    let script = format!("{}\nexec \"$@\"", sandbox.expand(lines));
    builder.via(&["unshare", "-m", "/bin/sh", "-ec", &script, "sh"])
}

/// A path as a process sees it.
pub fn seen_by(process: i32, path: impl AsRef<Path>) -> PathBuf {
    PathBuf::from(format!("/proc/{process}/root{}", path.as_ref().display()))
}

/// A control group of version 1; removed when it is dropped.
pub struct ControlGroup {
    path: PathBuf,
}

impl ControlGroup {
    /// Makes one below this controller; `None`, and a printed reason, where there is no such controller.
    pub fn new(controller: &str) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "taskmaster-faults-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let above = Path::new("/sys/fs/cgroup").join(controller);
        let path = above.join(name);
        if !above.join("cgroup.procs").exists() || fs::create_dir(&path).is_err() {
            eprintln!("passed over: no control group of {controller} can be made here");
            return None;
        }
        Some(Self { path })
    }

    /// A file within.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes to a file within.
    pub fn set(&self, name: &str, value: impl ToString) {
        fs::write(self.file(name), value.to_string()).unwrap();
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        // A process that has just ended may keep it busy for a moment; a test that fails leaves some.
        for _ in 0..200 {
            if fs::remove_dir(&self.path).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}

/// System calls of a process that fail for as long as this lives.
pub struct Injection {
    tracer: Child,
}

impl Injection {
    /// Lets calls of a daemon's threads fail, but not those of its children: each as `CALLS:WHAT`, in strace's words. `None`, and a
    /// printed reason, where processes cannot be traced.
    pub fn on(daemon: &Daemon, faults: &[&str]) -> Option<Self> {
        if !can_trace() {
            return None;
        }
        let process = daemon.process();
        let tasks = || {
            let entries = fs::read_dir(format!("/proc/{process}/task")).unwrap();
            entries.flatten().collect::<Vec<_>>()
        };
        let mut command = Command::new("strace");
        command.args(["-qq", "-o", "/dev/null"]);
        for task in tasks() {
            command.arg("-p").arg(task.file_name());
        }
        command
            .args(["-e", &format!("trace={}", calls(faults))])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        for fault in faults {
            command.args(["-e", &format!("inject={fault}")]);
        }
        let mut tracer = command.spawn().unwrap();
        wait::for_condition("all threads to be traced", || {
            assert_eq!(
                tracer.try_wait().unwrap(),
                None,
                "the tracer ended: {faults:?}"
            );
            tasks().iter().all(|task| {
                fs::read_to_string(task.path().join("status")).is_ok_and(|status| {
                    proc::field_of(&status, "TracerPid").is_some_and(|pid| pid != "0")
                })
            })
        });
        Some(Self { tracer })
    }
}

impl Drop for Injection {
    fn drop(&mut self) {
        kill(
            Pid::from_raw(self.tracer.id().cast_signed()),
            Signal::SIGTERM,
        )
        .ok();
        drop(self.tracer.wait());
    }
}

/// The calls that faults are about.
fn calls(faults: &[&str]) -> String {
    let names: Vec<&str> = faults
        .iter()
        .filter_map(|fault| fault.split(':').next())
        .collect();
    names.join(",")
}

/// Whether processes can be traced; says so when not.
pub fn can_trace() -> bool {
    let works = Command::new("strace")
        .args(["-qq", "-o", "/dev/null", "true"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !works {
        eprintln!("passed over: there is no strace, or it may not trace");
    }
    works
}

/// A wall clock that tests can set: it differs from the machine's by what a file says. Only the wall clock: the one that
/// counts from the boot cannot be set on any machine.
const CLOCK: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static long long offset(void) {
    char text[32] = {0};
    int file = open("$DIR/out/offset", O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    if (read(file, text, sizeof text - 1) < 0) text[0] = 0;
    close(file);
    return atoll(text);
}
int clock_gettime(clockid_t clock, struct timespec *now) {
    long result = syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += offset();
    return (int)result;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec exact;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *kept) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (kept) *kept = exact.tv_sec;
    return exact.tv_sec;
}
"#;

/// Builds the library that sets the clock of whoever preloads it; `None`, and a printed reason, where there is no
/// compiler for it.
pub fn settable_clock(sandbox: &Sandbox) -> Option<PathBuf> {
    if !have("cc") {
        return None;
    }
    let source = sandbox.write("clock.c", CLOCK);
    let library = sandbox.path("clock.so");
    let mut command = sandbox.command("cc");
    command
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .args([&library, &source]);
    sandbox.finish(command, "").code(0);
    set_clock(sandbox, 0);
    Some(library)
}

/// Sets the clock of the library, in seconds beside the machine's.
pub fn set_clock(sandbox: &Sandbox, offset: i64) {
    sandbox.write("out/offset", &offset.to_string());
}
