//! Callers that wait until rekey messages have left.
//!
//! An eviction is answered at the instant from which nothing is readable to the host that those send who heard the rekey, a
//! rekey when a copy of each message has left. What the core decided is done and stored in any case: a caller whose messages the system refuses is told so,
//! and the messages are tried again without it.

use std::time::Duration;

use claviger_api::{ApiError, ErrorCode, EvictedView, RekeyView, Reply, status::EpochView};
use claviger_gcks::{Gcks, event::RekeyId, view::UnsentView};
use claviger_group::{GroupId, MemberId};
use claviger_sansio::Time;

use super::view::{self, Evicted};

/// How long a caller waits for messages that the system refuses. An interface that is reconfigured is back by then, and
/// somebody at a prompt wants to know.
const REFUSED_WAIT_MAX: Duration = Duration::from_secs(5);

/// The callers that wait.
#[derive(Default)]
pub(super) struct Waiting(Vec<Caller>);

struct Caller {
    group: GroupId,
    called: Time,
    request: Request,
}

enum Request {
    /// The messages of an eviction are to leave.
    Eviction { host: MemberId, epoch: Option<EpochView>, reply: Reply<EvictedView> },
    /// The instant of an eviction is known, and ahead.
    Instant { evicted: Evicted, reply: Reply<EvictedView> },
    /// A copy of each message of a rekey is to leave.
    Rekey { rekey: RekeyId, view: Box<RekeyView>, activation_delay: Duration, reply: Reply<RekeyView> },
}

impl Waiting {
    /// Has a caller wait for the messages of an eviction.
    pub(super) fn for_eviction(
        &mut self,
        called: Time,
        group: GroupId,
        host: MemberId,
        epoch: Option<EpochView>,
        reply: Reply<EvictedView>,
    ) {
        self.0.push(Caller { group, called, request: Request::Eviction { host, epoch, reply } });
    }

    /// Has a caller wait for the instant of an eviction.
    pub(super) fn for_instant(
        &mut self,
        called: Time,
        group: GroupId,
        evicted: Evicted,
        reply: Reply<EvictedView>,
    ) {
        self.0.push(Caller { group, called, request: Request::Instant { evicted, reply } });
    }

    /// Has a caller wait for the messages of a rekey; senders change over so much later.
    pub(super) fn for_rekey(
        &mut self,
        called: Time,
        rekey: RekeyId,
        view: RekeyView,
        activation_delay: Duration,
        reply: Reply<RekeyView>,
    ) {
        let group = view.group.clone();
        let request = Request::Rekey { rekey, view: Box::new(view), activation_delay, reply };
        self.0.push(Caller { group, called, request });
    }

    /// Notes that the messages of a departure have left.
    pub(super) fn departed(&mut self, group: &GroupId, host: &MemberId, unreadable_from: Time) {
        for caller in std::mem::take(&mut self.0) {
            let Caller { group: of, called, request } = caller;
            let request = match request {
                Request::Eviction { host: evicted, epoch, reply } if evicted == *host && of == *group => {
                    let evicted =
                        Evicted { host: evicted, was_member: true, deaf_at: unreadable_from, epoch };
                    Request::Instant { evicted, reply }
                }
                other @ (Request::Eviction { .. } | Request::Instant { .. } | Request::Rekey { .. }) => other,
            };
            self.0.push(Caller { group: of, called, request });
        }
    }

    /// Notes that a copy of each message of a rekey has left.
    pub(super) fn sent(&mut self, rekey: RekeyId, at: Time) {
        let is_this = |caller: &mut Caller| matches!(&caller.request, Request::Rekey { rekey: awaited, .. } if *awaited == rekey);
        for caller in self.0.extract_if(.., is_this) {
            let Request::Rekey { mut view, activation_delay, reply, .. } = caller.request else { continue };
            view.active_at_us = at + activation_delay;
            reply.send(Ok(*view));
        }
    }

    /// Refuses those who wait for a group that is removed.
    pub(super) fn removed(&mut self, group: &GroupId) {
        for caller in self.0.extract_if(.., |caller| caller.group == *group) {
            let message = format!("group {group} was removed meanwhile");
            caller.request.refuse(ApiError::new(ErrorCode::GroupUnknown, message));
        }
    }

    /// Answers those whose time has come: evictions at their instants, and those who have waited long enough for what
    /// the system refuses.
    pub(super) fn answer(&mut self, now: Time, core: &Gcks) {
        let is_ripe = |caller: &mut Caller| match &caller.request {
            Request::Instant { evicted, .. } => evicted.deaf_at <= now,
            Request::Eviction { .. } | Request::Rekey { .. } => {
                caller.called + REFUSED_WAIT_MAX <= now && core.unsent(&caller.group).is_some()
            }
        };
        for Caller { group, request, .. } in self.0.extract_if(.., is_ripe) {
            match (request, core.unsent(&group)) {
                (Request::Instant { evicted, reply }, _) => {
                    reply.send(Ok(view::evicted(core, now, &group, evicted)));
                }
                (request, Some(unsent)) => {
                    let error = not_sent(&request.what(&group), &unsent);
                    request.refuse(error);
                }
                // It was asked a moment ago.
                (_, None) => {}
            }
        }
    }

    /// Says when [`Waiting::answer`] has something to do next.
    pub(super) fn poll_timeout(&self, now: Time) -> Option<Time> {
        let at = |caller: &Caller| match &caller.request {
            Request::Instant { evicted, .. } => Some(evicted.deaf_at),
            // Once it is over, the news that nothing leaves makes it answer.
            Request::Eviction { .. } | Request::Rekey { .. } => {
                Some(caller.called + REFUSED_WAIT_MAX).filter(|at| *at > now)
            }
        };
        self.0.iter().filter_map(at).min()
    }
}

impl Request {
    /// Says what is done although its messages have not left.
    fn what(&self, group: &GroupId) -> String {
        match self {
            Self::Eviction { host, .. } | Self::Instant { evicted: Evicted { host, .. }, .. } => {
                format!("{host} is out of {group} for good, but can still read what members send")
            }
            Self::Rekey { .. } => {
                format!("the keys of {group} are replaced, but members do not have the new ones")
            }
        }
    }

    fn refuse(self, error: ApiError) {
        match self {
            Self::Eviction { reply, .. } | Self::Instant { reply, .. } => reply.send(Err(error)),
            Self::Rekey { reply, .. } => reply.send(Err(error)),
        }
    }
}

fn not_sent(what: &str, unsent: &UnsentView) -> ApiError {
    let message = format!(
        "{what}: the rekey messages have not left the key server ({}); it goes on trying until they do",
        unsent.reason
    );
    ApiError::new(ErrorCode::RekeyNotSent, message)
        .hint("open their way (route, interface, firewall); claviger status says when they have left")
}
