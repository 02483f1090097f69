//! Ports that are kept for whoever shows a token (RFC 8656 §7.2, EVEN-PORT with the R bit and RESERVATION-TOKEN): by
//! any worker, for its own user, once, and for 30 seconds.
//!
//! A pure data structure: time is an argument. `T` is what is kept.
#![forbid(unsafe_code)]

use std::collections::VecDeque;

use crate::relay::limits::{MAX_RESERVATIONS, RESERVATION_LIFETIME};
use crate::relay::{Instant, Reservation};

/// What is kept, the oldest first.
#[derive(Debug)]
pub(super) struct Reservations<T> {
    entries: VecDeque<Entry<T>>,
}

#[derive(Debug)]
struct Entry<T> {
    until: Instant,
    reservation: Reservation,
    kept: T,
}

impl<T> Reservations<T> {
    /// Nothing.
    pub(super) fn new() -> Self {
        Self { entries: VecDeque::new() }
    }

    /// How many.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// There is no room for another.
    pub(super) fn is_full(&self) -> bool {
        self.len() >= MAX_RESERVATIONS
    }

    /// Keeps `kept` from now on. The caller has seen that there is room.
    pub(super) fn keep(&mut self, now: Instant, reservation: Reservation, kept: T) {
        self.entries.push_back(Entry { until: now.after(RESERVATION_LIFETIME), reservation, kept });
    }

    /// Hands out what is kept, if the token and its user are right and the time is not over.
    pub(super) fn redeem(&mut self, now: Instant, shown: &Reservation) -> Option<T> {
        let place = self.entries.iter().position(|entry| entry.reservation == *shown && entry.until > now)?;
        self.entries.remove(place).map(|entry| entry.kept)
    }

    /// The next whose time is over.
    pub(super) fn pop_over(&mut self, now: Instant) -> Option<T> {
        self.entries.pop_front_if(|entry| entry.until <= now).map(|entry| entry.kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::Token;
    use crate::relay::seam::UserId;

    fn at(second: u64) -> Instant {
        Instant::from_nanos(second * 1_000_000_000)
    }

    fn reservation(token: u8, user: &str) -> Reservation {
        Reservation { token: Token::received([token; 8]), user: UserId(user.into()) }
    }

    /// C-140, C-141, C-142, D-40: RFC 8656 §7.2.
    #[test]
    fn is_good_once_for_its_user_and_for_30_seconds() {
        let mut reservations = Reservations::new();
        reservations.keep(at(0), reservation(1, "alice"), 'a');
        reservations.keep(at(5), reservation(2, "bob"), 'b');
        assert_eq!(reservations.redeem(at(1), &reservation(1, "bob")), None);
        assert_eq!(reservations.redeem(at(1), &reservation(3, "alice")), None);
        assert_eq!(reservations.redeem(at(29), &reservation(1, "alice")), Some('a'));
        assert_eq!(reservations.redeem(at(29), &reservation(1, "alice")), None);
        assert_eq!(reservations.pop_over(at(34)), None);
        assert_eq!(reservations.redeem(at(35), &reservation(2, "bob")), None, "its time is over");
        assert_eq!((reservations.pop_over(at(35)), reservations.pop_over(at(35))), (Some('b'), None));
    }

    #[test]
    fn is_bounded() {
        let mut reservations = Reservations::new();
        (0..MAX_RESERVATIONS).for_each(|_| reservations.keep(at(0), reservation(1, "alice"), ()));
        assert!(reservations.is_full());
        assert!(reservations.redeem(at(0), &reservation(1, "alice")).is_some() && !reservations.is_full());
    }
}
