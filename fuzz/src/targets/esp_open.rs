//! A receiving data plane, fed with packets and with genuinely sealed ones of made-up content; and what unwraps it.

use std::net::IpAddr;

use claviger_crypto::{aead::AeadAlgorithm, provider};
use claviger_esp::{
    Error, Plane, PlaneConfig,
    packet::{IpHeader, Mode, UdpDatagram, unwrap_bare},
};
use claviger_group::Role;

use crate::group::{self, NOW};

/// An ESP packet of sender 7 and number `sequence`, whatever its plaintext is.
fn seal(sequence: u32, plaintext: &[u8]) -> Vec<u8> {
    let tek = group::tek();
    let (key, salt) = tek.keys.encryption.expose().split_at(16);
    let iv = [&[0, 7, 0, 0][..], &sequence.to_be_bytes()].concat();
    let nonce: [u8; 12] = [salt, &iv].concat().try_into().expect("salt and IV are 12 octets");
    let header = [tek.spi.as_u32().to_be_bytes(), sequence.to_be_bytes()].concat();
    let mut body = plaintext.to_vec();
    let aead = provider().aead(AeadAlgorithm::Aes128Gcm).and_then(|aead| aead.key(key));
    let tag = aead.and_then(|key| key.seal(&nonce, &header, &mut body)).expect("the key has its length");
    [&header[..], &iv, &body, &tag].concat()
}

/// Feeds one input.
pub(super) fn feed(input: &[u8]) {
    let source = IpAddr::from([192, 0, 2, 1]);
    let random = Box::new(claviger_crypto::SeededRandom::new(3));
    let mut plane = Plane::new(provider(), PlaneConfig::new(Role::Receiver, 16), random);
    plane.install(NOW, group::tek(), NOW, &[]).expect("it is the first");
    assert!(plane.open(NOW, source, input).is_err(), "nobody forges an ICV");

    let sealed = seal(1, input);
    match plane.open(NOW, source, &sealed) {
        Ok(opened) => {
            assert!(input.starts_with(&opened.payload));
            assert_eq!(input.last(), Some(&opened.next_header));
            let outer = IpHeader::new(source, group::tek().channel.group());
            for mode in [Mode::Transport, Mode::Tunnel] {
                let _ = unwrap_bare(&outer, mode, &opened);
            }
            let _ = UdpDatagram::parse(source, outer.destination, &opened.payload);
        }
        Err(Error::Dummy) => {}
        // What is not ESP was not opened, and its number is not spent.
        Err(error) => {
            assert_eq!(plane.open(NOW, source, &sealed), Err(error));
            return;
        }
    }
    assert_eq!(plane.open(NOW, source, &seal(u32::MAX, input)), Err(Error::Leap));
    assert_eq!(plane.open(NOW, source, &sealed), Err(Error::Replayed));
}
