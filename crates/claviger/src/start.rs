//! Starts daemons from their settings: log, lock, identity, then the loop.

use std::{net::IpAddr, sync::Arc};

use claviger_api::{Call, ControlSocket};
use claviger_identity::HostIdentity;
use tokio::sync::mpsc;

use crate::{
    certificates,
    exit::Outcome,
    identity_file,
    lock::IdentityLock,
    logging,
    member::MemberDaemon,
    private,
    server::{self, ServerOptions},
    settings::{
        identity::IdentityName,
        member::{JoinSettings, MemberSettings},
        paths::Paths,
        server::ServerSettings,
    },
    signal::survive_hangups,
};

/// Runs a daemon or a client on threads of its own.
pub(crate) fn block_on<T>(task: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let result = runtime.block_on(async {
        survive_hangups()?;
        task.await
    });
    // A read of standard input that nobody waits for any more must not hold the process.
    runtime.shutdown_background();
    result
}

/// `claviger server`.
pub(crate) fn server(settings: &ServerSettings) -> Outcome {
    logging::init(&settings.log)?;
    private::report();
    Paths::find(Some(&settings.state_dir))?.make_state_dir()?;
    let lock = IdentityLock::acquire(&settings.state_dir, &IdentityName::FIRST, "claviger server")?;
    let (identity, is_new) = identity_file::load_or_create(&lock)?;
    let hit = identity.hit();
    eprintln!("{} host identity {hit}", if is_new { "made" } else { "took up" });
    let certificates = certificates::chains(&settings.certificate.0, &identity, certificates::now())?;
    block_on(server::run(ServerOptions {
        identity: Arc::new(identity),
        state_dir: settings.state_dir.clone(),
        socket: settings.socket.clone(),
        listen: both_families(settings.listen.address),
        hip_port: settings.listen.hip_port,
        gdoi_port: settings.listen.gdoi_port,
        raw: settings.listen.raw,
        interface: settings.listen.interface.clone(),
        puzzle: settings.puzzle,
        dh_groups: settings.hip.dh_groups.clone(),
        ciphers: settings.hip.ciphers.clone(),
        association_rekey: settings.hip.association_rekey,
        certificates,
        revocation_lists: settings.revocation_lists.clone(),
    }))
}

/// `claviger join`.
pub(crate) fn join(settings: &JoinSettings) -> Outcome {
    logging::init(&settings.log)?;
    let (lock, identity) = identity_of(&settings.member, "claviger join")?;
    eprintln!("host identity {}", identity.hit());
    let outcome = block_on(async {
        let control = ControlSocket::bind(&settings.socket)?;
        let (calls, mut queue) = claviger_api::call::channel();
        let mut daemon = MemberDaemon::start(identity, settings.member.clone())?;
        let api = tokio::spawn(claviger_api::serve(control, calls));
        let outcome = daemon.run(&mut queue).await;
        daemon.say_what_stays();
        // Answers that were just given must reach their callers.
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        api.abort();
        outcome
    });
    drop(lock);
    outcome
}

/// A member inside this process, for `send` and `recv` without a daemon.
pub(crate) struct OwnMember {
    /// The right to use the identity.
    pub(crate) lock: IdentityLock,
    pub(crate) daemon: MemberDaemon,
    /// The calls that it takes.
    pub(crate) calls: mpsc::Sender<Call>,
    /// The other end of `calls`, for [`MemberDaemon::run`].
    pub(crate) queue: mpsc::Receiver<Call>,
}

impl OwnMember {
    /// Starts it. `what` names this process to others, as `claviger send`.
    pub(crate) fn start(settings: &MemberSettings, what: &str) -> Outcome<Self> {
        let (lock, identity) = identity_of(settings, what)?;
        let (calls, queue) = claviger_api::call::channel();
        Ok(Self { lock, daemon: MemberDaemon::start(identity, settings.clone())?, calls, queue })
    }
}

/// Takes up the identity of a member. `what` names this process to others, as `claviger join`.
pub(crate) fn identity_of(
    settings: &MemberSettings,
    what: &str,
) -> Outcome<(IdentityLock, Arc<HostIdentity>)> {
    private::report();
    settings.paths.make_state_dir()?;
    let lock = IdentityLock::acquire(&settings.paths.state_dir, &settings.identity, what)?;
    let (identity, _) = identity_file::load_or_create(&lock)?;
    Ok((lock, Arc::new(identity)))
}

/// Listens on both address families where the address is any.
fn both_families(address: IpAddr) -> Vec<IpAddr> {
    if address.is_unspecified() {
        vec![IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED)]
    } else {
        vec![address]
    }
}
