//! What all jobs of one call have in common, and how an engine comes by them: a small group at a time.

use claviger_crypto::CryptoError;

use crate::job::{BLOCK_LEN, HALF_LEN, Task, padded_len, wrapped_len};

/// How many jobs an engine is handed at once: what the widest of them does side by side.
pub(crate) const GROUP: usize = 32;

/// What is done with each job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Advance,
    DecryptCbc,
    DeriveIv,
    EncryptCbc,
    Unwrap,
    UnwrapPadded,
    Wrap,
    WrapPadded,
}

impl Operation {
    /// Says whether it can find that a job is wrong.
    pub(crate) const fn has_verdict(self) -> bool {
        matches!(self, Self::Unwrap | Self::UnwrapPadded)
    }
}

/// The operation of a call and the lengths of its jobs, in octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) operation: Operation,
    pub(crate) key_len: usize,
    pub(crate) input_len: usize,
    pub(crate) output_len: usize,
}

impl Shape {
    /// Checks the lengths of the first job, which the others must repeat.
    pub(crate) fn of(operation: Operation, first: &Task<'_>) -> Result<Self, CryptoError> {
        let key_len = first.key.len();
        if !matches!(key_len, 16 | 32) {
            return Err(CryptoError::Key);
        }
        let length = first.input.len();
        let (is_right, output_len) = match operation {
            Operation::Advance => (length == 0, key_len),
            Operation::DeriveIv => (length == 0, BLOCK_LEN),
            Operation::EncryptCbc | Operation::DecryptCbc => {
                (length > 0 && length.is_multiple_of(BLOCK_LEN), length)
            }
            Operation::Wrap => (length >= 16 && length.is_multiple_of(HALF_LEN), wrapped_len(length)),
            // RFC 5649 section 3: the length must fit the 32 bits of the message length indicator.
            Operation::WrapPadded => (length > 0 && u32::try_from(length).is_ok(), padded_len(length)),
            Operation::Unwrap => {
                (length >= 24 && length.is_multiple_of(HALF_LEN), length.saturating_sub(HALF_LEN))
            }
            Operation::UnwrapPadded => {
                (length >= 16 && length.is_multiple_of(HALF_LEN), length.saturating_sub(HALF_LEN))
            }
        };
        if !is_right {
            return Err(CryptoError::Length);
        }
        Ok(Self { operation, key_len, input_len: length, output_len })
    }

    /// Refuses a job of another shape.
    fn admit(&self, task: &Task<'_>) -> Result<(), CryptoError> {
        if task.key.len() != self.key_len {
            return Err(CryptoError::Key);
        }
        if task.input.len() != self.input_len {
            return Err(CryptoError::Length);
        }
        Ok(())
    }

    /// Splits the outputs of `count` jobs from `out`. An iterator that ends too early, or too late, is refused.
    pub(crate) fn take<'o>(
        &self,
        out: &'o mut [u8],
        count: usize,
    ) -> Result<(&'o mut [u8], &'o mut [u8]), CryptoError> {
        if count == 0 {
            return Err(CryptoError::Length);
        }
        out.split_at_mut_checked(count * self.output_len).ok_or(CryptoError::Length)
    }
}

/// What became of each unwrapped job: how long its plaintext is, or that its check value is wrong.
pub(crate) type Verdicts = Vec<Result<usize, CryptoError>>;

/// Room for the jobs that an engine does side by side.
pub(crate) struct Group<'a>([Task<'a>; GROUP]);

impl Group<'_> {
    pub(crate) const fn new() -> Self {
        Self([Task::of_key(&[]); GROUP])
    }
}

/// Where an engine gets its jobs from. Engines are compiled once, not for each iterator.
pub(crate) trait Source<'a> {
    /// Lends the next jobs: at most `limit` or [`GROUP`], all of one shape, and none at the end only.
    fn fill<'g>(&mut self, group: &'g mut Group<'a>, limit: usize) -> Result<&'g [Task<'a>], CryptoError>;
}

/// The first job of an iterator, already looked at, and those after it.
pub(crate) struct Jobs<'a, I> {
    shape: Shape,
    first: Option<Task<'a>>,
    rest: I,
}

impl<'a, I> Jobs<'a, I> {
    pub(crate) fn new(shape: Shape, first: Task<'a>, rest: I) -> Self {
        Self { shape, first: Some(first), rest }
    }
}

impl<I: Iterator> Jobs<'_, I> {
    /// Says whether no job is left, as the iterator's length promised.
    pub(crate) fn is_exhausted(&mut self) -> bool {
        self.first.is_none() && self.rest.next().is_none()
    }
}

impl<'a, I: Iterator<Item: Into<Task<'a>>>> Source<'a> for Jobs<'a, I> {
    fn fill<'g>(&mut self, group: &'g mut Group<'a>, limit: usize) -> Result<&'g [Task<'a>], CryptoError> {
        let mut count = 0;
        if let Some(first) = self.first.take() {
            group.0[0] = first;
            count = 1;
        }
        for slot in &mut group.0[count..limit.min(GROUP)] {
            let Some(task) = self.rest.next().map(Into::into) else { break };
            self.shape.admit(&task)?;
            *slot = task;
            count += 1;
        }
        Ok(&group.0[..count])
    }
}
