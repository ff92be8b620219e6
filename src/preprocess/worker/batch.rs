//! A batch with look-ups or of several phases: what is held of every record between the passes.

use std::mem;
use std::ops::Range;

use super::super::draft::SplitItem;
use super::super::ending::StepEnding;
use super::super::evaluate::{LookupQuestion, NOTHING, Rendering};
use super::super::program::{Program, Tombstones};
use super::super::splice::{self, Splice};
use super::super::steps::lookup::CompiledLookup;
use super::super::tape::Parser;
use super::super::template::{Compiled, RenderFault, Rendered, TemplatePart};
use super::ends::{admit, end, is_current, place};
use super::prepare::{Preprocessor, Tools};
use crate::enrich::{Found, LookupStop};
use crate::model::{Encode, Exit, Halt, ItemPath, PartitionTable, Place, Prepared, Record, Records, Run};
use crate::mutants::{self, Mutant};

/// Reused from batch to batch.
#[derive(Default)]
pub(super) struct BatchBuffers {
    /// Records that go into the next phase, in input order; the first phase takes them from the input.
    live: Vec<Live>,
    /// Records between the passes of a phase, in input order.
    held: Vec<HeldRecord>,
    /// Answers of each look-up of the phase, by key.
    found: Vec<Vec<Found>>,
    /// Records rebuilt by the phase before.
    rebuilt: Vec<u8>,
    /// Room for those that the phase at hand rebuilds.
    rebuilding: Vec<u8>,
}

/// A record on its way into a phase.
struct Live {
    run: usize,
    index: u32,
    /// Which item of its record it is.
    item: ItemPath,
    /// What it was named by a `route` step.
    route: Option<usize>,
    body: RecordBody,
}

impl Live {
    fn place(&self, runs: &[Run], record: &Record<'_>) -> Place {
        Place { item: self.item, ..place(runs[self.run].ticket, self.index, record) }
    }
}

/// What a record consists of at this point.
enum RecordBody {
    Tombstone,
    Input,
    Rebuilt(Range<usize>),
    /// What the steps of this phase wrote.
    Written,
    /// Nothing: it skipped the steps.
    Bare,
}

/// A record after the first pass of a phase.
struct HeldRecord {
    live: Live,
    /// The part of the body that is the record now, or how it ends unless a look-up ends it otherwise.
    window: Result<Range<usize>, StepEnding>,
    questions: Range<usize>,
    /// Index of its first rendered template.
    templates: usize,
}

impl BatchBuffers {
    /// Gives back what a batch needed beyond `keep_bytes`.
    pub(super) fn trim(&mut self, keep_bytes: usize) {
        self.live.clear();
        self.held.clear();
        self.found.iter_mut().for_each(Vec::clear);
        for room in [&mut self.rebuilt, &mut self.rebuilding] {
            room.clear();
            if room.capacity() > keep_bytes {
                *room = Vec::new();
            }
        }
    }
}

impl RecordBody {
    fn bytes<'a>(&self, record: &Record<'a>, rebuilt: &'a [u8], written: &'a [u8]) -> Option<&'a [u8]> {
        match self {
            Self::Tombstone | Self::Bare => None,
            Self::Input => record.value,
            Self::Rebuilt(range) => rebuilt.get(range.clone()),
            Self::Written => Some(written),
        }
    }
}

impl<E: Encode> Preprocessor<E> {
    pub(super) fn phases<R: Records + ?Sized>(
        &mut self,
        runs: &[Run],
        records: &R,
        table: &PartitionTable,
        still_wanted: &dyn Fn() -> bool,
        prepared: &mut Prepared<E::Item>,
    ) -> Result<(), LookupStop> {
        let wanted = || still_wanted() && runs.iter().any(|run| is_current(run, table));
        for phase in 0..self.program.phases.len() {
            self.tools.rendering.clear();
            self.tools.draft.written.clear();
            self.tools.asked.begin(self.program.phases[phase].lookups.len());
            match (phase, self.program.phases[phase].is_written) {
                (0, false) => self.first_pass_of_input::<_, false>(runs, records, table, prepared),
                (0, true) => self.first_pass_of_input::<_, true>(runs, records, table, prepared),
                (_, false) => self.first_pass::<_, false>(phase, runs, records, prepared),
                (_, true) => self.first_pass::<_, true>(phase, runs, records, prepared),
            }
            self.resolve(phase, &wanted)?;
            self.second_pass(phase, runs, records, table, prepared);
        }
        Ok(())
    }

    /// Parses and evaluates every record of the input, and collects the keys of the look-ups.
    fn first_pass_of_input<R: Records + ?Sized, const DRAFTS: bool>(
        &mut self,
        runs: &[Run],
        records: &R,
        table: &PartitionTable,
        prepared: &mut Prepared<E::Item>,
    ) {
        let Self { program, tools, batch, .. } = self;
        let mut look = FirstPass { program, phase: 0, tools, held: &mut batch.held, of_record: (0, 0) };
        for (number, run) in runs.iter().enumerate().filter(|(_, run)| is_current(run, table)) {
            for index in run.start..run.end {
                let record = records.record(index as usize);
                let place = admit(run, index, &record, prepared);
                let body = match record.value {
                    Some(_) => RecordBody::Input,
                    None if program.tombstones == Tombstones::Drop => {
                        end(prepared, place, StepEnding::Dropped);
                        continue;
                    }
                    None => RecordBody::Tombstone,
                };
                let live = Live { run: number, index, item: ItemPath::WHOLE, route: None, body };
                if let Err(ending) = look.at::<DRAFTS>(live, &record, record.value) {
                    end(prepared, place, ending);
                }
            }
        }
    }

    /// Parses and evaluates every record an earlier phase left, and collects the keys of the look-ups.
    fn first_pass<R: Records + ?Sized, const DRAFTS: bool>(
        &mut self,
        phase: usize,
        runs: &[Run],
        records: &R,
        prepared: &mut Prepared<E::Item>,
    ) {
        let Self { program, tools, batch, .. } = self;
        let mut look = FirstPass { program, phase, tools, held: &mut batch.held, of_record: (0, 0) };
        for live in batch.live.drain(..) {
            let record = records.record(live.index as usize);
            let place = live.place(runs, &record);
            let bytes = live.body.bytes(&record, &batch.rebuilt, &[]);
            if let Err(ending) = look.at::<DRAFTS>(live, &record, bytes) {
                end(prepared, place, ending);
            }
        }
    }

    /// Asks every look-up of the phase once for all its keys.
    fn resolve(&mut self, phase: usize, wanted: &dyn Fn() -> bool) -> Result<(), LookupStop> {
        let lookups = &self.program.phases[phase].lookups;
        if self.batch.found.len() < lookups.len() {
            self.batch.found.resize_with(lookups.len(), Vec::new);
        }
        for ((lookup, keys), found) in lookups.iter().zip(&self.tools.asked.keys).zip(&mut self.batch.found) {
            found.clear();
            if keys.len() == 0 {
                continue;
            }
            let asked: Vec<&[u8]> = keys.iter().collect();
            self.enricher.resolve(lookup.number, &asked, wanted, found)?;
            if found.len() != keys.len() {
                let message =
                    format!("{}: {} answers to {} keys; this is a bug", lookup.place, found.len(), keys.len());
                return Err(LookupStop::Halt(Halt { exit: Exit::Failure, message }));
            }
        }
        Ok(())
    }

    /// Splices in what was found, and encodes the records or rebuilds them for the next phase.
    fn second_pass<R: Records + ?Sized>(
        &mut self,
        phase: usize,
        runs: &[Run],
        records: &R,
        table: &PartitionTable,
        prepared: &mut Prepared<E::Item>,
    ) {
        let Self { program, tools, batch, output, .. } = self;
        let last = phase + 1 == program.phases.len();
        let lookups = &program.phases[phase].lookups;
        let mut next = mem::take(&mut batch.rebuilding);
        next.clear();
        let (mut splices, mut pieces, mut answers) = (Vec::new(), Vec::new(), vec![None; lookups.len()]);
        let current: Vec<bool> = runs.iter().map(|run| is_current(run, table)).collect();
        for held in batch.held.drain(..).filter(|held| current[held.live.run]) {
            let record = records.record(held.live.index as usize);
            let place = held.live.place(runs, &record);
            let questions = &tools.asked.questions[held.questions.clone()];
            splices.clear();
            pieces.clear();
            let window = answer(lookups, questions, &batch.found, &mut answers, &mut splices).and(held.window);
            let window = window.and_then(|window| {
                if last {
                    let rendering = &mut tools.rendering;
                    finish(program, rendering, &mut tools.second, held.templates, &answers)?;
                }
                Ok(window)
            });
            let window = match window {
                Ok(window) => window,
                Err(ending) => {
                    end(prepared, place, ending);
                    continue;
                }
            };
            let body = if window == NOTHING { RecordBody::Bare } else { held.live.body };
            let bytes = body.bytes(&record, &batch.rebuilt, &tools.draft.written);
            if let Some(bytes) = bytes {
                splice::assemble(bytes, window, &mut splices, &mut pieces);
            }
            if last {
                let value = bytes.map(|_| &pieces[..]);
                output.encode(place, &record, value, &tools.rendering, held.templates, prepared);
            } else {
                let body = rebuild(&body, &pieces, &mut next);
                batch.live.push(Live { body, ..held.live });
            }
        }
        batch.rebuilding = mem::replace(&mut batch.rebuilt, next);
    }
}

/// The first pass of a phase over its records, one after the other.
struct FirstPass<'a> {
    program: &'a Program,
    phase: usize,
    tools: &'a mut Tools,
    held: &'a mut Vec<HeldRecord>,
    /// The index of the record before, and how many items this phase made of it.
    of_record: (u32, usize),
}

impl FirstPass<'_> {
    /// Reads a record and holds it for the second pass.
    ///
    /// # Errors
    /// How it ends, where no question of it is open.
    #[inline(always)]
    fn at<const DRAFTS: bool>(
        &mut self,
        mut live: Live,
        record: &Record<'_>,
        bytes: Option<&[u8]>,
    ) -> Result<(), StepEnding> {
        let first = self.tools.asked.questions.len();
        let templates = self.tools.rendering.templates.len();
        if !mutants::on(Mutant::RouteOfTheRecordBefore) {
            self.tools.rendering.stamps.route = live.route;
        }
        self.tools.rendering.stamps.item = live.item;
        if DRAFTS {
            self.tools.draft.split.clear();
            if self.of_record.0 != live.index {
                self.of_record = (live.index, 0);
            }
            self.tools.draft.split.siblings = self.of_record.1;
        }
        let window = self.tools.read::<DRAFTS>(self.program, self.phase, record, bytes);
        if DRAFTS && self.tools.draft.split.is_split {
            self.hold_items(&live);
            return Ok(());
        }
        live.route = self.tools.rendering.stamps.route;
        if DRAFTS && bytes.is_some() {
            live.body = RecordBody::Written;
        }
        let questions = first..self.tools.asked.questions.len();
        match window {
            Err(ending) if questions.is_empty() => Err(ending),
            window => {
                self.held.push(HeldRecord { live, window, questions, templates });
                Ok(())
            }
        }
    }
}

impl FirstPass<'_> {
    /// Holds the items of a record for the second pass.
    fn hold_items(&mut self, of: &Live) {
        self.of_record.1 += self.tools.draft.split.items.len();
        for SplitItem { path, window, questions, templates, route } in self.tools.draft.split.items.drain(..) {
            let live = Live { run: of.run, index: of.index, item: path, route, body: RecordBody::Written };
            self.held.push(HeldRecord { live, window, questions, templates });
        }
    }
}

/// Turns the answers to one record's questions into splices, or the record's end.
fn answer<'a>(
    lookups: &'a [CompiledLookup],
    questions: &'a [LookupQuestion],
    found: &'a [Vec<Found>],
    answers: &mut [Option<&'a [u8]>],
    splices: &mut Vec<Splice<'a>>,
) -> Result<(), StepEnding> {
    for question in questions {
        let lookup = &lookups[question.lookup];
        let json = match &found[question.lookup][question.key] {
            Found::Json(json) => Some(&json[..]),
            Found::Unavailable => None,
            Found::Miss => lookup.missed()?,
        };
        answers[question.lookup] = json;
        splices.extend(json.map(|json| Splice { point: &question.point, member: &lookup.member, json }));
    }
    Ok(())
}

/// Renders one record's templates that waited for look-ups.
fn finish(
    program: &Program,
    rendering: &mut Rendering,
    parser: &mut Parser,
    first: usize,
    answers: &[Option<&[u8]>],
) -> Result<(), StepEnding> {
    for (index, template) in program.templates.iter().enumerate() {
        if let Rendered::Late(outcomes) = rendering.templates[first + index] {
            let start = rendering.bytes.len();
            late(template, rendering, parser, outcomes, answers)
                .map_err(|fault| template.reject(&program.sink, fault))?;
            rendering.templates[first + index] = Rendered::Span(start..rendering.bytes.len());
        }
    }
    Ok(())
}

fn late(
    template: &Compiled,
    rendering: &mut Rendering,
    parser: &mut Parser,
    outcomes: usize,
    answers: &[Option<&[u8]>],
) -> Result<(), (usize, RenderFault)> {
    for (index, part) in template.parts.iter().enumerate() {
        if let TemplatePart::Found { lookup, below, own } = part
            && let Some(json) = answers[*lookup]
        {
            let found = parser.read(json, |doc| {
                let found = doc.find(doc.root(), below).map(|cursor| (&doc, cursor));
                own.render(found, &mut rendering.stamps, &mut rendering.bytes)
            });
            found.unwrap_or(Err(RenderFault::NotJson)).map_err(|fault| (index, fault))?;
        } else {
            let span = rendering.outcomes[outcomes + index].clone().map_err(|fault| (index, fault))?;
            rendering.bytes.extend_from_within(span);
        }
    }
    Ok(())
}

/// Writes a record's pieces out for the next phase.
fn rebuild(body: &RecordBody, pieces: &[&[u8]], next: &mut Vec<u8>) -> RecordBody {
    match body {
        RecordBody::Tombstone => RecordBody::Tombstone,
        RecordBody::Bare => RecordBody::Bare,
        RecordBody::Input | RecordBody::Rebuilt(_) | RecordBody::Written => {
            let start = next.len();
            pieces.iter().for_each(|piece| next.extend_from_slice(piece));
            RecordBody::Rebuilt(start..next.len())
        }
    }
}
