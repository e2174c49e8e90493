//! The text of a script file: what of it can be run anywhere, and by whom.
//!
//! A script either runs as it was meant to, or is refused before anything is touched.

use super::{CommandSource, Located, Plan, StepKind};

impl Plan {
    /// The paths of the scripts that it names, as they are written in it; one that is named twice comes twice.
    pub fn scripts(&self) -> impl Iterator<Item = &Located<String>> {
        let steps = self.before.iter().chain(&self.steps).chain(&self.after);
        steps.filter_map(|step| match &step.kind {
            StepKind::Run(command) | StepKind::Local(command) => match &command.action {
                CommandSource::Script(path) => Some(path),
                _ => None,
            },
            _ => None,
        })
    }
}

/// Who runs a script, by its first line, as execve(2) reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interpreter<'a> {
    /// An absolute path.
    pub program: &'a str,
    /// All that follows, as one argument.
    pub argument: Option<&'a str>,
}

/// Why a file cannot be a script.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// It would do nothing, and look as if it had.
    #[error("it is empty")]
    Empty,
    /// No interpreter takes it.
    #[error("it has a NUL byte in line {0}: it is no text")]
    Nul(usize),
    /// It is in another encoding.
    #[error("it is not UTF-8 text (line {0})")]
    NotUtf8(usize),
    /// A part of it would be run with a carriage return at the end of each line.
    #[error("line {crlf} ends in CR LF and line {lf} in LF: save it with one kind of line end")]
    MixedLineEnds {
        /// The first line with a carriage return before its end.
        crlf: usize,
        /// The first one without.
        lf: usize,
    },
    /// A shell would take all of it for one line, and a first line with `#!` for a comment.
    #[error("its lines end in CR alone: save it with LF")]
    OnlyCr,
    /// `#!` and nothing useful.
    #[error("its first line names no interpreter by an absolute path: `{0}`")]
    NoInterpreter(String),
}

/// The text that is stored and run: without a byte order mark, and with LF where all of its lines end in CR LF, as a
/// checkout on Windows leaves them.
///
/// # Errors
/// It cannot be a script.
pub fn script_text(bytes: &[u8]) -> Result<String, ScriptError> {
    let line_of = |at: usize| 1 + bytes[..at].iter().filter(|byte| **byte == b'\n').count();
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        return Err(ScriptError::Nul(line_of(at)));
    }
    let text =
        std::str::from_utf8(bytes).map_err(|error| ScriptError::NotUtf8(line_of(error.valid_up_to())))?;
    let text = text.trim_start_matches('\u{feff}');
    if text.trim().is_empty() {
        return Err(ScriptError::Empty);
    }
    // The last line may have no end.
    let mut ends = (1..).zip(text.split_inclusive('\n').filter(|line| line.ends_with('\n')));
    let crlf = ends.clone().find(|(_, line)| line.ends_with("\r\n"));
    let lf = ends.find(|(_, line)| !line.ends_with("\r\n"));
    let text = match (crlf, lf) {
        (Some((crlf, _)), Some((lf, _))) => return Err(ScriptError::MixedLineEnds { crlf, lf }),
        // Several carriage returns are what several conversions have left.
        (Some(_), None) => {
            let lines = text.split('\n').map(|line| line.trim_end_matches('\r'));
            lines.collect::<Vec<_>>().join("\n")
        }
        (None, _) => text.to_owned(),
    };
    match text.lines().next().filter(|line| line.starts_with("#!")) {
        Some(line) if line.trim_end_matches('\r').contains('\r') => Err(ScriptError::OnlyCr),
        Some(line) if interpreter(&text).is_none() => {
            Err(ScriptError::NoInterpreter(line.chars().take(80).collect()))
        }
        _ => Ok(text),
    }
}

/// Who runs it, where its first line says so; else `bash` does.
pub fn interpreter(text: &str) -> Option<Interpreter<'_>> {
    let blank = [' ', '\t'];
    let line = text.strip_prefix("#!")?.split(['\n', '\r']).next()?.trim_matches(blank);
    let (program, argument) = line.split_once(blank).map_or((line, ""), |(program, rest)| (program, rest));
    let argument = Some(argument.trim_matches(blank)).filter(|argument| !argument.is_empty());
    program.starts_with('/').then_some(Interpreter { program, argument })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(text: &str) -> Option<(&str, Option<&str>)> {
        interpreter(text).map(|found| (found.program, found.argument))
    }

    #[test]
    fn the_first_line_names_the_interpreter_as_the_kernel_reads_it() {
        assert_eq!(who("#!/bin/sh\n"), Some(("/bin/sh", None)));
        assert_eq!(who("#! /bin/bash -eu \necho"), Some(("/bin/bash", Some("-eu"))));
        assert_eq!(who("#!/usr/bin/env -S python3 -u"), Some(("/usr/bin/env", Some("-S python3 -u"))));
        assert_eq!(who("#!\t/usr/bin/perl\t-w\r\n"), Some(("/usr/bin/perl", Some("-w"))));
        assert_eq!(who("# !/bin/sh\n"), None);
        assert_eq!(who("echo\n#!/bin/sh\n"), None);
    }

    #[test]
    fn text_is_taken_as_it_was_meant_or_refused() {
        let text = |bytes: &[u8]| script_text(bytes);
        assert_eq!(text(b"#!/bin/sh\r\necho a\r\necho b"), Ok("#!/bin/sh\necho a\necho b".to_owned()));
        assert_eq!(text(b"echo a\r\necho b\r"), Ok("echo a\necho b".to_owned()));
        assert_eq!(text(b"echo a\r\r\necho b\r\n\r\r"), Ok("echo a\necho b\n".to_owned()));
        assert_eq!(text(b"\xef\xbb\xbfecho a\n"), Ok("echo a\n".to_owned()));
        assert_eq!(text(b"\xef\xbb\xbf\xef\xbb\xbfecho a\n"), Ok("echo a\n".to_owned()));
        assert_eq!(text(b"printf 'a\rb'\n"), Ok("printf 'a\rb'\n".to_owned()), "not at the end of a line");
        assert_eq!(text(b"echo a"), Ok("echo a".to_owned()));
        assert_eq!(text(b"a\nb\r\nc\n"), Err(ScriptError::MixedLineEnds { crlf: 2, lf: 1 }));
        assert_eq!(text(b"a\r\nb\r\nc\n"), Err(ScriptError::MixedLineEnds { crlf: 1, lf: 3 }));
        assert_eq!(text(b"a\nb\0\n"), Err(ScriptError::Nul(2)));
        assert_eq!(text(b"a\n\xff\n"), Err(ScriptError::NotUtf8(2)));
        assert_eq!(text(b"\xef\xbb\xbf \r\n\n"), Err(ScriptError::Empty));
        assert_eq!(text(b"#!/bin/sh\recho a\r"), Err(ScriptError::OnlyCr));
        for line in ["#!", "#! ", "#!python3"] {
            let error = text(format!("{line}\r\nx\r\n").as_bytes()).unwrap_err();
            assert!(matches!(error, ScriptError::NoInterpreter(_)), "{line:?}: {error}");
        }
    }
}
