//! A network with several computers in it, all of them in one world: each is an address from which a test connects.

use std::net::{IpAddr, SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

use super::process::{run, run_well, said};
use super::world::World;

/// A network with these addresses.
pub fn lan(addresses: &[&str]) -> World {
    let world = World::builder().start();
    for address in addresses {
        let bits = if address.contains(':') { 128 } else { 32 };
        run_well(&mut world.command("ip", &["addr", "add", &format!("{address}/{bits}"), "dev", "lo"]), "");
    }
    world
}

/// Joins two worlds by a cable; each is at its address, given with its network, as in `10.9.0.1/24`. An error says what this
/// system lacks for that.
pub fn cable(one: &World, at_one: &str, other: &World, at_other: &str) -> Result<(), String> {
    let other_id = other.id().to_string();
    let add = ["link", "add", "cable0", "type", "veth", "peer", "name", "cable1", "netns", &other_id];
    let added = run(&mut one.command("ip", &add), "");
    if !added.status.success() {
        return Err(format!("a cable between two networks ({})", said(&added).trim()));
    }
    for (world, address, end) in [(one, at_one, "cable0"), (other, at_other, "cable1")] {
        run_well(&mut world.command("ip", &["addr", "add", address, "dev", end]), "");
        run_well(&mut world.command("ip", &["link", "set", end, "up"]), "");
    }
    Ok(())
}

/// A connection from one of the addresses.
pub fn connect(world: &World, from: &str, to: &str, port: u16) -> TcpStream {
    try_connect(world, from, to, port).unwrap()
}

/// As [`connect`], where it may fail.
pub fn try_connect(world: &World, from: &str, to: &str, port: u16) -> std::io::Result<TcpStream> {
    world.in_network(|| {
        let at = |address: &str, port| SocketAddr::new(address.parse::<IpAddr>().unwrap(), port);
        let domain = if from.contains(':') { Domain::IPV6 } else { Domain::IPV4 };
        let socket = Socket::new(domain, Type::STREAM, None)?;
        socket.bind(&at(from, 0).into())?;
        socket.connect(&at(to, port).into())?;
        Ok(TcpStream::from(socket))
    })
}
