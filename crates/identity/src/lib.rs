//! Holds host identities: public keys as HIP carries them, the HITs that name them, and their private halves.
//!
//! | module | what |
//! |---|---|
//! | [`hit`] | the 128-bit Host Identity Tag |

pub mod hit;

pub use hit::Hit;
