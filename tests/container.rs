//! The README's container: a tree with nothing in it but the statically linked executable and its file.
//!
//! The executable is named by `TASKMASTER_TEST_STATIC`, as `.ci/run` does after building it. Without that, or without
//! root, the test says so and is passed over. What a container runtime provides is provided here: namespaces for
//! processes and mounts, `/proc`, and `/dev/null`. What the README runs as `/web` is a second daemon, because nothing
//! else is there to be run; it runs as a user of the tree, whom the executable looks up by itself.

use crate::harness::{Sandbox, is_root, proc, wait};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The account of the tree, which the machine need not have.
const USER: u32 = 54_321;

/// The block of the README that begins with this line, without its fences.
fn readme_block(first: &str) -> String {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let start = readme
        .find(&format!("```{first}\n"))
        .unwrap_or_else(|| panic!("README.md has no block {first}"));
    let block = &readme[start..];
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
    for directory in ["etc/taskmaster", "proc", "dev", "srv"] {
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
    tree
}

/// Starts the entry point of the README's Dockerfile as process 1 of the tree.
fn run(sandbox: &Sandbox, tree: &Path) -> Child {
    let dockerfile = readme_block("dockerfile");
    let entry = dockerfile
        .lines()
        .find_map(|line| line.strip_prefix("ENTRYPOINT "))
        .unwrap();
    let words: Vec<String> = serde_json::from_str(entry).unwrap();
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
    assert!(!tree.join("taskmasterd.sock").exists());
}
