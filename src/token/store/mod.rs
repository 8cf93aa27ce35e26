//! What must survive a restart: one record per chain of tokens, behind a lock across processes.
