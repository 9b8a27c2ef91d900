//! How much of anything is held, and why no more.

use std::time::Duration;

use claviger_sansio::Time;

/// The longest message in octets: what one UDP datagram over IPv4 carries.
pub const MESSAGE_LEN_MAX: usize = 65_507;

/// The most payloads of a message: a GROUPKEY-PUSH with its deletes has the most, and needs fewer.
pub const PAYLOADS_MAX: usize = 32;

/// The octets of the nonces made here. RFC 2409 section 5 allows 8 to 256, RFC 6407 section 5.8 allows 8 to 128.
pub const NONCE_LEN: usize = 32;

/// The most message ids remembered for one cookie pair. A member that pulls every ten minutes registers anew
/// after eight weeks; the record takes less than 200 kB then.
pub const MESSAGE_IDS_MAX: usize = 8192;

/// The longest ciphertext in octets whose HASH is looked at however many before it were wrong: that costs no more than it
/// costs to take such a datagram from the network. Cookies can be seen by everybody on the way; a limit would let whoever
/// sends junk under them keep the peer from being heard. Longer ones, such as large downloads, are limited.
pub const UNCOUNTED_LEN_MAX: usize = 2_048;

/// How many long messages with a wrong HASH are decrypted at once under one cookie pair before it must cool down.
pub const DECRYPTIONS_BURST: u32 = 64;

/// How long it takes until one more of them is decrypted.
pub const DECRYPTION_INTERVAL: Duration = Duration::from_millis(125);

/// A counter that leaks: it fills with each event and empties with time.
#[derive(Debug, Clone)]
pub struct LeakyCounter {
    /// When the counter is empty again.
    empty_at: Time,
}

impl Default for LeakyCounter {
    fn default() -> Self {
        Self::new()
    }
}

impl LeakyCounter {
    /// Starts empty.
    pub fn new() -> Self {
        Self { empty_at: Time::EPOCH }
    }

    /// Says whether one more event fits.
    pub fn has_room(&self, now: Time) -> bool {
        self.empty_at.since(now) < DECRYPTION_INTERVAL * DECRYPTIONS_BURST
    }

    /// Counts an event.
    pub fn count(&mut self, now: Time) {
        self.empty_at = self.empty_at.max(now) + DECRYPTION_INTERVAL;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_counter_leaks_one_event_an_interval() {
        let now = Time::from_secs(1_000);
        let mut counter = LeakyCounter::new();
        for _ in 0..DECRYPTIONS_BURST {
            assert!(counter.has_room(now));
            counter.count(now);
        }
        assert!(!counter.has_room(now));
        let later = now + DECRYPTION_INTERVAL;
        assert!(counter.has_room(later));
        counter.count(later);
        assert!(!counter.has_room(later));
        assert!(counter.has_room(now + DECRYPTION_INTERVAL * DECRYPTIONS_BURST));
    }
}
