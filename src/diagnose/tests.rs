//! What is told of a step, without servers; the rest is in `tests/doctor.rs`.

use super::*;
use crate::events::Events;
use crate::vault::Vault;
use ostler_mail::account::{Access, Settings, SignIn, testing};

#[test]
fn a_provider_known_to_be_closed_is_the_cause_of_whatever_fails() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut account = testing::account("home", "ann@example.net", "ann");
    account.smtp.clear();
    account.pop3 = account.pop3.map(|server| Server {
        host: "127.0.0.1".into(),
        port: listener.local_addr().unwrap().port(),
        sign_in: SignIn::None,
        ..server
    });
    drop(listener);
    let account = Arc::new(account);
    let settings = testing::settings(Access::SameUser, vec![Arc::clone(&account)], &[]);
    let engine = Arc::new(Engine::new(Settings::clone(&settings), Vault::new(), Events::default()));
    let mut told = Vec::new();
    let on_step = |step: &Step| told.push((step.kind.name(), step.is_ok()));
    let closed = "this provider ended its mail service in 2023";
    let steps = runtime.block_on(check_account(&engine, &account, Some(closed.into()), on_step));
    assert_eq!(told, [("settings", true), ("name", true), ("tcp", false)]);
    let last = steps.last().unwrap();
    assert_eq!(last.cause.as_deref(), Some(closed));
    assert!(last.advice.is_some() && !last.client_messages.is_empty() && last.failure.is_some());
    assert!(steps.iter().all(|step| step.is_ok() || step.cause.is_some()));
    assert!(steps.iter().all(|step| !step.is_ok() || (step.cause.is_none() && step.client_messages.is_empty())));
}

/// `ostler add` told its user to correct settings that an account has only once it is saved.
#[test]
fn an_account_that_is_being_added_has_no_settings_to_correct() {
    let account = Arc::new(testing::account("home", "ann@example.net", "ann"));
    let settings = testing::settings(Access::SameUser, vec![Arc::clone(&account)], &[]);
    let engine = Arc::new(Engine::new(Settings::clone(&settings), Vault::new(), Events::default()));
    let doctor = || Doctor::new(Arc::clone(&engine), Arc::clone(&account), |_| ());
    let failure = Failure::NameNotFound { at: account.pop3.as_ref().unwrap().into() };
    let advice = |doctor: &Doctor<'_>, look| doctor.explain(&failure, look).1;
    let look = || Some(likely_cause::Look::at_port("the port is wrong".into(), 110, Security::StartTls));
    let (saved, unsaved) = (doctor(), doctor().of_unsaved());
    assert_eq!(advice(&saved, look()), "write port = 110 and security = \"starttls\" for this server in the settings");
    assert_eq!(advice(&unsaved, look()), "use port 110 with STARTTLS for this server");
    assert_eq!(advice(&saved, None), "check the spelling of host in the settings, and that this computer is online");
    assert_eq!(advice(&unsaved, None), "check the spelling of host, and that this computer is online");
}
