//! The server of the `turn` crate (webrtc-rs) as a program, set up as its own example does, but for what is said here:
//! one thread, because it races on one core and has no use for a pool there; 4 MiB asked for the listener's buffer, as
//! everybody gets who can be asked; nothing written.
//!
//!     race-turn-crate LISTEN RELAY_IP REALM USER PASSWORD

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use turn::auth::{AuthHandler, generate_auth_key};
use turn::relay::relay_static::RelayAddressGeneratorStatic;
use turn::server::Server;
use turn::server::config::{ConnConfig, ServerConfig};
use webrtc_util::vnet::net::Net;

const RECEIVE_BUFFER_BYTES: usize = 4 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, relay_ip, realm, user, password] = arguments.as_slice() else {
        return Err("usage: race-turn-crate LISTEN RELAY_IP REALM USER PASSWORD".into());
    };
    let one_user = OneUser { name: user.clone(), key: generate_auth_key(user, realm, password) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(listen.parse()?, relay_ip.parse()?, realm.clone(), one_user))
}

async fn serve(listen: SocketAddr, relay_ip: IpAddr, realm: String, user: OneUser) -> Result<(), Box<dyn Error>> {
    let relay_addr_generator = Box::new(RelayAddressGeneratorStatic {
        relay_address: relay_ip,
        address: relay_ip.to_string(),
        net: Arc::new(Net::new(None)),
    });
    let server = Server::new(ServerConfig {
        conn_configs: vec![ConnConfig { conn: Arc::new(listener(listen)?), relay_addr_generator }],
        realm,
        auth_handler: Arc::new(user),
        // Zero stands for its default, ten minutes.
        channel_bind_timeout: Duration::ZERO,
        alloc_close_notify: None,
    })
    .await?;
    tokio::signal::ctrl_c().await?;
    server.close().await?;
    Ok(())
}

fn listener(address: SocketAddr) -> Result<tokio::net::UdpSocket, Box<dyn Error>> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(tokio::net::UdpSocket::from_std(socket.into())?)
}

/// Long-term credentials with a single user.
struct OneUser {
    name: String,
    key: Vec<u8>,
}

impl AuthHandler for OneUser {
    fn auth_handle(&self, username: &str, _realm: &str, _source: SocketAddr) -> Result<Vec<u8>, turn::Error> {
        if username == self.name { Ok(self.key.clone()) } else { Err(turn::Error::ErrFakeErr) }
    }
}
