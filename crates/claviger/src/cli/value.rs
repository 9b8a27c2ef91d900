//! Values of options: durations, quantities, names, roles, networks and places.

use std::{fmt, net::IpAddr, time::Duration};

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use claviger_api::{PlaceOptions, name::Name};
use claviger_group::place::PrefixError;
use claviger_pki::{Name as DistinguishedName, Roles};

use crate::settings::association_rekey::AssociationRekey;

/// Reads a duration: a number and `ms`, `s`, `min`, `h` or `d`; seconds if there is no unit.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, u64); 6] =
        [("", 1000), ("ms", 1), ("s", 1000), ("min", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
    let wrong = || format!("`{text}` is no duration such as 90, 500ms, 30s, 15min, 2h or 1d");
    let (digits, unit) = split_unit(text);
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let (_, millis) = UNITS.into_iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    number.checked_mul(millis).map(Duration::from_millis).ok_or_else(|| format!("`{text}` is too long"))
}

/// Reads a duration of whole seconds that fits 32 bits, or as many as `T` has.
pub(crate) fn seconds<T: TryFrom<u64>>(text: &str) -> Result<T, String> {
    let duration = duration(text)?;
    if duration.subsec_nanos() != 0 {
        return Err(format!("`{text}` is not a whole number of seconds"));
    }
    T::try_from(duration.as_secs()).map_err(|_| format!("`{text}` is too long"))
}

/// Reads how long a lease lasts, in seconds; `off` is zero.
pub(crate) fn lease(text: &str) -> Result<u32, String> {
    if text == "off" { Ok(0) } else { seconds(text) }
}

/// Reads after how long the keys of associations are renewed; `off` is never.
pub(crate) fn association_rekey(text: &str) -> Result<AssociationRekey, String> {
    let after: u32 = if text == "off" { 0 } else { seconds(text)? };
    after.try_into()
}

/// Reads how long a certificate or a list holds: a duration, or a number of years of 365 days and `y`.
pub(crate) fn lifetime(text: &str) -> Result<Duration, String> {
    const YEAR: u64 = 365 * 86_400;
    let years = text.strip_suffix('y').and_then(|years| years.parse::<u64>().ok());
    let lifetime = match years {
        Some(years) => Duration::from_secs(years.saturating_mul(YEAR)),
        None => duration(text)?,
    };
    if lifetime < Duration::from_secs(1) {
        return Err(format!("`{text}` holds for nobody: it must be longer than that"));
    }
    let years_max = Duration::from_secs(LIFETIME_YEARS_MAX * YEAR);
    if lifetime > years_max {
        return Err(format!("`{text}` is too long: more than {LIFETIME_YEARS_MAX} years"));
    }
    Ok(lifetime)
}

/// The most years that a certificate holds.
const LIFETIME_YEARS_MAX: u64 = 100;

/// Reads a distinguished name, as RFC 4514 writes names.
pub(crate) fn subject(text: &str) -> Result<String, String> {
    let read = DistinguishedName::from_rfc4514(text);
    read.map(|_| text.to_owned()).map_err(|error| error.to_string())
}

/// Reads what a host may be: one role, or several with commas between them.
pub(crate) fn roles(text: &str) -> Result<Roles, String> {
    let receiver = Roles { receiver: true, ..Roles::NONE };
    let sender = Roles { sender: true, ..Roles::NONE };
    text.split(',').try_fold(Roles::NONE, |roles, name| match name {
        "receiver" => Ok(roles.union(receiver)),
        "sender" => Ok(roles.union(sender)),
        "both" => Ok(roles.union(receiver).union(sender)),
        "key-server" => Ok(Roles { key_server: true, ..roles }),
        _ => Err(format!("a role is receiver, sender, both or key-server, not {name}")),
    })
}

/// Reads a duration of milliseconds that fits 32 bits.
pub(crate) fn milliseconds(text: &str) -> Result<u32, String> {
    u32::try_from(duration(text)?.as_millis()).map_err(|_| format!("`{text}` is too long"))
}

/// Reads a positive quantity with `k`, `M` or `G` for thousands, millions and milliards.
pub(crate) fn quantity(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 4] = [("", 1), ("k", 1000), ("M", 1_000_000), ("G", 1_000_000_000)];
    let wrong = || format!("`{text}` is no positive quantity such as 1400, 64k, 10M or 1G");
    let (digits, unit) = split_unit(text);
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let (_, factor) = UNITS.into_iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    number.checked_mul(factor).filter(|quantity| *quantity > 0).ok_or_else(wrong)
}

fn split_unit(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// Reads one of the names of a choice, and lists them in the help.
pub(crate) fn name<T: Name + Send + Sync>() -> impl TypedValueParser<Value = T> {
    let values = T::NAMES.iter().filter(|(name, value)| value.name() == *name).map(|(name, value)| {
        let aliases = T::NAMES.iter().filter(move |(alias, other)| other == value && alias != name);
        PossibleValue::new(*name).aliases(aliases.map(|(alias, _)| *alias))
    });
    PossibleValuesParser::new(values.collect::<Vec<_>>()).try_map(|name| T::from_name(&name))
}

/// Reads a multicast address.
pub(crate) fn multicast_address(text: &str) -> Result<IpAddr, String> {
    let address: IpAddr = text.parse().map_err(|_| format!("{text} is no IP address"))?;
    if address.is_multicast() { Ok(address) } else { Err(format!("{text} is no multicast address")) }
}

/// Reads an address with the length of its prefix in bits: `10.9.0.1/24`.
pub(crate) fn network(text: &str) -> Result<(IpAddr, u8), String> {
    let form = || format!("{text} is no address with a prefix, such as 10.9.0.1/24");
    let (address, prefix) = text.split_once('/').ok_or_else(form)?;
    let address: IpAddr = address.parse().map_err(|_| form())?;
    let prefix: u8 = prefix.parse().map_err(|_| form())?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    if prefix > longest { Err(form()) } else { Ok((address, prefix)) }
}

/// Reads a place: `PREFIX[=ADDR][,MEMBERS]`.
pub(crate) fn place(text: &str) -> Result<PlaceOptions, String> {
    let form = |why: &dyn fmt::Display| {
        format!("`{text}` is no place such as 10.9.0.0/16, 10.9.0.0/16=239.192.1.9 or 10.9.0.0/16,500: {why}")
    };
    let (rest, members) = match text.split_once(',') {
        Some((rest, members)) => {
            let wrong = |_| form(&format_args!("`{members}` is no number of members"));
            let members: u32 = members.parse().map_err(wrong)?;
            (rest, Some(members))
        }
        None => (text, None),
    };
    let (prefix, push_address) = match rest.split_once('=') {
        Some((prefix, address)) => {
            let wrong = |_| form(&format_args!("`{address}` is no IP address"));
            (prefix, Some(address.parse().map_err(wrong)?))
        }
        None => (rest, None),
    };
    let prefix = prefix.parse().map_err(|error: PrefixError| form(&error))?;
    Ok(PlaceOptions { prefix, push_address, members })
}

#[cfg(test)]
mod tests {
    use claviger_crypto::sign::KeyAlgorithm;

    use super::*;

    #[test]
    fn durations_have_units() {
        for (text, millis) in
            [("90", 90_000), ("500ms", 500), ("30s", 30_000), ("15min", 900_000), ("2h", 7_200_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(seconds::<u32>("1d"), Ok(86_400));
        assert_eq!(milliseconds("2s"), Ok(2000));
        assert_eq!((lease("10min"), lease("off"), lease("0")), (Ok(600), Ok(0), Ok(0)));
    }

    #[test]
    fn refuses_what_is_no_duration_or_does_not_fit() {
        for text in ["", "s", "-1", "1.5s", "1m", "1 s", "1H", "99999999999999999999"] {
            let sentence = format!("`{text}` is no duration such as 90, 500ms, 30s, 15min, 2h or 1d");
            assert_eq!(duration(text), Err(sentence));
        }
        assert_eq!(seconds::<u32>("1500ms"), Err("`1500ms` is not a whole number of seconds".into()));
        assert_eq!(seconds::<u16>("1d"), Err("`1d` is too long".into()));
        assert_eq!(duration("18446744073709551615d"), Err("`18446744073709551615d` is too long".into()));
    }

    #[test]
    fn lifetimes_may_be_years() {
        assert_eq!(lifetime("10y"), Ok(Duration::from_secs(10 * 365 * 86_400)));
        assert_eq!(lifetime("90d"), Ok(Duration::from_secs(90 * 86_400)));
        for (text, sentence) in [
            ("0", "`0` holds for nobody"),
            ("500ms", "`500ms` holds for nobody"),
            ("101y", "`101y` is too long: more than 100 years"),
            ("99999999999999999999y", "`99999999999999999999y` is no duration"),
        ] {
            assert!(lifetime(text).unwrap_err().starts_with(sentence), "{text}");
        }
    }

    #[test]
    fn quantities_have_units_and_are_positive() {
        for (text, number) in [("1400", 1400), ("64k", 64_000), ("10M", 10_000_000), ("1G", 1_000_000_000)] {
            assert_eq!(quantity(text), Ok(number));
        }
        for text in ["", "0", "0k", "-1", "1K", "1.5M", "99999999999999999G"] {
            let sentence = format!("`{text}` is no positive quantity such as 1400, 64k, 10M or 1G");
            assert_eq!(quantity(text), Err(sentence));
        }
    }

    #[test]
    fn places_are_read() {
        for (text, push_address, members) in [
            ("10.9.0.0/16", None, None),
            ("10.9.0.0/16=239.192.1.9", Some("239.192.1.9"), None),
            ("10.9.0.0/16,500", None, Some(500)),
            ("10.9.0.0/16=239.192.1.9,500", Some("239.192.1.9"), Some(500)),
        ] {
            let push_address = push_address.map(|address| address.parse().unwrap());
            let prefix = "10.9.0.0/16".parse().unwrap();
            assert_eq!(place(text), Ok(PlaceOptions { prefix, push_address, members }), "{text}");
        }
        let six = place("2001:db8:9::/48=ff18::9,7").unwrap();
        assert_eq!((six.prefix.to_string().as_str(), six.members), ("2001:db8:9::/48", Some(7)));
    }

    #[test]
    fn says_what_is_wrong_with_a_place() {
        for (text, why) in [
            ("10.9.0.0", "a prefix is written ADDR/LENGTH, such as 10.9.0.0/16"),
            ("10.9.0.1/16", "bits are set behind the prefix"),
            ("10.9.0.0/33", "the length of a prefix is 0 to 32 for IPv4 and 0 to 128 for IPv6"),
            ("site/16", "what stands before the slash is no IP address"),
            ("10.9.0.0/16=here", "`here` is no IP address"),
            ("10.9.0.0/16=", "`` is no IP address"),
            ("10.9.0.0/16,some", "`some` is no number of members"),
            ("10.9.0.0/16,5,6", "`5,6` is no number of members"),
            ("", "a prefix is written ADDR/LENGTH, such as 10.9.0.0/16"),
        ] {
            let error = place(text).unwrap_err();
            assert!(error.starts_with(&format!("`{text}` is no place such as")), "{error}");
            assert!(error.ends_with(why), "{error}");
        }
    }

    #[test]
    fn names_and_their_aliases_are_read() {
        let parse = |text: &str| {
            let argument = clap::Arg::new("x").value_parser(name::<KeyAlgorithm>());
            let matches = clap::Command::new("t").arg(argument).try_get_matches_from(["t", text]);
            matches.map(|matches| *matches.get_one::<KeyAlgorithm>("x").unwrap())
        };
        assert_eq!(parse("ecdsa-p384").unwrap(), KeyAlgorithm::EcdsaP384);
        assert_eq!(parse("ecdsa").unwrap(), KeyAlgorithm::EcdsaP256);
        let error = parse("dsa").unwrap_err().to_string();
        assert!(error.contains("[possible values: ecdsa-p256, ecdsa-p384, eddsa, rsa]"), "{error}");
    }
}
