//! `SLUICEGATE_TEST_SERVICES`: what to do where real servers are not at hand.

use super::error::ServiceError;

/// The variable.
const VARIABLE: &str = "SLUICEGATE_TEST_SERVICES";

/// Whether tests on real servers run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Run what can be run, fetching what is missing; skip the rest and say so at the end.
    Auto,
    /// A server that cannot be had fails the test.
    Required,
    /// Skip every test on real servers.
    Off,
}

impl Mode {
    /// The mode written in the environment; unset and empty mean [`Mode::Auto`].
    ///
    /// # Errors
    /// Any word but `auto`, `required` and `off`: a typing error must not switch a required test off.
    pub fn from_environment() -> Result<Mode, ServiceError> {
        Mode::parse(std::env::var(VARIABLE).ok().as_deref())
    }

    /// The mode of a written value.
    fn parse(value: Option<&str>) -> Result<Mode, ServiceError> {
        match value.unwrap_or_default() {
            "" | "auto" => Ok(Mode::Auto),
            "required" => Ok(Mode::Required),
            "off" => Ok(Mode::Off),
            other => Err(ServiceError::Variable {
                variable: VARIABLE,
                value: other.to_owned(),
                allowed: "auto, required or off",
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Mode;

    #[test]
    fn words_and_their_modes() {
        for (value, mode) in [
            (None, Mode::Auto),
            (Some(""), Mode::Auto),
            (Some("auto"), Mode::Auto),
            (Some("required"), Mode::Required),
            (Some("off"), Mode::Off),
        ] {
            assert_eq!(Mode::parse(value), Ok(mode), "{value:?}");
        }
    }

    #[test]
    fn a_typing_error_is_not_a_mode() {
        for value in ["Required", "on", "require", " off"] {
            let text = Mode::parse(Some(value)).unwrap_err().to_string();
            assert!(text.contains("SLUICEGATE_TEST_SERVICES") && text.contains(value), "{text}");
        }
    }
}
