//! Compiles templates, and cuts steps into phases: see [`super::program`]. What a kind of step compiles to is in its
//! own file (`steps/`), which calls [`Compiler::read`] for what it reads.

use jiff::tz::TimeZone;

use super::constants::Constants;
use super::program::{CompileError, CostClass, ProgramPhase};
use super::stamp::TimeFormat;
use super::steps::lookup::CompiledLookup;
use super::steps::{StepOperation, StepPlan};
use super::template::{Compiled, Field, FieldShape, TemplatePart};
use crate::leaf::{Pointer, Template, TemplateSegment, ValueForm};
use crate::model::{ItemPath, StepName};

#[derive(Default)]
pub(super) struct Compiler {
    pub(super) phases: Vec<ProgramPhase>,
    /// The phase under work.
    pub(super) phase: ProgramPhase,
    /// What its steps do.
    steps: Vec<(StepName, StepOperation)>,
    /// Steps so far that make several items of one.
    splits: usize,
    pub(super) constants: Constants,
    /// Where each look-up of the current phase puts things, from the current window; `None` once a `select` left it
    /// behind.
    places: Vec<Option<Vec<String>>>,
    lookups: usize,
    /// The names that records may get.
    routes: Vec<String>,
    pub(super) formats: usize,
    pub(super) costs: Vec<(StepName, CostClass)>,
}

impl Compiler {
    pub(super) fn step(&mut self, plan: &StepPlan) -> Result<(), CompileError> {
        let phases = self.phases.len();
        let (operation, cost) = plan.kind.compile(&plan.place, self)?;
        let ends_its_phase = operation.makes_json();
        self.steps.push((plan.place.clone(), operation));
        let cost = if self.phases.len() > phases { CostClass::Rebuilt } else { cost };
        if ends_its_phase {
            self.end_phase();
        }
        self.costs.push((plan.place.clone(), cost));
        Ok(())
    }

    /// The number of a route, new or known.
    pub(super) fn route(&mut self, name: &str) -> usize {
        let known = self.routes.iter().position(|route| route == name);
        known.unwrap_or_else(|| {
            self.routes.push(name.to_owned());
            self.routes.len() - 1
        })
    }

    /// Number of look-ups so far.
    pub(super) fn lookups(&self) -> usize {
        self.lookups
    }

    /// Takes a look-up, whose answers go to `into`, into the phase under work; returns its index there.
    pub(super) fn add_lookup(&mut self, lookup: CompiledLookup, reads_original: bool, into: &[String]) -> usize {
        self.phase.reads_original |= reads_original;
        self.phase.lookups.push(lookup);
        self.places.push(Some(into.to_vec()));
        self.lookups += 1;
        self.phase.lookups.len() - 1
    }

    /// The step under work reads the value at `pointer`.
    pub(super) fn read(&mut self, pointer: &Pointer) {
        self.cut_if(|place| reads(&pointer.members, place));
    }

    /// Starts a new phase when `conflict` holds for what an earlier look-up of this phase puts in.
    pub(super) fn cut_if(&mut self, conflict: impl Fn(&[String]) -> bool) {
        if self.places.iter().flatten().any(|place| conflict(place)) {
            self.end_phase();
        }
    }

    /// Ends the phase under work.
    pub(super) fn end_phase(&mut self) {
        let mut phase = std::mem::take(&mut self.phase);
        phase.take_steps(std::mem::take(&mut self.steps));
        self.phases.push(phase);
        self.places.clear();
    }

    /// The step under work makes several items of a record. What earlier look-ups of the phase found is of the whole
    /// record: it is waited for.
    ///
    /// # Errors
    /// There are too many such steps.
    pub(super) fn split(&mut self, place: &StepName) -> Result<(), CompileError> {
        if !self.phase.lookups.is_empty() {
            self.end_phase();
        }
        self.splits += 1;
        if self.splits > ItemPath::LEVELS {
            let most = ItemPath::LEVELS;
            return Err(error(
                place,
                format!("more than {most} steps make several records of one; write one `jq` step"),
            ));
        }
        Ok(())
    }

    /// The step under work changes the value at `pointer`, or, in an array, which elements there are.
    pub(super) fn change(&mut self, pointer: &Pointer) {
        let members = &pointer.members[..];
        let is_element = members
            .last()
            .is_some_and(|last| last == "-" || (!last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit())));
        let siblings = if is_element { &members[..members.len() - 1] } else { members };
        self.cut_if(|place| place.starts_with(siblings) || members.starts_with(place));
    }

    /// Moves the window: pointers are from now on relative to `pointer`.
    pub(super) fn enter(&mut self, pointer: &Pointer) {
        self.phase.moves = true;
        for place in &mut self.places {
            *place = place.take().and_then(|place| Some(place.strip_prefix(&pointer.members[..])?.to_vec()));
        }
    }

    pub(super) fn template(&mut self, plan: &Template, place: &StepName) -> Result<Compiled, CompileError> {
        let parts = plan.segments.iter().map(|segment| self.part(segment, place));
        Ok(Compiled::new(plan, parts.collect::<Result<_, _>>()?))
    }

    /// A template that a step of the phase under work renders.
    pub(super) fn step_template(&mut self, plan: &Template, place: &StepName) -> Result<Compiled, CompileError> {
        let template = self.template(plan, place)?;
        self.phase.reads_original |= template.reads_original();
        Ok(template)
    }

    fn part(&mut self, segment: &TemplateSegment, place: &StepName) -> Result<TemplatePart, CompileError> {
        Ok(match segment {
            TemplateSegment::Literal(text) => TemplatePart::Literal(text.clone()),
            TemplateSegment::Key => TemplatePart::Key,
            TemplateSegment::Topic => TemplatePart::Topic,
            TemplateSegment::Partition => TemplatePart::Partition,
            TemplateSegment::Route => TemplatePart::Route(self.routes.clone()),
            TemplateSegment::Offset => TemplatePart::Offset,
            TemplateSegment::Item => TemplatePart::Item,
            TemplateSegment::Timestamp(None) => TemplatePart::TimestampMs,
            TemplateSegment::Timestamp(Some(text)) => {
                TemplatePart::Timestamp(self.format(text, &TimeZone::UTC, place)?)
            }
            TemplateSegment::Now => return Err(error(place, "`{now}` has no format")),
            TemplateSegment::Formed { of, form } => return self.formed(of, form, place),
            TemplateSegment::KeyField { pointer, fallback } => {
                TemplatePart::KeyField(field(pointer, fallback, FieldShape::Plain))
            }
            TemplateSegment::Header(name) => TemplatePart::Header(name.clone()),
            TemplateSegment::Original { pointer, fallback } => {
                TemplatePart::Original(field(pointer, fallback, FieldShape::Plain))
            }
            TemplateSegment::Field { pointer, fallback } => self.field(pointer, fallback, FieldShape::Plain),
        })
    }

    fn field(&self, pointer: &Pointer, fallback: &Option<String>, shape: FieldShape) -> TemplatePart {
        let own = field(pointer, fallback, shape);
        match self.found_by(&pointer.members) {
            Some((lookup, below)) => TemplatePart::Found { lookup, below, own },
            None => TemplatePart::Field(own),
        }
    }

    /// A segment in a form. Fields carry it themselves, because a look-up may find them later.
    fn formed(
        &mut self,
        of: &TemplateSegment,
        form: &ValueForm,
        place: &StepName,
    ) -> Result<TemplatePart, CompileError> {
        let mut shape = || match form {
            ValueForm::Lower => Ok(FieldShape::Lower),
            ValueForm::Time(time) => self.format(&time.format, &time.zone, place).map(FieldShape::Time),
        };
        match (of, form) {
            (TemplateSegment::Field { pointer, fallback }, _) => {
                let shape = shape()?;
                Ok(self.field(pointer, fallback, shape))
            }
            (TemplateSegment::Original { pointer, fallback }, _) => {
                Ok(TemplatePart::Original(field(pointer, fallback, shape()?)))
            }
            (TemplateSegment::KeyField { pointer, fallback }, _) => {
                Ok(TemplatePart::KeyField(field(pointer, fallback, shape()?)))
            }
            (TemplateSegment::Now, ValueForm::Time(time)) => {
                self.format(&time.format, &time.zone, place).map(TemplatePart::Now)
            }
            (TemplateSegment::Timestamp(None), ValueForm::Time(time)) => {
                self.format(&time.format, &time.zone, place).map(TemplatePart::Timestamp)
            }
            (of, ValueForm::Lower) => Ok(TemplatePart::Lower(Box::new(self.part(of, place)?))),
            (_, ValueForm::Time(_)) => Err(error(place, "only fields, the timestamp and now are times")),
        }
    }

    fn format(&mut self, text: &str, zone: &TimeZone, place: &StepName) -> Result<TimeFormat, CompileError> {
        let format = TimeFormat::new(text, self.formats, zone.clone())
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

fn field(pointer: &Pointer, fallback: &Option<String>, shape: FieldShape) -> Field {
    Field { pointer: pointer.clone(), fallback: fallback.clone(), shape }
}

/// Whether the value at `pointer` is, or lies in, what is put at `place`. (A parent of `place` keeps its type: it is an
/// object before and after. It does not keep its length.)
pub(super) fn reads(pointer: &[String], place: &[String]) -> bool {
    pointer.starts_with(place)
}

pub(super) fn error(place: &StepName, problem: impl Into<String>) -> CompileError {
    CompileError { place: place.clone(), problem: problem.into() }
}
