//! What a process was started with, in a form that can be written down: a hash of each setting, none of their values.
//!
//! It tells a later daemon, even of another version, whether a process still is as the file wants it, and which key
//! changed. So only what differs from the default is named, and a key that a version adds says nothing about processes
//! that do not use it. What applies live is left out, as in [`ProcessSettings::needs_restart`].

use super::model::{EnvLayers, Environment, Launch, LogSettings, LogTarget, ProcessSettings, User};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fmt::{self, Write};
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
        let EnvLayers {
            common_files,
            common: Environment(common),
            files,
        } = env_layers;
        // In the order of their names.
        let mut keys = Hashes::default();
        keys.add("command", argv.iter().chain([command]));
        keys.add("directory", directory.iter().map(|it| it.display()));
        // What is in the files is read at each start, and is no setting.
        keys.add("env_file", common_files.iter().chain(files));
        let variables = common
            .iter()
            .filter(|(name, _)| !own.contains_key(*name))
            .chain(own)
            .map(|(name, value)| Joined([name, "=", value]));
        keys.add("environment", variables);
        keys.add("eventlistener", listener.then_some(""));
        keys.add("redirect_stderr", redirect_stderr.then_some(""));
        keys.add("serverurl", server_url);
        // Who owns it and how long its queue is changes the socket in place.
        keys.add("socket", listen.iter().map(|it| &it.address));
        keys.add("stderr_logfile", log(&settings.stderr));
        keys.add("stdout_logfile", log(&settings.stdout));
        keys.add("strip_ansi", strip_ansi.then_some(""));
        keys.add("umask", [umask]);
        keys.add("user", user.iter().map(|it| account(it)));
        Self(keys.0.into_boxed_str())
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

/// Hashes that are being made, as text. A process is written down with them each time it is started, so nothing is
/// made on the way to them.
#[derive(Default)]
struct Hashes(String);

impl Hashes {
    /// Adds a key, unless it has nothing to say.
    fn add<T: fmt::Display>(&mut self, key: &str, parts: impl IntoIterator<Item = T>) {
        let mut parts = parts.into_iter().peekable();
        if parts.peek().is_none() {
            return;
        }
        let mut hash = Fnv::default();
        for part in parts {
            // Nothing that is written here fails.
            let _hashed = write!(hash, "{part}\0");
        }
        let Fnv(hash) = hash;
        let joint = if self.0.is_empty() { "" } else { "," };
        let _written = write!(self.0, "{joint}{key}={hash:016x}");
    }
}

/// FNV-1a: the same on every machine and in every version.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Write for Fnv {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Ok(())
    }
}

/// Texts one after the other.
struct Joined<'t>([&'t str; 3]);

impl fmt::Display for Joined<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|text| f.write_str(text))
    }
}

/// Where an output stream leads.
fn log(log: &LogSettings) -> impl Iterator<Item = Cow<'_, str>> {
    let path = match &log.target {
        LogTarget::Discard => None,
        LogTarget::File { path, auto: _ } => Some(path.to_string_lossy()),
    };
    let shown = [
        (log.shown.stdout, "/dev/stdout"),
        (log.shown.stderr, "/dev/stderr"),
        (log.direct, "direct"),
    ];
    let shown = shown.into_iter().filter(|(is_so, _)| *is_so);
    path.into_iter().chain(shown.map(|(_, name)| name.into()))
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
    use std::sync::Arc;

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
    fn it_is_the_same_in_every_version() {
        let text = "[taskmasterd]\nenvironment=A=1,B=2\nenv_file=/common\n[program.web]\ncommand=cat 'x y'\n\
            directory=/tmp\numask=027\nenvironment=B=3\nenv_file=-/a,/b\nredirect_stderr=true\n\
            serverurl=unix:///x\nstdout_logfile=/dev/stdout\n";
        let loaded = FakeHost::with(text).load();
        let config = loaded.config.unwrap();
        let web = &config.groups.values().next().unwrap().processes;
        let mut web = ProcessSettings::clone(web.values().next().unwrap());
        web.launch.strip_ansi = true;
        web.launch.user = Some(Arc::new(User {
            name: "nobody".to_owned(),
            uid: 65534,
            gid: 65534,
            groups: vec![65534],
            home: Some("/".into()),
            shell: None,
        }));
        let expected = [
            "command=fe9c898737ac65db",
            "directory=71a79d94d04c9b21",
            "env_file=8d2299e88318b603",
            "environment=7acb674d228765d4",
            "redirect_stderr=af63bd4c8601b7df",
            "serverurl=52a417720358529a",
            "stderr_logfile=26ce89fba317d648",
            "stdout_logfile=1f593a2eb6a0cf5b",
            "strip_ansi=af63bd4c8601b7df",
            "umask=60421e1827905816",
            "user=4b2a7d1354239715",
        ];
        assert_eq!(Fingerprint::of(&web).to_string(), expected.join(","));
    }
}
