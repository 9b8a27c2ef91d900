//! A chain from a certificate to a root, found and validated (RFC 5280 section 6.1).

use claviger_crypto::{CryptoError, CryptoProvider};

use crate::{
    authority::{Purpose, Revocation},
    certificate::Certificate,
    error::{Error, Rule},
    limits::CHAIN_LEN_MAX,
};

/// What one judgement has to do with.
pub(crate) struct Search<'a, 'b> {
    pub(crate) provider: &'static CryptoProvider,
    pub(crate) roots: &'a [Certificate],
    pub(crate) others: &'a [Certificate],
    pub(crate) revocation: &'a Revocation,
    pub(crate) purpose: &'b Purpose,
    pub(crate) now: u64,
    pub(crate) signatures_left: usize,
}

/// Why a chain does not hold, and how far it got: what of several chains came furthest is told.
struct Failure {
    error: Error,
    progress: Progress,
}

/// How far a chain got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Progress {
    /// Nowhere: there is no issuer.
    None,
    /// There is one by its name, and it has another key.
    Namesake,
    /// It became too long.
    TooLong,
    /// A root is found, and so many certificates from it down are sound.
    Certificates(usize),
    /// All are, and the lists were looked at, for so many of them.
    Lists(usize),
    /// No more is looked at.
    Stopped,
}

impl Failure {
    fn new(certificate: &Certificate, rule: Rule, progress: Progress) -> Self {
        let leads_to_root = match progress {
            Progress::None | Progress::Namesake | Progress::TooLong | Progress::Stopped => false,
            Progress::Certificates(_) | Progress::Lists(_) => true,
        };
        Self { error: Error { certificate: certificate.into(), rule, leads_to_root }, progress }
    }
}

impl<'a> Search<'a, '_> {
    /// Finds a chain that begins with this certificate. `crl_depth` says how many lists lead to the question.
    pub(crate) fn chain(
        &mut self,
        certificate: &'a Certificate,
        crl_depth: usize,
    ) -> Result<Vec<&'a Certificate>, Error> {
        let mut chain = vec![certificate];
        self.extend(&mut chain, crl_depth).map_err(|failure| failure.error)?;
        Ok(chain)
    }

    /// Goes on from the last certificate of a chain, depth first. Roots are tried before others, so that short chains
    /// win, and who did not sign it is no way on: so signatures bound the search, and names do not widen it.
    fn extend(&mut self, chain: &mut Vec<&'a Certificate>, crl_depth: usize) -> Result<(), Failure> {
        let last = *chain.last().expect("a chain begins with the certificate that is judged");
        if chain.len() == CHAIN_LEN_MAX {
            return Err(Failure::new(last, Rule::ChainLength, Progress::TooLong));
        }
        let is_next = |issuer: &&Certificate| issuer.subject() == last.issuer();
        let roots = self.roots.iter().filter(is_next).map(|root| (root, true));
        let others = issuers_first(self.others, last).into_iter().map(|other| (other, false));
        let mut furthest = Failure::new(last, Rule::Issuer, Progress::None);
        for (issuer, is_root) in roots.chain(others) {
            if chain.iter().any(|known| known.is_same_holder(issuer)) {
                continue;
            }
            let verdict = match self.check_signature(issuer, last) {
                Ok(()) => {
                    chain.push(issuer);
                    let verdict =
                        if is_root { self.validate(chain, crl_depth) } else { self.extend(chain, crl_depth) };
                    match verdict {
                        Ok(()) => return Ok(()),
                        Err(failure) => {
                            chain.pop();
                            failure
                        }
                    }
                }
                Err(Rule::SignatureCount) => {
                    return Err(Failure::new(last, Rule::SignatureCount, Progress::Stopped));
                }
                Err(rule) => Failure::new(last, rule, Progress::Namesake),
            };
            if furthest.progress < verdict.progress {
                furthest = verdict;
            }
            if furthest.progress == Progress::Stopped {
                break;
            }
        }
        Err(furthest)
    }

    /// Validates a chain that ends with a root, from the root down. All signatures in it are verified.
    fn validate(&mut self, chain: &[&'a Certificate], crl_depth: usize) -> Result<(), Failure> {
        let root = chain.len() - 1;
        // How many more CAs may follow, as far as those above say.
        let mut path_length = usize::MAX;
        for at in (0..=root).rev() {
            self.check_one(chain, at, &mut path_length)
                .map_err(|rule| Failure::new(chain[at], rule, Progress::Certificates(root - at)))?;
        }
        if crl_depth == 0 {
            self.check_purpose(chain[0])
                .map_err(|rule| Failure::new(chain[0], rule, Progress::Certificates(root)))?;
        }
        for at in (0..root).rev() {
            self.check_revocation(chain, at, crl_depth).map_err(|rule| {
                let is_stopped = rule == Rule::SignatureCount;
                let progress = if is_stopped { Progress::Stopped } else { Progress::Lists(root - at) };
                Failure::new(chain[at], rule, progress)
            })?;
        }
        Ok(())
    }

    fn check_one(&self, chain: &[&Certificate], at: usize, path_length: &mut usize) -> Result<(), Rule> {
        let (certificate, is_root) = (chain[at], at + 1 == chain.len());
        self.check_validity(certificate)?;
        // Those that a CA issues to itself have the names it has anyway; the last one is looked at.
        if !is_root && (at == 0 || !certificate.is_self_issued()) {
            let (subject, extensions) = (certificate.subject(), certificate.extensions());
            let alternatives = extensions.subject_alternative_names();
            let above = chain[at + 1..].iter();
            let mut constraints = above.filter_map(|ca| ca.extensions().name_constraints.as_ref());
            if !constraints.all(|constraints| constraints.permits(subject, alternatives)) {
                return Err(Rule::NameConstraints);
            }
        }
        if self.has_unknown_critical_extension(certificate, at == 0) {
            return Err(Rule::CriticalExtension);
        }
        if at > 0 {
            *path_length = check_authority(certificate, *path_length, is_root)?;
        }
        Ok(())
    }

    /// Checks that what is judged may be used for what the caller has in mind.
    fn check_purpose(&self, certificate: &Certificate) -> Result<(), Rule> {
        let (extensions, wanted) = (certificate.extensions(), &self.purpose.extended_key_usage);
        if !wanted.is_empty() && !extensions.allows_any_purpose(wanted) {
            return Err(Rule::ExtendedKeyUsage);
        }
        if extensions.key_usage().is_some_and(|usage| !usage.digital_signature) {
            return Err(Rule::KeyUsage);
        }
        Ok(())
    }

    fn check_validity(&self, certificate: &Certificate) -> Result<(), Rule> {
        if self.now < certificate.not_before() {
            Err(Rule::ValidityStart)
        } else if self.now > certificate.not_after() {
            Err(Rule::ValidityEnd)
        } else {
            Ok(())
        }
    }

    fn check_signature(&mut self, issuer: &Certificate, certificate: &Certificate) -> Result<(), Rule> {
        let algorithm = certificate.signature_algorithm.ok_or(Rule::SignatureAlgorithm)?;
        self.verify(issuer, algorithm, certificate.to_be_signed(), &certificate.signature)
    }

    /// Verifies by the key of a certificate.
    pub(crate) fn verify(
        &mut self,
        issuer: &Certificate,
        algorithm: claviger_crypto::sign::CertificateSignature,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), Rule> {
        self.signatures_left = self.signatures_left.checked_sub(1).ok_or(Rule::SignatureCount)?;
        let key = issuer.key().ok_or(Rule::Key)?;
        match self.provider.certificates.verify(key, algorithm, message, signature) {
            Ok(()) => Ok(()),
            Err(CryptoError::Unsupported) => Err(Rule::SignatureAlgorithm),
            Err(_) => Err(Rule::Signature),
        }
    }

    fn has_unknown_critical_extension(&self, certificate: &Certificate, is_last: bool) -> bool {
        let known = if is_last { &self.purpose.extensions } else { &self.purpose.ca_extensions };
        let mut others = certificate.extensions().others.iter();
        others.any(|extension| extension.critical && !known.contains(&extension.id))
    }
}

/// Checks that a certificate is that of a CA that may issue what stands below it, and yields how many CAs may.
fn check_authority(certificate: &Certificate, path_length: usize, is_root: bool) -> Result<usize, Rule> {
    let extensions = certificate.extensions();
    //= rfc5280#section-4.2.1.9
    //# If the basic constraints
    //# extension is not present in a version 3 certificate, or the extension
    //# is present but the cA boolean is not asserted, then the certified
    //# public key MUST NOT be used to verify certificate signatures.
    let basic = extensions.basic_constraints();
    match basic {
        Some(basic) if basic.ca => {}
        // A pinned root of version 1 has no extensions; that it is pinned says that it is a CA.
        None if is_root => {}
        Some(_) | None => return Err(Rule::CertificateAuthority),
    }
    if extensions.key_usage().is_some_and(|usage| !usage.key_cert_sign) {
        return Err(Rule::KeyUsage);
    }
    let left = if is_root || certificate.is_self_issued() {
        path_length
    } else {
        path_length.checked_sub(1).ok_or(Rule::PathLength)?
    };
    let own = basic.and_then(|basic| basic.path_length).map_or(usize::MAX, usize::from);
    Ok(left.min(own))
}

/// Those whose name is that of the issuer, first those whose key has the identifier that the certificate names.
fn issuers_first<'a>(others: &'a [Certificate], certificate: &Certificate) -> Vec<&'a Certificate> {
    let wanted = certificate.extensions().authority_key_identifier.as_deref();
    let is_named = |other: &Certificate| {
        wanted.is_some() && other.extensions().subject_key_identifier.as_deref() == wanted
    };
    let mut issuers: Vec<_> = others.iter().filter(|other| other.subject() == certificate.issuer()).collect();
    issuers.sort_by_key(|other| !is_named(other));
    issuers
}
