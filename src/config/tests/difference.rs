//! Two files, and the keys that make the difference.

use super::config;
use crate::config::difference::{Compared, KeyDifference};
use crate::config::model::Config;

const BASE: &str = "[taskmasterd]\nchildlogdir=/var/log\n[program.a]\ncommand=/bin/cat\n";

/// `KEY OLD NEW LINE`, with a `!` where the key needs no restart.
fn words(differences: &[KeyDifference]) -> Vec<String> {
    differences
        .iter()
        .map(|difference| {
            let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
            let line = difference.place.as_ref().map_or(0, |(file, line)| {
                assert_eq!(file, "main.ini");
                *line
            });
            format!(
                "{}{} {} {} {line}",
                difference.key,
                if difference.live { "!" } else { "" },
                value(&difference.old),
                value(&difference.new),
            )
        })
        .collect()
}

/// What differs for the first process.
fn between(old: &str, new: &str) -> Vec<String> {
    let (old, new) = (config(old), config(new));
    let first = |config: &Config| {
        let mut all = config
            .groups
            .values()
            .flat_map(|group| group.processes.values().cloned());
        all.next().unwrap()
    };
    let compared = Compared {
        old: &old,
        new: &new,
    };
    words(&compared.settings(&first(&old), &first(&new)))
}

#[test]
fn every_key_that_differs_is_named_with_its_line() {
    for (line, expected) in [
        ("directory=/srv/www", "directory - /srv/www 5"),
        ("umask=077", "umask 022 077 5"),
        ("user=www", "user - www 5"),
        (
            "environment=A=\"s3cret\",B=\"2\"",
            "environment - A=***,B=*** 5",
        ),
        ("redirect_stderr=true", "redirect_stderr false true 5"),
        ("serverurl=unix:///x", "serverurl AUTO unix:///x 5"),
        ("priority=-1", "priority! 999 -1 5"),
        ("autostart=true", "autostart! false true 5"),
        ("autorestart=true", "autorestart! unexpected true 5"),
        ("startsec=7", "startsecs! 1 7 5"),
        ("startretries=7", "startretries! 3 7 5"),
        ("exitcodes=0,2", "exitcodes! 0 0,2 5"),
        ("stopsignal=INT", "stopsignal! TERM INT 5"),
        ("stopwaitsecs=7", "stopwaitsecs! 3 7 5"),
        ("killasgroup=true", "killasgroup! false true 5"),
        ("essential=true", "essential! false true 5"),
        ("stdout_logfile=NONE", "stdout_logfile AUTO NONE 5"),
        ("stderr_logfile=/tmp/x", "stderr_logfile AUTO /tmp/x 5"),
        (
            "stdout_logfile_maxbytes=1KB",
            "stdout_logfile_maxbytes! 50MB 1KB 5",
        ),
        ("stderr_logfile_backups=2", "stderr_logfile_backups! 10 2 5"),
        ("stdout_timestamps=unix", "stdout_timestamps! none unix 5"),
        (
            "stderr_timestamps=rfc3339",
            "stderr_timestamps! none rfc3339 5",
        ),
        ("numprocs_start=4", "numprocs_start 0 4 5"),
        (
            "stdout_capture_maxbytes=1KB",
            "stdout_capture_maxbytes 0 1KB 5",
        ),
        (
            "stderr_events_enabled=true",
            "stderr_events_enabled false true 5",
        ),
        ("stdout_syslog=true", "stdout_syslog false true 5"),
    ] {
        let with = format!("{BASE}{line}\n");
        assert_eq!(between(BASE, &with), [expected], "{line}");
        // Taken out, the section is what says the default.
        let back = between(&with, BASE);
        assert_eq!(back.len(), 1, "{line}");
        assert!(back[0].ends_with(" 3"), "{back:?}");
    }
    assert_eq!(
        between(BASE, &BASE.replace("/bin/cat", "/bin/cat -v")),
        ["command /bin/cat /bin/cat -v 4"]
    );
    // A program that writes its log itself has one without a size.
    assert_eq!(
        between(BASE, &format!("{BASE}stdout_direct=true\n")),
        [
            "stdout_logfile_maxbytes! 50MB 0 3",
            "stdout_direct false true 5"
        ]
    );
    // What says its default, and what only moved, differs in nothing.
    let same = BASE.replace(
        "[program.a]\n",
        "; moved\n[program.a]\numask=022\nstartsecs=1\n",
    );
    assert_eq!(between(BASE, &same), Vec::<String>::new());
}

#[test]
fn keys_of_the_daemons_section_are_told_from_the_programs_own() {
    let daemon = |lines: &str, program: &str| {
        format!(
            "[taskmasterd]\nchildlogdir=/var/log\n{lines}\n[program.a]\ncommand=/bin/cat\n{program}\n"
        )
    };
    let old = daemon("environment=A=\"1\",B=\"1\"", "environment=B=\"2\"");
    assert_eq!(
        between(
            &old,
            &daemon("environment=A=\"2\",B=\"1\"", "environment=B=\"3\"")
        ),
        ["environment B=*** B=*** 6", "environment A=*** A=*** 3"]
    );
    assert_eq!(
        between(
            &old,
            &daemon("environment=A=\"1\",B=\"9\"", "environment=B=\"2\"")
        ),
        Vec::<String>::new()
    );
    assert_eq!(
        between(&daemon("", ""), &daemon("umask=027", "")),
        ["umask 022 027 3"]
    );
    let elsewhere = daemon("", "").replace("/var/log", "/tmp");
    assert_eq!(
        between(&daemon("", ""), &elsewhere),
        ["childlogdir /var/log /tmp 2"]
    );
}

#[test]
fn what_came_or_went_is_laid_to_the_key_that_did_it() {
    let file = |numprocs: u32, more: &str, groups: &str| {
        format!(
            "[program:a]\ncommand=/bin/cat\nnumprocs={numprocs}\nprocess_name=a%(process_num)d\n{more}\n\
             [program:b]\ncommand=/bin/cat\n{groups}"
        )
    };
    let together = "[group:g]\nprograms=a,b\npriority=5\n";
    for (old, new, process, expected) in [
        (file(1, "", ""), file(3, "", ""), "a2", "numprocs 1 3 3"),
        (file(3, "", ""), file(1, "", ""), "a2", "numprocs 3 1 3"),
        (
            file(2, "", ""),
            file(2, "numprocs_start=5", ""),
            "a6",
            "numprocs_start 0 5 5",
        ),
        (
            file(1, "", ""),
            file(1, "", "").replace("=a%", "=x%"),
            "x0",
            "process_name a0 x0 4",
        ),
        (
            file(1, "", ""),
            file(1, "", together),
            "b",
            "programs! - a,b 9",
        ),
        (
            file(1, "", together),
            file(1, "", "[group:g]\nprograms=a\n"),
            "b",
            "programs! a,b a 9",
        ),
    ] {
        let (old, new) = (config(&old), config(&new));
        let compared = Compared {
            old: &old,
            new: &new,
        };
        let named = |config: &Config| {
            let mut all = config
                .groups
                .values()
                .flat_map(|group| group.processes.values().cloned());
            all.find(|settings| settings.key.process.as_str() == process)
        };
        let (before, after) = (named(&old), named(&new));
        assert_ne!(
            before.as_ref().map(|settings| &settings.key),
            after.as_ref().map(|settings| &settings.key)
        );
        for settings in before.into_iter().chain(after) {
            let found = words(&compared.membership(&settings.key, &settings));
            assert_eq!(found, [expected], "{}", settings.key);
        }
    }
    // A section that is new, or gone, needs no key.
    let (old, new) = (
        config("[program:b]\ncommand=/bin/cat\n"),
        config(&file(1, "", "")),
    );
    let compared = Compared {
        old: &old,
        new: &new,
    };
    let added = new
        .groups
        .values()
        .next()
        .unwrap()
        .processes
        .values()
        .next()
        .unwrap();
    assert_eq!(compared.membership(&added.key, added), []);
}

#[test]
fn a_group_differs_in_its_own_section() {
    let file = |section: &str| {
        config(&format!(
            "[program.a]\ncommand=/bin/cat\n[program.b]\ncommand=/bin/cat\n[group.g]\n{section}"
        ))
    };
    let old = file("programs=a\n");
    for (section, expected) in [
        ("programs=a\n", &[][..]),
        ("programs=a\npriority=7\n", &["priority! 999 7 7"]),
        ("programs=b,a\n", &["programs! a a,b 6"]),
    ] {
        let new = file(section);
        let compared = Compared {
            old: &old,
            new: &new,
        };
        let group = |config: &'_ Config| {
            config
                .groups
                .values()
                .find(|group| group.explicit)
                .cloned()
                .unwrap()
        };
        assert_eq!(words(&compared.group(&group(&old), &group(&new))), expected);
    }
}

#[test]
fn the_socket_of_a_program_differs_in_its_own_keys() {
    let file = |lines: &str| format!("[fcgi-program.a]\ncommand=/bin/cat\n{lines}\n");
    let unix = file("socket=unix:///tmp/s");
    for (lines, expected) in [
        (
            "socket=unix:///tmp/t",
            &["socket unix:///tmp/s unix:///tmp/t 3"][..],
        ),
        (
            "socket=unix:///tmp/s\nsocket_backlog=7\nsocket_mode=0770\nsocket_owner=www",
            &[
                "socket_backlog - 7 4",
                "socket_owner - 33 6",
                "socket_mode 0700 0770 5",
            ],
        ),
    ] {
        assert_eq!(between(&unix, &file(lines)), expected, "{lines}");
    }
}
