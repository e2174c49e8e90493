//! Memory in MiB and CPU in MHz as upstream writes them: a plain number, or a text such as
//! `"1024 MB"` or `"2.5 ghz"`. One unit is 1024 (memory) or 1000 (CPU) of the one below it.

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Memory,
    Cpu,
}

impl Unit {
    /// For messages.
    pub(super) fn example(self) -> &'static str {
        match self {
            Self::Memory => "such as \"512 mb\", \"2 gb\" or 512 (MiB)",
            Self::Cpu => "such as \"1500 mhz\", \"2 ghz\" or 1500 (MHz)",
        }
    }

    fn factor(self, unit: &str) -> Option<f64> {
        Some(match (self, unit) {
            (_, "") | (Self::Memory, "m" | "mb" | "mib") | (Self::Cpu, "mhz") => 1.0,
            (Self::Memory, "g" | "gb" | "gib") => 1024.0,
            (Self::Memory, "t" | "tb" | "tib") => 1024.0 * 1024.0,
            (Self::Cpu, "ghz") => 1000.0,
            (Self::Cpu, "thz") => 1_000_000.0,
            _ => return None,
        })
    }

    /// MiB or MHz; `None`: it is no such amount (negative, infinite, unknown unit).
    pub(super) fn parse(self, text: &str) -> Option<f64> {
        let text = text.trim().to_ascii_lowercase();
        let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let value = number.parse::<f64>().ok()? * self.factor(unit.trim())?;
        (value.is_finite() && value <= 1e15).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn upstreams_forms_are_read() {
        assert_eq!(Unit::Memory.parse("1024 MB"), Some(1024.0));
        assert_eq!(Unit::Memory.parse("2gb"), Some(2048.0));
        assert_eq!(Unit::Memory.parse(" 512 "), Some(512.0));
        assert_eq!(Unit::Cpu.parse("2.5 GHz"), Some(2500.0));
        for wrong in ["", "mb", "-1 mb", "1e400", "1 parsec", "1..2 mb", "NaN", "inf", "1 ghz x"] {
            assert_eq!(Unit::Memory.parse(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn never_negative_never_infinite(text in ".{0,12}") {
            for unit in [Unit::Memory, Unit::Cpu] {
                if let Some(value) = unit.parse(&text) {
                    prop_assert!(value.is_finite() && value >= 0.0);
                }
            }
        }
    }
}
