//! The places of a group: which may be chosen, and which were.

use std::net::IpAddr;

use claviger_group::{GroupPlace, Prefix};
use serde::{Deserialize, Serialize};

use crate::{ApiError, ErrorCode, text};

/// How many members are expected at a place unless it is chosen.
const MEMBERS: u32 = 64;

/// The choices that a caller makes about a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlaceOptions {
    /// Which members are there: those whose addresses begin with this.
    #[serde(with = "text")]
    pub prefix: Prefix,
    /// The multicast address of rekey messages that only they need; the key server chooses one otherwise.
    #[serde(default)]
    pub push_address: Option<IpAddr>,
    /// How many members are expected there; 64, or as many as the group admits, otherwise.
    #[serde(default)]
    pub members: Option<u32>,
}

impl PlaceOptions {
    /// Makes the place of a group that admits `members_max` members.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::PolicyInvalid`] if it has no push address.
    pub(crate) fn resolve(&self, members_max: u32) -> Result<GroupPlace, ApiError> {
        let missing = || {
            let sentence = format!("the place {} has no push address", self.prefix);
            ApiError::new(ErrorCode::PolicyInvalid, sentence).hint("write --place PREFIX=ADDR")
        };
        Ok(GroupPlace {
            prefix: self.prefix,
            push_address: self.push_address.ok_or_else(missing)?,
            members: self.members.unwrap_or(MEMBERS.min(members_max)),
        })
    }
}

/// A place, as it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceView {
    /// Which members are there.
    #[serde(with = "text")]
    pub prefix: Prefix,
    /// The multicast address of rekey messages that only they need.
    pub push_address: IpAddr,
    /// How many members are expected there.
    pub members: u32,
}

impl From<&GroupPlace> for PlaceView {
    fn from(place: &GroupPlace) -> Self {
        Self { prefix: place.prefix, push_address: place.push_address, members: place.members }
    }
}
