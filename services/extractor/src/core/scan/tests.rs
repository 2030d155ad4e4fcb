//! Paging, by hand-made pages and against the deterministic source.

use document::Code;
use serde_json::json;

use super::*;
use crate::core::columns::Columns;
use crate::core::run::{Ask, Scope};
use crate::core::sim::{NOON, Source, columns};

fn ask(position: Position, limit: u32) -> Ask {
    Ask { heads: false, lookback: false, scope: Scope::Window, position, limit, since: 0, run_time: NOON }
}

/// Runs a scan to its end; `between` may change the source before each call (given the number of the call).
fn run(source: &mut Source, limit: u32, mut between: impl FnMut(u32, &mut Source)) -> Result<Vec<Bill>, Rejected> {
    let mut scan = Scan::new(Position::Start, limit, true, 1 << 20);
    let mut bills = Vec::new();
    while let Some(position) = scan.next() {
        between(source.calls, source);
        let answer = source.answer(&ask(position, limit));
        bills.extend(scan.accept(columns().read(answer.rows)?)?);
    }
    Ok(bills)
}

/// Id and quantities of each bill.
fn content(bills: &[Bill]) -> Vec<(i64, Vec<i64>)> {
    let id = |bill: &Bill| match bill.key {
        Key::Integer(id) => id,
        Key::Text(_) => panic!("ids are numbers"),
    };
    bills.iter().map(|bill| (id(bill), bill.rows.iter().filter_map(|row| row[2].as_i64()).collect())).collect()
}

fn source(sizes: &[usize]) -> Source {
    let mut source = Source::at(NOON);
    for (at, size) in sizes.iter().enumerate() {
        let id = i64::try_from(at).expect("few") + 1;
        let quantities: Vec<i64> = (0..*size).map(|line| id * 100 + i64::try_from(line).expect("few")).collect();
        source.add(id, &quantities);
    }
    source
}

fn expected(source: &Source) -> Vec<(i64, Vec<i64>)> {
    source.bills.iter().map(|(id, bill)| (*id, bill.lines.iter().map(|line| line.1).collect())).collect()
}

#[test]
fn nothing_new_costs_one_call() {
    let mut source = source(&[]);
    assert_eq!(run(&mut source, 500, |_, _| ()), Ok(Vec::new()));
    assert_eq!(source.calls, 1);
}

#[test]
fn one_short_page_costs_three_calls() {
    let mut source = source(&[2, 3, 1]);
    let bills = run(&mut source, 500, |_, _| ()).expect("a scan");
    assert_eq!(content(&bills), expected(&source));
    assert_eq!(source.calls, 3);
}

#[test]
fn every_page_size_and_clamp_reads_every_bill_once_and_whole() {
    for limit in 1..=12 {
        for clamp in 1..=12 {
            let mut source = source(&[1, 4, 1, 1, 7, 2, 3, 1]);
            source.clamp = Some(clamp);
            let bills = run(&mut source, limit, |_, _| ()).expect("a scan");
            assert_eq!(content(&bills), expected(&source), "limit {limit}, clamp {clamp}");
        }
    }
}

#[test]
fn the_corpus_of_five_thousand_bills_takes_23_calls_and_a_clamped_server_one_more() {
    // 5,009 bills of 9,994 lines, as many as the order file has: 1 to 3 lines each.
    let mut sizes = vec![2; 5_009];
    for size in sizes.iter_mut().step_by(3) {
        *size = 3;
    }
    for size in sizes.iter_mut().skip(1).step_by(3) {
        *size = 1;
    }
    let surplus = sizes.iter().sum::<usize>() - 9_994;
    for size in sizes.iter_mut().filter(|size| **size == 3).take(surplus) {
        *size = 2;
    }
    let mut at_500 = source(&sizes);
    assert_eq!(at_500.bills.values().map(|bill| bill.lines.len()).sum::<usize>(), 9_994);
    let bills = run(&mut at_500, 500, |_, _| ()).expect("a scan");
    assert_eq!(content(&bills), expected(&at_500));
    assert_eq!(at_500.calls, 23);

    // Asked for 2,000 rows a page, the server gives 500.
    let mut clamped = source(&sizes);
    clamped.clamp = Some(500);
    let bills = run(&mut clamped, 2_000, |_, _| ()).expect("a scan");
    assert_eq!(content(&bills), expected(&clamped));
    assert_eq!(clamped.calls, 24);
}

#[test]
fn a_bill_larger_than_a_page_is_read_to_its_end_and_checked() {
    let mut source = source(&[1, 10_000, 1]);
    let bills = run(&mut source, 500, |_, _| ()).expect("a scan");
    assert_eq!(content(&bills), expected(&source));
    // Page 1; the big bill's first page; 19 more and an empty one; the check; behind it; the end and its check.
    assert_eq!(source.calls, 1 + 1 + 19 + 1 + 1 + 1 + 2);
}

#[test]
fn a_large_bill_that_moves_while_it_is_read_is_read_again() {
    let mut source = source(&[1, 9, 1]);
    let bills = run(&mut source, 3, |call, source| {
        if call == 3 {
            source.now += 1;
            source.change(2, &[1, 2, 3, 4, 5]);
        }
    })
    .expect("a scan");
    assert_eq!(content(&bills), [(1, vec![100]), (2, vec![1, 2, 3, 4, 5]), (3, vec![300])]);
}

#[test]
fn a_bill_cut_by_a_clamp_and_shortened_meanwhile_is_never_torn() {
    // The server gives two rows a page though 500 are asked for: the third line of bill 1 is cut off, and then the
    // bill is changed so that nothing lies behind the cut any more.
    let mut source = source(&[3]);
    source.clamp = Some(2);
    let bills = run(&mut source, 500, |call, source| {
        if call == 1 {
            source.now += 1;
            let bill = source.bills.get_mut(&1).expect("there");
            bill.lines.truncate(2);
            bill.lines[0].1 = 7;
            bill.approved = source.now;
            bill.stamp = crate::core::window::local(source.now, crate::core::sim::ZONE);
        }
    })
    .expect("a scan");
    assert_eq!(content(&bills), [(1, vec![7, 101])]);
}

#[test]
fn a_bill_that_never_rests_ends_the_scan_with_an_error() {
    let mut source = source(&[9]);
    let moved = run(&mut source, 3, |_, source| {
        source.now += 1;
        source.change(1, &[1, 2, 3, 4, 5]);
    });
    assert_eq!(moved, Err(Rejected::KeepsMoving { key: Key::Integer(1) }));
    let fault = moved.expect_err("moving").fault("misc");
    assert_eq!((fault.code, fault.place.record.as_deref()), (Code::SourceMoving, Some("misc")));
}

#[test]
fn rows_that_enter_and_leave_while_paging_shift_nothing() {
    let mut source = source(&[2; 20]);
    let bills = run(&mut source, 5, |call, source| {
        if call % 3 == 1 {
            source.bills.remove(&i64::from(call / 3));
            source.add(100 + i64::from(call), &[1]);
        }
        if call > 30 {
            source.clamp = Some(500);
        }
    });
    let ids: Vec<i64> = content(&bills.expect("a scan")).iter().map(|(id, _)| *id).collect();
    for id in 1..=20 {
        // Only bills removed before they were read may be missing: those were read long before.
        assert!(ids.contains(&id) || !source.bills.contains_key(&id), "{id} in {ids:?}");
    }
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
}

#[test]
fn a_bill_over_the_limit_keeps_only_its_size() {
    let mut source = source(&[1, 400, 1]);
    let mut scan = Scan::new(Position::Start, 50, true, 2_000);
    let mut bills = Vec::new();
    while let Some(position) = scan.next() {
        let answer = source.answer(&ask(position, 50));
        bills.extend(scan.accept(columns().read(answer.rows).expect("rows")).expect("in order"));
    }
    assert_eq!(bills.len(), 3);
    assert!(bills[1].oversized.is_some_and(|bytes| bytes > 10_000));
    assert_eq!((bills[1].rows.len(), bills[0].oversized, bills[2].oversized), (1, None, None));
}

#[test]
fn the_size_of_a_bill_over_the_limit_counts_its_first_page_too() {
    let rows: Vec<Row> = (1..=6).map(|line| row(1, line)).collect();
    let bytes = rows.iter().map(size).sum::<u64>();
    for (limit, oversized) in [(bytes - 1, Some(bytes)), (bytes, None)] {
        let mut scan = Scan::new(Position::Start, 2, true, limit);
        let mut bills = Vec::new();
        for page in [&rows[..2], &rows[2..4], &rows[4..], &[], &rows[..2]] {
            bills.extend(scan.accept(page.to_vec()).expect("in order"));
        }
        assert_eq!(bills.iter().map(|bill| bill.oversized).collect::<Vec<_>>(), [oversized]);
        assert_eq!(bills[0].rows.len(), if oversized.is_some() { 1 } else { rows.len() });
    }
}

#[test]
fn of_a_bill_over_the_limit_no_more_than_its_first_page_is_in_memory_while_it_is_read() {
    let rows: Vec<Row> = (1..=6).map(|line| row(1, line)).collect();
    let mut scan = Scan::new(Position::Start, 2, true, rows[..3].iter().map(size).sum());
    for page in [&rows[..2], &rows[2..4], &rows[4..]] {
        assert_eq!(scan.accept(page.to_vec()), Ok(Vec::new()));
    }
    let State::Rest { held, .. } = &scan.state else { panic!("more lines may come") };
    assert_eq!(held.rows, rows[..2]);
}

#[test]
fn a_bill_may_move_eight_times_under_the_reading_and_not_nine() {
    let mut scan = Scan::new(Position::Start, 10, true, 1 << 20);
    let quantity = |quantity: u32| vec![Row { cells: vec![json!(quantity)], ..row(1, 1) }];
    for moves in 0..=MAX_MOVES {
        assert_eq!(scan.accept(quantity(moves)), Ok(Vec::new()));
        assert_eq!(scan.accept(Vec::new()), Ok(Vec::new()));
        assert_eq!(scan.accept(quantity(moves + 1)).is_ok(), moves < MAX_MOVES, "move {}", moves + 1);
    }
}

#[test]
fn a_full_page_that_ends_in_a_bill_without_lines_goes_on_from_it_and_one_that_is_that_bill_behind_it() {
    let without_lines = |id| Row { entry: None, ..row(id, 0) };
    let key = Key::Integer(2);
    let mut scan = Scan::new(Position::Start, 2, true, 1 << 20);
    assert_eq!(scan.accept(vec![row(1, 1), without_lines(2)]).map(|bills| bills.len()), Ok(1));
    assert_eq!(scan.next(), Some(Position::From(key.clone())));
    let mut scan = Scan::new(Position::Start, 1, true, 1 << 20);
    assert_eq!(scan.accept(vec![without_lines(2)]), Ok(Vec::new()));
    assert_eq!(scan.next(), Some(Position::Only(key.clone())));
    assert_eq!(scan.accept(vec![without_lines(2)]).map(|bills| bills.len()), Ok(1));
    assert_eq!(scan.next(), Some(Position::After(key)));
}

#[test]
fn heads_alone_end_with_one_empty_page() {
    let mut source = source(&[1; 7]);
    let mut scan = Scan::new(Position::Start, 3, false, 1 << 20);
    let header = Columns::header("FID", Some("FApproveDate"));
    let mut ids = Vec::new();
    while let Some(position) = scan.next() {
        let answer = source.answer(&Ask { heads: true, ..ask(position, 3) });
        ids.extend(scan.accept(header.read(answer.rows).expect("rows")).expect("in order").into_iter().map(|b| b.key));
    }
    assert_eq!(ids, (1..=7).map(Key::Integer).collect::<Vec<_>>());
    assert_eq!(source.calls, 4);
}

fn row(id: i64, line: i64) -> Row {
    Row {
        key: Some(Key::Integer(id)),
        entry: Some(Key::Integer(line)),
        stamp: None,
        created: None,
        cells: vec![json!(line)],
    }
}

fn accept(position: Position, rows: Vec<Row>) -> Result<Vec<Bill>, Rejected> {
    Scan::new(position, 10, true, 1 << 20).accept(rows)
}

#[test]
fn ids_going_down_are_refused_with_their_row() {
    let rejected = accept(Position::Start, vec![row(1, 1), row(3, 2), row(2, 3)]).expect_err("down");
    assert_eq!(rejected, Rejected::GoesDown { row: 2, before: "3".to_owned(), after: "2".to_owned() });
    let fault = rejected.fault("misc");
    assert_eq!((fault.code, fault.place.path.as_deref()), (Code::SourceOrder, Some("$[2]")));
    let lines = accept(Position::Start, vec![row(1, 2), row(1, 1)]).expect_err("lines down");
    assert_eq!(lines.code(), Code::SourceOrder);
    let back = ["a", "b", "a"].map(|id| Row { key: Some(Key::Text(id.to_owned())), ..row(0, 1) });
    assert_eq!(accept(Position::Start, back.to_vec()).map_err(|r| r.code()), Err(Code::SourceOrder));
}

#[test]
fn a_source_that_leaves_the_filter_aside_is_refused() {
    let rejected = accept(Position::After(Key::Integer(5)), vec![row(5, 1)]).expect_err("not behind 5");
    assert_eq!(rejected, Rejected::Outside { row: 0, key: Key::Integer(5) });
    assert_eq!(rejected.fault("misc").code, Code::SourceOrder);
    assert!(accept(Position::From(Key::Integer(5)), vec![row(5, 1)]).is_ok());
}

#[test]
fn only_rows_of_what_was_asked_for_are_taken() {
    let (bill, line) = (Key::Integer(5), Key::Integer(3));
    let rest = Position::Rest { key: bill.clone(), entry: line.clone() };
    let beyond = |entry| Position::Beyond { key: bill.clone(), entry };
    let named = Row { key: Some(Key::Text("5".to_owned())), ..row(5, 4) };
    let line_named = Row { entry: Some(Key::Text("4".to_owned())), ..row(5, 4) };
    let without_lines = Row { entry: None, ..row(5, 0) };
    for (position, inside, outside) in [
        (Position::From(bill.clone()), vec![row(5, 1), row(6, 1)], vec![row(4, 9), named.clone()]),
        (Position::After(bill.clone()), vec![row(6, 1)], vec![row(5, 9), row(4, 9), named.clone()]),
        (Position::Only(bill.clone()), vec![row(5, 1)], vec![row(4, 9), row(6, 1), named.clone()]),
        (
            rest,
            vec![row(5, 4)],
            vec![row(5, 3), row(5, 2), row(6, 4), row(4, 4), line_named.clone(), without_lines.clone()],
        ),
        (
            beyond(Some(line)),
            vec![row(5, 4), row(6, 1)],
            vec![row(5, 3), row(5, 2), row(4, 9), named, line_named, without_lines.clone()],
        ),
        (beyond(None), vec![row(5, 1), row(6, 1)], vec![row(4, 9), without_lines]),
    ] {
        for row in inside {
            assert!(accept(position.clone(), vec![row.clone()]).is_ok(), "{row:?} for {position:?}");
        }
        for row in outside {
            let refused = accept(position.clone(), vec![row.clone()]).map_err(|rejected| rejected.code());
            assert_eq!(refused, Err(Code::SourceOrder), "{row:?} for {position:?}");
        }
    }
}

#[test]
fn a_row_without_a_line_stands_before_the_lines_of_its_bill_and_not_behind_them() {
    let without_line = Row { entry: None, ..row(1, 0) };
    assert!(accept(Position::Start, vec![without_line.clone(), row(1, 1)]).is_ok());
    let behind = accept(Position::Start, vec![row(1, 1), without_line]).map_err(|rejected| rejected.code());
    assert_eq!(behind, Err(Code::SourceOrder));
}

#[test]
fn a_line_twice_and_a_head_in_several_rows_are_refused() {
    let twice = accept(Position::Start, vec![row(1, 1), row(1, 1)]).expect_err("twice");
    assert_eq!(twice, Rejected::LineTwice { row: 1, key: Key::Integer(1), entry: "1".to_owned() });
    assert_eq!(twice.code(), Code::SourceRepeatedPage);
    let heads = Scan::new(Position::Start, 10, false, 1 << 20).accept(vec![row(1, 1), row(1, 2)]).expect_err("heads");
    let fault = heads.fault("misc");
    assert_eq!((fault.code, fault.place.path.as_deref()), (Code::SourceEntryKey, Some("$[1]")));
}

#[test]
fn a_row_counts_as_many_bytes_as_its_json_with_a_comma_behind_each_value() {
    let bytes = |cells: Vec<Value>| size(&Row { key: None, entry: None, stamp: None, created: None, cells });
    let json = |cells: &[Value]| cells.iter().map(|cell| cell.to_string().len() as u64 + 1).sum::<u64>();
    let cells = vec![json!(null), json!(true), json!(1_234), json!("B7"), json!([10, 20])];
    assert_eq!(bytes(cells.clone()), json(&cells));
    // A member's comma is counted with its name once more.
    let object = vec![json!({"number": "B7", "lines": [10, 20]})];
    assert_eq!(bytes(object.clone()), json(&object) + 2);
}
