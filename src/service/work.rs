//! What a service does with one request: it sleeps, waits its turn, writes to Redis and forwards, as its assignment says.
//!
//! What goes wrong inside is drawn when a request arrives, what goes wrong on the way to a callee when that is called. A fault changes
//! times, statuses and where calls lead; spans and log lines of the same outcome look the same with and without it. Version v2
//! ignores the fault, not the decoys, and not what another service has spoilt: that is cured where it comes from.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use http::StatusCode;
use opentelemetry::Context;
use opentelemetry::baggage::{Baggage, BaggageExt as _};
use rand::{Rng, RngExt as _};
use tracing::{info, warn};

use super::{Answer, Failure, Inner, Release, Service, message, read};
use crate::caller::{Way, sleep};
use crate::mystery::{Assignment, Decoy, Fault, Peer, Spoiled};
use crate::telemetry::{CUSTOMER, VARIANT, with_baggage};
use crate::topology::{FAN_OUT, Route, ServiceName};

/// The baggage by which a spoilt request is known. It reaches no span, and its name says nothing.
const MARK: (&str, &str) = (VARIANT, "b");
/// What goes on in the background, as its span has it.
const BACKGROUND: &str = "refresh cache";

/// What one request meets here.
#[derive(Debug, Default, PartialEq)]
struct Plan {
    /// It is sent back at once, to come again.
    refused: bool,
    /// Ordinary delay and fault are one sleep, so that nothing but its length tells them apart.
    delay: Duration,
    /// So long in the section that one request at a time may enter.
    hold: Option<Duration>,
    /// It fails after all that.
    fails: bool,
    /// So long does something go on after the answer.
    background: Option<Duration>,
}

impl Plan {
    /// Draws it. `resent` requests were refused before and are not refused again.
    fn draw(assignment: &Assignment, fault: Option<&Fault>, baggage: &Baggage, resent: bool, rng: &mut impl Rng) -> Self {
        let mut plan = Self::default();
        // A share that makes no sense, in an assignment from elsewhere, is none or all.
        match assignment.decoy {
            Some(Decoy::Refusal { share }) if !resent && rng.random::<f64>() < share => return Self { refused: true, ..plan },
            Some(Decoy::Background { delay, share }) if rng.random::<f64>() < share => plan.background = Some(delay.sample(rng)),
            _ => {}
        }
        plan.delay = assignment.delay.sample(rng);
        match fault {
            Some(Fault::Sleep { delay }) => plan.delay += delay.sample(rng),
            Some(Fault::RareSleep { delay, share }) if rng.random::<f64>() < *share => plan.delay += delay.sample(rng),
            Some(Fault::Failure { share }) => plan.fails = rng.random::<f64>() < *share,
            Some(Fault::Customer { customer, delay, share }) if carries(baggage, CUSTOMER, customer) => {
                plan.delay += delay.sample(rng);
                plan.fails = rng.random::<f64>() < *share;
            }
            Some(Fault::Contention { hold }) => plan.hold = Some(hold.sample(rng)),
            _ => {}
        }
        match assignment.spoiled {
            Some(Spoiled::Slow { delay }) if carries(baggage, MARK.0, MARK.1) => plan.delay += delay.sample(rng),
            Some(Spoiled::Fails) if carries(baggage, MARK.0, MARK.1) => plan.fails = true,
            _ => {}
        }
        plan
    }
}

fn carries(baggage: &Baggage, key: &str, value: &str) -> bool {
    baggage.get(key).is_some_and(|found| found.as_str() == value)
}

/// One request, and what it is handled with.
struct Work<'a> {
    service: &'a Service,
    release: &'a Release,
    cx: &'a Context,
    assignment: &'a Assignment,
    /// The assignment's, where it is not patched.
    fault: Option<&'a Fault>,
}

impl Service {
    /// Does what `assignment` says with the request of `cx`.
    pub(super) async fn obey(
        &self,
        release: &Release,
        cx: &Context,
        assignment: &Assignment,
        resent: bool,
    ) -> Result<Answer, Failure> {
        let fault = assignment.fault.as_ref().filter(|_| !release.patched);
        let plan = Plan::draw(assignment, fault, cx.baggage(), resent, &mut rand::rng());
        let result = Work { service: self, release, cx, assignment, fault }.follow(&plan).await;
        match &result {
            Ok(_) => info!("request handled"),
            Err(failure) if failure.again => info!("request refused"),
            Err(failure) => warn!(status = failure.status.as_u16(), reason = failure.reason, "request failed"),
        }
        if let (Ok(_), Some(delay)) = (&result, plan.background) {
            self.0.background.go_on(release.instrument.internal_span(cx, BACKGROUND), delay);
        }
        result
    }
}

impl Work<'_> {
    async fn follow(&self, plan: &Plan) -> Result<Answer, Failure> {
        if plan.refused {
            return Err(Failure::refusal());
        }
        sleep(plan.delay).await;
        if let Some(hold) = plan.hold {
            // Nobody closes it: an error would mean that there is nothing to wait for.
            let _turn = self.service.0.section.acquire().await;
            sleep(hold).await;
        }
        if plan.fails {
            return Err(Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error".to_owned()));
        }
        if let Some(redis) = &self.assignment.redis {
            let key_by_key = matches!(self.fault, Some(Fault::KeyByKey));
            let Inner { name, storage, .. } = &*self.service.0;
            storage.write(&self.release.instrument, self.cx, *name, redis, key_by_key).await;
        }
        match self.fault {
            Some(Fault::Spoil) => self.forward(&spoilt(self.cx)).await,
            _ => self.forward(self.cx).await,
        }
    }

    async fn forward(&self, cx: &Context) -> Result<Answer, Failure> {
        let Self { service, release, assignment, .. } = self;
        let mut answer = Answer { message: message(release.patched).to_owned(), path: vec![service.name().to_string()] };
        let chosen = match (&assignment.next[..], assignment.route) {
            ([], _) => return Ok(answer),
            (next, Route::Straight | Route::Random) => {
                let place = rand::rng().random_range(0..next.len());
                &next[place..=place]
            }
            (next, Route::All) => next,
        };
        if let [Peer { name, url }] = chosen {
            answer.include(read(*name, release.caller.get_by(cx, url, way(self.fault, *name)).await)?);
            return Ok(answer);
        }
        let calls = chosen.iter().cloned().map(|Peer { name, url }| {
            let (caller, cx, way) = (release.caller.clone(), cx.clone(), way(self.fault, name));
            async move { read(name, caller.get_by(&cx, &url, way).await) }
        });
        let mut answers = stream::iter(calls).buffered(FAN_OUT.into());
        while let Some(next) = answers.next().await {
            answer.include(next?);
        }
        Ok(answer)
    }
}

/// How a call reaches `name`.
fn way(fault: Option<&Fault>, name: ServiceName) -> Way {
    match fault {
        Some(Fault::Network { callee, delay }) if *callee == name => {
            Way { delay: delay.sample(&mut rand::rng()), ..Way::default() }
        }
        Some(Fault::LostContext) => Way { without_context: true, ..Way::default() },
        _ => Way::default(),
    }
}

/// The same context, marked for those further on.
fn spoilt(cx: &Context) -> Context {
    with_baggage(cx, MARK.0, MARK.1.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    use crate::mystery::Delay;

    const LONG: Delay = Delay { median_ms: 500.0, sigma: 0.0 };

    fn assignment() -> Assignment {
        Assignment {
            service: ServiceName { layer: 1, number: 0 },
            delay: Delay { median_ms: 5.0, sigma: 0.0 },
            route: Route::Straight,
            next: Arc::new([]),
            fault: None,
            spoiled: None,
            redis: None,
            decoy: None,
        }
    }

    fn baggage(pairs: &[(&'static str, &'static str)]) -> Baggage {
        let mut baggage = Baggage::new();
        for (key, value) in pairs {
            baggage.insert(*key, *value);
        }
        baggage
    }

    /// What 10,000 requests meet.
    fn plans(assignment: &Assignment, baggage: &Baggage, resent: bool) -> Vec<Plan> {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        (0..10_000).map(|_| Plan::draw(assignment, assignment.fault.as_ref(), baggage, resent, &mut rng)).collect()
    }

    fn share(plans: &[Plan], is: impl Fn(&Plan) -> bool) -> f64 {
        plans.iter().filter(|plan| is(plan)).count() as f64 / plans.len() as f64
    }

    fn slow(plan: &Plan) -> bool {
        plan.delay > Duration::from_millis(400)
    }

    #[test]
    fn a_fault_strikes_the_share_that_it_names() {
        let plans = |fault| plans(&Assignment { fault: Some(fault), ..assignment() }, &Baggage::new(), false);
        let rare = share(&plans(Fault::RareSleep { delay: LONG, share: 0.02 }), slow);
        assert!((0.015..0.025).contains(&rare), "{rare} are slow");
        let failed = plans(Fault::Failure { share: 0.3 });
        let fails = share(&failed, |plan| plan.fails);
        assert!((0.28..0.32).contains(&fails) && share(&failed, slow) == 0.0, "{fails} fail");
        for (share_of, expected) in [(f64::NAN, 0.0), (-1.0, 0.0), (7.0, 1.0)] {
            assert_eq!(share(&plans(Fault::Failure { share: share_of }), |plan| plan.fails), expected);
        }
    }

    #[test]
    fn one_customer_suffers_and_nobody_else() {
        let fault = Fault::Customer { customer: "customer-3".to_owned(), delay: LONG, share: 0.2 };
        let assignment = Assignment { fault: Some(fault), ..assignment() };
        let hit = plans(&assignment, &baggage(&[("customer.id", "customer-3")]), false);
        let fails = share(&hit, |plan| plan.fails);
        assert!((0.18..0.22).contains(&fails) && share(&hit, slow) == 1.0, "{fails} fail");
        for other in [baggage(&[("customer.id", "customer-4")]), baggage(&[("client", "customer-3")]), Baggage::new()] {
            assert_eq!(share(&plans(&assignment, &other, false), |plan| plan.fails || slow(plan)), 0.0);
        }
    }

    #[test]
    fn what_is_spoilt_is_suffered_from_where_the_assignment_says_so() {
        let spoilt = spoilt(&Context::new().with_baggage(baggage(&[("customer.id", "customer-3")])));
        assert_eq!(spoilt.baggage().get("customer.id").unwrap().as_str(), "customer-3", "the rest of the baggage stays");
        let suffering = |spoiled| Assignment { spoiled, ..assignment() };
        for (assignment, suffers) in
            [(suffering(None), 0.0), (suffering(Some(Spoiled::Fails)), 1.0), (suffering(Some(Spoiled::Slow { delay: LONG })), 1.0)]
        {
            let is = |plan: &Plan| plan.fails || slow(plan);
            assert_eq!(share(&plans(&assignment, spoilt.baggage(), false), is), suffers);
            assert_eq!(share(&plans(&assignment, &Baggage::new(), false), is), 0.0);
        }
    }

    #[test]
    fn nobody_is_refused_twice_and_a_refusal_takes_no_time() {
        let assignment = Assignment { decoy: Some(Decoy::Refusal { share: 0.1 }), ..assignment() };
        let first = plans(&assignment, &Baggage::new(), false);
        let refused = share(&first, |plan| plan.refused);
        assert!((0.08..0.12).contains(&refused), "{refused} are refused");
        assert!(first.iter().all(|plan| plan.delay.is_zero() == plan.refused));
        assert_eq!(share(&plans(&assignment, &Baggage::new(), true), |plan| plan.refused), 0.0);
    }
}
