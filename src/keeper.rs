//! Programs of others that end with this process, whatever ends that.
//!
//! A process that was killed cannot stop its children, but its pipes close. So a shell stands between, which leads a process group of
//! its own, and waits for that: then all that the program started ends with it, too.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Runs the program that its arguments name, behind the directory to remove in the end if it is empty. What waits for the other end of
/// stdin stays until nobody holds that any more, after the program too: then it ends the whole group, at once where it can be, by
/// force after 3 s. Neither shell holds the program's output.
const SCRIPT: &str = r#"
directory=$1; shift
exec 3<&0
"$@" </dev/null 3<&- & program=$!
exec >/dev/null 2>&1
# Of this group only the program and what it started are to heed it.
trap '' TERM
{
    read -r _ <&3
    kill -TERM 0
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do
        sleep 0.1
        kill -0 $$ || break
    done
    [ -z "$directory" ] || rmdir "$directory"
    kill -KILL 0
} &
exec 3<&-
wait "$program"
"#;

/// A command for `program` with those arguments. Its stdin is the lifeline: the program and all that it started end when that is
/// closed, which its owner does once the program has ended, too. Its status is the program's.
///
/// `scratch` is a directory that is removed in the end where this process could not do it.
pub fn command(program: &OsStr, arguments: impl IntoIterator<Item: AsRef<OsStr>>, scratch: Option<&Path>) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", SCRIPT, "sh"]).arg(scratch.unwrap_or(Path::new(""))).arg(program).args(arguments);
    command.stdin(Stdio::piped());
    // Ctrl-C in a terminal reaches the whole group, and what is kept may have to outlast it for a while.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command
}

/// The program of this name on the PATH.
pub fn find(program: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).map(|folder| folder.join(program)).find(|path| is_program(path))
}

#[cfg(unix)]
fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(path: &Path) -> bool {
    path.is_file()
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead as _, BufReader, Read as _};

    fn keep(program: &str, arguments: &[&str]) -> std::process::Child {
        command(program.as_ref(), arguments, None).stdout(Stdio::piped()).spawn().unwrap()
    }

    #[test]
    fn a_program_that_ends_has_its_status_and_nobody_holds_its_output_after_it() {
        let mut child = keep("sh", &["-c", "echo said; exit 7"]);
        let lifeline = child.stdin.take();
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), &*output.stdout), (Some(7), &b"said\n"[..]));
        drop(lifeline);
    }

    #[test]
    fn a_program_ends_with_its_lifeline() {
        let mut child = keep("sleep", &["1000"]);
        drop(child.stdin.take());
        // 128 and the number of SIGTERM.
        assert_eq!(child.wait_with_output().unwrap().status.code(), Some(143));
    }

    #[test]
    fn what_a_program_started_ends_with_its_lifeline_whether_it_wants_to_or_the_program_is_there() {
        for end in ["exit", "wait"] {
            let mut child = keep("sh", &["-c", &format!("(trap '' TERM; echo on; sleep 1000) & {end}")]);
            let mut stdout = BufReader::new(child.stdout.take().unwrap());
            let mut line = String::new();
            stdout.read_line(&mut line).unwrap();
            assert_eq!(line, "on\n");
            drop(child.stdin.take());
            child.wait().unwrap();
            // It ends when all who could write to it have ended.
            stdout.read_to_string(&mut line).unwrap();
        }
    }

    #[test]
    fn a_file_of_its_name_that_nobody_may_run_is_no_program() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("docker");
        std::fs::write(&path, "").unwrap();
        assert!(!is_program(&path) && !is_program(folder.path()) && is_program(Path::new("/bin/ls")));
    }
}
