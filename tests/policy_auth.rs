//! Credentials: the vectors and layouts of the field, and the catalogue of abuse.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use turnkeep::policy::auth::Authenticator;
use turnkeep::policy::auth::ephemeral::Ephemeral;
use turnkeep::policy::auth::explain::{Distance, Mistake, PasswordReport, UsernameReport};
use turnkeep::policy::auth::mint::{MintError, MintRequest, Owner};
use turnkeep::policy::auth::secret::{PasswordHash, Secret, SecretId, Secrets};
use turnkeep::policy::auth::static_users::StaticUsers;
use turnkeep::policy::auth::username::{Expiry, Grammar, Layout, Separator, UsernameOrder};
use turnkeep::policy::drain::Drain;
use turnkeep::policy::limit::rate::AllocationRate;
use turnkeep::policy::limit::user::AllocationsByUser;
use turnkeep::policy::peer::canonical::Embeddings;
use turnkeep::policy::peer::{OwnHost, PeerPolicy, PeerSettings};
use turnkeep::policy::{LivePolicy, RelayPolicy, rule_sentence};
use turnkeep::relay::reason::AuthReason;
use turnkeep::relay::seam::{AdmitRefusal, Claim, Identity, Policy};
use turnkeep::relay::{ClientAddr, Instant, ListenerId, Now, Path, PeerAddr, ServerAddr, Transport};
use turnkeep::wire::integrity::{LongTermKey, PasswordAlgorithm};

const REALM: &str = "example.org";
/// 2026-11-21 17:31:40 UTC, an hour before the vectors expire.
const NOW: u64 = EXPIRY - 3600;
const EXPIRY: u64 = 1_795_285_900;

fn at(unix_secs: u64) -> Now {
    Now { instant: Instant::from_nanos(0), unix_millis: unix_secs * 1000 }
}

fn lab_secret(id: &str, text: &str) -> Secret {
    Secret::for_lab(SecretId::new(id).unwrap(), text.as_bytes().to_vec().into()).unwrap()
}

fn ephemeral(secrets: Vec<Secret>) -> Ephemeral {
    Ephemeral {
        secrets: Secrets::new(secrets).unwrap(),
        grammar: Grammar::default(),
        max_ttl: Duration::from_secs(86_400),
        zone: "clinic".into(),
    }
}

fn authenticator(secrets: Vec<Secret>) -> Authenticator {
    Authenticator { realm: REALM.into(), ephemeral: ephemeral(secrets), static_users: StaticUsers::none() }
}

/// One secret, `north`, as in the vectors.
fn north() -> Authenticator {
    authenticator(vec![lab_secret("2", "north")])
}

/// A client that signs with `password`, and counts how often it was asked for a proof.
struct Client<'a> {
    username: &'a [u8],
    password: &'a [u8],
    algorithm: PasswordAlgorithm,
    expired_will_do: bool,
}

impl<'a> Client<'a> {
    fn new(username: &'a str, password: &'a str) -> Self {
        Self {
            username: username.as_bytes(),
            password: password.as_bytes(),
            algorithm: PasswordAlgorithm::Md5,
            expired_will_do: false,
        }
    }

    fn ask(&self, authenticator: &Authenticator, now: u64) -> (Result<Identity, AuthReason>, usize) {
        let key = LongTermKey::derive(self.algorithm, self.username, REALM.as_bytes(), self.password);
        let claim = Claim { username: self.username, algorithm: self.algorithm, expired_will_do: self.expired_will_do };
        let mut proofs = 0;
        let answer = authenticator.authenticate(at(now), claim, &mut |tried| {
            proofs += 1;
            tried.algorithm() == key.algorithm() && tried.as_bytes() == key.as_bytes()
        });
        (answer, proofs)
    }
}

fn sign_in(authenticator: &Authenticator, username: &str, password: &str, now: u64) -> Result<Identity, AuthReason> {
    Client::new(username, password).ask(authenticator, now).0
}

/// The password that `north` gives to `username`.
fn signed(username: &str) -> String {
    lab_secret("2", "north").password(username.as_bytes()).as_str().to_owned()
}

fn user(answer: Result<Identity, AuthReason>) -> Result<String, AuthReason> {
    answer.map(|who| who.user.0.to_string())
}

const VECTORS: &[(&str, &str, &str, &str)] = &[
    (
        "1795285900:u-7f3a9c",
        "/Nycdx7RO/Vda0x6wRpB04bvq5U=",
        "7a03d807b578c073bb6192fd52d2c9ac",
        "a8f7bb475863c9703ad0b6f7c7bb64162e070f6667b3e4784478d63bb3266530",
    ),
    (
        "1795285900",
        "mH8WlRxQmYP8mIq3ZmCAR0cR/7I=",
        "b47a89112103fac932142841713f7d1e",
        "2145f82793b25fa08aec9e6de5cb0992a7f4db691722ba6e6f10a31774f35fd4",
    ),
    (
        "1795285900:",
        "xC7tpO7R1hxm1OtK7PxLNvvxcds=",
        "a3a6b6efc1fb2e8899cb8903b48534ca",
        "4196be5fc30cad3e23ac5e03507edd7298f9c45ad4d26110106c4f7a645d5ca5",
    ),
    (
        "1795285900:@alice:example.org",
        "u9sPTNHlMNxtCFb68G5psdUyzKE=",
        "272c58f19097a738968bc0e7971ba303",
        "6e48f23f455ed481eaafc75616f7c1aeb2808c0991604fa2917269cd4a7390ad",
    ),
    (
        "u-7f3a9c:1795285900",
        "g/jGZXY76pudHSQBbpWHisrVzuQ=",
        "22197ebb3097c229537dcfef4666b5d9",
        "b0a7c29ca681b3abe66cbd40dd27825a8c47b0236562ff51f83eca0c526e0cb2",
    ),
    (
        "1795285900:tk1.k2.zclinic.s9f2c.n2.u.7f3a9c",
        "jGLZPq7TnUbsY1z1XmVBfMKuqtM=",
        "29c9e3262cd5e046c94883431a88a5e3",
        "f6cfe0f7d3db709db48945d3a2746ceeda66f4047b10e6b4c1b13afff940fe70",
    ),
];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// C-085, C-086: every layout of ephemeral user name, from the secret to the keys.
#[test]
fn passwords_and_keys_of_the_vectors() {
    for (username, password, md5, sha256) in VECTORS {
        assert_eq!(signed(username), *password, "{username}");
        for (algorithm, expected) in [(PasswordAlgorithm::Md5, md5), (PasswordAlgorithm::Sha256, sha256)] {
            let key = LongTermKey::derive(algorithm, username.as_bytes(), REALM.as_bytes(), password.as_bytes());
            assert_eq!(hex(key.as_bytes()), *expected, "{username}");
        }
    }
    let sha256 = lab_secret("2", "north").with_hash(PasswordHash::Sha256);
    assert_eq!(sha256.password(b"1795285900:u-7f3a9c").as_str(), "1fSAbFKxH+aYZVPobGixbuzhJp/nuDbUdc0RpIjCkhc=");
}

#[test]
fn d_39_every_layout_of_the_vectors_is_somebody() {
    let mut authenticator = north();
    authenticator.ephemeral.grammar.order = UsernameOrder::Any;
    let expected = ["u-7f3a9c", "1795285900", "1795285900:", "@alice:example.org", "u-7f3a9c", "7f3a9c"];
    for ((username, password, ..), expected) in VECTORS.iter().zip(expected) {
        for algorithm in [PasswordAlgorithm::Md5, PasswordAlgorithm::Sha256] {
            let client = Client { algorithm, ..Client::new(username, password) };
            let who = client.ask(&authenticator, NOW).0.unwrap();
            assert_eq!(&*who.user.0, expected, "{username}");
            assert_eq!(who.key_id.as_deref(), Some("2"));
            assert_eq!(who.expires_unix, Some(EXPIRY));
        }
    }
}

#[test]
fn d_05_each_refusal_has_its_reason() {
    let authenticator = north();
    let refused = |username: &str| sign_in(&authenticator, username, &signed(username), NOW).unwrap_err();
    assert_eq!(refused("u-7f3a9c:1795285900"), AuthReason::TimestampOnWrongSide);
    assert_eq!(refused("1795285900000:u"), AuthReason::ExpiryInMilliseconds);
    assert_eq!(refused("alice"), AuthReason::UnknownUser);
    assert_eq!(refused("+1795285900:u"), AuthReason::BadUsername);
    assert_eq!(refused("1795285900:tk1.k7.zclinic.u.a"), AuthReason::UnknownKeyId);
    assert_eq!(refused("1795285900:tk1.k2.zward.u.a"), AuthReason::WrongZone);
    assert_eq!(refused("1795285900:tk1.k2.zclinic.pward.u.a"), AuthReason::UnsupportedBinding);
    assert_eq!(refused("1795285900:tk1.k2.zclinic.q1.u.a"), AuthReason::UnsupportedBinding);
    assert_eq!(refused("1795285900:tk1.k2.k2.zclinic.u.a"), AuthReason::BadUsername);
    assert_eq!(refused("1795285900:tk1.anything"), AuthReason::BadUsername);
    assert_eq!(sign_in(&authenticator, "1795285900:u", "x", NOW), Err(AuthReason::WrongPassword));
    assert_eq!(sign_in(&authenticator, "1795285900:u", "", NOW), Err(AuthReason::WrongPassword));
    assert_eq!(sign_in(&authenticator, "1795285900:tk1.k2.zclinic.u.a", "x", NOW), Err(AuthReason::WrongPassword));
}

/// "Expired" in the log is true only if the password was right.
#[test]
fn what_stands_against_a_credential_is_said_only_when_its_password_is_right() {
    for username in ["1:u", "1795285900000:u", "9999999999:u", "1795285900:tk1.k2.zward.pward.u.a"] {
        assert_eq!(sign_in(&north(), username, "guess", NOW), Err(AuthReason::WrongPassword), "{username}");
        assert_ne!(sign_in(&north(), username, &signed(username), NOW), Err(AuthReason::WrongPassword), "{username}");
    }
}

#[test]
fn a_101_d_19_expiry_is_judged_with_30_seconds_of_tolerance_and_only_where_it_counts() {
    let authenticator = north();
    let username = "1795285900:u";
    let password = signed(username);
    assert!(sign_in(&authenticator, username, &password, EXPIRY + 30).is_ok());
    assert_eq!(sign_in(&authenticator, username, &password, EXPIRY + 31), Err(AuthReason::Expired));
    let standing = Client { expired_will_do: true, ..Client::new(username, &password) };
    assert!(standing.ask(&authenticator, EXPIRY + 86_400).0.is_ok());
    // A clock that was set back does not end calls either.
    assert!(standing.ask(&authenticator, 0).0.is_ok());
    let wrong = Client { expired_will_do: true, ..Client::new(username, "x") };
    assert_eq!(wrong.ask(&authenticator, NOW).0, Err(AuthReason::WrongPassword));
}

#[test]
fn a_102_no_expiry_further_ahead_than_max_ttl() {
    let authenticator = north();
    let ask = |expiry: u64| {
        let username = format!("{expiry}:u");
        sign_in(&authenticator, &username, &signed(&username), NOW).map(drop)
    };
    assert_eq!(ask(NOW + 86_400 + 30), Ok(()));
    assert_eq!(ask(NOW + 86_400 + 31), Err(AuthReason::ExpiryTooFar));
    assert_eq!(ask(NOW + 10 * 365 * 86_400), Err(AuthReason::ExpiryTooFar));
    assert_eq!(ask(9_999_999_999_999_999_999), Err(AuthReason::ExpiryTooFar));
}

#[test]
fn a_107_rotation_with_an_end_for_the_old_secret() {
    let old_end = NOW + 600;
    let authenticator = authenticator(vec![
        lab_secret("new", "south"),
        lab_secret("old", "north").with_not_after(old_end),
        lab_secret("256", "east").with_hash(PasswordHash::Sha256),
    ]);
    let by = |secret: &str, hash| lab_secret("x", secret).with_hash(hash).password(b"1795285900:u").as_str().to_owned();
    let ask = |password: &str, now, expired_will_do| {
        let client = Client { expired_will_do, ..Client::new("1795285900:u", password) };
        let (answer, proofs) = client.ask(&authenticator, now);
        assert_eq!(proofs, 3);
        answer.map(|who| who.key_id.unwrap().to_string())
    };
    assert_eq!(ask(&by("south", PasswordHash::Sha1), NOW, false), Ok("new".into()));
    assert_eq!(ask(&by("north", PasswordHash::Sha1), old_end, false), Ok("old".into()));
    assert_eq!(ask(&by("north", PasswordHash::Sha1), old_end + 1, false), Err(AuthReason::SecretRetired));
    assert_eq!(ask(&by("north", PasswordHash::Sha1), old_end + 1, true), Ok("old".into()));
    assert_eq!(ask(&by("east", PasswordHash::Sha256), NOW, false), Ok("256".into()));
    assert_eq!(ask(&by("east", PasswordHash::Sha1), NOW, false), Err(AuthReason::WrongPassword));
    assert_eq!(ask(&by("west", PasswordHash::Sha1), NOW, false), Err(AuthReason::WrongPassword));
}

#[test]
fn a_bound_credential_is_good_under_the_secret_that_it_names_and_no_other() {
    let authenticator = authenticator(vec![lab_secret("1", "north"), lab_secret("2", "south")]);
    for (key_id, secret, expected) in [
        ("1", "north", Ok("a.b".to_owned())),
        ("2", "south", Ok("a.b".to_owned())),
        ("2", "north", Err(AuthReason::WrongPassword)),
        ("1", "south", Err(AuthReason::WrongPassword)),
        ("3", "north", Err(AuthReason::UnknownKeyId)),
    ] {
        let username = format!("1795285900:tk1.k{key_id}.zclinic.u.a.b");
        let password = lab_secret("x", secret).password(username.as_bytes());
        let answer = sign_in(&authenticator, &username, password.as_str(), NOW);
        assert_eq!(user(answer), expected, "{key_id} {secret}");
    }
}

/// known, unknown, expired, bound, malformed: as many trials for each, and each of the algorithm asked for.
#[test]
fn a_098_the_same_number_of_proofs_for_everybody() {
    let mut authenticator = authenticator(vec![lab_secret("1", "north"), lab_secret("2", "south")]);
    authenticator.static_users = StaticUsers::parse(REALM, "alice:a\n").unwrap();
    let long = "9".repeat(700);
    let names = [
        "1795285900:u",
        "1:expired",
        "9999999999:far",
        "1795285900000:ms",
        "alice",
        "bob",
        "",
        ":",
        &long,
        "u:1795285900",
        "1795285900:tk1.k1.zclinic.u.a",
        "1795285900:tk1.k9.zclinic.u.a",
        "1795285900:tk1.broken",
        "\u{0}\r\n",
        "ä",
    ];
    for username in names {
        for password in ["wrong", &signed(username), "a"] {
            for algorithm in [PasswordAlgorithm::Md5, PasswordAlgorithm::Sha256] {
                let client = Client { algorithm, ..Client::new(username, password) };
                assert_eq!(client.ask(&authenticator, NOW).1, 3, "{username}");
            }
        }
    }
}

#[test]
fn a_static_user_is_judged_as_such() {
    let mut authenticator = north();
    authenticator.static_users = StaticUsers::parse(REALM, "alice:a\n1795285900:u:b\n").unwrap();
    let who = sign_in(&authenticator, "alice", "a", NOW).unwrap();
    assert_eq!((who.key_id, who.expires_unix, who.max_allocations), (None, None, None));
    assert_eq!(sign_in(&authenticator, "alice", "b", NOW), Err(AuthReason::WrongPassword));
    assert_eq!(sign_in(&authenticator, "bob", "b", NOW), Err(AuthReason::UnknownUser));
    assert!(sign_in(&authenticator, "1795285900:u", &signed("1795285900:u"), NOW).is_ok());
}

#[test]
fn without_secrets_nobody_ephemeral_gets_in() {
    let authenticator = authenticator(vec![]);
    assert_eq!(sign_in(&authenticator, "1795285900:u", "", NOW), Err(AuthReason::WrongPassword));
    let nobody = Client::new("1795285900:tk1.k1.zclinic.u.a", "");
    assert_eq!(nobody.ask(&authenticator, NOW).0, Err(AuthReason::UnknownKeyId));
}

/// What somebody who holds alice's password can make of her user name, without the secret.
#[test]
fn a_057_variants_of_a_user_name_are_refused() {
    let genuine = "1795285900:alice";
    let password = signed(genuine);
    let variants = [
        "1795285900:alice\0",
        "1795285900:alice\0\0\0",
        "\"1795285900:alice\"",
        "1795285900:\"alice\"",
        "1795285900:ALICE",
        "1795285900:Alice",
        "1795285900:alice:",
        "01795285900:alice",
        " 1795285900:alice",
        "1795285900:alice ",
        "1795285900: alice",
        "1795285900::alice",
        "1795285900:al\u{0456}ce",
        "1795285900:alice\u{200b}",
        "1795285900:\u{ff41}lice",
        "1795285900:alice:1795285900",
        "1795285901:alice",
        "alice:1795285900",
        "+1795285900:alice",
        "1795285900:alice\n",
        "\u{feff}1795285900:alice",
        "1795285900:a\u{0301}lice",
    ];
    for grammar in [Grammar::default(), Grammar { order: UsernameOrder::Any, ..Grammar::default() }] {
        let mut authenticator = north();
        authenticator.ephemeral.grammar = grammar;
        assert!(sign_in(&authenticator, genuine, &password, NOW).is_ok());
        for variant in variants {
            assert!(sign_in(&authenticator, variant, &password, NOW).is_err(), "{variant:?}");
        }
    }
}

proptest! {
    /// No user name but the genuine one is good with its password, and none makes us panic.
    #[test]
    fn a_125_hostile_user_names(bytes in prop::collection::vec(any::<u8>(), 0..600), now: u64) {
        let authenticator = north();
        let client = Client { username: &bytes, ..Client::new("", "/Nycdx7RO/Vda0x6wRpB04bvq5U=") };
        let (answer, proofs) = client.ask(&authenticator, now / 2000);
        prop_assert!(answer.is_err());
        prop_assert_eq!(proofs, 1);
        let explained = authenticator.explain(&bytes, Some(b"x"), at(now / 2000));
        prop_assert_eq!(explained.refusals.first().copied(), answer.err());
    }
}

fn relay_policy(max_allocations_per_user: u32) -> RelayPolicy {
    relay_policy_on(max_allocations_per_user, vec![])
}

fn relay_policy_on(max_allocations_per_user: u32, addresses: Vec<IpAddr>) -> RelayPolicy {
    let own = OwnHost {
        addresses,
        listener_ports: vec![],
        relay_addresses: vec![],
        relayed_ports: 49_152..=65_535,
        relay_to_relay: false,
    };
    let peers = PeerSettings {
        allow: vec![],
        deny: vec![],
        lab: false,
        embeddings: Embeddings::default(),
        own,
        backends: vec![],
        min_port: 0,
        deny_ports: vec![],
    };
    RelayPolicy {
        authenticator: north().into(),
        peers: PeerPolicy::new(&peers).unwrap(),
        allocations: AllocationsByUser::default(),
        allocation_rate: AllocationRate::new(
            60.try_into().unwrap(),
            (2 * max_allocations_per_user).try_into().unwrap(),
        ),
        drain: Drain::default(),
        max_allocations_per_user,
    }
}

fn path(client: &str) -> Path {
    Path {
        client: ClientAddr(client.parse().unwrap()),
        server: ServerAddr("192.0.2.1:3478".parse().unwrap()),
        transport: Transport::Udp,
        listener: ListenerId(0),
    }
}

#[test]
fn a_056_ten_credentials_of_one_user_share_one_limit() {
    let policy = Arc::new(relay_policy(4));
    let mut leases = vec![];
    for n in 0..10 {
        let username = format!("{}:alice", EXPIRY + n);
        let who = sign_in(&policy.authenticator, &username, &signed(&username), NOW).unwrap();
        leases.push(policy.admit(at(NOW), &who, &path("198.51.100.7:40000")));
    }
    assert_eq!(leases.iter().filter(|lease| lease.is_ok()).count(), 4);
    let Err(AdmitRefusal::OverQuota(refusal)) = leases.pop().unwrap() else { panic!("not over quota") };
    assert_eq!(refusal.rule.to_string(), "limit.allocations_per_user");
    assert!(rule_sentence(&refusal.rule.0).is_some());
    drop(leases);
    assert_eq!(policy.allocations.users(), 0);
}

/// Who comes and goes without end would have all relayed ports at rest, with one allocation of his own.
#[test]
fn coming_and_going_without_end_is_refused_with_a_rule_of_its_own() {
    let policy = relay_policy(4);
    let username = format!("{EXPIRY}:alice");
    let who = sign_in(&policy.authenticator, &username, &signed(&username), NOW).unwrap();
    let come = |now: Now| policy.admit(now, &who, &path("198.51.100.7:40000")).map(drop);
    assert_eq!((0..1000).filter(|_| come(at(NOW)).is_ok()).count(), 8);
    let Err(AdmitRefusal::OverQuota(refusal)) = come(at(NOW)) else { panic!("not over quota") };
    assert_eq!(refusal.rule.to_string(), "limit.allocation_rate_per_user");
    assert!(rule_sentence(&refusal.rule.0).is_some());
    let later = Now { instant: at(NOW).instant.after(Duration::from_secs(3)), ..at(NOW) };
    assert_eq!((0..1000).filter(|_| come(later).is_ok()).count(), 3);
}

#[test]
fn a_credential_can_ask_for_less_than_the_limit_but_not_for_more() {
    let policy = relay_policy(3);
    let who = |n: u32| {
        let username = format!("1795285900:tk1.k2.zclinic.n{n}.u.alice");
        sign_in(&policy.authenticator, &username, &signed(&username), NOW).unwrap()
    };
    assert_eq!(who(2).max_allocations, NonZeroU32::new(2));
    let admit = |who: &Identity| policy.admit(at(NOW), who, &path("198.51.100.7:40000"));
    let _held = [admit(&who(2)).unwrap(), admit(&who(2)).unwrap()];
    assert!(admit(&who(2)).is_err());
    // The same user by another credential.
    let _third = admit(&who(9)).unwrap();
    assert!(admit(&who(9)).is_err());
}

#[test]
fn a_008_a_009_no_allocation_from_a_tunnel() {
    let policy = relay_policy(3);
    let who = sign_in(&policy.authenticator, "1795285900:u", &signed("1795285900:u"), NOW).unwrap();
    for client in ["[2002:808:808::1]:40000", "[2001:0:4136:e378:8000:63bf:3fff:fdd2]:40000"] {
        let refused = policy.admit(at(NOW), &who, &path(client));
        assert!(matches!(refused, Err(AdmitRefusal::Forbidden(_))), "{client}");
    }
    assert_eq!(policy.allocations.users(), 0);
}

/// A new policy is in force at once and as a whole: an address that the host gained is closed, an old secret is gone,
/// and what stands still counts.
#[test]
fn a_014_a_107_a_policy_is_replaced_while_allocations_stand() {
    let live = Arc::new(LivePolicy::new(relay_policy(1)));
    let who = sign_in(&live.current().authenticator, "1795285900:u", &signed("1795285900:u"), NOW).unwrap();
    let gained: IpAddr = "93.184.216.34".parse().unwrap();
    let peer = PeerAddr((gained, 5000).into());
    let lease = live.admit(at(NOW), &who, &path("198.51.100.7:40000")).unwrap();
    assert!(live.judge_peer(&who, peer).is_ok());

    let mut next = relay_policy_on(1, vec![gained]);
    next.allocations = live.current().allocations.clone();
    next.authenticator = authenticator(vec![lab_secret("3", "south")]).into();
    live.replace(next);
    assert_eq!(live.judge_peer(&who, peer).unwrap_err().rule.to_string(), "own.address");
    assert!(live.admit(at(NOW), &who, &path("198.51.100.7:40001")).is_err());
    let again = sign_in(&live.current().authenticator, "1795285900:u", &signed("1795285900:u"), NOW);
    assert_eq!(again, Err(AuthReason::WrongPassword));
    drop(lease);
    assert!(live.admit(at(NOW), &who, &path("198.51.100.7:40001")).is_ok());
}

fn mint_request(owner: Owner<'_>) -> MintRequest<'_> {
    MintRequest { owner, ttl: Duration::from_secs(600), key_id: None }
}

fn owner() -> impl Strategy<Value = (u8, String, Option<String>, Option<u32>)> {
    let user = prop_oneof!["[!-~]{1,255}", "[A-Za-z0-9._-]{1,60}", "[ -~]{0,300}", any::<String>()];
    (0..3_u8, user, prop::option::of("[A-Za-z0-9_.-]{0,20}"), prop::option::of(1..u32::MAX))
}

fn grammar() -> impl Strategy<Value = Grammar> {
    let separator = prop_oneof![Just(':'), any::<char>()].prop_filter_map("no separator", Separator::new);
    let order = prop_oneof![Just(UsernameOrder::ExpiryFirst), Just(UsernameOrder::Any)];
    (separator, order).prop_map(|(separator, order)| Grammar { separator, order })
}

proptest! {
    /// What we mint we accept, as the user it was minted for.
    #[test]
    fn what_is_minted_is_accepted(
        (kind, name, session, most) in owner(),
        grammar in grammar(),
        now in 0_u64..4_000_000_000,
        ttl in 0_u64..=86_400,
    ) {
        let secrets = vec![lab_secret("old", "north").with_not_after(0), lab_secret("k2", "south")];
        let mut authenticator = authenticator(secrets);
        authenticator.ephemeral.grammar = grammar;
        let max_allocations = most.and_then(NonZeroU32::new);
        let owner = match kind {
            0 => Owner::Nobody,
            1 => Owner::User(&name),
            _ => Owner::Bound { user_id: &name, session: session.as_deref(), max_allocations },
        };
        let request = MintRequest { owner, ttl: Duration::from_secs(ttl), key_id: Some("k2") };
        match authenticator.ephemeral.mint(now, &request) {
            Err(error) => prop_assert!(matches!(error, MintError::User(_) | MintError::Session) && kind != 0),
            Ok(credential) => {
                let who = sign_in(&authenticator, &credential.username, credential.password.as_str(), now).unwrap();
                prop_assert_eq!(who.expires_unix, Some(now + ttl));
                prop_assert_eq!(who.key_id.as_deref(), Some("k2"));
                let expected = if kind == 0 { &credential.username } else { &name };
                prop_assert_eq!(&*who.user.0, expected);
                prop_assert_eq!(who.max_allocations, max_allocations.filter(|_| kind == 2));
                let explained = authenticator.explain(
                    credential.username.as_bytes(), Some(credential.password.as_bytes()), at(now));
                prop_assert_eq!(explained.refusals, vec![]);
                prop_assert_eq!(explained.user, Some(who.user));
            }
        }
    }
}

#[test]
fn minting_refuses_what_the_relay_would_refuse() {
    let minter = |secrets| ephemeral(secrets);
    let mint =
        |minter: &Ephemeral, request: MintRequest<'_>| minter.mint(NOW, &request).map(|credential| credential.username);
    let north = minter(vec![lab_secret("2", "north")]);
    assert_eq!(mint(&north, mint_request(Owner::User("u"))), Ok(format!("{}:u", NOW + 600)));
    assert_eq!(mint(&north, mint_request(Owner::Nobody)), Ok((NOW + 600).to_string()));
    let bound = Owner::Bound { user_id: "7f3a9c", session: Some("9f2c"), max_allocations: NonZeroU32::new(2) };
    let expected = format!("{}:tk1.k2.zclinic.s9f2c.n2.u.7f3a9c", NOW + 600);
    assert_eq!(mint(&north, mint_request(bound)), Ok(expected));
    for user in ["", "tk1.k2.zward.u.x", "a\nb", "a\0", "ä", &"u".repeat(256)] {
        assert!(matches!(mint(&north, mint_request(Owner::User(user))), Err(MintError::User(_))), "{user}");
    }
    for (user_id, session) in [("", None), ("a b", Some("s")), ("a", Some("x.n9")), ("a", Some("")), ("a", Some("a b"))]
    {
        let owner = Owner::Bound { user_id, session, max_allocations: None };
        let error = mint(&north, mint_request(owner)).err();
        let is_meant = if user_id == "a" { |e| e == MintError::Session } else { |e| matches!(e, MintError::User(_)) };
        assert!(error.is_some_and(is_meant), "{user_id} {session:?}: {error:?}");
    }
    let long = MintRequest { ttl: Duration::from_secs(86_401), ..mint_request(Owner::User("u")) };
    assert_eq!(mint(&north, long), Err(MintError::TtlTooLong { max: Duration::from_secs(86_400) }));
    let unknown = MintRequest { key_id: Some("9"), ..mint_request(Owner::User("u")) };
    assert_eq!(mint(&north, unknown), Err(MintError::NoSecret));
    let retired = minter(vec![lab_secret("2", "north").with_not_after(NOW - 1)]);
    assert_eq!(mint(&retired, mint_request(Owner::User("u"))), Err(MintError::NoSecret));
    let named = MintRequest { key_id: Some("2"), ..mint_request(Owner::User("u")) };
    assert_eq!(mint(&retired, named), Err(MintError::WouldBeRefused(AuthReason::SecretRetired)));
}

#[test]
fn an_explanation_names_layout_secret_and_distance() {
    let explained = north().explain(b"1795285900:u-7f3a9c", Some(b"/Nycdx7RO/Vda0x6wRpB04bvq5U="), at(NOW));
    let UsernameReport::Ephemeral { layout, expiry, distance, binding } = explained.username else { panic!() };
    assert_eq!((layout, expiry), (Layout::ExpiryThenUser, Expiry::Seconds(EXPIRY)));
    assert_eq!(distance, Distance::Ahead(Duration::from_secs(3600)));
    assert_eq!(binding, None);
    assert_eq!(explained.password, PasswordReport::Matches(SecretId::new("2").unwrap()));
    assert_eq!(explained.refusals, vec![]);

    let late = north().explain(b"1795285900:u-7f3a9c", None, at(EXPIRY + 37));
    let UsernameReport::Ephemeral { distance, .. } = late.username else { panic!() };
    assert_eq!(distance, Distance::Ago(Duration::from_secs(37)));
    assert_eq!(late.password, PasswordReport::NotGiven);
    assert_eq!(late.refusals, vec![AuthReason::Expired]);
}

#[test]
fn an_explanation_gives_every_reason_and_the_relay_the_first_of_them() {
    let authenticator = authenticator(vec![lab_secret("2", "north").with_not_after(NOW)]);
    let username = "1795285900:tk1.k2.zward.pward.u.a";
    let all = [AuthReason::WrongZone, AuthReason::UnsupportedBinding, AuthReason::SecretRetired, AuthReason::Expired];
    let explained = authenticator.explain(username.as_bytes(), Some(signed(username).as_bytes()), at(EXPIRY + 99));
    assert_eq!(explained.refusals, all);
    assert_eq!(sign_in(&authenticator, username, &signed(username), EXPIRY + 99), Err(all[0]));
    let explained = authenticator.explain(username.as_bytes(), Some(b"x"), at(EXPIRY + 99));
    assert_eq!(explained.refusals[0], AuthReason::WrongPassword);
    assert_eq!(explained.refusals[1..], all);
}

#[test]
fn an_explanation_recognises_what_issuers_get_wrong() {
    let username = "1795285900:u-7f3a9c";
    let right = "/Nycdx7RO/Vda0x6wRpB04bvq5U=";
    let with_line_feed = lab_secret("x", "north\n").password(username.as_bytes());
    let by_sha256 = lab_secret("x", "north").with_hash(PasswordHash::Sha256).password(username.as_bytes());
    for (given, mistake) in [
        (by_sha256.as_str(), Mistake::OtherHash),
        (with_line_feed.as_str(), Mistake::LineFeedInSecret),
        (right.trim_end_matches('='), Mistake::NoPadding),
        (&right.replace('/', "_"), Mistake::UrlAlphabet),
        (&format!("{right}\n"), Mistake::WhiteSpace),
    ] {
        let explained = north().explain(username.as_bytes(), Some(given.as_bytes()), at(NOW));
        let near = PasswordReport::NearMiss(SecretId::new("2").unwrap(), mistake);
        assert_eq!((explained.password, explained.refusals), (near, vec![AuthReason::WrongPassword]), "{given:?}");
        assert_eq!(sign_in(&north(), username, given, NOW), Err(AuthReason::WrongPassword));
    }
}

#[test]
fn an_explanation_of_static_users_and_of_what_nobody_can_read() {
    let mut authenticator = north();
    authenticator.static_users = StaticUsers::parse(REALM, "alice:a\n").unwrap();
    let explain = |username: &str, password: Option<&str>| {
        authenticator.explain(username.as_bytes(), password.map(str::as_bytes), at(NOW))
    };
    assert_eq!(explain("alice", Some("a")).password, PasswordReport::MatchesUser);
    assert_eq!(explain("alice", Some("b")).refusals, vec![AuthReason::WrongPassword]);
    assert_eq!(explain("alice", None).refusals, vec![]);
    assert_eq!(explain("bob", None).refusals, vec![AuthReason::UnknownUser]);
    assert_eq!(explain("bob:1795285900", None).refusals, vec![AuthReason::TimestampOnWrongSide]);
    assert_eq!(explain("1795285900:tk1.k9.zclinic.u.a", None).refusals, vec![AuthReason::UnknownKeyId]);
    let milliseconds = explain("1795285900000:u", Some(&signed("1795285900000:u")));
    assert_eq!(milliseconds.refusals, vec![AuthReason::ExpiryInMilliseconds]);
}

#[test]
fn every_reason_has_a_sentence() {
    for reason in AuthReason::ALL {
        assert!(turnkeep::policy::auth::sentence(*reason).ends_with('.'), "{reason}");
    }
}
