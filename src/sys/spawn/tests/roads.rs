//! What is particular to each of the two roads.

use super::*;
use nix::sys::prctl::set_no_new_privs;
use std::ffi::c_long;

fn null() -> File {
    File::options().write(true).open("/dev/null").unwrap()
}

#[test]
fn the_quick_road_keeps_no_descriptor_of_the_callers() {
    let mut maker = Spawner::new().unwrap();
    let start = Start::new(&["/bin/true"]);
    let (read, stdout) = pipe2(OFlag::O_CLOEXEC).unwrap();
    let null = null();
    let spec = SpawnSpec {
        program: &start.argv[0],
        argv: &start.argv,
        envp: &[],
        directory: None,
        umask: 0o022,
        identity: None,
        limits: &[],
        stdin: null.as_fd(),
        stdout: stdout.as_fd(),
        stderr: stdout.as_fd(),
        journal: None,
        may_hang: false,
    };
    let spawned = maker.spawn(&spec).unwrap();
    assert!(matches!(
        spawned.status,
        Status::Settled(ExecStatus::Executed)
    ));
    drop(stdout);
    // A copy that is left in its place would keep this from ending.
    assert_eq!(File::from(read).read_to_end(&mut Vec::new()).unwrap(), 0);
    end_of(&spawned);
}

#[test]
fn a_start_that_hangs_holds_up_nobody() {
    let (drained, full) = pipe2(OFlag::O_CLOEXEC).unwrap();
    fcntl(&full, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    while write(&full, &[0; 4096]).is_ok() {}
    fcntl(&full, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
    let mut start = Start::new(&["/bin/true"]);
    // A journal that takes nothing stands for a disk that does not answer.
    start.journal = Some((full.into(), b"web".to_vec()));
    start.may_hang = true;
    let spawned = start.spawn(null().as_fd());
    let Status::Awaited(pipe) = &spawned.status else {
        panic!("{spawned:?}");
    };
    assert_eq!(exec_status(pipe.as_fd()), ExecStatus::Pending);
    read(&drained, &mut vec![0; 65_536]).unwrap();
    assert_eq!(settled(&spawned), ExecStatus::Executed);
    end_of(&spawned);
}

#[test]
fn the_clock_tells_the_same_start_as_the_kernel() {
    let (_guard, path) = temporary();
    let path = Path::new(&path).join("journal");
    let journal = File::options()
        .append(true)
        .create(true)
        .open(&path)
        .unwrap();
    let mut maker = Spawner::new().unwrap();
    let null = null();
    for round in 0..20 {
        let argv = [text("/bin/sleep"), text("1000")];
        let spawned = maker
            .spawn(&SpawnSpec {
                program: &argv[0],
                argv: &argv,
                envp: &[],
                directory: None,
                umask: 0o022,
                identity: None,
                limits: &[],
                stdin: null.as_fd(),
                stdout: null.as_fd(),
                stderr: null.as_fd(),
                journal: Some(Journal {
                    file: journal.as_fd(),
                    prefix: b"",
                }),
                may_hang: round % 4 == 3,
            })
            .unwrap();
        assert_eq!(settled(&spawned), ExecStatus::Executed);
        let content = fs::read_to_string(&path).unwrap();
        let expected = format!(
            " {} {}",
            spawned.pid,
            proc::start_ticks(spawned.pid).unwrap()
        );
        assert_eq!(content.lines().last(), Some(expected.as_str()));
        kill::group(spawned.pid, Signal::KILL).unwrap();
        end_of(&spawned);
    }
}

/// Makes a system call fail with EPERM in this process, for good; with `flag`, only where its first argument has it.
fn forbid(call: c_long, flag: u32) {
    let statement = |code: u32, k: u32| libc::sock_filter {
        code: u16::try_from(code).unwrap(),
        jt: 0,
        jf: 0,
        k,
    };
    let load = |offset| statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset);
    let answer = |value| statement(libc::BPF_RET | libc::BPF_K, value);
    let number = u32::try_from(call).unwrap();
    // The low half of the first argument, on a machine of either byte order.
    let argument = if cfg!(target_endian = "big") { 20 } else { 16 };
    let refused = libc::SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs();
    let mut program = vec![
        load(0),
        libc::sock_filter {
            jf: 3,
            ..statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, number)
        },
        load(argument),
        libc::sock_filter {
            jf: 1,
            ..statement(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, flag)
        },
        answer(refused),
        answer(libc::SECCOMP_RET_ALLOW),
    ];
    if flag == 0 {
        program[3].jf = 0;
    }
    set_no_new_privs().unwrap();
    let filter = libc::sock_fprog {
        len: u16::try_from(program.len()).unwrap(),
        filter: program.as_mut_ptr(),
    };
    // SAFETY: reads the filter, which lives until the call has returned.
    let set = unsafe {
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER,
            &raw const filter,
        )
    };
    assert_eq!(set, 0, "{}", Errno::last());
}

#[test]
fn programs_start_where_a_filter_forbids_the_quick_road() {
    let vfork = libc::CLONE_VFORK.unsigned_abs();
    for (call, flag, quick) in [
        (libc::SYS_close_range, 0, true),
        (libc::SYS_clone, vfork, false),
    ] {
        in_fork(|| {
            let mut maker = Spawner::new().map_err(|e| e.to_string())?;
            let null = null();
            forbid(call, flag);
            for _ in 0..2 {
                let spawned = minimal(&mut maker, c"/bin/true", null.as_fd(), false)
                    .map_err(|e| e.to_string())?;
                if matches!(spawned.status, Status::Settled(_)) != quick {
                    return Err(format!("{call}: {:?}", spawned.status));
                }
                let status = settled(&spawned);
                if (status, end_of(&spawned)) != (ExecStatus::Executed, ExitStatus::Code(0)) {
                    return Err(format!("{call}: {status:?}"));
                }
            }
            Ok(())
        });
    }
}
