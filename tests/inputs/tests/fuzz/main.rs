//! Anything at all, given to every reader of what others write.
//!
//! With `cargo test` each target gets a thousand random inputs, with `make fuzz` as many as fit into the time. What must hold:
//! no panic, no input that takes longer than a second, and what reads well and is written again reads the same.

mod calls;
mod flows;
mod wire;

use std::time::{Duration, Instant};

/// What an input may take.
const LONGEST: Duration = Duration::from_secs(1);

/// Chooses one of several by the first byte of the input; the rest is for what was chosen.
fn chosen<'a, T>(of: &'a [T], input: &'a [u8]) -> Option<(&'a T, &'a [u8])> {
    let (first, rest) = input.split_first()?;
    Some((of.get(usize::from(*first) % of.len().max(1))?, rest))
}

/// The target, which fails where an input takes too long.
fn in_time(target: impl Fn(&[u8])) -> impl Fn(&[u8]) {
    within(LONGEST, target)
}

/// An input that took too long is timed again: a machine that is busy with other work is no fault of the target.
fn within(longest: Duration, target: impl Fn(&[u8])) -> impl Fn(&[u8]) {
    move |input| {
        let timed = || {
            let begun = Instant::now();
            target(input);
            begun.elapsed()
        };
        assert!((0..3).any(|_| timed() <= longest), "an input of {} bytes takes longer than {longest:?}", input.len());
    }
}

#[test]
fn a_target_that_takes_too_long_fails_and_names_the_size_of_its_input() {
    let longest = Duration::from_millis(100);
    let slow = within(longest, |input| {
        let begun = Instant::now();
        while !input.is_empty() && begun.elapsed() <= longest {
            std::hint::spin_loop();
        }
    });
    slow(&[]);
    let failed = std::panic::catch_unwind(|| slow(&[7; 12])).expect_err("too slow");
    let words = failed.downcast_ref::<String>().expect("words");
    assert_eq!(words, "an input of 12 bytes takes longer than 100ms");
}
