//! Small pieces that the engine's tests are made of.

use crate::config::model::{
    Autorestart, Config, ConsoleSettings, DaemonSettings, EditMode, EnvLayers, Environment,
    ExitWhen, Group, GroupKind, Launch, LineFormat, LogLevel, LogSettings, LogTarget, OnOrphans,
    Policy, ProcessSettings, ShownOn, StandardOutput,
};
use crate::types::{
    ByteSize, GroupName, Monotonic, Pid, ProcessKey, ProcessName, ProgramName, Signal,
};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// `GROUP:PROCESS`, or `NAME` for both.
pub fn key(name: &str) -> ProcessKey {
    let (group, process) = name.split_once(':').unwrap_or((name, name));
    ProcessKey {
        group: GroupName::new(group).unwrap(),
        process: ProcessName::new(process).unwrap(),
    }
}

/// A pid.
pub fn pid(raw: i32) -> Pid {
    Pid::new(raw).unwrap()
}

/// A moment, in milliseconds.
pub fn ms(millis: u64) -> Monotonic {
    Monotonic::from_nanos(millis * 1_000_000)
}

/// Settings of a process called `name` with the native defaults, of a program called as its group is.
pub fn settings(name: &str) -> ProcessSettings {
    let key = key(name);
    let discard = LogSettings {
        target: LogTarget::Discard,
        maxbytes: ByteSize(0),
        backups: 0,
        timestamps: crate::config::model::Timestamps::None,
        shown: ShownOn::default(),
        direct: false,
        capture_maxbytes: ByteSize(0),
        events_enabled: false,
        syslog: false,
    };
    ProcessSettings {
        program: ProgramName::new(key.group.as_str()).unwrap(),
        process_num: key.process.as_str().parse().unwrap_or(0),
        key,
        origin: "test.ini:1".into(),
        origins: Arc::from([]),
        launch: Launch {
            argv: vec!["/bin/program".to_owned()],
            command: "/bin/program".to_owned(),
            directory: None,
            umask: 0o22,
            user: None,
            environment: Environment::default(),
            env_layers: EnvLayers::default(),
            redirect_stderr: false,
            strip_ansi: false,
            server_url: None,
            listener: false,
            listen: None,
        },
        policy: Policy {
            autostart: false,
            autorestart: Autorestart::Unexpected,
            startsecs: Duration::from_secs(1),
            startretries: 3,
            exitcodes: vec![0],
            stopsignal: Signal::TERM,
            stopwaitsecs: Duration::from_secs(3),
            priority: 999,
            stopasgroup: false,
            killasgroup: false,
            essential: false,
        },
        stdout: discard.clone(),
        stderr: discard,
    }
}

/// A configuration of these processes, each in the group its key names.
pub fn config(processes: impl IntoIterator<Item = ProcessSettings>) -> Config {
    let mut groups = BTreeMap::new();
    for process in processes {
        groups
            .entry(process.key.group.clone())
            .or_insert_with(|| Group {
                priority: 999,
                explicit: false,
                origins: Arc::from([]),
                kind: GroupKind::default(),
                processes: BTreeMap::new(),
            })
            .processes
            .insert(process.key.process.clone(), Arc::new(process));
    }
    Config {
        daemon: DaemonSettings {
            socket: PathBuf::from("/run/test.sock"),
            socket_mode: 0o600,
            socket_owner: None,
            logfile: None,
            syslog: false,
            logfile_maxbytes: ByteSize(0),
            logfile_backups: 0,
            loglevel: LogLevel::Info,
            pidfile: None,
            umask: 0o22,
            nodaemon: true,
            silent: false,
            minfds: 0,
            minprocs: 0,
            nocleanup: false,
            childlogdir: PathBuf::from("/run"),
            user: None,
            directory: None,
            strip_ansi: false,
            identifier: "test".to_owned(),
            environment: Environment::default(),
            on_orphans: OnOrphans::Adopt,
            env_files: Vec::new(),
            stdout: StandardOutput::default(),
            stdout_format: LineFormat::default(),
            stdout_timestamps: None,
            control_socket: true,
            auto_logs: true,
            log_to_stderr: false,
            exit_when: ExitWhen::Never,
            shutdown_timeout: None,
        },
        console: ConsoleSettings {
            server_uid: None,
            socket: PathBuf::from("/run/test.sock"),
            prompt: "taskmasterd>".to_owned(),
            history_file: None,
            edit_mode: EditMode::Emacs,
            announce: true,
            username: None,
            password: None,
        },
        groups,
        files: vec![PathBuf::from("/etc/test.ini")],
        origins: Arc::from([]),
        roles: Vec::new(),
    }
}
