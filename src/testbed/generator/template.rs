//! Templates of values: built once, copied and patched for each record.

use super::random::Random;

/// Names with characters of two, three and four bytes.
pub(super) const NAMES: [&str; 8] =
    ["Ada Lovelace", "Zoë Müller", "Łukasz Żak", "Иван Петров", "山田 太郎", "Noor 🌍", "José Ñandú", "Mary O'Neil"];
/// JSON text of strings with every kind of escape.
const NOTES: [&str; 4] = [
    r#""said \"hello\" and left""#,
    r#""C:\\data\\in\tnew\nline""#,
    r#""caf\u00e9 \u2028 \ud83d\ude80 end""#,
    r#""a\/b \b\f\r done""#,
];
/// Spellings of numbers that must not be rewritten on the way.
const RATIOS: [&str; 6] = ["1.10e1", "-0", "0.30000000000000004", "12345678901234567890", "1E-7", "100.000"];
const STATES: [&str; 4] = ["open", "paid", "shipped", "closed"];
const WORDS: [&str; 12] =
    ["stream", "batch", "order", "offset", "ledger", "commit", "bucket", "window", "signal", "record", "topic", "lane"];

/// From this size on a value has the full layout.
const FULL_LAYOUT_BYTES: usize = 768;
const ITEM_BYTES: usize = 58;
const SEQUENCE_BASE: u64 = 1_000_000_000_000;

/// What differs between records of one template.
pub(super) struct Patch<'a> {
    pub(super) index: u64,
    pub(super) key: &'a [u8],
    pub(super) user: u64,
    /// 7 digits.
    pub(super) cents: u64,
    /// 16 bytes.
    pub(super) trace: &'a [u8],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PatchSlot {
    Sequence,
    Key,
    User,
    Amount,
    Trace,
}

impl PatchSlot {
    fn width(self) -> usize {
        match self {
            Self::Sequence => 13,
            Self::Key => 12,
            Self::User => 8,
            Self::Amount => 8,
            Self::Trace => 16,
        }
    }
}

/// One value with places to patch.
#[derive(Debug)]
pub(super) struct ValueTemplate {
    text: Vec<u8>,
    slots: Vec<(usize, PatchSlot)>,
    /// Where the name `"result"` begins, quote included.
    pub(super) result_name: usize,
    /// Where the selected object begins.
    pub(super) result: usize,
    /// A byte inside the string `result.text`.
    pub(super) inside_text: usize,
}

impl ValueTemplate {
    /// Variant `variant` with exactly `size` bytes.
    pub(super) fn build(seed: u64, variant: u64, size: usize) -> Self {
        let mut random = Random::of(!seed, variant);
        let mut template = Self { text: Vec::new(), slots: Vec::new(), result_name: 0, result: 0, inside_text: 0 };
        if size < FULL_LAYOUT_BYTES {
            template.compact();
        } else {
            template.full(&mut random, variant, size);
        }
        template.fill_text(&mut random, size);
        template
    }

    /// Copies the template into `out` and patches it.
    pub(super) fn write(&self, patch: &Patch<'_>, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&self.text);
        for (place, slot) in &self.slots {
            let target = &mut out[*place..*place + slot.width()];
            match slot {
                PatchSlot::Sequence => write_decimal(SEQUENCE_BASE + patch.index, target),
                PatchSlot::Key => target.copy_from_slice(patch.key),
                PatchSlot::User => write_decimal(patch.user, &mut target[2..]),
                PatchSlot::Amount => {
                    write_decimal(patch.cents / 100, &mut target[..5]);
                    write_decimal(patch.cents % 100, &mut target[6..]);
                }
                PatchSlot::Trace => target.copy_from_slice(patch.trace),
            }
        }
    }

    fn push(&mut self, text: &str) {
        self.text.extend_from_slice(text.as_bytes());
    }

    fn slot(&mut self, slot: PatchSlot) {
        self.slots.push((self.text.len(), slot));
        match slot {
            PatchSlot::User => self.push("u-000000"),
            PatchSlot::Amount => self.push("00000.00"),
            PatchSlot::Sequence | PatchSlot::Key | PatchSlot::Trace => {
                self.text.resize(self.text.len() + slot.width(), b'0')
            }
        }
    }

    fn begin_result(&mut self) {
        self.push(",");
        self.result_name = self.text.len();
        self.push(r#""result":"#);
        self.result = self.text.len();
        self.push(r#"{"id":""#);
        self.slot(PatchSlot::Key);
        self.push(r#"","user":""#);
        self.slot(PatchSlot::User);
        self.push(r#"","seq":"#);
        self.slot(PatchSlot::Sequence);
    }

    fn compact(&mut self) {
        self.push(r#"{"meta":{"seq":"#);
        self.slot(PatchSlot::Sequence);
        self.push(r#","s":1}"#);
        self.begin_result();
    }

    fn full(&mut self, random: &mut Random, variant: u64, size: usize) {
        self.push(r#"{"meta":{"source":"orders-eu","kind":"update","seq":"#);
        self.slot(PatchSlot::Sequence);
        self.push(r#","trace":""#);
        self.slot(PatchSlot::Trace);
        self.push(&format!(r#"","host":"n{:02}"}}"#, random.below(100)));
        self.begin_result();
        let pick = |random: &mut Random, list: &[&'static str]| list[random.below(list.len() as u64) as usize];
        self.push(&format!(r#","name":"{}","amount":"#, pick(random, &NAMES)));
        self.slot(PatchSlot::Amount);
        self.push(&format!(r#","ratio":{},"active":{}"#, pick(random, &RATIOS), random.below(2) == 0));
        self.push(&format!(r#","state":"{}","parent":null"#, pick(random, &STATES)));
        self.push(&format!(r#","note":{}"#, pick(random, &NOTES)));
        // A quarter of the variants lack a member, and half a nested one: that is what tells a merge from a
        // replacement.
        if !variant.is_multiple_of(4) {
            self.push(&format!(r#","coupon":"C{:04}""#, random.below(10_000)));
        }
        self.push(&format!(r#","address":{{"city":"{}","zip":"{:05}""#, pick(random, &NAMES), random.below(100_000)));
        if variant.is_multiple_of(2) {
            self.push(&format!(r#","geo":{{"lat":{}.5,"lon":-{}.25}}"#, random.below(90), 1 + random.below(179)));
        }
        self.push("}");
        self.items(random, size);
    }

    /// The array `items`: two entries, and half of what a large value has room for.
    fn items(&mut self, random: &mut Random, size: usize) {
        self.push(r#","items":["#);
        let room = size.saturating_sub(self.text.len() + 160) / 2;
        for item in 0..(room / ITEM_BYTES).max(2) {
            let comma = if item == 0 { "" } else { "," };
            let (sku, count, price) = (random.below(1_000_000), 1 + random.below(9), 10 + random.below(90));
            self.push(&format!(r#"{comma}{{"sku":"S{sku:06}","count":{count},"price":{price}.5,"tags":["a","b"]}}"#));
        }
        self.push("]");
    }

    /// The last member of `result`, `text`, takes up what is left, then everything is closed.
    fn fill_text(&mut self, random: &mut Random, size: usize) {
        self.push(r#","text":""#);
        self.inside_text = self.text.len();
        let end = size.saturating_sub(3);
        while self.text.len() < end {
            let word = WORDS[random.below(WORDS.len() as u64) as usize].as_bytes();
            self.text.extend_from_slice(word);
            self.text.push(b' ');
        }
        self.text.truncate(end.max(self.inside_text));
        self.push("\"}}");
    }
}

/// Writes the last digits of `number` into the whole of `target`, with leading zeros.
pub(super) fn write_decimal(mut number: u64, target: &mut [u8]) {
    for digit in target.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}
