//! What may be chosen about a group, and what was.

use std::{net::IpAddr, time::Duration};

use claviger_crypto::{cipher::CipherAlgorithm, sign::KeyAlgorithm};
use claviger_group::{
    Channel, Encapsulation, EspTransform, GroupPolicy, KekManagement, PushAuthentication,
    policy::{AccessPolicy, DataPolicy, LeasePolicy, RekeyPolicy, Times, TreePolicy},
};
use serde::{Deserialize, Serialize};

use crate::{ApiError, PlaceOptions, PlaceView, name};

/// The choices that a caller makes about a new group. What is left out is decided by [`GroupPolicyOptions::resolve`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GroupPolicyOptions {
    /// The multicast address of the data; the key server draws one from 239.192.0.0/14 otherwise.
    pub address: Option<IpAddr>,
    /// The one source of a source-specific channel (RFC 4607); any source otherwise.
    pub source: Option<IpAddr>,
    /// How ESP travels.
    #[serde(with = "name::option")]
    pub encapsulation: Option<Encapsulation>,
    /// The UDP port of ESP where the encapsulation is UDP.
    pub port: Option<u16>,
    /// The UDP destination port inside that the group protects; zero protects everything sent to the address.
    pub application_port: Option<u16>,
    /// The ESP algorithms.
    #[serde(with = "name::option")]
    pub transform: Option<EspTransform>,
    /// Whether it is put up with that outsiders repeat packets, as they can with AES-CBC in transport mode with any source.
    pub replayable: bool,
    /// Where GROUPKEY-PUSH messages go; the data's address otherwise.
    pub push_address: Option<IpAddr>,
    /// The UDP port of GROUPKEY-PUSH messages; otherwise the server's GDOI port, or 10848 where that needs a
    /// privilege which the group's members do without.
    pub push_port: Option<u16>,
    /// The cipher of the KEK; as many bits as the transform otherwise.
    #[serde(with = "name::option")]
    pub kek_cipher: Option<CipherAlgorithm>,
    /// The kind of the group's signing key.
    #[serde(with = "name::option")]
    pub push_signature: Option<KeyAlgorithm>,
    /// What a signature of GROUPKEY-PUSH messages is over; the batch with LKH-32, each message otherwise.
    #[serde(with = "name::option")]
    pub push_authentication: Option<PushAuthentication>,
    /// How the keys of the tree travel; where it is left out, the key server takes what holds the members.
    #[serde(with = "name::option")]
    pub kek_management: Option<KekManagement>,
    /// The degree of the key tree, 2 to 8.
    pub degree: Option<u8>,
    /// The most members that the group admits.
    pub members_max: Option<u32>,
    /// How many bits of the IV name the sender: 8, 12 or 16.
    pub sender_id_bits: Option<u8>,
    /// How long a TEK may be used, in seconds.
    pub tek_lifetime_s: Option<u32>,
    /// How long after a TEK was issued the next one is, in seconds; half the lifetime otherwise.
    pub tek_rekey_s: Option<u32>,
    /// How long a KEK may be used, in seconds.
    pub kek_lifetime_s: Option<u32>,
    /// How long after a KEK was issued the next one is, in seconds; half the lifetime otherwise.
    pub kek_rekey_s: Option<u32>,
    /// How long senders keep the old TEK after a new one arrived, in seconds.
    pub activation_delay_s: Option<u16>,
    /// How long receivers keep the old TEK after a new one arrived, in seconds; four more than the activation delay
    /// otherwise.
    pub deactivation_delay_s: Option<u16>,
    /// How long senders may go on sending after the key server last answered them, in seconds; 0 is for ever. A sixth of
    /// the TEK's lifetime otherwise, at least 10 and at most 65,535.
    pub lease_s: Option<u32>,
    /// Whether receivers stop too.
    pub receiver_leases: bool,
    /// How long joins and departures are gathered before the group is rekeyed, in milliseconds.
    pub batch_interval_ms: Option<u32>,
    /// How many joins and departures are gathered at most, within that time.
    pub batch_max: Option<u32>,
    /// How long a registration lasts unless it is renewed, in seconds.
    pub registration_lifetime_s: Option<u32>,
    /// The places that the key tree follows.
    pub places: Vec<PlaceOptions>,
}

/// How much longer than the activation delay the old TEK is kept, in seconds, unless it is chosen.
const DEACTIVATION_AFTER_ACTIVATION_S: u16 = 4;

impl GroupPolicyOptions {
    /// Makes the policy: what was chosen, and what follows from it. `address` is the key server's own choice, for a
    /// group that was given none. Whether the policy is coherent is for [`GroupPolicy::check`] to say.
    ///
    /// # Errors
    ///
    /// [`crate::ErrorCode::PolicyInvalid`] if address and source make no channel, or a place has no push address.
    pub fn resolve(&self, address: IpAddr) -> Result<GroupPolicy, ApiError> {
        let Self {
            address: chosen_address,
            source,
            encapsulation,
            port,
            application_port,
            transform,
            replayable,
            push_address,
            push_port,
            kek_cipher,
            push_signature,
            push_authentication,
            kek_management,
            degree,
            members_max,
            sender_id_bits,
            tek_lifetime_s,
            tek_rekey_s,
            kek_lifetime_s,
            kek_rekey_s,
            activation_delay_s,
            deactivation_delay_s,
            lease_s,
            receiver_leases,
            batch_interval_ms,
            batch_max,
            registration_lifetime_s,
            places,
        } = self;
        let channel = Channel::new(chosen_address.unwrap_or(address), *source)?;
        let GroupPolicy { data, rekey, tree, times, access, lease } = GroupPolicy::new(channel);
        let transform = transform.unwrap_or(data.transform);
        let management = kek_management.unwrap_or(rekey.management);
        let members_max = members_max.unwrap_or(access.members_max);
        // What follows from another choice follows only where that was made.
        let deactivation_delay_s = deactivation_delay_s
            .or(activation_delay_s.map(|s| s.saturating_add(DEACTIVATION_AFTER_ACTIVATION_S)));
        let matching_lease = seconds(*tek_lifetime_s).map_or(lease, LeasePolicy::for_tek_lifetime);
        let half = |lifetime: Option<u32>| lifetime.map(|seconds| seconds / 2);
        Ok(GroupPolicy {
            data: DataPolicy {
                channel,
                encapsulation: encapsulation.unwrap_or(data.encapsulation),
                encapsulation_port: port.unwrap_or(data.encapsulation_port),
                application_port: application_port.unwrap_or(data.application_port),
                transform,
                replayable: *replayable,
                sender_id_bits: sender_id_bits.unwrap_or(data.sender_id_bits),
            },
            rekey: RekeyPolicy {
                address: *push_address,
                port: *push_port,
                kek_cipher: kek_cipher.unwrap_or(matching_kek(transform)),
                signature: push_signature.unwrap_or(rekey.signature),
                authentication: push_authentication.unwrap_or(matching_authentication(management)),
                management,
                batch_interval: milliseconds(*batch_interval_ms).unwrap_or(rekey.batch_interval),
                batch_max: batch_max.unwrap_or(rekey.batch_max),
            },
            tree: TreePolicy {
                degree: degree.unwrap_or(tree.degree),
                places: places.iter().map(|place| place.resolve(members_max)).collect::<Result<_, _>>()?,
            },
            times: Times {
                tek_lifetime: seconds(*tek_lifetime_s).unwrap_or(times.tek_lifetime),
                tek_rekey: seconds(tek_rekey_s.or(half(*tek_lifetime_s))).unwrap_or(times.tek_rekey),
                kek_lifetime: seconds(*kek_lifetime_s).unwrap_or(times.kek_lifetime),
                kek_rekey: seconds(kek_rekey_s.or(half(*kek_lifetime_s))).unwrap_or(times.kek_rekey),
                activation_delay: seconds(*activation_delay_s).unwrap_or(times.activation_delay),
                deactivation_delay: seconds(deactivation_delay_s).unwrap_or(times.deactivation_delay),
            },
            access: AccessPolicy {
                members_max,
                registration_lifetime: seconds(*registration_lifetime_s)
                    .unwrap_or(access.registration_lifetime),
            },
            lease: LeasePolicy {
                time: seconds(*lease_s)
                    .map_or(matching_lease.time, |time| Some(time).filter(|t| !t.is_zero())),
                receivers: *receiver_leases,
            },
        })
    }
}

fn seconds(count: Option<impl Into<u64>>) -> Option<Duration> {
    count.map(|count| Duration::from_secs(count.into()))
}

fn milliseconds(count: Option<u32>) -> Option<Duration> {
    count.map(|count| Duration::from_millis(count.into()))
}

fn matching_kek(transform: EspTransform) -> CipherAlgorithm {
    if transform.key_bits() > 128 { CipherAlgorithm::Aes256Cbc } else { CipherAlgorithm::Aes128Cbc }
}

/// A member that knows LKH-32 knows signatures over batches too.
fn matching_authentication(management: KekManagement) -> PushAuthentication {
    match management {
        KekManagement::Lkh => PushAuthentication::Message,
        KekManagement::Lkh32 => PushAuthentication::Batch,
    }
}

/// The whole policy of a group, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyView {
    /// The multicast address of the data.
    pub address: IpAddr,
    /// The one source; null is any source.
    pub source: Option<IpAddr>,
    /// How ESP travels.
    #[serde(with = "name")]
    pub encapsulation: Encapsulation,
    /// The UDP port of ESP where the encapsulation is UDP.
    pub port: u16,
    /// The UDP destination port inside; zero is everything.
    pub application_port: u16,
    /// The ESP algorithms.
    #[serde(with = "name")]
    pub transform: EspTransform,
    /// Whether outsiders can repeat packets.
    pub replayable: bool,
    /// Where GROUPKEY-PUSH messages go.
    pub push_address: IpAddr,
    /// The UDP port of GROUPKEY-PUSH messages; null leaves it to the server.
    pub push_port: Option<u16>,
    /// The cipher of the KEK.
    #[serde(with = "name")]
    pub kek_cipher: CipherAlgorithm,
    /// The kind of the group's signing key.
    #[serde(with = "name")]
    pub push_signature: KeyAlgorithm,
    /// What a signature of GROUPKEY-PUSH messages is over.
    #[serde(with = "name")]
    pub push_authentication: PushAuthentication,
    /// How the keys of the tree travel.
    #[serde(with = "name")]
    pub kek_management: KekManagement,
    /// The degree of the key tree.
    pub degree: u8,
    /// The most members that the group admits.
    pub members_max: u32,
    /// How many bits of the IV name the sender.
    pub sender_id_bits: u8,
    /// How long a TEK may be used.
    pub tek_lifetime_s: u64,
    /// How long after a TEK was issued the next one is.
    pub tek_rekey_s: u64,
    /// How long a KEK may be used.
    pub kek_lifetime_s: u64,
    /// How long after a KEK was issued the next one is.
    pub kek_rekey_s: u64,
    /// How long senders keep the old TEK: the group's eviction delay.
    pub activation_delay_s: u64,
    /// How long receivers keep the old TEK.
    pub deactivation_delay_s: u64,
    /// How long senders may go on sending after the key server last answered them; 0 is for ever.
    pub lease_s: u64,
    /// Whether receivers stop too.
    pub receiver_leases: bool,
    /// How long joins and departures are gathered.
    pub batch_interval_ms: u64,
    /// How many of them at most.
    pub batch_max: u32,
    /// How long a registration lasts.
    pub registration_lifetime_s: u64,
    /// The places that the key tree follows.
    pub places: Vec<PlaceView>,
}

impl From<&GroupPolicy> for PolicyView {
    fn from(policy: &GroupPolicy) -> Self {
        let push_address = policy.push_destination();
        let GroupPolicy { data, rekey, tree, times, access, lease } = policy;
        let DataPolicy {
            channel,
            encapsulation,
            encapsulation_port,
            application_port,
            transform,
            replayable,
            sender_id_bits,
        } = data;
        let RekeyPolicy {
            // Where it leads is shown.
            address: _,
            port: push_port,
            kek_cipher,
            signature: push_signature,
            authentication: push_authentication,
            management: kek_management,
            batch_interval,
            batch_max,
        } = rekey;
        let TreePolicy { degree, places } = tree;
        let Times { tek_lifetime, tek_rekey, kek_lifetime, kek_rekey, activation_delay, deactivation_delay } =
            times;
        let AccessPolicy { members_max, registration_lifetime } = access;
        let LeasePolicy { time: lease, receivers: receiver_leases } = lease;
        Self {
            address: channel.group(),
            source: channel.source(),
            encapsulation: *encapsulation,
            port: *encapsulation_port,
            application_port: *application_port,
            transform: *transform,
            replayable: *replayable,
            push_address,
            push_port: *push_port,
            kek_cipher: *kek_cipher,
            push_signature: *push_signature,
            push_authentication: *push_authentication,
            kek_management: *kek_management,
            degree: *degree,
            members_max: *members_max,
            sender_id_bits: *sender_id_bits,
            tek_lifetime_s: tek_lifetime.as_secs(),
            tek_rekey_s: tek_rekey.as_secs(),
            kek_lifetime_s: kek_lifetime.as_secs(),
            kek_rekey_s: kek_rekey.as_secs(),
            activation_delay_s: activation_delay.as_secs(),
            deactivation_delay_s: deactivation_delay.as_secs(),
            lease_s: lease.map_or(0, |time| time.as_secs()),
            receiver_leases: *receiver_leases,
            batch_interval_ms: u64::try_from(batch_interval.as_millis()).unwrap_or(u64::MAX),
            batch_max: *batch_max,
            registration_lifetime_s: registration_lifetime.as_secs(),
            places: places.iter().map(PlaceView::from).collect(),
        }
    }
}

/// What members of a group need beyond what the default policy asks of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberNeed {
    /// Registrations whose algorithms are fit for 256-bit keys.
    StrongRegistration,
    /// KEK management LKH-32, a private extension.
    Lkh32,
    /// Signatures over whole rekeys, a private extension.
    BatchSignatures,
    /// A tree that follows places, a private extension: the network must carry multicast to each.
    Places,
    /// IP protocol 50, and a TUN device.
    RawEsp,
    /// A UDP port that needs a privilege.
    PrivilegedPort(u16),
    /// A network that carries source-specific multicast; only this source sends.
    SourceSpecific(IpAddr),
}

/// Lists what members need beyond what the default policy asks of them.
pub fn member_needs(policy: &GroupPolicy) -> Vec<MemberNeed> {
    let GroupPolicy { data, rekey, tree, times: _, access: _, lease: _ } = policy;
    let port = data.encapsulation_port;
    let is_udp = data.encapsulation.is_udp();
    let has_256_bits = data.transform.key_bits() > 128 || rekey.kek_cipher == CipherAlgorithm::Aes256Cbc;
    let needs = [
        has_256_bits.then_some(MemberNeed::StrongRegistration),
        (rekey.management == KekManagement::Lkh32).then_some(MemberNeed::Lkh32),
        (rekey.authentication == PushAuthentication::Batch).then_some(MemberNeed::BatchSignatures),
        (!tree.places.is_empty()).then_some(MemberNeed::Places),
        (!is_udp).then_some(MemberNeed::RawEsp),
        (is_udp && port < PORT_UNPRIVILEGED).then_some(MemberNeed::PrivilegedPort(port)),
        data.channel.source().map(MemberNeed::SourceSpecific),
    ];
    needs.into_iter().flatten().collect()
}

/// The first port that Linux lets anybody bind, unless net.ipv4.ip_unprivileged_port_start says otherwise.
pub const PORT_UNPRIVILEGED: u16 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(options: &GroupPolicyOptions) -> GroupPolicy {
        let policy = options.resolve("239.192.0.7".parse().unwrap()).unwrap();
        assert_eq!(policy.check(10_000), Ok(()), "{options:?}");
        policy
    }

    #[test]
    fn no_options_make_the_default_policy_that_asks_nothing_of_members() {
        let policy = resolve(&GroupPolicyOptions::default());
        let channel = Channel::new("239.192.0.7".parse().unwrap(), None).unwrap();
        assert_eq!(policy, GroupPolicy::new(channel));
        assert!(member_needs(&policy).is_empty());
    }

    #[test]
    fn what_is_not_chosen_follows_from_what_is() {
        let policy = resolve(&GroupPolicyOptions {
            transform: Some(EspTransform::Aes256Gcm16),
            tek_lifetime_s: Some(60),
            kek_lifetime_s: Some(120),
            activation_delay_s: Some(10),
            ..Default::default()
        });
        assert_eq!(policy.rekey.kek_cipher, CipherAlgorithm::Aes256Cbc);
        assert_eq!(policy.times.tek_rekey, Duration::from_secs(30));
        assert_eq!(policy.times.kek_rekey, Duration::from_secs(60));
        assert_eq!(policy.times.deactivation_delay, Duration::from_secs(14));
        assert_eq!(policy.lease.time, Some(Duration::from_secs(10)));
    }

    #[test]
    fn a_replayable_group_is_asked_for_by_name_and_told_why() {
        let options = |replayable| GroupPolicyOptions {
            transform: Some(EspTransform::Aes128CbcHmacSha256),
            replayable,
            ..Default::default()
        };
        let policy = options(false).resolve("239.192.0.7".parse().unwrap()).unwrap();
        let refused = ApiError::from(policy.check(10_000).unwrap_err());
        assert!(refused.message.contains("can replay it under another source address"), "{refused}");
        assert!(refused.hint.unwrap().contains("--replayable"));
        assert!(PolicyView::from(&resolve(&options(true))).replayable);
    }

    #[test]
    fn a_lease_follows_from_the_tek_lifetime_unless_it_is_chosen_or_off() {
        let lease = |lease_s, tek_lifetime_s, receiver_leases| {
            resolve(&GroupPolicyOptions { lease_s, tek_lifetime_s, receiver_leases, ..Default::default() })
                .lease
        };
        let senders = |s| LeasePolicy { time: Some(Duration::from_secs(s)), receivers: false };
        assert_eq!(lease(None, None, false), senders(600));
        assert_eq!(lease(None, Some(7200), false), senders(1200));
        assert_eq!(lease(Some(30), Some(7200), false), senders(30));
        assert_eq!(lease(None, None, true), LeasePolicy { receivers: true, ..senders(600) });
        assert_eq!(lease(Some(0), None, false), LeasePolicy::OFF);
    }

    #[test]
    fn a_policy_that_needs_more_says_so() {
        let policy = resolve(&GroupPolicyOptions {
            source: Some("192.0.2.1".parse().unwrap()),
            encapsulation: Some(Encapsulation::Transport),
            transform: Some(EspTransform::Aes256Gcm16),
            kek_management: Some(KekManagement::Lkh32),
            ..Default::default()
        });
        assert_eq!(policy.rekey.authentication, PushAuthentication::Batch);
        let needs = member_needs(&policy);
        let source = "192.0.2.1".parse().unwrap();
        let expected = [
            MemberNeed::StrongRegistration,
            MemberNeed::Lkh32,
            MemberNeed::BatchSignatures,
            MemberNeed::RawEsp,
            MemberNeed::SourceSpecific(source),
        ];
        assert_eq!(needs, expected);
    }

    #[test]
    fn every_option_reaches_the_policy() {
        let options = GroupPolicyOptions {
            address: Some("239.1.2.3".parse().unwrap()),
            source: Some("192.0.2.1".parse().unwrap()),
            encapsulation: Some(Encapsulation::UdpTunnel),
            port: Some(4600),
            application_port: Some(5000),
            transform: Some(EspTransform::Aes128CbcHmacSha256),
            replayable: false,
            push_address: Some("239.1.2.4".parse().unwrap()),
            push_port: Some(1848),
            kek_cipher: Some(CipherAlgorithm::Aes256Cbc),
            push_signature: Some(KeyAlgorithm::Ed25519),
            push_authentication: Some(PushAuthentication::Message),
            kek_management: Some(KekManagement::Lkh32),
            degree: Some(3),
            members_max: Some(9),
            sender_id_bits: Some(8),
            tek_lifetime_s: Some(100),
            tek_rekey_s: Some(40),
            kek_lifetime_s: Some(1000),
            kek_rekey_s: Some(400),
            activation_delay_s: Some(2),
            deactivation_delay_s: Some(3),
            lease_s: Some(60),
            receiver_leases: true,
            batch_interval_ms: Some(250),
            batch_max: Some(77),
            registration_lifetime_s: Some(600),
            places: Vec::new(),
        };
        let view = serde_json::to_value(PolicyView::from(&resolve(&options))).unwrap();
        let chosen = serde_json::to_value(&options).unwrap();
        assert_eq!(view, chosen);
    }

    #[test]
    fn places_reach_the_policy() {
        let place = |text: &str| serde_json::from_str::<PlaceOptions>(text).unwrap();
        let mut options = GroupPolicyOptions {
            kek_management: Some(KekManagement::Lkh32),
            members_max: Some(40),
            places: vec![
                place(r#"{"prefix":"10.1.0.0/16","push_address":"239.192.1.1","members":9}"#),
                place(r#"{"prefix":"2001:db8::/32","push_address":"239.192.1.2"}"#),
            ],
            ..Default::default()
        };
        let policy = resolve(&options);
        assert_eq!(policy.tree.places.iter().map(|place| place.members).collect::<Vec<_>>(), [9, 40]);
        assert!(member_needs(&policy).contains(&MemberNeed::Places));
        let view = serde_json::to_value(PolicyView::from(&policy)).unwrap();
        let first = serde_json::json!({"prefix": "10.1.0.0/16", "push_address": "239.192.1.1", "members": 9});
        assert_eq!(view["places"][0], first);
        options.places[1].push_address = None;
        let error = options.resolve("239.192.0.7".parse().unwrap()).unwrap_err();
        assert_eq!(error.message, "the place 2001:db8::/32 has no push address");
        for wrong in [r#"{"prefix":"10.1.0.0"}"#, r#"{"prefix":"10.1.0.1/16"}"#, r#"{"prefx":"10.0.0.0/8"}"#]
        {
            assert!(serde_json::from_str::<PlaceOptions>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn unknown_options_and_bad_channels_are_refused() {
        assert!(serde_json::from_str::<GroupPolicyOptions>(r#"{"degre":3}"#).is_err());
        let options = GroupPolicyOptions { address: Some("10.0.0.1".parse().unwrap()), ..Default::default() };
        let error = options.resolve("239.192.0.7".parse().unwrap()).unwrap_err();
        assert_eq!(error.message, "10.0.0.1 is not a multicast address");
    }
}
