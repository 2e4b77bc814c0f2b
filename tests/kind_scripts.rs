//! The scripts of the kind stage: under shellcheck, among programs that say what the real ones would, and for real where those are.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the reason, which is what a test is for")]

#[path = "support/kind.rs"]
mod kind;
#[path = "support/required.rs"]
mod required;
#[path = "support/shellcheck.rs"]
mod shellcheck;

use std::path::Path;
use std::process::Command;

use kind::Machine;
use required::required;
use tracelab::keeper::find;

const SCRIPTS: [&str; 4] = ["up", "down", "check", "redeploy"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn shellcheck_finds_nothing() {
    shellcheck::assert_clean("kind", &SCRIPTS);
}

#[test]
fn every_script_explains_itself_and_refuses_what_it_does_not_know() {
    for script in SCRIPTS {
        for flag in ["-h", "--help"] {
            let ran = Machine::new().run(script, &[flag]);
            assert!(ran.out.starts_with(&format!("usage: kind/{script}")), "{}", ran.out);
            assert!(ran.out.contains("Exit codes: 0") && ran.err.is_empty() && ran.commands.is_empty(), "{script}: {}", ran.err);
            assert_eq!(ran.code, 0);
        }
        let ran = Machine::new().run(script, &["--loud"]);
        ran.says(2, &["--loud", &format!("kind/{script} --help")]);
        assert!(!ran.did("create"), "{:?}", ran.commands);
    }
}

#[test]
fn the_scripts_variables_are_none_that_tracelab_refuses() {
    let text: String =
        SCRIPTS.iter().chain(&["lib.sh"]).map(|name| std::fs::read_to_string(root().join("kind").join(name)).unwrap()).collect();
    let words = text.split(|sign: char| !(sign.is_ascii_uppercase() || sign == '_'));
    let names: std::collections::BTreeSet<_> = words.filter(|word| word.starts_with("TRACELAB_") && !word.ends_with('_')).collect();
    assert!(names.len() > 15, "{names:?}");
    for name in names {
        let output = Command::new(env!("CARGO_BIN_EXE_tracelab")).args(["manifest", "kubernetes"]).env(name, "1").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!said.contains("unknown key"), "{name}: {said}");
    }
}

#[test]
fn ci_jobs_call_the_check_with_a_kind_that_is_new_enough() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    let (workflow, jenkins) = (read(".github/workflows/kind.yml"), read("kind/Jenkinsfile"));
    assert!(workflow.contains(" kind/check\n") && jenkins.contains("sh 'kind/check'"));
    let version = workflow.lines().find_map(|line| line.trim().strip_prefix("version: ")).unwrap();
    let machine = Machine::new().when("kind", "version", &format!("echo 'kind {version} go1.26.3 linux/amd64'"));
    machine.run("up", &[]).says(0, &[]);
    assert!(read("kind/up").contains("-lt 32 ]") && read("README.md").contains("kind 0.32 or newer"));
}

#[test]
fn up_makes_cluster_and_stage_and_says_where_they_are() {
    let machine = Machine::new();
    let ran = machine.run("up", &[]);
    ran.says(
        0,
        &["the page: http://localhost:8080", "Jaeger:   http://localhost:16686", "31 of 92 pods ready", "92 of 92 pods ready"],
    );
    assert!(ran.out.starts_with("the page: "), "results only: {}", ran.out);
    assert_eq!(ran.of("kind create"), ["kind create cluster --name tracelab --wait 120s --config -"]);
    let config = machine.world("config");
    assert!(config.contains("maxPods: 250") && !config.contains("failCgroupV1"), "{config}");
    for image in ["tracelab:0.1.0", "jaegertracing/jaeger:2.20.0"] {
        assert!(ran.did(&format!("kind load docker-image {image} --name tracelab")), "{:?}", ran.commands);
    }
    let stage = machine.stage();
    assert!(stage.contains("components:\n  - ../components/jaeger\n  - ../components/node-ports\n"), "{stage}");
    assert!(!stage.contains("configMapGenerator") && !stage.contains("patches"), "{stage}");
    for address in ["http://localhost:8080/", "http://localhost:16686/api/v3/services"] {
        assert!(ran.did(address), "nobody looked at {address}: {:?}", ran.commands);
    }
    assert!(!ran.did("docker build"), "{:?}", ran.commands);
}

#[test]
fn a_size_that_files_disagree_about_or_no_node_takes_is_refused_before_anything_is_made() {
    let (services, upstreams) = ("base/services.yaml", "components/edge/nginx/layer-0.conf");
    for (file, old, new, components, says) in [
        (services, "TRACELAB_WIDTH: \"30\"", "TRACELAB_WIDTH: \"31\"", &[][..], "has 90 services, and says 3 × 31"),
        (services, "TRACELAB_WIDTH: \"30\"", "", &[], "git checkout kind/base/services.yaml"),
        (upstreams, "upstream dummy-0-29 ", "# upstream dummy-0-29 ", &["edge"], "leads to 29 services, and layer 0"),
    ] {
        let machine = Machine::new();
        let path = machine.repository().join("kind").join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(old));
        std::fs::write(&path, text.replace(old, new)).unwrap();
        let ran = machine.run("up", components);
        ran.says(2, &[says]);
        assert!(ran.commands.is_empty(), "{:?}", ran.commands);
    }

    let machine = Machine::new();
    let size = ["--layers", "3", "--width", "77", "--into"];
    let services = machine.repository().join("kind").join(services);
    let wide =
        Command::new(env!("CARGO_BIN_EXE_tracelab")).args(["manifest", "kubernetes"]).args(size).arg(services).output().unwrap();
    assert!(wide.status.success(), "{}", String::from_utf8_lossy(&wide.stderr));
    let ran = machine.run("up", &[]);
    ran.says(2, &["3 × 77 are 231 services", "takes 230", "tracelab manifest all --layers 3 --width N", "kops/up"]);
    assert!(ran.commands.is_empty(), "{:?}", ran.commands);

    let ran = Machine::new().set("TRACELAB_WIDTH", "10").run("up", &[]);
    ran.says(2, &["say 3 × 10, and kind/base/services.yaml 3 × 30", "tracelab manifest all"]);
}

#[test]
fn up_again_changes_nothing() {
    let machine = Machine::with_stage();
    let before = machine.stage();
    let ran = machine.run("up", &[]);
    ran.says(0, &["applied: 1 unchanged", "the page: http://localhost:8080"]);
    for words in ["create", "load docker-image", "docker build", " delete ", " patch ", "rollout", "docker start"] {
        assert!(!ran.did(words), "{words}: {:?}", ran.commands);
    }
    assert_eq!(machine.stage(), before);
}

#[test]
fn up_says_in_a_log_where_it_stands_and_how_often_is_bounded() {
    let machine = Machine::new();
    machine.put("pods", &(0..=92).map(|n| format!("{n}\n")).collect::<String>());
    let ran = machine.run("up", &[]);
    let lines = ran.err.lines().filter(|line| line.ends_with(" of 92 pods ready")).count();
    assert!((10..25).contains(&lines), "{lines} lines");
    assert!(!ran.err.contains('\r'), "{}", ran.err);
}

#[test]
fn ports_and_settings_reach_cluster_and_frontend() {
    let machine = Machine::new()
        .set("TRACELAB_CLUSTER", "mine")
        .set("TRACELAB_PORT", "9080")
        .set("TRACELAB_JAEGER_PORT", "9686")
        .set("TRACELAB_NODE_IMAGE", "kindest/node:mine")
        .set("TRACELAB_MYSTERY", "customer")
        .set("TRACELAB_SEED", "7")
        .set("TRACELAB_LOG", "it's")
        .set("TRACELAB_JAEGER_TRACES", "200")
        .set("TRACELAB_INSTRUCTOR_TOKEN", "a 'token' \"of\" mine")
        .set("TRACELAB_ROUTE", "");
    let ran = machine.run("up", &["offline", "jaeger"]);
    ran.says(0, &["http://localhost:9080", "http://localhost:9686", "TRACELAB_JAEGER_TRACES is for Jaeger"]);
    assert_eq!(ran.of("kind create"), ["kind create cluster --name mine --wait 120s --config - --image kindest/node:mine"]);
    let config = machine.world("config");
    assert!(config.contains("30080, hostPort: 9080,") && config.contains("30686, hostPort: 9686,"), "{config}");
    let stage = machine.stage();
    for line in [
        "  - ../components/offline\n  - ../components/node-ports\n",
        "      - 'TRACELAB_MYSTERY=customer'\n",
        "      - 'TRACELAB_SEED=7'\n",
        "      - TRACELAB_JAEGER_LINKS=http://localhost:9686\n",
        "  - name: telemetry\n    namespace: tracelab\n    behavior: merge\n    literals:\n      - 'TRACELAB_LOG=it''s'\n",
    ] {
        assert!(stage.contains(line), "{line}: {stage}");
    }
    assert!(!stage.contains("ROUTE") && !stage.contains("MAX_TRACES") && !stage.contains("a 'token'"), "{stage}");
    let token = machine.repository().join("kind/.stage/settings/token");
    assert_eq!(std::fs::read_to_string(&token).unwrap(), "a 'token' \"of\" mine");
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(std::fs::metadata(&token).unwrap().permissions().mode() & 0o077, 0, "others may read the token");
}

#[test]
fn the_stage_that_up_writes_is_one_that_kustomize_builds() {
    let kustomize = find("kustomize").map(|program| (program, "build"));
    let Some((program, word)) = kustomize.or_else(|| Some((find("kubectl")?, "kustomize"))) else {
        assert!(!required("kustomize"), "TRACELAB_REQUIRE names kustomize, but neither it nor kubectl is on the PATH");
        eprintln!("skipped: there is neither kustomize nor kubectl");
        return;
    };
    let settings = Machine::new()
        .set("TRACELAB_JAEGER_PORT", "9686")
        .set("TRACELAB_IMAGE", "registry.example:5000/tracelab:7")
        .set("TRACELAB_SEED", "7")
        .set("TRACELAB_LOG", "it's: #1")
        .set("TRACELAB_JAEGER_TRACES", "200")
        .set("TRACELAB_INSTRUCTOR_TOKEN", "token");
    for (machine, words) in [(Machine::new(), vec![]), (Machine::new(), vec!["offline"]), (settings, vec!["jaeger"])] {
        machine.run("up", &words).says(0, &[]);
        machine.put("redeployed", "dummy-1-17|v2|registry.example:5000/tracelab:7-v2\n");
        machine.run("up", &words).says(0, &["dummy-1-17 still runs v2"]);
        let stage = machine.repository().join("kind/.stage");
        let output = Command::new(&program).arg(word).arg(&stage).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        let objects = String::from_utf8_lossy(&output.stdout).into_owned();
        let deployment = |name: &str| {
            let is_it = |object: &&str| object.contains("kind: Deployment\n") && object.contains(&format!("\n  name: {name}\n"));
            objects.split("---\n").find(is_it).unwrap_or_else(|| panic!("no Deployment {name}"))
        };
        let (changed, other) = (deployment("dummy-1-17"), deployment("dummy-1-16"));
        assert!(changed.contains("image: registry.example:5000/tracelab:7-v2\n"), "{changed}");
        assert!(changed.contains("app.kubernetes.io/version: v2\n"), "{changed}");
        if words == ["jaeger"] {
            assert!(other.contains("image: registry.example:5000/tracelab:7\n"), "{other}");
            for text in
                ["TRACELAB_SEED: \"7\"", "TRACELAB_LOG: 'it''s: #1'", "MAX_TRACES: \"200\"", "name: instructor-", "localhost:9686"]
            {
                assert!(objects.contains(text), "{text} is missing");
            }
        } else {
            assert!(other.contains("image: tracelab:0.1.0\n"), "{other}");
        }
    }
}

#[test]
fn a_script_is_found_from_anywhere_by_any_name() {
    let machine = Machine::new();
    let link = machine.repository().parent().unwrap().join("stage-up");
    std::os::unix::fs::symlink(machine.repository().join("kind/up"), &link).unwrap();
    machine.run(link.to_str().unwrap(), &[]).says(0, &["the page: "]);
    machine.run(link.to_str().unwrap(), &["egde"]).says(2, &["kind/up: there is no component egde"]);
}

#[test]
fn who_had_another_context_of_kubectls_is_told_that_kind_changed_it() {
    let was = |context: &str| {
        let shell = format!("if [ -f node ]; then echo kind-tracelab; else echo {context}; fi");
        Machine::new().when("kubectl", "'config current-context'", &shell)
    };
    was("prod").run("up", &[]).says(0, &["it was prod: kubectl config use-context prod"]);
    for quiet in [was("kind-tracelab"), Machine::new().when("kubectl", "'config current-context'", "exit 1")] {
        let ran = quiet.run("up", &[]);
        assert!(ran.code == 0 && !ran.err.contains("use-context"), "{}", ran.err);
    }
}

#[test]
fn a_component_is_one_that_is_there() {
    let machine = Machine::new();
    machine.run("up", &[".."]).says(2, &["\"..\" is no component's name"]);
    machine.run("up", &["egde"]).says(2, &["there is no component egde", "offline"]);
    machine.run("up", &["../base"]).says(2, &["no component's name"]);
    for (name, wanted) in
        [("TRACELAB_PORT", "1 to 65535"), ("TRACELAB_TIMEOUT", "number of seconds"), ("TRACELAB_CLUSTER", "small letters")]
    {
        Machine::new().set(name, "Eight").run("up", &[]).says(2, &[wanted, "Eight"]);
    }
    // YAML's octal, and more than a shell counts.
    for (name, value) in [
        ("TRACELAB_PORT", "08080"),
        ("TRACELAB_JAEGER_PORT", "0"),
        ("TRACELAB_PORT", "99999999999999999999"),
        ("TRACELAB_TIMEOUT", "99999999999999999999"),
    ] {
        let ran = Machine::new().set(name, value).run("up", &[]);
        ran.says(2, &[value]);
        assert!(!ran.err.to_lowercase().contains("illegal"), "{}", ran.err);
    }
    Machine::new().set("TRACELAB_PORT", "16686").run("up", &[]).says(2, &["are the same"]);
    Machine::new()
        .set("TRACELAB_CONTEXT", "k3s")
        .without("docker")
        .without("kind")
        .run("up", &[])
        .says(2, &["kubectl --context k3s apply -k kind"]);
}

#[test]
fn a_program_that_is_missing_is_named_with_where_to_get_it() {
    for script in ["up", "check", "redeploy"] {
        let words: &[&str] = if script == "redeploy" { &["dummy-1-17"] } else { &[] };
        for (program, way_out) in [
            ("docker", "https://docs.docker.com/engine/install/"),
            ("kind", "https://kind.sigs.k8s.io/docs/user/quick-start/"),
            ("kubectl", "https://kubernetes.io/docs/tasks/tools/"),
        ] {
            let ran = Machine::new().without(program).run(script, words);
            ran.says(3, &[&format!("there is no program {program} on the PATH"), way_out]);
        }
    }
    Machine::new().without("docker").run("down", &[]).says(3, &["no program docker"]);
    Machine::new().without("kind").run("down", &[]).says(3, &["no program kind"]);
}

#[test]
fn an_engine_that_does_not_answer_is_told_with_its_words() {
    for script in ["up", "down", "check", "redeploy"] {
        let words: &[&str] = if script == "redeploy" { &["dummy-1-17", "v2"] } else { &[] };
        for (said, way_out) in [
            ("Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?", "start it: "),
            ("failed to connect to the docker API at unix:///var/run/docker.sock", "start it: "),
            ("permission denied while trying to connect to the docker API at unix:///var/run/docker.sock", "usermod -aG docker"),
        ] {
            let ran = Machine::new().when("docker", "version*", &format!("echo '{said}' >&2; exit 1")).run(script, words);
            ran.says(3, &[said, way_out]);
            assert_eq!(ran.commands.len(), 1, "{:?}", ran.commands);
        }
    }
}

/// What kind ends with, and the way out of it.
#[test]
fn every_way_in_which_kind_fails_to_make_a_cluster_has_its_way_out() {
    const CREATE: &str = "'create cluster '*";
    for (said, code, words) in [
        (
            "ERROR: failed to create cluster: command \"docker run\" failed: Bind for 127.0.0.1:8080 failed: port is already allocated",
            3,
            vec!["port 8080 is taken by the container shop-web-1", "docker stop shop-web-1", "TRACELAB_PORT=9080"],
        ),
        (
            "ERROR: command \"docker run --publish=127.0.0.1:8080:30080/TCP --publish=127.0.0.1:16686:30686/TCP\" failed: listen tcp4 127.0.0.1:16686: bind: address already in use",
            3,
            vec!["port 16686 is taken", "tracelab up", "TRACELAB_JAEGER_PORT=9080"],
        ),
        (
            "ERROR: failed to create cluster: failed to bind host port 127.0.0.1:16686/tcp: address already in use",
            3,
            vec!["port 16686 is taken", "TRACELAB_JAEGER_PORT=9080"],
        ),
        (
            "ERROR: failed to create cluster: failed to pull image \"kindest/node:v1.36.1\": command \"docker pull\" failed",
            3,
            vec!["cannot be pulled", "TRACELAB_NODE_IMAGE=IMAGE", "kindest/node:mine"],
        ),
        (
            "ERROR: failed to create cluster: node(s) already exist for a cluster with the name \"tracelab\"",
            3,
            vec!["somebody else makes the cluster", "TRACELAB_CLUSTER=mine"],
        ),
        (
            "ERROR: failed to create cluster: unable to decode config: yaml: unmarshal errors: field nodez not found in type v1alpha4.Cluster",
            2,
            vec!["does not understand kind/cluster.yaml", "git checkout"],
        ),
        (
            "ERROR: failed to create cluster: failed to init node with kubeadm: the kubelet is not healthy after 4m0s",
            3,
            vec!["kubelet does not start", "failCgroupV1: false", "4 GB"],
        ),
        ("ERROR: failed to create fsnotify watcher: too many open files", 3, vec!["fs.inotify.max_user_instances=512"]),
        ("ERROR: write /var: no space left on device", 3, vec!["docker system prune"]),
        ("ERROR: something new", 3, vec!["cannot make the cluster", "--retain", "kind/down"]),
    ] {
        let machine = Machine::new()
            .when("kind", CREATE, &format!("echo '{said}' >&2; exit 1"))
            .when("docker", "'ps --filter publish=8080 '*", "echo shop-web-1")
            .when("docker", "'images --format '*", "echo kindest/node:mine");
        let ran = machine.run("up", &[]);
        ran.says(code, &words);
        ran.says(code, &[said]);
        assert!(!ran.did("apply"), "{:?}", ran.commands);
    }
    // Docker went away meanwhile: kind says so in passing.
    let gone = Machine::new()
        .when("docker", "version*", "[ -f gone ] && { echo 'Cannot connect to the Docker daemon' >&2; exit 1; }; echo 28")
        .when("kind", CREATE, "echo >gone; echo 'ERROR: Cannot connect to the Docker daemon at unix:///x' >&2; exit 1");
    gone.run("up", &[]).says(3, &["Docker's engine does not answer"]);
}

#[test]
fn an_old_kind_is_told_unless_a_node_of_its_age_is_named() {
    let old = || Machine::new().when("kind", "version", "echo 'kind v0.27.0 go1.23.6 linux/amd64'");
    let ran = old().run("up", &[]);
    ran.says(3, &["kind 0.27.0 is too old", "0.32", "TRACELAB_NODE_IMAGE"]);
    assert!(!ran.did("create"));
    old().set("TRACELAB_NODE_IMAGE", "kindest/node:v1.32.2").run("up", &[]).says(0, &[]);
}

#[test]
fn on_a_host_with_cgroup_v1_the_kubelet_is_told_to_run() {
    let machine = Machine::new().when("docker", "info*", "echo 1");
    machine.run("up", &[]).says(0, &["cgroup v1", "warning"]);
    assert!(machine.world("config").contains("    maxPods: 250\n    failCgroupV1: false\n"), "{}", machine.world("config"));
}

#[test]
fn a_cluster_that_was_stopped_is_started() {
    for state in ["exited", "paused"] {
        let machine = Machine::with_stage();
        machine.put("node", state);
        let ran = machine.run("up", &[]);
        ran.says(0, &["starting the node", state]);
        let verb = if state == "paused" { "unpause" } else { "start" };
        assert!(ran.did(&format!("docker {verb} tracelab-control-plane")) && !ran.did("create"), "{:?}", ran.commands);
    }
    let taken = Machine::with_stage().when(
        "docker",
        "start*",
        "echo 'Bind for 127.0.0.1:8080 failed: port is already allocated' >&2; exit 1",
    );
    taken.put("node", "exited");
    taken.run("up", &[]).says(3, &["port is already allocated", "its port is taken", "kind/down"]);
}

#[test]
fn what_an_interrupted_start_left_is_removed_first() {
    // The container of a node that was never started.
    let created = Machine::new();
    created.put("node", "created");
    // A node that kubeadm did not get to.
    let empty = Machine::new()
        .when(
            "kubectl",
            "'get --raw /readyz'",
            "[ -f config ] || { echo 'error: context \"kind-tracelab\" does not exist' >&2; exit 1; }",
        )
        .when(
            "kind",
            "export*",
            "echo 'ERROR: command \"docker exec tracelab-control-plane cat /etc/kubernetes/admin.conf\" failed' >&2; \
             echo 'Command Output: cat: /etc/kubernetes/admin.conf: No such file or directory' >&2; exit 1",
        );
    empty.put("node", "running");
    // One that has no network yet, and so is not ready.
    let bare = Machine::new().when("kubectl", "'get nodes --output '*", "[ -f config ] && printf True || printf False").when(
        "kubectl",
        "'get daemonset/kindnet'",
        "echo 'Error from server (NotFound): daemonsets.apps \"kindnet\" not found' >&2; exit 1",
    );
    bare.put("node", "running");
    for machine in [created, empty, bare] {
        let ran = machine.run("up", &[]);
        ran.says(0, &["removing what an interrupted kind/up left"]);
        let position = |words: &str| ran.commands.iter().position(|command| command.starts_with(words)).unwrap();
        assert!(position("kind delete cluster --name tracelab") < position("kind create cluster --name tracelab"));
    }
}

#[test]
fn what_was_interrupted_here_is_not_waited_for() {
    let not_found = "echo 'Error from server (NotFound): daemonsets.apps \"kindnet\" not found' >&2; exit 1";
    let give_up = r#"if [ -f config ]; then cat >config; else echo >config; echo running >node; kill "$(cat ../repository/kind/.stage/pid)"; exit 143; fi"#;
    let machine = Machine::new().when("kind", "'create cluster '*", give_up).when("kubectl", "'get daemonset/kindnet'", not_found);
    machine.run("up", &[]).says(143, &[]);
    let ran = machine.run("up", &[]);
    ran.says(0, &["removing what an interrupted kind/up left"]);
    assert!(!ran.err.contains("waiting for the node"), "{}", ran.err);
    // It is whole now.
    let ran = machine.run("up", &[]);
    assert!(ran.code == 0 && !ran.did("kind delete"), "{:?}", ran.commands);
}

#[test]
fn a_cluster_that_is_only_unwell_is_not_deleted() {
    let silent = Machine::with_stage().when("kubectl", "'get --raw /readyz'", "echo 'connection refused' >&2; exit 1");
    let ran = silent.run("up", &[]);
    ran.says(
        3,
        &["connection refused", "the API server of the cluster tracelab does not answer", "docker logs tracelab-control-plane"],
    );
    assert!(ran.did("kind export kubeconfig --name tracelab") && !ran.did("kind delete"), "{:?}", ran.commands);

    let unready = Machine::with_stage().when("kubectl", "'get nodes --output '*", "printf False").when(
        "kubectl",
        "'get daemonset/kindnet'",
        "echo daemonset.apps/kindnet",
    );
    let ran = unready.run("up", &[]);
    ran.says(3, &["the node of the cluster tracelab is not ready", "describe node"]);
    assert!(!ran.did("kind delete"), "{:?}", ran.commands);

    // The engine starts again just now: it says nothing of the node, and runs nothing in it.
    let busy = "'inspect '*";
    let ran = Machine::with_stage().when("docker", busy, "echo 'Error response from daemon: busy' >&2; exit 1").run("up", &[]);
    ran.says(3, &["daemon: busy", "Docker does not say how the node"]);
    assert!(!ran.did("kind delete"), "{:?}", ran.commands);
    let command = "docker exec tracelab-control-plane cat /etc/kubernetes/admin.conf";
    let ran = Machine::with_stage()
        .when("kubectl", "'get --raw /readyz'", "exit 1")
        .when("kind", "export*", &format!("echo 'ERROR: command \"{command}\" failed: OCI runtime exec failed' >&2; exit 1"))
        .run("up", &[]);
    ran.says(3, &["OCI runtime exec failed", "kind does not tell kubectl"]);
    assert!(!ran.did("kind delete"), "{:?}", ran.commands);
}

#[test]
fn a_context_that_kubectl_has_forgotten_is_told_again() {
    let machine = Machine::with_stage()
        .when("kubectl", "'get --raw /readyz'", "[ -f told ] || { echo 'context does not exist' >&2; exit 1; }")
        .when("kind", "export*", "echo >told");
    let ran = machine.run("up", &[]);
    ran.says(0, &[]);
    assert!(!ran.did("create"), "{:?}", ran.commands);
}

#[test]
fn what_belongs_to_a_clusters_creation_is_looked_at() {
    let machine = Machine::with_stage().set("TRACELAB_PORT", "9080");
    machine.run("up", &[]).says(3, &["answers at port 8080, and TRACELAB_PORT says 9080", "kind/down first"]);

    let machine = Machine::with_stage().when("docker", "'port '*", ":");
    machine.run("up", &[]).says(3, &["was not made of kind/cluster.yaml", "TRACELAB_CLUSTER=another"]);

    let machine = Machine::new().when("kubectl", "'get node '*", "printf 110");
    let ran = machine.run("up", &[]);
    ran.says(3, &["the node takes 110 pods, and kind/cluster.yaml asks for 250", "misspelt kind"]);
    assert!(!ran.did("apply"));
}

#[test]
fn a_cluster_that_traces_itself_is_made_as_such() {
    let traced = |machine: Machine| {
        let kind = machine.repository().join("kind");
        let text = std::fs::read_to_string(kind.join("cluster.yaml")).unwrap();
        std::fs::write(kind.join("cluster-traced.yaml"), text + "    labels: {tracelab/traced: \"true\"}\n").unwrap();
        let component = kind.join("components/cluster-traces");
        std::fs::create_dir_all(&component).unwrap();
        std::fs::write(component.join("kustomization.yaml"), "kind: Component\n").unwrap();
        machine
    };
    let fresh =
        traced(Machine::new()).when("kubectl", "'get nodes --selector tracelab/traced=true '*", "echo node/tracelab-control-plane");
    fresh.run("up", &["cluster-traces"]).says(0, &[]);
    assert!(fresh.world("config").contains("tracelab/traced"), "{}", fresh.world("config"));
    assert!(fresh.stage().contains("- ../components/cluster-traces\n"), "{}", fresh.stage());

    let ran = traced(Machine::with_stage()).run("up", &["cluster-traces"]);
    ran.says(3, &["made without traces of its own", "kind/down first"]);
    assert!(!ran.did("apply"), "{:?}", ran.commands);
}

#[test]
fn two_do_not_bring_it_up_at_once() {
    let machine = Machine::with_stage();
    let pid = machine.repository().join("kind/.stage/pid");
    assert!(!pid.exists());
    let mut other = Command::new("sleep").arg("60").spawn().unwrap();
    for script in ["up", "check"] {
        std::fs::write(&pid, format!("{}\n", other.id())).unwrap();
        let ran = machine.run(script, &[]);
        ran.says(3, &["another kind/up or kind/check is at work", &other.id().to_string()]);
        assert!(pid.exists() && !ran.did("kind"), "{:?}", ran.commands);
    }
    machine.run("down", &[]).says(0, &["is gone"]);
    assert!(pid.exists(), "what another writes was removed beneath it");
    other.kill().unwrap();
    other.wait().unwrap();
    // Who was killed cannot say that it has gone.
    machine.run("check", &[]).says(0, &["found: sleep in dummy-1-17"]);
    assert!(!pid.exists());
}

#[test]
fn a_check_does_not_delete_the_cluster_that_somebody_else_makes() {
    let said = "ERROR: failed to create cluster: node(s) already exist for a cluster with the name";
    let ran = Machine::new().when("kind", "'create cluster '*", &format!("echo '{said}' >&2; exit 1")).run("check", &[]);
    ran.says(3, &["somebody else makes the cluster"]);
    assert!(!ran.did("kind delete"), "{:?}", ran.commands);
}

#[test]
fn who_is_told_to_end_leaves_no_lock_and_a_check_no_cluster() {
    // A job that is given up: script and kind are told. (INT would be ignored where the tests run in the background of a script.)
    let shell = r#"echo running >node; kill "$(cat ../repository/kind/.stage/pid)"; exit 143"#;
    for script in ["up", "check"] {
        let machine = Machine::new().when("kind", "'create cluster '*", shell);
        let ran = machine.run(script, &[]);
        ran.says(143, &[]);
        assert_eq!(machine.world("node").is_empty(), script == "check", "{}", ran.err);
        assert!(!machine.repository().join("kind/.stage/pid").exists());
    }
}

#[test]
fn check_compares_all_that_the_answer_names() {
    let network = r#""cause":"network","service":"dummy-0-3","callee":"dummy-1-3""#;
    let customer = r#""cause":"customer","service":"dummy-0-3""#;
    let whose = r#""attribute":{"key":"customer.id","value":"customer-7"}"#;
    let pair = r#"{"callee":"dummy-1-3","cause":"network","explanation":"x","service":"dummy-0-3"}"#;
    let one = r#"{"cause":"customer","customer":"customer-7","explanation":"customer.id: customer-1","service":"dummy-0-3"}"#;
    let nothing = r#"{"cause":"none","explanation":"Nothing was wrong","seed":1}"#;
    for (suspect, answer, code, words) in [
        (network, pair, 0, "found: network in dummy-0-3 on the way to dummy-1-3"),
        (
            r#""cause":"network","service":"dummy-0-3","callee":"dummy-1-4""#,
            pair,
            1,
            "says network in dummy-0-3 on the way to dummy-1-4",
        ),
        (&format!("{customer},{whose}"), one, 0, "found: customer in dummy-0-3 for customer-7"),
        (customer, one, 1, "says customer in dummy-0-3, and it is customer in dummy-0-3 for customer-7"),
        ("", nothing, 0, "found: none"),
        (network, nothing, 1, "and it is none"),
    ] {
        let evidence = r#""confidence":0.9,"evidence":["a call of \"service\":\"x\""]"#;
        let suspects = if suspect.is_empty() {
            String::new()
        } else {
            format!("{{{suspect},{evidence}}},{{\"cause\":\"sleep\",\"service\":\"x\"}}")
        };
        let exec = |of: &str| format!("'exec deployment/frontend --container frontend -- /tracelab {of}'*");
        let ran = Machine::new()
            .when(
                "kubectl",
                &exec("diagnose"),
                &format!("printf '%s\\n' '{{\"read\":{{\"traces\":9}},\"suspects\":[{suspects}]}}'"),
            )
            .when("kubectl", &exec("reveal"), &format!("echo '{answer}'"))
            .run("check", &[]);
        ran.says(code, &[words]);
    }
}

#[test]
fn a_mystery_that_the_stage_does_not_have_is_the_callers_mistake() {
    let mystery = "'exec deployment/frontend --container frontend -- /tracelab mystery '*";
    let ran = Machine::new()
        .when("kubectl", mystery, "echo \"error: invalid value 'slep'\" >&2; exit 2")
        .set("TRACELAB_MYSTERY", "slep")
        .run("check", &[]);
    ran.says(2, &["invalid value 'slep'", "there is no mystery slep of seed 1", "TRACELAB_MYSTERY"]);
    assert!(ran.did("kind delete cluster"), "{:?}", ran.commands);
}

#[test]
fn an_image_that_is_missing_is_built() {
    let machine = Machine::new();
    machine.put("images", "");
    let ran = machine.run("up", &[]);
    ran.says(0, &["building tracelab:0.1.0"]);
    let [build] = ran.of("docker build")[..] else { panic!("{:?}", ran.commands) };
    assert!(build.contains("-f compose/Dockerfile --build-arg VERSION=v1") && build.ends_with("-t tracelab:0.1.0 ."), "{build}");
    assert!(ran.did("kind load docker-image tracelab:0.1.0") && !ran.did("load docker-image jaegertracing"), "{:?}", ran.commands);

    let fails = |said: &str| {
        let machine = Machine::new().when("docker", "'build '*", &format!("echo '{said}' >&2; exit 17"));
        machine.put("images", "");
        machine
    };
    let ran = fails("failed to do request: Head registry: dial tcp: lookup registry: no such host").run("up", &[]);
    ran.says(3, &["no such host", "TRACELAB_BINARY=compose/bin/tracelab kind/up", "first lines of compose/Dockerfile"]);
    fails("error[E0308]: mismatched types").run("up", &[]).says(1, &["mismatched types", "ended with 17"]);

    let ran = Machine::new().set("TRACELAB_IMAGE", "other:1").run("up", &[]);
    ran.says(3, &["Docker has no image other:1", "docker build -f compose/Dockerfile -t other:1 ."]);
    let ran = Machine::new().set("TRACELAB_IMAGE", "other").run("up", &[]);
    ran.says(3, &["Docker has no image other:latest"]);
    // A registry's.
    let ran = Machine::new().set("TRACELAB_IMAGE", "registry.example/tracelab:1").run("up", &[]);
    ran.says(0, &[]);
    assert!(!ran.did("docker build"), "{:?}", ran.commands);
}

#[test]
fn a_binary_that_is_there_is_packed_in_place_of_a_compile() {
    let machine = Machine::new().set("TRACELAB_BINARY", "compiled");
    machine.put("images", "");
    machine.run("up", &[]).says(2, &["there is no such file", "compose/Dockerfile"]);
    std::fs::write(machine.repository().parent().unwrap().join("compiled"), "binary").unwrap();
    let ran = machine.run("up", &[]);
    ran.says(0, &[]);
    let [build] = ran.of("docker build")[..] else { panic!("{:?}", ran.commands) };
    assert!(build.contains("--target package --build-arg BINARY=tracelab /"), "{build}");
    machine.run("up", &[]).says(0, &["Docker has an image tracelab:0.1.0 already", "docker image rm tracelab:0.1.0"]);
}

#[test]
fn an_image_that_cannot_be_loaded_is_told_apart_from_an_engine_that_is_gone() {
    let load = |said: &str| Machine::new().when("kind", "'load docker-image tracelab'*", &format!("echo '{said}' >&2; exit 1"));
    load("ERROR: image: \"tracelab:0.1.0\" not present locally").run("up", &[]).says(3, &["Docker has no image", "docker build"]);
    load("ERROR: no nodes found for cluster \"tracelab\"")
        .run("up", &[])
        .says(3, &["there is no cluster tracelab any more", "kind/up"]);
    load("ERROR: failed to load image: ctr: content digest sha256:1: not found")
        .run("up", &[])
        .says(3, &["docker save", "image-archive"]);
    let gone = Machine::new()
        .when("docker", "version*", "[ -f gone ] && { echo 'Cannot connect to the Docker daemon' >&2; exit 1; }; echo 28")
        .when(
            "kind",
            "'load docker-image tracelab'*",
            "echo >gone; echo 'ERROR: image: \"tracelab:0.1.0\" not present locally' >&2; exit 1",
        );
    let ran = gone.run("up", &[]);
    ran.says(3, &["Docker's engine does not answer"]);
    assert!(!ran.err.contains("Docker has no image"), "{}", ran.err);
    // What the node can pull by itself is not in the way.
    let ran = Machine::new().when("kind", "'load docker-image jaeger'*", "echo 'ERROR: content digest' >&2; exit 1").run("up", &[]);
    ran.says(0, &["warning: jaegertracing/jaeger:2.20.0 cannot be loaded"]);
}

#[test]
fn an_image_that_was_built_anew_is_put_in_place() {
    let machine = Machine::with_stage();
    machine.put("images", "tracelab:0.1.0 sha256:newer\njaegertracing/jaeger:2.20.0 sha256:jaeger\n");
    let machine = machine.when("kind", "'load docker-image tracelab'*", "echo 'tracelab:0.1.0 sha256:newer' >present");
    let ran = machine.run("up", &[]);
    ran.says(0, &["tracelab:0.1.0 has changed"]);
    assert!(
        ran.did("rollout restart deployment --selector app.kubernetes.io/component in (service,frontend)"),
        "{:?}",
        ran.commands
    );
}

#[test]
fn an_apply_that_fails_says_what_is_missing() {
    for (said, code, words) in [
        (
            "error: resource mapping not found: no matches for kind \"Telemetry\" in version \"telemetry.istio.io/v1\"",
            3,
            vec!["README.md"],
        ),
        ("Error from server (Forbidden): because it is being terminated", 3, vec!["still being deleted", "kind/up again"]),
        (
            "The Service \"page\" is invalid: provided port is already allocated",
            3,
            vec!["node port", "get services --all-namespaces"],
        ),
        ("The connection to the server 127.0.0.1:1 was refused", 3, vec!["does not answer"]),
        ("error: something new", 1, vec!["cannot be applied"]),
    ] {
        let ran = Machine::new().when("kubectl", "'apply '*", &format!("echo '{said}' >&2; exit 1")).run("up", &[]);
        ran.says(code, &words);
        ran.says(code, &[said]);
    }
    let ran = Machine::new().when("kubectl", "'kustomize '*", "echo 'Error: no resource matches' >&2; exit 1").run("up", &[]);
    ran.says(2, &["do not go together", "no resource matches"]);
}

#[test]
fn pods_that_do_not_get_ready_are_named_with_why_and_what_to_do() {
    for (line, words) in [
        (
            "dummy-1-17-5||Pending|| ImagePullBackOff|||tracelab:0.1.0|  Back-off pulling image",
            vec!["ImagePullBackOff: dummy-1-17-5", "Back-off pulling image", "has no image tracelab:0.1.0"],
        ),
        (
            "jaeger-5||Pending|| ImagePullBackOff|||jaegertracing/jaeger:2.20.0|  Back-off pulling image",
            vec!["has no image jaegertracing/jaeger:2.20.0", "kind/up offline"],
        ),
        (
            "dummy-1-17-5||Running|| CrashLoopBackOff|Error|101|tracelab:0.1.0|  ",
            vec!["CrashLoopBackOff: dummy-1-17-5", "exit code 101", "the end of a log"],
        ),
        ("jaeger-5||Running|| CrashLoopBackOff|OOMKilled|137|jaeger:1|  ", vec!["OOMKilled: jaeger-5", "TRACELAB_JAEGER_TRACES"]),
        (
            "frontend-5||Pending|| CreateContainerConfigError|||tracelab:0.1.0|  secret \"x\" not found",
            vec!["CreateContainerConfigError: frontend-5", "describe pod frontend-5"],
        ),
        (
            "dummy-0-1-5||Pending|Unschedulable|||||0/1 nodes are available: 1 Insufficient cpu.",
            vec!["Unschedulable: dummy-0-1-5", "two cores"],
        ),
        (
            "dummy-0-1-5||Pending|Unschedulable|||||0/1 nodes are available: 1 Too many pods.",
            vec!["kind/down, and kind/up, which makes it for 250"],
        ),
        ("dummy-0-1-5||Pending|Unschedulable|||||0/1 nodes are available: 1 Insufficient memory.", vec!["give Docker more memory"]),
    ] {
        let machine = Machine::new();
        machine.put("pods", "31\n");
        machine.put(
            "troubles",
            &format!("{line}\n{}\ngone-1|2026-01-01|Running|| CrashLoopBackOff|||x|\n", line.replace("-5|", "-6|")),
        );
        let ran = machine.run("up", &[]);
        ran.says(1, &words);
        ran.says(1, &["no pod more got ready in 60 seconds", "31 of 92 are", " and 1 more: "]);
        assert!(!ran.err.contains("gone-1"), "{}", ran.err);
    }
}

#[test]
fn where_no_pod_says_why_the_events_do() {
    let machine = Machine::new().set("TRACELAB_TIMEOUT", "100");
    machine.put("pods", "91\n");
    machine.run("up", &[]).says(1, &["not ready after 100 seconds", "91 of 92", "violates PodSecurity", "TRACELAB_TIMEOUT=1200"]);
}

#[test]
fn ready_pods_that_no_port_leads_to_are_told() {
    let ran = Machine::new().when("curl", "*:8080*", "echo 'curl: (52) Empty reply from server' >&2; exit 52").run("up", &[]);
    ran.says(1, &["Empty reply", "the page does not answer at http://localhost:8080/", "port-forward service/frontend 8080:8080"]);
    Machine::new().without("curl").run("up", &[]).says(0, &["neither curl nor wget is here"]);
}

#[test]
fn what_is_no_longer_named_goes_away() {
    let machine = Machine::with_stage();
    machine.put("there", "Service|v1|frontend\nDeployment|apps/v1|frontend\nDeployment|apps/v1|redis\nService|v1|redis\n");
    machine.put("maps", "ConfigMap|v1|settings-new\nConfigMap|v1|settings-old\n");
    let ran = machine.run("up", &[]);
    ran.says(0, &["no longer part of the stage: redis", "settings-old"]);
    let deleted: Vec<_> = ran.of("kubectl delete").iter().map(|command| command.split(' ').nth(6).unwrap()).collect();
    assert_eq!(deleted, ["Deployment.v1.apps/redis", "Service/redis", "ConfigMap/settings-old"]);
    let last =
        ran.commands.iter().rposition(|command| command.contains("app.kubernetes.io/part-of=tracelab --output jsonpath")).unwrap();
    let settings = ran.commands.iter().position(|command| command.contains("ConfigMap/settings-old")).unwrap();
    assert!(last < settings, "a pod of the older version may have wanted it");
}

#[test]
fn down_deletes_what_is_there_and_minds_nothing_that_is_not() {
    let machine = Machine::with_stage();
    let ran = machine.run("down", &[]);
    ran.says(0, &["the cluster tracelab is gone", "docker network rm kind"]);
    assert!(ran.did("kind delete cluster --name tracelab"));
    assert!(!machine.repository().join("kind/.stage").exists());
    let ran = machine.run("down", &[]);
    ran.says(0, &["there is no cluster tracelab"]);
    assert!(!ran.did("delete"));
    machine.run("down", &["now"]).says(2, &["\"now\"", "--help"]);
    // Deleting what is not there is no error to kind.
    let machine = Machine::with_stage().when("kind", "'delete '*", ":");
    machine.run("down", &[]).says(3, &["is still there: tracelab-control-plane", "docker rm --force"]);
    let machine = Machine::with_stage().when("kind", "'delete '*", "echo 'ERROR: failed to delete nodes' >&2; exit 1");
    machine.run("down", &[]).says(3, &["failed to delete nodes", "cannot be deleted"]);
}

#[test]
fn check_finds_the_culprit_and_leaves_nothing() {
    let machine = Machine::new().set("TRACELAB_MYSTERY", "sleep").set("TRACELAB_SEED", "3");
    let ran = machine.run("check", &["offline"]);
    ran.says(0, &["diagnose: sleep in dummy-1-17", "found: sleep in dummy-1-17", "is gone"]);
    assert_eq!(ran.out, "found: sleep in dummy-1-17\n");
    for words in ["/tracelab mystery sleep --seed 3", "/tracelab load 1000", "/tracelab diagnose --json --start 20"] {
        assert!(ran.did(words), "{words}: {:?}", ran.commands);
    }
    assert!(ran.commands.last().unwrap().starts_with("kind get nodes") && ran.did("kind delete cluster"), "{:?}", ran.commands);
    assert!(ran.did("kubectl --context kind-tracelab --namespace tracelab apply"));
}

#[test]
fn check_leaves_a_cluster_that_it_did_not_make() {
    let machine = Machine::with_stage();
    let ran = machine.run("check", &[]);
    ran.says(0, &["found: sleep in dummy-1-17"]);
    assert!(!ran.did("kind delete") && !ran.did("kind create"), "{:?}", ran.commands);

    let machine = Machine::new().set("TRACELAB_KEEP", "true");
    let ran = machine.run("check", &[]);
    ran.says(0, &["the cluster tracelab stays", "kind/down"]);
    assert!(!ran.did("kind delete"), "{:?}", ran.commands);
}

#[test]
fn a_check_that_fails_says_why_and_cleans_up() {
    let exec = |of: &str| format!("'exec deployment/frontend --container frontend -- /tracelab {of}'*");
    let nothing = r#"echo '{"read":{"traces":9,"spans":9,"left_out":{}},"suspects":[]}'"#;
    let other = r#"echo '{"suspects":[{"cause":"sleep","service":"dummy-2-2"}]}'"#;
    for (machine, words) in [
        (
            Machine::new().when("kubectl", &exec("diagnose"), nothing),
            vec!["says none, and it is sleep in dummy-1-17", "/tracelab doctor"],
        ),
        (Machine::new().when("kubectl", &exec("diagnose"), other), vec!["says sleep in dummy-2-2, and it is sleep in dummy-1-17"]),
        (
            Machine::new().when("kubectl", &exec("load"), "echo 'no call got through' >&2; exit 3"),
            vec!["no call got through", "`tracelab load` ended with 3"],
        ),
        (Machine::new().when("kubectl", &exec("reveal"), "exit 1"), vec!["`tracelab reveal` ended with 1"]),
    ] {
        let ran = machine.run("check", &[]);
        ran.says(1, &words);
        ran.says(1, &["dummy-1-17-9 0/1 Pending", "FailedCreate", "the end of a log", "== down"]);
        assert!(!ran.err.contains("frontend-5 1/1"), "{}", ran.err);
        assert!(ran.did("kind delete cluster --name tracelab"), "{:?}", ran.commands);
    }
    // What `up` says goes on to whoever asked.
    let ran = Machine::new().when("kind", "'create '*", "echo 'ERROR: failed to pull image' >&2; exit 1").run("check", &[]);
    ran.says(3, &["cannot be pulled"]);
    Machine::new().run("check", &["nonsense"]).says(2, &["there is no component nonsense"]);
    // It passed, and the cluster stays all the same: that is a failure too.
    let ran = Machine::new().when("kind", "'delete '*", "echo 'ERROR: busy' >&2; exit 1").run("check", &[]);
    ran.says(1, &["found: sleep in dummy-1-17", "busy"]);
}

#[test]
fn a_wrong_answer_on_a_busy_machine_is_asked_for_again_of_other_calls() {
    let diagnose = "'exec deployment/frontend --container frontend -- /tracelab diagnose'*";
    let [network, sleep] =
        ["network", "sleep"].map(|cause| format!(r#"{{"suspects":[{{"cause":"{cause}","service":"dummy-1-17"}}]}}"#));
    let say = format!("if [ -f asked ]; then echo '{sleep}'; else echo >asked; echo '{network}'; fi");
    let ran = Machine::new().when("kubectl", diagnose, &say).run("check", &[]);
    ran.says(0, &["diagnose: network in dummy-1-17", "once more", "found: sleep in dummy-1-17"]);
    assert_eq!(ran.of("kubectl exec deployment/frontend --container frontend -- /tracelab load 1000 --concurrency 10").len(), 2);
}

#[test]
fn redeploy_puts_the_patched_version_in_place_and_says_what_runs() {
    let machine = Machine::with_stage();
    let ran = machine.run("redeploy", &["dummy-1-17", "v2"]);
    ran.says(0, &["dummy-1-17 runs v2", "sha256:0123", "tracelab 0.1.0", "the end of a log"]);
    let [build] = ran.of("docker build")[..] else { panic!("{:?}", ran.commands) };
    assert!(build.contains("--build-arg VERSION=v2") && build.contains("-t tracelab:0.1.0-v2"), "{build}");
    assert!(ran.did("kind load docker-image tracelab:0.1.0-v2 --name tracelab"), "{:?}", ran.commands);
    let [patch] = ran.of("kubectl patch deployment/dummy-1-17")[..] else { panic!("{:?}", ran.commands) };
    for words in [
        r#""app.kubernetes.io/version": "v2""#,
        r#""name": "service", "image": "tracelab:0.1.0-v2""#,
        r#""tracelab/redeployed": "v2""#,
    ] {
        assert!(patch.contains(words), "{words}: {patch}");
    }
    let ran = machine.run("redeploy", &["dummy-1-17", "v2"]);
    ran.says(0, &[]);
    assert!(!ran.did("docker build") && !ran.did("kind load"), "{:?}", ran.commands);

    // Built anew under the same name: the template says the same, and another program is meant.
    let machine = machine
        .when("kind", "'load docker-image tracelab:0.1.0-v2'*", "echo 'tracelab:0.1.0-v2 sha256:newer' >present")
        .when("kubectl", "'patch deployment/'*", "echo 'deployment.apps/dummy-1-17 patched (no change)'")
        .when("kubectl", "'rollout restart deployment/dummy-1-17'", ":");
    machine.run("redeploy", &["dummy-1-17", "v2"]).says(0, &["runs v2 already"]);
    machine.put("images", "tracelab:0.1.0 sha256:ours\ntracelab:0.1.0-v2 sha256:newer\n");
    let ran = machine.run("redeploy", &["dummy-1-17", "v2"]);
    ran.says(0, &["tracelab:0.1.0-v2 has changed since it was loaded"]);
    assert!(ran.did("rollout restart deployment/dummy-1-17"), "{:?}", ran.commands);
}

#[test]
fn redeploy_v1_puts_the_stages_own_back() {
    let machine = Machine::with_stage();
    let ran = machine.run("redeploy", &["dummy-1-17", "v1"]);
    ran.says(0, &["dummy-1-17 runs v1"]);
    let [patch] = ran.of("kubectl patch")[..] else { panic!("{:?}", ran.commands) };
    assert!(patch.contains(r#""image": "tracelab:0.1.0""#) && patch.contains(r#""tracelab/redeployed": null"#), "{patch}");
}

#[test]
fn redeploy_dev_is_the_working_tree_under_the_name_of_its_content() {
    let machine = Machine::with_stage();
    let ran = machine.run("redeploy", &["dummy-1-17", "dev"]);
    ran.says(0, &["dummy-1-17 runs dev-0123456789ab"]);
    let [build] = ran.of("docker build")[..] else { panic!("{:?}", ran.commands) };
    assert!(build.contains("VERSION=v1") && build.ends_with(" ."), "{build}");
    assert!(ran.did("kind load docker-image tracelab:dev-0123456789ab --name tracelab"), "{:?}", ran.commands);
    assert!(ran.did(r#""image": "tracelab:dev-0123456789ab""#), "{:?}", ran.commands);
}

#[test]
fn redeploy_alone_says_what_runs() {
    let ran = Machine::with_stage().run("redeploy", &["dummy-1-17"]);
    ran.says(0, &["dummy-1-17 runs v1", "tracelab:0.1.0", "dummy-1-17-5d"]);
    assert!(!ran.did(" patch ") && !ran.did("docker build"), "{:?}", ran.commands);
}

#[test]
fn redeploy_refuses_with_the_nearest_way_out() {
    let machine = Machine::with_stage();
    machine.run("redeploy", &[]).says(2, &["usage: kind/redeploy"]);
    machine.run("redeploy", &["dummy-1-17", "v3"]).says(2, &["there is no version v3", "v1, v2, and dev"]);
    machine.run("redeploy", &["dumy_1-17", "v2"]).says(2, &["no service's name"]);
    machine.run("redeploy", &["dumy-1-17", "v2"]).says(2, &["there is no service dumy-1-17", "did you mean dummy-1-17?"]);
    machine.run("redeploy", &["service-9-9", "v2"]).says(2, &["dummy-0-0 to dummy-2-29"]);
    machine.run("redeploy", &["dummy-1-17", "v2", "now"]).says(2, &["one service"]);
    Machine::new().run("redeploy", &["dummy-1-17"]).says(3, &["there is no cluster tracelab", "kind/up makes it"]);
    let machine = Machine::with_stage();
    machine.put("node", "exited");
    machine.run("redeploy", &["dummy-1-17"]).says(3, &["is not running (exited)", "kind/up starts it"]);
    let frontend = "'get deployment/frontend --output name'";
    let machine = Machine::with_stage().when("kubectl", frontend, "echo 'Error from server (NotFound): not found' >&2; exit 1");
    machine.run("redeploy", &["dummy-1-17"]).says(3, &["the stage does not stand", "kind/up"]);
    let machine =
        Machine::with_stage().when("kubectl", frontend, "echo 'error: context \"kind-tracelab\" does not exist' >&2; exit 1");
    machine.run("redeploy", &["dummy-1-17"]).says(3, &["kubectl knows no context", "kind export kubeconfig --name tracelab"]);
}

#[test]
fn a_version_that_does_not_get_ready_is_told_with_the_way_back() {
    let machine = Machine::with_stage().when(
        "kubectl",
        "'get deployments --selector app.kubernetes.io/name=dummy-1-17 '*",
        "echo 'dummy-1-17|2|2|1|2|1|1'",
    );
    let ails = |pod: &str| format!("{pod}||Running|| CrashLoopBackOff|Error|1|tracelab:0.1.0-v2|  \n");
    machine.put("troubles", &(ails("dummy-1-1-5") + &ails("dummy-1-17-5")));
    let ran = machine.run("redeploy", &["dummy-1-17", "v2"]);
    ran.says(1, &["dummy-1-17-5", "the end of a log", "dummy-1-17 does not run v2", "kind/redeploy dummy-1-17 v1"]);
    assert!(!ran.err.contains("dummy-1-1-5"), "that is another service: {}", ran.err);
}

#[test]
fn redeploy_works_on_any_cluster_without_loading_anything() {
    let machine = Machine::with_stage().set("TRACELAB_CONTEXT", "k3s").without("docker").without("kind");
    let ran = machine.run("redeploy", &["dummy-1-17", "v2"]);
    ran.says(0, &["dummy-1-17 runs v2"]);
    assert!(ran.commands.iter().all(|command| command.starts_with("kubectl --context k3s ")), "{:?}", ran.commands);
    machine.run("redeploy", &["dummy-1-17", "dev"]).says(2, &["dev is for clusters of kind", "--context k3s"]);
}

#[test]
fn a_service_that_was_redeployed_stays_so_when_the_stage_comes_up_again() {
    let machine = Machine::with_stage();
    machine.put("redeployed", "dummy-1-17|v2|tracelab:0.1.0-v2\n");
    machine.run("up", &[]).says(0, &["dummy-1-17 still runs v2", "kind/redeploy dummy-1-17 v1"]);
    let stage = machine.stage();
    for words in ["name: dummy-1-17, namespace: tracelab", "image: \"tracelab:0.1.0-v2\"", "app.kubernetes.io/version: \"v2\""] {
        assert!(stage.contains(words), "{words}: {stage}");
    }
}

/// Cluster, image, 1,000 calls, diagnosis and deletion, as in CI: some minutes.
#[test]
fn the_stage_passes_its_own_check() {
    let skip = |why: &str| {
        assert!(!required("kind"), "TRACELAB_REQUIRE names kind, but {why}");
        eprintln!("skipped: {why}");
    };
    let Ok(image) = std::env::var("TRACELAB_NODE_IMAGE") else {
        return skip("TRACELAB_NODE_IMAGE names no image of a node for kind");
    };
    for program in ["docker", "kind", "kubectl"] {
        if find(program).is_none() {
            return skip(&format!("there is no {program} on the PATH"));
        }
    }
    let there = Command::new("docker").args(["image", "inspect", &image]).output().unwrap().status.success();
    if !there {
        return skip(&format!("Docker has no image {image}, or does not run"));
    }
    let directory = tempfile::tempdir().unwrap();
    let listeners = [(); 2].map(|()| std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap());
    let [page, jaeger] = listeners.each_ref().map(|listener| listener.local_addr().unwrap().port().to_string());
    drop(listeners);
    let cluster = format!("tracelab-tests-{}", std::process::id());
    // Where Jaeger's image is not there, our own backend needs no registry.
    let has_jaeger =
        Command::new("docker").args(["image", "inspect", "jaegertracing/jaeger:2.20.0"]).output().unwrap().status.success();
    let output = Command::new("sh")
        .arg("kind/check")
        .args((!has_jaeger).then_some("offline"))
        .current_dir(root())
        .env("KUBECONFIG", directory.path().join("kubeconfig"))
        .envs([("TRACELAB_CLUSTER", &cluster), ("TRACELAB_PORT", &page), ("TRACELAB_JAEGER_PORT", &jaeger)])
        .env_remove("TRACELAB_REQUIRE")
        .env_remove("TRACELAB_KEEP")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    eprintln!("{said}");
    assert!(output.status.success(), "{said}");
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("found: sleep in dummy-"), "{said}");
    let left = Command::new("kind").args(["get", "nodes", "--name", &cluster]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&left.stdout), "", "the cluster is still there");
}
