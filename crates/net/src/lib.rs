//! Carries datagrams: UDP and raw sockets, multicast membership, TUN devices.
