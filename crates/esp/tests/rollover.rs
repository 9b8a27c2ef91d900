//! Old and new associations side by side (RFC 5374 section 4.2.1).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use claviger_crypto::{SecretBytes, SeededRandom, provider};
use claviger_esp::{
    Counter, Error, Event, Plane, PlaneConfig, Stage,
    plane::{EVENTS_MAX, SAS_MAX},
};
use claviger_group::{EspTransform, Role, Tek, tek::TekKeys};
use claviger_sansio::Time;
use proptest::prelude::*;

use support::{NOW, address, pair, plane, sid, tek};

const MS: Duration = Duration::from_millis(1);

/// ACTIVATION_TIME_DELAY and DEACTIVATION_TIME_DELAY of the default policy.
const ACTIVATION_DELAY: Duration = Duration::from_secs(1);
const DEACTIVATION_DELAY: Duration = Duration::from_secs(5);

/// The longest that a packet is under way: what the deactivation delay leaves beside the activation delay and the
/// time between the first and the last member's PUSH.
const LATENCY_MS_MAX: u32 = 3_000;

fn transform() -> impl Strategy<Value = EspTransform> {
    prop::sample::select(EspTransform::ALL.to_vec())
}

/// Does what a member does when a rekey arrives.
fn rekey(plane: &mut Plane, now: Time, old: &Tek, new: &Tek) {
    plane.install(now, new.clone(), now + ACTIVATION_DELAY, &[sid(1)]).unwrap();
    plane.deactivate(now, old.spi, now + DEACTIVATION_DELAY);
}

proptest! {
    /// ```text
    ///            PUSH arrives       sender changes over              old TEK is removed
    /// sender     ──┼── old ───────────────┼── new ────────────────────────┼────
    /// receiver   ────────┼── both ─────────────────────────────────────────┼────
    /// ```
    #[test]
    fn no_packet_is_lost_whenever_the_rekey_arrives_before_the_activation_delay_ends(
        transform in transform(),
        sender_push_ms in 0..1_000u32,
        receiver_push_ms in 0..1_000u32,
        mut packets in prop::collection::vec((0..9_000u32, 0..LATENCY_MS_MAX), 1..80),
        with_timers in any::<bool>(),
    ) {
        let (old, new) = (tek(0x1000, transform), tek(0x2000, transform));
        let (mut sender, mut receiver) = pair(&old);
        packets.sort_unstable();
        let mut in_flight = vec![];
        let mut pushed = false;
        for (sent_ms, latency_ms) in packets {
            let now = NOW + MS * sent_ms;
            if !pushed && sent_ms >= sender_push_ms {
                rekey(&mut sender, NOW + MS * sender_push_ms, &old, &new);
                pushed = true;
            }
            if with_timers {
                sender.handle_timeout(now);
            }
            in_flight.push((sent_ms + latency_ms, sender.seal(now, 17, &sent_ms.to_be_bytes()).unwrap()));
        }
        in_flight.sort();
        let mut pushed = false;
        for (arrives_ms, esp) in in_flight {
            let now = NOW + MS * arrives_ms;
            if !pushed && arrives_ms >= receiver_push_ms {
                rekey(&mut receiver, NOW + MS * receiver_push_ms, &old, &new);
                pushed = true;
            }
            if with_timers {
                receiver.handle_timeout(now);
            }
            prop_assert!(receiver.open(now, address(1), &esp).is_ok(), "{} ms", arrives_ms);
        }
        prop_assert_eq!(receiver.counts().dropped(), 0);
    }

    /// Whatever order of installations, activations, deactivations and times: a packet never goes out under an
    /// association that is older than one under which packets went before, or than one that superseded it, or whose time
    /// is over.
    #[test]
    fn a_sender_never_goes_back_to_an_older_key(
        transform in transform(),
        steps in prop::collection::vec((0..5u8, 0..8u32, 0..4_000u32), 1..60),
    ) {
        let mut plane = plane(Role::Sender);
        let mut now = NOW;
        let mut installed = 0;
        let mut newest_sent = 0;
        let mut ends = vec![Time::from_micros(u64::MAX); 64];
        let mut stops = vec![];
        for (kind, which, wait_ms) in steps {
            match kind {
                0 => {
                    installed += 1;
                    let tek = Tek {
                        lifetime: MS * (wait_ms + 1_000),
                        ..tek(0x1000 + installed, transform)
                    };
                    ends[installed as usize] = now + tek.lifetime;
                    plane.install(now, tek, now + MS * (which * 200), &[sid(1)]).unwrap();
                }
                1 if installed > 0 => {
                    let one = 1 + which % installed;
                    let spi = tek(0x1000 + one, transform).spi;
                    let at = now + MS * wait_ms;
                    plane.deactivate(now, spi, at);
                    ends[one as usize] = ends[one as usize].min(at);
                }
                2 => now = now + MS * wait_ms,
                3 if installed > 0 => {
                    let one = 1 + which % installed;
                    let at = now + MS * wait_ms;
                    plane.supersede_older(now, tek(0x1000 + one, transform).spi, at);
                    if now < ends[one as usize] {
                        stops.push((one, at));
                    }
                }
                _ => match plane.seal(now, 17, b"data") {
                    Ok(esp) => {
                        let spi = u32::from_be_bytes(esp[..4].try_into().unwrap());
                        prop_assert!(spi >= newest_sent, "{:x} after {:x}", spi, newest_sent);
                        let number = spi - 0x1000;
                        prop_assert!(now < ends[number as usize]);
                        // One that is removed before the older ones are to stop has no say in it.
                        let is_stopped =
                            |(one, at): &(u32, Time)| number < *one && *at <= now && *at < ends[*one as usize];
                        prop_assert!(!stops.iter().any(is_stopped));
                        newest_sent = spi;
                    }
                    Err(error) => prop_assert_eq!(error, Error::NotActive),
                },
            }
        }
    }
}

#[test]
fn changes_over_when_the_activation_delay_ends_and_removes_the_old_one_later() {
    let (old, new) = (tek(0x1000, EspTransform::Aes128Gcm16), tek(0x2000, EspTransform::Aes128Gcm16));
    let mut plane = plane(Role::Both);
    plane.install(NOW, old.clone(), NOW, &[sid(1)]).unwrap();
    rekey(&mut plane, NOW, &old, &new);
    let stages = |plane: &Plane| plane.status().iter().map(|sa| sa.stage).collect::<Vec<_>>();
    let spi = |plane: &mut Plane, now| plane.seal(now, 17, b"data").unwrap()[..4].to_vec();

    assert_eq!(plane.poll_timeout(), Some(NOW + ACTIVATION_DELAY));
    assert_eq!(stages(&plane), [Stage::Current, Stage::Leading]);
    assert_eq!(spi(&mut plane, NOW + ACTIVATION_DELAY - MS), [0, 0, 0x10, 0]);
    assert_eq!(spi(&mut plane, NOW + ACTIVATION_DELAY), [0, 0, 0x20, 0], "even if the timer was late");
    assert_eq!(stages(&plane), [Stage::Trailing, Stage::Current]);
    assert_eq!(plane.poll_timeout(), Some(NOW + DEACTIVATION_DELAY));
    plane.handle_timeout(NOW + DEACTIVATION_DELAY);
    assert_eq!(stages(&plane), [Stage::Current]);
    assert_eq!(plane.poll_timeout(), Some(NOW + new.lifetime));

    let events: Vec<Event> = std::iter::from_fn(|| plane.poll_event()).collect();
    assert_eq!(events, [Event::Activated(old.spi), Event::Activated(new.spi), Event::Deactivated(old.spi)]);
}

// old ─────────┤ stops                 ├── new
#[test]
fn nothing_is_sent_between_the_stop_of_the_old_one_and_the_start_of_the_new() {
    let (old, new) = (tek(0x1000, EspTransform::Aes128Gcm16), tek(0x2000, EspTransform::Aes128Gcm16));
    let mut plane = plane(Role::Both);
    plane.install(NOW, old.clone(), NOW, &[sid(1)]).unwrap();
    plane.install(NOW, new.clone(), NOW + ACTIVATION_DELAY, &[sid(1)]).unwrap();
    let stop = NOW + ACTIVATION_DELAY / 4;
    plane.supersede_older(NOW, new.spi, stop);
    plane.supersede_older(NOW, new.spi, stop + MS);
    assert_eq!(plane.poll_timeout(), Some(stop));
    let spi = |plane: &mut Plane, now| plane.seal(now, 17, b"data").map(|esp| esp[..4].to_vec());
    assert_eq!(spi(&mut plane, stop - MS), Ok(vec![0, 0, 0x10, 0]));
    assert_eq!(spi(&mut plane, stop), Err(Error::NotActive), "even if the timer was late");
    assert_eq!(plane.poll_timeout(), Some(NOW + ACTIVATION_DELAY));
    let stages: Vec<_> = plane.status().iter().map(|sa| sa.stage).collect();
    assert_eq!(stages, [Stage::Trailing, Stage::Leading], "both receive");
    assert_eq!(spi(&mut plane, NOW + ACTIVATION_DELAY - MS), Err(Error::NotActive));
    assert_eq!(spi(&mut plane, NOW + ACTIVATION_DELAY), Ok(vec![0, 0, 0x20, 0]));
    assert_eq!(plane.counts()[Counter::NotActive], 2);
}

#[test]
fn a_new_association_receives_before_it_sends() {
    let new = tek(0x2000, EspTransform::Aes128Gcm16);
    let (mut ahead, _) = pair(&new);
    let esp = ahead.seal(NOW, 17, b"early").unwrap();
    let mut member = plane(Role::Both);
    member.install(NOW, new, NOW + ACTIVATION_DELAY, &[sid(2)]).unwrap();
    assert_eq!(member.seal(NOW, 17, b"data"), Err(Error::NotActive));
    assert_eq!(member.open(NOW, address(1), &esp).unwrap().payload, b"early");
}

#[test]
fn an_association_ends_with_its_lifetime() {
    let tek = tek(0x1000, EspTransform::Aes128Gcm16);
    let (mut sender, mut receiver) = pair(&tek);
    let esp = sender.seal(NOW, 17, b"data").unwrap();
    let end = NOW + tek.lifetime;
    assert_eq!(receiver.poll_timeout(), Some(end));
    assert_eq!(receiver.open(end, address(1), &esp), Err(Error::RetiredSpi(tek.spi)));
    assert_eq!(sender.seal(end, 17, b"data"), Err(Error::NotActive));
    let events: Vec<Event> = std::iter::from_fn(|| receiver.poll_event()).collect();
    assert_eq!(events, [Event::Activated(tek.spi), Event::Expired(tek.spi)], "and no unknown SPI");
    assert_eq!(receiver.poll_timeout(), None);
}

#[test]
fn who_leaves_is_deaf_and_mute_at_once() {
    for transform in EspTransform::ALL {
        let (old, new) = (tek(0x1000, transform), tek(0x2000, transform));
        let (mut sender, mut receiver) = pair(&old);
        rekey(&mut receiver, NOW, &old, &new);
        let esp = sender.seal(NOW, 17, b"data").unwrap();
        receiver.delete_all();
        sender.delete_all();
        assert_eq!(receiver.open(NOW, address(1), &esp), Err(Error::RetiredSpi(old.spi)));
        assert_eq!(sender.seal(NOW, 17, b"data"), Err(Error::NotActive));
        assert!(receiver.status().is_empty());
        assert_eq!(receiver.poll_timeout(), None);
    }
}

#[test]
fn an_unknown_spi_asks_for_attention_now_and_then() {
    let mut receiver = plane(Role::Receiver);
    let packet = |spi: u32| [&spi.to_be_bytes()[..], &[0; 60]].concat();
    for spi in 0x3000..0x3100 {
        assert_eq!(receiver.open(NOW, address(1), &packet(spi)), Err(Error::UnknownSpi(spi)));
    }
    assert_eq!(receiver.poll_event(), Some(Event::UnknownSpi(0x3000)));
    assert_eq!(receiver.poll_event(), None);
    let later = NOW + Duration::from_secs(1);
    let _ = receiver.open(later, address(1), &packet(0x3000));
    assert_eq!(receiver.poll_event(), Some(Event::UnknownSpi(0x3000)));
    // Reserved SPIs are nobody's key (RFC 4303 section 2.1).
    let reserved = receiver.open(later + Duration::from_secs(1), address(1), &packet(255));
    assert_eq!((reserved, receiver.poll_event()), (Err(Error::UnknownSpi(255)), None));
    assert_eq!(receiver.open(NOW, address(1), &[0, 0, 0]), Err(Error::Truncated));
    assert_eq!(receiver.counts()[Counter::UnknownSpi], 0x100 + 2);
    assert_eq!(receiver.counts()[Counter::Truncated], 1);
}

#[test]
fn a_caller_that_polls_nothing_costs_little() {
    let config = PlaneConfig { unknown_spi_interval: Duration::ZERO, ..PlaneConfig::new(Role::Receiver, 16) };
    let mut receiver = Plane::new(provider(), config, Box::new(SeededRandom::new(1)));
    for spi in 0x3000..0x4000u32 {
        let _ = receiver.open(NOW, address(1), &spi.to_be_bytes());
    }
    assert_eq!(std::iter::from_fn(|| receiver.poll_event()).count(), EVENTS_MAX);
}

#[test]
fn a_repeated_installation_keeps_windows_and_numbers() {
    for transform in EspTransform::ALL {
        let tek = tek(0x1000, transform);
        let (mut sender, mut receiver) = pair(&tek);
        let esp = sender.seal(NOW, 17, b"data").unwrap();
        receiver.open(NOW, address(1), &esp).unwrap();
        for plane in [&mut sender, &mut receiver] {
            plane.install(NOW, tek.clone(), NOW, &[sid(1)]).unwrap();
        }
        assert_eq!(receiver.open(NOW, address(1), &esp), Err(Error::Replayed));
        assert_eq!(sender.seal(NOW, 17, b"data").unwrap()[4..8], [0, 0, 0, 2]);
        assert_eq!(sender.status().len(), 1);
    }
}

#[test]
fn a_repeated_installation_takes_the_new_lifetime_and_the_earlier_activation() {
    let tek = tek(0x1000, EspTransform::Aes128Gcm16);
    let mut member = plane(Role::Both);
    member.install(NOW, tek.clone(), NOW + ACTIVATION_DELAY, &[]).unwrap();
    assert_eq!(member.poll_event(), Some(Event::Exhausting(tek.spi)), "a sender needs a sender id");
    let shorter = Tek { lifetime: Duration::from_secs(10), ..tek.clone() };
    member.install(NOW, shorter, NOW, &[sid(1)]).unwrap();
    assert!(member.seal(NOW, 17, b"data").is_ok());
    assert_eq!(member.poll_timeout(), Some(NOW + Duration::from_secs(10)));
}

#[test]
fn refuses_keys_and_spis_that_are_in_use() {
    let first = tek(0x1000, EspTransform::Aes128Gcm16);
    let same_spi = Tek { keys: tek(0x2000, first.transform).keys, ..first.clone() };
    let same_key = Tek { keys: first.keys.clone(), ..tek(0x2000, first.transform) };
    let short = SecretBytes::copy_of(&[7; 16]);
    let wrong_length = Tek {
        keys: TekKeys { encryption: short, integrity: SecretBytes::copy_of(&[]) },
        ..tek(0x2000, first.transform)
    };
    let mut member = plane(Role::Both);
    member.install(NOW, first.clone(), NOW, &[sid(1)]).unwrap();
    assert_eq!(member.install(NOW, same_spi, NOW, &[sid(1)]), Err(Error::SpiInUse(first.spi)));
    assert_eq!(member.install(NOW, same_key, NOW, &[sid(1)]), Err(Error::KeyReused(first.spi)));
    let error = member.install(NOW, wrong_length, NOW, &[sid(1)]).unwrap_err();
    assert_eq!(error.reason(), "crypto");
    assert_eq!(member.status().len(), 1);
}

#[test]
fn holds_a_limited_number_of_associations() {
    let mut member = plane(Role::Receiver);
    for spi in 0..SAS_MAX as u32 {
        member.install(NOW, tek(0x1000 + spi, EspTransform::Aes128Gcm16), NOW, &[]).unwrap();
    }
    let one_more = tek(0x9000, EspTransform::Aes128Gcm16);
    assert_eq!(member.install(NOW, one_more.clone(), NOW, &[]), Err(Error::TooManySas));
    member.deactivate(NOW, tek(0x1000, EspTransform::Aes128Gcm16).spi, NOW);
    assert_eq!(member.install(NOW, one_more, NOW, &[]), Ok(()));
}

#[test]
fn who_may_not_send_does_not() {
    let tek = tek(0x1000, EspTransform::Aes128Gcm16);
    let mut receiver = plane(Role::Receiver);
    receiver.install(NOW, tek.clone(), NOW, &[sid(1)]).unwrap();
    assert_eq!(receiver.seal(NOW, 17, b"data"), Err(Error::NotSender));
    assert_eq!(receiver.status()[0].remaining, None);

    let mut sender = plane(Role::Sender);
    sender.install(NOW, tek.clone(), NOW, &[]).unwrap();
    assert_eq!(sender.seal(NOW, 17, b"data"), Err(Error::NoSenderId));
    sender.set_sender_ids(&[sid(1)]).unwrap();
    assert!(sender.seal(NOW, 17, b"data").is_ok());
    assert_eq!((sender.counts()[Counter::NoSenderId], sender.counts().dropped()), (1, 1));
}

#[test]
fn a_plane_that_loses_the_sender_role_sends_nothing_more_and_opens_everything() {
    let (mut sender, mut other) = (plane(Role::Both), plane(Role::Both));
    let tek = tek(0x101, EspTransform::Aes128Gcm16);
    sender.install(NOW, tek.clone(), NOW, &[sid(1)]).unwrap();
    other.install(NOW, tek, NOW, &[sid(2)]).unwrap();
    sender.seal(NOW, 17, b"before").unwrap();
    sender.narrow(Role::Receiver);
    assert_eq!(sender.seal(NOW, 17, b"after").unwrap_err(), Error::NotSender);
    let packet = other.seal(NOW, 17, b"from another").unwrap();
    assert_eq!(sender.open(NOW, address(2), &packet).unwrap().payload, b"from another");
    // Nothing brings it back but a plane made anew.
    sender.narrow(Role::Both);
    assert_eq!(sender.seal(NOW, 17, b"again").unwrap_err(), Error::NotSender);
}
