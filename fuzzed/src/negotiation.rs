//! In which form a client sends and wants things, as its headers say.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use registry::{
    Media,
    options::Query,
    present::{Form, Shape},
};
use server::negotiate::{Offer, Route};

const NAMES: [(Media, &str); 4] = [
    (Media::Json, "application/json"),
    (Media::Yaml, "application/yaml"),
    (Media::Protobuf, "application/vnd.kubernetes.protobuf"),
    (Media::Cbor, "application/cbor"),
];

/// A byte that says what is offered and what the route gives; then lines: Accept, Content-Type, the query, who asks. What is
/// chosen is offered and given, and is chosen when it is named alone.
pub fn negotiation(data: &[u8]) {
    let Some((bits, text)) = data.split_first() else { return };
    let is = |bit: u8| bits & (1 << bit) != 0;
    let offer = Offer { cbor: is(0) };
    let route = Route { stream: is(1), many: is(2), tables: is(3), protobuf_free: is(4) };
    let mut lines = text.split(|byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let mut headers = HeaderMap::new();
    let mut put = |name: HeaderName, text: &[u8]| {
        if let Ok(value) = HeaderValue::from_bytes(text) {
            headers.insert(name, value);
        }
    };
    put(header::ACCEPT, line());
    put(header::CONTENT_TYPE, line());
    let query = Query::parse(&String::from_utf8_lossy(line()));
    put(header::USER_AGENT, line());
    match offer.answer(&headers, &query, route) {
        Ok(form) => {
            given(offer, route, &form);
            let again = offer.answer(&named(header::ACCEPT, form.media), &query, route).map(|form| form.media);
            assert!(form.shape != Shape::Object || again.is_ok_and(|media| media == form.media));
        }
        Err(status) => assert!(matches!(status.code(), 400 | 406) && !status.message().is_empty()),
    }
    match offer.body(&headers) {
        Ok(media) => {
            assert!(offer.cbor || media != Media::Cbor);
            assert_eq!(offer.body(&named(header::CONTENT_TYPE, media)).ok(), Some(media));
        }
        Err(status) => assert!(status.code() == 415 && !status.message().is_empty()),
    }
    let plain = offer.plain(&headers, &query);
    assert!((offer.cbor || plain.media != Media::Cbor) && plain.shape == Shape::Object);
    for routed in [false, true] {
        match offer.document(&headers, &query, routed) {
            Ok(form) => assert_eq!(form, plain),
            Err(status) => assert!(status.code() == 406 && !status.message().is_empty()),
        }
    }
}

fn given(offer: Offer, route: Route, form: &Form) {
    assert!(offer.cbor || form.media != Media::Cbor, "it is not offered");
    assert!(route.tables || !matches!(form.shape, Shape::Table { .. }), "there are no rows");
    assert!(!route.stream || form.media != Media::Yaml, "it has no end within a stream");
    let is_whole = form.shape == Shape::Object;
    assert!(!(route.protobuf_free && is_whole && form.media == Media::Protobuf), "there is no such form");
}

fn named(header: HeaderName, media: Media) -> HeaderMap {
    let name = NAMES.iter().find(|(known, _)| *known == media).map_or("", |(_, name)| *name);
    HeaderMap::from_iter([(header, HeaderValue::from_static(name))])
}
