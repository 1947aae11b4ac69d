//! Rotation to the byte, and what a file does when its disk, its path or its directory lets it down.

#![allow(clippy::print_stderr, reason = "a test that cannot run says why")]

use super::*;
use std::fs;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::PathBuf;

struct Place {
    directory: tempfile::TempDir,
    begin: Instant,
}

impl Place {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            begin: Instant::now(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn open(&self, name: &str, maxbytes: u64, backups: u32) -> LogFile {
        open_at(&self.path(name), maxbytes, backups, self.begin)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|_| "-".into())
    }

    /// The files from the newest to the oldest, `-` for one that is missing.
    fn all(&self, backups: u32) -> Vec<String> {
        let mut all = vec![self.read("log")];
        all.extend((1..=backups).map(|number| self.read(&format!("log.{number}"))));
        all
    }

    fn seconds(&self, seconds: u64) -> Instant {
        self.begin + Duration::from_secs(seconds)
    }
}

fn open_at(path: &Path, maxbytes: u64, backups: u32, now: Instant) -> LogFile {
    let directory = LogFile::directory_of(path).map(|path| Rc::new(Directory::new(path)));
    let limits = Limits { maxbytes, backups };
    LogFile::open(Arc::from(path), directory, limits, now)
}

#[track_caller]
fn put(file: &mut LogFile, text: &str, now: Instant) {
    let whole = Written {
        bytes: text.len(),
        failure: None,
    };
    assert_eq!(file.write(text.as_bytes(), now), whole, "{text:?}");
}

#[test]
fn where_a_file_is_cut() {
    // Limit, what is written piece by piece, and the files that come of it, the newest first.
    let table: &[(u64, &[&str], &[&str])] = &[
        // It fits exactly, and rotation waits for the next byte.
        (4, &["abc\n"], &["abc\n"]),
        (4, &["abc\n", "d"], &["d", "abc\n"]),
        (4, &["abc\nd"], &["d", "abc\n"]),
        // Lines stay whole, although there would be room for a part.
        (6, &["abc\n", "def\n"], &["def\n", "abc\n"]),
        (6, &["abc\ndef\nghi\n"], &["ghi\n", "def\n", "abc\n"]),
        (8, &["abc\ndef\nghi\n"], &["ghi\n", "abc\ndef\n"]),
        // A line longer than a file is cut at the limit.
        (3, &["abcdefgh"], &["gh", "def", "abc"]),
        (3, &["abcdefg\n"], &["g\n", "def", "abc"]),
        (4, &["ab\n", "cdefghi\n"], &["ghi\n", "cdef", "ab\n"]),
        // So is one whose beginning is in the file already.
        (4, &["ab", "cdef\n"], &["ef\n", "abcd"]),
        (1, &["ab"], &["b", "a"]),
        // No limit.
        (0, &["abc\n", "def\n"], &["abc\ndef\n"]),
        (6, &["", "abc"], &["abc"]),
    ];
    for (limit, pieces, expected) in table {
        let place = Place::new();
        let mut file = place.open("log", *limit, 9);
        for piece in *pieces {
            put(&mut file, piece, place.begin);
        }
        let mut all = place.all(9);
        all.retain(|content| content != "-");
        assert_eq!(all, *expected, "limit {limit}, {pieces:?}");
    }
}

#[test]
fn backups_are_numbered_from_the_newest_and_the_oldest_goes() {
    let place = Place::new();
    let mut file = place.open("log", 2, 2);
    for text in ["a\n", "b\n", "c\n", "d\n"] {
        put(&mut file, text, place.begin);
    }
    assert_eq!(place.all(3), ["d\n", "c\n", "b\n", "-"]);
    assert_eq!(fs::metadata(place.path("log")).unwrap().mode() & 0o137, 0);
}

#[test]
fn with_one_backup_there_is_one_and_with_none_the_file_is_emptied() {
    let place = Place::new();
    let mut file = place.open("log", 2, 1);
    for text in ["a\n", "b\n", "c\n"] {
        put(&mut file, text, place.begin);
    }
    assert_eq!(place.all(2), ["c\n", "b\n", "-"]);
    file.set_limits(Limits {
        maxbytes: 2,
        backups: 0,
    });
    put(&mut file, "d\n", place.begin);
    assert_eq!(place.all(2), ["d\n", "b\n", "-"]);
}

#[test]
fn fewer_backups_remove_nothing_and_more_go_on_counting() {
    let place = Place::new();
    let mut file = place.open("log", 2, 4);
    for text in ["a\n", "b\n", "c\n", "d\n", "e\n"] {
        put(&mut file, text, place.begin);
    }
    let limits = |backups| Limits {
        maxbytes: 2,
        backups,
    };
    file.set_limits(limits(2));
    put(&mut file, "f\n", place.begin);
    assert_eq!(place.all(4), ["f\n", "e\n", "d\n", "b\n", "a\n"]);
    file.set_limits(limits(5));
    put(&mut file, "g\n", place.begin);
    assert_eq!(place.all(5), ["g\n", "f\n", "e\n", "d\n", "b\n", "a\n"]);
}

#[test]
fn a_gap_among_the_backups_is_filled_before_anything_goes() {
    let place = Place::new();
    let mut file = place.open("log", 2, 3);
    for text in ["a\n", "b\n", "c\n", "d\n"] {
        put(&mut file, text, place.begin);
    }
    fs::remove_file(place.path("log.2")).unwrap();
    put(&mut file, "e\n", place.begin);
    assert_eq!(place.all(3), ["e\n", "d\n", "c\n", "a\n"]);
}

#[test]
fn an_existing_file_is_appended_to_and_counted() {
    let place = Place::new();
    fs::write(place.path("log"), "old\n").unwrap();
    let mut file = place.open("log", 6, 1);
    put(&mut file, "x\n", place.begin);
    assert_eq!(place.all(1), ["old\nx\n", "-"]);
    put(&mut file, "y\n", place.begin);
    assert_eq!(place.all(1), ["y\n", "old\nx\n"]);
}

#[test]
fn a_lower_limit_rotates_at_the_next_write() {
    let place = Place::new();
    let mut file = place.open("log", 0, 0);
    put(&mut file, "more than that\n", place.begin);
    file.set_limits(Limits {
        maxbytes: 4,
        backups: 1,
    });
    put(&mut file, "x\n", place.begin);
    assert_eq!(place.all(1), ["x\n", "more than that\n"]);
}

#[test]
fn a_file_truncated_by_others_has_no_hole_and_is_not_rotated_early() {
    let place = Place::new();
    let mut file = place.open("log", 8, 1);
    put(&mut file, "abcdef\n", place.begin);
    fs::copy(place.path("log"), place.path("copy")).unwrap();
    fs::File::create(place.path("log")).unwrap();
    put(&mut file, "ghijkl\n", place.begin);
    assert_eq!(place.all(1), ["ghijkl\n", "-"]);
}

#[test]
fn a_file_removed_or_moved_is_created_again_within_a_second() {
    let place = Place::new();
    let mut file = place.open("log", 100, 1);
    put(&mut file, "a\n", place.begin);
    fs::remove_file(place.path("log")).unwrap();
    put(&mut file, "b\n", place.begin);
    assert_eq!(place.read("log"), "-");
    put(&mut file, "c\n", place.seconds(1));
    assert_eq!(place.read("log"), "c\n");
    fs::rename(place.path("log"), place.path("moved")).unwrap();
    put(&mut file, "d\n", place.seconds(2));
    assert_eq!(place.read("moved"), "c\n");
    assert_eq!(place.all(1), ["d\n", "-"]);
    assert_eq!(file.trouble(), None);
}

#[test]
fn a_file_put_in_its_place_is_never_renamed_for_ours() {
    let place = Place::new();
    let mut file = place.open("log", 4, 1);
    put(&mut file, "abc\n", place.begin);
    fs::rename(place.path("log"), place.path("moved")).unwrap();
    fs::write(place.path("log"), "x\n").unwrap();
    put(&mut file, "y\n", place.begin);
    assert_eq!(place.all(1), ["x\ny\n", "-"]);
    assert_eq!(place.read("moved"), "abc\n");
}

#[test]
fn reopening_follows_the_path_at_once() {
    let place = Place::new();
    let mut file = place.open("log", 0, 0);
    put(&mut file, "a\n", place.begin);
    fs::rename(place.path("log"), place.path("moved")).unwrap();
    file.reopen(place.begin);
    put(&mut file, "b\n", place.begin);
    assert_eq!(
        (place.read("moved"), place.read("log")),
        ("a\n".into(), "b\n".into())
    );
}

#[test]
fn a_rotation_that_fails_loses_nothing_and_is_tried_again_later() {
    let place = Place::new();
    let mut file = place.open("log", 2, 1);
    put(&mut file, "a\n", place.begin);
    // Nothing can be renamed to the name of a directory that is not empty.
    fs::create_dir_all(place.path("log.1/occupied")).unwrap();
    put(&mut file, "b\n", place.begin);
    assert_eq!(file.trouble(), Some(Errno::EISDIR));
    fs::remove_dir_all(place.path("log.1")).unwrap();
    put(&mut file, "c\n", place.seconds(9));
    assert_eq!(place.all(1), ["a\nb\nc\n", "-"]);
    put(&mut file, "d\n", place.seconds(10));
    assert_eq!(place.all(1), ["d\n", "a\nb\nc\n"]);
    assert_eq!(file.trouble(), None);
}

#[test]
fn links_hard_links_and_directories_are_refused() {
    let place = Place::new();
    fs::write(place.path("victim"), "").unwrap();
    symlink(place.path("victim"), place.path("link")).unwrap();
    fs::hard_link(place.path("victim"), place.path("hard")).unwrap();
    fs::create_dir(place.path("directory")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(place.path("socket")).unwrap();
    for (name, errno) in [
        ("link", Errno::ELOOP),
        ("hard", Errno::EMLINK),
        ("directory", Errno::EISDIR),
        ("socket", Errno::ENXIO),
        ("nowhere/log", Errno::ENOENT),
    ] {
        let mut file = place.open(name, 0, 0);
        assert_eq!(file.trouble(), Some(errno), "{name}");
        let refused = Written {
            bytes: 0,
            failure: Some(errno),
        };
        assert_eq!(file.write(b"x", place.begin), refused, "{name}");
    }
    assert_eq!(place.read("victim"), "");
}

#[test]
fn what_is_refused_is_looked_at_again_after_a_second() {
    let place = Place::new();
    let mut file = place.open("later/log", 0, 0);
    fs::create_dir(place.path("later")).unwrap();
    assert_eq!(file.write(b"x", place.begin).failure, Some(Errno::ENOENT));
    put(&mut file, "y", place.seconds(1));
    assert_eq!(place.read("later/log"), "y");
}

#[test]
fn a_moved_directory_keeps_its_files_until_paths_are_followed_anew() {
    let place = Place::new();
    fs::create_dir(place.path("logs")).unwrap();
    let mut file = place.open("logs/log", 2, 1);
    put(&mut file, "a\n", place.begin);
    fs::create_dir(place.path("victim")).unwrap();
    fs::rename(place.path("logs"), place.path("moved")).unwrap();
    symlink(place.path("victim"), place.path("logs")).unwrap();
    put(&mut file, "b\n", place.seconds(5));
    assert_eq!(place.read("moved/log"), "b\n");
    assert_eq!(place.read("moved/log.1"), "a\n");
    assert_eq!(fs::read_dir(place.path("victim")).unwrap().count(), 0);
}

#[test]
fn a_directory_that_was_removed_and_made_again_is_found() {
    let place = Place::new();
    fs::create_dir(place.path("logs")).unwrap();
    let mut file = place.open("logs/log", 0, 0);
    put(&mut file, "a\n", place.begin);
    fs::remove_dir_all(place.path("logs")).unwrap();
    put(&mut file, "b\n", place.seconds(1));
    assert_eq!(file.trouble(), Some(Errno::ENOENT));
    fs::create_dir(place.path("logs")).unwrap();
    put(&mut file, "c\n", place.seconds(2));
    assert_eq!(place.read("logs/log"), "c\n");
    assert_eq!(file.trouble(), None);
}

#[test]
fn a_fifo_never_blocks_and_is_never_rotated() {
    let place = Place::new();
    let path = place.path("fifo");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    let mut file = place.open("fifo", 4, 1);
    assert_eq!(file.trouble(), Some(Errno::ENXIO));
    let reader = fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(&path)
        .unwrap();
    put(&mut file, "more than four\n", place.seconds(1));
    let mut buffer = [0; 64];
    let count = std::io::Read::read(&mut (&reader), &mut buffer).unwrap();
    assert_eq!(&buffer[..count], b"more than four\n");
    drop(reader);
    let written = file.write(b"x", place.seconds(1));
    assert_eq!(written.failure, Some(Errno::EPIPE));
    assert_eq!(file.clear(place.seconds(1)), Ok(()));
}

#[test]
fn a_slow_reader_gets_everything_and_one_that_is_given_up_costs_a_try_per_second() {
    let place = Place::new();
    let path = place.path("fifo");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    let mut reader = fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(&path)
        .unwrap();
    let mut file = place.open("fifo", 0, 0);
    let flood: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let mut sent = 0;
    while !file.is_stalled() {
        assert_eq!(file.write(&flood, place.begin).bytes, flood.len());
        sent += flood.len();
    }
    let mut got: Vec<u8> = Vec::new();
    while file.is_stalled() || got.len() < sent {
        let mut buffer = [0; 5000];
        let count = std::io::Read::read(&mut reader, &mut buffer).unwrap();
        got.extend(&buffer[..count]);
        file.flush().unwrap();
    }
    assert!(got == flood.repeat(sent / flood.len()));
    assert_eq!((file.flush(), file.trouble()), (Ok(0), None));

    while !file.is_stalled() {
        file.write(&flood, place.begin);
    }
    assert_eq!(
        file.write(&vec![b'x'; 128 << 10], place.begin).bytes,
        0,
        "too much waits"
    );
    let file_is = |file: &LogFile| (file.is_stalled(), file.trouble());
    let lost = file.give_up(Errno::EAGAIN, place.begin);
    assert!(lost > 0);
    assert_eq!(file_is(&file), (false, Some(Errno::EAGAIN)));
    assert_eq!(file.write(b"x", place.seconds(1)).bytes, 0);
    assert_eq!(
        file_is(&file),
        (false, Some(Errno::EAGAIN)),
        "no second wait"
    );
    std::io::Read::read_exact(&mut reader, &mut vec![0; 50_000]).unwrap();
    put(&mut file, "x", place.seconds(2));
    assert_eq!(file_is(&file), (false, None));
}

#[test]
fn only_exact_names_of_own_descriptors_are_followed() {
    for (path, own) in [
        ("/dev/null", true),
        ("/dev/stdout", true),
        ("/dev/stderr", true),
        ("/dev/fd/12", true),
        ("/dev/fd/", false),
        ("/dev/fd/1x", false),
        ("/dev/fd/../null", false),
        ("/dev/./null", false),
        ("/dev/stdin", false),
        ("/tmp/dev/null", false),
    ] {
        assert_eq!(is_own_descriptor(Path::new(path)), own, "{path}");
    }
    let now = Instant::now();
    let mut file = open_at(Path::new("/dev/null"), 2, 1, now);
    put(&mut file, "more than two", now);
    assert!(!Path::new("/dev/null.1").exists());
}

#[test]
fn a_full_device_takes_nothing_and_says_why() {
    let now = Instant::now();
    let mut file = open_at(Path::new("/dev/full"), 0, 0, now);
    let refused = Written {
        bytes: 0,
        failure: Some(Errno::ENOSPC),
    };
    assert_eq!(file.write(b"x", now), refused);
    assert_eq!(file.trouble(), Some(Errno::ENOSPC));
}

#[test]
fn clearing_empties_the_file_in_place_and_leaves_backups() {
    let place = Place::new();
    let mut file = place.open("log", 2, 1);
    put(&mut file, "a\n", place.begin);
    put(&mut file, "b\n", place.begin);
    assert_eq!(file.clear(place.begin), Ok(()));
    assert_eq!(place.all(1), ["", "a\n"]);
    put(&mut file, "c\n", place.begin);
    assert_eq!(place.all(1), ["c\n", "a\n"]);
}

/// A small file system of its own; `None`, with the reason printed, where that is not allowed.
struct Mount(PathBuf);

impl Mount {
    fn new(path: PathBuf, options: &str) -> Option<Self> {
        fs::create_dir(&path).unwrap();
        let status = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "none"])
            .arg(&path)
            .stderr(std::process::Stdio::null())
            .status();
        if status.is_ok_and(|status| status.success()) {
            return Some(Self(path));
        }
        eprintln!("skipped: a file system can be mounted only by root");
        None
    }

    fn remount(&self, options: &str) {
        let status = std::process::Command::new("mount")
            .args(["-o", &format!("remount,{options}")])
            .arg(&self.0)
            .status();
        assert!(status.unwrap().success());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let status = std::process::Command::new("umount")
            .arg("-l")
            .arg(&self.0)
            .status();
        assert!(status.unwrap().success());
    }
}

#[test]
fn a_full_disk_is_written_again_when_there_is_room() {
    let place = Place::new();
    let Some(_mount) = Mount::new(place.path("disk"), "size=64k") else {
        return;
    };
    fs::write(place.path("disk/ballast"), vec![0; 60 << 10]).unwrap();
    let mut file = place.open("disk/log", 0, 0);
    let written = file.write(&[b'x'; 8 << 10], place.begin);
    assert_eq!(
        written,
        Written {
            bytes: 4096,
            failure: Some(Errno::ENOSPC)
        }
    );
    fs::remove_file(place.path("disk/ballast")).unwrap();
    assert_eq!(file.write(b"y", place.begin).failure, Some(Errno::ENOSPC));
    put(&mut file, "y", place.seconds(1));
    assert_eq!(file.trouble(), None);
}

#[test]
fn without_inodes_or_on_a_read_only_disk_the_old_file_is_kept() {
    let place = Place::new();
    let Some(mount) = Mount::new(place.path("disk"), "size=1m,nr_inodes=2") else {
        return;
    };
    let mut file = place.open("disk/log", 2, 3);
    put(&mut file, "a\n", place.begin);
    put(&mut file, "b\n", place.begin);
    assert_eq!(file.trouble(), Some(Errno::ENOSPC));
    assert_eq!(place.read("disk/log"), "a\nb\n");
    assert_eq!(place.read("disk/log.1"), "-");
    mount.remount("nr_inodes=8");
    put(&mut file, "c\n", place.seconds(10));
    assert_eq!(place.read("disk/log"), "c\n");
    assert_eq!(place.read("disk/log.1"), "a\nb\n");
    drop(file);
    mount.remount("ro");
    let mut file = place.open("disk/log", 2, 3);
    assert_eq!(file.write(b"d\n", place.begin).failure, Some(Errno::EROFS));
    mount.remount("rw");
    put(&mut file, "d\n", place.seconds(1));
    assert_eq!(place.read("disk/log"), "d\n");
}

#[test]
fn a_file_that_may_not_be_written_is_refused() {
    let place = Place::new();
    fs::write(place.path("log"), "").unwrap();
    fs::set_permissions(place.path("log"), fs::Permissions::from_mode(0o444)).unwrap();
    if nix::unistd::geteuid().is_root() {
        eprintln!("skipped: root may write everything");
        return;
    }
    assert_eq!(place.open("log", 0, 0).trouble(), Some(Errno::EACCES));
}
