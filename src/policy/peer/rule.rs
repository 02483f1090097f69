//! The rules on peers that an administrator writes.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use super::canonical::Embeddings;
use super::special_use::{Opening, SPECIAL_USE, SpecialUse};

/// One configured rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerRule {
    /// Its id, which refusals name: unique, and none of the built-in ones.
    pub id: String,
    /// Which peers it is about.
    pub range: IpNet,
}

/// The most rules that a policy takes.
pub const MAX_RULES: usize = 10_000;

/// What a rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Allow,
    Deny,
}

/// A range as it is written in a rule: an address with a prefix length, or a single address. Bits behind the prefix
/// must be zero: `10.0.0.5/8` is a mistake, and guessing which is worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range(pub IpNet);

/// Why a text is no range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadRange {
    /// Neither an address nor a prefix.
    Syntax(String),
    /// Bits are set behind the prefix; the range that was probably meant.
    HostBits {
        /// What was written.
        written: IpNet,
        /// The same with the bits cleared.
        meant: IpNet,
    },
}

impl FromStr for Range {
    type Err = BadRange;

    fn from_str(text: &str) -> Result<Self, BadRange> {
        let Some(written) = parse(text) else { return Err(BadRange::Syntax(text.to_owned())) };
        let meant = written.trunc();
        if meant != written {
            return Err(BadRange::HostBits { written, meant });
        }
        Ok(Self(written))
    }
}

/// Stricter than `IpNet`'s own parser, which takes `010.0.0.0/8` for `10.0.0.0/8`.
fn parse(text: &str) -> Option<IpNet> {
    let Some((ip, len)) = text.split_once('/') else { return text.parse::<IpAddr>().ok().map(IpNet::from) };
    if !len.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    IpNet::new(ip.parse().ok()?, len.parse().ok()?).ok()
}

impl fmt::Display for BadRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(text) => {
                write!(f, "{text:?} is no address range; write one like 192.0.2.0/24 or 2001:db8::/32.")
            }
            Self::HostBits { written, meant } => {
                write!(f, "{written} has bits set behind its prefix; write {meant}, or {} alone.", written.addr())
            }
        }
    }
}

impl std::error::Error for BadRange {}

/// Why a set of peer rules cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadRules {
    /// Two rules have this id, or it is a built-in one's.
    IdTaken(String),
    /// An allow rule opens what nothing may open.
    NeverOpened {
        /// The rule.
        rule: PeerRule,
        /// Which range it lies in: the id of the built-in rule, and why.
        special: (&'static str, &'static str),
    },
    /// An allow rule opens what only a laboratory may open.
    NeedsLab {
        /// The rule.
        rule: PeerRule,
        /// The id of the built-in rule.
        special: &'static str,
    },
    /// More than [`MAX_RULES`].
    TooMany(usize),
}

impl fmt::Display for BadRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IdTaken(id) => write!(f, "Two peer rules have the id {id:?}; give each its own."),
            Self::NeverOpened { rule, special: (id, sentence) } => {
                write!(f, "Rule {:?} cannot allow {}, which {id} always refuses: {sentence}", rule.id, rule.range)
            }
            Self::NeedsLab { rule, special } => {
                write!(
                    f,
                    "Rule {:?} allows {}, which {special} refuses unless `lab = true` is set.",
                    rule.id, rule.range
                )
            }
            Self::TooMany(rules) => write!(f, "{rules} peer rules are more than the {MAX_RULES} that a policy takes."),
        }
    }
}

impl std::error::Error for BadRules {}

/// Whether an allow rule can have the effect it asks for: one that could not is refused, so that no line of a
/// configuration is without meaning.
pub(super) fn check_allow(rule: &PeerRule, lab: bool, embeddings: &Embeddings) -> Result<(), BadRules> {
    let never = |special| Err(BadRules::NeverOpened { rule: rule.clone(), special });
    let IpNet::V6(range) = rule.range else { return check_special(rule, lab) };
    if embeddings.nat64.iter().any(|prefix| prefix.net().contains(&range)) {
        let form = super::canonical::Form::Nat64Operator;
        return never((form.rule(), form.sentence()));
    }
    check_special(rule, lab)
}

fn check_special(rule: &PeerRule, lab: bool) -> Result<(), BadRules> {
    let Some(special) = innermost_around(&rule.range) else { return Ok(()) };
    match special.opening {
        Opening::Rule => Ok(()),
        Opening::Lab if lab => Ok(()),
        Opening::Lab => Err(BadRules::NeedsLab { rule: rule.clone(), special: special.rule }),
        Opening::Never => Err(BadRules::NeverOpened { rule: rule.clone(), special: (special.rule, special.sentence) }),
    }
}

/// The smallest special-use range that holds all of `range`.
fn innermost_around(range: &IpNet) -> Option<&'static SpecialUse> {
    let pairs = SPECIAL_USE.iter().flat_map(|special| special.nets.iter().map(move |net| (net, special)));
    let around = pairs.filter(|(net, _)| net.contains(range));
    around.max_by_key(|(net, _)| net.prefix_len()).map(|(_, special)| special)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_021_ranges_are_taken_literally_or_not_at_all() {
        for good in ["10.0.0.0/8", "10.1.2.3", "10.1.2.3/32", "0.0.0.0/0", "::/0", "2001:db8::/32", "2001:db8::1"] {
            assert!(good.parse::<Range>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "10.0.0.0/33",
            "10.0.0",
            "::/0/0",
            "10.0.0.0/",
            "/8",
            "10.0.0.0/-1",
            "10.0.0.0/8 ",
            " 10.0.0.0/8",
            "10.0.0.0/+8",
            "010.0.0.0/8",
            "10.0.0.0-10.0.0.9",
            "10.0.0.1:65536",
            "::/129",
            "fe80::1%eth0",
            "example.org",
        ] {
            assert_eq!(bad.parse::<Range>(), Err(BadRange::Syntax(bad.to_owned())), "{bad}");
        }
        for (bad, meant) in
            [("10.0.0.5/8", "10.0.0.0/8"), ("2001:db8::1/64", "2001:db8::/64"), ("10.0.0.1/0", "0.0.0.0/0")]
        {
            let sentence = bad.parse::<Range>().map_err(|error| error.to_string());
            assert!(sentence.is_err_and(|sentence| sentence.contains(meant)), "{bad}");
        }
    }
}
