//! Line charts as SVG, by hand: colours are style classes, so that one file serves light and dark, which a drawing
//! library with fixed colours cannot.

use std::fmt::Write;

use super::axis::{Axis, Range, Unit};
use crate::telemetry::summary::three_digits;

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
        for (value, label) in scales.x.ticks(three_digits) {
            let x = scales.x_at(value);
            let half = 3.2 * label.chars().count() as f64;
            let (class, x) = if x + half > WIDTH { ("end", WIDTH) } else { ("mid", x) };
            let _ = write!(out, r#"<text class="{class}" x="{x:.1}" y="{:.1}">{label}</text>"#, HEIGHT - 10.0);
        }
    }
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
