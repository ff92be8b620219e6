//! Whether something grows (pure).

/// The slope of the straight line through these points that has the least squares; `None` for less than two moments.
pub fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let count = points.len() as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0 / count, y + point.1 / count));
    let (over, under) = points
        .iter()
        .fold((0.0, 0.0), |(over, under), point| (over + (point.0 - x) * (point.1 - y), under + (point.0 - x).powi(2)));
    (under > 0.0).then(|| over / under)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_has_a_slope_and_what_only_moves_has_none() {
        let moves: Vec<(f64, f64)> =
            (0..61).map(|minute| (f64::from(minute) / 60.0, f64::from(100 + minute % 2))).collect();
        assert!(slope(&moves).is_some_and(|slope| slope.abs() < 0.1));
        let grows: Vec<(f64, f64)> =
            (0..60).map(|minute| (f64::from(minute) / 60.0, f64::from(100 + minute))).collect();
        assert!(slope(&grows).is_some_and(|slope| (slope - 60.0).abs() < 1e-6));
        assert_eq!((slope(&grows[..1]), slope(&[])), (None, None));
    }
}
