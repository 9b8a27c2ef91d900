//! `claviger owner` as a shell sees it: what it makes, what OpenSSL says of that, and what a kill leaves.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod support;

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
    time::Duration,
};

use nix::fcntl::{Flock, FlockArg};
use serde_json::Value;
use support::daemons::Host;

/// A directory with an owner's state, and that of a host.
struct Stage {
    directory: tempfile::TempDir,
    owner: Host,
    host: Host,
}

impl Stage {
    /// Makes the directories, and nothing in them.
    fn empty() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| Host::of_this_version(directory.path().join(name));
        Self { owner: at("ca"), host: at("host"), directory }
    }

    /// Makes an owner, too.
    fn new() -> Self {
        let stage = Self::empty();
        stage.owner.print(&["owner", "new", "--subject", "O=Example"]);
        stage
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn owner_file(&self, name: &str) -> PathBuf {
        self.file("ca/owner").join(name)
    }

    /// Has the host write its public key to a file.
    fn key(&self, options: &[&str]) -> String {
        self.host.ask(&[&["identity", "new"], options].concat());
        let key = self.host.print(&["identity", "show", "--public"]);
        let file = self.file("key.pem");
        fs::write(&file, key).unwrap();
        file.display().to_string()
    }

    fn certify(&self, key: &str, options: &[&str]) -> Value {
        self.owner
            .ask(&[&["owner", "certify", key, "--group", "radio", "--role", "receiver"], options].concat())
    }

    fn show(&self) -> Value {
        self.owner.ask(&["owner", "show"])
    }
}

fn failure(output: &Output) -> (i32, String) {
    (output.status.code().unwrap(), String::from_utf8(output.stderr.clone()).unwrap())
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn an_owner_is_made_once_and_its_key_is_its_own() {
    let stage = Stage::empty();
    let none = failure(&stage.owner.run(&["owner", "show"]));
    assert_eq!(none.0, 3);
    assert!(
        none.1.contains("there is no owner in ") && none.1.contains("try: claviger owner new"),
        "{}",
        none.1
    );
    let made = stage.owner.ask(&["owner", "new", "--subject", "CN=Radio,O=Example", "--list-lifetime", "1d"]);
    assert_eq!(made["subject"], "CN=Radio,O=Example");
    assert_eq!((&made["list"]["number"], &made["list"]["revoked"]), (&1.into(), &0.into()));
    assert_eq!(made["issued"], Value::Array(vec![]));
    assert_eq!(made["file"], stage.owner_file("owner.pem").to_str().unwrap());
    assert_eq!(mode(&stage.file("ca/owner")), 0o700);
    assert_eq!(mode(&stage.owner_file("owner.key")), 0o600);
    let before = fs::read(stage.owner_file("owner.key")).unwrap();
    let again = failure(&stage.owner.run(&["owner", "new", "--subject", "O=Other"]));
    assert_eq!(again.0, 1);
    assert!(again.1.starts_with("claviger: there is an owner already: "), "{}", again.1);

    // What an owner without its certificate leaves may be all that is left of it.
    fs::rename(stage.owner_file("owner.pem"), stage.file("away.pem")).unwrap();
    let orphaned = failure(&stage.owner.run(&["owner", "new", "--subject", "O=Other"]));
    assert_eq!(orphaned.0, 3);
    assert!(orphaned.1.contains("owner.key is there, and the owner's certificate "), "{}", orphaned.1);
    assert_eq!(fs::read(stage.owner_file("owner.key")).unwrap(), before);
}

#[test]
fn hosts_are_certified_revoked_and_shown() {
    let stage = Stage::new();
    let key = stage.key(&[]);
    let out = stage.file("studio.pem").display().to_string();
    let hit = stage.host.ask(&["identity", "show"])["hit"].clone();
    let named = stage.certify(&key, &["--subject", "CN=studio,O=Example", "--out", &out]);
    assert_eq!((&named["hit"], &named["subject"]), (&hit, &"CN=studio,O=Example".into()));
    assert_eq!(named["rights"][0]["group"], "radio");
    assert_eq!(named["rights"][0]["roles"], serde_json::json!(["receiver"]));
    assert_eq!(fs::read(&out).unwrap(), fs::read(named["file"].as_str().unwrap()).unwrap());
    let several = stage.owner.ask(&[
        "owner",
        "certify",
        &key,
        "--group",
        "#7",
        "--role",
        "both,key-server",
        "--group",
        "tv",
        "--role",
        "sender",
    ]);
    assert_eq!(several["subject"], format!("CN={}", hit.as_str().unwrap()));
    assert_eq!(several["rights"][0]["group"], "#7");
    assert_eq!(several["rights"][0]["roles"], serde_json::json!(["both", "key-server"]));
    assert_eq!(several["rights"][1]["roles"], serde_json::json!(["sender"]));

    let serial = several["serial"].as_str().unwrap();
    let revoked = stage.owner.ask(&["owner", "revoke", &out, &serial.to_uppercase()]);
    assert_eq!((&revoked["list"]["number"], &revoked["list"]["revoked"]), (&2.into(), &2.into()));
    let shown = stage.show();
    let standing: Vec<&str> =
        shown["issued"].as_array().unwrap().iter().map(|i| i["standing"].as_str().unwrap()).collect();
    assert_eq!(standing, ["revoked", "revoked"]);
    let again = stage.owner.ask(&["owner", "revoke", serial]);
    assert_eq!(again["revoked"][0]["was_revoked"], true);
    assert_eq!(again["revoked"][0]["revoked_at_us"], revoked["revoked"][1]["revoked_at_us"]);
    let table = stage.owner.print(&["owner", "show"]);
    assert!(table.contains("#7 (both, key-server), tv (sender)"), "{table}");
    assert!(
        stage
            .owner
            .print(&["owner", "lists", "--list-lifetime", "2d"])
            .starts_with("revocation list 4, of 2 certificates")
    );
    // The next one holds as long as the last.
    let list = stage.owner.ask(&["owner", "lists"]);
    let lives = list["until_us"].as_u64().unwrap() / 1_000_000 - support::now().as_secs();
    assert!((172_790..=172_800).contains(&lives), "{lives}");

    // The certificates are lost, and what was revoked stays so.
    fs::remove_dir_all(stage.owner_file("issued")).unwrap();
    let shown = stage.show();
    let lost: Vec<&Value> = shown["issued"].as_array().unwrap().iter().collect();
    assert!(
        lost.len() == 2 && lost.iter().all(|lost| lost["subject"].is_null() && lost["standing"] == "revoked")
    );
}

#[test]
fn a_key_comes_by_standard_input_too() {
    let stage = Stage::new();
    let key = stage.key(&[]);
    let mut command =
        stage.owner.command(&["owner", "certify", "-", "--group", "radio", "--role", "both", "--json"]);
    let output = command.stdin(fs::File::open(key).unwrap()).output().unwrap();
    assert!(output.status.success(), "{}", failure(&output).1);
}

#[test]
fn what_is_wrong_is_said_and_changes_nothing() {
    let stage = Stage::new();
    let key = stage.key(&[]);
    let own = stage.certify(&key, &[])["serial"].as_str().unwrap().to_owned();
    let junk = stage.file("junk.pem");
    fs::write(&junk, "no key").unwrap();
    let junk = junk.to_str().unwrap();
    let certify = ["owner", "certify", &key, "--group", "radio", "--role"];
    for (arguments, code, sentence) in [
        (&["owner"][..], 2, "Usage: claviger owner"),
        (&["owner", "new"], 2, "--subject <NAME>"),
        (&["owner", "new", "--subject", "nobody"], 2, "not of the form CN=host,O=organisation"),
        (&[&certify[..], &["boss"]].concat(), 2, "a role is receiver, sender, both or key-server, not boss"),
        (&[&certify[..], &["both", "--group", "radio"]].concat(), 2, "the certificate names a group twice"),
        (&[&certify[..], &["both", "--lifetime", "0"]].concat(), 2, "must be longer than that"),
        (&["owner", "certify", junk, "--group", "a", "--role", "both"], 3, "junk.pem holds no public key"),
        (&["owner", "certify", "none", "--group", "a", "--role", "both"], 3, "there is no file none"),
        (&["owner", "revoke"], 2, "<FILE|SERIAL>"),
        (&["owner", "revoke", &own, "00ff"], 2, "no certificate with the serial number 00ff was issued here"),
        (&["owner", "revoke", &own, "xyz"], 2, "xyz is no file, and no serial number"),
        (&["owner", "revoke", &own, junk], 3, "junk.pem holds no certificate"),
        (&["owner", "show", "--directory", "/nonexistent"], 3, "there is no owner in /nonexistent"),
    ] {
        let (ended, errors) = failure(&stage.owner.run(arguments));
        assert_eq!(ended, code, "{arguments:?}: {errors}");
        assert!(errors.contains(sentence), "{arguments:?}: {errors}");
    }
    let shown = stage.show();
    assert_eq!(
        (&shown["issued"][0]["serial"], &shown["issued"][0]["standing"]),
        (&own.into(), &"valid".into())
    );
    assert_eq!(shown["issued"].as_array().unwrap().len(), 1);
}

#[test]
fn a_certificate_of_another_owner_is_not_revoked() {
    let stage = Stage::new();
    // One with another name, and one with the same.
    for name in ["O=Other", "O=Example"] {
        let other = Stage::empty();
        other.owner.print(&["owner", "new", "--subject", name]);
        let foreign = other.certify(&other.key(&[]), &[]);
        let file = foreign["file"].as_str().unwrap();
        let (code, errors) = failure(&stage.owner.run(&["owner", "revoke", file]));
        assert_eq!(code, 2);
        let sentence = format!("is a certificate of {name}, and not by the key of this owner, O=Example");
        assert!(errors.contains(&sentence), "{errors}");
    }
    assert_eq!(stage.show()["list"]["number"], 1, "nothing was signed");
}

#[test]
fn files_of_others_and_broken_ones_are_refused() {
    /// A file, what is done to it, and what is said of that.
    type Spoiled = (&'static str, fn(&Path), &'static str);
    let spoil: [Spoiled; 6] = [
        ("owner.key", |file| set_mode(file, 0o644), "is open to other users (mode 0644)"),
        ("owner.pem", |file| set_mode(file, 0o666), "other users can write to it (mode 0666)"),
        ("owner.crl", |file| fs::write(file, "no list").unwrap(), "owner.crl holds no list"),
        ("owner.crl", |file| fs::remove_file(file).unwrap(), "what was revoked would be forgotten"),
        ("owner.key", |file| fs::write(file, "no key").unwrap(), "owner.key holds no key"),
        (
            "owner.pem",
            |file| {
                let away = file.with_extension("away");
                fs::rename(file, &away).unwrap();
                symlink(away, file).unwrap();
            },
            "it is a symbolic link",
        ),
    ];
    for (name, spoil, sentence) in spoil {
        let stage = Stage::new();
        spoil(&stage.owner_file(name));
        let (code, errors) = failure(&stage.owner.run(&["owner", "lists"]));
        assert_eq!(code, 3, "{errors}");
        assert!(errors.contains(sentence), "{errors}");
    }
    let (stage, other) = (Stage::new(), Stage::new());
    fs::copy(other.owner_file("owner.key"), stage.owner_file("owner.key")).unwrap();
    let (code, errors) = failure(&stage.owner.run(&["owner", "lists"]));
    assert!(code == 3 && errors.contains("is not the one of its certificate"), "{errors}");
    let stage = Stage::new();
    set_mode(&stage.file("ca/owner"), 0o777);
    let (code, errors) = failure(&stage.owner.run(&["owner", "new", "--subject", "O=x"]));
    assert!(code == 3 && errors.contains("other users can write to it"), "{errors}");
    if nix::unistd::geteuid().is_root() {
        let stage = Stage::new();
        std::os::unix::fs::chown(stage.owner_file("owner.pem"), Some(4711), None).unwrap();
        let (code, errors) = failure(&stage.owner.run(&["owner", "show"]));
        assert!(code == 3 && errors.contains("user 4711 owns it"), "{errors}");
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn one_process_at_a_time_changes_an_owner_and_anybody_may_look() {
    let stage = Stage::new();
    let file = fs::File::create(stage.owner_file("owner.lock")).unwrap();
    let _lock = Flock::lock(file, FlockArg::LockExclusive).unwrap();
    let (code, errors) = failure(&stage.owner.run(&["owner", "lists"]));
    assert_eq!(code, 5, "{errors}");
    assert!(errors.contains("is in use by another process"), "{errors}");
    stage.show();
}

#[test]
fn a_kill_at_any_instant_takes_back_no_revocation() {
    let stage = Stage::new();
    let key = stage.key(&[]);
    let mut confirmed = Vec::new();
    for round in 0..24 {
        let serial = stage.certify(&key, &[])["serial"].as_str().unwrap().to_owned();
        let mut command = stage.owner.command(&["owner", "revoke", &serial]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(Duration::from_micros(round * 700));
        child.kill().unwrap();
        let output = child.wait_with_output().unwrap();
        if String::from_utf8(output.stdout).unwrap().contains(&format!("revoked {serial}\n")) {
            confirmed.push(serial);
        }
        let shown = stage.show();
        for serial in &confirmed {
            let issued = shown["issued"].as_array().unwrap();
            let one = issued.iter().find(|issued| issued["serial"] == serial.as_str()).unwrap();
            assert_eq!(one["standing"], "revoked");
        }
    }
    stage.owner.print(&["owner", "lists"]);
}

#[test]
fn openssl_understands_what_an_owner_makes() {
    if Command::new("openssl").arg("version").output().is_err() {
        println!("not run: there is no openssl");
        return;
    }
    for algorithm in ["ecdsa-p256", "ecdsa-p384", "eddsa", "rsa"] {
        let stage = Stage::empty();
        stage.owner.print(&["owner", "new", "--subject", "CN=Radio,O=Example", "--algorithm", algorithm]);
        let key = stage.key(&["--algorithm", algorithm]);
        let out = stage.file("host.pem").display().to_string();
        stage.certify(&key, &["--out", &out]);
        let [root, list] =
            ["owner.pem", "owner.crl"].map(|name| stage.owner_file(name).display().to_string());
        let list_is_right = ["crl", "-in", &list, "-CAfile", &root, "-noout"];
        // The extension of group rights is critical, and OpenSSL does not know it.
        let verify = [
            "verify",
            "-x509_strict",
            "-ignore_critical",
            "-CAfile",
            &root,
            "-CRLfile",
            &list,
            "-crl_check",
            &out,
        ];
        let refused = openssl(&["verify", "-CAfile", &root, &out]);
        assert!(refused.1.contains("unhandled critical extension"), "{}", refused.1);
        assert!(openssl(&list_is_right).1.contains("verify OK"));
        let held = openssl(&verify);
        assert!(held.0, "{}", held.1);
        let text = openssl(&["x509", "-in", &out, "-noout", "-text"]).1;
        let hit: std::net::Ipv6Addr =
            stage.host.ask(&["identity", "show"])["hit"].as_str().unwrap().parse().unwrap();
        let groups = hit.segments().map(|segment| format!("{segment:X}")).join(":");
        assert!(text.contains(&format!("IP Address:{groups}")), "{text}");
        stage.owner.print(&["owner", "revoke", &out]);
        assert!(openssl(&list_is_right).1.contains("verify OK"));
        let revoked = openssl(&verify);
        assert!(!revoked.0 && revoked.1.contains("certificate revoked"), "{}", revoked.1);
    }
}

fn openssl(arguments: &[&str]) -> (bool, String) {
    let output = Command::new("openssl").args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn daemons_and_groups_are_not_made_with_files_that_do_not_serve() {
    let stage = Stage::new();
    let key = stage.key(&[]);
    let own = stage.certify(&key, &[])["file"].as_str().unwrap().to_owned();
    let root = stage.owner_file("owner.pem").display().to_string();
    let open = stage.file("open");
    fs::create_dir(&open).unwrap();
    set_mode(&open, 0o777);
    let open = open.to_str().unwrap();
    let join = ["join", "--server", "2001:22:1234::1@127.0.0.1", "--group", "radio"];
    let server = ["server", "--hip-port", "0", "--gdoi-port", "0"];
    for (host, arguments, sentence) in [
        (&stage.owner, [&server[..], &["--certificate", &own]].concat(), "is not about the key of this host"),
        (
            &stage.host,
            [&server[..], &["--certificate", &key]].concat(),
            "key.pem holds no certificates in PEM",
        ),
        (
            &stage.host,
            [&server[..], &["--check", "--certificate", "none.pem"]].concat(),
            "there is no file none.pem",
        ),
        (
            &stage.host,
            [&server[..], &["--revocation-lists", "none"]].concat(),
            "none cannot be used as the directory",
        ),
        (&stage.host, [&server[..], &["--revocation-lists", open]].concat(), "other users can write to it"),
        (&stage.owner, [&join[..], &["--certificate", &own]].concat(), "is not about the key of this host"),
        (&stage.host, [&join[..], &["--certificate", "none.pem"]].concat(), "there is no file none.pem"),
        (&stage.host, [&join[..], &["--owner", &own]].concat(), "is not that of a CA"),
        (&stage.host, [&join[..], &["--owner", &key]].concat(), "key.pem holds no certificates in PEM"),
        (&stage.host, [&join[..], &["--identity", "guest"]].concat(), "there is no identity guest in "),
        (&stage.host, vec!["group", "add", "radio", "--owner", &own], "is not that of a CA"),
        (&stage.host, vec!["group", "add", "radio", "--owner", "none"], "there is no file none"),
    ] {
        let (code, errors) = failure(&host.run(&arguments));
        assert_eq!(code, 3, "{arguments:?}: {errors}");
        assert!(errors.contains(sentence), "{arguments:?}: {errors}");
    }
    // The key server looks for itself, whoever asks it.
    let serving = stage.host.serve();
    let add = |text: String| {
        let roots =
            claviger_api::OwnerOptions { roots: text, require_list: false, without_revocation: false };
        let name = "radio".parse().unwrap();
        let add = claviger_api::GroupAdd { name, policy: Default::default(), owner: Some(roots) };
        let client = claviger_api::Client::new(stage.host.directory.join("server.sock"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(client.group_add(&add)).map_err(|error| error.to_string())
    };
    let refused = add(fs::read_to_string(&own).unwrap()).unwrap_err();
    assert!(refused.contains("is not that of a CA"), "{refused}");
    assert!(add("no certificate".into()).unwrap_err().contains("the file is not an owner's"));
    let added = add(fs::read_to_string(root).unwrap()).unwrap();
    assert_eq!(added.group.owner.unwrap().roots[0].subject, "O=Example");
    drop(serving);
}

#[test]
fn a_host_shows_its_identities_and_their_public_keys() {
    let stage = Stage::empty();
    let first = stage.host.ask(&["identity", "new"]);
    let guest = stage.host.ask(&["identity", "new", "--name", "guest", "--algorithm", "eddsa"]);
    assert_eq!((&first["name"], &guest["name"]), (&Value::Null, &"guest".into()));
    let listed = stage.host.ask(&["identity", "list"]);
    assert_eq!(listed, Value::Array(vec![first.clone(), guest.clone()]));
    let table = stage.host.print(&["identity", "list"]);
    let row: Vec<&str> = table.lines().nth(2).unwrap().split_whitespace().collect();
    assert_eq!(row[..3], ["guest", guest["hit"].as_str().unwrap(), "eddsa"], "{table}");
    let keys = [&[][..], &["--name", "guest"]]
        .map(|name| stage.host.print(&[&["identity", "show", "--public"], name].concat()));
    assert!(keys.iter().all(|key| key.starts_with("-----BEGIN PUBLIC KEY-----\n")) && keys[0] != keys[1]);
    for (arguments, code, sentence) in [
        (&["identity", "new", "--name", "guest"][..], 1, "there is an identity already: "),
        (&["identity", "show", "--name", "x"], 3, "try: claviger identity new --name x"),
        (&["identity", "new", "--name", "../x"], 2, "an identity's name has 1 to 32 ASCII letters"),
        (&["identity", "show", "--public", "--json"], 2, "cannot be used with '--json'"),
    ] {
        let (ended, errors) = failure(&stage.host.run(arguments));
        assert!(ended == code && errors.contains(sentence), "{arguments:?}: {ended}: {errors}");
    }
}

/// Runs the README's commands about owners, those that need no daemon, in a directory of their own.
#[test]
fn the_readmes_commands_about_owners_do_what_it_says() {
    let readme = include_str!("../../../README.md");
    let (_, section) = readme.split_once("\n## Owners: ").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let program = support::daemons::this_version();
    let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let commands: Vec<&str> = section.lines().filter_map(|line| line.strip_prefix("$ ")).collect();
    assert!(commands.len() >= 6, "{commands:?}");
    let mut shown = String::new();
    for command in commands {
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).current_dir(directory.path()).env_clear();
        let output = shell.env("PATH", &path).env("HOME", directory.path()).output().unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        shown.push_str(&String::from_utf8(output.stdout).unwrap());
    }
    assert!(shown.contains("radio (both)") && shown.contains("CN=dora,O=Example"), "{shown}");
    assert!(directory.path().join("dora.pem").exists());
}
