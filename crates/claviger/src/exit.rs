//! How commands end: exit codes, and the sentences that go with them.

use std::{fmt, process::ExitCode};

use claviger_api::{ApiError, ClientError, ErrorCode, socket::SocketError};

/// The exit codes of every command. The numbers are part of the command line's contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// Everything that was asked for is done.
    Done = 0,
    /// The command failed, or a claim that it checks does not hold.
    Failed = 1,
    /// The command line is wrong, or asks for what contradicts itself.
    Usage = 2,
    /// A configuration, identity, certificate or key file is missing, malformed or open to other users.
    Configuration = 3,
    /// The key server does not authorise this host.
    Refused = 4,
    /// Another process uses the identity, the store or the control socket.
    InUse = 5,
    /// A daemon or key server does not answer.
    Unreachable = 6,
    /// The system asks for a privilege that this process does not have.
    Privilege = 7,
    /// The key server shows no certificate by which it may be one of the group.
    Untrusted = 8,
}

impl Exit {
    /// Every code with its meaning, as the help shows them.
    pub const ALL: [(Self, &'static str); 9] = [
        (Self::Done, "done"),
        (Self::Failed, "failed, or a claim that was checked does not hold"),
        (Self::Usage, "the command line is wrong, or a group's policy contradicts itself"),
        (
            Self::Configuration,
            "a configuration, identity, certificate or key file is missing, malformed or too open",
        ),
        (Self::Refused, "the key server does not authorise this host"),
        (Self::InUse, "the identity, the store or the control socket is in use by another process"),
        (Self::Unreachable, "the daemon or the key server does not answer"),
        (Self::Privilege, "the system asks for a privilege that this process does not have"),
        (Self::Untrusted, "the key server shows no certificate by which it may be one of the group"),
    ];
}

/// Writes the table of exit codes below the help.
pub(crate) fn help() -> String {
    let rows = Exit::ALL.iter().map(|(exit, meaning)| format!("  {}  {meaning}", *exit as u8));
    format!("Exit codes:\n{}", rows.collect::<Vec<_>>().join("\n"))
}

/// Why a command ends early: a plain sentence, what to do about it, and the exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What is wrong, in a sentence.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// What a command returns.
pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// Makes a failure without advice.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: None }
    }

    /// Adds what to do about it: a command or an option, on a line of its own.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "claviger: {}", self.message)?;
        self.hint.iter().try_for_each(|hint| write!(f, "\n  try: {hint}"))
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        let exit = match error.code {
            ErrorCode::BadRequest | ErrorCode::PolicyInvalid => Exit::Usage,
            ErrorCode::Refused => Exit::Refused,
            ErrorCode::ServerUnreachable | ErrorCode::Stopping => Exit::Unreachable,
            ErrorCode::AlreadyExists
            | ErrorCode::Busy
            | ErrorCode::GroupUnknown
            | ErrorCode::Internal
            | ErrorCode::MemberUnknown
            | ErrorCode::NotServed
            | ErrorCode::RekeyNotSent => Exit::Failed,
        };
        Self { exit, message: error.message, hint: error.hint }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let message = error.to_string();
        match error {
            ClientError::Api(error) => error.into(),
            ClientError::Connect(_, error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                Self::new(Exit::Privilege, message)
            }
            ClientError::Connect(..) => Self::new(Exit::Unreachable, message)
                .hint("start the daemon, or name its socket with --socket or its state with --state-dir"),
            ClientError::Lost => Self::new(Exit::Unreachable, message),
            ClientError::Protocol(_) => Self::new(Exit::Failed, message),
        }
    }
}

impl From<SocketError> for Failure {
    fn from(error: SocketError) -> Self {
        let exit = match &error {
            SocketError::InUse(_) => Exit::InUse,
            SocketError::Io(_, error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                Exit::Privilege
            }
            SocketError::Directory(_)
            | SocketError::Foreign(..)
            | SocketError::Io(..)
            | SocketError::NotSocket(_)
            | SocketError::TooLong(_) => Exit::Configuration,
        };
        Self::new(exit, error.to_string()).hint("choose another place with --socket")
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(Exit::Failed, format!("{error:#}"))
    }
}

/// Writes a failure to standard error and returns the exit code.
pub(crate) fn report(outcome: Outcome) -> ExitCode {
    let exit = match outcome {
        Ok(()) => Exit::Done,
        Err(failure) => {
            eprintln!("{failure}");
            failure.exit
        }
    };
    ExitCode::from(exit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_stable_and_documented() {
        let numbers: Vec<u8> = Exit::ALL.iter().map(|(exit, _)| *exit as u8).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert!(help().starts_with("Exit codes:\n  0  done\n  1  failed"));
    }

    #[test]
    fn a_failure_prints_its_sentence_and_what_to_do() {
        let failure = Failure::new(Exit::Refused, "the door is closed").hint("claviger member allow");
        assert_eq!(failure.to_string(), "claviger: the door is closed\n  try: claviger member allow");
    }

    #[test]
    fn refusals_of_daemons_have_exit_codes() {
        for (code, exit) in [
            (ErrorCode::AlreadyExists, Exit::Failed),
            (ErrorCode::BadRequest, Exit::Usage),
            (ErrorCode::Busy, Exit::Failed),
            (ErrorCode::GroupUnknown, Exit::Failed),
            (ErrorCode::Internal, Exit::Failed),
            (ErrorCode::MemberUnknown, Exit::Failed),
            (ErrorCode::NotServed, Exit::Failed),
            (ErrorCode::PolicyInvalid, Exit::Usage),
            (ErrorCode::Refused, Exit::Refused),
            (ErrorCode::RekeyNotSent, Exit::Failed),
            (ErrorCode::ServerUnreachable, Exit::Unreachable),
            (ErrorCode::Stopping, Exit::Unreachable),
        ] {
            assert_eq!(Failure::from(ApiError::new(code, "x")).exit, exit, "{code:?}");
        }
        assert_eq!(Failure::from(ClientError::Lost).exit, Exit::Unreachable);
    }
}
