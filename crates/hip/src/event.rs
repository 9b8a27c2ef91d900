//! What a host tells its program.

use std::net::SocketAddr;

use claviger_identity::{Hit, HostId};

use crate::{
    certificates::Certificates,
    error::FailReason,
    iana::{NotifyType, RegType},
    registration::{RegistrationAnswer, RegistrationRequest},
    security::Security,
};

/// Something that happened to an association.
#[derive(Debug, Clone)]
pub enum Event<I> {
    /// An association exists: each side has proven its identity to the other.
    Established {
        /// The other side.
        peer: Hit,
        /// Whether this host began.
        initiator: bool,
    },
    /// A peer wants to register; the program decides and calls [`Host::answer`](crate::Host::answer).
    RegistrationRequested {
        /// Names the request in the answer.
        ticket: Ticket,
        /// Who asks, proven.
        peer: Hit,
        /// Its public key.
        host_id: Box<HostId>,
        /// What it asks for.
        request: RegistrationRequest<I>,
        /// The certificates that the packet showed beside the request, unjudged: whether they are the peer's is not known.
        certificates: Certificates,
        /// Whether the peer calls its identity anonymous.
        anonymous: bool,
        /// What protects the association.
        security: Security,
        /// Whether the request comes with a base exchange: what is granted then replaces what was granted before,
        /// and items not named again are left.
        fresh: bool,
    },
    /// A registration that this host asked for is answered.
    Registered {
        /// The registrar.
        peer: Hit,
        /// What it granted and refused.
        answer: RegistrationAnswer<I>,
        /// The certificates that the packet showed beside the answer, unjudged.
        certificates: Certificates,
    },
    /// The registrar withdrew items, or the whole service if none is named.
    Revoked {
        /// The registrar.
        peer: Hit,
        /// The registration type.
        reg_type: RegType,
        /// What is withdrawn, and why.
        items: Vec<I>,
    },
    /// The peer has confirmed a revocation.
    RevokeAcknowledged {
        /// Who was told.
        peer: Hit,
    },
    /// An association has ended by CLOSE.
    Closed {
        /// The other side.
        peer: Hit,
        /// Whether the peer closed.
        by_peer: bool,
    },
    /// A base exchange that this host began came to nothing.
    Failed {
        /// Who was called.
        peer: Hit,
        /// Why.
        reason: FailReason,
    },
    /// UPDATE or CLOSE went unanswered; the association is gone.
    Lost {
        /// The other side.
        peer: Hit,
    },
    /// The peer is at another address now, and has proven that it is reached there: everything is sent there from now
    /// on.
    Moved {
        /// The other side.
        peer: Hit,
        /// Where it was; on IP protocol 139 the port is zero.
        from: SocketAddr,
        /// Where it is.
        to: SocketAddr,
    },
    /// The peer has confirmed that it knows of this host's move.
    MoveAcknowledged {
        /// Who was told.
        peer: Hit,
    },
    /// The next keys of an association are agreed on. What the peer says under either set is to be taken from now on
    /// ([`Host::other_registration`](crate::Host::other_registration)); what this host begins is under the keys in force
    /// ([`Host::registration`](crate::Host::registration)).
    Rekeying {
        /// The other side.
        peer: Hit,
    },
    /// The peer has used the new keys of an association, which are the only ones from now on.
    Rekeyed {
        /// The other side.
        peer: Hit,
    },
    /// What must survive a restart has changed: [`Host::snapshot`](crate::Host::snapshot) is to be stored again before
    /// anything is sent, or removed if it is `None`.
    Changed {
        /// The other side.
        peer: Hit,
    },
    /// The peer reported something, under its signature; nothing has changed by it.
    Notified {
        /// The other side.
        peer: Hit,
        /// What it reported.
        message: NotifyType,
    },
}

/// Names one registration that waits for its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket {
    pub(crate) peer: Hit,
    pub(crate) number: u64,
}
