//! The simulation itself: it replays, and its faults happen.

use super::*;

#[test]
fn a_seed_gives_the_same_story_twice_and_another_seed_another_one() {
    for seed in [1, 2, 7] {
        let (once, twice) = (run(seed, None, true), run(seed, None, true));
        assert!(once.trace.len() > 100, "seed {seed}: {} lines", once.trace.len());
        assert_eq!(once.hash, twice.hash, "seed {seed}");
        assert_eq!(once.trace, twice.trace, "seed {seed}");
        assert_eq!(once.steps, run(seed, None, false).steps, "seed {seed}: telling changes nothing");
        assert_ne!(once.hash, run(seed + 100, None, true).hash, "seed {seed}");
    }
}

#[test]
fn nothing_is_lost_and_nothing_comes_twice() {
    let (caught, ran) = sweep(1, 60, None, false);
    let words: Vec<_> = caught.iter().map(|outcome| (outcome.seed, outcome.violation.clone())).collect();
    assert_eq!((ran, words), (60, Vec::new()));
}

#[test]
fn faults_happen_and_documents_arrive_all_the_same() {
    let stories: Vec<String> = (1..=40).flat_map(|seed| run(seed, None, true).trace).collect();
    let told = |word: &str| stories.iter().filter(|line| line.contains(word)).count();
    for word in [
        "dies",
        "is stopped for",
        "is thrown out",
        "goes from node",
        "aborted",
        "a transaction was refused",
        "a commit was slow",
        "a write failed",
        "leaves the source",
        "the target is down",
        "Open(",
        "Closed(",
        "replay r",
        "letter: ",
        "verdict: \"absent\"",
        "verdict: \"applied\"",
        "faults stop",
    ] {
        assert!(told(word) > 0, "no story tells of {word:?}");
    }
}
