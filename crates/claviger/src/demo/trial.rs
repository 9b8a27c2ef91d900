//! Every key against every datagram, as [`claviger_proof::trial`] does it, over the demonstration's recordings.

use claviger_crypto::provider;
use claviger_gdoi::push::VerifiedRekey;
use claviger_proof::{Ledger, trial};

pub(super) use claviger_proof::trial::spi_of;

use super::recording::Entry;

/// The sender ids of the demonstration's group.
const SENDER_ID_BITS: u8 = 16;

/// The octets of the UDP header inside.
const UDP_HEADER_LEN: usize = 8;

/// Adds to a ledger every key that its keys open in the recorded rekey messages.
pub(super) fn close(ledger: &mut Ledger, pushes: &[Entry]) {
    trial::close(ledger, provider(), &octets(pushes));
}

/// Opens a rekey message with every rekey SA of a ledger.
pub(super) fn opened(ledger: &Ledger, datagram: &[u8]) -> Vec<VerifiedRekey> {
    trial::opened(ledger, provider(), datagram)
}

/// What a ledger opens of the recorded data: the payload of each datagram, or nothing.
pub(super) fn open_data(ledger: &Ledger, data: &[Entry]) -> Vec<Option<Vec<u8>>> {
    let opened = trial::open_data(ledger, provider(), SENDER_ID_BITS, &octets(data));
    opened.into_iter().map(|payload| Some(payload?.get(UDP_HEADER_LEN..)?.to_vec())).collect()
}

fn octets(entries: &[Entry]) -> Vec<&[u8]> {
    entries.iter().map(|entry| &entry.octets[..]).collect()
}
