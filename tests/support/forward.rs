//! Lends a server another address and port: the usual ports of a provider, or a TLS wrapper in front of a server that
//! has none.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpSocket};
use tokio_rustls::TlsAcceptor;

use super::ca::ServerCert;

/// An address of this computer that no other test uses.
pub fn own_address() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 100u8.wrapping_add(high % 100), low, NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Passes what comes at `at` on to this port of 127.0.0.1, as if it came from `from`; the port it got. Given a
/// certificate, it speaks TLS on the outside. Works until the test process ends.
pub fn forward(at: SocketAddr, to: u16, from: Ipv4Addr, cert: Option<&ServerCert>) -> io::Result<u16> {
    pass_on(StdListener::bind(at)?, to, from, cert)
}

/// As [`forward`], from a socket that listens already, in another network perhaps.
pub fn pass_on(listener: StdListener, to: u16, from: Ipv4Addr, cert: Option<&ServerCert>) -> io::Result<u16> {
    listener.set_nonblocking(true)?;
    let port = listener.local_addr()?.port();
    let tls = cert.map(|cert| TlsAcceptor::from(cert.server_config()));
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((mut outer, _)) = listener.accept().await {
                let tls = tls.clone();
                tokio::spawn(async move {
                    let socket = TcpSocket::new_v4()?;
                    socket.bind((from, 0).into())?;
                    let mut inner = socket.connect((Ipv4Addr::LOCALHOST, to).into()).await?;
                    match tls {
                        Some(tls) => copy_bidirectional(&mut tls.accept(outer).await?, &mut inner).await,
                        None => copy_bidirectional(&mut outer, &mut inner).await,
                    }
                });
            }
        });
    });
    Ok(port)
}
