//! Elasticsearch, one node: 6.8.2 embedded from its jars, 8.19.21 from its archive.
//!
//! Both lack what a full distribution adds (scripts, ingest, reindex); they have `_bulk`, `_search`, `_mget`, `_count`.
//! The 8.x archive answers `GET /` with 405, as some gateways do.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::cache::Cache;
use super::error::ServiceError;
use super::java::Java;
use super::maven::{Artefact, Contents};
use super::packages;
use super::port::Port;
use super::process::{Launch, Ready, Server};
use super::scratch::{self, Scratch};
use super::service::Service;

/// The versions that can be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// 6.8.2, the one the main job runs on. Needs a `_type` in every action.
    V6,
    /// 8.19.21, the newest 8.x. Refuses `_type`.
    V8,
}

const JARS_6: Artefact = Artefact {
    name: "elasticsearch-6.8.2",
    download: "26 MB",
    contents: Contents::Jars(&[
        "org.elasticsearch:elasticsearch:6.8.2",
        "org.elasticsearch.plugin:transport-netty4-client:6.8.2",
        "org.apache.logging.log4j:log4j-core:2.11.1",
    ]),
};
const ARCHIVE_8: Artefact = Artefact {
    name: "elasticsearch-8.19.21",
    download: "107 MB",
    contents: Contents::Distribution("org.elasticsearch.distribution.integ-test-zip:elasticsearch:8.19.21:zip"),
};
/// The top folder inside the archive.
const ARCHIVE_8_TOP: &str = "elasticsearch-8.19.21";
/// The program around the jars; compiled by `java` itself at each start.
const NODE_6: &str = include_str!("EmbeddedNode.java");
/// Logging of the embedded node.
const LOGGING: &str = include_str!("log4j2.properties");
/// Java heap, both ways.
const HEAP: [&str; 2] = ["-Xms512m", "-Xmx512m"];
/// `nobody`: Elasticsearch's archive refuses to run as root.
const UNPRIVILEGED: u32 = 65_534;

/// What an embedded 6.8.2 needs on a Java newer than its own.
const JVM_6: [&str; 10] = [
    "-XX:+UseG1GC",
    "-Djna.nosys=true",
    "-Dio.netty.noUnsafe=true",
    "-Dio.netty.noKeySetOptimization=true",
    "-Dio.netty.recycler.maxCapacityPerThread=0",
    "-Des.set.netty.runtime.available.processors=false",
    "-Dlog4j.shutdownHookEnabled=false",
    "-Dlog4j2.disable.jmx=true",
    "--add-opens=java.base/java.lang=ALL-UNNAMED",
    "--add-opens=java.base/java.nio=ALL-UNNAMED",
];

/// Starts one node with an empty data folder. `settings` are lines of `elasticsearch.yml` beside ours, for example
/// `("http.max_content_length", "1mb")`; none may repeat one of ours.
///
/// # Errors
/// Java, the server or a port cannot be had; the node ended or was not ready in time.
pub fn start(version: Version, settings: &[(&str, &str)]) -> Result<Service, ServiceError> {
    let cache = Cache::of_user()?;
    let java = Java::find(&cache)?;
    let (http, transport) = (Port::reserve(&cache)?, Port::reserve(&cache)?);
    let scratch = Scratch::make("elasticsearch")?;
    let ports = Ports { http: http.number(), transport: transport.number() };
    let launch = match version {
        Version::V6 => embedded(&JARS_6.obtain(&cache, &java)?, &java, &scratch, &ports, settings)?,
        Version::V8 => archive(&ARCHIVE_8.obtain(&cache, &java)?, &java, &scratch, &ports, settings)?,
    };
    let endpoint = format!("http://127.0.0.1:{}", http.number());
    let mut server = Server::new(launch, scratch)?;
    server.start()?;
    Ok(Service::started(endpoint, server, vec![http, transport]))
}

struct Ports {
    http: u16,
    transport: u16,
}

fn embedded(
    jars: &Path,
    java: &Java,
    scratch: &Scratch,
    ports: &Ports,
    given: &[(&str, &str)],
) -> Result<Launch, ServiceError> {
    scratch.folder("config")?;
    let temporary = scratch.folder("tmp")?;
    scratch.write("config/elasticsearch.yml", &settings(Version::V6, scratch.path(), ports, given))?;
    let node = scratch.write("EmbeddedNode.java", NODE_6)?;
    let logging = scratch.write("log4j2.properties", LOGGING)?;
    let mut arguments: Vec<OsString> = HEAP.iter().chain(&JVM_6).map(OsString::from).collect();
    arguments.extend([
        "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED".into(),
        format!("-Djava.io.tmpdir={}", temporary.display()).into(),
        format!("-Dlog4j2.configurationFile={}", logging.display()).into(),
        "-cp".into(),
        format!("{}/*", jars.display()).into(),
        node.into(),
        scratch.path().into(),
    ]);
    Ok(Launch {
        name: "Elasticsearch 6.8.2".to_owned(),
        program: java.program(),
        arguments,
        environment: Vec::new(),
        user: None,
        port: ports.http,
        ready: Ready::ClusterHealth,
    })
}

fn archive(
    cached: &Path,
    java: &Java,
    scratch: &Scratch,
    ports: &Ports,
    given: &[(&str, &str)],
) -> Result<Launch, ServiceError> {
    let root = packages::is_root();
    let home = distribution(&cached.join(ARCHIVE_8_TOP), scratch, root)?;
    let config = scratch.path().join("config");
    scratch::copy_folder(&home.join("config"), &config, false)?;
    let logs = scratch.folder("logs")?;
    let temporary = scratch.folder("tmp")?;
    let data = scratch.folder("data")?;
    let options = config.join("jvm.options");
    let text = fs::read_to_string(&options).map_err(|cause| ServiceError::file("read", &options, cause))?;
    scratch.write("config/jvm.options", &jvm_options(&text, &logs.display().to_string()))?;
    scratch.write("config/elasticsearch.yml", &settings(Version::V8, scratch.path(), ports, given))?;
    if root {
        for folder in [&config, &logs, &temporary, &data] {
            scratch::give_to(folder, UNPRIVILEGED)?;
        }
    }
    Ok(Launch {
        name: "Elasticsearch 8.19.21".to_owned(),
        program: home.join("bin/elasticsearch"),
        arguments: Vec::new(),
        environment: vec![
            ("ES_JAVA_HOME", java.home().into()),
            ("ES_PATH_CONF", config.into()),
            ("ES_TMPDIR", (&temporary).into()),
            ("ES_JAVA_OPTS", HEAP.join(" ").into()),
            // The launcher is a JVM of its own.
            ("CLI_JAVA_OPTS", "-Xmx64m".into()),
            ("HOME", temporary.into()),
        ],
        user: root.then_some(UNPRIVILEGED),
        port: ports.http,
        ready: Ready::ClusterHealth,
    })
}

/// The unpacked archive where the server's user can reach it: a home folder of root is closed to others.
fn distribution(cached: &Path, scratch: &Scratch, root: bool) -> Result<PathBuf, ServiceError> {
    let home = if root { scratch.path().join("home") } else { cached.to_owned() };
    if root {
        scratch::copy_folder(cached, &home, true)?;
    }
    let start = home.join("bin/elasticsearch");
    fs::set_permissions(&start, fs::Permissions::from_mode(0o755))
        .map_err(|cause| ServiceError::file("make executable", &start, cause))?;
    Ok(home)
}

/// The archive's `jvm.options` without the files it would write into its own folder.
fn jvm_options(text: &str, logs: &str) -> String {
    let line = |line: &str| {
        if line.contains("gc.log") {
            None
        } else if line.contains("-XX:HeapDumpPath=") {
            Some(format!("-XX:HeapDumpPath={logs}\n"))
        } else if line.contains("-XX:ErrorFile=") {
            Some(format!("-XX:ErrorFile={logs}/hs_err_pid%p.log\n"))
        } else {
            Some(format!("{line}\n"))
        }
    };
    text.lines().filter_map(line).collect()
}

/// The text of `elasticsearch.yml`.
fn settings(version: Version, folder: &Path, ports: &Ports, given: &[(&str, &str)]) -> String {
    let folder = folder.display();
    let mut text = format!(
        "cluster.name: sluicegate-test\nnode.name: one\nnetwork.host: 127.0.0.1\nhttp.port: {}\n\
         discovery.type: single-node\npath.data: {folder}/data\npath.logs: {folder}/logs\n\
         cluster.routing.allocation.disk.threshold_enabled: false\n",
        ports.http
    );
    text.push_str(&match version {
        Version::V6 => format!("transport.tcp.port: {}\n", ports.transport),
        Version::V8 => format!("transport.port: {}\nxpack.security.enabled: false\n", ports.transport),
    });
    for (name, value) in given {
        text.push_str(&format!("{name}: {value}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_writes_nothing_into_its_own_folder() {
        let text = "## heap\n-XX:HeapDumpPath=data\n-XX:ErrorFile=logs/hs_err_pid%p.log\n\
                    -Xlog:gc*,gc+age=trace,safepoint:file=logs/gc.log:utctime\n17-:-Xlog:file=gc.log\n-Xss1m\n";
        let adapted = jvm_options(text, "/l");
        assert_eq!(adapted, "## heap\n-XX:HeapDumpPath=/l\n-XX:ErrorFile=/l/hs_err_pid%p.log\n-Xss1m\n");
    }

    #[test]
    fn each_version_gets_its_own_words() {
        let ports = Ports { http: 1, transport: 2 };
        let six = settings(Version::V6, Path::new("/f"), &ports, &[("http.max_content_length", "1mb")]);
        assert!(six.contains("transport.tcp.port: 2\n") && !six.contains("xpack"), "{six}");
        assert!(six.ends_with("http.max_content_length: 1mb\n"), "{six}");
        let eight = settings(Version::V8, Path::new("/f"), &ports, &[]);
        assert!(eight.contains("\ntransport.port: 2\n") && eight.contains("xpack.security.enabled: false"), "{eight}");
    }
}
