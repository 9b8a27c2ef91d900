//! `claviger group`: groups of a running key server.

use std::{net::IpAddr, path::PathBuf};

use clap::{Args, Subcommand};
use claviger_api::{
    GroupAdd, GroupAdded, GroupPolicyOptions, GroupView, OwnerOptions, OwnerView, PlaceOptions, PolicyView,
    name::Name, status::GroupKeys,
};
use claviger_crypto::{cipher::CipherAlgorithm, sign::KeyAlgorithm};
use claviger_group::{Encapsulation, EspTransform, GroupId, KekManagement, PushAuthentication};
use claviger_pki::Certificate;

use crate::{
    certificates,
    cli::{
        globals::Globals,
        value::{lease, milliseconds, name, place, seconds as parse_seconds},
    },
    exit::Outcome,
    output::{self, or_dash, pairs, seconds},
};

/// Makes, shows and removes groups of a running key server.
#[derive(Debug, Subcommand)]
pub(crate) enum GroupCommand {
    /// Makes a group and shows its policy and how hosts join. Nobody may join before `claviger member allow`.
    Add(Box<AddArgs>),
    /// Lists the groups.
    List(ListArgs),
    /// Removes a group: its members delete their keys.
    Remove(OneArgs),
    /// Shows one group: policy, members and keys.
    Show(OneArgs),
}

/// Makes a group.
#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// Name of the group; #1234 or 0x4d2 is a number of four octets
    name: GroupId,
    /// Write JSON
    #[arg(long)]
    json: bool,
    /// Whose certificates let hosts in.
    #[command(flatten)]
    owner: OwnerArgs,
    /// What is chosen about the group.
    #[command(flatten)]
    policy: PolicyArgs,
}

/// Whose certificates let hosts in.
#[derive(Debug, Args)]
struct OwnerArgs {
    /// Let in whom this owner has certified for the group, beside those on the list: the file `owner.pem` of `claviger owner
    /// new`, or the certificates of other CAs, as PEM
    #[arg(long, value_name = "FILE")]
    owner: Option<PathBuf>,
    /// Let in only hosts that are on the list as well
    #[arg(long, requires = "owner")]
    require_list: bool,
    /// Do without lists of revoked certificates: certificates hold until they expire. By default no certificate holds
    /// without a current list in the server's --revocation-lists
    #[arg(long, requires = "owner")]
    without_revocation: bool,
}

impl OwnerArgs {
    /// Reads the owner's file.
    fn read(self) -> Outcome<Option<OwnerOptions>> {
        let Some(file) = self.owner else { return Ok(None) };
        let roots = certificates::roots(&file, certificates::now())?;
        Ok(Some(OwnerOptions {
            roots: roots.iter().map(Certificate::to_pem).collect(),
            require_list: self.require_list,
            without_revocation: self.without_revocation,
        }))
    }
}

/// Lists the groups.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Write JSON
    #[arg(long)]
    json: bool,
}

/// Names one group.
#[derive(Debug, Args)]
pub(crate) struct OneArgs {
    /// Name of the group; #1234 or 0x4d2 is a number of four octets
    name: GroupId,
    /// Write JSON
    #[arg(long)]
    json: bool,
}

/// What may be chosen about a group. Durations are seconds, or have a unit: 500ms, 30s, 15min, 2h, 1d.
#[derive(Debug, Args)]
#[command(next_help_heading = "Policy (durations in seconds, or as 500ms, 30s, 15min, 2h, 1d)")]
struct PolicyArgs {
    /// Multicast address of the data [default: a free one from 239.192.0.0/14]
    #[arg(long, value_name = "ADDR")]
    address: Option<IpAddr>,
    /// The one source of the data, for source-specific multicast [default: any source]
    #[arg(long, value_name = "ADDR")]
    source: Option<IpAddr>,
    /// How ESP travels: in UDP without privilege, or as IP protocol 50; as transport or as tunnel mode [default:
    /// udp-transport]
    #[arg(long, value_name = "MODE", value_parser = name::<Encapsulation>())]
    encapsulation: Option<Encapsulation>,
    /// UDP port of ESP in UDP [default: 4500]
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// UDP destination port inside that the group protects; 0 protects everything sent to the address [default: 0]
    #[arg(long, value_name = "PORT")]
    application_port: Option<u16>,
    /// ESP algorithms [default: aes128-gcm]
    #[arg(long, value_name = "NAME", value_parser = name::<EspTransform>())]
    transform: Option<EspTransform>,
    /// Put up with replays: with AES-CBC in transport mode and any source, whoever recorded a packet can have it accepted
    /// again under another source address, without a key. Such a group is made only with this
    #[arg(long)]
    replayable: bool,
    /// Multicast address of rekey messages [default: the data's]
    #[arg(long, value_name = "ADDR")]
    push_address: Option<IpAddr>,
    /// UDP port of rekey messages [default: the server's GDOI port, or 10848 where that is below 1024 and the
    /// encapsulation needs no privilege]
    #[arg(long, value_name = "PORT")]
    push_port: Option<u16>,
    /// Cipher of the key encryption keys [default: as many bits as the transform]
    #[arg(long, value_name = "NAME", value_parser = name::<CipherAlgorithm>())]
    kek_cipher: Option<CipherAlgorithm>,
    /// Kind of the group's signing key [default: ecdsa-p256]
    #[arg(long, value_name = "NAME", value_parser = name::<KeyAlgorithm>())]
    push_signature: Option<KeyAlgorithm>,
    /// What a signature of rekey messages is over: each message, or the whole rekey [default: batch with lkh-32, message
    /// otherwise]
    #[arg(long, value_name = "WHAT", value_parser = name::<PushAuthentication>())]
    push_authentication: Option<PushAuthentication>,
    /// How the tree's keys travel: lkh as RFC 6407 has it, or lkh-32, an extension for very large groups [default: lkh
    /// where it holds the members]
    #[arg(long, value_name = "NAME", value_parser = name::<KekManagement>())]
    kek_management: Option<KekManagement>,
    /// Degree of the key tree, 2 to 8 [default: 4]
    #[arg(long, value_name = "K")]
    degree: Option<u8>,
    /// The most members that the group admits [default: 10000]
    #[arg(long, value_name = "N")]
    members_max: Option<u32>,
    /// Bits of the IV that name the sender: 8, 12 or 16 [default: 16]
    #[arg(long, value_name = "BITS")]
    sender_id_bits: Option<u8>,
    /// How long a traffic key may be used [default: 1h]
    #[arg(long, value_name = "DURATION", value_parser = parse_seconds::<u32>)]
    tek_lifetime: Option<u32>,
    /// How long after a traffic key the next one follows [default: half its lifetime]
    #[arg(long, value_name = "DURATION", value_parser = parse_seconds::<u32>)]
    tek_rekey: Option<u32>,
    /// How long a key encryption key may be used [default: 1d]
    #[arg(long, value_name = "DURATION", value_parser = parse_seconds::<u32>)]
    kek_lifetime: Option<u32>,
    /// How long after a key encryption key the next one follows [default: half its lifetime]
    #[arg(long, value_name = "DURATION", value_parser = parse_seconds::<u32>)]
    kek_rekey: Option<u32>,
    /// How long senders keep the old traffic key after a new one arrived, and so how long an evicted member can still
    /// read; whole seconds [default: 1s]
    #[arg(long, value_name = "DURATION", value_parser = parse_seconds::<u16>)]
    activation_delay: Option<u16>,
    /// How long receivers keep the old traffic key after a new one arrived; whole seconds [default: 4s more than the
    /// activation delay]
    #[arg(long, value_name = "DURATION", value_parser = parse_seconds::<u16>)]
    deactivation_delay: Option<u16>,
    /// How long senders go on without an answer of the key server, 10s at least and no longer than a traffic key's lifetime,
    /// or off. An eviction is complete no later than this after it, whatever rekey messages were lost; the price is that
    /// senders which have not heard from the key server for this long fall silent. Take 10s and up for a tight bound. With
    /// off, an evicted host can read what a sender that missed the rekey goes on sending, up to the traffic key's lifetime
    /// [default: a sixth of the traffic key's lifetime]
    #[arg(long, value_name = "DURATION|off", value_parser = lease)]
    lease: Option<u32>,
    /// Receivers stop as senders do: a member cut off from the key server reads nothing either once its lease has ended
    #[arg(long)]
    receiver_leases: bool,
    /// How long joins and departures are gathered before the group is rekeyed; 0 rekeys at once, as an eviction always
    /// does [default: 0]
    #[arg(long, value_name = "DURATION", value_parser = milliseconds)]
    batch_interval: Option<u32>,
    /// How many joins and departures are gathered at most, within the batch interval [default: 10000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    batch_max: Option<u32>,
    /// How long a registration lasts unless it is renewed [default: 1d]
    #[arg(long, value_name = "DURATION", value_parser = parse_seconds::<u32>)]
    registration_lifetime: Option<u32>,
    /// A place that the key tree follows: rekey messages that only members with addresses of the prefix need go to an
    /// address of their own [default: a free one], and MEMBERS of them are expected [default: 64]. An extension, with
    /// lkh-32; may be repeated
    #[arg(long, value_name = "PREFIX[=ADDR][,MEMBERS]", value_parser = place)]
    place: Vec<PlaceOptions>,
}

impl From<PolicyArgs> for GroupPolicyOptions {
    fn from(args: PolicyArgs) -> Self {
        Self {
            address: args.address,
            source: args.source,
            encapsulation: args.encapsulation,
            port: args.port,
            application_port: args.application_port,
            transform: args.transform,
            replayable: args.replayable,
            push_address: args.push_address,
            push_port: args.push_port,
            kek_cipher: args.kek_cipher,
            push_signature: args.push_signature,
            push_authentication: args.push_authentication,
            kek_management: args.kek_management,
            degree: args.degree,
            members_max: args.members_max,
            sender_id_bits: args.sender_id_bits,
            tek_lifetime_s: args.tek_lifetime,
            tek_rekey_s: args.tek_rekey,
            kek_lifetime_s: args.kek_lifetime,
            kek_rekey_s: args.kek_rekey,
            activation_delay_s: args.activation_delay,
            deactivation_delay_s: args.deactivation_delay,
            lease_s: args.lease,
            receiver_leases: args.receiver_leases,
            batch_interval_ms: args.batch_interval,
            batch_max: args.batch_max,
            registration_lifetime_s: args.registration_lifetime,
            places: args.place,
        }
    }
}

pub(crate) async fn run(globals: &Globals, command: GroupCommand) -> Outcome {
    let server = globals.server()?;
    match command {
        GroupCommand::Add(args) => {
            let AddArgs { name, json, owner, policy } = *args;
            let add = GroupAdd { name, policy: policy.into(), owner: owner.read()? };
            let added = server.group_add(&add).await?;
            output::print(json, &added, added_text)
        }
        GroupCommand::List(args) => {
            let groups = server.group_list().await?;
            output::print(args.json, &groups, |groups| list_text(groups))
        }
        GroupCommand::Remove(args) => {
            let removed = server.group_remove(&args.name).await?;
            output::print(args.json, &removed, |removed| {
                format!("removed {}; {} members delete their keys", removed.name, removed.members)
            })
        }
        GroupCommand::Show(args) => {
            let group = server.group_show(&args.name).await?;
            output::print(args.json, &group, group_text)
        }
    }
}

fn added_text(added: &GroupAdded) -> String {
    let mut text = format!("made group {}\n\n{}\n", added.group.name, policy_text(&added.group.policy));
    if let Some(owner) = &added.group.owner {
        text.push_str(&format!("\n{}\n", owner_text(owner)));
    }
    for need in &added.member_needs {
        text.push_str(&format!("\nneeded: {need}"));
    }
    text.push_str(&format!("\nA host joins with:\n  {}", added.join_command));
    let certify = format!("claviger owner certify HOST_KEY.pem --group {} --role receiver", added.group.name);
    text.push_str(&match &added.group.owner {
        None => format!("\nand is let in with:\n  {}", added.allow_command),
        Some(owner) if owner.require_list => {
            format!(
                " --certificate FILE\nand is let in with both:\n  {}\n  {certify}, by the owner",
                added.allow_command
            )
        }
        Some(_) => format!(
            " --certificate FILE\nand is let in with:\n  {certify}, by the owner\nor without a certificate:\n  {}",
            added.allow_command
        ),
    });
    text
}

fn list_text(groups: &[GroupView]) -> String {
    let rows = groups.iter().map(|group| {
        [
            group.name.to_string(),
            group.policy.address.to_string(),
            transform_text(&group.policy),
            group.policy.encapsulation.name().to_owned(),
            group.members.to_string(),
            group.allowed.to_string(),
        ]
    });
    let header = ["GROUP", "ADDRESS", "TRANSFORM", "ENCAPSULATION", "MEMBERS", "ALLOWED"];
    output::table(header, rows.collect(), "no groups; make one with: claviger group add NAME")
}

fn group_text(group: &GroupView) -> String {
    let members = format!("{} of {} allowed, {} may send", group.members, group.allowed, group.senders);
    let mut head = pairs(vec![("group", group.name.to_string()), ("members", members)]);
    if let Some(owner) = &group.owner {
        head.push_str(&format!("\n\n{}", owner_text(owner)));
    }
    format!("{head}\n\n{}\n\n{}", policy_text(&group.policy), keys_text(&group.keys))
}

fn owner_text(owner: &OwnerView) -> String {
    let roots = owner.roots.iter();
    let roots = roots.map(|root| format!("{}, until {}", root.subject, output::instant(root.until_us)));
    let admits = match owner.require_list {
        true => "who is on the list and has a certificate",
        false => "who is on the list, or has a certificate",
    };
    let revocation = match owner.without_revocation {
        true => "not asked for: a certificate holds until it expires",
        false => "a current list is needed",
    };
    pairs(vec![
        ("owner", roots.collect::<Vec<_>>().join("; ")),
        ("admits", admits.to_owned()),
        ("revocation", revocation.to_owned()),
    ])
}

fn policy_text(policy: &PolicyView) -> String {
    let push_port = policy.push_port.map_or("the GDOI port".to_owned(), |port| format!("port {port}"));
    let inside = match policy.application_port {
        0 => "everything sent to the address".to_owned(),
        port => format!("UDP port {port}"),
    };
    let interval = output::duration(std::time::Duration::from_millis(policy.batch_interval_ms));
    let batch = match policy.batch_interval_ms {
        0 => interval,
        _ => format!("{interval}, or {} joins and departures", policy.batch_max),
    };
    let every =
        |lifetime: u64, rekey: u64| format!("{}, replaced every {}", seconds(lifetime), seconds(rekey));
    let text = pairs(vec![
        ("address", policy.address.to_string()),
        ("source", policy.source.map_or("any".to_owned(), |source| source.to_string())),
        ("protects", inside),
        ("transform", transform_text(policy)),
        ("encapsulation", format!("{}, port {}", policy.encapsulation.name(), policy.port)),
        ("rekey messages", format!("{}, {push_port}", policy.push_address)),
        (
            "signed",
            format!("each {}, by {}", policy.push_authentication.name(), policy.push_signature.name()),
        ),
        ("KEK cipher", policy.kek_cipher.name().to_owned()),
        ("KEK management", policy.kek_management.name().to_owned()),
        ("tree degree", policy.degree.to_string()),
        ("members at most", policy.members_max.to_string()),
        ("sender id bits", policy.sender_id_bits.to_string()),
        ("TEK lifetime", every(policy.tek_lifetime_s, policy.tek_rekey_s)),
        ("KEK lifetime", every(policy.kek_lifetime_s, policy.kek_rekey_s)),
        ("activation delay", seconds(policy.activation_delay_s)),
        ("deactivation delay", seconds(policy.deactivation_delay_s)),
        ("lease", lease_text(policy)),
        ("batch interval", batch),
        ("registration lifetime", seconds(policy.registration_lifetime_s)),
    ]);
    if policy.places.is_empty() {
        return text;
    }
    let rows = policy
        .places
        .iter()
        .map(|place| [place.prefix.to_string(), place.push_address.to_string(), place.members.to_string()]);
    let header = ["PLACE", "REKEY MESSAGES", "MEMBERS EXPECTED"];
    format!("{text}\n\n{}", output::table(header, rows.collect(), "no places"))
}

fn transform_text(policy: &PolicyView) -> String {
    let name = policy.transform.name();
    if policy.replayable { format!("{name}, replayable") } else { name.to_owned() }
}

fn lease_text(policy: &PolicyView) -> String {
    let who = match (policy.lease_s, policy.receiver_leases) {
        (0, _) => {
            let lifetime = seconds(policy.tek_lifetime_s);
            return format!(
                "off; an evicted host can read what a sender that missed the rekey sends, for up to {lifetime}"
            );
        }
        (_, false) => "senders",
        (_, true) => "senders and receivers",
    };
    format!("{who} stop {} after the key server last answered", seconds(policy.lease_s))
}

/// Writes the keys in force, by name and number.
pub(crate) fn keys_text(keys: &GroupKeys) -> String {
    let epoch = match keys.epoch {
        Some(epoch) => pairs(vec![
            ("KEK", format!("{:032x}, push {}", u128::from_be_bytes(epoch.kek_spi), epoch.sequence)),
            ("KEK age", format!("{} of {}", seconds(epoch.age_s), seconds(epoch.lifetime_s))),
        ]),
        None => "no KEK yet".to_owned(),
    };
    let rows = keys.sas.iter().map(|sa| {
        [
            sa.spi.clone(),
            sa.transform.name().to_owned(),
            sa.state.name().to_owned(),
            seconds(sa.age_s),
            seconds(sa.lifetime_s),
            or_dash(sa.datagrams),
        ]
    });
    let header = ["SPI", "TRANSFORM", "STATE", "AGE", "LIFETIME", "DATAGRAMS"];
    format!("{epoch}\n{}", output::table(header, rows.collect(), "no data SAs yet"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use claviger_api::CertifiedView;
    use claviger_sansio::Time;

    use super::*;

    #[derive(Debug, Parser)]
    struct Add {
        #[command(flatten)]
        args: AddArgs,
    }

    fn parse(line: &str) -> Result<(GroupId, GroupPolicyOptions), String> {
        let add = Add::try_parse_from(line.split_whitespace()).map_err(|error| error.to_string())?;
        Ok((add.args.name, add.args.policy.into()))
    }

    #[test]
    fn a_name_is_enough() {
        assert_eq!(parse("add market"), Ok(("market".parse().unwrap(), GroupPolicyOptions::default())));
    }

    #[test]
    fn every_option_reaches_the_request() {
        let (_, options) = parse(
            "add x --address ff15::7 --source 2001:db8::1 --encapsulation tunnel --port 4600 \
             --application-port 5000 --transform aes256-cbc-sha256 --replayable --push-address ff15::8 --push-port 1848 \
             --kek-cipher aes256-cbc --push-signature eddsa --push-authentication batch --kek-management lkh-32 --degree 3 --members-max 9 --sender-id-bits 8 \
             --tek-lifetime 2h --tek-rekey 1h --kek-lifetime 2d --kek-rekey 1d --activation-delay 2 \
             --deactivation-delay 3s --lease 1min --receiver-leases --batch-interval 250ms --batch-max 77 --registration-lifetime 10min \
             --place 10.1.0.0/16 --place 10.2.0.0/16=239.192.1.2,500",
        )
        .unwrap();
        let expected = GroupPolicyOptions {
            address: Some("ff15::7".parse().unwrap()),
            source: Some("2001:db8::1".parse().unwrap()),
            encapsulation: Some(Encapsulation::Tunnel),
            port: Some(4600),
            application_port: Some(5000),
            transform: Some(EspTransform::Aes256CbcHmacSha256),
            replayable: true,
            push_address: Some("ff15::8".parse().unwrap()),
            push_port: Some(1848),
            kek_cipher: Some(CipherAlgorithm::Aes256Cbc),
            push_signature: Some(KeyAlgorithm::Ed25519),
            push_authentication: Some(PushAuthentication::Batch),
            kek_management: Some(KekManagement::Lkh32),
            degree: Some(3),
            members_max: Some(9),
            sender_id_bits: Some(8),
            tek_lifetime_s: Some(7200),
            tek_rekey_s: Some(3600),
            kek_lifetime_s: Some(172_800),
            kek_rekey_s: Some(86_400),
            activation_delay_s: Some(2),
            deactivation_delay_s: Some(3),
            lease_s: Some(60),
            receiver_leases: true,
            batch_interval_ms: Some(250),
            batch_max: Some(77),
            registration_lifetime_s: Some(600),
            places: ["10.1.0.0/16", "10.2.0.0/16=239.192.1.2,500"].map(|text| place(text).unwrap()).into(),
        };
        assert_eq!(options, expected);
    }

    #[test]
    fn says_which_option_is_wrong_and_why() {
        for (line, option, sentence) in [
            ("add x --transform des", "--transform <NAME>", "possible values: aes128-gcm, aes256-gcm"),
            ("add x --lease never", "--lease <DURATION|off>", "`never` is no duration"),
            ("add x --tek-lifetime long", "--tek-lifetime <DURATION>", "`long` is no duration"),
            (
                "add x --activation-delay 500ms",
                "--activation-delay <DURATION>",
                "not a whole number of seconds",
            ),
            (
                "add x --place 10.1.0.0",
                "--place <PREFIX[=ADDR][,MEMBERS]>",
                "a prefix is written ADDR/LENGTH",
            ),
            ("add x --address here", "--address <ADDR>", "invalid IP address"),
            ("add 0xzz", "<NAME>", "a group number is # and a decimal"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(option) && error.contains(sentence), "{error}");
        }
    }

    fn view() -> GroupView {
        let policy = GroupPolicyOptions::default().resolve("239.192.0.1".parse().unwrap()).unwrap();
        GroupView {
            name: "market".parse().unwrap(),
            policy: PolicyView::from(&policy),
            allowed: 3,
            members: 2,
            senders: 1,
            owner: None,
            keys: GroupKeys::default(),
        }
    }

    #[test]
    fn a_new_group_shows_its_policy_and_how_hosts_join() {
        let text = added_text(&GroupAdded {
            group: view(),
            join_command: "claviger join --server HIT@192.0.2.1 --group market".into(),
            allow_command: "claviger member allow --group market HIT".into(),
            member_needs: vec!["patience".into()],
        });
        assert_eq!(
            text,
            "made group market\n\n\
             address:                239.192.0.1\n\
             source:                 any\n\
             protects:               everything sent to the address\n\
             transform:              aes128-gcm\n\
             encapsulation:          udp-transport, port 4500\n\
             rekey messages:         239.192.0.1, the GDOI port\n\
             signed:                 each message, by ecdsa-p256\n\
             KEK cipher:             aes128-cbc\n\
             KEK management:         lkh\n\
             tree degree:            4\n\
             members at most:        10000\n\
             sender id bits:         16\n\
             TEK lifetime:           1 h, replaced every 30 min\n\
             KEK lifetime:           1 d, replaced every 12 h\n\
             activation delay:       1 s\n\
             deactivation delay:     5 s\n\
             lease:                  senders stop 10 min after the key server last answered\n\
             batch interval:         0 s\n\
             registration lifetime:  1 d\n\n\
             needed: patience\n\
             A host joins with:\n  claviger join --server HIT@192.0.2.1 --group market\n\
             and is let in with:\n  claviger member allow --group market HIT"
        );
    }

    fn owner(require_list: bool, without_revocation: bool) -> OwnerView {
        let root = CertifiedView { subject: "O=Example".into(), until_us: Time::from_secs(0) };
        OwnerView { roots: vec![root], require_list, without_revocation }
    }

    #[test]
    fn a_group_shows_its_owner_and_whom_that_lets_in() {
        let group = GroupView { owner: Some(owner(false, false)), ..view() };
        let text = group_text(&group);
        let shown = "\n\nowner:       O=Example, until 1970-01-01T00:00:00.000000Z\n\
                     admits:      who is on the list, or has a certificate\n\
                     revocation:  a current list is needed\n\n";
        assert!(text.contains(shown), "{text}");
        let added = |owner| {
            added_text(&GroupAdded {
                group: GroupView { owner: Some(owner), ..view() },
                join_command: "claviger join".into(),
                allow_command: "claviger member allow".into(),
                member_needs: vec![],
            })
        };
        let text = added(owner(true, true));
        assert!(
            text.contains("revocation:  not asked for: a certificate holds until it expires\n"),
            "{text}"
        );
        let certify = "claviger owner certify HOST_KEY.pem --group market --role receiver, by the owner";
        let both = format!(
            "claviger join --certificate FILE\nand is let in with both:\n  claviger member allow\n  {certify}"
        );
        assert!(text.ends_with(&both), "{text}");
        let text = added(owner(false, false));
        let either =
            format!("is let in with:\n  {certify}\nor without a certificate:\n  claviger member allow");
        assert!(text.ends_with(&either), "{text}");
    }

    #[test]
    fn an_owners_options_need_an_owner() {
        for option in ["--require-list", "--without-revocation"] {
            let error = parse(&format!("add x {option}")).unwrap_err();
            assert!(error.contains("--owner <FILE>"), "{error}");
            assert!(parse(&format!("add x --owner o.pem {option}")).is_ok());
        }
    }

    #[test]
    fn a_lease_says_who_stops_and_off_says_its_price() {
        let text = |line: &str| {
            let (_, options) = parse(line).unwrap();
            lease_text(&PolicyView::from(&options.resolve("239.192.0.1".parse().unwrap()).unwrap()))
        };
        assert_eq!(
            text("add x --lease 10s --receiver-leases"),
            "senders and receivers stop 10 s after the key server last answered"
        );
        assert_eq!(
            text("add x --lease off --tek-lifetime 2h"),
            "off; an evicted host can read what a sender that missed the rekey sends, for up to 2 h"
        );
    }

    #[test]
    fn places_are_a_table_of_their_own() {
        let (_, mut options) =
            parse("add x --kek-management lkh-32 --place 10.1.0.0/16=239.192.1.2,500").unwrap();
        options.places.push(place("10.2.0.0/16=239.192.1.3").unwrap());
        let policy = options.resolve("239.192.0.1".parse().unwrap()).unwrap();
        let text = policy_text(&PolicyView::from(&policy));
        assert!(
            text.ends_with(
                "\n\nPLACE        REKEY MESSAGES  MEMBERS EXPECTED\n\
                 10.1.0.0/16  239.192.1.2     500\n\
                 10.2.0.0/16  239.192.1.3     64"
            ),
            "{text}"
        );
    }

    #[test]
    fn a_replayable_group_shows_that_it_is_one() {
        let mut group = view();
        (group.policy.transform, group.policy.replayable) = (EspTransform::Aes128CbcHmacSha256, true);
        let row = "market  239.192.0.1  aes128-cbc-sha256, replayable  udp-transport  2        3";
        assert!(list_text(std::slice::from_ref(&group)).ends_with(row));
        assert!(group_text(&group).contains("transform:              aes128-cbc-sha256, replayable\n"));
    }

    #[test]
    fn lists_are_tables() {
        assert_eq!(
            list_text(&[view()]),
            "GROUP   ADDRESS      TRANSFORM   ENCAPSULATION  MEMBERS  ALLOWED\n\
             market  239.192.0.1  aes128-gcm  udp-transport  2        3"
        );
        assert_eq!(list_text(&[]), "no groups; make one with: claviger group add NAME");
    }
}
