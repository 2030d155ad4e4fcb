//! Selectors and requests that cannot be answered.

use control::selector::Selector;
use document::Code;
use inputs::Tally;

#[test]
fn every_broken_selector_is_refused_at_its_column() {
    let mut tally = Tally::default();
    let good =
        "flow = \"misc-inbound\" and (category in (\"duplicate\", \"validation\") or age > 2h) and not attempts >= 3";
    Selector::parse(good).expect("a good selector");
    let words: Vec<&str> = good.split(' ').collect();
    for at in 0..words.len() {
        for other in ["", "and and", "=", "\"", "(", ")", "((", "\u{0}", "~~", "in in", "今天", "1.2.3", "'"] {
            // A bracket in the place of a word with that bracket leaves a shorter list, an equals sign another comparison.
            let word = words[at];
            if word == other || (other.len() == 1 && word.contains(other)) || (other == "=" && word.starts_with('>')) {
                continue;
            }
            let mut text = words.clone();
            text[at] = other;
            let text = text.join(" ");
            let Err(fault) = Selector::parse(&text) else {
                // Without one of its words it may be another selector, and any word may be a flow's name.
                assert!(other.is_empty() || words[at - 1] == "=", "{text:?} is taken for good");
                continue;
            };
            tally.note(&text, &[fault]);
        }
    }
    for unknown in ["flwo = \"x\"", "categroy = \"x\"", "agee > 2h", "payload..x = 1", "codes = 1", "flow.name = \"x\""]
    {
        let fault = Selector::parse(unknown).expect_err(unknown);
        assert!(matches!(fault.code, Code::SelectorField | Code::SelectorSyntax), "{fault}");
        tally.note(unknown, &[fault]);
    }
    assert!(tally.inputs >= 150, "{} selectors", tally.inputs);
    assert!(tally.len() >= 20, "{} pairs of {} codes", tally.len(), tally.codes());
}
