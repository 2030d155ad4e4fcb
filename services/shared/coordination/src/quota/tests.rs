use std::cmp::Reverse;
use std::collections::BinaryHeap;

use proptest::prelude::*;

use super::*;
use crate::gcra::WINDOW;
use crate::split::{Limit, PERMIT_LIFETIME};

const SECOND: i64 = 1_000_000;

/// What happens to Redis and to the way to it.
#[derive(Debug, Clone)]
struct World {
    per_minute: u32,
    replicas: u32,
    apart: bool,
    /// (replica, from, length): the replica cannot reach Redis.
    cuts: Vec<(u32, i64, i64)>,
    /// Redis forgets everything.
    flushes: Vec<i64>,
    /// Answers get lost although the script ran: each n-th.
    lost: u32,
    /// How long each call takes to reach the server, in turn.
    ways: Vec<i64>,
    until: i64,
}

/// One arrival at the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Arrival {
    at: i64,
    replay: bool,
}

/// A Redis that keeps one number per lane, in microseconds like the script.
#[derive(Default)]
struct Store {
    all: Option<i64>,
    replay: Option<i64>,
}

impl Store {
    fn ask(&mut self, shares: &Shares, lane: Lane, seen: i64, now: i64) -> (i64, i64) {
        let all = shares.shared.decide_seen(self.all, seen, now);
        let replay = shares.shared_replay.decide(self.replay, now);
        let is_replay = lane == Lane::Replay;
        let wait = if is_replay { all.wait.max(replay.wait) } else { all.wait };
        let kept = if wait == 0 { all.granted } else { all.kept };
        self.all = Some(kept);
        if is_replay {
            self.replay = Some(if wait == 0 { replay.granted } else { replay.kept });
        }
        (wait, kept)
    }
}

/// Every replica asks for permits of both lanes without end; gives back when the calls arrive.
fn run(world: &World) -> Vec<Arrival> {
    let limit = |replica| Limit { per_minute: world.per_minute, max_replicas: world.replicas, replica };
    let shares = |replica| if world.apart { limit(replica).shares_apart() } else { limit(replica).shares() };
    let mut quotas: Vec<Quota> =
        (0..world.replicas).map(|replica| Quota::new(shares(replica), world.apart, 0)).collect();
    let mut store = Store::default();
    let mut flushes = world.flushes.clone();
    flushes.sort_unstable();
    let mut flushes = flushes.into_iter().peekable();
    let mut ways = world.ways.iter().copied().cycle();
    let (mut asked, mut arrivals) = (0_u32, Vec::new());
    // At one instant replays come first: with luck always on the side of fresh work they would never have a turn.
    let mut queue: BinaryHeap<Reverse<(i64, bool, u32)>> =
        (0..world.replicas).flat_map(|replica| [Reverse((0, false, replica)), Reverse((0, true, replica))]).collect();
    while let Some(Reverse((now, is_fresh, replica))) = queue.pop() {
        let is_replay = !is_fresh;
        if now >= world.until {
            break;
        }
        while flushes.next_if(|at| *at <= now).is_some() {
            store = Store::default();
        }
        let lane = if is_replay { Lane::Replay } else { Lane::Fresh };
        let quota = &mut quotas[replica as usize];
        let mut step = quota.next(now, lane);
        if step == Step::Ask {
            let is_cut =
                world.cuts.iter().any(|(who, from, length)| *who == replica && (0..*length).contains(&(now - from)));
            asked += 1;
            let is_lost = world.lost > 0 && asked.is_multiple_of(world.lost);
            let answer = (!is_cut).then(|| store.ask(quota.shares(), lane, quota.seen(), now));
            step = match answer.filter(|_| !is_lost) {
                Some((wait, seen)) => quota.answered(wait, seen),
                None => {
                    quota.failed(now);
                    quota.next(now, lane)
                }
            };
        }
        let again = match step {
            Step::Granted => {
                let way = ways.next().unwrap_or_default();
                arrivals.push(Arrival { at: now + way, replay: is_replay });
                now
            }
            Step::Wait(wait) => now + i64::try_from(wait.as_micros()).expect("a short wait").max(1),
            Step::Ask => panic!("asked twice for one step"),
        };
        queue.push(Reverse((again, is_fresh, replica)));
    }
    arrivals.sort_unstable();
    arrivals
}

/// The most arrivals in any closed window of 60 s. Written apart from the limiter: a plain count over sorted instants.
fn fullest(arrivals: &[Arrival], only_replays: bool) -> usize {
    let times: Vec<i64> = arrivals.iter().filter(|a| a.replay || !only_replays).map(|a| a.at).collect();
    let mut first = 0;
    (0..times.len())
        .map(|last| {
            first += times[first..].iter().take_while(|at| times[last] - **at > WINDOW).count();
            last - first + 1
        })
        .max()
        .unwrap_or(0)
}

fn calm(replicas: u32) -> World {
    World {
        per_minute: 100,
        replicas,
        apart: false,
        cuts: Vec::new(),
        flushes: Vec::new(),
        lost: 0,
        ways: vec![0],
        until: 11 * WINDOW,
    }
}

/// Arrivals of ten minutes after the first, as a part of what the limit allows.
fn used(world: &World) -> f64 {
    let count = run(world).iter().filter(|arrival| arrival.at >= WINDOW).count();
    count as f64 / (f64::from(world.per_minute) * 10.0)
}

#[test]
fn one_replica_uses_85_percent_and_three_use_70_while_work_waits() {
    assert!(used(&calm(1)) >= 0.85, "{}", used(&calm(1)));
    assert!(used(&calm(3)) >= 0.70, "{}", used(&calm(3)));
    assert!(used(&World { apart: true, ..calm(1) }) >= 0.85);
}

#[test]
fn replays_get_a_fifth_and_leave_the_rest_to_fresh_work() {
    for replicas in [1, 3] {
        let arrivals = run(&calm(replicas));
        assert!(fullest(&arrivals, true) <= 20, "{}", fullest(&arrivals, true));
        let replays = arrivals.iter().filter(|arrival| arrival.replay).count();
        assert!((100..=220).contains(&replays), "{replays} replays in eleven minutes");
    }
}

#[test]
fn work_goes_on_at_once_without_redis_and_returns_to_it() {
    let cut = vec![(0, 2 * WINDOW, 2 * WINDOW)];
    let arrivals = run(&World { cuts: cut, ..calm(1) });
    let between = |from: i64, to: i64| arrivals.iter().filter(|a| (from..to).contains(&a.at)).count();
    assert!(between(2 * WINDOW, 2 * WINDOW + SECOND) >= 1, "the pool was ready");
    assert!((8..=10).contains(&between(2 * WINDOW, 4 * WINDOW)), "two minutes of a pool of five");
    assert!(between(4 * WINDOW + SECOND, 5 * WINDOW + SECOND) >= 85, "back within a second");
}

#[test]
fn a_redis_that_comes_back_with_old_data_is_corrected() {
    let shares = Limit::alone(100).shares();
    let (mut store, mut quota) = (Store::default(), Quota::new(shares, false, 0));
    let snapshot = Store { all: Some(1), replay: Some(1) };
    let mut granted = Vec::new();
    let mut now = WINDOW;
    let mut restored = Some(snapshot);
    while now < 3 * WINDOW {
        if now > 2 * WINDOW
            && let Some(old) = restored.take()
        {
            store = old;
        }
        let (wait, seen) = store.ask(&shares, Lane::Fresh, quota.seen(), now);
        match quota.answered(wait, seen) {
            Step::Granted => granted.push(Arrival { at: now, replay: false }),
            _ => now += wait,
        }
    }
    assert!(fullest(&granted, false) <= 87, "{}: no second burst", fullest(&granted, false));
}

/// A pool of one call beside a common rate that fills its part: the first call late, the next one not.
#[test]
fn a_pool_of_one_never_lets_two_into_a_minute() {
    let lifetime = PERMIT_LIFETIME.as_micros() as i64;
    let mut ways = vec![lifetime; 3];
    ways.extend([0; 13]);
    let world = World { per_minute: 37, lost: 5, ways, until: 4 * WINDOW, ..calm(1) };
    assert!(fullest(&run(&world), false) <= 37, "{}", fullest(&run(&world), false));
}

fn worlds() -> impl Strategy<Value = World> {
    let until = 4 * WINDOW;
    let lifetime = PERMIT_LIFETIME.as_micros() as i64;
    (
        (10_u32..160, 1_u32..6, prop::bool::weighted(0.1), 0_u32..12),
        prop::collection::vec((0_u32..6, 0..until, 0..90 * SECOND), 0..8),
        prop::collection::vec(0..until, 0..6),
        prop::collection::vec(prop_oneof![Just(0), Just(lifetime), 0..=lifetime], 1..20),
    )
        .prop_map(move |((per_minute, replicas, apart, lost), cuts, flushes, ways)| World {
            per_minute,
            replicas,
            apart,
            cuts,
            flushes,
            lost,
            ways,
            until,
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

    #[test]
    fn no_sliding_minute_at_the_server_ever_holds_more_than_the_limit(world in worlds()) {
        let arrivals = run(&world);
        let most = fullest(&arrivals, false);
        prop_assert!(most <= world.per_minute as usize, "{most} calls in one minute");
        let replays = fullest(&arrivals, true);
        prop_assert!(replays <= (world.per_minute as usize / 5).max(2 + world.replicas as usize), "{replays} replays");
    }
}
