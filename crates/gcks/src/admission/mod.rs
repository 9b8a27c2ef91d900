//! Who a host is, whether it may join, and whether it is gone.
//!
//! One [`Roster`] knows for all groups and all registrations who is on which list, what was granted, who was refused and
//! who departed. How a host registers is an adapter's business: it proves who the peer is and yields a registration SA.
//! [`Admission`] carries out what is decided. It knows the key server by what it borrows of it, and the protocols under a
//! registration by [`UnderRegistration`] alone.
//!
//! | module | what |
//! |---|---|
//! | [`roster`] | lists, grants, refusals, limits: one look-up for each question |
//! | [`list`] | what is known of the hosts of one group |
//! | [`refusals`] | who was refused lately |
//! | [`admittance`] | what a list lets a host do |
//! | [`entries`] | hosts by their identities, and subjects of certificates by their names |
//! | [`owner`] | whose certificates let hosts in, and what is known of revocation |
//! | [`credentials`] | what a host shows of certificates, and what that is worth |
//! | [`certified`] | what a certificate gave, as it is kept |
//! | [`revocation`] | hosts whose certificates are revoked while they are members |
//! | [`grants`] | what hosts were granted, and when that ends |
//! | [`limiter`] | how often a host may join |
//! | [`membership`] | what becomes of a member whose standing changes |
//! | [`departure`], [`departed`] | who goes or is put out, and from when on nothing is readable to it |
//! | [`registration`] | what a registration is to those who ask, and to the protocols that run under it |
//! | [`phase_1`] | registrations without grants of their own: the roster is asked when their PULL comes |
//! | [`hip`] | registrations by HIP |
//! | [`renewal`] | registration SAs whose keys are renewed |

pub(crate) mod admittance;
pub(crate) mod certified;
pub(crate) mod credentials;
pub(crate) mod departed;
pub(crate) mod departure;
pub(crate) mod entries;
pub(crate) mod grants;
pub(crate) mod hip;
pub(crate) mod limiter;
pub(crate) mod list;
pub(crate) mod membership;
pub(crate) mod owner;
pub(crate) mod phase_1;
pub(crate) mod refusals;
pub(crate) mod registration;
pub(crate) mod renewal;
pub(crate) mod revocation;
pub(crate) mod roster;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use claviger_group::{GroupId, MemberId};
use claviger_identity::Hit;
use claviger_sansio::{Counts, durable::Change};

use self::{registration::UnderRegistration, roster::Roster};
use crate::{
    Counter,
    event::{Departure, Event},
    groups::Groups,
};

/// Admission at work: what it decides by, and where it writes what follows.
pub(crate) struct Admission<'a> {
    pub(crate) hip: &'a mut claviger_hip_groups::Host,
    pub(crate) roster: &'a mut Roster,
    pub(crate) groups: &'a mut Groups,
    /// Why those depart who wait for their rekey.
    pub(crate) departures: &'a mut BTreeMap<(GroupId, MemberId), Departure>,
    /// Hosts whose association changed since the last step.
    pub(crate) touched: &'a mut BTreeSet<Hit>,
    pub(crate) keyed: &'a mut dyn UnderRegistration,
    pub(crate) changes: &'a mut Vec<Change>,
    pub(crate) events: &'a mut VecDeque<Event>,
    pub(crate) counters: &'a mut Counts<Counter>,
}
