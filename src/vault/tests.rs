//! The vault over a keyring in memory; the real ones are in `tests/vault.rs`.

use std::sync::{Condvar, Mutex};

use super::*;
use ostler_mail::account::{
    AfterPop, Credentials, DEFAULT_IMAP_CONNECTIONS, Folder, PasswordCharset, Protocol, Security, Trust,
};

fn server(protocol: Protocol, host: &str, sign_in: SignIn) -> Server {
    let security = Security::Tls;
    Server { protocol, host: host.into(), port: 995, security, trust: Trust::default(), sign_in, chunking: true }
}

fn password(source: SecretSource) -> SignIn {
    SignIn::Password(Credentials { username: "ann".into(), secret: source, charset: PasswordCharset::Utf8 })
}

fn account(name: &str) -> Account {
    Account {
        name: name.into(),
        address: "ann@example.net".into(),
        aliases: vec![],
        provider: None,
        is_default: false,
        offer_auth: true,
        read_ahead: true,
        oauth2: None,
        local_password: None,
        readable: None,
        mend: vec![],
        folder: Folder::default(),
        pop3: Some(server(Protocol::Pop3, "pop.example.net", password(SecretSource::Keyring))),
        smtp: vec![],
        imap: None,
        imap_connections: DEFAULT_IMAP_CONNECTIONS,
    }
}

type Entries = Arc<Mutex<HashMap<String, Vec<u8>>>>;

/// A vault over a keyring in memory, with the entries and a record of what was read.
fn vault() -> (Vault, Entries, Arc<Mutex<Vec<String>>>) {
    let (entries, reads) = (Entries::default(), Arc::new(Mutex::new(vec![])));
    let (kept, log) = (Arc::clone(&entries), Arc::clone(&reads));
    let serve = move |request: &Request| {
        let mut kept = kept.lock().unwrap();
        match request {
            Request::Read { entry } => {
                log.lock().unwrap().push(entry.clone());
                return kept.get(entry).cloned().map(Zeroizing::new).ok_or(Trouble::NoEntry);
            }
            Request::Write { entry, secret } => drop(kept.insert(entry.clone(), secret.to_vec())),
            Request::Forget { account, entries } => kept.retain(|entry, _| {
                !entries.contains(entry) && account.as_ref().is_none_or(|account| !is_entry_of(entry, account))
            }),
        }
        Ok(Zeroizing::default())
    };
    (Vault::over(Worker::new(Arc::new(serve)), false), entries, reads)
}

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned()).unwrap()
}

#[tokio::test]
async fn a_secret_is_read_once_until_it_is_dropped() {
    let (vault, entries, reads) = vault();
    let home = account("home");
    let pop3 = home.pop3.as_ref().unwrap();
    let entry = "home pop3 tls ann@pop.example.net:995".to_owned();
    let missing = vault.secret(&home, pop3).await.unwrap_err();
    assert_eq!(
        missing,
        VaultError::NoEntry { account: "home".into(), entry: entry.clone(), place: SecretStore::Keyring }
    );
    entries.lock().unwrap().insert(entry.clone(), b"hunter2".to_vec());
    for _ in 0..3 {
        assert!(vault.secret(&home, pop3).await.unwrap().is(b"hunter2"));
    }
    entries.lock().unwrap().insert(entry.clone(), b"hunter3".to_vec());
    vault.drop_cached(&home, pop3);
    assert!(vault.clone().secret(&home, pop3).await.unwrap().is(b"hunter3"));
    assert_eq!(*reads.lock().unwrap(), vec![entry; 3]);
}

#[tokio::test]
async fn a_secret_does_not_follow_its_account_to_another_server() {
    let (vault, ..) = vault();
    let mut home = account("home");
    let stored_for = home.pop3.clone().unwrap();
    vault.store(&home, &stored_for, secret("hunter2")).await.unwrap();
    assert!(vault.secret(&home, &stored_for).await.is_ok());
    let elsewhere = [
        Server { host: "pop.example.org".into(), ..stored_for.clone() },
        Server { port: 110, ..stored_for.clone() },
        Server { security: Security::None, ..stored_for.clone() },
    ];
    for server in elsewhere {
        home.pop3 = Some(server.clone());
        assert!(matches!(vault.secret(&home, &server).await, Err(VaultError::NoEntry { .. })));
    }
}

#[tokio::test]
async fn one_server_is_forgotten_and_the_others_are_not() {
    let (vault, ..) = vault();
    let mut home = account("home");
    home.smtp = vec![server(Protocol::Smtp, "smtp.example.net", password(SecretSource::Keyring))];
    let servers = servers_with_secret(&home);
    let [first, second, ..] = servers.as_slice() else { panic!("{servers:?}") };
    for server in [first, second] {
        vault.store(&home, server, secret("x")).await.unwrap();
    }
    vault.forget_server(&home, first).await.unwrap();
    assert!(matches!(vault.secret(&home, first).await, Err(VaultError::NoEntry { .. })));
    assert!(vault.secret(&home, second).await.is_ok());
    vault.forget_server(&home, first).await.unwrap();
}

#[tokio::test]
async fn a_local_password_is_made_once_and_replaced_only_when_asked() {
    let (vault, entries, _) = vault();
    let home = account("home");
    let (first, second) = tokio::join!(vault.local_password(&home), vault.local_password(&home));
    let first = first.unwrap();
    assert_eq!(first.expose(), second.unwrap().expose());
    assert_eq!(entries.lock().unwrap()["home local-password"], first.expose());
    let new = vault.new_local_password(&home).await.unwrap();
    assert_ne!(new.expose(), first.expose());
    assert_eq!(vault.local_password(&home).await.unwrap().expose(), new.expose());
}

/// `ostler add` showed a password that the running ostler refused: both had made one when the settings changed.
#[tokio::test]
async fn two_processes_make_one_local_password_between_them() {
    /// Long enough for the other process to look, if it does not wait for its turn.
    const SLOW_WRITE: Duration = Duration::from_millis(300);
    let (entries, looks) = (Entries::default(), Arc::new((Mutex::new(0), Condvar::new())));
    let process = || {
        let (entries, looks) = (Arc::clone(&entries), Arc::clone(&looks));
        let serve = move |request: &Request| {
            let (count, looked) = &*looks;
            match request {
                Request::Read { entry } => {
                    let found = entries.lock().unwrap().get(entry).cloned().map(Zeroizing::new);
                    *count.lock().unwrap() += 1;
                    looked.notify_all();
                    found.ok_or(Trouble::NoEntry)
                }
                Request::Write { entry, secret } => {
                    // Each process looks twice before it writes.
                    drop(looked.wait_timeout_while(count.lock().unwrap(), SLOW_WRITE, |count| *count < 4));
                    entries.lock().unwrap().insert(entry.clone(), secret.to_vec());
                    Ok(Zeroizing::default())
                }
                Request::Forget { .. } => Err(Trouble::NoEntry),
            }
        };
        Vault::over(Worker::new(Arc::new(serve)), false)
    };
    let (running, add, account) = (process(), process(), account("two processes"));
    let (here, there) = tokio::join!(running.local_password(&account), add.local_password(&account));
    assert_eq!(here.unwrap().expose(), there.unwrap().expose());
}

/// Two passwords at the same moment: for fetching ostler had the one, for sending the other.
#[tokio::test]
async fn of_two_passwords_that_are_stored_at_once_one_is_at_every_server() {
    const SLOW_WRITE: Duration = Duration::from_millis(300);
    let (entries, writes) = (Entries::default(), Arc::new((Mutex::new(Vec::new()), Condvar::new())));
    // Writes of the first process to the second server, and of the second process to the first one, wait for the other's.
    let process = |own: &'static str, waits_at: &'static str| {
        let (entries, writes) = (Arc::clone(&entries), Arc::clone(&writes));
        let serve = move |request: &Request| {
            let Request::Write { entry, secret } = request else { return Err(Trouble::NoEntry) };
            let (written, has_written) = &*writes;
            if entry.contains(waits_at) {
                let is_alone =
                    |written: &mut Vec<_>| !written.iter().any(|(who, at): &(&str, String)| *who != own && at == entry);
                drop(has_written.wait_timeout_while(written.lock().unwrap(), SLOW_WRITE, is_alone));
            }
            entries.lock().unwrap().insert(entry.clone(), secret.to_vec());
            written.lock().unwrap().push((own, entry.clone()));
            has_written.notify_all();
            Ok(Zeroizing::default())
        };
        Vault::over(Worker::new(Arc::new(serve)), false)
    };
    let mut account = account("two passwords");
    let smtp = Server { protocol: Protocol::Smtp, ..account.pop3.clone().unwrap() };
    account.smtp = vec![smtp];
    let (one, other) = (process("one", "smtp"), process("other", "pop3"));
    let store = |vault: Vault, password: &'static str| {
        let account = &account;
        async move { vault.store_all(account, account.servers().map(|server| (server, secret(password).into()))).await }
    };
    let (first, second) = tokio::join!(store(one, "one"), store(other, "other"));
    first.unwrap();
    second.unwrap();
    let stored: Vec<Vec<u8>> = entries.lock().unwrap().values().cloned().collect();
    assert!(stored.len() == 2 && stored[0] == stored[1], "{stored:?}");
}

#[tokio::test]
async fn an_account_that_is_gone_gets_no_local_password_any_more() {
    let (vault, entries, _) = vault();
    let (home, gone) = (account("home"), account("gone"));
    vault.make_only_for(|account| account.name != "gone");
    assert!(matches!(vault.local_password(&gone).await, Err(VaultError::NoEntry { .. })));
    vault.local_password(&home).await.unwrap();
    assert_eq!(entries.lock().unwrap().keys().collect::<Vec<_>>(), ["home local-password"]);
}

/// Tokens whose renewal was under way were stored after all the rest of the account had been removed.
#[tokio::test]
async fn an_account_is_forgotten_after_the_renewal_of_its_tokens() {
    let (vault, entries, _) = vault();
    let account = account("renewed while removed");
    let renewal = vault.wait_for_tokens(&account).await;
    let forgetting = async { vault.forget_account(&account).await.unwrap() };
    let renewing = async {
        tokio::task::yield_now().await;
        vault.store_tokens(&account, Zeroizing::new(b"{}".to_vec())).await.unwrap();
        drop(renewal);
    };
    tokio::join!(forgetting, renewing);
    assert!(entries.lock().unwrap().is_empty());
}

/// A mail program with a new local password was refused until ostler started anew, if the one who had made it could not tell.
#[tokio::test]
async fn a_local_password_that_another_process_has_changed_is_found() {
    let (vault, entries, _) = vault();
    let home = account("home");
    assert!(vault.changed_local_password(&home).await.is_none());
    vault.local_password(&home).await.unwrap();
    assert!(vault.changed_local_password(&home).await.is_none());
    entries.lock().unwrap().insert("home local-password".into(), b"new".to_vec());
    assert_eq!(vault.changed_local_password(&home).await.unwrap().expose(), b"new");
    assert_eq!(vault.local_password(&home).await.unwrap().expose(), b"new");
}

#[test]
fn a_local_password_has_128_bits_and_fits_into_old_programs() {
    assert_eq!(*spell(0), "aaaaaaa-aaaaaaa-aaaaaaa-aaaaa");
    assert_eq!(*spell(u128::MAX), "7777777-7777777-7777777-7777h");
    assert_ne!(*spell(1), *spell(1 << 127));
}

#[tokio::test]
async fn forgetting_an_account_leaves_the_others_alone() {
    let (vault, entries, _) = vault();
    for name in ["home", "home office"] {
        let account = account(name);
        vault.store(&account, account.pop3.as_ref().unwrap(), secret("hunter2")).await.unwrap();
        vault.local_password(&account).await.unwrap();
    }
    vault.forget_account(&account("home")).await.unwrap();
    assert!(entries.lock().unwrap().keys().all(|entry| entry.starts_with("home office ")));
    assert_eq!(entries.lock().unwrap().len(), 2);
    let home = account("home");
    assert!(matches!(vault.secret(&home, home.pop3.as_ref().unwrap()).await, Err(VaultError::NoEntry { .. })));
}

#[tokio::test]
async fn only_what_is_in_the_keyring_can_be_changed() {
    let (vault, ..) = vault();
    let mut home = account("home");
    let server = server(Protocol::Pop3, "h", password(SecretSource::File("/run/pw".into())));
    let told = vault.store(&home, &server, secret("hunter2")).await.unwrap_err().to_string();
    assert_eq!(told, "the password of account \"home\" comes from the file /run/pw, not from the keyring");
    home.local_password = Some(SecretSource::Env("PW".into()));
    assert!(matches!(vault.new_local_password(&home).await, Err(VaultError::Elsewhere { .. })));
}

#[test]
fn the_gates_login_server_has_a_secret_too() {
    let mut home = account("home");
    let gate = |login: &Server| SignIn::AfterPop(Arc::new(AfterPop { login: login.clone(), fresh: Duration::ZERO }));
    let pop3 = home.pop3.clone().unwrap();
    home.smtp.push(server(Protocol::Smtp, "smtp.example.net", gate(&pop3)));
    assert_eq!(servers_with_secret(&home), [&pop3]);
    home.pop3 = None;
    assert_eq!(servers_with_secret(&home), [&pop3]);
    home.smtp.push(server(Protocol::Smtp, "open.example.net", SignIn::None));
    assert_eq!(servers_with_secret(&home), [&pop3]);
}

#[test]
fn another_programs_words_become_one_plain_line() {
    assert_eq!(to_plain_line("  a\r\nb\u{1b}[31m \u{e4}\t"), "a b?[31m ?");
    assert_eq!(to_plain_line(&"x".repeat(500)).len(), MAX_MESSAGE_CHARS);
}
