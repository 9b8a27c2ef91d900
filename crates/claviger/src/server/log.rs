//! What the log of a key server says of commands and of rekeys, each with its cause.

use claviger_api::{Call, MemberAllow, name::Name as _};
use claviger_gcks::event::{RekeyCause, Rekeyed};
use tracing::{debug, info};

/// Logs a command of the control interface, before it is carried out. One that only shows something is at DEBUG.
pub(super) fn command(call: &Call) {
    let cause = RekeyCause::ByHand.as_str();
    match call {
        Call::GroupAdd(add, _) => info!(command = "group add", cause, group = %add.name, "command"),
        Call::GroupRemove(group, _) => info!(command = "group remove", cause, %group, "command"),
        Call::MemberAllow(group, host, allow, _) => {
            let MemberAllow { role, without_lease } = allow;
            info!(command = "member allow", cause, %group, peer = %host, %role, without_lease, "command");
        }
        Call::MemberEvict(group, host, _, _) => {
            info!(command = "member evict", cause, %group, peer = %host, "command")
        }
        Call::Rekey(group, order, _) => {
            info!(command = "rekey", cause, %group, key = order.key.name(), "command")
        }
        Call::GroupList(_) => debug!(command = "group list", "command"),
        Call::GroupShow(group, _) => debug!(command = "group show", %group, "command"),
        Call::EvictionShow(group, host, _) => {
            debug!(command = "eviction show", %group, peer = %host, "command")
        }
        Call::MemberList(group, _) => debug!(command = "member list", %group, "command"),
        Call::RefusedList(group, _) => {
            debug!(command = "member refused", group = group.as_ref().map(display), "command")
        }
        Call::Status(_) => debug!(command = "status", "command"),
        // Members serve them.
        Call::Leave(..) | Call::Receive(_) | Call::Send(_) => debug!("call that a key server does not serve"),
    }
}

/// Logs a rekey: which keys were replaced, why, and what it took.
pub(super) fn rekeyed(rekeyed: &Rekeyed) {
    info!(
        group = %rekeyed.group,
        cause = %rekeyed.cause,
        kek = rekeyed.kek.map(display),
        tek = rekeyed.tek.map(display),
        joined = rekeyed.joined,
        moved = rekeyed.moved,
        returned = rekeyed.returned,
        departed = rekeyed.departed,
        messages = rekeyed.messages,
        keys = rekeyed.message_keys,
        octets = rekeyed.octets,
        "rekeyed"
    );
}
