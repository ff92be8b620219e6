//! When refused credentials end a pipeline: at once while nothing was ever accepted, after a while later. Pure.

use std::time::{Duration, Instant};

use crate::librdkafka::ErrorCode;

/// How long a running pipeline is refused before it ends: rights and passwords are changed on one side first.
const WHILE_RUNNING: Duration = Duration::from_secs(300);

/// What the source cluster said of our credentials.
#[derive(Debug, Default)]
pub struct Credentials {
    were_accepted: bool,
    refused: Option<(Instant, String)>,
}

impl Credentials {
    /// They were refused. `why` is for people.
    pub fn refused(&mut self, why: String, now: Instant) {
        self.refused.get_or_insert((now, why));
    }

    /// The cluster did something for us.
    pub fn accepted(&mut self) {
        self.were_accepted = true;
        self.refused = None;
    }

    /// Why the pipeline must end, if it must.
    #[must_use]
    pub fn are_spent(&self, now: Instant) -> Option<&str> {
        let (since, why) = self.refused.as_ref()?;
        let over = !self.were_accepted || now.saturating_duration_since(*since) >= WHILE_RUNNING;
        over.then_some(why)
    }
}

/// Whether an error says that we are not who we say, or may not join the group.
#[must_use]
pub fn is_refusal(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::SASL_AUTHENTICATION_FAILED
            | ErrorCode::AUTHENTICATION
            | ErrorCode::GROUP_AUTHORIZATION_FAILED
            | ErrorCode::CLUSTER_AUTHORIZATION_FAILED
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_once_at_start_and_after_five_minutes_later() {
        let start = Instant::now();
        let mut credentials = Credentials::default();
        assert_eq!(credentials.are_spent(start), None);
        credentials.refused("no".into(), start);
        assert_eq!(credentials.are_spent(start), Some("no"));
        credentials.accepted();
        assert_eq!(credentials.are_spent(start), None);
        credentials.refused("first".into(), start);
        credentials.refused("again".into(), start + Duration::from_secs(200));
        assert_eq!(credentials.are_spent(start + Duration::from_secs(299)), None);
        assert_eq!(credentials.are_spent(start + WHILE_RUNNING), Some("first"), "counted from the first refusal");
        credentials.accepted();
        assert_eq!(credentials.are_spent(start + 2 * WHILE_RUNNING), None);
    }
}
