//! Reading and checking configuration files.

pub mod model;
