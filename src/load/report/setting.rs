//! Who took part and under what conditions: what a figure means depends on it.

use super::page::{Cell, Page, Tone};
use crate::load::result::{LoadResult, PlanFacts, TransportFacts};
use crate::load::units;

pub(super) fn server(result: &LoadResult, page: &mut Page) {
    page.element("h2", "Server");
    let Some(server) = &result.server else {
        return page.element("p class=\"soft\"", "Not watched: --server-pid was not given.");
    };
    let named = |(pid, name): (&u32, &String)| format!("{name} ({pid})");
    let processes: Vec<_> = server.pids.iter().zip(&server.names).map(named).collect();
    page.facts(&[
        ("processes", processes.join(", ")),
        ("CPU, of one core", units::percent(server.cpu_share)),
        ("CPU time", format!("{} ({})", units::seconds(server.cpu_s), server.cpu_source)),
        ("CPU per packet", server.cpu_ns_per_packet.map_or(String::new(), |cpu| units::micros(cpu / 1e3))),
        ("waits (voluntary switches)", units::count(server.voluntary_switches)),
        ("preempted (involuntary)", units::count(server.involuntary_switches)),
    ]);
    let memory = &server.memory;
    let cells = [memory.before_bytes, memory.allocated_bytes, memory.loaded_bytes, memory.freed_bytes];
    let mut row = vec![Cell::new(format!("memory ({})", memory.source))];
    row.extend(cells.map(|bytes| Cell::new(units::bytes(bytes as f64))));
    row.push(Cell::new(memory.measurable_per_allocation().map_or("–".to_owned(), units::bytes)));
    let kernel = memory.kernel.as_ref().map(|kernel| {
        let bytes = |bytes: u64| Cell::new(units::bytes(bytes as f64));
        let each = kernel.slab_per_allocation_bytes.filter(|each| *each > 0.0).map_or("–".to_owned(), units::bytes);
        vec![
            Cell::new("kernel (slab, whole host)"),
            bytes(kernel.slab_before_bytes),
            bytes(kernel.slab_allocated_bytes),
            Cell::new("–"),
            bytes(kernel.slab_freed_bytes),
            Cell::new(each),
        ]
    });
    let rows: Vec<_> = [Some(row), kernel].into_iter().flatten().collect();
    page.table(&["", "before", "allocated", "after traffic", "freed", "per allocation"], &rows);
}

/// Whether to believe it.
pub(super) fn generator(result: &LoadResult, page: &mut Page) {
    let generator = &result.generator;
    page.element("h2", "Load tester");
    match generator.was_limit {
        true => {
            page.verdict(Tone::Doubt, "It was the limit", "What was measured is the load tester more than the server.")
        }
        false => page.element("p", "It kept its schedule: it was not the limit."),
    }
    if !generator.remarks.is_empty() {
        page.list(&generator.remarks);
    }
    let late = &generator.lateness;
    let lateness = match late.count {
        0 => String::new(),
        _ => format!(
            "p50 {}, p99 {}, max {}",
            units::micros(late.p50_us),
            units::micros(late.p99_us),
            units::micros(late.max_us)
        ),
    };
    let kernel = &result.kernel;
    page.facts(&[
        ("lateness of packets", lateness),
        ("had something to do", units::percent(generator.busy_share)),
        ("CPU, of one core", units::percent(generator.cpu_share)),
        ("core", generator.cpu.map_or_else(|| "not pinned".to_owned(), |cpu| cpu.to_string())),
        ("while it sent", generator.polling.clone().unwrap_or_default()),
        ("dropped by its own queues", units::count(generator.receive_drops)),
        ("strays", units::count(generator.strays)),
        ("host: receive buffer full", units::count(kernel.udp_receive_buffer_errors)),
        ("host: send buffer full", units::count(kernel.udp_send_buffer_errors)),
        ("host: backlog full", units::count(kernel.backlog_drops)),
    ]);
}

pub(super) fn plan(result: &LoadResult, page: &mut Page) {
    page.element("h2", "Plan");
    page.facts(&plan_facts(&result.plan));
    page.facts(&transport_facts(&result.transport));
    page.element("h2", "Command");
    page.element("pre", &command_line(&result.command));
}

/// The plan by name.
pub(in crate::load) fn plan_facts(plan: &PlanFacts) -> Vec<(&'static str, String)> {
    let rate = if plan.rate_per_s > 0.0 { units::number(plan.rate_per_s) } else { "as many as go".to_owned() };
    let has_packets = plan.payload_bytes > 0;
    vec![
        ("target", plan.target.clone()),
        ("profile", plan.profile.clone()),
        ("path", plan.path.clone()),
        ("framing", plan.framing.clone()),
        ("allocations", units::count(plan.allocations.into())),
        ("rate/s, all flows", rate),
        ("payload, largest", if has_packets { format!("{} bytes", plan.payload_bytes) } else { String::new() }),
        ("packets at once", if has_packets { plan.burst.to_string() } else { String::new() }),
        ("merged sends", if plan.merged { "yes" } else { "no" }.to_owned()),
        ("measured", units::seconds(plan.duration_s)),
        ("warm-up", units::seconds(plan.warmup_s)),
        ("ramp", if plan.ramp_s > 0.0 { units::seconds(plan.ramp_s) } else { String::new() }),
        ("allocations grow over", plan.growth_s.filter(|growth| *growth > 0.0).map_or(String::new(), units::seconds)),
        ("a key frame every", plan.key_frames_s.map_or(String::new(), units::seconds)),
        ("seed", plan.seed.to_string()),
    ]
}

fn transport_facts(transport: &TransportFacts) -> Vec<(&'static str, String)> {
    let sockets = |kind: &str, count: u32| if kind.is_empty() { String::new() } else { format!("{kind} ({count})") };
    vec![
        ("transport", transport.protocol.clone()),
        ("TLS", transport.tls.clone().unwrap_or_default()),
        ("client sockets", sockets(&transport.clients, transport.client_sockets)),
        ("peer sockets", sockets(&transport.peers, transport.peer_sockets)),
        ("receive buffer", units::bytes(transport.receive_buffer_bytes as f64)),
    ]
}

pub(super) fn host(result: &LoadResult, page: &mut Page) {
    let host = &result.host;
    page.element("h2", "Host");
    let kind = if host.is_virtual { "virtual machine: figures repeat less well" } else { "no hypervisor seen" };
    page.facts(&[
        ("kernel", host.kernel.clone()),
        ("processor", host.cpu_model.clone()),
        ("cores", host.cores.to_string()),
        ("memory", units::bytes(host.memory_bytes as f64)),
        ("machine", kind.to_owned()),
        ("CPU governor", host.cpu_governor.clone()),
    ]);
    let sysctls: Vec<_> = host.sysctls.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    page.facts(&sysctls);
    let result = format!(
        "{} {}, {} build, result format {}",
        result.tool.name, result.tool.version, result.tool.build, result.format
    );
    page.element("p class=\"soft\"", &result);
}

/// As a shell takes it.
fn command_line(command: &[String]) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+*".contains(c);
    let quoted = |word: &String| match !word.is_empty() && word.chars().all(is_plain) {
        true => word.clone(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    };
    command.iter().map(quoted).collect::<Vec<_>>().join(" ")
}
