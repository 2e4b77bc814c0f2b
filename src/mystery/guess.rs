//! Grading: is the guess right, half right or wrong?

use serde::{Deserialize, Serialize};

use super::Cause;
use crate::topology::ServiceName;

/// What somebody thinks is wrong. `cause: none` is the guess that nothing is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guess {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callee: Option<ServiceName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
}

/// What is wrong: the fields a right guess names, as `reveal` tells them (beside the seed).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    pub cause: Cause,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callee: Option<ServiceName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Names every field of the answer.
    Right,
    /// Names the service, or one end of the pair, but not all.
    Half,
    Wrong,
}

/// Right when the guess names every field of the answer, and nothing else.
pub fn grade(guess: &Guess, answer: &Answer) -> Verdict {
    let Answer { cause, service, callee, customer } = answer;
    let all = guess.cause == Some(*cause) && guess.service == *service && guess.callee == *callee && guess.customer == *customer;
    if all {
        return Verdict::Right;
    }
    let ends = [*service, *callee];
    let named = [guess.service, guess.callee].into_iter().flatten().any(|service| ends.contains(&Some(service)));
    if named { Verdict::Half } else { Verdict::Wrong }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dummy(layer: u16, number: u16) -> Option<ServiceName> {
        Some(ServiceName { layer, number })
    }

    #[test]
    fn a_guess_is_right_only_when_it_names_everything() {
        let answer = Answer { cause: Cause::Sleep, service: dummy(1, 17), callee: None, customer: None };
        let whole = Guess { cause: Some(Cause::Sleep), service: dummy(1, 17), ..Guess::default() };
        assert_eq!(grade(&whole, &answer), Verdict::Right);
        let no_cause = Guess { cause: None, ..whole.clone() };
        assert_eq!(grade(&no_cause, &answer), Verdict::Half);
        let too_much = Guess { customer: Some("customer-7".into()), ..whole.clone() };
        assert_eq!(grade(&too_much, &answer), Verdict::Half);
        let elsewhere = Guess { service: dummy(1, 18), ..whole };
        assert_eq!(grade(&elsewhere, &answer), Verdict::Wrong);
        assert_eq!(grade(&Guess::default(), &answer), Verdict::Wrong);
    }

    #[test]
    fn either_end_of_a_pair_is_half_right() {
        let answer = Answer { cause: Cause::Sleep, service: dummy(0, 3), callee: dummy(1, 3), customer: None };
        for service in [dummy(0, 3), dummy(1, 3)] {
            let guess = Guess { cause: Some(Cause::Sleep), service, ..Guess::default() };
            assert_eq!(grade(&guess, &answer), Verdict::Half);
        }
    }

    #[test]
    fn that_nothing_is_wrong_is_right_only_where_nothing_is() {
        let nothing = Guess { cause: Some(Cause::None), ..Guess::default() };
        let fine = Answer { cause: Cause::None, service: None, callee: None, customer: None };
        let sleep = Answer { cause: Cause::Sleep, service: dummy(1, 17), ..fine.clone() };
        assert_eq!(grade(&nothing, &fine), Verdict::Right);
        assert_eq!(grade(&nothing, &sleep), Verdict::Wrong);
        let sleeper = Guess { cause: Some(Cause::Sleep), service: dummy(1, 17), ..Guess::default() };
        assert_eq!(grade(&sleeper, &fine), Verdict::Wrong);
    }
}
