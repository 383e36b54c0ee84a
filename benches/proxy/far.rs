//! A long line: what comes in leaves a while later. Connecting takes no longer than on a short one.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// There and back; as between Europe's ends.
pub const ROUND_TRIP: Duration = Duration::from_millis(40);

/// Opens a door that leads to `port` over a long line; its port.
pub fn listen(port: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let own = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let Ok(far) = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))) else { continue };
            let _ = (near.set_nodelay(true), far.set_nodelay(true));
            carry(near.try_clone().unwrap(), far.try_clone().unwrap());
            carry(far, near);
        }
    });
    own
}

/// Carries one direction, half a round trip late.
fn carry(mut from: TcpStream, mut to: TcpStream) {
    let (under_way, arriving) = mpsc::channel::<(Instant, Vec<u8>)>();
    std::thread::spawn(move || {
        let mut chunk = vec![0; 64 * 1024];
        while let Ok(n @ 1..) = from.read(&mut chunk) {
            if under_way.send((Instant::now() + ROUND_TRIP / 2, chunk[..n].to_vec())).is_err() {
                break;
            }
        }
    });
    std::thread::spawn(move || {
        for (due, octets) in arriving {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&octets).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}
