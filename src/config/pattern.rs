//! Patterns of topics (`^orders-\d+$`), in one dialect. Pure.
//!
//! Two engines look at them: librdkafka subscribes with the C library's extended expressions, which know no `\d` and no
//! `(?:`, and we match names ourselves where librdkafka does not do it for us. So a pattern is parsed and written again
//! in the few forms that mean the same to both; what cannot be written so is refused, with what to write instead. A set
//! of characters becomes the members of it that a topic's name may have.

use std::fmt;

use crate::leaf::pointer::PointerRefusal;

mod parse;

/// librdkafka's property with patterns of topics that count as not there.
pub const LEFT_OUT: &str = "topic.blacklist";

/// A pattern that librdkafka and we read alike.
#[derive(Debug, Clone)]
pub struct Pattern {
    written: String,
    plain: String,
    matcher: regex_lite::Regex,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What it has that only one of the two engines knows, or that matches no topic's name.
    pub fn new(text: &str) -> Result<Self, PointerRefusal> {
        let plain = parse::parse(text)?.to_string();
        let matcher = regex_lite::Regex::new(&plain).map_err(|error| {
            PointerRefusal::new(format!("not a pattern: {error}"), "write a shorter or simpler one")
        })?;
        Ok(Self { written: text.to_owned(), plain, matcher })
    }

    /// As both engines read it.
    #[must_use]
    pub fn plain(&self) -> &str {
        &self.plain
    }

    /// Whether a topic of this name is meant.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        self.matcher.is_match(name)
    }
}

impl fmt::Display for Pattern {
    /// As written.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.written)
    }
}

/// What a source reads.
#[derive(Debug, Clone)]
pub enum SourceTopic {
    /// The topic of this name.
    Name(String),
    /// Every topic whose name matches.
    Pattern(Box<Pattern>),
}

impl SourceTopic {
    /// What librdkafka subscribes to.
    #[must_use]
    pub fn subscription(&self) -> &str {
        match self {
            Self::Name(name) => name,
            Self::Pattern(pattern) => pattern.plain(),
        }
    }

    /// Whether a topic of this name is meant.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::Name(wanted) => wanted == name,
            Self::Pattern(pattern) => pattern.matches(name),
        }
    }
}

impl From<&str> for SourceTopic {
    /// The topic of this name.
    fn from(name: &str) -> Self {
        Self::Name(name.to_owned())
    }
}

impl From<String> for SourceTopic {
    /// The topic of this name.
    fn from(name: String) -> Self {
        Self::Name(name)
    }
}

impl fmt::Display for SourceTopic {
    /// As written.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => out.write_str(name),
            Self::Pattern(pattern) => pattern.fmt(out),
        }
    }
}

/// Characters of topics' names, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Set(u128);

impl Set {
    const NONE: Self = Self(0);

    fn all() -> Self {
        ('\0'..='\u{7f}').filter(|character| is_of_a_name(*character)).fold(Self::NONE, Self::with)
    }

    /// With one more; a character that no name has changes nothing.
    fn with(self, character: char) -> Self {
        if is_of_a_name(character) { Self(self.0 | (1 << u32::from(character))) } else { self }
    }

    fn of(wanted: impl Fn(char) -> bool) -> Self {
        ('\0'..='\u{7f}').filter(|character| wanted(*character)).fold(Self::NONE, Self::with)
    }

    fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn others(self) -> Self {
        Self(Self::all().0 & !self.0)
    }

    fn members(self) -> impl Iterator<Item = char> {
        ('\0'..='\u{7f}').filter(move |character| self.0 & (1 << u32::from(*character)) != 0)
    }
}

/// Whether topics may have it in their names.
fn is_of_a_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-')
}

impl fmt::Display for Set {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members: Vec<char> = self.members().collect();
        if let [one] = members[..] {
            return if one == '.' { out.write_str("\\.") } else { write!(out, "{one}") };
        }
        out.write_str("[")?;
        let mut rest: Vec<char> = members.iter().copied().filter(|one| *one != '-').collect();
        while let Some(first) = rest.first().copied() {
            let is_next = |(index, one): (usize, char)| u32::from(one) == u32::from(first) + index as u32;
            let length = rest.iter().copied().enumerate().take_while(|one| is_next(*one)).count();
            let run: Vec<char> = rest.drain(..length).collect();
            match run[..] {
                [first, _, .., last] => write!(out, "{first}-{last}")?,
                [..] => run.iter().try_for_each(|one| write!(out, "{one}"))?,
            }
        }
        // At the end it is no range.
        if members.contains(&'-') {
            out.write_str("-")?;
        }
        out.write_str("]")
    }
}

/// One thing that can be repeated.
#[derive(Debug)]
enum PatternItem {
    Start,
    End,
    Any,
    One(Set),
    Group(Alternatives),
}

#[derive(Debug)]
struct Piece {
    item: PatternItem,
    /// How often, from and to; `None` = once.
    times: Option<(u32, Option<u32>)>,
}

#[derive(Debug)]
struct Alternatives(Vec<Vec<Piece>>);

impl Alternatives {
    /// How much both engines must hold for it: counts multiply.
    fn size(&self) -> usize {
        let one = |piece: &Piece| {
            let inner = match &piece.item {
                PatternItem::Group(group) => group.size(),
                PatternItem::Start | PatternItem::End | PatternItem::Any | PatternItem::One(_) => 1,
            };
            let times = piece.times.map_or(1, |(from, to)| to.unwrap_or(from).max(1));
            inner.saturating_mul(times as usize)
        };
        self.0.iter().flatten().map(one).fold(0, usize::saturating_add)
    }
}

impl fmt::Display for Alternatives {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, pieces) in self.0.iter().enumerate() {
            if number > 0 {
                out.write_str("|")?;
            }
            pieces.iter().try_for_each(|piece| write!(out, "{piece}"))?;
        }
        Ok(())
    }
}

impl fmt::Display for Piece {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.item {
            PatternItem::Start => out.write_str("^")?,
            PatternItem::End => out.write_str("$")?,
            PatternItem::Any => out.write_str(".")?,
            PatternItem::One(set) => write!(out, "{set}")?,
            PatternItem::Group(group) => write!(out, "({group})")?,
        }
        match self.times {
            None => Ok(()),
            Some((0, None)) => out.write_str("*"),
            Some((1, None)) => out.write_str("+"),
            Some((0, Some(1))) => out.write_str("?"),
            Some((from, None)) => write!(out, "{{{from},}}"),
            Some((from, Some(to))) if from == to => write!(out, "{{{from}}}"),
            Some((from, Some(to))) => write!(out, "{{{from},{to}}}"),
        }
    }
}

#[cfg(test)]
#[path = "pattern/tests.rs"]
mod tests;
