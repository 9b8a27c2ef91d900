//! What reaches a daemon, and how it answers.
//!
//! A daemon is one event loop. It owns the receiving end of a channel of [`Call`]s and looks at it beside its
//! sockets and timers; every call carries the [`Reply`] that takes its answer, so an answer of the wrong kind does
//! not compile, and an answer may be given later than the call was taken, as an eviction's must.

use bytes::Bytes;
use claviger_group::{GroupId, MemberId};
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    ApiError, ErrorCode, Record, StatusView,
    view::{
        Answer, EvictWait, EvictedView, GroupAdd, GroupAdded, GroupRemoved, GroupView, LeftView, MemberAllow,
        MemberView, RefusedView, RekeyOrder, RekeyView, SendSummary,
    },
};

/// Calls that may wait for the event loop; more wait on their connections.
pub const CALLS_QUEUED_MAX: usize = 64;

/// Records that a stream holds between connection and event loop: at 1400 octets some 350 KiB, which a plane of
/// 10 Gbit/s fills in 0.3 ms, so that the loop may be that late.
pub const STREAM_RECORDS_MAX: usize = 256;

/// Makes the channel between [`crate::serve`] and a daemon's event loop.
pub fn channel() -> (mpsc::Sender<Call>, mpsc::Receiver<Call>) {
    mpsc::channel(CALLS_QUEUED_MAX)
}

/// One request to a daemon.
#[derive(Debug)]
pub enum Call {
    /// Makes a group.
    GroupAdd(GroupAdd, Reply<GroupAdded>),
    /// Lists the groups.
    GroupList(Reply<Vec<GroupView>>),
    /// Removes a group.
    GroupRemove(GroupId, Reply<GroupRemoved>),
    /// Shows a group.
    GroupShow(GroupId, Reply<GroupView>),
    /// Leaves a group with CLOSE.
    Leave(GroupId, Reply<LeftView>),
    /// Lets a host in.
    MemberAllow(GroupId, MemberId, MemberAllow, Reply<MemberView>),
    /// Says how far the eviction of a host has come.
    EvictionShow(GroupId, MemberId, Reply<EvictedView>),
    /// Puts a host out and takes it off the list. The answer comes when that is what is waited for, or when the rekey
    /// messages do not leave.
    MemberEvict(GroupId, MemberId, EvictWait, Reply<EvictedView>),
    /// Lists who may be a member, and who is.
    MemberList(GroupId, Reply<Vec<MemberView>>),
    /// Hands over what arrives for a group.
    Receive(ReceiveStream),
    /// Lists the hosts that were refused lately, for one group or all.
    RefusedList(Option<GroupId>, Reply<Vec<RefusedView>>),
    /// Replaces keys now. The answer comes when a copy of each rekey message has left, or when they do not leave.
    Rekey(GroupId, RekeyOrder, Reply<RekeyView>),
    /// Takes payloads to send to a group.
    Send(SendStream),
    /// Says what the daemon holds and has seen.
    Status(Reply<StatusView>),
}

impl Call {
    /// Refuses the call as one that this kind of daemon does not answer; `daemon` is "key server" or "member daemon".
    pub fn not_served(self, daemon: &str) {
        let error =
            ApiError::new(ErrorCode::NotServed, format!("this is a {daemon}, which does not answer that"));
        self.refuse(error);
    }

    /// Refuses the call.
    pub fn refuse(self, error: ApiError) {
        match self {
            Self::GroupAdd(_, reply) => reply.send(Err(error)),
            Self::GroupList(reply) => reply.send(Err(error)),
            Self::GroupRemove(_, reply) => reply.send(Err(error)),
            Self::GroupShow(_, reply) => reply.send(Err(error)),
            Self::Leave(_, reply) => reply.send(Err(error)),
            Self::MemberAllow(_, _, _, reply) => reply.send(Err(error)),
            Self::EvictionShow(_, _, reply) | Self::MemberEvict(_, _, _, reply) => reply.send(Err(error)),
            Self::MemberList(_, reply) => reply.send(Err(error)),
            Self::Receive(stream) => stream.accepted.send(Err(error)),
            Self::RefusedList(_, reply) => reply.send(Err(error)),
            Self::Rekey(_, _, reply) => reply.send(Err(error)),
            Self::Send(stream) => stream.done.send(Err(error)),
            Self::Status(reply) => reply.send(Err(error)),
        }
    }
}

/// Takes the answer to one call. Dropped without one, the caller is told that the daemon is stopping.
#[derive(Debug)]
pub struct Reply<T>(oneshot::Sender<Answer<T>>);

impl<T> Reply<T> {
    /// Makes a reply and the end that the answer comes out of.
    pub fn new() -> (Self, oneshot::Receiver<Answer<T>>) {
        let (sender, receiver) = oneshot::channel();
        (Self(sender), receiver)
    }

    /// Answers. A caller that has gone away is no error.
    pub fn send(self, answer: Answer<T>) {
        let _ = self.0.send(answer);
    }

    /// Says whether the caller has gone away.
    pub fn is_abandoned(&self) -> bool {
        self.0.is_closed()
    }
}

/// A caller's payloads to send.
#[derive(Debug)]
pub struct SendStream {
    /// The group.
    pub group: GroupId,
    /// The UDP destination port inside; `None` is the group's own.
    pub application_port: Option<u16>,
    /// The payloads; ends when the caller's do. Not taking them holds the caller back.
    pub payloads: mpsc::Receiver<Bytes>,
    /// Takes the summary after the last payload, or an error at any time, which ends the stream.
    pub done: Reply<SendSummary>,
}

/// A caller that wants what arrives.
#[derive(Debug)]
pub struct ReceiveStream {
    /// The group.
    pub group: GroupId,
    /// Takes the payloads. Full means that the caller is slow: the payload is dropped and counted as missing. Closed
    /// means that it has gone. Dropping the stream ends it in good order.
    pub payloads: mpsc::Sender<Bytes>,
    /// Takes how many datagrams are missing by now, in all. The number falls when one comes late.
    pub missing: watch::Sender<u64>,
    /// Takes the acceptance, before the first payload, or a refusal.
    pub accepted: Reply<()>,
}

impl ReceiveStream {
    /// Makes the daemon's end, the caller's end, and what is answered.
    pub fn new(group: GroupId) -> (Self, Arriving, oneshot::Receiver<Answer<()>>) {
        let (payloads, arriving) = mpsc::channel(STREAM_RECORDS_MAX);
        let (missing, told) = watch::channel(0);
        let (accepted, answer) = Reply::new();
        (Self { group, payloads, missing, accepted }, Arriving { payloads: arriving, missing: told }, answer)
    }
}

/// The caller's end of a [`ReceiveStream`].
#[derive(Debug)]
pub struct Arriving {
    payloads: mpsc::Receiver<Bytes>,
    missing: watch::Receiver<u64>,
}

impl Arriving {
    /// Returns the next record; `None` when the daemon has ended the stream. May be cancelled and called again without
    /// loss.
    pub async fn next(&mut self) -> Option<Record> {
        tokio::select! {
            biased;
            Ok(()) = self.missing.changed() => Some(Record::Missing(*self.missing.borrow_and_update())),
            payload = self.payloads.recv() => payload.map(Record::Data),
        }
    }

    /// Ends the stream; what has come already can still be taken.
    pub fn close(&mut self) {
        self.payloads.close();
    }
}
