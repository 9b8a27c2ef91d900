//! Cipher block chaining without padding (RFC 6407 section 5.6.3), many texts at a time.

use crate::{
    job::BLOCK_LEN,
    vector::{
        batch::Batch,
        lanes::{Kernel, Lanes},
        schedule::{block_of, decrypt, encrypt, expand, invert},
        scratch::Room,
    },
};

/// Encrypts a batch.
pub(super) struct EncryptCbc<'a, V: Lanes, const R: usize> {
    pub(super) batch: Batch<'a, R>,
    pub(super) room: Room<'a, V, R>,
    pub(super) out: &'a mut [u8],
}

impl<V: Lanes, const R: usize> Kernel<V> for EncryptCbc<'_, V, R> {
    #[inline(always)]
    fn run(self, lanes: V) {
        let Self { batch, room: Room { round_keys, .. }, out } = self;
        expand(lanes, &batch, round_keys);
        let mut previous = batch.gather(lanes, |task| *task.iv);
        for block in 0..batch.shape.input_len / BLOCK_LEN {
            let mut state = batch.gather(lanes, |task| block_of(task.input, block));
            for r in 0..R {
                state[r] = lanes.xor(state[r], previous[r]);
            }
            previous = encrypt(lanes, round_keys, state);
            batch.scatter(lanes, previous, out, BLOCK_LEN * block);
        }
    }
}

/// Decrypts a batch.
pub(super) struct DecryptCbc<'a, V: Lanes, const R: usize> {
    pub(super) batch: Batch<'a, R>,
    pub(super) room: Room<'a, V, R>,
    pub(super) out: &'a mut [u8],
}

impl<V: Lanes, const R: usize> Kernel<V> for DecryptCbc<'_, V, R> {
    #[inline(always)]
    fn run(self, lanes: V) {
        let Self { batch, room: Room { round_keys, .. }, out } = self;
        expand(lanes, &batch, round_keys);
        invert(lanes, round_keys);
        let mut previous = batch.gather(lanes, |task| *task.iv);
        for block in 0..batch.shape.input_len / BLOCK_LEN {
            let ciphertext = batch.gather(lanes, |task| block_of(task.input, block));
            let mut state = decrypt(lanes, round_keys, ciphertext);
            for r in 0..R {
                state[r] = lanes.xor(state[r], previous[r]);
            }
            previous = ciphertext;
            batch.scatter(lanes, state, out, BLOCK_LEN * block);
        }
    }
}
