//! The text form that keeps a private key in a file: PKCS #8 in PEM (RFC 7468 section 10).

use claviger_crypto::{SecretBytes, sign::KeyAlgorithm};
use claviger_wire::Reader;

use crate::IdentityError;

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";
/// The characters of a full line of base64.
const LINE: usize = 64;
/// The longest text that is read, in octets: an RSA key of 8,192 bits has some 6,400.
const TEXT_LEN_MAX: usize = 16_384;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Wraps PKCS #8 octets as text.
pub fn encode(pkcs8: &SecretBytes) -> SecretBytes {
    let digits = pkcs8.len().div_ceil(3) * 4;
    let length = BEGIN.len() + 1 + digits + digits.div_ceil(LINE) + END.len() + 1;
    // Written in place, so that no other copy of the key is left in memory.
    SecretBytes::with(length, |text| {
        let mut rest = text.iter_mut();
        let mut put = |octets: &[u8]| octets.iter().zip(&mut rest).for_each(|(octet, to)| *to = *octet);
        put(BEGIN.as_bytes());
        put(b"\n");
        for line in pkcs8.expose().chunks(LINE / 4 * 3) {
            for group in line.chunks(3) {
                put(&encode_group(group));
            }
            put(b"\n");
        }
        put(END.as_bytes());
        put(b"\n");
    })
}

fn encode_group(group: &[u8]) -> [u8; 4] {
    let octet = |i: usize| u32::from(group.get(i).copied().unwrap_or(0));
    let bits = octet(0) << 16 | octet(1) << 8 | octet(2);
    std::array::from_fn(|i| {
        if i <= group.len() { ALPHABET[(bits >> (18 - 6 * i)) as usize & 0x3f] } else { b'=' }
    })
}

/// Reads the PKCS #8 octets of the first private key in a text.
///
/// # Errors
///
/// [`IdentityError::Pem`] if the begin line, the end line or clean base64 between them is missing.
pub fn decode(text: &[u8]) -> Result<SecretBytes, IdentityError> {
    if text.len() > TEXT_LEN_MAX {
        return Err(IdentityError::Pem);
    }
    let begin = find(text, BEGIN.as_bytes()).ok_or(IdentityError::Pem)? + BEGIN.len();
    let body = &text[begin..];
    let body = &body[..find(body, END.as_bytes()).ok_or(IdentityError::Pem)?];
    let digits = body.iter().copied().filter(|octet| !octet.is_ascii_whitespace());
    let count = digits.clone().count();
    let padding = digits.clone().filter(|&digit| digit == b'=').count();
    if count == 0 || !count.is_multiple_of(4) || padding > 2 {
        return Err(IdentityError::Pem);
    }
    let values = count - padding;
    let mut valid = digits.clone().skip(values).all(|digit| digit == b'=');
    let pkcs8 = SecretBytes::with(count / 4 * 3 - padding, |octets| {
        let (mut bits, mut held, mut at) = (0u32, 0u32, 0usize);
        for digit in digits.take(values) {
            match ALPHABET.iter().position(|&other| other == digit) {
                Some(value) => bits = (bits << 6 | value as u32) & 0xffff,
                None => valid = false,
            }
            held += 6;
            if held >= 8 {
                held -= 8;
                if let Some(octet) = octets.get_mut(at) {
                    *octet = (bits >> held) as u8;
                }
                at += 1;
            }
        }
        valid &= bits & ((1 << held) - 1) == 0;
    });
    if valid { Ok(pkcs8) } else { Err(IdentityError::Pem) }
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

/// The object identifiers by which PKCS #8 names an algorithm, and for id-ecPublicKey its curve.
const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const CURVE_P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const CURVE_P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];

const TAG_INTEGER: u8 = 0x02;
const TAG_OID: u8 = 0x06;
const TAG_SEQUENCE: u8 = 0x30;

/// Reads which algorithm a PKCS #8 key is of.
///
/// # Errors
///
/// [`IdentityError::Pem`] if the octets are no PKCS #8, [`IdentityError::Algorithm`] if the algorithm is unknown.
pub fn key_algorithm(pkcs8: &[u8]) -> Result<KeyAlgorithm, IdentityError> {
    // PrivateKeyInfo ::= SEQUENCE { version INTEGER, algorithm SEQUENCE { OID, parameters }, ... }
    let mut info = element(&mut Reader::new(pkcs8), TAG_SEQUENCE)?;
    element(&mut info, TAG_INTEGER)?;
    let mut algorithm = element(&mut info, TAG_SEQUENCE)?;
    match element(&mut algorithm, TAG_OID)?.take_rest() {
        RSA_ENCRYPTION => Ok(KeyAlgorithm::Rsa),
        ED25519 => Ok(KeyAlgorithm::Ed25519),
        EC_PUBLIC_KEY => match element(&mut algorithm, TAG_OID)?.take_rest() {
            CURVE_P256 => Ok(KeyAlgorithm::EcdsaP256),
            CURVE_P384 => Ok(KeyAlgorithm::EcdsaP384),
            _ => Err(IdentityError::Algorithm),
        },
        _ => Err(IdentityError::Algorithm),
    }
}

/// Steps into one DER element of a given tag.
fn element<'a>(r: &mut Reader<'a>, tag: u8) -> Result<Reader<'a>, IdentityError> {
    let mut read = || {
        if r.u8("tag")? != tag {
            return Ok(None);
        }
        let length = match r.u8("length")? {
            0x81 => usize::from(r.u8("length")?),
            0x82 => usize::from(r.u16("length")?),
            length @ 0..=0x7f => usize::from(length),
            _ => return Ok(None),
        };
        r.sub(length, "element").map(Some)
    };
    let result: Result<Option<Reader<'a>>, claviger_wire::DecodeError> = read();
    result.ok().flatten().ok_or(IdentityError::Pem)
}

#[cfg(test)]
mod tests {
    use claviger_crypto::{SeededRandom, provider, sign::SigningKey};

    use super::*;

    #[test]
    fn base64_of_rfc_4648() {
        for (octets, digits) in
            [("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy"), ("\u{ff}", "w78=")]
        {
            let text = encode(&SecretBytes::copy_of(octets.as_bytes()));
            assert_eq!(text.expose(), format!("{BEGIN}\n{digits}\n{END}\n").as_bytes());
            assert_eq!(decode(text.expose()).unwrap().expose(), octets.as_bytes());
        }
        let long: Vec<u8> = (0..=255).collect();
        let text = encode(&SecretBytes::copy_of(&long));
        assert!(text.expose().split(|&octet| octet == b'\n').all(|line| line.len() <= LINE));
        assert_eq!(decode(text.expose()).unwrap().expose(), long);
    }

    #[test]
    fn finds_the_algorithm_of_every_key() {
        for algorithm in
            [KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384, KeyAlgorithm::Ed25519, KeyAlgorithm::Rsa]
        {
            let key = SigningKey::generate(provider(), algorithm, &mut SeededRandom::new(1)).unwrap();
            assert_eq!(key_algorithm(key.pkcs8().expose()), Ok(algorithm));
        }
    }

    #[test]
    fn refuses_text_that_is_no_private_key() {
        let wrap = |body: &str| format!("{BEGIN}\n{body}\n{END}\n");
        for text in [
            String::new(),
            BEGIN.into(),
            wrap(""),
            wrap("Zg="),
            wrap("Z==="),
            wrap("Zg==Zg=="),
            wrap("Z=g="),
            wrap("Zh=="),
            wrap("Zm9*"),
            wrap("Zm9v").replace("PRIVATE", "PUBLIC"),
            wrap(&"AAAA".repeat(TEXT_LEN_MAX / 4)),
        ] {
            assert_eq!(decode(text.as_bytes()).err(), Some(IdentityError::Pem), "{text}");
        }
        for der in [&[][..], &[0x30], &[0x30, 0x84, 0, 0, 0, 0], &[0x30, 2, 2, 1, 0], &[0x31, 0]] {
            assert_eq!(key_algorithm(der), Err(IdentityError::Pem), "{der:02x?}");
        }
        let ed448 = [0x30, 10, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x71];
        assert_eq!(key_algorithm(&ed448), Err(IdentityError::Algorithm));
    }
}
