//! The kernel's random generator.
#![forbid(unsafe_code)]

use std::fmt;

use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use crate::relay::seam::Entropy;

/// Unpredictable bytes from the kernel (getrandom(2)). Small draws, such as a port or an id, come from a pool that it
/// fills: a system call for each is some 2 % of what an allocation costs that comes and goes.
pub struct SystemEntropy {
    kernel: SystemRandom,
    pool: Zeroizing<[u8; POOL]>,
    /// Bytes of the pool that are gone, and wiped.
    used: usize,
}

const POOL: usize = 512;
/// Longer draws are keys, and pass through no pool.
const SMALL: usize = 16;

impl SystemEntropy {
    /// None if the kernel has no generator, or a sandbox hides it.
    pub fn new() -> Option<Self> {
        let this = Self::with_empty_pool(SystemRandom::new());
        this.kernel.fill(&mut [0; 32]).is_ok().then_some(this)
    }

    fn with_empty_pool(kernel: SystemRandom) -> Self {
        Self { kernel, pool: Zeroizing::new([0; POOL]), used: POOL }
    }
}

impl Entropy for SystemEntropy {
    /// # Panics
    /// If the kernel's generator fails after it has worked before. It does not: and to go on with predictable ports and
    /// nonces would be worse than to stop.
    fn fill(&mut self, out: &mut [u8]) {
        const WORKED: &str = "the kernel's generator worked when we started";
        if out.len() > SMALL {
            return self.kernel.fill(out).expect(WORKED);
        }
        if POOL - self.used < out.len() {
            self.kernel.fill(&mut *self.pool).expect(WORKED);
            self.used = 0;
        }
        let drawn = &mut self.pool[self.used..self.used + out.len()];
        out.copy_from_slice(drawn);
        drawn.fill(0);
        self.used += out.len();
    }
}

/// Never the same bytes twice: the pool stays behind.
impl Clone for SystemEntropy {
    fn clone(&self) -> Self {
        Self::with_empty_pool(self.kernel.clone())
    }
}

impl fmt::Debug for SystemEntropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemEntropy").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_draw_comes_twice_and_none_is_kept() {
        let mut entropy = SystemEntropy::new().unwrap();
        let mut seen = HashSet::new();
        for draw in 0..200 {
            let mut drawn = [0; 16];
            let mut copy = entropy.clone();
            entropy.fill(&mut drawn[..if draw % 2 == 0 { 16 } else { 13 }]);
            assert!(seen.insert(drawn));
            copy.fill(&mut drawn);
            assert!(seen.insert(drawn));
            assert!(entropy.pool[..entropy.used].iter().all(|&byte| byte == 0));
        }
    }
}
