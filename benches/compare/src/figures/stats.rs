//! Medians, quantiles, and how sure a median of ratios is.
//!
//! Ratios are taken pair by pair: both figures of a pair were measured in the same round, so that what else the
//! machine does falls on both.

/// A ratio (or another median) with the interval that holds its true value with 95 % probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ratio {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Ratio {
    /// The median of `ours[i] / theirs[i]`, its interval by a percentile bootstrap over the pairs. `None`
    /// when there is no pair or a divisor is not positive.
    pub(crate) fn of_pairs(ours: &[f64], theirs: &[f64]) -> Option<Ratio> {
        let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(our, their)| our / their).collect();
        if theirs.iter().any(|their| *their <= 0.0) {
            return None;
        }
        median_interval(&ratios)
    }
}

/// The median of the values with its interval, by a percentile bootstrap; `None` for no values.
pub(crate) fn median_interval(values: &[f64]) -> Option<Ratio> {
    if values.is_empty() {
        return None;
    }
    let mut random = Random::new();
    let medians: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let sample: Vec<f64> = values.iter().map(|_| values[random.below(values.len())]).collect();
            median(&sample)
        })
        .collect();
    Some(Ratio { median: median(values), low: quantile(&medians, 0.025), high: quantile(&medians, 0.975) })
}

/// The middle value, or the mean of the middle two; NaN for no values.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[odd / 2],
        even => f64::midpoint(sorted[even / 2 - 1], sorted[even / 2]),
    }
}

/// The smallest value that at least `part` (0 to 1) of the values do not exceed; NaN for no values.
pub(crate) fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (part * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or(f64::NAN)
}

/// xorshift: the same figures give the same interval in every run, and the rounds the same order.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new() -> Random {
        Random(0x2545_f491_4f6c_dd1d)
    }

    /// Every order is as likely as any other (Fisher and Yates).
    pub(crate) fn shuffle<T>(&mut self, values: &mut [T]) {
        for last in (1..values.len()).rev() {
            values.swap(last, self.below(last + 1));
        }
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 11) % limit as u64) as usize
    }
}

const RESAMPLES: usize = 4000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_quantiles_are_taken_from_the_sorted_values() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan() && quantile(&[], 0.5).is_nan());
        let hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(
            (quantile(&hundred, 0.5), quantile(&hundred, 0.99), quantile(&hundred, 1.0)),
            (50.0, 99.0, 100.0)
        );
        assert_eq!(quantile(&hundred, 0.0), 1.0);
    }

    #[test]
    fn the_interval_encloses_the_median_and_repeats() {
        let theirs = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0];
        let ours = [1.1, 2.0, 3.6, 4.0, 5.0, 6.3, 7.7];
        let ratio = Ratio::of_pairs(&ours, &theirs).expect("seven pairs");
        assert!((ratio.median - 1.05).abs() < 1e-9, "{ratio:?}");
        assert!(
            ratio.low >= 1.0 && ratio.low <= ratio.median && ratio.high >= ratio.median && ratio.high <= 1.2
        );
        assert_eq!(Ratio::of_pairs(&ours, &theirs), Some(ratio));
        assert_eq!(Ratio::of_pairs(&[], &[]), None);
        assert_eq!(Ratio::of_pairs(&[1.0], &[0.0]), None);
    }
}
