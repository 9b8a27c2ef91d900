//! Every call over a real Unix socket, against a daemon that answers from a script.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::{
    io::{Read, Write},
    path::PathBuf,
    time::Duration,
};

use bytes::Bytes;
use claviger_api::{
    ApiError, Call, CertifiedView, Client, ClientError, ControlSocket, ErrorCode, GrantedByView, GroupAdd,
    GroupAdded, GroupPolicyOptions, GroupRemoved, GroupView, LeftView, MemberAllow, MemberStatus, MemberView,
    OwnerOptions, OwnerView, PolicyView, Record, RefusedView, RekeyOrder, RekeyView, SendSummary,
    ServerStatus, StatusView, call,
    status::{
        CountsView, EpochView, GroupKeys, MembershipState, ReadListView, RevocationListView, SaState, SaView,
    },
    view::{EvictWait, EvictedView, LaggardView, MemberState, RekeyKey},
};
use claviger_group::{GroupId, GroupPolicy, MemberId, Role};
use claviger_identity::Hit;
use claviger_sansio::Time;
use tokio::sync::mpsc;

struct Daemon {
    client: Client,
    calls: mpsc::Receiver<Call>,
    _directory: tempfile::TempDir,
}

fn daemon() -> Daemon {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("daemon.sock");
    let socket = ControlSocket::bind(&path).unwrap();
    let (sender, calls) = call::channel();
    tokio::spawn(claviger_api::serve(socket, sender));
    Daemon { client: Client::new(path), calls, _directory: directory }
}

fn group() -> GroupId {
    "#1234".parse().unwrap()
}

fn hit() -> Hit {
    "2001:22:1234::1".parse().unwrap()
}

/// A host that is no HIT, whose name a path cannot hold as it is.
fn other_host() -> MemberId {
    "user:a/b%?#c@host.example".parse().unwrap()
}

fn host() -> MemberId {
    hit().into()
}

fn policy() -> GroupPolicy {
    GroupPolicyOptions::default().resolve("239.192.0.1".parse().unwrap()).unwrap()
}

fn keys() -> GroupKeys {
    GroupKeys {
        epoch: Some(EpochView { kek_spi: [0xc1; 16], sequence: 7, age_s: 1, lifetime_s: 86_400 }),
        sas: vec![SaView {
            spi: "0000beef".into(),
            transform: policy().data.transform,
            state: SaState::Current,
            age_s: 3,
            lifetime_s: 3600,
            datagrams: Some(9),
        }],
    }
}

fn view() -> GroupView {
    let policy = PolicyView::from(&policy());
    GroupView {
        name: group(),
        policy,
        allowed: 3,
        members: 2,
        senders: 1,
        owner: Some(owner()),
        keys: keys(),
    }
}

fn owner() -> OwnerView {
    let root = CertifiedView { subject: "O=Example".into(), until_us: Time::from_secs(60) };
    OwnerView { roots: vec![root], require_list: true, without_revocation: false }
}

fn member() -> MemberView {
    MemberView {
        host: host(),
        allowed: Some(Role::Both),
        without_lease: true,
        denied: false,
        granted: None,
        certificate: Some(GrantedByView {
            subject: "CN=studio".into(),
            role: Some(Role::Receiver),
            until_us: Time::from_secs(60),
            with_list: true,
        }),
        role: Some(Role::Receiver),
        state: MemberState::Member,
        address: Some("192.0.2.9:10500".parse().unwrap()),
        place: Some("192.0.2.0/24".parse().unwrap()),
        joined_at_us: Some(Time::from_secs(5)),
        pulled_at_us: None,
        registered_until_us: Some(Time::from_secs(50)),
    }
}

fn evicted() -> EvictedView {
    let epoch = keys().epoch;
    let laggard = LaggardView { host: host(), until_us: Time::from_secs(600), without_lease: true };
    EvictedView {
        host: host(),
        was_member: true,
        deaf_at_us: Some(Time::from_micros(1_000_001)),
        epoch,
        silent_from_us: Some(Time::from_secs(600)),
        unheard_from_us: None,
        counted: Some(2),
        stated: Some(1),
        laggards: vec![laggard],
        stated_at_us: Some(Time::from_secs(1)),
        now_us: Time::from_secs(2),
        hosts: vec![],
    }
}

fn removed() -> GroupRemoved {
    GroupRemoved { name: group(), members: 2 }
}

fn added() -> GroupAdded {
    GroupAdded {
        group: view(),
        join_command: "claviger join".into(),
        allow_command: "claviger member allow".into(),
        member_needs: vec!["nothing".into()],
    }
}

fn refused() -> RefusedView {
    RefusedView {
        host: host(),
        group: "market".into(),
        role: Some(Role::Sender),
        address: Some("192.0.2.9".parse().unwrap()),
        at_us: Time::from_secs(9),
        reason: "not authorised".into(),
        allow_command: None,
        hint: Some("ask the owner".into()),
    }
}

fn rekeyed() -> RekeyView {
    RekeyView {
        group: group(),
        key: RekeyKey::Kek,
        messages: 2,
        octets: 900,
        keys: 12,
        active_at_us: Time::from_secs(8),
        now: keys(),
    }
}

fn left() -> LeftView {
    LeftView { group: group(), acknowledged: true }
}

fn server_status() -> StatusView {
    StatusView::Server(ServerStatus {
        hit: hit(),
        version: "0.1.0".into(),
        started_at_us: Time::from_secs(1),
        listens: vec![],
        associations: 2,
        certificates: owner().roots,
        revocation_lists: vec![RevocationListView {
            file: "owner.crl".into(),
            lists: vec![ReadListView {
                issuer: "O=Example".into(),
                number: Some(7),
                revoked: 2,
                since_us: Time::from_secs(1),
                until_us: None,
            }],
            error: Some("is not valid DER".into()),
        }],
        groups: vec![],
        drops: serde_json::from_str(r#"{"hip":{"checksum":3}}"#).unwrap(),
        counters: CountsView::default(),
    })
}

fn member_status() -> StatusView {
    StatusView::Member(Box::new(MemberStatus {
        hit: hit(),
        version: "0.1.0".into(),
        started_at_us: Time::from_secs(1),
        server_hit: hit(),
        server_address: "192.0.2.1:10500".parse().unwrap(),
        group: group(),
        role: Role::Both,
        state: MembershipState::Keyed,
        keys: keys(),
        tree_keys: 3,
        last_rekey_at_us: None,
        reregisters_at_us: None,
        reregisters_in_s: Some(60),
        leased_until_us: Some(Time::from_secs(600)),
        leased_for_s: Some(600),
        data_address: None,
        tun: None,
        drops: CountsView::default(),
        counters: CountsView::default(),
    }))
}

/// Answers each call once, and insists that it arrived as it was sent.
async fn answer_from_script(mut calls: mpsc::Receiver<Call>) {
    while let Some(call) = calls.recv().await {
        match call {
            Call::GroupAdd(request, reply) => {
                assert_eq!((request.name, request.policy.degree), (group(), Some(3)));
                assert!(request.owner.is_some_and(|owner| owner.require_list && !owner.without_revocation));
                reply.send(Ok(added()));
            }
            Call::GroupList(reply) => reply.send(Ok(vec![view(), view()])),
            Call::GroupRemove(name, reply) if name == group() => reply.send(Ok(removed())),
            Call::GroupShow(name, reply) if name == group() => reply.send(Ok(view())),
            Call::Leave(name, reply) if name == group() => reply.send(Ok(left())),
            Call::MemberAllow(name, who, MemberAllow { role: Role::Both, without_lease: false }, reply)
                if (&name, &who) == (&group(), &host()) =>
            {
                reply.send(Ok(member()));
            }
            Call::MemberAllow(name, who, MemberAllow { role: Role::Sender, without_lease: true }, reply)
                if (&name, &who) == (&group(), &other_host()) =>
            {
                reply.send(Ok(MemberView { host: who, ..member() }));
            }
            Call::EvictionShow(name, who, reply) | Call::MemberEvict(name, who, _, reply)
                if (&name, &who) == (&group(), &host()) =>
            {
                tokio::spawn(async {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    reply.send(Ok(evicted()));
                });
            }
            Call::MemberList(name, reply) if name == group() => reply.send(Ok(vec![member()])),
            Call::RefusedList(Some(name), reply) if name == group() => reply.send(Ok(vec![refused()])),
            Call::RefusedList(None, reply) => reply.send(Ok(vec![refused(), refused()])),
            Call::Rekey(name, RekeyOrder { key: RekeyKey::Kek }, reply) if name == group() => {
                reply.send(Ok(rekeyed()));
            }
            Call::Status(reply) => reply.send(Ok(server_status())),
            other => panic!("unexpected {other:?}"),
        }
    }
}

#[tokio::test]
async fn every_call_arrives_and_every_answer_returns() {
    let Daemon { client, calls, _directory } = daemon();
    tokio::spawn(answer_from_script(calls));
    let group = group();
    let policy = GroupPolicyOptions { degree: Some(3), ..Default::default() };
    let roots = "-----BEGIN CERTIFICATE-----".to_owned();
    let owner = Some(OwnerOptions { roots, require_list: true, without_revocation: false });
    assert_eq!(client.group_add(&GroupAdd { name: group.clone(), policy, owner }).await.unwrap(), added());
    assert_eq!(client.group_list().await.unwrap(), [view(), view()]);
    assert_eq!(client.group_show(&group).await.unwrap(), view());
    let allow = MemberAllow::from(Role::Both);
    assert_eq!(client.member_allow(&group, &host(), &allow).await.unwrap(), member());
    let allow = MemberAllow { role: Role::Sender, without_lease: true };
    assert_eq!(client.member_allow(&group, &other_host(), &allow).await.unwrap().host, other_host());
    assert_eq!(client.member_list(&group).await.unwrap(), [member()]);
    for wait in [EvictWait::Deaf, EvictWait::No] {
        assert_eq!(client.member_evict(&group, &host(), wait).await.unwrap(), evicted());
    }
    assert_eq!(client.eviction(&group, &host()).await.unwrap(), evicted());
    assert_eq!(client.refused_list(Some(&group)).await.unwrap(), [refused()]);
    assert_eq!(client.refused_list(None).await.unwrap(), [refused(), refused()]);
    assert_eq!(client.rekey(&group, &RekeyOrder { key: RekeyKey::Kek }).await.unwrap(), rekeyed());
    assert_eq!(client.group_remove(&group).await.unwrap(), removed());
    assert_eq!(client.leave(&group).await.unwrap(), left());
    assert_eq!(client.status().await.unwrap(), server_status());
}

#[tokio::test]
async fn names_of_any_characters_survive_the_path() {
    for name in ["#7", "0x8badf00d", "a/b", "caf\u{e9} ?x=1&y", "..", ".", "100%", "%2F", "\u{1f511}"] {
        let Daemon { client, mut calls, _directory } = daemon();
        let group: GroupId = name.parse().unwrap();
        let asked = group.clone();
        let calling = tokio::spawn(async move { client.group_show(&asked).await });
        let Some(Call::GroupShow(arrived, reply)) = calls.recv().await else {
            panic!("{name}");
        };
        assert_eq!(arrived, group);
        reply.send(Ok(view()));
        calling.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn status_tells_servers_and_members_apart() {
    let Daemon { client, mut calls, _directory } = daemon();
    let calling = tokio::spawn(async move { client.status().await });
    let Some(Call::Status(reply)) = calls.recv().await else { panic!() };
    reply.send(Ok(member_status()));
    assert_eq!(calling.await.unwrap().unwrap(), member_status());
    let json = serde_json::to_value(member_status()).unwrap();
    assert_eq!(json["daemon"], "member");
    assert_eq!(json["keys"]["epoch"]["kek_spi"], "c1".repeat(16));
    assert_eq!(json["started_at_us"], 1_000_000);
}

#[tokio::test]
async fn every_refusal_reaches_the_caller_whole() {
    for (code, _) in ErrorCode::ALL {
        let Daemon { client, mut calls, _directory } = daemon();
        let error = ApiError::new(code, "it cannot be").hint("claviger group list");
        let refusal = error.clone();
        tokio::spawn(async move { calls.recv().await.unwrap().refuse(refusal) });
        match client.group_show(&group()).await {
            Err(ClientError::Api(arrived)) => assert_eq!(arrived, error),
            other => panic!("{code:?}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_daemon_that_stops_says_so_and_one_that_is_gone_is_named() {
    let Daemon { client, mut calls, _directory } = daemon();
    tokio::spawn(async move {
        drop(calls.recv().await);
        drop(calls);
    });
    for _ in 0..2 {
        let error = client.group_list().await.unwrap_err();
        assert!(matches!(&error, ClientError::Api(e) if e.code == ErrorCode::Stopping), "{error:?}");
    }
    let nobody = Client::new(PathBuf::from("/nonexistent/server.sock"));
    let error = nobody.group_list().await.unwrap_err();
    assert!(matches!(error, ClientError::Connect(..)));
    assert!(error.to_string().starts_with("no daemon answers on /nonexistent/server.sock"));
}

fn raw(client: &Client, request: &str) -> String {
    let mut stream = std::os::unix::net::UnixStream::connect(client.path()).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn programs_find_a_host_where_they_found_its_hit() {
    for view in [
        serde_json::to_value(member()).unwrap(),
        serde_json::to_value(evicted()).unwrap(),
        serde_json::to_value(refused()).unwrap(),
    ] {
        assert_eq!(view["hit"], "2001:22:1234::1");
    }
    let view = serde_json::to_value(MemberView { host: other_host(), ..member() }).unwrap();
    assert_eq!(view["hit"], "user:a/b%?#c@host.example");
}

#[test]
fn what_an_earlier_key_server_does_not_say_is_not_there() {
    let read = |mut view: serde_json::Value, names: &[&str]| {
        names.iter().for_each(|name| drop(view.as_object_mut().unwrap().remove(*name)));
        view
    };
    let shown = read(serde_json::to_value(view()).unwrap(), &["owner"]);
    assert_eq!(serde_json::from_value::<GroupView>(shown).unwrap().owner, None);
    let member = read(serde_json::to_value(member()).unwrap(), &["denied", "certificate"]);
    assert_eq!(serde_json::from_value::<MemberView>(member).unwrap().certificate, None);
    let status = read(serde_json::to_value(server_status()).unwrap(), &["certificates", "revocation_lists"]);
    serde_json::from_value::<StatusView>(status).unwrap();
    let add = GroupAdd { name: group(), policy: GroupPolicyOptions::default(), owner: None };
    assert!(serde_json::to_value(add).unwrap().get("owner").is_none(), "an earlier one would refuse it");
}

#[test]
fn a_host_needs_a_lease_unless_the_request_says_otherwise() {
    let read = |text| serde_json::from_str::<MemberAllow>(text).ok();
    assert_eq!(read(r#"{"role":"both"}"#), Some(Role::Both.into()));
    let without = MemberAllow { role: Role::Sender, without_lease: true };
    assert_eq!(read(r#"{"role":"sender","without_lease":true}"#), Some(without));
    assert_eq!(read(r#"{"role":"sender","without_leases":true}"#), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_requests_are_refused_before_they_reach_the_daemon() {
    let Daemon { client, mut calls, _directory } = daemon();
    let post = |path: &str, body: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let hit_path = "/v1/groups/x/members/2001:db8::1/evict";
    for (request, sentence) in [
        (post("/v1/groups", "{"), "EOF while parsing"),
        (post("/v1/groups", r#"{"name":""}"#), "a group name must not be empty"),
        (post("/v1/groups", r#"{"name":"x","policy":{"degre":3}}"#), "unknown field `degre`"),
        (
            post("/v1/groups", r#"{"name":"x","policy":{"transform":"des"}}"#),
            "a transform is one of aes128-gcm",
        ),
        (post("/v1/groups", &format!("\"{}\"", "x".repeat(70_000))), "length limit exceeded"),
        (post(hit_path, ""), "a HIT is written like an IPv6 address"),
        (post("/v1/groups/%23x/rekey", "{}"), "a group number is #"),
        (post("/v1/groups/x/send?port=1", ""), "unknown field `port`"),
        (post("/v1/groups/x/rekey", r#"{"key":"sek"}"#), "unknown variant `sek`"),
        (get("/v1/refused?grp=x"), "unknown field `grp`"),
        (get("/v2/groups"), "no such path or method"),
        (post("/v1/status", ""), "no such path or method"),
    ] {
        let answer = raw(&client, &request);
        assert!(answer.contains(sentence), "{request}\n{answer}");
        assert!(answer.contains(r#""code":"bad-request""#), "{answer}");
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
    assert!(calls.try_recv().is_err());
}

#[tokio::test]
async fn payloads_stream_to_the_daemon_in_order() {
    let Daemon { client, mut calls, _directory } = daemon();
    tokio::spawn(async move {
        let Some(Call::Send(mut stream)) = calls.recv().await else { panic!() };
        assert_eq!((stream.group, stream.application_port), (group(), Some(5000)));
        let mut summary = SendSummary::default();
        while let Some(payload) = stream.payloads.recv().await {
            assert_eq!(payload[..8], summary.datagrams.to_be_bytes());
            summary.datagrams += 1;
            summary.octets += payload.len() as u64;
        }
        stream.done.send(Ok(summary));
    });
    let mut sending = client.send(&group(), Some(5000)).await.unwrap();
    for number in 0..2000u64 {
        let mut payload = number.to_be_bytes().to_vec();
        payload.resize(1400, 0x5a);
        sending.push(payload.into()).await.unwrap();
    }
    let summary = sending.finish().await.unwrap();
    assert_eq!(summary, SendSummary { datagrams: 2000, octets: 2_800_000, failed: 0 });
}

#[tokio::test]
async fn a_refused_stream_tells_why_even_while_its_input_is_silent() {
    let Daemon { client, mut calls, _directory } = daemon();
    let error = ApiError::new(ErrorCode::Refused, "this member may not send");
    let refusal = error.clone();
    tokio::spawn(async move {
        while let Some(call) = calls.recv().await {
            call.refuse(refusal.clone());
        }
    });
    let mut silent = client.send(&group(), None).await.unwrap();
    assert!(matches!(silent.ended().await, ClientError::Api(e) if e == error));

    let mut eager = client.send(&group(), None).await.unwrap();
    let ended = loop {
        if let Err(ended) = eager.push(Bytes::from(vec![0; 60_000])).await {
            break ended;
        }
    };
    assert!(matches!(&ended, ClientError::Api(e) if *e == error), "{ended:?}");
}

#[tokio::test]
async fn a_caller_that_vanishes_ends_its_streams() {
    let Daemon { client, mut calls, _directory } = daemon();
    let mut sending = client.send(&group(), None).await.unwrap();
    sending.push(Bytes::from_static(b"last")).await.unwrap();
    let Some(Call::Send(mut stream)) = calls.recv().await else { panic!() };
    assert_eq!(stream.payloads.recv().await.unwrap(), "last");
    drop(sending);
    assert_eq!(stream.payloads.recv().await, None);

    let receiving = tokio::spawn(async move { client.receive(&group()).await });
    let Some(Call::Receive(stream)) = calls.recv().await else { panic!() };
    stream.accepted.send(Ok(()));
    drop(receiving.await.unwrap().unwrap());
    tokio::time::timeout(Duration::from_secs(5), stream.payloads.closed()).await.unwrap();
}

#[tokio::test]
async fn what_arrives_streams_to_the_caller_with_what_is_missing() {
    let Daemon { client, mut calls, _directory } = daemon();
    let sent = [
        Record::Missing(3),
        Record::Data(Bytes::from_static(b"one")),
        Record::Data(Bytes::from(vec![7; 65_535])),
        Record::Missing(2),
    ];
    tokio::spawn(async move {
        let Some(Call::Receive(stream)) = calls.recv().await else { panic!() };
        assert_eq!(stream.group, group());
        stream.missing.send_replace(3);
        stream.accepted.send(Ok(()));
        stream.payloads.send(Bytes::from_static(b"one")).await.unwrap();
        stream.payloads.send(Bytes::from(vec![7; 65_535])).await.unwrap();
        while stream.payloads.capacity() < claviger_api::call::STREAM_RECORDS_MAX {
            tokio::task::yield_now().await;
        }
        stream.missing.send_replace(2);
    });
    let mut receiving = client.receive(&group()).await.unwrap();
    let mut received = Vec::new();
    while let Some(record) = receiving.next().await.unwrap() {
        received.push(record);
    }
    assert_eq!(received, sent);
}

#[tokio::test]
async fn a_refused_receiver_learns_why() {
    let Daemon { client, mut calls, _directory } = daemon();
    tokio::spawn(async move { calls.recv().await.unwrap().not_served("key server") });
    let error = client.receive(&group()).await.unwrap_err();
    assert_eq!(error.to_string(), "this is a key server, which does not answer that");
}
