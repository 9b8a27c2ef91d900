//! What an engine needs of a CPU's registers.

use zeroize::Zeroize;

use crate::job::{BLOCK_LEN, HALF_LEN};

/// One block of 16 octets.
pub(super) type Block = [u8; BLOCK_LEN];

/// The proof that the CPU has certain instructions, and what they do.
///
/// A register has one or more lanes, and a lane one block. Every method does the same in each lane. A block is two
/// halves, and four words, all of them here in the order of their octets.
pub(super) trait Lanes: Copy {
    /// A register, or as many octets in memory.
    type Register: Copy + Zeroize;

    /// How many lanes a register has.
    const LANES: usize;

    /// Runs `kernel` with the compiler allowed to use the instructions, which it must be for any speed.
    fn enter<K: Kernel<Self>>(self, kernel: K);

    /// Zeros.
    fn zero(self) -> Self::Register;

    /// The same block in each lane.
    fn splat(self, block: &Block) -> Self::Register;

    /// In each lane the block that `load` has for it.
    fn gather(self, load: impl Fn(usize) -> Block) -> Self::Register;

    /// Hands the block in each lane to `store`.
    fn scatter(self, register: Self::Register, store: impl FnMut(usize, &Block));

    /// Exclusive or.
    fn xor(self, left: Self::Register, right: Self::Register) -> Self::Register;

    /// The first half of one, the second half of the other.
    fn first_second(self, first: Self::Register, second: Self::Register) -> Self::Register;

    /// The first half, twice.
    fn first_twice(self, register: Self::Register) -> Self::Register;

    /// The second halves of both.
    fn seconds(self, left: Self::Register, right: Self::Register) -> Self::Register;

    /// The last word, four times.
    fn last_word(self, register: Self::Register) -> Self::Register;

    /// The last word, its first octet moved to its end (RotWord of FIPS 197 section 5.2), four times.
    fn last_word_rotated(self, register: Self::Register) -> Self::Register;

    /// Each word the exclusive or of itself, all before it and the one that `with` has in its place.
    fn running_xor(self, register: Self::Register, with: Self::Register) -> Self::Register;

    /// The block times x in GF(2^128), as RFC 4493 section 2.3 numbers the bits.
    fn double(self, register: Self::Register) -> Self::Register;

    /// A round of encryption: ShiftRows, SubBytes, MixColumns, AddRoundKey (FIPS 197 section 5.1).
    fn encrypt(self, state: Self::Register, round_key: Self::Register) -> Self::Register;

    /// The last round of encryption, without MixColumns.
    fn encrypt_last(self, state: Self::Register, round_key: Self::Register) -> Self::Register;

    /// A round of decryption by the equivalent inverse cipher (FIPS 197 section 5.3.5).
    fn decrypt(self, state: Self::Register, round_key: Self::Register) -> Self::Register;

    /// The last round of decryption, without InvMixColumns.
    fn decrypt_last(self, state: Self::Register, round_key: Self::Register) -> Self::Register;

    /// A number in the first half, its most significant octet first, and zeros after it.
    #[inline(always)]
    fn number(self, number: u64) -> Self::Register {
        let mut block = [0; BLOCK_LEN];
        block[..HALF_LEN].copy_from_slice(&number.to_be_bytes());
        self.splat(&block)
    }
}

/// Work to be compiled for the lanes of a CPU. What it calls must be inlined, or it is compiled for any CPU.
pub(super) trait Kernel<V: Lanes> {
    /// Does the work.
    fn run(self, lanes: V);
}
