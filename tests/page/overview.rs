//! The first page, where it is open, and what happens when it cannot be.

use std::net::TcpStream;

use crate::http::Browser;
use crate::support::ca::TestCa;
use crate::support::ostler::{Account, Home, Server};
use crate::support::process::said;
use crate::support::provider::Provider;
use crate::support::{Listening, client, free_port, private_file, unique, wait_for};
use crate::{home, link};

#[test]
fn it_is_there_without_an_account() {
    let ostler = home(&TestCa::new(), &[]).run();
    let mut browser = Browser::new(&ostler.home);
    let page = browser.get("/");
    assert_eq!(page.status, 200);
    assert!(page.body.contains("Add your account") && page.body.contains("Your mail address"), "{}", page.body);
    assert_eq!(page.body.matches("<h1").count(), 1);
    let missing = browser.get("/nothing");
    assert_eq!(missing.status, 404);
    assert!(missing.body.contains("no such page"), "{}", missing.body);
}

#[test]
fn every_link_leads_somewhere_and_names_are_text() {
    let account = Account::new("<b>x</b>\\\"&amp;", "ann@example.org", &unique("pw")).pop3(Server::new("none", 1));
    let ostler = home(&TestCa::new(), &[account]).run();
    let mut browser = Browser::new(&ostler.home);
    let (mut todo, mut done) = (vec!["/".to_owned()], Vec::new());
    while let Some(path) = todo.pop() {
        let page = browser.get(&path);
        assert_eq!(page.status, 200, "{path}");
        assert!(!page.body.contains("<b>x") && !page.body.contains("\"&amp;;"), "{path}: {}", page.body);
        if page.header("content-type").is_some_and(|kind| kind.starts_with("text/html")) {
            assert_eq!(page.body.matches("<h1").count(), 1, "{path}");
            assert!(page.body.contains("<html lang=\"en\">") && page.body.contains("<main"), "{path}");
            for input in page.body.split("<input").skip(1).filter(|input| !input.starts_with(" type=\"hidden\"")) {
                let id = input.split(" id=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
                assert!(page.body.contains(&format!("for=\"{id}\"")), "{path}: {id} has no label");
            }
        }
        done.push(path);
        for link in page.links().into_iter().filter(|link| link.starts_with('/')) {
            if !done.contains(&link) && !todo.contains(&link) {
                todo.push(link);
            }
        }
    }
    assert!(browser.get("/").body.contains("&lt;b&gt;x"), "the name is shown");
}

#[test]
fn it_shows_a_failure_and_a_door_that_is_taken() {
    let provider = Provider::always(vec![crate::support::provider::say("-ERR [SYS/PERM] <script>go away</script>")]);
    let account = Account::new("home", "ann@example.org", &unique("pw")).pop3(Server::new("none", provider.port));
    let home = home(&TestCa::new(), &[account]);
    let blocker = Listening::at(home.smtp);
    let ostler = home.run();
    let mut browser = Browser::new(&ostler.home);
    let page = browser.get("/");
    assert!(page.body.contains("shut") && page.body.contains(&std::process::id().to_string()), "{}", page.body);
    // Another port is offered, and taken.
    let form = page.form("/door");
    let port: u16 = form.fields.iter().find(|(name, _)| name == "to").unwrap().1.parse().unwrap();
    browser.send(&form);
    wait_for("the door at its other port", || TcpStream::connect(("127.0.0.1", port)).ok());
    browser.wait_for("/", &format!("127.0.0.1:{port}"));
    drop(blocker);
    let mut client = client::Client::greeted(ostler.pop3, "+OK");
    client.ask("USER home", "+OK");
    client.ask("PASS x", "-ERR");
    let page = browser.wait_for("/", "go away");
    assert!(page.body.contains("&lt;script&gt;go away") && !page.body.contains("<script>"), "{}", page.body);
}

#[test]
fn a_taken_port_is_named_and_tried_again_and_the_settings_move_the_page() {
    let home = Home::new(&TestCa::new(), &[]);
    let blocker = Listening::new();
    let port = blocker.port();
    home.write_settings(&home.settings().replace("page = false", &format!("page = {port}")));
    let ostler = home.run();
    wait_for("the reason in the log", || {
        ostler.log().contains(&format!("the settings page on 127.0.0.1:{port}")).then_some(())
    });
    ostler.expect_log(&format!("process {}", std::process::id()));
    let none = ostler.home.ostler(&["settings", "--print"], "");
    assert_eq!(none.status.code(), Some(1), "{}", said(&none));
    assert!(said(&none).contains("not open") && none.stdout.is_empty(), "{}", said(&none));
    drop(blocker);
    wait_for("the page on its port", || TcpStream::connect(("127.0.0.1", port)).ok());
    assert!(
        wait_for("the link", || {
            let output = ostler.home.ostler(&["settings", "--print"], "");
            output.status.success().then(|| said(&output))
        })
        .contains(&format!("http://127.0.0.1:{port}/?token="))
    );
    let other = free_port();
    ostler.home.write_settings(&ostler.home.settings().replace(&format!("page = {port}"), &format!("page = {other}")));
    wait_for("the page on the other port", || TcpStream::connect(("127.0.0.1", other)).ok());
    wait_for("the first port closed", || TcpStream::connect(("127.0.0.1", port)).is_err().then_some(()));
    assert!(link(&ostler.home).contains(&other.to_string()));
    ostler.home.write_settings(&ostler.home.settings().replace(&format!("page = {other}"), "page = false"));
    wait_for("no page", || TcpStream::connect(("127.0.0.1", other)).is_err().then_some(()));
}

#[test]
fn without_a_running_ostler_the_command_says_so() {
    let home = home(&TestCa::new(), &[]);
    let output = home.ostler(&["settings"], "");
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("ostler run"), "{}", said(&output));
}

#[test]
fn without_a_browser_the_command_says_the_address_that_lets_in() {
    let ostler = home(&TestCa::new(), &[]).run();
    let empty = crate::support::folder();
    let mut command = ostler.home.command(&["settings"]);
    command.env("PATH", empty.path()).env_remove("BROWSER");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let text = said(&output);
    let link = text.split_whitespace().find(|word| word.starts_with("http://")).unwrap_or_else(|| panic!("{text}"));
    let (place, path) = link.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let port = place.rsplit(':').next().unwrap().parse().unwrap();
    let answer = crate::http::raw(port, &format!("GET /{path} HTTP/1.1\r\nHost: {place}\r\n\r\n"));
    assert_eq!(answer.status, 303, "{answer:?}");
}

#[test]
fn starting_at_login_is_a_button() {
    // A desktop, which would start it at login.
    let ostler = home(&TestCa::new(), &[]).run_changed(&["run"], |_, command| {
        command.env("DISPLAY", ":0");
    });
    let mut browser = Browser::new(&ostler.home);
    let about = browser.get("/about");
    assert!(about.body.contains("ostler does not start by itself"), "{}", about.body);
    let on = browser.send(&about.form("/autostart"));
    assert!(on.body.contains("ostler starts when you log in"), "{}", on.body);
    let off = browser.send(&on.form("/autostart"));
    assert!(off.body.contains("ostler does not start by itself"), "{}", off.body);
}

#[test]
fn a_guide_for_another_computer_names_the_doors_of_the_network_and_the_password() {
    let local = unique("local");
    let folder = crate::support::folder();
    let file = folder.path().join("local");
    private_file(&file, &local);
    let account = Account::new("home", "ann@example.org", &unique("pw")).pop3(Server::new("none", 1));
    let account = account.line(&format!("local_password = {{ file = {file:?} }}"));
    let home = home(&TestCa::new(), &[account]);
    let (loopback, network) = (home.pop3, home.imap);
    let one = format!("pop3 = \"127.0.0.1:{loopback}\"");
    let two = format!("access = \"password\"\nallow = [\"192.0.2.0/24\"]\npop3 = [{loopback}, \"0.0.0.0:{network}\"]");
    home.write_settings(&home.settings().replace(&one, &two));
    let ostler = home.run();
    let mut browser = Browser::new(&ostler.home);
    let here = browser.get("/guide/eudora-mac?account=home");
    assert!(here.body.contains("127.0.0.1") && !here.body.contains(&local), "{}", here.body);
    assert!(here.body.contains("Is the program on another computer?"), "{}", here.body);
    let there = browser.get("/guide/eudora-mac?account=home&for=192.0.2.77");
    let body = &there.body;
    assert!(body.contains("a program on the computer <code class=\"value\">192.0.2.77</code>"), "{body}");
    assert!(body.contains(&format!("<code class=\"value\">{local}</code>")) && body.contains("APOP"), "{body}");
    assert!(body.contains(&ostler.home.imap.to_string()) && !body.contains("127.0.0.1"), "{body}");
}
