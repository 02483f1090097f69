//! The kernel's random generator.
#![forbid(unsafe_code)]

use ring::rand::{SecureRandom, SystemRandom};

use crate::relay::seam::Entropy;

/// Unpredictable bytes from the kernel (getrandom(2)).
#[derive(Clone, Debug)]
pub struct SystemEntropy(SystemRandom);

impl SystemEntropy {
    /// None if the kernel has no generator, or a sandbox hides it.
    pub fn new() -> Option<Self> {
        let random = SystemRandom::new();
        random.fill(&mut [0; 32]).is_ok().then_some(Self(random))
    }
}

impl Entropy for SystemEntropy {
    /// # Panics
    /// If the kernel's generator fails after it has worked before. It does not: and to go on with predictable ports and
    /// nonces would be worse than to stop.
    fn fill(&mut self, out: &mut [u8]) {
        self.0.fill(out).expect("the kernel's generator worked when we started");
    }
}
