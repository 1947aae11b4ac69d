//! What passes from one image of the process to the next: sealed memory, and descriptors that stay open.
//!
//! A descriptor is a number to the next image. It is taken over once ([`inherit`]), before anything else is opened, and
//! from then on has an owner that closes it.

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, SealFlag, fcntl, open};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::Mode;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;

/// Memory with this content, which nobody can change any more. Closed by `execve`.
pub fn sealed(content: &[u8]) -> io::Result<OwnedFd> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let mut file = File::from(memfd_create(c"taskmaster-state", flags)?);
    file.write_all(content)?;
    file.seek(SeekFrom::Start(0))?;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals()))?;
    Ok(file.into())
}

fn seals() -> SealFlag {
    SealFlag::F_SEAL_SEAL | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_WRITE
}

/// The content of sealed memory; an error for anything else.
pub fn read_sealed(memory: &impl AsFd) -> io::Result<Vec<u8>> {
    let found = SealFlag::from_bits_truncate(fcntl(memory, FcntlArg::F_GET_SEALS)?);
    if !found.contains(seals()) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut content = Vec::new();
    let mut file = File::from(memory.as_fd().try_clone_to_owned()?);
    file.seek(SeekFrom::Start(0))?;
    file.read_to_end(&mut content)?;
    Ok(content)
}

/// Whether `execve` closes a descriptor.
pub fn close_on_exec(descriptor: &impl AsFd, closes: bool) -> Result<(), Errno> {
    let flags = if closes {
        FdFlag::FD_CLOEXEC
    } else {
        FdFlag::empty()
    };
    fcntl(descriptor, FcntlArg::F_SETFD(flags)).map(drop)
}

/// Takes over a descriptor that an earlier image left open; `None` when there is none of this number.
///
/// Only for numbers that it said it left, each once: the result closes it.
pub fn inherit(number: RawFd) -> Option<OwnedFd> {
    if number <= 2 {
        return None;
    }
    // SAFETY: asks for flags only; fails when there is no such descriptor.
    if unsafe { libc::fcntl(number, libc::F_GETFD) } == -1 {
        return None;
    }
    // SAFETY: it is open, and by this function's contract nobody else owns it.
    let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
    close_on_exec(&descriptor, true).ok()?;
    Some(descriptor)
}

/// Descriptors that are to stay open for the next image.
#[derive(Debug, Default)]
pub struct Luggage {
    numbers: Vec<RawFd>,
}

impl Luggage {
    /// Takes one along; returns its number.
    pub fn pack(&mut self, descriptor: impl AsFd) -> Result<RawFd, Errno> {
        let descriptor = descriptor.as_fd();
        close_on_exec(&descriptor, false)?;
        self.numbers.push(descriptor.as_raw_fd());
        Ok(descriptor.as_raw_fd())
    }

    /// The numbers so far.
    pub fn numbers(&self) -> &[RawFd] {
        &self.numbers
    }
}

impl Drop for Luggage {
    fn drop(&mut self) {
        // Nobody left, so everything is as before.
        for &number in &self.numbers {
            // SAFETY: marks a descriptor; fails when there is none of this number.
            unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
}

/// A program, held by its file and not by its name.
#[derive(Debug)]
pub struct Program(OwnedFd);

impl Program {
    /// The program that the path leads to now.
    pub fn open(path: &Path) -> Result<Self, Errno> {
        open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).map(Self)
    }

    /// A path by which a child of this process can execute it.
    pub fn path(&self) -> String {
        format!("/proc/self/fd/{}", self.0.as_raw_fd())
    }

    /// Replaces this process's image by it. Returns only when that failed.
    pub fn execute(&self, argv: &[CString], envp: &[CString]) -> Errno {
        nix::unistd::execveat(&self.0, c"", argv, envp, nix::fcntl::AtFlags::AT_EMPTY_PATH)
            .map_or_else(|errno| errno, |never| match never {})
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::testing::in_fork;
    use std::os::fd::IntoRawFd;

    #[test]
    fn sealed_memory_is_read_again_and_nothing_else_is_taken_for_it() {
        let memory = sealed(b"state").unwrap();
        for _ in 0..2 {
            assert_eq!(read_sealed(&memory).unwrap(), b"state");
        }
        assert!(File::from(memory).write_all(b"x").is_err());
        let file = tempfile::tempfile().unwrap();
        assert!(read_sealed(&file).is_err());
    }

    #[test]
    fn a_descriptor_is_taken_over_once_and_closed_by_the_next_execution() {
        let (read, _write) = nix::unistd::pipe().unwrap();
        let number = read.into_raw_fd();
        let taken = inherit(number).unwrap();
        let flags = FdFlag::from_bits_truncate(fcntl(&taken, FcntlArg::F_GETFD).unwrap());
        assert_eq!(flags, FdFlag::FD_CLOEXEC);
        close_on_exec(&taken, false).unwrap();
        let flags = FdFlag::from_bits_truncate(fcntl(&taken, FcntlArg::F_GETFD).unwrap());
        assert_eq!(flags, FdFlag::empty());
        assert!(inherit(1).is_none() && inherit(1_000_000).is_none());
    }

    #[test]
    fn a_program_is_executed_though_its_name_leads_elsewhere() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("program");
        std::fs::copy("/bin/sh", &path).unwrap();
        in_fork(|| {
            let program = Program::open(&path).map_err(|e| e.to_string())?;
            std::fs::remove_file(&path).map_err(|e| e.to_string())?;
            let argv = [c"sh", c"-c", c"test \"$A\" = b"].map(std::ffi::CStr::to_owned);
            Err(program.execute(&argv, &[c"A=b".to_owned()]).to_string())
        });
        assert_eq!(Program::open(&path).err(), Some(Errno::ENOENT));
    }
}
