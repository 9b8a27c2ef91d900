//! Keys in SoftHSM, as a shell sees them: the commands of docs/tokens.md, and a group whose key server, member and owner have
//! their keys in a token. The packages softhsm2 and opensc are needed.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod support;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use support::daemons::{Host, this_version};

const DOCUMENT: &str = include_str!("../../../docs/tokens.md");

const LIBRARY: &str = "/usr/lib/softhsm/libsofthsm2.so";

/// A folder in which the commands of the document were run.
struct Stage {
    folder: tempfile::TempDir,
}

impl Stage {
    /// Makes a folder in which SoftHSM has its tokens, and runs what stands in the document's code for shells.
    fn new() -> Self {
        let stage = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(stage.path("tokens")).unwrap();
        let tokens = format!("directories.tokendir = {}\n", stage.path("tokens").display());
        fs::write(stage.path("softhsm2.conf"), tokens).unwrap();
        // What the tests start forgets its environment, and SoftHSM needs it.
        let program = format!(
            "#!/bin/sh\nSOFTHSM2_CONF={} exec {} \"$@\"\n",
            stage.path("softhsm2.conf").display(),
            this_version().display()
        );
        fs::write(stage.path("claviger"), program).unwrap();
        fs::set_permissions(stage.path("claviger"), fs::Permissions::from_mode(0o755)).unwrap();
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a script of a shell to its end.
    fn shell(&self, script: &str) -> Output {
        let path = format!("{}:{}", self.folder.path().display(), std::env::var("PATH").unwrap());
        let mut shell = Command::new("sh");
        shell.args(["-eu", "-c", script]).current_dir(self.folder.path()).env("PATH", path);
        shell.env("SOFTHSM2_CONF", self.path("softhsm2.conf")).output().unwrap()
    }

    fn must(&self, script: &str) -> String {
        let output = self.shell(script);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}\n{said}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn host(&self, name: &str) -> Host {
        Host::new(&self.path("claviger"), self.path(name))
    }

    fn make_key(&self, label: &str, id: &str) {
        self.must(&format!(
            "pkcs11-tool --module {LIBRARY} --token-label hosts --login --pin 471100 \
             --keypairgen --key-type EC:prime256v1 --label {label} --id {id}"
        ));
    }

    fn uri(&self, path: &str) -> String {
        format!("pkcs11:{path}?module-path={LIBRARY}&pin-source=file:{}", self.path("pin").display())
    }
}

/// The code for shells in the document, as one script.
fn script() -> String {
    let mut blocks = DOCUMENT.split("```sh\n").skip(1);
    let mut script = String::new();
    blocks.by_ref().for_each(|block| script += block.split("```").next().unwrap());
    script
}

fn failure(output: &Output) -> (i32, String) {
    (output.status.code().unwrap(), String::from_utf8(output.stderr.clone()).unwrap())
}

/// Reads a file that must not hold what only a private key's file has.
fn holds_uri(path: &Path) -> bool {
    let text = fs::read_to_string(path).unwrap();
    text.starts_with("pkcs11:token=hosts;object=") && text.lines().count() == 1
}

#[test]
fn the_commands_of_the_document_make_an_identity_and_an_owner_in_a_token() {
    let stage = Stage::new();
    let said = stage.must(&script());
    assert!(said.contains("ecdsa-p256"), "{said}");
    assert!(holds_uri(&stage.path("host-1/identity.pem")));
    assert!(holds_uri(&stage.path("owner/owner.key")));
    assert_eq!(fs::metadata(stage.path("host-1/identity.pem")).unwrap().permissions().mode() & 0o777, 0o600);
    // The owner certifies the host, and OpenSSL verifies that and the list.
    stage.must(
        "claviger identity show --public --state-dir host-1 > key.pem
         claviger owner certify key.pem --group radio --role both --directory owner --out host.pem
         openssl verify -ignore_critical -crl_check -CAfile owner/owner.pem -CRLfile owner/owner.crl host.pem
         claviger owner revoke host.pem --directory owner",
    );
    let (code, said) = failure(&stage.shell(
        "openssl verify -ignore_critical -crl_check -CAfile owner/owner.pem -CRLfile owner/owner.crl host.pem",
    ));
    assert!(code != 0 && said.contains("certificate revoked"), "{said}");
}

#[test]
fn key_server_and_member_with_keys_in_a_token_have_a_group() {
    let stage = Stage::new();
    stage.must(&script());
    for (label, id) in [("server", "11"), ("member", "12")] {
        stage.make_key(label, id);
    }
    let (server, member) = (stage.host("server"), stage.host("member"));
    server.ask(&["identity", "new", "--key", &stage.uri("token=hosts;object=server")]);
    let options = ["identity", "new", "--name", "guest", "--key", &stage.uri("token=hosts;object=member")];
    let hit = member.ask(&options)["hit"].as_str().unwrap().to_owned();
    let listed = member.ask(&["identity", "list"]);
    assert_eq!((listed[0]["name"].as_str(), listed[0]["hit"].as_str()), (Some("guest"), Some(hit.as_str())));
    let serving = server.serve();
    server.print(&["group", "add", "radio"]);
    server.print(&["member", "allow", "--group", "radio", &hit]);
    let _daemon = member.start(&serving.join_with(&["--group", "radio", "--identity", "guest"]));
    member.wait_until_keyed();
    let members: Value = server.ask(&["member", "list", "--group", "radio"]);
    assert_eq!(members[0]["hit"], hit.as_str(), "{members}");
}

#[test]
fn what_is_wrong_with_a_token_is_told_before_anything_is_made() {
    let stage = Stage::new();
    stage.must(&script());
    let host = stage.host("other");
    for (uri, sentence) in [
        (stage.uri("token=others"), "there is no such token"),
        (stage.uri("token=hosts;object=guest"), "the token has no private key by this name"),
        ("pkcs11:token=hosts?module-path=/x.so&pin-value=471100".into(), "pin-value is refused"),
        ("pkcs11:token=hosts".into(), "module-path is missing"),
        ("host-1".into(), "a PKCS #11 URI begins with pkcs11:"),
    ] {
        let (code, said) = failure(&host.run(&["identity", "new", "--key", &uri]));
        assert!(code == 3 && said.contains(sentence) && !said.contains("471100"), "{code}: {said}");
        assert!(!stage.path("other/identity.pem").exists());
    }
    // A daemon whose token is away does not start.
    host.ask(&["identity", "new", "--key", &stage.uri("token=hosts;object=host-1")]);
    fs::rename(stage.path("tokens"), stage.path("elsewhere")).unwrap();
    fs::create_dir(stage.path("tokens")).unwrap();
    let (code, said) = failure(&host.run(&["identity", "show"]));
    assert!(code == 3 && said.contains("cannot be used: there is no such token"), "{code}: {said}");
}
