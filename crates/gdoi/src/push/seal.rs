//! Sealing, by the key server.

use claviger_crypto::{
    CryptoProvider, SecretBytes,
    cipher::{BLOCK_LEN, CipherKey},
    hash_tree::{HashTree, LEAF_PREFIX, Node},
    sign::{PublicKey, Signer},
};
use claviger_group::PushAuthentication;
use claviger_isakmp::{
    iana::{ExchangeType, PayloadType},
    limits::MESSAGE_LEN_MAX,
    wire::{
        Header,
        payload::{ChainWriter, GENERIC_LEN},
    },
};
use claviger_wire::{Encode, Writer};
use tracing::trace;

use super::{
    batch::Statement,
    message::{Push, SIGNED_PREFIX},
    signature::{sign, signature_len},
};
use crate::{
    error::{ApiMisuse, Error},
    limits::DELETES_MAX,
    policy,
    wire::{Delete, Deletes, Exchange, SaPayload, SequenceNumber, batch_signature::BatchSignature},
};

/// A message that lacks only its signature.
struct Unsigned {
    /// The header as it is signed: its Length is that before padding.
    header: Header,
    payloads: ChainWriter,
}

impl Unsigned {
    /// Writes what precedes a SIG payload whose body has `sig_len` octets.
    fn new(push: &Push<'_>, sig_len: usize) -> Result<Self, Error> {
        let mut payloads = write_payloads(push)?;
        let length = Header::LEN + payloads.octets().len() + GENERIC_LEN + sig_len;
        if padded(length) > MESSAGE_LEN_MAX {
            return Err(ApiMisuse::MessageTooLong.into());
        }
        let header = Header {
            cookies: push.kek.spi,
            next_payload: payloads.first(),
            exchange: ExchangeType::GROUPKEY_PUSH,
            encrypted: true,
            message_id: 0,
            length: length as u32,
        };
        payloads.announce(PayloadType::SIG);
        Ok(Self { header, payloads })
    }

    /// Shows what a signature is over, behind a prefix that the form of signature asks for.
    fn signed(&self, prefix: &[u8]) -> SecretBytes {
        SecretBytes::concat(&[prefix, SIGNED_PREFIX, &self.header.to_octets(), self.payloads.octets()])
    }

    /// Appends the signature and encrypts.
    fn seal(
        self,
        cipher: &dyn CipherKey,
        iv: &[u8; BLOCK_LEN],
        sig: impl FnOnce(&mut Writer),
    ) -> Result<Vec<u8>, Error> {
        let Self { mut header, mut payloads } = self;
        let mut body = Writer::new();
        sig(&mut body);
        payloads.body(PayloadType::SIG, body.octets())?;
        header.length = padded(header.length as usize) as u32;
        let mut w = Writer::new();
        header.encode(&mut w);
        w.slice(payloads.octets());
        w.pad_to(Header::LEN, BLOCK_LEN);
        let mut octets = w.into_octets();
        cipher.encrypt(iv, &mut octets[Header::LEN..])?;
        Ok(octets)
    }
}

/// Signs and encrypts a message.
///
/// # Errors
///
/// [`ApiMisuse::MessageTooLong`] if it exceeds 65,507 octets, [`ApiMisuse::DownloadMismatch`] if the keys do not fit
/// the policy, [`ApiMisuse::UnsupportedAlgorithm`] if a key does not fit its algorithm.
pub fn seal(provider: &CryptoProvider, push: &Push<'_>, signer: &dyn Signer) -> Result<Vec<u8>, Error> {
    let unsigned = Unsigned::new(push, signature_len(signer.public()))?;
    let signature = sign(signer, unsigned.signed(&[]).expose())?;
    let message = unsigned.seal(&*push.kek.prepare(provider)?, &push.kek.iv, |w| w.slice(&signature))?;
    trace!(rekey_sa = %push.kek.spi, sequence = push.sequence, length = message.len(), "GROUPKEY-PUSH is sealed");
    Ok(message)
}

/// Encrypts messages that share one signature: over the root of a Merkle tree whose leaves are what each message would
/// be signed over for itself. They go out under a rekey SA that announces a batch form, in any order.
///
/// # Errors
///
/// [`ApiMisuse::NotOneBatch`] unless they are 1 to 65,535 messages of one rekey SA with consecutive numbers; for each
/// message as [`seal`].
pub fn seal_batch(
    provider: &CryptoProvider,
    pushes: &[Push<'_>],
    signer: &dyn Signer,
) -> Result<Vec<Vec<u8>>, Error> {
    let first = pushes.first().ok_or(ApiMisuse::NotOneBatch)?;
    let count = u16::try_from(pushes.len()).map_err(|_| ApiMisuse::NotOneBatch)?;
    let is_next = |(number, push): (u32, &Push<'_>)| {
        push.kek == first.kek && first.sequence.checked_add(number) == Some(push.sequence)
    };
    if first.sequence == 0 || !(0..).zip(pushes).all(is_next) {
        return Err(ApiMisuse::NotOneBatch.into());
    }

    let signature_len = signature_len(signer.public());
    let unsigned = pushes
        .iter()
        .enumerate()
        .map(|(index, push)| {
            let sig_len = BatchSignature::encoded_len(index, pushes.len(), signature_len);
            Unsigned::new(push, sig_len.expect("the index is one of the batch"))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let leaves = unsigned.iter().map(|message| Node::prefixed_leaf(message.signed(&[LEAF_PREFIX]).expose()));
    let tree = HashTree::new(leaves.collect::<Result<Vec<_>, _>>()?)?;
    let statement = Statement { spi: first.kek.spi, first: first.sequence, count, root: tree.root() };
    let signature = statement.sign(signer)?;

    trace!(rekey_sa = %first.kek.spi, first = first.sequence, count, "a batch of GROUPKEY-PUSHes is signed");
    let cipher = first.kek.prepare(provider)?;
    (0..count)
        .zip(unsigned)
        .map(|(index, message)| {
            let branch = tree.branch(index.into()).copied().collect();
            let sig = BatchSignature { index, count, branch, signature: &signature };
            message.seal(&*cipher, &first.kek.iv, |w| sig.encode(w))
        })
        .collect()
}

/// Says how many octets a KD payload's body may have, so that a message without deletes makes a UDP payload of at most
/// `udp_len` octets; none if not even an empty one fits. In a batch, `count` is the number of its messages.
///
/// # Errors
///
/// [`ApiMisuse`] if the policy cannot be written, or no key of this kind signs.
pub fn room(
    udp_len: usize,
    sa: &SaPayload,
    form: PushAuthentication,
    signing_key: &PublicKey,
    count: usize,
) -> Result<Option<usize>, Error> {
    let mut policy = Writer::new();
    sa.encode(Exchange::Push, &mut policy)?;
    let sig_len = match form {
        PushAuthentication::Message => Some(signature_len(signing_key)),
        // No branch is longer than that of the first message.
        PushAuthentication::Batch => BatchSignature::encoded_len(0, count, signature_len(signing_key)),
    };
    let sig_len = sig_len.ok_or(ApiMisuse::NotOneBatch)?;
    let bodies = SEQUENCE_LEN + policy.len() + sig_len;
    let plaintext = udp_len.saturating_sub(Header::LEN) / BLOCK_LEN * BLOCK_LEN;
    // Generic headers of SEQ, SA, KD and SIG.
    Ok(plaintext.checked_sub(bodies + 4 * GENERIC_LEN))
}

/// The octets of a SEQ payload's body.
const SEQUENCE_LEN: usize = 4;

/// Says how many octets a message has once it is padded.
fn padded(length: usize) -> usize {
    Header::LEN + (length - Header::LEN).next_multiple_of(BLOCK_LEN)
}

fn write_payloads(push: &Push<'_>) -> Result<ChainWriter, Error> {
    let mut payloads = ChainWriter::new();
    payloads.value(PayloadType::SEQUENCE_NUMBER, &SequenceNumber(push.sequence))?;
    let alike: Vec<_> = push.deletes.chunk_by(Delete::is_alike).collect();
    if alike.len() > DELETES_MAX {
        return Err(ApiMisuse::MessageTooLong.into());
    }
    for deletes in alike {
        payloads.payload(PayloadType::DELETE, |w| Deletes(deletes.to_vec()).encode(w))?;
    }
    match (push.sa, push.kd) {
        (Some(sa), Some(kd)) if policy::check_keys(Exchange::Push, sa, kd).is_ok() => {
            payloads.payload(PayloadType::SA, |w| sa.encode(Exchange::Push, w))?;
            payloads.payload(PayloadType::KEY_DOWNLOAD, |w| kd.encode(w))?;
        }
        (None, None) => {}
        _ => return Err(ApiMisuse::DownloadMismatch.into()),
    }
    Ok(payloads)
}
