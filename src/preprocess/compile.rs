//! Compiles steps and templates, and cuts them into phases: see [`super::program`].

use jiff::tz::TimeZone;

use super::path::Path;
use super::program::{CompileError, CostClass, Lookup, Phase, Step};
use super::splice::member_text;
use super::stamp::Format;
use super::steps::Check;
use super::template::{Compiled, Field, Part, Shape};
use crate::config::plan::{Form, LookupPlan, LookupSource, OnMiss, Pointer, Segment, StepKind, StepPlan, Template};
use crate::model::StepName;

#[derive(Default)]
pub(super) struct Compiler {
    pub(super) phases: Vec<Phase>,
    /// The phase under work.
    pub(super) phase: Phase,
    /// Where each look-up of the current phase puts things, from the current window; `None` once a `select` left it behind.
    places: Vec<Option<Vec<String>>>,
    lookups: usize,
    pub(super) formats: usize,
    pub(super) costs: Vec<(StepName, CostClass)>,
}

impl Compiler {
    pub(super) fn step(&mut self, plan: &StepPlan) -> Result<(), CompileError> {
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
                    .any(|segment| matches!(segment.inner(), Segment::Field { pointer, .. } if reads(&pointer.members, other)))
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

    pub(super) fn template(&mut self, plan: &Template, place: &StepName) -> Result<Compiled, CompileError> {
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
            Segment::Timestamp(Some(text)) => Part::Timestamp(self.format(text, &TimeZone::UTC, place)?),
            Segment::Now => return Err(error(place, "`{now}` has no format")),
            Segment::Formed { of, form } => return self.formed(of, form, place),
            Segment::KeyField { pointer, fallback } => Part::KeyField(field(pointer, fallback, Shape::Plain)),
            Segment::Header(name) => Part::Header(name.clone()),
            Segment::Original { pointer, fallback } => Part::Original(field(pointer, fallback, Shape::Plain)),
            Segment::Field { pointer, fallback } => self.field(pointer, fallback, Shape::Plain),
        })
    }

    fn field(&self, pointer: &Pointer, fallback: &Option<String>, shape: Shape) -> Part {
        let own = field(pointer, fallback, shape);
        match self.found_by(&pointer.members) {
            Some((lookup, below)) => Part::Found { lookup, below, own },
            None => Part::Field(own),
        }
    }

    /// A segment in a form. Fields carry it themselves, because a look-up may find them later.
    fn formed(&mut self, of: &Segment, form: &Form, place: &StepName) -> Result<Part, CompileError> {
        let mut shape = || match form {
            Form::Lower => Ok(Shape::Lower),
            Form::Time(time) => self.format(&time.format, &time.zone, place).map(Shape::Time),
        };
        match (of, form) {
            (Segment::Field { pointer, fallback }, _) => {
                let shape = shape()?;
                Ok(self.field(pointer, fallback, shape))
            }
            (Segment::Original { pointer, fallback }, _) => Ok(Part::Original(field(pointer, fallback, shape()?))),
            (Segment::KeyField { pointer, fallback }, _) => Ok(Part::KeyField(field(pointer, fallback, shape()?))),
            (Segment::Now, Form::Time(time)) => self.format(&time.format, &time.zone, place).map(Part::Now),
            (Segment::Timestamp(None), Form::Time(time)) => {
                self.format(&time.format, &time.zone, place).map(Part::Timestamp)
            }
            (of, Form::Lower) => Ok(Part::Lower(Box::new(self.part(of, place)?))),
            (_, Form::Time(_)) => Err(error(place, "only fields, the timestamp and now are times")),
        }
    }

    fn format(&mut self, text: &str, zone: &TimeZone, place: &StepName) -> Result<Format, CompileError> {
        let format = Format::new(text, self.formats, zone.clone())
            .map_err(|fault| error(place, format!("`{text}` is no strftime format: {fault}")))?;
        self.formats += 1;
        Ok(format)
    }

    /// The look-up of this phase that puts the value at `pointer` there, and the members below its place.
    fn found_by(&self, pointer: &[String]) -> Option<(usize, Vec<String>)> {
        let below = |place: &Option<Vec<String>>| Some(pointer.strip_prefix(&place.as_ref()?[..])?.to_vec());
        self.places.iter().enumerate().find_map(|(lookup, place)| Some((lookup, below(place)?)))
    }
}

fn field(pointer: &Pointer, fallback: &Option<String>, shape: Shape) -> Field {
    Field { path: pointer.into(), fallback: fallback.clone(), shape }
}

/// Whether the value at `pointer` is, or lies in, what is put at `place`. (A parent of `place` keeps its type: it is an
/// object before and after.)
pub(super) fn reads(pointer: &[String], place: &[String]) -> bool {
    pointer.starts_with(place)
}

fn error(place: &StepName, problem: impl Into<String>) -> CompileError {
    CompileError { place: place.clone(), problem: problem.into() }
}
