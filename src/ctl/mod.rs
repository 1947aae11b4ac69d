pub fn run(_o: crate::cli::CtlOptions, _n: &str)->u8{0}
