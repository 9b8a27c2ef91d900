//! `claviger status`: what daemons hold and have seen.

use std::path::PathBuf;

use clap::Args;
use claviger_api::{
    CertifiedView, Client, ClientError, MemberStatus, ServerStatus, StatusView,
    name::Name,
    status::{CountsView, ReadListView, RevocationListView, UnsentView},
};
use claviger_group::GroupId;
use serde::Serialize;

use crate::{
    cli::{globals::Globals, group::keys_text},
    exit::{Exit, Failure, Outcome},
    output::{self, instant, or_dash, pairs, seconds},
};

/// Shows what key server and member daemons hold and have seen: all of this user's, or one.
///
/// docs/counters.md explains every counter.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Show the member daemon of this group only
    #[arg(long, value_name = "NAME")]
    group: Option<GroupId>,
    /// Write JSON
    #[arg(long)]
    json: bool,
}

/// One daemon that answered.
#[derive(Debug, Serialize)]
struct Daemon {
    socket: PathBuf,
    #[serde(flatten)]
    status: StatusView,
}

pub(crate) async fn run(globals: &Globals, args: StatusArgs) -> Outcome {
    let daemons = match (&globals.socket, &args.group) {
        (Some(socket), _) => vec![ask(socket.clone()).await?],
        (None, Some(group)) => vec![ask(globals.paths()?.member_socket(group)).await?],
        (None, None) => ask_all(globals).await?,
    };
    output::print(args.json, &daemons, |daemons| daemons.iter().map(text).collect::<Vec<_>>().join("\n\n"))
}

async fn ask(socket: PathBuf) -> Result<Daemon, ClientError> {
    let status = Client::new(&socket).status().await?;
    Ok(Daemon { socket, status })
}

/// Asks every daemon of the runtime directory. Sockets that killed daemons left behind are passed over.
async fn ask_all(globals: &Globals) -> Outcome<Vec<Daemon>> {
    let paths = globals.paths()?;
    let mut daemons = Vec::new();
    for socket in std::iter::once(paths.server_socket()).chain(paths.member_sockets()) {
        match ask(socket).await {
            Ok(daemon) => daemons.push(daemon),
            Err(ClientError::Connect(_, error)) if is_nobody(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if daemons.is_empty() {
        let message = format!("no daemon runs with sockets in {}", paths.runtime_dir.display());
        return Err(Failure::new(Exit::Unreachable, message).hint(
            "claviger server, or claviger join; or name a socket with --socket, a state with --state-dir",
        ));
    }
    Ok(daemons)
}

fn is_nobody(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused)
}

fn text(daemon: &Daemon) -> String {
    match &daemon.status {
        StatusView::Member(member) => member_text(member),
        StatusView::Server(server) => server_text(server),
    }
}

fn server_text(server: &ServerStatus) -> String {
    let listens: Vec<String> =
        server.listens.iter().map(|l| format!("{} {}", l.protocol, l.address)).collect();
    let head = pairs(vec![
        ("key server", server.hit.to_string()),
        ("version", server.version.clone()),
        ("since", instant(server.started_at_us)),
        ("listens", listens.join(", ")),
        ("associations", server.associations.to_string()),
    ]);
    let mut parts = vec![head];
    parts.extend(certificates_text(&server.certificates));
    parts.extend(lists_text(&server.revocation_lists));
    for group in &server.groups {
        let mut rows = vec![
            ("group", group.name.to_string()),
            ("members", group.members.to_string()),
            ("last rekey", or_dash(group.last_rekey_at_us.map(instant))),
            ("next rekey", or_dash(group.next_rekey_at_us.map(instant))),
        ];
        rows.extend(group.replayable.then(|| ("REPLAYABLE", "outsiders can repeat packets".to_owned())));
        rows.extend(group.unsent.as_ref().map(|unsent| ("NOT SENT", unsent_text(unsent))));
        parts.push(format!("{}\n{}", pairs(rows), keys_text(&group.keys)));
    }
    parts.extend(counts_text("DROPS BY REASON", &server.drops));
    parts.extend(counts_text("COUNTERS", &server.counters));
    parts.join("\n\n")
}

fn certificates_text(certificates: &[CertifiedView]) -> Option<String> {
    let rows = certificates.iter().map(|own| [own.subject.clone(), instant(own.until_us)]);
    let text = || output::table(["CERTIFICATE", "UNTIL"], rows.collect(), "no certificates");
    (!certificates.is_empty()).then(text)
}

fn lists_text(files: &[RevocationListView]) -> Option<String> {
    let rows = files.iter().flat_map(|file| {
        let error = || or_dash(file.error.as_deref());
        let row = |list: &ReadListView| {
            [
                file.file.clone(),
                list.issuer.clone(),
                or_dash(list.number),
                list.revoked.to_string(),
                or_dash(list.until_us.map(instant)),
                error(),
            ]
        };
        let nothing = || [file.file.clone(), "-".into(), "-".into(), "-".into(), "-".into(), error()];
        let unread = file.lists.is_empty().then(nothing);
        file.lists.iter().map(row).chain(unread).collect::<Vec<_>>()
    });
    let header = ["REVOCATION LIST", "OF", "NUMBER", "REVOKED", "UNTIL", "ERROR"];
    (!files.is_empty()).then(|| output::table(header, rows.collect(), "no lists"))
}

fn unsent_text(unsent: &UnsentView) -> String {
    let UnsentView { messages, since_us, error } = unsent;
    format!("{messages} rekey messages do not leave since {}: {error}", instant(*since_us))
}

fn member_text(member: &MemberStatus) -> String {
    let mut rows = vec![
        ("member", member.hit.to_string()),
        ("version", member.version.clone()),
        ("since", instant(member.started_at_us)),
        ("key server", format!("{}@{}", member.server_hit, member.server_address)),
        ("group", member.group.to_string()),
        ("role", member.role.to_string()),
        ("state", member.state.name().to_owned()),
        ("tree keys", member.tree_keys.to_string()),
        ("last rekey", or_dash(member.last_rekey_at_us.map(instant))),
        ("re-registers in", or_dash(member.reregisters_in_s.map(seconds))),
        ("data", or_dash(member.data_address)),
    ];
    rows.extend(member.leased_for_s.map(|left| ("lease", lease_text(left))));
    rows.extend(member.tun.clone().map(|tun| ("TUN device", tun)));
    let mut parts = vec![pairs(rows), keys_text(&member.keys)];
    parts.extend(counts_text("DROPS BY REASON", &member.drops));
    parts.extend(counts_text("COUNTERS", &member.counters));
    parts.join("\n\n")
}

fn lease_text(left: u64) -> String {
    match left {
        0 => "over: nothing is sent until the key server has answered".to_owned(),
        left => format!("sends for {} without word from the key server", seconds(left)),
    }
}

fn counts_text(title: &str, counts: &CountsView) -> Option<String> {
    let row = |(machine, name, count): (&str, &str, u64)| [format!("{machine}/{name}"), count.to_string()];
    let rows: Vec<_> = counts.iter().map(row).collect();
    (!rows.is_empty()).then(|| output::table([title, "COUNT"], rows, ""))
}

#[cfg(test)]
mod tests {
    use claviger_api::status::{EpochView, GroupKeys, GroupStatus, ListenView, SaState, SaView};
    use claviger_group::EspTransform;
    use claviger_sansio::Time;

    use super::*;

    #[test]
    fn a_servers_state_is_shown_whole() {
        let keys = GroupKeys {
            epoch: Some(EpochView { kek_spi: [0xc1; 16], sequence: 7, age_s: 90, lifetime_s: 86_400 }),
            sas: vec![SaView {
                spi: "0000beef".into(),
                transform: EspTransform::Aes128Gcm16,
                state: SaState::Current,
                age_s: 3,
                lifetime_s: 3600,
                datagrams: None,
            }],
        };
        let server = ServerStatus {
            hit: "2001:22:1234::1".parse().unwrap(),
            version: "0.1.0".into(),
            started_at_us: Time::EPOCH,
            listens: vec![ListenView {
                protocol: "hip-udp".into(),
                address: "0.0.0.0:10500".parse().unwrap(),
            }],
            associations: 2,
            certificates: vec![],
            revocation_lists: vec![],
            groups: vec![GroupStatus {
                name: "x".parse().unwrap(),
                members: 2,
                replayable: false,
                keys,
                last_rekey_at_us: Some(Time::from_secs(1)),
                next_rekey_at_us: None,
                unsent: None,
            }],
            drops: serde_json::from_str(r#"{"hip":{"bad_checksum":3}}"#).unwrap(),
            counters: CountsView::default(),
        };
        assert_eq!(
            server_text(&server),
            "key server:    2001:22:1234::1\n\
             version:       0.1.0\n\
             since:         1970-01-01T00:00:00.000000Z\n\
             listens:       hip-udp 0.0.0.0:10500\n\
             associations:  2\n\n\
             group:       x\n\
             members:     2\n\
             last rekey:  1970-01-01T00:00:01.000000Z\n\
             next rekey:  -\n\
             KEK:      c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1, push 7\n\
             KEK age:  1 min 30 s of 1 d\n\
             SPI       TRANSFORM   STATE    AGE  LIFETIME  DATAGRAMS\n\
             0000beef  aes128-gcm  current  3 s  1 h       -\n\n\
             DROPS BY REASON   COUNT\n\
             hip/bad_checksum  3"
        );
        let mut stopped = server.clone();
        stopped.groups[0].unsent = Some(UnsentView {
            messages: 2,
            since_us: Time::from_secs(2),
            error: "Network is unreachable (os error 101)".into(),
        });
        assert!(server_text(&stopped).contains(
            "\nNOT SENT:    2 rekey messages do not leave since 1970-01-01T00:00:02.000000Z: Network is unreachable \
             (os error 101)\n"
        ));
        let mut replayable = server.clone();
        replayable.groups[0].replayable = true;
        assert!(server_text(&replayable).contains("\nREPLAYABLE:  outsiders can repeat packets\n"));
        let mut certified = server.clone();
        certified.certificates =
            vec![CertifiedView { subject: "CN=ks".into(), until_us: Time::from_secs(1) }];
        let list = ReadListView {
            issuer: "O=Example".into(),
            number: Some(2),
            revoked: 1,
            since_us: Time::EPOCH,
            until_us: None,
        };
        let file = |name: &str, lists, error: Option<&str>| RevocationListView {
            file: name.into(),
            lists,
            error: error.map(str::to_owned),
        };
        certified.revocation_lists =
            vec![file("a.crl", vec![list], None), file("b.crl", vec![], Some("is not valid DER"))];
        assert!(server_text(&certified).contains(
            "\n\nCERTIFICATE  UNTIL\n\
             CN=ks        1970-01-01T00:00:01.000000Z\n\n\
             REVOCATION LIST  OF         NUMBER  REVOKED  UNTIL  ERROR\n\
             a.crl            O=Example  2       1        -      -\n\
             b.crl            -          -       -        -      is not valid DER\n\n"
        ));
        let daemon = Daemon { socket: "/r/server.sock".into(), status: StatusView::Server(server) };
        let json = serde_json::to_value(&daemon).unwrap();
        assert_eq!((&json["socket"], &json["daemon"]), (&"/r/server.sock".into(), &"server".into()));
        assert_eq!(json["groups"][0]["keys"]["sas"][0]["spi"], "0000beef");
    }
}
