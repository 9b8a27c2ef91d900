//! What tells our devices and sockets from those of other programs, so that guards let their packets through.
//!
//! A device is known by its group of interfaces, not by its name, which another device may have later; a socket by its
//! priority (`SO_PRIORITY`), which only the privileged may set and which, unlike a mark, has no part in routing.

/// The group of interfaces that our TUN devices are in: "clav" in ASCII.
pub const DEVICE_GROUP: u32 = 0x636c_6176;

/// The priority of our UDP sockets: "clav" in ASCII.
pub const SOCKET_PRIORITY: u32 = 0x636c_6176;
