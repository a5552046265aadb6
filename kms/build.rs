//! Makes the messages, the client and the server of KMS v2 out of the declarations in `proto/`.

#![allow(clippy::print_stdout)]

fn main() {
    println!("cargo:rerun-if-changed=proto");
    tonic_prost_build::configure()
        .btree_map(".")
        .bytes(".")
        // A derived one would print keys.
        .skip_debug([".v2.EncryptRequest", ".v2.DecryptResponse"])
        .compile_protos(&["proto/kms.proto", "proto/object.proto"], &["proto"])
        .expect("protoc is there and the declarations are upstream's");
}
