//! The versions of one document in any order, with copies and replays, against a model of a few lines: what is in the
//! target is never older than what was handled, and what comes too late ends without a call.

use document::{Digest, Mapped};
use proptest::prelude::*;

use super::super::event::Ended;
use super::super::ledger::End;
use super::world::*;

/// What each version of the document says; some say the same.
type Contents = [u8; 4];

/// The flow versions, by what they do with a change of a loaded document.
const FLOWS: [&str; 3] = ["update", "v1", "park"];

#[derive(Debug, Clone)]
struct Arrival {
    version: usize,
    replay: Option<&'static str>,
    flow: &'static str,
}

/// Records that come together, whether the target refuses the document meanwhile, and after how many steps the process
/// dies once.
#[derive(Debug, Clone)]
struct Stretch {
    arrivals: Vec<Arrival>,
    refuses: bool,
    death: Option<usize>,
}

fn arrivals() -> impl Strategy<Value = Arrival> {
    let flow = prop_oneof![3 => Just(FLOWS[0]), 1 => Just(FLOWS[1]), 1 => Just(FLOWS[2])];
    let replay = prop::option::weighted(0.4, prop::sample::select(vec!["r1", "r2"]));
    (0_usize..4, replay, flow).prop_map(|(version, replay, flow)| Arrival { version, replay, flow })
}

fn stretches() -> impl Strategy<Value = Stretch> {
    let death = prop::option::weighted(0.2, 0_usize..10);
    (prop::collection::vec(arrivals(), 1..3), prop::bool::weighted(0.25), death)
        // Of a refusal that nobody read, what stands in the target tells: the same content there is as good as loaded.
        .prop_map(|(arrivals, refuses, death)| Stretch { arrivals, refuses: refuses && death.is_none(), death })
}

/// What the ledger has to know of the document.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Model {
    handled: Option<usize>,
    parked: bool,
    replays: Vec<&'static str>,
    loaded: Option<usize>,
    changed: Option<usize>,
    saves: usize,
}

impl Model {
    fn take(&mut self, arrival: &Arrival, contents: &Contents, refuses: bool) -> Ended {
        let version = arrival.version;
        let again = arrival.replay.is_some_and(|replay| !self.replays.contains(&replay));
        match (self.handled, self.loaded) {
            (Some(handled), _) if version < handled => Ended::Superseded,
            (Some(handled), _) if version == handled && !(self.parked && again) => {
                if again {
                    self.handle(arrival);
                }
                Ended::Superseded
            }
            (_, None) => self.save(arrival, refuses),
            (Some(handled), Some(loaded))
                if version > handled && arrival.replay.is_none() && contents[loaded] == contents[version] =>
            {
                // Nothing is to be done, but whatever lies between the two must not be loaded any more.
                let overtakes = self.parked || self.changed.is_some();
                self.handle(arrival);
                self.load(version);
                if overtakes { Ended::Applied } else { Ended::Superseded }
            }
            (Some(handled), Some(loaded)) if version == handled && contents[loaded] == contents[version] => {
                // It had failed to say once more what the target holds.
                self.handle(arrival);
                self.end(version);
                Ended::Applied
            }
            (_, Some(_)) => match arrival.flow {
                "update" => self.save(arrival, refuses),
                "park" => {
                    self.handle(arrival);
                    self.parked = true;
                    Ended::Parked
                }
                _ => {
                    self.changed = self.changed.max(Some(version));
                    if self.handled == Some(version) {
                        self.handle(arrival);
                    }
                    Ended::Skipped
                }
            },
        }
    }

    fn handle(&mut self, arrival: &Arrival) {
        if self.handled.replace(arrival.version) != Some(arrival.version) {
            self.replays.clear();
        }
        self.replays.extend(arrival.replay);
    }

    fn load(&mut self, version: usize) {
        self.loaded = Some(version);
        self.end(version);
    }

    fn end(&mut self, version: usize) {
        self.parked = false;
        self.changed = self.changed.filter(|changed| *changed > version);
    }

    fn save(&mut self, arrival: &Arrival, refuses: bool) -> Ended {
        self.saves += 1;
        self.handle(arrival);
        if refuses {
            self.parked = true;
            return Ended::Parked;
        }
        self.load(arrival.version);
        Ended::Applied
    }
}

fn value(content: u8) -> Vec<u8> {
    format!("{{\"FBillNo\":\"A\",\"v\":{content}}}").into_bytes()
}

/// What the ledger of the world knows.
fn known(world: &World, saves: usize) -> Model {
    let Some(entry) = world.entry(0, &"A".into()) else { return Model::default() };
    let version = |version: document::Version| usize::try_from(version.0).expect("small");
    Model {
        handled: Some(version(entry.version)),
        parked: entry.end == Some(End::Parked),
        replays: ["r1", "r2"].into_iter().filter(|replay| entry.replays.iter().any(|known| known == replay)).collect(),
        loaded: entry.target.map(|target| version(target.version)),
        changed: entry.changed.map(version),
        saves,
    }
}

fn run(world: &mut World, stretch: &Stretch, contents: &Contents) {
    world.refuses.clear();
    if stretch.refuses {
        world.refuses.insert("A".into(), refusal(document::Code::TargetRefused, "不允许"));
    }
    for arrival in &stretch.arrivals {
        let content = contents[arrival.version];
        let mapped = world.mapped("A", u64::try_from(arrival.version).expect("small"), arrival.flow);
        let replay = arrival.replay.map(str::to_owned);
        world.publish(0, Mapped { digest: Digest([content; 16]), value: value(content), replay, ..mapped });
    }
    world.feed();
    if let Some(steps) = stretch.death {
        (0..steps).take_while(|_| !world.is_done() && world.step()).for_each(drop);
        world.crash();
        world.start();
    }
    world.run(minutes(30));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn no_version_is_loaded_over_one_that_came_after_it(
        contents in prop::array::uniform4(0_u8..3),
        history in prop::collection::vec(stretches(), 1..4),
        seed: u64,
    ) {
        let mut world = World::new(1).seeded(seed);
        world.start();
        let (mut model, mut loaded, mut died) = (Model::default(), None, false);
        for stretch in &history {
            world.ended.clear();
            run(&mut world, stretch, &contents);
            prop_assert!(world.is_done(), "{:?}", world.core);
            let ends: Vec<Ended> =
                stretch.arrivals.iter().map(|arrival| model.take(arrival, &contents, stretch.refuses)).collect();
            model.replays.sort_unstable();
            died |= stretch.death.is_some();
            // Whoever dies tells an end twice, or not at all, and may send again what was refused.
            let saves = if died { model.saves } else { world.saves.len() };
            prop_assert!(stretch.death.is_some() || world.ended == ends, "{:?}, not {ends:?}", world.ended);
            prop_assert_eq!(&known(&world, saves), &model);
            // And, whatever the model says:
            prop_assert!(model.loaded >= loaded && model.handled >= model.loaded);
            loaded = model.loaded;
            let standing = world.target.get(&"A".into()).map(Vec::as_slice).unwrap_or_default();
            let standing: Vec<&[u8]> = standing.iter().map(|document| document.content.as_slice()).collect();
            let wanted: Vec<Vec<u8>> = loaded.map(|version| value(contents[version])).into_iter().collect();
            prop_assert_eq!(standing, wanted);
        }
    }
}
