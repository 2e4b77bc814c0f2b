//! What a composition asks of a cluster: pods, and the CPU and memory that its scheduler sets aside for them.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, Mul};

use serde_json::Value;

use crate::kops;
use crate::policy::{Pods, list, pods};
use crate::stage::Composition;

/// What one node of kind runs of its own.
pub const KUBERNETES: Requests = Requests { pods: 9, cpu: 950, memory: 290 << 20 };
/// What a small laptop has, in thousandths.
pub const CORES: u64 = 2000;
/// What Istio asks for a sidecar of which nothing else is said.
const ISTIO: Requests = Requests { pods: 0, cpu: 100, memory: 128 << 20 };

#[derive(Clone, Copy, Default)]
pub struct Requests {
    pub pods: u64,
    /// Thousandths of a core.
    pub cpu: u64,
    /// Bytes.
    pub memory: u64,
}

impl Add for Requests {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self { pods: self.pods + other.pods, cpu: self.cpu + other.cpu, memory: self.memory + other.memory }
    }
}

impl Mul<u64> for Requests {
    type Output = Self;
    fn mul(self, times: u64) -> Self {
        Self { pods: self.pods * times, cpu: self.cpu * times, memory: self.memory * times }
    }
}

impl Sum for Requests {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}

/// Cells of a table.
impl fmt::Display for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} | {}m | {} MiB", self.pods, self.cpu, self.memory >> 20)
    }
}

/// What runs when nothing changes.
pub fn resting(composition: &Composition) -> Requests {
    pods(composition).map(|pods| of_all(composition, pods)).sum()
}

/// What the pods of one workload request together.
pub fn of_all(composition: &Composition, pods: Pods) -> Requests {
    of_one(composition, pods) * replicas(composition, pods)
}

/// What comes on top of it while every Deployment is being rolled out.
pub fn surge(composition: &Composition) -> Requests {
    let surging =
        pods(composition).filter(|pods| pods.kind == "Deployment" && pods.workload["spec"]["strategy"]["type"] != "Recreate");
    surging.map(|pods| of_one(composition, pods) * max_surge(composition, pods)).sum()
}

/// How many pods there are at least: what an autoscaler begins with counts, and of a DaemonSet's each node of kops has one.
pub fn replicas(composition: &Composition, pods: Pods) -> u64 {
    if pods.kind == "DaemonSet" && composition.is_kops() {
        return kops::nodes();
    }
    let scaler = composition.of_kind("HorizontalPodAutoscaler").find(|(_, scaler)| {
        let target = &scaler["spec"]["scaleTargetRef"];
        target["kind"] == pods.kind && target["name"] == pods.name
    });
    let told = scaler.map_or(&pods.workload["spec"]["replicas"], |(_, scaler)| &scaler["spec"]["minReplicas"]);
    told.as_u64().unwrap_or(1)
}

fn max_surge(composition: &Composition, pods: Pods) -> u64 {
    let told = &pods.workload["spec"]["strategy"]["rollingUpdate"]["maxSurge"];
    let percent = told.as_str().and_then(|percent| percent.strip_suffix('%')?.parse().ok()).unwrap_or(25);
    told.as_u64().unwrap_or_else(|| (replicas(composition, pods) * percent).div_ceil(100))
}

/// Containers run beside each other; those that only initialize, before.
fn of_one(composition: &Composition, pods: Pods) -> Requests {
    let is_first = |container: &&Value| {
        list(&pods.spec["initContainers"]).any(|init| std::ptr::eq(init, *container)) && container["restartPolicy"] != "Always"
    };
    let of = |container: &Value| told(&container["resources"]["requests"]);
    let (first, beside): (Vec<_>, Vec<_>) = pods.containers().partition(is_first);
    let beside: Requests = beside.into_iter().map(of).chain([injected(composition, pods)]).sum();
    let first = first.into_iter().map(of).fold(beside, |most, one| Requests {
        pods: 0,
        cpu: most.cpu.max(one.cpu),
        memory: most.memory.max(one.memory),
    });
    Requests { pods: 1, ..first }
}

/// What an operator adds to the pod when it is made.
fn injected(composition: &Composition, pods: Pods) -> Requests {
    let annotations = &pods.workload["spec"]["template"]["metadata"]["annotations"];
    let mut added = Requests::default();
    if pods.labels["sidecar.istio.io/inject"] == "true" {
        let told = |key: &str, read: fn(&Value) -> Option<u64>| read(&annotations[format!("sidecar.istio.io/{key}")]);
        added = added
            + Requests {
                pods: 0,
                cpu: told("proxyCPU", cpu).unwrap_or(ISTIO.cpu),
                memory: told("proxyMemory", memory).unwrap_or(ISTIO.memory),
            };
    }
    if annotations["sidecar.opentelemetry.io/inject"].as_str().is_some_and(|told| told != "false") {
        let sidecars = composition.of_kind("OpenTelemetryCollector").filter(|(_, object)| object["spec"]["mode"] == "sidecar");
        added = sidecars.map(|(_, object)| told(&object["spec"]["resources"]["requests"])).fold(added, Add::add);
    }
    added
}

fn told(requests: &Value) -> Requests {
    Requests { pods: 0, cpu: cpu(&requests["cpu"]).unwrap_or_default(), memory: memory(&requests["memory"]).unwrap_or_default() }
}

fn cpu(quantity: &Value) -> Option<u64> {
    quantity_in(quantity, &[("m", 1)], 1000)
}

/// Bytes.
pub fn memory(quantity: &Value) -> Option<u64> {
    quantity_in(
        quantity,
        &[("Ki", 1 << 10), ("Mi", 1 << 20), ("Gi", 1 << 30), ("k", 1000), ("M", 1_000_000), ("G", 1_000_000_000)],
        1,
    )
}

/// A whole number with a unit; fractions are written in smaller units here.
fn quantity_in(quantity: &Value, units: &[(&str, u64)], plain: u64) -> Option<u64> {
    if let Some(number) = quantity.as_u64() {
        return Some(number * plain);
    }
    let text = quantity.as_str()?;
    let (number, unit) = units.iter().find_map(|(unit, size)| Some((text.strip_suffix(unit)?, *size))).unwrap_or((text, plain));
    Some(number.parse::<u64>().unwrap_or_else(|_| panic!("{text} is no whole number of a unit that is known here")) * unit)
}
