//! Cases for the documents on the wire.

use super::*;

fn document(text: &str) -> Document {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).expect("a vector takes everything");
    let gzip = encoder.finish().expect("a vector takes everything").into();
    Document { etag: "E".into(), gzip, made: Timestamp::UNIX_EPOCH }
}

fn bytes(response: Response<Body>) -> Bytes {
    match response.into_body() {
        Body::Whole(Some(bytes)) => bytes,
        _ => panic!("documents are whole"),
    }
}

#[test]
fn the_old_name_of_protobuf_is_understood() {
    let old = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
    assert_eq!(accepted(old, V2_MEDIA), Some(Media::Protobuf));
    assert_eq!(accepted(V2_PROTOBUF, V2_MEDIA), Some(Media::Protobuf));
}

#[test]
fn each_version_has_protobuf_by_two_names() {
    let old = "application/com.github.proto-openapi.spec.v3@v1.0+protobuf";
    for name in [old, V3_PROTOBUF] {
        assert_eq!(accepted(name, V3_MEDIA), Some(Media::Protobuf), "{name}");
        assert_eq!(accepted(name, V2_MEDIA), None, "{name} is not the other's");
    }
    assert_eq!(accepted(V2_PROTOBUF, V3_MEDIA), None);
    // It answers by the name that is a media type.
    assert_eq!(content_type(Media::Protobuf, false), V3_PROTOBUF);
    assert_eq!(content_type(Media::Protobuf, true), V2_PROTOBUF);
    assert_eq!(content_type(Media::Json, false), "application/json");
}

#[test]
fn weights_decide_and_anything_is_json() {
    assert_eq!(accepted("", V2_MEDIA), Some(Media::Json));
    assert_eq!(accepted("application/*", V3_MEDIA), Some(Media::Json));
    let both = format!("application/json;q=0.4, {V2_PROTOBUF};q=0.9");
    assert_eq!(accepted(&both, V2_MEDIA), Some(Media::Protobuf));
    assert_eq!(accepted("application/xml", V2_MEDIA), None);
}

#[test]
fn who_cannot_unpack_gets_it_unpacked() {
    let kept = document("{\"a\":1}");
    let plain = deliver(&kept, "br");
    assert!(!plain.headers().contains_key(header::CONTENT_ENCODING));
    assert_eq!(plain.headers()[header::LAST_MODIFIED], "Thu, 01 Jan 1970 00:00:00 GMT");
    assert_eq!(bytes(plain), "{\"a\":1}");
    let packed = deliver(&kept, "br, gzip;q=0.5");
    assert_eq!(packed.headers()[header::CONTENT_ENCODING], "gzip");
    assert_eq!(bytes(packed), kept.gzip);
}

#[test]
fn who_has_a_document_is_known_by_any_form_of_its_tag() {
    for said in ["\"E\"", "W/\"E\"", "\"D\", \"E\"", "*"] {
        assert!(is_known(said, "\"E\""), "{said}");
    }
    for said in ["", "E", "\"D\"", "W/E"] {
        assert!(!is_known(said, "\"E\""), "{said}");
    }
    assert!(is_known("*", "") && !is_known("", "") && !is_known("\"E\"", ""), "what has no tag is there or not");
}

#[test]
fn only_the_second_version_depends_on_what_a_client_unpacks() {
    let of = |v2: bool| {
        let response = varying(respond::empty(406), v2);
        response
            .headers()
            .get_all(header::VARY)
            .iter()
            .map(|on| on.to_str().unwrap_or("").to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!((of(true), of(false)), (vec!["Accept-Encoding".to_owned(), "Accept".into()], vec!["Accept".to_owned()]));
}
