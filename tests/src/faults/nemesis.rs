//! What happens to a road, drawn by seed from the failure table of the correctness document.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use super::deed::Deed;
use super::dice::Dice;
use super::points::Points;
use super::proxy::{Gate, System, Way};
use super::row::Row;

/// Which Galaxy misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The one that is read.
    Source,
    /// The one that is written.
    Target,
}

/// Whose disk is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// That of a broker.
    Broker(usize),
    /// That of a service.
    Service(&'static str),
}

/// What happens to Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedisBlow {
    /// It is gone, and comes back empty.
    Stop(Duration),
    /// It forgets everything.
    Flush,
    /// Its keys hold something of another type.
    WrongType,
}

/// One thing that happens.
#[derive(Debug, Clone, PartialEq)]
pub enum Blow {
    /// A service is killed, stays away and is started again.
    Kill {
        /// The service.
        service: &'static str,
        /// How long it stays away.
        away: Duration,
    },
    /// A service dies by itself at a named place, and is started again.
    Die {
        /// The service.
        service: &'static str,
        /// The place.
        point: String,
        /// Coming by for the first, second … time.
        passage: u64,
    },
    /// A service stands still exactly at a named place, beside another replica of it, and goes on.
    StandStill {
        /// The service.
        service: &'static str,
        /// The place.
        point: String,
        /// How long.
        time: Duration,
    },
    /// The wall clock of a service jumps, again and again.
    Jump {
        /// The service.
        service: &'static str,
        /// Seconds from the true time, one jump after the other.
        by: Vec<i64>,
    },
    /// A service stands still, beside another replica of it, and goes on.
    Freeze {
        /// The service.
        service: &'static str,
        /// How long.
        time: Duration,
        /// Whether another replica is there to take over.
        peer: bool,
    },
    /// A Galaxy misbehaves.
    Misbehave {
        /// The row this is.
        row: Row,
        /// Which Galaxy.
        side: Side,
        /// The fault, as its admin port takes it.
        fault: Value,
        /// It ends after this; otherwise when it has met its calls, or everything is healed.
        time: Option<Duration>,
    },
    /// A bill that the target refuses whatever happens.
    Poison,
    /// A link is not as it should be, and is cut before it opens again: what was held back never arrives.
    Link {
        /// The row this is.
        row: Row,
        /// Which link.
        system: System,
        /// What it does.
        gate: Gate,
        /// How long.
        time: Duration,
    },
    /// Redis.
    Redis(RedisBlow),
    /// Brokers are killed, stay away and are started again. Of three, one leaves the others to lead, and two leave the last
    /// one without enough copies to accept anything.
    Broker {
        /// The first of them.
        first: usize,
        /// How many.
        stopped: usize,
        /// How long.
        away: Duration,
    },
    /// No file grows any more.
    DiskFull {
        /// Whose.
        disk: Disk,
        /// How long.
        time: Duration,
    },
    /// A service has three replicas for a while.
    Three {
        /// The service.
        service: &'static str,
    },
    /// A second replica joins or leaves every five seconds.
    Storm {
        /// The service.
        service: &'static str,
        /// How long.
        time: Duration,
    },
    /// All services and Redis are killed and started again.
    AllGone,
    /// A service stays away until its committed offsets are forgotten, and reads everything again.
    OffsetsExpire {
        /// The service.
        service: &'static str,
    },
    /// Somebody does something.
    Deed(Deed),
}

impl Blow {
    /// The row of the table that it hits.
    pub fn row(&self) -> Row {
        match self {
            Blow::Kill { .. } | Blow::Die { .. } => Row::Kill,
            Blow::StandStill { .. } => Row::PausedBeforeWrite,
            Blow::Jump { .. } => Row::Clock,
            Blow::Freeze { .. } => Row::Zombie,
            Blow::Misbehave { row, .. } | Blow::Link { row, .. } => *row,
            Blow::Poison => Row::Poison,
            Blow::Redis(_) => Row::Redis,
            Blow::Broker { .. } => Row::Broker,
            Blow::DiskFull { .. } => Row::DiskFull,
            Blow::Three { .. } | Blow::Storm { .. } => Row::RebalanceStorm,
            Blow::AllGone => Row::AllGone,
            Blow::OffsetsExpire { .. } => Row::DataExpired,
            Blow::Deed(deed) => deed.row(),
        }
    }
}

impl fmt::Display for Blow {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Blow::Kill { service, away } => write!(out, "kill {service}, away {} ms", away.as_millis()),
            Blow::Die { service, point, passage } => write!(out, "{service} dies at {point}, passage {passage}"),
            Blow::StandStill { service, point, time } => {
                write!(out, "{service} stands still at {point} for {} s, beside another", time.as_secs())
            }
            Blow::Jump { service, by } => write!(out, "the clock of {service} jumps to {by:+?} s of the true time"),
            Blow::Freeze { service, time, peer } => {
                let peer = if *peer { ", beside another" } else { "" };
                write!(out, "freeze {service} {} s{peer}", time.as_secs())
            }
            Blow::Misbehave { side, fault, time, .. } => {
                write!(out, "{side:?}: {fault}")?;
                time.map_or(Ok(()), |time| write!(out, " for {} s", time.as_secs()))
            }
            Blow::Poison => write!(out, "a bill that the target refuses"),
            Blow::Link { system, gate, time, .. } => {
                write!(out, "link to {system:?} {gate:?} for {} s", time.as_secs())
            }
            Blow::Redis(blow) => write!(out, "Redis: {blow:?}"),
            Blow::Broker { first, stopped, away } => {
                write!(out, "kill {stopped} of the brokers, from number {first} on, away {} s", away.as_secs())
            }
            Blow::DiskFull { disk, time } => write!(out, "disk full: {disk:?} for {} s", time.as_secs()),
            Blow::Three { service } => write!(out, "{service}: 1, 3, 1 replicas"),
            Blow::Storm { service, time } => write!(out, "{service}: one joins or leaves for {} s", time.as_secs()),
            Blow::AllGone => write!(out, "kill all services and Redis"),
            Blow::OffsetsExpire { service } => write!(out, "{service} is away until its offsets are forgotten"),
            Blow::Deed(deed) => write!(out, "{deed}"),
        }
    }
}

/// What can be killed.
pub const SERVICES: [&str; 4] = ["extractor", "transformer", "loader", "control"];
const STAGES: [&str; 3] = ["extractor", "transformer", "loader"];

/// Places between the last look at the send deadline and the write to the socket.
const BEFORE_WRITE: [&str; 3] = ["loader.save.sending", "save.identified", "request.signed"];

/// Nodes of Kafka in the run of this seed: three in every fourth.
pub fn brokers(seed: u64) -> usize {
    if seed % 4 == 3 { 3 } else { 1 }
}

/// What befalls the run of this seed, in order: `count` blows, two of them kills, the others of as many rows as there are.
/// Where Kafka has three nodes, one and two of them leave besides, and the disk of one fills; where settling times are as
/// `shipped`, whoever holds a partition also stands still for five minutes, beside another. Where services know named
/// places, it begins with as many deaths more, a loader that stands still before it writes, and a clock that jumps. Where
/// `only` names rows, others are left out of the deck.
pub fn schedule(seed: u64, count: usize, points: Option<&Points>, shipped: bool, only: &[Row]) -> Vec<Blow> {
    let mut dice = Dice::of(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xB10);
    let mut deck: Vec<Row> = Row::ALL.into_iter().filter(|row| row.is_in_the_deck()).collect();
    deck.retain(|row| only.is_empty() || only.contains(row));
    dice.shuffle(&mut deck);
    let mut blows: Vec<Blow> = (0..2.min(count)).map(|_| kill(&mut dice)).collect();
    let others = deck.into_iter().cycle().take(count.saturating_sub(blows.len()));
    blows.extend(others.map(|row| draw(row, &mut dice)));
    let nodes = brokers(seed);
    if nodes > 1 {
        let mut leave = |stopped: usize| {
            let first = dice.one(&[0, 1, 2]);
            Blow::Broker { first, stopped, away: dice.seconds(10, 20) }
        };
        blows.extend([leave(1), leave(nodes - 1)]);
        blows.push(Blow::DiskFull { disk: Disk::Broker(dice.one(&[0, 1, 2])), time: dice.seconds(8, 20) });
    }
    if shipped {
        blows.push(Blow::Freeze { service: "loader", time: Duration::from_secs(300), peer: true });
    }
    dice.shuffle(&mut blows);
    if let Some(points) = points {
        let deaths = blows.iter().filter(|blow| blow.row() == Row::Kill).count();
        let mut first: Vec<Blow> = (0..deaths).filter_map(|_| die(points, &mut dice)).collect();
        let (point, time) = (dice.one(&BEFORE_WRITE).to_owned(), dice.seconds(15, 60));
        first.push(Blow::StandStill { service: "loader", point, time });
        let mut by = [3_600, -3_600, 86_400, -86_400];
        dice.shuffle(&mut by);
        first.push(Blow::Jump { service: dice.one(&STAGES), by: by[..3].to_vec() });
        blows.splice(0..0, first);
    }
    blows
}

fn die(points: &Points, dice: &mut Dice) -> Option<Blow> {
    let service = dice.one(&SERVICES);
    let known = points.of(service);
    let point = (!known.is_empty()).then(|| dice.one(known))?;
    // Most places are come by once in a long while.
    Some(Blow::Die { service, point, passage: dice.one(&[1, 1, 1, 2, 5]) })
}

fn kill(dice: &mut Dice) -> Blow {
    // The one with the most to lose is killed most often.
    let service = dice.one(&["loader", "loader", "extractor", "transformer", "control"]);
    Blow::Kill { service, away: Duration::from_millis(dice.between(0, 3_000)) }
}

fn draw(row: Row, dice: &mut Dice) -> Blow {
    let save = |row: Row, mut fault: Value| {
        fault["call"] = "BatchSave".into();
        Blow::Misbehave { row, side: Side::Target, fault, time: None }
    };
    match row {
        Row::Zombie => {
            let (service, time) = (dice.one(&SERVICES), dice.seconds(5, 40));
            Blow::Freeze { service, time, peer: service != "control" && dice.between(0, 1) == 0 }
        }
        Row::TimesOutButSaves => match dice.between(0, 1) {
            0 => save(row, json!({"kind": "late", "how": "hang", "ms": 0, "count": dice.between(1, 2)})),
            _ => {
                let gate = Gate::Stalled(Way::Back);
                Blow::Link { row, system: System::Target, gate, time: dice.seconds(8, 20) }
            }
        },
        Row::SavesLate => {
            let how = dice.one(&["rst", "eof"]);
            save(row, json!({"kind": "late", "how": how, "ms": dice.between(200, 4_000), "count": dice.between(1, 4)}))
        }
        Row::BrokenReply => broken(row, dice),
        Row::ServerErrors => match dice.between(0, 2) {
            0 => save(row, json!({"kind": "status", "status": 500, "body": "json", "count": 4})),
            1 => save(row, json!({"kind": "status", "status": 502, "at": "after", "count": 4})),
            _ => {
                let (side, time) = (dice.one(&[Side::Source, Side::Target]), Some(dice.seconds(10, 30)));
                Blow::Misbehave { row, side, fault: json!({"kind": "status", "status": 503, "count": 0}), time }
            }
        },
        Row::PartialSuccess => {
            let how = dice.one(&["missing", "repeated", "out_of_range", "text"]);
            save(row, json!({"kind": "odd_dindex", "how": how, "count": dice.between(2, 6)}))
        }
        Row::Poison => Blow::Poison,
        Row::SessionExpires => {
            let side = dice.one(&[Side::Source, Side::Target]);
            Blow::Misbehave { row, side, fault: json!({"kind": "session_loss", "force": true}), time: None }
        }
        Row::LoginRefused => {
            // A call that is refused again after its session was renewed is one whose identity is refused.
            let side = dice.one(&[Side::Source, Side::Target]);
            Blow::Misbehave { row, side, fault: json!({"kind": "session_loss", "force": true, "count": 2}), time: None }
        }
        Row::Throttle => {
            let side = dice.one(&[Side::Source, Side::Target]);
            let http = dice.between(0, 1) == 0;
            let fault = json!({"kind": "throttle", "http": http, "ms": 2_000, "count": dice.between(1, 5)});
            Blow::Misbehave { row, side, fault, time: None }
        }
        Row::Redis => match dice.between(0, 5) {
            0 => Blow::Redis(RedisBlow::Flush),
            1 => Blow::Redis(RedisBlow::WrongType),
            2 => {
                let gate = Gate::Slow { way: Way::Both, rate: 1_000_000, latency: Duration::from_secs(5) };
                Blow::Link { row, system: System::Redis, gate, time: dice.seconds(15, 30) }
            }
            3 => {
                let gate = dice.one(&[Gate::Cut, Gate::Stalled(Way::Both), Gate::Stalled(Way::Back)]);
                Blow::Link { row, system: System::Redis, gate, time: dice.seconds(5, 20) }
            }
            _ => Blow::Redis(RedisBlow::Stop(dice.seconds(2, 15))),
        },
        Row::Broker => match dice.between(0, 3) {
            0 | 1 => Blow::Broker { first: 0, stopped: 1, away: dice.seconds(0, 10) },
            _ => {
                let slow = Gate::Slow { way: Way::Both, rate: 60_000, latency: Duration::from_millis(30) };
                let stalled = [Way::Out, Way::Back, Way::Both].map(Gate::Stalled);
                let gate = dice.one(&[Gate::Cut, slow, stalled[0], stalled[1], stalled[2]]);
                Blow::Link { row, system: System::Kafka, gate, time: dice.seconds(5, 30) }
            }
        },
        Row::RebalanceStorm => match dice.between(0, 2) {
            0 => Blow::Three { service: dice.one(&STAGES) },
            _ => Blow::Storm { service: dice.one(&STAGES), time: dice.seconds(25, 45) },
        },
        Row::AllGone => Blow::AllGone,
        Row::DataExpired => Blow::OffsetsExpire { service: dice.one(&["transformer", "loader"]) },
        Row::DiskFull => {
            let disk = match dice.between(0, 1) {
                0 => Disk::Broker(0),
                _ => Disk::Service(dice.one(&SERVICES)),
            };
            Blow::DiskFull { disk, time: dice.seconds(8, 20) }
        }
        // Kills are drawn apart; what nobody does is tried elsewhere.
        _ => Deed::draw(row, dice).map_or_else(|| kill(dice), Blow::Deed),
    }
}

fn broken(row: Row, dice: &mut Dice) -> Blow {
    let count = dice.between(1, 4);
    let fault = match dice.between(0, 8) {
        0 => json!({"kind": "cut_before", "how": "rst"}),
        1 => json!({"kind": "cut_after", "how": "rst"}),
        2 => json!({"kind": "cut_after", "how": "eof"}),
        3 => json!({"kind": "truncated"}),
        4 => json!({"kind": "broken_chunk"}),
        5 => json!({"kind": "html", "at": "after"}),
        6 => json!({"kind": "empty", "how": "eof", "at": "after"}),
        7 => {
            let system = dice.one(&[System::Source, System::Target]);
            return Blow::Link { row, system, gate: Gate::Cut, time: dice.seconds(2, 15) };
        }
        _ => {
            // What is sent must arrive within `save.net`; what is received may take its time.
            let gate = Gate::Slow { way: Way::Back, rate: 2_000, latency: Duration::from_millis(200) };
            let system = dice.one(&[System::Source, System::Target]);
            return Blow::Link { row, system, gate, time: dice.seconds(10, 30) };
        }
    };
    let (side, call) = dice.one(&[(Side::Source, "ExecuteBillQuery"), (Side::Target, "BatchSave")]);
    let mut fault = fault;
    fault["call"] = call.into();
    fault["count"] = count.into();
    Blow::Misbehave { row, side, fault, time: None }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[test]
    fn a_seed_draws_the_same_again_and_another_one_something_else() {
        assert_eq!(schedule(8, 8, None, false, &[]), schedule(8, 8, None, false, &[]));
        assert_ne!(schedule(8, 8, None, false, &[]), schedule(9, 8, None, false, &[]));
        assert_eq!(schedule(8, 8, None, false, &[]).len(), 8);
    }

    #[test]
    fn forty_runs_hit_every_row_they_can_at_least_three_times() {
        let mut hits: BTreeMap<Row, usize> = BTreeMap::new();
        for seed in 1..=40 {
            let blows = schedule(seed, 8, None, false, &[]);
            let rows: BTreeSet<Row> = blows.iter().map(Blow::row).collect();
            assert_eq!(blows.iter().filter(|blow| blow.row() == Row::Kill).count(), 2, "seed {seed}");
            assert!(rows.len() >= 7, "seed {seed}");
            let apart = |stopped: usize| {
                blows.iter().any(|blow| matches!(blow, Blow::Broker { stopped: n, .. } if *n == stopped))
            };
            assert!(brokers(seed) == 1 || (apart(1) && apart(2)), "seed {seed}");
            for row in rows {
                *hits.entry(row).or_default() += 1;
            }
        }
        let drawn = |row: &Row| *row == Row::Kill || row.is_in_the_deck();
        let drawn: Vec<Row> = Row::ALL.into_iter().filter(drawn).collect();
        assert_eq!(hits.keys().copied().collect::<Vec<_>>(), drawn);
        assert!(hits.values().all(|hits| *hits >= 3), "{hits:?}");
    }

    #[test]
    fn rows_that_are_named_are_all_that_is_drawn_beside_kills() {
        let rows: Vec<Row> = schedule(5, 8, None, false, &[Row::Replays, Row::OddKey]).iter().map(Blow::row).collect();
        let hits = |row: Row| rows.iter().filter(|hit| **hit == row).count();
        assert_eq!([Row::Kill, Row::Replays, Row::OddKey].map(hits), [2, 3, 3]);
    }

    #[test]
    fn places_to_die_at_change_nothing_else_of_a_run() {
        let points = Points::find().expect("the sources");
        let (with, without) = (schedule(5, 8, Some(&points), false, &[]), schedule(5, 8, None, false, &[]));
        assert_eq!(with[4..], without[..]);
        assert!(with[..2].iter().all(|blow| matches!(blow, Blow::Die { .. })), "{:?}", &with[..2]);
        assert_eq!([with[2].row(), with[3].row()], [Row::PausedBeforeWrite, Row::Clock]);
        let known = points.of("loader");
        assert!(BEFORE_WRITE.iter().all(|point| known.iter().any(|known| known == point)), "{known:?}");
    }

    #[test]
    fn nothing_is_drawn_that_breaks_what_is_taken_for_granted() {
        // What is sent to the target must arrive within its time or never: no link there may only delay it.
        for seed in 0..300 {
            for blow in schedule(seed, 14, None, true, &[]) {
                if let Blow::Link { system: System::Target, gate, .. } = &blow {
                    let delays = matches!(
                        gate,
                        Gate::Stalled(Way::Out | Way::Both) | Gate::Slow { way: Way::Out | Way::Both, .. }
                    );
                    assert!(!delays, "seed {seed}: {blow}");
                }
            }
        }
    }
}
