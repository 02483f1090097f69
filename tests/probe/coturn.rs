//! Debian's coturn, sound and broken on purpose.

use crate::rig::{Probed, Server, Site, probe};
use crate::support::credential::SECRET;

/// coturn with its secret and these lines; nothing where it is not installed.
fn coturn(lines: &str) -> Option<Server> {
    Site::new().coturn(&format!("use-auth-secret\nstatic-auth-secret={SECRET}\n{lines}"))
}

/// What coturn needs to be told to be sound.
const SOUND: &str = "allow-loopback-peers\nno-multicast-peers\nno-rfc5780\nno-stun-backward-compatibility\n\
     response-origin-only-with-rfc5780\nno-software-attribute\nuser-quota=12\n\
     denied-peer-ip=0.0.0.0-0.255.255.255\ndenied-peer-ip=10.0.0.0-10.255.255.255\n\
     denied-peer-ip=100.64.0.0-100.127.255.255\ndenied-peer-ip=127.0.0.2-127.255.255.255\n\
     denied-peer-ip=169.254.0.0-169.254.255.255\ndenied-peer-ip=172.16.0.0-172.31.255.255\n\
     denied-peer-ip=192.168.0.0-192.168.255.255\ndenied-peer-ip=255.255.255.255";

/// Every step of the walk.
const WALK: [&str; 13] = [
    "name",
    "binding",
    "challenge",
    "allocate",
    "permission",
    "send",
    "channel-bind",
    "channel",
    "sizes",
    "round-trip",
    "refresh",
    "release",
    "independent",
];

/// The faults and warnings but those that coturn has whatever it is told: 4.6 obeys what stands behind the signature.
fn complaints(probed: &Probed) -> Vec<&str> {
    let of = |verdict| probed.all(verdict).into_iter().filter(|name| *name != "behind-integrity");
    of("fault").chain(of("warning")).collect()
}

#[test]
fn a_sound_server_passes_over_udp_and_tcp() {
    let Some(server) = coturn(SOUND) else { return };
    let secret = server.path("secret");
    let (udp, tcp) = (server.uri(""), server.uri("?transport=tcp"));
    let probed = probe(&[&udp, &tcp, "--secret-file", &secret, "--may-reach", "127.0.0.1"]);
    assert_eq!(complaints(&probed), [""; 0], "{:#}", probed.json);
    assert_eq!(probed.all("untested"), [""; 0]);
    for name in WALK {
        assert_eq!(probed.step(name).verdict, "ok", "{name}");
    }
    probed.says("independent", "ok", &["the stun and turn crates", "echo through it"]);
    probed.says("quota", "ok", &["12, then 486"]);
    let walked = probed.all("ok").into_iter().filter(|name| *name == "channel").count();
    assert_eq!(walked, 2, "once over UDP and once over TCP");
}

/// As many install it: a secret, and nothing else.
#[test]
fn what_an_unguarded_server_lets_through_is_found() {
    let Some(server) = coturn("allow-loopback-peers") else { return };
    let probed = server.probe(&[]);
    assert_eq!(probed.code, Some(1));
    for (name, verdict, words) in [
        (
            "peer-loopback",
            "fault",
            &["127.0.0.1 (permission)", "127.8.8.8", "allow-loopback-peers", "[[peers.allow]]"][..],
        ),
        ("peer-private", "fault", &["10.1.2.3", "192.168.1.1", "denied-peer-ip", "--may-reach"]),
        ("peer-metadata", "fault", &["169.254.169.254", "cloud", "denied-peer-ip=169.254"]),
        ("peer-multicast", "fault", &["224.0.0.1", "no-multicast-peers"]),
        ("peer-server", "fault", &["127.0.0.1 (permission)"]),
        ("binding-size", "warning", &["20 bytes are answered with", "SOFTWARE", "no-stun-backward-compatibility"]),
        ("software", "note", &["Coturn", "no-software-attribute"]),
        ("nonsense", "warning", &["no magic cookie"]),
        ("quota", "note", &["16 are granted", "user-quota"]),
        ("far-expiry", "note", &["max_ttl"]),
    ] {
        probed.says(name, verdict, words);
    }
    for name in ["no-credentials", "wrong-password", "unknown-user", "expired", "other-user", "changed-request"] {
        assert_eq!(probed.step(name).verdict, "ok", "{name}");
    }
}

#[test]
fn an_open_relay_is_found() {
    let Some(server) = Site::new().coturn("no-auth\nallow-loopback-peers") else { return };
    let probed = server.probe(&[]);
    probed.says("challenge", "fault", &["open relay", "take out `no-auth`"]);
    probed.says("no-credentials", "fault", &["granted", "no-auth"]);
    probed.says("channel", "ok", &[]);
    assert_eq!(probed.code, Some(1));
}

/// The server shall have this secret, and the probe has the usual one.
fn with_other_secret(secret: &str) -> Option<Probed> {
    let server = Site::new().coturn(&format!("use-auth-secret\nstatic-auth-secret={secret}"))?;
    Some(server.probe(&["--negative=never"]))
}

#[test]
fn a_wrong_secret_is_told_from_a_miscopied_one() {
    let Some(probed) = with_other_secret("another-secret-of-thirty-two-byte") else { return };
    probed.says("allocate", "fault", &["401", "the secret is another one", "static-auth-secret", "use-auth-secret"]);
    assert_eq!(probed.code, Some(1));

    // Ours has a blank in front that the server's has not.
    let site = Site::new();
    site.write("ours", &format!(" {SECRET}\n"));
    let ours = site.path("ours");
    let Some(server) = coturn(SOUND) else { return };
    let probed = probe(&[&server.uri(""), "--secret-file", &ours, "--negative=never"]);
    probed.says("allocate", "fault", &["our copy of the secret has white space around it"]);
    probed.says("channel", "ok", &[]);
}

#[test]
fn fixed_users_are_tried_with_their_passwords() {
    let site = Site::new();
    site.write("right", "opensesame\n");
    site.write("wrong", "openbarley\n");
    let [right, wrong] = ["right", "wrong"].map(|name| site.path(name));
    let lines = "lt-cred-mech\nuser=alice:opensesame\nallow-loopback-peers";
    // The files of `site` must outlive it.
    let Some(server) = Site::new().coturn(lines) else { return };
    let as_alice =
        |file: &str| probe(&[&server.uri(""), "--user", "alice", "--password-file", file, "--negative=never"]);
    let probed = as_alice(&right);
    assert_eq!((probed.code, complaints(&probed)), (Some(0), vec![]));
    as_alice(&wrong).says("allocate", "fault", &["401", "user or password is wrong", "turnadmin -k"]);
    // A secret where there are fixed users.
    server.probe(&["--negative=never"]).says("allocate", "fault", &["give --user and --password-file"]);
}

#[test]
fn a_wrong_external_address_is_found() {
    let Some(server) = coturn("allow-loopback-peers\nexternal-ip=192.0.2.55/127.0.0.1") else { return };
    let probed = server.probe(&["--negative=never", "--peer", "127.0.0.1"]);
    probed.says("allocate", "note", &["192.0.2.55", "1:1 NAT"]);
    probed.says(
        "send",
        "fault",
        &["packets come from 127.0.0.1", "192.0.2.55", "is wrong", "external-ip", "advertise"],
    );
    assert_eq!(probed.all("fault"), ["send"]);
    let probed = server.probe(&["--negative=never", "--expect-relayed", "127.0.0.1"]);
    probed.says("allocate", "fault", &["expected was 127.0.0.1", "external-ip"]);
}

/// Where peers on this host are refused, as they should be, relaying cannot be tested from this host: that is neither
/// well nor a fault.
#[test]
fn what_cannot_be_tested_is_said() {
    let Some(server) = coturn("") else { return };
    let probed = server.probe(&["--negative=never"]);
    probed.says("permission", "untested", &["403 Forbidden", "is refused", "--peer", "relay_to_relay"]);
    assert_eq!((probed.code, probed.all("fault")), (Some(3), vec![]));
}

/// Peers are refused, but other allocations are not: the second way.
#[test]
fn two_allocations_echo_where_a_peer_may_not() {
    let Some(server) = coturn("allow-loopback-peers\ndenied-peer-ip=127.0.0.9") else { return };
    let probed = server.probe(&["--negative=never", "--peer", "127.0.0.9"]);
    probed.says("permission", "note", &["a second allocation", "own peer 127.0.0.9", "is refused (403"]);
    for name in ["send", "channel", "sizes", "round-trip"] {
        assert_eq!(probed.step(name).verdict, "ok", "{name}");
    }
    assert_eq!(probed.code, Some(0));
}

#[test]
fn a_server_for_stun_alone_is_found() {
    let Some(server) = coturn("stun-only") else { return };
    let probed = server.probe(&["--timeout", "600ms"]);
    assert_eq!(probed.step("binding").verdict, "ok");
    assert_eq!(probed.step("challenge").verdict, "fault");
    let stun = probe(&[&format!("stun:127.0.0.1:{}", server.port)]);
    assert_eq!((stun.code, stun.all("ok")), (Some(0), vec!["name", "binding"]));
}

#[test]
fn a_server_without_binding_works() {
    let Some(server) = coturn(&format!("{SOUND}\nno-stun")) else { return };
    let probed = server.probe(&["--timeout", "600ms", "--negative=never"]);
    probed.says("binding", "note", &["no answer to Binding, but to Allocate", "no-stun"]);
    probed.says("channel", "ok", &[]);
}

/// Over IPv6 an IPv6 relayed address is asked for; without one the walk goes on with an IPv4 one.
#[test]
fn ipv6_is_walked_too() {
    for (relay, verdict, words) in [("relay-ip=::1", "ok", "relayed address [::1]"), ("", "note", "no IPv6 relayed")] {
        let Some(server) = coturn(&format!("allow-loopback-peers\nlistening-ip=::1\n{relay}")) else { return };
        let uri = format!("turn:[::1]:{}?transport=tcp", server.port);
        let probed = probe(&[&uri, "--secret-file", &server.path("secret"), "--negative=never"]);
        probed.says("allocate", verdict, &[words]);
        probed.says("channel", "ok", &[]);
    }
}

#[test]
fn limits_that_bite_are_told() {
    let Some(server) = coturn(&format!("{SOUND}\nuser-quota=2")) else { return };
    server.probe(&[]).says("quota", "warning", &["2, then 486", "6 to 12", "limits.allocations_per_user"]);
}

#[test]
fn blocked_udp_is_told_from_a_dead_host() {
    let Some(server) = coturn(&format!("{SOUND}\nno-udp")) else { return };
    let udp = server.probe(&[]);
    udp.says("binding", "fault", &["connection refused", "listen for UDP"]);
    let tcp = probe(&[&server.uri("?transport=tcp"), "--secret-file", &server.path("secret"), "--negative=never"]);
    tcp.says("channel", "ok", &[]);
}
