//! The plots of docs/performance.md, as SVG.

use anyhow::Result;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

use crate::thousands::thousands;

/// Width and height, in pixels.
const SIZE: (u32, u32) = (760, 400);
/// Readers without colour vision can tell these colours apart (Okabe and Ito).
const COLOURS: [RGBColor; 4] =
    [RGBColor(0, 114, 178), RGBColor(230, 159, 0), RGBColor(0, 158, 115), RGBColor(204, 121, 167)];
const FONT: &str = "sans-serif";
/// Width of a group of bars with its margins, and of one margin, in units of the horizontal axis.
const GROUP: i32 = 100;
const MARGIN: i32 = 10;

/// Groups of bars, one bar of each group for each name.
pub(crate) struct Bars<'a> {
    pub(crate) title: &'a str,
    pub(crate) names: &'a [&'a str],
    pub(crate) groups: Vec<(&'a str, Vec<f64>)>,
}

/// A line through points, with its name.
pub(crate) struct Curve {
    pub(crate) name: &'static str,
    pub(crate) points: Vec<(f64, f64)>,
}

/// Curves over a logarithmic horizontal axis.
pub(crate) struct Curves<'a> {
    pub(crate) title: &'a str,
    pub(crate) x: &'a str,
    pub(crate) y: &'a str,
    /// Whether the vertical axis is logarithmic too; otherwise it begins at 0.
    pub(crate) log_y: bool,
    pub(crate) curves: Vec<Curve>,
}

impl Bars<'_> {
    /// Draws the bars.
    pub(crate) fn draw(&self) -> Result<String> {
        let highest = self.groups.iter().flat_map(|(_, values)| values).copied().fold(1.0, f64::max);
        let (groups, names) = (i32::try_from(self.groups.len())?, i32::try_from(self.names.len())?);
        let x = (0..groups * GROUP).with_key_points((0..groups).map(|group| group * GROUP + GROUP / 2).collect());
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
            area.fill(&WHITE)?;
            let mut chart = ChartBuilder::on(&area)
                .caption(self.title, (FONT, 16))
                .margin(10)
                .x_label_area_size(30)
                .y_label_area_size(70)
                .build_cartesian_2d(x, 0.0..highest * 1.2)?;
            let group = |x: &i32| {
                let group = usize::try_from(x / GROUP).ok().and_then(|group| self.groups.get(group));
                group.map_or(String::new(), |(name, _)| (*name).to_owned())
            };
            let mut mesh = chart.configure_mesh();
            mesh.max_light_lines(0).disable_x_mesh().x_label_formatter(&group).y_label_formatter(&number).draw()?;
            let width = (GROUP - 2 * MARGIN) / names.max(1);
            for (place, name) in (0..).zip(self.names) {
                let colour = COLOURS[place % COLOURS.len()];
                let bar = |(left, (_, values)): (i32, &(&str, Vec<f64>))| {
                    let value = values.get(place).copied().unwrap_or_default();
                    Rectangle::new([(left, 0.0), (left + width, value)], colour.filled())
                };
                let left = (MARGIN + width * i32::try_from(place)?..).step_by(GROUP as usize);
                let series = chart.draw_series(left.zip(&self.groups).map(bar))?;
                series
                    .label(*name)
                    .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], colour.filled()));
            }
            chart.configure_series_labels().position(SeriesLabelPosition::UpperRight).background_style(WHITE).draw()?;
            area.present()?;
        }
        Ok(svg)
    }
}

impl Curves<'_> {
    /// Draws the curves.
    pub(crate) fn draw(&self) -> Result<String> {
        let range = |of: fn(&(f64, f64)) -> f64| {
            let values = self.curves.iter().flat_map(|curve| curve.points.iter().map(of));
            values.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)))
        };
        let ((left, right), (low, high)) = (range(|point| point.0), range(|point| point.1));
        let x = (left..right).log_scale();
        if self.log_y { self.over(x, (low * 0.8..high * 1.5).log_scale()) } else { self.over(x, 0.0..high * 1.2) }
    }

    fn over<X, Y>(&self, x: X, y: Y) -> Result<String>
    where
        X: AsRangedCoord<Value = f64>,
        Y: AsRangedCoord<Value = f64>,
        X::CoordDescType: ValueFormatter<f64>,
        Y::CoordDescType: ValueFormatter<f64>,
    {
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
            area.fill(&WHITE)?;
            let mut chart = ChartBuilder::on(&area)
                .caption(self.title, (FONT, 16))
                .margin(10)
                .x_label_area_size(40)
                .y_label_area_size(70)
                .build_cartesian_2d(x, y)?;
            let mut mesh = chart.configure_mesh();
            mesh.max_light_lines(0)
                .x_desc(self.x)
                .y_desc(self.y)
                .x_label_formatter(&number)
                .y_label_formatter(&number)
                .draw()?;
            for (place, curve) in self.curves.iter().enumerate() {
                let colour = COLOURS[place % COLOURS.len()];
                let line = LineSeries::new(curve.points.iter().copied(), colour.stroke_width(2)).point_size(3);
                let series = chart.draw_series(line)?.label(curve.name);
                series.legend(move |(x, y)| PathElement::new([(x, y), (x + 12, y)], colour.stroke_width(2)));
            }
            chart.configure_series_labels().position(SeriesLabelPosition::UpperLeft).background_style(WHITE).draw()?;
            area.present()?;
        }
        Ok(svg)
    }
}

/// Formats a number on an axis.
fn number(value: &f64) -> String {
    thousands(value.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_show_their_groups_and_names() {
        let groups = vec![("show", vec![9_000.0, 12_000.0]), ("list", vec![5_000.0, 7_000.0])];
        let svg = Bars { title: "Calls a second", names: &["PostgreSQL", "SQLite"], groups }.draw().unwrap();
        for text in ["<svg", "Calls a second", "PostgreSQL", "SQLite", "show", "list", ",000"] {
            assert!(svg.contains(text), "{text}: {svg}");
        }
    }

    #[test]
    fn curves_have_a_point_for_each_value() {
        for log_y in [false, true] {
            let points = vec![(1_000.0, 60.0), (10_000.0, 70.0), (100_000.0, 90.0)];
            let curves = vec![Curve { name: "service", points }];
            let svg = Curves { title: "CPU", x: "tokens", y: "µs", log_y, curves }.draw().unwrap();
            assert_eq!(svg.matches("<circle").count(), 3, "{svg}");
            for text in ["service", "tokens", "µs", "10,000"] {
                assert!(svg.contains(text), "{text}: {svg}");
            }
        }
    }
}
