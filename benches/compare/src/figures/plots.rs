//! The plots of a record: each figure against its size axis, ws and wss side by side. A new plot is a row.

use crate::figures::compare::Row;
use crate::figures::svg::{Look, Svg};
use crate::proxies::peers::{OURS, PEERS, Role};
use crate::scenarios::Wire;

/// One row.
struct Plot {
    name: &'static str,
    title: &'static str,
    axis: &'static str,
    figure: &'static str,
    /// Scenarios and where they lie on the axis.
    points: &'static [(&'static str, f64, &'static str)],
}

/// The curve of one proxy in one panel: places on both axes.
struct Curve {
    peer: &'static str,
    points: Vec<(f64, f64)>,
}

/// A name and a picture for each plot of which at least two points of our own were measured.
pub(crate) fn draw(rows: &[Row]) -> Vec<(&'static str, String)> {
    PLOTS.iter().filter_map(|plot| Some((plot.name, plot.draw(rows)?))).collect()
}

impl Plot {
    fn draw(&self, rows: &[Row]) -> Option<String> {
        let panels: Vec<(Wire, Vec<Curve>)> = Wire::BOTH
            .into_iter()
            .map(|wire| (wire, self.curves(rows, wire)))
            .filter(|(_, curves)| curves.iter().any(|curve| curve.points.len() > 1))
            .collect();
        if panels.is_empty() {
            return None;
        }
        let shown: Vec<&str> = PEERS
            .iter()
            .map(|peer| peer.name)
            .filter(|name| panels.iter().any(|(_, curves)| curves.iter().any(|curve| curve.peer == *name)))
            .collect();
        let values = || panels.iter().flat_map(|(_, curves)| curves.iter().flat_map(|curve| &curve.points));
        let bottom = values().map(|point| point.1).fold(f64::INFINITY, f64::min);
        let top = values().map(|point| point.1).fold(0.0, f64::max);
        let range = ((bottom * 0.8).log10(), (top * 1.25).log10());

        let width = MARGIN + panels.len() as f64 * (PANEL_WIDTH + MARGIN);
        let legend_columns = ((width - MARGIN) / LEGEND_WIDTH) as usize;
        let legend_rows = shown.len().div_ceil(legend_columns) as f64;
        let mut svg = Svg::new(width, TOP + PANEL_HEIGHT + 60.0 + legend_rows * 18.0);
        svg.text((MARGIN, 24.0), "start", "title", self.title);
        for (index, (wire, curves)) in panels.iter().enumerate() {
            let left = MARGIN + index as f64 * (PANEL_WIDTH + MARGIN);
            svg.text((left, 44.0), "start", "small", wire.name());
            self.panel(&mut svg, left, range, curves);
        }
        for (index, name) in shown.iter().enumerate() {
            let x = MARGIN + (index % legend_columns) as f64 * LEGEND_WIDTH;
            let y = TOP + PANEL_HEIGHT + 58.0 + (index / legend_columns) as f64 * 18.0;
            svg.curve(&[(x, y - 4.0), (x + 24.0, y - 4.0)], look(name));
            svg.text((x + 32.0, y), "start", "", name);
        }
        Some(svg.finish())
    }

    fn curves(&self, rows: &[Row], wire: Wire) -> Vec<Curve> {
        let value = |peer: &str, scenario: &str| {
            let trial = format!("{}/{scenario}", wire.name());
            let row = rows.iter().find(|row| row.peer == peer && row.trial == trial)?;
            if row.failure.is_some() || row.is_scaled_down {
                return None;
            }
            row.column(self.figure).map(|column| column.median).filter(|median| *median > 0.0)
        };
        PEERS
            .iter()
            .map(|peer| Curve {
                peer: peer.name,
                points: self
                    .points
                    .iter()
                    .filter_map(|(scenario, x, _)| Some((*x, value(peer.name, scenario)?)))
                    .collect(),
            })
            .filter(|curve| !curve.points.is_empty())
            .collect()
    }

    /// Both axes are logarithmic.
    fn panel(&self, svg: &mut Svg, left: f64, range: (f64, f64), curves: &[Curve]) {
        let (first, last) = (self.points[0].1.log10(), self.points[self.points.len() - 1].1.log10());
        let x = |value: f64| left + 12.0 + (value.log10() - first) / (last - first) * (PANEL_WIDTH - 24.0);
        let y =
            |value: f64| TOP + PANEL_HEIGHT - (value.log10() - range.0) / (range.1 - range.0) * PANEL_HEIGHT;
        for (value, label) in ticks(range) {
            svg.grid((left, y(value)), (left + PANEL_WIDTH, y(value)));
            svg.text((left - 6.0, y(value) + 4.0), "end", "small", &label);
        }
        for (_, value, label) in self.points {
            svg.grid((x(*value), TOP), (x(*value), TOP + PANEL_HEIGHT));
            svg.text((x(*value), TOP + PANEL_HEIGHT + 16.0), "middle", "small", label);
        }
        svg.text((left + PANEL_WIDTH / 2.0, TOP + PANEL_HEIGHT + 34.0), "middle", "small", self.axis);
        // Ours last, on top.
        for curve in curves.iter().rev() {
            let points: Vec<(f64, f64)> = curve.points.iter().map(|point| (x(point.0), y(point.1))).collect();
            svg.curve(&points, look(curve.peer));
        }
    }
}

/// 1, 2 and 5 in each decade within the range of logarithms, as they are written; only 1 when that is many.
fn ticks(range: (f64, f64)) -> Vec<(f64, String)> {
    let steps: &[f64] = if range.1 - range.0 > 2.5 { &[1.0] } else { &[1.0, 2.0, 5.0] };
    (range.0.floor() as i32..=range.1.ceil() as i32)
        .flat_map(|decade| steps.iter().map(move |step| (decade, step * 10f64.powi(decade))))
        .filter(|(_, value)| (range.0..=range.1).contains(&value.log10()))
        .map(|(decade, value)| (value, format!("{value:.*}", decade.min(0).unsigned_abs() as usize)))
        .collect()
}

/// One colour for each proxy in all plots; yardsticks are dashed.
fn look(name: &str) -> Look {
    let index = PEERS.iter().position(|peer| peer.name == name).unwrap_or(0);
    let dashes = match PEERS[index].role {
        Role::Yardstick => "5 4",
        _ => "",
    };
    let width = if name == OURS { 3.0 } else { 1.5 };
    Look { color: COLORS[index % COLORS.len()], dashes, width }
}

/// In the order of the proxies, each readable on white and on black.
const COLORS: [&str; 11] = [
    "#e5484d", "#3e8ed0", "#2f9e44", "#c77700", "#8b8d98", "#6b7a90", "#8e6fd8", "#b07de0", "#12a594",
    "#d6409f", "#a18072",
];

const WRITES: &[(&str, f64, &str)] = &[
    ("down-128b", 128.0, "128 B"),
    ("down-4k", 4096.0, "4 KiB"),
    ("down-64k", 65536.0, "64 KiB"),
    ("down-1m", 1048576.0, "1 MiB"),
];
const FRAMES: &[(&str, f64, &str)] = &[
    ("up-64b", 64.0, "64 B"),
    ("up-1k", 1024.0, "1 KiB"),
    ("up-16k", 16384.0, "16 KiB"),
    ("up-64k", 65536.0, "64 KiB"),
    ("up-1m", 1048576.0, "1 MiB"),
];
const FLOODS: &[(&str, f64, &str)] =
    &[("down-64k", 1.0, "1"), ("down-64k-x8", 8.0, "8"), ("down-64k-x64", 64.0, "64")];
const ECHOES: &[(&str, f64, &str)] = &[("echo-32b", 1.0, "1"), ("echo-32b-x256", 256.0, "256")];
const DESKTOPS: &[(&str, f64, &str)] = &[
    ("vnc-x50", 50.0, "50"),
    ("vnc-x200", 200.0, "200"),
    ("vnc-x500", 500.0, "500"),
    ("vnc-x1000", 1000.0, "1,000"),
];
const IDLERS: &[(&str, f64, &str)] =
    &[("idle-1000", 1000.0, "1,000"), ("idle-5000", 5000.0, "5,000"), ("idle-9000", 9000.0, "9,000")];
const OPENINGS: &[(&str, f64, &str)] = &[("churn", 1.0, "1"), ("churn-x64", 64.0, "64")];

const fn plot(
    name: &'static str,
    title: &'static str,
    figure: &'static str,
    axis: &'static str,
    points: &'static [(&'static str, f64, &'static str)],
) -> Plot {
    Plot { name, title, axis, figure, points }
}

const PLOTS: &[Plot] = &[
    plot("down-cpu", "Target to client: CPU seconds per GiB", "CPU s/GiB", "bytes of a write", WRITES),
    plot("down-rate", "Target to client: GiB per second", "GiB/s", "bytes of a write", WRITES),
    plot("up-cpu", "Client to target: CPU seconds per GiB", "CPU s/GiB", "bytes of a frame", FRAMES),
    plot("up-rate", "Client to target: GiB per second", "GiB/s", "bytes of a frame", FRAMES),
    plot(
        "floods-cpu",
        "Target to client, 64 KiB writes: CPU seconds per GiB",
        "CPU s/GiB",
        "sessions",
        FLOODS,
    ),
    plot("echo-cpu", "32-byte echo: CPU microseconds per round trip", "CPU us/trip", "sessions", ECHOES),
    plot("echo-p99", "32-byte echo: p99 of a round trip, microseconds", "p99 us", "sessions", ECHOES),
    plot("vnc-cpu", "Desktops: CPU microseconds per message", "CPU us/message", "sessions", DESKTOPS),
    plot("vnc-p99", "Desktops: p99 of an event, microseconds", "event p99 us", "sessions", DESKTOPS),
    plot("idle-memory", "Idle: private bytes per session", "private B/session", "sessions", IDLERS),
    plot(
        "idle-p99",
        "One active among idle: p99 of a round trip, microseconds",
        "active p99 us",
        "idle sessions",
        IDLERS,
    ),
    plot(
        "churn-cpu",
        "Open and close: CPU microseconds per session",
        "CPU us/opening",
        "at a time",
        OPENINGS,
    ),
    plot("churn-rate", "Open and close: sessions per second", "sessions/s", "at a time", OPENINGS),
];

const PANEL_WIDTH: f64 = 360.0;
const PANEL_HEIGHT: f64 = 240.0;
const MARGIN: f64 = 64.0;
const TOP: f64 = 56.0;
/// A line and the name beside it.
const LEGEND_WIDTH: f64 = 140.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::compare::tests::row;
    use crate::proxies::peers::{PLAIN, PYTHON};

    #[test]
    fn a_plot_has_a_curve_for_each_proxy_and_a_page_for_light_and_dark() {
        let rows = [
            row("ws/down-4k", OURS, Role::Ours, "CPU s/GiB", &[0.5]),
            row("ws/down-64k", OURS, Role::Ours, "CPU s/GiB", &[0.25]),
            row("ws/down-4k", PLAIN, Role::Yardstick, "CPU s/GiB", &[0.6]),
            row("ws/down-64k", PLAIN, Role::Yardstick, "CPU s/GiB", &[0.3]),
            row("ws/churn", OURS, Role::Ours, "CPU us/opening", &[60.0]),
            Row { is_scaled_down: true, ..row("ws/down-64k", PYTHON, Role::Peer, "CPU s/GiB", &[0.7]) },
            Row { failure: Some("!".into()), ..row("ws/down-64k", "node", Role::Peer, "CPU s/GiB", &[0.7]) },
        ];
        let plots = draw(&rows);
        assert_eq!(plots.iter().map(|plot| plot.0).collect::<Vec<_>>(), ["down-cpu"]);
        let picture = &plots[0].1;
        assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"));
        assert!(picture.contains("prefers-color-scheme: dark") && !picture.contains("NaN"));
        // Two curves and their two samples in the legend.
        assert_eq!(picture.matches("<polyline").count(), 4);
        assert_eq!(picture.matches(">plain<").count(), 1);
    }
}
