//! Waiting for something outside this process, always with a deadline.

use std::thread;
use std::time::{Duration, Instant};

/// Asks `probe` every `interval` until it answers, or until `limit` has passed (`None`).
///
/// # Errors
/// The first error of `probe`: a state that waiting cannot change.
pub(super) fn until<T, E>(
    limit: Duration,
    interval: Duration,
    mut probe: impl FnMut() -> Result<Option<T>, E>,
) -> Result<Option<T>, E> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = probe()? {
            return Ok(Some(answer));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        thread::park_timeout(interval.min(left));
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, until};

    const SHORT: Duration = Duration::from_millis(1);

    #[test]
    fn stops_at_the_answer_the_error_or_the_limit() {
        let mut asked = 0;
        let answer = until::<_, ()>(Duration::from_secs(60), SHORT, || {
            asked += 1;
            Ok((asked == 3).then_some(asked))
        });
        assert_eq!(answer, Ok(Some(3)));
        assert_eq!(until::<(), _>(Duration::from_secs(60), SHORT, || Err("broken")), Err("broken"));
        assert_eq!(until::<(), ()>(3 * SHORT, SHORT, || Ok(None)), Ok(None));
    }
}
