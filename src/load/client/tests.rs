//! The client against answers that a test writes.

use super::*;
use crate::wire::Method;
use crate::wire::attribute::Encode;

const PEER: &str = "192.0.2.9:4000";
const RELAYED: &str = "192.0.2.1:50000";
const SECOND: u64 = 1_000_000_000;

struct Rig {
    client: Client,
    now_ns: u64,
    out: [u8; MAX_REQUEST],
    ids: u8,
}

impl Rig {
    fn new() -> Self {
        let login = Login { username: "alice".into(), password: String::from("sesame").into() };
        let mut client = Client::new(login, Life::Datagrams, ChannelNumber::new(0x4001));
        client.start();
        Self { client, now_ns: 0, out: [0; MAX_REQUEST], ids: 0 }
    }

    fn poll(&mut self) -> Poll {
        self.ids += 1;
        self.client.poll(self.now_ns, TransactionId([self.ids; 12]), &mut self.out)
    }

    /// The request that is due: its method, and whether the password signed it.
    fn request(&mut self) -> (Method, TransactionId, bool) {
        let Poll::Send { len, .. } = self.poll() else { panic!("nothing is due") };
        let message = Message::parse(&self.out[..len]).unwrap();
        let key = LongTermKey::derive(PasswordAlgorithm::Md5, b"alice", b"example.org", b"sesame");
        let signed = message.verify_integrity(&IntegrityKey::new(Integrity::Sha1, &key)).is_ok();
        (message.method(), message.transaction_id(), signed)
    }

    fn answer(&mut self, id: TransactionId, method: Method, class: Class, put: &[&dyn Put]) -> Option<Told> {
        let mut bytes = [0; 512];
        let mut writer = MessageWriter::new(&mut bytes, method, class, id).unwrap();
        put.iter().for_each(|attribute| attribute.put(&mut writer));
        let len = writer.finish();
        self.client.on_message(self.now_ns, &Message::parse(&bytes[..len]).unwrap())
    }

    /// Expects a signed request of `method` and answers it well, 1 ms later.
    fn serve(&mut self, method: Method, put: &[&dyn Put]) -> Told {
        let (asked, id, signed) = self.request();
        assert_eq!((asked, signed), (method, true));
        self.now_ns += 1_000_000;
        self.answer(id, method, Class::Success, put).unwrap()
    }

    fn challenge(&mut self, nonce: &[u8]) -> Option<Told> {
        let (method, id, signed) = self.request();
        assert_eq!((method, signed), (Method::ALLOCATE, false));
        let put: [&dyn Put; 3] = [&ErrorCode::UNAUTHENTICATED, &Realm(b"example.org"), &Nonce(nonce)];
        self.answer(id, method, Class::Error, &put)
    }

    fn ready() -> Self {
        let mut rig = Self::new();
        rig.client.reach(PEER.parse().unwrap());
        rig.challenge(b"one").unwrap();
        rig.serve(Method::ALLOCATE, &[&relayed()]);
        rig.serve(Method::CREATE_PERMISSION, &[]);
        rig.serve(Method::CHANNEL_BIND, &[]);
        assert!(rig.client.is_ready());
        rig
    }
}

trait Put {
    fn put(&self, writer: &mut MessageWriter<'_>);
}

impl<T: Encode> Put for T {
    fn put(&self, writer: &mut MessageWriter<'_>) {
        writer.put(self).unwrap();
    }
}

fn relayed() -> XorRelayedAddress {
    XorRelayedAddress(RELAYED.parse().unwrap())
}

fn done(step: Step) -> Told {
    Told { step, what: Outcome::Done { took_ns: 1_000_000 } }
}

#[test]
fn a_life_from_challenge_to_free() {
    let mut rig = Rig::new();
    let told = rig.challenge(b"one").unwrap();
    assert_eq!(told, Told { step: Step::Challenge, what: Outcome::Done { took_ns: 0 } });
    assert_eq!(rig.serve(Method::ALLOCATE, &[&relayed()]), done(Step::Allocate));
    assert_eq!(rig.client.relayed(), Some(RELAYED.parse().unwrap()));
    assert_eq!((rig.client.is_allocated(), rig.poll(), rig.client.deadline()), (true, Poll::Idle, None));
    rig.client.reach(PEER.parse().unwrap());
    assert_eq!(rig.serve(Method::CREATE_PERMISSION, &[]), done(Step::Permission));
    assert!(!rig.client.is_ready());
    assert_eq!(rig.serve(Method::CHANNEL_BIND, &[]), done(Step::Channel));
    assert!(rig.client.is_ready());
    rig.client.free();
    assert_eq!(rig.serve(Method::REFRESH, &[&Lifetime(0)]), done(Step::Free));
    assert!(rig.client.is_gone() && rig.client.relayed().is_none());
}

#[test]
fn a_peer_that_is_known_before_is_reached_at_once() {
    assert!(Rig::ready().client.is_ready());
}

/// RFC 8489 §6.2.1: with an RTO of 500 ms at 0, 500, 1500, 3500, 7500, 15,500 and 31,500 ms, given up at 39,500 ms; the
/// transaction stays the same.
#[test]
fn requests_are_sent_again_and_given_up() {
    let mut rig = Rig::new();
    let mut sent = Vec::new();
    let told = loop {
        match rig.poll() {
            Poll::Send { again, .. } => sent.push((rig.now_ns / 1_000_000, again, rig.out[8])),
            Poll::Told(told) => break told,
            Poll::Idle => rig.now_ns = rig.client.deadline().unwrap(),
            Poll::Connect => panic!("there is nothing to connect"),
        }
    };
    let at = [0, 500, 1500, 3500, 7500, 15_500, 31_500];
    assert_eq!(sent, at.map(|at| (at, at > 0, 1)));
    assert_eq!((rig.now_ns / 1_000_000, told), (39_500, Told { step: Step::Challenge, what: Outcome::TimedOut }));
    assert!(rig.client.is_gone());
}

#[test]
fn only_the_answer_to_the_open_request_counts() {
    let mut rig = Rig::new();
    rig.challenge(b"one");
    let (_, id, _) = rig.request();
    assert_eq!(rig.answer(TransactionId([0; 12]), Method::ALLOCATE, Class::Success, &[&relayed()]), None);
    assert_eq!(rig.answer(id, Method::REFRESH, Class::Success, &[]), None);
    assert_eq!(rig.answer(id, Method::ALLOCATE, Class::Request, &[]), None);
    assert!(rig.answer(id, Method::ALLOCATE, Class::Success, &[&relayed()]).is_some());
    assert_eq!(rig.answer(id, Method::ALLOCATE, Class::Success, &[&relayed()]), None, "a copy");
}

#[test]
fn refusals_end_it_with_their_code() {
    let mut rig = Rig::new();
    rig.challenge(b"one");
    let (method, id, _) = rig.request();
    let told = rig.answer(id, method, Class::Error, &[&ErrorCode::ALLOCATION_QUOTA_REACHED]).unwrap();
    assert_eq!(told, Told { step: Step::Allocate, what: Outcome::Refused(486) });
    assert!(rig.client.is_gone());

    // Wrong credentials: 401 once more.
    let mut rig = Rig::new();
    rig.challenge(b"one");
    let (method, id, _) = rig.request();
    let put: [&dyn Put; 3] = [&ErrorCode::UNAUTHENTICATED, &Realm(b"example.org"), &Nonce(b"two")];
    assert_eq!(rig.answer(id, method, Class::Error, &put).unwrap().what, Outcome::Refused(401));

    let mut rig = Rig::new();
    rig.challenge(b"one");
    let (method, id, _) = rig.request();
    assert_eq!(rig.answer(id, method, Class::Success, &[]).unwrap().what, Outcome::Refused(0), "no relayed address");
}

/// RFC 8489 §9.2.5.
#[test]
fn a_stale_nonce_is_replaced_but_not_for_ever() {
    let mut rig = Rig::ready();
    rig.client.free();
    let mut refused = None;
    for nonce in [&b"two"[..], b"three", b"four", b"five"] {
        assert_eq!(refused, None);
        let (method, id, signed) = rig.request();
        assert!(signed);
        let put: [&dyn Put; 3] = [&ErrorCode::STALE_NONCE, &Realm(b"example.org"), &Nonce(nonce)];
        refused = rig.answer(id, method, Class::Error, &put);
    }
    assert_eq!(refused, Some(Told { step: Step::Free, what: Outcome::Refused(438) }));
}

/// RFC 8656 §9: a permission lives five minutes.
#[test]
fn everything_is_refreshed_before_the_permission_ends() {
    let mut rig = Rig::ready();
    let due = rig.client.deadline().unwrap();
    assert!(due < 300 * SECOND);
    assert_eq!(rig.poll(), Poll::Idle);
    rig.now_ns = due;
    assert_eq!(rig.serve(Method::REFRESH, &[&Lifetime(600)]), done(Step::Refresh));
    assert!(rig.client.is_ready(), "packets go on");
    rig.serve(Method::CREATE_PERMISSION, &[]);
    rig.serve(Method::CHANNEL_BIND, &[]);
    assert!(rig.client.deadline().unwrap() > due);
}

/// RFC 8656 §7.4: the server decides how long it grants.
#[test]
fn what_is_granted_for_less_is_refreshed_earlier() {
    let mut rig = Rig::new();
    rig.client.reach(PEER.parse().unwrap());
    rig.challenge(b"one").unwrap();
    rig.serve(Method::ALLOCATE, &[&relayed(), &Lifetime(60)]);
    let granted_ns = rig.now_ns;
    rig.serve(Method::CREATE_PERMISSION, &[]);
    rig.serve(Method::CHANNEL_BIND, &[]);
    assert_eq!(rig.client.deadline(), Some(granted_ns + 30 * SECOND));
    rig.now_ns = granted_ns + 30 * SECOND;
    rig.serve(Method::REFRESH, &[&Lifetime(3600)]);
    rig.serve(Method::CREATE_PERMISSION, &[]);
    rig.serve(Method::CHANNEL_BIND, &[]);
    assert_eq!(rig.client.deadline(), Some(rig.now_ns + REFRESH_NS), "the permission ends first");
}
