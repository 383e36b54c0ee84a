//! The compiled-in file as a whole, and each way to find a preset.

use std::collections::HashSet;

use super::*;
use ostler_mail::account::Security;

fn built_in() -> &'static Presets {
    Presets::built_in()
}

#[track_caller]
fn preset(id: &str) -> &'static Preset {
    built_in().by_id(id).unwrap_or_else(|| panic!("{id}"))
}

fn id(found: Option<&Arc<Preset>>) -> Option<&str> {
    found.map(|preset| preset.id.as_str())
}

/// `host:port security` of each server.
fn servers(id: &str, protocol: Protocol, domain: &str) -> Vec<String> {
    let servers = preset(id).endpoints(protocol, domain);
    servers.iter().map(|s| format!("{}:{} {}", s.host, s.port, s.security.name())).collect()
}

#[test]
fn the_built_in_file_has_no_mistakes() {
    let read = parse::read_providers(BUILT_IN, Path::new("config/providers.toml"), Origin::BuiltIn);
    let presets = read.unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(presets.len(), built_in().iter().count());
    let usable = presets.iter().filter(|preset| preset.is_usable()).count();
    assert!(usable >= 100, "{usable}");
}

#[test]
fn every_entry_is_complete() {
    for preset in built_in().iter() {
        let id = &preset.id;
        assert!(!preset.source.is_empty() && preset.source.iter().all(|source| !source.is_empty()), "{id}");
        let checked = preset.checked.as_deref().unwrap_or_default();
        assert!(checked.len() == 10 && checked.starts_with("20"), "{id}: {checked}");
        assert!(preset.title != preset.id && !preset.title.is_empty(), "{id}");
        assert!(!preset.auth_methods.is_empty() && !preset.is_own(), "{id}");
        assert_eq!(preset.closed.is_some(), !preset.is_usable(), "{id}");
        // A kind of provider says for which addresses it is, or it has a domain or an exchanger.
        let is_found = !preset.domains.is_empty() || !preset.mx.is_empty() || preset.note.is_some();
        assert!(is_found, "{id}");
        for (key, sentence) in [("enable", &preset.enable), ("note", &preset.note), ("closed", &preset.closed)] {
            let text = sentence.as_deref().unwrap_or("..");
            assert!(text.ends_with(['.', '"']), "{id}: {key} is no sentence");
            for jargon in ["ISPDB", "probe", "provider-db", "recollection", " MX ", "implicit", "autoconfig"] {
                assert!(!text.contains(jargon), "{id}: {key} has {jargon}");
            }
        }
        let waits = preset.auth_methods.contains(&AuthMethod::PopBeforeSmtp);
        assert_eq!(waits, preset.window.is_some(), "{id}: a window belongs to pop-before-smtp");
    }
}

#[test]
fn no_domain_is_in_two_entries() {
    let (mut domains, mut exchangers) = (HashSet::new(), HashSet::new());
    for preset in built_in().iter() {
        assert!(preset.domains.iter().chain(&preset.domain_suffixes).all(|name| domains.insert(name)), "{}", preset.id);
        assert!(preset.mx.iter().all(|name| exchangers.insert(name)), "{}", preset.id);
    }
}

#[test]
fn no_server_is_in_clear_text_and_every_host_is_one() {
    for preset in built_in().iter() {
        for server in Protocol::ALL.iter().flat_map(|protocol| preset.templates(*protocol)) {
            assert_ne!(server.security, Security::None, "{}", preset.id);
            assert!(!server.auth_methods.is_empty() && server.port != 0, "{}", preset.id);
        }
        let templates = Protocol::ALL.iter().flat_map(|protocol| preset.templates(*protocol)).count();
        let filled = Protocol::ALL.iter().flat_map(|protocol| preset.endpoints(*protocol, "example.net")).count();
        assert_eq!(templates, filled, "{}", preset.id);
    }
}

#[test]
fn optonline_and_optimum_are_two() {
    assert_eq!(id(built_in().by_domain("OptOnline.net.")), Some("optonline"));
    assert_eq!(id(built_in().by_domain("optimum.net")), Some("optimum"));
    assert_eq!(servers("optonline", Protocol::Pop3, "optonline.net"), ["mail.optonline.net:995 tls"]);
    assert_eq!(
        servers("optonline", Protocol::Smtp, "optonline.net"),
        ["mail.optonline.net:587 starttls", "mail.optonline.net:465 tls"]
    );
    assert_eq!(servers("optimum", Protocol::Pop3, "optimum.net"), ["mail.optimum.net:995 tls"]);
    let preset = preset("optonline");
    assert_eq!((preset.confidence, preset.login.clone()), (Confidence::Low, LoginForm::Unknown));
    assert_eq!(id(built_in().by_host("mail.optonline.net")), Some("optonline"));
}

#[test]
fn road_runner_is_found_by_suffix_and_by_the_host_an_old_program_holds() {
    for domain in ["rr.com", "hawaii.rr.com", "Cfl.RR.com.", "twc.com", "a.b.rr.com"] {
        assert_eq!(id(built_in().by_domain(domain)), Some("spectrum-twc"), "{domain}");
    }
    for domain in ["arr.com", ".rr.com", "rr.com.example.net", ""] {
        assert_eq!(id(built_in().by_domain(domain)), None, "{domain}");
    }
    for host in ["pop-server.hawaii.rr.com", "SMTP-server.nyc.rr.com", "mail.twc.com", "pop-server.rr.com"] {
        assert_eq!(id(built_in().by_host(host)), Some("spectrum-twc"), "{host}");
    }
    assert_eq!(id(built_in().by_host("pop-server.a.b.rr.com")), None);
    assert_eq!(servers("spectrum-twc", Protocol::Smtp, "hawaii.rr.com"), ["mail.twc.com:587 starttls"]);
}

#[test]
fn old_hosts_lead_to_the_company_of_today() {
    for (host, expected) in [
        ("pop.cox.net", "cox"),
        ("pop.east.cox.net", "cox"),
        ("incoming.verizon.net", "verizon"),
        ("pop3.live.com", "outlook"),
        ("pop.charter.net", "spectrum-charter"),
        // Several use it; the first runs it.
        ("pop.mail.yahoo.com", "yahoo"),
        ("pop.aol.com", "aol"),
        ("pop.gmail.com", "gmail"),
    ] {
        assert_eq!(id(built_in().by_host(host)), Some(expected), "{host}");
    }
    for nobody in ["127.0.0.1", "example.net", "mail.example.net", "{domain}", "", "pop.*.cox.net.x"] {
        assert_eq!(id(built_in().by_host(nobody)), None, "{nobody}");
    }
}

#[test]
fn f04_a_shared_server_is_the_product_that_the_address_belongs_to() {
    let product = |host: &str, domain: &str| id(built_in().product(host, domain));
    for (host, domain, expected) in [
        // A domain that no preset lists is a company's own.
        ("outlook.office365.com", "wren-joinery.example", "microsoft365"),
        ("smtp-mail.outlook.com", "wren-joinery.example", "microsoft365"),
        ("pop-mail.outlook.com", "Wren-Joinery.example.", "microsoft365"),
        ("outlook.office365.com", "wren.onmicrosoft.com", "microsoft365"),
        ("outlook.office365.com", "hotmail.com", "outlook"),
        ("smtp.office365.com", "live.co.uk", "outlook"),
        ("pop.gmail.com", "wren-joinery.example", "google-workspace"),
        ("pop.gmail.com", "gmail.com", "gmail"),
        ("smtp.gmail.com", "telus.net", "google-workspace"),
        ("pop.mail.yahoo.com", "cox.net", "cox"),
        ("pop.mail.yahoo.com", "comcast.net", "comcast-yahoo"),
        ("pop.mail.yahoo.com", "sbcglobal.net", "att"),
        ("pop.mail.yahoo.com", "wren-joinery.example", "yahoo"),
        ("pop.aol.com", "verizon.net", "verizon"),
        ("pop.aol.com", "aim.com", "aol"),
        ("pop.aol.com", "yahoo.com", "yahoo"),
        ("imap.mail.me.com", "wren-joinery.example", "icloud"),
        ("mail.twc.com", "nyc.rr.com", "spectrum-twc"),
        ("mail.twc.com", "oceanic.net", "oceanic"),
        // Nothing is known of the address, or it is another company's: the host alone says it.
        ("outlook.office365.com", "", "outlook"),
        ("outlook.office365.com", "yahoo.com", "outlook"),
        ("pop.gmail.com", "hotmail.com", "gmail"),
    ] {
        assert_eq!(product(host, domain), Some(expected), "{host} {domain}");
    }
    assert_eq!(product("mail.example.net", "gmail.com"), None);
}

#[test]
fn f04_products_that_share_servers_are_one_company() {
    let company = |id: &str| built_in().company(built_in().by_id(id).unwrap()).id.as_str();
    for (products, expected) in [
        (&["outlook", "microsoft365"][..], "outlook"),
        (&["gmail", "google-workspace"], "gmail"),
        (&["yahoo", "aol", "verizon", "att", "cox", "comcast-yahoo", "sky"], "yahoo"),
        (&["spectrum-twc", "oceanic"], "spectrum-twc"),
        (&["comcast"], "comcast"),
        (&["small-host"], "small-host"),
    ] {
        for product in products {
            assert_eq!(company(product), expected, "{product}");
        }
    }
}

#[test]
fn f04_what_a_preset_says_of_others_is_true_of_them() {
    for preset in built_in().iter() {
        if let Some(other) = &preset.run_by {
            assert!(built_in().by_id(other).is_some_and(|other| other.run_by.is_none()), "{}: {other}", preset.id);
        }
        let is_alone = built_in().company(preset).id == preset.id;
        assert!(preset.hosted.is_empty() || !is_alone, "{} hosts for no other product", preset.id);
        assert!(preset.hosted.iter().all(|domain| !preset.domains.contains(domain)), "{}", preset.id);
    }
}

#[test]
fn mail_exchangers_lead_to_their_provider() {
    for (exchanger, expected) in [
        ("aspmx.l.google.com.", Some("google-workspace")),
        ("example-net.mail.protection.outlook.com", Some("microsoft365")),
        ("eur.olc.protection.outlook.com", Some("outlook")),
        ("in1-smtp.MessagingEngine.com", Some("fastmail")),
        ("mx-aol.mail.gm0.yahoodns.net", Some("aol")),
        ("mta5.am0.yahoodns.net", Some("yahoo")),
        ("notgoogle.com", None),
        ("google.com.example.net", None),
        ("", None),
    ] {
        assert_eq!(id(built_in().by_mx(exchanger)), expected, "{exchanger}");
    }
}

#[test]
fn a_small_host_is_made_from_the_address() {
    let preset = preset("small-host");
    assert!(preset.is_template() && preset.domains.is_empty());
    assert_eq!(preset.window, Some(Duration::from_secs(15 * 60)));
    let hosts: Vec<_> = preset.endpoints(Protocol::Pop3, "Example.NET").into_iter().map(|s| s.host).collect();
    assert_eq!(hosts[..2], ["example.net", "mail.example.net"]);
    let smtp = preset.endpoints(Protocol::Smtp, "example.net");
    assert!(smtp.iter().all(|server| *server.best_auth_method() == AuthMethod::PopBeforeSmtp));
    assert!(preset.endpoints(Protocol::Pop3, "example.net").iter().all(|s| s.auth_methods == [AuthMethod::Password]));
    for no_host in ["", "[192.0.2.1]", "a b", "x\r\ny"] {
        assert!(preset.endpoints(Protocol::Smtp, no_host).is_empty(), "{no_host}");
    }
}

#[test]
fn a_mailbox_may_be_fetched_here_and_send_elsewhere() {
    let preset = preset("oceanic-external-pop");
    assert!(preset.sends_elsewhere && preset.is_usable());
    assert!(!preset.endpoints(Protocol::Pop3, "").is_empty());
    assert!(preset.endpoints(Protocol::Smtp, "").is_empty() && preset.endpoints(Protocol::Imap, "").is_empty());
}

#[test]
fn what_is_peculiar_to_a_provider_is_kept() {
    assert_eq!(
        preset("spectrum-charter").endpoints(Protocol::Smtp, "")[0].describe(),
        "mobile.charter.net port 587, TLS"
    );
    let icloud = preset("icloud");
    assert_eq!(icloud.pop, Pop::No);
    assert!(icloud.endpoints(Protocol::Pop3, "icloud.com").is_empty());
    assert_eq!(icloud.endpoints(Protocol::Imap, "icloud.com")[0].login, LoginForm::LocalPart);
    assert_eq!(icloud.endpoints(Protocol::Smtp, "icloud.com")[0].login, LoginForm::Address);
    assert_eq!(preset("outlook").auth_methods, [AuthMethod::OAuth2("microsoft".into())]);
    assert_eq!(preset("gmail").auth_methods, [AuthMethod::AppPassword, AuthMethod::OAuth2("google".into())]);
    assert!(preset("gmail").app_password.as_deref().is_some_and(|link| link.starts_with("https://")));
    assert_eq!((preset("proton").auth_methods.clone(), preset("proton").pop), (vec![AuthMethod::Bridge], Pop::No));
    assert!(preset("qq").enable.is_some() && preset("netease-163").enable.is_some());
    assert!(!preset("tuta").is_usable() && !preset("hey").is_usable());
    assert_eq!(servers("earthlink", Protocol::Pop3, "mindspring.com"), ["pop.mindspring.com:995 tls"]);
    assert_eq!(servers("inbox-lv", Protocol::Pop3, "inbox.eu"), ["mail.inbox.eu:995 tls"]);
    for (plain_port, id) in [(110, "peoplepc"), (110, "nifty"), (110, "rediff")] {
        let servers = preset(id).templates(Protocol::Pop3).chain(preset(id).templates(Protocol::Smtp));
        assert!(servers.into_iter().all(|server| server.port != plain_port), "{id}");
    }
}

#[test]
fn a_search_finds_words_hosts_and_addresses() {
    let found = |word: &str| built_in().search(word).iter().map(|preset| preset.id.clone()).collect::<Vec<_>>();
    assert_eq!(found("Optonline"), ["optonline"]);
    assert_eq!(found("ann@nyc.rr.com"), ["spectrum-twc"]);
    assert_eq!(found("nyc.rr.com"), ["spectrum-twc"]);
    assert_eq!(found("pop-server.nyc.rr.com"), ["spectrum-twc"]);
    assert!(found("yahoo").len() > 3);
    assert_eq!(found("").len(), built_in().iter().count());
    assert!(found("no such company").is_empty() && found("ann@example.net").is_empty());
}

#[test]
fn what_is_laid_over_replaces_whole_and_comes_first() {
    let text = "schema = 1\n[provider.optonline]\npop3 = [{ host = \"mine.example.net\" }]\n\
                [provider.mine]\ndomains = [\"cox.net\"]\nsmtp = [{ host = \"s\" }]\n";
    let own = parse::read_providers(text, Path::new("providers.toml"), Origin::Own).unwrap();
    let presets = built_in().overlaid(own);
    assert_eq!(presets.iter().count(), built_in().iter().count() + 1);
    let optonline = presets.by_id("optonline").unwrap();
    assert!(optonline.is_own() && optonline.domains.is_empty() && optonline.note.is_none());
    assert_eq!(id(presets.by_domain("optonline.net")), None);
    assert_eq!(id(presets.by_domain("cox.net")), Some("mine"));
    assert_eq!(optonline.endpoints(Protocol::Pop3, "")[0].describe(), "mine.example.net port 995, TLS");
}

#[test]
fn the_users_own_file_lies_beside_the_settings() {
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("ostler.toml");
    assert_eq!(Presets::load(&settings).unwrap(), *built_in());
    let own = folder.path().join("providers.toml");
    crate::config::write_atomically(&own, "schema = 1\n[provider.mine]\npop3 = [{ host = \"h\" }]\n").unwrap();
    assert_eq!(id(Presets::load(&settings).unwrap().by_id("MINE")), Some("mine"));
    crate::config::write_atomically(&own, "schema = 1\n[provider.mine]\npop3 = [{ host = 1 }]\n").unwrap();
    let error = Presets::load(&settings).unwrap_err().to_string();
    let place = format!("{}:3:18: provider.mine.pop3.host: is a whole number; allowed is ", own.display());
    assert!(error.starts_with(&place), "{error}");
    crate::config::write_atomically(&settings, "").unwrap();
    assert_eq!(crate::config::load(&settings).unwrap_err().to_string(), error);
}

#[test]
fn the_tables_where_fetching_counts_are_read_alone_and_say_the_same_as_all() {
    let presets = built_in();
    let servers = |preset: &Preset| preset.servers.iter().map(|server| server.host.clone()).collect::<Vec<_>>();
    let hosts = presets.iter().flat_map(|preset| [servers(preset), preset.legacy_hosts.clone()].concat());
    let mut counting = 0;
    for host in hosts.map(|host| host.replace('*', "one")).chain(["POP.GMAIL.com".into(), "x.example".into()]) {
        let counts = presets.by_host(&host).is_some_and(|preset| preset.fetching_counts);
        assert_eq!(presets.fetching_counts(&host), counts, "{host}");
        counting += usize::from(counts);
    }
    assert!(counting > 2 && presets.fetching_counts("pop.gmail.com"));
    let own = "schema = 1\n[provider.mine]\npop3 = [{ host = \"pop.gmail.com\" }]\n[provider.other]\n\
               pop3 = [{ host = \"pop.x.example\" }]\nfetching = \"counts\"\n";
    let both = presets.overlaid(parse::read_providers(own, Path::new("providers.toml"), Origin::Own).unwrap());
    assert!(!both.fetching_counts("pop.gmail.com") && both.fetching_counts("pop.x.example"));
}
