//! A page of the book, read as Markdown: its console blocks with their directives, and what the other tests ask of it.

#![allow(dead_code, reason = "the bench that includes this uses a part of it")]

use std::path::{Path, PathBuf};

use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag, TagEnd};

/// A file of the book.
#[derive(Debug)]
pub struct Page {
    pub path: PathBuf,
    pub text: String,
    pub blocks: Vec<Block>,
}

/// One fenced block of language `console`.
#[derive(Debug, Default)]
pub struct Block {
    /// Of the fence.
    pub line: usize,
    pub keeps_running: bool,
    /// Why it is not run.
    pub checked_only: Option<String>,
    pub needs: Vec<String>,
    /// Of its last command.
    pub exit: i32,
    /// From here on the learner has done the exercise.
    pub solved: bool,
    pub commands: Vec<Command>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Command {
    pub line: usize,
    /// As it is typed, on one line or more.
    pub text: String,
    /// What is shown below it, without blank lines at the end.
    pub shown: Vec<String>,
}

impl Page {
    pub fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let blocks = blocks(&text).unwrap_or_else(|error| panic!("{}:{error}", path.display()));
        Self { path: path.to_owned(), text, blocks }
    }

    /// Everything that Markdown makes of it, and the line on which it begins.
    pub fn events(&self) -> impl Iterator<Item = (Event<'_>, usize)> {
        events(&self.text)
    }

    /// Its headings: level, text and line.
    pub fn headings(&self) -> Vec<(HeadingLevel, String, usize)> {
        let mut headings: Vec<(HeadingLevel, String, usize)> = Vec::new();
        let mut inside = false;
        for (event, line) in self.events() {
            match event {
                Event::Start(Tag::Heading { level, .. }) => {
                    headings.push((level, String::new(), line));
                    inside = true;
                }
                Event::End(TagEnd::Heading(_)) => inside = false,
                Event::Text(text) | Event::Code(text) if inside => headings.last_mut().unwrap().1 += &text,
                _ => {}
            }
        }
        headings
    }
}

fn events(text: &str) -> impl Iterator<Item = (Event<'_>, usize)> {
    let mut starts: Vec<usize> = text.match_indices('\n').map(|(place, _)| place + 1).collect();
    starts.insert(0, 0);
    let line = move |offset: usize| starts.partition_point(|start| *start <= offset);
    Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter().map(move |(event, range)| (event, line(range.start)))
}

/// The blocks of a page; an error names the line.
fn blocks(text: &str) -> Result<Vec<Block>, String> {
    let mut blocks = Vec::new();
    let mut next: Option<Block> = None;
    let mut solved = false;
    let mut console: Option<String> = None;
    for (event, line) in events(text) {
        match event {
            Event::Html(html) | Event::InlineHtml(html) => {
                for comment in comments(&html) {
                    // What is solved is solved, whatever comes between.
                    if comment == "solved" {
                        solved = true;
                    } else {
                        directive(next.get_or_insert_default(), comment).map_err(|error| format!("{line}: {error}"))?;
                    }
                }
            }
            Event::Start(Tag::HtmlBlock) | Event::End(TagEnd::HtmlBlock) => {}
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(language))) if &*language == "console" => {
                console = Some(String::new());
                let mut block = next.take().unwrap_or_default();
                (block.line, block.solved) = (line, solved);
                blocks.push(block);
            }
            Event::Text(text) if console.is_some() => *console.as_mut().unwrap() += &text,
            Event::End(TagEnd::CodeBlock) if console.is_some() => {
                let block: &mut Block = blocks.last_mut().unwrap();
                block.commands = commands(&console.take().unwrap(), block.line + 1)?;
            }
            _ if next.is_some() => return Err(format!("{line}: a directive stands above something that is no console block")),
            _ => {}
        }
    }
    if next.is_some() { Err("0: a directive stands above nothing".to_owned()) } else { Ok(blocks) }
}

/// But for the marks around what a program writes into the page.
fn comments(html: &str) -> impl Iterator<Item = &str> {
    let texts = html.split("<!--").skip(1).map(|comment| comment.split("-->").next().unwrap_or(comment).trim());
    texts.filter(|text| !text.starts_with(">>>") && !text.starts_with("<<<"))
}

fn directive(block: &mut Block, text: &str) -> Result<(), String> {
    let (name, value) = text.split_once(':').map_or((text, ""), |(name, value)| (name, value.trim()));
    match (name, value) {
        ("keeps running", "") => block.keeps_running = true,
        ("checked only", why) if !why.is_empty() => block.checked_only = Some(why.to_owned()),
        ("exit", code) => block.exit = code.parse().map_err(|_| format!("{code:?} is no exit code"))?,
        ("needs", what) => {
            for what in what.split(',').map(str::trim) {
                if !["docker", "redis", "smtp"].contains(&what) {
                    return Err(format!("nobody knows how to see whether {what:?} is there"));
                }
                block.needs.push(what.to_owned());
            }
        }
        _ => return Err(format!("{text:?} is no directive")),
    }
    Ok(())
}

fn commands(text: &str, first: usize) -> Result<Vec<Command>, String> {
    let mut commands: Vec<Command> = Vec::new();
    let mut lines = text.lines().zip(first..);
    while let Some((text, line)) = lines.next() {
        if let Some(text) = text.strip_prefix("$ ") {
            let mut text = text.to_owned();
            while continues(&text) {
                let (more, _) = lines.next().ok_or_else(|| format!("{line}: the command does not end"))?;
                text.push('\n');
                text += more;
            }
            commands.push(Command { line, text, shown: Vec::new() });
        } else {
            let command = commands.last_mut().ok_or_else(|| format!("{line}: a console block begins with `$ `"))?;
            command.shown.push(text.to_owned());
        }
    }
    for command in &mut commands {
        while command.shown.last().is_some_and(|line| line.trim().is_empty()) {
            command.shown.pop();
        }
    }
    if commands.is_empty() { Err(format!("{first}: a console block without a command")) } else { Ok(commands) }
}

/// Whether the shell would ask for another line: after a backslash, and within quotes.
fn continues(command: &str) -> bool {
    let mut quote = None;
    let mut signs = command.chars().peekable();
    while let Some(sign) = signs.next() {
        match (sign, quote) {
            ('\\', None | Some('"')) => match signs.next() {
                Some(_) => {}
                None => return true,
            },
            ('\'' | '"', None) => quote = Some(sign),
            (_, Some(open)) if sign == open => quote = None,
            _ => {}
        }
    }
    quote.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_has_commands_what_they_show_and_directives() {
        let text = "Text.\n\n<!-- keeps running -->\n<!-- needs: redis, smtp -->\n```console\n$ tracelab up \\\n    --route random\nready\n\n\
                    $ echo 'a\nb'\na\nb\n```\n\n<!-- solved -->\nMore.\n\n- in a list\n\n  <!-- exit: 1 -->\n  ```console\n  $ false\n  ```\n";
        let blocks = blocks(text).unwrap();
        assert_eq!(blocks.len(), 2);
        let (first, second) = (&blocks[0], &blocks[1]);
        assert_eq!((first.line, first.keeps_running, first.solved, first.exit), (5, true, false, 0));
        assert_eq!(first.needs, ["redis", "smtp"]);
        let up = Command { line: 6, text: "tracelab up \\\n    --route random".to_owned(), shown: vec!["ready".to_owned()] };
        let echo = Command { line: 10, text: "echo 'a\nb'".to_owned(), shown: vec!["a".to_owned(), "b".to_owned()] };
        assert_eq!(first.commands, [up, echo]);
        assert_eq!((second.line, second.solved, second.exit, &*second.commands[0].text), (22, true, 1, "false"));
    }

    #[test]
    fn other_languages_are_no_console() {
        assert!(blocks("```rust\n$ no\n```\n\n    $ neither\n").unwrap().is_empty());
        assert!(blocks("<!-- >>> figures -->\n| 1 |\n<!-- <<< figures -->\n\nText.\n").unwrap().is_empty());
    }

    #[test]
    fn what_is_written_wrongly_is_named_with_its_line() {
        for (text, told) in [
            ("<!-- keeps runing -->\n```console\n$ true\n```\n", "1: \"keeps runing\" is no directive"),
            ("<!-- exit: one -->\n```console\n$ true\n```\n", "1: \"one\" is no exit code"),
            ("<!-- needs: luck -->\n```console\n$ true\n```\n", "1: nobody knows how to see whether \"luck\" is there"),
            ("<!-- keeps running -->\n\nText.\n", "3: a directive stands above something that is no console block"),
            ("<!-- checked only -->\n```console\n$ true\n```\n", "1: \"checked only\" is no directive"),
            ("```console\ntrue\n```\n", "2: a console block begins with `$ `"),
            ("```console\n```\n", "2: a console block without a command"),
            ("```console\n$ echo 'a\n```\n", "2: the command does not end"),
        ] {
            assert_eq!(blocks(text).unwrap_err(), told, "{text}");
        }
    }
}
