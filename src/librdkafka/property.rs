//! Names and values of configuration properties, judged by the C library itself: offline, before anything runs.

use super::conf::Conf;

/// Whether the library knows the property and takes the value.
///
/// # Errors
/// Its own words where it has any. They may quote the value: not for secrets.
pub fn accepted(name: &str, value: &str) -> Result<(), Option<String>> {
    Conf::new().try_set(name, value)
}
