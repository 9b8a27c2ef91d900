//! `claviger member`: who may be in a group, and who is.

use std::time::Duration;

use clap::{Args, Subcommand};
use claviger_api::{
    Client, EvictWait, EvictedView, GrantedByView, MemberAllow, MemberView, RefusedView, name::Name,
};
use claviger_group::{GroupId, MemberId, Role};
use claviger_pki::Name as Subject;

use crate::{
    cli::{eviction, globals::Globals, value::name},
    exit::Outcome,
    output::{self, instant, or_dash, or_not_sent},
};

/// Lets hosts into groups, shows them and puts them out.
#[derive(Debug, Subcommand)]
pub(crate) enum MemberCommand {
    /// Lets a host into a group.
    Allow(AllowArgs),
    /// Puts a host out of a group and takes it off the list. Returns when every sender has stated that it uses no older keys
    /// any more, or the last lease of those has ended that have not; shows meanwhile who is missing, and prints from when on
    /// the host can read nothing. Fails if the rekey messages cannot leave, and the key server goes on trying. Asked again
    /// it says how far the eviction has come.
    Evict(EvictArgs),
    /// Lists the hosts of a group, or those that were refused lately.
    List(ListArgs),
}

/// Lets a host in.
#[derive(Debug, PartialEq, Args)]
pub(crate) struct AllowArgs {
    /// Group, by name; #1234 or 0x4d2 is a number of four octets
    #[arg(long, value_name = "NAME")]
    group: GroupId,
    /// The host's HIT, as `claviger identity show` prints it there, or another identity with its kind before it:
    /// addr:192.0.2.1, fqdn:host.example, user:kim@example.org, key-id:cell-7, dn:CN=studio-1,O=Example (whoever has a
    /// certificate about this subject by the group's owner)
    #[arg(value_name = "HOST")]
    host: MemberId,
    /// What the host may do
    #[arg(long, default_value = Role::Receiver.name(), value_parser = name::<Role>())]
    role: Role,
    /// Let the host send without a lease: for members of other makers, which know none. If it misses the rekey of an
    /// eviction, the evicted host can read what it sends, up to the traffic key's lifetime. Allowed again without this it
    /// needs a lease from the next time on that it fetches keys
    #[arg(long)]
    without_lease: bool,
    /// Write JSON
    #[arg(long)]
    json: bool,
}

/// Puts a host out.
#[derive(Debug, PartialEq, Args)]
pub(crate) struct EvictArgs {
    /// Group, by name; #1234 or 0x4d2 is a number of four octets
    #[arg(long, value_name = "NAME")]
    group: GroupId,
    /// The host's HIT or other identity, as `claviger member list` shows it
    #[arg(value_name = "HOST")]
    host: MemberId,
    /// Wait for nobody: print what is known, from when on at the latest the host can read nothing
    #[arg(long)]
    no_wait: bool,
    /// Write JSON
    #[arg(long)]
    json: bool,
}

/// Lists hosts.
#[derive(Debug, PartialEq, Args)]
pub(crate) struct ListArgs {
    /// Group, by name; with --refused it may be left out, for all groups
    #[arg(long, value_name = "NAME", required_unless_present = "refused")]
    group: Option<GroupId>,
    /// Show the hosts that were refused lately (256 at most, one line each), and how to let each in
    #[arg(long)]
    refused: bool,
    /// Write JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(globals: &Globals, command: MemberCommand) -> Outcome {
    let server = globals.server()?;
    match command {
        MemberCommand::Allow(AllowArgs { group, host, role, without_lease, json }) => {
            let member = server.member_allow(&group, &host, &MemberAllow { role, without_lease }).await?;
            // Only this says more where the group has no leases.
            let shown = if without_lease { Some(server.group_show(&group).await?) } else { None };
            let has_leases = shown.is_none_or(|shown| shown.policy.lease_s != 0);
            output::print(json, &member, |member| allowed_text(&group, member, has_leases))
        }
        MemberCommand::Evict(EvictArgs { group, host, no_wait, json }) => {
            let wait = if no_wait { EvictWait::No } else { EvictWait::Deaf };
            let meant = hosts_by(&server, &group, &host).await?;
            let evicted = or_not_sent(json, server.member_evict(&group, &host, wait).await)?;
            let mut evicted = if no_wait { evicted } else { await_silence(&server, &group, evicted).await? };
            for host in meant {
                let view = server.eviction(&group, &host).await?;
                let view = if no_wait { view } else { await_silence(&server, &group, view).await? };
                evicted.hosts.push(view);
            }
            output::print(json, &evicted, |evicted| eviction::text(&group, evicted))
        }
        MemberCommand::List(ListArgs { group: Some(group), refused: false, json }) => {
            let members = server.member_list(&group).await?;
            output::print(json, &members, |members| members_text(&group, members))
        }
        MemberCommand::List(ListArgs { group, json, .. }) => {
            let refused = server.refused_list(group.as_ref()).await?;
            output::print(json, &refused, |refused| refused_text(refused))
        }
    }
}

fn allowed_text(group: &GroupId, member: &MemberView, has_leases: bool) -> String {
    let MemberView { host, allowed, without_lease, .. } = member;
    let role = allowed.map_or_else(|| "-".to_owned(), |role| role.to_string());
    let lease = match (without_lease, has_leases) {
        (false, _) => "",
        (true, false) => ", without a lease; the group has none anyway",
        (true, true) => ", without a lease",
    };
    format!("{host} may join {group} as {role}{lease}")
}

/// Finds the hosts that are in a group by certificates about a subject; of other hosts there is none.
async fn hosts_by(server: &Client, group: &GroupId, host: &MemberId) -> Outcome<Vec<MemberId>> {
    let MemberId::Subject(_) = host else { return Ok(Vec::new()) };
    let subject = Subject::from_der(&host.octets()).ok();
    let is_in = |member: &MemberView| {
        let certificate = member.certificate.as_ref();
        let named = certificate.and_then(|certificate| Subject::from_rfc4514(&certificate.subject).ok());
        named.is_some() && named == subject
    };
    let members = server.member_list(group).await?;
    Ok(members.into_iter().filter(is_in).map(|member| member.host).collect())
}

/// Asks how far an eviction has come until nobody is left whose lease is running, and tells who is missing.
async fn await_silence(server: &Client, group: &GroupId, mut evicted: EvictedView) -> Outcome<EvictedView> {
    let mut told = None;
    while !evicted.is_over() {
        let missing = eviction::missing(&evicted);
        if told.as_ref() != Some(&missing) {
            eprintln!("{missing}");
            told = Some(missing);
        }
        tokio::time::sleep(EVICTION_POLL).await;
        let EvictedView { epoch, host, .. } = evicted;
        evicted = EvictedView { epoch, ..server.eviction(group, &host).await? };
    }
    Ok(evicted)
}

/// How often it is asked how far an eviction has come.
const EVICTION_POLL: Duration = Duration::from_millis(100);

fn members_text(group: &GroupId, members: &[MemberView]) -> String {
    let nobody = format!("nobody; let a host in with: {}", claviger_api::command::allow_somebody(group));
    // Columns that few groups have stand where they say something.
    let has_certificates = members.iter().any(|member| member.certificate.is_some());
    let has_places = members.iter().any(|member| member.place.is_some());
    let columns: Vec<Column> = COLUMNS
        .into_iter()
        .filter(|(name, _)| match *name {
            CERTIFICATE => has_certificates,
            PLACE => has_places,
            _ => true,
        })
        .collect();
    let rows = members.iter().map(|member| columns.iter().map(|(_, text)| text(member)).collect());
    output::table_of(columns.iter().map(|(name, _)| *name).collect(), rows.collect(), &nobody)
}

/// The name of a column, and what it says of a member.
type Column = (&'static str, fn(&MemberView) -> String);

const CERTIFICATE: &str = "CERTIFICATE";
const PLACE: &str = "PLACE";

const COLUMNS: [Column; 10] = [
    ("HOST", |member| member.host.to_string()),
    ("ALLOWED", listed_text),
    (CERTIFICATE, certified_text),
    ("GRANTED", |member| member.granted.map_or("-", Name::name).to_owned()),
    ("ROLE", |member| member.role.map_or("-", Name::name).to_owned()),
    ("STATE", |member| member.state.name().to_owned()),
    ("ADDRESS", |member| or_dash(member.address)),
    (PLACE, |member| or_dash(member.place)),
    ("JOINED", |member| or_dash(member.joined_at_us.map(instant))),
    ("REGISTERED UNTIL", |member| or_dash(member.registered_until_us.map(instant))),
];

fn certified_text(member: &MemberView) -> String {
    let Some(GrantedByView { subject, role, until_us, .. }) = &member.certificate else {
        return "-".to_owned();
    };
    let role = role.map_or("as listed", Name::name);
    format!("{subject} ({role}), until {}", instant(*until_us))
}

fn listed_text(member: &MemberView) -> String {
    let lease = if member.without_lease { " without lease" } else { "" };
    let nothing = if member.denied { "denied" } else { "-" };
    format!("{}{lease}", member.allowed.map_or(nothing, Name::name))
}

fn refused_text(refused: &[RefusedView]) -> String {
    let rows = refused.iter().map(|host| {
        [
            instant(host.at_us),
            host.host.to_string(),
            host.group.clone(),
            host.role.map_or("-", Name::name).to_owned(),
            or_dash(host.address),
            host.reason.clone(),
        ]
    });
    let header = ["WHEN", "HOST", "GROUP", "ROLE", "ADDRESS", "REASON"];
    let mut text = output::table(header, rows.collect(), "nobody was refused");
    let mut commands: Vec<&str> = refused.iter().filter_map(|host| host.allow_command.as_deref()).collect();
    commands.sort_unstable();
    commands.dedup();
    if !commands.is_empty() {
        text.push_str(&format!("\n\nlet in with:\n  {}", commands.join("\n  ")));
    }
    let mut hints: Vec<String> =
        refused.iter().filter_map(|host| Some(format!("{}: {}", host.reason, host.hint.as_ref()?))).collect();
    hints.sort_unstable();
    hints.dedup();
    if !hints.is_empty() {
        text.push_str(&format!("\n\nlet in when:\n  {}", hints.join("\n  ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use claviger_api::view::MemberState;
    use claviger_sansio::Time;

    use super::*;

    #[derive(Debug, Parser)]
    struct Member {
        #[command(subcommand)]
        command: MemberCommand,
    }

    fn parse(line: &str) -> Result<MemberCommand, String> {
        let member = Member::try_parse_from(line.split(' '));
        member.map(|member| member.command).map_err(|error| error.to_string())
    }

    fn host() -> MemberId {
        "2001:22:1234::1".parse().unwrap()
    }

    #[test]
    fn the_command_that_a_refused_member_prints_is_understood() {
        let group: GroupId = "x".parse().unwrap();
        for role in [Role::Receiver, Role::Both] {
            let command = claviger_api::command::allow(&group, &host(), role);
            let line = command.strip_prefix("claviger ").unwrap();
            let MemberCommand::Allow(args) = parse(line).unwrap() else { panic!("{line}") };
            let (group, host) = (group.clone(), host());
            assert_eq!(args, AllowArgs { group, host, role, without_lease: false, json: false });
        }
    }

    fn member() -> MemberView {
        MemberView {
            host: host(),
            allowed: Some(Role::Both),
            without_lease: false,
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
        }
    }

    #[test]
    fn who_sends_without_a_lease_is_said_and_where_that_makes_no_difference() {
        let line = "member allow --group x 2001:22:1234::1 --role both --without-lease";
        let MemberCommand::Allow(args) = parse(line).unwrap() else { panic!("{line}") };
        assert!(args.without_lease);
        let text = |has_leases, without_lease| {
            allowed_text(&"x".parse().unwrap(), &MemberView { without_lease, ..member() }, has_leases)
        };
        let may = "2001:22:1234::1 may join x as receiver and sender";
        assert_eq!(text(true, false), may);
        assert_eq!(text(true, true), format!("{may}, without a lease"));
        assert_eq!(text(false, true), format!("{may}, without a lease; the group has none anyway"));
    }

    #[test]
    fn a_list_says_as_what_a_host_is_a_member_and_who_needs_no_lease() {
        let group = "x".parse().unwrap();
        let narrow = MemberView { granted: Some(Role::Both), role: Some(Role::Receiver), ..member() };
        let foreign = MemberView { without_lease: true, ..member() };
        assert_eq!(
            members_text(&group, &[narrow, foreign]),
            "HOST             ALLOWED             GRANTED  ROLE      STATE    ADDRESS  JOINED  REGISTERED UNTIL\n\
             2001:22:1234::1  both                both     receiver  allowed  -        -       -\n\
             2001:22:1234::1  both without lease  -        -         allowed  -        -       -"
        );
    }

    #[test]
    fn a_list_says_by_what_certificate_a_host_is_in_and_who_is_denied() {
        let group: GroupId = "x".parse().unwrap();
        let certificate = GrantedByView {
            subject: "CN=studio".into(),
            role: Some(Role::Receiver),
            until_us: Time::from_secs(0),
            with_list: false,
        };
        let certified = MemberView {
            allowed: None,
            certificate: Some(certificate),
            granted: Some(Role::Receiver),
            state: MemberState::Registered,
            ..member()
        };
        let denied = MemberView { allowed: None, denied: true, state: MemberState::Denied, ..member() };
        assert_eq!(
            members_text(&group, &[certified, denied]),
            "HOST             ALLOWED  CERTIFICATE                                              GRANTED   ROLE  STATE       ADDRESS  JOINED  REGISTERED UNTIL\n\
             2001:22:1234::1  -        CN=studio (receiver), until 1970-01-01T00:00:00.000000Z  receiver  -     registered  -        -       -\n\
             2001:22:1234::1  denied   -                                                        -         -     denied      -        -       -"
        );
    }

    #[test]
    fn hosts_are_named_by_any_kind_of_identity() {
        for named in [
            "2001:22:1234::1",
            "addr:192.0.2.1",
            "addr:2001:db8::1",
            "fqdn:host.example",
            "user:kim@example.org",
            "key-id:cell-7",
            "key-id:0x00ff",
            "dn:CN=studio-1,O=Example",
        ] {
            let Ok(MemberCommand::Allow(allow)) = parse(&format!("member allow --group x {named}")) else {
                panic!("{named}")
            };
            let Ok(MemberCommand::Evict(evict)) = parse(&format!("member evict --group x {named}")) else {
                panic!("{named}")
            };
            assert_eq!((allow.host.to_string(), evict.host), (named.to_owned(), allow.host));
        }
    }

    #[test]
    fn a_list_needs_a_group_unless_it_is_of_refused_hosts() {
        assert!(parse("member list").unwrap_err().contains("--group <NAME>"));
        for line in ["member list --refused", "member list --group x", "member list --group x --refused"] {
            assert!(parse(line).is_ok(), "{line}");
        }
        let error = parse("member evict --group x 2001:db8::1").unwrap_err();
        assert!(error.contains("a HIT is written like an IPv6 address"), "{error}");
    }

    #[test]
    fn places_are_shown_where_there_are_some() {
        let member =
            |place: Option<&str>| MemberView { place: place.map(|place| place.parse().unwrap()), ..member() };
        let group: GroupId = "x".parse().unwrap();
        assert!(!members_text(&group, &[member(None)]).contains("PLACE"));
        let text = members_text(&group, &[member(Some("10.1.0.0/16")), member(None)]);
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0][6..8], ["PLACE", "JOINED"]);
        assert_eq!((lines[1][6], lines[2][6]), ("10.1.0.0/16", "-"));
    }

    #[test]
    fn refused_hosts_are_shown_with_the_way_in() {
        let host = RefusedView {
            host: host(),
            group: "x".into(),
            role: None,
            address: None,
            at_us: Time::from_secs(0),
            reason: "not authorised".into(),
            allow_command: Some("claviger member allow --group x 2001:22:1234::1".into()),
            hint: None,
        };
        assert_eq!(
            refused_text(&[host.clone(), host.clone()]),
            "WHEN                         HOST             GROUP  ROLE  ADDRESS  REASON\n\
             1970-01-01T00:00:00.000000Z  2001:22:1234::1  x      -     -        not authorised\n\
             1970-01-01T00:00:00.000000Z  2001:22:1234::1  x      -     -        not authorised\n\n\
             let in with:\n  claviger member allow --group x 2001:22:1234::1"
        );
        let expired = RefusedView {
            reason: "certificate_expired".into(),
            allow_command: None,
            hint: Some("the owner certifies the host anew".into()),
            ..host
        };
        let text = refused_text(&[expired.clone(), expired]);
        assert!(
            text.ends_with("\n\nlet in when:\n  certificate_expired: the owner certifies the host anew"),
            "{text}"
        );
        assert_eq!(refused_text(&[]), "nobody was refused");
    }
}
