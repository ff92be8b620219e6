//! What the sums of a pipeline say although nothing fails: records that end well and are not where their owner expects
//! them. Pure.

use crate::model::Conservation;

/// Records that must have ended before a share of them says anything while a pipeline runs.
const ENOUGH: u64 = 100;

/// Something to know of a pipeline that is no fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// What it is about: one notice a subject.
    pub about: About,
    /// For people.
    pub text: String,
}

/// What a notice is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// Most records were superseded.
    Superseded,
    /// The sink's servers put records aside.
    Redirected,
}

/// The notices of a running pipeline.
#[must_use]
pub fn notices(sum: &Conservation) -> Vec<Notice> {
    judged(sum, ENOUGH)
}

/// The notices of a pipeline that has ended, however little it did.
#[must_use]
pub fn last_notices(sum: &Conservation) -> Vec<Notice> {
    judged(sum, 1)
}

fn judged(sum: &Conservation, enough: u64) -> Vec<Notice> {
    let mut notices = Vec::new();
    let (resolved, superseded, redirected) = (sum.resolved(), sum.superseded, sum.redirected);
    if superseded >= enough && superseded * 2 > resolved {
        let text = format!(
            "{superseded} of {resolved} records ended as superseded: the sink had the same version, or a newer one. After a \
             replay that is right; otherwise the versions of one id come from several lines of numbers, and \
             newer records are dropped: look at the sink's `version` and `id`"
        );
        notices.push(Notice { about: About::Superseded, text });
    }
    if redirected > 0 {
        let text = format!(
            "{redirected} of {resolved} records were taken by the server and put aside, into a failure store or by an ingest \
             pipeline that drops: they are not in the index"
        );
        notices.push(Notice { about: About::Redirected, text });
    }
    notices
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(sum: Conservation) -> Vec<About> {
        notices(&sum).iter().map(|notice| notice.about).collect()
    }

    #[test]
    fn a_run_in_which_most_records_are_superseded_says_so() {
        let of = |superseded, delivered| Conservation { superseded, delivered, ..Conservation::default() };
        assert_eq!(about(of(101, 100)), [About::Superseded]);
        assert_eq!(about(of(100, 100)), [], "half is not most");
        assert_eq!(about(of(99, 0)), [], "too few to tell while it runs");
        assert_eq!(last_notices(&of(2, 1)).len(), 1, "at the end every run is long enough");
        assert_eq!(last_notices(&of(0, 0)), []);
        let dropped = Conservation { superseded: 150, dropped: 200, ..Conservation::default() };
        assert_eq!(about(dropped), [], "what a rule dropped ended too");
    }

    #[test]
    fn one_record_put_aside_is_worth_a_word() {
        let aside = Conservation { delivered: 1_000_000, redirected: 1, ..Conservation::default() };
        assert_eq!(about(aside), [About::Redirected]);
    }
}
