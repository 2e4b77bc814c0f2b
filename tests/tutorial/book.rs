//! The book as a whole: its chapters are the program's, each has its parts, links lead somewhere, and mdBook makes pages of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use pulldown_cmark::{Event, HeadingLevel, LinkType, Tag, TagEnd};
use tracelab::learn::{CHAPTERS, Chapter};

use super::console::{Block, Page};
use super::required::required;
use super::{checked, examples, programs, root};

const HEADINGS: [&str; 6] = ["The idea", "Do it", "Your task", "Hints", "What it means at work", "Read on"];

fn book() -> PathBuf {
    root().join("tutorial")
}

fn page(chapter: &Chapter) -> Page {
    Page::read(&book().join(chapter.folder).join("README.md"))
}

/// All Markdown of the book.
fn pages() -> Vec<Page> {
    let mut paths = Vec::new();
    let mut folders = vec![book()];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                paths.push(path);
            }
        }
    }
    paths.sort();
    paths.iter().map(|path| Page::read(path)).collect()
}

/// What a page links to: the address, and the line.
fn links(page: &Page) -> Vec<(String, usize)> {
    let mut links = Vec::new();
    for (event, line) in page.events() {
        match event {
            Event::Start(Tag::Link { link_type, dest_url, .. }) => {
                assert_ne!(link_type, LinkType::Email, "{}:{line}", page.path.display());
                links.push((dest_url.to_string(), line));
            }
            Event::Start(Tag::Image { dest_url, .. }) => links.push((dest_url.to_string(), line)),
            _ => {}
        }
    }
    links
}

/// As GitHub and mdBook make an anchor of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase().replace(' ', "-");
    kept.chars().filter(|sign| sign.is_alphanumeric() || ['-', '_'].contains(sign)).collect()
}

/// Why a link leads nowhere.
fn broken(page: &Page, link: &str) -> Option<String> {
    if link.contains("://") || link.starts_with("mailto:") {
        let url = match url::Url::parse(link) {
            Ok(url) => url,
            Err(error) => return Some(error.to_string()),
        };
        let local = matches!(url.host_str(), Some("127.0.0.1" | "localhost"));
        return (url.scheme() != "https" && !(url.scheme() == "http" && local)).then(|| "is not https".to_owned());
    }
    let (path, fragment) = link.split_once('#').map_or((link, None), |(path, fragment)| (path, Some(fragment)));
    let target = if path.is_empty() { page.path.clone() } else { page.path.parent().unwrap().join(path) };
    if !target.exists() {
        return Some("is not there".to_owned());
    }
    let fragment = fragment?;
    let anchors = Page::read(&target).headings().into_iter().map(|(_, text, _)| anchor(&text)).collect::<Vec<_>>();
    (!anchors.iter().any(|anchor| anchor == fragment)).then(|| format!("has no heading for it among {anchors:?}"))
}

#[test]
fn the_summary_lists_the_programs_chapters_in_their_order() {
    let links: Vec<_> = links(&Page::read(&book().join("SUMMARY.md"))).into_iter().map(|(link, _)| link).collect();
    let chapters = CHAPTERS.iter().map(|chapter| format!("{}/README.md", chapter.folder));
    let expected: Vec<_> = std::iter::once("README.md".to_owned()).chain(chapters).collect();
    let extra = links.iter().filter(|link| !expected.contains(link) && link.matches('/').count() != 1).collect::<Vec<_>>();
    assert!(extra.is_empty(), "{extra:?} are in no chapter's folder");
    // A chapter may have more pages than one.
    let first: Vec<_> = links.iter().filter(|link| link.ends_with("README.md")).cloned().collect();
    assert_eq!(first, expected);
    for chapter in CHAPTERS {
        let number: u8 = chapter.folder.split('-').next().unwrap().parse().unwrap();
        assert_eq!(number, chapter.number, "{}", chapter.folder);
    }
}

#[test]
fn every_page_is_in_the_summary() {
    let summary = Page::read(&book().join("SUMMARY.md"));
    let listed: BTreeSet<_> = links(&summary).into_iter().map(|(link, _)| book().join(link)).collect();
    for page in pages() {
        assert!(page.path == summary.path || listed.contains(&page.path), "{} is not in SUMMARY.md", page.path.display());
    }
}

#[test]
fn every_folder_is_a_chapters() {
    let folders: BTreeSet<_> = CHAPTERS.iter().map(|chapter| chapter.folder).chain(["pictures", "support"]).collect();
    for entry in std::fs::read_dir(book()).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_dir()) {
        let name = entry.file_name().into_string().unwrap();
        assert!(folders.contains(name.as_str()), "tutorial/{name} is no chapter's folder");
    }
}

#[test]
fn every_chapter_has_its_title_and_the_fixed_headings_in_order() {
    for chapter in CHAPTERS {
        let page = page(chapter);
        let place = page.path.display();
        let first = page.text.lines().next().unwrap_or_default();
        assert_eq!(first, format!("# {} · {}", chapter.number, chapter.title), "{place}");
        let opening = page.text.lines().skip(1).find(|line| !line.trim().is_empty()).unwrap_or_default();
        assert!(opening.starts_with("After this chapter you can "), "{place} opens with {opening:?}");
        let headings = page.headings();
        let second: Vec<_> = headings.iter().filter(|(level, ..)| *level == HeadingLevel::H2).map(|(_, text, _)| text).collect();
        assert_eq!(second, HEADINGS, "{place}");
        assert_eq!(headings.iter().filter(|(level, ..)| *level == HeadingLevel::H1).count(), 1, "{place}");
        let long: Vec<_> =
            page.text.lines().zip(1..).filter(|(line, _)| line.chars().count() > 140 && !line.contains("](http")).collect();
        assert!(long.is_empty(), "{place} has lines of more than 140 characters: {long:?}");
    }
}

#[test]
fn every_link_and_picture_is_there() {
    let readme = Page::read(&root().join("README.md"));
    let mut wrong = Vec::new();
    for page in pages().iter().chain([&readme]) {
        for (link, line) in links(page) {
            if let Some(why) = broken(page, &link) {
                wrong.push(format!("{}:{line}: {link} {why}", page.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_picture_says_in_words_what_it_shows() {
    for page in pages() {
        let mut words = None;
        for (event, line) in page.events() {
            match event {
                Event::Start(Tag::Image { .. }) => words = Some(String::new()),
                Event::Text(text) | Event::Code(text) if words.is_some() => *words.as_mut().unwrap() += &text,
                Event::End(TagEnd::Image) => {
                    let words = words.take().unwrap();
                    assert!(words.split_whitespace().count() >= 3, "{}:{line}: the alt text is {words:?}", page.path.display());
                }
                Event::Html(html) | Event::InlineHtml(html) => {
                    assert!(!html.contains("<img"), "{}:{line}: write pictures as ![words](file)", page.path.display());
                }
                _ => {}
            }
        }
    }
}

#[test]
fn every_picture_is_used() {
    let mut used = BTreeSet::new();
    for page in pages() {
        used.extend(links(&page).into_iter().map(|(link, _)| page.path.parent().unwrap().join(link)));
    }
    for chapter in CHAPTERS {
        for path in std::fs::read_dir(book().join(chapter.folder)).unwrap().map(|entry| entry.unwrap().path()) {
            let picture = path.extension().is_some_and(|extension| extension == "svg" || extension == "png");
            assert!(!picture || used.contains(&path), "{} is on no page", path.display());
        }
    }
}

/// `examples/pictures.rs` makes them.
#[test]
fn pictures_of_the_pages_are_small_and_all_of_them_are_in_the_readme() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let named = |line: &str| Some(line.split_once("\"tutorial/pictures/")?.1.split('"').next()?.to_owned());
    let shown: BTreeSet<_> = readme.split('<').filter_map(named).collect();
    let files = std::fs::read_dir(book().join("pictures")).into_iter().flatten().map(|entry| entry.unwrap());
    let there: BTreeSet<_> = files.map(|file| file.file_name().into_string().unwrap()).collect();
    assert_eq!(there, shown, "`cargo run --release --example pictures` makes pictures");
    let folders = CHAPTERS.iter().map(|chapter| book().join(chapter.folder)).chain([book().join("pictures")]);
    for path in folders.flat_map(|folder| std::fs::read_dir(folder).unwrap()).map(|entry| entry.unwrap().path()) {
        let bytes = path.metadata().unwrap().len();
        assert!(
            path.extension().is_none_or(|extension| extension != "png") || bytes <= 300_000,
            "{}: {bytes} bytes",
            path.display()
        );
    }
}

/// Pages of chapters with what their folder has.
fn with_exercise() -> impl Iterator<Item = (&'static Chapter, PathBuf)> {
    CHAPTERS.iter().map(|chapter| (chapter, book().join(chapter.folder))).filter(|(_, folder)| folder.join("exercise.rs").exists())
}

#[test]
fn every_exercise_and_solution_is_an_example_of_cargos() {
    let examples = examples();
    for chapter in CHAPTERS {
        let folder = book().join(chapter.folder);
        let there = ["exercise.rs", "solution.rs"].map(|name| folder.join(name).exists());
        assert_eq!(there[0], there[1], "{} has one of exercise.rs and solution.rs", chapter.folder);
    }
    for (_, folder) in with_exercise() {
        let example = |file: &str| examples.iter().find(|(_, path)| **path == folder.join(file)).map(|(name, _)| name.clone());
        let exercise = example("exercise.rs").unwrap_or_else(|| panic!("{} has no example in Cargo.toml", folder.display()));
        assert_eq!(example("solution.rs"), Some(format!("{exercise}-solution")), "{}", folder.display());
    }
    for (name, path) in &examples {
        assert!(path.exists(), "example {name}: there is no {}", path.display());
        programs::assert_built(name, path);
    }
}

/// The commands of a page that are run, each with its block and whether it is the block's last.
fn commands(page: &Page) -> impl Iterator<Item = (&Block, &str, i32)> {
    page.blocks.iter().filter(|block| block.checked_only.is_none()).flat_map(|block| {
        let last = block.commands.len() - 1;
        let with_exit = move |(place, command): (usize, _)| (place, command, if place == last { block.exit } else { 0 });
        block.commands.iter().enumerate().map(with_exit).map(move |(_, command, exit)| (block, command.text.as_str(), exit))
    })
}

fn checks(text: &str, chapter: &Chapter) -> bool {
    let words: Vec<_> = text.split_whitespace().collect();
    words.starts_with(&["tracelab", "learn", "check", &chapter.number.to_string()])
}

/// Following it proves the rest: that the exercise does not pass, and the solution does.
#[test]
fn every_chapter_with_an_exercise_shows_it_fail_and_the_solution_pass() {
    for (chapter, folder) in with_exercise() {
        let page = page(chapter);
        let place = page.path.display();
        let runs = |name: &str, text: &str| text.split_whitespace().any(|word| word == name);
        let (name, _) = examples().into_iter().find(|(_, path)| *path == folder.join("exercise.rs")).unwrap();
        let commands: Vec<_> = commands(&page).collect();
        let solved = commands.iter().position(|(block, ..)| block.solved);
        let solved = solved.unwrap_or_else(|| panic!("{place} never says <!-- solved -->"));
        let (before, after) = commands.split_at(solved);
        for (part, what, exit) in [(before, "exercise", 1), (after, "solution", 0)] {
            let run = part.iter().position(|(_, text, _)| runs(&name, text));
            let run = run.unwrap_or_else(|| panic!("{place} does not run the {what} (cargo run --example {name})"));
            let found = part[run..].iter().any(|(_, text, code)| checks(text, chapter) && *code == exit);
            assert!(found, "{place} does not show `tracelab learn check {}` end with {exit} after the {what}", chapter.number);
        }
    }
}

#[test]
fn every_chapter_ends_with_its_check_passed() {
    for chapter in CHAPTERS {
        let page = page(chapter);
        let place = page.path.display();
        let mut checks = page.blocks.iter().flat_map(|block| {
            let last = block.commands.len() - 1;
            block.commands.iter().enumerate().map(move |(place, command)| (command, if place == last { block.exit } else { 0 }))
        });
        let last = checks.rfind(|(command, _)| self::checks(&command.text, chapter));
        let (command, exit) = last.unwrap_or_else(|| panic!("{place} shows no `tracelab learn check {}`", chapter.number));
        assert_eq!(exit, 0, "{place}: the last `{}` fails", command.text);
        assert!(!command.shown.is_empty(), "{place}:{}: it is not shown what the check says", command.line);
    }
}

#[test]
fn the_readmes_tracelab_commands_exist() {
    let readme = Page::read(&root().join("README.md"));
    for command in readme.blocks.iter().flat_map(|block| &block.commands) {
        checked::line(&command.text).unwrap_or_else(|told| panic!("README.md:{}: {told}", command.line));
    }
}

/// Cargo's examples: name and source.
pub fn declared_examples() -> BTreeMap<String, PathBuf> {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let quoted = |line: &str, key: &str| {
        let value = line.strip_prefix(key)?.trim_start().strip_prefix('=')?.trim();
        Some(value.trim_matches('"').to_owned())
    };
    let sections = manifest.split("\n[[example]]\n").skip(1).map(|rest| rest.split("\n[").next().unwrap());
    let named = |section: &str, key: &str| section.lines().find_map(|line| quoted(line, key)).unwrap();
    sections.map(|section| (named(section, "name"), root().join(named(section, "path")))).collect()
}

#[test]
fn mdbook_makes_pages_of_it_without_a_word() {
    let Some(mdbook) = tracelab::keeper::find("mdbook") else {
        assert!(!required("mdbook"), "TRACELAB_REQUIRE names mdbook, but it is not in PATH");
        eprintln!(
            "skipped: this test needs mdBook (cargo install mdbook, or Debian 13's package; .ci/mdbook brings that to Debian 12)"
        );
        return;
    };
    let into = tempfile::tempdir().unwrap();
    let output = Command::new(mdbook).arg("build").arg(book()).arg("-d").arg(into.path()).env("RUST_LOG", "info").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(!said.contains("WARN") && !said.contains("ERROR"), "{said}");
    let page = |path: &str| std::fs::read_to_string(into.path().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    for chapter in CHAPTERS {
        let text = page(&format!("{}/README.html", chapter.folder));
        assert!(text.contains("What it means at work"), "{}", chapter.folder);
    }
    assert!(page("index.html").contains("Ship your first trace"));
    in_the_pages_links_lead_somewhere(into.path());
}

/// A README is a page called otherwise there, and nothing of what is beside the book is there at all.
fn in_the_pages_links_lead_somewhere(pages: &Path) {
    let mut wrong = Vec::new();
    for chapter in CHAPTERS {
        let folder = pages.join(chapter.folder);
        let text = std::fs::read_to_string(folder.join("README.html")).unwrap();
        let main = text.split("<main>").nth(1).and_then(|rest| rest.split("</main>").next()).unwrap();
        for attribute in ["href=\"", "src=\""] {
            for link in main.split(attribute).skip(1).map(|rest| rest.split('"').next().unwrap()) {
                let path = link.split('#').next().unwrap();
                let there = link.contains("://") || path.is_empty() || folder.join(path).exists();
                if !there {
                    wrong.push(format!("{}: {link}", chapter.folder));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "these lead nowhere in the pages that mdBook makes: {wrong:?}");
}
