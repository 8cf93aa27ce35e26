//! What answers grant, as tables.
