//! How figures stand in sentences.

/// Three figures of milliseconds, in the unit that suits: 2.4 s, 310 ms, 85 µs.
pub fn duration(ms: f64) -> String {
    let (value, unit) = match ms {
        0.0 => (0.0, "ms"),
        ms if ms.abs() >= 999.5 => (ms / 1000.0, "s"),
        ms if ms.abs() >= 0.9995 => (ms, "ms"),
        ms => (ms * 1000.0, "µs"),
    };
    format!("{} {unit}", three_figures(value))
}

/// Of a share between 0 and 1.
pub fn share(share: f64) -> String {
    format!("{} %", three_figures(share * 100.0))
}

fn three_figures(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 99.95 => 0,
        size if size >= 9.995 => 1,
        _ => 2,
    };
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// "1 span", "1,234 spans".
pub fn counted(count: u64, one: &str) -> String {
    format!("{} {one}{}", thousands(count), if count == 1 { "" } else { "s" })
}

/// The first names of a list that may be long, "a, b and 3 more".
pub fn some<S: AsRef<str>>(names: &[S]) -> String {
    const SOME: usize = 12;
    let first: Vec<_> = names.iter().take(SOME).map(AsRef::as_ref).collect();
    let more = if names.len() > SOME { format!(" and {} more", thousands((names.len() - SOME) as u64)) } else { String::new() };
    first.join(", ") + &more
}

/// 1,234,567
pub fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_three_figures_and_a_unit_that_suits() {
        let said = [0.0, 0.0004, 0.085, 0.9996, 9.996, 31.26, 310.4, 999.4, 999.6, 2400.0, 60_123.0].map(duration);
        let expected = ["0 ms", "0.4 µs", "85 µs", "1 ms", "10 ms", "31.3 ms", "310 ms", "999 ms", "1 s", "2.4 s", "60.1 s"];
        assert_eq!(said, expected);
    }

    #[test]
    fn of_a_long_list_the_first_are_named() {
        let names: Vec<_> = ('a'..='z').map(String::from).collect();
        assert_eq!(
            [some(&names[..0]), some(&names[..2]), some(&names)],
            ["", "a, b", "a, b, c, d, e, f, g, h, i, j, k, l and 14 more"]
        );
    }

    #[test]
    fn counts_have_their_thousands_apart() {
        assert_eq!(
            [0, 1, 999, 1000, 1_234_567].map(|count| counted(count, "span")),
            ["0 spans", "1 span", "999 spans", "1,000 spans", "1,234,567 spans"]
        );
    }
}
