//! The extension that gives rights in groups.

use claviger_pki::GroupRights;

/// Feeds one input. What is read has one encoding, and says of each group that it names what stands there.
pub(super) fn feed(input: &[u8]) {
    let Ok(rights) = GroupRights::from_der(input) else {
        return;
    };
    assert_eq!(rights.to_der(), input);
    assert_eq!(GroupRights::new(rights.rights().to_vec()), Ok(rights.clone()));
    for right in rights.rights() {
        assert_eq!(rights.roles_for(right.id_type, &right.group_id), right.roles);
        assert!(!right.roles.is_empty());
    }
}
