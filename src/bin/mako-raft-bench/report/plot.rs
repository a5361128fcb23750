//! Line plots as SVG.

use std::fmt::Write;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 150.0;
const TOP: f64 = 36.0;
const BOTTOM: f64 = 46.0;
const COLOURS: [&str; 5] = ["#1b6ca8", "#c8553d", "#3a7d44", "#7d5ba6", "#8a8a8a"];

/// Below the title where there are bars.
const BARS: &str = "points: median of the repeats; bars: least to greatest";
/// With more points than this, they are not marked on their line.
const MARKED_MAX: usize = 40;

/// One line of a plot.
pub struct Line {
    /// In the legend.
    pub name: String,
    /// (x, median, least, greatest), ascending in x.
    pub points: Vec<(f64, f64, f64, f64)>,
}

impl Line {
    /// Without a spread.
    pub fn of(name: &str, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        let point = |(x, y): (f64, f64)| (x, y, y, y);
        Self { name: name.to_owned(), points: points.into_iter().map(point).collect() }
    }
}

/// How an axis is divided.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Equal steps; from 0, or from a least value below it.
    Linear,
    /// Equal factors.
    Logarithmic,
}

/// A plot.
pub struct Plot<'a> {
    /// Above it.
    pub title: &'a str,
    /// What x is, with its unit.
    pub x: &'a str,
    /// What y is, with its unit.
    pub y: &'a str,
    /// Of x.
    pub x_scale: Scale,
    /// What is written at x; round numbers where this is empty.
    pub x_marks: Vec<(f64, String)>,
    /// Of y.
    pub y_scale: Scale,
    /// An upright line at this x.
    pub event: Option<f64>,
    /// What is drawn.
    pub lines: Vec<Line>,
}

struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Axis {
    fn new(scale: Scale, values: impl Iterator<Item = f64> + Clone, from: f64, to: f64) -> Self {
        let high = values.clone().fold(f64::MIN, f64::max).max(1e-9);
        let low = values.fold(f64::MAX, f64::min).min(high);
        let (low, high) = match scale {
            Scale::Linear => (low.min(0.0), high + (high - low.min(0.0)) * 0.03),
            Scale::Logarithmic => (low.max(1e-9) / 1.2, high * 1.2),
        };
        Self { scale, low, high, from, to }
    }

    fn place(&self, value: f64) -> f64 {
        let share = match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Logarithmic => (value.max(1e-12) / self.low).ln() / (self.high / self.low).ln(),
        };
        self.from + share * (self.to - self.from)
    }

    /// Round numbers inside the range.
    fn marks(&self) -> Vec<f64> {
        match self.scale {
            Scale::Linear => {
                let rough = (self.high - self.low) / 7.0;
                let power = 10f64.powf(rough.log10().floor());
                let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|s| *s >= rough);
                let step = step.unwrap_or(10.0 * power);
                let first = (self.low / step).ceil();
                (0..12).map(|i| (first + f64::from(i)) * step).filter(|v| *v <= self.high).collect()
            }
            Scale::Logarithmic => {
                let decades = self.low.log10().floor() as i32..=self.high.log10().ceil() as i32;
                let parts: &[f64] = if self.high / self.low > 2_000.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
                let marks = decades.flat_map(|d| parts.iter().map(move |p| p * 10f64.powi(d)));
                marks.filter(|v| *v >= self.low && *v <= self.high).collect()
            }
        }
    }
}

fn short(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{}M", v / 1e6),
        v if v >= 1e4 => format!("{}k", v / 1e3),
        v => format!("{}", (v * 1e3).round() / 1e3),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

impl Plot<'_> {
    /// The picture; it needs nothing beside itself.
    pub fn svg(&self) -> String {
        let points = || self.lines.iter().flat_map(|line| line.points.iter());
        let x = Axis::new(self.x_scale, points().map(|p| p.0), LEFT, WIDTH - RIGHT);
        let y = Axis::new(self.y_scale, points().flat_map(|p| [p.2, p.3]), HEIGHT - BOTTOM, TOP);
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"11\" role=\"img\">\n<title>{}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
            escape(self.title)
        );
        self.draw_frame(&mut out, &x, &y);
        if points().any(|p| p.2 < p.3) {
            let _ = writeln!(out, "<text x=\"{LEFT}\" y=\"32\" font-size=\"10\" fill=\"#666\">{BARS}</text>");
        }
        if let Some(at) = self.event.map(|at| x.place(at)) {
            let _ = writeln!(out, "<path d=\"M{at:.1} {TOP}V{}\" stroke=\"#444\" stroke-dasharray=\"4 3\"/>", HEIGHT - BOTTOM);
        }
        for (index, line) in self.lines.iter().filter(|line| !line.points.is_empty()).enumerate() {
            draw_line(&mut out, line, COLOURS[index % COLOURS.len()], index, &x, &y);
        }
        out + "</svg>\n"
    }

    fn draw_frame(&self, out: &mut String, x: &Axis, y: &Axis) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for mark in y.marks() {
            let (at, label) = (y.place(mark), short(mark));
            let _ = writeln!(out, "<path d=\"M{LEFT} {at:.1}H{right}\" stroke=\"#ddd\"/>");
            let _ = writeln!(out, "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>", LEFT - 6.0, at + 4.0);
        }
        let round = || x.marks().into_iter().map(|mark| (mark, short(mark))).collect::<Vec<_>>();
        let marks = if self.x_marks.is_empty() { round() } else { self.x_marks.clone() };
        for (mark, label) in marks.into_iter().filter(|(mark, _)| (x.low..=x.high).contains(mark)) {
            let at = x.place(mark);
            let _ = writeln!(out, "<path d=\"M{at:.1} {TOP}V{bottom}\" stroke=\"#eee\"/>");
            let _ = writeln!(out, "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>", bottom + 15.0, escape(&label));
        }
        let _ = writeln!(out, "<path d=\"M{LEFT} {TOP}V{bottom}H{right}\" fill=\"none\" stroke=\"#444\"/>");
        let _ = writeln!(out, "<text x=\"{LEFT}\" y=\"20\" font-size=\"14\">{}</text>", escape(self.title));
        let middle = (LEFT + right) / 2.0;
        let _ = writeln!(out, "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{}</text>", HEIGHT - 10.0, escape(self.x));
        let _ = writeln!(out, "<text transform=\"translate(14 {}) rotate(-90)\" text-anchor=\"middle\">{}</text>", HEIGHT / 2.0, escape(&self.y_label()));
    }

    fn y_label(&self) -> String {
        match self.y_scale {
            Scale::Linear => self.y.to_owned(),
            Scale::Logarithmic => format!("{} (log scale)", self.y),
        }
    }
}

fn draw_line(out: &mut String, line: &Line, colour: &str, index: usize, x: &Axis, y: &Axis) {
    let corners: Vec<String> = line.points.iter().map(|p| format!("{:.1},{:.1}", x.place(p.0), y.place(p.1))).collect();
    let corners = corners.join(" ");
    let _ = writeln!(out, "<polyline points=\"{corners}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\"/>");
    let is_marked = line.points.len() <= MARKED_MAX;
    for &(at, median, min, max) in line.points.iter().filter(|_| is_marked) {
        let (at, median) = (x.place(at), y.place(median));
        let _ = writeln!(out, "<circle cx=\"{at:.1}\" cy=\"{median:.1}\" r=\"3\" fill=\"{colour}\"/>");
        if min < max {
            let (min, max) = (y.place(min), y.place(max));
            let _ = writeln!(out, "<path d=\"M{at:.1} {min:.1}V{max:.1}\" stroke=\"{colour}\"/>");
        }
    }
    let (left, top) = (WIDTH - RIGHT + 12.0, TOP + 12.0 + 18.0 * index as f64);
    let _ = writeln!(out, "<path d=\"M{left} {top}h18\" stroke=\"{colour}\" stroke-width=\"2\"/>");
    let _ = writeln!(out, "<text x=\"{}\" y=\"{}\">{}</text>", left + 24.0, top + 4.0, escape(&line.name));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_lies_inside_the_frame() {
        for scale in [Scale::Linear, Scale::Logarithmic] {
            let axis = Axis::new(scale, [0.003, 17.0, 2_000_000.0].into_iter(), LEFT, WIDTH - RIGHT);
            for value in [0.003, 17.0, 2_000_000.0].into_iter().chain(axis.marks()) {
                let at = axis.place(value);
                assert!((LEFT - 0.1..=WIDTH - RIGHT + 0.1).contains(&at), "{value} at {at}");
            }
            assert!(axis.marks().len() >= 3);
        }
    }

    #[test]
    fn a_linear_axis_has_round_marks_on_both_sides_of_zero() {
        let axis = Axis::new(Scale::Linear, [-200.0, 1_000.0].into_iter(), LEFT, WIDTH - RIGHT);
        let marks = axis.marks();
        assert!(marks.contains(&0.0) && marks[0] >= -200.0 && marks.last().is_some_and(|last| *last >= 1_000.0), "{marks:?}");
        assert!((axis.place(-200.0) - LEFT).abs() < 0.1);
    }

    #[test]
    fn a_line_without_points_has_no_place_in_the_legend() {
        let line = |name: &str, points: Vec<(f64, f64)>| Line::of(name, points);
        let plot = Plot {
            title: "t",
            x: "x",
            y: "y",
            x_scale: Scale::Linear,
            y_scale: Scale::Linear,
            x_marks: vec![(1.0, "<one>".into())],
            event: None,
            lines: vec![line("empty", Vec::new()), line("full", vec![(1.0, 2.0)])],
        };
        let svg = plot.svg();
        assert!(!svg.contains("empty") && svg.contains("full") && svg.contains("&lt;one>"));
    }

    #[test]
    fn a_picture_says_what_it_is_what_its_bars_are_and_which_axis_is_logarithmic() {
        let plot = |points, y_scale, event| Plot {
            title: "a < b",
            x: "x",
            y: "latency, µs",
            x_scale: Scale::Linear,
            y_scale,
            x_marks: Vec::new(),
            event,
            lines: vec![Line { name: "one".into(), points }],
        };
        let svg = plot(vec![(0.0, 2.0, 1.0, 3.0)], Scale::Logarithmic, Some(0.0)).svg();
        for part in ["<title>a &lt; b</title>", BARS, "latency, µs (log scale)", "stroke-dasharray"] {
            assert!(svg.contains(part), "no \"{part}\" in {svg}");
        }
        let svg = plot(vec![(0.0, 2.0, 2.0, 2.0)], Scale::Linear, None).svg();
        assert!(!svg.contains(BARS) && !svg.contains("log scale") && !svg.contains("stroke-dasharray"));
    }
}
