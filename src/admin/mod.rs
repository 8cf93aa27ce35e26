//! Looking at it: health, metrics, status.
