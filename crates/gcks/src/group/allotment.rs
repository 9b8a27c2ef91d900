//! How many sender ids one member may have at a time.
//!
//! One key serves all senders, so that ids are scarce: 2^8, 2^12 or 2^16 of them (RFC 6407 section 5.4.2). Members share half
//! of them evenly, so that whoever asks without end comes to the end of its own share, and of nobody else's. The other half is
//! for senders that come.

/// The part of all ids that senders share.
const SHARED_PART: u32 = 2;

/// The least share, as a part of all ids: with a million senders there would be none. Of 2^16 that is 64 ids, the most that
/// one PULL asks for.
const LEAST_PART: u32 = 1 << 10;

/// The least share in ids: one that is in use, and the one that the next PULL brings.
const LEAST: u32 = 2;

/// The part of all ids that is not to be fallen below: while fewer are free, a sender that pulls gets ids anew with a new TEK
/// instead of further ones.
const RESERVE_PART: u32 = 8;

/// Says how many ids a member may have where so many members have some, it among them, of `space` ids in all.
pub(super) const fn allotment(space: u32, senders: u32) -> u32 {
    let share = space / SHARED_PART / if senders == 0 { 1 } else { senders };
    let least = if space / LEAST_PART > LEAST { space / LEAST_PART } else { LEAST };
    if share > least { share } else { least }
}

/// Says whether so few ids of `space` are free that senders get theirs anew.
pub(super) const fn runs_low(space: u32, free: u32) -> bool {
    free < space / RESERVE_PART
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_even_and_never_less_than_a_pull_needs() {
        assert_eq!(
            [1, 2, 10, 512, 1 << 20].map(|senders| allotment(1 << 16, senders)),
            [32768, 16384, 3276, 64, 64]
        );
        assert_eq!([0, 1, 10, 1000].map(|senders| allotment(1 << 8, senders)), [128, 128, 12, 2]);
        assert_eq!(allotment(1 << 12, 1000), 4);
    }
}
