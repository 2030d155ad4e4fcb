//! The table itself, in two parts that are one list.

#[macro_use]
mod desk;
#[macro_use]
mod road;

use super::{Advice, Category};

with_road!(with_desk);
