//! The live line of `demo` and `bench` on a terminal; plain lines elsewhere. Always on stderr.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

const PLAIN_EVERY: Duration = Duration::from_secs(2);

/// Nothing moves for this long: the run is given up and judged as it is.
pub(in crate::cli) const PATIENCE: Duration = Duration::from_secs(60);

/// Where a run stands, and since when.
pub(in crate::cli) struct Stillness<T> {
    pub(in crate::cli) at: T,
    since: Instant,
}

impl<T: PartialEq> Stillness<T> {
    pub(in crate::cli) fn new(at: T, now: Instant) -> Self {
        Self { at, since: now }
    }

    /// Takes in where the run stands now.
    pub(in crate::cli) fn look(&mut self, at: T, now: Instant) {
        if at != self.at {
            *self = Self::new(at, now);
        }
    }

    /// Why nothing more is to be waited for; `None` while something is.
    pub(in crate::cli) fn why_over(&self, engine_ended: bool, now: Instant) -> Option<String> {
        if engine_ended {
            return Some("the engine ended by itself".to_owned());
        }
        let stood = now.saturating_duration_since(self.since);
        (stood > PATIENCE).then(|| format!("nothing moved for {PATIENCE:?}"))
    }
}

/// A progress line.
pub(in crate::cli) struct Progress {
    bar: Option<ProgressBar>,
    total: u64,
    last_plain: Option<Duration>,
}

impl Progress {
    /// For a run of `records` records through each pipeline; `u64::MAX` is unknown.
    pub(in crate::cli) fn start(records: u64) -> Self {
        let bar = terminal_bar();
        if let Some(bar) = &bar
            && records != u64::MAX
        {
            bar.set_length(records.saturating_mul(2));
            bar.set_style(style("{elapsed:>4} [{bar:30}] {msg}"));
        }
        Self { bar, total: records, last_plain: None }
    }

    /// A line that says what is being done.
    pub(in crate::cli) fn note(text: &str) -> Self {
        let progress = Self { bar: terminal_bar(), total: u64::MAX, last_plain: None };
        progress.note_next(text);
        progress
    }

    /// Replaces the text of the line.
    pub(in crate::cli) fn note_next(&self, text: &str) {
        match &self.bar {
            Some(bar) => {
                bar.set_message(text.to_owned());
                bar.tick();
            }
            None => eprintln!("{text}"),
        }
    }

    /// Shows how many records went through each pipeline.
    pub(in crate::cli) fn show(&mut self, elapsed: Duration, relay: u64, index: u64) {
        let line = format!("relay {}  index {}", self.amount(relay, elapsed), self.amount(index, elapsed));
        if let Some(bar) = &self.bar {
            bar.set_position(relay + index);
            bar.set_message(line);
            return;
        }
        if self.last_plain.is_none_or(|last| elapsed.saturating_sub(last) >= PLAIN_EVERY) {
            self.last_plain = Some(elapsed);
            eprintln!("{:>4} s  {line}", elapsed.as_secs());
        }
    }

    /// Takes the line away.
    pub(in crate::cli) fn end(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }

    fn amount(&self, records: u64, elapsed: Duration) -> String {
        let rate = records as f64 / elapsed.as_secs_f64().max(0.001);
        let of = if self.total == u64::MAX { String::new() } else { format!(" of {}", grouped(self.total)) };
        format!("{}{of} ({}/s)", grouped(records), grouped(rate as u64))
    }
}

fn terminal_bar() -> Option<ProgressBar> {
    std::io::stderr().is_terminal().then(|| {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        bar.set_style(style("{elapsed:>4} {spinner} {msg}"));
        bar
    })
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// A number with a comma every three digits.
pub(in crate::cli) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_given_up_when_nothing_moves_or_the_engine_has_ended() {
        let start = Instant::now();
        let mut stillness = Stillness::new(0, start);
        assert_eq!(stillness.why_over(false, start + PATIENCE), None, "not yet");
        stillness.look(1, start + PATIENCE);
        let late = start + 2 * PATIENCE;
        assert_eq!(stillness.why_over(false, late), None, "it has moved meanwhile");
        stillness.look(1, late);
        let over = stillness.why_over(false, late + Duration::from_millis(1));
        assert_eq!(over.as_deref(), Some("nothing moved for 60s"));
        assert_eq!(stillness.why_over(true, start).as_deref(), Some("the engine ended by itself"));
    }

    #[test]
    fn numbers_are_grouped() {
        let table = [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")];
        table.iter().for_each(|(number, text)| assert_eq!(grouped(*number), *text));
    }
}
