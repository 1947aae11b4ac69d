//! Includes, unreadable files, who may write to them, and what real file systems hold.

use super::{FakeHost, messages};
use crate::config::{
    FileFacts, FileKind, FindError, Host, LoadRequest, ReadError, RealHost, Role, find, load,
};
use std::io::Write;
use std::path::{Path, PathBuf};

#[test]
fn includes_are_sorted_nested_and_relative_to_the_main_file() {
    let host = FakeHost::with("[include]\nfiles=d/*.ini\n")
        .and("/base/d/b.ini", "[taskmasterd]\nidentifier=b\n")
        .and(
            "/base/d/a.ini",
            "[include]\nfiles=deep/x.ini\n[taskmasterd]\nidentifier=a\n",
        )
        .and("/base/deep/x.ini", "[taskmasterd]\nidentifier=x\n");
    let loaded = host.load();
    assert_eq!(messages(&loaded), [""; 0]);
    let config = loaded.config.unwrap();
    let files = [
        "/base/main.ini",
        "/base/d/a.ini",
        "/base/deep/x.ini",
        "/base/d/b.ini",
    ];
    assert_eq!(config.files, files.map(PathBuf::from));
    assert_eq!(config.daemon.identifier, "b");
}

#[test]
fn a_file_that_names_itself_is_a_circle_and_a_pattern_passes_it_over() {
    let loaded = FakeHost::with("[include]\nfiles=main.ini\n").load();
    assert_eq!(
        messages(&loaded),
        [
            "2:7: error[include-cycle]: main.ini includes itself: leads back to a file that is being read"
        ]
    );
    assert_eq!(
        loaded.diagnostics[0].help,
        ["the circle is main.ini -> main.ini"]
    );
    let loaded = FakeHost::with("[include]\nfiles=*.ini\n").load();
    assert_eq!(
        messages(&loaded),
        [
            "2:7: warning[include-twice]: main.ini is read already: matches it, too; it is not read again"
        ]
    );
}

#[test]
fn depth_and_number_of_files_are_bounded() {
    let chain = |length: usize| {
        let mut host = FakeHost::with("[include]\nfiles=1.inc\n");
        for level in 1..length {
            let text = format!("[include]\nfiles={}.inc\n", level + 1);
            host = host.and(&format!("/base/{level}.inc"), &text);
        }
        host.and(&format!("/base/{length}.inc"), "")
    };
    assert_eq!(messages(&chain(8).load()), [""; 0]);
    assert_eq!(
        messages(&chain(9).load()),
        ["2:7: error[include-depth]: 9.inc is included more than 8 levels deep: too deep"]
    );
    let many = |count: usize| {
        let mut host = FakeHost::with("[include]\nfiles=d/*\n");
        for index in 0..count {
            host = host.and(&format!("/base/d/{index:05}"), "");
        }
        host
    };
    assert_eq!(messages(&many(999).load()), [""; 0]);
    assert_eq!(
        messages(&many(1_010).load()),
        ["2:7: error[include-count]: more than 1000 files are included: d/00999 is one too many"]
    );
}

#[test]
fn a_missing_file_is_an_error_without_a_place() {
    let host = FakeHost::default();
    assert_eq!(
        messages(&host.load()),
        ["error[unreadable]: cannot read main.ini: entity not found: "]
    );
}

#[test]
fn files_that_others_may_write_to_are_warned_about() {
    for (uid, owner, mode, warning) in [
        (1000, 1000, 0o644, None),
        (1000, 0, 0o644, None),
        (
            1000,
            1000,
            0o664,
            Some("mode 0664 lets its group write to it"),
        ),
        (
            1000,
            1000,
            0o646,
            Some("mode 0646 lets everybody write to it"),
        ),
        (0, 0, 0o600, None),
        (0, 1000, 0o600, Some("it belongs to user 1000, not to root")),
    ] {
        let mut host = FakeHost::with("");
        host.uid = uid;
        let facts = FileFacts {
            kind: FileKind::Regular,
            uid: owner,
            mode,
        };
        host.facts.insert("/base/main.ini".into(), facts);
        host.facts
            .insert("/etc/taskmaster/taskmaster.ini".into(), facts);
        let expected = warning
            .map(|text| format!("warning[unsafe-file]: /base/main.ini is not safe: {text}: "));
        let loaded = host.load();
        assert_eq!(messages(&loaded), expected.into_iter().collect::<Vec<_>>());
        assert!(loaded.config.is_some());
        match (find(Role::Taskmaster, &host), warning) {
            (Ok(path), None) => assert_eq!(path, Path::new("/etc/taskmaster/taskmaster.ini")),
            (Err(error @ FindError::Unsafe { .. }), Some(text)) => {
                assert!(error.to_string().contains(text), "{error}");
            }
            (found, _) => panic!("{found:?}"),
        }
    }
}

#[test]
fn the_usual_places_are_searched_in_order() {
    let mut host = FakeHost::default();
    host.environment
        .insert("XDG_CONFIG_HOME".into(), "/home/me/.config".into());
    let places = [
        "./taskmaster.ini",
        "./taskmasterd.conf",
        "/home/me/.config/taskmaster/taskmaster.ini",
        "/etc/taskmaster/taskmaster.ini",
        "/tmp/taskmaster.d/taskmasterd.conf",
    ];
    let FindError::NotFound { tried } = find(Role::Taskmaster, &host).unwrap_err() else {
        panic!("nothing is there");
    };
    assert_eq!(tried, places.map(PathBuf::from));
    for place in places.into_iter().rev() {
        host = host.and(Path::new("/base").join(place).to_str().unwrap(), "");
        assert_eq!(find(Role::Taskmaster, &host), Ok(PathBuf::from(place)));
    }
    host.uid = 0;
    let executable = Path::new("/usr/bin/supervisord");
    let error = find(Role::Supervisor { executable }, &host).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no configuration file found at the usual places (/usr/etc/supervisord.conf, /usr/supervisord.conf, \
         ./supervisord.conf, ./etc/supervisord.conf, /etc/supervisord.conf, /etc/supervisor/supervisord.conf); \
         name one with -c"
    );
}

#[test]
fn root_does_not_search_a_users_directory() {
    let mut host = FakeHost::default().and("/home/me/.config/taskmaster/taskmaster.ini", "");
    host.environment
        .insert("XDG_CONFIG_HOME".into(), "/home/me/.config".into());
    assert!(find(Role::Taskmaster, &host).is_ok());
    host.uid = 0;
    assert!(find(Role::Taskmaster, &host).is_err());
}

#[test]
fn a_users_directory_is_in_the_home_unless_xdg_says_otherwise() {
    let place = "/home/me/.config/taskmaster/taskmaster.ini";
    for (variables, found) in [
        (&[("HOME", "/home/me")][..], true),
        (&[("HOME", "/home/me"), ("XDG_CONFIG_HOME", "")], true),
        (
            &[("HOME", "/home/me"), ("XDG_CONFIG_HOME", ".config")],
            true,
        ),
        (
            &[("HOME", "/home/me"), ("XDG_CONFIG_HOME", "/elsewhere")],
            false,
        ),
        (&[("HOME", "home/me")], false),
        (&[], false),
    ] {
        let mut host = FakeHost::default().and(place, "");
        host.environment.remove("HOME");
        for (name, value) in variables {
            host.environment.insert((*name).into(), (*value).into());
        }
        let result = find(Role::Taskmaster, &host);
        assert_eq!(result == Ok(PathBuf::from(place)), found, "{variables:?}");
    }
}

#[test]
fn only_regular_files_of_a_sane_size_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let host = RealHost::new();
    let pipe = directory.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for path in [directory.path(), Path::new("/dev/zero"), &pipe] {
        assert!(
            matches!(host.read(path), Err(ReadError::NotRegular)),
            "{path:?}"
        );
    }
    let missing = host.read(&directory.path().join("missing")).unwrap_err();
    assert_eq!(missing.to_string(), "no such file or directory");
    for (size, readable) in [(1 << 20, true), ((1 << 20) + 1, false)] {
        let path = directory.path().join("large");
        std::fs::File::create(&path)
            .unwrap()
            .write_all(&vec![b'#'; size])
            .unwrap();
        assert_eq!(host.read(&path).is_ok(), readable, "{size}");
    }
}

#[test]
fn a_link_back_to_the_main_file_is_a_circle_under_another_name() {
    let directory = tempfile::tempdir().unwrap();
    let main = directory.path().join("main.ini");
    std::fs::write(&main, "[include]\nfiles=loop/again.ini\n").unwrap();
    std::fs::create_dir(directory.path().join("loop")).unwrap();
    std::os::unix::fs::symlink(&main, directory.path().join("loop/again.ini")).unwrap();
    let host = RealHost::new();
    let loaded = load(&LoadRequest {
        path: &main,
        overrides: &[],
        host: &host,
    });
    let codes: Vec<_> = loaded.diagnostics.iter().map(|found| found.code).collect();
    assert!(codes.contains(&"include-cycle"), "{codes:?}");
}

#[test]
fn the_real_host_knows_root_and_itself() {
    let host = RealHost::new();
    let root = host.account_by_name("root").unwrap().unwrap();
    assert_eq!((root.uid, root.groups.contains(&root.gid)), (0, true));
    assert_eq!(host.account_by_uid(0).unwrap(), Some(root));
    assert_eq!(host.account_by_name("no-such-user-here").unwrap(), None);
    assert!(!host.node_name().is_empty());
    assert!(host.is_executable(Path::new("/bin/sh")));
    assert!(!host.is_executable(Path::new("/etc/passwd")));
}
