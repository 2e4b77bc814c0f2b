//! Is a diagnosis right about a mystery?

use crate::diagnose::{Diagnosis, Suspect, SuspectCause};
use crate::mystery::{Answer, Cause};

/// How right a diagnosis is, which means its first suspect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grade {
    /// It names the culprit: the service, both ends of a pair, service and customer. Where nothing is wrong: it names nobody.
    pub place: bool,
    /// It names the kind of fault, wherever.
    pub cause: bool,
}

impl Grade {
    /// Right culprit and right cause.
    pub fn is_right(self) -> bool {
        self.place && self.cause
    }
}

/// Grades what comes first. Where nothing is wrong, only an empty diagnosis is right.
pub fn grade(diagnosis: &Diagnosis, answer: &Answer) -> Grade {
    match diagnosis.suspects.first() {
        Some(first) => Grade { place: names_place(first, answer), cause: names_cause(first, answer) },
        None => {
            let right = answer.cause == Cause::None;
            Grade { place: right, cause: right }
        }
    }
}

/// Whether one suspect, first or not, is right: what its `confidence` is the probability of.
pub fn is_right(suspect: &Suspect, answer: &Answer) -> bool {
    names_place(suspect, answer) && names_cause(suspect, answer)
}

fn names_place(suspect: &Suspect, answer: &Answer) -> bool {
    let Some(culprit) = answer.service.map(|service| service.to_string()) else { return false };
    let callee = answer.callee.map(|callee| callee.to_string());
    // What it says beyond the answer is wrong as well: a pair where a service is, a customer where all suffer.
    let customer = match (&suspect.attribute, &answer.customer) {
        (Some(attribute), Some(customer)) => attribute.key == "customer.id" && attribute.value == *customer,
        (None, None) => true,
        _ => false,
    };
    suspect.service.as_ref() == Some(&culprit) && (callee.is_none() || suspect.callee == callee) && customer
}

fn names_cause(suspect: &Suspect, answer: &Answer) -> bool {
    let expected = match answer.cause {
        Cause::Sleep => SuspectCause::Sleep,
        Cause::RareSleep => SuspectCause::RareSleep,
        Cause::Failure => SuspectCause::Failure,
        Cause::Customer => SuspectCause::Customer,
        Cause::Upstream => SuspectCause::Upstream,
        Cause::Contention => SuspectCause::Contention,
        Cause::Redis => SuspectCause::Redis,
        Cause::Network => SuspectCause::Network,
        Cause::LostContext => SuspectCause::LostContext,
        Cause::None => return false,
    };
    suspect.cause == expected
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::{Attribute, Effect};
    use crate::topology::ServiceName;

    const WHOLE: Grade = Grade { place: true, cause: true };

    fn suspect(cause: SuspectCause, service: &str) -> Suspect {
        Suspect {
            cause,
            service: Some(service.to_owned()),
            callee: None,
            attribute: None,
            confidence: 0.9,
            effect: Effect::default(),
            evidence: vec![],
            examples: vec![],
            charged: vec![],
        }
    }

    fn diagnosis(suspects: Vec<Suspect>) -> Diagnosis {
        Diagnosis { suspects, ..Diagnosis::default() }
    }

    fn answer(cause: Cause) -> Answer {
        Answer { cause, service: Some(ServiceName { layer: 1, number: 17 }), callee: None, customer: None }
    }

    #[test]
    fn only_the_first_suspect_counts_and_it_must_name_culprit_and_cause() {
        let right = suspect(SuspectCause::Sleep, "dummy-1-17");
        let elsewhere = suspect(SuspectCause::Sleep, "dummy-1-1");
        let other_cause = suspect(SuspectCause::Network, "dummy-1-17");
        let grade = |suspects| grade(&diagnosis(suspects), &answer(Cause::Sleep));
        assert_eq!(grade(vec![right.clone(), elsewhere.clone()]), WHOLE);
        assert_eq!(grade(vec![elsewhere, right.clone()]), Grade { place: false, cause: true });
        assert_eq!(grade(vec![other_cause, right]), Grade { place: true, cause: false });
        assert_eq!(grade(vec![]), Grade { place: false, cause: false });
    }

    #[test]
    fn a_pair_needs_both_ends_in_the_right_order() {
        let answer = Answer { callee: Some(ServiceName { layer: 2, number: 3 }), ..answer(Cause::Network) };
        let pair = |service, callee: &str| Suspect { callee: Some(callee.to_owned()), ..suspect(SuspectCause::Network, service) };
        assert!(is_right(&pair("dummy-1-17", "dummy-2-3"), &answer));
        assert!(!is_right(&pair("dummy-2-3", "dummy-1-17"), &answer));
        assert!(!is_right(&suspect(SuspectCause::Network, "dummy-1-17"), &answer));
    }

    #[test]
    fn a_customer_must_be_named_where_there_is_one_and_only_there() {
        let with = |key: &str, value: &str| Suspect {
            attribute: Some(Attribute { key: key.to_owned(), value: value.to_owned() }),
            ..suspect(SuspectCause::Customer, "dummy-1-17")
        };
        let customer = Answer { customer: Some("customer-3".to_owned()), ..answer(Cause::Customer) };
        assert!(is_right(&with("customer.id", "customer-3"), &customer));
        assert!(!is_right(&with("customer.id", "customer-4"), &customer));
        assert!(!is_right(&with("client", "customer-3"), &customer));
        assert!(!is_right(&suspect(SuspectCause::Customer, "dummy-1-17"), &customer));
        let sleep = Suspect { cause: SuspectCause::Sleep, ..with("customer.id", "customer-3") };
        assert!(!is_right(&sleep, &answer(Cause::Sleep)));
    }

    #[test]
    fn where_nothing_is_wrong_only_nobody_is_right() {
        let nothing = Answer { cause: Cause::None, service: None, callee: None, customer: None };
        assert_eq!(grade(&diagnosis(vec![]), &nothing), WHOLE);
        let somebody = grade(&diagnosis(vec![suspect(SuspectCause::Sleep, "dummy-1-17")]), &nothing);
        assert_eq!(somebody, Grade { place: false, cause: false });
    }
}
