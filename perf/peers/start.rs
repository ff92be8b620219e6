//! The command lines and filled-in configurations of the peers.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::bail;

use super::{Peer, Program, Ready};
use crate::machine::pinned;
use crate::subject::{Pipeline, Target};

const MIRROR_MAIN: &str = "org.apache.kafka.connect.mirror.MirrorMaker";

/// A peer on one pipeline's work, alone on the subjects' core, until it is asked to end. Its files are in `folder`.
///
/// # Errors
/// Its configuration cannot be written, or it cannot do this work.
pub fn command(peer: Peer, ready: &Ready, pipeline: &Pipeline<'_>, folder: &Path) -> anyhow::Result<Command> {
    let write = |name: &str, template: &str| {
        let file = folder.join(name);
        fs::write(&file, filled(template, pipeline, folder)?)?;
        anyhow::Ok(file)
    };
    match (peer, &ready.program, pipeline.target) {
        (Peer::Bento, Program::File(program), target) => {
            let template = match target {
                Target::Topic(..) => include_str!("bento/relay.yaml"),
                Target::Index(..) => include_str!("bento/index.yaml"),
            };
            let file = write("bento.yaml", template)?;
            let mut command = pinned(program);
            command.arg("-c").arg(file);
            Ok(command)
        }
        (Peer::Rsyslog, Program::File(program), target) => {
            let rest = match target {
                Target::Topic(..) => include_str!("rsyslog/relay.conf"),
                Target::Index(..) => include_str!("rsyslog/index.conf"),
            };
            let file = write("rsyslog.conf", &(rest.to_owned() + include_str!("rsyslog/head.conf")))?;
            let mut command = pinned(program);
            // In the foreground, and beside any other of its kind.
            command.args(["-n", "-f"]).arg(file).arg("-i").arg(folder.join("rsyslog.pid"));
            Ok(command)
        }
        (Peer::Arroyo, Program::File(program), Target::Topic(brokers, topic)) => {
            let mut command = pinned(program);
            command.args([pipeline.brokers, pipeline.topic, pipeline.group, brokers, topic]);
            Ok(command)
        }
        (Peer::Mirror, Program::Java(maker), Target::Topic(..)) => {
            let file = write("mm2.properties", include_str!("mirror/mm2.properties"))?;
            let mut command = pinned(&maker.java);
            command
                .args(["-Xms512m", "-Xmx1g", "-Dlog4j2.level=WARN", "-cp", &maker.class_path, MIRROR_MAIN])
                .arg(file);
            Ok(command)
        }
        (Peer::Arroyo | Peer::Mirror, ..) | (_, Program::Java(_), _) => bail!("{} cannot do this work", peer.name()),
    }
}

/// The topic a peer writes to: MirrorMaker puts the name of the cluster, here the group, before the topic's.
pub fn target_topic(peer: Peer, group: &str, topic: &str) -> String {
    match peer {
        Peer::Mirror => format!("{group}.{topic}"),
        Peer::Bento | Peer::Rsyslog | Peer::Arroyo => group.to_owned(),
    }
}

/// Topics of its own that a run leaves on the cluster it writes to.
pub fn litter(peer: Peer, group: &str) -> Vec<String> {
    match peer {
        Peer::Mirror => ["configs", "offsets", "status"].map(|kind| format!("mm2-{kind}.{group}.internal")).into(),
        Peer::Bento | Peer::Rsyslog | Peer::Arroyo => Vec::new(),
    }
}

/// A configuration with its words between @ filled in.
fn filled(template: &str, pipeline: &Pipeline<'_>, folder: &Path) -> anyhow::Result<String> {
    let (to, target) = match pipeline.target {
        Target::Topic(brokers, topic) => (brokers, topic),
        Target::Index(url, index) => (url, index),
    };
    let Some(folder) = folder.to_str() else { bail!("the scratch folder's name is no text") };
    let words = [
        ("@BROKERS@", pipeline.brokers),
        ("@TOPIC@", pipeline.topic),
        ("@GROUP@", pipeline.group),
        ("@TO@", to),
        ("@TARGET@", target),
        ("@FOLDER@", folder),
    ];
    Ok(words.into_iter().fold(template.to_owned(), |text, (word, value)| text.replace(word, value)))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn configuration(peer: Peer, target: Target<'_>) -> anyhow::Result<String> {
        let folder = tempfile::tempdir().expect("a folder");
        let program = match peer {
            Peer::Mirror => Program::Java(sluicegate_testkit::services::mirror_maker::MirrorMaker {
                java: PathBuf::from("java"),
                class_path: "jars/*".to_owned(),
            }),
            Peer::Bento | Peer::Rsyslog | Peer::Arroyo => Program::File(PathBuf::from("program")),
        };
        let ready = Ready { program, version: String::new() };
        let pipeline = Pipeline { brokers: "near:1", topic: "in", group: "g-1", target };
        let command = command(peer, &ready, &pipeline, folder.path())?;
        let words: Vec<String> = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
        let file = words.iter().find(|word| word.starts_with(&*folder.path().to_string_lossy()));
        Ok(file.map_or_else(|| words.join(" "), |file| fs::read_to_string(file).expect("written")))
    }

    #[test]
    fn every_word_is_filled_in() {
        for target in [Target::Topic("far:2", "out"), Target::Index("http://stub:3", "items")] {
            for peer in Peer::ALL {
                let topic = matches!(target, Target::Topic(..));
                let Ok(text) = configuration(peer, target) else {
                    assert!(!topic && matches!(peer, Peer::Arroyo | Peer::Mirror), "{peer:?}");
                    continue;
                };
                let uncommented: Vec<&str> = text.lines().filter(|line| !line.trim().starts_with('#')).collect();
                let text = uncommented.join("\n");
                assert!(!text.contains('@'), "{peer:?}: {text}");
                let to = if topic { "far:2" } else { "http://stub:3" };
                assert!(["near:1", "g-1", to].iter().all(|word| text.contains(word)), "{peer:?}: {text}");
            }
        }
    }

    #[test]
    fn mirror_maker_names_its_topics_itself() {
        assert_eq!(target_topic(Peer::Mirror, "g-1", "in"), "g-1.in");
        assert_eq!(target_topic(Peer::Bento, "g-1", "in"), "g-1");
        assert!(litter(Peer::Mirror, "g-1").contains(&"mm2-offsets.g-1.internal".to_owned()));
    }
}
