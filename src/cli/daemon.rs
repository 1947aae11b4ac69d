//! Options of the daemon. Values are checked by the configuration loader, which treats a flag as the file's key.

use clap::Args;
use std::path::PathBuf;

/// What the daemon was started with. A flag given beats the file.
#[derive(Debug, Clone, Default, Args)]
pub struct DaemonOptions {
    /// Configuration file; without it the usual places are searched
    #[arg(short, long, value_name = "FILE")]
    pub configuration: Option<PathBuf>,
    /// Stay in the foreground
    #[arg(short, long)]
    pub nodaemon: bool,
    /// In the foreground, do not copy the log to the standard output
    #[arg(short, long)]
    pub silent: bool,
    /// Become this user (name or number) after start
    #[arg(short, long, value_name = "USER|UID")]
    pub user: Option<String>,
    /// File mode creation mask
    #[arg(short = 'm', long, value_name = "OCTAL")]
    pub umask: Option<String>,
    /// Directory to change to
    #[arg(short, long, value_name = "DIR")]
    pub directory: Option<String>,
    /// The daemon's own log file
    #[arg(short, long, value_name = "FILE")]
    pub logfile: Option<String>,
    /// Size at which the daemon's log is rotated
    #[arg(
        short = 'y',
        long = "logfile_maxbytes",
        value_name = "SIZE",
        allow_hyphen_values = true
    )]
    pub logfile_maxbytes: Option<String>,
    /// Rotated logs of the daemon to keep
    #[arg(
        short = 'z',
        long = "logfile_backups",
        value_name = "N",
        allow_hyphen_values = true
    )]
    pub logfile_backups: Option<String>,
    /// What to log: critical, error, warn, info, debug, trace or blather
    #[arg(short = 'e', long, value_name = "LEVEL")]
    pub loglevel: Option<String>,
    /// File to write the daemon's pid to
    #[arg(short = 'j', long, value_name = "FILE")]
    pub pidfile: Option<String>,
    /// Name of this daemon in its answers
    #[arg(short, long, value_name = "NAME")]
    pub identifier: Option<String>,
    /// Directory for the AUTO logs of programs
    #[arg(short = 'q', long, value_name = "DIR")]
    pub childlogdir: Option<String>,
    /// Keep the AUTO logs of programs that are no longer configured
    #[arg(short = 'k', long)]
    pub nocleanup: bool,
    /// Remove ANSI escape sequences from the programs' output
    #[arg(short = 't', long = "strip_ansi")]
    pub strip_ansi: bool,
    /// File descriptors that must be available
    #[arg(short = 'a', long, value_name = "N", allow_hyphen_values = true)]
    pub minfds: Option<String>,
    /// Processes that must be available
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub minprocs: Option<String>,
    /// Listen on no socket, and write nothing to be found by
    #[arg(long)]
    pub no_socket: bool,
    /// Defaults for a container: foreground, no files, own log to stderr at warn, end with the essential programs
    #[arg(long)]
    pub container: bool,
    /// Say whether the state on the standard input can be gone on with; asked by a daemon before an upgrade
    #[arg(long = "handoff-check", hide = true)]
    pub handoff_check: bool,
}

/// What `--container` puts in place of the defaults. Each is a key of its own, and the file beats it.
const CONTAINER: [(&str, &str); 9] = [
    ("nodaemon", "true"),
    ("logfile", "NONE"),
    ("loglevel", "warn"),
    ("log_to_stderr", "true"),
    ("stdout", "children"),
    ("stdout_format", "prefix"),
    ("auto_logs", "false"),
    ("exit_when", "essential-failed"),
    ("shutdown_timeout", "9"),
];

impl DaemonOptions {
    /// The flags that stand for a key of the daemon's section: key, flag as typed, value as the file would have it.
    pub fn overrides(&self) -> Vec<(&'static str, &'static str, &str)> {
        let switch = |on: bool| on.then_some("true");
        [
            ("nodaemon", "-n", switch(self.nodaemon)),
            ("silent", "-s", switch(self.silent)),
            ("user", "-u", self.user.as_deref()),
            ("umask", "-m", self.umask.as_deref()),
            ("directory", "-d", self.directory.as_deref()),
            ("logfile", "-l", self.logfile.as_deref()),
            ("logfile_maxbytes", "-y", self.logfile_maxbytes.as_deref()),
            ("logfile_backups", "-z", self.logfile_backups.as_deref()),
            ("loglevel", "-e", self.loglevel.as_deref()),
            ("pidfile", "-j", self.pidfile.as_deref()),
            ("identifier", "-i", self.identifier.as_deref()),
            ("childlogdir", "-q", self.childlogdir.as_deref()),
            ("nocleanup", "-k", switch(self.nocleanup)),
            ("strip_ansi", "-t", switch(self.strip_ansi)),
            ("minfds", "-a", self.minfds.as_deref()),
            ("minprocs", "--minprocs", self.minprocs.as_deref()),
            (
                "control_socket",
                "--no-socket",
                self.no_socket.then_some("false"),
            ),
        ]
        .into_iter()
        .filter_map(|(key, flag, value)| value.map(|value| (key, flag, value)))
        .collect()
    }

    /// The values that stand in place of defaults, and that the file beats: key, flag, value.
    pub fn presets(&self) -> Vec<(&'static str, &'static str, &'static str)> {
        CONTAINER
            .into_iter()
            .filter(|_| self.container)
            .map(|(key, value)| (key, "--container", value))
            .collect()
    }
}
