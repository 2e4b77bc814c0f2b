//! What a learner has done, in one file that may be deleted at any time.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The file, below the user's data directory.
const FILE: &str = "tracelab/learn.json";

/// The learner's state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// Chapters whose check was passed.
    pub passed: BTreeSet<u8>,
    /// The chapter that was named last, by `next` or by the learner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<u8>,
    /// Only the chapters of the fast track.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub fast: bool,
    /// Hints given, by chapter and the place of the open step.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub hints: BTreeMap<u8, BTreeMap<usize, usize>>,
}

/// Where the state is kept.
#[derive(Clone, Debug)]
pub struct File(PathBuf);

impl File {
    /// In the user's data directory: `XDG_DATA_HOME` or `~/.local/share`, `~/Library/Application Support`, or `%APPDATA%`. None where
    /// the user has no home.
    pub fn of_user() -> Option<Self> {
        use etcetera::BaseStrategy as _;
        let strategy = etcetera::base_strategy::choose_native_strategy().ok()?;
        Some(Self(strategy.data_dir().join(FILE)))
    }

    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// What is in it; nothing where there is none. One that cannot be read is put aside, and the text says where.
    pub fn load(&self) -> (Progress, Option<String>) {
        let text = match std::fs::read_to_string(&self.0) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return (Progress::default(), None),
            Err(error) => {
                let note = format!("cannot read the progress in {}: {error}; going on as if there were none", self.0.display());
                return (Progress::default(), Some(note));
            }
        };
        match serde_json::from_str(&text) {
            Ok(progress) => (progress, None),
            Err(error) => {
                let aside = self.0.with_extension("json.unreadable");
                let kept = match std::fs::rename(&self.0, &aside) {
                    Ok(()) => format!("it is kept as {}", aside.display()),
                    Err(error) => format!("nor can it be put aside: {error}"),
                };
                let note =
                    format!("the progress in {} cannot be read ({error}); {kept}, and the list starts anew", self.0.display());
                (Progress::default(), Some(note))
            }
        }
    }

    /// Writes it whole or not at all.
    ///
    /// # Errors
    /// The directory cannot be made, or the file not be written.
    pub fn save(&self, progress: &Progress) -> io::Result<()> {
        let directory = self.0.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(directory)?;
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        serde_json::to_writer_pretty(&mut file, progress)?;
        file.persist(&self.0).map_err(|error| error.error)?;
        Ok(())
    }
}
