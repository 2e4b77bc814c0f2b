//! What shellcheck says of a stage's scripts.

#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::path::Path;
use std::process::Command;

use tracelab::keeper::find;

use crate::required::required;

/// It finds nothing in `lib.sh` and these scripts of a folder, nor in what they read.
pub fn assert_clean(folder: &str, scripts: &[&str]) {
    if find("shellcheck").is_none() {
        assert!(!required("shellcheck"), "TRACELAB_REQUIRE names shellcheck, but it is not on the PATH");
        eprintln!("skipped: there is no shellcheck (Debian: apt-get install shellcheck)");
        return;
    }
    let output = Command::new("shellcheck")
        .args(["--shell", "sh", "--external-sources", "--source-path", "SCRIPTDIR", "lib.sh"])
        .args(scripts)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
