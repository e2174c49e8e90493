//! The code blocks of a page, and what a reader types of them.

/// A fenced block.
pub(super) struct Block {
    pub(super) page: String,
    /// The line of its first fence, from 1.
    pub(super) line: usize,
    pub(super) language: String,
    pub(super) text: String,
}

impl Block {
    pub(super) fn at(&self) -> String {
        format!("{}:{}", self.page, self.line)
    }
}

pub(super) fn blocks(page: &str, text: &str) -> Vec<Block> {
    let (mut found, mut open): (Vec<Block>, bool) = (Vec::new(), false);
    for (at, line) in text.lines().enumerate() {
        let fence = line.trim_start().strip_prefix("```");
        match (fence, open) {
            (Some(language), false) => {
                let (page, language) = (page.to_owned(), language.trim().to_owned());
                found.push(Block { page, line: at + 1, language, text: String::new() });
                open = true;
            }
            (Some(_), true) => open = false,
            (None, true) => {
                let text = &mut found.last_mut().unwrap().text;
                text.push_str(line);
                text.push('\n');
            }
            (None, false) => {}
        }
    }
    assert!(!open, "{page}: a block has no end");
    found
}

/// What is typed: each command line of `sh`, and what stands behind a prompt in `console`.
pub(super) fn typed(block: &Block) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    match block.language.as_str() {
        "sh" => {
            let mut continues = false;
            for line in block.text.lines() {
                match found.last_mut().filter(|_| continues) {
                    Some(before) => *before = format!("{before}\n{line}"),
                    None if line.trim().is_empty() || line.trim_start().starts_with('#') => continue,
                    None => found.push(line.to_owned()),
                }
                let all = found.last().unwrap();
                continues = all.ends_with('\\') || all.matches('\'').count() % 2 == 1;
            }
        }
        "console" => {
            found.extend(block.text.lines().filter_map(|line| prompt(line).map(str::to_owned)));
        }
        _ => {}
    }
    found
}

/// What stands behind `$ `, or `machine$ `.
pub(super) fn prompt(line: &str) -> Option<&str> {
    let (machine, command) = line.split_once("$ ")?;
    machine.chars().all(|c| c.is_ascii_lowercase()).then(|| command.trim())
}

/// The simple commands of a line as words, without redirections and comments; what is substituted for `<(..)` too.
pub(super) fn commands(line: &str) -> Vec<Vec<String>> {
    let mut found: Vec<Vec<String>> = vec![Vec::new()];
    let mut word: Option<String> = None;
    let mut characters = line.chars().peekable();
    let mut skip_next = false;
    let end_word = |word: &mut Option<String>, found: &mut Vec<Vec<String>>, skip: &mut bool| {
        if let Some(word) = word.take()
            && !std::mem::take(skip)
        {
            found.last_mut().unwrap().push(word);
        }
    };
    while let Some(c) = characters.next() {
        match c {
            '\'' | '"' => {
                let inside: String = characters.by_ref().take_while(|other| *other != c).collect();
                word.get_or_insert_default().push_str(&inside);
            }
            '#' if word.is_none() => break,
            '<' | '>' if characters.peek() == Some(&'(') => {
                characters.next();
                let inside: String = characters.by_ref().take_while(|other| *other != ')').collect();
                word.get_or_insert_default().push_str("/dev/fd/63");
                end_word(&mut word, &mut found, &mut skip_next);
                let outer = found.pop().unwrap();
                found.extend(commands(&inside));
                found.push(outer);
            }
            '<' | '>' => {
                if word.as_deref().is_some_and(|word| word.chars().all(|c| c.is_ascii_digit())) {
                    word = None;
                }
                end_word(&mut word, &mut found, &mut skip_next);
                while characters.next_if(|next| ">&".contains(*next)).is_some() {}
                skip_next = true;
            }
            '&' | '|' | ';' => {
                end_word(&mut word, &mut found, &mut skip_next);
                found.push(Vec::new());
            }
            c if c.is_whitespace() || c == '\\' => end_word(&mut word, &mut found, &mut skip_next),
            c => word.get_or_insert_default().push(c),
        }
    }
    end_word(&mut word, &mut found, &mut skip_next);
    // Variables and `time` before the command itself.
    for words in &mut found {
        let before = words.iter().take_while(|word| {
            *word == "time"
                || word
                    .split_once('=')
                    .is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
        });
        let before = before.count();
        words.drain(..before);
    }
    found.retain(|words| !words.is_empty());
    found
}

#[test]
fn a_line_is_taken_apart_as_a_shell_does() {
    let words = |line: &str| commands(line).iter().map(|words| words.join("+")).collect::<Vec<_>>();
    assert_eq!(words("maand init fleet && cd fleet   # a comment"), ["maand+init+fleet", "cd+fleet"]);
    assert_eq!(
        words("A_B=1 maand cat workers | jq -r '.a | .b' > out 2>&1"),
        ["maand+cat+workers", "jq+-r+.a | .b"]
    );
    assert_eq!(words("maand plan diff <(git show a:b) c"), ["git+show+a:b", "maand+plan+diff+/dev/fd/63+c"]);
    assert_eq!(words("time maand deploy --jobs 'a b'"), ["maand+deploy+--jobs+a b"]);
    let console = blocks("x", "```console\nci$     maand plan list\nmade of $ maand\n$ ls\n```\n");
    assert_eq!(typed(&console[0]), ["maand plan list", "ls"]);
    let sh = blocks("x", "```sh\n# nothing\nmaand a \\\n  b\njq '[\n]' c\n```\n");
    assert_eq!(typed(&sh[0]), ["maand a \\\n  b", "jq '[\n]' c"]);
}
