//! The seam to the layer above, which authenticates.
//!
//! This crate proves nothing about origins. Datagrams of the batch are authenticated by what they are (sealed rekey
//! messages); what the sender makes beside them is authenticated by the layer above, which is asked to [`Seal`]
//! all messages of a round at once, so that one signature over a hash tree serves them all. On the receiver's
//! side a repair or announcement comes in as [`Authentic`] only, and a datagram only after the layer above has
//! accepted it. Two things guard what is left:
//!
//! * A receiver hands out recovered datagrams for the layer above to verify as if they had come from the network.
//!   If one fails, [`Receiver::reject`](crate::Receiver::reject) throws the block's repair away.
//! * Reports are to be authenticated as their receiver's, too: a false one costs the group bandwidth, up to the
//!   limits of [`crate::limits`], but never correctness.

/// Authenticates messages for the whole group.
pub trait Seal {
    /// Wraps each of `payloads` so that receivers can tell that it is the sender's. Returns as many messages, in the
    /// same order; a message that is left out is not sent.
    fn seal(&mut self, payloads: Vec<Vec<u8>>) -> Vec<Vec<u8>>;
}

impl<F: FnMut(Vec<Vec<u8>>) -> Vec<Vec<u8>>> Seal for F {
    fn seal(&mut self, payloads: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        self(payloads)
    }
}

/// Octets whose origin has been proven.
#[derive(Debug, Clone, Copy)]
pub struct Authentic<'a>(&'a [u8]);

impl<'a> Authentic<'a> {
    /// States that the caller has verified that the group's sender made these octets, the payload that
    /// [`Seal::seal`] was given.
    pub const fn verified(octets: &'a [u8]) -> Self {
        Self(octets)
    }

    /// Shows the octets.
    pub const fn octets(self) -> &'a [u8] {
        self.0
    }
}
