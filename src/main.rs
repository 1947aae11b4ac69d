//! The executable: hands the process's surroundings to the library and exits with its answer.

use std::process::ExitCode;

fn main() -> ExitCode {
    taskmaster::run(std::env::args_os())
}
