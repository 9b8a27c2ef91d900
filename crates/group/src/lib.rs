//! Describes a multicast group: its identifier, policy, security associations and epochs.
