# shellcheck shell=sh
# What is not used here is used by those who read this in; commands in backquotes are words for people.
# shellcheck disable=SC2034,SC2119,SC2120,SC2016
# What kind/up, kind/down, kind/check and kind/redeploy share: names, words for what is wrong, and looking at cluster and pods.
#
# How they speak and wait is common.sh, which the kops stage reads too.

# A link to a script leads to where the others are.
here=$(readlink -f -- "$0") || exit 3
self=${here##*/}
here=${here%/*}
# Before the directory changes.
binary=${TRACELAB_BINARY:-}
case $binary in '' | /*) ;; *) binary=$PWD/$binary ;; esac
cd "$here/.." || exit 3
me=kind/$self
# shellcheck source=common.sh
. kind/common.sh

cluster=${TRACELAB_CLUSTER:-tracelab}
context=kind-$cluster
namespace=tracelab
node=$cluster-control-plane
default_image=tracelab:0.1.0
image=${TRACELAB_IMAGE:-$default_image}
# What Docker and nodes call an image without a tag.
case ${image##*/} in *[:@]*) ;; *) image=$image:latest ;; esac
services=app.kubernetes.io/component=service
# On the Deployment of a service that runs another version than the stage says; its value is the version.
redeployed=tracelab/redeployed
# Git ignores it.
stage=kind/.stage
workloads=deployments
# Seconds: between two looks at the pods, without a pod more before what ails the others counts, for the API server and the ports, for pods.
poll=2
stuck=60
patience=120
timeout=${TRACELAB_TIMEOUT:-600}

kube() { kubectl --context "$context" --namespace "$namespace" "$@"; }

# The stage's own program, in the frontend's pod.
tracelab() { kube exec deployment/frontend --container frontend -- /tracelab "$@"; }

need_names() {
  case $cluster in
  '' | *[!a-z0-9.-]*) fail 2 "TRACELAB_CLUSTER is \"$cluster\"; kind takes small letters, digits, dots and hyphens" ;;
  esac
  case $image in
  *[!A-Za-z0-9._:/@-]*) fail 2 "TRACELAB_IMAGE is \"$image\", which is no image's name" "one is $default_image" ;;
  esac
  need_timeout
}

need_docker() {
  if ! command -v docker >/dev/null 2>&1; then
    fail 3 'there is no program docker on the PATH' \
      'install Docker: https://docs.docker.com/engine/install/ (Debian: apt-get install docker.io docker-cli)' \
      'or stay with `tracelab up`, which needs none'
  fi
  # Whoever asks in the middle may have something to say yet.
  docker version --format '{{.Server.Version}}' >"$work/docker" 2>&1 && return
  said=$work/docker
  if heard 'permission denied'; then
    what="you may not speak to Docker's engine"
    set -- 'add yourself to its group and log in again: sudo usermod -aG docker "$USER"'
  else
    what="Docker's engine does not answer"
    set -- 'start it: Docker Desktop, or: sudo systemctl start docker' 'if it runs elsewhere, DOCKER_HOST or `docker context use` says where'
  fi
  words_of docker
  fail 3 "$what" "$@"
}

need_kind() {
  command -v kind >/dev/null 2>&1 && return
  fail 3 'there is no program kind on the PATH' \
    'install version 0.32 or newer: https://kind.sigs.k8s.io/docs/user/quick-start/#installation' \
    '(brew install kind; or: go install sigs.k8s.io/kind@v0.32.0)'
}

# Two at a time would take each other's half-made cluster for one that was given up.
alone() {
  hold "$stage" 'kind/up or kind/check'
  # Says that the cluster was made, and not there before.
  rm -f "$stage/made"
}

# Sets `nodes` and `state`: none, or what Docker says of the control plane's container (running, exited, created, paused, …).
look_at_cluster() {
  if ! nodes=$(kind get nodes --name "$cluster" 2>"$said"); then
    heard 'docker daemon\|docker API' && need_docker
    words_of kind
    fail 3 "kind cannot list the nodes of the cluster $cluster"
  fi
  state=none
  [ -z "$nodes" ] && return
  state=$(docker inspect --format '{{.State.Status}}' "$node" 2>"$said") && return
  if ! heard 'no such'; then
    need_docker
    words_of docker
    fail 3 "Docker does not say how the node of the cluster $cluster is"
  fi
  # Of a cluster without a control plane, some node is left.
  state=created
}

delete_cluster() {
  kind delete cluster --name "$cluster" >"$said" 2>&1 && return
  heard 'docker daemon\|docker API' && need_docker
  words_of kind
  fail 3 "the cluster $cluster cannot be deleted" "docker rm --force --volumes $node; then again"
}

# For what needs a stage that stands, and makes none.
need_stage() {
  if [ -z "${TRACELAB_CONTEXT:-}" ]; then
    look_at_cluster
    case $state in
    none) fail 3 "there is no cluster $cluster" 'kind/up makes it' ;;
    running) ;;
    *) fail 3 "the node of the cluster $cluster is not running ($state)" 'kind/up starts it' ;;
    esac
  fi
  kube get deployment/frontend --output name >"$said" 2>&1 && return
  words_of kubectl
  if heard 'not \{0,1\}found'; then fail 3 "the stage does not stand in $context" "${1:-kind/up brings it up}"; fi
  if heard 'context .*does not exist'; then
    fail 3 "kubectl knows no context $context" "${2:-kind export kubeconfig --name $cluster tells it (or look at what KUBECONFIG names)}"
  fi
  fail 3 "the cluster behind $context does not answer" "${1:-kind/up starts it}"
}

# An image of the working tree: build TAG v1|v2. Its id is in $work/id then.
build() {
  rm -f "$work/id"
  if [ -n "$binary" ]; then
    [ -f "$binary" ] || fail 2 "TRACELAB_BINARY is $binary, and there is no such file" 'the first lines of compose/Dockerfile say how it is made'
    if ! { mkdir -p "$work/context" && cp "$binary" "$work/context/tracelab" && chmod 755 "$work/context/tracelab"; }; then
      fail 3 "$binary cannot be copied"
    fi
    tell "building $1 of $binary"
    set -- "$1" "$2" --target package --build-arg BINARY=tracelab "$work/context"
  else
    tell "building $1: compiling takes some minutes the first time"
    set -- "$1" "$2" .
  fi
  tag=$1 release=$2
  shift 2
  # In a terminal or a log, a build that lasts minutes should be seen to go on.
  { docker build -f compose/Dockerfile --build-arg "VERSION=$release" --iidfile "$work/id" -t "$tag" "$@" 2>&1; echo $? >"$work/code"; } |
    tee "$said" >&2
  read -r code <"$work/code"
  [ "$code" = 0 ] && [ -s "$work/id" ] && return
  if heard 'failed to do request\|no such host\|pull access denied\|failed to resolve\|i/o timeout\|connection refused\|TLS handshake'; then
    fail 3 "the image $tag cannot be built: the base image that compiles cannot be had" \
      'where no registry is, make a static binary as the first lines of compose/Dockerfile say, and then' \
      "TRACELAB_BINARY=compose/bin/tracelab kind/$self …"
  fi
  fail 1 "the image $tag cannot be built (docker build ended with $code); above is why"
}

# Where a binary is named that nobody looks at.
unused_binary() {
  [ -z "$binary" ] || warn "Docker has an image $1 already, and so TRACELAB_BINARY is not looked at" "docker image rm $1; then again"
}

has_image() { docker image inspect "$1" >/dev/null 2>&1; }

# The id that the node has an image under: nothing where it has none.
node_id() {
  full=$1
  case $full in */*) ;; *) full=library/$full ;; esac
  case ${full%%/*} in *.* | *:* | localhost) ;; *) full=docker.io/$full ;; esac
  docker exec "$node" crictl images --no-trunc 2>/dev/null | awk -v image="$full" '$1 ":" $2 == image { print $3; exit }'
}

# load IMAGE: hands it to the node, unless it is there.
load() {
  there=$(docker image inspect --format '{{.Id}}' "$1" 2>/dev/null)
  [ -n "$there" ] && [ "$there" = "$(node_id "$1")" ] && return
  tell "loading $1 into the node"
  kind load docker-image "$1" --name "$cluster" >"$said" 2>&1
}

# Why `load` failed. It blames the image also where Docker has gone.
load_failed() {
  need_docker
  words_of kind
  if heard 'not present locally'; then fail 3 "Docker has no image $1" "$2"; fi
  if heard 'no nodes found'; then fail 3 "there is no cluster $cluster any more" 'kind/up makes it'; fi
  if heard 'is not running\|not running'; then fail 3 "the node of the cluster $cluster is not running" 'kind/up starts it'; fi
  if heard 'content digest\|failed to import\|ctr'; then
    fail 3 "the node does not take the image $1: Docker keeps it for several platforms, and not all of them are here" \
      "docker save --output image.tar --platform linux/\$(docker version --format '{{.Server.Arch}}') $1" \
      "kind load image-archive image.tar --name $cluster; then again"
  fi
  fail 3 "the image $1 cannot be loaded into the cluster $cluster"
}

# The way out of what ails a pod, of a cluster that does not answer (`silent`), and of waiting for nothing that is known (`slow`).
advise() {
  case $1 in
  image)
    tell "  the node has no image $3 and cannot pull it: docker pull it here and run kind/up again, which loads it"
    case $3 in *jaegertracing/*) tell '  where no registry can be reached, `kind/up offline` needs no Jaeger' ;; esac
    ;;
  memory) tell '  its memory limit was too little: for Jaeger, TRACELAB_JAEGER_TRACES=10000 keeps fewer traces' ;;
  crash)
    if heard 'no such file or directory' && [ -n "$binary" ]; then tell "  $binary is not a static binary: compose/Dockerfile says how one is made"; fi
    if heard 'unknown key'; then
      tell "  $3 is older than the files here: docker build -f compose/Dockerfile -t $3 . and kind/up make it new"
    fi
    ;;
  config) tell "  kubectl --context $context -n $namespace describe pod $2 says which ConfigMap, Secret or user it lacks" ;;
  pending)
    case $4 in
    *'Too many pods'*) tell '  the node takes too few pods: kind/down, and kind/up, which makes it for 250' ;;
    *'nsufficient memory'*) tell '  give Docker more memory (the stage wants 3 GB), or leave components out' ;;
    *'nsufficient cpu'*) tell '  the stage wants two cores: give Docker more, or leave components out' ;;
    *) tell "  kubectl --context $context describe node $node says what it has" ;;
    esac
    ;;
  slow) tell '  give it more time with TRACELAB_TIMEOUT=1200 where the machine is slow or busy' ;;
  esac
}
