//! AES key wrap (RFC 3394), with padding too (RFC 5649), many at a time.

use crate::{
    check::{initial_value, judge},
    job::{BLOCK_LEN, HALF_LEN},
    shape::Verdicts,
    vector::{
        batch::Batch,
        lanes::{Kernel, Lanes},
        schedule::{block_of, decrypt, encrypt, expand, invert},
        scratch::Room,
    },
};

/// Wraps a batch.
pub(super) struct Wrap<'a, V: Lanes, const R: usize> {
    pub(super) batch: Batch<'a, R>,
    pub(super) room: Room<'a, V, R>,
    pub(super) out: &'a mut [u8],
}

impl<V: Lanes, const R: usize> Kernel<V> for Wrap<'_, V, R> {
    /// RFC 3394 section 2.2.1, index based, and RFC 5649 section 4.1.
    #[inline(always)]
    fn run(self, lanes: V) {
        let Self { batch, room: Room { round_keys, halves }, out } = self;
        expand(lanes, &batch, round_keys);
        for (pair, block) in halves.chunks_mut(2).zip(0..) {
            let both = batch.gather(lanes, |task| block_of(task.input, block));
            for r in 0..R {
                pair[0][r] = lanes.first_twice(both[r]);
            }
            if let Some(second) = pair.get_mut(1) {
                *second = both;
            }
        }
        let mut value = [lanes.number(initial_value(batch.shape)); R];
        if let [half] = halves {
            for r in 0..R {
                value[r] = lanes.first_second(value[r], half[r]);
            }
            return batch.scatter(lanes, encrypt(lanes, round_keys, value), out, 0);
        }
        let mut step = 0;
        for _ in 0..6 {
            for half in &mut *halves {
                step += 1;
                let mut state = value;
                for r in 0..R {
                    state[r] = lanes.first_second(value[r], half[r]);
                }
                state = encrypt(lanes, round_keys, state);
                *half = state;
                let step = lanes.number(step);
                for r in 0..R {
                    value[r] = lanes.xor(state[r], step);
                }
            }
        }
        for r in 0..R {
            value[r] = lanes.first_second(value[r], halves[0][r]);
        }
        batch.scatter(lanes, value, out, 0);
        scatter_halves(lanes, &batch, &halves[1..], out, BLOCK_LEN);
    }
}

/// Unwraps a batch.
pub(super) struct Unwrap<'a, V: Lanes, const R: usize> {
    pub(super) batch: Batch<'a, R>,
    pub(super) room: Room<'a, V, R>,
    pub(super) out: &'a mut [u8],
    pub(super) verdicts: &'a mut Verdicts,
}

impl<V: Lanes, const R: usize> Kernel<V> for Unwrap<'_, V, R> {
    /// RFC 3394 section 2.2.2, index based, and RFC 5649 section 4.2.
    #[inline(always)]
    fn run(self, lanes: V) {
        let Self { batch, room: Room { round_keys, halves }, out, verdicts } = self;
        expand(lanes, &batch, round_keys);
        invert(lanes, round_keys);
        let mut value = batch.gather(lanes, |task| block_of(task.input, 0));
        halves[0] = value;
        for (pair, block) in halves[1..].chunks_mut(2).zip(1..) {
            let both = batch.gather(lanes, |task| block_of(task.input, block));
            for r in 0..R {
                pair[0][r] = lanes.first_twice(both[r]);
            }
            if let Some(second) = pair.get_mut(1) {
                *second = both;
            }
        }
        if let [half] = halves {
            value = decrypt(lanes, round_keys, value);
            *half = value;
        } else {
            let mut step = 6 * halves.len() as u64;
            for _ in 0..6 {
                for half in halves.iter_mut().rev() {
                    let number = lanes.number(step);
                    for r in 0..R {
                        value[r] = lanes.first_second(lanes.xor(value[r], number), half[r]);
                    }
                    value = decrypt(lanes, round_keys, value);
                    *half = value;
                    step -= 1;
                }
            }
        }
        scatter_halves(lanes, &batch, halves, out, 0);
        batch.each(lanes, value, |job, block| {
            let value = block.first_chunk().expect("a block is longer than a half");
            let stride = batch.shape.output_len;
            let output = &mut out[job * stride..][..stride];
            verdicts.push(judge(batch.shape, u64::from_be_bytes(*value), output));
        });
    }
}

/// Writes halves, which stand in the second place of their blocks, one after the other from `offset` on.
#[inline(always)]
fn scatter_halves<V: Lanes, const R: usize>(
    lanes: V,
    batch: &Batch<'_, R>,
    halves: &[[V::Register; R]],
    out: &mut [u8],
    offset: usize,
) {
    for (index, pair) in halves.chunks(2).enumerate() {
        let mut blocks = pair[0];
        for r in 0..R {
            blocks[r] = lanes.seconds(pair[0][r], pair[pair.len() - 1][r]);
        }
        batch.scatter(lanes, blocks, out, offset + 2 * HALF_LEN * index);
    }
}
