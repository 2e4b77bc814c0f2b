//! Faults that others injected into systems that are not ours: the Nezha data set, where it is present.
//!
//! Scored as the data's README says: the rank of the faulty service among all, against the fault-free minute and the minute of the
//! injection as baseline.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tracelab::diagnose::model::Builder;
use tracelab::diagnose::{Diagnosis, Traces, read};

use crate::case::diagnosed;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data/nezha");
/// What sorting by excess self time and client–server gap reaches on the resource faults; the aim for AC@1 is .85.
const FLOOR: &str = "floor  .720 .940 .830; aim .850";

#[derive(Deserialize)]
struct Injected {
    inject_time: String,
    inject_pod: String,
    inject_type: String,
}

/// A fault with its traces.
struct Fault {
    day: String,
    time: String,
    service: String,
    kind: String,
    baseline: Vec<PathBuf>,
    abnormal: Vec<PathBuf>,
}

/// One fault's result: 0 where the service was not ranked at all.
struct Ranked {
    rank: usize,
    line: String,
}

pub fn table() {
    println!("Table 5. Nezha: rank of the faulty service");
    let Ok(days) = fs::read_dir(DATA) else {
        println!("left out: the data is not at {DATA}\n");
        return;
    };
    let mut days: Vec<PathBuf> = days.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    days.sort();
    let mut baselines = BTreeMap::new();
    let mut groups: BTreeMap<bool, Vec<Ranked>> = BTreeMap::new();
    for fault in days.iter().flat_map(|day| faults(day)) {
        let baseline = baselines.entry(fault.baseline.clone()).or_insert_with(|| traces(&fault.baseline));
        let diagnosis = diagnosed(&traces(&fault.abnormal), Some(baseline));
        let rank = rank(&diagnosis, &fault.service);
        let said = diagnosis.suspects.first();
        let said = said.map_or("nobody".to_owned(), |suspect| {
            format!("{:?} {} {:.2}", suspect.cause, suspect.service.as_deref().unwrap_or("everywhere"), suspect.confidence)
        });
        let Fault { day, time, service, kind, .. } = fault;
        let is_resource = matches!(kind.as_str(), "cpu_contention" | "cpu_consumed" | "network_delay");
        let line = format!("    {day} {time} {kind:<15}{service:<24} rank {rank:>2}; said {said}");
        groups.entry(!is_resource).or_default().push(Ranked { rank, line });
    }
    for (is_code, ranked) in groups {
        let count = ranked.len() as f64;
        let share = |k| ranked.iter().filter(|fault| (1..=k).contains(&fault.rank)).count() as f64 / count;
        let mrr = ranked.iter().filter(|fault| fault.rank > 0).map(|fault| 1.0 / fault.rank as f64).sum::<f64>() / count;
        let (name, floor) = if is_code { ("code", "") } else { ("resource", FLOOR) };
        println!("{name:<10}{count:>4} faults   AC@1 {:.3}   AC@3 {:.3}   MRR {mrr:.3}   {floor}", share(1), share(3));
        if !is_code {
            ranked.iter().filter(|fault| fault.rank != 1).for_each(|fault| println!("{}", fault.line));
        }
    }
    println!();
}

/// The faults of a day that have traces.
fn faults(day: &Path) -> Vec<Fault> {
    let text = fs::read_to_string(day.join("faults.json")).unwrap();
    let hours: BTreeMap<String, Vec<Injected>> = serde_json::from_str(&text).unwrap();
    let files = || fs::read_dir(day).unwrap().flatten().map(|entry| entry.path());
    let mut normal: Vec<PathBuf> = files().filter(|path| name(path).starts_with("normal_")).collect();
    normal.sort();
    let fault = |injected: Injected| {
        // "2022-08-22 03:53:54"
        let (_, time) = injected.inject_time.split_once(' ')?;
        let mut parts = time.split(':').map(|part| part.parse::<u32>().ok());
        let minute = parts.next()?? * 60 + parts.next()??;
        let file = |minute: u32| day.join(format!("{:02}_{:02}_trace.json.gz", minute / 60 % 24, minute % 60));
        let present = |minutes: &[u32]| minutes.iter().map(|minute| file(*minute)).filter(|path| path.exists()).collect();
        let abnormal: Vec<PathBuf> = present(&[minute + 1, minute + 2]);
        let during: Vec<PathBuf> = present(&[minute]);
        // A pod is called by its deployment, the replica set and itself.
        let service = injected.inject_pod.rsplitn(3, '-').nth(2)?.to_owned();
        let baseline = normal.iter().cloned().chain(during).collect();
        let (day, time, kind) = (name(day), time.to_owned(), injected.inject_type);
        (!abnormal.is_empty()).then_some(Fault { day, time, service, kind, baseline, abnormal })
    };
    hours.into_values().flatten().filter_map(fault).collect()
}

fn traces(files: &[PathBuf]) -> Traces {
    let mut builder = Builder::default();
    for path in files {
        // Spans of a trace that stands in two files are taken once.
        read::file(path, &mut builder).unwrap();
    }
    builder.finish()
}

/// Counted from 1, ties by name.
fn rank(diagnosis: &Diagnosis, service: &str) -> usize {
    let mut ranking: Vec<&(String, f64)> = diagnosis.ranking.iter().collect();
    ranking.sort_by(|(a, one), (b, other)| other.partial_cmp(one).unwrap_or(Ordering::Equal).then(a.cmp(b)));
    ranking.iter().position(|(name, _)| name == service).map_or(0, |place| place + 1)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
