//! The hidden commands that the demonstration's processes run.

use std::sync::Arc;

use claviger_api::{Call, ControlSocket, ReceiveStream, Record};
use claviger_net::{Clock, Interface, MulticastSocket, UdpOptions, UdpSocket};
use claviger_proof::Ledgers;
use claviger_sansio::Time;
use tokio::sync::mpsc;

use super::{ledger, recording::Recorder};
use crate::{
    exit::Outcome,
    logging,
    member::MemberDaemon,
    settings::demo::{ObserverSettings, RecordedMemberSettings},
    signal::Stop,
    start,
};

/// Runs the observer until it is told to stop.
pub(crate) fn observe(settings: &ObserverSettings) -> Outcome {
    logging::init(&settings.log)?;
    start::block_on(async {
        let clock = Clock::starting_at(Time::EPOCH);
        let interface = Interface::by_name("lo", "--address")?;
        let (entries, mut queue) = mpsc::channel(1024);
        let mut sockets = Vec::new();
        for port in &settings.ports {
            let options = UdpOptions::new("--port");
            let socket =
                Arc::new(UdpSocket::bind_group(settings.address, *port, &interface, None, &options)?);
            sockets.push(socket.clone());
            let entries = entries.clone();
            tokio::spawn(async move {
                let mut buffer = vec![0; claviger_net::udp::MAX_DATAGRAM];
                while let Ok(received) = socket.recv(&mut buffer).await {
                    let octets = buffer[..received.length].to_vec();
                    if entries.send((clock.now(), received.destination.port(), octets)).await.is_err() {
                        break;
                    }
                }
            });
        }
        let mut recorder = Recorder::create(&settings.recording)?;
        let mut stop = Stop::listen()?;
        loop {
            tokio::select! {
                biased;
                Some((at, port, octets)) = queue.recv() => recorder.record(at, port, &octets)?,
                () = stop.wait() => break,
            }
        }
        for socket in sockets {
            recorder.drops(socket.dropped()?)?;
        }
        Ok(())
    })
}

/// Runs the member until it leaves or is put out.
pub(crate) fn join(settings: &RecordedMemberSettings) -> Outcome {
    let member = &settings.member;
    logging::init(&settings.log)?;
    let (_lock, identity) = start::identity_of(member, "claviger demo")?;
    let socket = member.paths.member_socket(&member.group);
    let mut recorder = Recorder::create(&settings.recording)?;
    start::block_on(async {
        let control = ControlSocket::bind(&socket)?;
        let (calls, mut queue) = claviger_api::call::channel();
        let ledgers = Ledgers::default();
        let mut daemon = MemberDaemon::start(identity, member.clone())?.witnessed(ledgers.witness());
        let api = tokio::spawn(claviger_api::serve(control, calls.clone()));

        let (stream, mut arriving, _) = ReceiveStream::new(member.group.clone());
        if calls.send(Call::Receive(stream)).await.is_err() {
            return Ok(());
        }
        let clock = Clock::starting_at(Time::EPOCH);
        let record = async {
            while let Some(record) = arriving.next().await {
                if let Record::Data(payload) = record
                    && recorder.record(clock.now(), 0, &payload).is_err()
                {
                    break;
                }
            }
        };
        let outcome = tokio::select! {
            outcome = daemon.run(&mut queue) => outcome,
            () = record => Ok(()),
        };
        arriving.close();
        while let Some(record) = arriving.next().await {
            if let Record::Data(payload) = record {
                recorder.record(clock.now(), 0, &payload)?;
            }
        }
        recorder.drops(daemon.kernel_drops())?;
        ledger::write(&settings.ledger, &ledgers.of(&settings.member.group).unwrap_or_default())?;
        api.abort();
        outcome
    })
}
