//! Where members are, and which keys are needed there only.
//!
//! The members at a place sit in subtrees of their own, so that of a rekey the keys that are needed at one place only are
//! told from the others. Members at none of the policy's places are elsewhere.

use std::net::IpAddr;

use claviger_crypto::Random;
use claviger_group::{GroupPlace, GroupPolicy, MemberId, policy::PolicyError};
use claviger_keytree::{
    Leaf, NodeId, Rekey, TreeConfig,
    place::{Place, PlaceError, Placed, Places},
};

use super::{Group, WaitingJoin, arrival::Arrival};

/// Where members are that are at none of the policy's places. Those are numbered from 1, as the policy lists them.
pub(crate) const ELSEWHERE: Place = Place::new(0);

/// How many members a subtree elsewhere has room for: there may be any number of them.
const ELSEWHERE_MEMBERS: u32 = 64;

/// Binds the places of a policy; none if it has none.
///
/// # Errors
///
/// [`PolicyError::PlaceMembers`] if a place expects more members than the tree can have.
pub(super) fn bound(policy: &GroupPolicy, config: TreeConfig) -> Result<Option<Places>, PolicyError> {
    if policy.tree.places.is_empty() {
        return Ok(None);
    }
    let mut places = Places::new(config);
    let listed = policy.tree.places.iter().map(|place| place.members).enumerate();
    let listed = listed.map(|(number, members)| (numbered(number), members));
    for (place, members) in listed.chain([(ELSEWHERE, ELSEWHERE_MEMBERS)]) {
        places.bind(place, members).map_err(|_| PolicyError::PlaceMembers)?;
    }
    Ok(Some(places))
}

/// Names the place of this number in the policy's list.
fn numbered(number: usize) -> Place {
    Place::new(number as u64 + 1)
}

/// Says whether bindings that were stored are those of the policy's places.
pub(crate) fn fits(policy: &GroupPolicy, places: &Places) -> bool {
    let bound = places.bindings().map(|binding| binding.place);
    bound.eq([ELSEWHERE].into_iter().chain((0..policy.tree.places.len()).map(numbered)))
}

/// What a change of membership did to the tree.
pub(super) struct Seated {
    pub(super) rekey: Rekey,
    /// Those whose leaves [`Rekey::joined`] names: those for whom leaves were chosen anew, then members that moved.
    pub(super) joined: Vec<WaitingJoin>,
    /// Those for whom there is no leaf.
    pub(super) refused: Vec<WaitingJoin>,
    /// The places whose bindings changed.
    pub(super) rebound: Vec<Place>,
}

impl Group {
    /// Says where a host with this address is.
    pub(crate) fn place_at(&self, address: IpAddr) -> Place {
        self.policy.place_at(address).map_or(ELSEWHERE, numbered)
    }

    /// Says where a member sits, in a group that has places.
    pub(crate) fn place_of(&self, host: &MemberId) -> Option<Place> {
        self.places.as_ref()?.place_of(self.members.get(host)?.leaf)
    }

    /// Finds a place in the policy; none for elsewhere.
    pub(crate) fn listed(&self, place: Place) -> Option<&GroupPlace> {
        let number = place.value().checked_sub(1).and_then(|number| usize::try_from(number).ok());
        self.policy.tree.places.get(number?)
    }

    /// Says which place alone needs what is encrypted under the key of this node, if it is one.
    pub(crate) fn only_place_below(&self, node: NodeId) -> Option<Place> {
        let mut below = self.places.iter().flat_map(|places| places.subtrees_below(node)).map(|(_, at)| at);
        let first = below.next()?;
        below.all(|place| place == first).then_some(first)
    }

    /// Changes the tree for those who wait. A newcomer whose place has no room left is taken for one elsewhere.
    pub(super) fn seat(
        &mut self,
        mut joins: Vec<WaitingJoin>,
        departures: &[Leaf],
        random: &mut dyn Random,
    ) -> Seated {
        let expected =
            "joins were admitted within the tree's capacity and epochs, and departures are of members";
        joins.sort_by_key(|join| join.arrival == Arrival::Moves);
        let mut refused = Vec::new();
        let leaf_of = |join: &WaitingJoin| self.members.get(&join.host).map(|member| member.leaf);
        // Who begins anew departs and comes.
        let left = |joins: &[WaitingJoin]| -> Vec<Leaf> {
            let anew = joins.iter().filter(|join| join.arrival.begins_anew()).filter_map(leaf_of);
            departures.iter().copied().chain(anew).collect()
        };
        let Some(places) = &mut self.places else {
            let rekey = self.tree.batch(joins.len(), &left(&joins), random).expect(expected);
            return Seated { rekey, joined: joins, refused, rebound: Vec::new() };
        };
        loop {
            if joins.is_empty() && departures.is_empty() {
                // The new KEK was announced: it is one, though nobody came.
                let rekey = self.tree.refresh(random).expect(expected);
                return Seated { rekey, joined: joins, refused, rebound: Vec::new() };
            }
            let (moves, newcomers): (Vec<&WaitingJoin>, Vec<&WaitingJoin>) =
                joins.iter().partition(|join| join.arrival == Arrival::Moves);
            let newcomers: Vec<Place> = newcomers.iter().map(|join| join.place).collect();
            let moves: Vec<_> = moves.iter().filter_map(|join| Some((leaf_of(join)?, join.place))).collect();
            match places.batch(&mut self.tree, &newcomers, &moves, &left(&joins), random) {
                Ok(Placed { rekey, rebound }) => {
                    let rebound = rebound.into_iter().collect();
                    return Seated { rekey, joined: joins, refused, rebound };
                }
                Err(PlaceError::Full(ELSEWHERE)) => {
                    refused.extend(joins.extract_if(.., |join| join.place == ELSEWHERE));
                }
                Err(PlaceError::Full(full)) => {
                    joins
                        .iter_mut()
                        .filter(|join| join.place == full)
                        .for_each(|join| join.place = ELSEWHERE);
                }
                Err(error) => unreachable!("{expected}: {error}"),
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use claviger_crypto::{SeededRandom, provider};
    use claviger_group::{Channel, KekManagement, PushAuthentication, Role};
    use claviger_identity::Hit;
    use claviger_keytree::KeyTree;
    use claviger_sansio::Time;

    use super::*;
    use crate::group::{distribution::RequestId, lease::LeaseNeed, member::Membership, sender_ids::HeldIds};

    pub(crate) const NORTH: Place = Place::new(1);

    /// A group with one place, over a tree with room for one subtree of four leaves there and one of four elsewhere.
    pub(crate) fn small() -> Group {
        let mut policy = GroupPolicy::new(Channel::new([239, 192, 0, 1].into(), None).unwrap());
        policy.rekey.management = KekManagement::Lkh32;
        policy.rekey.authentication = PushAuthentication::Batch;
        let (prefix, push_address) = ("10.0.0.0/8".parse().unwrap(), [239, 192, 0, 2].into());
        policy.tree.places = vec![GroupPlace { prefix, push_address, members: 4 }];
        let (id, random) = ("small".parse().unwrap(), &mut SeededRandom::new(1));
        let mut group =
            Group::new(id, policy, provider(), random, Time::EPOCH).unwrap_or_else(|_| unreachable!());
        let config = TreeConfig { capacity: 8, ..group.tree.config() };
        group.tree = KeyTree::new(config, random);
        let mut places = Places::new(config);
        places.bind(NORTH, 4).unwrap();
        places.bind(ELSEWHERE, 4).unwrap();
        group.places = Some(places);
        group
    }

    pub(crate) fn join(number: u8, place: Place, arrival: Arrival) -> WaitingJoin {
        let request = RequestId(number.into());
        let (role, lease) = (Role::Both, LeaseNeed::None);
        WaitingJoin { request, host: host(number), role, sender_ids: 0, place, arrival, lease }
    }

    pub(crate) fn host(number: u8) -> MemberId {
        MemberId::Hit(Hit::new([number; 16]))
    }

    fn seat(group: &mut Group, joins: Vec<WaitingJoin>, departures: &[Leaf]) -> (Vec<Place>, Vec<MemberId>) {
        let seated = group.seat(joins, departures, &mut SeededRandom::new(2));
        assert_eq!(seated.joined.len(), seated.rekey.joined.len());
        for (join, leaf) in seated.joined.iter().zip(&seated.rekey.joined) {
            let now = Time::EPOCH;
            let member = Membership {
                leaf: *leaf,
                role: join.role,
                since: now,
                last_pull: now,
                sender_ids: HeldIds::default(),
                registered_anew: false,
            };
            group.members.insert(join.host.clone(), member);
        }
        let sits = |join: &WaitingJoin| group.place_of(&join.host).unwrap();
        (
            seated.joined.iter().map(sits).collect(),
            seated.refused.iter().map(|join| join.host.clone()).collect(),
        )
    }

    #[test]
    fn who_finds_its_place_full_sits_elsewhere_and_then_nowhere() {
        let mut group = small();
        let (sit, refused) = seat(&mut group, (0..6).map(|n| join(n, NORTH, Arrival::Joins)).collect(), &[]);
        assert_eq!((sit, refused), (vec![NORTH; 6], vec![]), "a place that outgrows a subtree takes another");
        let mut group = small();
        let (sit, refused) = seat(&mut group, (0..4).map(|n| join(n, NORTH, Arrival::Joins)).collect(), &[]);
        assert_eq!((sit, refused), (vec![NORTH; 4], vec![]));
        let (sit, _) =
            seat(&mut group, vec![join(4, NORTH, Arrival::Joins), join(5, ELSEWHERE, Arrival::Joins)], &[]);
        assert_eq!(sit, [ELSEWHERE; 2]);
        // A move there sits where there is room.
        let (sit, refused) =
            seat(&mut group, vec![join(5, NORTH, Arrival::Moves), join(6, NORTH, Arrival::Joins)], &[]);
        assert_eq!((sit, refused), (vec![ELSEWHERE; 2], vec![]));
        let (sit, refused) =
            seat(&mut group, vec![join(7, NORTH, Arrival::Joins), join(8, ELSEWHERE, Arrival::Joins)], &[]);
        assert_eq!((sit, refused), (vec![], vec![host(7), host(8)]));
        // Where somebody leaves, somebody comes.
        let leaf = group.members.remove(&host(0)).unwrap().leaf;
        let (sit, refused) = seat(&mut group, vec![join(5, NORTH, Arrival::Moves)], &[leaf]);
        assert_eq!((sit, refused), (vec![NORTH], vec![]));
        assert_eq!(group.tree.len(), group.members.len());
    }

    /// Two members in the north and one elsewhere.
    pub(crate) fn settled() -> Group {
        let mut group = small();
        let joins = [(0, NORTH), (1, NORTH), (2, ELSEWHERE)].map(|(n, place)| join(n, place, Arrival::Joins));
        seat(&mut group, joins.into(), &[]);
        group
    }

    #[test]
    fn what_one_place_needs_is_told_apart() {
        let group = settled();
        let below = |number| group.only_place_below(group.members[&host(number)].leaf.node().unwrap());
        assert_eq!([0, 1, 2].map(below), [Some(NORTH), Some(NORTH), Some(ELSEWHERE)]);
        assert_eq!(group.only_place_below(group.tree.root().0), None);
    }
}
