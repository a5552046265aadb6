//! What a page becomes, and how families are written.

use http::{Method, header};

use super::{Counter, Gauge, Histogram, Kind, Labeled, Metrics, Page, Pages, Row, listen::answer, text::go_number};

struct One;

impl Pages for One {
    fn page(&self, path: &str) -> Option<Page> {
        (path == "/healthz").then(|| Page::json(503, "{}"))
    }
}

#[test]
fn a_page_becomes_a_response() {
    let response = answer(&One, &Method::GET, "/healthz");
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    assert_eq!(answer(&One, &Method::GET, "/other").status(), 404);
    assert_eq!(answer(&One, &Method::POST, "/healthz").status(), 405);
}

#[test]
fn families_are_written_as_upstream_writes_them() {
    const COUNTED: Row =
        Row { name: "a_total", kind: Kind::Counter, stability: "ALPHA", help: "Counts.", labels: &["family"] };
    const TIMED: Row = Row { name: "b_seconds", kind: Kind::Histogram, stability: "", help: "Times.", labels: &[] };
    const NOW: Row = Row { name: "c", kind: Kind::Gauge, stability: "", help: "Is.", labels: &[] };
    let (counted, timed, now) = (Labeled::<1, Counter>::default(), Histogram::new(&[0.1, 1.0]), Gauge::default());
    counted.get(["IPv4"], Counter::default).add(2);
    timed.observe(0.5);
    timed.observe(3.0);
    now.set(1.5);
    let mut page = Metrics::default();
    page.add(&NOW, |family| family.number(&[], now.get()));
    page.add(&TIMED, |family| timed.write(family, &[]));
    counted.write(&mut page, &COUNTED);
    let expected = "# HELP a_total [ALPHA] Counts.\n# TYPE a_total counter\na_total{family=\"IPv4\"} 2\n\
        # HELP b_seconds Times.\n# TYPE b_seconds histogram\nb_seconds_bucket{le=\"0.1\"} 0\nb_seconds_bucket{le=\"1\"} 1\n\
        b_seconds_bucket{le=\"+Inf\"} 2\nb_seconds_sum 3.5\nb_seconds_count 2\n# HELP c Is.\n# TYPE c gauge\nc 1.5\n";
    assert_eq!(page.finish(), expected);
}

#[test]
fn a_histogram_over_time_is_marked_as_upstream_marks_it() {
    const USED: Row = Row { name: "a", kind: Kind::Timing, stability: "ALPHA", help: "Over time.", labels: &[] };
    let mut page = Metrics::default();
    page.add(&USED, |family| Histogram::new(&[1.0]).write(family, &[]));
    let text = page.finish();
    assert!(text.starts_with("# HELP a EXPERIMENTAL: [ALPHA] Over time.\n# TYPE a histogram\n"), "{text}");
}

#[test]
fn numbers_are_written_as_go_writes_them() {
    let cases = [
        (0.0, "0"),
        (1.0, "1"),
        (0.005, "0.005"),
        (100_000.0, "100000"),
        (1e6, "1e+06"),
        (1.05e6, "1.05e+06"),
        (1_795_264_759.31, "1.79526475931e+09"),
        (3.42, "3.42"),
        (0.00001, "1e-05"),
        (f64::INFINITY, "+Inf"),
    ];
    for (number, text) in cases {
        assert_eq!(go_number(number), text);
    }
}
