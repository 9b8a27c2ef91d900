//! A GROUPKEY-PUSH whose copies have not all left.

use std::net::{IpAddr, SocketAddr};

use claviger_group::{CookiePair, GroupId};
use claviger_sansio::{Socket, Transmit, durable::RecordKey};
use claviger_wire::{DecodeError, Reader, Writer};

/// Names the message by the rekey SA it is sent under and its sequence number, which never repeat together.
pub(crate) fn key(group: &GroupId, spi: &CookiePair, sequence: u32) -> RecordKey {
    let mut item = spi.0.to_vec();
    item.extend_from_slice(&sequence.to_be_bytes());
    RecordKey::new(super::scope(group), item)
}

/// Reads rekey SA and number back from the name of a message.
pub(crate) fn name_of(item: &[u8]) -> Result<(CookiePair, u32), DecodeError> {
    let mut r = Reader::new(item);
    let name = (CookiePair(r.array("push SPI")?), r.u32("push sequence number")?);
    r.finish()?;
    Ok(name)
}

pub(crate) fn encode(transmit: &Transmit, order: u64) -> Vec<u8> {
    let Transmit { socket, source, destination, payload } = transmit;
    match socket {
        // The record does not say it.
        Socket::Port848 => {}
        Socket::HipRaw | Socket::HipUdp => unreachable!("a GROUPKEY-PUSH is a message of ISAKMP"),
    }
    super::encode(|w| {
        w.u64(order);
        write_address(w, destination.ip());
        w.u16(destination.port());
        match source {
            Some(source) => write_address(w, source.ip()),
            None => w.u8(0),
        }
        w.slice(payload);
    })
}

/// Reads the message and its place among those of the group.
pub(crate) fn decode(octets: &[u8]) -> Result<(u64, Transmit), DecodeError> {
    super::decode(octets, |r| {
        let order = r.u64("push order")?;
        let address = read_address(r)?.ok_or(DecodeError::Missing { what: "push destination" })?;
        let destination = SocketAddr::new(address, r.u16("push port")?);
        let source = read_address(r)?.map(|address| SocketAddr::new(address, 0));
        let payload = r.take_rest().to_vec();
        Ok((order, Transmit { socket: Socket::Port848, source, destination, payload }))
    })
}

pub(crate) fn write_address(w: &mut Writer, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            w.u8(4);
            w.slice(&address.octets());
        }
        IpAddr::V6(address) => {
            w.u8(6);
            w.slice(&address.octets());
        }
    }
}

pub(crate) fn read_address(r: &mut Reader<'_>) -> Result<Option<IpAddr>, DecodeError> {
    match r.u8("address family")? {
        0 => Ok(None),
        4 => Ok(Some(IpAddr::from(r.array::<4>("IPv4 address")?))),
        6 => Ok(Some(IpAddr::from(r.array::<16>("IPv6 address")?))),
        family => Err(DecodeError::Value { field: "address family", value: family.into() }),
    }
}
