//! Finds a domain's servers by its SRV records (RFC 6186, RFC 8314 section 5.1).

use super::{Domain, Found, Missing, Names, NamesTrouble, Offer, Source, Srv, Vouched};
use ostler_mail::account::endpoint::Endpoint;
use ostler_mail::account::{Protocol, Security};

/// The services to look up. Those with TLS from the start come first (RFC 8314, section 3). Those that RFC 6186 allows
/// without encryption are used with STARTTLS only.
const SERVICES: [(&str, Protocol, Security); 6] = [
    ("_pop3s", Protocol::Pop3, Security::Tls),
    ("_pop3", Protocol::Pop3, Security::StartTls),
    ("_submissions", Protocol::Smtp, Security::Tls),
    ("_submission", Protocol::Smtp, Security::StartTls),
    ("_imaps", Protocol::Imap, Security::Tls),
    ("_imap", Protocol::Imap, Security::StartTls),
];

/// Looks up all services at once.
pub(super) async fn find(names: &Names, domain: &Domain) -> Result<Found, Missing> {
    let ask = |n: usize| async move {
        let (service, _, _) = SERVICES[n];
        names.srv(&format!("{service}._tcp.{domain}")).await
    };
    let (a, b, c, d, e, f) = tokio::join!(ask(0), ask(1), ask(2), ask(3), ask(4), ask(5));
    gather([a, b, c, d, e, f], domain)
}

fn gather(answers: [Result<Vec<Srv>, NamesTrouble>; 6], domain: &Domain) -> Result<Found, Missing> {
    let (mut offers, mut trouble) = (Vec::new(), None);
    for ((_, protocol, security), answer) in SERVICES.into_iter().zip(answers) {
        match answer {
            Ok(records) => offers.extend(records.iter().filter_map(|srv| offer(protocol, security, srv, domain))),
            Err(NamesTrouble::NoRecord) => {}
            Err(NamesTrouble::NotAsked(why)) => trouble = Some(why),
        }
    }
    match trouble {
        _ if !offers.is_empty() => Ok(Found { by: Source::Srv, offers, title: None, hints: Vec::new(), company: None }),
        Some(why) => Err(Missing::NotAsked(why)),
        None => Err(Missing::Nothing),
    }
}

/// `None` if the service is not offered, or the target is not a host name.
fn offer(protocol: Protocol, security: Security, srv: &Srv, domain: &Domain) -> Option<Offer> {
    let host = Domain::parse(&srv.target).ok().filter(|_| srv.port != 0)?;
    let vouched = Vouched::PlainDns { outside: !domain.contains(host.as_str()) };
    // RFC 6186, section 4: clients try the whole address first, then the part before the @, as with an unknown form.
    let endpoint = Endpoint::new(protocol, host.to_string(), srv.port, security);
    Some(Offer { endpoint, vouched })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn srv(target: &str, port: u16) -> Result<Vec<Srv>, NamesTrouble> {
        Ok(vec![Srv { priority: 0, weight: 1, port, target: target.to_owned() }])
    }

    const NONE: Result<Vec<Srv>, NamesTrouble> = Err(NamesTrouble::NoRecord);

    #[test]
    fn what_is_outside_is_told_from_what_is_inside() {
        let domain = Domain::parse("example.net").unwrap();
        let found = gather(
            [srv("pop.example.net", 995), NONE, srv("smtp.evil.example", 465), srv("example.net", 587), NONE, NONE],
            &domain,
        )
        .unwrap();
        let shown: Vec<_> = found.offers.iter().map(|o| (o.endpoint.describe(), o.vouched.needs_yes())).collect();
        let wanted = [
            ("pop.example.net port 995, TLS", false),
            ("smtp.evil.example port 465, TLS", true),
            ("example.net port 587, STARTTLS", false),
        ];
        assert_eq!(shown, wanted.map(|(shown, yes)| (shown.to_owned(), yes)));
        assert!(found.is_enough());
    }

    #[test]
    fn a_service_that_is_not_offered_is_none() {
        let domain = Domain::parse("example.net").unwrap();
        let not_offered = || srv("", 0);
        let all = [not_offered(), NONE, not_offered(), NONE, NONE, srv("10.0.0.1", 993)];
        assert_eq!(gather(all, &domain), Err(Missing::Nothing));
        let silent = || Err(NamesTrouble::NotAsked("no answer in time".into()));
        assert_eq!(
            gather([NONE, NONE, NONE, NONE, silent(), NONE], &domain),
            Err(Missing::NotAsked("no answer in time".into()))
        );
        assert!(gather([srv("pop.example.net", 995), silent(), NONE, NONE, NONE, NONE], &domain).is_ok());
    }
}
