//! The same departure in mls-rs, the Messaging Layer Security (RFC 9420) of AWS Labs.
//!
//! A member of an MLS group removes another by a commit, which replaces the keys of its own path and encrypts each
//! to public keys. How many depends on the group's past: right after all members were added by one commit, no inner
//! node has a key and nearly every member gets its own encryption; once members below each node have committed, it is
//! one for each level. Both are measured, the second with just those commits that this removal profits from.
//!
//! What MLS does besides (no server, healing after a compromise) has its price and is not compared.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use claviger_keytree::Degree;
use mls_rs::{
    CipherSuite, CipherSuiteProvider, Client, CryptoProvider, Group, MlsMessage,
    client_builder::MlsConfig,
    identity::{
        SigningIdentity,
        basic::{BasicCredential, BasicIdentityProvider},
    },
};
use mls_rs_crypto_rustcrypto::RustCryptoProvider;

use crate::{
    changes, clock,
    limits::Limits,
    options::Options,
    report::{self, Aim, Goals},
};

/// The sizes of group that are compared: larger ones take mls-rs minutes to build.
const MEMBERS: [u32; 2] = [1_000, 10_000];
/// The suite that every MLS implementation has, and mls-rs's provider does fastest.
const SUITE: CipherSuite = CipherSuite::CURVE25519_AES128;
const REPETITIONS: usize = 5;

/// Compares one departure, from groups of those sizes that the options ask for.
pub(crate) fn run(options: &Options, limits: &Limits, goals: &mut Goals) {
    println!(
        "\none departure in mls-rs 0.57 (mls-rs-crypto-rustcrypto 0.23, suite CURVE25519_AES128, without rayon),"
    );
    println!("and here (k = 4, one signature)");
    let compared = if options.quick { &MEMBERS[..1] } else { &MEMBERS };
    for &members in options.members().iter().filter(|members| compared.contains(members)) {
        let ours = changes::leave_signed(members, Degree::default(), limits);
        let mut group = self::group(members);
        println!("  {} members: here {}", report::number(members), report::time(ours));
        let fresh = group.removal();
        fresh.print("as added by one commit", ours);
        group.warm();
        let warm = group.removal();
        warm.print("once others have committed", ours);
        if members == MEMBERS[0] {
            let ratio = fresh.cpu.min(warm.cpu).div_duration_f64(ours);
            let place = format!("{} members, the better of the two for mls-rs", report::number(members));
            goals.note("mls-rs / one leave with its signature", place, Aim::AtLeast(100.0), ratio);
        }
    }
}

/// What one removal cost.
struct Removal {
    cpu: Duration,
    octets: usize,
}

impl Removal {
    fn print(&self, when: &str, ours: Duration) {
        println!(
            "    {when:<28} {:>10}  {:>9}  {:>9.0} times",
            report::time(self.cpu),
            report::octets(self.octets as f64),
            self.cpu.div_duration_f64(ours),
        );
    }
}

/// A group in mls-rs, as its first member has it.
struct MlsGroup<C: MlsConfig> {
    first: Group<C>,
    others: Vec<Client<C>>,
    welcome: MlsMessage,
    /// The member that a removal removes.
    removed: u32,
}

/// Makes a group of `members`, all added by one commit.
fn group(members: u32) -> MlsGroup<impl MlsConfig> {
    let mut first = client(0)
        .create_group(Default::default(), Default::default(), None)
        .expect("a group of one can be made");
    let others: Vec<_> = (1..members).map(client).collect();
    let mut builder = first.commit_builder();
    for other in &others {
        let package = other
            .generate_key_package_message(Default::default(), Default::default(), None)
            .expect("a client makes key packages");
        builder = builder.add_member(package).expect("the key package is in order");
    }
    let mut output = builder.build().expect("the members can be added");
    first.apply_pending_commit().expect("the commit is pending");
    let welcome = output.welcome_messages.swap_remove(0);
    MlsGroup { first, others, welcome, removed: members / 2 + 3 }
}

impl<C: MlsConfig> MlsGroup<C> {
    /// Measures how the first member removes another, and goes on in the new epoch.
    fn removal(&self) -> Removal {
        let mut octets = 0;
        let mut times: Vec<_> = (0..REPETITIONS)
            .map(|_| {
                let mut group = self.first.clone();
                let (cpu, commit) = clock::timed(|| {
                    let builder = group.commit_builder().remove_member(self.removed);
                    let output = builder.and_then(|builder| builder.build()).expect("the member is there");
                    group.apply_pending_commit().expect("the commit is pending");
                    output
                });
                octets = commit.commit_message().to_bytes().map_or(0, |message| message.len());
                cpu
            })
            .collect();
        Removal { cpu: clock::median(&mut times), octets }
    }

    /// Lets members commit so that each node beside the first member's path, and beside the removed one's, has a key
    /// of its own.
    fn warm(&mut self) {
        let members = self.others.len() as u32 + 1;
        let mut committers = Vec::new();
        let mut seen = BTreeSet::from([0, self.removed]);
        // Those below the largest subtrees first: what they leave undone is less for the next.
        for level in (0..members.ilog2() + 1).rev() {
            for leaf in [0, self.removed] {
                let beside = ((leaf >> level) ^ 1) << level;
                let candidate = (beside..beside + (1 << level)).find(|candidate| *candidate != 0);
                committers.extend(candidate.filter(|leaf| *leaf < members && seen.insert(*leaf)));
            }
        }
        let join = |leaf: u32| {
            let client = &self.others[leaf as usize - 1];
            client.join_group(None, &self.welcome, None).expect("the welcome is for it").0
        };
        let mut groups: VecDeque<_> = committers.into_iter().map(join).collect();
        while let Some(mut group) = groups.pop_front() {
            let commit = group.commit(Vec::new()).expect("a member can commit").commit_message;
            for other in groups.iter_mut().chain([&mut self.first]) {
                other.process_incoming_message(commit.clone()).expect("the commit is of its epoch");
            }
        }
    }
}

fn client(number: u32) -> Client<impl MlsConfig> {
    let provider = RustCryptoProvider::default();
    let suite = provider.cipher_suite_provider(SUITE).expect("the provider has the suite");
    let (secret, public) = suite.signature_key_generate().expect("the provider makes keys");
    let credential = BasicCredential::new(number.to_be_bytes().to_vec()).into_credential();
    Client::builder()
        .identity_provider(BasicIdentityProvider)
        .crypto_provider(provider)
        .signing_identity(SigningIdentity::new(credential, public), secret, SUITE)
        .build()
}
