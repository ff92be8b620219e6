//! Programs in the language of jq, by jaq: JSON in, any number of JSON values out.
//!
//! A program is written by the operator and reads what producers send, so it must not take a worker down: what it may
//! spend on one record is bounded ([`guard`], [`allowance`]), it sees nothing but the record, and it prints JSON only.

mod allowance;
mod guard;
mod write;

use std::fmt::{self, Write as _};
use std::sync::Arc;

use jaq_core::compile::Undefined;
use jaq_core::load::{Arena, File, Lexer, Loader, Parser, span};
use jaq_core::{Compiler, Ctx, Error, Filter, Vars};
use jaq_json::Val;
use jaq_json::read::parse_single;

use allowance::{Allowance, Guarded, Spent};
use write::write_value;

/// Stack of a thread that runs programs. It is address space: memory is taken for what is used of it. Values that a
/// program nests in a loop are dropped level by level, and as many as [`STEPS`] fit.
pub const STACK_BYTES: usize = 256 << 20;
/// Most turns of loops for one record. A turn may nest a value, or a path, once more.
const STEPS: u32 = 100_000;
/// Most values of streams, and calls of what was handed to functions, for one record.
const CALLS: u32 = 1_000_000;
/// Most stack that functions which call themselves may take.
const RECURSION_BYTES: usize = 64 << 20;
/// Longest program.
const MOST_TEXT_BYTES: usize = 32 << 10;
/// Stack of the thread that compiles a program of that length, at worst a bracket in each byte.
const COMPILER_STACK_BYTES: usize = 1 << 30;
/// Longest message of a run-time error, in bytes.
const MESSAGE_BYTES: usize = 512;

/// A compiled program; a clone is the same one.
#[derive(Clone)]
pub struct JqProgram {
    filter: Arc<Filter<Guarded>>,
    text: Arc<str>,
}

/// What is wrong with a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JqFault {
    /// Line in the program, from 1.
    pub line: usize,
    /// Character in the line, from 1.
    pub column: usize,
    /// For people.
    pub message: String,
}

/// What a program may make of one record.
#[derive(Debug, Clone, Copy)]
pub(super) struct JqBounds {
    pub(super) outputs: usize,
    /// Of all outputs together, and of what it has in memory at a time.
    pub(super) bytes: usize,
}

/// Why a record has no outputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum JqEnd {
    TooManyOutputs,
    TooManyBytes,
    TooDeep,
    /// It runs for too long.
    TooManySteps,
    /// A run-time error, in its words.
    Failed(String),
}

impl JqProgram {
    /// Compiles a program.
    ///
    /// # Errors
    /// The first mistake.
    pub fn compile(text: &str) -> Result<Self, JqFault> {
        if text.len() > MOST_TEXT_BYTES {
            let most = MOST_TEXT_BYTES / 1024;
            return Err(JqFault::at(text, text, format!("the program is longer than {most} KiB")));
        }
        // The parser goes down with each bracket and each stage of a pipe.
        let compiled = std::thread::scope(|scope| {
            let builder = std::thread::Builder::new().name("jq".to_owned()).stack_size(COMPILER_STACK_BYTES);
            builder.spawn_scoped(scope, || Self::compile_here(text)).map(|thread| thread.join().ok())
        });
        let unexpected = |why: String| Err(JqFault::at(text, text, why));
        match compiled {
            Ok(Some(compiled)) => compiled,
            Ok(None) => unexpected("the compiler panicked: this is a bug".to_owned()),
            Err(error) => unexpected(format!("no thread for the compiler: {error}")),
        }
    }

    /// The same on the stack at hand.
    fn compile_here(text: &str) -> Result<Self, JqFault> {
        let fault = |at: &str, message: String| JqFault::at(text, at, message);
        let tokens = Lexer::new(text).lex().map_err(|errors| {
            let (expected, at) = errors.into_iter().next_back().unwrap_or((jaq_core::load::lex::Expect::Token, text));
            let expected = match expected {
                jaq_core::load::lex::Expect::Delim(open) => format!("the closing half of `{open}`"),
                other => format!("a {}", other.as_str()),
            };
            fault(at, format!("expected {expected}"))
        })?;
        let term = Parser::new(&tokens).parse(|parser| parser.term()).map_err(|errors| {
            let (expected, found) = errors.into_iter().next().unwrap_or((jaq_core::load::parse::Expect::Term, None));
            let at = found.map_or(&text[text.len()..], |token| token.0);
            let found = found.map_or("the end".to_owned(), |token| format!("`{}`", first_word(token.0)));
            fault(at, format!("expected {}, found {found}", words(expected.as_str())))
        })?;
        let arena = Arena::default();
        let main = File { code: guard::MAIN, path: () };
        let modules = Loader::new(guard::definitions(term)).load(&arena, main);
        let modules = modules.map_err(|_| fault(text, "is no program".to_owned()))?;
        let compiled = Compiler::default().with_funs(guard::natives()).compile(modules);
        let filter = compiled.map_err(|errors| {
            let first = errors.into_iter().flat_map(|(_, errors)| errors).next();
            first.map_or_else(
                || fault(text, "is no program".to_owned()),
                |(name, kind)| fault(name, undefined(name, &kind)),
            )
        })?;
        Ok(Self { filter: Arc::new(filter), text: text.into() })
    }

    /// As it is written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Runs over a value: appends its outputs to `out`, and where each ends to `ends`. `input` is JSON.
    ///
    /// # Errors
    /// Why there are none; both lists are then as before.
    pub(super) fn run(
        &self,
        input: &[u8],
        out: &mut Vec<u8>,
        ends: &mut Vec<usize>,
        bounds: JqBounds,
    ) -> Result<(), JqEnd> {
        let (bytes, outputs) = (out.len(), ends.len());
        // A panic of the interpreter is of this record: without a word of it, it would come again at each reading.
        let work = std::panic::AssertUnwindSafe(|| self.outputs(input, out, ends, bounds));
        let ended = std::panic::catch_unwind(work)
            .unwrap_or_else(|_| Err(JqEnd::Failed("the interpreter panicked over this record".to_owned())));
        if ended.is_err() {
            out.truncate(bytes);
            ends.truncate(outputs);
        }
        ended
    }

    fn outputs(
        &self,
        input: &[u8],
        out: &mut Vec<u8>,
        ends: &mut Vec<usize>,
        JqBounds { outputs, bytes }: JqBounds,
    ) -> Result<(), JqEnd> {
        let value = parse_single(input).map_err(|error| JqEnd::Failed(error.to_string()))?;
        let allowance = Allowance::new(STEPS, CALLS, RECURSION_BYTES, bytes);
        let (start, most) = (out.len(), ends.len() + outputs);
        let context = Ctx::<Guarded>::new(allowance.beside(&self.filter.lut), Vars::new([]));
        for output in self.filter.id.run((context, value)) {
            let value = output.map_err(|exception| match (allowance.spent(), exception.get_err()) {
                (Some(Spent::Steps), _) => JqEnd::TooManySteps,
                (Some(Spent::Stack), _) => JqEnd::TooDeep,
                (Some(Spent::Bytes), _) => JqEnd::TooManyBytes,
                (None, Ok(error)) => JqEnd::Failed(message_of(error)),
                (None, Err(_)) => JqEnd::Failed("the program halts".to_owned()),
            })?;
            if ends.len() == most {
                return Err(JqEnd::TooManyOutputs);
            }
            write_value(&value, out, start + bytes)?;
            ends.push(out.len());
        }
        Ok(())
    }
}

impl fmt::Debug for JqProgram {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("JqProgram").field(&self.text).finish()
    }
}

impl JqFault {
    /// A mistake at `part` of `text`.
    fn at(text: &str, part: &str, message: String) -> Self {
        let at = span(text, part).start.min(text.len());
        let before = &text[..at];
        let line = before.rsplit('\n').next().unwrap_or_default();
        Self { line: before.matches('\n').count() + 1, column: line.chars().count() + 1, message }
    }
}

fn first_word(text: &str) -> &str {
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    text.get(..end.min(40)).unwrap_or(text)
}

/// What was expected, with its article.
fn words(expected: &str) -> String {
    match expected {
        "else or end" => "`else` or `end`".to_owned(),
        "nothing" => "the end".to_owned(),
        "term" | "variable" | "pattern" | "key" | "string" => format!("a {expected}"),
        "argument" | "identifier" => format!("an {expected}"),
        "comma or right bracket" | "comma or right brace" | "semicolon or right parenthesis" => {
            format!("a {}", expected.replace("right", "closing"))
        }
        token => format!("`{token}`"),
    }
}

fn undefined(name: &str, kind: &Undefined) -> String {
    match kind {
        Undefined::Filter(0) => format!("there is no function `{name}`"),
        Undefined::Filter(arity) => format!("there is no function `{name}` with {arity} arguments"),
        other => format!("there is no {} `{name}`", other.as_str()),
    }
}

/// The beginning of an error's message: it may quote a whole value. What a program says itself is mostly a text.
fn message_of(error: Error<Val>) -> String {
    struct MessageCut(String);
    impl fmt::Write for MessageCut {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let room = MESSAGE_BYTES.saturating_sub(self.0.len());
            let end = (0..=room.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            self.0.push_str(&text[..end]);
            if end < text.len() { Err(fmt::Error) } else { Ok(()) }
        }
    }
    let mut beginning = MessageCut(String::new());
    // An error only says that the message is longer.
    let _cut = match error.into_val() {
        Val::TStr(text) => beginning.write_str(&String::from_utf8_lossy(&text)),
        other => write!(beginning, "{other}"),
    };
    // What stands in a record must not look like a line of ours.
    beginning.0.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests;
