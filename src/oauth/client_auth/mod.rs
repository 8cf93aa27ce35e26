//! Client authentication at a token endpoint (RFC 6749 section 2.3): one file each.
