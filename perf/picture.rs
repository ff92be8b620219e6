//! A picture of a few panels side by side as one SVG file: no script, no foreign font, its own background, and colours
//! that follow the reader's choice of light or dark (pure).

use std::fmt::Write as _;

use sluicegate::internals::telemetry::run_files::axis::{Axis, Range, Unit};
use sluicegate::internals::telemetry::run_files::chart::escape;

/// A picture.
#[derive(Debug, Clone)]
pub struct Picture {
    /// Above it.
    pub title: String,
    /// From left to right.
    pub panels: Vec<Panel>,
}

/// One diagram.
#[derive(Debug, Clone)]
pub struct Panel {
    /// What is shown, with its unit.
    pub title: String,
    /// What is varied, with its unit.
    pub x: String,
    /// Even steps per decade instead of even steps from 0.
    pub log: bool,
    /// In the order of the legend; at most [`COLOURS`].
    pub series: Vec<Series>,
}

/// One line, or one bar of each group.
#[derive(Debug, Clone)]
pub struct Series {
    /// In the legend.
    pub name: String,
    /// In the order of the axis; every series of a panel has the same ones.
    pub points: Vec<Mark>,
}

/// One value.
#[derive(Debug, Clone)]
pub struct Mark {
    /// On the horizontal axis.
    pub label: String,
    /// Its place there; `None`: groups of bars side by side.
    pub place: Option<f64>,
    /// `None` was not measured.
    pub value: Option<f64>,
}

/// Classes `s0` to `s2`.
pub const COLOURS: usize = 3;

const PANEL: f64 = 380.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 18.0;
const TOP: f64 = 78.0;
const BOTTOM: f64 = 54.0;

const STYLE: &str = "svg{--paper:#ffffff;--text:#1a2230;--quiet:#566174;--grid:#e3e6ec;--c0:#2563c9;--c1:#d0680a;--c2:#178a56;\
font-family:system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}\
@media (prefers-color-scheme:dark){svg{--paper:#12161d;--text:#e6eaf1;--quiet:#9ba6b8;--grid:#2a3240;--c0:#6ba4ff;--c1:#ffab5c;--c2:#4fd197}}\
.paper{fill:var(--paper)}text{fill:var(--quiet);font-size:11.5px}.title{fill:var(--text);font-size:15px;font-weight:600}\
.name{fill:var(--text);font-size:12.5px}.grid{stroke:var(--grid)}.line{fill:none;stroke-width:1.8;stroke-linejoin:round}\
.end{text-anchor:end}.mid{text-anchor:middle}.s0{stroke:var(--c0)}.s1{stroke:var(--c1)}.s2{stroke:var(--c2)}\
.f0{fill:var(--c0)}.f1{fill:var(--c1)}.f2{fill:var(--c2)}";

impl Picture {
    /// The file.
    pub fn svg(&self) -> String {
        let width = PANEL * self.panels.len() as f64;
        let mut out = String::with_capacity(8 * 1024);
        let title = escape(&self.title);
        // Writing into a String cannot fail, here and below.
        let _ = write!(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {HEIGHT}\" width=\"{width}\" \
             height=\"{HEIGHT}\" role=\"img\" aria-label=\"{title}\">\n<style>{STYLE}</style>\n\
             <rect class=\"paper\" width=\"{width}\" height=\"{HEIGHT}\"/>\n\
             <text class=\"title\" x=\"14\" y=\"22\">{title}</text>\n"
        );
        for (at, panel) in self.panels.iter().enumerate() {
            let _ = writeln!(out, "<g transform=\"translate({} 0)\">", PANEL * at as f64);
            panel.draw(&mut out);
            out.push_str("</g>\n");
        }
        out.push_str("</svg>\n");
        out
    }
}

impl Panel {
    fn draw(&self, out: &mut String) {
        let scale = self.scale();
        let _ = writeln!(out, "<text class=\"name\" x=\"14\" y=\"46\">{}</text>", escape(&self.title));
        self.legend(out);
        for (tick, label) in scale.ticks(number) {
            let y = height(&scale, tick);
            let _ = writeln!(
                out,
                "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{:.1}\"/><text class=\"end\" x=\"{}\" y=\"{:.1}\">{}</text>",
                PANEL - RIGHT,
                LEFT - 7.0,
                y + 4.0,
                label
            );
        }
        let middle = (LEFT + PANEL - RIGHT) / 2.0;
        let _ = writeln!(out, "<text class=\"mid\" x=\"{middle}\" y=\"{}\">{}</text>", HEIGHT - 10.0, escape(&self.x));
        let places = self.places();
        self.labels(&places, out);
        for at in (0..self.series.len()).rev() {
            if self.is_of_bars() {
                self.bars(at, &places, &scale, out);
            } else {
                self.line(at, &places, &scale, out);
            }
        }
    }

    /// The vertical axis, with room for the number above the highest bar.
    fn scale(&self) -> Range {
        let axis = if self.log { Axis::Log } else { Axis::Linear };
        let room = if self.log { 1.0 } else { 1.04 };
        Range::over(axis, self.marks().filter_map(|mark| mark.value).map(move |value| value * room))
    }

    fn marks(&self) -> impl Iterator<Item = &Mark> + Clone {
        self.series.iter().flat_map(|series| &series.points)
    }

    fn is_of_bars(&self) -> bool {
        self.marks().any(|mark| mark.place.is_none())
    }

    fn legend(&self, out: &mut String) {
        let mut x = 14.0;
        for (at, series) in self.series.iter().enumerate() {
            let colour = at % COLOURS;
            let _ = writeln!(
                out,
                "<rect class=\"f{colour}\" x=\"{x:.0}\" y=\"57\" width=\"10\" height=\"4\" rx=\"2\"/>\
                 <text x=\"{:.0}\" y=\"63\">{}</text>",
                x + 15.0,
                escape(&series.name)
            );
            x += 36.0 + 6.6 * series.name.chars().count() as f64;
        }
    }

    fn labels(&self, places: &[f64], out: &mut String) {
        let mut room_from = 0.0;
        for (mark, x) in self.series.iter().take(1).flat_map(|series| &series.points).zip(places) {
            let half = 3.0 * mark.label.chars().count() as f64;
            // One that would touch the last goes below it.
            let row = if x - half < room_from { 28.0 } else { 16.0 };
            room_from = x + half + 1.0;
            let y = HEIGHT - BOTTOM + row;
            let _ = writeln!(out, "<text class=\"mid\" x=\"{x:.1}\" y=\"{y}\">{}</text>", escape(&mark.label));
        }
    }

    /// Where the points are, in the panel.
    fn places(&self) -> Vec<f64> {
        let Some(first) = self.series.first() else { return Vec::new() };
        let (from, to) = (LEFT + 22.0, PANEL - RIGHT - 22.0);
        let known: Option<Vec<f64>> = first.points.iter().map(|mark| mark.place).collect();
        let known = known.unwrap_or_else(|| (0..first.points.len()).map(|at| at as f64 + 0.5).collect());
        let bars = self.is_of_bars();
        let least = if bars { 0.0 } else { known.first().copied().unwrap_or_default() };
        let most = if bars { known.len() as f64 } else { known.last().copied().unwrap_or_default() };
        let width = (most - least).max(f64::MIN_POSITIVE);
        known.iter().map(|place| from + (place - least) / width * (to - from)).collect()
    }

    fn line(&self, at: usize, places: &[f64], scale: &Range, out: &mut String) {
        let known = self.series[at].points.iter().zip(places).filter_map(|(mark, x)| Some((mark.value?, x)));
        let (mut path, mut dots) = (String::new(), String::new());
        for (value, x) in known {
            let y = height(scale, value);
            let _ = write!(path, "{}{x:.1} {y:.1}", if path.is_empty() { 'M' } else { 'L' });
            let _ = write!(
                dots,
                "<circle class=\"f{}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"><title>{}</title></circle>",
                at % COLOURS,
                number(value)
            );
        }
        let _ = writeln!(out, "<path class=\"line s{}\" d=\"{path}\"/>{dots}", at % COLOURS);
    }

    fn bars(&self, at: usize, places: &[f64], scale: &Range, out: &mut String) {
        let room = (PANEL - LEFT - RIGHT) / places.len().max(1) as f64;
        let width = (room * 0.7 / self.series.len() as f64).min(44.0);
        let offset = width * (at as f64 - self.series.len() as f64 / 2.0);
        let known = self.series[at].points.iter().zip(places).filter_map(|(mark, x)| Some((mark.value?, x)));
        for (value, x) in known {
            let (x, y) = (x + offset, height(scale, value));
            let _ = writeln!(
                out,
                "<rect class=\"f{}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>\
                 <text class=\"mid\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                at % COLOURS,
                width - 2.0,
                HEIGHT - BOTTOM - y,
                x + width / 2.0 - 1.0,
                y - 4.0,
                number(value)
            );
        }
    }
}

/// Where a value lies in a panel.
fn height(scale: &Range, value: f64) -> f64 {
    HEIGHT - BOTTOM - scale.share(value) * (HEIGHT - TOP - BOTTOM)
}

fn number(value: f64) -> String {
    Unit::Count.label(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panel(log: bool, values: &[Option<f64>], places: bool) -> Panel {
        let mark = |(at, value): (usize, &Option<f64>)| Mark {
            label: format!("p{at}"),
            place: places.then_some(at as f64),
            value: *value,
        };
        let points: Vec<Mark> = values.iter().enumerate().map(mark).collect();
        let series = |name: &str| Series { name: name.to_owned(), points: points.clone() };
        Panel { title: "t < u".into(), x: "x & y".into(), log, series: vec![series("a"), series("b")] }
    }

    /// Text of every attribute `name` as numbers.
    fn attributes(svg: &str, name: &str) -> Vec<f64> {
        svg.split(&format!(" {name}=\""))
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap_or("").parse().expect("a number"))
            .collect()
    }

    #[test]
    fn every_value_has_a_mark_inside_its_panel() {
        let svg = Picture {
            title: "a \"b\"".into(),
            panels: vec![
                panel(false, &[Some(1.0), None, Some(900_000.0)], true),
                panel(true, &[Some(0.02), Some(70.0), Some(0.0)], true),
                panel(false, &[Some(3.0), Some(4.0)], false),
            ],
        }
        .svg();
        assert_eq!(svg.matches("<circle").count(), 2 * 2 + 2 * 3);
        assert_eq!(svg.matches("<rect class=\"f").count(), 2 * 3 + 2 * 2, "legends and bars");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        for (name, most) in [("x", PANEL), ("cx", PANEL), ("y", HEIGHT), ("cy", HEIGHT)] {
            assert!(attributes(&svg, name).iter().all(|at| (0.0..=most).contains(at)), "{name}: {svg}");
        }
        for part in ["t &lt; u", "x &amp; y", "a &quot;b&quot;", "prefers-color-scheme:dark"] {
            assert!(svg.contains(part), "{part}");
        }
        for element in ["svg", "g", "text", "circle"] {
            let opened = svg.matches(&format!("<{element} ")).count() + svg.matches(&format!("<{element}>")).count();
            assert_eq!(opened, svg.matches(&format!("</{element}>")).count(), "{element}");
        }
    }

    #[test]
    fn larger_is_higher_and_nothing_measured_is_still_a_picture() {
        for log in [false, true] {
            let panel = panel(log, &[Some(0.5), Some(80.0)], true);
            let scale = panel.scale();
            assert!(
                height(&scale, 80.0) < height(&scale, 40.0) && height(&scale, 40.0) < height(&scale, 0.5),
                "log {log}"
            );
            let ticks = scale.ticks(number);
            assert!(ticks.len() > 2 && ticks.iter().all(|(tick, _)| height(&scale, *tick) >= TOP - 0.1));
            let empty = Panel { series: Vec::new(), ..panel };
            let svg = Picture { title: String::new(), panels: vec![empty] }.svg();
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }
}
