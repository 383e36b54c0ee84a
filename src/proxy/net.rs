//! The network: names, connections, TLS, listening. The only place that owns sockets of the network.
//!
//! Not here: any word of a mail protocol.

pub mod conn;
pub mod dial;
pub(crate) mod https;
pub(crate) mod listen;
pub(crate) mod online;
pub(crate) mod own_address;
pub mod tcp;
pub mod tls;
