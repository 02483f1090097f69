//! A configuration and what is said of it.

use super::*;
use crate::config::load;

/// 2026-11-21.
const NOW: u64 = 1_795_285_900;

/// A relay with nothing to complain about.
const GOOD: &str = "\
realm = 'turn.clinic.eu'
[[listener]]
address = '0.0.0.0:3478'
[relay]
address = [{ bind = '8.8.8.8' }]
[[credentials.secret]]
id = 'k1'
file = 'secret.k1'
";

fn loaded(text: &str) -> Loaded {
    let (config, lines) = load::parse(text).unwrap_or_else(|findings| panic!("{findings:#?}"));
    Loaded { config, lines, file: "t.toml".into() }
}

fn findings(text: &str) -> Vec<String> {
    check(&loaded(text), Scope::Text, NOW).lines().collect()
}

/// What is said about the good relay with `more` at its end.
fn with(more: &str) -> Vec<String> {
    findings(&format!("{GOOD}{more}"))
}

/// What is said about the good relay with `from` replaced.
fn replaced(from: &str, to: &str) -> Vec<String> {
    assert!(GOOD.contains(from), "{from}");
    findings(&GOOD.replace(from, to))
}

fn assert_one(findings: Vec<String>, expected: &str) {
    assert_eq!(findings, [expected]);
}

#[test]
fn a_good_relay_passes() {
    assert_eq!(findings(GOOD), [""; 0]);
}

#[test]
fn an_empty_one_is_told_what_it_lacks() {
    let found = findings("realm = 'a'\nlistener = []\n");
    assert_eq!(
        found,
        [
            "t.toml: error: relay.address: no relayed address: nothing can be relayed; write [[relay.address]]",
            "t.toml: error: credentials: no secret: nobody could use the relay; write [[credentials.secret]]",
            "t.toml:2: error: listener: no listener: clients have nowhere to come in; write [[listener]]",
        ]
    );
}

#[test]
fn names_for_examples_are_no_realms() {
    for realm in ["example.org", "turn.Example.com", "relay.test", "example"] {
        let found = replaced("turn.clinic.eu", realm);
        assert!(matches!(&found[..], [one] if one.starts_with("t.toml:1: warning: realm: ")), "{realm}: {found:?}");
    }
    assert_eq!(replaced("turn.clinic.eu", "notexample.org"), [""; 0]);
    let lab = loaded(&GOOD.replace("realm = 'turn.clinic.eu'", "lab = true\nrealm = 'example.org'"));
    assert!(!check(&lab, Scope::Text, NOW).lines().any(|line| line.contains(" realm: ")));
}

#[test]
fn an_allow_rule_that_opens_nothing_is_warned_of() {
    for cidr in ["0.0.0.0/0", "::/0", "8.8.8.0/24", "2000::/3"] {
        let found = with(&format!("[[peers.allow]]\nid = 'all'\ncidr = '{cidr}'\n"));
        let head = format!("t.toml:11: warning: peers.allow.cidr: {cidr} opens nothing: ");
        assert!(matches!(&found[..], [one] if one.starts_with(&head)), "{found:?}");
    }
    assert_eq!(with("[[peers.allow]]\nid = 'a'\ncidr = '10.0.0.0/8'\n"), [""; 0]);
    let exception = "[[peers.deny]]\nid = 'd'\ncidr = '8.0.0.0/8'\n[[peers.allow]]\nid = 'a'\ncidr = '8.8.8.0/24'\n";
    assert_eq!(with(exception), [""; 0]);
}

/// What `serve` refuses, `check` refuses too: they ask the same function.
#[test]
fn an_audit_file_that_is_none_is_an_error() {
    let directory = tempfile::tempdir().expect("a directory");
    let on_host = |path: &str| {
        let text = format!("{GOOD}[audit]\npath = '{path}'\n");
        let loaded = Loaded { file: directory.path().join("turnkeep.toml"), ..loaded(&text) };
        let report = check(&loaded, Scope::Host, NOW);
        let audit = report.findings().iter().filter(|finding| finding.key == "audit.path");
        audit.map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    std::fs::write(directory.path().join("turnkeep.toml"), GOOD).expect("a file");
    std::fs::write(directory.path().join("secret.k1"), "8f3b1c5e9d2a7f604b6c8e1d3f5a7092").expect("a file");
    for (path, sentence) in [
        ("", "it has no name"),
        ("turnkeep.toml", "it ends in something that is no audit record"),
        ("secret.k1", "it ends in something that is no audit record"),
        ("/proc/x", "no file can be made in its directory"),
        ("/dev/full", "its file system is full"),
        ("none/x", "none is not there; make it: mkdir -p "),
        (".", "it is a directory"),
    ] {
        let found = on_host(path);
        assert!(found.starts_with("error: audit.path: ") && found.contains(sentence), "{path:?}: {found}");
    }
    assert!(on_host("/dev/null").starts_with("warning: audit.path: /dev/null is not a regular file"));
    assert_eq!(on_host("audit.jsonl"), "");
    assert_eq!(std::fs::read_dir(directory.path()).expect("a directory").count(), 2, "it left something behind");
    let open = directory.path().join("open.jsonl");
    std::fs::write(&open, "").expect("a file");
    std::fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o666)).expect("a mode");
    assert!(on_host("open.jsonl").contains("is open to everybody (mode 0666); close it: chmod 0600 "));
}

#[test]
fn a_port_that_another_program_has_is_warned_of() {
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("it is bound").to_string();
    let loaded = loaded(&GOOD.replace("0.0.0.0:3478", &address));
    let found: Vec<_> = check(&loaded, Scope::Host, NOW).lines().collect();
    let head = format!("t.toml:3: warning: listener.address: {address} is in use");
    assert!(found.iter().any(|line| line.starts_with(&head)), "{found:#?}");
}

#[test]
fn listeners_must_not_overlap() {
    let again = |address: &str| with(&format!("[[listener]]\naddress = '{address}'\n"));
    let expected = "t.toml:10: error: listener.address: 0.0.0.0:3478 listens already on what would come here (line 3)";
    assert_one(again("0.0.0.0:3478"), expected);
    assert_one(again("8.8.8.8:3478"), expected);
    assert_eq!(again("[::]:3478"), [""; 0]);
    assert_eq!(again("0.0.0.0:443"), [""; 0]);
}

#[test]
fn a_listener_among_the_relayed_ports_is_refused() {
    let sentence = "t.toml:3: error: listener.address: port 50000 lies among the relayed ports 49152-65535 \
                    (line 4); move one";
    assert_one(replaced("0.0.0.0:3478", "0.0.0.0:50000"), sentence);
    assert_one(replaced("0.0.0.0:3478", "8.8.8.8:50000"), sentence);
    assert_eq!(replaced("0.0.0.0:3478", "8.8.4.4:50000"), [""; 0]);
    assert_eq!(replaced("0.0.0.0:3478", "[::]:50000"), [""; 0]);
}

#[test]
fn ports_that_browsers_refuse_are_warned_of() {
    assert!(replaced("3478", "53")[0].starts_with("t.toml:3: warning: listener.address: browsers do not reach"));
    assert!(replaced("3478", "123")[0].starts_with("t.toml:3: warning: listener.address: browsers refuse"));
    assert_eq!(replaced("3478", "443"), [""; 0]);
}

#[test]
fn a_family_has_one_relayed_address() {
    let found = replaced("{ bind = '8.8.8.8' }", "{ bind = '8.8.8.8' }, { bind = '8.8.4.4' }");
    let expected = "t.toml:5: error: relay.address.bind: a second IPv4 address; there can be one for each family, and \
                    line 5 has it";
    assert_one(found, expected);
    assert_eq!(replaced("{ bind = '8.8.8.8' }", "{ bind = '8.8.8.8' }, { bind = '2600::5' }"), [""; 0]);
    let mixed = replaced("bind = '8.8.8.8'", "bind = '8.8.8.8', advertise = '2600::5'");
    let expected = "t.toml:5: error: relay.address.advertise: 2600::5 is not of the family of bind, 8.8.8.8";
    assert_one(mixed, expected);
}

#[test]
fn an_address_that_others_do_not_reach_is_not_advertised() {
    let private = replaced("8.8.8.8", "10.0.0.5");
    assert_eq!(private.len(), 1);
    let head =
        "t.toml:5: error: relay.address.bind: clients and peers would be told 10.0.0.5, which others do not reach";
    assert!(private[0].starts_with(head), "{private:?}");
    assert_eq!(replaced("bind = '8.8.8.8'", "bind = '10.0.0.5', advertise = '8.8.8.8'"), [""; 0]);

    let open = "[[peers.allow]]\nid = 'inside'\ncidr = '10.0.0.0/24'\n";
    assert_eq!(findings(&format!("{GOOD}{open}").replace("8.8.8.8", "10.0.0.5")), [""; 0]);

    let loopback = replaced("8.8.8.8", "127.0.0.1");
    assert!(loopback[0].contains("would be told 127.0.0.1"), "{loopback:?}");
    let own = "[[peers.allow]]\nid = 'own'\ncidr = '127.0.0.0/8'\n";
    let lab = findings(&format!("lab = true\n{GOOD}{own}").replace("8.8.8.8", "127.0.0.1"));
    assert!(matches!(lab.as_slice(), [only] if only.starts_with("t.toml:1: warning: lab: ")), "{lab:?}");

    let example = replaced("8.8.8.8", "203.0.113.5");
    let expected =
        "t.toml:5: warning: relay.address.bind: 203.0.113.5 is an address for documentation; put in your own";
    assert_one(example, expected);
}

#[test]
fn a_deny_rule_over_the_relays_own_address_is_no_fault() {
    assert_eq!(with("[[peers.deny]]\nid = 'all'\ncidr = '0.0.0.0/0'\n"), [""; 0]);
}

#[test]
fn a_range_that_one_user_can_fill_is_warned_of() {
    let found = replaced("[relay]", "[relay]\nports = '50000-50009'");
    let expected =
        "t.toml:5: warning: relay.ports: 10 ports are no more than the 12 allocations that one user may have";
    assert_one(found, expected);
}

#[test]
fn secrets_have_one_source_and_ids_of_their_own() {
    let second = |rest: &str| with(&format!("[[credentials.secret]]\n{rest}\n"));
    assert_one(second("id = 'k1'\nenv = 'B'"), "t.toml:10: error: credentials.secret.id: \"k1\" is taken, at line 7");
    assert_one(
        second("id = 'k2'"),
        "t.toml:9: error: credentials.secret: secret \"k2\" names no source; give it a file or an env",
    );
    assert_one(
        second("id = 'k2'\nfile = 'a'\nenv = 'B'"),
        "t.toml:9: error: credentials.secret: secret \"k2\" names two sources; give it a file or an env, not both",
    );
}

#[test]
fn a_secret_that_ended_is_an_error_if_it_is_the_last() {
    let ended = "not_after = 2026-01-01T00:00:00Z\n";
    let expected = "t.toml:9: error: credentials.secret.not_after: secret \"k1\" ended and is refused; take it out, \
                    and put a new one in: no other is left";
    assert_one(with(ended), expected);
    let other = "[[credentials.secret]]\nid = 'k2'\nenv = 'B'\n";
    let expected = "t.toml:9: warning: credentials.secret.not_after: secret \"k1\" ended and is refused; take it out";
    assert_one(with(&format!("{ended}{other}")), expected);
    assert_eq!(with("not_after = 2027-01-01T00:00:00Z\n"), [""; 0]);
}

#[test]
fn fixed_passwords_are_for_labs() {
    let found = with("[credentials]\nusers_file = 'users'\n");
    assert!(found.len() == 1 && found[0].starts_with("t.toml:10: warning: credentials.users_file: fixed"), "{found:?}");
}

#[test]
fn every_rule_that_cannot_work_is_named() {
    let found = with(
        "[peers]\nallow = [\n{ id = 'a', cidr = '169.254.169.254/32' },\n{ id = 'b', cidr = '127.0.0.0/8' },\n\
         { id = 'a', cidr = '10.0.0.0/8' },\n]\ndeny = [\n{ id = 'd', cidr = '10.0.0.0/8' },\n]\n",
    );
    let heads = [
        "t.toml:11: error: peers.allow.cidr: Rule \"a\" cannot allow 169.254.169.254/32",
        "t.toml:12: error: peers.allow.cidr: Rule \"b\" allows 127.0.0.0/8, which special.loopback refuses unless",
        "t.toml:13: error: peers.allow.id: \"a\" is taken, at line 11",
        "t.toml:13: warning: peers.allow.cidr: 10.0.0.0/8 is denied as well, at line 16, and deny wins",
    ];
    assert_eq!(found.len(), heads.len(), "{found:#?}");
    for (found, head) in found.iter().zip(heads) {
        assert!(found.starts_with(head), "{found}\nis not\n{head}");
    }
}

#[test]
fn an_audit_trail_that_is_off_is_warned_of() {
    let found = with("[audit]\nenabled = false\n");
    assert!(found[0].starts_with("t.toml:10: warning: audit.enabled: nothing will be recorded"), "{found:?}");
}

#[test]
fn an_address_of_another_host_is_found_out() {
    let mut loaded = loaded(GOOD);
    loaded.config.audit.enabled = false;
    let found: Vec<String> = check(&loaded, Scope::Host, NOW).lines().collect();
    let expected =
        "t.toml:5: error: relay.address.bind: 8.8.8.8 is not an address of this host; did you mean advertise?";
    assert!(found.iter().any(|line| line == expected), "{found:#?}");
    assert!(found.iter().any(|line| line.contains("credentials.secret.file: cannot read secret.k1")), "{found:#?}");
}

#[test]
fn algorithms_and_hidden_names_must_be_such_as_a_user_can_have() {
    assert_one(
        replaced(
            "[[credentials.secret]]",
            "[credentials]\noffer_sha256 = false\nlegacy = 'deny'\n[[credentials.secret]]",
        ),
        "t.toml:7: error: credentials.offer_sha256: nobody could get in where MD5 and SHA-1 are denied and SHA-256 is \
         not offered; offer it",
    );
    assert_one(
        replaced("[[credentials.secret]]", "[credentials]\noffer_userhash = true\n[[credentials.secret]]"),
        "t.toml:7: error: credentials.offer_userhash: nobody can find the user name of an ephemeral credential by its \
         hash; with secrets leave it off",
    );
    let own = "address = '0.0.0.0:3478'\nlegacy = 'deny'";
    assert_eq!(replaced("address = '0.0.0.0:3478'", own), [""; 0]);
}

#[test]
fn a_drain_is_told_of_and_never_leads_in_a_circle() {
    let drained = "every new allocation is refused with 300 and sent elsewhere: this relay is being emptied";
    assert_one(
        with("[drain]\nalternate_servers = ['198.51.100.8']\n"),
        &format!("t.toml:10: warning: drain.alternate_servers: {drained}"),
    );
    let found = with("[drain]\nalternate_servers = ['8.8.8.8', '198.51.100.8:3479']\n");
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found.iter().any(|line| line.contains("8.8.8.8 is this relay itself")), "{found:?}");
    assert!(found.iter().any(|line| line.contains("198.51.100.8:3479 is the second of its family")), "{found:?}");
    let found = with("[drain]\nalternate_servers = ['2001:db8::8']\n");
    assert!(found.iter().any(|line| line.contains("clients that come by IPv4 stay")), "{found:?}");
    let found = with("[drain]\nalternate_domain = 'b.example.org'\n");
    assert!(found.len() == 1 && found[0].contains("names no server"), "{found:?}");
}

/// A relay that shares port 443 with a web site.
fn sharing(more: &str) -> Vec<String> {
    let tls = "[[listener]]\naddress = '0.0.0.0:443'\ntransport = 'tls'\n[[tls.certificate]]\nchain_file = 'c'\n\
               key_file = 'k'\nnames = ['turn.clinic.eu']\n";
    with(&format!("{tls}{more}"))
}

#[test]
fn what_is_passed_on_is_listed_and_goes_elsewhere() {
    assert_eq!(sharing("[[pass_through]]\nto = '127.0.0.1:8443'\nserver_names = ['www.clinic.eu']\n"), [""; 0]);
    assert_eq!(sharing("[[pass_through]]\nto = '8.8.4.4:443'\nalpn = ['h2']\n"), [""; 0]);
    let found = with("[[pass_through]]\nto = '127.0.0.1:8443'\nalpn = ['h2']\n");
    assert_one(
        found,
        "t.toml:9: warning: pass_through: nothing is passed on: no listener has transport = \"tls\" or \"auto\"",
    );
    let found = sharing("[[pass_through]]\nto = '127.0.0.1:8443'\n");
    assert_one(found, "t.toml:16: error: pass_through: lets nothing through: write server_names, or alpn");
    let found = sharing("[[pass_through]]\nto = '127.0.0.1:8443'\nalpn = ['stun.turn']\n");
    assert_one(found, "t.toml:18: error: pass_through.alpn: stun.turn is what this relay speaks; take it out");
    let found = sharing("[[pass_through]]\nto = '127.0.0.1:8443'\nserver_names = ['turn.clinic.eu']\n");
    assert_one(
        found,
        "t.toml:18: warning: pass_through.server_names: turn.clinic.eu has a certificate here: who asks for it reaches \
         this relay no more",
    );
}

#[test]
fn nothing_is_passed_on_to_this_relay_itself() {
    // By every address that leads to the listener: loopback, and the relay's own.
    for own in ["127.0.0.1:443", "8.8.8.8:443"] {
        let found = sharing(&format!("[[pass_through]]\nto = '{own}'\nalpn = ['h2']\n"));
        let expected = format!(
            "t.toml:17: error: pass_through.to: {own} is this relay itself (line 10): connections would go in a circle"
        );
        assert_one(found, &expected);
    }
    assert_eq!(sharing("[[pass_through]]\nto = '[::1]:443'\nalpn = ['h2']\n"), [""; 0], "nobody listens there");
}

#[test]
fn a_name_goes_one_way() {
    let way = |to: &str| format!("[[pass_through]]\nto = '{to}'\nserver_names = ['www.clinic.eu']\n");
    let found = sharing(&(way("127.0.0.1:8443") + &way("127.0.0.1:8444")));
    assert_one(found, "t.toml:21: error: pass_through.server_names: www.clinic.eu goes another way already");
}
