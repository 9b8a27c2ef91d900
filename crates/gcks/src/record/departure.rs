//! How a host came to be out of a group.

use claviger_wire::DecodeError;

use super::{
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
    })
}

pub(crate) fn decode(octets: &[u8]) -> Result<Departed, DecodeError> {
    super::decode(octets, |r| {
        let why = read_coded(r, "departure", ALL, code)?;
        let was_member = match r.u8("was member")? {
            0 => false,
            1 => true,
            value => return Err(DecodeError::Value { field: "was member", value: value.into() }),
        };
        let at = read_time(r, "departed")?;
        let unreadable_from = Some(read_time(r, "unreadable from")?).filter(|at| *at != Default::default());
        Ok(Departed { why, was_member, at, unreadable_from })
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
