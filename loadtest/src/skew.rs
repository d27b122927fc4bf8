//! Who acts and who is paid.
//!
//! Owns: the draws of users and merchants, hot ones first. Never knows addresses, only ranks.

use rand::{Rng, RngExt};
use rand_distr::{Distribution, Zipf};

/// Exponent of the draw of users: a few are eager, none dominates.
const USERS_EXPONENT: f64 = 0.8;
/// Exponent of the draw of merchants: of 10,000 the first gets 15 %, the first ten 41 %.
const MERCHANTS_EXPONENT: f64 = 1.1;
/// The part of all credits that goes to the self-operated merchant.
const SELF_OPERATED_SHARE: f64 = 0.4;

/// A merchant as drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Merchant {
    /// The platform's own shop.
    SelfOperated,
    /// A third party, by rank from 0.
    ThirdParty(u32),
}

/// The draws of one run.
#[derive(Clone)]
pub(crate) struct Skew {
    users: Zipf<f64>,
    merchants: Zipf<f64>,
}

impl Skew {
    /// Draws among `users` users and `merchants` third-party merchants, both at least 1.
    pub(crate) fn new(users: u32, merchants: u32) -> Result<Self, rand_distr::ZipfError> {
        Ok(Self {
            users: Zipf::new(f64::from(users), USERS_EXPONENT)?,
            merchants: Zipf::new(f64::from(merchants), MERCHANTS_EXPONENT)?,
        })
    }

    /// A user's rank from 0.
    pub(crate) fn user(&self, rng: &mut impl Rng) -> u32 {
        rank(&self.users, rng)
    }

    /// A merchant.
    pub(crate) fn merchant(&self, rng: &mut impl Rng) -> Merchant {
        if rng.random_bool(SELF_OPERATED_SHARE) {
            Merchant::SelfOperated
        } else {
            Merchant::ThirdParty(rank(&self.merchants, rng))
        }
    }
}

/// A draw among some, the first ones more often, as users are drawn.
pub(crate) struct Eager(Zipf<f64>);

impl Eager {
    /// Among `count`; `None` among none.
    pub(crate) fn new(count: usize) -> Option<Self> {
        Zipf::new(count as f64, USERS_EXPONENT).ok().filter(|_| count > 0).map(Self)
    }

    /// A rank from 0.
    pub(crate) fn rank(&self, rng: &mut impl Rng) -> usize {
        rank(&self.0, rng) as usize
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the draw is a whole number from 1 to the count, which is a u32"
)]
fn rank(zipf: &Zipf<f64>, rng: &mut impl Rng) -> u32 {
    zipf.sample(rng) as u32 - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    const DRAWS: u32 = 400_000;

    fn check(share: f64, expected: f64, what: &str) {
        assert!((share - expected).abs() < 0.01, "{what}: {share}, expected {expected}");
    }

    #[test]
    fn credits_go_to_the_self_operated_shop_and_to_few_others() {
        let skew = Skew::new(10, 10_000).unwrap();
        let mut rng = SmallRng::seed_from_u64(618);
        let (mut own, mut first, mut first_ten) = (0, 0, 0);
        for _ in 0..DRAWS {
            match skew.merchant(&mut rng) {
                Merchant::SelfOperated => own += 1,
                Merchant::ThirdParty(rank) => {
                    first += u32::from(rank == 0);
                    first_ten += u32::from(rank < 10);
                }
            }
        }
        let others = f64::from(DRAWS - own);
        check(f64::from(own) / f64::from(DRAWS), 0.40, "self-operated");
        check(f64::from(first) / others, 0.15, "first merchant");
        check(f64::from(first_ten) / others, 0.41, "first ten merchants");
    }

    #[test]
    fn few_are_eager_and_none_dominates() {
        let skew = Skew::new(1_000, 1).unwrap();
        let eager = Eager::new(1_000).unwrap();
        let mut rng = SmallRng::seed_from_u64(618);
        let drawn = (0..DRAWS).filter(|_| skew.user(&mut rng) == 0).count();
        check(drawn as f64 / f64::from(DRAWS), 0.064, "first user");
        let drawn = (0..DRAWS).filter(|_| eager.rank(&mut rng) == 0).count();
        check(drawn as f64 / f64::from(DRAWS), 0.064, "first payer");
        assert!(Eager::new(0).is_none());
    }
}
