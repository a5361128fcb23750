//! The durable log against a model that is a plain vector.

mod crashes;
mod damage;
mod failures;
mod model;
mod real_files;
mod round_trips;
