//! Whether a series of samples grows.

/// A value at a time, seconds since the beginning.
pub type Point = (f64, f64);

/// The slope of the points per second by Theil and Sen: the median of the slopes of all pairs. One leap of a garbage
/// heap or one busy minute does not move it. 0 for fewer than two points.
pub fn slope(points: &[Point]) -> f64 {
    let mut slopes = Vec::with_capacity(points.len() * points.len() / 2);
    for (at, (t0, v0)) in points.iter().enumerate() {
        for (t1, v1) in &points[at + 1..] {
            if t1 > t0 {
                slopes.push((v1 - v0) / (t1 - t0));
            }
        }
    }
    median(&mut slopes)
}

/// The growth per hour in parts of the median value: 0.01 is 1 %. 0 where the median is 0.
pub fn growth_per_hour(points: &[Point]) -> f64 {
    let mut values: Vec<f64> = points.iter().map(|(_, value)| *value).collect();
    let middle = median(&mut values);
    if middle == 0.0 { 0.0 } else { slope(points) * 3_600.0 / middle }
}

/// The middle value; 0 of none.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        length if length % 2 == 1 => values[length / 2],
        length => f64::midpoint(values[length / 2 - 1], values[length / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(points: usize, value: impl Fn(f64) -> f64) -> Vec<Point> {
        (0..u32::try_from(points).expect("few")).map(|at| (f64::from(at) * 30.0, value(f64::from(at) * 30.0))).collect()
    }

    #[test]
    fn growth_is_seen_through_noise_and_leaps() {
        let grows = line(121, |time| 100.0 + time / 3_600.0 * 5.0 + f64::from(u32::from(time % 60.0 < 1.0)));
        let growth = growth_per_hour(&grows);
        assert!((growth - 0.0488).abs() < 0.005, "{growth}");
        let leaps = line(121, |time| if (900.0..960.0).contains(&time) { 400.0 } else { 100.0 });
        assert_eq!(growth_per_hour(&leaps), 0.0);
        assert_eq!((slope(&[]), slope(&[(0.0, 1.0)]), growth_per_hour(&line(9, |_| 0.0))), (0.0, 0.0, 0.0));
    }

    #[test]
    fn the_middle_of_values() {
        assert_eq!((median(&mut [3.0, 1.0, 2.0]), median(&mut [4.0, 1.0, 2.0, 3.0]), median(&mut [])), (2.0, 2.5, 0.0));
    }
}
