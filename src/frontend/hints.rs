//! What the game says of a mystery without giving it away.

use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;

use crate::mystery::{Answer, Cause, Guess, Mystery, Verdict};
use crate::topology::ServiceName;

/// Hints of a mystery, each more direct than the one before.
pub(super) const HINTS: u32 = 3;
/// The last hint names as many services, the culprit among them.
const CANDIDATES: usize = 5;

/// Hint `number`, from 1; beyond the last, the last. The seed decides whom the last one names beside the culprit, so that asking
/// again tells nothing new.
pub(super) fn hint(mystery: &Mystery, seed: u64, number: u32) -> (String, Vec<ServiceName>) {
    let look = "Make a few hundred calls, then search the traces for the longest ones and open one of them. The time that a span \
                spends outside its children is its own: look for the span where most of that is, and see whether other slow \
                traces have it in the same service.";
    let Some(culprit) = mystery.culprit else {
        let text = match number {
            0 | 1 => look,
            2 => "Press every button often enough to compare all of them. Is any one slow more often than the others?",
            _ => "A slow call now and then is nothing strange: delays vary. Not every mystery has a culprit.",
        };
        return (text.to_owned(), Vec::new());
    };
    match number {
        0 | 1 => (look.to_owned(), Vec::new()),
        2 => (format!("It sits in layer {}.", culprit.layer), Vec::new()),
        _ => {
            let services = candidates(mystery, culprit, seed);
            ("It is one of these.".to_owned(), services)
        }
    }
}

/// The culprit and others of its layer, in order.
fn candidates(mystery: &Mystery, culprit: ServiceName, seed: u64) -> Vec<ServiceName> {
    let mut others: Vec<ServiceName> = mystery.topology.layer(culprit.layer).filter(|service| *service != culprit).collect();
    let (others, _) = others.partial_shuffle(&mut ChaCha8Rng::seed_from_u64(!seed), CANDIDATES - 1);
    let mut candidates: Vec<ServiceName> = others.iter().copied().chain([culprit]).collect();
    candidates.sort();
    candidates
}

/// The sentence beside a verdict. Half right, it says which kind of thing is missing, and that only as far as the guess has it.
pub(super) fn message(verdict: Verdict, guess: &Guess, answer: &Answer) -> String {
    match verdict {
        Verdict::Right if answer.cause == Cause::None => "Right: nothing is wrong here.".to_owned(),
        Verdict::Right => "Right: that is all there is to it.".to_owned(),
        Verdict::Wrong if guess.cause == Some(Cause::None) => "Wrong: something is.".to_owned(),
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
        Some(_) if answer.callee.is_some() && guess.callee.is_none() => "name both ends, caller and callee",
        Some(_) if guess.service == answer.callee && guess.callee == answer.service => "the call goes the other way",
        Some(_) if guess.service != answer.service || guess.callee.is_some() && guess.callee != answer.callee => {
            "another service that you named is not, or does not belong there"
        }
        Some(_) if answer.customer.is_some() && guess.customer.is_none() => "name the customer as well",
        Some(_) if guess.customer != answer.customer => "the customer is not",
        Some(_) => "something is missing",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mystery::{draw, grade};
    use crate::topology::{Route, Topology};

    fn topology() -> Topology {
        Topology::new(3, 30, Route::Straight).unwrap()
    }

    #[test]
    fn three_hints_narrow_it_down_without_naming_it() {
        for seed in 0..100 {
            let mystery = draw(seed, Cause::Sleep, topology(), 1.0).unwrap();
            let culprit = mystery.culprit.unwrap();
            for number in 1..=2 {
                let (text, services) = hint(&mystery, seed, number);
                assert!(!text.contains(&culprit.to_string()) && services.is_empty());
            }
            let (_, services) = hint(&mystery, seed, 3);
            assert_eq!(services.len(), CANDIDATES);
            assert!(services.contains(&culprit) && services.iter().all(|service| service.layer == culprit.layer));
            assert!(services.is_sorted(), "their order tells nothing");
            assert_eq!(hint(&mystery, seed, 9).1, services, "asking again tells nothing new");
        }
    }

    #[test]
    fn a_layer_of_one_service_has_one_candidate() {
        let mystery = draw(1, Cause::Sleep, Topology::new(2, 1, Route::Straight).unwrap(), 1.0).unwrap();
        assert_eq!(hint(&mystery, 1, 3).1, [mystery.culprit.unwrap()]);
    }

    #[test]
    fn half_right_says_what_is_missing_and_names_nothing() {
        let dummy = |layer, number| Some(ServiceName { layer, number });
        let pair = Answer { cause: Cause::Sleep, service: dummy(0, 3), callee: dummy(1, 3), customer: None };
        let customer = Answer { callee: None, customer: Some("customer-7".into()), ..pair.clone() };
        let plain = Answer { customer: None, ..customer.clone() };
        let guess =
            |cause, service, callee, customer: Option<&str>| Guess { cause, service, callee, customer: customer.map(Into::into) };
        let sleep = Some(Cause::Sleep);
        let cases = [
            (&plain, guess(None, dummy(0, 3), None, None), "say the cause as well"),
            (&plain, guess(Some(Cause::None), dummy(0, 3), None, None), "the cause is another one"),
            (
                &plain,
                guess(sleep, dummy(0, 3), dummy(1, 9), None),
                "another service that you named is not, or does not belong there",
            ),
            (&plain, guess(sleep, dummy(0, 3), None, Some("customer-7")), "the customer is not"),
            (&pair, guess(sleep, dummy(1, 3), None, None), "name both ends, caller and callee"),
            (&pair, guess(sleep, dummy(1, 3), dummy(0, 3), None), "the call goes the other way"),
            (&customer, guess(sleep, dummy(0, 3), None, None), "name the customer as well"),
            (&customer, guess(sleep, dummy(0, 3), None, Some("customer-9")), "the customer is not"),
        ];
        for (answer, guess, says) in cases {
            assert_eq!(grade(&guess, answer), Verdict::Half, "{guess:?}");
            let message = message(Verdict::Half, &guess, answer);
            assert_eq!(message, format!("Half right: a service that you named is part of it; {says}."), "{guess:?}");
        }
    }
}
