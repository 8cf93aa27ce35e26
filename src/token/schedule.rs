//! When the next thing is due: pure functions of lifetimes, counts and chance.
//!
//! Knows shares of lifetimes and steps of backoff. Reads no clock and rolls no dice: `chance`, in 0.0..1.0, comes in.

use std::time::Duration;

/// However long a server says, a token is held no longer: a mistaken lifetime must not make a token that lives for ever.
pub(super) const LONGEST_LIFETIME: Duration = Duration::from_secs(30 * 86_400);

/// A static token says nothing of its end; its file is what ends it.
pub(super) const STATIC_LIFETIME: Duration = Duration::from_secs(10 * 365 * 86_400);

/// How often the file of a static token is looked at, also after it was rejected.
pub(super) const STATIC_LOOK: Duration = Duration::from_secs(2);

/// How long a rejected static token is not offered again: the API may have been wrong about it.
pub(super) const STATIC_PROBE: Duration = Duration::from_secs(30);

/// How far apart a refused recipe is tried all the same: a server may have been wrong about it.
pub(super) const REFUSED_PROBE: Duration = Duration::from_secs(300);

/// A token that is no older is not refreshed once more because a person asks: a button may be pressed twice.
pub(super) const FRESH: Duration = Duration::from_secs(1);

/// How often secrets are looked at while only a person can help.
pub(super) const MENDED_LOOK: Duration = Duration::from_millis(700);

/// A replacement waits for the end of a backoff that is no further away, so that the first rejection of a fresh token
/// still leads to a replay.
pub(super) const REPLACEMENT_GRACE: Duration = Duration::from_millis(1100);

/// The longest `Retry-After` that is honoured.
pub(super) const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// What a shorter one counts as.
pub(super) const SHORTEST_LIFETIME: Duration = Duration::from_secs(1);
const FIRST_BACKOFF: Duration = Duration::from_millis(500);
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);
/// The share of the lifetime over which refreshes of many sources are spread, taken off `refresh_at`.
const REFRESH_SPREAD: f64 = 0.05;
/// The share of a backoff that chance may take off. It never lengthens one: the recovery stays within a step.
const BACKOFF_SPREAD: f64 = 0.2;

/// The lifetime that counts: what the response `said`, else `default`; never under a second, never over 30 days.
pub(super) fn lifetime(said: Option<Duration>, default: Duration) -> Duration {
    said.unwrap_or(default).clamp(SHORTEST_LIFETIME, LONGEST_LIFETIME)
}

/// How long after it was asked for a token is refreshed.
pub(super) fn refresh_after(lifetime: Duration, refresh_at: f64, chance: f64) -> Duration {
    let share = refresh_at - REFRESH_SPREAD * chance;
    lifetime.mul_f64(if share.is_finite() { share.clamp(0.05, 0.95) } else { 0.5 })
}

/// How long to wait after the `count`-th failure in a row (from 1), at least what the server asked for. Any minute
/// holds at most six tries.
pub(super) fn backoff(count: u32, retry_after: Option<Duration>, chance: f64) -> Duration {
    let steps = count.saturating_sub(1).min(8);
    let step = FIRST_BACKOFF.saturating_mul(3_u32.pow(steps)).min(LONGEST_BACKOFF);
    let step = step.mul_f64(1.0 - BACKOFF_SPREAD * chance.clamp(0.0, 1.0));
    step.max(retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER))
}

/// When a token that nobody has used is looked at again for a use, past its refresh point.
pub(super) fn look_again(left: Duration) -> Duration {
    (left / 4).clamp(Duration::from_millis(100), Duration::from_secs(60))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn r129_lifetimes_are_clamped_at_both_ends() {
        let default = Duration::from_secs(300);
        for (said, counts) in [
            (None, default),
            (Some(Duration::ZERO), Duration::from_secs(1)),
            (Some(Duration::from_secs(3600)), Duration::from_secs(3600)),
            (Some(Duration::MAX), LONGEST_LIFETIME),
        ] {
            assert_eq!(lifetime(said, default), counts, "{said:?}");
        }
        assert_eq!(lifetime(None, Duration::MAX), LONGEST_LIFETIME);
    }

    #[test]
    fn a_refresh_point_lies_within_the_lifetime_for_one_second_as_for_a_week() {
        for seconds in [1_u64, 2, 5, 60, 600, 3600, 86_400, 7 * 86_400, 30 * 86_400] {
            let lifetime = Duration::from_secs(seconds);
            let (early, late) = (refresh_after(lifetime, 0.8, 1.0), refresh_after(lifetime, 0.8, 0.0));
            assert!(early >= lifetime.mul_f64(0.749) && late <= lifetime.mul_f64(0.801), "{seconds} s");
        }
        assert!(refresh_after(Duration::from_secs(2), 0.8, 1.0) >= Duration::from_millis(1400));
    }

    #[test]
    fn r132_a_retry_after_is_a_lower_bound_and_capped() {
        assert_eq!(backoff(1, Some(Duration::from_secs(90)), 0.5), Duration::from_secs(90));
        assert_eq!(backoff(1, Some(Duration::MAX), 0.5), Duration::from_secs(3600));
        assert_eq!(backoff(9, Some(Duration::from_secs(1)), 0.0), Duration::from_secs(30));
    }

    proptest! {
        #[test]
        fn no_minute_holds_more_than_six_tries(chances in prop::collection::vec(0.0..1.0_f64, 40)) {
            let mut at = Duration::ZERO;
            let mut tries = vec![at];
            for (count, chance) in (1..).zip(&chances) {
                at += backoff(count, None, *chance);
                tries.push(at);
            }
            for first in &tries {
                let within = tries.iter().filter(|t| *t >= first && **t < *first + Duration::from_secs(60));
                prop_assert!(within.count() <= 6);
            }
        }

        #[test]
        fn nothing_overflows(seconds in any::<u64>(), share in any::<f64>(), chance in 0.0..1.0_f64, count in any::<u32>()) {
            let lifetime = lifetime(Some(Duration::from_secs(seconds)), Duration::from_secs(300));
            prop_assert!(refresh_after(lifetime, share, chance) < lifetime);
            prop_assert!(backoff(count, None, chance) <= LONGEST_BACKOFF);
        }
    }
}
