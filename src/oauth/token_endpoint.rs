//! One token request and its answer.
