//! Source text, cut into tokens.

use std::{iter::Peekable, str::Chars};

/// A word, or one sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// A name, a keyword or a number.
    Word(String),
    /// `::`
    PathSeparator,
    /// Any other sign.
    Sign(char),
}

impl Token {
    /// Shows a word.
    pub fn word(&self) -> Option<&str> {
        match self {
            Self::Word(word) => Some(word),
            Self::PathSeparator | Self::Sign(_) => None,
        }
    }

    /// Says whether it is this sign.
    pub fn is(&self, sign: char) -> bool {
        *self == Self::Sign(sign)
    }
}

/// Cuts source text into tokens. Comments, literals of text and lifetimes are left out.
pub fn tokens(source: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = source.chars().peekable();
    while let Some(first) = rest.next() {
        match first {
            '/' if rest.peek() == Some(&'/') => skip_line(&mut rest),
            '/' if rest.peek() == Some(&'*') => skip_block_comment(&mut rest),
            '"' => skip_text(&mut rest),
            '\'' => skip_quote(&mut rest),
            ':' if rest.next_if_eq(&':').is_some() => tokens.push(Token::PathSeparator),
            _ if is_of_word(first) => tokens.extend(word(first, &mut rest)),
            _ if first.is_whitespace() => {}
            _ => tokens.push(Token::Sign(first)),
        }
    }
    tokens
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn skip_line(rest: &mut Peekable<Chars<'_>>) {
    rest.by_ref().find(|c| *c == '\n');
}

fn skip_block_comment(rest: &mut Peekable<Chars<'_>>) {
    let mut depth = 0;
    let mut before = '/';
    for c in rest.by_ref() {
        match (before, c) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => {
                before = c;
                continue;
            }
        }
        if depth == 0 {
            return;
        }
        // A sign of one mark is not part of the next.
        before = ' ';
    }
}

/// Skips a text whose opening quote is read.
fn skip_text(rest: &mut Peekable<Chars<'_>>) {
    while let Some(c) = rest.next() {
        match c {
            '\\' => drop(rest.next()),
            '"' => return,
            _ => {}
        }
    }
}

/// Skips a raw text of which `r` is read: `#`s, a quote, text, a quote and as many `#`s.
fn skip_raw_text(rest: &mut Peekable<Chars<'_>>) {
    let mut hashes = 0;
    while rest.next_if_eq(&'#').is_some() {
        hashes += 1;
    }
    rest.next();
    while rest.by_ref().any(|c| c == '"') {
        if (0..hashes).all(|_| rest.next_if_eq(&'#').is_some()) {
            return;
        }
    }
}

/// Skips a character or a lifetime whose quote is read.
fn skip_quote(rest: &mut Peekable<Chars<'_>>) {
    if rest.next_if_eq(&'\\').is_some() {
        rest.next();
        rest.by_ref().find(|c| *c == '\'');
        return;
    }
    if rest.next().is_some_and(is_of_word) && rest.peek() != Some(&'\'') {
        while rest.next_if(|c| is_of_word(*c)).is_some() {}
        return;
    }
    rest.next();
}

/// Reads a word, unless it is the prefix of a literal, which is skipped.
fn word(first: char, rest: &mut Peekable<Chars<'_>>) -> Option<Token> {
    let mut word = String::from(first);
    while let Some(c) = rest.next_if(|c| is_of_word(*c)) {
        word.push(c);
    }
    let raw = matches!(word.as_str(), "r" | "br" | "cr");
    match rest.peek() {
        Some('"') if raw => skip_raw_text(rest),
        Some('#') if raw => {
            // Not a text but a name that is a keyword elsewhere, as `r#type`.
            let mut after = rest.clone().skip_while(|c| *c == '#');
            if after.next() != Some('"') {
                rest.next();
                return None;
            }
            skip_raw_text(rest);
        }
        Some('"') if matches!(word.as_str(), "b" | "c") => {
            rest.next();
            skip_text(rest);
        }
        Some('\'') if word == "b" => {
            rest.next();
            skip_quote(rest);
        }
        _ => return Some(Token::Word(word)),
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(source: &str) -> String {
        let text = |token: Token| match token {
            Token::Word(word) => word,
            Token::PathSeparator => "::".to_owned(),
            Token::Sign(sign) => sign.to_string(),
        };
        tokens(source).into_iter().map(text).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn words_and_signs_are_told_apart() {
        assert_eq!(shown("use crate::{a_b, C1};"), "use crate :: { a_b , C1 } ;");
        assert_eq!(shown("x: u8 = 1_000u32"), "x : u8 = 1_000u32");
        assert_eq!(shown("r#type::new()"), "type :: new ( )");
    }

    #[test]
    fn comments_texts_and_lifetimes_are_left_out() {
        assert_eq!(shown("a // b::c\nd /* e /* f */ g */ h"), "a d h");
        assert_eq!(shown(r###"a "b \" c" d r#"e " f"# g b"h" i br"j\" k"###), "a d g i k");
        assert_eq!(shown(r"a 'b' '\'' '\u{7f}' &'static str b'\\' '{' c"), "a & str c");
        assert_eq!(shown("fn a<'b>(c: &'b str)"), "fn a < > ( c : & str )");
    }
}
