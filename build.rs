//! Compresses the files of the pages, each by itself: as they are they would be the greatest part of the binary that is not code.
//! `src/assets` sends them on as they are made here.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

const FOLDERS: [&str; 3] = ["src/assets/common", "src/backend/pages", "src/frontend/page"];

fn main() -> io::Result<()> {
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo says where"));
    for folder in FOLDERS {
        println!("cargo::rerun-if-changed={folder}");
        pack(Path::new(folder), &out)?;
    }
    Ok(())
}

/// `{folder}/a.js` becomes `{out}/{folder}/a.js.gz`, without a time, so that the same files make the same binary.
fn pack(folder: &Path, out: &Path) -> io::Result<()> {
    fs::create_dir_all(out.join(folder))?;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            pack(&path, out)?;
        } else if path.extension().is_some_and(|extension| extension != "rs") {
            let mut packed = GzEncoder::new(Vec::new(), Compression::best());
            packed.write_all(&fs::read(&path)?)?;
            fs::write(out.join(format!("{}.gz", path.display())), packed.finish()?)?;
        }
    }
    Ok(())
}
