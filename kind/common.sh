# shellcheck shell=sh
# What is not used here is used by those who read this in, and what is not set here they set.
# shellcheck disable=SC2034,SC2154,SC2016
# What the scripts of the kind stage and those of the kops stage share: words for people, and looking at pods until they are ready.
#
# POSIX sh without `set -e`: whatever may fail is asked for its exit code. Results go to stdout, all else to stderr.
# Exit codes: 0 done, 1 the answer is no, 2 bad usage, 3 something needed is missing or in the way.
#
# Who reads it in has set `me`, by which the script is known to people, such as kind/up. What looks at pods wants more: `context`,
# `namespace`, `workloads` (kinds of kubectl's), seconds in `poll`, `stuck` and `timeout`, a function `kube`, which is kubectl in that
# cluster, and a function `advise KIND POD IMAGES MESSAGE`, which knows the way out of a trouble there.

set -u

part_of=app.kubernetes.io/part-of=tracelab

work=$(mktemp -d) || exit 3
# The folder in which a script that works alone has put its number.
held=''
leave() { rm -rf "$work" ${held:+"$held/pid"}; }
trap leave EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
# What a program said that failed.
said=$work/said

tell() { printf '%s\n' "$*" >&2; }

# fail CODE WHAT [WAY OUT]…
fail() {
  code=$1
  printf '%s: %s\n' "$me" "$2" >&2
  shift 2
  for line do printf '  %s\n' "$line" >&2; done
  exit "$code"
}

warn() {
  printf '%s: warning: %s\n' "$me" "$1" >&2
  shift
  for line do printf '  %s\n' "$line" >&2; done
}

# The last lines that a program said, in its own words: quote [LINES].
quote() {
  [ -s "$said" ] || return 0
  grep -v '^[[:space:]]*$' "$said" | tail -n "${1:-5}" | cut -c1-400 | sed "s/^/  | /" >&2
}

# The same under its name: words_of PROGRAM [LINES].
words_of() {
  tell "$me: $1 says:"
  quote "${2:-5}"
}

heard() { grep -q -i -e "$1" "$said"; }

number() { case $1 in '' | *[!0-9]*) return 1 ;; esac; }

# More than nine digits are more than some shells count.
need_timeout() {
  case $timeout in
  '' | *[!0-9]* | ??????????*) fail 2 "TRACELAB_TIMEOUT is a number of seconds, and not \"$timeout\"" ;;
  esac
}

need_kubectl() {
  command -v kubectl >/dev/null 2>&1 && return
  fail 3 'there is no program kubectl on the PATH' \
    'install one of version 1.35 or newer: https://kubernetes.io/docs/tasks/tools/ (brew install kubectl; snap install kubectl --classic)'
}

# Whether another script is at work in a folder; who asks, and one that called it, are none.
busy() { read -r other 2>/dev/null <"$1/pid" && [ "$other" != $$ ] && [ "$other" != "$PPID" ] && kill -0 "$other" 2>/dev/null; }

# hold FOLDER WHO: keeps others out of a folder until this script ends. WHO they may be is for people.
hold() {
  not_ours="it may be somebody else's: remove it"
  (umask 077 && mkdir -p "$1") || fail 3 "$1 cannot be written" "$not_ours"
  other=
  if ! busy "$1"; then
    # Who called this holds it, and lets it go.
    [ "$other" = "$PPID" ] && return
    # What is left is of nobody who lives.
    rm -f "$1/pid"
    if (set -C && echo $$ >"$1/pid") 2>/dev/null; then
      held=$1
      return
    fi
    busy "$1" || fail 3 "$1 cannot be written" "$not_ours"
  fi
  fail 3 "another $2 is at work (process $other)" "wait for it, or end it; if that is something else, remove $1/pid"
}

# Lines of `name|generation|seen|wanted|all|updated|available`, one for each workload; a DaemonSet has other words for it.
rollouts() {
  kube get "$workloads" "$@" --output jsonpath='{range .items[*]}{.metadata.name}|{.metadata.generation}|{.status.observedGeneration}|{.spec.replicas}{.status.desiredNumberScheduled}|{.status.replicas}{.status.currentNumberScheduled}|{.status.updatedReplicas}{.status.updatedNumberScheduled}|{.status.availableReplicas}{.status.numberAvailable}{"\n"}{end}'
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

# Says what stands in $work/troubles, the worst first, with a way out for each.
explain() {
  for kind_of in image memory crash config pending; do
    grep "^$kind_of|" "$work/troubles" >"$work/these" || continue
    IFS='|' read -r _ pod reason images message <"$work/these"
    count=$(wc -l <"$work/these")
    others=$(sed -n '2,3p' "$work/these" | cut -d'|' -f2 | tr '\n' ' ')
    more=
    [ "$count" -gt 1 ] && more=" and $((count - 1)) more: $others"
    tell "  $reason: $pod$more"
    [ -n "$message" ] && tell "  | $(printf %s "$message" | cut -c1-400)"
    if [ "$kind_of" = crash ]; then
      kube logs "$pod" --all-containers --previous --tail 5 >"$said" 2>&1
      tell "  its log ends (kubectl --context $context -n $namespace logs $pod --previous):"
      quote
    fi
    advise "$kind_of" "$pod" "$images" "$message"
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

# wait_for WHAT [SELECTOR…]: until every workload that matches runs its newest version, and nothing else.
wait_for() {
  what=$1
  shift
  waited=0 since=0 best=-1 shown='' quiet=0
  while :; do
    if rollouts "$@" >"$work/rollouts" 2>"$said"; then
      read -r ready all <<END
$(progress <"$work/rollouts")
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
    if [ "$waited" -ge "$timeout" ]; then
      trouble="$what: not ready after $timeout seconds (TRACELAB_TIMEOUT)"
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
  tell "$me: $trouble; ${ready:-0} of ${all:-?} are"
  if [ -s "$said" ]; then
    tell "  kubectl says:"
    quote
    advise silent '' '' ''
  fi
  if ailing; then
    explain
  else
    # Where a pod could not even be made, nobody but the events tells.
    kube get events --field-selector type=Warning --sort-by .metadata.creationTimestamp \
      --output jsonpath='{range .items[*]}{.involvedObject.name}: {.reason}: {.message}{"\n"}{end}' >"$said" 2>&1
    tell '  the last warnings:'
    quote
    advise slow '' '' ''
  fi
  return 1
}
