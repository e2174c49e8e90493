//! Values of a plan as they are written there.

use std::fmt;

use super::{Amount, BudgetBound, Cover, WaveSize};

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => count.fmt(f),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl fmt::Display for WaveSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Of(amount) => amount.fmt(f),
            Self::Cover(Cover { tags, at_most }) => {
                let tags = tags.iter().map(|tag| tag.value.as_str()).collect::<Vec<_>>().join(", ");
                write!(f, "{{cover: [{tags}]")?;
                at_most.map_or(Ok(()), |amount| write!(f, ", at_most: {amount}"))?;
                f.write_str("}")
            }
            Self::Rest => f.write_str("rest"),
        }
    }
}

impl fmt::Display for BudgetBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MinAvailable(amount) => write!(f, "min_available: {amount}"),
            Self::MaxUnavailable(amount) => write!(f, "max_unavailable: {amount}"),
        }
    }
}
