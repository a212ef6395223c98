//! Embeds the project's own source files: the default input of a run, the same for everybody who
//! builds the same commit.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Folders whose files are embedded, relative to the workspace.
const FOLDERS: [&str; 5] = [
    "device-model/regs/src",
    "device-model/src",
    "dma/src",
    "driver/src",
    "framework/src",
];

fn main() -> io::Result<()> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = Vec::new();
    for folder in FOLDERS {
        println!("cargo::rerun-if-changed=../{folder}");
        collect(&workspace.join(folder), &mut files)?;
    }
    files.sort();
    let mut code = String::from("pub(super) const FILES: &[&[u8]] = &[\n");
    for file in &files {
        let path = file.canonicalize()?;
        writeln!(code, "    include_bytes!({path:?}),").expect("writing to a string");
    }
    code.push_str("];\n");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    fs::write(out.join("project_files.rs"), code)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
