//! Whether rekey messages can leave this host at all.

use std::{collections::BTreeSet, net::IpAddr};

use claviger_gcks::view::GroupView;
use claviger_net::multicast::way_out;
use claviger_sansio::{NotSent, Socket};
use claviger_store::Store;

use super::Server;

impl<S: Store> Server<S> {
    /// Warns where rekey messages of a group find no way out: nothing would tell before the first rekey.
    pub(super) fn warn_without_way_out(&self, group: &GroupView) {
        let places = group.policy.tree.places.iter().map(|place| place.push_address);
        let addresses: BTreeSet<IpAddr> = places.chain([group.push_destination.ip()]).collect();
        for destination in addresses {
            if let Err(reason) = self.way_out(destination) {
                tracing::warn!(
                    group = %group.id, %destination, error = %reason,
                    "there is no way out for rekey messages: no route, or the interface is down"
                );
            }
        }
    }

    fn way_out(&self, destination: IpAddr) -> Result<(), NotSent> {
        if !self.carrier.has_outlet(Socket::Port848, destination) {
            return Err(NotSent::NoSocket);
        }
        way_out(destination, self.interface.as_ref()).map_err(|error| NotSent::from(&error))
    }
}
