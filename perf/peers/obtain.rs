//! How each peer is had: found, built or fetched. Nothing is installed into the system unless that was asked for.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use sluicegate_testkit::services::mirror_maker;

use super::{Peer, Program, Ready};
use crate::install;
use crate::machine::below_perf;

const GO_FOLDERS: [&str; 1] = ["/usr/local/go/bin"];
const SYSTEM_FOLDERS: [&str; 1] = ["/usr/sbin"];
/// Where rsyslog's modules may be; a star is any one folder.
const MODULE_FOLDERS: [&str; 3] = ["/usr/lib/*/rsyslog", "/usr/lib/rsyslog", "/usr/lib64/rsyslog"];
const MODULES: [&str; 4] = ["imkafka.so", "omkafka.so", "omelasticsearch.so", "mmjsonparse.so"];
const RSYSLOG_PACKAGES: [&str; 3] = ["rsyslog", "rsyslog-kafka", "rsyslog-elasticsearch"];
/// The crate builds its client library with them.
const ARROYO_PACKAGES: [&str; 2] = ["cmake", "libcurl4-openssl-dev"];
const CURL_HEADERS: [&str; 2] = ["/usr/include/curl", "/usr/include/*/curl"];

/// Finds, builds or fetches one.
///
/// # Errors
/// It cannot be had here; the first line says why without naming places of this machine.
pub fn obtain(peer: Peer, install: bool) -> anyhow::Result<Ready> {
    match peer {
        Peer::Bento => bento(),
        Peer::Rsyslog => rsyslog(install),
        Peer::Arroyo => arroyo(install),
        Peer::Mirror => {
            let maker = mirror_maker::obtain().context("its Java archives cannot be had")?;
            let version = format!("connect-mirror {}", mirror_maker::VERSION);
            Ok(Ready { program: Program::Java(maker), version })
        }
    }
}

fn bento() -> anyhow::Result<Ready> {
    let go = install::find("go", &GO_FOLDERS).context("there is no Go")?;
    let source = below_perf("peers/bento");
    let program = install::folder("peers")?.join("bento");
    let mut build = Command::new(go);
    build.current_dir(&source).args(["build", "-trimpath", "-buildvcs=false", "-mod=readonly", "-o"]);
    building(Peer::Bento, &program);
    install::finish(build.arg(&program).arg(".")).context("its Go module cannot be fetched or built")?;
    let module = fs::read_to_string(source.join("go.mod"))?;
    let of = |module_path: &str| go_version(&module, module_path).unwrap_or_else(|| "unknown".to_owned());
    let version = format!(
        "Bento {}, franz-go {}, go-elasticsearch {}",
        of("github.com/warpstreamlabs/bento"),
        of("github.com/twmb/franz-go"),
        of("github.com/elastic/go-elasticsearch/v9")
    );
    Ok(Ready { program: Program::File(program), version })
}

/// The version of a module in the text of a `go.mod`.
fn go_version(text: &str, module: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip_while(|word| *word == "require");
        (words.next() == Some(module)).then(|| words.next().unwrap_or_default().trim_start_matches('v').to_owned())
    })
}

fn arroyo(install: bool) -> anyhow::Result<Ready> {
    let missing = || {
        let cmake = install::find("cmake", &[]).is_none();
        let curl = !folders(&CURL_HEADERS).iter().any(|folder| folder.join("curl.h").is_file());
        [cmake, curl]
            .into_iter()
            .zip(ARROYO_PACKAGES)
            .filter_map(|(missing, package)| missing.then_some(package))
            .collect()
    };
    packages(&missing, install)?;
    let cargo = std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from);
    let source = below_perf("peers/arroyo");
    let folder = install::folder("peers")?.join("arroyo");
    let mut build = Command::new(cargo);
    build.args(["build", "--release", "--locked", "--manifest-path"]).arg(source.join("Cargo.toml"));
    building(Peer::Arroyo, &folder);
    install::finish(build.arg("--target-dir").arg(&folder)).context("its crate cannot be fetched or built")?;
    let lock = fs::read_to_string(source.join("Cargo.lock"))?;
    let of = |name: &str| crate_version(&lock, name).unwrap_or_else(|| "unknown".to_owned());
    let version = format!("sentry_arroyo {}, rdkafka-sys {}", of("sentry_arroyo"), of("rdkafka-sys"));
    Ok(Ready { program: Program::File(folder.join("release/peer-arroyo")), version })
}

/// The version of a crate in the text of a `Cargo.lock`.
fn crate_version(text: &str, name: &str) -> Option<String> {
    let rest = text.split_once(&format!("name = \"{name}\"\nversion = \""))?.1;
    Some(rest.split_once('"')?.0.to_owned())
}

fn rsyslog(install: bool) -> anyhow::Result<Ready> {
    let missing = || {
        let found = folders(&MODULE_FOLDERS);
        let is_there = |module: &str| found.iter().any(|folder| folder.join(module).is_file());
        let all = install::find("rsyslogd", &SYSTEM_FOLDERS).is_some() && MODULES.iter().all(|module| is_there(module));
        if all { Vec::new() } else { RSYSLOG_PACKAGES.to_vec() }
    };
    packages(&missing, install)?;
    let program = install::find("rsyslogd", &SYSTEM_FOLDERS).context("there is no rsyslogd")?;
    let told = install::finish(Command::new(&program).arg("-v")).context("rsyslogd does not tell its version")?;
    let version = told.split_whitespace().nth(1).unwrap_or("unknown").to_owned();
    Ok(Ready { program: Program::File(program), version: format!("rsyslog {version}") })
}

/// Installs what is missing, where that was asked for.
fn packages(missing: &dyn Fn() -> Vec<&'static str>, install: bool) -> anyhow::Result<()> {
    let wanted = missing();
    if wanted.is_empty() {
        return Ok(());
    }
    let names = wanted.join(" ");
    if !install {
        bail!("missing Debian packages: {names}; install them, or add --install as root");
    }
    eprintln!("installing the Debian packages {names}");
    let apt = |words: &[&str]| {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").args(["-q", "-o", "DPkg::Lock::Timeout=300"]).args(words);
        install::finish(&mut command).with_context(|| format!("the Debian packages {names} cannot be installed"))
    };
    apt(&["update"])?;
    apt(&[&["install", "-y", "--no-install-recommends"], wanted.as_slice()].concat())?;
    let left = missing();
    if !left.is_empty() {
        bail!("still missing after installing {names}: {}", left.join(" "));
    }
    Ok(())
}

/// The folders there are of these, each with at most one star for one name.
fn folders(patterns: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for pattern in patterns {
        match pattern.split_once("/*/") {
            None => found.push(PathBuf::from(pattern)),
            Some((root, rest)) => {
                let entries = fs::read_dir(root).into_iter().flatten().flatten();
                found.extend(entries.map(|entry| entry.path().join(rest)));
            }
        }
    }
    found.retain(|folder| folder.is_dir());
    found
}

fn building(peer: Peer, place: &Path) {
    if !place.exists() {
        eprintln!("building {} in {}: this takes minutes, once", peer.name(), place.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_the_lock_files_that_are_committed() {
        let module = fs::read_to_string(below_perf("peers/bento/go.mod")).expect("a module");
        for name in
            ["github.com/warpstreamlabs/bento", "github.com/twmb/franz-go", "github.com/elastic/go-elasticsearch/v9"]
        {
            let version = go_version(&module, name).unwrap_or_else(|| panic!("{name}"));
            assert!(version.starts_with(|digit: char| digit.is_ascii_digit()), "{name} {version}");
        }
        assert_eq!(go_version(&module, "github.com/no/such"), None);
        let lock = fs::read_to_string(below_perf("peers/arroyo/Cargo.lock")).expect("a lock file");
        assert_eq!(crate_version(&lock, "sentry_arroyo").as_deref(), Some("2.49.0"));
        assert!(crate_version(&lock, "rdkafka-sys").is_some());
        assert_eq!(crate_version(&lock, "no-such-crate"), None);
    }

    #[test]
    fn nothing_is_installed_unasked() {
        let text = packages(&|| vec!["a", "b"], false).expect_err("they are missing").to_string();
        assert!(text.contains("a b") && text.contains("--install"), "{text}");
        packages(&Vec::new, false).expect("nothing is missing");
    }

    #[test]
    fn a_star_is_any_one_folder() {
        let root = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(root.path().join("x86/modules")).expect("made");
        fs::create_dir_all(root.path().join("other")).expect("made");
        let pattern = format!("{}/*/modules", root.path().display());
        assert_eq!(folders(&[&pattern, "/no/such/folder"]), [root.path().join("x86/modules")]);
    }
}
