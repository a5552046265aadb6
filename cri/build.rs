//! Makes the messages and the client of CRI v1 out of the declarations in `proto/`.

#![allow(clippy::print_stdout)]

fn main() {
    println!("cargo:rerun-if-changed=proto");
    tonic_prost_build::configure()
        .build_server(false)
        .btree_map(".")
        .compile_protos(&["proto/cri.proto"], &["proto"])
        .expect("protoc is there and the declarations are upstream's");
}
