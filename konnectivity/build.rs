//! Makes the messages, the client and the server of konnectivity out of the declarations in `proto/`.

#![allow(clippy::print_stdout)]

fn main() {
    println!("cargo:rerun-if-changed=proto");
    tonic_prost_build::configure()
        .bytes(".")
        .compile_protos(&["proto/client.proto"], &["proto"])
        .expect("protoc is there and the declarations are upstream's");
}
