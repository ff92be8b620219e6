//! Java archives from Maven Central, by Maven itself: a server's jars with all they need, or an unpacked distribution.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::cache::Cache;
use super::error::ServiceError;
use super::java::Java;
use super::packages;
use super::run::run;

/// The plug-in both goals belong to; the version the set-up was measured with.
const PLUGIN: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1";
/// How long one call may take, with an empty local repository and a slow line.
const LIMIT: Duration = Duration::from_secs(600);

/// One thing to fetch.
pub(super) struct Artefact {
    /// Folder in the cache; changes whenever the contents would.
    pub(super) name: &'static str,
    /// About how much is downloaded, for the announcement.
    pub(super) download: &'static str,
    pub(super) contents: Contents,
}

/// What an artefact consists of.
pub(super) enum Contents {
    /// These `group:artifact:version` with their runtime dependencies, as jars in one folder.
    Jars(&'static [&'static str]),
    /// One `group:artifact:version:zip`, unpacked.
    Distribution(&'static str),
}

impl Artefact {
    /// The folder with the artefact, fetched when it is not in the cache.
    ///
    /// # Errors
    /// No Maven and no way to install it, or Maven failed twice.
    pub(super) fn obtain(&self, cache: &Cache, java: &Java) -> Result<PathBuf, ServiceError> {
        cache.obtain(self.name, |folder| {
            let maven = match packages::in_path("mvn") {
                Some(maven) => maven,
                None => {
                    packages::install(cache, "maven", "about 12 MB")?;
                    PathBuf::from("mvn")
                }
            };
            // Maven 3's local repository is not safe for two processes.
            let _lock = cache.lock("maven")?;
            packages::announce(&format!("fetching {} from Maven Central ({})", self.name, self.download));
            // A dropped connection is common enough to deserve one more try; what was fetched stays in the repository.
            self.fetch(&maven, java, folder).or_else(|_| self.fetch(&maven, java, folder))
        })
    }

    fn fetch(&self, maven: &Path, java: &Java, folder: &Path) -> Result<(), ServiceError> {
        let mut command = Command::new(maven);
        command.args(["-q", "-B"]).env("JAVA_HOME", java.home()).current_dir(folder);
        let output = format!("-DoutputDirectory={}", folder.display());
        match self.contents {
            Contents::Jars(coordinates) => {
                let pom = folder.join("pom.xml");
                fs::write(&pom, project(coordinates)).map_err(|cause| ServiceError::file("write", &pom, cause))?;
                command.arg(format!("{PLUGIN}:copy-dependencies")).args(["-DincludeScope=runtime", &output]);
            }
            Contents::Distribution(coordinate) => {
                command.arg(format!("{PLUGIN}:unpack")).args([format!("-Dartifact={coordinate}"), output]);
            }
        }
        run(&mut command, LIMIT).map(|_| ())
    }
}

/// A project that does nothing but depend on the coordinates.
fn project(coordinates: &[&str]) -> String {
    let mut text = String::from(
        "<project><modelVersion>4.0.0</modelVersion><groupId>sluicegate</groupId><artifactId>services</artifactId>\
         <version>1</version><packaging>pom</packaging><dependencies>",
    );
    for coordinate in coordinates {
        let mut parts = coordinate.split(':');
        for element in ["groupId", "artifactId", "version"] {
            let opening = if element == "groupId" { "<dependency>" } else { "" };
            text.push_str(&format!("{opening}<{element}>{}</{element}>", parts.next().unwrap_or_default()));
        }
        text.push_str("</dependency>");
    }
    text.push_str("</dependencies></project>\n");
    text
}

#[cfg(test)]
mod tests {
    use super::project;

    #[test]
    fn a_project_names_each_coordinate() {
        let text = project(&["g:a:1", "h:b:2"]);
        for part in [
            "<dependency><groupId>g</groupId><artifactId>a</artifactId><version>1</version></dependency>",
            "<dependency><groupId>h</groupId><artifactId>b</artifactId><version>2</version></dependency>",
            "<packaging>pom</packaging>",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }
}
