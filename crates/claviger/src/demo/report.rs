//! What is printed.

use super::verdict::Verdict;
use crate::{exit::Outcome, output};

/// Prints the verdict, as one JSON object alone or for people.
pub(super) fn print(verdict: &Verdict, json: bool) -> Outcome {
    output::print(json, verdict, text)
}

fn text(verdict: &Verdict) -> String {
    let seconds = |value: f64| format!("{value:.2}");
    let maybe = |value: Option<f64>| value.map_or("-".to_owned(), seconds);
    let members = verdict.members.iter().map(|member| {
        [
            member.name.to_owned(),
            seconds(member.keyed_s),
            maybe(member.deaf_s),
            member.received_octets.to_string(),
            member.kernel_drops.to_string(),
            member.data_keys.to_string(),
            member.opens_datagrams.to_string(),
            maybe(member.opens_from_s),
            maybe(member.opens_until_s),
        ]
    });
    let header = [
        "member",
        "keyed s",
        "deaf s",
        "octets received",
        "drops",
        "TEKs",
        "opens datagrams",
        "from s",
        "until s",
    ];
    let members = output::table(header, members.collect(), "nobody");
    let rekeys = verdict.rekeys.iter().map(|rekey| {
        [
            seconds(rekey.at_s),
            rekey.kek_spi[..8].to_owned(),
            rekey.sequence.to_string(),
            rekey.octets.to_string(),
            rekey.copies.to_string(),
            rekey.lkh_keys.to_string(),
            if rekey.new_kek { "yes".to_owned() } else { "-".to_owned() },
            rekey.new_tek.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    });
    let header = ["at s", "under KEK", "number", "octets", "copies", "LKH keys", "new KEK", "new TEK"];
    let rekeys = output::table(header, rekeys.collect(), "none");
    let claims: Vec<String> = verdict
        .claims
        .iter()
        .map(|claim| {
            let mark = if claim.ok { "ok    " } else { "FAILED" };
            let detail = if claim.detail.is_empty() { String::new() } else { format!(" ({})", claim.detail) };
            format!("{mark} {}{detail}", claim.claim)
        })
        .collect();
    format!(
        "\nWho received what, and what their keys open of {} recorded datagrams (seconds since the first)\n{members}\n\n\
         Rekey messages, as recorded\n{rekeys}\n\n\
         The key server was away for {:.2} s.\n\n{}\n\n{}",
        verdict.datagrams_recorded,
        verdict.server_pause_s,
        claims.join("\n"),
        if verdict.ok() { "Every claim holds." } else { "Some claims do not hold." },
    )
}
