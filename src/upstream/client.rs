//! The pooled client of one endpoint on one worker: the seam behind which a request leaves.
