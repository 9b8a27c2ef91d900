//! Every HIP parameter, from contents that the fuzzer makes up.

use claviger_crypto::{hash::HashAlgorithm, provider};
use claviger_hip::{
    iana::CipherId,
    keys::EncryptionKey,
    puzzle,
    wire::{
        Ack, Cert, Cookie, DhGroupList, DiffieHellman, EchoRequestSigned, EchoRequestUnsigned, EchoResponseSigned,
        EchoResponseUnsigned, Encrypted, EspInfo, EspTransform, HipCipher, HipMac, HipMac2, HipSignature,
        HipSignature2, HitSuiteList, LocatorSet, Notification, Parameters, Puzzle, R1Counter,
        RegFailed, RegInfo, RegRequest, RegResponse, Seq, Solution, TransportFormatList,
    },
};
use claviger_hip_groups::McastChannel;
use claviger_identity::{Hit, HostId};

use crate::claim;

type Check = fn(&[u8]);

/// In the order of RFC 7401; the first octet of an input chooses. Append only, or the corpus loses its meaning.
const CHECKS: &[Check] = &[
    check::<EspInfo>,
    check::<R1Counter>,
    check::<Puzzle>,
    solution,
    check::<Seq>,
    check::<Ack>,
    check::<DhGroupList>,
    check::<DiffieHellman>,
    check::<HipCipher>,
    encrypted,
    host_id,
    check::<HitSuiteList>,
    check::<Cert>,
    check::<Notification>,
    check::<EchoRequestSigned>,
    check::<RegInfo>,
    check::<RegRequest>,
    check::<RegResponse>,
    check::<RegFailed>,
    check::<EchoResponseSigned>,
    check::<TransportFormatList>,
    check::<EspTransform>,
    check::<HipMac>,
    check::<HipMac2>,
    check::<HipSignature2>,
    check::<HipSignature>,
    check::<EchoRequestUnsigned>,
    check::<EchoResponseUnsigned>,
    mcast_channel,
    check::<LocatorSet>,
    check::<Cookie>,
];

fn check<P>(contents: &[u8])
where
    P: for<'a> claviger_wire::Decode<'a> + claviger_wire::Encode + PartialEq + std::fmt::Debug,
{
    claim::codec::<P>(contents);
}

fn solution(contents: &[u8]) {
    let Some(solution) = claim::codec::<Solution>(contents) else { return };
    for algorithm in [HashAlgorithm::Sha256, HashAlgorithm::Sha384] {
        let hash = provider().hash(algorithm).expect("the provider has the hash");
        let (initiator, responder) = (Hit::new([1; 16]), Hit::new([2; 16]));
        let solves = puzzle::verify(hash, &solution, initiator, responder);
        assert!(!solves || solution.i.len() == hash.output_len());
    }
}

fn encrypted(contents: &[u8]) {
    let Some(encrypted) = claim::codec::<Encrypted>(contents) else { return };
    for cipher in [CipherId::NULL_ENCRYPT, CipherId::AES_128_CBC, CipherId::AES_256_CBC] {
        let length = cipher.key_len().expect("the cipher is known");
        let key = EncryptionKey::new(vec![7; length]);
        if let Ok(parameters) = encrypted.open(provider(), cipher, &key) {
            let _ = Parameters::parse(&parameters);
        }
    }
}

fn host_id(contents: &[u8]) {
    let Some(host_id) = claim::codec::<HostId>(contents) else { return };
    let Ok(key) = host_id.public_key() else { return };
    // A key that is understood has a HIT, and is the same when a HOST_ID is made of it.
    let hit = host_id.hit(provider()).expect("a usable key has a HIT");
    assert!(hit.is_orchid());
    let again =
        HostId::new(&key, host_id.domain_identifier().clone()).expect("a key that was read is written");
    assert_eq!(again.public_key(), Ok(key));
}

fn mcast_channel(contents: &[u8]) {
    let Some(channel) = claim::codec::<McastChannel>(contents) else { return };
    let _ = McastChannel::check_all(&[channel.clone(), channel]);
}

/// Feeds one input.
pub(super) fn feed(input: &[u8]) {
    if let Some((choice, contents)) = input.split_first() {
        CHECKS[usize::from(*choice) % CHECKS.len()](contents);
    }
}
