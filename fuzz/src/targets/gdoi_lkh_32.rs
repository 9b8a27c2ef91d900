//! The keys of a tree with 32-bit node ids: their codecs, and a member that gathers made-up updates.

use claviger_crypto::cipher::CipherAlgorithm;
use claviger_gdoi::{
    lkh_32::{Wrap, pack},
    wire::lkh_32::{PathArray, Update},
};
use claviger_wire::{Decode, Writer};

use crate::{claim, group, script};

const CIPHER: CipherAlgorithm = CipherAlgorithm::Aes128Cbc;

fn written(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut w = Writer::new();
    write(&mut w);
    w.into_octets()
}

fn encode(update: &Update) -> Vec<u8> {
    written(|w| update.encode(w).expect("an update that was read can be written"))
}

/// What was read is packed again, and nothing of it is lost.
fn repack(update: &Update) {
    let head = *update.head();
    let wraps = update.entries().map(|(entry, wrapped)| Wrap {
        target: entry.target,
        under: entry.holder(head.degree).expect("the decoder checked the child"),
        handle: entry.handle,
        wrapped,
    });
    let wraps: Vec<_> = wraps.collect();
    for room in [80, 500] {
        // A target may stand in two records; then a key may be there twice, which a key server does not send.
        let Ok(packed) = pack(head, wraps.iter().copied(), room) else { continue };
        assert!(packed.iter().all(|update| update.encoded_len() <= room));
        assert_eq!(packed.iter().map(|update| update.entries().len()).sum::<usize>(), update.entries().len());
    }
}

/// Feeds one input.
pub(super) fn feed(input: &[u8]) {
    if let Ok(path) = PathArray::from_octets(input) {
        let encode =
            |path: &PathArray| written(|w| path.encode(w).expect("a path that was read can be written"));
        claim::survives(&path, encode, |octets| PathArray::from_octets(octets));
        if let Ok(held) = path.to_path(CIPHER) {
            assert_eq!(PathArray::from(&held), path);
        }
    }
    if let Ok(update) = Update::from_octets(input) {
        claim::survives(&update, encode, |octets| Update::from_octets(octets));
        assert_eq!(encode(&update).len() + 4, update.encoded_len());
        repack(&update);
    }

    // Several messages of one rekey, or of several.
    let held = group::path_32().to_path(CIPHER).expect("the path is sound");
    let mut gathering = None;
    for (_, body) in script::pieces(input) {
        let Ok(update) = Update::from_octets(body) else { continue };
        let staged = match &mut gathering {
            None => match held.gather(update.head(), update.entries(), CIPHER.into()) {
                Ok((begun, staged)) => {
                    gathering = Some(begun);
                    staged
                }
                Err(_) => continue,
            },
            Some(gathering) => {
                let before = gathering.clone();
                let taken = gathering.take(update.head(), update.entries());
                assert!(taken.is_ok() || *gathering == before, "an error changes nothing");
                taken.unwrap_or(None)
            }
        };
        if let Some(staged) = staged {
            assert_eq!(staged.path().root().handle, update.head().root_handle);
            let mut path = held.clone();
            path.commit(staged);
            assert!(path.gather(update.head(), update.entries(), CIPHER.into()).is_err(), "the root is no newer");
        }
    }
}
