//! The jobs that one set of registers does side by side: their octets in, their octets out.

use crate::{
    job::{BLOCK_LEN, HALF_LEN, Task},
    shape::Shape,
    vector::lanes::{Block, Lanes},
};

/// As many jobs as `R` registers have lanes, or fewer: the lanes that are left repeat the last job, to no effect.
pub(super) struct Batch<'a, const R: usize> {
    /// What the jobs have in common.
    pub(super) shape: &'a Shape,
    tasks: &'a [Task<'a>],
}

impl<'a, const R: usize> Batch<'a, R> {
    /// Takes jobs, of which there is at least one.
    #[inline(always)]
    pub(super) fn new(shape: &'a Shape, tasks: &'a [Task<'a>]) -> Self {
        assert!(!tasks.is_empty(), "a batch has jobs");
        Self { shape, tasks }
    }

    /// Loads what `load` has for each job.
    #[inline(always)]
    pub(super) fn gather<V: Lanes>(&self, lanes: V, load: impl Fn(&Task<'a>) -> Block) -> [V::Register; R] {
        let mut registers = [lanes.zero(); R];
        for (r, register) in registers.iter_mut().enumerate() {
            *register = lanes.gather(|lane| {
                let job = (r * V::LANES + lane).min(self.tasks.len() - 1);
                load(&self.tasks[job])
            });
        }
        registers
    }

    /// Hands each job's block to `store`.
    #[inline(always)]
    pub(super) fn each<V: Lanes>(
        &self,
        lanes: V,
        registers: [V::Register; R],
        mut store: impl FnMut(usize, &Block),
    ) {
        for (r, register) in registers.into_iter().enumerate() {
            lanes.scatter(register, |lane, block| {
                let job = r * V::LANES + lane;
                if job < self.tasks.len() {
                    store(job, block);
                }
            });
        }
    }

    /// Writes each job's block to its output, at `offset`; what does not fit there is left out.
    #[inline(always)]
    pub(super) fn scatter<V: Lanes>(
        &self,
        lanes: V,
        registers: [V::Register; R],
        out: &mut [u8],
        offset: usize,
    ) {
        let stride = self.shape.output_len;
        let length = (stride - offset).min(BLOCK_LEN);
        self.each(lanes, registers, |job, block| {
            let to = &mut out[job * stride + offset..][..length];
            if let Some(to) = to.as_mut_array() {
                *to = *block;
            } else if let (Some(to), Some(half)) = (to.as_mut_array::<HALF_LEN>(), block.first_chunk()) {
                *to = *half;
            } else {
                to.copy_from_slice(&block[..length]);
            }
        });
    }
}
