//! Compiles `proto/` (with protox: no protoc is needed) into messages, clients and servers, and writes the descriptor
//! set, options included, for reflection and for the permission layer.
//!
//! Fails for an RPC that does not say who may call it: a door nobody thought of must not exist.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;
use prost_reflect::DescriptorPool;

/// The access option of `proto/lhfile/v1/options.proto`.
const ACCESS: &str = "lhfile.v1.access";

#[expect(clippy::disallowed_methods, reason = "cargo tells a build script its folder by the environment")]
fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=proto");
    // Compiled into the binary by a macro that does not see new files.
    println!("cargo:rerun-if-changed=migrations");

    let mut files: Vec<PathBuf> =
        fs::read_dir("proto/lhfile/v1")?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    files.retain(|path| path.extension().is_some_and(|e| e == "proto"));
    files.sort();

    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true).open_files(&files)?;

    // Not `file_descriptor_set()`: prost-types knows no extensions and drops the options.
    compiler.include_source_info(false);
    let encoded = compiler.encode_file_descriptor_set();
    refuse_rpc_without_access(&encoded)?;
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("descriptor.bin"), &encoded)?;

    // With source info: the comments become the documentation of the generated code.
    compiler.include_source_info(true);
    let with_comments = prost_types::FileDescriptorSet::decode(compiler.encode_file_descriptor_set().as_slice())?;
    tonic_prost_build::configure()
        // Chunks are passed on, never copied.
        .bytes(".")
        // A header comes once, so that every chunk need not be as large as it.
        .boxed(".lhfile.v1.DownloadFileResponse.part.header")
        // Large beside the summary.
        .boxed(".lhfile.v1.RepairConsistencyResponse.told.repaired")
        .compile_fds(with_comments)?;
    Ok(())
}

/// Names every RPC that lacks the access option, or whose option opens no door at all.
fn refuse_rpc_without_access(descriptor_set: &[u8]) -> Result<(), Box<dyn Error>> {
    let pool = DescriptorPool::decode(descriptor_set)?;
    let access = pool.get_extension_by_name(ACCESS).ok_or("proto/lhfile/v1/options.proto declares no access option")?;
    let closed: Vec<String> = pool
        .services()
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .filter(|method| {
            let options = method.options();
            !options.has_extension(&access)
                || options.get_extension(&access).as_message().is_none_or(|m| m.fields().next().is_none())
        })
        .map(|method| method.full_name().to_owned())
        .collect();
    if closed.is_empty() {
        return Ok(());
    }
    Err(format!("no ({ACCESS}) option says who may call: {}", closed.join(", ")).into())
}
