//! Why a call is refused.

use std::fmt;

use claviger_group::{channel::ChannelError, policy::PolicyError};
use serde::{Deserialize, Serialize};

/// The kinds of refusal, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorCode {
    /// What is to be made exists.
    AlreadyExists,
    /// The request cannot be read.
    BadRequest,
    /// A limit is reached; later may do.
    Busy,
    /// The group does not exist, or this member daemon does not serve it.
    GroupUnknown,
    /// The daemon failed at its own work: a store that cannot be written, a socket that broke.
    Internal,
    /// The host is not on the group's list.
    MemberUnknown,
    /// This kind of daemon does not answer this request.
    NotServed,
    /// The policy contradicts itself or a limit.
    PolicyInvalid,
    /// The key server does not authorise this host.
    Refused,
    /// The keys are replaced and stored, but the messages that tell them have not left the key server. It goes on trying.
    RekeyNotSent,
    /// The key server does not answer the member daemon.
    ServerUnreachable,
    /// The daemon is shutting down.
    Stopping,
}

impl ErrorCode {
    /// Every code, with the HTTP status that carries it.
    pub const ALL: [(Self, u16); 12] = [
        (Self::AlreadyExists, 409),
        (Self::BadRequest, 400),
        (Self::Busy, 429),
        (Self::GroupUnknown, 404),
        (Self::Internal, 500),
        (Self::MemberUnknown, 404),
        (Self::NotServed, 405),
        (Self::PolicyInvalid, 422),
        (Self::Refused, 403),
        (Self::RekeyNotSent, 502),
        (Self::ServerUnreachable, 504),
        (Self::Stopping, 503),
    ];

    /// Says which HTTP status carries the code.
    pub fn status(self) -> u16 {
        Self::ALL.into_iter().find(|(code, _)| *code == self).map_or(500, |(_, status)| status)
    }
}

/// A refused call: a code for programs, a plain sentence for people, and where there is one the way out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiError {
    /// The kind of refusal.
    pub code: ErrorCode,
    /// What is wrong, as a sentence without a full stop.
    pub message: String,
    /// What to do about it: a command to run, or an option to give.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl ApiError {
    /// Makes a refusal without a hint.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ApiError {}

impl From<PolicyError> for ApiError {
    fn from(error: PolicyError) -> Self {
        Self::new(ErrorCode::PolicyInvalid, error.to_string()).hint(policy_hint(error))
    }
}

impl From<ChannelError> for ApiError {
    fn from(error: ChannelError) -> Self {
        let hint = match error {
            ChannelError::NotMulticast(_) => "choose --address from 239.192.0.0/14 or ff15::/16",
            ChannelError::Source(_) => "give --source a unicast address of the family of --address",
            ChannelError::SourceMissing(_) => "add --source",
        };
        Self::new(ErrorCode::PolicyInvalid, error.to_string()).hint(hint)
    }
}

fn policy_hint(error: PolicyError) -> &'static str {
    match error {
        PolicyError::BatchMax => "raise --batch-max",
        PolicyError::Delay => "change --activation-delay or --deactivation-delay",
        PolicyError::DelayOrder => "raise --deactivation-delay",
        PolicyError::Degree => "change --degree",
        PolicyError::RekeyInterval => "lower --tek-rekey or --kek-rekey, or raise the lifetime",
        PolicyError::Lifetime => "change --tek-lifetime, --kek-lifetime or --registration-lifetime",
        PolicyError::Lease => "change --lease, or raise --tek-lifetime",
        PolicyError::ReceiverLease => "leave --receiver-leases out, or --lease off",
        PolicyError::MembersMax { .. } => "lower --members-max",
        PolicyError::NotReplayable => "leave --replayable out",
        PolicyError::PushAddress => "change --push-address",
        PolicyError::PlaceAddress | PolicyError::PlaceMembers | PolicyError::PlacePrefix => "change --place",
        PolicyError::PlacesForm => "leave --kek-management and --push-authentication out",
        PolicyError::PlacesMax => "give fewer --place, with shorter prefixes",
        PolicyError::Port => "change --port or --push-port",
        PolicyError::Replayable => {
            "leave --transform out, or give --source or a tunnel as --encapsulation; or put up with it by --replayable"
        }
        PolicyError::SenderIdBits => "change --sender-id-bits",
        PolicyError::WeakKek => "leave --kek-cipher out, or set it to aes256-cbc",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stands_in_json_with_stable_names() {
        let error = ApiError::new(ErrorCode::GroupUnknown, "there is no group x").hint("claviger group list");
        let json = serde_json::to_string(&error).unwrap();
        assert_eq!(
            json,
            r#"{"code":"group-unknown","message":"there is no group x","hint":"claviger group list"}"#
        );
        assert_eq!(serde_json::from_str::<ApiError>(&json).unwrap(), error);
    }

    #[test]
    fn a_policy_error_names_the_option_to_change() {
        let error = ApiError::from(PolicyError::Degree);
        assert_eq!(error.code, ErrorCode::PolicyInvalid);
        assert_eq!(error.hint.as_deref(), Some("change --degree"));
    }
}
