//! The relay floor against a small reference model: random steps are done to both, and after each of them answers,
//! datagrams, drops, sockets, audit events and tables must be the same.
//!
//! A failing run is shrunk to a few steps and printed; its seed is kept in `regressions.txt`, and what it found gets a
//! test of its own in `regressions.rs`. More cases: `PROPTEST_CASES=20000 cargo test --test relay_model`.

#[path = "../sans_io/mod.rs"]
mod sans_io;

mod cast;
mod metamorphic;
mod model;
mod observe;
mod outcome;
mod regressions;
mod rig;
mod said;
mod steps;

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{FileFailurePersistence, TestRunner};
use turnkeep::relay::{DropReason, Families};
use turnkeep::wire::channel_data::ChannelNumbers;

use self::model::Facts;
use self::rig::Rig;
use self::steps::{Ask, Crowd, Pause, Setting, Step, setting, steps};

/// So many cases, unless the environment says otherwise.
fn config(cases: u32) -> ProptestConfig {
    let given = std::env::var_os("PROPTEST_CASES").is_some();
    ProptestConfig {
        cases: if given { ProptestConfig::default().cases } else { cases },
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/relay_model/regressions.txt"))),
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn the_server_does_what_the_model_says(setting in setting(), steps in steps(80), stop in any::<bool>()) {
        let mut rig = Rig::new(&setting);
        for step in &steps {
            rig.perform(step);
        }
        rig.finish(stop);
    }
}

/// Too far for random steps: as many channels and permissions as an allocation may have, while some of them expire.
#[test]
fn at_the_caps() {
    let facts = Facts {
        offer_sha256: true,
        offer_userhash: false,
        modern_only: false,
        families: Families { v4: true, v6: true },
        max_lifetime: 3600,
        strict_permissions: false,
        channel_numbers: ChannelNumbers::Rfc8656,
    };
    let mut rig = Rig::new(&Setting { facts, quota: 100, is_drained: false });
    let wait = |secs| Step::Wait(Pause::For(Duration::from_secs(secs)));
    let bind = |first, count| Step::asking(Ask::BindMany { first, count });
    let permit = |first, count| Step::asking(Ask::Permit { peers: Vec::new(), crowd: Crowd { first, count } });
    let steps = [
        Step::asking(Ask::allocate_for(3600)),
        bind(0, 140),
        wait(200),
        // 256 channels, and as many permissions; what exists is refreshed.
        bind(140, 140),
        bind(0, 20),
        permit(300, 1),
        // 120 permissions have expired; there is room for so many, and no more.
        wait(101),
        permit(0, 30),
        permit(300, 32),
        permit(332, 32),
        permit(364, 32),
        permit(396, 32),
        // The first channels have expired, and rest.
        wait(400),
        bind(280, 20),
        // They have rested.
        wait(300),
        bind(280, 130),
        bind(0, 20),
    ];
    steps.iter().for_each(|step| rig.perform(step));
    for refused in ["ChannelBind 508", "CreatePermission 508"] {
        assert!(rig.tally.contains_key(refused), "{refused}");
    }
    rig.finish(false);
}

/// Else the property would say little: every answer that there is, every reason to drop, every way of relaying.
#[test]
fn the_steps_reach_everything() {
    let mut runner = TestRunner::deterministic();
    let mut tally = BTreeMap::new();
    for _ in 0..200 {
        let (setting, steps) = (setting(), steps(80)).new_tree(&mut runner).unwrap().current();
        let mut rig = Rig::new(&setting);
        steps.iter().for_each(|step| rig.perform(step));
        rig.tally.into_iter().for_each(|(what, times)| *tally.entry(what).or_insert(0) += times);
    }
    let missed: Vec<_> = everything().into_iter().filter(|what| !tally.contains_key(what)).collect();
    assert!(missed.is_empty(), "never seen: {missed:?} among {tally:#?}");
}

/// In the words of [`Rig::tally`].
fn everything() -> Vec<String> {
    let answers: [(&str, &[u16]); 5] = [
        ("Binding", &[0, 420]),
        ("Allocate", &[0, 300, 400, 401, 403, 420, 437, 438, 440, 442, 486, 508]),
        ("Refresh", &[0, 400, 401, 420, 437, 438, 441, 443]),
        ("CreatePermission", &[0, 400, 401, 403, 420, 437, 438, 441, 443, 508]),
        ("ChannelBind", &[0, 400, 401, 403, 420, 437, 438, 441, 443]),
    ];
    let answers = answers.iter().flat_map(|(method, codes)| codes.iter().map(move |code| format!("{method} {code}")));
    let drops = DropReason::ALL.iter().map(ToString::to_string);
    let relayed =
        ["to peer", "to client by channel", "to client by indication", "to client of ICMP"].map(str::to_owned);
    answers.chain(drops).chain(relayed).collect()
}
