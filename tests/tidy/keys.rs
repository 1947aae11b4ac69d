//! The keys of a configuration file, as the test of the manual sees them.
//!
//! To be read from `taskmaster::config::schema::KEYS` as soon as it is there; until then the table stands here.

/// One key.
pub struct DocumentedKey {
    /// Its name.
    pub name: String,
    /// Its other spellings.
    pub aliases: Vec<String>,
    /// Defaults of both dialects that are not empty.
    pub defaults: Vec<String>,
    /// Known and without effect: it is enough to be mentioned.
    pub idle: bool,
}

/// Every key there is.
pub fn configuration_keys() -> Vec<DocumentedKey> {
    let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
    KEYS.iter()
        .map(|&(name, aliases, defaults)| DocumentedKey {
            name: name.to_owned(),
            aliases: owned(aliases),
            defaults: owned(defaults),
            idle: IDLE.contains(&name),
        })
        .chain(IDLE.iter().map(|&name| DocumentedKey {
            name: name.to_owned(),
            aliases: Vec::new(),
            defaults: Vec::new(),
            idle: true,
        }))
        .collect()
}

/// Name, other spellings, defaults of both dialects.
#[rustfmt::skip]
const KEYS: &[(&str, &[&str], &[&str])] = &[
    ("logfile", &[], &["/tmp/taskmaster.d/taskmaster.log", "supervisord.log"]),
    ("logfile_maxbytes", &[], &["50MB"]),
    ("logfile_backups", &[], &["10"]),
    ("loglevel", &[], &["info"]),
    ("pidfile", &[], &[]),
    ("umask", &[], &["022"]),
    ("nodaemon", &[], &["false"]),
    ("silent", &[], &["false"]),
    ("minfds", &[], &["1024"]),
    ("minprocs", &[], &["200"]),
    ("nocleanup", &[], &["false"]),
    ("childlogdir", &[], &["/tmp/taskmaster.d/childlog/"]),
    ("user", &["userid"], &[]),
    ("directory", &[], &[]),
    ("strip_ansi", &[], &["false"]),
    ("identifier", &[], &["taskmaster", "supervisor"]),
    ("environment", &[], &[]),
    ("serverurl", &[], &["/tmp/taskmaster.d/taskmasterd.sock", "AUTO"]),
    ("prompt", &[], &["taskmasterd>", "supervisor"]),
    ("history_file", &[], &[]),
    ("edit_mode", &[], &["emacs"]),
    ("announce", &[], &["true"]),
    ("command", &[], &[]),
    ("process_name", &[], &["%(program_name)s"]),
    ("numprocs", &[], &["1"]),
    ("numprocs_start", &[], &["0"]),
    ("priority", &[], &["999"]),
    ("autostart", &[], &["false", "true"]),
    ("autorestart", &[], &["unexpected"]),
    ("startsecs", &["startsec"], &["1"]),
    ("startretries", &[], &["3"]),
    ("exitcodes", &[], &["0"]),
    ("stopsignal", &[], &["TERM"]),
    ("stopwaitsecs", &["stopwaitsec"], &["3", "10"]),
    ("stopasgroup", &[], &["false"]),
    ("killasgroup", &[], &[]),
    ("redirect_stderr", &[], &["false"]),
    ("stdout_logfile", &[], &["AUTO"]),
    ("stdout_logfile_maxbytes", &[], &["50MB"]),
    ("stdout_logfile_backups", &[], &["10"]),
    ("stderr_logfile", &[], &[]),
    ("stderr_logfile_maxbytes", &[], &[]),
    ("stderr_logfile_backups", &[], &[]),
    ("programs", &[], &[]),
    ("files", &[], &[]),
    ("file", &[], &[]),
    ("chmod", &[], &["0700"]),
];

/// Keys that are known and do nothing.
const IDLE: &[&str] = &[
    "chown",
    "username",
    "password",
    "port",
    "socket",
    "socket_backlog",
    "socket_owner",
    "socket_mode",
    "events",
    "buffer_size",
    "result_handler",
    "stdout_capture_maxbytes",
    "stderr_capture_maxbytes",
    "stdout_events_enabled",
    "stderr_events_enabled",
    "stdout_syslog",
    "stderr_syslog",
];
