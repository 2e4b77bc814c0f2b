//! What is looked for and how often: the table `[watch]` of the configuration, and the rules that come of it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{bail, ensure};
use jiff::{SignedDuration, Span, SpanRelativeTo};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::rule::{Rule, What};

/// Rules are bits of a number for every trace that is remembered.
const MOST_RULES: usize = 64;
/// Looks that come faster would be at the same traces all the time.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(50);
/// What a look goes back by itself: spans wait in batches on their way, and a trace is there only when its longest span has ended.
const LOOKBACK: Duration = Duration::from_secs(300);
/// What spans may be late after their end.
const LATE: Duration = Duration::from_secs(60);
/// A time further back is a slip of the finger, and in nanoseconds since 1970 it must be a number.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// The table `[watch]`. Flags of the same names make the first rules; `[[watch.rules]]` are others beside them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub slower_than: Option<Time>,
    pub failed: bool,
    /// Not every such trace counts, but more than this share of them.
    pub share: Option<Share>,
    /// What a share is counted over, and what a mail's suspect is looked for in.
    pub window: Time,
    /// A share of fewer traces says nothing.
    pub min_traces: u64,
    /// Only requests that this service answered, and how they went there.
    pub service: Option<String>,
    pub rules: Vec<NamedRule>,
    /// Between two looks.
    pub interval: Time,
    /// How far a look goes back.
    pub lookback: Option<Time>,
    /// A rule sends one mail in this time at most.
    pub period: Time,
    /// The first pause before mail is tried again; later ones are longer.
    pub retry: Time,
}

/// One of `[[watch.rules]]`; what is absent is as in [`Settings`], but for service and share.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedRule {
    pub name: String,
    pub slower_than: Option<Time>,
    #[serde(default)]
    pub failed: bool,
    pub share: Option<Share>,
    pub window: Option<Time>,
    pub min_traces: Option<u64>,
    pub service: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        let seconds = |seconds| Time(Duration::from_secs(seconds));
        Self {
            slower_than: None,
            failed: false,
            share: None,
            window: seconds(600),
            min_traces: 20,
            service: None,
            rules: Vec::new(),
            interval: seconds(15),
            lookback: None,
            period: seconds(900),
            retry: seconds(5),
        }
    }
}

impl Settings {
    /// Every rule there is.
    ///
    /// # Errors
    /// There is none, or one that can mean nothing; the text names it.
    pub fn rules(&self) -> anyhow::Result<Vec<Rule>> {
        let rule = |what| self.rule(None, what, self.share, self.service.clone(), None, None);
        let slow = self.slower_than.map(|time| rule(What::SlowerThan(time.0)));
        let failed = self.failed.then(|| rule(What::Failed));
        let mut rules = slow.into_iter().chain(failed).collect::<anyhow::Result<Vec<_>>>()?;
        for (key, given) in [("--share", self.share.is_some()), ("--service", self.service.is_some())] {
            ensure!(!given || !rules.is_empty(), "{key} says nothing by itself; add --slower-than or --failed");
        }
        for named in &self.rules {
            rules.push(self.named(named)?);
        }
        ensure!(
            !rules.is_empty(),
            "there is nothing to watch for; say --slower-than 500ms, --failed, or write [[watch.rules]] into tracelab.toml"
        );
        ensure!(rules.len() <= MOST_RULES, "there are {} rules; {MOST_RULES} are the most", rules.len());
        for (at, rule) in rules.iter().enumerate() {
            if rules[..at].iter().any(|other| other.name == rule.name) {
                bail!("two rules are called {:?}; mails could not be told apart", rule.name);
            }
        }
        Ok(rules)
    }

    fn named(&self, named: &NamedRule) -> anyhow::Result<Rule> {
        let NamedRule { name, slower_than, failed, share, window, min_traces, service } = named;
        ensure!(!name.trim().is_empty(), "one of [[watch.rules]] has an empty name");
        let what = match (slower_than, failed) {
            (Some(time), false) => What::SlowerThan(time.0),
            (None, true) => What::Failed,
            (None, false) => bail!("the rule {name:?} looks for nothing; it needs slower_than = \"500ms\" or failed = true"),
            (Some(_), true) => bail!("the rule {name:?} says both slower_than and failed; make two rules of it"),
        };
        self.rule(Some(name), what, *share, service.clone(), *window, *min_traces)
    }

    fn rule(
        &self,
        name: Option<&str>,
        what: What,
        share: Option<Share>,
        service: Option<String>,
        window: Option<Time>,
        min_traces: Option<u64>,
    ) -> anyhow::Result<Rule> {
        let (share, min_traces) = (share.map(|share| share.0), min_traces.unwrap_or(self.min_traces));
        let mut rule = Rule { name: String::new(), what, share, window: window.unwrap_or(self.window).0, min_traces, service };
        rule.name = name.map_or_else(|| rule.says(), str::to_owned);
        ensure!(min_traces > 0, "the rule {:?} has min_traces 0; of no traces there is no share", rule.name);
        Ok(rule)
    }

    /// Every how much time is looked, and how far back.
    ///
    /// # Errors
    /// Traces would be missed between two looks, or while they last.
    pub fn times(&self, rules: &[Rule]) -> anyhow::Result<(Duration, Duration)> {
        let interval = self.interval.0;
        ensure!(interval >= SHORTEST_INTERVAL, "interval is {}; it must be 50ms or more", self.interval);
        let slowest = rules.iter().filter_map(Rule::threshold).max().unwrap_or_default();
        // Spans are found by when they start: a slow one ends that much later.
        let least = slowest + interval;
        let lookback = self.lookback.map_or_else(|| LOOKBACK.max(2 * least + LATE), |time| time.0);
        ensure!(
            lookback > least,
            "lookback is {}; a trace of {} that ends just after a look would be missed, so it must be more than {}",
            Time(lookback),
            Time(slowest),
            Time(least)
        );
        Ok((interval, lookback))
    }
}

/// `500ms`, `2s`, `10m`, `1h 30m`: more than nothing, a month at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub Duration);

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no time; it should look like 500ms, 2s, 10m or 1h");
        let span: Span = text.trim().parse().map_err(|_| wrong())?;
        let time = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
        match Duration::try_from(time) {
            Ok(time) if time.is_zero() => Err(format!("{text:?} is no time at all; it must be more than nothing")),
            Ok(time) if time > LONGEST => Err(format!("{text:?} is too long; 30d is the most")),
            Ok(time) => Ok(Self(time)),
            Err(_) => Err(wrong()),
        }
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = SignedDuration::try_from(self.0).unwrap_or(SignedDuration::MAX);
        write!(f, "{time:#}")
    }
}

/// `5%`, as a number between 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share(pub f64);

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.trim().strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
        match number {
            Some(percent) if (0.0..100.0).contains(&percent) => Ok(Self(percent / 100.0)),
            Some(_) => Err(format!("{text:?} can never be exceeded, or always is; it must be between 0% and 100%")),
            None => Err(format!("{text:?} is no share; it should look like 5%")),
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Rounded, or 7 % would come back as 7.000000000000001.
        write!(f, "{}%", (self.0 * 1e8).round() / 1e6)
    }
}

macro_rules! text {
    ($type:ty) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    };
}

text!(Time);
text!(Share);

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> NamedRule {
        NamedRule {
            name: name.to_owned(),
            slower_than: None,
            failed: true,
            share: None,
            window: None,
            min_traces: None,
            service: None,
        }
    }

    fn refusal(settings: &Settings) -> String {
        settings.rules().map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn times_and_shares_are_what_people_type() {
        for (text, milliseconds, shown) in
            [("500ms", 500, "500ms"), ("1.5s", 1_500, "1s 500ms"), ("10m", 600_000, "10m"), (" 1h30m ", 5_400_000, "1h 30m")]
        {
            let time: Time = text.parse().unwrap();
            assert_eq!((time.0, time.to_string().as_str()), (Duration::from_millis(milliseconds), shown));
            assert_eq!(time.to_string().parse(), Ok(time), "what is shown can be typed");
        }
        for wrong in ["", "500", "0s", "-1s", "soon", "2mo", "40d", "99999999999h"] {
            assert!(wrong.parse::<Time>().is_err(), "{wrong}");
        }
        for (text, share, shown) in [("5%", 0.05, "5%"), ("0.5 %", 0.005, "0.5%"), ("7%", 0.07, "7%"), ("0%", 0.0, "0%")] {
            let parsed: Share = text.parse().unwrap();
            assert!((parsed.0 - share).abs() < 1e-12 && parsed.to_string() == shown, "{parsed}");
        }
        for wrong in ["", "5", "0.05", "100%", "-1%", "NaN%", "inf%", "%"] {
            assert!(wrong.parse::<Share>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn each_flag_is_a_rule_and_a_share_is_of_each_of_them() {
        let settings = Settings {
            slower_than: "500ms".parse().ok(),
            failed: true,
            share: "5%".parse().ok(),
            service: Some("cart".to_owned()),
            rules: vec![named("shop fails")],
            ..Settings::default()
        };
        let rules = settings.rules().unwrap();
        let names: Vec<_> = rules.iter().map(|rule| rule.name.as_str()).collect();
        assert_eq!(names, ["over 5% slower than 500ms in cart", "over 5% failed in cart", "shop fails"]);
        assert_eq!((rules[2].share, rules[2].service.as_ref()), (None, None), "a named rule says itself what it is about");
    }

    #[test]
    fn a_rule_that_can_mean_nothing_is_named_with_what_it_lacks() {
        let settings = |rules| Settings { rules, ..Settings::default() };
        assert!(refusal(&settings(vec![])).contains("--slower-than 500ms"));
        assert!(refusal(&settings(vec![NamedRule { failed: false, ..named("quiet") }])).contains("\"quiet\" looks for nothing"));
        let both = NamedRule { slower_than: "1s".parse().ok(), ..named("all") };
        assert!(refusal(&settings(vec![both])).contains("\"all\" says both"));
        assert!(refusal(&settings(vec![named("a"), named("a")])).contains("two rules are called \"a\""));
        assert!(refusal(&settings(vec![named(" ")])).contains("empty name"));
        assert!(refusal(&settings(vec![NamedRule { min_traces: Some(0), ..named("a") }])).contains("min_traces 0"));
        let many = (0..=MOST_RULES).map(|at| named(&at.to_string())).collect();
        assert!(refusal(&settings(many)).contains("there are 65 rules"));
        let alone = Settings { share: "5%".parse().ok(), ..settings(vec![named("a")]) };
        assert!(refusal(&alone).contains("--share says nothing by itself"));
    }

    #[test]
    fn a_look_goes_back_far_enough_for_the_slowest_trace() {
        let times = |slower_than: &str, lookback: Option<&str>| {
            let lookback = lookback.map(|text| text.parse().unwrap());
            let settings = Settings { slower_than: slower_than.parse().ok(), lookback, ..Settings::default() };
            settings.times(&settings.rules().unwrap()).map(|(_, lookback)| Time(lookback).to_string())
        };
        assert_eq!(times("500ms", None).unwrap(), "5m");
        assert_eq!(times("10m", None).unwrap(), "21m 30s");
        assert_eq!(times("10m", Some("11m")).unwrap(), "11m");
        let refusal = times("10m", Some("10m")).unwrap_err().to_string();
        assert!(refusal.contains("lookback is 10m") && refusal.contains("more than 10m 15s"), "{refusal}");
        let hasty = Settings { failed: true, interval: "1ms".parse().unwrap(), ..Settings::default() };
        assert!(hasty.times(&hasty.rules().unwrap()).is_err());
    }
}
