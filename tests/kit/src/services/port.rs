//! Free loopback ports that stay ours: also while a server is down between two starts.

use std::fs::{self, File, OpenOptions};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::path::Path;

use super::cache::Cache;
use super::error::ServiceError;

/// Where ports are taken from when the kernel hands out outgoing ports above it. A port of the kernel's own range could
/// become the near end of any connection while the server that owns it restarts.
const PREFERRED: Range<u16> = 20_000..32_000;
/// Where the kernel writes its range.
const KERNEL_RANGE: &str = "/proc/sys/net/ipv4/ip_local_port_range";
/// How many ports are tried.
const ATTEMPTS: u32 = 500;

/// A port, reserved among the processes that share the cache by a lock on a file named after it.
pub(super) struct Port {
    number: u16,
    /// Held: the kernel frees the lock when the process ends.
    _lock: File,
}

impl Port {
    /// Reserves a port nobody listens on.
    ///
    /// # Errors
    /// None was found, or the lock files cannot be written.
    pub(super) fn reserve(cache: &Cache) -> Result<Port, ServiceError> {
        let folder = cache.folder("ports")?;
        let kernel = fs::read_to_string(KERNEL_RANGE).unwrap_or_default();
        let range = outside(&kernel);
        for _ in 0..ATTEMPTS {
            let number = fastrand::u16(range.clone());
            if let Some(lock) = lock(&folder, number)?
                && TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok()
            {
                return Ok(Port { number, _lock: lock });
            }
        }
        Err(ServiceError::Missing {
            what: format!("a free port in {range:?} on 127.0.0.1"),
            remedy: "end the servers that hold them".to_owned(),
        })
    }

    pub(super) fn number(&self) -> u16 {
        self.number
    }
}

/// The lock of one port, or `None` when another process or thread holds it.
fn lock(folder: &Path, number: u16) -> Result<Option<File>, ServiceError> {
    let path = folder.join(number.to_string());
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|cause| ServiceError::file("open the lock", &path, cause))?;
    Ok(file.try_lock().is_ok().then_some(file))
}

/// The preferred range, cut where the kernel's own (`first last`) begins, unless too little is left.
fn outside(kernel: &str) -> Range<u16> {
    let first: u16 = kernel.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(PREFERRED.end);
    let end = first.min(PREFERRED.end);
    if end >= PREFERRED.start + 1_000 { PREFERRED.start..end } else { PREFERRED }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_own_range_is_left_alone() {
        for (kernel, range) in [
            ("32768\t60999\n", 20_000..32_000),
            ("24000 60999", 20_000..24_000),
            ("16000 65535", 20_000..32_000),
            ("", 20_000..32_000),
        ] {
            assert_eq!(outside(kernel), range, "{kernel:?}");
        }
    }

    #[test]
    fn a_reserved_port_is_not_given_twice() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::at(root.path().to_owned());
        let port = Port::reserve(&cache).unwrap();
        let folder = cache.folder("ports").unwrap();
        assert!(lock(&folder, port.number()).unwrap().is_none());
        let number = port.number();
        drop(port);
        assert!(lock(&folder, number).unwrap().is_some());
    }
}
