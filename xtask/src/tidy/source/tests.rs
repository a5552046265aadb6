//! The lexer on the corners of Rust's grammar that would make the laws lie.

use super::{Function, Source};

fn source(text: &str) -> Source {
    Source::new("store/src/lib.rs", text.to_owned())
}

#[test]
fn comments_and_strings_are_no_code() {
    let source =
        source("let a = \"pods\"; // pods\nlet b = r#\"a \"quoted\" pod\"#; /* a /* nested */ pod */ let c = 'p';\n");
    assert!(!source.code.contains("pod"), "{}", source.code);
    assert!(source.code.contains("let c = ' ';"), "{}", source.code);
    assert_eq!(source.strings, [(1, "pods".to_owned()), (2, "a \"quoted\" pod".to_owned())]);
}

#[test]
fn lifetimes_and_escapes_do_not_open_a_literal() {
    let source = source("fn f<'a>(x: &'a str) -> char { '\\'' }\nfn g() { h(\"a\\\"b\", '\"'); }\n");
    let names: Vec<_> = source.functions().into_iter().map(|function| function.name).collect();
    assert_eq!(names, ["f", "g"]);
    assert_eq!(source.strings, [(2, "a\\\"b".to_owned())]);
}

#[test]
fn a_function_is_as_long_as_its_lines() {
    let source =
        source("trait T {\n    fn declared(x: [u8; 4]);\n    fn given() {\n        if true { {} }\n    }\n}\n");
    assert_eq!(source.functions(), [Function { name: "given".to_owned(), line: 3, len_lines: 3 }]);
}

#[test]
fn tests_are_told_from_the_rest() {
    let inline = source("fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n");
    assert_eq!([1, 4, 6].map(|line| inline.is_test(line)), [false, true, false]);
    let beside = source("fn a() {}\n#[cfg(test)]\nmod tests;\nfn c() {}\n");
    assert!(!beside.is_test(4));
    assert!(Source::new("store/src/log/tests.rs", String::new()).is_test(1));
}
