//! What differs between two configurations, key by key and in a file's words, and which line makes the difference.
//!
//! Settings are compared as they take effect, so a key that says its default changes nothing, and a key of the daemon's
//! section shows where it reaches a program. Every field of the model is named here: one that is added does not compile
//! until somebody has decided which key explains it. Values of variables may be secrets and are masked; their names are
//! not. Nothing is decided here: what a difference leads to is the engine's matter.

mod groups;
mod words;

use super::model::{
    Config, Environment, KeyOrigin, Launch, ListenAddress, ListenSettings, LogSettings, LogTarget,
    Owner, Policy, ProcessSettings, User,
};
use super::schema::{self, Applies, Kind};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;
use words::{codes, files, rule, signal, target_word, variables};

/// What stands in the place of a variable's value.
const MASK: &str = "***";

/// A key whose value differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyDifference {
    /// Its name.
    pub key: &'static str,
    /// The value that is active; `None` is unset.
    pub old: Option<String>,
    /// The value that the file says, or the default.
    pub new: Option<String>,
    /// `FILE` and line that say so: the key's, else the section's whose default it is.
    pub place: Option<(String, u32)>,
    /// Whether it applies without a restart.
    pub live: bool,
}

/// Both configurations.
#[derive(Debug, Clone, Copy)]
pub struct Compared<'c> {
    /// What is active.
    pub old: &'c Config,
    /// What the file says.
    pub new: &'c Config,
}

impl Compared<'_> {
    /// The keys in which two settings of one process differ.
    pub fn settings(&self, old: &ProcessSettings, new: &ProcessSettings) -> Vec<KeyDifference> {
        let mut found = Finder {
            compared: *self,
            old,
            new,
            differences: Vec::new(),
        };
        found.whole();
        found.differences
    }
}

fn place_in(origins: &[KeyOrigin], key: &str) -> Option<(String, u32)> {
    origins
        .iter()
        .find(|origin| origin.key == key)
        .map(|origin| (origin.file.display().to_string(), origin.line))
}

/// Where a program's section begins.
fn header(settings: &ProcessSettings) -> Option<(String, u32)> {
    let (file, line) = settings.origin.rsplit_once(':')?;
    Some((file.to_owned(), line.parse().ok()?))
}

/// What compares two settings of one process.
struct Finder<'f> {
    compared: Compared<'f>,
    old: &'f ProcessSettings,
    new: &'f ProcessSettings,
    differences: Vec<KeyDifference>,
}

impl Finder<'_> {
    fn whole(&mut self) {
        let ProcessSettings {
            key: _,
            program,
            process_num,
            origin: _,
            origins: _,
            launch,
            policy,
            stdout,
            stderr,
        } = self.new;
        let old = self.old;
        self.differ("process_name", old.program.as_str(), program.as_str());
        self.numbers("numprocs_start", old.process_num, *process_num);
        self.launch(&old.launch, launch);
        self.policy(&old.policy, policy);
        self.log(
            [
                "stdout_logfile",
                "stdout_logfile_maxbytes",
                "stdout_logfile_backups",
                "stdout_timestamps",
                "stdout_capture_maxbytes",
                "stdout_events_enabled",
                "stdout_syslog",
                "stdout_direct",
            ],
            &old.stdout,
            stdout,
        );
        self.log(
            [
                "stderr_logfile",
                "stderr_logfile_maxbytes",
                "stderr_logfile_backups",
                "stderr_timestamps",
                "stderr_capture_maxbytes",
                "stderr_events_enabled",
                "stderr_syslog",
                "stderr_direct",
            ],
            &old.stderr,
            stderr,
        );
    }

    fn launch(&mut self, old: &Launch, new: &Launch) {
        let Launch {
            argv: _,
            command,
            directory,
            umask,
            user,
            environment: _,
            env_layers,
            redirect_stderr,
            strip_ansi,
            server_url,
            listen,
            listener: _,
        } = new;
        let path = |path: &Option<std::path::PathBuf>| {
            path.as_ref().map(|path| path.display().to_string())
        };
        let url = |url: &Option<String>| url.clone().unwrap_or_else(|| "AUTO".to_owned());
        self.differ("command", &old.command, command);
        self.maybe("directory", path(&old.directory), path(directory));
        self.differ(
            "umask",
            &format!("{:03o}", old.umask),
            &format!("{umask:03o}"),
        );
        self.user(old.user.as_deref(), user.as_deref());
        self.environment(&variables(old), &variables(new));
        self.maybe(
            "env_file",
            files(&old.env_layers.files),
            files(&env_layers.files),
        );
        let common = [&old.env_layers, env_layers].map(|layers| files(&layers.common_files));
        self.of_daemon("env_file", common);
        self.flags("redirect_stderr", old.redirect_stderr, *redirect_stderr);
        self.flags("strip_ansi", old.strip_ansi, *strip_ansi);
        self.differ("serverurl", &url(&old.server_url), &url(server_url));
        self.listen(old.listen.as_deref(), listen.as_deref());
    }

    fn policy(&mut self, old: &Policy, new: &Policy) {
        let Policy {
            autostart,
            autorestart,
            startsecs,
            startretries,
            exitcodes,
            stopsignal,
            stopwaitsecs,
            priority,
            stopasgroup,
            killasgroup,
            essential,
        } = new;
        let seconds = Duration::as_secs;
        self.numbers("priority", old.priority, *priority);
        self.flags("autostart", old.autostart, *autostart);
        self.differ("autorestart", rule(old.autorestart), rule(*autorestart));
        self.numbers("startsecs", seconds(&old.startsecs), seconds(startsecs));
        self.numbers("startretries", old.startretries, *startretries);
        self.differ("exitcodes", &codes(&old.exitcodes), &codes(exitcodes));
        self.differ("stopsignal", &signal(old.stopsignal), &signal(*stopsignal));
        self.numbers(
            "stopwaitsecs",
            seconds(&old.stopwaitsecs),
            seconds(stopwaitsecs),
        );
        self.flags("stopasgroup", old.stopasgroup, *stopasgroup);
        self.flags("killasgroup", old.killasgroup, *killasgroup);
        self.flags("essential", old.essential, *essential);
    }

    fn log(&mut self, keys: [&'static str; 8], old: &LogSettings, new: &LogSettings) {
        let LogSettings {
            target,
            maxbytes,
            backups,
            timestamps,
            shown,
            capture_maxbytes,
            events_enabled,
            syslog,
            direct,
        } = new;
        let [log, size, kept, times, capture, events, system, own] = keys;
        let daemons = [self.compared.old, self.compared.new].map(|config| &config.daemon);
        let words = daemons.map(|daemon| Some(daemon.stdout.word().to_owned()));
        match (&old.target, target) {
            (
                LogTarget::File {
                    path: before,
                    auto: true,
                },
                LogTarget::File {
                    path: after,
                    auto: true,
                },
            ) if before != after => {
                let parent = |path: &Path| path.parent().map(|path| path.display().to_string());
                if parent(before) == parent(after) {
                    self.differ(
                        log,
                        &before.display().to_string(),
                        &after.display().to_string(),
                    );
                } else if !self
                    .differences
                    .iter()
                    .any(|other| other.key == "childlogdir")
                {
                    self.maybe("childlogdir", parent(before), parent(after));
                }
            }
            // The daemon's section shows other programs than before.
            (before, after) if before == after && old.shown != *shown && words[0] != words[1] => {
                if !self.differences.iter().any(|other| other.key == "stdout") {
                    self.of_daemon("stdout", words);
                }
            }
            _ => self.differ(log, &target_word(old), &target_word(new)),
        }
        self.differ(size, &old.maxbytes.to_string(), &maxbytes.to_string());
        self.numbers(kept, old.backups, *backups);
        self.differ(times, old.timestamps.word(), timestamps.word());
        self.differ(
            capture,
            &old.capture_maxbytes.to_string(),
            &capture_maxbytes.to_string(),
        );
        self.flags(events, old.events_enabled, *events_enabled);
        self.flags(system, old.syslog, *syslog);
        self.flags(own, old.direct, *direct);
    }

    fn listen(&mut self, old: Option<&ListenSettings>, new: Option<&ListenSettings>) {
        let both = [old, new].map(|listen| {
            let ListenSettings { address, backlog } = listen?;
            let (mode, owner) = match address {
                ListenAddress::Tcp { .. } => (None, None),
                ListenAddress::Unix { mode, owner, .. } => (Some(*mode), *owner),
            };
            let owner = owner.map(|Owner { uid, gid }| {
                gid.map_or_else(|| uid.to_string(), |gid| format!("{uid}:{gid}"))
            });
            Some([
                Some(address.to_string()),
                backlog.map(|backlog| backlog.to_string()),
                owner,
                mode.map(|mode| format!("{mode:04o}")),
            ])
        });
        let keys = ["socket", "socket_backlog", "socket_owner", "socket_mode"];
        let [old, new] = both.map(Option::unwrap_or_default);
        for ((key, old), new) in keys.into_iter().zip(old).zip(new) {
            self.maybe(key, old, new);
        }
    }

    fn user(&mut self, old: Option<&User>, new: Option<&User>) {
        if old == new {
            return;
        }
        let name = |user: Option<&User>| user.map(|user| user.name.clone());
        let (before, mut after) = (name(old), name(new));
        if before == after {
            after = after.map(|name| format!("{name} (the account has changed)"));
        }
        self.maybe("user", before, after);
    }

    /// Variables that came, went or changed; each is the daemon's section's if it made the same change.
    fn environment(&mut self, old: &Environment, new: &Environment) {
        let (Environment(old), Environment(new)) = (old, new);
        let Compared {
            old: active,
            new: file,
        } = self.compared;
        let changed: BTreeSet<&String> = old
            .keys()
            .chain(new.keys())
            .filter(|name| old.get(*name) != new.get(*name))
            .collect();
        let (shared, own): (Vec<&String>, Vec<&String>) = changed.into_iter().partition(|name| {
            active.daemon.environment.0.get(*name) == old.get(*name)
                && file.daemon.environment.0.get(*name) == new.get(*name)
        });
        for (names, place) in [
            (&own, self.place("environment")),
            (&shared, place_in(&file.origins, "environment")),
        ] {
            let masked = |variables: &std::collections::BTreeMap<String, String>| {
                let shown = names.iter().filter(|name| variables.contains_key(**name));
                let list: Vec<String> = shown.map(|name| format!("{name}={MASK}")).collect();
                (!list.is_empty()).then(|| list.join(","))
            };
            if !names.is_empty() {
                self.differences.push(KeyDifference {
                    key: "environment",
                    old: masked(old),
                    new: masked(new),
                    place,
                    live: false,
                });
            }
        }
    }

    /// A key of the daemon's section that programs have as well.
    fn of_daemon(&mut self, key: &'static str, [old, new]: [Option<String>; 2]) {
        if old != new {
            self.differences.push(KeyDifference {
                key,
                old,
                new,
                place: place_in(&self.compared.new.origins, key),
                live: false,
            });
        }
    }

    fn flags(&mut self, key: &'static str, old: bool, new: bool) {
        self.differ(key, &old.to_string(), &new.to_string());
    }

    fn numbers<N: Into<i128>>(&mut self, key: &'static str, old: N, new: N) {
        let (old, new): (i128, i128) = (old.into(), new.into());
        self.differ(key, &old.to_string(), &new.to_string());
    }

    fn differ(&mut self, key: &'static str, old: &str, new: &str) {
        self.maybe(key, Some(old.to_owned()), Some(new.to_owned()));
    }

    fn maybe(&mut self, key: &'static str, old: Option<String>, new: Option<String>) {
        if old != new {
            self.differences.push(KeyDifference {
                key,
                old,
                new,
                place: self.place(key),
                live: schema::find(Kind::Program, key)
                    .is_some_and(|key| key.applies == Applies::Live),
            });
        }
    }

    /// The line that decides about a key: the program's own; else, where its line was taken out, its section; else the
    /// daemon's.
    fn place(&self, key: &str) -> Option<(String, u32)> {
        let taken_out = place_in(&self.old.origins, key).and_then(|_| header(self.new));
        place_in(&self.new.origins, key)
            .or(taken_out)
            .or_else(|| place_in(&self.compared.new.origins, key))
            .or_else(|| header(self.new))
    }
}
