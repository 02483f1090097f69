//! The engine on loopback, end to end: real sockets, real threads, the real relay server, and a policy that lets
//! everybody in.
#![cfg(feature = "server")]

#[path = "../sans_io/mod.rs"]
mod sans_io;

mod addresses;
mod foreign;
mod forged;
mod harness;
mod icmp;
mod lifecycle;
mod marks;
mod namespace;
mod path_mtu;
mod proxied;
mod relaying;
mod secured;
mod streams;
mod tls;
