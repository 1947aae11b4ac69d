//! A machine that exists only in a test.

use crate::config::model::User;
use crate::config::{
    FileContent, FileFacts, FileKind, Host, LoadRequest, Loaded, Override, ReadError, load,
};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// Files, directories, accounts and variables, all made up.
#[derive(Debug)]
pub struct FakeHost {
    pub files: BTreeMap<PathBuf, String>,
    pub directories: Vec<PathBuf>,
    pub facts: BTreeMap<PathBuf, FileFacts>,
    pub environment: BTreeMap<String, String>,
    pub uid: u32,
}

impl Default for FakeHost {
    fn default() -> Self {
        Self {
            files: BTreeMap::from([(PathBuf::from("/bin/cat"), String::new())]),
            directories: ["/", "/etc", "/tmp", "/var/log", "/base", "/srv/www"]
                .map(PathBuf::from)
                .into(),
            facts: BTreeMap::new(),
            environment: BTreeMap::from([
                ("HOME".to_owned(), "/home/me".to_owned()),
                ("PATH".to_owned(), "/bin".to_owned()),
            ]),
            uid: 1000,
        }
    }
}

impl FakeHost {
    /// A machine with one configuration file, `/base/main.ini`.
    pub fn with(text: &str) -> Self {
        Self::default().and("/base/main.ini", text)
    }

    /// Adds a file.
    pub fn and(mut self, path: &str, text: &str) -> Self {
        self.files.insert(PathBuf::from(path), text.to_owned());
        self
    }

    /// Loads `/base/main.ini`.
    pub fn load(&self) -> Loaded {
        self.load_with(&[])
    }

    /// Loads it with flags.
    pub fn load_with(&self, overrides: &[Override]) -> Loaded {
        load(&LoadRequest {
            path: Path::new("main.ini"),
            overrides,
            host: self,
        })
    }
}

impl Host for FakeHost {
    fn read(&self, path: &Path) -> Result<FileContent, ReadError> {
        let missing = || ReadError::Io(io::ErrorKind::NotFound.into());
        let text = self.files.get(path).ok_or_else(missing)?;
        let inode = self.files.keys().position(|known| known == path);
        Ok(FileContent {
            bytes: text.clone().into_bytes(),
            identity: (0, inode.unwrap_or_default() as u64),
        })
    }

    fn facts(&self, path: &Path) -> Option<FileFacts> {
        let made = |kind| FileFacts {
            kind,
            uid: self.uid,
            mode: 0o644,
        };
        let known = self.facts.get(path).copied();
        let file = || {
            self.files
                .contains_key(path)
                .then(|| made(FileKind::Regular))
        };
        let directory = || {
            let known = self.directories.iter().any(|directory| directory == path);
            known.then(|| made(FileKind::Directory))
        };
        known.or_else(file).or_else(directory)
    }

    fn is_executable(&self, path: &Path) -> bool {
        path.starts_with("/bin")
    }

    fn is_writable(&self, path: &Path) -> bool {
        self.facts(path)
            .is_some_and(|facts| facts.kind == FileKind::Directory)
    }

    fn glob(&self, pattern: &str) -> Result<Vec<PathBuf>, String> {
        let pattern = glob::Pattern::new(pattern).map_err(|error| error.msg.to_owned())?;
        let matching = self.files.keys().filter(|path| pattern.matches_path(path));
        Ok(matching.cloned().collect())
    }

    fn account_by_name(&self, name: &str) -> io::Result<Option<User>> {
        Ok((name == "www").then(|| User {
            name: name.to_owned(),
            uid: 33,
            gid: 34,
            groups: vec![34, 35],
            home: Some(PathBuf::from("/srv/www")),
            shell: None,
        }))
    }

    fn account_by_uid(&self, uid: u32) -> io::Result<Option<User>> {
        if uid == 33 {
            self.account_by_name("www")
        } else {
            Ok(None)
        }
    }

    fn group_by_name(&self, name: &str) -> io::Result<Option<u32>> {
        Ok((name == "www-group").then_some(34))
    }

    fn has_gid(&self, gid: u32) -> io::Result<bool> {
        Ok(gid == 34)
    }

    fn environment(&self) -> BTreeMap<String, String> {
        self.environment.clone()
    }

    fn node_name(&self) -> String {
        "alpha".into()
    }

    fn effective_uid(&self) -> u32 {
        self.uid
    }

    fn current_dir(&self) -> PathBuf {
        PathBuf::from("/base")
    }

    fn temp_dir(&self) -> PathBuf {
        PathBuf::from("/tmp")
    }
}
