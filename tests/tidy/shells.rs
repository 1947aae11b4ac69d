//! The completion scripts in real shells on a terminal: a line is typed up to a point, Tab is pressed, and the shell is
//! asked what stands on the line. Names of processes come from a daemon that was started for it.
//!
//! A shell that is not installed is passed over, unless `TASKMASTER_TEST_SHELLS` is set, as it is by `.ci/run`.

use super::root;
use rexpect::session::{PtySession, spawn_command};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a shell or the daemon may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often a line is typed that is not completed.
const ATTEMPTS: usize = 3;

/// Two programs in a group, one of which has copies, and one alone.
const CONFIGURATION: &str = "\
[program.web]
command=/bin/cat
[program.app]
command=/bin/cat
numprocs=2
[program.feeder]
command=/bin/cat
[group.site]
programs=app,feeder
";

/// What is typed, and what stands there after Tab. `INI` is the path of the configuration file.
const CASES: &[(&str, &str)] = &[
    ("taskmaster check", "taskmaster check-config"),
    ("taskmaster ctl statu", "taskmaster ctl status"),
    (
        "taskmaster ctl -c INI start we",
        "taskmaster ctl -c INI start web",
    ),
    (
        "taskmaster ctl -c INI stop site:fe",
        "taskmaster ctl -c INI stop site:feeder",
    ),
    ("taskmasterctl maint", "taskmasterctl maintail"),
    ("taskmasterctl signal WIN", "taskmasterctl signal WINCH"),
    ("taskmasterctl --serv", "taskmasterctl --serverurl"),
    (
        "taskmasterctl -c INI start we",
        "taskmasterctl -c INI start web",
    ),
    (
        "taskmasterctl -c INI start site:fe",
        "taskmasterctl -c INI start site:feeder",
    ),
    (
        "taskmasterctl -c INI start web site:app:",
        "taskmasterctl -c INI start web site:app:",
    ),
    (
        "taskmasterctl --configuration=INI stop site:f",
        "taskmasterctl --configuration=INI stop site:feeder",
    ),
    (
        "taskmasterctl -c INI tail web stde",
        "taskmasterctl -c INI tail web stderr",
    ),
    ("taskmasterd --nod", "taskmasterd --nodaemon"),
];

/// A daemon, and a directory with the executable under its three names.
struct Stage {
    directory: TempDir,
    daemon: Child,
}

impl Stage {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path();
        let executable = env!("CARGO_BIN_EXE_taskmaster");
        for name in ["taskmaster", "taskmasterd", "taskmasterctl"] {
            symlink(executable, base.join(name)).unwrap();
        }
        let shown = base.display();
        let file = format!(
            "[taskmasterd]\nlogfile={shown}/log\nchildlogdir={shown}/child\n\
             [taskmasterctl]\nserverurl=unix://{shown}/sock\n{CONFIGURATION}"
        );
        std::fs::write(base.join("t.ini"), file).unwrap();
        let daemon = Command::new(base.join("taskmasterd"))
            .args(["--nodaemon", "--silent", "--configuration"])
            .arg(base.join("t.ini"))
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let stage = Self { directory, daemon };
        stage.wait_for_the_daemon();
        stage
    }

    fn wait_for_the_daemon(&self) {
        let deadline = Instant::now() + PATIENCE;
        let names = || {
            let output = Command::new(self.path("taskmasterctl"))
                .args(["-s", &self.path("sock").display().to_string(), "status"])
                .output()
                .unwrap();
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        while !names().contains("site:feeder") {
            assert!(
                Instant::now() < deadline,
                "the daemon does not answer: {}",
                names()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// `command` with the executable in its `PATH` and nothing of the caller's shell in its environment.
    fn shell(&self, program: &Path, arguments: &[&str]) -> PtySession {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .env(
                "PATH",
                format!("{}:/usr/bin:/bin", self.directory.path().display()),
            )
            .env("HOME", self.directory.path())
            .env("TERM", "xterm")
            .env("LANG", "C.UTF-8");
        let patience = u64::try_from(PATIENCE.as_millis()).unwrap();
        spawn_command(command, Some(patience)).unwrap()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // It may have ended by itself; its programs are not started.
        let _ended = self.daemon.kill();
        let _reaped = self.daemon.wait();
    }
}

/// The path of a shell, if it is installed.
fn installed(shell: &str) -> Option<PathBuf> {
    let found = ["/usr/bin", "/bin"]
        .map(|directory| Path::new(directory).join(shell))
        .into_iter()
        .find(|path| path.exists());
    let required = std::env::var_os("TASKMASTER_TEST_SHELLS").is_some();
    assert!(found.is_some() || !required, "{shell} is not installed");
    if found.is_none() {
        eprintln!("{shell} is not installed: not tried");
    }
    found
}

/// What a line becomes by Tab. Leaves an empty one.
fn completed(shell: &mut PtySession, typed: &str) -> String {
    shell.send(&format!("{typed}\t\u{7}")).unwrap();
    shell.flush().unwrap();
    let (_, shown) = shell
        .exp_regex("<<[^\r\n]*>>")
        .unwrap_or_else(|error| panic!("{typed}: {error}"));
    shell.send("\u{15}").unwrap();
    let line = shown.trim_start_matches("<<").trim_end_matches(">>");
    // A finished word is followed by a blank, an option that wants a value perhaps by its sign.
    line.trim_end_matches([' ', '=']).to_owned()
}

/// Types the lines of `setup`, then each case. Ctrl-G has been bound to show the line between `<<` and `>>`.
fn try_all(stage: &Stage, mut shell: PtySession, setup: &[String]) {
    for line in setup {
        shell.send_line(line).unwrap();
    }
    // Quotes keep the echo of the command apart from its output.
    shell.send_line("echo re''ady").unwrap();
    shell.exp_string("ready").unwrap();
    let ini = stage.path("t.ini").display().to_string();
    let mut faults = Vec::new();
    for (typed, expected) in CASES {
        let typed = typed.replace("INI", &ini);
        let expected = expected.replace("INI", &ini);
        // The console does not keep a person waiting for a daemon that the machine holds up: then there are no names.
        let found: Vec<String> = (0..ATTEMPTS)
            .map(|_| completed(&mut shell, &typed))
            .take_while(|line| *line != expected)
            .collect();
        if found.len() == ATTEMPTS {
            faults.push(format!("{typed}: expected {expected}, found {found:?}"));
        }
    }
    // Interactive shells do not heed the signal that would be sent otherwise.
    shell.send_line("exit").unwrap();
    shell.exp_eof().unwrap();
    super::report(&faults);
}

/// The lines that read all scripts of a shell.
fn sources(command: &str, names: [&str; 3]) -> Vec<String> {
    names
        .iter()
        .map(|name| format!("{command} {}", root("completions").join(name).display()))
        .collect()
}

const BASH: [&str; 3] = ["taskmaster.bash", "taskmasterd.bash", "taskmasterctl.bash"];
const BASH_KEYS: &str =
    r#"bind 'set bell-style none'; bind -x '"\C-g": printf "<<%s>>\n" "$READLINE_LINE"'"#;

#[test]
fn bash_completes_without_the_package_bash_completion() {
    let Some(bash) = installed("bash") else {
        return;
    };
    let stage = Stage::new();
    let shell = stage.shell(&bash, &["--norc", "--noprofile", "-i"]);
    let mut setup = sources("source", BASH);
    setup.push(BASH_KEYS.to_owned());
    try_all(&stage, shell, &setup);
}

#[test]
fn bash_completes_with_the_package_bash_completion() {
    let Some(bash) = installed("bash") else {
        return;
    };
    let package = Path::new("/usr/share/bash-completion/bash_completion");
    if !package.exists() {
        assert!(
            std::env::var_os("TASKMASTER_TEST_SHELLS").is_none(),
            "bash-completion is not installed"
        );
        eprintln!("bash-completion is not installed: not tried");
        return;
    }
    let stage = Stage::new();
    let shell = stage.shell(&bash, &["--norc", "--noprofile", "-i"]);
    let mut setup = vec![format!("source {}", package.display())];
    setup.extend(sources("source", BASH));
    setup.push(BASH_KEYS.to_owned());
    try_all(&stage, shell, &setup);
}

#[test]
fn zsh_completes() {
    let Some(zsh) = installed("zsh") else { return };
    let stage = Stage::new();
    let shell = stage.shell(&zsh, &["-f", "-i"]);
    let setup = [
        format!("fpath=({} $fpath); autoload -Uz compinit; compinit -u -D", root("completions").display()),
        "unsetopt auto_menu list_beep; show() { print -r -- \"<<$BUFFER>>\" }; zle -N show; bindkey '^G' show".to_owned(),
    ];
    try_all(&stage, shell, &setup);
}

#[test]
fn fish_completes() {
    let Some(fish) = installed("fish") else {
        return;
    };
    let stage = Stage::new();
    let shell = stage.shell(&fish, &["--no-config", "-i"]);
    let mut setup = sources(
        "source",
        ["taskmaster.fish", "taskmasterd.fish", "taskmasterctl.fish"],
    );
    setup.push(
        "set -g fish_autosuggestion_enabled 0; bind \\cg 'echo \"<<\"(commandline)\">>\"'"
            .to_owned(),
    );
    try_all(&stage, shell, &setup);
}
