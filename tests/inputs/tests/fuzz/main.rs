//! Anything at all, given to every reader of what others write.
//!
//! With `cargo test` each target gets a thousand random inputs, with `make fuzz` as many as fit into the time. What must hold:
//! no panic, and what reads well and is written again reads the same.

mod calls;
mod flows;
mod wire;

/// Chooses one of several by the first byte of the input; the rest is for what was chosen.
fn chosen<'a, T>(of: &'a [T], input: &'a [u8]) -> Option<(&'a T, &'a [u8])> {
    let (first, rest) = input.split_first()?;
    Some((of.get(usize::from(*first) % of.len().max(1))?, rest))
}
