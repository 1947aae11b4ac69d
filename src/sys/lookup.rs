//! Finds the file to execute for the first word of a command, so that a missing program is known before a fork.

use super::clock;
use crate::types::Monotonic;
use nix::errno::Errno;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long what was found counts as found just now. Whoever installs a program in another directory of the path cannot
/// tell that moment from a later one.
const FRESH: Duration = Duration::from_secs(1);

/// What was found lately, so that a thousand copies of a program are not looked for a thousand times.
#[derive(Debug, Default)]
pub struct Lookups {
    found: BTreeMap<Question, PathBuf>,
    since: Option<Monotonic>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Question {
    word: String,
    path: Option<String>,
    directory: Option<PathBuf>,
}

impl Lookups {
    /// As [`lookup`]. Whether a file that was found lately is still there and executable is looked at every time.
    pub fn lookup(
        &mut self,
        word: &str,
        path: Option<&str>,
        directory: Option<&Path>,
    ) -> Result<PathBuf, Errno> {
        let now = clock::now();
        if self.since.is_none_or(|since| now.since(since) >= FRESH) {
            self.found.clear();
            self.since = Some(now);
        }
        let question = Question {
            word: word.to_owned(),
            path: path.map(str::to_owned),
            directory: directory.map(Path::to_owned),
        };
        if let Some(file) = self.found.get(&question)
            && check(file).is_ok()
        {
            return Ok(file.clone());
        }
        let file = lookup(word, path, directory)?;
        self.found.insert(question, file.clone());
        Ok(file)
    }
}

/// Where programs are looked for when no `PATH` is given.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The file that `word` stands for: itself when it holds a `/`, else the first executable file of that name along
/// `path`. What is relative counts from `directory`, or from the current directory without one.
///
/// `ENOENT`: there is none; `EISDIR`: it is a directory; `EACCES`: it is no executable file for anybody. Whether it
/// is one for the target user shows at execution: asking in advance as root gives wrong answers.
pub fn lookup(word: &str, path: Option<&str>, directory: Option<&Path>) -> Result<PathBuf, Errno> {
    let base = directory.unwrap_or(Path::new(""));
    if word.is_empty() {
        return Err(Errno::ENOENT);
    }
    if word.contains('/') {
        let file = base.join(word);
        return check(&file).map(|()| file);
    }
    let mut failure = Errno::ENOENT;
    for entry in path.unwrap_or(DEFAULT_PATH).split(':') {
        // An empty entry means the current directory, as it does for every shell.
        let file = base
            .join(if entry.is_empty() { "." } else { entry })
            .join(word);
        match check(&file) {
            Ok(()) => return Ok(file),
            // What is there but cannot be executed says more than what is not there.
            Err(errno) if errno == Errno::EACCES || failure == Errno::ENOENT => {
                if errno != Errno::ENOTDIR {
                    failure = errno;
                }
            }
            Err(_) => {}
        }
    }
    Err(failure)
}

fn check(file: &Path) -> Result<(), Errno> {
    let metadata = fs::metadata(file)
        .map_err(|error| error.raw_os_error().map_or(Errno::EINVAL, Errno::from_raw))?;
    if metadata.is_dir() {
        return Err(Errno::EISDIR);
    }
    if !metadata.is_file() || metadata.permissions().mode() & 0o111 == 0 {
        return Err(Errno::EACCES);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn tree() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, mode) in [
            ("bin/tool", 0o755),
            ("bin/plain", 0o644),
            ("other/plain", 0o711),
        ] {
            let file = root.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, "").unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::create_dir(root.path().join("bin/folder")).unwrap();
        symlink("tool", root.path().join("bin/link")).unwrap();
        symlink("nowhere", root.path().join("bin/dangling")).unwrap();
        root
    }

    #[test]
    fn words_are_found_along_path_or_say_why_not() {
        let root = tree();
        let at = |name: &str| root.path().join(name);
        let bin = at("bin").display().to_string();
        let both = format!("{bin}:{}", at("other").display());
        let missing_first = format!("/nonexistent::{}/bin/tool:{bin}", root.path().display());
        for (word, path, expected) in [
            ("tool", &bin, Ok(at("bin/tool"))),
            ("link", &bin, Ok(at("bin/link"))),
            ("tool", &missing_first, Ok(at("bin/tool"))),
            ("plain", &bin, Err(Errno::EACCES)),
            ("plain", &both, Ok(at("other/plain"))),
            ("folder", &bin, Err(Errno::EISDIR)),
            ("folder", &both, Err(Errno::EISDIR)),
            ("dangling", &bin, Err(Errno::ENOENT)),
            ("absent", &both, Err(Errno::ENOENT)),
            ("", &bin, Err(Errno::ENOENT)),
            ("nul\0", &bin, Err(Errno::EINVAL)),
        ] {
            assert_eq!(
                lookup(word, Some(path), None),
                expected,
                "{word:?} in {path}"
            );
        }
        assert!(lookup("sh", None, None).unwrap().is_absolute());
    }

    #[test]
    fn what_was_found_lately_is_only_used_while_it_is_there() {
        let root = tree();
        let at = |name: &str| root.path().join(name);
        let path = format!("{}:{}", at("other").display(), at("bin").display());
        let mut lookups = Lookups::default();
        assert_eq!(
            lookups.lookup("tool", Some(&path), None),
            Ok(at("bin/tool"))
        );
        fs::rename(at("bin/tool"), at("other/tool")).unwrap();
        assert_eq!(
            lookups.lookup("tool", Some(&path), None),
            Ok(at("other/tool"))
        );
        // The same word along another path is another question.
        let bin = at("bin").display().to_string();
        assert_eq!(lookups.lookup("tool", Some(&bin), None), Err(Errno::ENOENT));
        // In a second, what comes earlier in the path is seen again.
        fs::copy(at("other/tool"), at("bin/tool")).unwrap();
        // However late it is by now.
        lookups.since = Some(clock::now().after(FRESH * 3600));
        let both = format!("{bin}:{path}");
        lookups.found.insert(
            Question {
                word: "tool".to_owned(),
                path: Some(both.clone()),
                directory: None,
            },
            at("other/tool"),
        );
        assert_eq!(
            lookups.lookup("tool", Some(&both), None),
            Ok(at("other/tool"))
        );
        lookups.since = Some(Monotonic::default());
        assert_eq!(
            lookups.lookup("tool", Some(&both), None),
            Ok(at("bin/tool"))
        );
    }

    #[test]
    fn a_word_with_a_slash_is_taken_as_it_is_from_the_directory() {
        let root = tree();
        let directory = Some(root.path());
        let absolute = root.path().join("bin/tool").display().to_string();
        assert_eq!(
            lookup("bin/tool", None, directory),
            Ok(root.path().join("bin/tool"))
        );
        assert_eq!(
            lookup("./bin/tool", None, directory),
            Ok(root.path().join("./bin/tool"))
        );
        assert_eq!(
            lookup(&absolute, None, Some(Path::new("/"))),
            Ok(absolute.into())
        );
        assert_eq!(lookup("bin/plain", None, directory), Err(Errno::EACCES));
        assert_eq!(lookup("bin/folder", None, directory), Err(Errno::EISDIR));
        assert_eq!(lookup("bin/absent", None, directory), Err(Errno::ENOENT));
        assert_eq!(lookup("bin/tool/x", None, directory), Err(Errno::ENOTDIR));
        // Relative entries of PATH, and the empty one, count from the directory too.
        assert_eq!(
            lookup("tool", Some("bin"), directory),
            Ok(root.path().join("bin/tool"))
        );
        assert_eq!(
            lookup("tool", Some(":"), Some(&root.path().join("bin"))),
            Ok(root.path().join("bin/./tool"))
        );
    }
}
