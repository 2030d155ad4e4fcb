//! Known damages, one by one: each is refused with a code and a place, and none passes for good.

mod calls;
mod flows;
mod pages;
mod saves;
mod settings;
