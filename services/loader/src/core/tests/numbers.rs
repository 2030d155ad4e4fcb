//! The core's own chance.

use std::time::Duration;

use super::super::{Carried, Core, Numbers, Retry};

#[test]
fn random_numbers_are_those_that_are_published_for_their_seed() {
    let mut core = Core::new(Numbers::default(), 1_234_567, Carried::default());
    let rolled = [(); 5].map(|()| core.roll());
    let published = [
        6_457_827_717_110_365_317,
        3_203_168_211_198_807_973,
        9_817_491_932_198_370_423,
        4_593_380_528_125_082_431,
        16_408_922_859_458_223_821,
    ];
    assert_eq!(rolled, published);
}

#[test]
fn waits_are_spread_over_the_whole_fifth_on_either_side() {
    let mut core = Core::new(Numbers::default(), 7, Carried::default());
    let waits: Vec<Duration> = (0..1_000).map(|_| core.wait(&Retry::default(), 0)).collect();
    let within = |from, to| waits.iter().filter(|wait| (from..to).contains(&wait.as_millis())).count();
    assert_eq!(within(800, 1_201), 1_000);
    for (from, to) in [(800, 900), (900, 1_000), (1_000, 1_100), (1_100, 1_200)] {
        let share = within(from, to);
        assert!((200..300).contains(&share), "{share} of a thousand waits from {from} to {to} ms");
    }
}
