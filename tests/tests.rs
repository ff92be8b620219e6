//! The one integration-test binary.

#[cfg(test)]
mod cli;
#[cfg(test)]
mod gate;
#[cfg(test)]
mod races;
#[cfg(test)]
mod real;
#[cfg(test)]
mod real_exits;
#[cfg(test)]
mod services_smoke;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tidy;
