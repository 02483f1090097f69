//! Where clients are sent instead.

use super::Judge;

pub(super) fn check(judge: &mut Judge<'_>) {
    let servers = &judge.config.drain.alternate_servers;
    if servers.is_empty() {
        if judge.config.drain.alternate_domain.is_some() {
            judge
                .warn("drain.alternate_domain", "names no server: nobody is sent away; write alternate_servers".into());
        }
        return;
    }
    for (index, server) in servers.iter().enumerate() {
        let path = format!("drain.alternate_servers.{index}");
        if servers.iter().take(index).any(|earlier| earlier.ip().is_ipv4() == server.ip().is_ipv4()) {
            judge.error(&path, format!("{server} is the second of its family; one is enough"));
        }
        let itself = judge.config.relay.addresses.iter().any(|relay| relay.advertised().get() == server.ip());
        if itself && server.port().is_none() {
            judge.error(&path, format!("{server} is this relay itself: clients would be sent in a circle"));
        }
    }
    let warning = "every new allocation is refused with 300 and sent elsewhere: this relay is being emptied";
    judge.warn("drain.alternate_servers", warning.into());
    for (is_v4, family) in [(true, "IPv4"), (false, "IPv6")] {
        let has_listener = judge.config.listeners.iter().any(|listener| listener.address.get().is_ipv4() == is_v4);
        if has_listener && !servers.iter().any(|server| server.ip().is_ipv4() == is_v4) {
            let sentence =
                format!("clients that come by {family} stay: a client is sent to a server of its own family");
            judge.note("drain.alternate_servers", sentence);
        }
    }
}
