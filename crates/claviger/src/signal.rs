//! What wakes a daemon's loop beside packets and calls: signals and timers; and the one signal that ends nothing.

use std::io;

use claviger_net::Clock;
use claviger_sansio::Time;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGINT.
pub(crate) struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    /// Begins to listen; from then on the signals no longer end the process by themselves.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for either.
    pub(crate) async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Begins to take SIGHUP, which ends a program otherwise: whoever starts one in a terminal and closes that, or asks
/// daemons to read their settings again, means it to go on. It must be called within a runtime.
pub(crate) fn survive_hangups() -> io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            tracing::info!("SIGHUP: goes on; settings are read at the start only");
        }
    });
    Ok(())
}

/// Waits until a time, or for ever if nothing is due.
pub(crate) async fn sleep_until(clock: &Clock, time: Option<Time>) {
    match time {
        Some(time) => clock.sleep_until(time).await,
        None => std::future::pending().await,
    }
}
