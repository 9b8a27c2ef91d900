//! What stands in several records.

use std::time::Duration;

use claviger_group::{Channel, Encapsulation, EspTransform};
use claviger_wire::{DecodeError, Reader, Writer};

use super::push::{read_address, write_address};

pub(super) fn write_channel(w: &mut Writer, channel: &Channel) {
    write_address(w, channel.group());
    match channel.source() {
        Some(source) => write_address(w, source),
        None => w.u8(0),
    }
}

pub(super) fn read_channel(r: &mut Reader<'_>) -> Result<Channel, DecodeError> {
    let group = read_address(r)?.ok_or(DecodeError::Missing { what: "group address" })?;
    let source = read_address(r)?;
    Channel::new(group, source).map_err(|_| DecodeError::Value { field: "channel", value: 0 })
}

pub(super) fn read_encapsulation(r: &mut Reader<'_>) -> Result<Encapsulation, DecodeError> {
    let value = r.u8("encapsulation")?;
    Encapsulation::from_value(value.into())
        .ok_or(DecodeError::Value { field: "encapsulation", value: value.into() })
}

pub(super) fn write_transform(w: &mut Writer, transform: EspTransform) {
    w.u8(transform_code(transform));
}

pub(super) fn read_transform(r: &mut Reader<'_>) -> Result<EspTransform, DecodeError> {
    read_coded(r, "transform", EspTransform::ALL, transform_code)
}

/// Reads one of several values that each have a code of one octet.
pub(super) fn read_coded<T: Copy>(
    r: &mut Reader<'_>,
    field: &'static str,
    values: impl IntoIterator<Item = T>,
    code_of: impl Fn(T) -> u8,
) -> Result<T, DecodeError> {
    let code = r.u8(field)?;
    let known = values.into_iter().find(|value| code_of(*value) == code);
    known.ok_or(DecodeError::Value { field, value: code.into() })
}

fn transform_code(transform: EspTransform) -> u8 {
    match transform {
        EspTransform::Aes128Gcm16 => 1,
        EspTransform::Aes256Gcm16 => 2,
        EspTransform::Aes128CbcHmacSha256 => 3,
        EspTransform::Aes256CbcHmacSha256 => 4,
    }
}

pub(super) fn write_duration(w: &mut Writer, duration: Duration) {
    w.u64(duration.as_micros() as u64);
}

pub(super) fn read_duration(r: &mut Reader<'_>, field: &'static str) -> Result<Duration, DecodeError> {
    r.u64(field).map(Duration::from_micros)
}
