//! The key derivation function with AES-CMAC, under many keys at a time.

use crate::{
    job::BLOCK_LEN,
    kdf,
    vector::{
        batch::Batch,
        lanes::{Kernel, Lanes},
        schedule::{encrypt, expand},
        scratch::Room,
    },
};

/// Derives as much as the outputs hold from each key of a batch.
pub(super) struct Derive<'a, V: Lanes, const R: usize> {
    pub(super) batch: Batch<'a, R>,
    pub(super) room: Room<'a, V, R>,
    pub(super) label: &'static [u8; 7],
    pub(super) out: &'a mut [u8],
}

impl<V: Lanes, const R: usize> Kernel<V> for Derive<'_, V, R> {
    /// RFC 4493 section 2.4 over each message of the derivation, which are whole blocks.
    #[inline(always)]
    fn run(self, lanes: V) {
        let Self { batch, room: Room { round_keys, .. }, label, out } = self;
        expand(lanes, &batch, round_keys);
        let mut subkey = encrypt(lanes, round_keys, [lanes.zero(); R]);
        for register in &mut subkey {
            *register = lanes.double(*register);
        }
        let length = batch.shape.output_len;
        for (block, counter) in (0..length / BLOCK_LEN).zip(1..) {
            let message = lanes.splat(&kdf::message(counter, label, length));
            let mut state = subkey;
            for register in &mut state {
                *register = lanes.xor(*register, message);
            }
            batch.scatter(lanes, encrypt(lanes, round_keys, state), out, BLOCK_LEN * block);
        }
    }
}
