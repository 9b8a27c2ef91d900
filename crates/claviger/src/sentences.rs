//! The sentences in which users read why something was refused or failed, and what a group asks of its members.
//!
//! The cores say it by types. What helps is an option of this program, so the sentences stand here.

use claviger_api::policy::{MemberNeed, PORT_UNPRIVILEGED};
use claviger_gcks::event::RefusalReason;
use claviger_gdoi::{Extension, error::PeerIncompatible};
use claviger_group::Encapsulation;
use claviger_member::event::{FailedAttempt, KeyServerFault, Missing, PolicyFault, Refusal};

/// Says why a member was refused a group.
pub(crate) fn refusal(refusal: &Refusal) -> String {
    match refusal {
        Refusal::NotAuthorised => "the key server does not authorise this host for the group".into(),
        Refusal::NotForRole => "the key server authorises this host, but not for the role asked".into(),
        Refusal::GroupFull => "the group is full".into(),
        Refusal::CertificateExpired => {
            "this host's certificate has expired, or is not valid yet: have the group's owner certify it anew, and join with the new --certificate".into()
        }
        Refusal::CertificateForOtherGroups => {
            "this host's certificate is not for this group: have the group's owner certify it for the group, and join with the new --certificate".into()
        }
        Refusal::CertificateForOtherRoles => {
            "this host's certificate does not give the role asked for: ask for another, or have the group's owner certify it for the role, and join with the new --certificate".into()
        }
        Refusal::CertificateMalformed => {
            "this host's certificate cannot be verified: it is malformed or forged, or a certificate between it and the root is missing or not that of a CA; all of them belong in the file of --certificate".into()
        }
        Refusal::CertificateMissing => "the group needs a certificate by its owner: join with --certificate".into(),
        Refusal::CertificateOfOtherKey => {
            "this host's certificate is about another key or HIT: join with the right --identity".into()
        }
        Refusal::CertificateOther => {
            "this host's certificate breaks a rule that the key server does not name; its log does".into()
        }
        Refusal::CertificateRevoked => {
            "this host's certificate is revoked: only the group's owner can certify it anew".into()
        }
        Refusal::CertificateUnknownCa => {
            "this host's certificates do not lead to the group's owner, or there is no such group: join with a --certificate by the group's owner".into()
        }
        Refusal::CertificateUnsupported => {
            "this host's certificate is of a kind that the key server does not know: have the group's owner certify another key, and join with the new --certificate".into()
        }
        Refusal::RevocationUnknown => {
            "the key server has no current list of what the group's owner revoked: it must be given one (claviger owner lists, claviger server --revocation-lists)".into()
        }
        Refusal::KeyServer(fault) => key_server_fault(*fault),
        Refusal::Elsewhere => "another key server serves the group".into(),
        Refusal::WeakAssociation => {
            "the group has 256-bit keys, and the registration's algorithms are weaker: join with --dh-groups 8,9".into()
        }
        Refusal::Status(status) => format!("the key server answered with status {}", status.0),
        Refusal::NoService => "the host does not offer the key server service".into(),
        Refusal::Encapsulation(Encapsulation::Tunnel | Encapsulation::Transport) => {
            "the group's data is IP protocol 50, which needs a TUN device and privilege: join with --tun".into()
        }
        Refusal::Encapsulation(
            encapsulation @ (Encapsulation::UdpTunnel | Encapsulation::UdpTransport),
        ) => format!("the group's data is ESP in UDP ({encapsulation}): join without --tun"),
        Refusal::Incompatible(incompatible) => incompatibility(incompatible),
        Refusal::Policy(fault) => format!("the group's policy cannot be followed: {}", policy_fault(fault)),
    }
}

/// Says why a key server may not be one of a group.
fn key_server_fault(fault: KeyServerFault) -> String {
    let what = match fault {
        KeyServerFault::Missing => {
            return "the key server shows no certificate, and --owner asks for one: start it with --certificate".into();
        }
        KeyServerFault::Expired => "has expired",
        KeyServerFault::ForOtherGroups => "is not for this group",
        KeyServerFault::Forged => "does not bear the signature of its issuer",
        KeyServerFault::Incomplete => "comes with a chain that is not whole",
        KeyServerFault::Malformed => "is malformed",
        KeyServerFault::NotKeyServer => "is that of a member, and not that of a key server",
        KeyServerFault::NotYetValid => "is not valid yet",
        KeyServerFault::OfNoCa => "was issued by somebody who is no CA",
        KeyServerFault::OfOtherKey => "is another host's",
        KeyServerFault::Other => "breaks a rule of RFC 5280",
        KeyServerFault::Revoked => "is revoked",
        KeyServerFault::RevocationUnknown => "may be revoked: there is no current list",
        KeyServerFault::UnknownCa => "does not lead to the owner of --owner",
        KeyServerFault::Unsupported => "is of a kind that is not known here",
    };
    format!("the key server is not trusted: its certificate {what}; no keys were taken")
}

/// Says what lets a host in that was refused, where no command of the key server does.
pub(crate) fn cure(reason: RefusalReason) -> Option<&'static str> {
    Some(match reason {
        RefusalReason::CertificateExpired => "the owner certifies the host anew: claviger owner certify",
        RefusalReason::CertificateForOtherGroups => {
            "the owner certifies the host for the group: claviger owner certify --group"
        }
        RefusalReason::CertificateForOtherRoles => {
            "the owner certifies the host for the role: claviger owner certify --role"
        }
        RefusalReason::CertificateForged
        | RefusalReason::CertificateMalformed
        | RefusalReason::CertificateOther => "the owner certifies the host anew, if it knows it",
        RefusalReason::CertificateIncomplete | RefusalReason::CertificateOfNoCa => {
            "the host shows its own certificate first, then those of all CAs below the root: join --certificate"
        }
        RefusalReason::CertificateMissing => {
            "the host shows a certificate by the group's owner: join --certificate"
        }
        RefusalReason::CertificateNotYetValid => "the clocks of the owner and of this key server agree",
        RefusalReason::CertificateOfOtherKey => {
            "the host joins with the identity that is certified: join --identity"
        }
        RefusalReason::CertificateRevoked => "the owner certifies the host anew, if it may come back",
        RefusalReason::CertificateUnknownCa => {
            "the host shows a certificate by the group's owner: group show names it"
        }
        RefusalReason::CertificateUnsupported => "the owner certifies a key of another kind",
        RefusalReason::RevocationUnknown => {
            "this key server is given a current list: claviger owner lists, and server --revocation-lists"
        }
        RefusalReason::ChannelUnknown
        | RefusalReason::Denied
        | RefusalReason::GroupFull
        | RefusalReason::GroupUnknown
        | RefusalReason::NotAuthorised
        | RefusalReason::RoleNotAuthorised
        | RefusalReason::TooManyOwners
        | RefusalReason::TooOften
        | RefusalReason::WeakAssociation => return None,
    })
}

fn incompatibility(incompatible: &PeerIncompatible) -> String {
    let extension = match incompatible.extension() {
        Some(Extension::BatchSignatures) => "the group signs whole rekeys",
        Some(Extension::Lkh32) => "the group needs LKH-32",
        Some(Extension::Places) => "the group's tree follows places",
        Some(Extension::Leases) => {
            return "the group's senders need leases, an extension for private use: join without --standard-only, or have this host allowed --without-lease".into();
        }
        None => {
            let (field, value) = (incompatible.field(), incompatible.value());
            return format!("the group's policy needs {field} {value}, which is not known here");
        }
    };
    format!("{extension}, an extension for private use: join without --standard-only")
}

fn policy_fault(fault: &PolicyFault) -> String {
    match fault {
        PolicyFault::DataPlane => "the data plane does not take its keys".into(),
        PolicyFault::DataSa(fault) => fault.to_string(),
        PolicyFault::Gdoi(error) => error.to_string(),
        PolicyFault::KekWeaker => "the KEK is weaker than the traffic keys".into(),
        PolicyFault::Missing(missing) => format!("it comes without {}", missing_words(*missing)),
        PolicyFault::PlaceAddress => "rekey messages for a place do not go to a multicast address".into(),
        PolicyFault::PlacePort => "rekey messages for a place go to port 0".into(),
        PolicyFault::PushAddress => "rekey messages do not go to a multicast address".into(),
        PolicyFault::PushPort => "rekey messages go to port 0".into(),
        PolicyFault::TekAddresses => "data SAs with different addresses".into(),
        PolicyFault::TooManyTeks => "more data SAs than this member holds".into(),
        PolicyFault::WeakRegistration => "256-bit keys would travel under a weaker registration".into(),
        PolicyFault::ZeroCookie => "the rekey SA has a zero cookie".into(),
    }
}

fn missing_words(missing: Missing) -> &'static str {
    match missing {
        Missing::DataSa => "data SA",
        Missing::Kek => "KEK",
        Missing::SenderId => "sender id of a usable size",
        Missing::SequenceNumber => "sequence number",
        Missing::SigningKey => "signing key",
        Missing::Tek => "TEK",
    }
}

/// Says why an attempt to register failed.
pub(crate) fn failed_attempt(cause: &FailedAttempt) -> String {
    match cause {
        FailedAttempt::BaseExchange(reason) => reason.to_string(),
        FailedAttempt::Request(misuse) => misuse.to_string(),
        FailedAttempt::Silence => "the key server stopped answering".into(),
    }
}

/// Says what a group asks of its members.
pub(crate) fn need(need: &MemberNeed) -> String {
    match need {
        MemberNeed::StrongRegistration => {
            "256-bit keys: registrations must use AES-256-CBC and DH group 8 or 9 (join --dh-groups 8,9)"
                .into()
        }
        MemberNeed::Lkh32 => {
            "KEK management LKH-32, a private extension: members of other makers will refuse the group".into()
        }
        MemberNeed::BatchSignatures => {
            "signatures over whole rekeys, a private extension: members of other makers will refuse the group"
                .into()
        }
        MemberNeed::Places => {
            "a tree that follows places, a private extension: the network must carry multicast to each place"
                .into()
        }
        MemberNeed::RawEsp => {
            "IP protocol 50: members need CAP_NET_RAW and CAP_NET_ADMIN, and a TUN device (join --tun NAME)"
                .into()
        }
        MemberNeed::PrivilegedPort(port) => {
            format!("UDP port {port} is below {PORT_UNPRIVILEGED}: members need CAP_NET_BIND_SERVICE")
        }
        MemberNeed::SourceSpecific(source) => {
            format!("source-specific: the network must carry IGMPv3 or MLDv2, and only {source} sends")
        }
    }
}

#[cfg(test)]
mod tests {
    use claviger_hip_groups::iana::ChannelStatus;

    use super::*;

    #[test]
    fn a_refusal_names_the_option_that_helps() {
        let lkh_32 = Refusal::Incompatible(PeerIncompatible::KekManagement(128));
        let batches = Refusal::Incompatible(PeerIncompatible::Signature(132));
        let places = Refusal::Incompatible(PeerIncompatible::PlaceDestination(129));
        for (refused, words, option) in [
            (lkh_32, "LKH-32", "join without --standard-only"),
            (batches, "signs whole rekeys", "join without --standard-only"),
            (places, "places", "join without --standard-only"),
            (Refusal::from(ChannelStatus(1)), "weaker", "join with --dh-groups 8,9"),
            (Refusal::Encapsulation(Encapsulation::Tunnel), "protocol 50", "join with --tun"),
            (Refusal::CertificateMissing, "needs a certificate", "join with --certificate"),
            (Refusal::CertificateExpired, "has expired", "join with the new --certificate"),
            (Refusal::CertificateOfOtherKey, "another key", "join with the right --identity"),
            (
                Refusal::Encapsulation(Encapsulation::UdpTunnel),
                "ESP in UDP (udp-tunnel)",
                "join without --tun",
            ),
        ] {
            let sentence = refusal(&refused);
            assert!(sentence.contains(words) && sentence.ends_with(option), "{sentence}");
        }
        let unknown = refusal(&Refusal::Incompatible(PeerIncompatible::KekManagement(129)));
        assert_eq!(unknown, "the group's policy needs KEK_MANAGEMENT_ALGORITHM 129, which is not known here");
        assert_eq!(refusal(&ChannelStatus(99).into()), "the key server answered with status 99");
    }

    #[test]
    fn a_need_says_what_to_provide() {
        for (needed, words) in [
            (MemberNeed::StrongRegistration, "AES-256-CBC"),
            (MemberNeed::Lkh32, "LKH-32"),
            (MemberNeed::BatchSignatures, "signatures over whole rekeys"),
            (MemberNeed::Places, "places"),
            (MemberNeed::RawEsp, "CAP_NET_RAW"),
            (MemberNeed::SourceSpecific("192.0.2.1".parse().unwrap()), "192.0.2.1"),
        ] {
            assert!(need(&needed).contains(words), "{}", need(&needed));
        }
    }
}
