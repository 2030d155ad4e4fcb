//! Pages, counts and limits.

use document::{Category, Code, Stage, topic};

use super::records::{Sample, index, letter, received, sample, selector, state};
use crate::index::{AgeBucket, Index, List, MAX_BODY_BYTES, Order, ScanLimits};
use crate::letter::State;
use crate::selector::{MAX_DEPTH, MAX_TESTS, MAX_VALUES, Selector};

/// The documents of all pages, one page after the other.
fn documents(index: &Index, selector: &Selector, order: Order, descending: bool, limit: usize) -> Vec<String> {
    let mut found = Vec::new();
    let mut token: Option<String> = None;
    loop {
        let list = List { selector, order, descending, page_token: token.as_deref(), limit, now: 1_000 };
        let page = index.list(&list).expect("a page");
        assert!(page.items.len() <= limit);
        found.extend(page.items.into_iter().map(|letter| letter.document.0));
        match page.next {
            Some(next) => token = Some(next),
            None => return found,
        }
    }
}

fn filled() -> (tempfile::TempDir, Index) {
    let (folder, index) = index();
    let times = [("C", 30), ("A", 10), ("D", 30), ("B", 20), ("E", 50)];
    for ((document, first_failed), offset) in times.into_iter().zip(0..) {
        let sample = Sample {
            target_key: (document == "C").then(|| "0".to_owned()),
            last_failed: 100 - first_failed,
            body: format!(r#"{{"FQty": {first_failed}}}"#).into_bytes(),
            ..sample(document, first_failed)
        };
        index.apply(&[letter(offset, &sample)]).expect("applied");
    }
    (folder, index)
}

#[test]
fn pages_follow_each_other_in_every_order() {
    let (_folder, index) = filled();
    for text in ["", "payload.FQty > 0", "message ~ 编码"] {
        for limit in [1, 2, 3, 5, 9] {
            let all = selector(text);
            assert_eq!(documents(&index, &all, Order::Document, false, limit), ["A", "B", "C", "D", "E"]);
            assert_eq!(documents(&index, &all, Order::Document, true, limit), ["E", "D", "C", "B", "A"]);
            assert_eq!(documents(&index, &all, Order::Replay, false, limit), ["C", "A", "B", "D", "E"]);
            let mut by_time = documents(&index, &all, Order::FirstFailed, false, limit);
            assert_eq!(documents(&index, &all, Order::LastFailed, true, limit)[..2], by_time[..2]);
            assert_eq!((by_time[0].as_str(), by_time[1].as_str(), by_time[4].as_str()), ("A", "B", "E"));
            by_time.reverse();
            assert_eq!(documents(&index, &all, Order::FirstFailed, true, limit), by_time);
        }
    }
}

#[test]
fn pages_of_few_letters_among_many_follow_each_other_in_every_order() {
    let (_folder, index) = index();
    let times: Vec<(i64, i64)> = (0..120).map(|number| (number, number * 77 % 120)).collect();
    for (offset, (number, first_failed)) in times.iter().enumerate() {
        let attempts = if number % 29 == 3 { 2 } else { 1 + 2 * u32::from(number % 2 == 0) };
        let last_failed = first_failed * 7 % 60;
        let sample = Sample { attempts, last_failed, ..sample(&format!("{number:03}"), *first_failed) };
        index.apply(&[letter(i64::try_from(offset).expect("small"), &sample)]).expect("applied");
    }
    let few = |number: &i64| number % 29 == 3;
    let half = |number: &i64| number % 2 == 0 && number % 29 != 3;
    let of = |wanted: &dyn Fn(&i64) -> bool| times.iter().filter(|(n, _)| wanted(n)).copied().collect::<Vec<_>>();
    for (text, mut wanted) in [
        ("attempts = 2", of(&few)),
        ("attempts = 3", of(&half)),
        ("document in (\"003\", \"090\")", of(&|number| [3, 90].contains(number))),
        ("attempts = 4", Vec::new()),
    ] {
        // Pages so small that most of these letters lie behind the first steps along the order.
        for limit in [1, 2, 7] {
            let listed = |order, descending| documents(&index, &selector(text), order, descending, limit);
            let named = |letters: &[(i64, i64)]| letters.iter().map(|(n, _)| format!("{n:03}")).collect::<Vec<_>>();
            wanted.sort_unstable();
            assert_eq!(listed(Order::Document, false), named(&wanted), "{text}");
            assert_eq!(listed(Order::Replay, false), named(&wanted), "{text}");
            wanted.sort_unstable_by_key(|(_, first_failed)| *first_failed);
            let by_first = named(&wanted);
            assert_eq!(listed(Order::FirstFailed, false), by_first, "{text}");
            assert_eq!(listed(Order::FirstFailed, true), by_first.into_iter().rev().collect::<Vec<_>>(), "{text}");
            let mut both = [listed(Order::LastFailed, false), listed(Order::LastFailed, true)];
            both[1].reverse();
            assert_eq!(both[0], both[1], "{text}");
            assert_eq!(both[0].len(), wanted.len(), "{text}");
        }
    }
}

#[test]
fn a_letter_that_comes_between_pages_disturbs_none() {
    let (_folder, index) = filled();
    let all = Selector::all();
    let mut list =
        List { selector: &all, order: Order::FirstFailed, descending: false, page_token: None, limit: 2, now: 1_000 };
    let first = index.list(&list).expect("a page");
    index.apply(&[letter(9, &sample("new", 1))]).expect("applied");
    let token = first.next.expect("more");
    list.page_token = Some(&token);
    let second = index.list(&list).expect("a page");
    assert!(second.items.iter().all(|letter| letter.first_failed == 30));
}

#[test]
fn ages_are_told_by_the_time_of_the_first_page() {
    let (_folder, index) = filled();
    let young = selector("age < 1s");
    let page = index.ids(&young, None, 2, 1_025).expect("a page");
    let token = page.next.expect("more");
    // By now nothing is younger than a second, but the list is that of then.
    assert_eq!(index.count(&young, 99_000).expect("counted").letters, 0);
    let rest = index.ids(&young, Some(&token), 9, 99_000).expect("a page");
    assert_eq!((page.items.len(), rest.items.len(), rest.next), (2, 1, None));
}

#[test]
fn a_token_of_another_list_is_refused() {
    let (_folder, index) = filled();
    let (all, other) = (Selector::all(), selector("attempts < 9"));
    let list =
        List { selector: &all, order: Order::Document, descending: false, page_token: None, limit: 1, now: 1_000 };
    let token = index.list(&list).expect("a page").next.expect("more");
    let refused = |list: &List<'_>| index.list(list).expect_err("refused").code;
    assert_eq!(refused(&List { selector: &other, page_token: Some(&token), ..list }), Code::PageToken);
    assert_eq!(refused(&List { order: Order::FirstFailed, page_token: Some(&token), ..list }), Code::PageToken);
    assert_eq!(refused(&List { descending: true, page_token: Some(&token), ..list }), Code::PageToken);
    assert_eq!(refused(&List { page_token: Some("nonsense"), ..list }), Code::PageToken);
    assert_eq!(refused(&List { page_token: Some("e30"), ..list }), Code::PageToken);
}

#[test]
fn a_scan_says_that_it_reached_its_limit_and_goes_on_from_there() {
    let (_folder, index) = filled();
    let index = index.with_limits(ScanLimits { rows: 2, bytes: 1 << 20 });
    let wanted = selector("payload.FQty >= 30");
    let count = index.count(&wanted, 1_000).expect("counted");
    let scan = count.scan.expect("a scan");
    assert_eq!((scan.rows, scan.limit_reached), (2, true));
    assert!(index.stats(&wanted, 1_000).expect("stats").scan.expect("a scan").limit_reached);
    assert_eq!(documents(&index, &wanted, Order::Document, false, 9), ["C", "D", "E"]);
    // Columns answer without a scan, whatever the limit.
    assert_eq!(index.count(&selector("first_failed >= 1970-01-01"), 1_000).expect("counted").scan, None);

    let index = index.with_limits(ScanLimits { rows: 100, bytes: 20 });
    let scan = index.count(&wanted, 1_000).expect("counted").scan.expect("a scan");
    assert_eq!((scan.rows, scan.bytes, scan.limit_reached), (2, 24, true));
    // Only what the columns leave is scanned.
    let scan = index.count(&selector("document = A and payload.FQty = 10"), 1_000).expect("counted").scan;
    assert_eq!(scan.map(|scan| (scan.rows, scan.limit_reached)), Some((1, false)));
}

#[test]
fn a_body_that_is_too_large_is_left_out_and_counted() {
    let (_folder, index) = index();
    let spaces = usize::try_from(MAX_BODY_BYTES).expect("a size");
    let large = Sample { body: format!("{{}}{}", " ".repeat(spaces)).into_bytes(), ..sample("A", 10) };
    index.apply(&[letter(0, &large), letter(1, &sample("B", 20))]).expect("applied");
    let count = index.count(&selector("not exists(payload.a)"), 1_000).expect("counted");
    assert_eq!((count.letters, count.scan.expect("a scan").too_large), (1, 1));
}

#[test]
fn the_largest_selectors_are_answered() {
    let (_folder, index) = filled();
    let many = |link: &str| vec!["(flow = a or attempts < 9)"; MAX_TESTS / 2].join(link);
    let values = vec!["A"; MAX_VALUES].join(", ");
    let nots = format!("{}document = A", "not ".repeat(MAX_DEPTH - 1));
    for (text, letters) in [(many(" and "), 5), (many(" or "), 5), (format!("document in ({values})"), 1), (nots, 4)] {
        assert_eq!(index.count(&selector(&text), 1_000).expect("counted").letters, letters);
    }
}

#[test]
fn statistics_count_every_kind() {
    let (_folder, index) = index();
    let hour = 3_600_000;
    let samples = [
        sample("A", 100 * hour),
        sample("B", 99 * hour),
        Sample { stage: Stage::Transform, category: Category::Mapping, code: Code::Function, ..sample("C", 1) },
        Sample { flow: "other".to_owned(), ..sample("D", 100 * hour - 1) },
    ];
    for (sample, offset) in samples.iter().zip(0..) {
        index.apply(&[letter(offset, sample)]).expect("applied");
    }
    let mut unknown = state(0, &samples[3].id(), State::Open);
    unknown.record.value = Some(b"?".to_vec());
    index.apply(&[unknown, state(1, &samples[0].id(), State::Parked)]).expect("applied");
    for text in ["", "message ~ \".\""] {
        let stats = index.stats(&selector(text), 100 * hour).expect("stats");
        assert_eq!(stats.letters, 4);
        assert_eq!(stats.by_flow.values().copied().collect::<Vec<_>>(), [3, 1]);
        assert_eq!((stats.by_category[&Category::Mapping], stats.by_code[&Code::ReferenceMissing]), (1, 3));
        assert_eq!(
            stats.by_state.into_iter().collect::<Vec<_>>(),
            [(None, 1), (Some(State::Open), 2), (Some(State::Parked), 1)]
        );
        assert_eq!((stats.by_stage["load"], stats.by_stage["transform"]), (3, 1));
        let ages: Vec<(AgeBucket, u64)> = stats.by_age.into_iter().collect();
        assert_eq!(ages, [(AgeBucket::Minutes, 2), (AgeBucket::Day, 1), (AgeBucket::Week, 1)]);
        assert_eq!(stats.scan.is_some(), !text.is_empty());
    }
}

#[test]
fn more_readers_than_connections_all_get_their_answer() {
    let (_folder, index) = filled();
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..16)
            .map(|_| {
                scope.spawn(|| (0..20).map(|_| index.count(&Selector::all(), 1_000).expect("counted").letters).sum())
            })
            .collect();
        for offset in 10..40 {
            let record = sample("A", 10).record();
            index.apply(&[received(topic::DEAD_LETTERS, 0, offset, record)]).expect("applied");
        }
        for reader in readers {
            let sum: u64 = reader.join().expect("a reader");
            assert_eq!(sum, 100);
        }
    });
}

#[test]
fn a_condition_on_the_message_meets_it_as_it_is_shown() {
    let (_folder, index) = index();
    let told = |document: &str, message: &str| Sample { message: message.to_owned(), ..sample(document, 10) };
    let private = told("A", "客户 13800138000 不存在");
    index.apply(&[letter(0, &private), letter(1, &told("B", "客户 C01 不存在"))]).expect("applied");
    // Whoever guesses digit by digit learns no more than the list shows, whichever way the guess is put.
    for (text, wanted) in [
        ("message ~ \"138\"", ""),
        ("message ~ \"客户 1\"", ""),
        ("message = \"客户 13800138000 不存在\"", ""),
        ("message between \"客户 1\" and \"客户 2\"", ""),
        ("message < \"客户 1\"", "A"),
        ("message in (\"客户 *** 不存在\")", "A"),
        (r#"message ~ "客户 \\*\\*\\* ""#, "A"),
        ("message ~ \"C01\"", "B"),
        ("not message ~ \"138\"", "AB"),
    ] {
        let selector = selector(text);
        assert_eq!(documents(&index, &selector, Order::Document, false, 10).concat(), wanted, "{text}");
        let ids = index.ids(&selector, None, 10, 1_000).expect("ids").items;
        assert_eq!(ids.len(), wanted.len(), "{text}");
        let streamed = index.wanted(&private.id(), None, &selector, 1_000).expect("judged");
        assert_eq!(streamed.is_some(), wanted.contains('A'), "{text}");
    }
    let found = index.get(&private.id()).expect("read").expect("there");
    assert_eq!((found.row.message.as_str(), &found.letter.message), ("客户 *** 不存在", &private.message));
    // What it said before it failed again is kept as it was, for those who may see it.
    let again = Sample { attempts: 2, ..told("A", "客户 13900139000 不存在") };
    index.apply(&[letter(2, &again)]).expect("applied");
    assert_eq!(index.earlier(&private.id()).expect("read")[0].message, private.message);
}
