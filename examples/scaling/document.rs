//! The text of kops/SCALING.md around the figures.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use tracelab::mystery::Cause;
use tracelab::topology::{Route, Topology};

use super::burst::{CLASSES, Phase, SEED, World};
use super::kept::{Kept, kept};
use super::limits::{Limit, Limits};
use super::measured::Measured;
use super::plan::{self, DAY, Needs, Sampling, Scenario, WRITERS, spans_of_press};
use super::rates::{self, Source};

/// Layers and width.
const SIZES: [(u16, u16); 3] = [(3, 30), (10, 100), (100, 100)];
/// Presses a second.
const RATES: [f64; 3] = [10.0, 100.0, 1_000.0];
/// For which sizes and changes are named.
const RATE: f64 = 100.0;
const GIB: f64 = 1_073_741_824.0;

/// The whole document, from the manifests below `root`.
///
/// # Errors
/// A manifest or a figure is missing.
pub fn document(root: &Path) -> anyhow::Result<String> {
    let book = Book::new(root)?;
    let mut text = String::new();
    book.write(&mut text).context("a text cannot be written to memory")?;
    Ok(text)
}

/// All that is told.
struct Book {
    limits: Limits,
    measured: Measured,
    sizes: Vec<Size>,
}

struct Size {
    topology: Topology,
    quiet: Kept,
    sleep: Kept,
}

impl Size {
    fn services(&self) -> usize {
        self.topology.services().count()
    }

    fn scenario(&self, presses: f64, sampling: Sampling) -> Scenario {
        Scenario { topology: self.topology, presses, sampling, kept: self.sleep }
    }
}

impl Book {
    fn new(root: &Path) -> anyhow::Result<Self> {
        let limits = Limits::read(root)?;
        let size = |(layers, width)| {
            let topology = Topology::new(layers, width, Route::Straight)?;
            let of = |cause| kept(topology, cause, limits.slow_from.value);
            Ok(Size { topology, quiet: of(Cause::None)?, sleep: of(Cause::Sleep)? })
        };
        // Side by side: the largest takes as long as the others together.
        let sizes: Vec<anyhow::Result<_>> = std::thread::scope(|scope| {
            let sizes = SIZES.map(|of| scope.spawn(move || size(of)));
            sizes.into_iter().map(|size| size.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        });
        let sizes = sizes.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Self { measured: Measured::committed()?, limits, sizes })
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        self.summary(out)?;
        self.press(out)?;
        self.flow(out)?;
        self.first(out)?;
        self.needs(out)?;
        self.changes(out)?;
        self.bursts(out)?;
        self.load(out)?;
        sources(out)
    }

    fn world(&self, size: &Size) -> World<'_> {
        World { limits: &self.limits, measured: &self.measured, kept: size.sleep, spans: spans_of_press(size.topology) as f64 }
    }

    /// Every scenario, in the order of the tables.
    fn scenarios(&self, sampling: Sampling) -> impl Iterator<Item = (&Size, Scenario)> {
        self.sizes.iter().flat_map(move |size| RATES.map(|presses| (size, size.scenario(presses, sampling))))
    }

    fn summary(&self, out: &mut String) -> std::fmt::Result {
        let (limits, measured) = (&self.limits, &self.measured);
        let small = &self.sizes[0];
        let kept = small.sleep.failed + small.sleep.slow + small.sleep.ordinary() * limits.share_part.value;
        let takes =
            |name: &str| plan::parts(limits, measured).into_iter().find(|part| part.name == name).map_or(0.0, |part| part.takes);
        let presses = |name: &str| number(takes(name) / kept / spans_of_press(small.topology) as f64);
        writeln!(
            out,
            "<!-- Written by examples/scaling from the manifests and from measured figures. To change the text, change that; then:
     TRACELAB_WRITE=1 cargo test --test scaling -->
# How far it carries, and what gives way first
Spans a second and bytes a day for {} services, what each part of [the tracing](tracing/README.md) then needs, and which is the first
that has too little. The numbers come from a program (`cargo run --example scaling`): it reads the limits in the manifests here, the sizes
of spans that this sandbox really sends, and rates that others have published ([below](#sources)). Where those range it takes the lowest.
So read *at least this much will do*, and *this is the part to look at first*; then measure.

## In short
- As committed and with the default mystery, the disks of **Cassandra** bear {} presses a second of the 90 services for ever, its CPU {}: a span that
  is kept is {} rows, each in {} copies. At {} the **ingesters** cannot write faster, and it is not CPU that they lack: Jaeger 2.20 writes the rows of
  a span one after the other, and the spans of a partition too
  ([writer](https://github.com/jaegertracing/jaeger/blob/v2.20.0/internal/storage/v2/cassandra/tracestore/writer.go)). {} partitions at {} ms a row are {}
  spans a second. Autoscaling looks at CPU and sees nothing of it.
- **Change first** what costs nothing: index fewer tags, and let an ingester write more rows at a time ([where](#what-to-change-and-where)).
- **Then** see that little is kept: everything behind the aggregator costs by the span that is kept, everything before it next to nothing.
  Three aggregators take {} spans a second, a hundred times what three nodes of Cassandra do.
- **Long requests change everything**: with 100 layers an ordinary press takes {} s, so the policy `slow` wants {} of all. A threshold is a
  number of your system, and not of a manual.
- **The share is lost first**, then slow traces, then errors, in bursts and in jams, as long as there is memory for the decision. Where that is
  not, all are refused alike: [simulated](#bursts-simulated).
",
            list(&self.sizes.iter().map(|size| number(size.services() as f64)).collect::<Vec<_>>()),
            presses("Cassandra, disk"),
            presses("Cassandra, CPU"),
            measured.cassandra.rows,
            limits.cassandra_copies.value,
            presses("ingesters, row after row"),
            limits.partitions.value,
            rates::CASSANDRA_ANSWER.value * 1e3,
            number(takes("ingesters, row after row")),
            number(takes("aggregators, CPU")),
            number(self.sizes[2].sleep.time),
            percent(self.sizes[2].sleep.slow),
        )
    }

    fn press(&self, out: &mut String) -> std::fmt::Result {
        let measured = &self.measured;
        writeln!(
            out,
            "## What a press is, and a span
Every call has a span at either end, and the press itself one in the frontend: 2 × calls + 1. Second attempts and work in the background add
{} in the simulation. Where services only pass the context on (level `propagate`) there are {} spans of a press, those of the frontend.

| layers × width | services | route | calls | spans of a press |
|---|---:|---|---:|---:|",
            percent(self.sizes[0].sleep.spans / spans_of_press(self.sizes[0].topology) as f64 - 1.0),
            measured.propagate.spans,
        )?;
        for (layers, width) in SIZES {
            for route in [Route::Straight, Route::Random, Route::All] {
                let services = number(f64::from(layers) * f64::from(width));
                write!(out, "| {layers} × {width} | {services} | {route} | ")?;
                match Topology::new(layers, width, route) {
                    Ok(topology) => {
                        writeln!(out, "{} | {} |", number(topology.calls() as f64), number(spans_of_press(topology) as f64))?;
                    }
                    Err(_) => {
                        writeln!(out, "more than the {} that are possible | |", number(tracelab::topology::MAX_CALLS as f64))?
                    }
                }
            }
        }
        writeln!(
            out,
            "
Bytes of a span, measured on 1,500 presses of 3 × 30 services with the resource of a pod ({} server, {} client, {} internal spans a press):

| way | form | bytes a span |
|---|---|---:|
| service → agent | OTLP, protobuf, a request for each press | {} |
| agent → aggregator | the same by trace, with a resource each, gzip | {} |
| in the aggregator's queues | batches of {} MB, protobuf | {} |
| aggregator → collector | those with gzip | {} |
| collector → Kafka → ingester | those with LZ4; on disk {} times | {} |
| ingester → Cassandra | {} rows, of which {} are indices of what the resource says | {} |
| on Cassandra's disk | those with LZ4 in chunks of 16 KiB, laid out after Jaeger's schema; {} times | {} |
| ingester → OpenSearch | JSON; {} documents of Lucene's, for a tag is one | {} |
| on OpenSearch's disk | documents × {} bytes; {} times | {} |
| service → agent, `propagate` | as the first, frontend only | {} |
",
            measured.spans.server,
            measured.spans.client,
            measured.spans.internal,
            measured.sent,
            measured.routed,
            format_args!("{}–{}", self.limits.batch_min.value / 1e6, self.limits.batch_max.value / 1e6),
            measured.batched,
            measured.gzipped,
            self.limits.kafka_copies.value,
            measured.lz4,
            measured.cassandra.rows,
            measured.cassandra.process_rows,
            number(measured.cassandra.bytes),
            self.limits.cassandra_copies.value,
            measured.cassandra.lz4,
            measured.opensearch.documents,
            number(measured.opensearch.json),
            rates::LUCENE.value,
            1.0 + self.limits.replicas.value,
            number(measured.opensearch.documents * rates::LUCENE.value),
            measured.propagate.sent,
        )?;
        writeln!(
            out,
            "A span out of context costs {} times what it costs among its like: batches of {} MB are worth waiting a second for.

What the policies want of a press, by simulation in virtual time (two to eight mysteries each, route straight): *failed* has a span with an error,
also where the second attempt went well; *slow* takes {} ms or longer; of the rest {} are kept. With nothing wrong | with the mystery `sleep`:

| services | failed | slow | kept of all | seconds a press | | failed | slow | kept of all | seconds a press |
|---:|---:|---:|---:|---:|---|---:|---:|---:|---:|",
            number(measured.routed / measured.gzipped),
            self.limits.batch_min.value / 1e6,
            self.limits.slow_from.value,
            percent(self.limits.share_part.value),
        )?;
        for size in &self.sizes {
            write!(out, "| {} |", number(size.services() as f64))?;
            for (kept, end) in [(size.quiet, " |"), (size.sleep, "")] {
                let all = kept.failed + kept.slow + kept.ordinary() * self.limits.share_part.value;
                write!(
                    out,
                    " {} | {} | {} | {} |{end}",
                    percent(kept.failed),
                    percent(kept.slow),
                    percent(all),
                    number(kept.time)
                )?;
            }
            writeln!(out)?;
        }
        writeln!(out, "\nAll that follows is with `sleep`, which is the default.\n")
    }

    fn flow(&self, out: &mut String) -> std::fmt::Result {
        writeln!(
            out,
            "## Spans a second, bytes a day
MB are millions of bytes, and a day's are 86,400 times a second's. Disks are of all copies together. *Kept* is what the policies let through as
committed; in the second table everything is kept, as if there were none."
        )?;
        for sampling in [Sampling::Policies, Sampling::All] {
            writeln!(
                out,
                "
| services | presses/s | spans/s made | kept | to agents MB/s | to aggregators MB/s | a day GB | to collectors MB/s | into Kafka MB/s | a day GB | Kafka's disks, 12 h GB | Cassandra, a day GB | OpenSearch, a day GB |
|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
            )?;
            for (size, scenario) in self.scenarios(sampling) {
                let flow = scenario.flow(&self.limits);
                let ways = scenario.ways(&self.limits, &self.measured);
                let kept = flow.kept.all();
                let copies = (self.limits.cassandra_copies.value, 1.0 + self.limits.replicas.value);
                let cells = [
                    size.services() as f64,
                    scenario.presses,
                    flow.made,
                    kept,
                    ways.to_agents / 1e6,
                    ways.to_aggregators / 1e6,
                    ways.to_aggregators * DAY / 1e9,
                    ways.to_collectors / 1e6,
                    ways.to_kafka / 1e6,
                    ways.to_kafka * DAY / 1e9,
                    ways.to_kafka * self.limits.kafka_copies.value * self.limits.kafka_seconds.value / 1e9,
                    kept * self.measured.cassandra.lz4 * copies.0 * DAY / 1e9,
                    kept * self.measured.opensearch.documents * rates::LUCENE.value * copies.1 * DAY / 1e9,
                ];
                writeln!(out, "| {} |", cells.map(number).join(" | "))?;
            }
        }
        writeln!(out)
    }

    fn first(&self, out: &mut String) -> std::fmt::Result {
        let (limits, measured) = (&self.limits, &self.measured);
        writeln!(
            out,
            "## What gives way first, as committed
What each part can take, in the order of a span's way. Who has no machine of its own counts with one core, a storage's node with {}.

| part | of which spans | takes spans/s | where its size is said | how one sees that it is too small |
|---|---|---:|---|---|",
            rates::CORES.value
        )?;
        for part in plan::parts(limits, measured) {
            writeln!(out, "| {} | {} | {} | {} | {} |", part.name, part.of(), number(part.takes), part.limit.link(), part.seen)?;
        }
        writeln!(
            out,
            "
Metrics of the roles are at port 8888 of each pod ([how](tracing/README.md#what-is-lost-first)). With OpenSearch in Cassandra's place its part
takes {} spans/s by CPU and {} by disk, and an ingester writes in bulk. Of traces, an aggregator holds `num_traces` ({}): all of them are
{} presses a second.

100 % is all that a part can do; nobody should plan for more than {}. *Kafka lasts* is how long the storage may be away, or be slower than what
comes, until the oldest unread spans go: {} hours, or a GiB for each of {} partitions.

| services | presses/s | first with policies | then | Kafka lasts | first if all is kept | then |
|---:|---:|---|---|---:|---|---|",
            number(limits.opensearches.value * rates::CORES.value * rates::ELASTICSEARCH.value / self.documents()),
            number(
                limits.opensearches.value * limits.opensearch_disk.value * rates::DISK_FULL.value
                    / (self.documents() * rates::LUCENE.value * (limits.opensearch_days.value + 1.0) * DAY)
            ),
            limits.num_traces.link(),
            number(limits.num_traces.value * limits.aggregators.value / limits.decision_wait.value),
            percent(rates::BUSY),
            limits.kafka_seconds.value / 3_600.0,
            limits.partitions.value,
        )?;
        for (size, scenario) in self.scenarios(Sampling::Policies) {
            let all = Scenario { sampling: Sampling::All, ..scenario };
            let strained = |scenario: &Scenario, place: usize| {
                let strains = scenario.strains(limits, measured);
                strains.get(place).map_or_else(String::new, |strain| format!("{}: {}", strain.part, percent(strain.used)))
            };
            writeln!(
                out,
                "| {} | {} | {} | {} | {} | {} | {} |",
                number(size.services() as f64),
                number(scenario.presses),
                strained(&scenario, 0),
                strained(&scenario, 1),
                duration(scenario.kafka_lasts(limits, measured)),
                strained(&all, 0),
                strained(&all, 1),
            )?;
        }
        writeln!(
            out,
            "
A policy above 100 % is no fault: it says how much of what it wants it throws away, and everything behind it is the safer for it."
        )?;
        writeln!(out)
    }

    /// Of Lucene, for each span, copies counted.
    fn documents(&self) -> f64 {
        self.measured.opensearch.documents * (1.0 + self.limits.replicas.value)
    }

    fn needs(&self, out: &mut String) -> std::fmt::Result {
        writeln!(
            out,
            "## What it takes
No part busier than {}, a storage's disks no fuller than {}, retention as committed ({} h, {} days), and ingesters that write {WRITERS} rows at a
time. Without that change it takes as many partitions as there are *rows at a time*. Machines are those of [cluster.yaml](cluster.yaml): m6i.large
for *nodes*, with an agent on each, and r6i.large for the stores, which Kafka and the storage can share as long as the numbers are three.
As the policies want it | if all is kept:",
            percent(rates::BUSY),
            percent(rates::DISK_FULL.value),
            self.limits.kafka_seconds.value / 3_600.0,
            self.limits.cassandra_seconds.value / DAY,
        )?;
        for sampling in [Sampling::Policies, Sampling::All] {
            writeln!(
                out,
                "
| services | presses/s | nodes = agents | aggregators | memory of each for 10 s, MB | collectors | brokers | partitions | disk of each, GB | ingesters | rows at a time | Cassandra | disk of each, GB | or OpenSearch | disk of each, GB |
|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
            )?;
            for (size, scenario) in self.scenarios(sampling) {
                let needs = scenario.needs(&self.limits, &self.measured);
                let cells = [
                    size.services() as f64,
                    scenario.presses,
                    needs.nodes,
                    needs.aggregators,
                    needs.aggregator_memory / 1e6,
                    needs.collectors,
                    needs.brokers,
                    needs.partitions,
                    needs.kafka_disk / 1e9,
                    needs.ingesters,
                    needs.writers,
                    needs.cassandras,
                    needs.cassandra_disk / 1e9,
                    needs.opensearches,
                    needs.opensearch_disk / 1e9,
                ];
                writeln!(out, "| {} |", cells.map(number).join(" | "))?;
            }
        }
        writeln!(
            out,
            "
- 1,000 services are {} nodes before the first press, and 10,000 are {}: {} pods a node, of which {} are the node's own. Larger machines take no
  more pods; `kubelet.maxPods` in cluster.yaml does.
- With dozens of Cassandra nodes for spans that nobody looks at, sample. Between the two tables is the price of *all*.
- A gp3 volume brings 125 MiB/s and 3,000 operations a second whatever its size; these machines move {} MB/s to all of theirs. A span is written to
  Cassandra's log as it comes and to its tables some three times while they are merged: the volumes' speed is at its end at {} spans/s a node.
",
            number((1_000.0 / (rates::PODS.value - rates::PODS_OF_NODE.value)).ceil()),
            number((10_000.0 / (rates::PODS.value - rates::PODS_OF_NODE.value)).ceil()),
            rates::PODS.value,
            rates::PODS_OF_NODE.value,
            rates::DISK.value / 1e6,
            number(rates::DISK.value / (self.measured.cassandra.bytes + 3.0 * self.measured.cassandra.lz4)),
        )
    }

    fn changes(&self, out: &mut String) -> std::fmt::Result {
        let (limits, measured) = (&self.limits, &self.measured);
        let few = measured.cassandra.rows - measured.cassandra.process_rows;
        let takes =
            |name: &str| plan::parts(limits, measured).into_iter().find(|part| part.name == name).map_or(0.0, |part| part.takes);
        writeln!(
            out,
            "## What to change, and where
First, whatever the size, what costs nothing:

1. In [tracing/ingester/pipeline.yaml](tracing/ingester/pipeline.yaml), at `jaeger_storage_exporter`, a queue that hands a message's spans to several
   writers and still tells Kafka only when all are written (Jaeger 2.20 accepts it; it has not been under load here):
   `queue: {{wait_for_result: true, block_on_overflow: true, num_consumers: {WRITERS}, sizer: items, queue_size: 100000, batch: {{flush_timeout: 10ms, sizer: items, min_size: 50, max_size: 50}}}}`.
   An ingester then writes {WRITERS} rows at a time, not one for each partition.
2. In [components/cassandra/storage.yaml](components/cassandra/storage.yaml), beside `query`, `index: {{process_tags: false}}`: {} rows of a span, not {},
   and nobody finds a trace by its pod any more; Cassandra's CPU is then enough for {} spans/s, and so are ingesters for {}. `index: {{tag_whitelist: \"error,customer.id,http.response.status_code\"}}` leaves some eight.
3. The threshold `threshold_ms` at {} above what an ordinary request takes.

Then, for {RATE} presses a second with policies as committed (**bold**: more than is there):

| what | where | as committed | {} |
|---|---|---:|{}",
            number(few),
            measured.cassandra.rows,
            number(takes("Cassandra, CPU") * measured.cassandra.rows / few),
            number(takes("ingesters, row after row") * measured.cassandra.rows / few),
            limits.slow_from.link(),
            self.sizes.iter().map(|size| format!("{} services", number(size.services() as f64))).collect::<Vec<_>>().join(" | "),
            "---:|".repeat(self.sizes.len()),
        )?;
        let needs: Vec<_> = self.sizes.iter().map(|size| size.scenario(RATE, Sampling::Policies).needs(limits, measured)).collect();
        let flows: Vec<_> = self.sizes.iter().map(|size| size.scenario(RATE, Sampling::Policies).flow(limits)).collect();
        let of = |value: &dyn Fn(&Needs) -> f64| needs.iter().map(value).collect::<Vec<_>>();
        let policy = |value: &dyn Fn(&plan::Classes) -> f64| {
            flows.iter().zip(&needs).map(|(flow, needs)| (value(&flow.wanted) / needs.aggregators).ceil()).collect::<Vec<_>>()
        };
        let retention: Vec<_> = flows
            .iter()
            .zip(&needs)
            .map(|(flow, needs)| flow.wanted.all() * measured.lz4 * limits.kafka_seconds.value / needs.partitions)
            .collect();
        let gib = |values: Vec<f64>| values.into_iter().map(|value| value / GIB).collect::<Vec<_>>();
        let rows: [(&str, &Limit, f64, Vec<f64>); 16] = [
            ("machines for services, `maxSize` and `minSize`", &limits.nodes, 1.0, of(&|needs| needs.nodes)),
            ("machines for stores, the storage's alone", &limits.stores, 1.0, of(&|needs| needs.cassandras)),
            ("aggregators, `replicas`", &limits.aggregators, 1.0, of(&|needs| needs.aggregators)),
            ("policy `errors`, spans/s each", &limits.errors.rate, 1.0, policy(&|wanted| wanted.failed)),
            ("policy `slow`, spans/s each", &limits.slow.rate, 1.0, policy(&|wanted| wanted.slow)),
            ("policy `share`, spans/s each", &limits.share.rate, 1.0, policy(&|wanted| wanted.share)),
            (
                "memory of an aggregator before it refuses, GiB",
                &limits.aggregator_memory,
                GIB,
                gib(of(&|needs| needs.aggregator_memory)),
            ),
            ("collectors, `maxReplicas`", &limits.collectors, 1.0, of(&|needs| needs.collectors)),
            ("partitions, `PARTITIONS`", &limits.partitions, 1.0, of(&|needs| needs.partitions)),
            ("of each, `RETENTION_BYTES`, GiB for 12 h", &limits.kafka_bytes, GIB, gib(retention)),
            ("a broker's disk, GiB", &limits.kafka_disk, GIB, gib(of(&|needs| needs.kafka_disk))),
            ("ingesters, `maxReplicas`", &limits.ingesters, 1.0, of(&|needs| needs.ingesters)),
            ("Cassandra, `replicas`", &limits.cassandras, 1.0, of(&|needs| needs.cassandras)),
            ("its disks, GiB", &limits.cassandra_disk, GIB, gib(of(&|needs| needs.cassandra_disk))),
            ("OpenSearch, `replicas`, and `shards` with it", &limits.opensearches, 1.0, of(&|needs| needs.opensearches)),
            ("its disks, GiB", &limits.opensearch_disk, GIB, gib(of(&|needs| needs.opensearch_disk))),
        ];
        for (what, limit, unit, values) in rows {
            let there = limit.value / unit;
            let cells: Vec<_> = values
                .into_iter()
                .map(|value| if value > there { format!("**{}**", number(value)) } else { number(value) })
                .collect();
            writeln!(out, "| {what} | {} | {} | {} |", limit.link(), number(there), cells.join(" | "))?;
        }
        writeln!(
            out,
            "
What belongs together is in [tracing/README.md](tracing/README.md#what-belongs-together): partitions and ingesters, Kafka's disk and what it keeps, the
three limits of memory. Partitions become more and never fewer. More aggregators are a moment in which traces are cut in two. A volume of a
StatefulSet is made larger by its claim, and not in the template; a Cassandra of more than three nodes needs its seeds looked at, and time.
"
        )
    }

    fn bursts(&self, out: &mut String) -> std::fmt::Result {
        let limits = &self.limits;
        writeln!(
            out,
            "## Bursts, simulated
One aggregator of {}, second by second: arrivals by Poisson (seed {SEED}), policies as token buckets, queues in bytes, memory for {} s of undecided
spans. Beside each figure of the simulation stands what arithmetic says.

For good, presses a second to all aggregators from which a hundredth of a class is lost:

| services | {} |
|---:|{}",
            limits.aggregators.value,
            limits.decision_wait.value,
            CLASSES.map(|class| format!("{class}: simulated | computed")).join(" | "),
            "---:|---:|".repeat(CLASSES.len()),
        )?;
        for size in &self.sizes {
            let world = self.world(size);
            write!(out, "| {} |", number(size.services() as f64))?;
            for class in 0..CLASSES.len() {
                let or_never = |presses: Option<f64>| presses.map_or_else(|| "never".to_owned(), number);
                let computed = Some(world.most(class)).filter(|most| most.is_finite());
                write!(out, " {} | {} |", or_never(world.most_simulated(class)), or_never(computed))?;
            }
            writeln!(out)?;
        }
        let busy = limits.aggregators.value * rates::TAIL_SAMPLING.value;
        writeln!(
            out,
            "
*Never* is where memory is full before, and refuses everything alike. Of that the simulation allows a tenth less, since decisions are made once a
second and a trace waits up to eleven. CPU is not simulated: at {} spans/s a core it ends at {} presses a second.

For a minute, {} services, {RATE} presses a second before and after. What is lost of each class, simulated | computed:

| presses/s in the burst | share | slow | errors | everything alike, simulated |
|---:|---:|---:|---:|---:|",
            number(rates::TAIL_SAMPLING.value),
            list(&self.sizes.iter().map(|size| number(busy / spans_of_press(size.topology) as f64)).collect::<Vec<_>>()),
            number(self.sizes[0].services() as f64)
        )?;
        let world = self.world(&self.sizes[0]);
        for factor in [10.0, 30.0, 100.0, 300.0] {
            let burst = RATE * factor;
            let phase = |presses, seconds| Phase { presses, seconds, taken: true };
            let fates = world.simulate(&[phase(RATE, 60), phase(burst, 60), phase(RATE, 60)]);
            write!(out, "| {} |", number(burst))?;
            for (class, fate) in fates.iter().take(3).enumerate() {
                write!(out, " {} \\| {} |", percent(fate.part()), percent(world.lost_in(class, burst, 60.0)))?;
            }
            writeln!(out, " {} |", percent(fates[3].part()))?;
        }
        writeln!(
            out,
            "
*Everything alike* is refused, not lost: agents keep it, {} MiB each and up to {}, and ask again. It is the end of telling errors from others,
and of the computed columns: what is refused is decided by nobody.

Nobody takes what aggregators send (Kafka away, or all collectors). Seconds until the first trace of a class is lost, simulated | computed, and
what is lost after ten minutes:

| services | presses/s | share | slow, errors | lost of the share | of slow | of errors |
|---:|---:|---:|---:|---:|---:|---:|",
            limits.agent_queue.value / 1_048_576.0,
            duration(limits.agent_patience.value),
        )?;
        for (size, scenario) in self.scenarios(Sampling::Policies) {
            let world = self.world(size);
            let fates = world.simulate(&[Phase { presses: scenario.presses, seconds: 600, taken: false }]);
            let first = |class: usize| fates[class].first.map_or_else(|| "> 600".to_owned(), |second| number(f64::from(second)));
            let computed = |class: usize| {
                let seconds = world.jam_lasts(class, scenario.presses);
                if seconds > 600.0 { "> 600".to_owned() } else { number(seconds) }
            };
            let causes = fates[1].first.into_iter().chain(fates[2].first).min();
            writeln!(
                out,
                "| {} | {} | {} \\| {} | {} \\| {} | {} | {} | {} |",
                number(size.services() as f64),
                number(scenario.presses),
                first(0),
                computed(0),
                causes.map_or_else(|| "> 600".to_owned(), |second| number(f64::from(second))),
                computed(1),
                percent(fates[0].part()),
                percent(fates[1].part()),
                percent(fates[2].part()),
            )?;
        }
        writeln!(
            out,
            "
The queues hold {} and {} MiB, and a batch of the share is given up when it has been tried for {}: of a long jam only its last minute is left, and
that is meant. Where a class is lost in the first seconds it is its policy that cuts it, not the queue.
Where *everything alike* comes before a class's own limit, memory is too small for the policies: raise both, or neither.
",
            limits.share_queue.value / 1_048_576.0,
            limits.causes_queue.value / 1_048_576.0,
            duration(limits.share_patience.value),
        )
    }

    fn load(&self, out: &mut String) -> std::fmt::Result {
        let plan = tracelab::load::Plan::default();
        writeln!(
            out,
            "## Pods that make the load
[kops/load](load/README.md) is an indexed Job whose histograms add up exactly: percentiles of several pods are those that one process would have
measured. A core of `tracelab load` makes {} presses a second, and a pod is granted {} of one ({}), but it waits for answers: with {} at a
time, {} presses a second that take t seconds each need {} × t / {} pods.

| services | a press takes | pods for {} presses/s |
|---:|---:|---:|",
            number(rates::LOAD.value),
            self.limits.load_cpu.value,
            self.limits.load_cpu.link(),
            plan.concurrency,
            number(RATES[2]),
            number(RATES[2]),
            plan.concurrency,
            number(RATES[2]),
        )?;
        for size in &self.sizes {
            let by_cpu = RATES[2] / (rates::LOAD.value * self.limits.load_cpu.value);
            let by_time = RATES[2] * size.sleep.time / plan.concurrency as f64;
            let pods = (by_cpu.max(by_time) / rates::BUSY).ceil();
            writeln!(out, "| {} | {} s | {} |", number(size.services() as f64), number(size.sleep.time), number(pods))?;
        }
        writeln!(
            out,
            "
With `--rate`, latency counts from when a press was due, so that a busy caller is not taken for a fast answer. One frontend takes all of them:
it has a score to keep, and is not made more of.
"
        )
    }
}

fn sources(out: &mut String) -> std::fmt::Result {
    writeln!(
        out,
        "## Sources
*Own* was measured by us on a machine of two cores, *assumed* by nobody.

| of | figure | what | from |
|---|---:|---|---|"
    )?;
    for (of, rate) in rates::ALL {
        let value = if rate.value < 0.01 { format!("{}", rate.value) } else { number(rate.value) };
        let from = match rate.source {
            Source::Public { title, address, date, says } => format!("[{title}]({address}), {date}: {says}"),
            Source::Own(how) => format!("own: {how}"),
            Source::Assumed(why) => format!("assumed: {why}"),
        };
        writeln!(out, "| {of} | {value} | {} | {from} |", rate.unit)?;
    }
    writeln!(
        out,
        "
That a partition's messages are read one after the other is in [the receiver's own issue](https://github.com/open-telemetry/opentelemetry-collector-contrib/issues/51080)
(2026), and what it costs a Jaeger in [another](https://github.com/jaegertracing/jaeger/issues/7467) (2025). Rows and documents of a span are counted after Jaeger's
[Cassandra writer](https://github.com/jaegertracing/jaeger/blob/v2.20.0/internal/storage/v1/cassandra/spanstore/writer.go) and its
[schema](https://github.com/jaegertracing/jaeger/blob/v2.20.0/internal/storage/v1/cassandra/schema/v004.cql.tmpl). Bytes are measured again with
`cargo run --example scaling -- measure`, whose output is examples/scaling/measured.json."
    )
}

/// Three digits that count, with thousands apart.
fn number(value: f64) -> String {
    if value > 0.0 && value < 0.0005 {
        return "< 0.001".to_owned();
    }
    let digits = if value == 0.0 { 0 } else { (2 - value.abs().log10().floor() as i32).max(0) };
    let magnitude = 10f64.powi(if value == 0.0 { 0 } else { (value.abs().log10().floor() as i32 - 2).max(0) });
    let rounded = if magnitude > 1.0 && value.fract() != 0.0 { (value / magnitude).round() * magnitude } else { value };
    let text = format!("{rounded:.*}", usize::try_from(digits.min(3)).unwrap_or(0));
    let (whole, rest) = text.split_once('.').unwrap_or((&text, ""));
    let rest = rest.trim_end_matches('0');
    let mut grouped = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if rest.is_empty() { grouped } else { format!("{grouped}.{rest}") }
}

fn percent(part: f64) -> String {
    match part * 100.0 {
        value if value > 0.0 && value < 0.1 => "< 0.1 %".to_owned(),
        value if value < 10.0 => format!("{value:.1} %"),
        value if value < 1_000.0 => format!("{value:.0} %"),
        _ => format!("{} ×", number(part)),
    }
}

fn duration(seconds: f64) -> String {
    match seconds {
        seconds if seconds >= 5_400.0 => format!("{} h", number((seconds / 360.0).round() / 10.0)),
        seconds if seconds >= 90.0 => format!("{} min", number((seconds / 60.0).round())),
        seconds => format!("{} s", number(seconds.round())),
    }
}

fn list(words: &[String]) -> String {
    match words {
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        words => words.join(""),
    }
}
