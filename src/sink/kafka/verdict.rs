//! What a delivery report or a refusal means. Pure.

use crate::librdkafka::ErrorCode;
use crate::librdkafka::producer::Probe;
use crate::model::{Exit, RejectReason};
use crate::telemetry::metrics::RequestClass;

/// What becomes of a record whose delivery failed, or that the producer refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It can never be delivered.
    Reject(RejectReason),
    /// Its partition goes back; it is sent again with others.
    Rewind,
    /// Its partition goes back; it is sent again alone, to find out whether it is the guilty one.
    Suspect,
    /// The topic is not there: everything goes back and waits until metadata shows it.
    MissingTopic,
    /// The producer is unusable.
    Fatal,
    /// It would hit every record: the pipeline ends.
    Halt(Exit),
}

/// How the record was sent, as far as it says who is guilty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Company {
    /// In a request of its own: a refusal means this record.
    Alone,
    /// With others, and the broker named the guilty ones.
    Named,
    /// With others.
    Unknown,
}

/// Judges the error of a delivery report.
pub(super) fn judge(code: ErrorCode, company: Company) -> Verdict {
    match code {
        // The limit is one of the whole request, so only a request of one record tells.
        ErrorCode::MSG_SIZE_TOO_LARGE | ErrorCode::RECORD_LIST_TOO_LARGE => match company {
            Company::Alone => Verdict::Reject(RejectReason::TooLarge),
            Company::Named | Company::Unknown => Verdict::Suspect,
        },
        ErrorCode::INVALID_RECORD | ErrorCode::INVALID_TIMESTAMP | ErrorCode::INVALID_MSG => match company {
            Company::Alone | Company::Named => Verdict::Reject(RejectReason::Refused),
            Company::Unknown => Verdict::Suspect,
        },
        ErrorCode::TOPIC_EXCEPTION => Verdict::Reject(RejectReason::InvalidTarget),
        ErrorCode::UNKNOWN_TOPIC | ErrorCode::UNKNOWN_TOPIC_OR_PART | ErrorCode::UNKNOWN_PARTITION => {
            Verdict::MissingTopic
        }
        ErrorCode::FATAL => Verdict::Fatal,
        code => cause(code).map_or(Verdict::Rewind, Verdict::Halt),
    }
}

/// Judges why the producer did not take a record (other than a full queue).
pub(super) fn judge_refusal(code: ErrorCode) -> Verdict {
    match code {
        ErrorCode::MSG_SIZE_TOO_LARGE => Verdict::Reject(RejectReason::TooLarge),
        code => judge(code, Company::Unknown),
    }
}

/// Judges the cause of a fatal error: one that would come again halts, any other is mended by a new producer.
pub(super) fn judge_fatal(code: ErrorCode) -> Verdict {
    cause(code).map_or(Verdict::Fatal, Verdict::Halt)
}

/// What the cluster says of a topic that a record names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TopicAnswer {
    /// It is there, or soon has a leader.
    There,
    /// It is not there, as far as this broker knows.
    Missing(ErrorCode),
    /// Nobody knows.
    Silent,
}

/// Judges a question for a topic. A cluster with access rules does not tell a topic that is missing from one that is
/// not ours; where all are refused the rights are at fault, and the first report halts (`knows_others`: some topic was
/// not refused).
pub(super) fn judge_probe(probe: &Probe, knows_others: bool) -> TopicAnswer {
    match probe {
        Probe::Answers => TopicAnswer::There,
        Probe::Silent(_) => TopicAnswer::Silent,
        Probe::Topic(
            code @ (ErrorCode::UNKNOWN_TOPIC | ErrorCode::UNKNOWN_TOPIC_OR_PART | ErrorCode::TOPIC_EXCEPTION),
        ) => TopicAnswer::Missing(*code),
        Probe::Topic(ErrorCode::TOPIC_AUTHORIZATION_FAILED) if knows_others => {
            TopicAnswer::Missing(ErrorCode::TOPIC_AUTHORIZATION_FAILED)
        }
        Probe::Topic(_) => TopicAnswer::There,
    }
}

/// The label of an error in `sink_item_errors_total`.
pub(super) fn kind(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::INVALID_DIFFERENT_RECORD => "invalid_different_record",
        ErrorCode::INVALID_RECORD | ErrorCode::INVALID_TIMESTAMP | ErrorCode::INVALID_MSG => "invalid_record",
        ErrorCode::MSG_SIZE_TOO_LARGE | ErrorCode::RECORD_LIST_TOO_LARGE => "message_too_large",
        ErrorCode::PURGE_QUEUE | ErrorCode::PURGE_INFLIGHT => "purged",
        ErrorCode::MSG_TIMED_OUT => "timed_out",
        ErrorCode::UNKNOWN_TOPIC | ErrorCode::UNKNOWN_TOPIC_OR_PART | ErrorCode::UNKNOWN_PARTITION => "unknown_topic",
        code if cause(code) == Some(Exit::Permission) => "not_authorized",
        _ => "other",
    }
}

/// How an answer counts in `sink_requests_total`: librdkafka's own codes are negative, a broker's positive.
pub(super) fn class(error: Option<ErrorCode>) -> RequestClass {
    match error.map_or(0, ErrorCode::number) {
        0 => RequestClass::Acknowledged,
        ..0 => RequestClass::NoAnswer,
        1.. => RequestClass::BrokerError,
    }
}

/// The exit code of an error that would hit every record.
fn cause(code: ErrorCode) -> Option<Exit> {
    match code {
        ErrorCode::TOPIC_AUTHORIZATION_FAILED
        | ErrorCode::CLUSTER_AUTHORIZATION_FAILED
        | ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED
        | ErrorCode::SASL_AUTHENTICATION_FAILED
        | ErrorCode::AUTHENTICATION => Some(Exit::Permission),
        ErrorCode::UNSUPPORTED_FEATURE | ErrorCode::UNSUPPORTED_VERSION | ErrorCode::UNSUPPORTED_FOR_MESSAGE_FORMAT => {
            Some(Exit::Protocol)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Company::{Alone, Named, Unknown};

    #[test]
    fn reports_are_judged_as_the_design_says() {
        let table = [
            (ErrorCode::MSG_SIZE_TOO_LARGE, Unknown, Verdict::Suspect),
            (ErrorCode::MSG_SIZE_TOO_LARGE, Named, Verdict::Suspect),
            (ErrorCode::MSG_SIZE_TOO_LARGE, Alone, Verdict::Reject(RejectReason::TooLarge)),
            (ErrorCode::RECORD_LIST_TOO_LARGE, Unknown, Verdict::Suspect),
            (ErrorCode::INVALID_RECORD, Unknown, Verdict::Suspect),
            (ErrorCode::INVALID_RECORD, Named, Verdict::Reject(RejectReason::Refused)),
            (ErrorCode::INVALID_RECORD, Alone, Verdict::Reject(RejectReason::Refused)),
            (ErrorCode::INVALID_TIMESTAMP, Alone, Verdict::Reject(RejectReason::Refused)),
            (ErrorCode::INVALID_DIFFERENT_RECORD, Named, Verdict::Rewind),
            (ErrorCode::MSG_TIMED_OUT, Unknown, Verdict::Rewind),
            (ErrorCode::PURGE_QUEUE, Unknown, Verdict::Rewind),
            (ErrorCode::PURGE_INFLIGHT, Unknown, Verdict::Rewind),
            (ErrorCode::NOT_ENOUGH_REPLICAS, Unknown, Verdict::Rewind),
            (ErrorCode::UNKNOWN_TOPIC_OR_PART, Unknown, Verdict::MissingTopic),
            (ErrorCode::UNKNOWN_TOPIC, Unknown, Verdict::MissingTopic),
            (ErrorCode::TOPIC_AUTHORIZATION_FAILED, Unknown, Verdict::Halt(Exit::Permission)),
            (ErrorCode::AUTHENTICATION, Unknown, Verdict::Halt(Exit::Permission)),
            (ErrorCode::FATAL, Unknown, Verdict::Fatal),
            (ErrorCode::of(31_999).expect("an error"), Alone, Verdict::Rewind),
        ];
        for (code, company, verdict) in table {
            assert_eq!(judge(code, company), verdict, "{code:?} {company:?}");
        }
    }

    #[test]
    fn every_label_of_an_error_is_one_the_metrics_know() {
        use crate::telemetry::labelled::ItemErrors;
        let table = [
            (ErrorCode::INVALID_DIFFERENT_RECORD, "invalid_different_record", RequestClass::NoAnswer),
            (ErrorCode::INVALID_RECORD, "invalid_record", RequestClass::BrokerError),
            (ErrorCode::MSG_SIZE_TOO_LARGE, "message_too_large", RequestClass::BrokerError),
            (ErrorCode::PURGE_INFLIGHT, "purged", RequestClass::NoAnswer),
            (ErrorCode::MSG_TIMED_OUT, "timed_out", RequestClass::NoAnswer),
            (ErrorCode::UNKNOWN_TOPIC_OR_PART, "unknown_topic", RequestClass::BrokerError),
            (ErrorCode::TOPIC_AUTHORIZATION_FAILED, "not_authorized", RequestClass::BrokerError),
            (ErrorCode::NOT_ENOUGH_REPLICAS, "other", RequestClass::BrokerError),
        ];
        for (code, label, requests) in table {
            assert_eq!((kind(code), class(Some(code))), (label, requests), "{code:?}");
            assert_eq!(ItemErrors::known(label), label);
        }
        assert_eq!(class(None), RequestClass::Acknowledged);
    }

    #[test]
    fn only_a_topic_that_is_not_there_is_missing() {
        let missing = |code| TopicAnswer::Missing(code);
        let table = [
            (Probe::Answers, false, TopicAnswer::There),
            (Probe::Silent(ErrorCode::MSG_TIMED_OUT), true, TopicAnswer::Silent),
            (Probe::Topic(ErrorCode::UNKNOWN_TOPIC_OR_PART), false, missing(ErrorCode::UNKNOWN_TOPIC_OR_PART)),
            (Probe::Topic(ErrorCode::TOPIC_EXCEPTION), false, missing(ErrorCode::TOPIC_EXCEPTION)),
            // It is being made, or it moves.
            (Probe::Topic(ErrorCode::LEADER_NOT_AVAILABLE), true, TopicAnswer::There),
            (Probe::Topic(ErrorCode::TOPIC_AUTHORIZATION_FAILED), false, TopicAnswer::There),
            (Probe::Topic(ErrorCode::TOPIC_AUTHORIZATION_FAILED), true, missing(ErrorCode::TOPIC_AUTHORIZATION_FAILED)),
        ];
        for (probe, knows_others, answer) in table {
            assert_eq!(judge_probe(&probe, knows_others), answer, "{probe:?}");
        }
    }

    #[test]
    fn a_local_refusal_names_the_record_and_a_fatal_cause_may_halt() {
        assert_eq!(judge_refusal(ErrorCode::MSG_SIZE_TOO_LARGE), Verdict::Reject(RejectReason::TooLarge));
        assert_eq!(judge_refusal(ErrorCode::UNKNOWN_TOPIC), Verdict::MissingTopic);
        assert_eq!(judge_refusal(ErrorCode::FATAL), Verdict::Fatal);
        assert_eq!(judge_fatal(ErrorCode::CLUSTER_AUTHORIZATION_FAILED), Verdict::Halt(Exit::Permission));
        assert_eq!(judge_fatal(ErrorCode::UNSUPPORTED_FEATURE), Verdict::Halt(Exit::Protocol));
        assert_eq!(judge_fatal(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER), Verdict::Fatal);
    }
}
