//! Exit codes of the process, after sysexits.h where it has one.

/// Why the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exit {
    /// Done, or drained after a signal.
    Done,
    /// Unexpected failure; `test` had failures.
    Failure,
    /// Wrong command line.
    Usage,
    /// Stopped by rejects: `on_reject: stop`, the breaker, or a bounded run that rejected more than allowed. Or `try`
    /// rejected something.
    Rejected,
    /// A server stayed unreachable at start beyond `startup.timeout`.
    Unavailable,
    /// Shutdown deadline passed, or a halt that waiting may cure: work is left uncommitted.
    Temporary,
    /// A server broke the protocol or its set-up is wrong for this pipeline.
    Protocol,
    /// Credentials refused.
    Permission,
    /// Configuration invalid, or its listen address taken.
    Config,
}

impl Exit {
    /// The process exit code.
    #[must_use]
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::Rejected => 65,
            Self::Unavailable => 69,
            Self::Temporary => 75,
            Self::Protocol => 76,
            Self::Permission => 77,
            Self::Config => 78,
        }
    }
}
