//! Two runs that differ in something that must not matter.

use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;
use turnkeep::relay::DropReason;

use crate::outcome::{Note, Outcome};
use crate::rig::{Rig, Trace};
use crate::steps::{Aim, Setting, Step, Twist, setting, steps};
use crate::{cast, config};

proptest! {
    #![proptest_config(config(64))]

    /// RFC 8489 §6.3.1: a request that comes twice leaves the state that it leaves when it comes once.
    #[test]
    fn a_duplicated_request_changes_nothing(setting in setting(), steps in steps(40)) {
        // Which counts datagrams, and there are more of them.
        let steps: Vec<_> = steps.into_iter().filter(|step| !matches!(step, Step::Again { .. })).collect();
        let once = run(&setting, &steps);
        let mut twice = Rig::new(&setting);
        for step in &steps {
            twice.perform(step);
            if let Step::Ask(_) = step {
                twice.perform(&Step::Again { back: 0 });
            }
        }
        prop_assert_eq!(lives(&once), lives(&twice));
        prop_assert_eq!(probe(once), probe(twice));
    }

    /// RFC 8489 §9: what stands behind the integrity attribute is not there, to the last byte of the answer.
    #[test]
    fn attributes_behind_integrity_change_nothing(setting in setting(), steps in steps(40)) {
        let with = |noise: bool| {
            let mut steps = steps.clone();
            for step in &mut steps {
                if let Step::Ask(question) = step {
                    question.noise_behind = noise;
                    // A message has room for 64 attributes: beside a crowd and the noise, for a few more.
                    question.twist = match &question.twist {
                        Twist::Unknown(8..) => Twist::None,
                        other => other.clone(),
                    };
                }
            }
            run(&setting, &steps).trace.into_iter().map(|trace| trace.outputs).collect::<Vec<_>>()
        };
        prop_assert_eq!(with(false), with(true));
    }

    /// What one client does is nothing to another: in whichever order they are served, each hears the same.
    #[test]
    fn clients_do_not_meet(setting in setting(), rounds in prop::collection::vec(three_runs(), 1..8)) {
        // Three 5-tuples, three users, and room for all.
        let setting = Setting { quota: 100, ..setting };
        let rounds: Vec<_> = rounds.into_iter().map(|(a, b, c)| [seated(a, 1), seated(b, 3), seated(c, 4)]).collect();
        let mut forwards = Rig::new(&setting);
        let mut backwards = Rig::new(&setting);
        for round in &rounds {
            round.iter().flatten().for_each(|step| forwards.perform(step));
            round.iter().rev().flatten().for_each(|step| backwards.perform(step));
            let pause = Step::Wait(crate::steps::Pause::For(Duration::from_secs(61)));
            forwards.perform(&pause);
            backwards.perform(&pause);
        }
        for seat in [1, 3, 4] {
            let path = cast::seats()[seat].path;
            let heard = |rig: &Rig| {
                let own = rig.trace.iter().filter(|trace| trace.path == path);
                own.map(|trace| anonymous(&trace.outcome)).collect::<Vec<_>>()
            };
            prop_assert_eq!(heard(&forwards), heard(&backwards), "client {}", seat);
        }
    }

    /// The monotonic clock has no epoch: whole seconds later, every byte is the same.
    #[test]
    fn the_monotonic_clock_starts_anywhere(setting in setting(), steps in steps(40), ahead in 0u64..1 << 32) {
        let outputs = |rig: Rig| rig.trace.into_iter().map(|trace| trace.outputs).collect::<Vec<_>>();
        let mut later = Rig::later(&setting, Duration::from_secs(ahead), Duration::ZERO);
        steps.iter().for_each(|step| later.perform(step));
        prop_assert_eq!(outputs(run(&setting, &steps)), outputs(later));
    }

    /// The wall clock is for nonces, credentials and the audit trail: what is relayed, granted and expires is the same.
    /// By whole seconds, since a nonce knows no fractions.
    #[test]
    fn the_wall_clock_decides_nothing_else(setting in setting(), steps in steps(40), ahead in 0u64..1 << 22) {
        // The one whose credential expires stays at home.
        let steps: Vec<_> = steps.into_iter().filter(|step| !is_of(step, BRIEF)).collect();
        let outcomes = |rig: Rig| rig.trace.into_iter().map(|trace| format!("{:?}", trace.outcome)).collect::<Vec<_>>();
        let mut later = Rig::later(&setting, Duration::ZERO, Duration::from_secs(ahead));
        steps.iter().for_each(|step| later.perform(step));
        prop_assert_eq!(outcomes(run(&setting, &steps)), outcomes(later));
    }
}

/// The seat of the user whose credential expires.
const BRIEF: usize = 7;

fn run(setting: &Setting, steps: &[Step]) -> Rig {
    let mut rig = Rig::new(setting);
    steps.iter().for_each(|step| rig.perform(step));
    rig
}

fn three_runs() -> impl Strategy<Value = (Vec<Step>, Vec<Step>, Vec<Step>)> {
    (steps(6), steps(6), steps(6))
}

/// Which allocations were made and ended.
fn lives(rig: &Rig) -> Vec<Note> {
    let notes = rig.trace.iter().flat_map(|trace: &Trace| &trace.outcome.notes);
    notes.filter(|note| matches!(note, Note::Opened { .. } | Note::Closed { .. })).cloned().collect()
}

/// The state, as far as it can be seen from outside: the allocations, and through which of them which peer is heard, by
/// which channel.
fn probe(mut rig: Rig) -> (usize, Vec<String>) {
    let mut seen = Vec::new();
    let mut relayed: Vec<SocketAddr> = rig.world.relays.values().copied().collect();
    relayed.sort();
    for relayed in relayed {
        for number in 0..cast::PEERS.len() {
            let outputs = rig.world.peer_says(relayed, cast::peer(number), b"probe");
            // The transaction ids of indications count what went before.
            seen.push(format!("{relayed} {number}: {:?}", crate::observe::peer_outputs(&outputs).outcome.to_client));
        }
    }
    (rig.world.server.allocations(), seen)
}

/// The steps that only one client takes, all of them this one.
fn seated(steps: Vec<Step>, own: usize) -> Vec<Step> {
    let pool = |aim: &mut Aim| {
        let (Aim::Pool(number) | Aim::Known(number)) = *aim;
        *aim = Aim::Pool(number);
    };
    let mut kept = Vec::new();
    for mut step in steps {
        match &mut step {
            Step::Ask(question) => question.seat = own,
            Step::Send { seat, peer: aim, .. }
            | Step::Peer { seat, peer: aim, .. }
            | Step::Icmp { seat, peer: aim, .. } => {
                *seat = own;
                pool(aim);
            }
            Step::ChannelData { seat, channel: aim, .. } => {
                *seat = own;
                pool(aim);
            }
            Step::Stray { seat, .. } | Step::Noise { seat, .. } => *seat = own,
            _ => continue,
        }
        kept.push(step);
    }
    kept
}

fn is_of(step: &Step, own: usize) -> bool {
    let seats = cast::seats().len();
    match step {
        Step::Ask(question) => question.seat % seats == own,
        Step::Send { seat, .. }
        | Step::ChannelData { seat, .. }
        | Step::Stray { seat, .. }
        | Step::Noise { seat, .. } => seat % seats == own,
        _ => false,
    }
}

/// An outcome without what depends on who came first: relayed ports, and the ids that this rig counts up.
fn anonymous(outcome: &Outcome) -> String {
    let portless = |address: SocketAddr| SocketAddr::new(address.ip(), 0);
    let mut outcome = outcome.clone();
    if let Some(answer) = &mut outcome.answer {
        answer.id = [0; 12];
        answer.relayed = answer.relayed.map(portless);
    }
    if let Some(to_peer) = &mut outcome.to_peer {
        to_peer.from = portless(to_peer.from);
    }
    for note in &mut outcome.notes {
        match note {
            Note::Opened { relayed, .. } | Note::Refreshed { relayed, .. } | Note::Closed { relayed, .. } => {
                *relayed = portless(*relayed);
            }
            Note::Denied { about, .. } => *about = about.map(portless),
        }
    }
    // A lone drop has one reason, as each of these runs has.
    debug_assert!(outcome.dropped.as_ref().is_none_or(|reasons: &Vec<DropReason>| reasons.len() == 1));
    format!("{outcome:?}")
}
