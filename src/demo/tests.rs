//! The demo without ostler: between the programs and the provider is a pipe that does no more than TLS and the
//! password, and, where a test wants it, damage.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use super::*;
use crate::proxy::net::conn::{Conn, Read};

/// Changes what programs say.
type Change = fn(&[u8]) -> Vec<u8>;

fn connector(ca_pem: &str) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca_pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    TlsConnector::from(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

async fn pipe(tasks: &mut JoinSet<()>, scene: &Scene, port: u16, change: Change) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tls, password) = (connector(scene.ca_pem()), scene.password());
    tasks.spawn(async move {
        loop {
            let (plain, _) = listener.accept().await.unwrap();
            let (tls, password) = (tls.clone(), Arc::clone(&password));
            tokio::spawn(async move {
                let tcp = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let name = ServerName::try_from("localhost").unwrap();
                let (mut from, mut to) = tokio::io::split(tls.connect(name, tcp).await.unwrap());
                let (mut reader, mut writer) = plain.into_split();
                tokio::join!(
                    async {
                        let _ = tokio::io::copy(&mut from, &mut writer).await;
                        let _ = writer.shutdown().await;
                    },
                    async {
                        let mut input = [0; 65536];
                        while let Ok(n @ 1..) = reader.read(&mut input).await {
                            let said = match &input[..n] {
                                user if user.starts_with(b"USER ") => format!("USER {USER}\r\n").into_bytes(),
                                login if login.starts_with(b"2 login ") => {
                                    format!("2 LOGIN \"{USER}\" \"{}\"\r\n", password.text()).into()
                                }
                                pass if pass.starts_with(b"PASS ") => format!("PASS {}\r\n", password.text()).into(),
                                other => change(other),
                            };
                            to.write_all(&said).await.unwrap();
                        }
                        let _ = to.shutdown().await;
                    }
                );
            });
        }
    });
    address
}

/// Plays the demo through the pipe; what `play` gives and what it prints.
async fn play(logs_in_first: bool, change: Change) -> (Result<usize, String>, String) {
    let mut scene = Scene::start().await.unwrap();
    let mut tasks = JoinSet::new();
    let pop3 = pipe(&mut tasks, &scene, scene.provider.pop3, change).await;
    let smtp = pipe(&mut tasks, &scene, scene.provider.smtp, change).await;
    let imap = pipe(&mut tasks, &scene, scene.provider.imap, change).await;
    if logs_in_first {
        let program = Program { name: "the login", recorder: scene.recorder.clone() };
        assert!(program.outlook_fetches(pop3).await.unwrap().is_empty());
    }
    let mut out = Vec::new();
    let played = scene.play(Doors { pop3, smtp, imap }, false, &mut out).await;
    let printed = String::from_utf8(out).unwrap();
    assert!(!printed.contains(&*scene.password.text()));
    (played, printed)
}

#[tokio::test]
async fn both_conversations_are_played_and_both_messages_come_back() {
    let (played, printed) = play(true, <[u8]>::to_vec).await;
    let bytes = played.unwrap_or_else(|why| panic!("{why}\n{printed}"));
    assert_eq!(bytes, sample_mail::from_eudora().len() + 2, "with Eudora's extra blank line");
    assert_eq!(printed.lines().last(), Some(&*format!("demo: the message came back identical ({bytes} bytes)")));
    for line in [
        "Eudora -> ostler           SMTP  EHLO oldpc",
        "ostler -> provider         POP3  PASS ***",
        "Outlook Express -> ostler  SMTP  RCPT TO: <bob@elsewhere.example>",
        "provider -> ostler         POP3  ... 48 more lines",
        "Netscape -> ostler         IMAP  4 fetch 1 BODY[]",
        "3 POP3 logins: 1 by ostler for a send, 2 by the mail programs that fetched",
    ] {
        assert!(printed.contains(line), "{line} is missing in\n{printed}");
    }
    assert!(printed.lines().all(|line| line.is_ascii() && line.len() <= 120), "{printed}");
    assert!(!printed.contains('\x1b'));
}

#[tokio::test]
async fn a_shut_gate_fails_the_demo_with_the_providers_words() {
    let (played, printed) = play(false, <[u8]>::to_vec).await;
    let why = "Eudora said \"RCPT TO:<bob@elsewhere.example>\" and heard: \
               550 5.7.1 <bob@elsewhere.example>: Relay access denied";
    assert_eq!(played, Err(why.to_owned()));
    assert_eq!(printed.lines().last(), Some(&*format!("demo: FAILED: {why}")));
}

#[tokio::test]
async fn one_changed_octet_fails_the_demo() {
    let (played, printed) = play(true, |said| said.iter().map(|b| if *b == 0xe4 { b'a' } else { *b }).collect()).await;
    let why = played.unwrap_err();
    assert!(why.starts_with("the message Outlook Express fetched is not the one sent"), "{why}");
    assert!(printed.lines().last().unwrap().starts_with("demo: FAILED: the message"), "{printed}");
}

#[tokio::test]
async fn the_certificate_is_good_for_loopback_under_its_own_authority_only() {
    let (scene, other) = (Scene::start().await.unwrap(), Scene::start().await.unwrap());
    for (ca, name, is_good) in [
        (scene.ca_pem(), "localhost", true),
        (scene.ca_pem(), "127.0.0.1", true),
        (scene.ca_pem(), "::1", true),
        (scene.ca_pem(), "provider.example", false),
        (other.ca_pem(), "localhost", false),
    ] {
        let tcp = TcpStream::connect(("127.0.0.1", scene.provider.smtp)).await.unwrap();
        let shaken = connector(ca).connect(ServerName::try_from(name).unwrap(), tcp).await;
        assert_eq!(shaken.is_ok(), is_good, "{name}");
    }
}

#[tokio::test]
async fn a_dropped_scene_closes_its_connections() {
    let scene = Scene::start().await.unwrap();
    let tcp = TcpStream::connect(("127.0.0.1", scene.provider.pop3)).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut conn = Conn::new(connector(scene.ca_pem()).connect(name, tcp).await.unwrap());
    assert!(matches!(conn.read_line(512).await.unwrap(), Read::Line(_)));
    let port = scene.provider.smtp;
    drop(scene);
    assert!(!matches!(conn.read_line(512).await, Ok(Read::Line(_))));
    assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err());
}

#[tokio::test]
async fn those_who_stay_are_told_what_to_type_and_see_what_is_said() {
    let mut scene = Scene::start().await.unwrap();
    let mut tasks = JoinSet::new();
    let pop3 = pipe(&mut tasks, &scene, scene.provider.pop3, <[u8]>::to_vec).await;
    let program = Program { name: EUDORA, recorder: scene.recorder.clone() };
    let mut out = Vec::new();
    tokio::select! {
        ended = scene.stay(Doors { pop3, smtp: pop3, imap: pop3 }, false, &mut out) => panic!("{ended:?}"),
        fetched = async { tokio::task::yield_now().await; program.eudora_fetches(pop3).await } => {
            assert!(fetched.unwrap()[0].ends_with(b"ostler sees to it.\r\n"));
        }
    }
    let printed = String::from_utf8(out).unwrap();
    for words in [ADDRESS, FOREIGN, &format!("port {}", pop3.port()), "RETR 1"] {
        assert!(printed.contains(words), "{words} is missing in\n{printed}");
    }
}

#[test]
fn the_gate_of_the_account_is_its_own_pop3_server() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let scene = runtime.block_on(Scene::start()).unwrap();
    let account = scene.account(SecretSource::Keyring, Scene::trust());
    let SignIn::AfterPop(gate) = &account.smtp[0].sign_in else { panic!("no gate") };
    assert_eq!(Some(&gate.login), account.pop3.as_ref());
    assert!(account.sends_for(ADDRESS) && account.is_default);
    assert_ne!(scene.password().expose(), runtime.block_on(Scene::start()).unwrap().password().expose());
}
