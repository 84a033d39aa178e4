//! How text from API objects is shown in a message: short, on one line, without control characters.
//!
//! It does not judge the text; whoever parses a value does.

use std::fmt::{self, Write as _};

/// The most characters of outside text that one message repeats.
const LONGEST_EXCERPT: usize = 80;
/// The most characters of one of our own messages that another repeats.
const LONGEST_QUOTE: usize = 400;

/// Outside text inside a message: control characters are escaped and everything past 80 characters is cut.
///
/// Warnings and events travel in HTTP headers and single lines, and admission sees text before the API server has validated it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Excerpt<'a>(pub(crate) &'a str);

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_line(f, self.0, LONGEST_EXCERPT)
    }
}

/// A message inside another. What it repeats of outside text is short already, so it may be as long as messages are; it stays one line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quote<'a>(pub(crate) &'a str);

impl fmt::Display for Quote<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_line(f, self.0, LONGEST_QUOTE)
    }
}

fn write_line(f: &mut fmt::Formatter<'_>, text: &str, longest: usize) -> fmt::Result {
    let mut characters = text.chars();
    for character in characters.by_ref().take(longest) {
        if character.is_control() {
            write!(f, "{}", character.escape_default())?;
        } else {
            f.write_char(character)?;
        }
    }
    if characters.next().is_some() { f.write_char('…') } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::{Excerpt, Quote};

    #[test]
    fn short_text_is_shown_as_it_is() {
        assert_eq!(Excerpt("node-type=größe").to_string(), "node-type=größe");
    }

    #[test]
    fn control_characters_cannot_break_a_line() {
        assert_eq!(Excerpt("a\nb\u{1b}[31m").to_string(), "a\\nb\\u{1b}[31m");
    }

    #[test]
    fn long_text_is_cut_at_a_character_boundary() {
        let shown = Excerpt(&"é".repeat(500)).to_string();
        assert_eq!(shown.chars().count(), 81);
        assert!(shown.ends_with("é…"));
    }

    #[test]
    fn a_message_inside_another_is_whole_and_one_line() {
        assert_eq!(Quote(&"a\n".repeat(100)).to_string(), "a\\n".repeat(100));
        assert_eq!(Quote(&"é".repeat(500)).to_string().chars().count(), 401);
    }
}
