# shellcheck shell=sh
# What is not used here is used by those who read this in; commands in backquotes are words for people.
# shellcheck disable=SC2034,SC2119,SC2120,SC2016
# What kind/up, kind/down, kind/check and kind/redeploy share: names, words for what is wrong, and looking at cluster and pods.
#
# POSIX sh without `set -e`: whatever may fail is asked for its exit code. Results go to stdout, all else to stderr.
# Exit codes: 0 done, 1 the answer is no, 2 bad usage, 3 something needed is missing or in the way.

set -u

# A link to a script leads to where the others are.
here=$(readlink -f -- "$0") || exit 3
self=${here##*/}
here=${here%/*}
# Before the directory changes.
binary=${TRACELAB_BINARY:-}
case $binary in '' | /*) ;; *) binary=$PWD/$binary ;; esac
cd "$here/.." || exit 3

cluster=${TRACELAB_CLUSTER:-tracelab}
context=kind-$cluster
namespace=tracelab
node=$cluster-control-plane
default_image=tracelab:0.1.0
image=${TRACELAB_IMAGE:-$default_image}
# What Docker and nodes call an image without a tag.
case ${image##*/} in *[:@]*) ;; *) image=$image:latest ;; esac
part_of=app.kubernetes.io/part-of=tracelab
services=app.kubernetes.io/component=service
# On the Deployment of a service that runs another version than the stage says; its value is the version.
redeployed=tracelab/redeployed
# Git ignores it.
stage=kind/.stage
# Seconds: between two looks at the pods, without a pod more before what ails the others counts, for the API server and the ports.
poll=2
stuck=60
patience=120

work=$(mktemp -d) || exit 3
trap 'rm -rf "$work"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
# What a program said that failed.
said=$work/said

tell() { printf '%s\n' "$*" >&2; }

# fail CODE WHAT [WAY OUT]…
fail() {
  code=$1
  printf 'kind/%s: %s\n' "$self" "$2" >&2
  shift 2
  for line do printf '  %s\n' "$line" >&2; done
  exit "$code"
}

warn() {
  printf 'kind/%s: warning: %s\n' "$self" "$1" >&2
  shift
  for line do printf '  %s\n' "$line" >&2; done
}

# The last lines that a program said, in its own words.
quote() {
  [ -s "$said" ] || return 0
  grep -v '^[[:space:]]*$' "$said" | tail -n "${1:-5}" | sed "s/^/  | /" >&2
}

heard() { grep -q -i -e "$1" "$said"; }

kube() { kubectl --context "$context" --namespace "$namespace" "$@"; }

# The stage's own program, in the frontend's pod.
tracelab() { kube exec deployment/frontend --container frontend -- /tracelab "$@"; }

number() { case $1 in '' | *[!0-9]*) return 1 ;; esac; }

need_names() {
  case $cluster in
  '' | *[!a-z0-9.-]*) fail 2 "TRACELAB_CLUSTER is \"$cluster\"; kind takes small letters, digits, dots and hyphens" ;;
  esac
  case $image in
  *[!A-Za-z0-9._:/@-]*) fail 2 "TRACELAB_IMAGE is \"$image\", which is no image's name" "one is $default_image" ;;
  esac
  # More than nine digits are more than some shells count.
  case ${TRACELAB_TIMEOUT:-600} in
  *[!0-9]* | ??????????*) fail 2 "TRACELAB_TIMEOUT is a number of seconds, and not \"$TRACELAB_TIMEOUT\"" ;;
  esac
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
  tell "kind/$self: docker says:"
  quote
  fail 3 "$what" "$@"
}

need_kind() {
  command -v kind >/dev/null 2>&1 && return
  fail 3 'there is no program kind on the PATH' \
    'install version 0.32 or newer: https://kind.sigs.k8s.io/docs/user/quick-start/#installation' \
    '(brew install kind; or: go install sigs.k8s.io/kind@v0.32.0)'
}

need_kubectl() {
  command -v kubectl >/dev/null 2>&1 && return
  fail 3 'there is no program kubectl on the PATH' \
    'install one of version 1.35 or newer: https://kubernetes.io/docs/tasks/tools/ (brew install kubectl; snap install kubectl --classic)'
}

# Whether another kind/up or kind/check is at work here; who asks, and the check that called it, are none.
busy() { read -r other 2>/dev/null <"$stage/pid" && [ "$other" != $$ ] && [ "$other" != "$PPID" ] && kill -0 "$other" 2>/dev/null; }

# Two at a time would take each other's half-made cluster for one that was given up.
alone() {
  not_ours="it may be somebody else's: remove it"
  (umask 077 && mkdir -p "$stage") || fail 3 "$stage cannot be written" "$not_ours"
  other=
  if ! busy; then
    # Says that the cluster was made, and not there before.
    rm -f "$stage/made"
    # The check that called this holds it, and lets it go.
    [ "$other" = "$PPID" ] && return
    # What is left is of nobody who lives.
    rm -f "$stage/pid"
    if (set -C && echo $$ >"$stage/pid") 2>/dev/null; then
      trap 'rm -rf "$work" "$stage/pid"' EXIT
      return
    fi
    busy || fail 3 "$stage cannot be written" "$not_ours"
  fi
  fail 3 "another kind/up or kind/check is at work (process $other)" "wait for it, or end it; if that is something else, remove $stage/pid"
}

# Sets `nodes` and `state`: none, or what Docker says of the control plane's container (running, exited, created, paused, …).
look_at_cluster() {
  if ! nodes=$(kind get nodes --name "$cluster" 2>"$said"); then
    heard 'docker daemon\|docker API' && need_docker
    tell "kind/$self: kind says:"
    quote
    fail 3 "kind cannot list the nodes of the cluster $cluster"
  fi
  state=none
  [ -z "$nodes" ] && return
  state=$(docker inspect --format '{{.State.Status}}' "$node" 2>"$said") && return
  if ! heard 'no such'; then
    need_docker
    tell "kind/$self: docker says:"
    quote
    fail 3 "Docker does not say how the node of the cluster $cluster is"
  fi
  # Of a cluster without a control plane, some node is left.
  state=created
}

delete_cluster() {
  kind delete cluster --name "$cluster" >"$said" 2>&1 && return
  heard 'docker daemon\|docker API' && need_docker
  tell "kind/$self: kind says:"
  quote
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
  tell "kind/$self: kubectl says:"
  quote
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
  tell "kind/$self: kind says:"
  quote
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

# Lines of `name|generation|seen|wanted|all|updated|available`, one for each Deployment of the stage.
deployments() {
  kube get deployments "$@" --output jsonpath='{range .items[*]}{.metadata.name}|{.metadata.generation}|{.status.observedGeneration}|{.spec.replicas}|{.status.replicas}|{.status.updatedReplicas}|{.status.availableReplicas}{"\n"}{end}'
}

# Of those lines: `READY ALL`, in pods. One counts when it is of the newest version and no older one is left.
progress() {
  awk -F'|' '
    NF == 7 {
      all += $4
      if ($3 < $2) next
      # While an older pod is still there, its successor is not the only one.
      ready = $6 < $7 ? $6 : $7
      if ($5 > $6) ready -= $5 - $6 > ready ? ready : $5 - $6
      sum += ready > $4 ? $4 : ready
    }
    END { print sum + 0, all + 0 }'
}

# What ails pods that are not ready: lines of `KIND|pod|reason|image|message`.
troubles() {
  kube get pods "$@" --output jsonpath='{range .items[*]}{.metadata.name}|{.metadata.deletionTimestamp}|{.status.phase}|{.status.conditions[?(@.type=="PodScheduled")].reason}|{.status.initContainerStatuses[*].state.waiting.reason} {.status.containerStatuses[*].state.waiting.reason}|{.status.containerStatuses[*].lastState.terminated.reason}|{.status.containerStatuses[*].lastState.terminated.exitCode}|{.spec.containers[*].image}|{.status.conditions[?(@.type=="PodScheduled")].message} {.status.initContainerStatuses[*].state.waiting.message} {.status.containerStatuses[*].state.waiting.message}{"\n"}{end}' 2>/dev/null |
    awk -F'|' '
      NF < 9 || $2 != "" { next }
      $5 ~ /ImagePull|ErrImage|InvalidImageName/ { print "image|" $1 "|" $5 "|" $8 "|" $9; next }
      $5 ~ /CrashLoopBackOff/ && $6 ~ /OOMKilled/ { print "memory|" $1 "|" $6 "|" $8 "|exit code " $7; next }
      $5 ~ /CrashLoopBackOff|RunContainerError/ { print "crash|" $1 "|" $5 "|" $8 "|exit code " $7; next }
      $5 ~ /Create.*Error/ { print "config|" $1 "|" $5 "|" $8 "|" $9; next }
      $4 == "Unschedulable" { print "pending|" $1 "|" $4 "|" $8 "|" $9; next }' |
    sed 's/|  */|/g; s/  *|/|/g; s/  *$//'
}

# Those of the stage, or of the one service that `only` names, into $work/troubles; whether there are any.
ailing() {
  troubles -l "$part_of" | { if [ -n "${only:-}" ]; then grep -F "|$only-"; else cat; fi; } >"$work/troubles"
  [ -s "$work/troubles" ]
}

# explain FILE: says what stands in troubles' lines, the worst first, with a way out for each.
explain() {
  for kind_of in image memory crash config pending; do
    grep "^$kind_of|" "$1" >"$work/these" || continue
    IFS='|' read -r _ pod reason images message <"$work/these"
    count=$(wc -l <"$work/these")
    others=$(sed -n '2,3p' "$work/these" | cut -d'|' -f2 | tr '\n' ' ')
    more=
    [ "$count" -gt 1 ] && more=" and $((count - 1)) more: $others"
    tell "  $reason: $pod$more"
    [ -n "$message" ] && tell "  | $(printf %s "$message" | cut -c1-400)"
    case $kind_of in
    image)
      tell "  the node has no image $images and cannot pull it: docker pull it here and run kind/up again, which loads it"
      case $images in *jaegertracing/*) tell '  where no registry can be reached, `kind/up offline` needs no Jaeger' ;; esac
      ;;
    memory) tell '  its memory limit was too little: for Jaeger, TRACELAB_JAEGER_TRACES=10000 keeps fewer traces' ;;
    crash)
      kube logs "$pod" --all-containers --previous --tail 5 >"$said" 2>&1
      tell "  its log ends (kubectl --context $context -n $namespace logs $pod --previous):"
      quote
      if heard 'no such file or directory' && [ -n "$binary" ]; then tell "  $binary is not a static binary: compose/Dockerfile says how one is made"; fi
      if heard 'unknown key'; then
        tell "  $images is older than the files here: docker build -f compose/Dockerfile -t $images . and kind/up make it new"
      fi
      ;;
    config) tell "  kubectl --context $context -n $namespace describe pod $pod says which ConfigMap, Secret or user it lacks" ;;
    pending)
      case $message in
      *'Too many pods'*) tell '  the node takes too few pods: kind/down, and kind/up, which makes it for 250' ;;
      *'nsufficient memory'*) tell '  give Docker more memory (the stage wants 3 GB), or leave components out' ;;
      *'nsufficient cpu'*) tell '  the stage wants two cores: give Docker more, or leave components out' ;;
      *) tell "  kubectl --context $context describe node $node says what it has" ;;
      esac
      ;;
    esac
  done
}

# Says where things stand: in place on a terminal, now and then in a log.
show() {
  [ "$1" = "${shown:-}" ] && return
  if [ -t 2 ]; then
    printf '\r\033[K%s' "$1" >&2
  else
    [ "${quiet:-0}" -gt 0 ] && return
    printf '%s\n' "$1" >&2
    quiet=5
  fi
  shown=$1
}

# wait_for WHAT [SELECTOR…]: until every Deployment that matches runs its newest version, and nothing else.
wait_for() {
  what=$1
  shift
  limit=${TRACELAB_TIMEOUT:-600}
  waited=0 since=0 best=-1 shown='' quiet=0
  while :; do
    if deployments "$@" >"$work/deployments" 2>"$said"; then
      read -r ready all <<END
$(progress <"$work/deployments")
END
      if [ "$all" -gt 0 ] && [ "$ready" -eq "$all" ]; then
        quiet=0
        show "$ready of $all pods ready"
        [ -t 2 ] && tell ''
        return 0
      fi
      show "$ready of $all pods ready"
      [ "$ready" -ne "$best" ] && best=$ready since=$waited
    fi
    if [ "$waited" -ge "$limit" ]; then
      trouble="$what: not ready after $limit seconds (TRACELAB_TIMEOUT)"
      break
    fi
    if [ $((waited - since)) -ge "$stuck" ]; then
      if ailing; then
        trouble="$what: no pod more got ready in $stuck seconds"
        break
      fi
    fi
    sleep "$poll"
    waited=$((waited + poll))
    quiet=$((quiet - 1))
  done
  [ -t 2 ] && [ -n "$shown" ] && tell ''
  tell "kind/$self: $trouble; ${ready:-0} of ${all:-?} are"
  if [ -s "$said" ]; then
    tell "  kubectl says:"
    quote
  fi
  if ailing; then
    explain "$work/troubles"
  else
    # Where a pod could not even be made, nobody but the events tells.
    kube get events --field-selector type=Warning --sort-by .metadata.creationTimestamp \
      --output jsonpath='{range .items[*]}{.involvedObject.name}: {.reason}: {.message}{"\n"}{end}' >"$said" 2>&1
    tell '  the last warnings:'
    quote
    tell '  give it more time with TRACELAB_TIMEOUT=1200 where the machine is slow or busy'
  fi
  return 1
}
