//! Whether what a path leads to is read from this machine alone: from a disk or from memory of its own.
//!
//! What lies on a network, or is answered by another process (FUSE, the automounter), may not answer for ever. To ask
//! whether it does would be to wait for it. So paths are only followed through what the kernel has in its memory
//! (`RESOLVE_CACHED`), and where that leads is looked up in the table of mounts. When in doubt the answer is no.

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::collections::BTreeMap;
use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// File systems on disks and in memory.
const STORES: [&str; 20] = [
    "bcachefs", "btrfs", "erofs", "exfat", "ext2", "ext3", "ext4", "f2fs", "iso9660", "jfs",
    "ntfs3", "overlay", "ramfs", "reiserfs", "rootfs", "squashfs", "tmpfs", "udf", "vfat", "xfs",
];
/// File systems in which the kernel shows itself.
const VIEWS: [&str; 20] = [
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nsfs",
    "proc",
    "pstore",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "sysfs",
    "tracefs",
];
/// The first line of a script, as far as the kernel reads it.
const SCRIPT_HEAD_BYTES: usize = 256;

/// The mounts that this process sees.
#[derive(Debug)]
pub struct Mounts {
    /// Where the kernel lists them, and tells when they change.
    list: File,
    /// Their numbers, and whether all that is in them is here.
    here: BTreeMap<u64, bool>,
    /// Whether that is so for all of them.
    all_here: bool,
}

impl Mounts {
    /// Reads the table.
    pub fn read() -> io::Result<Self> {
        let mut mounts = Self {
            list: File::open("/proc/self/mountinfo")?,
            here: BTreeMap::new(),
            all_here: false,
        };
        mounts.refresh()?;
        Ok(mounts)
    }

    /// Whether `directory`, where there is one, can be entered, and `program` executed in it, without waiting for
    /// anything but this machine. Never blocks.
    pub fn can_start(&mut self, program: &CStr, directory: Option<&CStr>) -> bool {
        if self.has_changed() && self.refresh().is_err() {
            self.all_here = false;
            self.here.clear();
        }
        self.all_here
            || (directory.is_none_or(|directory| self.is_here(directory))
                && self.is_here(program)
                && self.is_interpreter_here(program))
    }

    fn has_changed(&self) -> bool {
        let mut watched = [PollFd::new(self.list.as_fd(), PollFlags::POLLPRI)];
        poll(&mut watched, PollTimeout::ZERO) != Ok(0)
    }

    fn refresh(&mut self) -> io::Result<()> {
        let mut text = String::new();
        self.list.rewind()?;
        self.list.read_to_string(&mut text)?;
        self.here = parse(&text);
        self.all_here = !self.here.is_empty() && self.here.values().all(|&here| here);
        Ok(())
    }

    fn is_here(&self, path: &CStr) -> bool {
        mount_of(path).is_ok_and(|mount| self.here.get(&mount) == Some(&true))
    }

    /// A script is executed by another program, which the kernel reads as well. `script` was found to be here.
    fn is_interpreter_here(&self, script: &CStr) -> bool {
        let mut head = [0; SCRIPT_HEAD_BYTES];
        let path = Path::new(std::ffi::OsStr::from_bytes(script.to_bytes()));
        let Ok(count) = File::open(path).and_then(|mut file| file.read(&mut head)) else {
            // What cannot be read may still be executed, and then it is no script.
            return true;
        };
        let Some(mut interpreter) = interpreter_in(head.get(..count).unwrap_or_default()) else {
            return true;
        };
        interpreter.push(0);
        CStr::from_bytes_with_nul(&interpreter).is_ok_and(|path| self.is_here(path))
    }
}

/// The interpreter that the first line of a script names.
fn interpreter_in(head: &[u8]) -> Option<Vec<u8>> {
    let line = head
        .strip_prefix(b"#!")?
        .split(|&byte| byte == b'\n')
        .next()?;
    let word = line
        .split(|byte| b" \t".contains(byte))
        .find(|word| !word.is_empty())?;
    Some(word.to_vec())
}

/// `NUMBER PARENT MAJOR:MINOR ROOT PLACE OPTIONS [FIELD…] - TYPE SOURCE OPTIONS`
fn parse(list: &str) -> BTreeMap<u64, bool> {
    list.lines()
        .filter_map(|line| {
            let number = line.split(' ').next()?.parse().ok()?;
            let (_, kind) = line.split_once(" - ")?;
            let kind = kind.split(' ').next()?;
            let here = STORES.contains(&kind) || VIEWS.contains(&kind);
            Some((number, here))
        })
        .collect()
}

/// The number of the mount that `path` leads to, as far as the kernel knows without asking anybody.
fn mount_of(path: &CStr) -> Result<u64, Errno> {
    // SAFETY: all zero is a valid value of this record of numbers.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = u64::from((libc::O_PATH | libc::O_CLOEXEC).unsigned_abs());
    how.resolve = libc::RESOLVE_CACHED;
    // SAFETY: reads a C string and a record of the size that is given.
    let opened = unsafe {
        libc::syscall(
            libc::SYS_openat2,
            libc::AT_FDCWD,
            path.as_ptr(),
            &raw const how,
            size_of::<libc::open_how>(),
        )
    };
    let opened = i32::try_from(Errno::result(opened)?).map_err(|_| Errno::EBADF)?;
    // SAFETY: it was opened a moment ago and nobody else knows it.
    let opened = unsafe { OwnedFd::from_raw_fd(opened) };
    // SAFETY: all zero is a valid value of this record of numbers.
    let mut found: libc::statx = unsafe { std::mem::zeroed() };
    // SAFETY: reads an empty C string, writes one record.
    let asked = unsafe {
        libc::statx(
            opened.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | libc::AT_STATX_DONT_SYNC,
            libc::STATX_MNT_ID,
            &raw mut found,
        )
    };
    Errno::result(asked)?;
    if found.stx_mask & libc::STATX_MNT_ID == 0 {
        return Err(Errno::ENOSYS);
    }
    Ok(found.stx_mnt_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CString;
    use std::fs;

    fn c(path: impl AsRef<Path>) -> CString {
        CString::new(path.as_ref().as_os_str().as_bytes()).unwrap()
    }

    #[test]
    fn the_table_says_what_is_here() {
        let list = "\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:27 / /run rw shared:2 master:1 - tmpfs tmpfs rw
31 22 0:28 / /proc/sys/fs/binfmt_misc rw - autofs systemd-1 rw
32 22 0:29 / /srv rw - nfs4 host:/srv rw,vers=4.2
33 22 0:30 / /home/a/.cache/doc rw - fuse.portal portal rw
34 22 0:31 / /proc rw - proc proc rw
broken
";
        let expected = [
            (22, true),
            (30, true),
            (31, false),
            (32, false),
            (33, false),
            (34, true),
        ];
        assert_eq!(parse(list), BTreeMap::from(expected));
    }

    #[test]
    fn a_script_is_as_far_away_as_its_interpreter() {
        for (head, expected) in [
            (&b"#!/bin/sh\nexit\n"[..], Some(&b"/bin/sh"[..])),
            (b"#! \t/usr/bin/env python", Some(b"/usr/bin/env")),
            (b"#!\n", None),
            (b"#!", None),
            (b"\x7fELF", None),
            (b"", None),
        ] {
            assert_eq!(interpreter_in(head).as_deref(), expected, "{head:?}");
        }
    }

    #[test]
    fn what_is_elsewhere_or_unknown_cannot_be_relied_on() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| c(root.path().join(name));
        fs::write(root.path().join("plain"), "").unwrap();
        fs::write(root.path().join("script"), "#!/proc/self/exe\n").unwrap();
        fs::write(root.path().join("lost"), "#!/nonexistent/interpreter\n").unwrap();
        std::os::unix::fs::symlink("/proc/version", root.path().join("link")).unwrap();
        let mut mounts = Mounts::read().unwrap();
        let (here, proc) = (mount_of(&at("plain")), mount_of(c"/proc"));
        assert_ne!(here, proc);
        // As if `/proc` were on a network, and only the other one known.
        mounts.all_here = false;
        mounts.here = BTreeMap::from([(here.unwrap(), true), (proc.unwrap(), false)]);
        for (program, directory, expected) in [
            ("plain", None, true),
            ("plain", Some(c(root.path())), true),
            ("plain", Some(c("/proc")), false),
            ("link", None, false),
            ("script", None, false),
            ("lost", None, false),
            ("missing", None, false),
        ] {
            let found = mounts.can_start(&at(program), directory.as_deref());
            assert_eq!(found, expected, "{program} in {directory:?}");
        }
        mounts.here.clear();
        assert!(!mounts.can_start(&at("plain"), None));
        // Where nothing is elsewhere, nothing needs to be looked at.
        mounts.all_here = true;
        assert!(mounts.can_start(&at("missing"), None));
    }
}
