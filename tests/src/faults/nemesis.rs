//! What happens to a road, drawn by seed from the failure table of the correctness document.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use super::deck::{Card, deal};
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
    /// A service is started in a machine of another zone, and again in its own.
    Zone {
        /// The service.
        service: &'static str,
        /// The zone.
        zone: &'static str,
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
    /// A Galaxy takes another application secret from now on, and services are given it only once theirs was refused.
    SecretChanged {
        /// Which Galaxy.
        side: Side,
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
            Blow::Jump { .. } | Blow::Zone { .. } => Row::Clock,
            Blow::Freeze { .. } => Row::Zombie,
            Blow::Misbehave { row, .. } | Blow::Link { row, .. } => *row,
            Blow::SecretChanged { .. } => Row::LoginRefused,
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
            Blow::Zone { service, zone } => write!(out, "the zone of {service} is {zone} for a while"),
            Blow::Freeze { service, time, peer } => {
                let peer = if *peer { ", beside another" } else { "" };
                write!(out, "freeze {service} {} s{peer}", time.as_secs())
            }
            Blow::Misbehave { side, fault, time, .. } => {
                write!(out, "{side:?}: {fault}")?;
                time.map_or(Ok(()), |time| write!(out, " for {} s", time.as_secs()))
            }
            Blow::SecretChanged { side } => {
                write!(out, "{side:?}: the secret is changed, and told when it was refused")
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

/// Whether connections of a run with these blows open sessions by a login, as where one is to be refused; otherwise each
/// call is signed.
pub fn logs_in(blows: &[Blow]) -> bool {
    blows.iter().any(|blow| blow.row() == Row::LoginRefused)
}

/// What befalls the run of this seed, in order: a kill, and what the deck deals it. Where Kafka has three nodes, one and two
/// of them leave besides, and the disk of one fills; where settling times are as `shipped`, whoever holds a partition also
/// stands still for five minutes, beside another. Where services know named places, it begins with each of them dying at
/// one, a loader that stands still before it writes, and a clock or a zone that is wrong. Where `only` names rows, others
/// are left out of the deck.
pub fn schedule(seed: u64, points: Option<&Points>, shipped: bool, only: &[Row]) -> Vec<Blow> {
    let mut dice = Dice::of(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xB10);
    // The one with the most to lose is killed most often.
    let service = turn(seed, &["loader", "extractor", "loader", "transformer", "control"]);
    let mut blows = vec![Blow::Kill { service, away: Duration::from_millis(dice.between(0, 3_000)) }];
    blows.extend(deal(seed, only).into_iter().map(|card| draw(card, &mut dice)));
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
        let mut first: Vec<Blow> = SERVICES.into_iter().filter_map(|service| die(service, seed, points)).collect();
        dice.shuffle(&mut first);
        let (point, time) = (turn(seed, &BEFORE_WRITE).to_owned(), dice.seconds(15, 60));
        first.push(Blow::StandStill { service: "loader", point, time });
        first.push(wrong_time(seed, &mut dice));
        blows.splice(0..0, first);
    }
    blows
}

/// One of these, another with the next seed.
fn turn<T: Copy>(seed: u64, of: &[T]) -> T {
    of[usize::try_from(seed % of.len() as u64).unwrap_or_default()]
}

fn die(service: &'static str, seed: u64, points: &Points) -> Option<Blow> {
    let (point, passage) = points.at(service, seed)?;
    Some(Blow::Die { service, point, passage })
}

/// Two clocks for each zone, each service in turn.
fn wrong_time(seed: u64, dice: &mut Dice) -> Blow {
    let service = turn(seed / 3, &SERVICES);
    if seed % 3 == 2 {
        return Blow::Zone { service, zone: dice.one(&["America/New_York", "Pacific/Kiritimati"]) };
    }
    let mut by = [3_600, -3_600, 86_400, -86_400];
    dice.shuffle(&mut by);
    Blow::Jump { service, by: by[..3].to_vec() }
}

fn draw(card: Card, dice: &mut Dice) -> Blow {
    let Card { row, way, .. } = card;
    let side = card.one(&[Side::Source, Side::Target]);
    let save = |mut fault: Value| {
        fault["call"] = "BatchSave".into();
        Blow::Misbehave { row, side: Side::Target, fault, time: None }
    };
    match row {
        Row::Zombie => {
            let service = card.one(&SERVICES);
            Blow::Freeze { service, time: dice.seconds(5, 40), peer: service != "control" && way != 1 }
        }
        Row::TimesOutButSaves => match way {
            0 => save(json!({"kind": "late", "how": "hang", "ms": 0, "count": dice.between(1, 2)})),
            _ => {
                let gate = Gate::Stalled(Way::Back);
                Blow::Link { row, system: System::Target, gate, time: dice.seconds(8, 20) }
            }
        },
        Row::SavesLate => {
            let how = ["rst", "eof"][way];
            save(json!({"kind": "late", "how": how, "ms": dice.between(200, 4_000), "count": dice.between(1, 4)}))
        }
        Row::BrokenReply => broken(card, dice),
        Row::ServerErrors => match way {
            0 => save(json!({"kind": "status", "status": 500, "body": "json", "count": 4})),
            1 => save(json!({"kind": "status", "status": 502, "at": "after", "count": 4})),
            _ => {
                let time = Some(dice.seconds(10, 30));
                Blow::Misbehave { row, side, fault: json!({"kind": "status", "status": 503, "count": 0}), time }
            }
        },
        Row::PartialSuccess => {
            let how = ["missing", "repeated", "out_of_range", "text"][way];
            save(json!({"kind": "odd_dindex", "how": how, "count": dice.between(2, 6)}))
        }
        Row::Poison => Blow::Poison,
        Row::SessionExpires => {
            let side = [Side::Source, Side::Target][way];
            Blow::Misbehave { row, side, fault: json!({"kind": "session_loss", "force": true}), time: None }
        }
        Row::LoginRefused => Blow::SecretChanged { side: [Side::Source, Side::Target][way] },
        Row::Throttle => {
            let fault = json!({"kind": "throttle", "http": way == 0, "ms": 2_000, "count": dice.between(1, 5)});
            Blow::Misbehave { row, side, fault, time: None }
        }
        Row::Redis => match way {
            0 => Blow::Redis(RedisBlow::Flush),
            1 => Blow::Redis(RedisBlow::WrongType),
            2 => {
                let gate = Gate::Slow { way: Way::Both, rate: 1_000_000, latency: Duration::from_secs(5) };
                Blow::Link { row, system: System::Redis, gate, time: dice.seconds(15, 30) }
            }
            3 => {
                let gate = card.one(&[Gate::Cut, Gate::Stalled(Way::Both), Gate::Stalled(Way::Back)]);
                Blow::Link { row, system: System::Redis, gate, time: dice.seconds(5, 20) }
            }
            _ => Blow::Redis(RedisBlow::Stop(dice.seconds(2, 15))),
        },
        Row::Broker => {
            let gate = match way {
                0 => Gate::Cut,
                1 => Gate::Slow { way: Way::Both, rate: 60_000, latency: Duration::from_millis(30) },
                2 => Gate::Stalled(card.one(&[Way::Out, Way::Back, Way::Both])),
                _ => return Blow::Broker { first: 0, stopped: 1, away: dice.seconds(0, 10) },
            };
            Blow::Link { row, system: System::Kafka, gate, time: dice.seconds(5, 30) }
        }
        Row::RebalanceStorm => match way {
            0 => Blow::Three { service: card.one(&STAGES) },
            _ => Blow::Storm { service: card.one(&STAGES), time: dice.seconds(25, 45) },
        },
        Row::AllGone => Blow::AllGone,
        Row::DataExpired => Blow::OffsetsExpire { service: ["transformer", "loader"][way] },
        Row::DiskFull => {
            let disk = if way == 0 { Disk::Broker(0) } else { Disk::Service(card.one(&SERVICES)) };
            Blow::DiskFull { disk, time: dice.seconds(8, 20) }
        }
        // Rows that are neither here nor there are not dealt.
        _ => Deed::draw(card, dice).map_or(Blow::Poison, Blow::Deed),
    }
}

fn broken(card: Card, dice: &mut Dice) -> Blow {
    let row = card.row;
    let system = card.one(&[System::Source, System::Target]);
    let mut fault = match card.way {
        0 => json!({"kind": "cut_before", "how": "rst"}),
        1 => json!({"kind": "cut_after", "how": "rst"}),
        2 => json!({"kind": "cut_after", "how": "eof"}),
        3 => json!({"kind": "truncated"}),
        4 => json!({"kind": "broken_chunk"}),
        5 => json!({"kind": "html", "at": "after"}),
        6 => json!({"kind": "empty", "how": "eof", "at": "after"}),
        7 => return Blow::Link { row, system, gate: Gate::Cut, time: dice.seconds(2, 15) },
        _ => {
            // What is sent must arrive within `save.net`; what is received may take its time.
            let gate = Gate::Slow { way: Way::Back, rate: 2_000, latency: Duration::from_millis(200) };
            return Blow::Link { row, system, gate, time: dice.seconds(10, 30) };
        }
    };
    let (side, call) = card.one(&[(Side::Source, "ExecuteBillQuery"), (Side::Target, "BatchSave")]);
    fault["call"] = call.into();
    fault["count"] = dice.between(1, 4).into();
    Blow::Misbehave { row, side, fault, time: None }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::faults::deed::{Dates, Edit, Move, Odd, Replay};

    /// Whether a blow is of a kind.
    type Is = Box<dyn Fn(&Blow) -> bool>;

    fn plan(seeds: std::ops::RangeInclusive<u64>) -> Vec<Blow> {
        let points = Points::find().expect("the sources");
        seeds.flat_map(|seed| schedule(seed, Some(&points), seed.is_multiple_of(10), &[])).collect()
    }

    #[test]
    fn a_seed_draws_the_same_again_and_another_one_something_else() {
        assert_eq!(schedule(8, None, false, &[]), schedule(8, None, false, &[]));
        assert_ne!(schedule(8, None, false, &[]), schedule(9, None, false, &[]));
        assert_eq!(schedule(8, None, false, &[]).len(), 8);
    }

    #[test]
    fn forty_runs_hit_every_row_they_can_in_each_of_its_ways_three_times() {
        let link = |to: System| move |blow: &Blow| matches!(blow, Blow::Link { system, .. } if *system == to);
        let misbehaves = |named: &'static str, told: &'static str| move |blow: &Blow| matches!(blow, Blow::Misbehave { fault, .. } if fault["kind"] == named && (told.is_empty() || fault["how"] == told));
        let deed = |is: fn(&Deed) -> bool| move |blow: &Blow| matches!(blow, Blow::Deed(deed) if is(deed));
        let wanted: Vec<(&str, Is)> = vec![
            ("FLUSHALL", Box::new(|blow| matches!(blow, Blow::Redis(RedisBlow::Flush)))),
            ("wrong type in key", Box::new(|blow| matches!(blow, Blow::Redis(RedisBlow::WrongType)))),
            ("Redis stops", Box::new(|blow| matches!(blow, Blow::Redis(RedisBlow::Stop(_))))),
            ("1, 3, 1 replicas", Box::new(|blow| matches!(blow, Blow::Three { .. }))),
            ("storm", Box::new(|blow| matches!(blow, Blow::Storm { .. }))),
            ("link to the source", Box::new(link(System::Source))),
            ("link to the target", Box::new(link(System::Target))),
            ("link to Kafka", Box::new(link(System::Kafka))),
            ("link to Redis", Box::new(link(System::Redis))),
            ("the zone of another place", Box::new(|blow| matches!(blow, Blow::Zone { .. }))),
            ("the desk's clock", Box::new(|blow| matches!(blow, Blow::Jump { service: "control", .. }))),
            ("the loader's clock", Box::new(|blow| matches!(blow, Blow::Jump { service: "loader", .. }))),
            ("one of three brokers", Box::new(|blow| matches!(blow, Blow::Broker { stopped: 1, .. }))),
            ("two of three brokers", Box::new(|blow| matches!(blow, Blow::Broker { stopped: 2, .. }))),
            ("a broker's disk", Box::new(|blow| matches!(blow, Blow::DiskFull { disk: Disk::Broker(_), .. }))),
            ("a service's disk", Box::new(|blow| matches!(blow, Blow::DiskFull { disk: Disk::Service(_), .. }))),
            ("another secret at the source", Box::new(|blow| *blow == Blow::SecretChanged { side: Side::Source })),
            ("another secret at the target", Box::new(|blow| *blow == Blow::SecretChanged { side: Side::Target })),
            ("offsets of the transformer", Box::new(|blow| *blow == Blow::OffsetsExpire { service: "transformer" })),
            ("offsets of the loader", Box::new(|blow| *blow == Blow::OffsetsExpire { service: "loader" })),
            ("RST before the body", Box::new(misbehaves("cut_before", "rst"))),
            ("RST after the body", Box::new(misbehaves("cut_after", "rst"))),
            ("end instead of a reply", Box::new(misbehaves("cut_after", "eof"))),
            ("half a body", Box::new(misbehaves("truncated", ""))),
            ("a broken chunk", Box::new(misbehaves("broken_chunk", ""))),
            ("HTML", Box::new(misbehaves("html", ""))),
            ("nothing", Box::new(misbehaves("empty", ""))),
            ("index missing", Box::new(misbehaves("odd_dindex", "missing"))),
            ("index repeated", Box::new(misbehaves("odd_dindex", "repeated"))),
            ("index out of range", Box::new(misbehaves("odd_dindex", "out_of_range"))),
            ("index as text", Box::new(misbehaves("odd_dindex", "text"))),
            ("replay", Box::new(deed(|deed| matches!(deed, Deed::Replay(Replay::AtOnce { early: false }))))),
            ("early replay", Box::new(deed(|deed| matches!(deed, Deed::Replay(Replay::AtOnce { early: true }))))),
            ("replay of v1", Box::new(deed(|deed| matches!(deed, Deed::Replay(Replay::Overtaken))))),
            ("edit then replay", Box::new(deed(|deed| matches!(deed, Deed::Replay(Replay::Edited))))),
            ("other settings", Box::new(deed(|deed| matches!(deed, Deed::Configure { .. })))),
            ("edited in doubt", Box::new(deed(|deed| matches!(deed, Deed::Edit(Edit::InDoubt))))),
            ("edited when loaded", Box::new(deed(|deed| matches!(deed, Deed::Edit(Edit::Loaded))))),
            ("future", Box::new(deed(|deed| matches!(deed, Deed::Dates(Dates::Future(2..=72)))))),
            ("equal seconds", Box::new(deed(|deed| matches!(deed, Deed::Dates(Dates::Equal))))),
            ("late commit", Box::new(deed(|deed| matches!(deed, Deed::Dates(Dates::Past(2..=48)))))),
            ("quote", Box::new(deed(|deed| matches!(deed, Deed::OddKey(Odd::Quote))))),
            ("newline", Box::new(deed(|deed| matches!(deed, Deed::OddKey(Odd::Newline))))),
            ("emoji", Box::new(deed(|deed| matches!(deed, Deed::OddKey(Odd::Emoji))))),
            ("300 signs", Box::new(deed(|deed| matches!(deed, Deed::OddKey(Odd::Long))))),
            ("approved anew", Box::new(deed(|deed| matches!(deed, Deed::Move(Move::Reapproved))))),
            ("clamped", Box::new(deed(|deed| matches!(deed, Deed::Move(Move::Clamped(20..=60)))))),
            ("10 000 rows", Box::new(deed(|deed| matches!(deed, Deed::Move(Move::Large))))),
            ("permission lost", Box::new(deed(|deed| matches!(deed, Deed::PermissionLost)))),
            ("failing version", Box::new(deed(|deed| matches!(deed, Deed::FailingVersion)))),
        ];
        for seeds in [1..=40, 41..=80] {
            let blows = plan(seeds.clone());
            let mut rows: BTreeMap<Row, usize> = BTreeMap::new();
            for blow in &blows {
                *rows.entry(blow.row()).or_default() += 1;
            }
            let drawn: Vec<Row> = Row::ALL.into_iter().filter(|row| row.elsewhere().is_none()).collect();
            assert_eq!(rows.keys().copied().collect::<Vec<_>>(), drawn);
            assert!(rows.values().all(|hits| *hits >= 3), "seeds {seeds:?}: {rows:?}");
            for (name, is) in &wanted {
                let hits = blows.iter().filter(|blow| is(blow)).count();
                assert!(hits >= 3, "seeds {seeds:?}: {name} {hits} times");
            }
        }
    }

    #[test]
    fn forty_runs_let_each_service_die_at_forty_places() {
        for seeds in [1..=40, 41..=80, 101..=140] {
            let mut places: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
            for blow in plan(seeds) {
                if let Blow::Die { service, point, .. } = blow {
                    places.entry(service).or_default().insert(point);
                }
            }
            assert_eq!(places.len(), SERVICES.len());
            assert!(places.values().all(|places| places.len() == 40), "{places:?}");
        }
    }

    #[test]
    fn rows_that_are_named_are_all_that_is_drawn_beside_kills() {
        let rows: Vec<Row> = schedule(5, None, false, &[Row::Replays, Row::OddKey]).iter().map(Blow::row).collect();
        let hits = |row: Row| rows.iter().filter(|hit| **hit == row).count();
        assert_eq!(hits(Row::Kill), 1);
        assert_eq!(hits(Row::Replays) + hits(Row::OddKey), 7);
        assert!(hits(Row::Replays) >= 3 && hits(Row::OddKey) >= 3, "{rows:?}");
    }

    #[test]
    fn places_to_die_at_change_nothing_else_of_a_run() {
        let points = Points::find().expect("the sources");
        let (with, without) = (schedule(5, Some(&points), false, &[]), schedule(5, None, false, &[]));
        assert_eq!(with[6..], without[..]);
        assert!(with[..4].iter().all(|blow| matches!(blow, Blow::Die { .. })), "{:?}", &with[..4]);
        assert_eq!([with[4].row(), with[5].row()], [Row::PausedBeforeWrite, Row::Clock]);
        let known = points.of("loader");
        assert!(BEFORE_WRITE.iter().all(|point| known.iter().any(|known| known == point)), "{known:?}");
    }

    #[test]
    fn nothing_is_drawn_that_breaks_what_is_taken_for_granted() {
        // What is sent to the target must arrive within its time or never: no link there may only delay it.
        for seed in 0..300 {
            for blow in schedule(seed, None, true, &[]) {
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
