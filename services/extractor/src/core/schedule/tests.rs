//! Turns: firings, missed firings, skipping and waiting, failures, clocks that jump.

use chrono_tz::Tz;
use chrono_tz::{Asia::Shanghai, Europe::Berlin};

use super::*;

/// 2024-03-14 16:00:00 in Shanghai.
const NOON: i64 = 1_710_403_200;
const FIVE: i64 = 300;

fn flow(name: &str) -> FlowName {
    FlowName::new(name).expect("valid")
}

fn timing(cron: &str, zone: Tz, when_running: WhenRunning) -> Timing {
    Timing { scan: Plan::new(cron, zone).expect("a cron"), lookback: None, windows: true, when_running }
}

fn checkpoint(fired: Option<i64>) -> Checkpoint {
    Checkpoint { fired, ..Checkpoint::new(0, "c") }
}

fn board(cron: &str, zone: Tz, when: WhenRunning, fired: Option<i64>, now: i64) -> Board {
    let mut board = Board::default();
    board.put(flow("a"), timing(cron, zone, when), &checkpoint(fired), now, false);
    board
}

fn let_rest(board: &mut Board, names: &[&str]) -> Vec<FlowName> {
    board.rest(names.iter().map(|name| flow(name)).collect())
}

fn fired(board: &mut Board, now: i64) -> Vec<Option<i64>> {
    board.tick(now, Duration::ZERO).into_iter().map(|due| due.fired).collect()
}

#[test]
fn a_new_flow_waits_for_its_next_firing_unless_wished() {
    let mut plain = board("*/5 * * * *", Shanghai, WhenRunning::Skip, None, NOON + 1);
    assert_eq!(fired(&mut plain, NOON + FIVE - 1), []);
    assert_eq!(fired(&mut plain, NOON + FIVE), [Some(NOON + FIVE)]);
    let mut wished = Board::default();
    let timing = timing("*/5 * * * *", Shanghai, WhenRunning::Skip);
    wished.put(flow("a"), timing.clone(), &checkpoint(None), NOON + 1, true);
    assert_eq!(fired(&mut wished, NOON + 1), [None]);
    // A scan that was cut off goes on at once.
    let mut cut = Board::default();
    let scan = Some(crate::core::checkpoint::ScanMark { t0: None, run_time: 0, since: 0, cursor: None });
    cut.put(flow("a"), timing, &Checkpoint { scan, ..checkpoint(Some(NOON)) }, NOON + 1, false);
    assert_eq!(fired(&mut cut, NOON + 1), [None]);
}

#[test]
fn firings_missed_while_down_run_once() {
    let mut board = board("*/5 * * * *", Shanghai, WhenRunning::Skip, Some(NOON), NOON + 86_400 + 7);
    assert_eq!(fired(&mut board, NOON + 86_400 + 7), [Some(NOON + 86_400)]);
    board.ended(&flow("a"), Ended::Complete);
    assert_eq!(fired(&mut board, NOON + 86_400 + 8), []);
    assert_eq!(fired(&mut board, NOON + 86_400 + FIVE), [Some(NOON + 86_400 + FIVE)]);
}

#[test]
fn a_firing_during_a_run_is_left_out_or_waits() {
    for (when, after) in [(WhenRunning::Skip, vec![]), (WhenRunning::Wait, vec![Some(NOON + 3 * FIVE)])] {
        let mut board = board("*/5 * * * *", Shanghai, when, Some(NOON), NOON + 1);
        assert_eq!(fired(&mut board, NOON + FIVE), [Some(NOON + FIVE)]);
        assert_eq!(fired(&mut board, NOON + 2 * FIVE), []);
        assert_eq!(fired(&mut board, NOON + 3 * FIVE + 1), []);
        board.ended(&flow("a"), Ended::Complete);
        assert_eq!(fired(&mut board, NOON + 3 * FIVE + 2), after, "{when:?}");
    }
}

#[test]
fn a_failed_run_keeps_its_firing_and_waits_by_the_stopwatch() {
    let mut board = board("0 3 * * *", Shanghai, WhenRunning::Skip, Some(NOON), NOON + 1);
    let three = NOON + 11 * 3_600;
    assert_eq!(fired(&mut board, three), [Some(three)]);
    board.ended(&flow("a"), Ended::Retry(Duration::from_secs(8)));
    assert_eq!(board.tick(three + 8, Duration::from_secs(7)), []);
    assert_eq!(board.tick(three + 8, Duration::from_secs(8)).len(), 1);
    board.ended(&flow("a"), Ended::Stopped);
    assert!(board.is_stopped(&flow("a")));
    assert_eq!(fired(&mut board, three + 86_400), []);
}

#[test]
fn a_run_that_failed_after_a_left_out_firing_is_tried_again_all_the_same() {
    let mut board = board("*/5 * * * *", Shanghai, WhenRunning::Skip, Some(NOON), NOON + 1);
    assert_eq!(fired(&mut board, NOON + FIVE), [Some(NOON + FIVE)]);
    assert_eq!(fired(&mut board, NOON + 2 * FIVE), []);
    board.ended(&flow("a"), Ended::Retry(Duration::ZERO));
    assert_eq!(fired(&mut board, NOON + 2 * FIVE + 1), [None]);
}

#[test]
fn a_clock_set_back_delays_and_never_floods() {
    let mut board = board("*/5 * * * *", Shanghai, WhenRunning::Skip, Some(NOON), NOON + 1);
    let tomorrow = NOON + 86_400;
    assert_eq!(fired(&mut board, tomorrow), [Some(tomorrow)]);
    board.ended(&flow("a"), Ended::Complete);
    assert_eq!(fired(&mut board, NOON + 2), []);
    assert_eq!(fired(&mut board, NOON + FIVE), [Some(NOON + FIVE)]);
}

#[test]
fn nights_with_a_change_of_clocks_fire_once() {
    // Berlin, 2024-03-31: 02:00 becomes 03:00, at 01:00 UTC.
    let change = 1_711_846_800;
    let mut forward = board("30 2 * * *", Berlin, WhenRunning::Skip, Some(change - 7_200), change - 3_600);
    assert_eq!(fired(&mut forward, change - 1), []);
    assert_eq!(fired(&mut forward, change), [Some(change)]);
    forward.ended(&flow("a"), Ended::Complete);
    assert_eq!(fired(&mut forward, change + 7_200), []);
    // Berlin, 2024-10-27: 03:00 becomes 02:00, at 01:00 UTC.
    let back = 1_729_990_800;
    let mut board = board("30 2 * * *", Berlin, WhenRunning::Skip, Some(back - 7_200), back - 3_600);
    assert_eq!(fired(&mut board, back - 1_800), [Some(back - 1_800)]);
    board.ended(&flow("a"), Ended::Complete);
    assert_eq!(fired(&mut board, back + 1_800), []);
    assert_eq!(fired(&mut board, back + 12 * 3_600), []);
}

#[test]
fn the_longest_overdue_goes_first_and_a_lookback_only_after_a_scan() {
    let mut board = Board::default();
    let every = |cron: &str| timing(cron, Shanghai, WhenRunning::Skip);
    board.put(flow("a"), every("*/5 * * * *"), &checkpoint(Some(NOON)), NOON, false);
    board.put(flow("b"), every("2 * * * *"), &checkpoint(Some(NOON)), NOON, false);
    let looks = Timing { lookback: Some(Plan::new("*/2 * * * *", Shanghai).expect("a cron")), ..every("0 3 * * *") };
    board.put(flow("c"), looks.clone(), &checkpoint(Some(NOON)), NOON, false);
    let due: Vec<String> = board.tick(NOON + FIVE, Duration::ZERO).iter().map(|due| due.flow.to_string()).collect();
    assert_eq!(due, ["b", "a"]);
    let scanned = Checkpoint { completed: Some(NOON), looked_back: Some(NOON), ..checkpoint(Some(NOON)) };
    board.put(flow("c"), looks, &scanned, NOON, false);
    let due = board.tick(NOON + 2 * FIVE, Duration::ZERO);
    assert_eq!(due, [Due { flow: flow("c"), kind: Kind::Lookback, fired: Some(NOON + 2 * FIVE) }]);
}

#[test]
fn a_wish_runs_after_the_run_under_way() {
    let mut board = board("0 3 * * *", Shanghai, WhenRunning::Skip, Some(NOON), NOON);
    assert!(board.wish(&flow("a"), Kind::Scan));
    assert_eq!(fired(&mut board, NOON + 1), [None]);
    assert!(board.wish(&flow("a"), Kind::Scan));
    assert_eq!(fired(&mut board, NOON + 2), []);
    board.ended(&flow("a"), Ended::Complete);
    assert_eq!(fired(&mut board, NOON + 3), [None]);
    assert!(!board.wish(&flow("a"), Kind::Lookback));
    assert!(!board.wish(&flow("nowhere"), Kind::Scan));
}

#[test]
fn nothing_of_a_flow_that_rests_is_due_and_what_it_missed_runs_once_afterwards() {
    let mut board = board("*/5 * * * *", Shanghai, WhenRunning::Skip, Some(NOON), NOON + 1);
    assert_eq!(let_rest(&mut board, &["a", "elsewhere"]), [flow("a"), flow("elsewhere")]);
    assert_eq!(let_rest(&mut board, &["a"]), [flow("elsewhere")]);
    assert_eq!(fired(&mut board, NOON + 86_400), []);
    // Taken on again, as another version or by another owner, it still rests.
    board.put(flow("a"), timing("*/5 * * * *", Shanghai, WhenRunning::Skip), &checkpoint(Some(NOON)), NOON, true);
    assert_eq!(fired(&mut board, NOON + 86_400), []);
    assert_eq!(let_rest(&mut board, &[]), [flow("a")]);
    assert_eq!(fired(&mut board, NOON + 86_400 + 7), [Some(NOON + 86_400)]);
    board.ended(&flow("a"), Ended::Complete);
    assert_eq!(fired(&mut board, NOON + 86_400 + 8), []);
}

#[test]
fn a_wish_waits_while_its_flow_rests() {
    let scanned = Checkpoint { completed: Some(NOON), ..checkpoint(Some(NOON)) };
    let daily = |cron| Plan::new(cron, Shanghai).expect("a cron");
    let both = Timing { lookback: Some(daily("0 4 * * *")), ..timing("0 3 * * *", Shanghai, WhenRunning::Skip) };
    for kind in [Kind::Scan, Kind::Lookback] {
        let mut board = Board::default();
        board.put(flow("a"), both.clone(), &scanned, NOON, false);
        let_rest(&mut board, &["a"]);
        assert!(board.wish(&flow("a"), kind));
        assert_eq!(fired(&mut board, NOON + 1), []);
        // Another version of the flow does not forget it.
        board.put(flow("a"), both.clone(), &scanned, NOON, false);
        let_rest(&mut board, &[]);
        assert_eq!(board.tick(NOON + 2, Duration::ZERO), [Due { flow: flow("a"), kind, fired: None }]);
    }
}

#[test]
fn a_run_that_ended_early_for_its_flow_to_rest_goes_on_afterwards() {
    let mut board = board("*/5 * * * *", Shanghai, WhenRunning::Skip, Some(NOON), NOON + 1);
    assert_eq!(fired(&mut board, NOON + FIVE), [Some(NOON + FIVE)]);
    let_rest(&mut board, &["a"]);
    board.ended(&flow("a"), Ended::Retry(Duration::ZERO));
    assert_eq!(fired(&mut board, NOON + FIVE + 1), []);
    let_rest(&mut board, &[]);
    assert_eq!(fired(&mut board, NOON + FIVE + 2), [Some(NOON + FIVE)]);
}

#[test]
fn windows_run_one_after_another_when_nothing_else_is_due_and_each_until_it_is_complete() {
    let mut board = board("*/5 * * * *", Shanghai, WhenRunning::Skip, Some(NOON), NOON);
    let window = |from| Kind::Window(Window { from, to: NOON, again: false, part: None });
    for from in [1, 2, 1] {
        assert!(board.wish(&flow("a"), window(from)));
    }
    let mut next = |ended| {
        let due = board.tick(NOON + FIVE, Duration::ZERO);
        board.ended(&flow("a"), ended);
        due.first().map(|due| due.kind)
    };
    assert_eq!(next(Ended::Complete), Some(Kind::Scan));
    assert_eq!(next(Ended::Retry(Duration::ZERO)), Some(window(1)));
    assert_eq!(next(Ended::Complete), Some(window(1)));
    assert_eq!(next(Ended::Complete), Some(window(2)));
    assert_eq!(next(Ended::Complete), None);
}

#[test]
fn a_window_that_is_asked_for_again_and_again_waits_once() {
    let mut board = board("*/5 * * * *", Shanghai, WhenRunning::Skip, Some(NOON), NOON);
    let window = Window { from: 1, to: NOON, again: false, part: None };
    for _ in 0..9 {
        assert!(board.wish(&flow("a"), Kind::Window(window)));
    }
    let waiting = board.flows.get(&flow("a")).and_then(|entry| entry.windows.clone());
    assert_eq!(waiting, Some(VecDeque::from([window])));
}

#[test]
fn a_window_that_keeps_a_pace_holds_up_nothing_else() {
    let mut board = board("*/5 * * * *", Shanghai, WhenRunning::Skip, Some(NOON), NOON);
    let window = Kind::Window(Window { from: 1, to: 2, again: false, part: None });
    assert!(board.wish(&flow("a"), window));
    let kinds = |board: &mut Board, now, seconds| -> Vec<Kind> {
        board.tick(now, Duration::from_secs(seconds)).into_iter().map(|due| due.kind).collect()
    };
    assert_eq!(kinds(&mut board, NOON, 10), [window]);
    board.ended(&flow("a"), Ended::Paced(Duration::from_secs(400)));
    assert_eq!(kinds(&mut board, NOON + 200, 210), []);
    assert_eq!(kinds(&mut board, NOON + FIVE, 310), [Kind::Scan]);
    board.ended(&flow("a"), Ended::Complete);
    // A run of another kind does not shorten its wait, and another version of the flow neither.
    board.put(flow("a"), timing("0 3 * * *", Shanghai, WhenRunning::Skip), &checkpoint(Some(NOON)), NOON, false);
    assert_eq!(kinds(&mut board, NOON + FIVE, 399), []);
    assert_eq!(kinds(&mut board, NOON + FIVE, 400), [window]);
}

#[test]
fn a_flow_without_a_watermark_date_has_no_windows() {
    let mut board = Board::default();
    let timing = Timing { windows: false, ..timing("0 3 * * *", Shanghai, WhenRunning::Skip) };
    board.put(flow("a"), timing, &checkpoint(Some(NOON)), NOON, false);
    assert!(!board.wish(&flow("a"), Kind::Window(Window { from: 1, to: 2, again: false, part: None })));
}

#[test]
fn of_a_flow_that_was_let_go_nothing_is_due_and_no_wish_is_taken() {
    let mut board = board("*/5 * * * *", Shanghai, WhenRunning::Skip, Some(NOON), NOON);
    board.put(flow("b"), timing("*/5 * * * *", Shanghai, WhenRunning::Skip), &checkpoint(Some(NOON)), NOON, false);
    board.remove(&flow("a"));
    assert_eq!(board.flows().collect::<Vec<_>>(), [&flow("b")]);
    assert!(!board.wish(&flow("a"), Kind::Scan));
    let due: Vec<FlowName> = board.tick(NOON + FIVE, Duration::ZERO).into_iter().map(|due| due.flow).collect();
    assert_eq!(due, [flow("b")]);
}

#[test]
fn the_first_lookback_waits_for_a_complete_scan_and_neither_a_window_nor_a_failed_scan_is_one() {
    let mut board = Board::default();
    let looks = Some(Plan::new("*/5 * * * *", Shanghai).expect("a cron"));
    let timing = Timing { lookback: looks, ..timing("0 3 * * *", Shanghai, WhenRunning::Skip) };
    board.put(flow("a"), timing, &checkpoint(Some(NOON)), NOON, false);
    let window = Kind::Window(Window { from: 1, to: 2, again: false, part: None });
    let mut next = |wish: Option<Kind>, ended| {
        assert!(wish.is_none_or(|kind| board.wish(&flow("a"), kind)));
        let due = board.tick(NOON + FIVE, Duration::ZERO);
        board.ended(&flow("a"), ended);
        due.first().map(|due| due.kind)
    };
    assert_eq!(next(Some(window), Ended::Complete), Some(window));
    assert_eq!(next(None, Ended::Complete), None);
    assert_eq!(next(Some(Kind::Scan), Ended::Retry(Duration::ZERO)), Some(Kind::Scan));
    assert_eq!(next(None, Ended::Complete), Some(Kind::Scan));
    assert_eq!(next(None, Ended::Complete), Some(Kind::Lookback));
}

#[test]
fn each_kind_of_run_has_a_word_of_its_own_in_metrics_and_logs() {
    let window = Kind::Window(Window { from: 1, to: 2, again: false, part: None });
    assert_eq!([Kind::Scan, Kind::Lookback, window].map(Kind::as_str), ["scan", "lookback", "window"]);
}

#[test]
fn whoever_asks_is_told_whether_a_flow_runs_rests_or_was_stopped() {
    let mut board = board("*/5 * * * *", Shanghai, WhenRunning::Skip, Some(NOON), NOON);
    let told = |board: &Board| {
        let name = flow("a");
        (board.is_running(&name), board.is_resting(&name), board.is_stopped(&name))
    };
    assert_eq!(told(&board), (false, false, false));
    assert_eq!(fired(&mut board, NOON + FIVE).len(), 1);
    assert_eq!(told(&board), (true, false, false));
    let_rest(&mut board, &["a"]);
    assert_eq!(told(&board), (true, true, false));
    board.ended(&flow("a"), Ended::Stopped);
    let_rest(&mut board, &[]);
    assert_eq!(told(&board), (false, false, true));
}
