//! The kops stage's scripts among programs that are played: `kops`, `aws`, `kubectl`, `docker`, `curl`, and a `sleep` that takes no time.
//!
//! What they answer is written from their sources: kops of v1.36.2 (files below kubernetes/kops), botocore and awscli of the AWS CLI, kubectl
//! and API server of 1.36 (kubernetes/kubernetes), go-containerregistry's crane. Each answer names its file.

#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

#[path = "played.rs"]
mod played;

use played::{Cast, copy};
pub use played::{Machine, Ran, short, walk};

pub const CLUSTER: &str = "t.k8s.local";
pub const HOST: &str = "ab-0123456789.elb.eu-west-1.amazonaws.com";

const KOPS_STAGE: Cast = Cast {
    folder: "kops",
    beside: &["kind/common.sh", "kind/base/services.yaml"],
    tools: &[
        "awk", "cat", "chmod", "cmp", "cp", "cut", "date", "dirname", "env", "find", "grep", "head", "ln", "mkdir", "mktemp", "mv",
        "openssl", "readlink", "rm", "sed", "sh", "sort", "tail", "tee", "touch", "tr", "wc",
    ],
    programs: &[
        ("kops", KOPS),
        ("aws", AWS),
        ("kubectl", KUBECTL),
        ("docker", DOCKER),
        ("curl", CURL),
        ("crane", CRANE),
        ("sleep", "*) ;;"),
    ],
    judge: names_the_cluster,
};

/// What kops knows is in `told`, as it was told, and in `known`, as it tells it; what it has made of that is in `made`.
const KOPS: &str = r#"
# cmd/kops/version.go
"version --short") echo 1.36.2 ;;
# cmd/kops/get_cluster.go; the fields' order is that of tests/integration/create_cluster/minimal-1.36/expected-v1alpha2.yaml
"get cluster --name "*) if [ -f known ]; then cat known; else echo "Error: cluster not found \"$4\"" >&2; exit 1; fi ;;
# cmd/kops/get_all.go
"get all --name "*" --output yaml") cat told ;;
# cmd/kops/create.go
"create -f "*)
  if [ -f known ]; then echo "Error: cluster \"$(sed -n 's/^  name: //p' known)\" already exists" >&2; exit 1; fi
  cp "$3" told
  {
    printf 'apiVersion: kops.k8s.io/v1alpha2\nkind: Cluster\nmetadata:\n  creationTimestamp: "2026-11-21T10:00:00Z"\n'
    sed -n '/^metadata:/,/^spec:/s/^  name: /  name: /p' told | head -n 1
    printf 'spec:\n  cloudLabels:\n    tracelab: kops\n  cloudProvider: aws\n  subnets:\n'
    sed -n 's/.*zone: \([a-z0-9-]*\),.*/\1/p' told | sort -u | sed 's/.*/  - cidr: 172.20.64.0\/18\n    name: &\n    type: Private\n    zone: &/'
  } >known
  printf '\nCreated cluster/%s\n' "$(sed -n 's/^  name: //p' known)" ;;
# cmd/kops/replace.go
"replace --force -f "*) cp "$4" told ;;
# cmd/kops/update_cluster.go. Whom the firewall lets in is in `rules`: what is outdated of them goes where kops is told to prune.
"update cluster --name "*" --yes --admin")
  if [ -f made ]; then echo 'Changes may require instances to restart: kops rolling-update cluster'; else echo 'Cluster is starting.  It should be ready in a few minutes.'; fi
  network=$(sed -n 's/.*kubernetesApiAccess: \[\(.*\)\]/\1/p' told)
  case "$*" in *" --prune "*) rm rules.unseen 2>/dev/null || rm -f rules ;; esac
  grep -q -x -F "$network" rules 2>/dev/null || echo "$network" >>rules
  cp told made ;;
# upup/pkg/fi/dryrun_target.go, and the last line of each from cmd/kops/update_cluster.go; rules' names are those of
# pkg/model/awsmodel/api_loadbalancer.go and upup/pkg/fi/cloudup/awstasks/securitygroup.go, by which they are outdated only (DeferDeletion), and
# not seen where another group is not known yet (FindDeletions). Of a cluster that is replaced, pkg/client/simple/vfsclientset/cluster.go
# counts the generation.
"update cluster --name "*)
  network=$(sed -n 's/.*kubernetesApiAccess: \[\(.*\)\]/\1/p' told)
  if [ ! -f made ]; then
    printf 'Will create resources:\n  VPC/%s\n  \tCIDR                \t172.20.0.0/16\n\nMust specify --yes to apply changes\n' "$4"
  elif cmp -s told made && [ "$(cat rules)" = "$network" ]; then
    if [ ! -f generation ]; then echo 'No changes need to be applied'; exit; fi
    printf 'Will modify resources:\n  ManagedFile/cluster-completed.spec\n  \tContents            \n  \t                    \t...\n'
    printf '  \t                    \t%s\n' '  metadata:' '+   generation: 1' '-   creationTimestamp: "2026-11-21T10:00:00Z"' '    name: t.k8s.local' '...'
    printf '\nMust specify --yes to apply changes\n'
  else
    grep -q -x -F "$network" rules ||
      printf 'Will create resources:\n  SecurityGroupRule/from-%s-ingress-tcp-443to443-api-elb.%s\n  \tCIDR                \t%s\n\n' "$network" "$4" "$network"
    cat changes 2>/dev/null
    if [ ! -f rules.unseen ] && grep -v -q -x -F "$network" rules; then
      echo 'Items will be deleted only when the --prune flag is specified:'
      grep -v -x -F "$network" rules | sed 's/.*/  SecurityGroupRule    sg-1: port=443 protocol=tcp ip=& ipv6=/'
      echo
    fi
    echo 'Must specify --yes to apply changes'
  fi ;;
# cmd/kops/export_kubeconfig.go
"export kubeconfig --name "*" --admin") echo "kOps has set your kubectl context to $4" ;;
# cmd/kops/validate_cluster.go
"validate cluster --name "*) printf 'Validating cluster %s\n\nINSTANCE GROUPS\nNAME\tROLE\n\nNODE STATUS\nNAME\tROLE\tREADY\n\nYour cluster %s is ready\n' "$4" "$4" ;;
# cmd/kops/delete_instancegroup.go
"delete instancegroup "*" --yes") printf 'InstanceGroup "%s" found for deletion\n\nDeleted InstanceGroup: "%s"\n' "$3" "$3" ;;
# cmd/kops/delete_cluster.go
"delete cluster --name "*" --yes --wait "*) rm -f known told made; printf 'TYPE\tNAME\tID\n\nDeleted cluster: "%s"\n' "$4" ;;
"#;

/// What bears the cluster's name is in `tagged`, ARNs. What is there of that says `alive`; all else says that it is gone.
const AWS: &str = r#"
# awscli/examples/sts/get-caller-identity.rst
"sts get-caller-identity "*) echo 123456789012 ;;
# awscli/examples/s3api/head-bucket.rst: nothing where the bucket is there
"s3api head-bucket "*) ;;
"ec2 describe-availability-zones "*) ;;
"ec2 describe-instance-type-offerings "*)
  for zone in a b c; do for type in t3.large m6i.large r6i.large; do printf 'eu-west-1%s\t%s\n' $zone $type; done; done ;;
# Text output: awscli/formatter.py writes lists with tabs, and None.
"resourcegroupstaggingapi get-resources "*) if [ -f tagged ]; then tr '\n' '\t' <tagged; fi ;;
"ec2 describe-instances "*) grep -q -F "$4" alive 2>/dev/null && echo running || echo terminated ;;
"ec2 describe-nat-gateways "*) grep -q -F "$4" alive 2>/dev/null && echo available || echo deleted ;;
# botocore/exceptions.py: ClientError; the codes are those of docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
"ec2 describe-volumes "*)
  grep -q -F "$4" alive 2>/dev/null && echo available && exit
  echo "An error occurred (InvalidVolume.NotFound) when calling the DescribeVolumes operation: The volume '$4' does not exist." >&2; exit 254 ;;
"ec2 describe-tags "*) grep -q -F "${4##*=}" alive 2>/dev/null && echo "${4##*=}" || echo None ;;
"elbv2 describe-load-balancers "*"DNSName=="*) [ -f balancer ] && echo ab || echo None ;;
"elbv2 describe-"*)
  grep -q -F "$4" alive 2>/dev/null && echo active && exit
  echo 'An error occurred (LoadBalancerNotFound) when calling the DescribeLoadBalancers operation: One or more load balancers not found' >&2; exit 254 ;;
"iam list-roles "*) if [ -f roles ]; then cat roles; fi ;;
"s3 ls "*) [ -f objects ] && cat objects || exit 1 ;;
"#;

/// `pods` says how many of 92 are ready, one look after the other. The namespace and its volumes go some looks after they were told to.
const KUBECTL: &str = r#"
"kustomize "*)
  it="../repository/$2"
  if grep -q '^  - components/opensearch' "$it/../kops/kustomization.yaml"; then sed s/cassandra/opensearch/g stage.yaml; else cat stage.yaml; fi >whole
  new=$(sed -n 's/^    newName: //p' "$it/settings/kustomization.yaml") tag=$(sed -n 's/^    newTag: "\(.*\)"/\1/p' "$it/settings/kustomization.yaml")
  sed "s|image: tracelab:.*|image: $new:$tag|" whole ;;
"get service door "*) if [ -f balancer ]; then cat balancer; fi ;;
"apply --filename "*/door.yaml) : >namespace; printf ab-0123456789.elb.eu-west-1.amazonaws.com >balancer; printf 'namespace/tracelab created\nservice/door created\n' ;;
# Of kops/load/run.
"apply --filename "*"/network-policies.yaml --filename "*) echo >load; echo 'job.batch/load created' ;;
# What the API server says to a Job that is another one: pkg/apis/batch/validation/validation.go, ValidateImmutableField.
"apply --dry-run=server --filename "*)
  name=${4##*/}
  if [ -f "job.$name" ] && ! cmp -s "$4" "job.$name"; then
    echo "The Job \"$name\" is invalid: spec.template: Invalid value: core.PodTemplateSpec{}: field is immutable" >&2; exit 1
  fi
  cp "$4" "dry.$name" ;;
"apply --filename "*)
  [ -f applied ] && word=unchanged || word=created
  for job in dry.*; do [ -f "$job" ] && mv "$job" "job.${job#dry.}"; done
  cp "../repository/$3" applied; echo "deployment.apps/frontend $word" ;;
"delete job "*) rm -f "job.$3"; echo "job.batch \"$3\" deleted" ;;
"create secret generic "*)
  printf 'apiVersion: v1\nkind: Secret\nmetadata:\n  name: %s\ndata:\n' "$4"
  for word do case $word in --from-file=*) pair=${word#*=}; printf '  %s: %s\n' "${pair%%=*}" "$(openssl base64 -A <"${pair#*=}")" ;; esac; done ;;
"get secret "*" --output name") [ -f "secret.$3" ] || { echo "Error from server (NotFound): secrets \"$3\" not found" >&2; exit 1; } ;;
"get secret "*" --output jsonpath="*)
  key=$(printf %s "$5" | sed 's/.*{\.data\.\(.*\)}/\1/; s/\\//g')
  if [ -f "secret.$3" ]; then sed -n "s/^  $key: //p" "secret.$3" | tr -d '\n'; fi ;;
"create --filename "* | "replace --filename "*) name=$(sed -n 's/^  name: //p' "$3"); cp "$3" "secret.$name"; echo "secret/$name" ;;
"get statefulset "*) [ "$(cat stateful 2>/dev/null)" = "$3" ] || { echo "Error from server (NotFound): statefulsets.apps \"$3\" not found" >&2; exit 1; } ;;
"get deployment door "*) [ -f applied ] ;;
"rollout restart deployment/door") echo 'deployment.apps/door restarted' ;;
"get deployments,statefulsets,daemonsets --selector app.kubernetes.io/part-of=tracelab --output "* | "get deployments,statefulsets,daemonsets --output "*)
  ready=$(head -n 1 pods); [ "$(wc -l <pods)" -gt 1 ] && { sed 1d pods >rest; cat rest >pods; }
  [ -f applied ] && echo "all|1|1|92|92|92|$ready" ;;
"get pods -l app.kubernetes.io/part-of=tracelab --output "*) cat troubles 2>/dev/null ;;
"get pods --output jsonpath={range .items[*]}{range .status.init"*) printf 'docker.io/library/nginx:1.30.4|docker.io/library/nginx@sha256:abc\n' ;;
"get events --field-selector involvedObject.name=door "*) echo 'SyncLoadBalancerFailed: Error syncing load balancer: could not find any suitable subnets for creating the ELB' ;;
"get events "*) echo 'dummy-1-17: FailedCreate: violates PodSecurity' ;;
"logs --selector batch.kubernetes.io/job-name=load "*) cat lines ;;
"logs "*) echo 'the end of a log' ;;
"get namespace "*)
  if [ -f leaving ]; then [ "$(wc -l <leaving)" -gt 1 ] && { sed 1d leaving >rest; cat rest >leaving; } || rm -f leaving namespace applied balancer job.* secret.*; fi
  [ -f namespace ] || { echo 'Error from server (NotFound): namespaces "tracelab" not found' >&2; exit 1; }
  echo namespace/tracelab ;;
"delete namespace tracelab --wait=false") printf '1\n2\n' >leaving; echo 'namespace "tracelab" deleted' ;;
"get persistentvolumes "*) if [ -f volumes ]; then cat volumes; [ -f namespace ] || rm -f volumes; fi ;;
# Of kops/load/run.
"get deployment/frontend --output jsonpath="*) printf registry.example/tracelab:7@sha256:5555 ;;
"delete job/load "*) rm -f load ;;
"patch --local --filename "*) printf '%s\n' "$*" >patch; echo '{"kind": "Job"}' ;;
"get job/load "*)
  [ -f load ] || { echo 'Error from server (NotFound): jobs.batch "load" not found' >&2; exit 1; }
  head -n 1 progress; if [ "$(wc -l <progress)" -gt 1 ]; then sed 1d progress >rest; cat rest >progress; fi ;;
"get pods --selector batch.kubernetes.io/job-name=load") printf 'NAME READY STATUS\nload-0-x 0/1 Pending\n' ;;
"exec --stdin deployment/frontend --container frontend -- /tracelab load --merge -"*) shift 6; shift; "$TRACELAB" "$@" ;;
"#;

const DOCKER: &str = r#"
"version --format {{.Server.Version}}") echo 28.5.2 ;;
"version --format {{.Server.Arch}}") echo amd64 ;;
# Not installed, and so no command of docker's.
"buildx version") exit 1 ;;
"image inspect --format {{.Architecture}} "*) [ -f image ] && echo amd64 || exit 1 ;;
"build "*) echo 'writing image sha256:0123'; : >image ;;
"tag "*) ;;
# docker/cli: cli/command/image/push.go
"push "*) echo '0.1.0: digest: sha256:5555555555555555555555555555555555555555555555555555555555555555 size: 528' ;;
"#;

/// The door asks for a login.
const CURL: &str = "*) printf 401 ;;";

/// google/go-containerregistry, cmd/crane/cmd/digest.go
const CRANE: &str = r#""digest "*) printf 'sha256:%s\n' "$(printf %s "$2" | openssl dgst -sha256 -r | cut -d' ' -f1)" ;;"#;

/// What kustomize makes of the stage, in short: one of everything that is looked at.
const STAGE: &str = r#"apiVersion: v1
kind: Namespace
metadata:
  name: tracelab
---
apiVersion: v1
kind: Service
metadata:
  name: door
  namespace: tracelab
spec:
  type: LoadBalancer
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: frontend
  namespace: tracelab
spec:
  template:
    spec:
      containers:
      - image: tracelab:0.1.0
        name: frontend
        resources:
          requests:
            cpu: 25m
            memory: 32Mi
---
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: cassandra
  namespace: tracelab
spec:
  replicas: 3
  template:
    spec:
      containers:
      - image: cassandra:5.0.9
        name: cassandra
        resources:
          requests:
            cpu: 500m
            memory: 2Gi
---
apiVersion: batch/v1
kind: Job
metadata:
  name: cassandra-schema
  namespace: tracelab
spec:
  template:
    spec:
      containers:
      - image: jaegertracing/jaeger-cassandra-schema:2.20.0
        name: schema
---
apiVersion: batch/v1
kind: CronJob
metadata:
  name: jaeger-dependencies
  namespace: tracelab
spec:
  jobTemplate:
    spec:
      template:
        spec:
          containers:
          - image: ghcr.io/jaegertracing/spark-dependencies/spark-dependencies:v0.7.2-cassandra
            name: dependencies
"#;

impl Machine {
    /// Where everything needed is there, and no cluster; nobody has a registry's digests.
    pub fn new() -> Self {
        let machine = Self::of(&KOPS_STAGE);
        // Whoever looks a tenth as often sees the same, and a test has not all day.
        let lib = machine.repository().join("kops/lib.sh");
        let text = std::fs::read_to_string(&lib).unwrap();
        assert_eq!(text.matches("\npoll=5\n").count(), 1);
        std::fs::write(&lib, text.replace("\npoll=5\n", "\npoll=50\n")).unwrap();
        machine.put("stage.yaml", STAGE);
        machine.put("pods", "46\n92\n");
        machine
            .set("KOPS_STATE_STORE", "s3://state")
            .set("KOPS_CLUSTER_NAME", CLUSTER)
            .set("TRACELAB_ZONES", "eu-west-1a,eu-west-1b,eu-west-1c")
            .set("TRACELAB_ADMIN_NETWORK", "203.0.113.7/32")
            .set("TRACELAB_IMAGE", "registry.example:5000/tracelab:7")
            .without("crane")
    }

    /// With all that the stage is made of, for the real kustomize.
    pub fn whole() -> Self {
        let machine = Self::new();
        for folder in ["kind", "compose"] {
            copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &machine.repository().join(folder));
        }
        machine
    }

    /// With what `kops/up` made.
    pub fn with_stage() -> Self {
        // Once for all tests: it is the same each time.
        static MADE: LazyLock<Vec<(PathBuf, Vec<u8>)>> = LazyLock::new(|| {
            let machine = Machine::new();
            machine.run("up", &["--yes"]).says(0, &[]);
            machine.written(&["world", "repository/.kops"])
        });
        let machine = Self::new();
        machine.resume(&MADE);
        machine
    }

    /// What `up` applied last.
    pub fn applied(&self) -> String {
        self.world("applied")
    }

    /// A value of a Secret of the cluster.
    pub fn secret(&self, name: &str, key: &str) -> String {
        let secret = self.world(&format!("secret.{name}"));
        let value = secret.lines().find_map(|line| line.strip_prefix(&format!("  {key}: "))).unwrap_or_default();
        let mut decoder =
            Command::new("openssl").args(["base64", "-d", "-A"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        decoder.stdin.take().unwrap().write_all(value.as_bytes()).unwrap();
        String::from_utf8(decoder.wait_with_output().unwrap().stdout).unwrap()
    }
}

impl Ran {
    /// The commands that change something beyond this machine, shortened.
    pub fn changes(&self) -> Vec<String> {
        let looks = |command: &str| {
            let words: Vec<_> = command.split(' ').collect();
            match words[..] {
                ["kops", "version" | "get" | "validate" | "export", ..] | ["crane" | "curl", ..] => true,
                ["kops", "update", ..] => !words.contains(&"--yes"),
                ["aws", _, verb, ..] => ["describe", "get", "list", "head", "ls"].iter().any(|look| verb.starts_with(look)),
                ["docker", "version" | "buildx", ..] | ["docker", "image", "inspect", ..] => true,
                ["kubectl", "get" | "kustomize" | "logs" | "exec", ..] => true,
                ["kubectl", "apply" | "create" | "patch", ..] => {
                    words.iter().any(|word| word.starts_with("--dry-run") || *word == "--local")
                }
                _ => false,
            }
        };
        self.commands.iter().map(|command| short(command)).filter(|command| !looks(command)).collect()
    }
}

fn names_the_cluster(machine: &Machine, words: &[&str]) -> bool {
    let cluster = machine.variable("KOPS_CLUSTER_NAME").unwrap_or_default();
    let pair = |name: &str, value: &str| words.windows(2).any(|pair| pair[0] == name && pair[1] == value);
    let store = machine.variable("KOPS_STATE_STORE").unwrap_or_default();
    match words {
        ["kops", "version", ..] => true,
        ["kops", "create" | "replace", ..] => pair("--state", store.trim_end_matches('/')),
        ["kops", ..] => pair("--state", store.trim_end_matches('/')) && pair("--name", &cluster),
        ["kubectl", "kustomize", ..] | ["kubectl", "patch", "--local", ..] => true,
        ["kubectl", "--context", named, ..] => *named == machine.variable("TRACELAB_CONTEXT").unwrap_or(cluster),
        ["kubectl", ..] => false,
        ["aws", "iam", ..] => true,
        ["aws", ..] => words.contains(&"--region"),
        _ => true,
    }
}
