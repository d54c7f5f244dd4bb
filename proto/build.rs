//! Compiles the `.proto` files: with protox, so that nobody has to install `protoc`.

use std::error::Error;
use std::path::PathBuf;

const FILES: [&str; 6] = [
    "tessera/v1/generation.proto",
    "tessera/v1/profile_service.proto",
    "tessera/v1/identity_service.proto",
    "tessera/v1/segment_service.proto",
    "tessera/v1/behavior_service.proto",
    "tessera/v1/refresh_service.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?);
    let mut compiler = protox::Compiler::new([&folder])?;
    // Comments become the documentation of the generated types.
    compiler.include_imports(true).include_source_info(true);
    for file in FILES {
        compiler.open_file(folder.join(file))?;
        println!("cargo::rerun-if-changed={file}");
    }
    let descriptors = PathBuf::from(std::env::var("OUT_DIR")?).join("descriptors.bin");
    std::fs::write(descriptors, compiler.encode_file_descriptor_set())?;
    tonic_prost_build::configure().compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
