//! A page of the book, followed from the top by a learner who does everything right.

use super::console::Page;
use super::stage::Stage;
use super::{checked, needs};

/// Where something is not as it is shown, the test fails and says where.
pub fn follow(page: &Page) {
    let mut stage = Stage::new();
    let mut lacks: Option<&str> = None;
    for block in &page.blocks {
        lacks = lacks.or_else(|| block.needs.iter().map(String::as_str).find(|need| !needs::there_is(need)));
        if block.checked_only.is_some() || lacks.is_some() {
            // Without one step the next ones cannot be gone.
            checked::check(page, block);
        } else {
            stage.run(page, block);
        }
    }
    if let Some(need) = lacks {
        eprintln!("skipped: from where {} needs {need}, its commands were only checked", page.path.display());
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::super::root;
    use super::*;

    fn page(text: &str) -> (TempDir, Page) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page.md");
        std::fs::write(&path, text).unwrap();
        let page = Page::read(&path);
        (folder, page)
    }

    /// What a page that is not as it should be is said to be.
    fn told(text: &str) -> String {
        let (_folder, page) = page(text);
        let failed = std::panic::catch_unwind(|| follow(&page)).expect_err("it should have failed");
        *failed.downcast::<String>().unwrap()
    }

    #[test]
    fn a_page_that_is_right_is_followed_to_its_end() {
        let (_folder, page) = page(
            "```console\n$ export NAME=$(echo learner)\n$ cd tutorial\n$ echo hello $NAME && ls book.toml\nhello learner\nbook.toml\n```\n\
             <!-- exit: 3 -->\n```console\n$ exit 3\n```\n\
             <!-- keeps running -->\n```console\n$ echo ready 1; exec tail -f /dev/null\nready 2\n```\n\
             ```console\n$ tracelab learn list | head -n 1\n▶  1  …\n$ env | grep -c BOOK_SOLVED || true\n0\n```\n\
             <!-- solved -->\n```console\n$ echo $BOOK_SOLVED written >tutorial.txt\n$ cat tutorial.txt\n1 written\n```\n",
        );
        follow(&page);
        assert!(!root().join("tutorial/tutorial.txt").exists());
    }

    #[test]
    fn what_is_not_as_shown_is_told_with_its_line() {
        let told = told("```console\n$ echo one; echo two\none\nthree\n```\n");
        assert!(told.ends_with("page.md:2: $ echo one; echo two\n  one\n- three\n+ two"), "{told}");
    }

    #[test]
    fn another_exit_code_fails() {
        let told = told("<!-- exit: 1 -->\n```console\n$ echo fine\n```\n");
        assert!(told.ends_with("$ echo fine\nended with 0, and not 1; it printed:\nfine"), "{told}");
    }

    #[test]
    fn a_failure_before_the_end_of_a_block_fails_whatever_its_end_shall_be() {
        assert!(
            told("<!-- exit: 1 -->\n```console\n$ false\n$ false\n```\n").contains("page.md:3: $ false\nended with 1, and not 0")
        );
    }

    #[test]
    fn a_server_that_ends_fails() {
        let told = told("<!-- keeps running -->\n```console\n$ echo gone\nready\n```\n");
        assert!(told.contains("and should keep running; it printed:\ngone"), "{told}");
    }

    #[test]
    fn a_failure_leaves_nothing_behind() {
        let told = told(
            "<!-- keeps running -->\n```console\n$ trap 'mkdir -p $HOME/late; kill %1; exit' INT; tail -f /dev/null & echo ready; wait\nready\n```\n\
             ```console\n$ echo $HOME\nelsewhere\n```\n",
        );
        let home = told.lines().find_map(|line| line.strip_prefix("+ ")).unwrap();
        assert!(home.starts_with('/') && !std::path::Path::new(home).exists(), "{home} is still there");
    }

    #[test]
    fn a_placeholder_without_anything_to_fill_it_fails() {
        assert!(told("```console\n$ echo TRACE\n```\n").contains("no command has printed the id of a trace"));
        assert!(told("```console\n$ echo SERVICE\n```\n").contains("SERVICE is asked for, but `reveal` says: "));
    }

    #[test]
    fn the_last_trace_is_the_one_that_is_meant() {
        let trace = "0af7651916cd43dd8448eb211c80319c";
        let (_folder, page) = page(&format!("```console\n$ echo {trace}\n$ echo TRACE TRACELAB\n{trace} TRACELAB\n```\n"));
        follow(&page);
    }
}
