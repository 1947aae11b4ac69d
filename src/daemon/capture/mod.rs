//! Log capture: one thread that owns every log file and every output pipe.
