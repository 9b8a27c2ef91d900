//! What the tests of this crate share: keys, members and hexadecimal.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part of this")]

use std::{net::IpAddr, time::Duration};

use claviger_crypto::{SecretBytes, SeededRandom, provider};
use claviger_esp::{Plane, PlaneConfig, SenderId};
use claviger_group::{Channel, Encapsulation, EspTransform, Role, Spi, Tek, tek::TekKeys};
use claviger_sansio::Time;

pub const NOW: Time = Time::from_secs(1_000_000);

/// A TEK with its own keys for each SPI.
pub fn tek(spi: u32, transform: EspTransform) -> Tek {
    Tek {
        spi: Spi::new(spi).expect("tests use SPIs above 255"),
        transform,
        keys: TekKeys::generate(transform, &mut SeededRandom::new(spi.into())),
        channel: Channel::new("239.192.0.1".parse().unwrap(), None).unwrap(),
        encapsulation: Encapsulation::UdpTransport,
        encapsulation_port: 4500,
        application_port: 0,
        lifetime: Duration::from_secs(3600),
    }
}

/// A TEK with given keys.
pub fn tek_with_keys(spi: u32, transform: EspTransform, encryption: &[u8], integrity: &[u8]) -> Tek {
    let (encryption, integrity) = (SecretBytes::copy_of(encryption), SecretBytes::copy_of(integrity));
    Tek { keys: TekKeys::new(transform, encryption, integrity).unwrap(), ..tek(spi, transform) }
}

pub fn plane(role: Role) -> Plane {
    Plane::new(provider(), PlaneConfig::new(role, 16), Box::new(SeededRandom::new(9)))
}

/// A sender and a receiver that hold the same TEK, which is active.
pub fn pair(tek: &Tek) -> (Plane, Plane) {
    let (mut sender, mut receiver) = (plane(Role::Sender), plane(Role::Receiver));
    sender.install(NOW, tek.clone(), NOW, &[sid(1)]).unwrap();
    receiver.install(NOW, tek.clone(), NOW, &[]).unwrap();
    (sender, receiver)
}

pub fn sid(value: u32) -> SenderId {
    SenderId::new(16, value).expect("tests use ids of 16 bits")
}

pub fn address(last: u8) -> IpAddr {
    [192, 0, 2, last].into()
}

/// Reads hexadecimal digits between any white space.
pub fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|d| d as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}
