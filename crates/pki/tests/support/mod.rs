//! A group owner's CA, made in memory.

use claviger_crypto::{
    SeededRandom, provider,
    sign::{KeyAlgorithm, SignatureAlgorithm, SigningKey},
};
use claviger_pki::{BasicConstraints, Certificate, Crl, Extension, Issuer, Request};
use const_oid::db::rfc5280::ID_CE_CRL_REASONS;
use der::{
    Decode, Encode, Sequence,
    asn1::{BitString, OctetString, UintRef},
};
use x509_cert::crl::CertificateList;

/// A time at which everything here is valid, in seconds since 1970.
pub(crate) const NOW: u64 = 1_800_000_000;

/// A day in seconds.
pub(crate) const DAY: u64 = 86_400;

/// Somebody with a key and a certificate.
pub(crate) struct Holder {
    pub(crate) key: SigningKey,
    pub(crate) certificate: Certificate,
}

pub(crate) fn key(seed: u64) -> SigningKey {
    SigningKey::generate(provider(), KeyAlgorithm::EcdsaP256, &mut SeededRandom::new(seed)).unwrap()
}

/// What a certificate says by default: a host's, from yesterday until in a month.
pub(crate) fn request(subject: &str, key: &SigningKey) -> Request {
    Request {
        subject: subject.to_owned(),
        key: key.public().clone(),
        not_before: NOW - DAY,
        not_after: NOW + 30 * DAY,
        basic_constraints: BasicConstraints { ca: false, path_length: None },
        addresses: Vec::new(),
        extensions: Vec::new(),
    }
}

pub(crate) fn ca(path_length: Option<u8>) -> BasicConstraints {
    BasicConstraints { ca: true, path_length }
}

impl Holder {
    /// A root.
    pub(crate) fn root(subject: &str, seed: u64) -> Self {
        let key = key(seed);
        let request = Request { basic_constraints: ca(None), ..request(subject, &key) };
        let issuer = Issuer { provider: provider(), signer: &key, certificate: None };
        let certificate = issuer.issue(&request, &mut SeededRandom::new(seed)).unwrap();
        Self { key, certificate }
    }

    pub(crate) fn issuer(&self) -> Issuer<'_> {
        Issuer { provider: provider(), signer: &self.key, certificate: Some(&self.certificate) }
    }

    /// Somebody certified by this one, as `change` has it.
    pub(crate) fn certify(&self, subject: &str, seed: u64, change: impl FnOnce(&mut Request)) -> Self {
        let key = key(seed);
        let mut request = request(subject, &key);
        change(&mut request);
        let certificate = self.issuer().issue(&request, &mut SeededRandom::new(seed)).unwrap();
        Self { key, certificate }
    }

    /// A CA certified by this one.
    pub(crate) fn certify_ca(&self, subject: &str, seed: u64) -> Self {
        self.certify(subject, seed, |request| request.basic_constraints = ca(None))
    }

    /// The same key with another certificate by itself, as `change` has it.
    pub(crate) fn renewed(&self, change: impl FnOnce(&mut Request)) -> Self {
        let mut request = request(&self.certificate.subject().to_string(), &self.key);
        request.basic_constraints = ca(None);
        change(&mut request);
        let issuer = Issuer { certificate: None, ..self.issuer() };
        let certificate = issuer.issue(&request, &mut SeededRandom::new(1)).unwrap();
        let key =
            SigningKey::from_pkcs8(provider(), KeyAlgorithm::EcdsaP256, self.key.pkcs8().clone()).unwrap();
        Self { key, certificate }
    }

    /// Its list of these revoked certificates, current for a day around now.
    pub(crate) fn list(&self, revoked: &[&Certificate]) -> Crl {
        self.list_at(revoked, NOW - DAY, NOW + DAY)
    }

    pub(crate) fn list_at(&self, revoked: &[&Certificate], this_update: u64, next_update: u64) -> Crl {
        let revoked: Vec<_> = revoked.iter().map(|one| (one.serial_number().to_vec(), this_update)).collect();
        let list = self.issuer().revoke(&revoked, 1, this_update, next_update).unwrap();
        Crl::from_der(&list).unwrap()
    }
}

/// Ecdsa-Sig-Value (RFC 3279 section 2.2.3).
#[derive(Sequence)]
struct EcdsaSignature<'a> {
    r: UintRef<'a>,
    s: UintRef<'a>,
}

impl Holder {
    /// Its list of one revoked certificate, in DER, with a reason (RFC 5280 section 5.3.1).
    pub(crate) fn list_with_reason(&self, revoked: &Certificate, reason: u8) -> Vec<u8> {
        let revoked = [(revoked.serial_number().to_vec(), NOW - DAY)];
        let plain = self.issuer().revoke(&revoked, 1, NOW - DAY, NOW + DAY).unwrap();
        let mut list: CertificateList = Decode::from_der(&plain).unwrap();
        let extn_value = OctetString::new(&[10, 1, reason][..]).unwrap();
        let extension = x509_cert::ext::Extension { extn_id: ID_CE_CRL_REASONS, critical: false, extn_value };
        list.tbs_cert_list.revoked_certificates.as_mut().unwrap()[0].crl_entry_extensions =
            Some(vec![extension]);
        let to_be_signed = list.tbs_cert_list.to_der().unwrap();
        let signature = self.key.sign(SignatureAlgorithm::EcdsaP256Sha256, &to_be_signed).unwrap();
        let (r, s) = signature.split_at(signature.len() / 2);
        let signature = EcdsaSignature { r: UintRef::new(r).unwrap(), s: UintRef::new(s).unwrap() };
        list.signature = BitString::from_bytes(&signature.to_der().unwrap()).unwrap();
        list.to_der().unwrap()
    }
}

/// An extension that nobody knows.
pub(crate) fn unknown_extension(critical: bool) -> Extension {
    let id = const_oid::ObjectIdentifier::new_unwrap("2.25.1234").into();
    Extension { id, critical, value: vec![5, 0] }
}
