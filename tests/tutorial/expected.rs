//! Whether a program printed what the book shows.
//!
//! Shown lines come in order and adjacent, the first one first and the last one last. A line `…` stands for any lines, none included,
//! and `…` in a line for any text. A number matches any number, but for the 0 of `0 errors`, which is a claim.
//! An id of 16 or 32 hexadecimal digits matches any such id, a run of blanks any run of blanks. A version such as `v2` is a word: what a chapter is about may be that it is another one.

const ANY: &str = "…";

/// How much of a difference is shown.
const MOST_LINES: usize = 40;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Any,
    Blanks,
    Number,
    /// A 0 that counts what the next word says.
    Zero,
    /// And its number of digits.
    Id(usize),
    Word(&'a str),
    Sign(char),
}

/// Whether this is what is shown; nothing shown is nothing claimed.
///
/// # Errors
/// It is not; the text is a short unified difference.
pub fn matches(shown: &[String], printed: &str) -> Result<(), String> {
    let printed = lines(printed);
    if shown.is_empty() || all(shown, &printed) { Ok(()) } else { Err(difference(shown, &printed)) }
}

/// The same of a program that goes on printing.
pub fn begins(shown: &[String], printed: &str) -> Result<(), String> {
    let more: Vec<_> = shown.iter().cloned().chain([ANY.to_owned()]).collect();
    matches(&more, printed)
}

fn lines(printed: &str) -> Vec<&str> {
    printed.trim_end().lines().collect()
}

fn all(shown: &[String], printed: &[&str]) -> bool {
    // Which numbers of printed lines can have been matched by the shown ones so far.
    let mut reached = vec![false; printed.len() + 1];
    reached[0] = true;
    for shown in shown {
        let mut next = vec![false; printed.len() + 1];
        if shown.trim() == ANY {
            let first = reached.iter().position(|&reached| reached).unwrap_or(next.len());
            next[first..].fill(true);
        } else {
            for (place, printed) in printed.iter().enumerate().filter(|(place, _)| reached[*place]) {
                next[place + 1] = line(shown, printed);
            }
        }
        reached = next;
    }
    reached[printed.len()]
}

/// Whether one line is as one that is shown.
pub fn line(shown: &str, printed: &str) -> bool {
    let (shown, printed) = (tokens(shown.trim(), true), tokens(printed.trim(), false));
    let mut reached = vec![false; printed.len() + 1];
    reached[0] = true;
    for token in shown {
        let mut next = vec![false; printed.len() + 1];
        if token == Token::Any {
            let first = reached.iter().position(|&reached| reached).unwrap_or(next.len());
            next[first..].fill(true);
        } else {
            for (place, printed) in printed.iter().enumerate().filter(|(place, _)| reached[*place]) {
                next[place + 1] = token == *printed || (token, *printed) == (Token::Number, Token::Zero);
            }
        }
        reached = next;
    }
    reached[printed.len()]
}

/// `…` means something in what is shown; printed, it is a sign.
fn tokens(line: &str, shown: bool) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let run = |is: fn(char) -> bool| rest.find(|sign| !is(sign)).unwrap_or(rest.len());
        let (token, length) = if first.is_whitespace() {
            (Token::Blanks, run(char::is_whitespace))
        } else if first.is_ascii_alphanumeric() {
            let word = &rest[..run(|sign| sign.is_ascii_alphanumeric())];
            let id = matches!(word.len(), 16 | 32) && word.bytes().all(|sign| sign.is_ascii_hexdigit());
            let version = word.strip_prefix('v').is_some_and(|number| number.bytes().all(|sign| sign.is_ascii_digit()));
            if id {
                (Token::Id(word.len()), word.len())
            } else if version {
                (Token::Word(word), word.len())
            } else if first.is_ascii_digit() {
                let length = number(rest);
                let counts = matches!(tokens.last(), None | Some(Token::Blanks)) && counts(&rest[length..]);
                (if counts && &rest[..length] == "0" { Token::Zero } else { Token::Number }, length)
            } else {
                // Up to a number in it.
                let length = word.find(|sign: char| sign.is_ascii_digit()).unwrap_or(word.len());
                (Token::Word(&word[..length]), length)
            }
        } else if shown && rest.starts_with(ANY) {
            (Token::Any, ANY.len())
        } else {
            (Token::Sign(first), first.len_utf8())
        };
        tokens.push(token);
        rest = &rest[length..];
    }
    tokens
}

/// Whether a word comes after one blank.
fn counts(after: &str) -> bool {
    after.strip_prefix(' ').is_some_and(|word| word.starts_with(char::is_alphabetic))
}

/// Its length, with thousands and a fraction: `10,000` or `1.25`.
fn number(text: &str) -> usize {
    let bytes = text.as_bytes();
    let digit = |place: usize| bytes.get(place).is_some_and(u8::is_ascii_digit);
    let mut length = 0;
    while digit(length) || (matches!(bytes.get(length), Some(b'.' | b',')) && digit(length + 1)) {
        length += 1;
    }
    length
}

/// `-` is shown and was not printed, `+` the other way round.
fn difference(shown: &[String], printed: &[&str]) -> String {
    let same = |left: usize, right: usize| shown[left].trim() != ANY && line(&shown[left], printed[right]);
    // The longest common subsequence, from the end.
    let mut common = vec![vec![0; printed.len() + 1]; shown.len() + 1];
    for left in (0..shown.len()).rev() {
        for right in (0..printed.len()).rev() {
            common[left][right] = if same(left, right) {
                common[left + 1][right + 1] + 1
            } else {
                common[left + 1][right].max(common[left][right + 1])
            };
        }
    }
    let (mut left, mut right) = (0, 0);
    let mut text = Vec::new();
    while left < shown.len() || right < printed.len() {
        if left < shown.len() && right < printed.len() && same(left, right) {
            text.push(format!("  {}", printed[right]));
            (left, right) = (left + 1, right + 1);
        } else if left < shown.len() && (right == printed.len() || common[left + 1][right] >= common[left][right + 1]) {
            let sign = if shown[left].trim() == ANY { ' ' } else { '-' };
            text.push(format!("{sign} {}", shown[left]));
            left += 1;
        } else {
            text.push(format!("+ {}", printed[right]));
            right += 1;
        }
    }
    if text.len() > MOST_LINES {
        let left_out = text.len() - MOST_LINES;
        text.splice(MOST_LINES / 2..text.len() - MOST_LINES / 2, [format!("  ({left_out} lines left out)")]);
    }
    text.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    fn accepts(book: &str, printed: &str) {
        if let Err(difference) = matches(&shown(book), printed) {
            panic!("{book:?} is not {printed:?}:\n{difference}");
        }
    }

    fn rejects(book: &str, printed: &str) {
        assert!(matches(&shown(book), printed).is_err(), "{book:?} took {printed:?}");
    }

    #[test]
    fn a_number_matches_any_number() {
        accepts("200 calls in 0.4 s", "10,000 calls in 12 s");
        accepts("✓ dummy-1-17 slept: 99.5 %", "✓ dummy-2-3 slept: 7 %");
        accepts("http://127.0.0.1:8080/", "http://127.0.0.1:23017/");
        accepts("p99 is 12ms", "p50 is 7.25ms");
        rejects("200 calls", "no calls");
        rejects("200 calls", "many 200 calls");
    }

    #[test]
    fn none_of_something_is_none() {
        accepts("300 calls, 0 errors", "20 calls, 0 errors");
        accepts("300 calls, 7 errors", "20 calls, 0 errors");
        accepts("dummy-0-19 took 0.4 s", "dummy-1-5 took 3 s");
        rejects("300 calls, 0 errors", "300 calls, 12 errors");
        accepts("  296.836         0", "  300         1");
    }

    #[test]
    fn an_id_matches_an_id_of_its_length() {
        accepts("trace 0af7651916cd43dd8448eb211c80319c", "trace 4bf92f3577b34da6a3ce929d0e0e4736");
        accepts(
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
        );
        rejects("span b7ad6b7169203331", "span 4bf92f3577b34da6a3ce929d0e0e4736");
        rejects("span b7ad6b7169203331", "span 7");
    }

    #[test]
    fn a_version_is_a_word() {
        accepts("service.version v2", "service.version v2");
        rejects("service.version v2", "service.version v1");
    }

    #[test]
    fn blanks_match_blanks() {
        accepts("a  b", "  a b ");
        rejects("a b", "ab");
    }

    #[test]
    fn another_word_is_rejected() {
        rejects("✓ a root: it is there", "✗ a root: it is there");
        rejects("right: sleep in dummy-1-17", "wrong: sleep in dummy-1-17");
        rejects("one two three", "one two");
        rejects("one two", "one two three");
    }

    #[test]
    fn an_ellipsis_in_a_line_matches_any_text() {
        accepts("200 calls in … s", "200 calls in 0.4 s");
        accepts("took …", "took 900 ms");
        accepts("… and …", "cats and dogs");
        rejects("… and …", "cats or dogs");
        rejects("took … ms", "took 1 s");
    }

    #[test]
    fn an_ellipsis_of_its_own_matches_any_lines() {
        accepts("one\n…\nfour", "one\ntwo\nthree\nfour");
        accepts("one\n…\ntwo", "one\ntwo");
        accepts("…\ntwo\n…", "one\ntwo\nthree");
        accepts("one\n  …", "one\n");
        rejects("one\n…\nfive", "one\ntwo\nfour");
        rejects("…\nthree\ntwo\n…", "one\ntwo\nthree");
    }

    #[test]
    fn a_missing_line_is_rejected() {
        rejects("one\ntwo\nthree", "one\nthree");
        rejects("one\ntwo", "one");
        rejects("one", "");
    }

    #[test]
    fn an_extra_line_is_rejected() {
        rejects("one\ntwo", "one\nand\ntwo");
        rejects("one", "one\ntwo");
        rejects("two", "one\ntwo");
    }

    #[test]
    fn nothing_shown_claims_nothing() {
        accepts("", "whatever");
    }

    #[test]
    fn a_program_that_goes_on_may_print_more() {
        assert!(begins(&shown("one\ntwo"), "one\ntwo\nthree").is_ok());
        assert!(begins(&shown("one\ntwo"), "one\n").is_err());
        assert!(begins(&shown("one\ntwo"), "zero\none\ntwo").is_err());
    }

    #[test]
    fn what_an_ellipsis_is_when_printed_is_text() {
        accepts("a … b", "a … b");
        rejects("a b", "a … b");
    }

    #[test]
    fn the_difference_shows_both_sides_once() {
        let told = matches(&shown("one\ntwo\n…\nthree"), "one\n2\nthree\nfour").unwrap_err();
        assert_eq!(told, "  one\n- two\n  …\n+ 2\n  three\n+ four");
    }
}
