//! The Redis that some services write to: one that was named, one that `up` starts, or none.

use url::Url;

/// Where a Redis is. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Redis(Option<Url>);

impl Redis {
    /// None at all.
    pub fn none() -> Self {
        Self(None)
    }

    /// One that runs already.
    pub fn at(url: Url) -> Self {
        Self(Some(url))
    }

    /// Whether a mystery may need one.
    pub fn is_there(&self) -> bool {
        self.0.is_some()
    }

    /// The one that runs, if one does: services have business with it from then on.
    pub fn running(&self) -> Option<Url> {
        self.0.clone()
    }

    /// Starts it where it does not run yet.
    ///
    /// # Errors
    /// There is none, or it does not start; the text names the way out.
    pub async fn start(&self) -> anyhow::Result<Url> {
        self.0.clone().ok_or_else(|| anyhow::anyhow!("there is no Redis"))
    }
}
