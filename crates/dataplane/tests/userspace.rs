//! ESP in this process does what a member says.

#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::time::Duration;

use claviger_crypto::{SeededRandom, provider, random::Seed};
use claviger_dataplane::{DataPlane, Error};
use claviger_esp::Stage;
use claviger_group::{
    Channel, DataSa, Encapsulation, EspTransform, GroupId, PlaneCommand, PlaneEvent, Role, SenderId, Spi,
    Tek, tek::TekKeys,
};
use claviger_sansio::Time;

const NOW: Time = Time::from_secs(1_000);

fn market() -> GroupId {
    "market".parse().unwrap()
}

fn second(number: u64) -> Time {
    NOW + Duration::from_secs(number)
}

fn sa(number: u32, sender_ids: &[u32]) -> DataSa {
    let transform = EspTransform::Aes128Gcm16;
    let tek = Tek {
        spi: spi(number),
        transform,
        keys: TekKeys::generate(transform, &mut SeededRandom::new(number.into())),
        channel: Channel::new([239, 192, 0, 1].into(), None).unwrap(),
        encapsulation: Encapsulation::UdpTransport,
        encapsulation_port: 4500,
        application_port: 0,
        lifetime: Duration::from_secs(3_600),
    };
    let id = |value: &u32| SenderId::new(16, *value).unwrap();
    DataSa { tek, expires: second(100), sender_ids: sender_ids.iter().map(id).collect() }
}

fn spi(number: u32) -> Spi {
    Spi::new(300 + number).unwrap()
}

fn open(role: Role) -> PlaneCommand {
    let seed = Seed::draw(&mut SeededRandom::new(1));
    PlaneCommand::Open { role, sender_id_bits: 16, seed }
}

fn plane(role: Role, commands: Vec<PlaneCommand>) -> DataPlane {
    let mut plane = DataPlane::userspace(provider());
    plane.apply(NOW, &market(), open(role));
    commands.into_iter().for_each(|command| plane.apply(NOW, &market(), command));
    plane
}

fn activate(number: u32, at: u64, older_until: u64) -> PlaneCommand {
    PlaneCommand::Activate { spi: spi(number), at: second(at), older_until: second(older_until) }
}

/// Says under which SPI a payload leaves, if it does.
fn sends(plane: &mut DataPlane, at: Time) -> Result<Spi, Error> {
    let esp = plane.seal(at, &market(), 17, &[b"a payload"])?;
    Ok(Spi::new(u32::from_be_bytes(*esp.first_chunk().unwrap())).unwrap())
}

#[test]
fn an_sa_receives_when_it_is_installed_and_sends_when_it_is_activated() {
    let mut sender = plane(Role::Sender, vec![PlaneCommand::Install(sa(1, &[7])), activate(1, 0, 0)]);
    let mut receiver = plane(Role::Both, vec![PlaneCommand::Install(sa(1, &[8]))]);
    let not_active = Error::Esp(claviger_esp::Error::NotActive);
    assert_eq!(sends(&mut receiver, NOW), Err(not_active));
    let esp = sender.seal(NOW, &market(), 17, &[b"a pay", b"load"]).unwrap();
    let opened = receiver.open(NOW, &market(), [192, 0, 2, 1].into(), &esp).unwrap();
    assert_eq!(opened.payload, b"a payload");
    assert!(sender.is_own(&market(), &opened.sender) && !receiver.is_own(&market(), &opened.sender));
    receiver.apply(NOW, &market(), activate(1, 5, 5));
    assert_eq!(receiver.poll_timeout(), Some(second(5)));
    assert_eq!(sends(&mut receiver, second(5)), Ok(spi(1)));
}

#[test]
fn between_two_sas_nothing_is_sent_once_the_older_has_stopped() {
    let commands = vec![
        PlaneCommand::Install(sa(1, &[7])),
        activate(1, 0, 0),
        PlaneCommand::Install(sa(2, &[7])),
        activate(2, 6, 4),
    ];
    let mut plane = plane(Role::Sender, commands);
    assert_eq!(sends(&mut plane, second(3)), Ok(spi(1)));
    assert_eq!(sends(&mut plane, second(4)), Err(Error::Esp(claviger_esp::Error::NotActive)));
    assert_eq!(sends(&mut plane, second(6)), Ok(spi(2)));
}

#[test]
fn an_sa_ends_at_its_deactivation_or_with_its_lifetime() {
    let commands = vec![
        PlaneCommand::Install(sa(1, &[])),
        PlaneCommand::Install(sa(2, &[])),
        PlaneCommand::Deactivate { spi: spi(1), at: second(9) },
    ];
    let mut plane = plane(Role::Receiver, commands);
    let held = |plane: &DataPlane| plane.status(&market()).iter().map(|sa| sa.spi).collect::<Vec<_>>();
    plane.handle_timeout(second(8));
    assert_eq!(held(&plane), [spi(1), spi(2)]);
    plane.handle_timeout(second(9));
    assert_eq!(held(&plane), [spi(2)]);
    plane.handle_timeout(second(100));
    assert_eq!(held(&plane), []);
    assert_eq!(plane.poll_event(), None, "the member knows when");
}

#[test]
fn a_role_that_is_taken_is_not_sent_in_and_its_packets_are_no_echo() {
    let mut plane = plane(Role::Both, vec![PlaneCommand::Install(sa(1, &[7])), activate(1, 0, 0)]);
    assert_eq!(plane.status(&market())[0].stage, Stage::Current);
    plane.apply(NOW, &market(), PlaneCommand::Narrow(Role::Receiver));
    assert_eq!(sends(&mut plane, NOW), Err(Error::Esp(claviger_esp::Error::NotSender)));
    let own = claviger_esp::SenderKey::Id(SenderId::new(16, 7).unwrap());
    assert!(!plane.is_own(&market(), &own));
}

#[test]
fn deletes_every_sa_and_remembers_their_names_until_the_group_is_closed() {
    let mut plane = plane(Role::Both, vec![PlaneCommand::Install(sa(1, &[7])), activate(1, 0, 0)]);
    let esp = plane.seal(NOW, &market(), 17, &[b"a payload"]).unwrap();
    plane.apply(NOW, &market(), PlaneCommand::DeleteAll);
    let source = [192, 0, 2, 1].into();
    let retired = Error::Esp(claviger_esp::Error::RetiredSpi(spi(1)));
    assert_eq!(plane.open(NOW, &market(), source, &esp), Err(retired));
    // The same SA again: its numbers go on.
    plane.apply(NOW, &market(), PlaneCommand::Install(sa(1, &[7])));
    plane.apply(NOW, &market(), activate(1, 0, 0));
    let again = plane.seal(NOW, &market(), 17, &[b"a payload"]).unwrap();
    assert_eq!((&esp[4..8], &again[4..8]), (&[0, 0, 0, 1][..], &[0, 0, 0, 2][..]));
    plane.apply(NOW, &market(), PlaneCommand::Close);
    assert_eq!(sends(&mut plane, NOW), Err(Error::NotKeyed(market())));
    assert!(plane.counts(&market()).is_none() && plane.status(&market()).is_empty());
    // What comes behind it changes nothing.
    plane.apply(NOW, &market(), PlaneCommand::Install(sa(2, &[7])));
    assert!(plane.status(&market()).is_empty());
}

#[test]
fn the_member_hears_what_it_has_to_know() {
    let mut plane = plane(Role::Sender, vec![PlaneCommand::Install(sa(1, &[]))]);
    assert_eq!(plane.poll_event(), Some((market(), PlaneEvent::SenderIdSpent(spi(1)))));
    let unknown = [&[0xdd; 4][..], &[0; 40]].concat();
    assert!(plane.open(NOW, &market(), [192, 0, 2, 1].into(), &unknown).is_err());
    assert_eq!(plane.poll_event(), Some((market(), PlaneEvent::UnknownSpi(0xdddd_dddd))));
    let mut other = sa(2, &[]);
    other.tek.spi = spi(1);
    plane.apply(NOW, &market(), PlaneCommand::Install(other));
    assert_eq!(plane.poll_event(), Some((market(), PlaneEvent::Refused(spi(1)))));
    assert_eq!(plane.poll_event(), None);
}

#[test]
fn groups_do_not_meet() {
    let mut plane = plane(Role::Sender, vec![PlaneCommand::Install(sa(1, &[7])), activate(1, 0, 0)]);
    let other: GroupId = "other".parse().unwrap();
    assert_eq!(plane.seal(NOW, &other, 17, &[b"x"]), Err(Error::NotKeyed(other.clone())));
    plane.apply(NOW, &other, open(Role::Sender));
    plane.apply(NOW, &other, PlaneCommand::DeleteAll);
    plane.apply(NOW, &other, PlaneCommand::Close);
    assert_eq!(sends(&mut plane, NOW), Ok(spi(1)));
}
