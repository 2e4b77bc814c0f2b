//! No secret is in the repository: every file that git tracks is looked through for keys, tokens and passwords.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the reason, which is what a test is for")]

#[path = "support/required.rs"]
mod required;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use required::required;

/// What looks like a secret and is none: the file, a part of the line, and why it may stand there.
const INNOCENT: &[(&str, &str, &str)] = &[];

#[test]
fn no_tracked_file_has_a_secret() {
    let Some(files) = tracked() else { return };
    assert!(files.len() > 100, "git tracks {} files only", files.len());
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut used = BTreeSet::new();
    for file in &files {
        // Removed, and not committed yet.
        let Ok(bytes) = std::fs::read(root.join(file)) else { continue };
        for (line, what, text) in secrets(&String::from_utf8_lossy(&bytes)) {
            match INNOCENT.iter().position(|(of, part, _)| of == file && text.contains(part)) {
                Some(n) => drop(used.insert(n)),
                // What it is stays out of logs.
                None => found.push(format!("{file}:{line}: {what}")),
            }
        }
    }
    assert!(found.is_empty(), "{}\nif one is none, INNOCENT takes it, with why", found.join("\n"));
    let idle: Vec<_> = INNOCENT.iter().enumerate().filter(|(n, _)| !used.contains(n)).map(|(_, innocent)| innocent).collect();
    assert!(idle.is_empty(), "these are not there any more: {idle:?}");
}

/// None outside a git checkout, such as an unpacked archive.
fn tracked() -> Option<Vec<String>> {
    let root = env!("CARGO_MANIFEST_DIR");
    let listed = Command::new("git").args(["-C", root, "ls-files", "-z"]).output().ok().filter(|output| output.status.success());
    let Some(listed) = listed else {
        assert!(!required("git"), "TRACELAB_REQUIRE names git, but `git ls-files` does not work in {root}");
        eprintln!("skipped: {root} is no git checkout, or there is no git");
        return None;
    };
    Some(String::from_utf8(listed.stdout).unwrap().split('\0').filter(|file| !file.is_empty()).map(str::to_owned).collect())
}

/// Lines that look like secrets: number, what each would be, and the line.
fn secrets(text: &str) -> Vec<(usize, &'static str, &str)> {
    let mut of_a_secret = false;
    let mut found = Vec::new();
    for (n, line) in text.lines().enumerate() {
        // Objects of Kubernetes are apart by such lines, and say early what they are.
        if line.trim_end() == "---" {
            of_a_secret = false;
        }
        of_a_secret |= line.trim() == "kind: Secret";
        let what = if is_private_key(line) {
            Some("a private key")
        } else if words(line).any(is_access_key) {
            Some("an access key of AWS")
        } else if words(line).any(is_hash) {
            Some("the hash of a password")
        } else if words(line).any(is_json_web_token) {
            Some("a JSON web token")
        } else if words(line).any(is_known_token) {
            Some("a token of a service")
        } else if of_a_secret && literal(line).is_some() {
            Some("a literal in a Secret")
        } else if named_secrets(line).into_iter().any(is_random) {
            Some("a password, token or key, by its name")
        } else {
            None
        };
        found.extend(what.map(|what| (n + 1, what, line)));
    }
    found
}

/// Words as far as secrets have letters.
fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|sign: char| !(sign.is_ascii_alphanumeric() || "+/=_-.$".contains(sign))).filter(|word| !word.is_empty())
}

fn is_private_key(line: &str) -> bool {
    let dashes = "-".repeat(5);
    line.split(&format!("{dashes}BEGIN "))
        .skip(1)
        .any(|rest| rest.split(&dashes).next().is_some_and(|name| name.ends_with("PRIVATE KEY")))
}

/// `AKIA…` and `ASIA…`, of 20 letters.
fn is_access_key(word: &str) -> bool {
    let begins = ["AKIA", "ASIA"].iter().any(|begin| word.starts_with(begin));
    begins && word.len() == 20 && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

/// What `htpasswd`, `openssl passwd` and crypt(3) make: `$KIND$SALT$HASH`.
fn is_hash(word: &str) -> bool {
    let Some(at) = word.find('$') else { return false };
    let parts: Vec<_> = word[at..].split('$').collect();
    let kinds = ["apr1", "1", "2a", "2b", "2y", "5", "6", "y"];
    // bcrypt has its cost in the salt's place, and both in one.
    matches!(parts[..], ["", kind, .., hash] if kinds.contains(&kind) && parts.len() >= 4 && hash.len() >= 22 && mixes(hash) >= 2)
}

fn is_json_web_token(word: &str) -> bool {
    let parts: Vec<_> = word.split('.').collect();
    let is_part = |part: &&str| part.len() > 8 && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    // `{"` in base64.
    parts.len() == 3 && parts[0].starts_with("eyJ") && parts[1].starts_with("eyJ") && parts.iter().all(is_part)
}

/// GitHub's, Slack's, and those of Google's API.
fn is_known_token(word: &str) -> bool {
    let begins = [("ghp_", 36), ("gho_", 36), ("ghs_", 36), ("github_pat_", 40), ("xoxb-", 20), ("xoxp-", 20), ("AIza", 35)];
    begins.iter().any(|(begin, least)| word.strip_prefix(begin).is_some_and(|rest| rest.len() >= *least && mixes(rest) >= 2))
}

/// `key: value` below `data` or `stringData` of a Secret.
fn literal(line: &str) -> Option<&str> {
    let (key, value) = line.trim().split_once(": ")?;
    let value = value.trim().trim_matches(['"', '\'']);
    let is_meta = ["kind", "apiVersion", "name", "namespace", "type", "metadata", "immutable"].contains(&key);
    (line.starts_with(' ') && !is_meta && !value.is_empty() && !value.starts_with(['{', '$', '#', '|', '>'])).then_some(value)
}

/// What follows a word such as `password` and, some time later, `=` or `:`.
fn named_secrets(line: &str) -> Vec<&str> {
    let names = ["password", "passwd", "secret", "token", "api_key", "apikey", "access_key", "private_key", "credential"];
    // As many bytes as the line: only letters of ASCII are changed.
    let lower = line.to_ascii_lowercase();
    let Some(at) = names.iter().filter_map(|name| lower.find(name)).min() else { return Vec::new() };
    let after = line[at..].split([':', '=']).skip(1);
    let values = after.map(|value| value.trim_start_matches([' ', '"', '\'', '`', '(']));
    let ends = |sign: char| !sign.is_ascii_graphic() || "\"'`,;)}]".contains(sign);
    values.filter_map(|value| value.split(ends).next()).collect()
}

/// As a generator makes it and nobody writes it: long, of several kinds of letters, none often.
fn is_random(word: &str) -> bool {
    let is_plain = word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=_-".contains(&byte));
    let hexadecimal = word.len() >= 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    // A path or a name of code has words.
    let is_name = word.split(['/', '_', '-']).all(|part| part.len() < 16 && mixes(part) < 3);
    is_plain && word.len() >= 16 && entropy(word) > 3.0 && mixes(word) >= 2 && (hexadecimal || !is_name)
}

/// How many of capitals, small letters and digits there are.
fn mixes(word: &str) -> usize {
    let has = |is: fn(&u8) -> bool| usize::from(word.bytes().any(|byte| is(&byte)));
    has(u8::is_ascii_uppercase) + has(u8::is_ascii_lowercase) + has(u8::is_ascii_digit)
}

/// Shannon's, in bits for each letter.
fn entropy(word: &str) -> f64 {
    let mut counts = BTreeMap::<_, f64>::new();
    for byte in word.bytes() {
        *counts.entry(byte).or_default() += 1.0;
    }
    let all: f64 = counts.values().sum();
    counts.values().map(|count| -(count / all) * (count / all).log2()).sum()
}

/// Made here, so that this file has none: letters that look thrown, and are the same every time.
fn thrown(letters: &str, length: usize) -> String {
    let letters: Vec<_> = letters.chars().collect();
    let mut state: u64 = 0x2545_F491;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap()
    };
    (0..length).map(|_| letters[next() % letters.len()]).collect()
}

const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

#[test]
fn planted_secrets_are_found() {
    let (word, capitals, hex) = (thrown(LETTERS, 43), thrown("ABCDEFGHJKLMNPQRSTUVWXYZ234567", 16), thrown("0123456789abcdef", 32));
    let dashes = "-".repeat(5);
    let begin = |kind: &str| format!("{dashes}BEGIN {kind}PRIVATE KEY{dashes}");
    let secret = |data: &str| format!("apiVersion: v1\nkind: Secret\nmetadata:\n  name: login\n{data}");
    let planted = [
        (begin(""), "a private key"),
        (format!("key = \"{}\\n\"", begin("RSA ")), "a private key"),
        (begin("OPENSSH "), "a private key"),
        (begin("EC "), "a private key"),
        (format!("aws_access_key_id = {}{capitals}", "AKIA"), "an access key of AWS"),
        (format!("{}{capitals}", "ASIA"), "an access key of AWS"),
        (format!("tracelab:${}${}${}", "apr1", &word[..8], &word[..22]), "the hash of a password"),
        (format!("user:${}$05${}", "2y", thrown(LETTERS, 53)), "the hash of a password"),
        (format!("root:${}${}${}:1:", "6", &word[..8], thrown(LETTERS, 86)), "the hash of a password"),
        (format!("Authorization: Bearer {}{}.{}{}.{word}", "eyJ", &word[..17], "eyJ", &word[..30]), "a JSON web token"),
        (format!("{}{}", "ghp_", thrown(LETTERS, 36)), "a token of a service"),
        (secret("stringData:\n  password: hunter\n"), "a literal in a Secret"),
        (secret("data:\n  auth: aHVudGVy\n"), "a literal in a Secret"),
        (format!("TRACELAB_PASSWORD={word}"), "a password, token or key, by its name"),
        (format!("  password: \"{}-{hex}\"", "Tr"), "a password, token or key, by its name"),
        (format!("const TOKEN: &str = \"{hex}\";"), "a password, token or key, by its name"),
        (format!("{{\"client_secret\": \"{}\"}}", &word[..24]), "a password, token or key, by its name"),
        (format!("aws_secret_access_key = {}", thrown(&format!("{LETTERS}/+"), 40)), "a password, token or key, by its name"),
    ];
    for (text, what) in planted {
        let found: Vec<_> = secrets(&text).into_iter().map(|(_, what, _)| what).collect();
        assert_eq!(found, [what], "{text}");
    }
}

#[test]
fn what_speaks_of_secrets_has_none() {
    let innocent = [
        "- {name: CASSANDRA_PASSWORD, valueFrom: {secretKeyRef: {name: cassandra, key: password}}}",
        "auth: {basic: {username: \"${env:CASSANDRA_USERNAME}\", password: \"${env:CASSANDRA_PASSWORD}\"}}",
        "password() { printf 'Tr-%s' \"$(openssl rand -hex 16)\"; }",
        "  put \"$each\" --from-file=\"user=$work/secrets/user\" --from-file=\"password=$work/secrets/password\"",
        "grep -q ':.apr1.' \"$work/secrets/auth\" || fail 3 'openssl makes no password for nginx'",
        "it takes PEM: -----BEGIN CERTIFICATE-----",
        "const SECRETS: [&str; 3] = [\"TRACELAB_MYSTERY\", \"TRACELAB_SEED\", \"TRACELAB_INSTRUCTOR_TOKEN\"];",
        "let token = settings.instructor_token.as_deref().unwrap_or_default();",
    ];
    for text in innocent {
        assert_eq!(secrets(text), [], "{text}");
    }
    // After the Secret comes another object.
    assert_eq!(secrets("kind: Secret\nmetadata:\n  name: tls\n---\nkind: Service\nspec:\n  type: ClusterIP\n  port: web\n"), []);
}
