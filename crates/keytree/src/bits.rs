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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_every_octet() {
        for octet in 0..=u8::MAX {
            assert_eq!(count(octet), octet.count_ones() as usize);
        }
    }
}
