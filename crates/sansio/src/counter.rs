//! What a machine counts: an enum of counters for each machine, and a store of one count for each variant.
//!
//! A machine declares its counters with [`counters!`](crate::counters); the comment above a variant is the help that
//! users read. Counters of two machines never meet: `hip/crypto` and `gdoi/crypto` are two figures.
//!
//! ```
//! use claviger_sansio::counter::{Counts, Kind};
//!
//! claviger_sansio::counters! {
//!     /// What an oven counts.
//!     pub enum Counter of "oven" {
//!         /// Loaves that came out.
//!         Baked => "baked": Done, Messages;
//!         /// Loaves that were dropped because they were burnt.
//!         Burnt => "burnt": Drop, Messages;
//!     }
//! }
//!
//! let mut counts = Counts::default();
//! counts.count(Counter::Burnt);
//! counts.add(Counter::Baked, 3);
//! assert_eq!((counts[Counter::Baked], counts.dropped()), (3, 1));
//! let burnt = counts.figures().find(|figure| figure.name == "burnt").unwrap();
//! assert_eq!((burnt.machine, burnt.kind, burnt.count), ("oven", Kind::Drop, 1));
//! assert_eq!(burnt.help, "Loaves that were dropped because they were burnt.");
//! ```

use std::{fmt, marker::PhantomData, ops::Index};

/// The counters of one machine, as [`counters!`](crate::counters) declares them.
pub trait Counted: Copy + fmt::Debug + 'static {
    /// The machine, in `snake_case`.
    const MACHINE: &'static str;

    /// How many counters there are.
    const COUNT: usize;

    /// Goes through all of them, in the order of their indices.
    fn all() -> Vec<Self>;

    /// Numbers the counters from zero.
    fn index(self) -> usize;

    /// Names the counter in `snake_case`, once within its machine.
    fn name(self) -> &'static str;

    /// Says in a sentence what is counted.
    fn help(self) -> &'static str;

    /// Says whether work or loss is counted.
    fn kind(self) -> Kind;

    /// Says in which unit.
    fn unit(self) -> Unit;
}

/// What a count is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Something that was done.
    Done,
    /// Something that was dropped or refused.
    Drop,
}

/// Declares [`Unit`] with the plural of each.
macro_rules! units {
    ($($(#[doc = $doc:literal])+ $unit:ident => $plural:literal;)+) => {
        /// What is counted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Unit {
            $($(#[doc = $doc])+ $unit,)+
        }

        impl Unit {
            /// Names the unit in the plural.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$unit => $plural,)+
                }
            }
        }
    };
}

units! {
    /// Attempts that may be repeated.
    Attempts => "attempts";
    /// What a socket sends or receives at once.
    Datagrams => "datagrams";
    /// Rekeys that are delivered with repair.
    Deliveries => "deliveries";
    /// Exchanges of several messages.
    Exchanges => "exchanges";
    /// Leases of a group's keys.
    Leases => "leases";
    /// Members of a group.
    Members => "members";
    /// Messages of a protocol, copies not counted.
    Messages => "messages";
    /// Changes of address.
    Moves => "moves";
    /// Octets.
    Octets => "octets";
    /// IP packets, or what an IP packet carries.
    Packets => "packets";
    /// What programs send and receive.
    Payloads => "payloads";
    /// Registrations to a group.
    Registrations => "registrations";
    /// Replacements of a group's keys.
    Rekeys => "rekeys";
    /// Keys that are wrapped under another.
    WrappedKeys => "wrapped keys";
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One count of each counter of a machine.
#[derive(Clone, PartialEq, Eq)]
pub struct Counts<C> {
    counts: Box<[u64]>,
    counters: PhantomData<C>,
}

impl<C: Counted> Counts<C> {
    /// Counts one.
    pub fn count(&mut self, counter: C) {
        self.add(counter, 1);
    }

    /// Counts several at once.
    pub fn add(&mut self, counter: C, count: u64) {
        let counted = &mut self.counts[counter.index()];
        *counted = counted.saturating_add(count);
    }

    /// Adds what another store of the same machine has counted.
    pub fn merge(&mut self, other: &Self) {
        for (counted, more) in self.counts.iter_mut().zip(&other.counts) {
            *counted = counted.saturating_add(*more);
        }
    }

    /// Sums up what was dropped.
    pub fn dropped(&self) -> u64 {
        self.figures().filter(|figure| figure.kind == Kind::Drop).map(|figure| figure.count).sum()
    }

    /// Shows each counter with its help and its count.
    pub fn figures(&self) -> impl Iterator<Item = Figure> + use<C> {
        let counts = self.counts.clone();
        C::all().into_iter().zip(counts).map(|(counter, count)| Figure {
            machine: C::MACHINE,
            name: counter.name(),
            help: counter.help(),
            kind: counter.kind(),
            unit: counter.unit(),
            count,
        })
    }
}

impl<C: Counted> Default for Counts<C> {
    fn default() -> Self {
        Self { counts: vec![0; C::COUNT].into(), counters: PhantomData }
    }
}

impl<C: Counted> Index<C> for Counts<C> {
    type Output = u64;

    fn index(&self, counter: C) -> &u64 {
        &self.counts[counter.index()]
    }
}

/// Shows only what was counted.
impl<C: Counted> fmt::Debug for Counts<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = C::all().into_iter().zip(&self.counts).filter(|(_, count)| **count > 0);
        f.debug_map().entries(counted).finish()
    }
}

/// A counter with its count, of any machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figure {
    /// The machine that counts.
    pub machine: &'static str,
    /// The counter's name within the machine.
    pub name: &'static str,
    /// What is counted.
    pub help: &'static str,
    /// Whether work or loss is counted.
    pub kind: Kind,
    /// In which unit.
    pub unit: Unit,
    /// How many.
    pub count: u64,
}

/// Declares the counters of a machine: an enum that implements [`Counted`](crate::counter::Counted).
///
/// `Variant(Reasons): Kind, Unit;` first takes in an enum of [`reasons!`](crate::reasons), whose every variant is a
/// counter; `Variant => "name": Kind, Unit;` declares one, and the comment above it is its help.
#[macro_export]
macro_rules! counters {
    (
        $(#[$meta:meta])*
        $vis:vis enum $name:ident of $machine:literal {
            $($nested:ident($reasons:ty): $nested_kind:ident, $nested_unit:ident;)*
            $($(#[doc = $doc:literal])+ $single:ident => $text:literal: $kind:ident, $unit:ident;)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis enum $name {
            $(
                #[doc = concat!("Each [`", stringify!($reasons), "`] by itself.")]
                $nested($reasons),
            )*
            $($(#[doc = $doc])+ $single,)*
        }

        impl $crate::counter::Counted for $name {
            const MACHINE: &'static str = $machine;

            const COUNT: usize = 0 $(+ <$reasons>::ALL.len())* $(+ $crate::counters!(@one $single))*;

            fn all() -> ::std::vec::Vec<Self> {
                let mut all = ::std::vec::Vec::with_capacity(Self::COUNT);
                $(all.extend(<$reasons>::ALL.iter().copied().map(Self::$nested));)*
                all.extend_from_slice(&[$(Self::$single,)*]);
                all
            }

            fn index(self) -> usize {
                let first = 0;
                $(
                    if let Self::$nested(reason) = self {
                        return first + reason as usize;
                    }
                    let first = first + <$reasons>::ALL.len();
                )*
                $(
                    if let Self::$single = self {
                        return first;
                    }
                    let first = first + 1;
                )*
                unreachable!("{first} counters and {self:?} is none of them")
            }

            fn name(self) -> &'static str {
                match self {
                    $(Self::$nested(reason) => reason.reason(),)*
                    $(Self::$single => $text,)*
                }
            }

            fn help(self) -> &'static str {
                match self {
                    $(Self::$nested(reason) => reason.help(),)*
                    $(Self::$single => ::std::concat!($($doc),+).trim_ascii_start(),)*
                }
            }

            fn kind(self) -> $crate::counter::Kind {
                match self {
                    $(Self::$nested(_) => $crate::counter::Kind::$nested_kind,)*
                    $(Self::$single => $crate::counter::Kind::$kind,)*
                }
            }

            fn unit(self) -> $crate::counter::Unit {
                match self {
                    $(Self::$nested(_) => $crate::counter::Unit::$nested_unit,)*
                    $(Self::$single => $crate::counter::Unit::$unit,)*
                }
            }
        }
    };
    (@one $single:ident) => { 1 };
}

/// Declares an enum of reasons that belong to one variant of the crate's `Error`: each with a name for counters, and with
/// the words of its `Display`. The comment above a variant is its help.
#[macro_export]
macro_rules! reasons {
    ($(#[$meta:meta])* $vis:vis enum $name:ident in $fault:ident { $($(#[doc = $doc:literal])+ $variant:ident => $reason:literal, $text:literal;)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis enum $name {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl $name {
            /// Every variant: tests show that each is produced somewhere.
            $vis const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Names the reason in `snake_case`, for counters.
            $vis const fn reason(self) -> &'static str {
                match self {
                    $(Self::$variant => $reason,)+
                }
            }

            /// Says in a sentence what it is.
            $vis const fn help(self) -> &'static str {
                match self {
                    $(Self::$variant => ::std::concat!($($doc),+).trim_ascii_start(),)+
                }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(match self {
                    $(Self::$variant => $text,)+
                })
            }
        }

        impl ::std::error::Error for $name {}

        impl From<$name> for Error {
            fn from(error: $name) -> Self {
                Self::$fault(error)
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    enum Error {
        Broken(Broken),
    }

    reasons! {
        /// What breaks.
        enum Broken in Broken {
            /// A cup fell (RFC 1
            /// section 2).
            Cup => "cup", "cup is broken";
            /// A plate fell.
            Plate => "plate", "plate is broken";
        }
    }

    counters! {
        /// What a kitchen counts.
        enum Counter of "kitchen" {
            Broken(Broken): Drop, Packets;
            /// Meals.
            Meals => "meals": Done, Messages;
            /// Guests.
            Guests => "guests": Done, Members;
        }
    }

    #[test]
    fn counters_are_numbered_in_their_order() {
        let all =
            [Counter::Broken(Broken::Cup), Counter::Broken(Broken::Plate), Counter::Meals, Counter::Guests];
        assert_eq!(Counter::all(), all);
        assert_eq!(Counter::COUNT, all.len());
        assert_eq!(all.map(Counter::index), [0, 1, 2, 3]);
        assert_eq!(all.map(Counter::name), ["cup", "plate", "meals", "guests"]);
        assert_eq!(all[0].help(), "A cup fell (RFC 1 section 2).");
        assert_eq!(Error::from(Broken::Cup), Error::Broken(Broken::Cup));
        assert_eq!(Broken::Plate.to_string(), "plate is broken");
    }

    #[test]
    fn only_what_is_counted_grows_and_stores_of_one_machine_add_up() {
        let mut counts = Counts::<Counter>::default();
        counts.count(Counter::Broken(Broken::Plate));
        counts.add(Counter::Guests, 5);
        let mut more = counts.clone();
        more.add(Counter::Guests, u64::MAX);
        counts.merge(&counts.clone());
        assert_eq!((counts[Counter::Guests], counts.dropped(), counts[Counter::Meals]), (10, 2, 0));
        assert_eq!(more[Counter::Guests], u64::MAX, "a count does not wrap");
        assert_eq!(format!("{counts:?}"), "{Broken(Plate): 2, Guests: 10}");
    }
}
