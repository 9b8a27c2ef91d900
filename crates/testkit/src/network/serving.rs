//! The key server's side, as its program runs it: a store that takes its time, a system that may refuse to send.

use claviger_gcks::Event as ServerEvent;
use claviger_sansio::Time;
use claviger_store::Store as _;

use super::{Flight, Network, Origin, SERVER, Target, listening};

impl Network {
    pub(super) fn settle_server(&mut self) {
        loop {
            let mut changes = self.server.take_changes(self.server_now());
            let nothing_changed = changes.is_empty();
            if !nothing_changed {
                if let Some(tamper) = &mut self.tamper {
                    changes = tamper(changes);
                }
                let receipt = self.store.commit(&changes).expect("memory takes everything");
                self.wait_for_disk();
                self.server.committed(receipt);
            }
            if !self.send_for_server() && nothing_changed {
                break;
            }
        }
        while let Some(mut event) = self.server.poll_event() {
            if let ServerEvent::Departed { at, deaf_at, .. } = &mut event {
                // As the members' clocks tell it.
                *at = *at - self.server_ahead;
                *deaf_at = *deaf_at - self.server_ahead;
            }
            self.told.push((self.now, event));
        }
    }

    /// Sends what the key server has to say, and tells it what became of it. Says whether there was anything.
    fn send_for_server(&mut self) -> bool {
        let mut has_spoken = false;
        let now = self.server_now();
        loop {
            let Some(dispatch) = self.server.poll_transmit() else { return has_spoken };
            has_spoken = true;
            let refuse = self.refuses.as_mut();
            if let Some(reason) = refuse.and_then(|refuses| refuses(self.now, dispatch.transmit())) {
                dispatch.report(now, Err(reason));
                continue;
            }
            let transmit = dispatch.send(now);
            let port = listening::port_of(transmit.carriage);
            self.put(Origin::Server, (SERVER, port).into(), transmit);
        }
    }

    /// Lets the others go on while the key server waits for its disk; what is sent to it waits too.
    fn wait_for_disk(&mut self) {
        let end = self.now + self.disk;
        loop {
            let is_for_member = |(_, flight): &(&(Time, u64), &Flight)| flight.to != Target::Server;
            let arrival = self.flights.iter().find(is_for_member).map(|(key, _)| *key);
            let due = self.members.iter().filter_map(|node| node.due).min();
            let next = arrival.map(|(at, _)| at).into_iter().chain(due).min().filter(|next| *next < end);
            let Some(next) = next else { break };
            self.now = self.now.max(next);
            self.handle_member_timers();
            if let Some(flight) =
                arrival.filter(|(at, _)| *at <= self.now).and_then(|key| self.flights.remove(&key))
            {
                self.deliver(flight);
            }
        }
        self.now = end;
    }
}
