//! Line charts as SVG, by hand: colours are style classes, so that one file serves light and dark, which a drawing library
//! with fixed colours cannot.

use std::fmt::Write;

/// How an axis maps values to places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Axis {
    /// Even steps from 0.
    Linear,
    /// Even steps per decade.
    Log,
    /// Quantiles: 0, 90 %, 99 %, 99.9 % are evenly spaced.
    Nines,
    /// Seconds since the start.
    Time,
}

/// What the numbers of the vertical axis are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Milliseconds.
    Milliseconds,
    /// A count or a rate.
    Count,
}

/// One line. Points where there was nothing to measure break it.
#[derive(Debug, Clone)]
pub struct ChartLine {
    /// In the legend.
    pub name: String,
    /// `(x, y)`; `None` is a gap.
    pub points: Vec<(f64, Option<f64>)>,
}

/// A chart.
#[derive(Debug, Clone)]
pub struct Chart {
    /// Above it.
    pub title: String,
    /// Horizontal.
    pub x: Axis,
    /// Vertical.
    pub y: Axis,
    /// Of the vertical axis.
    pub unit: Unit,
    /// At most [`COLOURS`] lines are drawn in a colour of their own.
    pub lines: Vec<ChartLine>,
}

/// Of the drawing, about as many pixels as it gets on a page, so that its text has the size of the page's text.
const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 270.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 48.0;
const BOTTOM: f64 = 30.0;

/// Classes `s0` to `s5`.
pub const COLOURS: usize = 6;

/// Style of the charts, for a page or a file of its own.
pub const STYLE: &str = "
.chart{--text:#1a2230;--quiet:#626d7f;--grid:#e3e6ec;--c0:#2563c9;--c1:#d9730d;--c2:#178a56;--c3:#a23fb5;--c4:#b8323c;--c5:#4d7f8a;\
font-family:system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}
@media (prefers-color-scheme:dark){.chart{--text:#e6eaf1;--quiet:#95a0b3;--grid:#2a3240;--c0:#6ba4ff;--c1:#ffab5c;--c2:#4fd197;--c3:#d88bea;--c4:#ff8a8f;--c5:#86bfca}}
.chart text{fill:var(--quiet);font-size:11.5px}.chart .title{fill:var(--text);font-size:14px;font-weight:600}
.chart .grid{stroke:var(--grid);stroke-width:1}.chart .line{fill:none;stroke-width:1.8;stroke-linejoin:round;stroke-linecap:round}
.chart .end{text-anchor:end}.chart .mid{text-anchor:middle}
.s0{stroke:var(--c0)}.s1{stroke:var(--c1)}.s2{stroke:var(--c2)}.s3{stroke:var(--c3)}.s4{stroke:var(--c4)}.s5{stroke:var(--c5)}
.f0{fill:var(--c0)}.f1{fill:var(--c1)}.f2{fill:var(--c2)}.f3{fill:var(--c3)}.f4{fill:var(--c4)}.f5{fill:var(--c5)}
";

impl Chart {
    /// Whether there is anything to draw.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.lines.iter().any(|line| line.points.iter().any(|(_, y)| y.is_some()))
    }

    /// The SVG element. With `alone` it carries its style and is a file of its own.
    #[must_use]
    pub fn svg(&self, alone: bool) -> String {
        let mut out = String::with_capacity(8 * 1024);
        let _ = write!(
            out,
            r#"<svg class="chart" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{}">"#,
            escape(&self.title)
        );
        if alone {
            let _ = write!(out, "<style>{STYLE}</style>");
        }
        let _ = write!(out, r#"<text class="title" x="0" y="16">{}</text>"#, escape(&self.title));
        let scales = Scales::of(self);
        self.legend(&mut out);
        self.grid(&scales, &mut out);
        // The first line is the most important one: it is drawn last, on top.
        for (index, line) in self.lines.iter().enumerate().rev() {
            let path = path(line, &scales);
            let _ = write!(out, r#"<path class="line s{}" d="{path}"/>"#, index % COLOURS);
        }
        out.push_str("</svg>");
        out
    }

    fn legend(&self, out: &mut String) {
        let mut x = 0.0;
        for (index, line) in self.lines.iter().enumerate() {
            let colour = index % COLOURS;
            let _ = write!(out, r#"<rect class="f{colour}" x="{x:.0}" y="28" width="10" height="3" rx="1.5"/>"#);
            let _ = write!(out, r#"<text x="{:.0}" y="33">{}</text>"#, x + 15.0, escape(&line.name));
            x += 33.0 + 6.6 * line.name.chars().count() as f64;
        }
    }

    fn grid(&self, scales: &Scales, out: &mut String) {
        for (value, label) in scales.y.ticks(|value| self.unit.label(value)) {
            let y = scales.y_at(value);
            let _ = write!(out, r#"<path class="grid" d="M{LEFT} {y:.1}H{:.1}"/>"#, WIDTH - RIGHT);
            let _ = write!(out, r#"<text class="end" x="{}" y="{:.1}">{label}</text>"#, LEFT - 8.0, y + 4.0);
        }
        for (value, label) in scales.x.ticks(three) {
            let x = scales.x_at(value);
            let half = 3.2 * label.chars().count() as f64;
            let (class, x) = if x + half > WIDTH { ("end", WIDTH) } else { ("mid", x) };
            let _ = write!(out, r#"<text class="{class}" x="{x:.1}" y="{:.1}">{label}</text>"#, HEIGHT - 10.0);
        }
    }
}

impl Unit {
    fn label(self, value: f64) -> String {
        match self {
            Self::Milliseconds => super::super::summary::milliseconds(value),
            Self::Count if value < 10.0 => three(value),
            Self::Count => super::super::summary::si(value.round() as u64),
        }
    }
}

fn three(value: f64) -> String {
    super::super::summary::three_digits(value)
}

/// The range of an axis, in its own mapping.
#[derive(Debug, Clone, Copy)]
struct Range {
    axis: Axis,
    low: f64,
    high: f64,
}

struct Scales {
    x: Range,
    y: Range,
}

impl Scales {
    fn of(chart: &Chart) -> Self {
        let points = || chart.lines.iter().flat_map(|line| &line.points).filter_map(|(x, y)| Some((*x, (*y)?)));
        Self { x: Range::over(chart.x, points().map(|(x, _)| x)), y: Range::over(chart.y, points().map(|(_, y)| y)) }
    }

    fn x_at(&self, value: f64) -> f64 {
        LEFT + self.x.share(value) * (WIDTH - LEFT - RIGHT)
    }

    fn y_at(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - self.y.share(value) * (HEIGHT - TOP - BOTTOM)
    }
}

/// No quantile is drawn beyond 99.9999 %: so many records nobody has.
const MOST_NINES: f64 = 6.0;

fn nines(quantile: f64) -> f64 {
    if quantile >= 1.0 { MOST_NINES } else { -(1.0 - quantile).log10() }
}

impl Range {
    fn over(axis: Axis, values: impl Iterator<Item = f64> + Clone) -> Self {
        let most = values.clone().fold(0.0, f64::max);
        match axis {
            Axis::Linear => {
                let step = step(most.max(1e-9), 5.0);
                Self { axis, low: 0.0, high: (most / step).ceil().max(1.0) * step }
            }
            Axis::Time => Self { axis, low: 0.0, high: most.max(1e-3) },
            Axis::Log => {
                let least = values.filter(|value| *value > 0.0).fold(f64::INFINITY, f64::min);
                let (least, most) = if least.is_finite() { (least, most) } else { (1.0, 10.0) };
                let low = least.log10().floor();
                Self { axis, low, high: most.log10().ceil().max(low + 1.0) }
            }
            // The last point of a curve is the maximum, at quantile 1: it is drawn at the right edge.
            Axis::Nines => {
                let high = values.filter(|quantile| *quantile < 1.0).map(nines).fold(1.0, f64::max);
                Self { axis, low: 0.0, high: (high - 0.01).ceil().clamp(1.0, MOST_NINES) }
            }
        }
    }

    fn share(&self, value: f64) -> f64 {
        let place = match self.axis {
            Axis::Linear | Axis::Time => value,
            Axis::Log => value.max(1e-9).log10(),
            Axis::Nines => nines(value),
        };
        ((place - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    fn ticks(&self, label: impl Fn(f64) -> String) -> Vec<(f64, String)> {
        match self.axis {
            Axis::Linear => {
                let step = step(self.high, 5.0);
                let count = (self.high / step).round() as u32;
                (0..=count).map(|index| f64::from(index) * step).map(|value| (value, label(value))).collect()
            }
            Axis::Log => (self.low as i32..=self.high as i32)
                .map(|power| 10_f64.powi(power))
                .map(|value| (value, label(value)))
                .collect(),
            Axis::Nines => {
                const NAMED: [(f64, &str); 7] = [
                    (0.0, "0 %"),
                    (0.9, "90 %"),
                    (0.99, "99 %"),
                    (0.999, "99.9 %"),
                    (0.9999, "99.99 %"),
                    (0.99999, "99.999 %"),
                    (0.999999, "99.9999 %"),
                ];
                let inside = NAMED.iter().filter(|(quantile, _)| nines(*quantile) <= self.high + 1e-6);
                inside.map(|(quantile, name)| (*quantile, (*name).to_owned())).collect()
            }
            Axis::Time => {
                let (unit, name) = time_unit(self.high);
                let step = step(self.high / unit, 6.0) * unit;
                let count = (self.high / step + 1e-9).floor() as u32;
                let named = |seconds: f64| (seconds, format!("{} {name}", three(seconds / unit)));
                (0..=count).map(|index| named(f64::from(index) * step)).collect()
            }
        }
    }
}

fn time_unit(seconds: f64) -> (f64, &'static str) {
    match seconds {
        long if long >= 3.0 * 3_600.0 => (3_600.0, "h"),
        long if long >= 180.0 => (60.0, "min"),
        _ => (1.0, "s"),
    }
}

/// A step of 1, 2 or 5 times a power of ten that divides `high` into at most `parts`, about.
fn step(high: f64, parts: f64) -> f64 {
    let rough = high / parts;
    let power = 10_f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * power >= rough * 0.999);
    factor.unwrap_or(10.0) * power
}

fn path(line: &ChartLine, scales: &Scales) -> String {
    let mut path = String::with_capacity(line.points.len() * 12);
    let mut drawing = false;
    for (x, y) in &line.points {
        let Some(y) = y else {
            drawing = false;
            continue;
        };
        let command = if drawing { 'L' } else { 'M' };
        let _ = write!(path, "{command}{:.1} {:.1}", scales.x_at(*x), scales.y_at(*y));
        // A point between two gaps would be invisible without a line to itself.
        if !drawing {
            let _ = write!(path, "h0");
        }
        drawing = true;
    }
    path
}

/// Text for HTML and XML, in attributes as well.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(axis: Axis, values: &[f64]) -> Range {
        Range::over(axis, values.iter().copied())
    }

    fn labels(range: Range) -> Vec<String> {
        range.ticks(|value| Unit::Count.label(value)).into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn axes_have_round_steps_and_hold_every_value() {
        assert_eq!(labels(range(Axis::Linear, &[0.0, 87_000.0])), ["0", "20k", "40k", "60k", "80k", "100k"]);
        assert_eq!(labels(range(Axis::Linear, &[3.0])), ["0", "1", "2", "3"]);
        assert_eq!(labels(range(Axis::Log, &[0.03, 250.0])), ["0.01", "0.1", "1", "10", "100", "1k"]);
        assert_eq!(labels(range(Axis::Time, &[12.5])), ["0 s", "5 s", "10 s"]);
        assert_eq!(labels(range(Axis::Time, &[600.0])), ["0 min", "2 min", "4 min", "6 min", "8 min", "10 min"]);
        assert_eq!(labels(range(Axis::Nines, &[0.0, 0.5, 0.9995, 1.0])), ["0 %", "90 %", "99 %", "99.9 %", "99.99 %"]);
        for values in [[0.0, 0.0], [0.2, 0.3], [1.0, 1e9]] {
            for axis in [Axis::Linear, Axis::Log, Axis::Time] {
                let range = range(axis, &values);
                assert!(range.high > range.low, "{axis:?} {values:?}");
                assert!(range.share(values[0]) <= range.share(values[1]), "{axis:?} {values:?}");
            }
        }
    }

    #[test]
    fn nines_are_evenly_spaced() {
        let range = range(Axis::Nines, &[0.9999]);
        let places: Vec<f64> = [0.0, 0.9, 0.99, 0.999, 0.9999].map(|quantile| range.share(quantile)).to_vec();
        for (index, place) in places.iter().enumerate() {
            assert!((place - index as f64 / 4.0).abs() < 1e-6, "{places:?}");
        }
    }

    #[test]
    fn a_gap_breaks_the_line_and_names_are_escaped() {
        let points = vec![(0.0, Some(1.0)), (1.0, None), (2.0, Some(2.0)), (3.0, Some(1.0))];
        let line = ChartLine { name: "<b>&".into(), points };
        let chart = Chart { title: "t".into(), x: Axis::Time, y: Axis::Linear, unit: Unit::Count, lines: vec![line] };
        let svg = chart.svg(true);
        let path = svg.split(r#"<path class="line s0" d=""#).nth(1).expect("a line");
        assert_eq!(path.split('"').next().map(|path| path.matches('M').count()), Some(2), "{path}");
        assert!(svg.contains("&lt;b&gt;&amp;") && !svg.contains("<b>"), "{svg}");
        assert!(svg.contains("<style>") && !chart.svg(false).contains("<style>"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn an_empty_chart_is_drawn_without_nonsense() {
        for (x, y) in [(Axis::Time, Axis::Linear), (Axis::Nines, Axis::Log)] {
            let chart = Chart { title: "t".into(), x, y, unit: Unit::Milliseconds, lines: Vec::new() };
            assert!(chart.is_empty());
            let svg = chart.svg(false);
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }
}
