//! kops/SCALING.md: that it is what the program says, that the program reads the manifests, and that it can count.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the reason, which is what a test is for")]

#[path = "../examples/scaling/main.rs"]
#[allow(dead_code, reason = "its main is the example's")]
mod scaling;

use std::path::Path;

use scaling::burst::{Fate, Phase, World};
use scaling::kept::{Kept, kept};
use scaling::limits::{Limit, Limits};
use scaling::measured::Measured;
use scaling::plan::{self, Needs, Sampling, Scenario, spans_of_press};
use scaling::rates::{self, Source};
use tempfile::TempDir;
use tracelab::mystery::Cause;
use tracelab::topology::{Route, Topology};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// An ordinary day.
const KEPT: Kept = Kept { failed: 0.01, slow: 0.03, time: 0.05, spans: 7.0 };

#[test]
fn the_committed_document_is_what_the_manifests_and_figures_come_to() {
    let path = Path::new(ROOT).join("kops/SCALING.md");
    let written = scaling::document::document(Path::new(ROOT)).unwrap();
    if std::env::var_os("TRACELAB_WRITE").is_some() {
        std::fs::write(path, written).unwrap();
    } else {
        let committed = std::fs::read_to_string(path).unwrap();
        assert!(written == committed, "it says otherwise; run: TRACELAB_WRITE=1 cargo test --test scaling");
    }
}

#[test]
fn every_limit_is_read_from_its_manifest_and_named_with_its_line() {
    let limits = limits();
    // Value and place as committed, and what stands there instead in a copy.
    type Of = fn(&Limits) -> &Limit;
    let changes: [(Of, &str, &str, f64); 21] = [
        (|limits| &limits.aggregators, "replicas: 3", "replicas: 5", 5.0),
        (|limits| &limits.decision_wait, "decision_wait: 10s", "decision_wait: 1m", 60.0),
        (|limits| &limits.num_traces, "num_traces: 300000", "num_traces: 7", 7.0),
        (|limits| &limits.errors.rate, "spans_per_second: 4000", "spans_per_second: 4001", 4_001.0),
        (|limits| &limits.slow.burst, "burst_capacity: 20000", "burst_capacity: 20001", 20_001.0),
        (|limits| &limits.share.rate, "spans_per_second: 1000", "spans_per_second: 999", 999.0),
        (|limits| &limits.share_part, "sampling_percentage: 10", "sampling_percentage: 25", 0.25),
        (|limits| &limits.slow_from, "threshold_ms: 500", "threshold_ms: 900", 900.0),
        (|limits| &limits.share_queue, "queue_size: 16777216", "queue_size: 16777217", 16_777_217.0),
        (|limits| &limits.collectors, "maxReplicas: 10", "maxReplicas: 11", 11.0),
        (|limits| &limits.partitions, "PARTITIONS, value: \"12\"", "PARTITIONS, value: \"48\"", 48.0),
        (|limits| &limits.kafka_seconds, "RETENTION_MS, value: \"43200000\"", "RETENTION_MS, value: \"3600000\"", 3_600.0),
        (|limits| &limits.kafka_disk, "storage: 20Gi", "storage: 2Gi", 2_147_483_648.0),
        (|limits| &limits.ingesters, "maxReplicas: 12", "maxReplicas: 13", 13.0),
        (|limits| &limits.ingester_writers, "num_consumers: 32", "num_consumers: 64", 64.0),
        (|limits| &limits.cassandra_seconds, "TRACE_TTL, value: \"259200\"", "TRACE_TTL, value: \"60\"", 60.0),
        (|limits| &limits.cassandra_disk, "storage: 50Gi", "storage: 500Mi", 524_288_000.0),
        (|limits| &limits.opensearch_days, "args: [\"3\",", "args: [\"8\",", 8.0),
        (|limits| &limits.replicas, "replicas: 1", "replicas: 2", 2.0),
        (|limits| &limits.service_cpu, "cpu: 5m", "cpu: 50m", 0.05),
        (|limits| &limits.load_cpu, "cpu: 250m", "cpu: 2", 2.0),
    ];
    for (of, from, to, value) in changes {
        let limit = of(&limits);
        let copy = copy();
        let path = copy.path().join(limit.file);
        let text = std::fs::read_to_string(&path).unwrap();
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        let line = &mut lines[limit.line - 1];
        assert!(line.contains(from), "{}:{} is {line:?}, without {from}", limit.file, limit.line);
        *line = line.replace(from, to);
        std::fs::write(&path, lines.join("\n")).unwrap();
        let changed = Limits::read(copy.path()).unwrap();
        assert_eq!(of(&changed).value, value, "{from} became {to}");
        assert_eq!(of(&changed).line, limit.line);
    }
}

#[test]
fn tags_without_an_index_are_none_that_tell_pods_or_nodes_or_versions_apart() {
    let unindexed = limits().unindexed;
    assert!(unindexed.iter().any(|tag| tag == "telemetry.sdk.name"), "{unindexed:?}");
    for key in ["k8s.pod.name", "k8s.node.name", "service.version", "customer.id", "error", "http.response.status_code"] {
        assert!(!unindexed.iter().any(|tag| tag == key), "{key} is searched for");
    }
    // Jaeger takes them as they stand between the commas.
    assert!(unindexed.iter().all(|tag| tag.trim() == tag && !tag.is_empty()), "{unindexed:?}");
}

#[test]
fn two_numbers_of_one_size_are_told_apart() {
    let limits = limits();
    assert_eq!(limits.nodes.value, limits.stores.value);
    assert!(limits.stores.line > limits.nodes.line);
    assert_eq!(limits.slow.burst.value, limits.share.burst.value);
    assert_ne!(limits.slow.burst.line, limits.share.burst.line);
    assert_ne!(limits.causes_queue.value, limits.share_queue.value);
}

#[test]
fn a_manifest_without_a_limit_is_named() {
    let copy = copy();
    let path = copy.path().join("kops/tracing/kafka/topics.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("PARTITIONS", "PARTS")).unwrap();
    let error = Limits::read(copy.path()).unwrap_err().to_string();
    assert!(error.contains("kops/tracing/kafka/topics.yaml") && error.contains("PARTITIONS"), "{error}");
    std::fs::remove_file(path).unwrap();
    assert!(format!("{:#}", Limits::read(copy.path()).unwrap_err()).contains("cannot read kops/tracing/kafka/topics.yaml"));
}

#[tokio::test]
async fn a_real_press_has_the_spans_and_bytes_that_the_document_counts_with() {
    let committed = measured();
    let again = scaling::measure::measure(300, &limits()).await.unwrap();
    let straight = Topology::new(3, 30, Route::Straight).unwrap();
    let repeated = again.spans.again;
    assert!(
        (again.spans.server + again.spans.client - repeated - spans_of_press(straight) as f64).abs() < 0.03,
        "{:?}",
        again.spans
    );
    assert!(again.spans.internal < 0.1, "{:?}", again.spans);
    assert!(
        (2.0..2.05).contains(&again.propagate.spans),
        "the frontend's, which now and then calls twice: {}",
        again.propagate.spans
    );
    let near = |what: &str, committed: f64, again: f64, tolerance: f64| {
        assert!(
            (again / committed - 1.0).abs() < tolerance,
            "{what}: {committed} is committed, and {again} measured; cargo run --example scaling -- measure"
        );
    };
    near("sent", committed.sent, again.sent, 0.1);
    near("routed", committed.routed, again.routed, 0.1);
    near("batched", committed.batched, again.batched, 0.05);
    near("gzipped", committed.gzipped, again.gzipped, 0.15);
    near("lz4", committed.lz4, again.lz4, 0.15);
    near("rows", committed.cassandra.rows, again.cassandra.rows, 0.05);
    // Few spans have more keys of indices each.
    near("on Cassandra's disk", committed.cassandra.lz4, again.cassandra.lz4, 0.25);
    near("documents", committed.opensearch.documents, again.opensearch.documents, 0.05);
    near("JSON", committed.opensearch.json, again.opensearch.json, 0.05);
}

#[test]
fn what_is_compressed_is_smaller_and_a_resource_of_its_own_costs() {
    let Measured { sent, routed, batched, gzipped, lz4, cassandra, opensearch, .. } = measured();
    assert!(gzipped < lz4 && lz4 < routed && routed < sent && sent < batched);
    assert!(cassandra.lz4 < cassandra.bytes && cassandra.process_rows < cassandra.rows);
    assert!(opensearch.json > batched && opensearch.documents > 10.0);
}

#[test]
fn twice_the_presses_are_twice_the_bytes_and_never_fewer_machines() {
    let (limits, measured) = (limits(), measured());
    for sampling in [Sampling::Policies, Sampling::All] {
        for topology in topologies() {
            let scenarios: Vec<_> = (0..12).map(|power| scenario(topology, f64::from(1 << power), sampling)).collect();
            for pair in scenarios.windows(2) {
                let [one, two] = [&pair[0], &pair[1]].map(|scenario| (scenario.flow(&limits), scenario.ways(&limits, &measured)));
                assert_eq!(two.0.made, 2.0 * one.0.made);
                assert_eq!(two.1.to_aggregators, 2.0 * one.1.to_aggregators);
                assert!(two.1.to_kafka <= 2.0 * one.1.to_kafka * (1.0 + 1e-9) && two.1.to_kafka >= one.1.to_kafka);
                if sampling == Sampling::All {
                    assert!((two.1.to_kafka / one.1.to_kafka - 2.0).abs() < 1e-9, "nothing is cut");
                }
                let [one, two] = [&pair[0], &pair[1]].map(|scenario| counts(&scenario.needs(&limits, &measured)));
                assert!(one.iter().zip(&two).all(|(one, two)| one <= two), "{one:?} then {two:?}");
            }
        }
    }
}

#[test]
fn policies_let_through_no_more_than_they_say_and_less_than_all() {
    let limits = limits();
    for topology in topologies() {
        for presses in [1.0, 100.0, 100_000.0] {
            let flow = scenario(topology, presses, Sampling::Policies).flow(&limits);
            let all = scenario(topology, presses, Sampling::All).flow(&limits);
            assert!(flow.kept.failed <= limits.errors.rate.value * limits.aggregators.value);
            assert!(flow.kept.slow <= limits.slow.rate.value * limits.aggregators.value);
            assert!(flow.kept.share <= limits.share.rate.value * limits.aggregators.value);
            assert!(flow.kept.all() <= flow.wanted.all() && flow.wanted.all() < all.kept.all());
            assert!((all.kept.all() - all.made).abs() < 1e-6 * all.made);
        }
    }
}

#[test]
fn nothing_that_is_planned_is_busier_than_it_should_be() {
    let (limits, measured) = (limits(), measured());
    for topology in topologies() {
        for presses in [10.0, 1_000.0] {
            let scenario = scenario(topology, presses, Sampling::All);
            let (needs, made) = (scenario.needs(&limits, &measured), scenario.flow(&limits).made);
            assert!(made / needs.aggregators <= rates::BUSY * rates::TAIL_SAMPLING.value);
            assert!(made / needs.collectors <= rates::BUSY * rates::COLLECTOR.value);
            assert!(needs.aggregator_memory <= rates::BUSY * limits.aggregator_memory.value);
            let rows = made * measured.cassandra.rows * limits.cassandra_copies.value;
            assert!(rows / needs.cassandras <= rates::BUSY * rates::CORES.value * rates::CASSANDRA.value);
            assert!(needs.cassandra_disk <= rates::STORE.value && needs.opensearch_disk <= rates::STORE.value);
            assert!(needs.ingesters * limits.ingester_writers.value >= needs.writers && needs.partitions >= needs.ingesters);
        }
    }
}

#[test]
fn a_node_has_as_many_pods_of_its_own_as_the_script_counts_and_the_agent() {
    let script = std::fs::read_to_string(Path::new(ROOT).join("kops/up")).unwrap();
    let places = format!("one_pods = pods - {} - node_pods", rates::PODS_OF_NODE.value - 1.0);
    assert!(script.contains(&places), "kops/up does not say {places}");
    assert!(script.contains(&format!("pods=\"${{pods:-{}}}\"", rates::PODS.value)), "{}", rates::PODS.value);
}

#[test]
fn ingesters_take_what_their_writers_write_however_few_of_them_there_are() {
    let (limits, measured) = (limits(), measured());
    let takes =
        |limits: &Limits| plan::parts(limits, &measured).into_iter().find(|part| part.name.starts_with("ingesters")).unwrap().takes;
    let mut twice = limits.clone();
    twice.ingester_writers.value *= 2.0;
    assert_eq!(takes(&twice), 2.0 * takes(&limits));
    let rows = limits.ingesters_min.value * limits.ingester_writers.value / rates::CASSANDRA_ANSWER.value;
    assert!((takes(&limits) * measured.cassandra.rows / rows - 1.0).abs() < 1e-9, "{rows} rows a second");
}

#[test]
fn the_summary_names_the_parts_in_the_order_in_which_they_give_way() {
    let (limits, measured) = (limits(), measured());
    let topology = Topology::new(3, 30, Route::Straight).unwrap();
    let strains = scenario(topology, 100.0, Sampling::Policies).strains(&limits, &measured);
    let order: Vec<_> = strains.iter().map(|strain| strain.part).take(3).collect();
    assert_eq!(order, ["Cassandra, disk", "Cassandra, CPU", "aggregators, CPU"]);
    for strain in strains {
        assert!(strain.takes > 0.0 && !strain.seen.is_empty() && strain.limit.line > 0, "{strain:?}");
    }
}

#[test]
fn a_fan_out_costs_by_its_calls_and_not_by_its_layers() {
    let all = Topology::new(3, 30, Route::All).unwrap();
    assert_eq!(spans_of_press(all), 2 * 931 + 1);
    let limits = limits();
    let made = |topology| scenario(topology, 1.0, Sampling::All).flow(&limits).made;
    assert_eq!(made(all), 1_863.0);
    assert_eq!(made(Topology { route: Route::Random, ..all }), 7.0);
}

#[test]
fn what_is_kept_is_the_same_every_time_and_grows_with_what_is_wrong() {
    let topology = Topology::new(3, 10, Route::Straight).unwrap();
    let of = |cause| kept(topology, cause, 500.0).unwrap();
    let (none, sleep) = (of(Cause::None), of(Cause::Sleep));
    assert_eq!(of(Cause::Sleep), sleep);
    assert!(sleep.slow > none.slow && sleep.time > none.time);
    assert!(of(Cause::Failure).failed > none.failed);
    assert!(none.spans >= 7.0);
    assert!(kept(topology, Cause::None, 5.0).unwrap().slow > 0.9, "nearly everything takes 5 ms");
}

#[test]
fn a_simulation_repeats_itself_and_agrees_with_arithmetic() {
    let (limits, measured) = (limits(), measured());
    let world = world(&limits, &measured);
    let phases = [Phase { presses: 9_000.0, seconds: 120, taken: true }];
    assert_eq!(world.simulate(&phases), world.simulate(&phases));
    let simulated = world.most_simulated(0).unwrap();
    assert!((simulated / world.most(0) - 1.0).abs() < 0.05, "{simulated} and {}", world.most(0));
    let all_alike = world.most_simulated(3).unwrap();
    assert!((all_alike / world.most(3) - 1.0).abs() < 0.12, "{all_alike} and {}", world.most(3));
    let lost = world.simulate(&[Phase { presses: 10_000.0, seconds: 60, taken: true }])[0].part();
    assert!((lost - world.lost_in(0, 10_000.0, 60.0)).abs() < 0.03, "{lost}");
}

#[test]
fn little_is_lost_of_nothing_and_the_share_is_lost_before_errors_are() {
    let (limits, measured) = (limits(), measured());
    let world = world(&limits, &measured);
    let lost = |presses, taken| world.simulate(&[Phase { presses, seconds: 300, taken }]).map(Fate::part);
    assert_eq!(lost(100.0, true), [0.0; 4]);
    for presses in [1_000.0, 5_000.0, 20_000.0] {
        for taken in [true, false] {
            let [share, slow, errors, _] = lost(presses, taken);
            assert!(share >= slow && share >= errors, "{presses}, {taken}: {share}, {slow}, {errors}");
            // What waits, waits in one queue.
            assert!(slow >= errors || !taken, "{presses}: {slow}, {errors}");
        }
    }
    assert!(lost(20_000.0, true)[0] > 0.5);
    assert!(lost(5_000.0, false)[0] > lost(5_000.0, true)[0]);
    assert!(lost(200_000.0, true)[3] > 0.5, "memory is full");
}

#[test]
fn a_jam_costs_the_share_after_half_a_minute_and_causes_when_their_queue_is_full() {
    let (limits, measured) = (limits(), measured());
    let world = world(&limits, &measured);
    let jam = |presses, seconds| world.simulate(&[Phase { presses, seconds, taken: false }]);
    let short = jam(100.0, 25);
    assert_eq!(short.map(Fate::part), [0.0; 4], "{short:?}");
    let long = jam(100.0, 600);
    let first = f64::from(long[0].first.unwrap());
    assert!((first - world.jam_lasts(0, 100.0)).abs() <= 2.0, "{first} and {}", world.jam_lasts(0, 100.0));
    assert!(long[0].part() > 0.8 && long[2].lost == 0.0, "{long:?}");

    let heavy = jam(5_000.0, 600);
    let first = f64::from(heavy[1].first.unwrap());
    assert!((first / world.jam_lasts(1, 5_000.0) - 1.0).abs() < 0.1, "{first} and {}", world.jam_lasts(1, 5_000.0));
}

#[test]
fn every_figure_has_a_source_or_says_why_it_has_none() {
    for (of, rate) in rates::ALL {
        assert!(rate.value > 0.0 && !rate.unit.is_empty(), "{of}");
        match rate.source {
            Source::Public { title, address, date, says } => {
                assert!(address.starts_with("https://") || address.starts_with("http://"), "{of}: {address}");
                assert!(!title.is_empty() && date.contains(|sign: char| sign.is_ascii_digit()) && !says.is_empty(), "{of}");
            }
            Source::Own(text) | Source::Assumed(text) => assert!(!text.is_empty(), "{of}"),
        }
    }
}

fn limits() -> Limits {
    Limits::read(Path::new(ROOT)).unwrap()
}

fn measured() -> Measured {
    Measured::committed().unwrap()
}

fn topologies() -> [Topology; 3] {
    [(3, 30), (10, 100), (100, 100)].map(|(layers, width)| Topology::new(layers, width, Route::Straight).unwrap())
}

fn scenario(topology: Topology, presses: f64, sampling: Sampling) -> Scenario {
    Scenario { topology, presses, sampling, kept: KEPT }
}

fn world<'a>(limits: &'a Limits, measured: &'a Measured) -> World<'a> {
    World { limits, measured, kept: KEPT, spans: KEPT.spans }
}

/// How many there are of everything.
fn counts(needs: &Needs) -> [f64; 8] {
    let Needs { nodes, aggregators, collectors, brokers, partitions, ingesters, cassandras, opensearches, .. } = *needs;
    [nodes, aggregators, collectors, brokers, partitions, ingesters, cassandras, opensearches]
}

/// The manifests, in a folder of their own.
fn copy() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for folder in ["kops", "kind/base"] {
        copy_folder(&Path::new(ROOT).join(folder), &directory.path().join(folder));
    }
    directory
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy_folder(&path, &to);
        } else if path.extension().is_some_and(|ending| ending == "yaml") {
            std::fs::copy(path, to).unwrap();
        }
    }
}
