//! One worker's preprocessing: a batch of records in, a [`Prepared`] batch out.
//!
//! A program of one phase without look-ups is one pass: parse, steps, templates, straight into the encoder. Any other
//! takes two passes a phase (see [`super::program`]): the first parses and collects the keys, then each look-up is
//! resolved once for the whole batch, the second splices and encodes. Nothing is allocated per record once the buffers
//! have grown.

use std::mem;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use super::super::document::Document;
use super::super::draft::{DraftRoom, SplitItem};
use super::super::ending::{StepEnding, rejected};
use super::super::evaluate::{Asked, Evaluation, NOTHING, Rendering};
use super::super::program::{Program, Tombstones};
use super::super::tape::{Malformed, Parser};
use super::super::template::{Compiled, Scope};
use super::batch::BatchBuffers;
use super::ends::{admit, end, is_current};
use super::output::Output;
use crate::enrich::{Enricher, LookupStop};
use crate::model::{Encode, PartitionTable, Place, Prepared, Record, Records, RejectReason, Run, StepName};

/// Payload bytes reserved ahead for a batch, at most: the source aims at 256 KiB of input, and large records before
/// must not make room for a thousand like them.
const RESERVED_AT_MOST: usize = 1024 * 1024;

/// Most bytes that steps may make of one record, whatever `limits.value` is: what was made is found by 32 bits.
const MOST_MADE_BYTES: usize = 1 << 30;

/// Values above this are read one at a time in the whole process: a parser may need 36 times their size, which no
/// budget knows of, and that must not be multiplied by the number of workers.
const LARGE_BYTES: usize = 1024 * 1024;
static LARGE_TURN: Mutex<()> = Mutex::new(());

/// Turns records into a sink's items. One instance a worker.
pub struct Preprocessor<E: Encode> {
    pub(super) program: Arc<Program>,
    pub(super) enricher: Enricher,
    pub(super) output: Output<E>,
    pub(super) tools: Tools,
    pub(super) batch: BatchBuffers,
    /// Payload bytes of a record of the batch before, rounded up: what to reserve for the next one. Growing by doubling
    /// copies every byte once more and leaves up to half of the room unused.
    bytes_per_record: usize,
}

/// What a record is read with.
pub(super) struct Tools {
    pub(super) parser: Parser,
    /// Reads the input behind a rebuilt record, and what look-ups found.
    pub(super) second: Parser,
    pub(super) rendering: Rendering,
    pub(super) asked: Asked,
    /// Records under change, and what was written of them.
    pub(super) draft: DraftRoom,
    /// Larger values are rejected.
    value_limit: usize,
    /// The JSON of a value that is none.
    decoded: Vec<u8>,
    /// Values of so many bytes or more are not simply parsed: they may be large, or no JSON.
    unusual_bytes: usize,
}

impl<E: Encode> Preprocessor<E> {
    /// A worker's preprocessor. `enricher` must know at least the look-ups of `program`.
    #[must_use]
    pub fn new(program: Arc<Program>, enricher: Enricher, encoder: E) -> Self {
        let rendering = Rendering::new(program.templates.len(), program.formats);
        let tools = Tools {
            parser: Parser::default(),
            second: Parser::default(),
            rendering,
            asked: Asked::default(),
            draft: DraftRoom::bounded(MOST_MADE_BYTES),
            value_limit: usize::MAX,
            decoded: Vec::new(),
            unusual_bytes: if program.reads_json() { LARGE_BYTES + 1 } else { 0 },
        };
        Self {
            program,
            enricher,
            output: Output { encoder, rendered: Vec::new() },
            tools,
            batch: BatchBuffers::default(),
            bytes_per_record: 0,
        }
    }

    /// The same, rejecting values of more than `bytes` as too large (`limits.value`).
    #[must_use]
    pub(crate) fn with_value_limit(mut self, bytes: usize) -> Self {
        self.tools.value_limit = bytes;
        self.tools.unusual_bytes = self.tools.unusual_bytes.min(bytes.saturating_add(1));
        self.tools.draft.most_bytes = bytes.saturating_mul(4).min(MOST_MADE_BYTES);
        self
    }

    /// The same, rejecting records of which steps make more than `items` (`limits.items`).
    #[must_use]
    pub(crate) fn with_item_limit(mut self, items: u32) -> Self {
        self.tools.draft.split.most_items = items;
        self
    }

    /// Prepares the records of `runs` into `prepared`: kept records as payload and items in input order, dropped ones
    /// as parts, rejected ones as rejects. A run whose epoch is not current in `table` yields nothing: its ticket was
    /// forgotten, nobody settles it. `still_wanted` is asked between attempts of a look-up, beside the fence.
    ///
    /// # Errors
    /// [`LookupStop`] when a look-up ended without an answer. `prepared` then carries no record at all, so none of them
    /// is settled; it must still be sent on for its sequence number.
    pub fn prepare<R: Records + ?Sized>(
        &mut self,
        runs: &[Run],
        records: &R,
        table: &PartitionTable,
        still_wanted: &dyn Fn() -> bool,
        prepared: &mut Prepared<E::Item>,
    ) -> Result<(), LookupStop> {
        let expected = runs.iter().map(|run| (run.end - run.start) as usize).sum::<usize>();
        prepared.payload.reserve((expected * self.bytes_per_record).min(RESERVED_AT_MOST));
        prepared.items.reserve(expected);
        self.tools.rendering.stamps.now_ms = wall_clock_ms();
        let result = match self.program.single_pass().map(|phase| phase.is_written) {
            Some(false) => {
                self.single_pass::<_, false>(runs, records, table, prepared);
                Ok(())
            }
            Some(true) => {
                self.single_pass::<_, true>(runs, records, table, prepared);
                Ok(())
            }
            None => self.phases(runs, records, table, still_wanted, prepared),
        };
        if result.is_err() {
            prepared.payload.clear();
            prepared.items.clear();
            prepared.ended.clear();
            prepared.rejects.clear();
            prepared.splits.clear();
        }
        if let Some(mean) = prepared.payload.len().checked_div(prepared.items.len()) {
            self.bytes_per_record = mean + mean / 16 + 1;
        }
        self.trim();
        result
    }

    /// `DRAFTS`: whether steps change records.
    fn single_pass<R: Records + ?Sized, const DRAFTS: bool>(
        &mut self,
        runs: &[Run],
        records: &R,
        table: &PartitionTable,
        prepared: &mut Prepared<E::Item>,
    ) {
        let Self { program, tools, output, .. } = self;
        for run in runs.iter().filter(|run| is_current(run, table)) {
            for index in run.start..run.end {
                let record = records.record(index as usize);
                let place = admit(run, index, &record, prepared);
                tools.rendering.clear();
                let kept = match record.value {
                    Some(value) if DRAFTS => {
                        tools.draft.written.clear();
                        tools.draft.split.clear();
                        let window = tools.input::<true>(program, &record, value);
                        if tools.draft.split.is_split {
                            tools.end_items(place, &record, output, prepared);
                            continue;
                        }
                        window.map(|window| tools.draft.written.get(window))
                    }
                    Some(value) => tools.input::<false>(program, &record, value).map(|window| value.get(window)),
                    None if program.tombstones == Tombstones::Drop => Err(StepEnding::Dropped),
                    None => tools.tombstone(&program.templates, &program.sink, &record).map(|_| None),
                };
                match kept {
                    Ok(value) => {
                        let value = value.as_ref().map(std::slice::from_ref);
                        output.encode(place, &record, value, &tools.rendering, 0, prepared);
                    }
                    Err(ending) => end(prepared, place, ending),
                }
            }
        }
    }

    /// Gives back what an unusually large batch needed.
    fn trim(&mut self) {
        /// Bytes of rendered text kept between batches; a usual batch needs some tens of KiB.
        const KEEP_BYTES: usize = 1024 * 1024;
        if self.tools.rendering.bytes.capacity() > KEEP_BYTES {
            self.tools.rendering.bytes = Vec::new();
        }
        self.tools.asked.keys.retain(|keys| keys.bytes_held() <= KEEP_BYTES);
        self.tools.draft.trim(KEEP_BYTES);
        if self.tools.rendering.key.capacity() > KEEP_BYTES {
            self.tools.rendering.key = Vec::new();
        }
        if self.tools.decoded.capacity() > KEEP_BYTES {
            self.tools.decoded = Vec::new();
        }
        self.batch.trim(KEEP_BYTES);
    }
}

impl Tools {
    /// Encodes the items of a record, or ends them.
    fn end_items<E: Encode>(
        &mut self,
        place: Place,
        record: &Record<'_>,
        output: &mut Output<E>,
        prepared: &mut Prepared<E::Item>,
    ) {
        for SplitItem { path, window, templates, .. } in self.draft.split.items.drain(..) {
            let place = Place { item: path, ..place };
            match window {
                Ok(window) => {
                    let value = self.draft.written.get(window);
                    let value = value.as_ref().map(std::slice::from_ref);
                    output.encode(place, record, value, &self.rendering, templates, prepared);
                }
                Err(ending) => end(prepared, place, ending),
            }
        }
    }

    /// Reads one record in phase number `phase`; `bytes` is the record at that point, `None` for a tombstone, which
    /// skips the steps. Gives the range that is the record after the steps: of `bytes`, or, where steps change records,
    /// of what was written.
    pub(super) fn read<const DRAFTS: bool>(
        &mut self,
        program: &Program,
        phase: usize,
        record: &Record<'_>,
        bytes: Option<&[u8]>,
    ) -> Result<Range<usize>, StepEnding> {
        match bytes {
            None if record.value.is_some() => self.bare(program, phase, record),
            None => self.tombstone(program.templates_of(phase), &program.sink, record),
            Some(bytes) if phase == 0 => self.input::<DRAFTS>(program, record, bytes),
            Some(bytes) => self.rebuilt::<DRAFTS>(program, phase, record, bytes),
        }
    }

    fn tombstone(
        &mut self,
        templates: &[Compiled],
        sink: &StepName,
        record: &Record<'_>,
    ) -> Result<Range<usize>, StepEnding> {
        let scope: Scope<'_> = Scope { record, document: None, original: None };
        self.rendering.sink(templates, &scope, sink).map(|()| 0..0)
    }

    /// A record that skipped the steps of an earlier phase.
    fn bare(&mut self, program: &Program, phase: usize, record: &Record<'_>) -> Result<Range<usize>, StepEnding> {
        let (templates, input) = (program.templates_of(phase), record.value.unwrap_or_default());
        if templates.is_empty() {
            return Ok(NOTHING);
        }
        let _turn = large_turn(input.len());
        let Self { parser, rendering, decoded, .. } = self;
        let input = program.json_of(input, decoded).map_err(|fault| malformed(program, fault))?;
        let render = |original: Document<'_>| {
            let scope: Scope<'_> = Scope { record, document: None, original: Some(&original) };
            rendering.sink(templates, &scope, &program.sink)
        };
        parser.read(input, render).unwrap_or_else(|fault| Err(malformed(program, fault))).map(|()| NOTHING)
    }

    /// Reads a record as it came. Inlined into its callers, of which the pass without look-ups is the one that counts:
    /// a small record costs about as much to hand down and up again as to look at.
    #[inline(always)]
    fn input<const DRAFTS: bool>(
        &mut self,
        program: &Program,
        record: &Record<'_>,
        bytes: &[u8],
    ) -> Result<Range<usize>, StepEnding> {
        if bytes.len() >= self.unusual_bytes {
            return self.unusual_input::<DRAFTS>(program, record, bytes);
        }
        self.parse_input::<DRAFTS>(program, record, bytes)
    }

    #[inline(never)]
    fn unusual_input<const DRAFTS: bool>(
        &mut self,
        program: &Program,
        record: &Record<'_>,
        bytes: &[u8],
    ) -> Result<Range<usize>, StepEnding> {
        if bytes.len() > self.value_limit {
            return Err(too_large(program, bytes.len(), self.value_limit));
        }
        let _turn = large_turn(bytes.len());
        let mut room = mem::take(&mut self.decoded);
        let ending = match program.json_of(bytes, &mut room) {
            Ok(json) => self.parse_input::<DRAFTS>(program, record, json),
            Err(fault) => Err(malformed(program, fault)),
        };
        self.decoded = room;
        ending
    }

    #[inline(always)]
    fn parse_input<const DRAFTS: bool>(
        &mut self,
        program: &Program,
        record: &Record<'_>,
        bytes: &[u8],
    ) -> Result<Range<usize>, StepEnding> {
        let Self { parser, rendering, asked, draft, .. } = self;
        let (phase, templates, sink) = (&program.phases[0], program.templates_of(0), &program.sink);
        parser
            .read(bytes, |document| {
                let (document, original) = (&document, Some(&document));
                let bare = program.bare.as_ref();
                let evaluation = Evaluation { bare, phase, templates, sink, record, document, original };
                if DRAFTS {
                    evaluation.run_changing(&program.constants, asked, rendering, draft)
                } else {
                    evaluation.run(asked, rendering)
                }
            })
            .unwrap_or_else(|fault| Err(malformed(program, fault)))
    }

    /// Reads a record as an earlier phase made it.
    fn rebuilt<const DRAFTS: bool>(
        &mut self,
        program: &Program,
        phase: usize,
        record: &Record<'_>,
        bytes: &[u8],
    ) -> Result<Range<usize>, StepEnding> {
        let Self { parser, second, rendering, asked, draft, decoded, .. } = self;
        let number = phase;
        let _turn = large_turn(bytes.len().max(record.value.map_or(0, <[u8]>::len)));
        let (phase, templates, sink) = (&program.phases[phase], program.templates_of(phase), &program.sink);
        let mut evaluate = |document: &Document<'_>, original: Option<&Document<'_>>| {
            let evaluation = Evaluation { bare: None, phase, templates, sink, record, document, original };
            if DRAFTS {
                evaluation.run_changing(&program.constants, asked, rendering, draft)
            } else {
                evaluation.run(asked, rendering)
            }
        };
        let result = if phase.reads_original {
            let input = program.json_of(record.value.unwrap_or_default(), decoded);
            let input = input.map_err(|fault| malformed(program, fault))?;
            let read = |original: Document<'_>| parser.read(bytes, |document| evaluate(&document, Some(&original)));
            second.read(input, read).flatten()
        } else {
            parser.read(bytes, |document| evaluate(&document, None))
        };
        result.unwrap_or_else(|fault| Err(rejected(fault.reason, program.maker_of(number), fault.detail)))
    }
}

/// What `{now:…}` shows.
fn wall_clock_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The turn a large value must have.
fn large_turn(bytes: usize) -> Option<MutexGuard<'static, ()>> {
    (bytes > LARGE_BYTES).then(|| LARGE_TURN.lock().unwrap_or_else(PoisonError::into_inner))
}

#[cold]
fn malformed(program: &Program, fault: Malformed) -> StepEnding {
    rejected(fault.reason, &program.parse, fault.detail)
}

#[cold]
fn too_large(program: &Program, bytes: usize, limit: usize) -> StepEnding {
    let detail = format!("the value has {bytes} bytes, `limits.value` is {limit}");
    rejected(RejectReason::TooLarge, &program.parse, detail)
}

#[cfg(test)]
#[path = "prepare_tests.rs"]
mod tests;
