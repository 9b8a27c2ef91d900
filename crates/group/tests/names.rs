//! How names of groups, which anybody can make up, are shown.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use claviger_group::{GroupId, id::IdType};

#[test]
fn a_name_is_shown_in_graphic_ascii_only_and_reads_back() {
    for (octets, shown) in [
        ("caf\u{e9}".as_bytes(), r"caf\xc3\xa9"),
        ("pay\u{202e}lort".as_bytes(), r"pay\xe2\x80\xaelort"),
        ("mar\u{200b}ket".as_bytes(), r"mar\xe2\x80\x8bket"),
        ("a\u{a0}b\u{430}".as_bytes(), r"a\xc2\xa0b\xd0\xb0"),
        (b"line\nfeed\x1b[2J", r"line\x0afeed\x1b[2J"),
        (b"\xff\xfe", r"\xff\xfe"),
        (b"my radio", "my radio"),
        (b" a  b ", r"\x20a\x20\x20b\x20"),
        (b"#12345", r"\x2312345"),
        (b"0xfffff", r"\x30xfffff"),
        (br"a\b\x41", r"a\\b\\x41"),
        (b"\0\0\0\x07", "#7"),
        ("\u{20ac}\u{a0}".as_bytes(), r"\xe2\x82\xac\xc2\xa0"),
        (b"#123", "#590426675"),
        (br"a\bc", r"a\\bc"),
    ] {
        let id = GroupId::new(IdType::KEY_ID, octets).unwrap();
        assert_eq!(id.to_string(), shown);
        assert_eq!(format!("{id:?}"), format!("GroupId(11, {shown})"));
        assert_eq!(shown.parse::<GroupId>(), Ok(id), "{shown}");
    }
}

#[test]
fn every_octet_reads_back_at_every_place() {
    for octet in 0..=u8::MAX {
        for octets in [vec![octet], vec![b'\\', octet, b'4', b'1', b'x'], vec![octet; 4], vec![b'a', octet]] {
            let id = GroupId::new(IdType::KEY_ID, octets).unwrap();
            assert_eq!(id.to_string().parse::<GroupId>(), Ok(id));
        }
    }
}
