//! The scripts of the kops stage: under shellcheck, and among programs that say what the real ones would. None of it asks AWS anything.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the reason, which is what a test is for")]

#[path = "support/kops.rs"]
mod kops;
#[path = "support/required.rs"]
mod required;
#[path = "support/shellcheck.rs"]
mod shellcheck;

use std::path::Path;
use std::process::Command;

use kops::{CLUSTER, HOST, Machine};
use required::required;
use tracelab::keeper::find;

const SCRIPTS: [&str; 4] = ["up", "down", "validate", "load/run"];

/// One who lets another Ctrl-C arrive in the script that called it.
const INTERRUPT: &str = r#"kill -INT "$(cat ../repository/.kops/pid)"; exit 130"#;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn shellcheck_finds_nothing() {
    shellcheck::assert_clean("kops", &SCRIPTS);
}

#[test]
fn every_script_explains_itself_and_refuses_what_it_does_not_know() {
    for script in SCRIPTS {
        for flag in ["-h", "--help"] {
            let ran = Machine::new().run(script, &[flag]);
            assert!(ran.out.starts_with(&format!("usage: kops/{script}")), "{}", ran.out);
            assert!(ran.out.contains("Exit codes: 0") && ran.err.is_empty() && ran.commands.is_empty(), "{script}: {}", ran.err);
            assert_eq!(ran.code, 0);
        }
    }
    for (script, word) in [("up", "--loud"), ("up", "mysql"), ("down", "--loud"), ("down", "now"), ("validate", "all")] {
        let ran = Machine::new().run(script, &[word]);
        ran.says(2, &[word]);
        assert!(ran.commands.is_empty(), "{:?}", ran.commands);
    }
}

#[test]
fn the_scripts_variables_are_none_that_tracelab_refuses() {
    let read = |name: &str| std::fs::read_to_string(root().join("kops").join(name)).unwrap();
    let text: String = SCRIPTS.iter().chain(&["lib.sh"]).map(|name| read(name)).collect();
    let words = text.split(|sign: char| !(sign.is_ascii_uppercase() || sign == '_'));
    let names: std::collections::BTreeSet<_> = words.filter(|word| word.starts_with("TRACELAB_") && !word.ends_with('_')).collect();
    assert!(names.len() > 9, "{names:?}");
    for name in names {
        let output = Command::new(env!("CARGO_BIN_EXE_tracelab")).args(["manifest", "kubernetes"]).env(name, "1").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!said.contains("unknown key"), "{name}: {said}");
    }
}

#[test]
fn what_is_not_said_is_asked_for_with_an_example() {
    for (name, example) in [
        ("KOPS_STATE_STORE", "export KOPS_STATE_STORE=s3://BUCKET"),
        ("KOPS_CLUSTER_NAME", "export KOPS_CLUSTER_NAME=tracelab.k8s.local"),
        ("TRACELAB_ZONES", "export TRACELAB_ZONES=eu-west-1a,eu-west-1b,eu-west-1c"),
        ("TRACELAB_ADMIN_NETWORK", "export TRACELAB_ADMIN_NETWORK=203.0.113.7/32"),
        ("TRACELAB_IMAGE", "export TRACELAB_REGISTRY=registry.example"),
    ] {
        let ran = Machine::new().unset(name).run("up", &["--yes"]);
        ran.says(2, &[name, example]);
        assert!(ran.commands.is_empty(), "{name}: {:?}", ran.commands);
    }
    for script in ["down", "validate"] {
        Machine::new().unset("KOPS_STATE_STORE").run(script, &[]).says(2, &["KOPS_STATE_STORE is not set"]);
        Machine::new().unset("KOPS_CLUSTER_NAME").run(script, &[]).says(2, &["KOPS_CLUSTER_NAME is not set"]);
    }
    Machine::new().unset("KOPS_CLUSTER_NAME").run("load/run", &[]).says(2, &["which cluster?", "KOPS_CLUSTER_NAME"]);
}

#[test]
fn a_value_that_cannot_be_meant_is_refused_before_anybody_is_asked() {
    for (name, value, said) in [
        ("KOPS_STATE_STORE", "file:///tmp/x", "no bucket of S3"),
        ("KOPS_STATE_STORE", "s3://", "no bucket of S3"),
        ("KOPS_CLUSTER_NAME", "Trace_lab", "small letters, digits and hyphens"),
        ("KOPS_CLUSTER_NAME", "-x.local", "small letters, digits and hyphens"),
        ("KOPS_CLUSTER_NAME", "x..local", "small letters, digits and hyphens"),
        ("TRACELAB_ZONES", "eu-west-1a,eu-west-1b", "names 2 zones"),
        ("TRACELAB_ZONES", "eu-west-1a,eu-west-1b,us-east-1a", "us-east-1a is not in eu-west-1"),
        ("TRACELAB_ZONES", "eu-west-1a,eu-west-1a,eu-west-1b", "names a zone twice"),
        ("TRACELAB_ZONES", "europe", "\"europe\" is no availability zone"),
        ("TRACELAB_ZONES", "eu-west-1", "\"eu-west-1\" is no availability zone"),
        ("TRACELAB_ADMIN_NETWORK", "0.0.0.0/0", "which is the world"),
        ("TRACELAB_ADMIN_NETWORK", "::/0", "which is the world"),
        ("TRACELAB_ADMIN_NETWORK", "203.0.113.7/32,0.0.0.0/0", "which is the world"),
        ("TRACELAB_ADMIN_NETWORK", "0.0.0.0/00", "which is the world"),
        ("TRACELAB_ADMIN_NETWORK", "0.0.0.0/1,128.0.0.0/1", "much of the world"),
        ("TRACELAB_ADMIN_NETWORK", "2000::/3", "much of the world"),
        ("TRACELAB_ADMIN_NETWORK", "2001:db8::/129", "is no network"),
        ("TRACELAB_ADMIN_NETWORK", "203.0.113.7/24", "which is an address in the network 203.0.113.0/24"),
        ("TRACELAB_ADMIN_NETWORK", "203.0.113.7", "one address is 203.0.113.7/32"),
        ("TRACELAB_ADMIN_NETWORK", "203.0.113.7/33", "is no network"),
        ("TRACELAB_ADMIN_NETWORK", "203.0.113.700/32", "is no network"),
        ("TRACELAB_ADMIN_NETWORK", "office", "is no network"),
        ("TRACELAB_IMAGE", "tracelab:0.1.0", "in no registry of yours"),
        ("TRACELAB_IMAGE", "registry.example/a b", "is no image's name"),
        ("TRACELAB_REGISTRY", "registry.example", "both set"),
        ("TRACELAB_LOGIN", "a:b", "letters, digits and . _ @ -"),
        ("TRACELAB_TIMEOUT", "soon", "a number of seconds"),
        ("TRACELAB_TIMEOUT", "99999999999999999999", "a number of seconds"),
        ("TRACELAB_BINARY", "/no/such/file", "there is no such file"),
        ("TRACELAB_TLS_CERT", "/no/such/file", "go together"),
    ] {
        let machine = Machine::new().unset(name).set(name, value);
        let ran = if name == "TRACELAB_REGISTRY" { machine.set("TRACELAB_IMAGE", "registry.example/tracelab:7") } else { machine }
            .run("up", &["--yes"]);
        ran.says(2, &[said]);
        assert!(ran.changes().is_empty() && !ran.did("aws "), "{name}={value}: {:?}", ran.commands);
        assert!(!ran.err.to_lowercase().contains("illegal") && !ran.err.contains("parameter"), "{}", ran.err);
    }
    for pods in ["0", "1001", "", "four", "99999999999999999999"] {
        Machine::new().run("load/run", &["--pods", pods]).says(2, &["a number from 1 to 1000"]);
    }
    Machine::new().run("load/run", &["--pods"]).says(2, &["--pods takes a number"]);
    Machine::new().run("load/run", &["1000", "it's"]).says(2, &["letters that this script does not pass on"]);
    Machine::new().run("load/run", &["--counts"]).says(2, &["--counts is not for here"]);
}

#[test]
fn a_program_that_is_missing_or_too_old_is_named_with_where_to_get_it() {
    for (program, way_out) in [
        ("kops", "https://kops.sigs.k8s.io/getting_started/install/"),
        ("kubectl", "https://kubernetes.io/docs/tasks/tools/"),
        ("aws", "https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html"),
    ] {
        for script in ["up", "down", "validate"] {
            let ran = Machine::new().without(program).run(script, &[]);
            ran.says(3, &[&format!("there is no program {program} on the PATH"), way_out]);
            assert!(ran.changes().is_empty(), "{:?}", ran.commands);
        }
    }
    let push = || Machine::new().unset("TRACELAB_IMAGE").set("TRACELAB_REGISTRY", "registry.example");
    push().without("docker").run("up", &[]).says(3, &["there is no program docker", "TRACELAB_IMAGE="]);
    // cli/command of docker/cli, client/errors.go of moby/moby
    let silent =
        "echo 'Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?' >&2; exit 1";
    push().when("docker", "version*", silent).run("up", &[]).says(3, &["Docker's engine does not answer", "Cannot connect"]);
    Machine::new().without("kubectl").run("load/run", &[]).says(3, &["there is no program kubectl"]);
    let ran = Machine::new().when("kops", "'version --short'", "echo v1.35.1").run("up", &["--yes"]);
    ran.says(3, &["kops 1.35.1 is too old", "1.36 or newer"]);
    assert!(ran.changes().is_empty(), "{:?}", ran.commands);
}

/// What the AWS CLI says; each script asks it who it is before all else.
#[test]
fn credentials_that_do_not_serve_are_told_with_the_way_out() {
    for (said, words) in [
        // botocore/exceptions.py: NoCredentialsError; the rest is awscli/clidriver.py's.
        (
            "Unable to locate credentials. You can configure credentials by running \"aws configure\".",
            ["there are no credentials for AWS", "aws configure"],
        ),
        // botocore/exceptions.py: ProfileNotFound
        ("The config profile (work) could not be found", ["there are no credentials for AWS", "AWS_PROFILE"]),
        // botocore/exceptions.py: PartialCredentialsError
        ("Partial credentials found in env, missing: AWS_SECRET_ACCESS_KEY", ["there are no credentials for AWS", "aws configure"]),
        // botocore/exceptions.py: SSOTokenLoadError, UnauthorizedSSOTokenError
        ("Error loading SSO Token: Token for https://example.awsapps.com/start does not exist", ["have expired", "aws sso login"]),
        ("The SSO session associated with this profile has expired or is otherwise invalid.", ["have expired", "aws sso login"]),
        // Those of AWS itself, in botocore/exceptions.py: ClientError
        (
            "An error occurred (ExpiredToken) when calling the GetCallerIdentity operation: The security token included in the request is expired",
            ["have expired", "then again"],
        ),
        (
            "An error occurred (InvalidClientTokenId) when calling the GetCallerIdentity operation: The security token included in the request is invalid",
            ["AWS does not know your credentials", "is perhaps not enabled for your account"],
        ),
        (
            "An error occurred (AccessDenied) when calling the GetCallerIdentity operation: not authorized",
            ["may not do that", "https://kops.sigs.k8s.io/getting_started/aws/"],
        ),
        // botocore/exceptions.py: EndpointConnectionError, ConnectTimeoutError
        (
            "Could not connect to the endpoint URL: \"https://sts.eu-west-1.amazonaws.com/\"",
            ["AWS does not answer in eu-west-1", "is this machine online?"],
        ),
        (
            "Connect timeout on endpoint URL: \"https://sts.eu-west-1.amazonaws.com/\"",
            ["AWS does not answer in eu-west-1", "is this machine online?"],
        ),
        ("something new", ["AWS does not say who you are", "aws sts get-caller-identity has to answer"]),
    ] {
        let who = Machine::new().when("aws", "'sts '*", &format!("cat >&2 <<'END'\n{said}\nEND\nexit 253"));
        let ran = who.run("up", &["--yes"]);
        ran.says(3, &[said]);
        ran.says(3, &words);
        assert!(ran.changes().is_empty() && ran.of("aws").len() == 1 && !ran.did("kops create"), "{:?}", ran.commands);
        if said.contains("Unable") {
            for script in ["down", "validate"] {
                let ran = who.run(script, &[]);
                ran.says(3, &words);
                assert!(ran.changes().is_empty(), "{:?}", ran.commands);
            }
        }
    }
}

#[test]
fn a_bucket_that_is_missing_or_anothers_is_told_from_one_that_cannot_be_reached() {
    // awscli's head-bucket has no body to quote: botocore/exceptions.py, ClientError with the status as its code.
    let said = |code: &str, word: &str| {
        format!("echo 'An error occurred ({code}) when calling the HeadBucket operation: {word}' >&2; exit 254")
    };
    for script in ["up", "down", "validate"] {
        let ran = Machine::new().when("aws", "'s3api head-bucket '*", &said("404", "Not Found")).run(script, &[]);
        ran.says(3, &["there is no bucket state", "aws s3api create-bucket", "put-bucket-versioning"]);
        assert!(ran.changes().is_empty(), "{:?}", ran.commands);
        let ran = Machine::new().when("aws", "'s3api head-bucket '*", &said("403", "Forbidden")).run(script, &[]);
        ran.says(3, &["the bucket state is not yours to read", "choose another"]);
    }
    let ran = Machine::new().when("aws", "'s3api head-bucket '*", &said("404", "Not Found")).run("up", &[]);
    ran.says(3, &["--create-bucket-configuration LocationConstraint=eu-west-1"]);
    let first = Machine::new().unset("TRACELAB_ZONES").set("TRACELAB_ZONES", "us-east-1a");
    let ran = first.when("aws", "'s3api head-bucket '*", &said("404", "Not Found")).run("up", &[]);
    assert!(ran.err.contains("--region us-east-1 --bucket state\n"), "the one region that is not to be named: {}", ran.err);
}

#[test]
fn zones_and_machines_are_asked_for_before_any_is_made() {
    let zone = "echo 'An error occurred (InvalidParameterValue) when calling the DescribeAvailabilityZones operation: \
                Invalid availability zone: [eu-west-1z]' >&2; exit 254";
    let region = "echo 'Could not connect to the endpoint URL: \"https://ec2.eu-wets-1.amazonaws.com/\"' >&2; exit 255";
    let zones = "'ec2 describe-availability-zones '*";
    for (machine, words) in [
        (Machine::new().when("aws", zones, zone), ["your account has no such zone in eu-west-1", "lists them"]),
        (Machine::new().when("aws", zones, region), ["AWS does not answer in eu-west-1", "is it spelt right in TRACELAB_ZONES?"]),
        (
            Machine::new().when("aws", "'ec2 describe-instance-type-offerings '*", r"printf 'eu-west-1a\tt3.large\n'"),
            ["AWS has no machines m6i.large in eu-west-1a", "another machineType"],
        ),
    ] {
        let ran = machine.run("up", &["--yes"]);
        ran.says(3, &words);
        assert!(ran.changes().is_empty(), "{:?}", ran.commands);
    }
    // kops' own words for the same: upup/pkg/fi/cloudup/awsup/aws_utils.go, aws_cloud.go; util/pkg/vfs/s3context.go; cmd/kops/util/factory.go
    for (said, words) in [
        (
            "Error: Region is not a recognized EC2 region: \"eu-wets-1\" (check you have specified valid zones?)",
            "AWS does not answer in",
        ),
        (
            "Error: error reading cluster configuration: error getting location for bucket: get identity: get credentials: failed to refresh cached credentials, no EC2 IMDS role found",
            "there are no credentials",
        ),
        ("Error: Unable to read state store s3://state: AccessDenied", "your user of AWS may not do that"),
        ("Error: something of the state store", "kops cannot read its state store s3://state"),
        ("Error: something new", "kops does not say whether there is a cluster"),
    ] {
        let machine = Machine::new().when("kops", "'get cluster '*", &format!("echo '{said}' >&2; exit 1"));
        for script in ["up", "down", "validate"] {
            let ran = machine.run(script, &[]);
            ran.says(3, &[words]);
            assert!(ran.changes().is_empty(), "{:?}", ran.commands);
        }
    }
}

/// The cluster that somebody else made under our name.
fn foreign() -> Machine {
    let machine = Machine::new();
    machine.put(
        "known",
        &format!("kind: Cluster\nmetadata:\n  name: {CLUSTER}\nspec:\n  cloudLabels:\n    team: shop\n  cloudProvider: aws\n"),
    );
    machine
}

#[test]
fn a_cluster_of_anothers_making_is_left_alone() {
    for (script, flags) in [("up", vec!["--yes"]), ("down", vec!["--yes"]), ("validate", vec![])] {
        let ran = foreign().run(script, &flags);
        ran.says(3, &["kops/up did not make it", "choose another name"]);
        assert!(ran.changes().is_empty(), "{:?}", ran.commands);
    }
    // cmd/kops/create.go
    let raced =
        Machine::new().when("kops", "'create '*", &format!("echo 'Error: cluster \"{CLUSTER}\" already exists' >&2; exit 1"));
    let ran = raced.run("up", &["--yes"]);
    ran.says(3, &["already exists", "somebody else has just made a cluster"]);
    assert!(!ran.err.contains("what there is"), "nothing of ours: {}", ran.err);
}

#[test]
fn what_aws_has_under_the_name_and_kops_does_not_know_is_not_taken_over() {
    let machine = Machine::new();
    machine.put(
        "tagged",
        "arn:aws:ec2:eu-west-1:1:vpc/vpc-1\narn:aws:ec2:eu-west-1:1:instance/i-1\narn:aws:ec2:eu-west-1:1:volume/vol-1\n",
    );
    machine.put("alive", "vpc-1\n");
    let ran = machine.run("up", &["--yes"]);
    ran.says(3, &["| arn:aws:ec2:eu-west-1:1:vpc/vpc-1", "of which s3://state knows nothing (1 things)", "kops/down"]);
    assert!(ran.changes().is_empty(), "{:?}", ran.commands);
    // The rights that kops asks for are other ones: docs/getting_started/aws.md.
    let denied = "echo 'An error occurred (AccessDeniedException) when calling the GetResources operation: User: arn is not authorized' >&2; exit 254";
    let ran = Machine::new().when("aws", "'resourcegroupstaggingapi '*", denied).run("up", &["--yes"]);
    ran.says(3, &["may not ask what bears the name", "tag:GetResources", "ResourceGroupsandTagEditorReadOnlyAccess"]);
    // The register of tags names what has been gone for hours.
    machine.put("alive", "");
    machine.run("up", &["--yes"]).says(0, &[]);
}

#[test]
fn up_says_what_it_costs_and_makes_nothing_unless_it_is_told_yes() {
    for (machine, code, words) in [
        (Machine::new(), 2, "Nobody is here to say so"),
        (Machine::new().typing("n\n"), 1, "nothing was changed on AWS"),
        (Machine::new().typing("\n"), 1, "nothing was changed on AWS"),
        (Machine::new().typing("yess\n"), 1, "nothing was changed on AWS"),
    ] {
        let ran = machine.run("up", &[]);
        ran.says(code, &[words, "USD an hour", "3 x m6i.large", "3 NAT gateways", "203.0.113.7/32"]);
        assert!(ran.changes().is_empty() && !ran.err.contains("what there is"), "{:?}", ran.commands);
        assert_eq!(ran.out, "");
    }
    Machine::new().typing("y\n").run("up", &[]).says(0, &["the page: "]);
    let trial = Machine::new().unset("TRACELAB_ZONES").set("TRACELAB_ZONES", "eu-west-1b");
    trial.run("up", &[]).says(2, &["1 NAT gateway\n", "control-plane-a    1 x t3.large"]);
}

#[test]
fn up_makes_cluster_and_stage_and_says_where_they_are() {
    let machine = Machine::new();
    let ran = machine.run("up", &["--yes"]);
    let page = format!("the page: https://{HOST}/\nJaeger:   https://{HOST}/jaeger/\nlogin:    tracelab\npassword: Tr-");
    assert!(ran.code == 0 && ran.out.starts_with(&page), "{}{}", ran.out, ran.err);
    ran.says(0, &["signed by nobody", "92 of 92 pods ready", "the cluster is ready"]);
    let changes = ran.changes();
    let verbs: Vec<_> =
        changes.iter().map(|change| change.split(" --").next().unwrap()).map(|verb| verb.split(" -f").next().unwrap()).collect();
    let secrets = ["kubectl create"; 3];
    assert_eq!(verbs[..3], ["kops create", "kops update cluster", "kubectl apply"], "{changes:#?}");
    assert_eq!(verbs[3..6], secrets, "{changes:#?}");
    assert_eq!(verbs[6..], ["kubectl apply"], "{changes:#?}");

    let told = machine.world("told");
    for line in [
        "  configBase: s3://state/t.k8s.local",
        "  kubernetesApiAccess: [203.0.113.7/32]",
        "  cloudLabels: {tracelab: kops}",
        "    - {name: c, type: Private, zone: eu-west-1c, cidr: 172.20.192.0/18}",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
    for capitals in ["CLUSTER_NAME", "STATE_STORE", "ADMIN_NETWORK", "ZONE_", "# of three"] {
        assert!(!told.contains(capitals), "{capitals}: {told}");
    }
    let settings = std::fs::read_to_string(machine.repository().join(".kops/apply/settings/kustomization.yaml")).unwrap();
    assert!(settings.contains(&format!("- TRACELAB_ALLOWED_HOSTS={HOST},frontend\n")), "{settings}");
    assert!(settings.contains(&format!("- TRACELAB_JAEGER_LINKS=https://{HOST}/jaeger\n")), "{settings}");
    assert!(machine.applied().contains("image: registry.example:5000/tracelab:7\n"), "{}", machine.applied());
    assert!(!machine.repository().join(".kops/pid").exists());
    let running = std::fs::read_to_string(machine.repository().join(".kops/running")).unwrap();
    assert_eq!(running, "docker.io/library/nginx:1.30.4 sha256:abc\n");
}

#[test]
fn a_trial_is_in_one_zone_with_one_control_plane() {
    let machine = Machine::new().unset("TRACELAB_ZONES").set("TRACELAB_ZONES", "eu-west-1b");
    machine.run("up", &["--yes"]).says(0, &[]);
    let told = machine.world("told");
    assert!(told.contains("name: control-plane-a") && !told.contains("control-plane-b"), "{told}");
    assert!(told.contains("{name: a, type: Private, zone: eu-west-1b,") && !told.contains("name: utility-b"), "{told}");
    assert_eq!(told.matches("\n    - a\n").count(), 2, "{told}");
}

#[test]
fn up_again_changes_nothing() {
    let machine = Machine::with_stage();
    let (told, secrets) =
        (machine.world("told"), [machine.world("secret.login"), machine.world("secret.tls"), machine.world("secret.cassandra")]);
    // In another order, and nobody is here to agree.
    let machine = machine.unset("TRACELAB_ZONES").set("TRACELAB_ZONES", "eu-west-1c,eu-west-1a,eu-west-1b");
    let ran = machine.run("up", &[]);
    ran.says(0, &["1 unchanged", &format!("the page: https://{HOST}/"), "login:    tracelab, with the password that was printed"]);
    // kops is told what it knows already, and kubectl what stands already.
    let changes = ran.changes();
    let [replace, apply] = &changes[..] else { panic!("{changes:#?}") };
    assert!(replace.starts_with("kops replace") && apply.starts_with("kubectl apply"), "{changes:#?}");
    assert_eq!(machine.world("told"), told);
    assert_eq!([machine.world("secret.login"), machine.world("secret.tls"), machine.world("secret.cassandra")], secrets);
    // kops counts how often it was told.
    machine.put("generation", "");
    let ran = machine.run("up", &[]);
    ran.says(0, &["the page: "]);
    assert!(!ran.did("--yes --admin"), "{:?}", ran.commands);
}

#[test]
fn a_change_of_the_cluster_is_shown_and_made_only_where_somebody_agrees() {
    let machine = Machine::with_stage().unset("TRACELAB_ADMIN_NETWORK").set("TRACELAB_ADMIN_NETWORK", "198.51.100.9/32");
    let told = machine.world("told");
    let machine = machine.typing("n\n");
    let ran = machine.run("up", &[]);
    let created =
        format!("Will create resources:\n  SecurityGroupRule/from-198.51.100.9/32-ingress-tcp-443to443-api-elb.{CLUSTER}\n");
    let deleted = "Items will be deleted:\n  SecurityGroupRule    sg-1: port=443 protocol=tcp ip=203.0.113.7/32 ipv6=\n";
    ran.says(1, &[&created, deleted, "nothing was changed on AWS", "as it was"]);
    assert!(ran.changes().iter().all(|change| change.starts_with("kops replace")), "{:#?}", ran.changes());
    assert_eq!(machine.world("told"), told, "kops was told to make at the next chance what nobody agreed to");

    let machine = machine.alone();
    machine.run("up", &[]).says(2, &["Nobody is here to say so"]);
    assert_eq!(machine.world("told"), told);

    let machine = machine.typing("y\n");
    machine.run("up", &[]).says(0, &[&created, "kops rolling-update cluster"]);
    assert!(machine.world("made").contains("kubernetesApiAccess: [198.51.100.9/32]"), "{}", machine.world("made"));
    assert_eq!(machine.world("rules"), "198.51.100.9/32\n", "who reached the API before reaches it still");
    let machine = machine.alone();
    let ran = machine.run("up", &[]);
    ran.says(0, &["the page: "]);
    assert!(!ran.err.contains("Items"), "{}", ran.err);
    // kops does not always see at once what is outdated.
    let machine = machine.unset("TRACELAB_ADMIN_NETWORK").set("TRACELAB_ADMIN_NETWORK", "203.0.113.7/32");
    machine.put("rules.unseen", "");
    let ran = machine.run("up", &["--yes"]);
    ran.says(0, &["the API answers 203.0.113.7/32 then, and no other network"]);
    assert!(!ran.err.contains("Items"), "{}", ran.err);
    assert_eq!(machine.world("rules"), "203.0.113.7/32\n");
}

#[test]
fn a_group_of_machines_that_nobody_agrees_to_is_taken_back_and_one_that_is_gone_is_named() {
    let machine = Machine::with_stage();
    let cluster = machine.repository().join("kops/cluster.yaml");
    let text = std::fs::read_to_string(&cluster).unwrap();
    std::fs::write(&cluster, text.replace("  name: stores\n", "  name: others\n")).unwrap();
    let ran = machine.run("up", &[]);
    ran.says(2, &["the group stores is no longer in kops/cluster.yaml", "kops delete instancegroup stores", "Nobody is here"]);
    let deleted = format!("kops delete instancegroup others --name {CLUSTER} --state s3://state --yes");
    assert_eq!(ran.of("kops delete"), [deleted], "only what is new");
}

#[test]
fn what_machines_still_use_is_not_pruned() {
    // upup/pkg/fi/cloudup/awstasks/targetgroup.go
    let outdated = "Items will be deleted only when the --prune flag is specified:\n  TargetGroup          arn:aws:x\n\n";
    let vpc = format!("Will modify resources:\n  VPC/{CLUSTER}\n  \tTags                \t {{}} -> {{team: x}}\n\n");
    for (changes, words) in [
        (outdated, ["Items will be deleted only when", "what is outdated stays until no machine uses it"]),
        (
            &format!("Will create resources:\n  TargetGroup/tcp-api\n\n{outdated}"),
            ["TargetGroup/tcp-api", "stays until no machine uses it"],
        ),
        (&vpc, ["Will modify resources:\n  VPC/", "making machines and network"]),
    ] {
        let machine = Machine::with_stage();
        machine.put("made", "another");
        machine.put("changes", changes);
        let ran = machine.run("up", &["--yes"]);
        ran.says(0, &words);
        assert!(ran.did("--yes --admin") && !ran.did("--prune") && !ran.err.contains("USD an hour"), "{:?}", ran.commands);
    }
}

#[test]
fn zones_belong_to_the_clusters_creation() {
    let machine = Machine::with_stage().unset("TRACELAB_ZONES").set("TRACELAB_ZONES", "eu-west-1a");
    let ran = machine.run("up", &["--yes"]);
    ran.says(2, &["is in eu-west-1a eu-west-1b eu-west-1c, and TRACELAB_ZONES says eu-west-1a", "kops/down first"]);
    assert!(ran.changes().is_empty(), "{:?}", ran.commands);
}

/// What kops ends with while it makes the cluster, and what is there then.
#[test]
fn where_kops_fails_half_way_it_is_said_what_there_is_and_the_next_up_goes_on() {
    const UPDATE: &str = "'update cluster '*' --yes --admin'";
    for (pattern, said, code, words) in [
        // cmd/kops/create.go writes the cluster, then each group, and says nothing of the former where a later one fails.
        (
            "'create -f '*",
            "Error: error parsing file \"cluster.yaml\": unknown field \"spec.nodez\"",
            2,
            ["kops does not take kops/cluster.yaml", "an entry in s3://state, and nothing on AWS"],
        ),
        // upup/pkg/fi/executor.go
        (
            UPDATE,
            "Error: error running tasks: deadline exceeded executing task NatGateway/eu-west-1a. Example error: AddressLimitExceeded: The maximum number of addresses has been reached.",
            3,
            ["your account has a limit in the way", "the cluster t.k8s.local, in part"],
        ),
        (
            UPDATE,
            "Error: error running tasks: IAMRole/x: operation error IAM: CreateRole, StatusCode: 403, api error AccessDenied: User: arn is not authorized to perform: iam:CreateRole",
            3,
            ["your user of AWS may not do that", "the cluster t.k8s.local, in part"],
        ),
        // upup/pkg/fi/cloudup/awsup/aws_cloud.go
        (
            UPDATE,
            "Error: error building complete spec: eu-west-1c is not a recognized AZ",
            3,
            ["kops does not know one of the zones", "in part"],
        ),
        (UPDATE, "Error: something new", 3, ["kops could not make all of the cluster t.k8s.local", "in part"]),
    ] {
        let half =
            if pattern == UPDATE { ":" } else { r#"cp "$3" told; sed 's/{tracelab: kops}/\n    tracelab: kops/' told >known"# };
        let machine = Machine::new().when("kops", pattern, &format!("{half}\ncat >&2 <<'END'\n{said}\nEND\nexit 1"));
        let ran = machine.run("up", &["--yes"]);
        ran.says(code, &[said, "what there is: ", "kops/up goes on from here; kops/down removes it all"]);
        ran.says(code, &words);
        if pattern == UPDATE {
            let machine = machine.recovered();
            let ran = machine.run("up", &["--yes"]);
            ran.says(0, &["is known to kops", "USD an hour", "the page: "]);
            assert!(!ran.did("kops create"), "{:?}", ran.commands);
        }
    }
}

/// What kops prints while a machine is missing: cmd/kops/validate_cluster.go, pkg/validation/validate_cluster.go.
fn unready(end: &str) -> String {
    format!(
        "printf 'Validating cluster t.k8s.local\\n\\nINSTANCE GROUPS\\nNAME\\tROLE\\n\\nNODE STATUS\\nNAME\\tROLE\\tREADY\\n\\nVALIDATION ERRORS\\n\
         KIND\\tNAME\\tMESSAGE\\nMachine\\ti-1\\tmachine \"i-1\" has not yet joined cluster\\n\
         InstanceGroup\\tstores\\tInstanceGroup \"stores\" did not have enough nodes 2 vs 3\\n\\nValidation Failed\\n'; \
         echo 'W1121 11:00:00.000000       1 validate_cluster.go:232] (will retry): cluster not yet healthy' >&2; \
         echo 'Error: {end}' >&2; exit 1"
    )
}

#[test]
fn a_cluster_that_does_not_get_ready_is_told_with_what_it_lacks() {
    let late = unready("validation failed: wait time exceeded during validation");
    let machine = Machine::new().set("TRACELAB_TIMEOUT", "900").when("kops", "'validate cluster '*", &late);
    let ran = machine.run("up", &["--yes"]);
    ran.says(
        1,
        &[
            "2 not ready: Machine i-1 …",
            "machine \"i-1\" has not yet joined cluster",
            "aws ec2 get-console-output --region eu-west-1",
            "did not have enough nodes 2 vs 3",
            "describe-scaling-activities",
            "was not ready after 900 seconds (TRACELAB_TIMEOUT)",
            "what there is: the cluster t.k8s.local",
        ],
    );
    assert!(ran.did("--wait 900s") && !ran.did("kubectl --context"), "{:?}", ran.commands);
    // Once it is ready, the same command goes on.
    let machine = machine.recovered();
    let ran = machine.run("up", &[]);
    ran.says(0, &["the page: "]);
    assert!(!ran.did("--yes --admin"), "{:?}", ran.commands);

    let expired =
        "echo 'Error: validation failed: unexpected error during validation: error listing nodes: Unauthorized' >&2; exit 1";
    let ran = Machine::new().when("kops", "'validate cluster '*", expired).run("up", &["--yes"]);
    ran.says(1, &["the credentials are old: kops export kubeconfig", "kops does not find the cluster t.k8s.local ready"]);
}

#[test]
fn an_api_that_does_not_answer_is_told_with_the_network_that_may_ask() {
    // net.OpError of Go, in client-go's words
    let silent = "echo 'Unable to connect to the server: dial tcp 203.0.113.99:443: i/o timeout' >&2; exit 1";
    let ran = Machine::new().when("kubectl", "'apply --filename '*", silent).run("up", &["--yes"]);
    ran.says(1, &["i/o timeout", "that of TRACELAB_ADMIN_NETWORK", "what there is: the cluster t.k8s.local, without the stage"]);

    // No cluster answers, however often it is asked.
    let machine = Machine::new().when("kubectl", "'get deployments,statefulsets,daemonsets '*", silent);
    let ran = machine.run("up", &["--yes"]);
    ran.says(
        1,
        &["not ready after 1800 seconds (TRACELAB_TIMEOUT)", "i/o timeout", "that of TRACELAB_ADMIN_NETWORK", "and the stage"],
    );
}

#[test]
fn a_load_balancer_that_does_not_come_is_told_with_its_events() {
    let ran = Machine::new().when("kubectl", "'get service door '*", ":").run("up", &["--yes"]);
    ran.says(
        1,
        &[
            "could not find any suitable subnets",
            "AWS has made no load balancer in 600 seconds",
            "describe service door",
            "what there is: the cluster t.k8s.local, and of the stage its load balancer",
        ],
    );
    // It has a name, and nobody knows it yet.
    let unknown = "echo 'curl: (6) Could not resolve host' >&2; exit 6";
    let ran = Machine::new().when("curl", "*", unknown).run("up", &["--yes"]);
    ran.says(1, &["Could not resolve host", "does not answer", "port-forward service/door 8443:443"]);
    ran.says(1, &["the user at the door is tracelab, whose password was not printed", "get secret login"]);
    Machine::new().without("curl").run("up", &["--yes"]).says(0, &["curl is not here"]);
}

#[test]
fn pods_that_do_not_get_ready_are_told_with_the_way_out() {
    let ails = |what: &str| {
        let machine = Machine::new();
        machine.put("pods", "46\n");
        machine.put("troubles", what);
        machine.run("up", &["--yes"])
    };
    // kubelet: pkg/kubelet/images/types.go; scheduler: pkg/scheduler/framework/types.go
    for (line, words) in [
        (
            "dummy-0-0-5||Pending|| ImagePullBackOff|||registry.example:5000/tracelab:7|  Back-off pulling image\n",
            ["ImagePullBackOff: dummy-0-0-5", "the nodes cannot pull registry.example:5000/tracelab:7"],
        ),
        (
            "kafka-0||Pending|Unschedulable| |||apache/kafka|0/6 nodes are available: 6 Insufficient memory.  \n",
            ["Unschedulable: kafka-0", "the nodes are full"],
        ),
        (
            "kafka-0||Pending|Unschedulable| |||apache/kafka|0/6 nodes: 1 node(s) had volume node affinity conflict.  \n",
            ["kafka-0", "its volume is in a zone"],
        ),
        (
            "cassandra-0||Running|| CrashLoopBackOff|OOMKilled|137|cassandra|  \n",
            ["OOMKilled: cassandra-0", "its memory limit was too little"],
        ),
        ("door-1||Running|| CrashLoopBackOff|Error|1|nginx|  \n", ["CrashLoopBackOff: door-1", "| the end of a log"]),
        (
            "door-1||Pending|| CreateContainerConfigError|||nginx|  secret \"tls\" not found\n",
            ["CreateContainerConfigError: door-1", "which ConfigMap, Secret or user"],
        ),
    ] {
        let ran = ails(line);
        ran.says(
            1,
            &[
                "the stage: no pod more got ready in 180 seconds; 46 of 92 are",
                "what there is: the cluster t.k8s.local, and the stage",
            ],
        );
        ran.says(1, &words);
    }
    ails("").says(1, &["not ready after 1800 seconds", "dummy-1-17: FailedCreate: violates PodSecurity"]);
}

#[test]
fn the_password_is_printed_once_and_is_in_no_file_and_no_argument() {
    let machine = Machine::new();
    let ran = machine.run("up", &["--yes"]);
    let printed = ran.out.lines().find_map(|line| line.strip_prefix("password: ")).unwrap().to_owned();
    assert_eq!(printed, machine.secret("login", "password"));
    assert!(!ran.err.contains(&printed));
    // By the Secret, nginx lets this one in and no other.
    let auth = machine.secret("login", "auth");
    let (user, hash) = auth.trim_end().split_once(':').unwrap();
    let salt = hash.split('$').nth(2).unwrap();
    let output = Command::new("openssl").args(["passwd", "-apr1", "-salt", salt, &printed]).output().unwrap();
    assert_eq!((user, String::from_utf8_lossy(&output.stdout).trim_end()), ("tracelab", hash));

    let again = machine.run("up", &[]);
    let cassandra = machine.secret("cassandra", "password");
    for secret in [&printed, &cassandra, &machine.secret("tls", r"tls.key")] {
        assert!(secret.len() > 20, "{secret}");
        assert!(!again.out.contains(secret) && !again.err.contains(secret), "printed again");
        for ran in [&ran, &again] {
            assert!(ran.commands.iter().all(|command| !command.contains(secret.as_str())), "in an argument");
        }
        assert_eq!(files_with(&machine.repository(), secret), [] as [std::path::PathBuf; 0]);
    }
    assert!(again.changes().iter().all(|change| !change.contains("secret")), "{:#?}", again.changes());
    // Between quotes of CQL, and in a URL.
    for value in [cassandra, machine.secret("cassandra", "user")] {
        assert!(value.chars().all(|sign| sign.is_ascii_alphanumeric() || "_-".contains(sign)), "{value}");
    }

    // Who wants another password has the Secret deleted.
    machine.remove("secret.login");
    let ran = machine.run("up", &[]);
    ran.says(0, &["password: Tr-"]);
    assert!(ran.did("rollout restart deployment/door") && machine.secret("login", "password") != printed, "{:?}", ran.commands);

    let machine = machine.set("TRACELAB_LOGIN", "ann");
    let ran = machine.run("up", &[]);
    ran.says(0, &["login:    ann\npassword: Tr-"]);
    assert!(ran.did("rollout restart deployment/door") && machine.secret("login", "password") != printed, "{:?}", ran.commands);
}

fn files_with(folder: &Path, text: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    kops::walk(folder, &mut |path| {
        if String::from_utf8_lossy(&std::fs::read(path).unwrap()).contains(text) {
            found.push(path.to_owned());
        }
    });
    found
}

/// A certificate for names, and its key.
fn certificate(folder: &Path, name: &str, days: &str) -> (String, String) {
    let [certificate, key] = ["crt", "key"].map(|end| folder.join(format!("{name}.{end}")).display().to_string());
    let output = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-subj",
            "/CN=x",
            "-days",
            days,
        ])
        .args([
            "-addext",
            &format!("subjectAltName=DNS:*.example,DNS:{name}.example,DNS:www.{name}.example"),
            "-keyout",
            &key,
            "-out",
            &certificate,
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (certificate, key)
}

#[test]
fn a_certificate_is_looked_at_before_it_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, key) = certificate(folder.path(), "lab", "30");
    let (_, other) = certificate(folder.path(), "other", "30");
    let (short_lived, its_key) = certificate(folder.path(), "late", "1");
    let garbage = folder.path().join("garbage");
    std::fs::write(&garbage, "hello").unwrap();
    let garbage = garbage.display().to_string();
    let with = |certificate: &str, key: &str| Machine::new().set("TRACELAB_TLS_CERT", certificate).set("TRACELAB_TLS_KEY", key);
    for (machine, words) in [
        (with(&ours, &other), "is not that of the certificate"),
        (with(&garbage, &key), "is no certificate that openssl reads"),
        (with(&ours, &garbage), "is no key that openssl reads"),
        (with(&ours, "/no/such/file"), "there is no file /no/such/file to read"),
        (with(&short_lived, &its_key), "is no longer valid tomorrow"),
    ] {
        let ran = machine.run("up", &["--yes"]);
        ran.says(2, &[words]);
        assert!(ran.changes().is_empty() && !ran.did("aws "), "{:?}", ran.commands);
    }

    let machine = with(&ours, &key);
    let ran = machine.run("up", &["--yes"]);
    ran.says(0, &["the page: https://lab.example/", "Jaeger:   https://lab.example/jaeger/", "(a CNAME from lab.example to"]);
    assert!(!ran.out.contains("signed by nobody"), "{}", ran.out);
    let settings = std::fs::read_to_string(machine.repository().join(".kops/apply/settings/kustomization.yaml")).unwrap();
    let hosts = format!("- TRACELAB_ALLOWED_HOSTS=lab.example,www.lab.example,{HOST},frontend\n");
    assert!(settings.contains(&hosts), "{settings}");
    assert_eq!(machine.secret("tls", "tls.crt"), std::fs::read_to_string(&ours).unwrap());
    assert!(!machine.run("up", &[]).did("replace --filename"), "the same certificate");
}

#[test]
fn interrupted_anywhere_it_says_what_there_is_and_goes_on_from_there() {
    for (program, pattern, half, there) in [
        ("kops", "'create -f '*", "", "what there is: perhaps an entry in s3://state, and nothing on AWS"),
        ("kops", "'update cluster '*' --yes --admin'", "", "what there is: the cluster t.k8s.local, in part"),
        ("kops", "'validate cluster '*", "", "what there is: the cluster t.k8s.local, in part"),
        ("kubectl", "'apply --filename '*/door.yaml", "", "what there is: the cluster t.k8s.local, without the stage"),
        ("kubectl", "'create --filename '*", "", "what there is: the cluster t.k8s.local"),
        ("kubectl", "'apply --filename .kops/stage.yaml'", "", "what there is: the cluster t.k8s.local, and the stage in part"),
        ("sleep", "*", "[ -f applied ] || exit 0; ", "what there is: the cluster t.k8s.local, and the stage"),
    ] {
        let machine = Machine::new().when(program, pattern, &format!("{half}{INTERRUPT}"));
        let ran = machine.run("up", &["--yes"]);
        ran.says(130, &[there, "kops/up goes on from here; kops/down removes it all"]);
        assert!(!machine.repository().join(".kops/pid").exists(), "who comes next would have to wait");
        if ran.did("create secret generic login") && !machine.world("secret.login").is_empty() {
            ran.says(130, &["the user at the door is tracelab, whose password was not printed"]);
        }
        let machine = machine.recovered();
        machine.run("up", &["--yes"]).says(0, &["the page: "]);
        assert_eq!(machine.world("made"), machine.world("told"));
    }
    // Of a stage that stands, nothing else is said.
    let machine = Machine::with_stage().when("kubectl", "'get statefulset '*", INTERRUPT);
    machine.run("up", &[]).says(130, &["what there is: the cluster t.k8s.local, and the stage as it was"]);
    // Before anything is made there is nothing to say.
    let machine = Machine::new().when("aws", "'resourcegroupstaggingapi '*", INTERRUPT);
    let ran = machine.run("up", &["--yes"]);
    assert!(ran.code == 130 && ran.changes().is_empty() && !ran.err.contains("what there is"), "{}", ran.err);
    // What kops was told to show is taken back.
    let machine = Machine::with_stage().unset("TRACELAB_ADMIN_NETWORK").set("TRACELAB_ADMIN_NETWORK", "198.51.100.9/32");
    let told = machine.world("told");
    let machine = machine.when("kops", "'update cluster '*", INTERRUPT);
    machine.run("up", &[]).says(130, &["as it was"]);
    assert_eq!(machine.world("told"), told);
}

#[test]
fn two_are_not_at_work_at_once() {
    let machine = Machine::with_stage();
    let pid = machine.repository().join(".kops/pid");
    let mut other = Command::new("sleep").arg("60").spawn().unwrap();
    for script in ["up", "down"] {
        std::fs::write(&pid, format!("{}\n", other.id())).unwrap();
        let ran = machine.run(script, &["--yes"]);
        ran.says(3, &["another kops/up or kops/down is at work", &other.id().to_string(), "remove .kops/pid"]);
        assert!(ran.changes().is_empty() && pid.exists(), "{:?}", ran.commands);
    }
    other.kill().unwrap();
    other.wait().unwrap();
    machine.run("up", &[]).says(0, &["the page: "]);
    assert!(!pid.exists());
}

#[test]
fn what_is_applied_is_by_digest_where_a_registry_can_be_asked() {
    let machine = Machine::new().with("crane");
    machine.run("up", &["--yes"]).says(0, &[]);
    let images = |machine: &Machine| -> Vec<String> {
        machine
            .applied()
            .lines()
            .filter_map(|line| line.trim_start_matches([' ', '-']).strip_prefix("image: "))
            .map(str::to_owned)
            .collect()
    };
    let first = images(&machine);
    assert_eq!(first.len(), 4, "{first:?}");
    assert!(first.iter().all(|image| image.contains("@sha256:")), "{first:?}");
    assert!(first[3].contains("spark-dependencies:v0.7.2-cassandra@sha256:"), "{first:?}");
    // They are asked for once; and what is no longer wanted decides nothing.
    machine.put("stage.yaml", &machine.world("stage.yaml").replace("cassandra:5.0.9", "cassandra:5.0.10"));
    let ran = machine.run("up", &[]);
    assert_eq!(ran.of("crane"), ["crane digest cassandra:5.0.10"]);
    let second = images(&machine);
    assert!(second[1].starts_with("cassandra:5.0.10@sha256:") && second[1] != first[1], "{second:?}");
    // Two images that differ in their tags alone.
    let ran = machine.run("up", &["opensearch"]);
    ran.says(0, &[]);
    let third = images(&machine);
    assert!(third[3].contains("spark-dependencies:v0.7.2-opensearch@sha256:") && third[3] != first[3], "{third:?}");

    let lacks = Machine::new().with("crane").when(
        "crane",
        "'digest registry.example'*",
        // pkg/v1/remote/transport/error.go
        "echo 'Error: MANIFEST_UNKNOWN: manifest unknown' >&2; exit 1",
    );
    let ran = lacks.run("up", &["--yes"]);
    ran.says(3, &["there is no image registry.example:5000/tracelab:7", "TRACELAB_REGISTRY"]);
    assert!(ran.changes().is_empty(), "{:?}", ran.commands);
    let lacks = Machine::new().with("crane").when("crane", "'digest cassandra'*", "echo 'Error: no route to host' >&2; exit 1");
    lacks.run("up", &["--yes"]).says(0, &["the digest of cassandra:5.0.9 cannot be had; it is applied by its tag"]);
}

#[test]
fn an_image_for_a_registry_is_built_pushed_and_applied_by_its_digest() {
    let machine = Machine::new().unset("TRACELAB_IMAGE").set("TRACELAB_REGISTRY", "registry.example/lab/");
    let ran = machine.run("up", &["--yes"]);
    ran.says(0, &["building registry.example/lab/tracelab:0.1.0"]);
    assert!(
        ran.did("docker build -f compose/Dockerfile -t tracelab:0.1.0 .")
            && ran.did("docker push registry.example/lab/tracelab:0.1.0")
    );
    assert!(machine.applied().contains("image: registry.example/lab/tracelab:0.1.0@sha256:5555"), "{}", machine.applied());

    let refused = |registry: &str, said: &str| {
        let machine = Machine::new().unset("TRACELAB_IMAGE").set("TRACELAB_REGISTRY", registry);
        machine.when("docker", "'push '*", &format!("echo '{said}' >&2; exit 1")).run("up", &["--yes"])
    };
    // moby/moby: distribution/errors.go, and the registries' own words
    let ran = refused("1.dkr.ecr.eu-west-1.amazonaws.com", "no basic auth credentials");
    ran.says(
        3,
        &[
            "you may not push",
            "aws ecr get-login-password --region eu-west-1",
            "create-repository --region eu-west-1 --repository-name tracelab",
        ],
    );
    assert!(!ran.did("kops create"), "{:?}", ran.commands);
    refused("registry.example", "denied: requested access to the resource is denied").says(3, &["docker login registry.example"]);
    refused("registry.example", "dial tcp: connection refused").says(3, &["registry.example/tracelab:0.1.0 cannot be pushed"]);
    let broken = Machine::new().unset("TRACELAB_IMAGE").set("TRACELAB_REGISTRY", "registry.example");
    let ran = broken.when("docker", "'build '*", "echo 'error: could not compile' >&2; exit 1").run("up", &["--yes"]);
    ran.says(1, &["could not compile", "the image cannot be built", "TRACELAB_BINARY"]);
    assert!(ran.changes().iter().all(|change| change.starts_with("docker build")), "{:?}", ran.changes());
}

#[test]
fn a_job_that_has_changed_is_run_anew_and_others_are_not() {
    let machine = Machine::with_stage();
    assert!(!machine.run("up", &[]).did("delete job"));
    machine.put("stage.yaml", &machine.world("stage.yaml").replace("cassandra-schema:2.20.0", "cassandra-schema:2.21.0"));
    let ran = machine.run("up", &[]);
    ran.says(0, &["the Job cassandra-schema has changed, and is run anew"]);
    assert_eq!(ran.of("kubectl delete").len(), 1);
    let position = |words: &str| ran.commands.iter().position(|command| command.contains(words)).unwrap();
    assert!(position("delete job cassandra-schema") < position("apply --filename .kops/stage.yaml"));
    assert!(!machine.run("up", &[]).did("delete job"));

    // pkg/apis/apps/validation/validation.go
    let set = "echo 'The StatefulSet \"kafka\" is invalid: spec: Forbidden: updates to statefulset spec for fields other than replicas are forbidden' >&2; exit 1";
    let ran = Machine::with_stage().when("kubectl", "'apply --filename .kops/stage.yaml'", set).run("up", &[]);
    ran.says(3, &["cannot be changed into what is wanted", "delete statefulset NAME"]);
}

#[test]
fn another_store_takes_the_place_and_the_old_one_is_left_to_its_owner() {
    let machine = Machine::with_stage();
    machine.put("stateful", "cassandra");
    let ran = machine.run("up", &["opensearch"]);
    ran.says(0, &["cassandra, with the spans in it, stays beside opensearch until you delete it", "delete persistentvolumeclaim"]);
    assert!(machine.applied().contains("name: opensearch\n") && !ran.did("delete"), "{:?}", ran.commands);
    let fresh = Machine::new();
    fresh.run("up", &["--yes", "opensearch"]).says(0, &[]);
    assert_eq!(fresh.world("secret.cassandra"), "", "nobody wants it");
}

/// A stage of so many services, as far as their room goes.
fn services(count: usize) -> String {
    format!(
        "---\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: dummies\n  namespace: tracelab\nspec:\n  replicas: {count}\n  template:\n    \
         spec:\n      containers:\n      - image: tracelab:0.1.0\n        resources:\n          limits:\n            memory: 64Mi\n          requests:\n            \
         cpu: 5m\n            memory: 8Mi\n"
    )
}

#[test]
fn a_stage_that_the_machines_have_no_room_for_is_refused_before_anything_is_made() {
    // 110 pods a machine, of which 10 are Kubernetes' own.
    for (count, wanted) in [(90, None), (500, None), (1000, Some("8 (they are 3)")), (10_000, Some("98 (they are 3)"))] {
        let machine = Machine::new();
        machine.put("stage.yaml", &(machine.world("stage.yaml") + &services(count)));
        let ran = machine.run("up", &[]);
        match wanted {
            None => ran.says(2, &["Nobody is here to say so"]),
            Some(wanted) => {
                ran.says(2, &["the stage has not enough room", "raise minSize and maxSize of the group services to", wanted]);
                assert!(!ran.did("aws "), "{:?}", ran.commands);
            }
        }
    }
    // With as many as it said, it fits.
    let resized = |from: &str, to: &str| {
        let machine = Machine::new();
        machine.put("stage.yaml", &(machine.world("stage.yaml") + &services(1000)));
        let cluster = machine.repository().join("kops/cluster.yaml");
        let text = std::fs::read_to_string(&cluster).unwrap();
        let (before, group) = text.split_once("  name: services\n").unwrap();
        std::fs::write(&cluster, format!("{before}  name: services\n{}", group.replacen(from, to, 1))).unwrap();
        machine
    };
    resized("minSize: 3", "minSize: 8").run("up", &[]).says(2, &["Nobody is here to say so"]);
    resized("minSize: 3", "minSize: 7").run("up", &[]).says(2, &["not enough room"]);
    resized("machineType: m6i.large", "machineType: z9.mega")
        .run("up", &[])
        .says(3, &["how much room z9.mega has is not known", "AWS has no machines z9.mega"]);
    // Memory counts too, and not only the number of pods.
    let machine = Machine::new();
    machine.put("stage.yaml", &(machine.world("stage.yaml") + &services(60).replace("memory: 8Mi", "memory: 1Gi")));
    machine.run("up", &[]).says(2, &["not enough room", "raise minSize"]);
}

#[test]
fn the_stage_that_up_writes_is_one_that_kustomize_builds_and_the_machines_have_room_for() {
    let kustomize = find("kustomize").map(|program| (program, "build"));
    let Some((program, word)) = kustomize.or_else(|| Some((find("kubectl")?, "kustomize"))) else {
        assert!(!required("kustomize"), "TRACELAB_REQUIRE names kustomize, but neither it nor kubectl is on the PATH");
        eprintln!("skipped: there is neither kustomize nor kubectl");
        return;
    };
    for (store, other) in [("cassandra", "opensearch"), ("opensearch", "cassandra")] {
        let machine = Machine::whole().with("crane");
        let build = format!(r#"(cd ../repository && "{}" {word} "$2")"#, program.display());
        let machine = machine.when("kubectl", "'kustomize '*", &build);
        machine.run("up", &["--yes", store]).says(0, &[]);
        let objects = machine.applied();
        let images: Vec<_> =
            objects.lines().filter_map(|line| line.trim_start_matches([' ', '-']).strip_prefix("image: ")).collect();
        assert!(images.len() > 100 && images.iter().all(|image| image.contains("@sha256:")), "{images:?}");
        let ours = images.iter().filter(|image| image.starts_with("registry.example:5000/tracelab:7@sha256:")).count();
        assert_eq!(ours, 91);
        for text in [
            format!("TRACELAB_ALLOWED_HOSTS: {HOST},frontend\n"),
            format!("TRACELAB_JAEGER_LINKS: https://{HOST}/jaeger\n"),
            format!("\n  name: {store}\n"),
        ] {
            assert!(objects.contains(&text), "{text} is missing");
        }
        assert!(!objects.contains(&format!("\n  name: {other}\n")), "{other}");
        // What scripts and objects call each other by.
        let is_there = |kind: &str, name: &str| {
            let named =
                |object: &str| object.contains(&format!("\nkind: {kind}\n")) && object.contains(&format!("\n  name: {name}\n"));
            assert!(objects.split("---\n").any(named), "no {kind} {name}");
        };
        for (kind, name) in [
            ("Service", "door"),
            ("Deployment", "door"),
            ("Deployment", "frontend"),
            ("StatefulSet", store),
            ("PersistentVolumeClaim", "frontend-state"),
            ("Namespace", "tracelab"),
        ] {
            is_there(kind, name);
        }
        let secrets = [("secretName: tls\n", "tls"), ("secretName: login\n", "login")];
        for (text, name) in secrets.into_iter().chain((store == "cassandra").then_some(("name: cassandra\n", "cassandra"))) {
            assert!(objects.contains(text) && !machine.world(&format!("secret.{name}")).is_empty(), "{name}");
        }
    }
}

#[test]
fn down_deletes_the_stage_first_then_the_cluster_and_looks_that_nothing_is_left() {
    let machine = Machine::with_stage();
    machine.put("volumes", "pvc-1 pvc-2");
    machine.put(
        "tagged",
        "arn:aws:ec2:eu-west-1:1:instance/i-1\narn:aws:ec2:eu-west-1:1:natgateway/nat-1\narn:aws:ec2:eu-west-1:1:volume/vol-1\n",
    );
    let ran = machine.run("down", &["--yes"]);
    ran.says(
        0,
        &["of the cluster t.k8s.local nothing is left in eu-west-1", "the bucket state, the image and its repository stay"],
    );
    assert_eq!(
        ran.changes(),
        [
            "kubectl delete namespace tracelab --wait=false",
            &format!("kops delete cluster --name {CLUSTER} --state s3://state --yes --wait 1800s")
        ]
    );
    let last = |words: &str| ran.commands.iter().rposition(|command| command.contains(words)).unwrap();
    // While the drivers run that made them.
    for words in ["get namespace", "get persistentvolumes", &format!("DNSName=='{HOST}'")] {
        assert!(last(words) < last("kops delete cluster"), "{words}: {:#?}", ran.commands);
        assert!(ran.commands.iter().filter(|command| command.contains(words)).count() > 2, "{words} was not waited for");
    }
    assert!(!machine.repository().join(".kops").exists());
    // Again, there is nothing.
    let ran = machine.run("down", &["--yes"]);
    ran.says(0, &["kops knows no cluster t.k8s.local", "nothing is left"]);
    assert!(ran.changes().is_empty(), "{:?}", ran.commands);
}

#[test]
fn a_load_balancer_that_was_only_told_to_go_is_waited_for() {
    // The namespace has gone, and AWS goes on for three looks more.
    let machine = Machine::with_stage().when(
        "aws",
        "'elbv2 describe-load-balancers '*'DNSName=='*",
        r#"echo >>asked; if [ -f namespace ] || [ "$(wc -l <asked)" -lt 6 ]; then echo ab; else echo None; fi"#,
    );
    let ran = machine.run("down", &["--yes"]);
    ran.says(0, &["nothing is left"]);
    assert_eq!(machine.world("asked").lines().count(), 6);
    // One that stays is said, and looked for afterwards.
    let machine =
        Machine::with_stage().set("TRACELAB_TIMEOUT", "20").when("aws", "'elbv2 describe-load-balancers '*'DNSName=='*", "echo ab");
    let ran = machine.run("down", &["--yes"]);
    ran.says(0, &["still there after 20 seconds (TRACELAB_TIMEOUT): the load balancer ab"]);
}

#[test]
fn down_deletes_nothing_unless_it_is_told_yes() {
    let machine = Machine::with_stage();
    let ran = machine.run("down", &[]);
    ran.says(2, &["Nobody is here to say so", "this deletes the cluster t.k8s.local in account 123456789012, eu-west-1"]);
    assert!(ran.changes().is_empty(), "{:?}", ran.commands);
    let machine = machine.typing("n\n");
    let ran = machine.run("down", &[]);
    ran.says(1, &["nothing was deleted"]);
    assert!(ran.changes().is_empty() && !ran.err.contains("not all is gone"), "{:?}", ran.commands);
    machine.typing("y\n").run("down", &[]).says(0, &["nothing is left"]);
}

#[test]
fn where_kops_knows_no_cluster_a_zone_says_where_to_look() {
    let ran = Machine::new().unset("TRACELAB_ZONES").run("down", &["--yes"]);
    ran.says(2, &["TRACELAB_ZONES=eu-west-1a says in which region to look"]);
    // Where it knows one, that is where it is.
    let ran = Machine::with_stage().unset("TRACELAB_ZONES").run("down", &["--yes"]);
    ran.says(0, &["nothing is left in eu-west-1"]);
}

#[test]
fn what_is_left_is_named_with_how_it_is_removed() {
    let machine = Machine::with_stage();
    machine.put("tagged", "arn:aws:ec2:eu-west-1:1:volume/vol-1\narn:aws:elasticloadbalancing:eu-west-1:1:loadbalancer/net/x/1\narn:aws:ec2:eu-west-1:1:vpc/vpc-1\n");
    machine.put("alive", "vol-1\narn:aws:elasticloadbalancing:eu-west-1:1:loadbalancer/net/x/1\n");
    machine.put("roles", "arn:aws:iam::1:role/nodes.t.k8s.local\n");
    machine.put("objects", "                           PRE addons/\n");
    let ran = machine.run("down", &["--yes"]);
    ran.says(
        1,
        &[
            "| arn:aws:ec2:eu-west-1:1:volume/vol-1",
            "aws ec2 delete-volume",
            "aws elbv2 delete-load-balancer",
            "aws iam delete-role",
            "| s3://state/t.k8s.local/",
            "4 things of the cluster t.k8s.local are left (above), and may cost money",
        ],
    );
    assert!(!ran.out.contains("nothing is left") && !ran.err.contains("vpc-1"), "{}", ran.err);
    // What nobody may look at is not said to be gone.
    let machine = Machine::new().when(
        "aws",
        "'iam list-roles '*",
        "echo 'An error occurred (AccessDenied) when calling the ListRoles operation' >&2; exit 254",
    );
    let ran = machine.run("down", &["--yes"]);
    ran.says(0, &["your user of AWS may not list roles"]);
    assert!(!ran.out.contains("no role"), "{}", ran.out);
    let machine = Machine::with_stage().when(
        "aws",
        "'ec2 describe-volumes '*",
        "echo 'An error occurred (RequestLimitExceeded)' >&2; exit 254",
    );
    machine.put("tagged", "arn:aws:ec2:eu-west-1:1:volume/vol-1\n");
    machine.run("down", &["--yes"]).says(1, &["volume/vol-1"]);
}

#[test]
fn a_deletion_that_fails_says_that_not_all_is_gone() {
    for (said, code, words) in [
        // pkg/resources/ops/delete.go
        ("wait time exceeded during resources deletion", 1, "kops could not delete all of it in time"),
        ("not making progress deleting resources; giving up", 1, "kops could not delete all of it in time"),
        // pkg/client/simple/vfsclientset/clientset.go
        (
            "refusing to delete: unknown file found: s3://state/t.k8s.local/mine",
            3,
            "there are files of somebody else in s3://state/t.k8s.local",
        ),
        (
            "api error UnauthorizedOperation: You are not authorized to perform this operation",
            3,
            "your user of AWS may not do that",
        ),
        ("something new", 1, "the cluster t.k8s.local is not deleted"),
    ] {
        let shell = format!("printf 'vpc:vpc-1\\tstill has dependencies, will retry\\n'; echo 'Error: {said}' >&2; exit 1");
        let machine = Machine::with_stage().when("kops", "'delete cluster '*", &shell);
        let ran = machine.run("down", &["--yes"]);
        ran.says(code, &[said, words, "vpc:vpc-1", "still has dependencies", "not all is gone, and what is left may cost money"]);
        assert!(ran.out.is_empty() && machine.repository().join(".kops").exists(), "{}", ran.out);
    }
    for (program, pattern) in [("kops", "'delete cluster '*"), ("sleep", "*"), ("kubectl", "'delete namespace '*")] {
        let machine = Machine::with_stage().when(program, pattern, INTERRUPT);
        machine
            .run("down", &["--yes"])
            .says(130, &["not all is gone, and what is left may cost money: kops/down goes on from here"]);
        assert!(!machine.repository().join(".kops/pid").exists());
        machine.recovered().run("down", &["--yes"]).says(0, &["nothing is left"]);
    }
}

#[test]
fn a_cluster_that_does_not_answer_is_deleted_all_the_same() {
    let silent = "echo 'Unable to connect to the server: dial tcp 203.0.113.99:443: i/o timeout' >&2; exit 1";
    let ran = Machine::with_stage().when("kubectl", "'get namespace '*", silent).run("down", &["--yes"]);
    ran.says(
        0,
        &[
            "that of TRACELAB_ADMIN_NETWORK",
            "the cluster does not answer: volumes and the load balancer of the stage are looked for afterwards",
        ],
    );
    assert!(ran.did("kops delete cluster"), "{:?}", ran.commands);
    // It stops answering after it was told to delete: no answer is not taken for an empty one.
    let machine = Machine::with_stage().when(
        "kubectl",
        "'get namespace '*",
        &format!("[ -f leaving ] || {{ echo namespace/tracelab; exit; }}; {silent}"),
    );
    let ran = machine.run("down", &["--yes"]);
    ran.says(
        0,
        &["the cluster no longer answers; left were: the namespace, perhaps", "whether they outlive it is seen afterwards"],
    );
    let ran = Machine::with_stage()
        .when("kops", "'export kubeconfig '*", "echo 'Error: cannot export' >&2; exit 1")
        .run("down", &["--yes"]);
    ran.says(0, &["kops gives out no credentials"]);
}

#[test]
fn validate_looks_and_changes_nothing() {
    let machine = Machine::with_stage();
    let ran = machine.run("validate", &[]);
    ran.says(
        0,
        &[
            "Your cluster t.k8s.local is ready",
            "92 of 92 pods ready",
            &format!("the page: https://{HOST}/"),
            "nginx:1.30.4 sha256:abc",
        ],
    );
    assert!(ran.changes().is_empty() && ran.err.is_empty(), "{:?} {}", ran.commands, ran.err);
    Machine::new().run("validate", &[]).says(3, &["there is no cluster t.k8s.local in s3://state", "kops/up makes it"]);

    let changes_nothing = |machine: Machine, code: i32, words: &[&str]| {
        let ran = machine.run("validate", &[]);
        ran.says(code, words);
        assert!(ran.changes().is_empty(), "{:?}", ran.commands);
    };
    let unready = unready("validation failed: cluster not yet healthy");
    let words = [
        "kops does not find the cluster ready",
        "has not yet joined cluster",
        "did not have enough nodes 2 vs 3",
        "92 of 92 pods ready",
    ];
    changes_nothing(Machine::with_stage().when("kops", "'validate cluster '*", &unready), 1, &words);
    let machine = Machine::with_stage();
    machine.put("pods", "46\n");
    machine.put("troubles", "jaeger-query-1||Pending|Unschedulable| |||jaeger|0/6 nodes are available: 6 Insufficient memory.  \n");
    changes_nothing(machine, 1, &["46 of 92 pods ready", "all: 46 of 92", "Unschedulable: jaeger-query-1", "the nodes are full"]);
    let silent = "echo 'Unable to connect to the server: dial tcp 203.0.113.99:443: i/o timeout' >&2; exit 1";
    let machine = Machine::with_stage().when("kubectl", "'get deployments,statefulsets,daemonsets '*", silent);
    changes_nothing(machine, 1, &["i/o timeout", "that of TRACELAB_ADMIN_NETWORK", "the pods cannot be asked for"]);
    let machine = Machine::with_stage().when("kubectl", "'get deployments,statefulsets,daemonsets '*", ":");
    changes_nothing(machine, 1, &["the cluster is there, and the stage is not in it", "kops/up brings it"]);
    let machine = Machine::with_stage().when("kubectl", "'get service door '*", ":");
    changes_nothing(machine, 1, &["the door has no load balancer", "describe service door"]);
    let machine = Machine::with_stage().when("curl", "*", "printf 502");
    changes_nothing(machine, 1, &["it does not answer", "answers 502"]);
    changes_nothing(Machine::with_stage().without("curl"), 0, &["whether it answers was not looked at"]);
}

/// What `tracelab load 10 --json --counts` printed.
const COUNTS: &str = include_str!("support/counts.json");

fn loaded(pods: usize) -> Machine {
    let machine = Machine::new().set("TRACELAB", env!("CARGO_BIN_EXE_tracelab"));
    machine.put("lines", &COUNTS.repeat(pods));
    machine.put("progress", &format!("1||\n{pods}||SuccessCriteriaMet Complete\n"));
    machine
}

#[test]
fn a_load_of_several_pods_is_told_as_one() {
    let machine = loaded(3);
    let ran = machine.run("load/run", &["--pods", "3", "10", "--concurrency", "2"]);
    ran.says(0, &["calls of 3 runs", "3 pods make calls"]);
    assert!(ran.out.starts_with("30 calls of 3 runs"), "results only: {}", ran.out);
    let patch = machine.world("patch");
    for words in [
        r#""/spec/completions", "value": 3}"#,
        r#""/spec/parallelism", "value": 3}"#,
        r#""value": "registry.example/tracelab:7@sha256:5555"}"#,
        r#"["load", "10", "--concurrency", "2", "--json", "--counts"]"#,
    ] {
        assert!(patch.contains(words), "{words}: {patch}");
    }
    let json = loaded(2).run("load/run", &["--pods=2", "--json", "10"]);
    json.says(0, &["\"calls\":20"]);
    let elsewhere = loaded(1).set("TRACELAB_CONTEXT", "kind-tracelab").unset("KOPS_CLUSTER_NAME");
    elsewhere.run("load/run", &["--pods", "1", "10"]).says(0, &["calls of 1 run"]);
}

#[test]
fn a_load_that_is_not_whole_is_told_as_such() {
    // pkg/controller/job/job_controller.go: a Job of indices ends as Failed when each has ended.
    let machine = loaded(3);
    machine.put("progress", "2|1|FailureTarget\n2|1|FailureTarget Failed\n");
    machine.run("load/run", &["--pods", "3", "10"]).says(1, &["calls of 3 runs", "only 2 of 3 pods made all of their calls"]);
    machine.put("lines", &COUNTS.repeat(2));
    machine.run("load/run", &["--pods", "3", "10"]).says(1, &["calls of 2 runs", "only 2 of 3 pods have a result"]);
    machine.put("lines", "Error: no route to host\n");
    machine.run("load/run", &["--pods", "3", "10"]).says(1, &["the results cannot be put together"]);

    let late = loaded(2).set("TRACELAB_TIMEOUT", "30");
    late.put("progress", "1||\n");
    late.run("load/run", &["--pods", "2", "10"])
        .says(1, &["the load has not ended after 30 s", "load-0-x 0/1 Pending", "the pods go on"]);
    let gone = loaded(2).when("sleep", "*", "rm -f load");
    let ran = gone.run("load/run", &["--pods", "2", "10"]);
    ran.says(3, &["the load is gone: did somebody remove it?"]);
    assert!(!ran.err.contains("the pods go on"), "{}", ran.err);
    let interrupted = loaded(2).when("sleep", "*", r#"kill -INT "$PPID""#);
    interrupted.run("load/run", &["--pods", "2", "10"]).says(130, &["the pods go on", "delete job load ends them"]);
    // One answer that does not come is none yet.
    let hiccup = "[ -f once ] || { echo >once; echo 'Unable to connect to the server: net/http: TLS handshake timeout' >&2; exit 1; }; echo '2||Complete'";
    loaded(2).when("kubectl", "'get job/load '*", hiccup).run("load/run", &["--pods", "2", "10"]).says(0, &["calls of 2 runs"]);
    let silent = loaded(2).when("kubectl", "'get job/load '*", "echo 'Unable to connect to the server' >&2; exit 1");
    silent.run("load/run", &["--pods", "2", "10"]).says(3, &["the cluster t.k8s.local no longer answers", "the pods go on"]);

    let not_found = "echo 'Error from server (NotFound): deployments.apps \"frontend\" not found' >&2; exit 1";
    let ran = loaded(2).when("kubectl", "'get deployment/frontend '*", not_found).run("load/run", &["10"]);
    ran.says(3, &["there is no frontend in the cluster t.k8s.local", "kops/up brings it up"]);
    assert!(ran.changes().is_empty(), "{:?}", ran.commands);
}
