//! Several ostlers for one sign-in: one renews it, the others ask it for the access token (`docs/scaling.md`).

use std::net::{Ipv4Addr, TcpListener};

use crate::support::client::{self, Client};
use crate::support::forward::pass_on;
use crate::support::lan::cable;
use crate::support::ostler::{Account, Home, Server, program};
use crate::support::process::{command, err, out, run, said};
use crate::support::sshd::Sshd;
use crate::support::world::World;
use crate::support::{mail, require, skip};
use crate::{ANN, BOB, Site};

/// The home of an ostler that asks another for its token over ssh.
fn asking(site: &Site, sshd: &Sshd) -> Home {
    let words = [sshd.ssh(), vec!["home".to_owned()]].concat();
    let account = Account::new("home", ANN, "")
        .keyring()
        .line(&format!("password = {{ command = {words:?} }}"))
        .pop3(Server::new("tls", site.dovecot.pop3s).auth("oauth2"))
        .smtp(Server::new("starttls", site.postfix.submission).auth("oauth2"));
    Home::with_settings(&site.ca, &[account], "", "")
}

/// What stands in front of the key that may ask for a token, and nothing else: as in the manual, in the environment of the home
/// that has the sign-in.
fn may_ask(renewing: &Home) -> String {
    let ask = renewing.command(&["token"]);
    let variables = ask
        .get_envs()
        .filter_map(|(name, value)| Some(format!("{}={}", name.to_str().unwrap(), value?.to_str().unwrap())));
    let variables: Vec<String> = variables.collect();
    let (program, file) = (program(), renewing.settings_file());
    format!(
        "restrict,command=\"{} {} --config {} token -- \\\"$SSH_ORIGINAL_COMMAND\\\"\"",
        variables.join(" "),
        program.display(),
        file.display()
    )
}

#[test]
fn one_ostler_renews_the_sign_in_and_the_others_ask_it_for_the_token() {
    require!("dovecot", "postfix", "keyring", "issuer", "sshd");
    // A refresh token that is used twice ends the whole sign-in.
    let site = Site::start();
    let mut renewing = site.home();
    site.sign_in(&mut renewing);
    let sshd = Sshd::here(&may_ask(&renewing));
    let others = [asking(&site, &sshd).run(), asking(&site, &sshd).run()];
    for number in 0..3 {
        site.let_tokens_end();
        let message = mail::tricky(&format!("number {number}"));
        // Both at once, on a token that has ended.
        std::thread::scope(|scope| {
            for ostler in &others {
                scope.spawn(|| client::send(ostler.smtp, ANN, &[BOB], &message));
            }
        });
        for ostler in &others {
            client::fetch(ostler.pop3, "home", "x");
        }
    }
    let renewals = site.issuer.count("refresh_token 200");
    assert!(renewals >= 3, "{:?}", site.issuer.requests());
    assert_eq!(site.issuer.count("refresh_token 400"), 0, "{:?}", site.issuer.requests());
    // The key opens nothing but that.
    let words = sshd.ssh();
    for wrong in ["work", "id", "--help", "home; id", "$(id)"] {
        let asked = run(command(&words[0], &words[1..]).arg(wrong), "");
        assert!(!asked.status.success() && out(&asked).is_empty(), "{wrong}: {}", said(&asked));
    }
}

/// Lets a computer reach servers that are out here, at the same ports.
fn lend(world: &World, ports: &[u16]) {
    for &port in ports {
        let listener = world.in_network(|| TcpListener::bind(("127.0.0.1", port)).unwrap());
        pass_on(listener, port, Ipv4Addr::LOCALHOST, None).unwrap();
    }
}

#[test]
fn of_two_computers_only_the_one_with_the_sign_in_talks_to_the_company() {
    require!("world", "dovecot", "postfix", "keyring", "issuer", "sshd");
    let site = Site::start();
    let (one, other) = (World::builder().start(), World::builder().start());
    if let Err(why) = cable(&one, "10.9.0.1/24", &other, "10.9.0.2/24") {
        return skip(&why);
    }
    // The issuer cannot even be reached from the other one.
    lend(&one, &[site.issuer.port, site.dovecot.pop3s, site.postfix.submission]);
    lend(&other, &[site.dovecot.pop3s, site.postfix.submission]);
    let mut renewing = site.home();
    site.sign_in(&mut renewing);
    let sshd = Sshd::inside(&one, "10.9.0.1", &may_ask(&renewing));
    let _serving = renewing.inside(&one).run();
    let others = [(); 2].map(|()| asking(&site, &sshd).inside(&other).run());
    let doors = others.each_ref().map(|ostler| (other.reach(ostler.smtp), other.reach(ostler.pop3)));
    for number in 0..3 {
        site.let_tokens_end();
        let message = mail::tricky(&format!("number {number}"));
        std::thread::scope(|scope| {
            for (smtp, _) in doors {
                let message = &message;
                scope.spawn(move || client::send(smtp, ANN, &[BOB], message));
            }
        });
        for (_, pop3) in doors {
            client::fetch(pop3, "home", "x");
        }
    }
    assert!(site.issuer.count("refresh_token 200") >= 3, "{:?}", site.issuer.requests());
    assert_eq!(site.issuer.count("refresh_token 400"), 0, "{:?}", site.issuer.requests());
    // The one with the sign-in is down.
    drop(sshd);
    let mut later = Client::greeted(doors[0].1, "+OK");
    later.ask("USER home", "+OK");
    later.ask("PASS x", "-ERR [SYS/TEMP]");
}

#[test]
fn a_token_is_printed_to_whoever_asks_for_it_and_a_missing_one_is_told() {
    require!("dovecot", "postfix", "keyring", "issuer");
    let site = Site::start();
    let mut home = site.home();
    let none = home.ostler(&["token"], "");
    assert_eq!(none.status.code(), Some(1), "{}", said(&none));
    assert!(
        out(&none).is_empty() && err(&none).contains("you have not signed in at test yet; run: ostler sign-in "),
        "{}",
        said(&none)
    );
    site.sign_in(&mut home);
    let access = site.tokens()["access"].as_str().unwrap().to_owned();
    home.allow_secret(&access, "stdout of token", "it is what was asked for");
    let printed = home.ostler(&["token", "home"], "");
    assert_eq!(out(&printed), format!("{access}\n"), "{}", err(&printed));
    assert!(err(&printed).is_empty(), "{}", err(&printed));
    let unknown = home.ostler(&["token", "work"], "");
    assert_eq!(unknown.status.code(), Some(1), "{}", said(&unknown));
}
