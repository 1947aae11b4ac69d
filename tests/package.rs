//! The Debian package on this machine: installed, used, upgraded under a running daemon, removed and purged.
//!
//! It changes the machine, so it runs only where `TASKMASTER_TEST_PACKAGE` names the package, as `.ci/run` does after
//! building it, and only as root; else it says so and is passed over. It refuses a machine that has the package already.
//! A test of the harness rather than a script, because most of it is waiting for processes and judging answers.

use crate::harness::{Said, Sandbox, is_root, proc, wait};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const NAME: &str = "taskmaster";
const CONFIGURATION: &str = "/etc/taskmaster/taskmaster.ini";
const PROGRAM: &str = "/etc/taskmaster/conf.d/test.ini";

/// Where the package and its daemon may put something.
const PLACES: &[&str] = &["/etc", "/usr", "/var", "/run"];
/// What is kept by the packages' machinery itself.
const KEPT: &[&str] = &[
    "/var/cache",
    "/var/log/dpkg.log",
    "/var/log/apt",
    "/var/log/journal",
];

/// The package, and what the machine looked like before.
struct Machine {
    sandbox: Sandbox,
    accounts: String,
}

impl Machine {
    fn run(&self, program: &str, words: &[&str]) -> Said {
        self.sandbox.finish(self.command(program, words), "")
    }

    fn command(&self, program: &str, words: &[&str]) -> Command {
        let mut command = self.sandbox.command(program);
        command
            .args(words)
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("LC_ALL", "C.UTF-8");
        command
    }

    fn dpkg(&self, words: &[&str]) -> Said {
        // Images of containers leave the manual out, unless told.
        let mut all = vec![
            "--path-include=/usr/share/man/*",
            "--path-include=/usr/share/doc/*",
        ];
        all.extend(words);
        let said = self.run("dpkg", &all);
        said.code(0);
        said
    }

    fn ctl(&self, words: &[&str]) -> Said {
        self.run("taskmasterctl", words)
    }

    #[track_caller]
    fn pid_of(&self, words: &[&str]) -> i32 {
        let said = self.ctl(words);
        said.code(0);
        said.stdout.trim().parse().unwrap()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // A test that failed must not leave the package behind.
            self.sandbox.kill_all();
            let purged = self.command("dpkg", &["--purge", NAME]).status();
            let removed = fs::remove_file(PROGRAM);
            eprintln!("after the failure: purge {purged:?}, {PROGRAM} {removed:?}");
        }
    }
}

/// Every path in [`PLACES`] that has the package's name in it.
fn traces() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = PLACES.iter().map(PathBuf::from).collect();
    while let Some(directory) = open.pop() {
        let Ok(entries) = fs::read_dir(&directory) else {
            continue;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            if KEPT.iter().any(|kept| path.starts_with(kept)) {
                continue;
            }
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                open.push(path.clone());
            }
            if entry.file_name().to_string_lossy().contains(NAME) {
                found.push(path);
            }
        }
    }
    found
}

/// The databases of users and groups.
fn accounts() -> String {
    ["/etc/passwd", "/etc/group", "/etc/gshadow"]
        .map(|path| fs::read_to_string(path).unwrap_or_default())
        .concat()
}

/// Processes that run the installed executable.
fn daemons() -> Vec<i32> {
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse() else {
            continue;
        };
        let target = fs::read_link(entry.path().join("exe")).unwrap_or_default();
        if target.starts_with("/usr/bin/taskmaster")
            || target.starts_with("/usr/bin/taskmaster (deleted)")
        {
            pids.push(pid);
        }
    }
    pids
}

fn package() -> Option<PathBuf> {
    let Some(path) = std::env::var_os("TASKMASTER_TEST_PACKAGE") else {
        eprintln!(
            "passed over: TASKMASTER_TEST_PACKAGE names no package to install on this machine"
        );
        return None;
    };
    if !is_root() {
        eprintln!("passed over: only root can install a package");
        return None;
    }
    Some(path.into())
}

/// The same package with a higher version.
fn next_version(machine: &Machine, deb: &str) -> String {
    let tree = machine.sandbox.path("next").display().to_string();
    machine
        .run("dpkg-deb", &["--raw-extract", deb, &tree])
        .code(0);
    let control = format!("{tree}/DEBIAN/control");
    let text = fs::read_to_string(&control).unwrap();
    let version = text
        .lines()
        .find_map(|line| line.strip_prefix("Version: "))
        .unwrap();
    let higher = text.replace(
        &format!("Version: {version}\n"),
        &format!("Version: {version}+next\n"),
    );
    fs::write(&control, higher).unwrap();
    let next = format!("{tree}.deb");
    machine
        .run("dpkg-deb", &["--build", "--root-owner-group", &tree, &next])
        .code(0);
    next
}

#[test]
fn the_package_comes_serves_is_upgraded_and_goes() {
    let Some(deb) = package() else {
        return;
    };
    let deb = deb.display().to_string();
    assert_eq!(
        traces(),
        [] as [PathBuf; 0],
        "the machine is not without the package"
    );
    assert!(daemons().is_empty(), "{:?}", daemons());
    let machine = Machine {
        sandbox: Sandbox::new(),
        accounts: accounts(),
    };

    machine.dpkg(&["--install", &deb]);
    let given_out = accounts();
    assert!(given_out.contains("\ntaskmaster:"), "no group taskmaster");
    machine
        .run("taskmaster", &["check-config", "--strict", CONFIGURATION])
        .is(
            0,
            &format!("{CONFIGURATION}: OK (0 programs, 0 processes)\n"),
        );
    if Path::new("/run/systemd/system").exists() {
        // The unit became active when the daemon said that it serves. The rest is without it.
        machine.run("systemctl", &["is-active", NAME]).code(0);
        machine.run("systemctl", &["stop", NAME]).code(0);
    }
    reads_its_pages(&machine);

    fs::write(
        PROGRAM,
        "[program.web]\ncommand=/bin/sleep 100000\nautostart=true\n",
    )
    .unwrap();
    // Under the file that it finds by itself, which is the one that was installed.
    machine.run("taskmasterd", &[]).is(0, "");
    wait::for_condition("web to run", || {
        machine.ctl(&["status", "web"]).stdout.contains("RUNNING")
    });
    let (daemon, web) = (machine.pid_of(&["pid"]), machine.pid_of(&["pid", "web"]));
    assert_eq!(daemons(), [daemon]);
    for path in [
        "/run/taskmaster/taskmasterd.sock",
        "/var/log/taskmaster/taskmaster.log",
    ] {
        assert!(Path::new(path).exists(), "{path}");
    }
    let written = fs::read_to_string("/run/taskmaster/taskmasterd.pid").unwrap();
    assert_eq!(written, format!("{daemon}\n"));

    // An upgrade: the new executable is there, and nothing was stopped for it.
    let mine = format!("{}; mine\n", fs::read_to_string(CONFIGURATION).unwrap());
    fs::write(CONFIGURATION, &mine).unwrap();
    let next = next_version(&machine, &deb);
    let said = machine.dpkg(&["--install", &next]);
    assert!(said.all().contains("+next"), "{said:?}");
    assert_eq!(machine.pid_of(&["pid"]), daemon);
    assert_eq!(machine.pid_of(&["pid", "web"]), web);
    assert_eq!(fs::read_to_string(CONFIGURATION).unwrap(), mine);
    let image = || fs::read_link(format!("/proc/{daemon}/exe")).unwrap_or_default();
    assert_eq!(image(), Path::new("/usr/bin/taskmaster (deleted)"));
    // `reload` goes over to it.
    machine.ctl(&["reload"]).code(0);
    wait::for_condition("the new image to serve", || {
        image() == Path::new("/usr/bin/taskmaster")
            && machine.ctl(&["status", "web"]).stdout.contains("RUNNING")
    });

    lets_the_group_in(&machine);

    // A removal stops the daemon and its programs, and keeps what may be wanted again.
    let daemon = machine.pid_of(&["pid"]);
    let web = machine.pid_of(&["pid", "web"]);
    machine.dpkg(&["--remove", NAME]);
    assert!(!proc::is_alive(daemon) && !proc::is_alive(web));
    assert!(daemons().is_empty(), "{:?}", daemons());
    assert!(Path::new(CONFIGURATION).exists());
    assert!(Path::new("/var/log/taskmaster/taskmaster.log").exists());
    assert!(!Path::new("/usr/bin/taskmaster").exists());

    // A purge leaves nothing but what others put there.
    fs::remove_file(PROGRAM).unwrap();
    machine.dpkg(&["--purge", NAME]);
    assert_eq!(traces(), [] as [PathBuf; 0]);
    assert_eq!(accounts(), machine.accounts);
    machine.run("dpkg-query", &["--status", NAME]).code(1);
}

fn reads_its_pages(machine: &Machine) {
    for (page, words) in [
        ("taskmaster.1", "check-config"),
        ("taskmasterctl.1", "maintail"),
        ("taskmaster.ini.5", "autorestart"),
        ("taskmaster-protocol.7", "CBOR"),
        ("taskmasterd.8", "SIGNALS"),
    ] {
        let (title, section) = page.rsplit_once('.').unwrap();
        let mut command = machine.command("man", &[section, title]);
        command.env("MANPAGER", "cat").env("MANWIDTH", "80");
        let said = machine.sandbox.finish(command, "");
        said.code(0);
        assert!(said.stdout.contains(words), "{page}: {said:?}");
    }
}

/// What the installed file says about members of the group, done to the letter.
fn lets_the_group_in(machine: &Machine) {
    let member = |group: &str| {
        let words = [
            "--reuid=65534",
            &format!("--regid={group}"),
            "--clear-groups",
            "taskmasterctl",
            "status",
            "web",
        ];
        machine.run("setpriv", &words)
    };
    assert_ne!(member(NAME).code, 0);
    let text = fs::read_to_string(CONFIGURATION).unwrap();
    let open = text
        .replace(";[unix_http_server]", "[unix_http_server]")
        .replace(";file=", "file=")
        .replace(";chmod=", "chmod=");
    assert_ne!(text, open);
    fs::write(CONFIGURATION, open).unwrap();
    machine
        .run("taskmaster", &["check-config", "--strict", CONFIGURATION])
        .begins(0, &format!("{CONFIGURATION}: OK "));
    machine.ctl(&["reload"]).code(0);
    let said = wait::until("the group to be let in", || {
        let said = member(NAME);
        said.stdout.contains("RUNNING").then_some(said)
    });
    said.code(0);
    let said = member("65534");
    assert!(
        said.code != 0 && !said.all().contains("RUNNING"),
        "{said:?}"
    );
}
