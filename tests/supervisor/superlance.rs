//! Real listeners: programs of the package superlance, unchanged, with a stand-in for whoever takes the mail.

use super::events::placed;
use super::install;
use super::rig::Rig;
use crate::harness::wait;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Takes mail on the loopback for as long as the test runs: enough of SMTP for one that sends it.
struct Mailbox {
    address: SocketAddr,
    letters: Arc<Mutex<Vec<String>>>,
}

impl Mailbox {
    fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let letters = Arc::new(Mutex::new(Vec::new()));
        let box_of_thread = Arc::clone(&letters);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if let Some(letter) = take_letter(&stream) {
                    box_of_thread.lock().unwrap().push(letter);
                }
            }
        });
        Self { address, letters }
    }

    fn wait_letter(&self, part: &str) -> String {
        wait::until(format!("a letter with {part:?}"), || {
            let letters = self.letters.lock().unwrap();
            letters.iter().find(|letter| letter.contains(part)).cloned()
        })
    }
}

fn take_letter(mut stream: &TcpStream) -> Option<String> {
    let mut lines = BufReader::new(stream).lines();
    writeln!(stream, "220 here\r").ok()?;
    let mut letter = String::new();
    while let Some(Ok(line)) = lines.next() {
        let verb = line
            .split([' ', ':'])
            .next()
            .unwrap_or_default()
            .to_ascii_uppercase();
        let answer = match verb.as_str() {
            "DATA" => {
                writeln!(stream, "354 go on\r").ok()?;
                for line in lines
                    .by_ref()
                    .map_while(Result::ok)
                    .take_while(|line| line != ".")
                {
                    writeln!(letter, "{line}").unwrap();
                }
                "250 taken"
            }
            "QUIT" => {
                writeln!(stream, "221 bye\r").ok()?;
                break;
            }
            _ => "250 fine",
        };
        writeln!(stream, "{answer}\r").ok()?;
    }
    (!letter.is_empty()).then_some(letter)
}

const PROGRAMS: &str = "\
[program:crashes]
command=/bin/sh -c \"sleep 2; exit 3\"
startsecs=0
autorestart=false
[program:ends]
command=/bin/sh -c \"sleep 2; exit 0\"
startsecs=0
autorestart=false
[program:hopeless]
command=/bin/false
startsecs=600
startretries=0
";

#[test]
fn crashmail_mails_what_ended_unexpectedly() {
    let Some(bin) = install::supervisor() else {
        return;
    };
    let config = format!(
        "{PROGRAMS}[eventlistener:crashmail]\n\
         command=$BIN/crashmail -a -m ops@example.com -o host1 -s \"/bin/sh -c 'cat >>$OUT/mail; echo >>$OUT/mail'\"\n\
         events=PROCESS_STATE_EXITED\n"
    );
    let mut rig = Rig::ours(&placed(&config, bin));
    wait::for_condition("the mail", || {
        rig.sandbox()
            .read("out/mail")
            .ends_with("from state RUNNING\n")
    });
    rig.settle("ends", "EXITED");
    rig.ask("shutdown").is(0, "Shut down\n");
    assert_eq!(rig.wait_exit(), Some(0));
    let mail = rig.sandbox().read("out/mail");
    let lines: Vec<&str> = mail.lines().collect();
    assert_eq!(lines[0], "To: ops@example.com");
    assert!(
        lines[1].starts_with("Subject: host1: crashes crashed at "),
        "{mail}"
    );
    assert!(
        lines[3].starts_with("Process crashes in group crashes exited unexpectedly (pid "),
        "{mail}"
    );
    assert_eq!(lines.len(), 4, "{mail}");
}

#[test]
fn fatalmailbatch_and_crashsms_mail_in_batches() {
    let Some(bin) = install::supervisor() else {
        return;
    };
    let mailbox = Mailbox::open();
    let listener = |name: &str, events: &str| {
        format!(
            "[eventlistener:{name}]\n\
             command=$BIN/{name} -t ops@example.com -f host1@example.com -s {name}-says -i 0.05 -e TICK_5 -H {}\n\
             events={events},TICK_5\n",
            mailbox.address
        )
    };
    let config = format!(
        "{PROGRAMS}{}{}",
        listener("fatalmailbatch", "PROCESS_STATE"),
        listener("crashsms", "PROCESS_STATE_EXITED")
    );
    let mut rig = Rig::ours(&placed(&config, bin));
    let fatal = mailbox.wait_letter("Subject: fatalmailbatch-says");
    assert!(
        fatal.contains("-- Process hopeless:hopeless failed to start too many times"),
        "{fatal}"
    );
    let crash = mailbox.wait_letter("Subject: crashsms-says");
    assert!(crash.contains("[crashes:crashes]("), "{crash}");
    assert!(!crash.contains("[ends:ends]"), "{crash}");
    rig.ask("shutdown").is(0, "Shut down\n");
    assert_eq!(rig.wait_exit(), Some(0));
}
