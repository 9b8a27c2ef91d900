//! Keeping packets for a group's address from leaving the host in the clear.
//!
//! A guard is two things in the kernel, and so it stands whatever becomes of the process that made it:
//!
//! * a route that says the address is unreachable. A TUN device's route is preferred to it, and when that goes with its
//!   device, programs are told that there is no way.
//! * a chain of rules in nf_tables, in the table `inet claviger`, for programs that name an interface and for whatever
//!   else passes the route by. It drops every packet that this host sends to the address, unless the packet is ESP, goes
//!   into a TUN device of ours ([`crate::TunDevice`]), comes from one of our UDP sockets ([`crate::UdpSocket`]), or is
//!   the kernel's own word about groups (IGMP, MLD).
//!
//! Each holder of a guard has a chain of its own, so one may go while another guards the same address.

use std::{error::Error, fmt, io, net::IpAddr};

use crate::{
    netlink::{
        changes::Changes,
        route,
        tables::{self, Base, Chain, Comparison, Expression, Meta, StandingChain},
    },
    own::{DEVICE_GROUP, SOCKET_PRIORITY},
};

/// The IP protocols that the kernel itself speaks to a group's address: IGMP (RFC 3376) and ICMPv6 (RFC 4443).
const IGMP: u8 = 2;
const ICMPV6: u8 = 58;
/// The types of ICMPv6 that go to a group's address: Multicast Listener Query and Report (RFC 2710 section 3).
const MLD_QUERY: u8 = 130;
const MLD_REPORT: u8 = 131;

/// A guard of a group's address, which may stand or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    address: IpAddr,
    chain: Chain,
}

/// What there is of a guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// The unreachable route.
    pub route: bool,
    /// The rules, whole.
    pub rules: bool,
    /// How many packets the rules have dropped since they were made.
    pub dropped: u64,
}

impl Standing {
    /// Says whether nothing is missing.
    pub fn is_whole(&self) -> bool {
        self.route && self.rules
    }
}

/// A guard that was found in the kernel, whoever made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The name of its holder's chain.
    pub name: String,
    /// What the holder says of itself.
    pub comment: String,
    /// The address, if the rules are there that say it.
    pub address: Option<IpAddr>,
    /// What there is of it.
    pub standing: Standing,
}

/// Tells when packet filters of this host have changed, by whomever: a guard may be gone then.
#[derive(Debug)]
pub struct Watch(Changes);

impl Watch {
    /// Begins to watch. It needs a tokio runtime with I/O.
    ///
    /// # Errors
    /// [`GuardError`] if the kernel does not tell.
    pub fn begin() -> Result<Self, GuardError> {
        let refused = |cause| GuardError { part: Part::Rules, address: None, cause };
        Changes::listen().map(Self).map_err(refused)
    }

    /// Waits until something has changed.
    ///
    /// # Errors
    /// Only what concerns the socket itself.
    pub async fn changed(&self) -> io::Result<()> {
        self.0.next().await
    }
}

/// The kernel refuses a guard, or a part of it.
#[derive(Debug)]
pub struct GuardError {
    part: Part,
    address: Option<IpAddr>,
    cause: io::Error,
}

/// The parts of a guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Route,
    Rules,
}

impl Guard {
    /// Describes a guard. Each holder has a name of its own, of letters, digits, `.`, `-` and `_` behind a letter; what
    /// it says of itself is shown to administrators.
    pub fn new(address: IpAddr, name: String, comment: String) -> Self {
        let rules = rules(address);
        Self { address, chain: Chain { name, comment, rules } }
    }

    /// Says which address it guards.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Makes what is missing of it. Says what was there before.
    ///
    /// # Errors
    /// [`GuardError`] names what is missing still; what could be made stands.
    pub fn raise(&self) -> Result<Standing, GuardError> {
        let rules = self.raise_rules();
        // One part is better than none.
        let is_new = route::add_unreachable(self.address).map_err(|cause| self.refused(Part::Route, cause));
        let before = rules?;
        Ok(Standing { route: !is_new?, ..before })
    }

    /// Makes the rules unless they are there; says what was.
    fn raise_rules(&self) -> Result<Standing, GuardError> {
        let before = self.standing_rules()?;
        if !before.rules {
            tables::put(&self.chain).map_err(|cause| self.refused(Part::Rules, cause))?;
        }
        Ok(before)
    }

    /// Looks what there is of it.
    ///
    /// # Errors
    /// [`GuardError`] if the kernel cannot be asked.
    pub fn standing(&self) -> Result<Standing, GuardError> {
        let route = route::has_unreachable(self.address).map_err(|cause| self.refused(Part::Route, cause))?;
        Ok(Standing { route, ..self.standing_rules()? })
    }

    fn standing_rules(&self) -> Result<Standing, GuardError> {
        let found = tables::chain(&self.chain.name).map_err(|cause| self.refused(Part::Rules, cause))?;
        let standing = found.filter(|found| found.is(&self.chain));
        let dropped = standing.as_ref().map_or(0, StandingChain::counted);
        Ok(Standing { route: false, rules: standing.is_some(), dropped })
    }

    /// Takes it down; the route stays as long as others guard the same address. Says whether anything of it was there.
    ///
    /// # Errors
    /// [`GuardError`] names what could not be removed.
    pub fn release(&self) -> Result<bool, GuardError> {
        let had_rules = tables::remove(&self.chain.name).map_err(|cause| self.refused(Part::Rules, cause))?;
        let mut had_route = false;
        // Who makes a guard makes its rules first, who releases one removes them first: whatever others do meanwhile is
        // seen by the second look, or they act after it.
        loop {
            let is_guarded = self.is_guarded_by_others()?;
            if is_guarded {
                route::add_unreachable(self.address).map_err(|cause| self.refused(Part::Route, cause))?;
            } else {
                had_route |= route::remove_unreachable(self.address)
                    .map_err(|cause| self.refused(Part::Route, cause))?;
            }
            if self.is_guarded_by_others()? == is_guarded {
                return Ok(had_rules || had_route);
            }
        }
    }

    fn is_guarded_by_others(&self) -> Result<bool, GuardError> {
        let mut others = guards()?.into_iter().filter(|found| found.name != self.chain.name);
        Ok(others.any(|found| found.address == Some(self.address)))
    }

    fn refused(&self, part: Part, cause: io::Error) -> GuardError {
        GuardError { part, address: Some(self.address), cause }
    }
}

/// Asks whether guards can be made here at all.
///
/// # Errors
/// [`GuardError`] if this kernel has no nf_tables, or this process may not use it.
pub fn available() -> Result<(), GuardError> {
    tables::available().map_err(|cause| GuardError { part: Part::Rules, address: None, cause })
}

/// Lists the guards whose rules stand, whoever made them.
///
/// # Errors
/// [`GuardError`] if the kernel cannot be asked.
pub fn guards() -> Result<Vec<Found>, GuardError> {
    let refused = |part| move |cause| GuardError { part, address: None, cause };
    let chains = tables::chains().map_err(refused(Part::Rules))?;
    let found = |chain: StandingChain| {
        let address = guarded_address(&chain);
        let is_whole = |address| chain.is(&Guard::new(address, chain.name.clone(), String::new()).chain);
        let standing = Standing {
            route: address.map_or(Ok(false), route::has_unreachable).map_err(refused(Part::Route))?,
            rules: address.is_some_and(is_whole),
            dropped: chain.counted(),
        };
        Ok(Found { name: chain.name, comment: chain.comment, address, standing })
    };
    chains.into_iter().map(found).collect()
}

fn guarded_address(chain: &StandingChain) -> Option<IpAddr> {
    let octets = |length| chain.compared_for_difference(length);
    let v4 = || octets(4)?.first_chunk::<4>().map(|octets| IpAddr::from(*octets));
    let v6 = || octets(16)?.first_chunk::<16>().map(|octets| IpAddr::from(*octets));
    v4().or_else(v6)
}

/// The rules. They drop what they do not know: what an exception cannot be read from meets the last of them.
fn rules(address: IpAddr) -> Vec<Vec<Expression>> {
    use Comparison::{AtLeast, AtMost, Equal, NotEqual};
    let compare = Expression::compare;
    let accept = Expression::accept;
    let (version, destination, octets) = match address {
        IpAddr::V4(address) => (libc::NFPROTO_IPV4, 16, address.octets().to_vec()),
        IpAddr::V6(address) => (libc::NFPROTO_IPV6, 24, address.octets().to_vec()),
    };
    let version = [u8::try_from(version).expect("a small number")];
    let length = u32::try_from(octets.len()).expect("a small number");
    let signalling = match address {
        IpAddr::V4(_) => {
            vec![Expression::meta(Meta::L4Protocol), compare(Equal, &[IGMP]), accept()]
        }
        IpAddr::V6(_) => vec![
            Expression::meta(Meta::L4Protocol),
            compare(Equal, &[ICMPV6]),
            Expression::payload(Base::Transport, 0, 1),
            compare(AtLeast, &[MLD_QUERY]),
            compare(AtMost, &[MLD_REPORT]),
            accept(),
        ],
    };
    let esp = [crate::Protocol::Esp.number()];
    vec![
        vec![Expression::meta(Meta::NetworkProtocol), compare(NotEqual, &version), accept()],
        vec![
            Expression::meta(Meta::NetworkProtocol),
            compare(Equal, &version),
            Expression::payload(Base::Network, destination, length),
            compare(NotEqual, &octets),
            accept(),
        ],
        vec![Expression::meta(Meta::OutputGroup), compare(Equal, &DEVICE_GROUP.to_ne_bytes()), accept()],
        vec![Expression::meta(Meta::L4Protocol), compare(Equal, &esp), accept()],
        vec![Expression::meta(Meta::Priority), compare(Equal, &SOCKET_PRIORITY.to_ne_bytes()), accept()],
        signalling,
        vec![Expression::count(), Expression::drop()],
    ]
}

impl GuardError {
    /// Says whether a privilege is what is missing.
    pub fn is_privilege(&self) -> bool {
        self.cause.kind() == io::ErrorKind::PermissionDenied
    }
}

impl fmt::Display for GuardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.part, self.address) {
            (Part::Route, Some(address)) => write!(f, "the unreachable route that guards {address}")?,
            (Part::Route, None) => write!(f, "an unreachable route")?,
            (Part::Rules, Some(address)) => write!(f, "the nftables rules that guard {address}")?,
            (Part::Rules, None) => write!(f, "nftables rules")?,
        }
        write!(f, " cannot be made or read: {}", self.cause)?;
        if self.is_privilege() {
            write!(f, "; guards need root or CAP_NET_ADMIN")?;
        }
        Ok(())
    }
}

impl Error for GuardError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_is_missing_and_the_privilege() {
        let cause = || io::Error::from_raw_os_error(libc::EPERM);
        let guard = Guard::new("239.192.7.7".parse().unwrap(), "x".into(), String::new());
        let error = guard.refused(Part::Route, cause());
        assert!(error.is_privilege());
        let text = error.to_string();
        assert!(text.starts_with("the unreachable route that guards 239.192.7.7 "), "{text}");
        assert!(text.ends_with("; guards need root or CAP_NET_ADMIN"), "{text}");
        let error = GuardError { part: Part::Rules, address: None, cause: io::ErrorKind::Unsupported.into() };
        assert!(!error.is_privilege());
        assert!(error.to_string().starts_with("nftables rules cannot be made or read: "), "{error}");
    }
}
