//! `claviger rekey`: replaces a group's keys now.

use clap::Args;
use claviger_api::{RekeyOrder, RekeyView, name::Name, view::RekeyKey};
use claviger_group::GroupId;

use crate::{
    cli::{globals::Globals, group::keys_text, value::name},
    exit::Outcome,
    output::{self, or_not_sent},
};

/// Replaces a group's keys now. Returns when a copy of each rekey message has left; fails if they cannot, and the key
/// server goes on trying.
#[derive(Debug, Args)]
pub(crate) struct RekeyArgs {
    /// Group, by name; #1234 or 0x4d2 is a number of four octets
    #[arg(long, value_name = "NAME")]
    group: GroupId,
    /// Key to replace: the traffic key, or the key encryption key
    #[arg(long, default_value = RekeyKey::Tek.name(), value_parser = name::<RekeyKey>())]
    key: RekeyKey,
    /// Write JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(globals: &Globals, args: RekeyArgs) -> Outcome {
    let rekeyed = globals.server()?.rekey(&args.group, &RekeyOrder { key: args.key }).await;
    output::print(args.json, &or_not_sent(args.json, rekeyed)?, text)
}

fn text(rekeyed: &RekeyView) -> String {
    let RekeyView { group, key, messages, octets, keys, active_at_us, now } = rekeyed;
    format!(
        "replaced the {} of {group}: {messages} messages, {octets} octets, {keys} keys; senders change over at {}\n\n{}",
        key.name().to_uppercase(),
        output::instant(*active_at_us),
        keys_text(now)
    )
}

#[cfg(test)]
mod tests {
    use claviger_api::status::GroupKeys;
    use claviger_sansio::Time;

    use super::*;

    #[test]
    fn a_rekey_shows_what_it_cost() {
        let rekeyed = RekeyView {
            group: "x".parse().unwrap(),
            key: RekeyKey::Kek,
            messages: 2,
            octets: 900,
            keys: 12,
            active_at_us: Time::from_secs(1),
            now: GroupKeys::default(),
        };
        assert_eq!(
            text(&rekeyed),
            "replaced the KEK of x: 2 messages, 900 octets, 12 keys; senders change over at \
             1970-01-01T00:00:01.000000Z\n\nno KEK yet\nno data SAs yet"
        );
    }
}
