//! Is the control interface between the command line and a running daemon.
//!
//! A daemon listens on a Unix socket that only its own user can open ([`socket`]) and speaks HTTP/1.1 with JSON
//! bodies. Every request becomes a [`Call`] on one channel into the daemon's event loop, with the channel that its
//! answer goes back by; the daemon itself never sees HTTP. [`Client`] is the other end.
//!
//! | request | meaning | answer |
//! |---|---|---|
//! | `GET /v1/status` | what the daemon holds and has seen; every daemon | [`StatusView`] |
//! | `GET /v1/groups` | every group of a key server | list of [`GroupView`] |
//! | `POST /v1/groups` with [`GroupAdd`] | makes a group | [`GroupAdded`] |
//! | `GET /v1/groups/{name}` | one group | [`GroupView`] |
//! | `DELETE /v1/groups/{name}` | removes a group and deletes its keys at the members | [`GroupRemoved`] |
//! | `GET /v1/groups/{name}/members` | who may be a member, and who is | list of [`MemberView`] |
//! | `PUT /v1/groups/{name}/members/{host}` with [`MemberAllow`] | lets a host in | [`MemberView`] |
//! | `POST /v1/groups/{name}/members/{host}/evict`, `?wait=no` | puts a host out, again if need be; answers when nothing is readable to it which those send who heard the rekey, or at once | [`EvictedView`] |
//! | `GET /v1/groups/{name}/members/{host}/evict` | how far the eviction of a host has come | [`EvictedView`] |
//! | `POST /v1/groups/{name}/rekey` with [`RekeyOrder`] | replaces keys now; answers when the messages have left | [`RekeyView`] |
//! | `GET /v1/refused`, `?group={name}` | hosts that were refused lately | list of [`RefusedView`] |
//! | `POST /v1/groups/{name}/send`, [`record`]s | payloads to protect and send; member daemons | [`SendSummary`] |
//! | `GET /v1/groups/{name}/receive` | payloads that arrive; member daemons | [`record`]s |
//! | `DELETE /v1/groups/{name}/membership` | leaves with CLOSE; member daemons | [`LeftView`] |
//!
//! `{name}` is a group name as people write it, percent-encoded: `#1234` is `%231234`. A refusal is an [`ApiError`]
//! with the HTTP status of its code. `rekey-not-sent` (502) says that an eviction or a rekey is done and stored, and its
//! messages do not leave: the key server goes on trying. Instants are microseconds since 1970 (`…_us`), durations seconds (`…_s`) or
//! milliseconds (`…_ms`). No key, nonce or private half is part of any request or answer.
//!
//! | module | what |
//! |---|---|
//! | [`call`] | what reaches a daemon, and how it answers |
//! | [`certificate`] | owners of groups, and certificates by which hosts are let in |
//! | [`client`] | the caller's end |
//! | [`command`] | commands and sentences that both ends show to people |
//! | [`error`] | why a call is refused |
//! | [`micros`], [`name`], [`text`] | how instants and domain types stand in JSON |
//! | [`place`] | the places of a group |
//! | [`policy`] | what may be chosen about a group |
//! | [`record`] | how payloads are framed in a stream |
//! | [`server`] | the daemon's end |
//! | [`socket`] | the Unix socket |
//! | [`status`], [`view`] | answers |

#![deny(clippy::wildcard_enum_match_arm, clippy::match_wildcard_for_single_variants)]

pub mod call;
pub mod certificate;
pub mod client;
pub mod command;
pub mod error;
pub mod micros;
pub mod name;
pub mod place;
pub mod policy;
pub mod record;
pub mod server;
pub mod socket;
pub mod status;
pub mod text;
pub mod view;

pub use call::{Arriving, Call, ReceiveStream, Reply, SendStream};
pub use certificate::{CertifiedView, GrantedByView, OwnerOptions, OwnerView};
pub use client::{Client, ClientError};
pub use error::{ApiError, ErrorCode};
pub use place::{PlaceOptions, PlaceView};
pub use policy::{GroupPolicyOptions, PolicyView};
pub use record::Record;
pub use server::serve;
pub use socket::ControlSocket;
pub use status::{MemberStatus, ServerStatus, StatusView};
pub use view::{
    EvictWait, EvictedView, GroupAdd, GroupAdded, GroupRemoved, GroupView, LaggardView, LeftView,
    MemberAllow, MemberView, RefusedView, RekeyOrder, RekeyView, SendSummary,
};
