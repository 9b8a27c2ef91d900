//! A member and a key server in memory, and what they talk about.
#![allow(dead_code, reason = "each test file uses its own part of the harness")]

pub(crate) mod rogue;
pub(crate) mod tree;

use std::{net::SocketAddr, time::Duration};

use claviger_crypto::{
    Random, SecretBytes, SeededRandom, SystemRandom,
    cipher::CipherAlgorithm,
    hash::HashAlgorithm,
    provider,
    sign::{KeyAlgorithm, SigningKey},
};
use claviger_gdoi::{
    Error, Extensions, Gap, KeyDownload, Member, MemberConfig, MemberEvent, PullFailure, PullId, SaKek,
    SaPayload, SaTek, Server, ServerEvent,
    error::PeerIncompatible,
    lkh::{self, Link},
    push,
    wire::{LkhDownload, SenderIds},
};
use claviger_group::{
    Channel, CookiePair, Encapsulation, EspTransform, GroupId, MemberId, RegistrationSa, Spi, Tek,
    tek::TekKeys,
};
use claviger_identity::Hit;
use claviger_isakmp::iana::NotifyType;
use claviger_sansio::{Datagram, Socket, Time, Transmit};

pub(crate) const COOKIES: CookiePair = CookiePair([0xc1; 16]);
pub(crate) const KEK_SPI: CookiePair = CookiePair([0x6b; 16]);

pub(crate) fn member_address() -> SocketAddr {
    "10.0.0.2:848".parse().unwrap()
}

pub(crate) fn server_address() -> SocketAddr {
    "10.0.0.1:848".parse().unwrap()
}

pub(crate) fn group() -> GroupId {
    "#1234".parse().unwrap()
}

/// What both sides derived from a registration; the peers differ.
pub(crate) fn registration(
    cookies: CookiePair,
    hash: HashAlgorithm,
    cipher: CipherAlgorithm,
) -> RegistrationSa {
    let random = &mut SeededRandom::new(u64::from(cookies.0[0]));
    let mut secret = |length| SecretBytes::with(length, |octets| random.fill(octets));
    let length = provider().prf(hash).unwrap().output_len();
    RegistrationSa {
        peer: MemberId::Hit(Hit::new([0x20; 16])),
        cookies,
        skeyid_d: secret(length),
        skeyid_a: secret(length),
        skeyid_e: secret(length),
        phase1_iv: secret(16).expose().try_into().unwrap(),
        hash,
        cipher,
    }
}

pub(crate) fn tek(spi: u32) -> Tek {
    let transform = EspTransform::Aes128Gcm16;
    Tek {
        spi: Spi::new(spi).unwrap(),
        transform,
        keys: TekKeys::generate(transform, &mut SeededRandom::new(spi.into())),
        channel: Channel::new("239.192.0.1".parse().unwrap(), None).unwrap(),
        encapsulation: Encapsulation::UdpTransport,
        encapsulation_port: 4500,
        application_port: 0,
        lifetime: Duration::from_secs(3600),
    }
}

/// The keys of leaf 4: its own, node 2's, the root's.
pub(crate) fn path() -> [Link; 3] {
    [4, 2, 1].map(|id| Link::new(id, 1, [id as u8; 16], &[0x40 | id as u8; 16]))
}

pub(crate) fn signing_key() -> SigningKey {
    SigningKey::generate(provider(), KeyAlgorithm::EcdsaP256, &mut SystemRandom::new().unwrap()).unwrap()
}

pub(crate) fn sa_kek(spi: CookiePair) -> SaKek {
    SaKek {
        source: None,
        destination: ("239.192.0.1".parse().unwrap(), 848),
        spi,
        management: Some(1),
        cipher: CipherAlgorithm::Aes128Cbc,
        lifetime: Duration::from_secs(86_400),
        signature: KeyAlgorithm::EcdsaP256,
        form: claviger_group::PushAuthentication::Message,
        place: None,
        rekey_first: None,
    }
}

pub(crate) fn sa() -> SaPayload {
    SaPayload {
        kek: Some(sa_kek(KEK_SPI)),
        gap: Some(Gap { activation_delay: Some(1), deactivation_delay: Some(5), ..Gap::default() }),
        teks: vec![SaTek::from(&tek(0x1000))],
    }
}

/// The policy as a GROUPKEY-PULL shows it: without KEK_MANAGEMENT_ALGORITHM.
pub(crate) fn sa_in_pull() -> SaPayload {
    let mut sa = sa();
    sa.kek.as_mut().unwrap().management = None;
    sa
}

pub(crate) fn kd(signer: &SigningKey) -> KeyDownload {
    let tek = tek(0x1000);
    KeyDownload {
        teks: vec![(tek.spi, tek.keys)],
        lkh: Some(LkhDownload {
            spi: KEK_SPI,
            download: Some(lkh::download_array(&path())),
            updates: vec![],
            signing_key: Some(signer.public().clone()),
        }),
        lkh_32: None,
        kek: None,
        sender_ids: Some(SenderIds { bits: 16, values: vec![7] }),
    }
}

/// The group KEK that [`path`] ends in.
pub(crate) fn kek() -> push::KekMaterial {
    lkh::KeyArray::new(&lkh::download_array(&path()), CipherAlgorithm::Aes128Cbc).unwrap().kek(KEK_SPI)
}

pub(crate) struct Pair {
    pub(crate) member: Member,
    pub(crate) server: Server,
    pub(crate) signer: SigningKey,
    pub(crate) now: Time,
}

impl Pair {
    pub(crate) fn new() -> Self {
        Self::with(HashAlgorithm::Sha256, CipherAlgorithm::Aes128Cbc)
    }

    pub(crate) fn with(hash: HashAlgorithm, cipher: CipherAlgorithm) -> Self {
        Self::configured(MemberConfig::new(provider()), hash, cipher)
    }

    /// A pair whose member accepts no private extensions but these.
    pub(crate) fn with_extensions(extensions: Extensions) -> Self {
        let config = MemberConfig { extensions, ..MemberConfig::new(provider()) };
        Self::configured(config, HashAlgorithm::Sha256, CipherAlgorithm::Aes128Cbc)
    }

    fn configured(config: MemberConfig, hash: HashAlgorithm, cipher: CipherAlgorithm) -> Self {
        let now = Time::from_secs(1_000_000);
        let random = |seed| Box::new(SeededRandom::new(seed));
        let mut member = Member::new(config, random(1));
        let mut server = Server::new(provider(), random(2));
        member.add_registration(now, registration(COOKIES, hash, cipher)).unwrap();
        server.add_registration(now, registration(COOKIES, hash, cipher)).unwrap();
        Self { member, server, signer: signing_key(), now }
    }

    pub(crate) fn pull(&mut self) -> PullId {
        self.member.pull(self.now, &COOKIES, server_address(), group(), Some(2)).unwrap()
    }

    pub(crate) fn server_gets(&mut self, octets: &[u8]) -> Result<(), Error> {
        self.server.handle_datagram(self.now, datagram(octets, member_address(), server_address()))
    }

    pub(crate) fn member_gets(&mut self, octets: &[u8]) -> Result<(), Error> {
        self.member.handle_datagram(self.now, datagram(octets, server_address(), member_address()))
    }

    /// The one datagram that the member sends.
    pub(crate) fn member_sends(&mut self) -> Vec<u8> {
        let sent = self.member.poll_transmit().expect("the member sends");
        assert_eq!((sent.socket, sent.destination), (Socket::Port848, server_address()));
        assert_eq!(self.member.poll_transmit(), None);
        sent.payload
    }

    /// The one datagram that the server sends.
    pub(crate) fn server_sends(&mut self) -> Vec<u8> {
        let sent: Transmit = self.server.poll_transmit().expect("the server sends");
        assert_eq!((sent.source, sent.destination), (Some(server_address()), member_address()));
        assert_eq!(self.server.poll_transmit(), None);
        sent.payload
    }

    pub(crate) fn member_event(&mut self) -> MemberEvent {
        let event = self.member.poll_event().expect("the member has an event");
        assert_eq!(self.member.poll_event(), None);
        event
    }

    pub(crate) fn server_event(&mut self) -> ServerEvent {
        let event = self.server.poll_event().expect("the server has an event");
        assert_eq!(self.server.poll_event(), None);
        event
    }

    /// Brings a pull to the point where message 1 is on the wire.
    pub(crate) fn message_1(&mut self) -> Vec<u8> {
        self.pull();
        self.member_sends()
    }

    /// Has the server answer message 1.
    pub(crate) fn message_2(&mut self, message_1: &[u8]) -> Vec<u8> {
        self.server_gets(message_1).unwrap();
        let ServerEvent::PullRequested { pull, .. } = self.server_event() else { panic!("a request") };
        self.server.offer(self.now, pull, &sa()).unwrap();
        self.server_sends()
    }

    /// Has the member answer message 2.
    pub(crate) fn message_3(&mut self, message_2: &[u8]) -> Vec<u8> {
        self.member_gets(message_2).unwrap();
        let MemberEvent::Offered { pull, .. } = self.member_event() else { panic!("an offer") };
        self.member.accept(self.now, pull).unwrap();
        self.member_sends()
    }

    /// Has the server answer message 3.
    pub(crate) fn message_4(&mut self, message_3: &[u8]) -> Vec<u8> {
        self.server_gets(message_3).unwrap();
        let ServerEvent::PullConfirmed { pull, .. } = self.server_event() else { panic!("a confirmation") };
        let kd = kd(&self.signer);
        self.server.download(self.now, pull, Some(0), &kd).unwrap();
        self.server_sends()
    }

    /// Hands message 4 to the member, which has the keys then.
    pub(crate) fn finish(&mut self, message_4: &[u8]) {
        self.member_gets(message_4).unwrap();
        let expected = kd(&self.signer);
        match self.member_event() {
            MemberEvent::Pulled { sa, sequence: Some(0), kd, .. } => {
                assert_eq!((sa, kd), (sa_in_pull(), expected));
            }
            other => panic!("{other:?}"),
        }
    }

    /// Runs the timers of both sides up to `until`, and returns what the member resent.
    pub(crate) fn wait(&mut self, until: Time) -> Vec<Vec<u8>> {
        let mut resent = Vec::new();
        loop {
            let due = [self.member.poll_timeout(), self.server.poll_timeout()].into_iter().flatten().min();
            let Some(due) = due.filter(|due| *due <= until) else { break };
            self.now = self.now.max(due);
            self.member.handle_timeout(self.now);
            self.server.handle_timeout(self.now);
            while let Some(transmit) = self.member.poll_transmit() {
                resent.push(transmit.payload);
            }
        }
        self.now = until;
        resent
    }
}

pub(crate) fn datagram(payload: &[u8], source: SocketAddr, destination: SocketAddr) -> Datagram<'_> {
    Datagram { socket: Socket::Port848, source, destination, payload }
}

/// Has a member with these extensions only refuse what it is offered, before it asks for keys.
pub(crate) fn ends_the_pull(extensions: Extensions, offered: &SaPayload, refused: PeerIncompatible) {
    let mut pair = Pair::with_extensions(extensions);
    let message_1 = pair.message_1();
    pair.server_gets(&message_1).unwrap();
    let ServerEvent::PullRequested { pull, .. } = pair.server_event() else { panic!("a request") };
    pair.server.offer(pair.now, pull, offered).unwrap();
    let message_2 = pair.server_sends();
    // HDR*, HASH(1), N(ATTRIBUTES-NOT-SUPPORTED) -->
    assert_eq!(pair.member_gets(&message_2), Err(Error::PeerIncompatible(refused)));
    let MemberEvent::PullFailed { reason, .. } = pair.member_event() else { panic!("a failure") };
    assert_eq!(reason, PullFailure::Policy(refused));
    let informational = pair.member_sends();
    pair.server_gets(&informational).unwrap();
    assert!(matches!(
        pair.server_event(),
        ServerEvent::PullDeclined { notify: NotifyType::ATTRIBUTES_NOT_SUPPORTED, .. }
    ));
}
