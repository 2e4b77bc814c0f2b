//! TEMPORARY
use super::calls::ManyCalls;
use super::explain::Explanation;
use super::lost_context::LostContext;

#[derive(Clone, Copy, Debug, Default)]
pub struct Strength {
    pub evidence: f64,
    pub rival: f64,
    pub share: f64,
    pub struck: f64,
    pub exposed: f64,
    pub telling: f64,
    pub size: f64,
}

impl Strength {
    pub fn of(found: &Explanation, peers: f64) -> Self {
        let mut ex: Vec<f64> = found.strikes.iter().map(|s| s.excess as f64).collect();
        Self {
            evidence: found.evidence,
            rival: found.rival,
            share: found.share,
            struck: found.strikes.len() as f64,
            exposed: found.exposed as f64,
            size: super::stats::median(&mut ex) / peers.max(1.0),
            ..Self::default()
        }
    }
    pub fn of_many_calls(many: &ManyCalls) -> Self {
        Self {
            evidence: 1e3 * many.share,
            rival: 0.0,
            share: many.share,
            struck: many.calls,
            exposed: many.visits as f64,
            telling: many.others,
            ..Self::default()
        }
    }
    pub fn of_lost_context(lost: &LostContext) -> Self {
        Self {
            evidence: 5.0 * lost.matched as f64,
            rival: 0.0,
            share: 1.0,
            struck: lost.matched as f64,
            exposed: lost.calls as f64,
            ..Self::default()
        }
    }
    pub fn confidence(&self) -> f64 {
        let x = (self.evidence.max(0.1).ln() - 10_f64.ln()) + 2.0 * (self.share - 0.5);
        1.0 / (1.0 + (-x).exp())
    }
}
