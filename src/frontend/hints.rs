//! What the game says of a mystery without giving it away.

use rand::seq::SliceRandom as _;
use rand::{Rng, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::mystery::{Answer, Cause, Guess, Mystery, Verdict};
use crate::topology::{Route, ServiceName};

/// Hints of a mystery, each more direct than the one before.
pub(super) const HINTS: u32 = 3;
/// The last hint names as many services or pairs, the culprit among them.
const CANDIDATES: usize = 5;
/// Fewer where there are few to begin with: of those that write to Redis, and of customers with enough calls.
const FEW: usize = 3;

/// The first hint where the cause is part of the mystery: the same for all of them.
const LOOK_EVERYWHERE: &str = "Make some hundred calls one at a time, then as many at once, and compare: the longest traces with \
    ordinary ones, failed ones with those that went well, busy times with quiet ones, one customer (tag customer.id) with another. \
    Ask of every difference in which service the time is spent or the error begins; whether it is inside a span, in many short \
    calls, or between a client span and the server span beneath it; through which services those requests came; and whether every \
    trace begins at the frontend. There may be no difference at all.";

/// Whom the last hint names, in order.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Candidates {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<ServiceName>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pairs: Vec<Pair>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub customers: Vec<String>,
}

/// Two services of which one calls the other, named as in a guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Pair {
    pub service: ServiceName,
    pub callee: ServiceName,
}

/// Hint `number`, from 1; beyond the last, the last: how to look, then in which part of the system, then candidates. Where the cause
/// is `secret`, how to look for it comes one hint later. The seed decides whom the last one names beside the culprit, so that
/// asking again tells nothing new.
pub(super) fn hint(mystery: &Mystery, secret: bool, seed: u64, number: u32) -> (String, Candidates) {
    let (look, part) = (look(mystery.cause, mystery.topology.route), part(mystery));
    match number {
        0 | 1 if secret => (LOOK_EVERYWHERE.to_owned(), Candidates::default()),
        0 | 1 => (look.to_owned(), Candidates::default()),
        2 if secret => (format!("{look} {part}"), Candidates::default()),
        2 => (part, Candidates::default()),
        _ => {
            let candidates = candidates(mystery, seed);
            let text = match (&mystery.culprit, &candidates) {
                (None, _) => {
                    "A slow or failed call now and then is nothing strange: delays vary, and what a caller repeats with \
                              success or does not wait for harms nobody. Not every mystery has a culprit."
                }
                (_, Candidates { pairs, .. }) if !pairs.is_empty() => "It is one of these calls, as long as the caller runs as v1.",
                (_, Candidates { customers, .. }) if !customers.is_empty() => {
                    "It is one of these services, as long as it runs as v1, and one of these customers."
                }
                _ => "It is one of these, as long as it runs as v1.",
            };
            (text.to_owned(), candidates)
        }
    }
}

/// Which comparison shows this kind of thing.
fn look(cause: Cause, route: Route) -> &'static str {
    match cause {
        Cause::Sleep => {
            "Make a few hundred calls, then search the traces for the longest ones and open one of them. The time that a span \
             spends outside its children is its own: look for the span where most of that is, and see whether other slow traces \
             have it in the same service. What goes on after the answer holds nobody up."
        }
        Cause::RareSleep if route == Route::All => {
            "Only one request in fifty to the service in question shows it, but a call reaches all services except those of the other \
             buttons: make some hundred calls, and some thousands where these show nothing, then search for the longest traces and \
             open several. The time that a span spends outside its children is its own: look for the service of which a few spans \
             have far more of that than its others. What goes on after the answer holds nobody up."
        }
        Cause::RareSleep => {
            "Only one request in fifty to the service in question shows it: make ten thousand calls or more, then search for the longest \
             traces and open several. The time that a span spends outside its children is its own: look for the service in \
             which several of the longest traces have most of that. What goes on after the answer holds nobody up."
        }
        Cause::Failure => {
            "Make a few hundred calls, then search the traces for those with errors (tag error=true) and open some. Who calls a \
             service that fails, fails as well: look for the deepest span with an error, the one with no failed span beneath it. \
             A refusal that the caller repeats with success is harmless."
        }
        Cause::Customer => {
            "Calls are made by several customers, and the spans say by whom (tag customer.id). Make a thousand calls, search for \
             the traces of one customer after the other, and compare how long they take and how many fail; then look in which \
             service those of one customer have their time and their errors."
        }
        Cause::Upstream => {
            "Where the time or the error shows is not where it comes from. Make a thousand calls, take slow or failed requests \
             to a service and ordinary ones to the same service, and compare through which services both kinds came."
        }
        Cause::Contention => {
            "A call alone waits for nobody there, it only works some tens of milliseconds. Make some hundred calls one at a time, then as many with a hundred at once, and compare \
             how much time of its own (outside its children) each service has in both: look for the one where that grows with \
             the number of requests it handles at once."
        }
        Cause::Redis => {
            "Some services write to Redis on every request. Open a trace of each of them and compare how many calls to Redis one \
             request makes, and whether they come one after the other."
        }
        Cause::Network => {
            "Compare each client span with the server span beneath it. What passes between the beginning of the one and that of \
             the other is spent in neither service, and ordinarily too short to see: look for a caller and a callee between \
             which it is long, every time."
        }
        Cause::LostContext => {
            "Every trace should begin at the frontend, and every client span have a server span beneath it. Search for traces \
             that begin at another service, and for traces that end at a client span: whose is it?"
        }
        Cause::None => {
            "Make a few hundred calls and compare services, pairs of caller and callee, and customers (tag customer.id): in \
             which of them are traces slow, and in which do they fail?"
        }
    }
}

/// In which part of the system it is.
fn part(mystery: &Mystery) -> String {
    let answer = mystery.answer();
    match (answer.service, answer.callee) {
        // They are few, and their layers would nearly name them.
        (Some(_), _) if mystery.cause == Cause::Redis => {
            format!("It is one of the {} services that write to Redis.", mystery.eligible().count())
        }
        (None, _) => "Press every button often enough to compare all of them. Is any one slow or failing more often than the \
                      others?"
            .to_owned(),
        (Some(caller), Some(callee)) => format!("It is between layer {} and layer {}.", caller.layer, callee.layer),
        (Some(service), None) => format!("It is in layer {}.", service.layer),
    }
}

/// The culprit and others that it might have been: of its layer, or, where only a few might, of those. What the others consist of is
/// drawn as the culprit was, so that nothing tells it from them.
fn candidates(mystery: &Mystery, seed: u64) -> Candidates {
    let answer = mystery.answer();
    let Some(culprit) = answer.service else { return Candidates::default() };
    let mut rng = ChaCha8Rng::seed_from_u64(!seed);
    let services = match mystery.cause {
        Cause::Redis => some(mystery.eligible(), culprit, FEW, &mut rng),
        _ => some(mystery.eligible().filter(|service| service.layer == culprit.layer), culprit, CANDIDATES, &mut rng),
    };
    let customers = match answer.customer {
        None => Vec::new(),
        Some(customer) => some(mystery.customers.eligible().map(str::to_owned), customer, FEW, &mut rng),
    };
    let Some(callee) = answer.callee else { return Candidates { services, customers, pairs: Vec::new() } };
    let mut called = |service: ServiceName| match mystery.topology.route {
        _ if service == culprit => callee,
        Route::Straight => ServiceName { number: service.number, ..callee },
        Route::Random | Route::All => ServiceName { number: rng.random_range(0..mystery.topology.width), ..callee },
    };
    let pairs = services.iter().map(|&service| Pair { service, callee: called(service) }).collect();
    Candidates { pairs, ..Candidates::default() }
}

/// `one` of `all` and as many others as make `count`, in order.
fn some<T: Ord>(all: impl Iterator<Item = T>, one: T, count: usize, rng: &mut impl Rng) -> Vec<T> {
    let mut others: Vec<T> = all.filter(|other| *other != one).collect();
    others.shuffle(rng);
    others.truncate(count - 1);
    others.push(one);
    others.sort();
    others
}

/// The sentence beside a verdict. Half right, it says which kind of thing is missing, and that only as far as the guess has it.
pub(super) fn message(verdict: Verdict, guess: &Guess, answer: &Answer) -> String {
    match verdict {
        Verdict::Right if answer.cause == Cause::None => "Right: nothing is wrong here.".to_owned(),
        Verdict::Right => "Right: that is all there is to it.".to_owned(),
        Verdict::Wrong if guess.cause == Some(Cause::None) && answer.cause != Cause::None => "Wrong: something is.".to_owned(),
        Verdict::Wrong if guess.service.is_none() && guess.callee.is_none() => {
            "Wrong: a guess names a service, or says that nothing is wrong (cause none).".to_owned()
        }
        Verdict::Wrong => "Wrong: it is not there.".to_owned(),
        Verdict::Half => format!("Half right: a service that you named is part of it; {}.", missing(guess, answer)),
    }
}

fn missing(guess: &Guess, answer: &Answer) -> &'static str {
    match guess.cause {
        None => "say the cause as well",
        // Which fields an answer has depends on its cause, so that nothing is said of them before the cause is right.
        Some(cause) if cause != answer.cause => "the cause is another one",
        Some(_) if answer.callee.is_some() && (guess.callee.is_none() || guess.service.is_none()) => {
            "name both ends, caller and callee"
        }
        Some(_) if answer.callee.is_none() && guess.service.is_none() => "name it as the service, there is no callee",
        Some(_) if guess.service == answer.callee && guess.callee == answer.service => "the call goes the other way",
        Some(_) if guess.service != answer.service || guess.callee.is_some() && guess.callee != answer.callee => {
            "another service that you named is not, or does not belong there"
        }
        Some(_) if answer.customer.is_some() && guess.customer.is_none() => "name the customer as well",
        Some(_) if answer.customer.is_none() && guess.customer.is_some() => "no customer belongs to it",
        Some(_) if guess.customer != answer.customer => "the customer is not",
        Some(_) => "something is missing",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mystery::{draw, grade};
    use crate::topology::Topology;
    use clap::ValueEnum as _;
    use std::collections::BTreeSet;

    /// Mysteries of every cause on every route, as far as they can be had.
    fn mysteries() -> impl Iterator<Item = (u64, Mystery)> {
        let topologies = Route::value_variants()
            .iter()
            .flat_map(|&route| [(3, 30), (2, 5), (3, 2)].map(|(layers, width)| Topology::new(layers, width, route).unwrap()));
        topologies.flat_map(|topology| {
            let draw = move |seed, cause| Some((seed, draw(seed, cause, topology, 1.0).ok()?));
            (0..20).flat_map(move |seed| Cause::value_variants().iter().filter_map(move |&cause| draw(seed, cause)))
        })
    }

    /// Everything that an answer names.
    fn places(mystery: &Mystery) -> Vec<String> {
        let answer = mystery.answer();
        let services = [answer.service, answer.callee].into_iter().flatten().map(|service| service.to_string());
        services.chain(answer.customer).collect()
    }

    #[test]
    fn no_hint_before_the_last_names_anybody_and_none_names_the_culprit_alone() {
        for (seed, mystery) in mysteries() {
            for secret in [false, true] {
                for number in 1..=HINTS {
                    let (text, candidates) = hint(&mystery, secret, seed, number);
                    assert!(places(&mystery).iter().all(|place| !text.contains(place)), "{text}");
                    let Candidates { services, pairs, customers } = &candidates;
                    assert!(number == HINTS || candidates == Candidates::default(), "{number}: {candidates:?}");
                    assert!(services.len() != 1 && pairs.len() != 1 && customers.len() != 1, "{candidates:?}");
                }
            }
        }
    }

    #[test]
    fn the_last_hint_names_the_culprit_among_others_of_its_kind() {
        for (seed, mystery) in mysteries() {
            let (answer, topology) = (mystery.answer(), mystery.topology);
            let (text, candidates) = hint(&mystery, false, seed, HINTS);
            assert_eq!(hint(&mystery, true, seed, 9), (text, candidates.clone()), "asking again tells nothing new");
            let Candidates { services, pairs, customers } = candidates;
            let eligible: BTreeSet<_> = mystery.eligible().collect();
            let users = mystery.cause == Cause::Redis;
            let expected = if users { FEW.min(eligible.len()) } else { CANDIDATES.min(topology.width.into()) };
            match (answer.service, answer.callee) {
                (None, _) => assert!(services.is_empty() && pairs.is_empty() && customers.is_empty()),
                (Some(service), None) => {
                    assert!(services.contains(&service) && services.iter().all(|other| eligible.contains(other)));
                    assert!(users || services.iter().all(|other| other.layer == service.layer));
                    assert_eq!((services.len(), pairs.len()), (expected, 0));
                }
                (Some(service), Some(callee)) => {
                    assert!(pairs.contains(&Pair { service, callee }), "{pairs:?}");
                    assert_eq!((services.len(), pairs.len()), (0, expected));
                    for pair in &pairs {
                        assert_eq!((pair.service.layer, pair.callee.layer), (service.layer, callee.layer), "{pair:?}");
                        let calls = topology.route != Route::Straight || pair.service.number == pair.callee.number;
                        assert!(calls, "{} never calls {}", pair.service, pair.callee);
                    }
                }
            }
            assert_eq!(customers.len(), if answer.customer.is_some() { FEW } else { 0 });
            let seen = |customer: &String| mystery.customers.shares().iter().any(|(name, share)| name == customer && *share >= 0.1);
            assert!(customers.iter().all(seen), "{customers:?}");
            assert!(answer.customer.is_none_or(|customer| customers.contains(&customer)));
            assert!(services.is_sorted() && pairs.is_sorted() && customers.is_sorted(), "their order tells nothing");
        }
    }

    /// Over many seeds the culprit's callee is drawn as the others' are: nothing in the list tells the pair.
    #[test]
    fn the_callee_of_a_candidate_tells_nothing() {
        let topology = Topology::new(2, 4, Route::Random).unwrap();
        let mut same = [0, 0];
        for seed in 0..2_000 {
            let mystery = draw(seed, Cause::Network, topology, 1.0).unwrap();
            let (_, Candidates { pairs, .. }) = hint(&mystery, false, seed, HINTS);
            for pair in pairs {
                let culprit = Some(pair.service) == mystery.culprit;
                same[usize::from(culprit)] += u32::from(pair.service.number == pair.callee.number);
            }
        }
        // One in four: of 2,000 culprits 500, standard error 19; of 6,000 others 1,500, standard error 34.
        assert!((400..600).contains(&same[1]) && (1_330..1_670).contains(&same[0]), "{same:?}");
    }

    #[test]
    fn a_secret_mysterys_first_hint_does_not_depend_on_the_cause_and_a_known_ones_does() {
        let mut secret = BTreeSet::new();
        let mut known = BTreeSet::new();
        for (seed, mystery) in mysteries() {
            secret.insert(hint(&mystery, true, seed, 1).0);
            // A rare sleep is looked for otherwise where every call reaches nearly all services.
            if mystery.topology.route == Route::All {
                known.insert(hint(&mystery, false, seed, 1).0);
            }
        }
        assert_eq!((secret.len(), known.len()), (1, Cause::value_variants().len()));
    }

    #[test]
    fn hints_get_more_direct_and_a_secret_mysterys_come_no_earlier() {
        for (seed, mystery) in mysteries() {
            let text = |secret, number| hint(&mystery, secret, seed, number).0;
            let (first, second) = (text(false, 1), text(false, 2));
            assert_eq!(text(true, 2), format!("{first} {second}"));
            assert_eq!(second.contains("layer"), mystery.culprit.is_some() && mystery.cause != Cause::Redis);
            assert!(!first.contains("layer") && text(false, HINTS) != second);
            assert_eq!(text(false, 0), first);
        }
    }

    #[test]
    fn a_layer_of_one_service_has_one_candidate() {
        let mystery = draw(1, Cause::Sleep, Topology::new(2, 1, Route::Straight).unwrap(), 1.0).unwrap();
        assert_eq!(hint(&mystery, false, 1, 3).1.services, [mystery.culprit.unwrap()]);
    }

    #[test]
    fn wrong_says_why_and_not_that_something_is_where_nothing_is() {
        let service = Some(ServiceName { layer: 0, number: 1 });
        let [sleep, nothing] = [Cause::Sleep, Cause::None].map(|cause| {
            let service = service.filter(|_| cause != Cause::None).map(|service| ServiceName { number: 2, ..service });
            Answer { cause, service, callee: None, customer: None }
        });
        let there = Guess { cause: Some(Cause::Sleep), service, ..Guess::default() };
        let none = Guess { cause: Some(Cause::None), ..Guess::default() };
        let none_there = Guess { cause: Some(Cause::None), ..there.clone() };
        for (answer, guess, says) in [
            (&sleep, &none, "Wrong: something is."),
            (&sleep, &there, "Wrong: it is not there."),
            (&nothing, &there, "Wrong: it is not there."),
            (&nothing, &none_there, "Wrong: it is not there."),
            (&sleep, &Guess::default(), "Wrong: a guess names a service, or says that nothing is wrong (cause none)."),
        ] {
            assert_eq!(grade(guess, answer), Verdict::Wrong, "{guess:?}");
            assert_eq!(message(Verdict::Wrong, guess, answer), says, "{guess:?}");
        }
    }

    #[test]
    fn half_right_says_what_is_missing_and_names_nothing() {
        let dummy = |layer, number| Some(ServiceName { layer, number });
        let pair = Answer { cause: Cause::Network, service: dummy(0, 3), callee: dummy(1, 3), customer: None };
        let customer = Answer { cause: Cause::Customer, callee: None, customer: Some("customer-7".into()), ..pair.clone() };
        let plain = Answer { cause: Cause::Sleep, customer: None, ..customer.clone() };
        let guess =
            |cause, service, callee, customer: Option<&str>| Guess { cause, service, callee, customer: customer.map(Into::into) };
        let (sleep, network, of_one) = (Some(Cause::Sleep), Some(Cause::Network), Some(Cause::Customer));
        let cases = [
            (&plain, guess(None, dummy(0, 3), None, None), "say the cause as well"),
            (&plain, guess(Some(Cause::None), dummy(0, 3), None, None), "the cause is another one"),
            (
                &plain,
                guess(sleep, dummy(0, 3), dummy(1, 9), None),
                "another service that you named is not, or does not belong there",
            ),
            (&plain, guess(sleep, dummy(0, 3), None, Some("customer-7")), "no customer belongs to it"),
            (&plain, guess(sleep, None, dummy(0, 3), None), "name it as the service, there is no callee"),
            (&plain, guess(network, dummy(0, 3), dummy(1, 3), None), "the cause is another one"),
            (&pair, guess(sleep, dummy(1, 3), None, None), "the cause is another one"),
            (&pair, guess(network, dummy(1, 3), None, None), "name both ends, caller and callee"),
            (&pair, guess(network, None, dummy(1, 3), None), "name both ends, caller and callee"),
            (&pair, guess(network, dummy(1, 3), dummy(0, 3), None), "the call goes the other way"),
            (
                &pair,
                guess(network, dummy(0, 3), dummy(1, 4), None),
                "another service that you named is not, or does not belong there",
            ),
            (&pair, guess(network, dummy(0, 3), dummy(1, 3), Some("customer-7")), "no customer belongs to it"),
            (&customer, guess(sleep, dummy(0, 3), None, Some("customer-7")), "the cause is another one"),
            (&customer, guess(of_one, dummy(0, 3), None, None), "name the customer as well"),
            (&customer, guess(of_one, dummy(0, 3), None, Some("customer-9")), "the customer is not"),
        ];
        for (answer, guess, says) in cases {
            assert_eq!(grade(&guess, answer), Verdict::Half, "{guess:?}");
            let message = message(Verdict::Half, &guess, answer);
            assert_eq!(message, format!("Half right: a service that you named is part of it; {says}."), "{guess:?}");
        }
    }
}
