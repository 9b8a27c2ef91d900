//! What is fuzzed: one file for each decoder and endpoint, named as its folder of seeds.

/// Something that takes any octets, and panics where one of its claims does not hold.
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// Feeds it one input.
    pub feed: fn(&[u8]),
}

macro_rules! targets {
    ($($name:ident,)*) => {
        $(mod $name;)*

        /// Every target, by name.
        pub const TARGETS: &[Target] = &[$(Target { name: stringify!($name), feed: $name::feed },)*];
    };
}

targets! {
    api,
    delivery_receiver,
    delivery_report,
    esp_open,
    gcks,
    gcks_restore,
    gdoi_batch,
    gdoi_control,
    gdoi_key_download,
    gdoi_lease,
    gdoi_lkh_32,
    gdoi_member,
    gdoi_message,
    gdoi_payload,
    gdoi_push,
    gdoi_report,
    gdoi_sa,
    gdoi_server,
    hip_associated,
    hip_initiator,
    hip_packet,
    hip_parameter,
    hip_responder,
    identity_pem,
    ip_packet,
    isakmp_route,
    keytree_restore,
    member,
    pcap,
    pki_certificate,
    pki_crl,
    pki_name,
    pki_pem,
    pki_rights,
    token_uri,
}

/// Finds a target by its name.
pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
