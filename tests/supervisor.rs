//! The real Supervisor beside ours: the same file, the same commands, the same answers.
//!
//! It is installed once below the target directory. Where that is not possible the tests say why and pass: everything
//! that they compare is tested elsewhere against written expectations too, if less of it.

mod console;
mod daemon;
mod events;
mod fcgi;
mod install;
mod mask;
mod output;
mod rig;
mod states;
mod superlance;
