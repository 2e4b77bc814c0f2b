//! Chapter 16: a cluster that traces itself. What is changed and the pod that comes of it are traces of their own; what joins them is
//! the time, and the name of an object.

use crate::learn::evidence::{Span, Trace};
use crate::learn::{Evidence, Step};
use crate::topology::ServiceName;

pub const START: &str = "kind/up cluster-traces";
/// As whom a node's parts make spans: who keeps the objects, who has pods run, and who runs them.
const OWN: [&str; 3] = ["apiserver", "kubelet", "containerd"];
/// A pod that is not begun within so much of a change came of another one.
const WITHIN_NS: u64 = 60_000_000_000;

/// The start of a service's pod: what the kubelet did until the container ran.
struct Start<'a> {
    trace: Trace<'a>,
    pod: &'a str,
    /// What the kubelet did, its root.
    span: Span<'a>,
    /// The change that it came of.
    change: Span<'a>,
}

pub fn check(evidence: &Evidence) -> Vec<Step> {
    let mut steps = vec![traced(evidence)];
    if !steps[0].is_done() {
        return steps;
    }
    let starts = starts(evidence);
    steps.push(changed(&starts));
    if starts.is_empty() {
        return steps;
    }
    match followed(evidence, &starts) {
        Ok((step, start)) => steps.extend([step, spent(evidence, start.trace)]),
        Err(step) => steps.push(step),
    }
    steps
}

fn traced(evidence: &Evidence) -> Step {
    let goal = "API server, kubelet and containerd trace themselves into this backend";
    let missing: Vec<_> = OWN.into_iter().filter(|own| !evidence.traces().any(|trace| trace.has_service(own))).collect();
    if missing.is_empty() {
        return Step::done(goal, "it holds spans of all three");
    }
    let start = format!("it takes a cluster that was made for it: kind/down, then {START}");
    let hints = [
        start.as_str(),
        "questions and heartbeats are thrown away: spans come when a pod starts or stops, some 20 seconds after it. Have one do so: \
         kind/redeploy dummy-1-17 v2. After kind/up it takes up to two minutes until all of them have found their collector",
        "kind/components/cluster-traces/README.md says how to see who does not send, and why",
    ];
    Step::open(goal, format!("it holds no span of {}", missing.join(", nor of ")), &hints)
}

fn changed(starts: &[Start<'_>]) -> Step {
    let goal = "a service's deployment was changed, and a pod started for that";
    if !starts.is_empty() {
        return Step::done(goal, format!("{} did, within a minute of a change", starts.len()));
    }
    let hints = [
        "what kind/up makes was not there before, and so is no change: put another version of one service in place",
        "kind/redeploy dummy-1-17 v2, or v1 where v2 runs; its spans are there some 20 seconds later",
        "what nobody has to change for is no change: a version that runs already starts no pod",
    ];
    Step::open(goal, "no start of a service's pod follows a change of its deployment", &hints)
}

/// The start that the learner names.
fn followed<'a, 'b>(evidence: &Evidence, starts: &'b [Start<'a>]) -> Result<(Step, &'b Start<'a>), Step> {
    let goal = "--trace is the start of that pod";
    let hints = [
        "in the search, choose service kubelet and operation syncPod: the kubelet makes one such trace whenever it looks after a pod",
        "that of a start has some 30 spans, of kubelet and containerd, and its first span's k8s.pod.name begins with the service's name",
        "take the id from its address: tracelab learn check 16 --trace TRACE --service SERVICE",
    ];
    let Some(id) = &evidence.answer.trace else { return Err(Step::open(goal, "no trace is named", &hints)) };
    if let Some(start) = starts.iter().find(|start| start.trace.id() == *id) {
        let (pod, ms, wrote) = (start.pod, start.span.duration_ms(), start.change.trace().id());
        #[expect(clippy::cast_precision_loss, reason = "less than a minute of nanoseconds")]
        let after = (start.span.start() - start.change.start()) as f64 / 1e9;
        let saw = format!("{pod} took the node {ms:.0} ms, from {after:.2} s after the change, which is trace {wrote}");
        return Ok((Step::done(goal, saw), start));
    }
    let saw = match evidence.trace(id) {
        None => format!("the backend holds no trace {id}"),
        Some(trace) if trace.has_service("apiserver") => {
            format!("{id} is a request to the API server, which begins a trace of its own for each")
        }
        Some(trace) if trace.spans().any(|span| span.name() == "syncTerminatingPod") => format!("{id} is the end of a pod"),
        Some(_) => format!("{id} is no start of a pod whose deployment was changed"),
    };
    Err(Step::open(goal, saw, &hints))
}

fn spent(evidence: &Evidence, trace: Trace<'_>) -> Step {
    let goal = "--service is who spent most of its time";
    let Some(service) = &evidence.answer.service else {
        let hints = [
            "two programs have spans in that trace: the kubelet, and the one that it calls",
            "who only waits for somebody else spends no time: whose spans have none below them for long?",
        ];
        return Step::open(goal, "no service is named", &hints);
    };
    let shares = trace.self_ms_by_service();
    let of = shares.iter().find(|(name, _)| name == service).map_or(0.0, |(_, own)| *own);
    let share = of / trace.duration_ms().max(f64::MIN_POSITIVE) * 100.0;
    let saw = format!("{service} spent {of:.0} ms of its own, {share:.0} % of the trace");
    if of > 0.0 && shares.iter().all(|(_, own)| *own <= of) {
        return Step::done(goal, saw);
    }
    let hints = [
        "the first span is as long as the trace, and most of that it waits: what counts is self time",
        "each of the kubelet's spans runtime.v1.… has one of the same name below it: who does the work of the two?",
    ];
    Step::open(goal, saw, &hints)
}

/// Starts of services' pods that came of a change of their deployment, as far as that can be known: the change was written shortly
/// before, and to the deployment that the pod is named after. No id leads from one to the other.
fn starts(evidence: &Evidence) -> Vec<Start<'_>> {
    let changes: Vec<_> = evidence.traces().flat_map(Trace::spans).filter_map(|span| Some((change(span)?, span))).collect();
    let start = |trace| {
        let (span, pod, service) = start(trace)?;
        let before = |change: Span<'_>| span.start().checked_sub(change.start()).is_some_and(|ns| ns <= WITHIN_NS);
        let came_of = changes.iter().filter(|(deployment, change)| *deployment == service && before(*change));
        let (_, change) = came_of.max_by_key(|(_, change)| change.start())?;
        Some(Start { trace, pod, span, change: *change })
    };
    evidence.traces().filter_map(start).collect()
}

/// The service whose deployment was changed, where that is what the API server did. Its controllers write how the deployment is, which
/// is another verb, and a subresource.
fn change(span: Span<'_>) -> Option<ServiceName> {
    let is = |key, value| span.attribute(key).unwrap_or_default() == value;
    let wrote = span.service() == "apiserver" && is("verb", "PATCH") && is("resource", "deployments") && is("subresource", "");
    if wrote { span.attribute("name")?.parse().ok() } else { None }
}

/// What the kubelet did to start a container of a service's pod, and whose pod it is.
fn start(trace: Trace<'_>) -> Option<(Span<'_>, &str, ServiceName)> {
    let span = trace.roots().find(|root| root.service() == "kubelet" && root.name() == "syncPod")?;
    let pod = span.attribute("k8s.pod.name")?;
    // A ReplicaSet's hash and its own five letters follow the deployment's name.
    let deployment = pod.rsplitn(3, '-').nth(2)?;
    let runs = |span: Span<'_>| span.service() == "containerd" && span.name().ends_with("/StartContainer");
    Some((span, pod, deployment.parse().ok()?)).filter(|_| trace.spans().any(runs))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::model::Kind;
    use crate::learn::Answer;
    use crate::learn::chapters::made::{Made, One, done};

    const POD: &str = "dummy-1-17-5c4dc8bb6f-8ws9g";
    const SERVICE: &str = "dummy-1-17";
    /// Longer than a change counts.
    const LATER: u64 = 61_000;

    fn id(trace: u64) -> String {
        format!("{trace:032x}")
    }

    /// A request to the API server about an object, with spans as it makes them.
    fn request(made: Made, trace: u64, at: u64, verb: &str, resource: &str, (name, subresource): (&str, &str)) -> Made {
        let trace = &id(trace);
        let what = [("verb", verb), ("resource", resource), ("name", name), ("subresource", subresource)];
        made.with(One { trace, id: "1", service: "apiserver", name: verb, kind: Kind::Server, at: (at, at + 9), ..One::default() })
            .with(One { trace, id: "2", parent: "1", service: "apiserver", at: (at, at + 8), attributes: &what, ..One::default() })
            .with(One { trace, id: "3", parent: "2", service: "etcd", kind: Kind::Server, at: (at + 3, at + 7), ..One::default() })
    }

    /// A pod that is started or stopped, in which the runtime needs `runtime` of the 600 ms.
    fn pod(mut made: Made, trace: u64, at: u64, (root, call): (&str, &str), name: &str, runtime: u64) -> Made {
        let trace = &id(trace);
        let call = format!("runtime.v1.RuntimeService/{call}");
        let of = [("k8s.pod.name", name), ("k8s.namespace.name", "tracelab")];
        made = made.with(One {
            trace,
            id: "1",
            service: "kubelet",
            name: root,
            at: (at, at + 600),
            attributes: &of,
            ..One::default()
        });
        for (id, parent, service, kind) in [("2", "1", "kubelet", Kind::Client), ("3", "2", "containerd", Kind::Server)] {
            made =
                made.with(One { trace, id, parent, service, name: &call, kind, at: (at + 9, at + 9 + runtime), ..One::default() });
        }
        made
    }

    /// Deployment, ReplicaSet, pod and what its controllers write about them; then the node starts the pod, and ends the older one.
    fn redeployed(at: u64, runtime: u64) -> Made {
        let mut made = request(Made::default(), 1, at, "PATCH", "deployments", (SERVICE, ""));
        made = request(made, 2, at + 20, "POST", "pods", ("", ""));
        made = request(made, 3, at + 30, "PUT", "deployments", (SERVICE, "status"));
        made = pod(made, 4, at + 50, ("syncPod", "StartContainer"), POD, runtime);
        made = pod(made, 5, at + 2_000, ("syncTerminatingPod", "StopContainer"), "dummy-1-17-5c7cb76b5b-fjbld", 300);
        // It looks after it now and then.
        made.with(One {
            trace: &id(6),
            service: "kubelet",
            name: "syncPod",
            at: (at + 3_000, at + 3_001),
            attributes: &[("k8s.pod.name", POD)],
            ..One::default()
        })
    }

    fn after(made: Made, trace: Option<u64>, service: Option<&str>) -> (usize, bool) {
        let answer = Answer { trace: trace.map(id), service: service.map(ToOwned::to_owned) };
        done(check, &Evidence { answer, ..made.evidence() })
    }

    #[test]
    fn the_start_of_a_redeployed_services_pod_and_who_spent_its_time_pass() {
        assert_eq!(after(redeployed(0, 500), Some(4), Some("containerd")), (4, true));
        // On some node it may be the other one.
        assert_eq!(after(redeployed(0, 100), Some(4), Some("kubelet")), (4, true));
    }

    #[test]
    fn who_waits_or_took_no_part_is_wrong() {
        for service in [None, Some("kubelet"), Some("apiserver"), Some(SERVICE), Some("")] {
            assert_eq!(after(redeployed(0, 500), Some(4), service), (3, false), "{service:?}");
        }
    }

    #[test]
    fn a_request_an_end_a_round_in_which_nothing_was_to_be_done_and_a_trace_that_is_not_there_are_no_start() {
        for trace in [None, Some(1), Some(2), Some(5), Some(6), Some(99)] {
            assert_eq!(after(redeployed(0, 500), trace, Some("containerd")), (2, false), "{trace:?}");
        }
    }

    #[test]
    fn pods_that_nobodys_change_explains_are_not_enough() {
        let start = |made, at, name| pod(made, 9, at, ("syncPod", "StartContainer"), name, 500);
        let changed = || request(Made::default(), 1, 1_000, "PATCH", "deployments", (SERVICE, ""));
        // What `kind/up` does: it makes deployments, and their pods start.
        let made = request(Made::default(), 1, 0, "POST", "deployments", ("", ""));
        assert_eq!(after(start(made, 100, POD), Some(9), Some("containerd")), (1, false));
        // Another service's, one that started before, one much later, one that is no service's, and one whose container did not run.
        assert_eq!(after(start(changed(), 1_100, "dummy-1-16-5c4dc8bb6f-8ws9g"), Some(9), Some("containerd")), (1, false));
        assert_eq!(after(start(changed(), 900, POD), Some(9), Some("containerd")), (1, false));
        assert_eq!(after(start(changed(), 1_000 + LATER, POD), Some(9), Some("containerd")), (1, false));
        assert_eq!(after(start(changed(), 1_100, "frontend-5c4dc8bb6f-8ws9g"), Some(9), Some("containerd")), (1, false));
        let made = pod(changed(), 9, 1_100, ("syncPod", "RunPodSandbox"), POD, 500);
        assert_eq!(after(made, Some(9), Some("containerd")), (1, false));
        // Its controllers write about a deployment as well.
        let made = request(Made::default(), 1, 1_000, "PATCH", "deployments", (SERVICE, "status"));
        assert_eq!(after(start(made, 1_100, POD), Some(9), Some("containerd")), (1, false));
    }

    #[test]
    fn without_a_cluster_that_traces_itself_nothing_is_done() {
        assert_eq!(done(check, &Evidence::default()), (0, false));
        let made = request(Made::default(), 1, 0, "PATCH", "deployments", (SERVICE, ""));
        assert_eq!(after(made, Some(1), Some("containerd")), (0, false));
    }
}
