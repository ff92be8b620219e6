//! Programs that cannot run away. The interpreter has no bound of its own, so the program's tree gets counters put in:
//! where a function calls itself, at each turn of `reduce` and `foreach`, at each number of a range, where what was
//! handed to a function is evaluated, and at each value of a stream (`.[]`, `..`, `,`). All loops of the language come
//! down to these. Products and sums may make a long text at once: their length is looked at before.

use jaq_core::box_iter::box_once;
use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Def, Pattern, Term};
use jaq_core::native::{Fun, v};
use jaq_core::ops::Math;
use jaq_core::path::{Part, Path};
use jaq_core::{Cv, Error, Exn, Native, ValXs};
use jaq_json::read::parse_single;
use jaq_json::{Num, Val};

use super::super::tape::Parser;
use super::allowance::Guarded;

/// The name under which the program itself is defined, and the text of what calls it.
pub(super) const MAIN: &str = "sluicegate_main";
/// Functions of ours. Nobody can write these names.
const STEP: &str = "!step";
const CALL: &str = "!call";
const SUM: &str = "!sum";
const PRODUCT: &str = "!product";
const RANGE: &str = "!range";
const FROM_JSON: &str = "fromjson";
const OPERAND: &str = "$!operand";

/// Functions that evaluate what they are handed for each element.
const PER_ELEMENT: &[&str] = &["sort_by", "group_by", "min_by_or_empty", "max_by_or_empty"];
/// What a program has no business with: the environment, the time and its zone, other inputs, the standard error,
/// ending the process.
const WITHHELD: &[&str] = &[
    "now",
    "localtime",
    "strflocaltime",
    "env",
    "halt",
    "halt_error",
    "input",
    "inputs",
    "debug",
    "stderr",
    "debug_empty",
    "stderr_empty",
    "input_line_number",
];

type JqTerm<'s> = Term<&'s str>;
type JqDef<'s> = Def<&'s str, JqTerm<'s>>;

/// A function that passes on what it is given, also where it stands in a path, while the allowance lets it.
macro_rules! counter {
    ($count:ident) => {
        Native::<Guarded>::new(|(context, value)| {
            box_once(if context.data().allowance.$count() { Ok(value) } else { Err(exhausted()) })
        })
        .with_paths(|(context, value)| {
            box_once(if context.data().allowance.$count() { Ok(value) } else { Err(exhausted()) })
        })
        .with_update(
            |(context, value), update| {
                if context.data().allowance.$count() { update(value) } else { box_once(Err(exhausted())) }
            },
        )
    };
}

/// All definitions: the language's, and the program under [`MAIN`].
pub(super) fn definitions(program: JqTerm<'_>) -> Vec<JqDef<'_>> {
    let mut all =
        vec![Def { name: "range", args: vec!["$from", "$to", "$by"], body: stepped(call(RANGE, range_arguments())) }];
    let of_language = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs());
    for def in of_language.filter(|def| !WITHHELD.contains(&def.name)) {
        all.push(guarded_def(def, &[]));
    }
    all.push(guarded_def(Def { name: MAIN, args: Vec::new(), body: program }, &[]));
    all
}

fn range_arguments() -> Vec<JqTerm<'static>> {
    ["$from", "$to", "$by"].into_iter().map(Term::Var).collect()
}

/// All functions that are not written in the language itself.
pub(super) fn natives() -> impl Iterator<Item = Fun<Guarded>> {
    let of_language = jaq_core::funs::<Guarded>().chain(jaq_std::funs::<Guarded>()).chain(jaq_json::funs::<Guarded>());
    let of_language = of_language.filter(|(name, ..)| *name != FROM_JSON && !WITHHELD.contains(name));
    let of_language =
        of_language.map(
            |(name, arguments, native)| {
                if name == "range" { (RANGE, arguments, native) } else { (name, arguments, native) }
            },
        );
    let (sum, product) = (Native::<Guarded>::new(sum), Native::<Guarded>::new(product));
    let from_json = Native::<Guarded>::new(from_json);
    of_language.chain([
        (STEP, v(0), counter!(step)),
        (CALL, v(0), counter!(call)),
        (SUM, v(2), sum),
        (PRODUCT, v(2), product),
        (FROM_JSON, v(0), from_json),
    ])
}

/// The value of a JSON text, which must be what a record must be: JSON and nothing else, nested as deeply at most.
fn from_json((_, value): Cv<'_, Guarded>) -> ValXs<'_, Val> {
    let (Val::TStr(text) | Val::BStr(text)) = &value else {
        return box_once(Err(Error::str("only a text can be read as JSON").into()));
    };
    let no_json = |why: String| Error::str(format!("no JSON: {why}"));
    let checked = Parser::default().read(text, |_| ()).map_err(|fault| no_json(fault.detail));
    let value = checked.and_then(|()| parse_single(text).map_err(|error| no_json(error.to_string())));
    box_once(value.map_err(Exn::from))
}

fn sum((mut context, _): Cv<'_, Guarded>) -> ValXs<'_, Val> {
    let left = context.pop_var();
    let right = context.pop_var();
    let bytes = match (&left, &right) {
        (Val::TStr(left) | Val::BStr(left), Val::TStr(right) | Val::BStr(right)) => left.len() + right.len(),
        (Val::Arr(left), Val::Arr(right)) => (left.len() + right.len()) * size_of::<Val>(),
        _ => 0,
    };
    let allowance = context.data().allowance;
    let may = allowance.has_room(bytes) && (bytes == 0 || allowance.call());
    box_once(if may { (left + right).map_err(Exn::from) } else { Err(exhausted()) })
}

fn product((mut context, _): Cv<'_, Guarded>) -> ValXs<'_, Val> {
    let left = context.pop_var();
    let right = context.pop_var();
    let bytes = match (&left, &right) {
        (Val::TStr(text) | Val::BStr(text), Val::Num(number))
        | (Val::Num(number), Val::TStr(text) | Val::BStr(text)) => text.len().saturating_mul(times(number)),
        _ => 0,
    };
    let product =
        if context.data().allowance.has_room(bytes) { (left * right).map_err(Exn::from) } else { Err(exhausted()) };
    box_once(product)
}

/// How often a text is repeated.
fn times(number: &Num) -> usize {
    match number {
        Num::Int(times) => usize::try_from(*times).unwrap_or(0),
        Num::BigInt(_) => usize::MAX,
        Num::Float(_) | Num::Dec(_) => 0,
    }
}

/// What the allowance says more about.
fn exhausted<'a>() -> Exn<'a, Val> {
    // Not an error, which a program could catch.
    Exn::halt(0)
}

fn call<'s>(name: &'static str, arguments: Vec<JqTerm<'s>>) -> JqTerm<'s> {
    Term::Call(name, arguments)
}

fn pipe<'s>(left: JqTerm<'s>, right: JqTerm<'s>) -> JqTerm<'s> {
    Term::BinOp(Box::new(left), BinaryOp::Pipe(None), Box::new(right))
}

/// What `term` gives, each with a step.
fn stepped(term: JqTerm<'_>) -> JqTerm<'_> {
    pipe(term, call(STEP, Vec::new()))
}

/// `handed` are the functions that those around it were handed.
fn guarded_def<'s>(Def { name, args, body }: JqDef<'s>, handed: &[&'s str]) -> JqDef<'s> {
    let calls_itself = calls(&body, name);
    let own = args.iter().copied().filter(|argument| !argument.starts_with('$'));
    let handed: Vec<&str> = handed.iter().copied().chain(own).collect();
    let body = Counters { handed: &handed }.put_into(body);
    let body = if calls_itself { pipe(call(STEP, Vec::new()), body) } else { body };
    Def { name, args, body }
}

/// Puts counters into a tree.
#[derive(Clone, Copy)]
struct Counters<'h, 's> {
    handed: &'h [&'s str],
}

impl<'s> Counters<'_, 's> {
    fn boxed(self, mut term: Box<JqTerm<'s>>) -> Box<JqTerm<'s>> {
        *term = self.put_into(std::mem::take(&mut *term));
        term
    }

    fn put_into(self, term: JqTerm<'s>) -> JqTerm<'s> {
        match term {
            Term::Id | Term::Num(_) | Term::Break(_) | Term::Var(_) => term,
            Term::Recurse => pipe(term, call(CALL, Vec::new())),
            Term::Str(format, parts) => Term::Str(format, parts.into_iter().map(|part| self.part(part)).collect()),
            Term::Arr(inner) => Term::Arr(inner.map(|inner| self.boxed(inner))),
            Term::Obj(members) => {
                let member =
                    |(key, value): (_, Option<_>)| (self.put_into(key), value.map(|value| self.put_into(value)));
                Term::Obj(members.into_iter().map(member).collect())
            }
            Term::Neg(inner) => Term::Neg(self.boxed(inner)),
            Term::BinOp(left, operator, right) => self.operation(left, operator, right),
            Term::Label(name, inner) => Term::Label(name, self.boxed(inner)),
            Term::Fold(name, over, pattern, terms) => {
                let mut terms: Vec<_> = terms.into_iter().map(|term| self.put_into(term)).collect();
                // The second is what each turn does.
                if let Some(turn) = terms.get_mut(1) {
                    *turn = pipe(call(STEP, Vec::new()), std::mem::take(turn));
                }
                Term::Fold(name, self.boxed(over), self.pattern(pattern), terms)
            }
            Term::TryCatch(inner, catch) => Term::TryCatch(self.boxed(inner), catch.map(|catch| self.boxed(catch))),
            Term::IfThenElse(arms, otherwise) => {
                let arms = arms.into_iter().map(|(test, then)| (self.put_into(test), self.put_into(then)));
                Term::IfThenElse(arms.collect(), otherwise.map(|otherwise| self.boxed(otherwise)))
            }
            Term::Def(defs, inner) => {
                let defs = defs.into_iter().map(|def| guarded_def(def, self.handed));
                Term::Def(defs.collect(), self.boxed(inner))
            }
            Term::Call(name, arguments) => {
                let is_handed = arguments.is_empty() && self.handed.contains(&name);
                let counts = PER_ELEMENT.contains(&name);
                let argument = |argument| {
                    let argument = self.put_into(argument);
                    if counts { pipe(call(CALL, Vec::new()), argument) } else { argument }
                };
                let term = Term::Call(name, arguments.into_iter().map(argument).collect());
                if is_handed { pipe(call(CALL, Vec::new()), term) } else { term }
            }
            Term::Path(inner, Path(parts)) => {
                let part = |part| match part {
                    Part::Index(index) => Part::Index(self.put_into(index)),
                    Part::Range(from, to) => {
                        Part::Range(from.map(|from| self.put_into(from)), to.map(|to| self.put_into(to)))
                    }
                };
                let is_stream = parts.iter().any(|(part, _)| matches!(part, Part::Range(None, None)));
                let parts = parts.into_iter().map(|(of, optional)| (part(of), optional)).collect();
                let path = Term::Path(self.boxed(inner), Path(parts));
                if is_stream { pipe(path, call(CALL, Vec::new())) } else { path }
            }
        }
    }

    fn operation(self, left: Box<JqTerm<'s>>, operator: BinaryOp<&'s str>, right: Box<JqTerm<'s>>) -> JqTerm<'s> {
        let (left, right) = (self.boxed(left), self.boxed(right));
        match operator {
            // Of two streams the right one turns more slowly, as with the operator.
            BinaryOp::Math(Math::Mul) => call(PRODUCT, vec![*right, *left]),
            BinaryOp::Math(Math::Add) => call(SUM, vec![*right, *left]),
            BinaryOp::UpdateMath(operation @ (Math::Mul | Math::Add)) => {
                let name = if matches!(operation, Math::Mul) { PRODUCT } else { SUM };
                let computed = call(name, vec![Term::Var(OPERAND), Term::Id]);
                let update = Term::BinOp(left, BinaryOp::Update, Box::new(computed));
                Term::BinOp(right, BinaryOp::Pipe(Some(Pattern::Var(OPERAND))), Box::new(update))
            }
            BinaryOp::Pipe(pattern) => {
                Term::BinOp(left, BinaryOp::Pipe(pattern.map(|pattern| self.pattern(pattern))), right)
            }
            BinaryOp::Comma => pipe(call(CALL, Vec::new()), Term::BinOp(left, BinaryOp::Comma, right)),
            operator @ (BinaryOp::Alt
            | BinaryOp::Or
            | BinaryOp::And
            | BinaryOp::Math(_)
            | BinaryOp::Cmp(_)
            | BinaryOp::Assign
            | BinaryOp::Update
            | BinaryOp::UpdateMath(_)
            | BinaryOp::UpdateAlt) => Term::BinOp(left, operator, right),
        }
    }

    fn part(self, part: StrPart<&'s str, JqTerm<'s>>) -> StrPart<&'s str, JqTerm<'s>> {
        match part {
            StrPart::Term(term) => StrPart::Term(self.put_into(term)),
            StrPart::Str(_) | StrPart::Char(_) => part,
        }
    }

    fn pattern(self, pattern: Pattern<&'s str>) -> Pattern<&'s str> {
        match pattern {
            Pattern::Var(_) => pattern,
            Pattern::Arr(patterns) => Pattern::Arr(patterns.into_iter().map(|pattern| self.pattern(pattern)).collect()),
            Pattern::Obj(members) => {
                let member = |(key, inner)| (self.put_into(key), self.pattern(inner));
                Pattern::Obj(members.into_iter().map(member).collect())
            }
        }
    }
}

/// Whether a function of this name is called anywhere in `term`, of whatever number of arguments.
fn calls(term: &JqTerm<'_>, name: &str) -> bool {
    let inside = |term: &JqTerm<'_>| calls(term, name);
    let inside_some = |term: &Option<Box<JqTerm<'_>>>| term.as_ref().is_some_and(|term| calls(term, name));
    match term {
        Term::Id | Term::Recurse | Term::Num(_) | Term::Break(_) | Term::Var(_) => false,
        Term::Str(format, parts) => {
            *format == Some(name)
                || parts.iter().any(|part| match part {
                    StrPart::Term(term) => calls(term, name),
                    StrPart::Str(_) | StrPart::Char(_) => false,
                })
        }
        Term::Arr(inner) => inside_some(inner),
        Term::Obj(members) => members.iter().any(|(key, value)| inside(key) || value.as_ref().is_some_and(inside)),
        Term::Neg(inner) | Term::Label(_, inner) => inside(inner),
        Term::BinOp(left, operator, right) => {
            let pattern = matches!(operator, BinaryOp::Pipe(Some(pattern)) if pattern_calls(pattern, name));
            pattern || inside(left) || inside(right)
        }
        Term::Fold(_, over, pattern, terms) => inside(over) || pattern_calls(pattern, name) || terms.iter().any(inside),
        Term::TryCatch(inner, catch) => inside(inner) || inside_some(catch),
        Term::IfThenElse(arms, otherwise) => {
            arms.iter().any(|(test, then)| inside(test) || inside(then)) || inside_some(otherwise)
        }
        Term::Def(defs, inner) => defs.iter().any(|def| inside(&def.body)) || inside(inner),
        Term::Call(called, arguments) => *called == name || arguments.iter().any(inside),
        Term::Path(inner, Path(parts)) => {
            let part = |part: &Part<JqTerm<'_>>| match part {
                Part::Index(index) => inside(index),
                Part::Range(from, to) => from.iter().chain(to).any(inside),
            };
            inside(inner) || parts.iter().any(|(of, _)| part(of))
        }
    }
}

fn pattern_calls(pattern: &Pattern<&str>, name: &str) -> bool {
    match pattern {
        Pattern::Var(_) => false,
        Pattern::Arr(patterns) => patterns.iter().any(|pattern| pattern_calls(pattern, name)),
        Pattern::Obj(members) => members.iter().any(|(key, inner)| calls(key, name) || pattern_calls(inner, name)),
    }
}
