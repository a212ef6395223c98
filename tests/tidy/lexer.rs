//! Just enough Rust to tell code from comments and literals, and to find functions.
//!
//! Owns no rule. Works on text, so that it also reads files that do not compile yet. Not a parser:
//! what a macro makes is not seen.

/// A function with a body, by the lines it stands on (from 1).
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) first_line: usize,
    pub(crate) last_line: usize,
}

impl Function {
    pub(crate) fn lines(&self) -> usize {
        self.last_line - self.first_line + 1
    }
}

/// `source` with comments and the contents of literals blanked; every line keeps its number and
/// every character its column.
pub(crate) fn code_of(source: &str) -> Vec<char> {
    let text: Vec<char> = source.chars().collect();
    let mut code = text.clone();
    let mut at = 0;
    while at < text.len() {
        let end = skip_of(&text, at);
        if end == at {
            at += 1;
            continue;
        }
        let end = end.min(text.len());
        for slot in &mut code[at..end] {
            if *slot != '\n' {
                *slot = ' ';
            }
        }
        at = end;
    }
    code
}

/// Where the comment or literal that begins at `at` ends; `at` if none begins there.
fn skip_of(text: &[char], at: usize) -> usize {
    let next = text.get(at + 1);
    match text[at] {
        '/' if next == Some(&'/') => line_end(text, at),
        '/' if next == Some(&'*') => block_comment_end(text, at),
        '"' => string_end(text, at),
        'r' if raw_hashes(text, at).is_some() => raw_string_end(text, at),
        '\'' => char_end(text, at),
        _ => at,
    }
}

fn line_end(text: &[char], at: usize) -> usize {
    let rest = text[at..].iter();
    rest.take_while(|&&c| c != '\n').count() + at
}

fn block_comment_end(text: &[char], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0_usize);
    while at < text.len() {
        match (text[at], text.get(at + 1)) {
            ('/', Some('*')) => {
                depth += 1;
                at += 2;
            }
            ('*', Some('/')) => {
                depth -= 1;
                at += 2;
            }
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn string_end(text: &[char], start: usize) -> usize {
    let mut at = start + 1;
    while at < text.len() && text[at] != '"' {
        at += if text[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// Number of `#` of the raw string whose `r` stands at `at`, if one begins there.
fn raw_hashes(text: &[char], at: usize) -> Option<usize> {
    let before = |back: usize| at.checked_sub(back).map(|index| text[index]);
    let prefixed = matches!(before(1), Some('b' | 'c'));
    let outside = if prefixed { before(2) } else { before(1) };
    if outside.is_some_and(is_word) {
        return None;
    }
    let hashes = text[at + 1..].iter().take_while(|&&c| c == '#').count();
    (text.get(at + 1 + hashes) == Some(&'"')).then_some(hashes)
}

fn raw_string_end(text: &[char], start: usize) -> usize {
    let hashes = raw_hashes(text, start).expect("a raw string at this place");
    let mut at = start + hashes + 2;
    while at < text.len() {
        let closing = text[at + 1..].iter().take_while(|&&c| c == '#').count();
        if text[at] == '"' && closing >= hashes {
            return at + 1 + hashes;
        }
        at += 1;
    }
    at
}

/// A lifetime is no literal: its quote is left as it is.
fn char_end(text: &[char], start: usize) -> usize {
    if text.get(start + 1) == Some(&'\\') {
        let rest = text.iter().skip(start + 3);
        return start + 4 + rest.take_while(|&&c| c != '\'').count();
    }
    if text.get(start + 2) == Some(&'\'') {
        return start + 3;
    }
    start
}

/// Whether `c` can stand inside a name.
pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Line of the character at `at`, from 1.
pub(crate) fn line_of(code: &[char], at: usize) -> usize {
    code[..at].iter().filter(|&&c| c == '\n').count() + 1
}

/// Where `word` stands in `code` as a whole word.
pub(crate) fn words(code: &[char], word: &str) -> Vec<usize> {
    let word: Vec<char> = word.chars().collect();
    let whole = |at: usize| {
        let before = at.checked_sub(1).is_none_or(|at| !is_word(code[at]));
        before && code.get(at + word.len()).is_none_or(|&c| !is_word(c))
    };
    (0..code.len().saturating_sub(word.len() - 1))
        .filter(|&at| code[at..].starts_with(&word) && whole(at))
        .collect()
}

/// Where the brace that opens at `open` is closed, or the end of the text.
pub(crate) fn closing(code: &[char], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, &c) in code.iter().enumerate().skip(open) {
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => depth = depth.saturating_sub(1),
            _ => continue,
        }
        if depth == 0 {
            return at;
        }
    }
    code.len().saturating_sub(1)
}

/// Every function of `code` that has a body, in the order of their first lines.
pub(crate) fn functions(code: &[char]) -> Vec<Function> {
    words(code, "fn")
        .into_iter()
        .filter_map(|at| {
            let name: String = word_after(code, at + 2)?;
            let open = body_of(code, at)?;
            Some(Function {
                name,
                first_line: line_of(code, at),
                last_line: line_of(code, closing(code, open)),
            })
        })
        .collect()
}

/// The word that follows `at`, if only white space is between.
pub(crate) fn word_after(code: &[char], at: usize) -> Option<String> {
    let rest = code[at..].iter().skip_while(|c| c.is_whitespace());
    let word: String = rest.take_while(|&&c| is_word(c)).collect();
    (!word.is_empty()).then_some(word)
}

/// Where the body of the function declared at `at` opens; `None` for a declaration without one.
fn body_of(code: &[char], at: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, &c) in code.iter().enumerate().skip(at) {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            '{' if depth == 0 => return Some(at),
            ';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(source: &str) -> String {
        code_of(source).into_iter().collect()
    }

    #[test]
    fn comments_and_literals_are_blanked_and_nothing_moves() {
        for (source, expected) in [
            ("a // b\nc", "a     \nc"),
            ("a /* b /* c */ d */ e", "a                   e"),
            (r#"a("x\"y{")b"#, "a(       )b"),
            ("a(r#\"x\"{\"#)b", "a(        )b"),
            ("br\"{\" + bar\"{\"", "b     + bar   "),
            ("'{' '\\'' '\\u{7b}' &'a {}", "             &'a {}"),
            ("unfinished \"{", "unfinished   "),
        ] {
            let blanked = code(source);
            assert_eq!(blanked.len(), source.len(), "{source}");
            assert_eq!(blanked.replace(' ', ""), expected.replace(' ', ""));
        }
    }

    #[test]
    fn functions_are_found_with_their_bodies_only() {
        let source = "fn one() -> [u8; 2] {\n    [1, 2]\n}\ntrait T {\n    fn none(&self);\n    \
                      fn two(f: fn(u8) -> u8) {}\n}\n// fn three() {}\n";
        let found = functions(&code_of(source));
        let names: Vec<_> = found.iter().map(|f| (f.name.as_str(), f.lines())).collect();
        assert_eq!(names, [("one", 3), ("two", 1)]);
        assert_eq!(found[1].first_line, 6);
    }

    #[test]
    fn words_are_whole() {
        assert_eq!(words(&code_of("safe unsafe unsafe_code"), "unsafe"), [5]);
        assert_eq!(words(&code_of(""), "unsafe"), []);
    }
}
