//! The check values of key wrap, and the verdict on what was unwrapped.

use claviger_crypto::CryptoError;
use zeroize::Zeroize;

use crate::{
    job::HALF_LEN,
    shape::{Operation, Shape},
};

/// The default initial value of RFC 3394 section 2.2.3.1.
const INITIAL_VALUE: u64 = 0xa6a6_a6a6_a6a6_a6a6;

/// The upper half of the alternative initial value of RFC 5649 section 3; the lower is the message length.
const ALTERNATIVE_VALUE: u32 = 0xa659_59a6;

/// The initial value with which jobs of `shape` are wrapped.
pub(crate) fn initial_value(shape: &Shape) -> u64 {
    match shape.operation {
        Operation::WrapPadded => {
            let length = u32::try_from(shape.input_len).expect("the shape's length fits 32 bits");
            u64::from(ALTERNATIVE_VALUE) << 32 | u64::from(length)
        }
        // CBC and derivations have none and do not ask.
        Operation::Advance
        | Operation::DecryptCbc
        | Operation::DeriveIv
        | Operation::EncryptCbc
        | Operation::Unwrap
        | Operation::UnwrapPadded
        | Operation::Wrap => INITIAL_VALUE,
    }
}

/// Says how many octets at the front of `output` are the plaintext, given the `value` that stood before it.
///
/// An output that is refused is erased. Nothing is decided before all checks have been made.
pub(crate) fn judge(shape: &Shape, value: u64, output: &mut [u8]) -> Result<usize, CryptoError> {
    let (wrong, length) = match shape.operation {
        Operation::UnwrapPadded => padded(value, output),
        Operation::Unwrap => (value ^ INITIAL_VALUE, output.len()),
        Operation::Advance
        | Operation::DecryptCbc
        | Operation::DeriveIv
        | Operation::EncryptCbc
        | Operation::Wrap
        | Operation::WrapPadded => unreachable!("only what is unwrapped can be wrong"),
    };
    if wrong == 0 {
        return Ok(length);
    }
    output.zeroize();
    Err(CryptoError::Authentication)
}

/// Makes the three checks of RFC 5649 section 3 by arithmetic, without a branch, and yields 0 if all is right, and the
/// length of the plaintext.
fn padded(value: u64, output: &[u8]) -> (u64, usize) {
    let last = output.last_chunk().expect("what was unwrapped is one half or more");
    let length = value & u64::from(u32::MAX);
    // Wraps around if the length exceeds what there is, and is then far more than a padding may have.
    let padding = (output.len() as u64).wrapping_sub(length);
    let wrong_value = (value >> 32) ^ u64::from(ALTERNATIVE_VALUE);
    let wrong_length = padding & !(HALF_LEN as u64 - 1);
    // At most seven octets of eight, so that the shift is in range whatever the padding is.
    let padding_mask = (1 << (8 * (padding % HALF_LEN as u64))) - 1;
    let wrong_padding = u64::from_be_bytes(*last) & padding_mask;
    (wrong_value | wrong_length | wrong_padding, length as usize)
}
