//! Answers the calls of the control interface.

use claviger_api::{ApiError, Call, ErrorCode, LeftView, StatusView};
use claviger_group::GroupId;

use super::{MemberDaemon, Plane};

impl MemberDaemon {
    pub(super) fn take_call(&mut self, call: Call) {
        match call {
            Call::Status(reply) => {
                let (places, now) = (self.places.as_ref(), self.clock.now());
                let status = self.view.status(&self.core, &self.options, places, &self.drops, now);
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
                if group == self.options.group {
                    self.leave_replies.push(reply);
                    self.leave();
                } else {
                    reply.send(Err(other_group(&group)));
                }
            }
            other => other.not_served("member daemon"),
        }
    }

    pub(super) fn answer_leave(&mut self, acknowledged: bool) {
        for reply in self.leave_replies.drain(..) {
            reply.send(Ok(LeftView { group: self.options.group.clone(), acknowledged }));
        }
    }

    /// Says why a stream cannot be served, if it cannot.
    fn refusal(&self, group: &GroupId, sends: bool) -> Option<ApiError> {
        let role = self.options.role;
        if *group != self.options.group {
            return Some(other_group(group));
        }
        if matches!(self.plane, Some(Plane::Ip(_))) {
            let message = "this member's data goes through its TUN device: use any program there";
            return Some(ApiError::new(ErrorCode::NotServed, message));
        }
        if sends && !role.sends() {
            let message = "this member joined as a receiver: join with --sender to send";
            return Some(ApiError::new(ErrorCode::Refused, message));
        }
        if !sends && !role.receives() {
            return Some(ApiError::new(ErrorCode::Refused, "this member joined as a sender only"));
        }
        None
    }
}

fn other_group(group: &GroupId) -> ApiError {
    ApiError::new(ErrorCode::GroupUnknown, format!("this member is not in group {group}"))
}
