//! From nothing to mail, by forms alone: a browser without scripts, real servers, a real keyring.

use crate::http::{Answer, Browser, Form};
use crate::support::{client, free_port, mail, require, unique, wait_for};
use crate::{ANN, Newcomer};

const BOB: &str = "bob@example.com";

/// The form of the first page, filled in.
fn filled(newcomer: &Newcomer, page: &Answer, password: &str) -> Form {
    let form = page.form("/add").with("address", ANN).with("password", password);
    form.with("pop3", &newcomer.pop3()).with("smtp", &newcomer.smtp()).with("ca", &newcomer.ca())
}

#[test]
fn first_run_to_the_first_fetched_and_sent_message() {
    require!("dovecot", "postfix", "keyring");
    let newcomer = Newcomer::start();
    let before = newcomer.ostler.home.settings();
    let mut browser = Browser::new(&newcomer.ostler.home);
    let first = browser.get("/");
    browser.send(&filled(&newcomer, &first, &newcomer.password));
    let done = browser.stay_until("works and is saved");
    for step in ["Encryption", "Signing in", "Sending"] {
        assert!(done.body.contains(step), "{step}: {}", done.body);
    }
    assert!(newcomer.ostler.home.settings().starts_with(&before), "what was there stays");
    let to_program = done.links().into_iter().find(|link| link.starts_with("/program?")).unwrap();
    let tiles = browser.get(&to_program);
    let guide = tiles.links().into_iter().find(|link| link.starts_with("/guide/outlook-express")).unwrap();
    let page = browser.get(&guide);
    assert!(page.body.contains("Waiting for your mail program"), "{}", page.body);
    assert!(page.body.contains(&format!("<code class=\"value\">{}</code>", newcomer.ostler.pop3)), "{}", page.body);
    assert!(page.body.contains("http-equiv=\"refresh\""), "it looks again without a script");
    // A program with the wrong name is told about in words.
    let mut stranger = client::Client::greeted(newcomer.ostler.pop3, "+OK");
    stranger.ask("USER nobody", "-ERR");
    browser.stay_until("nobody");
    let message = mail::tricky("hello");
    newcomer.dovecot.deliver(ANN, &message);
    assert_eq!(client::fetch(newcomer.ostler.pop3, ANN, "x"), std::slice::from_ref(&message));
    browser.stay_until("has fetched its mail");
    client::send(newcomer.ostler.smtp, ANN, &[BOB], &message);
    let page = browser.stay_until("works with ostler");
    assert!(!page.body.contains("Waiting for"), "{}", page.body);
    assert!(browser.get("/").body.contains("works"), "the overview says so too");
    browser.never_saw(&newcomer.password);
}

#[test]
fn a_wrong_password_is_told_and_the_second_one_needs_no_servers_again() {
    require!("dovecot", "postfix", "keyring");
    let newcomer = Newcomer::start();
    let before = newcomer.ostler.home.settings();
    let mut browser = Browser::new(&newcomer.ostler.home);
    let first = browser.get("/add");
    let wrong = unique("not-the-word");
    browser.send(&filled(&newcomer, &first, &wrong));
    let failed = browser.stay_until("refused the password");
    assert_eq!(newcomer.ostler.home.settings(), before, "nothing is saved");
    let job = browser.at.clone();
    let again = failed.form(&format!("{job}/again"));
    assert!(again.fields.iter().any(|(name, value)| name == "pop3" && *value == newcomer.pop3()), "{again:?}");
    // A mistake in the form is told beside its field, and leaves the rest of it.
    let mistaken = browser.send(&again.clone().with("smtp", "no such thing").with("username", "annie"));
    assert!(mistaken.body.contains("This is not a server") && mistaken.body.contains("annie"), "{}", mistaken.body);
    browser.send(&again.with("password", &newcomer.password));
    browser.at.clone_from(&job);
    browser.stay_until("works and is saved");
    assert!(newcomer.ostler.home.settings().contains(ANN));
    browser.never_saw(&wrong);
    browser.never_saw(&newcomer.password);
    // The same account a second time.
    let page = browser.get("/add");
    let twice = browser.send(&filled(&newcomer, &page, "x"));
    assert!(twice.body.contains("already"), "{}", twice.body);
}

#[test]
fn what_does_not_answer_is_kept_only_when_the_person_says_so() {
    require!("keyring", "dovecot", "postfix");
    let newcomer = Newcomer::start();
    let before = newcomer.ostler.home.settings();
    let mut browser = Browser::new(&newcomer.ostler.home);
    let dead = format!("tls://localhost:{}", free_port());
    let try_it = |browser: &mut Browser| {
        let page = browser.get("/add");
        browser.send(&filled(&newcomer, &page, &newcomer.password).with("pop3", &dead).with("name", "home"));
        let failed = browser.stay_until("does not work yet");
        assert!(failed.body.contains("What to do:"), "{}", failed.body);
        (browser.at.clone(), failed)
    };
    let (job, failed) = try_it(&mut browser);
    browser.send(&failed.form(&format!("{job}/stop")));
    browser.at.clone_from(&job);
    browser.stay_until("Nothing was saved");
    assert_eq!(newcomer.ostler.home.settings(), before);
    let (job, failed) = try_it(&mut browser);
    let keep = failed.form(&format!("{job}/keep"));
    browser.send(&keep);
    browser.at.clone_from(&job);
    browser.stay_until("has not been seen to work");
    assert!(newcomer.ostler.home.settings().contains("name = \"home\""));
    // Clicked again when it is over: nothing happens.
    browser.send(&keep);
    browser.at.clone_from(&job);
    browser.stay_until("has not been seen to work");
    browser.never_saw(&newcomer.password);
}

#[test]
fn an_account_is_tested_gets_another_password_and_is_removed() {
    require!("dovecot", "postfix", "keyring");
    let newcomer = Newcomer::start();
    let mut browser = Browser::new(&newcomer.ostler.home);
    let before = newcomer.ostler.home.settings();
    let page = browser.get("/add");
    browser.send(&filled(&newcomer, &page, &newcomer.password));
    browser.stay_until("works and is saved");
    let account = browser.get("/account");
    assert!(account.body.contains("encrypted (TLS)"), "{}", account.body);
    browser.send(&account.form("/account/test"));
    browser.stay_until("Everything works");
    let other = unique("other");
    browser.send(&account.form("/account/password").with("password", &other));
    browser.stay_until("Something needs you");
    let mut client = client::Client::greeted(newcomer.ostler.pop3, "+OK");
    client.ask(&format!("USER {ANN}"), "+OK");
    client.ask("PASS x", "-ERR");
    browser.send(&account.form("/account/password").with("password", &newcomer.password));
    browser.stay_until("Everything works");
    assert!(browser.get("/account").body.contains("Recent mail"));
    // The report gives nobody away.
    let report = browser.get("/report");
    assert!(report.header("content-disposition").unwrap().contains("attachment"));
    assert!(report.body.contains("pop3 localhost:") && report.body.contains("What happened"), "{}", report.body);
    assert!(!report.body.contains('@') && !report.body.contains("example.org"), "{}", report.body);
    let unsure = browser.send(&account.form("/account/remove"));
    assert!(unsure.body.contains("Nothing was removed"), "{}", unsure.body);
    let gone = browser.send(&account.form("/account/remove").with("sure", "yes"));
    assert!(gone.body.contains("has been removed"), "{}", gone.body);
    assert_eq!(newcomer.ostler.home.settings(), before);
    wait_for("the first page without an account", || browser.get("/").body.contains("Add your account").then_some(()));
    browser.never_saw(&newcomer.password);
    browser.never_saw(&other);
}

#[test]
fn f10_an_app_password_loses_its_blanks_and_the_page_says_so() {
    require!("dovecot", "postfix", "keyring");
    let newcomer = Newcomer::with("lark@gmail.com", "abcdefghijklmnop");
    let mut browser = Browser::new(&newcomer.ostler.home);
    let page = browser.get("/add");
    browser.send(&filled(&newcomer, &page, "abcd efgh ijkl mnop ").with("address", "lark@gmail.com"));
    let done = browser.stay_until("works and is saved");
    assert!(done.body.contains("the blanks were left out of this app password"), "{}", done.body);
    let account = browser.get("/account");
    browser.send(&account.form("/account/password").with("password", "abcd\u{a0}efgh\u{a0}ijkl\u{a0}mnop"));
    let tested = browser.stay_until("Everything works");
    assert!(tested.body.contains("The blanks were left out of this app password"), "{}", tested.body);
    let words = newcomer.ostler.home.ostler(&["check"], "");
    assert!(words.status.success() && !crate::said(&words).contains("left out"), "stored as the provider takes it");
    browser.never_saw("abcdefghijklmnop");
}

#[test]
fn f08_an_address_with_letters_is_told_and_used_in_ascii() {
    require!("dovecot", "postfix", "keyring");
    let password = unique("pw");
    let newcomer = Newcomer::with("ann@xn--bcher-kva.example", &password);
    let mut browser = Browser::new(&newcomer.ostler.home);
    let page = browser.get("/add");
    let refused = browser.send(&filled(&newcomer, &page, &password).with("address", "j\u{fc}rgen@b\u{fc}cher.example"));
    assert!(refused.body.contains("This has letters beyond ASCII before the @"), "{}", refused.body);
    browser.send(&filled(&newcomer, &page, &password).with("address", "ann@b\u{fc}cher.example"));
    let done = browser.stay_until("works and is saved");
    assert!(done.body.contains("Mail servers know b\u{fc}cher.example as xn--bcher-kva.example"), "{}", done.body);
    let form = browser.get("/account/settings").form("/account/settings");
    let form = form.with("account.aliases", "Lee@B\u{fc}cher.example, *@stra\u{df}e.example");
    let changed = browser.send(&form);
    assert!(changed.body.contains("Changed."), "{}", changed.body);
    let settings = newcomer.ostler.home.settings();
    assert!(
        settings.contains("Lee@xn--bcher-kva.example") && settings.contains("*@xn--strae-oqa.example"),
        "{settings}"
    );
    client::send(newcomer.ostler.smtp, "lee@xn--bcher-kva.example", &[BOB], &mail::tricky("letters"));
    assert_eq!(newcomer.postfix.deliveries().len(), 1);
}

#[test]
fn mail_goes_out_through_another_company_with_its_own_password() {
    require!("dovecot", "postfix", "keyring");
    use crate::support::ca::TestCa;
    use crate::support::dovecot::Dovecot;
    use crate::support::keyring::Keyring;
    use crate::support::postfix::Postfix;
    let (ca, own, other, lee) = (TestCa::new(), unique("pw"), unique("other"), "lee@example.com");
    let cert = ca.localhost();
    let mailbox = Dovecot::builder().user(ANN, &own).cert(cert.clone()).start();
    let company = Dovecot::builder().user(lee, &other).cert(cert.clone()).start();
    let postfix = Postfix::builder().cert(cert).sasl(&company).start();
    let keyring = Keyring::start();
    let mut home = crate::home(&ca, &[]).with_keyring(&keyring);
    home.keep_secret(&own);
    home.keep_secret(&other);
    let ostler = home.run();
    let mut browser = Browser::new(&ostler.home);
    let form = browser.get("/").form("/add").with("address", ANN).with("password", &own).with("other", lee);
    let form = form
        .with("pop3", &format!("tls://localhost:{}", mailbox.pop3s))
        .with("smtp", &format!("starttls://localhost:{}", postfix.submission))
        .with("ca", ostler.home.ca_file().to_str().unwrap());
    let missing = browser.send(&form);
    assert!(missing.body.contains("The password is missing"), "{}", missing.body);
    browser.send(&form.with("other_password", &other));
    browser.stay_until("works and is saved");
    client::send(ostler.smtp, ANN, &[BOB], &mail::tricky("hello"));
    assert_eq!(postfix.deliveries().len(), 1);
    assert!(company.logins().iter().all(|login| login.user == lee), "each company hears its own name only");
    let account = browser.get("/account");
    assert!(account.body.contains("Whose password") && account.body.contains(lee), "{}", account.body);
    browser.never_saw(&own);
    browser.never_saw(&other);
}

#[test]
fn f06_a_server_of_its_own_is_trusted_by_the_fingerprint_that_the_failed_try_shows() {
    require!("dovecot", "postfix", "keyring");
    use crate::support::ca::TestCa;
    use crate::support::dovecot::Dovecot;
    use crate::support::keyring::Keyring;
    use crate::support::postfix::Postfix;
    let (password, cert) = (unique("pw"), TestCa::self_signed());
    let dovecot = Dovecot::builder().user(ANN, &password).cert(cert.clone()).start();
    let postfix = Postfix::builder().cert(cert).sasl(&dovecot).start();
    let keyring = Keyring::start();
    let mut home = crate::home(&TestCa::new(), &[]).with_keyring(&keyring);
    home.keep_secret(&password);
    let ostler = home.run();
    let mut browser = Browser::new(&ostler.home);
    let form = browser.get("/").form("/add").with("address", ANN).with("password", &password);
    let form = form
        .with("pop3", &format!("tls://localhost:{}", dovecot.pop3s))
        .with("smtp", &format!("starttls://localhost:{}", postfix.submission));
    browser.send(&form);
    let failed = browser.stay_until("does not work yet");
    assert!(failed.body.contains("vouched for by nobody but itself"), "{}", failed.body);
    let job = browser.at.clone();
    let shown = &failed.body[failed.body.find("sha256:").unwrap()..];
    let pin: String = shown.chars().take("sha256:".len() + 64).collect();
    browser.send(&failed.form(&format!("{job}/again")).with("pin", &pin));
    browser.at.clone_from(&job);
    browser.stay_until("works and is saved");
    assert_eq!(ostler.home.settings().matches(&format!("pin = \"{pin}\"")).count(), 2, "{}", ostler.home.settings());
    client::send(ostler.smtp, ANN, &[BOB], &mail::tricky("hello"));
    browser.never_saw(&password);
}

#[test]
fn a_provider_that_wants_mail_checked_first_is_found_out() {
    require!("dovecot", "postfix", "keyring");
    use crate::support::ca::TestCa;
    use crate::support::gate::{Gate, Rules};
    use crate::support::keyring::Keyring;
    let (ca, password) = (TestCa::new(), unique("pw"));
    let gate = Gate::start(Rules::default(), &ca.localhost(), &[(ANN, &password)]);
    let keyring = Keyring::start();
    let mut home = crate::home(&ca, &[]).with_keyring(&keyring);
    home.keep_secret(&password);
    let ostler = home.run();
    let mut browser = Browser::new(&ostler.home);
    let form = browser.get("/").form("/add").with("address", ANN).with("password", &password);
    let form = form
        .with("pop3", &format!("tls://localhost:{}", gate.dovecot.pop3s))
        .with("smtp", &format!("starttls://localhost:{}", gate.smtp()))
        .with("ca", ostler.home.ca_file().to_str().unwrap());
    browser.send(&form);
    let done = browser.stay_until("works and is saved");
    assert!(done.body.contains("POP login before each send"), "{}", done.body);
    gate.forget();
    client::send(ostler.smtp, ANN, &[BOB], &mail::tricky("hello"));
    assert_eq!(gate.deliveries().len(), 1);
    browser.never_saw(&password);
}

#[test]
fn a_changed_server_forgets_its_password_and_comments_stay() {
    require!("dovecot", "postfix", "keyring");
    let newcomer = Newcomer::start();
    let mut browser = Browser::new(&newcomer.ostler.home);
    let page = browser.get("/add");
    browser.send(&filled(&newcomer, &page, &newcomer.password));
    browser.stay_until("works and is saved");
    let file = newcomer.ostler.home.settings().replace("[account.pop3]", "[account.pop3] # where it comes from");
    newcomer.ostler.home.write_settings(&file);
    let own = |browser: &mut Browser| browser.get("/account/settings").form("/account/settings");
    let pop3 = |browser: &mut Browser| browser.get("/account/server?server=pop3-1").form("/account/server");
    let wrong = pop3(&mut browser).with("account.pop3.port", "x");
    let wrong = browser.send(&wrong);
    assert!(wrong.body.contains("A port is a number"), "{}", wrong.body);
    let form = own(&mut browser);
    let wrong = browser.send(&form.clone().with("account.aliases", "nobody"));
    assert!(wrong.body.contains("has no @"), "{}", wrong.body);
    // A name more does not cost the password.
    let more = browser.send(&form.with("account.aliases", "lee@example.org").with("account.default", "yes"));
    assert!(more.body.contains("Changed.") && !more.body.contains("forgotten; type"), "{}", more.body);
    assert_eq!(client::fetch(newcomer.ostler.pop3, ANN, "x").len(), 0);
    // The same server by another name is another server.
    let form = pop3(&mut browser).with("account.pop3.host", "127.0.0.1");
    let moved = browser.send(&form);
    assert!(moved.body.contains("forgotten; type it again"), "{}", moved.body);
    let mut without = client::Client::greeted(newcomer.ostler.pop3, "+OK");
    without.ask(&format!("USER {ANN}"), "+OK");
    without.ask("PASS x", "-ERR");
    let form = pop3(&mut browser).with("account.pop3.host", "localhost");
    let back = browser.send(&form);
    let mut still = client::Client::greeted(newcomer.ostler.pop3, "+OK");
    still.ask(&format!("USER {ANN}"), "+OK");
    still.ask("PASS x", "-ERR");
    browser.send(&back.form("/account/password").with("password", &newcomer.password));
    browser.stay_until("Everything works");
    // Another user name is another secret, too.
    let form = own(&mut browser).with("account.username", "somebody");
    let named = browser.send(&form);
    assert!(named.body.contains("forgotten; type it again") && named.body.contains("as somebody"), "{}", named.body);
    assert!(newcomer.ostler.home.settings().contains("username = \"somebody\""));
    let form = own(&mut browser);
    let mistaken = browser.send(&form.clone().with("account.username", &"x".repeat(300)));
    assert!(mistaken.body.contains("This is empty or too long"), "{}", mistaken.body);
    let back = browser.send(&form.with("account.username", ANN));
    browser.send(&back.form("/account/password").with("password", &newcomer.password));
    browser.stay_until("Everything works");
    let settings = newcomer.ostler.home.settings();
    assert!(settings.contains("# where it comes from") && settings.contains("lee@example.org"), "{settings}");
    browser.never_saw(&newcomer.password);
}

#[test]
fn the_local_password_is_shown_when_asked_for_and_can_be_another() {
    require!("keyring");
    use crate::support::ca::TestCa;
    use crate::support::keyring::Keyring;
    use crate::support::ostler::{Account, Server};
    let keyring = Keyring::start();
    let account = Account::new("home", ANN, &unique("pw")).pop3(Server::new("none", free_port()));
    let home = crate::home(&TestCa::new(), &[account]).with_keyring(&keyring);
    home.write_settings(&home.settings().replace("page = 0", "page = 0\naccess = \"password\""));
    let ostler = home.run();
    let mut browser = Browser::new(&ostler.home);
    let page = browser.get("/account");
    assert!(!page.body.contains("<p class=\"copy\">"), "not before somebody asks: {}", page.body);
    let word = |page: &Answer| {
        page.body.split("<p class=\"copy\"><code class=\"value\">").nth(1)?.split('<').next().map(str::to_owned)
    };
    let old = word(&browser.send(&page.form("/account/local").with("show", "old"))).unwrap();
    assert_eq!(word(&browser.send(&page.form("/account/local").with("show", "old"))), Some(old.clone()));
    let new = word(&browser.send(&page.form("/account/local").with("show", "new"))).unwrap();
    assert_ne!(old, new);
    let listed = ostler.home.ostler(&["list", "--passwords"], "");
    assert!(String::from_utf8_lossy(&listed.stdout).contains(&new));
    assert!(word(&browser.get("/account")).is_none());
}

#[test]
fn a_provider_nobody_knows_is_asked_for_by_name() {
    require!("keyring", "dovecot", "postfix", "world");
    use crate::support::keyring::Keyring;
    use crate::support::world::World;
    let world = World::builder().start();
    let keyring = Keyring::start();
    let password = unique("pw");
    let mut home = crate::home(world.ca(), &[]).with_keyring(&keyring).inside(&world);
    home.keep_secret(&password);
    let ostler = home.run();
    let mut browser = Browser::inside(&ostler.home, |port| world.reach(port));
    let form = browser.get("/add").form("/add").with("address", "ann@nowhere.test").with("password", &password);
    browser.send(&form);
    let asked = browser.stay_until("public list");
    let job = browser.at.clone();
    assert!(!asked.body.contains("http-equiv=\"refresh\""), "a page that asks holds still");
    let no = asked.form(&format!("{job}/answer")).with("answer", "no");
    browser.send(&no);
    browser.at.clone_from(&job);
    let failed = browser.stay_until("No mail servers were found for nowhere.test");
    assert!(!failed.body.contains("--pop3") && !failed.body.contains("Save it anyway"), "{}", failed.body);
    browser.never_saw(&password);
}

#[test]
fn a_computer_without_the_internet_is_told_so_and_asked_nothing() {
    require!("keyring", "world");
    use crate::support::keyring::Keyring;
    use crate::support::world::World;
    let world = World::builder().apart().start();
    let keyring = Keyring::start();
    let ostler = crate::home(world.ca(), &[]).with_keyring(&keyring).inside(&world).run();
    let mut browser = Browser::inside(&ostler.home, |port| world.reach(port));
    for address in ["ann@nowhere.test", "ann@posteo.de"] {
        let form = browser.get("/add").form("/add").with("address", address).with("password", &unique("pw"));
        browser.send(&form);
        let failed = browser.stay_until("This computer is not connected</h1>");
        let told = failed.body.to_lowercase();
        assert!(told.contains("this computer is not connected to the internet"), "{}", failed.body);
        assert!(!told.contains("public list of mail servers") && !told.contains("no server named"), "{}", failed.body);
    }
}

#[test]
fn the_steps_are_ticked_and_the_chosen_program_comes_next() {
    require!("dovecot", "postfix", "keyring");
    let newcomer = Newcomer::start();
    let mut browser = Browser::new(&newcomer.ostler.home);
    let page = browser.get("/");
    assert!(page.body.contains("<option value=\"outlook-express\">"), "{}", page.body);
    browser.send(&filled(&newcomer, &page, "wrong").with("client", "outlook-express"));
    let job = browser.at.clone();
    let stage = |page: &Answer, name: &str| {
        let before = page.body.split(&format!("<b>{name}</b>")).next().unwrap();
        before.rsplit("<li class=\"").next().unwrap().split('"').next().unwrap().to_owned()
    };
    let failed = browser.stay_until("does not work yet");
    let stages = ["Find the mail servers", "Fetch mail", "Send mail", "Save the account"];
    assert_eq!(stages.map(|name| stage(&failed, name)), ["ok", "no", "ahead", "ahead"]);
    browser.send(&failed.form(&format!("{job}/again")).with("password", &newcomer.password));
    browser.at.clone_from(&job);
    let done = browser.stay_until("works and is saved");
    assert_eq!(stages.map(|name| stage(&done, name)), ["ok"; 4]);
    let guide = done.links().into_iter().find(|link| link.starts_with("/guide/outlook-express?")).unwrap();
    let guide = browser.get(&guide);
    assert!(guide.body.contains("Outlook Express") && guide.body.contains("Is it connected?"), "{}", guide.body);
    // It watches and tests by itself, so no command for a terminal stands on it.
    assert!(!guide.body.contains("ostler check") && !guide.body.contains("--watch"), "{}", guide.body);
    browser.send(&guide.form("/account/test"));
    let tested = browser.stay_until("Everything works");
    assert_eq!(["Fetch mail", "Send mail"].map(|name| stage(&tested, name)), ["ok"; 2]);
    assert!(!tested.body.contains("Save the account"), "{}", tested.body);
    browser.never_saw(&newcomer.password);
}

#[test]
fn f12_a_provider_that_hangs_up_on_a_password_is_told_as_such() {
    require!("keyring");
    use crate::support::ca::TestCa;
    use crate::support::keyring::Keyring;
    use crate::support::provider::{Provider, Step, expect, say};
    let (ca, secret) = (TestCa::new(), unique("pw"));
    let keyring = Keyring::start();
    let mut home = crate::home(&ca, &[]).with_keyring(&keyring);
    home.keep_secret(&secret);
    let ostler = home.run();
    let part = vec![say("+OK"), expect("USER"), say("+OK"), expect("PASS"), Step::Cut];
    let provider = Provider::always_tls(&ca.localhost(), true, part);
    let mut browser = Browser::new(&ostler.home);
    let form = browser.get("/").form("/add").with("address", ANN).with("password", &secret);
    let form = form.with("pop3", &format!("tls://localhost:{}", provider.port));
    // Sending comes after fetching, which fails.
    browser.send(
        &form
            .with("smtp", &format!("tls://localhost:{}", free_port()))
            .with("ca", ostler.home.ca_file().to_str().unwrap()),
    );
    let failed = browser.stay_until("does not work yet");
    assert!(failed.body.contains("closed the connection instead of answering the sign-in"), "{}", failed.body);
    assert!(failed.body.contains("when user name or password is wrong"), "{}", failed.body);
    browser.never_saw(&secret);
}
