//! The set bits of small masks.

/// The number of set bits of each octet. The instruction for it is not on every CPU that a program is built for, and
/// without it this table is the faster way.
const COUNTS: [u8; 256] = {
    let mut counts = [0; 256];
    let mut octet = 1;
    while octet < 256 {
        counts[octet] = counts[octet / 2] + (octet % 2) as u8;
        octet += 1;
    }
    counts
};

/// Counts the set bits of a mask of children.
#[inline]
pub(crate) fn count(mask: u8) -> usize {
    COUNTS[usize::from(mask)].into()
}

/// The places of the set bits of each octet, in order; behind them the last one again, as often as there is room.
const PLACES: [[u8; 8]; 256] = {
    let mut places = [[0; 8]; 256];
    let mut octet = 0;
    while octet < 256 {
        let (mut next, mut place, mut last) = (0, 0, 0);
        while place < 8 {
            if octet >> place & 1 == 1 {
                places[octet][next] = place;
                (next, last) = (next + 1, place);
            }
            place += 1;
        }
        while next < 8 {
            places[octet][next] = last;
            next += 1;
        }
        octet += 1;
    }
    places
};

/// Lists the places of the set bits of a mask of children, in order; behind them the last one again, as often as there is
/// room. So a loop over all can do the same each time: what it does to the last one more than once is done.
#[inline]
pub(crate) fn places(mask: u8) -> &'static [u8; 8] {
    &PLACES[usize::from(mask)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_every_octet() {
        for octet in 0..=u8::MAX {
            assert_eq!(count(octet), octet.count_ones() as usize);
        }
    }

    #[test]
    fn lists_the_places_of_every_octet() {
        for octet in 1..=u8::MAX {
            let expected: Vec<u8> = (0..8).filter(|place| octet >> place & 1 == 1).collect();
            let (set, again) = places(octet).split_at(expected.len());
            assert_eq!(set, expected);
            assert!(again.iter().all(|place| Some(place) == expected.last()));
        }
        assert_eq!(*places(0), [0; 8]);
    }
}
