//! The command line as a shell sees it: output, sentences and exit codes of the real program.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
};

use claviger_api::{
    ApiError, Call, ControlSocket, ErrorCode, EvictWait, EvictedView, GroupAdded, GroupPolicyOptions,
    GroupView, LaggardView, MemberView, PolicyView, call, status::GroupKeys, view::MemberState,
};
use claviger_group::{MemberId, Role};
use claviger_sansio::Time;
use nix::fcntl::{Flock, FlockArg};

const HIT: &str = "2001:22:1234::1";

struct Ended {
    code: i32,
    out: String,
    err: String,
}

/// Runs the program with its state in `directory` and no environment but that.
fn claviger(directory: &Path, arguments: &[&str]) -> Ended {
    let output = Command::new(env!("CARGO_BIN_EXE_claviger"))
        .args(arguments)
        .env_clear()
        .env("HOME", directory)
        .args(if arguments.is_empty() { &[][..] } else { &["--state-dir"] })
        .args((!arguments.is_empty()).then_some(directory))
        .output();
    let Output { status, stdout, stderr } = output.unwrap();
    Ended {
        code: status.code().unwrap(),
        out: String::from_utf8(stdout).unwrap(),
        err: String::from_utf8(stderr).unwrap(),
    }
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn help_and_version_are_results() {
    let directory = directory();
    let help = claviger(directory.path(), &["--help"]);
    assert_eq!((help.code, help.err.as_str()), (0, ""));
    assert!(help.out.contains("Exit codes:\n  0  done\n  1  failed"), "{}", help.out);
    for command in ["group", "identity", "member", "rekey", "status"] {
        assert!(help.out.contains(&format!("\n  {command} ")), "{command}: {}", help.out);
        assert_eq!(claviger(directory.path(), &[command, "--help"]).code, 0);
    }
    let version = claviger(directory.path(), &["--version"]);
    assert_eq!(version.out, format!("claviger {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_arguments_are_usage_errors_with_a_sentence() {
    let directory = directory();
    for (arguments, sentence) in [
        (&[][..], "Usage: claviger"),
        (&["serve"], "unrecognized subcommand 'serve'"),
        (&["group"], "Usage: claviger group"),
        (&["group", "add"], "<NAME>"),
        (&["group", "add", "x", "--degre", "3"], "unexpected argument '--degre'"),
        (&["group", "add", "x", "--degree", "three"], "invalid value 'three' for '--degree <K>'"),
        (&["group", "add", "#99999999999"], "a group number is # and a decimal"),
        (&["member", "allow", "--group", "x", "192.0.2.1"], "a HIT is written like an IPv6 address"),
        (&["member", "list"], "--group <NAME>"),
        (&["rekey"], "--group <NAME>"),
        (&["rekey", "--group", "x", "--key", "sek"], "[possible values: tek, kek]"),
        (&["identity", "new", "--algorithm", "dsa"], "[possible values: ecdsa-p256, ecdsa-p384, eddsa, rsa]"),
        (&["status", "--log", "claviger=loud"], "`claviger=loud` is no log filter"),
    ] {
        let ended = claviger(directory.path(), arguments);
        assert_eq!((ended.code, ended.out.as_str()), (2, ""), "{arguments:?}");
        assert!(ended.err.contains(sentence), "{arguments:?}: {}", ended.err);
    }
}

#[test]
fn identities_are_made_shown_and_never_replaced() {
    for (algorithm, name) in
        [("ecdsa", "ecdsa-p256"), ("ecdsa-p384", "ecdsa-p384"), ("eddsa", "eddsa"), ("rsa", "rsa")]
    {
        let directory = directory();
        let path = directory.path();
        let none = claviger(path, &["identity", "show"]);
        assert_eq!(none.code, 3);
        assert!(
            none.err.contains("there is no identity in") && none.err.contains("try: claviger identity new")
        );

        let made = claviger(path, &["identity", "new", "--algorithm", algorithm, "--json"]);
        assert_eq!(made.code, 0, "{}", made.err);
        let json: serde_json::Value = serde_json::from_str(&made.out).unwrap();
        assert_eq!(json["algorithm"], name);
        let hit = json["hit"].as_str().unwrap();
        let file = path.join("identity.pem");
        assert_eq!(json["file"], file.to_str().unwrap());
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

        let shown = claviger(path, &["identity", "show"]);
        assert_eq!(
            shown.out,
            format!("HIT:        {hit}\nalgorithm:  {name}\nfile:       {}\n", file.display())
        );
        let again = claviger(path, &["identity", "new"]);
        assert_eq!(again.code, 1);
        assert!(again.err.starts_with("claviger: there is an identity already: "), "{}", again.err);
        assert_eq!(claviger(path, &["identity", "show"]).out, shown.out);
    }
}

#[test]
fn bad_identity_files_are_configuration_errors() {
    let directory = directory();
    let file = directory.path().join("identity.pem");
    fs::write(&file, "not a key").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let open = claviger(directory.path(), &["identity", "show"]);
    assert_eq!(open.code, 3);
    assert!(open.err.contains("is open to other users (mode 0644)\n  try: chmod 600 "), "{}", open.err);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let malformed = claviger(directory.path(), &["identity", "show"]);
    assert_eq!(malformed.code, 3);
    assert!(malformed.err.contains("holds no key"), "{}", malformed.err);
}

#[test]
fn an_identity_in_use_has_its_own_exit_code() {
    let directory = directory();
    let file = fs::File::create(directory.path().join("identity.lock")).unwrap();
    let _lock = Flock::lock(file, FlockArg::LockExclusive).unwrap();
    let ended = claviger(directory.path(), &["identity", "new"]);
    assert_eq!(ended.code, 5);
    assert!(ended.err.contains("is in use by another process"), "{}", ended.err);
    assert!(!directory.path().join("identity.pem").exists());
}

#[test]
fn a_daemon_that_does_not_run_is_unreachable() {
    let directory = directory();
    for arguments in [&["group", "list"][..], &["rekey", "--group", "x"], &["status", "--group", "x"]] {
        let ended = claviger(directory.path(), arguments);
        assert_eq!((ended.code, ended.out.as_str()), (6, ""), "{arguments:?}");
        assert!(ended.err.starts_with("claviger: no daemon answers on "), "{}", ended.err);
        assert!(ended.err.contains("--socket"), "{}", ended.err);
    }
    let ended = claviger(directory.path(), &["status"]);
    assert_eq!(ended.code, 6);
    assert!(ended.err.starts_with("claviger: no daemon runs with sockets in "), "{}", ended.err);
}

/// Runs a daemon in this process that answers each call by `answer`.
fn daemon(directory: &Path, answer: impl Fn(Call) + Send + 'static) -> tokio::runtime::Runtime {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let socket = ControlSocket::bind(&directory.join("server.sock")).unwrap();
    let (sender, mut calls) = call::channel();
    runtime.spawn(claviger_api::serve(socket, sender));
    runtime.spawn(async move {
        while let Some(call) = calls.recv().await {
            answer(call);
        }
    });
    runtime
}

fn group_view() -> GroupView {
    let policy = GroupPolicyOptions::default().resolve("239.192.0.1".parse().unwrap()).unwrap();
    GroupView {
        name: "market".parse().unwrap(),
        policy: PolicyView::from(&policy),
        allowed: 0,
        members: 0,
        senders: 0,
        owner: None,
        keys: GroupKeys::default(),
    }
}

fn server(call: Call) {
    match call {
        Call::GroupAdd(request, reply) => reply.send(match request.policy.degree {
            Some(_) => Err(claviger_group::policy::PolicyError::Degree.into()),
            None => Ok(GroupAdded {
                group: group_view(),
                join_command: format!("claviger join --server {HIT}@192.0.2.1 --group market"),
                allow_command: "claviger member allow --group market HIT".into(),
                member_needs: vec![],
            }),
        }),
        Call::GroupList(reply) => reply.send(Ok(vec![group_view()])),
        Call::GroupShow(group, reply) if group == group_view().name => reply.send(Ok(group_view())),
        Call::GroupShow(_, reply) => {
            reply.send(Err(
                ApiError::new(ErrorCode::GroupUnknown, "there is no group x").hint("claviger group list")
            ))
        }
        Call::MemberAllow(_, host, request, reply) => reply.send(Ok(MemberView {
            host,
            allowed: Some(request.role),
            without_lease: request.without_lease,
            denied: false,
            granted: None,
            certificate: None,
            role: None,
            state: MemberState::Allowed,
            address: None,
            place: None,
            joined_at_us: None,
            pulled_at_us: None,
            registered_until_us: None,
        })),
        Call::MemberEvict(_, host, EvictWait::Deaf, reply) => reply.send(Ok(evicted(host, 1))),
        Call::MemberEvict(_, host, EvictWait::No, reply) => reply.send(Ok(evicted(host, 2))),
        Call::EvictionShow(_, host, reply) => reply.send(Ok(evicted(host, 0))),
        other => other.not_served("test daemon"),
    }
}

/// A host that was put out, with this many senders that have not stated it.
fn evicted(host: MemberId, missing: u32) -> EvictedView {
    let at = |second: u64| Some(Time::from_secs(1_700_000_000 + second));
    let laggard = LaggardView { host: host.clone(), until_us: at(600).unwrap(), without_lease: false };
    EvictedView {
        host,
        was_member: true,
        deaf_at_us: at(0),
        epoch: None,
        silent_from_us: at(600),
        unheard_from_us: None,
        counted: Some(2),
        stated: Some(2 - missing),
        laggards: vec![laggard; missing as usize],
        stated_at_us: at(1),
        now_us: at(2).unwrap(),
        hosts: vec![],
    }
}

#[test]
fn control_commands_show_what_the_daemon_answers() {
    let directory = directory();
    let _daemon = daemon(directory.path(), server);
    let run = |arguments: &[&str]| claviger(directory.path(), arguments);

    let added = run(&["group", "add", "market"]);
    assert_eq!((added.code, added.err.as_str()), (0, ""));
    assert!(added.out.contains("address:                239.192.0.1\n"), "{}", added.out);
    let last = format!("claviger join --server {HIT}@192.0.2.1 --group market\nand is let in with:\n");
    assert!(added.out.contains(&last), "{}", added.out);

    let listed: serde_json::Value = serde_json::from_str(&run(&["group", "list", "--json"]).out).unwrap();
    assert_eq!(listed[0]["name"], "market");
    assert_eq!(listed[0]["policy"]["tek_lifetime_s"], 3600);

    let allowed = run(&["member", "allow", "--group", "market", HIT, "--role", "both"]);
    assert_eq!(allowed.out, format!("{HIT} may join market as {}\n", Role::Both));
    let foreign = run(&["member", "allow", "--group", "market", HIT, "--role", "sender", "--without-lease"]);
    assert_eq!(foreign.out, format!("{HIT} may join market as {}, without a lease\n", Role::Sender));
    let evicted = run(&["member", "evict", "--group", "market", HIT]);
    let sentence = "it reads nothing that is sent after 2023-11-14T22:13:21.000000Z (1 s ago): all 2 senders have stated it\n";
    assert_eq!(evicted.out, format!("evicted {HIT} from market\n{sentence}"));
    let missing =
        format!("1 of 2 have stated it; not yet: {HIT} (its lease ends at 2023-11-14T22:23:20.000000Z)\n");
    assert_eq!(evicted.err, missing, "it shows who is missing while it waits");
    let known = run(&["member", "evict", "--group", "market", HIT, "--no-wait"]);
    assert!(known.out.contains("(in 9 min 58 s)"), "{}", known.out);
    assert_eq!(known.err, "");
}

#[test]
fn refusals_of_the_daemon_are_sentences_with_hints_and_exit_codes() {
    let directory = directory();
    let _daemon = daemon(directory.path(), server);
    for (arguments, code, message) in [
        (&["group", "show", "x"][..], 1, "claviger: there is no group x\n  try: claviger group list\n"),
        (
            &["group", "add", "x", "--degree", "9"],
            2,
            "claviger: the tree's degree is 2 to 8\n  try: change --degree\n",
        ),
        (&["rekey", "--group", "x"], 1, "claviger: this is a test daemon, which does not answer that\n"),
    ] {
        let ended = claviger(directory.path(), arguments);
        assert_eq!(
            (ended.code, ended.err.as_str(), ended.out.as_str()),
            (code, message, ""),
            "{arguments:?}"
        );
    }
}

#[test]
fn a_daemon_that_dies_before_it_answers_is_unreachable() {
    let directory = directory();
    let _daemon = daemon(directory.path(), drop);
    let ended = claviger(directory.path(), &["group", "list"]);
    assert_eq!(ended.code, 6);
    assert_eq!(ended.err, "claviger: the daemon is stopping\n");
}
