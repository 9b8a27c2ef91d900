//! The engines, and what all of them do.

use claviger_crypto::CryptoError;

#[cfg(not(target_arch = "x86_64"))]
use crate::portable;
#[cfg(target_arch = "x86_64")]
use crate::vector;
use crate::{
    job::{CbcEncrypted, CbcJob, Job, Task, Wrapped},
    shape::{Jobs, Operation, Shape, Verdicts},
};

/// A way to do many jobs at once. All of them yield the same octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Engine {
    /// 32 jobs side by side, in the 512-bit registers of an x86-64 CPU with AVX-512 and VAES.
    Vaes,
    /// 8 jobs side by side, in the 128-bit registers of an x86-64 CPU with AES-NI.
    AesNi,
    /// One job after the other, on any CPU.
    Portable,
}

impl Engine {
    /// Every engine, the fastest first.
    pub const ALL: [Self; 3] = [Self::Vaes, Self::AesNi, Self::Portable];

    /// Says which is the fastest engine that this CPU can run.
    pub fn best() -> Self {
        Self::available().next().unwrap_or(Self::Portable)
    }

    /// Names the engines that this CPU can run, the fastest first.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|engine| engine.is_available())
    }

    /// Says whether this CPU can run the engine. In place of one that it cannot run, [`Engine::Portable`] works.
    pub fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Vaes | Self::AesNi => vector::is_available(self),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Vaes | Self::AesNi => false,
        }
    }

    /// Names the engine, for logs and tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vaes => "VAES",
            Self::AesNi => "AES-NI",
            Self::Portable => "portable",
        }
    }

    /// Wraps each key as RFC 3394 section 2.2.1 says. Each output has [`wrapped_len`](crate::wrapped_len) octets.
    ///
    /// # Errors
    ///
    /// [`CryptoError::Key`] if a key has neither 16 nor 32 octets or another length than the first one's;
    /// [`CryptoError::Length`] if a plaintext is no multiple of 8 octets, shorter than 16 or of another length than
    /// the first, or if `out` has not exactly the length of all outputs. What `out` holds then is unspecified.
    pub fn wrap<'a, I>(self, jobs: I, out: &mut [u8]) -> Result<(), CryptoError>
    where
        I: IntoIterator<Item = Job<'a>, IntoIter: ExactSizeIterator>,
    {
        self.run(Operation::Wrap, jobs, out).map(drop)
    }

    /// Unwraps each key as RFC 3394 section 2.2.2 says, to 8 octets less, and yields the plaintext's length for each
    /// job or says that its check value is wrong. The output of a job that is refused is all zeros.
    ///
    /// # Errors
    ///
    /// [`CryptoError::Key`] and [`CryptoError::Length`] as for [`Engine::wrap`]; a ciphertext has at least 24 octets.
    /// Within, for each job, [`CryptoError::Authentication`].
    pub fn unwrap<'a, I>(
        self,
        jobs: I,
        out: &mut [u8],
    ) -> Result<Vec<Result<usize, CryptoError>>, CryptoError>
    where
        I: IntoIterator<Item = Wrapped<'a>, IntoIter: ExactSizeIterator>,
    {
        self.run(Operation::Unwrap, jobs, out)
    }

    /// Wraps each key as RFC 5649 section 4.1 says. Each output has [`padded_len`](crate::padded_len) octets.
    ///
    /// # Errors
    ///
    /// As for [`Engine::wrap`], but that a plaintext may have any number of octets from 1 to 2^32 - 1.
    pub fn wrap_padded<'a, I>(self, jobs: I, out: &mut [u8]) -> Result<(), CryptoError>
    where
        I: IntoIterator<Item = Job<'a>, IntoIter: ExactSizeIterator>,
    {
        self.run(Operation::WrapPadded, jobs, out).map(drop)
    }

    /// Unwraps each key as RFC 5649 section 4.2 says, and yields the plaintext's length for each job or says that it is
    /// refused. Each output has 8 octets less than the ciphertext: the plaintext, then zeros; only zeros if refused.
    ///
    /// # Errors
    ///
    /// As for [`Engine::unwrap`], but that a ciphertext may be as short as 16 octets.
    pub fn unwrap_padded<'a, I>(
        self,
        jobs: I,
        out: &mut [u8],
    ) -> Result<Vec<Result<usize, CryptoError>>, CryptoError>
    where
        I: IntoIterator<Item = Wrapped<'a>, IntoIter: ExactSizeIterator>,
    {
        self.run(Operation::UnwrapPadded, jobs, out)
    }

    /// Encrypts each text in cipher block chaining mode without padding (RFC 6407 section 5.6.3.1). Outputs are as long
    /// as the plaintexts and do not repeat the IV.
    ///
    /// # Errors
    ///
    /// As for [`Engine::wrap`], but that a plaintext is a multiple of 16 octets and not empty.
    pub fn encrypt_cbc<'a, I>(self, jobs: I, out: &mut [u8]) -> Result<(), CryptoError>
    where
        I: IntoIterator<Item = CbcJob<'a>, IntoIter: ExactSizeIterator>,
    {
        self.run(Operation::EncryptCbc, jobs, out).map(drop)
    }

    /// Decrypts each text in cipher block chaining mode. Nothing tells whether the key was the right one.
    ///
    /// # Errors
    ///
    /// As for [`Engine::encrypt_cbc`].
    pub fn decrypt_cbc<'a, I>(self, jobs: I, out: &mut [u8]) -> Result<(), CryptoError>
    where
        I: IntoIterator<Item = CbcEncrypted<'a>, IntoIter: ExactSizeIterator>,
    {
        self.run(Operation::DecryptCbc, jobs, out).map(drop)
    }

    /// Derives the successor of each key, of the same length, by a one-way function.
    ///
    /// It is the key derivation function of NIST SP 800-108r1 in counter mode with AES-CMAC: block `i`, from 1, is
    /// `AES-CMAC(key, [i] || "advance" || 0x00 || [L])`, with `i` and the successor's length `L` in bits as 32 bits.
    ///
    /// # Errors
    ///
    /// [`CryptoError::Key`] if a key has neither 16 nor 32 octets or another length than the first;
    /// [`CryptoError::Length`] if `out` has not exactly the length of all successors.
    pub fn advance<'a, I>(self, keys: I, out: &mut [u8]) -> Result<(), CryptoError>
    where
        I: IntoIterator<Item = &'a [u8], IntoIter: ExactSizeIterator>,
    {
        self.run(Operation::Advance, keys, out).map(drop)
    }

    /// Derives 16 octets from each key, the IV that belongs to it: as [`Engine::advance`], with the label `lkh iv `
    /// and 128 bits.
    ///
    /// # Errors
    ///
    /// As for [`Engine::advance`].
    pub fn derive_iv<'a, I>(self, keys: I, out: &mut [u8]) -> Result<(), CryptoError>
    where
        I: IntoIterator<Item = &'a [u8], IntoIter: ExactSizeIterator>,
    {
        self.run(Operation::DeriveIv, keys, out).map(drop)
    }

    fn run<'a, I>(self, operation: Operation, jobs: I, out: &mut [u8]) -> Result<Verdicts, CryptoError>
    where
        I: IntoIterator<Item: Into<Task<'a>>, IntoIter: ExactSizeIterator>,
    {
        let mut jobs = jobs.into_iter();
        let count = jobs.len();
        let Some(first) = jobs.next().map(Into::into) else {
            return if out.is_empty() { Ok(Vec::new()) } else { Err(CryptoError::Length) };
        };
        let shape = Shape::of(operation, &first)?;
        if count.checked_mul(shape.output_len) != Some(out.len()) {
            return Err(CryptoError::Length);
        }
        let mut verdicts = Vec::with_capacity(if operation.has_verdict() { count } else { 0 });
        let mut source = Jobs::new(shape, first, jobs);
        #[cfg(target_arch = "x86_64")]
        vector::run(self, &shape, count, &mut source, out, &mut verdicts)?;
        #[cfg(not(target_arch = "x86_64"))]
        portable::run(&shape, &mut source, out, &mut verdicts)?;
        if source.is_exhausted() { Ok(verdicts) } else { Err(CryptoError::Length) }
    }
}
