//! What tshark 4.0 thinks of our packets: an opinion that is not our own.
//!
//! It reads HOST_ID and HIP_SIGNATURE as HIPv1 had them: HIPv2's length and algorithm fields of HOST_ID look to it like
//! the flags of an old one, of an unknown algorithm, with octets left over. So of those two parameters only type and
//! length are believed, and of its remarks only these are accepted, in packets with a HOST_ID: [`HOST_ID_REMARKS`].

#![expect(clippy::unwrap_used, reason = "a test says what failed by panicking")]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
    thread,
    time::Duration,
};

use claviger_group::{EspTransform, Tek};
use claviger_testkit::{
    capture::Recording,
    lab::{self, Lab, laboratory},
    process::eventually,
    tshark::{EspSa, Tshark},
};
use support::{Film, KeyServer, Listener, MARK, PATIENCE, Screen, TUN};

/// tshark's remarks about a HOST_ID of HIPv2.
const HOST_ID_REMARKS: [&str; 2] = ["Unknown algorithm type", "Trailing stray characters"];

/// The type of HOST_ID (RFC 7401 section 5.2.9).
const HOST_ID: u32 = 705;

/// What stands in each packet of a registration and its end, in this order, by packet type.
const PACKETS: [(&str, &str, &[u32]); 8] = [
    // DH_GROUP_LIST, COOKIE
    ("1", "I1", &[511, 38420]),
    // R1_COUNTER, PUZZLE, DH_GROUP_LIST, DIFFIE_HELLMAN, HIP_CIPHER, HOST_ID, HIT_SUITE_LIST, REG_INFO, TRANSPORT_FORMAT_LIST,
    // ESP_TRANSFORM for hosts that want a transport, HIP_SIGNATURE_2
    ("2", "R1", &[129, 257, 511, 513, 579, 705, 715, 930, 2049, 4095, 61633]),
    // R1_COUNTER, SOLUTION, DIFFIE_HELLMAN, HIP_CIPHER, ENCRYPTED, REG_REQUEST, TRANSPORT_FORMAT_LIST, HIP_MAC, HIP_SIGNATURE
    ("3", "I2", &[129, 321, 513, 579, 641, 932, 2049, 61505, 61697]),
    // ENCRYPTED, REG_RESPONSE, HIP_MAC_2, HIP_SIGNATURE
    ("4", "R2", &[641, 934, 61569, 61697]),
    // SEQ, ENCRYPTED, REG_RESPONSE, HIP_MAC, HIP_SIGNATURE: an eviction
    ("16", "UPDATE", &[385, 641, 934, 61505, 61697]),
    // ACK, HIP_MAC, HIP_SIGNATURE
    ("16", "UPDATE that acknowledges", &[449, 61505, 61697]),
    // ECHO_REQUEST_SIGNED, HIP_MAC, HIP_SIGNATURE
    ("18", "CLOSE", &[897, 61505, 61697]),
    // ECHO_RESPONSE_SIGNED, HIP_MAC, HIP_SIGNATURE
    ("19", "CLOSE_ACK", &[961, 61505, 61697]),
];

#[test]
fn tshark_decodes_hip_on_both_carriages_and_isakmp_without_a_malformed_mark() {
    let test = "tshark_decodes_hip_on_both_carriages_and_isakmp_without_a_malformed_mark";
    if !lab::installed(test, &[lab::TSHARK]) {
        return;
    }
    laboratory(test, 3, |lab| {
        for raw in [true, false] {
            for like in [IpAddr::V4(lab.host(1).ipv4()), lab.host(1).ipv6().into()] {
                let recording = registrations(lab, like, raw);
                let file = lab.directory().join("control.pcap");
                recording.write(&file).unwrap();
                hip_is_sound(&file, raw, like);
                isakmp_is_sound(&file);
            }
        }
    });
}

/// Two members join; one leaves, the other is evicted. What the key server's host saw.
fn registrations(lab: &Lab, like: IpAddr, raw: bool) -> Recording {
    let control = lab.host(1).capture();
    {
        let server = KeyServer::start(lab, lab.host(1), raw);
        let group = if like.is_ipv4() { "239.192.7.8" } else { "ff15::78" };
        server.add_group("film", &["--address", group]);
        let [mut leaves, mut evicted] = [2, 3].map(|number| {
            let identity = server.identity(lab.host(number));
            server.allow("film", &identity, "receiver");
            let mut member = server.join(identity, like, "film", &[]);
            // One after the other: a PULL that another join overtakes is refused, and there is an Informational exchange.
            member.wait_until_keyed();
            member
        });
        server.ask(&["rekey", "--group", "film"]);
        server.ask(&["rekey", "--group", "film", "--key", "kek"]);
        leaves.leave();
        assert!(server.evict("film", &evicted.hit).was_member);
        evicted.daemon.wait(PATIENCE);
    }
    for number in 1..=3 {
        let state = if number == 1 { "server".to_owned() } else { format!("member{number}") };
        std::fs::remove_dir_all(lab.directory().join(state)).unwrap();
    }
    control.stop()
}

fn hip_is_sound(file: &std::path::Path, raw: bool, like: IpAddr) {
    let carriage = if raw { "ip.proto == 139 || ipv6.nxt == 139" } else { "udp.port == 10500" };
    let rows = Tshark::new(file).filter(&format!("hip && ({carriage})")).fields(&[
        "hip.packet_type",
        "hip.version",
        "hip.checksum.status",
        "hip.checksum",
        "hip.type",
        "_ws.malformed",
        "_ws.expert.message",
        "hip.tlv.reg_type",
        "hip.tlv_puzzle_k",
    ]);
    let what = format!("{like} {}", if raw { "IP protocol 139" } else { "UDP" });
    let mut counts = BTreeMap::<&str, usize>::new();
    for row in &rows {
        let [kind, version, checked, checksum, types, malformed, remarks, services, difficulty] = &row[..]
        else {
            panic!("{what}: {row:?}")
        };
        assert_eq!(version, &["2"], "{what}: {row:?}");
        if raw {
            assert_eq!(checked, &["1"], "{what}: a good checksum: {row:?}");
        } else {
            // RFC 5770 section 5.1: on UDP the field is zero, for UDP has a checksum of its own.
            assert_eq!(checksum, &["0x0000"], "{what}: {row:?}");
        }
        let types: Vec<u32> = types.iter().map(|number| number.parse().unwrap()).collect();
        let known =
            PACKETS.iter().find(|(number, _, known)| kind.as_slice() == [*number] && types == **known);
        let (_, name, _) = known.unwrap_or_else(|| panic!("{what}: packet type {kind:?} with {types:?}"));
        *counts.entry(name).or_default() += 1;
        assert_eq!(malformed, &[] as &[String], "{what}: {name}: {row:?}");
        let has_host_id = types.contains(&HOST_ID);
        for remark in remarks {
            assert!(has_host_id && HOST_ID_REMARKS.contains(&remark.as_str()), "{what}: {name}: {remark}");
        }
        if ["R1", "I2", "R2"].contains(name) {
            assert!(services.contains(&"201".to_owned()), "{what}: {name}: services {services:?}");
        }
        assert_eq!(difficulty.is_empty(), *name != "R1", "{what}: {name}");
    }
    for (_, name, _) in PACKETS {
        let wanted = if ["I1", "R1", "I2", "R2"].contains(&name) { 2 } else { 1 };
        assert!(counts.get(name).copied().unwrap_or(0) >= wanted, "{what}: {name}: {counts:?}");
    }
}

fn isakmp_is_sound(file: &std::path::Path) {
    let rows = Tshark::new(file).filter("isakmp").fields(&[
        "isakmp.exchangetype",
        "isakmp.flag_e",
        "isakmp.length",
        "udp.length",
        "isakmp.messageid",
        "isakmp.version",
        "_ws.malformed",
        "_ws.expert.message",
    ]);
    let mut messages = BTreeMap::<String, BTreeSet<String>>::new();
    for row in &rows {
        let number = |at: usize| row[at][0].parse::<u32>().unwrap();
        assert!(["32", "33"].contains(&row[0][0].as_str()), "PULL or PUSH: {row:?}");
        assert_eq!(row[1], ["1"], "encrypted: {row:?}");
        assert_eq!(number(2) + 8, number(3), "the length is the datagram's: {row:?}");
        assert_eq!(row[5], ["0x10"], "version 1.0: {row:?}");
        assert!(row[6].is_empty() && row[7].is_empty(), "{row:?}");
        messages.entry(row[0][0].clone()).or_default().insert(row[4][0].clone());
    }
    assert!(messages["32"].len() >= 2, "two PULLs: {messages:?}");
    assert!(!messages["32"].contains("0x00000000"), "a PULL has a message id: {messages:?}");
    assert_eq!(messages["33"], ["0x00000000".to_owned()].into(), "a PUSH has none (RFC 6407 section 4.2)");
}

#[test]
fn tshark_opens_the_groups_esp_with_the_keys_of_a_member() {
    let test = "tshark_opens_the_groups_esp_with_the_keys_of_a_member";
    if lab::installed(test, &[lab::TSHARK]) && lab::tun_permitted(test) {
        laboratory(test, 4, |lab| {
            for (encapsulation, transform, options) in [
                ("transport", "aes128-gcm", &[][..]),
                ("tunnel", "aes128-gcm", &[]),
                ("transport", "aes128-cbc-sha256", &["--replayable"]),
            ] {
                esp_opens(lab, encapsulation, transform, options);
            }
        });
    }
}

fn esp_opens(lab: &Lab, encapsulation: &str, transform: &str, options: &[&str]) {
    let what = format!("{transform} {encapsulation}");
    let group = Ipv4Addr::new(239, 192, 7, 9);
    let server = KeyServer::start(lab, lab.host(1), false);
    let address = group.to_string();
    let policy = ["--address", &address, "--encapsulation", encapsulation, "--transform", transform];
    server.add_group("film", &[&policy, options].concat());
    let [mut sender, mut receiver] = [(2, "both"), (3, "receiver")].map(|(number, role)| {
        let identity = server.identity(lab.host(number));
        server.allow("film", &identity, role);
        let options = if role == "both" { &["--tun", TUN, "--sender"][..] } else { &["--tun", TUN] };
        server.join(identity, group.into(), "film", options)
    });
    let (identity, hit) = Listener::identity();
    server.ask(&["member", "allow", "--group", "film", &hit]);
    let listener = Listener::join(lab.host(4), identity, (server.hit(), lab.host(1).ipv4()), "film");
    sender.wait_until_keyed();
    receiver.wait_until_keyed();

    // A film with a change of keys in the middle.
    thread::sleep(Duration::from_secs(2));
    let wire = lab.host(2).capture();
    let screen = Screen::start(lab.host(3), group.into());
    let film = Film::start(lab.host(2), group.into());
    eventually("the film is seen", PATIENCE, || (screen.seen().len() > 20).then_some(()));
    let seen = screen.seen().len();
    server.ask(&["rekey", "--group", "film"]);
    let old = receiver.keys().current();
    eventually("the keys change", PATIENCE, || (receiver.keys().current() != old).then_some(()));
    eventually("the film goes on", PATIENCE, || (screen.seen().len() > seen + 150).then_some(()));
    let sent = film.stop().len();
    let file = lab.directory().join("esp.pcap");
    wire.stop().write(&file).unwrap();
    let teks = listener.stop();

    let tshark =
        teks.iter().fold(Tshark::new(&file).filter("esp"), |tshark, tek| tshark.esp(&sa(tek, &address)));
    let rows = tshark.fields(&[
        "esp.spi",
        "esp.icv_good",
        "esp.icv_bad",
        "esp.decrypted_data",
        "esp.protocol",
        "_ws.malformed",
        "udp.payload",
        "esp.contained_data",
    ]);
    assert_eq!(rows.len(), sent, "{what}: a packet for each picture");
    let next_header = if encapsulation == "tunnel" { "0x04" } else { "0x11" };
    for (number, row) in rows.iter().enumerate() {
        assert_eq!(
            (&row[1][..], &row[2][..]),
            (&["1".to_owned()][..], &["0".to_owned()][..]),
            "{what}: {row:?}"
        );
        assert_eq!(row[4], [next_header], "{what}: {row:?}");
        assert!(row[5].is_empty(), "{what}: {row:?}");
        let picture = [MARK, number.to_string().as_bytes()].concat();
        let picture: String = picture.iter().map(|octet| format!("{octet:02x}")).collect();
        assert!(
            row.iter().flatten().any(|value| value.replace(':', "").contains(&picture)),
            "{what}: {row:?}"
        );
    }
    let spis: BTreeSet<_> = rows.iter().map(|row| row[0][0].clone()).collect();
    assert!(spis.len() >= 2, "{what}: before and after the change of keys: {spis:?}");

    // And not with other keys: what opens it is the key.
    let wrong = teks.iter().fold(Tshark::new(&file).filter("esp"), |tshark, tek| {
        let mut sa = sa(tek, &address);
        sa.key = vec![0; sa.key.len()];
        tshark.esp(&sa)
    });
    let clear: String = MARK.iter().map(|octet| format!("{octet:02x}")).collect();
    for row in wrong.fields(&["esp.decrypted_data", "udp.payload", "esp.contained_data"]) {
        assert!(
            !row.iter().flatten().any(|value| value.replace(':', "").contains(&clear)),
            "{what}: {row:?}"
        );
    }
    drop((sender, receiver, server));
    for state in ["server", "member2", "member3"] {
        std::fs::remove_dir_all(lab.directory().join(state)).unwrap();
    }
}

#[test]
fn tshark_opens_esp_in_udp_that_it_finds_by_the_port() {
    let test = "tshark_opens_esp_in_udp_that_it_finds_by_the_port";
    if !lab::installed(test, &[lab::TSHARK]) {
        return;
    }
    laboratory(test, 4, |lab| {
        let server = KeyServer::start(lab, lab.host(1), false);
        let group = Ipv4Addr::new(239, 192, 7, 10).to_string();
        server.add_group("film", &["--address", &group]);
        let mouth = server.identity(lab.host(2));
        server.allow("film", &mouth, "both");
        let (identity, hit) = Listener::identity();
        server.ask(&["member", "allow", "--group", "film", &hit]);
        let listener = Listener::join(lab.host(4), identity, (server.hit(), lab.host(1).ipv4()), "film");
        let wire = lab.host(2).capture();
        let mut send = support::claviger(&mouth.state);
        let place = server.place(lab.host(1).ipv4().into());
        send.args(["send", "--server", &place, "--group", "film", "--rate", "100k", "--size", "100"]);
        let text = MARK.repeat(200);
        mouth.host.run_with(send.args(["--port", "5004"]), &text).success();
        let file = lab.directory().join("udp.pcap");
        wire.stop().write(&file).unwrap();

        let teks = listener.stop();
        let tshark = Tshark::new(&file).filter("udp.dstport == 4500");
        let tshark = teks.iter().fold(tshark, |tshark, tek| tshark.esp(&sa(tek, &group)));
        let rows = tshark.fields(&[
            "frame.protocols",
            "esp.icv_good",
            "esp.protocol",
            "_ws.malformed",
            "udp.dstport",
            "udp.checksum.status",
            "udp.payload",
        ]);
        assert_eq!(rows.len(), text.len().div_ceil(100), "a packet for each piece");
        for (row, piece) in rows.iter().zip(text.chunks(100)) {
            assert!(row[0][0].contains(":udp:udpencap:esp:udp"), "{row:?}");
            assert_eq!(
                (row[1].as_slice(), row[2].as_slice()),
                (&["1".to_owned()][..], &["0x11".to_owned()][..])
            );
            assert!(row[3].is_empty(), "{row:?}");
            assert_eq!(row[4], ["4500", "5004"], "a UDP header without and one within");
            assert!(!row[5].contains(&"0".to_owned()), "no bad checksum: {row:?}");
            let piece: String = piece.iter().map(|octet| format!("{octet:02x}")).collect();
            assert!(row[6].iter().any(|value| value.replace(':', "") == piece), "{row:?}");
        }
    });
}

/// A traffic key as tshark's table wants it: of AES-GCM the salt stands behind the key.
fn sa(tek: &Tek, destination: &str) -> EspSa {
    let (cipher, authentication) = match tek.transform {
        EspTransform::Aes128Gcm16 | EspTransform::Aes256Gcm16 => {
            ("AES-GCM with 16 octet ICV [RFC4106]", "NULL")
        }
        EspTransform::Aes128CbcHmacSha256 | EspTransform::Aes256CbcHmacSha256 => {
            ("AES-CBC [RFC3602]", "HMAC-SHA-256-128 [RFC4868]")
        }
    };
    EspSa {
        version: "IPv4",
        destination: destination.to_owned(),
        spi: tek.spi.as_u32(),
        cipher,
        key: tek.keys.encryption.expose().to_vec(),
        authentication,
        authentication_key: tek.keys.integrity.expose().to_vec(),
    }
}
