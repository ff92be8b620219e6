//! A pipeline's steps and its sink's templates, compiled: what every worker of the pipeline executes.
//!
//! A program is a list of *phases*. Within a phase a record is parsed once; every step, also one behind a look-up, is
//! evaluated on that parse, and what look-ups find is spliced in at the end. Only a step that reads or reshapes what an
//! earlier look-up put in starts a new phase: the record is then rebuilt and parsed again (cost class D). Most programs have
//! one phase.

use std::sync::Arc;

use super::path::Path;
use super::splice::member_text;
use super::stamp::Format;
use super::steps::Check;
use super::template::{Compiled, Field, Part};
use crate::config::plan::{
    LookupPlan, LookupSource, OnMiss, Otherwise, Pointer, Segment, StepKind, StepPlan, Template,
};
use crate::model::StepName;

/// What a step, or a whole pipeline, costs a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CostClass {
    /// Z: the bytes are read but untouched.
    Untouched,
    /// T: a slice of them travels.
    Slice,
    /// P: something is spliced in, the other bytes are untouched.
    Splice,
    /// D: the record is rebuilt and parsed again.
    Rebuilt,
}

impl CostClass {
    /// The letter `check --explain` shows.
    #[must_use]
    pub fn letter(self) -> char {
        match self {
            Self::Untouched => 'Z',
            Self::Slice => 'T',
            Self::Splice => 'P',
            Self::Rebuilt => 'D',
        }
    }
}

/// What happens to null values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tombstones {
    /// They reach the encoder without a value; templates that need the document are rendered as `None`.
    PassOn,
    /// They end as dropped (`on_tombstone: drop`).
    Drop,
}

/// A step or template that cannot be compiled; found by `check`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct CompileError {
    /// Which step or template.
    pub place: StepName,
    /// What is wrong and what to write.
    pub problem: String,
}

/// See the module.
#[derive(Debug)]
pub struct Program {
    pub(super) phases: Vec<Phase>,
    pub(super) templates: Vec<Compiled>,
    pub(super) tombstones: Tombstones,
    /// The name of what is done to every record before the first step.
    pub(super) parse: StepName,
    /// The name of what renders the sink's templates.
    pub(super) sink: StepName,
    /// How many timestamp formats there are.
    pub(super) formats: usize,
    costs: Vec<(StepName, CostClass)>,
}

/// Steps evaluated on one parse.
#[derive(Debug, Default)]
pub(super) struct Phase {
    pub(super) steps: Vec<Step>,
    pub(super) lookups: Vec<Lookup>,
    /// Whether a template rendered in this phase reads the input.
    pub(super) reads_original: bool,
}

/// A compiled step.
#[derive(Debug)]
pub(super) enum Step {
    Select {
        place: StepName,
        path: Path,
    },
    Require {
        place: StepName,
        paths: Vec<Path>,
        otherwise: Otherwise,
    },
    Where {
        place: StepName,
        checks: Vec<Check>,
        otherwise: Otherwise,
    },
    /// Index of a look-up of the same phase.
    Lookup(usize),
}

/// A compiled look-up.
#[derive(Debug)]
pub(super) struct Lookup {
    pub(super) place: StepName,
    /// Its number among all look-ups of the pipeline.
    pub(super) number: usize,
    pub(super) key: Compiled,
    pub(super) into: Path,
    /// `,"name":` of the member it makes.
    pub(super) member: Vec<u8>,
    pub(super) on_miss: OnMiss,
}

impl Program {
    /// Compiles the steps of a pipeline and the templates its sink declared. The encoder gets the templates rendered in the
    /// same order, in [`Kept::rendered`](crate::model::Kept::rendered).
    ///
    /// # Errors
    /// The first step or template that cannot be compiled.
    pub fn compile(
        steps: &[StepPlan],
        templates: &[Template],
        tombstones: Tombstones,
    ) -> Result<Arc<Self>, CompileError> {
        let mut compiler = Compiler::default();
        for step in steps {
            compiler.step(step)?;
        }
        let sink: StepName = "sink".into();
        let templates = templates
            .iter()
            .map(|template| compiler.template(template, &sink))
            .collect::<Result<Vec<_>, CompileError>>()?;
        compiler.phase.reads_original |= templates.iter().any(Compiled::reads_original);
        compiler.phases.push(compiler.phase);
        Ok(Arc::new(Self {
            phases: compiler.phases,
            templates,
            tombstones,
            parse: "parse".into(),
            sink,
            formats: compiler.formats,
            costs: compiler.costs,
        }))
    }

    /// Each step's cost class, in order, for `check --explain`.
    #[must_use]
    pub fn costs(&self) -> &[(StepName, CostClass)] {
        &self.costs
    }

    /// The cost class of the pipeline: that of its dearest step.
    #[must_use]
    pub fn cost(&self) -> CostClass {
        self.costs.iter().map(|(_, cost)| *cost).max().unwrap_or(CostClass::Untouched)
    }

    /// Number of look-ups, in step order.
    #[must_use]
    pub fn lookups(&self) -> usize {
        self.phases.iter().map(|phase| phase.lookups.len()).sum()
    }

    /// The only phase of a program without look-ups, which needs one pass.
    pub(super) fn single_pass(&self) -> Option<&Phase> {
        match &self.phases[..] {
            [phase] if phase.lookups.is_empty() => Some(phase),
            _ => None,
        }
    }
}

#[derive(Default)]
struct Compiler {
    phases: Vec<Phase>,
    phase: Phase,
    /// Where each look-up of the current phase puts things, from the current window; `None` once a `select` left it behind.
    places: Vec<Option<Vec<String>>>,
    lookups: usize,
    formats: usize,
    costs: Vec<(StepName, CostClass)>,
}

impl Compiler {
    fn step(&mut self, plan: &StepPlan) -> Result<(), CompileError> {
        let place = plan.place.clone();
        let phases = self.phases.len();
        let cost = match &plan.kind {
            StepKind::Select { pointer } => {
                self.cut_if(|place| reads(&pointer.members, place));
                self.phase.steps.push(Step::Select { place, path: pointer.into() });
                self.enter(pointer);
                CostClass::Slice
            }
            StepKind::Require { pointers, otherwise } => {
                self.cut_if(|place| pointers.iter().any(|pointer| reads(&pointer.members, place)));
                let paths = pointers.iter().map(Path::from).collect();
                self.phase.steps.push(Step::Require { place, paths, otherwise: *otherwise });
                CostClass::Untouched
            }
            StepKind::Where { conditions, otherwise } => {
                self.cut_if(|place| conditions.iter().any(|condition| reads(&condition.pointer.members, place)));
                let check = |condition: &crate::config::plan::Condition| Check {
                    path: (&condition.pointer).into(),
                    test: condition.test.clone(),
                };
                let checks = conditions.iter().map(check).collect();
                self.phase.steps.push(Step::Where { place, checks, otherwise: *otherwise });
                CostClass::Untouched
            }
            StepKind::Lookup(lookup) => {
                self.lookup(lookup, place)?;
                CostClass::Splice
            }
        };
        let cost = if self.phases.len() > phases { CostClass::Rebuilt } else { cost };
        self.costs.push((plan.place.clone(), cost));
        Ok(())
    }

    fn lookup(&mut self, plan: &LookupPlan, place: StepName) -> Result<(), CompileError> {
        let key = match &plan.source {
            LookupSource::Keyed { key, .. } => key,
            LookupSource::Table { field, .. } => field,
        };
        let into = &plan.into.members;
        let Some(name) = into.last() else {
            return Err(error(&place, "`into` is empty: write the pointer of a member, such as /user_info"));
        };
        if let OnMiss::Default(text) = &plan.on_miss
            && let Err(fault) = serde_json::from_str::<&serde_json::value::RawValue>(text)
        {
            return Err(error(&place, format!("the default of `on_miss` is no JSON text: {fault}")));
        }
        self.cut_if(|other| {
            reads(into, other)
                || reads(other, into)
                || key
                    .segments
                    .iter()
                    .any(|segment| matches!(segment, Segment::Field { pointer, .. } if reads(&pointer.members, other)))
        });
        let key = self.template(key, &place)?;
        self.phase.reads_original |= key.reads_original();
        self.phase.steps.push(Step::Lookup(self.phase.lookups.len()));
        self.phase.lookups.push(Lookup {
            place,
            number: self.lookups,
            key,
            into: (&plan.into).into(),
            member: member_text(name),
            on_miss: plan.on_miss.clone(),
        });
        self.places.push(Some(into.clone()));
        self.lookups += 1;
        Ok(())
    }

    /// Starts a new phase when `conflict` holds for what an earlier look-up of this phase puts in.
    fn cut_if(&mut self, conflict: impl Fn(&[String]) -> bool) {
        if self.places.iter().flatten().any(|place| conflict(place)) {
            self.phases.push(std::mem::take(&mut self.phase));
            self.places.clear();
        }
    }

    /// Moves the window: pointers are from now on relative to `pointer`.
    fn enter(&mut self, pointer: &Pointer) {
        for place in &mut self.places {
            *place = place.take().and_then(|place| Some(place.strip_prefix(&pointer.members[..])?.to_vec()));
        }
    }

    fn template(&mut self, plan: &Template, place: &StepName) -> Result<Compiled, CompileError> {
        let parts = plan.segments.iter().map(|segment| self.part(segment, place));
        Ok(Compiled::new(plan, parts.collect::<Result<_, _>>()?))
    }

    fn part(&mut self, segment: &Segment, place: &StepName) -> Result<Part, CompileError> {
        Ok(match segment {
            Segment::Literal(text) => Part::Literal(text.clone()),
            Segment::Key => Part::Key,
            Segment::Topic => Part::Topic,
            Segment::Partition => Part::Partition,
            Segment::Offset => Part::Offset,
            Segment::Timestamp(None) => Part::TimestampMs,
            Segment::Timestamp(Some(text)) => {
                let format = Format::new(text, self.formats)
                    .map_err(|fault| error(place, format!("`{{timestamp:{text}}}` is no strftime format: {fault}")))?;
                self.formats += 1;
                Part::Timestamp(format)
            }
            Segment::Header(name) => Part::Header(name.clone()),
            Segment::Original { pointer, fallback } => {
                Part::Original(Field { path: pointer.into(), fallback: fallback.clone() })
            }
            Segment::Field { pointer, fallback } => {
                let own = Field { path: pointer.into(), fallback: fallback.clone() };
                match self.found_by(&pointer.members) {
                    Some((lookup, below)) => Part::Found { lookup, below, own },
                    None => Part::Field(own),
                }
            }
        })
    }

    /// The look-up of this phase that puts the value at `pointer` there, and the members below its place.
    fn found_by(&self, pointer: &[String]) -> Option<(usize, Vec<String>)> {
        let below = |place: &Option<Vec<String>>| Some(pointer.strip_prefix(&place.as_ref()?[..])?.to_vec());
        self.places.iter().enumerate().find_map(|(lookup, place)| Some((lookup, below(place)?)))
    }
}

/// Whether the value at `pointer` is, or lies in, what is put at `place`. (A parent of `place` keeps its type: it is an
/// object before and after.)
fn reads(pointer: &[String], place: &[String]) -> bool {
    pointer.starts_with(place)
}

fn error(place: &StepName, problem: impl Into<String>) -> CompileError {
    CompileError { place: place.clone(), problem: problem.into() }
}

#[cfg(test)]
#[path = "program_tests.rs"]
mod tests;
