//! The published examples. RFC 5649's own have AES-192 keys, which no engine takes: see the portable engine's tests.

use claviger_keywrap::{CbcJob, Engine, Job, Wrapped};

fn hex(digits: &str) -> Vec<u8> {
    (0..digits.len()).step_by(2).map(|i| u8::from_str_radix(&digits[i..i + 2], 16).unwrap()).collect()
}

/// RFC 3394 sections 4.1, 4.3, 4.5 and 4.6: key encryption key, key data, ciphertext.
const RFC3394: [(&str, &str, &str); 4] = [
    (
        "000102030405060708090A0B0C0D0E0F",
        "00112233445566778899AABBCCDDEEFF",
        "1FA68B0A8112B447AEF34BD8FB5A7B829D3E862371D2CFE5",
    ),
    (
        "000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F",
        "00112233445566778899AABBCCDDEEFF",
        "64E8C3F9CE0F5BA263E9777905818A2A93C8191E7D6E8AE7",
    ),
    (
        "000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F",
        "00112233445566778899AABBCCDDEEFF0001020304050607",
        "A8F9BC1612C68B3FF6E6F4FBE30E71E4769C8B80A32CB8958CD5D17D6B254DA1",
    ),
    (
        "000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F",
        "00112233445566778899AABBCCDDEEFF000102030405060708090A0B0C0D0E0F",
        "28C9F404C4B810F4CBCCB35CFB87F8263F5786E2D80ED326CBC7F0E71A99F43BFB988B9B7A02DD21",
    ),
];

#[test]
fn rfc3394_4() {
    for engine in Engine::available() {
        for (under, plaintext, ciphertext) in RFC3394.map(|(a, b, c)| (hex(a), hex(b), hex(c))) {
            let job = Job { under: &under, plaintext: &plaintext };
            assert_eq!(engine.wrap_one(job).unwrap(), ciphertext);
            let wrapped = Wrapped { under: &under, ciphertext: &ciphertext };
            assert_eq!(engine.unwrap_one(wrapped).unwrap().expose(), plaintext);
        }
    }
}

/// NIST SP 800-38A sections F.2.1 and F.2.5.
#[test]
fn sp800_38a_f_2() {
    let iv: [u8; 16] = std::array::from_fn(|i| i as u8);
    let plaintext = hex(concat!(
        "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51",
        "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
    ));
    let samples = [
        (
            "2b7e151628aed2a6abf7158809cf4f3c",
            concat!(
                "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2",
                "73bed6b8e3c1743b7116e69e222295163ff1caa1681fac09120eca307586e1a7"
            ),
        ),
        (
            "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
            concat!(
                "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d",
                "39f23369a9d9bacfa530e26304231461b2eb05e2c39be9fcda6c19078c6a9d1b"
            ),
        ),
    ];
    for engine in Engine::available() {
        for (under, ciphertext) in samples.map(|(a, b)| (hex(a), hex(b))) {
            let mut out = [0; 64];
            let job = CbcJob { under: &under, iv: &iv, plaintext: &plaintext };
            engine.encrypt_cbc([job], &mut out).unwrap();
            assert_eq!(out[..], ciphertext);
        }
    }
}
