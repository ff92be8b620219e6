//! Redis from Debian.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use super::cache::Cache;
use super::error::ServiceError;
use super::packages;
use super::port::Port;
use super::process::{Launch, Ready, Server};
use super::scratch::Scratch;
use super::service::Service;

/// Debian's `redis-tools` holds the one binary that is server and checker by the name it is called with, and, unlike
/// `redis-server`, no service that would start on the machine.
const CHECKER: &str = "/usr/bin/redis-check-rdb";

/// Starts an empty server. Its hashes survive [`Service::restart`] (a snapshot is written when it stops in good order),
/// not [`Service::kill9`].
///
/// # Errors
/// Redis or a port cannot be had; the server ended or was not ready in time.
pub fn start() -> Result<Service, ServiceError> {
    let cache = Cache::of_user()?;
    let program = program(&cache)?;
    let port = Port::reserve(&cache)?;
    let scratch = Scratch::make("redis")?;
    let settings =
        scratch.write("redis.conf", &settings(port.number(), &scratch.folder("data")?.display().to_string()))?;
    let launch = Launch {
        name: "Redis".to_owned(),
        program,
        arguments: vec![settings.into()],
        environment: Vec::new(),
        user: None,
        port: port.number(),
        ready: Ready::LogLine("Ready to accept connections"),
    };
    let endpoint = format!("redis://127.0.0.1:{}", port.number());
    let mut server = Server::new(launch, scratch)?;
    server.start()?;
    Ok(Service::started(endpoint, server, vec![port]))
}

/// The server's binary, from `PATH` or Debian.
fn program(cache: &Cache) -> Result<PathBuf, ServiceError> {
    if let Some(program) = packages::in_path("redis-server") {
        return Ok(program);
    }
    if !packages::is_executable(CHECKER.as_ref()) {
        packages::install(cache, "redis-tools", "about 1 MB")?;
    }
    let folder = cache.obtain("redis", |folder| {
        let link = folder.join("redis-server");
        symlink(CHECKER, &link).map_err(|cause| ServiceError::file("link", &link, cause))
    })?;
    Ok(folder.join("redis-server"))
}

/// The text of `redis.conf`. The one save point is out of reach: it makes an orderly stop write a snapshot, and nothing
/// else.
fn settings(port: u16, data: &str) -> String {
    format!(
        "bind 127.0.0.1\nport {port}\ndir {data}\nsave 1000000000 1000000000\nappendonly no\ndaemonize no\n\
         stop-writes-on-bgsave-error no\n"
    )
}
