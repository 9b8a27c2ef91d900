//! Answers the calls of the control interface.

use claviger_api::{ApiError, Call, ErrorCode, LeftView, StatusView};
use claviger_group::{GroupId, Role};

use super::{MemberDaemon, Plane};

impl MemberDaemon {
    pub(super) fn take_call(&mut self, call: Call) {
        match call {
            Call::Status(reply) => {
                let (places, now) = (self.places.as_ref(), self.clock.now());
                let outside = (&self.carrier_counts, &self.data_counts);
                let mut status = self.view.status(
                    (&self.core, &self.data_plane),
                    (self.identity.hit(), &self.settings),
                    places,
                    outside,
                    now,
                );
                status.role = self.role;
                reply.send(Ok(StatusView::Member(Box::new(status))));
            }
            Call::Send(stream) => match self.refusal(&stream.group, true) {
                Some(error) => stream.done.send(Err(error)),
                None => self.streams.add(stream),
            },
            Call::Receive(stream) => match self.refusal(&stream.group, false) {
                Some(error) => stream.accepted.send(Err(error)),
                None => self.receivers.add(stream),
            },
            Call::Leave(group, reply) => {
                tracing::info!(command = "leave", cause = "by_hand", %group, "command");
                if group == self.settings.group {
                    self.leave_replies.push(reply);
                    self.leave();
                } else {
                    reply.send(Err(other_group(&group)));
                }
            }
            other @ (Call::GroupAdd(..)
            | Call::GroupList(_)
            | Call::GroupRemove(..)
            | Call::GroupShow(..)
            | Call::EvictionShow(..)
            | Call::MemberAllow(..)
            | Call::MemberEvict(..)
            | Call::MemberList(..)
            | Call::RefusedList(..)
            | Call::Rekey(..)) => other.not_served("member daemon"),
        }
    }

    pub(super) fn answer_leave(&mut self, acknowledged: bool) {
        for reply in self.leave_replies.drain(..) {
            reply.send(Ok(LeftView { group: self.settings.group.clone(), acknowledged }));
        }
    }

    /// Says why a stream cannot be served, if it cannot.
    fn refusal(&self, group: &GroupId, sends: bool) -> Option<ApiError> {
        if *group != self.settings.group {
            return Some(other_group(group));
        }
        if matches!(self.plane, Some(Plane::Ip(_))) {
            let message = "this member's data goes through its TUN device: use any program there";
            return Some(ApiError::new(ErrorCode::NotServed, message));
        }
        self.role_refusal(sends)
    }

    /// Says why the role does not serve a stream, if it does not.
    pub(super) fn role_refusal(&self, sends: bool) -> Option<ApiError> {
        let serves = |role: Role| if sends { role.sends() } else { role.receives() };
        let message = match (serves(self.role), serves(self.settings.role), sends) {
            (true, ..) => return None,
            (false, true, true) => {
                "the key server has taken the sender role from this host: it only receives; once it is allowed to send again, stop and join anew"
            }
            (false, true, false) => {
                "the key server has taken the receiver role from this host: it only sends; once it is allowed to receive again, stop and join anew"
            }
            (false, false, true) => "this member joined as a receiver: join with --sender to send",
            (false, false, false) => "this member joined as a sender only",
        };
        Some(ApiError::new(ErrorCode::Refused, message))
    }
}

fn other_group(group: &GroupId) -> ApiError {
    ApiError::new(ErrorCode::GroupUnknown, format!("this member is not in group {group}"))
}
