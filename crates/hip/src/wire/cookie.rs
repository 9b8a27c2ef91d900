//! COOKIE (binding section 3.1; private use, non-critical): how an Initiator proves its address before it gets an R1.

use claviger_wire::{Decode, DecodeError, Encode, Reader, Writer};

use crate::iana::ParameterType;

use super::Parameter;

/// Octets by which an Initiator knows what answers its I1. Who does not see the I1 does not guess them.
pub const NONCE_LEN: usize = 8;

/// Octets that the Responder made, and alone can read.
pub const COOKIE_LEN: usize = 20;

/// A Responder's cookie, or the room for one: a question is never shorter than its answer.
///
/// ```text
/// |             Type              |          Length = 28          |
/// |                       Nonce (8 octets)                        |
/// |                                                               |
/// ~                      Cookie (20 octets)                       ~
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cookie {
    /// Chosen by the Initiator, and repeated by the Responder.
    pub nonce: [u8; NONCE_LEN],
    /// What proves the address; all zero if the Initiator has none yet.
    pub cookie: [u8; COOKIE_LEN],
}

impl Cookie {
    /// Asks for a cookie.
    pub const fn asking(nonce: [u8; NONCE_LEN]) -> Self {
        Self { nonce, cookie: [0; COOKIE_LEN] }
    }
}

impl Parameter for Cookie {
    const TYPE: ParameterType = ParameterType::COOKIE;
}

impl Encode for Cookie {
    fn encode(&self, w: &mut Writer) {
        w.slice(&self.nonce);
        w.slice(&self.cookie);
    }
}

impl<'a> Decode<'a> for Cookie {
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self { nonce: r.array("nonce")?, cookie: r.array("cookie")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::test::survives;

    #[test]
    fn reads_what_it_writes_and_nothing_longer() {
        survives(&Cookie { nonce: [1; NONCE_LEN], cookie: [2; COOKIE_LEN] });
        survives(&Cookie::asking([3; NONCE_LEN]));
        let longer = Cookie::from_octets(&[0; NONCE_LEN + COOKIE_LEN + 1]);
        assert_eq!(longer, Err(DecodeError::Trailing { octets: 1 }));
    }
}
