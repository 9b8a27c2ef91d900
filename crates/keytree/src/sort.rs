//! Sorting leaves.

/// Lists shorter than this are sorted by comparison.
const RADIX_MIN: usize = 512;
/// The bits that one pass sorts by.
const RADIX_BITS: u32 = 11;

/// Sorts indices. Many of them are sorted digit by digit, in a fraction of the time of comparisons.
pub(crate) fn sort(indices: &mut Vec<u32>) {
    if indices.len() < RADIX_MIN {
        indices.sort_unstable();
        return;
    }
    let highest = indices.iter().copied().max().unwrap_or(0);
    let mut sorted = vec![0; indices.len()];
    let mut shift = 0;
    while shift < u32::BITS && highest >> shift != 0 {
        let digit = |index: u32| (index >> shift) as usize % (1 << RADIX_BITS);
        let mut starts = [0_u32; 1 << RADIX_BITS];
        for index in indices.iter() {
            starts[digit(*index)] += 1;
        }
        let mut start = 0;
        for count in &mut starts {
            start += std::mem::replace(count, start);
        }
        for index in indices.iter() {
            let place = &mut starts[digit(*index)];
            sorted[*place as usize] = *index;
            *place += 1;
        }
        std::mem::swap(indices, &mut sorted);
        shift += RADIX_BITS;
    }
}

#[cfg(test)]
mod tests {
    use claviger_crypto::{SeededRandom, random};

    use super::*;

    #[test]
    fn sorts_few_and_many_of_any_size() {
        let dice = &mut SeededRandom::new(1);
        for length in [0, 1, 2, RADIX_MIN - 1, RADIX_MIN, 3000] {
            for bits in [0, 1, 11, 12, 22, 23, 32] {
                let mut indices: Vec<u32> = (0..length)
                    .map(|_| u32::from_be_bytes(random::array(dice)).checked_shr(32 - bits).unwrap_or(0))
                    .collect();
                let mut expected = indices.clone();
                expected.sort_unstable();
                sort(&mut indices);
                assert_eq!(indices, expected, "{length} of {bits} bits");
            }
        }
    }
}
