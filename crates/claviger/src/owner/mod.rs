//! A group owner: a certificate authority in a directory of its own.
//!
//! | file | what |
//! |---|---|
//! | `owner.pem` | its certificate, which key servers and hosts pin |
//! | `owner.key` | its private key, or the URI of one in a token |
//! | `owner.crl` | the list of revoked certificates, and the record of what was revoked |
//! | `issued/SERIAL.pem` | each certificate that it issued |
//! | `owner.lock` | locked by the one process that changes something |
//!
//! Whatever is said to be done stands on the disk: certificates are kept before they are handed out, and a revocation
//! is in the list before it is confirmed.

mod issued;
mod revocation_list;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::Duration,
};

use claviger_crypto::{
    SecretBytes, SystemRandom, erase_stack, provider,
    sign::{PublicKey, Signer},
};
use claviger_files::durable;
use claviger_identity::{DomainIdentifier, Hit, HostId};
use claviger_pki::{BasicConstraints, Certificate, GroupRights, Issuer, Request};

pub(crate) use issued::{Issued, hexadecimal};
pub(crate) use revocation_list::RevocationList;

use crate::{
    exit::{Exit, Failure, Outcome},
    key_file::{self, KeyFile},
    lock::{Holder, Lock},
    public_file::{self, FILE_MODE, unusable},
    settings::new_key::NewKey,
};

/// How long before it is made a certificate or list is valid already: clocks of hosts differ.
const BEGIN_EARLIER: u64 = 300;

/// What an owner is made with.
#[derive(Debug, Clone)]
pub(crate) struct NewOwner {
    /// Its name, as RFC 4514 writes names.
    pub(crate) subject: String,
    /// Its key.
    pub(crate) key: NewKey,
    /// How long its certificate holds.
    pub(crate) lifetime: Duration,
    /// How long its first list holds.
    pub(crate) list_lifetime: Duration,
}

/// What is certified of a host.
#[derive(Debug, Clone)]
pub(crate) struct NewCertificate {
    /// The host's key.
    pub(crate) key: PublicKey,
    /// What the host is called, as RFC 4514 writes names; otherwise by its HIT.
    pub(crate) subject: Option<String>,
    /// What it may be, in which groups.
    pub(crate) rights: GroupRights,
    /// How long the certificate holds, but for the owner's own end.
    pub(crate) lifetime: Duration,
}

/// Where an owner is, or is to be.
#[derive(Debug, Clone)]
pub(crate) struct OwnerDirectory {
    path: PathBuf,
}

/// What an owner's directory says, for who only looks.
#[derive(Debug)]
pub(crate) struct Shown {
    /// The owner's certificate.
    pub(crate) certificate: Certificate,
    /// What it issued, the oldest first.
    pub(crate) issued: Vec<Issued>,
    /// What it revoked.
    pub(crate) list: RevocationList,
}

/// An owner that can issue and revoke; no other process does.
pub(crate) struct Owner {
    directory: OwnerDirectory,
    certificate: Certificate,
    signer: Box<dyn Signer>,
    _lock: Lock,
}

/// What became of a certificate that was to be revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Revoked {
    /// Its serial number.
    pub(crate) serial_number: Vec<u8>,
    /// Since when it is revoked, in seconds since 1970.
    pub(crate) since: u64,
    /// Whether that is so from now on only.
    pub(crate) is_new: bool,
}

/// Computes the HIT of a host's key.
pub(crate) fn hit(key: &PublicKey) -> Outcome<Hit> {
    let hit = HostId::new(key, DomainIdentifier::None).and_then(|host| host.hit(provider()));
    hit.map_err(|error| Failure::new(Exit::Failed, format!("the key is no host's: {error}")))
}

impl OwnerDirectory {
    /// Names a directory.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Names the file of the owner's certificate.
    pub(crate) fn certificate_file(&self) -> PathBuf {
        self.path.join("owner.pem")
    }

    /// Names the file of its list.
    pub(crate) fn list_file(&self) -> PathBuf {
        self.path.join("owner.crl")
    }

    /// Names the file of its private key.
    pub(crate) fn key_file(&self) -> PathBuf {
        self.path.join("owner.key")
    }

    fn issued_directory(&self) -> PathBuf {
        self.path.join("issued")
    }

    /// Makes an owner where there is none.
    ///
    /// The certificate comes last: with it there is an owner, and without it none. A key without its certificate is left
    /// as it is, because it may be that of an owner whose certificate was lost.
    pub(crate) fn create(&self, new: &NewOwner, now: u64) -> Outcome<Owner> {
        self.make_directory(&self.path)?;
        let lock = self.lock("claviger owner new")?;
        let certificate_file = self.certificate_file();
        if certificate_file.symlink_metadata().is_ok() {
            let message = format!("there is an owner already: {}", certificate_file.display());
            return Err(Failure::new(Exit::Failed, message).hint(
                "claviger owner show; another owner has a directory of its own, with --directory DIR",
            ));
        }
        for path in [self.key_file(), self.list_file()] {
            if path.symlink_metadata().is_ok() {
                let message = format!(
                    "{} is there, and the owner's certificate {} is not",
                    path.display(),
                    certificate_file.display()
                );
                return Err(Failure::new(Exit::Configuration, message)
                    .hint("restore the certificate, or move what is left of that owner away"));
            }
        }
        let mut random = SystemRandom::new()?;
        let (signer, text) = key_file::make(&new.key)?;
        let request = Request {
            subject: new.subject.clone(),
            key: signer.public().clone(),
            not_before: now.saturating_sub(BEGIN_EARLIER),
            not_after: now.saturating_add(new.lifetime.as_secs()),
            basic_constraints: BasicConstraints { ca: true, path_length: Some(0) },
            addresses: Vec::new(),
            extensions: Vec::new(),
        };
        let issuer = Issuer { provider: provider(), signer: &*signer, certificate: None };
        let certificate = issuer.issue(&request, &mut random).map_err(not_made)?;
        let owner = Owner { directory: self.clone(), certificate, signer, _lock: lock };
        owner.keep_key(&text)?;
        drop(text);
        erase_stack();
        owner.publish(&mut RevocationList::default(), now, Some(new.list_lifetime))?;
        durable::create(&certificate_file, owner.certificate.to_pem().as_bytes(), FILE_MODE)
            .map_err(|error| unusable(&certificate_file, "cannot be written", &error))?;
        Ok(owner)
    }

    /// Takes an owner up to change something. `what` names this process to others, as `claviger owner revoke`.
    pub(crate) fn open(&self, what: &str) -> Outcome<Owner> {
        let certificate = self.certificate()?;
        let lock = self.lock(what)?;
        let key_path = self.key_file();
        let file = key_file(&key_path);
        let Some(signer) = file.load()? else {
            let message = format!("the owner's key {} is missing", key_path.display());
            return Err(Failure::new(Exit::Configuration, message).hint("restore the file"));
        };
        let certified = certificate.key().and_then(|key| key.signing());
        if certified != Some(signer.public()) {
            let message = format!(
                "the owner's key {} is not the one of its certificate {}",
                key_path.display(),
                self.certificate_file().display()
            );
            return Err(Failure::new(Exit::Configuration, message));
        }
        Ok(Owner { directory: self.clone(), certificate, signer, _lock: lock })
    }

    /// Reads what is there, and changes nothing.
    pub(crate) fn show(&self) -> Outcome<Shown> {
        let certificate = self.certificate()?;
        let list = RevocationList::read(&self.list_file(), &certificate)?;
        let issued = issued::all(&self.issued_directory())?;
        Ok(Shown { certificate, issued, list })
    }

    fn certificate(&self) -> Outcome<Certificate> {
        let path = self.certificate_file();
        let Some(octets) = public_file::read(&path)? else {
            let message = format!("there is no owner in {}", self.path.display());
            return Err(Failure::new(Exit::Configuration, message)
                .hint("claviger owner new --subject NAME, or name its directory with --directory DIR"));
        };
        first_certificate(&path, &octets)
    }

    fn make_directory(&self, path: &Path) -> Outcome {
        let made = fs::DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path);
        let checked = made.map_err(Into::into).and_then(|()| claviger_files::check_directory(path));
        checked.map_err(|error| unusable(path, "cannot be used", &error))
    }

    fn lock(&self, what: &str) -> Outcome<Lock> {
        match Lock::acquire(&self.path.join("owner.lock"), what)? {
            Ok(lock) => Ok(lock),
            Err(Holder(holder)) => {
                let directory = self.path.display();
                let message = format!("the owner in {directory} is in use by another process{holder}");
                Err(Failure::new(Exit::InUse, message).hint("wait until that process has ended"))
            }
        }
    }
}

const DIRECTORY_MODE: u32 = 0o700;

impl Owner {
    /// Certifies a host, and keeps the certificate.
    pub(crate) fn certify(&self, new: &NewCertificate, now: u64) -> Outcome<Issued> {
        if self.certificate.not_after() < now {
            let message = format!(
                "the owner's certificate {} has expired: what it certifies holds nowhere",
                self.directory.certificate_file().display()
            );
            return Err(Failure::new(Exit::Configuration, message).hint("make another owner"));
        }
        let hit = hit(&new.key)?;
        let request = Request {
            subject: new.subject.clone().unwrap_or_else(|| format!("CN={hit}")),
            key: new.key.clone(),
            not_before: now.saturating_sub(BEGIN_EARLIER).max(self.certificate.not_before()),
            not_after: now.saturating_add(new.lifetime.as_secs()).min(self.certificate.not_after()),
            basic_constraints: BasicConstraints { ca: false, path_length: None },
            //= rfc8002#section-3
            addresses: vec![std::net::Ipv6Addr::from(hit).into()],
            extensions: vec![new.rights.extension()],
        };
        let mut random = SystemRandom::new()?;
        let certificate = self.issuer().issue(&request, &mut random).map_err(not_made)?;
        let directory = self.directory.issued_directory();
        self.directory.make_directory(&directory)?;
        issued::keep(&directory, certificate)
    }

    /// Writes a certificate to a file that is handed out, in place of what is there.
    pub(crate) fn hand_out(issued: &Issued, file: &Path) -> Outcome {
        durable::replace(file, issued.certificate.to_pem().as_bytes(), FILE_MODE)
            .map_err(|error| unusable(file, "cannot be written", &error))
    }

    /// Revokes certificates, each by its serial number, or by a file that has it. All are, or none.
    pub(crate) fn revoke(
        &self,
        which: &[String],
        now: u64,
        list_lifetime: Option<Duration>,
    ) -> Outcome<(Vec<Revoked>, RevocationList)> {
        let mut list = self.list()?;
        let issued = issued::all(&self.directory.issued_directory())?;
        let numbers = which
            .iter()
            .map(|which| issued::serial_number(which, &issued, &self.certificate))
            .collect::<Outcome<Vec<_>>>()?;
        let mut revoked = Vec::new();
        for serial_number in numbers {
            let is_new = !list.revoked.contains_key(&serial_number);
            let since = *list.revoked.entry(serial_number.clone()).or_insert(now);
            revoked.push(Revoked { serial_number, since, is_new });
        }
        self.publish(&mut list, now, list_lifetime)?;
        Ok((revoked, list))
    }

    /// Signs the list anew, so that it goes on to hold.
    pub(crate) fn renew_list(&self, now: u64, list_lifetime: Option<Duration>) -> Outcome<RevocationList> {
        let mut list = self.list()?;
        self.publish(&mut list, now, list_lifetime)?;
        Ok(list)
    }

    fn list(&self) -> Outcome<RevocationList> {
        RevocationList::read(&self.directory.list_file(), &self.certificate)
    }

    fn issuer(&self) -> Issuer<'_> {
        Issuer { provider: provider(), signer: &*self.signer, certificate: Some(&self.certificate) }
    }

    fn keep_key(&self, text: &SecretBytes) -> Outcome {
        let path = self.directory.key_file();
        let file = key_file(&path);
        file.create(text).map_err(|error| file.unusable("cannot be written", &error))
    }

    /// Signs the next list and puts it in the place of the last. Without a lifetime it holds as long as that did.
    fn publish(&self, list: &mut RevocationList, now: u64, lifetime: Option<Duration>) -> Outcome {
        let lifetime = lifetime.map_or_else(|| list.lifetime(), |lifetime| lifetime.as_secs());
        list.number += 1;
        list.this_update = now.saturating_sub(BEGIN_EARLIER);
        list.next_update = now.saturating_add(lifetime);
        let revoked: Vec<(Vec<u8>, u64)> = list.revoked.clone().into_iter().collect();
        let signed = self.issuer().revoke(&revoked, list.number, list.this_update, list.next_update);
        let text = claviger_pki::crl::to_pem(&signed.map_err(not_made)?);
        let path = self.directory.list_file();
        durable::replace(&path, text.as_bytes(), FILE_MODE)
            .map_err(|error| unusable(&path, "cannot be written", &error))
    }
}

/// Takes the first certificate of a PEM file.
fn first_certificate(path: &Path, octets: &[u8]) -> Outcome<Certificate> {
    let certificates = Certificate::from_pem(octets);
    let certificates = certificates.map_err(|error| unusable(path, "holds no certificate", &error))?;
    Ok(certificates.into_iter().next().expect("without certificates it is an error"))
}

fn key_file(path: &Path) -> KeyFile<'_> {
    KeyFile { what: "the owner's key", path, if_read: "make another owner" }
}

fn not_made(error: claviger_pki::issue::IssueError) -> Failure {
    Failure::new(Exit::Failed, error.to_string())
}

/// Serial numbers and since when each is revoked, in seconds since 1970.
type Serials = BTreeMap<Vec<u8>, u64>;
