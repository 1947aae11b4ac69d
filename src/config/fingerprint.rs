//! What a process was started with, in a form that can be written down: a hash of each setting, none of their values.
//!
//! It tells a later daemon, even of another version, whether a process still is as the file wants it, and which key
//! changed. So only what differs from the default is named, and a key that a version adds says nothing about processes
//! that do not use it. What applies live is left out, as in [`ProcessSettings::needs_restart`].

use super::model::{EnvLayers, Environment, Launch, LogTarget, ProcessSettings, User};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

/// Hashes of settings, by key: `key=hash,key=hash`, sorted by key. One is kept for each running process, so it is one
/// piece of text rather than a map.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")]
pub struct Fingerprint(Box<str>);

/// A map is what another version of the daemon takes over, or leaves to this one.
impl From<BTreeMap<String, String>> for Fingerprint {
    fn from(keys: BTreeMap<String, String>) -> Self {
        let words: Vec<String> = keys
            .into_iter()
            .map(|(key, hash)| format!("{key}={hash}"))
            .collect();
        Self(words.join(",").into_boxed_str())
    }
}

impl From<Fingerprint> for BTreeMap<String, String> {
    fn from(fingerprint: Fingerprint) -> Self {
        let pairs = fingerprint.pairs();
        pairs
            .map(|(key, hash)| (key.to_owned(), hash.to_owned()))
            .collect()
    }
}

impl Fingerprint {
    /// That of a process that is started with these settings.
    pub fn of(settings: &ProcessSettings) -> Self {
        let Launch {
            argv,
            command,
            directory,
            umask,
            user,
            environment: Environment(own),
            env_layers,
            redirect_stderr,
            strip_ansi,
            server_url,
            listen,
            listener,
        } = &settings.launch;
        let mut keys = Hashes::default();
        keys.add("command", argv.iter().chain([command]));
        keys.add("umask", [umask.to_string()]);
        keys.add("directory", directory.iter().map(|it| it.to_string_lossy()));
        keys.add("user", user.iter().map(|it| account(it)));
        let EnvLayers {
            common_files,
            common: Environment(common),
            files,
        } = env_layers;
        // What is in the files is read at each start, and is no setting.
        let files = common_files.iter().chain(files);
        keys.add("env_file", files.map(ToString::to_string));
        let variables = common
            .iter()
            .filter(|(name, _)| !own.contains_key(*name))
            .chain(own)
            .map(|(name, value)| format!("{name}={value}"));
        keys.add("environment", variables);
        keys.add("redirect_stderr", redirect_stderr.then_some(""));
        keys.add("strip_ansi", strip_ansi.then_some(""));
        keys.add("serverurl", server_url);
        keys.add("eventlistener", listener.then_some(""));
        // Who owns it and how long its queue is changes the socket in place.
        keys.add("socket", listen.iter().map(|it| it.address.to_string()));
        for (key, log) in [
            ("stdout_logfile", &settings.stdout),
            ("stderr_logfile", &settings.stderr),
        ] {
            let path = match &log.target {
                LogTarget::Discard => None,
                LogTarget::File { path, auto: _ } => Some(path.to_string_lossy().into_owned()),
            };
            let shown = [
                (log.shown.stdout, "/dev/stdout"),
                (log.shown.stderr, "/dev/stderr"),
                (log.direct, "direct"),
            ];
            let shown = shown
                .into_iter()
                .filter(|(is_so, _)| *is_so)
                .map(|(_, name)| name.to_owned());
            keys.add(key, path.into_iter().chain(shown));
        }
        Self::from(keys.0)
    }

    /// Names of the keys that are not the same in both.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let [ours, theirs] = [self, other].map(|it| it.pairs().collect::<BTreeMap<_, _>>());
        let names: BTreeSet<&str> = ours.keys().chain(theirs.keys()).copied().collect();
        names
            .into_iter()
            .filter(|name| ours.get(name) != theirs.get(name))
            .map(str::to_owned)
            .collect()
    }

    fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.split(',').filter_map(|pair| pair.split_once('='))
    }
}

/// Hashes that are being made.
#[derive(Default)]
struct Hashes(BTreeMap<String, String>);

impl Hashes {
    /// Adds a key, unless it has nothing to say.
    fn add<T: AsRef<str>>(&mut self, key: &str, parts: impl IntoIterator<Item = T>) {
        let mut parts = parts.into_iter().peekable();
        if parts.peek().is_none() {
            return;
        }
        // FNV-1a: the same on every machine and in every version.
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        let mut take = |byte: u8| {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        };
        for part in parts {
            part.as_ref().bytes().for_each(&mut take);
            take(0);
        }
        self.0.insert(key.to_owned(), format!("{hash:016x}"));
    }
}

fn account(user: &User) -> String {
    let User {
        name,
        uid,
        gid,
        groups,
        home,
        shell,
    } = user;
    format!("{name} {uid} {gid} {groups:?} {home:?} {shell:?}")
}

/// One word: `key=hash,key=hash`.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Fingerprint {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
        let keys: BTreeMap<String, String> = pairs
            .map(|(key, hash)| (key.to_owned(), hash.to_owned()))
            .collect();
        Ok(Self::from(keys))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::FakeHost;

    fn settings() -> ProcessSettings {
        let loaded = FakeHost::with("[program.web]\ncommand=cat x\n").load();
        let config = loaded.config.unwrap();
        let process = config
            .groups
            .values()
            .flat_map(|group| group.processes.values())
            .next();
        ProcessSettings::clone(process.unwrap())
    }

    #[test]
    fn it_names_what_changed_and_survives_being_written_down() {
        type Change = fn(&mut ProcessSettings);
        let base = settings();
        let changes: [(Change, &[&str]); 7] = [
            (|_| {}, &[]),
            (|it| it.launch.argv.push("x".to_owned()), &["command"]),
            (|it| it.launch.umask = 0o77, &["umask"]),
            (
                |it| {
                    let Environment(variables) = &mut it.launch.environment;
                    variables.insert("A".to_owned(), "secret".to_owned());
                },
                &["environment"],
            ),
            (|it| it.launch.redirect_stderr = true, &["redirect_stderr"]),
            (
                |it| {
                    it.stdout.target = LogTarget::File {
                        path: std::path::Path::new("/elsewhere").into(),
                        auto: false,
                    };
                },
                &["stdout_logfile"],
            ),
            (|it| it.policy.startretries += 1, &[]),
        ];
        for (change, expected) in changes {
            let mut edited = base.clone();
            change(&mut edited);
            let text = Fingerprint::of(&edited).to_string();
            assert!(!text.contains(' ') && !text.contains("secret"), "{text}");
            let read: Fingerprint = text.parse().unwrap();
            let json = serde_json::to_string(&read).unwrap();
            assert!(json.starts_with("{\"command\":\""), "{json}");
            assert_eq!(serde_json::from_str::<Fingerprint>(&json).unwrap(), read);
            assert_eq!(read.differences(&Fingerprint::of(&base)), expected);
            assert_eq!(read.differences(&Fingerprint::of(&edited)), [""; 0]);
        }
    }

    #[test]
    fn the_hash_never_changes() {
        let mut keys = Hashes::default();
        keys.add("command", ["sleep", "1000"]);
        assert_eq!(
            Fingerprint::from(keys.0).to_string(),
            "command=27d9522a80b24a4b"
        );
    }
}
