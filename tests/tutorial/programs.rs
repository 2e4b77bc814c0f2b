//! The programs that a learner's commands find on the machine of a [`super::stage::Stage`].
//!
//! `tracelab` is the one under test. `cargo run` runs what `cargo test` has built already: the book is tested, not Cargo. What is done
//! once before the first chapter (`git clone`, `cargo install`) does nothing, since it is done.

#![allow(dead_code, reason = "the bench that includes this uses a part of it")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Set where the learner has done the chapter's exercise.
pub const SOLVED: &str = "BOOK_SOLVED";

const TRACELAB: &str = r#"#!/bin/sh
# The backend is inside `up`; all others are told where it is.
case "$1" in up|backend) unset TRACELAB_JAEGER OTEL_EXPORTER_OTLP_ENDPOINT;; esac
exec @TRACELAB@ "$@"
"#;

const CARGO: &str = r#"#!/bin/sh
set -eu
command=$1
shift
case "$command" in
  build) exit 0;;
  install) [ "$*" = "--path . --locked" ] && exit 0;;
  run)
    example=
    while [ $# -gt 0 ]; do
      case "$1" in
        -q|--quiet|-r|--release|--locked) shift;;
        --example) example=$2; shift 2;;
        --) shift; break;;
        *) break;;
      esac
    done
    [ -n "$example" ] || exec tracelab "$@"
    solution=@EXAMPLES@/$example-solution
    if [ -n "${BOOK_SOLVED:-}" ] && [ -x "$solution" ]; then exec "$solution" "$@"; fi
    exec "@EXAMPLES@/$example" "$@";;
esac
echo "the book's cargo knows no such command: $command $*" >&2
exit 101
"#;

const GIT: &str = r#"#!/bin/sh
[ "$1" = clone ] && exit 0
echo "the book is read in a clone without history: git $*" >&2
exit 128
"#;

/// Puts them into a folder, which is to be the first on the PATH.
pub fn install(folder: &Path) {
    let tracelab = env!("CARGO_BIN_EXE_tracelab");
    for (name, script) in [("tracelab", TRACELAB), ("cargo", CARGO), ("git", GIT)] {
        let script = script.replace("@TRACELAB@", tracelab).replace("@EXAMPLES@", examples().to_str().unwrap());
        let path = folder.join(name);
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    // Debian's packages are for Debian's own; another may come first in PATH.
    let python = Path::new("/usr/bin/python3");
    if python.exists() {
        std::os::unix::fs::symlink(python, folder.join("python3")).unwrap();
    }
}

/// Where Cargo puts the examples: beside the folder of this test's own program.
fn examples() -> PathBuf {
    std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().join("examples")
}

/// Fails where an example is not built, or its source is newer: `cargo test` builds them all, `cargo test --test tutorial` does not.
pub fn assert_built(name: &str, source: &Path) {
    let changed = |path: &Path| path.metadata().and_then(|metadata| metadata.modified());
    let built = changed(&examples().join(name));
    let fresh = built.is_ok_and(|built| changed(source).is_ok_and(|source| source <= built));
    assert!(fresh, "example {name} is not built, or not of {} as it is: run `cargo build --examples`", source.display());
}
