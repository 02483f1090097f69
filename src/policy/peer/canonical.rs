//! Every way to write an IPv4 address into an IPv6 address, undone.
//!
//! A rule on IPv4 addresses is worth nothing if an address slips past it in IPv6 clothes, so this is one total function
//! in front of every rule. What it finds is judged as IPv4 and the form itself is refused, whatever a rule opens.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::Ipv6Net;

/// Knows all embeddings: the fixed ones, and those of the operator's own translators.
#[derive(Clone, Debug, Default)]
pub struct Embeddings {
    /// The network-specific prefixes of NAT64 translators that the relay's packets may meet.
    pub nat64: Vec<Nat64Prefix>,
}

/// One way to read an IPv6 address as an embedding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The form it has.
    pub form: Form,
    /// The address inside.
    pub inside: Ipv4Addr,
}

impl Embeddings {
    /// Every reading of `ip`: none for an address that embeds nothing, several where forms overlap or where one form
    /// holds two addresses (Teredo).
    pub fn readings(&self, ip: Ipv6Addr) -> impl Iterator<Item = Reading> {
        let fixed = FIXED.iter().filter_map(move |(form, read)| Some(Reading { form: *form, inside: read(ip)? }));
        let nat64 = self
            .nat64
            .iter()
            .filter_map(move |prefix| Some(Reading { form: Form::Nat64Operator, inside: prefix.inside(ip)? }));
        fixed.chain(nat64)
    }
}

/// A form of embedding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// `::ffff:a.b.c.d` (RFC 4291 §2.5.5.2).
    Mapped,
    /// `::a.b.c.d` (RFC 4291 §2.5.5.1), but for `::` and `::1`, which are addresses of their own.
    Compatible,
    /// `::ffff:0:a.b.c.d` (RFC 2765 §2.1).
    Translated,
    /// `64:ff9b::a.b.c.d` (RFC 6052 §2.1).
    Nat64,
    /// Under a prefix of the operator's (RFC 6052 §2.2).
    Nat64Operator,
    /// `2002:aabb:ccdd::/48` (RFC 3056 §2).
    SixToFour,
    /// `2001:0:<server>:<flags>:<port>:<client>`, the last two inverted (RFC 4380 §4).
    Teredo,
    /// Any prefix with the interface identifier `[02]00:5efe:a.b.c.d` (RFC 5214 §6.1).
    Isatap,
}

impl Form {
    /// Every form.
    pub const ALL: [Self; 8] = [
        Self::Mapped,
        Self::Compatible,
        Self::Translated,
        Self::Nat64,
        Self::Nat64Operator,
        Self::SixToFour,
        Self::Teredo,
        Self::Isatap,
    ];

    /// The id of the rule that refuses it.
    pub const fn rule(self) -> &'static str {
        match self {
            Self::Mapped => "embedded.mapped",
            Self::Compatible => "embedded.compatible",
            Self::Translated => "embedded.translated",
            Self::Nat64 => "embedded.nat64",
            Self::Nat64Operator => "embedded.nat64_operator",
            Self::SixToFour => "embedded.6to4",
            Self::Teredo => "embedded.teredo",
            Self::Isatap => "embedded.isatap",
        }
    }

    /// Why.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Mapped => "An IPv4-mapped address (RFC 4291 §2.5.5.2) is no peer; ask for the IPv4 address itself.",
            Self::Compatible => "An IPv4-compatible address (RFC 4291 §2.5.5.1) is deprecated and reaches nobody.",
            Self::Translated => "An IPv4-translated address (RFC 2765 §2.1) is no peer; ask for the IPv4 address.",
            Self::Nat64 => "An address of the NAT64 well-known prefix (RFC 6052 §2.1) leads back into IPv4.",
            Self::Nat64Operator => "An address of a configured NAT64 prefix (RFC 6052 §2.2) leads back into IPv4.",
            Self::SixToFour => "A TURN server must not accept 6to4 addresses as peers (RFC 8656 §21.4).",
            Self::Teredo => "A TURN server must not accept Teredo addresses as peers (RFC 8656 §21.4).",
            Self::Isatap => "An ISATAP address (RFC 5214 §6.1) leads into an IPv4 tunnel.",
        }
    }
}

type Read = fn(Ipv6Addr) -> Option<Ipv4Addr>;

const FIXED: [(Form, Read); 8] = [
    (Form::Mapped, |ip| prefix96(ip, [0, 0, 0, 0, 0, 0xffff])),
    (Form::Compatible, |ip| prefix96(ip, [0; 6]).filter(|inside| inside.to_bits() > 1)),
    (Form::Translated, |ip| prefix96(ip, [0, 0, 0, 0, 0xffff, 0])),
    (Form::Nat64, |ip| prefix96(ip, [0x64, 0xff9b, 0, 0, 0, 0])),
    (Form::SixToFour, six_to_four),
    (Form::Teredo, |ip| teredo(ip).map(|teredo| teredo.server)),
    (Form::Teredo, |ip| teredo(ip).map(|teredo| teredo.client)),
    (Form::Isatap, isatap),
];

/// The last 32 bits, if the first 96 are `prefix`.
fn prefix96(ip: Ipv6Addr, prefix: [u16; 6]) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, high, low] = ip.segments();
    ([a, b, c, d, e, f] == prefix).then(|| join(high, low))
}

fn six_to_four(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let [0x2002, high, low, ..] = ip.segments() else { return None };
    Some(join(high, low))
}

struct Teredo {
    server: Ipv4Addr,
    client: Ipv4Addr,
}

fn teredo(ip: Ipv6Addr) -> Option<Teredo> {
    let [0x2001, 0, server_high, server_low, _flags, _port, client_high, client_low] = ip.segments() else {
        return None;
    };
    Some(Teredo { server: join(server_high, server_low), client: join(!client_high, !client_low) })
}

fn isatap(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let [_, _, _, _, marker, 0x5efe, high, low] = ip.segments() else { return None };
    // The "u" and "g" bits of the identifier may be set or clear (RFC 4291, appendix A).
    (marker & !0x0300 == 0).then(|| join(high, low))
}

fn join(high: u16, low: u16) -> Ipv4Addr {
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    Ipv4Addr::new(a, b, c, d)
}

/// A network-specific prefix of a NAT64 translator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nat64Prefix(Ipv6Net);

/// A NAT64 prefix has 32, 40, 48, 56, 64 or 96 bits (RFC 6052 §2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadNat64Prefix(pub Ipv6Net);

impl std::fmt::Display for BadNat64Prefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is no NAT64 prefix: its length must be 32, 40, 48, 56, 64 or 96 (RFC 6052 §2.2).", self.0)
    }
}

impl std::error::Error for BadNat64Prefix {}

impl Nat64Prefix {
    /// From a prefix.
    ///
    /// # Errors
    /// Its length is none of RFC 6052 §2.2.
    pub fn new(net: Ipv6Net) -> Result<Self, BadNat64Prefix> {
        match net.prefix_len() {
            32 | 40 | 48 | 56 | 64 | 96 => Ok(Self(net.trunc())),
            _ => Err(BadNat64Prefix(net)),
        }
    }

    /// The prefix.
    pub fn net(self) -> Ipv6Net {
        self.0
    }

    /// The address behind the prefix. Bits 64 to 71 are skipped and the suffix is not looked at: a translator may
    /// overlook them as well.
    fn inside(self, ip: Ipv6Addr) -> Option<Ipv4Addr> {
        if !self.0.contains(&ip) {
            return None;
        }
        let [.., b4, b5, b6, b7, _u, b9, b10, b11, b12, b13, b14, b15] = ip.octets();
        let [a, b, c, d] = match self.0.prefix_len() {
            32 => [b4, b5, b6, b7],
            40 => [b5, b6, b7, b9],
            48 => [b6, b7, b9, b10],
            56 => [b7, b9, b10, b11],
            64 => [b9, b10, b11, b12],
            _ => [b12, b13, b14, b15],
        };
        Some(Ipv4Addr::new(a, b, c, d))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn embeddings() -> Embeddings {
        let nat64 = |net: &str| Nat64Prefix::new(net.parse().unwrap()).unwrap();
        Embeddings {
            nat64: [
                "2001:db8::/32",
                "2001:db8:100::/40",
                "2001:db8:122::/48",
                "2001:db8:122:300::/56",
                "2001:db8:122:344::/64",
                "2001:db8:122:344::/96",
            ]
            .map(nat64)
            .to_vec(),
        }
    }

    fn readings(ip: &str) -> Vec<(Form, String)> {
        embeddings().readings(ip.parse().unwrap()).map(|r| (r.form, r.inside.to_string())).collect()
    }

    fn one(form: Form, inside: &str) -> Vec<(Form, String)> {
        vec![(form, inside.to_owned())]
    }

    #[test]
    fn a_006_each_fixed_form_is_read() {
        assert_eq!(readings("::ffff:127.0.0.1"), one(Form::Mapped, "127.0.0.1"));
        assert_eq!(readings("::10.0.0.1"), one(Form::Compatible, "10.0.0.1"));
        assert_eq!(readings("::ffff:0:10.0.0.1"), one(Form::Translated, "10.0.0.1"));
        assert_eq!(readings("64:ff9b::7f00:1"), one(Form::Nat64, "127.0.0.1"));
        assert_eq!(readings("2002:7f00:1::1"), one(Form::SixToFour, "127.0.0.1"));
        assert_eq!(readings("fe80::5efe:10.1.2.3"), one(Form::Isatap, "10.1.2.3"));
        assert_eq!(readings("2a00:1450::200:5efe:10.1.2.3"), one(Form::Isatap, "10.1.2.3"));
        assert_eq!(readings("2a00:1450::300:5efe:10.1.2.3"), one(Form::Isatap, "10.1.2.3"));
    }

    #[test]
    fn a_009_teredo_holds_a_server_and_a_client() {
        // The example of RFC 4380's address format in common use: server 65.54.227.120, client 192.0.2.45.
        let expected = vec![(Form::Teredo, "65.54.227.120".to_owned()), (Form::Teredo, "192.0.2.45".to_owned())];
        assert_eq!(readings("2001:0:4136:e378:8000:63bf:3fff:fdd2"), expected);
    }

    /// The table of RFC 6052 §2.4: 192.0.2.33 under prefixes of all lengths.
    #[test]
    fn a_007_nat64_prefixes_of_rfc_6052_section_2_4() {
        for ip in [
            "2001:db8:c000:221::",
            "2001:db8:1c0:2:21::",
            "2001:db8:122:c000:2:2100::",
            "2001:db8:122:3c0:0:221::",
            "2001:db8:122:344:c0:2:2100::",
            "2001:db8:122:344::192.0.2.33",
        ] {
            let found = readings(ip);
            assert!(found.contains(&(Form::Nat64Operator, "192.0.2.33".to_owned())), "{ip}: {found:?}");
        }
    }

    #[test]
    fn nat64_prefixes_of_other_lengths_are_refused() {
        for len in 0..=128 {
            let net = Ipv6Net::new("2001:db8::".parse().unwrap(), len).unwrap();
            assert_eq!(Nat64Prefix::new(net).is_ok(), [32, 40, 48, 56, 64, 96].contains(&len), "{len}");
        }
    }

    #[test]
    fn native_addresses_have_no_reading() {
        for ip in ["::", "::1", "2606:4700::1111", "2003::7f00:1", "fe80::1", "fd00::1", "64:ff9b:0:0:1::7f00:1"] {
            assert_eq!(readings(ip), [], "{ip}");
        }
    }

    #[test]
    fn overlapping_forms_are_all_read() {
        let found = readings("2002:a00:1::5efe:127.0.0.1");
        assert_eq!(found, vec![(Form::SixToFour, "10.0.0.1".into()), (Form::Isatap, "127.0.0.1".into())]);
    }
}
