//! What a service puts into its registrations, and hip carries without knowing what it is.

use std::fmt;

use claviger_wire::{Decode, DecodeError, Encode, Reader, Writer};

use crate::{
    iana::{ParameterType, RegFailure, RegType},
    security::Security,
    wire::{Lifetime, Parameter},
};

/// One thing that is asked for, granted or withdrawn within a registration: a parameter that stands inside ENCRYPTED, in
/// I2, R2 and UPDATE, and never elsewhere.
///
/// A host has one kind of items, or none ([`NoItem`]): what the services that it offers or asks for have agreed on.
pub trait Item: Parameter + Clone + fmt::Debug + Eq + Send + 'static {
    /// The name of the parameter, for errors.
    const NAME: &'static str;
    /// The most of them in a packet.
    const COUNT_MAX: usize;

    /// Returns the service that it belongs to.
    fn reg_type(&self) -> RegType;

    /// Returns how long it is asked for or granted; zero gives it up.
    fn lifetime(&self) -> Lifetime;

    /// Says whether it is not refused. In a request nothing is.
    fn is_granted(&self) -> bool;

    /// Says whether another item of the same service is about the same thing.
    fn is_same(&self, other: &Self) -> bool;

    /// Repeats a request as its refusal.
    fn refused(&self, failure: RegFailure) -> Self;

    /// Says whether the association is lost if the peer never acknowledges that this is withdrawn.
    fn must_be_acknowledged(&self) -> bool;

    /// Checks that the items of one packet agree.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if no host could understand them together.
    fn check_all(items: &[Self]) -> Result<(), DecodeError>;

    /// Says whether an association protects what hangs on a service's registration.
    fn is_protected(reg_type: RegType, security: &Security) -> bool;
}

/// The items of a host whose services have none: there is no such value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoItem {}

impl Parameter for NoItem {
    // Reserved (RFC 7401 section 5.2.1).
    const TYPE: ParameterType = ParameterType(0);
}

impl Encode for NoItem {
    fn encode(&self, _: &mut Writer) {
        match *self {}
    }
}

impl<'a> Decode<'a> for NoItem {
    fn decode(_: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Err(DecodeError::Unexpected { what: Self::NAME })
    }
}

impl Item for NoItem {
    const NAME: &'static str = "parameter of a service";
    const COUNT_MAX: usize = 0;

    fn reg_type(&self) -> RegType {
        match *self {}
    }

    fn lifetime(&self) -> Lifetime {
        match *self {}
    }

    fn is_granted(&self) -> bool {
        match *self {}
    }

    fn is_same(&self, _: &Self) -> bool {
        match *self {}
    }

    fn refused(&self, _: RegFailure) -> Self {
        match *self {}
    }

    fn must_be_acknowledged(&self) -> bool {
        match *self {}
    }

    fn check_all(_: &[Self]) -> Result<(), DecodeError> {
        Ok(())
    }

    fn is_protected(_: RegType, _: &Security) -> bool {
        true
    }
}
