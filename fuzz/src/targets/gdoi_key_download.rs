//! A KD payload: keys, LKH arrays, sender ids; and a member that applies the arrays.

use claviger_crypto::{cipher::CipherAlgorithm, provider};
use claviger_gdoi::{
    Exchange, KeyDownload,
    lkh::{self, KeyArray},
    policy,
};
use claviger_wire::{Decode, Writer};

use crate::{claim, group};

const CIPHER: CipherAlgorithm = CipherAlgorithm::Aes128Cbc;

fn encode(kd: &KeyDownload) -> Vec<u8> {
    let mut w = Writer::new();
    kd.encode(&mut w).expect("a payload that was read can be written");
    w.into_octets()
}

/// Feeds one input.
pub(super) fn feed(input: &[u8]) {
    let Ok(kd) = KeyDownload::from_octets(input) else { return };
    claim::survives(&kd, encode, |octets| KeyDownload::from_octets(octets));
    for exchange in [Exchange::Pull, Exchange::Push] {
        let _ = policy::check_keys(exchange, &group::sa(), &kd);
    }
    let Some(tree) = &kd.lkh else { return };
    if let Some(download) = &tree.download {
        let _ = KeyArray::new(download, CIPHER);
    }
    let mut held = KeyArray::new(&lkh::download_array(&group::path()), CIPHER).expect("the path is sound");
    if let Ok(staged) = held.apply(&tree.updates, provider(), CIPHER) {
        let root = staged.root().1.clone();
        held.commit(staged);
        assert_eq!(held.root().1, &root);
    }
}
