//! `claviger identity`: host identities.

use clap::{Args, Subcommand};
use claviger_api::name::Name;
use claviger_crypto::sign::KeyAlgorithm;
use claviger_identity::HostIdentity;
use claviger_pki::public_key;
use serde::Serialize;

use crate::{
    cli::{globals::Globals, value},
    exit::{Exit, Failure, Outcome},
    identity_file,
    lock::IdentityLock,
    output,
    settings::{identity::IdentityName, new_key::NewKey, paths::Paths},
};

/// Makes and shows host identities. A host may have several: nobody who sees two of them can tell that they are of one
/// host.
#[derive(Debug, Subcommand)]
pub(crate) enum IdentityCommand {
    /// Lists the identities of a state directory: name, HIT and kind of each.
    List(ListArgs),
    /// Makes an identity of a state directory and shows its HIT.
    New(NewArgs),
    /// Shows an identity of a state directory: its HIT, its kind and its file, or its public key.
    Show(ShowArgs),
}

/// Lists identities.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Write JSON
    #[arg(long)]
    json: bool,
}

/// Makes an identity.
#[derive(Debug, Args)]
pub(crate) struct NewArgs {
    /// Name of a further identity, for `--identity NAME`; ASCII letters, digits, - and _ [default: none, which is the
    /// host's first]
    #[arg(long, value_name = "NAME")]
    name: Option<IdentityName>,
    /// Kind of key
    #[arg(long, default_value = identity_file::ALGORITHM_DEFAULT.name(), value_parser = value::name::<KeyAlgorithm>())]
    algorithm: KeyAlgorithm,
    /// Key in a PKCS #11 token that the identity is to be, by its URI (docs/tokens.md), in place of a new one
    #[arg(long, value_name = "URI", conflicts_with = "algorithm")]
    key: Option<String>,
    /// Write JSON
    #[arg(long)]
    json: bool,
}

/// Shows an identity.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Name of the identity [default: none, which is the host's first]
    #[arg(long, value_name = "NAME")]
    name: Option<IdentityName>,
    /// Write the public key and nothing else, as PEM: what `claviger owner certify` reads
    #[arg(long, conflicts_with = "json")]
    public: bool,
    /// Write JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct IdentityView {
    name: Option<String>,
    hit: String,
    algorithm: &'static str,
    file: String,
}

pub(crate) fn run(globals: &Globals, command: IdentityCommand) -> Outcome {
    let paths = globals.paths()?;
    match command {
        IdentityCommand::List(args) => list(&paths, args.json),
        IdentityCommand::New(args) => {
            paths.make_state_dir()?;
            let name = args.name.unwrap_or_default();
            let lock = IdentityLock::acquire(&paths.state_dir, &name, "claviger identity new")?;
            let identity = identity_file::create(&lock, &NewKey::of(args.key, args.algorithm))?;
            show(&view(&paths, &name, &identity), args.json)
        }
        IdentityCommand::Show(args) => {
            let name = args.name.unwrap_or_default();
            let identity = load(&paths, &name)?;
            if args.public {
                return output::print_text(&public_key(&identity)?);
            }
            show(&view(&paths, &name, &identity), args.json)
        }
    }
}

fn load(paths: &Paths, name: &IdentityName) -> Outcome<HostIdentity> {
    identity_file::load(&paths.state_dir, name)?.ok_or_else(|| identity_file::missing(&paths.state_dir, name))
}

fn public_key(identity: &HostIdentity) -> Outcome<String> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::new(Exit::Failed, format!("the public key cannot be written: {error}"))
    };
    let key = identity.host_id().public_key().map_err(|error| failed(&error))?;
    public_key::to_pem(&key).map_err(|error| failed(&error))
}

fn view(paths: &Paths, name: &IdentityName, identity: &HostIdentity) -> IdentityView {
    IdentityView {
        name: name.name().map(str::to_owned),
        hit: identity.hit().to_string(),
        algorithm: identity.key_algorithm().name(),
        file: identity_file::path(&paths.state_dir, name).display().to_string(),
    }
}

fn list(paths: &Paths, json: bool) -> Outcome {
    let mut views = Vec::new();
    for name in identity_file::all(&paths.state_dir)? {
        views.push(view(paths, &name, &load(paths, &name)?));
    }
    output::print(json, &views, |views| {
        let rows = views.iter().map(|view| {
            let name = view.name.clone().unwrap_or_else(|| "-".to_owned());
            [name, view.hit.clone(), view.algorithm.to_owned(), view.file.clone()]
        });
        let nothing = "no identities; make one with: claviger identity new";
        output::table(["NAME", "HIT", "ALGORITHM", "FILE"], rows.collect(), nothing)
    })
}

fn show(view: &IdentityView, json: bool) -> Outcome {
    output::print(json, view, |view| {
        let mut rows = vec![
            ("HIT", view.hit.clone()),
            ("algorithm", view.algorithm.to_owned()),
            ("file", view.file.clone()),
        ];
        if let Some(name) = &view.name {
            rows.insert(0, ("name", name.clone()));
        }
        output::pairs(rows)
    })
}
