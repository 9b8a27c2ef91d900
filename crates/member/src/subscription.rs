//! One group of a member: how it stands, its keys, and who follows them.

use std::time::Duration;

use claviger_crypto::Random;
use claviger_gdoi::{Extensions, PullId};
use claviger_group::{CookiePair, GroupId, Role, Spi};
use claviger_sansio::Time;
use tracing::{Span, debug, debug_span};

use crate::{
    event::Places,
    follow::{Follower, tree_keys::TreeKeys},
    held::HeldKeys,
    lease::Lease,
    repull::Repull,
};

/// A group that this member asked for.
pub struct Subscription {
    pub(crate) group: GroupId,
    pub(crate) role: Role,
    pub(crate) extensions: Extensions,
    /// Until when the key server granted it.
    pub(crate) granted_until: Option<Time>,
    pub(crate) pulling: Option<PullId>,
    /// When the last PULL began.
    pub(crate) pull_began: Time,
    pub(crate) repull: Repull,
    pub(crate) keys: Option<Keys>,
    /// Until when the keys may be used, if not without end.
    pub(crate) lease: Option<Lease>,
    /// The TEK under which the data plane has begun to send.
    pub(crate) changed_over: Option<Spi>,
    pub(crate) pulls: u64,
}

/// What a PULL brought and PUSHes renew.
pub(crate) struct Keys {
    pub(crate) held: HeldKeys,
    pub(crate) follower: Follower,
}

impl Subscription {
    pub(crate) fn new(group: GroupId, role: Role, extensions: Extensions) -> Self {
        Self {
            group,
            role,
            extensions,
            granted_until: None,
            pulling: None,
            pull_began: Time::EPOCH,
            repull: Repull::default(),
            keys: None,
            lease: None,
            changed_over: None,
            pulls: 0,
        }
    }

    /// Names the group in the log of what is done for it.
    pub(crate) fn span(&self) -> Span {
        debug_span!("group", group = %self.group)
    }

    /// Shows the group's identifier.
    pub fn group(&self) -> &GroupId {
        &self.group
    }

    /// Shows the role asked for, or what the key server has left of it.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Says whether the member holds keys.
    pub fn is_keyed(&self) -> bool {
        self.keys.is_some()
    }

    /// Shows where the group speaks, once a PULL told it.
    pub fn places(&self) -> Option<Places> {
        self.keys.as_ref().map(|keys| keys.held.places)
    }

    /// Shows the rekey SA and the last sequence number under it.
    pub fn epoch(&self) -> Option<(CookiePair, u32)> {
        let rekey = self.keys.as_ref()?.follower.rekey.as_ref()?;
        Some((rekey.sa.kek().spi, rekey.sa.sequence()))
    }

    /// Says how many keys of the group's key tree are held: those on the path from the member's leaf to the root.
    pub fn tree_keys(&self) -> usize {
        let rekey = self.keys.as_ref().and_then(|keys| keys.follower.rekey.as_ref());
        rekey.and_then(|rekey| rekey.tree.as_ref()).map_or(0, TreeKeys::count)
    }

    /// Says since when the rekey SA is held, and how much of its lifetime remains.
    pub fn kek_lifetime(&self, now: Time) -> Option<(Duration, Duration)> {
        let rekey = self.keys.as_ref()?.follower.rekey.as_ref()?;
        Some((now.since(rekey.since), rekey.expires.since(now)))
    }

    /// Says when keys last came.
    pub fn last_rekey(&self) -> Option<Time> {
        self.keys.as_ref().map(|keys| keys.held.last_rekey)
    }

    /// Says when the member will fetch its keys again unless new ones come before.
    pub fn pulls_again_at(&self) -> Option<Time> {
        self.repull.poll_timeout()
    }

    /// Says until when the keys may be used, where the key server has to confirm them.
    pub fn leased_until(&self) -> Option<Time> {
        self.lease.as_ref().map(Lease::until)
    }

    /// Says how many PULLs have succeeded.
    pub fn pulls(&self) -> u64 {
        self.pulls
    }

    /// Spreads what the group's members ask in doubt by their number, as far as the tree shows it.
    pub(crate) fn note_size(&mut self) {
        let rekey = self.keys.as_ref().and_then(|keys| keys.follower.rekey.as_ref());
        let members = rekey.and_then(|rekey| rekey.tree.as_ref()).map_or(1, TreeKeys::members_max);
        self.repull.doubt.spread_over(members);
    }

    /// Goes on in a lesser role. Whoever is no sender any more has no sender ids either.
    pub(crate) fn narrow(&mut self, role: Role) {
        debug!(group = %self.group, %role, "the role is narrowed");
        self.role = role;
        if let Some(keys) = &mut self.keys {
            keys.held.narrow(role);
        }
        // What it needed one for it does no more.
        if !role.sends() && self.lease.take_if(|lease| !lease.receives()).is_some() {
            self.show_lease();
        }
    }

    /// Forgets what remains of a rekey once no more messages of it are expected.
    pub(crate) fn handle_timeout(&mut self, now: Time, random: &mut dyn Random) {
        if let Some(keys) = &mut self.keys {
            keys.held.advance(now);
            keys.follower.handle_timeout(now, random);
        }
    }

    /// Says when [`Subscription::handle_timeout`] has something to do.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        let keys = self.keys.as_ref()?;
        let lease = self.lease.as_ref().map(Lease::poll_timeout);
        [keys.held.poll_timeout(), keys.follower.poll_timeout(), lease].into_iter().flatten().min()
    }

    /// Says when the first of the keys in force ends.
    pub(crate) fn expires(&self) -> Option<Time> {
        let keys = self.keys.as_ref()?;
        let rekey_sa = keys.follower.rekey.as_ref().map(|rekey| rekey.expires);
        [rekey_sa, keys.held.expires()].into_iter().flatten().min()
    }
}
