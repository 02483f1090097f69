//! The same walk by a client that we did not write: the `stun` and `turn` crates, which speak UDP.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use stun::agent::TransactionId;
use stun::message::{BINDING_REQUEST, Getter, Message};
use stun::xoraddr::XorMappedAddress;
use tokio::net::UdpSocket;
use turn::client::{Client, ClientConfig};
use webrtc_util::Conn;

use super::far::source_towards;
use super::report::{Step, Verdict};
use super::walk::{Log, Scene};
use crate::client::credential::Login;
use crate::client::uri::Transport;

const NAME: &str = "independent";
/// For all of it.
const PATIENCE: Duration = Duration::from_secs(5);

/// The step "independent": Binding, Allocate, permission and an echo. It comes after our own, and so meets only servers
/// whose answers make sense.
pub(super) fn walk(scene: &Scene<'_>, log: &mut Log<'_>) {
    if scene.uri.transport != Transport::Udp {
        return log.step(Step::skipped(NAME, "the turn crate speaks UDP alone"));
    }
    let Some(login) = scene.login("independent") else {
        return log.step(Step::skipped(NAME, "the turn crate does not go without credentials"));
    };
    let peer = scene.settings.peer;
    let server = scene.server;
    let begun = Instant::now();
    // A thread of its own: where the crate panics, the probe does not end with it.
    let thread = thread::Builder::new().name("independent".into()).spawn(move || in_runtime(server, login, peer));
    let outcome = thread
        .map_err(|error| error.to_string())
        .and_then(|thread| thread.join().unwrap_or_else(|_| Err("it panicked".to_owned())));
    log.step(match outcome {
        Ok(said) => Step::ok(NAME, said).took(begun.elapsed()),
        Err(why) => Step::new(
            NAME,
            Verdict::Fault,
            format!("the turn crate, a client that others wrote, fails: {why}"),
        )
        .took(begun.elapsed())
        .why("what works for one client and not for another is a fault of one of them, or of the server's patience")
        .cure("look at the server's log for its second session"),
    });
}

fn in_runtime(server: SocketAddr, login: Login, peer: Option<IpAddr>) -> Result<String, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let walk = tokio::time::timeout(PATIENCE, client_walk(server, login, peer));
        walk.await.unwrap_or_else(|_| Err(format!("not done in {} s", PATIENCE.as_secs())))
    })
}

async fn client_walk(server: SocketAddr, login: Login, peer: Option<IpAddr>) -> Result<String, String> {
    let seen = binding(server).await?;
    let any = super::link::unspecified(server);
    let socket = UdpSocket::bind(any).await.map_err(|error| error.to_string())?;
    let client = Client::new(ClientConfig {
        stun_serv_addr: server.to_string(),
        turn_serv_addr: server.to_string(),
        username: login.username,
        password: login.password.to_string(),
        realm: String::new(),
        software: String::new(),
        rto_in_ms: 0,
        conn: Arc::new(socket),
        vnet: None,
    });
    let client = client.await.map_err(|error| error.to_string())?;
    client.listen().await.map_err(|error| error.to_string())?;
    let relay = client.allocate().await.map_err(|error| format!("Allocate: {error}"))?;
    let relayed = relay.local_addr().map_err(|error| error.to_string())?;
    let mut said = format!("the stun and turn crates see us as {seen} and allocate {relayed}");
    let peer = peer.filter(|ip| ip.is_ipv4() == relayed.is_ipv4()).or_else(|| source_towards(relayed));
    if let Some(ip) = peer {
        match echo(&relay, ip).await {
            Ok(true) => said += ", and echo through it",
            Ok(false) => {}
            Err(error) => {
                let _ = relay.close().await;
                return Err(error);
            }
        }
    }
    relay.close().await.map_err(|error| format!("release: {error}"))?;
    Ok(said)
}

/// What the stun crate reads from the answer to a Binding request of its own.
async fn binding(server: SocketAddr) -> Result<SocketAddr, String> {
    let text = |error: stun::Error| format!("Binding: {error}");
    let socket = UdpSocket::bind(super::link::unspecified(server)).await.map_err(|error| error.to_string())?;
    let mut request = Message::new();
    request.build(&[Box::new(TransactionId::new()), Box::new(BINDING_REQUEST)]).map_err(text)?;
    socket.send_to(&request.raw, server).await.map_err(|error| error.to_string())?;
    let mut buffer = [0; 1500];
    let (len, _) = socket.recv_from(&mut buffer).await.map_err(|error| error.to_string())?;
    let mut answer = Message::new();
    answer.unmarshal_binary(&buffer[..len]).map_err(text)?;
    let mut mapped = XorMappedAddress::default();
    mapped.get_from(&answer).map_err(text)?;
    Ok(SocketAddr::new(mapped.ip, mapped.port))
}

/// There and back between the relay and a socket at `ip`; false where the server does not allow that peer, or it is not
/// an address of this host.
async fn echo(relay: &impl Conn, ip: IpAddr) -> Result<bool, String> {
    const OUT: &[u8] = b"there";
    const BACK: &[u8] = b"and back";
    const STEP: Duration = Duration::from_millis(700);
    let Ok(peer) = UdpSocket::bind((ip, 0)).await else { return Ok(false) };
    let address = peer.local_addr().map_err(|error| error.to_string())?;
    let relayed = relay.local_addr().map_err(|error| error.to_string())?;
    // The client asks for a permission first; that it is refused is the server's right, and told elsewhere.
    if relay.send_to(OUT, address).await.is_err() {
        return Ok(false);
    }
    let mut buffer = [0; 1500];
    let came = tokio::time::timeout(STEP, peer.recv_from(&mut buffer)).await;
    let Ok(Ok((len, _))) = came else { return Ok(false) };
    if buffer[..len] != *OUT {
        return Err("something else came through".into());
    }
    // A relayed address that nothing can be sent to is our own echo's to tell.
    if peer.send_to(BACK, relayed).await.is_err() {
        return Ok(false);
    }
    let came = tokio::time::timeout(STEP, relay.recv_from(&mut buffer)).await;
    match came {
        Ok(Ok((len, _))) if buffer[..len] == *BACK => Ok(true),
        _ => Ok(false),
    }
}
