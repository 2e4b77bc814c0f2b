//! What a diagnosis says to its reader: on a terminal, to a program as JSON, and as a page.
//!
//! Names, keys and values come from whoever made the spans; each form makes them harmless in its own way.

mod flame;
mod histogram;
mod html;
mod json;
mod terminal;
pub mod words;

use std::collections::BTreeMap;

use rustc_hash::FxHashSet;

use super::critical_path::{Rule, Walker};
use super::effect::Outcome;
use super::model::{Status, TraceId, Traces};
use super::profile::Profile;
use super::repair::{Clocks, Mender, Repairs};
use super::tree::main_root;
use super::{Diagnosis, figures};

/// A diagnosis and what it was made from.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    pub traces: &'a Traces,
    pub diagnosis: &'a Diagnosis,
    /// The rule that the diagnosis went by, for the page's critical paths.
    pub rule: Rule,
    /// Where the traces came from, for a person: an address, files.
    pub source: &'a str,
    /// Where a reader's browser finds Jaeger, if anywhere, with `http://` or `https://`: a trace is at `{links}/trace/{id}`.
    pub links: Option<&'a str>,
}

impl Report<'_> {
    fn link(&self, trace: TraceId) -> Option<String> {
        let base = self.links.filter(|base| base.starts_with("http://") || base.starts_with("https://"))?;
        Some(format!("{}/trace/{}", base.trim_end_matches('/'), self.traces.name(trace)))
    }

    /// What was left out, what is odd and what was mended, a line each.
    fn remarks(&self) -> Vec<String> {
        let Traces { left_out, noted, unkept, .. } = self.traces;
        let list = |label: &str, reasons: &BTreeMap<&'static str, u64>| {
            let reasons: Vec<_> =
                reasons.iter().map(|(reason, count)| format!("{reason} ({})", figures::thousands(*count))).collect();
            (!reasons.is_empty()).then(|| format!("{label}: {}", reasons.join(", ")))
        };
        let unkept = (!unkept.is_empty())
            .then(|| format!("attributes not looked at, since their values hardly repeat: {}", figures::some(unkept)));
        let read = [list("left out", left_out), list("noted", noted), unkept];
        read.into_iter().flatten().chain(self.diagnosis.notes.iter().cloned()).collect()
    }

    /// Every trace as its main root saw it.
    fn outcomes(&self) -> Vec<Outcome> {
        let outcome = |trace| {
            let spans = self.traces.of(trace);
            main_root(spans).map_or_else(Outcome::default, |root| {
                let root = &spans[root as usize];
                Outcome { duration: root.duration(), failed: root.status == Status::Error }
            })
        };
        (0..self.traces.len()).map(outcome).collect()
    }

    fn services(&self) -> usize {
        // Of resources without a span nothing is known but the name.
        let resources: FxHashSet<u32> = self.traces.spans().iter().map(|span| span.resource).collect();
        resources.iter().map(|at| self.traces.resources[*at as usize].service).collect::<FxHashSet<_>>().len()
    }

    /// The critical paths of the traces that `chosen` says, which is given their indexes, and of the others.
    fn profiles(&self, chosen: impl Fn(usize) -> bool) -> [Profile; 2] {
        let clocks = Clocks::measure(self.traces);
        let (mut mender, mut walker) = (Mender::default(), Walker::default());
        let mut path = Vec::new();
        let mut profiles = [Profile::default(), Profile::default()];
        for trace in 0..self.traces.len() {
            let spans = mender.mend(self.traces.of(trace), &clocks, &mut Repairs::default());
            walker.walk(spans, self.rule, &mut path);
            profiles[usize::from(!chosen(trace))].add(self.traces, spans, &path);
        }
        profiles
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::effect::effect;
    use crate::diagnose::model::{Builder, NewSpan, Resource};
    use crate::diagnose::{Attribute, Charge, Suspect, SuspectCause};

    const MS: u64 = 1_000_000;
    const HOSTILE: &str = "<script>alert('x')</script>\u{1b}[31m\"&\u{202e}";

    /// Two hundred traces of a shop, whose cart takes half a second of every twentieth.
    fn traces(cart: &str) -> Traces {
        let mut builder = Builder::default();
        let [shop, cart, ads] = ["shop", cart, "ads"].map(|name| {
            let service = builder.text(name);
            builder.resource(Resource { service, attributes: vec![] })
        });
        for trace in 0..200_u64 {
            let trace_id = format!("{:x}", trace + 1);
            let slow = if trace % 20 == 0 { 500 } else { 0 };
            let start = 1_700_000_000_000 + trace * 100;
            let spans = [
                ("1", "", "GET /", shop, 0, 30 + trace % 7 + slow),
                ("2", "1", "GET /cart", shop, 2, 20 + slow),
                ("3", "2", "GetCart", cart, 3, 18 + slow),
                ("4", "1", "GetAds", ads, 21 + slow, 27 + slow),
            ];
            for (span_id, parent_id, operation, resource, from, to) in spans {
                let (start, duration) = ((start + from) * MS, i64::try_from((to - from) * MS).unwrap());
                let status = if trace == 3 { Status::Error } else { Status::Unset };
                let trace_id = &trace_id;
                builder.push(NewSpan {
                    trace_id,
                    span_id,
                    parent_id,
                    operation,
                    resource,
                    start,
                    duration,
                    status,
                    ..NewSpan::default()
                });
            }
        }
        builder.leave_out("span without an id");
        let mut traces = builder.finish();
        traces.noted.insert("span with times in another unit than its format's", 7);
        traces.unkept.extend(["request.id".to_owned(), "url.query".to_owned()]);
        traces
    }

    fn diagnosis(traces: &Traces, cart: &str) -> Diagnosis {
        let report = Report { traces, diagnosis: &Diagnosis::default(), rule: Rule::Crisp, source: "", links: None };
        let charged: Vec<Charge> =
            (0..200).step_by(20).map(|trace| Charge { trace, excess: 500 * MS, failed: trace == 3 }).collect();
        let effect = effect(&report.outcomes(), &charged);
        let examples = vec![traces.id(0), traces.id(20)];
        let first = Suspect {
            cause: SuspectCause::Customer,
            service: Some(cart.to_owned()),
            callee: None,
            attribute: Some(Attribute { key: "customer.id".to_owned(), value: "42".to_owned() }),
            confidence: 0.94,
            effect,
            evidence: vec![
                format!("{cart} itself takes 515 ms of the critical path of 10 traces, 15 ms of the other 190"),
                "all 10 have customer.id=42, none of the others has".to_owned(),
            ],
            examples,
            charged,
        };
        let second = Suspect {
            cause: SuspectCause::Network,
            service: Some("shop".to_owned()),
            callee: Some("ads".to_owned()),
            attribute: None,
            confidence: 0.213,
            effect: words::now(&report.outcomes()),
            evidence: vec!["1 ms passes between them".to_owned()],
            examples: vec![],
            charged: vec![],
        };
        let notes = vec!["12 spans were cut to fit their parents".to_owned()];
        Diagnosis { suspects: vec![first, second], ranking: vec![], notes }
    }

    /// What `forms` makes of a report on the shop, with a cart of this name.
    fn with_report<T>(cart: &str, forms: impl FnOnce(&Report<'_>) -> T) -> T {
        let traces = traces(cart);
        let diagnosis = diagnosis(&traces, cart);
        forms(&Report {
            traces: &traces,
            diagnosis: &diagnosis,
            rule: Rule::Crisp,
            source: "http://127.0.0.1:16686",
            links: Some("http://127.0.0.1:16686/"),
        })
    }

    fn terminal(report: &Report<'_>, width: usize) -> String {
        let mut out = anstream::StripStream::new(Vec::new());
        report.terminal(&mut out, width).unwrap();
        String::from_utf8(out.into_inner()).unwrap()
    }

    #[test]
    fn a_terminal_shows_suspects_with_evidence_and_links() {
        insta::assert_snapshot!(with_report("cart", |report| terminal(report, 80)));
    }

    #[test]
    fn a_terminal_is_not_written_over_its_edge() {
        let lines = with_report("cart", |report| terminal(report, 60));
        let wide: Vec<_> = lines.lines().filter(|line| line.chars().count() > 60 && !line.contains("http://")).collect();
        assert_eq!(wide, [""; 0]);
    }

    #[test]
    fn a_name_cannot_steer_a_terminal() {
        let plain = with_report(HOSTILE, |report| {
            let mut out = Vec::new();
            report.terminal(&mut out, 80).unwrap();
            String::from_utf8(out).unwrap()
        });
        assert!(!plain.contains("\u{1b}[31m\"") && !plain.contains('\u{202e}'), "{plain:?}");
    }

    #[test]
    fn a_program_gets_the_documented_fields() {
        let json: serde_json::Value = with_report("cart", |report| serde_json::from_str(&report.json()).unwrap());
        insta::assert_json_snapshot!(json);
    }

    #[test]
    fn where_nothing_stands_out_it_says_what_was_looked_at() {
        let traces = traces("cart");
        let report =
            Report { traces: &traces, diagnosis: &Diagnosis::default(), rule: Rule::Crisp, source: "traces.json", links: None };
        insta::assert_snapshot!(terminal(&report, 80));
        assert!(report.html().contains(words::LOOKED_AT));
        assert!(report.json().ends_with(r#""suspects":[]}"#));
    }

    #[test]
    fn of_no_traces_it_says_that_there_are_none() {
        let traces = Traces::default();
        let report =
            Report { traces: &traces, diagnosis: &Diagnosis::default(), rule: Rule::Crisp, source: "traces.json", links: None };
        assert!(terminal(&report, 80).contains(words::NO_TRACES));
        assert!(report.html().contains(words::NO_TRACES));
        assert_eq!(report.json(), r#"{"read":{"traces":0,"spans":0,"left_out":{}},"suspects":[]}"#);
    }

    #[test]
    fn the_page_shows_every_suspect_with_its_evidence() {
        let page = with_report("cart", |report| report.html());
        for said in [
            "cart, customer.id=42",
            "shop → ads",
            "all 10 have customer.id=42",
            "1 ms passes",
            "94 % sure",
            "cut to fit",
            "GetCart",
        ] {
            assert!(page.contains(said), "{said}");
        }
        assert!(page.contains(r#"href="http://127.0.0.1:16686/trace/00000000000000000000000000000001""#));
    }

    #[test]
    fn a_suspect_that_only_fails_requests_moves_nothing_in_time() {
        let traces = traces("cart");
        let mut diagnosis = diagnosis(&traces, "cart");
        let page = |diagnosis: &Diagnosis| {
            Report { traces: &traces, diagnosis, rule: Rule::Crisp, source: "traces.json", links: None }.html()
        };
        assert!(page(&diagnosis).contains("p99 if fixed"));
        diagnosis.suspects[0].charged.iter_mut().for_each(|charge| charge.excess = 0);
        assert!(!page(&diagnosis).contains("p99 if fixed"));
    }

    #[test]
    fn the_page_asks_no_network_for_anything() {
        let page = with_report("cart", |report| Report { links: None, source: "traces.json", ..*report }.html());
        for foreign in ["http://", "https://", "url(", "@import", " src=", "<link", "<img"] {
            assert!(!page.contains(foreign), "{foreign}");
        }
        assert!(page.contains("default-src 'none'"));
    }

    #[test]
    fn a_name_is_text_on_the_page_whatever_it_is() {
        let page = with_report(HOSTILE, |report| report.html());
        assert!(!page.contains("<script>alert"));
        assert!(page.contains("&lt;script&gt;alert"));
        assert_eq!(page.matches("<script>").count(), 1, "the page's own");
    }

    #[test]
    fn a_link_leads_to_a_web_server_or_nowhere() {
        let page = with_report("cart", |report| Report { links: Some("javascript:alert(1)//"), ..*report }.html());
        assert!(!page.contains("javascript:"));
    }
}
