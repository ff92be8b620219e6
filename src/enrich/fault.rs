//! What went wrong with a look-up, and what follows from it. Pure.

use std::time::Duration;

use crate::config::plan::OnLookupError;
use crate::model::Exit;

/// How long refused credentials and answers nobody knows are borne while running, before the pipeline halts.
pub(super) const FORBEARANCE: Duration = Duration::from_secs(300);

const PLAIN: &str = "if the server speaks no TLS at this port, write `redis://` in the connection's url";
const TLS: &str = "if the server speaks TLS at this port, write `rediss://` in the connection's url";

/// Longest error text taken over from a server.
const DETAIL_CHARS: usize = 200;

/// Why a round trip failed. Messages carry no key, no value and no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LookupFault {
    /// No answer in time.
    TimedOut(String),
    /// No connection, a broken one, or a server that says "later".
    Down(String),
    /// Credentials refused or missing.
    Refused(String),
    /// It would go wrong again for ever: wrong type, cluster, no such command or database.
    Wrong(String),
    /// An error or an answer nobody knows.
    Odd(String),
    /// The answer is larger than asked for.
    TooLarge,
}

impl LookupFault {
    /// What happened, for people.
    pub(super) fn message(&self) -> &str {
        match self {
            Self::TimedOut(text) | Self::Down(text) | Self::Refused(text) | Self::Wrong(text) | Self::Odd(text) => text,
            Self::TooLarge => "the answer is larger than its limit",
        }
    }

    /// Whether it is borne for [`FORBEARANCE`] only.
    pub(super) fn is_borne(&self) -> bool {
        match self {
            Self::Refused(_) | Self::Odd(_) => true,
            Self::TimedOut(_) | Self::Down(_) | Self::Wrong(_) | Self::TooLarge => false,
        }
    }

    /// The same of the first exchange with a server, where it is often that only one side speaks TLS.
    pub(super) fn at_first(self, secure: bool) -> Self {
        let cut_off = |text: &str| text.contains("connection broke") || text.contains("no complete answer");
        match self {
            Self::Down(text) if text.contains("UnknownIssuer") || text.contains("invalid peer certificate") => {
                Self::Down(format!("{text}; give the authority that signed its certificate in `tls: {{ ca_file }}`"))
            }
            Self::Down(text) if secure && cut_off(&text) => Self::Down(format!("{text}; {PLAIN}")),
            Self::TimedOut(text) if secure && cut_off(&text) => Self::TimedOut(format!("{text}; {PLAIN}")),
            Self::Down(text) if cut_off(&text) => Self::Down(format!("{text}; {TLS}")),
            Self::Odd(text) if !secure => Self::Odd(format!("{text}; {TLS}")),
            other @ (Self::Down(_)
            | Self::TimedOut(_)
            | Self::Odd(_)
            | Self::Refused(_)
            | Self::Wrong(_)
            | Self::TooLarge) => other,
        }
    }

    /// The server is one of several that share the keys.
    pub(super) fn of_cluster() -> Self {
        Self::Wrong(
            "the server is a member of a Redis Cluster, which look-ups do not follow: name a server that holds all hashes \
             itself, such as a replica of a database without cluster mode"
                .to_owned(),
        )
    }

    /// The server watches over others and holds no keys.
    pub(super) fn of_sentinel() -> Self {
        Self::Wrong(
            "the server is a Redis Sentinel, which holds no hashes: name the server it watches over, which \
             `SENTINEL GET-MASTER-ADDR-BY-NAME` tells, or one of its replicas"
                .to_owned(),
        )
    }

    /// Judges an error reply to a look-up. The codes are those of Redis and its forks.
    pub(super) fn of_reply(code: &str, detail: &str) -> Self {
        let text = if detail.is_empty() { code.to_owned() } else { format!("{code} {}", shorten(detail)) };
        match code {
            "WRONGTYPE" => Self::Wrong(
                "WRONGTYPE: a key of this pattern holds no hash; correct the key template, or the data".to_owned(),
            ),
            "MOVED" | "ASK" | "CROSSSLOT" => Self::Wrong(format!(
                "{text}: the server is a member of a Redis Cluster, which look-ups do not follow; name a server that \
                 holds the hashes itself"
            )),
            "NOAUTH" | "WRONGPASS" | "NOPERM" => Self::Refused(format!(
                "{text}; correct the user and password in the connection's url, or the user's rights"
            )),
            "LOADING" | "BUSY" | "TRYAGAIN" | "CLUSTERDOWN" | "MASTERDOWN" => Self::Down(text),
            "ERR" if detail.starts_with("unknown command") => {
                Self::Wrong(format!("{text}; the server must know HMGET and HGETALL"))
            }
            "ERR" if detail.starts_with("max number of clients") => Self::Down(text),
            _ => Self::Odd(text),
        }
    }

    /// Judges an error reply to AUTH. Servers quote arguments in some errors, so the text is not taken over.
    pub(super) fn of_auth(code: &str) -> Self {
        match code {
            "LOADING" | "BUSY" | "MASTERDOWN" => Self::Down(code.to_owned()),
            _ => Self::Refused(format!(
                "{code} in answer to AUTH; correct the user and password in the connection's url"
            )),
        }
    }

    /// Judges an error reply to SELECT.
    pub(super) fn of_select(code: &str, detail: &str) -> Self {
        match Self::of_reply(code, detail) {
            Self::Odd(text) => Self::Wrong(format!("{text}, in answer to SELECT; correct the database in the url")),
            other @ (Self::TimedOut(_) | Self::Down(_) | Self::Refused(_) | Self::Wrong(_) | Self::TooLarge) => other,
        }
    }
}

/// Cuts the arguments a server quotes (they are keys, data) and anything overlong.
fn shorten(detail: &str) -> String {
    let own = detail.split(", with args").next().unwrap_or_default();
    own.chars().take(DETAIL_CHARS).collect()
}

/// What follows from a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Wait and ask again.
    Wait,
    /// Answer [`super::Found::Unavailable`].
    GoWithout,
    /// Halt the pipeline.
    Halt(Exit),
}

/// What follows from `fault`, which in this kind has lasted for `lasted`.
pub(super) fn next(fault: &LookupFault, on_error: OnLookupError, lasted: Duration) -> Next {
    match (fault, on_error) {
        (LookupFault::Wrong(_), _) => Next::Halt(Exit::Protocol),
        (LookupFault::TooLarge, _) => Next::Halt(Exit::Config),
        (LookupFault::Refused(_), OnLookupError::Stop) => Next::Halt(Exit::Permission),
        (LookupFault::Refused(_), OnLookupError::Retry | OnLookupError::Keep) if lasted >= FORBEARANCE => {
            Next::Halt(Exit::Permission)
        }
        (LookupFault::Refused(_), OnLookupError::Retry | OnLookupError::Keep) => Next::Wait,
        (LookupFault::Odd(_), OnLookupError::Stop) => Next::Halt(Exit::Protocol),
        (LookupFault::Odd(_), OnLookupError::Retry) if lasted >= FORBEARANCE => Next::Halt(Exit::Protocol),
        (LookupFault::TimedOut(_) | LookupFault::Down(_), OnLookupError::Stop) => Next::Halt(Exit::Temporary),
        (LookupFault::TimedOut(_) | LookupFault::Down(_) | LookupFault::Odd(_), OnLookupError::Keep) => Next::GoWithout,
        (LookupFault::TimedOut(_) | LookupFault::Down(_) | LookupFault::Odd(_), OnLookupError::Retry) => Next::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_replies_are_judged_by_code() {
        type Check = fn(&LookupFault) -> bool;
        let cases: [(&str, &str, Check); 11] = [
            ("WRONGTYPE", "Operation against a key", |f| matches!(f, LookupFault::Wrong(_))),
            ("MOVED", "3999 127.0.0.1:6381", |f| matches!(f, LookupFault::Wrong(t) if t.contains("Cluster"))),
            ("NOAUTH", "Authentication required.", |f| matches!(f, LookupFault::Refused(_))),
            ("WRONGPASS", "invalid username-password pair", |f| matches!(f, LookupFault::Refused(_))),
            ("NOPERM", "this user has no permissions", |f| matches!(f, LookupFault::Refused(_))),
            ("LOADING", "Redis is loading the dataset", |f| matches!(f, LookupFault::Down(_))),
            ("CLUSTERDOWN", "The cluster is down", |f| matches!(f, LookupFault::Down(_))),
            ("ERR", "max number of clients reached", |f| matches!(f, LookupFault::Down(_))),
            (
                "ERR",
                "unknown command 'HMGET', with args beginning with: 'user:secret'",
                |f| matches!(f, LookupFault::Wrong(t) if !t.contains("secret")),
            ),
            ("ERR", "something new", |f| matches!(f, LookupFault::Odd(_))),
            ("NEWCODE", "", |f| matches!(f, LookupFault::Odd(_))),
        ];
        for (code, detail, check) in cases {
            let fault = LookupFault::of_reply(code, detail);
            assert!(check(&fault), "{code} {detail}: {fault:?}");
        }
    }

    #[test]
    fn a_first_exchange_that_fails_names_the_side_without_tls() {
        let down = || LookupFault::Down("the connection broke: Connection reset by peer".to_owned());
        for (fault, secure, part) in [
            (down(), false, "`rediss://`"),
            (down(), true, "`redis://`"),
            (LookupFault::TimedOut("no complete answer within 1s".to_owned()), true, "`redis://`"),
            (LookupFault::Odd("the answer is not the Redis protocol".to_owned()), false, "`rediss://`"),
            (
                LookupFault::Down("the connection broke: invalid peer certificate: UnknownIssuer".to_owned()),
                true,
                "ca_file",
            ),
        ] {
            let told = fault.at_first(secure);
            assert!(told.message().contains(part), "{told:?}");
        }
        let refused = LookupFault::Down("cannot connect: Connection refused".to_owned());
        assert_eq!(refused.clone().at_first(true), refused);
    }

    #[test]
    fn login_errors_name_the_remedy_and_quote_nothing() {
        assert!(matches!(LookupFault::of_auth("ERR"), LookupFault::Refused(text) if text.contains("url")));
        assert!(matches!(LookupFault::of_auth("LOADING"), LookupFault::Down(_)));
        assert!(matches!(LookupFault::of_select("ERR", "DB index is out of range"), LookupFault::Wrong(_)));
        assert!(matches!(LookupFault::of_select("NOPERM", "no"), LookupFault::Refused(_)));
        assert!(matches!(LookupFault::of_select("LOADING", ""), LookupFault::Down(_)));
    }

    #[test]
    fn policy_decides_outages_and_patience_decides_the_rest() {
        use OnLookupError::{Keep, Retry, Stop};
        let text = String::new;
        let (soon, late) = (Duration::from_secs(1), FORBEARANCE);
        let cases = [
            (LookupFault::Down(text()), Retry, late, Next::Wait),
            (LookupFault::TimedOut(text()), Retry, late, Next::Wait),
            (LookupFault::TimedOut(text()), Keep, soon, Next::GoWithout),
            (LookupFault::Down(text()), Stop, soon, Next::Halt(Exit::Temporary)),
            (LookupFault::Refused(text()), Retry, soon, Next::Wait),
            (LookupFault::Refused(text()), Keep, soon, Next::Wait),
            (LookupFault::Refused(text()), Keep, late, Next::Halt(Exit::Permission)),
            (LookupFault::Refused(text()), Retry, late, Next::Halt(Exit::Permission)),
            (LookupFault::Refused(text()), Stop, soon, Next::Halt(Exit::Permission)),
            (LookupFault::Wrong(text()), Keep, soon, Next::Halt(Exit::Protocol)),
            (LookupFault::Odd(text()), Retry, soon, Next::Wait),
            (LookupFault::Odd(text()), Retry, late, Next::Halt(Exit::Protocol)),
            (LookupFault::Odd(text()), Keep, late, Next::GoWithout),
            (LookupFault::TooLarge, Keep, soon, Next::Halt(Exit::Config)),
        ];
        for (fault, on_error, lasted, expected) in cases {
            assert_eq!(next(&fault, on_error, lasted), expected, "{fault:?} {on_error:?} {lasted:?}");
        }
    }
}
