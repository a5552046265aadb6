//! The laws of sets, and FieldsV1 there and back, on sets made from a seed.

use api::{Value, value};

use crate::apply::{
    Element, Path, Set,
    element::same,
    fields::{covers, decode, encode, touches},
    form::Form,
    merge::merge,
    set::Node,
};

/// A small generator: the same sets on every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn element(&mut self) -> Element {
        match self.roll(6) {
            0 => Element::key(vec![("b".into(), Value::Int(self.roll(3) as i64)), ("a".into(), value!("x<y"))]),
            1 => Element::Value(if self.roll(2) == 0 { value!("v") } else { Value::Int(self.roll(3) as i64) }),
            2 => Element::Index(self.roll(3) as i64),
            _ => Element::field(["a", "b", "c.d/e"][self.roll(3) as usize]),
        }
    }

    fn set(&mut self, depth: u64) -> Set {
        let len = self.roll(5);
        let node = |dice: &mut Dice| Node {
            element: dice.element(),
            member: dice.roll(2) == 0,
            below: if depth == 0 { Set::new() } else { dice.set(depth - 1) },
        };
        Set::of((0..len).map(|_| node(self)).collect())
    }
}

#[test]
fn sets_keep_the_laws() {
    let mut dice = Dice(7);
    for _ in 0..2_000 {
        let (a, b, c) = (dice.set(3), dice.set(3), dice.set(2));
        let (union, both) = (a.union(&b), a.intersection(&b));
        assert_eq!(union, b.union(&a));
        assert_eq!(both, b.intersection(&a));
        assert_eq!(a.union(&b.union(&c)), union.union(&c));
        assert_eq!(a.intersection(&b.union(&c)), both.union(&a.intersection(&c)));
        assert_eq!(a.difference(&b), a.difference(&both), "only what is shared goes");
        assert_eq!(a.difference(&b).union(&both), a);
        assert!(a.difference(&a).is_empty());
        assert_eq!(a.meets(&b), !both.is_empty());
        assert_eq!(a.is_within(&b), a.difference(&b).is_empty());
        assert!(both.is_within(&a) && a.is_within(&union));
        assert_eq!(union.len() + both.len(), a.len() + b.len());
        assert_eq!(a.recursive_difference(&b).intersection(&b), Set::new());
        assert!(a.leaves().difference(&a).is_empty());
        assert!(a.paths().iter().all(|p| a.has(p)) && a.paths().len() == a.len());
        let mut rebuilt = Set::new();
        a.paths().iter().for_each(|p| rebuilt.insert(p));
        assert_eq!(rebuilt, a);
    }
}

#[test]
fn sets_are_written_and_read_back() {
    let mut dice = Dice(11);
    for _ in 0..2_000 {
        let (a, b) = (dice.set(3), dice.set(2));
        let written = encode(&a);
        assert_eq!(decode(&written), Ok(a.clone()));
        assert_eq!(touches(&written, &b), !a.intersection(&b).is_empty());
        assert_eq!(covers(&written, &b), b.difference(&a).is_empty());
    }
}

#[test]
fn fields_are_written_in_upstreams_order() {
    let mut set = Set::new();
    let spec = Element::field("spec");
    for element in [
        Element::Index(2),
        Element::Value(value!("a&b")),
        Element::Value(value!(true)),
        Element::Value(Value::Int(10)),
        Element::Value(Value::Float(9.5)),
        Element::key(vec![("protocol".into(), value!("TCP")), ("containerPort".into(), value!(53))]),
        Element::field("z"),
    ] {
        set.insert(&Path(vec![spec.clone(), element]));
    }
    set.insert(&Path(vec![spec]));
    let written = r#"{"f:spec":{".":{},"f:z":{},"k:{\"containerPort\":53,\"protocol\":\"TCP\"}":{},"v:9.5":{},"v:10":{},"v:\"a\\u0026b\"":{},"v:true":{},"i:2":{}}}"#;
    assert_eq!(api::field::go_json(&encode(&set)), written);
}

#[test]
fn what_nobody_knows_is_left_out_and_what_is_malformed_refused() {
    let odd = value!({"f:a": {}, "x:later": {"f:b": {}}});
    assert_eq!(decode(&odd), Ok(Set::of_names(&["a"])));
    for bad in
        [value!({"a": {}}), value!({"nocolon": {}}), value!({"f:a": 1}), value!({"k:[1]": {}}), value!({"i:x": {}})]
    {
        assert!(decode(&bad).is_err(), "{bad:?}");
    }
}

/// Any two lists of named elements.
fn list(dice: &mut Dice) -> Value {
    let mut names: Vec<&str> = vec!["a", "b", "c", "d", "e"];
    names.retain(|_| dice.roll(2) == 0);
    for i in (1..names.len()).rev() {
        names.swap(i, dice.roll(i as u64 + 1) as usize);
    }
    names.into_iter().map(|name| value!({"name": name, "value": dice.roll(3).to_string()})).collect()
}

#[test]
fn a_merged_list_has_every_element_once_and_the_configurations_order() {
    let schemas = crate::builtin();
    let container = schemas.named("io.k8s.api.core.v1.Container").expect("core has containers");
    let form = Form::of_field(container.field("env").expect("containers have variables").1, schemas);
    let names = |v: &Value| v.items().iter().map(|e| e.str("name").to_string()).collect::<Vec<_>>();
    let mut dice = Dice(3);
    for _ in 0..5_000 {
        let (live, config) = (list(&mut dice), list(&mut dice));
        let merged = merge(form, &live, &config, schemas).expect("no element stands twice");
        let order = names(&merged);
        let mut sorted = order.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!(sorted.len(), order.len(), "{live:?} {config:?}");
        assert!(names(&live).iter().chain(&names(&config)).all(|n| order.contains(n)));
        let kept: Vec<_> = order.iter().filter(|n| names(&config).contains(n)).cloned().collect();
        assert_eq!(kept, names(&config));
        let again = merge(form, &merged, &config, schemas).expect("no element stands twice");
        assert!(same(&again, &merged), "a second apply changes nothing");
    }
}
