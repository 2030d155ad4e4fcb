use std::sync::{Arc, Mutex};
use std::time::Duration;

use coordination::gcra::{Rate, WINDOW};
use coordination::{Lane, Limit, Limiter, RedisSettings};
use tokio::time::Instant;

use super::redis_server::RedisServer;

/// High enough that seconds of a test hold many calls: 50 a second.
const FAST: u32 = 3000;

fn limit(replica: u32, max_replicas: u32) -> Limit {
    Limit { per_minute: FAST, max_replicas, replica }
}

fn limiter(server: &RedisServer) -> Limiter {
    Limiter::connect(Some(&RedisSettings::at(server.url()))).expect("good settings")
}

/// Callers that take permits without end, and when they got them.
struct Work {
    start: Instant,
    taken: Arc<Mutex<Vec<(Duration, Lane)>>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Drop for Work {
    fn drop(&mut self) {
        self.tasks.iter().for_each(|task| task.abort());
    }
}

impl Work {
    fn begin(limiters: &[Limiter], lanes: &[Lane]) -> Self {
        let (start, taken) = (Instant::now(), Arc::<Mutex<Vec<_>>>::default());
        let mut tasks = Vec::new();
        for (replica, limiter) in limiters.iter().enumerate() {
            let limit = limit(replica as u32, limiters.len() as u32);
            for lane in lanes {
                let (limiter, taken, lane) = (limiter.clone(), taken.clone(), *lane);
                tasks.push(tokio::spawn(async move {
                    loop {
                        limiter.permit("acct", &limit, lane).await;
                        taken.lock().expect("a list").push((start.elapsed(), lane));
                    }
                }));
            }
        }
        Self { start, taken, tasks }
    }

    fn between(&self, from: f64, to: f64, lane: Option<Lane>) -> usize {
        let taken = self.taken.lock().expect("a list");
        let inside = |at: &Duration| (from..to).contains(&at.as_secs_f64());
        taken.iter().filter(|(at, of)| inside(at) && lane.is_none_or(|lane| lane == *of)).count()
    }

    async fn until(&self, seconds: f64) {
        tokio::time::sleep_until(self.start + Duration::from_secs_f64(seconds)).await;
    }

    /// Waits until the limiter goes by Redis again. Gives the second at which it does.
    async fn found_again(&self, limiter: &Limiter) -> f64 {
        while limiter.is_degraded("acct") {
            assert!(self.start.elapsed() < Duration::from_secs(60), "redis is not found again");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.start.elapsed().as_secs_f64()
    }

    /// The most permits in any window of one second: all rates of one second, and both bursts.
    fn fullest_second(&self) -> usize {
        let taken = self.taken.lock().expect("a list");
        let times: Vec<f64> = taken.iter().map(|(at, _)| at.as_secs_f64()).collect();
        times.iter().map(|end| times.iter().filter(|at| (0.0..=1.0).contains(&(end - **at))).count()).max().unwrap_or(0)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_gets_its_rate_and_replays_their_fifth() {
    let server = RedisServer::start().await;
    let work = Work::begin(&[limiter(&server)], &[Lane::Fresh, Lane::Replay]);
    work.until(6.0).await;
    // 3000 a minute: 2564 in common, 42.7 a second.
    // The start is empty, so no pause of this machine can be made up for beyond the rate from the very beginning.
    let all = work.between(0.0, 6.0, None);
    assert!((225..=258).contains(&all), "{all} permits in six seconds");
    let replays = work.between(1.0, 6.0, Some(Lane::Replay));
    assert!((10..=45).contains(&replays), "{replays} replays in five seconds");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_processes_share_one_rate_fairly() {
    let server = RedisServer::start().await;
    let limiters = [limiter(&server), limiter(&server), limiter(&server)];
    let work: Vec<Work> = (0..3)
        .map(|replica| {
            let (start, taken) = (Instant::now(), Arc::<Mutex<Vec<_>>>::default());
            let (limiter, log) = (limiters[replica].clone(), taken.clone());
            let limit = limit(replica as u32, 3);
            let task = tokio::spawn(async move {
                loop {
                    limiter.permit("acct", &limit, Lane::Fresh).await;
                    log.lock().expect("a list").push((start.elapsed(), Lane::Fresh));
                }
            });
            Work { start, taken, tasks: vec![task] }
        })
        .collect();
    work[0].until(6.0).await;
    let counts: Vec<usize> = work.iter().map(|work| work.between(0.0, 6.0, None)).collect();
    let all: usize = counts.iter().sum();
    // 3000 a minute: 2114 in common, 35.2 a second.
    assert!((185..=213).contains(&all), "{counts:?}");
    assert!(counts.iter().all(|count| *count > 20), "nobody starves: {counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_redis_costs_speed_not_the_limit_and_is_found_again() {
    let mut server = RedisServer::start().await;
    let limiters = [limiter(&server)];
    let work = Work::begin(&limiters, &[Lane::Fresh]);
    work.until(2.0).await;
    assert!(!limiters[0].is_degraded("acct"));
    server.kill();
    work.until(5.0).await;
    assert!(limiters[0].is_degraded("acct"));
    // The pool of one process is a twentieth: 149 a minute, 2.5 a second.
    let local = work.between(2.5, 5.0, None);
    assert!((3..=8).contains(&local), "{local} permits without redis");
    server.restart().await;
    let found = work.found_again(&limiters[0]).await;
    work.until(found + 2.0).await;
    assert!(!limiters[0].is_degraded("acct"));
    let back = work.between(found, found + 2.0, None);
    assert!(back >= 60, "{back} permits in two seconds after the return");
    assert!(work.fullest_second() <= 43 + 150 + 3, "{}", work.fullest_second());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_redis_stalls_nobody_for_long() {
    let server = RedisServer::start().await;
    let limiters = [limiter(&server)];
    let work = Work::begin(&limiters, &[Lane::Fresh]);
    work.until(2.0).await;
    server.pause();
    work.until(7.0).await;
    server.resume();
    let first = work.between(2.0, 3.0, None);
    assert!(first >= 1, "the pool is used within a second");
    assert!((4..=20).contains(&work.between(2.5, 7.0, None)), "{}", work.between(2.5, 7.0, None));
    let found = work.found_again(&limiters[0]).await;
    work.until(found + 1.5).await;
    assert!(!limiters[0].is_degraded("acct"));
    let back = work.between(found, found + 1.5, None);
    assert!(back >= 50, "{back} permits in one and a half seconds after the return");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forgetting_everything_grants_nothing_extra() {
    let server = RedisServer::start().await;
    let work = Work::begin(&[limiter(&server)], &[Lane::Fresh]);
    work.until(1.0).await;
    for _ in 0..20 {
        server.ask::<()>(redis::cmd("FLUSHALL")).await.expect("flushed");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let all = work.between(0.0, 3.0, None);
    assert!(all <= 129, "{all} permits in three seconds, two of them flushing");
    assert!(all >= 60, "{all} permits: flushing slows, it does not stop");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_value_under_the_key_is_replaced() {
    let server = RedisServer::start().await;
    let limiters = [limiter(&server)];
    let work = Work::begin(&limiters, &[Lane::Fresh]);
    work.until(1.0).await;
    let key = "starbridge:quota:{acct}:all";
    let mut list = redis::cmd("EVAL");
    list.arg("redis.call('DEL', KEYS[1]) redis.call('LPUSH', KEYS[1], 'x') return 1").arg(1).arg(key);
    server.ask::<i64>(list).await.expect("a list");
    let mut words = redis::cmd("SET");
    words.arg(key).arg("not a number");
    work.until(2.0).await;
    server.ask::<()>(words).await.expect("words");
    work.until(4.0).await;
    assert!(!limiters[0].is_degraded("acct"));
    let all = work.between(0.0, 4.0, None);
    assert!((130..=172).contains(&all), "{all} permits in four seconds");
}

#[tokio::test]
async fn a_script_that_cannot_run_falls_back_at_once() {
    let server = RedisServer::start().await;
    let mut full = redis::cmd("CONFIG");
    full.arg("SET").arg("maxmemory").arg("1");
    server.ask::<()>(full).await.expect("configured");
    let limiter = limiter(&server);
    // The pool begins empty and fills by one within half a second.
    let begin = Instant::now();
    limiter.permit("acct", &limit(0, 1), Lane::Fresh).await;
    assert!(limiter.is_degraded("acct"));
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn without_any_redis_each_process_keeps_its_even_part() {
    let limiter = Limiter::connect(None).expect("no settings, no trouble");
    let begin = Instant::now();
    let hundred = Limit::alone(100);
    for _ in 0..900 {
        assert!(limiter.permit("acct", &hundred, Lane::Fresh).await.is_fresh());
    }
    let minutes = begin.elapsed().as_secs_f64() / 60.0;
    assert!((9.8..10.2).contains(&minutes), "{minutes} minutes for 900 permits");
    let permit = limiter.permit("acct", &hundred, Lane::Fresh).await;
    tokio::time::advance(Duration::from_millis(3001)).await;
    assert!(!permit.is_fresh());
}

#[tokio::test]
async fn the_script_computes_what_the_pure_rate_computes() {
    let server = RedisServer::start().await;
    let script = include_str!("../../src/permit.lua")
        .replace("local clock = redis.call('TIME')\n", "")
        .replace("local now = clock[1] * 1000000 + clock[2]", "local now = tonumber(ARGV[7])");
    let client = redis::Client::open(server.url()).expect("a client");
    let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
    let script = redis::Script::new(&script);
    let (shared, replay) = (Rate::new(85, 5), Rate::spaced(17).expect("a rate"));
    let (mut all, mut replays): (Option<i64>, Option<i64>) = (None, None);
    let mut now = 1_767_225_600_000_000_i64;
    let mut draw = 12_345_u64;
    let mut next = |below: u64| {
        draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((draw >> 33) % below) as i64
    };
    for step in 0..2000 {
        now += if next(50) == 0 { -WINDOW } else { next(1_200_000) };
        let is_replay = next(3) == 0;
        let seen = if next(4) == 0 { now + next(8_000_000) - 4_000_000 } else { 0 };
        if next(100) == 0 {
            redis::cmd("FLUSHALL").exec_async(&mut connection).await.expect("flushed");
            (all, replays) = (None, None);
        }
        let a = shared.decide_seen(all, seen, now);
        let r = replay.decide(replays, now);
        let wait = if is_replay { a.wait.max(r.wait) } else { a.wait };
        let kept = if wait == 0 { a.granted } else { a.kept };
        all = Some(kept);
        if is_replay {
            replays = Some(if wait == 0 { r.granted } else { r.kept });
        }
        let answer: (i64, i64) = script
            .key("all")
            .key("replay")
            .arg(shared.interval())
            .arg(shared.tolerance())
            .arg(replay.interval())
            .arg(replay.tolerance())
            .arg(i32::from(is_replay))
            .arg(seen)
            .arg(now)
            .invoke_async(&mut connection)
            .await
            .expect("an answer");
        assert_eq!(answer, (wait, kept), "step {step}");
    }
}
