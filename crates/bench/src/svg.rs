//! Two kinds of plots, for light and dark pages.

use std::fmt::Write;

use crate::thousands::thousands;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 90.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 64.0;
const BOTTOM: f64 = 48.0;
/// Distinct without colour vision too.
const COLOURS: [&str; 4] = ["#0072b2", "#e69f00", "#009e73", "#cc79a7"];

/// Groups of bars.
pub(crate) struct Bars<'a> {
    pub(crate) title: &'a str,
    pub(crate) names: &'a [&'a str],
    pub(crate) bars: Vec<(&'a str, Vec<f64>)>,
}

/// A line.
pub(crate) struct Curve {
    pub(crate) name: &'static str,
    pub(crate) points: Vec<(f64, f64)>,
}

/// Lines over one axis.
pub(crate) struct Curves<'a> {
    pub(crate) title: &'a str,
    pub(crate) x: &'a str,
    pub(crate) y: &'a str,
    pub(crate) log_x: bool,
    pub(crate) log_y: bool,
    pub(crate) curves: Vec<Curve>,
}

/// Values onto a stretch of the page.
struct Axis {
    from: f64,
    to: f64,
    log: bool,
    begin: f64,
    end: f64,
}

impl Axis {
    fn at(&self, value: f64) -> f64 {
        let scale = |value: f64| if self.log { value.max(f64::MIN_POSITIVE).ln() } else { value };
        let part = (scale(value) - scale(self.from)) / (scale(self.to) - scale(self.from)).max(f64::MIN_POSITIVE);
        self.begin + part * (self.end - self.begin)
    }

    /// Where there are marks.
    fn marks(&self) -> Vec<f64> {
        if self.log {
            let mut marks = Vec::new();
            let mut mark = 10_f64.powf(self.from.log10().floor());
            while mark <= self.to * 1.001 {
                if mark >= self.from * 0.999 {
                    marks.push(mark);
                }
                mark *= 10.0;
            }
            return marks;
        }
        let step = round_up((self.to - self.from) / 5.0);
        (0..=6).map(|i| self.from + f64::from(i) * step).filter(|mark| *mark <= self.to * 1.001).collect()
    }
}

impl Bars<'_> {
    /// As SVG.
    pub(crate) fn draw(&self) -> String {
        let highest = self.bars.iter().flat_map(|(_, values)| values).copied().fold(1.0, f64::max);
        let y = Axis { from: 0.0, to: round_up(highest), log: false, begin: HEIGHT - BOTTOM, end: TOP };
        let mut svg = page(self.title, self.names);
        grid(&mut svg, &y, "");
        let group = (WIDTH - LEFT - RIGHT) / self.bars.len().max(1) as f64;
        let width = group * 0.8 / self.names.len().max(1) as f64;
        for (i, (name, values)) in self.bars.iter().enumerate() {
            let left = LEFT + group * (i as f64 + 0.1);
            for (j, value) in values.iter().enumerate() {
                let (top, colour) = (y.at(*value), COLOURS[j % COLOURS.len()]);
                let (x, height) = (left + width * j as f64, HEIGHT - BOTTOM - top);
                let _ = writeln!(
                    svg,
                    r#"<rect x="{x:.1}" y="{top:.1}" width="{width:.1}" height="{height:.1}" fill="{colour}"/>"#
                );
            }
            let middle = left + group * 0.4;
            let _ =
                writeln!(svg, r#"<text x="{middle:.1}" y="{:.1}" text-anchor="middle">{name}</text>"#, HEIGHT - 28.0);
        }
        svg + "</svg>\n"
    }
}

impl Curves<'_> {
    /// As SVG.
    pub(crate) fn draw(&self) -> String {
        let range = |of: fn(&(f64, f64)) -> f64| {
            let values = self.curves.iter().flat_map(|curve| curve.points.iter().map(of));
            values.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)))
        };
        let ((left, right), (low, high)) = (range(|point| point.0), range(|point| point.1));
        let x = Axis { from: left, to: right, log: self.log_x, begin: LEFT, end: WIDTH - RIGHT };
        let (low, high) = if self.log_y { (low * 0.8, high * 1.2) } else { (0.0, round_up(high)) };
        let y = Axis { from: low, to: high, log: self.log_y, begin: HEIGHT - BOTTOM, end: TOP };
        let names: Vec<_> = self.curves.iter().map(|curve| curve.name).collect();
        let mut svg = page(self.title, &names);
        grid(&mut svg, &y, self.y);
        for mark in x.marks() {
            let (at, text) = (x.at(mark), thousands(mark.round() as u64));
            let _ = writeln!(svg, r#"<text x="{at:.1}" y="{:.1}" text-anchor="middle">{text}</text>"#, HEIGHT - 28.0);
        }
        let _ = writeln!(
            svg,
            r#"<text x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
            WIDTH - RIGHT,
            HEIGHT - 8.0,
            self.x
        );
        for (i, curve) in self.curves.iter().enumerate() {
            let colour = COLOURS[i % COLOURS.len()];
            let points: Vec<_> =
                curve.points.iter().map(|(px, py)| format!("{:.1},{:.1}", x.at(*px), y.at(*py))).collect();
            let _ = writeln!(
                svg,
                r#"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="2"/>"#,
                points.join(" ")
            );
            for point in &points {
                let (cx, cy) = point.split_once(',').unwrap_or_default();
                let _ = writeln!(svg, r#"<circle cx="{cx}" cy="{cy}" r="3" fill="{colour}"/>"#);
            }
        }
        svg + "</svg>\n"
    }
}

/// The beginning: title and legend.
fn page(title: &str, names: &[&str]) -> String {
    let mut svg = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">
<style>text {{ fill: #24292f }} .grid {{ stroke: #8884 }} @media (prefers-color-scheme: dark) {{ text {{ fill: #e6edf3 }} }}</style>
<text x="{LEFT}" y="22" font-size="15" font-weight="bold">{title}</text>
"##
    );
    let mut x = LEFT;
    for (i, name) in names.iter().enumerate() {
        let colour = COLOURS[i % COLOURS.len()];
        let _ = writeln!(svg, r#"<rect x="{x}" y="34" width="12" height="12" fill="{colour}"/>"#);
        let _ = writeln!(svg, r#"<text x="{}" y="44">{name}</text>"#, x + 18.0);
        x += 34.0 + 6.2 * name.len() as f64;
    }
    svg
}

fn grid(svg: &mut String, y: &Axis, unit: &str) {
    for mark in y.marks() {
        let (at, text, right) = (y.at(mark), thousands(mark.round() as u64), WIDTH - RIGHT);
        let _ = writeln!(svg, r#"<line class="grid" x1="{LEFT}" x2="{right}" y1="{at:.1}" y2="{at:.1}"/>"#);
        let _ = writeln!(svg, r#"<text x="{}" y="{:.1}" text-anchor="end">{text} {unit}</text>"#, LEFT - 6.0, at + 4.0);
    }
}

/// The next of 1, 2, 2.5, 5 and 10 times a power of ten.
fn round_up(value: f64) -> f64 {
    let power = 10_f64.powf(value.max(1e-9).log10().floor());
    let steps = [1.0, 2.0, 2.5, 5.0, 10.0];
    steps.into_iter().map(|step| step * power).find(|step| *step >= value * 0.999).unwrap_or(value)
}
