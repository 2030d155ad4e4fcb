//! The comparison: reads both Galaxies through their WebAPI and the dead letters from their topic, computes from the
//! orders file what must be where, and names every difference.
//!
//! It shares no code with the services, the mapper or the simulator: what target documents must look like is written
//! out by hand in [`rules`], the wire in [`webapi`], the letters in [`letters`].

pub mod letters;
pub mod orders;
pub mod report;
pub mod rules;
pub mod webapi;
