//! The text format of Prometheus, version 0.0.4: families of samples, each with its help and its type.

use std::fmt::{Display, Write as _};
use std::time::Duration;

/// What a page of it is called.
pub(super) const KIND: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A page that grows family by family.
#[derive(Default)]
pub(super) struct Page {
    text: String,
    /// Of the family that samples belong to now.
    name: &'static str,
}

impl Page {
    /// All of it.
    pub(super) fn into_text(self) -> String {
        self.text
    }

    /// Begins a family whose values only grow.
    pub(super) fn counter(&mut self, name: &'static str, help: &str) -> &mut Page {
        self.family(name, "counter", help)
    }

    /// Begins a family whose values go up and down.
    pub(super) fn gauge(&mut self, name: &'static str, help: &str) -> &mut Page {
        self.family(name, "gauge", help)
    }

    fn family(&mut self, name: &'static str, kind: &str, help: &str) -> &mut Page {
        self.name = name;
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        // Writing to a String can't fail.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        self
    }

    /// A sample of the family without labels.
    pub(super) fn one(&mut self, value: impl Display) {
        self.sample("", &[], value);
    }

    /// A sample with one label.
    pub(super) fn by(&mut self, label: &str, name: &str, value: impl Display) -> &mut Page {
        self.sample("", &[(label, name)], value);
        self
    }

    /// A sample for each value of one label.
    pub(super) fn each<V: Display>(
        &mut self,
        label: &str,
        names: impl IntoIterator<Item = impl Display>,
        values: impl IntoIterator<Item = V>,
    ) {
        for (name, value) in names.into_iter().zip(values) {
            self.by(label, &name.to_string(), value);
        }
    }

    /// A sample with these labels.
    pub(super) fn with(&mut self, labels: &[(&str, &str)], value: impl Display) -> &mut Page {
        self.sample("", labels, value);
        self
    }

    /// A whole family of one histogram. `counts` are those between one bound and the next, and above all; the sum is in
    /// nanoseconds.
    pub(super) fn histogram(
        &mut self,
        name: &'static str,
        help: &str,
        labels: &[(&str, &str)],
        bounds: &[Duration],
        (counts, sum_ns): &(Vec<u64>, u64),
    ) {
        self.family(name, "histogram", help);
        let mut total = 0;
        let bounds = bounds.iter().map(|bound| bound.as_secs_f64().to_string());
        for (bound, count) in bounds.chain(["+Inf".to_owned()]).zip(counts) {
            total += count;
            let labels: Vec<(&str, &str)> = labels.iter().copied().chain([("le", &*bound)]).collect();
            self.sample("_bucket", &labels, total);
        }
        self.sample("_sum", labels, *sum_ns as f64 / 1e9);
        self.sample("_count", labels, total);
    }

    fn sample(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl Display) {
        let _ = write!(self.text, "{}{suffix}", self.name);
        for (number, (label, name)) in labels.iter().enumerate() {
            let name = name.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.text, "{}{label}=\"{name}\"", if number == 0 { '{' } else { ',' });
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_what_prometheus_reads() {
        let mut page = Page::default();
        page.counter("a_total", "What\nis \\ counted.").one(3);
        page.gauge("b", "B.").each("worker", 0..2, [1, 2]);
        page.gauge("c", "C.").with(&[("x", "\"\\\n"), ("y", "")], 0.5);
        let bounds = [Duration::from_millis(1), Duration::from_millis(2500)];
        page.histogram("d_seconds", "D.", &[("p", "q")], &bounds, &(vec![1, 2, 3], 1_500_000_000));
        let expected = "# HELP a_total What\\nis \\\\ counted.\n# TYPE a_total counter\na_total 3\n\
                        # HELP b B.\n# TYPE b gauge\nb{worker=\"0\"} 1\nb{worker=\"1\"} 2\n\
                        # HELP c C.\n# TYPE c gauge\nc{x=\"\\\"\\\\\\n\",y=\"\"} 0.5\n\
                        # HELP d_seconds D.\n# TYPE d_seconds histogram\n\
                        d_seconds_bucket{p=\"q\",le=\"0.001\"} 1\nd_seconds_bucket{p=\"q\",le=\"2.5\"} 3\n\
                        d_seconds_bucket{p=\"q\",le=\"+Inf\"} 6\nd_seconds_sum{p=\"q\"} 1.5\nd_seconds_count{p=\"q\"} 6\n";
        assert_eq!(page.into_text(), expected);
    }
}
