//! Every target takes real bytes and damaged ones, and stands in the list of what is fuzzed: what is only built where coverage is
//! counted falls behind unseen.

use std::{collections::BTreeSet, fs, path::Path};

type Target = (&'static str, fn(&[u8]));

/// By the name of the program in `fuzz/fuzz_targets`.
const TARGETS: &[Target] = &[
    ("apply", fuzzed::apply),
    ("attributes", fuzzed::attributes),
    ("audits", fuzzed::audits),
    ("authentication", fuzzed::authentication),
    ("authorization", fuzzed::authorization),
    ("bearer", fuzzed::bearer),
    ("cbor", fuzzed::cbor),
    ("certificates", fuzzed::certificates),
    ("chains", fuzzed::chains),
    ("encryption", fuzzed::encryption),
    ("expressions", fuzzed::expressions),
    ("fields", fuzzed::fields),
    ("impersonation", fuzzed::impersonation),
    ("issuers", fuzzed::issuers),
    ("json", fuzzed::json),
    ("kubeconfigs", fuzzed::kubeconfigs),
    ("kubelet", fuzzed::kubelet),
    ("manifests", fuzzed::manifests),
    ("negotiation", fuzzed::negotiation),
    ("patch", fuzzed::patch),
    ("protobuf", fuzzed::protobuf),
    ("proxied", fuzzed::proxied),
    ("questions", fuzzed::questions),
    ("requests", fuzzed::requests),
    ("reviews", fuzzed::reviews),
    ("schedules", fuzzed::schedules),
    ("schemas", fuzzed::schemas),
    ("selectors", fuzzed::selectors),
    ("spdy", fuzzed::spdy),
    ("stored", fuzzed::stored),
    ("texts", fuzzed::texts),
    ("tokens", fuzzed::tokens),
    ("tunnels", fuzzed::tunnels),
    ("ways", fuzzed::ways),
    ("websocket", fuzzed::websocket),
    ("yaml", fuzzed::yaml),
];

fn place(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

#[test]
fn every_target_is_a_program() {
    let files = fs::read_dir(place("fuzz/fuzz_targets")).expect("it is there");
    let files: BTreeSet<String> = files
        .map(|file| file.expect("it can be read").path().file_stem().expect("a name").to_string_lossy().into_owned())
        .collect();
    let listed: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(files, listed);
    let manifest = fs::read_to_string(place("fuzz/Cargo.toml")).expect("it is there");
    for name in listed {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name} is not built");
    }
}

/// Documents of many kinds, and texts that are something to one of the targets.
fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> =
        ["", "{}", "a in (b),c!=d", "metadata.name=x", "self.spec.replicas > 1 && has(self.a)"]
            .iter()
            .map(|text| text.as_bytes().to_vec())
            .collect();
    seeds.push([&b"{\"a\":[1,2]}\0"[..], b"[{\"op\":\"copy\",\"from\":\"/a\",\"path\":\"/b\"}]"].concat());
    seeds.push(vec![0x80, 3, 0, 1, 0, 0, 0, 10, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    seeds.push(vec![0xd9, 0xd9, 0xf7, 0xa1, 0x41, 0x61, 0x82, 1, 0xf9, 0x3c, 0]);
    seeds.push(vec![0x82, 0x85, 1, 2, 3, 4, 0x69, 0x67, 0x6f, 0x68, 0x6e]);
    for file in fs::read_dir(place("conformance/samples")).expect("they are there") {
        let text = fs::read_to_string(file.expect("it can be read").path()).expect("it is text");
        seeds.extend(text.split("\n---\n").map(|document| document.as_bytes().to_vec()));
    }
    seeds
}

#[test]
fn every_target_takes_its_own_seeds_and_damaged_ones() {
    let mut named: BTreeSet<String> = fs::read_dir(place("fuzz/seeds"))
        .expect("they are there")
        .map(|folder| folder.expect("it can be read").file_name().to_string_lossy().into_owned())
        .collect();
    for (name, target) in TARGETS {
        if !named.remove(*name) {
            continue;
        }
        for file in fs::read_dir(place("fuzz/seeds").join(name)).expect("they are there") {
            let seed = fs::read(file.expect("it can be read").path()).expect("it can be read");
            target(&seed);
            // At some places each byte is another, and the text ends.
            for at in (0..seed.len()).step_by(seed.len() / 40 + 1) {
                target(&seed[..at]);
                let mut damaged = seed.clone();
                damaged[at] ^= 0x15;
                target(&damaged);
            }
        }
    }
    assert!(named.is_empty(), "these are seeds of nothing: {named:?}");
}

#[test]
fn every_target_takes_real_bytes_and_damaged_ones() {
    let mut chosen: u16 = 0;
    for seed in seeds() {
        // The first two bytes choose a kind; all of them come by.
        chosen = chosen.wrapping_add(7);
        let mut bytes = [&chosen.to_be_bytes(), &seed[..]].concat();
        let middle = bytes.len() / 2;
        for (_, target) in TARGETS {
            target(&seed);
            target(&bytes);
            target(&bytes[..middle]);
        }
        bytes[middle] ^= 0x55;
        TARGETS.iter().for_each(|(_, target)| target(&bytes));
    }
}
