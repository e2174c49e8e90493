//! What can be wrong with an ssh config.

/// Why the ssh config cannot be used for a host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file is there and cannot be read.
    #[error("ssh config: {file}: {why}")]
    Unreadable {
        /// The file.
        file: String,
        /// What the system says.
        why: String,
    },
    /// Somebody else could have written it; ssh does not read it either.
    #[error("ssh config: {file}: bad owner or permissions (owner {owner}, mode {mode:03o}); {repair}")]
    Unsafe {
        /// The file.
        file: String,
        /// Whose it is: a user's number.
        owner: u32,
        /// Its permissions.
        mode: u32,
        /// What to do.
        repair: &'static str,
    },
    /// A line that applies to the host is wrong.
    #[error("ssh config: {place}: {line}")]
    Line {
        /// File and line number.
        place: String,
        /// What is wrong with it.
        line: BadLine,
    },
    /// Only ProxyJump is supported.
    #[error("the ssh config has a ProxyCommand for it ({0}), which is not supported; use ProxyJump")]
    ProxyCommand(String),
    /// A jump host that cannot be parsed.
    #[error("`{0}` is not a jump host ([user@]host[:port])")]
    JumpHost(String),
    /// Jump hosts of jump hosts have no end.
    #[error("its jump hosts lead through each other for ever")]
    JumpLoop,
}

/// What is wrong with a line of an ssh config.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLine {
    /// A keyword without its value.
    #[error("{0} has no value")]
    NoValue(String),
    /// Text after a keyword's one value.
    #[error("{0} has more than one value")]
    MoreValues(String),
    /// Not a number from 1 to 65535.
    #[error("`{0}` is not a port")]
    Port(String),
    /// Not a value of that keyword.
    #[error("`{value}` is not a value of {keyword} ({known})")]
    Value {
        /// The keyword.
        keyword: String,
        /// What is written.
        value: String,
        /// What could be.
        known: &'static str,
    },
    /// A quoted value without an end.
    #[error("a quote is not closed")]
    OpenQuote,
    /// Files that include each other.
    #[error("files include each other too deeply")]
    IncludeDepth,
    /// Only a file of the user may say `~`.
    #[error("`{0}`: only a user's file may include from a home folder")]
    IncludeHome(String),
    /// A keyword that OpenSSH does not know either.
    #[error("there is no keyword `{0}` (ssh says the same; IgnoreUnknown permits it)")]
    Keyword(String),
    /// `%x` where x means nothing.
    #[error("`{0}` means nothing there")]
    Token(String),
    /// `~name/`.
    #[error("`{0}`: only `~/` is understood; write the folder itself")]
    Home(String),
    /// `${NAME}` without such a variable.
    #[error("the environment has no variable `{0}`")]
    Variable(String),
    /// A value that cannot be followed here.
    #[error("`{keyword} {value}` is not supported: {why}")]
    Refused {
        /// The keyword.
        keyword: String,
        /// What is written.
        value: String,
        /// Why not.
        why: &'static str,
    },
    /// A `Match` line that is wrong.
    #[error("Match: {0}")]
    Match(String),
    /// It stands below a `Match` that is not decided here.
    #[error(
        "it cannot be told whether `{keyword}` applies: it stands below `Match {criterion}` ({place}), which \
             is not looked at here; move it out of that block"
    )]
    Undecided {
        /// The keyword.
        keyword: String,
        /// The criterion of the `Match`.
        criterion: String,
        /// Where that is.
        place: String,
    },
}
