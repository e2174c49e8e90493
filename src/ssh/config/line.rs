//! One line of an ssh config: a keyword and its values.

use super::BadLine;

/// `keyword value "quoted value"` or `keyword=value`; `None` for a blank line or a comment.
pub(super) fn split_line(line: &str) -> Result<Option<(String, Vec<String>)>, BadLine> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let end = line.find(|c: char| c.is_ascii_whitespace() || c == '=' || c == '"').unwrap_or(line.len());
    let keyword = line[..end].to_ascii_lowercase();
    let rest = line[end..].trim_start();
    let rest = rest.strip_prefix('=').unwrap_or(rest);
    if matches!(keyword.as_str(), "proxycommand" | "localcommand" | "remotecommand" | "knownhostscommand") {
        // Its value is shell text to the end of the line.
        return Ok(Some((keyword, vec![rest.trim().to_owned()])));
    }
    let mut values = Vec::new();
    let mut chars = rest.chars().peekable();
    loop {
        while chars.next_if(char::is_ascii_whitespace).is_some() {}
        let Some(first) = chars.peek().copied() else { break };
        if first == '#' {
            break;
        }
        let (mut value, mut quote) = (String::new(), None);
        while let Some(c) = chars.next_if(|c| quote.is_some() || !c.is_ascii_whitespace()) {
            match (c, quote) {
                ('"' | '\'', None) => quote = Some(c),
                (c, Some(open)) if c == open => quote = None,
                ('\\', _) if chars.peek().is_some_and(|c| matches!(c, '"' | '\'' | '\\')) => {
                    value.extend(chars.next());
                }
                (c, _) => value.push(c),
            }
        }
        if quote.is_some() {
            return Err(BadLine::OpenQuote);
        }
        values.push(value);
    }
    Ok(Some((keyword, values)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_line_panics(line in "[ -~\t\"'\\\\=#]{0,60}") {
            let _ = split_line(&line);
        }
    }
}
