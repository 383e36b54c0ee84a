//! The network: names, connections, TLS. The only place that owns a mail connection's socket.
//!
//! Not here: any word of a mail protocol.

pub mod conn;
pub mod dial;
pub mod tls;
