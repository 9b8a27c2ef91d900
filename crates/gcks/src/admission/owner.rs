//! The owner of a group: by its certificates hosts are let in.

use claviger_crypto::CryptoProvider;
use claviger_pki::{Certificate, Crl, GroupOwner, Revocation};

/// Who lets hosts into a group by certificates, beside the administrator with the group's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The CAs that the administrator trusts for this group: a host's certificate leads to one of them.
    pub roots: Vec<Certificate>,
    /// Whether a certificate is enough.
    pub admits: Admits,
    /// What has to be known of revocation.
    pub revocation: RevocationPolicy,
}

/// How the list of a group with an owner and certificates by the owner go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admits {
    /// A host needs both, and may do what both allow.
    ListAndCertificate,
    /// Either is enough, and a host that has both may do what either allows.
    ListOrCertificate,
}

/// What has to be known of the revocation of certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevocationPolicy {
    /// Nothing: certificates end when they expire.
    NotChecked,
    /// There is a current list of each issuer, and it does not name the certificate.
    Required,
}

/// A place in [`Trusts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TrustId(usize);

/// The judge of what leads to the roots that are trusted. Groups that trust the same share one.
pub(crate) struct Trust {
    revocation: RevocationPolicy,
    judge: GroupOwner,
}

/// Who is trusted in groups, and which lists of revoked certificates there are.
#[derive(Default)]
pub(crate) struct Trusts {
    all: Vec<Trust>,
    lists: Vec<Crl>,
}

/// The owner of a group, as its list has it.
pub(crate) struct Owned {
    pub(crate) owner: Owner,
    pub(crate) trust: TrustId,
}

impl Trust {
    pub(crate) fn judge(&self) -> &GroupOwner {
        &self.judge
    }

    pub(crate) fn requires_lists(&self) -> bool {
        self.revocation == RevocationPolicy::Required
    }

    /// Says whether one of these certificates claims to be issued by one of the roots. Otherwise nothing leads to them, and
    /// no signature has to be verified to know that.
    pub(crate) fn is_named_by(&self, certificates: &[Certificate]) -> bool {
        let mut issuers = certificates.iter().map(Certificate::issuer);
        issuers.any(|issuer| self.judge.roots().iter().any(|root| root.subject() == issuer))
    }
}

impl Trusts {
    pub(crate) fn get(&self, id: TrustId) -> &Trust {
        &self.all[id.0]
    }

    pub(crate) fn lists(&self) -> &[Crl] {
        &self.lists
    }

    /// Finds who trusts the same as an owner, or begins to trust it, in place of one that no group has any more.
    pub(crate) fn of(
        &mut self,
        provider: &'static CryptoProvider,
        owner: &Owner,
        is_used: impl Fn(TrustId) -> bool,
    ) -> TrustId {
        let is_same =
            |trust: &Trust| trust.revocation == owner.revocation && trust.judge.roots() == owner.roots;
        if let Some(known) = self.all.iter().position(is_same) {
            return TrustId(known);
        }
        let judge = GroupOwner::new(provider, owner.roots.clone(), self.revocation(owner.revocation));
        let trust = Trust { revocation: owner.revocation, judge };
        match (0..self.all.len()).find(|index| !is_used(TrustId(*index))) {
            Some(unused) => {
                self.all[unused] = trust;
                TrustId(unused)
            }
            None => {
                self.all.push(trust);
                TrustId(self.all.len() - 1)
            }
        }
    }

    /// Takes other lists in place of those so far. Says whether they are others.
    pub(crate) fn set_lists(&mut self, lists: Vec<Crl>) -> bool {
        if self.lists == lists {
            return false;
        }
        self.lists = lists;
        for index in 0..self.all.len() {
            let revocation = self.revocation(self.all[index].revocation);
            self.all[index].judge.set_revocation(revocation);
        }
        true
    }

    fn revocation(&self, policy: RevocationPolicy) -> Revocation {
        match policy {
            RevocationPolicy::NotChecked => Revocation::NotChecked,
            RevocationPolicy::Required => Revocation::Lists(self.lists.clone()),
        }
    }
}
