//! Compiles the definitions with a protobuf compiler in Rust: nothing has to be installed.

use std::error::Error;
use std::path::PathBuf;

/// Every file of the interface.
const FILES: [&str; 11] = [
    "starbridge/control/v1/access.proto",
    "starbridge/control/v1/audit.proto",
    "starbridge/control/v1/backfill.proto",
    "starbridge/control/v1/connection.proto",
    "starbridge/control/v1/dead_letter.proto",
    "starbridge/control/v1/doubt.proto",
    "starbridge/control/v1/flow.proto",
    "starbridge/control/v1/reconciliation.proto",
    "starbridge/control/v1/record.proto",
    "starbridge/control/v1/replay.proto",
    "starbridge/control/v1/system.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=starbridge");
    let mut compiler = protox::Compiler::new(["."])?;
    compiler.include_imports(true).include_source_info(true).open_files(FILES)?;
    #[expect(clippy::disallowed_methods, reason = "cargo tells a build script its folder in no other way")]
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo gives OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;
    tonic_prost_build::configure().compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
