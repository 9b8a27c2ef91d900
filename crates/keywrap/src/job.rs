//! What is asked of an engine: one key or text under one key.
//!
//! None of these types can be printed, since they borrow secrets.

/// The block of AES, in octets.
pub const BLOCK_LEN: usize = 16;

/// Half a block, in octets: the unit of key wrap, and what its check value adds.
pub const HALF_LEN: usize = 8;

/// A key to be wrapped under another (RFC 3394, RFC 5649).
#[derive(Clone, Copy)]
pub struct Job<'a> {
    /// The key encryption key: 16 or 32 octets.
    pub under: &'a [u8],
    /// What it encrypts: a multiple of 8 octets and at least 16, or with padding any number but 0.
    pub plaintext: &'a [u8],
}

/// A key that came wrapped under another (RFC 3394, RFC 5649).
#[derive(Clone, Copy)]
pub struct Wrapped<'a> {
    /// The key encryption key: 16 or 32 octets.
    pub under: &'a [u8],
    /// What came: a multiple of 8 octets and at least 24, or with padding at least 16.
    pub ciphertext: &'a [u8],
}

/// A text to be encrypted in cipher block chaining mode (RFC 6407 section 5.6.3).
#[derive(Clone, Copy)]
pub struct CbcJob<'a> {
    /// The key: 16 or 32 octets.
    pub under: &'a [u8],
    /// The initialisation vector, which is not part of the output.
    pub iv: &'a [u8; BLOCK_LEN],
    /// What is encrypted: a multiple of 16 octets, but not 0.
    pub plaintext: &'a [u8],
}

/// A text that came encrypted in cipher block chaining mode (RFC 6407 section 5.6.3).
#[derive(Clone, Copy)]
pub struct CbcEncrypted<'a> {
    /// The key: 16 or 32 octets.
    pub under: &'a [u8],
    /// The initialisation vector, which is not part of the ciphertext.
    pub iv: &'a [u8; BLOCK_LEN],
    /// What came: a multiple of 16 octets, but not 0.
    pub ciphertext: &'a [u8],
}

/// Says how many octets a key of `plaintext_len` octets has when wrapped by RFC 3394.
pub const fn wrapped_len(plaintext_len: usize) -> usize {
    plaintext_len + HALF_LEN
}

/// Says how many octets a key of `plaintext_len` octets has when wrapped by RFC 5649.
pub const fn padded_len(plaintext_len: usize) -> usize {
    plaintext_len.next_multiple_of(HALF_LEN) + HALF_LEN
}

/// What every operation sees of a job. An operation without an IV or an input has zeros or nothing there.
#[derive(Clone, Copy)]
pub(crate) struct Task<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) iv: &'a [u8; BLOCK_LEN],
    pub(crate) input: &'a [u8],
}

impl<'a> Task<'a> {
    pub(crate) const fn of_key(key: &'a [u8]) -> Self {
        Self { key, iv: &[0; BLOCK_LEN], input: &[] }
    }
}

impl<'a> From<Job<'a>> for Task<'a> {
    fn from(job: Job<'a>) -> Self {
        Self { input: job.plaintext, ..Self::of_key(job.under) }
    }
}

impl<'a> From<Wrapped<'a>> for Task<'a> {
    fn from(job: Wrapped<'a>) -> Self {
        Self { input: job.ciphertext, ..Self::of_key(job.under) }
    }
}

impl<'a> From<CbcJob<'a>> for Task<'a> {
    fn from(job: CbcJob<'a>) -> Self {
        Self { key: job.under, iv: job.iv, input: job.plaintext }
    }
}

impl<'a> From<CbcEncrypted<'a>> for Task<'a> {
    fn from(job: CbcEncrypted<'a>) -> Self {
        Self { key: job.under, iv: job.iv, input: job.ciphertext }
    }
}

impl<'a> From<&'a [u8]> for Task<'a> {
    fn from(key: &'a [u8]) -> Self {
        Self::of_key(key)
    }
}
