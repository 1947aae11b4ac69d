//! The engine: pure decisions about processes.

pub mod action;
pub mod event;
pub mod view;

pub use action::Action;
pub use event::Event;
