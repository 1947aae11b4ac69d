//! A directory of its own for each test, with the executable under any name.
//!
//! Layout: `tm.ini` the configuration, `run/` (0700) socket and pid file, `log/` the daemon's log and below it
//! `child/` for the programs' logs, `out/` (0777) what programs write, `bin/` the executable's other names,
//! `zoo.sh`, and `stdout` and `stderr` of the daemon.

use super::console::{Said, Words};
use super::{proc, report, wait, zoo};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

/// See the module's text.
pub struct Sandbox {
    directory: tempfile::TempDir,
    history: RefCell<Vec<String>>,
}

impl Sandbox {
    /// Makes one, in `/tmp` or in the directory that `TASKMASTER_TEST_DIRECTORY` names. The path is short: a socket's must
    /// stay below 108 bytes.
    pub fn new() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("tm")
            .rand_bytes(8)
            .tempdir_in(std::env::var_os("TASKMASTER_TEST_DIRECTORY").unwrap_or("/tmp".into()))
            .unwrap();
        let sandbox = Self {
            directory,
            history: RefCell::default(),
        };
        sandbox.set_mode("", 0o711);
        for (name, mode) in [
            ("run", 0o700),
            ("log", 0o700),
            ("bin", 0o755),
            ("out", 0o777),
        ] {
            fs::create_dir(sandbox.path(name)).unwrap();
            sandbox.set_mode(name, mode);
        }
        fs::write(sandbox.path("zoo.sh"), zoo::SCRIPT).unwrap();
        sandbox.set_mode("zoo.sh", 0o644);
        sandbox
    }

    /// The directory itself.
    pub fn dir(&self) -> &Path {
        self.directory.path()
    }

    /// A path within.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir().join(name)
    }

    /// The text that marks every process of this test.
    pub fn tag(&self) -> String {
        self.dir().display().to_string()
    }

    /// The configuration file.
    pub fn config_path(&self) -> PathBuf {
        self.path("tm.ini")
    }

    /// The control socket.
    pub fn socket_path(&self) -> PathBuf {
        self.path("run/tm.sock")
    }

    /// The daemon's log.
    pub fn log_path(&self) -> PathBuf {
        self.path("log/taskmaster.log")
    }

    /// Changes the mode of a path within.
    pub fn set_mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Replaces `$DIR`, `$OUT` and `$ZOO`.
    pub fn expand(&self, text: &str) -> String {
        let directory = self.tag();
        text.replace("$ZOO", &format!("/bin/sh {directory}/zoo.sh"))
            .replace("$OUT", &format!("{directory}/out"))
            .replace("$DIR", &directory)
    }

    /// Writes a file within, expanding its text, the way editors do: a new file takes the old one's name.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        let fresh = self.path(format!("{name}.new"));
        fs::write(&fresh, self.expand(text)).unwrap();
        // Whatever the umask of the tests is.
        fs::set_permissions(&fresh, fs::Permissions::from_mode(0o644)).unwrap();
        fs::rename(&fresh, &path).unwrap();
        path
    }

    /// Writes an executable file within.
    pub fn write_program(&self, name: &str, text: &str) -> PathBuf {
        let text = self.write(&format!("{name}.text"), text);
        self.copy_executable(&text, name);
        fs::remove_file(text).unwrap();
        self.path(name)
    }

    /// Copies a file to a place within, where it can be executed at once.
    pub fn copy_executable(&self, from: &Path, name: &str) {
        // Another process writes it: a descriptor of ours that is open for writing could be held for a moment by a
        // child that another test forks, and a file that is open for writing cannot be executed.
        let mut command = self.command("install");
        command.args(["-m", "755"]).arg(from).arg(self.path(name));
        self.finish(command, "").code(0);
    }

    /// Content of a file within; empty when there is none.
    pub fn read(&self, name: impl AsRef<Path>) -> String {
        String::from_utf8_lossy(&fs::read(self.path(name)).unwrap_or_default()).into_owned()
    }

    /// The marks that zoo scripts left under a name.
    pub fn marks(&self, name: &str) -> Vec<zoo::Mark> {
        zoo::marks(&self.read(format!("out/{name}")))
    }

    /// Waits until scripts have left a mark with this word and returns the first one.
    #[track_caller]
    pub fn wait_mark(&self, name: &str, word: &str) -> zoo::Mark {
        wait::until(format!("mark {word:?} of {name}"), || {
            self.marks(name).into_iter().find(|mark| mark.word == word)
        })
    }

    /// How many marks with this word there are.
    pub fn count_marks(&self, name: &str, word: &str) -> usize {
        self.marks(name)
            .iter()
            .filter(|mark| mark.word == word)
            .count()
    }

    /// The real executable.
    pub fn executable() -> PathBuf {
        assert_cmd::cargo::cargo_bin!("taskmaster").to_path_buf()
    }

    /// The executable under another name.
    pub fn called_as(&self, name: &str) -> PathBuf {
        let path = self.path("bin").join(name);
        if fs::symlink_metadata(&path).is_err() {
            symlink(Self::executable(), &path).unwrap();
        }
        path
    }

    /// A copy of the executable under this name, for users who cannot reach the original.
    pub fn copied_as(&self, name: &str) -> PathBuf {
        self.copy_executable(&Self::executable(), &format!("bin/{name}"));
        self.path("bin").join(name)
    }

    /// A command that carries this sandbox's tag and a small, known environment.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.dir())
            .env("TZ", "UTC")
            .env("TASKMASTER_TEST", self.tag())
            .current_dir(self.dir());
        command
    }

    /// A process that no daemon started, and whose start time is not that of `pid`: the kernel counts hundredths of a
    /// second.
    pub fn stranger_younger_than(&self, pid: i32) -> Child {
        let time = proc::start_time(pid);
        wait::until("a later start", || {
            let mut stranger = self.command("sleep").arg("1003").spawn().unwrap();
            if proc::start_time(stranger.id().cast_signed()) != time {
                return Some(stranger);
            }
            stranger.kill().unwrap();
            stranger.wait().unwrap();
            None
        })
    }

    /// Runs `taskmaster WORDS…` to its end.
    #[track_caller]
    pub fn taskmaster(&self, words: impl Words) -> Said {
        self.run(Self::executable(), words)
    }

    /// Runs a program to its end, with nothing on its standard input.
    #[track_caller]
    pub fn run(&self, program: impl AsRef<Path>, words: impl Words) -> Said {
        let mut command = self.command(program);
        command.args(words.words());
        self.finish(command, "")
    }

    /// Runs a command to its end with this text on its standard input.
    #[track_caller]
    pub fn finish(&self, command: Command, input: &str) -> Said {
        let line = self.note(&command);
        let output = assert_cmd::Command::from_std(command)
            .write_stdin(input)
            .timeout(wait::patience())
            .output()
            .unwrap();
        let said = Said::new(line, &output);
        assert!(
            said.code != 128 + 9,
            "did not end within {:?}:\n{said:?}",
            wait::patience()
        );
        said
    }

    /// Remembers a command for the report and returns it as text.
    pub fn note(&self, command: &Command) -> String {
        let mut words = vec![command.get_program().to_string_lossy().into_owned()];
        words.extend(
            command
                .get_args()
                .map(|word| word.to_string_lossy().into_owned()),
        );
        let line = words.join(" ");
        self.history.borrow_mut().push(line.clone());
        line
    }

    /// Commands that were run.
    pub fn history(&self) -> Vec<String> {
        self.history.borrow().clone()
    }

    /// Kills everything that carries the tag.
    pub fn kill_all(&self) {
        // Whoever starts others may be quicker than one round; a program that is gone cannot start any.
        for _ in 0..50 {
            let left = proc::tagged(&self.tag());
            if left.is_empty() {
                return;
            }
            for process in left {
                // It may have ended in the meantime.
                kill(Pid::from_raw(process.pid), Signal::SIGKILL).ok();
            }
            std::thread::yield_now();
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", report::report(self));
        }
        self.kill_all();
    }
}
