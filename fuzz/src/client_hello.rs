//! The first message of TLS: what is found in it is the same however it is cut into records and wherever it ends.

use turnkeep::wire::client_hello::{ClientHello, MAX_CLIENT_HELLO, NoClientHello};

use super::input::Input;

/// The name and the protocols.
type Found = (Option<Vec<u8>>, Vec<Vec<u8>>);

/// Reads `input` as what a client says first, and as a message that it is put into records as.
pub fn run(input: &[u8]) {
    let mut steps = Input::new(input);
    let size = 1 + usize::from(steps.u8());
    // As it is.
    let found = read(input);
    if let Ok(Some(found)) = &found {
        assert_ends_once(input, found);
    }
    // As a message, cut evenly.
    let message = steps.take(MAX_CLIENT_HELLO);
    let whole = read(&in_records(message, 16_384));
    assert_eq!(read(&in_records(message, size)), whole, "records of {size}");
    if let Ok(Some((name, protocols))) = whole {
        let has = |part: &[u8]| part.is_empty() || message.windows(part.len()).any(|window| window == part);
        assert!(name.iter().chain(&protocols).all(|part| has(part)), "nothing is made up");
    }
}

/// It is there from its last byte on, and is not told otherwise before.
fn assert_ends_once(bytes: &[u8], found: &Found) {
    let mut is_there = false;
    for len in 0..=bytes.len() {
        match read(&bytes[..len]) {
            Ok(None) => assert!(!is_there, "{len}"),
            Ok(Some(again)) => {
                is_there = true;
                assert_eq!(again, *found, "{len}");
            }
            Err(NoClientHello) => panic!("it was refused after {len} bytes, and taken later"),
        }
    }
}

fn in_records(message: &[u8], size: usize) -> Vec<u8> {
    let record =
        |part: &[u8]| [&[22, 3, 1][..], &u16::try_from(part.len()).expect("short").to_be_bytes(), part].concat();
    message.chunks(size).flat_map(record).collect()
}

fn read(bytes: &[u8]) -> Result<Option<Found>, NoClientHello> {
    let mut room = [0; MAX_CLIENT_HELLO];
    let hello = ClientHello::read(bytes, &mut room)?;
    let owned = |hello: ClientHello<'_>| {
        (hello.server_name.map(<[u8]>::to_vec), hello.protocols().map(<[u8]>::to_vec).collect())
    };
    Ok(hello.map(owned))
}
