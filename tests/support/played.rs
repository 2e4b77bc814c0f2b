//! Scripts of the repository among programs that say what the real ones would, recorded. What runs is a copy of the folders that a
//! script reads, so that tests do not meet in what it writes.

#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]
#![allow(dead_code, reason = "each test crate compiles its own copy")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// Who plays in a test, and where.
pub struct Cast {
    /// The folder of the scripts.
    pub folder: &'static str,
    /// What of the repository is there beside it.
    pub beside: &'static [&'static str],
    /// What the scripts take from the system; a script that needs more fails here.
    pub tools: &'static [&'static str],
    /// Programs that are played, with what they do: patterns and commands of a shell's `case`.
    pub programs: &'static [(&'static str, &'static str)],
    /// Whether what was done names the cluster that it is meant for.
    pub judge: fn(&Machine, &[&str]) -> bool,
}

/// A machine with its programs, and what is there.
pub struct Machine {
    cast: &'static Cast,
    directory: TempDir,
    variables: Vec<(String, String)>,
    /// Patterns of words that come before what a program says otherwise.
    says: Vec<(&'static str, String)>,
    missing: Vec<&'static str>,
    input: Option<String>,
    /// The shell, and what comes before the script's name.
    shell: Vec<String>,
}

/// What a script said and did.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
    /// Every command of the played programs, as it was typed, but for `sleep`.
    pub commands: Vec<String>,
}

impl Machine {
    pub fn of(cast: &'static Cast) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for folder in std::iter::once(&cast.folder).chain(cast.beside) {
            copy(&root.join(folder), &directory.path().join("repository").join(folder));
        }
        for folder in ["bin", "tools", "world"] {
            std::fs::create_dir(directory.path().join(folder)).unwrap();
        }
        for tool in cast.tools {
            let Some(found) = tracelab::keeper::find(tool) else { continue };
            std::os::unix::fs::symlink(found, directory.path().join("tools").join(tool)).unwrap();
        }
        // The smallest shell there is.
        let shell = tracelab::keeper::find("dash").map_or_else(|| "sh".to_owned(), |path| path.display().to_string());
        let (variables, says, missing) = (Vec::new(), Vec::new(), Vec::new());
        Self { cast, directory, variables, says, missing, input: None, shell: vec![shell] }
    }

    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn unset(mut self, name: &str) -> Self {
        self.variables.retain(|(known, _)| known != name);
        self
    }

    pub fn variable(&self, name: &str) -> Option<String> {
        self.variables.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    }

    /// From now on `program` does `shell` where its words are like `pattern`, both as a shell's `case` has them.
    pub fn when(mut self, program: &'static str, pattern: &str, shell: &str) -> Self {
        self.says.push((program, format!("{pattern}) {shell} ;;\n")));
        self
    }

    /// Every program does again what it ordinarily does.
    pub fn recovered(mut self) -> Self {
        self.says.clear();
        self
    }

    pub fn without(mut self, program: &'static str) -> Self {
        self.missing.push(program);
        self
    }

    pub fn with(mut self, program: &'static str) -> Self {
        self.missing.retain(|missing| *missing != program);
        self
    }

    /// What somebody types.
    pub fn typing(mut self, input: &str) -> Self {
        self.input = Some(input.to_owned());
        self
    }

    /// Nobody is there from now on.
    pub fn alone(mut self) -> Self {
        self.input = None;
        self
    }

    /// A file of the played programs.
    pub fn put(&self, name: &str, text: &str) {
        std::fs::write(self.directory.path().join("world").join(name), text).unwrap();
    }

    pub fn remove(&self, name: &str) {
        let _ = std::fs::remove_file(self.directory.path().join("world").join(name));
    }

    pub fn world(&self, name: &str) -> String {
        std::fs::read_to_string(self.directory.path().join("world").join(name)).unwrap_or_default()
    }

    /// The copy of the repository, as far as the scripts look.
    pub fn repository(&self) -> PathBuf {
        self.directory.path().join("repository")
    }

    /// What scripts and programs have written so far: for `resume` of another machine of the same cast.
    pub fn written(&self, folders: &[&str]) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        for folder in folders {
            walk(&self.directory.path().join(folder), &mut |path| {
                files.push((path.strip_prefix(self.directory.path()).unwrap().to_owned(), std::fs::read(path).unwrap()));
            });
        }
        files
    }

    pub fn resume(&self, files: &[(PathBuf, Vec<u8>)]) {
        for (path, content) in files {
            let place = self.directory.path().join(path);
            std::fs::create_dir_all(place.parent().unwrap()).unwrap();
            std::fs::write(place, content).unwrap();
        }
    }

    /// Runs a script of the folder, and sees that it asked no program in a way that names no cluster.
    pub fn run(&self, script: &str, arguments: &[&str]) -> Ran {
        self.play();
        self.remove("calls");
        let path = std::env::join_paths(["bin", "tools"].map(|folder| self.directory.path().join(folder))).unwrap();
        let mut command = Command::new(&self.shell[0]);
        command.args(&self.shell[1..]).arg(self.repository().join(self.cast.folder).join(script)).args(arguments);
        command.env_clear().env("PATH", path).env("WORLD", self.directory.path().join("world"));
        command.envs(self.variables.iter().cloned()).current_dir(self.directory.path());
        command.stdin(if self.input.is_some() { Stdio::piped() } else { Stdio::null() });
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        if let Some(input) = &self.input {
            // A script that asks nothing has perhaps ended.
            let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        }
        let output = child.wait_with_output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let ran = Ran {
            code: output.status.code().unwrap_or(-1),
            out: text(&output.stdout),
            err: text(&output.stderr),
            commands: self.world("calls").lines().map(str::to_owned).collect(),
        };
        let unknown = self.world("unknown");
        assert!(unknown.is_empty(), "nobody plays: {unknown}\n{}", ran.err);
        for command in &ran.commands {
            let words: Vec<_> = command.split_whitespace().collect();
            assert!((self.cast.judge)(self, &words), "{command:?} names no cluster");
        }
        ran
    }

    /// Writes the programs.
    fn play(&self) {
        let folder = self.directory.path().join("bin");
        // Another process writes them: a file that this one has open is busy in whatever other tests start meanwhile.
        let mut write = Command::new("sh");
        write.args([
            "-c",
            r#"cd "$1" && rm -f ./* && while shift && [ $# -gt 1 ]; do printf %s "$2" >"$1"; shift; done && chmod 755 ./*"#,
            "sh",
        ]);
        write.arg(folder);
        for (program, ordinary) in self.cast.programs.iter().filter(|(program, _)| !self.missing.contains(program)) {
            let special: String = self.says.iter().rev().filter(|(of, _)| of == program).map(|(_, rule)| rule.as_str()).collect();
            write.arg(program).arg(format!(
                "#!/bin/sh\ncd \"$WORLD\" || exit 125\n{}\n{}\ncase \"$*\" in\n{special}{ordinary}\n*) echo \"{program} $*\" >>unknown; \
                 echo \"nobody plays: {program} $*\" >&2; exit 125 ;;\nesac\n",
                if *program == "sleep" { ":" } else { RECORD },
                if *program == "kubectl" { SHIFT } else { ":" },
            ));
        }
        assert!(write.status().unwrap().success());
    }
}

/// A line for each command, whatever lines its words have.
const RECORD: &str = r#"case "$*" in
*'
'*) printf '%s ' "${0##*/} $*" | tr '\n' ' ' | sed 's|  *$||' >>calls; echo >>calls ;;
*) printf '%s\n' "${0##*/} $*" >>calls ;;
esac"#;

/// What kubectl is told first.
const SHIFT: &str =
    r#"while :; do case "${1:-}" in --context | --namespace | --request-timeout) shift 2 ;; *) break ;; esac; done"#;

impl Ran {
    /// It ended with this code, and said all of these words.
    #[track_caller]
    pub fn says(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{}{}\n{:#?}", self.out, self.err, self.commands);
        for word in words {
            assert!(self.out.contains(word) || self.err.contains(word), "{word:?} is missing: {}{}", self.out, self.err);
        }
    }

    /// Commands that begin so, without what kubectl is told first.
    pub fn of(&self, begin: &str) -> Vec<&str> {
        self.commands.iter().map(String::as_str).filter(|command| short(command).starts_with(begin)).collect()
    }

    /// Whether a command has these words.
    pub fn did(&self, words: &str) -> bool {
        self.commands.iter().any(|command| command.contains(words))
    }
}

/// A command without what kubectl is told first.
pub fn short(command: &str) -> String {
    let mut words: Vec<_> = command.split(' ').collect();
    while words.first() == Some(&"kubectl")
        && words.get(1).is_some_and(|word| ["--context", "--namespace", "--request-timeout"].contains(word))
    {
        words.drain(1..words.len().min(3));
    }
    words.join(" ")
}

pub fn copy(from: &Path, to: &Path) {
    if from.is_file() {
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(from, to).map(drop).unwrap();
        return;
    }
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        // What somebody's own stage left is none of a test's business.
        if entry.file_name() != ".stage" {
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    }
}

/// Every file below a folder, but for what links lead to.
pub fn walk(folder: &Path, see: &mut dyn FnMut(&Path)) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            walk(&entry.path(), see);
        } else if kind.is_file() {
            see(&entry.path());
        }
    }
}
