//! Writes what a stage's files say once per service, from the topology.
//!
//! Such a file is written by hand but for its regions: the lines between `# >>> NAME` and `# <<< NAME` belong to the program.
//! Pure functions over text; `cmd::manifest` reads and writes the files.

mod checkout;
mod compose;
mod gateway;
mod kubernetes;

use std::fmt;

pub use checkout::{BY_NAME, Part, compose_files, kubernetes_files};
pub use compose::compose;
pub use gateway::{Addresses, gateway};
pub use kubernetes::kubernetes;

/// The lines of a file that are written by the program. Each stage's have names of their own, so that none takes the other's file for
/// its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    pub name: &'static str,
    /// Whole lines, indented as the file wants them.
    pub text: String,
}

/// A file that the regions do not fit into.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NoPlace {
    #[error("there is no line with \"# >>> {0}\"; the lines after it, up to \"# <<< {0}\", would be written anew")]
    Begin(&'static str),
    #[error("after \"# >>> {0}\" there is no line with \"# <<< {0}\"; nobody knows where the region ends")]
    End(&'static str),
}

/// For whoever has no file for it yet.
impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "# >>> {}\n{}# <<< {}", self.name, self.text, self.name)
    }
}

/// `file` with its regions written anew, and all else as it was.
///
/// # Errors
/// A region is not there, or does not end.
pub fn splice(file: &str, regions: &[Region]) -> Result<String, NoPlace> {
    regions.iter().try_fold(file.to_owned(), |file, region| {
        let begin = after_line(&file, 0, ">>>", region.name).ok_or(NoPlace::Begin(region.name))?;
        let after = after_line(&file, begin, "<<<", region.name).ok_or(NoPlace::End(region.name))?;
        let end = file[..after].trim_end_matches('\n').rfind('\n').map_or(begin, |newline| newline + 1);
        Ok(format!("{}{}{}", &file[..begin], region.text, &file[end..]))
    })
}

/// Where the line after the first one that marks `name` begins, looked for from `from` on.
fn after_line(file: &str, from: usize, sign: &str, name: &str) -> Option<usize> {
    let mut end = from;
    file[from..].split_inclusive('\n').find_map(|line| {
        end += line.len();
        let marked = line.trim_start().strip_prefix("# ")?.strip_prefix(sign)?.trim_start().strip_prefix(name)?;
        // `services-of-layer-0` is another region than `services`.
        (!marked.starts_with(|next: char| next.is_alphanumeric() || next == '-')).then_some(end)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "a\n  # >>> one: by the program\n  old\n  older\n  # <<< one\nb\n# >>> two\n# <<< two\nc\n";

    fn region(name: &'static str, text: &str) -> Region {
        Region { name, text: text.to_owned() }
    }

    #[test]
    fn a_stage_has_no_place_in_the_files_of_the_other() {
        let topology = crate::config::Config::default().topology().unwrap();
        let file = |regions: &[Region]| regions.iter().map(|region| format!("{region}\n")).collect::<String>();
        let of_compose = [&compose(topology).unwrap()[..], &[gateway(topology, Addresses::Change)]].concat();
        let of_kubernetes = [&kubernetes(topology)[..], &[gateway(topology, Addresses::Stay)]].concat();
        for (own, other) in [(&of_compose, &of_kubernetes), (&of_kubernetes, &of_compose)] {
            assert_eq!(splice(&file(own), own), Ok(file(own)));
            for region in other {
                assert_eq!(splice(&file(own), std::slice::from_ref(region)), Err(NoPlace::Begin(region.name)));
            }
        }
    }

    #[test]
    fn regions_are_written_anew_and_the_rest_stays() {
        let once = splice(FILE, &[region("one", "  new\n"), region("two", "x\ny\n")]).unwrap();
        assert_eq!(once, "a\n  # >>> one: by the program\n  new\n  # <<< one\nb\n# >>> two\nx\ny\n# <<< two\nc\n");
        assert_eq!(splice(&once, &[region("one", "  new\n")]), Ok(once.clone()), "once more changes nothing");
        assert_eq!(splice(FILE, &[region("one", "")]).unwrap(), FILE.replace("  old\n  older\n", ""));
    }

    #[test]
    fn a_file_without_the_region_is_refused() {
        assert_eq!(splice(FILE, &[region("three", "")]), Err(NoPlace::Begin("three")));
        assert_eq!(splice(FILE, &[region("on", "")]), Err(NoPlace::Begin("on")));
        assert_eq!(splice("# >>> one\nold\n# <<< two\n", &[region("one", "")]), Err(NoPlace::End("one")));
        assert_eq!(splice("# <<< one\n# >>> one", &[region("one", "")]), Err(NoPlace::End("one")));
    }
}
