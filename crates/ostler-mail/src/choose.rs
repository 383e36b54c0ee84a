//! Which account a client means: by the user name it gives, or by the sender of a message.
//!
//! Not here: the order in which door, AUTH and sender decide (`smtp::front`).

use std::sync::Arc;

use crate::account::{Account, Protocol, is_this_computer};
use crate::failure::Failure;
use crate::idn;

/// The account that a client means by a user name: an account's name, address, alias or provider user name in any letter
/// case, with the domain in either form (`idn`), also with `%` or `#` for `@`, and with `@` and a name of this computer appended (Eudora writes
/// `ann@optonline.net@127.0.0.1`).
pub(crate) fn by_user_name(accounts: &[Arc<Account>], given: &str) -> Result<Arc<Account>, Failure> {
    let given = given.trim();
    let mut spellings = vec![given.to_owned()];
    if let Some((name, host)) = given.rsplit_once('@')
        && is_this_computer(host)
    {
        spellings.push(name.to_owned());
    }
    for n in 0..spellings.len() {
        if let Some(at) = spellings[n].rfind(['%', '#']) {
            let mut spelled = spellings[n].clone();
            spelled.replace_range(at..=at, "@");
            spellings.push(spelled);
        }
    }
    spellings
        .iter()
        .find_map(|name| exactly(accounts, &idn::name(name)))
        .ok_or_else(|| Failure::UnknownAccount { given: given.to_owned(), known: names(accounts) })
}

/// The account that sends for an address when neither door nor AUTH has decided: its owner, else the default account, else
/// the only account.
pub(crate) fn by_sender(accounts: &[Arc<Account>], sender: &str) -> Result<Arc<Account>, Failure> {
    // The null sender of a read receipt belongs to no account.
    let owner = (!sender.is_empty()).then(|| {
        // An account's own address comes before another's `*@domain`.
        accounts
            .iter()
            .find(|a| a.address.eq_ignore_ascii_case(sender))
            .or_else(|| accounts.iter().find(|a| a.sends_for(sender)))
    });
    owner
        .flatten()
        .or_else(|| accounts.iter().find(|a| a.is_default))
        .or_else(|| only(accounts))
        .cloned()
        .ok_or_else(|| Failure::UnknownSender { given: sender.to_owned(), known: names(accounts) })
}

/// The only account there is, which is meant whatever a client says.
pub fn only(accounts: &[Arc<Account>]) -> Option<&Arc<Account>> {
    if let [only] = accounts { Some(only) } else { None }
}

/// The account, if it has a server of this protocol.
pub(crate) fn with_server(account: Arc<Account>, protocol: Protocol) -> Result<Arc<Account>, Failure> {
    if account.serves(protocol) {
        Ok(account)
    } else {
        Err(Failure::NoServer { account: account.name.clone(), protocol })
    }
}

/// The names of all accounts, for refusals.
pub fn names(accounts: &[Arc<Account>]) -> Vec<String> {
    accounts.iter().map(|a| a.name.clone()).collect()
}

/// Matches names first, then addresses, then aliases, then user names at providers. A user name counts only if exactly one
/// account has it: "ann" may be a customer of two companies.
fn exactly(accounts: &[Arc<Account>], name: &str) -> Option<Arc<Account>> {
    let by = |wanted: &dyn Fn(&Account) -> bool| accounts.iter().find(|a| wanted(a)).cloned();
    by(&|a| a.name.eq_ignore_ascii_case(name))
        .or_else(|| by(&|a| a.address.eq_ignore_ascii_case(name)))
        .or_else(|| by(&|a| a.aliases.iter().any(|alias| alias.covers(name))))
        .or_else(|| {
            let mut having = accounts.iter().filter(|a| has_user_name(a, name));
            having.next().filter(|_| having.next().is_none()).cloned()
        })
}

fn has_user_name(account: &Account, name: &str) -> bool {
    account.servers().filter_map(|s| s.credentials()).any(|c| c.username.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::Alias;
    use crate::account::testing::account;

    fn two() -> Vec<Arc<Account>> {
        let mut home = account("home", "ann@optonline.net", "ann");
        home.aliases = vec![Alias::Address("ann.lee@optimum.net".into()), Alias::Domain("example.net".into())];
        vec![Arc::new(home), Arc::new(account("work", "ann@work.example", "ann@work.example"))]
    }

    #[test]
    fn a_client_may_give_a_name_in_many_spellings() {
        let accounts = two();
        for given in [
            "home",
            "HOME",
            "ann@optonline.net",
            "Ann%Optonline.net",
            "ann#optonline.net",
            "ann@optonline.net@127.0.0.1",
            "ann%optonline.net@localhost",
            "home@[127.0.0.1]",
            "home@::1",
            "ann.lee@optimum.net",
            "anything@example.net",
            "ann",
            " ann ",
        ] {
            assert_eq!(by_user_name(&accounts, given).unwrap().name, "home", "{given}");
        }
        assert_eq!(by_user_name(&accounts, "ann@work.example").unwrap().name, "work");
        for given in ["joe", "", "ann@optonline.net@evil.example", "ann@elsewhere.example"] {
            assert!(by_user_name(&accounts, given).is_err(), "{given}");
        }
    }

    #[test]
    fn f08_a_domain_may_have_either_form() {
        let accounts = [Arc::new(account("home", "ann@xn--bcher-kva.example", "ann@xn--bcher-kva.example"))];
        for given in [
            "ann@b\u{fc}cher.example",
            "ANN@B\u{dc}cher.example",
            "ann%b\u{fc}cher.example",
            "ann#xn--bcher-kva.example",
            "ann@b\u{fc}cher.example@127.0.0.1",
            "ann%b\u{fc}cher.example@localhost",
        ] {
            assert_eq!(by_user_name(&accounts, given).unwrap().name, "home", "{given}");
        }
        for given in ["\u{e4}nn@b\u{fc}cher.example", "ann@bucher.example", "b\u{fc}cher.example"] {
            assert!(by_user_name(&accounts, given).is_err(), "{given}");
        }
    }

    #[test]
    fn a_user_name_that_two_accounts_have_names_neither() {
        let accounts = [account("a", "x@a.example", "ann"), account("b", "x@b.example", "ann")].map(Arc::new);
        assert!(by_user_name(&accounts, "ann").is_err());
    }

    #[test]
    fn an_account_without_the_server_is_refused() {
        let mut fetching = account("fetching", "ann@example.net", "ann");
        fetching.smtp.clear();
        let fetching = Arc::new(fetching);
        assert!(with_server(Arc::clone(&fetching), Protocol::Pop3).is_ok());
        let missing = Failure::NoServer { account: "fetching".into(), protocol: Protocol::Smtp };
        assert_eq!(with_server(fetching, Protocol::Smtp), Err(missing));
    }

    #[test]
    fn the_sender_decides_then_the_default_then_the_only_one() {
        let mut accounts = two();
        assert_eq!(by_sender(&accounts, "ANN@work.example").unwrap().name, "work");
        assert_eq!(by_sender(&accounts, "x@example.net").unwrap().name, "home");
        assert!(by_sender(&accounts, "joe@nowhere.example").is_err());
        assert!(by_sender(&accounts, "").is_err());
        let mut work = account("work", "ann@work.example", "ann");
        work.is_default = true;
        accounts[1] = Arc::new(work);
        assert_eq!(by_sender(&accounts, "joe@nowhere.example").unwrap().name, "work");
        assert_eq!(by_sender(&accounts, "").unwrap().name, "work");
        assert_eq!(by_sender(&accounts[..1], "").unwrap().name, "home");
    }
}
