//! Where a service says that a file comes from, and as whose file each one ages.
//!
//! Not here: who may say so (`admission/target.rs`), and the rule that ends old files.

use super::CallerKind;

/// Where a file comes from that a service uploaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// A screenshot of what an online visitor sees.
    Screenshot,
    /// Handed in with a form.
    Form,
    /// Came with mail.
    Mail,
}

/// As whose file one ages under maintenance's rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AgesAs {
    /// A visitor's.
    Visitor,
    /// An operator's.
    Operator,
    /// It never ages.
    NoOne,
}

impl AgesAs {
    /// By who uploaded it, and by what a service said of it. Nobody else has an origin.
    pub const fn of(uploader: CallerKind, origin: Option<Origin>) -> Self {
        match (uploader, origin) {
            (CallerKind::Visitor, _) | (CallerKind::Service, Some(Origin::Screenshot | Origin::Form)) => Self::Visitor,
            (CallerKind::Operator, _) => Self::Operator,
            (CallerKind::Service, Some(Origin::Mail) | None) => Self::NoOne,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn screenshots_and_forms_age_as_visitors_files_and_other_uploads_of_services_never() {
        use CallerKind::{Operator, Service, Visitor};
        for (uploader, origin, ages_as) in [
            (Visitor, None, AgesAs::Visitor),
            (Operator, None, AgesAs::Operator),
            (Service, Some(Origin::Screenshot), AgesAs::Visitor),
            (Service, Some(Origin::Form), AgesAs::Visitor),
            (Service, Some(Origin::Mail), AgesAs::NoOne),
            (Service, None, AgesAs::NoOne),
        ] {
            assert_eq!(AgesAs::of(uploader, origin), ages_as, "{uploader:?} {origin:?}");
        }
    }
}
