//! The stable names of everything that can be wrong with a plan, in one place.
//!
//! Operators and scripts rely on these names: a code is never renamed and never reused. Each has a case file
//! `tests/cases/plan/<code>.yaml` with its rendered message; a test fails when one lacks it.

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal;)+) => {
        $($(#[doc = $doc])+ pub const $name: &str = concat!("maand::plan::", $text);)+

        /// Every code of this room.
        pub const ALL: &[&str] = &[$($name),+];
    };
}

codes! {
    // The text.
    /// The file is not UTF-8.
    NOT_UTF8 = "not_utf8";
    /// The file is larger than a plan may be, or grows beyond it when variables are put in.
    TOO_LARGE = "too_large";
    /// A NUL byte or another control character.
    CONTROL_CHARACTER = "control_character";
    /// Not YAML.
    SYNTAX = "syntax";
    /// Nothing in the file.
    EMPTY = "empty";
    /// More than one YAML document.
    SEVERAL_DOCUMENTS = "several_documents";
    /// `*name`.
    ALIAS = "alias";
    /// `<<`.
    MERGE_KEY = "merge_key";
    /// A YAML tag other than those of the core schema.
    UNKNOWN_TAG = "unknown_tag";
    /// Nested deeper than a plan may be.
    TOO_DEEP = "too_deep";
    /// More nodes than a plan may have.
    TOO_MANY_NODES = "too_many_nodes";
    /// The same key twice in one map.
    DUPLICATE_KEY = "duplicate_key";
    /// A key that is a list or a map.
    KEY_NOT_TEXT = "key_not_text";
    /// There are more problems than are shown.
    TOO_MANY_PROBLEMS = "too_many_problems";

    // Shapes and values.
    /// A key that the language does not have at this place.
    UNKNOWN_KEY = "unknown_key";
    /// A key that must be there.
    MISSING_KEY = "missing_key";
    /// A value of another type than the key takes.
    WRONG_TYPE = "wrong_type";
    /// A key without a value.
    NO_VALUE = "no_value";
    /// A number outside of what the key takes, or beyond 64 bits.
    BAD_NUMBER = "bad_number";
    /// Not a duration.
    BAD_DURATION = "bad_duration";
    /// Not a percentage from 0 to 100.
    BAD_PERCENTAGE = "bad_percentage";
    /// Not a time of day.
    BAD_TIME = "bad_time";
    /// A word that is not among those that the key takes.
    UNKNOWN_VALUE = "unknown_value";
    /// A list that must not be empty.
    EMPTY_LIST = "empty_list";
    /// A text that must not be empty.
    EMPTY_TEXT = "empty_text";
    /// The same entry twice in one list (a warning).
    REPEATED_ENTRY = "repeated_entry";
    /// `version` is not 1.
    BAD_VERSION = "bad_version";
    /// The name of the plan.
    BAD_NAME = "bad_name";
    /// The id of a step.
    BAD_ID = "bad_id";
    /// Not a host name that is safe to use.
    BAD_HOST = "bad_host";
    /// Not the name of a job.
    BAD_JOB = "bad_job";
    /// Not the name of an environment variable.
    BAD_ENV = "bad_env";
    /// A path that cannot be one.
    BAD_PATH = "bad_path";

    // Variables.
    /// The name or the value of a variable.
    BAD_VARIABLE = "bad_variable";
    /// `${name}` without such a variable.
    UNDEFINED_VARIABLE = "undefined_variable";
    /// A `${` that is not a reference.
    BAD_REFERENCE = "bad_reference";
    /// A variable that nothing uses (a warning).
    UNUSED_VARIABLE = "unused_variable";
    /// `--set` of a variable that the plan does not have.
    UNKNOWN_OVERRIDE = "unknown_override";
    /// `--set` with a value of another type than the variable's.
    BAD_OVERRIDE = "bad_override";

    // The rollout.
    /// `expect` that no selection can meet.
    EXPECT_IMPOSSIBLE = "expect_impossible";
    /// `rest` before the last wave.
    REST_NOT_LAST = "rest_not_last";
    /// `cover` as the last wave.
    COVER_LAST = "cover_last";
    /// A budget with both bounds or with none.
    BUDGET_BOUNDS = "budget_bounds";
    /// Two budgets for one job.
    BUDGET_TWICE = "budget_twice";
    /// Not a time zone.
    BAD_TIMEZONE = "bad_timezone";
    /// A window that opens and closes at the same minute.
    EMPTY_WINDOW = "empty_window";
    /// A request that cannot be sent, or an answer that cannot be expected.
    BAD_REQUEST = "bad_request";
    /// A gate without a limit, with several sources, or with numbers that cannot be met.
    BAD_GATE = "bad_gate";
    /// A silence that cannot be made, or would be for more than one worker.
    BAD_SILENCE = "bad_silence";
    /// A target of notices that cannot be told, or a template with a name that has no value.
    BAD_NOTICE = "bad_notice";
    /// A matcher of a silence that may match alerts of other workers, too (a warning).
    SILENCE_TOO_WIDE = "silence_too_wide";
    /// A secret that stands in the plan in plain text.
    PLAIN_SECRET = "plain_secret";
    /// Not a date, or a range of dates that ends before it begins.
    BAD_DATE = "bad_date";
    /// A window without a day.
    WINDOW_NEVER_OPENS = "window_never_opens";
    /// More failures are allowed than a limit lets happen, for a failed worker stays down (a warning).
    FAILURES_MOOT = "failures_moot";
    /// One worker may take longer than the window is open (a warning).
    WINDOW_TOO_SHORT = "window_too_short";

    // Steps.
    /// A plan without steps.
    NO_STEPS = "no_steps";
    /// A kind of step that does not exist.
    UNKNOWN_STEP = "unknown_step";
    /// A step that does not say what it does.
    STEP_WITHOUT_KIND = "step_without_kind";
    /// A step of two kinds.
    SEVERAL_KINDS = "several_kinds";
    /// A kind or key that does not make sense in `before` and `after`.
    NOT_ONCE = "not_once";
    /// A kind or an option that takes a worker down, or does not make sense, in `prepare`.
    NOT_IN_PREPARE = "not_in_prepare";
    /// `run` or `local` without exactly one of `command` and `script`.
    COMMAND_OR_SCRIPT = "command_or_script";
    /// Two steps with one id.
    DUPLICATE_ID = "duplicate_id";
    /// `needs` of a step that does not exist.
    UNKNOWN_NEED = "unknown_need";
    /// Steps that need each other.
    CYCLE = "cycle";
    /// `on_failure: ignore` where a failure must not be ignored.
    CAN_NOT_IGNORE = "can_not_ignore";
    /// A time-out within which the step cannot finish.
    TIMEOUT_TOO_SHORT = "timeout_too_short";
    /// `on_failure: revert` and a command that does not say how to take it back.
    NO_UNDO = "no_undo";
    /// `enable` without an earlier `disable`.
    ENABLE_WITHOUT_DISABLE = "enable_without_disable";
    /// `disable` without a later `enable` (a warning).
    LEFT_DISABLED = "left_disabled";
    /// `reboot` without a later `wait_for_ssh`.
    REBOOT_WITHOUT_WAIT = "reboot_without_wait";
    /// A step between a reboot and the wait for it.
    REBOOT_NOT_AWAITED = "reboot_not_awaited";
    /// A forced reset of workers that the plan has not rebooted.
    RESET_WITHOUT_REBOOT = "reset_without_reboot";
    /// A step that may run beside a reboot.
    BESIDE_REBOOT = "beside_reboot";
    /// A reboot of a worker that was not drained (a warning).
    REBOOT_WITHOUT_DRAIN = "reboot_without_drain";
}
