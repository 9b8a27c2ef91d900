//! The header, the chain of payloads, and the payloads that every protocol under ISAKMP has: one file for each.
//!
//! | module | what |
//! |---|---|
//! | [`header`] | the ISAKMP header |
//! | [`payload`] | the chain of payloads behind it |
//! | [`attribute`] | TV and TLV attributes |
//! | [`identification`] | ID: of any type, with protocol and port |
//! | [`nonce`] | Nonce |
//! | [`notification`] | N |
//! | [`delete`] | D |
//!
//! HASH and SIG are octets and need no struct. ID, N and D are read by their form alone; which DOIs, protocols and SPIs make
//! sense, and what they mean, the protocol above says.

use claviger_wire::Writer;

use crate::error::{ApiMisuse, Error};

pub mod attribute;
pub mod delete;
pub mod header;
pub mod identification;
pub mod nonce;
pub mod notification;
pub mod payload;

pub use delete::Delete;
pub use header::Header;
pub use identification::Identification;
pub use nonce::Nonce;
pub use notification::Notification;

/// Writes a part behind its two-octet length, which counts `counted_before` octets besides the part.
///
/// # Errors
///
/// [`ApiMisuse::MessageTooLong`] if the length does not fit its field; those of `part`.
pub fn length_u16<E: From<Error>>(
    w: &mut Writer,
    counted_before: usize,
    part: impl FnOnce(&mut Writer) -> Result<(), E>,
) -> Result<(), E> {
    let position = w.len();
    w.u16(0);
    let start = w.len();
    part(w)?;
    let length = w.len() - start + counted_before;
    let length = u16::try_from(length).map_err(|_| Error::ApiMisuse(ApiMisuse::MessageTooLong))?;
    w.patch_u16(position, length);
    Ok(())
}
