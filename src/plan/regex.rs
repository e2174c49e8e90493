//! Whether a regular expression is one to Alertmanager, which is written in Go: its syntax is that of RE2 (Go's package
//! `regexp/syntax`), and the whole value has to match. Names of Unicode classes and the size of what is repeated within
//! repeats are left to it; whatever is refused here it refuses, too.

use std::iter::Peekable;
use std::str::Chars;

/// A repeat is of at most so many.
const MOST_REPEATED: u32 = 1000;
/// Groups within groups, and operators.
const DEEPEST: usize = 1000;

/// Why an expression is none.
pub(super) fn wrong_regex(text: &str) -> Option<&'static str> {
    // As it is put together there.
    let whole = format!("^(?:{text})$");
    Parser { rest: whole.chars().peekable() }.whole().err()
}

struct Parser<'t> {
    rest: Peekable<Chars<'t>>,
}

/// What stands before an operator of repetition.
#[derive(Clone, Copy, PartialEq)]
enum Before {
    /// The beginning, of all or of a group or an alternative.
    Nothing,
    Something,
    Repeat,
}

impl Parser<'_> {
    fn whole(&mut self) -> Result<(), &'static str> {
        // What stands before each group that is open.
        let mut open = Vec::new();
        let mut before = Before::Nothing;
        while let Some(c) = self.rest.next() {
            before = match c {
                '(' => {
                    if self.group()? {
                        open.push(before);
                        if open.len() > DEEPEST {
                            return Err("groups are nested too deeply");
                        }
                        Before::Nothing
                    } else {
                        // Flags alone stand for nothing.
                        if before == Before::Repeat { Before::Something } else { before }
                    }
                }
                ')' => {
                    open.pop().ok_or("a `)` closes no group")?;
                    Before::Something
                }
                '|' => Before::Nothing,
                '*' | '+' | '?' => self.repeated(before)?,
                '{' => match self.counted()? {
                    true => self.repeated(before)?,
                    false => Before::Something,
                },
                '[' => {
                    self.class()?;
                    Before::Something
                }
                '\\' => self.escape(before)?,
                _ => Before::Something,
            };
        }
        if open.is_empty() { Ok(()) } else { Err("a `(` is not closed") }
    }

    /// Behind an operator of repetition.
    fn repeated(&mut self, before: Before) -> Result<Before, &'static str> {
        match before {
            Before::Nothing => return Err("there is nothing to repeat before `*`, `+`, `?` or `{`"),
            Before::Repeat => return Err("two operators of repetition stand behind each other"),
            Before::Something => {}
        }
        self.rest.next_if_eq(&'?');
        Ok(Before::Repeat)
    }

    /// Behind `(`; `false`: only flags are set, and nothing is opened.
    fn group(&mut self) -> Result<bool, &'static str> {
        const WRONG: &str = "behind `(?` stands nothing that RE2 knows: it has no look-around";
        if self.rest.next_if_eq(&'?').is_none() {
            return Ok(true);
        }
        let is_named = match self.rest.peek() {
            Some('P') => {
                self.rest.next();
                true
            }
            Some('<') => true,
            _ => false,
        };
        if is_named {
            self.rest.next_if_eq(&'<').ok_or(WRONG)?;
            let mut name = 0;
            loop {
                match self.rest.next() {
                    Some('>') if name > 0 => return Ok(true),
                    Some(c) if c.is_ascii_alphanumeric() || c == '_' => name += 1,
                    _ => return Err(WRONG),
                }
            }
        }
        let (mut is_off, mut has_flag) = (false, false);
        loop {
            match self.rest.next() {
                Some('i' | 'm' | 's' | 'U') => has_flag = true,
                Some('-') if !is_off => (is_off, has_flag) = (true, false),
                Some(end @ (':' | ')')) if has_flag || !is_off => return Ok(end == ':'),
                _ => return Err(WRONG),
            }
        }
    }

    /// Behind `{`; `false`: it stands for itself.
    fn counted(&mut self) -> Result<bool, &'static str> {
        let mut ahead = self.rest.clone();
        let number = |ahead: &mut Peekable<Chars<'_>>| {
            let mut digits = String::new();
            while let Some(digit) = ahead.next_if(char::is_ascii_digit) {
                digits.push(digit);
            }
            let is_number = !digits.is_empty() && (digits.len() == 1 || !digits.starts_with('0'));
            is_number.then(|| digits.parse::<u32>().unwrap_or(u32::MAX))
        };
        let Some(least) = number(&mut ahead) else { return Ok(false) };
        let mut most = Some(least);
        if ahead.next_if_eq(&',').is_some() {
            most = match ahead.peek() {
                Some('}') => None,
                _ => match number(&mut ahead) {
                    Some(most) => Some(most),
                    None => return Ok(false),
                },
            };
        }
        if ahead.next_if_eq(&'}').is_none() {
            return Ok(false);
        }
        self.rest = ahead;
        if least > MOST_REPEATED || most.is_some_and(|most| most > MOST_REPEATED || most < least) {
            return Err("a repeat is of more than 1000, or of less than its least");
        }
        Ok(true)
    }

    /// Behind a backslash.
    fn escape(&mut self, before: Before) -> Result<Before, &'static str> {
        match self.rest.peek() {
            Some('A' | 'b' | 'B' | 'z' | 'd' | 'D' | 's' | 'S' | 'w' | 'W') => {
                self.rest.next();
            }
            Some('Q') => {
                self.rest.next();
                let mut is_empty = true;
                while let Some(c) = self.rest.next() {
                    if c == '\\' && self.rest.next_if_eq(&'E').is_some() {
                        break;
                    }
                    is_empty = false;
                }
                return Ok(if is_empty { before } else { Before::Something });
            }
            Some('p' | 'P') => self.unicode_class()?,
            _ => drop(self.character()?),
        }
        Ok(Before::Something)
    }

    fn unicode_class(&mut self) -> Result<(), &'static str> {
        self.rest.next();
        match self.rest.next() {
            Some('{') => loop {
                match self.rest.next() {
                    Some('}') => return Ok(()),
                    Some(_) => {}
                    None => return Err("behind `\\p{` there is no `}`"),
                }
            },
            Some(_) => Ok(()),
            None => Err("behind `\\p` stands no class"),
        }
    }

    /// One character, behind its backslash.
    fn character(&mut self) -> Result<u32, &'static str> {
        const WRONG: &str = "behind a backslash stands no character that may: back-references are not known";
        let first = self.rest.next().ok_or("it ends with a backslash")?;
        let octal = |digit: Option<&char>| digit.and_then(|digit| digit.to_digit(8));
        Ok(match first {
            '0'..='7' => {
                if first != '0' && octal(self.rest.peek()).is_none() {
                    return Err(WRONG);
                }
                let mut code = first.to_digit(8).unwrap_or_default();
                for _ in 0..2 {
                    let Some(digit) = octal(self.rest.peek()) else { break };
                    self.rest.next();
                    code = code * 8 + digit;
                }
                code
            }
            'x' => {
                let is_long = self.rest.next_if_eq(&'{').is_some();
                let (mut code, mut digits) = (0_u32, 0);
                while let Some(digit) =
                    self.rest.peek().and_then(|digit| digit.to_digit(16)).filter(|_| is_long || digits < 2)
                {
                    self.rest.next();
                    (code, digits) = (code.saturating_mul(16).saturating_add(digit), digits + 1);
                }
                let ends = if is_long { self.rest.next_if_eq(&'}').is_some() } else { digits == 2 };
                if digits == 0 || !ends || code > u32::from(char::MAX) {
                    return Err("behind `\\x` stand no two hexadecimal digits, and none in braces");
                }
                code
            }
            'a' => 7,
            'f' => 12,
            'n' => 10,
            'r' => 13,
            't' => 9,
            'v' => 11,
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => u32::from(c),
            _ => return Err(WRONG),
        })
    }

    /// Behind `[`.
    fn class(&mut self) -> Result<(), &'static str> {
        const OPEN: &str = "a `[` is not closed";
        self.rest.next_if_eq(&'^');
        let mut is_first = true;
        loop {
            let c = *self.rest.peek().ok_or(OPEN)?;
            match c {
                ']' if !is_first => {
                    self.rest.next();
                    return Ok(());
                }
                '[' if self.named_class()? => {}
                '\\' if self.perl_class()? => {}
                _ => {
                    let least = self.class_character()?;
                    let mut ahead = self.rest.clone();
                    if ahead.next() == Some('-') && ahead.peek().is_some_and(|c| *c != ']') {
                        self.rest = ahead;
                        if self.class_character()? < least {
                            return Err("a range in `[...]` ends before it begins");
                        }
                    }
                }
            }
            is_first = false;
        }
    }

    fn class_character(&mut self) -> Result<u32, &'static str> {
        match self.rest.next().ok_or("a `[` is not closed")? {
            '\\' => self.character(),
            c => Ok(u32::from(c)),
        }
    }

    /// `[:alpha:]`; `false`: none begins here.
    fn named_class(&mut self) -> Result<bool, &'static str> {
        const NAMES: [&str; 14] = [
            "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
            "space", "upper", "word", "xdigit",
        ];
        let ahead: String = self.rest.clone().collect();
        let Some((name, _)) = ahead.strip_prefix("[:").and_then(|ahead| ahead.split_once(":]")) else {
            return Ok(false);
        };
        if !NAMES.contains(&name.strip_prefix('^').unwrap_or(name)) {
            return Err("there is no class of that name in `[[:...:]]`");
        }
        self.rest.nth(name.chars().count() + 3);
        Ok(true)
    }

    /// `\d`, `\pL`; `false`: none begins here.
    fn perl_class(&mut self) -> Result<bool, &'static str> {
        let mut ahead = self.rest.clone();
        ahead.next();
        match ahead.peek() {
            Some('d' | 'D' | 's' | 'S' | 'w' | 'W') => {
                self.rest.nth(1);
                Ok(true)
            }
            Some('p' | 'P') => {
                self.rest.next();
                self.unicode_class().map(|()| true)
            }
            _ => Ok(false),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// With what Alertmanager says of them: see `tests/it/run_gate.rs`.
    pub(crate) const EXPRESSIONS: &[(&str, bool)] = include!("../../tests/data/regexes.in");

    #[test]
    fn expressions_are_refused_that_alertmanager_refuses() {
        for (text, is_fine) in EXPRESSIONS {
            assert_eq!(wrong_regex(text).is_none(), *is_fine, "{text}: {:?}", wrong_regex(text));
        }
    }
}
