//! Whether a certificate of a chain is revoked (RFC 5280 section 6.3).

use crate::{
    authority::Revocation, certificate::Certificate, crl::Crl, error::Rule, limits::CRL_SIGNERS_DEPTH_MAX,
    path::Search,
};

impl<'a> Search<'a, '_> {
    /// Checks that the certificate at this place of a chain is on none of its issuer's lists, and that there is one on
    /// which it would be.
    pub(crate) fn check_revocation(
        &mut self,
        chain: &[&'a Certificate],
        at: usize,
        crl_depth: usize,
    ) -> Result<(), Rule> {
        let Revocation::Lists(lists) = self.revocation else {
            return Ok(());
        };
        let certificate = chain[at];
        let mut is_known = false;
        let now = self.now;
        for list in lists.iter().filter(|list| list.is_about(certificate) && list.is_current(now)) {
            if !self.is_signed_by_issuer(list, chain, at, crl_depth)? {
                continue;
            }
            if list.has(certificate) {
                return Err(Rule::Revoked);
            }
            is_known = true;
        }
        if is_known { Ok(()) } else { Err(Rule::RevocationUnknown) }
    }

    /// Says whether a list was signed by who issued the certificate: by the same key, or by another that a chain of
    /// its own gives to the same name, up to the same root.
    fn is_signed_by_issuer(
        &mut self,
        list: &Crl,
        chain: &[&'a Certificate],
        at: usize,
        crl_depth: usize,
    ) -> Result<bool, Rule> {
        let issuer = chain[at + 1];
        if self.has_signed(issuer, list)? {
            return Ok(true);
        }
        if crl_depth >= CRL_SIGNERS_DEPTH_MAX {
            return Ok(false);
        }
        let root = *chain.last().expect("a chain that is validated ends with a root");
        let others = self.others;
        for other in others.iter().filter(|other| other.subject() == issuer.subject()) {
            if other.is_same_holder(issuer) || !self.has_signed(other, list)? {
                continue;
            }
            // The list may say of its own signer that it is sound, one time: a key cannot be asked about itself.
            if self.chain(other, crl_depth + 1).is_ok_and(|own| own.last() == Some(&root)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn has_signed(&mut self, signer: &Certificate, list: &Crl) -> Result<bool, Rule> {
        //= rfc5280#section-6.3.3
        //# If a key usage extension is present in the CRL issuer's
        //# certificate, verify that the cRLSign bit is set.
        if signer.extensions().key_usage().is_some_and(|usage| !usage.crl_sign) {
            return Ok(false);
        }
        let Some(algorithm) = list.signature_algorithm else {
            return Ok(false);
        };
        match self.verify(signer, algorithm, list.to_be_signed(), &list.signature) {
            Ok(()) => Ok(true),
            Err(Rule::SignatureCount) => Err(Rule::SignatureCount),
            Err(_) => Ok(false),
        }
    }
}
