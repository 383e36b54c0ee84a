//! `kill -9` in the middle of everything, and the next start.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::played_provider::{Rig, completed, delete_one, fetch_half, message};
use crate::support::process::Process;
use crate::support::running::answer_pop3;
use crate::support::wait_for;

/// Kills it, starts the next one, and that one does what is honest.
pub(crate) fn killed(rig: &mut Rig) {
    rig.run.signal(Signal::KILL);
    assert!(!rig.run.ended().success());
    rig.start_again();
    assert_eq!((rig.pop.drain(), rig.smtp.drain()), (0, 0), "somebody came by himself");
    rig.honest();
}

#[test]
fn in_a_fetch_with_deletions_nothing_is_deleted() {
    let mut rig = Rig::start();
    let (mut client, mut server) = rig.signed_in();
    delete_one(&mut client, &mut server);
    fetch_half(&mut client, &mut server);
    killed(&mut rig);
    assert!(!client.rest().ends_with(b".\r\n"), "half a message looks whole");
    assert!(!String::from_utf8_lossy(&server.rest()).contains("QUIT"), "a deletion was committed");
    rig.run.end_well();
}

#[test]
fn between_quit_and_its_answer_the_client_hears_no_ok() {
    let mut rig = Rig::start();
    let (mut client, mut server) = rig.signed_in();
    delete_one(&mut client, &mut server);
    client.say("QUIT");
    answer_pop3(&mut server, "QUIT");
    killed(&mut rig);
    assert!(client.rest().is_empty());
    rig.run.end_well();
}

#[test]
fn in_a_body_nothing_is_sent() {
    let mut rig = Rig::start();
    let (mut client, mut server) = rig.in_data();
    client.send("Subject: long\r\n\r\nfirst half\r\n");
    server.expect("Subject: long");
    killed(&mut rig);
    assert_eq!(completed(&server.rest()), 0);
    assert!(client.rest().is_empty());
    rig.run.end_well();
}

#[test]
fn behind_the_dot_the_message_is_there_once_and_the_client_hears_no_250() {
    let mut rig = Rig::start();
    let (mut client, mut server) = rig.in_data();
    client.send("Subject: once\r\n\r\n.\r\n");
    message(&mut server);
    killed(&mut rig);
    assert!(server.rest().is_empty());
    assert!(client.rest().is_empty());
    rig.run.end_well();
}

#[test]
fn at_every_moment_of_its_start() {
    let mut rig = Rig::start();
    rig.run.end_well();
    for delay in (0..40).map(Duration::from_millis) {
        let mut command = rig.home.command(&["run", "-v"]);
        command.stdin(std::process::Stdio::null());
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let mut process = Process::start("ostler", &mut command);
        let began = std::time::Instant::now();
        wait_for("the moment", || (began.elapsed() >= delay).then_some(()));
        process.end();
    }
    rig.start_again();
    rig.honest();
    let status = rig.home.ostler(&["status", "--json"], "");
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    rig.run.end_well();
}

/// A second account is taken out again and again, and the one who does it is killed at another moment each time.
#[test]
fn in_a_change_of_the_settings_there_is_the_old_file_or_the_new_one() {
    let mut rig = Rig::start();
    let before = rig.home.settings();
    let with_two = format!(
        "{before}\n[[account]]\nname = \"second\"\naddress = \"second@example.org\"\npassword = \"client\"\n\
         [account.pop3]\nhost = \"localhost\"\nport = 1\nsecurity = \"none\"\n"
    );
    let removal = || {
        // As an editor saves: the running ostler must not read a file that is empty for a moment, and shut its doors.
        let saved = rig.home.settings_file().with_extension("saved");
        std::fs::write(&saved, &with_two).unwrap();
        std::fs::rename(&saved, rig.home.settings_file()).unwrap();
        let mut command = rig.home.command(&["remove", "second", "--yes"]);
        command.stdin(std::process::Stdio::null());
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        (Process::start("ostler", &mut command), Instant::now())
    };
    let (mut old, mut new) = (0, 0);
    // How long it takes depends on the machine, and on what else it does just now.
    let mut whole = Duration::ZERO;
    for step in 0..120 {
        if step % 40 == 0 {
            let (mut process, began) = removal();
            wait_for("a whole removal", || process.ended());
            whole = began.elapsed();
        }
        let (mut process, began) = removal();
        let delay = whole * (step % 40) / 30;
        wait_for("the moment", || (began.elapsed() >= delay || process.ended().is_some()).then_some(()));
        process.end();
        match rig.home.settings() {
            text if text == with_two => old += 1,
            text if !text.contains("second") && text.contains("home") => new += 1,
            text => panic!("half a file:\n{text}"),
        }
    }
    assert!(old > 0 && new > 0, "every kill came too early or too late: {old} {new}");
    assert!(rig.home.ostler(&["list"], "").status.success());
    rig.honest();
    rig.run.end_well();
}
