//! The ranges that nobody reaches by default: the IANA special-purpose registries (RFC 6890), the metadata services of
//! clouds, and the forms of [`super::canonical`]. To be checked against the registries at each release; last on
//! 2026-11-21.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::canonical::Form;
use super::prefix_table::PrefixTable;

/// A kind of special use, and where its addresses lie.
#[derive(Debug, PartialEq, Eq)]
pub struct SpecialUse {
    /// The id of the rule that refuses it.
    pub rule: &'static str,
    /// Its ranges.
    pub nets: &'static [IpNet],
    /// What it takes to open one of them.
    pub opening: Opening,
    /// What it is.
    pub sentence: &'static str,
}

/// What it takes to open a special-use range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Opening {
    /// An allow rule: hosts inside an enterprise.
    Rule,
    /// An allow rule and `lab = true`: never in production.
    Lab,
    /// Nothing.
    Never,
}

/// The table, ready to be asked: the longest range decides.
pub(super) fn table() -> PrefixTable<&'static SpecialUse> {
    PrefixTable::new(SPECIAL_USE.iter().flat_map(|special| special.nets.iter().map(move |net| (*net, special))))
}

/// Every special use. Where ranges are nested the inner one decides.
pub const SPECIAL_USE: &[SpecialUse] = &[
    // What an enterprise may have its media servers in.
    SpecialUse {
        rule: "special.rfc1918",
        nets: &[v4([10, 0, 0, 0], 8), v4([172, 16, 0, 0], 12), v4([192, 168, 0, 0], 16)],
        opening: Opening::Rule,
        sentence: "Private addresses (RFC 1918) are closed; an allow rule inside the range opens it.",
    },
    SpecialUse {
        rule: "special.cgnat",
        nets: &[v4([100, 64, 0, 0], 10)],
        opening: Opening::Rule,
        sentence: "Addresses shared behind carriers' NATs (RFC 6598) are closed; an allow rule inside the range opens \
                   it.",
    },
    SpecialUse {
        rule: "special.ula",
        nets: &[v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7)],
        opening: Opening::Rule,
        sentence: "Unique local addresses (RFC 4193) are closed; an allow rule inside the range opens it.",
    },
    // What a test bed may need.
    SpecialUse {
        rule: "special.loopback",
        nets: &[v4([127, 0, 0, 0], 8), v6([0, 0, 0, 0, 0, 0, 0, 1], 128)],
        opening: Opening::Lab,
        sentence: "Loopback addresses (RFC 1122 §3.2.1.3, RFC 4291 §2.5.3) are this host's own.",
    },
    SpecialUse {
        rule: "special.documentation",
        nets: &[
            v4([192, 0, 2, 0], 24),
            v4([198, 51, 100, 0], 24),
            v4([203, 0, 113, 0], 24),
            v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32),
            v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20),
        ],
        opening: Opening::Lab,
        sentence: "Addresses for documentation (RFC 5737, RFC 3849, RFC 9637) belong to no host.",
    },
    SpecialUse {
        rule: "special.benchmarking",
        nets: &[v4([198, 18, 0, 0], 15), v6([0x2001, 2, 0, 0, 0, 0, 0, 0], 48)],
        opening: Opening::Lab,
        sentence: "Addresses for benchmarks (RFC 2544, RFC 5180) belong to no host outside a laboratory.",
    },
    // What nothing opens.
    SpecialUse {
        rule: "special.metadata",
        nets: &[
            // Azure; Alibaba; Oracle; what most clouds use; Amazon's container credentials.
            v4([168, 63, 129, 16], 32),
            v4([100, 100, 100, 200], 32),
            v4([192, 0, 0, 192], 32),
            v4([169, 254, 169, 254], 32),
            v4([169, 254, 170, 2], 32),
            // Amazon; Google; Oracle; Scaleway.
            v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0], 32),
            v6([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128),
            v6([0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe], 128),
            v6([0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42], 128),
        ],
        opening: Opening::Never,
        sentence: "A cloud's metadata service hands out the keys of the machine.",
    },
    SpecialUse {
        rule: "special.this_network",
        nets: &[v4([0, 0, 0, 0], 8)],
        opening: Opening::Never,
        sentence: "0.0.0.0/8 means this host on this network (RFC 1122 §3.2.1.3); a socket takes it for the host \
                   itself.",
    },
    SpecialUse {
        rule: "special.unspecified",
        nets: &[v6([0; 8], 128)],
        opening: Opening::Never,
        sentence: "The unspecified address (RFC 4291 §2.5.2) is no destination; a socket takes it for the host itself.",
    },
    SpecialUse {
        rule: "special.link_local",
        nets: &[v4([169, 254, 0, 0], 16), v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10)],
        opening: Opening::Never,
        sentence: "Link-local addresses (RFC 3927, RFC 4291 §2.5.6) mean the relay's own neighbours, not the client's.",
    },
    SpecialUse {
        rule: "special.site_local",
        nets: &[v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10)],
        opening: Opening::Never,
        sentence: "Site-local addresses are deprecated (RFC 3879).",
    },
    SpecialUse {
        rule: "special.multicast",
        nets: &[v4([224, 0, 0, 0], 4), v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8)],
        opening: Opening::Never,
        sentence: "A multicast group (RFC 5771, RFC 4291 §2.7) is no peer.",
    },
    SpecialUse {
        rule: "special.broadcast",
        nets: &[v4([255, 255, 255, 255], 32)],
        opening: Opening::Never,
        sentence: "The broadcast address (RFC 919 §7) is no peer.",
    },
    SpecialUse {
        rule: "special.reserved",
        nets: &[v4([240, 0, 0, 0], 4)],
        opening: Opening::Never,
        sentence: "240.0.0.0/4 is reserved (RFC 1112 §4).",
    },
    SpecialUse {
        rule: "special.ietf_protocol",
        nets: &[v4([192, 0, 0, 0], 24), v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23)],
        opening: Opening::Never,
        sentence: "IETF protocol assignments (RFC 6890 §2.2, RFC 2928) belong to no ordinary host.",
    },
    SpecialUse {
        rule: "special.as112",
        nets: &[
            v4([192, 31, 196, 0], 24),
            v4([192, 175, 48, 0], 24),
            v6([0x2001, 4, 0x112, 0, 0, 0, 0, 0], 48),
            v6([0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0], 48),
        ],
        opening: Opening::Never,
        sentence: "AS112 (RFC 7534, RFC 7535) answers name lookups for private addresses and nothing else.",
    },
    SpecialUse {
        rule: "special.amt",
        nets: &[v4([192, 52, 193, 0], 24), v6([0x2001, 3, 0, 0, 0, 0, 0, 0], 32)],
        opening: Opening::Never,
        sentence: "Multicast tunnel relays (RFC 7450) are no peers.",
    },
    SpecialUse {
        rule: "special.6to4_relay",
        nets: &[v4([192, 88, 99, 0], 24)],
        opening: Opening::Never,
        sentence: "The anycast prefix of 6to4 relays is deprecated (RFC 7526).",
    },
    SpecialUse {
        rule: "special.nat64_local",
        nets: &[v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48)],
        opening: Opening::Never,
        sentence: "The local-use NAT64 prefix (RFC 8215) leads back into IPv4.",
    },
    SpecialUse {
        rule: "special.discard",
        nets: &[v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64)],
        opening: Opening::Never,
        sentence: "The discard-only prefix (RFC 6666) reaches nobody.",
    },
    SpecialUse {
        rule: "special.dummy",
        nets: &[v6([0x100, 0, 0, 1, 0, 0, 0, 0], 64)],
        opening: Opening::Never,
        sentence: "The dummy prefix (RFC 9780) reaches nobody.",
    },
    SpecialUse {
        rule: "special.srv6",
        nets: &[v6([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16)],
        opening: Opening::Never,
        sentence: "Segment routing identifiers (RFC 9602) name instructions, not hosts.",
    },
    SpecialUse {
        rule: "special.not_global_unicast",
        nets: &[v6([0; 8], 3), v6([0x4000, 0, 0, 0, 0, 0, 0, 0], 2), v6([0x8000, 0, 0, 0, 0, 0, 0, 0], 1)],
        opening: Opening::Never,
        sentence: "Only 2000::/3 is global unicast (RFC 4291 §2.4); nothing else is routed.",
    },
    // Embedded IPv4: refused before this table is asked; here so that no allow rule can name these ranges.
    embedded(Form::Compatible, &[v6([0; 8], 96)]),
    embedded(Form::Mapped, &[v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96)]),
    embedded(Form::Translated, &[v6([0, 0, 0, 0, 0xffff, 0, 0, 0], 96)]),
    embedded(Form::Nat64, &[v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96)]),
    embedded(Form::SixToFour, &[v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16)]),
    embedded(Form::Teredo, &[v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32)]),
];

const fn embedded(form: Form, nets: &'static [IpNet]) -> SpecialUse {
    SpecialUse { rule: form.rule(), nets, opening: Opening::Never, sentence: form.sentence() }
}

const fn v4([a, b, c, d]: [u8; 4], len: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), len))
}

const fn v6([a, b, c, d, e, f, g, h]: [u16; 8], len: u8) -> IpNet {
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), len))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_unique_and_ranges_have_no_host_bits() {
        let mut rules = HashSet::new();
        let mut nets = HashSet::new();
        for special in SPECIAL_USE {
            assert!(rules.insert(special.rule), "{} twice", special.rule);
            assert!(special.sentence.ends_with('.'), "{}", special.rule);
            for net in special.nets {
                assert_eq!(net.trunc(), *net, "{}", special.rule);
                assert!(nets.insert(net), "{net} twice");
            }
        }
    }
}
