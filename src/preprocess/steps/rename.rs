//! `rename`: members get other names, or move to other parents (class P).

use schemars::{JsonSchema, SchemaGenerator};
use serde::de::MapAccess;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize};

use super::super::compile::Compiler;
use super::super::constants::EditPath;
use super::super::document::array_index;
use super::super::draft::{Draft, InHand};
use super::super::ending::{StepEnding, rejected};
use super::super::program::CostClass;
use super::pointers::{PointerMap, StepOptions, below, from_the_end, no_place, overlap};
use super::{Change, StepOperation};
use crate::leaf::{CheckContext, Pointer};
use crate::model::{RejectReason, StepName};

/// From old pointers to new ones.
pub type Rename = PointerMap<RenameOptions>;

/// What happens where something is at the new pointer already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnExisting {
    /// The record is rejected.
    #[default]
    Reject,
    /// It is replaced.
    Replace,
    /// It stays; what was to be renamed is dropped.
    Keep,
}

/// Options of `rename`.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct RenameOptions {
    on_existing: OnExisting,
}

impl StepOptions for RenameOptions {
    type Value = String;
    const NAME: &'static str = "Rename";
    const KEYS: &'static [&'static str] = &["on_existing"];

    fn read<'de, A: MapAccess<'de>>(&mut self, _: &str, map: &mut A) -> Result<(), A::Error> {
        self.on_existing = map.next_value()?;
        Ok(())
    }
    fn properties(generator: &mut SchemaGenerator) -> serde_json::Value {
        serde_json::json!({ "on_existing": generator.subschema_for::<OnExisting>() })
    }
    fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("on_existing", &self.on_existing)
    }
}

/// What is renamed. Something that is missing is left alone.
#[derive(Debug, Clone)]
pub struct RenamePlan {
    /// From where to where, as the record was before the step.
    pub moves: Vec<(Pointer, Pointer)>,
    /// What happens where something is there already.
    pub on_existing: OnExisting,
}

impl Rename {
    pub(super) fn check(&self, path: &str, context: &CheckContext<'_>) -> Option<RenamePlan> {
        let items = self.pointers(path, context, "/old: /new")?;
        let targets: Vec<_> = items.iter().map(|(place, _, to)| below(context, place, to)).collect();
        let targets = targets.into_iter().collect::<Option<Vec<_>>>()?;
        let places: Vec<_> = items.iter().map(|(place, ..)| place.clone()).collect();
        let moves: Vec<_> = items.into_iter().map(|(_, from, _)| from).zip(targets).collect();
        for (place, (from, to)) in places.iter().zip(&moves) {
            if from == to {
                context.error(place, "is renamed to itself", "write another pointer, or remove it");
                return None;
            }
            if to.members.starts_with(&from.members) {
                context.error(
                    place,
                    format!("`{to}` lies in `{from}`, which is away by then"),
                    format!("move it beside first: `{from}: /other`, then `/other: {to}` in a step of its own"),
                );
                return None;
            }
        }
        if let Some((from, to)) = through_an_element(&moves) {
            context.error(
                path,
                format!("`{from}` may be taken out of an array that `{to}` leads into: which element that is then is not said"),
                "write them as two steps, in the order in which they are to happen",
            );
            return None;
        }
        let overlaps = overlap(context, places.iter().zip(moves.iter().map(|(from, _)| from)))
            | overlap(context, places.iter().zip(moves.iter().map(|(_, to)| to)));
        (!overlaps).then_some(RenamePlan { moves, on_existing: self.options.on_existing })
    }
}

/// A move out of what may be an array, and the target of another that may lead into that array.
fn through_an_element(moves: &[(Pointer, Pointer)]) -> Option<(&Pointer, &Pointer)> {
    let is_index = |member: &String| member == "-" || array_index(member).is_some();
    moves.iter().enumerate().find_map(|(number, (from, _))| {
        let (last, list) = from.members.split_last()?;
        let leads_there =
            |to: &Pointer| is_index(last) && to.members.strip_prefix(list).and_then(<[_]>::first).is_some_and(is_index);
        let other = moves.iter().enumerate().find(|(other, (_, to))| *other != number && leads_there(to))?;
        Some((from, &other.1.1))
    })
}

#[derive(Debug)]
pub(in crate::preprocess) struct CompiledRename {
    moves: Vec<CompiledMove>,
    /// Their numbers in the order in which they are taken out: from the end of arrays to their beginning.
    taking: Vec<usize>,
    on_existing: OnExisting,
}

#[derive(Debug)]
struct CompiledMove {
    from: Pointer,
    from_path: EditPath,
    to: Pointer,
    to_path: EditPath,
}

impl RenamePlan {
    pub(super) fn compile(&self, compiler: &mut Compiler) -> (StepOperation, CostClass) {
        let mut moves = Vec::new();
        for (from, to) in self.moves.iter().cloned() {
            compiler.change(&from);
            compiler.change(&to);
            if let (Some(from_path), Some(to_path)) = (compiler.constants.path(&from), compiler.constants.path(&to)) {
                moves.push(CompiledMove { from, from_path, to, to_path });
            }
        }
        let mut taking: Vec<usize> = (0..moves.len()).collect();
        taking.sort_by(|one, other| from_the_end(&moves[*one].from, &moves[*other].from));
        let change = Change::Rename(CompiledRename { moves, taking, on_existing: self.on_existing });
        (StepOperation::Change(change), CostClass::Splice)
    }
}

impl CompiledRename {
    pub(super) fn run(&self, draft: &mut Draft<'_>, place: &StepName) -> Result<(), StepEnding> {
        draft.room.hand.clear();
        for number in self.taking.iter().copied() {
            let one = &self.moves[number];
            if draft.has_parent(&one.from_path.parents, &one.from)
                && let Ok(container) = draft.container(&one.from_path.parents, false)
                && let Some((value, from)) = draft.take(container, one.from_path.name)
            {
                draft.room.hand.push(InHand { number, value, from: Some(from) });
            }
        }
        draft.room.hand.sort_unstable_by_key(|in_hand| in_hand.number);
        for at in 0..draft.room.hand.len() {
            let in_hand = draft.room.hand[at];
            self.put(draft, &self.moves[in_hand.number], in_hand, place)?;
        }
        Ok(())
    }

    fn put(
        &self,
        draft: &mut Draft<'_>,
        one: &CompiledMove,
        InHand { value, from, .. }: InHand,
        place: &StepName,
    ) -> Result<(), StepEnding> {
        let EditPath { parents, name } = &one.to_path;
        let container = draft.container(parents, true).map_err(|fault| no_place(draft, place, &one.to, fault))?;
        let exists = draft.has(container, *name);
        if exists {
            match self.on_existing {
                OnExisting::Reject => {
                    let detail = format!("{} is there already, so {} cannot be renamed to it", one.to, one.from);
                    return Err(rejected(RejectReason::Exists, place, detail));
                }
                OnExisting::Keep => return Ok(()),
                OnExisting::Replace => {}
            }
        }
        match from {
            Some(from) if draft.is_member_of(from, container) => {
                if exists {
                    draft.take(container, *name);
                }
                draft.put_back(from, *name, value);
                Ok(())
            }
            Some(_) | None => {
                draft.put(container, *name, value).map_err(|fault| no_place(draft, place, &one.to, fault))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{drafted, refuses};

    #[test]
    fn members_get_names_and_places_and_keep_their_bytes() {
        for (step, input, output) in [
            ("{ /a: /b }", r#"{"a":1,"c":2}"#, r#"{"b":1,"c":2}"#),
            ("{ /a: /b }", r#"{ "a" : [ 1 ] , "c" : 2 }"#, r#"{ "b":[ 1 ] , "c" : 2 }"#),
            ("{ /a: /b, /b: /a }", r#"{"a":1,"b":2}"#, r#"{"b":1,"a":2}"#),
            ("{ /none: /b }", r#"{"a":1}"#, r#"{"a":1}"#),
            ("{ /a: /x/a }", r#"{"a":1,"x":{"b":2}}"#, r#"{"x":{"b":2,"a":1}}"#),
            ("{ /a: /x/y/a }", r#"{"a":1,"c":{}}"#, r#"{"c":{},"x":{"y":{"a":1}}}"#),
            ("{ /x/a: /a, /x/b: /b }", r#"{"x":{"b":{"c":1},"a":2}}"#, r#"{"x":{},"a":2,"b":{"c":1}}"#),
            ("{ /a: /b }", r#"{"a":1,"a":2,"c":3}"#, r#"{"b":1,"c":3}"#),
            ("{ /a: /b, on_existing: replace }", r#"{"b":0,"a":1,"b":2}"#, r#"{"b":1}"#),
            ("{ /a: /b, on_existing: keep }", r#"{"b":0,"a":1}"#, r#"{"b":0}"#),
            ("{ /a: /x/b, on_existing: replace }", r#"{"a":1,"x":{"b":2,"c":3}}"#, r#"{"x":{"b":1,"c":3}}"#),
            ("{ /l/0: /first, /l/1: /second }", r#"{"l":[1,2,3]}"#, r#"{"l":[3],"first":1,"second":2}"#),
            ("{ /a: /q~1\"é }", r#"{"a":1}"#, r#"{"q/\"é":1}"#),
        ] {
            assert_eq!(drafted(&[&format!("rename: {step}")], input), Ok(output.to_owned()), "{step} {input}");
        }
    }

    #[test]
    fn nothing_can_be_read_under_the_old_name_and_all_under_the_new() {
        let steps = ["rename: { /a: /b }", "require: /b/x", "where: [{ field: /a, exists: false }]", "select: /b"];
        assert_eq!(drafted(&steps, r#"{"a":{"x":1},"a":{}}"#), Ok(r#"{"x":1}"#.to_owned()));
        let chain = ["rename: { /a: /b }", "rename: { /b: /c }", "rename: { /c: /d/c }", "rename: { /d/c: /a }"];
        assert_eq!(drafted(&chain, r#"{"a":1,"z":2}"#), Ok(r#"{"z":2,"d":{},"a":1}"#.to_owned()));
    }

    #[test]
    fn what_has_no_place_rejects() {
        for (input, said) in [
            (r#"{"a":1,"b":2}"#, "exists at steps[0].rename: /b is there already, so /a cannot be renamed to it"),
            (r#"{"c":1,"x":7}"#, "wrong_type at steps[0].rename: no place for /x/c: /x is a number"),
            (r#"{"c":1,"x":null}"#, "null at steps[0].rename: no place for /x/c: /x is null"),
        ] {
            assert_eq!(drafted(&["rename: { /a: /b, /c: /x/c }"], input), Err(said.to_owned()));
        }
    }

    #[test]
    fn what_is_written_wrong_is_refused_with_its_place() {
        let rows = [
            ("{rename: {}}", "", "no pointer"),
            ("{rename: {/a: /a}}", ".\"/a\"", "itself"),
            ("{rename: {/a: /a/b}}", ".\"/a\"", "lies in"),
            ("{rename: {/a: b}}", ".\"/a\"", "write `/b`"),
            ("{rename: {a: /b}}", ".a", "write `/a`"),
            ("{rename: {/a: /c, /b: /c}}", ".\"/b\"", "named twice"),
            ("{rename: {/a: /x, /a/b: /y}}", ".\"/a/b\"", "one lies in the other"),
            ("{rename: {/l/0: /first, /l/1/x: /l/2/x}}", "", "two steps"),
            ("{rename: {/a: /b, on_exist: keep}}", "", "`on_existing`"),
            ("{rename: {/a: /b, on_existing: overwrite}}", ".on_existing", "`replace`"),
            ("{rename: {/a: /b, fields: {/c: /d}}}", "", "stand beside `fields`"),
            ("{rename: {fields: {/a: /a}}}", ".fields.\"/a\"", "itself"),
            ("{rename: [/a]}", "", "a map"),
        ];
        refuses("rename", &rows);
    }
}
