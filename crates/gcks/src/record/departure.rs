//! How a host came to be out of a group.

use claviger_wire::DecodeError;

use super::{
    Version,
    field::read_coded,
    member::{read_time, write_time},
};
use crate::{admission::departed::Departed, event::Departure};

pub(crate) fn encode(departed: &Departed) -> Vec<u8> {
    super::encode(|w| {
        w.u8(code(departed.why));
        w.u8(u8::from(departed.was_member));
        write_time(w, departed.at);
        write_time(w, departed.unreadable_from.unwrap_or_default());
        write_time(w, departed.silent_from.unwrap_or_default());
    })
}

pub(crate) fn decode(octets: &[u8]) -> Result<Departed, DecodeError> {
    super::decode_any(octets, |version, r| {
        let why = read_coded(r, "departure", ALL, code)?;
        let was_member = match r.u8("was member")? {
            0 => false,
            1 => true,
            value => return Err(DecodeError::Value { field: "was member", value: value.into() }),
        };
        let at = read_time(r, "departed")?;
        let mut instant = |field| {
            let at = read_time(r, field)?;
            Ok::<_, DecodeError>(Some(at).filter(|at| *at != Default::default()))
        };
        let unreadable_from = instant("unreadable from")?;
        let silent_from = match version {
            Version::Three | Version::Four => None,
            Version::Five | Version::Six | Version::Seven => instant("silent from")?,
        };
        Ok(Departed { why, was_member, at, unreadable_from, silent_from })
    })
}

const ALL: [Departure; 4] =
    [Departure::Left, Departure::Evicted, Departure::Expired, Departure::NotNamedAgain];

fn code(why: Departure) -> u8 {
    match why {
        Departure::Left => 0,
        Departure::Evicted => 1,
        Departure::Expired => 2,
        Departure::NotNamedAgain => 3,
    }
}
