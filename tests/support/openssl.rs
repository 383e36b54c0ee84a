//! OpenSSL's own server, for certificates and protocol versions that no server of today takes.

use std::process::Stdio;

use tempfile::TempDir;

use super::ca::ServerCert;
use super::process::{Process, command};
use super::{folder, free_port, wait_for};

/// A real server that shows this certificate, and takes only what `options` allow.
pub fn serve(cert: &ServerCert, options: &[&str]) -> Option<(Process, u16, TempDir)> {
    let folder = folder();
    std::fs::write(folder.path().join("cert.pem"), &cert.chain_pem).unwrap();
    std::fs::write(folder.path().join("key.pem"), &cert.key_pem).unwrap();
    let port = free_port();
    let accept = format!("127.0.0.1:{port}");
    let mut start =
        command("openssl", ["s_server", "-quiet", "-accept", &accept, "-cert", "cert.pem", "-key", "key.pem"]);
    start.args(options).current_dir(folder.path());
    start.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut server = Process::start("openssl", &mut start);
    let there = wait_for("openssl to listen", || match server.ended() {
        Some(_) => Some(false),
        None => std::net::TcpStream::connect(("127.0.0.1", port)).is_ok().then_some(true),
    });
    there.then_some((server, port, folder))
}
