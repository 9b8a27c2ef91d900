//! Key schedules, and blocks encrypted and decrypted under them (FIPS 197 section 5).
//!
//! `R` registers are in hand at once, each with the keys of as many jobs as it has lanes.

use crate::{
    job::{BLOCK_LEN, HALF_LEN},
    vector::{batch::Batch, lanes::Lanes},
};

/// The most round keys that a key has: AES-256 has 14 rounds.
pub(super) const ROUND_KEYS_MAX: usize = 15;

/// The round constants (FIPS 197 section 5.2).
const ROUND_CONSTANTS: [u8; 10] = [0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0x1b, 0x36];

/// Says how many round keys there are: one for each round, and one before them.
pub(super) const fn round_keys(key_len: usize) -> usize {
    key_len / 4 + 7
}

/// Expands the key of each job to its round keys (FIPS 197 section 5.2).
#[inline(always)]
pub(super) fn expand<V: Lanes, const R: usize>(
    lanes: V,
    batch: &Batch<'_, R>,
    round_keys: &mut [[V::Register; R]],
) {
    let words = batch.shape.key_len / BLOCK_LEN;
    for (block, round_key) in round_keys[..words].iter_mut().enumerate() {
        *round_key = batch.gather(lanes, |task| block_of(task.key, block));
    }
    for at in words..round_keys.len() {
        let (before, now) = round_keys.split_at_mut(at);
        let (same, last) = (&before[at - words], &before[at - 1]);
        // AES-256 substitutes between its halves without rotation and constant.
        let is_rotated = at % words == 0;
        let constant = if is_rotated { ROUND_CONSTANTS[at / words - 1] } else { 0 };
        let constant = lanes.splat(&std::array::from_fn(|i| if i % 4 == 0 { constant } else { 0 }));
        for r in 0..R {
            let word = if is_rotated { lanes.last_word_rotated(last[r]) } else { lanes.last_word(last[r]) };
            // The last round of encryption is SubWord here: ShiftRows changes nothing where all words are equal.
            let word = lanes.encrypt_last(word, constant);
            now[0][r] = lanes.running_xor(same[r], word);
        }
    }
}

/// Turns round keys for encryption to those of the equivalent inverse cipher (FIPS 197 section 5.3.5).
#[inline(always)]
pub(super) fn invert<V: Lanes, const R: usize>(lanes: V, round_keys: &mut [[V::Register; R]]) {
    let last = round_keys.len() - 1;
    // Both ends at once, through registers: a reversal in memory would be compiled for any CPU.
    for at in 0..=last / 2 {
        let (mut early, mut late) = (round_keys[at], round_keys[last - at]);
        if at > 0 {
            for r in 0..R {
                early[r] = inverse_mix_columns(lanes, early[r]);
                late[r] = inverse_mix_columns(lanes, late[r]);
            }
        }
        (round_keys[at], round_keys[last - at]) = (late, early);
    }
}

/// InvMixColumns (FIPS 197 section 5.3.3). No wide instruction does that alone, but a round of decryption after one of
/// encryption without MixColumns undoes all else.
#[inline(always)]
fn inverse_mix_columns<V: Lanes>(lanes: V, round_key: V::Register) -> V::Register {
    lanes.decrypt(lanes.encrypt_last(round_key, lanes.zero()), lanes.zero())
}

/// Encrypts the block of each job.
#[inline(always)]
pub(super) fn encrypt<V: Lanes, const R: usize>(
    lanes: V,
    round_keys: &[[V::Register; R]],
    mut state: [V::Register; R],
) -> [V::Register; R] {
    let [first, rounds @ .., last] = round_keys else { unreachable!("there are 11 or 15 round keys") };
    for r in 0..R {
        state[r] = lanes.xor(state[r], first[r]);
    }
    for round_key in rounds {
        for r in 0..R {
            state[r] = lanes.encrypt(state[r], round_key[r]);
        }
    }
    for r in 0..R {
        state[r] = lanes.encrypt_last(state[r], last[r]);
    }
    state
}

/// Decrypts the block of each job, under round keys that were [inverted](invert).
#[inline(always)]
pub(super) fn decrypt<V: Lanes, const R: usize>(
    lanes: V,
    round_keys: &[[V::Register; R]],
    mut state: [V::Register; R],
) -> [V::Register; R] {
    let [first, rounds @ .., last] = round_keys else { unreachable!("there are 11 or 15 round keys") };
    for r in 0..R {
        state[r] = lanes.xor(state[r], first[r]);
    }
    for round_key in rounds {
        for r in 0..R {
            state[r] = lanes.decrypt(state[r], round_key[r]);
        }
    }
    for r in 0..R {
        state[r] = lanes.decrypt_last(state[r], last[r]);
    }
    state
}

/// Block number `index` of `octets`, zeros where they end before it does.
#[inline(always)]
pub(super) fn block_of(octets: &[u8], index: usize) -> [u8; BLOCK_LEN] {
    let rest = &octets[BLOCK_LEN * index..];
    if let Some(block) = rest.first_chunk() {
        return *block;
    }
    let mut block = [0; BLOCK_LEN];
    match rest.as_array::<HALF_LEN>() {
        Some(half) => block[..HALF_LEN].copy_from_slice(half),
        None => block[..rest.len()].copy_from_slice(rest),
    }
    block
}
