//! What a person reads when the host refuses a socket or a device.

use std::{
    error::Error,
    fmt, fs, io,
    net::{IpAddr, SocketAddr},
};

use nix::errno::Errno;

use crate::{Membership, raw::Protocol};

/// Where the kernel says which ports need a privilege; 1024 unless an administrator changed it.
const UNPRIVILEGED_PORT_START: &str = "/proc/sys/net/ipv4/ip_unprivileged_port_start";

/// The host refused a socket, a membership or a device.
///
/// Its text is one plain sentence that names what was refused, the privilege that is missing, and the option of
/// the command line that changes it:
///
/// ```
/// # use claviger_net::BindError;
/// # use std::{io, net::SocketAddr};
/// let address: SocketAddr = "0.0.0.0:848".parse().unwrap();
/// let error = BindError::udp(address, "--gdoi-port", io::ErrorKind::PermissionDenied.into());
/// assert!(error.is_privilege());
/// ```
#[derive(Debug)]
pub struct BindError {
    subject: Subject,
    option: &'static str,
    cause: io::Error,
}

/// What was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Subject {
    Device { name: Option<String> },
    Membership { membership: Membership, interface: String },
    Raw { protocol: Protocol, address: IpAddr },
    Udp { address: SocketAddr, unprivileged_from: u16 },
}

impl BindError {
    /// Says that a UDP socket could not be bound to `address`; `option` changes the port.
    pub fn udp(address: SocketAddr, option: &'static str, cause: io::Error) -> Self {
        let unprivileged_from = fs::read_to_string(UNPRIVILEGED_PORT_START)
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(1024);
        Self { subject: Subject::Udp { address, unprivileged_from }, option, cause }
    }

    /// Says that a raw socket could not be opened on `address`; `option` chooses another carriage.
    pub fn raw(protocol: Protocol, address: IpAddr, option: &'static str, cause: io::Error) -> Self {
        Self { subject: Subject::Raw { protocol, address }, option, cause }
    }

    /// Says that a group could not be joined; `option` chooses another interface.
    pub fn membership(
        membership: &Membership,
        interface: &str,
        option: &'static str,
        cause: io::Error,
    ) -> Self {
        let subject = Subject::Membership { membership: *membership, interface: interface.into() };
        Self { subject, option, cause }
    }

    /// Says that a TUN device could not be made; `option` chooses another data plane.
    pub fn tun(name: Option<&str>, option: &'static str, cause: io::Error) -> Self {
        Self { subject: Subject::Device { name: name.map(Into::into) }, option, cause }
    }

    /// Says why the host refused.
    pub fn kind(&self) -> io::ErrorKind {
        self.cause.kind()
    }

    /// Says whether a privilege is what is missing.
    pub fn is_privilege(&self) -> bool {
        self.kind() == io::ErrorKind::PermissionDenied
    }

    /// Says which option of the command line changes what was refused.
    pub fn option(&self) -> &'static str {
        self.option
    }

    /// The cause in words, without the number that `io::Error` appends.
    fn cause(&self) -> String {
        match (self.cause.kind(), self.cause.raw_os_error()) {
            (io::ErrorKind::PermissionDenied, _) => "permission denied".into(),
            (_, Some(code)) => Errno::from_raw(code).desc().to_lowercase(),
            (_, None) => self.cause.to_string(),
        }
    }
}

impl fmt::Display for BindError {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the system's kinds of error are the standard library's"
    )]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (cause, option) = (self.cause(), self.option);
        match &self.subject {
            Subject::Udp { address, unprivileged_from } => {
                write!(f, "cannot listen on UDP port {}", address.port())?;
                if !address.ip().is_unspecified() {
                    write!(f, " of {}", address.ip())?;
                }
                match self.kind() {
                    io::ErrorKind::AddrInUse => write!(f, ": another socket of this host holds it")?,
                    io::ErrorKind::AddrNotAvailable => write!(f, ": this host has no such address")?,
                    _ => write!(f, ": {cause}")?,
                }
                if self.is_privilege() && address.port() < *unprivileged_from {
                    write!(f, "; ports below {unprivileged_from} need root or CAP_NET_BIND_SERVICE")?;
                }
                write!(f, "; choose another with {option}")
            }
            Subject::Raw { protocol, address } => {
                write!(f, "cannot open a raw socket for IP protocol {} ({protocol})", protocol.number())?;
                if !address.is_unspecified() {
                    write!(f, " on {address}")?;
                }
                write!(f, ": {cause}")?;
                if self.is_privilege() {
                    write!(f, "; raw sockets need root or CAP_NET_RAW")?;
                }
                write!(f, "; the option that decides this is {option}")
            }
            Subject::Membership { membership, interface } => {
                write!(f, "cannot join group {} on interface {interface}", membership.group)?;
                if let Some(source) = membership.source {
                    write!(f, " for source {source}")?;
                }
                match self.cause.raw_os_error().map(Errno::from_raw) {
                    Some(Errno::ENOBUFS) => write!(
                        f,
                        ": one socket's limit of memberships is reached (sysctl net.ipv4.igmp_max_memberships \
                         and igmp_max_msf raise it)"
                    )?,
                    _ => write!(f, ": {cause}")?,
                }
                write!(f, "; choose another with {option}")
            }
            Subject::Device { name } => {
                match name {
                    Some(name) => write!(f, "cannot make the TUN device {name}: ")?,
                    None => write!(f, "cannot make a TUN device: ")?,
                }
                match self.kind() {
                    io::ErrorKind::NotFound => write!(f, "this host has no /dev/net/tun")?,
                    io::ErrorKind::ResourceBusy => write!(f, "another process holds it")?,
                    _ => write!(f, "{cause}")?,
                }
                if self.is_privilege() {
                    write!(
                        f,
                        "; TUN devices need root or CAP_NET_ADMIN, and read and write access to /dev/net/tun"
                    )?;
                }
                write!(f, "; the option that decides this is {option}")
            }
        }
    }
}

impl Error for BindError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(errno: Errno) -> io::Error {
        io::Error::from_raw_os_error(errno as i32)
    }

    fn udp(address: &str, errno: Errno) -> String {
        let error = BindError {
            subject: Subject::Udp { address: address.parse().unwrap(), unprivileged_from: 1024 },
            option: "--gdoi-port",
            cause: refused(errno),
        };
        error.to_string()
    }

    #[test]
    fn names_the_port_the_privilege_and_the_option() {
        assert_eq!(
            udp("0.0.0.0:848", Errno::EACCES),
            "cannot listen on UDP port 848: permission denied; ports below 1024 need root or \
             CAP_NET_BIND_SERVICE; choose another with --gdoi-port"
        );
    }

    #[test]
    fn does_not_blame_a_privilege_that_the_port_does_not_need() {
        assert_eq!(
            udp("[::]:4500", Errno::EACCES),
            "cannot listen on UDP port 4500: permission denied; choose another with --gdoi-port"
        );
    }

    #[test]
    fn says_who_holds_a_port_and_which_address_is_foreign() {
        assert_eq!(
            udp("127.0.0.1:848", Errno::EADDRINUSE),
            "cannot listen on UDP port 848 of 127.0.0.1: another socket of this host holds it; choose another with \
             --gdoi-port"
        );
        assert_eq!(
            udp("[2001:db8::1]:848", Errno::EADDRNOTAVAIL),
            "cannot listen on UDP port 848 of 2001:db8::1: this host has no such address; choose another with \
             --gdoi-port"
        );
    }

    #[test]
    fn names_the_protocol_of_a_raw_socket() {
        let address = "0.0.0.0".parse().unwrap();
        let error = BindError::raw(Protocol::Hip, address, "--raw", refused(Errno::EPERM));
        assert_eq!(
            error.to_string(),
            "cannot open a raw socket for IP protocol 139 (HIP): permission denied; raw sockets need root or \
             CAP_NET_RAW; the option that decides this is --raw"
        );
        assert!(error.is_privilege());
    }

    #[test]
    fn names_the_group_and_the_limit_of_memberships() {
        let membership = Membership {
            group: "232.1.1.1".parse().unwrap(),
            source: Some("10.0.0.1".parse().unwrap()),
            interface: 3,
        };
        let error = BindError::membership(&membership, "veth0", "--interface", refused(Errno::ENOBUFS));
        let text = error.to_string();
        assert!(
            text.starts_with("cannot join group 232.1.1.1 on interface veth0 for source 10.0.0.1: "),
            "{text}"
        );
        assert!(text.contains("igmp_max_memberships"), "{text}");
        assert!(text.ends_with("; choose another with --interface"), "{text}");
    }

    #[test]
    fn names_the_device_and_the_privilege() {
        let error = BindError::tun(Some("grp0"), "--plane", refused(Errno::EPERM));
        assert_eq!(
            error.to_string(),
            "cannot make the TUN device grp0: permission denied; TUN devices need root or CAP_NET_ADMIN, and read \
             and write access to /dev/net/tun; the option that decides this is --plane"
        );
    }
}
