//! What the changing steps mean, said once more and plainly: on a tree, one step after the other. Property tests hold
//! the drafts to it.

use serde_json::Value as Json;

use crate::leaf::{JsonText, Pointer};
use crate::model::RejectReason;
use crate::preprocess::document::array_index;
use crate::preprocess::steps::StepKind;
use crate::preprocess::steps::pointers::from_the_end;
use crate::preprocess::steps::rename::{OnExisting, RenamePlan};
use crate::preprocess::steps::set::{Parents, SetPlan, SetValue};

/// A value that keeps the order of its members, equal names, and the spelling of names and scalars.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::preprocess) enum Tree {
    /// As it is spelled.
    Scalar(String),
    /// Spelling, name and value of each member.
    Object(Vec<(String, String, Tree)>),
    Array(Vec<Tree>),
}

impl Tree {
    pub(in crate::preprocess) fn of(json: &Json) -> Self {
        match json {
            Json::Object(map) => {
                Self::Object(map.iter().map(|(name, value)| (spelled(name), name.clone(), Self::of(value))).collect())
            }
            Json::Array(list) => Self::Array(list.iter().map(Self::of).collect()),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => Self::Scalar(json.to_string()),
        }
    }

    /// As compact text.
    pub(in crate::preprocess) fn text(&self) -> String {
        let list = |parts: Vec<String>| parts.join(",");
        match self {
            Self::Scalar(text) => text.clone(),
            Self::Array(elements) => format!("[{}]", list(elements.iter().map(Self::text).collect())),
            Self::Object(members) => {
                let member = |(spelling, _, value): &(String, String, Self)| format!("{spelling}:{}", value.text());
                format!("{{{}}}", list(members.iter().map(member).collect()))
            }
        }
    }

    fn is_null(&self) -> bool {
        matches!(self, Self::Scalar(text) if text == "null")
    }

    fn child(&self, member: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members.iter().find(|(_, name, _)| name == member).map(|(.., value)| value),
            Self::Array(elements) => elements.get(array_index(member)?),
            Self::Scalar(_) => None,
        }
    }

    fn child_mut(&mut self, member: &str) -> Option<&mut Self> {
        match self {
            Self::Object(members) => members.iter_mut().find(|(_, name, _)| name == member).map(|(.., value)| value),
            Self::Array(elements) => elements.get_mut(array_index(member)?),
            Self::Scalar(_) => None,
        }
    }

    pub(in crate::preprocess) fn get(&self, pointer: &[String]) -> Option<&Self> {
        pointer.iter().try_fold(self, |at, member| at.child(member))
    }

    fn get_mut(&mut self, pointer: &[String]) -> Option<&mut Self> {
        pointer.iter().try_fold(self, |at, member| at.child_mut(member))
    }

    /// Takes out what is at `pointer`, with all others of its name. Leaves a mark where the first was, for
    /// [`Tree::sweep`].
    fn take(&mut self, pointer: &[String]) -> Option<Self> {
        let (last, parents) = pointer.split_last()?;
        match self.get_mut(parents)? {
            Self::Object(members) => {
                let first = members.iter().position(|(_, name, _)| name == last)?;
                let taken = std::mem::replace(&mut members[first], (String::new(), format!("taken {last}"), mark()));
                members.retain(|(_, name, _)| name != last);
                Some(taken.2)
            }
            Self::Array(elements) => {
                let index = array_index(last).filter(|index| *index < elements.len())?;
                Some(elements.remove(index))
            }
            Self::Scalar(_) => None,
        }
    }

    /// Removes the marks.
    fn sweep(&mut self) {
        match self {
            Self::Object(members) => {
                members.retain(|(.., value)| *value != mark());
                members.iter_mut().for_each(|(.., value)| value.sweep());
            }
            Self::Array(elements) => elements.iter_mut().for_each(Self::sweep),
            Self::Scalar(_) => {}
        }
    }

    fn put(&mut self, pointer: &[String], value: Self, create: bool) -> Result<(), RejectReason> {
        let (last, parents) = pointer.split_last().expect("not the whole record");
        let parent = self.parent(parents, create)?;
        match parent {
            Self::Object(members) => {
                let first = members.iter().position(|(_, name, _)| name == last);
                match first {
                    Some(first) => {
                        members[first].2 = value;
                        let mut at = 0;
                        members.retain(|(_, name, _)| {
                            at += 1;
                            name != last || at == first + 1
                        });
                    }
                    None => members.push((spelled(last), last.clone(), value)),
                }
                Ok(())
            }
            Self::Array(elements) => match array_index(last) {
                Some(index) if index < elements.len() => {
                    elements[index] = value;
                    Ok(())
                }
                index if index == Some(elements.len()) || last == "-" => {
                    elements.push(value);
                    Ok(())
                }
                Some(_) => Err(RejectReason::Missing),
                None => Err(RejectReason::WrongType),
            },
            Self::Scalar(_) => Err(no_parent(parent)),
        }
    }

    fn parent(&mut self, parents: &[String], create: bool) -> Result<&mut Self, RejectReason> {
        let mut at = self;
        for member in parents {
            match at {
                Self::Object(members) if create && !members.iter().any(|(_, name, _)| name == member) => {
                    members.push((spelled(member), member.clone(), Self::Object(Vec::new())));
                }
                Self::Object(_) | Self::Array(_) => {}
                Self::Scalar(_) => return Err(no_parent(at)),
            }
            at = at.child_mut(member).ok_or(RejectReason::Missing)?;
        }
        if let Self::Scalar(_) = at { Err(no_parent(at)) } else { Ok(at) }
    }

    /// What is left when only `pointers` are kept; `None` for nothing.
    fn kept(&self, pointers: &[&[String]]) -> Option<Self> {
        if pointers.iter().any(|pointer| pointer.is_empty()) {
            return Some(self.clone());
        }
        let below = |member: &str| -> Vec<&[String]> {
            pointers.iter().filter(|pointer| pointer[0] == member).map(|pointer| &pointer[1..]).collect()
        };
        match self {
            Self::Scalar(_) => None,
            Self::Object(members) => {
                let mut left = Vec::new();
                for (at, (spelling, name, value)) in members.iter().enumerate() {
                    let below = below(name);
                    let is_first = members.iter().position(|(_, other, _)| other == name) == Some(at);
                    let whole = below.iter().any(|pointer| pointer.is_empty());
                    if !below.is_empty()
                        && (whole || is_first)
                        && let Some(value) = value.kept(&below)
                    {
                        left.push((spelling.clone(), name.clone(), value));
                    }
                }
                (!left.is_empty()).then_some(Self::Object(left))
            }
            Self::Array(elements) => {
                let kept = |(at, element): (usize, &Self)| {
                    let below = below(&at.to_string());
                    if below.is_empty() { None } else { element.kept(&below) }
                };
                let left: Vec<_> = elements.iter().enumerate().filter_map(kept).collect();
                (!left.is_empty()).then_some(Self::Array(left))
            }
        }
    }

    /// Does what a changing step does; `None` for any other.
    pub(in crate::preprocess) fn change(&mut self, kind: &StepKind) -> Option<Result<(), RejectReason>> {
        match kind {
            StepKind::Drop(plan) => {
                let mut pointers = plan.pointers.clone();
                pointers.sort_by(from_the_end);
                pointers.dedup();
                for pointer in pointers {
                    self.take(&pointer.members);
                }
                self.sweep();
                Some(Ok(()))
            }
            StepKind::Keep(plan) => Some(match self {
                Self::Scalar(_) => Err(no_parent(self)),
                Self::Object(_) | Self::Array(_) => {
                    let pointers: Vec<_> = plan.pointers.iter().map(|pointer| &pointer.members[..]).collect();
                    let nothing =
                        if let Self::Array(_) = self { Self::Array(Vec::new()) } else { Self::Object(Vec::new()) };
                    *self = self.kept(&pointers).unwrap_or(nothing);
                    Ok(())
                }
            }),
            StepKind::Rename(plan) => {
                let renamed = self.rename(plan);
                self.sweep();
                Some(renamed)
            }
            StepKind::Set(plan) => Some(self.set(plan)),
            StepKind::Select(_)
            | StepKind::Require(_)
            | StepKind::Where(_)
            | StepKind::Lookup(_)
            | StepKind::Parse(_)
            | StepKind::Coerce(_)
            | StepKind::Timestamp(_)
            | StepKind::Explode(_)
            | StepKind::Jq(_)
            | StepKind::Route(_) => None,
        }
    }

    fn rename(&mut self, plan: &RenamePlan) -> Result<(), RejectReason> {
        let mut moves: Vec<_> = plan.moves.iter().cloned().enumerate().collect();
        moves.sort_by(|one, other| from_the_end(&one.1.0, &other.1.0));
        let mut taken: Vec<_> = moves
            .into_iter()
            .filter_map(|(number, (from, to))| {
                let value = self.take(&from.members)?;
                Some((number, from, to, value))
            })
            .collect();
        taken.sort_by_key(|(number, ..)| *number);
        for (_, from, to, value) in taken {
            let (last, parents) = to.members.split_last().expect("below the record");
            let (old, old_parents) = from.members.split_last().expect("below the record");
            let parent = self.parent(parents, true)?;
            let exists = parent.child(last).is_some_and(|value| *value != mark());
            match plan.on_existing {
                OnExisting::Reject if exists => return Err(RejectReason::Exists),
                OnExisting::Keep if exists => continue,
                OnExisting::Reject | OnExisting::Keep | OnExisting::Replace => {}
            }
            match parent {
                Self::Object(members) if parents == old_parents => {
                    members.retain(|(_, name, _)| name != last);
                    let place = members.iter().position(|(_, name, _)| *name == format!("taken {old}"));
                    members[place.expect("marked")] = (spelled(last), last.clone(), value);
                }
                Self::Object(_) | Self::Array(_) | Self::Scalar(_) => self.put(&to.members, value, true)?,
            }
        }
        Ok(())
    }

    fn set(&mut self, plan: &SetPlan) -> Result<(), RejectReason> {
        let value = |value: &SetValue| match value {
            SetValue::Constant(JsonText(json)) => Ok(Self::of(&serde_json::from_str(json).expect("JSON"))),
            SetValue::Copy { pointer: Pointer { members }, fallback } => match (self.get(members), fallback) {
                (Some(found), Some(_)) if !found.is_null() => Ok(found.clone()),
                (Some(found), None) => Ok(found.clone()),
                (Some(_) | None, Some(fallback)) => Ok(Self::Scalar(spelled(fallback))),
                (None, None) => Err(RejectReason::Missing),
            },
            SetValue::Text(_) => unreachable!("not generated"),
        };
        let values: Vec<_> = plan.values.iter().map(|(_, one)| value(one)).collect::<Result<_, _>>()?;
        for ((pointer, _), value) in plan.values.iter().zip(values) {
            self.put(&pointer.members, value, plan.parents == Parents::Create)?;
        }
        Ok(())
    }
}

fn mark() -> Tree {
    Tree::Scalar("taken".to_owned())
}

fn spelled(name: &str) -> String {
    Json::from(name).to_string()
}

fn no_parent(value: &Tree) -> RejectReason {
    if value.is_null() { RejectReason::Null } else { RejectReason::WrongType }
}
