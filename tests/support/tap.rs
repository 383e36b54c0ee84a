//! Stands before a server in clear, and records what is said to it and how often the client's side had to wait.

use std::io::Write;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::read_some;

/// What went over one connection.
#[derive(Default, Clone, Debug)]
pub struct Said {
    /// Everything the client's side said.
    pub by_client: Vec<u8>,
    /// How often it spoke after the server had spoken: each time is a round trip.
    pub round_trips: usize,
    /// The server spoke last.
    server_was_last: bool,
}

/// A recording in front of a server.
pub struct Tap {
    pub port: u16,
    all: Arc<Mutex<Vec<Said>>>,
}

impl Tap {
    /// Before the server at this port of this computer.
    pub fn before(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let all: Arc<Mutex<Vec<Said>>> = Arc::default();
        let shared = Arc::clone(&all);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { return };
                let number = {
                    let mut all = shared.lock().unwrap();
                    all.push(Said::default());
                    all.len() - 1
                };
                for (from, to, is_client) in [(&client, &server, true), (&server, &client, false)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let all = Arc::clone(&shared);
                    std::thread::spawn(move || pass(from, to, |octets| note(&all, number, octets, is_client)));
                }
            }
        });
        Self { port, all }
    }

    /// What went over each connection so far.
    pub fn said(&self) -> Vec<Said> {
        self.all.lock().unwrap().clone()
    }
}

fn note(all: &Mutex<Vec<Said>>, number: usize, octets: &[u8], is_client: bool) {
    let said = &mut all.lock().unwrap()[number];
    if is_client {
        said.round_trips += usize::from(said.server_was_last);
        said.by_client.extend_from_slice(octets);
    }
    said.server_was_last = !is_client;
}

fn pass(mut from: TcpStream, mut to: TcpStream, mut note: impl FnMut(&[u8])) {
    let mut block = [0; 65536];
    let _ = to.set_nodelay(true);
    while let Ok(count @ 1..) = read_some(&mut from, &mut block) {
        // First, so that an answer is never noted before what it answers.
        note(&block[..count]);
        if to.write_all(&block[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
