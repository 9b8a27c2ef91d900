//! The vectors of `docs/vectors/cookie.txt`: an I1 that asks for a cookie, the R1 that brings one, and the I1 with it.
//!
//! `CLAVIGER_RECORD_VECTORS=1` makes them anew; nothing in them is drawn by chance.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{path::Path, sync::Once};

use claviger_hip::{
    NoItem,
    iana::{DhGroup, PacketType},
    rules,
    wire::{Cookie, DhGroupList, Packet, PacketBuilder},
};
use claviger_identity::Hit;
use claviger_testkit::vector::{VectorWriter, Vectors};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/vectors/cookie.txt");
const SECTION: &str = "cookie";

/// What the three packets are made of.
struct Exchange {
    member: Hit,
    server: Hit,
    groups: DhGroupList,
    cookie: Cookie,
}

impl Exchange {
    fn question(&self) -> Vec<u8> {
        self.i1(&Cookie::asking(self.cookie.nonce))
    }

    fn answer(&self) -> Vec<u8> {
        PacketBuilder::new(PacketType::R1, self.server, self.member).add(&self.cookie).finish().unwrap()
    }

    fn proof(&self) -> Vec<u8> {
        self.i1(&self.cookie)
    }

    fn i1(&self, cookie: &Cookie) -> Vec<u8> {
        let mut builder = PacketBuilder::new(PacketType::I1, self.member, self.server);
        builder.add(&self.groups).add(cookie).finish().unwrap()
    }
}

fn record() {
    let exchange = Exchange {
        member: Hit::new([0x20; 16]),
        server: Hit::new([0x21; 16]),
        groups: DhGroupList(vec![DhGroup::NIST_P256, DhGroup::NIST_P384]),
        cookie: Cookie {
            nonce: std::array::from_fn(|position| 1 + position as u8),
            cookie: std::array::from_fn(|position| 0x11 + position as u8),
        },
    };
    let mut w = VectorWriter::default();
    w.comment("Test vectors of COOKIE. Explained in docs/vectors.md.").section(SECTION);
    w.octets("member's HIT", exchange.member.octets()).octets("key server's HIT", exchange.server.octets());
    w.octets("nonce", &exchange.cookie.nonce).octets("cookie", &exchange.cookie.cookie);
    w.octets("I1 that asks", &exchange.question());
    w.octets("R1 with the cookie", &exchange.answer());
    w.octets("I1 with the cookie", &exchange.proof());
    w.write(Path::new(FILE));
}

#[test]
fn the_packets_of_a_cookie_are_those_that_are_published() {
    let vectors = Vectors::published(Path::new(FILE), &Once::new(), record);
    let [question, answer, proof] = ["I1 that asks", "R1 with the cookie", "I1 with the cookie"]
        .map(|name| vectors.octets(SECTION, name));
    let exchange = Exchange {
        member: Hit::new(vectors.array(SECTION, "member's HIT")),
        server: Hit::new(vectors.array(SECTION, "key server's HIT")),
        groups: Packet::parse(question).unwrap().one().unwrap(),
        cookie: Cookie { nonce: vectors.array(SECTION, "nonce"), cookie: vectors.array(SECTION, "cookie") },
    };
    assert_eq!(exchange.question(), question);
    assert_eq!(exchange.answer(), answer);
    assert_eq!(exchange.proof(), proof);
    for octets in [question, answer, proof] {
        let packet = Packet::parse(octets).unwrap();
        assert_eq!(rules::check::<NoItem>(&packet), Ok(()));
        assert_eq!(rules::brings_a_cookie(&packet), packet.packet_type() == PacketType::R1);
    }
}
