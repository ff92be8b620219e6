//! The one integration-test binary.

mod services_smoke;
mod support;
