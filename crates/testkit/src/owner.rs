//! CAs of group owners, and hosts that they certify.

use std::{
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering},
};

use claviger_crypto::{
    CryptoError, CryptoProvider, SeededRandom, SystemRandom, provider,
    sign::{CertificateKey, CertificateSignature, CertificateVerifier, KeyAlgorithm, SigningKey},
};
use claviger_gcks::{Admits, Owner, RevocationPolicy};
use claviger_group::{GroupId, Role};
use claviger_hip::CertificateChain;
use claviger_identity::{Hit, HostIdentity};
use claviger_pki::{
    BasicConstraints, Certificate, Crl, Extension, GroupOwner, GroupRight, GroupRights, Issuer, Request,
    Revocation, Roles,
};
use claviger_sansio::Time;

use crate::network::START;

/// A day in seconds.
pub const DAY: u64 = 86_400;

/// A CA of a group owner: it is valid for a year around [`START`].
pub struct Ca {
    key: SigningKey,
    /// Its certificate.
    pub certificate: Certificate,
}

/// What a key server may be in a group.
pub const KEY_SERVER: Roles = Roles { key_server: true, ..Roles::NONE };

impl Ca {
    /// Makes a root.
    ///
    /// # Panics
    ///
    /// If `subject` is no name.
    pub fn new(subject: &str) -> Self {
        let key = new_key();
        let request = ca_request(subject, &key);
        let issuer = Issuer { provider: provider(), signer: &key, certificate: None };
        let certificate = issuer.issue(&request, &mut random()).expect("the name can be written");
        Self { key, certificate }
    }

    /// Certifies another CA.
    ///
    /// # Panics
    ///
    /// If `subject` is no name.
    pub fn certify_ca(&self, subject: &str) -> Self {
        let key = new_key();
        let certificate = self.issue(&ca_request(subject, &key));
        Self { key, certificate }
    }

    /// Certifies another CA that is valid until a second.
    pub fn certify_ca_until(&self, subject: &str, not_after: u64) -> Self {
        let key = new_key();
        let certificate = self.issue(&Request { not_after, ..ca_request(subject, &key) });
        Self { key, certificate }
    }

    /// Certifies another CA that can give rights in one group only.
    pub fn certify_bounded(&self, subject: &str, group: &GroupId) -> Self {
        let key = new_key();
        let mut request = ca_request(subject, &key);
        request.extensions.push(rights(group, Roles::ALL));
        let certificate = self.issue(&request);
        Self { key, certificate }
    }

    /// Certifies a host, in a group: from yesterday on for a month, unless `change` has it otherwise.
    ///
    /// # Panics
    ///
    /// If the subject that `change` has set is no name.
    pub fn certify(
        &self,
        host: &HostIdentity,
        group: &GroupId,
        roles: Roles,
        change: impl FnOnce(&mut Request),
    ) -> Certificate {
        let mut request = request("CN=host,O=Example", host);
        request.extensions.push(rights(group, roles));
        change(&mut request);
        self.issue(&request)
    }

    /// Certifies a host as a member in a role, with its HIT.
    pub fn certify_member(&self, host: &HostIdentity, group: &GroupId, role: Role) -> Certificate {
        self.certify(host, group, role.rights(), |request| request.addresses = vec![address(host.hit())])
    }

    /// Makes a CA that says it is this one, with another key.
    pub fn impostor(&self) -> Self {
        Self::new(&self.certificate.subject().to_string())
    }

    /// Makes one who certifies others though its own certificate is a host's.
    pub fn certify_no_ca(&self, subject: &str) -> Self {
        let key = new_key();
        let mut request = ca_request(subject, &key);
        request.basic_constraints = BasicConstraints { ca: false, path_length: None };
        Self { certificate: self.issue(&request), key }
    }

    /// Makes a list of these as revoked, current for a day around an instant.
    pub fn list(&self, revoked: &[&Certificate], at: Time) -> Crl {
        self.list_of(revoked, at.as_secs() - DAY, at.as_secs() + DAY)
    }

    /// Makes a list of these as revoked that is current in this time.
    ///
    /// # Panics
    ///
    /// If a time cannot be written.
    pub fn list_of(&self, revoked: &[&Certificate], this_update: u64, next_update: u64) -> Crl {
        let revoked: Vec<_> = revoked.iter().map(|one| (one.serial_number().to_vec(), this_update)).collect();
        let list =
            self.issuer().revoke(&revoked, 1, this_update, next_update).expect("the times are in order");
        Crl::from_der(&list).expect("it was made a moment ago")
    }

    /// Makes it the owner of a group, without lists of revoked certificates.
    pub fn owner(&self, admits: Admits) -> Owner {
        let roots = vec![self.certificate.clone()];
        Owner { roots, admits, revocation: RevocationPolicy::NotChecked }
    }

    /// Makes it the owner that members know.
    pub fn judge(&self, revocation: Revocation) -> GroupOwner {
        GroupOwner::new(provider(), vec![self.certificate.clone()], revocation)
    }

    fn issuer(&self) -> Issuer<'_> {
        Issuer { provider: provider(), signer: &self.key, certificate: Some(&self.certificate) }
    }

    fn issue(&self, request: &Request) -> Certificate {
        self.issuer().issue(request, &mut random()).expect("the name and the times can be written")
    }
}

/// Makes a chain to be shown, the host's own certificate first.
pub fn chain(certificates: &[&Certificate]) -> CertificateChain {
    CertificateChain(certificates.iter().map(|certificate| certificate.der().to_vec()).collect())
}

/// Makes the extension that gives roles in one group.
///
/// # Panics
///
/// If there is no role.
pub fn rights(group: &GroupId, roles: Roles) -> Extension {
    rights_in(&[group], roles)
}

/// Makes the extension that gives the same roles in several groups.
///
/// # Panics
///
/// If there is no role, or no group.
pub fn rights_in(groups: &[&GroupId], roles: Roles) -> Extension {
    let right = |group: &&GroupId| GroupRight {
        id_type: group.id_type().0,
        group_id: group.octets().to_vec(),
        roles,
    };
    GroupRights::new(groups.iter().map(right).collect()).expect("there is a role").extension()
}

/// Makes a critical extension that nobody knows.
pub fn unknown_extension() -> Extension {
    let id = const_oid::ObjectIdentifier::new_unwrap("2.25.1234").into();
    Extension { id, critical: true, value: vec![5, 0] }
}

/// Says how a certificate names a host.
pub fn address(hit: Hit) -> IpAddr {
    IpAddr::from(*hit.octets())
}

fn request(subject: &str, host: &HostIdentity) -> Request {
    Request {
        subject: subject.to_owned(),
        key: host.host_id().public_key().expect("the identity is whole"),
        not_before: START.as_secs() - DAY,
        not_after: START.as_secs() + 30 * DAY,
        basic_constraints: BasicConstraints { ca: false, path_length: None },
        addresses: Vec::new(),
        extensions: Vec::new(),
    }
}

fn ca_request(subject: &str, key: &SigningKey) -> Request {
    Request {
        subject: subject.to_owned(),
        key: key.public().clone(),
        not_before: START.as_secs() - 180 * DAY,
        not_after: START.as_secs() + 180 * DAY,
        basic_constraints: BasicConstraints { ca: true, path_length: None },
        addresses: Vec::new(),
        extensions: Vec::new(),
    }
}

fn new_key() -> SigningKey {
    let random = &mut SystemRandom::new().expect("the system has randomness");
    SigningKey::generate(provider(), KeyAlgorithm::EcdsaP256, random).expect("keys can be made")
}

fn random() -> SeededRandom {
    let random = &mut SystemRandom::new().expect("the system has randomness");
    SeededRandom::new(u64::from_be_bytes(claviger_crypto::random::array(random)))
}

/// Verifies the signatures of certificates as ever, and counts them.
struct Counting(&'static AtomicU64);

impl CertificateVerifier for Counting {
    fn verify(
        &self,
        key: &CertificateKey,
        algorithm: CertificateSignature,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), CryptoError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        provider().certificates.verify(key, algorithm, message, signature)
    }
}

/// Makes a provider that counts the signatures of certificates and lists that it verifies.
pub fn counting() -> (&'static CryptoProvider, &'static AtomicU64) {
    let count: &'static AtomicU64 = Box::leak(Box::new(AtomicU64::new(0)));
    let certificates: &'static Counting = Box::leak(Box::new(Counting(count)));
    (Box::leak(Box::new(CryptoProvider { certificates, ..*provider() })), count)
}
