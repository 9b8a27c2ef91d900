//! What `claviger member evict` says of a host that was put out.

use claviger_api::{EvictedView, LaggardView};
use claviger_group::{GroupId, MemberId};

use crate::output::{instant, instant_seen_from};

/// Says from when on the host reads nothing, and whom that depends on.
pub(super) fn text(group: &GroupId, evicted: &EvictedView) -> String {
    let EvictedView { host, was_member, deaf_at_us, silent_from_us, unheard_from_us, now_us, .. } = evicted;
    let at = |time| instant_seen_from(*now_us, time);
    if let MemberId::Subject(_) = host {
        return subject_text(group, evicted);
    }
    if !was_member {
        let since = deaf_at_us.map_or_else(|| "now".to_owned(), instant);
        return format!("{host} may join {group} no more; it held no keys at {since}");
    }
    let silent =
        || silent_from_us.map(|from| format!("it reads nothing at all that is sent after {}", at(from)));
    let mut lines = vec![format!("evicted {host} from {group}")];
    match (evicted.stated, evicted.counted) {
        (Some(stated), Some(counted)) if stated == counted => {
            // Where nobody sends, the rekey itself was the end.
            let from = evicted.stated_at_us.max(*deaf_at_us);
            let by = match counted {
                0 => "no sender is left".to_owned(),
                1 => "the one sender has stated it".to_owned(),
                _ => format!("all {counted} senders have stated it"),
            };
            lines.extend(from.map(|from| format!("it reads nothing that is sent after {}: {by}", at(from))));
        }
        (Some(stated), Some(counted)) => {
            if let Some(from) = evicted.stated_at_us.max(*deaf_at_us).filter(|_| stated > 0) {
                lines.push(format!(
                    "it reads nothing that {stated} of {counted} senders send after {}",
                    at(from)
                ));
            }
            lines.extend(silent());
        }
        (None, _) | (_, None) => {
            let heard = "it reads nothing that senders send, who heard the rekey, after";
            lines.extend(deaf_at_us.map(|from| format!("{heard} {}", at(from))));
            lines.extend(silent());
        }
    }
    match unheard_from_us {
        Some(from) if unheard_from_us == silent_from_us => {
            lines.push(format!("nothing that it sends is accepted after {}", at(*from)));
        }
        Some(from) => lines.push(format!(
            "what it sends is accepted by receivers that missed the rekey, until {} at the latest",
            at(*from)
        )),
        None => {}
    }
    if !evicted.laggards.is_empty() {
        lines.push(missing(evicted));
    }
    lines.join("\n")
}

/// Says of a subject that no certificate about it lets a host in any more, and of each host that was in what became of it.
fn subject_text(group: &GroupId, evicted: &EvictedView) -> String {
    let mut parts = vec![format!("{} lets nobody into {group} any more", evicted.host)];
    parts.extend(evicted.hosts.iter().map(|host| text(group, host)));
    if evicted.hosts.is_empty() {
        parts.push("nobody was in by a certificate about it".to_owned());
    }
    parts.join("\n")
}

/// Names those who have not said that they use no older keys any more.
pub(super) fn missing(evicted: &EvictedView) -> String {
    let named = |laggard: &LaggardView| {
        let why = if laggard.without_lease { "has no lease; its keys end" } else { "its lease ends" };
        format!("{} ({why} at {})", laggard.host, instant(laggard.until_us))
    };
    let named: Vec<String> = evicted.laggards.iter().take(NAMED_MAX).map(named).collect();
    let more = match evicted.laggards.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    let stated = match (evicted.stated, evicted.counted) {
        (Some(stated), Some(counted)) => format!("{stated} of {counted} have stated it; "),
        (None, _) | (_, None) => String::new(),
    };
    format!("{stated}not yet: {}{more}", named.join(", "))
}

/// How many are named.
const NAMED_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use claviger_sansio::Time;

    use super::*;

    fn host(number: u16) -> MemberId {
        format!("2001:22:1234::{number:x}").parse().unwrap()
    }

    fn evicted() -> EvictedView {
        EvictedView {
            host: host(1),
            was_member: true,
            deaf_at_us: Some(Time::from_secs(10)),
            epoch: None,
            silent_from_us: Some(Time::from_secs(610)),
            unheard_from_us: Some(Time::from_secs(3610)),
            counted: Some(12),
            stated: Some(12),
            laggards: Vec::new(),
            stated_at_us: Some(Time::from_secs(11)),
            now_us: Time::from_secs(12),
            hosts: Vec::new(),
        }
    }

    fn said(evicted: &EvictedView) -> String {
        text(&"x".parse().unwrap(), evicted)
    }

    #[test]
    fn an_eviction_that_everybody_has_heard_of_is_over() {
        assert_eq!(
            said(&evicted()),
            "evicted 2001:22:1234::1 from x\n\
             it reads nothing that is sent after 1970-01-01T00:00:11.000000Z (1 s ago): all 12 senders have stated it\n\
             what it sends is accepted by receivers that missed the rekey, until 1970-01-01T01:00:10.000000Z (in 59 min 58 s) at the latest"
        );
    }

    #[test]
    fn a_sender_that_has_not_heard_of_it_is_named_with_the_end_of_its_lease() {
        let laggard = LaggardView { host: host(2), until_us: Time::from_secs(610), without_lease: false };
        let evicted = EvictedView { stated: Some(11), laggards: vec![laggard], ..evicted() };
        assert!(!evicted.is_over());
        let said = said(&evicted);
        for sentence in [
            "it reads nothing that 11 of 12 senders send after 1970-01-01T00:00:11.000000Z (1 s ago)\n",
            "it reads nothing at all that is sent after 1970-01-01T00:10:10.000000Z (in 9 min 58 s)\n",
            "11 of 12 have stated it; not yet: 2001:22:1234::2 (its lease ends at 1970-01-01T00:10:10.000000Z)",
        ] {
            assert!(said.contains(sentence), "{said}");
        }
    }

    #[test]
    fn nobody_waits_for_a_sender_without_lease_and_it_is_named() {
        let laggard = LaggardView { host: host(2), until_us: Time::from_secs(3610), without_lease: true };
        let evicted = EvictedView { stated: Some(11), laggards: vec![laggard], ..evicted() };
        assert!(evicted.is_over());
        assert!(
            said(&evicted).contains("2001:22:1234::2 (has no lease; its keys end at 1970-01-01T01:00:10")
        );
    }

    #[test]
    fn without_leases_it_is_said_how_long_a_sender_may_go_on_that_missed_the_rekey() {
        let silent_from_us = Some(Time::from_secs(3610));
        let evicted =
            EvictedView { counted: None, stated: None, stated_at_us: None, silent_from_us, ..evicted() };
        let said = said(&evicted);
        assert!(
            said.contains("nothing that senders send, who heard the rekey, after 1970-01-01T00:00:10"),
            "{said}"
        );
        assert!(said.contains("nothing at all that is sent after 1970-01-01T01:00:10"), "{said}");
    }

    #[test]
    fn where_receivers_need_leases_nothing_of_the_host_is_accepted_either() {
        let evicted = EvictedView { unheard_from_us: Some(Time::from_secs(610)), ..evicted() };
        assert!(said(&evicted).contains("nothing that it sends is accepted after 1970-01-01T00:10:10"));
    }

    #[test]
    fn of_a_subject_it_is_said_what_became_of_each_host() {
        let host: MemberId = "dn:CN=studio".parse().unwrap();
        let nobody = EvictedView { host, was_member: false, ..evicted() };
        let head = "dn:CN=studio lets nobody into x any more\n";
        assert_eq!(said(&nobody), format!("{head}nobody was in by a certificate about it"));
        let subject = EvictedView { hosts: vec![evicted()], ..nobody };
        assert_eq!(said(&subject), format!("{head}{}", said(&evicted())));
    }

    #[test]
    fn a_host_without_keys_had_nothing_to_lose() {
        let evicted = EvictedView { was_member: false, ..evicted() };
        assert!(said(&evicted).contains("it held no keys at 1970-01-01T00:00:10"));
    }
}
