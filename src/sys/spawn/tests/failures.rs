//! Starts that fail, each at its step.

use super::*;

#[test]
fn the_directory_is_entered_as_the_user() {
    let (_guard, path) = temporary();
    let mut start = Start::new(&["/bin/true"]);
    for (directory, errno) in [
        (format!("{path}/missing"), Errno::ENOENT),
        ("/dev/null".to_owned(), Errno::ENOTDIR),
    ] {
        start.directory = Some(text(directory));
        assert_eq!(start.failure(), (Step::Directory, errno));
    }
    if !is_root("the_directory_is_entered_as_the_user") {
        return;
    }
    let closed = format!("{path}/closed");
    fs::create_dir(&closed).unwrap();
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    fs::set_permissions(&closed, permissions).unwrap();
    start.directory = Some(text(closed));
    start.output();
    start.identity = Some(Identity {
        uid: 65_534,
        gid: 65_534,
        groups: Vec::new(),
    });
    assert_eq!(start.failure(), (Step::Directory, Errno::EACCES));
}

#[test]
fn without_privileges_only_the_own_identity_is_possible() {
    if !is_root("without_privileges_only_the_own_identity_is_possible (it gives up its privileges)")
    {
        return;
    }
    in_fork(|| {
        crate::sys::identity::become_user(65_534, 65_533, &[4, 27]).map_err(|e| e.to_string())?;
        let mut start = Start::new(&["/bin/true"]);
        let refused = |step| Some((step, Errno::EPERM));
        for (uid, gid, groups, expected) in [
            (65_534, 65_533, &[27, 4][..], None),
            (65_534, 65_533, &[27], refused(Step::Groups)),
            (65_534, 65_533, &[4, 27, 28], refused(Step::Groups)),
            (65_534, 65_533, &[], refused(Step::Groups)),
            (65_534, 0, &[4, 27], refused(Step::GroupId)),
            (0, 65_533, &[4, 27], refused(Step::UserId)),
        ] {
            start.identity = Some(Identity {
                uid,
                gid,
                groups: groups.to_vec(),
            });
            let failure = if expected.is_some() {
                Some(start.failure())
            } else {
                start.output();
                None
            };
            if failure != expected {
                return Err(format!("{uid} {gid} {groups:?}: {failure:?}"));
            }
        }
        Ok(())
    });
}

#[test]
fn a_program_that_cannot_be_executed_is_told_from_others() {
    let (_guard, path) = temporary();
    // Written by another process: while this one has it open for writing, every fork of a parallel test has it too.
    let made = Command::new("/bin/sh")
        .current_dir(&path)
        .args([
            "-c",
            "echo garbage >garbage; echo garbage >plain; cp /bin/true busy; chmod 755 garbage busy",
        ])
        .status()
        .unwrap();
    assert!(made.success());
    let busy = File::options()
        .append(true)
        .open(Path::new(&path).join("busy"))
        .unwrap();
    for (name, errno) in [
        ("missing", Errno::ENOENT),
        ("plain", Errno::EACCES),
        ("", Errno::EACCES),
        ("garbage", Errno::ENOEXEC),
        ("busy", Errno::ETXTBSY),
    ] {
        let start = Start::new(&[&format!("{path}/{name}")]);
        assert_eq!(start.failure(), (Step::Exec, errno), "{name}");
    }
    drop(busy);
}

#[test]
fn a_full_disk_does_not_keep_programs_from_starting() {
    let mut start = Start::new(&["/bin/echo", "up"]);
    let full = File::options().append(true).open("/dev/full").unwrap();
    start.journal = Some((full, b"web".to_vec()));
    assert_eq!(start.output(), "up\n");
}

#[test]
fn a_shortage_of_descriptors_is_named_and_leaves_nothing_behind() {
    in_fork(|| {
        let null = File::open("/dev/null").map_err(|e| e.to_string())?;
        let mut maker = Spawner::new().map_err(|e| e.to_string())?;
        // Beyond what other tests have open at this moment.
        // SAFETY: duplicates a number.
        let beyond = unsafe { libc::fcntl(null.as_raw_fd(), libc::F_DUPFD, 500) };
        let limit = u64::try_from(beyond + 30).map_err(|e| e.to_string())?;
        nix::sys::resource::setrlimit(Resource::RLIMIT_NOFILE, limit, limit)
            .map_err(|e| e.to_string())?;
        let all: Vec<_> = std::iter::repeat_with(|| null.try_clone())
            .map_while(Result::ok)
            .collect();
        // What the quick road needs was there before.
        let quick =
            minimal(&mut maker, c"/bin/true", null.as_fd(), false).map_err(|e| e.to_string())?;
        end_of(&quick);
        let forked = minimal(&mut maker, c"/bin/true", null.as_fd(), true);
        drop(all);
        match forked {
            Err(SpawnError {
                step: Step::Pipe,
                errno: Errno::EMFILE,
            }) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
}

#[test]
fn a_limit_on_processes_is_a_failure_of_the_fork() {
    if !is_root("a_limit_on_processes_is_a_failure_of_the_fork (it needs a user without processes)")
    {
        return;
    }
    for may_hang in [false, true] {
        in_fork(|| {
            crate::sys::identity::become_user(64_321, 64_321, &[]).map_err(|e| e.to_string())?;
            nix::sys::resource::setrlimit(Resource::RLIMIT_NPROC, 1, 1)
                .map_err(|e| e.to_string())?;
            let null = File::open("/dev/null").map_err(|e| e.to_string())?;
            let mut maker = Spawner::new().map_err(|e| e.to_string())?;
            let result = minimal(&mut maker, c"/bin/true", null.as_fd(), may_hang);
            let mask = SigSet::thread_get_mask().map_err(|e| e.to_string())?;
            match result {
                Err(SpawnError {
                    step: Step::Fork,
                    errno: Errno::EAGAIN,
                }) if !mask.contains(StandardSignal::SIGTERM) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
    }
}
