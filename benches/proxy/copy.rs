//! The least a TLS proxy can do: a loop over tokio and rustls, the same libraries as ostler's, that looks at nothing.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

/// `doors`: where to listen and where that leads, in pairs.
pub fn main(folder: &Path, doors: &[String]) {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join("ca.pem")).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let doors: Vec<SocketAddr> = doors.iter().map(|door| door.parse().unwrap()).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for pair in doors.chunks(2) {
            let (listener, connector, to) = (TcpListener::bind(pair[0]).await.unwrap(), connector.clone(), pair[1]);
            tokio::spawn(async move {
                while let Ok((client, _)) = listener.accept().await {
                    tokio::spawn(pass(client, connector.clone(), to));
                }
            });
        }
        std::future::pending::<()>().await;
    });
}

async fn pass(mut client: TcpStream, connector: TlsConnector, to: SocketAddr) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    let server = TcpStream::connect(to).await?;
    server.set_nodelay(true)?;
    let mut server = connector.connect(ServerName::from(to.ip()), server).await?;
    tokio::io::copy_bidirectional_with_sizes(&mut client, &mut server, 64 * 1024, 64 * 1024).await?;
    Ok(())
}
