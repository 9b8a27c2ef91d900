//! `claviger identity`: host identities.

use clap::{Args, Subcommand};
use claviger_api::name::Name;
use claviger_crypto::sign::KeyAlgorithm;
use claviger_identity::HostIdentity;
use serde::Serialize;

use crate::{
    cli::{globals::Globals, value},
    exit::{Exit, Failure, Outcome},
    identity_file,
    lock::IdentityLock,
    output,
    settings::paths::Paths,
};

/// Makes and shows host identities.
#[derive(Debug, Subcommand)]
pub(crate) enum IdentityCommand {
    /// Makes the identity of a state directory and shows its HIT.
    New(NewArgs),
    /// Shows the identity of a state directory: its HIT, its kind and its file.
    Show(ShowArgs),
}

/// Makes an identity.
#[derive(Debug, Args)]
pub(crate) struct NewArgs {
    /// Kind of key
    #[arg(long, default_value = identity_file::ALGORITHM_DEFAULT.name(), value_parser = value::name::<KeyAlgorithm>())]
    algorithm: KeyAlgorithm,
    /// Write JSON
    #[arg(long)]
    json: bool,
}

/// Shows an identity.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Write JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct IdentityView {
    hit: String,
    algorithm: &'static str,
    file: String,
}

pub(crate) fn run(globals: &Globals, command: IdentityCommand) -> Outcome {
    let paths = globals.paths()?;
    match command {
        IdentityCommand::New(args) => {
            paths.make_state_dir()?;
            let lock = IdentityLock::acquire(&paths.state_dir, "claviger identity new")?;
            show(&paths, &identity_file::create(&lock, args.algorithm)?, args.json)
        }
        IdentityCommand::Show(args) => {
            let Some(identity) = identity_file::load(&paths.state_dir)? else {
                let message = format!("there is no identity in {}", paths.state_dir.display());
                return Err(Failure::new(Exit::Configuration, message).hint("claviger identity new"));
            };
            show(&paths, &identity, args.json)
        }
    }
}

fn show(paths: &Paths, identity: &HostIdentity, json: bool) -> Outcome {
    let view = IdentityView {
        hit: identity.hit().to_string(),
        algorithm: identity.key_algorithm().name(),
        file: identity_file::path(&paths.state_dir).display().to_string(),
    };
    output::print(json, &view, |view| {
        output::pairs(vec![
            ("HIT", view.hit.clone()),
            ("algorithm", view.algorithm.to_owned()),
            ("file", view.file.clone()),
        ])
    })
}
