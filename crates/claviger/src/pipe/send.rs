//! `claviger send`: standard input to a group.

use std::num::NonZeroU64;

use bytes::Bytes;
use claviger_api::{Call, Client, Reply, SendStream, SendSummary};
use claviger_group::Role;
use claviger_net::{Clock, Pacer};
use claviger_sansio::Time;
use tokio::{io::AsyncReadExt, sync::mpsc};

use crate::{
    cli::{Globals, send::SendArgs},
    exit::{Exit, Failure, Outcome},
    logging::{self, LogFilter},
    start,
};

/// `claviger send`.
pub(crate) fn run(globals: &Globals, args: &SendArgs) -> Outcome {
    logging::init(&globals.log.clone().unwrap_or_else(LogFilter::of_commands))?;
    let summary = match &args.server {
        Some(server) => start::block_on(async {
            let (_lock, mut member, calls, mut queue) = start::member_inside(
                globals,
                "claviger send",
                server,
                &args.group,
                Role::Sender,
                &args.registration,
            )?;
            let work = through_calls(args, calls);
            tokio::select! {
                ended = member.run(&mut queue) => Err(ended.err().unwrap_or_else(interrupted)),
                summary = work => {
                    member.leave_now().await;
                    summary
                }
            }
        })?,
        None => start::block_on(through_daemon(globals, args))?,
    };
    eprintln!("sent {} octets in {} datagrams", summary.octets, summary.datagrams);
    if summary.failed > 0 {
        return Err(Failure::new(Exit::Failed, format!("{} datagrams could not be sent", summary.failed)));
    }
    Ok(())
}

fn interrupted() -> Failure {
    Failure::new(Exit::Failed, "stopped before all was sent")
}

async fn through_daemon(globals: &Globals, args: &SendArgs) -> Outcome<SendSummary> {
    let socket = match &globals.socket {
        Some(socket) => socket.clone(),
        None => globals.paths()?.member_socket(&args.group),
    };
    let mut stream = Client::new(socket).send(&args.group, args.port).await?;
    let mut input = Input::new(args);
    loop {
        tokio::select! {
            error = stream.ended() => return Err(error.into()),
            payload = input.next() => match payload? {
                Some(payload) => stream.push(payload).await?,
                None => break,
            },
        }
    }
    Ok(stream.finish().await?)
}

async fn through_calls(args: &SendArgs, calls: mpsc::Sender<Call>) -> Outcome<SendSummary> {
    let (payloads, receiver) = mpsc::channel(claviger_api::call::STREAM_RECORDS_MAX);
    let (done, mut summary) = Reply::new();
    let stream =
        SendStream { group: args.group.clone(), application_port: args.port, payloads: receiver, done };
    calls.send(Call::Send(stream)).await.map_err(|_| interrupted())?;
    let mut input = Input::new(args);
    loop {
        tokio::select! {
            refused = &mut summary => return Ok(refused.map_err(|_| interrupted())??),
            payload = input.next() => match payload? {
                Some(payload) => payloads.send(payload).await.map_err(|_| interrupted())?,
                None => break,
            },
        }
    }
    drop(payloads);
    Ok(summary.await.map_err(|_| interrupted())??)
}

/// Standard input, cut into payloads and paced.
struct Input {
    stdin: tokio::io::Stdin,
    size: usize,
    clock: Clock,
    pacer: Pacer,
}

impl Input {
    fn new(args: &SendArgs) -> Self {
        let clock = Clock::starting_at(Time::EPOCH);
        let rate = NonZeroU64::new(args.rate).unwrap_or(NonZeroU64::MIN);
        Self {
            stdin: tokio::io::stdin(),
            size: args.size.into(),
            pacer: Pacer::new(rate, clock.now()),
            clock,
        }
    }

    /// Reads one payload's worth, or what is left; waits until the rate allows it.
    async fn next(&mut self) -> Outcome<Option<Bytes>> {
        let mut payload = Vec::with_capacity(self.size);
        while payload.len() < self.size {
            let wanted = (self.size - payload.len()) as u64;
            if (&mut self.stdin).take(wanted).read_buf(&mut payload).await? == 0 {
                break;
            }
        }
        if payload.is_empty() {
            return Ok(None);
        }
        self.pacer.pace(&self.clock, payload.len()).await;
        Ok(Some(payload.into()))
    }
}
