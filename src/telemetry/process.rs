//! What the operating system and the allocator say of this process and machine. Everything is optional: what cannot be
//! read is left out, never guessed.

use std::fs;

use serde::{Deserialize, Serialize};

/// Bytes of the allocator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AllocatorBytes {
    /// Asked for by the program.
    pub allocated: u64,
    /// In pages that hold something.
    pub active: u64,
    /// In physical memory.
    pub resident: u64,
}

/// Bytes of the allocator now; `None` where jemalloc is not the allocator.
#[must_use]
pub fn allocator_bytes() -> Option<AllocatorBytes> {
    use jemalloc_ctl::{epoch, stats};
    // The statistics stand still until the epoch is advanced.
    epoch::advance().ok()?;
    let allocated = stats::allocated::read().ok()? as u64;
    let active = stats::active::read().ok()? as u64;
    let resident = stats::resident::read().ok()? as u64;
    (allocated > 0).then_some(AllocatorBytes { allocated, active, resident })
}

/// What the process has used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct ProcessUse {
    /// User and system CPU time of all threads.
    pub cpu_seconds: Option<f64>,
    /// Largest resident set.
    pub peak_memory_bytes: Option<u64>,
}

/// Clock ticks per second in `/proc`: fixed in the kernel's interface to user space on every architecture we build for.
const TICKS_PER_SECOND: f64 = 100.0;

impl ProcessUse {
    /// Read from `/proc`; empty where there is none.
    #[must_use]
    pub fn now() -> Self {
        let stat = fs::read_to_string("/proc/self/stat").ok();
        let status = fs::read_to_string("/proc/self/status").ok();
        Self {
            cpu_seconds: stat.as_deref().and_then(cpu_seconds),
            peak_memory_bytes: status.as_deref().and_then(|text| kib_field(text, "VmHWM:")),
        }
    }
}

/// Fields 14 and 15 of `/proc/self/stat`, counted behind the command name, which may itself hold spaces and brackets.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let behind_name = &stat[stat.rfind(')')? + 1..];
    let mut fields = behind_name.split_ascii_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

/// A line such as `VmHWM:     1234 kB`, in bytes.
fn kib_field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// The machine a run was made on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Model of the processor.
    pub cpu: Option<String>,
    /// Processors this process may use.
    pub cores: usize,
    /// Memory of the machine.
    pub memory_bytes: Option<u64>,
    /// Operating system and kernel.
    pub system: String,
    /// Architecture.
    pub architecture: String,
}

impl Machine {
    /// This machine.
    #[must_use]
    pub fn here() -> Self {
        let read = |path| fs::read_to_string(path).ok();
        let model = |text: String| {
            let line = text.lines().find(|line| line.starts_with("model name"))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let kernel = read("/proc/sys/kernel/osrelease").map(|text| text.trim().to_owned()).unwrap_or_default();
        Self {
            cpu: read("/proc/cpuinfo").and_then(model),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: read("/proc/meminfo").as_deref().and_then(|text| kib_field(text, "MemTotal:")),
            system: format!("{} {kernel}", std::env::consts::OS).trim().to_owned(),
            architecture: std::env::consts::ARCH.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_any_command_name() {
        let stat = "4242 (a b) c) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 8 0";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        assert_eq!(cpu_seconds("no bracket"), None);
        assert_eq!(cpu_seconds("1 (x) S 1 2"), None);
    }

    #[test]
    fn sizes_are_read_in_kib() {
        assert_eq!(kib_field("VmPeak:\t  9 kB\nVmHWM:\t    2048 kB\n", "VmHWM:"), Some(2_097_152));
        assert_eq!(kib_field("VmHWM: many kB", "VmHWM:"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_used_something() {
        let used = ProcessUse::now();
        assert!(used.peak_memory_bytes.is_some_and(|bytes| bytes > 100_000), "{used:?}");
        assert!(used.cpu_seconds.is_some(), "{used:?}");
        assert!(Machine::here().memory_bytes.is_some_and(|bytes| bytes > 1 << 20));
    }
}
