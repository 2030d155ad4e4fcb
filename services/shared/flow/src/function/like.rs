//! `LIKE`: `%` stands for any text, `_` for any character, the escape takes away the meaning of what follows.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Any,
    One,
    Exactly(char),
}

/// Whether a text fits a pattern, and how many characters were looked at. Nothing when that exceeds the budget.
///
/// Without an escape character given, a backslash is one; an escape at the end stands for itself.
pub(super) fn matches(text: &str, pattern: &str, escape: Option<char>, budget: usize) -> Option<(bool, usize)> {
    let escape = escape.unwrap_or('\\');
    let mut parts = Vec::new();
    let mut letters = pattern.chars();
    while let Some(c) = letters.next() {
        parts.push(match c {
            c if c == escape => Part::Exactly(letters.next().unwrap_or(c)),
            '%' => Part::Any,
            '_' => Part::One,
            c => Part::Exactly(c),
        });
    }
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut part, mut work) = (0, 0, 0);
    // Where to go on when what follows the last `%` does not fit: one character further.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        work += 1;
        if work > budget {
            return None;
        }
        let fits = match (parts.get(part), text.get(at)) {
            (Some(Part::Any), _) => {
                retry = Some((at, part));
                part += 1;
                continue;
            }
            (Some(Part::One), Some(_)) => true,
            (Some(Part::Exactly(wanted)), Some(found)) => wanted == found,
            (None, None) => return Some((true, work)),
            _ => false,
        };
        if fits {
            at += 1;
            part += 1;
            continue;
        }
        match retry {
            Some((from, any)) if from < text.len() => {
                retry = Some((from + 1, any));
                at = from + 1;
                part = any + 1;
            }
            _ => return Some((false, work)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(text: &str, pattern: &str) -> bool {
        matches(text, pattern, None, 1_000_000).expect("within the budget").0
    }

    #[test]
    fn patterns_fit_characters_of_any_script() {
        for (text, pattern, expected) in [
            ("含样品", "%样品%", true),
            ("含样品", "__品", true),
            ("含样品", "_品", false),
            ("", "%", true),
            ("", "", true),
            ("", "_", false),
            ("a", "", false),
            ("abcabd", "%abd", true),
            ("abab", "a%b%b", true),
            ("ab", "a%b%b", false),
            ("100%", "100\\%", true),
            ("1000", "100\\%", false),
            ("a_b", "a\\_b", true),
            ("axb", "a\\_b", false),
            ("a\\", "a\\", true),
            ("ABC", "abc", false),
        ] {
            assert_eq!(fits(text, pattern), expected, "{text:?} like {pattern:?}");
        }
        assert_eq!(matches("a%b", "a|%b", Some('|'), 100), Some((true, 4)));
    }

    #[test]
    fn a_hard_pattern_stops_at_its_budget() {
        let text = "a".repeat(10_000);
        let pattern = "%a".repeat(100) + "%b";
        assert_eq!(matches(&text, &pattern, None, 10_000), None);
    }
}
