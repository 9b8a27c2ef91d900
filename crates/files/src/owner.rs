//! Whose files can be trusted.

use std::{fs, sync::LazyLock};

use nix::unistd::geteuid;

/// The user that this process acts as.
pub(crate) fn us() -> u32 {
    geteuid().as_raw()
}

/// Says whether what a user owns, above our own directories or for us to go by, is as good as our own: the administrator
/// could do anything with it in any case.
pub(crate) fn is_trusted(owner: u32) -> bool {
    owner == us() || owner == ROOT || *OUTSIDERS == Some(owner)
}

const ROOT: u32 = 0;

/// As whom a user namespace shows all users that are outside of it. What stands above its own directories is mostly
/// theirs, the machine's root among them, and cannot be told apart.
static OUTSIDERS: LazyLock<Option<u32>> = LazyLock::new(|| {
    let overflow = fs::read_to_string("/proc/sys/kernel/overflowuid").ok()?.trim().parse().ok()?;
    let map = fs::read_to_string("/proc/self/uid_map").ok()?;
    (!is_mapped(&map, overflow)).then_some(overflow)
});

/// Says whether a user is one of a namespace whose map has lines of: first user inside, first outside, how many.
fn is_mapped(map: &str, user: u32) -> bool {
    map.lines().any(|line| {
        let mut numbers = line.split_whitespace().map(str::parse::<u32>);
        match (numbers.next(), numbers.nth(1)) {
            (Some(Ok(first)), Some(Ok(count))) => user.checked_sub(first).is_some_and(|above| above < count),
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_of_nobody_is_an_outsider_only_where_the_namespace_does_not_have_it() {
        assert!(is_mapped("         0          0 4294967295\n", 65_534));
        assert!(!is_mapped("         0       1000          1\n", 65_534));
        assert!(is_mapped("0 1000 1\n65534 100000 1\n", 65_534));
    }
}
