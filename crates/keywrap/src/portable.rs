//! The engine for any CPU: one job after the other, with the block cipher of the `aes` crate.

use aes::{
    Aes128Dec, Aes128Enc, Aes256Dec, Aes256Enc,
    cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit, consts::U16},
};
use claviger_crypto::CryptoError;
use zeroize::{Zeroize, Zeroizing};

use crate::{
    check::{initial_value, judge},
    job::{BLOCK_LEN, HALF_LEN, Task},
    kdf,
    shape::{Group, Operation, Shape, Source, Verdicts},
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
        let tasks = source.fill(&mut group)?;
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
        (Unwrap | UnwrapPadded, 16) => verdicts.push(unwrap::<Aes128Dec>(shape, task, output)),
        (Unwrap | UnwrapPadded, _) => verdicts.push(unwrap::<Aes256Dec>(shape, task, output)),
        (DecryptCbc, 16) => decrypt_cbc::<Aes128Dec>(task, output),
        (DecryptCbc, _) => decrypt_cbc::<Aes256Dec>(task, output),
        (_, 16) => forward::<Aes128Enc>(shape, task, output),
        (..) => forward::<Aes256Enc>(shape, task, output),
    }
}

/// Does an operation that only encrypts blocks.
fn forward<C: Encrypt>(shape: &Shape, task: &Task<'_>, output: &mut [u8]) {
    match shape.operation {
        Operation::Wrap | Operation::WrapPadded => wrap::<C>(shape, task, output),
        Operation::EncryptCbc => encrypt_cbc::<C>(task, output),
        Operation::Advance => derive::<C>(task.key, kdf::ADVANCE, output),
        Operation::DeriveIv => derive::<C>(task.key, kdf::IV, output),
        Operation::Unwrap | Operation::UnwrapPadded | Operation::DecryptCbc => {
            unreachable!("these decrypt blocks")
        }
    }
}

/// RFC 3394 §2.2.1, index based, and RFC 5649 §4.1.
fn wrap<C: Encrypt>(shape: &Shape, task: &Task<'_>, output: &mut [u8]) {
    let cipher = key::<C>(task.key);
    let (value, halves) = output.split_at_mut(HALF_LEN);
    value.copy_from_slice(&initial_value(shape).to_be_bytes());
    let (text, padding) = halves.split_at_mut(task.input.len());
    text.copy_from_slice(task.input);
    padding.fill(0);
    // RFC 5649 §4.1: a single half is encrypted with its initial value, without further ado.
    if halves.len() == HALF_LEN {
        return in_place(output, |state| cipher.encrypt_block(state.into()));
    }
    let mut state = Zeroizing::new(Block::default());
    let mut step = 0_u64;
    for _ in 0..6 {
        for half in halves.chunks_exact_mut(HALF_LEN) {
            step += 1;
            state[..HALF_LEN].copy_from_slice(value);
            state[HALF_LEN..].copy_from_slice(half);
            cipher.encrypt_block((&mut *state).into());
            value.copy_from_slice(&state[..HALF_LEN]);
            half.copy_from_slice(&state[HALF_LEN..]);
            xor(value, &step.to_be_bytes());
        }
    }
}

/// RFC 3394 §2.2.2, index based, and RFC 5649 §4.2.
fn unwrap<C: Decrypt>(shape: &Shape, task: &Task<'_>, output: &mut [u8]) -> Result<usize, CryptoError> {
    let cipher = key::<C>(task.key);
    let mut state = Zeroizing::new(Block::default());
    let (value, halves) = task.input.split_at(HALF_LEN);
    output.copy_from_slice(halves);
    state[..HALF_LEN].copy_from_slice(value);
    if output.len() == HALF_LEN {
        state[HALF_LEN..].copy_from_slice(output);
        cipher.decrypt_block((&mut *state).into());
        output.copy_from_slice(&state[HALF_LEN..]);
    } else {
        let mut step = 6 * (output.len() / HALF_LEN) as u64;
        for _ in 0..6 {
            for half in output.chunks_exact_mut(HALF_LEN).rev() {
                xor(&mut state[..HALF_LEN], &step.to_be_bytes());
                state[HALF_LEN..].copy_from_slice(half);
                cipher.decrypt_block((&mut *state).into());
                half.copy_from_slice(&state[HALF_LEN..]);
                step -= 1;
            }
        }
    }
    let value = state.first_chunk().expect("a block is longer than a half");
    judge(shape, u64::from_be_bytes(*value), output)
}

fn encrypt_cbc<C: Encrypt>(task: &Task<'_>, output: &mut [u8]) {
    let cipher = key::<C>(task.key);
    let mut previous: &[u8] = task.iv;
    output.copy_from_slice(task.input);
    for block in output.chunks_exact_mut(BLOCK_LEN) {
        xor(block, previous);
        in_place(block, |state| cipher.encrypt_block(state.into()));
        previous = block;
    }
}

fn decrypt_cbc<C: Decrypt>(task: &Task<'_>, output: &mut [u8]) {
    let cipher = key::<C>(task.key);
    output.copy_from_slice(task.input);
    let previous = std::iter::once(&task.iv[..]).chain(task.input.chunks_exact(BLOCK_LEN));
    for (block, previous) in output.chunks_exact_mut(BLOCK_LEN).zip(previous) {
        in_place(block, |state| cipher.decrypt_block(state.into()));
        xor(block, previous);
    }
}

/// RFC 4493 §2.4 over each message of the derivation, which are whole blocks.
fn derive<C: Encrypt>(under: &[u8], label: &[u8; 7], output: &mut [u8]) {
    let cipher = key::<C>(under);
    let mut subkey = Zeroizing::new(Block::default());
    cipher.encrypt_block((&mut *subkey).into());
    double(&mut subkey);
    let length = output.len();
    for (block, counter) in output.chunks_exact_mut(BLOCK_LEN).zip(1..) {
        block.copy_from_slice(&kdf::message(counter, label, length));
        xor(block, &subkey[..]);
        in_place(block, |state| cipher.encrypt_block(state.into()));
    }
}

/// RFC 4493 §2.3: multiplies by x in GF(2^128).
fn double(block: &mut Block) {
    let value = u128::from_be_bytes(*block);
    let overflow = (value >> 127) * 0x87;
    *block = ((value << 1) ^ overflow).to_be_bytes();
}

type Block = [u8; BLOCK_LEN];

trait Encrypt: KeyInit + BlockCipherEncrypt<BlockSize = U16> {}
impl<C: KeyInit + BlockCipherEncrypt<BlockSize = U16>> Encrypt for C {}

trait Decrypt: KeyInit + BlockCipherDecrypt<BlockSize = U16> {}
impl<C: KeyInit + BlockCipherDecrypt<BlockSize = U16>> Decrypt for C {}

fn key<C: KeyInit>(octets: &[u8]) -> C {
    C::new_from_slice(octets).expect("the key has the length of the shape, and so of the cipher")
}

fn in_place(octets: &mut [u8], permute: impl FnOnce(&mut Block)) {
    let mut state = Block::try_from(&octets[..]).expect("the octets are one block");
    permute(&mut state);
    octets.copy_from_slice(&state);
    state.zeroize();
}

fn xor(octets: &mut [u8], mask: &[u8]) {
    for (octet, mask) in octets.iter_mut().zip(mask) {
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
        wrap::<Aes192Enc>(&shape, &Task { input: plaintext, ..Task::of_key(key) }, &mut output);
        assert_eq!(output, ciphertext);

        let shape = Shape {
            operation: unwrap_as,
            key_len: 24,
            input_len: ciphertext.len(),
            output_len: ciphertext.len() - HALF_LEN,
        };
        output.truncate(shape.output_len);
        let task = Task { input: ciphertext, ..Task::of_key(key) };
        let length = unwrap::<Aes192Dec>(&shape, &task, &mut output).unwrap();
        assert_eq!(output[..length], *plaintext);
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
