//! Leaves test-only code out of a source file.

use proc_macro2::{Delimiter, Group, Ident, TokenStream, TokenTree};

/// Returns the tokens of a file without the items, statements, fields and arms that only tests compile.
pub(crate) fn without_tests(tokens: TokenStream) -> TokenStream {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if is_punct(&tokens, at, '#') && is_punct(&tokens, at + 1, '!') && is_test_attribute(tokens.get(at + 2)) {
            return TokenStream::new();
        }
        let end = attributes_end(&tokens, at);
        if (at..end).any(|index| is_test_attribute(tokens.get(index))) {
            at = item_end(&tokens, end);
            continue;
        }
        match &tokens[at] {
            TokenTree::Group(group) => {
                let mut inner = Group::new(group.delimiter(), without_tests(group.stream()));
                inner.set_span(group.span());
                kept.push(TokenTree::Group(inner));
            }
            token => kept.push(token.clone()),
        }
        at += 1;
    }
    kept.into_iter().collect()
}

/// Number of lines of a formatted file that do not belong to an inline `#[cfg(test)] mod`.
pub(crate) fn production_lines(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let mut count = 0;
    let mut at = 0;
    while at < lines.len() {
        let indent = &lines[at][..lines[at].len() - lines[at].trim_start().len()];
        let attribute = matches!(lines[at].trim(), "#[cfg(test)]") || lines[at].trim().starts_with("#[cfg(all(test,");
        let item = (at + 1..lines.len()).find(|index| !lines[*index].trim_start().starts_with("#["));
        let module = item.filter(|index| lines[*index].trim().starts_with("mod ") && lines[*index].ends_with('{'));
        match module.filter(|_| attribute) {
            Some(start) => {
                let end = format!("{indent}}}");
                at = (start..lines.len()).find(|index| lines[*index] == end).unwrap_or(lines.len() - 1) + 1;
            }
            None => {
                count += 1;
                at += 1;
            }
        }
    }
    count
}

/// Returns the index behind the outer attributes that begin at an index; that index itself where there are none.
fn attributes_end(tokens: &[TokenTree], mut at: usize) -> usize {
    while is_punct(tokens, at, '#') && matches!(tokens.get(at + 1), Some(TokenTree::Group(_))) {
        at += 2;
    }
    at
}

/// Returns whether a token is the brackets of `#[cfg(test)]` or `#[cfg(all(test, ...))]`.
fn is_test_attribute(token: Option<&TokenTree>) -> bool {
    let Some(TokenTree::Group(group)) = token else { return false };
    if group.delimiter() != Delimiter::Bracket {
        return false;
    }
    let text: String = group.stream().to_string().split_whitespace().collect();
    text == "cfg(test)" || text.starts_with("cfg(all(test,")
}

pub(crate) fn is_punct(tokens: &[TokenTree], at: usize, character: char) -> bool {
    matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == character)
}

/// The end of the code behind an attribute.
#[derive(Clone, Copy, PartialEq)]
enum End {
    /// A `;`, as of `use` and `let`.
    Semicolon,
    /// Braces or a `;`, as of `fn` and `struct`.
    Braces,
    /// A comma, as of fields, variants and arms, or a `;`, as of expressions.
    Comma,
}

/// Returns the index behind the item, statement, field or arm that begins at an index.
fn item_end(tokens: &[TokenTree], start: usize) -> usize {
    let end = kind_of_end(&tokens[start.min(tokens.len())..]);
    let (mut angles, mut arm) = (0, false);
    for (at, token) in tokens.iter().enumerate().skip(start) {
        match token {
            TokenTree::Punct(punct) => match punct.as_char() {
                ';' => return at + 1,
                ',' if end == End::Comma && angles <= 0 => return at + 1,
                '<' => angles += 1,
                '>' if is_punct(tokens, at.wrapping_sub(1), '=') => arm = true,
                '>' if !is_punct(tokens, at.wrapping_sub(1), '-') => angles -= 1,
                _ => {}
            },
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => match end {
                End::Braces => return at + 1,
                End::Comma if arm => return at + 1 + usize::from(is_punct(tokens, at + 1, ',')),
                _ => {}
            },
            _ => {}
        }
    }
    tokens.len()
}

fn kind_of_end(tokens: &[TokenTree]) -> End {
    let words: Vec<String> = tokens
        .iter()
        .filter(|token| !matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis))
        .map_while(|token| match token {
            TokenTree::Ident(word) => Some(Ident::to_string(word)),
            _ => None,
        })
        .filter(|word| word != "pub")
        .take(2)
        .collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["const", "fn" | "unsafe" | "async" | "extern"] => End::Braces,
        ["use" | "let" | "static" | "type" | "const", ..] => End::Semicolon,
        ["fn" | "mod" | "struct" | "enum" | "union" | "impl" | "trait" | "macro_rules" | "unsafe", ..] => End::Braces,
        ["async" | "extern" | "if" | "for" | "while" | "loop" | "match", ..] => End::Braces,
        _ => End::Comma,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_only_code_is_left_out_wherever_it_stands() {
        let text = "
            /// Kept.
            #[derive(Debug)]
            struct Both { #[cfg(test)] gone: Map<A, fn() -> B>, kept: C }
            /// Gone with its comment.
            #[cfg(test)]
            #[allow(unused)]
            use gone::{self, Gone};
            #[cfg(test)]
            const GONE: Gone = Gone { field: 1 };
            #[cfg(all(test, unix))]
            pub(crate) const fn gone<T>() -> T where T: A, u8: B { gone }
            #[cfg(not(test))]
            fn kept() {
                #[cfg(test)]
                let x = if gone { 1 } else { 2 };
                match kept { #[cfg(test)] Some(Gone { .. }) => { gone } None => kept }
            }
            #[cfg(test)]
            mod tests;
            #[cfg(test)]
            mod tests { gone! {} }";
        let left = without_tests(text.parse().expect("tokens"));
        let expected = "
            /// Kept.
            #[derive(Debug)]
            struct Both { kept: C }
            #[cfg(not(test))]
            fn kept() { match kept { None => kept } }";
        assert_eq!(left.to_string(), expected.parse::<TokenStream>().expect("tokens").to_string());
        assert!(without_tests("#![cfg(test)] fn gone() {}".parse().expect("tokens")).is_empty());
    }

    #[test]
    fn lines_of_inline_test_modules_do_not_count() {
        let text = "mod a;\n\n#[cfg(test)]\nmod b;\n\n#[cfg(test)]\n#[allow(x)]\nmod tests {\n    fn f() {\n    }\n}\nfn g() {}\n";
        assert_eq!(production_lines(text), 6, "mod a, mod b with its attribute, g and two empty lines");
    }
}
