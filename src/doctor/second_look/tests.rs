//! The judgements, without a network.

use super::*;

fn hosts(all: &[(&str, &[&str])]) -> Vec<(String, Vec<IpAddr>)> {
    let ips = |texts: &[&str]| texts.iter().map(|t| t.parse().unwrap()).collect();
    all.iter().map(|(host, addresses)| ((*host).to_owned(), ips(addresses))).collect()
}

#[test]
fn a_hotel_network_is_known_by_its_addresses() {
    let reference: Vec<IpAddr> = vec!["192.0.2.1".parse().unwrap()];
    for (all, portal) in [
        // Public names at an address of the house.
        (hosts(&[("pop.example.net", &["10.0.0.1"])]), true),
        (hosts(&[("pop.example.net", &["192.168.1.1"]), ("smtp.example.org", &["172.16.0.9"])]), true),
        (hosts(&[("pop.example.net", &["100.64.3.1"])]), true),
        // Everything at one address.
        (hosts(&[("pop.example.net", &["192.0.2.1"]), ("smtp.example.net", &["192.0.2.1"])]), true),
        (hosts(&[("pop.example.net", &["198.51.100.7"]), ("smtp.example.org", &["198.51.100.7"])]), true),
        // A small host with one computer.
        (hosts(&[("pop.example.net", &["198.51.100.7"]), ("smtp.example.net", &["198.51.100.7"])]), false),
        (hosts(&[("mail.example.net", &["198.51.100.7"])]), false),
        (hosts(&[("pop.example.net", &["198.51.100.7"]), ("smtp.example.org", &["198.51.100.8"])]), false),
        // A server in the house, and this computer.
        (hosts(&[("mailserver", &["10.0.0.1"]), ("mail.lan", &["10.0.0.1"])]), false),
        (hosts(&[("mail.example.net", &["127.0.0.1"])]), false),
        (hosts(&[]), false),
    ] {
        assert_eq!(is_portal(&all, &reference), portal, "{all:?}");
    }
}

#[test]
fn the_clock_is_named_with_what_it_says() {
    let at = |year| time::Date::from_calendar_date(year, time::Month::March, 1).unwrap().midnight().assume_utc();
    let expired = CertificateProblem::Expired { until: "2024-01-01".into() };
    let early = CertificateProblem::NotYetValid { from: "2024-01-01".into() };
    let wrong = clock(at(2009), &early, false);
    assert!(wrong.cause.contains("2009-03-01, which cannot be right"), "{wrong:?}");
    let both = clock(at(2040), &expired, true);
    assert!(both.cause.contains("several servers") && both.cause.contains("2040-03-01"), "{both:?}");
    for problem in [expired, early] {
        let one = clock(at(2027), &problem, false);
        assert!(one.cause.contains("says 2027-03-01; if that is"), "{one:?}");
    }
}

#[test]
fn the_usual_other_ports_leave_the_own_one_out() {
    let server = |protocol, port| Server { port, ..crate::choose::tests::server(protocol, "ann") };
    let ports = |server: &Server| usual(server).into_iter().map(|(port, _)| port).collect::<Vec<_>>();
    assert_eq!(ports(&server(Protocol::Pop3, 995)), [110]);
    assert_eq!(ports(&server(Protocol::Pop3, 2995)), [995, 110]);
    assert_eq!(ports(&server(Protocol::Smtp, 25)), [465, 587]);
}
