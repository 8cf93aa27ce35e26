//! One request over one fresh connection, for token endpoints.
