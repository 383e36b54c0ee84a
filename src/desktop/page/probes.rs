//! What machines ask: `/health` for load balancers, `/metrics` for monitoring (OpenMetrics 1.0). Both answer this computer and
//! the load balancers in the settings, without a token, and tell no name and no address of a person.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::PoisonError;
use std::time::Instant;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::Shared;
use crate::events::{Figures, Refusals};

/// Where a request comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

/// The answer to a machine's question; `None`: the request is for someone else, or from someone else.
pub(super) fn answer(shared: &Shared, request: &Request<Body>) -> Option<Response> {
    let settings = shared.engine.settings();
    let Peer(peer) = *request.extensions().get::<Peer>()?;
    let address = peer.ip().to_canonical();
    let is_balancer = settings.is_proxy(address);
    let may_ask = address.is_loopback() || is_balancer;
    if !may_ask || !matches!(*request.method(), Method::GET | Method::HEAD) {
        return None;
    }
    let figures = shared.engine.events.figures();
    match request.uri().path() {
        "/health" => {
            if is_balancer {
                *shared.balancer_asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            }
            Some(health(&figures))
        }
        "/metrics" if settings.metrics => Some(metrics(&figures)),
        _ => None,
    }
}

fn health(figures: &Figures) -> Response {
    let (status, words) = match figures {
        Figures { stopping: true, .. } => (StatusCode::SERVICE_UNAVAILABLE, "ending\n"),
        Figures { paused: true, .. } => (StatusCode::SERVICE_UNAVAILABLE, "paused\n"),
        Figures { open_doors: 0, .. } => (StatusCode::SERVICE_UNAVAILABLE, "no door is open\n"),
        _ => (StatusCode::OK, "ok\n"),
    };
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], words).into_response()
}

fn metrics(figures: &Figures) -> Response {
    let head = [(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")];
    (head, written(figures)).into_response()
}

fn written(figures: &Figures) -> String {
    let mut text = String::new();
    let mut family = |name: &str, kind: &str, help: &str, samples: &[(&str, u64)]| {
        let suffix = if kind == "counter" { "_total" } else { "" };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# TYPE ostler_{name} {kind}\n# HELP ostler_{name} {help}");
        for (labels, value) in samples {
            let _ = writeln!(text, "ostler_{name}{suffix}{labels} {value}");
        }
    };
    let by_protocol = |[pop3, smtp, imap]: [u64; 3]| {
        [("{protocol=\"pop3\"}", pop3), ("{protocol=\"smtp\"}", smtp), ("{protocol=\"imap\"}", imap)]
    };
    let Figures { totals, .. } = figures;
    family("up", "gauge", "1 while ostler takes clients.", &[("", u64::from(!figures.paused && !figures.stopping))]);
    family("open_doors", "gauge", "Doors that are open.", &[("", figures.open_doors)]);
    family("accounts", "gauge", "Accounts in the settings.", &[("", figures.accounts)]);
    family("accounts_in_need", "gauge", "Accounts whose user has to act.", &[("", figures.accounts_in_need)]);
    family("sessions", "gauge", "Clients that are connected now.", &by_protocol(figures.sessions));
    family("clients", "counter", "Clients that were let in.", &by_protocol(totals.clients));
    family("sign_ins", "counter", "Clients that signed in at their door.", &by_protocol(totals.sign_ins));
    family("refusals", "counter", "What was refused, by kind.", &by_kind(totals.refusals));
    family("messages_fetched", "counter", "Messages fetched to their end.", &[("", totals.fetched)]);
    family("octets_fetched", "counter", "Octets of what was fetched.", &[("", totals.fetched_octets)]);
    family("messages_sent", "counter", "Messages that a provider took.", &[("", totals.sent)]);
    family("octets_sent", "counter", "Octets of what was sent.", &[("", totals.sent_octets)]);
    family("gate_logins", "counter", "Logins by POP before a send.", &[("", totals.gate_logins)]);
    family("token_renewals", "counter", "Sign-ins by OAuth2 that were renewed.", &[("", totals.token_renewals)]);
    family("failures", "counter", "Failures, of whatever kind.", &[("", totals.failures)]);
    text + "# EOF\n"
}

fn by_kind(refusals: Refusals) -> [(&'static str, u64); 6] {
    let Refusals { clients, misuse, local_passwords, accounts, sign_ins, messages } = refusals;
    [
        ("{kind=\"client\"}", clients),
        ("{kind=\"misuse\"}", misuse),
        ("{kind=\"local_password\"}", local_passwords),
        ("{kind=\"account\"}", accounts),
        ("{kind=\"sign_in\"}", sign_ins),
        ("{kind=\"message\"}", messages),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Events;
    use crate::events::event::Event;
    use ostler_mail::account::Protocol;
    use ostler_mail::readable::Changes;

    #[test]
    fn the_figures_are_what_happened() {
        let events = Events::default();
        events.publish(Event::SessionStarted(1, Protocol::Smtp, "10.0.0.7:5".parse().unwrap()));
        events.publish(Event::Sent { account: "home".into(), recipients: 2, octets: 70 });
        let changes = Changes::default();
        events.publish(Event::Fetched { account: "home".into(), messages: 3, octets: 900, changes });
        events.publish(Event::ClientSignedIn(1));
        events.publish(Event::NotSent { account: "home".into(), why: "full".into() });
        events.publish(Event::GateLoginMade { account: "home".into(), server: "pop.example".into(), how: "done" });
        (0..4).for_each(|_| events.publish(Event::TokensRenewed("home".into())));
        let text = written(&events.figures());
        for line in [
            "ostler_sessions{protocol=\"smtp\"} 1",
            "ostler_clients_total{protocol=\"smtp\"} 1",
            "ostler_messages_sent_total 1",
            "ostler_octets_sent_total 70",
            "ostler_messages_fetched_total 3",
            "ostler_failures_total 0",
            "ostler_sign_ins_total{protocol=\"smtp\"} 1",
            "ostler_sign_ins_total{protocol=\"pop3\"} 0",
            "ostler_refusals_total{kind=\"message\"} 1",
            "ostler_refusals_total{kind=\"sign_in\"} 0",
            "ostler_gate_logins_total 1",
            "ostler_token_renewals_total 4",
            "# TYPE ostler_messages_sent counter",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}:\n{text}");
        }
        assert!(text.ends_with("# EOF\n") && !text.contains("home") && !text.contains("example"));
        events.publish(Event::SessionEnded(1));
        assert!(written(&events.figures()).contains("ostler_sessions{protocol=\"smtp\"} 0\n"));
    }
}
