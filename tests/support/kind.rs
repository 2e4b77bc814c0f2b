//! The kind stage's scripts among programs that are played: `kind`, `kubectl`, `docker`, `curl` and a `sleep` that takes no time.

#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

#[path = "played.rs"]
mod played;

use played::Cast;
pub use played::Machine;

const KIND_STAGE: Cast = Cast {
    folder: "kind",
    beside: &[],
    tools: &[
        "awk", "basename", "cat", "chmod", "cp", "cut", "date", "dirname", "env", "grep", "head", "mkdir", "mktemp", "readlink",
        "rm", "sed", "sh", "sort", "tail", "tee", "tr", "wc",
    ],
    programs: &[("kind", KIND), ("kubectl", KUBECTL), ("docker", DOCKER), ("curl", "*) ;;"), ("sleep", "*) ;;")],
    judge: names_the_cluster,
};

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

impl Machine {
    /// Where Docker has both images, and no cluster is there.
    pub fn new() -> Self {
        let machine = Self::of(&KIND_STAGE);
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

    /// What `up` applies, and then what its variables say of it.
    pub fn stage(&self) -> String {
        let read = |name: &str| std::fs::read_to_string(self.repository().join("kind/.stage").join(name)).unwrap_or_default();
        read("kustomization.yaml") + &read("settings/kustomization.yaml")
    }
}

fn names_the_cluster(machine: &Machine, words: &[&str]) -> bool {
    let cluster = machine.variable("TRACELAB_CLUSTER").unwrap_or_else(|| "tracelab".to_owned());
    let context = machine.variable("TRACELAB_CONTEXT").unwrap_or_else(|| format!("kind-{cluster}"));
    match words {
        ["kind", "version"] => true,
        ["kind", ..] => words.windows(2).any(|pair| pair == ["--name", &cluster]),
        ["kubectl", "--context", named, "--namespace", namespace, ..] => {
            *named == context && ["tracelab", "kube-system"].contains(namespace)
        }
        ["kubectl", ..] => false,
        _ => true,
    }
}
