//! The scripts of the kind stage among programs that say what the real ones would: `kind`, `kubectl`, `docker`, `curl` and a `sleep`
//! that takes no time, recorded. A copy of kind/ is what runs, so that tests do not meet in its `.stage`.

#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// What the scripts take from the system; a script that needs more fails here.
const TOOLS: [&str; 22] = [
    "awk", "basename", "cat", "chmod", "cp", "cut", "date", "dirname", "env", "grep", "head", "mkdir", "mktemp", "readlink", "rm",
    "sed", "sh", "sort", "tail", "tee", "tr", "wc",
];
/// Programs that are played.
const PLAYED: [(&str, &str); 5] = [("kind", KIND), ("kubectl", KUBECTL), ("docker", DOCKER), ("curl", "*) ;;"), ("sleep", "*) ;;")];

/// The cluster's state is a word in the file `node`: what Docker says of the container.
const KIND: &str = r#"
"version") echo 'kind v0.32.0 go1.26.3 linux/amd64' ;;
"get nodes --name "*) if [ -f node ]; then echo "$4-control-plane"; else echo "No kind nodes found for cluster \"$4\"." >&2; fi ;;
"create cluster --name "*" --wait 120s --config -"*) cat >config; echo running >node; echo 'Creating cluster' >&2; echo 'Set kubectl context to' >&2 ;;
"delete cluster --name "*) rm -f node present applied; echo "Deleting cluster \"$4\" ..." >&2 ;;
"load docker-image "*" --name "*) sed -n "s|^$3 |$3 |p" images >>present ;;
"export kubeconfig --name "*) ;;
"#;

/// `images` are lines of name and id that Docker has, `present` those that the node has.
const DOCKER: &str = r#"
"version --format {{.Server.Version}}") echo 28.5.2 ;;
"version --format {{.Server.Arch}}") echo amd64 ;;
"info --format {{.CgroupVersion}}") echo 2 ;;
"inspect --format {{.State.Status}} "*) cat node ;;
"image inspect --format {{.Id}} "*) awk -v it="$5" '$1 == it { print $2; found = 1 } END { exit !found }' images ;;
"image inspect "*) awk -v it="$3" '$1 == it { found = 1 } END { exit !found }' images ;;
"exec "*" crictl images --no-trunc") cat present 2>/dev/null | sed 's|^\([^/ ]*\) |library/\1 |; s|^\([^ ]*\):\([^: ]*\) |docker.io/\1 \2 |' ;;
"port "*" 30080/tcp") sed -n 's/.*30080, hostPort: \([0-9]*\).*/127.0.0.1:\1/p' config ;;
"port "*" 30686/tcp") sed -n 's/.*30686, hostPort: \([0-9]*\).*/127.0.0.1:\1/p' config ;;
"start "* | "unpause "*) echo running >node ;;
"ps --filter publish="*) ;;
"images --format "*) ;;
"tag "*) awk -v it="$2" -v new="$3" '$1 == it { print new, $2 }' images >more; cat more >>images ;;
"build "*)
  while [ $# -gt 0 ]; do case $1 in -t) tag=$2 ;; --iidfile) file=$2 ;; esac; shift; done
  echo "sha256:0123456789abcdef$tag" | tee "$file" | sed "s|^|$tag |" >>images ;;
"#;

/// What comes after the context and the namespace. `pods` says how many of 92 are ready, one look after the other.
const KUBECTL: &str = r#"
"config current-context") ;;
"get --raw /readyz") ;;
"get nodes --output "*Ready*) printf True ;;
"get nodes --selector tracelab/traced=true --output name") ;;
"get node "*" --output jsonpath={.status.capacity.pods}") sed -n 's/^ *maxPods: *//p' config ;;
"get deployments --selector tracelab/redeployed --output "*) cat redeployed 2>/dev/null ;;
"kustomize "*) cat stage.yaml ;;
"apply --filename "*) [ -f applied ] && word=unchanged || word=created; echo >applied; echo "deployment.apps/frontend $word" ;;
"api-resources --verbs=list,patch,delete --output name") printf 'configmaps\nsecrets\npods\nservices\ndeployments.apps\n' ;;
"get services,deployments.apps --selector app.kubernetes.io/part-of=tracelab --output go-template="*) cat there 2>/dev/null ;;
"get configmaps,secrets --selector app.kubernetes.io/part-of=tracelab --output go-template="*) cat maps 2>/dev/null ;;
"delete "*" --ignore-not-found --wait=false") ;;
"get deployments --selector app.kubernetes.io/component=service --output "*) printf 'dummy-0-0\ndummy-1-17\ndummy-2-29\n' ;;
"get deployments --selector app.kubernetes.io/name="*" --output "*) echo 'x|2|2|1|1|1|1' ;;
"get deployments --selector app.kubernetes.io/part-of=tracelab --output "*)
  ready=$(head -n 1 pods); [ "$(wc -l <pods)" -gt 1 ] && { sed 1d pods >rest; cat rest >pods; }
  echo "all|1|1|92|92|92|$ready" ;;
"get pods -l app.kubernetes.io/part-of=tracelab --output "*) cat troubles 2>/dev/null ;;
"get pods --output wide") printf 'NAME READY STATUS\nfrontend-5 1/1 Running\ndummy-1-17-9 0/1 Pending\n' ;;
"get pods --selector app.kubernetes.io/name="*) echo "${4#*=}-5d|${nothing:-}|$(cat version 2>/dev/null || echo v1)|tracelab:0.1.0|sha256:0123" ;;
"get events "*) echo 'dummy-1-17: FailedCreate: violates PodSecurity' ;;
"get deployment/frontend --output name") echo deployment.apps/frontend ;;
"get deployment/frontend --output jsonpath="*) printf tracelab:0.1.0 ;;
"patch deployment/"*) echo "$*" | sed -n 's|.*io/version": "\([^"]*\)".*|\1|p' >version; echo patched ;;
"logs "*) echo 'the end of a log' ;;
"rollout restart deployment --selector "*) ;;
"exec deployment/frontend --container frontend -- /tracelab mystery "*) ;;
"exec deployment/frontend --container frontend -- /tracelab load "*) echo '1000 calls' ;;
"exec deployment/frontend --container frontend -- /tracelab diagnose --json --start "*)
  echo '{"read":{"traces":1000,"spans":7000,"left_out":{}},"suspects":[{"cause":"sleep","service":"dummy-1-17","confidence":0.99},{"cause":"network","service":"dummy-0-3","callee":"dummy-1-3","confidence":0.1}]}' ;;
"exec deployment/frontend --container frontend -- /tracelab reveal --json") echo '{"cause":"sleep","service":"dummy-1-17","seed":1}' ;;
"exec "*" --container service -- /tracelab --version") echo 'tracelab 0.1.0' ;;
"#;

/// What kustomize makes of a stage, in short.
const STAGE: &str = "\
apiVersion: v1
kind: Service
metadata:
  name: frontend
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: frontend
spec:
  template:
    spec:
      containers:
      - image: tracelab:0.1.0
        name: frontend
      - args: []
        image: jaegertracing/jaeger:2.20.0
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: settings-new
";

/// A machine with its programs, and what is there.
pub struct Machine {
    directory: TempDir,
    variables: Vec<(String, String)>,
    /// Patterns of words that come before what a program says otherwise.
    says: Vec<(&'static str, String)>,
    missing: Vec<&'static str>,
}

/// What a script said and did.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
    /// Every command of kind, kubectl, docker and curl, as it was typed.
    pub commands: Vec<String>,
}

impl Machine {
    /// Where Docker has both images, and no cluster is there.
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        copy(&root.join("kind"), &directory.path().join("repository/kind"));
        for folder in ["bin", "tools", "world"] {
            std::fs::create_dir(directory.path().join(folder)).unwrap();
        }
        for tool in TOOLS {
            let Some(found) = tracelab::keeper::find(tool) else { continue };
            std::os::unix::fs::symlink(found, directory.path().join("tools").join(tool)).unwrap();
        }
        let machine = Self { directory, variables: Vec::new(), says: Vec::new(), missing: Vec::new() };
        machine.put("stage.yaml", STAGE);
        machine.put("images", "tracelab:0.1.0 sha256:ours\njaegertracing/jaeger:2.20.0 sha256:jaeger\n");
        machine.put("pods", "31\n61\n92\n");
        machine
    }

    /// With the cluster that `kind/up` made.
    pub fn with_stage() -> Self {
        let machine = Self::new();
        let ran = machine.run("up", &[]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        machine
    }

    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// From now on `program` does `shell` where its words are like `pattern`, both as a shell's `case` has them.
    pub fn when(mut self, program: &'static str, pattern: &str, shell: &str) -> Self {
        self.says.push((program, format!("{pattern}) {shell} ;;\n")));
        self
    }

    pub fn without(mut self, program: &'static str) -> Self {
        self.missing.push(program);
        self
    }

    /// A file of the played programs.
    pub fn put(&self, name: &str, text: &str) {
        std::fs::write(self.directory.path().join("world").join(name), text).unwrap();
    }

    pub fn world(&self, name: &str) -> String {
        std::fs::read_to_string(self.directory.path().join("world").join(name)).unwrap_or_default()
    }

    /// The copy of the repository, as far as the scripts look.
    pub fn repository(&self) -> PathBuf {
        self.directory.path().join("repository")
    }

    /// What `up` applies, and then what its variables say of it.
    pub fn stage(&self) -> String {
        let read = |name: &str| std::fs::read_to_string(self.repository().join("kind/.stage").join(name)).unwrap_or_default();
        read("kustomization.yaml") + &read("settings/kustomization.yaml")
    }

    /// Runs a script, and sees that it asked no program in a way that names no cluster.
    pub fn run(&self, script: &str, arguments: &[&str]) -> Ran {
        self.play();
        let _ = std::fs::remove_file(self.directory.path().join("world/calls"));
        // The smallest shell there is.
        let shell = tracelab::keeper::find("dash").unwrap_or_else(|| "sh".into());
        let path = std::env::join_paths(["bin", "tools"].map(|folder| self.directory.path().join(folder))).unwrap();
        let mut command = Command::new(shell);
        command.arg(self.repository().join("kind").join(script)).args(arguments).env_clear().env("PATH", path);
        command.env("WORLD", self.directory.path().join("world")).envs(self.variables.iter().cloned());
        let output = command.current_dir(self.directory.path()).stdin(Stdio::null()).output().unwrap();
        let ran = self.ran(&output);
        ran.names_the_cluster(self);
        ran
    }

    fn ran(&self, output: &Output) -> Ran {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ran {
            code: output.status.code().unwrap_or(-1),
            out: text(&output.stdout),
            err: text(&output.stderr),
            commands: self.world("calls").lines().map(str::to_owned).collect(),
        }
    }

    /// Writes the programs.
    fn play(&self) {
        for (program, ordinary) in PLAYED {
            let place = self.directory.path().join("bin").join(program);
            let _ = std::fs::remove_file(&place);
            if self.missing.contains(&program) {
                continue;
            }
            let special: String = self.says.iter().rev().filter(|(of, _)| *of == program).map(|(_, rule)| rule.as_str()).collect();
            let skip = if program == "kubectl" { "shift 4" } else { ":" };
            let record = if program == "sleep" {
                ":"
            } else {
                r#"echo "$0 $*" | tr '\n' ' ' | sed "s|.*/bin/||; s|  *$||" >>calls; echo >>calls"#
            };
            let script = format!(
                "#!/bin/sh\ncd \"$WORLD\" || exit 125\n{record}\n{skip}\ncase \"$*\" in\n{special}{ordinary}\n*) echo \"{program} $*\" >>unknown; \
                 echo \"nobody plays: {program} $*\" >&2; exit 125 ;;\nesac\n"
            );
            // Another process writes it: a file that this one has open is busy in whatever other tests start meanwhile.
            let write = r#"printf %s "$2" >"$1" && chmod 755 "$1""#;
            let written = Command::new("sh").args(["-c", write, "sh"]).arg(place).arg(script).status();
            assert!(written.unwrap().success());
        }
    }
}

impl Ran {
    #[track_caller]
    fn names_the_cluster(&self, machine: &Machine) {
        let unknown = machine.world("unknown");
        assert!(unknown.is_empty(), "nobody plays: {unknown}\n{}", self.err);
        let variable = |name: &str| machine.variables.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        let cluster = variable("TRACELAB_CLUSTER").unwrap_or_else(|| "tracelab".to_owned());
        let context = variable("TRACELAB_CONTEXT").unwrap_or_else(|| format!("kind-{cluster}"));
        for command in &self.commands {
            let words: Vec<_> = command.split_whitespace().collect();
            let good = match words[..] {
                ["kind", "version"] => true,
                ["kind", ..] => words.windows(2).any(|pair| pair == ["--name", &cluster]),
                ["kubectl", "--context", named, "--namespace", namespace, ..] => {
                    named == context && ["tracelab", "kube-system"].contains(&namespace)
                }
                ["kubectl", ..] => false,
                _ => true,
            };
            assert!(good, "{command:?} names no cluster");
        }
    }

    /// It ended with this code, and said all of these words.
    #[track_caller]
    pub fn says(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
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

fn short(command: &str) -> String {
    let words: Vec<_> = command.split(' ').collect();
    if words.len() > 5 && words[1] == "--context" { format!("kubectl {}", words[5..].join(" ")) } else { command.to_owned() }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        // What somebody's own stage left is none of a test's business.
        if entry.file_name() == ".stage" {
            continue;
        }
        let place = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &place)
        } else {
            std::fs::copy(entry.path(), &place).map(drop).unwrap()
        }
    }
}
