//! The README's container, twice.
//!
//! Word for word: the tree that its Dockerfile describes, read-only and run as the user it names, with shell scripts for
//! what is copied besides, and therefore with a shell. And bare: a tree with nothing in it but the statically linked
//! executable and its file, where `/web` is a second daemon, because nothing else is there to be run; it runs as a user
//! of the tree, whom the executable looks up by itself.
//!
//! The static executable is named by `TASKMASTER_TEST_STATIC`, as `.ci/run` does after building it. Without that the
//! second test says so and is passed over, and the first one runs the usual executable with its libraries; without root
//! both are. What a container runtime provides is provided here: namespaces for processes and mounts, `/proc`,
//! `/dev/shm` and `/dev/null`.

use crate::harness::{Sandbox, is_root, proc, wait};
use crate::init::{Container, can_contain};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The account of the tree, which the machine need not have.
const USER: u32 = 54_321;

/// The README's section.
fn readme() -> String {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let start = readme.find("## In a container\n").unwrap();
    let section = &readme[start..];
    let end = section[3..].find("\n## ").unwrap() + 3;
    section[..end].to_owned()
}

/// The block of the README's section that begins with this line, without its fences.
fn readme_block(first: &str) -> String {
    let section = readme();
    let start = section
        .find(&format!("```{first}\n"))
        .unwrap_or_else(|| panic!("README.md has no block {first}"));
    let block = &section[start..];
    let block = &block[block.find('\n').unwrap() + 1..];
    block[..block.find("```").unwrap()].to_owned()
}

fn executable() -> Option<PathBuf> {
    let Some(path) = std::env::var_os("TASKMASTER_TEST_STATIC") else {
        eprintln!("passed over: TASKMASTER_TEST_STATIC names no statically linked executable");
        return None;
    };
    if !is_root() {
        eprintln!("passed over: only root can make the namespaces of a container");
        return None;
    }
    Some(path.into())
}

/// The tree of the README's Dockerfile below `tree` of the sandbox.
fn build_tree(sandbox: &Sandbox, executable: &Path) -> PathBuf {
    let tree = sandbox.path("tree");
    for directory in ["etc/taskmaster", "proc", "dev/shm", "srv"] {
        fs::create_dir_all(tree.join(directory)).unwrap();
    }
    File::create(tree.join("dev/null")).unwrap();
    chown(tree.join("srv"), Some(USER), Some(USER)).unwrap();
    let mut copy = sandbox.command("cp");
    copy.arg(executable).arg(tree.join("taskmaster"));
    sandbox.finish(copy, "").is(0, "");

    let file = readme_block("ini");
    let command = "command=/web --port 8080\n";
    assert!(file.contains(command), "{file}");
    let file = file.replace(
        command,
        "command=/taskmaster daemon -n -c /etc/inner.ini\nuser=app\n",
    );
    let (file, _) = file.split_once("[program.worker]").unwrap();
    fs::write(tree.join("etc/taskmaster/taskmaster.ini"), file).unwrap();
    fs::write(
        tree.join("etc/inner.ini"),
        "[taskmasterd]\nlogfile=NONE\nchildlogdir=/srv/log\n[taskmasterctl]\nserverurl=/srv/inner.sock\n",
    )
    .unwrap();
    fs::write(
        tree.join("etc/passwd"),
        format!("root:x:0:0::/:/\napp:x:{USER}:{USER}::/srv:/\n"),
    )
    .unwrap();
    fs::write(
        tree.join("etc/group"),
        format!("root:x:0:\napp:x:{USER}:\nextra:x:54322:app\n"),
    )
    .unwrap();
    open_to_all(sandbox, &tree);
    tree
}

/// Lets every user read a tree, whatever the umask of the tests is.
fn open_to_all(sandbox: &Sandbox, tree: &Path) {
    let words = vec![
        "-R".to_owned(),
        "a+rX".to_owned(),
        tree.display().to_string(),
    ];
    sandbox.run("chmod", &words).code(0);
}

/// Starts the entry point of the README's Dockerfile as process 1 of the tree.
fn run(sandbox: &Sandbox, tree: &Path) -> Child {
    let words = Dockerfile::of_readme().entry;
    let mut command = sandbox.command("unshare");
    command
        .args(["--mount", "--pid", "--fork", "--kill-child", "--", "sh", "-c"])
        .arg(
            "mount --bind /dev/null \"$1/dev/null\" && mount -t proc proc \"$1/proc\" && shift && exec \"$@\"",
        )
        .arg("sh")
        .arg(tree)
        .arg("/usr/sbin/chroot")
        .arg(tree)
        .args(words)
        .env_remove("HOME")
        .stdin(Stdio::null())
        .stdout(File::create(sandbox.path("stdout")).unwrap())
        .stderr(File::create(sandbox.path("stderr")).unwrap());
    sandbox.note(&command);
    command.spawn().unwrap()
}

fn console(sandbox: &Sandbox, tree: &Path, words: &[&str]) -> Command {
    let mut command = sandbox.command("/usr/sbin/chroot");
    command.arg(tree).args(["/taskmaster", "ctl"]).args(words);
    command
}

#[test]
fn the_readmes_container_needs_nothing_but_the_executable() {
    let Some(executable) = executable() else {
        return;
    };
    let sandbox = Sandbox::new();
    let tree = build_tree(&sandbox, &executable);
    let check = ["check-config", "--strict", "/etc/taskmaster/taskmaster.ini"];
    let mut checker = sandbox.command("/usr/sbin/chroot");
    checker.arg(&tree).arg("/taskmaster").args(check);
    sandbox
        .finish(checker, "")
        .begins(0, "/etc/taskmaster/taskmaster.ini: OK ");

    let mut container = run(&sandbox, &tree);
    let running = wait::until("web to run", || {
        let status = container.try_wait().unwrap();
        assert_eq!(status, None, "{}", sandbox.read("stderr"));
        let said = sandbox.finish(console(&sandbox, &tree, &["status", "web"]), "");
        said.stdout.contains("RUNNING").then_some(said)
    });
    running.code(0);
    // Its output is the container's.
    wait::for_condition("the output of the program", || {
        sandbox.read("stdout").contains("taskmasterd 0.") && tree.join("srv/inner.sock").exists()
    });
    // The program runs as the user of the tree, with the groups of the tree.
    let inner = proc::tagged(&sandbox.tag())
        .into_iter()
        .find_map(|process| {
            let status = fs::read_to_string(format!("/proc/{}/status", process.pid)).ok()?;
            status
                .contains(&format!("\nUid:\t{USER}\t{USER}"))
                .then_some(status)
        })
        .expect("no process of the user");
    assert!(
        inner.contains(&format!("\nGroups:\t{USER} 54322")),
        "{inner}"
    );

    // The runtime stops a container by TERM to its first process.
    let parent = container.id();
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap();
    let first: i32 = children.trim().parse().unwrap();
    kill(Pid::from_raw(first), Signal::SIGTERM).unwrap();
    let status = wait::until("the container to end", || container.try_wait().unwrap());
    assert_eq!(status.code(), Some(0), "{}", sandbox.read("stdout"));
    assert_eq!(proc::tagged(&sandbox.tag()), []);
    assert!(!tree.join("dev/shm/taskmaster.d/taskmasterd.sock").exists());
}

#[test]
fn the_readme_tells_the_size_of_the_executable() {
    let Some(executable) = executable() else {
        return;
    };
    let told = readme();
    let told = told.split("executable of ").nth(1).unwrap();
    let told: f64 = told.split_once(" MB").unwrap().0.parse().unwrap();
    let megabytes = u32::try_from(fs::metadata(executable).unwrap().len() / 1000).unwrap();
    let real = f64::from(megabytes) / 1000.0;
    assert!((real - told).abs() <= 0.5, "{real} MB, told as {told} MB");
}

/// The README's Dockerfile.
#[derive(Default)]
struct Dockerfile {
    /// What is copied, and where to.
    copies: Vec<(String, String)>,
    user: String,
    health: Vec<String>,
    entry: Vec<String>,
}

impl Dockerfile {
    /// A line that is not understood is a fault.
    fn of_readme() -> Self {
        let mut file = Self::default();
        for line in readme_block("dockerfile").lines() {
            let (instruction, rest) = line.split_once(' ').unwrap();
            match instruction {
                "FROM" => assert_eq!(rest, "scratch"),
                "COPY" => {
                    let mut words: Vec<&str> = rest.split(' ').collect();
                    let to = words.pop().unwrap();
                    for from in words {
                        let name = from.rsplit('/').next().unwrap();
                        let to = match to.strip_suffix('/') {
                            Some(directory) => format!("{directory}/{name}"),
                            None => to.to_owned(),
                        };
                        file.copies.push((from.to_owned(), to));
                    }
                }
                "USER" => rest.clone_into(&mut file.user),
                "HEALTHCHECK" => {
                    let words = rest.strip_prefix("CMD ").unwrap();
                    file.health = serde_json::from_str(words).unwrap();
                }
                "ENTRYPOINT" => file.entry = serde_json::from_str(rest).unwrap(),
                other => panic!("what is {other}?"),
            }
        }
        file
    }

    /// The tree below `tree` of the sandbox.
    fn build(&self, sandbox: &Sandbox) -> PathBuf {
        const WEB: &str = "echo listening on $2\ntrap 'echo closing; exit 0' TERM\n\
                           while :; do sleep 1000 & wait $!; done\n";
        const WORKER: &str = "trap 'exit 0' USR1\ntrap 'echo done; exit 0' TERM\necho ready\n\
                              while :; do sleep 1000 & wait $!; done\n";
        let tree = sandbox.path("tree");
        for directory in ["proc", "dev/shm", "bin"] {
            fs::create_dir_all(tree.join(directory)).unwrap();
        }
        File::create(tree.join("dev/null")).unwrap();
        for tool in ["sh", "sleep"] {
            put(
                sandbox,
                &format!("/bin/{tool}"),
                &tree,
                &format!("/bin/{tool}"),
            );
        }
        for (from, to) in &self.copies {
            let name = from.rsplit('/').next().unwrap();
            if let Some(parent) = Path::new(to).parent() {
                fs::create_dir_all(tree.join(parent.strip_prefix("/").unwrap())).unwrap();
            }
            let script = match name {
                "taskmaster" => {
                    let path = std::env::var("TASKMASTER_TEST_STATIC")
                        .unwrap_or_else(|_| Sandbox::executable().display().to_string());
                    put(sandbox, &path, &tree, to);
                    continue;
                }
                "taskmaster.ini" => {
                    sandbox.write(&format!("tree{to}"), &readme_block("ini"));
                    continue;
                }
                "web" => WEB,
                "worker" => WORKER,
                other => panic!("what is {other}?"),
            };
            sandbox.write_program(&format!("tree{to}"), &format!("#!/bin/sh\n{script}"));
        }
        open_to_all(sandbox, &tree);
        tree
    }
}

/// Copies a program into a tree, and the libraries that it needs.
fn put(sandbox: &Sandbox, program: &str, tree: &Path, to: &str) {
    let mut ldd = sandbox.command("ldd");
    ldd.arg(program);
    // One that is static has none.
    let needed = sandbox.finish(ldd, "").stdout;
    let libraries = needed
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(|path| (path.trim_end_matches(':'), path.trim_end_matches(':')));
    for (from, to) in libraries.chain([(program, to)]) {
        let place = tree.join(to.trim_start_matches('/'));
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        let mut copy = sandbox.command("cp");
        copy.args(["--dereference", from]).arg(&place);
        sandbox.finish(copy, "").is(0, "");
    }
}

#[test]
fn the_readmes_container_works_word_for_word() {
    if !can_contain() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.set_mode("", 0o755);
    let dockerfile = Dockerfile::of_readme();
    let tree = dockerfile.build(&sandbox);
    // As `--read-only` and `--cap-drop ALL` have it.
    assert!(readme().contains("`docker run --read-only --cap-drop ALL IMAGE`"));
    let prepare = "mount --make-rprivate /\nmount --bind $DIR/tree $DIR/tree\n\
                   mount -o remount,bind,ro $DIR/tree\nmount -t proc proc $DIR/tree/proc\n\
                   mount -t tmpfs -o mode=1777 tmpfs $DIR/tree/dev/shm\n\
                   mount --bind /dev/null $DIR/tree/dev/null\nunset HOME\n";
    // Those that are left go with the change of user.
    let inside = format!(
        "setpriv --bounding-set -all,+sys_chroot,+setuid,+setgid /usr/sbin/chroot --userspec={} --groups= {}",
        dockerfile.user,
        tree.display()
    );
    let words = format!("{inside} {}", dockerfile.entry.join(" "));
    let mut container = Container::start(sandbox, prepare, &words);
    let sandbox = &container.sandbox;
    let expected: BTreeSet<String> = readme_block("text").lines().map(str::to_owned).collect();
    let shown = || -> BTreeSet<String> {
        let stdout = sandbox.read("stdout");
        stdout.lines().map(str::to_owned).collect()
    };
    wait::for_condition("what the README shows", || shown() == expected);
    let exec = |words: &[String]| {
        let mut command = sandbox.command("nsenter");
        command
            .args(["--mount", "--pid", "--target", &container.init.to_string()])
            .args(inside.split(' '))
            .args(words);
        sandbox.finish(command, "")
    };
    let section = readme();
    let console = section.split("`docker exec NAME ").nth(1).unwrap();
    let console: Vec<String> = console
        .split_once('`')
        .unwrap()
        .0
        .split(' ')
        .map(str::to_owned)
        .collect();
    wait::for_condition("both to be RUNNING", || {
        exec(&console).stdout.matches("RUNNING").count() == 2
    });
    exec(&dockerfile.health).code(0);
    // A worker that has ended is no healthy container.
    let ask = |words: &str| {
        let head = console[..2].iter().map(String::as_str);
        let words: Vec<String> = head.chain(words.split(' ')).map(str::to_owned).collect();
        exec(&words)
    };
    ask("signal USR1 worker").code(0);
    wait::for_condition("the health to be bad", || {
        exec(&dockerfile.health).code == 1
    });
    ask("start worker").is(0, "worker: started\n");
    exec(&dockerfile.health).code(0);
    ask("why web").code(0).mentions("RUNNING");
    assert_eq!(sandbox.read("stderr"), "");
    container.signal(Signal::SIGTERM);
    assert_eq!(container.wait_exit(), Some(0));
    let stdout = container.sandbox.read("stdout");
    for last in ["web    | closing", "worker | done"] {
        assert!(stdout.lines().any(|line| line == last), "{stdout}");
    }
    let stderr = container.sandbox.read("stderr");
    let told: Vec<&str> = stderr.lines().collect();
    assert!(
        matches!(told[..], [line] if line.contains("received SIGTERM")),
        "{stderr}"
    );
    assert_eq!(proc::tagged(&container.sandbox.tag()), []);
}
