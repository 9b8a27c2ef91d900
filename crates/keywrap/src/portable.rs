//! The engine for any CPU: one job after the other, with the block cipher of the `aes` crate.

use aes::{
    Aes128Dec, Aes128Enc, Aes256Dec, Aes256Enc,
    cipher::{
        BlockCipherDecBackend, BlockCipherDecClosure, BlockCipherDecrypt, BlockCipherEncBackend,
        BlockCipherEncClosure, BlockCipherEncrypt, BlockSizeUser, KeyInit, array::Array, consts::U16,
    },
};
use claviger_crypto::CryptoError;
use zeroize::Zeroizing;

use crate::{
    check::{initial_value, judge},
    job::{BLOCK_LEN, HALF_LEN, Task},
    kdf,
    shape::{GROUP, Group, Operation, Shape, Source, Verdicts},
};

/// Does every job of `source`.
pub(crate) fn run<'a>(
    shape: &Shape,
    source: &mut dyn Source<'a>,
    mut out: &mut [u8],
    verdicts: &mut Verdicts,
) -> Result<(), CryptoError> {
    let mut group = Group::new();
    while !out.is_empty() {
        let tasks = source.fill(&mut group, GROUP)?;
        let now;
        (now, out) = shape.take(out, tasks.len())?;
        for (task, output) in tasks.iter().zip(now.chunks_exact_mut(shape.output_len)) {
            one(shape, task, output, verdicts);
        }
    }
    Ok(())
}

fn one(shape: &Shape, task: &Task<'_>, output: &mut [u8], verdicts: &mut Verdicts) {
    use Operation::{DecryptCbc, Unwrap, UnwrapPadded};
    match (shape.operation, shape.key_len) {
        (Unwrap | UnwrapPadded | DecryptCbc, 16) => decrypt::<Aes128Dec>(shape, task, output, verdicts),
        (Unwrap | UnwrapPadded | DecryptCbc, _) => decrypt::<Aes256Dec>(shape, task, output, verdicts),
        (_, 16) => encrypt::<Aes128Enc>(shape, task, output),
        (..) => encrypt::<Aes256Enc>(shape, task, output),
    }
}

/// Does an operation that encrypts blocks.
fn encrypt<C: KeyInit + BlockCipherEncrypt<BlockSize = U16>>(
    shape: &Shape,
    task: &Task<'_>,
    output: &mut [u8],
) {
    key::<C>(task.key).encrypt_with_backend(Encryption { shape, task, output });
}

/// Does an operation that decrypts blocks.
fn decrypt<C: KeyInit + BlockCipherDecrypt<BlockSize = U16>>(
    shape: &Shape,
    task: &Task<'_>,
    output: &mut [u8],
    verdicts: &mut Verdicts,
) {
    key::<C>(task.key).decrypt_with_backend(Decryption { shape, task, output, verdicts });
}

fn key<C: KeyInit>(octets: &[u8]) -> C {
    C::new_from_slice(octets).expect("the key has the length of the shape, and so of the cipher")
}

/// What the cipher runs where it has found out what the CPU can do, which it need not do again for each block.
struct Encryption<'a> {
    shape: &'a Shape,
    task: &'a Task<'a>,
    output: &'a mut [u8],
}

impl BlockSizeUser for Encryption<'_> {
    type BlockSize = U16;
}

impl BlockCipherEncClosure for Encryption<'_> {
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = U16>>(self, backend: &B) {
        let Self { shape, task, output } = self;
        let permute = |block: &mut Block| backend.encrypt_block(<&mut Array<u8, U16>>::from(block).into());
        match shape.operation {
            Operation::Wrap | Operation::WrapPadded => wrap(shape, task, output, permute),
            Operation::EncryptCbc => encrypt_cbc(task, output, permute),
            Operation::Advance => derive(kdf::ADVANCE, output, permute),
            Operation::DeriveIv => derive(kdf::IV, output, permute),
            Operation::Unwrap | Operation::UnwrapPadded | Operation::DecryptCbc => {
                unreachable!("these decrypt blocks")
            }
        }
    }
}

/// As [`Encryption`].
struct Decryption<'a> {
    shape: &'a Shape,
    task: &'a Task<'a>,
    output: &'a mut [u8],
    verdicts: &'a mut Verdicts,
}

impl BlockSizeUser for Decryption<'_> {
    type BlockSize = U16;
}

impl BlockCipherDecClosure for Decryption<'_> {
    #[inline(always)]
    fn call<B: BlockCipherDecBackend<BlockSize = U16>>(self, backend: &B) {
        let Self { shape, task, output, verdicts } = self;
        let permute = |block: &mut Block| backend.decrypt_block(<&mut Array<u8, U16>>::from(block).into());
        if shape.operation == Operation::DecryptCbc {
            decrypt_cbc(task, output, permute);
        } else {
            verdicts.push(unwrap(shape, task, output, permute));
        }
    }
}

type Block = [u8; BLOCK_LEN];

/// RFC 3394 section 2.2.1, index based, and RFC 5649 section 4.1.
#[inline(always)]
fn wrap(shape: &Shape, task: &Task<'_>, output: &mut [u8], encrypt: impl Fn(&mut Block)) {
    let (value_out, halves) = output.split_at_mut(HALF_LEN);
    let (text, padding) = halves.split_at_mut(task.input.len());
    text.copy_from_slice(task.input);
    padding.fill(0);
    let (halves, _) = halves.as_chunks_mut();
    let mut value = initial_value(shape);
    let mut state = Zeroizing::new([0; BLOCK_LEN]);
    if let [half] = halves {
        *state = join(value, half);
        encrypt(&mut state);
        (value, *half) = split(&state);
    } else {
        let mut step = 0;
        for _ in 0..6 {
            for half in &mut *halves {
                step += 1;
                *state = join(value, half);
                encrypt(&mut state);
                (value, *half) = split(&state);
                value ^= step;
            }
        }
    }
    value_out.copy_from_slice(&value.to_be_bytes());
}

/// RFC 3394 section 2.2.2, index based, and RFC 5649 section 4.2.
#[inline(always)]
fn unwrap(
    shape: &Shape,
    task: &Task<'_>,
    output: &mut [u8],
    decrypt: impl Fn(&mut Block),
) -> Result<usize, CryptoError> {
    let (value, text) = task.input.split_first_chunk().expect("the shape's input is longer than a half");
    let mut value = u64::from_be_bytes(*value);
    output.copy_from_slice(text);
    let (halves, _) = output.as_chunks_mut();
    let mut state = Zeroizing::new([0; BLOCK_LEN]);
    if let [half] = halves {
        *state = join(value, half);
        decrypt(&mut state);
        (value, *half) = split(&state);
    } else {
        let mut step = 6 * halves.len() as u64;
        for _ in 0..6 {
            for half in halves.iter_mut().rev() {
                *state = join(value ^ step, half);
                decrypt(&mut state);
                (value, *half) = split(&state);
                step -= 1;
            }
        }
    }
    judge(shape, value, output)
}

#[inline(always)]
fn join(value: u64, half: &[u8; HALF_LEN]) -> Block {
    (u128::from(value) << 64 | u128::from(u64::from_be_bytes(*half))).to_be_bytes()
}

#[inline(always)]
fn split(block: &Block) -> (u64, [u8; HALF_LEN]) {
    let block = u128::from_be_bytes(*block);
    ((block >> 64) as u64, (block as u64).to_be_bytes())
}

#[inline(always)]
fn encrypt_cbc(task: &Task<'_>, output: &mut [u8], encrypt: impl Fn(&mut Block)) {
    let mut previous = task.iv;
    output.copy_from_slice(task.input);
    for block in output.as_chunks_mut().0 {
        xor(block, previous);
        encrypt(block);
        previous = block;
    }
}

#[inline(always)]
fn decrypt_cbc(task: &Task<'_>, output: &mut [u8], decrypt: impl Fn(&mut Block)) {
    output.copy_from_slice(task.input);
    let previous = std::iter::once(task.iv).chain(task.input.as_chunks().0);
    for (block, previous) in output.as_chunks_mut().0.iter_mut().zip(previous) {
        decrypt(block);
        xor(block, previous);
    }
}

/// RFC 4493 section 2.4 over each message of the derivation, which are whole blocks.
#[inline(always)]
fn derive(label: &[u8; 7], output: &mut [u8], encrypt: impl Fn(&mut Block)) {
    let mut subkey = Zeroizing::new([0; BLOCK_LEN]);
    encrypt(&mut subkey);
    double(&mut subkey);
    let length = output.len();
    for (block, counter) in output.as_chunks_mut().0.iter_mut().zip(1..) {
        *block = kdf::message(counter, label, length);
        xor(block, &subkey);
        encrypt(block);
    }
}

/// RFC 4493 section 2.3: multiplies by x in GF(2^128).
fn double(block: &mut Block) {
    let value = u128::from_be_bytes(*block);
    let overflow = (value >> 127) * 0x87;
    *block = ((value << 1) ^ overflow).to_be_bytes();
}

fn xor(block: &mut Block, mask: &Block) {
    for (octet, mask) in block.iter_mut().zip(mask) {
        *octet ^= mask;
    }
}

#[cfg(test)]
mod tests {
    use aes::{Aes192Dec, Aes192Enc};

    use super::*;

    fn hex<const N: usize>(digits: &str) -> [u8; N] {
        std::array::from_fn(|i| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).unwrap())
    }

    /// Wraps and unwraps with AES-192, which the engines do not offer, but RFC 5649's examples use.
    fn check_192(wrap_as: Operation, unwrap_as: Operation, key: &[u8], plaintext: &[u8], ciphertext: &[u8]) {
        let shape = Shape {
            operation: wrap_as,
            key_len: 24,
            input_len: plaintext.len(),
            output_len: ciphertext.len(),
        };
        let mut output = vec![0; ciphertext.len()];
        encrypt::<Aes192Enc>(&shape, &Task { input: plaintext, ..Task::of_key(key) }, &mut output);
        assert_eq!(output, ciphertext);

        let shape = Shape {
            operation: unwrap_as,
            key_len: 24,
            input_len: ciphertext.len(),
            output_len: ciphertext.len() - HALF_LEN,
        };
        output.truncate(shape.output_len);
        let task = Task { input: ciphertext, ..Task::of_key(key) };
        let mut verdicts = Vec::new();
        decrypt::<Aes192Dec>(&shape, &task, &mut output, &mut verdicts);
        assert_eq!(verdicts, [Ok(plaintext.len())]);
        assert_eq!(output[..plaintext.len()], *plaintext);
    }

    #[test]
    fn rfc3394_4_4() {
        let key: [u8; 24] = hex("000102030405060708090A0B0C0D0E0F1011121314151617");
        let plaintext: [u8; 24] = hex("00112233445566778899AABBCCDDEEFF0001020304050607");
        let wrapped: [u8; 32] = hex("031D33264E15D33268F24EC260743EDCE1C6C7DDEE725A936BA814915C6762D2");
        check_192(Operation::Wrap, Operation::Unwrap, &key, &plaintext, &wrapped);
    }

    #[test]
    fn rfc5649_6() {
        let key: [u8; 24] = hex("5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8");
        let long: [u8; 20] = hex("c37b7e6492584340bed12207808941155068f738");
        let wrapped: [u8; 32] = hex("138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a");
        check_192(Operation::WrapPadded, Operation::UnwrapPadded, &key, &long, &wrapped);
        let short: [u8; 7] = hex("466f7250617369");
        let wrapped: [u8; 16] = hex("afbeb0f07dfbf5419200f2ccb50bb24f");
        check_192(Operation::WrapPadded, Operation::UnwrapPadded, &key, &short, &wrapped);
    }
}
