//! NOTIFICATION (RFC 7401 section 5.2.19).

use claviger_wire::{Decode, DecodeError, Encode, Reader, Writer};

use crate::iana::{NotifyType, ParameterType};

use super::Parameter;

/// What went wrong, or how things stand.
///
/// ```text
/// |          Reserved             |      Notify Message Type      |
/// |                   Notification Data                           /
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// What is reported.
    pub notify_type: NotifyType,
    /// Data whose meaning depends on the type.
    pub data: Vec<u8>,
}

impl Notification {
    /// Reports without data.
    pub const fn new(notify_type: NotifyType) -> Self {
        Self { notify_type, data: Vec::new() }
    }
}

impl Parameter for Notification {
    const TYPE: ParameterType = ParameterType::NOTIFICATION;
}

impl Encode for Notification {
    fn encode(&self, w: &mut Writer) {
        w.zeros(2);
        w.u16(self.notify_type.0);
        w.slice(&self.data);
    }
}

impl<'a> Decode<'a> for Notification {
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        r.u16("reserved")?;
        Ok(Self { notify_type: NotifyType(r.u16("notify message type")?), data: r.take_rest().to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::test::survives;

    #[test]
    fn reads_what_it_writes() {
        survives(&Notification::new(NotifyType::I2_ACKNOWLEDGEMENT));
        survives(&Notification { notify_type: NotifyType(9), data: vec![1, 2, 3] });
    }
}
