use super::*;
use crate::sys::testing::is_root;
use nix::unistd::{Gid, Uid};
use std::os::unix::fs::{PermissionsExt, chown, symlink};

const STRANGER: u32 = 65_534;

fn directory(path: &Path, mode: u32) -> PathBuf {
    fs::create_dir_all(path).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    path.to_owned()
}

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

/// A temporary directory under its real name.
fn base() -> (tempfile::TempDir, PathBuf) {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().canonicalize().unwrap();
    (base, path)
}

#[test]
fn a_chain_is_as_good_as_its_weakest_component() {
    let (_guard, base) = base();
    let me = geteuid().as_raw();
    let good = directory(&base.join("good/deep"), 0o755);
    assert_eq!(trusted(&good), Ok(()));
    assert_eq!(trusted(&good.join("../deep/./")), Ok(()));
    let open = directory(&base.join("open"), 0o755);
    let below = directory(&open.join("below"), 0o755);
    directory(&open, 0o777);
    for path in [&open, &below] {
        let error = trusted(path).unwrap_err();
        let expected = DirError::Writable {
            component: open.clone(),
            owner: me,
            mode: 0o777,
        };
        assert_eq!(error, expected);
        let text = error.to_string();
        assert!(text.contains("mode 0777"), "{text}");
        assert!(
            text.contains(&format!("chmod go-w {}", open.display())),
            "{text}"
        );
    }
    directory(&open, 0o775);
    if is_root("writable by the group") {
        assert!(matches!(
            trusted(&below),
            Err(DirError::Writable { mode: 0o775, .. })
        ));
    }
    // The sticky bit keeps others from replacing what is ours.
    directory(&open, 0o1777);
    assert_eq!(trusted(&below), Ok(()));
    assert_eq!(trusted(&open), Ok(()));
}

#[test]
fn links_are_followed_only_within_trusted_directories() {
    let (_guard, base) = base();
    let good = directory(&base.join("good"), 0o755);
    let bad = directory(&base.join("bad"), 0o777);
    symlink("good", base.join("relative")).unwrap();
    symlink(&good, base.join("absolute")).unwrap();
    symlink("loop", base.join("loop")).unwrap();
    symlink(&good, bad.join("planted")).unwrap();
    symlink("bad", base.join("to-bad")).unwrap();
    fs::write(base.join("file"), "").unwrap();
    assert_eq!(trusted(&base.join("relative")), Ok(()));
    assert_eq!(trusted(&base.join("absolute")), Ok(()));
    let looped = DirError::Io {
        component: base.join("loop"),
        errno: Errno::ELOOP,
    };
    assert_eq!(trusted(&base.join("loop")), Err(looped));
    let mut link = good.clone();
    for number in 0..=LINKS_MAX {
        let next = base.join(format!("link{number}"));
        symlink(&link, &next).unwrap();
        link = next;
        assert_eq!(trusted(&link).is_ok(), number < LINKS_MAX, "{number}");
    }
    for path in [bad.join("planted"), base.join("to-bad")] {
        assert!(
            matches!(trusted(&path), Err(DirError::Writable { component, .. }) if component == bad),
            "{}",
            path.display()
        );
    }
    assert!(matches!(
        trusted(&base.join("file")),
        Err(DirError::NotDirectory { .. })
    ));
    let missing = DirError::Io {
        component: base.join("missing"),
        errno: Errno::ENOENT,
    };
    assert_eq!(trusted(&base.join("missing/deeper")), Err(missing));
    assert!(matches!(
        trusted(Path::new("relative")),
        Err(DirError::Relative { .. })
    ));
}

#[test]
fn a_private_directory_is_made_or_tightened() {
    let (_guard, base) = base();
    let path = base.join("run");
    assert_eq!(ensure_private(&path), Ok(Private::Created));
    assert_eq!(mode_of(&path), 0o700);
    assert_eq!(ensure_private(&path), Ok(Private::Present));
    for mode in [0o755, 0o744, 0o777, 0o770, 0o1777] {
        directory(&path, mode);
        fs::write(path.join("ours"), "").unwrap();
        assert_eq!(ensure_private(&path), Ok(Private::Tightened { mode }));
        assert_eq!(mode_of(&path), 0o700);
    }
    // Only the last component is made.
    let missing = DirError::Io {
        component: base.join("none"),
        errno: Errno::ENOENT,
    };
    assert_eq!(ensure_private(&base.join("none/run")), Err(missing));
}

#[test]
fn a_private_directory_is_no_link_no_file_and_not_in_the_open() {
    let (_guard, base) = base();
    let me = geteuid().as_raw();
    let target = directory(&base.join("target"), 0o755);
    let link = base.join("link");
    symlink(&target, &link).unwrap();
    let refused = DirError::Link {
        component: link.clone(),
        owner: me,
    };
    assert_eq!(ensure_private(&link), Err(refused));
    assert_eq!(
        mode_of(&target),
        0o755,
        "nothing was changed through the link"
    );
    symlink("nowhere", base.join("dangling")).unwrap();
    assert!(matches!(
        ensure_private(&base.join("dangling")),
        Err(DirError::Link { .. })
    ));
    fs::write(base.join("file"), "").unwrap();
    assert!(matches!(
        ensure_private(&base.join("file")),
        Err(DirError::NotDirectory { .. })
    ));
    let open = directory(&base.join("open"), 0o777);
    assert!(matches!(
        ensure_private(&open.join("run")),
        Err(DirError::Writable { component, .. }) if component == open
    ));
    assert!(!open.join("run").exists());
    assert!(matches!(
        ensure_private(Path::new("run")),
        Err(DirError::Relative { .. })
    ));
    assert!(matches!(
        ensure_private(Path::new("/")),
        Err(DirError::Relative { .. })
    ));
}

#[test]
fn what_belongs_to_somebody_else_is_refused() {
    if !is_root("what_belongs_to_somebody_else_is_refused") {
        return;
    }
    let (_guard, base) = base();
    let foreign = directory(&base.join("foreign"), 0o700);
    let below = directory(&foreign.join("below"), 0o700);
    chown(&foreign, Some(STRANGER), None).unwrap();
    let expected = DirError::Foreign {
        component: foreign.clone(),
        owner: STRANGER,
        mode: 0o700,
    };
    assert_eq!(trusted(&foreign), Err(expected.clone()));
    assert_eq!(trusted(&below), Err(expected.clone()));
    assert_eq!(ensure_private(&foreign), Err(expected.clone()));
    let text = expected.to_string();
    assert!(text.contains("belongs to user 65534 (mode 0700)"), "{text}");

    // In a directory with the sticky bit only the owner counts.
    let shared = directory(&base.join("shared"), 0o1777);
    let squatted = directory(&shared.join("squatted"), 0o777);
    chown(&squatted, Some(STRANGER), None).unwrap();
    assert!(matches!(
        ensure_private(&squatted),
        Err(DirError::Foreign { .. })
    ));
    assert_eq!(mode_of(&squatted), 0o777, "not touched");
    let planted = shared.join("planted");
    symlink(&base, &planted).unwrap();
    std::os::unix::fs::lchown(&planted, Some(STRANGER), None).unwrap();
    assert!(
        matches!(trusted(&planted), Err(DirError::Foreign { component, .. }) if component == planted)
    );

    // One of ours that stood open and was used.
    let used = directory(&shared.join("used"), 0o777);
    fs::write(used.join("trap"), "").unwrap();
    chown(used.join("trap"), Some(STRANGER), None).unwrap();
    let expected = DirError::ForeignEntry {
        component: used.clone(),
        mode: 0o777,
        entry: used.join("trap"),
        owner: STRANGER,
    };
    assert_eq!(ensure_private(&used), Err(expected));
}

#[test]
fn a_private_group_has_one_member() {
    let user = User {
        name: "ann".into(),
        passwd: c"".into(),
        uid: Uid::from_raw(1000),
        gid: Gid::from_raw(1000),
        gecos: c"".into(),
        dir: "/".into(),
        shell: "/".into(),
    };
    let group = |name: &str, gid, members: &[&str]| Group {
        name: name.into(),
        passwd: c"".into(),
        gid: Gid::from_raw(gid),
        mem: members.iter().map(|&member| member.into()).collect(),
    };
    assert!(is_private_group(&user, &group("ann", 1000, &[])));
    assert!(is_private_group(&user, &group("ann", 1000, &["ann"])));
    assert!(!is_private_group(
        &user,
        &group("ann", 1000, &["ann", "bob"])
    ));
    assert!(!is_private_group(&user, &group("ann", 1001, &[])));
    assert!(!is_private_group(&user, &group("users", 1000, &[])));
}

#[test]
fn root_is_not_led_by_links_of_others() {
    if !is_root("root_is_not_led_by_links_of_others (it gives files away)") {
        return;
    }
    let give = |path: &Path| std::os::unix::fs::lchown(path, Some(65_534), Some(65_534)).unwrap();
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    for name in ["theirs", "theirs/logs", "ours"] {
        fs::create_dir(at(name)).unwrap();
    }
    give(&at("theirs"));
    give(&at("theirs/logs"));
    for (link, target) in [("theirs/to-ours", "ours"), ("theirs/to-own", "theirs/logs")] {
        symlink(at(target), at(link)).unwrap();
        give(&at(link));
    }
    symlink(at("theirs/logs"), at("by-us")).unwrap();
    for (path, expected) in [
        ("ours", Ok(())),
        ("theirs/logs", Ok(())),
        ("theirs/to-own", Ok(())),
        ("by-us", Ok(())),
        ("theirs/to-ours", Err(Errno::ELOOP)),
        ("theirs/to-ours/../ours", Err(Errno::ELOOP)),
        ("missing", Err(Errno::ENOENT)),
    ] {
        assert_eq!(open_unled(&at(path)).map(drop), expected, "{path}");
    }
}
