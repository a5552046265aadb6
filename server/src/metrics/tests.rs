//! Lines as upstream's `/metrics` writes them.

use super::*;
use registry::options::Query;

fn key(method: &str, uri: &str, apply: bool) -> Option<Key> {
    let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
    let query = Query::parse(query);
    Key::of(method, &crate::attributes::of(method, path, &query).attributes, &query, apply)
}

#[test]
fn a_family_reads_as_upstreams() {
    let counters = Labeled::<3, Counter>::default();
    counters.get(["apps", "deployments", "v1"], Counter::default).add(2);
    counters.get(["", "pods", "v1"], Counter::default).add(1);
    let mut page = Page::default();
    counters.write(&mut page, &rows::WATCH_EVENTS);
    let expected = "# HELP apiserver_watch_events_total [BETA] Number of events sent in watch clients
# TYPE apiserver_watch_events_total counter
apiserver_watch_events_total{group=\"\",resource=\"pods\",version=\"v1\"} 1
apiserver_watch_events_total{group=\"apps\",resource=\"deployments\",version=\"v1\"} 2
";
    assert_eq!(page.finish(), expected);
}

#[test]
fn a_histogram_sums_its_buckets_up() {
    let histograms = Labeled::<1, Histogram>::default();
    let cell = histograms.get(["a\"b"], || Histogram::new(&rows::SIZES[..2]));
    [500.0, 1000.0, 5000.0, 1e9].into_iter().for_each(|n| cell.observe(n));
    let mut page = Page::default();
    histograms.write(&mut page, &rows::AUTHENTICATION_DURATION);
    let text = page.finish();
    let lines: Vec<&str> = text.lines().skip(2).collect();
    assert_eq!(
        lines,
        [
            "authentication_duration_seconds_bucket{result=\"a\\\"b\",le=\"1000\"} 2",
            "authentication_duration_seconds_bucket{result=\"a\\\"b\",le=\"10000\"} 3",
            "authentication_duration_seconds_bucket{result=\"a\\\"b\",le=\"+Inf\"} 4",
            "authentication_duration_seconds_sum{result=\"a\\\"b\"} 1.0000065e+09",
            "authentication_duration_seconds_count{result=\"a\\\"b\"} 4",
        ]
    );
}

#[test]
fn empty_families_are_left_out() {
    let mut page = Page::default();
    Labeled::<1, Counter>::default().write(&mut page, &rows::USERS);
    assert_eq!(page.finish(), "");
}

#[test]
fn requests_are_labelled_as_upstream_labels_them() {
    let metrics = Arc::new(Metrics::default());
    let now = std::time::Instant::now();
    let count = |method: &str, uri: &str, apply: bool, code: u16, len: u64| {
        let mut record = Record::new(&metrics, key(method, uri, apply).expect("it is counted"), now, false);
        (record.code, record.len) = (code, len);
    };
    count("GET", "/api/v1/namespaces/d/pods", false, 200, 12);
    count("GET", "/api/v1/namespaces/d/pods", false, 200, 12);
    count("GET", "/api/v1/namespaces/d/pods", false, 410, 2);
    count("GET", "/apis/apps/v1/deployments?watch=1", false, 200, 9);
    count("PATCH", "/api/v1/namespaces/d/pods/p/status?dryRun=All", true, 200, 1);
    count("POST", "/api/v1/nodes", false, 201, 1);
    count("DELETE", "/api/v1/nodes", false, 200, 1);
    count("GET", "/readyz", false, 500, 1);
    let mut page = Page::default();
    metrics.requests.write(&mut page);
    let text = page.finish();
    for line in [
        "apiserver_request_total{code=\"200\",component=\"apiserver\",dry_run=\"\",group=\"\",resource=\"pods\",scope=\"namespace\",subresource=\"\",verb=\"LIST\",version=\"v1\"} 2",
        "apiserver_request_total{code=\"410\",component=\"apiserver\",dry_run=\"\",group=\"\",resource=\"pods\",scope=\"namespace\",subresource=\"\",verb=\"LIST\",version=\"v1\"} 1",
        "apiserver_request_total{code=\"200\",component=\"apiserver\",dry_run=\"\",group=\"apps\",resource=\"deployments\",scope=\"cluster\",subresource=\"\",verb=\"WATCH\",version=\"v1\"} 1",
        "apiserver_request_total{code=\"200\",component=\"apiserver\",dry_run=\"All\",group=\"\",resource=\"pods\",scope=\"resource\",subresource=\"status\",verb=\"APPLY\",version=\"v1\"} 1",
        "apiserver_request_total{code=\"201\",component=\"apiserver\",dry_run=\"\",group=\"\",resource=\"nodes\",scope=\"resource\",subresource=\"\",verb=\"POST\",version=\"v1\"} 1",
        "apiserver_request_total{code=\"200\",component=\"apiserver\",dry_run=\"\",group=\"\",resource=\"nodes\",scope=\"cluster\",subresource=\"\",verb=\"DELETE\",version=\"v1\"} 1",
        "apiserver_request_total{code=\"500\",component=\"\",dry_run=\"\",group=\"\",resource=\"\",scope=\"\",subresource=\"/readyz\",verb=\"GET\",version=\"\"} 1",
        "apiserver_response_sizes_sum{component=\"apiserver\",group=\"\",resource=\"pods\",scope=\"namespace\",subresource=\"\",verb=\"LIST\",version=\"v1\"} 26",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
    }
    let sizes_of_writes = text.lines().any(|l| l.starts_with("apiserver_response_sizes") && l.contains("POST"));
    assert!(!sizes_of_writes, "only reads have sizes");
    assert!(key("GET", "/anything/else", false).is_none(), "clients choose no labels");
}

#[test]
fn how_strictly_fields_are_read_has_a_series_for_each_way_and_nothing_in_it() {
    let metrics = Arc::new(Metrics::default());
    let seen = || {
        let mut page = Page::default();
        metrics.requests.write(&mut page);
        let text = page.finish();
        let counts = text.lines().filter_map(|l| l.strip_prefix("field_validation_request_duration_seconds_count"));
        counts.map(str::to_owned).collect::<Vec<_>>()
    };
    let of = |word: &str| format!("{{field_validation=\"{word}\"}} 0");
    assert!(seen().is_empty());
    for (query, word) in [
        ("fieldValidation=Strict", "Strict"),
        ("fieldValidation=Warn&dryRun=All", "Warn"),
        ("fieldValidation=strict", "invalid"),
        ("fieldValidation=Warn&fieldValidation=Warn", "invalid"),
        ("fieldValidation=", ""),
        ("", ""),
    ] {
        metrics.requests.clear();
        let key = key("POST", &format!("/api/v1/nodes?{query}"), false).expect("it is counted");
        let mut record = Record::new(&metrics, key, std::time::Instant::now(), false);
        record.code = 201;
        drop(record);
        assert_eq!(seen(), [of(word)], "{query}");
    }
}

#[test]
fn what_lasts_is_counted_while_it_lasts() {
    let metrics = Arc::new(Metrics::default());
    let watch = key("GET", "/api/v1/pods?watch=1", false).expect("it is counted");
    let record = Record::new(&metrics, watch, std::time::Instant::now(), true);
    let lasting = || {
        let mut page = Page::default();
        metrics.requests.write(&mut page);
        let text = page.finish();
        text.lines().find(|l| l.starts_with("apiserver_longrunning_requests{")).map(|l| l[l.len() - 1..].to_string())
    };
    assert_eq!(lasting().as_deref(), Some("1"));
    drop(record);
    assert_eq!(lasting().as_deref(), Some("0"));
}

#[test]
fn the_highest_of_the_last_second_is_told() {
    let mark = Watermark::default();
    (0..3).for_each(|_| mark.add(1, 10));
    (0..2).for_each(|_| mark.add(-1, 10));
    assert_eq!(mark.highest(10), 3);
    assert_eq!(mark.highest(11), 3, "the second before counts");
    assert_eq!(mark.highest(12), 1, "then what is left");
}
