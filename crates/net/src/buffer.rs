//! How large receive buffers are.

/// How large a socket's receive buffer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Buffer {
    /// As large as the host permits, up to [`Buffer::LARGE`].
    #[default]
    Largest,
    /// So many octets, or fewer if the host does not permit as many.
    Octets(usize),
}

impl Buffer {
    /// What is asked for by [`Buffer::Largest`], in octets: an eighth of a second at 1 Gbit/s, which bridges a
    /// member's rekey and a busy host's scheduling.
    pub const LARGE: usize = 16 * 1024 * 1024;

    pub(crate) fn octets(self) -> usize {
        match self {
            Self::Largest => Self::LARGE,
            Self::Octets(octets) => octets,
        }
    }
}
