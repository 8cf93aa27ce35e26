//! What is answered to octets of which no request can be made.
//!
//! Knows which of our answers fits which fault. After each of them the connection ends: nobody can say where a next request begins.

use crate::{
    proxy::{Failure, Kind},
    wire::head::HeadError,
};

/// The answer to a head with this fault.
pub(super) fn of(fault: HeadError) -> Failure {
    match fault {
        HeadError::Malformed(problem) => Failure::new(Kind::Malformed, problem),
        HeadError::TargetTooLong => Failure::new(
            Kind::TargetTooLong,
            "the request's target alone is longer than a head may be (head_size in [limits])",
        ),
        HeadError::TooLarge => Failure::new(
            Kind::HeadTooLarge,
            "the request's head has too many octets or fields (head_size and head_fields in [limits])",
        ),
        HeadError::Coding => Failure::new(
            Kind::NotImplemented,
            "of transfer codings only chunked is known; send the request with it alone",
        ),
        HeadError::Version => Failure::new(Kind::Version, "only HTTP/1.1 and HTTP/1.0 are known here"),
    }
}

/// The answer to a request with a name that has an underscore, where these are refused.
pub(super) fn underscore() -> Failure {
    Failure::new(
        Kind::Malformed,
        "a field's name has an underscore, and underscores = \"refuse\" in [limits]",
    )
}
