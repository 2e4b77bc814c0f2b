# shellcheck shell=sh
# What is not used here is used by those who read this in; commands in backquotes are words for people.
# shellcheck disable=SC2034,SC2119,SC2120,SC2016
# What kops/up, kops/down and kops/validate share: names, words for what is wrong, and looking at AWS, cluster and pods.
#
# How they speak and wait is kind/common.sh, which the kind stage reads too.

# A link to a script leads to where the others are.
here=$(readlink -f -- "$0") || exit 3
self=${here##*/}
here=${here%/*}
# Before the directory changes.
from_here() { case $1 in '' | /*) printf %s "$1" ;; *) printf %s "$PWD/$1" ;; esac; }
binary=$(from_here "${TRACELAB_BINARY:-}")
certificate=$(from_here "${TRACELAB_TLS_CERT:-}")
key=$(from_here "${TRACELAB_TLS_KEY:-}")
cd "$here/.." || exit 3
me=kops/$self
# shellcheck source=../kind/common.sh
. kind/common.sh

cluster=${KOPS_CLUSTER_NAME:-}
# kops calls a context like the cluster.
context=$cluster
state_store=${KOPS_STATE_STORE:-}
state_store=${state_store%/}
zones=${TRACELAB_ZONES:-}
namespace=tracelab
local_image=tracelab:0.1.0
# What tells our clusters from others, on everything of theirs (cluster.yaml).
mark='tracelab: kops'
# Not below kops/: a kustomization may not be inside one that it builds on. Git ignores it.
stage=.kops
workloads=deployments,statefulsets,daemonsets
# Seconds: between two looks, without a pod more before what ails the others counts, for the load balancer and its name, for cluster or pods.
poll=5
stuck=180
patience=600
timeout=${TRACELAB_TIMEOUT:-1800}

# Sets `code` to what the first of a pipeline ended with, and ends where a signal ended that.
ended() {
  code=$(cat "$work/code" 2>/dev/null)
  case ${code:=130} in 129 | 130 | 143) exit "$code" ;; esac
}

kube() { kubectl --context "$context" --namespace "$namespace" --request-timeout 30s "$@"; }

need_names() {
  case $state_store in
  '') fail 2 'KOPS_STATE_STORE is not set: where kops keeps what it knows of its clusters' \
    'a bucket of S3 that only you write to: export KOPS_STATE_STORE=s3://BUCKET' ;;
  s3://?*) ;;
  *) fail 2 "KOPS_STATE_STORE is \"$state_store\", and no bucket of S3, which machines on AWS read from" 'export KOPS_STATE_STORE=s3://BUCKET' ;;
  esac
  case $cluster in
  '') fail 2 'KOPS_CLUSTER_NAME is not set: what the cluster is called' \
    'any name in the form of a domain, which need not exist: export KOPS_CLUSTER_NAME=tracelab.k8s.local' ;;
  *[!a-z0-9.-]* | .* | *. | -* | *- | *..* | *.-* | *-.*)
    fail 2 "KOPS_CLUSTER_NAME is \"$cluster\"; kops takes small letters, digits and hyphens, and dots between them" 'one is tracelab.k8s.local' ;;
  esac
  need_timeout
}

# Sets `zones` to one or three names with spaces between them, and `region`.
need_zones() {
  zones=$(printf %s "$zones" | tr ',' ' ')
  region=''
  # shellcheck disable=SC2086
  set -- $zones
  case $# in
  0) fail 2 'TRACELAB_ZONES is not set: the availability zones of AWS that the cluster is in' \
    'three, so that it outlives one of them: export TRACELAB_ZONES=eu-west-1a,eu-west-1b,eu-west-1c' \
    'or one, for a trial that costs less: export TRACELAB_ZONES=eu-west-1a' ;;
  1 | 3) ;;
  *) fail 2 "TRACELAB_ZONES names $# zones" 'name three, or one for a trial: etcd, Kafka and Cassandra decide by a majority, which two have not' ;;
  esac
  for zone do
    case $zone in
    [a-z][a-z]-*-[0-9][a-z]) ;;
    *) fail 2 "TRACELAB_ZONES: \"$zone\" is no availability zone" 'one is eu-west-1a: the region, and a letter' ;;
    esac
    [ -z "$region" ] || [ "${zone%?}" = "$region" ] || fail 2 "TRACELAB_ZONES: $zone is not in $region" 'a cluster is in one region'
    region=${zone%?}
  done
  [ "$(printf '%s\n' "$@" | sort -u | wc -l)" -eq $# ] || fail 2 'TRACELAB_ZONES names a zone twice' 'name three, or one for a trial'
  # In one order, whatever is typed: which subnet is in which zone belongs to the cluster's creation.
  zones=$(printf '%s\n' "$@" | sort | tr '\n' ' ')
  zones=${zones% }
}

need_kops() {
  if ! command -v kops >/dev/null 2>&1; then
    fail 3 'there is no program kops on the PATH' \
      'install version 1.36 or newer: https://kops.sigs.k8s.io/getting_started/install/ (brew install kops)'
  fi
  version=$(kops version --short 2>/dev/null | head -n 1)
  version=${version#v}
  minor=${version#*.}
  minor=${minor%%.*}
  if number "$minor" && [ "${version%%.*}" = 1 ] && [ "$minor" -lt 36 ]; then
    fail 3 "kops $version is too old: it makes no cluster of Kubernetes 1.36" \
      'install 1.36 or newer: https://kops.sigs.k8s.io/getting_started/install/'
  fi
}

need_openssl() {
  command -v openssl >/dev/null 2>&1 && return
  fail 3 'there is no program openssl on the PATH' 'it makes passwords and certificates: apt-get install openssl, or brew install openssl'
}

need_docker() {
  if ! command -v docker >/dev/null 2>&1; then
    fail 3 'there is no program docker on the PATH' \
      'TRACELAB_REGISTRY asks for an image to be pushed: install Docker (https://docs.docker.com/engine/install/)' \
      'or name one that is there already: TRACELAB_IMAGE=REGISTRY/tracelab:0.1.0'
  fi
  docker version --format '{{.Server.Version}}' >"$said" 2>&1 && return
  words_of docker
  if heard 'permission denied'; then
    fail 3 "you may not speak to Docker's engine" 'add yourself to its group and log in again: sudo usermod -aG docker "$USER"'
  fi
  fail 3 "Docker's engine does not answer" 'start it: Docker Desktop, or: sudo systemctl start docker'
}

# Two at a time would each make, or remove, half of a cluster.
alone() { hold "$stage" 'kops/up or kops/down'; }

# What any call of AWS may have said: credentials, rights, region. Returns where it was none of these.
aws_trouble() {
  if heard 'unable to locate credentials\|partial credentials\|retrieving credentials\|no EC2 IMDS role found\|failed to refresh cached credentials\|get credentials\|config profile'; then
    fail 3 'there are no credentials for AWS' 'aws configure, or aws sso login, or AWS_PROFILE names those that you have' \
      'whose rights kops needs: https://kops.sigs.k8s.io/getting_started/aws/'
  fi
  if heard 'ExpiredToken\|RequestExpired\|token .*expired\|session .*expired\|SSO Token'; then
    fail 3 'your credentials for AWS have expired' 'aws sso login, or whatever gave them to you; then again'
  fi
  if heard 'InvalidClientTokenId\|SignatureDoesNotMatch\|AuthFailure\|UnrecognizedClient\|security token .*invalid'; then
    fail 3 'AWS does not know your credentials' 'aws sts get-caller-identity has to answer; aws configure list says where they come from' \
      "where it answers, the region ${region:-} is perhaps not enabled for your account: aws account list-regions"
  fi
  if heard 'Could not connect to the endpoint\|timeout on endpoint URL\|not a recognized EC2 region\|Invalid region\|Invalid endpoint\|name or service not known\|no such host'; then
    fail 3 "AWS does not answer in ${region:-your region}" \
      'is it spelt right in TRACELAB_ZONES? aws ec2 describe-regions --region us-east-1 --query "Regions[].RegionName" --output text lists them' \
      'and is this machine online?'
  fi
  if heard 'UnauthorizedOperation\|AccessDenied\|not authorized\|Forbidden'; then
    fail 3 'your user of AWS may not do that (above is what)' 'the rights that kops needs: https://kops.sigs.k8s.io/getting_started/aws/'
  fi
}

# Whether AWS answers, and who asks. Sets `account`.
need_aws() {
  if ! command -v aws >/dev/null 2>&1; then
    fail 3 'there is no program aws on the PATH' \
      'install the AWS CLI: https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html (brew install awscli)'
  fi
  account=$(aws sts get-caller-identity --region "${region:-us-east-1}" --query Account --output text 2>"$said") && return
  words_of aws
  aws_trouble
  fail 3 'AWS does not say who you are' 'aws sts get-caller-identity has to answer'
}

need_state_store() {
  bucket=${state_store#s3://}
  bucket=${bucket%%/*}
  aws s3api head-bucket --region "${region:-us-east-1}" --bucket "$bucket" >"$said" 2>&1 && return
  words_of aws
  if heard '404\|not found\|NoSuchBucket'; then
    place=${region:-us-east-1}
    # The one region that must not be named.
    if [ "$place" = us-east-1 ]; then place=; else place=" --create-bucket-configuration LocationConstraint=$place"; fi
    fail 3 "there is no bucket $bucket, where KOPS_STATE_STORE points" 'make it:' \
      "aws s3api create-bucket --region ${region:-us-east-1} --bucket $bucket$place" \
      "aws s3api put-bucket-versioning --region ${region:-us-east-1} --bucket $bucket --versioning-configuration Status=Enabled"
  fi
  if heard '403\|forbidden'; then
    fail 3 "the bucket $bucket is not yours to read" 'names of buckets are the same for everybody: it may be somebody else'"'"'s; choose another' \
      'or it is in another account: aws sts get-caller-identity says in which one you are'
  fi
  aws_trouble
  fail 3 "the bucket $bucket of KOPS_STATE_STORE cannot be reached"
}

# Sets `known`: none, ours, or other, and leaves what kops knows in $work/known.yaml.
look_at_cluster() {
  known=none
  if kops get cluster --name "$cluster" --state "$state_store" --output yaml >"$work/known.yaml" 2>"$said"; then
    known=other
    # As kops writes it; with quotes where somebody edited it.
    sed -n '/^  cloudLabels:/,/^  [a-z]/p' "$work/known.yaml" | tr -d "\"'" | grep -q "^    $mark\$" && known=ours
    return
  fi
  # kops says it in two ways.
  heard 'cluster not found\|no clusters found' && return
  words_of kops
  aws_trouble
  if heard 'state store'; then fail 3 "kops cannot read its state store $state_store" 'is it a bucket that you may read? aws s3 ls '"$state_store"; fi
  fail 3 "kops does not say whether there is a cluster $cluster"
}

not_ours() {
  fail 3 "there is a cluster $cluster in $state_store already, and kops/up did not make it" \
    'choose another name: export KOPS_CLUSTER_NAME=mine.k8s.local' \
    "what it is: kops get cluster --name $cluster --output yaml"
}

# Zones of the cluster that is there, and its region.
known_zones() { sed -n 's/^[ -]*zone: *//p' "$work/known.yaml" | tr -d "\"'" | sort -u | tr '\n' ' ' | sed 's/ $//'; }

# For those who did not name zones: where the cluster is says the region.
know_region() {
  if [ "$known" != none ]; then region=$(known_zones) && region=${region%% *} && region=${region%?}; fi
}

# Credentials for kubectl that last for some hours: kops/up's last a day at most.
know_kubectl() {
  kops export kubeconfig --name "$cluster" --state "$state_store" --admin >"$said" 2>&1 && return
  words_of kops
  aws_trouble
  return 1
}

# Why kubectl got no answer, for whoever has to go on or to give up.
api_trouble() {
  if heard 'unauthorized\|must be logged in\|provide credentials\|certificate has expired'; then
    tell "  the credentials are old: kops export kubeconfig --name $cluster --admin"
  elif heard 'context .*does not exist'; then
    tell "  kubectl does not know the cluster yet: kops export kubeconfig --name $cluster --admin"
  elif heard 'timeout\|timed out\|deadline\|unable to connect\|refused\|no such host'; then
    tell '  it answers one network only, that of TRACELAB_ADMIN_NETWORK: if your own address has changed, kops/up with another tells it so'
    tell '  a load balancer that is new has a name that is not known everywhere for some minutes'
  fi
}

# What AWS has that bears the cluster's name, into $work/tagged: ARNs. Our own tag is not asked for: what a driver made bears kops'.
tagged() {
  : >"$work/tagged"
  for filter in "Key=kubernetes.io/cluster/$cluster" "Key=KubernetesCluster,Values=$cluster"; do
    if ! aws resourcegroupstaggingapi get-resources --region "$region" --tag-filters "$filter" \
      --query 'ResourceTagMappingList[].ResourceARN' --output text >"$work/some" 2>"$said"; then
      words_of aws
      if heard 'AccessDenied\|not authorized'; then
        fail 3 "your user of AWS may not ask what bears the name $cluster" 'kops itself does not need that right: tag:GetResources' \
          'the policy ResourceGroupsandTagEditorReadOnlyAccess gives it, for the user or a group of theirs'
      fi
      aws_trouble
      fail 3 "AWS does not say what bears the name $cluster in $region"
    fi
    tr '\t' '\n' <"$work/some" | grep '^arn:' >>"$work/tagged"
  done
  sort -u -o "$work/tagged" "$work/tagged"
}

# Whether a thing is there, asked of those whose it is: the register of tags still names things hours after they are gone.
exists() {
  id=${1##*/}
  case $1 in
  arn:*:ec2:*:instance/*)
    gone=terminated
    set -- ec2 describe-instances --instance-ids "$id" --query 'Reservations[].Instances[].State.Name'
    ;;
  arn:*:ec2:*:natgateway/*)
    gone=deleted
    set -- ec2 describe-nat-gateways --nat-gateway-ids "$id" --query 'NatGateways[].State'
    ;;
  arn:*:ec2:*:volume/*)
    gone=deleted
    set -- ec2 describe-volumes --volume-ids "$id" --query 'Volumes[].State'
    ;;
  arn:*:ec2:*)
    gone=None
    # Of all else, tags go with the thing.
    set -- ec2 describe-tags --filters "Name=resource-id,Values=$id" --query 'Tags[0].ResourceId'
    ;;
  arn:*:elasticloadbalancing:*:loadbalancer/*)
    gone=None
    set -- elbv2 describe-load-balancers --load-balancer-arns "$1" --query 'LoadBalancers[].State.Code'
    ;;
  arn:*:elasticloadbalancing:*:targetgroup/*)
    gone=None
    set -- elbv2 describe-target-groups --target-group-arns "$1" --query 'TargetGroups[].TargetGroupName'
    ;;
  # A listener has no life of its own.
  arn:*:elasticloadbalancing:*:listener*) return 1 ;;
  arn:*:autoscaling:*)
    gone=None
    set -- autoscaling describe-auto-scaling-groups --auto-scaling-group-names "$id" --query 'AutoScalingGroups[].AutoScalingGroupName'
    ;;
  arn:*:sqs:*)
    gone=None
    set -- sqs get-queue-url --queue-name "${1##*:}"
    ;;
  arn:*:events:*:rule/*)
    gone=None
    set -- events describe-rule --name "$id" --query Name
    ;;
  *) return 0 ;;
  esac
  if ! answer=$(aws "$@" --region "$region" --output text 2>"$said"); then
    # InvalidVolume.NotFound, NatGatewayNotFound, LoadBalancerNotFound …; whatever else it is, the thing is not known to be gone.
    ! heard 'NotFound\|NonExistent\|DoesNotExist'
    return
  fi
  case $answer in '' | "$gone") return 1 ;; esac
}

# Those that are still there, into $work/left. Sets `roles` to words where these could be looked at.
left_over() {
  tagged
  : >"$work/left"
  while read -r each <&3; do
    if exists "$each"; then printf '%s\n' "$each" >>"$work/left"; fi
  done 3<"$work/tagged"
  # Roles have no place in the register.
  if aws iam list-roles --query "Roles[?ends_with(RoleName, '.$cluster')].Arn" --output text >"$work/some" 2>"$said"; then
    tr '\t' '\n' <"$work/some" | grep '^arn:' >>"$work/left"
    roles=', no role'
  else
    roles=''
  fi
  aws s3 ls "$state_store/$cluster/" --region "$region" >"$work/objects" 2>/dev/null
  [ -s "$work/objects" ] && printf '%s\n' "$state_store/$cluster/" >>"$work/left"
  [ -s "$work/left" ]
}

# The way out of what ails a pod, of a cluster that does not answer (`silent`), and of waiting for nothing that is known (`slow`).
advise() {
  case $1 in
  image) tell "  the nodes cannot pull $3: is it in the registry, for amd64, and may they read it? The account's own (ECR) they may" ;;
  memory) tell '  its memory limit was too little: SCALING.md says what it takes, and a patch in kops/kustomization.yaml gives it' ;;
  config) tell "  kubectl --context $context -n $namespace describe pod $2 says which ConfigMap, Secret or user it lacks; kops/up makes those" ;;
  pending)
    case $4 in
    *nsufficient* | *'Too many pods'*) tell '  the nodes are full: larger or more of them (machineType, minSize in kops/cluster.yaml), and kops/up again' ;;
    *'volume node affinity'*) tell '  its volume is in a zone where no node has room: one more node there (minSize in kops/cluster.yaml), and kops/up again' ;;
    *) tell "  kubectl --context $context -n $namespace describe pod $2 says what it waits for" ;;
    esac
    ;;
  silent) api_trouble ;;
  slow) tell '  kops/up waits on; TRACELAB_TIMEOUT gives it more time' ;;
  esac
}

# Where the one public load balancer answers; nothing as long as it has no name.
address() {
  kube get service door --output jsonpath='{.status.loadBalancer.ingress[0].hostname}{.status.loadBalancer.ingress[0].ip}' 2>"$said"
}

# Whether the door answers: 0, 1, or 2 where nothing here can ask. Without a login it says 401, which is an answer.
reach() {
  command -v curl >/dev/null 2>&1 || return 2
  # Its certificate may be one that nobody signed.
  status=$(curl --silent --show-error --insecure --max-time 10 --output /dev/null --write-out '%{http_code}' "https://$1/" 2>"$said") || return 1
  case $status in 200 | 301 | 302 | 401) ;; *) echo "https://$1/ answers $status" >"$said"; return 1 ;; esac
}
