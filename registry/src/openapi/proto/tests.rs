//! Documents in protobuf, byte by byte beside what gnostic v0.7.0 makes of the same JSON.
//!
//! Of its messages the length and the FNV-1 hash are known: those of documents of our own, in which schemas say all that
//! they can, and those of every document that upstream publishes in the Go module `k8s.io/kubernetes`
//! (`testdata/published.tsv`, by `ParseDocument` and `proto.Marshal`).

use api::{Value, value};

use super::{
    super::{Form as Settings, Silent, index, tests, v2::fnv},
    Form, Pick, Proto, Sink, message, v2, v3,
};

fn read(text: &str) -> Value {
    codec::json::any(text.as_bytes()).expect("documents are JSON").value
}

/// A document's message, in one go.
fn written(document: &Value, form: &'static Form) -> Vec<u8> {
    let mut out = Vec::new();
    message(form, document, &mut out);
    out
}

/// The same, piece by piece as documents come.
fn poured(document: &Value, mut sink: Proto) -> Vec<u8> {
    fn pour(document: &Value, opened: &[&str], sink: &mut Proto) {
        for (name, member) in document.members() {
            match opened.contains(&name) {
                true => {
                    sink.open(name);
                    pour(member, if name == "components" { &["schemas"] } else { &[] }, sink);
                    sink.close();
                }
                false => sink.put(name, member.clone()),
            }
        }
    }
    pour(document, &["paths", "definitions", "components"], &mut sink);
    sink.finish()
}

fn marks(bytes: &[u8]) -> (usize, String) {
    (bytes.len(), format!("{:016x}", fnv(bytes)))
}

#[test]
fn schemas_of_users_are_gnostics_bytes() {
    let third = read(include_str!("testdata/v3_own.json"));
    assert_eq!(marks(&written(&third, &v3::DOCUMENT)), (1_421, "0d69ed7a5958c3d3".to_owned()));
    let second = read(include_str!("testdata/v2_own.json"));
    assert_eq!(marks(&written(&second, &v2::DOCUMENT)), (670, "462be5e462468bc5".to_owned()));
}

#[test]
fn published_documents_are_gnostics_bytes() {
    let folder = tests::upstream::published();
    let mut wrong = Vec::new();
    for line in include_str!("testdata/published.tsv").lines() {
        let [file, len, hash] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let is_third = file != "swagger.json";
        let path = if is_third { folder.join("v3").join(file) } else { folder.join(file) };
        let document = tests::upstream::read(path);
        let (form, sink) = if is_third { (&v3::DOCUMENT, Proto::v3()) } else { (&v2::DOCUMENT, Proto::v2()) };
        let known = (len.parse().expect("a number"), hash.to_owned());
        for bytes in [written(&document, form), poured(&document, sink)] {
            if marks(&bytes) != known {
                wrong.push(format!("{file}: {:?} for {known:?}", marks(&bytes)));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn pieces_stand_by_their_numbers_whenever_they_come() {
    let document = read(include_str!("testdata/v2_own.json"));
    assert!(document.at("security").as_array().is_some(), "its number is below that of what comes before it");
    assert_eq!(poured(&document, Proto::v2()), written(&document, &v2::DOCUMENT));
    let mut sink = Proto::v3();
    sink.open("nothing");
    sink.put("lost", value!({"type": "string"}));
    sink.close();
    sink.put("openapi", "3.0.0".into());
    assert_eq!(sink.finish(), b"\x0a\x053.0.0", "what no row knows is not written");
}

/// What a document says that no row writes.
fn unwritten(place: &str, value: &Value, form: &'static Form, found: &mut Vec<String>) {
    match form {
        Form::Each(form) => value.items().iter().for_each(|item| unwritten(place, item, form, found)),
        Form::OneOf(rows) => {
            let row = rows.iter().find(|(fit, _)| fit.is_fit(value));
            row.into_iter().for_each(|(_, field)| unwritten(place, value, field.form, found));
        }
        Form::Message([field]) if matches!(field.pick, Pick::Whole) => unwritten(place, value, field.form, found),
        Form::Message(fields) => {
            for (name, member) in value.members() {
                let place = format!("{place}/{name}");
                let is_it = |pick: &Pick| match pick {
                    Pick::Member(member) => *member == name,
                    Pick::Named(is_one) => is_one(name),
                    Pick::Whole => true,
                };
                match fields.iter().find(|field| is_it(&field.pick)) {
                    Some(field) => unwritten(&place, member, field.form, found),
                    None => found.push(place),
                }
            }
        }
        _ => {}
    }
}

#[test]
fn nothing_that_a_document_says_is_left_out() {
    let catalog = tests::catalog("api/all=true");
    let settings = Settings { version: "1.37".into(), enums: true, cbor: true };
    let mut found = Vec::new();
    for path in index(&catalog) {
        let document = tests::tree3(&catalog, &settings, &path, &Silent).expect("the index tells the truth");
        unwritten(&path, &document, &v3::DOCUMENT, &mut found);
    }
    unwritten("v2", &tests::tree2(&catalog, &settings), &v2::DOCUMENT, &mut found);
    assert!(found.is_empty(), "{:#?}", found.iter().take(20).collect::<Vec<_>>());
    unwritten("x", &value!({"components": {"schemas": {"A": {"items": {"strange": 1}}}}}), &v3::DOCUMENT, &mut found);
    assert_eq!(found, ["x/components/schemas/A/items/strange"]);
}
