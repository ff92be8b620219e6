//! The one integration-test binary.

// `cfg(test)` is always set here; it tells clippy that helpers in these modules are tests too.
#[cfg(test)]
mod services_smoke;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tidy;
