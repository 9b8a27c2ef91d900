//! The key server's side, as its program runs it: a store that takes its time, a system that may refuse to send.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use claviger_crypto::CryptoProvider;
use claviger_gcks::{Event as ServerEvent, GcksConfig, Staged};
use claviger_hip::{CertificateChain, HostConfig};
use claviger_identity::HostIdentity;
use claviger_sansio::{Transmit, durable::Receipt};
use claviger_store::{Store as _, StoreError};

use super::{GDOI_PORT, Kind, Network, Origin, SERVER, hip_config, listening};

impl Network {
    /// Configures the key server of a network.
    pub(super) fn server_config(
        identity: &Arc<HostIdentity>,
        rekey_after: Option<Duration>,
        provider: &'static CryptoProvider,
    ) -> GcksConfig {
        GcksConfig {
            hip: HostConfig { rekey_after, ..hip_config(identity.clone()) },
            provider,
            gdoi_port: GDOI_PORT,
            push_source_v4: Some(SERVER),
            push_source_v6: None,
        }
    }

    /// Has the key server show certificates, now and when it is started again.
    ///
    /// # Panics
    ///
    /// If they are too many or too long.
    pub fn show_certificates(&mut self, chains: Vec<CertificateChain>) {
        self.server.set_certificates(chains.clone()).expect("they fit into a packet");
        self.server_certificates = chains;
    }

    pub(super) fn settle_server(&mut self) {
        while let Some(staged) = self.server.stage(self.server_now()) {
            self.commit(staged);
        }
    }

    /// Lets the key server speak, and takes what it says to this address, at which no member is, or said since it was asked
    /// last. What it says to others goes its way.
    pub fn said_to(&mut self, address: SocketAddr) -> Vec<Transmit> {
        self.settle_server();
        self.unclaimed.extract_if(.., |said| said.destination == address).collect()
    }

    fn commit(&mut self, staged: Staged) {
        let spoken = self.committed(staged);
        self.put_out(spoken);
    }

    /// Commits a step and takes what it says, which has left the server.
    fn committed(&mut self, staged: Staged) -> Vec<Transmit> {
        let durable = match staged.without_changes() {
            Ok(durable) => durable,
            Err(staged) => {
                let (store, tamper) = (&mut self.store, &mut self.tamper);
                let durable = staged.commit(|changes| {
                    let Some(tamper) = tamper else { return store.commit(changes) };
                    let _tampered = store.commit(&tamper(changes.to_vec()))?;
                    Ok::<_, StoreError>(Receipt::attest(changes))
                });
                self.wait_for_disk();
                durable.expect("memory takes everything")
            }
        };
        let now = self.server_now();
        let mut released = self.server.release(durable);
        let mut spoken = Vec::new();
        while let Some(dispatch) = released.poll_transmit() {
            let refuse = self.refuses.as_mut();
            match refuse.and_then(|refuses| refuses(self.now, dispatch.transmit())) {
                Some(reason) => dispatch.report(now, Err(reason)),
                None => spoken.push(dispatch.send(now)),
            }
        }
        while let Some(mut event) = released.poll_event() {
            if let ServerEvent::Departed { at, deaf_at, silent_from, .. } = &mut event {
                // As the members' clocks tell it.
                for instant in [at, deaf_at].into_iter().chain(silent_from) {
                    *instant = *instant - self.server_ahead;
                }
            }
            self.told.push((self.now, event));
        }
        drop(released);
        spoken
    }

    fn put_out(&mut self, spoken: Vec<Transmit>) {
        for transmit in spoken {
            let port = listening::port_of(transmit.socket);
            let kind = Kind::Control(transmit.socket);
            if self.targets(Origin::Server, kind, transmit.destination).is_empty() {
                self.unclaimed.push(transmit.clone());
            }
            self.put(Origin::Server, (SERVER, port).into(), transmit);
        }
    }

    /// Lets everybody go on while the key server's disk writes. The key server takes what is sent to it, and its
    /// timers; what comes of that is the next step.
    fn wait_for_disk(&mut self) {
        let end = self.now + self.disk;
        while !self.disk.is_zero() && self.step_before(end) {}
        self.now = self.now.max(end);
    }
}
