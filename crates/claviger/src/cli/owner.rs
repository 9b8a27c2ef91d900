//! `claviger owner`: who may join, by the word of a group owner.

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, Subcommand};
use claviger_api::name::Name;
use claviger_crypto::sign::{CertificateKey, KeyAlgorithm, PublicKey};
use claviger_group::{GroupId, id::IdType};
use claviger_pki::{Certificate, GeneralName, GroupRight, GroupRights, Roles, public_key};
use serde::Serialize;

use crate::{
    certificates,
    cli::{globals::Globals, value},
    exit::{Exit, Failure, Outcome},
    identity_file::ALGORITHM_DEFAULT,
    output::{self, instant_at, pairs},
    owner::{
        Issued, NewCertificate, NewOwner, Owner, OwnerDirectory, RevocationList, Revoked, Shown, hexadecimal,
    },
    public_file,
    settings::new_key::NewKey,
};

/// Makes a group owner, who says by certificates which hosts may join which groups, and takes that back.
#[derive(Debug, Subcommand)]
pub(crate) enum OwnerCommand {
    /// Makes an owner: a key, a certificate that key servers and hosts are given, and an empty list of revoked certificates.
    New(NewArgs),
    /// Certifies a host: what it may be, in which groups.
    Certify(CertifyArgs),
    /// Revokes certificates and signs the list of them anew. Key servers must be given the new list.
    Revoke(RevokeArgs),
    /// Signs the list of revoked certificates anew, before it grows too old to hold. Key servers must be given the new list.
    Lists(ListsArgs),
    /// Shows what was issued, to whom, for which groups, until when, and what was revoked.
    Show(ShowArgs),
}

/// Where the owner is.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct DirectoryArgs {
    /// The owner's directory [default: owner, in the state directory]
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Write JSON
    #[arg(long)]
    json: bool,
}

/// Makes an owner.
#[derive(Debug, PartialEq, Args)]
pub(crate) struct NewArgs {
    /// Name of the owner, such as O=Example or CN=Radio,O=Example
    #[arg(long, value_name = "NAME", value_parser = value::subject)]
    subject: String,
    /// Kind of key
    #[arg(long, value_name = "NAME", default_value = ALGORITHM_DEFAULT.name(), value_parser = value::name::<KeyAlgorithm>())]
    algorithm: KeyAlgorithm,
    /// Key in a PKCS #11 token that the owner is to sign with, by its URI (docs/tokens.md), in place of a new one
    #[arg(long, value_name = "URI", conflicts_with = "algorithm")]
    key: Option<String>,
    /// How long the owner's certificate holds, and no certificate of a host longer
    #[arg(long, value_name = "DURATION", default_value = "10y", value_parser = value::lifetime)]
    lifetime: Duration,
    /// How long the list of revoked certificates holds, and each that follows unless told otherwise
    #[arg(long, value_name = "DURATION", default_value = "30d", value_parser = value::lifetime)]
    list_lifetime: Duration,
    /// Where, and how it is shown.
    #[command(flatten)]
    directory: DirectoryArgs,
}

/// Certifies a host.
#[derive(Debug, PartialEq, Args)]
pub(crate) struct CertifyArgs {
    /// File with the host's public key, as `claviger identity show --public` writes it there; - is standard input
    #[arg(value_name = "HOST_KEY.pem")]
    key: PathBuf,
    /// Group, by name; may be repeated
    #[arg(long, value_name = "NAME", required = true)]
    group: Vec<GroupId>,
    /// What the host may be: receiver, sender, both, key-server, or several with commas. Given once it is for all groups;
    /// otherwise once for each, in their order
    #[arg(long, value_name = "ROLE", required = true, value_parser = value::roles)]
    role: Vec<Roles>,
    /// Name of the host, such as CN=studio-1,O=Example [default: CN= and its HIT]
    #[arg(long, value_name = "NAME", value_parser = value::subject)]
    subject: Option<String>,
    /// How long the certificate holds; never longer than the owner's
    #[arg(long, value_name = "DURATION", default_value = "90d", value_parser = value::lifetime)]
    lifetime: Duration,
    /// Write the certificate to this file too, in place of what is there [default: only the owner's directory has it]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Where, and how it is shown.
    #[command(flatten)]
    directory: DirectoryArgs,
}

/// Revokes certificates.
#[derive(Debug, PartialEq, Args)]
pub(crate) struct RevokeArgs {
    /// Certificates, each by its file or by its serial number
    #[arg(value_name = "FILE|SERIAL", required = true)]
    which: Vec<String>,
    /// How long the new list holds [default: as long as the last one did]
    #[arg(long, value_name = "DURATION", value_parser = value::lifetime)]
    list_lifetime: Option<Duration>,
    /// Where, and how it is shown.
    #[command(flatten)]
    directory: DirectoryArgs,
}

/// Signs the list anew.
#[derive(Debug, PartialEq, Args)]
pub(crate) struct ListsArgs {
    /// How long the new list holds [default: as long as the last one did]
    #[arg(long, value_name = "DURATION", value_parser = value::lifetime)]
    list_lifetime: Option<Duration>,
    /// Where, and how it is shown.
    #[command(flatten)]
    directory: DirectoryArgs,
}

/// Shows an owner.
#[derive(Debug, PartialEq, Args)]
pub(crate) struct ShowArgs {
    /// Where, and how it is shown.
    #[command(flatten)]
    directory: DirectoryArgs,
}

/// What a group lets a host be.
#[derive(Debug, Clone, Serialize)]
struct RightView {
    group: String,
    roles: Vec<&'static str>,
}

/// Whether a certificate holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Standing {
    Expired,
    Revoked,
    Valid,
}

/// A certificate of a host.
#[derive(Debug, Clone, Serialize)]
struct CertificateView {
    serial: String,
    subject: Option<String>,
    hit: Option<String>,
    rights: Vec<RightView>,
    standing: Standing,
    until_us: Option<u64>,
    revoked_at_us: Option<u64>,
    file: Option<String>,
}

/// The list of revoked certificates.
#[derive(Debug, Clone, Serialize)]
struct ListView {
    number: u64,
    revoked: usize,
    until_us: u64,
    file: String,
}

/// An owner, and what it has issued.
#[derive(Debug, Clone, Serialize)]
struct OwnerView {
    subject: String,
    until_us: u64,
    file: String,
    list: ListView,
    issued: Vec<CertificateView>,
}

/// Certificates that are revoked.
#[derive(Debug, Clone, Serialize)]
struct RevokedView {
    revoked: Vec<RevokedCertificateView>,
    list: ListView,
}

#[derive(Debug, Clone, Serialize)]
struct RevokedCertificateView {
    serial: String,
    revoked_at_us: u64,
    was_revoked: bool,
}

pub(crate) fn run(globals: &Globals, command: OwnerCommand) -> Outcome {
    let now = certificates::now();
    match command {
        OwnerCommand::New(args) => {
            let directory = args.directory.find(globals)?;
            let NewArgs { subject, algorithm, key, lifetime, list_lifetime, .. } = args;
            let key = NewKey::of(key, algorithm);
            drop(directory.create(&NewOwner { subject, key, lifetime, list_lifetime }, now)?);
            let view = OwnerView::new(&directory, &directory.show()?, now);
            output::print(args.directory.json, &view, made_text)
        }
        OwnerCommand::Certify(args) => certify(globals, args, now),
        OwnerCommand::Revoke(args) => {
            let directory = args.directory.find(globals)?;
            let owner = directory.open("claviger owner revoke")?;
            let (revoked, list) = owner.revoke(&args.which, now, args.list_lifetime)?;
            let view = RevokedView {
                revoked: revoked.iter().map(RevokedCertificateView::from).collect(),
                list: ListView::new(&directory, &list),
            };
            output::print(args.directory.json, &view, revoked_text)
        }
        OwnerCommand::Lists(args) => {
            let directory = args.directory.find(globals)?;
            let list = directory.open("claviger owner lists")?.renew_list(now, args.list_lifetime)?;
            output::print(args.directory.json, &ListView::new(&directory, &list), list_text)
        }
        OwnerCommand::Show(args) => {
            let directory = args.directory.find(globals)?;
            let view = OwnerView::new(&directory, &directory.show()?, now);
            output::print(args.directory.json, &view, |view| owner_text(view, micros(now)))
        }
    }
}

fn certify(globals: &Globals, args: CertifyArgs, now: u64) -> Outcome {
    let directory = args.directory.find(globals)?;
    let rights = rights(&args.group, &args.role)?;
    let key = read_key(&args.key)?;
    let owner = directory.open("claviger owner certify")?;
    let new = NewCertificate { key, subject: args.subject, rights, lifetime: args.lifetime };
    let issued = owner.certify(&new, now)?;
    if let Some(out) = &args.out {
        Owner::hand_out(&issued, out)?;
    }
    let view = CertificateView::new(&issued, &RevocationList::default(), now);
    output::print(args.directory.json, &view, certificate_text)
}

impl DirectoryArgs {
    fn find(&self, globals: &Globals) -> Outcome<OwnerDirectory> {
        Ok(OwnerDirectory::new(match &self.directory {
            Some(directory) => directory.clone(),
            None => globals.paths()?.state_dir.join("owner"),
        }))
    }
}

/// Counts seconds as microseconds, as all instants of answers are.
fn micros(seconds: u64) -> u64 {
    seconds.saturating_mul(1_000_000)
}

/// Gives each group its roles.
fn rights(groups: &[GroupId], roles: &[Roles]) -> Outcome<GroupRights> {
    let wrong = |message: String| Failure::new(Exit::Usage, message);
    if roles.len() != 1 && roles.len() != groups.len() {
        let message = format!(
            "there are {} groups and {} roles: give --role once for all of them, or once for each",
            groups.len(),
            roles.len()
        );
        return Err(wrong(message));
    }
    let right = |(group, roles): (&GroupId, &Roles)| GroupRight {
        id_type: group.id_type().0,
        group_id: group.octets().to_vec(),
        roles: *roles,
    };
    let rights = groups.iter().zip(roles.iter().cycle()).map(right).collect();
    GroupRights::new(rights).map_err(|error| wrong(format!("the certificate {error}")))
}

/// Reads a host's public key.
fn read_key(path: &Path) -> Outcome<PublicKey> {
    let octets = if path == Path::new("-") {
        let mut octets = Vec::new();
        io::stdin().lock().take(STANDARD_INPUT_MAX).read_to_end(&mut octets)?;
        octets
    } else {
        public_file::read_trusted(path)?.ok_or_else(|| {
            Failure::new(Exit::Configuration, format!("there is no file {}", path.display()))
        })?
    };
    let hint = "claviger identity show --public, on the host";
    let key = public_key::from_pem(&octets)
        .map_err(|error| public_file::unusable(path, "holds no public key", &error).hint(hint))?;
    match key {
        Some(CertificateKey::Signing(key)) => Ok(key),
        Some(CertificateKey::EcdsaP521(_)) | None => {
            let message = format!("{} holds a public key of a kind that no host has", path.display());
            Err(Failure::new(Exit::Configuration, message).hint(hint))
        }
    }
}

/// The most octets that are read of standard input: the largest key has a fifth.
const STANDARD_INPUT_MAX: u64 = 16 * 1024;

impl OwnerView {
    fn new(directory: &OwnerDirectory, shown: &Shown, now: u64) -> Self {
        let Shown { certificate, issued, list } = shown;
        let mut views: Vec<_> = issued.iter().map(|issued| CertificateView::new(issued, list, now)).collect();
        let is_kept = |number: &Vec<u8>| {
            issued.iter().any(|issued| issued.certificate.serial_number() == number.as_slice())
        };
        let lost = list.revoked.iter().filter(|(number, _)| !is_kept(number));
        views.extend(lost.map(|(number, since)| CertificateView::of_lost(number, *since)));
        Self {
            subject: certificate.subject().to_string(),
            until_us: micros(certificate.not_after()),
            file: directory.certificate_file().display().to_string(),
            list: ListView::new(directory, list),
            issued: views,
        }
    }
}

impl CertificateView {
    fn new(issued: &Issued, list: &RevocationList, now: u64) -> Self {
        let Issued { certificate, file } = issued;
        let revoked_at = list.revoked.get(certificate.serial_number());
        Self {
            serial: hexadecimal(certificate.serial_number()),
            subject: Some(certificate.subject().to_string()),
            hit: certified_hit(certificate),
            rights: certificate.extensions().group_rights().map(right_views).unwrap_or_default(),
            standing: match revoked_at {
                Some(_) => Standing::Revoked,
                None if certificate.not_after() < now => Standing::Expired,
                None => Standing::Valid,
            },
            until_us: Some(micros(certificate.not_after())),
            revoked_at_us: revoked_at.map(|since| micros(*since)),
            file: Some(file.display().to_string()),
        }
    }

    /// Shows a certificate of which nothing is left but that it was revoked.
    fn of_lost(serial_number: &[u8], since: u64) -> Self {
        Self {
            serial: hexadecimal(serial_number),
            subject: None,
            hit: None,
            rights: Vec::new(),
            standing: Standing::Revoked,
            until_us: None,
            revoked_at_us: Some(micros(since)),
            file: None,
        }
    }
}

impl ListView {
    fn new(directory: &OwnerDirectory, list: &RevocationList) -> Self {
        Self {
            number: list.number,
            revoked: list.revoked.len(),
            until_us: micros(list.next_update),
            file: directory.list_file().display().to_string(),
        }
    }
}

impl From<&Revoked> for RevokedCertificateView {
    fn from(revoked: &Revoked) -> Self {
        Self {
            serial: hexadecimal(&revoked.serial_number),
            revoked_at_us: micros(revoked.since),
            was_revoked: !revoked.is_new,
        }
    }
}

fn certified_hit(certificate: &Certificate) -> Option<String> {
    certificate.extensions().subject_alternative_names().iter().find_map(|name| match name {
        GeneralName::Ip(address) => Some(address.to_string()),
        GeneralName::Directory(_)
        | GeneralName::Dns(_)
        | GeneralName::Mail(_)
        | GeneralName::Other(_)
        | GeneralName::Uri(_) => None,
    })
}

fn right_views(rights: &GroupRights) -> Vec<RightView> {
    let view = |right: &GroupRight| {
        let group = GroupId::new(IdType(right.id_type), right.group_id.clone());
        RightView {
            group: group.map_or_else(|_| "-".to_owned(), |group| group.to_string()),
            roles: role_names(right.roles),
        }
    };
    rights.rights().iter().map(view).collect()
}

fn role_names(roles: Roles) -> Vec<&'static str> {
    let member = match (roles.receiver, roles.sender) {
        (true, true) => Some("both"),
        (true, false) => Some("receiver"),
        (false, true) => Some("sender"),
        (false, false) => None,
    };
    member.into_iter().chain(roles.key_server.then_some("key-server")).collect()
}

fn made_text(view: &OwnerView) -> String {
    format!(
        "made the owner {}\n\n{}\n\nA key server is given both files; a group of this owner is made with:\n  \
         claviger group add NAME --owner {}",
        view.subject,
        pairs(vec![
            ("certificate", view.file.clone()),
            ("holds until", instant_at(view.until_us)),
            ("revocation list", view.list.file.clone()),
            ("it holds until", instant_at(view.list.until_us)),
        ]),
        claviger_api::command::quoted(&view.file)
    )
}

fn certificate_text(view: &CertificateView) -> String {
    let until = view.until_us.map(instant_at);
    pairs(vec![
        ("serial", view.serial.clone()),
        ("subject", output::or_dash(view.subject.as_deref())),
        ("HIT", output::or_dash(view.hit.as_deref())),
        ("groups", rights_text(&view.rights)),
        ("holds until", output::or_dash(until)),
        ("file", output::or_dash(view.file.as_deref())),
    ])
}

fn rights_text(rights: &[RightView]) -> String {
    if rights.is_empty() {
        return "-".to_owned();
    }
    let text = |right: &RightView| format!("{} ({})", right.group, right.roles.join(", "));
    rights.iter().map(text).collect::<Vec<_>>().join(", ")
}

fn revoked_text(view: &RevokedView) -> String {
    let line = |revoked: &RevokedCertificateView| match revoked.was_revoked {
        false => format!("revoked {}", revoked.serial),
        true => format!("{} was revoked already, at {}", revoked.serial, instant_at(revoked.revoked_at_us)),
    };
    let lines: Vec<String> = view.revoked.iter().map(line).collect();
    format!("{}\n{}", lines.join("\n"), list_text(&view.list))
}

fn list_text(list: &ListView) -> String {
    format!(
        "revocation list {}, of {} certificates, holds until {}; give it to the key servers: {}",
        list.number,
        list.revoked,
        instant_at(list.until_us),
        list.file
    )
}

fn owner_text(view: &OwnerView, now: u64) -> String {
    let head = pairs(vec![
        ("owner", view.subject.clone()),
        ("certificate", view.file.clone()),
        ("holds until", instant_at(view.until_us)),
        (
            "revocation list",
            format!("{}, number {}, {} revoked", view.list.file, view.list.number, view.list.revoked),
        ),
        ("it holds until", output::instant_at_seen_from(now, view.list.until_us)),
    ]);
    let rows = view.issued.iter().map(|issued| {
        [
            issued.serial.clone(),
            output::or_dash(issued.subject.as_deref()),
            output::or_dash(issued.hit.as_deref()),
            rights_text(&issued.rights),
            output::or_dash(issued.until_us.map(instant_at)),
            standing_text(issued),
        ]
    });
    let header = ["SERIAL", "SUBJECT", "HIT", "GROUPS", "UNTIL", "STANDING"];
    let nothing = "nothing was issued; certify a host with: claviger owner certify HOST_KEY.pem";
    format!("{head}\n\n{}", output::table(header, rows.collect(), nothing))
}

fn standing_text(view: &CertificateView) -> String {
    match (view.standing, view.revoked_at_us) {
        (Standing::Expired, _) => "expired".to_owned(),
        (Standing::Revoked, Some(at)) => format!("revoked {}", instant_at(at)),
        (Standing::Revoked, None) => "revoked".to_owned(),
        (Standing::Valid, _) => "valid".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Owner {
        #[command(subcommand)]
        command: OwnerCommand,
    }

    fn parse(line: &str) -> Result<OwnerCommand, String> {
        let owner = Owner::try_parse_from(line.split(' '));
        owner.map(|owner| owner.command).map_err(|error| error.to_string())
    }

    fn certify(line: &str) -> Outcome<GroupRights> {
        let Ok(OwnerCommand::Certify(args)) = parse(&format!("owner certify k.pem {line}")) else {
            panic!("{line}")
        };
        rights(&args.group, &args.role)
    }

    #[test]
    fn a_name_is_enough_for_an_owner() {
        let Ok(OwnerCommand::New(args)) = parse("owner new --subject O=Example") else { panic!() };
        let expected = NewArgs {
            subject: "O=Example".into(),
            algorithm: KeyAlgorithm::EcdsaP256,
            key: None,
            lifetime: Duration::from_secs(315_360_000),
            list_lifetime: Duration::from_secs(2_592_000),
            directory: DirectoryArgs { directory: None, json: false },
        };
        assert_eq!(args, expected);
    }

    #[test]
    fn roles_are_for_all_groups_or_one_for_each() {
        let receiver = Roles { receiver: true, ..Roles::NONE };
        let both = Roles { sender: true, ..receiver };
        let roles =
            |rights: &GroupRights| -> Vec<Roles> { rights.rights().iter().map(|r| r.roles).collect() };
        let all = certify("--group a --group b --role receiver").unwrap();
        assert_eq!(roles(&all), [receiver, receiver]);
        let each = certify("--group a --role both,key-server --group #7 --role receiver").unwrap();
        assert_eq!(roles(&each), [Roles { key_server: true, ..both }, receiver]);
        assert_eq!(each.rights()[1].group_id, [0, 0, 0, 7]);
        let failure = certify("--group a --group b --group c --role both --role both").unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.message.starts_with("there are 3 groups and 2 roles"), "{}", failure.message);
        let failure = certify("--group a --group a --role both").unwrap_err();
        assert_eq!(failure.message, "the certificate names a group twice");
    }

    #[test]
    fn says_which_option_is_wrong_and_why() {
        for (line, option, sentence) in [
            ("owner new", "--subject <NAME>", "required"),
            ("owner new --subject Example", "--subject <NAME>", "not of the form CN=host,O=organisation"),
            ("owner new --subject O=x --lifetime long", "--lifetime <DURATION>", "`long` is no duration"),
            ("owner new --subject O=x --lifetime 0", "--lifetime <DURATION>", "must be longer than that"),
            ("owner certify k.pem --role both", "--group <NAME>", "required"),
            ("owner certify k.pem --group a", "--role <ROLE>", "required"),
            (
                "owner certify k.pem --group a --role boss",
                "--role <ROLE>",
                "a role is receiver, sender, both",
            ),
            ("owner revoke", "<FILE|SERIAL>", "required"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(option) && error.contains(sentence), "{line}: {error}");
        }
    }

    #[test]
    fn roles_are_shown_as_they_are_asked_for() {
        for (text, names) in [
            ("receiver", &["receiver"][..]),
            ("sender,receiver", &["both"]),
            ("key-server", &["key-server"]),
            ("sender,key-server", &["sender", "key-server"]),
        ] {
            assert_eq!(role_names(value::roles(text).unwrap()), names, "{text}");
        }
    }

    fn list() -> ListView {
        ListView { number: 2, revoked: 1, until_us: micros(86_400), file: "owner.crl".into() }
    }

    #[test]
    fn what_was_issued_is_a_table() {
        let valid = CertificateView {
            serial: "4a01".into(),
            subject: Some("CN=studio".into()),
            hit: Some("2001:22::1".into()),
            rights: vec![RightView { group: "radio".into(), roles: vec!["both", "key-server"] }],
            standing: Standing::Valid,
            until_us: Some(micros(86_400)),
            revoked_at_us: None,
            file: Some("f".into()),
        };
        let view = OwnerView {
            subject: "O=Example".into(),
            until_us: micros(172_800),
            file: "owner.pem".into(),
            list: list(),
            issued: vec![valid, CertificateView::of_lost(&[0x4a, 2], 60)],
        };
        assert_eq!(
            owner_text(&view, micros(82_800)),
            "owner:            O=Example\n\
             certificate:      owner.pem\n\
             holds until:      1970-01-03T00:00:00.000000Z\n\
             revocation list:  owner.crl, number 2, 1 revoked\n\
             it holds until:   1970-01-02T00:00:00.000000Z (in 1 h)\n\n\
             SERIAL  SUBJECT    HIT         GROUPS                    UNTIL                        STANDING\n\
             4a01    CN=studio  2001:22::1  radio (both, key-server)  1970-01-02T00:00:00.000000Z  valid\n\
             4a02    -          -           -                         -                            revoked 1970-01-01T00:01:00.000000Z"
        );
    }

    #[test]
    fn a_revocation_says_what_is_to_be_done_with_the_list() {
        let revoked = |serial: &str, was_revoked| RevokedCertificateView {
            serial: serial.into(),
            revoked_at_us: micros(60),
            was_revoked,
        };
        let view = RevokedView { revoked: vec![revoked("4a01", false), revoked("4a02", true)], list: list() };
        assert_eq!(
            revoked_text(&view),
            "revoked 4a01\n4a02 was revoked already, at 1970-01-01T00:01:00.000000Z\n\
             revocation list 2, of 1 certificates, holds until 1970-01-02T00:00:00.000000Z; give it to the key servers: owner.crl"
        );
    }
}
