//! What makes the figures of two tests incomparable.

use crate::load::report::setting::plan_facts;
use crate::load::result::{Ended, LoadResult};
use crate::load::units;

/// Facts of a plan that may differ without harm.
const HARMLESS: [&str; 2] = ["target", "seed"];

/// What the two tests did differently, so that no figure of one says anything of the other's.
pub(super) fn obstacles(a: &LoadResult, b: &LoadResult) -> Vec<&'static str> {
    // A search looks for the rate itself.
    let is_search = a.capacity.is_some() && b.capacity.is_some();
    let all = [
        ("profile", a.plan.profile != b.plan.profile),
        ("payload", a.plan.payload_bytes != b.plan.payload_bytes),
        ("rate", a.plan.rate_per_s != b.plan.rate_per_s && !is_search),
    ];
    all.into_iter().filter(|(_, differs)| *differs).map(|(what, _)| what).collect()
}

/// A sentence each.
pub(super) fn doubts(a: &LoadResult, b: &LoadResult) -> Vec<String> {
    let mut doubts = Vec::new();
    for (name, result) in [("A", a), ("B", b)] {
        match result.ended {
            Ended::Completed => {}
            Ended::Interrupted => doubts.push(format!("{name} was stopped early.")),
            Ended::SetupFailed => doubts.push(format!("In {name} no allocation came into being.")),
        }
        if result.generator.was_limit {
            doubts.push(format!("In {name} the load tester was the limit: its figures are not the server's."));
        }
        if result.tool.build != "release" {
            doubts.push(format!("{name} was measured with a {} build of the load tester.", result.tool.build));
        }
    }
    let mut differ = |what: &str, a: &str, b: &str| {
        if a != b {
            let shown = |text: &str| if text.is_empty() { "nothing".to_owned() } else { text.to_owned() };
            doubts.push(format!("Different {what}: {} in A, {} in B.", shown(a), shown(b)));
        }
    };
    for ((name, in_a), (_, in_b)) in plan_facts(&a.plan).into_iter().zip(plan_facts(&b.plan)) {
        if !HARMLESS.contains(&name) {
            differ(name, &in_a, &in_b);
        }
    }
    let took_part = |result: &LoadResult| result.setup.took_part.map_or(String::new(), |count| count.to_string());
    differ("number of allocations that took part", &took_part(a), &took_part(b));
    let (host_a, host_b) = (&a.host, &b.host);
    let virtual_or_not = |is_virtual: bool| if is_virtual { "virtual" } else { "physical" };
    differ("processor", &host_a.cpu_model, &host_b.cpu_model);
    differ("number of cores", &host_a.cores.to_string(), &host_b.cores.to_string());
    differ("memory", &units::bytes(host_a.memory_bytes as f64), &units::bytes(host_b.memory_bytes as f64));
    differ("kind of machine", virtual_or_not(host_a.is_virtual), virtual_or_not(host_b.is_virtual));
    differ("kernel", &host_a.kernel, &host_b.kernel);
    differ("CPU governor", &host_a.cpu_governor, &host_b.cpu_governor);
    let names: std::collections::BTreeSet<_> = host_a.sysctls.keys().chain(host_b.sysctls.keys()).collect();
    for name in names {
        let value =
            |sysctls: &std::collections::BTreeMap<String, String>| sysctls.get(name).cloned().unwrap_or_default();
        differ(name, &value(&host_a.sysctls), &value(&host_b.sysctls));
    }
    differ("version of the load tester", &a.tool.version, &b.tool.version);
    let (sockets_a, sockets_b) = (&a.transport, &b.transport);
    differ("transport", &sockets_a.protocol, &sockets_b.protocol);
    differ("client sockets", &sockets_a.clients, &sockets_b.clients);
    differ("peer sockets", &sockets_a.peers, &sockets_b.peers);
    let core = |cpu: Option<u32>| cpu.map_or("not pinned".to_owned(), |cpu| format!("core {cpu}"));
    differ("place of the load tester", &core(a.generator.cpu), &core(b.generator.cpu));
    let polling = |result: &LoadResult| result.generator.polling.clone().unwrap_or_default();
    differ("way of the load tester to wait", &polling(a), &polling(b));
    if let (Some(a), Some(b)) = (&a.server, &b.server) {
        differ("source of CPU times", &a.cpu_source, &b.cpu_source);
        differ("source of memory", &a.memory.source, &b.memory.source);
    }
    if let (Some(a), Some(b)) = (&a.capacity, &b.capacity) {
        let limits = |loss, p99| format!("{} lost and a p99 of {}", units::percent(loss), units::micros(p99));
        differ("limits of the search", &limits(a.max_loss, a.max_p99_us), &limits(b.max_loss, b.max_p99_us));
        doubts.push("Packets, latency and CPU are those at each one's own highest rate.".to_owned());
    }
    doubts
}
