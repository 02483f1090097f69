//! Whom clients may reach.

use super::{Judge, repeats};
use crate::config::schema::PeerRule;
use crate::config::translate::{opens, peer_rule, peer_settings};
use crate::policy::peer::{MAX_RULES, PeerPolicy, PeerSettings};

pub(super) fn check(judge: &mut Judge<'_>) {
    let peers = &judge.config.peers;
    let rules: Vec<(String, &PeerRule)> =
        numbered("peers.allow", &peers.allowed).chain(numbered("peers.deny", &peers.denied)).collect();
    if rules.len() > MAX_RULES {
        return judge.error("peers", format!("{} rules are more than the {MAX_RULES} that can be had", rules.len()));
    }
    check_ids(judge, &rules);
    for (path, rule) in numbered("peers.allow", &peers.allowed) {
        check_allow(judge, &path, rule);
    }
    check_pairs(judge);
}

fn numbered<'r>(table: &'static str, rules: &'r [PeerRule]) -> impl Iterator<Item = (String, &'r PeerRule)> {
    rules.iter().enumerate().map(move |(index, rule)| (format!("{table}.{index}"), rule))
}

/// The ids of built-in rules have a dot in them, so nobody takes one of those.
fn check_ids(judge: &mut Judge<'_>, rules: &[(String, &PeerRule)]) {
    let ids: Vec<&str> = rules.iter().map(|(_, rule)| rule.id.as_str()).collect();
    for (index, earlier) in repeats(&ids) {
        let place = judge.place(&format!("{}.id", rules[earlier].0));
        judge.error(&format!("{}.id", rules[index].0), format!("{:?} is taken, at {place}", ids[index]));
    }
}

/// Each rule alone, so that all faults show.
fn check_allow(judge: &mut Judge<'_>, path: &str, rule: &PeerRule) {
    let alone = PeerSettings { allow: vec![peer_rule(rule)], deny: Vec::new(), ..peer_settings(judge.config, &[]) };
    let path = format!("{path}.cidr");
    match PeerPolicy::new(&alone) {
        Err(bad) => judge.error(&path, bad.to_string().trim_end_matches('.').to_owned()),
        Ok(_) if !opens(&judge.config.peers, rule) => judge.warn(
            &path,
            format!(
                "{} opens nothing: public addresses can be reached without it, and what is special-use, such as \
                 10.0.0.0/8 or fc00::/7, is opened by rules inside of it only; name the network that is meant",
                rule.cidr
            ),
        ),
        Ok(_) => {}
    }
}

/// A network that is both allowed and denied is denied: one of the rules has no effect.
fn check_pairs(judge: &mut Judge<'_>) {
    let peers = &judge.config.peers;
    for (index, allow) in peers.allowed.iter().enumerate() {
        let Some(deny) = peers.denied.iter().position(|deny| deny.cidr == allow.cidr) else { continue };
        let place = judge.place(&format!("peers.deny.{deny}"));
        let sentence = format!("{} is denied as well, at {place}, and deny wins", allow.cidr);
        judge.warn(&format!("peers.allow.{index}.cidr"), sentence);
    }
}
