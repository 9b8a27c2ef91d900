//! Commands and sentences that both ends show to people.

use std::{borrow::Cow, net::IpAddr};

use claviger_group::{GroupId, MemberId, Role};
use claviger_identity::Hit;

use crate::name::Name;

/// Writes the command that lets a host in, to run on the key server.
///
/// ```
/// # use claviger_group::Role;
/// let host = "2001:22:1234::1".parse().unwrap();
/// let text = claviger_api::command::allow(&"#7".parse().unwrap(), &host, Role::Receiver);
/// assert_eq!(text, "claviger member allow --group '#7' 2001:22:1234::1");
/// ```
pub fn allow(group: &GroupId, host: &MemberId, role: Role) -> String {
    allow_any(group, &quoted(&host.to_string()), role)
}

/// Writes the command that lets a host in, with `HIT` in the place of its identity.
pub fn allow_somebody(group: &GroupId) -> String {
    allow_any(group, "HIT", Role::Receiver)
}

/// Writes the command by which a host joins; `server` is `HIT@ADDR[:PORT]`, `tun` the group's address where its members
/// need a TUN device.
pub fn join(server: &str, group: &GroupId, gdoi_port: Option<u16>, tun: Option<IpAddr>) -> String {
    let mut command = format!("claviger join --server {server} --group {}", quoted_name(group));
    if let Some(port) = gdoi_port {
        command.push_str(&format!(" --gdoi-port {port}"));
    }
    if let Some(address) = tun {
        command.push_str(&format!(" --tun grp0 --address {address}"));
    }
    command
}

/// Writes the command by which a host stops guarding a group's address.
pub fn release(group: &GroupId) -> String {
    format!("claviger release --group {}", quoted_name(group))
}

/// Writes what a refused member tells its user: who it is, and what to run on the key server.
pub fn refused(group: &GroupId, hit: &Hit, role: Role) -> String {
    format!(
        "refused: this host's HIT is {hit}; on the key server run: {}",
        allow(group, &MemberId::Hit(*hit), role)
    )
}

/// Writes `text` so that a shell reads it as one word.
pub fn quoted(text: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._/:@%+=,-".contains(c);
    if !text.is_empty() && !text.starts_with('-') && text.chars().all(plain) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("'{}'", text.replace('\'', r"'\''")))
}

fn quoted_name(group: &GroupId) -> String {
    quoted(&group.to_string()).into_owned()
}

fn allow_any(group: &GroupId, host: &str, role: Role) -> String {
    let command = format!("claviger member allow --group {} {host}", quoted_name(group));
    match role {
        Role::Receiver => command,
        Role::Sender | Role::Both => format!("{command} --role {}", role.name()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_to_join_has_what_the_group_needs() {
        let group = "my radio".parse().unwrap();
        assert_eq!(
            join("HIT@192.0.2.1", &group, None, None),
            "claviger join --server HIT@192.0.2.1 --group 'my radio'"
        );
        assert_eq!(
            join("HIT@192.0.2.1", &group, Some(1848), Some("239.192.7.7".parse().unwrap())),
            "claviger join --server HIT@192.0.2.1 --group 'my radio' --gdoi-port 1848 --tun grp0 --address 239.192.7.7"
        );
        assert_eq!(release(&group), "claviger release --group 'my radio'");
    }

    #[test]
    fn a_refused_member_learns_its_hit_and_the_command() {
        let hit = "2001:22:1234::1".parse().unwrap();
        let group = "market".parse().unwrap();
        assert_eq!(
            refused(&group, &hit, Role::Receiver),
            "refused: this host's HIT is 2001:22:1234::1; on the key server run: \
             claviger member allow --group market 2001:22:1234::1"
        );
        assert!(refused(&group, &hit, Role::Both).ends_with("2001:22:1234::1 --role both"));
    }

    #[test]
    fn a_host_whose_name_a_shell_would_touch_is_quoted() {
        let host = "user:it's$@host.example".parse().unwrap();
        assert_eq!(
            allow(&"market".parse().unwrap(), &host, Role::Receiver),
            r"claviger member allow --group market 'user:it'\''s$@host.example'"
        );
    }

    #[test]
    fn names_that_a_shell_would_touch_are_quoted() {
        for (name, word) in
            [("market", "market"), ("#7", "'#7'"), ("it's", r"'it'\''s'"), ("a b", "'a b'"), ("-x", "'-x'")]
        {
            assert_eq!(quoted(name), word);
        }
        let command = join("2001:22::1@192.0.2.1", &"#7".parse().unwrap(), Some(1848), None);
        assert_eq!(command, "claviger join --server 2001:22::1@192.0.2.1 --group '#7' --gdoi-port 1848");
    }
}
