//! The text of a pattern → its parts. Takes what people from Java, Python and Perl write, where a topic's name can tell
//! it.

use super::{Alternatives, PatternItem, Piece, Set};
use crate::leaf::pointer::PointerRefusal;

/// Longest pattern.
const MAX_BYTES: usize = 1_024;
/// Deepest nesting of groups.
const MAX_DEPTH: usize = 32;
/// Highest count, as POSIX has it.
const MAX_TIMES: u32 = 255;
/// Most parts once counts are multiplied out: the C library holds each of them.
const MAX_SIZE: usize = 5_000;

const LOOK_AROUND: &str = "say what is wanted, as in `^orders-(eu|us)$`; or keep topics out with the connection's \
                           `librdkafka: { topic.blacklist: \"^orders-test\" }`";
const EDGE: &str = "write which characters may stand there, as in `^orders(-.*)?$` or `[._-]`";

type Parsed<T> = Result<T, PointerRefusal>;
/// The rest of a class's name, and what it holds.
type Class = (&'static str, fn(char) -> bool);

fn refuse<T>(reason: impl Into<String>, remedy: impl Into<String>) -> Parsed<T> {
    Err(PointerRefusal::new(reason, remedy))
}

/// Reads a whole pattern.
pub(super) fn parse(text: &str) -> Parsed<Alternatives> {
    if text.len() > MAX_BYTES {
        return refuse(format!("a pattern of more than {MAX_BYTES} bytes"), "shorten it, or write several patterns");
    }
    let mut reader = Reader { text: text.chars().collect(), at: 0, depth: 0 };
    let all = reader.alternatives()?;
    if reader.peek().is_some() {
        return refuse("the pattern has a `)` without its `(`", "remove it");
    }
    if all.size() > MAX_SIZE {
        return refuse(
            "the pattern's counts multiply to more than the C library can hold",
            "use smaller counts, or `*`",
        );
    }
    Ok(all)
}

struct Reader {
    text: Vec<char>,
    at: usize,
    depth: usize,
}

impl Reader {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek();
        self.at += usize::from(next.is_some());
        next
    }

    fn take(&mut self, wanted: &str) -> bool {
        let found = wanted.chars().enumerate().all(|(index, one)| self.text.get(self.at + index) == Some(&one));
        if found {
            self.at += wanted.chars().count();
        }
        found
    }

    fn alternatives(&mut self) -> Parsed<Alternatives> {
        let mut all = Vec::new();
        let mut pieces = Vec::new();
        loop {
            match self.peek() {
                Some('|') => {
                    self.at += 1;
                    all.push(std::mem::take(&mut pieces));
                }
                None | Some(')') => break,
                Some(_) => pieces.push(self.piece()?),
            }
        }
        all.push(pieces);
        if self.depth > 0 && self.peek().is_none() {
            return refuse(
                "the pattern has a `(` without its `)`",
                "close it, or write `\\(` for the character itself",
            );
        }
        if all.iter().any(Vec::is_empty) {
            return refuse(
                "an alternative of the pattern is empty, which not every engine takes",
                "write `(a|b)?` where it may be left out",
            );
        }
        Ok(Alternatives(all))
    }

    fn piece(&mut self) -> Parsed<Piece> {
        let item = self.item()?;
        let times = self.times()?;
        if times.is_some() && matches!(item, PatternItem::Start | PatternItem::End) {
            return refuse("a count behind `^` or `$` repeats nothing", "remove it, or write `.*`");
        }
        if times.is_some()
            && let Some(again @ ('*' | '+' | '?' | '{')) = self.peek()
        {
            let remedy = "remove it: whether a name matches does not depend on it";
            return match again {
                '?' => refuse("lazy counts (`*?`, `+?`) are not known to librdkafka", remedy),
                '+' => refuse("possessive counts (`*+`, `++`) are not known to librdkafka", remedy),
                _ => refuse(format!("`{again}` repeats what is repeated already"), "remove one of the two counts"),
            };
        }
        Ok(Piece { item, times })
    }

    fn item(&mut self) -> Parsed<PatternItem> {
        match self.next() {
            Some('^') => Ok(PatternItem::Start),
            Some('$') => Ok(PatternItem::End),
            Some('.') => Ok(PatternItem::Any),
            Some('[') => self.bracket().map(PatternItem::One),
            Some('(') => self.group(),
            Some('\\') => self
                .escape()
                .and_then(|set| none_refused(set, "`\\s` and its like stand for blanks"))
                .map(PatternItem::One),
            Some(count @ ('*' | '+' | '?' | '{')) => refuse(
                format!("`{count}` repeats nothing: there is nothing in front of it"),
                format!("write `.{count}` for any character, or `\\{count}` for the character itself"),
            ),
            Some(character) => {
                let set = Set::NONE.with(character);
                none_refused(set, &format!("`{character}` stands in the pattern")).map(PatternItem::One)
            }
            None => refuse("the pattern ends too early", "write the rest of it"),
        }
    }

    fn group(&mut self) -> Parsed<PatternItem> {
        if self.depth >= MAX_DEPTH {
            return refuse(format!("groups nested deeper than {MAX_DEPTH}"), "write it flatter");
        }
        if self.take("?") {
            self.kind_of_group()?;
        }
        self.depth += 1;
        let inner = self.alternatives()?;
        self.depth -= 1;
        // Alternatives of a group end before its `)`, or are refused.
        self.at += 1;
        Ok(PatternItem::Group(inner))
    }

    /// What stands behind `(?`. A name makes no difference here.
    fn kind_of_group(&mut self) -> Parsed<()> {
        let look_around = ["<=", "<!", "=", "!"].iter().any(|kind| self.take(kind));
        if look_around {
            return refuse(
                "look-aheads and look-behinds (`(?!`, `(?=`, `(?<!`) are not known to librdkafka",
                LOOK_AROUND,
            );
        }
        if self.take(":") {
            return Ok(());
        }
        if self.take("P<") || self.take("<") {
            while self.next().is_some_and(|character| character != '>') {}
            return Ok(());
        }
        if self.take("#") {
            return refuse("comments (`(?#`) are not known to librdkafka", "remove it");
        }
        if self.take(">") {
            return refuse("atomic groups (`(?>`) are not known to librdkafka", "write `(` instead of `(?>`");
        }
        refuse(
            "flags inside a pattern (`(?i)`) are not known to librdkafka",
            "for capitals and small letters alike write both: `[Oo][Rr][Dd]ers`",
        )
    }

    fn times(&mut self) -> Parsed<Option<(u32, Option<u32>)>> {
        let times = match self.peek() {
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('?') => (0, Some(1)),
            Some('{') => return self.count().map(Some),
            Some(_) | None => return Ok(None),
        };
        self.at += 1;
        Ok(Some(times))
    }

    fn count(&mut self) -> Parsed<(u32, Option<u32>)> {
        let end = self.text[self.at..].iter().position(|one| *one == '}');
        let inner: String = self.text[self.at + 1..self.at + end.unwrap_or(1)].iter().collect();
        let number = |text: &str| text.parse::<u32>().ok().filter(|number| *number <= MAX_TIMES);
        let times = match inner.split_once(',') {
            None => number(&inner).map(|times| (times, Some(times))),
            Some((from, "")) => number(from).map(|from| (from, None)),
            Some(("", to)) => number(to).map(|to| (0, Some(to))),
            Some((from, to)) => number(from).zip(number(to)).map(|(from, to)| (from, Some(to))),
        };
        match times.filter(|(from, to)| to.is_none_or(|to| *from <= to && to > 0)) {
            Some(times) => {
                self.at += end.unwrap_or(0) + 1;
                Ok(times)
            }
            None => refuse(
                "`{` begins a count, and this is none",
                format!("write `{{2}}`, `{{2,}}` or `{{2,5}}` with numbers up to {MAX_TIMES}"),
            ),
        }
    }

    /// What stands behind a backslash.
    fn escape(&mut self) -> Parsed<Set> {
        let Some(character) = self.next() else {
            return refuse("the pattern ends with a backslash", "remove it");
        };
        let word = |character: char| character.is_ascii_alphanumeric() || character == '_';
        match character {
            'd' => Ok(Set::of(|one| one.is_ascii_digit())),
            'D' => Ok(Set::of(|one| !one.is_ascii_digit())),
            'w' => Ok(Set::of(word)),
            'W' => Ok(Set::of(|one| !word(one))),
            's' | 't' | 'n' | 'r' | 'f' | 'v' | 'h' => Ok(Set::NONE),
            'S' | 'N' | 'H' => Ok(Set::all()),
            'b' | 'B' | '<' | '>' => {
                refuse(format!("edges of words (`\\{character}`) mean something else to librdkafka, or nothing"), EDGE)
            }
            'A' | '`' => refuse(format!("`\\{character}` is not known to librdkafka"), "write `^`"),
            'z' | 'Z' | '\'' => refuse(format!("`\\{character}` is not known to librdkafka"), "write `$`"),
            'p' | 'P' => refuse("classes such as `\\p{L}` are not known to librdkafka", "write the letters: `[a-z]`"),
            '1'..='9' | 'k' | 'g' => {
                refuse("back-references (`\\1`) are not reliable in librdkafka", "write both places out")
            }
            one if one.is_ascii_alphanumeric() => refuse(
                format!("`\\{one}` is not known to librdkafka"),
                format!("write `{one}`, or the character that is meant"),
            ),
            one => none_refused(Set::NONE.with(one), &format!("`\\{one}` stands in the pattern")),
        }
    }

    fn bracket(&mut self) -> Parsed<Set> {
        let start = self.at;
        let negative = self.take("^");
        let mut set = Set::NONE;
        // Right behind the opening it is a member.
        let mut first = true;
        loop {
            let Some(character) = self.next() else {
                return refuse(
                    "the pattern has a `[` without its `]`",
                    "close it, or write `\\[` for the character itself",
                );
            };
            match character {
                ']' if !first => break,
                '[' if matches!(self.peek(), Some(':' | '.' | '=')) => set = set.and(self.named_class()?),
                '\\' => set = set.and(self.escape_in_bracket()?),
                low => set = set.and(self.range(low)?),
            }
            first = false;
        }
        let set = if negative { set.others() } else { set };
        let shown: String = self.text[start..self.at].iter().collect();
        none_refused(set, &format!("`[{shown}` stands in the pattern"))
    }

    fn escape_in_bracket(&mut self) -> Parsed<Set> {
        match self.peek() {
            Some(one) if !one.is_ascii_alphanumeric() => {
                self.at += 1;
                self.range(one)
            }
            Some(_) | None => self.escape(),
        }
    }

    /// One character, or a range that begins with it.
    fn range(&mut self, low: char) -> Parsed<Set> {
        let is_range = self.peek() == Some('-') && self.text.get(self.at + 1).is_some_and(|next| *next != ']');
        if !is_range {
            return Ok(Set::NONE.with(low));
        }
        self.at += 1;
        let high = match self.next() {
            Some('\\') => self.next(),
            other => other,
        };
        match high {
            Some(high) if low <= high && high != '[' => Ok(Set::of(|one| low <= one && one <= high)),
            Some(_) | None => {
                refuse("a range of the pattern goes backwards or nowhere", "write it as `a-z`, and a `-` itself last")
            }
        }
    }

    /// `[:digit:]`, its opening bracket taken.
    fn named_class(&mut self) -> Parsed<Set> {
        let classes: [Class; 7] = [
            (":alpha:]", |one| one.is_ascii_alphabetic()),
            (":digit:]", |one| one.is_ascii_digit()),
            (":alnum:]", |one| one.is_ascii_alphanumeric()),
            (":lower:]", |one| one.is_ascii_lowercase()),
            (":upper:]", |one| one.is_ascii_uppercase()),
            (":punct:]", |one| one.is_ascii_punctuation()),
            (":xdigit:]", |one| one.is_ascii_hexdigit()),
        ];
        match classes.iter().find(|(name, _)| self.take(name)) {
            Some((_, members)) => Ok(Set::of(members)),
            None => refuse(
                "a class `[:…:]` of the pattern is not known, or has nothing a topic's name has",
                "write the characters, as in `[a-z0-9]`",
            ),
        }
    }
}

/// What matches no name at all is a mistake: the pattern would wait for ever.
fn none_refused(set: Set, what: &str) -> Parsed<Set> {
    if set == Set::NONE {
        return refuse(
            format!("{what}, but no topic's name has such a character"),
            "names have letters, digits, `.`, `_` and `-`; leave it out",
        );
    }
    Ok(set)
}
