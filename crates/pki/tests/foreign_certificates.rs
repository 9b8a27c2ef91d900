//! Chains and lists made by OpenSSL and by strongSwan's `pki`. They need the packages openssl and strongswan-pki.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::{
    fs,
    path::Path,
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};

use claviger_crypto::provider;
use claviger_pki::{
    Authority, Certificate, Crl, GroupOwner, GroupRight, GroupRights, Purpose, Revocation, Roles, Rule, crl,
};
use tempfile::TempDir;

/// What OpenSSL certifies with.
const CONFIGURATION: &str = "
[ca]
default_ca = owner
[owner]
dir = .
database = index.txt
new_certs_dir = .
serial = serial
crlnumber = crlnumber
default_md = default
default_days = 30
default_crl_days = 1
policy = anything
unique_subject = no
[anything]
commonName = supplied
[req]
distinguished_name = none
prompt = no
[none]
[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[ca_below]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
nameConstraints = critical, permitted;IP:2001:20::/ffff:fff0::, permitted;DNS:.grid.example
[host]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = 1.3.6.1.5.5.7.3.17
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = IP:2001:20::1, DNS:host.grid.example
[member]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
2.25.144724173534245987465751921158945573061 = critical, ASN1:SEQUENCE:rights
[rights]
one = SEQUENCE:one
other = SEQUENCE:other
[one]
idType = INTEGER:11
groupId = FORMAT:HEX, OCTETSTRING:00001234
roles = FORMAT:BITLIST, BITSTRING:0,1
[other]
idType = INTEGER:2
groupId = FORMAT:ASCII, OCTETSTRING:a.example
roles = FORMAT:BITLIST, BITSTRING:2
[other_host]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
subjectAltName = DNS:host.elsewhere.example
";

fn run(folder: &Path, program: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap_or_else(|error| panic!("{program}, of the package openssl or strongswan-pki: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    output.stdout
}

fn certificate(folder: &Path, file: &str) -> Certificate {
    let mut read = Certificate::from_pem(&fs::read(folder.join(file)).unwrap()).unwrap();
    read.remove(0)
}

#[expect(clippy::disallowed_methods, reason = "what OpenSSL certifies is valid from now on")]
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A root, a CA below it and a host, all with keys of one kind, made by OpenSSL.
struct OpenSsl {
    folder: TempDir,
}

impl OpenSsl {
    fn new(key: &[&str], digest: Option<&str>, options: &[&str]) -> Self {
        let signature: Vec<_> =
            digest.iter().flat_map(|digest| ["-md", digest]).chain(options.iter().copied()).collect();
        let dash_digest = digest.map(|digest| format!("-{digest}"));
        let request: Vec<_> = dash_digest.as_deref().into_iter().chain(options.iter().copied()).collect();
        let signature = &signature[..];
        let made = Self { folder: tempfile::tempdir().unwrap() };
        for (file, content) in
            [("openssl.cnf", CONFIGURATION), ("index.txt", ""), ("serial", "1000"), ("crlnumber", "01")]
        {
            fs::write(made.folder.path().join(file), content).unwrap();
        }
        for name in ["root", "ca", "host", "other"] {
            made.openssl(&[&["genpkey", "-out", &format!("{name}.key")], key].concat());
        }
        let root = ["req", "-x509", "-key", "root.key", "-subj", "/CN=Owner", "-extensions", "root"];
        made.openssl(&[&root[..], &["-out", "root.pem", "-config", "openssl.cnf"], &request].concat());
        made.certify("ca", "/CN=Below", "ca_below", "root", signature);
        made.certify("host", "/CN=Host", "host", "ca", signature);
        made.certify("other", "/CN=Other", "other_host", "ca", signature);
        made.list("root", signature);
        made.list("ca", signature);
        made
    }

    fn openssl(&self, arguments: &[&str]) {
        run(self.folder.path(), "openssl", arguments);
    }

    fn certify(&self, name: &str, subject: &str, extensions: &str, issuer: &str, signature: &[&str]) {
        let (key, request) = (format!("{name}.key"), format!("{name}.csr"));
        self.openssl(&[
            "req",
            "-new",
            "-key",
            &key,
            "-subj",
            subject,
            "-out",
            &request,
            "-config",
            "openssl.cnf",
        ]);
        let (certificate, issuer_certificate, issuer_key) =
            (format!("{name}.pem"), format!("{issuer}.pem"), format!("{issuer}.key"));
        let how =
            ["-config", "openssl.cnf", "-extensions", extensions, "-in", &request, "-out", &certificate];
        let by = ["-cert", &issuer_certificate, "-keyfile", &issuer_key];
        self.openssl(&[&["ca", "-batch", "-notext"], &how[..], &by, signature].concat());
    }

    fn list(&self, issuer: &str, signature: &[&str]) {
        let (list, certificate, key) =
            (format!("{issuer}.crl"), format!("{issuer}.pem"), format!("{issuer}.key"));
        let how = ["ca", "-gencrl", "-config", "openssl.cnf", "-out", &list];
        self.openssl(&[&how, &["-cert", &certificate, "-keyfile", &key][..], signature].concat());
    }

    fn judge(&self, name: &str) -> Result<usize, Rule> {
        let folder = self.folder.path();
        let list = |file: &str| Crl::from_pem(&fs::read(folder.join(file)).unwrap()).unwrap();
        let lists = Revocation::Lists(vec![list("root.crl"), list("ca.crl")]);
        let authority = Authority::new(provider(), vec![certificate(folder, "root.pem")], lists);
        let (shown, others) = (certificate(folder, &format!("{name}.pem")), [certificate(folder, "ca.pem")]);
        let ipsec_ike = const_oid::ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.17");
        let purpose = Purpose { extended_key_usage: vec![ipsec_ike], ..Purpose::default() };
        let verdict = authority.judge(&shown, &others, &purpose, now() + 1);
        verdict.map(|chain| chain.len()).map_err(|error| error.rule)
    }
}

#[test]
fn chains_and_lists_by_openssl_hold_with_every_kind_of_key() {
    let ec = |curve| ["-algorithm", "EC", "-pkeyopt", curve];
    let rsa = ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
    let pss = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"];
    for (key, digest, options) in [
        (&rsa[..], Some("sha256"), &[][..]),
        (&rsa, Some("sha384"), &[]),
        (&rsa, Some("sha512"), &[]),
        (&rsa, Some("sha256"), &pss),
        (&rsa, Some("sha384"), &pss),
        (&rsa, Some("sha512"), &pss),
        (&ec("ec_paramgen_curve:P-256"), Some("sha256"), &[]),
        (&ec("ec_paramgen_curve:P-256"), Some("sha512"), &[]),
        (&ec("ec_paramgen_curve:P-384"), Some("sha384"), &[]),
        (&ec("ec_paramgen_curve:P-384"), Some("sha256"), &[]),
        (&ec("ec_paramgen_curve:P-521"), Some("sha512"), &[]),
        (&ec("ec_paramgen_curve:P-521"), Some("sha384"), &[]),
        (&["-algorithm", "ED25519"], None, &[]),
    ] {
        let made = OpenSsl::new(key, digest, options);
        assert_eq!(made.judge("host"), Ok(3), "{key:?} {digest:?} {options:?}");
        assert_eq!(made.judge("other"), Err(Rule::NameConstraints), "{key:?} {digest:?} {options:?}");
    }
}

#[test]
fn rights_that_openssl_writes_are_read_and_are_those_that_are_written_here() {
    let made =
        OpenSsl::new(&["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"], Some("sha512"), &[]);
    // A host has no key on P-521; its CAs can.
    made.openssl(&["genpkey", "-out", "member.key", "-algorithm", "ED25519"]);
    made.certify("member", "/CN=Member", "member", "root", &["-md", "sha512"]);
    let folder = made.folder.path();
    let shown = certificate(folder, "member.pem");
    let roles = Roles { receiver: true, sender: true, key_server: false };
    let one = GroupRight { id_type: 11, group_id: vec![0, 0, 0x12, 0x34], roles };
    let roles = Roles { key_server: true, ..Roles::NONE };
    let other = GroupRight { id_type: 2, group_id: b"a.example".to_vec(), roles };
    let rights = GroupRights::new(vec![one, other]).unwrap();
    assert_eq!(shown.extensions().other(&GroupRights::OID).unwrap().value, rights.to_der());
    let owner = GroupOwner::new(provider(), vec![certificate(folder, "root.pem")], Revocation::NotChecked);
    let key = shown.signing_key().unwrap().clone();
    let warrant = owner.judge(&[shown], &key, None, now() + 1).unwrap();
    assert_eq!(warrant.rights(), rights.rights());
}

#[test]
fn who_openssl_revokes_is_revoked() {
    let made = OpenSsl::new(&["-algorithm", "ED25519"], None, &[]);
    assert_eq!(made.judge("host"), Ok(3));
    let by = ["-cert", "ca.pem", "-keyfile", "ca.key"];
    made.openssl(&[&["ca", "-config", "openssl.cnf", "-revoke", "host.pem"], &by[..]].concat());
    made.list("ca", &[]);
    assert_eq!(made.judge("host"), Err(Rule::Revoked));
}

#[test]
fn what_is_made_here_is_verified_by_openssl() {
    use claviger_crypto::{
        SeededRandom,
        sign::{KeyAlgorithm, SigningKey},
    };
    use claviger_pki::{BasicConstraints, Issuer, Request};

    let mut random = SeededRandom::new(1);
    for kind in [KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384, KeyAlgorithm::Ed25519, KeyAlgorithm::Rsa] {
        let folder = tempfile::tempdir().unwrap();
        let owner = SigningKey::generate(provider(), kind, &mut random).unwrap();
        let host = SigningKey::generate(provider(), kind, &mut random).unwrap();
        let request = Request {
            subject: "CN=Owner,O=Grid".to_owned(),
            key: owner.public().clone(),
            not_before: now() - 60,
            not_after: now() + 3600,
            basic_constraints: BasicConstraints { ca: true, path_length: Some(0) },
            addresses: Vec::new(),
            extensions: Vec::new(),
        };
        let of_itself = Issuer { provider: provider(), signer: &owner, certificate: None };
        let root = of_itself.issue(&request, &mut random).unwrap();
        let issuer = Issuer { certificate: Some(&root), ..of_itself };
        let request = Request {
            subject: String::new(),
            key: host.public().clone(),
            basic_constraints: BasicConstraints { ca: false, path_length: None },
            addresses: vec!["2001:20::1".parse().unwrap()],
            ..request
        };
        let shown = issuer.issue(&request, &mut random).unwrap();
        let verify = |revoked: &[(Vec<u8>, u64)]| {
            let list = issuer.revoke(revoked, 1, now() - 60, now() + 3600).unwrap();
            for (file, text) in
                [("root", root.to_pem()), ("host", shown.to_pem()), ("list", crl::to_pem(&list))]
            {
                fs::write(folder.path().join(file), text).unwrap();
            }
            let format = ["-CAfile", "root", "-CRLfile", "list", "-crl_check", "-x509_strict", "host"];
            Command::new("openssl").arg("verify").args(format).current_dir(folder.path()).output().unwrap()
        };
        let verdict = verify(&[]);
        assert!(verdict.status.success(), "{kind:?}: {}", String::from_utf8_lossy(&verdict.stderr));
        let verdict = verify(&[(shown.serial_number().to_vec(), now() - 30)]);
        let said = String::from_utf8_lossy(&verdict.stderr).into_owned();
        assert!(said.contains("certificate revoked"), "{kind:?}: {said}");
    }
}

#[test]
fn chains_and_lists_by_strongswan_hold() {
    let folder = tempfile::tempdir().unwrap();
    let pki = |arguments: &[&str], file: &str| {
        let octets = run(folder.path(), "pki", arguments);
        fs::write(folder.path().join(file), octets).unwrap();
    };
    for name in ["root", "host", "gone"] {
        pki(&["--gen", "--type", "rsa", "--size", "2048", "--outform", "pem"], &format!("{name}.key"));
    }
    let root =
        ["--self", "--ca", "--in", "root.key", "--dn", "CN=Owner", "--lifetime", "30", "--outform", "pem"];
    pki(&root, "root.pem");
    for name in ["host", "gone"] {
        let (key, subject) = (format!("{name}.key"), format!("CN={name}"));
        let by = ["--issue", "--cacert", "root.pem", "--cakey", "root.key", "--type", "priv", "--in", &key];
        let what = ["--dn", &subject, "--san", "2001:20::1", "--flag", "ikeIntermediate", "--outform", "pem"];
        pki(&[&by[..], &what].concat(), &format!("{name}.pem"));
    }
    let by = ["--signcrl", "--cacert", "root.pem", "--cakey", "root.key", "--lifetime", "1"];
    pki(
        &[&by[..], &["--reason", "key-compromise", "--cert", "gone.pem", "--outform", "pem"]].concat(),
        "crl",
    );

    let list = Crl::from_pem(&fs::read(folder.path().join("crl")).unwrap()).unwrap();
    let root = certificate(folder.path(), "root.pem");
    let authority = Authority::new(provider(), vec![root], Revocation::Lists(vec![list]));
    let judge = |file| {
        let shown = certificate(folder.path(), file);
        let verdict = authority.judge(&shown, &[], &Purpose::default(), now() + 1);
        verdict.map(|chain| chain.len()).map_err(|error| error.rule)
    };
    assert_eq!(judge("host.pem"), Ok(2));
    assert_eq!(judge("gone.pem"), Err(Rule::Revoked));
}
