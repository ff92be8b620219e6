//! Instruction counts as committed in `benches/instructions.txt`, and what to say of new ones. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Growth over the baseline that fails, in percent.
pub const TOLERANCE_PERCENT: f64 = 5.0;

/// Instructions per record by stage, and what they were counted with.
#[derive(Debug, Clone, PartialEq)]
pub struct Counts {
    /// Which of simd-json's implementations ran: others execute other instructions.
    pub path: String,
    /// Who compiled them; another compiler may well give other counts.
    pub compiler: String,
    /// Instructions per record by stage.
    pub stages: BTreeMap<String, f64>,
}

impl Counts {
    /// The file's text.
    pub fn render(&self) -> String {
        let mut text = String::from(
            "# Instructions per record, by stage and bytes of a record. Not edited by hand: renewed, on purpose, by\n\
             # cargo bench --bench stages -- instructions renew\n",
        );
        // Writing to a string cannot fail.
        let _ = writeln!(text, "path {}\ncompiler {}", self.path, self.compiler);
        for (stage, count) in &self.stages {
            let _ = writeln!(text, "{stage} {count:.3}");
        }
        text
    }

    /// Reads what [`Counts::render`] wrote.
    ///
    /// # Errors
    /// The first line that is none of its lines.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut counts = Self { path: String::new(), compiler: String::new(), stages: BTreeMap::new() };
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
            let fault = || format!("not a line of the baseline: {line}");
            let (name, value) = line.split_once(' ').ok_or_else(fault)?;
            match name {
                "path" => value.clone_into(&mut counts.path),
                "compiler" => value.clone_into(&mut counts.compiler),
                stage => {
                    let count = value.parse().map_err(|_| fault())?;
                    if counts.stages.insert(stage.to_owned(), count).is_some() {
                        return Err(format!("twice in the baseline: {stage}"));
                    }
                }
            }
        }
        Ok(counts)
    }
}

/// What became of one stage.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Change {
    /// Within the tolerance.
    Steady,
    /// Beyond it, upwards.
    Grown,
    /// Beyond it, downwards: the baseline should follow, or the next growth goes unseen.
    Shrunk,
    /// Not in the baseline.
    New,
    /// Not counted any more.
    Gone,
}

impl Change {
    /// Whether the gate stays shut.
    pub fn fails(self) -> bool {
        match self {
            Self::Steady | Self::Shrunk => false,
            Self::Grown | Self::New | Self::Gone => true,
        }
    }

    /// For the table.
    pub fn label(self) -> &'static str {
        match self {
            Self::Steady => "",
            Self::Grown => "GROWN",
            Self::Shrunk => "shrunk: renew the baseline",
            Self::New => "NEW: renew the baseline",
            Self::Gone => "GONE: renew the baseline",
        }
    }
}

/// A stage in both counts.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Which.
    pub stage: String,
    /// Its count in the baseline.
    pub before: Option<f64>,
    /// Its count now.
    pub now: Option<f64>,
    /// What that is.
    pub change: Change,
}

/// Compares stage by stage.
pub fn compare(before: &Counts, now: &Counts) -> Vec<Line> {
    let mut stages: Vec<&String> = before.stages.keys().chain(now.stages.keys()).collect();
    stages.sort();
    stages.dedup();
    stages
        .into_iter()
        .map(|stage| {
            let (before, now) = (before.stages.get(stage).copied(), now.stages.get(stage).copied());
            Line { stage: stage.clone(), before, now, change: change(before, now) }
        })
        .collect()
}

fn change(before: Option<f64>, now: Option<f64>) -> Change {
    let (before, now) = match (before, now) {
        (Some(before), Some(now)) => (before, now),
        (Some(_), None) => return Change::Gone,
        (None, _) => return Change::New,
    };
    let limit = TOLERANCE_PERCENT / 100.0;
    if now > before * (1.0 + limit) {
        Change::Grown
    } else if now < before * (1.0 - limit) {
        Change::Shrunk
    } else {
        Change::Steady
    }
}
