//! A group owner's CA, another below it, and hosts.

use claviger_crypto::{
    SeededRandom, provider,
    sign::{KeyAlgorithm, PublicKey, SigningKey},
};
use claviger_pki::{BasicConstraints, Certificate, Crl, GroupRight, GroupRights, Issuer, Request, Roles};

/// A time at which all of it is valid, in seconds since 1970.
pub const NOW: u64 = 1_800_000_000;

/// A day in seconds.
const DAY: u64 = 86_400;

/// From which the host's key is.
const HOST_SEED: u64 = 3;

/// What the host may be in its groups, and what the CA above it can give.
pub fn rights() -> GroupRights {
    let right = |id_type, group_id: &[u8], roles| GroupRight { id_type, group_id: group_id.to_vec(), roles };
    let receiver = Roles { receiver: true, ..Roles::NONE };
    GroupRights::new(vec![right(11, &[0, 0, 0x12, 0x34], Roles::ALL), right(2, b"a.example", receiver)])
        .expect("the rights are in order")
}

/// The host's public key.
pub fn host_key() -> PublicKey {
    key(HOST_SEED).public().clone()
}

fn key(seed: u64) -> SigningKey {
    SigningKey::generate(provider(), KeyAlgorithm::Ed25519, &mut SeededRandom::new(seed))
        .expect("the provider has Ed25519")
}

/// Certifies the key of a seed; without an issuer by itself.
fn certify(issuer: Option<(&Certificate, u64)>, subject: &str, seed: u64, ca: bool) -> Certificate {
    let rights = issuer.map(|_| rights().extension());
    let request = Request {
        subject: subject.to_owned(),
        key: key(seed).public().clone(),
        not_before: NOW - DAY,
        not_after: NOW + DAY,
        basic_constraints: BasicConstraints { ca, path_length: None },
        addresses: vec!["2001:20::1".parse().expect("it is an address")],
        extensions: rights.into_iter().collect(),
    };
    let signer = key(issuer.map_or(seed, |(_, seed)| seed));
    let certificate = issuer.map(|(certificate, _)| certificate);
    Issuer { provider: provider(), signer: &signer, certificate }
        .issue(&request, &mut SeededRandom::new(seed))
        .expect("the names are in order")
}

/// The owner's root.
pub fn root() -> Certificate {
    certify(None, "CN=Owner", 1, true)
}

/// A CA below it.
pub fn ca() -> Certificate {
    certify(Some((&root(), 1)), "CN=Below", 2, true)
}

/// A host that this CA certified.
pub fn host() -> Certificate {
    certify(Some((&ca(), 2)), "CN=Host", HOST_SEED, false)
}

/// A host that the owner itself certified.
pub fn direct() -> Certificate {
    certify(Some((&root(), 1)), "CN=Direct", 4, false)
}

/// The owner's list, as DER: one that nobody knows is revoked.
pub fn list_der() -> Vec<u8> {
    let (root, signer) = (root(), key(1));
    Issuer { provider: provider(), signer: &signer, certificate: Some(&root) }
        .revoke(&[(vec![7], NOW)], 1, NOW - DAY, NOW + DAY)
        .expect("the times are in order")
}

/// The owner's list.
pub fn list() -> Crl {
    Crl::from_der(&list_der()).expect("what is written is read")
}
