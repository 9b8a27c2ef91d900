//! The files of certificates: chains that a host shows, and the roots that it goes by.

use std::path::Path;

use claviger_hip::CertificateChain;
use claviger_identity::HostIdentity;
use claviger_net::Clock;
use claviger_pki::{Certificate, ReadError};
use claviger_sansio::Time;

use crate::{
    exit::{Exit, Failure, Outcome},
    output::instant,
    public_file::{read_trusted, unusable},
};

/// Tells the time by the wall clock as certificates do, in seconds since 1970.
pub(crate) fn now() -> u64 {
    Clock::starting_at(Time::EPOCH).now().as_secs()
}

/// Reads the chains that a host shows, and warns as [`warn_of_time`] does. What is certified must be the host's own key. Roots
/// are left out: who judges has them.
pub(crate) fn chains(
    files: &[impl AsRef<Path>],
    identity: &HostIdentity,
    now: u64,
) -> Outcome<Vec<CertificateChain>> {
    let files = read_all(files)?;
    let chains = files.iter().map(|(file, certificates)| chain(file, certificates, identity));
    let chains = chains.collect::<Outcome<_>>()?;
    warn(&files, now);
    Ok(chains)
}

fn chain(file: &Path, certificates: &[Certificate], identity: &HostIdentity) -> Outcome<CertificateChain> {
    let (own, others) = certificates.split_first().expect("a file without certificates is an error");
    let key = identity.host_id().public_key();
    let key = key.map_err(|error| unusable(file, "cannot be compared with the identity", &error))?;
    if own.signing_key() != Some(&key) {
        let message = format!(
            "{} begins with a certificate of {}, which is not about the key of this host, {}",
            file.display(),
            own.subject(),
            identity.hit()
        );
        return Err(Failure::new(Exit::Configuration, message).hint(
            "name the host's own certificate first, and with --identity the identity that it is about",
        ));
    }
    let issuers = others.iter().filter(|other| other.subject() != other.issuer());
    let shown = std::iter::once(own).chain(issuers);
    Ok(CertificateChain(shown.map(|certificate| certificate.der().to_vec()).collect()))
}

/// Says of each chain until when it holds, and warns of one that does not hold now. That is no error: the host may have
/// others, and clocks err.
pub(crate) fn warn_of_time(files: &[impl AsRef<Path>], now: u64) -> Outcome {
    warn(&read_all(files)?, now);
    Ok(())
}

fn warn(files: &[(&Path, Vec<Certificate>)], now: u64) {
    for (file, certificates) in files {
        for certificate in certificates {
            let (file, subject) = (file.display(), certificate.subject());
            let [begins, ends] = [certificate.not_before(), certificate.not_after()]
                .map(|second| instant(Time::from_secs(second)));
            if certificate.not_after() < now {
                tracing::warn!(%file, %subject, ends, "the certificate has expired");
            } else if certificate.not_before() > now {
                tracing::warn!(%file, %subject, begins, "the certificate is not valid yet");
            }
        }
    }
}

/// Reads the roots of an owner.
pub(crate) fn roots(file: &Path, now: u64) -> Outcome<Vec<Certificate>> {
    let roots = read(file)?;
    check_roots(&roots, now).map_err(|error| unusable(file, "is not an owner's", &error))?;
    Ok(roots)
}

/// Looks whether certificates can be the roots of an owner: each is a CA's, and holds.
pub(crate) fn check_roots(roots: &[Certificate], now: u64) -> Result<(), String> {
    if roots.is_empty() {
        return Err("there is no certificate".to_owned());
    }
    for root in roots {
        let subject = root.subject();
        let extensions = root.extensions();
        // A certificate without extensions, of version 1, says nothing of CAs (RFC 5280 section 6.1.4 k).
        if !extensions.basic_constraints().is_some_and(|basic| basic.ca) {
            return Err(format!("the certificate of {subject} is not that of a CA"));
        }
        if extensions.key_usage().is_some_and(|usage| !usage.key_cert_sign) {
            return Err(format!("the certificate of {subject} is not for certificates, by its key usage"));
        }
        if root.not_after() < now {
            let end = instant(Time::from_secs(root.not_after()));
            return Err(format!("the certificate of {subject} has expired at {end}"));
        }
    }
    Ok(())
}

fn read_all(files: &[impl AsRef<Path>]) -> Outcome<Vec<(&Path, Vec<Certificate>)>> {
    files.iter().map(AsRef::as_ref).map(|file| Ok((file, read(file)?))).collect()
}

/// Reads the certificates of a PEM file.
fn read(file: &Path) -> Outcome<Vec<Certificate>> {
    let Some(octets) = read_trusted(file)? else {
        return Err(Failure::new(Exit::Configuration, format!("there is no file {}", file.display())));
    };
    Certificate::from_pem(&octets).map_err(|error| match error {
        ReadError::Der => unusable(file, "holds no certificates in PEM", &error),
        ReadError::Extension
        | ReadError::GroupRights(_)
        | ReadError::Length
        | ReadError::SignatureAlgorithm
        | ReadError::Version => unusable(file, "holds a certificate that cannot be used, which", &error),
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use claviger_crypto::{SystemRandom, provider, sign::KeyAlgorithm};
    use claviger_pki::{GroupRight, GroupRights, Roles};

    use super::*;
    use crate::{
        owner::{NewCertificate, NewOwner, Owner, OwnerDirectory},
        settings::new_key::NewKey,
    };

    const NOW: u64 = 1_800_000_000;
    const DAY: std::time::Duration = std::time::Duration::from_secs(86_400);

    fn owner(directory: &Path) -> (OwnerDirectory, Owner) {
        let owner_directory = OwnerDirectory::new(directory.join("owner"));
        let new = NewOwner {
            subject: "O=Example".into(),
            key: NewKey::Made(KeyAlgorithm::Ed25519),
            lifetime: DAY,
            list_lifetime: DAY,
        };
        let owner = owner_directory.create(&new, NOW).unwrap();
        (owner_directory, owner)
    }

    fn identity() -> HostIdentity {
        let mut random = SystemRandom::new().unwrap();
        HostIdentity::generate(provider(), KeyAlgorithm::Ed25519, &mut random).unwrap()
    }

    fn certificate(owner: &Owner, identity: &HostIdentity) -> PathBuf {
        let right = GroupRight { id_type: 11, group_id: b"radio".to_vec(), roles: Roles::ALL };
        let new = NewCertificate {
            key: identity.host_id().public_key().unwrap(),
            subject: None,
            rights: GroupRights::new(vec![right]).unwrap(),
            lifetime: DAY,
        };
        owner.certify(&new, NOW).unwrap().file
    }

    #[test]
    fn a_chain_is_the_hosts_own_and_comes_without_the_root() {
        let directory = tempfile::tempdir().unwrap();
        let (owner_directory, owner) = owner(directory.path());
        let (host, other) = (identity(), identity());
        let own = certificate(&owner, &host);
        let root = std::fs::read(owner_directory.certificate_file()).unwrap();
        let whole = directory.path().join("chain.pem");
        std::fs::write(&whole, [std::fs::read(&own).unwrap(), root.clone()].concat()).unwrap();
        for file in [&own, &whole] {
            let chains = chains(&[file], &host, NOW).unwrap();
            assert_eq!(chains.len(), 1);
            assert_eq!(chains[0].0.len(), 1, "{}", file.display());
        }
        let failure = chains(&[&own], &other, NOW).unwrap_err();
        assert!(failure.message.contains("is not about the key of this host"), "{}", failure.message);
        assert_eq!(failure.exit, Exit::Configuration);
        std::fs::write(&whole, [root, std::fs::read(&own).unwrap()].concat()).unwrap();
        assert!(
            chains(&[&whole], &host, NOW)
                .unwrap_err()
                .message
                .contains("begins with a certificate of O=Example")
        );
    }

    #[test]
    fn a_root_is_a_ca_that_holds() {
        let directory = tempfile::tempdir().unwrap();
        let (owner_directory, owner) = owner(directory.path());
        let root = owner_directory.certificate_file();
        assert_eq!(roots(&root, NOW).unwrap()[0].subject().to_string(), "O=Example");
        let host = certificate(&owner, &identity());
        let failure = roots(&host, NOW).unwrap_err();
        assert!(failure.message.ends_with("is not that of a CA"), "{}", failure.message);
        let failure = roots(&root, NOW + 86_401).unwrap_err();
        assert!(
            failure.message.contains("the certificate of O=Example has expired at 20"),
            "{}",
            failure.message
        );
        let failure = roots(&directory.path().join("none.pem"), NOW).unwrap_err();
        assert!(failure.message.starts_with("there is no file "), "{}", failure.message);
        let failure = roots(&owner_directory.key_file(), NOW).unwrap_err();
        assert!(failure.message.contains("holds no certificates in PEM"), "{}", failure.message);
    }
}
