//! The other side of a GROUPKEY-PULL, and a key server that pushes: made-up payloads, genuinely protected.

use claviger_crypto::{
    cipher::{BLOCK_LEN, CipherKey},
    hash_tree::{HashTree, NODE_LEN, Node},
    provider,
};
use claviger_gdoi::{
    push::KekMaterial,
    wire::{batch_signature::BatchSignature, sa_kek::signature_algorithm},
};
use claviger_group::{CookiePair, RegistrationSa};
use claviger_isakmp::{
    exchange::message,
    iana::{Encryption, ExchangeType, PayloadType},
    keys::ExchangeKeys,
    wire::{
        Header,
        payload::{Chain, ChainWriter},
    },
};
use claviger_sansio::{Datagram, Socket};
use claviger_wire::{Decode, Encode, Reader, Writer};

use crate::{group, script};

/// Strings payloads together: the kind of each piece is a payload's.
pub fn chain(input: &[u8]) -> ChainWriter {
    let mut chain = ChainWriter::new();
    for (kind, body) in script::pieces(input).filter(|(kind, _)| *kind != PayloadType::NONE.0) {
        append(&mut chain, PayloadType(kind), body);
    }
    chain
}

/// Appends a payload.
pub fn append(chain: &mut ChainWriter, kind: PayloadType, body: &[u8]) {
    chain.body(kind, body).expect("a piece is shorter than 65,536 octets less a header");
}

/// Wraps octets that arrive at port 848.
pub fn datagram(payload: &[u8], to_server: bool) -> Datagram<'_> {
    let (source, destination) = if to_server {
        (group::member_address(), group::server_address())
    } else {
        (group::server_address(), group::member_address())
    };
    Datagram { socket: Socket::Port848, source, destination, payload }
}

/// One exchange, from the side that the fuzzer plays.
pub struct Exchange {
    keys: ExchangeKeys,
    cipher: Box<dyn CipherKey>,
    message_id: u32,
    iv: [u8; BLOCK_LEN],
    nonces: Vec<Vec<u8>>,
}

impl Exchange {
    /// Begins under [`group::registration`].
    pub fn new(message_id: u32) -> Self {
        Self::under(&group::registration(), message_id)
    }

    /// Begins under a registration of AES-128.
    ///
    /// # Panics
    ///
    /// If it is of another cipher.
    pub fn under(sa: &RegistrationSa, message_id: u32) -> Self {
        let keys = ExchangeKeys::new(provider(), sa).expect("the provider has the algorithms");
        let cipher = provider().cipher(sa.cipher).and_then(|cipher| cipher.key(&sa.skeyid_e.expose()[..16]));
        Self {
            iv: keys.first_iv(message_id),
            keys,
            cipher: cipher.expect("the key has its cipher's length"),
            message_id,
            nonces: Vec::new(),
        }
    }

    /// Seals a message behind a genuine HASH.
    pub fn seal(&mut self, exchange: ExchangeType, payloads: &ChainWriter) -> Vec<u8> {
        let nonces: Vec<&[u8]> = self.nonces.iter().map(Vec::as_slice).collect();
        let hash = self.keys.hash(self.message_id, &nonces, payloads.octets());
        let mut hashed = ChainWriter::new();
        append(&mut hashed, PayloadType::HASH, &hash);
        let mut plaintext = hashed.into_octets();
        plaintext[0] = payloads.first().0;
        plaintext.extend_from_slice(payloads.octets());
        self.note(PayloadType::HASH, &plaintext);

        let header = Header {
            cookies: self.keys.cookies(),
            next_payload: PayloadType::HASH,
            exchange,
            encrypted: exchange.encryption() != Encryption::Never,
            message_id: self.message_id,
            length: 0,
        };
        let octets = encrypt(header, plaintext, &*self.cipher, &self.iv);
        self.iv = *octets.last_chunk().expect("a message has a block");
        octets
    }

    /// Writes a message that is not encrypted behind a genuine HASH.
    pub fn seal_plain(&self, exchange: ExchangeType, payloads: &ChainWriter) -> Vec<u8> {
        let hash = self.keys.hash(self.message_id, &[], payloads.octets());
        let mut hashed = ChainWriter::new();
        append(&mut hashed, PayloadType::HASH, &hash);
        let mut plain = hashed.into_octets();
        plain[0] = payloads.first().0;
        plain.extend_from_slice(payloads.octets());
        let header = Header {
            cookies: self.keys.cookies(),
            next_payload: PayloadType::HASH,
            exchange,
            encrypted: false,
            message_id: self.message_id,
            length: (Header::LEN + plain.len()) as u32,
        };
        plain_message(&header, &plain)
    }

    /// Writes a message about leases behind a genuine HASH.
    ///
    /// # Panics
    ///
    /// If it is longer than any message.
    pub fn seal_lease(&self, payloads: &ChainWriter) -> Vec<u8> {
        let hash = |header: &[u8]| self.keys.lease_hash(header, payloads.octets());
        message::plain(&self.keys, ExchangeType::LEASE, 0, payloads, hash).expect("a piece is short enough")
    }

    /// Says whether a message is one of this exchange.
    pub fn is_of(&self, octets: &[u8]) -> bool {
        let header = Header::decode(&mut Reader::new(octets));
        header
            .is_ok_and(|header| header.cookies == self.keys.cookies() && header.message_id == self.message_id)
    }

    /// Follows a message of the endpoint: its nonce, and the IV that it leaves.
    ///
    /// # Panics
    ///
    /// If the endpoint sent something that is no message of this exchange.
    pub fn follow(&mut self, octets: &[u8]) {
        let (header, ciphertext) = Header::split(octets).expect("an endpoint sends messages");
        let mut plaintext = ciphertext.to_vec();
        self.cipher.decrypt(&self.iv, &mut plaintext).expect("a message has whole blocks");
        self.note(header.next_payload, &plaintext);
        self.iv = *octets.last_chunk().expect("a message has a block");
    }

    fn note(&mut self, first: PayloadType, plaintext: &[u8]) {
        let Ok(chain) = Chain::parse(first, plaintext) else { return };
        let nonce = chain.payloads.iter().find(|payload| payload.kind == PayloadType::NONCE);
        self.nonces.extend(nonce.map(|nonce| nonce.body.to_vec()));
    }
}

/// Reads the message id of what an endpoint sent.
///
/// # Panics
///
/// If it sent something else.
pub fn message_id(octets: &[u8]) -> u32 {
    Header::decode(&mut Reader::new(octets)).expect("an endpoint sends messages").message_id
}

/// The octets of the group's signatures.
const SIGNATURE_LEN: usize = 64;

/// Signs and seals a GROUPKEY-PUSH of made-up payloads.
pub fn push(kek: &KekMaterial, payloads: ChainWriter) -> Vec<u8> {
    sealed(kek, payloads, SIGNATURE_LEN, sign)
}

/// Seals a GROUPKEY-PUSH of made-up payloads with a made-up SIG payload.
pub fn push_with_sig(kek: &KekMaterial, payloads: ChainWriter, sig: &[u8]) -> Vec<u8> {
    sealed(kek, payloads, sig.len(), |_| sig.to_vec())
}

/// Signs and seals a GROUPKEY-PUSH of made-up payloads as one of a batch of two; none if it has no number, or one from
/// which the batch cannot be.
///
/// # Panics
///
/// If the index is above 1.
pub fn push_in_batch(kek: &KekMaterial, payloads: ChainWriter, index: u16) -> Option<Vec<u8>> {
    const COUNT: u16 = 2;
    let chain = Chain::parse(payloads.first(), payloads.octets()).ok()?;
    let sequence = chain.payloads.iter().find(|payload| payload.kind == PayloadType::SEQUENCE_NUMBER)?;
    let sequence = u32::from_be_bytes(sequence.body.try_into().ok()?);
    let first = sequence.checked_sub(index.into())?;
    let spi = kek.spi;
    Some(sealed(kek, payloads, 4 + NODE_LEN + SIGNATURE_LEN, |signed| {
        let mut leaves = [Node([9; NODE_LEN]); COUNT as usize];
        leaves[usize::from(index)] = Node::leaf(&[signed]);
        let tree = HashTree::new(leaves).expect("two are a tree");
        let statement =
            [&b"batch"[..], &spi.0, &first.to_be_bytes(), &COUNT.to_be_bytes(), &tree.root().0].concat();
        let branch = tree.branch(index.into()).copied().collect();
        let mut w = Writer::new();
        BatchSignature { index, count: COUNT, branch, signature: &sign(&statement) }.encode(&mut w);
        w.into_octets()
    }))
}

/// Signs a control of made-up payloads as one of two that share the signature.
///
/// # Panics
///
/// If the index is above 1.
pub fn control(spi: CookiePair, payloads: ChainWriter, index: u16) -> Vec<u8> {
    const COUNT: u16 = 2;
    controlled(spi, payloads, 4 + NODE_LEN + SIGNATURE_LEN, |signed| {
        let mut leaves = [Node([9; NODE_LEN]); COUNT as usize];
        leaves[usize::from(index)] = Node::leaf(&[signed]);
        let tree = HashTree::new(leaves).expect("two are a tree");
        let statement = [&b"delivery"[..], &spi.0, &COUNT.to_be_bytes(), &tree.root().0].concat();
        let branch = tree.branch(index.into()).copied().collect();
        let mut w = Writer::new();
        BatchSignature { index, count: COUNT, branch, signature: &sign(&statement) }.encode(&mut w);
        w.into_octets()
    })
}

/// Writes a control of made-up payloads with a made-up SIG payload.
pub fn control_with_sig(spi: CookiePair, payloads: ChainWriter, sig: &[u8]) -> Vec<u8> {
    controlled(spi, payloads, sig.len(), |_| sig.to_vec())
}

fn controlled(
    spi: CookiePair,
    mut payloads: ChainWriter,
    sig_len: usize,
    sig: impl FnOnce(&[u8]) -> Vec<u8>,
) -> Vec<u8> {
    append(&mut payloads, PayloadType::SIG, &vec![0; sig_len]);
    let mut header = header_of(spi, payloads.first());
    header.exchange = ExchangeType::DELIVERY_CONTROL;
    header.encrypted = false;
    let mut plain = payloads.into_octets();
    header.length = (Header::LEN + plain.len()) as u32;
    let unsigned = plain.len() - sig_len;
    let octets = plain_message(&header, &plain[..unsigned - 4]);
    plain[unsigned..].copy_from_slice(&sig(&[&b"control"[..], &octets].concat()));
    plain_message(&header, &plain)
}

/// Writes a message that is not encrypted: its header has no flag.
fn plain_message(header: &Header, payloads: &[u8]) -> Vec<u8> {
    let mut w = Writer::new();
    header.encode(&mut w);
    w.slice(payloads);
    w.into_octets()
}

fn sign(octets: &[u8]) -> Vec<u8> {
    let algorithm = signature_algorithm(group::SIGNER.public().algorithm());
    group::SIGNER.sign(algorithm, octets).expect("the key signs in its own way")
}

/// Seals a GROUPKEY-PUSH whose SIG payload `sig` makes of the octets that are signed.
fn sealed(
    kek: &KekMaterial,
    mut payloads: ChainWriter,
    sig_len: usize,
    sig: impl FnOnce(&[u8]) -> Vec<u8>,
) -> Vec<u8> {
    append(&mut payloads, PayloadType::SIG, &vec![0; sig_len]);
    let mut header = header_of(kek.spi, payloads.first());
    let mut plaintext = payloads.into_octets();
    header.length = (Header::LEN + plaintext.len()) as u32;
    let unsigned = plaintext.len() - sig_len;
    let signed = [&b"rekey"[..], &header.to_octets(), &plaintext[..unsigned - 4]].concat();
    plaintext[unsigned..].copy_from_slice(&sig(&signed));
    let cipher = provider().cipher(kek.cipher).and_then(|cipher| cipher.key(kek.key.expose()));
    encrypt(header, plaintext, &*cipher.expect("the key has its cipher's length"), &kek.iv)
}

fn header_of(spi: CookiePair, first: PayloadType) -> Header {
    Header {
        cookies: spi,
        next_payload: first,
        exchange: ExchangeType::GROUPKEY_PUSH,
        encrypted: true,
        message_id: 0,
        length: 0,
    }
}

fn encrypt(header: Header, mut plaintext: Vec<u8>, cipher: &dyn CipherKey, iv: &[u8; BLOCK_LEN]) -> Vec<u8> {
    plaintext.resize(plaintext.len().next_multiple_of(BLOCK_LEN), 0);
    cipher.encrypt(iv, &mut plaintext).expect("whole blocks");
    let header = Header { length: (Header::LEN + plaintext.len()) as u32, ..header };
    [header.to_octets(), plaintext].concat()
}
