//! Chance from one seed: splitmix64, and a separate stream for each concern, so that one more draw in one place does not
//! reshuffle all the others.

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub struct Rng(u64);

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Rng {
    /// A stream of its own for a concern.
    pub fn new(seed: u64, concern: &str) -> Self {
        Self(concern.bytes().fold(mix(seed), |state, byte| {
            mix(state.wrapping_add(u64::from(byte) + 0x9e37_79b9_7f4a_7c15))
        }))
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// True in `percent` of all cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of these.
    pub fn one_of<T: Clone>(&mut self, choices: &[T]) -> T {
        let index = self.below(choices.len() as u64);
        choices[usize::try_from(index).unwrap()].clone()
    }
}

#[test]
fn the_same_seed_gives_the_same_stream_and_concerns_do_not_mix() {
    let draw = |seed, concern: &str| {
        let mut rng = Rng::new(seed, concern);
        [rng.next(), rng.next(), rng.next()]
    };
    assert_eq!(draw(1, "kernel"), draw(1, "kernel"));
    assert_ne!(draw(1, "kernel"), draw(1, "clients"));
    assert_ne!(draw(1, "kernel"), draw(2, "kernel"));
}
