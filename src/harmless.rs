//! Text of others on a terminal: it must not move the cursor, colour what follows, hide itself or turn the line around.

/// Control characters, and those that turn or hide text.
pub fn is_dangerous(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{61c}' | '\u{feff}')
}

/// The text with a replacement character for each of them.
pub fn harmless(text: &str) -> String {
    text.chars().map(|c| if is_dangerous(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}
