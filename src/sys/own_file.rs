//! Files that the daemon keeps for itself in a directory where others may be able to write: what lies there under their
//! names is taken only if it is a regular file of the daemon's user with no other name. What is in them is not judged.

use nix::errno::Errno;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// To read; a link is not followed, a FIFO waited for by nobody, and what is made is for its owner alone.
pub fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    let flags = libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK;
    options.read(true).mode(0o600).custom_flags(flags);
    options
}

/// Opens a file of ours that has no other name. Anything else is `EACCES`, or what the kernel says of it.
pub fn open(options: &OpenOptions, path: &Path) -> io::Result<File> {
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    let own = nix::unistd::geteuid().as_raw();
    if !metadata.is_file() || metadata.nlink() != 1 || metadata.uid() != own {
        return Err(Errno::EACCES.into());
    }
    Ok(file)
}
