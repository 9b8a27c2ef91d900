//! Tables of what may stand in a message, and how often.
//!
//! A protocol has one table for each message: a row for each parameter or payload, in the order in which they stand.
//! [`check`] compares a message with its table before anything in it is interpreted.
//!
//! ```
//! use claviger_wire::{
//!     DecodeError,
//!     rules::{Element, Rule, check, nothing, one, optional},
//! };
//!
//! #[derive(Clone, Copy, PartialEq)]
//! struct Payload(u8);
//!
//! impl Element for Payload {
//!     fn name(self) -> &'static str {
//!         if self == Payload(8) { "HASH" } else { "payload" }
//!     }
//! }
//!
//! const ANSWER: &[Rule<Payload>] = &[one(Payload(8)), optional(Payload(22))];
//!
//! assert_eq!(check(ANSWER, [Payload(8)].into_iter(), nothing), Ok(()));
//! assert_eq!(
//!     check(ANSWER, [Payload(22)].into_iter(), nothing),
//!     Err(DecodeError::Missing { what: "HASH" })
//! );
//! ```

use crate::DecodeError;

/// What a table is about: the type of a parameter or of a payload.
pub trait Element: Copy + PartialEq {
    /// Names it in errors, in the words of its document.
    fn name(self) -> &'static str;
}

/// One row of a table: how often an element stands in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule<E> {
    /// What stands there.
    pub element: E,
    /// How often it must stand there.
    pub least: usize,
    /// How often it may stand there.
    pub most: usize,
}

/// The element stands there once.
pub const fn one<E: Copy>(element: E) -> Rule<E> {
    Rule { element, least: 1, most: 1 }
}

/// The element may stand there once.
pub const fn optional<E: Copy>(element: E) -> Rule<E> {
    Rule { element, least: 0, most: 1 }
}

/// The element may stand there up to `most` times.
pub const fn up_to<E: Copy>(most: usize, element: E) -> Rule<E> {
    Rule { element, least: 0, most }
}

/// The element stands there once, and may stand there up to `most` times.
pub const fn one_to<E: Copy>(most: usize, element: E) -> Rule<E> {
    Rule { element, least: 1, most }
}

/// Passes over no element that has no row: the whole message is described by its table.
pub fn nothing<E>(_: E) -> bool {
    false
}

/// Says whether the elements of a message are those of its table, in its order. Those without a row that
/// `passed_over` names are as if they were not there.
///
/// # Errors
///
/// [`DecodeError::Unexpected`], [`DecodeError::Missing`] or [`DecodeError::TooMany`], each naming the element.
pub fn check<E: Element>(
    rules: &[Rule<E>],
    elements: impl Iterator<Item = E> + Clone,
    passed_over: impl Fn(E) -> bool,
) -> Result<(), DecodeError> {
    let has_row = |element| rules.iter().any(|rule| rule.element == element);
    if let Some(stray) = elements.clone().find(|&element| !has_row(element) && !passed_over(element)) {
        return Err(DecodeError::Unexpected { what: stray.name() });
    }
    let mut rest = elements.filter(|&element| has_row(element)).peekable();
    for rule in rules {
        let mut count = 0;
        while rest.next_if(|&element| element == rule.element).is_some() {
            count += 1;
        }
        rule.check(count)?;
    }
    match rest.next() {
        None => Ok(()),
        Some(misplaced) => Err(DecodeError::Unexpected { what: misplaced.name() }),
    }
}

impl<E: Element> Rule<E> {
    fn check(&self, count: usize) -> Result<(), DecodeError> {
        let what = self.element.name();
        if count < self.least {
            return Err(DecodeError::Missing { what });
        }
        if count <= self.most {
            return Ok(());
        }
        Err(match self.most {
            0 | 1 => DecodeError::Unexpected { what },
            limit => DecodeError::TooMany { what, limit },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Element for char {
        fn name(self) -> &'static str {
            match self {
                'a' => "a",
                'b' => "b",
                'c' => "c",
                _ => "stray",
            }
        }
    }

    const RULES: &[Rule<char>] = &[one('a'), up_to(2, 'b'), optional('c')];

    fn judge(elements: &str) -> Result<(), DecodeError> {
        check(RULES, elements.chars(), |element| element == '-')
    }

    #[test]
    fn elements_stand_in_the_order_of_their_table_and_as_often_as_it_says() {
        for fitting in ["a", "abb", "abbc", "ac"] {
            assert_eq!(judge(fitting), Ok(()), "{fitting}");
        }
        assert_eq!(judge(""), Err(DecodeError::Missing { what: "a" }));
        assert_eq!(judge("ba"), Err(DecodeError::Missing { what: "a" }));
        assert_eq!(judge("acb"), Err(DecodeError::Unexpected { what: "b" }));
        assert_eq!(judge("aa"), Err(DecodeError::Unexpected { what: "a" }));
        assert_eq!(judge("abbb"), Err(DecodeError::TooMany { what: "b", limit: 2 }));
        assert_eq!(check(&[one_to(3, 'a')], "".chars(), nothing), Err(DecodeError::Missing { what: "a" }));
    }

    #[test]
    fn elements_without_a_row_are_refused_unless_they_are_passed_over() {
        assert_eq!(judge("a-b-"), Ok(()));
        assert_eq!(judge("ax"), Err(DecodeError::Unexpected { what: "stray" }));
        assert_eq!(judge("b-x"), Err(DecodeError::Unexpected { what: "stray" }), "before what is missing");
    }
}
