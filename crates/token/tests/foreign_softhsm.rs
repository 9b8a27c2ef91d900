//! Keys in SoftHSM, made by pkcs11-tool. The packages softhsm2, opensc and openssl are needed.
//!
//! SoftHSM learns from its environment where its tokens are, and has one state for a process, so each test runs as a
//! process of its own, with a folder of its own.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
    thread,
};

use claviger_crypto::{
    CryptoError, SystemRandom, provider,
    sign::{KeyAlgorithm, PublicKey, SignatureAlgorithm, Signer, Verifier},
};
use claviger_identity::{DomainIdentifier, HostIdentity};
use claviger_pki::{
    BasicConstraints, Certificate,
    issue::{Issuer, Request},
};
use claviger_token::{PinFault, TokenError, TokenKey, TokenUri};
use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    mechanism::Mechanism,
    object::Attribute,
    session::UserType,
    slot::Slot,
    types::AuthPin,
};

/// The variable that names the folder to the process of a test.
const FOLDER: &str = "CLAVIGER_TEST_TOKEN";

const PIN: &str = "471100";

/// The object identifier of P-256.
const P256: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

/// Every kind of key, as pkcs11-tool names it.
const KINDS: [(&str, KeyAlgorithm, &[SignatureAlgorithm]); 4] = [
    ("EC:prime256v1", KeyAlgorithm::EcdsaP256, &[SignatureAlgorithm::EcdsaP256Sha256]),
    ("EC:secp384r1", KeyAlgorithm::EcdsaP384, &[SignatureAlgorithm::EcdsaP384Sha384]),
    ("EC:edwards25519", KeyAlgorithm::Ed25519, &[SignatureAlgorithm::Ed25519]),
    ("RSA:2048", KeyAlgorithm::Rsa, RSA),
];

const RSA: &[SignatureAlgorithm] = &[SignatureAlgorithm::RsaPssSha256, SignatureAlgorithm::RsaPkcs1Sha256];

/// A folder with tokens of SoftHSM.
struct SoftHsm {
    folder: PathBuf,
}

impl SoftHsm {
    /// Runs a test, given by its name, as a process of its own with a new token named `hosts`. It is `Some` in that
    /// process.
    fn in_own_process(test: &str) -> Option<Self> {
        if let Some(folder) = env::var_os(FOLDER) {
            return Some(Self { folder: folder.into() });
        }
        let folder = tempfile::tempdir().unwrap();
        let made = Self { folder: folder.path().into() };
        fs::create_dir(made.path("tokens")).unwrap();
        let tokens = made.path("tokens");
        fs::write(made.path("softhsm2.conf"), format!("directories.tokendir = {}\n", tokens.display()))
            .unwrap();
        made.write_pin(PIN);
        made.add_token("hosts");
        let mut child = Command::new(env::current_exe().unwrap());
        child.args(["--exact", test, "--nocapture"]);
        let output = made.with_environment(&mut child).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
        None
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn write_pin(&self, pin: &str) {
        fs::write(self.path("pin"), format!("{pin}\n")).unwrap();
        fs::set_permissions(self.path("pin"), fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn with_environment<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("SOFTHSM2_CONF", self.path("softhsm2.conf")).env(FOLDER, &self.folder)
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(program);
        let output = self.with_environment(command.args(arguments).current_dir(&self.folder)).output();
        output
            .unwrap_or_else(|error| panic!("{program}, of the package softhsm2, opensc or openssl: {error}"))
    }

    fn must(&self, program: &str, arguments: &[&str]) {
        let output = self.run(program, arguments);
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {said}");
    }

    fn add_token(&self, label: &str) {
        let pins = ["--so-pin", "0000", "--pin", PIN];
        self.must("softhsm2-util", &[&["--init-token", "--free", "--label", label][..], &pins].concat());
    }

    /// Runs pkcs11-tool on the token `hosts`, logged in.
    fn tool(&self, arguments: &[&str]) {
        let library = library();
        let before = ["--module", library, "--token-label", "hosts", "--login", "--pin", PIN];
        self.must("pkcs11-tool", &[&before[..], arguments].concat());
    }

    fn make_key(&self, kind: &str, label: &str, id: &str) {
        self.tool(&["--keypairgen", "--key-type", kind, "--label", label, "--id", id]);
    }

    fn delete_key(&self, id: &str) {
        for half in ["privkey", "pubkey"] {
            self.tool(&["--delete-object", "--type", half, "--id", id]);
        }
    }

    fn uri(&self, path: &str) -> TokenUri {
        let pin = self.path("pin");
        let uri = format!("pkcs11:{path}?module-path={}&pin-source=file:{}", library(), pin.display());
        uri.parse().unwrap()
    }

    fn open(&self, path: &str) -> Result<TokenKey, TokenError> {
        TokenKey::open(provider(), &self.uri(path))
    }

    fn fails(&self, path: &str) -> String {
        let error = self.open(path).expect_err(path);
        let shown = format!("{error:?} {error}");
        assert!(!shown.contains(PIN), "{shown}");
        error.to_string()
    }
}

/// The library, where Debian, or another distribution, has it.
fn library() -> &'static str {
    [
        "/usr/lib/softhsm/libsofthsm2.so",
        "/usr/lib64/pkcs11/libsofthsm2.so",
        "/usr/lib64/softhsm/libsofthsm.so",
    ]
    .into_iter()
    .find(|path| Path::new(path).exists())
    .expect("the package softhsm2 is installed")
}

/// The same library once more, as another user of it in this process.
fn other_user() -> (Pkcs11, Slot) {
    let library = Pkcs11::new(library()).unwrap();
    let slot = library.get_slots_with_initialized_token().unwrap()[0];
    (library, slot)
}

/// Ends every session of this process.
fn lose_sessions(library: &Pkcs11) {
    library.clone().finalize().unwrap();
    library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).unwrap();
}

fn assert_signs(key: &dyn Signer, algorithms: &[SignatureAlgorithm]) {
    let verifier = Verifier::new(provider(), key.public().clone()).unwrap();
    for algorithm in algorithms {
        let signature = key.sign(*algorithm, b"message").unwrap();
        assert_eq!(verifier.verify(*algorithm, b"message", &signature), Ok(()), "{algorithm:?}");
        assert!(verifier.verify(*algorithm, b"massage", &signature).is_err(), "{algorithm:?}");
    }
}

#[test]
fn every_kind_of_key_is_a_host_identity_that_stays_in_its_token() {
    let Some(token) = SoftHsm::in_own_process("every_kind_of_key_is_a_host_identity_that_stays_in_its_token")
    else {
        return;
    };
    for (number, (kind, algorithm, signatures)) in KINDS.iter().enumerate() {
        let id = format!("{:02x}", number + 1);
        token.make_key(kind, kind, &id);
        let key = token.open(&format!("token=hosts;id=%{id}")).unwrap();
        assert_eq!(key.public().algorithm(), *algorithm, "{kind}");
        assert_signs(&key, signatures);
        assert!(key.pkcs8().is_none());
        let others = [SignatureAlgorithm::EcdsaP256Sha256, SignatureAlgorithm::RsaPssSha256];
        for other in others.iter().filter(|other| !signatures.contains(other)) {
            assert_eq!(key.sign(*other, b"message"), Err(CryptoError::Unsupported));
        }
        let host = HostIdentity::new(provider(), Box::new(key), DomainIdentifier::None).unwrap();
        let signature = host.sign(b"message").unwrap();
        let host_id = host.host_id();
        assert_eq!(host_id.verify(provider(), b"message", host_id.algorithm(), &signature), Ok(()));
        assert!(host.to_pem().is_none());
        // The same key by its label is the same host.
        let label = kind.replace(':', "%3A");
        let again = token.open(&format!("token=hosts;object={label};type=private")).unwrap();
        let again = HostIdentity::new(provider(), Box::new(again), DomainIdentifier::None).unwrap();
        assert_eq!(again.hit(), host.hit());
    }
}

#[test]
fn an_owner_in_the_token_signs_certificates_and_lists_that_openssl_verifies() {
    let Some(token) =
        SoftHsm::in_own_process("an_owner_in_the_token_signs_certificates_and_lists_that_openssl_verifies")
    else {
        return;
    };
    for (number, (kind, _, _)) in KINDS.iter().enumerate() {
        let id = format!("{:02x}", number + 1);
        token.make_key(kind, kind, &id);
        let key = token.open(&format!("token=hosts;id=%{id}")).unwrap();
        certify(&token, &key);
        let verified = ["verify", "-CAfile", "owner.pem", "-crl_check", "-CRLfile", "list.pem"];
        token.must("openssl", &[&verified[..], &["kept.pem"]].concat());
        let output = token.run("openssl", &[&verified[..], &["revoked.pem"]].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains("certificate revoked"), "{kind}: {said}");
    }
}

/// Writes a CA's own certificate, those of two hosts, and a list that revokes one of them.
fn certify(token: &SoftHsm, key: &TokenKey) {
    let mut random = SystemRandom::new().unwrap();
    let mut issuer = Issuer { provider: provider(), signer: key, certificate: None };
    let owner = issuer.issue(&request("CN=Owner", key.public(), true), &mut random).unwrap();
    issuer.certificate = Some(&owner);
    let kept = issuer.issue(&request("CN=Kept", key.public(), false), &mut random).unwrap();
    let revoked = issuer.issue(&request("CN=Revoked", key.public(), false), &mut random).unwrap();
    let entry = (revoked.serial_number().to_vec(), now());
    let list = issuer.revoke(&[entry], 1, now() - 60, now() + 3600).unwrap();
    let write =
        |name: &str, certificate: &Certificate| fs::write(token.path(name), certificate.to_pem()).unwrap();
    write("owner.pem", &owner);
    write("kept.pem", &kept);
    write("revoked.pem", &revoked);
    fs::write(token.path("list.der"), list).unwrap();
    token.must("openssl", &["crl", "-inform", "DER", "-in", "list.der", "-out", "list.pem"]);
}

fn request(subject: &str, key: &PublicKey, ca: bool) -> Request {
    Request {
        subject: subject.into(),
        key: key.clone(),
        not_before: now() - 60,
        not_after: now() + 3600,
        basic_constraints: BasicConstraints { ca, path_length: None },
        addresses: vec!["2001:20::1".parse().unwrap()],
        extensions: Vec::new(),
    }
}

#[expect(clippy::disallowed_methods, reason = "what OpenSSL looks at is valid now")]
fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn what_is_not_there_or_not_named_well_enough_is_told() {
    let Some(token) = SoftHsm::in_own_process("what_is_not_there_or_not_named_well_enough_is_told") else {
        return;
    };
    token.make_key("EC:prime256v1", "host", "01");
    token.make_key("EC:prime256v1", "host", "02");
    for (path, sentence) in [
        ("token=others", "there is no such token"),
        ("token=hosts;serial=0", "there is no such token"),
        ("token=hosts;manufacturer=others", "there is no such token"),
        ("token=hosts;model=others", "there is no such token"),
        ("token=hosts;object=guest", "the token has no private key by this name"),
        ("token=hosts;object=host;id=%03", "the token has no private key by this name"),
        (
            "token=hosts;object=host",
            "the token has several private keys by this name: add object=LABEL or id=%XX",
        ),
        ("", "the token has several private keys by this name: add object=LABEL or id=%XX"),
    ] {
        assert_eq!(token.fails(path), sentence, "{path}");
    }
    assert_signs(&token.open("object=host;id=%02").unwrap(), KINDS[0].2);
    assert_signs(
        &token.open("manufacturer=SoftHSM%20project;model=SoftHSM%20v2;id=%01").unwrap(),
        KINDS[0].2,
    );
}

#[test]
fn of_two_tokens_with_one_name_none_is_taken() {
    let Some(token) = SoftHsm::in_own_process("of_two_tokens_with_one_name_none_is_taken") else { return };
    token.add_token("hosts");
    token.add_token("owners");
    for path in ["token=hosts", ""] {
        assert_eq!(token.fails(path), "there are several such tokens: add token=LABEL or serial=NUMBER");
    }
    assert_eq!(token.fails("token=owners"), "the token has no private key by this name");
}

#[test]
fn keys_that_cannot_sign_here_are_refused_when_they_are_opened() {
    let Some(token) = SoftHsm::in_own_process("keys_that_cannot_sign_here_are_refused_when_they_are_opened")
    else {
        return;
    };
    const KIND: &str =
        "the key is none that signs here: ECDSA on P-256 or P-384, Ed25519, or RSA of 2048 to 8192 bits";
    token.make_key("EC:secp521r1", "p521", "01");
    assert_eq!(token.fails("id=%01"), KIND);
    token.make_key("RSA:1024", "small", "02");
    assert_eq!(token.fails("id=%02"), KIND);
    token.tool(&["--keypairgen", "--key-type", "EC:prime256v1", "--id", "03", "--always-auth"]);
    assert!(token.fails("id=%03").starts_with("the key asks for the PIN at each signature"));
    // Only by the library itself is a key made that may do other things than sign.
    let (library, slot) = other_user();
    let session = library.open_rw_session(slot).unwrap();
    session.login(UserType::User, Some(&AuthPin::from(PIN.to_owned()))).unwrap();
    let public = [Attribute::Token(true), Attribute::Id(vec![4]), Attribute::EcParams(P256.to_vec())];
    let private = [Attribute::Token(true), Attribute::Id(vec![4]), Attribute::Sign(false)];
    session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private).unwrap();
    assert_eq!(token.fails("id=%04"), "C_SignInit failed: KeyFunctionNotPermitted");
}

#[test]
fn a_wrong_pair_of_objects_is_found_when_it_is_opened() {
    let Some(token) = SoftHsm::in_own_process("a_wrong_pair_of_objects_is_found_when_it_is_opened") else {
        return;
    };
    let missing = "the token has no public key with the id of the private one: write it to the token too";
    let mismatch = "the private key and the public key beside it are no pair";
    token.make_key("EC:prime256v1", "host", "01");
    token.tool(&["--delete-object", "--type", "pubkey", "--id", "01"]);
    assert_eq!(token.fails("id=%01"), missing);
    // One of the same kind, and one of another.
    for kind in [&["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"][..], &["-algorithm", "RSA"]] {
        token.must("openssl", &[&["genpkey", "-out", "other.key"], kind].concat());
        token.must(
            "openssl",
            &["pkey", "-in", "other.key", "-pubout", "-outform", "DER", "-out", "other.der"],
        );
        token.tool(&["--write-object", "other.der", "--type", "pubkey", "--id", "01", "--label", "host"]);
        assert_eq!(token.fails("id=%01"), mismatch);
        token.tool(&["--delete-object", "--type", "pubkey", "--id", "01"]);
    }
    for _ in 0..2 {
        token.tool(&["--write-object", "other.der", "--type", "pubkey", "--id", "01", "--label", "host"]);
    }
    assert_eq!(token.fails("id=%01"), "the token has several public keys with the id of the private one");
}

#[test]
fn a_token_is_opened_by_the_right_pin_only() {
    let Some(token) = SoftHsm::in_own_process("a_token_is_opened_by_the_right_pin_only") else { return };
    token.make_key("EC:prime256v1", "host", "01");
    for pin in ["471101", "4", &"9".repeat(255)] {
        token.write_pin(pin);
        let sentence = token.fails("id=%01");
        assert_eq!(sentence, "the PIN is wrong; it is not tried again before the next start");
    }
    token.write_pin("");
    assert_eq!(token.fails("id=%01"), "the file of the PIN is empty");
    fs::set_permissions(token.path("pin"), fs::Permissions::from_mode(0o640)).unwrap();
    assert!(token.fails("id=%01").ends_with("is open to other users (mode 0640)"));
    let without = format!("pkcs11:id=%01?module-path={}", library());
    let error = TokenKey::open(provider(), &without.parse().unwrap()).unwrap_err();
    assert!(matches!(error, TokenError::Pin(PinFault::Missing)), "{error:?}");
    token.write_pin(PIN);
    token.open("id=%01").unwrap();
}

#[test]
fn a_session_that_was_lost_is_opened_again_by_the_next_signature() {
    let Some(token) =
        SoftHsm::in_own_process("a_session_that_was_lost_is_opened_again_by_the_next_signature")
    else {
        return;
    };
    token.make_key("EC:prime256v1", "host", "01");
    let key = token.open("id=%01").unwrap();
    let (library, slot) = other_user();
    for _ in 0..2 {
        lose_sessions(&library);
        assert_signs(&key, KINDS[0].2);
    }
    // Whoever logs out does so for the whole process.
    library.open_ro_session(slot).unwrap().logout().unwrap();
    assert_signs(&key, KINDS[0].2);
    library.finalize().unwrap();
    assert_signs(&key, KINDS[0].2);
}

#[test]
fn a_token_that_is_away_does_not_sign_and_signs_when_it_is_back() {
    let Some(token) = SoftHsm::in_own_process("a_token_that_is_away_does_not_sign_and_signs_when_it_is_back")
    else {
        return;
    };
    token.make_key("EC:prime256v1", "host", "01");
    let key = token.open("token=hosts;id=%01").unwrap();
    fs::rename(token.path("tokens"), token.path("elsewhere")).unwrap();
    fs::create_dir(token.path("tokens")).unwrap();
    Pkcs11::new(library()).unwrap().finalize().unwrap();
    for _ in 0..2 {
        let error = key.try_sign(SignatureAlgorithm::EcdsaP256Sha256, b"message").unwrap_err();
        assert!(matches!(error, TokenError::TokenMissing), "{error:?}");
        assert_eq!(key.sign(SignatureAlgorithm::EcdsaP256Sha256, b"message"), Err(CryptoError::Signer));
    }
    fs::remove_dir_all(token.path("tokens")).unwrap();
    fs::rename(token.path("elsewhere"), token.path("tokens")).unwrap();
    Pkcs11::new(library()).unwrap().finalize().unwrap();
    assert_signs(&key, KINDS[0].2);
}

#[test]
fn another_key_by_the_same_name_does_not_sign_in_place_of_the_first() {
    let Some(token) =
        SoftHsm::in_own_process("another_key_by_the_same_name_does_not_sign_in_place_of_the_first")
    else {
        return;
    };
    token.make_key("EC:prime256v1", "host", "01");
    let key = token.open("object=host").unwrap();
    token.delete_key("01");
    token.make_key("EC:prime256v1", "host", "01");
    lose_sessions(&other_user().0);
    for _ in 0..2 {
        let error = key.try_sign(SignatureAlgorithm::EcdsaP256Sha256, b"message").unwrap_err();
        assert!(matches!(error, TokenError::Replaced), "{error:?}");
    }
    assert_signs(&token.open("object=host").unwrap(), KINDS[0].2);
}

#[test]
fn a_pin_that_is_refused_later_is_tried_once_and_never_again() {
    let Some(token) = SoftHsm::in_own_process("a_pin_that_is_refused_later_is_tried_once_and_never_again")
    else {
        return;
    };
    token.make_key("EC:prime256v1", "host", "01");
    let key = token.open("id=%01").unwrap();
    let (library, slot) = other_user();
    let change = |old: &str, new: &str| {
        let session = library.open_rw_session(slot).unwrap();
        let (old, new) = (AuthPin::from(old.to_owned()), AuthPin::from(new.to_owned()));
        session.login(UserType::User, Some(&old)).map_or_else(
            |error| assert!(error.to_string().contains("already logged in"), "{error}"),
            |()| (),
        );
        session.set_pin(&old, &new).unwrap();
    };
    change(PIN, "471199");
    lose_sessions(&library);
    let is_refused = || {
        let error = key.try_sign(SignatureAlgorithm::EcdsaP256Sha256, b"message").unwrap_err();
        matches!(error, TokenError::Pin(PinFault::Incorrect))
    };
    assert!(is_refused());
    // Were it tried again it would be right now.
    change("471199", PIN);
    lose_sessions(&library);
    assert!(is_refused());
    assert_signs(&token.open("id=%01").unwrap(), KINDS[0].2);
}

#[test]
fn threads_share_a_key_and_keys_share_a_token() {
    let Some(token) = SoftHsm::in_own_process("threads_share_a_key_and_keys_share_a_token") else { return };
    token.make_key("EC:prime256v1", "host", "01");
    token.make_key("EC:edwards25519", "owner", "02");
    let (host, owner) = (token.open("id=%01").unwrap(), token.open("id=%02").unwrap());
    let (library, slot) = other_user();
    thread::scope(|scope| {
        for number in 0..4 {
            let (host, owner, library) = (&host, &owner, &library);
            scope.spawn(move || {
                for _ in 0..25 {
                    assert_signs(host, KINDS[0].2);
                    assert_signs(owner, KINDS[2].2);
                }
                if number == 0 {
                    library.open_ro_session(slot).unwrap().logout().unwrap();
                }
            });
        }
    });
    // Each key that is gone leaves the others their login.
    drop(owner);
    assert_signs(&host, KINDS[0].2);
}

#[test]
fn nothing_that_is_shown_has_the_pin() {
    let Some(token) = SoftHsm::in_own_process("nothing_that_is_shown_has_the_pin") else { return };
    token.make_key("EC:prime256v1", "host", "01");
    let key = token.open("id=%01").unwrap();
    let uri = key.uri().clone();
    let shown = format!("{key:?} {uri} {uri:?}");
    let host = HostIdentity::new(provider(), Box::new(key), DomainIdentifier::None).unwrap();
    assert!(!format!("{shown} {host:?}").contains(PIN), "{shown}");
}
