//! The audit trail as it lies on disk: the golden records, hostile texts, and files in every state.

use std::fs;
use std::num::NonZeroU32;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value;
use turnkeep::policy::audit::{AuditSettings, AuditSink, Entry, OpenFailure, Origin, Tick, Trouble};
use turnkeep::relay::event::{AllocationRecord, AllocationUuid, Denial, Event, RequestKind, Totals};
use turnkeep::relay::reason::{AuthReason, CloseReason, RuleId};
use turnkeep::relay::seam::{EventSink, Identity, UserId};
use turnkeep::relay::{ClientAddr, Instant, ListenerId, Now, PeerAddr, RelayedAddr, ServerAddr, Transport};

fn at(millis: u64) -> Now {
    Now { instant: Instant::from_nanos(5_000_000_000 + millis * 1_000_000), unix_millis: 1_795_280_400_412 + millis }
}

fn origin() -> Origin {
    Origin { node: "relay-a.example".into(), boot_id: "019aa7c0-0000-7000-8000-000000000001".into() }
}

fn who(user: &str) -> Identity {
    Identity {
        user: UserId(user.into()),
        key_id: Some("k2".into()),
        expires_unix: Some(1_795_285_900),
        max_allocations: NonZeroU32::new(2),
    }
}

fn path(client: &str) -> turnkeep::relay::Path {
    turnkeep::relay::Path {
        client: ClientAddr(client.parse().unwrap()),
        server: ServerAddr("203.0.113.10:3478".parse().unwrap()),
        transport: Transport::Udp,
        listener: ListenerId(0),
    }
}

const UUID: [u8; 16] = [0x01, 0x9a, 0xa7, 0xc2, 0x6b, 0x1e, 0x7c, 0xc4, 0x9a, 0x51, 0x0c, 0x7f, 0x1f, 0x6d, 0x3e, 0x10];

fn allocation(user: &str) -> AllocationRecord {
    AllocationRecord {
        uuid: AllocationUuid(UUID),
        who: who(user),
        path: path("198.51.100.23:51944"),
        relayed: RelayedAddr("203.0.113.10:50312".parse().unwrap()),
        also: None,
        opened: at(1000),
    }
}

fn totals() -> Totals {
    Totals {
        packets_to_peers: 180_000,
        bytes_to_peers: 184_467_231,
        packets_to_client: 190_000,
        bytes_to_client: 201_998_330,
        dropped: 12,
    }
}

fn denied(request: RequestKind, code: u16, who: Option<Identity>, denial: Denial) -> Event {
    let allocation = matches!(request, RequestKind::CreatePermission).then_some(AllocationUuid(UUID));
    Event::Denied { at: at(2000), path: path("[2001:db8::23]:51944"), who, allocation, request, code, denial }
}

/// One entry of each kind.
fn entries() -> Vec<Entry> {
    let rule = |id: &'static str| RuleId(id.into());
    let peer = |rule| Denial::Peer { peer: PeerAddr("169.254.169.254:80".parse().unwrap()), rule };
    let alice = || Some(who("u-7f3a9c"));
    let lifetime = Duration::from_secs(600);
    let closed =
        |reason| Event::Closed { at: at(601_000), allocation: allocation("u-7f3a9c"), reason, totals: totals() };
    let wrong_password = || denied(RequestKind::Allocate, 401, None, Denial::Credentials(AuthReason::WrongPassword));
    let events = [
        Event::Opened { at: at(1000), allocation: allocation("u-7f3a9c"), lifetime },
        Event::Refreshed { at: at(301_000), allocation: allocation("u-7f3a9c"), lifetime, totals: totals() },
        closed(CloseReason::ClientRefresh),
        closed(CloseReason::Expired),
        closed(CloseReason::Shutdown),
        wrong_password(),
        denied(RequestKind::Refresh, 401, None, Denial::Credentials(AuthReason::Expired)),
        denied(RequestKind::CreatePermission, 403, alice(), peer(rule("special.metadata"))),
        denied(RequestKind::ChannelBind, 403, alice(), peer(RuleId("no guests".to_owned().into()))),
        denied(RequestKind::Allocate, 403, alice(), Denial::Client(rule("source.6to4"))),
        denied(RequestKind::ChannelBind, 400, alice(), Denial::BadRequest("Channel number out of range")),
        denied(RequestKind::Allocate, 420, alice(), Denial::UnknownAttribute(0x0026)),
        denied(RequestKind::Refresh, 437, alice(), Denial::NoAllocation),
        denied(RequestKind::Allocate, 437, alice(), Denial::AllocationExists),
        denied(RequestKind::CreatePermission, 443, alice(), Denial::FamilyMismatch),
        denied(RequestKind::Allocate, 437, alice(), Denial::WrongUser),
        denied(RequestKind::ChannelBind, 441, alice(), Denial::WrongUser),
        denied(RequestKind::Allocate, 440, alice(), Denial::Family(3)),
        denied(RequestKind::Allocate, 442, alice(), Denial::TransportProtocol(6)),
        denied(RequestKind::Allocate, 486, alice(), Denial::Quota(rule("limit.allocations_per_user"))),
        denied(RequestKind::Allocate, 508, alice(), Denial::Capacity("relayed ports")),
        denied(RequestKind::CreatePermission, 508, alice(), Denial::Unavailable("Too many peers in one request")),
    ];
    let about_the_trail = [
        Entry::Repeats { last: wrong_password(), count: 41, first: at(1200) },
        Entry::Spilled { count: 1_000_000, first: at(1200), at: at(2000) },
        Entry::Gap { count: 3, first: at(1200), at: at(2000) },
        Entry::Rotated { at: at(2000), was_deleted: false },
        Entry::Rotated { at: at(2000), was_deleted: true },
        Entry::ClockStepped { at: at(2000), by_millis: -3_600_000 },
        Entry::Recovered { at: at(0), torn_bytes: 17 },
        Entry::Stopped { at: at(700_000) },
    ];
    let started = Entry::Started { at: at(0) };
    [started].into_iter().chain(events.map(Entry::Event)).chain(about_the_trail).collect()
}

fn lines(entries: &[Entry]) -> String {
    let mut out = String::new();
    for (entry, seq) in entries.iter().zip(0..) {
        entry.write_line(&origin(), seq, &mut out);
    }
    out
}

/// `TURNKEEP_BLESS=1 cargo test` writes the file anew; look at the difference before you commit it.
#[test]
fn the_records_are_the_golden_ones() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/audit.jsonl");
    let ours = lines(&entries());
    if std::env::var_os("TURNKEEP_BLESS").is_some() {
        fs::write(&golden, &ours).unwrap();
    }
    let expected = fs::read_to_string(&golden).unwrap();
    for (ours, expected) in ours.lines().zip(expected.lines()) {
        assert_eq!(ours, expected);
    }
    assert_eq!(ours, expected);
}

/// The names that a record may have; audit readers are built on them.
const FIELDS: &[&str] = &[
    "v",
    "ts",
    "mono_ns",
    "seq",
    "node",
    "boot_id",
    "event",
    "outcome",
    "reason",
    "rule",
    "detail",
    "alloc",
    "user",
    "kid",
    "client",
    "relay",
    "peer",
    "bytes",
    "packets",
    "dropped",
    "duration_ms",
    "count",
    "first_ts",
];

fn assert_canonical(line: &str) -> Value {
    assert!(line.len() < 65_536);
    let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    // serde_json sorts keys and escapes as RFC 8785 does.
    assert_eq!(value.to_string(), line);
    for (key, member) in value.as_object().unwrap() {
        assert!(FIELDS.contains(&&**key), "{key}");
        assert!(member.is_string() || member.is_u64() || member.is_object(), "{key}");
    }
    for key in ["v", "ts", "mono_ns", "seq", "node", "boot_id", "event", "outcome", "detail"] {
        assert!(!value[key].is_null(), "{key} is missing in {line}");
    }
    value
}

#[test]
fn every_record_is_canonical_and_says_why() {
    for line in lines(&entries()).lines() {
        let value = assert_canonical(line);
        let detail = value["detail"].as_str().unwrap();
        assert!(
            detail.ends_with('.') && detail.starts_with(|c: char| c.is_uppercase() || c.is_ascii_digit()),
            "{detail}"
        );
        assert_eq!(value["outcome"] == "failure", !value["reason"].is_null() && value["event"] != "allocation.close");
        let name = value["event"].as_str().unwrap();
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'.'), "{name}");
    }
}

#[test]
fn numbers_stay_exact_for_every_reader() {
    let far = Now { instant: Instant::from_nanos(u64::MAX), unix_millis: u64::MAX };
    let most = Totals { packets_to_peers: u64::MAX, bytes_to_peers: u64::MAX, ..Totals::default() };
    let event = Event::Closed { at: far, allocation: allocation("u"), reason: CloseReason::Expired, totals: most };
    let mut line = String::new();
    Entry::Event(event).write_line(&origin(), u64::MAX, &mut line);
    let value = assert_canonical(line.trim_end());
    assert_eq!(value["bytes"]["c2p"].as_u64(), Some((1 << 53) - 1));
    assert_eq!(value["mono_ns"].as_u64(), Some((1 << 53) - 1));
}

fn hostile_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        prop::collection::vec(any::<u8>(), 0..600).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        prop::sample::select(vec![
            "\r\n{\"event\":\"forged\"}\r\n",
            "\0",
            "\"",
            "\\",
            "\\\"",
            "%n%s%x",
            "${jndi:ldap://x}",
            "$(id)",
            "x' OR 1=1--",
            "\u{1b}[2J",
            "\u{202e}",
            "\u{2028}",
            "<script>",
            "\u{feff}",
            "\u{7f}",
        ])
        .prop_map(|text| text.repeat(1 + 512 / text.len())),
    ]
}

proptest! {
    /// A-125, A-137, A-149: whatever stands in a name, a record stays one line that parses, and forges nothing.
    #[test]
    fn a_149_hostile_texts_stay_in_their_line(user in hostile_text(), rule in hostile_text(), node in hostile_text()) {
        let denial = Denial::Peer { peer: PeerAddr("[::ffff:10.0.0.1]:0".parse().unwrap()), rule: RuleId(rule.into()) };
        let event = denied(RequestKind::ChannelBind, 403, Some(who(&user)), denial);
        let mut line = String::new();
        Entry::Event(event).write_line(&Origin { node, ..origin() }, 7, &mut line);
        prop_assert_eq!(line.matches('\n').count(), 1);
        let value = assert_canonical(line.strip_suffix('\n').unwrap());
        prop_assert_eq!(&value["event"], "permission.deny");
        prop_assert_eq!(&value["seq"], 7);
        if user.len() <= 512 {
            prop_assert_eq!(value["user"].as_str(), Some(&*user));
        }
    }
}

fn settings(path: PathBuf) -> AuditSettings {
    AuditSettings { path, origin: origin(), queue: 100 }
}

fn start(path: &Path) -> Result<AuditSink, OpenFailure> {
    AuditSink::start(&settings(path.to_owned()), at(0), |trouble| panic!("{trouble:?}")).map_err(|error| {
        let sentence = error.to_string();
        assert!(sentence.contains(&path.display().to_string()) && sentence.ends_with('.'), "{sentence}");
        error.why
    })
}

/// Starts, records `events`, stops.
fn run(path: &Path, events: impl IntoIterator<Item = Event>) {
    let sink = start(path).unwrap();
    let mut handle = sink.handle();
    events.into_iter().for_each(|event| handle.record(event));
    sink.stop(at(9000)).unwrap();
}

fn opened(millis: u64) -> Event {
    Event::Opened { at: at(millis), allocation: allocation("u"), lifetime: Duration::from_secs(600) }
}

/// The names of the file's records, after checking that they are numbered from 0 without a gap.
fn read(path: &Path) -> Vec<String> {
    read_from(0, path)
}

fn read_from(first: u64, path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'));
    let values = text.lines().map(assert_canonical).zip(first..);
    let name = |(value, seq): (Value, u64)| {
        assert_eq!(value["seq"], seq);
        value["event"].as_str().unwrap().to_owned()
    };
    values.map(name).collect()
}

#[test]
fn a_new_file_is_its_owners_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    run(&path, [opened(1), opened(2)]);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(read(&path), ["audit.start", "allocation.open", "allocation.open", "audit.stop"]);
}

#[test]
fn numbers_go_on_over_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    (0..3).for_each(|n| run(&path, [opened(n)]));
    assert_eq!(read(&path), ["audit.start", "allocation.open", "audit.stop"].repeat(3));
}

#[test]
fn a_record_that_a_crash_cut_short_is_taken_off() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    run(&path, [opened(1)]);
    let whole = fs::read(&path).unwrap();
    // Cut the last record anywhere: from its line feed alone up to all but one byte.
    let last = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    for end in last + 1..whole.len() {
        fs::write(&path, &whole[..end]).unwrap();
        run(&path, []);
        assert_eq!(read(&path), ["audit.start", "allocation.open", "relay.recovered", "audit.start", "audit.stop"]);
    }
    // The very first record as well.
    fs::write(&path, &whole[..10]).unwrap();
    run(&path, []);
    assert_eq!(read(&path), ["relay.recovered", "audit.start", "audit.stop"]);
}

#[test]
fn a_sink_that_is_only_dropped_still_writes_what_it_took() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let sink = start(&path).unwrap();
    sink.handle().record(opened(1));
    drop(sink);
    // The writer holds the lock until it is done.
    let reopened = (0..500).find_map(|_| match start(&path) {
        Ok(sink) => Some(sink),
        Err(OpenFailure::InUse) => {
            std::thread::sleep(Duration::from_millis(10));
            None
        }
        Err(other) => panic!("{other:?}"),
    });
    reopened.unwrap().stop(at(1)).unwrap();
    assert_eq!(read(&path), ["audit.start", "allocation.open", "audit.start", "audit.stop"]);
}

#[test]
fn files_that_cannot_be_used_are_refused_with_a_sentence() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    let refused = |path: &Path| start(path).err().unwrap();
    assert_eq!(refused(&file("missing/audit.jsonl")), OpenFailure::NoDirectory);
    assert_eq!(refused(directory.path()), OpenFailure::IsDirectory);
    assert_eq!(refused(Path::new("/dev/full")), OpenFailure::Full);

    for text in ["root:x:0:0::/root:/bin/sh\n", "{\"a\":1}\n", "\n"] {
        fs::write(file("theirs"), text).unwrap();
        assert_eq!(refused(&file("theirs")), OpenFailure::NotOurs);
        assert_eq!(fs::read_to_string(file("theirs")).unwrap(), text, "somebody else's file was changed");
    }

    let first = start(&file("ours")).unwrap();
    assert_eq!(refused(&file("ours")), OpenFailure::InUse);
    first.stop(at(1)).unwrap();
    assert!(start(&file("ours")).is_ok());
}

/// A trail that says what befell its file.
fn talkative(path: &Path) -> (AuditSink, Receiver<Trouble>) {
    let (tell, told) = channel();
    let sink = AuditSink::start(&settings(path.to_owned()), at(0), move |trouble| tell.send(trouble).unwrap());
    (sink.unwrap(), told)
}

fn tick(millis: u64) -> Tick {
    Tick { at: at(millis), clock_step_millis: 0 }
}

#[test]
fn a_file_that_is_moved_away_is_followed_by_a_new_one_without_losing_a_record() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    let (sink, told) = talkative(&file("audit.jsonl"));
    sink.handle().record(opened(1));
    fs::rename(file("audit.jsonl"), file("audit.jsonl.1")).unwrap();
    sink.handle().record(opened(3));
    sink.tick(tick(4));
    assert_eq!(told.recv(), Ok(Trouble::Moved { was_deleted: false }));
    sink.handle().record(opened(6));
    // What logrotate's `create` leaves is taken as well, and a move just before the end is noticed.
    fs::rename(file("audit.jsonl"), file("audit.jsonl.2")).unwrap();
    fs::write(file("audit.jsonl"), "").unwrap();
    sink.stop(at(7)).unwrap();
    assert_eq!(told.iter().collect::<Vec<_>>(), [Trouble::Moved { was_deleted: false }]);

    let mut names = Vec::new();
    for part in ["audit.jsonl.1", "audit.jsonl.2", "audit.jsonl"] {
        names.extend(read_from(names.len() as u64, &file(part)));
    }
    let opened = "allocation.open";
    assert_eq!(names, ["audit.start", opened, opened, "audit.rotate", opened, "audit.rotate", "audit.stop"]);
    assert_eq!(fs::metadata(file("audit.jsonl.2")).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_file_that_is_deleted_is_missed_and_the_next_one_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let (sink, told) = talkative(&path);
    fs::remove_file(&path).unwrap();
    sink.tick(tick(1));
    assert_eq!(told.recv(), Ok(Trouble::Moved { was_deleted: true }));
    sink.handle().record(opened(2));
    sink.stop(at(3)).unwrap();
    assert_eq!(read_from(1, &path), ["audit.rotate", "allocation.open", "audit.stop"]);
    assert!(fs::read_to_string(&path).unwrap().contains(r#""reason":"file_deleted""#));
}

#[test]
fn where_there_can_be_no_new_file_the_old_one_goes_on_and_it_is_said_once() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    let (sink, told) = talkative(&file("audit.jsonl"));
    let (other, _) = talkative(&file("other"));
    fs::rename(file("audit.jsonl"), file("old")).unwrap();
    fs::rename(file("other"), file("audit.jsonl")).unwrap();
    (1..4).for_each(|second| sink.tick(tick(second)));
    let Ok(Trouble::Astray(error)) = told.recv() else { panic!("it was not told") };
    assert_eq!(error.why, OpenFailure::InUse, "one file never has two writers");
    sink.handle().record(opened(5));
    sink.stop(at(6)).unwrap();
    assert_eq!(told.iter().count(), 0);
    assert_eq!(read(&file("old")), ["audit.start", "allocation.open", "audit.stop"]);
    drop(other);
}

#[test]
fn a_jump_of_the_clock_is_recorded() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let sink = start(&path).unwrap();
    sink.tick(Tick { at: at(1), clock_step_millis: -5000 });
    sink.tick(tick(2));
    sink.stop(at(3)).unwrap();
    assert_eq!(read(&path), ["audit.start", "clock.step", "audit.stop"]);
}

#[test]
fn a_pipe_or_device_will_do() {
    start(Path::new("/dev/null")).unwrap().stop(at(1)).unwrap();
}

#[test]
fn a_077_a_storm_of_denials_leaves_a_handful_of_records_and_every_allocation() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let sink = AuditSink::start(&settings(path.clone()), at(0), |_| {}).unwrap();
    let mut handle = sink.handle();
    let mut total = 0;
    for n in 0..100_000_u64 {
        let mut event = denied(RequestKind::Allocate, 401, None, Denial::Credentials(AuthReason::WrongPassword));
        if let Event::Denied { at: when, .. } = &mut event {
            *when = at(n);
        }
        handle.record(event);
        total += 1;
        if n % 10_000 == 0 {
            handle.record(opened(n));
        }
    }
    let lost = sink.status().lost;
    sink.stop(at(200_000)).unwrap();
    let names = read(&path);
    assert!(names.len() < 100, "{}", names.len());
    assert_eq!(names.iter().filter(|name| *name == "allocation.open").count(), 10);
    // Each denial is told of once: by itself, in a count of repeats, or in a gap.
    let text = fs::read_to_string(&path).unwrap();
    let values = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let counted = |event: &str| -> u64 {
        values.clone().filter(|value| value["event"] == event).map(|value| value["count"].as_u64().unwrap_or(1)).sum()
    };
    assert_eq!(counted("auth.fail") + counted("audit.gap"), total);
    assert_eq!(counted("audit.gap"), lost);
}
