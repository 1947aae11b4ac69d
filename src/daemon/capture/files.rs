//! The open log files. Everything that goes to one path shares one file, so that it is rotated once and in order.

use super::file::{Limits, LogFile};
use super::open::{Creation, Directory, Opened};
use super::slab::Slab;
use nix::errno::Errno;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// Files under numbers, and the directories they are in.
#[derive(Debug)]
pub(super) struct Files {
    by_number: Slab<Shared>,
    by_path: BTreeMap<Arc<Path>, u32>,
    directories: BTreeMap<Box<Path>, Rc<Directory>>,
}

/// A file and how many use it.
#[derive(Debug)]
struct Shared {
    file: LogFile,
    users: u32,
}

impl Files {
    pub(super) fn new() -> Self {
        Self {
            by_number: Slab::new(),
            by_path: BTreeMap::new(),
            directories: BTreeMap::new(),
        }
    }

    /// The file at `path`, opened if it is not open yet. The latest limits hold for all that use it. `None` only when
    /// there are four thousand million files.
    pub(super) fn acquire(&mut self, path: Arc<Path>, limits: Limits, now: Instant) -> Option<u32> {
        if let Some(&number) = self.by_path.get(&path) {
            let shared = self.by_number.get_mut(number)?;
            shared.users += 1;
            shared.file.set_limits(limits);
            return Some(number);
        }
        let directory = self.directory(&path);
        let file = LogFile::open(Arc::clone(&path), directory, limits, now);
        let number = self.by_number.insert(Shared { file, users: 1 }).ok()?;
        self.by_path.insert(path, number);
        Some(number)
    }

    /// Gives one use of the file up; the last one closes it.
    pub(super) fn release(&mut self, number: u32) {
        let Some(shared) = self.by_number.get_mut(number) else {
            return;
        };
        shared.users = shared.users.saturating_sub(1);
        if shared.users > 0 {
            return;
        }
        let Some(Shared { file, .. }) = self.by_number.remove(number) else {
            return;
        };
        self.by_path.remove(file.path());
        let directory = file.directory().cloned();
        drop(file);
        // Ours and the map's: no file needs it any more.
        if let Some(directory) = directory.filter(|held| Rc::strong_count(held) == 2) {
            self.directories.remove(directory.path());
        }
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut LogFile> {
        self.by_number
            .get_mut(number)
            .map(|shared| &mut shared.file)
    }

    pub(super) fn path(&mut self, number: u32) -> Option<Arc<Path>> {
        self.get_mut(number).map(|file| Arc::clone(file.path()))
    }

    pub(super) fn relimit(&mut self, number: u32, limits: Limits) {
        if let Some(file) = self.get_mut(number) {
            file.set_limits(limits);
        }
    }

    /// Follows every path anew, through its directories.
    pub(super) fn reopen_all(&mut self, now: Instant) {
        for directory in self.directories.values() {
            directory.release();
        }
        for shared in self.by_number.values_mut() {
            shared.file.reopen(now);
        }
    }

    /// Empties files, open or not. Those that do not exist are empty already; what is not a regular file is left
    /// alone. The first failure is told, after all were tried.
    pub(super) fn clear(&mut self, paths: &[PathBuf], now: Instant) -> Result<(), Errno> {
        paths
            .iter()
            .map(|path| self.clear_one(path, now))
            .fold(Ok(()), Result::and)
    }

    fn clear_one(&mut self, path: &Path, now: Instant) -> Result<(), Errno> {
        if let Some(&number) = self.by_path.get(path)
            && let Some(file) = self.get_mut(number)
        {
            return file.clear(now);
        }
        let (Some(directory), Some(name)) = (self.directory(path), path.file_name()) else {
            return Ok(());
        };
        match Opened::entry(&directory, name, Creation::Never) {
            Ok(opened) if opened.is_regular() => opened.truncate(),
            Ok(_) | Err(Errno::ENOENT | Errno::ENXIO) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    /// The directory of `path`: the one that is held already, where there is one.
    fn directory(&mut self, path: &Path) -> Option<Rc<Directory>> {
        let parent = LogFile::directory_of(path)?;
        if let Some(held) = self.directories.get(parent) {
            return Some(Rc::clone(held));
        }
        let directory = Rc::new(Directory::new(parent));
        self.directories
            .insert(parent.into(), Rc::clone(&directory));
        Some(directory)
    }
}
