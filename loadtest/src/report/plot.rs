//! Plots over the seconds of a run, as inline SVG.
//!
//! Owns: scales, axes, phase bands, lines and stacked bars. Never knows what the values mean. Colours are CSS
//! variables of the page, so that one drawing serves light and dark.

use std::fmt::Write as _;

use crate::phases::Plan;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 280.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = 30.0;

/// How values become heights.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scale {
    /// From zero to this.
    Linear(f64),
    /// From the first to the second, both above zero.
    Logarithmic(f64, f64),
}

/// A drawing that grows.
pub(super) struct Plot {
    svg: String,
    across: Across,
    scale: Scale,
}

/// What the horizontal axis shows.
#[derive(Clone, Copy, Debug)]
enum Across {
    /// From zero to this.
    Seconds(f64),
    /// Multiples of something, from the first to the second, both above zero.
    Multiples(f64, f64),
}

/// A named stretch of time.
pub(super) struct Band {
    pub(super) name: String,
    pub(super) starts_at: f64,
    pub(super) seconds: f64,
}

impl Plot {
    /// The phases as bands, and both axes; `unit` stands at the vertical one.
    pub(super) fn new(label: &str, plan: &Plan, seconds: usize, scale: Scale, unit: &str) -> Self {
        let bands: Vec<Band> = plan
            .spans()
            .iter()
            .map(|span| Band {
                name: span.phase.name.label().to_owned(),
                starts_at: span.starts_at,
                seconds: span.phase.seconds,
            })
            .collect();
        Self::over_time(label, &bands, (seconds as f64).max(plan.seconds()), scale, unit)
    }

    /// Bands over so many seconds, and both axes.
    pub(super) fn over_time(label: &str, bands: &[Band], seconds: f64, scale: Scale, unit: &str) -> Self {
        let mut plot = Self::empty(label, Across::Seconds(seconds.max(1.0)), scale);
        plot.bands(bands);
        plot.vertical_axis(unit);
        plot.horizontal_axis();
        plot
    }

    /// Values over multiples of something, with ticks at those given.
    pub(super) fn over_multiples(
        label: &str,
        (least, most): (f64, f64),
        ticks: &[f64],
        scale: Scale,
        unit: &str,
    ) -> Self {
        let mut plot = Self::empty(label, Across::Multiples(least, most), scale);
        plot.vertical_axis(unit);
        for tick in ticks {
            plot.horizontal_tick(*tick, &format!("{tick}×"));
        }
        plot.horizontal_line();
        plot
    }

    fn empty(label: &str, across: Across, scale: Scale) -> Self {
        let mut plot = Self { svg: String::new(), across, scale };
        plot.push(format_args!(
            r#"<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{}">"#,
            escape(label)
        ));
        plot
    }

    /// A line through points, with a dot at each if there is a text for it.
    pub(super) fn curve(&mut self, class: &str, points: &[(f64, f64, Option<String>)]) {
        let mut path = String::new();
        for (number, (across, value, _)) in points.iter().enumerate() {
            let command = if number > 0 { 'L' } else { 'M' };
            push(&mut path, format_args!("{command}{:.1} {:.1}", self.x(*across), self.y(*value)));
        }
        self.push(format_args!(r#"<path class="line {class}" d="{path}"/>"#));
        for (across, value, text) in points {
            let Some(text) = text else { continue };
            let (x, y) = (self.x(*across), self.y(*value));
            self.push(format_args!(
                r#"<circle class="dot {class}" cx="{x:.1}" cy="{y:.1}" r="3.5"><title>{}</title></circle>"#,
                escape(text)
            ));
        }
    }

    /// A line with the value of each second in the middle of it; it breaks where there is none.
    pub(super) fn line(&mut self, class: &str, values: impl IntoIterator<Item = Option<f64>>) {
        let mut path = String::new();
        let mut joined = false;
        for (second, value) in values.into_iter().enumerate() {
            if let Some(value) = value {
                let command = if joined { 'L' } else { 'M' };
                let (x, y) = (self.x(second as f64 + 0.5), self.y(value));
                push(&mut path, format_args!("{command}{x:.1} {y:.1}"));
            }
            joined = value.is_some();
        }
        self.push(format_args!(r#"<path class="line {class}" d="{path}"/>"#));
    }

    /// A filled area under a line of one value a second.
    pub(super) fn area(&mut self, class: &str, values: &[f64]) {
        let floor = HEIGHT - BOTTOM;
        let mut path = format!("M{:.1} {floor:.1}", self.x(0.5));
        for (second, value) in values.iter().enumerate() {
            let (x, y) = (self.x(second as f64 + 0.5), self.y(*value));
            push(&mut path, format_args!("L{x:.1} {y:.1}"));
        }
        let end = self.x(values.len().saturating_sub(1) as f64 + 0.5);
        self.push(format_args!(r#"<path class="area {class}" d="{path}L{end:.1} {floor:.1}Z"/>"#));
    }

    /// A bar on top of `base` in one second.
    pub(super) fn bar(&mut self, class: &str, second: usize, base: f64, value: f64) {
        let left = self.x(second as f64);
        let width = (self.x(second as f64 + 1.0) - left - 1.0).max(1.0);
        let (top, bottom) = (self.y(base + value), self.y(base));
        let height = bottom - top;
        self.push(format_args!(
            r#"<rect class="bar {class}" x="{left:.1}" y="{top:.1}" width="{width:.1}" height="{height:.1}"/>"#
        ));
    }

    /// A dashed line at a limit, named on the right.
    pub(super) fn limit(&mut self, value: f64, name: &str) {
        let (y, right) = (self.y(value), WIDTH - RIGHT);
        let above = y - 4.0;
        self.push(format_args!(
            r#"<path class="limit" d="M{LEFT} {y:.1}H{right}"/><text class="limit-name" x="{right}" y="{above:.1}">{}</text>"#,
            escape(name)
        ));
    }

    /// A mark at a moment, named at its top.
    pub(super) fn mark(&mut self, second: f64, name: &str) {
        let (x, bottom) = (self.x(second), HEIGHT - BOTTOM);
        let (text_x, text_y) = (x + 5.0, TOP + 13.0);
        self.push(format_args!(
            r#"<path class="mark" d="M{x:.1} {TOP}V{bottom}"/><text class="mark-name" x="{text_x:.1}" y="{text_y}">{}</text>"#,
            escape(name)
        ));
    }

    /// Text that shows over each second.
    pub(super) fn hover(&mut self, texts: impl IntoIterator<Item = String>) {
        let height = HEIGHT - TOP - BOTTOM;
        for (second, text) in texts.into_iter().enumerate() {
            let left = self.x(second as f64);
            let width = self.x(second as f64 + 1.0) - left;
            self.push(format_args!(
                r#"<rect class="hover" x="{left:.1}" y="{TOP}" width="{width:.1}" height="{height}"><title>{}</title></rect>"#,
                escape(&text)
            ));
        }
    }

    /// The SVG element.
    pub(super) fn finish(mut self) -> String {
        self.svg.push_str("</svg>");
        self.svg
    }

    fn bands(&mut self, bands: &[Band]) {
        let bottom = HEIGHT - BOTTOM;
        for (number, band) in bands.iter().enumerate() {
            let left = self.x(band.starts_at);
            let width = self.x(band.starts_at + band.seconds) - left;
            let shade = if number % 2 == 0 { "even" } else { "odd" };
            let height = bottom - TOP;
            self.push(format_args!(
                r#"<rect class="band {shade}" x="{left:.1}" y="{TOP}" width="{width:.1}" height="{height}"/>"#
            ));
            let name = &band.name;
            let middle = left + width / 2.0;
            if width > name.len() as f64 * 5.4 {
                self.push(format_args!(
                    r#"<text class="phase" x="{middle:.1}" y="{}">{name}</text>"#,
                    TOP - 9.0
                ));
            } else {
                // Too narrow for its name: it stands inside, upright.
                let (x, y) = (middle + 3.0, TOP + 4.0);
                self.push(format_args!(
                    r#"<text class="phase upright" transform="translate({x:.1} {y}) rotate(-90)">{name}</text>"#
                ));
            }
        }
    }

    fn vertical_axis(&mut self, unit: &str) {
        let right = WIDTH - RIGHT;
        for value in self.ticks() {
            let y = self.y(value);
            let (text_x, text_y) = (LEFT - 8.0, y + 3.5);
            self.push(format_args!(
                r#"<path class="grid" d="M{LEFT} {y:.1}H{right}"/><text class="tick y" x="{text_x}" y="{text_y:.1}">{}</text>"#,
                short(value)
            ));
        }
        self.push(format_args!(
            r#"<text class="unit" x="{}" y="{}">{}</text>"#,
            LEFT - 8.0,
            TOP - 9.0,
            escape(unit)
        ));
    }

    fn horizontal_axis(&mut self) {
        let Across::Seconds(seconds) = self.across else { return };
        let step = nice_step(seconds / 10.0);
        let mut second = 0.0;
        while second <= seconds {
            self.horizontal_tick(second, &format!("{} s", short(second)));
            second += step;
        }
        self.horizontal_line();
    }

    fn horizontal_tick(&mut self, across: f64, text: &str) {
        let (x, y) = (self.x(across), HEIGHT - BOTTOM + 16.0);
        self.push(format_args!(r#"<text class="tick x" x="{x:.1}" y="{y}">{text}</text>"#));
    }

    fn horizontal_line(&mut self) {
        let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        self.push(format_args!(r#"<path class="axis" d="M{LEFT} {bottom}H{right}"/>"#));
    }

    fn ticks(&self) -> Vec<f64> {
        match self.scale {
            Scale::Linear(max) => {
                let step = nice_step(max / 4.0);
                (0..)
                    .map(|number| f64::from(number) * step)
                    .take_while(|value| *value <= max * 1.0001)
                    .collect()
            }
            Scale::Logarithmic(min, max) => (-6..9)
                .map(|power| 10_f64.powi(power))
                .filter(|value| *value >= min * 0.9999 && *value <= max * 1.0001)
                .collect(),
        }
    }

    fn x(&self, across: f64) -> f64 {
        let share = match self.across {
            Across::Seconds(seconds) => across / seconds,
            Across::Multiples(least, most) => (across.max(least) / least).ln() / (most / least).ln(),
        };
        LEFT + (WIDTH - LEFT - RIGHT) * share
    }

    fn y(&self, value: f64) -> f64 {
        let share = match self.scale {
            Scale::Linear(max) => value / max.max(f64::MIN_POSITIVE),
            Scale::Logarithmic(min, max) => (value.max(min) / min).ln() / (max / min).ln(),
        };
        let bottom = HEIGHT - BOTTOM;
        bottom - (bottom - TOP) * share.clamp(0.0, 1.0)
    }

    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        push(&mut self.svg, text);
    }
}

/// A round number at or above `least`: 1, 2 or 5 times a power of ten.
pub(super) fn nice_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.max(1e-9).log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| *step >= least * 0.9999)
        .unwrap_or(power * 10.0)
}

/// A number in few characters.
fn short(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        _ if value >= 1e6 => format!("{}M", value / 1e6),
        _ if value >= 1e4 => format!("{}k", value / 1e3),
        _ => format!("{value}"),
    }
}

/// Text that is safe in HTML and SVG.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Appends text; writing to a `String` does not fail.
pub(super) fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _infallible = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_step(least: f64, expected: f64) {
        assert!((nice_step(least) / expected - 1.0).abs() < 1e-9, "{least} gives {}", nice_step(least));
    }

    #[test]
    fn steps_are_round() {
        check_step(0.3, 0.5);
        check_step(1.0, 1.0);
        check_step(17.0, 20.0);
        check_step(2_500.0, 5_000.0);
        check_step(6_000.0, 10_000.0);
    }

    #[test]
    fn scales_stay_inside_the_frame() {
        for scale in [Scale::Linear(10.0), Scale::Logarithmic(0.1, 1_000.0)] {
            let plot = Plot::new("a plot", &Plan::new([]), 10, scale, "ms");
            for value in [-1.0, 0.0, 0.05, 5.0, 1e9] {
                let y = plot.y(value);
                assert!((TOP..=HEIGHT - BOTTOM).contains(&y), "{value} at {y}");
            }
        }
    }

    #[test]
    fn lines_break_where_nothing_was_measured() {
        let mut plot = Plot::new("a plot", &Plan::new([]), 4, Scale::Linear(1.0), "ms");
        plot.line("p50", [Some(1.0), None, Some(1.0), Some(0.5)]);
        assert_eq!(plot.finish().rsplit_once("d=\"").unwrap().1.matches('M').count(), 2);
    }
}
