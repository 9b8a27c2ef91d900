//! The engines that do several jobs side by side: one in each 128-bit lane of a register, and several registers in
//! flight at once, since each AES round waits for the one before.
//!
//! Every algorithm here is written once, in safe code, over what the lanes of any CPU can do; only the files of the
//! CPUs are unsafe, and only because their instructions are. None of these instructions depends in its time on
//! what it works on.
//!
//! | module | what |
//! |---|---|
//! | [`lanes`] | what a CPU's registers must be able to do |
//! | [`vaes`], [`aes_ni`] | that, by the instructions of VAES with AVX-512, and of AES-NI |
//! | [`schedule`] | key schedules, and blocks encrypted under them |
//! | [`scratch`] | where they live until the call returns |
//! | [`batch`] | the jobs of a set of registers: their octets in, their octets out |
//! | [`key_wrap`], [`cbc`], [`mod@derive`] | the operations |
//! | [`ahead`] | memory that will be read soon |

use claviger_crypto::CryptoError;

use crate::{
    engine::Engine,
    job::{HALF_LEN, Task},
    kdf, portable,
    shape::{GROUP, Group, Operation, Shape, Source, Verdicts},
    vector::{
        aes_ni::AesNi,
        batch::Batch,
        cbc::{DecryptCbc, EncryptCbc},
        derive::Derive,
        key_wrap::{Unwrap, Wrap},
        lanes::Lanes,
        schedule::round_keys,
        scratch::{HALVES_MAX, Scratch},
        vaes::Vaes,
    },
};

mod aes_ni;
pub(crate) mod ahead;
mod batch;
mod cbc;
mod derive;
mod key_wrap;
mod lanes;
mod schedule;
mod scratch;
mod vaes;

/// Says whether this CPU has what `engine` needs.
pub(crate) fn is_available(engine: Engine) -> bool {
    match engine {
        Engine::Vaes => Vaes::detect().is_some(),
        Engine::AesNi => AesNi::detect().is_some(),
        Engine::Portable => true,
    }
}

/// Does every job of `source`, of which there are `count`, with `engine` or with what stands in for it.
pub(crate) fn run<'a>(
    engine: Engine,
    shape: &Shape,
    count: usize,
    source: &mut dyn Source<'a>,
    out: &mut [u8],
    verdicts: &mut Verdicts,
) -> Result<(), CryptoError> {
    if halves(shape) <= HALVES_MAX {
        match engine {
            Engine::Vaes => {
                if let Some(lanes) = Vaes::detect() {
                    return with(lanes, shape, count, source, out, verdicts);
                }
            }
            Engine::AesNi => {
                if let Some(lanes) = AesNi::detect() {
                    return with(lanes, shape, count, source, out, verdicts);
                }
            }
            Engine::Portable => {}
        }
    }
    portable::run(shape, source, out, verdicts)
}

/// Says of how many halves the keys are that are wrapped.
fn halves(shape: &Shape) -> usize {
    match shape.operation {
        Operation::Wrap | Operation::WrapPadded => shape.output_len / HALF_LEN - 1,
        Operation::Unwrap | Operation::UnwrapPadded => shape.output_len / HALF_LEN,
        Operation::Advance | Operation::DecryptCbc | Operation::DeriveIv | Operation::EncryptCbc => 0,
    }
}

/// As many registers as hide the time that one instruction takes behind the others.
const REGISTERS: usize = 8;

/// Does the jobs with as little memory as will do: what is not written to need not be erased.
fn with<'a, V: Lanes>(
    lanes: V,
    shape: &Shape,
    count: usize,
    source: &mut dyn Source<'a>,
    out: &mut [u8],
    verdicts: &mut Verdicts,
) -> Result<(), CryptoError> {
    match count.div_ceil(V::LANES) {
        0 | 1 => Call::<V, 1>::new(lanes, shape).run(source, out, verdicts),
        2 => Call::<V, 2>::new(lanes, shape).run(source, out, verdicts),
        3 | 4 => Call::<V, 4>::new(lanes, shape).run(source, out, verdicts),
        _ => Call::<V, REGISTERS>::new(lanes, shape).run(source, out, verdicts),
    }
}

/// One call, with memory for `R` registers.
struct Call<'s, V: Lanes, const R: usize> {
    lanes: V,
    shape: &'s Shape,
    scratch: Scratch<V, R>,
}

impl<'s, V: Lanes, const R: usize> Call<'s, V, R> {
    fn new(lanes: V, shape: &'s Shape) -> Self {
        let scratch = Scratch::new(lanes, round_keys(shape.key_len), halves(shape));
        Self { lanes, shape, scratch }
    }

    fn run<'a>(
        mut self,
        source: &mut dyn Source<'a>,
        mut out: &mut [u8],
        verdicts: &mut Verdicts,
    ) -> Result<(), CryptoError> {
        const { assert!(REGISTERS * V::LANES <= GROUP, "a group fills the registers") }
        let mut group = Group::new();
        while !out.is_empty() {
            let tasks = source.fill(&mut group, R * V::LANES)?;
            let now;
            (now, out) = self.shape.take(out, tasks.len())?;
            self.batch(tasks, now, verdicts);
        }
        Ok(())
    }

    /// Does some jobs in no more registers than they need, roughly.
    fn batch(&mut self, tasks: &[Task<'_>], out: &mut [u8], verdicts: &mut Verdicts) {
        match tasks.len().div_ceil(V::LANES) {
            0 | 1 => self.batch_in::<1>(tasks, out, verdicts),
            2 => self.batch_in::<2>(tasks, out, verdicts),
            3 | 4 => self.batch_in::<4>(tasks, out, verdicts),
            5 | 6 => self.batch_in::<6>(tasks, out, verdicts),
            _ => self.batch_in::<REGISTERS>(tasks, out, verdicts),
        }
    }

    fn batch_in<const N: usize>(&mut self, tasks: &[Task<'_>], out: &mut [u8], verdicts: &mut Verdicts) {
        let (lanes, shape) = (self.lanes, self.shape);
        let batch = Batch::<N>::new(shape, tasks);
        let room = self.scratch.lend();
        match shape.operation {
            Operation::Wrap | Operation::WrapPadded => {
                lanes.enter(Wrap { batch, room, out });
            }
            Operation::Unwrap | Operation::UnwrapPadded => {
                lanes.enter(Unwrap { batch, room, out, verdicts });
            }
            Operation::EncryptCbc => lanes.enter(EncryptCbc { batch, room, out }),
            Operation::DecryptCbc => lanes.enter(DecryptCbc { batch, room, out }),
            Operation::Advance => {
                lanes.enter(Derive { batch, room, label: kdf::ADVANCE, out });
            }
            Operation::DeriveIv => lanes.enter(Derive { batch, room, label: kdf::IV, out }),
        }
    }
}
