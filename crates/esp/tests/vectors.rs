//! Known answers: published packets, and packets built by hand out of the bare algorithms.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use claviger_crypto::{SeededRandom, hash::HashAlgorithm, provider, random};
use claviger_esp::{InboundSa, OutboundSa, packet::IpPacket};
use claviger_group::{EspTransform, transform::EspCipher};

use support::{address, hex, sid, tek, tek_with_keys};

/// A packet of draft-mcgrew-gcm-test-01 without extended sequence numbers.
struct Published {
    spi: u32,
    transform: EspTransform,
    /// Key and salt.
    encryption: &'static str,
    packet: &'static str,
    next_header: u8,
    payload: &'static str,
}

const PUBLISHED: [Published; 3] = [
    Published {
        spi: 0xa5f8,
        transform: EspTransform::Aes128Gcm16,
        encryption: "feffe9928665731c6d6a8f9467308308 cafebabe",
        packet: "0000a5f80000000afacedbaddecaf888
                 deb22cd9b07c72c16e3a65beeb8df304 a5a5897d33ae530f1ba76d5d114d2a5c
                 3de81827c10e9a4f51330d0eec416642 cfbb85a5b47e48a4ec3b9ba95d918bd1
                 83b70d3aa8bc6ee4c309e9d85a41ad4a",
        next_header: 1,
        payload: "4500003e698f000080114dccc0a80102 c0a801010a980035002a2343b2d00100
                  00010000000000000373697009637962 65726369747902646b0000010001",
    },
    Published {
        spi: 0x4a2c_bfe3,
        transform: EspTransform::Aes256Gcm16,
        encryption: "abbccddef00112233445566778899aab abbccddef00112233445566778899aab 11223344",
        packet: "4a2cbfe3000000020102030405060708
                 ff425c9b724599df7a3bcd510194e00d 6a78107f1b0b1cbf06efae9d65a5d763
                 748a637985771d347f0545659f14e99d ef842d8eb335f4eecfdbf831824b4c49 15956c96",
        next_header: 1,
        payload: "4500003069a6400080062690c0a80102 9389155e0a9e008b2dc57ee000000000
                  7002400020bf0000020405b401010402",
    },
    Published {
        spi: 0x3354_67ae,
        transform: EspTransform::Aes128Gcm16,
        encryption: "7d773d00c144c525ac619d18c84a3f47 d9664267",
        packet: "335467aeffffffff43457e9182443bc6 437f866bcb3f699fe9b0822bac961c45 04bef270",
        next_header: 1,
        payload: "",
    },
];

#[test]
fn opens_the_packets_of_draft_mcgrew_gcm_test_01() {
    for vector in PUBLISHED {
        let tek = tek_with_keys(vector.spi, vector.transform, &hex(vector.encryption), &[]);
        let inbound = InboundSa::new(provider(), &tek, 16).unwrap();
        // Their numbers are far from each other and from 0.
        let opened = inbound.read(address(1), &hex(vector.packet)).unwrap();
        assert_eq!(opened.next_header, vector.next_header);
        assert_eq!(opened.payload, hex(vector.payload));
        if !opened.payload.is_empty() {
            assert_eq!(IpPacket::parse(&opened.payload).unwrap().header.hop_limit, 128);
        }
    }
}

#[test]
fn seals_gcm_as_rfc_4106_says() {
    for transform in [EspTransform::Aes128Gcm16, EspTransform::Aes256Gcm16] {
        let EspCipher::Aead(algorithm) = transform.cipher() else { unreachable!("both are AEADs") };
        let tek = tek(0xabcd_ef01, transform);
        let (key, salt) = tek.keys.encryption.expose().split_at(algorithm.key_len());
        let key = provider().aead(algorithm).unwrap().key(key).unwrap();
        let mut outbound = OutboundSa::new(provider(), &tek, Some(sid(0x1234))).unwrap();
        for sequence in 1..=3u8 {
            // SPI | sequence number | SID, SSIV from 0 | payload, padding 1, pad length 1, next header 17
            let header = [0xab, 0xcd, 0xef, 0x01, 0, 0, 0, sequence];
            let iv = [0x12, 0x34, 0, 0, 0, 0, 0, sequence - 1];
            let mut body = b"payload.x\x01\x01\x11".to_vec();
            let nonce: [u8; 12] = [salt, &iv].concat().try_into().unwrap();
            let tag = key.seal(&nonce, &header, &mut body).unwrap();
            let expected = [&header[..], &iv, &body, &tag].concat();

            let esp = outbound.seal(&mut SeededRandom::new(1), 17, b"payload.x").unwrap();
            assert_eq!(esp, expected);
            assert_eq!(esp.capacity(), esp.len(), "one allocation of the right size");
        }
    }
}

#[test]
fn seals_cbc_as_rfc_3602_and_rfc_4868_say() {
    for transform in [EspTransform::Aes128CbcHmacSha256, EspTransform::Aes256CbcHmacSha256] {
        let EspCipher::CbcHmac(algorithm) = transform.cipher() else { unreachable!("both are CBC") };
        let tek = tek(0xabcd_ef01, transform);
        let key = provider().cipher(algorithm).unwrap().key(tek.keys.encryption.expose()).unwrap();
        let mac = provider().prf(HashAlgorithm::Sha256).unwrap();
        let mut outbound = OutboundSa::new(provider(), &tek, None).unwrap();
        let (mut drawn, mut same) = (SeededRandom::new(1), SeededRandom::new(1));
        for sequence in 1..=3u8 {
            let header = [0xab, 0xcd, 0xef, 0x01, 0, 0, 0, sequence];
            let iv: [u8; 16] = random::array(&mut same);
            let mut body = b"payload.x\x01\x02\x03\x04\x05\x05\x11".to_vec();
            key.encrypt(&iv, &mut body).unwrap();
            let covered = [&header[..], &iv, &body].concat();
            let icv = mac.prf(tek.keys.integrity.expose(), &[&covered]);

            let esp = outbound.seal(&mut drawn, 17, b"payload.x").unwrap();
            assert_eq!(esp, [&covered[..], &icv[..16]].concat());
            assert_eq!(esp.capacity(), esp.len(), "one buffer of the right size");
        }
    }
}
