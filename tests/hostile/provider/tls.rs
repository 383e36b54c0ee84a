//! Providers whose TLS, certificate or STARTTLS is not what it should be, for both protocols. Nothing of the account may
//! reach them.

use super::super::honest::cut;
use super::{Case, Ends, Speaks, case, play};
use crate::support::ca::{ServerCert, TestCa};
use crate::support::provider::{Part, Step, expect, say};

/// What an account never says in clear or to a stranger.
const NEVER: &[&str] = &["AUTH", "USER", "PASS", "MAIL"];

/// A protocol's name, ends and words.
struct With {
    speaks: Speaks,
    prefix: &'static str,
    ends: Ends,
    /// For trouble other than with certificates.
    lost: Ends,
    before: Part,
    offer: Part,
    /// The good answer to STARTTLS.
    go: &'static str,
    /// Bad answers to it: for the moment, and for good.
    refusals: [&'static str; 2],
    /// Answers to what ostler says inside TLS, which come before TLS.
    injected: &'static str,
    /// Inside TLS nothing is left of what was offered outside.
    offer_taken_back: Part,
    /// The beginning of a greeting.
    half_greeting: &'static str,
}

fn smtp() -> With {
    With {
        speaks: Speaks::Smtp,
        prefix: "smtp",
        ends: Ends::Told("MAIL", &["454 4.7.5 "]),
        lost: Ends::Told("MAIL", &["451 4.4.", "454 4.7."]),
        before: vec![
            say("220 ready"),
            expect("EHLO"),
            say("250-mx\r\n250-STARTTLS\r\n250 AUTH PLAIN"),
            expect("STARTTLS"),
        ],
        offer: vec![say("220 ready"), expect("EHLO"), say("250-mx\r\n250 AUTH PLAIN"), Step::Stall],
        go: "220 go",
        refusals: ["454 4.7.0 not now", "502 what"],
        injected: "250-mx\r\n250 AUTH PLAIN\r\n235 in\r\n250 ok\r\n",
        offer_taken_back: vec![expect("EHLO"), say("250 mx"), Step::Stall],
        half_greeting: "220 re",
    }
}

fn pop3() -> With {
    With {
        speaks: Speaks::Pop3,
        prefix: "pop",
        ends: Ends::Told("PASS x", &["-ERR [SYS/TEMP] "]),
        lost: Ends::Told("PASS x", &["-ERR [SYS/TEMP] "]),
        before: vec![say("+OK ready"), expect("STLS")],
        offer: vec![say("+OK ready"), expect("STLS"), say("-ERR no such command"), Step::Stall],
        go: "+OK go",
        refusals: ["-ERR not now", "-ERR what"],
        injected: "+OK\r\nUSER\r\n.\r\n+OK\r\n+OK in\r\n",
        offer_taken_back: vec![expect("CAPA"), say("+OK\r\nSASL NTLM\r\n."), Step::Stall],
        half_greeting: "+OK re",
    }
}

impl With {
    /// From the first byte on.
    fn tls(&self, name: &str, cert: Option<ServerCert>, part: Part, ends: Ends) -> Case {
        let name = format!("{}-{name}", self.prefix);
        Case { security: "tls", cert, ..case(&name, part, ends).not_delivered() }.never(NEVER)
    }

    /// From STARTTLS on; the part begins behind the command.
    fn starttls(&self, name: &str, cert: Option<ServerCert>, part: Part, ends: Ends) -> Case {
        let name = format!("{}-{name}", self.prefix);
        let part = self.before.iter().cloned().chain(part).collect();
        Case { security: "starttls", cert, ..case(&name, part, ends).not_delivered() }.never(NEVER)
    }

    fn cases(&self) -> Vec<Case> {
        let ca = TestCa::new();
        // Only `ca` made in `play` is trusted, so the certificates below are made anew there where they have to be good.
        let stranger = TestCa::new();
        let hello = |length: usize| {
            // The beginning of a server's hello, as an honest one would begin.
            let mut record = vec![0x16, 3, 3, 0, 122, 2, 0, 0, 118, 3, 3];
            record.extend(std::iter::repeat_n(7, 116));
            record.truncate(length);
            Step::Send(record)
        };
        let clear = |said: &str| vec![say(said), Step::Stall];
        let injected_with = |said: &str| vec![Step::Send(format!("{}\r\n{said}", self.go).into_bytes()), Step::Stall];
        let honest = self.speaks.provider_part();
        vec![
            self.tls("cert-unknown-ca", Some(stranger.localhost()), honest.clone(), self.ends).words(&["issuer"]),
            self.tls("cert-self-signed", Some(TestCa::self_signed()), honest.clone(), self.ends)
                .words(&["nobody but itself"]),
            self.tls("cert-leaf-as-ca-of-a-stranger", Some(ca.signed_by_a_server()), honest.clone(), self.ends),
            self.tls("plain-on-tls-port", None, clear(self.go), self.ends).words(&["does not speak TLS"]),
            self.tls(
                "plain-on-tls-port-after-the-hello",
                None,
                vec![Step::Until(1), say(self.go), Step::Stall],
                self.ends,
            )
            .words(&["does not speak TLS"]),
            self.tls("tls10-only", None, vec![Step::Send(vec![0x15, 3, 1, 0, 2, 2, 70]), Step::Close], self.ends)
                .words(&["no modern TLS"]),
            self.tls(
                "tls-handshake-alert",
                None,
                vec![Step::Send(vec![0x15, 3, 3, 0, 2, 2, 40]), Step::Close],
                self.ends,
            ),
            self.tls("tls-never", None, vec![Step::Stall], self.lost).words(&["did not answer in time"]),
            self.tls("tls-close-at-once", None, vec![Step::Close], self.lost),
            self.tls("tls-reset-at-once", None, vec![Step::Reset], self.lost),
            self.tls("tls-cut-in-handshake", None, vec![Step::Until(1), hello(60), Step::Close], self.lost),
            self.tls("tls-stall-in-handshake", None, vec![Step::Until(1), hello(60), Step::Stall], self.lost),
            self.tls("tls-garbage-hello", None, vec![Step::Until(1), hello(127), Step::Stall], self.lost),
            self.tls(
                "tls-huge-record",
                None,
                vec![Step::Until(1), Step::Send([vec![0x16, 3, 3, 255, 255], vec![2; 70_000]].concat()), Step::Stall],
                self.lost,
            ),
            self.tls(
                "tls-application-data-first",
                None,
                vec![Step::Send([vec![0x17, 3, 3, 0, 10], b"+OK 220 in".to_vec()].concat()), Step::Stall],
                self.lost,
            ),
            case(&format!("{}-starttls-stripped", self.prefix), self.offer.clone(), self.ends)
                .words(&["does not offer"])
                .never(NEVER)
                .not_delivered()
                .starttls(),
            self.starttls("starttls-refused", None, clear(self.refusals[0]), self.ends),
            self.starttls("starttls-refused-for-good", None, clear(self.refusals[1]), self.ends),
            self.starttls("starttls-other-code", None, clear("250 ok"), self.lost),
            self.starttls("starttls-inject", None, injected_with(self.injected), self.ends)
                .words(&["sent more than its answer"]),
            self.starttls("starttls-inject-one-byte", None, injected_with("2"), self.ends),
            self.starttls("starttls-inject-a-half-line", None, injected_with("+OK 250"), self.ends),
            self.starttls(
                "starttls-inject-late",
                None,
                vec![say(self.go), Step::Until(40), Step::Send(self.injected.into()), Step::Stall],
                self.ends,
            ),
            self.starttls(
                "starttls-ok-then-plain",
                None,
                vec![say(self.go), Step::Until(40), say(self.go), Step::Stall],
                self.ends,
            ),
            self.starttls("starttls-ok-then-silence", None, clear(self.go), self.lost)
                .words(&["did not answer in time"]),
            self.starttls("starttls-ok-then-close", None, vec![say(self.go), Step::Close], self.lost),
            self.starttls("starttls-never", None, vec![Step::Stall], self.lost).words(&["did not answer in time"]),
            self.starttls(
                "starttls-cert-unknown-ca",
                Some(stranger.localhost()),
                vec![say(self.go), Step::StartTls, Step::Stall],
                self.ends,
            )
            .words(&["issuer"]),
            self.starttls(
                "starttls-cert-self-signed",
                Some(TestCa::self_signed()),
                vec![say(self.go), Step::StartTls, Step::Stall],
                self.ends,
            ),
        ]
    }

    /// Certificates of the authority that is trusted.
    fn certificates(&self, ca: &TestCa) -> Vec<Case> {
        let honest = self.speaks.provider_part();
        let behind = |cert| (Some(cert), vec![say(self.go), Step::StartTls, Step::Stall]);
        let of = |name: &str, cert, words| self.tls(name, Some(cert), honest.clone(), self.ends).words(words);
        let (late, late_part) = behind(ca.expired());
        let (other, other_part) = behind(ca.wrong_name());
        // Inside TLS nothing may be left of what was offered outside, and nothing of it may be refused.
        let mut again = vec![say(self.go), Step::StartTls];
        again.extend(self.offer_taken_back.iter().cloned());
        // TLS without its goodbye in the middle of a line.
        let cut_line = cut(honest.clone(), 0, Step::Send(self.half_greeting.into()));
        vec![
            of("cert-expired", ca.expired(), &["expired"]),
            of("cert-not-yet-valid", ca.not_yet_valid(), &[]),
            of("cert-wrong-name", ca.wrong_name(), &["another name", "mail.example.com"]),
            of("cert-cn-only", ca.nameless(), &[]),
            of("cert-client-only-eku", ca.for_clients(), &[]),
            of("cert-leaf-as-ca", ca.signed_by_a_server(), &[]),
            self.starttls("starttls-cert-expired", late, late_part, self.ends).words(&["expired"]),
            self.starttls("starttls-cert-wrong-name", other, other_part, self.ends).words(&["another name"]),
            self.starttls("starttls-offer-taken-back-inside", Some(ca.localhost()), again, self.lost),
            self.tls(
                "tls-greeting-cut",
                Some(ca.localhost()),
                cut_line.into_iter().chain([Step::Reset]).collect(),
                self.lost,
            ),
            self.tls("tls-silence-inside", Some(ca.localhost()), vec![Step::Stall], self.lost).words(&["greeting"]),
        ]
    }
}

impl Case {
    fn starttls(self) -> Self {
        Self { security: "starttls", ..self }
    }
}

fn run(with: &With) {
    let ca = TestCa::new();
    let cases: Vec<Case> = with.cases().into_iter().chain(with.certificates(&ca)).collect();
    play(with.speaks, &ca, &cases);
}

#[test]
fn towards_smtp() {
    run(&smtp());
}

#[test]
fn towards_pop3() {
    run(&pop3());
}
