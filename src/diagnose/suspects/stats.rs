//! The little statistics that suspicion needs. Logarithms are natural; evidence is in nats, so that it can be added.

/// The value below which this share of `values` lies; reorders them. 0 where there are none.
pub fn quantile(values: &mut [f64], share: f64) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let at = ((values.len() - 1) as f64 * share.clamp(0.0, 1.0)).round() as usize;
    *values.select_nth_unstable_by(at, f64::total_cmp).1
}

/// Reorders the values.
pub fn median(values: &mut [f64]) -> f64 {
    quantile(values, 0.5)
}

/// Median and scatter of what may contain a few values that do not belong to it: the scatter is the median distance from the
/// median, in units of a normal distribution's standard deviation. Reorders the values.
pub fn centre_and_scatter(values: &mut [f64]) -> (f64, f64) {
    let centre = median(values);
    let mut distances: Vec<f64> = values.iter().map(|value| (value - centre).abs()).collect();
    (centre, 1.4826 * median(&mut distances))
}

/// How much better `hits` of `tries` fit a rate of their own than the rate `usual`, as the logarithm of the ratio of likelihoods;
/// negative where the own rate is below the usual one.
pub fn evidence(hits: u64, tries: u64, usual: f64) -> f64 {
    if tries == 0 {
        return 0.0;
    }
    let (hits, tries) = (hits as f64, tries as f64);
    let (own, usual) = (hits / tries, usual.clamp(1e-9, 1.0 - 1e-9));
    let part = |times: f64, own: f64, usual: f64| if times > 0.0 { times * (own / usual).ln() } else { 0.0 };
    let ratio = part(hits, own, usual) + part(tries - hits, 1.0 - own, 1.0 - usual);
    if own < usual { -ratio } else { ratio }
}

/// Evidence that `hits` of `tries` and `other_hits` of `other_tries` come of two rates rather than one, the first the higher (G-test).
pub fn contrast((hits, tries): (u64, u64), (other_hits, other_tries): (u64, u64)) -> f64 {
    let all = (hits + other_hits) as f64 / ((tries + other_tries) as f64).max(1.0);
    let first = evidence(hits, tries, all);
    if first <= 0.0 { first } else { first + evidence(other_hits, other_tries, all).abs() }
}

/// A straight line through points, by least squares.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    pub slope: f64,
    pub at_zero: f64,
    /// Share of the variance of y that it explains, 0 to 1.
    pub explains: f64,
}

/// Absent where x does not vary.
pub fn line(points: impl Iterator<Item = (f64, f64)> + Clone) -> Option<Line> {
    let (mut n, mut sum_x, mut sum_y) = (0.0, 0.0, 0.0);
    for (x, y) in points.clone() {
        n += 1.0;
        sum_x += x;
        sum_y += y;
    }
    let (mean_x, mean_y) = (sum_x / n, sum_y / n);
    let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
    for (x, y) in points {
        xx += (x - mean_x) * (x - mean_x);
        xy += (x - mean_x) * (y - mean_y);
        yy += (y - mean_y) * (y - mean_y);
    }
    if xx <= 0.0 || xx.is_nan() {
        return None;
    }
    let slope = xy / xx;
    let explains = if yy > 0.0 { (xy * xy / (xx * yy)).min(1.0) } else { 0.0 };
    Some(Line { slope, at_zero: mean_y - slope * mean_x, explains })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-9, "{found}, not {expected}");
    }

    #[test]
    fn quantiles_are_values_that_occur() {
        let mut values = [5.0, 1.0, 4.0, 2.0, 3.0];
        assert_eq!(median(&mut values), 3.0);
        assert_eq!((quantile(&mut values, 0.0), quantile(&mut values, 1.0)), (1.0, 5.0));
        assert_eq!(quantile(&mut [], 0.5), 0.0);
    }

    #[test]
    fn a_few_wild_values_move_neither_centre_nor_scatter() {
        let mut values: Vec<f64> = (0..100).map(f64::from).collect();
        let (centre, scatter) = centre_and_scatter(&mut values);
        values[..10].fill(1e9);
        let (with_wild, scatter_with_wild) = centre_and_scatter(&mut values);
        assert!((with_wild - centre).abs() < 12.0 && (scatter_with_wild - scatter).abs() < 12.0);
    }

    #[test]
    fn evidence_grows_with_the_difference_and_with_the_number() {
        near(evidence(1, 100, 0.01), 0.0);
        assert!(evidence(5, 100, 0.01) > evidence(3, 100, 0.01));
        assert!(evidence(50, 1000, 0.01) > evidence(5, 100, 0.01));
        near(evidence(10, 10, 0.1), 10.0 * 10_f64.ln());
        assert!(evidence(0, 1000, 0.01) < 0.0);
        assert_eq!(evidence(0, 0, 0.01), 0.0);
    }

    #[test]
    fn a_contrast_is_none_where_both_rates_are_one() {
        near(contrast((5, 50), (10, 100)), 0.0);
        near(contrast((10, 10), (0, 10)), 20.0 * 2_f64.ln());
        assert!(contrast((0, 10), (10, 10)) < 0.0);
    }

    #[test]
    fn a_line_is_found_and_a_heap_is_none() {
        let found = line((0..10).map(|x| (f64::from(x), 3.0 + 2.0 * f64::from(x)))).unwrap();
        near(found.slope, 2.0);
        near(found.at_zero, 3.0);
        near(found.explains, 1.0);
        assert_eq!(line([(1.0, 1.0), (1.0, 2.0)].into_iter()), None);
        assert_eq!(line(std::iter::empty::<(f64, f64)>()), None);
    }
}
