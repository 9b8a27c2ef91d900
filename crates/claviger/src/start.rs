//! Starts daemons from arguments: settings, lock, identity, then the loop.

use std::{net::IpAddr, sync::Arc};

use claviger_api::{Call, ControlSocket};
use claviger_gdoi::Extensions;
use claviger_group::{GroupId, Role};
use claviger_identity::HostIdentity;
use tokio::sync::mpsc;

use crate::{
    cli::{
        Globals, join::JoinArgs, registration::RegistrationArgs, server::ServerArgs, value::ServerAddress,
    },
    config::ServerSettings,
    exit::{Failure, Outcome},
    identity_file,
    lock::IdentityLock,
    logging::{self, LogFilter},
    member::{MemberDaemon, MemberOptions, TunSettings},
    paths::Paths,
    server::{self, ServerOptions},
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
pub(crate) fn server(globals: &Globals, args: &ServerArgs) -> Outcome {
    if args.check {
        return crate::cli::server::check(globals, args);
    }
    let settings = ServerSettings::new(globals, args)?;
    logging::init(&settings.log)?;
    Paths::find(Some(&settings.state_dir))?.make_state_dir()?;
    let lock = IdentityLock::acquire(&settings.state_dir, "claviger server")?;
    let (identity, is_new) = identity_file::load_or_create(&lock)?;
    let hit = identity.hit();
    eprintln!("{} host identity {hit}", if is_new { "made" } else { "took up" });
    let listen = settings.listen.address;
    block_on(server::run(ServerOptions {
        identity: Arc::new(identity),
        state_dir: settings.state_dir.clone(),
        socket: settings.socket.clone(),
        listen: both_families(listen),
        hip_port: settings.listen.hip_port,
        gdoi_port: settings.listen.gdoi_port,
        raw: settings.listen.raw,
        interface: settings.listen.interface.clone(),
        puzzle_difficulty: settings.difficulty,
        dh_groups: settings.hip.dh_groups.clone(),
        ciphers: settings.hip.ciphers.clone(),
    }))
}

/// Takes up the identity of a member daemon and makes its options.
pub(crate) fn member_of(
    globals: &Globals,
    what: &str,
    args: &JoinArgs,
) -> Outcome<(IdentityLock, MemberOptions)> {
    let (lock, identity) = member_identity(globals, what)?;
    let tun = args
        .tun
        .as_ref()
        .map(|name| TunSettings { name: Some(name.clone()), addresses: args.tun_address.clone() });
    let options = member_options(identity, &args.server, &args.group, args.role(), &args.registration, tun);
    Ok((lock, options))
}

/// `claviger join`.
pub(crate) fn join(globals: &Globals, args: &JoinArgs) -> Outcome {
    logging::init(&globals.log.clone().unwrap_or_else(LogFilter::of_daemons))?;
    let paths = globals.paths()?;
    let (lock, options) = member_of(globals, "claviger join", args)?;
    eprintln!("host identity {}", options.identity.hit());
    let socket = globals.socket.clone().unwrap_or_else(|| paths.member_socket(&args.group));
    let outcome = block_on(async {
        let control = ControlSocket::bind(&socket)?;
        let (calls, mut queue) = claviger_api::call::channel();
        let mut daemon = MemberDaemon::start(options)?;
        let api = tokio::spawn(claviger_api::serve(control, calls));
        let outcome = daemon.run(&mut queue).await;
        // Answers that were just given must reach their callers.
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        api.abort();
        outcome
    });
    drop(lock);
    outcome
}

/// Starts a member inside this process, for `send` and `recv` without a daemon. Its calls go by the channel.
pub(crate) fn member_inside(
    globals: &Globals,
    what: &str,
    server: &ServerAddress,
    group: &GroupId,
    role: Role,
    registration: &RegistrationArgs,
) -> Outcome<(IdentityLock, MemberDaemon, mpsc::Sender<Call>, mpsc::Receiver<Call>)> {
    let (lock, identity) = member_identity(globals, what)?;
    let options = member_options(identity, server, group, role, registration, None);
    let (calls, queue) = claviger_api::call::channel();
    Ok((lock, MemberDaemon::start(options)?, calls, queue))
}

fn member_identity(globals: &Globals, what: &str) -> Outcome<(IdentityLock, HostIdentity)> {
    let paths = globals.paths()?;
    paths.make_state_dir()?;
    let lock = IdentityLock::acquire(&paths.state_dir, what)?;
    let (identity, _) = identity_file::load_or_create(&lock)?;
    Ok((lock, identity))
}

fn member_options(
    identity: HostIdentity,
    server: &ServerAddress,
    group: &GroupId,
    role: Role,
    registration: &RegistrationArgs,
    tun: Option<TunSettings>,
) -> MemberOptions {
    MemberOptions {
        identity: Arc::new(identity),
        server: server.hit,
        server_address: server.address,
        gdoi_port: registration.gdoi_port,
        raw: registration.raw,
        group: group.clone(),
        role,
        interface: registration.interface.clone(),
        dh_groups: registration.dh_groups.clone().unwrap_or_default(),
        extensions: if registration.standard_only { Extensions::NONE } else { Extensions::ALL },
        tun,
    }
}

/// Listens on both address families where the address is any.
fn both_families(address: IpAddr) -> Vec<IpAddr> {
    if address.is_unspecified() {
        vec![IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED)]
    } else {
        vec![address]
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::from(anyhow::Error::from(error))
    }
}
