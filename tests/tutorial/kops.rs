//! What chapter 17 shows of the kops stage's scripts is what they print, to the last price: they run here among programs that say
//! what the real ones would, as far as the chapter shows it.

use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use super::console::Page;
use super::root;

/// Nothing of the cluster is there, and AWS has all that is asked for.
const PLAYED: [(&str, &str); 3] = [
    ("kops", "\"version --short\") echo 1.36.2 ;;\n\"get cluster \"*) echo 'Error: cluster not found' >&2; exit 1 ;;"),
    (
        "aws",
        r#""sts get-caller-identity"*) echo 123456789012 ;;
"s3api head-bucket"* | "ec2 describe-availability-zones"* | "resourcegroupstaggingapi get-resources"* | "iam list-roles"*) ;;
"ec2 describe-instance-type-offerings"*) exit 1 ;;
"s3 ls"*) exit 1 ;;"#,
    ),
    ("kubectl", r#""kustomize "*) printf 'apiVersion: v1\nkind: Service\nmetadata:\n  name: door\n' ;;"#),
];

struct Machine(TempDir);

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        for (name, answers) in PLAYED {
            let path = bin.join(name);
            let text = format!(
                "#!/bin/sh\ncase \"$*\" in\n{answers}\n*) echo \"{name} was not expected to be asked: $*\" >&2; exit 64 ;;\nesac\n"
            );
            std::fs::write(&path, text).unwrap();
            assert!(Command::new("chmod").arg("+x").arg(path).status().unwrap().success());
        }
        for stage in ["kops", "kind", "compose"] {
            let copied = Command::new("cp").arg("-R").arg(root().join(stage)).arg(folder.path()).status().unwrap();
            assert!(copied.success());
        }
        Self(folder)
    }

    /// Runs a script with the chapter's variables, and answers no where it asks.
    fn run(&self, script: &str, variables: &[(&str, &str)]) -> Output {
        let path = format!("{}:{}", self.0.path().join("bin").display(), std::env::var("PATH").unwrap());
        let mut command = Command::new(self.0.path().join(script));
        command.current_dir(self.0.path()).env("PATH", path).stdin(Stdio::null()).envs(variables.iter().copied());
        command.output().unwrap()
    }
}

fn page() -> Page {
    Page::read(&root().join("tutorial/17-kops/README.md"))
}

/// What the page shows below this command, without what is left out.
fn shown(page: &Page, command: &str) -> Vec<String> {
    let found = page.blocks.iter().flat_map(|block| &block.commands).find(|known| known.text == command);
    let found = found.unwrap_or_else(|| panic!("{} does not show {command}", page.path.display()));
    found.shown.iter().filter(|line| line.trim() != "…").cloned().collect()
}

/// What the page has its reader export, with something in the place of words in capitals.
fn variables(page: &Page) -> Vec<(String, String)> {
    let commands = page.blocks.iter().flat_map(|block| &block.commands);
    let exported = commands.filter_map(|command| command.text.strip_prefix("export ")).flat_map(str::split_whitespace);
    let pairs = exported.filter_map(|word| word.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.replace("BUCKET", "a-bucket"))).collect()
}

#[test]
fn what_the_cluster_is_and_costs_is_what_the_script_says_before_it_asks() {
    let page = page();
    let exported = variables(&page);
    let mut variables: Vec<_> = exported.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    // There is no Docker here, and nothing is pushed.
    variables.retain(|(name, _)| *name != "TRACELAB_REGISTRY");
    variables.push(("TRACELAB_IMAGE", "registry.example/tracelab:0.1.0"));
    let output = Machine::new().run("kops/up", &variables);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "nobody is there to say yes, and so nothing is made: {said}");
    let lines: Vec<_> = said.lines().collect();
    let shown = shown(&page, "kops/up");
    let (question, plan) = shown.split_last().unwrap();
    assert!(plan.iter().any(|line| line.contains("USD")), "the chapter says what it costs: {plan:?}");
    for line in plan {
        assert!(lines.contains(&line.as_str()), "kops/up prints no line {line:?} before it asks, but:\n{said}");
    }
    let question = question.strip_suffix(" [y/N]").unwrap_or(question);
    assert!(said.contains(question), "kops/up does not ask {question:?}:\n{said}");
}

#[test]
fn that_nothing_is_left_is_what_the_script_says() {
    let page = page();
    let exported = variables(&page);
    let variables: Vec<_> = exported.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let output = Machine::new().run("kops/down", &variables);
    let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}");
    let shown = shown(&page, "kops/down");
    let proof = shown.iter().filter(|line| line.contains("nothing is left") || line.contains("stay: they are yours"));
    let proof: Vec<_> = proof.map(|line| line.replace("BUCKET", "a-bucket")).collect();
    assert_eq!(proof.len(), 2, "the chapter ends with the proof: {shown:?}");
    for line in proof {
        assert!(said.lines().any(|printed| printed == line), "kops/down prints no line {line:?}, but:\n{said}");
    }
}

/// What it prints where a cluster answers: the words are its own, and the names somebody's.
#[test]
fn how_the_script_says_the_way_in_is_in_its_text() {
    let (page, script) = (page(), std::fs::read_to_string(root().join("kops/up")).unwrap());
    for words in [
        "the page: https://",
        "Jaeger:   https://",
        "login:    ",
        "password: ",
        "the certificate is signed by nobody, and your browser",
    ] {
        assert!(page.text.contains(words) && script.contains(words), "{words:?}");
    }
}
