//! Certificates in namespaces: hosts that no list names are let in by an owner's word, and put out by it.

#![expect(clippy::unwrap_used, reason = "a test says what failed by panicking")]

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use claviger_testkit::{
    lab::{self, Host, INTERFACE, Lab, laboratory},
    process::{Running, eventually},
};
use serde_json::Value;
use support::{
    Identity, KeyServer, Member, PATIENCE, claviger,
    film::{Speaker, screens},
    json,
};

/// How long after its list lies with the key server nothing reaches a revoked host any more: the list is read within 2 s,
/// and senders change over 1 s after the rekey.
const REVOCATION_TAKES: Duration = Duration::from_secs(5);

#[test]
fn a_host_that_is_revoked_while_it_receives_reads_nothing_any_more_and_the_others_go_on() {
    let test = "a_host_that_is_revoked_while_it_receives_reads_nothing_any_more_and_the_others_go_on";
    if lab::installed(test, &[lab::NFT]) {
        laboratory(test, 5, revoked);
    }
}

#[test]
fn a_certificate_that_does_not_serve_is_refused_with_its_reason_at_both_ends() {
    let test = "a_certificate_that_does_not_serve_is_refused_with_its_reason_at_both_ends";
    laboratory(test, 3, refused);
}

#[test]
fn an_anonymous_host_joins_and_nothing_links_it_with_its_other_identity() {
    let test = "an_anonymous_host_joins_and_nothing_links_it_with_its_other_identity";
    laboratory(test, 3, anonymous);
}

#[test]
fn a_killed_key_server_forgets_no_owner_no_denial_and_no_revocation() {
    let test = "a_killed_key_server_forgets_no_owner_no_denial_and_no_revocation";
    laboratory(test, 5, killed);
}

/// An owner at the key server's host, and the directory of its lists.
struct Studio<'a> {
    lab: &'a Lab,
}

impl<'a> Studio<'a> {
    /// Makes the owner, and gives its list to the key server.
    fn found(lab: &'a Lab) -> Self {
        let studio = Self { lab };
        studio.owner(&["new", "--subject", "O=Studio", "--list-lifetime", "1h"]);
        fs::create_dir(studio.lists()).unwrap();
        studio.publish();
        studio
    }

    fn file(&self, name: &str) -> PathBuf {
        self.lab.directory().join(name)
    }

    fn root(&self) -> String {
        self.file("studio/owner/owner.pem").display().to_string()
    }

    fn lists(&self) -> PathBuf {
        self.file("lists")
    }

    fn owner(&self, arguments: &[&str]) -> String {
        let mut command = claviger(&self.file("studio"));
        self.lab.host(1).run(command.arg("owner").args(arguments)).success()
    }

    /// Copies the list to where the key server looks.
    fn publish(&self) {
        let (from, new) = (self.file("studio/owner/owner.crl"), self.file("owner.crl.new"));
        fs::copy(from, &new).unwrap();
        fs::rename(new, self.lists().join("studio.crl")).unwrap();
    }

    /// Certifies an identity of a state directory for the group `film`, and returns the file.
    fn certify(&self, state: &Path, identity: &[&str], role: &str, options: &[&str]) -> String {
        let mut show = claviger(state);
        let key = self.lab.host(1).run(show.args(["identity", "show", "--public"]).args(identity)).success();
        let key_file = self.file("key.pem");
        fs::write(&key_file, key).unwrap();
        let name =
            state.file_name().unwrap().to_str().unwrap().to_owned() + &identity.concat() + role + ".pem";
        let out = self.file(&name).display().to_string();
        let key_file = key_file.display().to_string();
        let certify = ["certify", &key_file, "--group", "film", "--role", role, "--out", &out];
        self.owner(&[&certify[..], options].concat());
        out
    }

    /// Starts a key server with a certificate of its own, and makes the group `film` of this owner. One that was killed is
    /// started again.
    fn serve(&self) -> KeyServer<'a> {
        let state = self.file("server");
        let is_new = !state.exists();
        if is_new {
            self.lab.host(1).run(claviger(&state).args(["identity", "new"])).success();
            self.certify(&state, &[], "key-server", &[]);
        }
        let certificate = self.file("serverkey-server.pem").display().to_string();
        let lists = self.lists().display().to_string();
        let options = ["--interface", INTERFACE, "--certificate", &certificate, "--revocation-lists", &lists];
        let server = KeyServer::start_with(self.lab, self.lab.host(1), false, &options);
        if is_new {
            server.add_group("film", &["--owner", &self.root(), "--lease", "10s"]);
        }
        server
    }

    /// Has a host join by a certificate, and by that only.
    fn join(&self, server: &KeyServer<'a>, host: &'a Host, role: &str) -> (Member<'a>, String) {
        let identity = server.identity(host);
        let certificate = self.certify(&identity.state, &[], role, &[]);
        let mut member = self.join_with(server, identity, &certificate, role);
        member.wait_until_keyed();
        (member, certificate)
    }

    fn join_with(
        &self,
        server: &KeyServer<'a>,
        identity: Identity<'a>,
        certificate: &str,
        role: &str,
    ) -> Member<'a> {
        let like = identity.host.ipv4().into();
        let root = self.root();
        let mut options = vec!["--certificate", certificate, "--owner", &root];
        options.extend((role == "both").then_some("--sender"));
        server.join(identity, like, "film", &options)
    }
}

/// Says words until a condition holds.
fn say_until(speaker: &mut Speaker, what: &str, mut condition: impl FnMut() -> bool) {
    eventually(what, PATIENCE, || {
        speaker.say();
        thread::sleep(Duration::from_millis(50));
        condition().then_some(())
    });
}

fn hears(screen: &Running, word: &str) -> bool {
    screen.output().contains(word)
}

fn member_of<'a>(list: &'a Value, hit: &str) -> Option<&'a Value> {
    list.as_array().unwrap().iter().find(|member| member["hit"] == hit)
}

fn revoked(lab: &Lab) {
    let studio = Studio::found(lab);
    let server = studio.serve();
    let joined: Vec<(Member<'_>, String)> = [(2, "both"), (3, "receiver"), (4, "receiver")]
        .map(|(host, role)| studio.join(&server, lab.host(host), role))
        .into();
    let (mut members, certificates): (Vec<Member<'_>>, Vec<String>) = joined.into_iter().unzip();
    let screens = screens(&members);
    let mut speaker = Speaker::start(&members[0]);
    say_until(&mut speaker, "what is said is heard by both", || {
        screens.iter().all(|screen| hears(screen, "word 3."))
    });
    let list = server.ask(&["member", "list", "--group", "film"]);
    for member in &members {
        let shown = member_of(&list, &member.hit).unwrap();
        assert!(shown["allowed"].is_null(), "nobody is on the list: {shown}");
        assert_eq!(shown["certificate"]["subject"], format!("CN={}", member.hit), "{shown}");
    }

    // The host that is to go hears nothing from the key server any more, and holds the keys that it has.
    lab.host(4).nft(
        "table inet jam { chain input { type filter hook input priority 0; ip saddr 10.7.0.1 drop; }; }",
    );
    studio.owner(&["revoke", &certificates[2]]);
    studio.publish();
    let published = support::now();
    let before = server.keys("film").newest();
    eventually("the list is read, and the group rekeyed", PATIENCE, || {
        speaker.say();
        (server.keys("film").newest() != before).then_some(())
    });
    let took = support::now() - published;
    assert!(took < REVOCATION_TAKES, "the list was read after {took:?}");
    thread::sleep(REVOCATION_TAKES.saturating_sub(took));
    let first = speaker.said + 1;
    for _ in 0..10 {
        speaker.say();
        thread::sleep(Duration::from_millis(50));
    }
    let later: Vec<String> = (first..=speaker.said).map(|number| format!("word {number}.")).collect();
    eventually("the others go on", PATIENCE, || {
        later.iter().all(|word| hears(&screens[0], word)).then_some(())
    });
    thread::sleep(Duration::from_millis(500));
    for word in &later {
        assert!(!hears(&screens[1], word), "the revoked host reads {word}");
    }
    assert_eq!(members[2].daemon.poll(), None, "it does not know: {}", members[2].daemon.errors());
    let list = server.ask(&["member", "list", "--group", "film"]);
    assert!(member_of(&list, &members[2].hit).is_none_or(|shown| shown["state"] != "member"), "{list}");

    // Once it hears the key server it learns that, and does not come back.
    lab.host(4).nft("");
    let status = members[2].daemon.wait(support::PATIENCE * 4);
    assert_eq!(status.code(), Some(4), "{}", members[2].daemon.errors());
    let again = Identity { host: lab.host(4), state: members[2].state.clone(), hit: members[2].hit.clone() };
    let mut again = studio.join_with(&server, again, &certificates[2], "receiver");
    let status = again.daemon.wait(PATIENCE);
    assert_eq!(status.code(), Some(4), "{}", again.daemon.errors());
    assert!(
        again.daemon.errors().contains("this host's certificate is revoked"),
        "{}",
        again.daemon.errors()
    );
    let refused = server.ask(&["member", "list", "--refused", "--group", "film"]);
    assert_eq!(refused[0]["reason"], "certificate_revoked", "{refused}");
    for member in &mut members[..2] {
        member.wait_until_keyed();
    }
}

fn refused(lab: &Lab) {
    let studio = Studio::found(lab);
    let server = studio.serve();
    let identity = server.identity(lab.host(2));
    let like = identity.host.ipv4().into();
    let root = studio.root();
    let state = identity.state.clone();
    let member = |role| studio.certify(&state, &[], role, &[]);
    let elsewhere = studio.file("elsewhere.pem").display().to_string();
    let key = studio.file("key.pem").display().to_string();
    let receiver = member("receiver");
    studio.owner(&["certify", &key, "--group", "other", "--role", "both", "--out", &elsewhere]);
    let expired = studio.certify(&state, &[], "both", &["--lifetime", "1s"]);
    thread::sleep(Duration::from_secs(3));
    for (options, sentence, reason) in [
        (vec!["--certificate", &expired], "has expired", "certificate_expired"),
        (vec!["--certificate", &elsewhere], "is not for this group", "certificate_for_other_groups"),
        (
            vec!["--certificate", &receiver, "--sender"],
            "does not give the role",
            "certificate_for_other_roles",
        ),
        (vec![], "on the key server run: claviger member allow", "not_authorised"),
    ] {
        let mut member = server.join(identity.again(), like, "film", &options);
        let status = member.daemon.wait(PATIENCE);
        assert_eq!(status.code(), Some(4), "{options:?}: {}", member.daemon.errors());
        assert!(member.daemon.errors().contains(sentence), "{options:?}: {}", member.daemon.errors());
        let refused = server.ask(&["member", "list", "--refused", "--group", "film"]);
        let reasons: Vec<&str> =
            refused.as_array().unwrap().iter().map(|host| host["reason"].as_str().unwrap()).collect();
        assert!(reasons.contains(&reason), "{reason}: {refused}");
    }

    // A key server that shows no certificate, and one that shows that of a member.
    server.control(&["group", "remove", "film"]).success();
    server.kill();
    let certificate = studio.certify(&studio.file("server"), &[], "both", &[]);
    for (options, sentence) in [
        (vec![], "the key server shows no certificate"),
        (vec!["--certificate", certificate.as_str()], "is that of a member, and not that of a key server"),
    ] {
        let lists = studio.lists().display().to_string();
        let options = [&["--interface", INTERFACE, "--revocation-lists", &lists], &options[..]].concat();
        let impostor = KeyServer::start_with(lab, lab.host(1), false, &options);
        impostor.add_group("film", &["--owner", &root]);
        let mut member = studio.join_with(&impostor, identity.again(), &receiver, "receiver");
        let status = member.daemon.wait(PATIENCE);
        assert_eq!(status.code(), Some(8), "{}", member.daemon.errors());
        assert!(member.daemon.errors().contains(sentence), "{}", member.daemon.errors());
        impostor.control(&["group", "remove", "film"]).success();
        impostor.kill();
    }
}

fn anonymous(lab: &Lab) {
    let studio = Studio::found(lab);
    let server = studio.serve();
    let (sender, _) = studio.join(&server, lab.host(2), "both");
    let host = lab.host(3);
    let identity = server.identity(host);
    let made =
        host.run(claviger(&identity.state).args(["identity", "new", "--name", "guest", "--json"])).success();
    let hit = json(&made)["hit"].as_str().unwrap().to_owned();
    assert_ne!(hit, identity.hit);
    let certificate =
        studio.certify(&identity.state, &["--name", "guest"], "receiver", &["--subject", "CN=guest"]);
    let root = studio.root();
    let options = ["--identity", "guest", "--anonymous", "--certificate", &certificate, "--owner", &root];
    let known = identity.hit.clone();
    let mut guest = server.join(identity, host.ipv4().into(), "film", &options);
    guest.wait_until_keyed();
    assert_eq!(guest.status()["hit"], hit);
    let screen = host.start(&mut guest.command(&["recv", "--group", "film"]));
    let mut speaker = Speaker::start(&sender);
    say_until(&mut speaker, "the guest hears", || hears(&screen, "word 3."));
    let list = server.ask(&["member", "list", "--group", "film"]);
    assert_eq!(member_of(&list, &hit).unwrap()["certificate"]["subject"], "CN=guest", "{list}");
    assert!(
        !list.to_string().contains(&known) && !server.log().contains(&known),
        "the other identity is unknown"
    );

    // The list may name subjects, too.
    let evicted = server.ask(&["member", "evict", "--group", "film", "dn:CN=guest"]);
    assert_eq!(evicted["hosts"][0]["hit"], hit, "{evicted}");
    assert_eq!(evicted["hosts"][0]["was_member"], true, "{evicted}");
    assert_eq!(guest.daemon.wait(PATIENCE).code(), Some(4), "{}", guest.daemon.errors());
    let again = Identity { host, state: guest.state.clone(), hit: guest.hit.clone() };
    let mut refused = server.join(again.again(), host.ipv4().into(), "film", &options);
    assert_eq!(refused.daemon.wait(PATIENCE).code(), Some(4), "{}", refused.daemon.errors());
    server.ask(&["member", "allow", "--group", "film", "dn:CN=guest"]);
    server.join(again, host.ipv4().into(), "film", &options).wait_until_keyed();
}

fn killed(lab: &Lab) {
    let studio = Studio::found(lab);
    let server = studio.serve();
    let (mut sender, _) = studio.join(&server, lab.host(2), "both");
    let (mut stays, _) = studio.join(&server, lab.host(3), "receiver");
    let (mut denied, denied_certificate) = studio.join(&server, lab.host(4), "receiver");
    let (mut gone, gone_certificate) = studio.join(&server, lab.host(5), "receiver");
    server.evict("film", &denied.hit);
    studio.owner(&["revoke", &gone_certificate]);
    studio.publish();
    eventually("the revoked host is put out", PATIENCE, || gone.daemon.poll());
    denied.daemon.wait(PATIENCE);
    server.kill();

    let server = studio.serve();
    let shown = server.ask(&["group", "show", "film"]);
    assert_eq!(shown["owner"]["roots"][0]["subject"], "O=Studio", "{shown}");
    for (member, certificate, sentence) in [
        (&denied, &denied_certificate, "on the key server run: claviger member allow"),
        (&gone, &gone_certificate, "this host's certificate is revoked"),
    ] {
        let again = Identity { host: member.host, state: member.state.clone(), hit: member.hit.clone() };
        let mut again = studio.join_with(&server, again, certificate, "receiver");
        let status = again.daemon.wait(PATIENCE);
        assert_eq!(status.code(), Some(4), "{}", again.daemon.errors());
        assert!(again.daemon.errors().contains(sentence), "{}", again.daemon.errors());
    }
    sender.wait_until_keyed();
    stays.wait_until_keyed();
    let screen = stays.host.start(&mut stays.command(&["recv", "--group", "film"]));
    let mut speaker = Speaker::start(&sender);
    say_until(&mut speaker, "the others go on", || hears(&screen, "word 3."));

    // Whoever is allowed again comes back by the certificate.
    server.ask(&["member", "allow", "--group", "film", &denied.hit]);
    let again = Identity { host: denied.host, state: denied.state.clone(), hit: denied.hit.clone() };
    studio.join_with(&server, again, &denied_certificate, "receiver").wait_until_keyed();
}
