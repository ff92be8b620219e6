//! The configuration loader: any text loads or is refused with findings, in bounded time and memory; secrets do not
//! show.
//!
//! Input: one byte for the format and whether the first line is a `--set`, then the file.
#![no_main]

use std::path::PathBuf;

use libfuzzer_sys::fuzz_target;
use sluicegate::internals::config::{Inputs, Surroundings, load, show};

const CANARY: &str = "canary-of-the-environment";

fn environment(name: &str) -> Option<String> {
    match name {
        "TOPIC" => Some("orders".to_owned()),
        "EMPTY" => Some(String::new()),
        "PW" => Some(CANARY.to_owned()),
        _ => None,
    }
}

thread_local! {
    static DIRECTORY: tempfile::TempDir = tempfile::tempdir().expect("a directory");
}

/// Secret files are read: keep the fuzzer to the one directory, and off devices that never end.
fn reads_files(text: &[u8]) -> bool {
    let holds = |word: &[u8]| text.windows(word.len()).any(|window| window == word);
    holds(b"/dev") || holds(b"/proc") || holds(b"/sys")
}

fuzz_target!(|data: &[u8]| {
    let Some((form, rest)) = data.split_first() else { return };
    if reads_files(rest) {
        return;
    }
    let name = ["c.yaml", "c.toml", "c.json"][usize::from(form % 3)];
    let (sets, text) = match rest.iter().position(|byte| *byte == b'\n').filter(|_| form & 0x80 != 0) {
        Some(end) => (vec![String::from_utf8_lossy(&rest[..end]).into_owned()], &rest[end + 1..]),
        None => (Vec::new(), rest),
    };
    let path: PathBuf = DIRECTORY.with(|directory| directory.path().join(name));
    std::fs::write(&path, text).expect("written");
    let around = Surroundings { environment: &environment, property: &|_, _| Ok(()), tls: true, cores: 2 };
    match load(&Inputs { paths: vec![path], sets }, around) {
        Ok(loaded) => {
            assert!(!loaded.plan.pipelines.is_empty());
            let shown = show::text(&loaded);
            let json = show::json(&loaded);
            assert!(json.is_object() && !shown.is_empty());
            let _ = format!("{:?}", loaded.plan);
        }
        Err(findings) => assert!(!findings.to_string().is_empty()),
    }
});
