//! The peer policy against the catalogue of abuse: each test names the case it stands for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use turnkeep::policy::peer::canonical::{Embeddings, Nat64Prefix};
use turnkeep::policy::peer::special_use::{Opening, SPECIAL_USE};
use turnkeep::policy::peer::{BadRules, OwnHost, PeerPolicy, PeerRule, PeerSettings, Range, judge_source, sentence};
use turnkeep::relay::seam::PeerPorts;
use turnkeep::relay::{ClientAddr, PeerAddr};

fn settings() -> PeerSettings {
    PeerSettings {
        allow: vec![],
        deny: vec![],
        lab: false,
        embeddings: Embeddings::default(),
        own: OwnHost {
            addresses: vec![],
            listener_ports: vec![3478],
            relay_addresses: vec![],
            relayed_ports: 49_152..=65_535,
            relay_to_relay: false,
        },
        backends: vec![],
        min_port: 0,
        deny_ports: vec![],
    }
}

fn policy(change: impl FnOnce(&mut PeerSettings)) -> PeerPolicy {
    let mut settings = settings();
    change(&mut settings);
    PeerPolicy::new(&settings).unwrap_or_else(|error| panic!("{error}"))
}

fn rules(ranges: &[&str]) -> Vec<PeerRule> {
    let rule = |range: &&str| PeerRule { id: format!("rule {range}"), range: range.parse::<Range>().unwrap().0 };
    ranges.iter().map(rule).collect()
}

fn verdict(policy: &PeerPolicy, ip: impl Into<IpAddr>) -> Result<PeerPorts, String> {
    policy.judge(PeerAddr(SocketAddr::new(ip.into(), 0))).map_err(|refusal| refusal.rule.to_string())
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn assert_refused(policy: &PeerPolicy, ips: &[&str], rule: &str) {
    for text in ips {
        assert_eq!(verdict(policy, ip(text)), Err(rule.to_owned()), "{text}");
    }
}

fn assert_open(policy: &PeerPolicy, ips: &[&str]) {
    for text in ips {
        assert_eq!(verdict(policy, ip(text)), Ok(PeerPorts::Any), "{text}");
    }
}

#[test]
fn ordinary_addresses_are_open() {
    assert_open(&policy(|_| {}), &["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "2a00:1450:4001::1", "3ffe::1"]);
}

#[test]
fn a_002_private_ranges_and_their_neighbours() {
    let policy = policy(|_| {});
    let private = ["10.0.0.0", "10.1.2.3", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.1.1"];
    assert_refused(&policy, &private, "special.rfc1918");
    assert_refused(&policy, &["100.64.0.1", "100.127.255.255"], "special.cgnat");
    assert_refused(&policy, &["fc00::1", "fdff:ffff::1"], "special.ula");
    assert_open(
        &policy,
        &["9.255.255.255", "11.0.0.0", "172.15.255.255", "172.32.0.0", "100.63.255.255", "100.128.0.0"],
    );
    assert_open(&policy, &["192.167.255.255", "192.169.0.0"]);
}

#[test]
fn a_003_all_of_loopback() {
    assert_refused(&policy(|_| {}), &["127.0.0.0", "127.0.0.1", "127.8.8.8", "127.255.255.254"], "special.loopback");
}

#[test]
fn a_004_unspecified_and_loopback_of_ipv6() {
    let policy = policy(|_| {});
    assert_refused(&policy, &["::"], "special.unspecified");
    assert_refused(&policy, &["::1"], "special.loopback");
    assert_refused(&policy, &["0.0.0.0", "0.1.2.3"], "special.this_network");
}

#[test]
fn a_005_d_20_d_21_mapped_addresses_are_refused_by_the_rule_of_what_is_inside() {
    let policy = policy(|_| {});
    assert_refused(&policy, &["::ffff:127.0.0.1"], "special.loopback");
    assert_refused(&policy, &["::ffff:0.0.0.0"], "special.this_network");
    assert_refused(&policy, &["::ffff:10.0.0.1"], "special.rfc1918");
    assert_refused(&policy, &["::ffff:169.254.169.254"], "special.metadata");
    assert_refused(&policy, &["::ffff:8.8.8.8"], "embedded.mapped");
}

/// Every embedding of `v4` that a policy with [`translators`] must see through.
fn embeddings_of(v4: Ipv4Addr) -> Vec<Ipv6Addr> {
    let [a, b, c, d] = v4.octets().map(u128::from);
    let bits = u128::from(v4.to_bits());
    let nat64 = |prefix: &str| prefix.parse::<Ipv6Addr>().unwrap().to_bits();
    let forms = [
        0xffff << 32 | bits,
        bits,
        0xffff << 48 | bits,
        nat64("64:ff9b::") | bits,
        nat64("2a0b:64:0::") | bits << 64,
        nat64("2a0b:1400::") | a << 80 | b << 72 | c << 64 | d << 48,
        nat64("2a0b:2400:0::") | a << 72 | b << 64 | c << 48 | d << 40,
        nat64("2a0b:3400:0:0100::") | a << 64 | b << 48 | c << 40 | d << 32,
        nat64("2a0b:4400:0:0101::") | bits << 24,
        nat64("2a0b:5400::") | bits,
        nat64("64:ff9b:1::") | bits,
        0x2002 << 112 | bits << 80 | 1,
        // Teredo: as the client behind a harmless server, and as the server of a harmless client.
        nat64("2001:0:909:909:8000:63bf::") | (!bits & 0xffff_ffff),
        nat64("2001:0::") | bits << 64 | (!0x0909_0909 & 0xffff_ffff),
        nat64("2a00:1450:4001:1:0:5efe::") | bits,
        nat64("2a00:1450:4001:1:200:5efe::") | bits,
        nat64("fe80::5efe:0:0") | bits,
    ];
    forms.into_iter().map(Ipv6Addr::from_bits).collect()
}

fn translators(settings: &mut PeerSettings) {
    let nat64 = ["2a0b:64::/32", "2a0b:1400::/40", "2a0b:2400::/48", "2a0b:3400:0:100::/56", "2a0b:4400:0:101::/64"];
    let nat64 = nat64.iter().chain(&["2a0b:5400::/96"]);
    settings.embeddings =
        Embeddings { nat64: nat64.map(|net| Nat64Prefix::new(net.parse().unwrap()).unwrap()).collect() };
}

fn assert_no_way_around(policy: &PeerPolicy, v4: Ipv4Addr) {
    let plain = verdict(policy, v4);
    for v6 in embeddings_of(v4) {
        let embedded = verdict(policy, v6);
        assert!(embedded.is_err(), "{v6} embeds {v4} and is open");
        // `::` and `::1` are addresses of their own, and RFC 8215's prefix is refused without a look inside.
        let own_rule = v6.to_bits() <= 1 || v6.segments()[..3] == [0x64, 0xff9b, 1];
        if plain.is_err() && !own_rule {
            assert_eq!(embedded, plain, "{v6} embeds {v4}");
        }
    }
}

#[test]
fn a_006_no_embedding_slips_past_a_rule() {
    let policies = [
        policy(translators),
        policy(|settings| {
            translators(settings);
            settings.allow = rules(&["10.0.0.0/8", "192.168.0.0/16", "8.0.0.0/8", "2000::/3", "::/0", "0.0.0.0/0"]);
            settings.deny = rules(&["8.8.0.0/16", "10.1.0.0/16", "1.0.0.0/8"]);
            settings.own.addresses = vec![ip("93.184.216.34"), ip("10.0.0.1")];
            settings.own.relay_addresses = vec![ip("93.184.216.35")];
            settings.own.relay_to_relay = true;
            settings.backends = vec![ip("10.9.9.9")];
        }),
    ];
    for policy in &policies {
        for v4 in edges()
            .chain(random_v4(10_000))
            .chain(["93.184.216.34", "10.9.9.9", "8.8.8.8"].map(|v4| v4.parse().unwrap()))
        {
            assert_no_way_around(policy, v4);
        }
    }
}

/// First and last address of every denied IPv4 range and their neighbours.
fn edges() -> impl Iterator<Item = Ipv4Addr> {
    let nets = SPECIAL_USE.iter().flat_map(|special| special.nets).filter_map(|net| match net {
        IpNet::V4(net) => Some(net),
        IpNet::V6(_) => None,
    });
    nets.flat_map(|net| {
        let (first, last) = (net.network().to_bits(), net.broadcast().to_bits());
        [first.wrapping_sub(1), first, last, last.wrapping_add(1)].map(Ipv4Addr::from_bits)
    })
}

/// SplitMix64, from a fixed seed.
fn random_v4(count: usize) -> impl Iterator<Item = Ipv4Addr> {
    let mut state = 0x7475_726e_6b65_6570_u64;
    std::iter::repeat_with(move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        Ipv4Addr::from_bits((z >> 32) as u32)
    })
    .take(count)
}

#[test]
fn a_007_nat64_by_the_well_known_and_by_configured_prefixes() {
    let closed = policy(|_| {});
    assert_refused(&closed, &["64:ff9b::7f00:1"], "special.loopback");
    assert_refused(&closed, &["64:ff9b::a00:1"], "special.rfc1918");
    assert_refused(&closed, &["64:ff9b::808:808"], "embedded.nat64");
    assert_refused(&closed, &["64:ff9b:1::808:808"], "special.nat64_local");
    assert_open(&closed, &["2a0b:5400::7f00:1"]);
    let configured = policy(translators);
    assert_refused(&configured, &["2a0b:5400::7f00:1"], "special.loopback");
    assert_refused(&configured, &["2a0b:5400::808:808"], "embedded.nat64_operator");
}

#[test]
fn a_008_a_009_tunnels_as_peers_and_as_sources() {
    let policy = policy(|_| {});
    assert_refused(&policy, &["2002:7f00:1::1"], "special.loopback");
    assert_refused(&policy, &["2002:808:808::1"], "embedded.6to4");
    assert_refused(&policy, &["2001:0:4136:e378:8000:63bf:3fff:fdd2"], "special.documentation");
    assert_refused(&policy, &["2001:0:808:808:8000:63bf:f7f7:f7f7"], "embedded.teredo");

    let source =
        |text| judge_source(ClientAddr(SocketAddr::new(ip(text), 40_000))).map_err(|refusal| refusal.rule.to_string());
    assert_eq!(source("2002:808:808::1"), Err("source.6to4".to_owned()));
    assert_eq!(source("2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), Err("source.6to4".to_owned()));
    assert_eq!(source("2001:0:808:808:8000:63bf:f7f7:f7f7"), Err("source.teredo".to_owned()));
    for good in ["2001:1::1", "2003::1", "2001:4860::1", "192.0.2.1", "10.0.0.1", "127.0.0.1", "::1", "fe80::1"] {
        assert_eq!(source(good), Ok(()), "{good}");
    }
}

#[test]
fn a_010_link_local_and_metadata() {
    let policy = policy(|settings| settings.allow = rules(&["100.64.0.0/10", "fc00::/7", "0.0.0.0/0", "::/0"]));
    assert_refused(&policy, &["169.254.0.1", "169.254.255.255", "fe80::1", "febf::1"], "special.link_local");
    assert_refused(&policy, &["fec0::1", "feff::1"], "special.site_local");
    let metadata =
        ["169.254.169.254", "168.63.129.16", "100.100.100.200", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"];
    assert_refused(&policy, &metadata, "special.metadata");
    assert_open(&policy, &["100.100.100.199", "100.100.100.201", "168.63.129.15", "168.63.129.17", "fd00:ec1::254"]);
}

#[test]
fn a_011_a_scope_id_does_not_change_the_verdict() {
    let peer =
        |scope| PeerAddr(SocketAddr::V6(std::net::SocketAddrV6::new("fe80::1".parse().unwrap(), 5000, 7, scope)));
    let policy = policy(|_| {});
    assert_eq!(policy.judge(peer(0)), policy.judge(peer(3)));
    assert!(policy.judge(peer(3)).is_err());
}

#[test]
fn a_012_multicast_and_broadcast() {
    let policy = policy(|_| {});
    assert_refused(&policy, &["224.0.0.1", "239.255.255.250", "ff02::1", "ff05::1:3"], "special.multicast");
    assert_refused(&policy, &["255.255.255.255"], "special.broadcast");
    assert_refused(&policy, &["240.0.0.0", "255.255.255.254"], "special.reserved");
}

/// The ranges as the abuse catalogue lists them, so that a row lost from the table is missed here.
const DENIED: &[&str] = &[
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.31.196.0/24",
    "192.52.193.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "192.175.48.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "168.63.129.16/32",
    "::/96",
    "::ffff:0:0/96",
    "::ffff:0:0:0/96",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "100::/64",
    "100:0:0:1::/64",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
    "::/3",
    "4000::/2",
    "8000::/1",
];

#[test]
fn a_013_first_and_last_address_of_every_special_range() {
    let policy = policy(|_| {});
    for net in DENIED.iter().map(|net| net.parse::<IpNet>().unwrap()) {
        for edge in [net.network(), net.broadcast()] {
            assert!(verdict(&policy, edge).is_err(), "{edge} of {net}");
        }
    }
    let outside = |ip: IpAddr| !DENIED.iter().any(|net| net.parse::<IpNet>().unwrap().contains(&ip));
    for special in SPECIAL_USE {
        for net in special.nets {
            for edge in [net.network(), net.broadcast()] {
                assert!(verdict(&policy, edge).is_err(), "{edge} of {net}");
            }
            for neighbour in neighbours(net).into_iter().filter(|ip| outside(*ip)) {
                assert_eq!(verdict(&policy, neighbour), Ok(PeerPorts::Any), "{neighbour} beside {net}");
            }
        }
    }
}

fn neighbours(net: &IpNet) -> [IpAddr; 2] {
    match net {
        IpNet::V4(net) => [net.network().to_bits().wrapping_sub(1), net.broadcast().to_bits().wrapping_add(1)]
            .map(|bits| Ipv4Addr::from_bits(bits).into()),
        IpNet::V6(net) => [net.network().to_bits().wrapping_sub(1), net.broadcast().to_bits().wrapping_add(1)]
            .map(|bits| Ipv6Addr::from_bits(bits).into()),
    }
}

fn judge_port(policy: &PeerPolicy, text: &str) -> Result<(), String> {
    policy.judge(PeerAddr(text.parse().unwrap())).map(drop).map_err(|refusal| refusal.rule.to_string())
}

#[test]
fn a_014_own_addresses_are_no_peers_but_for_relayed_ports() {
    let own = |relay_to_relay| {
        policy(|settings| {
            settings.own.addresses =
                ["93.184.216.34", "93.184.216.35", "93.184.216.255", "2a00:1450::5"].map(ip).to_vec();
            settings.own.relay_addresses = vec![ip("93.184.216.35"), ip("2a00:1450::5")];
            settings.own.listener_ports = vec![3478, 50_000];
            settings.own.relay_to_relay = relay_to_relay;
        })
    };
    let apart = own(false);
    assert_refused(&apart, &["93.184.216.34", "93.184.216.35", "93.184.216.255", "2a00:1450::5"], "own.address");
    assert_open(&apart, &["93.184.216.33", "93.184.216.36", "2a00:1450::6"]);

    let together = own(true);
    assert_refused(&together, &["93.184.216.34", "::ffff:93.184.216.34", "2002:5db8:d822::1"], "own.address");
    let ports = verdict(&together, ip("93.184.216.35")).unwrap();
    for (port, open) in
        [(0, false), (22, false), (3478, false), (49_151, false), (49_152, true), (65_535, true), (50_000, false)]
    {
        assert_eq!(ports.allow(port), open, "{port}");
    }
    assert_eq!(judge_port(&together, "93.184.216.35:3478"), Err("own.address".to_owned()));
    assert_eq!(judge_port(&together, "93.184.216.35:50000"), Err("own.address".to_owned()));
    assert_eq!(judge_port(&together, "93.184.216.35:50001"), Ok(()));
    assert_eq!(judge_port(&together, "[2a00:1450::5]:50001"), Ok(()));
}

#[test]
fn d_22_a_range_free_of_listeners_is_said_as_a_range() {
    let policy = policy(|settings| {
        settings.own.addresses = vec![ip("127.0.0.1")];
        settings.own.relay_addresses = vec![ip("127.0.0.1")];
        settings.own.relay_to_relay = true;
    });
    assert_eq!(verdict(&policy, ip("127.0.0.1")), Ok(PeerPorts::Only(49_152..=65_535)));
    assert_refused(&policy, &["127.0.0.2", "::1"], "special.loopback");
}

#[test]
fn d_22_a_laboratory_opens_loopback_but_never_a_listener() {
    let policy = policy(|settings| {
        settings.lab = true;
        settings.allow = rules(&["127.0.0.0/8", "::1"]);
        settings.own.addresses = vec![ip("127.0.0.1"), ip("10.0.0.1")];
        settings.own.listener_ports = vec![3478, 9641];
    });
    for host in ["127.0.0.1", "127.9.9.9", "[::1]"] {
        assert_eq!(judge_port(&policy, &format!("{host}:3480")), Ok(()), "{host}");
        for port in [3478, 9641] {
            assert_eq!(judge_port(&policy, &format!("{host}:{port}")), Err("own.address".to_owned()), "{host}");
        }
    }
    assert_refused(&policy, &["10.0.0.1"], "own.address");
    assert_refused(&policy, &["::ffff:127.0.0.1"], "embedded.mapped");
}

#[test]
fn a_016_a_017_ports_that_no_peer_may_have() {
    let policy = policy(|settings| {
        settings.min_port = 1024;
        settings.deny_ports = vec![3478, 5349];
    });
    assert_eq!(judge_port(&policy, "8.8.8.8:53"), Err("port.too_low".to_owned()));
    assert_eq!(judge_port(&policy, "8.8.8.8:1023"), Err("port.too_low".to_owned()));
    assert_eq!(judge_port(&policy, "8.8.8.8:3478"), Err("port.denied".to_owned()));
    assert_eq!(judge_port(&policy, "8.8.8.8:5349"), Err("port.denied".to_owned()));
    assert_eq!(judge_port(&policy, "8.8.8.8:1024"), Ok(()));
    // A permission by address carries the rules on ports along (A-016: Send there is silence).
    let ports = verdict(&policy, ip("8.8.8.8")).unwrap();
    for (port, open) in
        [(0, false), (53, false), (1023, false), (1024, true), (3478, false), (5349, false), (65_535, true)]
    {
        assert_eq!(ports.allow(port), open, "{port}");
    }
}

#[test]
fn d_26_port_0_asks_for_the_address_alone() {
    let policy = policy(|_| {});
    assert_eq!(judge_port(&policy, "8.8.8.8:0"), Ok(()));
    assert_eq!(judge_port(&policy, "10.0.0.1:0"), Err("special.rfc1918".to_owned()));
    assert!(!verdict(&policy, ip("8.8.8.8")).unwrap().allow(0));
}

#[test]
fn a_022_longest_prefix_and_deny_wins_ties() {
    let policy = policy(|settings| {
        settings.allow =
            rules(&["10.0.0.5", "9.9.9.0/24", "203.0.112.0/20", "0.0.0.0/0", "172.16.0.0/12", "192.168.0.0/15"]);
        settings.deny = vec![
            PeerRule { id: "no ten".into(), range: "10.0.0.0/8".parse().unwrap() },
            PeerRule { id: "no nine".into(), range: "9.9.9.0/24".parse().unwrap() },
            PeerRule { id: "no twelve".into(), range: "12.0.0.0/8".parse().unwrap() },
            PeerRule { id: "no guests".into(), range: "172.20.0.0/16".parse().unwrap() },
        ];
    });
    assert_open(&policy, &["10.0.0.5", "8.8.8.8", "203.0.112.1", "172.16.0.1", "172.31.255.255"]);
    assert_refused(&policy, &["10.0.0.6", "10.0.0.4"], "no ten");
    assert_refused(&policy, &["9.9.9.9"], "no nine");
    assert_refused(&policy, &["12.1.1.1"], "no twelve");
    assert_refused(&policy, &["172.20.1.1"], "no guests");
    // A rule wider than a special range opens nothing in it.
    assert_refused(&policy, &["203.0.113.1"], "special.documentation");
    assert_refused(&policy, &["192.168.1.1"], "special.rfc1918");
    assert_refused(&policy, &["127.0.0.1"], "special.loopback");
}

#[test]
fn a_023_backends_are_closed_whatever_a_rule_says() {
    let policy = policy(|settings| {
        settings.allow = rules(&["10.0.0.0/8", "8.8.8.8"]);
        settings.backends = vec![ip("10.0.0.7"), ip("::ffff:8.8.8.8")];
    });
    assert_refused(&policy, &["10.0.0.7", "8.8.8.8", "::ffff:10.0.0.7"], "own.backend");
    assert_open(&policy, &["10.0.0.8"]);
}

#[test]
fn an_allow_rule_opens_what_its_opening_says_and_no_rule_is_without_effect() {
    for special in SPECIAL_USE {
        for (net, lab) in special.nets.iter().flat_map(|net| [(net, false), (net, true)]) {
            let mut settings = settings();
            settings.lab = lab;
            settings.allow = vec![PeerRule { id: "open".into(), range: *net }];
            let openable = match special.opening {
                Opening::Rule => true,
                Opening::Lab => lab,
                Opening::Never => false,
            };
            match PeerPolicy::new(&settings) {
                Ok(policy) => {
                    assert!(openable, "{net} with lab = {lab}");
                    assert!(verdict(&policy, net.network()).is_ok(), "{net}");
                    assert!(verdict(&policy, net.broadcast()).is_ok(), "{net}");
                }
                Err(BadRules::NeedsLab { special: id, .. }) => {
                    assert_eq!((special.opening, lab, id), (Opening::Lab, false, special.rule));
                }
                Err(BadRules::NeverOpened { special: (id, _), .. }) => {
                    assert_eq!((special.opening, id), (Opening::Never, special.rule));
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
}

#[test]
fn rules_cannot_open_a_translator_or_take_a_built_in_id() {
    let mut translating = settings();
    translators(&mut translating);
    translating.allow = rules(&["2a0b:5400::7f00:1"]);
    let error = PeerPolicy::new(&translating).unwrap_err().to_string();
    assert!(error.contains("embedded.nat64_operator"), "{error}");

    for id in ["special.rfc1918", "own.address", "embedded.6to4"] {
        let mut taken = settings();
        taken.deny = vec![PeerRule { id: id.into(), range: "1.0.0.0/8".parse().unwrap() }];
        assert_eq!(PeerPolicy::new(&taken).err(), Some(BadRules::IdTaken(id.into())));
    }
    let mut twice = settings();
    twice.allow = vec![PeerRule { id: "x".into(), range: "1.0.0.0/8".parse().unwrap() }];
    twice.deny = twice.allow.clone();
    assert_eq!(PeerPolicy::new(&twice).err(), Some(BadRules::IdTaken("x".into())));
}

#[test]
fn every_built_in_refusal_has_a_sentence() {
    let policy = policy(|settings| {
        translators(settings);
        settings.own.addresses = vec![ip("93.184.216.34")];
        settings.backends = vec![ip("93.184.216.35")];
    });
    let edges = SPECIAL_USE.iter().flat_map(|special| special.nets).flat_map(|net| [net.network(), net.broadcast()]);
    let embedded = embeddings_of(Ipv4Addr::new(8, 8, 8, 8)).into_iter().map(IpAddr::V6);
    for ip in edges.chain(embedded).chain(["93.184.216.34", "93.184.216.35"].map(ip)) {
        let rule = verdict(&policy, ip).unwrap_err();
        assert!(sentence(&rule).is_some_and(|sentence| sentence.ends_with('.')), "{ip}: {rule}");
    }
    // ChannelBind's own, for a port that the answer about its peer leaves out.
    assert!(sentence("peer.port").is_some());
    assert_eq!(sentence("no such rule"), None);
}
